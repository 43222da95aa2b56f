/* The deadline heap against a linear search. */
#include "core/heap.h"

#include "tests/unit/seeded.h"

#define ENTRIES 300

static void empty(void **state)
{
	(void)state;
	struct heap h = { 0 };
	struct heap_entry e = { 0 };
	assert_null(heap_first(&h));
	assert_true(heap_deadline(&h) == OV_NEVER);
	heap_set(&h, &e, OV_NEVER); /* removing what is not there */
	assert_int_equal(e.position, 0);
	heap_fini(&h);
}

static void set_moves_and_removes(void **state)
{
	(void)state;
	struct heap h = { 0 };
	struct heap_entry a = { 0 }, b = { 0 };
	assert_int_equal(heap_reserve(&h, 2), OV_OK);
	heap_set(&h, &a, 10);
	heap_set(&h, &b, 20);
	assert_ptr_equal(heap_first(&h), &a);
	heap_set(&h, &a, 30); /* towards the leaves */
	assert_ptr_equal(heap_first(&h), &b);
	heap_set(&h, &a, 5); /* towards the root */
	assert_ptr_equal(heap_first(&h), &a);
	heap_set(&h, &a, OV_NEVER);
	assert_ptr_equal(heap_first(&h), &b);
	assert_true(heap_deadline(&h) == 20);
	heap_fini(&h);
	assert_int_equal(b.position, 0); /* may be used again */
	assert_null(heap_first(&h));
}

static void reserve_keeps_entries(void **state)
{
	(void)state;
	struct heap h = { 0 };
	struct heap_entry e[100];
	memset(e, 0, sizeof(e));
	for (size_t i = 0; i < 100; i++) {
		assert_int_equal(heap_reserve(&h, i + 1), OV_OK);
		heap_set(&h, &e[i], (ov_time)(100 - i));
		assert_ptr_equal(heap_first(&h), &e[i]);
	}
	assert_int_equal(heap_reserve(&h, SIZE_MAX), OV_ENOMEM);
	assert_int_equal(h.count, 100);
	heap_fini(&h);
}

static void agrees_with_model(void **state)
{
	(void)state;
	uint64_t seed = 4;
	struct heap h = { 0 };
	static struct heap_entry e[ENTRIES];
	memset(e, 0, sizeof(e));
	for (size_t i = 0; i < ENTRIES; i++)
		e[i].at = OV_NEVER;
	assert_int_equal(heap_reserve(&h, ENTRIES), OV_OK);
	for (int op = 0; op < 100000; op++) {
		struct heap_entry *pick = &e[seeded_below(&seed, ENTRIES)];
		if (seeded_below(&seed, 3) == 0 && heap_first(&h))
			pick = heap_first(&h); /* as a loop that serves what is due */
		bool gone = seeded_below(&seed, 8) == 0;
		heap_set(&h, pick, gone ? OV_NEVER : (ov_time)seeded_below(&seed, 1000));
		ov_time least = OV_NEVER;
		size_t count = 0;
		for (size_t i = 0; i < ENTRIES; i++) {
			least = ov_min(least, e[i].at);
			count += e[i].at != OV_NEVER;
			assert_int_equal(e[i].position != 0, e[i].at != OV_NEVER);
		}
		assert_true(heap_deadline(&h) == least);
		assert_int_equal(h.count, count);
		assert_true(count == 0 || heap_first(&h)->at == least);
	}
	ov_time last = -1;
	while (heap_first(&h)) { /* comes out sorted */
		struct heap_entry *first = heap_first(&h);
		assert_true(first->at >= last);
		last = first->at;
		heap_set(&h, first, OV_NEVER);
	}
	heap_fini(&h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(empty),
		cmocka_unit_test(set_moves_and_removes),
		cmocka_unit_test(reserve_keeps_entries),
		cmocka_unit_test(agrees_with_model),
	};
	return cmocka_run_group_tests_name("heap", tests, NULL, NULL);
}
