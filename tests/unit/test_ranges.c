/* A set of ranges against a plain array of bits, and its bound. */
#include "core/ranges.h"

#include "tests/unit/seeded.h"

#define NUMBERS 200

static void check(const struct ranges *r, const bool *bits)
{
	for (size_t i = 0; i < r->count; i++) { /* in order, none empty, none touching the next */
		assert_true(r->list[i].first < r->list[i].end);
		if (i > 0)
			assert_true(r->list[i - 1].end < r->list[i].first);
	}
	for (uint64_t n = 0; n < NUMBERS; n++)
		assert_int_equal(ranges_has(r, n), bits[n]);
}

static void fill(bool *bits, uint64_t first, uint64_t end, bool value)
{
	for (uint64_t n = first; n < end; n++)
		bits[n] = value;
}

static void as_an_array_of_bits(void **state)
{
	(void)state;
	for (uint64_t seed = 0; seed < 50; seed++) {
		uint64_t s = seed;
		struct ranges r = { 0 };
		bool bits[NUMBERS + 1] = { false };
		for (int i = 0; i < 300; i++) {
			uint64_t first = seeded_below(&s, NUMBERS - 1);
			uint64_t end = first + 1 + seeded_below(&s, NUMBERS - 1 - first) % 9;
			uint64_t what = seeded_below(&s, 20);
			if (what < 12) {
				assert_int_equal(ranges_add(&r, first, end, SIZE_MAX), OV_OK);
				fill(bits, first, end, true);
			} else if (what < 19) {
				assert_int_equal(ranges_remove(&r, first, end), OV_OK);
				fill(bits, first, end, false);
			} else {
				ranges_forget_below(&r, first / 4);
				fill(bits, 0, first / 4, false);
			}
			check(&r, bits);
		}
		ranges_fini(&r);
	}
}

static void no_more_than_told(void **state)
{
	(void)state;
	struct ranges r = { 0 };
	for (uint64_t n = 0; n < 10; n++)
		assert_int_equal(ranges_add(&r, 2 * n, 2 * n + 1, 10), OV_OK);
	assert_int_equal(ranges_add(&r, 100, 101, 10), OV_EFULL);
	assert_int_equal(r.count, 10);
	assert_int_equal(ranges_add(&r, 1, 2, 10), OV_OK); /* joins two */
	assert_int_equal(r.count, 9);
	assert_int_equal(ranges_add(&r, 0, 1000, 10), OV_OK); /* swallows all */
	assert_int_equal(r.count, 1);
	assert_true(ranges_cover(&r, 0, 1000));
	assert_false(ranges_cover(&r, 0, 1001));
	ranges_fini(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(as_an_array_of_bits),
		cmocka_unit_test(no_more_than_told),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
