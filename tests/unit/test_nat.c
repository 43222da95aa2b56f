/* Which NAT stands before us, from what others saw, and how two may meet. */
#include "tests/unit/seeded.h"

#include "discovery/nat.h"

static struct ov_addr observer(unsigned i)
{
	return addr_v4(192, 0, 2, (uint8_t)(1 + i / 2), (uint16_t)(27182 + i % 2));
}

/* Two observers with two ports each see these ports of our socket. */
static struct nat seen(const uint16_t ports[4], bool is_local)
{
	struct nat n = { 0 };
	for (unsigned i = 0; i < 4; i++) {
		struct nat_sample s = { .observer = observer(i),
			.observed = addr_v4(203, 0, 113, 7, ports[i]),
			.local_port = 27182,
			.is_local = is_local };
		nat_add(&n, &s);
	}
	return n;
}

static void samples_tell_the_class(void **state)
{
	(void)state;
	static const struct {
		uint16_t ports[4];
		bool is_local;
		enum nat_mapping mapping;
		enum nat_ports allocation;
		int step;
		enum nat_side side;
	} cases[] = {
		{ { 27182, 27182, 27182, 27182 }, true, NAT_MAPPING_NONE, NAT_PORTS_PRESERVED, 0,
			NAT_SIDE_OPEN },
		{ { 27182, 27182, 27182, 27182 }, false, NAT_MAPPING_ENDPOINT_INDEPENDENT,
			NAT_PORTS_PRESERVED, 0, NAT_SIDE_EASY },
		{ { 5000, 5000, 5000, 5000 }, false, NAT_MAPPING_ENDPOINT_INDEPENDENT,
			NAT_PORTS_UNKNOWN, 0, NAT_SIDE_EASY },
		{ { 5000, 5000, 5001, 5001 }, false, NAT_MAPPING_ADDRESS_DEPENDENT,
			NAT_PORTS_SEQUENTIAL, 1, NAT_SIDE_PREDICTABLE },
		{ { 5000, 5001, 5002, 5003 }, false, NAT_MAPPING_ADDRESS_PORT_DEPENDENT,
			NAT_PORTS_SEQUENTIAL, 1, NAT_SIDE_PREDICTABLE },
		{ { 5008, 5006, 5004, 5000 }, false, NAT_MAPPING_ADDRESS_PORT_DEPENDENT,
			NAT_PORTS_SEQUENTIAL, -2, NAT_SIDE_PREDICTABLE },
		{ { 5000, 41211, 1900, 33333 }, false, NAT_MAPPING_ADDRESS_PORT_DEPENDENT,
			NAT_PORTS_RANDOM, 0, NAT_SIDE_HARD },
		{ { 5000, 5009, 5003, 5007 }, false, NAT_MAPPING_ADDRESS_PORT_DEPENDENT,
			NAT_PORTS_RANDOM, 0, NAT_SIDE_HARD },
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct nat n = seen(cases[i].ports, cases[i].is_local);
		struct nat_class c = nat_classify(&n);
		assert_int_equal(c.mapping, cases[i].mapping);
		assert_int_equal(c.ports, cases[i].allocation);
		assert_int_equal(c.step, cases[i].step);
		assert_int_equal(c.last_port, cases[i].ports[3]);
		assert_int_equal(nat_side(&c), cases[i].side);
	}
}

static void filtering_makes_a_side_open_or_not(void **state)
{
	(void)state;
	static const uint16_t same[4] = { 5000, 5000, 5000, 5000 };
	struct nat n = seen(same, false);
	nat_set_filtering(&n, NAT_FILTERING_OPEN, false); /* full cone */
	struct nat_class c = nat_classify(&n);
	assert_int_equal(nat_side(&c), NAT_SIDE_OPEN);
	nat_set_filtering(&n, NAT_FILTERING_ADDRESS_PORT_DEPENDENT, false);
	c = nat_classify(&n);
	assert_int_equal(nat_side(&c), NAT_SIDE_EASY);
	n = seen(same, true);
	nat_set_filtering(
		&n, NAT_FILTERING_ADDRESS_PORT_DEPENDENT, false); /* a stateful firewall */
	c = nat_classify(&n);
	assert_int_equal(nat_side(&c), NAT_SIDE_EASY);
}

