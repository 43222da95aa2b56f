/* Which path of a node carries the data: roaming, forwarders, nomination, doubt. */
#include "tests/unit/node_meet.h"

#include "overlay/route.h"

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

static bool lose_some(struct wire *w, struct flight *f)
{
	unsigned *left = w->context;
	bool of_mover = f->from.ip[12] == 203;
	if (of_mover && *left > 0) {
		--*left;
		return false;
	}
	return true;
}

/* Nobody has data: the mover says that it moved, or the first packet to it would go astray. */
static void an_idle_move_is_told(void **state)
{
	(void)state;
	for (size_t i = 0; i < 6; i++) {
		size_t mover = i % 2;
		unsigned lost = (unsigned)i / 2;
		ov_time enough = lost ? OV_SEC : 4 * WIRE_DELAY;
		struct wire *w = wire_new(2);
		wire_set_address(w, mover, w->nodes[mover].addr);
		meet(w, 0, 1);
		wire_run(w, 30 * OV_SEC);
		w->hook = lose_some;
		w->context = &lost;
		wire_set_address(w, mover, addr_v4(203, 0, 113, 77, 27182));
		wire_run(w, enough);
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

/* Two newcomers at a full table: if each took the other's place, each answer would bring another
 * question, and so for ever (simulator, seed 998). */
static void who_is_being_asked_keeps_its_place(void **state)
{
	(void)state;
	struct wire *w = wire_new(2);
	meet(w, 0, 1);
	struct node *n = w->nodes[0].node;
	struct peer *p = wire_peer(w, 0, 1);
	struct dgram where = { .carrier = CARRIER_UDP };
	for (uint8_t i = 0; p->association->path_count < PATHS_MAX; i++) {
		where.remote = addr_v4(203, 0, 113, i, 999);
		struct path *one = route_add(n, w->now, p, &where);
		assert_non_null(one);
		one->state = PATH_VALID;
	}
	p->association->paths[PATHS_MAX - 1]->state = PATH_UNTRIED;
	where.remote = addr_v4(203, 0, 113, 200, 999);
	struct path *first = route_add(n, w->now, p, &where);
	assert_non_null(first);
	path_challenge(first, w->now);
	where.remote = addr_v4(203, 0, 113, 201, 999);
	assert_null(route_add(n, w->now + OV_SEC, p, &where));
	assert_non_null(route_add(n, w->now + 3 * OV_SEC, p, &where));
	assert_int_equal(p->association->path_count, PATHS_MAX);
	wire_free(w);
}

/* We ask at all places that we were told, in vain; the peer comes from another. */
static void who_speaks_gets_the_place_of_one_that_is_only_asked(void **state)
{
	(void)state;
	struct wire *w = wire_new(2);
	meet(w, 0, 1);
	struct node *n = w->nodes[1].node;
	struct peer *p = wire_peer(w, 1, 0);
	for (uint8_t i = 0; p->association->path_count < PATHS_MAX; i++) {
		struct dgram where = { .carrier = CARRIER_UDP,
			.remote = addr_v4(203, 0, 113, i, 999) };
		path_challenge(route_add(n, w->now, p, &where), w->now);
	}
	peer_touch(n, p);
	wire_drain(w, 1);
	wire_run(w, 100 * OV_MS);
	w->nodes[0].addr = addr_v4(198, 51, 120, 10, 27182);
	wire_send(w, 0, 1, 2, 64);
	wire_run(w, 10 * WIRE_DELAY);
	assert_true(wire_uses(w, 1, 0, w->nodes[0].addr));
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

/* Two NATs that let everybody in and map by destination: what goes to a new port comes from one. */
static bool by_destination(struct wire *w, struct flight *f)
{
	f->from.port = (uint16_t)(f->to.port + 1);
	for (size_t i = 0; i < w->count; i++)
		if (addr_same_ip(&f->to, &w->nodes[i].addr))
			f->to = w->nodes[i].addr;
	return true;
}

static void two_mappings_by_destination_do_not_chase_each_other(void **state)
{
	(void)state;
	struct wire *w = wire_new(2);
	w->hook = by_destination;
	wire_acquaint(w, 0, 1);
	wire_send(w, 0, 1, 1, 100);
	wire_run(w, 10 * OV_SEC);
	assert_int_equal(wire_got(w, 0, 1, 1, 100), 1);
	uint64_t sent = w->nodes[0].sent + w->nodes[1].sent;
	wire_run(w, 20 * OV_SEC);
	assert_true(w->nodes[0].sent + w->nodes[1].sent - sent < 10);
	wire_send(w, 1, 0, 2, 100);
	wire_run(w, OV_SEC);
	assert_int_equal(wire_got(w, 1, 0, 2, 100), 1);
	wire_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(two_mappings_by_destination_do_not_chase_each_other),
		cmocka_unit_test(roams_when_either_side_moves),
		cmocka_unit_test(an_idle_move_is_told),
		cmocka_unit_test(moves_to_a_v6_candidate_when_v4_dies),
		cmocka_unit_test(an_on_path_forwarder_gains_nothing),
		cmocka_unit_test(paths_and_candidates_are_bounded),
		cmocka_unit_test(who_is_being_asked_keeps_its_place),
		cmocka_unit_test(who_speaks_gets_the_place_of_one_that_is_only_asked),
		cmocka_unit_test(endpoints_of_a_contact_are_replaced),
		cmocka_unit_test(frequent_pings_do_not_blind_liveness),
		cmocka_unit_test(the_lower_nominates_and_the_other_follows),
		cmocka_unit_test(data_goes_twice_while_in_doubt),
		cmocka_unit_test(a_refusal_of_the_kernel_makes_us_ask),
		cmocka_unit_test(what_waits_is_sent_on_whatever_becomes_usable),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
