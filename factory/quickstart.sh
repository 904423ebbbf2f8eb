#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# quickstart.sh [--dir DIR] [--devices N]: the whole story on this machine, for real: tokens, ceremony, three CAs, an order, a sealed batch, the line,
# the manifest, the broker, and mutual TLS logins by the devices. Results stay in DIR (default ./quickstart-out). Run again, it finds each step done.
set -eu
umask 077

here=$(cd "$(dirname "$0")/.." && pwd)
dir=quickstart-out
devices=1000
while [ $# -gt 0 ]; do
    case $1 in
    --dir) dir=${2:?--dir needs a folder}; shift 2 ;;
    --devices) devices=${2:?--devices needs a number}; shift 2 ;;
    -h | --help) sed -n '3,4s/^# //p' "$0"; exit 0 ;;
    *) echo "quickstart: unknown argument '$1' (see -h)" >&2; exit 2 ;;
    esac
done
case $devices in
'' | *[!0-9]*) echo "quickstart: --devices: a number is required" >&2; exit 2 ;;
esac
if [ "$devices" -lt 5 ] || [ "$devices" -gt 50000 ]; then
    echo "quickstart: --devices: from 5 to 50000" >&2
    exit 2
fi

# --- what the machine needs, and the build ------------------------------------------------------------------------------------------
"$here/cmake/packages.sh" build run
build=${KEYMILL_BUILD:-$here/build/release}
if [ -z "${KEYMILL_BUILD:-}" ]; then
    echo "building keymill in $build"
    cmake -S "$here" -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=Release -DBUILD_TESTING=OFF >"$build.log" 2>&1 ||
        { mkdir -p "$build"; cmake -S "$here" -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=Release -DBUILD_TESTING=OFF; }
    ninja -C "$build" >"$build.log" 2>&1 || { tail -n 30 "$build.log" >&2; exit 1; }
fi
PATH=$build/bin:/usr/sbin:$PATH
export PATH
started=$(date +%s)

mkdir -p "$dir"
dir=$(cd "$dir" && pwd)
cd "$dir"
mkdir -p config token/tokens pki ca broker/log devices release log

