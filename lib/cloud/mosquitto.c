/* SPDX-License-Identifier: Apache-2.0 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/lock.h"
#include "cloud/internal.h"
#include "factory/manifest.h"
#include "factory/shamap.h"
#include "factory/signed.h"
#include "x509/cert.h"

/*
 * The folder of a broker with keymill's admission plugin. A manifest is registered once its checkpoint stands
 * beside it; a list is handed over once its file has its name. Both appear whole or not at all, so the plugin
 * may read at any moment.
 */
enum { LOCK_WAIT_MS = 10000 };
#define MANIFEST_SUFFIX   ".manifest.jsonl"
#define CHECKPOINT_SUFFIX ".checkpoint"

static const char *const kind_names[] = {[LIST_RELEASE] = "release", [LIST_REVOCATION] = "revocation"};

char *folder_lists(const struct target *t, enum list_kind kind)
{
    return path_join(t->directory, kind_names[kind]);
}

char *folder_list(const struct target *t, enum list_kind kind, uint64_t sequence)
{
    return mem_printf("%s/%s/%06" PRIu64 ".%s", t->directory, kind_names[kind], sequence, kind_names[kind]);
}

char *folder_registered(const struct target *t)
{
    return path_join(t->directory, "registered");
}

/* Makes what is missing of the folder, and holds it against another keymill-cloud. */
static enum rc folder_take(const struct target *t, struct lock **ret, struct err *e)
{
    char *registered = folder_registered(t);
    char *release = folder_lists(t, LIST_RELEASE);
    char *revocation = folder_lists(t, LIST_REVOCATION);
    char *lock = path_join(t->directory, "lock");

    enum rc rc = dir_make(t->directory, 0755, e);
    if (rc == RC_OK)
        rc = dir_make(registered, 0755, e);
    if (rc == RC_OK)
        rc = dir_make(release, 0755, e);
    if (rc == RC_OK)
        rc = dir_make(revocation, 0755, e);
    if (rc == RC_OK)
        rc = lock_take(lock, LOCK_WAIT_MS, ret, e);
    free(registered);
    free(release);
    free(revocation);
    free(lock);
    return rc;
}

/* Registering. */

static enum rc copy_pieces(int fd, const char *from, struct file_writer *w, uint8_t ret[static SHA256_LEN],
                           struct err *e)
{
    uint8_t buf[64 << 10];
    struct sha256_ctx *hash = sha256_new();
    enum rc rc = RC_OK;
    ssize_t n;

    while (rc == RC_OK && (n = read(fd, buf, sizeof(buf))) != 0) {
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            rc = err_sys(e, "file.read", "cannot read '%s'", from);
            break;
        }
        sha256_add(hash, (struct span){buf, (size_t)n});
        rc = file_writer_add(w, buf, (size_t)n, e);
    }
    sha256_end(hash, ret);
    return rc;
}

/* Copies a file that was verified; what is copied must be what was verified, should the file have changed
 * since. */
static enum rc copy_verified(const char *from, const char *to, const uint8_t expected[static SHA256_LEN],
                             struct err *e)
{
    struct file_writer *w = NULL;
    uint8_t hash[SHA256_LEN];

    int fd = open(from, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (fd < 0)
        return err_sys(e, "file.read", "cannot read '%s'", from);
    enum rc rc = file_writer_open(to, 0644, &w, e);
    if (rc == RC_OK)
        rc = copy_pieces(fd, from, w, hash, e);
    if (rc == RC_OK && memcmp(hash, expected, SHA256_LEN) != 0)
        rc = err_set(e, RC_CONFLICT, "cloud.changed", "'%s' changed while it was read; try again", from);
    if (rc == RC_OK) {
        rc = file_writer_commit(w, e);
        w = NULL;
    }
    file_writer_abort(w);
    close(fd);
    return rc;
}

/* Whether this manifest is registered already. */
static enum rc is_registered(const struct manifest_view *v, const char *manifest, const char *checkpoint,
                             bool *ret, struct err *e)
{
    uint8_t hash[SHA256_LEN];
    *ret = false;
    if (!file_exists(checkpoint))
        return RC_OK;
    enum rc rc = sha256_file(manifest, hash, e);
    if (rc != RC_OK)
        return rc;
    if (memcmp(hash, v->checkpoint.manifest_sha256, SHA256_LEN) != 0)
        return err_set(
            e, RC_CONFLICT, "cloud.manifest-differs",
            "order '%s', station '%s': another manifest is registered here; ask the office which one is right",
            v->header.order, v->header.station);
    *ret = true;
    return RC_OK;
}

static enum rc register_manifest(const struct target *t, const char *manifest_path,
                                 struct span checkpoint_der, const struct manifest_view *v, bool *ret_new,
                                 struct err *e)
{
    char *stem = mem_printf("%s/registered/%s.%s", t->directory, v->header.order, v->header.station);
    char *manifest = mem_printf("%s" MANIFEST_SUFFIX, stem);
    char *checkpoint = mem_printf("%s" CHECKPOINT_SUFFIX, stem);
    bool known = false;

