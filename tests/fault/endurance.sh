#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Signatures in number (1,000,000 with KEYMILL_FULL=1): between a fifth of them and the end neither the tool nor its workers grow, open descriptors, or open
# sessions; and so it is when workers are replaced all the time.
. "$(dirname "$0")/../support/sh.sh"
cd "$T" || exit 1
case ${KEYMILL_FULL:-0} in
1) count=1000000 ;;
*) count=40000 ;;
esac
tokens root
uri="pkcs11:token=root;object=ca?pin-source=file:$T/pin"
ok "key" keymill-hsm keygen "$uri" --algorithm ec-p256 --usage sign
export KEYMILL_SHIM_REAL="$KEYMILL_PKCS11_MODULE" KEYMILL_SHIM_DIR="$T/shim" KEYMILL_PKCS11_MODULE="$KEYMILL_BUILD/tests/p11shim.so"
mkdir shim
shimctl="$KEYMILL_BUILD/tests/shimctl $T/shim"
slack=600 # kB that a process may grow by: what malloc keeps in reserve

kb() { sed -n 's/^VmRSS:[^0-9]*\([0-9]*\) kB/\1/p' "/proc/$1/status" 2>/dev/null; }
descriptors() { find "/proc/$1/fd" -mindepth 1 2>/dev/null | wc -l; }
# until NUMBER: signatures made, while the run lives.
until_signed() {
    while [ "$($shimctl calls C_Sign)" -lt "$1" ] && kill -0 $loop 2>/dev/null; do
        sleep 0.02
    done
}
# look NAME: pid, kB, descriptors and sessions of the tool and of each worker, one a line, into file NAME.
look() {
    echo "$loop $(kb $loop) $(descriptors $loop) 0" >"$1"
    $shimctl processes | sort -n | while read -r pid sessions _; do
        echo "$pid $(kb "$pid") $(descriptors "$pid") $sessions"
    done >>"$1"
}

"$KEYMILL_BUILD/tests/signloop" "$uri" $count 2 2 >"$T/out" 2>"$T/err" &
loop=$!
until_signed $((count / 5))
look first
until_signed $((count / 100 * 96))
look last
code=0
wait $loop || code=$?
same "$count signatures" "$code" 0
has out "$count signatures"
lacks err "trying again"
cat first last
same "the tool and two workers" "$(wc -l <first)" 3
same "the same processes, descriptors and sessions" "$(awk '{print $1, $3, $4}' first)" "$(awk '{print $1, $3, $4}' last)"
# Each worker: one session that holds the login, and its two.
same "sessions" "$(awk 'NR > 1 {print $4}' last | sort -u)" 3
paste -d ' ' first last >both
while read -r pid before _ _ _ after _; do
    if [ $((after - before)) -le $slack ]; then pass; else fail "process $pid grew from $before to $after kB"; fi
done <both

# --- the tool, while its workers come and go ---
restarts=$((count / 2000))
$shimctl reset
KEYMILL_SHIM_FAULT="C_Sign:/500:CKR_DEVICE_REMOVED" "$KEYMILL_BUILD/tests/signloop" "$uri" $((restarts * 500)) 2 1 >"$T/out" 2>"$T/err" &
loop=$!
until_signed $((restarts * 100))
look first
until_signed $((restarts * 480))
look last
code=0
wait $loop || code=$?
same "$restarts workers, one after the other" "$code" 0
if [ "$($shimctl calls C_Finalize)" -ge $((restarts / 2)) ]; then pass; else fail "too few were replaced"; fi
head -n 1 first last
before=$(awk 'NR == 1 {print $2}' first) after=$(awk 'NR == 1 {print $2}' last)
if [ $((after - before)) -le $slack ]; then pass; else fail "the tool grew from $before to $after kB"; fi
# At any time one of the two may be between two workers.
before=$(awk 'NR == 1 {print $3}' first) after=$(awk 'NR == 1 {print $3}' last)
if [ "$after" -le $((before + 4)) ] && [ "$after" -lt 40 ]; then pass; else fail "the tool had $before descriptors, then $after"; fi
end
