/* DPLPMTUD against a fake link on a virtual clock: every true MTU, every fall, random loss. */
#include "core/pmtu.h"

#include "tests/unit/seeded.h"

#define RTT     (20 * OV_MS)
#define TIMEOUT (100 * OV_MS) /* max(3 SRTT, 100 ms) */

struct fake_link {
	struct pmtu p;
	ov_time now;
	uint16_t passes; /* largest datagram that arrives */
	unsigned loss_percent, probes;
	ov_time rtt, timeout;
	bool busy; /* large datagrams flow, also while a probe is in flight */
	uint64_t seed;
};

static struct fake_link start(uint16_t passes, uint16_t max, bool v6)
{
	struct fake_link l = { .now = 1000 * OV_SEC,
		.passes = passes,
		.seed = passes,
		.rtt = RTT,
		.timeout = TIMEOUT };
	pmtu_init(&l.p, l.now, max, v6);
	assert_int_equal(pmtu_poll(&l.p, l.now), 0); /* not before validation */
	assert_true(pmtu_deadline(&l.p) == OV_NEVER);
	pmtu_on_validated(&l.p, l.now);
	return l;
}

static void check(const struct fake_link *l)
{
	assert_true(l->p.size >= PMTU_FLOOR && l->p.size < l->p.ceiling);
	assert_true(l->p.ceiling <= l->p.max + 1);
	assert_true((l->p.small_since == OV_NEVER) == (l->p.size >= PMTU_MAX));
}

/* Sends one probe if one is due at l->now, and lives through its fate. */
static bool probe_once(struct fake_link *l)
{
	uint16_t size = pmtu_poll(&l->p, l->now);
	if (!size)
		return false;
	assert_int_equal(pmtu_poll(&l->p, l->now), 0); /* one in flight */
	assert_true(pmtu_deadline(&l->p) == OV_NEVER);
	assert_in_range(size, PMTU_FLOOR, l->p.max);
	l->probes++;
	bool lost = size > l->passes || seeded_below(&l->seed, 100) < l->loss_percent;
	ov_time result_at = l->now + (lost ? l->timeout : l->rtt);
	for (; l->busy && l->now < result_at; l->now += 5 * OV_MS)
		pmtu_on_large_sent(&l->p, l->now, l->p.size);
	l->now = result_at;
	if (lost)
		pmtu_on_loss(&l->p, l->now, size);
	else
		pmtu_on_ack(&l->p, l->now, size);
	check(l);
	return true;
}

static void until_idle(struct fake_link *l)
{
	for (unsigned i = 0; probe_once(l); i++)
		assert_in_range(i, 0, 60);
}

static bool converged(const struct fake_link *l)
{
	if (l->passes < PMTU_FLOOR)
		return l->p.size == PMTU_FLOOR && l->p.state == PMTU_ERROR;
	if (l->p.size == l->p.max)
		return l->passes >= l->p.max && l->p.state == PMTU_COMPLETE;
	return l->p.size <= l->passes && l->passes - l->p.size < 16;
}

static void every_mtu_is_found(void **state)
{
	(void)state;
	unsigned worst = 0, worst_common = 0;
	ov_time longest = 0;
	for (unsigned passes = 500; passes <= 1500; passes++) {
		for (int v6 = 0; v6 < 2; v6++) {
			struct fake_link l = start((uint16_t)passes, 1452, v6);
			ov_time begun = l.now;
			assert_int_equal(l.p.size, PMTU_BASE);
			until_idle(&l);
			assert_true(converged(&l));
			worst = l.probes > worst ? l.probes : worst;
			if (passes >= PMTU_BASE && l.probes > worst_common)
				worst_common = l.probes;
			longest = ov_max(longest, l.now - begun);
			if (passes >= 1452)
				assert_int_equal(l.probes, 1);
		}
	}
	print_message("probes: at most %u, from 1200 on %u; at most %d ms\n", worst, worst_common,
		(int)(longest / OV_MS));
	assert_in_range(worst_common, 1, 16);
	assert_in_range(worst, 1, 19);
	assert_true(longest <= 1800 * OV_MS);
}

static void common_mtus_exactly(void **state)
{
	(void)state;
	static const uint16_t mtu[] = { 1492, 1480, 1472, 1454, 1420, 1400, 1360, 1300, 1280 };
	for (size_t i = 0; i < sizeof(mtu) / sizeof(mtu[0]); i++) {
		for (int v6 = 0; v6 < 2; v6++) {
			uint16_t passes = (uint16_t)(mtu[i] - (v6 ? 48 : 28));
			struct fake_link l = start(passes, 1452, v6);
			until_idle(&l);
			assert_int_equal(l.p.size, passes < 1452 ? passes : 1452);
		}
	}
}

