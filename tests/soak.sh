#!/bin/bash
# soak.sh MINUTES - the simulator over seeds that no earlier run used, until the time is over. The
# first seed comes from the date, so that each run explores and can still be repeated by its numbers.
set -uo pipefail
cd "$(dirname "$0")/.."
minutes=${1:?minutes}
chunk=${SOAK_CHUNK:-2000}
first=${SOAK_FROM:-$(($(date +%s) * 1000))}
seed=$first
result=pass

end=$((SECONDS + minutes * 60))
while [ $SECONDS -lt $end ]; do
	if ! SIM_FROM=$seed SIM_SEEDS=$chunk tests/sim.sh; then
		result="fail in seeds $seed to $((seed + chunk - 1))"
		break
	fi
	seed=$((seed + chunk))
done
tools/runs.sh soak "$minutes min" "seeds $first to $((seed - 1))" "$result"
[ "$result" = pass ]
