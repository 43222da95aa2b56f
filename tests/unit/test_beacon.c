/* A beacon is understood by contacts and by nobody else, and says nothing of whom it is for. */
#include "tests/unit/seeded.h"

#include "discovery/beacon.h"

static uint64_t seed = 7;
static const struct rng rng = { .fill = seeded_fill, .context = &seed };

static void key_of(uint8_t key[32], uint8_t number)
{
	uint8_t dh[32] = { number, 1 };
	beacon_pair_key(key, dh);
}

static size_t make(uint8_t out[BEACON_MAX], uint8_t keys[BEACON_TAGS][32], size_t count)
{
	struct beacon_reader readers[BEACON_TAGS];
	for (size_t i = 0; i < count; i++) {
		key_of(keys[i], (uint8_t)i);
		readers[i] = (struct beacon_reader){ keys[i], i % 2 == 0 };
	}
	return beacon_encode(out, 27182, readers, count, &rng);
}

static void contacts_understand_it_and_nobody_else(void **state)
{
	(void)state;
	static const size_t counts[] = { 0, 1, 2, 3, 5, 33, 63, 64 };
	for (size_t c = 0; c < sizeof(counts) / sizeof(counts[0]); c++) {
		uint8_t data[BEACON_MAX], keys[BEACON_TAGS][32], other[32];
		struct beacon b;
		size_t len = make(data, keys, counts[c]);
		assert_int_equal(beacon_decode(&b, data, len), DROP_NONE);
		assert_int_equal(b.port, 27182);
		assert_true(b.count >= counts[c] && (b.count & (b.count - 1)) == 0);
		for (size_t i = 0; i < counts[c]; i++) {
			bool sender_is_lower = i % 2 == 0;
			assert_true(beacon_is_from(&b, keys[i], !sender_is_lower));
			assert_false(
				beacon_is_from(&b, keys[i], sender_is_lower)); /* our own, back */
		}
		key_of(other, 200);
		assert_false(beacon_is_from(&b, other, true));
		assert_false(beacon_is_from(&b, other, false));
	}
}

static void two_beacons_have_nothing_in_common(void **state)
{
	(void)state;
	uint8_t a[BEACON_MAX], b[BEACON_MAX], keys[BEACON_TAGS][32];
	size_t len = make(a, keys, 8);
	assert_int_equal(make(b, keys, 8), len);
	for (size_t i = 0; i < 8; i++)
		for (size_t k = 0; k < 8; k++)
			assert_memory_not_equal(a + BEACON_FIXED + i * BEACON_TAG_LEN,
				b + BEACON_FIXED + k * BEACON_TAG_LEN, BEACON_TAG_LEN);
}

/* The first contact is not always the first tag. */
static void the_order_tells_nothing(void **state)
{
	(void)state;
	bool seen[4] = { false };
	for (unsigned round = 0; round < 100; round++) {
		uint8_t data[BEACON_MAX], keys[BEACON_TAGS][32];
		struct beacon b;
		size_t len = make(data, keys, 4);
		assert_int_equal(beacon_decode(&b, data, len), DROP_NONE);
		for (size_t i = 0; i < 4; i++) {
			struct beacon one = b;
			one.tags = b.tags + i * BEACON_TAG_LEN;
			one.count = 1;
			seen[i] |= beacon_is_from(&one, keys[0], false);
		}
	}
	for (size_t i = 0; i < 4; i++)
		assert_true(seen[i]);
}

static void what_is_none_is_refused(void **state)
{
	(void)state;
	uint8_t data[BEACON_MAX + 1], keys[BEACON_TAGS][32];
	struct beacon b;
	size_t len = make(data, keys, 3);
	assert_int_equal(len, BEACON_FIXED + 4 * BEACON_TAG_LEN);
	for (size_t i = 0; i < len; i++)
		assert_int_not_equal(beacon_decode(&b, data, i), DROP_NONE);
	assert_int_equal(beacon_decode(&b, data, len + 1), DROP_FORMAT);
	assert_int_equal(beacon_decode(&b, data, sizeof(data)), DROP_OVERSIZED);
	static const struct {
		size_t at;
		uint8_t value;
		enum drop why;
	} wrong[] = { { 0, PACKET_HS1, DROP_TYPE }, { 1, 1, DROP_HEADER }, { 2, 1, DROP_HEADER },
		{ 4, 1, DROP_HEADER }, { 8, 1, DROP_HEADER }, { 34, 0, DROP_FORMAT },
		{ 34, 3, DROP_FORMAT }, { 34, 8, DROP_FORMAT }, { 34, 128, DROP_FORMAT },
		{ 35, 1, DROP_FORMAT } };
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		uint8_t before = data[wrong[i].at];
		data[wrong[i].at] = wrong[i].value;
		assert_int_equal(beacon_decode(&b, data, len), wrong[i].why);
		data[wrong[i].at] = before;
	}
	data[32] = data[33] = 0; /* port */
	assert_int_equal(beacon_decode(&b, data, len), DROP_FORMAT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(contacts_understand_it_and_nobody_else),
		cmocka_unit_test(two_beacons_have_nothing_in_common),
		cmocka_unit_test(the_order_tells_nothing),
		cmocka_unit_test(what_is_none_is_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
