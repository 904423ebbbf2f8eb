#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# ladder.sh sign|start|again: one fault in each batch of 200 signatures, at every call, with every return code (tests/fault/ladder.c). Without KEYMILL_FULL=1
# a sample of them.
. "$(dirname "$0")/../support/sh.sh"
cd "$T" || exit 1
part=${1:?sign, start or again}
case $part:${KEYMILL_FULL:-0} in
*:1) step=1 ;;
sign:*) step=200 ;;
start:*) step=13 ;;
*) step=37 ;;
esac
tokens root
uri="pkcs11:token=root;object=ca?pin-source=file:$T/pin"
ok "key" keymill-hsm keygen "$uri" --algorithm ec-p256 --usage sign
export KEYMILL_SHIM_REAL="$KEYMILL_PKCS11_MODULE" KEYMILL_PKCS11_MODULE="$KEYMILL_BUILD/tests/p11shim.so"

# Two at once, each with half of the faults.
for share in 0 1; do
    mkdir "shim$share"
    KEYMILL_SHIM_DIR="$T/shim$share" "$KEYMILL_BUILD/tests/ladder" "$uri" "$T/shim$share" "$part" $step $share 2 >"out$share" 2>"err$share" &
    eval "pid$share=$!"
done
for share in 0 1; do
    code=0
    eval "wait \$pid$share" || code=$?
    # What it said to people of each recovery would fill pages.
    head -c 20000 "out$share" >out
    tail -n 5 "err$share" >err
    same "$part, half $share" "$code" 0
    tail -n 1 "out$share"
done
ok "the token is well" keymill-hsm check "$uri" --usage sign
end
