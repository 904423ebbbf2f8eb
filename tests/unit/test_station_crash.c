/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <signal.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "factory/journal.h"
#include "station_world.h"

/* A station that is killed at random moments, again and again, and then finishes its work. */

enum { KILLS = 50, DEVICES = 3 * KILLS, WORK = 2 /* devices a round, until it is killed */ };

/* Runs work in a child and kills it after us microseconds; true when it was still at work. */
static bool kill_at(void (*work)(int round), int round, unsigned us)
{
    struct timespec t = {us / 1000000, (long)(us % 1000000) * 1000};
    int status = 0;
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid == 0) {
        work(round);
        _exit(0);
    }
    nanosleep(&t, NULL);
    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (WIFEXITED(status))
        assert_int_equal(WEXITSTATUS(status), 0);
    return WIFSIGNALED(status);
}

/* A random moment in the work, whose length is found out on the way: earlier when it was through, later when
 * it was not. */
static bool kill_somewhere(void (*work)(int round), int round, unsigned *length)
{
    bool killed = kill_at(work, round, (unsigned)random() % *length);

    *length = killed ? *length / 20 * 21 : *length / 4 * 3;
    return killed;
}

/* How long the work takes when nobody disturbs it. */
static unsigned duration(void (*work)(int round), int round)
{
    int64_t start = clock_mono_ms();
    int status = 0;
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid == 0) {
        work(round);
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    return (unsigned)(clock_mono_ms() - start + 1) * 1000;
}

/* In a child nothing may be asserted: cmocka's jump would leave it running as a second parent. */
static void or_exit(enum rc rc)
{
    if (rc == RC_OK)
        return;
    fprintf(stderr, "%s [%s]\n", e.text, e.key);
    _exit(1);
}

static void make_devices(int round)
{
    struct station *s = NULL;

    for (int i = 0; i < WORK; i++) {
        char *out = mem_printf("%s/dev-%d-%d", folder, round, i);
        char id[DEVICE_ID_MAX + 1];
        bool is_new;

        or_exit(station_open(at("home"), w.keys, &s, &e));
        or_exit(station_next(s, "A1", NULL, out, id, &e));
        station_close_home(s);
        or_exit(station_open(at("home"), w.keys, &s, &e));
        or_exit(station_finish(s, id, STATE_GOOD, NULL, &is_new, &e));
        station_close_home(s);
        free(out);
    }
}

/* ---- what the journal says ---- */

struct told {
    int delivered[DEVICES + 1], finished[DEVICES + 1]; /* by the number of the id */
};

static int number_of(const char *id)
{
    int n = atoi(strrchr(id, '-') + 1);

    assert_in_range(n, 1, DEVICES);
    return n;
}

static enum rc count(void *arg, const struct journal_record *r, const uint8_t head[static SHA256_LEN],
                     struct err *err)
{
    struct told *t = arg;

    (void)head;
    (void)err;
    if (strcmp(r->kind, "deliver") == 0)
        t->delivered[number_of(r->id)]++;
    if (strcmp(r->kind, "good") == 0)
        t->finished[number_of(r->id)]++;
    return RC_OK;
}

static void read_journal(struct told *ret)
{
    struct journal *j = NULL;

    memset(ret, 0, sizeof *ret);
    must(journal_open(at("home/journal.jsonl"), count, ret, &j, &e));
    journal_close(j);
}

/* ---- what is in the folders ---- */

struct identities {
    bool seen[DEVICES + 1];
    uint8_t cert[DEVICES + 1][SHA256_LEN];
};

static void look_into(const char *dir, const struct told *t, struct identities *ids)
{
    char *key = path_join(dir, "key.pem"), *cert = path_join(dir, "cert.pem");
    struct cert *c = NULL;
    int n;

    if (file_exists(cert)) {
        must(cert_read(cert, &c, &e)); /* whole, or not there */
        n = number_of(c->cn);
        if (t->delivered[n] != 1)
            fail_msg("'%s' holds '%s', which the journal does not know", dir, c->cn);
        if (ids->seen[n])
            assert_memory_equal(ids->cert[n], c->sha256, SHA256_LEN);
        memcpy(ids->cert[n], c->sha256, SHA256_LEN);
        ids->seen[n] = true;
        if (file_exists(key))
            check_delivery(dir, c->cn, NULL);
    }
    cert_free(c);
    free(key);
    free(cert);
}

static void look_into_all(const struct told *t, struct identities *ids)
{
    struct dirent *entry;
    DIR *d = opendir(folder);

    assert_non_null(d);
    while ((entry = readdir(d)) != NULL)
        if (strncmp(entry->d_name, "dev-", 4) == 0) {
            char *dir = path_join(folder, entry->d_name);

            look_into(dir, t, ids);
            free(dir);
        }
    closedir(d);
}