static void every_max(void **state)
{
	(void)state;
	for (unsigned max = 0; max <= 1600;
		max++) { /* nothing is probed beyond it; see probe_once */
		struct fake_link l = start(9000, (uint16_t)max, false);
		until_idle(&l);
		assert_int_equal(l.p.size, max < 548 ? 548 : max > 1452 ? 1452 : max);
		assert_int_equal(l.p.state, PMTU_COMPLETE);
		assert_true(pmtu_deadline(&l.p) == OV_NEVER); /* quiet for ever */
		l = start(560, (uint16_t)max, false);
		until_idle(&l);
		assert_true(converged(&l));
	}
}

/* A transfer that sends a large datagram every 5 ms for `span`. Returns when `size` first passed
 * again for good (l->now if it never failed to). */
static ov_time transfer(struct fake_link *l, ov_time span)
{
	ov_time end = l->now + span, good_since = l->now;
	l->busy = true;
	while (l->now < end) {
		pmtu_on_large_sent(&l->p, l->now, l->p.size);
		if (!probe_once(l))
			l->now += 5 * OV_MS;
		if (l->p.size > l->passes && l->p.size > PMTU_FLOOR)
			good_since = l->now;
	}
	l->busy = false;
	return good_since;
}

static void every_fall_recovers(void **state)
{
	(void)state;
	ov_time worst = 0;
	unsigned most = 0;
	for (unsigned from = 1452; from >= 560; from -= 37) {
		for (unsigned to = 500; to < from; to += to == 1271 ? 1 : 9) {
			struct fake_link l = start((uint16_t)from, 1452, false);
			until_idle(&l);
			ov_time ok = transfer(&l, 3 * OV_SEC + to % 10 * 100 * OV_MS);
			assert_true(ok < l.now && l.p.size <= from); /* quiet life: never fell */
			l.passes = (uint16_t)to;
			l.probes = 0;
			ov_time fell = l.now;
			ov_time took = transfer(&l, 10 * OV_SEC) - fell;
			assert_true(converged(&l));
			if (to >= PMTU_BASE)
				worst = ov_max(worst, took);
			assert_true(took <= 2 * OV_SEC);
			most = l.probes > most ? l.probes : most;
		}
	}
	print_message("fall in mid-transfer: passes again after at most %d ms (to 1200 or more), "
		      "%u probes in 10 s\n",
		(int)(worst / OV_MS), most);
	assert_true(worst <= 1300 * OV_MS);
	assert_in_range(most, 1, 40);
}

static void fall_of_an_idle_path_is_seen_by_the_next_transfer(void **state)
{
	(void)state;
	struct fake_link l = start(1452, 1452, false);
	until_idle(&l);
	l.now += 3600 * OV_SEC;
	l.passes = 1272;
	assert_false(probe_once(&l)); /* silence costs nothing */
	ov_time begun = l.now;
	assert_true(transfer(&l, 5 * OV_SEC) - begun <= 200 * OV_MS); /* two timeouts */
	assert_int_equal(l.p.size, 1272);
}

static void verified_once_a_second_only_while_large_are_sent(void **state)
{
	(void)state;
	struct fake_link l = start(1452, 1452, false);
	until_idle(&l);
	l.probes = 0;
	transfer(&l, 10 * OV_SEC);
	assert_in_range(l.probes, 9, 10);
	l.now += 10 * OV_SEC;
	until_idle(&l);
	l.probes = 0;
	for (int i = 0; i < 2000; i++, l.now += 5 * OV_MS) {
		pmtu_on_large_sent(&l.p, l.now, PMTU_BASE); /* small enough to pass anyway */
		probe_once(&l);
	}
	assert_int_equal(l.probes, 0);
}

static void one_loss_never_shrinks(void **state)
{
	(void)state;
	struct fake_link l = start(1452, 1452, false);
	until_idle(&l);
	for (int i = 0; i < 100; i++) {
		l.now += OV_SEC;
		pmtu_on_large_sent(&l.p, l.now, 1452);
		assert_int_equal(pmtu_poll(&l.p, l.now), 1452);
		pmtu_on_loss(&l.p, l.now, 1452);
		assert_int_equal(l.p.size, 1452);
		assert_int_equal(pmtu_poll(&l.p, l.now), 1452); /* asked again at once */
		pmtu_on_ack(&l.p, l.now, 1452);
		assert_int_equal(l.p.size, 1452);
		assert_int_equal(l.p.state, PMTU_COMPLETE);
	}
	l.now += OV_SEC;
	pmtu_on_large_sent(&l.p, l.now, 1452);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(pmtu_poll(&l.p, l.now), 1452);
		pmtu_on_loss(&l.p, l.now, 1452);
	}
	assert_int_equal(l.p.size, PMTU_BASE); /* two: at once */
	assert_int_equal(pmtu_poll(&l.p, l.now), PMTU_BASE);
	pmtu_on_ack(&l.p, l.now, PMTU_BASE);
	assert_int_equal(pmtu_poll(&l.p, l.now), 1452); /* false alarm: back after one more RTT */
	pmtu_on_ack(&l.p, l.now, 1452);
	assert_int_equal(l.p.size, 1452);
	assert_int_equal(l.p.state, PMTU_COMPLETE);
}

