/* Thin helpers over the injected generator. */
#include "core/rng.h"

void rng_fill(const struct rng *r, void *out, size_t len)
{
	r->fill(r->context, out, len);
}

uint32_t rng_u32(const struct rng *r)
{
	uint32_t v;
	rng_fill(r, &v, sizeof(v));
	return v;
}

uint64_t rng_u64(const struct rng *r)
{
	uint64_t v;
	rng_fill(r, &v, sizeof(v));
	return v;
}

uint64_t rng_below(const struct rng *r, uint64_t bound)
{
	assert(bound > 0);
	uint64_t reject_below = (0 - bound) % bound; /* removes the bias of a plain modulo */
	uint64_t v;
	do
		v = rng_u64(r);
	while (v < reject_below);
	return v % bound;
}

ov_time rng_jitter(const struct rng *r, ov_time base, unsigned percent)
{
	ov_time span = base * (ov_time)percent / 100;
	if (span <= 0)
		return base;
	return base - span + (ov_time)rng_below(r, (uint64_t)(2 * span + 1));
}
