#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# A real mosquitto with keymill_admission.so, devices over mutual TLS. Certificates by openssl; manifests and lists by mkdocs (software keys), handed over
# by keymill-cloud.
. "$(dirname "$0")/../support/sh.sh"
PATH=$KEYMILL_BUILD/tests:$PATH:/usr/sbin
for tool in mosquitto mosquitto_pub mosquitto_sub openssl mkdocs keymill-cloud; do
    command -v "$tool" >/dev/null || { echo "'$tool' is missing" >&2; exit 1; }
done
cd "$T" || exit 1
mkdir config broker

# --- certificates -----------------------------------------------------------------------------------------------------------
arc=2.25.67055011817518250399580807217873608514
cat >openssl.cnf <<CNF
[req]
distinguished_name = dn
[dn]
[ca]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
[release]
keyUsage = critical, digitalSignature
extendedKeyUsage = $arc.2
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
[manifest]
keyUsage = critical, digitalSignature
extendedKeyUsage = $arc.3
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
[device]
keyUsage = critical, digitalSignature
extendedKeyUsage = clientAuth
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
[server]
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth
subjectAltName = DNS:localhost
authorityKeyIdentifier = keyid
[crl]
authorityKeyIdentifier = keyid
CNF
# cert FILE NAME EXTENSIONS [ISSUER]
cert() {
    openssl ecparam -name prime256v1 -genkey -noout -out "$1.key"
    openssl req -new -config openssl.cnf -key "$1.key" -subj "/CN=$2" -out "$1.csr"
    if [ $# = 4 ]; then signer="-CA $4.pem -CAkey $4.key"; else signer="-key $1.key"; fi
    # shellcheck disable=SC2086
    openssl x509 -req -in "$1.csr" $signer -sha256 -days 30 -set_serial "0x$(openssl rand -hex 8 | sed 's/^./4/')" -extfile openssl.cnf -extensions "$3" -out "$1.pem" 2>/dev/null
    [ $# = 3 ] || cat "$1.pem" "$4.pem" >"$1.chain"
}
# crl CA
crl() {
    : >index.txt
    echo 01 >crlnumber
    printf '[ca]\ndefault_ca = d\n[d]\ndatabase = index.txt\ncrlnumber = crlnumber\ndefault_md = sha256\ndefault_crl_days = 20\ncrl_extensions = crl\n[crl]\nauthorityKeyIdentifier = keyid\n' >crl.cnf
    openssl ca -gencrl -config crl.cnf -keyfile "$1.key" -cert "$1.pem" -out "$1.crl" 2>/dev/null
}
cert root root-ca ca
cert online online-ca ca root
cert local local-ca ca root
cert local-b local-b ca root
cert release release release online
cert line1 line1 manifest online
cert line2 line2 manifest online
cert server localhost server online
for n in 1 2 3 4 5; do cert "d$n" "MX1-00000$n" device local; done
cert b1 BX1-000001 device local-b
cert clone MX1-000001 device local-b
crl root
crl online
cat online.pem root.pem online.crl root.crl >chain.pem
cat root.pem local.pem local-b.pem >ca.pem

# --- documents --------------------------------------------------------------------------------------------------------------
fingerprint() { openssl x509 -in "$1" -outform DER | sha256sum | cut -d ' ' -f 1; }
sed -e "s/^\(trust: *\)\"0\{64\}\"/\1\"$(fingerprint root.pem)\"/" \
    -e "s/^\(release-issuer: *\)\"0\{64\}\"/\1\"$(fingerprint online.pem)\"/" \
    -e "s/^\(manifest-issuer: *\)\"0\{64\}\"/\1\"$(fingerprint online.pem)\"/" "$top/docs/examples/broker.yaml" >config/broker.yaml
expect_code 3 "the example's zeros are refused" keymill-cloud status --target "$top/docs/examples/broker.yaml"
has "$T/err" doc.placeholder
ok "manifest A1" mkdocs manifest line1 chain.pem A1 local.pem d1.pem d2.pem d3.pem d4.pem -d5.pem
ok "manifest B1" mkdocs manifest line1 chain.pem B1 local-b.pem b1.pem
ok "release list 1" mkdocs release release chain.pem R1 1 - local.pem d1.pem d3.pem
ok "release list 2" mkdocs release release chain.pem R2 2 R1 local-b.pem b1.pem
ok "release list 3" mkdocs release release chain.pem R3 3 R2 local.pem d4.pem
ok "a release list of a scrapped device" mkdocs release release chain.pem R1x 1 - local.pem d5.pem
ok "a release list by a station" mkdocs release line1 chain.pem R1y 1 - local.pem d2.pem
ok "revocation list 1" mkdocs revocation release chain.pem V1 1 - local.pem d3.pem
ok "revocation list 2" mkdocs revocation release chain.pem V2 2 V1 local-b.pem
ok "revocation list 3" mkdocs revocation release chain.pem V3 3 V2 local.pem d4.pem
ok "a manifest of line1 that another station signed" mkdocs manifest line2 chain.pem C1 local.pem d1.pem

cloud() {
    verb=$1
    shift
    keymill-cloud "$verb" --target config/broker.yaml "$@"
}
expect_code 5 "nothing is released before it is registered" cloud release R1
has "$T/err" cloud.not-registered
for order in A1 B1; do ok "push $order" cloud push $order-line1.manifest.jsonl --checkpoint $order-line1.checkpoint; done
ok "push again" cloud push A1-line1.manifest.jsonl --checkpoint A1-line1.checkpoint --json
has "$T/out" '"new":false'
expect_code 5 "a station signs for itself alone" cloud push C1-line1.manifest.jsonl --checkpoint C1-line1.checkpoint
has "$T/err" cloud.station
expect_code 5 "a scrapped device is not released" cloud release R1x
has "$T/err" cloud.not-registered
expect_code 5 "a station cannot release" cloud release R1y
has "$T/err" verify.role
expect_code 6 "a gap in the lists is refused" cloud release R2
has "$T/err" cloud.sequence
ok "release 1" cloud release R1
ok "release 2" cloud release R2
ok "status" cloud status --json
has "$T/out" '"registered":5'
has "$T/out" '"released":3'

# --- the broker -------------------------------------------------------------------------------------------------------------
broker_pid=
kids=
broker_stop() {
    for pid in $kids $broker_pid; do kill "$pid" 2>/dev/null || true; done
    for pid in $kids $broker_pid; do wait "$pid" 2>/dev/null || true; done
    kids='' broker_pid=''
}
# shellcheck disable=SC2034
at_end=broker_stop
# A sanitized plugin needs the sanitizer's library in the broker first; what mosquitto itself leaves behind is not our business.
preload=
if nm -D "$KEYMILL_BUILD/lib/keymill/keymill_admission.so" | grep -q __asan_init; then
    preload=$(objdump -p "$KEYMILL_BUILD/lib/keymill/keymill_admission.so" | sed -n 's/^ *NEEDED *\(libasan.*\)/\1/p')
fi
# broker_start TARGET OTHERS: waits until it listens; the port is chosen anew when it is taken.
broker_start() {
    for _ in 1 2 3 4 5 6 7 8 9 10; do
        port=$((20000 + $(od -An -N 2 -tu2 /dev/urandom) % 20000))
        rm -f broker/back.sock
        cat >broker/mosquitto.conf <<CONF
per_listener_settings false
allow_anonymous true
persistence false
user $(id -un)
log_dest file $T/broker/log
log_type all
listener $port 127.0.0.1
cafile $T/ca.pem
certfile $T/server.chain
keyfile $T/server.key
require_certificate true
use_identity_as_username false
# not to be done: the broker does not ask the plugin whether such clients may log in
listener $((port + 1)) 127.0.0.1
cafile $T/ca.pem
certfile $T/server.chain
keyfile $T/server.key
require_certificate true
use_identity_as_username true
listener 0 $T/broker/back.sock
plugin $KEYMILL_BUILD/lib/keymill/keymill_admission.so
plugin_opt_target $1
plugin_opt_others $2
CONF
        LD_PRELOAD=$preload ASAN_OPTIONS=detect_leaks=0 mosquitto -c broker/mosquitto.conf >broker/out 2>&1 &
        broker_pid=$!
        for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30; do
            [ ! -S broker/back.sock ] || break
            kill -0 "$broker_pid" 2>/dev/null || break
            sleep 0.2
        done
        if [ -S broker/back.sock ] && grep -q 'mosquitto version .* running' broker/log; then return 0; fi
        kill "$broker_pid" 2>/dev/null || true
        wait "$broker_pid" 2>/dev/null || true
    done
    cat broker/out broker/log >&2
    exit 1
}
# until_in FILE TEXT: waits up to 10 seconds for it.
until_in() {
    for _ in $(seq 100); do
        if grep -qF -e "$2" "$1" 2>/dev/null; then pass; return; fi
        sleep 0.1
    done
    fail "no '$2' in $(basename "$1") after 10 s: $(tail -n 5 "$1")"
}
until_gone() {
    for _ in $(seq 100); do
        if ! kill -0 "$1" 2>/dev/null; then pass; return; fi
        sleep 0.1
    done
    fail "$2: still there after 10 s"
}
id_of() { openssl x509 -in "$1.pem" -noout -subject -nameopt multiline | sed -n 's/.*commonName *= //p'; }
# tls DEVICE TOOL ARG...: a client with the device's identity. session is the same without end, for the background: it is the client's own process.
as_device() { options="-h localhost -p $port --cafile root.pem --cert $1.chain --key $1.key -q 1 -i $(id_of "$1")/$2"; }
tls() {
    as_device "$1" tls
    tool=$2
    shift 2
    # shellcheck disable=SC2086
    timeout 60 "$tool" $options "$@"
}
session() {
    as_device "$1" "$2"
    shift 2
    # shellcheck disable=SC2086
    exec mosquitto_sub $options -v "$@"
}
admitted() { tls "$1" mosquitto_pub -t "$2" -m "by $1" -V 5; }
back_pub() { mosquitto_pub --unix broker/back.sock -q 1 "$@"; }
# live NAME DEVICE ARG...: a session that stays, with the client id ID/NAME; its output goes to NAME.out, its process to $live.
live() {
    name=$1 device=$2
    shift 2
    session "$device" "$name" -k 5 "$@" >"$name.out" 2>"$name.err" &
    live=$!
    kids="$kids $live"
}

# until_ready NAME TOPIC: publishes there from the back end until the session shows it.
until_ready() {
    for _ in $(seq 50); do
        back_pub -t "$2" -m ready
        if grep -q ready "$1.out"; then pass; return; fi
        sleep 0.1
    done
    fail "session '$1' is not there after 5 s: $(cat "$1.err")"
}

broker_start "$T/config/broker.yaml" allow
until_in broker/log 'keymill: 3 devices admitted'
mosquitto_sub --unix broker/back.sock -t '#' -v >back.out 2>&1 &
kids="$kids $!"
sleep 0.5

ok "a released device publishes to its own topic" admitted d1 devices/MX1-000001/t
until_in back.out 'devices/MX1-000001/t by d1'
turned_away() {
    expect_code 5 "$1" tls "$2" mosquitto_pub -t "devices/$3/t" -m refused
    has "$T/err" 'not authori'
}
turned_away "a device that is not released" d2 MX1-000002
until_in broker/log "device 'MX1-000002', certificate $(fingerprint d2.pem | cut -c 1-16): not on a release list"
turned_away "a scrapped device" d5 MX1-000005
turned_away "a clone of a released device's name" clone MX1-000001
until_in broker/log "device 'MX1-000001', certificate $(fingerprint clone.pem | cut -c 1-16): not on a release list"

# --- topics -----------------------------------------------------------------------------------------------------------------
admitted d1 devices/MX1-000003/foreign >/dev/null 2>&1 || true
admitted d1 devices/MX1-000001 >/dev/null 2>&1 || true
admitted d1 devices/MX1-0000011/foreign >/dev/null 2>&1 || true
admitted d1 foreign/topic >/dev/null 2>&1 || true
for filter in '#' 'devices/#' 'devices/+/cmd' 'devices/MX1-000003/#' '+/MX1-000001/cmd' '$share/g/devices/MX1-000003/#' 'devices/MX1-000001'; do
    tls d1 mosquitto_sub -t "$filter" -W 5 >sub.out 2>&1 || true
    has sub.out 'denied'
done
# a will is published when its device is gone, and only where the device itself may
live willing d1 -t devices/MX1-000001/cmd --will-topic devices/MX1-000003/will --will-payload foreign
willing=$live
live honest d3 -t devices/MX1-000003/cmd --will-topic devices/MX1-000003/will --will-payload own
honest=$live
until_ready honest devices/MX1-000003/cmd
sleep 0.5
kill -9 "$willing" 2>/dev/null || true
kill -9 "$honest"
until_in back.out 'devices/MX1-000003/will own'
lacks back.out foreign
lacks back.out refused

# --- client ids -------------------------------------------------------------------------------------------------------------
live holder d1 -t 'devices/MX1-000001/#'
until_ready holder devices/MX1-000001/cmd
for id in MX1-000001/holder MX1-000001 MX1-0000033 MX1-000003:x MX1-00000 x; do
    expect_code 5 "another's client id: $id" tls d3 mosquitto_pub -i "$id" -t devices/MX1-000003/t -m x
    until_in broker/log "client '$id' is refused: device 'MX1-000003', certificate $(fingerprint d3.pem | cut -c 1-16): its client id is neither"
done
ok "its own: the device id alone" tls d3 mosquitto_pub -i MX1-000003 -t devices/MX1-000003/t -m x
back_pub -t devices/MX1-000001/cmd -m still
until_in holder.out 'devices/MX1-000001/cmd still'

# --- clients that the plugin was not asked about ------------------------------------------------------------------------------
# The broker uses the object of a client that is gone for the next one: it must not have what that one had.
for _ in 1 2 3 4 5; do
    admitted d1 devices/MX1-000001/t
    tls d2 mosquitto_pub -p $((port + 1)) -t devices/MX1-000001/t -m stolen >/dev/null 2>&1 || true
done
admitted d1 devices/MX1-000001/last
until_in back.out 'devices/MX1-000001/last by d1'
lacks back.out stolen

# --- sleeping devices -------------------------------------------------------------------------------------------------------
tls d3 mosquitto_sub -i MX1-000003/sleeper -c -t devices/MX1-000003/cmd -E
back_pub -t devices/MX1-000003/cmd -m queued
tls d3 mosquitto_sub -i MX1-000003/sleeper -c -t devices/MX1-000003/cmd -C 1 -W 10 >sleeper.out 2>&1 || true
has sleeper.out queued

# --- revocation -------------------------------------------------------------------------------------------------------------
live doomed d3 -t devices/MX1-000003/cmd --will-topic devices/MX1-000003/last --will-payload words
doomed=$live
live doomed-b b1 -t devices/BX1-000001/cmd
doomed_b=$live
until_ready doomed devices/MX1-000003/cmd
until_ready doomed-b devices/BX1-000001/cmd
ok "revocation list 1" cloud revoke V1
until_in broker/log "client 'MX1-000003/doomed' of device 'MX1-000003' is dropped"
until_gone "$doomed" "the revoked device's live session ends"
if kill -0 "$doomed_b" 2>/dev/null; then pass; else fail "a device that was not revoked is dropped too"; fi
turned_away "a revoked device" d3 MX1-000003
until_in broker/log "certificate $(fingerprint d3.pem | cut -c 1-16): revoked"
lacks back.out words
ok "revocation list 2, a whole CA" cloud revoke V2
until_gone "$doomed_b" "a revoked CA's device's live session ends"
turned_away "a device of a revoked CA" b1 BX1-000001
turned_away "the clone, whose CA is revoked" clone MX1-000001
ok "the others go on" admitted d1 devices/MX1-000001/t2
back_pub -t devices/MX1-000001/cmd -m after
until_in holder.out 'devices/MX1-000001/cmd after'

ok "status after a device and a CA were revoked" cloud status --json
has "$T/out" '"released":1,"revoked":2,"revoked_issuers":1'

# --- a list that is none ----------------------------------------------------------------------------------------------------
cp R1y broker/devices/release/000003.release
until_in broker/log 'THAT RELEASE LIST AND THOSE BEHIND IT ARE NOT BELIEVED'
ok "a bad list changes nothing" admitted d1 devices/MX1-000001/t3
expect_code 5 "the list that is in the way is named" cloud release R3
has "$T/err" '000003.release'
rm broker/devices/release/000003.release
ok "release 3 while the broker runs" cloud release R3
until_in broker/log 'keymill: 2 devices admitted; 2 devices and 1 issuers revoked (release list 3, revocation list 2)'
ok "a device released meanwhile is let in" admitted d4 devices/MX1-000004/t
until_in back.out 'devices/MX1-000004/t by d4'

# --- a bad revocation list while it runs ------------------------------------------------------------------------------------
cp R1y broker/devices/revocation/000003.revocation
until_in broker/log 'NOBODY NEW IS ADMITTED'
ok "who was admitted stays" admitted d1 devices/MX1-000001/t4
rm broker/devices/revocation/000003.revocation
broker_stop

# --- another start, with files that do not belong there ---------------------------------------------------------------------
: >broker/devices/release/999999.release
: >broker/devices/release/notes.txt
rm broker/log
broker_start "$T/config/broker.yaml" defer
until_in broker/log "000004.release' is missing"
until_in broker/log 'keymill: 2 devices admitted'
until_in broker/log "notes.txt' is ignored"
ok "an empty release list far ahead shuts nobody out" admitted d4 devices/MX1-000004/t
ok "status names it" cloud status
has "$T/out" '000004.release'
ok "nor does it hold a revocation up" cloud revoke V3
until_in broker/log 'keymill: 1 devices admitted'
turned_away "a device revoked meanwhile" d4 MX1-000004
rm broker/devices/release/999999.release
broker_stop

# --- and with a bad revocation list -----------------------------------------------------------------------------------------
rm broker/log
cp R1y broker/devices/revocation/000004.revocation
broker_start "$T/config/broker.yaml" defer
until_in broker/log 'NO DEVICE IS ADMITTED'
turned_away "nobody is let in when revocations are bad at the start" d1 MX1-000001
expect_code 5 "status says so" cloud status
rm broker/devices/revocation/000004.revocation
until_in broker/log 'keymill: 1 devices admitted'
ok "and all are when they are good again" admitted d1 devices/MX1-000001/t
expect_code 0 "others are deferred by default" mosquitto_pub --unix broker/back.sock -q 1 -V 5 -t devices/MX1-000001/cmd -m x
has "$T/err" 'Not authorized'
if kill -0 "$broker_pid" 2>/dev/null; then pass; else fail "the broker is gone"; fi
broker_stop
lacks broker/out Sanitizer
end
