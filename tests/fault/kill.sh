#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# kill -9 at random moments during "batch make" and "next": nothing used twice, nothing half-written, the next run continues.
. "$(dirname "$0")/../support/sh.sh"
cd "$T" || exit 1
rounds=50
devices=3000
ok "a small story to stand on" "$top/factory/quickstart.sh" --dir "$T/story" --devices 5
cd "$T/story" || exit 1
# shellcheck disable=SC1091
. ./env.sh
sed -e "s/^order: .*/order: K1/" -e "s/^\( *\(quantity\|count\): *\)[0-9]*/\1$devices/" -e 's/prefix: .*/prefix: "MK1-"/' -e "s/^\( *-\{0,1\} *sequence: *\)[0-9]*/\13/" config/order.yaml >config/k1.yaml
ok "order K1" keymill-office order new --home office --spec config/k1.yaml --out K1.order

# wound MILLISECONDS COMMAND...: kills it then, unless it was quicker; says which in $killed.
wound() {
    ms=$1
    shift
    "$@" >"$T/out" 2>"$T/err" </dev/null &
    pid=$!
    sleep "$(printf '0.%03d' "$ms")"
    killed=no
    kill -9 $pid 2>/dev/null && killed=yes
    wait $pid 2>/dev/null
    code=$?
}
random() { od -An -N 2 -tu2 /dev/urandom | tr -d ' '; }

kills=0
i=0
while [ $i -lt $rounds ]; do
    i=$((i + 1))
    wound $(($(random) % 120 + 1)) keymill-office batch make --home office --ca ca/local-ca --order K1.order --out K1.batch
    if [ $killed = yes ]; then
        kills=$((kills + 1))
    elif [ $code != 0 ]; then
        fail "round $i: batch make ended with $code"
    else
        # Whole before all rounds were used: look at it, and begin again with another order.
        break
    fi
    [ ! -e K1.batch/batch.json ] || [ -e K1.batch/batch.p7s ] || fail "round $i: half a batch under its final name"
done
ok "the last run finishes" keymill-office batch make --home office --ca ca/local-ca --order K1.order --out K1.batch
echo "killed batch make $kills times"
same "every id once, in order" "$(jq -r .id K1.batch/devices.jsonl | sha256sum)" "$(seq -f 'MK1-%06.0f' 1 $devices | sha256sum)"
jq -r .cert K1.batch/devices.jsonl | while read -r der; do echo "$der" | base64 -d | sha256sum; done | sort | uniq -d >"$T/twice"
same "no certificate twice" "$(wc -l <"$T/twice")" 0
keymill-ca list --home ca/local-ca --json >"$T/list"
same "no serial twice in the CA" "$(grep -o '"serial":"[0-9a-f]*"' "$T/list" | sort | uniq -d | wc -l)" 0
same "as many issued as ordered" "$(jq '[.certificates[] | select((.id // "" | startswith("MK1-")) and .state == "issued")] | length' "$T/list")" "$devices"
same "none left reserved" "$(jq '[.certificates[] | select(.state == "reserved")] | length' "$T/list")" 0
jq -r .cert K1.batch/devices.jsonl | base64 -di 2>/dev/null | head -c 1 >/dev/null
ok "audit chain whole" keymill-ca show --home ca/local-ca

# --- next ---
ok "station accepts the order" keymill-station accept --home line7 K1.order
ok "and the batch, every line of it" keymill-station accept --home line7 K1.batch
mkdir dev again
i=0
kills=0
while [ $i -lt $rounds ]; do
    i=$((i + 1))
    wound $(($(random) % 40 + 1)) keymill-station next --home line7 --order K1 --out "dev/$i"
    [ $killed = no ] || kills=$((kills + 1))
    if [ $killed = no ] && [ $code != 0 ]; then fail "round $i: next ended with $code"; fi
    if [ -e "dev/$i/key.pem" ] && ! openssl pkey -in "dev/$i/key.pem" -noout 2>/dev/null; then fail "round $i: half a key"; fi
done
echo "killed next $kills times"
sed -n 's/.*"kind":"deliver".*"id":"\([^"]*\)".*/\1/p' line7/journal.jsonl | grep MK1 >"$T/delivered"
same "no id delivered twice" "$(sort "$T/delivered" | uniq -d | wc -l)" 0
cat dev/*/cert.pem 2>/dev/null | grep -c BEGIN >"$T/n" || true
for d in dev/*; do [ -e "$d/device.json" ] && jq -r .id "$d/device.json"; done | sort >"$T/ids"
same "no two folders with the same id" "$(uniq -d "$T/ids" | wc -l)" 0
same "no folder with an id that is not in the journal" "$(comm -23 "$T/ids" "$T/delivered" | wc -l)" 0
# What was recorded and not written is given again, and only that.
while read -r id; do
    if grep -qx "$id" "$T/ids"; then continue; fi
    ok "$id again" keymill-station next --home line7 --order K1 --id "$id" --out "again/$id"
done <"$T/delivered"
ok "the line goes on" keymill-station next --home line7 --order K1 --out dev/last
same "no temporary files left where they do harm" "$(find line7 K1.batch -name '*.part' | wc -l)" 0
end
