#pragma once
/* swarm - a world drawn from a seed (Groce et al. 2012): each seed picks who there is, behind which
 * boxes, which kinds of fault may happen and how often. After the faults everything heals, and then
 * whoever can reach each other must talk within 30 s, agree, and fall silent. */
#include "tests/sim/world.h"

/* Builds and runs it; the caller looks at s->oracle and frees it. tail: keep that many lines for a
 * report. */
struct sim *swarm_run(uint64_t seed, bool verbose, size_t tail);
/* A town of n hosts around a few anchors: everybody meets, moves once, meets again. */
struct sim *swarm_town(uint64_t seed, size_t n, bool verbose);
