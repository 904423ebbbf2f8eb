# shellcheck shell=sh disable=SC2034,SC2154
# SPDX-License-Identifier: Apache-2.0
# Sourced after sh.sh: tpm2-pkcs11 over a software TPM of this test's own, as the token to test against.
#
#   backend_start          the TPM, its broker and the bus between them; PINs in $T/so-pin and $T/pin
#   backend_token LABEL    an initialised token with the user PIN set
#   backend_unlock         the security officer's help after three wrong PINs, which lock every token of the TPM
#   backend_broker_stop    ends the broker alone: the module in a running process never works again, and no other starts
#   backend_broker_start   lets new processes work again
#   backend_stop           ends all; backend_start makes it the test's clean-up unless there is one, which then calls it
#
# Several processes use the TPM at once, so tpm2-abrmd stands between them and it, reached over a D-Bus of this test's own: no system bus,
# no systemd, no TCP port. Sockets and logs (bus.log, swtpm.log, broker.log) are in $T/tpm. The module prints its errors to standard
# error, whatever its log level: tests look for texts there, never for silence.
bus_pid='' swtpm_pid='' broker_pid=''

# backend_try COMMAND...: until it succeeds; a hundred times, a tenth of a second apart.
backend_try() {
    try_left=100
    until "$@" >"$T/tpm/try.log" 2>&1; do
        try_left=$((try_left - 1))
        [ $try_left -gt 0 ] || return 1
        sleep 0.1
    done
}
backend_gone() { ! kill -0 "$1"; }
# backend_end PID: an empty one was never there.
backend_end() {
    [ -n "$1" ] || return 0
    kill "$1" 2>/dev/null
    backend_try backend_gone "$1" || kill -9 "$1" 2>/dev/null
    wait "$1" 2>/dev/null
    return 0
}
backend_broken() {
    echo "backend: $1; the logs:" >&2
    tail -n 20 "$T"/tpm/*.log >&2
    exit 1
}

bus_start() {
    cat >"$T/tpm/bus.conf" <<END
<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN" "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <listen>unix:path=$T/tpm/bus</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow user="*"/>
    <allow own="*"/>
    <allow send_destination="*"/>
    <allow receive_sender="*"/>
  </policy>
</busconfig>
END
    dbus-daemon --config-file="$T/tpm/bus.conf" --nofork --nopidfile --nosyslog >"$T/tpm/bus.log" 2>&1 </dev/null &
    bus_pid=$!
    backend_try timeout 5 dbus-send --bus="$DBUS_SYSTEM_BUS_ADDRESS" --print-reply --dest=org.freedesktop.DBus / org.freedesktop.DBus.ListNames ||
        backend_broken "dbus-daemon does not answer"
}
swtpm_start() {
    swtpm socket --tpm2 --tpmstate "dir=$T/tpm/state" --server "type=unixio,path=$T/tpm/tpm" --ctrl "type=unixio,path=$T/tpm/tpm.ctrl" \
        --flags not-need-init,startup-clear >"$T/tpm/swtpm.log" 2>&1 </dev/null &
    swtpm_pid=$!
    backend_try timeout 5 tpm2_getrandom --tcti="swtpm:path=$T/tpm/tpm" --hex 4 || backend_broken "swtpm does not answer"
}
# Transient objects: the module leaves two loaded for each key pair that a process makes, and the default is 27.
backend_broker_start() {
    tpm2-abrmd --allow-root --max-transients=100 --tcti="swtpm:path=$T/tpm/tpm" >>"$T/tpm/broker.log" 2>&1 </dev/null &
    broker_pid=$!
    backend_try timeout 5 tpm2_getrandom --tcti="$TPM2_PKCS11_TCTI" --hex 4 || backend_broken "tpm2-abrmd does not answer"
}
backend_broker_stop() {
    backend_end "$broker_pid"
    broker_pid=''
}

backend_start() {
    (umask 077 && mkdir "$T/tpm" "$T/tpm/state" "$T/tpm/store" && echo 98765432 >"$T/so-pin" && echo 123456 >"$T/pin") || exit 1
    for module in /usr/lib/*/libtpm2_pkcs11.so.1; do
        KEYMILL_PKCS11_MODULE=$module
    done
    [ -e "$KEYMILL_PKCS11_MODULE" ] || backend_broken "libtpm2-pkcs11-1 is not installed"
    DBUS_SYSTEM_BUS_ADDRESS=unix:path=$T/tpm/bus
    TPM2_PKCS11_STORE=$T/tpm/store TPM2_PKCS11_BACKEND=esysdb TPM2_PKCS11_TCTI=tabrmd:bus_type=system TPM2_PKCS11_LOG_LEVEL=0
    TSS2_LOG=all+none
    PATH=$PATH:/usr/sbin # tpm2-abrmd's place, which not every user's path has
    export KEYMILL_PKCS11_MODULE DBUS_SYSTEM_BUS_ADDRESS TPM2_PKCS11_STORE TPM2_PKCS11_BACKEND TPM2_PKCS11_TCTI TPM2_PKCS11_LOG_LEVEL TSS2_LOG
    [ "$at_end" != : ] || at_end=backend_stop
    bus_start
    swtpm_start
    backend_broker_start
}
backend_token() {
    ok "token $1" keymill-hsm init --label "$1" --so-pin-source "file:$T/so-pin" --pin-source "file:$T/pin"
}
backend_unlock() { ok "unlock the TPM" timeout 60 tpm2_dictionarylockout --tcti="$TPM2_PKCS11_TCTI" --clear-lockout; }
backend_stop() {
    backend_broker_stop
    backend_end "$swtpm_pid"
    backend_end "$bus_pid"
    swtpm_pid='' bus_pid=''
}
