/* Exponentially weighted mean and deviation, gains 1/8 and 1/4 as in RFC 6298 2.3. */
#include "core/rtt.h"

void rtt_add(struct rtt *r, ov_time sample)
{
	if (sample <= 0)
		sample = OV_US; /* the clock's grain; 0 would mean "no sample" */
	if (r->smoothed == 0) {
		*r = (struct rtt){ .smoothed = sample, .variance = sample / 2, .minimum = sample };
		return;
	}
	ov_time off = sample > r->smoothed ? sample - r->smoothed : r->smoothed - sample;
	r->variance += (off - r->variance) / 4;
	r->smoothed += (sample - r->smoothed) / 8;
	r->minimum = ov_min(r->minimum, sample);
}

ov_time rtt_timeout(const struct rtt *r, ov_time floor, ov_time ceiling)
{
	if (r->smoothed == 0)
		return ceiling;
	return ov_min(ov_max(r->smoothed + 4 * r->variance + RTT_MAX_DELAY, floor), ceiling);
}
