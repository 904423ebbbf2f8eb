#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# docs/walkthrough.md, typed in as it stands: every block, in one shell that ends at the first error.
. "$(dirname "$0")/../support/sh.sh"
tokens
rm "$T/pin" "$T/so-pin"
mkdir "$T/desk"
{
    echo 'set -e'
    sed -n '/^```sh$/,/^```$/p' "$top/docs/walkthrough.md" | grep -v '^```'
} >"$T/script"
same "blocks" "$(grep -c '^```sh$' "$top/docs/walkthrough.md")" 11
export EXAMPLES="$top/docs/examples"
ok "the walkthrough" sh -c 'cd "$1/desk" && sh "$1/script"' sh "$T"
cd "$T/desk" || exit 1
keymill-cloud status --target config/broker.yaml --json >"$T/out"
has "$T/out" '"released":0'
has "$T/out" '"revocation_sequence":2'
same "two devices delivered, each in its folder" "$(cat dev1/device.json dev2/device.json | grep -c '"id":"MX1-00000[12]"')" 2
ok "certtool takes the delivered chain" certtool --verify --load-ca-certificate pki/root.pem --infile dev1/chain.pem
end
