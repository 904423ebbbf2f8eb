# shellcheck shell=sh disable=SC2034
# SPDX-License-Identifier: Apache-2.0
# Sourced by the shell tests: . "$(dirname "$0")/../support/sh.sh"
#
#   ok NAME COMMAND...                 the command must succeed
#   expect_code CODE NAME COMMAND...   the command must end with this exit code
#   refused CODE KEY NAME COMMAND...   and its error must have this key
#   has FILE TEXT, lacks FILE TEXT     what a file must and must not hold
#   same NAME A B                      two values must be equal
#   pass, fail TEXT                    the verdict of a check made by hand
#   tokens [LABEL...]                  a SoftHSM of this test's own with these tokens; PINs in $T/so-pin and $T/pin
#   end                                the last line: summary and exit code
#
# $T is a private folder, gone at the end; $T/out and $T/err hold what the last command printed; $top is the source tree, $KEYMILL_BUILD the build
# tree. at_end names a function for the clean-up.
set -u
top=$(cd "$(dirname "$0")/../.." && pwd)
: "${KEYMILL_BUILD:?KEYMILL_BUILD names the build tree}"
KEYMILL_BUILD=$(cd "$KEYMILL_BUILD" && pwd) || exit 1
PATH=$KEYMILL_BUILD/bin:$PATH
export KEYMILL_BUILD PATH
T=$(mktemp -d "${TMPDIR:-/tmp}/keymill-test.XXXXXX") || exit 1
: >"$T/out"
: >"$T/err"
mkdir -m 700 "$T/run"
export XDG_RUNTIME_DIR="$T/run"
# How the fault-injecting module is used, and what it may write although workers are confined.
export KEYMILL_QUIRKS="$top/tests/support/quirks" KEYMILL_TEST_FOLDER="$T"
passed=0 failed=0 ended=no at_end=:

leave() {
    $at_end
    cd / && rm -rf "$T"
    [ $ended = yes ] || { echo "the test stopped before its end" >&2; exit 1; }
}
trap leave EXIT
trap 'exit 1' HUP INT TERM

pass() { passed=$((passed + 1)); }
fail() {
    failed=$((failed + 1))
    echo "not ok: $1"
    sed 's/^/    /' "$T/out" "$T/err"
}
expect_code() {
    t_want=$1 t_name=$2 t_code=0
    shift 2
    "$@" >"$T/out" 2>"$T/err" </dev/null || t_code=$?
    if [ "$t_code" = "$t_want" ]; then pass; else fail "$t_name: exit code $t_code, not $t_want"; fi
}
ok() { expect_code 0 "$@"; }
refused() {
    refused_key=$2
    refused_code=$1
    shift 2
    expect_code "$refused_code" "$@"
    has "$T/err" "[$refused_key]"
}
has() { if grep -qF -e "$2" "$1"; then pass; else fail "'$1' has no '$2'"; fi; }
lacks() { if grep -qF -e "$2" "$1"; then fail "'$1' has '$2'"; else pass; fi; }
same() { if [ "$2" = "$3" ]; then pass; else fail "$1: '$2', not '$3'"; fi; }
end() {
    ended=yes
    echo "$passed passed, $failed failed"
    [ $failed = 0 ]
    exit
}
tokens() {
    KEYMILL_PKCS11_MODULE=/usr/lib/softhsm/libsofthsm2.so
    SOFTHSM2_CONF=$T/softhsm2.conf
    export KEYMILL_PKCS11_MODULE SOFTHSM2_CONF
    mkdir -m 700 "$T/tokens"
    printf 'directories.tokendir = %s\nobjectstore.backend = file\nlog.level = ERROR\n' "$T/tokens" >"$SOFTHSM2_CONF"
    (umask 077 && echo 98765432 >"$T/so-pin" && echo 123456 >"$T/pin")
    for token in "$@"; do
        ok "token $token" keymill-hsm init --label "$token" --so-pin-source "file:$T/so-pin" --pin-source "file:$T/pin"
    done
}
