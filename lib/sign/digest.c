/* SPDX-License-Identifier: Apache-2.0 */
#include "sign/digest.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/rand.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sign/crypto.h"
#include "sign/evp.h"

/* A digest of memory fails only when memory is short. */
static void digest(const EVP_MD *md, struct span s, uint8_t *ret)
{
    if (EVP_Digest(s.p, s.n, ret, NULL, md, NULL) != 1)
        out_of_memory();
}

void sha256(struct span s, uint8_t ret[static SHA256_LEN])
{
    digest(crypto()->sha256, s, ret);
}

void sha1(struct span s, uint8_t ret[static 20])
{
    digest(crypto()->sha1, s, ret);
}

void alg_digest(const struct alg *a, struct span s, uint8_t *ret)
{
    digest(alg_md(a), s, ret);
}

struct sha256_ctx {
    EVP_MD_CTX *md;
};

struct sha256_ctx *sha256_new(void)
{
    struct sha256_ctx *c = mem_new(sizeof(*c));

    c->md = EVP_MD_CTX_new();
    if (c->md == NULL || EVP_DigestInit_ex2(c->md, crypto()->sha256, NULL) != 1)
        out_of_memory();
    return c;
}

void sha256_add(struct sha256_ctx *c, struct span s)
{
    if (EVP_DigestUpdate(c->md, s.p, s.n) != 1)
        bug("sha256: add failed");
}

void sha256_end(struct sha256_ctx *c, uint8_t ret[static SHA256_LEN])
{
    if (EVP_DigestFinal_ex(c->md, ret, NULL) != 1)
        bug("sha256: end failed");
    EVP_MD_CTX_free(c->md);
    free(c);
}

enum rc sha256_file(const char *path, uint8_t ret[static SHA256_LEN], struct err *e)
{
    uint8_t digest_of_file[SHA256_LEN];
    uint8_t buf[16384];
    ssize_t n = 0;
    struct sha256_ctx *c = NULL;
    enum rc rc = RC_OK;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);

    if (fd < 0)
        return err_sys(e, "file.read", "cannot read '%s'", path);
    c = sha256_new();
    while ((n = read(fd, buf, sizeof(buf))) > 0 || (n < 0 && errno == EINTR))
        if (n > 0)
            sha256_add(c, (struct span){buf, (size_t)n});
    if (n < 0)
        rc = err_sys(e, "file.read", "cannot read '%s'", path);
    sha256_end(c, digest_of_file);
    if (rc == RC_OK)
        memcpy(ret, digest_of_file, SHA256_LEN);
    (void)close(fd);
    return rc;
}

enum rc random_bytes(uint8_t *ret, size_t n, struct err *e)
{
    if (RAND_bytes_ex(crypto()->ctx, ret, n, 0) != 1)
        return err_ossl(e, RC_SYSTEM, "sign.random",
                        "cannot get '%zu' random octets from libcrypto's generator", n);
    return RC_OK;
}
