/* Cutting and reassembly: every length and part size, every order, every way to disagree. */
#include "core/fragment.h"

#include "tests/unit/seeded.h"

#include <stdlib.h>

static uint8_t packet[REASSEMBLY_PACKET_MAX];
static uint8_t parts[FRAGMENT_COUNT_MAX][FRAGMENT_HEADER_LEN + REASSEMBLY_PACKET_MAX];
static size_t part_lens[FRAGMENT_COUNT_MAX];

static void fill_packet(uint64_t seed)
{
	seeded_fill(&seed, packet, sizeof(packet));
}

static size_t cut(uint32_t id, size_t len, size_t max)
{
	size_t count = fragment_count(len, max);
	for (size_t i = 0; i < count; i++) {
		part_lens[i] =
			fragment_encode(parts[i], id, (uint8_t)i, (uint8_t)count, packet, len);
		assert_in_range(part_lens[i], FRAGMENT_HEADER_LEN + 1, max);
	}
	return count;
}

/* Feeds encoded part i; returns the drop reason, and the packet if complete. */
static enum drop feed(struct reassembly *r, ov_time now, size_t i, uint8_t **out, size_t *len)
{
	struct fragment f;
	assert_int_equal(fragment_decode(&f, parts[i], part_lens[i]), DROP_NONE);
	return reassembly_add(r, now, &f, false, out, len);
}

static void every_length_forth_and_back(void **state)
{
	(void)state;
	fill_packet(1);
	struct reassembly *r = reassembly_new();
	uint32_t id = 0;
	for (size_t len = 1; len <= REASSEMBLY_PACKET_MAX; len++) {
		size_t max = FRAGMENT_HEADER_LEN + 1 + len * 7 % 700;
		size_t count = cut(++id, len, max);
		assert_int_equal(count == 0, len > (max - FRAGMENT_HEADER_LEN) * 8);
		for (size_t k = 0; k < count; k++) {
			uint8_t *out;
			size_t out_len, i = id % 2 ? k : count - 1 - k;
			assert_int_equal(feed(r, 0, i, &out, &out_len), DROP_NONE);
			assert_int_equal(out != NULL, k == count - 1);
			if (!out)
				continue;
			assert_int_equal(out_len, len);
			assert_memory_equal(out, packet, len);
		}
		assert_true(reassembly_deadline(r) == OV_NEVER);
	}
	reassembly_free(r);
	reassembly_free(NULL);
}

static void count_limits(void **state)
{
	(void)state;
	assert_int_equal(fragment_count(0, 100), 0);
	assert_int_equal(fragment_count(1, FRAGMENT_HEADER_LEN), 0);
	assert_int_equal(fragment_count(1, 0), 0);
	assert_int_equal(fragment_count(8, FRAGMENT_HEADER_LEN + 1), 8);
	assert_int_equal(fragment_count(9, FRAGMENT_HEADER_LEN + 1), 0);
	assert_int_equal(fragment_count(1420, 548 - 32), 3); /* as fragment.h says */
	assert_int_equal(fragment_count(1420, 1426), 1);
	assert_int_equal(fragment_count(1420, 1425), 2);
}

static void frozen_vector(void **state)
{
	(void)state;
	static const uint8_t want[] = { 0xef, 0xbe, 0xad, 0xde, 1, 3, 0xa3, 0xa4, 0xa5 };
	static const uint8_t source[] = { 0xa0, 0xa1, 0xa2, 0xa3, 0xa4, 0xa5, 0xa6 };
	uint8_t out[16];
	assert_int_equal(fragment_encode(out, 0xdeadbeef, 1, 3, source, 7), sizeof(want));
	assert_memory_equal(out, want, sizeof(want));
	assert_int_equal(fragment_encode(out, 0xdeadbeef, 2, 3, source, 7), 7); /* the rest: 1 */
	struct fragment f;
	assert_int_equal(fragment_decode(&f, want, sizeof(want)), DROP_NONE);
	assert_int_equal(f.id, 0xdeadbeef);
	assert_int_equal(f.index, 1);
	assert_int_equal(f.count, 3);
	assert_int_equal(f.len, 3);
	assert_ptr_equal(f.data, want + 6);
}

