/* lan_only: A keeps B (or everybody) to the networks it is on. On one link 0 and 1 meet as ever; at
 * other places nothing is sent, nothing answered, and no facilitator hears of it. */
#include "tests/unit/relay_world.h"

#include "overlay/reach.h"

/* 192.168.7.(10 + i), a link that both are on. */
static struct ov_addr home(size_t i)
{
	return addr_v4(192, 168, 7, (uint8_t)(10 + i), 27182);
}

static struct ov_addr elsewhere(size_t i)
{
	return addr_v4(198, 51, (uint8_t)(101 + i), 10, 27182);
}

static void put(struct wire *w, size_t a, size_t b, const char *endpoint, bool lan_only)
{
	struct contact c = { .id = w->nodes[b].id.id, .lan_only = lan_only };
	assert_int_equal(grants_add_list(&c.grants, "all", NULL), OV_OK);
	if (endpoint)
		assert_int_equal(contact_add_endpoint(&c, endpoint), OV_OK);
	assert_int_equal(node_contact_put(w->nodes[a].node, w->now, &c, false), OV_OK);
	contact_fini(&c);
	wire_drain(w, a);
}

/* Both at home, A has B as lan_only with its address there. */
static struct wire *one_link(void)
{
	struct wire *w = wire_new(3);
	for (size_t i = 0; i < 2; i++)
		wire_set_address(w, i, home(i));
	put(w, A, B, "192.168.7.11:27182", true);
	put(w, B, A, "192.168.7.10:27182", false);
	return w;
}

static void speaks(struct wire *w, size_t from, size_t to, uint32_t tag)
{
	wire_send(w, from, to, tag, 100);
	wire_run(w, 2 * OV_SEC);
	assert_int_equal(wire_got(w, from, to, tag, 100), 1);
}

static const char *code(const struct wire *w, size_t a, size_t b)
{
	static struct why why;
	assert_true(node_why(w->nodes[a].node, w->now, &w->nodes[b].id.id, &why));
	return why.code;
}

/* A says nothing to anybody but F while `from` keeps trying to reach `to`. */
static void nothing_for(struct wire *w, size_t from, size_t to, uint32_t seconds)
{
	for (uint32_t i = 0; i < seconds; i++) {
		wire_send(w, from, to, 1000 + i, 100);
		wire_run(w, OV_SEC);
		assert_int_equal(wire_got(w, from, to, 1000 + i, 100), 0);
	}
}

static size_t direct_from_a;
static bool count_direct(struct wire *w, struct flight *f)
{
	direct_from_a += addr_same_ip(&f->from, &w->nodes[A].addr) && is_direct(w, f);
	return true;
}

static void on_one_link_all_is_as_ever(void **state)
{
	(void)state;
	struct wire *w = one_link();
	speaks(w, A, B, 1);
	speaks(w, B, A, 2);
	assert_string_equal(code(w, A, B), "direct");
	wire_free(w);
}

static void elsewhere_it_is_not_called(void **state)
{
	(void)state;
	struct wire *w = one_link();
	wire_set_address(w, B, elsewhere(B));
	put(w, A, B, "198.51.102.10:27182", true);
	uint64_t sent = w->nodes[A].sent;
	nothing_for(w, A, B, 100);
	assert_int_equal(w->nodes[A].sent, sent);
	assert_string_equal(code(w, A, B), "policy");
	struct candidate_info list[4];
	assert_int_equal(node_peer_candidates(w->nodes[A].node, &w->nodes[B].id.id, list, 4), 1);
	assert_string_equal(list[0].state, "policy");
	wire_free(w);
}

static void a_call_from_elsewhere_is_not_answered(void **state)
{
	(void)state;
	struct wire *w = one_link();
	wire_set_address(w, B, elsewhere(B));
	uint64_t sent = w->nodes[A].sent;
	nothing_for(w, B, A, 100);
	assert_int_equal(w->nodes[A].sent, sent);
	assert_true(wire_drops(w, A, DROP_POLICY) > 5);
	assert_int_equal(wire_info(w, B, A).state, PEER_AWAY);
	wire_free(w);
}

static bool copy_hs1_from_outside(struct wire *w, struct flight *f)
{
	if (is_type(f, PACKET_HS1) && addr_same_ip(&f->from, &w->nodes[B].addr))
		(void)wire_put(
			w, WIRE_DELAY + OV_MS, addr_v4(203, 0, 113, 66, 5), f->to, f->data, f->len);
	return true;
}

