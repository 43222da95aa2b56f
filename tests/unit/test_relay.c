/* Two peers that cannot reach each other and a facilitator that both reach: 0 and 1, and 2. */
#define WIRE_NODES 4
#include "tests/unit/relay_world.h"

#include "overlay/association.h"
#include "overlay/channel.h"
#include "overlay/registration.h"
#include "overlay/route.h"

static uint8_t carrier(const struct wire *w, size_t a, size_t b)
{
	return wire_info(w, a, b).active.carrier;
}

static const char *why(const struct wire *w, size_t a, size_t b)
{
	static struct why said;
	assert_true(node_why(w->nodes[a].node, w->now, &w->nodes[b].id.id, &said));
	assert_true(strlen(said.text) > 10);
	return said.code;
}

static void first_answer_through_the_relay_takes_three_round_trips(void **state)
{
	(void)state;
	struct wire *w = world();
	wire_send(w, A, B, 1, 100);
	wire_run(w, 6 * 2 * WIRE_DELAY); /* HS1, HS2, packet: each two hops */
	assert_int_equal(wire_got(w, A, B, 1, 100), 1);
	assert_int_equal(carrier(w, A, B), CARRIER_RELAY);
	wire_send(w, B, A, 2, 1200);
	wire_run(w, 2 * WIRE_DELAY);
	assert_int_equal(wire_got(w, B, A, 2, 1200), 1);
	assert_int_equal(wire_info(w, F, A).state, PEER_UP);
	assert_true(node_counters(w->nodes[F].node)->relayed_bytes > 1200);
	wire_free(w);
}

static void goes_direct_once_it_can(void **state)
{
	(void)state;
	struct wire *w = world();
	assert_string_equal(why(w, A, B), "idle");
	wire_send(w, A, B, 1, 100);
	wire_run(w, OV_SEC);
	assert_int_equal(carrier(w, A, B), CARRIER_RELAY);
	assert_string_equal(why(w, A, B), "peer-silent");
	w->hook = NULL;
	wire_run(w, 15 * OV_SEC); /* the next round */
	assert_int_equal(carrier(w, A, B), CARRIER_UDP);
	assert_string_equal(why(w, A, B), "direct");
	assert_int_equal(carrier(w, B, A), CARRIER_UDP);
	uint64_t relayed = node_counters(w->nodes[F].node)->relayed_bytes;
	wire_send(w, A, B, 2, 700);
	wire_run(w, OV_SEC);
	assert_int_equal(wire_got(w, A, B, 2, 700), 1);
	assert_true(node_counters(w->nodes[F].node)->relayed_bytes - relayed < 700);
	wire_free(w);
}

static bool nothing_direct_for_a_while(struct wire *w, struct flight *f)
{
	const ov_time *until = w->context;
	return w->now >= *until || !is_direct(w, f);
}

/* The next round has all of its probes again, whenever the way opens. */
static void each_round_is_a_full_one(void **state)
{
	(void)state;
	for (ov_time wait = 500 * OV_MS; wait < 12 * OV_SEC; wait += 500 * OV_MS) {
		struct wire *w = world();
		ov_time until = w->now + wait;
		w->hook = nothing_direct_for_a_while;
		w->context = &until;
		wire_send(w, A, B, 1, 100);
		wire_run(w, wait + 13 * OV_SEC); /* the longest gap between rounds by then: 12 s */
		assert_int_equal(carrier(w, A, B), CARRIER_UDP);
		wire_free(w);
	}
}

/* Questions of both cross on the way: what each sent before must not keep it from answering, and
 * both use what they found, whichever path answered first. */
static void the_way_opens_between_any_two_probes(void **state)
{
	(void)state;
	for (ov_time wait = 5 * OV_MS; wait < 1200 * OV_MS; wait += 15 * OV_MS) {
		struct wire *w = world();
		w->delay = wait % (20 * OV_MS) + OV_MS;
		ov_time until = w->now + wait;
		w->hook = nothing_direct_for_a_while;
		w->context = &until;
		wire_send(w, A, B, 1, 100);
		wire_run(w, wait + 1300 * OV_MS);
		assert_int_equal(carrier(w, A, B), CARRIER_UDP);
		assert_int_equal(carrier(w, B, A), CARRIER_UDP);
		wire_free(w);
	}
}

static void direct_within_a_second_when_nothing_is_in_the_way(void **state)
{
	(void)state;
	struct wire *w = world();
	w->hook = NULL;
	wire_send(w, A, B, 1, 100);
	wire_run(w, OV_SEC);
	assert_int_equal(wire_got(w, A, B, 1, 100), 1);
	assert_int_equal(carrier(w, A, B), CARRIER_UDP);
	wire_free(w);
}

