/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/file.h"
#include "factory/lists.h"
#include "factory/manifest.h"
#include "factory/signed.h"

#include "sign/softkey.h"
#include "tests/support/softpki.h"
#include "x509/cert.h"

/*
 * Signed documents for tests of the cloud, with keys in PEM files where the office and the stations would ask
 * a token:
 *
 *   mkdocs manifest  SIGNER CHAIN OUT ISSUER.pem [-]CERT.pem...   OUT-line1.manifest.jsonl and
 * OUT-line1.checkpoint; "-": scrapped mkdocs release    SIGNER CHAIN OUT SEQUENCE PREVIOUS|- ISSUER.pem
 * CERT.pem... mkdocs revocation SIGNER CHAIN OUT SEQUENCE PREVIOUS|- ISSUER.pem CERT.pem...     without CERT:
 * the issuer itself
 *
 * SIGNER: its key is SIGNER.key, its certificate SIGNER.pem. CHAIN: PEM with the CAs and their CRLs. OUT's
 * last part is the order's name.
 */
struct identity {
    struct signer *key;
    struct cms_chain chain;
};

static void must(enum rc rc, const struct err *e)
{
    if (rc == RC_OK)
        return;
    fprintf(stderr, "mkdocs: %s [%s]\n", e->text, e->key);
    exit((int)rc);
}

static struct cert *read_cert(const char *path)
{
    struct cert *c = NULL;
    struct err e = ERR_INIT;
    must(cert_read(path, &c, &e), &e);
    return c;
}

static void identity_read(const char *stem, const char *chain, struct identity *ret)
{
    struct bytes pem = BYTES_INIT;
    struct err e = ERR_INIT;
    char *key = mem_printf("%s.key", stem);
    char *cert = mem_printf("%s.pem", stem);
    *ret = (struct identity){0};
    must(file_read(key, FILE_SMALL_MAX, &pem, &e), &e);
    must(softkey_load(bytes_span(&pem), KEY_SIGN, &ret->key, &e), &e);
    must(chain_read(cert, &ret->chain, &e), &e);
    must(chain_read(chain, &ret->chain, &e), &e);
    bytes_wipe(&pem);
    free(key);
    free(cert);
}

static void identity_fini(struct identity *i)
{
    signer_free(i->key);
    cms_chain_free(&i->chain);
}

static void sign(const struct identity *who, const struct bytes *json, int64_t at, const char *path)
{
    struct bytes der = BYTES_INIT;
    struct err e = ERR_INIT;
    must(signed_make(who->key, &who->chain, bytes_span(json), at, &der, &e), &e);
    must(file_publish(path, 0644, bytes_span(&der), &e), &e);
    bytes_free(&der);
}

static void add_line(struct manifest_writer *w, const char *path, int64_t at)
{
    bool scrapped = path[0] == '-';
    struct cert *c = read_cert(path + scrapped);
    struct err e = ERR_INIT;
    struct manifest_line l = {.state = scrapped ? STATE_SCRAPPED : STATE_GOOD,
                              .cert = c->der,
                              .not_before = c->not_before,
                              .not_after = c->not_after,
                              .delivered = at,
                              .finished = at};
    snprintf(l.id, sizeof(l.id), "%s", c->cn == NULL ? "" : c->cn);
    memcpy(l.cert_sha256, c->sha256, SHA256_LEN);
    sha256(c->spki, l.spki_sha256);
    must(manifest_add(w, &l, &e), &e);
    cert_free(c);
}

static void make_manifest(const struct identity *who, char **args, int n)
{
    const char *stem = args[0];
    const char *slash = strrchr(stem, '/');
    char *manifest = mem_printf("%s-line1.manifest.jsonl", stem);
    char *checkpoint = mem_printf("%s-line1.checkpoint", stem);
    struct cert *issuer = read_cert(args[1]);
    struct manifest_header h = {.station = "line1", .started = clock_now()};
    struct checkpoint c = {.issued = h.started};
    struct manifest_writer *w = NULL;
    struct bytes json = BYTES_INIT;
    struct err e = ERR_INIT;

    snprintf(h.order, sizeof(h.order), "%s", slash == NULL ? stem : slash + 1);
    memcpy(h.ca, issuer->sha256, SHA256_LEN);
    must(manifest_begin(manifest, &h, &w, &e), &e);
    for (int i = 2; i < n; i++)
        add_line(w, args[i], c.issued);
    must(manifest_end(w, &c, &e), &e);
    checkpoint_encode(&c, &json);
    sign(who, &json, c.issued, checkpoint);
    cert_free(issuer);
    bytes_free(&json);
    free(manifest);
    free(checkpoint);
}

static void add_device(struct device_list *l, const char *path, const struct cert *issuer)
{
    struct cert *c = read_cert(path);
    l->devices = mem_grow(l->devices, l->ndevices + 1, sizeof(*l->devices));
    struct list_device *d = &l->devices[l->ndevices++];
    *d = (struct list_device){.id = ""};
    snprintf(d->id, sizeof(d->id), "%s", c->cn == NULL ? "" : c->cn);
    memcpy(d->cert, c->sha256, SHA256_LEN);
    memcpy(d->issuer, issuer->sha256, SHA256_LEN);
    cert_free(c);
}

static void make_list(enum list_kind kind, const struct identity *who, char **args, int n)
{
    struct device_list l = {.kind = kind, .sequence = strtoull(args[1], NULL, 10), .issued = clock_now()};
    struct cert *issuer = read_cert(args[3]);
    struct bytes json = BYTES_INIT;
    struct err e = ERR_INIT;

    if (strcmp(args[2], "-") != 0)
        must(content_sha256(args[2], l.previous, &e), &e);
    if (kind == LIST_REVOCATION)
        strcpy(l.reason, "keyCompromise");
    for (int i = 4; i < n; i++)
        add_device(&l, args[i], issuer);
    if (n == 4) {
        l.issuers = mem_array(1, sizeof(*l.issuers));
        memcpy(l.issuers[0], issuer->sha256, SHA256_LEN);
        l.nissuers = 1;
    }
    list_encode(&l, &json);
    sign(who, &json, l.issued, args[0]);
    list_fini(&l);
    cert_free(issuer);
    bytes_free(&json);
}

int main(int argc, char **argv)
{
    struct identity who;
    const char *what = argc > 1 ? argv[1] : "";
    bool manifest = strcmp(what, "manifest") == 0;
    bool release = strcmp(what, "release") == 0;
    if (!(manifest && argc >= 6) && !((release || strcmp(what, "revocation") == 0) && argc >= 8)) {
        fprintf(stderr, "mkdocs: see the head of mkdocs.c\n");
        return RC_USAGE;
    }
    identity_read(argv[2], argv[3], &who);
    if (manifest)
        make_manifest(&who, argv + 4, argc - 4);
    else
        make_list(release ? LIST_RELEASE : LIST_REVOCATION, &who, argv + 4, argc - 4);
    identity_fini(&who);
    return RC_OK;
}
