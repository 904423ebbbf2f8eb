# shellcheck shell=sh disable=SC2034,SC2154
# SPDX-License-Identifier: Apache-2.0
# Sourced after sh.sh: a SoftHSM of another account behind `p11-kit server`, as the token to test against. Needs root.
#
#   backend_start [ACCOUNT]  the server; ACCOUNT alone (else our own) may connect. PINs in $T/so-pin and $T/pin, which ACCOUNT can read
#   backend_client COMMAND   runs as ACCOUNT, with copies of our programs and their data, since it may not reach the build tree
#   backend_token LABEL      an initialised token with the user PIN set
#   backend_cut              ends the connections: each is a process of the server with a login of its own
#   backend_broker_stop      ends the server and the connections: the token is gone
#   backend_broker_start     and is back
#   backend_stop             ends all; backend_start makes it the test's clean-up
#
# The module's configuration and the token are in $T/server; uid 61001 owns both, and nobody else reads them (root always can). No
# account of that number has to exist. The server runs in the foreground and makes its socket for its owner alone: it cannot give the
# socket away itself, so we do. It checks the account behind each connection besides.
server_pid='' backend_account=''

# try TIMES COMMAND...: until it succeeds, a tenth of a second apart.
try() {
    try_left=$1
    shift
    until "$@" >/dev/null 2>&1; do
        try_left=$((try_left - 1))
        [ $try_left -gt 0 ] || return 1
        sleep 0.1
    done
}
backend_broken() {
    echo "backend: $1; the server's log:" >&2
    [ ! -e "$T/server.log" ] || tail -n 20 "$T/server.log" >&2
    exit 1
}

backend_broker_start() {
    : >"$T/server.log"
    SOFTHSM2_CONF=$T/server/softhsm2.conf setpriv --reuid 61001 --regid 61001 --clear-groups \
        p11-kit server --foreground --user "$backend_account" --name "$T/server/socket" --provider /usr/lib/softhsm/libsofthsm2.so pkcs11: \
        >"$T/server.log" 2>&1 </dev/null &
    server_pid=$!
    # It says so when it listens; the socket is there before that.
    try 100 grep -q "^P11_KIT_SERVER_PID=$server_pid;" "$T/server.log" || backend_broken "p11-kit server does not listen"
    chown "$backend_account" "$T/server/socket" || backend_broken "the socket cannot be given to $backend_account"
}
connections() { ps -o pid= --ppid "$server_pid"; }
backend_cut() {
    # shellcheck disable=SC2046
    kill -9 $(connections)
}
backend_broker_stop() {
    [ -n "$server_pid" ] || return 0
    # Connections outlive their server. Stopped, it makes no new ones while the old ones are ended.
    kill -STOP "$server_pid"
    backend_cut 2>/dev/null
    kill -TERM "$server_pid"
    kill -CONT "$server_pid"
    wait "$server_pid"
    server_pid=''
}

backend_start() {
    backend_account=${1:-$(id -un)}
    [ "$(id -u)" = 0 ] || backend_broken "another account's server can be started by root alone"
    KEYMILL_PKCS11_MODULE=/usr/lib/x86_64-linux-gnu/pkcs11/p11-kit-client.so
    P11_KIT_SERVER_ADDRESS=unix:path=$T/server/socket
    unset SOFTHSM2_CONF
    export KEYMILL_PKCS11_MODULE P11_KIT_SERVER_ADDRESS
    chmod 711 "$T" && mkdir -m 711 "$T/server" && mkdir -m 700 "$T/server/tokens" "$T/client" "$T/client/run" || exit 1
    printf 'directories.tokendir = %s\nobjectstore.backend = file\nlog.level = ERROR\n' "$T/server/tokens" >"$T/server/softhsm2.conf"
    chmod 600 "$T/server/softhsm2.conf"
    chown -R 61001:61001 "$T/server" || exit 1
    (umask 077 && echo 98765432 >"$T/so-pin" && echo 123456 >"$T/pin")
    if [ "$backend_account" != "$(id -un)" ]; then
        cp -RL "$KEYMILL_BUILD/bin" "$KEYMILL_BUILD/libexec" "$KEYMILL_BUILD/share" "$T/client" || exit 1
        chown -R "$backend_account" "$T/client" "$T/so-pin" "$T/pin" || exit 1
    fi
    [ "$at_end" != : ] || at_end=backend_stop
    backend_broker_start
}
backend_client() {
    if [ "$backend_account" = "$(id -un)" ]; then
        "$@"
    else
        KEYMILL_QUIRKS='' XDG_RUNTIME_DIR=$T/client/run PATH=$T/client/bin:$PATH \
            setpriv --reuid "$backend_account" --regid "$(id -g "$backend_account")" --clear-groups "$@"
    fi
}
backend_token() {
    ok "token $1" backend_client keymill-hsm init --label "$1" --so-pin-source "file:$T/so-pin" --pin-source "file:$T/pin"
}
backend_stop() { backend_broker_stop; }
