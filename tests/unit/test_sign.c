/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/provider.h>
#include <openssl/x509.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "base/secret.h"
#include "base/text.h"
#include "sign/alg.h"
#include "sign/chain.h"
#include "sign/digest.h"
#include "sign/evp.h"
#include "sign/softkey.h"

static const char *const alg_list[] = {"ec-p256", "ec-p384"};
enum { ALGS = 2 };

static struct err e;

static void assert_err(enum rc rc, enum rc expected, const char *key)
{
    assert_int_equal(rc, expected);
    assert_int_equal(e.rc, expected);
    assert_string_equal(e.key, key);
    assert_int_equal(ERR_peek_error(), 0);
}

static struct signer *new_key(const char *alg, enum key_usage usage)
{
    struct signer *s = NULL;

    assert_int_equal(softkey_new(alg_by_name(alg), usage, &s, &e), RC_OK);
    return s;
}

static struct span point_of(const struct signer *s)
{
    struct span point = {NULL, 0};

    assert_int_equal(spki_point(s->alg, bytes_span(&s->spki), &point, &e), RC_OK);
    return point;
}

static struct bytes unhex(const char *hex)
{
    struct bytes b = BYTES_INIT;

    assert_int_equal(hex_decode(hex, 1024, &b, &e), RC_OK);
    return b;
}

/* Algorithms. */

static void test_alg_rows(void **state)
{
    (void)state;
    for (size_t i = 0; i < ALGS; i++) {
        const struct alg *a = alg_by_name(alg_list[i]);
        assert_non_null(a);
        assert_ptr_equal(alg_by_sig_algid(a->sig_algid), a);
        assert_ptr_equal(alg_by_params(a->params), a);
    }
    assert_null(alg_by_name("rsa-1024"));
    assert_null(alg_by_params(SPAN("\x06\x01\x00")));
    assert_null(alg_by_sig_algid(SPAN("")));
    assert_string_equal(alg_names(), "ec-p256, ec-p384, ed25519, rsa-2048, rsa-2048-pss, rsa-3072, "
                                     "rsa-3072-pss, rsa-4096, rsa-4096-pss");
    assert_string_equal(alg_key_names(), "ec-p256, ec-p384, ed25519, rsa-2048, rsa-3072, rsa-4096");
}

/* Our constants against what libcrypto writes, and the way back. */
static void test_spki(void **state)
{
    (void)state;
    for (size_t i = 0; i < ALGS; i++) {
        struct signer *s = new_key(alg_list[i], KEY_SIGN);
        struct bytes spki = BYTES_INIT;
        const struct alg *a = NULL;
        spki_from_point(s->alg, point_of(s), &spki);
        assert_true(span_eq(bytes_span(&spki), bytes_span(&s->spki)));
        assert_int_equal(spki_check(bytes_span(&spki), &a, &e), RC_OK);
        assert_ptr_equal(a, alg_by_name(alg_list[i]));

        spki.p[spki.n - 1] ^= 1;
        assert_err(spki_check(bytes_span(&spki), &a, &e), RC_INPUT, "sign.key-point");
        spki.p[spki.n - 1] ^= 1;
        spki.p[spki.n - point_of(s).n] = 2; /* compressed */
        assert_err(spki_check(bytes_span(&spki), &a, &e), RC_INPUT, "sign.key-point");
        bytes_add_byte(&spki, 0);
        assert_err(spki_check(bytes_span(&spki), &a, &e), RC_INPUT, "sign.key-type");
        for (size_t n = 0; n + 1 < spki.n; n++)
            assert_int_equal(spki_check((struct span){spki.p, n}, &a, &e), RC_INPUT);
        bytes_free(&spki);
        signer_free(s);
    }
}

/* x + p stands for the same field element as x and must not be taken for it. */
static void test_spki_range(void **state)
{
    const struct alg *a = NULL;
    struct bytes spki = BYTES_INIT;
    struct bytes point = unhex("04"
                               "ffffffff00000001000000000000000000000000ffffffffffffffffffffffff"
                               "66485c780e2f83d72433bd5d84a06bb6541c2af31dae871728bf856a174f93f4");

    (void)state;
    spki_from_point(alg_by_name("ec-p256"), bytes_span(&point), &spki);
    assert_err(spki_check(bytes_span(&spki), &a, &e), RC_INPUT, "sign.key-point");
    bytes_reset(&spki);
    memset(point.p + 1, 0, 32); /* x = 0 with the same y is on the curve */
    spki_from_point(alg_by_name("ec-p256"), bytes_span(&point), &spki);
    assert_int_equal(spki_check(bytes_span(&spki), &a, &e), RC_OK);
    bytes_free(&spki);
    bytes_free(&point);
}

