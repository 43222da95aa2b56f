#pragma once
/* errand - streams that a swarm's hosts open among each other, drawn from a seed of their own: how
 * many, how long, how apps write, read, tarry and give up. */
#include "tests/sim/swarm.h"

#define ERRAND_BYTES (8u << 20) /* of one seed */

/* A few more, maybe none, from hosts that are awake to friends that they shall reach, or to
 * themselves. */
void errand_draw(struct swarm *w);
