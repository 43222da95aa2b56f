#!/bin/bash
# sim.sh [ARGUMENT...] - the simulator with these arguments (or those in SIM_ARGS), else over SIM_SEEDS
# seeds from SIM_FROM on. SIM_PROGRAM: which build of it (build/release/sim; build/san/sim is six times
# slower). The one place that knows the simulator's command line; a failing seed is printed by the
# simulator itself with the command that replays it.
set -eu
cd "$(dirname "$0")/.."
if [ $# -eq 0 ]; then
	read -ra arguments <<<"${SIM_ARGS:---seeds ${SIM_SEEDS:-2000} --from ${SIM_FROM:-1} --jobs $(nproc)}"
	set -- "${arguments[@]}"
fi
exec "${SIM_PROGRAM:-build/release/sim}" "$@"
