/* SPDX-License-Identifier: Apache-2.0 */

/*
 * ladder URI DIR PART STEP SHARE SHARES: batches of 200 signatures through hsm/'s client and
 * tests/support/shim.c, with one fault each, whose place and kind this program puts into the shim's state in
 * DIR between the batches. The workers live on from batch to batch, so that thousands of them take no more
 * than minutes.
 *
 *   sign      each code, each way to die and each lie at the N-th C_SignInit and C_Sign of a batch
 *   start     each code and each way to die at the N-th call of each function that a start, its login and the
 *             first batch make
 *   again     the same at the N-th call of what a recovery calls, after a first fault in the middle of a
 * batch
 *
 * STEP thins the numbers N and, for start and again, the codes out; 1 is all of them. SHARES processes can do
 * it together, numbered by SHARE from 0, each with a DIR of its own. A batch whose fault can be cured has all
 * its signatures, each verified at its place; another one ends with the error that stands for the code, and
 * the next one is whole. Prints what went wrong and a summary.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "fault/ladder_kinds.h"
#include "hsm/token.h"
#include "sign/alg.h"
#include "sign/digest.h"
#include "support/shim.h"

enum {
    BATCH = 200,
    DEADLINE_MS = 400,
    PATIENCE_MS = 4000,
    ALARM_S = 90, /* of one batch: nothing hangs */
};

struct ladder {
    const char *uri;
    struct shim_state *shim;
    struct keystore *store;
    struct signer *key;
    unsigned long round;         /* so that no two batches have a digest in common */
    unsigned long share, shares; /* this process's kinds of fault: each shares-th from share */
    unsigned long batches, cured, refused, failures;
    unsigned long missed; /* faults for calls that were not made, since recoveries differ a little */
    bool loud;
};

/* What went wrong, and where. */
struct fault {
    const char *site, *what;
    unsigned long n;
};

static void fail(struct ladder *l, const struct fault *f, const char *text, const struct err *e)
{
    l->failures++;
    printf("not ok: %s at call %lu of %s: %s%s%s%s%s\n", f->what, f->n, f->site, text,
           e && e->rc != RC_OK ? ": " : "", e && e->rc != RC_OK ? e->text : "",
           e && e->rc != RC_OK ? " " : "", e && e->rc != RC_OK ? e->key : "");
}

/* --- one batch */

static enum rc sign_and_verify(struct ladder *l, size_t n, size_t every, struct err *e)
{
    const struct alg *a = l->key->alg;
    uint8_t *digests = mem_array(n, a->digest_len);
    struct span inputs[BATCH];
    struct bytes signatures[BATCH];
    size_t left = 0;
    l->round++;
    for (unsigned long i = 0; i < n; i++) {
        unsigned long place[2] = {l->round, i};
        alg_digest(a, (struct span){(const uint8_t *)place, sizeof place}, digests + i * a->digest_len);
        inputs[i] = (struct span){digests + i * a->digest_len, a->digest_len};
        signatures[i] = (struct bytes)BYTES_INIT;
    }
    enum rc rc = signer_sign_sampled(l->key, inputs, n, every, signatures, e);
    for (size_t i = 0; i < n; i++) {
        if (rc == RC_OK)
            rc = signature_verify(a, bytes_span(&l->key->spki), inputs[i], bytes_span(&signatures[i]), e);
        else
            left += signatures[i].n;
        bytes_free(&signatures[i]);
    }
    free(digests);
    if (rc != RC_OK && left > 0)
        rc = err_set(e, RC_BUG, "ladder.left", "signatures of a batch that failed");
    return rc;
}

static enum rc store_open(struct ladder *l, struct err *e)
{
    const struct token_options opt = {
        .workers = 1, .sessions = 1, .deadline_ms = DEADLINE_MS, .patience_ms = PATIENCE_MS};
    enum rc rc = tokens_open(&opt, &l->store, e);
    if (rc == RC_OK)
        rc = l->store->ops->find(l->store, l->uri, KEY_SIGN, NULL, &l->key, e);
    return rc;
}

/* And no worker stays behind. */
static void store_close(struct ladder *l, const struct fault *f)
{
    signer_free(l->key);
    tokens_close(l->store);
    l->key = NULL;
    l->store = NULL;
    if (waitpid(-1, NULL, WNOHANG) != -1 || errno != ECHILD)
        fail(l, f, "a worker is left", NULL);
}

/* --- faults */

static void disarm(struct ladder *l)
{
    for (size_t i = 0; i < SHIM_ARMED; i++)
        l->shim->armed[i].function = 0;
    for (size_t f = 0; f <= SHIM_FUNCTION_COUNT; f++)
        l->shim->calls[f] = 0;
    l->shim->fired = 0;
}

