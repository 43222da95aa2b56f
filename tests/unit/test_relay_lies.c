/* A facilitator that lies or forgets, networks that vanish at the wrong moment, and peers that name
 * the addresses of others. */
#include "tests/unit/relay_world.h"

#include "overlay/call.h"
#include "overlay/channel.h"
#include "overlay/frames.h"
#include "overlay/meet.h"
#include "overlay/registration.h"
#include "overlay/route.h"

/* ---- a lying facilitator ---- */

static void strangers_of_a_lying_relay_are_few(void **state)
{
	(void)state;
	struct wire *w = world();
	struct node *n = w->nodes[A].node;
	node_set_pairing(n, true);
	for (uint32_t i = 1; i <= 500; i++) {
		uint8_t plain[600], hs1[HS1_LEN] = { PACKET_HS1 };
		struct relay_in in = { .channel = i, .datagram = hs1, .len = sizeof(hs1) };
		store_le32(in.source.bytes, i);
		struct wr f = wr_init(plain, sizeof(plain));
		frame_put_relay_in(&f, &in);
		say(w, F, A, &f);
	}
	assert_in_range(table_count(n->by_channel), 1, 8);
	assert_non_null(table_find(n->by_channel, 500)); /* the latest may be honest */
	wire_free(w);
}

/* The relay's address is not proven: what goes to its clients would go to anybody. */
static void nothing_is_relayed_to_an_address_that_only_claims_to_be_the_relay(void **state)
{
	(void)state;
	struct wire *w = relayed_world();
	wire_peer(w, A, F)->association->active->validated = false;
	uint64_t before = w->nodes[F].received;
	for (uint32_t i = 0; i < 30; i++) {
		wire_send(w, A, B, 100 + i, 1000);
		wire_run(w, OV_MS);
	}
	wire_run(w, WIRE_DELAY);
	assert_in_range(w->nodes[F].received - before, 0, 3);
	wire_free(w);
}

/* F restarts while nobody speaks: what A holds for a way to B leads nowhere. */
static void a_way_through_a_relay_that_forgot_it_is_not_a_black_hole(void **state)
{
	(void)state;
	struct wire *w = relayed_world();
	wire_run(w, 40 * OV_SEC);
	wire_stop(w, F);
	wire_start(w, F);
	wire_set_address(w, F, w->nodes[F].addr);
	struct peer *f = wire_peer(w, A, F);
	call_start(w->nodes[A].node, w->now, f, false); /* A notices before it says anything */
	wire_drain(w, A);
	wire_run(w, 2 * OV_SEC);
	assert_true(registration(w, A)->registered);
	size_t got = 0;
	for (uint32_t i = 0; i < 80; i++) {
		wire_send(w, A, B, 100 + i, 64);
		wire_run(w, 100 * OV_MS);
	}
	for (uint32_t i = 60; i < 80; i++)
		got += wire_got(w, A, B, 100 + i, 64) > 0;
	assert_int_equal(got, 20);
	wire_free(w);
}

static void a_relay_that_is_removed_takes_its_ways_with_it(void **state)
{
	(void)state;
	struct wire *w = relayed_world();
	struct association *a = wire_peer(w, A, B)->association;
	struct channel *c = wire_peer(w, A, F)->association->channels;
	channel_discard(w->nodes[A].node, c);
	wire_drain(w, A);
	for (size_t i = 0; i < a->path_count; i++)
		assert_false(a->paths[i]->carrier == CARRIER_RELAY &&
			     !channel_of_addr(w->nodes[A].node, &a->paths[i]->remote));
	wire_run(w, 2 * OV_SEC);
	wire_send(w, A, B, 2, 100);
	wire_run(w, OV_SEC);
	assert_int_equal(wire_got(w, A, B, 2, 100), 1);
	wire_free(w);
}

/* A's router restarted: it is at another port now and knows nothing of it. */
static void moves_unseen(struct wire *w, uint32_t pause)
{
	w->nodes[A].addr = addr_v4(198, 51, 101, 10, 4999);
	wire_run(w, pause * OV_SEC);
	size_t got = 0;
	for (uint32_t i = 0; i < 60; i++) {
		wire_send(w, B, A, 100 + i, 64);
		wire_run(w, 100 * OV_MS);
	}
	for (uint32_t i = 40; i < 60; i++)
		got += wire_got(w, B, A, 100 + i, 64) > 0;
	assert_int_equal(got, 20);
	wire_free(w);
}

