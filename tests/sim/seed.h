#pragma once
/* seed - the one source of chance in the simulator: xoshiro256** (Blackman, Vigna 2018), started by
 * splitmix64 from (seed, stream). Every consumer has its own stream, so that one more draw in one
 * place does not change what happens in all others. */
#include "core/rng.h"

#define PPM 1000000u /* probabilities are parts per million */

struct seed {
	uint64_t s[4];
};

/* Streams are numbered by their owners; see enum seed_stream in sim.h. */
void seed_init(struct seed *s, uint64_t seed, uint64_t stream);
uint64_t seed_next(struct seed *s);
uint64_t seed_below(
	struct seed *s, uint64_t bound); /* bound > 0; the bias below 2^-32 is accepted */
bool seed_chance(struct seed *s, uint32_t ppm);
/* Uniform in [low, high]. */
int64_t seed_between(struct seed *s, int64_t low, int64_t high);
void seed_fill(struct seed *s, void *out, size_t len);
/* What a node takes as its generator; s is borrowed. */
struct rng seed_rng(struct seed *s);
