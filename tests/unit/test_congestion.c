/* CUBIC (RFC 9438), HyStart++ (RFC 9406), the windows of RFC 9002 7, and pacing. */
#include "core/congestion.h"
#include "core/pacer.h"

#include "tests/unit/seeded.h"

#define SEGMENT 1000
#define RTT     (100 * OV_MS)

struct link { /* rounds of one window each, every packet acknowledged alone */
	struct congestion c;
	ov_time now;
	uint64_t next;
};

static struct link link_new(void)
{
	struct link l = { .now = OV_SEC };
	congestion_init(&l.c, SEGMENT);
	return l;
}

static void round_of(struct link *l, ov_time rtt)
{
	uint64_t count = l->c.window / SEGMENT, first = l->next;
	l->next += count;
	for (uint64_t i = 0; i < count; i++) {
		ov_time sent_at = l->now;
		congestion_on_ack(&l->c, l->now + rtt + (ov_time)i,
			&(struct congestion_ack){ .bytes = SEGMENT,
				.largest = first + i,
				.next = l->next,
				.largest_sent_at = sent_at,
				.rtt = rtt,
				.smoothed = rtt });
	}
	l->now += rtt;
}

static double segments(const struct link *l)
{
	return (double)l->c.window / SEGMENT;
}

static void about(double value, double wanted, double off)
{
	if (value < wanted - off || value > wanted + off)
		fail_msg("%.3f is not %.3f +- %.3f", value, wanted, off);
}

static void the_first_window(void **state)
{
	(void)state;
	struct congestion c;
	congestion_init(&c, 1200);
	assert_int_equal(c.window, 12000); /* RFC 9002 7.2 */
	congestion_init(&c, 1452);
	assert_int_equal(c.window, 14520);
	congestion_init(&c, 9000);
	assert_int_equal(c.window, 18000);
	assert_true(congestion_allows(&c, 9000, 9000));
	assert_false(congestion_allows(&c, 9001, 9000));
}

static void slow_start_doubles(void **state)
{
	(void)state;
	struct link l = link_new();
	for (int i = 0; i < 5; i++)
		round_of(&l, RTT);
	about(segments(&l), 320, 1);
	assert_int_equal(l.c.phase, CONGESTION_SLOW_START);
}

/* RFC 9438 4.6, 4.2: 0.7 of the window, back at the old one after K = cbrt(W_max 0.3 / 0.4) s. */
static void the_cubic_comes_back_when_it_says(void **state)
{
	(void)state;
	struct link l = link_new();
	l.c.window = 1000 * SEGMENT;
	congestion_on_loss(&l.c, l.now, l.now, false);
	about(segments(&l), 700, 0.001);
	assert_int_equal(l.c.phase, CONGESTION_AVOIDANCE);
	ov_time began = l.now + RTT; /* the first ACK */
	l.now += OV_MS;
	round_of(&l, RTT);
	about(l.c.k, 9.0856, 0.001); /* cbrt(300 / 0.4) */
	while (l.now - began < 9 * OV_SEC)
		round_of(&l, RTT);
	about(segments(&l), 1000, 3); /* flat there: the plateau */
	while (l.now - began < 14 * OV_SEC)
		round_of(&l, RTT);
	about(segments(&l), 1000 + 0.4 * 5 * 5 * 5, 12); /* and beyond: 0.4 (t - K)^3 */
}

/* 4.7: a window that falls below the one before gives room away. */
static void fast_convergence(void **state)
{
	(void)state;
	struct link l = link_new();
	l.c.window = 1000 * SEGMENT;
	congestion_on_loss(&l.c, l.now, l.now, false);
	about(l.c.max, 1000, 0.001);
	l.now += OV_SEC;
	congestion_on_loss(&l.c, l.now, l.now, false);
	about(l.c.max, 700 * 1.7 / 2, 0.001);
	about(segments(&l), 490, 0.001);
}

/* 4.3: with a short RTT Reno would be faster, and so are we: one segment for each round trip, times
 * 0.53 until the old window is reached. */
static void as_fast_as_reno(void **state)
{
	(void)state;
	struct link l = link_new();
	l.c.window = 20 * SEGMENT;
	congestion_on_loss(&l.c, l.now, l.now, false);
	l.now += OV_MS;
	for (int i = 0; i < 10; i++)
		round_of(&l, 2 * OV_MS);
	about(segments(&l), 14 + 10 * 0.529, 1);
}

