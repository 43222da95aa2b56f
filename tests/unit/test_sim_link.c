/* The simulator's links: each fault does what its name says, and nothing else. */
#include "tests/sim/link.h"
#include "tests/sim/seed.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define PACKETS 10000

static struct seed chance;

static struct link make(struct link_config c)
{
	struct link l;
	link_init(&l, &c);
	seed_init(&chance, 7, 7);
	return l;
}

static void clean(void **state)
{
	(void)state;
	struct link l = make((struct link_config){ .delay = 10 * OV_MS });
	struct link_transit t = link_send(&l, OV_SEC, &chance, 1500);
	assert_int_equal(t.fate, LINK_PASSED);
	assert_int_equal(t.copies, 1);
	assert_int_equal(t.at[0], OV_SEC + 10 * OV_MS);
	assert_false(t.corrupt[0]);
}

static void cut_and_mtu(void **state)
{
	(void)state;
	struct link l = make((struct link_config){ .mtu = 1300 });
	assert_int_equal(link_send(&l, 0, &chance, 1300).fate, LINK_PASSED);
	assert_int_equal(link_send(&l, 0, &chance, 1301).fate, LINK_TOO_BIG);
	l.config.cut = true;
	assert_int_equal(link_send(&l, 0, &chance, 100).fate, LINK_CUT);
}

/* Counts stay within five standard deviations. */
static void rates(void **state)
{
	(void)state;
	struct link l = make((struct link_config){
		.loss_ppm = PPM / 5, .duplicate_ppm = PPM / 10, .corrupt_ppm = PPM / 100 });
	unsigned lost = 0, copies = 0, corrupt = 0;
	for (unsigned i = 0; i < PACKETS; i++) {
		struct link_transit t = link_send(&l, i, &chance, 100);
		lost += t.fate == LINK_LOST;
		copies += (unsigned)t.copies;
		for (size_t k = 0; k < t.copies; k++)
			corrupt += t.corrupt[k];
	}
	assert_in_range(lost, 1800, 2200);
	unsigned passed = PACKETS - lost;
	assert_in_range(copies, passed + passed / 9 - 180, passed + passed / 9 + 180);
	assert_in_range(corrupt, 40, 140);
}

static void burst(void **state)
{
	(void)state;
	struct link l = make((struct link_config){ .burst_ppm = PPM, .burst_length = OV_SEC });
	assert_int_equal(link_send(&l, 0, &chance, 1).fate, LINK_BURST);
	l.config.burst_ppm = 0;
	assert_int_equal(link_send(&l, OV_SEC - 1, &chance, 1).fate, LINK_BURST);
	assert_int_equal(link_send(&l, OV_SEC, &chance, 1).fate, LINK_PASSED);
}

/* Jitter never overtakes; reorder does. */
static void order(void **state)
{
	(void)state;
	struct link l = make((struct link_config){ .delay = OV_MS, .jitter = 50 * OV_MS });
	ov_time last = 0;
	for (unsigned i = 0; i < PACKETS; i++) {
		struct link_transit t = link_send(&l, i * OV_MS, &chance, 1);
		assert_true(t.at[0] >= last);
		last = t.at[0];
	}
	l = make((struct link_config){ .reorder_ppm = PPM, .reorder_delay = 10 * OV_MS });
	ov_time held = link_send(&l, 0, &chance, 1).at[0];
	l.config.reorder_ppm = 0;
	assert_true(link_send(&l, OV_MS, &chance, 1).at[0] < held);
}

static void bottleneck(void **state)
{
	(void)state;
	struct link l =
		make((struct link_config){ .bytes_per_second = 1000000, .queue = 10 * OV_MS });
	ov_time at = 0;
	unsigned passed = 0;
	for (unsigned i = 0; i < 100; i++) {
		struct link_transit t = link_send(&l, 0, &chance, 1000);
		if (t.fate == LINK_PASSED) {
			assert_int_equal(t.at[0] - at, OV_MS);
			at = t.at[0];
			passed++;
		} else {
			assert_int_equal(t.fate, LINK_QUEUE_FULL);
		}
	}
	assert_int_equal(passed, 11);
}

static void same_seed_same_course(void **state)
{
	(void)state;
	struct link_config c = { .delay = 1, .jitter = OV_SEC, .loss_ppm = PPM / 2 };
	ov_time sum[2] = { 0, 0 };
	for (int run = 0; run < 2; run++) {
		struct link l = make(c);
		for (unsigned i = 0; i < 1000; i++) {
			struct link_transit t = link_send(&l, i, &chance, 1);
			sum[run] = sum[run] * 31 + (t.copies ? t.at[0] : 0) % 1000003;
			sum[run] %= 1000000007;
		}
	}
	assert_int_equal(sum[0], sum[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(clean),
		cmocka_unit_test(cut_and_mtu),
		cmocka_unit_test(rates),
		cmocka_unit_test(burst),
		cmocka_unit_test(order),
		cmocka_unit_test(bottleneck),
		cmocka_unit_test(same_seed_same_course),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
