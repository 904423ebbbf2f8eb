#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# keymill-hsm against a SoftHSM of its own; what it made is judged by pkcs11-tool.
. "$(dirname "$0")/../support/sh.sh"
cd "$T" || exit 1
tokens
module=$KEYMILL_PKCS11_MODULE
# p11 TOKEN OPTIONS...
p11() {
    p11_token=$1
    shift
    pkcs11-tool --module "$module" --token-label "$p11_token" --login --pin 123456 "$@" 2>/dev/null
}
pin="--pin-source file:$T/pin"

# --- init ---
ok "init" keymill-hsm init --label root --so-pin-source "file:$T/so-pin" --pin-source "file:$T/pin"
has out "serial:"
refused 6 hsm.label-exists "init with a label in use" keymill-hsm init --label root --so-pin-source "file:$T/so-pin" --pin-source "file:$T/pin"
echo 12 >short.pin && chmod 600 short.pin
refused 4 hsm.pin-form "init with a PIN that is too short" keymill-hsm init --label short --so-pin-source "file:$T/so-pin" --pin-source file:short.pin
ok "list" keymill-hsm list
has out root
lacks out short
same "no half-made token" "$(keymill-hsm list --json | grep -o '"state":"ready"' | wc -l)" 1

# --- keygen ---
# shellcheck disable=SC2086
{
    ok "keygen sign" keymill-hsm keygen "pkcs11:token=root;object=ca" --algorithm ec-p256 --usage sign $pin
    ok "keygen derive" keymill-hsm keygen "pkcs11:token=root;object=seal" --algorithm ec-p384 --usage derive $pin
    refused 6 hsm.key-exists "keygen with a label in use" keymill-hsm keygen "pkcs11:token=root;object=ca" --algorithm ec-p256 --usage sign $pin
    refused 2 hsm.algorithm "keygen of an unknown algorithm" keymill-hsm keygen "pkcs11:token=root;object=x" --algorithm rsa --usage sign $pin
    refused 2 hsm.usage "keygen for an unknown usage" keymill-hsm keygen "pkcs11:token=root;object=x" --algorithm ec-p256 --usage both $pin
    refused 2 hsm.uri "keygen without a label" keymill-hsm keygen "pkcs11:token=root" --algorithm ec-p256 --usage sign $pin
}
p11 root -O --type privkey >keys
same "two keys" "$(grep -c 'Private Key Object; EC' keys)" 2
same "sensitive, never extractable, made on the token" "$(grep -c 'Access: *sensitive, always sensitive, never extractable, local$' keys)" 2
same "one usage each" "$(sed -n 's/^ *Usage: *//p' keys | sort | tr '\n' ' ')" "derive sign "
p11 root --read-object --type privkey --label ca --output-file stolen >/dev/null
if [ -s stolen ]; then fail "pkcs11-tool read the private key"; else pass; fi

# --- check ---
# shellcheck disable=SC2086
{
    ok "check a good key" keymill-hsm check "pkcs11:token=root;object=ca" --usage sign $pin
    ok "check a good derive key" keymill-hsm check "pkcs11:token=root;object=seal" --usage derive $pin
    refused 5 hsm.key-policy "a derive key is no sign key" keymill-hsm check "pkcs11:token=root;object=seal" --usage sign $pin
    has out usage-sign
    has out usage-derive
    refused 4 hsm.no-key "a key that is not there" keymill-hsm check "pkcs11:token=root;object=nobody" --usage sign $pin
    has err "keys there: ca, seal"
}
# planted RULE OPTIONS...: pkcs11-tool makes a key that breaks this rule.
planted() {
    rule=$1
    shift
    p11 root --keypairgen --key-type EC:prime256v1 --label "bad-$rule" --id "$(printf '%s' "$rule" | od -An -tx1 | tr -d ' \n')" "$@" >made || fail "pkcs11-tool made no key for '$rule'"
    # shellcheck disable=SC2086
    refused 5 hsm.key-policy "planted: $rule" keymill-hsm check "pkcs11:token=root;object=bad-$rule" --usage sign $pin
    has out "$rule"
}
planted not-extractable --usage-sign --extractable
planted usage-derive --usage-sign --usage-derive
planted usage-decrypt --usage-sign --usage-decrypt
planted usage-sign --usage-derive
planted algorithm --usage-sign --key-type EC:secp521r1
openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -outform DER -out soft.key 2>/dev/null
p11 root --write-object soft.key --type privkey --label imported --id 99 --usage-sign --sensitive >made
# shellcheck disable=SC2086
{
    refused 5 hsm.key-policy "an imported key" keymill-hsm check "pkcs11:token=root;object=imported" --usage sign $pin
    has out generated-on-token
    has out always-sensitive
    has out public-key
    p11 root --keypairgen --key-type EC:prime256v1 --usage-sign --sensitive --label ca --id 77 >made
    refused 5 hsm.key-policy "two keys with one label" keymill-hsm check "pkcs11:token=root;object=ca" --usage sign $pin
    has out label-unique
    p11 root --delete-object --type privkey --id 77 >made
    p11 root --delete-object --type pubkey --id 77 >made
    ok "one again" keymill-hsm check "pkcs11:token=root;object=ca" --usage sign $pin
}
# shellcheck disable=SC2086
ok "list with keys" keymill-hsm list "pkcs11:token=root" $pin
same "two of them are as they should be" "$(grep -cw ok out)" 2

