/* SPDX-License-Identifier: Apache-2.0 */
#include "cloud/admission.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "cloud/internal.h"
#include "factory/shamap.h"
#include "factory/signed.h"

/* One certificate of any list. */
struct device {
    uint8_t id[SHA256_LEN]; /* SHA-256 of its id */
    uint32_t issuer;        /* index */
    bool released, revoked; /* by a list that names it; its issuer may be out besides */
};

struct position {
    uint64_t sequence; /* 0: no list yet */
    uint8_t sha256[SHA256_LEN];
};

struct admission {
    struct shamap by_cert; /* certificate SHA-256 -> index of devices */
    struct device *devices;
    size_t ndevices, cap;
    struct shamap by_issuer; /* issuer SHA-256 -> index of issuer_out */
    bool *issuer_out;
    struct shamap orders_out; /* SHA-256 of a revoked order's id */
    struct position last[2];  /* by enum list_kind */
    struct err doubt;
};

/* Lists are added up. */

static uint32_t issuer_index(struct admission *a, const uint8_t sha256[static SHA256_LEN])
{
    uint32_t i;
    if (shamap_find(&a->by_issuer, sha256, &i))
        return i;
    i = (uint32_t)a->by_issuer.n;
    a->issuer_out = mem_grow(a->issuer_out, a->by_issuer.n + 1, sizeof(*a->issuer_out));
    a->issuer_out[i] = false;
    shamap_add(&a->by_issuer, sha256, i);
    return i;
}

static struct device *device_of(const struct admission *a, const uint8_t cert[static SHA256_LEN])
{
    uint32_t i;
    return shamap_find(&a->by_cert, cert, &i) ? &a->devices[i] : NULL;
}

static struct device *device_add(struct admission *a, const struct list_device *l)
{
    struct device *d = device_of(a, l->cert);
    if (d != NULL)
        return d;
    if (a->ndevices == a->cap) {
        a->cap = a->cap == 0 ? 64 : 2 * a->cap;
        a->devices = mem_grow(a->devices, a->cap, sizeof(*a->devices));
    }
    d = &a->devices[a->ndevices];
    *d = (struct device){.issuer = issuer_index(a, l->issuer)};
    sha256(span_str(l->id), d->id);
    shamap_add(&a->by_cert, l->cert, (uint32_t)a->ndevices++);
    return d;
}

/* What a revocation says besides the certificate is not needed, so a release list may put it right. */
static void apply_release(struct admission *a, const struct list_device *l)
{
    struct device *d = device_add(a, l);
    if (d->released)
        return;
    d->issuer = issuer_index(a, l->issuer);
    sha256(span_str(l->id), d->id);
    d->released = true;
}

static void apply_revocation(struct admission *a, const struct device_list *l)
{
    uint8_t order[SHA256_LEN];
    for (size_t i = 0; i < l->ndevices; i++)
        device_add(a, &l->devices[i])->revoked = true;
    for (size_t i = 0; i < l->nissuers; i++) {
        uint32_t issuer = issuer_index(a, l->issuers[i]); /* first: it may move the array */
        a->issuer_out[issuer] = true;
    }
    if (l->order[0] == '\0')
        return;
    sha256(span_str(l->order), order);
    shamap_add(&a->orders_out, order, 0);
}

static void apply(struct admission *a, const struct device_list *l, const uint8_t file[static SHA256_LEN])
{
    if (l->kind == LIST_REVOCATION)
        apply_revocation(a, l);
    for (size_t i = 0; i < l->ndevices && l->kind == LIST_RELEASE; i++)
        apply_release(a, &l->devices[i]);
    a->last[l->kind].sequence = l->sequence;
    memcpy(a->last[l->kind].sha256, file, SHA256_LEN);
}

/* A certificate is released under one name and issuer. */
static enum rc check_same(const struct admission *a, const char *name, const struct device_list *l,
                          struct err *e)
{
    uint8_t id[SHA256_LEN];
    for (size_t i = 0; i < l->ndevices; i++) {
        uint32_t issuer;
        const struct device *d = device_of(a, l->devices[i].cert);
        if (d == NULL || !d->released)
            continue;
        sha256(span_str(l->devices[i].id), id);
        if (memcmp(id, d->id, SHA256_LEN) != 0 ||
            !shamap_find(&a->by_issuer, l->devices[i].issuer, &issuer) || issuer != d->issuer)
            return err_set(e, RC_INPUT, "cloud.list-differs",
                           "'%s': device '%s': an earlier list has another id or issuer for its certificate",
                           name, l->devices[i].id);
    }
    return RC_OK;
}

