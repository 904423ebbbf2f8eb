#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Vendors' ways, simulated by the tests' module: with its quirk file, chosen by manufacturer and model, a token works; without it, it fails in a way that is said.
# No line of C knows any of these vendors.
. "$(dirname "$0")/../support/sh.sh"
cd "$T" || exit 1
tokens root
pin="--pin-source file:$T/pin"
signloop=$KEYMILL_BUILD/tests/signloop
export KEYMILL_SHIM_REAL="$KEYMILL_PKCS11_MODULE" KEYMILL_PKCS11_MODULE="$KEYMILL_BUILD/tests/p11shim.so"
export KEYMILL_SHIM_MANUFACTURER="Example Corp" KEYMILL_SHIM_MODEL="Vault X1" KEYMILL_SHIM_LOG="$T/logins"
mkdir known unknown
# The confinement is that of any module whose files are known: the test's folder.
# shellcheck disable=SC2016
file() { printf 'schema: keymill.quirks.v1\nmatch:\n  manufacturer: Example*\n  model: Vault X1\nconfine:\n  write: [$KEYMILL_TEST_FOLDER]\n'; }
behind='without: [rsa-oaep-sha256]' # SoftHSM's own
file >unknown/vault.yaml

# vendor NAME SHIM-WORDS QUIRK-LINE...: from here on the token is like that, and $KEYMILL_QUIRKS knows it.
n=0
vendor() {
    vendor=$1 n=$((n + 1)) key="pkcs11:token=root;object=k$n"
    export KEYMILL_SHIM_QUIRK="$2" KEYMILL_QUIRKS="$T/known"
    shift 2
    { file; printf '%s\n' "$@"; } >known/vault.yaml
    rm -f logins
}
stranger() { (KEYMILL_QUIRKS="$T/unknown" && "$@"); }
# shellcheck disable=SC2086
keygen() { keymill-hsm keygen "$key$1" --algorithm "$2" --usage "$3" $pin; }
logins() { same "$vendor: logins" "$(cat logins 2>/dev/null | wc -l)" "$1"; }
signs() { # COUNT [WORKERS [SESSIONS]]
    ok "$vendor: signatures" "$signloop" "$key?pin-source=file:$T/pin" "$@"
    has out "$1 signatures"
}

vendor "nothing special" ""
ok "show" keymill-hsm show "pkcs11:token=root" --json
same "the file is found" "$(jq -r .quirk_file out)" "$T/known/vault.yaml"
ok "$vendor" keygen "" ec-p256 sign
signs 200 2
ok "confined" keymill-hsm show "pkcs11:token=root" --json --pin-source "file:$T/pin"
has out '"worker_confined":true'

vendor "DER signatures" der-signature "signature: der"
ok "$vendor" keygen "" ec-p256 sign
signs 300 2
refused 4 hsm.operation-failed "$vendor, unknown" stranger "$signloop" "$key?pin-source=file:$T/pin" 10 1
has err "a signature of"
key="$key-384"
ok "$vendor, P-384" keygen "" ec-p384 sign
signs 300 1

vendor "bare EC_POINT" raw-point
ok "$vendor" keygen "" ec-p256 sign
signs 200 1
# shellcheck disable=SC2086
ok "$vendor: check" keymill-hsm check "$key" --usage sign $pin

vendor "the peer's point wrapped" wrapped-point "ecdh-point: wrapped" "$behind"
# shellcheck disable=SC2086
ok "$vendor" keymill-hsm selftest "pkcs11:token=root" $pin --json
same "$vendor: what does not work" "$(jq -r '.steps[] | select(.result == "failed") | .step' out)" ""
# shellcheck disable=SC2086
expect_code 4 "$vendor, unknown" stranger keymill-hsm selftest "pkcs11:token=root" $pin --json
same "$vendor, unknown: what does not work" "$(jq -r '.steps[] | select(.result == "failed") | .step' out | grep -v OAEP | tr '\n' ' ')" "derive as software does ec-p256 derive as software does ec-p384 "

vendor "curves by name" params-name "ec-params: name"
ok "$vendor" keygen "" ec-p256 sign
signs 200 1
ok "$vendor, P-384" keygen "-384" ec-p384 derive
refused 4 hsm.not-supported "$vendor, unknown" stranger keygen "-x" ec-p256 sign

vendor "no ECDH" no-ecdh "without: [ecdh]"
refused 4 hsm.not-supported "$vendor" keygen "" ec-p256 derive
has err "quirk file 'vault'"
ok "$vendor: sign keys" keygen "" ec-p256 sign
signs 100 1

