/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#include "base/secret.h"
#include "base/text.h"
#include "sign/alg.h"
#include "sign/crypto.h"
#include "sign/evp.h"
#include "sign/jwe.h"
#include "sign/softkey.h"

/*
 * Two JWE written by python3-cryptography (AESGCM, ECDH, ConcatKDFHash), with the key 00..1f, the IV 64..6f,
 * and for the second one a recipient of this scalar and point.
 */
static const char dir_header[] = "{\"alg\":\"dir\",\"enc\":\"A256GCM\",\"kid\":\"MX1-000001\"}";
static const char dir_jwe[] =
    "eyJhbGciOiJkaXIiLCJlbmMiOiJBMjU2R0NNIiwia2lkIjoiTVgxLTAwMDAwMSJ9..ZGVmZ2hpamtsbW5v."
    "LH6oDxqMdvVbGw.OCAWgS5lbIBJUvFFFxiWeg";
static const char ecdh_jwe[] =
    "eyJhbGciOiJFQ0RILUVTIiwiZW5jIjoiQTI1NkdDTSIsImVwayI6eyJrdHkiOiJFQyIsImNydiI6IlAtMjU2IiwieCI6InpWUktHbG94cHV"
    "ydFk0WkExQTMxWWl2MDU0Zk5Vc2dZWlFVQ3N5SVRkUEEiLCJ5IjoiT0tSZ0xENXpzRVVBUG5Jdl8wUkxmSGdyQmRXR3pscDNiX19BRmktSDV"
    "BUSJ9LCJraWQiOiJzZWFsLTEifQ..ZGVmZ2hpamtsbW5v.DmPMYkRuQA.o8TIWMmIEbWv9iWQycTiJw";
static const char ecdh_scalar[] = "332e834c6de47dcad7e12e1d26ce79406c3d2c2dbccc921e530047e8192c4baf";
static const char ecdh_point[] = "0431580003e0793374a05026a0aaa1734ef346bd57857ba3246d7f438637e7e288"
                                 "818e554377932a661d62a5e114f223eceea852f3831a697a8c973eeab23a576b";

static struct err e;

static void assert_jwe_err(enum rc rc)
{
    assert_int_equal(rc, RC_INPUT);
    assert_string_equal(e.key, "sign.jwe");
}

static struct secret *counting_key(void)
{
    struct secret *key = secret_new(32);

    secret_set_len(key, 32);
    for (uint8_t i = 0; i < 32; i++)
        secret_data(key)[i] = i;
    return key;
}

static struct signer *known_key(const char *scalar, const char *point)
{
    struct secret *d = secret_new(32);
    struct secret *pkcs8 = secret_new(PKCS8_MAX);
    struct bytes p = BYTES_INIT;
    struct signer *s = NULL;

    secret_set_len(d, 32);
    assert_int_equal(hex_decode_exact(scalar, secret_data(d), 32, &e), RC_OK);
    assert_int_equal(hex_decode(point, 65, &p, &e), RC_OK);
    pkcs8_encode(alg_by_name("ec-p256"), d, bytes_span(&p), pkcs8);
    assert_int_equal(softkey_load((struct span){secret_data(pkcs8), secret_len(pkcs8)}, KEY_DERIVE, &s, &e),
                     RC_OK);
    secret_free(d);
    secret_free(pkcs8);
    bytes_free(&p);
    return s;
}

static void assert_secret(struct secret *s, const char *text)
{
    assert_non_null(s);
    assert_int_equal(secret_len(s), strlen(text));
    assert_memory_equal(secret_data(s), text, strlen(text));
    secret_free(s);
}

static void test_dir_vector(void **state)
{
    struct secret *key = counting_key();
    struct secret *content = NULL;
    struct bytes header = BYTES_INIT;

    (void)state;
    assert_int_equal(jwe_open_dir(key, span_str(dir_jwe), &header, &content, &e), RC_OK);
    assert_string_equal(bytes_str(&header), dir_header);
    assert_secret(content, "device key");
    bytes_free(&header);
    secret_free(key);
}

