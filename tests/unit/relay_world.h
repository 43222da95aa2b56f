#pragma once
/* relay_world - two peers that cannot reach each other and a facilitator that both reach: A and B,
 * and F. */
#include "tests/unit/node_meet.h"

#include "overlay/frames.h"

#define A 0
#define B 1
#define F 2

static inline bool is_direct(const struct wire *w, const struct flight *f)
{
	bool of_f = addr_same_ip(&f->from, &w->nodes[F].addr) ||
		    addr_same_ip(&f->to, &w->nodes[F].addr);
	return !of_f;
}

/* Nothing between A and B. */
static inline bool only_by_facilitator(struct wire *w, struct flight *f)
{
	return !is_direct(w, f);
}

static inline void restart_as(struct wire *w, size_t i, enum facilitator_policy policy)
{
	wire_stop(w, i);
	w->nodes[i].config.facilitator = (uint8_t)policy;
	wire_start(w, i);
	wire_set_address(w, i, w->nodes[i].addr);
}

static inline struct wire *world_of(size_t count)
{
	struct wire *w = wire_new(count);
	for (size_t i = 0; i < 2; i++)
		wire_set_address(
			w, i, addr_v4(198, 51, (uint8_t)(101 + i), 10, 27182)); /* no common link */
	restart_as(w, F, FACILITATOR_OPEN);
	w->hook = only_by_facilitator;
	wire_know(w, A, B, NULL, "all");
	wire_know(w, B, A, NULL, "all");
	wire_use_facilitator(w, A, F);
	wire_use_facilitator(w, B, F);
	wire_run(w, OV_SEC);
	return w;
}

static inline struct wire *world(void)
{
	return world_of(3);
}

/* These frames, in one packet of their session. */
static inline void say(struct wire *w, size_t from, size_t to, const struct wr *frames)
{
	assert_true(
		frames_send(w->nodes[from].node, w->now, wire_peer(w, from, to), frames, false));
	wire_drain(w, from);
	wire_run(w, 2 * WIRE_DELAY);
}

static inline struct wire *relayed_world(void)
{
	struct wire *w = world();
	wire_send(w, A, B, 1, 100);
	wire_run(w, OV_SEC);
	assert_int_equal(wire_got(w, A, B, 1, 100), 1);
	assert_int_equal(wire_info(w, A, B).active.carrier, CARRIER_RELAY);
	return w;
}

static inline struct registration *registration(const struct wire *w, size_t i)
{
	return wire_peer(w, i, F)->registration;
}
