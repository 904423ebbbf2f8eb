/* SPDX-License-Identifier: Apache-2.0 */
#include "sign/jwe.h"

#include <limits.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/kdf.h>
#include <string.h>

#include "base/jsonw.h"
#include "base/secret.h"
#include "base/text.h"
#include "sign/crypto.h"
#include "sign/digest.h"
#include "sign/evp.h"
#include "sign/softkey.h"

enum {
    KEY_LEN = 32,
    IV_LEN = 12,
    TAG_LEN = 16,
    CONTENT_MAX = 16 << 20, /* octets */
    HEADER_MAX = 4096,      /* octets of base64 */
};
#define ENC "A256GCM"

/* The five parts of a compact JWE, RFC 7516 7.1. */
enum { PART_HEADER, PART_KEY, PART_IV, PART_TEXT, PART_TAG, PARTS };

static enum rc jwe_fail(struct err *e, const char *why)
{
    return err_set(e, RC_INPUT, "sign.jwe", "'JWE': %s", why);
}

/* AES-256-GCM; aad is the protected header as it stands in the file. */

static bool gcm_seal(const struct secret *key, const uint8_t iv[static IV_LEN], struct span aad,
                     const struct secret *content, struct bytes *ret_text, uint8_t ret_tag[static TAG_LEN])
{
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    size_t n = secret_len(content);
    uint8_t *p = bytes_room(ret_text, n + 1);
    int len = 0;
    bool ok = ctx != NULL && EVP_EncryptInit_ex2(ctx, crypto()->aes256gcm, secret_data(key), iv, NULL) == 1 &&
              EVP_EncryptUpdate(ctx, NULL, &len, aad.p, (int)aad.n) == 1 &&
              EVP_EncryptUpdate(ctx, p, &len, secret_data(content), (int)n) == 1 &&
              EVP_EncryptFinal_ex(ctx, p + len, &len) == 1 &&
              EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, TAG_LEN, ret_tag) == 1;

    ret_text->n += n;
    EVP_CIPHER_CTX_free(ctx);
    return ok;
}

static bool gcm_open(const struct secret *key, struct span iv, struct span aad, struct span text,
                     struct span tag, struct secret *ret)
{
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    uint8_t *p = secret_data(ret);
    int len = 0;
    bool ok = ctx != NULL &&
              EVP_DecryptInit_ex2(ctx, crypto()->aes256gcm, secret_data(key), iv.p, NULL) == 1 &&
              EVP_DecryptUpdate(ctx, NULL, &len, aad.p, (int)aad.n) == 1 &&
              EVP_DecryptUpdate(ctx, p, &len, text.p, (int)text.n) == 1 &&
              EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, TAG_LEN, unconst(tag.p)) == 1 &&
              EVP_DecryptFinal_ex(ctx, p + len, &len) == 1;

    secret_set_len(ret, ok ? text.n : 0);
    ERR_clear_error();
    EVP_CIPHER_CTX_free(ctx);
    return ok;
}

enum rc jwe_seal_dir(const struct secret *key, struct span header, const struct secret *content,
                     struct bytes *ret, struct err *e)
{
    struct bytes aad = BYTES_INIT;
    struct bytes text = BYTES_INIT;
    uint8_t iv[IV_LEN];
    uint8_t tag[TAG_LEN];
    enum rc rc = RC_OK;

