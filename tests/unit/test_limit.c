/* Buckets: burst, exact long-term rate, odd arguments; the table of sources: bounds and eviction.
 */
#include "core/limit.h"

#include "tests/unit/json_vectors.h"
#include "tests/unit/test_rng.h"

static void test_burst_then_rate(void **state)
{
	(void)state;
	struct limit l = { 0 };
	for (int i = 0; i < 5; i++)
		assert_true(limit_take(&l, 0, 10, 5, 1));
	assert_false(limit_has(&l, 0, 10, 5, 1));
	assert_false(limit_take(&l, 0, 10, 5, 1));
	assert_false(limit_take(&l, 100 * OV_MS - 1, 10, 5, 1));
	assert_true(limit_has(&l, 100 * OV_MS, 10, 5, 1));
	assert_true(limit_take(&l, 100 * OV_MS, 10, 5, 1));
	assert_false(limit_take(&l, 100 * OV_MS, 10, 5, 1));
	for (int i = 0; i < 5; i++) /* full again, and never more than full */
		assert_true(limit_take(&l, 1000 * OV_SEC, 10, 5, 1));
	assert_false(limit_take(&l, 1000 * OV_SEC, 10, 5, 1));
}

static void test_cost(void **state)
{
	(void)state;
	struct limit l = { 0 };
	assert_true(limit_take(&l, 7, 1000, 1500, 1500));
	assert_true(limit_take(&l, 7, 1000, 1500, 0));
	assert_false(limit_take(&l, 7, 1000, 1500, 1));
	assert_false(limit_take(&l, 7 + OV_SEC, 1000, 1500, 1001)); /* a refusal takes nothing */
	assert_true(limit_take(&l, 7 + OV_SEC, 1000, 1500, 1000));
	assert_false(limit_has(&l, 7 + OV_SEC, 1000, 1500, 1));
}

/* A bucket that is never full gives its n-th token after the burst at exactly n / rate seconds,
 * also for rates that do not divide 10^9, for ever. (A full one rounds up to the next nanosecond.)
 */
static void test_no_drift(void **state)
{
	(void)state;
	static const uint32_t rates[] = { 1, 3, 7, 999, 1000003, 999999937, 1000000007,
		UINT32_MAX };
	for (size_t r = 0; r < sizeof(rates) / sizeof(rates[0]); r++) {
		struct limit l = { 0 };
		uint32_t rate = rates[r], burst = 1000;
		assert_true(limit_take(&l, 0, rate, burst, burst));
		for (uint64_t n = 1; n < 20000; n++) {
			ov_time due = (ov_time)((n * 1000000000u + rate - 1) / rate);
			assert_false(limit_has(&l, due - 1, rate, burst, 1));
			assert_true(limit_take(&l, due, rate, burst, 1));
		}
	}
}

static void test_extremes(void **state)
{
	(void)state;
	struct limit l = { 0 };
	assert_true(limit_take(&l, 0, 1, UINT32_MAX, UINT32_MAX));
	assert_false(limit_take(&l, 0, 1, UINT32_MAX, 1));
	assert_true(limit_take(&l, OV_SEC, 1, UINT32_MAX, 1));
	assert_false(limit_take(&l, OV_SEC, UINT32_MAX, 1, 1)); /* the rate was raised */
	l = (struct limit){ 0 };
	assert_true(limit_take(&l, INT64_MAX / 2, 1, 1, 1));
	assert_false(limit_take(&l, 0, 1, 1, 1)); /* time went back: refuses, does not overflow */
	l = (struct limit){ .full_at = (ov_time)1 << 40 };
	assert_false(limit_take(&l, 0, 1u << 24, 1, 1)); /* 2^40 * 2^24 wraps to an empty wait */
	assert_int_equal(sizeof(struct limit), 16);
}

static struct ov_addr v6(uint8_t subnet, uint8_t host)
{
	struct ov_addr a = { .ip = { 0x20, 1, 0xd, 0xb8, 0, 0, 0, subnet }, .port = 5 };
	a.ip[15] = host;
	return a;
}

static void test_sources_by_prefix(void **state)
{
	(void)state;
	struct test_rng t = { 0 };
	struct rng rng = test_rng_make(&t);
	struct source_limits *s = source_limits_new(1000, &rng);
	struct ov_addr a = addr_v4(192, 0, 2, 1, 1), a2 = addr_v4(192, 0, 2, 1, 2);
	struct ov_addr b = addr_v4(192, 0, 2, 2, 1);
	struct ov_addr c = v6(1, 1), c2 = v6(1, 2), d = v6(2, 1);
	assert_true(source_limits_take(s, 0, &a, 1, 1));
	assert_false(source_limits_take(s, 0, &a2, 1, 1)); /* other port, same source */
	assert_true(source_limits_take(s, 0, &b, 1, 1));
	assert_true(source_limits_take(s, 0, &c, 1, 1));
	assert_false(source_limits_take(s, 0, &c2, 1, 1)); /* same /64 */
	assert_true(source_limits_take(s, 0, &d, 1, 1));
	assert_true(source_limits_take(s, OV_SEC, &a, 1, 1));
	source_limits_free(s);
	source_limits_free(NULL);
}

/* One set of eight: a source that is limited survives any number of others that are less so. */
static void test_eviction_spares_the_limited(void **state)
{
	(void)state;
	struct test_rng t = { 0 };
	struct rng rng = test_rng_make(&t);
	struct source_limits *s = source_limits_new(1, &rng);
	struct ov_addr bad = addr_v4(192, 0, 2, 1, 1);
	for (int i = 0; i < 10; i++)
		assert_true(source_limits_take(s, 0, &bad, 1, 10));
	for (int i = 0; i < 10000; i++) {
		struct ov_addr other = addr_v4(10, 0, (uint8_t)(i / 256), (uint8_t)i, 1);
		assert_true(source_limits_take(s, 0, &other, 1, 10));
		assert_false(source_limits_take(s, 0, &bad, 1, 10));
	}
	assert_true(source_limits_take(s, OV_SEC, &bad, 1, 10));
	source_limits_free(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_burst_then_rate),
		cmocka_unit_test(test_cost),
		cmocka_unit_test(test_no_drift),
		cmocka_unit_test(test_extremes),
		cmocka_unit_test(test_sources_by_prefix),
		cmocka_unit_test(test_eviction_spares_the_limited),
	};
	return sodium_init() < 0 ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
