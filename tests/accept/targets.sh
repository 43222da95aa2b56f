#!/bin/bash
# targets.sh - every target that the issue names exists, is documented by `make help` and finds its script.
set -uo pipefail
cd "$(dirname "$0")/../.."
rc=0 count=0
help=$(make --no-print-directory help) # grep -q would leave a pipe before make has said all
for target in run check check-all install demo accept bench fuzz soak format tidy layers scenes; do
	count=$((count + 1))
	make -n "$target" >/dev/null 2>&1 || { echo "no target $target"; rc=1; }
	grep -qw "$target" <<<"$help" || { echo "make help does not mention $target"; rc=1; }
done
for script in $(grep -oE '(tools|tests)/[a-z/-]+\.(sh|py)' Makefile tests/check.sh | cut -d: -f2 | sort -u); do
	[ -x "$script" ] || { echo "$script is named in Makefile or check.sh and is not there"; rc=1; }
done
echo "figure=$count targets"
exit $rc
