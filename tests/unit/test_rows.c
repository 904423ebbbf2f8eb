/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/file.h"
#include "base/secret.h"
#include "base/text.h"
#include "sign/digest.h"
#include "sign_rows.h"

/* Every row of alg.h against libcrypto in the default context, and against python3-cryptography. */

static char dir[] = "/tmp/keymill-rows-XXXXXX";

static int setup(void **state)
{
    (void)state;
    assert_non_null(mkdtemp(dir));
    rows_make(ROWS);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    rows_free();
    return dir_remove(dir, &e) == RC_OK ? 0 : -1;
}

/* Rows and SPKI. */

/* What libcrypto itself writes for the row's scheme. */
static void libcrypto_algid(const struct row *r, struct bytes *ret)
{
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    EVP_PKEY_CTX *ctx = NULL;
    uint8_t id[128];
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_octet_string(OSSL_SIGNATURE_PARAM_ALGORITHM_ID, id, sizeof(id)),
        OSSL_PARAM_construct_end()};

    assert_int_equal(EVP_DigestSignInit_ex(md, &ctx, r->signer->alg->digest, NULL, NULL, r->plain, NULL), 1);
    if (r->signer->alg->pss) {
        assert_true(EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PSS_PADDING) > 0);
        assert_true(EVP_PKEY_CTX_set_rsa_pss_saltlen(ctx, RSA_PSS_SALTLEN_DIGEST) > 0);
    }
    assert_true(EVP_PKEY_CTX_get_params(ctx, params) > 0);
    bytes_add(ret, id, params[0].return_size);
    EVP_MD_CTX_free(md);
}

static void test_constants(void **state)
{
    (void)state;
    for (size_t i = 0; i < ROWS; i++) {
        const struct alg *a = alg_by_name(row_names[i]);
        struct bytes id = BYTES_INIT, spki = BYTES_INIT;
        unsigned char *der = NULL;

        libcrypto_algid(&rows[i], &id);
        assert_true(span_eq(bytes_span(&id), a->sig_algid));
        int n = i2d_PUBKEY(rows[i].plain, &der);
        assert_true(span_eq((struct span){der, (size_t)n}, bytes_span(&rows[i].signer->spki)));
        assert_int_equal(EVP_PKEY_get_bits(rows[i].plain), a->key_bits);
        assert_int_equal(EVP_PKEY_get_size(rows[i].plain), a->signature_max);
        if (a->family == ALG_RSA) {
            struct span modulus, exponent;
            assert_ok(spki_rsa(bytes_span(&rows[i].signer->spki), &modulus, &exponent, &e));
            assert_int_equal(modulus.n, a->key_bits / 8);
            assert_true(span_eq(exponent, SPAN("\x01\x00\x01")));
            spki_from_rsa(modulus, exponent, &spki);
        } else {
            struct span point;
            assert_ok(spki_point(a, bytes_span(&rows[i].signer->spki), &point, &e));
            spki_from_point(a, point, &spki);
            assert_ptr_equal(alg_by_params(a->params), a);
        }
        assert_true(span_eq(bytes_span(&spki), bytes_span(&rows[i].signer->spki)));
        OPENSSL_free(der);
        bytes_free(&id);
        bytes_free(&spki);
    }
}

/* Which rows belong to one key. */
static void test_schemes(void **state)
{
    (void)state;
    for (size_t i = 0; i < ROWS; i++) {
        const struct alg *a = alg_by_name(row_names[i]), *key = NULL;

        assert_ok(alg_of_spki(bytes_span(&rows[i].signer->spki), &key, &e));
        assert_ptr_equal(key, alg_key(a));
        assert_ptr_equal(alg_key(a), alg_by_name(row_names[a->pss ? i - 1 : i]));
        assert_ptr_equal(alg_pss(a),
                         a->family == ALG_RSA ? alg_by_name(row_names[a->pss ? i : i + 1]) : NULL);
        for (size_t k = 0; k < ROWS; k++) {
            const struct alg *found = alg_for_signature(a, alg_by_name(row_names[k])->sig_algid);
            if (a->family == ALG_RSA && k >= ROW_RSA)
                assert_ptr_equal(found, alg_by_name(row_names[k])->pss ? alg_pss(a) : alg_key(a));
            else
                assert_ptr_equal(found, i == k ? a : NULL);
        }
    }
    assert_err(signer_use_pss(rows[ROW_P256].signer, &e), RC_INPUT, "sign.key-type");
    assert_null(alg_by_rsa_bits(1024));
    assert_null(alg_by_rsa_bits(2047));
}

