/* The search over silences, and what keepalive follows. */
#include "discovery/lifetime.h"
#include "tests/unit/seeded.h"

static struct lifetime found(unsigned lives_s, unsigned *tries)
{
	struct lifetime l = { 0 };
	uint16_t silence_s;
	for (*tries = 0; (silence_s = lifetime_next(&l)) != 0; ++*tries)
		lifetime_on_result(&l, silence_s < lives_s);
	return l;
}

static void every_lifetime_is_found_within_a_step(void **state)
{
	(void)state;
	for (unsigned lives_s = 1; lives_s < 400; lives_s++) {
		unsigned tries;
		struct lifetime l = found(lives_s, &tries);
		assert_in_range(tries, 2, 4);
		assert_true(lifetime_survived_s(&l) < lives_s);
		if (lifetime_lost_s(&l) != 0)
			assert_true(lifetime_lost_s(&l) >= lives_s);
		else
			assert_true(lives_s > LIFETIME_LONGEST_S);
		ov_time keepalive = lifetime_keepalive(&l, OV_SEC);
		assert_in_range(keepalive, 15 * OV_SEC, 120 * OV_SEC);
		assert_true(lives_s <= 15 || keepalive < lives_s * OV_SEC);
	}
}

static void usual_routers_get_their_keepalive(void **state)
{
	(void)state;
	static const struct {
		unsigned lives_s, keepalive_ms;
	} expected[] = { { 20, 15000 }, { 30, 22400 }, { 60, 46400 }, { 120, 94400 },
		{ 180, 120000 }, { 300, 120000 } };
	for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++) {
		unsigned tries;
		struct lifetime l = found(expected[i].lives_s, &tries);
		assert_int_equal(lifetime_keepalive(&l, OV_SEC), expected[i].keepalive_ms * OV_MS);
	}
}

static void the_first_silence_is_above_the_keepalive_that_nobody_measured(void **state)
{
	(void)state;
	struct lifetime l = { 0 };
	assert_int_equal(lifetime_next(&l), 28);
	assert_int_equal(lifetime_keepalive(&l, 25 * OV_SEC), 25 * OV_SEC);
	lifetime_on_result(&l, false);
	assert_int_equal(lifetime_keepalive(&l, 25 * OV_SEC), 15 * OV_SEC);
	assert_int_equal(lifetime_next(&l), 18);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_lifetime_is_found_within_a_step),
		cmocka_unit_test(usual_routers_get_their_keepalive),
		cmocka_unit_test(the_first_silence_is_above_the_keepalive_that_nobody_measured),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
