/* SPDX-License-Identifier: Apache-2.0 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "x509/cert.h"
#include "x509/crl.h"
#include "x509/csr.h"
#include "x509/name.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void fuzz_cert(struct span in)
{
    struct cert *c = NULL;
    struct err e;

    if (cert_parse("fuzz", in, &c, &e) == RC_OK) {
        free(name_text(c->subject));
        if (cert_verify_signature(c, c, &e) == RC_OK && !span_eq(c->issuer, c->subject))
            abort();
    }
    cert_free(c);
}

static void fuzz_crl(struct span in)
{
    struct crl *c = NULL;
    struct crl_entry entry;
    struct err e;

    if (crl_parse("fuzz", in, &c, &e) == RC_OK && crl_lists(c, SPAN("\x01"), &entry) && c->revoked.n == 0)
        abort();
    crl_free(c);
}

static void fuzz_csr(struct span in)
{
    struct csr *c = NULL;
    struct err e;

    if (csr_parse("fuzz", in, &c, &e) == RC_OK &&
        (c->possession == POSSESSION_STATEMENT) != (c->statement_cert.n > 0))
        abort();
    csr_free(c);
}

/* The first octet chooses the reader. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static void (*const readers[])(struct span) = {fuzz_cert, fuzz_crl, fuzz_csr};

    if (size)
        readers[data[0] % 3]((struct span){data + 1, size - 1});
    return 0;
}