static void test_dir_round(void **state)
{
    struct secret *key = counting_key();
    struct secret *content = secret_from("content", 7);
    struct secret *empty = secret_new(0);
    struct secret *again = NULL;
    struct bytes a = BYTES_INIT, b = BYTES_INIT, header = BYTES_INIT;

    (void)state;
    assert_int_equal(jwe_seal_dir(key, span_str(dir_header), content, &a, &e), RC_OK);
    assert_int_equal(jwe_seal_dir(key, span_str(dir_header), content, &b, &e), RC_OK);
    assert_string_not_equal(bytes_str(&a), bytes_str(&b)); /* a fresh IV */
    assert_int_equal(jwe_open_dir(key, bytes_span(&a), &header, &again, &e), RC_OK);
    assert_secret(again, "content");

    bytes_reset(&b);
    assert_int_equal(jwe_seal_dir(key, span_str(dir_header), empty, &b, &e), RC_OK);
    assert_int_equal(jwe_open_dir(key, bytes_span(&b), &header, &again, &e), RC_OK);
    assert_secret(again, "");
    secret_free(key);
    secret_free(content);
    secret_free(empty);
    bytes_free(&a);
    bytes_free(&b);
    bytes_free(&header);
}

/* Each character changed, each prefix, and other shapes. */
static void test_dir_changed(void **state)
{
    struct secret *key = counting_key();
    struct secret *content = NULL;
    struct bytes header = BYTES_INIT;
    char *jwe = mem_str(dir_jwe);

    (void)state;
    for (size_t i = 0; i < strlen(jwe); i++) {
        char was = jwe[i];
        jwe[i] = was == 'A' ? 'B' : 'A';
        assert_jwe_err(jwe_open_dir(key, span_str(jwe), &header, &content, &e));
        jwe[i] = was;
        assert_jwe_err(jwe_open_dir(key, (struct span){(const uint8_t *)jwe, i}, &header, &content, &e));
    }
    static const char *const shapes[] = {"", "....", ".....",
                                         "e30.QUFB.ZGVmZ2hpamtsbW5v.LH6oDxqMdvVbGw.OCAWgS5lbIBJUvFFFxiWeg"};
    for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++)
        assert_jwe_err(jwe_open_dir(key, span_str(shapes[i]), &header, &content, &e));
    secret_data(key)[0] ^= 1;
    assert_jwe_err(jwe_open_dir(key, span_str(jwe), &header, &content, &e));
    assert_int_equal(header.n, 0);
    assert_null(content);
    secret_free(key);
    free(jwe);
}

/* RFC 7518 appendix C: the agreement and the KDF. */
static void test_rfc7518_c(void **state)
{
    struct signer *alice = NULL;
    struct secret *z = NULL;
    struct bytes d = BYTES_INIT, p = BYTES_INIT, bob = BYTES_INIT;
    uint8_t key[16];

    (void)state;
    assert_int_equal(b64url_decode(SPAN("0_NxaRPUMQoAJt50Gz8YiTr8gRTwyEaCumd-MToTmIo"), &d, &e), RC_OK);
    bytes_add_byte(&p, 4);
    assert_int_equal(b64url_decode(SPAN("gI0GAILBdu7T53akrFmMyGcsF3n5dO7MmwNBHKW5SV0"), &p, &e), RC_OK);
    assert_int_equal(b64url_decode(SPAN("SLW_xSffzlPWrHEVI30DHM_4egVwt3NQqeUD7nMFpps"), &p, &e), RC_OK);
    bytes_add_byte(&bob, 4);
    assert_int_equal(b64url_decode(SPAN("weNJy2HscCSM6AEDTDg04biOvhFhyyWvOHQfeF_PxMQ"), &bob, &e), RC_OK);
    assert_int_equal(b64url_decode(SPAN("e8lnCO-AlStT-NJVX-crhB7QRYhiix03illJOVAOyck"), &bob, &e), RC_OK);
    char *scalar = hex_new(bytes_span(&d)), *point = hex_new(bytes_span(&p));
    alice = known_key(scalar, point);
    assert_int_equal(signer_derive(alice, bytes_span(&bob), &z, &e), RC_OK);
    concat_kdf((struct span){secret_data(z), secret_len(z)}, "A128GCM", SPAN("Alice"), SPAN("Bob"), 16, key);
    d.n = 0;
    b64url_encode((struct span){key, 16}, &d);
    assert_string_equal(bytes_str(&d), "VqqN6vgjbSBcIijNcacQGg");
    free(scalar);
    free(point);
    secret_free(z);
    signer_free(alice);
    bytes_free(&d);
    bytes_free(&p);
    bytes_free(&bob);
}

static void test_ecdh_vector(void **state)
{
    struct signer *s = known_key(ecdh_scalar, ecdh_point);
    struct secret *content = NULL;

    (void)state;
    assert_int_equal(jwe_open_ecdh(s, "seal-1", span_str(ecdh_jwe), &content, &e), RC_OK);
    assert_secret(content, "lot key");
    content = NULL;
    assert_jwe_err(jwe_open_ecdh(s, "seal-2", span_str(ecdh_jwe), &content, &e));
    assert_jwe_err(jwe_open_ecdh(s, "seal-11", span_str(ecdh_jwe), &content, &e));
    assert_null(content);
    signer_free(s);
}

