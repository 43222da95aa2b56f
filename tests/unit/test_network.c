/* A network with IPv6 only and a router that translates: 0 is in it, 1 and the facilitator 2 have
 * IPv4 alone. */
#include "tests/unit/relay_world.h"

#include "overlay/network.h"

static const char prefix_text[] = "64:ff9b::";

static struct ov_addr addr(const char *text, uint16_t port)
{
	struct ov_addr a;
	assert_int_equal(addr_parse(text, port, &a), OV_OK);
	return a;
}

static struct nat64 prefix(void)
{
	struct nat64 n = { .bits = 96 };
	struct ov_addr a = addr(prefix_text, 0);
	memcpy(n.prefix, a.ip, 12);
	return n;
}

/* One inside host, so its port is kept. */
static bool translate(struct wire *w, struct flight *f)
{
	struct nat64 n = prefix();
	struct ov_addr pool = addr_v4(203, 0, 113, 64, 0), v4;
	if (!addr_is_v4(&f->from) && !addr_is_v4(&f->to) && nat64_to_v4(&n, &f->to, &v4)) {
		pool.port = f->from.port;
		f->from = pool;
		f->to = v4;
	} else if (addr_same_ip(&f->to, &pool)) {
		f->from = nat64_from_v4(&n, &f->from);
		f->to = w->nodes[A].addr;
	}
	return addr_is_v4(&f->from) == addr_is_v4(&f->to);
}

static struct wire *only_ipv6(void)
{
	struct wire *w = wire_new(3);
	w->hook = translate;
	restart_as(w, F, FACILITATOR_OPEN);
	wire_set_address(w, B, w->nodes[B].addr);
	wire_set_address(w, A, addr("2001:db8::10", 27182));
	wire_use_facilitator(w, A, F);
	wire_run(w, 2 * OV_SEC);
	return w;
}

static void found(struct wire *w)
{
	struct nat64 n = prefix();
	node_set_nat64(w->nodes[A].node, w->now, &n);
	wire_drain(w, A);
}

static void a_facilitator_of_ipv4_is_reached(void **state)
{
	(void)state;
	struct wire *w = only_ipv6();
	assert_true(node_wants_nat64(w->nodes[A].node));
	assert_false(registration(w, A)->registered);
	found(w);
	wire_run(w, OV_SEC);
	assert_true(registration(w, A)->registered);
	struct ov_addr there = wire_info(w, A, F).active.remote;
	struct ov_addr expected = addr("64:ff9b::198.51.100.12", 27182);
	assert_true(addr_equal(&there, &expected));
	struct facilitator_info told;
	assert_int_equal(node_facilitators(w->nodes[A].node, w->now, &told, 1), 1);
	assert_true(addr_equal(&told.endpoint, &w->nodes[F].addr)); /* as others reach it */
	wire_free(w);
}

static void a_peer_of_ipv4_is_met_and_known_by_its_own_address(void **state)
{
	(void)state;
	struct wire *w = only_ipv6();
	found(w);
	wire_know(w, A, B, &w->nodes[B].addr, "all");
	wire_know(w, B, A, NULL, "all");
	wire_send(w, A, B, 1, 100);
	wire_run(w, OV_SEC);
	assert_int_equal(wire_got(w, A, B, 1, 100), 1);
	struct candidate_info known[4];
	assert_int_equal(node_peer_candidates(w->nodes[A].node, &w->nodes[B].id.id, known, 4), 1);
	assert_true(addr_equal(&known[0].addr, &w->nodes[B].addr));
	assert_string_equal(known[0].state, "answers");
	size_t told = 0;
	for (size_t i = 0; i < w->nodes[A].event_count; i++) {
		const struct node_event *e = &w->nodes[A].events[i];
		if (e->type != NODE_ENDPOINT)
			continue;
		assert_true(addr_is_v4(&e->addr)); /* what is stored must be good elsewhere */
		told++;
	}
	assert_true(told >= 2);
	wire_free(w);
}

static void a_network_with_ipv4_needs_none(void **state)
{
	(void)state;
	struct wire *w = only_ipv6();
	found(w);
	wire_know(w, A, B, &w->nodes[B].addr, "all");
	wire_know(w, B, A, NULL, "all");
	wire_send(w, A, B, 1, 100);
	wire_run(w, OV_SEC);
	wire_set_address(w, A, addr_v4(198, 51, 102, 10, 27182));
	assert_false(node_wants_nat64(w->nodes[A].node));
	assert_int_equal(node_nat64(w->nodes[A].node)->bits, 0);
	wire_run(w, OV_SEC);
	wire_send(w, A, B, 2, 100);
	wire_run(w, OV_SEC);
	assert_int_equal(wire_got(w, A, B, 2, 100), 1);
	assert_true(wire_uses(w, A, B, w->nodes[B].addr));
	wire_set_address(w, A, addr("2001:db8::10", 27182)); /* and back */
	wire_run(w, OV_SEC);
	wire_send(w, A, B, 3, 100);
	wire_run(w, OV_SEC);
	assert_int_equal(wire_got(w, A, B, 3, 100), 1);
	wire_free(w);
}

/* Nobody's private address is asked for through somebody else's router. */
static void only_global_addresses_are_translated(void **state)
{
	(void)state;
	struct wire *w = only_ipv6();
	struct node *n = w->nodes[A].node;
	found(w);
	struct ov_addr global = addr_v4(198, 51, 100, 9, 1);
	struct ov_addr private = addr_v4(192, 168, 1, 1, 1), local = addr_v4(127, 0, 0, 1, 1);
	struct ov_addr six = addr("2001:db8::9", 1);
	struct ov_addr target = network_target(n, &global);
	assert_false(addr_is_v4(&target));
	struct ov_addr back = network_plain(n, &target);
	assert_true(addr_equal(&back, &global));
	target = network_target(n, &private);
	assert_true(addr_equal(&target, &private));
	target = network_target(n, &local);
	assert_true(addr_equal(&target, &local));
	target = network_target(n, &six);
	assert_true(addr_equal(&target, &six));
	back = network_plain(n, &six);
	assert_true(addr_equal(&back, &six));
	wire_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_facilitator_of_ipv4_is_reached),
		cmocka_unit_test(a_peer_of_ipv4_is_met_and_known_by_its_own_address),
		cmocka_unit_test(a_network_with_ipv4_needs_none),
		cmocka_unit_test(only_global_addresses_are_translated),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
