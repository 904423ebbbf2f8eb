/* SPDX-License-Identifier: Apache-2.0 */
#include "factory/station.h"
#include "hsm/token.h"
#include "station_cmd.h"

#define HOME_OPTION                                                                                          \
    {                                                                                                        \
        "home", CLI_TEXT, "DIR", true, "the station's home directory"                                        \
    }

/* What every verb on the line begins with. */
static enum rc open_station(const struct cli_args *a, struct keystore **ret_keys, struct station **ret,
                            struct err *e)
{
    enum rc rc = station_keys(cli_text(a, "home"), ret_keys, e);

    if (rc == RC_OK)
        rc = station_open(cli_text(a, "home"), *ret_keys, ret, e);
    return rc;
}

static void shut_station(struct keystore *keys, struct station *s)
{
    station_close_home(s);
    tokens_close(keys);
}

const struct cli_option accept_options[] = {HOME_OPTION, {0}};

enum rc cmd_accept(const struct cli_args *a, struct out *o, struct err *e)
{
    struct keystore *keys = NULL;
    struct station *s = NULL;
    char order[65] = "";
    bool is_new = false;
    enum rc rc = open_station(a, &keys, &s, e);

    if (rc == RC_OK)
        rc = station_accept(s, cli_operand(a, 0), order, &is_new, e);
    if (rc == RC_OK) {
        out_str(o, "order", order);
        out_bool(o, "new", is_new);
    }
    shut_station(keys, s);
    return rc;
}

const struct cli_option next_options[] = {
    HOME_OPTION,
    {"order", CLI_TEXT, "ORDER", true, "the order to work on"},
    {"out", CLI_TEXT, "DIR", true, "folder for this one device, made when absent"},
    {"id", CLI_TEXT, "ID", false, "deliver an unfinished device again"},
    {0},
};

enum rc cmd_next(const struct cli_args *a, struct out *o, struct err *e)
{
    struct keystore *keys = NULL;
    struct station *s = NULL;
    char id[DEVICE_ID_MAX + 1] = "";
    enum rc rc = open_station(a, &keys, &s, e);

    if (rc == RC_OK)
        rc = station_next(s, cli_text(a, "order"), cli_text(a, "id"), cli_text(a, "out"), id, e);
    if (rc == RC_OK) {
        out_str(o, "id", id);
        out_str(o, "folder", cli_text(a, "out"));
        out_note(
            o,
            "key.pem is this device's private key in the clear: flash it, remove it, then say good or scrap.");
    }
    shut_station(keys, s);
    return rc;
}

static enum rc finish(const struct cli_args *a, enum device_state state, const char *reason, struct out *o,
                      struct err *e)
{
    struct keystore *keys = NULL;
    struct station *s = NULL;
    bool is_new = false;
    enum rc rc = open_station(a, &keys, &s, e);

    if (rc == RC_OK)
        rc = station_finish(s, cli_text(a, "id"), state, reason, &is_new, e);
    if (rc == RC_OK) {
        out_str(o, "id", cli_text(a, "id"));
        out_str(o, "state", device_state_name(state));
        out_bool(o, "new", is_new);
    }
    shut_station(keys, s);
    return rc;
}

const struct cli_option good_options[] = {
    HOME_OPTION,
    {"id", CLI_TEXT, "ID", true, "the device"},
    {0},
};

enum rc cmd_good(const struct cli_args *a, struct out *o, struct err *e)
{
    return finish(a, STATE_GOOD, NULL, o, e);
}

const struct cli_option scrap_options[] = {
    HOME_OPTION,
    {"id", CLI_TEXT, "ID", true, "the device"},
    {"reason", CLI_TEXT, "TEXT", false, "why, at most 128 octets; stands in the manifest"},
    {0},
};

enum rc cmd_scrap(const struct cli_args *a, struct out *o, struct err *e)
{
    return finish(a, STATE_SCRAPPED, cli_text(a, "reason"), o, e);
}

const struct cli_option close_options[] = {
    HOME_OPTION,
    {"order", CLI_TEXT, "ORDER", true, "the order to end"},
    {"out", CLI_TEXT, "DIR", true, "folder for ORDER.manifest.jsonl and ORDER.checkpoint"},
    {0},
};

enum rc cmd_close(const struct cli_args *a, struct out *o, struct err *e)
{
    struct keystore *keys = NULL;
    struct station *s = NULL;
    struct checkpoint c = {0};
    enum rc rc = open_station(a, &keys, &s, e);

    if (rc == RC_OK)
        rc = station_close(s, cli_text(a, "order"), cli_text(a, "out"), &c, e);
    if (rc == RC_OK) {
        out_str(o, "order", c.order);
        out_int(o, "devices", (int64_t)c.count);
        for (int i = 0; i < STATE_COUNT; i++)
            out_int(o, device_state_name((enum device_state)i), (int64_t)c.counts[i]);
        out_hex(o, "manifest_sha256", (struct span){c.manifest_sha256, SHA256_LEN});
        out_hex(o, "journal_head", (struct span){c.journal_after, SHA256_LEN});
        out_time(o, "signed", c.issued);
        out_note(
            o,
            "Send both files to the office, and keep the journal head: it shows a journal that was set back "
            "later. More devices than these cannot be made: the batch holds exactly the ordered ones.");
    }
    shut_station(keys, s);
    return rc;
}
