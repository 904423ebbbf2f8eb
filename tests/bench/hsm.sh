#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# hsm.sh [SECONDS [ROUNDS]]: what keymill-token's workers leave of a token's own rate. Each figure is a ratio to something that is none of keymill's code, measured in turns
# with it in the same run; the median of the rounds counts.
#   hsm.one, hsm.two     signatures/s through one and two workers, unverified, over a bare C_SignInit/C_Sign loop in as many processes
#   hsm.scale            two workers over one
#   hsm.latency32        a module that takes 5 ms, 32 sessions in one worker, over 32 in 5 ms
#   hsm.verified         every signature verified, over cores / (1 / bare rate of a process + 1 / openssl's own rate of verifying)
#   hsm.start            starting a worker, finding the token, logging in and signing once, over pkcs11-tool's time for the same
# KEYMILL_BENCH_CHECK=1: exit code 1 when a goal of goals.json is missed.
set -eu
build=$(cd "${KEYMILL_BUILD:?KEYMILL_BUILD names a release build}" && pwd)
here=$(cd "$(dirname "$0")/../.." && pwd)
seconds=${1:-3}
rounds=${2:-3}
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
PATH=$build/bin:$PATH
module=/usr/lib/softhsm/libsofthsm2.so
export SOFTHSM2_CONF="$dir/softhsm2.conf" XDG_RUNTIME_DIR="$dir" KEYMILL_PKCS11_MODULE=$module
mkdir -m 700 "$dir/tokens"
printf 'directories.tokendir = %s\nobjectstore.backend = file\nlog.level = ERROR\n' "$dir/tokens" >"$SOFTHSM2_CONF"
(umask 077; echo 123456 >"$dir/pin"; echo 12345678 >"$dir/so-pin"; head -c 32 /dev/urandom >"$dir/digest")
uri="pkcs11:token=bench;object=key?pin-source=file:$dir/pin"
keymill-hsm init --label bench --so-pin-source "file:$dir/so-pin" --pin-source "file:$dir/pin" >/dev/null
keymill-hsm keygen "$uri" --algorithm ec-p256 --usage sign >/dev/null
cores=$(nproc)

# rate OPTIONS...: signatures/s of keymill-hsm bench.
rate() { keymill-hsm bench "$uri" --seconds "$seconds" --batch 4096 --json --quiet "$@" | sed -n 's/.*"signatures_per_s":\([0-9]*\).*/\1/p'; }
bare() { "$build/tests/csign" "$module" bench "$dir/pin" key "$1" "$seconds"; }
slow() {
    KEYMILL_PKCS11_MODULE=$build/tests/p11shim.so KEYMILL_SHIM_REAL=$module KEYMILL_SHIM_FAULT="C_Sign:*:ms=5" KEYMILL_QUIRKS=$here/tests/support/quirks \
        KEYMILL_TEST_FOLDER=$dir rate --workers 1 --sessions 32 --threads 2 --unverified
}
verify() { openssl speed -seconds "$seconds" -mr ecdsap256 2>/dev/null | awk -F: '/^\+F4/ { print $5 }'; }
# Milliseconds of N repetitions.
many() {
    n=$1 began=$(date +%s%N)
    shift
    while [ "$n" -gt 0 ]; do
        "$@" >/dev/null 2>&1 || { echo "hsm.sh: $* failed" >&2; exit 1; }
        n=$((n - 1))
    done
    echo $((($(date +%s%N) - began) / 1000000))
}
start_ours() { many 20 "$build/tests/signloop" "$uri" 1 1; }
start_peer() { many 20 pkcs11-tool --module "$module" --token-label bench --login --pin 123456 --sign --mechanism ECDSA --label key --input-file "$dir/digest" --output-file "$dir/sig"; }

round=0
while [ $round -lt "$rounds" ]; do
    round=$((round + 1))
    {
        echo "bare1 $(bare 1)"
        echo "one $(rate --workers 1 --threads 2 --unverified)"
        echo "bare2 $(bare 2)"
        echo "two $(rate --workers 2 --threads 3 --unverified)"
        echo "verify $(verify)"
        echo "verified $(rate --workers "$cores" --threads $((cores + 1)))"
        echo "latency32 $(slow)"
        echo "ours $(start_ours)"
        echo "peer $(start_peer)"
    } >"$dir/round$round"
done

if grep -Evq '^[a-z0-9]+ [0-9.]+$' "$dir"/round*; then
    echo "hsm.sh: a measurement failed:" >&2
    cat "$dir"/round* >&2
    exit 1
fi
cat "$dir"/round* | awk -v cores="$cores" -v rounds="$rounds" -v check="${KEYMILL_BENCH_CHECK:-0}" -v goals="$here/tests/bench/goals.json" '
function median(list, n,    i, j, t) {
    for (i = 1; i < n; i++)
        for (j = i + 1; j <= n; j++)
            if (list[j] < list[i]) { t = list[i]; list[i] = list[j]; list[j] = t }
    return n % 2 ? list[(n + 1) / 2] : (list[n / 2] + list[n / 2 + 1]) / 2
}
# Value, limit and their ratio: of each round, and of these the median.
function figure(name, unit, value, limit,    i, ratios) {
    for (i = 1; i <= rounds; i++) ratios[i] = limit[i] > 0 ? value[i] / limit[i] : 0
    ratio = median(ratios, rounds)
    goal = goal_of[name] == "" ? "-" : goal_of[name]
    printf "%-15s %12s %12s %8.3f   %s\n", name, sprintf("%.0f%s", median(value, rounds), unit), sprintf("%.0f%s", median(limit, rounds), unit), ratio, goal
    json = json sprintf("{\"figure\": \"%s\", \"value\": %.0f, \"limit\": %.0f, \"ratio\": %.3f, \"goal\": %s}\n", name, median(value, rounds), median(limit, rounds), ratio, goal == "-" ? "null" : goal)
    if (goal != "-" && (name == "hsm.start" ? ratio > goal : ratio < goal)) missed = missed " " name
}
BEGIN {
    while ((getline line < goals) > 0)
        if (match(line, /"hsm\.[a-z0-9]*": *\{"goal": *[0-9.]*/)) {
            row = substr(line, RSTART, RLENGTH)
            split(row, part, "\"")
            sub(/.*: */, "", row)
            goal_of[part[2]] = row
        }
}
{ n[$1]++; v[$1, n[$1]] = $2 }
END {
    for (i = 1; i <= rounds; i++) {
        bare1[i] = v["bare1", i]; one[i] = v["one", i]; bare2[i] = v["bare2", i]; two[i] = v["two", i]
        verified[i] = v["verified", i]; ideal[i] = cores / (1 / v["bare1", i] + 1 / v["verify", i])
        slow[i] = v["latency32", i]; wait[i] = 32 / 0.005; ours[i] = v["ours", i]; peer[i] = v["peer", i]
    }
    printf "%-15s %12s %12s %8s   %s\n", "figure", "keymill", "limit", "ratio", "goal"
    figure("hsm.one", "/s", one, bare1)
    figure("hsm.two", "/s", two, bare2)
    figure("hsm.scale", "/s", two, one)
    figure("hsm.latency32", "/s", slow, wait)
    figure("hsm.verified", "/s", verified, ideal)
    figure("hsm.start", " ms", ours, peer)
    printf "%s", json
    if (missed != "") print "goals missed:" missed
    if (check == 1 && missed != "") exit 1
}'
