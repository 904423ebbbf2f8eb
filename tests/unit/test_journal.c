/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/text.h"
#include "factory/journal.h"
#include "folder.h"

#define T0 INT64_C(1790000000) /* the time of the first record */

/* The program is linked with --wrap=fsync and --wrap=fdatasync: how often the journal was made durable, and
 * how large it was then. */
static int synced;
static off_t synced_size;
static bool sync_fails;

int __real_fsync(int fd);
int __wrap_fsync(int fd);
int __real_fdatasync(int fd);
int __wrap_fdatasync(int fd);

static bool note_sync(int fd)
{
    struct stat st, journal;

    if (fstat(fd, &st) != 0 || stat(at("journal.jsonl"), &journal) != 0 || st.st_ino != journal.st_ino)
        return true;
    synced++;
    synced_size = st.st_size;
    errno = EIO;
    return !sync_fails;
}

int __wrap_fsync(int fd)
{
    return note_sync(fd) ? __real_fsync(fd) : -1;
}

int __wrap_fdatasync(int fd)
{
    return note_sync(fd) ? __real_fdatasync(fd) : -1;
}

/* What a replay saw: a line for each record. */
struct seen {
    struct bytes text;
    uint64_t records;
    enum rc answer; /* to the record whose number is stop */
    uint64_t stop;
    uint8_t head[SHA256_LEN]; /* before the record seen last */
};

static enum rc see(void *arg, const struct journal_record *r, const uint8_t head[static SHA256_LEN],
                   struct err *e)
{
    struct seen *s = arg;

    s->records++;
    memcpy(s->head, head, SHA256_LEN);
    bytes_printf(&s->text, "%d %d %s '%s' '%s' '%s'\n", (int)r->n, (int)(r->time - T0), r->kind, r->order,
                 r->id, r->detail);
    if (r->n == s->stop)
        return err_set(e, s->answer, "test.stop", "'%s'", r->id);
    return RC_OK;
}

static const char *path(void)
{
    return at("journal.jsonl");
}

static enum rc try_open(struct journal **ret, struct seen *s, struct err *e)
{
    *s = (struct seen){.records = 0};
    return journal_open(path(), see, s, ret, e);
}

static struct journal *open_ok(struct seen *s)
{
    struct journal *j = NULL;
    struct err e = ERR_INIT;

    if (try_open(&j, s, &e) != RC_OK)
        fail_msg("%s [%s]", e.text, e.key);
    return j;
}

static void append(struct journal *j, int64_t after, const char *kind, const char *order, const char *id,
                   const char *detail)
{
    struct journal_record r = {.time = T0 + after, .kind = kind, .order = order, .id = id, .detail = detail};
    struct err e = ERR_INIT;

    if (journal_append(j, &r, &e) != RC_OK)
        fail_msg("%s [%s]", e.text, e.key);
}

static const char story[] = "1 0 order 'A1' '' '00ff'\n"
                            "2 0 batch 'A1' '' 'aa'\n"
                            "3 1 deliver 'A1' 'MX1-000001' ''\n"
                            "4 5 scrap 'A1' 'MX1-000001' 'fell \"down\", f\xc3\xbcnf'\n";
enum { STORY_RECORDS = 4 };

static void tell_story(void)
{
    struct seen s;
    struct journal *j = open_ok(&s);

    append(j, 0, "order", "A1", NULL, "00ff");
    append(j, 0, "batch", "A1", "", "aa");
    append(j, 1, "deliver", "A1", "MX1-000001", NULL);
    append(j, 5, "scrap", "A1", "MX1-000001", "fell \"down\", f\xc3\xbcnf");
    journal_close(j);
    bytes_free(&s.text);
}

static void load(struct bytes *ret)
{
    struct err e = ERR_INIT;

    if (file_read(path(), FILE_SMALL_MAX, ret, &e) != RC_OK)
        fail_msg("%s", e.text);
}

/* Not by base/file.h: thousands of files need not be durable. */
static void store(struct span text)
{
    FILE *f = fopen(path(), "we");

    assert_non_null(f);
    assert_int_equal(fwrite(text.p, 1, text.n, f), text.n);
    assert_int_equal(fclose(f), 0);
}

