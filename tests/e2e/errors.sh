#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# What goes wrong on a real line: each with its exit code, a text that says what to do, and nothing changed.
. "$(dirname "$0")/../support/sh.sh"
cd "$T" || exit 1
ok "a small story to stand on" "$top/factory/quickstart.sh" --dir "$T/story" --devices 5
cd "$T/story" || exit 1
# shellcheck disable=SC1091
. ./env.sh
mkdir -p "$T/small" "$T/ro"
at_end=unmount
unmount() { umount "$T/small" 2>/dev/null; umount "$T/ro" 2>/dev/null; return 0; }

# Two orders of two devices each.
for i in 1 2; do
    sed -e "s/^order: .*/order: C$i/" -e 's/^\( *\(quantity\|count\): *\)[0-9]*/\12/' -e "s/prefix: .*/prefix: \"MC$i-\"/" -e "s/^\( *-\{0,1\} *sequence: *\)[0-9]*/\1$((i + 2))/" config/order.yaml >config/c$i.yaml
    ok "order C$i" keymill-office order new --home office --spec config/c$i.yaml --out C$i.order
    ok "batch C$i" keymill-office batch make --home office --ca ca/local-ca --order C$i.order --out C$i.batch
done
journal() { sha256sum <line7/journal.jsonl; }
# unchanged NAME: the station's journal is as it was in $before.
unchanged() { same "$1: nothing recorded" "$(journal)" "$before"; }
before=$(journal)

# --- another station, an older order, broken orders ---
sed -e 's/line7/line8/g' config/station.yaml >config/line8.yaml
ok "token line8" keymill-hsm init --label line8 --so-pin-source file:token/so-pin --pin-source file:token/pin
ok "line8" keymill-station init --home line8 --config config/line8.yaml
ok "line8 manifest" keymill-ca issue --home ca/online-ca --csr line8/manifest.csr --profile station-manifest --out pki/line8-manifest.pem
ok "line8 import" keymill-station import --home line8 --cert pki/line8-manifest.pem --chain pki/chain.pem
ok "line8 seal" keymill-ca issue --home ca/online-ca --csr line8/seal.csr --profile station-seal --out pki/line8-seal.pem
ok "line8 import" keymill-station import --home line8 --cert pki/line8-seal.pem --chain pki/chain.pem
refused 5 order.station "an order for another station" keymill-station accept --home line8 A1.order
head -c 700 C2.order >cut.order
refused 3 sign.cms "a truncated order" keymill-station accept --home line7 cut.order
{ cat C2.order; printf x; } >long.order
refused 3 sign.cms "an order with octets behind it" keymill-station accept --home line7 long.order
: >empty.order
expect_code 3 "an empty order" keymill-station accept --home line7 empty.order
expect_code 1 "no such file" keymill-station accept --home line7 nowhere.order
unchanged "bad orders"
refused 5 order.expired "an order whose window is over" faketime '+400 days' keymill-station accept --home line7 C2.order
refused 6 station.clock "a clock before the order" faketime '-2 days' keymill-station accept --home line7 C2.order
unchanged "wrong clocks"
ok "the newer order" keymill-station accept --home line7 C2.order
refused 5 order.sequence "the older one after it" keymill-station accept --home line7 C1.order
ok "the newer order again" keymill-station accept --home line7 C2.order
refused 6 station.no-batch "next without a batch" keymill-station next --home line7 --order C2 --out dev
refused 6 station.no-order "the batch of an order that is not there" keymill-station accept --home line7 C1.batch
cp -r C2.batch bad.batch
sed -i '1s/MC2-/MC3-/' bad.batch/devices.jsonl
expect_code 3 "a batch with a changed line" keymill-station accept --home line7 bad.batch
ok "the batch" keymill-station accept --home line7 C2.batch

# --- token and PIN ---
before=$(journal)
printf '000000' >wrong.pin
chmod 600 wrong.pin
KEYMILL_STATION_PIN=$PWD/wrong.pin refused 4 hsm.pin-incorrect "a wrong PIN" keymill-station next --home line7 --order C2 --out dev
lacks "$T/err" 000000
chmod 644 wrong.pin
KEYMILL_STATION_PIN=$PWD/wrong.pin refused 4 hsm.pin-file "a PIN file that others may read" keymill-station next --home line7 --order C2 --out dev
mkdir -p empty-tokens
printf 'directories.tokendir = %s\n' "$PWD/empty-tokens" >empty.conf
SOFTHSM2_CONF=$PWD/empty.conf expect_code 4 "no token" keymill-station next --home line7 --order C2 --out dev
has "$T/err" line7
KEYMILL_PKCS11_MODULE=/nowhere.so expect_code 4 "no module" keymill-station next --home line7 --order C2 --out dev
unchanged "token and PIN"
[ ! -e dev/key.pem ] && pass || fail "a key was written"

