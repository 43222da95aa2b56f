#!/bin/bash
# demo.sh - make demo (DEMO=nat: that one) as a user runs it: ends by itself in time, tells the gap, leaves nothing
# behind, and neither does one that is interrupted.
set -uo pipefail
cd "$(dirname "$0")/../.."
traces() { # what a run could leave: namespaces, interfaces, daemons
	ip netns list 2>/dev/null
	ip -o link show | cut -d: -f2
	ps -eo args | grep -c '[b]uild/release/overlayd --state /run/lab'
}
before=$(traces)
start=$EPOCHREALTIME
out=$(timeout 60 tools/demo.sh 2>&1)
rc=$?
seconds=$(awk -v a="$start" -v b="$EPOCHREALTIME" 'BEGIN { printf "%.1f", b - a }')
echo "$out"
gap=$(sed -n 's/^gap: \([0-9]*\) ms$/\1/p' <<<"$out")
timeout -s INT 4 tools/demo.sh >/dev/null 2>&1
sleep 0.5
[ "$(traces)" = "$before" ] || { echo "figure=it leaves something behind"; exit 1; }
echo "figure=$seconds s, gap ${gap:-none} ms"
[ $rc -eq 0 ] && [ -n "$gap" ] && awk -v s="$seconds" 'BEGIN { exit !(s <= 45) }'