/* The journal with this text is refused, says which line, and is left as it is. */
static void assert_broken(struct span text)
{
    struct journal *j = NULL;
    struct seen s;
    struct err e = ERR_INIT;

    store(text);
    if (try_open(&j, &s, &e) != RC_INPUT)
        fail_msg("not refused:\n%.*s", (int)text.n, (const char *)text.p);
    assert_string_equal(e.key, "journal.broken");
    assert_non_null(strstr(e.text, path()));
    assert_non_null(strstr(e.text, " line "));
    assert_non_null(strstr(e.text, "headquarters"));
    assert_null(j);
    assert_content(path(), text);
    bytes_free(&s.text);
}

static void assert_told(const char *want)
{
    struct seen s;
    struct journal *j = open_ok(&s);

    assert_string_equal(bytes_str(&s.text), want);
    journal_close(j);
    bytes_free(&s.text);
}

/* ---- writing and reading ---- */

static void test_replay(void **state)
{
    (void)state;
    assert_told("");
    assert_int_equal(mode_of(path()), 0600);
    tell_story();
    assert_told(story);
    assert_told(story);
}

/* Heads as the header has them: each line's hash on the head before it, from zeros. */
static void test_heads(void **state)
{
    struct seen s;
    struct bytes text = BYTES_INIT;
    uint8_t head[SHA256_LEN] = {0}, before[SHA256_LEN], got[SHA256_LEN];
    uint64_t records = 9;
    struct journal *j = open_ok(&s);

    (void)state;
    journal_head(j, got, &records);
    assert_int_equal(records, 0);
    assert_int_equal(journal_last_time(j), 0);
    assert_memory_equal(got, head, SHA256_LEN);
    journal_close(j);
    tell_story();
    load(&text);
    for (const char *p = bytes_str(&text); *p != '\0'; p = strchr(p, '\n') + 1) {
        memcpy(before, head, SHA256_LEN);
        hash_chain(before, (struct span){(const uint8_t *)p, (size_t)(strchr(p, '\n') - p)}, head);
    }
    j = open_ok(&s);
    journal_head(j, got, &records);
    assert_int_equal(records, STORY_RECORDS);
    assert_int_equal(journal_last_time(j), T0 + 5);
    assert_memory_equal(got, head, SHA256_LEN);
    assert_memory_equal(s.head, before, SHA256_LEN);
    journal_close(j);
    bytes_free(&s.text);
    bytes_free(&text);
}

/* The head of an open journal moves with each append, as a replay would find it. */
static void test_head_moves(void **state)
{
    struct seen s;
    uint8_t live[SHA256_LEN], replayed[SHA256_LEN];
    uint64_t records;
    struct journal *j;

    (void)state;
    tell_story();
    j = open_ok(&s);
    append(j, 5, "close", "A1", NULL, "cc");
    journal_head(j, live, &records);
    assert_int_equal(records, STORY_RECORDS + 1);
    journal_close(j);
    bytes_free(&s.text);
    j = open_ok(&s);
    journal_head(j, replayed, &records);
    assert_memory_equal(live, replayed, SHA256_LEN);
    assert_int_equal(records, STORY_RECORDS + 1);
    journal_close(j);
    bytes_free(&s.text);
}

static void test_reader_stops(void **state)
{
    struct journal *j = NULL;
    struct seen s = {.answer = RC_DENIED, .stop = 3};
    struct err e = ERR_INIT;

    (void)state;
    tell_story();
    assert_int_equal(journal_open(path(), see, &s, &j, &e), RC_DENIED);
    assert_string_equal(e.key, "test.stop");
    assert_int_equal(s.records, 3);
    assert_null(j);
    bytes_free(&s.text);
    assert_told(story);
}

static void test_no_link(void **state)
{
    struct journal *j = NULL;
    struct seen s;
    struct err e = ERR_INIT;

    (void)state;
    tell_story();
    assert_int_equal(rename(path(), at("elsewhere")), 0);
    assert_int_equal(symlink(at("elsewhere"), path()), 0);
    assert_int_equal(try_open(&j, &s, &e), RC_SYSTEM);
    assert_string_equal(e.key, "journal.open");
}

/* ---- what a crash leaves ---- */

