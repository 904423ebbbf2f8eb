#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The keys of keymill-hsm: made of every algorithm and usage, measured, compared between two tokens, destroyed. Judged by pkcs11-tool and openssl.
. "$(dirname "$0")/../support/sh.sh"
cd "$T" || exit 1
tokens root backup
module=$KEYMILL_PKCS11_MODULE
typed() { python3 "$top/tests/support/typed.py" "$@"; }
# p11 TOKEN OPTIONS...
p11() {
    p11_token=$1
    shift
    pkcs11-tool --module "$module" --token-label "$p11_token" --login --pin 123456 "$@" 2>/dev/null
}
# hsm VERB URI...: with the PIN.
hsm() { keymill-hsm "$@" --pin-source "file:$T/pin"; }
root=pkcs11:token=root backup=pkcs11:token=backup
# json FILTER: what the last command printed is JSON, and this holds in it.
json() { if jq -e "$1" "$T/out" >/dev/null 2>&1; then pass; else fail "'$1' does not hold in what was printed"; fi; }

# --- keygen: every algorithm, used by another program ---
for a in ec-p256 ec-p384 ed25519 rsa-2048 rsa-3072; do
    ok "keygen $a" hsm keygen "$root;object=$a" --algorithm $a --usage sign
    has out "$a"
    ok "check $a" hsm check "$root;object=$a" --usage sign
    refused 5 hsm.key-policy "$a is no decrypt key" hsm check "$root;object=$a" --usage decrypt
    has out usage-decrypt
done
ok "keygen pss" hsm keygen "$root;object=pss" --algorithm rsa-2048-pss --usage sign --json
json '.algorithm == "rsa-2048" and .usage == "sign"'
p11 root -O --type privkey >keys
same "RSA" "$(grep -c 'Private Key Object; RSA' keys)" 3
same "one usage each" "$(sed -n 's/^ *Usage: *//p' keys | sort -u)" "sign"
same "inside for ever" "$(grep -c 'Access: *sensitive, always sensitive, never extractable, local$' keys)" 6
# public LABEL: its public key for openssl. id TOKEN LABEL: its id.
public() { p11 root --read-object --type pubkey --label "$1" --output-file "$1.der" >/dev/null; }
id() { hsm list "pkcs11:token=$1;object=$2" --json | jq -r '.keys[0].id'; }
echo text >text
openssl dgst -sha256 -binary text >digest
public rsa-2048
p11 root --sign --mechanism SHA256-RSA-PKCS --id "$(id root rsa-2048)" --input-file text --output-file sig >/dev/null
ok "openssl verifies its RSA signature" openssl dgst -sha256 -verify rsa-2048.der -keyform DER -signature sig text
ok "keygen decrypt" hsm keygen "$root;object=open" --algorithm rsa-2048 --usage decrypt
ok "check decrypt" hsm check "$root;object=open" --usage decrypt
refused 5 hsm.key-policy "a decrypt key does not sign" hsm check "$root;object=open" --usage sign
public open
openssl pkeyutl -encrypt -pubin -keyform DER -inkey open.der -pkeyopt rsa_padding_mode:oaep -in digest -out sealed
p11 root --decrypt --mechanism RSA-PKCS-OAEP --hash-algorithm SHA-1 --id "$(id root open)" --input-file sealed --output-file opened >/dev/null
if cmp -s digest opened; then pass; else fail "pkcs11-tool does not decrypt with it"; fi
ok "list shows usages" hsm list "$root" --json
json '[.keys[].usage] | sort | unique == ["decrypt", "sign"]'
json '[.keys[].policy] | unique == ["ok"]'
refused 2 hsm.usage "RSA does not derive" hsm keygen "$root;object=x" --algorithm rsa-2048 --usage derive
has err "only EC keys agree on secrets"
refused 2 hsm.usage "EC does not decrypt" hsm keygen "$root;object=x" --algorithm ec-p256 --usage decrypt
refused 2 hsm.usage "Ed25519 does not derive" hsm keygen "$root;object=x" --algorithm ed25519 --usage derive
refused 2 hsm.algorithm "no such algorithm" hsm keygen "$root;object=x" --algorithm rsa-1024 --usage sign
same "none of these was made" "$(p11 root -O --type privkey | grep -c 'label: *x$')" 0

