/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
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
    bool failed;    /* the last reading did; it is tried again every second */
    char *reported; /* how things stood when it was logged last, so that it is logged once */
};

/* The lists. */

static enum admission_verdict judge(const struct plugin *p, const uint8_t cert[static SHA256_LEN],
                                    const char *device)
{
    return p->admission == NULL ? ADMISSION_UNKNOWN : admission_judge(p->admission, cert, device);
}

static void log_stray(void *arg, const char *path)
{
    (void)arg;
    mosquitto_log_printf(MOSQ_LOG_WARNING, "keymill: '%s' is ignored: no list has such a name", path);
}

/* "2 devices admitted, ...", malloc'd. */
static char *counts_text(const struct plugin *p)
{
    if (p->admission == NULL)
        return mem_str("NO DEVICE IS ADMITTED");
    struct admission_counts n = admission_count(p->admission);
    return mem_printf("%" PRIu64 " devices admitted; %" PRIu64 " devices and %" PRIu64
                      " issuers revoked (release list %" PRIu64 ", revocation list %" PRIu64 ")",
                      n.released, n.revoked, n.issuers, n.release_sequence, n.revocation_sequence);
}

static void log_failure(const struct err *failure, const char *what_follows)
{
    char text[ERR_TEXT_MAX + ERR_KEY_MAX + 4];
    if (failure->rc == RC_OK)
        return;
    err_format(failure, text);
    mosquitto_log_printf(MOSQ_LOG_ERR, "keymill: %s", text);
    mosquitto_log_printf(MOSQ_LOG_ERR, "keymill: %s", what_follows);
}

/* Logs how things stand, when that has changed. failure: of the last reading. */
static void report(struct plugin *p, const struct err *failure)
{
    struct err doubt = ERR_INIT;
    if (p->admission != NULL)
        doubt = *admission_doubt(p->admission);
    char *counts = counts_text(p);
    char *now = mem_printf("%s\n%s\n%s", counts, failure->text, doubt.text);
    if (p->reported != NULL && strcmp(now, p->reported) == 0) {
        free(now);
        free(counts);
        return;
    }
    free(p->reported);
    p->reported = now;
    log_failure(failure, "NOBODY NEW IS ADMITTED until this is put right");
    log_failure(&doubt,
                "THAT RELEASE LIST AND THOSE BEHIND IT ARE NOT BELIEVED; those before it stay in force");
    mosquitto_log_printf(p->admission == NULL ? MOSQ_LOG_ERR : MOSQ_LOG_NOTICE, "keymill: %s", counts);
    if (p->target != NULL)
        admission_each_stray(p->target, log_stray, NULL);
    free(counts);
}

static enum rc load(struct plugin *p, struct err *e)
{
    enum rc rc =
        p->target == NULL ? target_read(p->target_path, &p->target, e) : target_reread_crls(p->target, e);
    return rc != RC_OK ? rc : admission_load(p->target, &p->admission, e);
}

static enum rc update(struct plugin *p, struct err *e)
{
    struct err why = ERR_INIT;
    if (target_reread_crls(p->target, &why) == RC_OK)
        return admission_update(p->admission, p->target, e);
    /* No revocation waits for that: the CRLs from before judge it. */
    enum rc rc = admission_update_revocations(p->admission, p->target, e);
    if (rc == RC_OK) {
        *e = why;
        rc = why.rc;
    }
    return rc;
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
    if (p->admission != NULL && !p->failed && !admission_stale(p->admission, p->target))
        return;
    enum rc rc = p->admission == NULL ? load(p, &e) : update(p, &e);
    p->failed = rc != RC_OK;
    if (rc == RC_OK)
        err_clear(&e);
    report(p, &e);
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

/* A device's client id is its device id, or that, "/" and anything: the broker ends the session of whoever
 * has the client id of a newcomer. No device id has a "/" in it, so none is the beginning of another's. */
static bool client_id_is_own(const char *client_id, const char *device)
{
    size_t n = strlen(device);
    return strncmp(client_id, device, n) == 0 && (client_id[n] == '\0' || client_id[n] == '/');
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
    if (!client_id_is_own(client_id, c->cn))
        return refuse(client_id, c, "its client id is neither its device id nor that, '/' and more");
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

/*
 * Whether a session that was found by its client is this client's. The broker uses the object of a client
 * that is gone for another, and does not ask us about that one when its listener takes names from
 * certificates or pre-shared keys itself. What is left of a client that is gone, its will and its queue, has
 * no certificate any more; it has the user name that was set when it was let in.
 */
static bool is_session_of(const struct session *s, const struct mosquitto *client, const X509 *certificate)
{
    uint8_t hash[SHA256_LEN];
    unsigned int n = 0;
    if (certificate != NULL)
        return X509_digest(certificate, EVP_sha256(), hash, &n) == 1 && n == SHA256_LEN &&
               memcmp(hash, s->cert, SHA256_LEN) == 0;
    const char *name = mosquitto_client_username(client);
    return name != NULL && strcmp(name, s->device) == 0;
}

static int on_acl(int event, void *event_data, void *userdata)
{
    const struct mosquitto_evt_acl_check *acl = event_data;
    const struct plugin *p = userdata;

    (void)event;
    X509 *certificate = mosquitto_client_certificate(acl->client);
    const struct session *s = sessions_find(&p->sessions, acl->client);
    if (s != NULL && !is_session_of(s, acl->client, certificate))
        s = NULL;
    int to_strangers = certificate == NULL ? p->others : MOSQ_ERR_ACL_DENIED;
    X509_free(certificate);
    if (s == NULL)
        return to_strangers;
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
    free(p->reported);
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
