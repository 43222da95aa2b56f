#pragma once
/* Deterministic randomness for unit tests: queued bytes first, then a ChaCha20 stream from a seed.
 */
#include "core/rng.h"

#include <sodium.h>
#include <string.h>

struct test_rng {
	const uint8_t *queued;
	size_t queued_len;
	uint32_t seed;
};

static inline void test_rng_fill(void *context, void *out, size_t len)
{
	struct test_rng *t = context;
	if (len <= t->queued_len) {
		memcpy(out, t->queued, len);
		t->queued += len;
		t->queued_len -= len;
		return;
	}
	uint8_t seed[randombytes_SEEDBYTES] = { 0 };
	t->seed++;
	memcpy(seed, &t->seed, sizeof(t->seed));
	randombytes_buf_deterministic(out, len, seed);
}

static inline struct rng test_rng_make(struct test_rng *t)
{
	return (struct rng){ .fill = test_rng_fill, .context = t };
}