static void a_client_that_moved_while_idle_is_found_by_its_keepalives(void **state)
{
	(void)state;
	moves_unseen(relayed_world(), 40);
}

static void a_client_that_moved_in_the_midst_of_traffic_is_found(void **state)
{
	(void)state;
	struct wire *w = relayed_world();
	for (uint32_t i = 0; i < 20; i++) {
		wire_send(w, B, A, 500 + i, 64);
		wire_send(w, A, B, 500 + i, 64);
		wire_run(w, 100 * OV_MS);
	}
	moves_unseen(w, 0);
}

/* The renewal was due while the network was gone; F did not restart. */
static void registered_again_after_an_outage(void **state)
{
	(void)state;
	struct wire *w = world();
	assert_true(registration(w, A)->registered);
	wire_run(w, 200 * OV_SEC);
	w->hook = nothing_passes;
	wire_run(w, 250 * OV_SEC);
	w->hook = only_by_facilitator;
	node_network_changed(w->nodes[A].node, w->now, w->nodes[A].node->locals, 1, true);
	wire_drain(w, A);
	wire_run(w, 10 * OV_SEC);
	assert_int_equal(wire_info(w, A, F).state, PEER_UP);
	assert_true(registration(w, A)->registered);
	wire_free(w);
}

static bool f_keeps_quiet(struct wire *w, struct flight *f)
{
	bool answers = is_type(f, PACKET_CONTROL) && addr_same_ip(&f->from, &w->nodes[F].addr);
	return !answers && only_by_facilitator(w, f);
}

/* Its path does not answer after the handshake: no tags are hashed over and over meanwhile, and it
 * is told as soon as it does. */
static void who_does_not_answer_is_not_told_all_the_time(void **state)
{
	(void)state;
	struct wire *w = wire_new(3);
	wire_set_address(w, A, w->nodes[A].addr);
	restart_as(w, F, FACILITATOR_OPEN);
	w->hook = f_keeps_quiet;
	wire_use_facilitator(w, A, F);
	wire_run(w, 20 * WIRE_DELAY);
	assert_int_not_equal(wire_info(w, A, F).handshakes, 0);
	ov_time at = registration(w, A)->next_at;
	size_t woken = 0;
	for (ov_time until = w->now + 2 * OV_SEC; w->now < until; wire_run(w, WIRE_DELAY)) {
		woken += registration(w, A)->next_at != at;
		at = registration(w, A)->next_at;
	}
	assert_false(registration(w, A)->registered);
	assert_in_range(woken, 1, 4);
	w->hook = only_by_facilitator;
	while (!wire_peer(w, A, F)->association->active->validated)
		wire_run(w, WIRE_DELAY);
	wire_run(w, 3 * WIRE_DELAY);
	assert_true(registration(w, A)->registered);
	wire_free(w);
}

static void a_lifetime_of_zero_makes_no_storm(void **state)
{
	(void)state;
	struct wire *w = world();
	struct registration *r = registration(w, A);
	for (int i = 0; i < 20; i++) {
		uint8_t plain[32];
		struct wr f = wr_init(plain, sizeof(plain));
		frame_put_registered(&f, &(struct registered_frame){ .request = r->request });
		say(w, F, A, &f);
	}
	uint64_t sent = w->nodes[A].sent;
	wire_run(w, 60 * OV_SEC);
	assert_in_range(w->nodes[A].sent - sent, 1, 16);
	wire_free(w);
}

static void closing_again_and_again_costs_little(void **state)
{
	(void)state;
	struct wire *w = relayed_world();
	uint64_t sent = w->nodes[A].sent, closed = 0;
	for (int i = 0; i < 1000; i++) {
		struct channel *c = wire_peer(w, A, F)->association->channels;
		uint8_t plain[16];
		struct wr f = wr_init(plain, sizeof(plain));
		frame_put_relay_close(&f, &(struct relay_close){ .channel = c ? c->id : 1 });
		closed += c != NULL;
		(void)frames_send(w->nodes[F].node, w->now, wire_peer(w, F, A), &f, false);
		wire_drain(w, F);
		wire_run(w, 10 * OV_MS);
	}
	assert_true(closed > 1);
	assert_in_range(w->nodes[A].sent - sent, 1, 1000); /* in 10 s */
	wire_free(w);
}