# --- small helpers ------------------------------------------------------------------------------------------------------------------
say() { printf '%s\n' "$*"; }
part() { printf '\n== %s\n' "$*"; }
die() { echo "quickstart: $*" >&2; exit 1; }
# run TEXT COMMAND...: a step; its output goes to log/steps.log and is shown when it fails.
run() {
    text=$1
    shift
    printf '   %-62s' "$text"
    if "$@" >log/last.log 2>&1; then
        cat log/last.log >>log/steps.log
        say "ok"
    else
        code=$?
        say "FAILED ($code)"
        cat log/last.log >&2
        die "'$*' ended with $code"
    fi
}
fingerprint() { openssl x509 -in "$1" -outform DER | sha256sum | cut -d ' ' -f 1; }
serial() { openssl x509 -in "$1" -noout -serial | cut -d = -f 2 | tr 'A-F' 'a-f'; }
# config NAME [KEY=FILE...]: a copy of the example with the fingerprints of certificates filled in.
config() {
    from=$here/docs/examples/$1
    to=config/$1
    shift
    [ -f "$to" ] && return 0
    cp "$from" "$to.new"
    for pair in "$@"; do
        key=${pair%%=*}
        sed -i "s/^\( *$key: *\)\"0\{64\}\"/\1\"$(fingerprint "${pair#*=}")\"/" "$to.new"
    done
    mv "$to.new" "$to"
}

# --- tokens -------------------------------------------------------------------------------------------------------------------------
part "Tokens (SoftHSM2 here, your HSM in production)"
if [ ! -f token/pin ]; then
    od -An -N 8 -tu8 /dev/urandom | tr -d ' \n' >token/pin.new
    mv token/pin.new token/pin
    od -An -N 8 -tu8 /dev/urandom | tr -d ' \n' >token/so-pin.new
    mv token/so-pin.new token/so-pin
fi
printf 'directories.tokendir = %s\nobjectstore.backend = file\nlog.level = ERROR\n' "$dir/token/tokens" >token/softhsm2.conf
cat >env.sh <<ENV
# Source this to try commands by hand:  . $dir/env.sh   (it also changes to that folder)
export PATH="$build/bin:\$PATH"
export SOFTHSM2_CONF="$dir/token/softhsm2.conf"
export KEYMILL_PKCS11_MODULE="${KEYMILL_PKCS11_MODULE:-/usr/lib/softhsm/libsofthsm2.so}"
export KEYMILL_ROOT_PIN="$dir/token/pin"
export KEYMILL_ONLINE_PIN="$dir/token/pin"
export KEYMILL_LOCAL_PIN="$dir/token/pin"
export KEYMILL_LOCAL_B_PIN="$dir/token/pin"
export KEYMILL_OFFICE_PIN="$dir/token/pin"
export KEYMILL_STATION_PIN="$dir/token/pin"
cd "$dir"
ENV
# shellcheck disable=SC1091
. ./env.sh
for token in root-ca online-ca local-ca local-b office line7; do
    if keymill-hsm list --json | grep -q "\"label\":\"$token\""; then
        printf '   %-62s%s\n' "token $token" "there already"
    else
        run "token $token" keymill-hsm init --label $token --so-pin-source file:token/so-pin --pin-source file:token/pin
    fi
done

# --- the ceremony: root, sub-CAs, first CRLs ------------------------------------------------------------------------------------------
part "Ceremony: root, online CA, two local CAs"
config root.yaml
run "root CA: key on the token, self-signed certificate" keymill-ca init --home ca/root --config config/root.yaml
[ -f pki/root.pem ] || cp ca/root/cert.pem pki/root.pem
# sub NAME PROFILE CONFIG
sub() {
    config "$3" trust=pki/root.pem
    [ ! -f "ca/$1/cert.pem" ] || { printf '   %-62s%s\n' "$1" "there already"; return 0; }
    run "$1: key on the token, request" keymill-ca request --home "ca/$1" --config "config/$3" --out "pki/$1.csr"
    run "$1: signed by the root" keymill-ca sign-ca --home ca/root --csr "pki/$1.csr" --profile "$2" --out "pki/$1.pem"
    run "$1: certificate taken into its home" keymill-ca import --home "ca/$1" --cert "pki/$1.pem" --chain pki/root.pem
}
sub online-ca online-ca online.yaml
sub local-ca local-ca local.yaml
sub local-b local-ca local-b.yaml
if [ ! -f pki/chain.pem ]; then
    for name in root online-ca local-ca local-b; do
        run "first CRL of $name" keymill-ca crl --home "ca/$name" --out "pki/$name.crl"
    done
    # What an office or a station needs to prove who it is: the issuer, the root, and both CRLs.
    cat pki/online-ca.pem pki/root.pem pki/online-ca.crl pki/root.crl >pki/chain.new
    mv pki/chain.new pki/chain.pem
fi

# --- office and station: keys, requests, certificates ---------------------------------------------------------------------------------
part "Office and station line7: keys on their tokens, certificates from the online CA"
config office.yaml trust=pki/root.pem station-issuer=pki/online-ca.pem
run "office: three keys, two requests" keymill-office init --home office --config config/office.yaml
run "office: order certificate" keymill-ca issue --home ca/online-ca --csr office/order.csr --profile office --out pki/office.pem
run "office: release certificate" keymill-ca issue --home ca/online-ca --csr office/release.csr --profile release --out pki/release.pem
run "office: takes the order certificate" keymill-office import --home office --cert pki/office.pem --chain pki/chain.pem
run "office: takes the release certificate" keymill-office import --home office --cert pki/release.pem --chain pki/chain.pem

config station.yaml trust=pki/root.pem order-issuer=pki/online-ca.pem
run "line7: two keys, request" keymill-station init --home line7 --config config/station.yaml
run "line7: manifest certificate" keymill-ca issue --home ca/online-ca --csr line7/manifest.csr --profile station-manifest --out pki/line7-manifest.pem
run "line7: takes it, and signs the seal key's request" keymill-station import --home line7 --cert pki/line7-manifest.pem --chain pki/chain.pem
run "line7: seal certificate" keymill-ca issue --home ca/online-ca --csr line7/seal.csr --profile station-seal --out pki/line7-seal.pem
run "line7: takes the seal certificate" keymill-station import --home line7 --cert pki/line7-seal.pem --chain pki/chain.pem

# --- orders and batches -----------------------------------------------------------------------------------------------------------------
part "Orders A1 ($devices devices, local-ca) and B1 (2 devices, local-b); sealed batches"
if [ -f config/order.yaml ]; then
    made=$(sed -n 's/^ *quantity: *\([0-9]*\).*/\1/p' config/order.yaml)
    [ "$made" = "$devices" ] || die "'$dir' was made with --devices $made; say so, or take another --dir"
fi
[ -f config/order.yaml ] || sed "s/^\( *\(quantity\|count\): *\)1000\b/\1$devices/" "$here/docs/examples/order.yaml" >config/order.yaml
config order-b.yaml
for order in A1 B1; do
    spec=config/order.yaml ca=ca/local-ca
    [ $order = A1 ] || { spec=config/order-b.yaml ca=ca/local-b; }
    run "order $order: signed by the office" keymill-office order new --home office --spec $spec --out $order.order
    run "batch $order: keys, certificates, sealed for line7" keymill-office batch make --home office --ca $ca --order $order.order --out $order.batch
done

# --- the line ---------------------------------------------------------------------------------------------------------------------------
part "The line, offline: one device at a time"
# take ORDER: opens the next device into line/current; its id goes to \$id.
take() {
    rm -rf line-now
    keymill-station next --home line7 --order "$1" --out line-now >>log/line.log 2>&1 || { tail -n 3 log/line.log >&2; die "next failed"; }
    id=$(sed -n 's/.*"id":"\([^"]*\)".*/\1/p' line-now/device.json)
}
keep() { [ -d "devices/$1" ] || cp -r line-now "devices/$1"; }
good() { keymill-station good --home line7 --id "$id" >>log/line.log 2>&1 || die "good failed"; }
for order in A1 B1; do
    [ -f $order.manifest.jsonl ] && { printf '   %-62s%s\n' "order $order" "closed already"; continue; }
    run "line7 accepts order $order" keymill-station accept --home line7 $order.order
    run "line7 accepts batch $order" keymill-station accept --home line7 $order.batch
    touch "log/$order.ids"
    n=$(wc -l <"log/$order.ids")
    [ $order = A1 ] && want=$devices || want=2
    while [ "$n" -lt "$want" ]; do
        n=$((n + 1))
        take $order
        case $order$n in
        A11) keep released; good ;;
        A12) keep unreleased; good ;;
        A13) keep revoked; good ;;
        A14) keymill-station scrap --home line7 --id "$id" --reason "solder fault" >>log/line.log 2>&1 || die "scrap failed" ;;
        B11) keep local-b; good ;;
        *) good ;;
        esac
        echo "$id" >>"log/$order.ids"
        [ $((n % 250)) != 0 ] || say "   $n of $want devices of $order made"
    done
    rm -rf line-now
    run "line7 closes order $order: manifest and checkpoint" keymill-station close --home line7 --order $order --out .
