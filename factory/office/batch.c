/* SPDX-License-Identifier: Apache-2.0 */
#include "factory/office/batch.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/file.h"
#include "ca/ca.h"
#include "factory/office.h"
#include "factory/signed.h"
#include "x509/cert.h"

uint64_t batch_lots(const struct batch_job *j)
{
    return (j->station->quantity - 1) / j->order.lot_size + 1;
}

static void job_fini(struct batch_job *j)
{
    free(j->part);
    free(j->out);
    bytes_free(&j->seal);
    order_fini(&j->order);
    stored_order_free(&j->stored);
}

/* The order is the one that this office signed, octet for octet: no signature needs to be judged. */
static enum rc load_order(struct batch_job *j, const char *path, struct err *e)
{
    struct bytes der = BYTES_INIT;
    struct signed_doc doc = {0};
    bool found = false;
    enum rc rc = file_read(path, FILE_DOC_MAX, &der, e);
    if (rc == RC_OK)
        rc = signed_peek(path, bytes_span(&der), &doc, e);
    if (rc == RC_OK)
        rc = stored_order_by_sha256(j->office, doc.sha256, &j->stored, &found, e);
    if (rc == RC_OK && !found)
        rc = err_set(
            e, RC_CONFLICT, "office.order-unknown",
            "'%s' is not an order that the office in '%s' made: batches are made for its own orders alone",
            path, j->office->home);
    if (rc == RC_OK)
        rc = stored_order_decode(&j->stored, &j->order, e);
    signed_free(&doc);
    bytes_free(&der);
    return rc;
}

static void station_names(const struct order *o, struct bytes *ret)
{
    for (size_t i = 0; i < o->nstations; i++)
        bytes_printf(ret, "%s'%s'", i ? ", " : "", o->stations[i].name);
}

static enum rc choose_station(struct batch_job *j, const char *name, struct err *e)
{
    const struct order *o = &j->order;
    for (size_t i = 0; i < o->nstations; i++)
        if (name ? strcmp(o->stations[i].name, name) == 0 : o->nstations == 1)
            j->station = &o->stations[i];
    if (j->station)
        return RC_OK;

    struct bytes names = BYTES_INIT;
    station_names(o, &names);
    enum rc rc = err_set(e, RC_USAGE, "office.station-name", "order '%s': name one of its stations: %s",
                         o->id, bytes_str(&names));
    bytes_free(&names);
    return rc;
}

static enum rc check_ca(const struct batch_job *j, struct err *e)
{
    const struct cert *c = ca_cert(j->ca);
    if (memcmp(c->sha256, j->order.ca, SHA256_LEN) == 0)
        return RC_OK;
    return err_set(e, RC_DENIED, "office.ca",
                   "order '%s' is not for the CA '%s': it names another one by its SHA-256", j->order.id,
                   c->cn ? c->cn : "?");
}

static enum rc check_window(const struct batch_job *j, struct err *e)
{
    char until[TIME_TEXT];
    if (clock_now() <= j->order.window_until)
        return RC_OK;
    time_format(j->order.window_until, until);
    return err_set(e, RC_DENIED, "order.expired",
                   "order '%s': its window ended at %s, so no station would take a batch of it", j->order.id,
                   until);
}

/* "DIR" and "DIR.part", however many slashes stand at the end. */
static void name_folders(struct batch_job *j, const char *out)
{
    size_t n = strlen(out);
    while (n > 1 && out[n - 1] == '/')
        n--;
    j->out = mem_strn(out, n);
    j->part = mem_printf("%s.part", j->out);
}

static enum rc load_job(struct batch_job *j, const char *order_path, const char *station, const char *out,
                        struct err *e)
{
    enum rc rc = load_order(j, order_path, e);
    if (rc == RC_OK)
        rc = choose_station(j, station, e);
    if (rc == RC_OK)
        rc = check_ca(j, e);
    if (rc == RC_OK)
        rc = stored_order_seal(j->office, j->order.id, j->station->name, &j->seal, e);
    if (rc == RC_OK) {
        snprintf(j->id, sizeof(j->id), "%s.%s", j->order.id, j->station->name);
        name_folders(j, out);
    }
    return rc;
}

static enum rc make(struct batch_job *j, struct batch_report *ret, struct err *e)
{
    struct batch_lines *lines = NULL;
    struct lot_keys *lots = NULL;
    struct signer *wrap = NULL;

    enum rc rc = check_window(j, e);
    if (rc == RC_OK)
        rc = ca_chain_in_service(j->office, bytes_span(&j->stored.ca_chain), e);
    if (rc == RC_OK)
        rc = office_signer(j->office, OFFICE_WRAP, &wrap, e);
    if (rc == RC_OK)
        rc = batch_lines_open(j, &lines, e);
    if (rc != RC_OK)
        return rc;
    lots = lot_keys_new(j->office, wrap, j->id, batch_lots(j));
    ret->resumed = lines->count;
    ret->made = ret->count - ret->resumed;
    rc = batch_run(j, lines, lots, e);
    if (rc == RC_OK)
        rc = batch_finish(j, lines, lots, e);
    lot_keys_free(lots);
    batch_lines_close(lines);
    return rc;
}

/* What is there already under the name decides: the whole batch is success, anything else is not ours to
 * touch. */
static enum rc make_or_check(struct batch_job *j, struct batch_report *ret, struct err *e)
{
    struct batch_record record = {0};
    bool recorded = false;
    enum rc rc = batch_record_find(j, &record, &recorded, e);
    ret->count = j->station->quantity;
    ret->verify_every = j->order.verify_every;
    if (rc == RC_OK && !file_exists(j->out))
        rc = make(j, ret, e);
    else if (rc == RC_OK && recorded)
        rc = batch_folder_check(j, &record, j->out, true, e);
    else if (rc == RC_OK)
        rc = err_set(e, RC_CONFLICT, "office.out-used",
                     "'%s' exists and is not the batch '%s': move it away or name another folder", j->out,
                     j->id);
    batch_record_free(&record);
    return rc;
}

enum rc office_batch_make(struct office *o, struct ca *ca, const char *order_path, const char *station,
                          const char *out, struct batch_report *ret, struct err *e)
{
    struct batch_job *j = mem_new(sizeof(*j)); /* an order is large */
    struct batch_report report = {0};
    int64_t began = clock_mono_ms();
    j->office = o;
    j->ca = ca;
    enum rc rc = load_job(j, order_path, station, out, e);
    if (rc == RC_OK)
        rc = make_or_check(j, &report, e);
    if (rc == RC_OK) {
        report.elapsed_ms = clock_mono_ms() - began;
        *ret = report;
    }
    job_fini(j);
    free(j);
    return rc;
}
