/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DOC_DOC_H
#define DOC_DOC_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/err.h"

/*
 * Strict reading of YAML configuration (libyaml) and JSON documents (jansson). Both become a tree of nodes;
 * reading goes through struct doc_map, which remembers the first thing that was wrong and what was never
 * asked for. An error names file, line and key:
 *
 *   docs/root.yaml:7: 'crl.days': an integer from 1 to 3650 is required [doc.value]
 *
 * Rejected in either format: a duplicate key, a key nobody asked for, a value of another type, text behind
 * the document, depth over 16. YAML besides: no anchors, aliases, tags or multiple documents. Plain YAML
 * scalars are typed by what is asked for, never by what they look like; quoted ones are strings.
 */
enum doc_kind { DOC_NULL, DOC_BOOL, DOC_INT, DOC_STRING, DOC_LIST, DOC_MAP };

struct doc;      /* a document, owns everything below */
struct doc_node; /* a value in it */

/*
 * name is what errors call the document (a path, or "A1.order"). A text has at most FILE_DOC_MAX octets
 * (base/file.h), a map 64 members, a list 1,000,000 elements. RC_INPUT with the line: doc.syntax,
 * doc.duplicate (a key given twice), doc.limit (depth, members, elements), doc.value (a JSON number with a
 * fraction or an exponent); RC_INPUT doc.too-big; what file_read gives.
 */
NODISCARD enum rc doc_read_yaml(const char *path, struct doc **ret, struct err *e);
NODISCARD enum rc doc_parse_yaml(const char *name, struct span text, struct doc **ret, struct err *e);
NODISCARD enum rc doc_parse_json(const char *name, struct span text, struct doc **ret, struct err *e);
/* One line of a JSON-lines file: as doc_parse_json, but errors name this line. */
NODISCARD enum rc doc_parse_jsonl(const char *name, int64_t line, struct span text, struct doc **ret,
                                  struct err *e);
void doc_free(struct doc *d); /* NULL is allowed */
const struct doc_node *doc_root(const struct doc *d);

/*
 * Reading a map: open, ask for members, close. After the first failure every getter returns its zero (0,
 * false, "", or the fallback) and the failure is kept until doc_close reports it, so a reader is
 * straight-line code without a branch per member. A value of the wrong kind or range is doc.value; so is an
 * empty string. Returned strings live as long as the document.
 */
struct doc_map {
    const struct doc *doc;
    const struct doc_node *node;
    struct err err; /* the first failure; err.rc is RC_OK while there is none */
    uint64_t asked; /* bit i: member i was asked for; a map has at most 64 members */
};

/* Opens a node as a map. Never fails by itself: a node of another kind is reported by doc_close. */
void doc_open(struct doc_map *m, const struct doc *d, const struct doc_node *node);
/* Reports the first failure, or the first member nobody asked for (RC_INPUT doc.unknown-key), or RC_OK. */
NODISCARD enum rc doc_close(struct doc_map *m, struct err *e);

bool doc_has(struct doc_map *m, const char *key); /* only looks: the member still has to be asked for */
/* Required members: absence is a failure (doc.missing). */
const char *doc_str(struct doc_map *m, const char *key);
int64_t doc_int(struct doc_map *m, const char *key, int64_t min, int64_t max);
bool doc_bool(struct doc_map *m, const char *key);
int64_t doc_time(struct doc_map *m, const char *key);                     /* RFC 3339, base/clock.h */
void doc_hex(struct doc_map *m, const char *key, uint8_t *ret, size_t n); /* exactly n octets of hex */
/* The SHA-256 of a certificate or file that somebody is to be believed by. Zeros (an example's placeholder)
 * and the hash of nothing (of a file that was not there) are refused. */
void doc_sha256(struct doc_map *m, const char *key, uint8_t ret[static 32]);
void doc_b64(struct doc_map *m, const char *key, struct bytes *ret); /* appended; nothing after a failure */
/* One of the words (ended by NULL); returns its index. */
int doc_word(struct doc_map *m, const char *key, const char *const *words);
/* A nested map, closed on its own. When m has failed, ret begins with that failure, so either close reports
 * it. */
void doc_sub(struct doc_map *m, const char *key, struct doc_map *ret);
size_t doc_list(struct doc_map *m, const char *key); /* a list; its length */
/* Optional members. */
const char *doc_str_or(struct doc_map *m, const char *key, const char *fallback);
int64_t doc_int_or(struct doc_map *m, const char *key, int64_t min, int64_t max, int64_t fallback);
bool doc_bool_or(struct doc_map *m, const char *key, bool fallback);
size_t doc_list_or_empty(struct doc_map *m, const char *key); /* 0 when absent */
/* Elements of the list member key; i beyond its length is a bug. */
const char *doc_list_str(struct doc_map *m, const char *key, size_t i);
void doc_list_map(struct doc_map *m, const char *key, size_t i, struct doc_map *ret);

/* The caller's own check failed on this member (key NULL: on the map itself): records "place: 'key': text"
 * with the key err_key unless something failed before. */
void doc_fail(struct doc_map *m, const char *key, const char *err_key, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
/* Requires member "schema" to be exactly this (doc.schema otherwise); every document begins with it. */
void doc_schema(struct doc_map *m, const char *schema);

#endif
