/* Who may stay connected, on a clock of our own. */
#include "tests/unit/seeded.h"

#include "overlay/tcp_gate.h"

#include "core/handshake.h"
#include "core/packet.h"

#include <stdlib.h>

static struct tcp_entry entries[2048];
static struct tcp_gate g;
static uint64_t seed;

static struct ov_addr source(size_t i, uint16_t port)
{
	return addr_v4(45, (uint8_t)(i >> 16), (uint8_t)(i >> 8), (uint8_t)i, port);
}

static int begin(void **state)
{
	struct rng rng = { .fill = seeded_fill, .context = &seed };
	(void)state;
	seed = 7;
	return tcp_gate_init(&g, 1024, &rng);
}

static int end(void **state)
{
	(void)state;
	tcp_gate_fini(&g);
	return 0;
}

/* True: it is in. */
static bool come(ov_time now, struct tcp_entry *e, struct ov_addr from)
{
	struct tcp_entry *evict;
	if (!tcp_gate_admits(&g, now, &from, &evict))
		return false;
	if (evict)
		tcp_gate_remove(&g, evict);
	tcp_gate_add(&g, now, e, &from, false);
	return true;
}

static void silence_ends_after_five_seconds(void **state)
{
	(void)state;
	ov_time now = 100 * OV_SEC;
	assert_true(tcp_gate_pause(&g) == OV_NEVER);
	assert_true(come(now, &entries[0], source(1, 1)));
	assert_true(come(now + OV_SEC, &entries[1], source(2, 1)));
	tcp_gate_answered(&g, &entries[1]);
	assert_int_equal(g.counters.half_open, 1);
	assert_true(tcp_gate_pause(&g) <= OV_SEC);
	assert_null(tcp_gate_expired(&g, now + TCP_GREETING_WITHIN - 1));
	assert_ptr_equal(tcp_gate_expired(&g, now + TCP_GREETING_WITHIN), &entries[0]);
	tcp_gate_remove(&g, &entries[0]);
	assert_int_equal(g.counters.silent, 1);
	assert_int_equal(g.counters.half_open, 0);
	assert_null(tcp_gate_expired(&g, now + TCP_IDLE));
	entries[1].heard_at = now + 50 * OV_SEC; /* a keepalive */
	assert_null(tcp_gate_expired(&g, now + 50 * OV_SEC + TCP_IDLE - 1));
	assert_ptr_equal(tcp_gate_expired(&g, now + 50 * OV_SEC + TCP_IDLE), &entries[1]);
	assert_int_equal(g.counters.idle, 1);
	tcp_gate_remove(&g, &entries[1]);
	assert_int_equal(g.counters.connections, 0);
	assert_null(g.oldest);
	assert_null(g.newest);
}

static void one_source_gets_few_half_open_ones(void **state)
{
	(void)state;
	ov_time now = 100 * OV_SEC;
	for (size_t i = 0; i < TCP_HALF_OPEN_EACH; i++)
		assert_true(come(now, &entries[i], source(9, (uint16_t)(1 + i))));
	assert_false(come(now, &entries[99], source(9, 99)));
	assert_true(come(now, &entries[99], source(10, 99))); /* others do not suffer */
	tcp_gate_answered(&g, &entries[0]);
	assert_true(come(now, &entries[100], source(9, 100)));
	assert_int_equal(g.counters.refused, 1);
}

static void one_source_gets_a_bounded_share(void **state)
{
	(void)state;
	ov_time now = 100 * OV_SEC;
	size_t in = 0;
	for (size_t i = 0; i < 2 * TCP_EACH; i++, now += OV_SEC) {
		struct tcp_entry *e = &entries[i];
		if (!come(now, e, source(9, (uint16_t)(1 + i))))
			continue;
		in++;
		tcp_gate_answered(&g, e);
	}
	assert_int_equal(in, TCP_EACH);
	assert_true(come(now, &entries[1500], source(10, 1)));
}

static void one_source_may_not_hurry(void **state)
{
	(void)state;
	ov_time now = 100 * OV_SEC;
	size_t in = 0;
	for (size_t i = 0; i < 1000; i++) { /* connects and leaves */
		if (!come(now, &entries[0], source(9, 1)))
			continue;
		in++;
		tcp_gate_remove(&g, &entries[0]);
	}
	assert_in_range(in, 10, 100);
	assert_true(come(now + OV_SEC, &entries[0], source(9, 1)));
}

/* A flood from everywhere: the oldest half-open one gives way, never one that was answered. */
static void newest_half_open_ones_stay(void **state)
{
	(void)state;
	ov_time now = 100 * OV_SEC;
	assert_true(come(now, &entries[0], source(1, 1)));
	tcp_gate_answered(&g, &entries[0]);
	for (size_t i = 1; i <= TCP_HALF_OPEN_MAX; i++)
		assert_true(come(now + (ov_time)i, &entries[i], source(i + 1, 1)));
	assert_int_equal(g.counters.half_open, TCP_HALF_OPEN_MAX);
	struct ov_addr late = source(5000, 1);
	struct tcp_entry *evict;
	assert_true(tcp_gate_admits(&g, now + OV_SEC, &late, &evict));
	assert_ptr_equal(evict, &entries[1]);
	for (size_t i = 0; i < 700; i++)
		assert_true(come(now + OV_SEC, &entries[300 + i], source(6000 + i, 1)));
	assert_int_equal(g.counters.half_open, TCP_HALF_OPEN_MAX);
	assert_ptr_equal(g.oldest, &entries[0]);
}

