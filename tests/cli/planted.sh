#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The key policy: one planted key for each wrong flag, all refused, by "check" and by a CA's use; and keys that keep it, attacked straight through PKCS#11 by somebody who
# has the PIN.
. "$(dirname "$0")/../support/sh.sh"
cd "$T" || exit 1
tokens root
pin="--pin-source file:$T/pin"
signloop=$KEYMILL_BUILD/tests/signloop
plant() { "$KEYMILL_BUILD/tests/plant" "$KEYMILL_PKCS11_MODULE" root "$T/pin" "$@"; }

# bad RULES LABEL FLAG...: a key with this wrong with it breaks exactly these rules, and signs nothing.
bad() {
    rules=$1 label=$2
    shift 2
    plant make "$label" "$@" >"$T/out" 2>"$T/err" || fail "no key '$label' to plant"
    # shellcheck disable=SC2086
    expect_code 5 "planted: $label" keymill-hsm check "pkcs11:token=root;object=$label" --usage sign $pin --json
    same "planted: $label: rules" "$(jq -r '.broken[].rule' out | sort -u | xargs)" "$rules"
    refused 5 hsm.key-policy "planted: $label: no use" "$signloop" "pkcs11:token=root;object=$label?pin-source=file:$T/pin" 1 1
    if grep -q "signatures" out; then fail "$label signed"; else pass; fi
}
ok "a key with nothing wrong" plant make good
# shellcheck disable=SC2086
ok "is let through" keymill-hsm check "pkcs11:token=root;object=good" --usage sign $pin
ok "and signs" "$signloop" "pkcs11:token=root;object=good?pin-source=file:$T/pin" 10 1
bad private public private=0
bad "always-sensitive sensitive" readable sensitive=0
bad always-sensitive once-readable once-readable
bad "never-extractable not-extractable" extractable extractable=1
bad never-extractable once-extractable once-extractable
bad usage-sign signless sign=0
bad usage-sign-recover recovering sign-recover=1
bad usage-decrypt decrypting decrypt=1
bad usage-unwrap unwrapping unwrap=1
bad usage-derive deriving derive=1
bad public-key half no-public
plant make first twin-id || fail "no first twin"
bad id-unique second twin-id
# shellcheck disable=SC2086
refused 5 hsm.key-policy "the other twin" keymill-hsm check "pkcs11:token=root;object=first" --usage sign $pin
plant make double && plant make double twin-id || fail "no doubles"
# shellcheck disable=SC2086
expect_code 5 "one label twice" keymill-hsm check "pkcs11:token=root;object=double" --usage sign $pin --json
has out '"rule":"label-unique"'
refused 4 hsm.many-keys "one label twice: no use" "$signloop" "pkcs11:token=root;object=double?pin-source=file:$T/pin" 1 1
refused 5 hsm.key-policy "not even by id" "$signloop" "pkcs11:token=root;id=double?pin-source=file:$T/pin" 1 1

# ---- what keymill made withstands whoever has the PIN
for key in ec-p256:sign ec-p384:sign rsa-2048:sign ed25519:sign; do
    # shellcheck disable=SC2086
    ok "keygen $key" keymill-hsm keygen "pkcs11:token=root;object=real-${key%:*}" --algorithm "${key%:*}" --usage "${key#*:}" $pin
    ok "attack on $key" plant attack "real-${key%:*}"
    same "attack on $key: attempts" "$(grep -c refused out)" 18
done
# The attack is no empty threat.
plant make weak sensitive=0 extractable=1 derive=1 modifiable=1 || fail "no weak key"
expect_code 1 "attack on a weak key" plant attack weak
has out "read: SUCCEEDED"
has out "wrap: SUCCEEDED"
has out "change: SUCCEEDED"
end
