# SPDX-License-Identifier: Apache-2.0
# Sourced by the shell tests:
#
#   . "$(dirname "$0")/../support/sh.sh"
#   ok "makes a token" keymill-hsm init ...       the command must succeed
#   expect_code 4 "wrong PIN" keymill-hsm ...     the command must end with this code
#   has "$err" hsm.pin-incorrect                  the file must hold the text
#   has_not "$out" secret
#   finish                                        the last line: summary and exit code
#
# $out and $err hold what the last command printed, $work is a private folder that is gone afterwards. $KEYMILL_BUILD is the build folder.
set -u
: "${KEYMILL_BUILD:?the build folder, for example build/debug}"
KEYMILL_BUILD=$(cd "$KEYMILL_BUILD" && pwd) || exit 1
PATH=$KEYMILL_BUILD/bin:$PATH
export PATH

work=$(mktemp -d "${TMPDIR:-/tmp}/keymill-test.XXXXXX") || exit 1
out=$work/out err=$work/err
: >"$out" >"$err"
mkdir -m 700 "$work/run"
export XDG_RUNTIME_DIR="$work/run"
passed=0 failed=0 finished=no

at_exit() {
	rm -rf "$work"
	[ "$finished" = yes ] || { echo "the test ended before its last line" >&2; exit 1; }
}
trap at_exit EXIT
trap 'exit 1' INT TERM

# result STATUS NAME: counts; a failure shows what was printed.
result() {
	if [ "$1" = 0 ]; then
		passed=$((passed + 1))
		return 0
	fi
	failed=$((failed + 1))
	echo "FAILED: $2"
	sed 's/^/    out: /' "$out"
	sed 's/^/    err: /' "$err"
	return 0
}

expect_code() {
	want=$1 name=$2
	shift 2
	code=0
	"$@" >"$out" 2>"$err" </dev/null || code=$?
	if [ "$code" = "$want" ]; then result 0 "$name"; else result 1 "$name: exit $code instead of $want"; fi
}

ok() {
	expect_code 0 "$@"
}

has() {
	if grep -qF -e "$2" "$1"; then result 0 "$2"; else result 1 "no '$2' in $(basename "$1")"; fi
}

has_not() {
	if grep -qF -e "$2" "$1"; then result 1 "'$2' in $(basename "$1")"; else result 0 "$2"; fi
}

finish() {
	finished=yes
	echo "$passed passed, $failed failed"
	[ "$failed" = 0 ]
	exit
}

# A SoftHSM of this test's own: no token yet; $work/so-pin and $work/pin are PIN files for keymill-hsm init.
softhsm_new() {
	KEYMILL_PKCS11_MODULE=/usr/lib/softhsm/libsofthsm2.so
	SOFTHSM2_CONF=$work/softhsm2.conf
	export KEYMILL_PKCS11_MODULE SOFTHSM2_CONF
	[ -e "$KEYMILL_PKCS11_MODULE" ] || { echo "softhsm2 is not installed" >&2; exit 1; }
	mkdir -m 700 "$work/tokens"
	printf 'directories.tokendir = %s\nobjectstore.backend = file\nlog.level = ERROR\n' "$work/tokens" >"$SOFTHSM2_CONF"
	(umask 077 && echo 98765432 >"$work/so-pin" && echo 123456 >"$work/pin")
}
