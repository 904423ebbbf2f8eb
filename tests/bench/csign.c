/* SPDX-License-Identifier: Apache-2.0 */
/*
 * csign MODULE TOKEN PIN-FILE KEY PROCESSES SECONDS: the token's own rate. A bare C_SignInit/C_Sign loop
 * (CKM_ECDSA over 32 octets) in that many processes, none of keymill's code; prints signatures per second of
 * all together. The limit that batch.sh and its like measure against.
 */
#include <dlfcn.h>
#include <p11-kit/pkcs11.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { PROCESSES_MAX = 64, SLOTS_MAX = 64 };

static void die(const char *what, CK_RV rv)
{
    fprintf(stderr, "csign: %s: 0x%lx\n", what, rv);
    _exit(1);
}

static double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static CK_FUNCTION_LIST *load(const char *module)
{
    void *so = dlopen(module, RTLD_NOW);
    CK_RV (*get)(CK_FUNCTION_LIST **) = NULL;
    CK_FUNCTION_LIST *p11 = NULL;
    CK_C_INITIALIZE_ARGS args = {.flags = CKF_OS_LOCKING_OK}; /* as whoever may have threads must */
    CK_RV rv;

    if (so == NULL)
        die(dlerror(), 0);
    *(void **)&get = dlsym(so, "C_GetFunctionList");
    if (get == NULL || (rv = get(&p11)) != CKR_OK || (rv = p11->C_Initialize(&args)) != CKR_OK)
        die("C_Initialize", get == NULL ? 0 : rv);
    return p11;
}

static CK_SESSION_HANDLE login(CK_FUNCTION_LIST *p11, const char *token, const char *pin_file)
{
    CK_SLOT_ID slots[SLOTS_MAX];
    CK_ULONG n = SLOTS_MAX;
    CK_SESSION_HANDLE session;
    char pin[256] = "";
    FILE *f = fopen(pin_file, "re");
    CK_RV rv = p11->C_GetSlotList(CK_TRUE, slots, &n);

    if (f == NULL || fgets(pin, sizeof pin, f) == NULL || rv != CKR_OK)
        die("PIN file or slot list", rv);
    fclose(f);
    pin[strcspn(pin, "\n")] = '\0';
    for (CK_ULONG i = 0; i < n; i++) {
        CK_TOKEN_INFO info;

        if (p11->C_GetTokenInfo(slots[i], &info) != CKR_OK ||
            strncmp((const char *)info.label, token, strlen(token)) != 0 || info.label[strlen(token)] != ' ')
            continue;
        if ((rv = p11->C_OpenSession(slots[i], CKF_SERIAL_SESSION, NULL, NULL, &session)) != CKR_OK)
            die("C_OpenSession", rv);
        if ((rv = p11->C_Login(session, CKU_USER, (CK_UTF8CHAR *)pin, strlen(pin))) != CKR_OK)
            die("C_Login", rv);
        return session;
    }
    die("no such token", 0);
    return 0;
}

static CK_OBJECT_HANDLE find_key(CK_FUNCTION_LIST *p11, CK_SESSION_HANDLE session, char *label)
{
    CK_OBJECT_CLASS class = CKO_PRIVATE_KEY;
    CK_ATTRIBUTE want[] = {{CKA_CLASS, &class, sizeof class}, {CKA_LABEL, label, strlen(label)}};
    CK_OBJECT_HANDLE key = CK_INVALID_HANDLE;
    CK_ULONG n = 0;

    if (p11->C_FindObjectsInit(session, want, 2) != CKR_OK ||
        p11->C_FindObjects(session, &key, 1, &n) != CKR_OK || n != 1)
        die("no such key", 0);
    p11->C_FindObjectsFinal(session);
    return key;
}

/* Logs in, says so, waits for the start, signs until the time is up, reports how many. */
static void worker(char **argv, int ready, int start, int report, double seconds)
{
    CK_FUNCTION_LIST *p11 = load(argv[1]);
    CK_SESSION_HANDLE session = login(p11, argv[2], argv[3]);
    CK_OBJECT_HANDLE key = find_key(p11, session, argv[4]);
    CK_MECHANISM mechanism = {CKM_ECDSA, NULL, 0};
    CK_BYTE digest[32], signature[256];
    uint64_t n = 0;
    double end;

    memset(digest, 7, sizeof digest);
    if (write(ready, "x", 1) != 1 || read(start, digest, 1) < 0)
        die("pipe", 0);
    for (end = now() + seconds; (n & 63) != 0 || now() < end; n++) {
        CK_ULONG len = sizeof signature;
        CK_RV rv = p11->C_SignInit(session, &mechanism, key);

        digest[n % sizeof digest]++;
        if (rv != CKR_OK || (rv = p11->C_Sign(session, digest, sizeof digest, signature, &len)) != CKR_OK)
            die("C_Sign", rv);
    }
    if (write(report, &n, sizeof n) != sizeof n)
        die("pipe", 0);
    _exit(0);
}

int main(int argc, char **argv)
{
    int ready[2], start[2], report[2];
    long processes = argc == 7 ? strtol(argv[5], NULL, 10) : 0;
    double seconds = argc == 7 ? strtod(argv[6], NULL) : 0;
    uint64_t total = 0;

    if (processes < 1 || processes > PROCESSES_MAX || seconds <= 0 || pipe(ready) != 0 || pipe(start) != 0 ||
        pipe(report) != 0) {
        fprintf(stderr, "usage: csign MODULE TOKEN PIN-FILE KEY PROCESSES SECONDS\n");
        return 2;
    }
    for (long i = 0; i < processes; i++) {
        char c;

        if (fork() == 0)
            worker(argv, ready[1], start[0], report[1], seconds);
        /* One login at a time: SoftHSM rewrites its token file in place at C_Login. */
        if (read(ready[0], &c, 1) != 1)
            return 1;
    }
    for (long i = 0; i < processes; i++)
        if (write(start[1], "x", 1) != 1)
            return 1;
    close(report[1]);
    for (uint64_t n; read(report[0], &n, sizeof n) == sizeof n;)
        total += n;
    for (int status; wait(&status) > 0;)
        if (status != 0)
            return 1;
    printf("%.0f\n", (double)total / seconds);
    return 0;
}
