/* Two or three nodes on a wire of their own: first contact, rekey, silence, restart, strangers,
 * floods. */
#include "tests/unit/node_meet.h"

static void first_contact_takes_two_round_trips(void **state)
{
	(void)state;
	struct wire *w = wire_new(2);
	wire_acquaint(w, 0, 1);
	wire_send(w, 0, 1, 7, 100);
	assert_int_equal(wire_info(w, 0, 1).state, PEER_CALLING);
	assert_int_equal(wire_info(w, 0, 1).waiting_packets, 1);
	wire_run(w, 3 * WIRE_DELAY); /* HS1, HS2, data in the 3x budget */
	assert_int_equal(wire_got(w, 0, 1, 7, 100), 1);
	wire_run(w, WIRE_DELAY);
	wire_send(w, 1, 0, 8, 1300);
	wire_run(w, 3 * WIRE_DELAY);
	assert_int_equal(wire_got(w, 1, 0, 8, 1300), 1);
	for (size_t i = 0; i < 2; i++) {
		assert_int_equal(wire_events(w, i, NODE_PEER_UP), 1);
		assert_int_equal(w->nodes[i].events[0].type, NODE_PEER_UP);
		assert_true(addr_equal(&w->nodes[i].events[0].addr, &w->nodes[1 - i].addr));
		assert_int_equal(wire_info(w, i, 1 - i).state, PEER_UP);
		assert_string_equal(wire_info(w, i, 1 - i).suite, "chacha20-poly1305");
	}
	assert_int_equal(wire_info(w, 0, 1).association, wire_info(w, 1, 0).association);
	assert_int_equal(wire_events(w, 0, NODE_ENDPOINT), 1);
	wire_free(w);
}

static void cold_and_idle_nodes_are_silent_for_hours(void **state)
{
	(void)state;
	struct wire *w = wire_new(2);
	wire_acquaint(w, 0, 1);
	wire_run(w, 7200 * OV_SEC);
	assert_int_equal(w->nodes[0].sent + w->nodes[1].sent, 0);
	wire_send(w, 0, 1, 1, 100);
	wire_run(w, 2 * OV_SEC);
	uint64_t sent = w->nodes[0].sent + w->nodes[1].sent;
	wire_run(w, 7200 * OV_SEC);
	assert_int_equal(w->nodes[0].sent + w->nodes[1].sent, sent);
	assert_null(wire_peer(w, 0, 1)->association);
	assert_null(wire_peer(w, 1, 0)->association);
	assert_int_equal(node_deadline(w->nodes[0].node), OV_NEVER);
	wire_free(w);
}

/* One packet each 10 ms both ways across 400 s: rekeys lose none. */
/* Keys of 120 s are renewed when something is sent: the packet of the third minute is sent under
 * keys that the other side is about to reject. */
static void a_packet_a_minute_is_never_lost(void **state)
{
	(void)state;
	struct wire *w = wire_new(2);
	w->delay = 40 * OV_MS;
	wire_acquaint(w, 0, 1);
	for (uint32_t i = 0; i < 30; i++) {
		wire_send(w, 0, 1, i, 100);
		wire_run(w, 60 * OV_SEC);
		assert_int_equal(wire_got(w, 0, 1, i, 100), 1);
	}
	wire_free(w);
}

static void rekey_under_traffic_loses_nothing(void **state)
{
	(void)state;
	struct wire *w = wire_new(2);
	meet(w, 0, 1);
	uint32_t tag = 100;
	size_t got = 0;
	for (ov_time t = 0; t < 400 * OV_SEC; t += 50 * OV_MS, tag++) {
		wire_send(w, 0, 1, tag, 64);
		wire_send(w, 1, 0, tag, 64);
		wire_run(w, 50 * OV_MS);
		got += wire_got(w, 0, 1, tag, 64) == 1 && wire_got(w, 1, 0, tag, 64) == 1;
		w->nodes[0].inner_count = w->nodes[1].inner_count = 0;
		assert_true(wire_info(w, 0, 1).session_age < 125 * OV_SEC);
	}
	assert_int_equal(got, tag - 100);
	assert_int_equal(wire_info(w, 0, 1).handshakes, 4);
	assert_int_equal(wire_info(w, 1, 0).handshakes, 4);
	assert_int_equal(wire_events(w, 0, NODE_PEER_UP), 1);
	wire_free(w);
}

