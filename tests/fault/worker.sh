#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Token workers that die, hang and lose their session or login in the middle of a run: every signature arrives, each at its place, none twice.
. "$(dirname "$0")/../support/sh.sh"
cd "$T" || exit 1
tokens root
signloop=$KEYMILL_BUILD/tests/signloop
uri="pkcs11:token=root;object=ca?pin-source=file:$T/pin"
ok "key" keymill-hsm keygen "$uri" --algorithm ec-p256 --usage sign
count=${1:-30000}

# The workers of process $1, one a line.
workers() { cat /proc/"$1"/task/*/children 2>/dev/null | tr ' ' '\n' | grep . | sort -u; }
# Not counting one that nobody has waited for yet.
alive() { [ -e "/proc/$1" ] && ! grep -q '^State:.*Z' "/proc/$1/status" 2>/dev/null; }
# begin ARGUMENTS...: signloop in the background, until it has workers at work.
begin() {
    "$signloop" "$@" >"$T/out" 2>"$T/err" &
    loop=$!
    tries=0
    while [ "$(workers $loop | wc -l)" -lt "$3" ] && [ $tries -lt 200 ]; do
        tries=$((tries + 1))
        sleep 0.02
    done
    sleep 0.2
}
# finished NAME COUNT: and all is there.
finished() {
    code=0
    wait $loop || code=$?
    same "$1" "$code" 0
    has "$T/out" "$2 signatures"
}

# --- killed ---
begin "$uri" "$count" 2
for i in 1 2 3 4 5; do
    victim=$(workers $loop | head -n 1)
    if kill -9 "$victim"; then pass; else fail "kill $i: the run was over too soon"; fi
    sleep 0.15
done
finished "five workers killed" "$count"
has "$T/err" "ended"
has "$T/err" "trying again"

# --- both at once ---
begin "$uri" "$count" 2
# shellcheck disable=SC2046
if kill -9 $(workers $loop); then pass; else fail "the run was over too soon"; fi
finished "both workers killed" "$count"

# --- stopped beyond the deadline: ended, not waited for ---
begin "$uri" "$count" 2 1 500
victim=$(workers $loop | head -n 1)
if kill -STOP "$victim"; then pass; else fail "the run was over too soon"; fi
finished "one worker stopped" "$count"
has "$T/err" "did not answer within 0.5 s"
if alive "$victim"; then fail "the stopped worker is still there"; else pass; fi

# --- the tool dies: its workers end ---
begin "$uri" 1000000 2
left=$(workers $loop)
kill -9 $loop
wait $loop 2>/dev/null
sleep 1
for pid in $left; do
    if alive "$pid"; then fail "worker $pid outlives its tool"; else pass; fi
done

# --- lost in the module: cured inside the worker, or by another one ---
export KEYMILL_SHIM_REAL="$KEYMILL_PKCS11_MODULE" KEYMILL_SHIM_DIR="$T/shim" KEYMILL_SHIM_LOG="$T/logins"
export KEYMILL_PKCS11_MODULE="$KEYMILL_BUILD/tests/p11shim.so"
mkdir shim
shimctl="$KEYMILL_BUILD/tests/shimctl $T/shim"
# with FAULTS COMMAND...: under these faults, counted from 1.
with() {
    faults=$1
    shift
    $shimctl reset
    rm -f logins
    env KEYMILL_SHIM_FAULT="$faults" "$@"
}
# logins NAME COUNT: how often the PIN reached the module since the last "with".
logins() { same "$1: logins" "$(cat "$T/logins" 2>/dev/null | wc -l)" "$2"; }
ok "login lost" with C_SignInit:600:logout "$signloop" "$uri" 1000 1
has out "1000 signatures"
has err "trying again"
logins "login lost: another worker has the PIN, this one kept none" 2
ok "login lost under several sessions" with C_SignInit:600:logout "$signloop" "$uri" 1000 1 8
has out "1000 signatures"
ok "session lost" with C_SignInit:300:close "$signloop" "$uri" 1000 1
has out "1000 signatures"
lacks err "trying again"
logins "session lost" 1
ok "device lost" with C_SignInit:700:CKR_DEVICE_REMOVED "$signloop" "$uri" 1000 1
has out "1000 signatures"
has err "CKR_DEVICE_REMOVED"
same "both workers left the module in order" "$($shimctl calls C_Finalize)" 2
refused 4 hsm.token-failed "device lost for good" with C_SignInit:p1:CKR_DEVICE_REMOVED "$signloop" "$uri" 1000 1 1 10000 64 1000
has err "did no better"

# --- a worker that answers is never killed: it may be in a call that must not be cut short ---
refused 4 hsm.pin-incorrect "a wrong PIN" with C_Login:1+:wrong-pin "$signloop" "$uri" 1 3
same "the refused one left the module in order too" "$($shimctl calls C_Finalize)" 1
logins "a wrong PIN" 1

# --- the PIN is changed and the logins are lost in the middle of a run: it is wrong once, for all workers together ---
for n in 1 3; do
    refused 4 hsm.pin-incorrect "PIN changed, $n workers" with "C_SignInit:p300:logout C_Login:$((n + 1))+:wrong-pin" "$signloop" "$uri" 30000 $n
    logins "PIN changed, $n workers" $((n + 1))
done
refused 4 hsm.pin-incorrect "PIN changed, several sessions" with "C_SignInit:p300:logout C_Login:2+:wrong-pin" "$signloop" "$uri" 30000 1 8
logins "PIN changed, several sessions" 2

# --- a PIN that was never accepted is sent once; before the login, trying again costs nothing ---
refused 4 hsm.worker-lost "the first login crashes" with C_Login:1+:exit "$signloop" "$uri" 100 3
logins "the first login crashes" 1
refused 4 hsm.token-failed "the first login fails" with C_Login:1+:CKR_DEVICE_ERROR "$signloop" "$uri" 100 3
logins "the first login fails" 1
ok "a failure before the first login" with C_OpenSession:1:CKR_DEVICE_ERROR "$signloop" "$uri" 100 1
same "C_OpenSession did fail" "$($shimctl fired)" 1
logins "a failure before the first login" 1

# --- a key that wants the PIN for each signature: its one worker keeps it ---
each="pkcs11:token=root;object=each?pin-source=file:$T/pin"
ok "key" env KEYMILL_SHIM_QUIRK=confirm keymill-hsm keygen "$each" --algorithm ec-p256 --usage sign
ok "the PIN for each signature" with "" "$signloop" "$each" 100 3
logins "the PIN for each signature" 101
refused 4 hsm.pin-incorrect "PIN changed, and wanted for each" with C_Login:12+:wrong-pin "$signloop" "$each" 1000 3
logins "PIN changed, and wanted for each" 12
refused 4 hsm.pin-incorrect "PIN changed, and wanted in each session" with C_Login:12+:wrong-pin "$signloop" "$each" 1000 1 8
logins "PIN changed, and wanted in each session" 12
pkcs11-tool --module "$KEYMILL_SHIM_REAL" --token-label root --login --pin 123456 --delete-object --type privkey --label each >made 2>&1 || fail "the key stays"

# --- a slow token: sessions make up for it ---
ok "16 sessions" with "C_Sign:*:ms=5" "$signloop" "$uri" 1000 1 16
has out "1000 signatures"
rate=$(sed -n 's/.*, \([0-9]*\)\/s$/\1/p' out)
if [ "${rate:-0}" -gt 800 ]; then pass; else fail "$rate signatures/s: the sessions do not work side by side"; fi

# --- many tools at once: SoftHSM rewrites its token file at each login ---
unset KEYMILL_SHIM_LOG
export KEYMILL_PKCS11_MODULE="$KEYMILL_SHIM_REAL"
i=0
while [ $i -lt 12 ]; do
    i=$((i + 1))
    for j in 1 2 3 4 5 6; do
        { keymill-hsm check "$uri" --usage sign >/dev/null 2>>"$T/starts" || echo "start $i.$j failed" >>"$T/starts"; } &
    done
    wait
done
if [ -s starts ]; then cp starts "$T/err" && fail "of 72 starts, six at a time, some failed"; else pass; fi
end
