/* Which packets are marked, and when that ends (RFC 9000 13.4.2, A.4); a bottleneck that marks. */
#include "core/ecn.h"

#include "core/transport_state.h"

#include "tests/unit/transport_crowd.h"

static struct ecn_path tested(unsigned sent)
{
	struct ecn_path e = { .state = ECN_TESTING };
	for (unsigned i = 0; i < sent && ecn_marks(&e, false); i++)
		ecn_on_sent(&e);
	return e;
}

static bool ack(struct ecn_path *e, uint32_t ect0, uint32_t ce, uint64_t newly_marked)
{
	return ecn_on_ack(e, &(struct ecn_counts){ ect0, ce, newly_marked });
}

static void ten_packets_are_a_test(void **state)
{
	(void)state;
	struct ecn_path e = tested(100);
	assert_int_equal(e.marked, 10);
	assert_false(ecn_marks(&e, false));
	assert_false(ack(&e, 2, 0, 2));
	assert_int_equal(e.state, ECN_CAPABLE);
	assert_true(ecn_marks(&e, true));
	e = tested(3);
	assert_true(ecn_marks(&e, false));
	assert_false(ecn_marks(&e, true)); /* silence: is it the mark? */
}

static void a_path_that_eats_marks_gets_none(void **state)
{
	(void)state;
	struct ecn_path e = tested(10);
	ecn_on_lost(&e, 9);
	assert_int_equal(e.state, ECN_TESTING);
	ecn_on_lost(&e, 1);
	assert_int_equal(e.state, ECN_OFF);
	assert_false(ecn_marks(&e, false));
	e = tested(10);
	ack(&e, 1, 0, 1);
	ecn_on_lost(&e, 100); /* it passed marks: these are plain losses */
	assert_int_equal(e.state, ECN_CAPABLE);
}

static void wrong_counts_end_it(void **state)
{
	(void)state;
	static const struct ecn_counts wrong[] = {
		{ 0, 0, 2 },  /* cleared on the way, or not told */
		{ 1, 0, 2 },  /* one of them */
		{ 11, 0, 2 }, /* more than were sent */
		{ 0, 11, 2 },
	};
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		struct ecn_path e = tested(10);
		assert_false(ecn_on_ack(&e, &wrong[i]));
		assert_int_equal(e.state, ECN_OFF);
		assert_false(ack(&e, 10, 10, 0));
	}
	struct ecn_path e = tested(10);
	ack(&e, 5, 0, 5);
	ack(&e, 2, 0, 0); /* a count that shrinks */
	assert_int_equal(e.state, ECN_OFF);
}

static void marks_by_routers_are_told_once(void **state)
{
	(void)state;
	struct ecn_path e = tested(10);
	assert_true(ack(&e, 1, 1, 2));
	assert_false(ack(&e, 3, 1, 2));
	assert_true(ack(&e, 3, 2, 1));
	e.ect0 = UINT32_MAX; /* counts are modulo 2^32 */
	e.marked += 10;
	assert_false(ack(&e, 1, 2, 2));
	assert_int_equal(e.state, ECN_CAPABLE);
}

/* A queue that marks above a tenth of what the path holds: nothing is lost, little waits. */
static struct crowd *behind_marks(bool marks, bool carries)
{
	struct crowd_config config = { .delay = 20 * OV_MS,
		.rate = 20 * 125000,
		.queue = 100000,
		.knows_rtt = true,
		.carries_ecn = carries };
	config.marks_above = marks ? 10000 : 0;
	struct crowd *c = crowd_new(3, &config);
	crowd_add(c, 0, OV_NEVER);
	crowd_run(c, 2 * OV_SEC);
	memset(&c->waits, 0, sizeof(c->waits));
	c->flows[0].got = 0;
	crowd_run(c, 20 * OV_SEC);
	return c;
}

static void a_router_that_marks_is_heard(void **state)
{
	(void)state;
	struct crowd *c = behind_marks(true, true);
	const struct space *s = c->flows[0].ends[0]->active;
	assert_int_equal(s->ecn.state, ECN_CAPABLE);
	assert_true(s->ecn.ce > 0);
	double used = (double)c->flows[0].got / 20 / (double)c->config.rate;
	print_message(
		"used %.2f, a ping takes %.2f times the path's RTT (95 %%: %.2f), %llu lost\n",
		used, 1 + c->waits.sum / (double)c->waits.count, 1 + crowd_wait_quantile(c, 0.95),
		(unsigned long long)c->dropped);
	assert_true(used > 0.85);
	assert_true(crowd_wait_quantile(c, 0.95) <= 0.25);
	assert_int_equal(c->dropped, 0);
	crowd_free(c);
}

static void marks_alone_change_nothing(void **state)
{
	(void)state;
	struct crowd *c = behind_marks(false, true);
	assert_int_equal(c->flows[0].ends[0]->active->ecn.state, ECN_CAPABLE);
	crowd_free(c);
	c = behind_marks(false, false);
	assert_int_equal(c->flows[0].ends[0]->active->ecn.marked, 0);
	crowd_free(c);
}

static void a_path_that_spoils_marks_is_left_unmarked(void **state)
{
	(void)state;
	for (int what = 0; what < 2; what++) {
		struct crowd_config config = { .delay = 20 * OV_MS,
			.rate = 20 * 125000,
			.queue = 100000,
			.carries_ecn = true };
		config.clears_marks = what == 0;
		config.drops_marked = what == 1;
		struct crowd *c = crowd_new(3, &config);
		crowd_add(c, 0, OV_NEVER);
		crowd_run(c, 10 * OV_SEC);
		assert_int_equal(c->flows[0].ends[0]->active->ecn.state, ECN_OFF);
		assert_true((double)c->flows[0].got > 0.6 * 10 * (double)config.rate);
		crowd_free(c);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ten_packets_are_a_test),
		cmocka_unit_test(a_path_that_eats_marks_gets_none),
		cmocka_unit_test(wrong_counts_end_it),
		cmocka_unit_test(marks_by_routers_are_told_once),
		cmocka_unit_test(a_router_that_marks_is_heard),
		cmocka_unit_test(marks_alone_change_nothing),
		cmocka_unit_test(a_path_that_spoils_marks_is_left_unmarked),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
