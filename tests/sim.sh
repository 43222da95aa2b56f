#!/bin/bash
# sim.sh - the simulator over SIM_SEEDS seeds from SIM_FROM on, as the sanitizers see it. The one place
# that knows the simulator's command line; a failing seed is printed by the simulator itself with
# the command that replays it.
set -eu
cd "$(dirname "$0")/.."
exec "${SIM_PROGRAM:-build/san/sim}" --from "${SIM_FROM:-1}" --seeds "${SIM_SEEDS:-2000}"
