#include "core/pacer.h"

#define INITIAL_BURST 10 /* segments */
#define LEAST_PORTION 2
#define LEAST_RATE    1000.0 /* bytes a second */

static double bytes_per_second(const struct pacer_rate *r)
{
	double gain = r->slow_start ? 2.5 : 1.25;
	double rate = gain * (double)r->window * (double)OV_SEC / (double)r->srtt;
	return rate > LEAST_RATE ? rate : LEAST_RATE;
}

static double burst(const struct pacer_rate *r)
{
	double of_time = bytes_per_second(r) * (double)OV_MS / (double)OV_SEC;
	double least = INITIAL_BURST * (double)r->segment;
	return of_time > least ? of_time : least;
}

/* Enough to go on with: what half a millisecond fills, so that nobody is woken more often. */
static double portion(const struct pacer_rate *r)
{
	double of_time = bytes_per_second(r) * (double)OV_MS / 2 / (double)OV_SEC;
	double least = LEAST_PORTION * (double)r->segment;
	return of_time > least ? of_time : least;
}

bool pacer_allows(struct pacer *p, ov_time now, const struct pacer_rate *r)
{
	if (r->srtt == 0)
		return true;
	double most = burst(r);
	p->credit += bytes_per_second(r) * (double)(now - p->filled_at) / (double)OV_SEC;
	p->credit = p->credit < most ? p->credit : most;
	p->filled_at = now;
	p->is_dry = p->credit <= 0 || (p->is_dry && p->credit < portion(r));
	return !p->is_dry;
}

void pacer_on_sent(struct pacer *p, size_t bytes)
{
	p->credit -= (double)bytes;
}

ov_time pacer_deadline(const struct pacer *p, ov_time now, const struct pacer_rate *r)
{
	double missing = portion(r) - p->credit;
	if (r->srtt == 0 || missing <= 0 || (!p->is_dry && p->credit > 0))
		return now;
	return p->filled_at + (ov_time)(missing / bytes_per_second(r) * (double)OV_SEC) + 1;
}