    if (secret_len(key) != KEY_LEN)
        bug("jwe: a key of %zu octets", secret_len(key));
    b64url_encode(header, &aad);
    if (aad.n > HEADER_MAX || secret_len(content) > CONTENT_MAX) {
        rc = jwe_fail(e, "header or content is too long to be sealed");
        goto out;
    }
    rc = random_bytes(iv, sizeof(iv), e);
    if (rc != RC_OK)
        goto out;
    if (!gcm_seal(key, iv, bytes_span(&aad), content, &text, tag)) {
        rc = err_ossl(e, RC_SYSTEM, "sign.jwe", "'JWE': cannot encrypt");
        goto out;
    }
    bytes_add_span(ret, bytes_span(&aad));
    bytes_add_str(ret, ".."); /* the encrypted key is empty, RFC 7518 4.5 and 4.6 */
    b64url_encode((struct span){iv, sizeof(iv)}, ret);
    bytes_add_byte(ret, '.');
    b64url_encode(bytes_span(&text), ret);
    bytes_add_byte(ret, '.');
    b64url_encode((struct span){tag, sizeof(tag)}, ret);
out:
    bytes_free(&aad);
    bytes_free(&text);
    return rc;
}

static enum rc jwe_split(struct span jwe, struct span part[static PARTS], struct err *e)
{
    const uint8_t *from = jwe.p;
    const uint8_t *end = jwe.p + jwe.n;

    if (jwe.n > HEADER_MAX + 2 * (size_t)CONTENT_MAX)
        return jwe_fail(e, "too long");
    for (int i = 0; i < PARTS; i++) {
        const uint8_t *dot = from == end ? NULL : memchr(from, '.', (size_t)(end - from));
        if ((dot == NULL) != (i == PARTS - 1))
            return jwe_fail(e, "not five parts with dots between (RFC 7516 7.1)");
        part[i] = (struct span){from, (size_t)((dot == NULL ? end : dot) - from)};
        from = dot == NULL ? end : dot + 1;
    }
    if (part[PART_KEY].n != 0 || part[PART_HEADER].n > HEADER_MAX)
        return jwe_fail(e, "its encrypted key is not empty, or its header is too long");
    return RC_OK;
}

static enum rc jwe_decode(const struct span part[static PARTS], struct bytes bin[static PARTS], struct err *e)
{
    for (int i = 0; i < PARTS; i++)
        if (b64url_decode(part[i], &bin[i], e) != RC_OK)
            return jwe_fail(e, "a part is not in base64url");
    if (bin[PART_IV].n != IV_LEN || bin[PART_TAG].n != TAG_LEN)
        return jwe_fail(e, "its IV or its tag does not have the length of " ENC);
    return RC_OK;
}

enum rc jwe_open_dir(const struct secret *key, struct span jwe, struct bytes *ret_header, struct secret **ret,
                     struct err *e)
{
    struct span part[PARTS];
    struct bytes bin[PARTS] = {BYTES_INIT};
    struct secret *content = NULL;
    enum rc rc = RC_OK;

    if (secret_len(key) != KEY_LEN)
        bug("jwe: a key of %zu octets", secret_len(key));
    rc = jwe_split(jwe, part, e);
    if (rc == RC_OK)
        rc = jwe_decode(part, bin, e);
    if (rc != RC_OK)
        goto out;
    content = secret_new(bin[PART_TEXT].n);
    if (!gcm_open(key, bytes_span(&bin[PART_IV]), part[PART_HEADER], bytes_span(&bin[PART_TEXT]),
                  bytes_span(&bin[PART_TAG]), content)) {
        rc = jwe_fail(e, "it was changed, or is not for this key");
        goto out;
    }
    bytes_add_span(ret_header, bytes_span(&bin[PART_HEADER]));
    *ret = content;
    content = NULL;
out:
    secret_free(content);
    for (int i = 0; i < PARTS; i++)
        bytes_free(&bin[i]);
    return rc;
}

/* ECDH-ES. */

static void add_be32(struct sha256_ctx *c, size_t v)
{
    uint8_t be[4] = {(uint8_t)(v >> 24), (uint8_t)(v >> 16), (uint8_t)(v >> 8), (uint8_t)v};

    sha256_add(c, (struct span){be, sizeof(be)});
}

static void add_counted(struct sha256_ctx *c, struct span s)
{
    add_be32(c, s.n);
    sha256_add(c, s);
}