static void one_reduction_for_each_round_trip(void **state)
{
	(void)state;
	struct link l = link_new();
	l.c.window = 100 * SEGMENT;
	ov_time sent_at = l.now;
	l.now += RTT;
	for (int i = 0; i < 20; i++)
		congestion_on_loss(&l.c, l.now, sent_at + i * OV_MS, false);
	about(segments(&l), 70, 0.001);
	struct congestion_ack late = {
		.bytes = SEGMENT, .largest_sent_at = sent_at, .smoothed = RTT
	};
	congestion_on_ack(&l.c, l.now + OV_MS, &late); /* sent before it: no growth */
	about(segments(&l), 70, 0.001);
	congestion_on_loss(&l.c, l.now + RTT, l.now + OV_MS, false);
	about(segments(&l), 49, 0.001);
}

static void persistent_congestion_begins_anew(void **state)
{
	(void)state;
	struct link l = link_new();
	l.c.window = 100 * SEGMENT;
	congestion_on_loss(&l.c, l.now, l.now, true);
	about(segments(&l), 2, 0.001);
	assert_int_equal(l.c.phase, CONGESTION_SLOW_START);
	for (int i = 0; i < 8; i++)
		round_of(&l, RTT);
	assert_int_equal(l.c.phase, CONGESTION_AVOIDANCE); /* from 70 on: where it was cut to */
	assert_true(segments(&l) < 100);
}

/* RFC 9406: a delay that grows by an eighth ends slow start before anything is lost. */
static void growing_delay_ends_slow_start(void **state)
{
	(void)state;
	struct link l = link_new();
	round_of(&l, RTT);
	round_of(&l, RTT);
	double before = segments(&l);
	round_of(&l, RTT + 15 * OV_MS);
	assert_int_equal(l.c.phase, CONGESTION_CONSERVATIVE);
	assert_true(segments(&l) < 2 * before);
	for (int i = 0; i < 6; i++)
		round_of(&l, RTT + 15 * OV_MS);
	assert_int_equal(l.c.phase, CONGESTION_AVOIDANCE);
	assert_true(l.c.slow_start_threshold < UINT64_MAX);
}

static void a_delay_that_was_a_moment_does_not(void **state)
{
	(void)state;
	struct link l = link_new();
	round_of(&l, RTT);
	round_of(&l, RTT);
	round_of(&l, RTT + 15 * OV_MS);
	assert_int_equal(l.c.phase, CONGESTION_CONSERVATIVE);
	round_of(&l, RTT);
	assert_int_equal(l.c.phase, CONGESTION_SLOW_START);
}

/* A window that fills the path and half as much again becomes one that fills the path. */
static void a_standing_queue_is_given_way_to(void **state)
{
	(void)state;
	struct link l = link_new();
	round_of(&l, RTT);
	congestion_on_loss(&l.c, l.now, l.now, false);
	l.c.window = 150 * SEGMENT;
	l.now += OV_MS;
	for (int i = 0; i < 5; i++)
		round_of(&l, RTT + RTT / 3); /* short enough */
	assert_true(segments(&l) >= 150);
	l.c.window = 150 * SEGMENT;
	round_of(&l, RTT + RTT / 2 + 2 * OV_MS);
	round_of(&l, RTT + RTT / 2 + 2 * OV_MS); /* its first ACK ends the round before */
	about(segments(&l), 105, 5);
	for (int i = 0; i < 5; i++)
		round_of(&l, RTT + 5 * OV_MS);
	assert_true(segments(&l) >= 105);
}

/* A queue of others: the window comes back, and their delay is borne. */
static void what_does_not_help_is_taken_back(void **state)
{
	(void)state;
	struct link l = link_new();
	round_of(&l, RTT);
	congestion_on_loss(&l.c, l.now, l.now, false);
	l.c.window = 150 * SEGMENT;
	l.now += OV_MS;
	round_of(&l, 2 * RTT);
	double least = segments(&l);
	for (int i = 0; i < 9; i++) {
		l.now += OV_MS;
		round_of(&l, 2 * RTT);
		least = segments(&l) < least ? segments(&l) : least;
	}
	about(least, 150 * 0.7 * 0.7 * 0.7, 4);
	assert_true(segments(&l) >= 150);
}

/* Random loss: nothing waits anywhere, so it is not taken for congestion in full. */
static void a_loss_on_an_empty_path_costs_less(void **state)
{
	(void)state;
	struct link l = link_new();
	round_of(&l, RTT);
	round_of(&l, RTT);
	l.c.window = 100 * SEGMENT;
	congestion_on_loss(&l.c, l.now, l.now, false);
	about(segments(&l), 85, 0.001);
	round_of(&l, RTT);
	round_of(&l, RTT + RTT / 4);
	l.c.window = 100 * SEGMENT;
	congestion_on_loss(&l.c, l.now, l.now, false);
	about(segments(&l), 70, 0.001);
}