done

# --- headquarters again -----------------------------------------------------------------------------------------------------------------
part "Headquarters: manifests in, reconciled; release and revocation lists"
for order in A1 B1; do
    run "manifest $order verified" keymill-office manifest verify $order.manifest.jsonl --checkpoint $order.checkpoint --trust pki/root.pem
    run "manifest $order into the inventory" keymill-office ingest --home office $order.manifest.jsonl --checkpoint $order.checkpoint
done
sed -n '1p' log/A1.ids >release/one.ids
sed -n '2p' log/A1.ids >release/held-back.ids
sed -n '3p' log/A1.ids >release/bad.ids
sed -e '2d' -e '4d' log/A1.ids >release/A1.ids
sed -n '1p' log/B1.ids >release/B1.ids
run "release list 1: A1 but the one held back" keymill-office release --home office --ids release/A1.ids --out release/R1.release
run "release list 2: one device of B1" keymill-office release --home office --ids release/B1.ids --out release/R2.release

# --- the broker -------------------------------------------------------------------------------------------------------------------------
part "The cloud: a self-hosted MQTT broker with the admission plugin"
if [ ! -f broker/server.key ]; then
    openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout broker/server.key.new -subj "/CN=localhost" \
        -addext "subjectAltName=DNS:localhost,IP:127.0.0.1" -out broker/server.csr 2>log/last.log
    mv broker/server.key.new broker/server.key
