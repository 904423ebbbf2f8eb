#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# keymill-ca on SoftHSM, with the configurations of docs/examples: the whole command line, and each exit code.
. "$(dirname "$0")/../support/sh.sh"
cd "$T" || exit 1
tokens root-ca online-ca local-ca local-b

# A mount namespace of our own: what is mounted in it is gone with it. "run_in FILE" runs a script there.
if [ "$(id -u)" = 0 ]; then namespace="unshare -m"; else namespace="unshare -rm"; fi
# In a chroot the root is no mount point, and its propagation cannot be changed: then what is mounted may be seen outside, and is taken down at the end.
$namespace true 2>/dev/null || namespace="$namespace --propagation unchanged"
$namespace true || { echo "unshare -m is not permitted" >&2; exit 1; }
unmount() { awk -v t="$T/" 'index($2, t) == 1 {print $2}' /proc/self/mounts | sort -r | while read -r m; do umount "$m"; done; }
at_end=unmount
run_in() {
    $namespace sh -eu "$1"
}

pin=$T/pin
export KEYMILL_ROOT_PIN="$pin" KEYMILL_ONLINE_PIN="$pin" KEYMILL_LOCAL_PIN="$pin" KEYMILL_LOCAL_B_PIN="$pin"
csr() { # NAME SUBJECT
    openssl ecparam -name prime256v1 -genkey -noout -out "$1.key" 2>/dev/null &&
        openssl req -new -key "$1.key" -subj "$2" -out "$1.csr" 2>/dev/null || exit 1
}
serial() {
    openssl x509 -in "$1" -noout -serial | sed 's/serial=//'
}
tree() { # a fingerprint of a folder
    (cd "$1" && find . -type f ! -name '*-shm' | sort | xargs sha256sum)
}

