/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "hsm/ability.h"
#include "hsm/quirks.h"
#include "sign/alg.h"

enum { CKM_RSA_GEN, CKM_RSA_PKCS, CKM_OAEP = 0x9, CKM_PSS = 0xd, CKM_EC_GEN = 0x1040, CKM_ECDSA = 0x1041 };
enum { CKM_ECDH = 0x1050, CKM_ED_GEN = 0x1055, CKM_EDDSA = 0x1057 };
enum { DECRYPT = 0x200, SIGN = 0x800, MAKE = 0x10000, DERIVE = 0x80000 };

static const struct proto_mechanism all[] = {
    {CKM_RSA_GEN, 2048, 4096, MAKE}, {CKM_RSA_PKCS, 1024, 3072, SIGN}, {CKM_OAEP, 0, 0, DECRYPT},
    {CKM_PSS, 2048, 4096, SIGN},     {CKM_EC_GEN, 256, 256, MAKE},     {CKM_ECDSA, 256, 256, SIGN},
    {CKM_ECDH, 256, 256, DERIVE},    {CKM_ED_GEN, 255, 255, MAKE},     {CKM_EDDSA, 255, 255, SIGN},
};
enum { ALL = sizeof all / sizeof all[0] };

/* Whether a token with these mechanisms and quirks is able; why not must say this. */
static void expect(const struct proto_mechanism *m, size_t n, const struct quirks *q, const char *alg,
                   enum ability_use use, const char *why)
{
    struct ability *list = NULL;
    size_t count = 0;
    abilities_judge(m, n, q, &list, &count);
    const struct ability *a = ability_find(list, count, alg_by_name(alg), use);
    assert_non_null(a);
    assert_int_equal(a->able, why == NULL);
    if (why)
        assert_non_null(strstr(a->why, why));
    else
        assert_string_equal(a->why, "");
    free(list);
}

static void by_mechanism(void **state)
{
    (void)state;
    struct quirks q = {.name = NULL};
    expect(all, ALL, &q, "ec-p256", ABLE_KEYGEN, NULL);
    expect(all, ALL, &q, "ec-p256", ABLE_SIGN, NULL);
    expect(all, ALL, &q, "ec-p256", ABLE_DERIVE, NULL);
    expect(all, ALL, &q, "ec-p384", ABLE_SIGN, "CKM_ECDSA takes keys of 256 to 256 bits");
    expect(all, ALL, &q, "rsa-2048", ABLE_DECRYPT, NULL); /* sizes not said */
    expect(all, ALL, &q, "rsa-3072", ABLE_SIGN, NULL);
    expect(all, ALL, &q, "rsa-4096", ABLE_SIGN, "CKM_RSA_PKCS takes keys of 1024 to 3072 bits");
    expect(all, ALL, &q, "rsa-4096-pss", ABLE_SIGN, NULL);
    expect(all, ALL, &q, "ed25519", ABLE_SIGN, NULL); /* 255 bits or 256 */
    expect(all, ALL - 1, &q, "ed25519", ABLE_SIGN, "does not list CKM_EDDSA");
    expect(NULL, 0, &q, "ec-p256", ABLE_KEYGEN, "does not list CKM_EC_KEY_PAIR_GEN");
    struct proto_mechanism verify_only = {CKM_ECDSA, 256, 521, 0x2000};
    expect(&verify_only, 1, &q, "ec-p256", ABLE_SIGN, "for other uses");
}

static void by_quirk(void **state)
{
    (void)state;
    char name[] = "odd";
    struct quirks q = {.name = name};
    q.without[CAN_OAEP_SHA256] = true;
    expect(all, ALL, &q, "rsa-2048", ABLE_DECRYPT, NULL); /* SHA-1 is left */
    q.without[CAN_OAEP_SHA1] = true;
    expect(all, ALL, &q, "rsa-2048", ABLE_DECRYPT, "quirk file 'odd': without rsa-oaep");
    q.without[CAN_DERIVE] = q.without[CAN_PSS] = q.without[CAN_EDDSA] = true;
    expect(all, ALL, &q, "ec-p256", ABLE_DERIVE, "quirk file 'odd': without ecdh");
    expect(all, ALL, &q, "rsa-2048-pss", ABLE_SIGN, "quirk file 'odd': without rsa-pss");
    expect(all, ALL, &q, "ed25519", ABLE_SIGN, "quirk file 'odd': without eddsa");
    expect(all, ALL, &q, "rsa-2048", ABLE_SIGN, NULL);
    expect(all, ALL, &q, "ec-p256", ABLE_SIGN, NULL);
}

/* Keys that cannot be used so have no row, and every algorithm can sign. */
static void rows(void **state)
{
    (void)state;
    struct quirks q = {.name = NULL};
    struct ability *list = NULL;
    const struct alg *a;
    size_t n = 0;
    abilities_judge(all, ALL, &q, &list, &n);
    for (size_t i = 0; (a = alg_at(i)) != NULL; i++) {
        assert_non_null(ability_find(list, n, a, ABLE_SIGN));
        assert_int_equal(ability_find(list, n, a, ABLE_KEYGEN) != NULL, !a->pss);
        assert_int_equal(ability_find(list, n, a, ABLE_DERIVE) != NULL, a->family == ALG_EC);
        assert_int_equal(ability_find(list, n, a, ABLE_DECRYPT) != NULL, a->family == ALG_RSA && !a->pss);
    }
    free(list);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(by_mechanism),
        cmocka_unit_test(by_quirk),
        cmocka_unit_test(rows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