# --- show with keys ---
ok "show a key" hsm show "$root;object=ec-p256"
for text in CKA_NEVER_EXTRACTABLE softhsm2 CKM_ECDSA "$(public ec-p256 && sha256sum <ec-p256.der | cut -d' ' -f1)"; do has out "$text"; done
lacks out ec-p384.der
ok "show all as JSON" hsm show "$root" --json
json '.schema == "keymill.hsm.show.v1" and (.keys | length) == 7 and (.attributes | length) == 98 and .broken == []'
json '[.attributes[] | select(.attribute == "CKA_EXTRACTABLE") | .value] | unique == [false]'
json '.worker_confined == true'
p11 root --keypairgen --key-type EC:prime256v1 --usage-sign --extractable --label weak --id 77 >made
ok "show a weak key" hsm show "$root;object=weak" --json
json '.keys[0].policy == "broken" and ([.broken[].rule] | index("not-extractable")) != null'
json '.attributes[] | select(.attribute == "CKA_EXTRACTABLE") | .value == true'
refused 4 hsm.no-key "show a key that is not there" hsm show "$root;object=nobody"

# --- bench ---
ok "bench" hsm bench "$root;object=ec-p256" --count 300 --workers 1 --batch 50 --json
json '.signatures == 300 and .verified == true and .batch == 50 and .workers == 1 and .restarts == 0 and .signatures_per_s > 0'
json '[.latency[].latency_of] == ["call", "signature"] and (.latency[] | .p50_us <= .p95_us and .p95_us <= .p99_us and .p99_us <= .max_us and .p50_us > 0)'
json '.latency[0].p50_us > .latency[1].p50_us'
ok "bench unverified, by time" hsm bench "$root;object=ed25519" --seconds 1 --unverified
has out "no signature was verified"
has out "signed were texts of this program's own making"
ok "bench RSA, two workers, three sessions" hsm bench "$root;object=rsa-2048" --count 70 --workers 2 --sessions 3 --threads 2 --json
json '.signatures == 70 and .workers == 2 and .sessions_per_worker == 3 and .threads == 2'
ok "bench says what it does" hsm bench "$root;object=ec-p384" --count 1
has out "every signature was verified"
refused 2 hsm.bench "both ends" hsm bench "$root;object=ec-p256" --count 1 --seconds 1
refused 2 hsm.bench "no signatures" hsm bench "$root;object=ec-p256" --count 0
refused 2 hsm.bench "too large a batch" hsm bench "$root;object=ec-p256" --batch 5000
refused 2 hsm.options "no workers" hsm bench "$root;object=ec-p256" --workers 0
refused 2 hsm.options "too many sessions" hsm bench "$root;object=ec-p256" --sessions 65
refused 5 hsm.key-policy "bench with a weak key" hsm bench "$root;object=weak" --count 1
refused 5 hsm.key-policy "bench with a decrypt key" hsm bench "$root;object=open" --count 1
refused 2 hsm.uri "bench with no key" hsm bench "$root" --count 1
# faulty RULES COMMAND...: with a module that fails by these rules (tests/support/shim_rules.c).
faulty() {
    rm -rf shim && mkdir shim
    rules=$1
    shift
    env KEYMILL_PKCS11_MODULE="$KEYMILL_BUILD/tests/p11shim.so" KEYMILL_SHIM_REAL="$module" KEYMILL_SHIM_DIR="$T/shim" KEYMILL_SHIM_FAULT="$rules" "$@"
}
ok "bench with a token that goes away" faulty C_Sign:30:CKR_DEVICE_REMOVED keymill-hsm bench "$root;object=ec-p256" --count 100 --batch 20 --workers 1 --pin-source "file:$T/pin" --json
json '.signatures == 100 and .restarts >= 1'
refused 4 sign.self-check "bench with a token that computes wrongly" faulty C_Sign:30:lie keymill-hsm bench "$root;object=ec-p256" --count 100 --pin-source "file:$T/pin"
ok "which goes unseen unverified" faulty C_Sign:30:lie keymill-hsm bench "$root;object=ec-p256" --count 100 --unverified --pin-source "file:$T/pin"
refused 4 sign.self-check "but for the first one" faulty C_Sign:1:lie keymill-hsm bench "$root;object=ec-p256" --count 100 --unverified --pin-source "file:$T/pin"

