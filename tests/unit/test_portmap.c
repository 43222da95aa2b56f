/* Which protocol is asked when, and what becomes of a lease, on a virtual clock. */
#include "tests/unit/seeded.h"

#include "core/bytes.h"
#include "discovery/portmap.h"

static uint64_t seed = 5;
static const struct rng rng = { .fill = seeded_fill, .context = &seed };
static const uint8_t secret[32] = { 7 };

struct bench {
	struct portmap p;
	ov_time now;
	struct portmap_route route;
	struct portmap_action action;
	uint32_t epoch;
};

static void open_bench(struct bench *b)
{
	*b = (struct bench){ .now = 1000 * OV_SEC,
		.route = { .local = addr_v4(192, 168, 1, 9, 0),
			.gateway = addr_v4(192, 168, 1, 1, 0),
			.interface = 2,
			.prefix_len = 24 },
		.epoch = 500 };
	portmap_init(&b->p, secret, 27182, rng);
	assert_int_equal(portmap_deadline(&b->p), OV_NEVER);
	portmap_network(&b->p, b->now, &b->route, false);
}

static void wait_for(struct bench *b, ov_time span)
{
	b->now += span;
	b->epoch += (uint32_t)(span / OV_SEC);
	portmap_tick(&b->p, b->now);
}

/* Goes to the next deadline, which comes after `low` and not after `high`. */
static void to_deadline(struct bench *b, ov_time low, ov_time high)
{
	ov_time span = portmap_deadline(&b->p) - b->now;
	assert_true(span > low && span <= high);
	wait_for(b, span);
}

static bool said(struct bench *b)
{
	return portmap_poll(&b->p, b->now, &b->action);
}

static void expect_map(struct bench *b)
{
	assert_true(said(b));
	assert_false(b->action.is_job);
	assert_int_equal(b->action.len, PCP_MAP_LEN);
	assert_int_equal(b->action.data[1], PCP_MAP);
}

static void expect_job(struct bench *b, enum portmap_op op)
{
	assert_true(said(b));
	assert_true(b->action.is_job);
	assert_int_equal(b->action.job.op, op);
	assert_int_equal(b->action.job.local.port, 27182);
	struct portmap_action none;
	assert_false(portmap_poll(&b->p, b->now, &none));
}

/* The router answers the MAP that was polled last. */
static enum drop answer_map(struct bench *b, uint8_t result, uint32_t life_s, struct ov_addr to)
{
	uint8_t data[PCP_MAP_LEN];
	memcpy(data, b->action.data, sizeof(data));
	data[1] |= 0x80;
	data[2] = 0;
	data[3] = result;
	store_be32(data + 4, life_s);
	store_be32(data + 8, b->epoch);
	memset(data + 12, 0, 12);
	if (result == PCP_SUCCESS) {
		store_be16(data + 42, to.port);
		memcpy(data + 44, to.ip, 16);
	}
	return portmap_input(&b->p, b->now, data, sizeof(data), false);
}

static struct ov_addr outside(uint16_t port)
{
	return addr_v4(45, 1, 2, 3, port);
}

static void get_by_pcp(struct bench *b)
{
	expect_map(b);
	assert_int_equal(answer_map(b, PCP_SUCCESS, 7200, outside(5000)), DROP_NONE);
	assert_int_equal(b->p.status.state, PORTMAP_HELD);
	assert_false(said(b));
}

static void answer_job(struct bench *b, enum portmap_result result, struct ov_addr external)
{
	struct portmap_answer a = { .id = b->action.job.id,
		.result = result,
		.external = external,
		.lifetime_s = 3600,
		.code = result == PORTMAP_REFUSED ? 718 : 0 };
	portmap_answer(&b->p, b->now, &a);
}

static void pcp_is_asked_first_and_held(void **state)
{
	(void)state;
	struct bench b;
	open_bench(&b);
	assert_true(portmap_changed(&b.p));
	get_by_pcp(&b);
	const struct portmap_status *s = &b.p.status;
	struct ov_addr want = outside(5000);
	assert_true(portmap_changed(&b.p));
	assert_false(portmap_changed(&b.p));
	assert_int_equal(s->protocol, PORTMAP_PCP);
	assert_true(addr_equal(&s->external, &want));
	assert_int_equal(s->expires_at, b.now + 7200 * OV_SEC);
	assert_false(s->double_nat);
	assert_int_equal(s->error, PORTMAP_ERR_NONE);
}

