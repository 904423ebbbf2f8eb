#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Token workers end at any moment of a run: by SIGKILL, by a module that crashes, by SIGSTOP for longer than the deadline. Every run goes on to its end, and the
# books balance. 500 times with KEYMILL_FULL=1.
#
# Only workers that have signed are killed: SoftHSM empties its token file in C_Login before it writes it anew.
. "$(dirname "$0")/../support/sh.sh"
. "$top/tests/support/office.sh"
cd "$T" || exit 1
case ${KEYMILL_FULL:-0} in
1) signing=300 making=200 ;;
*) signing=36 making=24 ;;
esac
office_make
# A worker that does not answer is waited for one second here.
printf 'token:\n  deadline-seconds: 1\n' >>ca/local-ca/ca.yaml
uri="pkcs11:token=line7;object=loop?pin-source=file:$T/pin"
ok "key" keymill-hsm keygen "$uri" --algorithm ec-p256 --usage sign
export KEYMILL_SHIM_REAL="$KEYMILL_PKCS11_MODULE" KEYMILL_SHIM_DIR="$T/shim"
shim=$KEYMILL_BUILD/tests/p11shim.so
shimctl="$KEYMILL_BUILD/tests/shimctl $T/shim"
mkdir shim
# Some signatures take a millisecond, so that a run is long enough to be killed in.
export KEYMILL_SHIM_FAULT="C_Sign:/4:ms=1"

random() { od -An -N 2 -tu2 /dev/urandom | tr -d ' '; }
# The workers that have signed, one a line.
victims() { $shimctl processes | awk '$3 > 0 {print $1}'; }
alive() { [ -e "/proc/$1" ] && ! grep -q '^State:.*Z' "/proc/$1/status" 2>/dev/null; }

killed=0 crashed=0 stopped=0
# strike: one worker of those there are; false when there is none.
strike() {
    victim=$(victims | shuf -n 1)
    [ -n "$victim" ] || return 1
    case $(($(random) % 5)) in
    0)
        kill -STOP "$victim" 2>/dev/null || return 1
        stopped=$((stopped + 1))
        ;;
    1 | 2)
        $shimctl crash
        crashed=$((crashed + 1))
        ;;
    *)
        kill -KILL "$victim" 2>/dev/null || return 1
        killed=$((killed + 1))
        ;;
    esac
}
# strikes PID MAX: while process PID runs. Between two of them as much is signed as two workers have in hand: a request at which four workers in a row end
# is given up.
strikes() {
    struck=0
    while alive "$1" && [ $struck -lt "$2" ]; do
        if strike; then struck=$((struck + 1)); fi
        enough=$(($($shimctl calls C_Sign) + 300 + $(random) % 200))
        while alive "$1" && [ "$($shimctl calls C_Sign)" -lt $enough ]; do
            sleep 0.005
        done
    done
}
# round MAX COMMAND...: struck at most MAX times; $struck says how often.
round() {
    max=$1
    shift
    KEYMILL_PKCS11_MODULE=$shim "$@" >"$T/out" 2>"$T/err" </dev/null &
    run=$!
    strikes $run "$max"
    code=0
    wait $run || code=$?
}

done=0 rounds=0
while [ $done -lt $signing ] && [ $rounds -lt 200 ]; do
    rounds=$((rounds + 1))
    round 30 "$KEYMILL_BUILD/tests/signloop" "$uri" 12000 2 1 300
    same "signloop $rounds, struck $struck times" "$code" 0
    has "$T/out" "12000 signatures"
    [ $struck = 0 ] || has "$T/err" "trying again"
    done=$((done + struck))
done
say="signloop: $rounds runs, $done strikes"
total=$done done=0 rounds=0
while [ $done -lt $making ] && [ $rounds -lt 200 ]; do
    rounds=$((rounds + 1))
    order_make "K$rounds" 3000
    round 12 keymill-office batch make --home office --ca ca/local-ca --order "K$rounds.order" --out "K$rounds.batch"
    same "batch $rounds, struck $struck times" "$code" 0
    [ $struck = 0 ] || has "$T/err" "trying again"
    books "K$rounds" 3000
    done=$((done + struck))
done
total=$((total + done))
echo "$say; batches: $rounds, $done strikes; killed $killed, crashed $crashed, stopped $stopped"
if [ $total -ge $((signing + making)) ]; then pass; else fail "$total strikes, not $((signing + making))"; fi
if [ $killed -gt 0 ] && [ $crashed -gt 0 ] && [ $stopped -gt 0 ]; then pass; else fail "a way to end a worker was not tried"; fi
sleep 1
same "no worker is left" "$(victims | wc -l)" 0
ok "the token is well" keymill-hsm check "$uri" --usage sign
end
