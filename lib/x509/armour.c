/* SPDX-License-Identifier: Apache-2.0 */
#include "base/text.h"
#include "x509/internal.h"

enum rc armour_open(struct span text, const char *label, bool only, struct bytes *ret, struct err *e)
{
    struct bytes der = BYTES_INIT, second = BYTES_INIT;
    size_t pos = 0;
    bool found = false, more = false;
    enum rc rc;

    if (der_peek(text, DER_SEQUENCE)) {
        bytes_add_span(ret, text);
        return RC_OK;
    }
    rc = pem_next(text, label, &pos, &der, NULL, &found, e);
    if (rc)
        goto out;
    if (!found) {
        rc = err_set(e, RC_INPUT, "x509.der", "it is not DER, and holds no PEM block '%s'", label);
        goto out;
    }
    if (only) {
        rc = pem_next(text, label, &pos, &second, NULL, &more, e);
        if (rc)
            goto out;
        if (more) {
            rc = err_set(e, RC_INPUT, "x509.der", "it holds more than one PEM block '%s'", label);
            goto out;
        }
    }
    bytes_add_span(ret, bytes_span(&der));
    rc = RC_OK;
out:
    bytes_free(&der);
    bytes_free(&second);
    return rc;
}
