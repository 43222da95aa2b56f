/* A token bucket without a timer (GCRA, ITU-T I.371 A): instead of a count that somebody must
 * refill, a bucket keeps the instant at which it will be full again. A token costs 1/per_second
 * seconds; a packet conforms if, with its cost added, that instant lies no further ahead than burst
 * tokens.
 *
 * All arithmetic is in units of 1/per_second of a nanosecond, in which one token is exactly 10^9.
 * So a rate like 3/s neither gains nor loses with time. burst * 10^9 < 2^62.1, twice that fits in
 * u64.
 *
 * The table of sources is indexed by a keyed hash (SipHash), so that a stranger can neither aim at
 * one set nor collide with another's entry; the whole 64-bit hash is the entry's identity. A source
 * that is being limited is the last to be evicted: flooding from many addresses forgets the
 * innocent ones first, for whom a forgotten bucket is a full one. */
#include "core/limit.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#define TOKEN ((uint64_t)1000000000)
#define WAYS  8

/* Tokens missing from the bucket, in 1/per_second ns; UINT64_MAX when it is more than burst. */
static uint64_t missing(const struct limit *l, ov_time now, uint32_t per_second, uint32_t burst)
{
	if (l->full_at < now)
		return 0;
	uint64_t wait = (uint64_t)(l->full_at - now);
	if (wait > burst * TOKEN / per_second)
		return UINT64_MAX; /* the rate was raised, or the product would overflow */
	return wait * per_second + l->fraction;
}

bool limit_has(
	const struct limit *l, ov_time now, uint32_t per_second, uint32_t burst, uint32_t cost)
{
	assert(per_second >= 1 && burst >= cost);
	return missing(l, now, per_second, burst) <= (burst - cost) * TOKEN;
}

bool limit_take(struct limit *l, ov_time now, uint32_t per_second, uint32_t burst, uint32_t cost)
{
	if (!limit_has(l, now, per_second, burst, cost))
		return false;
	uint64_t total = missing(l, now, per_second, burst) + cost * TOKEN;
	l->full_at = now + (ov_time)(total / per_second);
	l->fraction = (uint32_t)(total % per_second);
	return true;
}

struct source {
	uint64_t hash; /* of the prefix; an unused entry is a full bucket of nobody */
	struct limit limit;
};

struct source_limits {
	uint8_t secret[crypto_shorthash_KEYBYTES];
	size_t set_mask;
	struct source sources[];
};

struct source_limits *source_limits_new(size_t entries, const struct rng *rng)
{
	size_t sets = 1;
	while (sets * WAYS < entries)
		sets *= 2;
	struct source_limits *s =
		calloc(1, sizeof(struct source_limits) + sets * WAYS * sizeof(struct source));
	if (!s)
		return NULL;
	s->set_mask = sets - 1;
	rng_fill(rng, s->secret, sizeof(s->secret));
	return s;
}

void source_limits_free(struct source_limits *s)
{
	if (s)
		sodium_memzero(s->secret, sizeof(s->secret));
	free(s);
}

/* IPv4: the address. IPv6: the /64, which is what one customer gets at least (RFC 6177). */
static uint64_t source_hash(const struct source_limits *s, const struct ov_addr *from)
{
	uint8_t prefix[16] = { 0 }, hash[crypto_shorthash_BYTES];
	uint64_t v;
	memcpy(prefix, from->ip, addr_is_v4(from) ? 16 : 8);
	crypto_shorthash(hash, prefix, sizeof(prefix), s->secret);
	memcpy(&v, hash, sizeof(v));
	return v;
}

bool source_limits_take(struct source_limits *s, ov_time now, const struct ov_addr *from,
	uint32_t per_second, uint32_t burst)
{
	uint64_t hash = source_hash(s, from);
	struct source *set = &s->sources[(hash & s->set_mask) * WAYS];
	struct source *fullest = set;
	for (struct source *e = set; e < set + WAYS; e++) {
		if (e->hash == hash)
			return limit_take(&e->limit, now, per_second, burst, 1);
		if (e->limit.full_at < fullest->limit.full_at)
			fullest = e;
	}
	*fullest = (struct source){ .hash = hash };
	return limit_take(&fullest->limit, now, per_second, burst, 1);
}