static void the_lease_is_renewed_at_half(void **state)
{
	(void)state;
	struct bench b;
	open_bench(&b);
	get_by_pcp(&b);
	portmap_changed(&b.p);
	ov_time start = b.now;
	while (!said(&b) || b.action.len != PCP_MAP_LEN) /* ANNOUNCE every ten minutes */
		to_deadline(&b, 0, 600 * OV_SEC);
	assert_in_range((b.now - start) / OV_SEC, 3600, 4050);
	struct ov_addr want = outside(5000);
	assert_memory_equal(b.action.data + 44, want.ip, 16); /* suggests what it has */
	assert_int_equal(answer_map(&b, PCP_SUCCESS, 7200, want), DROP_NONE);
	assert_int_equal(b.p.status.expires_at, b.now + 7200 * OV_SEC);
	assert_false(portmap_changed(&b.p)); /* the same endpoint: no news */
}

/* Nothing answers any more: asked ever sooner, kept to the end, then searched anew. */
static void a_lease_ends_when_nobody_renews_it(void **state)
{
	(void)state;
	struct bench b;
	open_bench(&b);
	get_by_pcp(&b);
	ov_time end = b.p.status.expires_at;
	unsigned maps = 0;
	while (b.p.status.state == PORTMAP_HELD) {
		to_deadline(&b, 0, 600 * OV_SEC);
		while (b.p.status.state == PORTMAP_HELD && said(&b))
			maps += b.action.len == PCP_MAP_LEN;
	}
	assert_int_equal(b.now, end);
	assert_in_range(maps, 12, 60);
	assert_int_equal(b.p.status.state, PORTMAP_SEARCHING);
	expect_map(&b); /* what worked is asked first */
}

static void three_sends_then_the_next_protocol_then_silence(void **state)
{
	(void)state;
	struct bench b;
	open_bench(&b);
	ov_time start = b.now;
	static const int at_ms[] = { 0, 250, 750 };
	for (size_t i = 0; i < 3; i++) {
		expect_map(&b);
		assert_int_equal((b.now - start) / OV_MS, at_ms[i]);
		assert_false(said(&b));
		to_deadline(&b, 0, OV_SEC);
	}
	assert_int_equal((b.now - start) / OV_MS, 1750);
	expect_job(&b, PORTMAP_OP_NATPMP);
	answer_job(&b, PORTMAP_SILENT, (struct ov_addr){ 0 });
	expect_job(&b, PORTMAP_OP_UPNP);
	answer_job(&b, PORTMAP_SILENT, (struct ov_addr){ 0 });
	assert_false(said(&b));
	assert_int_equal(b.p.status.state, PORTMAP_NONE);
	assert_int_equal(b.p.status.error, PORTMAP_ERR_SILENT);
	to_deadline(&b, 530 * OV_SEC, 670 * OV_SEC); /* ten minutes, give or take a tenth */
	expect_map(&b);
	assert_int_equal(b.p.status.state, PORTMAP_SEARCHING);
}

static void what_worked_is_asked_first(void **state)
{
	(void)state;
	struct bench b;
	open_bench(&b);
	expect_map(&b);
	portmap_unreachable(&b.p, b.now); /* nobody at 5351: no NAT-PMP either */
	expect_job(&b, PORTMAP_OP_UPNP);
	answer_job(&b, PORTMAP_DONE, outside(6000));
	assert_int_equal(b.p.status.protocol, PORTMAP_UPNP);
	to_deadline(&b, 1799 * OV_SEC, 2026 * OV_SEC);
	expect_job(&b, PORTMAP_OP_UPNP);
	assert_int_equal(b.action.job.external_port, 6000);
	answer_job(&b, PORTMAP_REFUSED, (struct ov_addr){ 0 }); /* a no is not waited out */
	assert_int_equal(b.p.status.state, PORTMAP_SEARCHING);
	expect_job(&b, PORTMAP_OP_UPNP);
	answer_job(&b, PORTMAP_REFUSED, (struct ov_addr){ 0 });
	expect_map(&b);

	b.route.local = addr_v4(192, 168, 1, 10, 0); /* same router, new address */
	portmap_network(&b.p, b.now, &b.route, false);
	expect_job(&b, PORTMAP_OP_UPNP);
	b.route.gateway = addr_v4(192, 168, 1, 254, 0);
	portmap_network(&b.p, b.now, &b.route, false);
	expect_map(&b);
}

static void a_server_of_natpmp_is_asked_that(void **state)
{
	(void)state;
	static const uint8_t old[8] = { 0, 0x81, 0, 1, 0, 0, 0, 9 };
	struct bench b;
	open_bench(&b);
	expect_map(&b);
	assert_int_equal(portmap_input(&b.p, b.now, old, sizeof(old), false), DROP_NONE);
	expect_job(&b, PORTMAP_OP_NATPMP);
	assert_int_equal(portmap_input(&b.p, b.now, old, sizeof(old), false), DROP_TOKEN);
	answer_job(&b, PORTMAP_DONE, outside(27182));
	assert_int_equal(b.p.status.protocol, PORTMAP_NATPMP);
}

