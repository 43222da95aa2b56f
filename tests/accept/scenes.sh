#!/bin/bash
# scenes.sh NAME... - these golden scenes of the simulator must read as written.
set -uo pipefail
cd "$(dirname "$0")/../.."
make -s build/release/sim || { echo "figure=does not build"; exit 1; }
out=$(build/release/sim --scenes) || rc=1
echo "$out"
for name in "$@"; do
	grep -qE "^scene $name +ok$" <<<"$out" || { echo "no scene $name that agrees"; rc=1; }
done
echo "figure=$# scenes agree"
exit ${rc:-0}