static void random_loss_does_not_keep_it_small(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 40; seed++) {
		struct fake_link l = start(1452, 1452, false);
		l.seed = seed;
		l.loss_percent = 10;
		ov_time full = 0, begun = l.now;
		while (l.now < begun + 1800 * OV_SEC) {
			ov_time before = l.now;
			pmtu_on_large_sent(&l.p, l.now, l.p.size);
			if (!probe_once(&l))
				l.now += 50 * OV_MS;
			full += l.p.size == 1452 ? l.now - before : 0;
		}
		if (full < 1300 * OV_SEC)
			fail_msg("seed %u: full size for %d s of 1800", (unsigned)seed,
				(int)(full / OV_SEC));
		l.loss_percent = 0; /* and within one raise period it is back */
		transfer(&l, 605 * OV_SEC);
		assert_int_equal(l.p.size, 1452);
	}
}

static void grows_again_after_the_raise_timer(void **state)
{
	(void)state;
	struct fake_link l = start(1300, 1452, true);
	until_idle(&l);
	uint16_t small = l.p.size;
	l.passes = 1452;
	assert_true(pmtu_deadline(&l.p) == OV_NEVER); /* an idle path stays silent */
	l.now = l.p.again_at - 1;
	pmtu_on_large_sent(&l.p, l.now, 100);
	assert_false(probe_once(&l));
	assert_int_equal(l.p.size, small);
	l.now += 1;
	assert_false(probe_once(&l));
	pmtu_on_large_sent(&l.p, l.now, 100);
	until_idle(&l);
	assert_int_equal(l.p.size, 1452);
}

static void error_is_left_within_ten_seconds(void **state)
{
	(void)state;
	struct fake_link l = start(500, 1452, false);
	until_idle(&l);
	assert_int_equal(l.p.state, PMTU_ERROR);
	assert_int_equal(l.p.size, PMTU_FLOOR);
	l.passes = 1452;
	l.now += 10 * OV_SEC;
	assert_int_equal(pmtu_poll(&l.p, l.now), 0);
	pmtu_on_large_sent(&l.p, l.now, 100);
	assert_int_equal(pmtu_poll(&l.p, l.now), PMTU_BASE); /* the likeliest to pass comes first */
	pmtu_on_ack(&l.p, l.now, PMTU_BASE);
	until_idle(&l);
	assert_int_equal(l.p.size, 1452);
	assert_int_equal(l.p.state, PMTU_COMPLETE);
}

/* Timeouts longer than the verification interval: both activities still come to an end. */
static void search_ends_on_a_slow_busy_path(void **state)
{
	(void)state;
	struct fake_link l = start(1300, 1452, false);
	l.rtt = 500 * OV_MS;
	l.timeout = 1500 * OV_MS;
	transfer(&l, 40 * OV_SEC);
	assert_true(converged(&l));
	assert_int_equal(l.p.state, PMTU_COMPLETE);
}

static void late_ack_counts(void **state)
{
	(void)state;
	struct fake_link l = start(1452, 1452, false);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(pmtu_poll(&l.p, l.now), 1452);
		pmtu_on_loss(&l.p, l.now, 1452);
	}
	assert_int_equal(pmtu_poll(&l.p, l.now), PMTU_BASE);
	pmtu_on_ack(&l.p, l.now, 1452); /* it had only been slow */
	check(&l);
	assert_int_equal(l.p.size, 1452);
	for (int i = 0; i < 3; i++) /* and what is in flight below it can do no harm */
		pmtu_on_loss(&l.p, l.now, PMTU_BASE);
	check(&l);
	assert_int_equal(l.p.size, 1452);
	assert_int_equal(pmtu_poll(&l.p, l.now), 0);
	assert_int_equal(l.p.state, PMTU_COMPLETE);
	pmtu_on_loss(&l.p, l.now, 1452); /* nothing in flight: ignored */
	pmtu_on_loss(&l.p, l.now, 0);
	assert_int_equal(l.p.size, 1452);
	pmtu_on_large_sent(&l.p, l.now + OV_SEC, 1452);
	assert_int_equal(pmtu_poll(&l.p, l.now + OV_SEC), 1452);
	pmtu_on_loss(&l.p, l.now + OV_SEC, 1452);
	pmtu_on_ack(&l.p, l.now + OV_SEC, 1452); /* late again: nothing to repeat */
	assert_int_equal(pmtu_poll(&l.p, l.now + OV_SEC), 0);
	assert_int_equal(l.p.probe_count, 0);
}

