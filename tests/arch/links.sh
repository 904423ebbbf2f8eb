#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# What a tool must not be able to do, it is not linked to do: ELF NEEDED of every tool, the whole ldd closure of the ones that hold keys or stand at a line, and
# the link map (symbols) for our own static modules.
set -eu
build=${KEYMILL_BUILD:?KEYMILL_BUILD names the build tree}
failed=0
passed=0
result() {
    if [ "$1" = 0 ]; then passed=$((passed + 1)); else failed=$((failed + 1)); echo "not ok: $2"; fi
}
# never BINARY LIBRARY...: not among its NEEDED entries.
never() {
    file=$1
    shift
    needed=$(objdump -p "$file" | sed -n 's/^ *NEEDED *//p')
    [ -n "$needed" ] || { result 1 "'$file' shows no NEEDED entries"; return; }
    for lib in "$@"; do
        if echo "$needed" | grep -q "^$lib"; then result 1 "'$file' is linked to $lib"; else result 0 ""; fi
    done
}
# closure BINARY LIBRARY...: nowhere in what it loads.
closure() {
    file=$1
    shift
    all=$(ldd "$file" | awk '{print $1}')
    for lib in "$@"; do
        if echo "$all" | grep -q "^$lib"; then result 1 "'$file' loads $lib in the end"; else result 0 ""; fi
    done
}
# lacks BINARY SYMBOL: one of our modules is not inside. has BINARY SYMBOL proves that the look itself works.
lacks() { if nm "$1" | grep -q " [Tt] $2\$"; then result 1 "'$1' holds $2"; else result 0 ""; fi; }
has() { if nm "$1" | grep -q " [Tt] $2\$"; then result 0 ""; else result 1 "'$1' lacks $2 (has it been renamed?)"; fi; }

bin=$build/bin
never "$bin/keymill-hsm" libcurl libsqlite3 libevent libp11-kit
never "$bin/keymill-ca" libcurl libevent libpq libp11-kit
never "$bin/keymill-office" libcurl libevent libp11-kit
never "$bin/keymill-station" libcurl libpq libp11-kit
never "$bin/keymill-cloud" libevent libp11-kit libsqlite3
never "$build/libexec/keymill/keymill-token" libcurl libsqlite3 libevent libpq libcrypto libssl
never "$bin/keymill" libcurl libsqlite3 libevent libpq libcrypto libp11-kit
never "$build/lib/keymill/keymill_admission.so" libcurl libsqlite3 libevent libpq libp11-kit
closure "$bin/keymill-ca" libcurl libevent libpq libp11-kit
closure "$bin/keymill-station" libcurl libpq libp11-kit libevent

# keymill-token is the only program with p11-kit.
if objdump -p "$build/libexec/keymill/keymill-token" | grep -q 'NEEDED *libp11-kit'; then result 0 ""; else result 1 "keymill-token is not linked to p11-kit"; fi
# No token client, no CA, no database where they do not belong.
has "$bin/keymill-hsm" tokens_open
lacks "$bin/keymill-cloud" tokens_open
lacks "$bin/keymill-cloud" store_open
lacks "$build/lib/keymill/keymill_admission.so" tokens_open
has "$bin/keymill-ca" ca_open
lacks "$bin/keymill-station" ca_open
lacks "$bin/keymill-station" office_open
lacks "$bin/keymill-hsm" ca_open
has "$bin/keymill-office" office_open
lacks "$bin/keymill-office" station_open
echo "$passed passed, $failed failed"
[ $failed = 0 ]
