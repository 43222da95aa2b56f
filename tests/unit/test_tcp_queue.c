/* However much of a datagram the socket took, what waits completes the stream. */
#include "tests/unit/seeded.h"

#include "core/tcp_frame.h"
#include "core/tcp_queue.h"

static void any_part_is_completed(void **state)
{
	(void)state;
	static const size_t lens[] = { 1, 2, 300, TCP_FRAME_MAX };
	static uint8_t datagram[TCP_FRAME_MAX], stream[2 * (TCP_FRAME_MAX + TCP_FRAME_HEADER)];
	for (size_t i = 0; i < sizeof(datagram); i++)
		datagram[i] = (uint8_t)(i * 31 + 5);
	for (size_t i = 0; i < sizeof(lens) / sizeof(lens[0]); i++)
		for (size_t skip = 0; skip < lens[i] + TCP_FRAME_HEADER; skip++) {
			struct tcp_queue q = { 0 };
			tcp_frame_header(stream, lens[i]);
			memcpy(stream + TCP_FRAME_HEADER, datagram, lens[i]);
			assert_int_equal(tcp_queue_add(&q, datagram, lens[i], skip), OV_OK);
			assert_int_equal(q.len, lens[i] + TCP_FRAME_HEADER - skip);
			assert_memory_equal(q.data, stream + skip, q.len);
			tcp_queue_fini(&q);
			assert_null(q.data);
		}
}

static void grows_in_order(void **state)
{
	(void)state;
	struct tcp_queue q = { 0 };
	uint8_t datagram[700], *data;
	size_t len, count = 0;
	for (size_t i = 0; i < 400; i++) {
		memset(datagram, (int)i, sizeof(datagram));
		assert_int_equal(tcp_queue_add(&q, datagram, 1 + i, 0), OV_OK);
	}
	struct tcp_frame f = { 0 };
	struct tcp_bytes in = { q.data, q.len };
	while (tcp_frame_next(&f, &in, &data, &len) == 1) {
		assert_int_equal(len, 1 + count);
		assert_int_equal(data[len - 1], (uint8_t)count);
		count++;
	}
	assert_int_equal(count, 400);
	assert_int_equal(in.left, 0);
	assert_true(q.cap < 4 * q.len);
	tcp_queue_fini(&q);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(any_part_is_completed),
		cmocka_unit_test(grows_in_order),
	};
	return cmocka_run_group_tests_name("tcp_queue", tests, NULL, NULL);
}
