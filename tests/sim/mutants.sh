#!/bin/bash
# mutants.sh [-k] [NAME...] - proof that the simulator sees: each patch in tests/sim/mutants puts one bug into a
# scratch copy of the tree, and must turn scenes or seeds red by the invariant that its line
# "expect: TEXT" names; a line "with: ARGUMENTS" says what to run instead of seeds. The tree without a patch must be green first. Prints a table and exits with 1
# if a mutant survives. NAME: only these. MUTANT_SEEDS: how many seeds each gets (300); -k keeps the scratch copy.
set -euo pipefail
cd "$(dirname "$0")/../.."
seeds=${MUTANT_SEEDS:-300}
scratch=$(mktemp -d)
if [ "${1:-}" = -k ]; then
	shift
	echo "scratch copy: $scratch"
else
	trap 'rm -rf "$scratch"' EXIT
fi
unset MAKEFLAGS MAKELEVEL
export F=release

# The lines of $scratch/out that name an invariant, as "INVARIANT<tab>WHERE<tab>WHAT", into $scratch/red.
find_red() {
	sed -nE -e 's/^scene ([a-z0-9_]+) +([a-z_0-9]+): (.+)/\2\tscene \1\t\3/p' \
		-e 's/^(seed [0-9]+|cell [^:]+): ([a-z_0-9]+): (.+)/\2\t\1\t\3/p' "$scratch/out" >"$scratch/red"
}

# play DIR [EXPECT [ARGUMENTS]]: scenes, then seeds (or what the arguments say), into $scratch/out; true if
# all were green. When the scenes are red as expected the seeds are spared.
play() {
	local rc=0
	(cd "$1" && build/release/sim --scenes) >"$scratch/out" 2>&1 || rc=1
	find_red
	if [ $rc = 1 ] && [ -n "${2:-}" ] && grep -q -E "$2" "$scratch/red"; then
		return 1
	fi
	local arguments=(--seeds "$seeds")
	[ -z "${3:-}" ] || read -ra arguments <<<"$3"
	(cd "$1" && build/release/sim "${arguments[@]}" --jobs "$(nproc)") >>"$scratch/out" 2>&1 || rc=1
	return $rc
}

row() {
	printf '%-19s %-9s %-10s %-34s %.100s\n' "$@"
}

make -s build/release/sim
mkdir -p "$scratch/tree/build"
tar -cf - Makefile core overlay tools tests/sim $(ls -d discovery scanner 2>/dev/null) |
	tar -xf - -C "$scratch/tree"
cp -a build/release "$scratch/tree/build/"
cp -a "$scratch/tree" "$scratch/clean"

row mutant verdict by where what
if ! play "$scratch/tree"; then
	row none RED - - "nothing can be proved:"
	cat "$scratch/out"
	exit 1
fi
row none green - "scenes and $seeds seeds" -

survivors=0 killed=0
for patch in "$PWD"/tests/sim/mutants/*.patch; do
	name=$(basename "$patch" .patch)
	[ $# = 0 ] || [[ " $* " = *" $name "* ]] || continue
	expect=$(sed -n 's/^expect: //p' "$patch")
	with=$(sed -n 's/^with: //p' "$patch")
	rm -rf "$scratch/tree"
	cp -a "$scratch/clean" "$scratch/tree"
	if ! patch -s -p1 -d "$scratch/tree" <"$patch" >"$scratch/log" 2>&1 ||
		! make -s -C "$scratch/tree" build/release/sim >"$scratch/log" 2>&1; then
		row "$name" BROKEN - "patch or build" -
		tail -n 20 "$scratch/log"
		survivors=$((survivors + 1))
		continue
	fi
	verdict=SURVIVED by=- where=- what="expected: $expect"
	if ! play "$scratch/tree" "$expect" "$with"; then
		find_red
		verdict=MISSED # red, but by something else
		if grep -m 1 -E "$expect" "$scratch/red" >"$scratch/line"; then
			verdict=killed
			IFS=$'\t' read -r by where what <"$scratch/line"
		fi
	fi
	row "$name" "$verdict" "$by" "$where" "$what"
	if [ $verdict = killed ]; then killed=$((killed + 1)); else survivors=$((survivors + 1)); fi
done
[ $survivors = 0 ] || {
	echo "$survivors not proved"
	exit 1
}
echo "figure=$killed of $killed"
