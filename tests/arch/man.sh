#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Manual pages against the binaries: every verb and option that -h shows is in the tool's page, every option the page shows exists; and mandoc finds no fault.
set -eu
build=${KEYMILL_BUILD:?KEYMILL_BUILD names the build tree}
cd "$(dirname "$0")/../.."
failed=0
passed=0
ok() { passed=$((passed + 1)); }
bad() { failed=$((failed + 1)); echo "not ok: $*"; }

for page in docs/man/*.[157]; do
    if mandoc -T lint -W warning "$page"; then ok; else bad "mandoc finds faults in '$page'"; fi
done
for tool in hsm ca office station cloud; do
    bin=$build/bin/keymill-$tool
    page=docs/man/keymill-$tool.1
    [ -f "$page" ] || { bad "there is no '$page'"; continue; }
    text=$(mandoc -T utf8 "$page" | col -bx | tr -s ' \n' ' ' | sed 's/[‐−–]/-/g')
    real=
    # The list of verbs: lines that begin with two blanks in "tool -h".
    verbs=$("$bin" -h | sed -n 's/^  \([a-z][a-z-]*\( [a-z][a-z-]*\)\{0,1\}\)  .*/\1/p')
    [ -n "$verbs" ] || { bad "keymill-$tool -h lists no verbs"; continue; }
    while read -r verb; do
        case $text in
        *"keymill-$tool $verb "*) ok ;;
        *) bad "'$page' has no synopsis of '$verb'" ;;
        esac
        # shellcheck disable=SC2086
        for option in $("$bin" $verb -h | grep -o -- '--[a-z][a-z-]*' | grep -v -x -e --help | sort -u); do
            real="$real $option"
            case $text in
            *"$option"[!a-z-]*) ok ;;
            *) bad "'$page' does not name $option of '$verb'" ;;
            esac
        done
    done <<VERBS
$verbs
VERBS
    for option in $(echo "$text" | grep -o -- ' --[a-z][a-z-]*' | sort -u); do
        case "$real --version --help " in
        *" $option "*) ok ;;
        *) bad "'$page' names $option, which no verb has" ;;
        esac
    done
done
echo "$passed passed, $failed failed"
[ $failed = 0 ]
