/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/support/pki.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "sign/alg.h"
#include "sign/softkey.h"
#include "x509/crl.h"
#include "x509/name.h"
#include "x509/profile.h"
#include "x509/tbs.h"

enum { DAY = 86400 };

void pki_must(enum rc rc, const struct err *e)
{
    if (rc == RC_OK)
        return;
    fprintf(stderr, "test support: %s [%s]\n", e->text, e->key);
    abort();
}

static struct signer *key_new(void)
{
    struct signer *s = NULL;
    struct err e = ERR_INIT;

    pki_must(softkey_new(alg_by_name("ec-p256"), KEY_SIGN, &s, &e), &e);
    return s;
}

/* The template of one certificate; issuer NULL: self-signed under name. */
static struct tbs_template *template_new(const struct pki *p, const struct profile *profile,
                                         const struct pki_ca *issuer, struct span name)
{
    struct tbs_template *t = NULL;
    struct err e = ERR_INIT;
    struct tbs_inputs in = {.profile = profile,
                            .sig_alg = alg_by_name("ec-p256"),
                            .issuer_name = issuer != NULL ? issuer->cert->subject : name,
                            .issuer_key_id = issuer != NULL ? issuer->cert->ski : (struct span){NULL, 0},
                            .not_before = p->begin,
                            .not_after = p->end};

    if (profile->max_days != 0 && in.not_after - in.not_before > profile->max_days * DAY)
        in.not_after = in.not_before + profile->max_days * DAY;
    pki_must(tbs_template_new(&in, &t, &e), &e);
    return t;
}

static struct cert *certify(const struct pki *p, struct signer *key, const struct pki_ca *issuer,
                            const char *profile_name, struct span name, struct span spki)
{
    char *path = mem_printf("schemas/profiles/%s.yaml", profile_name);
    struct profile *profile = NULL;
    struct tbs_template *t = NULL;
    struct bytes tbs = BYTES_INIT, sig = BYTES_INIT, der = BYTES_INIT;
    struct cert *c = NULL;
    uint8_t serial[SERIAL_LEN];
    struct err e = ERR_INIT;

    pki_must(profile_load(path, &profile, &e), &e);
    pki_must(serial_new(serial, &e), &e);
    t = template_new(p, profile, issuer, name);
    pki_must(tbs_make(t, &(struct tbs_subject){{serial, sizeof serial}, name, spki, {NULL, 0}}, &tbs, &e),
             &e);
    pki_must(signer_sign_message(key, bytes_span(&tbs), &sig, &e), &e);
    signed_assemble(key->alg, bytes_span(&tbs), bytes_span(&sig), &der);
    pki_must(cert_parse(profile_name, bytes_span(&der), &c, &e), &e);
    tbs_template_free(t);
    profile_free(profile);
    bytes_free(&tbs);
    bytes_free(&sig);
    bytes_free(&der);
    free(path);
    return c;
}

static void name_of(const char *cn, struct bytes *ret)
{
    struct name_attr attr = {"CN", cn};
    struct err e = ERR_INIT;

    pki_must(name_encode(&attr, 1, ret, &e), &e);
}

/* ---- CAs ---- */

static bool one_entry(void *arg, struct crl_entry *ret)
{
    const struct cert **revoked = arg;

    if (*revoked == NULL)
        return false;
    *ret = (struct crl_entry){.serial = (*revoked)->serial, .revoked_at = (*revoked)->not_before};
    *revoked = NULL;
    return true;
}

void pki_revoke(const struct pki *p, struct pki_ca *ca, const struct cert *revoked)
{
    struct err e = ERR_INIT;

    bytes_reset(&ca->crl);
    pki_must(crl_make(ca->key, ca->cert, revoked != NULL ? 2 : 1, p->begin, p->end, one_entry, &revoked,
                      &ca->crl, &e),
             &e);
}

static void ca_make(const struct pki *p, struct pki_ca *ca, const struct pki_ca *issuer, const char *profile)
{
    struct bytes name = BYTES_INIT;

    ca->key = key_new();
    name_of(profile, &name);
    ca->cert = certify(p, issuer != NULL ? issuer->key : ca->key, issuer, profile, bytes_span(&name),
                       bytes_span(&ca->key->spki));
    pki_revoke(p, ca, NULL);
    bytes_free(&name);
}

void pki_make(struct pki *p, int64_t begin, int64_t end)
{
    *p = (struct pki){.begin = begin, .end = end};
    ca_make(p, &p->root, NULL, "root");
    ca_make(p, &p->online, &p->root, "online-ca");
    ca_make(p, &p->local, &p->root, "local-ca");
}

static void ca_fini(struct pki_ca *ca)
{
    signer_free(ca->key);
    cert_free(ca->cert);
    bytes_free(&ca->crl);
}

void pki_fini(struct pki *p)
{
    ca_fini(&p->root);
    ca_fini(&p->online);
    ca_fini(&p->local);
    *p = (struct pki){0};
}

/* ---- leaves ---- */

struct cert *pki_issue(const struct pki *p, const struct pki_ca *ca, const char *profile, struct span name,
                       struct span spki)
{
    return certify(p, ca->key, ca, profile, name, spki);
}

struct cert *pki_issue_cn(const struct pki *p, const struct pki_ca *ca, const char *profile, const char *cn,
                          struct span spki)
{
    struct bytes name = BYTES_INIT;
    struct cert *c;

    name_of(cn, &name);
    c = pki_issue(p, ca, profile, bytes_span(&name), spki);
    bytes_free(&name);
    return c;
}

void pki_chain(const struct pki *p, const struct pki_ca *ca, const struct cert *leaf, struct cms_chain *ret)
{
    *ret = (struct cms_chain){.ncrls = 2};
    if (leaf != NULL)
        bytes_add_span(&ret->certs[ret->ncerts++], bytes_span(&leaf->der));
    bytes_add_span(&ret->certs[ret->ncerts++], bytes_span(&ca->cert->der));
    bytes_add_span(&ret->certs[ret->ncerts++], bytes_span(&p->root.cert->der));
    bytes_add_span(&ret->crls[0], bytes_span(&ca->crl));
    bytes_add_span(&ret->crls[1], bytes_span(&p->root.crl));
}

void pki_chain_pem(const struct cms_chain *chain, struct bytes *ret)
{
    for (size_t i = 0; i < chain->ncerts; i++)
        pem_encode("CERTIFICATE", bytes_span(&chain->certs[i]), ret);
    for (size_t i = 0; i < chain->ncrls; i++)
        pem_encode("X509 CRL", bytes_span(&chain->crls[i]), ret);
}

void pki_signer_make(struct pki_signer *s, const struct pki *p, const struct pki_ca *ca, const char *profile,
                     const char *cn)
{
    s->key = key_new();
    s->cert = pki_issue_cn(p, ca, profile, cn, bytes_span(&s->key->spki));
    pki_chain(p, ca, s->cert, &s->chain);
}

void pki_signer_fini(struct pki_signer *s)
{
    signer_free(s->key);
    cert_free(s->cert);
    cms_chain_free(&s->chain);
    *s = (struct pki_signer){0};
}
