#pragma once
/* node_meet - what the tests of the node share: the wire, and two nodes that know each other. */
#include "tests/unit/seeded.h"

#define WIRE_FAIL(what) fail_msg("%s", what)
#include "tests/unit/node_wire.h"

static inline bool is_type(const struct flight *f, enum packet_type type)
{
	return f->len >= HEADER_LEN && f->data[0] == type;
}

static inline void meet(struct wire *w, size_t a, size_t b)
{
	wire_acquaint(w, a, b);
	wire_send(w, a, b, 1, 100);
	wire_run(w, 2 * OV_SEC);
	assert_int_equal(wire_got(w, a, b, 1, 100), 1);
	assert_int_equal(wire_info(w, a, b).state, PEER_UP);
	assert_int_equal(wire_info(w, b, a).state, PEER_UP);
}

static inline bool nothing_passes(struct wire *w, struct flight *f)
{
	(void)w;
	(void)f;
	return false;
}