/* ---- going on ---- */

/* What was recorded and not finished is delivered again, as the same identity, and finished. */
static void finish_the_rest(const struct told *t, struct identities *ids)
{
    for (int n = 1; n <= DEVICES; n++) {
        char id[32], *out = mem_printf("%s/again-%d", folder, n);
        uint8_t cert[SHA256_LEN];

        snprintf(id, sizeof id, "A1-0-%06d", n);
        if (t->delivered[n] == 1 && t->finished[n] == 0) {
            next_ok("A1", id, out, id);
            check_delivery(out, id, cert);
            if (ids->seen[n])
                assert_memory_equal(ids->cert[n], cert, SHA256_LEN);
            finish_ok(id, STATE_GOOD, NULL, true);
        }
        free(out);
    }
}

static enum rc same_identity(void *arg, const struct manifest_line *l, struct err *err)
{
    const struct identities *ids = arg;
    int n = number_of(l->id);

    (void)err;
    if (ids->seen[n])
        assert_memory_equal(ids->cert[n], l->cert_sha256, SHA256_LEN);
    return RC_OK;
}

static void test_killed_devices(void **state)
{
    static struct told t;
    static struct identities ids;
    struct manifest_view v;
    struct checkpoint c;
    unsigned length;
    uint64_t delivered = 0;
    int killed = 0;

    (void)state;
    memset(&ids, 0, sizeof ids);
    give_order("A1", 1, DEVICES);
    station_close_home(w.station);
    w.station = NULL;
    length = duration(make_devices, 0);
    for (int round = 1; killed < KILLS && (round + 1) * WORK <= DEVICES; round++)
        killed += kill_somewhere(make_devices, round, &length);
    assert_in_range(killed, KILLS / 2, KILLS);
    read_journal(&t);
    for (int n = 1; n <= DEVICES; n++) {
        assert_in_range(t.delivered[n], 0, 1);
        assert_in_range(t.finished[n], 0, t.delivered[n]);
        delivered += (uint64_t)t.delivered[n];
    }
    assert_true(delivered >= WORK);
    look_into_all(&t, &ids);
    must(station_open(at("home"), w.keys, &w.station, &e));
    finish_the_rest(&t, &ids);
    must(station_close(w.station, "A1", at("out"), &c, &e));
    must(verify_manifest(at("out"), "A1", same_identity, &ids, &v));
    assert_int_equal(v.checkpoint.counts[STATE_GOOD], delivered);
    assert_int_equal(v.checkpoint.counts[STATE_UNUSED], DEVICES - delivered);
}

/* ---- accept and close ---- */

static void accept_and_close(int round)
{
    struct station *s = NULL;
    struct checkpoint c;
    char id[65];
    bool is_new;

    (void)round;
    or_exit(station_open(at("home"), w.keys, &s, &e));
    or_exit(station_accept(s, at("A1.order"), id, &is_new, &e));
    or_exit(station_accept(s, at("A1.batch"), id, &is_new, &e));
    or_exit(station_close(s, "A1", at("out"), &c, &e));
    station_close_home(s);
}

/* Killed anywhere in between, the same commands are given again until they are through. */
static void test_killed_orders(void **state)
{
    struct order o;
    struct manifest_view v;
    unsigned length;
    int killed = 0;

    (void)state;
    station_close_home(w.station);
    w.station = NULL;
    order_for_us(&o, "A1", 1, 40);
    write_order(&o, &w.office);
    write_batch(&o);
    copy_tree(at("home"), at("fresh"));
    length = duration(accept_and_close, 0);
    for (int i = 0; i < KILLS; i++) {
        if (i % 5 == 0) {
            copy_tree(at("fresh"), at("home"));
            must(dir_remove(at("out"), &e));
        }
        killed += kill_somewhere(accept_and_close, i, &length);
        if (i % 5 != 4)
            continue;
        accept_and_close(0);
        must(verify_manifest(at("out"), "A1", NULL, NULL, &v));
        assert_int_equal(v.checkpoint.count, 40);
        assert_int_equal(v.checkpoint.journal_records, 2);
        assert_false(file_exists(at("home/orders/A1/batch.part")));
    }
    assert_in_range(killed, KILLS / 4, KILLS);
    order_fini(&o);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_WORLD(test_killed_devices),
        IN_WORLD(test_killed_orders),
    };

    srandom((unsigned)time(NULL));
    return cmocka_run_group_tests(tests, NULL, NULL);
}
