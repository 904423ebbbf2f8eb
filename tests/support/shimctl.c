/* SPDX-License-Identifier: Apache-2.0 */

/*
 * shimctl DIR WHAT: what the shim's processes of KEYMILL_SHIM_DIR have counted.
 *   calls FUNCTION   how often it was called
 *   fired            how many faults were given
 *   processes        a line for each that lives: pid, open sessions, signatures
 *   crash            one C_Sign, soon: it ends its process
 *   reset            all counts to 0
 */
#include "shim.h"

#include <stdio.h>
#include <string.h>

static void processes(struct shim_state *s)
{
    for (size_t i = 0; i < SHIM_PROCESSES; i++) {
        struct shim_process *p = &s->process[i];
        if (p->pid > 0 && shim_alive(p->pid))
            printf("%d %ld %lu\n", p->pid, p->sessions, p->signatures);
    }
}

int main(int argc, char **argv)
{
    struct shim_state *s = argc >= 3 ? shim_state_open(argv[1]) : NULL;
    const char *what = s ? argv[2] : "";
    if (strcmp(what, "calls") == 0 && argc == 4) {
        enum shim_function f = shim_function_of(argv[3]);
        if (f == SHIM_ANY && strcmp(argv[3], "*") != 0)
            return 2;
        printf("%lu\n", s->calls[f]);
    } else if (strcmp(what, "fired") == 0) {
        printf("%lu\n", s->fired);
    } else if (strcmp(what, "processes") == 0) {
        processes(s);
    } else if (strcmp(what, "crash") == 0) {
        s->armed[0].action = SHIM_CRASH;
        s->armed[0].from = s->armed[0].to = s->calls[SHIM_C_Sign] + 10;
        s->armed[0].function = SHIM_C_Sign + 1;
    } else if (strcmp(what, "reset") == 0) {
        for (unsigned f = 0; f <= SHIM_FUNCTION_COUNT; f++)
            s->calls[f] = 0;
        s->fired = 0;
    } else {
        fprintf(stderr, "usage: shimctl DIR calls FUNCTION | fired | processes | crash | reset\n");
        return 2;
    }
    return 0;
}
