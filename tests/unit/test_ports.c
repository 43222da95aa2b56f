/* More sockets for a burst: on loopback, with the real loop. */
#include "overlay/ports_uv.h"
#include "tests/unit/seeded.h"

#include <stdlib.h>
#include <string.h>

static void on_readable(void *context)
{
	*(bool *)context = true;
}

struct bench {
	uv_loop_t loop;
	bool readable;
	struct ports *ports;
};

static int setup(void **state)
{
	struct bench *b = calloc(1, sizeof(*b));
	assert_int_equal(uv_loop_init(&b->loop), 0);
	b->ports = ports_new(&b->loop, on_readable, &b->readable);
	assert_non_null(b->ports);
	*state = b;
	return 0;
}

static int teardown(void **state)
{
	struct bench *b = *state;
	ports_close(b->ports);
	uv_run(&b->loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&b->loop), 0);
	free(b);
	return 0;
}

/* One datagram from one of our ports to another. */
static bool passes(struct bench *b, uint16_t from, uint16_t to)
{
	uint8_t hello[] = "hello";
	struct dgram d = { .data = hello,
		.len = 5,
		.segment = 5,
		.local = { .port = from },
		.remote = addr_v4(127, 0, 0, 1, to) };
	struct dgram in[PORTS_READ];
	b->readable = false;
	ports_send(b->ports, &d);
	for (int i = 0; i < 20 && !b->readable; i++)
		uv_run(&b->loop, UV_RUN_NOWAIT);
	size_t count = b->readable ? ports_receive(b->ports, in) : 0;
	return count == 1 && in[0].local.port == to && in[0].remote.port == from &&
	       in[0].len == 5 && memcmp(in[0].data, "hello", 5) == 0;
}

static void a_port_that_hit_outlives_the_next_burst(void **state)
{
	struct bench *b = *state;
	uint16_t first[PORTS_MAX], second[PORTS_MAX];
	assert_int_equal(ports_open(b->ports, 4, first), 4);
	assert_true(passes(b, first[0], first[3]));
	ports_settle(b->ports, first[2]);
	assert_false(ports_has(b->ports, first[1]));

	assert_int_equal(ports_open(b->ports, 4, second), 4);
	for (size_t i = 0; i < 4; i++)
		assert_int_not_equal(second[i], first[2]); /* only new ones are guesses */
	assert_true(passes(b, first[2], second[0]));
	ports_settle(b->ports, 0); /* in vain */
	assert_false(ports_has(b->ports, second[0]));
	assert_true(ports_has(b->ports, first[2]));
}

static void so_many_stay_and_the_oldest_go(void **state)
{
	struct bench *b = *state;
	uint16_t kept[PORTS_KEPT + 3], ports[PORTS_MAX];
	for (size_t i = 0; i < PORTS_KEPT + 3; i++) {
		assert_int_equal(ports_open(b->ports, 5, ports), 5);
		kept[i] = ports[i % 5];
		ports_settle(b->ports, kept[i]);
	}
	for (size_t i = 0; i < 3; i++)
		assert_false(ports_has(b->ports, kept[i]));
	for (size_t i = 3; i < PORTS_KEPT + 3; i++)
		assert_true(ports_has(b->ports, kept[i]));
	assert_true(passes(b, kept[3], kept[PORTS_KEPT + 2]));
}

static void a_burst_that_nobody_settled_is_closed(void **state)
{
	struct bench *b = *state;
	uint16_t first[PORTS_MAX], second[PORTS_MAX];
	assert_int_equal(ports_open(b->ports, PORTS_MAX + 1, first), PORTS_MAX);
	assert_int_equal(ports_open(b->ports, 1, second), 1);
	for (size_t i = 0; i < PORTS_MAX; i++)
		assert_true(first[i] == second[0] || !ports_has(b->ports, first[i]));
}

static void a_probe_stands_beside_bursts(void **state)
{
	struct bench *b = *state;
	uint16_t guesses[PORTS_MAX];
	uint16_t first = ports_open_probe(b->ports);
	assert_true(first != 0 && ports_has(b->ports, first));
	assert_int_equal(ports_open(b->ports, 3, guesses), 3);
	assert_true(passes(b, first, guesses[0]));
	assert_true(passes(b, guesses[0], first));
	ports_settle(b->ports, 0);
	assert_true(ports_has(b->ports, first));
	uint16_t second = ports_open_probe(b->ports);
	assert_true(second != 0 && second != first && ports_has(b->ports, second));
	assert_false(ports_has(b->ports, first));
	ports_close_probe(b->ports);
	assert_false(ports_has(b->ports, second));
	ports_close_probe(b->ports);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			a_port_that_hit_outlives_the_next_burst, setup, teardown),
		cmocka_unit_test_setup_teardown(so_many_stay_and_the_oldest_go, setup, teardown),
		cmocka_unit_test_setup_teardown(
			a_burst_that_nobody_settled_is_closed, setup, teardown),
		cmocka_unit_test_setup_teardown(a_probe_stands_beside_bursts, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
