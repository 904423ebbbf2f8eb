#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# tokens.sh BACKEND: one suite over four PKCS#11 implementations (tests/support/backend_BACKEND.sh): tokens, keys, signatures, PINs, losses, a
# CA. Where they differ, what each has to do stands in the table below, with the reason; the quirk file must say the same.
. "$(dirname "$0")/../support/sh.sh"
backend=${1:?tokens.sh BACKEND: softhsm, p11server, nss or tpm}
# shellcheck disable=SC1090
. "$top/tests/support/backend_$backend.sh"
cd "$T" || exit 1
for tool in pkcs11-tool openssl jq sqlite3; do command -v $tool >/dev/null || { echo "'$tool' is missing" >&2; exit 1; }; done

# --- the table ---
# quirk       the quirk file that is in force
# refuses     "ALGORITHM:USAGE" of keys that it cannot have: hsm.not-supported, by the quirk file
# access      pkcs11-tool's words for a key that keymill made
# count       signatures in a run: as many as take a second or so
# threads     workers and sessions of the third run
# counts_pins "yes": its flags tell that a PIN was wrong
# planted     what pkcs11-tool makes of "extractable", "derive", "curve" (P-521), "import" and "twin" (a label in use): exactly these rules
#             are broken; "none": the module makes no such key
# compared    what two copies of the "import" have in common, as pkcs11-tool makes them
# selftest    the steps that do not succeed
access="sensitive, always sensitive, never extractable, local"
excepted=''
counts_pins=no
threads="1 4"
compared="public key sign"
case $backend in
softhsm)
    quirk=softhsm2 count=4000 refuses='' counts_pins=yes
    # OpenSC leaves CKA_UNWRAP, CKA_DECRYPT and CKA_SIGN_RECOVER out, and SoftHSM takes that for yes.
    planted_extractable="never-extractable not-extractable usage-decrypt usage-sign-recover usage-unwrap"
    planted_derive="usage-decrypt usage-derive usage-sign-recover usage-unwrap"
    planted_curve="algorithm usage-decrypt usage-sign-recover usage-unwrap"
    planted_import="always-sensitive generated-on-token never-extractable public-key usage-decrypt usage-sign-recover usage-unwrap"
    planted_twin="label-unique usage-decrypt usage-sign-recover usage-unwrap"
    cat >selftest <<END
not supported: decrypt OAEP SHA-256 rsa-2048
END
    ;;
p11server)
    # p11-kit 0.24 carries no parameters of CKM_ECDH1_DERIVE, does not know Edwards curves, and leaves such mechanisms out of the list.
    quirk=p11-kit-client count=4000 refuses="ec-p256:derive ed25519:sign" counts_pins=yes
    planted_extractable="never-extractable not-extractable usage-decrypt usage-sign-recover usage-unwrap"
    planted_derive="usage-decrypt usage-derive usage-sign-recover usage-unwrap"
    planted_curve="algorithm usage-decrypt usage-sign-recover usage-unwrap"
    planted_import="always-sensitive generated-on-token never-extractable public-key usage-decrypt usage-sign-recover usage-unwrap"
    planted_twin="label-unique usage-decrypt usage-sign-recover usage-unwrap"
    cat >selftest <<END
not supported: derive key ec-p256
not supported: derive key ec-p384
not supported: sign key ed25519
not supported: decrypt OAEP SHA-256 rsa-2048
END
    ;;
nss)
    quirk=nss count=1500 refuses="ed25519:sign"
    # It reports CKA_LOCAL false for keys that it generated.
    access="sensitive, always sensitive, never extractable"
    excepted="generated-on-token (quirk file 'nss': it reports CKA_LOCAL false for keys that it generated)"
    # Keys that pkcs11-tool makes are extractable and may derive, whatever is asked; where a key was made is not known.
    planted_extractable="never-extractable not-extractable usage-derive"
    planted_derive="never-extractable not-extractable usage-derive"
    planted_curve="algorithm never-extractable not-extractable usage-derive"
    planted_import="always-sensitive never-extractable not-extractable public-key usage-derive"
    planted_twin="label-unique never-extractable not-extractable usage-derive"
    compared="public key sign derive"
    # It wraps out (CKM_AES_KEY_WRAP_PAD) what is sensitive and not extractable: those steps fail, and rightly.
    cat >selftest <<END
