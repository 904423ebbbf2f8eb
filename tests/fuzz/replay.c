/* SPDX-License-Identifier: Apache-2.0 */
/*
 * replay CORPUS-FOLDER ROUNDS: runs a fuzz target (LLVMFuzzerTestOneInput) over every file of its corpus and
 * over ROUNDS mutations of each (bytes changed, runs dropped, doubled or spliced from another file), from a
 * fixed seed. So each fuzzer is an ordinary test under any compiler and sanitizer; libFuzzer, with clang's
 * -fsanitize=fuzzer in place of this file, goes further.
 */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { FILES_MAX = 256, SIZE_MAX_OCTETS = 1 << 16 };
static struct {
    uint8_t *p;
    size_t n;
} files[FILES_MAX];
static size_t nfiles;
static uint64_t seed = 0x9e3779b97f4a7c15;

static size_t random_below(size_t n)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return n == 0 ? 0 : (size_t)(seed % n);
}

static void load(const char *folder)
{
    DIR *d = opendir(folder);
    struct dirent *entry;

    while (d != NULL && nfiles < FILES_MAX && (entry = readdir(d)) != NULL) {
        char path[4096];
        FILE *f;

        if (entry->d_name[0] == '.')
            continue;
        snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
        f = fopen(path, "re");
        if (f == NULL)
            continue;
        files[nfiles].p = malloc(SIZE_MAX_OCTETS);
        if (files[nfiles].p == NULL)
            exit(71);
        files[nfiles].n = fread(files[nfiles].p, 1, SIZE_MAX_OCTETS, f);
        nfiles++;
        fclose(f);
    }
    if (d != NULL)
        closedir(d);
}

/* One mutation of buf in place; returns the new length. */
static size_t mutate(uint8_t *buf, size_t n)
{
    size_t at = random_below(n + 1), len = random_below(16) + 1, other = random_below(nfiles);

    if (len > n - at)
        len = n - at;
    switch (random_below(4)) {
    case 0:
        if (at < n)
            buf[at] = (uint8_t)random_below(256);
        return n;
    case 1:
        memmove(buf + at, buf + at + len, n - at - len);
        return n - len;
    case 2:
        if (n + len > SIZE_MAX_OCTETS)
            return n;
        memmove(buf + at + len, buf + at, n - at);
        return n + len;
    default:
        if (len > files[other].n)
            len = files[other].n;
        memcpy(buf + at, files[other].p + random_below(files[other].n - len + 1),
               at + len > SIZE_MAX_OCTETS ? 0 : len);
        return at + len > n ? at + len : n;
    }
}

int main(int argc, char **argv)
{
    unsigned long rounds = argc == 3 ? strtoul(argv[2], NULL, 10) : 0;
    uint8_t *buf = malloc(2 * SIZE_MAX_OCTETS);

    if (argc != 3 || buf == NULL)
        return 2;
    load(argv[1]);
    if (nfiles == 0) {
        fprintf(stderr, "replay: no corpus in '%s'\n", argv[1]);
        return 1;
    }
    for (size_t i = 0; i < nfiles; i++) {
        LLVMFuzzerTestOneInput(files[i].p, files[i].n);
        for (unsigned long r = 0; r < rounds; r++) {
            size_t n = files[i].n;

            memcpy(buf, files[i].p, n);
            for (size_t m = random_below(4) + 1; m > 0; m--)
                n = mutate(buf, n);
            LLVMFuzzerTestOneInput(buf, n > SIZE_MAX_OCTETS ? SIZE_MAX_OCTETS : n);
        }
    }
    printf("%zu files, %lu mutations each\n", nfiles, rounds);
    for (size_t i = 0; i < nfiles; i++)
        free(files[i].p);
    free(buf);
    return 0;
}
