/* A record says what its owner signed, and nothing else is one. */
#include "tests/unit/seeded.h"

#include "discovery/record.h"

static struct identity owner(uint8_t number)
{
	struct identity id;
	uint8_t seed[32] = { 9, number };
	assert_int_equal(identity_from_seed(&id, seed), OV_OK);
	return id;
}

static struct record full(void)
{
	struct record r = {
		.seq = 77, .not_before_s = 1800000000, .ttl_s = 3600, .capabilities = 5
	};
	for (size_t i = 0; i < RECORD_ENDPOINTS; i++)
		r.endpoints[r.endpoint_count++] = (struct record_endpoint){
			.kind = (uint8_t)(1 + i % 4),
			.addr = addr_v4(203, 0, 113, (uint8_t)(1 + i), (uint16_t)(1000 + i)),
		};
	for (uint8_t i = 0; i < RECORD_RELAYS; i++)
		r.relays[r.relay_count++] = owner(i).id;
	return r;
}

static void what_was_signed_is_read(void **state)
{
	(void)state;
	uint8_t data[RECORD_MAX];
	struct identity self = owner(100);
	struct record r = full(), got;
	size_t len = record_encode(&r, &self, data);
	assert_true(len <= RECORD_MAX);
	assert_int_equal(record_decode(&got, data, len), OV_OK);
	assert_memory_equal(&got.owner, &self.id, sizeof(got.owner));
	assert_int_equal(got.seq, 77);
	assert_int_equal(got.not_before_s, 1800000000);
	assert_int_equal(got.ttl_s, 3600);
	assert_int_equal(got.capabilities, 5);
	assert_int_equal(got.endpoint_count, RECORD_ENDPOINTS);
	assert_int_equal(got.relay_count, RECORD_RELAYS);
	for (size_t i = 0; i < RECORD_ENDPOINTS; i++) {
		assert_int_equal(got.endpoints[i].kind, r.endpoints[i].kind);
		assert_true(addr_equal(&got.endpoints[i].addr, &r.endpoints[i].addr));
	}
	for (size_t i = 0; i < RECORD_RELAYS; i++)
		assert_true(peer_id_equal(&got.relays[i], &r.relays[i]));
}

static void no_byte_may_change(void **state)
{
	(void)state;
	uint8_t data[RECORD_MAX + 1] = { 0 };
	struct identity self = owner(100);
	struct record r = { .seq = 1, .ttl_s = 60 }, got;
	r.endpoints[r.endpoint_count++] =
		(struct record_endpoint){ RECORD_HOST, addr_v4(10, 0, 0, 1, 27182) };
	size_t len = record_encode(&r, &self, data);
	for (size_t i = 0; i < len; i++) {
		data[i] ^= 1;
		assert_int_not_equal(record_decode(&got, data, len), OV_OK);
		data[i] ^= 1;
		assert_int_not_equal(record_decode(&got, data, i), OV_OK);
	}
	assert_int_not_equal(record_decode(&got, data, len + 1), OV_OK);
	assert_int_equal(record_decode(&got, data, len), OV_OK);
}

/* Signed well, and yet refused: addresses that would make us a reflector. */
static void impossible_addresses_are_refused(void **state)
{
	(void)state;
	uint8_t data[RECORD_MAX];
	struct identity self = owner(100);
	const struct ov_addr bad[] = { addr_v4(127, 0, 0, 1, 1), addr_v4(224, 0, 0, 1, 1),
		addr_v4(255, 255, 255, 255, 1), addr_v4(0, 0, 0, 0, 1), addr_v4(10, 0, 0, 1, 0) };
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct record r = { .seq = 1 }, got;
		r.endpoints[r.endpoint_count++] = (struct record_endpoint){ RECORD_HOST, bad[i] };
		size_t len = record_encode(&r, &self, data);
		assert_int_equal(record_decode(&got, data, len), OV_EFORMAT);
	}
}

static void it_expires_by_the_wall_clock_and_is_ordered_by_seq(void **state)
{
	(void)state;
	struct record r = full(), newer = full();
	assert_false(record_expired(&r, 1800000000));
	assert_false(record_expired(&r, 1800003599));
	assert_true(record_expired(&r, 1800003600));
	assert_false(record_expired(&r, 1799999000)); /* our clock or theirs: a little early */
	assert_true(record_expired(&r, 1700000000));
	newer.seq++;
	assert_int_equal(record_compare(&newer, &r), RECORD_NEWER);
	assert_int_equal(record_compare(&r, &newer), RECORD_OLDER);
	assert_int_equal(record_compare(&r, &r), RECORD_SAME);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_was_signed_is_read),
		cmocka_unit_test(no_byte_may_change),
		cmocka_unit_test(impossible_addresses_are_refused),
		cmocka_unit_test(it_expires_by_the_wall_clock_and_is_ordered_by_seq),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