struct rebinder { /* of node 0 */
	struct ov_addr outside;
	ov_time sent_at,
		longest; /* without a datagram from inside: the binding must live so long */
};

static bool translate(struct wire *w, struct flight *f)
{
	struct rebinder *nat = w->context;
	if (addr_equal(&f->from, &w->nodes[0].addr)) {
		f->from = nat->outside;
		nat->longest = ov_max(nat->longest, w->now - nat->sent_at);
		nat->sent_at = w->now;
	} else if (addr_equal(&f->to, &nat->outside)) {
		f->to = w->nodes[0].addr;
	}
	return true;
}

/* Node 0 stands behind it and calls node 1, which knows no address of it. */
static struct wire *natted_session(struct rebinder *nat)
{
	struct wire *w = wire_new(2);
	*nat = (struct rebinder){ .outside = addr_v4(203, 0, 113, 7, 40000), .sent_at = w->now };
	w->hook = translate;
	w->context = nat;
	wire_know(w, 0, 1, &w->nodes[1].addr, "all");
	wire_know(w, 1, 0, NULL, "all");
	wire_send(w, 0, 1, 1, 100);
	return w;
}

/* Behind a NAT: in each 125 s four keepalives, one of them a question, and a rekey in place of the
 * fifth. */
static void an_idle_natted_session_costs_nine_datagrams_in_125_s(void **state)
{
	(void)state;
	struct rebinder nat;
	struct wire *w = natted_session(&nat);
	wire_run(w, 250 * OV_SEC); /* the first cycle also searches the PMTU */
	uint64_t near = w->nodes[0].sent, far = w->nodes[1].sent;
	uint64_t handshakes = wire_info(w, 0, 1).handshakes;
	wire_run(w, 1250 * OV_SEC);
	assert_int_equal(wire_info(w, 0, 1).handshakes - handshakes, 10);
	assert_in_range(w->nodes[0].sent - near, 60, 61);
	assert_in_range(w->nodes[1].sent - far, 30, 31);
	assert_true(nat.longest <= PATH_KEEPALIVE + OV_MS);
	assert_int_equal(wire_events(w, 0, NODE_PEER_DOWN), 0);
	wire_free(w);
}

/* Whenever the peer of an idle session dies, and whoever is due to rekey then. */
static void a_peer_that_died_behind_a_nat_is_missed_in_75_s(void **state)
{
	(void)state;
	for (ov_time phase = 0; phase < 125 * OV_SEC; phase += 12 * OV_SEC) {
		struct rebinder nat;
		struct wire *w = natted_session(&nat);
		wire_run(w, 250 * OV_SEC + phase);
		assert_int_equal(wire_info(w, 0, 1).state, PEER_UP);
		wire_stop(w, 1);
		wire_run(w, 76 * OV_SEC);
		assert_int_not_equal(wire_info(w, 0, 1).state, PEER_UP);
		wire_run(w, 16 * OV_SEC);
		assert_int_equal(wire_events(w, 0, NODE_PEER_DOWN), 1);
		wire_free(w);
	}
}

static void a_peer_that_restarted_is_reached_again(void **state)
{
	(void)state;
	struct wire *w = wire_new(2);
	meet(w, 0, 1);
	uint64_t association = wire_info(w, 0, 1).association;
	wire_stop(w, 1);
	wire_start(w, 1);
	wire_know(w, 1, 0, &w->nodes[0].addr, "all");
	wire_send(w, 0, 1, 2, 100); /* under keys that are gone */
	wire_run(w, 3 * OV_SEC);
	wire_send(w, 0, 1, 3, 100);
	wire_run(w, OV_SEC);
	assert_int_equal(wire_got(w, 0, 1, 3, 100), 1);
	assert_int_not_equal(wire_info(w, 0, 1).association, association);
	assert_int_equal(wire_info(w, 0, 1).association, wire_info(w, 1, 0).association);
	wire_stop(w, 1); /* and when the restarted one begins */
	wire_start(w, 1);
	wire_know(w, 1, 0, &w->nodes[0].addr, "all");
	wire_send(w, 1, 0, 4, 100);
	wire_run(w, OV_SEC);
	assert_int_equal(wire_got(w, 1, 0, 4, 100), 1);
	wire_send(w, 0, 1, 5, 100);
	wire_run(w, OV_SEC);
	assert_int_equal(wire_got(w, 0, 1, 5, 100), 1);
	wire_free(w);
}

