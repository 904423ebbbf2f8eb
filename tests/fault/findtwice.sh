#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# A PIN that was rejected, or never accepted, is not sent again when the same run asks for the token once more, by the same URI or another.
. "$(dirname "$0")/../support/sh.sh"
cd "$T" || exit 1
tokens root
uri="pkcs11:token=root;object=ca?pin-source=file:$T/pin"
ok "key" keymill-hsm keygen "$uri" --algorithm ec-p256 --usage sign
serial=$(keymill-hsm list --json | sed -n 's/.*"label": *"root", *"serial": *"\([^"]*\)".*/\1/p')
other="pkcs11:serial=$serial;object=ca?pin-source=file:$T/pin"
export KEYMILL_SHIM_REAL="$KEYMILL_PKCS11_MODULE" KEYMILL_SHIM_LOG="$T/logins" KEYMILL_PKCS11_MODULE="$KEYMILL_BUILD/tests/p11shim.so"

# twice NAME FAULTS VERDICT LOGINS SECOND
twice() {
    rm -f logins
    ok "$1" env KEYMILL_SHIM_FAULT="$2" "$KEYMILL_BUILD/tests/findtwice" "$uri" "$5"
    same "$1: both" "$(tr '\n' ' ' <out)" "$3 $3 "
    same "$1: logins" "$(wc -l <logins)" "$4"
}
twice "well" "" found 1 "$other"
for second in "$uri" "$other"; do
    twice "a wrong PIN" C_Login:1+:wrong-pin hsm.pin-incorrect 1 "$second"
    twice "a login that crashes" C_Login:1+:exit hsm.worker-lost 1 "$second"
    twice "a login that fails" C_Login:1+:CKR_DEVICE_ERROR hsm.token-failed 1 "$second"
done
end
