#pragma once
/* gather - how long the loop rests between two turns so that datagrams come in batches, as a
 * network card moderates its interrupts (Linux NAPI, ethtool rx-usecs). A wake-up costs more than
 * the packet it is for. Pure: a function of the clock and of the node's counters.
 *
 * Small: many small packets, few a turn. Rests GATHER_SMALL; below 40,000 a second and for large
 * packets nothing waits.
 * Quiet: the keepalives and rekeys of thousands of peers, and nobody had data, a ping or a request
 * for GATHER_QUIET_AFTER. Rests GATHER_QUIET. The first of them ends it, what this machine sends
 * does not wait for it, and where the kernel stamps arrivals measured RTTs do not contain it
 * (dgram.waited); the asker allows for it (RTT_MAX_DELAY). A turn reads UDP_BATCH at most, so it
 * ends at once when a turn was full, and is not tried near that rate. */
#include "overlay/node.h"

#define GATHER_SMALL       (60 * OV_US)
#define GATHER_QUIET       (20 * OV_MS)
#define GATHER_QUIET_AFTER (10 * OV_SEC)

struct gather_window { /* what was counted since its start */
	ov_time at;
	uint64_t datagrams, bytes, controls; /* the node's counters then */
	uint32_t turns;
};

struct gather {
	struct gather_window small, quiet;
	uint64_t requests; /* on the overlay socket so far; counted by the daemon */
	uint64_t activity; /* inner packets, those of streams, pings and requests so far */
	uint64_t seen;     /* datagrams until the last turn */
	ov_time active_at; /* when there was the last */
	bool is_small, is_quiet;
};

/* Zeroed at first. Called once at the end of each turn, with the node's counters. Returns how long
 * to rest: 0, GATHER_SMALL or GATHER_QUIET. */
ov_time gather_rest(struct gather *g, ov_time now, const struct node_counters *c);