void concat_kdf(struct span z, const char *enc, struct span apu, struct span apv, size_t n, uint8_t *ret)
{
    uint8_t digest[SHA256_LEN];
    struct sha256_ctx *c = sha256_new();

    if (n > sizeof(digest))
        bug("jwe: a key of %zu octets", n);
    add_be32(c, 1); /* the one round that up to 32 octets need */
    sha256_add(c, z);
    add_counted(c, span_str(enc));
    add_counted(c, apu);
    add_counted(c, apv);
    add_be32(c, 8 * n);
    sha256_end(c, digest);
    memcpy(ret, digest, n);
    wipe(digest, sizeof(digest));
}

/* The content key between s (ours) and a peer's point, RFC 7518 4.6.2 with empty party information. */
static enum rc agree(struct signer *s, struct span peer_point, struct secret **ret, struct err *e)
{
    static const struct span none = {NULL, 0};
    struct secret *z = NULL;
    enum rc rc = signer_derive(s, peer_point, &z, e);

    if (rc != RC_OK)
        return rc;
    struct secret *key = secret_new(KEY_LEN);
    secret_set_len(key, KEY_LEN);
    concat_kdf((struct span){secret_data(z), secret_len(z)}, ENC, none, none, KEY_LEN, secret_data(key));
    secret_free(z);
    *ret = key;
    return RC_OK;
}

static void put_coordinate(struct jsonw *w, const char *name, struct span octets)
{
    struct bytes b = BYTES_INIT;

    b64url_encode(octets, &b);
    jsonw_str(w, name, bytes_str(&b));
    bytes_free(&b);
}

static void ecdh_header(const struct alg *a, struct span point, const char *kid, struct bytes *ret)
{
    struct jsonw w;

    jsonw_init(&w, ret);
    jsonw_object(&w, NULL);
    jsonw_str(&w, "alg", "ECDH-ES");
    jsonw_str(&w, "enc", ENC);
    jsonw_object(&w, "epk");
    jsonw_str(&w, "kty", "EC");
    jsonw_str(&w, "crv", a->group);
    put_coordinate(&w, "x", (struct span){point.p + 1, a->field_len});
    put_coordinate(&w, "y", (struct span){point.p + 1 + a->field_len, a->field_len});
    jsonw_end(&w);
    jsonw_str(&w, "kid", kid);
    jsonw_end(&w);
}

enum rc jwe_seal_ecdh(struct span spki, const char *kid, const struct secret *content, struct bytes *ret,
                      struct err *e)
{
    const struct alg *alg = NULL;
    struct signer *ephemeral = NULL;
    struct secret *key = NULL;
    struct bytes header = BYTES_INIT;
    struct span peer = {NULL, 0}, own = {NULL, 0};
    enum rc rc = spki_check(spki, &alg, e);

    if (rc == RC_OK && alg->p11_derive == 0)
        rc = err_set(e, RC_INPUT, "sign.key-type",
                     "key '%s': it is of type %s, and JWE files are sealed to EC keys alone", kid, alg->name);
    if (rc == RC_OK)
        rc = spki_point(alg, spki, &peer, e);
    if (rc == RC_OK)
        rc = softkey_new(alg, KEY_DERIVE, &ephemeral, e);
    if (rc == RC_OK)
        rc = spki_point(alg, bytes_span(&ephemeral->spki), &own, e);
    if (rc == RC_OK)
        rc = agree(ephemeral, peer, &key, e);
    if (rc == RC_OK) {
        ecdh_header(alg, own, kid, &header);
        rc = jwe_seal_dir(key, bytes_span(&header), content, ret, e);
    }
    secret_free(key);
    signer_free(ephemeral);
    bytes_free(&header);
    return rc;
}

/* Where a coordinate's base64 begins in a header of ours. */
static size_t coordinate_at(const char *header, const char *member)
{
    const char *p = strstr(header, member);

    return p == NULL ? 0 : (size_t)(p - header) + strlen(member);
}