    enum rc rc = is_registered(v, manifest, checkpoint, &known, e);
    if (rc == RC_OK && !known)
        rc = copy_verified(manifest_path, manifest, v->checkpoint.manifest_sha256, e);
    if (rc == RC_OK && !known)
        rc = file_publish(checkpoint, 0644, checkpoint_der, e);
    if (rc == RC_OK)
        *ret_new = !known;
    free(stem);
    free(manifest);
    free(checkpoint);
    return rc;
}

/* The checkpoint's file, once more judged, so that what is kept is what was verified. The station of a
 * manifest is the one that its signer's certificate names: none speaks for another. */
static enum rc read_checkpoint(const struct target *t, const char *path, const struct manifest_view *v,
                               struct bytes *ret, struct err *e)
{
    struct bytes der = BYTES_INIT;
    struct signed_doc doc = {0};
    struct cert *signer = NULL;

    enum rc rc = file_read(path, FILE_SMALL_MAX, &der, e);
    if (rc == RC_OK)
        rc = signed_open(path, bytes_span(&der), &t->manifest_trust, ROLE_STATION_MANIFEST, &doc, e);
    if (rc == RC_OK && memcmp(doc.sha256, v->checkpoint_sha256, SHA256_LEN) != 0)
        rc = err_set(e, RC_CONFLICT, "cloud.changed", "'%s' changed while it was read; try again", path);
    if (rc == RC_OK)
        rc = cert_parse(path, bytes_span(&doc.chain.certs[0]), &signer, e);
    if (rc == RC_OK && (signer->cn == NULL || strcmp(signer->cn, v->checkpoint.station) != 0))
        rc = err_set(e, RC_DENIED, "cloud.station",
                     "'%s': it is a manifest of station '%s', but its signer's certificate is for '%s'; a "
                     "station signs for itself alone",
                     path, v->checkpoint.station, signer->cn == NULL ? "nobody" : signer->cn);
    cert_free(signer);
    signed_free(&doc);
    if (rc == RC_OK)
        *ret = der;
    else
        bytes_free(&der);
    return rc;
}

enum rc target_push(const struct target *t, const char *manifest_path, const char *checkpoint_path,
                    struct target_report *ret, struct err *e)
{
    struct lock *lock = NULL;
    struct manifest_view v;
    struct bytes der = BYTES_INIT;
    bool is_new;

