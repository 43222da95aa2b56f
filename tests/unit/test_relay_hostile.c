/* A facilitator that lies, clients that ask for too much, and networks that vanish at the wrong
 * moment: what may not happen to the others. */
#define WIRE_NODES 4
#include "tests/unit/relay_world.h"

static void say(struct wire *w, size_t from, size_t to, const struct wr *frames)
{
	assert_true(
		frames_send(w->nodes[from].node, w->now, wire_peer(w, from, to), frames, false));
	wire_drain(w, from);
	wire_run(w, 2 * WIRE_DELAY);
}

static struct wire *relayed_world(void)
{
	struct wire *w = world();
	wire_send(w, A, B, 1, 100);
	wire_run(w, OV_SEC);
	assert_int_equal(wire_got(w, A, B, 1, 100), 1);
	assert_int_equal(wire_info(w, A, B).active.carrier, CARRIER_RELAY);
	return w;
}

static struct registration *registration(const struct wire *w, size_t i)
{
	return wire_peer(w, i, F)->registration;
}

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
	set_address(w, B, w->nodes[B].addr);
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

static void peers_that_become_contacts_are_counted_once(void **state)
{
	(void)state;
	struct wire *w = world();
	struct node *n = w->nodes[F].node;
	assert_int_equal(n->client_count, 2);
	wire_know(w, F, A, NULL, "icmp");
	assert_int_equal(n->client_count, 1);
	struct contact c = { .id = w->nodes[A].id.id };
	assert_int_equal(node_facilitator_put(n, w->now, &c), OV_OK);
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

static void strangers_leave_room_for_contacts(void **state)
{
	(void)state;
	struct wire *w = world();
	wire_stop(w, F);
	w->nodes[F].config.max_pending_handshakes = 16;
	wire_start(w, F);
	set_address(w, F, w->nodes[F].addr);
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
			frame_put_register(
				&f, &(struct register_frame){ .request = i, .pages = 1 });
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
	assert_true(node_counters(w->nodes[F].node)->relay_refusals > 0);
	wire_stop(w, A);
	wire_run(w, 70 * OV_SEC);
	wire_send(w, C, B, 3, 100);
	wire_run(w, 20 * OV_SEC);
	assert_int_equal(wire_got(w, C, B, 3, 100), 1);
	assert_int_equal(w->nodes[F].node->forward_count, 2);
	wire_free(w);
}

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
	set_address(w, F, w->nodes[F].addr);
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
		frame_put_endpoints(&f, &e);
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
	frame_put_endpoints(&f, &e);
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
	set_address(w, A, w->nodes[A].addr);
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
		cmocka_unit_test(a_relay_is_not_reached_through_itself),
		cmocka_unit_test(what_a_relay_carries_does_not_spoil_the_run_around_it),
		cmocka_unit_test(peers_that_become_contacts_are_counted_once),
		cmocka_unit_test(a_facilitator_stays_one_when_it_is_no_contact_any_more),
		cmocka_unit_test(a_stranger_whose_call_is_refused_leaves_nothing),
		cmocka_unit_test(one_address_cannot_fill_the_table_of_clients),
		cmocka_unit_test(what_a_client_sends_is_not_put_together),
		cmocka_unit_test(a_client_has_few_ways),
		cmocka_unit_test(strangers_leave_room_for_contacts),
		cmocka_unit_test(many_calls_at_once_cost_a_cookie),
		cmocka_unit_test(opening_is_limited),
		cmocka_unit_test(small_frames_get_few_answers),
		cmocka_unit_test(who_lost_the_grant_relays_no_more),
		cmocka_unit_test(a_pair_that_is_silent_makes_room),
		cmocka_unit_test(strangers_of_a_lying_relay_are_few),
		cmocka_unit_test(nothing_is_relayed_to_an_address_that_only_claims_to_be_the_relay),
		cmocka_unit_test(a_way_through_a_relay_that_forgot_it_is_not_a_black_hole),
		cmocka_unit_test(a_relay_that_is_removed_takes_its_ways_with_it),
		cmocka_unit_test(a_client_that_moved_while_idle_is_found_by_its_keepalives),
		cmocka_unit_test(a_client_that_moved_in_the_midst_of_traffic_is_found),
		cmocka_unit_test(registered_again_after_an_outage),
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