fi
run "broker's server certificate" keymill-ca issue --home ca/online-ca --csr broker/server.csr --profile server --out broker/server.pem
cat broker/server.pem pki/online-ca.pem >broker/server-chain.pem
# TLS trusts both local CAs: whoever is refused is refused by the plugin.
cat pki/root.pem pki/local-ca.pem pki/local-b.pem >broker/ca.pem
config broker.yaml trust=pki/root.pem release-issuer=pki/online-ca.pem manifest-issuer=pki/online-ca.pem
for order in A1 B1; do
    run "push $order: registered, asleep" keymill-cloud push --target config/broker.yaml $order.manifest.jsonl --checkpoint $order.checkpoint
done
run "release list 1: awake" keymill-cloud release --target config/broker.yaml release/R1.release
run "release list 2: awake" keymill-cloud release --target config/broker.yaml release/R2.release

# A clone: local-b, gone bad, certifies its own key under the released device's name.
released_id=$(cat release/one.ids)
if [ ! -d devices/clone ]; then
    mkdir -p devices/clone.new
    openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout devices/clone.new/key.pem -subj "/CN=$released_id" -out devices/clone.new/clone.csr 2>log/last.log
    run "a clone of $released_id under local-b" keymill-ca issue --home ca/local-b --csr devices/clone.new/clone.csr --profile device --id "$released_id" --days 365 --out devices/clone.new/cert.pem
    cat devices/clone.new/cert.pem pki/local-b.pem >devices/clone.new/chain.pem
    mv devices/clone.new devices/clone
fi

broker_pid=
stop_broker() {
    [ -z "$broker_pid" ] || kill "$broker_pid" 2>/dev/null || true
    [ -z "$broker_pid" ] || wait "$broker_pid" 2>/dev/null || true
    broker_pid=
}
trap stop_broker EXIT
trap 'exit 130' INT TERM
start_broker() {
    tries=0
    while [ $tries -lt 20 ]; do
        tries=$((tries + 1))
        port=$((20000 + ($(od -An -N 2 -tu2 /dev/urandom) % 20000)))
        rm -f broker/backend.sock
        cat >broker/mosquitto.conf <<CONF
# Written by quickstart.sh. Devices: mutual TLS, admitted by the plugin. Back end: a Unix socket, guarded by its folder's mode.
per_listener_settings false
allow_anonymous true
persistence false
log_dest file $dir/broker/log/mosquitto.log
log_type all
user $(id -un)
listener $port 127.0.0.1
cafile $dir/broker/ca.pem
certfile $dir/broker/server-chain.pem
keyfile $dir/broker/server.key
require_certificate true
use_identity_as_username false
listener 0 $dir/broker/backend.sock
plugin $build/lib/keymill/keymill_admission.so
plugin_opt_target $dir/config/broker.yaml
plugin_opt_others allow
CONF
        "${KEYMILL_BROKER:-mosquitto}" -c broker/mosquitto.conf >>log/broker.log 2>&1 &
        broker_pid=$!
        waited=0
        while [ $waited -lt 50 ] && kill -0 "$broker_pid" 2>/dev/null; do
            if mosquitto_pub --unix broker/backend.sock -t ready -m x 2>/dev/null; then
                echo "$port" >broker/port
                return 0
            fi
            sleep 0.1
            waited=$((waited + 1))
        done
        stop_broker
    done
    tail -n 5 log/broker.log broker/log/mosquitto.log >&2
    die "mosquitto did not start"
}
start_broker
say "   mosquitto with keymill_admission.so: listening on 127.0.0.1:$port"