/* Whoever chooses second is moved by the other's data. That the relay still works is no sign that
 * the peer did not leave it. */
static void stays_direct_whoever_finds_it_first(void **state)
{
	(void)state;
	for (uint32_t later = 0; later < 100; later += 10) {
		struct wire *w = world();
		wire_send(w, A, B, 1, 100);
		wire_run(w, OV_SEC + later * OV_MS);
		assert_int_equal(carrier(w, A, B), CARRIER_RELAY);
		w->hook = NULL;
		for (uint32_t i = 0; i < 1500; i++) {
			wire_send(w, A, B, 100 + 2 * i, 64);
			wire_send(w, B, A, 101 + 2 * i, 64);
			wire_run(w, 10 * OV_MS);
		}
		assert_int_equal(carrier(w, A, B), CARRIER_UDP);
		assert_int_equal(carrier(w, B, A), CARRIER_UDP);
		wire_free(w);
	}
}

static void falls_back_to_the_relay_without_losing_the_session(void **state)
{
	(void)state;
	struct wire *w = world();
	w->hook = NULL;
	wire_send(w, A, B, 1, 100);
	wire_run(w, 5 * OV_SEC);
	assert_int_equal(carrier(w, A, B), CARRIER_UDP);
	w->hook = only_by_facilitator;
	size_t got = 0;
	for (uint32_t i = 0; i < 50; i++) {
		wire_send(w, A, B, 100 + i, 64);
		wire_run(w, 100 * OV_MS);
	}
	for (uint32_t i = 30; i < 50; i++) /* after 3 s */
		got += wire_got(w, A, B, 100 + i, 64) > 0;
	assert_int_equal(got, 20);
	assert_int_equal(wire_events(w, A, NODE_PEER_DOWN), 0);
	wire_free(w);
}

static void who_is_not_let_in_learns_nothing(void **state)
{
	(void)state;
	struct wire *w = world();
	assert_int_equal(node_contact_remove(w->nodes[B].node, &w->nodes[A].id.id), OV_OK);
	registration_renew_all(w->nodes[B].node, w->now);
	wire_drain(w, B);
	wire_run(w, OV_SEC);
	uint64_t to_b = w->nodes[B].received;
	wire_send(w, A, B, 1, 100);
	wire_run(w, 300 * OV_MS);
	assert_true(wire_drops(w, F, DROP_AWAY) > 0);
	assert_int_equal(w->nodes[B].received, to_b);
	wire_free(w);
}

static void a_denied_client_cannot_register(void **state)
{
	(void)state;
	struct wire *w = world();
	restart_as(w, F, FACILITATOR_OFF);
	wire_run(w, 200 * OV_SEC);
	wire_send(w, A, B, 1, 100);
	wire_run(w, 5 * OV_SEC);
	assert_int_equal(wire_got(w, A, B, 1, 100), 0);
	assert_int_equal(node_peer_count(w->nodes[F].node), 0); /* strangers */
	wire_free(w);
}

static void contacts_policy_serves_contacts(void **state)
{
	(void)state;
	struct wire *w = world();
	restart_as(w, F, FACILITATOR_CONTACTS);
	wire_know(w, F, A, NULL, "icmp");
	wire_know(w, F, B, NULL, "icmp");
	wire_run(w, 120 * OV_SEC); /* nothing is relayed: they notice by the next question */
	wire_send(w, A, B, 1, 100);
	wire_run(w, 5 * OV_SEC);
	assert_int_equal(wire_got(w, A, B, 1, 100), 1);
	wire_free(w);
}

static void a_facilitator_that_restarts_is_used_again_in_five_seconds(void **state)
{
	(void)state;
	struct wire *w = world();
	wire_send(w, A, B, 1, 100);
	wire_run(w, 2 * OV_SEC);
	wire_stop(w, F);
	wire_start(w, F);
	wire_set_address(w, F, w->nodes[F].addr);
	for (uint32_t i = 0; i < 70; i++) {
		wire_send(w, A, B, 100 + i, 64);
		wire_run(w, 100 * OV_MS);
	}
	size_t got = 0;
	for (uint32_t i = 50; i < 70; i++)
		got += wire_got(w, A, B, 100 + i, 64) > 0;
	assert_int_equal(got, 20);
	wire_free(w);
}

