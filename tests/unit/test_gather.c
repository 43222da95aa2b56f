/* When the loop rests so that datagrams come in batches, and when nothing may wait. */
#include "tests/unit/seeded.h"

#include "overlay/gather.h"

struct load { /* what each turn brings */
	ov_time gap;
	uint64_t datagrams, bytes, packets, controls;
};

static const struct load keepalives = {
	.gap = 2 * OV_MS, .datagrams = 1, .bytes = 75, .controls = 1
};

/* Turns of this load for so long. Returns the longest rest. */
static ov_time play(struct gather *g, struct node_counters *c, ov_time *now,
	const struct load *load, ov_time span)
{
	ov_time longest = 0;
	for (ov_time until = *now + span; *now < until;) {
		c->datagrams_in += load->datagrams;
		c->bytes_in += load->bytes;
		c->packets_in += load->packets;
		c->controls_in += load->controls;
		*now += load->gap;
		longest = ov_max(longest, gather_rest(g, *now, c));
	}
	return longest;
}

static void keepalives_of_thousands_gather(void **state)
{
	(void)state;
	struct gather g = { 0 };
	struct node_counters c = { 0 };
	ov_time now = 1000 * OV_SEC;
	play(&g, &c, &now, &keepalives, 3 * OV_SEC);
	assert_int_equal(gather_rest(&g, now, &c), GATHER_QUIET);
	struct load rare = { .gap = 20 * OV_MS, .datagrams = 1, .bytes = 75, .controls = 1 };
	play(&g, &c, &now, &rare, 2 * OV_SEC);
	assert_int_equal(play(&g, &c, &now, &rare, 10 * OV_SEC), 0);
}

static void data_or_a_ping_end_it_at_once(void **state)
{
	(void)state;
	struct gather g = { 0 };
	struct node_counters c = { 0 };
	ov_time now = 1000 * OV_SEC;
	for (unsigned i = 0; i < 5; i++) {
		play(&g, &c, &now, &keepalives, 20 * OV_SEC);
		assert_int_equal(gather_rest(&g, now, &c), GATHER_QUIET);
		c.packets_in += i == 0;
		c.packets_out += i == 1;
		c.pings += i == 2;
		g.requests += i == 3;
		c.numbered += i == 4; /* a stream is no keepalive, though its packets are CONTROL */
		assert_int_equal(gather_rest(&g, now, &c), 0);
		assert_int_equal(
			play(&g, &c, &now, &keepalives, GATHER_QUIET_AFTER - 10 * OV_MS), 0);
	}
}

/* A socket that fills at this rate, read as the pump reads it: 64 a turn, 4 us each. Returns the
 * most that waited in it once everything had settled. */
static uint64_t play_socket(uint64_t per_second, bool authentic)
{
	struct gather g = { 0 };
	struct node_counters c = { 0 };
	ov_time now = 1000 * OV_SEC, start = now;
	uint64_t came = 0, read = 0, most = 0;
	while (now < start + 30 * OV_SEC) {
		came = (uint64_t)((now - start) / OV_US) * per_second / 1000000;
		uint64_t waiting = came - read, batch = waiting < 64 ? waiting : 64;
		if (now > start + 5 * OV_SEC && waiting > most)
			most = waiting;
		if (batch == 0) {
			now += OV_SEC / (ov_time)per_second;
			continue;
		}
		read += batch;
		c.datagrams_in += batch;
		c.bytes_in += 100 * batch;
		c.controls_in += authentic ? batch : 0;
		now += (ov_time)batch * 4 * OV_US;
		now += gather_rest(&g, now, &c);
	}
	return most;
}

/* A flood, or peers that all call at once: no rest may let the socket fill. */
static void no_rate_fills_the_socket(void **state)
{
	(void)state;
	static const uint64_t rates[] = { 150, 700, 1500, 2000, 3000, 5000, 10000, 20000, 35000,
		60000, 120000 };
	for (size_t i = 0; i < sizeof(rates) / sizeof(rates[0]); i++) {
		uint64_t most = play_socket(rates[i], true);
		if (most > 64)
			fail_msg("%llu datagrams waited at %llu a second", (unsigned long long)most,
				(unsigned long long)rates[i]);
	}
}

static void junk_alone_changes_nothing(void **state)
{
	(void)state;
	struct gather g = { 0 };
	struct node_counters c = { 0 };
	ov_time now = 1000 * OV_SEC;
	struct load junk = { .gap = 2 * OV_MS, .datagrams = 1, .bytes = 75 };
	assert_int_equal(play(&g, &c, &now, &junk, 20 * OV_SEC), 0);
}

static void many_small_packets_gather_and_large_ones_do_not(void **state)
{
	(void)state;
	struct gather g = { 0 };
	struct node_counters c = { 0 };
	ov_time now = 1000 * OV_SEC;
	struct load small = { 20 * OV_US, 1, 100, 1, 0 }, large = { 20 * OV_US, 1, 1400, 1, 0 };
	assert_int_equal(play(&g, &c, &now, &small, 20 * OV_MS), GATHER_SMALL);
	play(&g, &c, &now, &large, 5 * OV_MS);
	assert_int_equal(play(&g, &c, &now, &large, 20 * OV_MS), 0);
	struct load slow = { 100 * OV_US, 1, 100, 1, 0 };
	assert_int_equal(play(&g, &c, &now, &slow, 20 * OV_MS), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(keepalives_of_thousands_gather),
		cmocka_unit_test(data_or_a_ping_end_it_at_once),
		cmocka_unit_test(no_rate_fills_the_socket),
		cmocka_unit_test(junk_alone_changes_nothing),
		cmocka_unit_test(many_small_packets_gather_and_large_ones_do_not),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