/* Its database was restored: lower epochs than the peer has seen. One cookie heals it for the run.
 */
static void a_rolled_back_epoch_heals_in_one_round_trip(void **state)
{
	(void)state;
	struct wire *w = wire_new(2);
	w->nodes[0].config.boot_epoch = 50;
	wire_stop(w, 0);
	wire_start(w, 0);
	meet(w, 0, 1);
	wire_stop(w, 0);
	w->nodes[0].config.boot_epoch = 2;
	wire_start(w, 0);
	wire_know(w, 0, 1, &w->nodes[1].addr, "all");
	wire_run(w, 20 * OV_SEC); /* not within 15 s of hearing the old one */
	wire_send(w, 0, 1, 2, 100);
	wire_run(w, 5 * WIRE_DELAY); /* HS1, COOKIE, HS1, HS2, data */
	assert_int_equal(wire_got(w, 0, 1, 2, 100), 1);
	assert_int_equal(wire_drops(w, 1, DROP_STALE), 1);
	for (uint32_t tag = 10; tag < 310; tag++) { /* a rekey must not need it again */
		wire_send(w, 0, 1, tag, 64);
		wire_send(w, 1, 0, tag, 64);
		wire_run(w, OV_SEC);
		assert_int_equal(wire_got(w, 0, 1, tag, 64), 1);
	}
	assert_int_equal(wire_drops(w, 1, DROP_STALE), 1);
	assert_true(wire_info(w, 0, 1).handshakes >= 3);
	wire_free(w);
}

/* A contact that claims to have seen the highest seq must not spoil our calls to others. */
static void seen_seq_of_one_peer_does_not_reach_another(void **state)
{
	(void)state;
	struct wire *w = wire_new(3);
	wire_acquaint(w, 0, 1);
	wire_acquaint(w, 0, 2);
	wire_peer(w, 1, 0)->seen_seq = UINT64_MAX - 1;
	wire_run(w, 20 * OV_SEC);
	wire_send(w, 0, 1, 1, 100);
	wire_run(w, OV_SEC);
	assert_int_equal(wire_got(w, 0, 1, 1, 100), 1);
	wire_send(w, 0, 2, 1, 100);
	wire_run(w, OV_SEC);
	assert_int_equal(wire_got(w, 0, 2, 1, 100), 1);
	uint64_t seen = wire_peer(w, 2, 0)->seen_seq;
	assert_true(seen > 0 && seen < (uint64_t)2 << 32);
	wire_free(w);
}

static struct flight captured[8];
static size_t captured_count;

static bool capture_hs1(struct wire *w, struct flight *f)
{
	(void)w;
	if (is_type(f, PACKET_HS1) && captured_count < 8)
		captured[captured_count++] = *f;
	return true;
}

/* Old HS1 of the peer, replayed at 100/s from elsewhere, do not keep the peer out. */
static void replays_do_not_use_up_the_callers_rate(void **state)
{
	(void)state;
	struct wire *w = wire_new(2);
	w->hook = capture_hs1;
	captured_count = 0;
	meet(w, 0, 1);
	assert_int_equal(captured_count, 1);
	wire_stop(w, 0);
	wire_start(w, 0);
	wire_know(w, 0, 1, &w->nodes[1].addr, "all");
	struct ov_addr elsewhere = addr_v4(203, 0, 113, 5, 4000);
	for (int i = 0; i < 200; i++) {
		wire_put(w, 0, elsewhere, w->nodes[1].addr, captured[0].data, captured[0].len);
		wire_run(w, 10 * OV_MS);
	}
	assert_int_equal(wire_drops(w, 1, DROP_STALE), 200);
	wire_put(w, 0, elsewhere, w->nodes[1].addr, captured[0].data, captured[0].len);
	wire_send(w, 0, 1, 2, 100);
	wire_run(w, 4 * WIRE_DELAY);
	assert_int_equal(wire_got(w, 0, 1, 2, 100), 1);
	wire_free(w);
}