# as DEVICE TOOL NAME ARG...: a mosquitto client with the device's identity; its client id is "<device id>/NAME".
as() {
    who=$1
    tool=$2
    if [ "$who" = clone ]; then client=$released_id/$3; else client=$(id_of "$who")/$3; fi
    shift 3
    timeout 60 "$tool" -h localhost -p "$port" --cafile pki/root.pem --cert "devices/$who/chain.pem" --key "devices/$who/key.pem" -i "$client" -q 1 "$@"
}
failures=0
verdict() { # TEXT ok|bad
    if [ "$2" = ok ]; then say "   [ok]   $1"; else say "   [FAIL] $1"; failures=$((failures + 1)); fi
}
admitted() { as "$1" mosquitto_pub "$1-$$" -t "devices/$2/telemetry" -m "hello from $1" 2>log/client.log; }
refused() { ! admitted "$1" "$2" && grep -qi 'not authori[sz]ed' log/client.log; }
id_of() { sed -n 's/.*"id":"\([^"]*\)".*/\1/p' "devices/$1/device.json"; }
# drops DEVICE LIST: a live session of the device ends when the list arrives.
drops() {
    : >log/live.out
    as "$1" mosquitto_sub "$1-live" -k 5 -t "devices/$(id_of "$1")/cmd" >log/live.out 2>log/live.err &
    live=$!
    waited=0
    while [ $waited -lt 100 ]; do
        mosquitto_pub --unix broker/backend.sock -t "devices/$(id_of "$1")/cmd" -m ping
        grep -q ping log/live.out && break
        sleep 0.1
        waited=$((waited + 1))
    done
    grep -q ping log/live.out || { kill $live 2>/dev/null; return 1; }
    keymill-cloud revoke --target config/broker.yaml "$2" >>log/steps.log 2>&1 || return 1
    waited=0
    while [ $waited -lt 200 ] && kill -0 $live 2>/dev/null; do
        sleep 0.1
        waited=$((waited + 1))
    done
    if kill -0 $live 2>/dev/null; then kill $live; return 1; fi
    wait $live || true
    return 0
}

part "Logins over mutual TLS on 127.0.0.1:$port"
mosquitto_sub --unix broker/backend.sock -t 'devices/#' -v >log/backend.out 2>&1 &
backend=$!
sleep 0.5
if admitted released "$released_id"; then verdict "released device $released_id logs in and publishes" ok; else verdict "released device logs in" bad; fi
admitted released "someone-else" || true
sleep 1
kill $backend 2>/dev/null || true
wait $backend 2>/dev/null || true
if grep -q "devices/$released_id/telemetry hello" log/backend.out; then verdict "the back end sees it on devices/$released_id/telemetry" ok; else verdict "the back end sees its message" bad; fi
if ! grep -q "devices/someone-else" log/backend.out; then verdict "what it publishes to another's topic reaches nobody" ok; else verdict "another's topic is closed to it" bad; fi
if refused unreleased "$(id_of unreleased)"; then verdict "the device held back $(id_of unreleased) is refused" ok; else verdict "unreleased device is refused" bad; fi

