/* SPDX-License-Identifier: Apache-2.0 */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "factory/batch.h"
#include "factory/lists.h"
#include "factory/manifest.h"
#include "factory/order.h"
#include "factory/signed.h"
#include "tests/support/softpki.h"

/*
 * The input is read as each kind of JSON document, as a line of devices.jsonl, as a signed file, and as what
 * stands behind the header of a manifest. What is accepted must be written and read again the same.
 */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool ok)
{
    if (!ok)
        __builtin_trap();
}

/* Refused, for the reasons that a document gives. */
static void check_refused(enum rc rc, const struct err *e)
{
    check((rc == RC_INPUT || rc == RC_DENIED) && e->rc == rc && e->key[0] != '\0');
}

static void try_order(struct span json)
{
    struct order o = {0}, again = {0};
    struct bytes one = BYTES_INIT, two = BYTES_INIT;
    struct err e = ERR_INIT;
    enum rc rc = order_decode("fuzz", json, &o, &e);
    if (rc == RC_OK) {
        order_encode(&o, &one);
        check(order_decode("again", bytes_span(&one), &again, &e) == RC_OK);
        order_encode(&again, &two);
        check(span_eq(bytes_span(&one), bytes_span(&two)));
    } else {
        check_refused(rc, &e);
    }
    order_fini(&o);
    order_fini(&again);
    bytes_free(&one);
    bytes_free(&two);
}

static void try_list(enum list_kind kind, struct span json)
{
    struct device_list l = {0}, again = {0};
    struct bytes one = BYTES_INIT, two = BYTES_INIT;
    struct err e = ERR_INIT;
    enum rc rc = list_decode("fuzz", kind, json, &l, &e);
    if (rc == RC_OK) {
        list_encode(&l, &one);
        check(list_decode("again", kind, bytes_span(&one), &again, &e) == RC_OK);
        list_encode(&again, &two);
        check(span_eq(bytes_span(&one), bytes_span(&two)));
    } else {
        check_refused(rc, &e);
    }
    list_fini(&l);
    list_fini(&again);
    bytes_free(&one);
    bytes_free(&two);
}

static void try_batch(struct span json)
{
    struct batch b = {0}, again = {0};
    struct batch_device d = {0};
    struct bytes one = BYTES_INIT, two = BYTES_INIT;
    struct err e = ERR_INIT;
    enum rc rc = batch_decode("fuzz", json, &b, &e);
    if (rc == RC_OK) {
        batch_encode(&b, &one);
        check(batch_decode("again", bytes_span(&one), &again, &e) == RC_OK);
        batch_encode(&again, &two);
        check(span_eq(bytes_span(&one), bytes_span(&two)));
    } else {
        check_refused(rc, &e);
    }
    rc = batch_line_decode("fuzz", 3, json, &d, &e);
    if (rc != RC_OK)
        check_refused(rc, &e);
    batch_device_fini(&d);
    batch_fini(&b);
    batch_fini(&again);
    bytes_free(&one);
    bytes_free(&two);
}

static void try_checkpoint(struct span json)
{
    struct checkpoint c, again;
    struct bytes one = BYTES_INIT, two = BYTES_INIT;
    struct err e = ERR_INIT;
    enum rc rc = checkpoint_decode("fuzz", json, &c, &e);
    if (rc == RC_OK) {
        checkpoint_encode(&c, &one);
        check(checkpoint_decode("again", bytes_span(&one), &again, &e) == RC_OK);
        checkpoint_encode(&again, &two);
        check(span_eq(bytes_span(&one), bytes_span(&two)));
    } else {
        check_refused(rc, &e);
    }
    bytes_free(&one);
    bytes_free(&two);
}

static void try_signed(struct span der)
{
    struct signed_doc doc = {0};
    struct err e = ERR_INIT;
    enum rc rc = signed_peek("fuzz", der, &doc, &e);
    if (rc != RC_OK)
        check_refused(rc, &e);
    signed_free(&doc);
}

/* A file in memory; path has room for 64 octets. */
static int file_new(struct span content, char *path)
{
    int fd = memfd_create("fuzz", MFD_CLOEXEC);
    check(fd >= 0 && write(fd, content.p, content.n) == (ssize_t)content.n);
    snprintf(path, 64, "/proc/self/fd/%d", fd);
    return fd;
}

static const char header[] =
    "{\"type\":\"header\",\"schema\":\"keymill.manifest.v1\",\"order\":\"A1\",\"order_sha256\":"
    "\"0808080808080808080808080808080808080808080808080808080808080808\",\"station\":\"line7\",\"ca_sha256\":"
    "\"0909090909090909090909090909090909090909090909090909090909090909\",\"trust_bundle_sha256\":"
    "\"0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a\",\"started\":\"2026-01-01T00:00:00Z\"}";

/* A checkpoint that fits the header, so that the lines behind it are reached. Its root fits nothing. */
static void checkpoint_make(struct bytes *ret, struct trust *ret_trust)
{
    struct pki_ca root, online;
    struct pki_leaf station;
    struct cms_chain chain;
    struct bytes json = BYTES_INIT;
    struct err e = ERR_INIT;
    struct checkpoint c = {.order = "A1", .station = "line7", .issued = PKI_BEGIN};

    memset(c.order_sha256, 8, SHA256_LEN);
    sha256(SPAN(header), c.header_sha256);
    pki_ca_make(&root, "root-ca", NULL);
    pki_ca_make(&online, "online-ca", &root);
    pki_leaf_make(&station, "line7", role_oid(ROLE_STATION_MANIFEST), &online);
    pki_chain(&station, &online, &root, &chain);
    checkpoint_encode(&c, &json);
    check(signed_make(station.key, &chain, bytes_span(&json), PKI_BEGIN, ret, &e) == RC_OK);
    *ret_trust = pki_trust(&root, &online);
    cms_chain_free(&chain);
    pki_leaf_fini(&station);
    pki_ca_fini(&root);
    pki_ca_fini(&online);
    bytes_free(&json);
}

static void try_manifest(struct span lines)
{
    static char checkpoint[64];
    static struct trust trust;
    char manifest[64];
    struct bytes text = BYTES_INIT;
    struct manifest_view v;
    struct err e = ERR_INIT;

    if (checkpoint[0] == '\0') {
        struct bytes der = BYTES_INIT;
        checkpoint_make(&der, &trust);
        file_new(bytes_span(&der), checkpoint); /* open to the end */
        bytes_free(&der);
    }
    bytes_printf(&text, "%s\n", header);
    bytes_add_span(&text, lines);
    int fd = file_new(bytes_span(&text), manifest);
    enum rc rc = manifest_verify(manifest, checkpoint, &trust, NULL, NULL, &v, &e);
    check(rc != RC_OK);
    check_refused(rc, &e);
    close(fd);
    bytes_free(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct span input = {data, size};
    try_order(input);
    try_list(LIST_RELEASE, input);
    try_list(LIST_REVOCATION, input);
    try_batch(input);
    try_checkpoint(input);
    try_signed(input);
    try_manifest(input);
    return 0;
}