static void under_load_a_cookie_lets_the_caller_in(void **state)
{
	(void)state;
	struct wire *w = wire_new(2);
	wire_acquaint(w, 0, 1);
	w->nodes[1].node->load_until = w->now + 10 * OV_SEC;
	wire_send(w, 0, 1, 2, 100);
	wire_run(w, 5 * WIRE_DELAY);
	assert_int_equal(wire_got(w, 0, 1, 2, 100), 1);
	assert_int_equal(wire_drops(w, 1, DROP_COOKIE), 1);
	assert_int_equal(node_counters(w->nodes[1].node)->under_load, 2);
	wire_free(w);
}

static bool only_hs1_from_0(struct wire *w, struct flight *f)
{
	return addr_equal(&f->from, &w->nodes[0].addr) && is_type(f, PACKET_HS1);
}

static void pending_slots_are_four_and_keep_the_highest(void **state)
{
	(void)state;
	struct wire *w = wire_new(2);
	wire_acquaint(w, 0, 1);
	w->nodes[0].random = 9;    /* gaps have jitter: one below 5 s makes no new HS1 */
	w->hook = only_hs1_from_0; /* no HS2 arrives: a new HS1 every 5 s */
	wire_send(w, 0, 1, 2, 100);
	wire_run(w, 28 * OV_SEC);
	struct association *a = wire_peer(w, 1, 0)->association;
	uint64_t newest =
		(uint64_t)w->nodes[0].config.boot_epoch << 32 | w->nodes[0].node->handshake_counter;
	bool has_newest = false;
	for (size_t i = 0; i < PENDING_MAX; i++) {
		assert_non_null(a->pending[i]);
		assert_true(a->pending[i]->seq > newest - PENDING_MAX);
		has_newest |= a->pending[i]->seq == newest;
	}
	assert_true(has_newest);
	assert_int_equal(w->nodes[1].node->pending_count, PENDING_MAX);
	assert_int_equal(wire_peer(w, 1, 0)->seen_seq, 0); /* nothing confirmed */
	assert_int_equal(wire_events(w, 1, NODE_PEER_UP), 0);
	wire_run(w, 200 * OV_SEC);
	wire_free(w);
}

/* The total is bounded too. */
static void pending_handshakes_are_bounded_in_all(void **state)
{
	(void)state;
	struct wire *w = wire_new(3);
	w->nodes[2].config.max_pending_handshakes = 1;
	wire_stop(w, 2);
	wire_start(w, 2);
	wire_acquaint(w, 0, 2);
	wire_acquaint(w, 1, 2);
	w->hook = only_hs1_from_0;
	wire_send(w, 0, 2, 1, 64);
	wire_run(w, 2 * WIRE_DELAY);
	assert_int_equal(w->nodes[2].node->pending_count, 1);
	w->hook = NULL;
	wire_send(w, 1, 2, 1, 64);
	wire_run(w, 4 * WIRE_DELAY); /* a cookie first: more than half of the table is taken */
	assert_int_equal(wire_drops(w, 2, DROP_COOKIE), 1);
	assert_int_equal(wire_drops(w, 2, DROP_FULL), 1);
	wire_free(w);
}

static void strangers_get_silence_and_with_pairing_a_line(void **state)
{
	(void)state;
	struct wire *w = wire_new(2);
	wire_know(w, 0, 1, &w->nodes[1].addr, "all");
	wire_send(w, 0, 1, 1, 64);
	wire_run(w, 3 * OV_SEC);
	assert_int_equal(w->nodes[1].sent, 0);
	assert_true(wire_drops(w, 1, DROP_STRANGER) > 0);
	struct peer_request r;
	assert_int_equal(node_requests(w->nodes[1].node, &r, 1), 0);
	node_set_pairing(w->nodes[1].node, true);
	wire_run(w, 10 * OV_SEC);
	assert_int_equal(w->nodes[1].sent, 0);
	assert_int_equal(node_requests(w->nodes[1].node, &r, 1), 1);
	assert_true(peer_id_equal(&r.id, &w->nodes[0].id.id));
	assert_true(addr_equal(&r.from, &w->nodes[0].addr));
	assert_int_equal(wire_events(w, 1, NODE_PEER_REQUEST), 1);
	assert_true(node_request_take(w->nodes[1].node, &r.id, &r));
	assert_false(node_request_take(w->nodes[1].node, &r.id, &r));
	wire_know(w, 1, 0, NULL, "all"); /* accepted: its next HS1 is answered */
	wire_run(w, 6 * OV_SEC);
	assert_int_equal(wire_info(w, 1, 0).state, PEER_UP);
	wire_free(w);
}

