#!/bin/bash
# mutants.sh - proof that the simulator sees: four bugs, each put into a scratch copy of the tree,
# must turn it red for the reason that the patch names ("expect: TEXT", found in what the simulator
# says). The untouched tree must be green first. SIM_SEEDS: how many seeds each of them gets.
set -eu
cd "$(dirname "$0")/../.."
seeds=${SIM_SEEDS:-300}
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
survivors=0

# build DIR: the simulator of that tree
build() {
	make -s -C "$1" build/release/sim >"$scratch/build.log" 2>&1 || {
		echo "mutants: the build in $1 failed:"
		tail -20 "$scratch/build.log"
		exit 1
	}
}

# judge DIR: runs scenes and seeds there; says what broke, one line each; true if nothing did
judge() {
	(
		cd "$1"
		result=0
		build/release/sim --scenes || result=1
		build/release/sim --seeds "$seeds" || result=1
		exit $result
	) >"$scratch/out" 2>&1
}

make -s build/release/sim >/dev/null
if ! judge .; then
	echo "mutants: the tree itself is red, so nothing can be proved:"
	grep -E '^seed|^scene.*(:|differs)' "$scratch/out" | head
	exit 1
fi

for patch in tests/sim/mutants/*.patch; do
	name=$(basename "$patch" .patch)
	expect=$(sed -n 's/^expect: //p' "$patch")
	rm -rf "$scratch/tree"
	mkdir -p "$scratch/tree/build/release"
	tar -cf - Makefile core overlay discovery scanner tools tests 2>/dev/null |
		tar -xf - -C "$scratch/tree"
	cp -a build/release/obj "$scratch/tree/build/release/"
	patch -s -p1 -d "$scratch/tree" <"$patch"
	build "$scratch/tree"
	if judge "$scratch/tree"; then
		echo "SURVIVED  $name: nothing turned red"
		survivors=$((survivors + 1))
	elif ! grep -qE "(seed [0-9]+|scene [a-z0-9_ ]+|!).*$expect" "$scratch/out"; then
		echo "MISSED    $name: red, but not because of '$expect':"
		grep -E '^seed|^scene.*(:|differs)' "$scratch/out" | head -5
		survivors=$((survivors + 1))
	else
		echo "killed    $name: $(grep -E "(seed|scene|!).*$expect" "$scratch/out" | head -1 | sed 's/  */ /g')"
	fi
done
[ "$survivors" = 0 ] || exit 1
