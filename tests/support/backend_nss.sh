# shellcheck shell=sh disable=SC2154
# SPDX-License-Identifier: Apache-2.0
# NSS softokn (libnss3) as the token behind a test, through tests/p11nss.so. Sourced after sh.sh.
#
#   backend_start          no token yet; PINs in $T/so-pin and $T/pin
#   backend_token LABEL    an initialised token of that label with the user's PIN set
#   backend_stop           removes all tokens
#
# A token is a database folder, and its name is the label: softokn has no place for a label in the database, it takes it from its start
# string, and ignores the one in C_InitToken. C_InitToken is no way to a token either: softokn knows no SO PIN, only the empty one is right
# and only until the user has a PIN, so keymill-hsm init refuses. certutil (libnss3-tools) sets the user's PIN instead.
backend_start() {
    export KEYMILL_PKCS11_MODULE="$KEYMILL_BUILD/tests/p11nss.so" KEYMILL_NSS_DIR="$T/nss"
    mkdir -m 700 "$KEYMILL_NSS_DIR"
    (umask 077 && echo 98765432 >"$T/so-pin" && echo 123456 >"$T/pin")
}
backend_token() {
    mkdir -m 700 "$KEYMILL_NSS_DIR/$1"
    ok "token $1" certutil -N -d "sql:$KEYMILL_NSS_DIR/$1" -f "$T/pin"
}
backend_stop() {
    rm -rf "$KEYMILL_NSS_DIR"
    unset KEYMILL_NSS_DIR KEYMILL_PKCS11_MODULE
}
