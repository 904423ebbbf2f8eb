/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "base/secret.h"
#include "sign/alg.h"
#include "sign/oaep.h"
#include "sign/softkey.h"

/* What is encrypted opens with the same digest, and with no other. */
static void there_and_back(void **state)
{
    (void)state;
    static const enum oaep_digest digests[] = {OAEP_SHA1, OAEP_SHA256};
    struct err e = ERR_INIT;
    struct signer *key = NULL;
    assert_int_equal(softkey_new(alg_by_name("rsa-2048"), KEY_DECRYPT, &key, &e), RC_OK);
    for (size_t i = 0; i < 2; i++) {
        struct bytes sealed = BYTES_INIT;
        struct secret *opened = NULL;
        assert_int_equal(oaep_encrypt(bytes_span(&key->spki), digests[i], SPAN("plain"), &sealed, &e), RC_OK);
        assert_int_equal(sealed.n, 256);
        assert_int_equal(signer_decrypt(key, digests[i], bytes_span(&sealed), &opened, &e), RC_OK);
        assert_int_equal(secret_len(opened), 5);
        assert_memory_equal(secret_data(opened), "plain", 5);
        secret_free(opened);
        opened = NULL;
        assert_int_equal(signer_decrypt(key, digests[1 - i], bytes_span(&sealed), &opened, &e), RC_INPUT);
        bytes_free(&sealed);
    }
    signer_free(key);
}

static void refused(void **state)
{
    (void)state;
    struct err e = ERR_INIT;
    struct signer *rsa = NULL, *ec = NULL;
    struct bytes sealed = BYTES_INIT;
    static const uint8_t longest[256 - 2 * 32 - 2 + 1];
    assert_int_equal(softkey_new(alg_by_name("rsa-2048"), KEY_DECRYPT, &rsa, &e), RC_OK);
    assert_int_equal(softkey_new(alg_by_name("ec-p256"), KEY_SIGN, &ec, &e), RC_OK);
    assert_int_equal(oaep_encrypt(bytes_span(&ec->spki), OAEP_SHA256, SPAN("x"), &sealed, &e), RC_INPUT);
    assert_string_equal(e.key, "sign.key-type");
    struct span plain = {longest, sizeof longest - 1};
    assert_int_equal(oaep_encrypt(bytes_span(&rsa->spki), OAEP_SHA256, plain, &sealed, &e), RC_OK);
    sealed.n = 0;
    plain.n++;
    assert_int_equal(oaep_encrypt(bytes_span(&rsa->spki), OAEP_SHA256, plain, &sealed, &e), RC_INPUT);
    assert_string_equal(e.key, "sign.encrypt");
    assert_int_equal(sealed.n, 0);
    bytes_free(&sealed);
    signer_free(ec);
    signer_free(rsa);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(there_and_back),
        cmocka_unit_test(refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