static void announce(struct bench *b, uint32_t epoch, enum drop want)
{
	uint8_t data[PCP_ANNOUNCE_LEN] = { 2, 0x80 };
	store_be32(data + 8, epoch);
	assert_int_equal(portmap_input(&b->p, b->now, data, sizeof(data), true), want);
}

static void a_lost_epoch_renews_at_once(void **state)
{
	(void)state;
	struct bench b;
	open_bench(&b);
	get_by_pcp(&b);
	wait_for(&b, 100 * OV_SEC);
	announce(&b, b.epoch, DROP_NONE); /* goes on as it should */
	assert_false(said(&b));
	wait_for(&b, 10 * OV_SEC);
	announce(&b, 3, DROP_NONE); /* has just started */
	expect_map(&b);
	announce(&b, 3, DROP_RATE);
	b.epoch = 3;
	assert_int_equal(answer_map(&b, PCP_SUCCESS, 7200, outside(5001)), DROP_NONE);
	struct ov_addr want = outside(5001);
	assert_true(addr_equal(&b.p.status.external, &want));
	announce(&b, 3, DROP_RATE); /* the announcement is repeated ten times */
	assert_false(said(&b));

	/* the answer to our own ANNOUNCE, of a router that restarted unheard */
	while (!said(&b))
		to_deadline(&b, 0, 600 * OV_SEC);
	assert_int_equal(b.action.len, PCP_ANNOUNCE_LEN);
	uint8_t data[PCP_ANNOUNCE_LEN] = { 2, 0x80, [11] = 9 };
	assert_int_equal(portmap_input(&b.p, b.now, data, sizeof(data), false), DROP_NONE);
	expect_map(&b);
}

/* Who says nothing, or not this, changes nothing. */
static void answers_of_others_are_dropped(void **state)
{
	(void)state;
	struct bench b;
	open_bench(&b);
	expect_map(&b);
	b.action.data[24] ^= 1; /* nonce */
	assert_int_equal(answer_map(&b, PCP_SUCCESS, 7200, outside(1)), DROP_TOKEN);
	b.action.data[24] ^= 1;
	b.action.data[41] ^= 1; /* port */
	assert_int_equal(answer_map(&b, PCP_SUCCESS, 7200, outside(1)), DROP_TOKEN);
	b.action.data[41] ^= 1;
	struct portmap_answer a = { .id = b.p.job, .external = outside(9) };
	portmap_answer(&b.p, b.now, &a); /* no job is out */
	assert_int_equal(b.p.status.state, PORTMAP_SEARCHING);
	assert_int_equal(answer_map(&b, PCP_SUCCESS, 7200, outside(1)), DROP_NONE);
	assert_int_equal(answer_map(&b, PCP_SUCCESS, 7200, outside(2)), DROP_TOKEN); /* once */
}

static void bad_mappings_are_no_mappings(void **state)
{
	(void)state;
	static const struct {
		uint8_t a, b, c, d;
		uint16_t port;
		uint32_t life_s;
	} bad[] = { { 0, 0, 0, 0, 1, 7200 }, { 224, 0, 0, 1, 1, 7200 }, { 127, 0, 0, 1, 1, 7200 },
		{ 45, 1, 2, 3, 0, 7200 }, { 45, 1, 2, 3, 1, 59 }, { 45, 1, 2, 3, 1, 0 } };
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct bench b;
		open_bench(&b);
		expect_map(&b);
		answer_map(&b, PCP_SUCCESS, bad[i].life_s,
			addr_v4(bad[i].a, bad[i].b, bad[i].c, bad[i].d, bad[i].port));
		assert_int_equal(b.p.status.state, PORTMAP_SEARCHING);
		expect_job(&b, PORTMAP_OP_NATPMP);
	}
}