/* Whoever hears nothing through it asks the relay itself, and does not wait for the next check. */
static void a_silent_relay_is_doubted_with_the_first_silence(void **state)
{
	(void)state;
	for (int part = 0; part < 15; part++) { /* of the time between two checks */
		struct wire *w = world();
		wire_send(w, A, B, 1, 100);
		wire_run(w, 2 * OV_SEC + part * 100 * OV_MS);
		wire_stop(w, F);
		wire_start(w, F);
		wire_set_address(w, F, w->nodes[F].addr);
		for (uint32_t i = 0; i < 28; i++) { /* 1.4 s */
			wire_send(w, A, B, 100 + i, 64);
			wire_send(w, B, A, 100 + i, 64);
			wire_run(w, 50 * OV_MS);
		}
		assert_int_equal(wire_got(w, A, B, 127, 64), 1);
		assert_int_equal(wire_got(w, B, A, 127, 64), 1);
		wire_free(w);
	}
}

/* The peer moved, and for a moment the path to where it was looked as good as the new one. */
static void a_path_that_turns_out_dead_does_not_hide_a_good_one(void **state)
{
	(void)state;
	struct wire *w = world();
	w->hook = NULL;
	wire_send(w, A, B, 1, 100);
	wire_run(w, 3 * OV_SEC);
	struct peer *p[2] = { w->nodes[A].node->peers[0], w->nodes[B].node->peers[0] };
	for (int i = 0; i < 2; i++) {
		struct association *a = p[i]->association;
		assert_int_equal(a->active->carrier, CARRIER_UDP);
		for (size_t k = 0; k < a->path_count; k++)
			if (a->paths[k]->carrier == CARRIER_RELAY)
				route_use(w->nodes[i].node, w->now, p[i], a->paths[k]);
		assert_int_equal(a->active->carrier, CARRIER_RELAY);
	}
	int lower = p[A]->lower ? A : B;
	struct dgram left = { .carrier = CARRIER_UDP, .remote = addr_v4(203, 0, 113, 99, 27182) };
	struct path *old = route_add(w->nodes[lower].node, w->now, p[lower], &left);
	old->state = PATH_VALID;
	old->validated = true;
	p[lower]->association->previous = old;
	path_challenge(old, w->now);
	for (uint32_t i = 0; i < 150; i++) {
		wire_send(w, A, B, 100 + i, 64);
		wire_send(w, B, A, 100 + i, 64);
		wire_run(w, 10 * OV_MS);
	}
	assert_int_equal(wire_info(w, A, B).active.carrier, CARRIER_UDP);
	assert_int_equal(wire_info(w, B, A).active.carrier, CARRIER_UDP);
	wire_free(w);
}

static bool by_either(struct wire *w, struct flight *f)
{
	struct ov_addr second = w->nodes[3].addr;
	return only_by_facilitator(w, f) || addr_same_ip(&f->to, &second) ||
	       addr_same_ip(&f->from, &second);
}

/* The first silence is enough to call through the other one. */
static void of_two_facilitators_one_may_die(void **state)
{
	(void)state;
	struct wire *w = world_of(4);
	restart_as(w, 3, FACILITATOR_OPEN);
	w->hook = by_either;
	wire_use_facilitator(w, A, 3);
	wire_use_facilitator(w, B, 3);
	wire_run(w, OV_SEC);
	wire_send(w, A, B, 1, 100);
	wire_run(w, 2 * OV_SEC);
	const struct association *a = wire_peer(w, A, B)->association;
	assert_int_equal(a->active->carrier, CARRIER_RELAY);
	const struct channel *c = channel_of_addr(w->nodes[A].node, &a->active->remote);
	wire_stop(w, c->session == wire_peer(w, A, F) ? F : 3);
	for (uint32_t i = 0; i < 32; i++) { /* 800 ms */
		wire_send(w, A, B, 100 + i, 64);
		wire_send(w, B, A, 100 + i, 64);
		wire_run(w, 25 * OV_MS);
	}
	wire_run(w, 100 * OV_MS);
	assert_int_equal(wire_got(w, A, B, 131, 64), 1);
	assert_int_equal(wire_got(w, B, A, 131, 64), 1);
	wire_free(w);
}

static bool without_a(struct wire *w, struct flight *f)
{
	return !addr_same_ip(&f->from, &w->nodes[A].addr) &&
	       !addr_same_ip(&f->to, &w->nodes[A].addr);
}