failed: sign key stays inside ec-p256
failed: derive key stays inside ec-p256
failed: sign key stays inside ec-p384
failed: derive key stays inside ec-p384
not supported: sign key ed25519
failed: sign key stays inside rsa-2048
failed: decrypt key stays inside rsa-2048
END
    ;;
tpm)
    # No ECDH and no Edwards curves; RSA signatures over digests are made by decryption, which the TPM refuses with a key that may not.
    quirk=tpm2 count=400 refuses="ec-p256:derive rsa-2048:sign rsa-2048-pss:sign ed25519:sign"
    # The module crashes now and then under several threads, which is why its quirk file gives it one session.
    threads="3 1"
    # What is sensitive is never extractable, and nothing is imported. The public half's VERIFY lets the private half decrypt.
    planted_extractable=none
    planted_derive="usage-decrypt usage-derive"
    planted_curve="algorithm usage-decrypt"
    planted_import=none
    planted_twin="label-unique usage-decrypt"
    cat >selftest <<END
not supported: derive key ec-p256
not supported: derive key ec-p384
not supported: sign key ed25519
not supported: sign key rsa-2048
END
    ;;
esac

# --- helpers ---
token=pkcs11:token=suite
source=pin-source=file:$T/pin
signloop=$KEYMILL_BUILD/tests/signloop
hsm() { keymill-hsm "$@" --pin-source "file:$T/pin"; }
# p11 TOKEN OPTIONS...
p11() {
    p11_token=$1
    shift
    pkcs11-tool --module "$KEYMILL_PKCS11_MODULE" --token-label "$p11_token" --login --pin 123456 "$@" 2>/dev/null
}
# json NAME FILTER TEXT: what the filter finds in what the last command printed is the text.
json() { same "$1" "$(jq -r "$2" "$T/out" 2>&1)" "$3"; }
# supported ALGORITHM:USAGE
supported() {
    case " $refuses " in
    *" $1 "*) return 1 ;;
    esac
}
# await COMMAND...: until it succeeds, 30 s at most.
await() {
    await_left=300
    until "$@" >/dev/null 2>&1; do
        await_left=$((await_left - 1))
        [ $await_left -gt 0 ] || return 1
        sleep 0.1
    done
}

# --- 1. tokens ---
backend_start
backend_token suite
backend_token second
ok "list" keymill-hsm list --json
json "both tokens are ready" '[.tokens[] | select(.state == "ready") | .label | select(. == "suite" or . == "second")] | sort | join(" ")' "second suite"
ok "show" hsm show $token --json
json "the quirk file" '.quirk_file | split("/") | last' "$quirk.yaml"
json "sessions of a worker" '.quirks[] | select(.what == "sessions of a worker") | .value' 1
json "no keys yet" '.keys | length' 0
if [ $backend = nss ]; then
    # Its C_InitToken takes no SO PIN but the empty one, ignores the label, and erases a token that is there.
    refused 4 hsm.no-slot "init without a free token" keymill-hsm init --label third --so-pin-source "file:$T/so-pin" --pin-source "file:$T/pin"
    mkdir -m 700 "$KEYMILL_NSS_DIR/fresh"
    refused 4 hsm.not-supported "init" keymill-hsm init --label third --so-pin-source "file:$T/so-pin" --pin-source "file:$T/pin"
    has err "(quirk file 'nss')"
    rm -r "$KEYMILL_NSS_DIR/fresh"
else
    refused 6 hsm.label-exists "init with a label in use" keymill-hsm init --label suite --so-pin-source "file:$T/so-pin" --pin-source "file:$T/pin"
fi