static void refused_spki(const struct bytes *spki, const char *key, const char *why)
{
    assert_err(spki_check(bytes_span(spki), NULL, &e), RC_INPUT, key);
    if (strstr(e.text, why) == NULL)
        fail_msg("'%s' is not in '%s'", why, e.text);
}

/* An RSA SPKI with these contents of the inner SEQUENCE, its lengths in the form that fits. */
static void rsa_by_hand(struct span numbers, struct bytes *ret)
{
    struct span id = alg_by_name("rsa-2048")->key_algid;
    size_t bits = 1 + 4 + numbers.n, all = id.n + 4 + bits;
    const uint8_t head[] = {0x30, 0x82, (uint8_t)(all >> 8), (uint8_t)all};
    const uint8_t middle[] = {0x03, 0x82, (uint8_t)(bits >> 8),      (uint8_t)bits,     0,
                              0x30, 0x82, (uint8_t)(numbers.n >> 8), (uint8_t)numbers.n};

    bytes_reset(ret);
    bytes_add(ret, head, sizeof(head));
    bytes_add_span(ret, id);
    bytes_add(ret, middle, sizeof(middle));
    bytes_add_span(ret, numbers);
}

static void add_numbers(struct bytes *ret, const char *prefix, size_t prefix_n, struct span modulus,
                        struct span exponent)
{
    bytes_reset(ret);
    bytes_add(ret, prefix, prefix_n);
    bytes_add_span(ret, modulus);
    bytes_add_span(ret, exponent);
}

/* What is not the one DER encoding of two positive numbers. */
static void test_rsa_spki_encoding(void **state)
{
    struct bytes spki = BYTES_INIT, in = BYTES_INIT;
    struct span good = bytes_span(&rows[ROW_RSA].signer->spki), m, x;
    const struct span e3 = SPAN("\x02\x03\x01\x00\x01");

    (void)state;
    assert_ok(spki_rsa(good, &m, &x, &e));
    add_numbers(&in, "\x02\x82\x01\x01\x00", 5, m, e3);
    rsa_by_hand(bytes_span(&in), &spki);
    assert_true(span_eq(bytes_span(&spki), good)); /* so it is not the test's encoder that is wrong */

    bytes_add_byte(&spki, 0);
    refused_spki(&spki, "sign.key-type", "unreadable");
    add_numbers(&in, "\x02\x82\x01\x01\x00", 5, m, SPAN("\x02\x03\x01\x00\x01\x05\x00"));
    rsa_by_hand(bytes_span(&in), &spki);
    refused_spki(&spki, "sign.key-type", "rsaEncryption");
    add_numbers(&in, "\x02\x82\x01\x00", 4, m, e3); /* negative: the top bit is set */
    rsa_by_hand(bytes_span(&in), &spki);
    refused_spki(&spki, "sign.key-type", "rsaEncryption");
    add_numbers(&in, "\x02\x82\x01\x02\x00\x00", 6, m, e3); /* a zero too many */
    rsa_by_hand(bytes_span(&in), &spki);
    refused_spki(&spki, "sign.key-type", "rsaEncryption");
    add_numbers(&in, "\x02\x83\x00\x01\x01\x00", 6, m, e3); /* a length longer than need be */
    rsa_by_hand(bytes_span(&in), &spki);
    refused_spki(&spki, "sign.key-type", "rsaEncryption");
    add_numbers(&in, "\x02\x82\x01\x01\x00", 5, m, SPAN("\x02\x81\x03\x01\x00\x01"));
    rsa_by_hand(bytes_span(&in), &spki);
    refused_spki(&spki, "sign.key-type", "rsaEncryption");
    add_numbers(&in, "\x02\x82\x01\x01\x00", 5, m, SPAN("\x02\x00"));
    rsa_by_hand(bytes_span(&in), &spki);
    refused_spki(&spki, "sign.key-type", "rsaEncryption");
    add_numbers(&in, "\x02\x82\x01\x01\x00", 5, m, SPAN(""));
    rsa_by_hand(bytes_span(&in), &spki);
    refused_spki(&spki, "sign.key-type", "rsaEncryption");

    bytes_reset(&spki);
    bytes_add_span(&spki, good);
    spki.p[4 + 15 + 4] = 1; /* unused bits */
    refused_spki(&spki, "sign.key-type", "rsaEncryption");
    spki.p[4 + 15 + 4] = 0;
    assert_ok(spki_check(bytes_span(&spki), NULL, &e));
    spki.p[4 + 14] = 1; /* NULL of one octet */
    refused_spki(&spki, "sign.key-type", "");
    for (size_t n = 0; n < good.n; n++)
        assert_int_equal(spki_check((struct span){good.p, n}, NULL, &e), RC_INPUT);
    bytes_free(&spki);
    bytes_free(&in);
}

