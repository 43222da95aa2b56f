#!/bin/bash
# run.sh [-s] [-t SECONDS] TEST... - runs test programs and shows in full what fails.
#
# A test passes with exit code 0, is skipped with 77, fails otherwise or after SECONDS (300).
# OVERLAY_NO_SKIP=1 turns every skip into a failure. A program that closes with cmocka's lines or with
# `N passed, N failed` counts as its cases, any other as one. JOBS at a time, with -s one by one.
# The last line is `N passed, N failed, N skipped`; with TALLY=FILE the counts are appended to that
# file instead (one line `passed failed skipped name` a test) and the caller prints the sum.
set -uo pipefail

limit=300 jobs=${JOBS:-$(nproc)}
while getopts st: opt; do
	case $opt in
	s) jobs=1 ;;
	t) limit=$OPTARG ;;
	*) exit 2 ;;
	esac
done
shift $((OPTIND - 1))

# Prints `passed failed skipped` of a finished test from its exit code and output.
count() {
	awk -v rc="$1" -v strict="${OVERLAY_NO_SKIP:-0}" '
		match($0, /^\[==========\] [^0-9]*[0-9]+ test\(s\) run/) { cmocka = 1 }
		/^\[  PASSED  \] [0-9]+ test/ { cmocka = 1; p += $4 }
		/^\[  FAILED  \] .*[0-9]+ test\(s\), listed below/ { sub(/ test\(s\).*/, ""); f += $NF }
		/^\[  SKIPPED \] .*[0-9]+ test\(s\), listed below/ { sub(/ test\(s\).*/, ""); s += $NF }
		/^([^ ]+: )?[0-9]+ passed, [0-9]+ failed(, [0-9]+ skipped)?$/ {
			sub(/^[^ ]+: /, ""); own = 1; p = $1; f = $3; s = $5 }
		END {
			if (rc == 77) { p = f = 0; s = 1 }
			else if (!cmocka && !own) p = rc == 0
			if (rc != 0 && rc != 77 && f == 0) f = 1
			if (rc == 0 && p + f + s == 0) f = 1 # ran no test: not a success
			if (strict == 1) { f += s; s = 0 }
			print p + 0, f + 0, s + 0
		}'
}

# Runs one test; its output is shown in one piece, so that two at a time do not mix.
one() {
	local test=$1 out rc counts start=$EPOCHREALTIME
	out=$(mktemp)
	# The runner's own variables end here: a test may use this runner itself.
	env -u RUN_ONE -u TALLY -u QUIET -u JOBS \
		timeout --kill-after=10 "$limit" "$test" >"$out" 2>&1 </dev/null
	rc=$?
	counts=$(count $rc <"$out")
	echo "$counts $test" >>"$TALLY"
	local p f s seconds
	read -r p f s <<<"$counts"
	seconds=$(awk -v a="$start" -v b="$EPOCHREALTIME" 'BEGIN { printf "%.1f s", b - a }')
	if [ "$f" -gt 0 ]; then
		[ $rc -ne 124 ] || echo "no end after $limit s" >>"$out"
		[ $rc -ne 77 ] || echo "skipped, and OVERLAY_NO_SKIP=1 forbids that" >>"$out"
		sed "s|^|  |" "$out" | sed "1i FAIL  $test (exit $rc, $seconds)"
	elif [ "$s" -gt 0 ]; then
		echo "skip  $test: $(tail -n 1 "$out")"
	elif [ -z "${QUIET:-}" ]; then
		echo "ok    $test ($p, $seconds)"
	fi
	rm -f "$out"
}

if [ "${RUN_ONE:-}" ]; then
	one "$1"
	exit 0
fi

export UBSAN_OPTIONS=${UBSAN_OPTIONS:-print_stacktrace=1}
symbolizer=$(command -v llvm-symbolizer-14) && export ASAN_SYMBOLIZER_PATH=$symbolizer

own=${TALLY:-}
if [ -z "$own" ]; then
	TALLY=$(mktemp)
	trap 'rm -f "$TALLY"' EXIT
fi
export TALLY
before=$(wc -l 2>/dev/null <"$TALLY" || echo 0)
[ $# -eq 0 ] || printf '%s\0' "$@" |
	RUN_ONE=1 xargs -0 -n 1 -P "$jobs" "$0" -t "$limit"

# Fewer result lines than tests: a runner itself died. Never a success.
tail -n "+$((before + 1))" "$TALLY" | awk -v want=$# -v own="$own" '
	{ p += $1; f += $2; s += $3 }
	END {
		if (NR != want) { printf "%d of %d tests left no result\n", want - NR, want; f++ }
		if (own == "") printf "%d passed, %d failed, %d skipped\n", p, f, s
		exit f > 0 || NR == 0
	}'