static void test_ecdh_round(void **state)
{
    static const char *const algs[] = {"ec-p256", "ec-p384"};

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct signer *s = NULL, *other = NULL;
        struct secret *content = secret_from("content", 7);
        struct secret *again = NULL;
        struct bytes jwe = BYTES_INIT;
        assert_int_equal(softkey_new(alg_by_name(algs[i]), KEY_DERIVE, &s, &e), RC_OK);
        assert_int_equal(softkey_new(alg_by_name(algs[i]), KEY_DERIVE, &other, &e), RC_OK);
        assert_int_equal(jwe_seal_ecdh(bytes_span(&s->spki), "a \"kid\"", content, &jwe, &e), RC_OK);
        assert_int_equal(jwe_open_ecdh(s, "a \"kid\"", bytes_span(&jwe), &again, &e), RC_OK);
        assert_secret(again, "content");
        assert_jwe_err(jwe_open_ecdh(other, "a \"kid\"", bytes_span(&jwe), &again, &e));
        /* As cheap as it gets: every character of the part that says who derives. */
        for (size_t k = 0; jwe.p[k] != '.'; k++) {
            uint8_t was = jwe.p[k];
            jwe.p[k] = was == 'A' ? 'B' : 'A';
            assert_int_equal(jwe_open_ecdh(s, "a \"kid\"", bytes_span(&jwe), &again, &e), RC_INPUT);
            jwe.p[k] = was;
        }
        secret_free(content);
        bytes_free(&jwe);
        signer_free(s);
        signer_free(other);
    }
}

static void test_ecdh_usage(void **state)
{
    struct signer *s = NULL;
    struct secret *content = secret_from("content", 7);
    struct secret *again = NULL;
    struct bytes jwe = BYTES_INIT;

    (void)state;
    assert_int_equal(softkey_new(alg_by_name("ec-p256"), KEY_SIGN, &s, &e), RC_OK);
    assert_int_equal(jwe_seal_ecdh(bytes_span(&s->spki), "k", content, &jwe, &e), RC_OK);
    assert_int_equal(jwe_open_ecdh(s, "k", bytes_span(&jwe), &again, &e), RC_DENIED);
    assert_string_equal(e.key, "sign.usage");
    assert_int_equal(jwe_seal_ecdh(SPAN("junk"), "k", content, &jwe, &e), RC_INPUT);
    signer_free(s);
    static const char *const other[] = {"ed25519", "rsa-2048"};
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(softkey_new(alg_by_name(other[i]), KEY_SIGN, &s, &e), RC_OK);
        assert_int_equal(jwe_open_ecdh(s, "k", bytes_span(&jwe), &again, &e), RC_DENIED);
        assert_int_equal(jwe_seal_ecdh(bytes_span(&s->spki), "k", content, &jwe, &e), RC_INPUT);
        assert_string_equal(e.key, "sign.key-type");
        signer_free(s);
    }
    secret_free(content);
    bytes_free(&jwe);
}

static void assert_hkdf(const struct secret *key, const char *info, size_t n, const char *hex)
{
    struct secret *okm = NULL;

    assert_int_equal(hkdf_sha256(key, span_str(info), n, &okm, &e), RC_OK);
    char *text = hex_new((struct span){secret_data(okm), secret_len(okm)});
    assert_string_equal(text, hex);
    free(text);
    secret_free(okm);
}

/* RFC 5869 A.3 (no salt, no info), and python3-cryptography's answer with an info. */
static void test_hkdf(void **state)
{
    struct secret *ikm = secret_from(
        "\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b", 22);
    struct secret *key = counting_key();

    (void)state;
    assert_hkdf(ikm, "", 42,
                "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8");
    assert_hkdf(key, "batch/device", 40,
                "75954ccb57478737d03457cf0986adcea46a9e42f6506b59952f90b3717d4317470efe301767f726");
    secret_free(ikm);
    secret_free(key);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_dir_vector),  cmocka_unit_test(test_dir_round),
        cmocka_unit_test(test_dir_changed), cmocka_unit_test(test_rfc7518_c),
        cmocka_unit_test(test_ecdh_vector), cmocka_unit_test(test_ecdh_round),
        cmocka_unit_test(test_ecdh_usage),  cmocka_unit_test(test_hkdf),
    };

    return cmocka_run_group_tests_name("jwe", tests, NULL, NULL);
}