/* Numbers that are well encoded and no sound key. */
static void test_rsa_spki_numbers(void **state)
{
    static const struct {
        struct span exponent;
        bool good;
    } exponents[] = {
        {{(const uint8_t *)"\x01", 1}, false},         {{(const uint8_t *)"\x03", 1}, false},
        {{(const uint8_t *)"\x11", 1}, false},         {{(const uint8_t *)"\xff\xff", 2}, false},
        {{(const uint8_t *)"\x01\x00\x00", 3}, false}, {{(const uint8_t *)"\x01\x00\x01", 3}, true},
        {{(const uint8_t *)"\x01\x00\x03", 3}, true},
    };
    struct bytes spki = BYTES_INIT, changed = BYTES_INIT;
    struct span m, x;

    (void)state;
    assert_ok(spki_rsa(bytes_span(&rows[ROW_RSA].signer->spki), &m, &x, &e));
    for (size_t i = 0; i < sizeof(exponents) / sizeof(exponents[0]); i++) {
        bytes_reset(&spki);
        spki_from_rsa(m, exponents[i].exponent, &spki);
        if (exponents[i].good)
            assert_ok(spki_check(bytes_span(&spki), NULL, &e));
        else
            refused_spki(&spki, "sign.key-point", "exponent");
    }
    bytes_add_span(&changed, m);
    changed.p[m.n - 1] ^= 1; /* even */
    bytes_reset(&spki);
    spki_from_rsa(bytes_span(&changed), x, &spki);
    refused_spki(&spki, "sign.key-point", "modulus");
    changed.p[m.n - 1] ^= 1;
    changed.p[0] = 0x40; /* 2047 bits */
    bytes_reset(&spki);
    spki_from_rsa(bytes_span(&changed), x, &spki);
    refused_spki(&spki, "sign.key-type", "2047 bits");
    bytes_reset(&spki);
    spki_from_rsa((struct span){m.p, 128}, x, &spki);
    refused_spki(&spki, "sign.key-type", "1024 bits");

    BIGNUM *prime = BN_new();
    assert_int_equal(BN_generate_prime_ex(prime, 2048, 0, NULL, NULL, NULL), 1);
    assert_int_equal(BN_bn2bin(prime, changed.p), 256);
    bytes_reset(&spki);
    spki_from_rsa(bytes_span(&changed), x, &spki);
    refused_spki(&spki, "sign.key-point", "is a prime");
    BN_free(prime);
    bytes_free(&spki);
    bytes_free(&changed);
}

/* Points of small order: with them as a public key, signatures can be made without a private one. */
static void test_ed25519_points(void **state)
{
    static const char *const bad[] = {
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0100000000000000000000000000000000000000000000000000000000000080",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    };
    const struct alg *a = alg_by_name("ed25519");

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct bytes point = BYTES_INIT, spki = BYTES_INIT;
        assert_ok(hex_decode(bad[i], 32, &point, &e));
        spki_from_point(a, bytes_span(&point), &spki);
        refused_spki(&spki, "sign.key-point", "small order");
        bytes_free(&point);
        bytes_free(&spki);
    }
    struct bytes spki = BYTES_INIT;
    bytes_add_span(&spki, bytes_span(&rows[ROW_ED25519].signer->spki));
    bytes_add_byte(&spki, 0);
    refused_spki(&spki, "sign.key-type", "");
    bytes_free(&spki);
}

/* Signatures. */

