/* When the loop rests so that datagrams come in batches, and when nothing may wait. */
#include "tests/unit/seeded.h"

#include "overlay/gather.h"

struct load { /* what each turn brings */
	ov_time gap;
	uint64_t datagrams, bytes, packets;
};

static const struct load keepalives = { .gap = 2 * OV_MS, .datagrams = 1, .bytes = 75 };

/* Turns of this load for so long. Returns the longest rest. */
static ov_time play(struct gather *g, struct node_counters *c, ov_time *now,
	const struct load *load, ov_time span)
{
	ov_time longest = 0;
	for (ov_time until = *now + span; *now < until;) {
		c->datagrams_in += load->datagrams;
		c->bytes_in += load->bytes;
		c->packets_in += load->packets;
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
	struct load rare = { .gap = 20 * OV_MS, .datagrams = 1, .bytes = 75 };
	play(&g, &c, &now, &rare, 2 * OV_SEC);
	assert_int_equal(play(&g, &c, &now, &rare, 10 * OV_SEC), 0);
}

static void data_or_a_ping_end_it_at_once(void **state)
{
	(void)state;
	struct gather g = { 0 };
	struct node_counters c = { 0 };
	ov_time now = 1000 * OV_SEC;
	for (unsigned i = 0; i < 3; i++) {
		play(&g, &c, &now, &keepalives, 20 * OV_SEC);
		assert_int_equal(gather_rest(&g, now, &c), GATHER_QUIET);
		c.packets_in += i == 0;
		c.packets_out += i == 1;
		c.pings += i == 2;
		assert_int_equal(gather_rest(&g, now, &c), 0);
		assert_int_equal(
			play(&g, &c, &now, &keepalives, GATHER_QUIET_AFTER - 10 * OV_MS), 0);
	}
}

/* Batches come by themselves: a flood, or peers that all call at once. */
static void full_turns_do_not_rest(void **state)
{
	(void)state;
	struct gather g = { 0 };
	struct node_counters c = { 0 };
	ov_time now = 1000 * OV_SEC;
	struct load flood = { .gap = OV_MS, .datagrams = 100, .bytes = 100 * 600 };
	assert_int_equal(play(&g, &c, &now, &flood, 20 * OV_SEC), 0);
}

static void many_small_packets_gather_and_large_ones_do_not(void **state)
{
	(void)state;
	struct gather g = { 0 };
	struct node_counters c = { 0 };
	ov_time now = 1000 * OV_SEC;
	struct load small = { 20 * OV_US, 1, 100, 1 }, large = { 20 * OV_US, 1, 1400, 1 };
	assert_int_equal(play(&g, &c, &now, &small, 20 * OV_MS), GATHER_SMALL);
	play(&g, &c, &now, &large, 5 * OV_MS);
	assert_int_equal(play(&g, &c, &now, &large, 20 * OV_MS), 0);
	struct load slow = { 100 * OV_US, 1, 100, 1 };
	assert_int_equal(play(&g, &c, &now, &slow, 20 * OV_MS), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(keepalives_of_thousands_gather),
		cmocka_unit_test(data_or_a_ping_end_it_at_once),
		cmocka_unit_test(full_turns_do_not_rest),
		cmocka_unit_test(many_small_packets_gather_and_large_ones_do_not),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
