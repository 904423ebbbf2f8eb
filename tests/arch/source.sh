#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The sources by the house's own rules: one formatter, a licence line on every file, shell scripts without a finding, no path of one machine, nothing unfinished by its own word.
set -eu
cd "$(dirname "$0")/../.."
failed=0
passed=0
ok() { passed=$((passed + 1)); }
bad() { failed=$((failed + 1)); echo "not ok: $*"; }

for file in $(find lib hsm factory cmd tests -name '*.[ch]' | sort); do
    if clang-format-14 --dry-run -Werror "$file" 2>/dev/null; then ok; else bad "'$file' is not as clang-format writes it"; fi
    if head -n 1 "$file" | grep -qx '/\* SPDX-License-Identifier: Apache-2.0 \*/'; then ok; else bad "'$file' has no licence line"; fi
    # A screen and a half is a hard stop; a table of rows is no function.
    long=$(awk '/^[a-z].*\)$/ {start = NR; name = $0} /^}$/ && start {if (NR - start > 100) print name; start = 0}' "$file")
    if [ -z "$long" ]; then ok; else bad "'$file': longer than 100 lines: $long"; fi
done
for file in $(find cmake factory tests .ci -name '*.sh' -o -path .ci/run | sort); do
    if shellcheck -x -P "$(dirname "$file")" -S warning "$file" >/dev/null; then ok; else bad "shellcheck finds faults in '$file'"; fi
done
if grep -rnIE '(^|[^A-Za-z])(TO[D]O|FIX[M]E|X[X]X)([^A-Za-z]|$)' lib hsm factory cmd cmake schemas docs/man README.md; then bad "something is unfinished by its own word"; else ok; fi
echo "$passed passed, $failed failed"
[ $failed = 0 ] && [ $passed -gt 300 ]
