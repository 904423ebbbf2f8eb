/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/support/softpki.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "sign/alg.h"
#include "sign/digest.h"
#include "sign/softkey.h"
#include "x509/crl.h"
#include "x509/name.h"
#include "x509/profile.h"
#include "x509/tbs.h"

static void must(enum rc rc, const struct err *e)
{
    if (rc == RC_OK)
        return;
    fprintf(stderr, "pki: %s [%s]\n", e->text, e->key);
    abort();
}

static struct signer *key_new(void)
{
    struct signer *s = NULL;
    struct err e = ERR_INIT;
    must(softkey_new(alg_by_name("ec-p256"), KEY_SIGN, &s, &e), &e);
    return s;
}

/* A certificate for key, signed by issuer_key. issuer NULL: self-signed. */
static struct cert *cert_make(const struct profile *p, const char *name, const struct signer *key,
                              struct signer *issuer_key, const struct cert *issuer)
{
    struct err e = ERR_INIT;
    struct bytes subject = BYTES_INIT, tbs = BYTES_INIT, sig = BYTES_INIT, der = BYTES_INIT;
    struct tbs_template *t = NULL;
    struct cert *cert = NULL;
    uint8_t serial[SERIAL_LEN];
    const struct name_attr cn = {"CN", name};

    must(name_encode(&cn, 1, &subject, &e), &e);
    must(serial_new(serial, &e), &e);
    const struct tbs_inputs in = {.profile = p,
                                  .sig_alg = issuer_key->alg,
                                  .issuer_name = issuer == NULL ? bytes_span(&subject) : issuer->subject,
                                  .issuer_key_id = issuer == NULL ? (struct span){NULL, 0} : issuer->ski,
                                  .not_before = PKI_BEGIN,
                                  .not_after = PKI_END};
    must(tbs_template_new(&in, &t, &e), &e);
    const struct tbs_subject s = {
        .serial = {serial, sizeof(serial)}, .name = bytes_span(&subject), .spki = bytes_span(&key->spki)};
    must(tbs_make(t, &s, &tbs, &e), &e);
    must(signer_sign_message(issuer_key, bytes_span(&tbs), &sig, &e), &e);
    signed_assemble(issuer_key->alg, bytes_span(&tbs), bytes_span(&sig), &der);
    must(cert_parse(name, bytes_span(&der), &cert, &e), &e);
    tbs_template_free(t);
    bytes_free(&subject);
    bytes_free(&tbs);
    bytes_free(&sig);
    bytes_free(&der);
    return cert;
}

static bool no_entry(void *arg, struct crl_entry *ret)
{
    (void)arg;
    (void)ret;
    return false;
}

static char profile_name[] = "test";

void pki_ca_make(struct pki_ca *ca, const char *name, const struct pki_ca *parent)
{
    struct err e = ERR_INIT;
    const struct profile p = {.name = profile_name,
                              .kind = parent == NULL ? PROFILE_ROOT : PROFILE_CA,
                              .algs = {alg_by_name("ec-p256")},
                              .nalgs = 1,
                              .path_len = parent == NULL ? -1 : 0,
                              .key_usage = KU_KEY_CERT_SIGN | KU_CRL_SIGN,
                              .ski = SKI_SHA1};
    *ca = (struct pki_ca){.key = key_new()};
    ca->cert = cert_make(&p, name, ca->key, parent == NULL ? ca->key : parent->key,
                         parent == NULL ? NULL : parent->cert);
    must(crl_make(ca->key, ca->cert, 1, PKI_BEGIN, PKI_END, no_entry, NULL, &ca->crl, &e), &e);
}

void pki_ca_fini(struct pki_ca *ca)
{
    signer_free(ca->key);
    cert_free(ca->cert);
    bytes_free(&ca->crl);
}

struct cert *pki_cert_for(const struct signer *key, const char *name, const char *eku,
                          const struct pki_ca *issuer)
{
    char *oid = mem_str(eku);
    const struct profile p = {.name = profile_name,
                              .kind = PROFILE_LEAF,
                              .algs = {alg_by_name("ec-p256")},
                              .nalgs = 1,
                              .path_len = -1,
                              .key_usage = KU_DIGITAL_SIGNATURE,
                              .ekus = {oid},
                              .nekus = 1,
                              .ski = SKI_SHA1};
    struct cert *c = cert_make(&p, name, key, issuer->key, issuer->cert);
    free(oid);
    return c;
}

void pki_leaf_make(struct pki_leaf *leaf, const char *name, const char *eku, const struct pki_ca *issuer)
{
    leaf->key = key_new();
    leaf->cert = pki_cert_for(leaf->key, name, eku, issuer);
}

void pki_leaf_fini(struct pki_leaf *leaf)
{
    signer_free(leaf->key);
    cert_free(leaf->cert);
}

void pki_chain(const struct pki_leaf *leaf, const struct pki_ca *issuer, const struct pki_ca *root,
               struct cms_chain *ret)
{
    *ret = (struct cms_chain){.ncerts = 3, .ncrls = 2};
    bytes_add_span(&ret->certs[0], bytes_span(&leaf->cert->der));
    bytes_add_span(&ret->certs[1], bytes_span(&issuer->cert->der));
    bytes_add_span(&ret->certs[2], bytes_span(&root->cert->der));
    bytes_add_span(&ret->crls[0], bytes_span(&issuer->crl));
    bytes_add_span(&ret->crls[1], bytes_span(&root->crl));
}

struct trust pki_trust(const struct pki_ca *root, const struct pki_ca *issuer)
{
    struct trust t = {.has_issuer = issuer != NULL};
    memcpy(t.root, root->cert->sha256, SHA256_LEN);
    if (issuer != NULL)
        memcpy(t.issuer, issuer->cert->sha256, SHA256_LEN);
    return t;
}

enum rc content_sha256(const char *path, uint8_t ret[static 32], struct err *e)
{
    struct bytes der = BYTES_INIT;
    struct cms_signed c = {0};
    enum rc rc = file_read(path, FILE_DOC_MAX, &der, e);

    if (rc == RC_OK)
        rc = cms_verify(path, bytes_span(&der), &c, e);
    if (rc == RC_OK)
        sha256(bytes_span(&c.content), ret);
    cms_signed_free(&c);
    bytes_free(&der);
    return rc;
}
