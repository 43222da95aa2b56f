/* Two or three nodes on a wire of their own: first contact, rekey, roaming, silence, limits. */
#include "tests/unit/seeded.h"

#define WIRE_FAIL(what) fail_msg("%s", what)
#include "tests/unit/node_wire.h"

static bool is_type(const struct flight *f, enum packet_type type)
{
	return f->len >= HEADER_LEN && f->data[0] == type;
}

static void meet(struct wire *w, size_t a, size_t b)
{
	wire_acquaint(w, a, b);
	wire_send(w, a, b, 1, 100);
	wire_run(w, 2 * OV_SEC);
	assert_int_equal(wire_got(w, a, b, 1, 100), 1);
	assert_int_equal(wire_info(w, a, b).state, PEER_UP);
	assert_int_equal(wire_info(w, b, a).state, PEER_UP);
}

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

struct nat { /* of node 0 */
	struct ov_addr outside;
	ov_time sent_at,
		longest; /* without a datagram from inside: the binding must live so long */
};

static bool translate(struct wire *w, struct flight *f)
{
	struct nat *nat = w->context;
	if (addr_equal(&f->from, &w->nodes[0].addr)) {
		f->from = nat->outside;
		nat->longest = ov_max(nat->longest, w->now - nat->sent_at);
		nat->sent_at = w->now;
	} else if (addr_equal(&f->to, &nat->outside)) {
		f->to = w->nodes[0].addr;
	}
	return true;
}

/* Behind a NAT: in each 125 s four keepalives, one of them a question, and a rekey in place of the
 * fifth. */
