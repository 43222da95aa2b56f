/* xoshiro256**: 256 bits of state, no visible structure, four lines. A seeded simulator needs
 * streams that are independent and the same on every machine; it needs no secrecy. */
#include "tests/sim/seed.h"

#include "core/bytes.h"

static uint64_t splitmix(uint64_t *x)
{
	uint64_t z = (*x += 0x9e3779b97f4a7c15u);
	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

static uint64_t rotate(uint64_t x, unsigned k)
{
	return x << k | x >> (64 - k);
}

void seed_init(struct seed *s, uint64_t seed, uint64_t stream)
{
	uint64_t x = seed;
	x = splitmix(&x) ^ stream * 0xd1342543de82ef95u;
	for (size_t i = 0; i < 4; i++)
		s->s[i] = splitmix(&x);
}

uint64_t seed_next(struct seed *s)
{
	uint64_t result = rotate(s->s[1] * 5, 7) * 9;
	uint64_t t = s->s[1] << 17;
	s->s[2] ^= s->s[0];
	s->s[3] ^= s->s[1];
	s->s[1] ^= s->s[2];
	s->s[0] ^= s->s[3];
	s->s[2] ^= t;
	s->s[3] = rotate(s->s[3], 45);
	return result;
}

uint64_t seed_below(struct seed *s, uint64_t bound)
{
	assert(bound > 0);
	return seed_next(s) % bound;
}

bool seed_chance(struct seed *s, uint32_t ppm)
{
	return ppm > 0 && seed_below(s, PPM) < ppm;
}

int64_t seed_between(struct seed *s, int64_t low, int64_t high)
{
	assert(low <= high);
	return low + (int64_t)seed_below(s, (uint64_t)(high - low) + 1);
}

void seed_fill(struct seed *s, void *out, size_t len)
{
	uint8_t *p = out;
	for (; len >= 8; p += 8, len -= 8)
		store_le64(p, seed_next(s));
	if (len == 0)
		return;
	uint8_t rest[8];
	store_le64(rest, seed_next(s));
	memcpy(p, rest, len);
}

static void fill(void *context, void *out, size_t len)
{
	seed_fill(context, out, len);
}

struct rng seed_rng(struct seed *s)
{
	return (struct rng){ .fill = fill, .context = s };
}
