/* The replay window: dense cases in the manner of WireGuard's selftest, then a model. */
#include "core/replay.h"

#include "tests/unit/seeded.h"

#include <stdlib.h>

#define W REPLAY_WINDOW

static void dense_cases(void **state)
{
	(void)state;
	struct replay w;
	replay_init(&w);
#define T(counter, want) assert_int_equal(replay_accept(&w, (counter)), (want))
	T(0, true), T(0, false);
	T(1, true), T(1, false), T(0, false);
	T(9, true), T(8, true), T(7, true), T(7, false), T(8, false), T(9, false);
	T(7 + W, true), T(8, false); /* seen */
	T(10, true), T(10, false);   /* inside, never seen */
	T(7, false), T(6, false);    /* just left of the window: 6 was never seen */
	T(W + 8, true), T(9, false), T(11, true);
	T(4 * W, true), T(4 * W - W, false), T(4 * W - W + 1, true);
	T(4 * W - W + 1, false), T(4 * W - 1, true);
	T(5 * W + 63, true), T(5 * W + 64, true), T(5 * W + 62, true); /* word border */
	T(UINT64_MAX - 1, true), T(UINT64_MAX - 1, false);
	T(UINT64_MAX - 2, true), T(UINT64_MAX - W, true), T(UINT64_MAX - W - 1, false);
	T(UINT64_MAX, false); /* would wrap */
	T(0, false);
#undef T
}

static void first_may_be_anything(void **state)
{
	(void)state;
	struct replay w;
	replay_init(&w);
	assert_false(replay_is_highest(&w, 0));
	assert_true(replay_accept(&w, 3 * REPLAY_BITS + 5));
	assert_true(replay_is_fresh(&w, 3 * REPLAY_BITS + 4));
	assert_false(replay_is_fresh(&w, 3 * REPLAY_BITS + 5 - W));
	assert_true(replay_is_fresh(&w, 3 * REPLAY_BITS + 6 - W));
}

static void whole_window_backwards(void **state)
{
	(void)state;
	for (uint64_t top = 2 * REPLAY_BITS; top < 2 * REPLAY_BITS + 64; top += 21) {
		struct replay w;
		replay_init(&w);
		assert_true(replay_accept(&w, top));
		for (uint64_t i = 1; i < W; i++)
			assert_true(replay_accept(&w, top - i));
		assert_false(replay_accept(&w, top - W));
		for (uint64_t i = 0; i < W; i++)
			assert_false(replay_is_fresh(&w, top - i));
	}
}

static void fresh_changes_nothing(void **state)
{
	(void)state;
	struct replay w, before;
	replay_init(&w);
	assert_true(replay_accept(&w, 100));
	before = w;
	assert_true(replay_is_fresh(&w, 1000000));
	assert_true(replay_is_fresh(&w, 99));
	assert_memory_equal(&w, &before, sizeof(w));
	assert_false(replay_accept(&w, 100));
	assert_memory_equal(&w, &before, sizeof(w));
}

static void highest_only_once_accepted(void **state)
{
	(void)state;
	struct replay w;
	replay_init(&w);
	assert_true(replay_accept(&w, 5));
	assert_true(replay_is_highest(&w, 5));
	assert_false(replay_is_highest(&w, 6));
	assert_true(replay_accept(&w, 4));
	assert_false(replay_is_highest(&w, 4));
	assert_true(replay_is_highest(&w, 5));
}

/* The ring against an array that remembers every counter; jumps of all sizes up to several laps. */
static void agrees_with_model(void **state)
{
	(void)state;
	static bool seen[1 << 24];
	uint64_t seed = 6479, top = 0, refused = 0;
	bool any = false;
	struct replay w;
	replay_init(&w);
	memset(seen, 0, sizeof(seen));
	for (int i = 0; i < 100000; i++) {
		uint64_t reach = UINT64_C(1) << seeded_below(&seed, 15);
		uint64_t back = seeded_below(&seed, 4) ? seeded_below(&seed, reach) : 0;
		uint64_t counter = any ? top + 1 + (back ? 0 : seeded_below(&seed, 7)) : 0;
		if (i % 1000 == 999)
			counter += seeded_below(&seed, 3 * REPLAY_BITS);
		counter = counter > back ? counter - back : 0;
		assert_true(counter < sizeof(seen));
		bool want = !seen[counter] && (!any || counter + W > top);
		assert_int_equal(replay_is_fresh(&w, counter), want);
		assert_int_equal(replay_accept(&w, counter), want);
		refused += !want;
		seen[counter] = seen[counter] || want;
		if (want && (!any || counter > top))
			top = counter;
		any = true;
		assert_int_equal(replay_is_highest(&w, counter), counter == top);
	}
	assert_in_range(refused, 10000, 90000); /* both outcomes were exercised */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(dense_cases),
		cmocka_unit_test(first_may_be_anything),
		cmocka_unit_test(whole_window_backwards),
		cmocka_unit_test(fresh_changes_nothing),
		cmocka_unit_test(highest_only_once_accepted),
		cmocka_unit_test(agrees_with_model),
	};
	return cmocka_run_group_tests_name("replay", tests, NULL, NULL);
}
