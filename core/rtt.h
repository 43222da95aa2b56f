#pragma once
/* rtt - smoothed round trip time of one path (RFC 6298 2, RFC 9002 5). */
#include "core/base.h"

struct rtt {
	ov_time smoothed, variance, minimum; /* smoothed == 0: no sample yet */
};

void rtt_add(struct rtt *r, ov_time sample);
/* How long the other side may wait until it reads what came (RFC 9002 6.2.1, max_ack_delay): it is
 * no part of the RTT. Above GATHER_QUIET. */
#define RTT_MAX_DELAY (25 * OV_MS)

/* How long to wait for an answer before asking again: smoothed + 4 variance + RTT_MAX_DELAY, within
 * [floor, ceiling]; ceiling without a sample. */
ov_time rtt_timeout(const struct rtt *r, ov_time floor, ov_time ceiling);
