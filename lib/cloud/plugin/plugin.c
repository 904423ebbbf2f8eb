/* SPDX-License-Identifier: Apache-2.0 */
#include <mosquitto.h>
#include <mosquitto_broker.h>
#include <mosquitto_plugin.h>
#include <openssl/x509.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/text.h"
#include "cloud/admission.h"
#include "cloud/plugin/sessions.h"
#include "cloud/target.h"
#include "x509/cert.h"

/*
 * The admission plugin of a mosquitto 2.0 broker. TLS has proven that a client holds its certificate's key;
 * here it is decided whether this certificate is let in (signed lists alone, by SHA-256) and what it may
 * touch (devices/<its name>/...).
 *
 *   plugin /usr/lib/keymill/keymill_admission.so
 *   plugin_opt_target /etc/keymill/broker.yaml
 *   plugin_opt_others defer
 *
 * Clients without a certificate, of another listener, are none of ours: their login is left to the broker. It
 * asks us about their topics all the same, and takes "defer" for "no" when nobody else answers; so
 * "plugin_opt_others allow" gives them every topic, for a back end on a listener of its own. The default is
 * "defer".
 */
enum { TICK_MS = 1000, HASH_SHOWN = 16 /* digits */ };

struct plugin {
    mosquitto_plugin_id_t *id;
    char *target_path;
    struct target *target;       /* NULL: could not be read yet */
    struct admission *admission; /* NULL: could not be loaded yet, nobody is let in */
    struct sessions sessions;
    int others; /* what a client without a certificate is told about topics */
    int64_t next_ms;
    char complaint[ERR_TEXT_MAX]; /* logged last, so that a lasting failure is not logged every second */
};

/* The lists. */

static void complain(struct plugin *p, const struct err *e)
{
    char text[ERR_TEXT_MAX + ERR_KEY_MAX + 4];
    if (strcmp(p->complaint, e->text) == 0)
        return;
    memcpy(p->complaint, e->text, sizeof(p->complaint));
    err_format(e, text);
    mosquitto_log_printf(MOSQ_LOG_ERR, "keymill: %s", text);
    mosquitto_log_printf(MOSQ_LOG_ERR, "keymill: %s",
                         p->admission == NULL ? "NO DEVICE IS ADMITTED until this is put right"
                                              : "the lists that were read before stay in force");
}

static enum admission_verdict judge(const struct plugin *p, const uint8_t cert[static SHA256_LEN],
                                    const char *device)
{
    return p->admission == NULL ? ADMISSION_UNKNOWN : admission_judge(p->admission, cert, device);
}

static void log_counts(const struct plugin *p)
{
    uint64_t released, revoked, release_sequence, revocation_sequence;
    admission_counts(p->admission, &released, &revoked, &release_sequence, &revocation_sequence);
    mosquitto_log_printf(
        MOSQ_LOG_NOTICE,
        "keymill: %llu devices admitted, %llu revoked (release list %llu, revocation list %llu)",
        (unsigned long long)released, (unsigned long long)revoked, (unsigned long long)release_sequence,
        (unsigned long long)revocation_sequence);
}

static enum rc load(struct plugin *p, struct err *e)
{
    enum rc rc = RC_OK;
    if (p->target == NULL)
        rc = target_read(p->target_path, &p->target, e);
    return rc != RC_OK ? rc : admission_load(p->target, &p->admission, e);
}

/* What a revocation leaves behind. Kicking calls us back, so the ids are gathered first. */
struct kicks {
    const struct plugin *plugin;
    char **client_ids;
    size_t n;
};

static void gather(const struct session *s, void *arg)
{
    struct kicks *k = arg;
    if (judge(k->plugin, s->cert, s->device) == ADMISSION_ADMITTED)
        return;
    mosquitto_log_printf(MOSQ_LOG_NOTICE,
                         "keymill: client '%s' of device '%s' is dropped: no longer admitted", s->client_id,
                         s->device);
    k->client_ids = mem_grow(k->client_ids, k->n + 1, sizeof(*k->client_ids));
    k->client_ids[k->n++] = mem_str(s->client_id);
}

static void kick_outdated(struct plugin *p)
{
    struct kicks k = {.plugin = p};
    sessions_each_live(&p->sessions, gather, &k);
    for (size_t i = 0; i < k.n; i++) {
        /* Its will is not sent: it speaks for a device that has no say any more. */
        mosquitto_kick_client_by_clientid(k.client_ids[i], false);
        free(k.client_ids[i]);
    }
    free(k.client_ids);
}