vendor "an attribute refused" refuse=MODIFIABLE "template-omit: [modifiable]"
ok "$vendor" keygen "" ec-p256 sign
signs 100 1
refused 4 hsm.not-supported "$vendor, unknown" stranger keygen "-x" ec-p256 sign

vendor "an attribute told wrong" false=LOCAL "unreliable:" "  - {flag: local, reason: the vault says so of all keys}"
ok "$vendor" keygen "" ec-p256 sign
# shellcheck disable=SC2086
ok "$vendor: check" keymill-hsm check "$key" --usage sign $pin --json
same "$vendor: excepted" "$(jq -r '.excepted[].rules' out)" "generated-on-token (quirk file 'vault': the vault says so of all keys)"
# shellcheck disable=SC2086
refused 5 hsm.key-policy "$vendor, unknown" stranger keymill-hsm check "$key" --usage sign $pin
refused 5 hsm.key-policy "$vendor, unknown: no key is left behind" stranger keygen "-x" ec-p256 sign
# shellcheck disable=SC2086
refused 4 hsm.no-key "none" keymill-hsm check "$key-x" --usage sign $pin

vendor "six sessions, and said" session-limit=6 "workers: 8" "sessions: 8"
ok "$vendor" keygen "" ec-p256 sign
signs 500 8 8
lacks err "trying again"
vendor "six sessions, and not said" session-limit-unsaid=6 "workers: 8" "sessions: 8" "max-sessions: 6"
ok "$vendor" keygen "" ec-p256 sign
signs 500 8 8
lacks err "trying again"

vendor "PIN of the form user:password" user-password=alice "pin-form: user-password"
refused 4 hsm.pin-form "$vendor: another form" keygen "" ec-p256 sign
lacks err 123456
logins 0
(umask 077; printf 'alice:123456\n' >both; printf 'mallory:123456\n' >other)
ok "$vendor" keymill-hsm keygen "$key" --algorithm ec-p256 --usage sign --pin-source "file:$T/both"
rm -f logins
refused 4 hsm.pin-incorrect "$vendor: another user" keymill-hsm check "$key" --usage sign --pin-source "file:$T/other"
logins 1

vendor "its own keypad" protected-path
export KEYMILL_SHIM_KEYPAD="$T/pin"
ok "$vendor: no PIN source is needed" keymill-hsm keygen "$key" --algorithm ec-p256 --usage sign
has err "enter the PIN on the keypad of token 'root'"
ok "$vendor: signatures" "$signloop" "$key" 100 1
printf '999999\n' >wrong && chmod 600 wrong
export KEYMILL_SHIM_KEYPAD="$T/wrong"
rm -f logins
refused 4 hsm.pin-incorrect "$vendor: mistyped" keymill-hsm check "$key" --usage sign
logins 1

vendor "no session keys, no copies" "no-session-keys no-session-copies" "without: [session-keys, rsa-oaep-sha256]" "session-copies: true"
# shellcheck disable=SC2086
ok "$vendor" keymill-hsm selftest "pkcs11:token=root" $pin --json
same "$vendor: what does not work" "$(jq -r '.steps[] | select(.result == "failed") | .step' out)" ""
# shellcheck disable=SC2086
keymill-hsm list "pkcs11:token=root" $pin >"$T/out" 2>"$T/err"
lacks out selftest
ok "$vendor: keygen" keygen "" ec-p256 sign
signs 100 2

vendor "no certificate objects" no-certificates
sed -e "s/^key: .*/key: \"pkcs11:token=root;object=ca-$n\"/" -e "s/^algorithm: .*/algorithm: ec-p256/" "$top/docs/examples/root.yaml" >root.yaml
ok "$vendor: a CA" env KEYMILL_ROOT_PIN="$T/pin" keymill-ca init --home root --config root.yaml
ok "openssl" openssl verify -check_ss_sig -CAfile root/cert.pem root/cert.pem

vendor "trouble inside that it calls a wrong PIN" "" "pin-count: reported"
ok "key" keygen "" ec-p256 sign
rm -f logins
KEYMILL_SHIM_FAULT="C_Login:p1:CKR_PIN_INCORRECT" refused 4 hsm.login-failed "$vendor" keygen "-x" ec-p256 sign
has err "the token has counted none"
logins 1
mkdir shim
KEYMILL_SHIM_DIR="$T/shim" KEYMILL_SHIM_FAULT="C_Sign:50:CKR_PIN_INCORRECT" ok "$vendor, in a signature" "$signloop" "$key?pin-source=file:$T/pin" 100 1

# ---- a broken file stops everything that would have used it, and names its place
vendor "a file with a mistake" "" "workers: lots"
# shellcheck disable=SC2086
refused 3 doc.value "$vendor" keymill-hsm check "$key" --usage sign $pin
has err "known/vault.yaml:7: 'workers'"
end
