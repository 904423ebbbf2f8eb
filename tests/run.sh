#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# run.sh [--full] [REGEX]: installs what is missing, builds (gcc, clang, sanitizers; warnings are errors), runs every test.
# --full runs the sizes that are asked for before a release. REGEX runs only the ctests whose names match, in the debug build.
set -eu
cd "$(dirname "$0")/.."
export KEYMILL_FULL=0
only=
while [ $# -gt 0 ]; do
    case $1 in
    --full) KEYMILL_FULL=1; shift ;;
    -h | --help) sed -n '3,4s/^# //p' "$0"; exit 0 ;;
    *) only=$1; shift ;;
    esac
done
export CTEST_OUTPUT_ON_FAILURE=1
limit=1500 # seconds for a test
[ $KEYMILL_FULL = 0 ] || limit=5400
cmake/packages.sh build run test

log=$(mktemp -d)
trap 'rm -rf "$log"' EXIT
passed=0
failed=0

# build PRESET [TARGETS...]: configured and built, or the end.
build() {
    echo "== build: $*"
    preset=$1
    shift
    cmake --preset "$preset" >"$log/build" 2>&1 && ninja -C "build/$preset" "$@" >"$log/build" 2>&1 || { tail -n 40 "$log/build"; echo "0 passed, 1 failed"; exit 1; }
    # A clean build says nothing; a warning would be an error, and this catches those that are not (linker, CMake).
    if grep -i 'warning' "$log/build"; then echo "0 passed, 1 failed"; exit 1; fi
}

# suite PRESET REGEX: its tests, counted.
suite() {
    echo "== tests: $1 ($2)"
    code=0
    KEYMILL_BUILD=$PWD/build/$1 ctest --test-dir "build/$1" -j 2 -R "$2" --no-tests=error --timeout "$limit" >"$log/ctest" 2>&1 || code=$?
    grep -E '^ *[0-9]+/[0-9]+ Test' "$log/ctest" || true
    total=$(sed -n 's/.* tests failed out of \([0-9]*\)$/\1/p' "$log/ctest")
    bad=$(sed -n 's/.*, \([0-9]*\) tests failed out of.*/\1/p' "$log/ctest")
    if [ -z "$total" ] || { [ $code != 0 ] && [ "${bad:-0}" = 0 ]; }; then
        tail -n 40 "$log/ctest"
        failed=$((failed + 1))
        return 0
    fi
    [ "$bad" = 0 ] || cat "$log/ctest"
    passed=$((passed + total - bad))
    failed=$((failed + bad))
}

started=$(date +%s)
build debug
if [ -n "$only" ]; then
    suite debug "$only"
else
    build clang
    build asan
    build release
    build tsan keymill-hsm keymill-token signloop p11shim
    suite debug '.*'
    suite asan '^(unit|cli|fuzz)\.'
    suite tsan '^fault\.threads$'
fi
echo "time: $(($(date +%s) - started)) s, full: $KEYMILL_FULL"
echo "$passed passed, $failed failed"
[ $failed = 0 ]
