#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# "batch make" of 200 devices with a fault in the CA's token, at each place of the run: it ends whole, or says why and is taken up again; no serial is lost or
# used twice.
. "$(dirname "$0")/../support/sh.sh"
. "$top/tests/support/office.sh"
cd "$T" || exit 1
office_make
export KEYMILL_SHIM_REAL="$KEYMILL_PKCS11_MODULE" KEYMILL_SHIM_DIR="$T/shim"
mkdir shim
shim=$KEYMILL_BUILD/tests/p11shim.so
shimctl="$KEYMILL_BUILD/tests/shimctl $T/shim"
devices=200
n=0

# faulty FAULTS CODE KEY: a new order's batch under these faults ends with CODE; unless that is 0, with KEY, and it is then taken up again.
faulty() {
    n=$((n + 1))
    order_make "F$n" $devices
    $shimctl reset
    export KEYMILL_SHIM_FAULT="$1"
    if [ "$2" = 0 ]; then
        KEYMILL_PKCS11_MODULE=$shim ok "$1" batch_make "F$n"
        export KEYMILL_SHIM_FAULT=
    else
        KEYMILL_PKCS11_MODULE=$shim refused "$2" "$3" "$1" batch_make "F$n"
        if [ -e "F$n.batch" ]; then fail "$1: a batch under its final name"; else pass; fi
        logins=$($shimctl calls C_Login)
        export KEYMILL_SHIM_FAULT=
        ok "$1: taken up again" batch_make "F$n"
    fi
    [ "$($shimctl fired)" -gt 0 ] || fail "$1: nothing happened"
    books "F$n" $devices
}

case ${KEYMILL_FULL:-0} in
1) codes="HOST_MEMORY GENERAL_ERROR FUNCTION_FAILED DEVICE_ERROR DEVICE_MEMORY DEVICE_REMOVED KEY_HANDLE_INVALID OBJECT_HANDLE_INVALID OPERATION_ACTIVE
    OPERATION_NOT_INITIALIZED SESSION_CLOSED SESSION_COUNT SESSION_HANDLE_INVALID TOKEN_NOT_PRESENT USER_NOT_LOGGED_IN CRYPTOKI_NOT_INITIALIZED PIN_INCORRECT"
    places="2 3 17 64 65 66 101 128 129 170 199 200" ;;
*) codes="DEVICE_ERROR DEVICE_REMOVED SESSION_HANDLE_INVALID USER_NOT_LOGGED_IN" places="3 130" ;;
esac
# The CA's token signs once for each device; the office's signs a few documents before and after, with other keys.
for at in $places; do
    for code in $codes; do
        faulty "C_Sign:$at:CKR_$code" 0
    done
    for how in crash exit logout close; do
        faulty "C_Sign:$at:$how" 0
    done
    faulty "C_Sign:$at:CKR_KEY_FUNCTION_NOT_PERMITTED" 4 hsm.not-supported
    faulty "C_Sign:$at:CKR_DATA_INVALID" 4 hsm.operation-failed
    # A wrong signature stops the run.
    faulty "C_Sign:$at:lie" 4 sign.self-check
    faulty "C_Sign:$at:other" 4 sign.self-check
done
# Again and again.
# A worker that is ended loses what it has of 64 signatures, so that less than these may not pass between two ends.
faulty "C_SignInit:/150:CKR_DEVICE_REMOVED" 0
faulty "C_Sign:/50:CKR_SESSION_CLOSED:left" 0
faulty "C_Sign:/70:crash" 0

# --- the PIN: what the token rejects is not sent again, by none of the workers ---
order_make CLEAN $devices
$shimctl reset
KEYMILL_PKCS11_MODULE=$shim ok "no fault" batch_make CLEAN
usual=$($shimctl calls C_Login)
faulty "C_SignInit:40:logout C_Login:$((usual + 1))+:wrong-pin" 4 hsm.pin-incorrect
same "a rejected PIN: logins" "$logins" $((usual + 1))
end
