#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# batch.sh [N]: devices/s of "keymill-office batch make", end to end (key, certificate, verified signature, sealed line, two durable commits a group), beside the token's
# own C_Sign rate (a bare loop in as many processes as the machine has cores, none of keymill's code) from the same run.
set -eu
build=${KEYMILL_BUILD:?KEYMILL_BUILD names a release build}
here=$(cd "$(dirname "$0")/../.." && pwd)
n=${1:-20000}
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

KEYMILL_BUILD=$build "$here/factory/quickstart.sh" --dir "$dir/story" --devices 5 >"$dir/story.log" 2>&1 || { tail -n 20 "$dir/story.log" >&2; exit 1; }
# shellcheck disable=SC1091
. "$dir/story/env.sh"
sed -e 's/^order: .*/order: BENCH/' -e "s/^\( *\(quantity\|count\): *\)[0-9]*/\1$n/" -e 's/prefix: .*/prefix: "BN1-"/' -e 's/^\( *digits: *\)[0-9]*/\17/' \
    -e 's/^\( *-\{0,1\} *sequence: *\)[0-9]*/\13/' config/order.yaml >config/bench.yaml
keymill-office order new --home office --spec config/bench.yaml --out BENCH.order >/dev/null

cores=$(nproc)
limit_before=$("$build/tests/csign" "$KEYMILL_PKCS11_MODULE" local-ca token/pin local-ca "$cores" 3)
ms=$(keymill-office batch make --home office --ca ca/local-ca --order BENCH.order --out BENCH.batch --json --quiet | sed -n 's/.*"elapsed_ms":\([0-9]*\).*/\1/p')
limit_after=$("$build/tests/csign" "$KEYMILL_PKCS11_MODULE" local-ca token/pin local-ca "$cores" 3)
[ "$(wc -l <BENCH.batch/devices.jsonl)" = "$n" ]

awk -v n="$n" -v ms="$ms" -v a="$limit_before" -v b="$limit_after" -v cores="$cores" \
    -v goal="$(sed -n 's/.*"batch.devices": *{"goal": *\([0-9.]*\).*/\1/p' "$here/tests/bench/goals.json")" 'BEGIN {
    value = n * 1000 / ms; limit = (a + b) / 2
    printf "%-46s %10s\n", "batch make, " n " devices", sprintf("%.0f/s", value)
    printf "%-46s %10s\n", "bare C_Sign loop, " cores " processes", sprintf("%.0f/s", limit)
    printf "%-46s %10s\n", "ratio (goal " goal ")", sprintf("%.3f", value / limit)
    printf "{\"figure\": \"batch.devices\", \"value\": %.0f, \"limit\": %.0f, \"ratio\": %.3f, \"goal\": %s}\n", value, limit, value / limit, goal
}'