static void decode_refuses(void **state)
{
	(void)state;
	static const struct {
		uint8_t index, count;
		size_t len;
		enum drop want;
	} cases[] = {
		{ 0, 1, 1, DROP_NONE },
		{ 0, 1, 1500, DROP_NONE },
		{ 0, 1, 1501, DROP_FRAGMENT },
		{ 0, 0, 10, DROP_FRAGMENT },
		{ 2, 2, 10, DROP_FRAGMENT },
		{ 255, 255, 10, DROP_FRAGMENT },
		{ 7, 8, 10, DROP_NONE },
		{ 8, 9, 10, DROP_FRAGMENT },
		{ 0, 9, 10, DROP_FRAGMENT },
		{ 0, 2, 1499, DROP_NONE },     /* 1499 + at least 1 */
		{ 0, 2, 1500, DROP_FRAGMENT }, /* no room for the last */
		{ 1, 2, 750, DROP_NONE },
		{ 1, 2, 751, DROP_FRAGMENT }, /* the first is at least as long */
		{ 7, 8, 187, DROP_NONE },
		{ 7, 8, 188, DROP_FRAGMENT },
	};
	uint8_t plain[FRAGMENT_HEADER_LEN + 1501] = { 0 };
	struct fragment f;
	for (size_t len = 0; len <= FRAGMENT_HEADER_LEN; len++)
		assert_int_equal(fragment_decode(&f, plain, len), DROP_SHORT);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		plain[4] = cases[i].index;
		plain[5] = cases[i].count;
		assert_int_equal(fragment_decode(&f, plain, FRAGMENT_HEADER_LEN + cases[i].len),
			cases[i].want);
	}
}

struct step {
	uint8_t index, count;
	size_t len;
	bool partial;
	enum drop want;
};

static void run(const struct step *steps, size_t n, size_t complete_len)
{
	struct reassembly *r = reassembly_new();
	uint8_t *out = NULL;
	size_t len = 0;
	for (size_t i = 0; i < n; i++) {
		assert_null(out);
		struct fragment f = { .id = 1,
			.index = steps[i].index,
			.count = steps[i].count,
			.data = packet,
			.len = steps[i].len };
		assert_int_equal(
			reassembly_add(r, 0, &f, steps[i].partial, &out, &len), steps[i].want);
	}
	assert_int_equal(len, complete_len);
	assert_int_equal(out != NULL, complete_len != 0);
	reassembly_free(r);
}
#define RUN(complete_len, ...)                                                      \
	run((const struct step[]){ __VA_ARGS__ },                                   \
		sizeof((const struct step[]){ __VA_ARGS__ }) / sizeof(struct step), \
		(complete_len))

/* What disagrees is refused and what was there before still completes. */
static void disagreeing_parts(void **state)
{
	(void)state;
	const enum drop none = DROP_NONE, bad = DROP_FRAGMENT;
	/* clang-format off */
	RUN(20, { 0, 2, 10, 0, none }, { 0, 2, 10, 0, bad }, { 1, 2, 10, 0, none });  /* duplicate */
	RUN(15, { 1, 2, 5, 0, none }, { 1, 2, 5, 0, bad }, { 0, 2, 10, 0, none });
	RUN(20, { 0, 2, 10, 0, none }, { 1, 3, 10, 0, bad }, { 1, 2, 10, 0, none });  /* count */
	RUN(25, { 0, 3, 10, 0, none }, { 1, 3, 9, 0, bad }, { 1, 3, 11, 0, bad },     /* part length */
		{ 1, 3, 10, 0, none }, { 2, 3, 5, 0, none });
	RUN(20, { 0, 2, 10, 0, none }, { 1, 2, 11, 0, bad }, { 1, 2, 10, 0, none });  /* last longer */
	RUN(20, { 1, 2, 10, 0, none }, { 0, 2, 9, 0, bad }, { 0, 2, 10, 0, none });   /* than the others */
	RUN(15, { 0, 2, 10, 1, none }, { 1, 2, 5, 0, bad }, { 1, 2, 5, 1, none });    /* partial flag */
	RUN(1500, { 0, 2, 1490, 0, none }, { 1, 2, 11, 0, bad }, { 1, 2, 10, 0, none }); /* too long */
	RUN(1500, { 1, 2, 10, 0, none }, { 0, 2, 1491, 0, bad }, { 0, 2, 1490, 0, none });
	RUN(7, { 0, 1, 7, 0, none });
	RUN(0, { 0, 2, 10, 0, none }, { 0, 2, 10, 0, bad });
	/* clang-format on */
}

