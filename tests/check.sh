#!/bin/bash
# check.sh [all] - what `make check` and `make check-all` run. A stage that fails does not stop the next
# ones, unless nothing can be tested without it. Prints the seconds of each stage and, as the very
# last line, the sum of all tests.
set -uo pipefail
cd "$(dirname "$0")/.."
scope=${1:-}
unset MAKEFLAGS MAKELEVEL # each make below says what it needs; no job server reaches it
jobs=${JOBS:-$(nproc)}

mkdir -p build
export TALLY=$PWD/build/tally QUIET=1
: >"$TALLY"
times=()

finish() {
	echo
	printf '%6s s  %s\n' "${times[@]}" $SECONDS 'in all'
	awk '{ p += $1; f += $2; s += $3 }
		END { printf "%d passed, %d failed, %d skipped\n", p, f, s; exit f > 0 || p == 0 }' "$TALLY"
	exit
}

# stage NAME COMMAND... - runs it. Its tests report themselves; one that reports none counts as one.
stage() {
	local name=$1 rc start=$SECONDS lines
	shift
	echo "== $name"
	lines=$(wc -l <"$TALLY")
	"$@"
	rc=$?
	if [ $rc -ne 0 ] && ! tail -n "+$((lines + 1))" "$TALLY" | awk '$2 { f = 1 } END { exit !f }'; then
		echo "FAIL  $name (exit $rc)"
		echo "0 1 0 $name" >>"$TALLY"
	elif [ "$(wc -l <"$TALLY")" -eq "$lines" ]; then
		echo "1 0 0 $name" >>"$TALLY"
	fi
	times+=("$((SECONDS - start))" "$name")
	return $rc
}

build() {
	make --no-print-directory -s -k -j"$jobs" "$@" everything
}

# Executable files are tests, others their helpers; *long* only in check-all.
system_tests() {
	local pattern='*long*'
	[ "$scope" = all ] && pattern=
	find tests/e2e tests/lab -maxdepth 1 -type f -perm -u+x ! -name "$pattern" 2>/dev/null | sort
}

tools/setup.sh build check || exit 1
times+=("$SECONDS" 'packages')
stage 'build release (gcc)' build F=release CC="${CC:-gcc}" || finish
stage 'build release (clang)' build F=release CC=clang B=build/clang
stage 'build san (clang)' build F=san CC=clang || finish
stage 'build fuzz' build F=fuzz CC=clang
stage 'files' tests/check-tree.sh
stage 'documents' tests/check-docs.sh
stage 'runner' tests/run.sh tests/check-run.sh
stage 'format' make --no-print-directory -s check-format
stage 'layers' make --no-print-directory -s layers

mapfile -t unit < <(find build/san/tests/unit -type f -perm -u+x -name 'test_*' 2>/dev/null | while read -r t; do
	[ ! -f "tests/unit/${t##*/}.c" ] || echo "$t"
done | sort)
stage 'unit (san)' tests/run.sh "${unit[@]}"
if [ -x build/release/sim ]; then # as shipped; and fewer seeds as the sanitizers see it
	SIM_ARGS=--self-test stage 'simulator, self-test' tests/run.sh tests/sim.sh
	SIM_ARGS=--scenes stage 'simulator, scenes' tests/run.sh tests/sim.sh
	SIM_ARGS=--streams stage 'simulator, streams' tests/run.sh tests/sim.sh
	SIM_ARGS='--matrix --seeds 3' stage 'simulator, NAT matrix' tests/run.sh tests/sim.sh
	SIM_ARGS='--nodes 300' stage 'simulator, 300 nodes' tests/run.sh -t 600 tests/sim.sh
	stage "simulator, $SIM_SEEDS seeds" tests/run.sh -t 600 tests/sim.sh
	SIM_PROGRAM=build/san/sim SIM_SEEDS=100 stage 'simulator, 100 seeds (san)' \
		tests/run.sh -t 600 tests/sim.sh
	if [ "$scope" = all ]; then
		stage 'mutants' tests/run.sh -t 1200 tests/sim/mutants.sh
	else # two of the paths, two of the streams
		stage 'mutants' tests/run.sh -t 600 tests/mutants.sh
	fi
fi
if compgen -G 'tests/fuzz/fuzz_*.c' >/dev/null; then
	stage 'fuzz corpus' tests/fuzz.sh 0
fi
mapfile -t system < <(system_tests; find build/san/tests/e2e -type f -perm -u+x -name 'test_*' 2>/dev/null | sort)
if [ ${#system[@]} -gt 0 ]; then
	JOBS=$((jobs + 1)) stage 'system' tests/run.sh -t 600 "${system[@]}" # they mostly wait
fi

if [ "$scope" = all ]; then
	stage 'tidy' make --no-print-directory -s tidy
	[ ! -x build/release/sim ] || stage 'simulator, 10 x seeds' \
		env SIM_SEEDS=$((SIM_SEEDS * 10)) tests/run.sh -t 3600 tests/sim.sh
	stage "fuzz, $FUZZ_SECONDS s each" tests/fuzz.sh "$FUZZ_SECONDS"
fi
finish
