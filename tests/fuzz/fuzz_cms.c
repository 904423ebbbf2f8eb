/* SPDX-License-Identifier: Apache-2.0 */
#include <openssl/err.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "sign/cms.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A signed file comes from anybody. Whatever it holds: no fault, an error that is about the input, and counts
 * within their bounds. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct cms_signed file = {.signing_time = 0};
    struct err e = ERR_INIT;
    enum rc rc = cms_verify("fuzz", (struct span){data, size}, &file, &e);

    if (rc == RC_OK) {
        if (file.chain.ncerts == 0 || file.chain.ncerts > CMS_CERTS_MAX || file.chain.ncrls > CMS_CRLS_MAX)
            abort();
        cms_signed_free(&file);
    } else if (rc != RC_INPUT || e.text[0] == '\0') {
        abort();
    }
    if (ERR_peek_error() != 0)
        abort();
    return 0;
}
