/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PLUGIN_SESSIONS_H
#define PLUGIN_SESSIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/text.h"
#include "sign/digest.h"

/*
 * The devices that were let in, by the broker's client object. A session that has ended stays until the
 * broker uses its object again: its will is published, and messages are queued for it, after the disconnect,
 * and both ask for its rights once more. So there are never more sessions than the broker has had clients at
 * one time.
 */
struct session {
    const void *client;
    char *client_id;
    char device[DEVICE_ID_MAX + 1];
    uint8_t cert[SHA256_LEN];
    bool live;
};

/* Two trees (search.h). Zero-initialised is empty and valid. */
struct sessions {
    void *by_client;
    void *by_client_id; /* the live ones */
};

/* A new session of client; what the table has for this object or client id is replaced. */
void sessions_add(struct sessions *s, const void *client, const char *client_id, const char *device,
                  const uint8_t cert[static SHA256_LEN]);
/* NULL when there is none. The object may be another client's meanwhile, who was let in elsewhere: compare
 * the certificate. */
const struct session *sessions_find(const struct sessions *s, const void *client);
void sessions_end(struct sessions *s, const void *client);    /* it is not live any more */
void sessions_forget(struct sessions *s, const void *client); /* the object is another client's now */
/* Calls each live session. call must not change the table. */
void sessions_each_live(const struct sessions *s, void (*call)(const struct session *session, void *arg),
                        void *arg);
void sessions_fini(struct sessions *s);

#endif
