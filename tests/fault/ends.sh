#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Client and worker at their limits: what fails for good ends, a full socket is not a dead worker, and a hanging worker does not outlive its tool.
. "$(dirname "$0")/../support/sh.sh"
cd "$T" || exit 1
tokens root
uri="pkcs11:token=root;object=key1?pin-source=file:$T/pin"
i=0
while [ $i -lt 20 ]; do
    i=$((i + 1))
    keymill-hsm keygen "pkcs11:token=root;object=key$i?pin-source=file:$T/pin" --algorithm ec-p256 --usage sign >made 2>&1 || fail "key $i"
done
export KEYMILL_SHIM_REAL="$KEYMILL_PKCS11_MODULE" KEYMILL_SHIM_DIR="$T/shim" KEYMILL_PKCS11_MODULE="$KEYMILL_BUILD/tests/p11shim.so"
mkdir shim
shimctl="$KEYMILL_BUILD/tests/shimctl $T/shim"
# with FAULTS COMMAND...: under these faults, counted from 1, and never for more than a minute.
with() {
    faults=$1
    shift
    $shimctl reset
    env KEYMILL_SHIM_FAULT="$faults" timeout 60 "$@"
}

# --- the first 16 keys of a listing come at once, and what is behind them fails each time: four tries ---
refused 4 hsm.worker-lost "a listing that crashes at its second page" with C_GetAttributeValue:p380+:crash keymill-hsm check "$uri" --usage sign
same "listing: tries" "$($shimctl fired)" 4
# --- a slow token's signatures are sent on every 250 ms, and the last of the batch fails each time ---
refused 4 hsm.worker-lost "a batch that crashes at its end" with "C_Sign:*:ms=10 C_Sign:p60:crash" "$KEYMILL_BUILD/tests/signloop" "$uri" 64 1
same "batch: tries" "$($shimctl calls C_Initialize)" 4

# --- more requests than the socket takes at once: they wait, and nobody is held for dead ---
ok "64 sessions" with "" "$KEYMILL_BUILD/tests/signloop" "$uri" 40000 1 64 10000 4096
has out "40000 signatures"
lacks err "did not answer"

# --- the tool is killed with hundreds of digests on their way: nobody waits for them, and none but the one under way is signed any more ---
$shimctl reset
KEYMILL_SHIM_FAULT="C_Sign:*:ms=20" "$KEYMILL_BUILD/tests/signloop" "$uri" 2560 1 1 10000 256 >"$T/out" 2>"$T/err" &
tool=$!
tries=0
while [ "$($shimctl calls C_Sign)" -lt 10 ] && [ $tries -lt 500 ]; do
    tries=$((tries + 1))
    sleep 0.02
done
kill -9 $tool
wait $tool 2>/dev/null
signed=$($shimctl calls C_Sign)
tries=0
while [ "$($shimctl calls C_Finalize)" = 0 ] && [ $tries -lt 750 ]; do
    tries=$((tries + 1))
    sleep 0.02
done
same "the worker left the module in order" "$($shimctl calls C_Finalize)" 1
more=$(($($shimctl calls C_Sign) - signed))
if [ $more -le 20 ]; then pass; else fail "$more signatures that nobody waits for"; fi

# --- a new key breaks the policy; the worker that destroys it again dies before it says so ---
export KEYMILL_SHIM_QUIRK=false=LOCAL
refused 5 hsm.key-policy "a key that is not kept" with C_CloseSession:2:exit keymill-hsm keygen "pkcs11:token=root;object=bad?pin-source=file:$T/pin" --algorithm ec-p256 --usage sign
unset KEYMILL_SHIM_QUIRK
same "the worker did die" "$($shimctl fired)" 1
has err "is destroyed again"
lacks err "could not"

# --- the tool is killed while the module hangs at its start: the worker ends, and the start lock is free again ---
# killed NAME FAULTS COMMAND...: in the background, until a call hangs, and then kill -9.
killed() {
    name=$1 faults=$2
    shift 2
    $shimctl reset
    KEYMILL_SHIM_FAULT=$faults "$@" >out 2>err &
    tool=$! tries=0
    while [ "$($shimctl calls C_Initialize)" -lt "$hangs" ] && [ $tries -lt 500 ]; do
        tries=$((tries + 1))
        sleep 0.02
    done
    if kill -9 $tool; then pass; else fail "$name: the tool ended by itself"; fi
    wait $tool 2>/dev/null
    tries=0
    while [ -n "$($shimctl processes)" ] && [ $tries -lt 150 ]; do
        tries=$((tries + 1))
        sleep 0.1
    done
    same "$name: workers that outlive the tool" "$($shimctl processes)" ""
    for left in $($shimctl processes | cut -d ' ' -f 1); do kill -9 "$left"; done
    ok "$name: the next start" with "" keymill-hsm list
}
hangs=1
killed "list" C_Initialize:1+:hang keymill-hsm list
killed "check" C_Initialize:1+:hang keymill-hsm check "$uri" --usage sign
hangs=2
killed "a replacement that another thread starts" "C_Sign:p100:crash C_Initialize:2+:hang" "$KEYMILL_BUILD/tests/signloop" "$uri" 100000 1

# --- a module whose path is as long as it may be: the start lock's file is named after it ---
long=$T/$(printf '%0200d' 0)
mkdir "$long"
cp "$KEYMILL_PKCS11_MODULE" "$long/p11.so"
while [ "$(printf '%s' "$long/p11.so" | wc -c)" -lt 254 ]; do
    mv "$long/p11.so" "$T/p11.so"
    mkdir "$long/d"
    long=$long/d
    mv "$T/p11.so" "$long/p11.so"
done
ok "a long path" env KEYMILL_PKCS11_MODULE="$long/p11.so" KEYMILL_SHIM_FAULT="" keymill-hsm list
has out root

end
