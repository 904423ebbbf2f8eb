/* SPDX-License-Identifier: Apache-2.0 */
#include "verbs.h"

enum { SECONDS = 5, BATCH = 64 };

const struct cli_option bench_options[] = {
    {"seconds", CLI_INT, "N", false, "sign for so long; default 5"},
    {"count", CLI_INT, "N", false, "make so many signatures instead"},
    {"batch", CLI_INT, "N", false, "signatures of one call; default 64"},
    {"threads", CLI_INT, "N", false, "threads that call; default: one a worker, and one more to verify"},
    WORKERS_OPTION,
    SESSIONS_OPTION,
    {"unverified", CLI_FLAG, NULL, false, "leave out the verification of each signature in software"},
    PIN_SOURCE_OPTION,
    OPTIONS_END,
};

static enum rc number(const struct cli_args *args, const char *name, int64_t fallback, int64_t max,
                      int64_t *ret, struct err *e)
{
    *ret = cli_int(args, name, fallback);
    bool given = cli_int(args, name, 0) == cli_int(args, name, 1);
    if ((given && *ret < 1) || *ret > max)
        return err_set(e, RC_USAGE, "hsm.bench", "--%s '%lld': 1 to %lld are possible", name, (long long)*ret,
                       (long long)max);
    return RC_OK;
}

static enum rc options_read(const struct cli_args *args, struct bench_options *ret, struct err *e)
{
    int64_t seconds = 0, count = 0, batch = 0, threads = 0;
    enum rc rc = number(args, "seconds", SECONDS, BENCH_SECONDS_MAX, &seconds, e);
    if (rc == RC_OK)
        rc = number(args, "count", 0, INT64_MAX / 2, &count, e);
    if (rc == RC_OK)
        rc = number(args, "batch", BATCH, BENCH_BATCH_MAX, &batch, e);
    if (rc == RC_OK)
        rc = number(args, "threads", 0, BENCH_THREADS_MAX, &threads, e);
    if (rc == RC_OK && count > 0 && cli_int(args, "seconds", 0) > 0)
        rc = err_set(e, RC_USAGE, "hsm.bench", "--seconds and --count: one of the two ends the run");
    *ret = (struct bench_options){.seconds = (int)seconds,
                                  .count = (uint64_t)count,
                                  .batch = (size_t)batch,
                                  .threads = (size_t)threads,
                                  .verify = !cli_flag(args, "unverified")};
    return rc;
}

/* Rounded up, so that nothing takes no time at all. */
static int64_t us(uint64_t ns)
{
    return (int64_t)((ns + 999) / 1000);
}

static void latency_row(struct out *out, const char *of, const struct bench_latency *l)
{
    out_row(out);
    out_str(out, "latency_of", of);
    out_int(out, "p50_us", us(l->p50));
    out_int(out, "p95_us", us(l->p95));
    out_int(out, "p99_us", us(l->p99));
    out_int(out, "max_us", us(l->max));
}

static void show(const struct bench_options *opt, const struct bench_result *r, struct out *out)
{
    uint64_t ms = r->elapsed_ns / 1000000;
    double seconds = r->elapsed_ns > 0 ? (double)r->elapsed_ns / 1e9 : 1e-9;
    out_int(out, "signatures_per_s", (int64_t)((double)r->signatures / seconds));
    out_int(out, "signatures", (int64_t)r->signatures);
    out_int(out, "elapsed_ms", (int64_t)ms);
    out_str(out, "algorithm", r->algorithm);
    out_bool(out, "verified", opt->verify);
    out_int(out, "batch", (int64_t)opt->batch);
    out_int(out, "threads", (int64_t)r->threads);
    out_int(out, "workers", (int64_t)r->workers);
    out_int(out, "sessions_per_worker", (int64_t)r->sessions);
    out_int(out, "restarts", (int64_t)r->recoveries);
    out_list(out, "latency");
    latency_row(out, "call", &r->call);
    latency_row(out, "signature", &r->signature);
    out_list_end(out);
    if (opt->verify)
        out_note(out, "every signature was verified in software, within the time that is shown");
    else
        out_note(out,
                 "no signature was verified (--unverified): this is the token's own rate, not production's");
    out_note(out, "signed were texts of this program's own making, 'keymill bench: ...', and nothing else");
}

enum rc bench_run(const struct cli_args *args, struct out *out, struct err *e)
{
    struct bench_options opt;
    struct bench_result result;
    struct keystore *store = NULL;
    enum rc rc = options_read(args, &opt, e);
    if (rc == RC_OK)
        rc = tokens_open_many(args, &store, e);
    if (rc == RC_OK)
        rc = token_bench(store, cli_operand(args, 0), &opt, &result, e);
    if (rc == RC_OK)
        show(&opt, &result, out);
    tokens_close(store);
    return rc;
}
