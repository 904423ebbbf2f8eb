/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "base/clock.h"
#include "base/jsonw.h"
#include "ca/internal.h"
#include "sign/alg.h"
#include "sign/signer.h"
#include "x509/cert.h"

static enum rc signer_open(struct ca *ca, struct keystore *keys, struct err *e)
{
    enum rc rc = keys->ops->find(keys, ca->config->key, KEY_SIGN, &ca->config->exceptions, &ca->signer, e);
    if (rc != RC_OK)
        return rc;
    if (!span_eq(bytes_span(&ca->signer->spki), ca->cert->spki))
        return err_set(e, RC_CONFLICT, "ca.key-changed",
                       "key '%s' is not the one of the certificate in '%s'; find out who replaced it",
                       ca->config->key, ca->home);
    return key_of_config(ca, ca->signer, e);
}

static enum rc config_audit(struct ca *ca, const uint8_t hash[static SHA256_LEN], struct err *e)
{
    struct bytes detail = BYTES_INIT;
    struct jsonw w;
    jsonw_init(&w, &detail);
    jsonw_object(&w, NULL);
    jsonw_hex(&w, "before", (struct span){ca->self.config_sha256, SHA256_LEN});
    jsonw_hex(&w, "config_sha256", (struct span){hash, SHA256_LEN});
    jsonw_end(&w);
    enum rc rc = audit_append(ca->db, clock_now(), "config", bytes_str(&detail), e);
    bytes_free(&detail);
    return rc;
}

/* An operator may edit ca.yaml (what is issued, how often a CRL is due); that it happened is recorded before
 * anything is signed under it. */
static enum rc config_changed(struct ca *ca, struct err *e)
{
    uint8_t hash[SHA256_LEN];
    sha256(bytes_span(&ca->config_text), hash);
    if (memcmp(hash, ca->self.config_sha256, sizeof(hash)) == 0)
        return RC_OK;
    enum rc rc = store_begin(ca->db, e);
    if (rc != RC_OK)
        return rc;
    struct stmt *q = store_stmt(ca->db, "UPDATE authority SET config_sha256 = ?");
    stmt_blob(q, 1, (struct span){hash, sizeof(hash)});
    rc = stmt_run(q, e);
    if (rc == RC_OK)
        rc = config_audit(ca, hash, e);
    if (rc == RC_OK)
        rc = store_commit(ca->db, e);
    store_rollback(ca->db);
    return rc;
}

enum rc ca_open(const char *home, struct keystore *keys, struct ca **ret, struct err *e)
{
    struct ca *ca = NULL;
    enum rc rc = home_open(home, &ca, e);
    if (rc != RC_OK)
        goto out;
    if (ca->self.certificate.n == 0) {
        rc = err_set(e, RC_CONFLICT, "ca.no-certificate", "the CA in '%s' has no certificate yet; %s", home,
                     ca->config->has_trust ? "import the one the root made for its request"
                                           : "run 'init' again to finish it");
        goto out;
    }
    rc = home_load_certificate(ca, e);
    if (rc == RC_OK && keys != NULL)
        rc = signer_open(ca, keys, e);
    if (rc == RC_OK && keys != NULL)
        rc = config_changed(ca, e);
    if (rc != RC_OK)
        goto out;
    *ret = ca;
    ca = NULL;
out:
    ca_close(ca);
    return rc;
}

const struct cert *ca_cert(const struct ca *ca)
{
    return ca->cert;
}

const struct ca_config *ca_configuration(const struct ca *ca)
{
    return ca->config;
}

const struct cms_chain *ca_chain(const struct ca *ca)
{
    return &ca->chain;
}

struct signer *ca_signer(const struct ca *ca)
{
    return ca->signer;
}
