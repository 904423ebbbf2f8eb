# shellcheck shell=sh disable=SC2154
# SPDX-License-Identifier: Apache-2.0
# SoftHSM in the tools' own processes, as the token behind a test. Sourced after sh.sh, whose `tokens` makes it.
#
#   backend_start          no token yet; PINs in $T/so-pin and $T/pin
#   backend_token LABEL    an initialised token of that label with the user's PIN set
#   backend_stop           removes all tokens
backend_start() { tokens; }
backend_token() {
    ok "token $1" keymill-hsm init --label "$1" --so-pin-source "file:$T/so-pin" --pin-source "file:$T/pin"
}
backend_stop() {
    rm -rf "$T/tokens" "$SOFTHSM2_CONF"
    unset SOFTHSM2_CONF KEYMILL_PKCS11_MODULE
}
