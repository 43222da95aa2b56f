/* Which datagrams become one run: same key, equal size but the last, bounded in bytes and count. */
#include "tests/unit/seeded.h"

#include "overlay/output.h"

static const int a, b; /* two keys */

static void put(struct output *o, const void *key, size_t len)
{
	struct dgram where = { .remote = addr_v4(192, 0, 2, key == &b ? 2 : 1, 9) };
	uint8_t *room = output_room(o, len, true);
	assert_non_null(room);
	memset(room, (int)len, len);
	output_add(o, &where, key, len);
}

static void assert_run(const struct dgram *d, size_t len, uint16_t segment, uint8_t host)
{
	assert_int_equal(d->len, len);
	assert_int_equal(d->segment, segment);
	assert_int_equal(d->remote.ip[15], host);
}

static void runs_join_by_key_and_size(void **state)
{
	(void)state;
	struct output o;
	struct dgram d[16];
	assert_int_equal(output_init(&o), OV_OK);
	put(&o, &a, 100);
	put(&o, &a, 100);
	put(&o, &a, 40); /* shorter: the last of its run */
	put(&o, &a, 40); /* so this begins another */
	put(&o, &a, 41); /* longer never joins */
	put(&o, &b, 41);
	put(&o, NULL, 41); /* control: alone */
	put(&o, NULL, 41);
	put(&o, &b, 41);
	assert_int_equal(output_take(&o, d, 16), 7);
	assert_run(&d[0], 240, 100, 1);
	assert_run(&d[1], 40, 40, 1);
	assert_run(&d[2], 41, 41, 1);
	assert_run(&d[3], 41, 41, 2);
	assert_run(&d[4], 41, 41, 1);
	assert_run(&d[5], 41, 41, 1);
	assert_run(&d[6], 41, 41, 2);
	assert_int_equal(d[0].data[99], 100);
	assert_int_equal(d[0].data[239], 40);
	assert_int_equal(output_take(&o, d, 16), 0);
	output_fini(&o);
}

static void a_key_that_was_forgotten_joins_nothing(void **state)
{
	(void)state;
	struct output o;
	struct dgram d[4];
	assert_int_equal(output_init(&o), OV_OK);
	put(&o, &a, 50);
	output_forget(&o, &b);
	put(&o, &a, 50);
	output_forget(&o, &a);
	put(&o, &a, 50);
	assert_int_equal(output_take(&o, d, 4), 2);
	assert_run(&d[0], 100, 50, 1);
	assert_run(&d[1], 50, 50, 1);
	output_fini(&o);
}

static void a_run_has_one_mark(void **state)
{
	(void)state;
	static const uint8_t marks[] = { ECN_NONE, ECN_ECT0, ECN_ECT0, ECN_NONE };
	struct output o;
	struct dgram d[4];
	assert_int_equal(output_init(&o), OV_OK);
	for (size_t i = 0; i < 4; i++) {
		struct dgram where = { .remote = addr_v4(192, 0, 2, 1, 9), .ecn = marks[i] };
		assert_non_null(output_room(&o, 50, true));
		output_add(&o, &where, &a, 50);
	}
	assert_int_equal(output_take(&o, d, 4), 3);
	assert_run(&d[1], 100, 50, 1);
	assert_int_equal(d[1].ecn, ECN_ECT0);
	assert_int_equal(d[2].ecn, ECN_NONE);
	output_fini(&o);
}

static void runs_are_bounded(void **state)
{
	(void)state;
	struct output o;
	struct dgram d[OUTPUT_RUNS];
	assert_int_equal(output_init(&o), OV_OK);
	for (int i = 0; i < OUTPUT_RUN_COUNT + 1; i++)
		put(&o, &a, 60);
	assert_int_equal(output_take(&o, d, 8), 2);
	assert_run(&d[0], OUTPUT_RUN_COUNT * 60, 60, 1);
	assert_int_equal(output_take(&o, d, 8), 0);
	for (size_t i = 0; i < 60; i++)
		put(&o, &a, 1452);
	assert_int_equal(output_take(&o, d, 8), 2);
	assert_true(d[0].len <= OUTPUT_RUN_BYTES && d[0].len + 1452 > OUTPUT_RUN_BYTES);
	assert_int_equal(d[0].len + d[1].len, (size_t)60 * 1452);
	output_fini(&o);
}

/* A run handed out does not grow under whoever sends it. */
static void what_was_taken_is_closed(void **state)
{
	(void)state;
	struct output o;
	struct dgram d[2];
	assert_int_equal(output_init(&o), OV_OK);
	put(&o, &a, 70);
	assert_int_equal(output_take(&o, d, 2), 1);
	put(&o, &a, 70);
	assert_run(&d[0], 70, 70, 1);
	assert_int_equal(output_take(&o, &d[1], 1), 1);
	assert_run(&d[1], 70, 70, 1);
	assert_ptr_not_equal(d[0].data, d[1].data);
	output_fini(&o);
}

static void data_leaves_room_for_control(void **state)
{
	(void)state;
	struct output o;
	struct dgram d[OUTPUT_RUNS];
	assert_int_equal(output_init(&o), OV_OK);
	size_t count = 0, control = 0;
	for (; output_room(&o, 1400, true); count++)
		put(&o, &a, 1400);
	assert_int_equal(count, (OUTPUT_ARENA - OUTPUT_RESERVE) / 1400);
	assert_false(output_has_room(&o, 1400));
	struct dgram where = { .remote = addr_v4(192, 0, 2, 3, 9) };
	for (; output_room(&o, 100, false); control++)
		output_add(&o, &where, NULL, 100);
	assert_true(control >= OUTPUT_RESERVE / 100);
	while (output_take(&o, d, OUTPUT_RUNS) > 0)
		continue;
	for (size_t i = 0; i < OUTPUT_RUNS; i++)
		output_add(&o, &where, NULL, 1);
	assert_null(output_room(&o, 1, false)); /* runs are bounded as bytes are */
	assert_int_equal(output_take(&o, d, OUTPUT_RUNS), OUTPUT_RUNS);
	output_fini(&o);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(runs_join_by_key_and_size),
		cmocka_unit_test(a_key_that_was_forgotten_joins_nothing),
		cmocka_unit_test(a_run_has_one_mark),
		cmocka_unit_test(runs_are_bounded),
		cmocka_unit_test(what_was_taken_is_closed),
		cmocka_unit_test(data_leaves_room_for_control),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