static void an_app_that_says_little_opens_no_window(void **state)
{
	(void)state;
	struct link l = link_new();
	uint64_t before = l.c.window;
	for (int i = 0; i < 1000; i++)
		congestion_on_ack(&l.c, l.now,
			&(struct congestion_ack){ .bytes = SEGMENT,
				.largest_sent_at = l.now - RTT,
				.smoothed = RTT,
				.app_limited = true });
	assert_int_equal(l.c.window, before);
}

/* RFC 9438 5.8: an hour of little is no hour of growth. */
static void quiet_time_does_not_count(void **state)
{
	(void)state;
	struct link l = link_new();
	l.c.window = 1000 * SEGMENT;
	congestion_on_loss(&l.c, l.now, l.now, false);
	l.now += OV_MS;
	for (int i = 0; i < 20; i++)
		round_of(&l, RTT);
	double before = segments(&l);
	congestion_on_ack(&l.c, l.now,
		&(struct congestion_ack){ .bytes = SEGMENT,
			.largest_sent_at = l.now,
			.smoothed = RTT,
			.app_limited = true });
	l.now += 3600 * OV_SEC;
	round_of(&l, RTT);
	assert_true(segments(&l) < before + 30);
}

/* ---- pacing ---- */

static void as_fast_as_the_window_and_a_quarter(void **state)
{
	(void)state;
	struct pacer p = { 0 };
	struct pacer_rate r = { .window = 1000 * SEGMENT, .srtt = RTT, .segment = SEGMENT };
	uint64_t sent = 0;
	ov_time now = OV_SEC, end = now + 10 * OV_SEC;
	unsigned wakes = 0;
	while (now < end) {
		while (pacer_allows(&p, now, &r)) {
			pacer_on_sent(&p, SEGMENT);
			sent += SEGMENT;
		}
		ov_time at = pacer_deadline(&p, now, &r);
		assert_true(at > now);
		now = at;
		wakes++;
	}
	about((double)sent / 10, 1.25 * 1000 * SEGMENT * 10, 1.25 * 1000 * SEGMENT * 10 * 0.01);
	assert_true(wakes < 30000);
	r.slow_start = true;
	assert_true(pacer_deadline(&p, now, &r) < now + 10 * OV_MS);
}

static void without_an_rtt_nothing_waits(void **state)
{
	(void)state;
	struct pacer p = { 0 };
	struct pacer_rate r = { .window = 10 * SEGMENT, .segment = SEGMENT };
	for (int i = 0; i < 100; i++) {
		assert_true(pacer_allows(&p, OV_SEC, &r));
		pacer_on_sent(&p, SEGMENT);
	}
	assert_int_equal(pacer_deadline(&p, OV_SEC, &r), OV_SEC);
}

/* After a pause no more than a burst goes at once. */
static void a_pause_saves_up_one_burst(void **state)
{
	(void)state;
	struct pacer p = { 0 };
	struct pacer_rate r = { .window = 100 * SEGMENT, .srtt = RTT, .segment = SEGMENT };
	int at_once = 0;
	for (; pacer_allows(&p, 3600 * OV_SEC, &r); at_once++)
		pacer_on_sent(&p, SEGMENT);
	assert_int_equal(at_once, 10);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_first_window),
		cmocka_unit_test(slow_start_doubles),
		cmocka_unit_test(the_cubic_comes_back_when_it_says),
		cmocka_unit_test(fast_convergence),
		cmocka_unit_test(as_fast_as_reno),
		cmocka_unit_test(one_reduction_for_each_round_trip),
		cmocka_unit_test(persistent_congestion_begins_anew),
		cmocka_unit_test(growing_delay_ends_slow_start),
		cmocka_unit_test(a_delay_that_was_a_moment_does_not),
		cmocka_unit_test(a_standing_queue_is_given_way_to),
		cmocka_unit_test(what_does_not_help_is_taken_back),
		cmocka_unit_test(a_loss_on_an_empty_path_costs_less),
		cmocka_unit_test(an_app_that_says_little_opens_no_window),
		cmocka_unit_test(quiet_time_does_not_count),
		cmocka_unit_test(as_fast_as_the_window_and_a_quarter),
		cmocka_unit_test(without_an_rtt_nothing_waits),
		cmocka_unit_test(a_pause_saves_up_one_burst),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
