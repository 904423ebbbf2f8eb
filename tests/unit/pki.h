/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TEST_PKI_H
#define TEST_PKI_H

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "base/text.h"
#include "sign/alg.h"
#include "sign/cms.h"
#include "sign/signer.h"
#include "sign/softkey.h"
#include "x509/cert.h"
#include "x509/crl.h"
#include "x509/csr.h"
#include "x509/internal.h"
#include "x509/lint.h"
#include "x509/name.h"
#include "x509/profile.h"
#include "x509/tbs.h"
#include "x509/verify.h"

/* A hierarchy with software keys for the tests of x509, and the means to ask other programs about it.
 * Included behind cmocka.h. */

#define PKI_BEGIN INT64_C(1767225600) /* 2026-01-01 */
enum { PKI_DAY = 86400 };
static int64_t pki_begin = PKI_BEGIN; /* certtool knows no other time than now */

struct node {
    struct profile *profile;
    struct signer *key;
    struct cert *cert;
};

static inline void must(enum rc rc, const struct err *e)
{
    if (rc)
        fail_msg("rc %d: %s [%s]", rc, e->text, e->key);
}

static inline void must_fail(enum rc rc, const struct err *e, enum rc want, const char *key)
{
    if (rc != want || strcmp(e->key, key) != 0)
        fail_msg("wanted rc %d [%s], got rc %d [%s] %s", want, key, rc, rc ? e->key : "", rc ? e->text : "");
    assert_non_null(strchr(e->text, '\''));
}

static inline void node_free(struct node *n)
{
    profile_free(n->profile);
    signer_free(n->key);
    cert_free(n->cert);
    memset(n, 0, sizeof *n);
}

static inline void pki_name(const char *cn, struct bytes *ret)
{
    struct name_attr attrs[] = {{"CN", cn}, {"OU", "M\xc3\xbcnchen"}};
    struct err e;

    must(name_encode(attrs, 2, ret, &e), &e);
}

static inline void pki_sign(struct signer *s, struct span tbs, struct bytes *ret)
{
    struct bytes sig = BYTES_INIT;
    struct err e;

    must(signer_sign_message(s, tbs, &sig, &e), &e);
    signed_assemble(s->alg, tbs, bytes_span(&sig), ret);
    bytes_free(&sig);
}

static inline enum key_usage pki_usage(unsigned key_usage)
{
    if (key_usage & KU_KEY_AGREEMENT)
        return KEY_DERIVE;
    return key_usage & KU_KEY_ENCIPHERMENT ? KEY_DECRYPT : KEY_SIGN;
}

/* Whatever was asked for, without lint: tests make what must be refused as well. Takes the profile. issuer
 * NULL: self-signed. days 0: 1000. */
static inline struct node node_with(struct profile *profile, const char *alg, const char *cn,
                                    const struct node *issuer, int64_t days, struct span san)
{
    struct node n = {profile, NULL, NULL};
    struct bytes name = BYTES_INIT, tbs = BYTES_INIT, der = BYTES_INIT;
    struct tbs_template *t = NULL;
    struct tbs_inputs in;
    struct tbs_subject s;
    uint8_t serial[SERIAL_LEN];
    struct err e;

    must(softkey_new(alg_by_name(alg), pki_usage(n.profile->key_usage), &n.key, &e), &e);
    must(serial_new(serial, &e), &e);
    pki_name(cn, &name);
    in = (struct tbs_inputs){.profile = n.profile,
                             .sig_alg = issuer ? issuer->key->alg : n.key->alg,
                             .issuer_name = issuer ? issuer->cert->subject : bytes_span(&name),
                             .issuer_key_id = issuer ? issuer->cert->ski : (struct span){NULL, 0},
                             .not_before = pki_begin,
                             .not_after = pki_begin + (days ? days : 1000) * PKI_DAY};
    if (n.profile->max_days && n.profile->max_days < (days ? days : 1000))
        in.not_after = pki_begin + n.profile->max_days * PKI_DAY;
    must(tbs_template_new(&in, &t, &e), &e);
    s = (struct tbs_subject){{serial, sizeof serial}, bytes_span(&name), bytes_span(&n.key->spki), san};
    must(tbs_make(t, &s, &tbs, &e), &e);
    pki_sign(issuer ? issuer->key : n.key, bytes_span(&tbs), &der);
    must(cert_parse(cn, bytes_span(&der), &n.cert, &e), &e);
    tbs_template_free(t);
    bytes_free(&name);
    bytes_free(&tbs);
    bytes_free(&der);
    return n;
}