static void all_in_all(void **state)
{
	(void)state;
	ov_time now = 100 * OV_SEC;
	for (size_t i = 0; i < 1024; i++) {
		assert_true(come(now, &entries[i], source(i, 1)));
		tcp_gate_answered(&g, &entries[i]);
	}
	assert_false(come(now, &entries[1024], source(5000, 1)));
	assert_false(tcp_gate_may_dial(&g));
	tcp_gate_remove(&g, &entries[512]);
	assert_true(tcp_gate_may_dial(&g));
	assert_true(come(now, &entries[1024], source(5000, 1)));
}

static void attempts_of_ours_end_after_ten_seconds(void **state)
{
	(void)state;
	ov_time now = 100 * OV_SEC;
	struct ov_addr to = source(1, 443);
	for (size_t i = 0; i < 64; i++) {
		assert_true(tcp_gate_may_dial(&g));
		tcp_gate_add(&g, now, &entries[i], &to, true);
	}
	assert_false(tcp_gate_may_dial(&g));
	assert_int_equal(g.counters.half_open, 0); /* of ours, nobody else's business */
	assert_null(tcp_gate_expired(&g, now + TCP_CONNECT_WITHIN - 1));
	assert_ptr_equal(tcp_gate_expired(&g, now + TCP_CONNECT_WITHIN), &entries[0]);
	assert_int_equal(g.counters.failed, 1);
	tcp_gate_answered(&g, &entries[1]);
	assert_true(tcp_gate_may_dial(&g));
}

static void what_greets(void **state)
{
	(void)state;
	const uint8_t hs1[] = { HS1_LEN & 0xff, HS1_LEN >> 8, PACKET_HS1, 9 },
		      longer[] = { (HS1_LEN + 8) & 0xff, (HS1_LEN + 8) >> 8, PACKET_HS1 },
		      shorter[] = { HS1_LEN - 1 - 256, 1, PACKET_HS1 },
		      huge[] = { 0xff, 0xff, PACKET_HS1 },
		      other[] = { HS1_LEN & 0xff, HS1_LEN >> 8, PACKET_IP }, http[] = "GET /";
	for (size_t len = 0; len <= sizeof(hs1); len++)
		assert_true(tcp_gate_may_greet(hs1, len));
	assert_true(tcp_gate_may_greet(longer, sizeof(longer)));
	assert_false(tcp_gate_may_greet(shorter, 2));
	assert_false(tcp_gate_may_greet(huge, 2));
	assert_true(tcp_gate_may_greet(other, 2));
	assert_false(tcp_gate_may_greet(other, 3));
	assert_false(tcp_gate_may_greet(http, sizeof(http)));
}

static void nothing_of_the_web_is_an_answer(void **state)
{
	(void)state;
	static const struct {
		const char *bytes;
		size_t len;
		bool may;
	} streams[] = {
		{ "HTTP/1.0 302 Found", 18, false },
		{ "<html>", 6, false },
		{ "SSH-2.0", 7, false },
		{ "\x15\x03\x01\x00\x02\x02\x46", 7, false }, /* TLS alert */
		{ "\x15\x03\x03\x00\x02", 5, false },
		{ "\x16\x03\x03\x00\x7a", 5, false }, /* ServerHello */
		{ "\x00\x00\x05", 3, false },
		{ "\x80\x00\x05", 3, true },  /* HS2, 128 bytes */
		{ "\x48\x00\x06", 3, true },  /* COOKIE */
		{ "\x40\x00\x07", 3, true },  /* under keys of before */
		{ "\x40\x00\x0b", 3, false }, /* no BEACON comes by TCP */
		{ "\x80\x00", 2, true },
		{ "\x80", 1, true },
		{ "", 0, true },
	};
	for (size_t i = 0; i < sizeof(streams) / sizeof(streams[0]); i++)
		assert_int_equal(
			tcp_gate_may_answer((const uint8_t *)streams[i].bytes, streams[i].len),
			streams[i].may);
}

int main(void)
{
#define T(test) cmocka_unit_test_setup_teardown(test, begin, end)
	const struct CMUnitTest tests[] = {
		T(silence_ends_after_five_seconds),
		T(one_source_gets_few_half_open_ones),
		T(one_source_gets_a_bounded_share),
		T(one_source_may_not_hurry),
		T(newest_half_open_ones_stay),
		T(all_in_all),
		T(attempts_of_ours_end_after_ten_seconds),
		T(what_greets),
		T(nothing_of_the_web_is_an_answer),
	};
#undef T
	return cmocka_run_group_tests_name("tcp_gate", tests, NULL, NULL);
}
