#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The quick start, twice, and then everything it left behind judged by programs that are not ours.
. "$(dirname "$0")/../support/sh.sh"
devices=12
[ "${KEYMILL_FULL:-0}" = 0 ] || devices=1000
dir=$T/story

# A sanitized plugin needs its runtime in the broker from the start.
runtime=$(objdump -p "$KEYMILL_BUILD/lib/keymill/keymill_admission.so" | sed -n 's/^ *NEEDED *\(libasan.*\)/\1/p')
if [ -n "$runtime" ]; then
    printf '#!/bin/sh\nLD_PRELOAD=%s ASAN_OPTIONS=detect_leaks=0 exec mosquitto "$@"\n' "$runtime" >"$T/broker"
    chmod 755 "$T/broker"
    KEYMILL_BROKER=$T/broker
    export KEYMILL_BROKER
fi

ok "the quick start" "$top/factory/quickstart.sh" --dir "$dir" --devices $devices
has "$T/out" "every verdict is as it should be"
lacks "$T/out" "[FAIL]"
cp "$T/out" "$T/first.out"

# --- a second run finds each step done ---
cd "$dir" || exit 1
snapshot() { find pki ca A1.order A1.batch B1.batch A1.manifest.jsonl A1.checkpoint release devices office line7 -type f ! -name '*-wal' ! -name '*-shm' ! -name lock -exec sha256sum {} + | sort -k 2; }
keys() { for k in root-ca online-ca local-ca local-b office line7; do pkcs11-tool --module /usr/lib/softhsm/libsofthsm2.so --token-label $k --login --pin "$(cat token/pin)" -O 2>/dev/null; done | grep -c 'Private Key Object'; }
# shellcheck disable=SC1091
. ./env.sh
snapshot >"$T/before"
keys_before=$(keys)
same "nine keys: four CAs, three of the office, two of the station" "$keys_before" 9
ok "the quick start again" "$top/factory/quickstart.sh" --dir "$dir" --devices $devices
has "$T/out" "every verdict is as it should be"
for verdict in "held back" "the revoked device" "under the revoked local-b" "the clone of"; do
    has "$T/first.out" "$verdict"
    has "$T/out" "$verdict"
done
snapshot >"$T/after"
# Databases may be checkpointed; what matters of them is counted below.
if diff "$T/before" "$T/after" | grep '^[<>]' | grep -v '\.db$' >"$T/out"; then fail "a second run changed files"; else pass; fi
same "no second key" "$(keys)" "$keys_before"
for home in root online-ca local-ca local-b; do
    keymill-ca show --home ca/$home --json >"$T/show"
    has "$T/show" '"schema":"keymill.ca.show.v1"'
done
same "the local CA issued each device once" "$(keymill-ca list --home ca/local-ca --json | grep -o '"id":"MX1-[0-9]*"' | sort | uniq | wc -l)" "$devices"
same "and no more" "$(keymill-ca list --home ca/local-ca --json | grep -o '"id":"MX1-[0-9]*"' | wc -l)" "$devices"

# --- the files that the quick start promises ---
for f in pki/root.pem pki/online-ca.pem pki/local-ca.pem pki/local-b.pem pki/chain.pem pki/root.crl pki/online-ca.crl pki/local-ca.crl pki/local-b.crl A1.order A1.batch/batch.json A1.manifest.jsonl A1.checkpoint env.sh token/softhsm2.conf token/pin; do
    if [ -s $f ]; then pass; else fail "'$f' is missing"; fi
done
for d in released unreleased revoked; do
    for f in cert.pem chain.pem key.pem trust.pem; do
        if [ -s devices/$d/$f ]; then pass; else fail "'devices/$d/$f' is missing"; fi
    done
    same "key.pem is for its owner alone" "$(stat -c %a devices/$d/key.pem)" 600
done

# --- chains and CRLs ---
for ca in online-ca local-ca local-b; do
    ok "openssl accepts $ca" openssl verify -x509_strict -CAfile pki/root.pem pki/$ca.pem
    cat pki/$ca.pem pki/root.pem >"$T/chain.pem"
    ok "certtool accepts $ca" certtool --verify-chain --infile "$T/chain.pem"
done
for d in released unreleased revoked; do
    ok "openssl accepts device $d" openssl verify -x509_strict -CAfile pki/root.pem -untrusted pki/local-ca.pem -purpose sslclient devices/$d/cert.pem
    ok "certtool accepts device $d" certtool --verify --load-ca-certificate pki/root.pem --infile devices/$d/chain.pem
done
for leaf in pki/office.pem pki/release.pem pki/line7-manifest.pem pki/line7-seal.pem broker/server.pem; do
    ok "openssl accepts $leaf" openssl verify -x509_strict -CAfile pki/root.pem -untrusted pki/online-ca.pem -purpose any $leaf
    cat $leaf pki/online-ca.pem >"$T/chain.pem"
    ok "certtool accepts $leaf" certtool --verify --load-ca-certificate pki/root.pem --infile "$T/chain.pem"
