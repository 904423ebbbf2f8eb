/* SPDX-License-Identifier: Apache-2.0 */
#include "ca/internal.h"

/*
 * In the program and not in files beside it: a CA's consistency must not depend on what somebody installed.
 * Steps are never edited after they shipped.
 *
 * authority    this CA's own key: the row exists from before the key is generated, so that a key found later
 * is known to be ours chain        the issuers of its certificate, root last, and their CRLs certificate what
 * it signed. A device id is unique over all orders and a key belongs to one subject and profile, unless the
 * row is void (never signed) crl          numbers and times of the lists it signed
 */
static const char step_1[] =
    "CREATE TABLE authority ("
    " only INTEGER PRIMARY KEY CHECK (only = 1),"
    " key_uri TEXT NOT NULL,"
    " config_sha256 BLOB NOT NULL CHECK (length(config_sha256) = 32),"
    " spki BLOB,"
    " request BLOB,"
    " certificate BLOB) STRICT;"

    "CREATE TABLE chain ("
    " position INTEGER PRIMARY KEY,"
    " kind TEXT NOT NULL CHECK (kind IN ('certificate', 'crl')),"
    " der BLOB NOT NULL) STRICT;"

    "CREATE TABLE certificate ("
    " number INTEGER PRIMARY KEY,"
    " serial BLOB NOT NULL UNIQUE CHECK (length(serial) BETWEEN 1 AND 20),"
    " state TEXT NOT NULL CHECK (state IN ('reserved', 'issued', 'revoked', 'void')),"
    " order_name TEXT,"
    " device_id TEXT,"
    " profile TEXT NOT NULL,"
    " subject BLOB NOT NULL,"
    " spki_sha256 BLOB NOT NULL CHECK (length(spki_sha256) = 32),"
    " request_sha256 BLOB,"
    " not_before INTEGER NOT NULL,"
    " not_after INTEGER NOT NULL,"
    " reserved_at INTEGER NOT NULL,"
    " issued_at INTEGER,"
    " revoked_at INTEGER,"
    " reason INTEGER,"
    " sha256 BLOB,"
    " der BLOB,"
    " CHECK ((state IN ('issued', 'revoked')) = (der IS NOT NULL)),"
    " CHECK ((state = 'revoked') = (revoked_at IS NOT NULL))) STRICT;"
    "CREATE UNIQUE INDEX certificate_device ON certificate (device_id) WHERE device_id IS NOT NULL AND state <> 'void';"
    "CREATE INDEX certificate_key ON certificate (spki_sha256);"
    "CREATE INDEX certificate_request ON certificate (request_sha256) WHERE request_sha256 IS NOT NULL;"
    "CREATE INDEX certificate_reserved ON certificate (order_name) WHERE state = 'reserved';"
    "CREATE INDEX certificate_revoked ON certificate (serial) WHERE state = 'revoked';"

    "CREATE TABLE crl ("
    " number INTEGER PRIMARY KEY CHECK (number > 0),"
    " this_update INTEGER NOT NULL,"
    " next_update INTEGER NOT NULL,"
    " entries INTEGER NOT NULL,"
    " sha256 BLOB NOT NULL CHECK (length(sha256) = 32)) STRICT";

const struct migration ca_schema[] = {{step_1}};
const size_t ca_schema_steps = sizeof(ca_schema) / sizeof(ca_schema[0]);
