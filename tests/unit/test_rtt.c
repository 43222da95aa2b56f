/* RFC 6298 2: first sample, gains, and the timeout's bounds. */
#include "tests/unit/seeded.h"

#include "core/rtt.h"

static void the_first_sample_counts_whole(void **state)
{
	(void)state;
	struct rtt r = { 0 };
	assert_int_equal(rtt_timeout(&r, 50 * OV_MS, 200 * OV_MS), 200 * OV_MS);
	rtt_add(&r, 80 * OV_MS);
	assert_int_equal(r.smoothed, 80 * OV_MS);
	assert_int_equal(r.variance, 40 * OV_MS);
	assert_int_equal(r.minimum, 80 * OV_MS);
	assert_int_equal(rtt_timeout(&r, 50 * OV_MS, OV_SEC), 240 * OV_MS + RTT_MAX_DELAY);
	assert_int_equal(rtt_timeout(&r, 50 * OV_MS, 200 * OV_MS), 200 * OV_MS);
	assert_int_equal(rtt_timeout(&r, 300 * OV_MS, OV_SEC), 300 * OV_MS);
}

static void later_ones_by_their_gains(void **state)
{
	(void)state;
	struct rtt r = { 0 };
	rtt_add(&r, 80 * OV_MS);
	rtt_add(&r, 160 * OV_MS); /* 40 + (80 - 40)/4 and 80 + 80/8 */
	assert_int_equal(r.variance, 50 * OV_MS);
	assert_int_equal(r.smoothed, 90 * OV_MS);
	rtt_add(&r, 50 * OV_MS); /* 50 + (40 - 50)/4 and 90 - 40/8 */
	assert_int_equal(r.variance, 50 * OV_MS - 2500 * OV_US);
	assert_int_equal(r.smoothed, 85 * OV_MS);
	assert_int_equal(r.minimum, 50 * OV_MS);
	for (int i = 0; i < 200; i++)
		rtt_add(&r, 20 * OV_MS);
	assert_in_range(r.smoothed, 20 * OV_MS, 20 * OV_MS + OV_US);
	assert_in_range(r.variance, 0, OV_US);
}

/* An answer within the clock's grain is a sample all the same. */
static void zero_and_less_are_a_microsecond(void **state)
{
	(void)state;
	struct rtt r = { 0 };
	rtt_add(&r, 0);
	assert_int_equal(r.smoothed, OV_US);
	rtt_add(&r, -5 * OV_SEC);
	assert_int_equal(r.minimum, OV_US);
	assert_true(r.smoothed > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_first_sample_counts_whole),
		cmocka_unit_test(later_ones_by_their_gains),
		cmocka_unit_test(zero_and_less_are_a_microsecond),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
