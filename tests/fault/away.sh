#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The token goes away in the middle of a batch: for ten seconds, which is waited for and said; for longer than the patience, which is an error, and the next run
# takes the batch up. A token that was never there is not waited for.
. "$(dirname "$0")/../support/sh.sh"
. "$top/tests/support/office.sh"
cd "$T" || exit 1
office_make
export KEYMILL_SHIM_REAL="$KEYMILL_PKCS11_MODULE" KEYMILL_SHIM_DIR="$T/shim"
shim=$KEYMILL_BUILD/tests/p11shim.so
shimctl="$KEYMILL_BUILD/tests/shimctl $T/shim"
mkdir shim
devices=4000 while_away=:
# How a token is away: the module answers all with a code, the slots are empty; or it does not even start.
gone="C_Finalize:*:pass C_GetSlotList:*:empty:if=away *:*:CKR_DEVICE_REMOVED:if=away C_Sign:/4:ms=1"
dead="C_Finalize:*:pass C_Initialize:*:CKR_GENERAL_ERROR:if=away *:*:CKR_TOKEN_NOT_PRESENT:if=away C_Sign:/4:ms=1"

# leave NAME FAULTS SECONDS [OPTION...]: a batch whose token goes away after the first 2,300 signatures, for that long; its exit code in $code.
leave_for() {
    name=$1
    seconds=$3
    export KEYMILL_SHIM_FAULT="$2"
    shift 3
    order_make "$name" $devices
    $shimctl reset
    KEYMILL_PKCS11_MODULE=$shim batch_make "$name" "$@" >"$T/out" 2>"$T/err" </dev/null &
    run=$!
    tries=0
    while [ "$($shimctl calls C_Sign)" -lt 2300 ] && [ $tries -lt 2000 ]; do
        tries=$((tries + 1))
        sleep 0.005
    done
    : >shim/away
    $while_away
    sleep "$seconds"
    if kill -0 $run 2>/dev/null; then waiting=yes; else waiting=no; fi
    signed=$($shimctl calls C_Sign)
    rm -f shim/away
    code=0
    wait $run || code=$?
    # It was away in the middle.
    if [ "$signed" -lt $devices ]; then pass; else fail "$name: the batch was made before the token went away"; fi
}

leave_for GONE "$gone" 10
same "ten seconds: it is waited for" "$waiting $code" "yes 0"
has err "C_Sign"
has err "trying again, for up to 30 s"
has err "answers again, after"
books GONE $devices
leave_for DEAD "$dead" 2
same "the module does not start: it is waited for" "$waiting $code" "yes 0"
has err "trying again"
books DEAD $devices
# A run whose workers are killed as well.
killer() {
    for victim in $($shimctl processes | awk '$3 > 0 {print $1}'); do
        kill -9 "$victim" 2>/dev/null || :
    done
}
while_away=killer
leave_for KILLED "$gone" 2
while_away=:
same "and its workers are killed: it is waited for" "$waiting $code" "yes 0"
has err "trying again"
books KILLED $devices

# --- longer than the patience ---
printf 'token:\n  patience-seconds: 1\n' >>ca/local-ca/ca.yaml
leave_for LONG "$gone" 4
same "longer than the patience: it is given up" "$waiting $code" "no 4"
has err "trying again, for up to 1 s"
has err "did no better"
if grep -q 'hsm\.token-failed\|hsm\.no-token\|hsm\.no-module' err; then pass; else fail "another error"; fi
if [ -e LONG.batch ]; then fail "a batch under its final name"; else pass; fi
ok "the next run takes it up" batch_make LONG
resumed=$(sed -n 's/^resumed: *//p' out)
if [ "${resumed:-0}" -gt 0 ]; then pass; else fail "nothing was resumed"; fi
books LONG $devices

# --- never there ---
order_make NEVER 10
: >shim/away
KEYMILL_SHIM_FAULT="$gone" KEYMILL_PKCS11_MODULE=$shim expect_code 4 "a token that is not there" batch_make NEVER
lacks err "trying again"
rm shim/away
ok "now it is" batch_make NEVER
books NEVER 10
end