    enum rc rc = manifest_verify(manifest_path, checkpoint_path, &t->manifest_trust, NULL, NULL, &v, e);
    if (rc == RC_OK)
        rc = read_checkpoint(t, checkpoint_path, &v, &der, e);
    if (rc == RC_OK)
        rc = folder_take(t, &lock, e);
    if (rc == RC_OK)
        rc = register_manifest(t, manifest_path, bytes_span(&der), &v, &is_new, e);
    if (rc == RC_OK)
        *ret = (struct target_report){.devices = v.checkpoint.counts[STATE_GOOD], .is_new = is_new};
    bytes_free(&der);
    lock_drop(lock);
    return rc;
}

/* Calls each registered manifest in turn with its paths. */
static enum rc each_registered(const struct target *t,
                               enum rc (*call)(void *arg, const char *manifest, const char *checkpoint,
                                               struct err *e),
                               void *arg, struct err *e)
{
    char *folder = folder_registered(t);
    enum rc rc = RC_OK;
    DIR *d = opendir(folder);
    if (d == NULL && errno != ENOENT)
        rc = err_sys(e, "file.read", "cannot read the folder '%s'", folder);
    for (const struct dirent *f; d != NULL && rc == RC_OK && (f = readdir(d)) != NULL;) {
        const char *suffix = strrchr(f->d_name, '.');
        if (suffix == NULL || suffix == f->d_name || strcmp(suffix, CHECKPOINT_SUFFIX) != 0)
            continue;
        char *checkpoint = path_join(folder, f->d_name);
        char *manifest =
            mem_printf("%.*s" MANIFEST_SUFFIX, (int)(strlen(checkpoint) - strlen(suffix)), checkpoint);
        rc = call(arg, manifest, checkpoint, e);
        free(checkpoint);
        free(manifest);
    }
    if (d != NULL)
        closedir(d);
    free(folder);
    return rc;
}

/* Releasing. */

/* The good devices of every registered manifest. */
struct registered {
    const struct target *target;
    struct shamap devices;          /* device_key -> which manifest */
    uint8_t (*issuers)[SHA256_LEN]; /* by manifest: its devices' issuer */
    size_t manifests;
};

/* A device's certificate and id in one hash; the certificate's has a fixed length, so no two pairs are
 * confused. */
static void device_key(const uint8_t cert[static SHA256_LEN], const char *id, uint8_t ret[static SHA256_LEN])
{
    struct sha256_ctx *c = sha256_new();
    sha256_add(c, (struct span){cert, SHA256_LEN});
    sha256_add(c, span_str(id));
    sha256_end(c, ret);
}

static enum rc add_good(void *arg, const struct manifest_line *l, struct err *e)
{
    struct registered *r = arg;
    uint8_t key[SHA256_LEN];
    (void)e;
    if (l->state == STATE_GOOD) {
        device_key(l->cert_sha256, l->id, key);
        shamap_add(&r->devices, key, (uint32_t)r->manifests);
    }
    return RC_OK;
}

static enum rc add_manifest(void *arg, const char *manifest, const char *checkpoint, struct err *e)
{
    struct registered *r = arg;
    struct manifest_view v;
    enum rc rc = manifest_verify(manifest, checkpoint, &r->target->manifest_trust, add_good, r, &v, e);
    if (rc != RC_OK)
        return rc;
    r->issuers = mem_grow(r->issuers, r->manifests + 1, sizeof(*r->issuers));
    memcpy(r->issuers[r->manifests++], v.header.ca, SHA256_LEN);
    return RC_OK;
}

static bool is_good(const struct registered *r, const struct list_device *d)
{
    uint8_t key[SHA256_LEN];
    uint32_t manifest;
    device_key(d->cert, d->id, key);
    return shamap_find(&r->devices, key, &manifest) &&
           memcmp(r->issuers[manifest], d->issuer, SHA256_LEN) == 0;
}

/* Every device of the list is registered as it stands there. */
static enum rc check_registered(const struct target *t, const char *name, const struct device_list *l,
                                struct err *e)
{
    struct registered r = {.target = t};
    enum rc rc = each_registered(t, add_manifest, &r, e);
    for (size_t i = 0; i < l->ndevices && rc == RC_OK; i++) {
        if (!is_good(&r, &l->devices[i]))
            rc = err_set(
                e, RC_DENIED, "cloud.not-registered",
                "'%s': device '%s' is not registered here as a good one with this certificate and issuer; "
                "push its manifest first",
                name, l->devices[i].id);
    }
    shamap_fini(&r.devices);
    free(r.issuers);
    return rc;
}

/* Handing over either kind of list. */

/* What is signed in a list file that is here. */
static enum rc list_hash(const char *path, uint8_t ret[static SHA256_LEN], struct err *e)
{
    struct bytes der = BYTES_INIT;
    struct signed_doc doc = {0};
    enum rc rc = file_read(path, FILE_DOC_MAX, &der, e);
    if (rc == RC_OK)
        rc = signed_peek(path, bytes_span(&der), &doc, e);
    if (rc == RC_OK)
        memcpy(ret, doc.sha256, SHA256_LEN);
    signed_free(&doc);
    bytes_free(&der);
    return rc;
}

/* Whether this very list is here already under its sequence; another one there is no new list either. */
static enum rc is_known(const struct target *t, const struct admission *a, const char *name,
                        const struct device_list *l, const uint8_t sha256_of_list[static SHA256_LEN],
                        bool *ret, struct err *e)
{
    uint8_t hash[SHA256_LEN];
    uint64_t last;
    *ret = false;
    admission_last(a, l->kind, &last, hash);
    if (l->sequence > last)
        return RC_OK;
    char *path = folder_list(t, l->kind, l->sequence);
    enum rc rc = list_hash(path, hash, e);
    free(path);
    if (rc == RC_OK && memcmp(hash, sha256_of_list, SHA256_LEN) != 0)
        rc = err_set(e, RC_CONFLICT, "cloud.sequence",
                     "'%s': another %s list with number %" PRIu64
                     " is here already; ask the office which one is right",
                     name, kind_names[l->kind], l->sequence);
    *ret = rc == RC_OK;
    return rc;
}

static enum rc store_list(const struct target *t, const struct device_list *l, const struct bytes *der,
                          struct err *e)
{
    char *path = folder_list(t, l->kind, l->sequence);
    enum rc rc = file_create(path, 0644, bytes_span(der), e);
    free(path);
    return rc;
}

static enum rc check_and_store(const struct target *t, const struct admission *a, const char *name,
                               const struct device_list *l, const uint8_t sha256_of_list[static SHA256_LEN],
                               const struct bytes *der, bool *ret_new, struct err *e)
{
    bool known = false;
    enum rc rc = is_known(t, a, name, l, sha256_of_list, &known, e);
    if (rc == RC_OK && !known)
        rc = admission_follows(a, name, l, e);
    if (rc == RC_OK && !known && l->kind == LIST_RELEASE)
        rc = check_registered(t, name, l, e);
    if (rc == RC_OK && !known)
        rc = store_list(t, l, der, e);
    if (rc == RC_OK)
        *ret_new = !known;
    return rc;
}

/* The lists that a new one of this kind is judged by. */
static enum rc load_for(const struct target *t, enum list_kind kind, struct admission **ret,
                        struct err *ret_doubt, struct err *e)
{
    if (kind == LIST_RELEASE) {
        enum rc rc = admission_load(t, ret, e);
        if (rc == RC_OK)
            *ret_doubt = *admission_doubt(*ret);
        return rc;
    }
    /* A revocation may be urgent: nothing keeps out one that follows, not even a bad one further on. */
    *ret = admission_new();
    if (admission_update_revocations(*ret, t, ret_doubt) == RC_OK)
        err_clear(ret_doubt);
    return RC_OK;
}

/* The place after the last believed list is taken, by one that is not believed: nothing can follow. */
static bool is_blocked(const struct target *t, const struct admission *a, const struct device_list *l)
{
    uint8_t hash[SHA256_LEN];
    uint64_t last;
    admission_last(a, l->kind, &last, hash);
    char *next = folder_list(t, l->kind, last + 1);
    bool blocked = l->sequence > last && file_exists(next);
    free(next);
    return blocked;
}

static enum rc hand_over(const struct target *t, enum list_kind kind, const char *list_path,
                         struct target_report *ret, struct err *e)
{
    struct device_list l = {0};
    struct bytes der = BYTES_INIT;
    struct lock *lock = NULL;
    struct admission *a = NULL;
    struct err doubt = ERR_INIT;
    uint8_t hash[SHA256_LEN];
    bool is_new = false;

