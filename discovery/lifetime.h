#pragma once
/* lifetime - how long does a NAT remember an idle UDP mapping? A search over silences: each is
 * tried by somebody who answers after it, and what was found says how often a path must speak
 * (docs/nat.md 2.1). */
#include "core/base.h"

#define LIFETIME_LONGEST_S 150 /* a keepalive is no rarer than 0.8 of it */

struct lifetime {            /* zeroed: nothing known */
	uint8_t lives, dies; /* places in the list of silences from 1; 0: none */
};

/* The next silence to try, in seconds; 0: the search is over. */
uint16_t lifetime_next(const struct lifetime *l);
/* What came of it. */
void lifetime_on_result(struct lifetime *l, bool survived);
uint16_t lifetime_survived_s(const struct lifetime *l); /* the longest; 0: none */
uint16_t lifetime_lost_s(const struct lifetime *l);     /* the shortest that did not; 0: none */
/* design.md 5: 0.8 of what survives, 15 to 120 s; `otherwise` while nothing is known. */
ov_time lifetime_keepalive(const struct lifetime *l, ov_time otherwise);