static void a_repetition_from_elsewhere_is_not_answered(void **state)
{
	(void)state;
	struct wire *w = one_link();
	w->hook = copy_hs1_from_outside;
	wire_send(w, B, A, 1, 100);
	wire_run(w, WIRE_DELAY); /* HS2 is on its way to B */
	uint64_t sent = w->nodes[A].sent;
	assert_int_equal(wire_drops(w, A, DROP_POLICY), 0);
	wire_run(w, OV_MS);
	assert_int_equal(wire_drops(w, A, DROP_POLICY), 1);
	assert_int_equal(w->nodes[A].sent, sent);
	w->hook = NULL;
	wire_run(w, OV_SEC);
	assert_int_equal(wire_got(w, B, A, 1, 100), 1);
	wire_free(w);
}

static void who_goes_outside_with_its_keys_is_not_heard(void **state)
{
	(void)state;
	struct wire *w = one_link();
	speaks(w, A, B, 1);
	direct_from_a = 0;
	wire_set_address(w, B, elsewhere(B));
	w->hook = count_direct;
	uint64_t received = wire_info(w, A, B).received_packets;
	nothing_for(w, B, A, 60);
	assert_int_equal(wire_info(w, A, B).received_packets, received);
	assert_int_equal(direct_from_a, 0);
	assert_true(wire_drops(w, A, DROP_POLICY) > 5);
	wire_set_address(w, B, home(B));
	wire_run(w, 2 * OV_SEC); /* what waited comes first */
	speaks(w, B, A, 2);
	wire_free(w);
}

static void when_we_go_elsewhere_the_session_rests(void **state)
{
	(void)state;
	struct wire *w = one_link();
	speaks(w, A, B, 1);
	wire_set_address(w, A, elsewhere(A));
	assert_int_equal(wire_info(w, A, B).path_count, 0);
	uint64_t sent = w->nodes[A].sent;
	nothing_for(w, A, B, 60);
	assert_int_equal(w->nodes[A].sent, sent);
	assert_string_equal(code(w, A, B), "policy");
	wire_set_address(w, A, home(A));
	speaks(w, A, B, 2);
	wire_free(w);
}

static void a_contact_may_be_kept_home_at_any_time(void **state)
{
	(void)state;
	struct wire *w = one_link();
	put(w, A, B, "198.51.102.10:27182", false);
	wire_set_address(w, B, elsewhere(B));
	wire_set_address(w, A, elsewhere(A));
	put(w, B, A, "198.51.101.10:27182", false);
	speaks(w, A, B, 1);
	put(w, A, B, "198.51.102.10:27182", true);
	uint64_t sent = w->nodes[A].sent;
	nothing_for(w, A, B, 30);
	nothing_for(w, B, A, 30);
	assert_int_equal(w->nodes[A].sent, sent);
	put(w, A, B, "198.51.102.10:27182", false);
	speaks(w, A, B, 2);
	wire_free(w);
}

/* F, and A and B at different places: what a relay would be for. */
static void no_facilitator_hears_of_it(void **state)
{
	(void)state;
	struct wire *w = relayed_world();
	const struct client *client = wire_peer(w, F, A)->client;
	assert_int_equal(client->counts[0], 1);
	put(w, A, B, NULL, true);
	wire_run(w, OV_SEC);
	assert_int_equal(client->counts[0], 0);
	assert_int_equal(wire_info(w, A, B).path_count, 0);
	assert_null(wire_peer(w, A, F)->association->channels);
	uint64_t relayed = node_counters(w->nodes[F].node)->relayed_bytes;
	nothing_for(w, A, B, 30);
	nothing_for(w, B, A, 30);
	assert_int_equal(node_counters(w->nodes[F].node)->relayed_bytes, relayed);
	assert_string_equal(code(w, A, B), "policy");
	put(w, A, B, NULL, false);
	wire_run(w, OV_SEC);
	speaks(w, A, B, 2);
	wire_free(w);
}