static void full_gives_up_the_oldest(void **state)
{
	(void)state;
	struct reassembly *r = reassembly_new();
	uint8_t *out;
	size_t len;
	struct fragment f = { .index = 0, .count = 2, .data = packet, .len = 100 };
	for (uint32_t id = 0; id <= REASSEMBLY_PACKETS; id++) {
		f.id = id;
		assert_int_equal(reassembly_add(r, id, &f, false, &out, &len), DROP_NONE);
	}
	assert_true(reassembly_deadline(r) == 1 + REASSEMBLY_TIMEOUT); /* 0 made room */
	f.index = 1;
	for (uint32_t id = 1; id <= REASSEMBLY_PACKETS; id++) {
		f.id = id;
		assert_int_equal(reassembly_add(r, 100, &f, false, &out, &len), DROP_NONE);
		assert_non_null(out);
	}
	f.id = 0;
	assert_int_equal(reassembly_add(r, 100, &f, false, &out, &len), DROP_NONE);
	assert_null(out);
	reassembly_free(r);
}

static void expires_after_a_second(void **state)
{
	(void)state;
	struct reassembly *r = reassembly_new();
	uint8_t *out;
	size_t len;
	struct fragment f = { .id = 1, .index = 0, .count = 2, .data = packet, .len = 100 };
	assert_true(reassembly_deadline(r) == OV_NEVER);
	assert_int_equal(reassembly_add(r, 5 * OV_SEC, &f, false, &out, &len), DROP_NONE);
	f.id = 2;
	assert_int_equal(reassembly_add(r, 5 * OV_SEC + 7, &f, false, &out, &len), DROP_NONE);
	assert_true(reassembly_deadline(r) == 6 * OV_SEC);
	assert_int_equal(reassembly_expire(r, 6 * OV_SEC - 1), 0);
	assert_int_equal(reassembly_expire(r, 6 * OV_SEC), 1);
	assert_true(reassembly_deadline(r) == 6 * OV_SEC + 7);
	assert_int_equal(reassembly_expire(r, 7 * OV_SEC), 1);
	f.index = 1; /* its first part is gone */
	assert_int_equal(reassembly_add(r, 7 * OV_SEC, &f, false, &out, &len), DROP_NONE);
	assert_null(out);
	reassembly_free(r);
}

/* Many packets at once, shuffled, some parts lost: what completes is what was sent. */
static void shuffled_with_loss(void **state)
{
	(void)state;
	uint64_t seed = 9;
	fill_packet(2);
	for (int round = 0; round < 300; round++) {
		struct reassembly *r = reassembly_new();
		static struct {
			uint32_t id;
			size_t index, len, count;
		} queue[16 * FRAGMENT_COUNT_MAX];
		size_t n = 0, done = 0, lost_packets = 0;
		for (uint32_t id = 0; id < 16; id++) {
			size_t len = 600 + seeded_below(&seed, 900);
			size_t count = fragment_count(len, 250 + seeded_below(&seed, 400));
			bool lost = false;
			for (size_t i = 0; i < count; i++) {
				bool lose = seeded_below(&seed, 20) == 0;
				lost = lost || lose;
				queue[n].id = id, queue[n].index = i, queue[n].len = len;
				queue[n].count = count;
				n += !lose;
			}
			lost_packets += lost;
		}
		for (; n; n--) {
			size_t k = seeded_below(&seed, n);
			uint8_t plain[FRAGMENT_HEADER_LEN + 700], *out;
			size_t len,
				part = fragment_encode(plain, queue[k].id, (uint8_t)queue[k].index,
					(uint8_t)queue[k].count, packet, queue[k].len);
			struct fragment f;
			assert_int_equal(fragment_decode(&f, plain, part), DROP_NONE);
			assert_int_equal(reassembly_add(r, 0, &f, true, &out, &len), DROP_NONE);
			if (out) {
				assert_int_equal(len, queue[k].len);
				assert_memory_equal(out, packet, len);
				done++;
			}
			queue[k] = queue[n - 1];
		}
		assert_int_equal(done, 16 - lost_packets);
		assert_int_equal(reassembly_expire(r, OV_SEC) <= lost_packets, 1);
		reassembly_free(r);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_length_forth_and_back),
		cmocka_unit_test(count_limits),
		cmocka_unit_test(frozen_vector),
		cmocka_unit_test(decode_refuses),
		cmocka_unit_test(disagreeing_parts),
		cmocka_unit_test(full_gives_up_the_oldest),
		cmocka_unit_test(expires_after_a_second),
		cmocka_unit_test(shuffled_with_loss),
	};
	return cmocka_run_group_tests_name("fragment", tests, NULL, NULL);
}
