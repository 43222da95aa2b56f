#!/bin/bash
# cases.sh PROGRAM[:CASE[,CASE...]]... - runs tests of tests/lab and tests/e2e, all cases or those named, and tells
# how many passed and what they measured. A case that is skipped is a miss.
set -uo pipefail
cd "$(dirname "$0")/../.."
json=$(mktemp)
trap 'rm -f "$json"' EXIT
failed=0
for word in "$@"; do
	words=()
	if [ "${word%%:*}" != "$word" ]; then
		for one in $(tr , ' ' <<<"${word#*:}"); do
			words+=(--only "$one")
		done
	fi
	OVERLAY_NO_SKIP=1 python3 "${word%%:*}" "${words[@]}" --json "$json" || failed=1
done
python3 - "$json" $failed <<'END'
import json
import sys

rows = [json.loads(line) for line in open(sys.argv[1])]
good = [r for r in rows if r["state"] == "pass"]
worst = {}
for row in good:
    for key, value in row["figures"].items():
        if key.endswith("_ms"):
            worst[key] = max(worst.get(key, 0), value)
said = "".join(f", {key.removesuffix('_ms').replace('_', ' ')} {value:.0f} ms" for key, value in worst.items())
print(f"figure={len(good)} of {len(rows)} cases pass{said}")
sys.exit(len(good) != len(rows) or not rows or sys.argv[2] != "0")
END
