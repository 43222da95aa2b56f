#pragma once
/* town - many hosts around a few anchors: everybody meets, moves once, meets again. The same
 * invariants as in a swarm, at a size where tables and timers have something to do. */
#include "tests/sim/sim.h"

/* The caller looks at s->oracle and frees it. */
struct sim *town_run(uint64_t seed, size_t n, bool verbose);