done
for name in root online-ca local-ca local-b; do
    ok "openssl verifies the CRL of $name" openssl crl -in pki/$name.crl -CAfile pki/$name.pem -noout
    has "$T/err" "verify OK"
    ok "certtool verifies the CRL of $name" certtool --verify-crl --load-ca-certificate "pki/$name.pem" --infile "pki/$name.crl"
done
expect_code 2 "the root's CRL has local-b on it" openssl verify -x509_strict -crl_check -CAfile pki/root.pem -CRLfile pki/root.crl pki/local-b.pem
has "$T/err" "certificate revoked"
ok "and not local-ca" openssl verify -x509_strict -crl_check -CAfile pki/root.pem -CRLfile pki/root.crl pki/local-ca.pem
ok "python3-cryptography checks the device chain link by link" /usr/bin/python3 "$top/tests/support/chain.py" devices/released/cert.pem pki/local-ca.pem pki/root.pem

# --- documents ---
for doc in A1.order A1.checkpoint release/R1.release release/V1.revocation; do
    ok "openssl opens $doc" openssl cms -verify -purpose any -inform DER -in $doc -CAfile pki/root.pem -out "$T/json"
    ok "it is JSON" jq -e .schema "$T/json"
done
ok "openssl opens the batch's detached signature" openssl cms -verify -purpose any -inform DER -in A1.batch/batch.p7s -content A1.batch/batch.json -binary -CAfile pki/root.pem -out /dev/null
openssl cms -verify -purpose any -inform DER -in A1.checkpoint -CAfile pki/root.pem -out "$T/json" 2>/dev/null
same "the checkpoint has the manifest's SHA-256" "$(jq -r .manifest_sha256 "$T/json")" "$(sha256sum A1.manifest.jsonl | cut -d ' ' -f 1)"
same "devices.jsonl is the one that batch.json names" "$(jq -r .devices_sha256 A1.batch/batch.json)" "$(sha256sum A1.batch/devices.jsonl | cut -d ' ' -f 1)"
ok "Merkle root and line hashes, computed in Python" /usr/bin/python3 "$top/tests/support/merkle.py" A1.manifest.jsonl "$(jq -r .merkle_root "$T/json")"
same "the order delivers its trust bundle" "$(sha256sum devices/released/trust.pem | cut -d ' ' -f 1)" "$(openssl cms -verify -purpose any -inform DER -in A1.order -CAfile pki/root.pem 2>/dev/null | jq -r .trust_bundle.sha256)"

ok "every document, example and profile by its JSON Schema" sh -c 'cd "$1" && /usr/bin/python3 tests/support/schemas.py "$2"' sh "$top" "$dir"

# --- key policy, seen by pkcs11-tool ---
flags() { pkcs11-tool --module /usr/lib/softhsm/libsofthsm2.so --token-label "$1" --login --pin "$(cat token/pin)" -O --type privkey 2>/dev/null; }
for token in root-ca online-ca local-ca local-b office line7; do
    flags $token >"$T/flags"
    same "$token: every key sensitive, always sensitive, never extractable, local" "$(grep -c 'Access: *sensitive, always sensitive, never extractable, local' "$T/flags")" "$(grep -c 'Private Key Object' "$T/flags")"
done
for token in root-ca online-ca local-ca local-b; do
    flags $token >"$T/flags"
    same "$token: usage sign alone" "$(sed -n 's/^ *Usage: *//p' "$T/flags")" sign
done
flags line7 >"$T/flags"
same "line7: one key signs, one agrees" "$(sed -n 's/^ *Usage: *//p' "$T/flags" | sort | tr '\n' ' ')" "derive sign "
flags office >"$T/flags"
same "office: two keys sign, one agrees" "$(sed -n 's/^ *Usage: *//p' "$T/flags" | sort | tr '\n' ' ')" "derive sign sign "

# --- secrets: the PINs and a device's private scalar stand nowhere they should not ---
pin=$(cat token/pin)
if grep -rlF --exclude-dir=token "$pin" . >"$T/out"; then fail "the PIN stands in a file"; else pass; fi
scalar=$(openssl pkey -in devices/released/key.pem -text -noout | awk '/^priv:/ {on = 1; next} /^pub:/ {on = 0} on' | tr -d ' :\n')
if [ ${#scalar} = 64 ]; then pass; else fail "no scalar found in key.pem: '$scalar'"; fi
ok "no file but key.pem holds the device's key, raw, hex or base64" /usr/bin/python3 "$top/tests/support/secrets.py" "$scalar" devices/released/key.pem .

# --- the environment for trying by hand ---
ok "env.sh gives a working setup" sh -c '. ./env.sh && keymill ca show --home ca/root'
end