static bool libcrypto_verifies(const struct row *r, struct span message, struct span sig)
{
    const struct alg *a = r->signer->alg;
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    EVP_PKEY_CTX *ctx = NULL;

    assert_int_equal(EVP_DigestVerifyInit_ex(md, &ctx, a->digest, NULL, NULL, r->plain, NULL), 1);
    if (a->pss) {
        assert_true(EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PSS_PADDING) > 0);
        assert_true(EVP_PKEY_CTX_set_rsa_pss_saltlen(ctx, RSA_PSS_SALTLEN_DIGEST) > 0);
    }
    bool good = EVP_DigestVerify(md, sig.p, sig.n, message.p, message.n) == 1;
    EVP_MD_CTX_free(md);
    ERR_clear_error();
    return good;
}

static void put(const char *name, size_t i, struct span s)
{
    char *path = mem_printf("%s/%zu.%s", dir, i, name);

    assert_ok(file_publish(path, 0600, s, &e));
    free(path);
}

static void test_sign(void **state)
{
    (void)state;
    for (size_t i = 0; i < ROWS; i++) {
        struct signer *s = rows[i].signer;
        struct span spki = bytes_span(&s->spki);
        struct bytes sig = BYTES_INIT;

        assert_ok(signer_sign_message(s, SPAN("text"), &sig, &e));
        assert_true(libcrypto_verifies(&rows[i], SPAN("text"), bytes_span(&sig)));
        assert_ok(signature_verify_message(s->alg, spki, SPAN("text"), bytes_span(&sig), &e));
        assert_err(signature_verify_message(s->alg, spki, SPAN("test"), bytes_span(&sig), &e), RC_INPUT,
                   "sign.bad-signature");
        for (size_t k = 0; k < ROWS; k++) {
            const struct alg *other = alg_by_name(row_names[k]);
            if (other == s->alg)
                continue;
            /* The other row of the same key is refused by the signature, others by the key's type. */
            assert_err(signature_verify_message(other, spki, SPAN("text"), bytes_span(&sig), &e), RC_INPUT,
                       alg_key(other) == alg_key(s->alg) ? "sign.bad-signature" : "sign.key-type");
        }
        put("sig", i, bytes_span(&sig));
        put("spki", i, spki);
        sig.p[0] ^= 1;
        assert_err(signature_verify_message(s->alg, spki, SPAN("text"), bytes_span(&sig), &e), RC_INPUT,
                   "sign.bad-signature");
        sig.p[0] ^= 1;
        bytes_add_byte(&sig, 0);
        assert_err(signature_verify_message(s->alg, spki, SPAN("text"), bytes_span(&sig), &e), RC_INPUT,
                   "sign.bad-signature");
        bytes_free(&sig);
    }
    char *line =
        mem_printf("cd %s && /usr/bin/python3 - <<'EOT'\n"
                   "from cryptography.hazmat.primitives import hashes, serialization\n"
                   "from cryptography.hazmat.primitives.asymmetric import ec, padding\n"
                   "h = hashes.SHA256()\n"
                   "v15, pss = padding.PKCS1v15(), padding.PSS(padding.MGF1(h), 32)\n"
                   "args = [(ec.ECDSA(h),), (ec.ECDSA(hashes.SHA384()),), ()] + [(v15, h), (pss, h)] * 3\n"
                   "for i, a in enumerate(args):\n"
                   "    read = lambda what: open('%%d.%%s' %% (i, what), 'rb').read()\n"
                   "    key = serialization.load_der_public_key(read('spki'))\n"
                   "    key.verify(read('sig'), b'text', *a)\n"
                   "EOT",
                   dir);
    assert_int_equal(system(line), 0);
    free(line);
}

/* RFC 8017 8.1.2, 8.2.2: a signature has as many octets as the modulus, or one signature would have several
 * forms. libcrypto reads PSS without the zeros at its beginning. */
static void test_rsa_length(void **state)
{
    enum { TRIES = 10000 }; /* one in 256 begins with a zero */

    (void)state;
    for (size_t i = ROW_RSA; i <= ROW_RSA_PSS; i++) {
        struct signer *s = rows[i].signer;
        struct bytes sig = BYTES_INIT;
        char text[16] = "";

        for (int k = 0; k < TRIES && (sig.n == 0 || sig.p[0] != 0); k++) {
            bytes_free(&sig);
            (void)snprintf(text, sizeof(text), "%d", k);
            assert_ok(signer_sign_message(s, span_str(text), &sig, &e));
        }
        assert_int_equal(sig.p[0], 0);
        assert_ok(
            signature_verify_message(s->alg, bytes_span(&s->spki), span_str(text), bytes_span(&sig), &e));
        assert_err(signature_verify_message(s->alg, bytes_span(&s->spki), span_str(text),
                                            (struct span){sig.p + 1, sig.n - 1}, &e),
                   RC_INPUT, "sign.bad-signature");
        bytes_free(&sig);
    }
}

