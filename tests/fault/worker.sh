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
export KEYMILL_SHIM_REAL="$KEYMILL_PKCS11_MODULE" KEYMILL_SHIM_LOG="$T/logins"
export KEYMILL_PKCS11_MODULE="$KEYMILL_BUILD/tests/p11shim.so"
ok "login lost" env KEYMILL_SHIM_LOGOUT_AT=300 "$signloop" "$uri" 1000 1
has out "1000 signatures"
lacks err "trying again"
same "logged in again once" "$(wc -l <logins)" 2
ok "session lost" env KEYMILL_SHIM_CLOSE_AT=300 "$signloop" "$uri" 1000 1
has out "1000 signatures"
lacks err "trying again"
ok "device lost" env KEYMILL_SHIM_REMOVED_AT=700 "$signloop" "$uri" 1000 1
has out "1000 signatures"
has err "CKR_DEVICE_REMOVED"
refused 4 hsm.token-failed "device lost for good" env KEYMILL_SHIM_REMOVED_AT=1 "$signloop" "$uri" 1000 1
has err "3 new workers in a row"

# --- a slow token: sessions make up for it ---
ok "16 sessions" env KEYMILL_SHIM_SIGN_MS=5 "$signloop" "$uri" 1000 1 16
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
