/* Both ends of a stream's bytes: a lossy wire between them, windows, hostile frames; and when an
 * ACK is said. */
#include "core/receive_buffer.h"
#include "core/received.h"
#include "core/rtt.h"
#include "core/send_buffer.h"

#include "tests/unit/seeded.h"

#include <stdlib.h>

/* ---- a wire that loses, reorders and repeats ---- */

#define TOTAL   200000
#define WIRE    64
#define SEGMENT 700

struct wire {
	struct send_part parts[WIRE];
	uint8_t bytes[WIRE][SEGMENT];
	size_t count;
};

static uint8_t byte_at(uint64_t offset)
{
	return (uint8_t)(offset * 31 + offset / 251);
}

static void write_some(struct send_buffer *s, uint64_t *seed, size_t max)
{
	uint8_t data[3000];
	size_t len = 1 + seeded_below(seed, sizeof(data) - 1);
	if (len > TOTAL - s->end)
		len = TOTAL - s->end;
	for (size_t i = 0; i < len; i++)
		data[i] = byte_at(s->end + i);
	uint64_t before = s->end;
	size_t written = send_buffer_write(s, data, len, max);
	assert_true(written <= len && s->end == before + written);
	assert_true(s->end - s->base <= max);
	if (s->end == TOTAL)
		send_buffer_end(s);
}

static void send_some(struct send_buffer *s, struct wire *w, uint64_t *seed, uint64_t limit)
{
	struct send_part p;
	while (w->count < WIRE && send_buffer_take(s, limit, 1 + seeded_below(seed, SEGMENT), &p)) {
		assert_true(p.len > 0 || p.fin);
		assert_true(p.offset + p.len <= limit);
		send_buffer_copy(s, &p, w->bytes[w->count]);
		w->parts[w->count++] = p;
	}
}

static void arrive(struct receive_buffer *r, const struct wire *w, size_t i, uint64_t limit)
{
	struct stream_frame f = { .offset = w->parts[i].offset,
		.flags = w->parts[i].fin ? STREAM_FIN : 0,
		.data = w->bytes[i],
		.len = w->parts[i].len };
	assert_int_equal(receive_buffer_add(r, &f, limit), OV_OK);
}

static void take_some(struct receive_buffer *r, uint64_t *seed)
{
	size_t len;
	const uint8_t *data = receive_buffer_peek(r, &len);
	if (len == 0)
		return;
	size_t part = 1 + seeded_below(seed, len);
	for (size_t i = 0; i < part; i++)
		assert_int_equal(data[i], byte_at(r->base + i));
	receive_buffer_consume(r, part);
}

static void every_byte_arrives_in_order(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 40; seed++) {
		uint64_t s = seed;
		struct send_buffer from = { 0 };
		struct receive_buffer to = { 0 };
		struct wire *w = calloc(1, sizeof(*w));
		assert_non_null(w);
		size_t window = 1000 + seeded_below(&s, 60000), rounds = 0;
		while (!receive_buffer_is_done(&to) || !send_buffer_is_done(&from)) {
			assert_true(++rounds < 100000);
			uint64_t limit = to.base + window;
			write_some(&from, &s, 20000);
			send_some(&from, w, &s, limit);
			size_t i = w->count ? seeded_below(&s, w->count) : 0;
			uint64_t fate = seeded_below(&s, 10);
			if (w->count > 0) {
				if (fate < 7)
					arrive(&to, w, i, limit);
				if (fate < 6)
					send_buffer_acknowledge(&from, &w->parts[i]);
				else if (fate < 9) /* 6: it came, and its ACK is lost */
					send_buffer_lose(&from, &w->parts[i]);
				if (fate < 9) { /* 9: it stays under way */
					w->parts[i] = w->parts[--w->count];
					memcpy(w->bytes[i], w->bytes[w->count], SEGMENT);
				}
			}
			take_some(&to, &s);
		}
		assert_int_equal(to.final_size, TOTAL);
		assert_true(from.base == from.end && to.have.count == 0);
		send_buffer_fini(&from);
		receive_buffer_fini(&to);
		free(w);
	}
}

/* ---- single rules ---- */

static void the_end_alone_is_sent_and_sent_again(void **state)
{
	(void)state;
	struct send_buffer b = { 0 };
	struct send_part p;
	assert_false(send_buffer_take(&b, 100, 100, &p));
	send_buffer_end(&b);
	assert_true(send_buffer_wants(&b, 0)); /* it costs no credit */
	assert_true(send_buffer_take(&b, 0, 100, &p));
	assert_true(p.fin && p.len == 0);
	assert_false(send_buffer_take(&b, 0, 100, &p));
	send_buffer_lose(&b, &p);
	assert_true(send_buffer_take(&b, 0, 100, &p));
	assert_true(p.fin);
	send_buffer_acknowledge(&b, &p);
	assert_true(send_buffer_is_done(&b));
	send_buffer_lose(&b, &p); /* an old copy of it */
	assert_false(send_buffer_wants(&b, 0));
	assert_int_equal(send_buffer_write(&b, (const uint8_t *)"x", 1, 100), 0);
	send_buffer_fini(&b);
}