/* One RSA key signs under either of its rows when asked, whichever is its own. */
static void test_sign_as(void **state)
{
    (void)state;
    for (size_t i = ROW_RSA; i <= ROW_RSA_PSS; i++)
        for (size_t k = ROW_RSA; k <= ROW_RSA_PSS; k++) {
            const struct alg *a = alg_by_name(row_names[k]);
            uint8_t digest[SHA256_LEN];
            struct span input = {digest, SHA256_LEN};
            struct bytes sig = BYTES_INIT;

            sha256(SPAN("text"), digest);
            assert_ok(signer_sign_as(rows[i].signer, a, &input, 1, 1, &sig, &e));
            assert_true(libcrypto_verifies(&rows[k], SPAN("text"), bytes_span(&sig)));
            bytes_free(&sig);
        }
}

/* The first and the last are looked at, and every every-th; nothing is returned when one is wrong. */
static void test_sampled(void **state)
{
    enum { N = 8, EVERY = 3 };
    static const bool seen[N] = {true, false, false, true, false, false, true, true};
    static const size_t kinds[] = {ROW_P256, ROW_ED25519, ROW_RSA, ROW_RSA_PSS};
    uint8_t octets[N * 48] = {0};

    (void)state;
    for (size_t k = 0; k < sizeof(kinds) / sizeof(kinds[0]); k++) {
        struct signer *real = rows[kinds[k]].signer;
        size_t len = real->alg->digest_len == 0 ? 7 : real->alg->digest_len;
        struct span inputs[N];
        struct bytes sig[N];
        struct liar l;

        liar_init(&l, real);
        memset(sig, 0, sizeof(sig));
        for (size_t i = 0; i < N; i++)
            inputs[i] = (struct span){octets + i * len, len};
        for (l.bad = 0; l.bad <= N; l.bad++) {
            enum rc rc = signer_sign_sampled(&l.base, inputs, N, EVERY, sig, &e);
            if (l.bad < N && seen[l.bad])
                assert_err(rc, RC_TOKEN, "sign.self-check");
            else
                assert_ok(rc);
            for (size_t i = 0; i < N; i++) {
                assert_int_equal(sig[i].n != 0, rc == RC_OK);
                bytes_free(&sig[i]);
            }
            if (l.bad == N)
                continue;
            assert_err(signer_sign(&l.base, inputs, N, sig, &e), RC_TOKEN, "sign.self-check");
            for (size_t i = 0; i < N; i++)
                assert_int_equal(sig[i].n, 0);
        }
        signer_free(&l.base);
    }
}

/* Decryption and usage. */

static void encrypt(EVP_PKEY *key, int padding, const EVP_MD *md, struct bytes *ret)
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(key, NULL);
    size_t n = 512;

    assert_int_equal(EVP_PKEY_encrypt_init(ctx), 1);
    assert_true(EVP_PKEY_CTX_set_rsa_padding(ctx, padding) > 0);
    if (md != NULL) {
        assert_true(EVP_PKEY_CTX_set_rsa_oaep_md(ctx, md) > 0);
        assert_true(EVP_PKEY_CTX_set_rsa_mgf1_md(ctx, md) > 0);
    }
    bytes_reset(ret);
    assert_int_equal(EVP_PKEY_encrypt(ctx, bytes_room(ret, n), &n, (const unsigned char *)"lot key", 7), 1);
    ret->n = n;
    EVP_PKEY_CTX_free(ctx);
}

