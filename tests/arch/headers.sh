#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Each header compiles alone: it includes what it needs.
set -eu
cd "$(dirname "$0")/../.."
failed=0
passed=0
for header in $(find lib hsm factory cmd -name '*.h' | sort); do
    flags=
    case $header in
    hsm/worker/*) flags=$(pkg-config --cflags p11-kit-1) ;;
    esac
    # shellcheck disable=SC2086
    if gcc -std=c11 -D_GNU_SOURCE -Wall -Wextra -Werror -fsyntax-only -Ilib -I. -I"$(dirname "$header")" $flags -include "$header" -x c /dev/null; then
        passed=$((passed + 1))
    else
        echo "not ok: '$header' does not compile alone"
        failed=$((failed + 1))
    fi
done
echo "$passed passed, $failed failed"
[ $failed = 0 ] && [ $passed -gt 30 ]
