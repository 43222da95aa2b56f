/* Clients that ask for too much, and memory that many hands hold: what may not happen to the
 * others. */
#define WIRE_NODES 4
#include "tests/unit/relay_world.h"

#include "overlay/frames.h"
#include "overlay/registration.h"
#include "overlay/route.h"

/* ---- memory ---- */

/* F names itself as the source: its own paths would end while a frame of theirs is read. */
static void a_relay_is_not_reached_through_itself(void **state)
{
	(void)state;
	struct wire *w = world();
	struct node *n = w->nodes[A].node;
	uint8_t plain[600], hs1[HS1_LEN] = { PACKET_HS1 };
	struct wr f = wr_init(plain, sizeof(plain));
	struct relay_in in = {
		.channel = 77, .source = w->nodes[F].id.id, .datagram = hs1, .len = sizeof(hs1)
	};
	frame_put_relay_in(&f, &in);
	say(w, F, A, &f);
	assert_null(table_find(n->by_channel, 77));
	assert_int_equal(wire_drops(w, A, DROP_LOOP), 1);
	wire_free(w);
}

/* B restarts, and its first packet reaches A between two of its old self, in one run, since F may
 * be of one mind with it: the keys that the run began with are gone in the middle. */
#define OLD_SIZES 160
static uint8_t fresh[PMTU_MAX];
static size_t fresh_len;

static bool keep_first_packet(struct wire *w, struct flight *f)
{
	bool inside = f->data[0] == PACKET_RELAY && f->data[RELAY_HEADER_LEN] == PACKET_CONTROL;
	if (!inside || !addr_same_ip(&f->to, &w->nodes[A].addr) || fresh_len > 0)
		return only_by_facilitator(w, f);
	memcpy(fresh, f->data, f->len);
	fresh_len = f->len;
	return false;
}

static void what_a_relay_carries_does_not_spoil_the_run_around_it(void **state)
{
	(void)state;
	struct wire *w = relayed_world();
	static uint8_t old[2][OLD_SIZES][OLD_SIZES];
	const uint8_t zeros[OLD_SIZES] = { 0 };
	struct keys *k = wire_peer(w, B, A)->association->keys[0];
	for (size_t i = 0; i < 2; i++)
		for (size_t len = PACKET_OVERHEAD; len < OLD_SIZES; len++)
			session_seal(&k->session, PACKET_CONTROL, 0, zeros, len - PACKET_OVERHEAD,
				old[i][len]);
	wire_stop(w, B);
	wire_start(w, B);
	wire_set_address(w, B, w->nodes[B].addr);
	wire_know(w, B, A, NULL, "all");
	wire_use_facilitator(w, B, F);
	wire_run(w, OV_SEC);
	fresh_len = 0;
	w->hook = keep_first_packet;
	wire_send(w, B, A, 2, 100);
	for (int i = 0; i < 100 && fresh_len == 0; i++)
		wire_run(w, OV_MS);
	assert_in_range(fresh_len, 1, OLD_SIZES - 1);
	uint8_t run[3 * OLD_SIZES];
	memcpy(run, old[0][fresh_len], fresh_len);
	memcpy(run + fresh_len, fresh, fresh_len);
	memcpy(run + 2 * fresh_len, old[1][fresh_len], fresh_len);
	struct dgram d = { .data = run,
		.len = 3 * fresh_len,
		.segment = (uint16_t)fresh_len,
		.local = w->nodes[A].addr,
		.remote = w->nodes[F].addr };
	uint64_t before = wire_drops(w, A, DROP_INDEX);
	node_input(w->nodes[A].node, w->now, &d, 1);
	assert_int_equal(wire_drops(w, A, DROP_INDEX), before + 1);
	wire_drain(w, A);
	wire_free(w);
}