# json FILTER: what the last command printed is JSON, and this holds in it.
json() { if jq -e "$1" "$T/out" >/dev/null 2>&1; then pass; else fail "'$1' does not hold in what was printed"; fi; }

# --- show, without a PIN ---
ok "show" keymill-hsm show "pkcs11:token=root"
for text in "SoftHSM v2" ready softhsm2.yaml "a copy of the key in the session" "run in the tests" "its keys are shown with a PIN"; do has out "$text"; done
ok "show as JSON" keymill-hsm show "pkcs11:token=root" --json
json '.schema == "keymill.hsm.show.v1" and .label == "root" and .login_required == true and .worker_confined == null'
json '[.algorithms[] | select(.algorithm == "ec-p256") | .use] == ["keygen", "sign", "derive"]'
json '.algorithms[] | select(.algorithm == "rsa-2048-pss") | .use == "sign" and .mechanism == "CKM_RSA_PKCS_PSS" and .able and .min_bits <= 2048 and .max_bits >= 2048'
json '.quirks[] | select(.what == "without") | .value == "rsa-oaep-sha256"'
refused 4 hsm.no-token "show a token that is not there" keymill-hsm show "pkcs11:token=nowhere"
refused 2 cli.operand "show nothing" keymill-hsm show
# Its own configuration takes most mechanisms away.
sed 's/^log.level.*/slots.mechanisms = CKM_EC_KEY_PAIR_GEN,CKM_ECDSA/' "$SOFTHSM2_CONF" >few.conf
ok "show a small token" env SOFTHSM2_CONF="$T/few.conf" keymill-hsm show "pkcs11:token=root" --json
json '[.algorithms[] | select(.able) | .use] | unique == ["keygen", "sign"]'
json '.algorithms[] | select(.algorithm == "ec-p384" and .use == "derive") | .able == false and .why_not == "the token does not list CKM_ECDH1_DERIVE"'
mkdir quirks
echo "nonsense: [" >quirks/bad.yaml
expect_code 3 "a quirk file that cannot be read" env KEYMILL_QUIRKS="$T/quirks" keymill-hsm show "pkcs11:token=root"
has err bad.yaml
rm quirks/bad.yaml

# --- selftest ---
# shellcheck disable=SC2086
ok "selftest" keymill-hsm selftest "pkcs11:token=root" $pin
lacks out failed
for step in "sign and verify ec-p384" "sign and verify ed25519" "sign and verify rsa-2048-pss" "derive as software does ec-p256" "decrypt OAEP SHA-1 rsa-2048" "decrypt key stays inside rsa-2048"; do
    same "step: $step" "$(grep -c "^$step  *ok" out)" 1
