/* SPDX-License-Identifier: Apache-2.0 */

/*
 * plant MODULE TOKEN PIN-FILE make LABEL [FLAG=0|1 ...]: a P-256 key pair that keeps the key policy for
 * signing, but for the flags given: private, sensitive, extractable, sign, sign-recover, decrypt, unwrap,
 * derive, modifiable; and once-readable, once-extractable (set right afterwards), twin-id (the id of the pair
 * made before), no-public. plant MODULE TOKEN PIN-FILE attack LABEL: tries to get the private key LABEL out
 * or to other uses, straight through PKCS#11: read it, wrap it, decrypt, unwrap and derive with it, copy it
 * as extractable, change its attributes. One line for each attempt; exit code 1 when one succeeded.
 */
#include <dlfcn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <p11-kit/p11-kit.h>
#include <p11-kit/pkcs11.h>

enum { SLOTS_MAX = 32, FLAGS = 9 };

static CK_FUNCTION_LIST *p11;
static CK_SESSION_HANDLE session;
static CK_BBOOL yes = CK_TRUE, no = CK_FALSE;

static void die(const char *what, CK_RV rv)
{
    fprintf(stderr, "plant: %s: 0x%lx\n", what, rv);
    _Exit(2);
}

static void need(const char *what, CK_RV rv)
{
    if (rv != CKR_OK)
        die(what, rv);
}

static void open_token(const char *module, const char *label, const char *pin_file)
{
    CK_RV (*get)(CK_FUNCTION_LIST **) = NULL;
    CK_SLOT_ID slots[SLOTS_MAX];
    CK_ULONG n = SLOTS_MAX;
    char pin[256] = "";
    FILE *f = fopen(pin_file, "re");
    void *so = dlopen(module, RTLD_NOW);
    if (so)
        *(void **)(void *)&get = dlsym(so, "C_GetFunctionList");
    if (!f || !fgets(pin, sizeof pin, f) || !get || get(&p11) != CKR_OK)
        die("module or PIN file", 0);
    fclose(f);
    pin[strcspn(pin, "\n")] = '\0';
    need("C_Initialize", p11->C_Initialize(NULL));
    need("C_GetSlotList", p11->C_GetSlotList(CK_TRUE, slots, &n));
    for (CK_ULONG i = 0; i < n; i++) {
        CK_TOKEN_INFO info;
        if (p11->C_GetTokenInfo(slots[i], &info) != CKR_OK ||
            p11_kit_space_strlen(info.label, sizeof info.label) != strlen(label) ||
            memcmp(info.label, label, strlen(label)) != 0)
            continue;
        need("C_OpenSession",
             p11->C_OpenSession(slots[i], CKF_SERIAL_SESSION | CKF_RW_SESSION, NULL, NULL, &session));
        need("C_Login", p11->C_Login(session, CKU_USER, (CK_UTF8CHAR *)pin, strlen(pin)));
        return;
    }
    die("no such token", 0);
}

/* --- make */

struct flag {
    const char *name;
    CK_ATTRIBUTE_TYPE type;
    bool value;
};

static bool given(int argc, char **argv, const char *word)
{
    for (int i = 0; i < argc; i++) {
        if (strcmp(argv[i], word) == 0)
            return true;
    }
    return false;
}

static void flags_take(struct flag *flags, int argc, char **argv)
{
    for (int i = 0; i < argc; i++) {
        const char *is = strchr(argv[i], '=');
        for (size_t k = 0; is && k < FLAGS; k++) {
            if (strlen(flags[k].name) == (size_t)(is - argv[i]) &&
                strncmp(flags[k].name, argv[i], (size_t)(is - argv[i])) == 0)
                flags[k].value = is[1] == '1';
        }
    }
}

static void set_flag(CK_OBJECT_HANDLE key, CK_ATTRIBUTE_TYPE type, CK_BBOOL *value)
{
    CK_ATTRIBUTE a = {type, value, sizeof *value};
    need("C_SetAttributeValue", p11->C_SetAttributeValue(session, key, &a, 1));
}