/* It has not restarted, and A's association with it lived on: A must still say that it is back. */
static void a_facilitator_that_was_out_of_reach_serves_again(void **state)
{
	(void)state;
	struct wire *w = world();
	struct facilitator_info f;
	w->hook = without_a;
	wire_run(w, 350 * OV_SEC);
	assert_int_equal(node_facilitators(w->nodes[A].node, w->now, &f, 1), 1);
	assert_false(f.registered);
	w->hook = only_by_facilitator;
	wire_run(w, 250 * OV_SEC); /* the next attempt */
	assert_int_equal(node_facilitators(w->nodes[A].node, w->now, &f, 1), 1);
	assert_true(f.registered);
	wire_send(w, B, A, 1, 100);
	wire_run(w, 5 * OV_SEC);
	assert_int_equal(wire_got(w, B, A, 1, 100), 1);
	wire_free(w);
}

static bool a_is_elsewhere(struct wire *w, struct flight *f)
{
	if (addr_equal(&f->from, &w->nodes[A].addr))
		f->from = w->nodes[A].old;
	return only_by_facilitator(w, f) || addr_equal(&f->from, &w->nodes[A].old);
}

static bool not_elsewhere(struct wire *w, struct flight *f)
{
	return only_by_facilitator(w, f) && !addr_equal(&f->to, &w->nodes[A].old);
}

/* Two paths, and the ends use different ones: what goes through the relay says nothing to it. */
static void a_relay_sends_where_the_client_keeps_open(void **state)
{
	(void)state;
	struct wire *w = world();
	struct ov_addr at = w->nodes[A].addr;
	w->nodes[A].old = addr_v4(203, 0, 113, 5, 27182);
	w->hook = a_is_elsewhere;
	wire_run(w, 30 * OV_SEC); /* a keepalive, and it is asked */
	w->hook = not_elsewhere;
	struct peer *client = wire_peer(w, F, A);
	struct dgram other = { .carrier = CARRIER_UDP, .remote = w->nodes[A].old };
	struct path *path = route_find(client->association, &other);
	assert_non_null(path);
	route_use(w->nodes[F].node, w->now, client, path);
	wire_drain(w, F);
	assert_true(wire_uses(w, F, A, w->nodes[A].old));
	wire_run(w, 30 * OV_SEC);
	assert_true(wire_uses(w, F, A, at));
	wire_free(w);
}

static bool from_another_address(struct wire *w, struct flight *f)
{
	if (f->data[0] == PACKET_RELAY && addr_same_ip(&f->from, &w->nodes[A].addr))
		f->from = addr_v4(203, 0, 113, 99, 5);
	return only_by_facilitator(w, f) || f->from.ip[12] == 203;
}

static void relay_datagrams_count_only_from_their_address(void **state)
{
	(void)state;
	struct wire *w = world();
	wire_send(w, A, B, 1, 100);
	wire_run(w, 2 * OV_SEC);
	w->hook = from_another_address;
	uint64_t before = wire_drops(w, F, DROP_CHANNEL),
		 relayed = node_counters(w->nodes[F].node)->relayed_bytes;
	wire_send(w, A, B, 2, 100);
	wire_run(w, 2 * WIRE_DELAY);
	assert_true(wire_drops(w, F, DROP_CHANNEL) > before);
	assert_int_equal(node_counters(w->nodes[F].node)->relayed_bytes, relayed);
	assert_int_equal(wire_got(w, A, B, 2, 100), 0);
	wire_free(w);
}

/* Short packets pass, so the path answers, but REGISTER does not; then nothing for a while. */
static bool no_registration(struct wire *w, struct flight *f)
{
	const ov_time *phase = w->context;
	if (!addr_same_ip(&f->to, &w->nodes[F].addr) || w->now >= phase[1])
		return !is_direct(w, f);
	return w->now < phase[0] && f->len < 60;
}

static void a_facilitator_that_comes_back_is_asked_at_once(void **state)
{
	(void)state;
	struct wire *w = world();
	ov_time phase[2] = { w->now + 100 * OV_SEC, w->now + 130 * OV_SEC };
	wire_stop(w, F);
	wire_start(w, F);
	wire_set_address(w, F, w->nodes[F].addr);
	w->hook = no_registration;
	w->context = phase;
	for (size_t i = 0; i < 2; i++)
		registration_renew_all(w->nodes[i].node, w->now);
	wire_run(w, phase[1] - w->now + 20 * OV_SEC);
	wire_send(w, A, B, 1, 100);
	wire_run(w, 2 * OV_SEC);
	assert_int_equal(wire_got(w, A, B, 1, 100), 1);
	wire_free(w);
}