static void arm(struct ladder *l, size_t i, enum shim_function f, unsigned long n, enum shim_action action,
                CK_RV code)
{
    l->shim->armed[i].action = action;
    l->shim->armed[i].from = n;
    l->shim->armed[i].to = n;
    l->shim->armed[i].code = code;
    l->shim->armed[i].function = f + 1;
}

/* --- verdicts */

static bool key_is(const struct err *e, const char *key)
{
    return strcmp(e->key, key) == 0;
}

static void verdict(struct ladder *l, const struct fault *f, const struct kind *k, enum rc rc,
                    const struct err *e)
{
    static const char *const keys[] = {[NOT_SUPPORTED] = "hsm.not-supported",
                                       [REFUSED] = "hsm.operation-failed",
                                       [LIE] = "sign.self-check",
                                       [NOTHING] = "sign.ecdsa-sig"};
    l->batches++;
    if (l->loud)
        printf("%s %lu %s: %s\n", f->site, f->n, f->what, rc == RC_OK ? "ok" : e->key);
    if (l->shim->fired == 0)
        fail(l, f, "nothing happened", NULL);
    if (rc == RC_OK)
        l->cured++;
    else
        l->refused++;
    if (k->cure == CURED && rc != RC_OK)
        fail(l, f, "not cured", e);
    if (k->cure != CURED && (rc != RC_TOKEN || !key_is(e, keys[k->cure])))
        fail(l, f, "not refused as it should be", e);
}

/* --- sign */

static enum rc batch_under(struct ladder *l, const struct kind *k, enum shim_function f, unsigned long n,
                           struct err *e)
{
    disarm(l);
    arm(l, 0, f, n, k->action, k->code);
    alarm(ALARM_S);
    enum rc rc = sign_and_verify(l, BATCH, k->cure >= LIE ? 1 : BATCH, e);
    alarm(0);
    return rc;
}

/* The next batch after a fault: without one. */
static void batch_clean(struct ladder *l, const struct fault *f, size_t n)
{
    struct err e = ERR_INIT;
    disarm(l);
    alarm(ALARM_S);
    if (sign_and_verify(l, n, n, &e) != RC_OK)
        fail(l, f, "the next batch", &e);
    alarm(0);
}

/* The first one, the ends of a message of 64, and each step-th from one that depends on the kind. */
static bool chosen(unsigned long n, unsigned long step, size_t kind)
{
    return step == 1 || n == 1 || n == 64 + kind % 2 || n % step == kind * 7 % step;
}

static void sign_kind(struct ladder *l, enum shim_function f, const struct kind *k, size_t i,
                      unsigned long step)
{
    struct fault at = {shim_function_name(f), k->name, 0};
    bool slow = k->action == SHIM_HANG || k->action == SHIM_STOP;
    if (slow)
        step *= 40;
    for (unsigned long n = 1; n <= BATCH; n++) {
        struct err e = ERR_INIT;
        if (slow ? n % step != 65 % step : !chosen(n, step, i))
            continue;
        at.n = n;
        enum rc rc = batch_under(l, k, f, n, &e);
        verdict(l, &at, k, rc, &e);
        /* What was given up is still in the worker's hands: it must not meet the next fault. */
        if (rc != RC_OK)
            batch_clean(l, &at, 1);
    }
    batch_clean(l, &at, BATCH);
}

static void sign_part(struct ladder *l, unsigned long step)
{
    static const enum shim_function sites[] = {SHIM_C_SignInit, SHIM_C_Sign};
    struct fault none = {"nothing", "nothing", 0};
    struct err e = ERR_INIT;
    struct kind k;
    disarm(l);
    if (store_open(l, &e) != RC_OK)
        fail(l, &none, "it does not start", &e);
    for (size_t s = 0; e.rc == RC_OK && s < sizeof sites / sizeof sites[0]; s++) {
        for (size_t i = 0; kind_get(i, &k); i++) {
            if (i % l->shares != l->share)
                continue;
            if (k.cure < LIE || sites[s] == SHIM_C_Sign)
                sign_kind(l, sites[s], &k, i, step);
        }
    }
    store_close(l, &none);
}

/* --- start and again */

static bool is_pin_code(const struct kind *k)
{
    return k->action == SHIM_CODE &&
           (strncmp(k->name, "CKR_PIN_", 8) == 0 || strcmp(k->name, "CKR_USER_PIN_NOT_INITIALIZED") == 0);
}

