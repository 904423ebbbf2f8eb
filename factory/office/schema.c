/* SPDX-License-Identifier: Apache-2.0 */
#include "factory/office/internal.h"

/* Hashes are SHA-256 as 32 octets, times seconds since 1970 UTC. What leaves the office stands here, byte for
 * byte, before it is written to a file. */
static const char step1[] =
    "CREATE TABLE orders ("
    "  id TEXT PRIMARY KEY,"
    "  sequence INTEGER NOT NULL UNIQUE,"
    "  issued INTEGER NOT NULL,"
    "  spec BLOB NOT NULL," /* hash of the specification's text */
    "  document BLOB NOT NULL,"
    "  sha256 BLOB NOT NULL UNIQUE,"
    "  ca BLOB NOT NULL,"       /* certificate, DER */
    "  ca_chain BLOB NOT NULL," /* PEM: the CA and above, without the root */
    "  revoked INTEGER"         /* sequence of the revocation list that names the whole order */
    ") STRICT;"
    "CREATE TABLE stations ("
    "  order_id TEXT NOT NULL REFERENCES orders(id),"
    "  name TEXT NOT NULL,"
    "  manifest_sha256 BLOB NOT NULL,"
    "  seal_sha256 BLOB NOT NULL,"
    "  seal BLOB NOT NULL," /* certificate, DER: lots are sealed to it */
    "  sequence INTEGER NOT NULL,"
    "  quantity INTEGER NOT NULL,"
    "  prefix TEXT NOT NULL,"
    "  digits INTEGER NOT NULL,"
    "  first INTEGER NOT NULL,"
    "  count INTEGER NOT NULL,"
    "  PRIMARY KEY (order_id, name)"
    ") STRICT, WITHOUT ROWID;"
    "CREATE TABLE lots ("
    "  batch TEXT NOT NULL,"
    "  lot INTEGER NOT NULL,"
    "  wrapped TEXT NOT NULL," /* the lot key as a JWE to the office's wrap key */
    "  PRIMARY KEY (batch, lot)"
    ") STRICT, WITHOUT ROWID;"
    "CREATE TABLE batches ("
    "  id TEXT PRIMARY KEY,"
    "  order_id TEXT NOT NULL REFERENCES orders(id),"
    "  station TEXT NOT NULL,"
    "  made INTEGER NOT NULL,"
    "  count INTEGER NOT NULL,"
    "  json BLOB NOT NULL,"
    "  signature BLOB NOT NULL"
    ") STRICT;"
    "CREATE TABLE manifests ("
    "  order_id TEXT NOT NULL REFERENCES orders(id),"
    "  station TEXT NOT NULL,"
    "  ingested INTEGER NOT NULL,"
    "  checkpoint_sha256 BLOB NOT NULL,"
    "  signer BLOB NOT NULL,"
    "  journal_before BLOB NOT NULL,"
    "  ordered INTEGER NOT NULL,"
    "  good INTEGER NOT NULL,"
    "  scrapped INTEGER NOT NULL,"
    "  unused INTEGER NOT NULL,"
    "  PRIMARY KEY (order_id, station)"
    ") STRICT, WITHOUT ROWID;"
    "CREATE TABLE devices ("
    "  id TEXT PRIMARY KEY,"
    "  order_id TEXT NOT NULL REFERENCES orders(id),"
    "  station TEXT NOT NULL,"
    "  state TEXT NOT NULL CHECK (state IN ('good', 'scrapped', 'unused')),"
    "  issuer BLOB NOT NULL,"
    "  serial BLOB NOT NULL,"
    "  cert BLOB NOT NULL UNIQUE,"
    "  spki BLOB NOT NULL UNIQUE,"
    "  released INTEGER," /* sequence of the first release list that names it */
    "  revoked INTEGER,"  /* likewise of the first revocation list */
    "  UNIQUE (issuer, serial)"
    ") STRICT, WITHOUT ROWID;"
    "CREATE INDEX devices_order ON devices (order_id);"
    "CREATE TABLE revoked_issuers ("
    "  sha256 BLOB PRIMARY KEY,"
    "  sequence INTEGER NOT NULL"
    ") STRICT, WITHOUT ROWID;"
    "CREATE TABLE lists ("
    "  kind INTEGER NOT NULL," /* enum list_kind */
    "  sequence INTEGER NOT NULL,"
    "  request BLOB NOT NULL," /* hash of what was asked for */
    "  issued INTEGER NOT NULL,"
    "  devices INTEGER NOT NULL,"
    "  document BLOB NOT NULL,"
    "  sha256 BLOB NOT NULL,"
    "  PRIMARY KEY (kind, sequence),"
    "  UNIQUE (kind, request)"
    ") STRICT;";

const struct migration office_schema[] = {{step1}};
const size_t office_schema_steps = sizeof(office_schema) / sizeof(office_schema[0]);
