/* RFC 9002: thresholds (6.1), probe timeout (6.2), RTT samples (5), persistent congestion (7.6). */
#include "core/recovery.h"

#include "tests/unit/seeded.h"

#define BYTES 1200
#define MANY  100000

static struct recovery space(void)
{
	struct recovery r;
	recovery_init(&r, 0, &(struct rtt){ 0 });
	return r;
}

static void send(struct recovery *r, ov_time now, int count)
{
	for (int i = 0; i < count; i++)
		assert_non_null(recovery_send(r, now, BYTES, MANY));
}

static struct ack_frame ack_of(uint64_t first, uint64_t last)
{
	return (struct ack_frame){ .count = 1, .ranges = { { .first = first, .end = last + 1 } } };
}

/* How many packets it settled. */
static int acknowledge(struct recovery *r, ov_time now, const struct ack_frame *f)
{
	struct acked walk;
	int count = 0;
	assert_int_equal(recovery_begin_ack(r, f, &walk), OV_OK);
	while (recovery_next_acked(r, f, &walk))
		count++;
	assert_int_equal(walk.bytes, count * BYTES);
	recovery_end_ack(r, now, f, &walk);
	return count;
}

static int lose(struct recovery *r, ov_time now, bool all, struct loss *walk)
{
	int count = 0;
	*walk = all ? recovery_leave(r) : recovery_loss(r, now);
	while (recovery_next_lost(r, walk))
		count++;
	assert_int_equal(walk->bytes, count * BYTES);
	return count;
}

static void three_later_ones_tell(void **state)
{
	(void)state;
	struct recovery r = space();
	struct loss walk;
	send(&r, 0, 10);
	struct ack_frame f = ack_of(1, 2);
	assert_int_equal(acknowledge(&r, 100 * OV_MS, &f), 2);
	assert_int_equal(lose(&r, 100 * OV_MS, false, &walk), 0); /* number 0: two later ones */
	f = ack_of(3, 3);
	assert_int_equal(acknowledge(&r, 100 * OV_MS, &f), 1);
	assert_int_equal(lose(&r, 100 * OV_MS, false, &walk), 1);
	assert_int_equal(r.first, 4);
	assert_int_equal(r.in_flight, 6 * BYTES);
	assert_false(walk.persistent);
	recovery_fini(&r);
}

/* 9/8 of the RTT after it was sent, a packet is lost if a later one arrived (6.1.2). */
static void time_tells(void **state)
{
	(void)state;
	struct recovery r = space();
	struct loss walk;
	send(&r, 0, 1);
	send(&r, 10 * OV_MS, 1);
	struct ack_frame f = ack_of(1, 1);
	assert_int_equal(acknowledge(&r, 90 * OV_MS, &f), 1); /* RTT 80 ms */
	assert_int_equal(lose(&r, 89 * OV_MS, false, &walk), 0);
	assert_int_equal(recovery_deadline(&r), 90 * OV_MS);
	assert_false(recovery_wants_probe(&r, 90 * OV_MS)); /* it is a look for losses */
	assert_int_equal(lose(&r, 90 * OV_MS, false, &walk), 1);
	assert_int_equal(recovery_deadline(&r), OV_NEVER);
	recovery_fini(&r);
}

static void what_was_never_sent_is_refused(void **state)
{
	(void)state;
	struct recovery r = space();
	struct acked walk;
	send(&r, 0, 5);
	struct ack_frame f = ack_of(0, 5);
	assert_int_equal(recovery_begin_ack(&r, &f, &walk), OV_EFORMAT);
	f = ack_of(0, 4);
	assert_int_equal(acknowledge(&r, OV_MS, &f), 5);
	assert_int_equal(acknowledge(&r, OV_MS, &f), 0); /* again */
	recovery_fini(&r);
}

static void ranges_settle_what_they_name(void **state)
{
	(void)state;
	struct recovery r = space();
	send(&r, 0, 20);
	struct ack_frame f = { .count = 3, .ranges = { { 18, 20 }, { 10, 15 }, { 0, 2 } } };
	assert_int_equal(acknowledge(&r, OV_MS, &f), 9);
	assert_int_equal(r.in_flight, 11 * BYTES);
	assert_int_equal(r.first, 2);
	f = ack_of(0, 19);
	assert_int_equal(acknowledge(&r, OV_MS, &f), 11);
	assert_int_equal(r.first, 20);
	recovery_fini(&r);
}

/* The other side's delay is taken off, but not below the smallest RTT seen (5.3). */
static void the_delay_of_acks_is_not_the_path(void **state)
{
	(void)state;
	struct recovery r = space();
	send(&r, 0, 1);
	struct ack_frame f = ack_of(0, 0);
	acknowledge(&r, 50 * OV_MS, &f);
	assert_int_equal(r.rtt.smoothed, 50 * OV_MS);
	send(&r, 100 * OV_MS, 1);
	f = ack_of(1, 1);
	f.delay_us = 20000;
	acknowledge(&r, 170 * OV_MS, &f);
	assert_int_equal(r.latest_rtt, 50 * OV_MS);
	assert_int_equal(r.rtt.minimum, 50 * OV_MS);
	send(&r, 200 * OV_MS, 1);
	f = ack_of(2, 2);
	f.delay_us = 20000;
	acknowledge(&r, 260 * OV_MS, &f); /* 60 - 20 would be less than ever */
	assert_int_equal(r.latest_rtt, 60 * OV_MS);
	send(&r, 300 * OV_MS, 1);
	f = ack_of(3, 3);
	f.delay_us = 4000000; /* a lie: more than anybody may wait */
	acknowledge(&r, 400 * OV_MS, &f);
	assert_int_equal(r.latest_rtt, 100 * OV_MS - RTT_MAX_DELAY);
	send(&r, 500 * OV_MS, 1);
	f = ack_of(4, 4);
	f.delay_us = 10000000; /* said again after ten seconds */
	acknowledge(&r, 10560 * OV_MS, &f);
	assert_int_equal(r.latest_rtt, 60 * OV_MS);
	recovery_fini(&r);
}

