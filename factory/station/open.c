/* SPDX-License-Identifier: Apache-2.0 */
#include <dirent.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/lock.h"
#include "factory/station/internal.h"
#include "x509/cert.h"

enum rc station_home_check(const char *home, struct err *e)
{
    char *config = station_path(home, "station.yaml");
    enum rc rc = RC_OK;

    if (!file_exists(config))
        rc = err_set(e, RC_CONFLICT, "station.no-home",
                     "'%s' is no station's home; check --home, or run 'keymill-station init' first", home);
    free(config);
    return rc;
}

struct trust station_office_trust(const struct station *s)
{
    /* A signer chooses the CRLs in its file; those that were imported here count as well. */
    struct trust t = {.has_issuer = true, .known = &s->chain};

    memcpy(t.root, s->config.trust, SHA256_LEN);
    memcpy(t.issuer, s->config.order_issuer, SHA256_LEN);
    return t;
}

/* One of the station's certificates; before both are imported there is nothing to work on. */
static enum rc load_cert(const struct station *s, const char *file, const char *request, struct cert **ret,
                         struct err *e)
{
    char *path = station_path(s->home, file);
    enum rc rc = RC_OK;

    if (file_exists(path))
        rc = cert_read(path, ret, e);
    else
        rc = err_set(e, RC_CONFLICT, "station.not-certified",
                     "'%s' is missing: have headquarters certify '%s/%s', then run 'keymill-station import'",
                     path, s->home, request);
    free(path);
    return rc;
}

static enum rc load_identity(struct station *s, struct err *e)
{
    char *config = station_path(s->home, "station.yaml"), *chain = station_path(s->home, "chain.pem");
    enum rc rc = station_home_check(s->home, e);

    if (rc == RC_OK)
        rc = station_config_read(config, &s->config, e);
    if (rc == RC_OK)
        rc = load_cert(s, "manifest.pem", "manifest.csr", &s->manifest, e);
    if (rc == RC_OK)
        rc = load_cert(s, "seal.pem", "seal.csr", &s->seal, e);
    if (rc == RC_OK)
        rc = chain_read(chain, &s->chain, e);
    free(config);
    free(chain);
    return rc;
}

/* The journal is made before the first order is taken; orders without one mean that it was lost, and with it
 * what was delivered. */
static enum rc journal_present(const char *journal, const char *orders, struct err *e)
{
    DIR *d = file_exists(journal) ? NULL : opendir(orders);
    enum rc rc = RC_OK;

    for (struct dirent *entry; d != NULL && rc == RC_OK && (entry = readdir(d)) != NULL;)
        if (entry->d_name[0] != '.')
            rc = err_set(
                e, RC_INPUT, "journal.missing",
                "'%s' is gone, but orders were accepted here ('%s'); bring the journal back from where it went, or call headquarters",
                journal, orders);
    if (d != NULL)
        closedir(d);
    return rc;
}

static enum rc load_state(struct station *s, struct err *e)
{
    char *lock = station_path(s->home, "lock"), *journal = station_path(s->home, "journal.jsonl"),
         *orders = station_path(s->home, "orders");
    enum rc rc = lock_take(lock, STATION_LOCK_WAIT_MS, &s->lock, e);

    if (rc == RC_OK)
        rc = journal_present(journal, orders, e);
    if (rc == RC_OK)
        rc = dir_make(orders, 0700, e);
    if (rc == RC_OK)
        rc = journal_open(journal, station_apply, s, &s->journal, e);
    free(lock);
    free(journal);
    free(orders);
    return rc;
}

enum rc station_open(const char *home, struct keystore *keys, struct station **ret, struct err *e)
{
    struct station *s = mem_new(sizeof *s);
    enum rc rc;

    s->home = mem_str(home);
    s->keys = keys;
    rc = load_identity(s, e);
    if (rc == RC_OK)
        rc = load_state(s, e);
    if (rc == RC_OK) {
        *ret = s;
        s = NULL;
    }
    station_close_home(s);
    return rc;
}

void station_close_home(struct station *s)
{
    if (s == NULL)
        return;
    journal_close(s->journal);
    for (size_t i = 0; i < s->njobs; i++)
        job_fini(&s->jobs[i]);
    free(s->jobs);
    cert_free(s->manifest);
    cert_free(s->seal);
    cms_chain_free(&s->chain);
    station_config_fini(&s->config);
    lock_drop(s->lock);
    free(s->home);
    free(s);
}