static inline struct profile *pki_profile(const char *name)
{
    struct profile *p = NULL;
    struct err e;

    must(profile_load(name, &p, &e), &e);
    return p;
}

static inline struct node node_make(const char *profile, const char *alg, const char *cn,
                                    const struct node *issuer, int64_t days, struct span san)
{
    return node_with(pki_profile(profile), alg, cn, issuer, days, san);
}

/* A list of serials for crl_make. */
struct pki_revoked {
    const struct cert *const *certs;
    size_t n, at;
    int reason;
};

static inline bool pki_next(void *arg, struct crl_entry *ret)
{
    struct pki_revoked *r = arg;

    if (r->at == r->n)
        return false;
    *ret = (struct crl_entry){r->certs[r->at++]->serial, PKI_BEGIN + PKI_DAY, r->reason};
    return true;
}

static inline void pki_crl(const struct node *issuer, const struct cert *revoked, int64_t begin,
                           struct bytes *ret)
{
    struct pki_revoked r = {&revoked, revoked ? 1 : 0, 0, 1};
    struct err e;

    must(crl_make(issuer->key, issuer->cert, 7, begin, begin + 30 * PKI_DAY, pki_next, &r, ret, &e), &e);
}

static inline void chain_cert(struct cms_chain *c, const struct node *n)
{
    bytes_add_span(&c->certs[c->ncerts++], bytes_span(&n->cert->der));
}

static inline void chain_crl(struct cms_chain *c, const struct node *issuer, const struct node *revoked)
{
    pki_crl(issuer, revoked ? revoked->cert : NULL, PKI_BEGIN, &c->crls[c->ncrls++]);
}

/* ---- files and other programs ---- */

static char pki_dir[] = "/tmp/keymill-x509-XXXXXX";

static inline int pki_dir_make(void **state)
{
    (void)state;
    return mkdtemp(pki_dir) ? 0 : -1;
}

static inline int pki_dir_remove(void **state)
{
    struct err e;

    (void)state;
    return dir_remove(pki_dir, &e) ? -1 : 0;
}

/* DER as PEM (label) or as it is (NULL) into a file of the folder. */
static inline void pki_file(const char *name, const char *label, struct span der)
{
    struct bytes text = BYTES_INIT;
    char *path = path_join(pki_dir, name);
    struct err e;

    if (label)
        pem_encode(label, der, &text);
    else
        bytes_add_span(&text, der);
    must(file_publish(path, 0600, bytes_span(&text), &e), &e);
    free(path);
    bytes_free(&text);
}

static inline void pki_cert_file(const char *name, const struct node *n)
{
    pki_file(name, "CERTIFICATE", bytes_span(&n->cert->der));
}

/* Runs a shell command in the folder; true when it succeeds. Its output is shown when quiet is false and it
 * fails. */
static inline bool pki_sh(bool quiet, const char *command)
{
    char *line = mem_printf("cd '%s' && ( %s\n) >log 2>&1", pki_dir, command);
    char *log = path_join(pki_dir, "log");
    int status = system(line);
    bool ok = WIFEXITED(status) && WEXITSTATUS(status) == 0;
    struct bytes text = BYTES_INIT;
    struct err e;

    if (!ok && !quiet && file_read(log, FILE_SMALL_MAX, &text, &e) == RC_OK)
        print_error("$ %s\n%s\n", command, bytes_str(&text));
    bytes_free(&text);
    free(log);
    free(line);
    return ok;
}

#define CHECK_SH(command) assert_true(pki_sh(false, command))

static inline void pki_load(const char *name, struct bytes *ret)
{
    char *path = path_join(pki_dir, name);
    struct err e;

    must(file_read(path, FILE_DOC_MAX, ret, &e), &e);
    free(path);
}

#endif