static void a_private_outside_is_double_nat(void **state)
{
	(void)state;
	static const struct {
		uint8_t a, b;
		bool want;
	} cases[] = { { 10, 0, true }, { 172, 16, true }, { 192, 168, true }, { 100, 64, true },
		{ 100, 127, true }, { 169, 254, true }, { 100, 128, false }, { 45, 0, false } };
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct bench b;
		open_bench(&b);
		expect_map(&b);
		answer_map(&b, PCP_SUCCESS, 7200, addr_v4(cases[i].a, cases[i].b, 1, 1, 77));
		assert_int_equal(b.p.status.state, PORTMAP_HELD);
		assert_int_equal(b.p.status.double_nat, cases[i].want);
	}
	struct bench b; /* one that refuses for that reason, and says its address */
	open_bench(&b);
	expect_map(&b);
	answer_map(&b, PCP_NO_RESOURCES, 30, (struct ov_addr){ 0 });
	expect_job(&b, PORTMAP_OP_NATPMP);
	answer_job(&b, PORTMAP_REFUSED, (struct ov_addr){ 0 });
	expect_job(&b, PORTMAP_OP_UPNP);
	answer_job(&b, PORTMAP_REFUSED, addr_v4(100, 64, 0, 2, 0));
	assert_int_equal(b.p.status.state, PORTMAP_NONE);
	assert_int_equal(b.p.status.error, PORTMAP_ERR_DOUBLE_NAT);
	assert_true(b.p.status.double_nat);
	open_bench(&b); /* or says that it has none */
	expect_map(&b);
	portmap_unreachable(&b.p, b.now);
	expect_job(&b, PORTMAP_OP_UPNP);
	answer_job(&b, PORTMAP_REFUSED, addr_v4(0, 0, 0, 0, 0));
	assert_int_equal(b.p.status.error, PORTMAP_ERR_DOUBLE_NAT);
	open_bench(&b); /* or refuses for a reason of its own */
	expect_map(&b);
	portmap_unreachable(&b.p, b.now);
	expect_job(&b, PORTMAP_OP_UPNP);
	answer_job(&b, PORTMAP_REFUSED, outside(0));
	assert_int_equal(b.p.status.error, PORTMAP_ERR_REFUSED);
	assert_false(b.p.status.double_nat);
}

static void a_refusal_may_ask_for_more_silence(void **state)
{
	(void)state;
	struct bench b;
	open_bench(&b);
	expect_map(&b);
	answer_map(&b, PCP_NOT_AUTHORIZED, 1800, (struct ov_addr){ 0 });
	expect_job(&b, PORTMAP_OP_NATPMP);
	answer_job(&b, PORTMAP_SILENT, (struct ov_addr){ 0 });
	expect_job(&b, PORTMAP_OP_UPNP);
	answer_job(&b, PORTMAP_SILENT, (struct ov_addr){ 0 });
	assert_int_equal(b.p.status.error, PORTMAP_ERR_REFUSED);
	assert_int_equal(b.p.status.code, PCP_NOT_AUTHORIZED);
	to_deadline(&b, 1799 * OV_SEC, 1800 * OV_SEC);
	expect_map(&b);
	answer_map(&b, PCP_NOT_AUTHORIZED, UINT32_MAX, (struct ov_addr){ 0 });
	portmap_child_gone(&b.p, b.now);
	portmap_child_gone(&b.p, b.now);
	to_deadline(&b, 3599 * OV_SEC, 3600 * OV_SEC);
}

static void without_a_child_pcp_remains(void **state)
{
	(void)state;
	struct bench b;
	open_bench(&b);
	portmap_child_gone(&b.p, b.now); /* it is not what we wait for */
	get_by_pcp(&b);
	open_bench(&b);
	expect_map(&b);
	portmap_unreachable(&b.p, b.now);
	portmap_child_gone(&b.p, b.now);
	assert_int_equal(b.p.status.state, PORTMAP_NONE);
	assert_int_equal(b.p.status.error, PORTMAP_ERR_HELPER);
	open_bench(&b);
	expect_map(&b);
	portmap_unreachable(&b.p, b.now);
	expect_job(&b, PORTMAP_OP_UPNP);
	to_deadline(&b, 29 * OV_SEC, 30 * OV_SEC); /* a child that hangs */
	assert_int_equal(b.p.status.state, PORTMAP_NONE);
}

static void stop_gives_back_what_is_held(void **state)
{
	(void)state;
	struct bench b;
	open_bench(&b);
	get_by_pcp(&b);
	portmap_stop(&b.p, b.now);
	expect_map(&b);
	assert_int_equal(load_be32(b.action.data + 4), 0);
	assert_int_equal(load_be16(b.action.data + 42), 0); /* 15: no external port either */
	assert_false(said(&b));
	assert_int_equal(portmap_deadline(&b.p), OV_NEVER);

	open_bench(&b);
	expect_map(&b);
	portmap_unreachable(&b.p, b.now);
	expect_job(&b, PORTMAP_OP_UPNP);
	answer_job(&b, PORTMAP_DONE, outside(6000));
	portmap_stop(&b.p, b.now);
	expect_job(&b, PORTMAP_OP_UPNP);
	assert_int_equal(b.action.job.lifetime_s, 0);
	assert_int_equal(b.action.job.external_port, 6000);

	open_bench(&b);
	portmap_stop(&b.p, b.now); /* nothing held, nothing said */
	assert_false(said(&b));
}