/* What was lost goes before what is new, and as far as its packet said, whatever the window. */
static void lost_bytes_go_first(void **state)
{
	(void)state;
	struct send_buffer b = { 0 };
	struct send_part first, p;
	uint8_t data[300] = { 0 };
	assert_int_equal(send_buffer_write(&b, data, 300, 1000), 300);
	assert_true(send_buffer_take(&b, 200, 100, &first));
	assert_true(send_buffer_take(&b, 200, 500, &p));
	assert_int_equal(p.len, 100);
	assert_false(send_buffer_wants(&b, 200)); /* the window */
	send_buffer_lose(&b, &first);
	assert_true(send_buffer_take(&b, 200, 60, &p));
	assert_true(p.offset == 0 && p.len == 60);
	assert_true(send_buffer_take(&b, 300, 60, &p));
	assert_true(p.offset == 60 && p.len == 40);
	assert_true(send_buffer_take(&b, 300, 60, &p));
	assert_true(p.offset == 200 && p.len == 60);
	send_buffer_fini(&b);
}

static int add(
	struct receive_buffer *b, uint64_t offset, const char *text, bool fin, uint64_t limit)
{
	struct stream_frame f = { .offset = offset,
		.flags = fin ? STREAM_FIN : 0,
		.data = (const uint8_t *)text,
		.len = strlen(text) };
	return receive_buffer_add(b, &f, limit);
}

static void what_contradicts_is_refused(void **state)
{
	(void)state;
	struct receive_buffer b = { 0 };
	size_t len;
	assert_int_equal(add(&b, 4, "efgh", false, 100), OV_OK);
	assert_int_equal(add(&b, 2, "cdeX", false, 100), OV_EINVAL); /* other bytes */
	assert_int_equal(add(&b, 2, "cdef", false, 100), OV_OK);
	assert_int_equal(add(&b, 95, "abcdef", false, 100), OV_EINVAL); /* the window */
	assert_int_equal(add(&b, 4, "ef", true, 100), OV_EINVAL); /* it went further than that */
	assert_int_equal(receive_buffer_end(&b, 7, 100), OV_EINVAL);
	assert_int_equal(add(&b, 8, "ij", true, 100), OV_OK);
	assert_int_equal(add(&b, 8, "ij", true, 100), OV_OK);
	assert_int_equal(add(&b, 10, "k", false, 100), OV_EINVAL); /* beyond its end */
	assert_int_equal(add(&b, 8, "ijk", true, 100), OV_EINVAL);
	assert_int_equal(receive_buffer_end(&b, 10, 100), OV_OK);
	assert_null(receive_buffer_peek(&b, &len));
	assert_int_equal(len, 0);
	assert_int_equal(add(&b, 0, "ab", false, 100), OV_OK);
	const uint8_t *data = receive_buffer_peek(&b, &len);
	assert_int_equal(len, 10);
	assert_memory_equal(data, "abcdefghij", 10);
	receive_buffer_consume(&b, 10);
	assert_true(receive_buffer_is_done(&b));
	assert_int_equal(add(&b, 4, "whatever", false, 100), OV_EINVAL);
	assert_int_equal(add(&b, 4, "old", false, 100), OV_OK); /* nobody knows what it was */
	receive_buffer_fini(&b);
}

static void holes_are_bounded(void **state)
{
	(void)state;
	struct receive_buffer b = { 0 };
	int err = OV_OK;
	uint64_t n = 0;
	for (; err == OV_OK; n++)
		err = add(&b, 2 * n + 1, "x", false, 1 << 20);
	assert_int_equal(err, OV_EFULL);
	assert_int_equal(n, RECEIVE_RANGES_MAX + 1);
	assert_int_equal(b.highest, 2 * (n - 2) + 2);             /* the refused one did not come */
	assert_int_equal(add(&b, 0, "y", false, 1 << 20), OV_OK); /* fills one */
	receive_buffer_fini(&b);
}

/* ---- acknowledgements ---- */

