/* SPDX-License-Identifier: Apache-2.0 */
#include "x509/internal.h"

enum { DNS_NAME_MAX = 253, DNS_LABEL_MAX = 63, IPV4_LEN = 4, IPV6_LEN = 16 };

static bool is_label_octet(uint8_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-';
}

/* The "preferred name syntax" (RFC 1034 3.5); "*" is allowed as the whole first label, and before two more.
 */
static bool dns_name_valid(struct span s)
{
    size_t label = 0, dots = 0;
    bool star = s.n > 2 && s.p[0] == '*' && s.p[1] == '.';

    if (s.n == 0 || s.n > DNS_NAME_MAX)
        return false;
    for (size_t i = star ? 2 : 0; i < s.n; i++) {
        if (s.p[i] == '.') {
            if (label == 0 || s.p[i - 1] == '-')
                return false;
            label = 0;
            dots++;
            continue;
        }
        if (!is_label_octet(s.p[i]) || (label == 0 && s.p[i] == '-') || ++label > DNS_LABEL_MAX)
            return false;
    }
    return label > 0 && s.p[s.n - 1] != '-' && (!star || dots > 0);
}

enum rc san_check(struct span general_names, struct err *e)
{
    struct span in;
    struct der_value v;
    struct err why;

    if (der_only(general_names, DER_SEQUENCE, &in, &why))
        return err_set(e, RC_INPUT, "x509.san", "subject alternative names: %s", why.text);
    if (in.n == 0)
        return err_set(e, RC_INPUT, "x509.san", "subject alternative names: the list is empty");
    while (in.n) {
        if (der_next(&in, &v, &why))
            return err_set(e, RC_INPUT, "x509.san", "subject alternative names: %s", why.text);
        if (v.tag == DER_CONTEXT_2_PRIMITIVE) {
            if (!dns_name_valid(v.content))
                return err_set(e, RC_INPUT, "x509.san",
                               "subject alternative names: a dNSName is no host name");
        } else if (v.tag == DER_CONTEXT_7_PRIMITIVE) {
            if (v.content.n != IPV4_LEN && v.content.n != IPV6_LEN)
                return err_set(e, RC_INPUT, "x509.san",
                               "subject alternative names: an iPAddress has %zu octets, 4 or 16 are required",
                               v.content.n);
        } else {
            return err_set(
                e, RC_INPUT, "x509.san",
                "subject alternative names: an entry has tag 0x%02x, dNSName and iPAddress alone are allowed",
                v.tag);
        }
    }
    return RC_OK;
}