/* Cut anywhere, the journal is what it was up to the last whole line, and goes on from there. */
static void test_torn_tail(void **state)
{
    struct bytes text = BYTES_INIT;

    (void)state;
    tell_story();
    load(&text);
    for (size_t n = 0; n < text.n; n++) {
        struct span whole = {text.p, n};
        size_t lines = 0;
        struct seen s;
        struct journal *j;

        while (whole.n > 0 && whole.p[whole.n - 1] != '\n')
            whole.n--;
        for (size_t i = 0; i < whole.n; i++)
            lines += text.p[i] == '\n';
        store((struct span){text.p, n});
        j = open_ok(&s);
        assert_int_equal(s.records, lines);
        assert_content(path(), whole);
        append(j, 9, "good", "A1", "MX1-000002", NULL);
        journal_close(j);
        bytes_free(&s.text);
        j = open_ok(&s);
        assert_int_equal(s.records, lines + 1);
        journal_close(j);
        bytes_free(&s.text);
    }
    bytes_free(&text);
}

/* A tail of octets that were never written, as some file systems leave it. */
static void test_torn_zeros(void **state)
{
    struct bytes text = BYTES_INIT;
    static const uint8_t zeros[300];

    (void)state;
    tell_story();
    load(&text);
    bytes_add(&text, zeros, sizeof zeros);
    store(bytes_span(&text));
    assert_told(story);
    bytes_free(&text);
}

/* ---- what was changed ---- */

/* Every octet of the file, the line ends and the last line too; nothing is recomputed. */
static void test_changed_octets(void **state)
{
    static const uint8_t flips[] = {0x01, 0x20, 0x80};
    struct bytes text = BYTES_INIT;

    (void)state;
    tell_story();
    load(&text);
    for (size_t i = 0; i < text.n; i++) {
        uint8_t was = text.p[i];

        for (size_t k = 0; k < sizeof flips; k++) {
            text.p[i] = was ^ flips[k];
            assert_broken(bytes_span(&text));
        }
        text.p[i] = '\n';
        if (was != '\n')
            assert_broken(bytes_span(&text));
        text.p[i] = was;
    }
    store(bytes_span(&text));
    assert_told(story);
    bytes_free(&text);
}

struct cut {
    struct span line[STORY_RECORDS]; /* with their LF */
};

static struct cut cut_lines(const struct bytes *text)
{
    struct cut c = {0};
    const uint8_t *p = text->p;

    for (size_t i = 0; i < STORY_RECORDS; i++) {
        const uint8_t *lf = memchr(p, '\n', (size_t)(text->p + text->n - p));

        assert_non_null(lf);
        c.line[i] = (struct span){p, (size_t)(lf + 1 - p)};
        p = lf + 1;
    }
    return c;
}

/* The lines in this order ("0123" is the story). */
static void assert_order_broken(const struct cut *c, const char *order)
{
    struct bytes text = BYTES_INIT;

    for (; *order != '\0'; order++)
        bytes_add_span(&text, c->line[*order - '0']);
    assert_broken(bytes_span(&text));
    bytes_free(&text);
}

static void test_moved_lines(void **state)
{
    struct bytes text = BYTES_INIT;
    struct cut c;

    (void)state;
    tell_story();
    load(&text);
    c = cut_lines(&text);
    assert_order_broken(&c, "123"); /* dropped */
    assert_order_broken(&c, "023");
    assert_order_broken(&c, "013");
    assert_order_broken(&c, "00123"); /* twice */
    assert_order_broken(&c, "01123");
    assert_order_broken(&c, "01233");
    assert_order_broken(&c, "012301");
    assert_order_broken(&c, "1023"); /* swapped */
    assert_order_broken(&c, "0213");
    assert_order_broken(&c, "0132");
    bytes_free(&text);
}

/* A line that lost some of its octets, at every length, with the lines behind it still there. */
static void test_truncated_lines(void **state)
{
    struct bytes text = BYTES_INIT, changed = BYTES_INIT;
    struct cut c;

    (void)state;
    tell_story();
    load(&text);
    c = cut_lines(&text);
    for (size_t n = 0; n < c.line[1].n - 1; n++) {
        for (int lf = 0; lf < 2; lf++) {
            bytes_reset(&changed);
            bytes_add_span(&changed, c.line[0]);
            bytes_add(&changed, c.line[1].p, n);
            if (lf)
                bytes_add_byte(&changed, '\n');
            bytes_add_span(&changed, c.line[2]);
            bytes_add_span(&changed, c.line[3]);
            assert_broken(bytes_span(&changed));
        }
    }
    bytes_free(&text);
    bytes_free(&changed);
}

/* Gives the line the checksum that its changed text has: the chain must see it nevertheless. */
static void put_with_sum(const char *members, struct bytes *ret)
{
    uint8_t hash[SHA256_LEN];
    char *hex;

    sha256(span_str(members), hash);
    hex = hex_new((struct span){hash, sizeof hash});
    bytes_printf(ret, "%s,\"sum\":\"%s\"}\n", members, hex);
    free(hex);
}