/* The ephemeral point in a header. All but the two coordinates is known beforehand: the header is written
 * again with what stands in their places, and must come out the same. */
static enum rc header_point(const struct alg *a, const char *kid, struct span header, struct bytes *ret,
                            struct err *e)
{
    uint8_t zero[POINT_MAX] = {POINT_CONVERSION_UNCOMPRESSED};
    size_t point_len = 1 + 2 * a->field_len;
    size_t b64_len = (4 * a->field_len + 2) / 3;
    struct bytes model = BYTES_INIT;
    bool good = false;

    ecdh_header(a, (struct span){zero, point_len}, kid, &model);
    if (header.n == model.n) {
        size_t x = coordinate_at(bytes_str(&model), "\"x\":\"");
        size_t y = coordinate_at(bytes_str(&model), "\"y\":\"");
        bytes_add_byte(ret, POINT_CONVERSION_UNCOMPRESSED);
        good = b64url_decode((struct span){header.p + x, b64_len}, ret, e) == RC_OK &&
               b64url_decode((struct span){header.p + y, b64_len}, ret, e) == RC_OK && ret->n == point_len;
    }
    if (good) {
        bytes_reset(&model);
        ecdh_header(a, bytes_span(ret), kid, &model);
        good = span_eq(bytes_span(&model), header);
    }
    bytes_free(&model);
    return good ? RC_OK
                : jwe_fail(e, "its header is not that of ECDH-ES to this key and kid, as keymill writes it");
}

enum rc jwe_open_ecdh(struct signer *s, const char *kid, struct span jwe, struct secret **ret, struct err *e)
{
    struct span part[PARTS];
    struct bytes header = BYTES_INIT;
    struct bytes point = BYTES_INIT;
    struct bytes again = BYTES_INIT;
    struct secret *key = NULL;
    enum rc rc = RC_OK;

    if (s->usage != KEY_DERIVE)
        return err_set(e, RC_DENIED, "sign.usage", "key '%s': a %s key never agrees on a secret", s->name,
                       key_usage_name(s->usage));
    rc = jwe_split(jwe, part, e);
    if (rc == RC_OK && b64url_decode(part[PART_HEADER], &header, e) != RC_OK)
        rc = jwe_fail(e, "its header is not in base64url");
    if (rc == RC_OK)
        rc = header_point(s->alg, kid, bytes_span(&header), &point, e);
    if (rc == RC_OK)
        rc = agree(s, bytes_span(&point), &key, e);
    if (rc == RC_OK)
        rc = jwe_open_dir(key, jwe, &again, ret, e);
    secret_free(key);
    bytes_free(&header);
    bytes_free(&point);
    bytes_free(&again);
    return rc;
}

enum rc hkdf_sha256(const struct secret *key, struct span info, size_t n, struct secret **ret, struct err *e)
{
    struct secret *out = NULL;
    EVP_KDF_CTX *ctx = NULL;
    enum rc rc = RC_OK;

    if (secret_len(key) == 0 || n == 0 || n > 255 * SHA256_LEN)
        bug("hkdf: %zu octets from %zu", n, secret_len(key));
    OSSL_PARAM params[] = {param_text(OSSL_KDF_PARAM_DIGEST, "SHA256"),
                           param_octets(OSSL_KDF_PARAM_KEY, (struct span){secret_data(key), secret_len(key)}),
                           param_octets(OSSL_KDF_PARAM_INFO, info), OSSL_PARAM_construct_end()};
    out = secret_new(n);
    secret_set_len(out, n);
    ctx = EVP_KDF_CTX_new(crypto()->hkdf);
    if (ctx == NULL || EVP_KDF_derive(ctx, secret_data(out), n, params) <= 0) {
        rc = err_ossl(e, RC_SYSTEM, "sign.hkdf", "cannot derive '%zu' octets", n);
        goto out;
    }
    *ret = out;
    out = NULL;
out:
    EVP_KDF_CTX_free(ctx);
    secret_free(out);
    return rc;
}