static void make(char *label, int argc, char **argv)
{
    static CK_BYTE p256[] = {0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07};
    bool readable = given(argc, argv, "once-readable"), extractable = given(argc, argv, "once-extractable");
    struct flag flags[FLAGS] = {
        {"private", CKA_PRIVATE, true},
        {"sensitive", CKA_SENSITIVE, !readable},
        {"extractable", CKA_EXTRACTABLE, extractable},
        {"sign", CKA_SIGN, true},
        {"sign-recover", CKA_SIGN_RECOVER, false},
        {"decrypt", CKA_DECRYPT, false},
        {"unwrap", CKA_UNWRAP, false},
        {"derive", CKA_DERIVE, false},
        {"modifiable", CKA_MODIFIABLE, readable || extractable},
    };
    static char twin[] = "twin";
    char *id = given(argc, argv, "twin-id") ? twin : label;
    CK_ATTRIBUTE public[] = {{CKA_EC_PARAMS, p256, sizeof p256},
                             {CKA_TOKEN, &yes, sizeof yes},
                             {CKA_LABEL, label, strlen(label)},
                             {CKA_ID, id, strlen(id)}};
    CK_ATTRIBUTE private[FLAGS + 3] = {
        {CKA_TOKEN, &yes, sizeof yes}, {CKA_LABEL, label, strlen(label)}, {CKA_ID, id, strlen(id)}};
    CK_MECHANISM m = {CKM_EC_KEY_PAIR_GEN, NULL, 0};
    CK_OBJECT_HANDLE pub, key;
    flags_take(flags, argc, argv);
    for (size_t i = 0; i < FLAGS; i++)
    private[3 + i] = (CK_ATTRIBUTE){flags[i].type, flags[i].value ? &yes : &no, sizeof yes};
    need("C_GenerateKeyPair", p11->C_GenerateKeyPair(session, &m, public, sizeof public / sizeof public[0],
                                                     private, FLAGS + 3, &pub, &key));
    if (readable)
        set_flag(key, CKA_SENSITIVE, &yes);
    if (extractable)
        set_flag(key, CKA_EXTRACTABLE, &no);
    if (given(argc, argv, "no-public"))
        need("C_DestroyObject", p11->C_DestroyObject(session, pub));
}

/* --- attack */

static bool succeeded;

static void attempt(const char *what, CK_RV rv)
{
    printf("%s: %s (0x%lx)\n", what, rv == CKR_OK ? "SUCCEEDED" : "refused", rv);
    succeeded = succeeded || rv == CKR_OK;
}

static CK_OBJECT_HANDLE find(char *label)
{
    CK_OBJECT_CLASS class = CKO_PRIVATE_KEY;
    CK_ATTRIBUTE want[] = {{CKA_CLASS, &class, sizeof class}, {CKA_LABEL, label, strlen(label)}};
    CK_OBJECT_HANDLE key = CK_INVALID_HANDLE;
    CK_ULONG n = 0;
    need("C_FindObjectsInit", p11->C_FindObjectsInit(session, want, 2));
    need("C_FindObjects", p11->C_FindObjects(session, &key, 1, &n));
    p11->C_FindObjectsFinal(session);
    if (n != 1)
        die("no such key", 0);
    return key;
}

static void read_it(CK_OBJECT_HANDLE key)
{
    static const CK_ATTRIBUTE_TYPE secret[] = {CKA_VALUE, CKA_PRIVATE_EXPONENT, CKA_PRIME_1, CKA_PRIME_2};
    CK_BYTE value[1024];
    for (size_t i = 0; i < sizeof secret / sizeof secret[0]; i++) {
        CK_ATTRIBUTE a = {secret[i], value, sizeof value};
        attempt("read", p11->C_GetAttributeValue(session, key, &a, 1));
    }
}

