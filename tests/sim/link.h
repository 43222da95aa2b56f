#pragma once
/* link - one direction of a wire: when, whether and how often a datagram comes out of it. */
#include "tests/sim/seed.h"

#define LINK_COPIES_MAX 5

struct link_config {
	ov_time delay, jitter; /* jitter: uniform 0..jitter on top, without overtaking */
	uint32_t loss_ppm;     /* independent loss */
	uint32_t burst_ppm;    /* chance that a loss burst begins with this datagram */
	ov_time burst_length;  /* everything is lost for this long */
	uint32_t reorder_ppm;  /* held back by reorder_delay, so that others overtake */
	ov_time reorder_delay;
	uint32_t duplicate_ppm; /* chance of each further copy, up to LINK_COPIES_MAX */
	uint32_t corrupt_ppm;   /* one bit flips */
	uint32_t mtu; /* IP bytes; longer: silently gone (DF set, ICMP filtered). 0: none */
	uint64_t bytes_per_second; /* 0: no limit */
	ov_time queue;             /* longest wait for the bottleneck, then tail drop */
	bool cut;                  /* partition */
};

struct link {
	struct link_config config;
	ov_time last_arrival, burst_until, busy_until;
};

enum link_fate { LINK_PASSED, LINK_CUT, LINK_LOST, LINK_BURST, LINK_TOO_BIG, LINK_QUEUE_FULL };

struct link_transit {
	enum link_fate fate;
	size_t copies;
	ov_time at[LINK_COPIES_MAX];
	bool corrupt[LINK_COPIES_MAX];
};

void link_init(struct link *l, const struct link_config *config);
/* Sends ip_len bytes (IP and UDP headers included) now. Draws from s only for the features that are
 * switched on. */
struct link_transit link_send(struct link *l, ov_time now, struct seed *s, size_t ip_len);
const char *link_fate_name(enum link_fate fate);