static void test_spki_names_type(void **state)
{
    static const struct {
        const char *type;
        const char *group;
        const char *said;
    } rows[] = {{"EC", "P-521", "'id-ecPublicKey secp521r1'"}, {"ED448", NULL, "'ED448'"}};
    const struct alg *a = NULL;

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        EVP_PKEY *key = EVP_PKEY_Q_keygen(evp_context(), NULL, rows[i].type, rows[i].group);
        unsigned char *der = NULL;
        int n = i2d_PUBKEY(key, &der);
        assert_true(n > 0);
        assert_err(alg_of_spki((struct span){der, (size_t)n}, &a, &e), RC_INPUT, "sign.key-type");
        assert_non_null(strstr(e.text, rows[i].said));
        OPENSSL_free(der);
        EVP_PKEY_free(key);
    }
}

static void test_ecdsa_to_der(void **state)
{
    const struct alg *a = alg_by_name("ec-p256");
    uint8_t raw[64] = {0};
    struct bytes der = BYTES_INIT;

    (void)state;
    raw[31] = 0x7f; /* r = 127: one octet */
    raw[32] = 0x80; /* s = 2^255: needs a leading zero */
    assert_int_equal(ecdsa_to_der(a, (struct span){raw, 64}, &der, &e), RC_OK);
    assert_int_equal(der.n, 2 + 3 + 2 + 33);
    assert_memory_equal(der.p, "\x30\x26\x02\x01\x7f\x02\x21\x00\x80\x00", 10);

    bytes_reset(&der);
    memset(raw, 0xff, sizeof(raw));
    assert_int_equal(ecdsa_to_der(a, (struct span){raw, 64}, &der, &e), RC_OK);
    assert_int_equal(der.n, a->signature_max);

    memset(raw, 0, 32);
    assert_err(ecdsa_to_der(a, (struct span){raw, 64}, &der, &e), RC_INPUT, "sign.ecdsa-sig");
    assert_err(ecdsa_to_der(a, (struct span){raw, 63}, &der, &e), RC_INPUT, "sign.ecdsa-sig");
    bytes_free(&der);
}

/* Digests, chain, tree. */

static void assert_hex(const uint8_t *p, size_t n, const char *hex)
{
    char *text = hex_new((struct span){p, n});

    assert_string_equal(text, hex);
    free(text);
}

