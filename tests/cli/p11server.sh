#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The separation between accounts: p11-kit's client here, the module and the token with `p11-kit server` of another account, and a third
# account that has nothing to do with either. What the tools can do across this is cli.tokens.p11server's.
. "$(dirname "$0")/../support/sh.sh"
. "$(dirname "$0")/../support/backend_p11server.sh"
cd "$T" || exit 1
backend_start nobody
backend_token root
pin="--pin-source file:$T/pin"
key="pkcs11:token=root;object=ca"
# another COMMAND...: neither our account, nor the server's, nor the one that may connect.
mkdir -m 755 "$T/other" && cp -R "$T/client/bin" "$T/client/libexec" "$T/client/share" "$T/other" && chmod -R a+rX "$T/other" || exit 1
mkdir -m 700 "$T/other/run" && chown 61002 "$T/other/run" || exit 1
another() { KEYMILL_QUIRKS='' XDG_RUNTIME_DIR=$T/other/run PATH=$T/other/bin:$PATH setpriv --reuid 61002 --regid 61002 --clear-groups "$@"; }

# --- what the account of the tools cannot reach ---
same "the token is the server's" "$(find "$T/server" ! -user 61001 ! -type s)" ""
token_file=$(find "$T/server/tokens" -name token.object)
for file in "$T/server/softhsm2.conf" "$token_file"; do
    ok "the server's account reads '$file'" setpriv --reuid 61001 --regid 61001 --clear-groups cat "$file"
    expect_code 1 "the tools' account reads '$file'" backend_client cat "$file"
    has err "Permission denied"
done
refused 4 hsm.no-module "the module itself, in the tools' process" backend_client env SOFTHSM2_CONF="$T/server/softhsm2.conf" \
    KEYMILL_PKCS11_MODULE=/usr/lib/softhsm/libsofthsm2.so keymill-hsm check "$key" --usage sign --pin-source "file:$T/pin"

# --- who may connect ---
ok "the tools' account" backend_client keymill-hsm list
has out root
ok "another account" another keymill-hsm list
lacks out root
# The modes of files do not hold root up, but the server asks who it is.
refused 4 hsm.no-module "root" keymill-hsm list
has err CKR_DEVICE_ERROR
has server.log "connecting uid (0) doesn't match expected"

# --- a key, by the account that may ---
# shellcheck disable=SC2086
{
    ok "keygen" backend_client keymill-hsm keygen "$key" --algorithm ec-p256 --usage sign $pin
    ok "check" backend_client keymill-hsm check "$key" --usage sign $pin
}
same "it is the server's" "$(find "$T/server/tokens" -name '*.object' ! -user 61001)" ""
refused 4 hsm.no-token "another account with the PIN" another keymill-hsm check "$key" --usage sign --pin-source "fd:5" 5<pin

# --- the token's flags come through as they are now ---
(umask 077 && echo 654321 >wrong.pin) && chown nobody wrong.pin
refused 4 hsm.pin-incorrect "a wrong PIN" backend_client keymill-hsm check "$key" --usage sign --pin-source "file:$T/wrong.pin"
ok "list shows it" backend_client keymill-hsm list
has out "wrong tries"
# shellcheck disable=SC2086
ok "the right PIN" backend_client keymill-hsm check "$key" --usage sign $pin
ok "list after it" backend_client keymill-hsm list
lacks out "wrong tries"

# --- several processes at once: every start rewrites SoftHSM's token file ---
starts() {
    # shellcheck disable=SC2086
    for i in 1 2 3 4 5 6 7 8; do backend_client keymill-hsm check "$key" --usage sign $pin || echo "start $i"; done >"$1" 2>&1
}
pids=
for n in 1 2 3 4; do
    starts "starts.$n" &
    pids="$pids $!"
done
# shellcheck disable=SC2086
wait $pids
same "all of them started" "$(cat starts.? | grep -c '^broken: *none$')" 32

end