done
has out "quirk file 'softhsm2': without rsa-oaep-sha256"
left() { p11 root -O | grep -c selftest; }
same "it leaves nothing behind" "$(left)" 0
# shellcheck disable=SC2086
ok "selftest of the only token" keymill-hsm selftest $pin --json
json '.schema == "keymill.hsm.selftest.v1" and ([.steps[].result] | unique == ["not supported", "ok"])'
# shellcheck disable=SC2086
ok "selftest of a small token" env SOFTHSM2_CONF="$T/few.conf" keymill-hsm selftest "pkcs11:token=root" $pin
same "what it cannot do is said" "$(grep -c 'not supported  the token does not list CKM_' out)" 5
same "what it can do is done" "$(grep -c '^sign and verify ec-p[0-9]*  *ok' out)" 2
sed 's/^slots.mechanisms.*/slots.mechanisms = CKM_SHA256/' few.conf >none.conf
# shellcheck disable=SC2086
refused 4 hsm.selftest "selftest of a useless token" env SOFTHSM2_CONF="$T/none.conf" keymill-hsm selftest "pkcs11:token=root" $pin
has err "can do nothing of what is tried"
# Without session keys: token keys, which a module that logs them would show; none is left, also when steps fail.
sed -e 's/^without: .*/without: [rsa-oaep-sha256, session-keys]/' "$top/hsm/quirks/softhsm2.yaml" >quirks/softhsm2.yaml
# shellcheck disable=SC2086
ok "selftest without session keys" env KEYMILL_QUIRKS="$T/quirks" keymill-hsm selftest "pkcs11:token=root" $pin
same "every step is done" "$(grep -c '  ok' out)" 23
same "nothing is left" "$(left)" 0
echo "signature: der # which is wrong" >>quirks/softhsm2.yaml
# shellcheck disable=SC2086
refused 4 hsm.selftest "selftest with wrong signatures" env KEYMILL_QUIRKS="$T/quirks" keymill-hsm selftest "pkcs11:token=root" $pin
same "two steps failed" "$(grep -c '^sign and verify ec-p[0-9]*  *failed' out)" 2
has err "failed 2 steps"
same "nothing is left after failures" "$(left)" 0
sed -i -e 's/^without: .*/without: [session-keys, destroy]/' -e '/^signature:/d' quirks/softhsm2.yaml
# shellcheck disable=SC2086
refused 4 hsm.not-supported "selftest that could not clean up" env KEYMILL_QUIRKS="$T/quirks" keymill-hsm selftest "pkcs11:token=root" $pin
same "makes nothing" "$(left)" 0

# --- PINs ---
for mode in 644 640 660 604; do
    cp pin loose.pin && chmod $mode loose.pin
    refused 4 hsm.pin-file "a PIN file with mode $mode" keymill-hsm check "pkcs11:token=root;object=ca" --usage sign --pin-source file:loose.pin
    lacks err 123456
done
ok "a PIN from a descriptor" sh -c 'keymill-hsm check "pkcs11:token=root;object=ca" --usage sign --pin-source fd:5 5<pin'
ok "a PIN file named by the environment" env THE_PIN="$T/pin" keymill-hsm check "pkcs11:token=root;object=ca" --usage sign --pin-source env:THE_PIN
mkdir credentials && cp pin credentials/token-pin && chmod 400 credentials/token-pin
ok "a systemd credential" env CREDENTIALS_DIRECTORY="$T/credentials" keymill-hsm check "pkcs11:token=root;object=ca" --usage sign --pin-source cred:token-pin
refused 4 hsm.pin-file "no such credential" env CREDENTIALS_DIRECTORY="$T/credentials" keymill-hsm check "pkcs11:token=root;object=ca" --usage sign --pin-source cred:other
refused 2 hsm.pin-source "a credential elsewhere" env CREDENTIALS_DIRECTORY="$T/credentials" keymill-hsm check "pkcs11:token=root;object=ca" --usage sign --pin-source cred:../pin
refused 4 hsm.pin-file "no credentials at all" env -u CREDENTIALS_DIRECTORY keymill-hsm check "pkcs11:token=root;object=ca" --usage sign --pin-source cred:token-pin
has err LoadCredential
ok "a PIN source in the URI" keymill-hsm check "pkcs11:token=root;object=ca?pin-source=file:$T/pin" --usage sign
refused 2 hsm.pin-source "a PIN as the source" keymill-hsm check "pkcs11:token=root;object=ca" --usage sign --pin-source 123456
lacks err 123456
refused 2 hsm.uri "a PIN in the URI" keymill-hsm check "pkcs11:token=root;object=ca?pin-value=123456" --usage sign
lacks err 123456
refused 2 cli.no-terminal "no terminal to ask on" setsid keymill-hsm check "pkcs11:token=root;object=ca" --usage sign
has err "cannot ask for the PIN for token 'root': there is no terminal; use a PIN source: file:PATH"