/* What a client has relayed beyond its share is dropped and counted; another's is not touched. */
static void a_client_over_its_bytes_is_cut_off_alone(void **state)
{
	(void)state;
	struct wire *w = relayed_world();
	struct node *f = w->nodes[F].node;
	f->config.relay_bytes_per_second = 20000;
	uint64_t dropped = wire_drops(w, F, DROP_RATE), relayed = f->counters.relayed_bytes;
	for (uint32_t i = 0; i < 200; i++) { /* 100 kB/s of A, 1 kB/s of B */
		wire_send(w, A, B, 1000 + i, 1000);
		wire_send(w, B, A, 1000 + i, 10);
		wire_run(w, 10 * OV_MS);
	}
	relayed = f->counters.relayed_bytes - relayed;
	assert_in_range(wire_drops(w, F, DROP_RATE) - dropped, 100, 200);
	assert_in_range(relayed, 20000, 2 * 20000 + 20000 / 8 + 40000);
	size_t got = 0;
	for (uint32_t i = 0; i < 200; i++)
		got += wire_got(w, B, A, 1000 + i, 10) > 0;
	assert_in_range(got, 195, 200);
	wire_free(w);
}

static void peers_that_become_contacts_are_counted_once(void **state)
{
	(void)state;
	struct wire *w = world();
	struct node *n = w->nodes[F].node;
	assert_int_equal(n->client_count, 2);
	wire_know(w, F, A, NULL, "icmp");
	assert_int_equal(n->client_count, 1);
	struct contact c = { .id = w->nodes[A].id.id };
	assert_int_equal(node_facilitator_put(n, w->now, &c, NULL), OV_OK);
	wire_know(w, F, B, NULL, "icmp"); /* there is room for it */
	assert_int_equal(n->client_count, 0);
	assert_int_equal(node_known_count(n), 2);
	assert_int_equal(node_contact_remove(n, &w->nodes[B].id.id), OV_OK);
	assert_int_equal(node_known_count(n), 1);
	wire_free(w);
}

static void a_facilitator_stays_one_when_it_is_no_contact_any_more(void **state)
{
	(void)state;
	struct wire *w = relayed_world();
	wire_know(w, A, F, NULL, "all");
	assert_int_equal(node_contact_remove(w->nodes[A].node, &w->nodes[F].id.id), OV_OK);
	wire_drain(w, A);
	assert_int_equal(node_contact_remove(w->nodes[A].node, &w->nodes[F].id.id), OV_ENOENT);
	assert_int_equal(node_known_count(w->nodes[A].node), 1);
	assert_false(wire_peer(w, A, F)->contact.grants.bits);
	struct facilitator_info info[2];
	assert_int_equal(node_facilitators(w->nodes[A].node, w->now, info, 2), 1);
	wire_run(w, 10 * OV_SEC);
	wire_send(w, A, B, 2, 100);
	wire_run(w, OV_SEC);
	assert_int_equal(wire_got(w, A, B, 2, 100), 1);
	wire_stop(w, F);
	wire_start(w, F);
	wire_run(w, 400 * OV_SEC); /* its endpoint is still known */
	assert_true(registration(w, A)->registered);
	wire_free(w);
}

/* ---- clients ---- */

static size_t strangers;
static struct node_config stranger_config;

/* An HS1 of a fresh identity, as it would come from `from`. */
static void stranger_calls(struct wire *w, size_t to, struct ov_addr from, uint8_t suites)
{
	struct identity id;
	uint8_t seed[32] = { 0xee };
	store_le32(seed + 4, (uint32_t)++strangers);
	assert_int_equal(identity_from_seed(&id, seed), OV_OK);
	struct rng rng = { .fill = wire_random, .context = &w->nodes[to].random };
	struct hs1_payload payload = { .peer = id.id,
		.seq = 1,
		.instance = 7,
		.association = 9,
		.mtu = 1400,
		.suites = suites };
	struct hs1_config c = { .net = &stranger_config.network,
		.self = &id,
		.remote_dh = w->nodes[to].id.dh_public,
		.index = 1234,
		.payload = &payload };
	struct handshake h = { 0 };
	assert_int_equal(handshake_start(&h, &c, &rng), OV_OK);
	wire_put(w, 0, from, w->nodes[to].addr, h.hs1, HS1_LEN);
	wire_run(w, OV_MS);
	handshake_wipe(&h);
}

static void a_stranger_whose_call_is_refused_leaves_nothing(void **state)
{
	(void)state;
	struct wire *w = world();
	size_t before = node_peer_count(w->nodes[F].node);
	for (size_t i = 0; i < 5; i++)
		stranger_calls(w, F, addr_v4(203, 0, 113, 1, 1), 0); /* no suite in common */
	assert_int_equal(node_peer_count(w->nodes[F].node), before);
	w->nodes[F].node->config.max_pending_handshakes = 0;
	stranger_calls(w, F, addr_v4(203, 0, 113, 1, 1), 1);
	assert_int_equal(node_peer_count(w->nodes[F].node), before);
	wire_free(w);
}