static void channels_are_bounded(void **state)
{
	(void)state;
	struct wire *w = world();
	w->nodes[F].config.relay_channels = 0;
	restart_as(w, F, FACILITATOR_OPEN);
	wire_run(w, 200 * OV_SEC);
	wire_send(w, A, B, 1, 100);
	wire_run(w, 5 * OV_SEC);
	assert_int_equal(wire_got(w, A, B, 1, 100), 0);
	assert_true(node_counters(w->nodes[F].node)->refused.channels > 0);
	wire_free(w);
}

static void clients_vanish_with_their_sessions(void **state)
{
	(void)state;
	struct wire *w = world();
	assert_int_equal(node_peer_count(w->nodes[F].node), 2);
	wire_stop(w, A);
	wire_stop(w, B);
	wire_run(w, 800 * OV_SEC);
	assert_int_equal(node_peer_count(w->nodes[F].node), 0);
	wire_free(w);
}

static void a_client_has_no_way_to_the_interface(void **state)
{
	(void)state;
	struct wire *w = world();
	wire_know(w, A, F, NULL, "all"); /* now it may send packets there */
	wire_send(w, A, F, 1, 100);
	wire_run(w, OV_SEC);
	assert_int_equal(wire_got(w, A, F, 1, 100), 0);
	assert_true(wire_drops(w, F, DROP_GRANT) > 0);
	wire_free(w);
}

/* Its packet numbers are used up when a keepalive is due. */
static void keys_that_are_used_up_are_renewed(void **state)
{
	(void)state;
	struct wire *w = world();
	struct association *to_f = wire_peer(w, A, F)->association;
	const struct keys *old = to_f->keys[0];
	to_f->keys[0]->session.next_counter = SESSION_REJECT_PACKETS;
	wire_run(w, 2 * PATH_KEEPALIVE);
	assert_true(to_f->keys[0] != old && association_reaches(to_f, w->now));
	wire_free(w);
}

/* Its name in the DNS was resolved; then a contact offers it. */
static void an_offer_spoils_nothing_that_is_written(void **state)
{
	(void)state;
	struct wire *w = wire_new(3);
	struct node *a = w->nodes[A].node;
	uint8_t pass[HS1_VOUCHER_LEN] = { 1 };
	struct contact written = { .id = w->nodes[F].id.id, .name = "f" };
	struct contact offered = { .id = w->nodes[F].id.id, .name = "offered" };
	assert_int_equal(contact_add_endpoint(&written, "f.example:27182"), OV_OK);
	assert_int_equal(node_facilitator_put(a, w->now, &written, NULL), OV_OK);
	node_candidate(a, w->now, &written.id, &w->nodes[F].addr, SOURCE_CONFIG);
	assert_int_equal(node_facilitator_put(a, w->now, &offered, pass), OV_OK);
	const struct peer *f = wire_peer(w, A, F);
	assert_non_null(candidates_find(&f->candidates, &w->nodes[F].addr));
	assert_int_equal(f->contact.endpoint_count, 1);
	contact_fini(&written);
	wire_drain(w, A);
	wire_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(first_answer_through_the_relay_takes_three_round_trips),
		cmocka_unit_test(goes_direct_once_it_can),
		cmocka_unit_test(each_round_is_a_full_one),
		cmocka_unit_test(the_way_opens_between_any_two_probes),
		cmocka_unit_test(direct_within_a_second_when_nothing_is_in_the_way),
		cmocka_unit_test(stays_direct_whoever_finds_it_first),
		cmocka_unit_test(falls_back_to_the_relay_without_losing_the_session),
		cmocka_unit_test(who_is_not_let_in_learns_nothing),
		cmocka_unit_test(a_denied_client_cannot_register),
		cmocka_unit_test(contacts_policy_serves_contacts),
		cmocka_unit_test(a_facilitator_that_restarts_is_used_again_in_five_seconds),
		cmocka_unit_test(a_silent_relay_is_doubted_with_the_first_silence),
		cmocka_unit_test(a_path_that_turns_out_dead_does_not_hide_a_good_one),
		cmocka_unit_test(of_two_facilitators_one_may_die),
		cmocka_unit_test(a_facilitator_that_was_out_of_reach_serves_again),
		cmocka_unit_test(a_relay_sends_where_the_client_keeps_open),
		cmocka_unit_test(relay_datagrams_count_only_from_their_address),
		cmocka_unit_test(a_facilitator_that_comes_back_is_asked_at_once),
		cmocka_unit_test(channels_are_bounded),
		cmocka_unit_test(clients_vanish_with_their_sessions),
		cmocka_unit_test(keys_that_are_used_up_are_renewed),
		cmocka_unit_test(an_offer_spoils_nothing_that_is_written),
		cmocka_unit_test(a_client_has_no_way_to_the_interface),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