/* ---- addresses of third parties ---- */

static size_t to_third, third_count;
static struct ov_addr thirds[512];

static bool count_third(struct wire *w, struct flight *f)
{
	if (f->to.ip[12] != 203)
		return only_by_facilitator(w, f);
	to_third++;
	size_t i = 0;
	while (i < third_count && !addr_equal(&thirds[i], &f->to))
		i++;
	if (i == third_count && i < 512)
		thirds[third_count++] = f->to;
	return false;
}

/* B says that it is at 16 other places each second. */
static void claims(struct wire *w, uint32_t seconds)
{
	to_third = third_count = 0;
	w->hook = count_third;
	for (uint32_t i = 0; i < seconds; i++) {
		uint8_t plain[600];
		struct wr f = wr_init(plain, sizeof(plain));
		struct endpoints_frame e = { .count = FRAME_ENDPOINTS_MAX };
		for (size_t k = 0; k < e.count; k++)
			e.addr[k] = addr_v4(203, (uint8_t)i, (uint8_t)(i >> 8), (uint8_t)k, 1000);
		frame_put_endpoints(&f, FRAME_ENDPOINTS, &e);
		frame_put_punch(&f, &(struct punch_frame){ .round = 1000 + i });
		(void)frames_send(w->nodes[B].node, w->now, wire_peer(w, B, A), &f, false);
		wire_drain(w, B);
		wire_run(w, OV_SEC);
	}
}

static void a_peer_names_at_most_twenty_new_places_a_minute(void **state)
{
	(void)state;
	struct wire *w = relayed_world();
	claims(w, 60);
	assert_in_range(third_count, FRAME_ENDPOINTS_MAX, 20);
	assert_in_range(to_third, FRAME_ENDPOINTS_MAX, 20 * PATH_PROBES);
	wire_free(w);
}

static void and_none_when_all_together_named_two_hundred(void **state)
{
	(void)state;
	struct wire *w = relayed_world();
	struct node *n = w->nodes[A].node;
	size_t allowed = 0;
	for (int i = 0; i < 1000; i++) { /* by others */
		struct peer other = { 0 };
		struct candidate c = { .source = SOURCE_PEER, .tried_at = OV_NEVER };
		allowed += meet_may_ask(n, w->now + i * 60 * OV_MS, &other, &c) ? 1u : 0u;
	}
	assert_in_range(allowed, 100, 200);
	w->now += OV_MS;
	claims(w, 1);
	assert_int_equal(third_count, 0);
	wire_free(w);
}

static void a_call_asks_a_place_that_was_only_claimed_five_times(void **state)
{
	(void)state;
	struct wire *w = relayed_world();
	claims(w, 1);
	to_third = 0;
	wire_stop(w, B);
	wire_stop(w, F);
	for (int i = 0; i < 200; i++) {
		wire_send(w, A, B, 1, 100);
		wire_run(w, OV_SEC);
	}
	size_t each = to_third / (third_count ? third_count : 1);
	assert_in_range(each, 1, 5 + 20); /* five of the calls, and one of each later attempt */
	wire_free(w);
}

static void questions_to_meet_are_limited(void **state)
{
	(void)state;
	struct wire *w = relayed_world();
	uint64_t before = w->nodes[A].sent;
	for (uint32_t i = 0; i < 200; i++) {
		uint8_t plain[64];
		struct wr f = wr_init(plain, sizeof(plain));
		frame_put_punch(&f, &(struct punch_frame){ .round = 5000 + i });
		assert_true(frames_send(w->nodes[B].node, w->now, wire_peer(w, B, A), &f, false));
		wire_drain(w, B);
		wire_run(w, 10 * OV_MS);
	}
	assert_true(wire_drops(w, A, DROP_RATE) > 150);
	assert_in_range(w->nodes[A].sent - before, 0, 60);
	wire_free(w);
}