static void refresh(struct plugin *p)
{
    struct err e = ERR_INIT;
    enum rc rc = RC_OK;
    if (p->admission == NULL)
        rc = load(p, &e);
    else if (admission_stale(p->admission, p->target))
        rc = admission_update(p->admission, p->target, &e);
    else
        return;
    if (rc != RC_OK) {
        complain(p, &e);
    } else {
        p->complaint[0] = '\0';
        log_counts(p);
    }
    kick_outdated(p);
}

/* Clients. */

/* *ret is NULL when the client has no certificate. */
static enum rc certificate_of(const struct mosquitto *client, struct cert **ret, struct err *e)
{
    X509 *x = mosquitto_client_certificate(client);
    unsigned char *der = NULL;

    *ret = NULL;
    if (x == NULL)
        return RC_OK;
    int n = i2d_X509(x, &der);
    X509_free(x);
    if (n <= 0)
        return err_set(e, RC_INPUT, "x509.cert", "the certificate cannot be read");
    enum rc rc = cert_parse("client", (struct span){der, (size_t)n}, ret, e);
    OPENSSL_free(der);
    return rc;
}

static int refuse(const char *client_id, const struct cert *c, const char *why)
{
    char hash[2 * SHA256_LEN + 1] = "";
    const char *device = "?";
    if (c != NULL)
        hex_encode((struct span){c->sha256, SHA256_LEN}, hash);
    if (c != NULL && c->cn != NULL && device_id_valid(c->cn)) /* another text has no place in a log */
        device = c->cn;
    mosquitto_log_printf(MOSQ_LOG_NOTICE,
                         "keymill: client '%s' is refused: device '%s', certificate %.*s: %s", client_id,
                         device, HASH_SHOWN, hash, why);
    return MOSQ_ERR_AUTH;
}

static const char *verdict_text(const struct plugin *p, enum admission_verdict v)
{
    if (p->admission == NULL)
        return "the lists could not be read";
    return v == ADMISSION_REVOKED ? "revoked" : "not on a release list with this name";
}

/* A client id belongs to the device that uses it: the broker would end the other's session for a newcomer. */
static bool is_foreign(const struct plugin *p, const char *client_id, const char *device)
{
    const struct session *other = sessions_live(&p->sessions, client_id);
    return other != NULL && strcmp(other->device, device) != 0;
}

static int admit(struct plugin *p, struct mosquitto *client, const struct cert *c)
{
    const char *client_id = mosquitto_client_id(client);
    if (client_id == NULL)
        client_id = "";
    if (c->cn == NULL || !device_id_valid(c->cn))
        return refuse(client_id, c, "its name is not a device id");
    enum admission_verdict v = judge(p, c->sha256, c->cn);
    if (v != ADMISSION_ADMITTED)
        return refuse(client_id, c, verdict_text(p, v));
    if (is_foreign(p, client_id, c->cn))
        return refuse(client_id, c, "the client id is in use by another device");
    if (mosquitto_set_username(client, c->cn) != MOSQ_ERR_SUCCESS)
        return refuse(client_id, c, "the broker does not take its name");
    sessions_add(&p->sessions, client, client_id, c->cn, c->sha256);
    return MOSQ_ERR_SUCCESS;
}

static int on_auth(int event, void *event_data, void *userdata)
{
    const struct mosquitto_evt_basic_auth *auth = event_data;
    struct plugin *p = userdata;
    struct cert *c = NULL;
    struct err e = ERR_INIT;
    int result;

    (void)event;
    sessions_forget(&p->sessions, auth->client);
    if (certificate_of(auth->client, &c, &e) != RC_OK)
        return refuse(mosquitto_client_id(auth->client), NULL, e.text);
    result = c == NULL ? MOSQ_ERR_PLUGIN_DEFER : admit(p, auth->client, c);
    cert_free(c);
    return result;
}

/* "devices/<id>/" and something behind it. Ids have no wildcard in them, so a subscription cannot reach over
 * to others. */
static bool topic_is_own(const char *topic, const char *device)
{
    static const char root[] = "devices/";
    size_t n = strlen(device);
    if (strncmp(topic, root, sizeof(root) - 1) != 0)
        return false;
    topic += sizeof(root) - 1;
    return strncmp(topic, device, n) == 0 && topic[n] == '/' && topic[n + 1] != '\0';
}

static int on_acl(int event, void *event_data, void *userdata)
{
    const struct mosquitto_evt_acl_check *acl = event_data;
    const struct plugin *p = userdata;

    (void)event;
    const struct session *s = sessions_find(&p->sessions, acl->client);
    if (s == NULL) {
        X509 *x = mosquitto_client_certificate(acl->client);
        X509_free(x);
        return x == NULL ? p->others : MOSQ_ERR_ACL_DENIED;
    }
    if (judge(p, s->cert, s->device) != ADMISSION_ADMITTED || !topic_is_own(acl->topic, s->device))
        return MOSQ_ERR_ACL_DENIED;
    return MOSQ_ERR_SUCCESS;
}