/* Replaces text in line i and makes its checksum right again. */
static void assert_forged_broken(const struct cut *c, size_t i, const char *from, const char *to)
{
    char *line = mem_strn((const char *)c->line[i].p, c->line[i].n);
    char *sum = strstr(line, ",\"sum\":"), *place = strstr(line, from);
    char *members;
    struct bytes text = BYTES_INIT;

    assert_non_null(sum);
    assert_non_null(place);
    *sum = '\0';
    members = mem_printf("%.*s%s%s", (int)(place - line), line, to, place + strlen(from));
    for (size_t k = 0; k < STORY_RECORDS; k++) {
        if (k == i)
            put_with_sum(members, &text);
        else
            bytes_add_span(&text, c->line[k]);
    }
    assert_broken(bytes_span(&text));
    free(line);
    free(members);
    bytes_free(&text);
}

static void test_forged_lines(void **state)
{
    struct bytes text = BYTES_INIT;
    struct cut c;

    (void)state;
    tell_story();
    load(&text);
    c = cut_lines(&text);
    assert_forged_broken(&c, 0, "00ff", "00fe"); /* the next line's prev differs */
    assert_forged_broken(&c, 2, "MX1-000001", "MX1-000002");
    assert_forged_broken(&c, 3, "\"prev\":\"", "\"prev\":\"00"); /* too long */
    assert_forged_broken(&c, 3, "\"n\":4", "\"n\":5");
    assert_forged_broken(&c, 3, "\"n\":4,", "");
    assert_forged_broken(&c, 3, "\"kind\":\"scrap\"", "\"kind\":\"\"");
    assert_forged_broken(&c, 3, "\"kind\"", "\"more\":1,\"kind\"");
    assert_forged_broken(&c, 3, "{", "[{");
    bytes_free(&text);
}

/* ---- the clock ---- */

static void test_clock(void **state)
{
    struct journal_record r = {.time = T0 + 4, .kind = "good", .order = "A1", .id = "MX1-000002"};
    struct seen s;
    struct journal *j;
    struct err e = ERR_INIT;
    uint8_t before[SHA256_LEN], after[SHA256_LEN];
    uint64_t records;
    char last[TIME_TEXT];

    (void)state;
    tell_story();
    j = open_ok(&s);
    journal_head(j, before, &records);
    assert_int_equal(journal_append(j, &r, &e), RC_CONFLICT);
    assert_string_equal(e.key, "journal.clock");
    assert_non_null(strstr(e.text, "1 s later"));
    assert_non_null(strstr(e.text, "set this computer's clock"));
    time_format(T0 + 5, last);
    assert_non_null(strstr(e.text, last));
    journal_head(j, after, &records);
    assert_memory_equal(before, after, SHA256_LEN);
    assert_int_equal(records, STORY_RECORDS);
    append(j, 5, "good", "A1", "MX1-000002", NULL);
    journal_close(j);
    bytes_free(&s.text);
}

/* A journal whose times run backwards was not written by us, right hashes or not. */
static void test_clock_in_file(void **state)
{
    struct seen s;
    struct journal *j = open_ok(&s);
    struct bytes text = BYTES_INIT;
    uint8_t head[SHA256_LEN];
    uint64_t records;
    char *hex, *members;

    (void)state;
    append(j, 5, "order", "A1", NULL, "aa");
    journal_head(j, head, &records);
    journal_close(j);
    load(&text);
    hex = hex_new((struct span){head, sizeof head});
    members = mem_printf("{\"n\":2,\"time\":\"2026-09-21T13:33:19Z\",\"kind\":\"good\",\"prev\":\"%s\"", hex);
    put_with_sum(members, &text);
    assert_broken(bytes_span(&text));
    free(hex);
    free(members);
    bytes_free(&s.text);
    bytes_free(&text);
}

/* ---- the disk ---- */

static off_t size_now(void)
{
    struct stat st;

    assert_int_equal(stat(path(), &st), 0);
    return st.st_size;
}

/* Every record is durable, whole, when append returns; and at opening whatever is read, because a process
 * that was killed before its sync may have written it. */
