#!/bin/bash
# unit.sh TEST[:CASE[,CASE...]]... - builds and runs unit tests (sanitized) and tells how many tests passed. With
# cases after the colon each of them must be among the passed ones, and only they count.
set -uo pipefail
cd "$(dirname "$0")/../.."
names=()
for word in "$@"; do
	names+=("build/san/tests/unit/${word%%:*}")
done
make -s -j"$(nproc)" F=san CC=clang "${names[@]}" || { echo "figure=does not build"; exit 1; }
count=0 failed=0
for word in "$@"; do
	name=${word%%:*}
	out=$("build/san/tests/unit/$name" 2>&1) || { echo "$out"; failed=$((failed + 1)); continue; }
	passed=$(sed -n 's/^\[ *OK *\] //p' <<<"$out")
	if [ "$name" = "$word" ]; then
		count=$((count + $(grep -c . <<<"$passed")))
		continue
	fi
	for one in $(tr , ' ' <<<"${word#*:}"); do
		grep -qx "$one" <<<"$passed" || { echo "$name: no passed test $one"; failed=$((failed + 1)); continue; }
		count=$((count + 1))
	done
done
if [ $failed -gt 0 ]; then
	echo "figure=$failed failed, $count tests pass"
	exit 1
fi
echo "figure=$count tests pass"
[ $count -gt 0 ]
