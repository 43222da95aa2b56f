/* Helpers over an injected generator. */
#include "core/rng.h"

#include "tests/unit/seeded.h"

struct script { /* hands out these words in turn */
	uint64_t words[8];
	size_t next, asked;
};

static void script_fill(void *context, void *out, size_t len)
{
	struct script *s = context;
	assert_in_range(len, 1, 8);
	memcpy(out, &s->words[s->next++ % 8], len);
	s->asked += len;
}

static void words_come_from_the_generator(void **state)
{
	(void)state;
	struct script s = { .words = { 1, UINT64_C(0x1122334455667788), 3 } };
	struct rng r = { .fill = script_fill, .context = &s };
	uint8_t byte;
	rng_fill(&r, &byte, 1);
	assert_true(rng_u64(&r) == UINT64_C(0x1122334455667788));
	assert_int_equal(rng_u32(&r), 3);
	assert_int_equal(s.asked, 13);
}

static void below_rejects_the_biased_part(void **state)
{
	(void)state;
	/* 2^64 mod 10 == 6: the first six values would make 0 to 5 likelier */
	struct script s = { .words = { 0, 5, 6, 25 } };
	struct rng r = { .fill = script_fill, .context = &s };
	assert_int_equal(rng_below(&r, 10), 6);
	assert_int_equal(s.next, 3);
	assert_int_equal(rng_below(&r, 10), 5);
	struct script one = { .words = { 12345, UINT64_MAX } };
	r.context = &one;
	assert_int_equal(rng_below(&r, 1), 0);
	assert_true(rng_below(&r, UINT64_MAX) == 0);
	struct script high = { .words = { (UINT64_C(1) << 63) - 2, UINT64_MAX } };
	r.context = &high; /* bound just above half: nearly half is rejected */
	assert_true(rng_below(&r, (UINT64_C(1) << 63) + 1) == (UINT64_C(1) << 63) - 2);
	assert_int_equal(high.next, 2);
}

static void below_is_uniform(void **state)
{
	(void)state;
	uint64_t seed = 1;
	struct rng r = { .fill = seeded_fill, .context = &seed };
	unsigned hits[7] = { 0 };
	for (int i = 0; i < 70000; i++) {
		uint64_t v = rng_below(&r, 7);
		assert_true(v < 7);
		hits[v]++;
	}
	for (int i = 0; i < 7; i++)
		assert_in_range(hits[i], 9500, 10500); /* 5 sigma */
}

static void jitter_stays_within(void **state)
{
	(void)state;
	uint64_t seed = 2;
	struct rng r = { .fill = seeded_fill, .context = &seed };
	ov_time least = OV_NEVER, most = 0;
	for (int i = 0; i < 10000; i++) {
		ov_time t = rng_jitter(&r, 100 * OV_SEC, 20);
		assert_true(t >= 80 * OV_SEC && t <= 120 * OV_SEC);
		least = ov_min(least, t);
		most = ov_max(most, t);
	}
	assert_true(least < 81 * OV_SEC && most > 119 * OV_SEC);
	assert_true(rng_jitter(&r, 100, 0) == 100);
	assert_true(rng_jitter(&r, 0, 20) == 0);
	assert_true(rng_jitter(&r, 3, 20) == 3);                   /* too small to move */
	ov_time day = rng_jitter(&r, 7 * 24 * 3600 * OV_SEC, 100); /* does not overflow */
	assert_true(day >= 0 && day <= 14 * 24 * 3600 * OV_SEC);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(words_come_from_the_generator),
		cmocka_unit_test(below_rejects_the_biased_part),
		cmocka_unit_test(below_is_uniform),
		cmocka_unit_test(jitter_stays_within),
	};
	return cmocka_run_group_tests_name("rng", tests, NULL, NULL);
}