static void test_durable(void **state)
{
    struct seen s;
    struct journal *j;

    (void)state;
    tell_story();
    synced = 0;
    j = open_ok(&s);
    assert_int_equal(synced, 1);
    assert_int_equal(synced_size, size_now());
    for (int i = 0; i < 3; i++) {
        off_t before = size_now();

        append(j, 9, "deliver", "A1", "MX1-000002", NULL);
        assert_int_equal(synced, 2 + i);
        assert_true(synced_size > before);
        assert_int_equal(synced_size, size_now());
    }
    journal_close(j);
    bytes_free(&s.text);
}

/* After a sync that failed nobody knows what is on the disk: the record is undone, and this journal takes no
 * more. */
static void test_sync_fails(void **state)
{
    struct journal_record r = {.time = T0 + 9, .kind = "good", .order = "A1", .id = "MX1-000002"};
    struct seen s;
    struct bytes text = BYTES_INIT;
    struct journal *j = NULL;
    struct err e = ERR_INIT;

    (void)state;
    tell_story();
    load(&text);
    j = open_ok(&s);
    sync_fails = true;
    assert_int_equal(journal_append(j, &r, &e), RC_SYSTEM);
    assert_string_equal(e.key, "journal.write");
    sync_fails = false;
    assert_content(path(), bytes_span(&text));
    err_clear(&e);
    assert_int_equal(journal_append(j, &r, &e), RC_SYSTEM);
    assert_string_equal(e.key, "journal.write");
    assert_content(path(), bytes_span(&text));
    journal_close(j);
    bytes_free(&s.text);
    j = NULL;
    sync_fails = true;
    assert_int_equal(try_open(&j, &s, &e), RC_SYSTEM);
    assert_string_equal(e.key, "journal.open");
    assert_null(j);
    bytes_free(&s.text);
    sync_fails = false;
    assert_told(story);
    bytes_free(&text);
}

static void limit_files(rlim_t octets)
{
    struct rlimit l;

    assert_int_equal(getrlimit(RLIMIT_FSIZE, &l), 0);
    l.rlim_cur = octets;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &l), 0);
}

/* The disk is full after some octets of the record, at each number of them: nothing is recorded, and when
 * there is room again the same journal goes on. */
static void test_full_disk(void **state)
{
    struct journal_record r = {.time = T0 + 9, .kind = "good", .order = "A1", .id = "MX1-000002"};
    struct seen s;
    struct bytes text = BYTES_INIT;
    struct journal *j;
    struct err e = ERR_INIT;

    (void)state;
    signal(SIGXFSZ, SIG_IGN);
    tell_story();
    load(&text);
    j = open_ok(&s);
    for (rlim_t room = 0; room < 150; room += 7) {
        limit_files(text.n + room);
        err_clear(&e);
        assert_int_equal(journal_append(j, &r, &e), RC_SYSTEM);
        limit_files(RLIM_INFINITY);
        assert_string_equal(e.key, "journal.write");
        assert_non_null(strstr(e.text, "nothing was recorded"));
        assert_non_null(strstr(e.text, path()));
        assert_content(path(), bytes_span(&text));
    }
    append(j, 9, "good", "A1", "MX1-000002", NULL);
    append(j, 9, "good", "A1", "MX1-000003", NULL);
    journal_close(j);
    bytes_free(&s.text);
    j = open_ok(&s);
    assert_int_equal(s.records, STORY_RECORDS + 2);
    journal_close(j);
    bytes_free(&s.text);
    bytes_free(&text);
}

static void test_no_leak(void **state)
{
    struct bytes text = BYTES_INIT;
    int before;

    (void)state;
    tell_story();
    load(&text);
    before = open_descriptors();
    assert_told(story);
    text.p[10] ^= 1;
    assert_broken(bytes_span(&text));
    assert_int_equal(open_descriptors(), before);
    bytes_free(&text);
}

#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, folder_make, folder_remove)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_FOLDER(test_replay),          IN_FOLDER(test_heads),          IN_FOLDER(test_head_moves),
        IN_FOLDER(test_reader_stops),    IN_FOLDER(test_no_link),        IN_FOLDER(test_torn_tail),
        IN_FOLDER(test_torn_zeros),      IN_FOLDER(test_changed_octets), IN_FOLDER(test_moved_lines),
        IN_FOLDER(test_truncated_lines), IN_FOLDER(test_forged_lines),   IN_FOLDER(test_clock),
        IN_FOLDER(test_clock_in_file),   IN_FOLDER(test_durable),        IN_FOLDER(test_sync_fails),
        IN_FOLDER(test_full_disk),       IN_FOLDER(test_no_leak),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