    enum rc rc = list_open(list_path, kind, t, &l, hash, &der, e);
    if (rc == RC_OK)
        rc = folder_take(t, &lock, e);
    if (rc == RC_OK)
        rc = load_for(t, kind, &a, &doubt, e);
    if (rc == RC_OK && doubt.rc != RC_OK && is_blocked(t, a, &l)) {
        *e = doubt;
        rc = doubt.rc;
    }
    if (rc == RC_OK)
        rc = check_and_store(t, a, list_path, &l, hash, &der, &is_new, e);
    if (rc == RC_OK)
        *ret = (struct target_report){
            .devices = l.ndevices, .sequence = l.sequence, .is_new = is_new, .doubt = doubt};
    admission_free(a);
    lock_drop(lock);
    bytes_free(&der);
    list_fini(&l);
    return rc;
}

enum rc target_release(const struct target *t, const char *list_path, struct target_report *ret,
                       struct err *e)
{
    return hand_over(t, LIST_RELEASE, list_path, ret, e);
}

enum rc target_revoke(const struct target *t, const char *list_path, struct target_report *ret, struct err *e)
{
    return hand_over(t, LIST_REVOCATION, list_path, ret, e);
}

/* Status. */

struct counting {
    const struct target *target;
    const struct admission *admission;
    uint64_t good, out;     /* in all manifests */
    uint64_t named_in_this; /* good devices of the manifest in hand that a revocation list names */
};

static enum rc count_named(void *arg, const struct manifest_line *l, struct err *e)
{
    struct counting *n = arg;
    (void)e;
    n->named_in_this += l->state == STATE_GOOD && admission_revokes_cert(n->admission, l->cert_sha256);
    return RC_OK;
}

static enum rc count_manifest(void *arg, const char *manifest, const char *checkpoint, struct err *e)
{
    struct counting *n = arg;
    struct manifest_view v;
    n->named_in_this = 0;
    enum rc rc = manifest_verify(manifest, checkpoint, &n->target->manifest_trust, count_named, n, &v, e);
    if (rc != RC_OK)
        return rc;
    uint64_t good = v.checkpoint.counts[STATE_GOOD];
    n->good += good;
    n->out += admission_revokes_all(n->admission, v.header.ca, v.header.order) ? good : n->named_in_this;
    return RC_OK;
}

enum rc target_get_status(const struct target *t, struct target_status *ret, struct err *e)
{
    struct admission *a = NULL;
    enum rc rc = admission_load(t, &a, e);
    if (rc != RC_OK)
        return rc;
    struct counting n = {.target = t, .admission = a};
    rc = each_registered(t, count_manifest, &n, e);
    if (rc == RC_OK) {
        struct admission_counts c = admission_count(a);
        *ret = (struct target_status){.registered = n.good,
                                      .released = c.released,
                                      .revoked = n.out,
                                      .revoked_issuers = c.issuers,
                                      .release_sequence = c.release_sequence,
                                      .revocation_sequence = c.revocation_sequence,
                                      .doubt = *admission_doubt(a)};
    }
    admission_free(a);
    return rc;
}