# --- compare ---
openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out ec.pem 2>/dev/null
openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out other.pem 2>/dev/null
openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out rsa.pem 2>/dev/null
# import TOKEN FILE LABEL ID
import() { softhsm2-util --import "$2" --token "$1" --label "$3" --id "$4" --pin 123456 >made 2>&1 || fail "softhsm2-util imports no '$3'"; }
import root ec.pem copy a1
import backup ec.pem copy a1
import root rsa.pem rsa a2
import backup rsa.pem rsa a2
import backup other.pem stranger a3
ok "one key in two tokens" hsm compare "$root;object=copy" "$backup;object=copy"
has out "both tokens hold the same private key"
ok "as JSON" hsm compare "$root;object=copy" "$backup;object=copy" --json
json '.algorithm == "ec-p256" and .first_token == "root" and .second_token == "backup" and .differences == []'
json '.spki_sha256 == "'"$(openssl pkey -in ec.pem -pubout -outform DER | sha256sum | cut -d' ' -f1)"'"'
json '[.checks[] | select(.result == "same") | .check] == ["public key", "sign"]'
ok "an RSA key signs and decrypts" hsm compare "$root;object=rsa" "$backup;object=rsa" --json
json '[.checks[] | select(.result == "same") | .check] == ["public key", "sign", "decrypt"]'
openssl pkey -in ec.pem -outform DER -out ec.der
openssl pkey -in ec.pem -pubout -outform DER -out ec.pub
for token in root backup; do
    p11 $token --write-object ec.der --type privkey --label agree --id b1 --usage-derive --sensitive >made
    p11 $token --write-object ec.pub --type pubkey --label agree --id b1 --usage-derive >made
