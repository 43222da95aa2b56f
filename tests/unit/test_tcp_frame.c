/* Streams cut in every way give the same datagrams. */
#include "tests/unit/seeded.h"

#include "core/bytes.h"
#include "core/tcp_frame.h"

#include <stdlib.h>

#define STREAM_MAX 16384

struct stream {
	uint8_t bytes[STREAM_MAX];
	size_t len;
};

static void add(struct stream *s, size_t len)
{
	tcp_frame_header(s->bytes + s->len, len);
	s->len += TCP_FRAME_HEADER;
	for (size_t i = 0; i < len; i++)
		s->bytes[s->len++] = (uint8_t)(len + i * 7);
}

static size_t check(size_t nth, const uint8_t *data, size_t len, const size_t *want)
{
	assert_int_equal(len, want[nth]);
	for (size_t i = 0; i < len; i++)
		assert_int_equal(data[i], (uint8_t)(len + i * 7));
	return nth + 1;
}

/* Reads of `cut` bytes, each from a copy that is spoiled afterwards. */
static void read_in_cuts(const struct stream *s, size_t cut, const size_t *want, size_t count)
{
	struct tcp_frame f = { 0 };
	size_t got = 0;
	for (size_t at = 0; at < s->len; at += cut) {
		size_t len = s->len - at < cut ? s->len - at : cut;
		uint8_t *copy = malloc(len), *data;
		memcpy(copy, s->bytes + at, len);
		struct tcp_bytes in = { copy, len };
		size_t datagram;
		int more;
		while ((more = tcp_frame_next(&f, &in, &data, &datagram)) == 1)
			got = check(got, data, datagram, want);
		assert_int_equal(more, 0);
		tcp_frame_keep(&f, &in);
		free(copy);
	}
	assert_int_equal(got, count);
	assert_int_equal(f.have, 0);
}

static void every_cut_gives_the_same(void **state)
{
	(void)state;
	static const size_t want[] = { 1, 2, 3, 32, 1, TCP_FRAME_MAX, 255, 256, 257, 1452, 8, 296 };
	static struct stream s;
	s.len = 0;
	for (size_t i = 0; i < sizeof(want) / sizeof(want[0]); i++)
		add(&s, want[i]);
	for (size_t cut = 1; cut <= s.len; cut++)
		read_in_cuts(&s, cut, want, sizeof(want) / sizeof(want[0]));
}

static int first(const uint8_t *bytes, size_t len, size_t cut)
{
	struct tcp_frame f = { 0 };
	uint8_t copy[64], *data;
	size_t datagram;
	int more = 0;
	for (size_t at = 0; at < len && more == 0; at += cut) {
		size_t n = len - at < cut ? len - at : cut;
		memcpy(copy, bytes + at, n);
		struct tcp_bytes in = { copy, n };
		more = tcp_frame_next(&f, &in, &data, &datagram);
		if (more == 0)
			tcp_frame_keep(&f, &in);
	}
	return more;
}

static void lengths_that_cannot_be(void **state)
{
	(void)state;
	const uint8_t empty[] = { 0, 0, 1, 2 }, one[] = { 1, 0, 9 },
		      longest[] = { TCP_FRAME_MAX & 0xff, TCP_FRAME_MAX >> 8, 1 },
		      longer[] = { (TCP_FRAME_MAX + 1) & 0xff, (TCP_FRAME_MAX + 1) >> 8, 1 },
		      all[] = { 0xff, 0xff, 0xff };
	for (size_t cut = 1; cut <= 3; cut++) {
		assert_int_equal(first(empty, sizeof(empty), cut), OV_EFORMAT);
		assert_int_equal(first(one, sizeof(one), cut), 1);
		assert_int_equal(first(longest, sizeof(longest), cut), 0);
		assert_int_equal(first(longer, sizeof(longer), cut), OV_EFORMAT);
		assert_int_equal(first(all, sizeof(all), cut), OV_EFORMAT);
	}
}

/* A datagram completed from an earlier read stays whole while the others of the read are taken. */
static void the_first_one_survives_its_batch(void **state)
{
	(void)state;
	static struct stream s;
	s.len = 0;
	add(&s, 100);
	add(&s, 50);
	add(&s, 1000);
	struct tcp_frame f = { 0 };
	uint8_t *first, *second, *data;
	size_t len;
	struct tcp_bytes a = { s.bytes, 60 }, b = { s.bytes + 60, 200 };
	assert_int_equal(tcp_frame_next(&f, &a, &data, &len), 0);
	tcp_frame_keep(&f, &a);
	assert_int_equal(tcp_frame_next(&f, &b, &first, &len), 1);
	assert_int_equal(tcp_frame_next(&f, &b, &second, &len), 1);
	assert_int_equal(tcp_frame_next(&f, &b, &data, &len), 0);
	for (size_t i = 0; i < 100; i++)
		assert_int_equal(first[i], (uint8_t)(100 + i * 7));
	assert_int_equal(second[0], 50);
	tcp_frame_keep(&f, &b);
	assert_int_equal(f.have, 60 + 200 - 102 - 52);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_cut_gives_the_same),
		cmocka_unit_test(lengths_that_cannot_be),
		cmocka_unit_test(the_first_one_survives_its_batch),
	};
	return cmocka_run_group_tests_name("tcp_frame", tests, NULL, NULL);
}