static void one_address_cannot_fill_the_table_of_clients(void **state)
{
	(void)state;
	struct wire *w = wire_new(3);
	restart_as(w, F, FACILITATOR_OPEN);
	w->nodes[F].node->config.max_pending_handshakes = 1024;
	for (size_t i = 0; i < 400; i++)
		stranger_calls(w, F, addr_v4(203, 0, 113, 1, 1), 1);
	assert_in_range(node_peer_count(w->nodes[F].node), 256, 257);
	assert_true(wire_drops(w, F, DROP_STRANGER) > 100);
	stranger_calls(w, F, addr_v4(203, 0, 113, 2, 1), 1);
	assert_in_range(node_peer_count(w->nodes[F].node), 257, 258);
	wire_run(w, 100 * OV_SEC);
	assert_int_equal(node_peer_count(w->nodes[F].node), 0);
	wire_free(w);
}

static void what_a_client_sends_is_not_put_together(void **state)
{
	(void)state;
	struct wire *w = world();
	wire_know(w, A, F, NULL, "all");
	struct association *a = wire_peer(w, A, F)->association;
	a->active->pmtu.size = PMTU_FLOOR;
	for (uint32_t i = 0; i < 20; i++)
		wire_send(w, A, F, i, 1300);
	wire_run(w, 100 * OV_MS);
	assert_true(wire_drops(w, F, DROP_GRANT) >= 40);
	assert_null(wire_peer(w, F, A)->association->reassembly);
	wire_free(w);
}

static void a_client_has_few_ways(void **state)
{
	(void)state;
	struct wire *w = world();
	for (uint16_t i = 0; i < 12; i++) {
		w->nodes[A].addr.port = (uint16_t)(1000 + i);
		path_challenge(wire_peer(w, A, F)->association->active, w->now);
		peer_touch(w->nodes[A].node, wire_peer(w, A, F));
		wire_drain(w, A);
		wire_run(w, 50 * OV_MS);
		assert_in_range(wire_info(w, F, A).path_count, 1, 4);
	}
	wire_free(w);
}

/* Where it was before, by an interface that carried nothing: those paths answered, and are never
 * asked again. */
static void a_client_that_was_in_many_places_is_found_where_it_is(void **state)
{
	(void)state;
	struct wire *w = world();
	struct node *f = w->nodes[F].node;
	struct peer *a = wire_peer(w, F, A);
	for (uint8_t i = 0; a->association->path_count < CLIENT_PATHS_MAX; i++) {
		struct dgram where = { .carrier = CARRIER_UDP,
			.local = w->nodes[F].addr,
			.remote = addr_v4(203, 0, 113, i, 999) };
		struct path *path = route_add(f, w->now, a, &where);
		assert_non_null(path);
		path_on_received(path, w->now, 100, 1, false);
		path->state = PATH_VALID;
		path->validated = true;
	}
	wire_run(w, 3600 * OV_SEC);
	wire_set_address(w, A, addr_v4(198, 51, 120, 10, 27182));
	wire_run(w, 10 * OV_SEC);
	assert_int_equal(wire_info(w, A, F).state, PEER_UP);
	struct ov_addr now_at = wire_info(w, F, A).active.remote;
	assert_true(addr_equal(&now_at, &w->nodes[A].addr));
	assert_in_range(a->association->path_count, 1, CLIENT_PATHS_MAX);
	wire_free(w);
}

static void strangers_leave_room_for_contacts(void **state)
{
	(void)state;
	struct wire *w = world();
	wire_stop(w, F);
	w->nodes[F].config.max_pending_handshakes = 16;
	wire_start(w, F);
	wire_set_address(w, F, w->nodes[F].addr);
	wire_know(w, F, A, NULL, "icmp");
	for (size_t i = 0; i < 40; i++)
		stranger_calls(w, F, addr_v4(203, 0, 113, (uint8_t)i, 1), 1);
	assert_in_range(w->nodes[F].node->pending_count, 1, 12);
	wire_run(w, 100 * OV_SEC); /* they go, and we are called */
	assert_true(registration(w, A)->registered);
	assert_int_equal(node_known_count(w->nodes[F].node), 1);
	wire_free(w);
}

