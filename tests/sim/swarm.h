#pragma once
/* swarm - a world drawn from a seed (Groce et al. 2012): each seed picks who there is, behind which
 * boxes, which kinds of fault may happen and how often. After the faults everything heals, and then
 * whoever can reach each other must talk within 30 s, agree, and fall silent when nobody talks. */
#include "tests/sim/world.h"

#define SWARM_SITES_MAX 5
#define SWARM_HOSTS_MAX 6

struct swarm {
	struct sim *s;
	struct seed chance, errands;
	uint64_t errand_bytes;           /* that streams may still be given */
	uint32_t faults;                 /* bit set of 1 << enum fault */
	uint32_t sites[SWARM_SITES_MAX]; /* segments; 0 is the core */
	bool site4[SWARM_SITES_MAX], site6[SWARM_SITES_MAX];
	size_t site_count, anchors;
	bool alike;       /* all sites have the same private network */
	uint32_t carrier; /* segment behind a carrier's NAT; NET_CORE: none yet */
	uint32_t next_address;
	ov_time delay[SWARM_HOSTS_MAX];
};

/* Builds and runs it; the caller looks at s->oracle and frees it. tail: keep that many lines for a
 * report. */
struct sim *swarm_run(uint64_t seed, bool verbose, size_t tail);

/* For what is drawn later: chance, and an interface's addresses at a site. */
uint64_t swarm_below(struct swarm *w, uint64_t bound);
ov_time swarm_between(struct swarm *w, ov_time low, ov_time high); /* uniform in [low, high] */
void swarm_settle_in(struct swarm *w, uint32_t iface, size_t site);