enum rc admission_follows(const struct admission *a, const char *name, const struct device_list *l,
                          struct err *e)
{
    const struct position *last = &a->last[l->kind];
    if (l->sequence != last->sequence + 1)
        return err_set(e, RC_CONFLICT, "cloud.sequence",
                       "'%s' is list %" PRIu64 ", but the next one here is %" PRIu64
                       "; hand the lists over in their order",
                       name, l->sequence, last->sequence + 1);
    if (memcmp(l->previous, last->sha256, SHA256_LEN) != 0)
        return err_set(
            e, RC_CONFLICT, "cloud.previous",
            "'%s' does not follow the list before it: it names another SHA-256; one of the two is not the office's",
            name);
    /* A revocation is about certificates: it counts even when it has another name for one. */
    return l->kind == LIST_REVOCATION ? RC_OK : check_same(a, name, l, e);
}

void admission_last(const struct admission *a, enum list_kind kind, uint64_t *ret_sequence,
                    uint8_t ret_sha256[static SHA256_LEN])
{
    *ret_sequence = a->last[kind].sequence;
    memcpy(ret_sha256, a->last[kind].sha256, SHA256_LEN);
}

/* Reading the folders. */

enum rc list_open(const char *path, enum list_kind kind, const struct target *t, struct device_list *ret,
                  uint8_t ret_sha256[static SHA256_LEN], struct bytes *ret_der, struct err *e)
{
    struct bytes der = BYTES_INIT;
    struct signed_doc doc = {0};

    enum rc rc = file_read(path, FILE_DOC_MAX, &der, e);
    if (rc == RC_OK)
        rc = signed_open(path, bytes_span(&der), &t->release_trust, ROLE_RELEASE, &doc, e);
    if (rc == RC_OK)
        rc = list_decode(path, kind, bytes_span(&doc.content), ret, e);
    if (rc == RC_OK) {
        memcpy(ret_sha256, doc.sha256, SHA256_LEN);
        if (ret_der != NULL)
            bytes_add_span(ret_der, bytes_span(&der));
    }
    signed_free(&doc);
    bytes_free(&der);
    return rc;
}

/* The number of "000012.release", written as folder_list writes it; 0 for every other name. */
static uint64_t sequence_of(const char *name, enum list_kind kind)
{
    const char *suffix = kind == LIST_RELEASE ? ".release" : ".revocation";
    size_t digits = strspn(name, "0123456789");
    if (digits < 6 || digits > 15 || (digits > 6 && name[0] == '0') || strcmp(name + digits, suffix) != 0)
        return 0;
    return strtoull(name, NULL, 10);
}

/* The highest sequence in the folder; 0 when it is empty or not there yet. */
static enum rc highest(const char *path, enum list_kind kind, uint64_t *ret, struct err *e)
{
    uint64_t max = 0;
    DIR *d = opendir(path);
    if (d == NULL && errno != ENOENT)
        return err_sys(e, "file.read", "cannot read the folder '%s'", path);
    for (const struct dirent *f; d != NULL && (f = readdir(d)) != NULL;) {
        uint64_t n = sequence_of(f->d_name, kind);
        if (n > max)
            max = n;
    }
    if (d != NULL)
        closedir(d);
    *ret = max;
    return RC_OK;
}

static void each_stray(const char *path, enum list_kind kind, void (*call)(void *arg, const char *path),
                       void *arg)
{
    DIR *d = opendir(path);
    for (const struct dirent *f; d != NULL && (f = readdir(d)) != NULL;) {
        /* A list that is just being written has a hidden name. */
        if (f->d_name[0] == '.' || sequence_of(f->d_name, kind) != 0)
            continue;
        char *stray = path_join(path, f->d_name);
        call(arg, stray);
        free(stray);
    }
    if (d != NULL)
        closedir(d);
}

void admission_each_stray(const struct target *t, void (*call)(void *arg, const char *path), void *arg)
{
    for (int kind = LIST_RELEASE; kind <= LIST_REVOCATION; kind++) {
        char *path = folder_lists(t, (enum list_kind)kind);
        each_stray(path, (enum list_kind)kind, call, arg);
        free(path);
    }
}

static enum rc add_list(struct admission *a, const struct target *t, enum list_kind kind, uint64_t sequence,
                        struct err *e)
{
    struct device_list l = {0};
    uint8_t file[SHA256_LEN];
    char *path = folder_list(t, kind, sequence);
    enum rc rc = RC_OK;

