#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Which folder may include which: design's layers, read off the #include lines. A new include that points upwards or sideways fails here.
set -eu
# shellcheck disable=SC2013
cd "$(dirname "$0")/../.."

# FOLDER: the prefixes it may include (its own always).
allowed() {
    case $1 in
    lib/base) echo "base" ;;
    lib/cli | lib/doc | lib/sign) echo "base" ;;
    lib/x509) echo "base sign doc" ;;
    lib/store) echo "base sign" ;;
    hsm) echo "base sign doc cli" ;;
    hsm/worker) echo "base" ;;
    lib/ca) echo "base sign doc x509 store" ;;
    factory) echo "base sign doc x509" ;;
    factory/office) echo "base sign doc cli x509 store ca factory" ;;
    factory/station) echo "base sign doc x509 factory" ;;
    lib/cloud | lib/cloud/plugin) echo "base sign doc x509 factory cloud" ;;
    cmd/keymill) echo "base" ;;
    cmd/hsm) echo "base cli sign hsm" ;;
    cmd/ca) echo "base cli sign x509 ca hsm" ;;
    cmd/office) echo "base cli sign x509 ca factory hsm" ;;
    cmd/station) echo "base cli sign factory hsm" ;;
    cmd/cloud) echo "base cli sign cloud" ;;
    *) return 1 ;;
    esac
}

# Third-party headers and the one folder that may include them.
owner() {
    case $1 in
    sqlite3.h) echo lib/store ;;
    jansson.h | yaml.h) echo lib/doc ;;
    p11-kit/*) echo hsm/worker ;;
    openssl/*) echo "lib/sign lib/cloud/plugin" ;; # the plugin is handed an X509 by the broker
    mosquitto*.h) echo lib/cloud/plugin ;;
    *) return 1 ;;
    esac
}

failed=0
passed=0
for file in $(find lib hsm factory cmd -name '*.[ch]' | sort); do
    folder=$(dirname "$file")
    own=${folder#lib/}
    if ! may=$(allowed "$folder"); then
        echo "not ok: '$file' lies in a folder that has no row in tests/arch/layers.sh"
        failed=$((failed + 1))
        continue
    fi
    bad=
    for include in $(sed -n 's/^#include "\(.*\)"$/\1/p' "$file"); do
        layer=${include%%/*}
        case $include in
        */*) ;;
        *) continue ;; # a private header of the same folder
        esac
        [ "$(dirname "$include")" = "$own" ] || [ "$layer" = "${own%%/*}" ] && continue
        case " $may " in
        *" $layer "*) ;;
        *) bad="$bad $include" ;;
        esac
    done
    for include in $(sed -n 's/^#include <\(.*\)>$/\1/p' "$file"); do
        if one=$(owner "$include"); then
            case " $one " in
            *" $folder "*) ;;
            *) bad="$bad <$include>" ;;
            esac
        fi
    done
    if [ -n "$bad" ]; then
        echo "not ok: '$file' may not include:$bad"
        failed=$((failed + 1))
    else
        passed=$((passed + 1))
    fi
done
echo "$passed passed, $failed failed"
[ $failed = 0 ] && [ $passed -gt 50 ]
