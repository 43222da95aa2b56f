#pragma once
/* rtt - smoothed round trip time of one path (RFC 6298 2, RFC 9002 5). */
#include "core/base.h"

struct rtt {
	ov_time smoothed, variance, minimum; /* smoothed == 0: no sample yet */
};

void rtt_add(struct rtt *r, ov_time sample);
/* How long to wait for an answer before asking again: smoothed + 4 variance, within [floor,
 * ceiling]; ceiling without a sample. */
ov_time rtt_timeout(const struct rtt *r, ov_time floor, ov_time ceiling);