static void contacts_go_with_traffic_in_flight(void **state)
{
	(void)state;
	struct wire *w = wire_new(2);
	for (ov_time after = 0; after < 12 * WIRE_DELAY; after += WIRE_DELAY / 2) {
		wire_acquaint(w, 0, 1);
		wire_send(w, 0, 1, 1, 64);
		wire_send(w, 1, 0, 1, 64);
		wire_run(w, after);
		wire_send(w, 0, 1, 2, 1400);
		for (size_t i = 0; i < 2; i++)
			assert_int_equal(
				node_ping(w->nodes[0].node, w->now, &w->nodes[1].id.id, i, OV_SEC),
				OV_OK);
		w->nodes[0].event_count = 0;
		assert_int_equal(node_contact_remove(w->nodes[0].node, &w->nodes[1].id.id), OV_OK);
		assert_int_equal(
			node_contact_remove(w->nodes[0].node, &w->nodes[1].id.id), OV_ENOENT);
		wire_drain(w, 0);
		assert_int_equal(wire_events(w, 0, NODE_PING_TIMEOUT), 2);
		assert_int_equal(table_count(w->nodes[0].node->by_index), 0);
		assert_int_equal(table_count(w->nodes[0].node->by_mac1), 0);
		wire_run(w, OV_SEC);
		wire_send(w, 0, 1, 2, 64);
		assert_true(wire_drops(w, 0, DROP_NO_PEER) > 0);
		assert_int_equal(node_contact_remove(w->nodes[1].node, &w->nodes[0].id.id), OV_OK);
		wire_run(w, OV_SEC);
	}
	wire_free(w);
}

static void garbage_changes_nothing(void **state)
{
	(void)state;
	struct wire *w = wire_new(2);
	meet(w, 0, 1);
	wire_run(w, 5 * OV_SEC);
	w->hook = capture_hs1;
	uint64_t seed = 5;
	uint32_t index = wire_peer(w, 1, 0)->association->keys[0]->session.index;
	for (int i = 0; i < 20000; i++) {
		uint8_t data[1500];
		size_t len = seeded_below(&seed, i % 2 ? 64 : sizeof(data)) + 1;
		seeded_fill(&seed, data, len);
		data[0] = (uint8_t)(i % 16);
		if (len >= 8 && i % 3) {
			memset(data + 1, 0, 3);
			store_le32(data + 4, i % 3 == 1 ? index : 0);
		}
		struct peer peer = *wire_peer(w, 1, 0);
		struct association association = *peer.association;
		struct path path = *association.active;
		struct node_counters counted = *node_counters(w->nodes[1].node);
		struct dgram d = { .data = data,
			.len = len,
			.segment = (uint16_t)len,
			.local = w->nodes[1].addr,
			.remote = w->nodes[0].addr };
		node_input(w->nodes[1].node, w->now, &d, 1);
		assert_memory_equal(&peer, wire_peer(w, 1, 0), sizeof(peer));
		assert_memory_equal(&association, peer.association, sizeof(association));
		assert_memory_equal(&path, association.active, sizeof(path));
		const struct node_counters *now = node_counters(w->nodes[1].node);
		uint64_t drops = 0;
		for (size_t k = 0; k < DROP_REASON_COUNT; k++)
			drops += now->drops[k] - counted.drops[k];
		assert_int_equal(drops, 1);
		assert_int_equal(now->packets_in, counted.packets_in);
		struct dgram out[1];
		assert_int_equal(node_poll(w->nodes[1].node, w->now, out, 1), 0);
	}
	wire_send(w, 0, 1, 2, 64);
	wire_run(w, OV_SEC);
	assert_int_equal(wire_got(w, 0, 1, 2, 64), 1);
	wire_free(w);
}

