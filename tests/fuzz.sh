#!/bin/bash
# fuzz.sh SECONDS [TARGET...] - each fuzz target for SECONDS from its corpus; 0 only replays the
# corpus. A crash stays in build/fuzz/crash-* with the command that replays it. New inputs that
# reach new code stay in build/fuzz/new/TARGET; those worth keeping are copied to the corpus by hand.
set -uo pipefail
cd "$(dirname "$0")/.."
seconds=${1:?seconds}
shift

if [ "${FUZZ_ONE:-}" ]; then
	target=$1
	corpus=tests/fuzz/corpus/${target#fuzz_}
	new=build/fuzz/new/$target
	mkdir -p "$new"
	if [ -z "$(ls -A "$corpus" 2>/dev/null)" ]; then
		echo "$target: no seed in $corpus; a fuzz target without a corpus proves little"
		exit 1
	fi
	options=(-artifact_prefix="build/fuzz/crash-$target-" -rss_limit_mb=2048 -timeout=10)
	if [ "$seconds" -eq 0 ]; then
		exec "build/fuzz/$target" "${options[@]}" -runs=0 "$corpus"
	fi
	# tests/fuzz/X.dict helps a target past words it would take years to guess.
	dict=tests/fuzz/${target#fuzz_}.dict
	[ ! -f "$dict" ] || options+=(-dict="$dict")
	exec "build/fuzz/$target" "${options[@]}" -max_total_time="$seconds" \
		-print_final_stats=1 "$new" "$corpus"
fi

targets=("$@")
if [ ${#targets[@]} -eq 0 ]; then
	mapfile -t targets < <(for f in tests/fuzz/fuzz_*.c; do basename "$f" .c; done)
fi
# run.sh runs programs without arguments: one small program per target.
mkdir -p build/fuzz/run
programs=()
for target in "${targets[@]}"; do
	program=build/fuzz/run/$target
	printf '#!/bin/sh\nFUZZ_ONE=1 exec tests/fuzz.sh %s %s\n' "$seconds" "$target" >"$program"
	chmod +x "$program"
	programs+=("$program")
done
tests/run.sh -t $((seconds * 2 + 120)) "${programs[@]}"
rc=$?
[ "$seconds" -eq 0 ] || tools/runs.sh fuzz "$((seconds * ${#targets[@]})) s" \
	"${#targets[@]} targets" "$([ $rc -eq 0 ] && echo pass || echo fail)"
exit $rc
