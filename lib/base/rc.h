/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_RC_H
#define BASE_RC_H

/*
 * The one result type: what a function returns and what a tool exits with. Documented in every manual page;
 * values are never renumbered or given a second meaning.
 */
enum rc {
    RC_OK = 0,       /* done, or already done the same way */
    RC_SYSTEM = 1,   /* the operating system failed us: disk, memory map, process */
    RC_USAGE = 2,    /* the command line is wrong */
    RC_INPUT = 3,    /* a document, certificate or value was rejected */
    RC_TOKEN = 4,    /* the token, its module, its PIN or one of its keys */
    RC_DENIED = 5,   /* policy says no */
    RC_CONFLICT = 6, /* the state does not allow it (exists differently, busy, wrong order) */
    RC_REMOTE = 7,   /* the other side failed; trying again is sensible */
    RC_PARTIAL = 8,  /* some rows were done, the report lists the others */
    RC_BUG = 70,     /* our own mistake */
    RC_NOMEM = 71,   /* out of memory */
};

/* "ok", "system", "usage", ...: the name under which JSON output and the manual pages list a code;
 * "unknown" for a number that is none. */
const char *rc_name(enum rc rc);

#endif
