#pragma once
/* announce - when an interface says "I am here", and to which contacts (scanning.md 6.2): at 0, 1
 * and 3 s after it came up or its address changed, then every 30 s, give or take 20 %; on a segment
 * where many speak each does so more rarely. With more contacts than fit, they take turns. */
#include "core/rng.h"

#define ANNOUNCE_EVERY (30 * OV_SEC)

struct announce {                     /* of one interface */
	ov_time at;                   /* next; OV_NEVER: silent */
	ov_time heard_at;             /* start of the period in which senders are counted */
	uint32_t heard, heard_before; /* beacons of others in this period and in the last */
	uint8_t hurried;              /* so many of the first three are out */
	size_t turn;                  /* first contact of the next beacon */
};

/* The interface came up, or its address changed: say it now. */
void announce_hurry(struct announce *a, ov_time now);
/* A beacon of another was heard: how many speak here? */
void announce_heard(struct announce *a, ov_time now);
/* It was said at `now`: when next? */
void announce_done(struct announce *a, ov_time now, const struct rng *rng);
/* How long from one to the next, at present, but for the 20 %. */
ov_time announce_interval(const struct announce *a, ov_time now);
/* The contacts of the next beacon: `*count` of them (at most `most`) from the index returned on,
 * around the end. Call again for the next beacon of the same time. total: contacts in all. */
size_t announce_turn(struct announce *a, size_t total, size_t most, size_t *count);