static void a_client_cannot_tell_us_whom_to_ask(void **state)
{
	(void)state;
	struct wire *w = world();
	uint8_t plain[64];
	struct wr f = wr_init(plain, sizeof(plain));
	struct endpoints_frame e = { .count = 1, .addr = { addr_v4(203, 0, 113, 5, 53) } };
	frame_put_endpoints(&f, FRAME_ENDPOINTS, &e);
	say(w, A, F, &f);
	assert_int_equal(wire_peer(w, F, A)->candidates.count, 0);
	assert_int_equal(wire_drops(w, F, DROP_GRANT), 1);
	wire_free(w);
}

static void one_facilitator_cannot_fill_the_list_of_what_was_observed(void **state)
{
	(void)state;
	struct wire *w = world();
	struct association *a = wire_peer(w, A, F)->association;
	for (uint8_t i = 0; i < 10; i++) {
		struct dgram where = { .carrier = CARRIER_UDP, .remote = addr_v4(192, 0, 2, i, 9) };
		struct path *path = route_add(w->nodes[A].node, w->now, wire_peer(w, A, F), &where);
		path->observed = addr_v4(203, 0, 113, i, 9);
		path->state = PATH_VALID;
	}
	struct ov_addr out[8];
	assert_in_range(registration_observed(w->nodes[A].node, out, 8), 1, 3);
	a->paths[0]->observed = addr_v4(127, 0, 0, 1, 9);
	size_t count = registration_observed(w->nodes[A].node, out, 8);
	for (size_t i = 0; i < count; i++)
		assert_int_not_equal(addr_scope(&out[i]), ADDR_LOOPBACK);
	wire_free(w);
}

/* ---- rest ---- */

/* issue 3, figures: 50 contacts, two facilitators, nothing to say: 20 packets a minute. */
static void an_idle_client_of_two_facilitators_is_quiet(void **state)
{
	(void)state;
	struct wire *w = wire_new(3);
	wire_set_address(w, A, w->nodes[A].addr);
	for (size_t i = 1; i < 3; i++)
		restart_as(w, i, FACILITATOR_OPEN);
	for (uint32_t i = 0; i < 50; i++) {
		uint8_t seed[32] = { 0xcc, (uint8_t)i };
		struct identity id;
		assert_int_equal(identity_from_seed(&id, seed), OV_OK);
		struct contact c = { .id = id.id };
		assert_int_equal(node_contact_put(w->nodes[A].node, w->now, &c, false), OV_OK);
	}
	for (size_t i = 1; i < 3; i++)
		wire_use_facilitator(w, A, i);
	wire_run(w, 60 * OV_SEC);
	for (size_t i = 1; i < 3; i++)
		assert_true(wire_peer(w, A, i)->registration->registered);
	uint64_t before = w->nodes[A].sent + w->nodes[A].received;
	wire_run(w, 60 * 60 * OV_SEC);
	uint64_t packets = w->nodes[A].sent + w->nodes[A].received - before;
	print_message("idle, two facilitators: %.1f packets a minute\n", (double)packets / 60);
	assert_in_range(packets / 60, 1, 19);
	wire_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(strangers_of_a_lying_relay_are_few),
		cmocka_unit_test(nothing_is_relayed_to_an_address_that_only_claims_to_be_the_relay),
		cmocka_unit_test(a_way_through_a_relay_that_forgot_it_is_not_a_black_hole),
		cmocka_unit_test(a_relay_that_is_removed_takes_its_ways_with_it),
		cmocka_unit_test(a_client_that_moved_while_idle_is_found_by_its_keepalives),
		cmocka_unit_test(a_client_that_moved_in_the_midst_of_traffic_is_found),
		cmocka_unit_test(registered_again_after_an_outage),
		cmocka_unit_test(who_does_not_answer_is_not_told_all_the_time),
		cmocka_unit_test(a_lifetime_of_zero_makes_no_storm),
		cmocka_unit_test(closing_again_and_again_costs_little),
		cmocka_unit_test(a_peer_names_at_most_twenty_new_places_a_minute),
		cmocka_unit_test(and_none_when_all_together_named_two_hundred),
		cmocka_unit_test(a_call_asks_a_place_that_was_only_claimed_five_times),
		cmocka_unit_test(questions_to_meet_are_limited),
		cmocka_unit_test(a_client_cannot_tell_us_whom_to_ask),
		cmocka_unit_test(one_facilitator_cannot_fill_the_list_of_what_was_observed),
		cmocka_unit_test(an_idle_client_of_two_facilitators_is_quiet),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