static bool dies(const struct kind *k)
{
    return k->action == SHIM_CRASH || k->action == SHIM_KILL || k->action == SHIM_EXIT;
}

/*
 * A fault anywhere but in C_SignInit and C_Sign. A token that never worked is not waited for: of such a start
 * the client may say so at once. What is no fault of the token's can be refused by the function that got it.
 */
static void verdict_elsewhere(struct ladder *l, const struct fault *at, enum shim_function f,
                              const struct kind *k, bool starting, enum rc rc, const struct err *e)
{
    static const char *const at_start[] = {"hsm.no-module", "hsm.no-token", "hsm.token-failed",
                                           "hsm.worker-lost"};
    static const char *const of_pin[] = {"hsm.pin-incorrect", "hsm.pin-form",  "hsm.pin-locked",
                                         "hsm.pin-expired",   "hsm.pin-unset", "hsm.login-failed"};
    static const char *const of_key[] = {"hsm.key-policy", "hsm.no-key"};
    static const char *const refusals[] = {"hsm.operation-failed", "hsm.not-supported"};
    /* By the time of its C_Login the session is closed. */
    bool closed = f == SHIM_C_GetSessionInfo && k->action == SHIM_CLOSE;
    bool early = closed || f == SHIM_C_Initialize || f == SHIM_C_GetSlotList || f == SHIM_C_GetTokenInfo ||
                 f == SHIM_C_OpenSession || f == SHIM_C_Login;
    /* The token says that it does not report what it is asked for. */
    bool unreported = f == SHIM_C_GetAttributeValue && (strcmp(k->name, "CKR_ATTRIBUTE_TYPE_INVALID") == 0 ||
                                                        strcmp(k->name, "CKR_ATTRIBUTE_SENSITIVE") == 0);
    /* A login that ends in silence is not made again before one has succeeded, whatever the call was. */
    bool in_login = starting && at->n == 1 && dies(k) &&
                    (f == SHIM_C_GetSessionInfo || f == SHIM_C_FindObjectsInit || f == SHIM_C_FindObjects ||
                     f == SHIM_C_FindObjectsFinal);
    bool of_login = f == SHIM_C_Login && is_pin_code(k);
    l->batches++;
    if (l->loud)
        printf("%s %lu %s: %s\n", at->site, at->n, at->what, rc == RC_OK ? "ok" : e->key);
    if (l->shim->fired == 0)
        l->missed++;
    if ((f == SHIM_C_Login || in_login) && rc != RC_OK && l->shim->calls[SHIM_C_Login] > 1)
        fail(l, at, "the PIN was sent again", e);
    if (rc == RC_OK) {
        l->cured++;
        if (of_login)
            fail(l, at, "the PIN cannot have been taken", NULL);
        return;
    }
    l->refused++;
    if (of_login
            ? LISTED(of_pin, e->key)
            : (starting && (early || in_login) && LISTED(at_start, e->key)) ||
                  (unreported && LISTED(of_key, e->key)) || (k->cure != CURED && LISTED(refusals, e->key)))
        return;
    fail(l, at, "it ends with", e);
}

/* Of some of the functions and of all: what they were called for until now. */
static void calls_get(const struct ladder *l, unsigned long *ret)
{
    for (size_t f = 0; f < SHIM_FUNCTION_COUNT; f++)
        ret[f] = l->shim->calls[f];
}

static bool fits_elsewhere(const struct ladder *l, const struct kind *k, size_t i)
{
    return i % l->shares == l->share && k->cure < LIE && k->action != SHIM_HANG && k->action != SHIM_STOP;
}

static enum rc whole_life(struct ladder *l, const struct fault *f, struct err *e)
{
    alarm(ALARM_S);
    enum rc rc = store_open(l, e);
    if (rc == RC_OK)
        rc = sign_and_verify(l, BATCH, BATCH, e);
    store_close(l, f);
    alarm(0);
    return rc;
}

static void start_part(struct ladder *l, unsigned long step)
{
    struct fault at = {"nothing", "nothing", 0};
    unsigned long calls[SHIM_FUNCTION_COUNT];
    struct err e = ERR_INIT;
    struct kind k;
    disarm(l);
    if (whole_life(l, &at, &e) != RC_OK)
        fail(l, &at, "a batch without a fault", &e);
    calls_get(l, calls);
    calls[SHIM_C_SignInit] = calls[SHIM_C_Sign] = 0; /* sign_part */
    for (unsigned f = 0; f < SHIM_FUNCTION_COUNT; f++) {
        for (size_t i = 0; kind_get(i, &k); i++) {
            for (unsigned long n = 1; n <= calls[f]; n++) {
                if ((n + i / l->shares) % step != 0 || !fits_elsewhere(l, &k, i))
                    continue;
                at = (struct fault){shim_function_name(f), k.name, n};
                e = (struct err)ERR_INIT;
                disarm(l);
                arm(l, 0, f, n, k.action, k.code);
                enum rc rc = whole_life(l, &at, &e);
                verdict_elsewhere(l, &at, f, &k, true, rc, &e);
            }
        }
    }
}

