/* SPDX-License-Identifier: Apache-2.0 */
#include "cloud/plugin/sessions.h"

#include <search.h>
#include <stdlib.h>
#include <string.h>

static int compare_clients(const void *a, const void *b)
{
    uintptr_t x = (uintptr_t)((const struct session *)a)->client;
    uintptr_t y = (uintptr_t)((const struct session *)b)->client;
    return (x > y) - (x < y);
}

static int compare_ids(const void *a, const void *b)
{
    return strcmp(((const struct session *)a)->client_id, ((const struct session *)b)->client_id);
}

/* tfind gives a pointer into the tree, to the pointer that was put there. */
static struct session *find(void *const *tree, const struct session *key,
                            int (*compare)(const void *, const void *))
{
    void *node = tfind(key, tree, compare);
    return node == NULL ? NULL : *(struct session **)node;
}

static struct session *find_client(const struct sessions *s, const void *client)
{
    struct session key = {.client = client};
    return find(&s->by_client, &key, compare_clients);
}

static struct session *find_id(const struct sessions *s, const char *client_id)
{
    char *id = mem_str(client_id);
    struct session key = {.client_id = id};
    struct session *found = find(&s->by_client_id, &key, compare_ids);
    free(id);
    return found;
}

static void end(struct sessions *s, struct session *session)
{
    if (session == NULL || !session->live)
        return;
    tdelete(session, &s->by_client_id, compare_ids);
    session->live = false;
}

static void insert(void **tree, struct session *session, int (*compare)(const void *, const void *))
{
    if (tsearch(session, tree, compare) == NULL)
        out_of_memory();
}

void sessions_add(struct sessions *s, const void *client, const char *client_id, const char *device,
                  const uint8_t cert[static SHA256_LEN])
{
    sessions_forget(s, client);
    end(s, find_id(s, client_id));
    struct session *session = mem_new(sizeof(*session));
    session->client = client;
    session->client_id = mem_str(client_id);
    strncpy(session->device, device, sizeof(session->device) - 1);
    memcpy(session->cert, cert, SHA256_LEN);
    session->live = true;
    insert(&s->by_client, session, compare_clients);
    insert(&s->by_client_id, session, compare_ids);
}

const struct session *sessions_find(const struct sessions *s, const void *client)
{
    return find_client(s, client);
}

void sessions_end(struct sessions *s, const void *client)
{
    end(s, find_client(s, client));
}

static void session_free(void *p)
{
    struct session *session = p;
    free(session->client_id);
    free(session);
}

void sessions_forget(struct sessions *s, const void *client)
{
    struct session *session = find_client(s, client);
    if (session == NULL)
        return;
    end(s, session);
    tdelete(session, &s->by_client, compare_clients);
    session_free(session);
}

struct walk {
    void (*call)(const struct session *session, void *arg);
    void *arg;
};

static void visit(const void *node, VISIT which, void *arg)
{
    const struct walk *w = arg;
    if (which == postorder || which == leaf)
        w->call(*(struct session *const *)node, w->arg);
}

void sessions_each_live(const struct sessions *s, void (*call)(const struct session *session, void *arg),
                        void *arg)
{
    struct walk w = {call, arg};
    twalk_r(s->by_client_id, visit, &w);
}

static void keep(void *p)
{
    (void)p;
}

void sessions_fini(struct sessions *s)
{
    tdestroy(s->by_client_id, keep);
    tdestroy(s->by_client, session_free);
    *s = (struct sessions){0};
}