static void wrap_it(CK_OBJECT_HANDLE key)
{
    static const CK_MECHANISM_TYPE ways[] = {CKM_AES_KEY_WRAP, CKM_AES_KEY_WRAP_PAD, CKM_AES_CBC_PAD};
    CK_ULONG len = 32;
    CK_MECHANISM make_aes = {CKM_AES_KEY_GEN, NULL, 0};
    CK_ATTRIBUTE t[] = {{CKA_TOKEN, &no, sizeof no},
                        {CKA_WRAP, &yes, sizeof yes},
                        {CKA_ENCRYPT, &yes, sizeof yes},
                        {CKA_VALUE_LEN, &len, sizeof len}};
    CK_OBJECT_HANDLE wrapper;
    need("C_GenerateKey", p11->C_GenerateKey(session, &make_aes, t, 4, &wrapper));
    for (size_t i = 0; i < sizeof ways / sizeof ways[0]; i++) {
        CK_BYTE iv[16] = {0}, out[4096];
        CK_ULONG n = sizeof out;
        CK_MECHANISM m = {ways[i], ways[i] == CKM_AES_CBC_PAD ? iv : NULL,
                          ways[i] == CKM_AES_CBC_PAD ? 16 : 0};
        attempt("wrap", p11->C_WrapKey(session, &m, wrapper, key, out, &n));
    }
}

static void misuse_it(CK_OBJECT_HANDLE key)
{
    CK_MECHANISM rsa = {CKM_RSA_PKCS, NULL, 0};
    CK_BYTE data[256] = {0, 2, 1};
    CK_OBJECT_CLASS class = CKO_SECRET_KEY;
    CK_KEY_TYPE type = CKK_GENERIC_SECRET;
    CK_BYTE point[65] = {4};
    CK_ECDH1_DERIVE_PARAMS params = {CKD_NULL, 0, NULL, sizeof point, point};
    CK_MECHANISM ecdh = {CKM_ECDH1_DERIVE, &params, sizeof params};
    CK_ULONG len = 32;
    CK_ATTRIBUTE t[] = {{CKA_CLASS, &class, sizeof class},
                        {CKA_KEY_TYPE, &type, sizeof type},
                        {CKA_EXTRACTABLE, &yes, sizeof yes},
                        {CKA_SENSITIVE, &no, sizeof no},
                        {CKA_VALUE_LEN, &len, sizeof len}};
    CK_OBJECT_HANDLE made;
    attempt("decrypt", p11->C_DecryptInit(session, &rsa, key));
    attempt("unwrap", p11->C_UnwrapKey(session, &rsa, key, data, sizeof data, t, 4, &made));
    attempt("derive", p11->C_DeriveKey(session, &ecdh, key, t, 5, &made));
    attempt("sign with recovery", p11->C_SignRecoverInit(session, &rsa, key));
}

static void change_it(CK_OBJECT_HANDLE key)
{
    static const struct {
        CK_ATTRIBUTE_TYPE type;
        CK_BBOOL *value;
    } changes[] = {{CKA_SENSITIVE, &no}, {CKA_EXTRACTABLE, &yes}, {CKA_DECRYPT, &yes},
                   {CKA_UNWRAP, &yes},   {CKA_DERIVE, &yes},      {CKA_MODIFIABLE, &yes}};
    CK_ATTRIBUTE open[] = {
        {CKA_TOKEN, &no, sizeof no}, {CKA_EXTRACTABLE, &yes, sizeof yes}, {CKA_SENSITIVE, &no, sizeof no}};
    CK_OBJECT_HANDLE copy;
    for (size_t i = 0; i < sizeof changes / sizeof changes[0]; i++) {
        CK_ATTRIBUTE a = {changes[i].type, changes[i].value, sizeof(CK_BBOOL)};
        attempt("change", p11->C_SetAttributeValue(session, key, &a, 1));
    }
    attempt("copy as extractable", p11->C_CopyObject(session, key, open, 3, &copy));
}

int main(int argc, char **argv)
{
    if (argc < 6) {
        fprintf(stderr, "usage: plant MODULE TOKEN PIN-FILE make|attack LABEL [FLAG...]\n");
        return 2;
    }
    open_token(argv[1], argv[2], argv[3]);
    if (strcmp(argv[4], "make") == 0) {
        make(argv[5], argc - 6, argv + 6);
    } else {
        CK_OBJECT_HANDLE key = find(argv[5]);
        read_it(key);
        wrap_it(key);
        misuse_it(key);
        change_it(key);
    }
    p11->C_Finalize(NULL);
    fflush(stdout);
    _Exit(succeeded); /* SoftHSM's destructors would run after libcrypto's */
}
