#pragma once
/* seeded - what the unit tests share: cmocka's prerequisites in their order, and a seeded stream
 * (splitmix64), so that a failing run can be repeated. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static inline uint64_t seeded_next(uint64_t *state)
{
	uint64_t z = (*state += UINT64_C(0x9e3779b97f4a7c15));
	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

static inline uint64_t seeded_below(uint64_t *state, uint64_t bound)
{
	return seeded_next(state) % bound;
}

/* As struct rng's fill. */
static inline void seeded_fill(void *state, void *out, size_t len)
{
	for (size_t i = 0; i < len; i += 8) {
		uint64_t v = seeded_next(state);
		memcpy((uint8_t *)out + i, &v, len - i < 8 ? len - i : 8);
	}
}
