/* A link is a delay line with faults. Order is kept unless `reorder` holds a datagram back: jitter
 * alone must not overtake, else no test could tell one fault from the other. */
#include "tests/sim/link.h"

void link_init(struct link *l, const struct link_config *config)
{
	*l = (struct link){ .config = *config };
}

static enum link_fate fate_of(struct link *l, ov_time now, struct seed *s, size_t ip_len)
{
	const struct link_config *c = &l->config;
	if (c->cut)
		return LINK_CUT;
	if (c->mtu != 0 && ip_len > c->mtu)
		return LINK_TOO_BIG;
	if (now < l->burst_until)
		return LINK_BURST;
	if (seed_chance(s, c->burst_ppm)) {
		l->burst_until = now + c->burst_length;
		return LINK_BURST;
	}
	return seed_chance(s, c->loss_ppm) ? LINK_LOST : LINK_PASSED;
}

/* The bottleneck: returns when the last byte has left, or OV_NEVER when the queue is full. */
static ov_time serialize(struct link *l, ov_time now, size_t ip_len)
{
	if (l->config.bytes_per_second == 0)
		return now;
	ov_time start = ov_max(now, l->busy_until);
	if (start - now > l->config.queue)
		return OV_NEVER;
	l->busy_until = start + (ov_time)(ip_len * (uint64_t)OV_SEC / l->config.bytes_per_second);
	return l->busy_until;
}

static ov_time arrival(struct link *l, ov_time left, struct seed *s)
{
	const struct link_config *c = &l->config;
	ov_time at = left + c->delay + (c->jitter > 0 ? seed_between(s, 0, c->jitter) : 0);
	if (seed_chance(s, c->reorder_ppm))
		return at + c->reorder_delay;
	l->last_arrival = ov_max(at, l->last_arrival);
	return l->last_arrival;
}

struct link_transit link_send(struct link *l, ov_time now, struct seed *s, size_t ip_len)
{
	struct link_transit t = { .fate = fate_of(l, now, s, ip_len) };
	if (t.fate != LINK_PASSED)
		return t;
	ov_time left = serialize(l, now, ip_len);
	if (left == OV_NEVER) {
		t.fate = LINK_QUEUE_FULL;
		return t;
	}
	do {
		t.at[t.copies] = arrival(l, left, s);
		t.corrupt[t.copies] = seed_chance(s, l->config.corrupt_ppm);
		t.copies++;
	} while (t.copies < LINK_COPIES_MAX && seed_chance(s, l->config.duplicate_ppm));
	return t;
}

const char *link_fate_name(enum link_fate fate)
{
	switch (fate) {
	case LINK_PASSED: return "passed";
	case LINK_CUT: return "cut";
	case LINK_LOST: return "lost";
	case LINK_BURST: return "burst";
	case LINK_TOO_BIG: return "too big";
	case LINK_QUEUE_FULL: return "queue full";
	}
	assert(false);
	return "?";
}
