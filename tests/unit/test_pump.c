/* The pump over sockets that refuse: what the node has to say about it leaves in the same turn. */
#include "tests/unit/seeded.h"

#define WIRE_FAIL(what) fail_msg("%s", what)
#include "tests/unit/node_wire.h"

#include "overlay/pump_uv.h"
#include "overlay/udp_backend_uv.h"

struct refusing {
	struct udp base;
	unsigned refuse; /* so many more */
	unsigned sent;
};

static void fake_send(struct udp *u, const struct dgram *runs, size_t count)
{
	struct refusing *r = (struct refusing *)u;
	for (size_t i = 0; i < count; i++)
		if (r->refuse) {
			r->refuse--;
			udp_record_failure(u, &runs[i], false);
		} else {
			r->sent++;
		}
}

static bool fake_blocked(const struct udp *u)
{
	(void)u;
	return false;
}

static const struct udp_ops fake = { .name = "fake", .send = fake_send, .blocked = fake_blocked };

/* The path is doubted at once, and the timer knows of it. */
static void a_refusal_is_answered_in_its_turn(void **state)
{
	(void)state;
	struct wire *w = wire_new(2);
	wire_acquaint(w, 0, 1);
	wire_send(w, 0, 1, 1, 64);
	wire_run(w, 2 * OV_SEC);
	assert_int_equal(wire_info(w, 0, 1).state, PEER_UP);
	struct refusing udp = { .base.ops = &fake, .refuse = 1 };
	struct pump *p = calloc(1, sizeof(*p));
	assert_int_equal(pump_init(p, w->nodes[0].node, &udp.base, NULL), OV_OK);

	uint8_t packet[256];
	size_t len = wire_packet(w, 0, 1, 2, 64, packet);
	struct ip_packet ip = { .data = packet, .len = len };
	assert_int_equal(node_submit(p->node, w->now, &ip, 1), 1);
	pump_send(p, w->now);
	assert_int_equal(udp.refuse, 0);
	assert_int_equal(udp.sent, 2); /* the question, and by whatever way the kernel has now */
	assert_null(p->node->touched);
	assert_true(node_deadline(p->node) <= w->now + OV_SEC);

	udp.refuse = UINT_MAX; /* no way out: it ends all the same */
	assert_int_equal(node_submit(p->node, w->now, &ip, 1), 1);
	pump_send(p, w->now);
	assert_int_equal(udp.sent, 2);
	free(p);
	wire_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(a_refusal_is_answered_in_its_turn) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