    if (!file_exists(path))
        rc = err_set(e, RC_CONFLICT, "cloud.sequence", "'%s' is missing, but a later list is here", path);
    if (rc == RC_OK)
        rc = list_open(path, kind, t, &l, file, NULL, e);
    if (rc == RC_OK)
        rc = admission_follows(a, path, &l, e);
    if (rc == RC_OK)
        apply(a, &l, file);
    list_fini(&l);
    free(path);
    return rc;
}

static enum rc add_lists(struct admission *a, const struct target *t, enum list_kind kind, struct err *e)
{
    uint64_t max = 0;
    char *path = folder_lists(t, kind);
    enum rc rc = highest(path, kind, &max, e);
    free(path);
    for (uint64_t n = a->last[kind].sequence + 1; n <= max && rc == RC_OK; n++)
        rc = add_list(a, t, kind, n, e);
    return rc;
}

enum rc admission_update_revocations(struct admission *a, const struct target *t, struct err *e)
{
    return add_lists(a, t, LIST_REVOCATION, e);
}

enum rc admission_update(struct admission *a, const struct target *t, struct err *e)
{
    struct err doubt = ERR_INIT;
    enum rc rc = admission_update_revocations(a, t, e);
    if (rc != RC_OK)
        return rc; /* it might be about whom the next release list lets in */
    err_clear(&a->doubt);
    if (add_lists(a, t, LIST_RELEASE, &doubt) != RC_OK)
        a->doubt = doubt;
    return RC_OK;
}

struct admission *admission_new(void)
{
    return mem_new(sizeof(struct admission));
}

enum rc admission_load(const struct target *t, struct admission **ret, struct err *e)
{
    struct admission *a = admission_new();
    enum rc rc = admission_update(a, t, e);
    if (rc != RC_OK) {
        admission_free(a);
        return rc;
    }
    *ret = a;
    return RC_OK;
}

const struct err *admission_doubt(const struct admission *a)
{
    return &a->doubt;
}

void admission_free(struct admission *a)
{
    if (a == NULL)
        return;
    shamap_fini(&a->by_cert);
    shamap_fini(&a->by_issuer);
    shamap_fini(&a->orders_out);
    free(a->devices);
    free(a->issuer_out);
    free(a);
}

bool admission_stale(const struct admission *a, const struct target *t)
{
    bool stale = a->doubt.rc != RC_OK; /* it may have been put right */
    for (int kind = LIST_RELEASE; kind <= LIST_REVOCATION && !stale; kind++) {
        char *path = folder_list(t, (enum list_kind)kind, a->last[kind].sequence + 1);
        stale = file_exists(path);
        free(path);
    }
    return stale;
}

/* Judging. */

static bool is_out(const struct admission *a, const struct device *d)
{
    return d->revoked || a->issuer_out[d->issuer];
}

enum admission_verdict admission_judge(const struct admission *a,
                                       const uint8_t cert_sha256[static SHA256_LEN], const char *id)
{
    uint8_t hash[SHA256_LEN];
    const struct device *d = device_of(a, cert_sha256);
    if (d == NULL)
        return ADMISSION_UNKNOWN;
    if (is_out(a, d))
        return ADMISSION_REVOKED;
    sha256(span_str(id), hash);
    if (!d->released || memcmp(hash, d->id, SHA256_LEN) != 0)
        return ADMISSION_UNKNOWN;
    return ADMISSION_ADMITTED;
}

bool admission_revokes_cert(const struct admission *a, const uint8_t cert_sha256[static SHA256_LEN])
{
    const struct device *d = device_of(a, cert_sha256);
    return d != NULL && d->revoked;
}

bool admission_revokes_all(const struct admission *a, const uint8_t issuer_sha256[static SHA256_LEN],
                           const char *order)
{
    uint8_t hash[SHA256_LEN];
    uint32_t issuer;
    if (shamap_find(&a->by_issuer, issuer_sha256, &issuer) && a->issuer_out[issuer])
        return true;
    sha256(span_str(order), hash);
    return shamap_find(&a->orders_out, hash, NULL);
}

struct admission_counts admission_count(const struct admission *a)
{
    struct admission_counts n = {.release_sequence = a->last[LIST_RELEASE].sequence,
                                 .revocation_sequence = a->last[LIST_REVOCATION].sequence};
    for (size_t i = 0; i < a->ndevices; i++) {
        bool out = is_out(a, &a->devices[i]);
        n.revoked += out;
        n.released += a->devices[i].released && !out;
    }
    for (size_t i = 0; i < a->by_issuer.n; i++)
        n.issuers += a->issuer_out[i];
    return n;
}
