#!/bin/bash
# streams.sh CASE... - these cases of tests/e2e/test_streams.py: each must be there and pass.
set -uo pipefail
cd "$(dirname "$0")/../.."
out=$(python3 tests/e2e/test_streams.py "$@" 2>&1)
rc=$?
echo "$out"
passed=$(sed -n 's/^cases=\([0-9]*\) failed=0$/\1/p' <<<"$out")
echo "figure=${passed:-0} of $# cases pass"
[ $rc -eq 0 ] && [ "${passed:-0}" = $# ]