/* Half of the table is taken: addresses must prove themselves. */
static void many_calls_at_once_cost_a_cookie(void **state)
{
	(void)state;
	struct wire *w = world();
	wire_stop(w, F);
	w->nodes[F].config.max_pending_handshakes = 16;
	wire_start(w, F);
	for (size_t i = 0; i < 12; i++)
		stranger_calls(w, F, addr_v4(203, 0, 113, (uint8_t)i, 1), 1);
	assert_true(wire_drops(w, F, DROP_COOKIE) > 0);
	assert_int_equal(w->nodes[F].node->pending_count, 8);
	wire_free(w);
}

static void put_open(struct wire *w, struct wr *f, size_t to, uint32_t request)
{
	static const uint8_t hs1[HS1_LEN] = { PACKET_HS1 };
	struct relay_open o = { .request = request,
		.destination = w->nodes[to].id.id,
		.datagram = hs1,
		.len = sizeof(hs1) };
	assert_true(registration_tag(
		w->nodes[A].node, wire_peer(w, A, to), &o.destination, &w->nodes[F].id.id, o.tag));
	frame_put_relay_open(f, &o);
}

static void opening_is_limited(void **state)
{
	(void)state;
	struct wire *w = relayed_world();
	uint64_t before = w->nodes[B].received;
	for (uint32_t i = 0; i < 600; i++) {
		uint8_t plain[600];
		struct wr f = wr_init(plain, sizeof(plain));
		put_open(w, &f, B, i);
		(void)frames_send(w->nodes[A].node, w->now, wire_peer(w, A, F), &f, false);
		wire_drain(w, A);
		wire_run(w, OV_MS);
	}
	assert_true(wire_drops(w, F, DROP_RATE) > 400);
	assert_in_range(w->nodes[B].received - before, 20, 200);
	wire_free(w);
}

/* A hundred questions of nine bytes in one packet would be a hundred answers. */
static void small_frames_get_few_answers(void **state)
{
	(void)state;
	struct wire *w = world();
	uint64_t before = w->nodes[F].sent;
	for (uint32_t i = 0; i < 20; i++) {
		uint8_t plain[1100];
		struct wr f = wr_init(plain, sizeof(plain));
		for (size_t k = 0; k < 100; k++)
			frame_put_register(&f, FRAME_REGISTER,
				&(struct register_frame){ .request = i, .pages = 1 });
		say(w, A, F, &f);
	}
	assert_in_range(w->nodes[F].sent - before, 128, 180);
	wire_free(w);
}

static void who_lost_the_grant_relays_no_more(void **state)
{
	(void)state;
	struct wire *w = world();
	restart_as(w, F, FACILITATOR_OFF);
	wire_know(w, F, A, NULL, "relay");
	wire_know(w, F, B, NULL, "relay");
	wire_run(w, 200 * OV_SEC);
	wire_send(w, A, B, 1, 100);
	wire_run(w, 5 * OV_SEC);
	assert_int_equal(wire_got(w, A, B, 1, 100), 1);
	wire_know(w, F, B, NULL, "icmp");
	wire_send(w, A, B, 2, 100);
	wire_run(w, 5 * OV_SEC);
	assert_int_equal(wire_got(w, A, B, 2, 100), 0);
	wire_free(w);
}

#define C 3

static void a_pair_that_is_silent_makes_room(void **state)
{
	(void)state;
	struct wire *w = world_of(4);
	w->nodes[F].node->config.relay_channels = 1;
	wire_know(w, C, B, NULL, "all");
	wire_know(w, B, C, NULL, "all");
	wire_use_facilitator(w, C, F);
	wire_send(w, A, B, 1, 100);
	wire_run(w, OV_SEC);
	assert_int_equal(wire_got(w, A, B, 1, 100), 1);
	wire_send(w, C, B, 2, 100);
	wire_run(w, 20 * OV_SEC);
	assert_int_equal(wire_got(w, C, B, 2, 100), 0); /* in use */
	assert_true(node_counters(w->nodes[F].node)->refused.channels > 0);
	wire_stop(w, A);
	wire_run(w, 70 * OV_SEC);
	wire_send(w, C, B, 3, 100);
	wire_run(w, 20 * OV_SEC);
	assert_int_equal(wire_got(w, C, B, 3, 100), 1);
	assert_int_equal(w->nodes[F].node->forward_count, 2);
	wire_free(w);
}

