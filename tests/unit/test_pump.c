/* When the loop lets packets gather: pump_gather against what the node counted. */
#include "tests/unit/seeded.h"

#define WIRE_FAIL(what) fail_msg("%s", what)
#include "tests/unit/node_wire.h"

#include "overlay/pump_uv.h"

/* Turns of `every` for `duration`, each with so many datagrams of `size` bytes, `data` of them
 * packets of users. The longest that the last turn of a window asked to sleep. */
static ov_time run(struct pump *p, ov_time *now, ov_time every, ov_time duration,
	unsigned datagrams, unsigned size, unsigned data)
{
	ov_time asked = 0;
	for (ov_time end = *now + duration; *now < end; *now += every) {
		p->node->counters.datagrams_in += datagrams;
		p->node->counters.bytes_in += (uint64_t)datagrams * size;
		p->node->counters.packets_in += data;
		asked = pump_gather(p, *now);
	}
	return asked;
}

static struct pump *pump_of(struct wire *w, struct pump *p)
{
	assert_int_equal(pump_init(p, w->nodes[0].node, NULL, NULL), OV_OK);
	return p;
}

static void keepalives_of_thousands_gather(void **state)
{
	(void)state;
	struct wire *w = wire_new(1);
	struct pump *p = pump_of(w, calloc(1, sizeof(*p)));
	ov_time now = 10 * OV_SEC;
	assert_int_equal(run(p, &now, OV_MS, OV_SEC, 1, 60, 0), PUMP_GATHER_QUIET);
	/* fewer turns, as that leads to: it stays so */
	assert_int_equal(run(p, &now, 5 * OV_MS, OV_SEC, 5, 60, 0), PUMP_GATHER_QUIET);
	/* the first packet of a user ends it, in that very turn */
	assert_int_equal(run(p, &now, OV_MS, OV_MS, 1, 60, 1), 0);
	assert_int_equal(run(p, &now, OV_MS, 50 * OV_MS, 1, 60, 0), 0);
	assert_int_equal(run(p, &now, OV_MS, 200 * OV_MS, 1, 60, 0), PUMP_GATHER_QUIET);
	free(p);
	wire_free(w);
}

static void few_or_very_many_do_not(void **state)
{
	(void)state;
	struct wire *w = wire_new(1);
	struct pump *p = pump_of(w, calloc(1, sizeof(*p)));
	ov_time now = 10 * OV_SEC;
	assert_int_equal(run(p, &now, 3 * OV_MS, OV_SEC, 1, 60, 0), 0); /* 333 a second */
	assert_int_equal(run(p, &now, OV_MS, OV_SEC, 6, 60, 0), 0);     /* 6,000: a flood */
	assert_int_equal(
		run(p, &now, OV_SEC, 5 * OV_SEC, 200, 60, 0), 0); /* bursts, idle between */
	free(p);
	wire_free(w);
}

static void many_small_packets_gather_shortly(void **state)
{
	(void)state;
	struct wire *w = wire_new(1);
	struct pump *p = pump_of(w, calloc(1, sizeof(*p)));
	ov_time now = 10 * OV_SEC;
	assert_int_equal(run(p, &now, 20 * OV_US, 10 * OV_MS, 1, 100, 1), PUMP_GATHER);
	assert_int_equal(run(p, &now, 20 * OV_US, 10 * OV_MS, 1, 1400, 1), 0); /* large ones */
	assert_int_equal(run(p, &now, 100 * OV_US, 10 * OV_MS, 1, 100, 1), 0); /* 10,000 a second */
	free(p);
	wire_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(keepalives_of_thousands_gather),
		cmocka_unit_test(few_or_very_many_do_not),
		cmocka_unit_test(many_small_packets_gather_shortly),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