static void limits_are_told(void **state)
{
	(void)state;
	struct wire *w = wire_new(3);
	w->nodes[0].config.max_contacts = 1;
	wire_stop(w, 0);
	wire_start(w, 0);
	struct node *n = w->nodes[0].node;
	struct contact c = { .id = w->nodes[1].id.id }, d = { .id = w->nodes[2].id.id };
	struct contact self = { .id = w->nodes[0].id.id };
	assert_int_equal(node_contact_put(n, w->now, &c, false), OV_OK);
	assert_int_equal(node_contact_put(n, w->now, &c, false), OV_OK);
	assert_int_equal(node_contact_put(n, w->now, &d, false), OV_EFULL);
	assert_int_equal(node_contact_put(n, w->now, &self, false), OV_EINVAL);
	assert_int_equal(node_peer_count(n), 1);
	for (uint64_t i = 0; i < EVENTS_MAX + 10; i++)
		assert_int_equal(node_ping(n, w->now, &self.id, i, OV_SEC), OV_OK);
	struct node_event ev;
	for (uint64_t i = 0; i < EVENTS_MAX; i++) {
		assert_true(node_event(n, &ev));
		assert_int_equal(ev.token, i);
	}
	assert_true(node_event(n, &ev));
	assert_int_equal(ev.type, NODE_EVENTS_LOST);
	assert_int_equal(ev.count, 10);
	assert_false(node_event(n, &ev));
	wire_free(w);
}

/* Who sees HS1 can forge COOKIEs: each asks for HS1 to all candidates, so few are acted upon. */
static void forged_cookies_cost_little(void **state)
{
	(void)state;
	struct wire *w = wire_new(2);
	wire_know(w, 0, 1, &w->nodes[1].addr, "all");
	captured_count = 0;
	w->hook = capture_hs1;
	wire_send(w, 0, 1, 1, 64);
	w->hook = nothing_passes;
	uint64_t before = w->nodes[0].sent;
	struct rng rng = { .fill = wire_random, .context = &w->nodes[1].random };
	for (uint8_t i = 0; i < 100; i++) {
		struct cookie_packet offer = { .cookie = { i } };
		uint8_t packet[COOKIE_PACKET_LEN];
		cookie_packet_encode(&offer, w->nodes[1].id.dh_public, captured[0].data,
			captured[0].len, &rng, packet);
		wire_put(w, 0, w->nodes[1].addr, w->nodes[0].addr, packet, sizeof(packet));
	}
	wire_run(w, OV_MS);
	assert_in_range(w->nodes[0].sent - before, 1, 4);
	assert_true(wire_drops(w, 0, DROP_RATE) >= 96);
	wire_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(first_contact_takes_two_round_trips),
		cmocka_unit_test(cold_and_idle_nodes_are_silent_for_hours),
		cmocka_unit_test(a_packet_a_minute_is_never_lost),
		cmocka_unit_test(rekey_under_traffic_loses_nothing),
		cmocka_unit_test(an_idle_natted_session_costs_nine_datagrams_in_125_s),
		cmocka_unit_test(a_peer_that_died_behind_a_nat_is_missed_in_75_s),
		cmocka_unit_test(a_peer_that_restarted_is_reached_again),
		cmocka_unit_test(a_rolled_back_epoch_heals_in_one_round_trip),
		cmocka_unit_test(seen_seq_of_one_peer_does_not_reach_another),
		cmocka_unit_test(replays_do_not_use_up_the_callers_rate),
		cmocka_unit_test(under_load_a_cookie_lets_the_caller_in),
		cmocka_unit_test(pending_slots_are_four_and_keep_the_highest),
		cmocka_unit_test(pending_handshakes_are_bounded_in_all),
		cmocka_unit_test(strangers_get_silence_and_with_pairing_a_line),
		cmocka_unit_test(contacts_go_with_traffic_in_flight),
		cmocka_unit_test(garbage_changes_nothing),
		cmocka_unit_test(limits_are_told),
		cmocka_unit_test(forged_cookies_cost_little),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