static void a_relay_that_forces_it_is_not_believed(void **state)
{
	(void)state;
	struct wire *w = relayed_world();
	put(w, A, B, NULL, true);
	wire_run(w, OV_SEC);
	uint8_t plain[PMTU_FLOOR], hs1[HS1_LEN] = { PACKET_HS1 };
	struct wr f = wr_init(plain, sizeof(plain));
	frame_put_relay_in(&f, &(struct relay_in){ .channel = 77,
				       .source = w->nodes[B].id.id,
				       .observed = elsewhere(B),
				       .datagram = hs1,
				       .len = sizeof(hs1) });
	uint64_t before = wire_drops(w, A, DROP_POLICY);
	size_t known = wire_peer(w, A, B)->candidates.count;
	say(w, F, A, &f);
	assert_int_equal(wire_drops(w, A, DROP_POLICY), before + 1);
	assert_null(wire_peer(w, A, F)->association->channels);
	assert_int_equal(wire_peer(w, A, B)->candidates.count, known);
	wire_free(w);
}

/* Over a link it may say where else it is; nobody wants to know. */
/* What it was asked while the contact might be reached through it is refused much later. */
static void a_late_refusal_tells_the_relay_nothing(void **state)
{
	(void)state;
	struct wire *w = one_link();
	restart_as(w, F, FACILITATOR_OPEN);
	wire_use_facilitator(w, A, F);
	wire_run(w, OV_SEC);
	assert_true(registration(w, A)->registered);
	registration(w, A)->requests[0] = (struct link_request){
		.id = 7, .destination = w->nodes[B].id.id, .used = true, .by_invite = true
	};
	uint8_t next = registration(w, A)->next_request, plain[16];
	wire_set_address(w, B, elsewhere(B)); /* so that the call lasts */
	wire_send(w, A, B, 1, 100);
	assert_non_null(wire_peer(w, A, B)->association->call);
	struct wr out = wr_init(plain, sizeof(plain));
	frame_put_relay_no(&out, &(struct relay_no){ .request = 7, .reason = 1 });
	say(w, F, A, &out);
	assert_false(registration(w, A)->requests[0].used); /* it was heard */
	assert_int_equal(registration(w, A)->next_request, next);
	wire_free(w);
}

static void its_other_addresses_are_not_kept(void **state)
{
	(void)state;
	struct wire *w = one_link();
	speaks(w, A, B, 1);
	uint8_t plain[200];
	struct wr f = wr_init(plain, sizeof(plain));
	struct endpoints_frame e = { .count = 1, .addr = { addr_v4(203, 0, 113, 5, 443) } };
	frame_put_endpoints(&f, FRAME_ENDPOINTS, &e);
	frame_put_endpoints(&f, FRAME_TCP_ENDPOINTS, &e);
	uint64_t before = wire_drops(w, A, DROP_POLICY);
	say(w, B, A, &f);
	assert_int_equal(wire_drops(w, A, DROP_POLICY), before + 2);
	assert_int_equal(wire_info(w, A, B).candidate_count, 1);
	wire_free(w);
}

static void tcp_too_stays_on_the_link(void **state)
{
	(void)state;
	struct wire *w = one_link();
	w->hook = nothing_passes;
	put(w, A, B, "tcp:203.0.113.5:443", true);
	nothing_for(w, A, B, 20);
	assert_int_equal(w->nodes[A].dialled, 0);
	put(w, A, B, "tcp:192.168.7.11:443", true);
	struct ov_addr outside = addr_v4(203, 0, 113, 5, 443);
	node_candidate_tcp(w->nodes[A].node, w->now, &w->nodes[B].id.id, &outside, SOURCE_CONFIG);
	wire_send(w, A, B, 1, 100);
	wire_run(w, OV_SEC);
	assert_true(w->nodes[A].dialled > 0);
	for (size_t i = 0; i < w->nodes[A].dialled; i++)
		assert_true(addr_same_ip(&w->nodes[A].dials[i], &w->nodes[B].addr));
	wire_free(w);
}

/* ---- for all ---- */

static struct wire *all_at_home(void)
{
	struct wire *w = world();
	wire_stop(w, A);
	w->nodes[A].config.lan_only = true;
	wire_start(w, A);
	wire_set_address(w, A, w->nodes[A].addr);
	return w;
}

static void for_all_not_even_the_facilitator_is_called(void **state)
{
	(void)state;
	struct wire *w = all_at_home();
	uint64_t sent = w->nodes[A].sent;
	wire_know(w, A, B, &w->nodes[B].addr, "all");
	wire_use_facilitator(w, A, F);
	nothing_for(w, A, B, 30);
	w->hook = NULL;
	wire_know(w, B, A, &w->nodes[A].addr, "all");
	nothing_for(w, B, A, 30);
	assert_int_equal(w->nodes[A].sent, sent);
	assert_string_equal(code(w, A, B), "policy");
	struct ov_addr own[4];
	size_t count = node_own_addresses(w->nodes[A].node, own, 4);
	assert_int_equal(count, 1); /* what an invite names: its interface */
	assert_true(addr_equal(&own[0], &w->nodes[A].addr));
	wire_free(w);
}