/* ---- limits of the owner ---- */

static size_t relayed_of(struct wire *w, uint32_t first, size_t count)
{
	size_t before = w->nodes[B].inner_count;
	for (uint32_t i = 0; i < count; i++) {
		wire_send(w, A, B, first + i, 1000);
		wire_run(w, OV_MS);
	}
	wire_run(w, OV_SEC);
	return w->nodes[B].inner_count - before;
}

static void one_client_is_not_relayed_beyond_its_rate(void **state)
{
	(void)state;
	struct wire *w = relayed_world();
	struct node *f = w->nodes[F].node;
	f->config.relay_bytes_per_second = 80000; /* 10,000 at once: nine packets */
	wire_run(w, 2 * OV_SEC);
	assert_in_range(relayed_of(w, 100, 500), 40, 60); /* in half a second */
	assert_true(node_facilitator_role(f, w->now).refused.rate > 400);
	assert_int_equal(node_facilitator_role(f, w->now).refused.total_rate, 0);
	wire_free(w);
}

static void all_together_are_not_relayed_beyond_the_total(void **state)
{
	(void)state;
	struct wire *w = relayed_world();
	struct node *f = w->nodes[F].node;
	f->config.relay_total_bytes_per_second = 80000;
	wire_run(w, 2 * OV_SEC);
	assert_in_range(relayed_of(w, 100, 500), 40, 60);
	assert_true(node_facilitator_role(f, w->now).refused.total_rate > 400);
	assert_int_equal(node_facilitator_role(f, w->now).refused.rate, 0);
	f->config.relay_total_bytes_per_second = 125000000;
	assert_int_equal(relayed_of(w, 1000, 500), 500);
	wire_free(w);
}

static void contacts_are_served_up_to_their_number(void **state)
{
	(void)state;
	struct wire *w = wire_new(3);
	for (size_t i = 0; i < 2; i++)
		wire_set_address(w, i, w->nodes[i].addr);
	restart_as(w, F, FACILITATOR_CONTACTS);
	w->nodes[F].node->config.max_clients = 1;
	for (size_t i = 0; i < 2; i++) {
		wire_know(w, F, i, NULL, "icmp");
		wire_use_facilitator(w, i, F);
		wire_run(w, OV_SEC);
	}
	assert_true(registration(w, A)->registered);
	assert_false(registration(w, B)->registered);
	assert_int_equal(registration(w, B)->refused, RELAY_REASON_QUOTA);
	assert_true(node_facilitator_role(w->nodes[F].node, w->now).refused.clients > 0);
	wire_stop(w, A); /* its place is free when its session ends */
	wire_run(w, 400 * OV_SEC);
	assert_true(registration(w, B)->registered);
	wire_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_relay_is_not_reached_through_itself),
		cmocka_unit_test(what_a_relay_carries_does_not_spoil_the_run_around_it),
		cmocka_unit_test(a_client_over_its_bytes_is_cut_off_alone),
		cmocka_unit_test(peers_that_become_contacts_are_counted_once),
		cmocka_unit_test(a_facilitator_stays_one_when_it_is_no_contact_any_more),
		cmocka_unit_test(a_stranger_whose_call_is_refused_leaves_nothing),
		cmocka_unit_test(one_address_cannot_fill_the_table_of_clients),
		cmocka_unit_test(what_a_client_sends_is_not_put_together),
		cmocka_unit_test(a_client_has_few_ways),
		cmocka_unit_test(a_client_that_was_in_many_places_is_found_where_it_is),
		cmocka_unit_test(strangers_leave_room_for_contacts),
		cmocka_unit_test(many_calls_at_once_cost_a_cookie),
		cmocka_unit_test(opening_is_limited),
		cmocka_unit_test(small_frames_get_few_answers),
		cmocka_unit_test(who_lost_the_grant_relays_no_more),
		cmocka_unit_test(a_pair_that_is_silent_makes_room),
		cmocka_unit_test(one_client_is_not_relayed_beyond_its_rate),
		cmocka_unit_test(all_together_are_not_relayed_beyond_the_total),
		cmocka_unit_test(contacts_are_served_up_to_their_number),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
