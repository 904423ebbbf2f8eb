/* SPDX-License-Identifier: Apache-2.0 */
#include "x509/lint.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "sign/alg.h"
#include "sign/digest.h"
#include "sign/signer.h"
#include "sign/softkey.h"
#include "x509/cert.h"
#include "x509/lint_internal.h"
#include "x509/name.h"
#include "x509/profile.h"
#include "x509/tbs.h"

/* "form" and "signature" are not rules: without them there is nothing that a rule could judge. */
static enum rc malformed(const struct lint_subject *s, const char *text, struct err *e)
{
    return err_set(e, RC_DENIED, "lint.form",
                   "cannot sign with profile '%s': this is no TBSCertificate: %s (RFC 5280 4.1)",
                   s->profile->name, text);
}

/* The row under which the throw-away key signs: of the issuer's key or, self-signed, of the key inside, and
 * of an RSA key's two the one that the TBS names. */
static enum rc issuer_alg(const struct lint_subject *s, const struct alg **ret, struct err *e)
{
    const struct alg *any = alg_by_name("ec-p256"), *key = NULL, *row = NULL;
    struct bytes der = BYTES_INIT;
    struct cert *c = NULL;
    struct scan scan;
    struct err why;
    enum rc rc = RC_OK;

    signed_assemble(any, s->tbs, SPAN("\0"), &der);
    if (cert_scan(bytes_span(&der), &c, &scan, &why)) {
        rc = malformed(s, why.text, e);
        goto out;
    }
    key = s->issuer ? s->issuer->key_alg : c->key_alg;
    if (!key) /* a foreign key: the rules "key-type" or "algorithm" refuse it */
        key = any;
    row = alg_for_signature(key, c->tbs_sig_algid);
    *ret = row ? row : key;
out:
    cert_free(c);
    bytes_free(&der);
    return rc;
}

/* The key is the caller's to free unless it is an RSA key, which is kept. It signs what never leaves here. */
static enum rc trial_key(const struct alg *a, struct signer **ret, struct err *e)
{
    enum { SIZES = 4 };
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    static struct signer *kept[SIZES];
    enum rc rc = RC_OK;
    size_t i = 0;

    if (a->family != ALG_RSA)
        return softkey_new(a, KEY_SIGN, ret, e);
    (void)pthread_mutex_lock(&lock);
    while (kept[i] && kept[i]->alg != alg_key(a))
        i++;
    if (i == SIZES - 1)
        bug("lint: more RSA key types than expected");
    if (!kept[i])
        rc = softkey_new(alg_key(a), KEY_SIGN, &kept[i], e);
    *ret = kept[i];
    (void)pthread_mutex_unlock(&lock);
    return rc;
}

static void trial_key_free(struct signer *key)
{
    if (key && key->alg->family != ALG_RSA)
        signer_free(key);
}

static enum rc trial_sign(struct signer *key, const struct alg *a, struct span tbs, struct bytes *ret,
                          struct err *e)
{
    uint8_t digest[DIGEST_MAX];
    struct span input = tbs;

    if (a->digest_len) {
        alg_digest(a, tbs, digest);
        input = (struct span){digest, a->digest_len};
    }
    return signer_sign_as(key, a, &input, 1, 1, ret, e);
}

/* The certificate as it would be, with another's signature. */
static enum rc sign_and_read(const struct lint_subject *s, struct signer *key, const struct alg *a,
                             struct cert **ret, struct scan *ret_scan, struct err *e)
{
    struct bytes signature = BYTES_INIT, der = BYTES_INIT;
    struct cert *c = NULL;
    struct err why;
    enum rc rc = trial_sign(key, a, s->tbs, &signature, e);

    if (rc)
        goto out;
    signed_assemble(a, s->tbs, bytes_span(&signature), &der);
    if (cert_scan(bytes_span(&der), &c, ret_scan, &why)) {
        rc = malformed(s, why.text, e);
        goto out;
    }
    if (!span_eq(c->tbs, s->tbs) ||
        signature_verify_message(a, bytes_span(&key->spki), c->tbs, c->signature, &why)) {
        rc = err_set(e, RC_DENIED, "lint.signature",
                     "cannot sign with profile '%s': a trial signature over these octets does not verify",
                     s->profile->name);
        goto out;
    }
    *ret = c;
    c = NULL;
out:
    cert_free(c);
    bytes_free(&signature);
    bytes_free(&der);
    return rc;
}

static uint64_t judge(const struct lint_view *v)
{
    const struct lint_rule_info *rules = lint_rules();
    uint64_t found = 0;

    for (size_t i = 0; rules[i].id; i++)
        if (!rules[i].check(v))
            found |= UINT64_C(1) << i;
    return found;
}

/* ret_subject, when wanted: the subject's text for a message, malloc'd. */
static enum rc find(const struct lint_subject *s, uint64_t *ret, char **ret_subject, struct err *e)
{
    struct lint_view v = {.issuer = s->issuer, .profile = s->profile, .foreign = s->foreign};
    const struct alg *a = NULL;
    struct signer *key = NULL;
    struct cert *c = NULL;
    enum rc rc = issuer_alg(s, &a, e);

    if (!rc)
        rc = trial_key(a, &key, e);
    if (!rc)
        rc = sign_and_read(s, key, a, &c, &v.scan, e);
    if (rc)
        goto out;
    v.cert = c;
    *ret = judge(&v);
    if (ret_subject && *ret)
        *ret_subject = name_text(c->subject);
out:
    cert_free(c);
    trial_key_free(key);
    return rc;
}

enum rc lint_findings(const struct lint_subject *s, uint64_t *ret, struct err *e)
{
    return find(s, ret, NULL, e);
}

enum rc lint_tbs(const struct lint_subject *s, struct err *e)
{
    const struct lint_rule_info *rules = lint_rules();
    char key[ERR_KEY_MAX];
    char *subject = NULL;
    uint64_t found = 0;
    size_t i = 0;
    enum rc rc = find(s, &found, &subject, e);

    if (rc || !found)
        goto out;
    while (!(found >> i & 1))
        i++;
    (void)snprintf(key, sizeof key, "lint.%s", rules[i].id);
    rc = err_set(e, RC_DENIED, key, "cannot sign '%s': profile '%s': the rule is that %s (%s)", subject,
                 s->profile->name, rules[i].text, rules[i].clause);
out:
    free(subject);
    return rc;
}
