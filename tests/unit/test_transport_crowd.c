/* What one transport does to others behind the same bottleneck: how long they wait in its queue,
 * what share each has, and what is left of one beside a loss-based sender. Figures are printed. */
#include "tests/unit/transport_crowd.h"

/* 40 ms, and a queue of so many times what the path itself holds. */
static struct crowd *behind(uint64_t mbit, double queue, bool knows_rtt)
{
	struct crowd_config c = {
		.delay = 20 * OV_MS, .rate = mbit * 125000, .knows_rtt = knows_rtt
	};
	c.queue = (uint64_t)((double)c.rate * 0.04 * queue);
	return crowd_new(7, &c);
}

/* Runs, and tells the share of the link that was used. */
static double used(struct crowd *c, int seconds)
{
	double sum = 0;
	crowd_run(c, seconds * OV_SEC);
	for (size_t i = 0; i < c->count; i++)
		sum += (double)c->flows[i].got;
	double of = sum / seconds / (double)c->config.rate;
	print_message("used %.2f, Jain %.3f, a ping takes %.2f times the path's RTT (95 %%: %.2f), "
		      "%llu lost\n",
		of, crowd_jain(c), 1 + c->waits.sum / (double)c->waits.count,
		1 + crowd_wait_quantile(c, 0.95), (unsigned long long)c->dropped);
	return of;
}

static void a_ping_beside_one_waits_little(void **state)
{
	(void)state;
	static const double queues[] = { 1, 8 };
	for (size_t i = 0; i < 2; i++) {
		struct crowd *c = behind(20, queues[i], i == 1);
		crowd_add(c, 0, OV_NEVER);
		assert_true(used(c, 30) > 0.9);
		assert_true(crowd_wait_quantile(c, 0.95) <= 0.6);
		assert_true(c->dropped < 20);
		crowd_free(c);
	}
}

/* That they know the RTT of the empty path, from the node's probes, keeps the queue short. */
static void two_share(void **state)
{
	(void)state;
	struct crowd *c = behind(20, 4, true);
	crowd_add(c, 0, OV_NEVER);
	crowd_add(c, 3 * OV_SEC, OV_NEVER);
	assert_true(used(c, 60) > 0.9);
	assert_true(crowd_jain(c) > 0.97);
	assert_true(crowd_wait_quantile(c, 0.95) <= 0.8);
	crowd_free(c);
}

static void ten_share(void **state)
{
	(void)state;
	struct crowd *c = behind(50, 8, true);
	for (int i = 0; i < 10; i++)
		crowd_add(c, i * 100 * OV_MS, OV_NEVER);
	assert_true(used(c, 30) > 0.9);
	assert_true(crowd_jain(c) > 0.9);
	assert_true(crowd_wait_quantile(c, 0.95) <= 1);
	crowd_free(c);
}

static void a_hundred_share(void **state)
{
	(void)state;
	struct crowd *c = behind(100, 1, false);
	for (int i = 0; i < 100; i++)
		crowd_add(c, i * 10 * OV_MS, OV_NEVER);
	assert_true(used(c, 15) > 0.9);
	assert_true(crowd_jain(c) > 0.95);
	crowd_free(c);
}

static void a_loss_based_sender_leaves_a_share(void **state)
{
	(void)state;
	struct crowd *c = behind(20, 4, false);
	crowd_add(c, 0, OV_NEVER);
	crowd_add_rival(c, 2 * OV_SEC, 30 * OV_SEC);
	crowd_run(c, 10 * OV_SEC);
	c->flows[0].got = c->flows[1].got = 0;
	assert_true(used(c, 20) > 0.9);
	double share = (double)c->flows[0].got / (double)(c->flows[0].got + c->flows[1].got);
	print_message("a share of %.2f\n", share);
	assert_true(share > 0.12);
	crowd_run(c, 10 * OV_SEC); /* it is gone: the queue goes too */
	memset(&c->waits, 0, sizeof(c->waits));
	c->flows[0].got = c->flows[1].got = 0;
	assert_true(used(c, 10) > 0.9);
	assert_true(crowd_wait_quantile(c, 0.95) <= 0.6);
	crowd_free(c);
}

/* Random loss: at least what loss-based CUBIC gets. */
static void loss_costs_no_more_than_others(void **state)
{
	(void)state;
	static const uint32_t losses[] = { 10000, 50000 };
	for (size_t i = 0; i < 2; i++) {
		uint64_t got[2];
		for (int k = 0; k < 2; k++) {
			struct crowd *c = behind(100, 1, false);
			c->config.loss = losses[i];
			if (k == 0)
				crowd_add(c, 0, OV_NEVER);
			else
				crowd_add_rival(c, 0, OV_NEVER);
			crowd_run(c, 60 * OV_SEC);
			got[k] = c->flows[0].got;
			crowd_free(c);
		}
		print_message("%u of a million lost: %.2f Mbit/s, loss-based %.2f\n", losses[i],
			(double)got[0] / 7.5e6, (double)got[1] / 7.5e6);
		assert_true(got[0] > got[1]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_ping_beside_one_waits_little),
		cmocka_unit_test(two_share),
		cmocka_unit_test(ten_share),
		cmocka_unit_test(a_hundred_share),
		cmocka_unit_test(a_loss_based_sender_leaves_a_share),
		cmocka_unit_test(loss_costs_no_more_than_others),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
