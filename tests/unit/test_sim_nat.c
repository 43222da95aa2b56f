/* The simulator's NAT box against the words of RFC 4787. */
#include "tests/sim/nat.h"
#include "tests/sim/seed.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define INSIDE  addr_v4(192, 168, 1, 10, 27182)
#define OTHER   addr_v4(192, 168, 1, 11, 27182)
#define OUTSIDE addr_v4(203, 0, 113, 1, 0)

static struct seed chance;

static struct nat make(enum nat_behaviour mapping, enum nat_behaviour filtering)
{
	struct nat n;
	struct nat_config c = { .translate = true,
		.outside = OUTSIDE,
		.mapping = mapping,
		.filtering = filtering,
		.ports = NAT_PORT_SEQUENTIAL,
		.lifetime = 120 * OV_SEC,
		.hairpin = true };
	nat_init(&n, &c);
	seed_init(&chance, 1, 1);
	return n;
}

/* Sends inside -> remote; returns the outside port. */
static uint16_t out(struct nat *n, ov_time now, struct ov_addr inside, struct ov_addr remote)
{
	assert_int_equal(nat_outbound(n, now, &chance, &inside, &remote), NAT_PASS);
	assert_true(addr_same_ip(&inside, &(struct ov_addr[]){ OUTSIDE }[0]));
	return inside.port;
}

static enum nat_verdict in(struct nat *n, ov_time now, struct ov_addr from, uint16_t port)
{
	struct ov_addr to = OUTSIDE, inside = INSIDE;
	to.port = port;
	enum nat_verdict v = nat_inbound(n, now, &from, &to);
	if (v == NAT_PASS)
		assert_true(addr_equal(&to, &inside));
	return v;
}

/* 4.1: which destinations share a mapping */
static void mapping(void **state)
{
	(void)state;
	struct ov_addr x1 = addr_v4(1, 1, 1, 1, 1), x2 = addr_v4(1, 1, 1, 1, 2),
		       y1 = addr_v4(2, 2, 2, 2, 1);
	static const struct {
		enum nat_behaviour b;
		bool same_port2, same_ip2;
	} cases[] = {
		{ NAT_ENDPOINT_INDEPENDENT, true, true },
		{ NAT_ADDRESS_DEPENDENT, true, false },
		{ NAT_ADDRESS_PORT_DEPENDENT, false, false },
	};
	for (size_t i = 0; i < 3; i++) {
		struct nat n = make(cases[i].b, NAT_ENDPOINT_INDEPENDENT);
		uint16_t port = out(&n, 0, INSIDE, x1);
		assert_int_equal(out(&n, 0, INSIDE, x1), port);
		assert_int_equal(out(&n, 0, INSIDE, x2) == port, cases[i].same_port2);
		assert_int_equal(out(&n, 0, INSIDE, y1) == port, cases[i].same_ip2);
		assert_int_not_equal(out(&n, 0, OTHER, x1), port);
	}
}

/* 5: who may answer */
static void filtering(void **state)
{
	(void)state;
	struct ov_addr x1 = addr_v4(1, 1, 1, 1, 1), x2 = addr_v4(1, 1, 1, 1, 2),
		       y1 = addr_v4(2, 2, 2, 2, 1);
	static const struct {
		enum nat_behaviour b;
		enum nat_verdict other_port, other_ip;
	} cases[] = {
		{ NAT_ENDPOINT_INDEPENDENT, NAT_PASS, NAT_PASS },
		{ NAT_ADDRESS_DEPENDENT, NAT_PASS, NAT_FILTERED },
		{ NAT_ADDRESS_PORT_DEPENDENT, NAT_FILTERED, NAT_FILTERED },
	};
	for (size_t i = 0; i < 3; i++) {
		struct nat n = make(NAT_ENDPOINT_INDEPENDENT, cases[i].b);
		assert_int_equal(in(&n, 0, x1, 20000), NAT_NO_MAPPING);
		uint16_t port = out(&n, 0, INSIDE, x1);
		assert_int_equal(in(&n, 0, x1, port), NAT_PASS);
		assert_int_equal(in(&n, 0, x2, port), cases[i].other_port);
		assert_int_equal(in(&n, 0, y1, port), cases[i].other_ip);
		assert_int_equal(in(&n, 0, x1, (uint16_t)(port + 1)), NAT_NO_MAPPING);
	}
}

/* 4.3: outbound refreshes, inbound only where the box says so */
static void lifetime(void **state)
{
	(void)state;
	struct ov_addr x = addr_v4(1, 1, 1, 1, 1);
	for (int refresh = 0; refresh < 2; refresh++) {
		struct nat n = make(NAT_ENDPOINT_INDEPENDENT, NAT_ADDRESS_PORT_DEPENDENT);
		n.config.refresh_inbound = refresh;
		uint16_t port = out(&n, 0, INSIDE, x);
		assert_int_equal(in(&n, 119 * OV_SEC, x, port), NAT_PASS);
		assert_int_equal(
			in(&n, 121 * OV_SEC, x, port), refresh ? NAT_PASS : NAT_NO_MAPPING);
		port = out(&n, 121 * OV_SEC, INSIDE, x);
		out(&n, 200 * OV_SEC, INSIDE, x);
		assert_int_equal(in(&n, 319 * OV_SEC, x, port), NAT_PASS);
	}
}