static void only_what_a_router_can_help_is_asked_for(void **state)
{
	(void)state;
	struct bench b;
	open_bench(&b);
	get_by_pcp(&b);
	b.route.local = addr_v4(45, 1, 2, 9, 0); /* public: nothing to map */
	portmap_network(&b.p, b.now, &b.route, false);
	assert_int_equal(b.p.status.state, PORTMAP_OFF);
	assert_true(portmap_changed(&b.p));
	assert_false(said(&b));
	assert_int_equal(portmap_deadline(&b.p), OV_NEVER);
	b.route = (struct portmap_route){ 0 };
	portmap_network(&b.p, b.now, &b.route, false);
	assert_false(said(&b));
	b.route.local = (struct ov_addr){ .ip = { 0xfd } }; /* a ULA */
	b.route.gateway = (struct ov_addr){ .ip = { 0xfe, 0x80, [15] = 1 }, .scope = 2 };
	portmap_network(&b.p, b.now, &b.route, false);
	assert_false(said(&b));
	b.route.local.ip[0] = 0x2a;
	portmap_network(&b.p, b.now, &b.route, false);
	expect_map(&b);
	portmap_unreachable(&b.p, b.now);
	expect_job(&b, PORTMAP_OP_UPNP_PINHOLE); /* NAT-PMP knows no IPv6 */
}

static void doubt_asks_again(void **state)
{
	(void)state;
	struct bench b;
	open_bench(&b);
	get_by_pcp(&b);
	portmap_network(&b.p, b.now, &b.route, false);
	assert_false(said(&b));
	portmap_network(&b.p, b.now, &b.route, true);
	assert_false(said(&b)); /* it has just said so */
	wait_for(&b, 6 * OV_SEC);
	portmap_network(&b.p, b.now, &b.route, true); /* woke up */
	expect_map(&b);
	assert_int_equal(b.p.status.state, PORTMAP_HELD);
	portmap_network(&b.p, b.now, &b.route, true); /* it is asked already */
	assert_false(said(&b));

	open_bench(&b);
	expect_map(&b);
	portmap_unreachable(&b.p, b.now);
	portmap_child_gone(&b.p, b.now);
	assert_int_equal(b.p.status.state, PORTMAP_NONE);
	wait_for(
		&b, 59 * OV_SEC); /* a contact that lies of our address costs no search each time */
	assert_false(portmap_network(&b.p, b.now, &b.route, true));
	assert_false(said(&b));
	wait_for(&b, OV_SEC);
	portmap_network(&b.p, b.now, &b.route, true);
	expect_map(&b);
}

/* The same machine says the same nonce after a crash, or its router would refuse it for 2 hours. */
static void the_nonce_survives_a_restart(void **state)
{
	(void)state;
	struct bench a, b;
	open_bench(&a);
	open_bench(&b);
	expect_map(&a);
	expect_map(&b);
	assert_memory_equal(a.action.data + 24, b.action.data + 24, PCP_NONCE_LEN);
	b.route.local = addr_v4(192, 168, 1, 10, 0);
	portmap_network(&b.p, b.now, &b.route, false);
	expect_map(&b);
	assert_memory_not_equal(a.action.data + 24, b.action.data + 24, PCP_NONCE_LEN);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pcp_is_asked_first_and_held),
		cmocka_unit_test(the_lease_is_renewed_at_half),
		cmocka_unit_test(a_lease_ends_when_nobody_renews_it),
		cmocka_unit_test(three_sends_then_the_next_protocol_then_silence),
		cmocka_unit_test(what_worked_is_asked_first),
		cmocka_unit_test(a_server_of_natpmp_is_asked_that),
		cmocka_unit_test(a_lost_epoch_renews_at_once),
		cmocka_unit_test(answers_of_others_are_dropped),
		cmocka_unit_test(bad_mappings_are_no_mappings),
		cmocka_unit_test(a_private_outside_is_double_nat),
		cmocka_unit_test(a_refusal_may_ask_for_more_silence),
		cmocka_unit_test(without_a_child_pcp_remains),
		cmocka_unit_test(stop_gives_back_what_is_held),
		cmocka_unit_test(only_what_a_router_can_help_is_asked_for),
		cmocka_unit_test(doubt_asks_again),
		cmocka_unit_test(the_nonce_survives_a_restart),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
