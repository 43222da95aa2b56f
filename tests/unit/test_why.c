/* `overlay why`: the reasons that need a state of their own. The plain ones are in test_relay.c,
 * the captive portal in test_dial.c. */
#include "tests/unit/relay_world.h"

#include "overlay/meet.h"

static struct why why(const struct wire *w, size_t a, size_t b)
{
	struct why found;
	assert_true(node_why(w->nodes[a].node, w->now, &w->nodes[b].id.id, &found));
	assert_true(strlen(found.text) > 20 && strlen(found.text) < WHY_TEXT_MAX - 1);
	return found;
}

/* What a second port of the facilitator would have told; the first one sees us as we are. */
static void tell_nat(struct wire *w, size_t i, bool is_hard)
{
	struct node *n = w->nodes[i].node;
	struct nat_sample s = { .observer = w->nodes[F].addr,
		.observed = is_hard ? addr_v4(203, 0, 113, (uint8_t)i, 40001) : w->nodes[i].addr,
		.local_port = 27182 };
	s.observer.port++;
	nat_add(&n->nat[0], &s);
	nat_set_filtering(&n->nat[0], NAT_FILTERING_ADDRESS_PORT_DEPENDENT, false);
}

static void talk(struct wire *w, unsigned seconds)
{
	for (unsigned i = 0; i < seconds; i++) {
		wire_send(w, A, B, 1000 + i, 100);
		wire_run(w, OV_SEC);
	}
}

static void two_hard_sides(void **state)
{
	(void)state;
	struct wire *w = relayed_world();
	tell_nat(w, A, true);
	tell_nat(w, B, true);
	talk(w, 10);
	assert_string_equal(why(w, A, B).code, "double-hard");
	assert_string_equal(why(w, B, A).code, "double-hard");
	tell_nat(w, A, false); /* moved behind a better one */
	meet_moved(w->nodes[A].node, w->now);
	talk(w, 5);
	assert_string_not_equal(why(w, A, B).code, "double-hard");
	wire_free(w);
}

static void two_bursts_in_vain(void **state)
{
	(void)state;
	struct wire *w = relayed_world();
	tell_nat(w, A, false);
	tell_nat(w, B, true);
	talk(w, 10);
	assert_string_equal(why(w, A, B).code, "peer-silent");
	talk(w, 150);
	assert_string_equal(why(w, A, B).code, "budget");
	assert_string_equal(why(w, B, A).code, "budget");
	wire_run(w, 3600 * OV_SEC);
	assert_string_not_equal(why(w, A, B).code, "budget");
	wire_free(w);
}

static void addresses_of_somebody_elses_network(void **state)
{
	(void)state;
	struct wire *w = wire_new(2);
	wire_set_address(w, A, addr_v4(192, 168, 1, 10, 27182));
	wire_know(w, A, B, NULL, "all");
	struct ov_addr theirs = addr_v4(10, 9, 9, 9, 27182);
	node_candidate(w->nodes[A].node, w->now, &w->nodes[B].id.id, &theirs, SOURCE_CACHE);
	wire_send(w, A, B, 1, 100);
	wire_run(w, OV_SEC);
	assert_string_equal(why(w, A, B).code, "policy");
	struct ov_addr global = addr_v4(198, 51, 100, 99, 27182);
	node_candidate(w->nodes[A].node, w->now, &w->nodes[B].id.id, &global, SOURCE_CACHE);
	wire_run(w, OV_SEC);
	assert_string_equal(why(w, A, B).code, "peer-silent");
	wire_free(w);
}

static void a_facilitator_that_refuses(void **state)
{
	(void)state;
	struct wire *w = world();
	restart_as(w, F, FACILITATOR_OFF);
	wire_know(w, F, A, NULL, "icmp"); /* a contact, but not to be relayed for */
	struct ov_addr somewhere = addr_v4(198, 51, 100, 99, 27182);
	node_candidate(w->nodes[A].node, w->now, &w->nodes[B].id.id, &somewhere, SOURCE_CACHE);
	wire_run(w, 300 * OV_SEC);
	assert_int_equal(registration(w, A)->refused, RELAY_REASON_DENIED);
	wire_send(w, A, B, 1, 100);
	wire_run(w, OV_SEC);
	assert_string_equal(why(w, A, B).code, "policy");
	wire_free(w);
}

static bool loses_long_ones(struct wire *w, struct flight *f)
{
	(void)w;
	return f->len <= 1000;
}

static void a_network_that_loses_long_datagrams(void **state)
{
	(void)state;
	struct wire *w = wire_new(2);
	meet(w, A, B);
	assert_string_equal(why(w, A, B).code, "direct");
	w->hook = loses_long_ones;
	for (uint32_t i = 0; i < 10; i++) {
		wire_send(w, A, B, 10 + i, 1200);
		wire_run(w, OV_SEC);
	}
	struct why said = why(w, A, B);
	assert_string_equal(said.code, "mtu");
	assert_non_null(strstr(said.text, "bytes"));
	w->hook = NULL;
	talk(w, 700); /* the search is repeated */
	assert_string_equal(why(w, A, B).code, "direct");
	wire_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(two_hard_sides),
		cmocka_unit_test(two_bursts_in_vain),
		cmocka_unit_test(addresses_of_somebody_elses_network),
		cmocka_unit_test(a_facilitator_that_refuses),
		cmocka_unit_test(a_network_that_loses_long_datagrams),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
