#!/bin/bash
# check-run.sh - the test runner tested: what it counts, what it shows, what it must never call a pass.
set -uo pipefail
cd "$(dirname "$0")/.."
run=$PWD/tests/run.sh
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
unset TALLY QUIET OVERLAY_NO_SKIP
failures=0

program() { # NAME SCRIPT
	printf '#!/bin/bash\n%s\n' "$2" >"$dir/$1"
	chmod +x "$dir/$1"
}

expect() { # EXIT LAST-LINE ARGUMENT...
	local want=$1 last=$2 rc out
	shift 2
	out=$("$run" "$@" 2>&1)
	rc=$?
	if [ $rc -ne "$want" ] || [ "$(tail -n 1 <<<"$out")" != "$last" ]; then
		printf 'run.sh %s: exit %d, expected %d and "%s":\n%s\n' "$*" $rc "$want" "$last" "$out"
		failures=$((failures + 1))
	fi
	shown=$out
}

program pass 'exit 0'
program fail 'echo reason; exit 3'
program skip 'echo no kernel; exit 77'
program hang 'sleep 60'
program crash 'kill -SEGV $$'
program none 'echo "[==========] 0 test(s) run."; echo "[  PASSED  ] 0 test(s)."'
program own 'echo "5 passed, 0 failed"'
program lies 'echo "5 passed, 0 failed"; exit 1'
program cmocka 'echo "[==========] Running 3 test(s)."; echo "[==========] 3 test(s) run." >&2
echo "[  PASSED  ] 3 test(s)." >&2'
program cmofail 'echo "[==========] tests: 3 test(s) run."; echo "[  PASSED  ] 2 test(s)."
echo "[  FAILED  ] tests: 1 test(s), listed below:"; echo "[  FAILED  ] test_x"; exit 1'

expect 0 '1 passed, 0 failed, 0 skipped' "$dir/pass"
expect 1 '1 passed, 1 failed, 0 skipped' "$dir/pass" "$dir/fail"
grep -q reason <<<"$shown" || { echo 'run.sh hides the output of a failure'; failures=$((failures + 1)); }
expect 0 '1 passed, 0 failed, 1 skipped' "$dir/pass" "$dir/skip"
expect 1 '0 passed, 1 failed, 0 skipped' -t 1 "$dir/hang"
expect 1 '0 passed, 1 failed, 0 skipped' "$dir/crash"
expect 1 '0 passed, 1 failed, 0 skipped' "$dir/none"
expect 1 '0 passed, 1 failed, 0 skipped' "$dir/absent"
expect 0 '5 passed, 0 failed, 0 skipped' "$dir/own"
expect 1 '5 passed, 1 failed, 0 skipped' "$dir/lies"
expect 0 '3 passed, 0 failed, 0 skipped' "$dir/cmocka"
expect 1 '2 passed, 1 failed, 0 skipped' "$dir/cmofail"
expect 1 '0 passed, 0 failed, 0 skipped'
OVERLAY_NO_SKIP=1 expect 1 '1 passed, 1 failed, 0 skipped' "$dir/pass" "$dir/skip"

echo "$((13 - failures)) passed, $failures failed"
exit $((failures > 0))
