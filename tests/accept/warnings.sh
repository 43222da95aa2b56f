#!/bin/bash
# warnings.sh - everything from nothing with gcc 12 and clang 14, release and san, counting warnings.
set -uo pipefail
cd "$(dirname "$0")/../.."
log=$(mktemp)
trap 'rm -rf "$log" build/accept-gcc build/accept-clang build/accept-san' EXIT
jobs=$(nproc)
failed=0
make -s -j"$jobs" CC=gcc B=build/accept-gcc everything >>"$log" 2>&1 || failed=1
make -s -j"$jobs" CC=clang B=build/accept-clang everything >>"$log" 2>&1 || failed=1
make -s -j"$jobs" CC=clang F=san B=build/accept-san everything >>"$log" 2>&1 || failed=1
count=$(grep -cE '(warning|error):' "$log")
grep -E '(warning|error):' "$log"
echo "figure=$count warnings, $(gcc -dumpversion), clang $(clang -dumpversion)"
[ "$count" -eq 0 ] && [ $failed -eq 0 ]