static void test_decrypt(void **state)
{
    (void)state;
    for (size_t i = ROW_RSA; i < ROWS; i += 2) {
        struct signer *s = NULL;
        struct bytes text = BYTES_INIT;
        struct secret *plain = NULL;

        assert_ok(softkey_load(bytes_span(&rows[i].pkcs8), KEY_DECRYPT, &s, &e));
        for (int d = OAEP_SHA1; d <= OAEP_SHA256; d++) {
            encrypt(rows[i].plain, RSA_PKCS1_OAEP_PADDING, d == OAEP_SHA1 ? EVP_sha1() : EVP_sha256(), &text);
            assert_ok(signer_decrypt(s, (enum oaep_digest)d, bytes_span(&text), &plain, &e));
            assert_int_equal(secret_len(plain), 7);
            assert_memory_equal(secret_data(plain), "lot key", 7);
            secret_free(plain);
            plain = NULL;
            assert_err(signer_decrypt(s, (enum oaep_digest)(1 - d), bytes_span(&text), &plain, &e), RC_INPUT,
                       "sign.decrypt");
        }
        assert_err(signer_decrypt(s, OAEP_SHA256, (struct span){text.p, text.n - 1}, &plain, &e), RC_INPUT,
                   "sign.decrypt");
        assert_err(signer_decrypt(rows[i].signer, OAEP_SHA256, bytes_span(&text), &plain, &e), RC_DENIED,
                   "sign.usage");
        encrypt(rows[i].plain, RSA_PKCS1_PADDING, NULL, &text);
        assert_err(signer_decrypt(s, OAEP_SHA256, bytes_span(&text), &plain, &e), RC_INPUT, "sign.decrypt");
        assert_null(plain);
        bytes_free(&text);
        signer_free(s);
    }
}

/* What a key of a type cannot do, it is not made for. */
static void test_usage(void **state)
{
    static const struct {
        size_t row;
        enum key_usage usage;
        bool good;
    } uses[] = {
        {ROW_P256, KEY_DERIVE, true},  {ROW_P256, KEY_DECRYPT, false},   {ROW_RSA, KEY_DERIVE, false},
        {ROW_RSA, KEY_DECRYPT, true},  {ROW_ED25519, KEY_DERIVE, false}, {ROW_ED25519, KEY_DECRYPT, false},
        {ROW_ED25519, KEY_SIGN, true},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(uses) / sizeof(uses[0]); i++) {
        struct signer *s = NULL;
        enum rc rc = softkey_load(bytes_span(&rows[uses[i].row].pkcs8), uses[i].usage, &s, &e);
        if (uses[i].good)
            assert_ok(rc);
        else
            assert_err(rc, RC_INPUT, "sign.key-type");
        signer_free(s);
    }
}

/* A key in a keystore is made for a row, and found again under the first row of its type. */
static void test_softstore(void **state)
{
    struct keystore *k = softstore_new();
    struct signer *made = NULL, *found = NULL;

    (void)state;
    assert_ok(k->ops->generate(k, "soft:ca", alg_by_name("rsa-2048-pss"), KEY_SIGN, NULL, &made, &e));
    assert_string_equal(made->alg->name, "rsa-2048-pss");
    assert_ok(k->ops->find(k, "soft:ca", KEY_SIGN, NULL, &found, &e));
    assert_string_equal(found->alg->name, "rsa-2048");
    assert_true(span_eq(bytes_span(&made->spki), bytes_span(&found->spki)));
    signer_free(made);
    signer_free(found);
    softstore_free(k);
}

/* A raw signature as a token has it. */
static void test_from_raw(void **state)
{
    uint8_t raw[512] = {1};

    (void)state;
    for (size_t i = 0; i < ROWS; i++) {
        const struct alg *a = alg_by_name(row_names[i]);
        struct bytes sig = BYTES_INIT;
        raw[a->signature_raw / 2] = 1;
        assert_ok(signature_from_raw(a, (struct span){raw, a->signature_raw}, &sig, &e));
        if (a->family != ALG_EC)
            assert_true(span_eq(bytes_span(&sig), (struct span){raw, a->signature_raw}));
        assert_err(signature_from_raw(a, (struct span){raw, a->signature_raw - 1}, &sig, &e), RC_INPUT,
                   a->family == ALG_EC ? "sign.ecdsa-sig" : "sign.signature-length");
        bytes_free(&sig);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_constants),
        cmocka_unit_test(test_schemes),
        cmocka_unit_test(test_rsa_spki_encoding),
        cmocka_unit_test(test_rsa_spki_numbers),
        cmocka_unit_test(test_ed25519_points),
        cmocka_unit_test(test_sign),
        cmocka_unit_test(test_rsa_length),
        cmocka_unit_test(test_sign_as),
        cmocka_unit_test(test_sampled),
        cmocka_unit_test(test_decrypt),
        cmocka_unit_test(test_usage),
        cmocka_unit_test(test_softstore),
        cmocka_unit_test(test_from_raw),
    };

    return cmocka_run_group_tests_name("rows", tests, setup, teardown);
}
