/* When an interface speaks, and for whom. */
#include "tests/unit/seeded.h"

#include "discovery/announce.h"

static uint64_t seed = 3;
static const struct rng rng = { .fill = seeded_fill, .context = &seed };

static void three_at_first_then_every_30_s(void **state)
{
	(void)state;
	struct announce a = { .at = OV_NEVER };
	ov_time now = 100 * OV_SEC;
	announce_hurry(&a, now);
	assert_int_equal(a.at, now);
	announce_done(&a, now, &rng);
	assert_int_equal(a.at, now + OV_SEC);
	now = a.at;
	announce_done(&a, now, &rng);
	assert_int_equal(a.at, now + 2 * OV_SEC);
	ov_time least = OV_NEVER, most = 0;
	for (unsigned i = 0; i < 200; i++) {
		now = a.at;
		announce_done(&a, now, &rng);
		least = ov_min(least, a.at - now);
		most = ov_max(most, a.at - now);
	}
	assert_in_range(least, 24 * OV_SEC, 26 * OV_SEC);
	assert_in_range(most, 34 * OV_SEC, 36 * OV_SEC);
	announce_hurry(&a, now); /* the cable was plugged in again */
	announce_done(&a, now, &rng);
	assert_int_equal(a.at, now + OV_SEC);
}

/* 200 that speak: together one beacon a second, not seven. */
static void crowds_speak_rarely(void **state)
{
	(void)state;
	struct announce a = { .at = 0, .hurried = 2 };
	ov_time now = 100 * OV_SEC;
	for (unsigned i = 0; i < 400; i++, now += 150 * OV_MS)
		announce_heard(&a, now);
	announce_done(&a, now, &rng);
	assert_in_range(a.at - now, 150 * OV_SEC, 250 * OV_SEC);
	now += 300 * OV_SEC; /* they left */
	announce_done(&a, now, &rng);
	assert_in_range(a.at - now, 24 * OV_SEC, 36 * OV_SEC);
	announce_heard(&a, now); /* one came */
	announce_done(&a, now, &rng);
	assert_in_range(a.at - now, 24 * OV_SEC, 36 * OV_SEC);
}

static void contacts_take_turns(void **state)
{
	(void)state;
	struct announce a = { 0 };
	unsigned times[300] = { 0 };
	for (unsigned i = 0; i < 300; i++) {
		size_t count, first = announce_turn(&a, 300, 64, &count);
		assert_int_equal(count, 64);
		for (size_t k = 0; k < count; k++)
			times[(first + k) % 300]++;
	}
	for (unsigned i = 0; i < 300; i++)
		assert_int_equal(times[i], 64);
	size_t count;
	announce_turn(&a, 5, 64, &count); /* most were removed */
	assert_int_equal(count, 5);
	assert_int_equal(announce_turn(&a, 0, 64, &count), 0);
	assert_int_equal(count, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(three_at_first_then_every_30_s),
		cmocka_unit_test(crowds_speak_rarely),
		cmocka_unit_test(contacts_take_turns),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
