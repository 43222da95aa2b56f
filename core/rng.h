#pragma once
/* rng - injected randomness. The daemon wires it to randombytes_buf (overlay/entropy_os.c), the
 * simulator to a seeded stream, so that every run of the simulator can be repeated. */
#include "core/base.h"

struct rng {
	void (*fill)(void *context, void *out, size_t len);
	void *context;
};

void rng_fill(const struct rng *r, void *out, size_t len);
uint32_t rng_u32(const struct rng *r);
uint64_t rng_u64(const struct rng *r);
/* Uniform in [0, bound); bound > 0. */
uint64_t rng_below(const struct rng *r, uint64_t bound);
/* base +- percent, uniform; for timers that must not synchronise. */
ov_time rng_jitter(const struct rng *r, ov_time base, unsigned percent);