# ---- a root
cp "$top"/docs/examples/*.yaml .
printf '999999\n' >wrong-pin && chmod 600 wrong-pin
expect_code 4 "a wrong PIN" env KEYMILL_ROOT_PIN="$T/wrong-pin" keymill-ca init --home root --config root.yaml
lacks err 999999
ok "the same command with the right PIN" keymill-ca init --home root --config root.yaml --json
has out '"schema":"keymill.ca.init.v1"'
has out '"new":true'
ok "a root is made once" keymill-ca init --home root --config root.yaml --json
has out '"new":false'
ok "openssl: the root" openssl verify -check_ss_sig -CAfile root/cert.pem root/cert.pem
sed 's/crl-days: 365/crl-days: 30/' root.yaml >other.yaml
refused 6 ca.exists "another configuration" keymill-ca init --home root --config other.yaml
has err "correct 'other.yaml'"
refused 6 ca.key-exists "another home, the same key" keymill-ca init --home root2 --config root.yaml
has err "correct 'key' in the configuration"
refused 3 doc.unknown-key "a configuration with an unknown key" sh -c 'echo "colour: red" >>other.yaml; keymill-ca init --home other --config other.yaml'
(sed /colour/d other.yaml && printf 'key-exceptions:\n  - rule: sensitive\n    reason: x\n  - rule: made-at-home\n    reason: x\n') >exception.yaml
refused 3 ca.key-exception "an exception from a rule that there is not" keymill-ca init --home other --config exception.yaml
refused 3 doc.placeholder "the placeholder for the root" keymill-ca request --home online --config online.yaml --out online.csr
sed "s/^trust: \"0*\"/trust: \"$(sha256sum </dev/null | cut -d' ' -f1)\"/" online.yaml >empty-hash.yaml
refused 3 doc.placeholder "the hash of a file that was not there" keymill-ca request --home online --config empty-hash.yaml --out online.csr
sed '/^trust/s/0/1/g' online.yaml >sub.yaml
refused 3 ca.config "a subordinate CA's configuration" keymill-ca init --home online --config sub.yaml
expect_code 2 "an option is missing" keymill-ca init --home root
expect_code 2 "an unknown verb" keymill-ca destroy --home root
expect_code 1 "no such configuration" keymill-ca init --home x --config no-such.yaml

# ---- subordinates
keymill-ca show --home root --json >show.json || exit 1
root=$(openssl x509 -in root/cert.pem -outform DER | sha256sum | cut -d' ' -f1)
has show.json "\"sha256\":\"$root\""
for ca in online local local-b; do
    sed -i "s/^trust: \"0*\"/trust: \"$root\"/" $ca.yaml
    profile=local-ca
    [ $ca = online ] && profile=online-ca
    ok "request $ca" keymill-ca request --home $ca --config $ca.yaml --out $ca.csr
    expect_code 6 "$ca has no certificate yet" keymill-ca crl --home $ca --out $ca.crl
    has err ca.no-certificate
    ok "sign $ca" keymill-ca sign-ca --home root --csr $ca.csr --profile $profile --out $ca.pem
    ok "import $ca" keymill-ca import --home $ca --cert $ca.pem --chain root/chain.pem
    ok "openssl: $ca" openssl verify -CAfile root/cert.pem $ca.pem
done
refused 3 ca.certificate "the certificate of another CA" keymill-ca import --home online --cert local.pem --chain root/chain.pem
csr mini "/O=Example/CN=Mini"
ok "a shorter CA" keymill-ca sign-ca --home root --csr mini.csr --profile local-ca --out mini.pem --days 10 --json
expect_code 2 "no days at all" keymill-ca sign-ca --home root --csr mini.csr --profile local-ca --out mini2.pem --days 0
refused 6 ca.key-reused "a CA's key under another profile" keymill-ca sign-ca --home root --csr mini.csr --profile online-ca --out x.pem
has err "'local-ca'"
refused 2 ca.kind "a leaf is no CA" keymill-ca sign-ca --home online --csr mini.csr --profile office --out x.pem
expect_code 2 "a CA is no leaf" keymill-ca issue --home root --csr mini.csr --profile local-ca --out x.pem

# ---- leaves
csr office "/O=Example/CN=office"
ok "an office" keymill-ca issue --home online --csr office.csr --profile office --out office.pem
ok "the same again" keymill-ca issue --home online --csr office.csr --profile office --out office.pem --json
has out '"new":false'
ok "and in another file" keymill-ca issue --home online --csr office.csr --profile office --out office2.pem
ok "the same octets" cmp office.pem office2.pem
ok "with the days that it has" keymill-ca issue --home online --csr office.csr --profile office --out office.pem --days 1095
refused 6 ca.days-differ "with other days" keymill-ca issue --home online --csr office.csr --profile office --out x.pem --days 30
has err "$(date -u -d "$(openssl x509 -in office.pem -noout -enddate | cut -d= -f2)" +%Y-%m-%dT%H:%M:%SZ)"
echo mine >taken.pem
refused 6 file.exists "a file that holds something else" keymill-ca issue --home online --csr office.csr --profile office --out taken.pem
has taken.pem mine
openssl req -new -key office.key -subj "/O=Example/CN=somebody" -out again.csr
refused 6 ca.key-reused "a key of somebody else" keymill-ca issue --home online --csr again.csr --profile office --out x.pem
refused 6 ca.key-reused "a key under another profile" keymill-ca issue --home online --csr office.csr --profile release --out x.pem
has err "$(serial office.pem | tr A-F a-f)"
csr server "/O=Example/CN=server"
openssl req -new -key server.key -subj "/O=Example/CN=server" -addext subjectAltName=DNS:est.example -out server.csr
ok "a server" keymill-ca issue --home online --csr server.csr --profile server --out server.pem
ok "openssl: its name" openssl verify -purpose sslserver -verify_hostname est.example -CAfile root/cert.pem -untrusted online/cert.pem server.pem
csr device "/CN=MX1-000001"
ok "a device" keymill-ca issue --home local --csr device.csr --profile device --out device.pem --ou "Factory 7"
ok "openssl: a device" openssl verify -purpose sslclient -CAfile root/cert.pem -untrusted local/cert.pem device.pem
csr device2 "/CN=other"
refused 6 ca.id-reused "an id twice" keymill-ca issue --home local --csr device2.csr --profile device --out x.pem --days 365 --id MX1-000001
refused 5 lint.issuer-end "longer than the CA" keymill-ca issue --home local --csr device2.csr --profile device --out x.pem --days 9000 --id MX1-2
refused 5 ca.profile "not its profile" keymill-ca issue --home local --csr office.csr --profile office --out x.pem
expect_code 3 "an unknown profile" keymill-ca issue --home local --csr office.csr --profile no-such --out x.pem
head -c 200 office.csr >short.csr
expect_code 3 "a truncated request" keymill-ca issue --home online --csr short.csr --profile office --out x.pem
expect_code 3 "a request of noise" sh -c 'head -c 300 /dev/urandom >noise.csr; keymill-ca issue --home online --csr noise.csr --profile office --out x.pem'
expect_code 1 "no request" keymill-ca issue --home online --csr no-such.csr --profile office --out x.pem
refused 6 ca.no-home "no home" keymill-ca issue --home nowhere --csr office.csr --profile office --out x.pem
expect_code 6 "no home, as JSON" keymill-ca show --home nowhere --json
has err '"key":"ca.no-home"'
ln -s loop loop
refused 1 file.read "a home that cannot be looked into" keymill-ca show --home loop
if [ -e x.pem ] || [ -e nowhere ]; then fail "what was refused left a file"; else pass; fi
expect_code 4 "a wrong PIN at the hot end" env KEYMILL_ONLINE_PIN="$T/wrong-pin" keymill-ca crl --home online --out online.crl
chmod 644 wrong-pin
expect_code 4 "a PIN that others can read" env KEYMILL_ONLINE_PIN="$T/wrong-pin" keymill-ca crl --home online --out online.crl

# ---- revocation
ok "the first CRL" keymill-ca crl --home online --out online.crl --json
has out '"number":1'
ok "the root's CRL" keymill-ca crl --home root --out root.crl
cat root/cert.pem root.crl >chain.pem
ok "a CRL comes in" keymill-ca import --home online --cert online.pem --chain chain.pem --json
has out '"new":false'
has out '"new_crls":true'
has online/chain.pem "BEGIN X509 CRL"
ok "a newer one" sh -c 'keymill-ca crl --home root --out root.crl && cat root/cert.pem root.crl >chain2.pem'
ok "replaces it" keymill-ca import --home online --cert online.pem --chain chain2.pem --json
has out '"new_crls":true'
cp online/chain.pem before.pem
ok "a chain without CRLs takes none away" keymill-ca import --home online --cert online.pem --chain root/chain.pem --json
has out '"new_crls":false'
refused 6 ca.crl-older "an older CRL" keymill-ca import --home online --cert online.pem --chain chain.pem
ok "the newest CRL is still there" cmp online/chain.pem before.pem
ok "a CRL replaces none of another CA, no certificate, no link" cp server.pem server.before
ln -s online.crl link.crl
for file in server.pem root.crl link.crl; do
    refused 6 file.exists "a CRL in place of $file" keymill-ca crl --home online --out $file
done
ok "the certificate is as it was" cmp server.pem server.before
expect_code 1 "a CRL in no folder" keymill-ca crl --home online --out no-such-folder/online.crl
verify() {
    openssl verify -crl_check_all -CAfile root/cert.pem -untrusted online/cert.pem -CRLfile online.crl -CRLfile root.crl "$@"
}
ok "openssl: not revoked" verify office.pem server.pem
# No PIN: it needs no token.
ok "revoke" env -u KEYMILL_ONLINE_PIN keymill-ca revoke --home online --serial "$(serial office.pem)" --reason keyCompromise --json
has out '"new":true'
colons=$(serial office.pem | sed 's/../&:/g; s/:$//')
ok "with colons" keymill-ca revoke --home online --serial "$colons" --reason keyCompromise --json
has out '"new":false'
ok "revoke again" keymill-ca revoke --home online --serial "$(serial office.pem)" --reason keyCompromise --json
has out '"new":false'
expect_code 6 "another reason" keymill-ca revoke --home online --serial "$(serial office.pem)" --reason superseded
refused 3 ca.reason "no reason" keymill-ca revoke --home online --serial "$(serial server.pem)" --reason because
taken=$(sed 's/.*one of \(.*\) is required.*/\1/; s/,//g' err)
written=$(sed -n '/is a name of RFC 5280/,/It needs no token/s/^\.Cm \([A-Za-z]*\).*/\1/p' "$top/docs/man/keymill-ca.1" | xargs)
same "the reasons in the manual" "$written" "$taken"
for profile in "$top"/schemas/profiles/*.yaml; do has "$top/docs/man/keymill-ca.1" ".It Cm $(basename "$profile" .yaml)"; done
refused 3 ca.no-serial "no such serial" keymill-ca revoke --home online --serial 4711 --reason superseded
refused 3 text.hex "no hex" keymill-ca revoke --home online --serial xyz --reason superseded
has err "not hexadecimal"
expect_code 5 "a root's own" keymill-ca revoke --home root --serial "$(serial root/cert.pem)" --reason superseded
ok "the next CRL replaces the first" keymill-ca crl --home online --out online.crl --json
has out '"number":2'
ok "openssl: the CRL" openssl crl -in online.crl -CAfile online/cert.pem -noout
expect_code 2 "openssl: revoked" verify office.pem
has err "certificate revoked"
ok "openssl: the other is not" verify server.pem
refused 6 ca.revoked "the answer to that request is revoked" keymill-ca issue --home online --csr office.csr --profile office --out office.pem
openssl req -new -key office.key -subj "/O=Example/CN=office" -out renew.csr
refused 6 ca.revoked "a renewal with the revoked key" keymill-ca issue --home online --csr renew.csr --profile office --out x.pem
refused 6 ca.revoked "the revoked key under another profile" keymill-ca issue --home online --csr renew.csr --profile release --out x.pem
ok "the root revokes a CA" keymill-ca revoke --home root --serial "$(serial local-b.pem)" --reason cACompromise
ok "the root's next CRL" keymill-ca crl --home root --out root.crl
expect_code 2 "openssl: a revoked CA" openssl verify -crl_check -CAfile root/cert.pem -CRLfile root.crl local-b.pem

# ---- looking
ok "list" keymill-ca list --home online
has out revoked
has out "CN=server"
ok "list as JSON" keymill-ca list --home online --json
has out '"reason":"keyCompromise"'
ok "show" keymill-ca show --home online --json
has out '"issued":1'
has out '"revoked":1'
has out '"crl_number":2'
has out '"key_exceptions":[]'
ok "show for people" keymill-ca show --home online
has out "MAY ISSUE"
# The reader is gone before anything is written.
(
    while [ ! -e gone ]; do sleep 0.05; done
    code=0
    keymill-ca list --home online 2>err || code=$?
    echo "$code" >code
) | (exec <&- && : >gone)
same "list into a pipe that nobody reads" "$(cat code err)" 0
cp -a online tampered
sqlite3 tampered/ca.db "DROP TRIGGER audit_no_update; UPDATE audit SET detail = '{}' WHERE seq = 4"
expect_code 3 "a changed audit log" keymill-ca show --home tampered
has err "row 4 "
head -c 5000 /dev/urandom >tampered/ca.db
rm -f tampered/ca.db-wal tampered/ca.db-shm
refused 1 store.corrupt "a damaged database" keymill-ca show --home tampered

# ---- disk full, read-only
csr late "/O=Example/CN=late"
mkdir full
cat >full.sh <<'END'
mount -t tmpfs -o size=1m,mode=700 tmpfs full
cp -a online/. full/
dd if=/dev/zero of=full/fill bs=4096 2>/dev/null || true
before=$(sqlite3 -readonly "file:online/ca.db?immutable=1" "SELECT count(*) FROM certificate")
code=0
keymill-ca issue --home full --csr late.csr --profile office --out late.pem || code=$?
[ $code = 1 ]
[ ! -e late.pem ]
rm full/fill
keymill-ca issue --home full --csr late.csr --profile office --out late.pem
keymill-ca show --home full
[ "$(sqlite3 full/ca.db "SELECT count(*) FROM certificate WHERE state = 'issued'")" = 2 ]
[ "$(sqlite3 full/ca.db "SELECT count(*) FROM certificate")" = $((before + 1)) ]
END
ok "a full disk: refused, nothing changed, and done when there is room" run_in full.sh
has err store.full
cat >crl.sh <<'END'
mount -t tmpfs -o nr_inodes=1,mode=700 tmpfs full
keymill-ca crl --home online --out full/online.crl
END
expect_code 1 "a CRL on a full disk" run_in crl.sh
has err "CRL number 3 "
ok "the next CRL" keymill-ca crl --home online --out online.crl --json
has out '"number":4'
cat >empty.sh <<'END'
mount -t tmpfs -o size=16k,mode=700 tmpfs full
keymill-ca init --home full/root --config root3.yaml
END
sed 's/object=root-ca/object=root-3/' root.yaml >root3.yaml
expect_code 1 "a new home on a full disk" run_in empty.sh
# shellcheck disable=SC2016 # $0 is the inner shell's
ok "no key was made for it" sh -c '! keymill-hsm list "pkcs11:token=root-ca" --pin-source "file:$0" | grep root-3' "$pin"
cat >readonly.sh <<'END'
mount --bind online online
mount -o remount,bind,ro online
keymill-ca issue --home online --csr late.csr --profile office --out late2.pem
END
tree online >before
expect_code 1 "a read-only home" run_in readonly.sh
tree online >after
ok "nothing changed in it" cmp before after
if [ -e late2.pem ]; then fail "a certificate came out of a read-only home"; else pass; fi

# ---- secrets
if grep -rqF 123456 root online local local-b show.json chain.pem; then fail "the PIN is in a file"; else pass; fi
end