static void acks_name_what_came(void **state)
{
	(void)state;
	struct received r;
	struct ack_frame f;
	received_init(&r, 7);
	assert_int_equal(received_add(&r, OV_SEC, 0, ECN_NONE, RTT_MAX_DELAY), OV_OK);
	assert_false(received_wants_ack(&r, OV_SEC)); /* the first waits a little */
	assert_true(received_wants_ack(&r, OV_SEC + RTT_MAX_DELAY));
	assert_int_equal(received_add(&r, OV_SEC, 1, ECN_NONE, RTT_MAX_DELAY), OV_OK);
	assert_true(received_wants_ack(&r, OV_SEC)); /* every second one */
	received_ack(&r, OV_SEC + 3 * OV_MS, ACK_RANGES_MAX, &f);
	assert_false(received_wants_ack(&r, OV_SEC * 100));
	assert_true(f.space == 7 && f.count == 1 && f.delay_us == 3000);
	assert_true(f.ranges[0].first == 0 && f.ranges[0].end == 2);
	assert_int_equal(received_add(&r, 2 * OV_SEC, 5, ECN_ECT0, RTT_MAX_DELAY), OV_OK);
	assert_true(received_wants_ack(&r, 2 * OV_SEC)); /* a gap */
	received_ack(&r, 2 * OV_SEC, ACK_RANGES_MAX, &f);
	assert_true(f.count == 2 && f.ranges[0].first == 5 && f.ranges[1].end == 2);
	assert_int_equal(received_add(&r, 2 * OV_SEC, 3, ECN_ECT0, RTT_MAX_DELAY), OV_OK);
	assert_true(received_wants_ack(&r, 2 * OV_SEC)); /* out of order */
	received_ack(&r, 2 * OV_SEC, 2, &f);
	assert_true(f.count == 2 && f.ranges[1].first == 3); /* no more than there is room for */
	assert_int_equal(received_add(&r, 3 * OV_SEC, 6, ECN_CE, RTT_MAX_DELAY), OV_OK);
	assert_true(received_wants_ack(&r, 3 * OV_SEC)); /* congestion */
	received_ack(&r, 3 * OV_SEC, 1, &f);
	assert_true(f.ect0 == 2 && f.ce == 1);
	assert_int_equal(
		received_add(&r, 3 * OV_SEC, UINT64_MAX, ECN_NONE, RTT_MAX_DELAY), OV_EFORMAT);
	received_fini(&r);
}

static void old_gaps_are_forgotten(void **state)
{
	(void)state;
	struct received r;
	struct ack_frame f;
	received_init(&r, 0);
	for (uint64_t n = 0; n < 5000; n++)
		assert_int_equal(received_add(&r, OV_SEC, 2 * n, ECN_NONE, RTT_MAX_DELAY), OV_OK);
	assert_true(r.numbers.count <= 2 * ACK_RANGES_MAX);
	received_ack(&r, OV_SEC, ACK_RANGES_MAX, &f);
	assert_int_equal(f.count, ACK_RANGES_MAX);
	assert_int_equal(f.ranges[0].first, 2 * 4999);
	received_fini(&r);
}

/* A frame may name an offset and bring nothing: the highest byte is known, and none is there. */
static void an_empty_frame_leaves_a_hole(void **state)
{
	(void)state;
	struct receive_buffer b = { 0 };
	size_t len;
	struct stream_frame f = { .offset = 50000, .data = (const uint8_t *)"" };
	assert_int_equal(receive_buffer_add(&b, &f, 100000), OV_OK);
	f = (struct stream_frame){ .data = (const uint8_t *)"abc", .len = 3 };
	assert_int_equal(receive_buffer_add(&b, &f, 100000), OV_OK);
	const uint8_t *got = receive_buffer_peek(&b, &len);
	assert_int_equal(len, 3);
	assert_memory_equal(got, "abc", 3);
	receive_buffer_fini(&b);
}

static void what_wraps_has_two_parts(void **state)
{
	(void)state;
	struct receive_buffer b = { 0 };
	uint64_t at = 0;
	size_t len, more;
	for (; at + 10 < BYTE_RING_LEAST; at += 10) {
		assert_int_equal(add(&b, at, "0123456789", false, UINT64_MAX), OV_OK);
		assert_null(receive_buffer_peek_rest(&b, &more));
		receive_buffer_consume(&b, 10);
	}
	assert_null(receive_buffer_peek_rest(&b, &more));
	assert_int_equal(add(&b, at, "0123456789", false, UINT64_MAX), OV_OK);
	const uint8_t *first = receive_buffer_peek(&b, &len);
	const uint8_t *rest = receive_buffer_peek_rest(&b, &more);
	assert_int_equal(len, BYTE_RING_LEAST - at);
	assert_int_equal(more, 10 - len);
	assert_memory_equal(first, "0123456789", len);
	assert_memory_equal(rest, &"0123456789"[len], more);
	receive_buffer_fini(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_byte_arrives_in_order),
		cmocka_unit_test(the_end_alone_is_sent_and_sent_again),
		cmocka_unit_test(lost_bytes_go_first),
		cmocka_unit_test(what_contradicts_is_refused),
		cmocka_unit_test(holes_are_bounded),
		cmocka_unit_test(an_empty_frame_leaves_a_hole),
		cmocka_unit_test(acks_name_what_came),
		cmocka_unit_test(old_gaps_are_forgotten),
		cmocka_unit_test(what_wraps_has_two_parts),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