/* Two ports of one address cannot tell that only other addresses are kept out. */
static void a_check_from_two_addresses_counts_more(void **state)
{
	(void)state;
	static const uint16_t same[4] = { 5000, 5000, 5000, 5000 };
	struct nat n = seen(same, false);
	nat_set_filtering(&n, NAT_FILTERING_OPEN, false);
	nat_set_filtering(&n, NAT_FILTERING_ADDRESS_DEPENDENT, true);
	struct nat_class c = nat_classify(&n);
	assert_int_equal(c.filtering, NAT_FILTERING_ADDRESS_DEPENDENT);
	assert_int_equal(nat_side(&c), NAT_SIDE_EASY);
	nat_set_filtering(&n, NAT_FILTERING_OPEN, false); /* another facilitator, with one */
	c = nat_classify(&n);
	assert_int_equal(c.filtering, NAT_FILTERING_ADDRESS_DEPENDENT);
	nat_set_filtering(&n, NAT_FILTERING_OPEN, true);
	c = nat_classify(&n);
	assert_int_equal(nat_side(&c), NAT_SIDE_OPEN);
	nat_forget(&n);
	nat_set_filtering(&n, NAT_FILTERING_ADDRESS_PORT_DEPENDENT, false);
	c = nat_classify(&n);
	assert_int_equal(c.filtering, NAT_FILTERING_ADDRESS_PORT_DEPENDENT);
}

static void one_sample_is_not_enough_and_new_ones_replace_old(void **state)
{
	(void)state;
	struct nat n = { 0 };
	struct nat_class c = nat_classify(&n);
	assert_int_equal(c.mapping, NAT_MAPPING_UNKNOWN);
	struct nat_sample s = { .observer = observer(0),
		.observed = addr_v4(203, 0, 113, 7, 5000),
		.local_port = 27182 };
	nat_add(&n, &s);
	c = nat_classify(&n);
	assert_int_equal(c.mapping, NAT_MAPPING_UNKNOWN);
	s.observed.port = 6000; /* the router was restarted */
	nat_add(&n, &s);
	assert_int_equal(n.count, 1);
	s.observer = observer(2);
	nat_add(&n, &s);
	c = nat_classify(&n);
	assert_int_equal(c.mapping, NAT_MAPPING_ENDPOINT_INDEPENDENT);
	assert_int_equal(c.external.port, 6000);
	for (unsigned i = 0; i < 100; i++) { /* bounded */
		s.observer = addr_v4(198, 51, 100, (uint8_t)i, 27182);
		nat_add(&n, &s);
	}
	assert_int_equal(n.count, NAT_SAMPLES);
	nat_forget(&n);
	assert_int_equal(n.count, 0);
}

static void both_ends_compute_the_same_method(void **state)
{
	(void)state;
	static const enum nat_method table[4][4] = {
		{ NAT_DIAL, NAT_DIAL, NAT_DIAL, NAT_DIAL },
		{ NAT_DIAL, NAT_PUNCH, NAT_PREDICT, NAT_BIRTHDAY },
		{ NAT_DIAL, NAT_PREDICT, NAT_PREDICT_BOTH, NAT_RELAY },
		{ NAT_DIAL, NAT_BIRTHDAY, NAT_RELAY, NAT_RELAY },
	};
	for (unsigned a = 0; a < 4; a++)
		for (unsigned b = 0; b < 4; b++)
			assert_int_equal(
				nat_method((enum nat_side)a, (enum nat_side)b), table[a][b]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(samples_tell_the_class),
		cmocka_unit_test(filtering_makes_a_side_open_or_not),
		cmocka_unit_test(a_check_from_two_addresses_counts_more),
		cmocka_unit_test(one_sample_is_not_enough_and_new_ones_replace_old),
		cmocka_unit_test(both_ends_compute_the_same_method),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
