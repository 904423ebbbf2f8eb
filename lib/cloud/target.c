/* SPDX-License-Identifier: Apache-2.0 */
#include "cloud/target.h"

#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "doc/doc.h"

/* A certificate's SHA-256. The example file has zeros, which no certificate has. */
static void read_hash(struct doc_map *m, const char *key, uint8_t ret[static SHA256_LEN])
{
    static const uint8_t zeros[SHA256_LEN];
    doc_hex(m, key, ret, SHA256_LEN);
    if (memcmp(ret, zeros, SHA256_LEN) == 0)
        doc_fail(m, key, "target.placeholder",
                 "put the SHA-256 of a certificate here, in place of the zeros");
}

static void read_trust(struct doc_map *m, struct target *t)
{
    read_hash(m, "trust", t->release_trust.root);
    t->manifest_trust = t->release_trust;
    t->release_trust.has_issuer = true;
    read_hash(m, "release-issuer", t->release_trust.issuer);
    t->manifest_trust.has_issuer = doc_has(m, "manifest-issuer");
    if (t->manifest_trust.has_issuer)
        read_hash(m, "manifest-issuer", t->manifest_trust.issuer);
}

static enum rc read_members(const char *path, struct doc_map *m, struct target *t, struct err *e)
{
    static const char *const kinds[] = {"mosquitto", NULL};
    doc_schema(m, "keymill.target.v1");
    t->kind = mem_str(kinds[doc_word(m, "kind", kinds)]);
    t->name = mem_str(doc_str(m, "name"));
    char *base = path_dir(path);
    t->directory = path_join(base, doc_str(m, "directory"));
    free(base);
    read_trust(m, t);
    return doc_close(m, e);
}

enum rc target_read(const char *path, struct target **ret, struct err *e)
{
    struct doc *d = NULL;
    struct doc_map m;

    enum rc rc = doc_read_yaml(path, &d, e);
    if (rc != RC_OK)
        return rc;
    struct target *t = mem_new(sizeof(*t));
    doc_open(&m, d, doc_root(d));
    rc = read_members(path, &m, t, e);
    doc_free(d);
    if (rc != RC_OK) {
        target_free(t);
        return rc;
    }
    *ret = t;
    return RC_OK;
}

void target_free(struct target *t)
{
    if (t == NULL)
        return;
    free(t->name);
    free(t->kind);
    free(t->directory);
    free(t);
}
