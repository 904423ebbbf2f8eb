#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Many threads on few workers, and many sessions in a worker, while workers die, lose their logins and sessions and miss their deadline: every signature at its
# place. In the build with ThreadSanitizer any data race ends the program that has it.
. "$(dirname "$0")/../support/sh.sh"
cd "$T" || exit 1
tokens root
signloop=$KEYMILL_BUILD/tests/signloop
uri="pkcs11:token=root;object=ca?pin-source=file:$T/pin"
export TSAN_OPTIONS="halt_on_error=1 exitcode=66 log_path=$T/race"
count=${1:-6000}
[ "${KEYMILL_FULL:-0}" = 1 ] && count=${1:-60000}
races() { same "$1: data races" "$(cat "$T"/race* 2>/dev/null)" ""; }

ok "key" keymill-hsm keygen "$uri" --algorithm ec-p256 --usage sign
ok "bench with 8 threads" keymill-hsm bench "$uri" --threads 8 --workers 2 --sessions 4 --count "$count" --json
races "bench with 8 threads"

export KEYMILL_SHIM_REAL="$KEYMILL_PKCS11_MODULE" KEYMILL_SHIM_DIR="$T/shim" KEYMILL_PKCS11_MODULE="$KEYMILL_BUILD/tests/p11shim.so"
mkdir shim
faults() {
    "$KEYMILL_BUILD/tests/shimctl" "$T/shim" reset
    export KEYMILL_SHIM_FAULT="$1"
}
# run FAULTS WORKERS SESSIONS [DEADLINE_MS]: signloop has one thread more than there are workers.
run() {
    faults "$1"
    shift
    name="workers, sessions: $*; faults: $KEYMILL_SHIM_FAULT"
    ok "$name" "$signloop" "$uri" "$count" "$@"
    has out "$count signatures"
    races "$name"
}
run "" 7 1
run "" 1 8
run "C_Sign:/900:crash" 7 1
run "C_Sign:/900:CKR_DEVICE_REMOVED" 7 2
run "C_SignInit:/900:logout" 7 1
run "C_SignInit:/900:logout" 1 8
run "C_SignInit:/700:close" 1 8
run "C_Sign:2000:hang" 7 1 1000
# A PIN that is wrong from some time on, found out by all threads at once.
faults "C_SignInit:p200:logout C_Login:8+:wrong-pin"
refused 4 hsm.pin-incorrect "PIN changed" "$signloop" "$uri" "$count" 7 1
races "PIN changed"
end