# --- folders and disks ---
mount -t tmpfs -o size=64k tmpfs "$T/ro" && mount -o remount,ro "$T/ro"
expect_code 1 "a read-only folder" keymill-station next --home line7 --order C2 --out "$T/ro"
expect_code 1 "a folder inside it" keymill-station next --home line7 --order C2 --out "$T/ro/dev"
unchanged "read-only folder"
mount -t tmpfs -o size=16k tmpfs "$T/small"
mkdir "$T/small/dev"
dd if=/dev/zero of="$T/small/fill" bs=1k count=64 2>/dev/null
expect_code 1 "a full disk" keymill-station next --home line7 --order C2 --out "$T/small/dev"
has "$T/err" "--id MC2-000001"
[ ! -e "$T/small/dev/key.pem" ] && pass || fail "half a device was written"
rm "$T/small/fill"
ok "room again: the same device" keymill-station next --home line7 --order C2 --out "$T/one" --id MC2-000001
umount "$T/small"
mount -t tmpfs -o size=3m tmpfs "$T/small"
cp -r line7 "$T/small/line7"
before=$(sha256sum <"$T/small/line7/journal.jsonl")
dd if=/dev/zero of="$T/small/fill" bs=1k count=4096 2>/dev/null
# The last page of the journal may have room; the disk is full for good when it does not.
size=$(stat -c %s "$T/small/line7/journal.jsonl")
if [ $((4096 - size % 4096)) -gt 200 ]; then
    head -c $((4096 - size % 4096)) /dev/zero >>"$T/pad"
fi
code=0
for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22; do
    keymill-station scrap --home "$T/small/line7" --id MC2-000002 --reason "full disk $i" >"$T/out" 2>"$T/err" || { code=$?; break; }
    keymill-station scrap --home "$T/small/line7" --id MC2-000001 >"$T/out" 2>"$T/err" || { code=$?; break; }
    break
done
if [ $code = 1 ]; then same "journal on a full disk: nothing recorded" "$(sha256sum <"$T/small/line7/journal.jsonl")" "$before"; else
    # There was room in the journal's last page: then it was recorded, whole.
    same "journal in its last free octets" "$code" 0
fi
mkdir -p "$T/small/story"
expect_code 1 "an office on a full disk" keymill-office order new --home office --spec config/c1.yaml --out "$T/small/story/C1.order"
umount "$T/small"

# --- quantity, order of things ---
refused 6 station.out-used "a folder that holds another device" keymill-station next --home line7 --order C2 --out "$T/one"
ok "the second device" keymill-station next --home line7 --order C2 --out "$T/two"
refused 5 station.quantity "one more than ordered" keymill-station next --home line7 --order C2 --out "$T/three"
[ ! -e "$T/three/key.pem" ] && pass || fail "a third key was written"
refused 6 station.unfinished "close with unfinished devices" keymill-station close --home line7 --order C2 --out "$T/closed"
ok "good" keymill-station good --home line7 --id MC2-000001
ok "good again" keymill-station good --home line7 --id MC2-000001
refused 6 station.finished "good, then scrap" keymill-station scrap --home line7 --id MC2-000001
refused 6 station.finished "next --id of a finished device" keymill-station next --home line7 --order C2 --out "$T/again" --id MC2-000001
refused 3 station.no-id "an id of nobody" keymill-station good --home line7 --id MC2-000099
ok "scrap" keymill-station scrap --home line7 --id MC2-000002 --reason "fell down"
ok "close" keymill-station close --home line7 --order C2 --out "$T/closed"
cp -r "$T/closed" "$T/closed-before"
ok "close again" keymill-station close --home line7 --order C2 --out "$T/closed"
ok "the same files" diff -r "$T/closed-before" "$T/closed"
refused 6 station.closed "next after close" keymill-station next --home line7 --order C2 --out "$T/late"

# --- headquarters ---
sed '3d' "$T/closed/C2.manifest.jsonl" >"$T/cut.jsonl"
expect_code 3 "a manifest without one line" keymill-office ingest --home office "$T/cut.jsonl" --checkpoint "$T/closed/C2.checkpoint"
ok "the manifest" keymill-office ingest --home office "$T/closed/C2.manifest.jsonl" --checkpoint "$T/closed/C2.checkpoint"
echo MC2-000002 >scrapped.ids
refused 5 office.not-good "releasing a scrapped device" keymill-office release --home office --ids scrapped.ids --out bad.release
[ ! -e bad.release ] && pass || fail "a release list was written"
expect_code 6 "another order under the same id" sh -c 'sed "s/^product: .*/product: other/" config/order.yaml >config/x.yaml; keymill-office order new --home office --spec config/x.yaml --out X.order'
expect_code 6 "ids that another order has" sh -c 'sed -e "s/^order: .*/order: D1/" -e "s/^\( *-\{0,1\} *sequence: *\)[0-9]*/\19/" config/order.yaml >config/x.yaml; keymill-office order new --home office --spec config/x.yaml --out X.order'
expect_code 5 "a batch from the wrong CA" keymill-office batch make --home office --ca ca/local-b --order C1.order --out X.batch
expect_code 2 "a batch without workers" keymill-office batch make --home office --ca ca/local-ca --order C1.order --out X.batch --workers 0
expect_code 3 "a key that is not in the specification" sh -c 'sed "s/^product:/produkt:/" config/c1.yaml >config/x.yaml; keymill-office order new --home office --spec config/x.yaml --out X.order'
has "$T/err" "config/x.yaml:"

# --- the command line ---
expect_code 2 "an unknown option" keymill-station next --hom line7
expect_code 2 "a missing option" keymill-station next --home line7
expect_code 2 "an unknown verb" keymill-station nxt
expect_code 6 "no home" keymill-station good --home nowhere --id x
keymill-station good --home line7 --id MC2-000099 --json >"$T/out" 2>"$T/err"
ok "errors as JSON" jq -e '.error.code == "input" and .error.key == "station.no-id"' "$T/err"
end
