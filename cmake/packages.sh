#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# packages.sh SET...: installs the Debian packages that a set needs and that are missing. Sets: build, run, test.
# Needs root or sudo only when something is missing.
set -eu

build="gcc libc6-dev cmake ninja-build pkg-config libssl-dev libp11-kit-dev libsqlite3-dev libjansson-dev libyaml-dev
mosquitto-dev libmosquitto-dev"
run="openssl softhsm2 opensc mosquitto mosquitto-clients"
test="libcmocka-dev clang-14 libclang-rt-14-dev clang-format-14 binutils gnutls-bin python3 python3-cryptography python3-jsonschema
python3-yaml jq valgrind shellcheck mandoc sqlite3 bsdextrautils faketime procps util-linux mount
libnss3 libnss3-tools libtpm2-pkcs11-1 swtpm tpm2-abrmd libtss2-tcti-tabrmd0 dbus-daemon dbus-bin tpm2-tools p11-kit p11-kit-modules"

want=
for set in "$@"; do
    case $set in
    build) want="$want $build" ;;
    run) want="$want $run" ;;
    test) want="$want $test" ;;
    *) echo "packages.sh: unknown set '$set'" >&2; exit 2 ;;
    esac
done

missing=
for p in $want; do
    dpkg-query -W -f '${Status}' "$p" 2>/dev/null | grep -q '^install ok installed$' || missing="$missing $p"
done
[ -n "$missing" ] || exit 0

echo "installing:$missing" >&2
as_root=
if [ "$(id -u)" != 0 ]; then
    command -v sudo >/dev/null || { echo "packages.sh: run as root, or install sudo, or install these by hand:$missing" >&2; exit 1; }
    as_root="sudo"
fi
export DEBIAN_FRONTEND=noninteractive
# A broker that the package starts by itself is not wanted: this keeps services from being started on installation.
guard=/usr/sbin/policy-rc.d
made_guard=no
if [ ! -e $guard ]; then
    printf '#!/bin/sh\nexit 101\n' | $as_root tee $guard >/dev/null && $as_root chmod 755 $guard && made_guard=yes
fi
log=$(mktemp)
# shellcheck disable=SC2086
if ! { $as_root apt-get update -q && $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends $missing; } >"$log" 2>&1; then
    tail -n 20 "$log" >&2
    [ $made_guard = no ] || $as_root rm -f $guard
    exit 1
fi
[ $made_guard = no ] || $as_root rm -f $guard
rm -f "$log"
