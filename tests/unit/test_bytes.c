/* Integers in wire order and the latching cursors. */
#include "core/bytes.h"

#include "tests/unit/seeded.h"

static const uint8_t ramp[16] = { 0xf1, 0xf2, 0xf3, 0xf4, 0xf5, 0xf6, 0xf7, 0xf8, 9, 10, 11, 12, 13,
	14, 15, 16 };

static void loads_and_stores(void **state)
{
	(void)state;
	assert_int_equal(load_le16(ramp), 0xf2f1);
	assert_int_equal(load_le32(ramp), 0xf4f3f2f1);
	assert_true(load_le64(ramp) == UINT64_C(0xf8f7f6f5f4f3f2f1));
	assert_int_equal(load_be16(ramp), 0xf1f2);
	assert_int_equal(load_be32(ramp), 0xf1f2f3f4);
	uint8_t out[9];
	memset(out, 0xaa, sizeof(out));
	store_le64(out, UINT64_C(0xf8f7f6f5f4f3f2f1));
	assert_memory_equal(out, ramp, 8);
	assert_int_equal(out[8], 0xaa);
	memset(out, 0, sizeof(out));
	store_le32(out, 0xf4f3f2f1);
	store_le16(out + 4, 0xf6f5);
	assert_memory_equal(out, ramp, 6);
	store_be32(out, 0xf1f2f3f4);
	store_be16(out + 4, 0xf5f6);
	assert_memory_equal(out, ramp, 6);
	assert_int_equal(out[6], 0);
}

static void reads_in_order(void **state)
{
	(void)state;
	struct rd r = rd_init(ramp, 16);
	assert_int_equal(rd_u8(&r), 0xf1);
	assert_int_equal(rd_u16(&r), 0xf3f2);
	assert_int_equal(rd_u32(&r), 0xf7f6f5f4);
	assert_int_equal(rd_left(&r), 9);
	assert_false(rd_done(&r));
	assert_true(rd_u64(&r) == UINT64_C(0x0f0e0d0c0b0a09f8));
	assert_ptr_equal(rd_take(&r, 1), ramp + 15);
	assert_true(rd_done(&r));
	assert_non_null(rd_take(&r, 0)); /* nothing of nothing */
	assert_true(rd_done(&r));
}

/* A read that is one byte short: zeros, latched, nothing further is read. */
static void short_reads_latch(void **state)
{
	(void)state;
	for (int kind = 0; kind < 6; kind++) {
		static const size_t sizes[] = { 1, 2, 4, 8, 5, 5 };
		struct rd r = rd_init(ramp, sizes[kind] - 1);
		uint8_t copy[5] = { 1, 1, 1, 1, 1 };
		uint64_t got = 0;
		switch (kind) {
		case 0: got = rd_u8(&r); break;
		case 1: got = rd_u16(&r); break;
		case 2: got = rd_u32(&r); break;
		case 3: got = rd_u64(&r); break;
		case 4: assert_null(rd_take(&r, 5)); break;
		default: rd_copy(&r, copy, 5); assert_memory_equal(copy, "\0\0\0\0\0", 5);
		}
		assert_true(got == 0);
		assert_true(r.short_read);
		assert_false(rd_done(&r));
		assert_int_equal(rd_left(&r), 0);
		assert_int_equal(rd_u8(&r), 0); /* although bytes are there */
		assert_null(rd_take(&r, 0));
	}
	struct rd r = rd_init(ramp, 16);
	assert_null(rd_take(&r, SIZE_MAX)); /* no wrap */
	r = rd_init(NULL, 0);
	assert_true(rd_done(&r));
	rd_copy(&r, NULL, 0);
	assert_true(rd_done(&r));
}

static void writes_in_order(void **state)
{
	(void)state;
	uint8_t out[32];
	struct wr w = wr_init(out, 16);
	wr_u8(&w, 0xf1);
	wr_u16(&w, 0xf3f2);
	wr_u32(&w, 0xf7f6f5f4);
	wr_u64(&w, UINT64_C(0x0f0e0d0c0b0a09f8));
	assert_true(wr_ok(&w) && wr_len(&w) == 15);
	wr_copy(&w, "\x10", 1);
	assert_true(wr_ok(&w) && wr_len(&w) == 16);
	assert_memory_equal(out, ramp, 16);
	wr_copy(&w, NULL, 0);
	wr_zero(&w, 0);
	assert_true(wr_ok(&w));
}

/* A write that does not fit writes nothing, and nothing follows it. */
static void overflow_latches(void **state)
{
	(void)state;
	for (int kind = 0; kind < 6; kind++) {
		static const size_t sizes[] = { 1, 2, 4, 8, 5, 5 };
		uint8_t out[9], before[9];
		memset(out, 0xaa, sizeof(out));
		memset(before, 0xaa, sizeof(before));
		struct wr w = wr_init(out, sizes[kind] - 1);
		switch (kind) {
		case 0: wr_u8(&w, 1); break;
		case 1: wr_u16(&w, 1); break;
		case 2: wr_u32(&w, 1); break;
		case 3: wr_u64(&w, 1); break;
		case 4: wr_copy(&w, ramp, 5); break;
		default: wr_zero(&w, 5);
		}
		assert_false(wr_ok(&w));
		wr_u8(&w, 1); /* although there may be room for this */
		wr_zero(&w, 0);
		assert_false(wr_ok(&w));
		assert_int_equal(wr_len(&w), 0);
		assert_memory_equal(out, before, sizeof(out));
	}
	struct wr w = wr_init(NULL, 0);
	wr_zero(&w, SIZE_MAX);
	assert_false(wr_ok(&w));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(loads_and_stores),
		cmocka_unit_test(reads_in_order),
		cmocka_unit_test(short_reads_latch),
		cmocka_unit_test(writes_in_order),
		cmocka_unit_test(overflow_latches),
	};
	return cmocka_run_group_tests_name("bytes", tests, NULL, NULL);
}