static void probes_do_not_end(void **state)
{
	(void)state;
	struct recovery r = space();
	send(&r, 0, 1);
	for (int i = 0; i < 20; i++)
		assert_true(recovery_wants_probe(&r, recovery_deadline(&r)));
	assert_int_equal(recovery_deadline(&r), 3 * OV_SEC); /* after the last packet */
	recovery_fini(&r);
}

static void probes_double(void **state)
{
	(void)state;
	struct recovery r = space();
	assert_int_equal(recovery_deadline(&r), OV_NEVER);
	send(&r, 0, 1);
	ov_time first = 2 * 333 * OV_MS + RTT_MAX_DELAY; /* nothing is known: 6.2.2 */
	assert_int_equal(recovery_deadline(&r), first);
	assert_false(recovery_wants_probe(&r, first - 1));
	assert_true(recovery_wants_probe(&r, first));
	assert_non_null(recovery_oldest(&r, 0));
	assert_null(recovery_oldest(&r, 1));
	assert_int_equal(recovery_deadline(&r), 2 * first);
	struct ack_frame f = ack_of(0, 0);
	acknowledge(&r, 2 * first, &f);
	assert_int_equal(r.pto_count, 0);
	assert_int_equal(recovery_deadline(&r), OV_NEVER);
	recovery_fini(&r);
}

static void a_long_silence_is_persistent_congestion(void **state)
{
	(void)state;
	struct recovery r = space();
	struct loss walk;
	send(&r, 0, 1);
	struct ack_frame f = ack_of(0, 0);
	acknowledge(&r, 100 * OV_MS, &f);
	ov_time pto = recovery_pto(&r);
	send(&r, 200 * OV_MS, 1);
	send(&r, 200 * OV_MS + 3 * pto + OV_MS, 1);
	send(&r, 200 * OV_MS + 4 * pto, 4);
	f = ack_of(6, 6);
	acknowledge(&r, 300 * OV_MS + 4 * pto, &f);
	assert_int_equal(lose(&r, 300 * OV_MS + 4 * pto, false, &walk), 3);
	assert_true(walk.persistent);
	recovery_fini(&r);
}

/* One that came through in between: the path was not dead. */
static void what_came_between_is_a_sign_of_life(void **state)
{
	(void)state;
	struct recovery r = space();
	struct loss walk;
	send(&r, 0, 1);
	struct ack_frame f = ack_of(0, 0);
	acknowledge(&r, 100 * OV_MS, &f);
	ov_time pto = recovery_pto(&r);
	send(&r, 200 * OV_MS, 1);           /* 1, lost */
	send(&r, 200 * OV_MS + 2 * pto, 1); /* 2, arrives */
	send(&r, 200 * OV_MS + 4 * pto, 1); /* 3, lost */
	send(&r, 200 * OV_MS + 5 * pto, 4);
	f = (struct ack_frame){ .count = 2, .ranges = { { 7, 8 }, { 2, 3 } } };
	acknowledge(&r, 300 * OV_MS + 5 * pto, &f);
	assert_int_equal(lose(&r, 300 * OV_MS + 5 * pto, false, &walk), 3); /* 1, 3 and 4 */
	assert_false(walk.persistent);
	recovery_fini(&r);
}

static void a_dead_path_gives_everything_back(void **state)
{
	(void)state;
	struct recovery r = space();
	struct loss walk;
	send(&r, 0, 1000);
	assert_int_equal(lose(&r, OV_MS, true, &walk), 1000);
	assert_int_equal(r.in_flight, 0);
	assert_int_equal(recovery_deadline(&r), OV_NEVER);
	struct ack_frame f = ack_of(500, 999);
	struct acked acked;
	size_t settled = 0;
	assert_int_equal(recovery_begin_ack(&r, &f, &acked), OV_OK);
	while (recovery_next_acked(&r, &f, &acked))
		settled++;
	assert_int_equal(settled, 500);   /* they had arrived: nobody sends them again */
	assert_int_equal(acked.bytes, 0); /* and say nothing of any path in use */
	assert_int_equal(recovery_begin_ack(&r, &f, &acked), OV_OK);
	assert_null(recovery_next_acked(&r, &f, &acked));
	recovery_fini(&r);
}

static void no_more_than_told(void **state)
{
	(void)state;
	struct recovery r = space();
	for (int i = 0; i < 100; i++)
		assert_non_null(recovery_send(&r, 0, BYTES, 100));
	assert_null(recovery_send(&r, 0, BYTES, 100));
	struct ack_frame f = ack_of(0, 49);
	acknowledge(&r, OV_MS, &f);
	for (int i = 0; i < 50; i++)
		assert_non_null(recovery_send(&r, 0, BYTES, 100));
	assert_null(recovery_send(&r, 0, BYTES, 100));
	recovery_fini(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(three_later_ones_tell),
		cmocka_unit_test(time_tells),
		cmocka_unit_test(what_was_never_sent_is_refused),
		cmocka_unit_test(ranges_settle_what_they_name),
		cmocka_unit_test(the_delay_of_acks_is_not_the_path),
		cmocka_unit_test(probes_do_not_end),
		cmocka_unit_test(probes_double),
		cmocka_unit_test(a_long_silence_is_persistent_congestion),
		cmocka_unit_test(what_came_between_is_a_sign_of_life),
		cmocka_unit_test(a_dead_path_gives_everything_back),
		cmocka_unit_test(no_more_than_told),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
