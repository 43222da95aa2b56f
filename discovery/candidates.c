/* Trust first, then age: whoever may write many addresses (a facilitator, the peer itself) must not
 * push out those that somebody better told us of. */
#include "discovery/candidates.h"

#include <stdlib.h>

static_assert((CANDIDATES_MAX & (CANDIDATES_MAX - 1)) == 0, "doubling ends there");

const char *candidate_source_name(enum candidate_source s)
{
	switch (s) {
	case SOURCE_CONFIG: return "config";
	case SOURCE_USER: return "user";
	case SOURCE_CACHE: return "cache";
	case SOURCE_OBSERVED: return "observed";
	case SOURCE_LAN: return "lan";
	case SOURCE_SCAN: return "scan";
	case SOURCE_INVITE: return "invite";
	case SOURCE_PORTMAP: return "portmap";
	case SOURCE_FACILITATOR: return "facilitator";
	case SOURCE_PEER: return "peer";
	}
	return "unknown"; /* a number from the store */
}

static bool is_written(const struct candidate *c)
{
	return c->source == SOURCE_CONFIG || c->source == SOURCE_USER;
}

void candidates_fini(struct candidates *c)
{
	free(c->list);
	*c = (struct candidates){ 0 };
}

/* Most peers have one or two, so the array doubles. */
static bool reserve(struct candidates *c)
{
	size_t count = c->count;
	if (count & (count - 1))
		return true; /* not full: it holds a power of two */
	size_t cap = count ? 2 * count : 1;
	struct candidate *grown = realloc(c->list, cap * sizeof(*grown));
	if (grown)
		c->list = grown;
	return grown != NULL;
}

/* Is x less useful than y? Both are of a full table, neither was written. */
static bool is_worse(const struct candidate *x, const struct candidate *y)
{
	return x->source != y->source ? x->source > y->source : x->added_at < y->added_at;
}

/* The one to give up for another of this source; NULL: all are better. */
static struct candidate *least_useful(struct candidates *c, enum candidate_source source)
{
	struct candidate *worst = NULL;
	for (size_t i = 0; i < c->count; i++) {
		struct candidate *one = &c->list[i];
		if (!is_written(one) && (!worst || is_worse(one, worst)))
			worst = one;
	}
	return worst && (source <= worst->source) ? worst : NULL;
}

static struct candidate *find(
	const struct candidates *c, enum carrier carrier, const struct ov_addr *addr)
{
	for (size_t i = 0; i < c->count; i++)
		if (c->list[i].carrier == carrier && addr_equal(&c->list[i].addr, addr))
			return &c->list[i];
	return NULL;
}

const struct candidate *candidates_find(const struct candidates *c, const struct ov_addr *addr)
{
	return find(c, CARRIER_UDP, addr);
}

static bool add(struct candidates *c, ov_time now, enum carrier carrier, const struct ov_addr *addr,
	enum candidate_source source)
{
	if (addr_scope(addr) == ADDR_UNUSABLE || addr->port == 0)
		return false;
	struct candidate *slot = find(c, carrier, addr);
	if (slot) {
		if (source < slot->source)
			slot->source = (uint8_t)source;
		slot->added_at = now;
		return false;
	}
	if (c->count == CANDIDATES_MAX)
		slot = least_useful(c, source);
	else if (reserve(c))
		slot = &c->list[c->count++];
	if (!slot)
		return false;
	*slot = (struct candidate){ .addr = *addr,
		.added_at = now,
		.tried_at = OV_NEVER,
		.source = (uint8_t)source,
		.carrier = (uint8_t)carrier };
	return true;
}

bool candidates_add(
	struct candidates *c, ov_time now, const struct ov_addr *addr, enum candidate_source source)
{
	return add(c, now, CARRIER_UDP, addr, source);
}

bool candidates_add_tcp(
	struct candidates *c, ov_time now, const struct ov_addr *addr, enum candidate_source source)
{
	return add(c, now, CARRIER_TCP, addr, source);
}

static void remove_at(struct candidates *c, size_t i)
{
	c->count--;
	for (; i < c->count; i++)
		c->list[i] = c->list[i + 1];
}

void candidates_forget_written(struct candidates *c)
{
	for (size_t i = 0; i < c->count;)
		if (c->list[i].source == SOURCE_CONFIG)
			remove_at(c, i);
		else
			i++;
}

void candidates_expire(struct candidates *c, ov_time now, enum candidate_source source, ov_time age)
{
	for (size_t i = 0; i < c->count;)
		if (c->list[i].source == source && now - c->list[i].added_at > age)
			remove_at(c, i);
		else
			i++;
}