static void refusals_are_believed(void **state)
{
	(void)state;
	for (unsigned limit = 500; limit < 1452; limit++) {
		struct fake_link l = start(1452, 1452, false);
		until_idle(&l);
		l.probes = 0;
		for (unsigned size = 1452; size > limit; size -= size - limit > 7 ? 7 : 1) {
			pmtu_on_refused(&l.p, l.now, (uint16_t)size);
			if (limit >= PMTU_FLOOR)
				check(&l);
		}
		assert_true(l.p.size <= limit || l.p.size == PMTU_FLOOR);
		until_idle(&l); /* the search stays below, and comes close */
		if (limit >= PMTU_FLOOR)
			assert_true(l.p.size <= limit && limit - l.p.size < 16);
		assert_in_range(l.probes, limit >= PMTU_FLOOR + 16, 16);
	}
	struct fake_link l = start(1452, 1452, false);
	assert_int_equal(pmtu_poll(&l.p, l.now), 1452);
	pmtu_on_refused(&l.p, l.now, 1452); /* a probe may be refused */
	assert_int_equal(pmtu_poll(&l.p, l.now), PMTU_BASE);
	struct pmtu fresh;
	pmtu_init(&fresh, 0, 1452, false);
	pmtu_on_refused(&fresh, 0, 1300); /* before validation: noted, nothing probed */
	assert_int_equal(pmtu_poll(&fresh, 0), 0);
	assert_true(pmtu_deadline(&fresh) == OV_NEVER);
}

/* Any order of reports keeps the invariant and never wedges the machine. */
/* A carrier that takes any size: nothing that happens makes it smaller, and nothing is asked. */
static void a_fixed_one_stays(void **state)
{
	(void)state;
	struct pmtu p;
	ov_time now = OV_SEC;
	pmtu_fix(&p, now, 1400);
	pmtu_on_validated(&p, now);
	for (int i = 0; i < 1000; i++, now += OV_SEC) {
		pmtu_on_large_sent(&p, now, 1400);
		if (i % 100 == 0)
			pmtu_on_refused(&p, now, 1000);
		assert_int_equal(pmtu_poll(&p, now), 0);
		assert_true(pmtu_deadline(&p) == OV_NEVER);
		assert_int_equal(p.size, 1400);
	}
	pmtu_fix(&p, now, 9000);
	assert_int_equal(p.size, PMTU_MAX);
}

static void random_reports(void **state)
{
	(void)state;
	uint64_t seed = 8899;
	for (int round = 0; round < 2000; round++) {
		struct fake_link l =
			start(1452, (uint16_t)(500 + seeded_below(&seed, 1000)), round % 2);
		for (int i = 0; i < 100; i++) {
			uint16_t any = (uint16_t)seeded_below(&seed, 1500);
			l.now += (ov_time)seeded_below(&seed, 2 * (uint64_t)OV_SEC);
			switch (seeded_below(&seed, 6)) {
			case 0: pmtu_on_ack(&l.p, l.now, any); break;
			case 1: pmtu_on_ack(&l.p, l.now, l.p.probe_size); break;
			case 2: pmtu_on_loss(&l.p, l.now, l.p.probe_size); break;
			case 3: pmtu_on_refused(&l.p, l.now, any); break;
			case 4: pmtu_on_large_sent(&l.p, l.now, any); break;
			default: pmtu_poll(&l.p, l.now);
			}
			check(&l);
		}
		if (l.p.probe_size)
			pmtu_on_loss(&l.p, l.now, l.p.probe_size);
		for (int i = 0; i < 2; i++) {
			l.now += 601 * OV_SEC;
			pmtu_on_large_sent(&l.p, l.now, 100);
			until_idle(&l);
		}
		assert_int_equal(l.p.size, l.p.max);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_mtu_is_found),
		cmocka_unit_test(common_mtus_exactly),
		cmocka_unit_test(every_max),
		cmocka_unit_test(every_fall_recovers),
		cmocka_unit_test(fall_of_an_idle_path_is_seen_by_the_next_transfer),
		cmocka_unit_test(verified_once_a_second_only_while_large_are_sent),
		cmocka_unit_test(one_loss_never_shrinks),
		cmocka_unit_test(random_loss_does_not_keep_it_small),
		cmocka_unit_test(grows_again_after_the_raise_timer),
		cmocka_unit_test(error_is_left_within_ten_seconds),
		cmocka_unit_test(search_ends_on_a_slow_busy_path),
		cmocka_unit_test(late_ack_counts),
		cmocka_unit_test(refusals_are_believed),
		cmocka_unit_test(a_fixed_one_stays),
		cmocka_unit_test(random_reports),
	};
	return cmocka_run_group_tests_name("pmtu", tests, NULL, NULL);
}