static void for_all_a_flood_from_outside_gets_no_cookie(void **state)
{
	(void)state;
	struct wire *w = all_at_home();
	w->hook = NULL;
	wire_know(w, B, A, &w->nodes[A].addr, "all");
	w->nodes[A].node->load_until = OV_NEVER; /* else it would get one each time */
	uint64_t sent = w->nodes[A].sent;
	nothing_for(w, B, A, 5);
	assert_int_equal(w->nodes[A].sent, sent);
	wire_free(w);
}

static void for_all_who_is_on_the_link_is_reached(void **state)
{
	(void)state;
	struct wire *w = all_at_home();
	w->hook = NULL;
	wire_set_address(w, A, home(A));
	wire_set_address(w, B, home(B));
	wire_know(w, A, B, &w->nodes[B].addr, "all");
	wire_know(w, B, A, &w->nodes[A].addr, "all");
	speaks(w, B, A, 1);
	speaks(w, A, B, 2);
	wire_free(w);
}

/* ---- what a link is ---- */

static bool is_on_link(const struct node *n, struct ov_addr a, uint32_t interface)
{
	return reach_is_on_link(n, &a, interface);
}

static void prefixes(void **state)
{
	(void)state;
	struct wire *w = wire_new(1);
	struct node *n = w->nodes[0].node;
	struct ov_addr v6, near6, far6;
	assert_int_equal(addr_parse("2001:db8:1:2::7", 0, &v6), OV_OK);
	assert_int_equal(addr_parse("2001:db8:1:2:ffff::1", 0, &near6), OV_OK);
	assert_int_equal(addr_parse("2001:db8:1:3::1", 0, &far6), OV_OK);
	const struct local_address locals[] = {
		{ .addr = addr_v4(10, 1, 2, 3, 0), .interface = 1, .prefix_len = 20 },
		{ .addr = addr_v4(203, 0, 113, 1, 0), .interface = 2, .prefix_len = 32 },
		{ .addr = v6, .interface = 3, .prefix_len = 64 },
		{ .addr = addr_v4(172, 16, 0, 1, 0), .interface = 4 }, /* a prefix of 0: none */
	};
	node_network_changed(n, w->now, locals, 4, false);
#define T(a, b, c, d, interface, want) \
	assert_int_equal(is_on_link(n, addr_v4(a, b, c, d, 9), interface), want)
	T(10, 1, 15, 255, 0, true), T(10, 1, 16, 0, 0, false), T(10, 1, 2, 9, 1, true);
	T(10, 1, 2, 9, 2, false), T(203, 0, 113, 1, 0, true), T(203, 0, 113, 2, 0, false);
	T(127, 0, 0, 1, 0, true), T(8, 8, 8, 8, 0, false), T(172, 16, 0, 9, 0, false);
#undef T
	assert_true(reach_is_on_link(n, &near6, 0));
	assert_false(reach_is_on_link(n, &near6, 1));
	assert_false(reach_is_on_link(n, &far6, 0));
	wire_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(on_one_link_all_is_as_ever),
		cmocka_unit_test(elsewhere_it_is_not_called),
		cmocka_unit_test(a_call_from_elsewhere_is_not_answered),
		cmocka_unit_test(a_repetition_from_elsewhere_is_not_answered),
		cmocka_unit_test(who_goes_outside_with_its_keys_is_not_heard),
		cmocka_unit_test(when_we_go_elsewhere_the_session_rests),
		cmocka_unit_test(a_contact_may_be_kept_home_at_any_time),
		cmocka_unit_test(no_facilitator_hears_of_it),
		cmocka_unit_test(a_relay_that_forces_it_is_not_believed),
		cmocka_unit_test(a_late_refusal_tells_the_relay_nothing),
		cmocka_unit_test(its_other_addresses_are_not_kept),
		cmocka_unit_test(tcp_too_stays_on_the_link),
		cmocka_unit_test(for_all_not_even_the_facilitator_is_called),
		cmocka_unit_test(for_all_a_flood_from_outside_gets_no_cookie),
		cmocka_unit_test(for_all_who_is_on_the_link_is_reached),
		cmocka_unit_test(prefixes),
	};
	return cmocka_run_group_tests_name("reach", tests, NULL, NULL);
}
