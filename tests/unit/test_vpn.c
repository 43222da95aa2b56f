/* A full-tunnel VPN on the machine of 0: what the kernel sends by itself leaves from the tunnel's
 * address, which is none of ours; what is sent from the address at home may or may not get out. */
#include "tests/unit/relay_world.h"

static const uint8_t vpn_ip[4] = { 203, 0, 113, 8 };
static bool home_is_shut; /* to what leaves; what comes in comes in */
static bool it_says_so;   /* our kernel does, to us */

static struct ov_addr vpn(void)
{
	return addr_v4(vpn_ip[0], vpn_ip[1], vpn_ip[2], vpn_ip[3], 27182);
}

static struct ov_addr home(void)
{
	return addr_v4(198, 51, 101, 10, 27182);
}

static bool shut(struct wire *w, struct flight *f)
{
	(void)w;
	struct ov_addr h = home();
	return !(home_is_shut && addr_same_ip(&f->from, &h));
}

static void refuse(struct wire *w)
{
	struct dgram refused = { .carrier = CARRIER_UDP,
		.interface = 1,
		.local = home(),
		.remote = w->nodes[B].addr,
		.len = 100,
		.segment = 100 };
	node_send_failed(w->nodes[A].node, w->now, &refused, false);
	wire_drain(w, A);
}

static void locals(struct wire *w, bool has_default_route)
{
	struct local_address local = { .addr = home(),
		.interface = 1,
		.prefix_len = 24,
		.has_default_route = has_default_route };
	node_network_changed(w->nodes[A].node, w->now, &local, 1, false);
	wire_drain(w, A);
}

/* A and B meet at home; F is a facilitator of A's if asked for. */
static struct wire *at_home(bool facilitator)
{
	struct wire *w = wire_new(3);
	home_is_shut = it_says_so = false;
	w->hook = shut;
	restart_as(w, F, FACILITATOR_OPEN);
	set_address(w, A, home());
	set_address(w, B, addr_v4(198, 51, 102, 10, 27182));
	if (facilitator)
		wire_use_facilitator(w, A, F);
	meet(w, A, B);
	return w;
}

/* shuts: nothing leaves beside the tunnel. */
static void vpn_goes_up(struct wire *w, bool shuts)
{
	w->nodes[A].old = w->nodes[A].addr;
	w->nodes[A].answers_from_old = true;
	w->nodes[A].addr = vpn();
	home_is_shut = shuts;
}

static void vpn_goes_down(struct wire *w)
{
	w->nodes[A].addr = home();
	w->nodes[A].old = (struct ov_addr){ .port = 0 };
	w->nodes[A].answers_from_old = home_is_shut = false;
}

/* Of one packet each 10 ms, and one back for each that came, how many are lost in a second? */
static size_t lost(struct wire *w, uint32_t tag)
{
	size_t count = 0;
	for (uint32_t i = 0; i < 100; i++) {
		wire_send(w, A, B, tag + i, 64);
		struct peer_info info = wire_info(w, A, B);
		struct ov_addr h = home();
		if (it_says_so && addr_same_ip(&info.active.local, &h))
			refuse(w);
		if (i > 1 && wire_got(w, A, B, tag + i - 2, 64))
			wire_send(w, B, A, tag + i - 2, 64);
		wire_run(w, 10 * OV_MS);
	}
	wire_run(w, 100 * OV_MS);
	for (uint32_t i = 0; i < 98; i++)
		count += wire_got(w, B, A, tag + i, 64) ? 0u : 1u;
	return count;
}

static void leaves_from(const struct wire *w, const struct ov_addr *a)
{
	struct peer_info info = wire_info(w, A, B);
	assert_true(addr_same_ip(&info.active.local, a));
}

static void tells_nothing_of_the_tunnel(const struct wire *w)
{
	struct ov_addr own[16], tunnel = vpn();
	size_t count = node_own_addresses(w->nodes[A].node, own, 16);
	assert_true(count > 0);
	for (size_t i = 0; i < count; i++)
		assert_false(addr_same_ip(&own[i], &tunnel));
}

static void beside_it_nothing_changes(void **state)
{
	(void)state;
	struct wire *w = at_home(true);
	vpn_goes_up(w, false);
	assert_int_equal(lost(w, 1000), 0);
	locals(w, true); /* told of the tunnel, or of anything else */
	assert_int_equal(lost(w, 2000), 0);
	leaves_from(w, &w->nodes[A].old);
	tells_nothing_of_the_tunnel(w);
	vpn_goes_down(w);
	assert_int_equal(lost(w, 3000), 0);
	wire_free(w);
}

static void another_default_route_takes_the_session_along(void **state)
{
	(void)state;
	struct wire *w = at_home(true);
	vpn_goes_up(w, true);
	locals(w, false);
	assert_in_range(lost(w, 1000), 0, 10);
	leaves_from(w, &w->nodes[A].addr);
	tells_nothing_of_the_tunnel(w);
	vpn_goes_down(w);
	locals(w, true);
	assert_in_range(lost(w, 2000), 0, 10);
	leaves_from(w, &w->nodes[A].addr);
	wire_free(w);
}

/* Nobody tells of it but the kernel, which refuses what would leave. */
static void a_kill_switch_is_noticed_by_its_refusal(void **state)
{
	(void)state;
	struct wire *w = at_home(true);
	vpn_goes_up(w, true);
	it_says_so = true;
	assert_in_range(lost(w, 1000), 0, 10);
	leaves_from(w, &w->nodes[A].addr);
	wire_free(w);
}

/* And if it does not even refuse: when nothing comes any more. */
static void a_silent_one_by_silence(void **state)
{
	(void)state;
	struct wire *w = at_home(false);
	vpn_goes_up(w, true);
	assert_in_range(lost(w, 1000), 20, 98); /* 0.4 s of silence, three questions */
	assert_in_range(lost(w, 2000), 0, 2);
	wire_free(w);
}

/* A way that was the kernel's choice already is not asked as if it were another. */
static void the_same_way_is_one_path(void **state)
{
	(void)state;
	struct wire *w = at_home(false);
	for (int i = 0; i < 20; i++) { /* a firewall that is full now and then */
		refuse(w);
		assert_int_equal(lost(w, 1000u + 200u * (uint32_t)i), 0);
	}
	assert_int_equal(wire_info(w, A, B).path_count, 1);
	wire_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(beside_it_nothing_changes),
		cmocka_unit_test(another_default_route_takes_the_session_along),
		cmocka_unit_test(a_kill_switch_is_noticed_by_its_refusal),
		cmocka_unit_test(a_silent_one_by_silence),
		cmocka_unit_test(the_same_way_is_one_path),
	};
	return cmocka_run_group_tests_name("vpn", tests, NULL, NULL);
}
