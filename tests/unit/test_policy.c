/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "hsm/quirks.h"
#include "hsm/token.h"

/* The rules that a check reported, one after the other. */
struct seen {
    char rules[512];
    size_t n;
};

static void broken(void *arg, const char *rule, const char *text)
{
    struct seen *s = arg;
    assert_true(text[0] != '\0');
    strcat(s->rules, rule);
    strcat(s->rules, " ");
    s->n++;
}

static struct key_info good(enum key_usage usage)
{
    static uint8_t spki[] = {0x30, 0x00};
    return (struct key_info){
        .label = "ca",
        .spki = {spki, sizeof spki, sizeof spki},
        .algorithm = "ec-p256",
        .sensitive = 1,
        .always_sensitive = 1,
        .never_extractable = 1,
        .local = 1,
        .private_object = 1,
        .token_object = 1,
        .sign = usage == KEY_SIGN,
        .derive = usage == KEY_DERIVE,
        .same_label = 1,
        .same_id = 1,
    };
}

static void good_keys(void **state)
{
    (void)state;
    struct err e = ERR_INIT;
    struct seen s = {.n = 0};
    struct key_info k = good(KEY_SIGN);
    assert_int_equal(key_policy_check(&k, KEY_SIGN, NULL, broken, &s, &e), RC_OK);
    k = good(KEY_DERIVE);
    assert_int_equal(key_policy_check(&k, KEY_DERIVE, NULL, broken, &s, &e), RC_OK);
    assert_int_equal(s.n, 0);
}

/* k breaks this rule for this usage, and no other. */
static void breaks(const struct key_info *k, enum key_usage usage, const char *rule)
{
    struct err e = ERR_INIT;
    struct seen s = {.n = 0};
    assert_int_equal(key_policy_check(k, usage, NULL, broken, &s, &e), RC_DENIED);
    assert_string_equal(e.key, "hsm.key-policy");
    assert_int_equal(s.n, 1);
    assert_int_equal(strncmp(s.rules, rule, strlen(rule)), 0);
    assert_int_equal(key_policy_check(k, usage, NULL, NULL, NULL, &e), RC_DENIED);
}

/* One attribute: the wrong value breaks the rule, and so does not knowing it unless the token then cannot do
 * what it allows. */
struct flag {
    const char *rule;
    size_t offset;
    int wrong;
    bool unknown_is_fine;
};

static void each_flag(void **state)
{
    (void)state;
    static const struct flag flags[] = {
        {"token-object", offsetof(struct key_info, token_object), 0, false},
        {"private", offsetof(struct key_info, private_object), 0, false},
        {"sensitive", offsetof(struct key_info, sensitive), 0, false},
        {"always-sensitive", offsetof(struct key_info, always_sensitive), 0, false},
        {"not-extractable", offsetof(struct key_info, extractable), 1, false},
        {"never-extractable", offsetof(struct key_info, never_extractable), 0, false},
        {"generated-on-token", offsetof(struct key_info, local), 0, false},
        {"usage-sign ", offsetof(struct key_info, sign), 0, false},
        {"usage-derive", offsetof(struct key_info, derive), 1, true},
        {"usage-sign-recover", offsetof(struct key_info, sign_recover), 1, true},
        {"usage-decrypt", offsetof(struct key_info, decrypt), 1, true},
        {"usage-unwrap", offsetof(struct key_info, unwrap), 1, true},
    };
    for (size_t i = 0; i < sizeof flags / sizeof flags[0]; i++) {
        struct err e = ERR_INIT;
        struct key_info k = good(KEY_SIGN);
        memcpy((char *)&k + flags[i].offset, &flags[i].wrong, sizeof(int));
        breaks(&k, KEY_SIGN, flags[i].rule);
        memcpy((char *)&k + flags[i].offset, &(int){-1}, sizeof(int));
        if (flags[i].unknown_is_fine)
            assert_int_equal(key_policy_check(&k, KEY_SIGN, NULL, NULL, NULL, &e), RC_OK);
        else
            breaks(&k, KEY_SIGN, flags[i].rule);
    }
}

static void usages(void **state)
{
    (void)state;
    struct err e = ERR_INIT;
    struct seen s = {.n = 0};
    struct key_info k = good(KEY_DERIVE);
    k.sign = 1;
    breaks(&k, KEY_DERIVE, "usage-sign ");
    k = good(KEY_SIGN);
    assert_int_equal(key_policy_check(&k, KEY_DERIVE, NULL, broken, &s, &e), RC_DENIED);
    assert_int_equal(s.n, 2);
    assert_string_equal(s.rules, "usage-sign usage-derive ");
}

static void the_rest(void **state)
{
    (void)state;
    struct key_info k = good(KEY_SIGN);
    k.algorithm[0] = '\0';
    breaks(&k, KEY_SIGN, "algorithm");
    k = good(KEY_SIGN);
    k.spki.n = 0;
    breaks(&k, KEY_SIGN, "public-key");
    k = good(KEY_SIGN);
    k.same_label = 2;
    breaks(&k, KEY_SIGN, "label-unique");
}

/* A rule that a configuration names may be broken, says so, and no other. */
static void exceptions_by_name(void **state)
{
    (void)state;
    struct err e = ERR_INIT;
    struct key_exception one = {mem_str("generated-on-token"), mem_str("brought from the old token")};
    struct key_exceptions allowed = {&one, 1};
    struct key_info k = good(KEY_SIGN);
    assert_null(key_policy_exceptions(&k, KEY_SIGN, &allowed));
    k.local = 0;
    assert_int_equal(key_policy_check(&k, KEY_SIGN, NULL, NULL, NULL, &e), RC_DENIED);
    assert_int_equal(key_policy_check(&k, KEY_SIGN, &allowed, NULL, NULL, &e), RC_OK);
    char *text = key_policy_exceptions(&k, KEY_SIGN, &allowed);
    assert_string_equal(text, "generated-on-token (brought from the old token)");
    free(text);
    k.sensitive = 0;
    assert_int_equal(key_policy_check(&k, KEY_SIGN, &allowed, NULL, NULL, &e), RC_DENIED);
    free(one.rule);
    free(one.reason);
}

static void exceptions_by_quirk_file(void **state)
{
    (void)state;
    struct err e = ERR_INIT;
    struct quirks q = {.name = mem_str("nss"), .unreliable = 1U << PROTO_F_LOCAL};
    q.unreliable_why[PROTO_F_LOCAL] = mem_str("always false");
    struct key_info k = good(KEY_SIGN);
    k.quirks = &q;
    assert_null(key_policy_exceptions(&k, KEY_SIGN, NULL));
    k.local = 0;
    assert_int_equal(key_policy_check(&k, KEY_SIGN, NULL, NULL, NULL, &e), RC_OK);
    char *text = key_policy_exceptions(&k, KEY_SIGN, NULL);
    assert_string_equal(text, "generated-on-token (quirk file 'nss': always false)");
    free(text);
    k.never_extractable = 0;
    assert_int_equal(key_policy_check(&k, KEY_SIGN, NULL, NULL, NULL, &e), RC_DENIED);
    free(q.name);
    free(q.unreliable_why[PROTO_F_LOCAL]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_keys),
        cmocka_unit_test(each_flag),
        cmocka_unit_test(usages),
        cmocka_unit_test(the_rest),
        cmocka_unit_test(exceptions_by_name),
        cmocka_unit_test(exceptions_by_quirk_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
