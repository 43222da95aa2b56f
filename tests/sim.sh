#!/bin/bash
# sim.sh [ARGUMENT...] - the simulator with these arguments, else over SIM_SEEDS seeds from SIM_FROM on,
# as the sanitizers see it. The one place that knows the simulator's command line; a failing seed is
# printed by the simulator itself with the command that replays it.
set -eu
cd "$(dirname "$0")/.."
[ $# -gt 0 ] || set -- --from "${SIM_FROM:-1}" --seeds "${SIM_SEEDS:-2000}"
exec "${SIM_PROGRAM:-build/san/sim}" "$@"