# --- 2. keys ---
# judged LABEL USAGE: pkcs11-tool finds this usage and no other, and a key that stays inside.
judged() {
    p11 suite -O --type privkey | awk -v l="$1" '/^Private/ {on = 0} $1 == "label:" {on = $2 == l} on' >judged
    same "$1: its usage" "$(sed -n 's/^ *Usage: *//p' judged)" "$2"
    same "$1: its access" "$(sed -n 's/^ *Access: *//p' judged)" "$access"
}
made=0
for kind in ec-p256:sign ec-p384:sign ec-p256:derive rsa-2048:sign rsa-2048-pss:sign rsa-2048:decrypt ed25519:sign; do
    algorithm=${kind%:*} usage=${kind#*:}
    label=$algorithm-$usage
    if supported $kind; then
        ok "keygen $kind" hsm keygen "$token;object=$label" --algorithm "$algorithm" --usage "$usage"
        made=$((made + 1))
        judged "$label" "$usage"
        ok "check $kind" hsm check "$token;object=$label" --usage "$usage" --json
        json "$kind: what is excepted" '[.excepted[].rules] | join(" ")' "$excepted"
        other=sign
        [ "$usage" != sign ] || other=derive
        refused 5 hsm.key-policy "$kind for another use" hsm check "$token;object=$label" --usage $other
        has out "usage-$usage"
    else
        refused 4 hsm.not-supported "keygen $kind" hsm keygen "$token;object=$label" --algorithm "$algorithm" --usage "$usage"
        has err "(quirk file '$quirk')"
        refused 4 hsm.no-key "no $kind was made" hsm check "$token;object=$label" --usage "$usage"
    fi
done
ok "list with keys" hsm list $token --json
json "every key is as it should be" '[.keys[] | select(.policy == "ok")] | length' $made
refused 6 hsm.key-exists "keygen with a label in use" hsm keygen "$token;object=ec-p256-sign" --algorithm ec-p256 --usage sign

# --- 3. signatures, each verified ---
key="$token;object=ec-p256-sign?$source"
for shape in "1 1" "2 1" "$threads"; do
    # shellcheck disable=SC2086
    ok "signatures, workers and sessions: $shape" "$signloop" "$key" $count $shape
    has out "$count signatures"
done
for kind in ec-p384:sign rsa-2048:sign ed25519:sign; do
    supported $kind || continue # it was refused above
    ok "signatures, $kind" "$signloop" "$token;object=${kind%:*}-sign?$source" $((count / 10)) 2
    has out "$((count / 10)) signatures"
done

# --- 4. a wrong PIN is sent once, whoever asks; the shim counts, under this token's quirks ---
(umask 077 && echo 654321 >wrong.pin)
mkdir quirks
awk '/^[a-z]/ {on = $1 != "match:" && $1 != "confine:"} on; $1 == "match:" {print "match:\n  module: p11shim.so"}' "$top/hsm/quirks/$quirk.yaml" >"quirks/$quirk.yaml"
wrong() {
    : >logins
    # shellcheck disable=SC2030
    (
        export KEYMILL_SHIM_REAL="$KEYMILL_PKCS11_MODULE" KEYMILL_SHIM_LOG="$T/logins" KEYMILL_PKCS11_MODULE="$KEYMILL_BUILD/tests/p11shim.so" KEYMILL_QUIRKS="$T/quirks"
        "$@" >"$T/out" 2>"$T/err" </dev/null
    )
    same "a wrong PIN: exit code" $? 4
    has err "[hsm.pin-incorrect]"
    has err "not tried again"
    lacks err 654321
    same "a wrong PIN: logins" "$(wc -l <logins)" 1
}
# lockout N: what the TPM has counted.
lockout() { same "wrong tries, says the TPM" "$(tpm2_getcap --tcti="$TPM2_PKCS11_TCTI" properties-variable | sed -n 's/^TPM2_PT_LOCKOUT_COUNTER: 0x//p')" "$1"; }
wrong keymill-hsm check "$token;object=ec-p256-sign" --usage sign --pin-source "file:$T/wrong.pin"
wrong "$signloop" "$token;object=ec-p256-sign?pin-source=file:$T/wrong.pin" 100 3
ok "list after it" keymill-hsm list --json
state=ready
[ $counts_pins = no ] || state="PIN: wrong tries"
json "its state" '.tokens[] | select(.label == "suite") | .state' "$state"
[ $backend != tpm ] || lockout 2
ok "the right PIN" hsm check "$token;object=ec-p256-sign" --usage sign
ok "list after that" keymill-hsm list --json
json "its state" '.tokens[] | select(.label == "suite") | .state' ready
if [ $backend = tpm ]; then
    # The third one locks every token of the TPM, whatever the good login between.
    wrong keymill-hsm check "pkcs11:token=second;object=x" --usage sign --pin-source "file:$T/wrong.pin"
    lockout 3
    refused 4 hsm.pin-locked "the right PIN, too late" hsm check "$token;object=ec-p256-sign" --usage sign
    backend_unlock
    ok "the right PIN, unlocked" hsm check "$token;object=ec-p256-sign" --usage sign
fi

# --- 5. losses in the middle of a run ---
mkfifo half && exec 5<>half || exit 1
# begin: a run that waits at half.
begin() {
    : >signed
    SIGNLOOP_HALF=1 "$signloop" "$key" $count 2 >signed 2>trouble <half &
    loop=$!
    if await grep -qx half signed; then pass; else fail "the run does not get to its half"; fi
}
go_on() { echo >&5; }
finished() {
    code=0
    wait $loop || code=$?
    cp signed out && cp trouble err
    same "$1" $code 0
    has signed "$count signatures"
    has trouble "trying again"
}
workers() { cat /proc/$loop/task/*/children 2>/dev/null | tr ' ' '\n' | grep . | sort -u; }
begin
same "two workers" "$(workers | wc -l)" 2
victims=$(workers)
# Stopped first, so that they have requests before them.
# shellcheck disable=SC2086
kill -STOP $victims && go_on && kill -KILL $victims
finished "both workers killed"
has trouble "ended"
if [ $backend = p11server ]; then
    begin
    backend_cut
    go_on
    finished "the connections cut"
    has trouble CKR_DEVICE_ERROR
fi
case $backend in
p11server | tpm)
    begin
    backend_broker_stop
    go_on
    if await grep -q "trying again" trouble; then pass; else fail "the loss is not noticed"; fi
    # The server's client finds no slots; the TPM's module does not even start.
    away=hsm.no-token
    [ $backend = p11server ] || away=hsm.no-module
    refused 4 $away "what was never there is not waited for" hsm check "$token;object=ec-p256-sign" --usage sign
    backend_broker_start
    finished "the token away and back"
    ;;
*) ;; # no process stands between
esac
ok "the key after all this" hsm check "$token;object=ec-p256-sign" --usage sign

# --- 6. selftest ---
code=0
want=0
grep -q '^failed' selftest && want=4
hsm selftest $token --json >out 2>err </dev/null || code=$?
same "selftest" $code $want
[ $want = 0 ] || has err '"key":"hsm.selftest"'
grep -v '"error"' out >steps
jq -r '.steps[] | select(.result != "ok") | .result + ": " + .step' steps >selftest.seen
same "selftest: what does not succeed" "$(cat selftest.seen)" "$(cat selftest)"
same "selftest: random octets" "$(jq -r '.steps[0] | .step + " " + .result' steps)" "random ok"
ok "its throw-away keys" hsm list $token --json
json "are gone" '.keys | length' $made
same "all halves of them" "$(p11 suite -O | grep -c 'label: *keymill-selftest')" 0

# --- 7. planted keys: refused, and for these reasons ---
# planted RULES LABEL ID: as pkcs11-tool just left it.
planted() {
    if [ "$1" = none ]; then
        refused 4 hsm.no-key "planted: $2" hsm check "$token;object=$2" --usage sign
        return
    fi
    refused 5 hsm.key-policy "planted: $2" hsm check "$token;object=$2;id=%$3" --usage sign
    hsm check "$token;object=$2;id=%$3" --usage sign --json >out 2>err
    json "planted: $2: the rules" '[.broken[].rule] | sort | join(" ")' "$1"
    refused 5 hsm.key-policy "planted: $2: no signature" "$signloop" "$token;object=$2;id=%$3?$source" 1
}
openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -outform DER -out soft.key 2>/dev/null || exit 1
p11 suite --keypairgen --key-type EC:prime256v1 --usage-sign --extractable --label planted-extractable --id f1 >made
planted "$planted_extractable" planted-extractable f1
p11 suite --keypairgen --key-type EC:prime256v1 --usage-sign --usage-derive --label planted-derive --id f2 >made
planted "$planted_derive" planted-derive f2
p11 suite --keypairgen --key-type EC:secp521r1 --usage-sign --label planted-curve --id f3 >made
planted "$planted_curve" planted-curve f3
p11 suite --write-object soft.key --type privkey --usage-sign --sensitive --label planted-import --id f4 >made
planted "$planted_import" planted-import f4
p11 suite --keypairgen --key-type EC:prime256v1 --usage-sign --label ec-p384-sign --id f5 >made
planted "$planted_twin" ec-p384-sign f5
refused 5 hsm.key-policy "two keys with one label" hsm check "$token;object=ec-p384-sign" --usage sign
has out label-unique

# --- 8. a root CA whose key is in this token ---
sed 's/token=root-ca;/token=suite;/' "$top/docs/examples/root.yaml" >root.yaml
export KEYMILL_ROOT_PIN="$T/pin"
ok "init" keymill-ca init --home root --config root.yaml
ok "openssl: the root" openssl verify -check_ss_sig -CAfile root/cert.pem root/cert.pem
ok "its key" hsm check "$token;object=root-ca" --usage sign
openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout sub.key -subj "/O=Example/CN=Sub" -out sub.csr 2>/dev/null || exit 1
ok "sign a CA" keymill-ca sign-ca --home root --csr sub.csr --profile local-ca --out sub.pem
ok "the first CRL" keymill-ca crl --home root --out root.crl
ok "openssl: certificate and CRL" openssl verify -crl_check -CAfile root/cert.pem -CRLfile root.crl sub.pem
ok "revoke" keymill-ca revoke --home root --serial "$(openssl x509 -in sub.pem -noout -serial | sed 's/serial=//')" --reason superseded
ok "the next CRL" keymill-ca crl --home root --out root.crl
expect_code 2 "openssl: revoked" openssl verify -crl_check -CAfile root/cert.pem -CRLfile root.crl sub.pem
has err "certificate revoked"
# Each act of the key is in the audit log with the rules that the quirk file excepts, or with none.
audit() { sqlite3 -readonly root/ca.db "SELECT DISTINCT $1 FROM audit WHERE event IN ('key', 'init', 'issue', 'crl') ORDER BY 1"; }
same "acts of the key" "$(audit event | xargs)" "crl init issue key"
same "what the audit log says of the key" "$(audit "coalesce(json_extract(detail, '\$.key_exceptions'), '')")" "$excepted"

# --- 9. compare and destroy ---
ok "the same label in another token" hsm keygen "pkcs11:token=second;object=ec-p256-sign" --algorithm ec-p256 --usage sign
refused 5 hsm.compare "two keys" hsm compare "$token;object=ec-p256-sign" "pkcs11:token=second;object=ec-p256-sign"
refused 2 hsm.same-token "a key with itself" hsm compare "$token;object=ec-p256-sign" "$token;object=ec-p256-sign"
if [ "$planted_import" = none ]; then
    refused 4 hsm.no-key "no copy can be made" hsm compare "$token;object=planted-import" "pkcs11:token=second;object=ec-p256-sign"
else
    openssl pkey -inform DER -in soft.key -pubout -outform DER -out soft.pub || exit 1
    p11 suite --write-object soft.pub --type pubkey --usage-sign --label planted-import --id f4 >made
    p11 second --write-object soft.key --type privkey --usage-sign --sensitive --label copy --id f4 >made
    p11 second --write-object soft.pub --type pubkey --usage-sign --label copy --id f4 >made
    ok "one key in two tokens" hsm compare "$token;object=planted-import" "pkcs11:token=second;object=copy" --json
    json "what is the same" '[.checks[] | select(.result == "same") | .check] | join(" ")' "$compared"
fi
refused 3 hsm.confirm "destroy another" hsm destroy "$token;object=ec-p256-sign" --confirm ec-p384-sign
same "both halves are there" "$(p11 suite -O | grep -c 'label: *ec-p256-sign$')" 2
ok "destroy" hsm destroy "$token;object=ec-p256-sign" --confirm ec-p256-sign
same "both halves are gone" "$(p11 suite -O | grep -c 'label: *ec-p256-sign$')" 0
refused 4 hsm.no-key "destroy again" hsm destroy "$token;object=ec-p256-sign" --confirm ec-p256-sign
ok "the other token's is there" hsm check "pkcs11:token=second;object=ec-p256-sign" --usage sign
backend_stop
end