done
ok "a key that may derive derives" hsm compare "$root;object=agree" "$backup;object=agree" --json
json '.checks[] | select(.check == "derive") | .result == "same"'
refused 5 hsm.compare "two keys" hsm compare "$root;object=copy" "$backup;object=stranger"
has out differs
has err "the public keys differ"
# false_copy KEY ALGORITHM USAGE: a new key in the backup, under the public half of KEY in root.
false_copy() {
    ok "false copy of $1" hsm keygen "$backup;object=false-$1-$3" --algorithm "$2" --usage "$3"
    public "$1"
    p11 backup --delete-object --type pubkey --label "false-$1-$3" >made
    p11 backup --write-object "$1.der" --type pubkey --label "false-$1-$3" --id "$(id backup "false-$1-$3")" >made
}
ok "keygen derive" hsm keygen "$root;object=seal" --algorithm ec-p256 --usage derive
false_copy ec-p256 ec-p256 sign
false_copy seal ec-p256 derive
false_copy open rsa-2048 decrypt
for pair in ec-p256-sign seal-derive open-decrypt; do
    refused 5 hsm.compare "another private key under the public key of $pair" hsm compare "$root;object=${pair%-*}" "$backup;object=false-$pair"
    same "$pair: the public keys are the same" "$(grep -c '^public key  *same' out)" 1
    same "$pair: what they do is not" "$(grep -c "^${pair##*-}  *differs" out)" 1
done
false_copy ec-p256 ec-p256 derive
refused 5 hsm.compare "no use in common" hsm compare "$root;object=ec-p256" "$backup;object=false-ec-p256-derive"
has err "nothing is proven"
# Without a public half the other's judges.
p11 backup --write-object ec.der --type privkey --label bare --id c3 --usage-sign --extractable >made
ok "a copy without its public half" hsm compare "$root;object=copy" "$backup;object=bare" --json
json '[.checks[] | .result] == ["not possible", "same"]'
json '.differences[] | select(.attribute == "CKA_EXTRACTABLE") | .first == "no" and .second == "yes"'
openssl pkey -in other.pem -outform DER -out other.der
p11 backup --write-object other.der --type privkey --label bare2 --id c4 --usage-sign >made
refused 5 hsm.compare "another key without its public half" hsm compare "$root;object=copy" "$backup;object=bare2"
refused 2 hsm.same-token "a key with itself" hsm compare "$root;object=copy" "$root;object=copy"
refused 2 hsm.same-token "two keys of one token" hsm compare "$root;object=copy" "$root;object=rsa"
refused 4 hsm.no-key "no such key there" hsm compare "$root;object=copy" "$backup;object=nobody"
refused 2 cli.operand "one key" hsm compare "$root;object=copy"
# Two PINs.
(umask 077 && echo 4711 >pin2)
softhsm2-util --init-token --free --label third --so-pin 98765432 --pin 4711 >made 2>&1
softhsm2-util --import ec.pem --token third --label copy --id a1 --pin 4711 >made 2>&1
ok "two PIN sources" hsm compare "$root;object=copy" "pkcs11:token=third;object=copy" --second-pin-source file:pin2
ok "PIN sources in the URIs" keymill-hsm compare "$root;object=copy?pin-source=file:$T/pin" "pkcs11:token=third;object=copy?pin-source=file:$T/pin2"
refused 2 hsm.pin-source "one descriptor for two" keymill-hsm compare "$root;object=copy" "$backup;object=copy" --pin-source fd:0

# --- destroy ---
count() { p11 root -O | grep -c "label: *$1\$"; }
refused 3 hsm.confirm "another label" hsm destroy "$root;object=copy" --confirm cop
same "both halves are there" "$(count copy)" 2
ok "destroy" hsm destroy "$root;object=copy" --confirm copy --json
json '.destroyed == "copy" and .id == "a1" and .token == "root" and .algorithm == "ec-p256"'
json '.spki_sha256 == "'"$(sha256sum <ec.pub | cut -d' ' -f1)"'"'
same "both halves are gone" "$(count copy)" 0
same "the backup is not" "$(p11 backup -O | grep -c 'label: *copy$')" 2
refused 4 hsm.no-key "again" hsm destroy "$root;object=copy" --confirm copy
has err "keys there:"
same "other keys are there" "$(count rsa)" 2
ok "a key that breaks the policy" hsm destroy "$root;object=weak" --confirm weak
same "is gone" "$(count weak)" 0
p11 root --delete-object --type privkey --label rsa >made
same "an interrupted one" "$(count rsa)" 1
refused 3 hsm.confirm "which wants the label too" hsm destroy "$root;object=rsa" --confirm copy
ok "is finished" hsm destroy "$root;object=rsa" --confirm rsa
has out "only its public half"
same "nothing is left" "$(count rsa)" 0
# The worker dies between the halves; the token only says that it does.
for label in cut kept; do ok "key $label" hsm keygen "$root;object=$label" --algorithm ec-p256 --usage sign; done
ok "a worker that dies in the middle" faulty C_DestroyObject:2:kill keymill-hsm destroy "$root;object=cut" --confirm cut --pin-source "file:$T/pin"
same "both halves are gone all the same" "$(count cut)" 0
refused 4 hsm.not-destroyed "a token that destroys nothing and says it did" faulty 'C_DestroyObject:*:CKR_OK' keymill-hsm destroy "$root;object=kept" --confirm kept --pin-source "file:$T/pin"
same "the key is there" "$(count kept)" 2
# A key without a label is destroyed by its id.
p11 root --write-object ec.der --type privkey --id d1 --usage-sign --sensitive >made
refused 3 hsm.confirm "the wrong id" hsm destroy "$root;id=%d1" --confirm d2
ok "a key without a label" hsm destroy "$root;id=%d1" --confirm d1
refused 2 hsm.uri "a token is not a key" hsm destroy "$root" --confirm root
for i in 1 2; do p11 root --keypairgen --key-type EC:prime256v1 --usage-sign --label twin --id "e$i" >made; done
refused 4 hsm.many-keys "two keys" hsm destroy "$root;object=twin" --confirm twin
ok "one of them, by its id" hsm destroy "$root;object=twin;id=%e1" --confirm twin
same "the other is there" "$(p11 root -O --type privkey | grep -c 'ID: *e2$')" 1
# Typed by a person.
refused 2 cli.no-terminal "nobody to ask" setsid keymill-hsm destroy "$root;object=twin" --pin-source "file:$T/pin"
has err "use --confirm LABEL"
expect_code 3 "the wrong label typed" typed twi keymill-hsm destroy "$root;object=twin" --pin-source "file:$T/pin"
has out "[hsm.confirm]"
has out "SPKI SHA-256 $(p11 root --read-object --type pubkey --label twin --output-file twin.der >made && sha256sum <twin.der | cut -d' ' -f1)"
same "it is still there" "$(count twin)" 2
expect_code 0 "the label typed" typed twin keymill-hsm destroy "$root;object=twin" --pin-source "file:$T/pin"
same "it is gone" "$(count twin)" 0
mkdir quirks
sed -e 's/^without: .*/without: [destroy]/' "$top/hsm/quirks/softhsm2.yaml" >quirks/softhsm2.yaml
refused 4 hsm.not-supported "a token that destroys nothing" env KEYMILL_QUIRKS="$T/quirks" keymill-hsm destroy "$root;object=open" --confirm open --pin-source "file:$T/pin"
has err "quirk file 'softhsm2'"
same "it is still there" "$(count open)" 2
end