run "revocation list 1: one device" keymill-office revoke --home office --ids release/bad.ids --reason keyCompromise --out release/V1.revocation
run "revocation at the root: local-b" keymill-ca revoke --home ca/root --serial "$(serial pki/local-b.pem)" --reason cACompromise
run "revocation list 2: all of local-b" keymill-office revoke --home office --issuer pki/local-b.pem --reason cACompromise --out release/V2.revocation
if [ ! -f log/root-crl-with-local-b ]; then
    run "the root's CRL, with local-b on it" keymill-ca crl --home ca/root --out pki/root.crl
    touch log/root-crl-with-local-b
fi
if [ ! -f log/dropped-revoked ]; then
    if admitted revoked "$(id_of revoked)"; then verdict "device $(id_of revoked) logs in before it is revoked" ok; else verdict "device to be revoked logs in first" bad; fi
    if drops revoked release/V1.revocation; then verdict "revoked: its live session drops" ok; touch log/dropped-revoked; else verdict "revoked: its live session drops" bad; fi
    if admitted local-b "$(id_of local-b)"; then verdict "device $(id_of local-b) of local-b logs in before local-b is revoked" ok; else verdict "device of local-b logs in first" bad; fi
    if drops local-b release/V2.revocation; then verdict "local-b revoked: its device's live session drops" ok; else verdict "local-b revoked: live session drops" bad; fi
fi
if refused revoked "$(id_of revoked)"; then verdict "the revoked device $(id_of revoked) is refused" ok; else verdict "revoked device is refused" bad; fi
if refused local-b "$(id_of local-b)"; then verdict "the device under the revoked local-b $(id_of local-b) is refused" ok; else verdict "device under local-b is refused" bad; fi
if refused clone "$released_id"; then verdict "the clone of $released_id under local-b is refused" ok; else verdict "the clone is refused" bad; fi
if admitted released "$released_id"; then verdict "the released device still logs in" ok; else verdict "the released device still logs in" bad; fi
stop_broker

# --- proof by programs that are not ours ------------------------------------------------------------------------------------------------
part "Checked with openssl and sha256sum"
check() {
    text=$1
    shift
    if "$@" >log/last.log 2>&1; then verdict "$text" ok; else verdict "$text" bad; cat log/last.log >&2; fi
}
check "device chain: openssl verify -x509_strict" openssl verify -x509_strict -CAfile pki/root.pem -untrusted pki/local-ca.pem devices/released/cert.pem
check "order A1: openssl cms -verify" openssl cms -verify -purpose any -inform DER -in A1.order -CAfile pki/root.pem -out log/A1.order.json
check "checkpoint A1: openssl cms -verify" openssl cms -verify -purpose any -inform DER -in A1.checkpoint -CAfile pki/root.pem -out log/A1.checkpoint.json
check "the checkpoint names the manifest's SHA-256" grep -q "$(sha256sum <A1.manifest.jsonl | cut -d ' ' -f 1)" log/A1.checkpoint.json

part "Summary"
good=$(grep -c '"state":"good"' A1.manifest.jsonl || true)
scrapped=$(grep -c '"state":"scrapped"' A1.manifest.jsonl || true)
say "   order A1: $devices ordered, $good good, $scrapped scrapped; released: $(wc -l <release/A1.ids)"
keymill-cloud status --target config/broker.yaml | sed 's/^/   /'
say "   time: $(($(date +%s) - started)) s after packages and build"
say "   look at:   $dir"
say "     pki/                 certificates and CRLs            devices/   identities: released, unreleased, revoked, local-b, clone"
say "     A1.order             what the office ordered          A1.batch/  sealed for line7 (one key per lot, one envelope per device)"
say "     A1.manifest.jsonl    every serial and its fate        A1.checkpoint  the station's signature over all of it"
say "   try by hand: . $dir/env.sh; keymill-ca list --home ca/online-ca"
if [ "$failures" != 0 ]; then
    say "   $failures verdicts are wrong"
    exit 1
fi
say "   every verdict is as it should be"