# --- a wrong PIN is tried once; the shim counts what reaches the module ---
echo 654321 >wrong.pin && chmod 600 wrong.pin
export KEYMILL_SHIM_REAL="$module" KEYMILL_SHIM_LOG="$T/logins"
shim=$KEYMILL_BUILD/tests/p11shim.so
rm -f logins
KEYMILL_PKCS11_MODULE=$shim refused 4 hsm.pin-incorrect "a wrong PIN" keymill-hsm check "pkcs11:token=root;object=ca" --usage sign --pin-source file:wrong.pin
has err "not tried again"
lacks err 654321
same "one attempt" "$(wc -l <logins)" 1
pkcs11-tool --module "$module" -L >slots 2>/dev/null
has slots "user PIN count low"
ok "list shows it" keymill-hsm list
has out "wrong tries"
ok "the right PIN" keymill-hsm check "pkcs11:token=root;object=ca" --usage sign --pin-source "file:$T/pin"
has err "wrong PINs"
pkcs11-tool --module "$module" -L >slots 2>/dev/null
lacks slots "user PIN count low"
# CKF_USER_PIN_COUNT_LOW
KEYMILL_PKCS11_MODULE=$shim KEYMILL_SHIM_QUIRK=flags=10000 ok "wrong PINs with --json" keymill-hsm check "pkcs11:token=root;object=ca" --usage sign --pin-source "file:$T/pin" --json
same "nothing for people beside JSON" "$(cat err)" ""
# CKF_USER_PIN_FINAL_TRY, CKF_USER_PIN_LOCKED: the right PIN is not even sent.
for flag in 20000:final-try 40000:locked; do
    rm -f logins
    KEYMILL_PKCS11_MODULE=$shim KEYMILL_SHIM_QUIRK=flags=${flag%:*} refused 4 "hsm.pin-${flag#*:}" "flag $flag" keymill-hsm check "pkcs11:token=root;object=ca" --usage sign --pin-source "file:$T/pin"
    if [ -s logins ]; then fail "$flag: the PIN was tried"; else pass; fi
done

# --- what is missing ---
refused 4 hsm.no-token "no such token" keymill-hsm check "pkcs11:token=other;object=ca" --usage sign --pin-source "file:$T/pin"
has err "tokens there: root"
KEYMILL_PKCS11_MODULE=/nowhere/lib.so refused 4 hsm.no-module "no such module" keymill-hsm list
has err "KEYMILL_PKCS11_MODULE"
refused 4 hsm.no-module "no such module in the URI" keymill-hsm list "pkcs11:?module-path=/nowhere/lib.so"
refused 2 hsm.uri "a slot number" keymill-hsm list "pkcs11:slot-id=1"
refused 2 hsm.uri "no URI" keymill-hsm list root
ok "the module from the URI" env -u KEYMILL_PKCS11_MODULE keymill-hsm list "pkcs11:token=root?module-path=$module"
has out root
ok "p11-kit's modules" env -u KEYMILL_PKCS11_MODULE HOME="$T" keymill-hsm list "pkcs11:token=root"
has out root
ok "a second token" keymill-hsm init --label other --so-pin-source "file:$T/so-pin" --pin-source "file:$T/pin"
# shellcheck disable=SC2086
refused 2 hsm.uri "selftest of nothing in particular" keymill-hsm selftest $pin
# shellcheck disable=SC2086
refused 4 hsm.many-tokens "keys of nothing in particular" keymill-hsm list $pin

expect_code 2 "the worker by hand" "$KEYMILL_BUILD/libexec/keymill/keymill-token"
end
