#pragma once
/* pacer - spreads a window over its round trip (RFC 9002 7.7): a bucket of bytes that fills at 5/4
 * of window / SRTT, twice that in slow start. It holds what goes out in a millisecond, and at least
 * the initial window. When it has run dry it waits until it holds what goes out in half a
 * millisecond, and at least two segments: long runs for the kernel, 2,000 wakeups a second at most.
 */
#include "core/base.h"

struct pacer {
	ov_time filled_at;
	double credit; /* bytes; below 0: too many went out */
	bool is_dry;   /* until there is a portion again */
};

struct pacer_rate {
	uint64_t window;
	ov_time srtt; /* 0: not known, no pacing */
	uint32_t segment;
	bool slow_start;
};

/* May a datagram go now? */
bool pacer_allows(struct pacer *p, ov_time now, const struct pacer_rate *r);
void pacer_on_sent(struct pacer *p, size_t bytes);
/* When pacer_allows will say yes, and a good part of a batch may go with it. */
ov_time pacer_deadline(const struct pacer *p, ov_time now, const struct pacer_rate *r);
