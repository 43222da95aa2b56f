/* The common header: frozen bytes, truncation, reserved bytes. */
#include "core/packet.h"

#include "tests/unit/seeded.h"

static const uint8_t frozen[HEADER_LEN] = { 8, 1, 0, 0, 0xef, 0xbe, 0xad, 0xde, 8, 7, 6, 5, 4, 3, 2,
	1 };

static void vector(void **state)
{
	(void)state;
	struct header h = { .type = PACKET_IP,
		.flags = PACKET_FLAG_PARTIAL,
		.receiver = 0xdeadbeef,
		.counter = UINT64_C(0x0102030405060708) };
	uint8_t out[HEADER_LEN];
	memset(out, 0xff, sizeof(out));
	header_encode(&h, out);
	assert_memory_equal(out, frozen, sizeof(frozen));
	struct header back = { 0 };
	assert_true(header_decode(&back, frozen, sizeof(frozen)));
	assert_int_equal(back.type, h.type);
	assert_int_equal(back.flags, h.flags);
	assert_int_equal(back.receiver, h.receiver);
	assert_true(back.counter == h.counter);
}

static void truncated_and_reserved(void **state)
{
	(void)state;
	struct header h;
	for (size_t len = 0; len < HEADER_LEN; len++)
		assert_false(header_decode(&h, frozen, len));
	for (int bit = 0; bit < HEADER_LEN * 8; bit++) {
		uint8_t bytes[HEADER_LEN], again[HEADER_LEN];
		memcpy(bytes, frozen, sizeof(bytes));
		bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
		bool reserved = bit / 8 == 2 || bit / 8 == 3;
		assert_int_equal(header_decode(&h, bytes, sizeof(bytes)), !reserved);
		if (reserved)
			continue;
		header_encode(&h, again); /* no bit is lost or shared */
		assert_memory_equal(again, bytes, sizeof(bytes));
	}
}

static void types_do_not_collide_with_stun(void **state)
{
	(void)state;
	for (int type = PACKET_HS1; type <= PACKET_SCAN_ANSWER; type++)
		assert_in_range(type, 4, 15);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(vector),
		cmocka_unit_test(truncated_and_reserved),
		cmocka_unit_test(types_do_not_collide_with_stun),
	};
	return cmocka_run_group_tests_name("packet", tests, NULL, NULL);
}
