/* SPDX-License-Identifier: Apache-2.0 */
/* The front door: "keymill ca init" runs keymill-ca init, from the folder that keymill itself stands in.
 * Links nothing but libc. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/file.h"
#include "base/process.h"

static const struct {
    const char *name, *summary;
} tools[] = {
    {"hsm", "tokens and keys: init, keygen, list, check, selftest"},
    {"ca", "one certificate authority in one home: root, online or local"},
    {"office", "signed production orders out, signed manifests in; batches, inventory, releases"},
    {"station", "a flashing station on a manufacturer's line, offline"},
    {"cloud", "register devices asleep, wake and revoke them"},
};

static void usage(FILE *f)
{
    fputs("usage: keymill TOOL VERB [OPTION...]\n\na private PKI and factory provisioning toolchain\n\n", f);
    for (size_t i = 0; i < sizeof tools / sizeof tools[0]; i++)
        fprintf(f, "  %-9s %s\n", tools[i].name, tools[i].summary);
    fputs("\n'keymill TOOL -h' lists a tool's verbs, 'keymill TOOL VERB -h' a verb's options\n", f);
}

static int run_tool(const char *name, char **argv)
{
    char *rel = mem_printf("keymill-%s", name), *path = NULL;
    struct err e = ERR_INIT;

    if (path_sibling(rel, &path, &e) != RC_OK) {
        fprintf(stderr, "keymill: %s\n", e.text);
        return RC_SYSTEM;
    }
    argv[0] = rel;
    execv(path, argv);
    fprintf(stderr, "keymill: cannot run '%s': %s\n", path, strerror(errno));
    return RC_SYSTEM;
}

int main(int argc, char **argv)
{
    process_harden();
    if (argc < 2 || strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "--help") == 0) {
        usage(stdout);
        return RC_OK;
    }
    if (strcmp(argv[1], "--version") == 0) {
        puts("keymill " KEYMILL_VERSION);
        return RC_OK;
    }
    for (size_t i = 0; i < sizeof tools / sizeof tools[0]; i++)
        if (strcmp(argv[1], tools[i].name) == 0)
            return run_tool(tools[i].name, argv + 1);
    fprintf(stderr, "keymill: unknown tool '%s'\n", argv[1]);
    usage(stderr);
    return RC_USAGE;
}