static int on_disconnect(int event, void *event_data, void *userdata)
{
    const struct mosquitto_evt_disconnect *d = event_data;
    struct plugin *p = userdata;
    (void)event;
    sessions_end(&p->sessions, d->client);
    return MOSQ_ERR_SUCCESS;
}

static int on_tick(int event, void *event_data, void *userdata)
{
    struct plugin *p = userdata;
    int64_t now = clock_mono_ms();
    (void)event;
    (void)event_data;
    if (now >= p->next_ms) {
        p->next_ms = now + TICK_MS;
        refresh(p);
    }
    return MOSQ_ERR_SUCCESS;
}

/* What the broker calls. */

static const struct {
    int event;
    MOSQ_FUNC_generic_callback call;
} callbacks[] = {
    {MOSQ_EVT_BASIC_AUTH, on_auth},
    {MOSQ_EVT_ACL_CHECK, on_acl},
    {MOSQ_EVT_DISCONNECT, on_disconnect},
    {MOSQ_EVT_TICK, on_tick},
};
enum { NCALLBACKS = sizeof(callbacks) / sizeof(callbacks[0]) };

static bool read_option(struct plugin *p, const struct mosquitto_opt *o)
{
    if (strcmp(o->key, "target") == 0) {
        free(p->target_path);
        p->target_path = mem_str(o->value);
        return true;
    }
    if (strcmp(o->key, "others") == 0 && strcmp(o->value, "allow") == 0) {
        p->others = MOSQ_ERR_SUCCESS;
        return true;
    }
    return strcmp(o->key, "others") == 0 && strcmp(o->value, "defer") == 0;
}

static bool read_options(struct plugin *p, const struct mosquitto_opt *options, int n)
{
    for (int i = 0; i < n; i++) {
        if (!read_option(p, &options[i])) {
            mosquitto_log_printf(
                MOSQ_LOG_ERR,
                "keymill: 'plugin_opt_%s %s': only plugin_opt_target FILE and plugin_opt_others "
                "allow|defer are known",
                options[i].key, options[i].value);
            return false;
        }
    }
    if (p->target_path == NULL)
        mosquitto_log_printf(MOSQ_LOG_ERR,
                             "keymill: plugin_opt_target is missing: the path of the target's YAML file");
    return p->target_path != NULL;
}

static void plugin_free(struct plugin *p)
{
    sessions_fini(&p->sessions);
    admission_free(p->admission);
    target_free(p->target);
    free(p->target_path);
    free(p);
}

#define EXPORT __attribute__((visibility("default")))

EXPORT int mosquitto_plugin_version(int supported_version_count, const int *supported_versions)
{
    for (int i = 0; i < supported_version_count; i++) {
        if (supported_versions[i] == MOSQ_PLUGIN_VERSION)
            return MOSQ_PLUGIN_VERSION;
    }
    return -1;
}

EXPORT int mosquitto_plugin_init(mosquitto_plugin_id_t *identifier, void **userdata,
                                 struct mosquitto_opt *options, int option_count)
{
    struct plugin *p = mem_new(sizeof(*p));
    p->id = identifier;
    p->others = MOSQ_ERR_PLUGIN_DEFER;
    if (!read_options(p, options, option_count)) {
        plugin_free(p);
        return MOSQ_ERR_INVAL;
    }
    for (size_t i = 0; i < NCALLBACKS; i++) {
        int result = mosquitto_callback_register(identifier, callbacks[i].event, callbacks[i].call, NULL, p);
        if (result != MOSQ_ERR_SUCCESS) {
            while (i-- > 0)
                mosquitto_callback_unregister(identifier, callbacks[i].event, callbacks[i].call, NULL);
            plugin_free(p);
            return result;
        }
    }
    refresh(p);
    *userdata = p;
    return MOSQ_ERR_SUCCESS;
}

EXPORT int mosquitto_plugin_cleanup(void *userdata, struct mosquitto_opt *options, int option_count)
{
    struct plugin *p = userdata;
    (void)options;
    (void)option_count;
    if (p == NULL)
        return MOSQ_ERR_SUCCESS;
    for (size_t i = 0; i < NCALLBACKS; i++)
        mosquitto_callback_unregister(p->id, callbacks[i].event, callbacks[i].call, NULL);
    plugin_free(p);
    return MOSQ_ERR_SUCCESS;
}