enum { FIRST_AT = 100 }; /* the C_Sign that the first fault of again_part is in */

static void first_fault(struct ladder *l, const struct kind *first)
{
    disarm(l);
    arm(l, 0, SHIM_C_Sign, FIRST_AT, first->action, first->code);
}

/* A worker that has its key already. */
static bool again_open(struct ladder *l, const struct fault *at)
{
    struct err e = ERR_INIT;
    disarm(l);
    if (store_open(l, &e) != RC_OK)
        fail(l, at, "it does not start", &e);
    else
        batch_clean(l, at, 1);
    return e.rc == RC_OK;
}

/* A second fault in what mends the first. */
static void again_kind(struct ladder *l, const struct kind *first, enum shim_function f, unsigned long n,
                       const struct kind *k)
{
    char site[128];
    struct fault at = {site, k->name, n};
    struct err e = ERR_INIT;
    snprintf(site, sizeof site, "%s, after %s", shim_function_name(f), first->name);
    if (!l->store && !again_open(l, &at))
        return;
    first_fault(l, first);
    arm(l, 1, f, n, k->action, k->code);
    alarm(ALARM_S);
    enum rc rc = sign_and_verify(l, BATCH, BATCH, &e);
    alarm(0);
    l->shim->fired--; /* the first one */
    verdict_elsewhere(l, &at, f, k, false, rc, &e);
    if (f == SHIM_C_Login && is_pin_code(k))
        store_close(l, &at); /* this one never logs in again */
    else if (rc != RC_OK)
        batch_clean(l, &at, 1);
}

static void again_part(struct ladder *l, unsigned long step)
{
    static const struct kind firsts[] = {
        {"a crash", SHIM_CRASH, 0, CURED},
        {"a lost login", SHIM_LOGOUT, 0, CURED},
        {"CKR_DEVICE_REMOVED", SHIM_CODE, CKR_DEVICE_REMOVED, CURED},
        {"CKR_SESSION_HANDLE_INVALID", SHIM_CODE, CKR_SESSION_HANDLE_INVALID, CURED},
    };
    struct fault none = {"nothing", "nothing", 0};
    unsigned long calls[SHIM_FUNCTION_COUNT];
    struct err e = ERR_INIT;
    struct kind k;
    for (size_t p = 0; p < sizeof firsts / sizeof firsts[0]; p++) {
        if (!again_open(l, &none))
            return;
        first_fault(l, &firsts[p]);
        if (sign_and_verify(l, BATCH, BATCH, &e) != RC_OK)
            fail(l, &none, firsts[p].name, &e);
        calls_get(l, calls);
        calls[SHIM_C_SignInit] = calls[SHIM_C_Sign] = 0;
        for (unsigned f = 0; f < SHIM_FUNCTION_COUNT; f++) {
            for (size_t i = 0; kind_get(i, &k); i++) {
                for (unsigned long n = 1; n <= calls[f]; n++) {
                    if ((n + i / l->shares) % step == 0 && fits_elsewhere(l, &k, i))
                        again_kind(l, &firsts[p], f, n, &k);
                }
            }
        }
        if (l->store)
            store_close(l, &none);
    }
}

int main(int argc, char **argv)
{
    struct ladder l = {.loud = getenv("LADDER_LOUD") != NULL};
    if (argc != 7) {
        fprintf(stderr, "usage: ladder URI DIR sign|start|again STEP SHARE SHARES\n");
        return RC_USAGE;
    }
    l.uri = argv[1];
    l.shim = shim_state_open(argv[2]);
    unsigned long step = strtoul(argv[4], NULL, 10);
    l.share = strtoul(argv[5], NULL, 10);
    l.shares = strtoul(argv[6], NULL, 10);
    if (strcmp(argv[3], "sign") == 0)
        sign_part(&l, step);
    else if (strcmp(argv[3], "start") == 0)
        start_part(&l, step);
    else
        again_part(&l, step);
    printf("%s: %lu batches with a fault, %lu whole, %lu refused, %lu missed, %lu failures\n", argv[3],
           l.batches, l.cured, l.refused, l.missed, l.failures);
    return l.failures == 0 && l.batches > 0 && l.missed <= l.batches / 20 ? 0 : 1;
}