/* 4.2: preservation with a collision; sequence; randomness */
static void ports(void **state)
{
	(void)state;
	struct ov_addr x = addr_v4(1, 1, 1, 1, 1), y = addr_v4(2, 2, 2, 2, 2);
	struct nat n = make(NAT_ADDRESS_PORT_DEPENDENT, NAT_ADDRESS_PORT_DEPENDENT);
	n.config.ports = NAT_PORT_PRESERVE;
	assert_int_equal(out(&n, 0, INSIDE, x), 27182);
	assert_int_not_equal(out(&n, 0, OTHER, x), 27182);
	n = make(NAT_ADDRESS_PORT_DEPENDENT, NAT_ADDRESS_PORT_DEPENDENT);
	uint16_t first = out(&n, 0, INSIDE, x);
	assert_int_equal(out(&n, 0, INSIDE, y), first + 1);
	n = make(NAT_ADDRESS_PORT_DEPENDENT, NAT_ADDRESS_PORT_DEPENDENT);
	n.config.ports = NAT_PORT_RANDOM;
	first = out(&n, 0, INSIDE, x);
	assert_int_not_equal(out(&n, 0, INSIDE, y), first + 1);
}

/* 6: both behind one box meet at its outside address */
static void hairpin(void **state)
{
	(void)state;
	struct nat n = make(NAT_ENDPOINT_INDEPENDENT, NAT_ENDPOINT_INDEPENDENT);
	struct ov_addr x = addr_v4(1, 1, 1, 1, 1), source = OTHER, to = OUTSIDE, inside = INSIDE;
	to.port = out(&n, 0, INSIDE, x);
	assert_int_equal(nat_outbound(&n, 0, &chance, &source, &to), NAT_HAIRPIN);
	assert_true(addr_equal(&to, &inside));
	assert_true(addr_same_ip(&source, &n.config.outside));
	n.config.hairpin = false;
	source = OTHER;
	to = n.config.outside;
	to.port = n.sessions[0].outside_port;
	assert_int_equal(nat_outbound(&n, 0, &chance, &source, &to), NAT_NO_MAPPING);
}

/* A reboot forgets, and allocates elsewhere; a full table refuses. */
static void reboot_and_full(void **state)
{
	(void)state;
	struct ov_addr x = addr_v4(1, 1, 1, 1, 1);
	struct nat n = make(NAT_ENDPOINT_INDEPENDENT, NAT_ADDRESS_PORT_DEPENDENT);
	uint16_t port = out(&n, 0, INSIDE, x);
	nat_reboot(&n, &chance);
	assert_int_equal(in(&n, 0, x, port), NAT_NO_MAPPING);
	assert_int_not_equal(out(&n, 0, INSIDE, x), port);
	for (uint16_t i = 1; i < NAT_SESSIONS_MAX; i++)
		out(&n, 0, INSIDE, addr_v4(1, 1, 1, 1, (uint16_t)(i + 1)));
	struct ov_addr source = INSIDE, to = addr_v4(9, 9, 9, 9, 9);
	assert_int_equal(nat_outbound(&n, 0, &chance, &source, &to), NAT_FULL);
}

/* Without translation: a firewall. */
static void firewall(void **state)
{
	(void)state;
	struct nat n;
	nat_init(&n, &(struct nat_config){
			     .filtering = NAT_ADDRESS_PORT_DEPENDENT, .lifetime = 60 * OV_SEC });
	struct ov_addr a = { .ip = { 0x20, 1, [15] = 1 }, .port = 5 };
	struct ov_addr b = { .ip = { 0x20, 1, [15] = 2 }, .port = 6 }, source = a, to = b;
	assert_int_equal(nat_inbound(&n, 0, &b, &(struct ov_addr[]){ a }[0]), NAT_NO_MAPPING);
	assert_int_equal(nat_outbound(&n, 0, &chance, &source, &to), NAT_PASS);
	assert_true(addr_equal(&source, &a));
	to = a;
	assert_int_equal(nat_inbound(&n, 0, &b, &to), NAT_PASS);
	assert_true(addr_equal(&to, &a));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(mapping),
		cmocka_unit_test(filtering),
		cmocka_unit_test(lifetime),
		cmocka_unit_test(ports),
		cmocka_unit_test(hairpin),
		cmocka_unit_test(reboot_and_full),
		cmocka_unit_test(firewall),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
