/* offer.c: peers tell where they can be reached. What is done with it is the API's,
 * test_api_offer.c. */
#include "tests/unit/node_meet.h"

enum { A, B };

static struct relay_offer some(uint8_t which)
{
	struct relay_offer o = { .endpoint = addr_v4(203, 0, 113, which, 27182),
		.expires_s = 1000 };
	memset(o.facilitator.bytes, which, PEER_ID_LEN);
	memset(o.signature, which + 1, sizeof(o.signature));
	return o;
}

static struct wire *world(void)
{
	struct wire *w = wire_new(2);
	wire_acquaint(w, A, B);
	meet(w, A, B);
	return w;
}

static size_t offered(struct wire *w)
{
	return wire_events(w, B, NODE_RELAY_OFFERED);
}

static void say(struct wire *w, const struct relay_offer *list, size_t count)
{
	node_offer(w->nodes[A].node, w->now, &w->nodes[B].id.id, list, count);
	wire_drain(w, A);
}

static void offers_arrive_and_are_said_three_times(void **state)
{
	(void)state;
	struct wire *w = world();
	struct relay_offer list[] = { some(7), some(9) };
	say(w, list, 2);
	wire_run(w, OV_SEC);
	assert_int_equal(offered(w), 2);
	wire_run(w, 60 * OV_SEC);
	assert_int_equal(offered(w), 6);
	const struct node_event *e = &w->nodes[B].events[w->nodes[B].event_count - 1];
	assert_true(peer_id_equal(&e->peer, &w->nodes[A].id.id));
	assert_true(peer_id_equal(&e->other, &list[1].facilitator));
	assert_true(addr_equal(&e->addr, &list[1].endpoint));
	assert_int_equal(e->token, 1000);
	assert_memory_equal(e->signature, list[1].signature, sizeof(e->signature));
	wire_free(w);
}

static unsigned left_to_lose;

static bool lose_some(struct wire *w, struct flight *f)
{
	(void)w;
	(void)f;
	return left_to_lose == 0 || left_to_lose-- == 0;
}

static void a_lost_one_is_made_good(void **state)
{
	(void)state;
	struct wire *w = world();
	struct relay_offer one = some(7);
	w->hook = lose_some;
	left_to_lose = 1;
	say(w, &one, 1);
	wire_run(w, 30 * OV_SEC);
	assert_int_equal(offered(w), 2);
	wire_free(w);
}

static void nothing_is_said_without_a_session(void **state)
{
	(void)state;
	struct wire *w = wire_new(2);
	struct relay_offer one = some(7);
	wire_know(w, A, B, NULL, "all");
	say(w, &one, 1);
	wire_run(w, 100 * OV_SEC);
	assert_int_equal(w->nodes[A].sent, 0);
	wire_free(w);
}

/* An address that nobody could be at, and ourselves, are no news. */
static void nonsense_is_dropped(void **state)
{
	(void)state;
	struct wire *w = world();
	struct relay_offer list[] = { some(7), some(8), some(9) };
	list[0].endpoint = addr_v4(224, 0, 0, 1, 27182);
	list[1].facilitator = w->nodes[B].id.id;
	list[2].endpoint = (struct ov_addr){ 0 }; /* "where you know it": only the sender itself */
	say(w, list, 3);
	wire_run(w, 60 * OV_SEC);
	assert_int_equal(offered(w), 0);
	list[2].facilitator = w->nodes[A].id.id;
	say(w, &list[2], 1);
	wire_run(w, OV_SEC);
	assert_int_equal(offered(w), 1);
	wire_free(w);
}

static void a_flood_is_bounded(void **state)
{
	(void)state;
	struct wire *w = world();
	struct relay_offer list[] = { some(7), some(8), some(9) };
	for (int i = 0; i < 200; i++) {
		say(w, list, 3);
		wire_run(w, 50 * OV_MS);
	}
	assert_in_range(offered(w), 16, 17); /* in 10 s: each may be an address to be called */
	assert_true(wire_drops(w, B, DROP_RATE) > 500);
	wire_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(offers_arrive_and_are_said_three_times),
		cmocka_unit_test(a_lost_one_is_made_good),
		cmocka_unit_test(nothing_is_said_without_a_session),
		cmocka_unit_test(nonsense_is_dropped),
		cmocka_unit_test(a_flood_is_bounded),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