static void an_idle_natted_session_costs_nine_datagrams_in_125_s(void **state)
{
	(void)state;
	struct wire *w = wire_new(2);
	struct nat nat = { .outside = addr_v4(203, 0, 113, 7, 40000), .sent_at = w->now };
	w->hook = translate;
	w->context = &nat;
	wire_know(w, 0, 1, &w->nodes[1].addr, "all");
	wire_know(w, 1, 0, NULL, "all");
	wire_send(w, 0, 1, 1, 100);
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
	wire_run(w, 2 * WIRE_DELAY);
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

static void inner_addresses_and_grants_are_enforced(void **state)
{
	(void)state;
	struct wire *w = wire_new(3);
	meet(w, 0, 1);
	struct peer *p = wire_peer(w, 0, 1);
	struct peer *other = p;
	uint8_t packet[256];
	/* What a hostile daemon of 0 would seal: the inner source of node 2. */
	size_t len = wire_packet(w, 2, 1, 9, 64, packet);
	struct {
		uint8_t dst;
		enum drop why;
	} cases[] = {
		{ 1, DROP_SOURCE },
		{ 2, DROP_DESTINATION },
	};
	for (size_t i = 0; i < 2; i++) {
		if (i == 1)
			len = wire_packet(w, 0, 2, 9, 64, packet);
		uint8_t sealed[512];
		size_t n = session_seal(
			&other->association->keys[0]->session, PACKET_IP, 0, packet, len, sealed);
		size_t before = w->nodes[1].inner_count;
		uint64_t drops = wire_drops(w, 1, cases[i].why);
		wire_put(w, 0, w->nodes[0].addr, w->nodes[1].addr, sealed, n);
		wire_run(w, OV_MS);
		assert_int_equal(w->nodes[1].inner_count, before);
		assert_int_equal(wire_drops(w, 1, cases[i].why), drops + 1);
	}
	wire_know(w, 1, 0, &w->nodes[0].addr, "udp/9"); /* what 0 may do at 1 */
	wire_send(w, 0, 1, 10, 64);
	wire_run(w, OV_SEC);
	assert_int_equal(wire_got(w, 0, 1, 10, 64), 0);
	assert_int_equal(wire_drops(w, 1, DROP_GRANT), 1);
	wire_send(w, 1, 0, 11, 64); /* 1 may at 0 */
	wire_run(w, OV_SEC);
	assert_int_equal(wire_got(w, 1, 0, 11, 64), 1);
	uint8_t spoof[256];
	len = wire_packet(w, 1, 2, 3, 64, spoof); /* and the local side may not lie either */
	uint64_t drops = wire_drops(w, 0, DROP_SOURCE);
	wire_submit(w, 0, spoof, len);
	assert_int_equal(wire_drops(w, 0, DROP_SOURCE), drops + 1);
	wire_free(w);
}

static void roams_when_either_side_moves(void **state)
{
	(void)state;
	for (size_t mover = 0; mover < 2; mover++) {
		struct wire *w = wire_new(2);
		meet(w, 0, 1);
		w->nodes[mover].addr =
			addr_v4(203, 0, 113, 77, 4242); /* rebinding: it does not know */
		wire_send(w, mover, 1 - mover, 2, 300);
		wire_run(w, 5 * WIRE_DELAY);
		assert_int_equal(wire_got(w, mover, 1 - mover, 2, 300), 1);
		wire_send(w, 1 - mover, mover, 3, 300);
		wire_run(w, 2 * WIRE_DELAY);
		assert_int_equal(wire_got(w, 1 - mover, mover, 3, 300), 1);
		assert_true(wire_uses(w, 1 - mover, mover, w->nodes[mover].addr));
		wire_run(w, 30 * OV_SEC); /* the old path goes */
		assert_int_equal(wire_info(w, 1 - mover, mover).path_count, 1);
		assert_int_equal(wire_events(w, mover, NODE_PEER_DOWN), 0);
		wire_free(w);
	}
}

static void set_address(struct wire *w, size_t i, struct ov_addr addr)
{
	struct local_address local = { .addr = addr, .interface = 1, .has_default_route = true };
	w->nodes[i].addr = addr;
	node_network_changed(w->nodes[i].node, w->now, &local, 1, false);
	wire_drain(w, i);
}

/* Nobody has data: the mover says that it moved, or the first packet to it would go astray. */
static void an_idle_move_is_told(void **state)
{
	(void)state;
	for (size_t mover = 0; mover < 2; mover++) {
		struct wire *w = wire_new(2);
		set_address(w, mover, w->nodes[mover].addr);
		meet(w, 0, 1);
		wire_run(w, 30 * OV_SEC);
		set_address(w, mover, addr_v4(203, 0, 113, 77, 27182));
		wire_run(w, 4 * WIRE_DELAY);
		assert_true(wire_uses(w, 1 - mover, mover, w->nodes[mover].addr));
		wire_run(w, 30 * OV_SEC);
		assert_int_equal(wire_info(w, 1 - mover, mover).path_count, 1);
		wire_send(w, 1 - mover, mover, 3, 300);
		wire_run(w, WIRE_DELAY);
		assert_int_equal(wire_got(w, 1 - mover, mover, 3, 300), 1);
		wire_free(w);
	}
}

static void moves_to_a_v6_candidate_when_v4_dies(void **state)
{
	(void)state;
	struct wire *w = wire_new(2);
	meet(w, 0, 1);
	struct ov_addr v6 = { .ip = { 0x20, 1, 0xd, 0xb8, [15] = 9 }, .port = 27182 };
	w->nodes[1].addr = v6;
	node_candidate(w->nodes[0].node, w->now, &w->nodes[1].id.id, &v6, SOURCE_USER);
	for (uint32_t tag = 10; tag < 30; tag++) {
		wire_send(w, 0, 1, tag, 100);
		wire_run(w, 200 * OV_MS);
	}
	assert_int_equal(wire_got(w, 0, 1, 29, 100), 1);
	assert_true(wire_uses(w, 0, 1, v6));
	wire_free(w);
}

/* Copies what 0 says and sends it from its own address, faster; passes on what comes to it. */
/* Copies what 0 says and sends it from its own address, faster; passes on what comes to it. */
static bool forwarder(struct wire *w, struct flight *f)
{
	const struct ov_addr own = addr_v4(203, 0, 113, 66, 666);
	size_t *diverted = w->context;
	bool from_0 = addr_equal(&f->from, &w->nodes[0].addr);
	if (addr_equal(&f->to, &own)) {
		f->to = w->nodes[from_0 ? 1 : 0].addr;
		f->from = own;
		*diverted += !from_0 && is_type(f, PACKET_IP);
	} else if (from_0 && is_type(f, PACKET_IP)) {
		wire_put(w, w->delay - OV_MS, own, f->to, f->data, f->len);
	}
	return true;
}

static void an_on_path_forwarder_gains_nothing(void **state)
{
	(void)state;
	struct wire *w = wire_new(2);
	meet(w, 0, 1);
	size_t diverted = 0;
	w->context = &diverted;
	w->hook = forwarder;
	for (uint32_t tag = 10; tag < 510; tag++) {
		wire_send(w, 0, 1, tag, 100);
		wire_send(w, 1, 0, tag, 100);
		wire_run(w, 5 * OV_MS);
	}
	for (uint32_t tag = 10; tag < 500; tag++)
		assert_int_equal(wire_got(w, 0, 1, tag, 100), 1);
	assert_true(wire_uses(w, 1, 0, w->nodes[0].addr));
	assert_in_range(diverted, 1, 8); /* 0 would mean that nothing was tried */
	wire_free(w);
}

static void packets_wait_while_calling_within_bounds(void **state)
{
	(void)state;
	struct wire *w = wire_new(2);
	wire_know(w, 0, 1, &w->nodes[1].addr, "all");
	for (uint32_t tag = 0; tag < 40; tag++)
		wire_send(w, 0, 1, tag, 64);
	assert_int_equal(wire_info(w, 0, 1).waiting_packets, STAGED_MAX);
	assert_int_equal(wire_drops(w, 0, DROP_AWAY), 40 - STAGED_MAX);
	wire_know(w, 1, 0, NULL, "all");
	wire_run(w, OV_SEC);
	for (uint32_t tag = 0; tag < 40; tag++)
		assert_int_equal(wire_got(w, 0, 1, tag, 64), tag < STAGED_MAX);
	assert_int_equal(wire_info(w, 0, 1).waiting_packets, 0);
	wire_free(w);
	w = wire_new(2);
	wire_know(w, 0, 1, &w->nodes[1].addr, "all");
	for (uint32_t tag = 0; tag < 20; tag++)
		wire_send(w, 0, 1, tag, 1300);
	assert_int_equal(wire_info(w, 0, 1).waiting_packets, STAGED_BYTES / 1348);
	wire_run(w, 91 * OV_SEC); /* away: they are dropped, and counted */
	assert_int_equal(wire_info(w, 0, 1).waiting_packets, 0);
	assert_int_equal(wire_drops(w, 0, DROP_AWAY), 20);
	wire_free(w);
}

static ov_time hs1_at[4096];
static size_t hs1_count;

static bool note_hs1(struct wire *w, struct flight *f)
{
	if (is_type(f, PACKET_HS1) && hs1_count < 4096)
		hs1_at[hs1_count++] = w->now;
	return false;
}

static void away_peers_are_tried_ever_more_rarely(void **state)
{
	(void)state;
	struct wire *w = wire_new(2);
	wire_know(w, 0, 1, &w->nodes[1].addr, "all");
	w->hook = note_hs1;
	hs1_count = 0;
	ov_time start = w->now;
	wire_send(w, 0, 1, 1, 64);
	wire_run(w, 90 * OV_SEC - OV_MS);
	/* 0, .5, 1, 2, 4, 5, 10 ... 85, +-5 % */
	assert_in_range(hs1_count, 20, 23);
	static const unsigned want_ms[] = { 0, 500, 1000, 2000, 4000, 5000, 10000 };
	for (size_t i = 0; i < 7; i++)
		assert_in_range(
			(hs1_at[i] - start) / OV_MS, want_ms[i] * 90 / 100, want_ms[i] * 110 / 100);
	assert_int_equal(wire_info(w, 0, 1).state, PEER_CALLING);
	wire_run(w, OV_SEC);
	assert_int_equal(wire_info(w, 0, 1).state, PEER_AWAY);
	hs1_count = 0;
	wire_run(w, 4000 * OV_SEC);
	static const unsigned steps[] = { 10, 20, 40, 80, 160, 300, 300, 300 };
	assert_true(hs1_count >= 9);
	for (size_t i = 1; i < 9; i++) {
		ov_time gap = (hs1_at[i] - hs1_at[i - 1]) / OV_SEC - 5; /* each waits 5 s */
		assert_in_range(gap, steps[i - 1] * 79 / 100, steps[i - 1] * 121 / 100);
	}
	hs1_count = 0;
	wire_send(w, 0, 1, 2, 64); /* traffic after a pause: at once, and for 90 s */
	assert_int_equal(hs1_count, 1);
	wire_run(w, 10 * OV_SEC);
	assert_true(hs1_count > 5);
	w->hook = NULL;
	wire_run(w, 90 * OV_SEC);
	wire_know(w, 1, 0, &w->nodes[0].addr, "all");
	wire_send(w, 1, 0, 3, 64); /* reached again by its own call */
	wire_run(w, OV_SEC);
	assert_int_equal(wire_info(w, 0, 1).state, PEER_UP);
	assert_false(wire_peer(w, 0, 1)->away);
	assert_int_equal(wire_peer(w, 0, 1)->retry_at, OV_NEVER);
	wire_free(w);
}

static bool nothing_passes(struct wire *w, struct flight *f)
{
	(void)w;
	(void)f;
	return false;
}

/* The peer vanishes while keys are fresh: down once, away, tried by schedule; and it comes back. */
static void a_peer_that_vanished_goes_down_once(void **state)
{
	(void)state;
	struct wire *w = wire_new(2);
	meet(w, 0, 1);
	w->hook = nothing_passes;
	for (uint32_t tag = 10; tag < 310; tag++) {
		wire_send(w, 0, 1, tag, 64);
		wire_run(w, OV_SEC);
	}
	assert_int_equal(wire_events(w, 0, NODE_PEER_DOWN), 1);
	assert_int_equal(wire_info(w, 0, 1).state, PEER_AWAY);
	uint64_t before = w->nodes[0].sent;
	for (uint32_t tag = 310; tag < 910; tag++) {
		wire_send(w, 0, 1, tag, 64);
		wire_run(w, OV_SEC);
	}
	assert_true(w->nodes[0].sent - before <= 10); /* one HS1 per step */
	assert_int_equal(wire_events(w, 0, NODE_PEER_DOWN), 1);
	w->hook = NULL;
	wire_send(w, 1, 0, 5, 64);
	wire_run(w, 5 * OV_SEC);
	assert_int_equal(wire_info(w, 0, 1).state, PEER_UP);
	assert_int_equal(wire_events(w, 0, NODE_PEER_UP), 2);
	wire_free(w);
}

/* All paths went, the keys live on, and the call has ended: traffic must call again. */
static void traffic_calls_when_keys_live_but_no_path(void **state)
{
	(void)state;
	struct wire *w = wire_new(2);
	meet(w, 0, 1);
	w->hook = nothing_passes;
	wire_send(w, 0, 1, 2, 64);
	wire_run(w, 110 * OV_SEC);
	assert_int_equal(wire_info(w, 0, 1).path_count, 0);
	w->hook = NULL;
	wire_send(w, 0, 1, 3, 64);
	wire_run(w, OV_SEC);
	assert_int_equal(wire_got(w, 0, 1, 3, 64), 1);
	wire_free(w);
}

/* Both changed networks while no keys were alive; each is where the other has it in its book. */
static void calls_reach_candidates_that_are_paths_too(void **state)
{
	(void)state;
	struct wire *w = wire_new(2);
	meet(w, 0, 1);
	wire_run(w, 200 * OV_SEC); /* keys are gone, the association is not */
	assert_non_null(wire_peer(w, 0, 1)->association);
	w->nodes[1].addr = addr_v4(203, 0, 113, 9, 27182);
	node_candidate(
		w->nodes[0].node, w->now, &w->nodes[1].id.id, &w->nodes[1].addr, SOURCE_USER);
	w->nodes[0].addr = addr_v4(192, 0, 2, 1, 27182);
	struct local_address here = { .addr = w->nodes[0].addr,
		.interface = 0,
		.prefix_len = 24,
		.has_default_route = true };
	node_network_changed(w->nodes[0].node, w->now, &here, 1, false);
	wire_drain(w, 0);
	wire_send(w, 0, 1, 5, 300);
	wire_run(w, 3 * OV_SEC);
	assert_int_equal(wire_got(w, 0, 1, 5, 300), 1);
	wire_free(w);
}

/* A network change while nobody answers and the old association lives: the schedule holds. */
static void questions_without_keys_do_not_call_for_ever(void **state)
{
	(void)state;
	struct wire *w = wire_new(2);
	meet(w, 0, 1);
	wire_run(w, 185 * OV_SEC);
	w->hook = nothing_passes;
	struct local_address here = { .addr = w->nodes[0].addr, .has_default_route = true };
	node_network_changed(w->nodes[0].node, w->now, &here, 1, false);
	wire_drain(w, 0);
	wire_run(w, 95 * OV_SEC);
	assert_int_equal(wire_info(w, 0, 1).state, PEER_AWAY);
	uint64_t sent = w->nodes[0].sent;
	wire_run(w, 200 * OV_SEC);
	assert_true(w->nodes[0].sent - sent <= 10);
	wire_free(w);
}

/* The association's 540 s end in the middle of a call. */
static void an_old_association_in_a_call_does_not_spin(void **state)
{
	(void)state;
	struct wire *w = wire_new(2);
	meet(w, 0, 1);
	w->hook = nothing_passes;
	wire_run(w, 500 * OV_SEC);
	wire_send(w, 0, 1, 2, 64);
	wire_run(w, 200 * OV_SEC); /* wire_tick asserts the deadline */
	assert_int_equal(wire_info(w, 0, 1).state, PEER_AWAY);
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

static void paths_and_candidates_are_bounded(void **state)
{
	(void)state;
	struct wire *w = wire_new(2);
	meet(w, 0, 1);
	struct ov_addr home = w->nodes[0].addr;
	for (uint8_t i = 0; i < 60; i++) {
		w->nodes[0].addr = addr_v4(203, 0, 113, i, 999);
		wire_send(w, 0, 1, i, 64);
		wire_run(w, 11 * OV_MS); /* too short for validation */
		assert_true(wire_info(w, 1, 0).path_count <= PATHS_MAX);
	}
	w->nodes[0].addr = home;
	for (uint32_t i = 100; i < 110; i++) {
		wire_send(w, 0, 1, i, 64);
		wire_run(w, 300 * OV_MS);
	}
	assert_int_equal(wire_got(w, 0, 1, 109, 64), 1);
	assert_true(wire_uses(w, 1, 0, home));
	for (uint8_t i = 0; i < 40; i++) {
		struct ov_addr a = addr_v4(192, 0, 2, i, 999);
		w->now += OV_MS;
		node_candidate(w->nodes[0].node, w->now, &w->nodes[1].id.id, &a, SOURCE_OBSERVED);
	}
	struct candidate_info list[32];
	size_t count = node_peer_candidates(w->nodes[0].node, &w->nodes[1].id.id, list, 32);
	assert_int_equal(count, CANDIDATES_MAX);
	bool kept = false;
	for (size_t i = 0; i < count; i++) {
		kept |= addr_equal(&list[i].addr, &w->nodes[1].addr);
		if (list[i].source == SOURCE_OBSERVED) /* the newest stay */
			assert_true(list[i].addr.ip[15] >= 40 - CANDIDATES_MAX);
	}
	assert_true(kept);
	wire_free(w);
}

/* An owner who corrects an endpoint 20 times is still reachable at the last. */
static void endpoints_of_a_contact_are_replaced(void **state)
{
	(void)state;
	struct wire *w = wire_new(2);
	wire_know(w, 1, 0, NULL, "all");
	for (uint8_t i = 0; i < 20; i++) {
		struct ov_addr wrong = addr_v4(192, 0, 2, i, 999);
		wire_know(w, 0, 1, &wrong, "all");
	}
	wire_know(w, 0, 1, &w->nodes[1].addr, "all");
	assert_int_equal(wire_info(w, 0, 1).candidate_count, 1);
	wire_send(w, 0, 1, 1, 64);
	wire_run(w, OV_SEC);
	assert_int_equal(wire_got(w, 0, 1, 1, 64), 1);
	wire_free(w);
}

static void pings_answer_time_out_and_are_bounded(void **state)
{
	(void)state;
	struct wire *w = wire_new(2);
	wire_acquaint(w, 0, 1);
	const struct peer_id *b = &w->nodes[1].id.id;
	struct node *n = w->nodes[0].node;
	assert_int_equal(node_ping(n, w->now, b, 77, 5 * OV_SEC), OV_OK); /* calls */
	wire_drain(w, 0);
	wire_run(w, OV_SEC);
	assert_int_equal(wire_events(w, 0, NODE_PONG), 1);
	w->nodes[0].event_count = 0;
	assert_int_equal(node_ping(n, w->now, b, 78, 5 * OV_SEC), OV_OK);
	wire_drain(w, 0);
	wire_run(w, OV_SEC);
	assert_int_equal(w->nodes[0].events[0].type, NODE_PONG);
	assert_int_equal(w->nodes[0].events[0].token, 78);
	assert_int_equal(w->nodes[0].events[0].rtt, 2 * WIRE_DELAY);
	assert_true(addr_equal(&w->nodes[0].events[0].observed, &w->nodes[0].addr));
	assert_int_equal(
		node_ping(n, w->now, &w->nodes[0].id.id, 1, OV_SEC), OV_OK); /* ourselves */
	assert_int_equal(node_ping(n, w->now, &(struct peer_id){ { 1 } }, 1, OV_SEC), OV_ENOENT);
	w->hook = nothing_passes;
	for (uint64_t i = 0; i < PINGS_MAX; i++)
		assert_int_equal(node_ping(n, w->now, b, i, OV_SEC), OV_OK);
	assert_int_equal(node_ping(n, w->now, b, 99, OV_SEC), OV_EFULL);
	wire_drain(w, 0);
	wire_run(w, 2 * OV_SEC);
	assert_int_equal(wire_events(w, 0, NODE_PING_TIMEOUT), PINGS_MAX);
	wire_free(w);
}

/* Pings in a row are one question at a time: they neither hide a dead path nor kill a long one. */
static void frequent_pings_do_not_blind_liveness(void **state)
{
	(void)state;
	struct wire *w = wire_new(2);
	meet(w, 0, 1);
	const struct peer_id *b = &w->nodes[1].id.id;
	w->delay = 150 * OV_MS;
	for (uint64_t i = 0; i < 300; i++) { /* RTT of 300 ms, one every 10 ms */
		(void)!node_ping(w->nodes[0].node, w->now, b, i, 2 * OV_SEC);
		wire_drain(w, 0);
		wire_run(w, 10 * OV_MS);
	}
	assert_int_equal(wire_events(w, 0, NODE_PING_TIMEOUT), 0);
	assert_true(wire_events(w, 0, NODE_PONG) > 200);
	w->hook = nothing_passes;
	for (uint64_t i = 0; i < 10; i++) {
		(void)!node_ping(w->nodes[0].node, w->now, b, i, 2 * OV_SEC);
		wire_drain(w, 0);
		wire_run(w, OV_SEC);
	}
	assert_string_equal(wire_info(w, 0, 1).active.state, "suspect");
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

static size_t mtu_limit;

static bool narrow(struct wire *w, struct flight *f)
{
	(void)w;
	return f->len <= mtu_limit;
}

static void long_packets_travel_in_fragments_then_the_stack_is_told(void **state)
{
	(void)state;
	struct wire *w = wire_new(2);
	mtu_limit = 1250;
	w->hook = narrow;
	meet(w, 0, 1);
	wire_run(w, 2 * OV_SEC);
	assert_true(wire_info(w, 0, 1).active.pmtu <= 1250);
	uint8_t packet[1500];
	size_t len = wire_packet(w, 0, 1, 5, 1300, packet);
	struct ip_packet p = {
		.data = packet, .len = len, .partial = true, .csum_start = 40, .csum_offset = 6
	};
	store_be16(packet + 46, (uint16_t)~checksum_fold(checksum_pseudo(packet, 17, len - 40)));
	node_submit(w->nodes[0].node, w->now, &p, 1);
	wire_drain(w, 0);
	wire_run(w, 2 * WIRE_DELAY);
	assert_int_equal(wire_got(w, 0, 1, 5, 1300), 1);
	assert_int_equal(w->nodes[0].inner_count, 0);
	wire_run(w, 10 * OV_SEC);
	wire_send(w, 0, 1, 6, 1300);
	wire_run(w, 2 * WIRE_DELAY);
	assert_int_equal(wire_got(w, 0, 1, 6, 1300), 1); /* still delivered */
	assert_int_equal(w->nodes[0].inner_count, 1);
	const uint8_t *icmp = w->nodes[0].inner[0];
	assert_int_equal(icmp[6], 58);
	assert_int_equal(icmp[40], 2);
	assert_int_equal(load_be32(icmp + 44), 1280);
	len = w->nodes[0].inner_len[0];
	assert_int_equal(checksum_fold(checksum_add(
				 checksum_pseudo(icmp, 58, len - 40), icmp + 40, len - 40)),
		0);
	wire_free(w);
}

/* The peer takes no datagram above the MTU it announced, however wide the wire is. */
static void the_peers_mtu_bounds_ours(void **state)
{
	(void)state;
	struct wire *w = wire_new(2);
	w->nodes[1].config.datagram_max = 1300;
	wire_stop(w, 1);
	wire_start(w, 1);
	meet(w, 0, 1);
	wire_run(w, 3 * OV_SEC);
	assert_int_equal(wire_info(w, 0, 1).active.pmtu, 1300);
	assert_int_equal(wire_info(w, 1, 0).active.pmtu, 1300);
	w->nodes[1].config.datagram_max = 1250; /* it comes back with less */
	wire_stop(w, 1);
	wire_start(w, 1);
	wire_know(w, 1, 0, &w->nodes[0].addr, "all");
	wire_send(w, 1, 0, 3, 64);
	wire_run(w, 3 * OV_SEC);
	assert_int_equal(wire_info(w, 0, 1).active.pmtu, 1250);
	wire_free(w);
}

/* The answer to an echo that waited 40 s for its peer passes, though the peer has no grant. */
static void a_flow_begins_when_its_packet_leaves(void **state)
{
	(void)state;
	struct wire *w = wire_new(2);
	wire_know(w, 0, 1, &w->nodes[1].addr, NULL);
	uint8_t echo[64];
	size_t len = wire_packet(w, 0, 1, 0, 8, echo);
	echo[6] = 58;
	echo[40] = 128;
	wire_submit(w, 0, echo, len);
	wire_run(w, 40 * OV_SEC);
	wire_know(w, 1, 0, NULL, "all");
	wire_run(w, 6 * OV_SEC);
	assert_int_equal(w->nodes[1].inner_count, 1);
	wire_packet(w, 1, 0, 0, 8, echo);
	echo[6] = 58;
	echo[40] = 129;
	wire_submit(w, 1, echo, len);
	wire_run(w, OV_SEC);
	assert_int_equal(w->nodes[0].inner_count, 1);
	wire_free(w);
}

/* Two ways to the peer: every datagram to or from `slow` takes 60 ms more. */
static struct ov_addr slow;
static bool blocked_fast;

static bool two_ways(struct wire *w, struct flight *f)
{
	(void)w;
	bool is_slow = addr_equal(&f->to, &slow) || addr_equal(&f->from, &slow);
	if (is_slow)
		f->at += 60 * OV_MS;
	return is_slow || !blocked_fast;
}

/* Node 1 is reached at `slow` first, then also at its own address; it answers as it was asked. */
static struct wire *slow_only(void)
{
	struct wire *w = wire_new(2);
	slow = addr_v4(203, 0, 113, 200, 27182);
	blocked_fast = false;
	w->nodes[1].old = slow;
	w->nodes[1].answers_from_old = true;
	w->hook = two_ways;
	wire_know(w, 0, 1, &slow, "all");
	wire_know(w, 1, 0, NULL, "all");
	wire_send(w, 0, 1, 1, 64);
	wire_run(w, 2 * OV_SEC);
	assert_int_equal(wire_got(w, 0, 1, 1, 64), 1);
	assert_true(wire_uses(w, 0, 1, slow));
	return w;
}

static void add_fast(struct wire *w)
{
	struct dgram where = { .remote = w->nodes[1].addr, .local = w->nodes[0].addr };
	struct path *p = route_add(w->nodes[0].node, w->now, wire_peer(w, 0, 1), &where);
	path_challenge(p, w->now);
	peer_touch(w->nodes[0].node, wire_peer(w, 0, 1));
	wire_drain(w, 0);
}

static struct wire *two_paths(void)
{
	struct wire *w = slow_only();
	add_fast(w);
	return w;
}

static void the_lower_nominates_and_the_other_follows(void **state)
{
	(void)state;
	struct wire *w = slow_only();
	struct ov_addr fast = w->nodes[1].addr;
	for (uint32_t tag = 10; tag < 110; tag++) { /* data arrives on the old way all the while */
		if (tag == 40)
			add_fast(w);
		wire_send(w, 0, 1, tag, 64);
		wire_send(w, 1, 0, tag, 64);
		wire_run(w, 5 * OV_MS);
	}
	wire_run(w, OV_SEC);
	for (uint32_t tag = 10; tag < 110; tag++) {
		assert_true(wire_got(w, 0, 1, tag, 64) >= 1);
		assert_true(wire_got(w, 1, 0, tag, 64) >= 1);
	}
	assert_true(wire_uses(w, 0, 1, fast));
	struct peer_info info = wire_info(w, 1, 0);
	assert_true(addr_equal(&info.active.local, &fast));
	assert_int_equal(wire_peer(w, 0, 1)->association->nomination, 1);
	assert_int_equal(wire_events(w, 0, NODE_PATH_CHANGED), 2); /* no way back in between */
	wire_free(w);
}

/* The better way dies: what is sent in doubt goes both ways, then the other one is used. */
static void data_goes_twice_while_in_doubt(void **state)
{
	(void)state;
	struct wire *w = two_paths();
	wire_run(w, 3 * OV_SEC);
	wire_send(w, 0, 1, 2, 64);
	wire_run(w, OV_SEC);
	assert_true(wire_uses(w, 0, 1, w->nodes[1].addr));
	blocked_fast = true;
	size_t lost = 0;
	for (uint32_t tag = 10; tag < 210; tag++) {
		wire_send(w, 0, 1, tag, 64);
		wire_run(w, 20 * OV_MS);
	}
	wire_run(w, OV_SEC);
	for (uint32_t tag = 10; tag < 210; tag++)
		lost += wire_got(w, 0, 1, tag, 64) == 0;
	assert_in_range(lost, 15, 25); /* 400 ms of silence, and no more */
	assert_true(wire_uses(w, 0, 1, slow));
	assert_int_equal(wire_events(w, 0, NODE_PEER_DOWN), 0);
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

/* No route: the path is asked at once, again and again it is not. */
static void a_refusal_of_the_kernel_makes_us_ask(void **state)
{
	(void)state;
	struct wire *w = wire_new(2);
	meet(w, 0, 1);
	wire_run(w, 5 * OV_SEC);
	struct dgram d = { .local = w->nodes[0].addr, .remote = w->nodes[1].addr, .segment = 1452 };
	w->hook = nothing_passes;
	uint64_t sent = w->nodes[0].sent;
	ov_time start = w->now;
	while (strcmp(wire_info(w, 0, 1).active.state, "suspect") != 0) {
		for (int i = 0; i < 50; i++)
			node_send_failed(w->nodes[0].node, w->now, &d, false);
		wire_drain(w, 0);
		wire_run(w, 10 * OV_MS);
		assert_true(w->now - start < 2 * OV_SEC);
	}
	assert_in_range(w->nodes[0].sent - sent, 3, 8); /* questions, then HS1 */
	wire_free(w);
	w = wire_new(2);
	meet(w, 0, 1);
	assert_int_equal(wire_info(w, 0, 1).active.pmtu, 1452);
	node_send_failed(w->nodes[0].node, w->now, &d, true);
	assert_true(wire_info(w, 0, 1).active.pmtu < 1452);
	wire_free(w);
}

/* The path that may carry data goes while packets wait, and another one is there already. */
static void what_waits_is_sent_on_whatever_becomes_usable(void **state)
{
	(void)state;
	struct wire *w = two_paths();
	wire_run(w, 3 * OV_SEC);
	struct peer *peer = wire_peer(w, 0, 1);
	struct dgram where = { .remote = addr_v4(192, 0, 2, 9, 9), .local = w->nodes[0].addr };
	struct path *p = route_add(w->nodes[0].node, w->now, peer, &where);
	path_on_received(p, w->now, 40, 1, false); /* 120 B of budget, never validated */
	route_use(w->nodes[0].node, w->now, peer, p);
	p->probing_since = w->now - 60 * OV_SEC; /* no last hope */
	wire_send(w, 0, 1, 5, 1000);
	assert_int_equal(wire_info(w, 0, 1).waiting_packets, 1);
	wire_run(w, 5 * OV_SEC);
	assert_ptr_not_equal(peer->association->active, p);
	assert_int_equal(wire_info(w, 0, 1).waiting_packets, 0);
	assert_int_equal(wire_got(w, 0, 1, 5, 1000), 1);
	wire_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(first_contact_takes_two_round_trips),
		cmocka_unit_test(cold_and_idle_nodes_are_silent_for_hours),
		cmocka_unit_test(rekey_under_traffic_loses_nothing),
		cmocka_unit_test(an_idle_natted_session_costs_nine_datagrams_in_125_s),
		cmocka_unit_test(a_peer_that_restarted_is_reached_again),
		cmocka_unit_test(a_rolled_back_epoch_heals_in_one_round_trip),
		cmocka_unit_test(seen_seq_of_one_peer_does_not_reach_another),
		cmocka_unit_test(replays_do_not_use_up_the_callers_rate),
		cmocka_unit_test(under_load_a_cookie_lets_the_caller_in),
		cmocka_unit_test(pending_slots_are_four_and_keep_the_highest),
		cmocka_unit_test(pending_handshakes_are_bounded_in_all),
		cmocka_unit_test(strangers_get_silence_and_with_pairing_a_line),
		cmocka_unit_test(inner_addresses_and_grants_are_enforced),
		cmocka_unit_test(roams_when_either_side_moves),
		cmocka_unit_test(an_idle_move_is_told),
		cmocka_unit_test(moves_to_a_v6_candidate_when_v4_dies),
		cmocka_unit_test(an_on_path_forwarder_gains_nothing),
		cmocka_unit_test(packets_wait_while_calling_within_bounds),
		cmocka_unit_test(away_peers_are_tried_ever_more_rarely),
		cmocka_unit_test(a_peer_that_vanished_goes_down_once),
		cmocka_unit_test(traffic_calls_when_keys_live_but_no_path),
		cmocka_unit_test(calls_reach_candidates_that_are_paths_too),
		cmocka_unit_test(questions_without_keys_do_not_call_for_ever),
		cmocka_unit_test(an_old_association_in_a_call_does_not_spin),
		cmocka_unit_test(contacts_go_with_traffic_in_flight),
		cmocka_unit_test(paths_and_candidates_are_bounded),
		cmocka_unit_test(endpoints_of_a_contact_are_replaced),
		cmocka_unit_test(pings_answer_time_out_and_are_bounded),
		cmocka_unit_test(frequent_pings_do_not_blind_liveness),
		cmocka_unit_test(garbage_changes_nothing),
		cmocka_unit_test(limits_are_told),
		cmocka_unit_test(long_packets_travel_in_fragments_then_the_stack_is_told),
		cmocka_unit_test(the_peers_mtu_bounds_ours),
		cmocka_unit_test(a_flow_begins_when_its_packet_leaves),
		cmocka_unit_test(the_lower_nominates_and_the_other_follows),
		cmocka_unit_test(data_goes_twice_while_in_doubt),
		cmocka_unit_test(forged_cookies_cost_little),
		cmocka_unit_test(a_refusal_of_the_kernel_makes_us_ask),
		cmocka_unit_test(what_waits_is_sent_on_whatever_becomes_usable),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
