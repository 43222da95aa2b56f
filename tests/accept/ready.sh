#!/bin/bash
# ready.sh [COMMAND [SECONDS]] - starts overlayd as a user does (make run), waits for its ready line, ends
# it with SIGINT, starts it once more and ends it with SIGTERM: exit 0 within 2 s each time, the same
# key both times, something to type next after the ready line.
set -uo pipefail
cd "$(dirname "$0")/../.."
export OVERLAY_PORTMAP=off # this machine's router is none of the test's business
command=${1:-make run} limit=${2:-300}
out=$(mktemp)
shell=
trap '[ -z "$shell" ] || kill -TERM -- -"$shell" 2>/dev/null; rm -f "$out"' EXIT

miss() {
	tail -n 20 "$out"
	echo "figure=$1"
	exit 1
}

# The overlayd among the descendants of $shell. By command line, not by /proc/PID/exe, which only
# somebody with at least the daemon's capabilities may read.
daemon_pid() {
	local dir pid
	for dir in /proc/[0-9]*; do
		[ "$(tr '\0' '\n' 2>/dev/null <"$dir/cmdline" | head -n 1)" = build/release/overlayd ] || continue
		pid=${dir#/proc/}
		while [ "${pid:-0}" -gt 1 ] && [ "$pid" != "$shell" ]; do
			pid=$(sed -n 's/^PPid:[[:space:]]*//p' "/proc/$pid/status" 2>/dev/null)
		done
		[ "$pid" != "$shell" ] || echo "${dir#/proc/}"
	done
}

now_ms() {
	echo $((${EPOCHREALTIME/./} / 1000))
}

# one SIGNAL - one life of the daemon; sets peer, start_s and stop_ms
one() {
	local begin=$SECONDS pid rc asked
	: >"$out"
	# In a session of its own, so that all of it can be ended when this script is.
	setsid bash -c "$command" >"$out" 2>&1 </dev/null &
	shell=$!
	until grep -qE '^ready peer=[a-z2-7]{56} udp=[^ ]+ address=[^ ]+' "$out"; do
		kill -0 "$shell" 2>/dev/null || miss "ended before its ready line"
		[ $((SECONDS - begin)) -lt "$limit" ] || miss "no ready line within $limit s"
		sleep 0.05
	done
	start_s=$((SECONDS - begin))
	peer=$(sed -n 's/^ready peer=\([a-z2-7]*\).*/\1/p' "$out")
	sleep 0.2
	sed '1,/^ready /d' "$out" | grep -q 'overlay' || miss "ready, but not what to type next"
	pid=$(daemon_pid)
	[[ $pid =~ ^[0-9]+$ ]] || miss "ready, but which process is it: ${pid:-none}"
	asked=$(now_ms)
	kill -"$1" "$pid"
	wait "$shell"
	rc=$?
	stop_ms=$(($(now_ms) - asked))
	shell=
	[ $rc -eq 0 ] || miss "exit $rc after SIG$1"
	[ $stop_ms -le 2000 ] || miss "SIG$1: end after $stop_ms ms"
}

one INT
first=$peer first_s=$start_s int_ms=$stop_ms
one TERM
[ "$peer" = "$first" ] || miss "another key at the second start"
[ -f build/run-state/identity.key ] || miss "no key in build/run-state"
echo "figure=ready after $first_s s, then $start_s s; SIGINT $int_ms ms, SIGTERM $stop_ms ms, exit 0"