static void test_digest(void **state)
{
    uint8_t d[DIGEST_MAX];
    struct sha256_ctx *c = sha256_new();

    (void)state;
    sha256(SPAN("abc"), d);
    assert_hex(d, 32, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    sha1(SPAN("abc"), d);
    assert_hex(d, 20, "a9993e364706816aba3e25717850c26c9cd0d89d");
    alg_digest(alg_by_name("ec-p384"), SPAN("abc"), d);
    assert_hex(
        d, 48,
        "cb00753f45a35e8bb5a03d699ac65007272c32ab0eded1631a8b605a43ff5bed8086072ba1e7cc2358baeca134c825a7");
    sha256_add(c, SPAN("a"));
    sha256_add(c, SPAN("bc"));
    sha256_end(c, d);
    assert_hex(d, 32, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

static void test_digest_file(void **state)
{
    char dir[] = "/tmp/keymill-sign-XXXXXX";
    uint8_t d[SHA256_LEN];
    uint8_t expected[SHA256_LEN];
    uint8_t *big = mem_array(100001, 1);

    (void)state;
    assert_non_null(mkdtemp(dir));
    char *path = path_join(dir, "big");
    memset(big, 'x', 100001);
    assert_int_equal(file_publish(path, 0600, (struct span){big, 100001}, &e), RC_OK);
    sha256((struct span){big, 100001}, expected);
    assert_int_equal(sha256_file(path, d, &e), RC_OK);
    assert_memory_equal(d, expected, sizeof(d));
    assert_err(sha256_file(dir, d, &e), RC_SYSTEM, "file.read");
    assert_int_equal(unlink(path), 0);
    assert_err(sha256_file(path, d, &e), RC_SYSTEM, "file.read");
    assert_int_equal(rmdir(dir), 0);
    free(path);
    free(big);
}

static void test_random(void **state)
{
    uint8_t a[32] = {0}, b[32] = {0};

    (void)state;
    assert_int_equal(random_bytes(a, 32, &e), RC_OK);
    assert_int_equal(random_bytes(b, 32, &e), RC_OK);
    assert_memory_not_equal(a, b, 32);
}

static void test_hash_chain(void **state)
{
    uint8_t head[SHA256_LEN] = {0};

    (void)state;
    hash_chain(head, SPAN("one"), head);
    hash_chain(head, SPAN("two"), head);
    /* python3: d=lambda x: sha256(x).digest(); d(d(bytes(32)+d(b"one"))+d(b"two")).hex() */
    assert_hex(head, 32, "b88f3f290fe4ac11da329c5515b418b937de9be1abffb4ff40de976ef83a28ee");
}

/* The reference vectors of Certificate Transparency (RFC 6962), whose hashing RFC 9162 keeps. */
static void test_merkle(void **state)
{
    static const struct {
        const char *entry;
        const char *root;
    } rows[] = {
        {"", "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"},
        {"00", "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"},
        {"10", "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77"},
        {"2021", "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7"},
        {"3031", "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4"},
        {"40414243", "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef"},
        {"5051525354555657", "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c"},
        {"606162636465666768696a6b6c6d6e6f",
         "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328"},
    };
    uint8_t root[SHA256_LEN];
    struct merkle m;

    (void)state;
    merkle_init(&m);
    merkle_root(&m, root);
    assert_hex(root, 32, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct bytes entry = unhex(rows[i].entry);
        merkle_add(&m, bytes_span(&entry));
        merkle_root(&m, root);
        assert_hex(root, 32, rows[i].root);
        bytes_free(&entry);
    }
}

/* Signers. */

static void test_sign(void **state)
{
    (void)state;
    for (size_t i = 0; i < ALGS; i++) {
        struct signer *s = new_key(alg_list[i], KEY_SIGN);
        struct span spki = bytes_span(&s->spki);
        uint8_t random[3 * DIGEST_MAX];
        struct span digests[3];
        struct bytes sig[3] = {BYTES_INIT, BYTES_INIT, BYTES_INIT};
        struct bytes one = BYTES_INIT;
        size_t n = s->alg->digest_len;

        assert_int_equal(random_bytes(random, sizeof(random), &e), RC_OK);
        for (size_t k = 0; k < 3; k++)
            digests[k] = (struct span){random + k * n, n};
        assert_int_equal(signer_sign(s, digests, 3, sig, &e), RC_OK);
        for (size_t k = 0; k < 3; k++)
            assert_int_equal(signature_verify(s->alg, spki, digests[k], bytes_span(&sig[k]), &e), RC_OK);
        assert_err(signature_verify(s->alg, spki, digests[1], bytes_span(&sig[0]), &e), RC_INPUT,
                   "sign.bad-signature");
        bytes_add_byte(&sig[0], 0);
        assert_err(signature_verify(s->alg, spki, digests[0], bytes_span(&sig[0]), &e), RC_INPUT,
                   "sign.bad-signature");
        assert_err(signature_verify(s->alg, spki, digests[0], SPAN(""), &e), RC_INPUT, "sign.bad-signature");

        assert_int_equal(signer_sign_message(s, SPAN("text"), &one, &e), RC_OK);
        assert_int_equal(signature_verify_message(s->alg, spki, SPAN("text"), bytes_span(&one), &e), RC_OK);
        assert_err(signature_verify_message(s->alg, spki, SPAN("test"), bytes_span(&one), &e), RC_INPUT,
                   "sign.bad-signature");
        for (size_t k = 0; k < 3; k++)
            bytes_free(&sig[k]);
        bytes_free(&one);
        signer_free(s);
    }
}

static void test_derive(void **state)
{
    (void)state;
    for (size_t i = 0; i < ALGS; i++) {
        struct signer *a = new_key(alg_list[i], KEY_DERIVE);
        struct signer *b = new_key(alg_list[i], KEY_DERIVE);
        struct secret *za = NULL, *zb = NULL;
        uint8_t off[200];

        assert_int_equal(signer_derive(a, point_of(b), &za, &e), RC_OK);
        assert_int_equal(signer_derive(b, point_of(a), &zb, &e), RC_OK);
        assert_int_equal(secret_len(za), a->alg->field_len);
        assert_memory_equal(secret_data(za), secret_data(zb), a->alg->field_len);
        secret_free(za);
        secret_free(zb);

        za = NULL;
        memcpy(off, point_of(b).p, point_of(b).n);
        off[5] ^= 1;
        assert_err(signer_derive(a, (struct span){off, point_of(b).n}, &za, &e), RC_INPUT, "sign.key-point");
        assert_err(signer_derive(a, SPAN("\x00"), &za, &e), RC_INPUT, "sign.key-point");
        assert_null(za);
        signer_free(a);
        signer_free(b);
    }
}

static void test_usage(void **state)
{
    struct signer *sign = new_key("ec-p256", KEY_SIGN);
    struct signer *derive = new_key("ec-p256", KEY_DERIVE);
    struct bytes sig = BYTES_INIT;
    struct secret *z = NULL;

    (void)state;
    assert_err(signer_sign_message(derive, SPAN("text"), &sig, &e), RC_DENIED, "sign.usage");
    assert_err(signer_derive(sign, point_of(derive), &z, &e), RC_DENIED, "sign.usage");
    assert_int_equal(sig.n, 0);
    signer_free(sign);
    signer_free(derive);
}

/* A signer in front of a good one, which spoils what it says. */
struct liar {
    struct signer base;
    struct signer *real;
    size_t bad;  /* which of the signatures is spoilt */
    bool wrong;  /* by being one of another digest, not by a changed bit */
    bool broken; /* the token is gone */
};

static enum rc liar_sign(struct signer *s, const struct alg *a, const struct span *inputs, size_t n,
                         struct bytes *ret, struct err *err)
{
    struct liar *l = (struct liar *)s;
    uint8_t other[DIGEST_MAX] = {1};

    if (l->broken)
        return err_set(err, RC_TOKEN, "hsm.gone", "token 'x': it is gone");
    enum rc rc = signer_sign_as(l->real, a, inputs, n, 1, ret, err);
    if (rc == RC_OK && l->bad < n && l->wrong) {
        bytes_free(&ret[l->bad]);
        rc = signer_sign(l->real, &(struct span){other, l->real->alg->digest_len}, 1, &ret[l->bad], err);
    } else if (rc == RC_OK && l->bad < n) {
        ret[l->bad].p[ret[l->bad].n - 1] ^= 1;
    }
    return rc;
}

static enum rc liar_derive(struct signer *s, struct span peer, struct secret **ret, struct err *err)
{
    (void)s;
    (void)peer;
    (void)err;
    *ret = secret_from("short", 5);
    return RC_OK;
}

static void liar_free(struct signer *s)
{
    signer_fini(s);
}

static void liar_init(struct liar *l, struct signer *real)
{
    static const struct signer_ops ops = {.sign = liar_sign, .derive = liar_derive, .free = liar_free};

    memset(l, 0, sizeof(*l));
    assert_int_equal(signer_init(&l->base, &ops, real->usage, "liar", bytes_span(&real->spki), &e), RC_OK);
    l->real = real;
}

static void test_self_check(void **state)
{
    struct signer *real = new_key("ec-p256", KEY_SIGN);
    static const uint8_t zero[32];
    const struct span digests[4] = {{zero, 32}, {zero, 32}, {zero, 32}, {zero, 32}};
    struct bytes sig[4] = {BYTES_INIT, BYTES_INIT, BYTES_INIT, BYTES_INIT};
    struct liar l;

    (void)state;
    liar_init(&l, real);
    for (int wrong = 0; wrong < 2; wrong++)
        for (l.bad = 0, l.wrong = wrong != 0; l.bad < 4; l.bad++) {
            assert_err(signer_sign(&l.base, digests, 4, sig, &e), RC_TOKEN, "sign.self-check");
            for (size_t i = 0; i < 4; i++)
                assert_int_equal(sig[i].n, 0);
        }
    assert_int_equal(signer_sign(&l.base, digests, 4, sig, &e), RC_OK); /* bad is out of range now */
    for (size_t i = 0; i < 4; i++)
        bytes_free(&sig[i]);
    signer_free(&l.base);
    signer_free(real);
}

static void test_derive_length(void **state)
{
    struct signer *real = new_key("ec-p256", KEY_DERIVE);
    struct secret *z = NULL;
    struct liar l;

    (void)state;
    liar_init(&l, real);
    assert_err(signer_derive(&l.base, point_of(real), &z, &e), RC_TOKEN, "sign.self-check");
    signer_free(&l.base);
    signer_free(real);
}

static void test_signer_init_bad(void **state)
{
    static const struct signer_ops ops = {.sign = liar_sign, .derive = liar_derive, .free = liar_free};
    struct signer s;

    (void)state;
    assert_err(signer_init(&s, &ops, KEY_SIGN, "root-ca", SPAN("junk"), &e), RC_INPUT, "sign.key-type");
    assert_non_null(strstr(e.text, "'root-ca'"));
}

static void *sign_many(void *arg)
{
    static _Thread_local struct err own;
    intptr_t bad = 0;

    for (int i = 0; i < 50; i++) {
        struct bytes sig = BYTES_INIT;
        bad += signer_sign_message(arg, SPAN("text"), &sig, &own) != RC_OK;
        bytes_free(&sig);
    }
    return (void *)bad;
}

static void test_threads(void **state)
{
    struct signer *s = new_key("ec-p256", KEY_SIGN);
    pthread_t t[4];

    (void)state;
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&t[i], NULL, sign_many, s), 0);
    for (int i = 0; i < 4; i++) {
        void *bad = NULL;
        assert_int_equal(pthread_join(t[i], &bad), 0);
        assert_null(bad);
    }
    signer_free(s);
}

/* Software keys. */

static void test_softstore(void **state)
{
    const struct alg *a = alg_by_name("ec-p256");
    struct keystore *k = softstore_new();
    struct signer *made = NULL, *found = NULL;

    (void)state;
    assert_err(k->ops->find(k, "soft:root", KEY_SIGN, NULL, &found, &e), RC_TOKEN, "hsm.no-key");
    assert_int_equal(k->ops->generate(k, "soft:root", a, KEY_SIGN, NULL, &made, &e), RC_OK);
    assert_err(k->ops->generate(k, "soft:root", a, KEY_SIGN, NULL, &found, &e), RC_CONFLICT,
               "hsm.key-exists");
    assert_err(k->ops->find(k, "soft:root", KEY_DERIVE, NULL, &found, &e), RC_DENIED, "sign.usage");
    assert_err(k->ops->find(k, "pkcs11:object=root", KEY_SIGN, NULL, &found, &e), RC_INPUT, "sign.soft-uri");
    assert_int_equal(k->ops->find(k, "soft:root", KEY_SIGN, NULL, &found, &e), RC_OK);
    assert_true(span_eq(bytes_span(&made->spki), bytes_span(&found->spki)));
    assert_string_equal(found->name, "root");
    signer_free(made);
    signer_free(found);
    softstore_free(k);
}

/* Makes a device key and its PKCS#8. */
static void make_device(const char *name, struct secret **ret_scalar, struct bytes *ret_point,
                        struct secret **ret_pkcs8)
{
    const struct alg *a = alg_by_name(name);
    struct devkey_gen *g = NULL;

    *ret_scalar = secret_new(a->field_len);
    *ret_pkcs8 = secret_new(PKCS8_MAX);
    assert_int_equal(devkey_gen_new(a, &g, &e), RC_OK);
    assert_int_equal(devkey_make(g, *ret_scalar, ret_point, &e), RC_OK);
    pkcs8_encode(a, *ret_scalar, bytes_span(ret_point), *ret_pkcs8);
    devkey_gen_free(g);
}

static EVP_PKEY *plain_key(const struct secret *pkcs8)
{
    const unsigned char *p = secret_data(pkcs8);
    EVP_PKEY *key = d2i_AutoPrivateKey_ex(NULL, &p, (long)secret_len(pkcs8), evp_context(), NULL);

    assert_non_null(key);
    return key;
}

/* Byte for byte what libcrypto writes, and libcrypto says that the pair is one. Leading zeros in scalars turn
 * up in a few hundred. */
static void test_pkcs8_encode(void **state)
{
    (void)state;
    for (int i = 0; i < 400; i++) {
        struct secret *scalar = NULL, *pkcs8 = NULL;
        struct bytes point = BYTES_INIT;
        unsigned char *der = NULL;
        make_device(alg_list[i % 2], &scalar, &point, &pkcs8);
        EVP_PKEY *key = plain_key(pkcs8);
        EVP_PKEY_CTX *check = EVP_PKEY_CTX_new_from_pkey(evp_context(), key, NULL);
        assert_int_equal(EVP_PKEY_check(check), 1);
        PKCS8_PRIV_KEY_INFO *info = EVP_PKEY2PKCS8(key);
        int n = i2d_PKCS8_PRIV_KEY_INFO(info, &der);
        assert_int_equal(n, secret_len(pkcs8));
        assert_memory_equal(der, secret_data(pkcs8), n);
        OPENSSL_clear_free(der, (size_t)n);
        PKCS8_PRIV_KEY_INFO_free(info);
        EVP_PKEY_CTX_free(check);
        EVP_PKEY_free(key);
        secret_free(scalar);
        secret_free(pkcs8);
        bytes_free(&point);
    }
}

static void test_pkcs8_decode(void **state)
{
    (void)state;
    for (size_t i = 0; i < ALGS; i++) {
        struct secret *scalar = NULL, *pkcs8 = NULL;
        struct bytes point = BYTES_INIT, again = BYTES_INIT;
        const struct alg *a = NULL;
        make_device(alg_list[i], &scalar, &point, &pkcs8);
        assert_int_equal(pkcs8_decode(pkcs8, &a, &again, &e), RC_OK);
        assert_ptr_equal(a, alg_by_name(alg_list[i]));
        assert_true(span_eq(bytes_span(&point), bytes_span(&again)));
        for (size_t at = 0; at < secret_len(pkcs8); at++) {
            secret_data(pkcs8)[at] ^= 1;
            assert_err(pkcs8_decode(pkcs8, &a, &again, &e), RC_INPUT, "sign.pkcs8");
            secret_data(pkcs8)[at] ^= 1;
        }
        secret_set_len(pkcs8, secret_len(pkcs8) - 1);
        assert_err(pkcs8_decode(pkcs8, &a, &again, &e), RC_INPUT, "sign.pkcs8");
        assert_int_equal(again.n, point.n);
        secret_free(scalar);
        secret_free(pkcs8);
        bytes_free(&point);
        bytes_free(&again);
    }
}

/* Nothing of any length is taken for a key of a type that has no such form. */
static void test_pkcs8_lengths(void **state)
{
    struct secret *junk = secret_new(PKCS8_MAX);
    struct bytes point = BYTES_INIT;
    const struct alg *a = NULL;

    (void)state;
    memset(secret_data(junk), 0, PKCS8_MAX);
    for (size_t n = 0; n <= PKCS8_MAX; n++) {
        struct secret *some = secret_from(secret_data(junk), n);
        assert_err(pkcs8_decode(some, &a, &point, &e), RC_INPUT, "sign.pkcs8");
        secret_free(some);
    }
    assert_int_equal(point.n, 0);
    secret_free(junk);
}

static void test_softkey_load(void **state)
{
    (void)state;
    for (size_t i = 0; i < ALGS; i++) {
        struct secret *scalar = NULL, *pkcs8 = NULL;
        struct bytes point = BYTES_INIT, pem = BYTES_INIT;
        struct signer *s = NULL;
        make_device(alg_list[i], &scalar, &point, &pkcs8);
        struct span der = {secret_data(pkcs8), secret_len(pkcs8)};
        pem_encode("PRIVATE KEY", der, &pem);
        assert_int_equal(softkey_load(bytes_span(&pem), KEY_SIGN, &s, &e), RC_OK);
        assert_true(span_eq(point_of(s), bytes_span(&point)));
        signer_free(s);
        assert_int_equal(softkey_load(der, KEY_SIGN, &s, &e), RC_OK);
        assert_true(span_eq(point_of(s), bytes_span(&point)));
        signer_free(s);
        EVP_PKEY *key = plain_key(pkcs8);
        unsigned char *sec1 = NULL;
        int n = i2d_PrivateKey(key, &sec1);
        assert_int_equal(softkey_load((struct span){sec1, (size_t)n}, KEY_SIGN, &s, &e), RC_OK);
        signer_free(s);
        OPENSSL_free(sec1);
        EVP_PKEY_free(key);
        assert_err(softkey_load(SPAN("no key"), KEY_SIGN, &s, &e), RC_INPUT, "sign.softkey");
        secret_free(scalar);
        secret_free(pkcs8);
        bytes_free(&point);
        bytes_wipe(&pem);
    }
}

/* The adapter. */

static EVP_PKEY *adapt(struct signer *s)
{
    EVP_PKEY *key = NULL;

    assert_int_equal(evp_from_signer(s, &key, &e), RC_OK);
    return key;
}

static void test_evp_key(void **state)
{
    (void)state;
    for (size_t i = 0; i < ALGS; i++) {
        struct signer *s = new_key(alg_list[i], KEY_SIGN);
        struct signer *other = new_key(alg_list[i], KEY_SIGN);
        EVP_PKEY *key = adapt(s);
        char digest[32];
        assert_int_equal(EVP_PKEY_eq(key, s->public_key), 1);
        assert_int_equal(EVP_PKEY_eq(s->public_key, key), 1);
        assert_int_equal(EVP_PKEY_eq(key, other->public_key), 0);
        assert_int_equal(EVP_PKEY_get_bits(key), 8 * s->alg->field_len);
        assert_int_equal(EVP_PKEY_get_size(key), s->alg->signature_max);
        assert_int_equal(EVP_PKEY_get_base_id(key), EVP_PKEY_EC);
        assert_true(EVP_PKEY_get_default_digest_name(key, digest, sizeof(digest)) > 0);
        assert_string_equal(digest, s->alg->digest);
        EVP_PKEY_free(key);
        signer_free(s);
        signer_free(other);
    }
}

static void test_evp_request(void **state)
{
    (void)state;
    for (size_t i = 0; i < ALGS; i++) {
        struct signer *s = new_key(alg_list[i], KEY_SIGN);
        EVP_PKEY *key = adapt(s);
        EVP_MD *md = EVP_MD_fetch(evp_context(), s->alg->digest, NULL);
        X509_REQ *req = X509_REQ_new_ex(evp_context(), NULL);
        assert_int_equal(X509_REQ_set_pubkey(req, s->public_key), 1);
        assert_true(X509_REQ_sign(req, key, md) > 0);
        assert_int_equal(X509_REQ_verify(req, s->public_key), 1);
        X509_REQ_free(req);
        EVP_MD_free(md);
        EVP_PKEY_free(key);
        signer_free(s);
    }
}

static void test_evp_crl(void **state)
{
    (void)state;
    for (size_t i = 0; i < ALGS; i++) {
        struct signer *s = new_key(alg_list[i], KEY_SIGN);
        struct signer *other = new_key(alg_list[i], KEY_SIGN);
        EVP_PKEY *key = adapt(s);
        EVP_MD_CTX *ctx = EVP_MD_CTX_new();
        X509_CRL *crl = X509_CRL_new_ex(evp_context(), NULL);
        ASN1_TIME *t = ASN1_TIME_set(NULL, 1700000000);
        assert_int_equal(X509_CRL_set1_lastUpdate(crl, t), 1);
        assert_int_equal(EVP_DigestSignInit_ex(ctx, NULL, s->alg->digest, evp_context(), NULL, key, NULL), 1);
        assert_true(X509_CRL_sign_ctx(crl, ctx) > 0);
        assert_int_equal(X509_CRL_verify(crl, s->public_key), 1);
        assert_int_equal(X509_CRL_verify(crl, other->public_key), 0);
        ERR_clear_error();
        ASN1_TIME_free(t);
        X509_CRL_free(crl);
        EVP_MD_CTX_free(ctx);
        EVP_PKEY_free(key);
        signer_free(s);
        signer_free(other);
    }
}

/* In pieces, and going on after a first signature. */
static void test_evp_pieces(void **state)
{
    struct signer *s = new_key("ec-p256", KEY_SIGN);
    EVP_PKEY *key = adapt(s);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    uint8_t sig[72];
    size_t n = sizeof(sig);

    (void)state;
    assert_int_equal(EVP_DigestSignInit_ex(ctx, NULL, NULL, evp_context(), NULL, key, NULL), 1);
    assert_int_equal(EVP_DigestSignUpdate(ctx, "a", 1), 1);
    assert_int_equal(EVP_DigestSignFinal(ctx, sig, &n), 1);
    assert_int_equal(
        signature_verify_message(s->alg, bytes_span(&s->spki), SPAN("a"), (struct span){sig, n}, &e), RC_OK);
    assert_int_equal(EVP_DigestSignUpdate(ctx, "bc", 2), 1);
    n = sizeof(sig);
    assert_int_equal(EVP_DigestSignFinal(ctx, sig, &n), 1);
    assert_int_equal(
        signature_verify_message(s->alg, bytes_span(&s->spki), SPAN("abc"), (struct span){sig, n}, &e),
        RC_OK);
    EVP_MD_CTX_free(ctx);
    EVP_PKEY_free(key);
    signer_free(s);
}

static void test_evp_other_digest(void **state)
{
    struct signer *s = new_key("ec-p256", KEY_SIGN);
    EVP_PKEY *key = adapt(s);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();

    (void)state;
    assert_true(EVP_DigestSignInit_ex(ctx, NULL, "SHA1", evp_context(), NULL, key, NULL) <= 0);
    assert_err(err_ossl(&e, RC_SYSTEM, "test.sign", "cannot sign"), RC_INPUT, "sign.digest");
    EVP_MD_CTX_free(ctx);
    EVP_PKEY_free(key);
    signer_free(s);
}

static void test_evp_derive(void **state)
{
    (void)state;
    for (size_t i = 0; i < ALGS; i++) {
        struct signer *s = new_key(alg_list[i], KEY_DERIVE);
        struct signer *peer = new_key(alg_list[i], KEY_DERIVE);
        struct secret *z = NULL;
        EVP_PKEY *key = adapt(s);
        EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(evp_context(), key, NULL);
        uint8_t buf[64];
        size_t n = sizeof(buf);
        assert_int_equal(EVP_PKEY_derive_init(ctx), 1);
        assert_int_equal(EVP_PKEY_derive_set_peer(ctx, peer->public_key), 1);
        assert_int_equal(EVP_PKEY_derive(ctx, buf, &n), 1);
        assert_int_equal(n, s->alg->field_len);
        assert_int_equal(signer_derive(peer, point_of(s), &z, &e), RC_OK);
        assert_memory_equal(buf, secret_data(z), n);
        secret_free(z);
        EVP_PKEY_CTX_free(ctx);
        EVP_PKEY_free(key);
        signer_free(s);
        signer_free(peer);
    }
}

/* A token's failure keeps its code and key through libcrypto, and is not told twice. */
static void test_evp_failure(void **state)
{
    struct signer *real = new_key("ec-p256", KEY_SIGN);
    struct liar l;

    (void)state;
    liar_init(&l, real);
    l.broken = true;
    EVP_PKEY *key = adapt(&l.base);
    X509_REQ *req = X509_REQ_new_ex(evp_context(), NULL);
    EVP_MD *md = EVP_MD_fetch(evp_context(), "SHA256", NULL);
    assert_int_equal(X509_REQ_set_pubkey(req, real->public_key), 1);
    assert_int_equal(X509_REQ_sign(req, key, md), 0);
    assert_err(err_ossl(&e, RC_SYSTEM, "test.request", "request '%d'", 7), RC_TOKEN, "hsm.gone");
    assert_string_equal(e.text, "request '7': token 'x': it is gone");
    assert_err(err_ossl(&e, RC_SYSTEM, "test.request", "request '%d'", 8), RC_SYSTEM, "test.request");
    assert_string_equal(e.text, "request '8'");
    ERR_raise(ERR_LIB_X509, X509_R_KEY_TYPE_MISMATCH);
    ERR_raise(ERR_LIB_X509, X509_R_CERT_ALREADY_IN_HASH_TABLE);
    assert_err(err_ossl(&e, RC_INPUT, "test.reason", "request '9'"), RC_INPUT, "test.reason");
    assert_string_equal(e.text, "request '9': key type mismatch");
    EVP_MD_free(md);
    X509_REQ_free(req);
    EVP_PKEY_free(key);
    signer_free(&l.base);
    signer_free(real);
}

/* In a process whose openssl.cnf makes the default context find nothing: is it found after all? */
static bool found_with_config(bool ignore)
{
    static const char text[] =
        "openssl_conf = init\n[init]\nalg_section = alg\n[alg]\ndefault_properties = keymill.nothing=yes\n";
    char path[] = "/tmp/keymill-conf-XXXXXX";
    int fd = mkstemp(path);
    int status = 0;

    assert_int_equal(write(fd, text, sizeof(text) - 1), sizeof(text) - 1);
    assert_int_equal(close(fd), 0);
    pid_t child = fork();
    if (child == 0) {
        EVP_MD *md = NULL;
        (void)setenv("OPENSSL_CONF", path, 1);
        if (ignore)
            evp_ignore_config();
        signer_free(new_key("ec-p256", KEY_SIGN));
        md = EVP_MD_fetch(NULL, "SHA256", NULL);
        _exit(md == NULL ? 1 : 0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(unlink(path), 0);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status) == 0;
}

/* Before libcrypto is used in this process: the children must be new to it. */
static bool config_read, config_ignored;

static void test_ignore_config(void **state)
{
    (void)state;
    assert_true(config_read);
    assert_true(config_ignored);
}

/* Whatever of ours reached for the default context would find nothing there, in every test of this file. */
static int setup(void **state)
{
    (void)state;
    config_read = !found_with_config(false);
    config_ignored = found_with_config(true);
    assert_int_equal(EVP_set_default_properties(NULL, "keymill.nothing=yes"), 1);
    assert_null(EVP_MD_fetch(NULL, "SHA256", NULL));
    ERR_clear_error();
    return 0;
}

static void test_default_context(void **state)
{
    (void)state;
    assert_int_equal(OSSL_PROVIDER_available(evp_context(), "keymill"), 1);
    assert_int_equal(OSSL_PROVIDER_available(NULL, "keymill"), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_alg_rows),
        cmocka_unit_test(test_spki),
        cmocka_unit_test(test_spki_range),
        cmocka_unit_test(test_spki_names_type),
        cmocka_unit_test(test_ecdsa_to_der),
        cmocka_unit_test(test_digest),
        cmocka_unit_test(test_digest_file),
        cmocka_unit_test(test_random),
        cmocka_unit_test(test_hash_chain),
        cmocka_unit_test(test_merkle),
        cmocka_unit_test(test_sign),
        cmocka_unit_test(test_derive),
        cmocka_unit_test(test_usage),
        cmocka_unit_test(test_self_check),
        cmocka_unit_test(test_derive_length),
        cmocka_unit_test(test_signer_init_bad),
        cmocka_unit_test(test_threads),
        cmocka_unit_test(test_softstore),
        cmocka_unit_test(test_pkcs8_encode),
        cmocka_unit_test(test_pkcs8_decode),
        cmocka_unit_test(test_pkcs8_lengths),
        cmocka_unit_test(test_softkey_load),
        cmocka_unit_test(test_evp_key),
        cmocka_unit_test(test_evp_request),
        cmocka_unit_test(test_evp_crl),
        cmocka_unit_test(test_evp_pieces),
        cmocka_unit_test(test_evp_other_digest),
        cmocka_unit_test(test_evp_derive),
        cmocka_unit_test(test_evp_failure),
        cmocka_unit_test(test_default_context),
        cmocka_unit_test(test_ignore_config),
    };

    return cmocka_run_group_tests_name("sign", tests, setup, NULL);
}
