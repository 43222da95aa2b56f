/* Frames: frozen bytes both ways, truncation at each length, unknown types, padding. */
#include "core/frame.h"

#include "tests/unit/seeded.h"

/* clang-format off */
static const uint8_t challenge_bytes[] = {
	0x01, 0x09, 0x00, 0x10, 0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17, 0x80,
};
static const uint8_t response_bytes[] = {
	0x02, 0x28, 0x00, 0x10, 0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17,             /* token */
	0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 192, 0, 2, 7, 0x2e, 0x6a,           /* observed */
	0x04, 0x03, 0x02, 0x01, 0xac, 0x05,                                           /* hold, size */
	0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11,                               /* count */
};
static const uint8_t status_bytes[] = { 0x03, 0x04, 0x00, 0xef, 0xbe, 0xad, 0xde };
/* clang-format on */

static const uint8_t token[PATH_TOKEN_LEN] = { 0x10, 0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17 };

static int decode(const uint8_t *data, size_t len, struct frame *out)
{
	struct rd r = rd_init(data, len);
	int n = frame_next(&r, out);
	if (n == 1) /* one frame and nothing behind it */
		assert_int_equal(frame_next(&r, &(struct frame){ 0 }), 0);
	return n;
}

static void vectors_encode(void **state)
{
	(void)state;
	uint8_t out[64];
	struct path_challenge c = { .flags = 0x80 };
	struct path_response p = { .observed = addr_v4(192, 0, 2, 7, 27182),
		.hold_us = 0x01020304,
		.received_size = 1452,
		.received_count = UINT64_C(0x1122334455667788) };
	memcpy(c.token, token, sizeof(token));
	memcpy(p.token, token, sizeof(token));
	struct wr w = wr_init(out, sizeof(out));
	frame_put_challenge(&w, &c);
	assert_true(wr_ok(&w) && wr_len(&w) == sizeof(challenge_bytes));
	assert_memory_equal(out, challenge_bytes, sizeof(challenge_bytes));
	w = wr_init(out, sizeof(out));
	frame_put_response(&w, &p);
	assert_true(wr_ok(&w) && wr_len(&w) == sizeof(response_bytes));
	assert_memory_equal(out, response_bytes, sizeof(response_bytes));
	w = wr_init(out, sizeof(out));
	frame_put_status(&w, &(struct path_status){ .sequence = 0xdeadbeef });
	assert_true(wr_ok(&w) && wr_len(&w) == sizeof(status_bytes));
	assert_memory_equal(out, status_bytes, sizeof(status_bytes));
}

static void vectors_decode(void **state)
{
	(void)state;
	struct frame f;
	assert_int_equal(decode(challenge_bytes, sizeof(challenge_bytes), &f), 1);
	assert_int_equal(f.type, FRAME_PATH_CHALLENGE);
	assert_memory_equal(f.as.challenge.token, token, sizeof(token));
	assert_int_equal(f.as.challenge.flags, 0x80);
	assert_int_equal(decode(response_bytes, sizeof(response_bytes), &f), 1);
	assert_int_equal(f.type, FRAME_PATH_RESPONSE);
	assert_memory_equal(f.as.response.token, token, sizeof(token));
	struct ov_addr want = addr_v4(192, 0, 2, 7, 27182);
	assert_true(addr_equal(&f.as.response.observed, &want));
	assert_int_equal(f.as.response.hold_us, 0x01020304);
	assert_int_equal(f.as.response.received_size, 1452);
	assert_true(f.as.response.received_count == UINT64_C(0x1122334455667788));
	assert_int_equal(decode(status_bytes, sizeof(status_bytes), &f), 1);
	assert_int_equal(f.type, FRAME_PATH_STATUS);
	assert_int_equal(f.as.status.sequence, 0xdeadbeef);
}

static void check_lengths(const uint8_t *bytes, size_t len)
{
	struct frame f;
	uint8_t copy[64] = { 0 };
	assert_int_equal(decode(bytes, 0, &f), 0);
	for (size_t cut = 1; cut < len; cut++)
		assert_int_equal(decode(bytes, cut, &f), OV_EFORMAT);
	/* a body that is shorter or longer than its type says, but wholly there */
	for (size_t body = 0; body + 3 <= sizeof(copy); body++) {
		memcpy(copy, bytes, len);
		store_le16(copy + 1, (uint16_t)body);
		struct rd r = rd_init(copy, 3 + body);
		assert_int_equal(frame_next(&r, &f), body == len - 3 ? 1 : OV_EFORMAT);
	}
}

static void lengths_must_be_exact(void **state)
{
	(void)state;
	check_lengths(challenge_bytes, sizeof(challenge_bytes));
	check_lengths(response_bytes, sizeof(response_bytes));
	check_lengths(status_bytes, sizeof(status_bytes));
}

static void every_type(void **state)
{
	(void)state;
	for (unsigned type = 0; type < 256; type++) {
		uint8_t bytes[3 + 4 + sizeof(status_bytes)] = { (uint8_t)type, 4, 0, 9, 9, 9, 9 };
		memcpy(bytes + 7, status_bytes, sizeof(status_bytes));
		struct frame f;
		struct rd r = rd_init(bytes, sizeof(bytes));
		int got = frame_next(&r, &f);
		if (type >= 0x80) { /* skipped: the status behind it is what comes out */
			assert_int_equal(got, 1);
			assert_int_equal(f.type, FRAME_PATH_STATUS);
			assert_int_equal(f.as.status.sequence, 0xdeadbeef);
		} else if (type == FRAME_PATH_STATUS) {
			assert_int_equal(got, 1);
			assert_int_equal(f.as.status.sequence, 0x09090909);
		} else if (type == FRAME_PADDING) { /* 4 is then a type nobody knows */
			assert_int_equal(got, OV_EFORMAT);
		} else if (type == FRAME_RELAY_CLOSE) {
			assert_int_equal(got, 1);
			assert_int_equal(f.as.relay_close.channel, 0x09090909);
		} else if (type <= FRAME_TCP_ENDPOINTS ||
			   (type >= FRAME_NUMBER && type <= FRAME_MAX_STREAMS) ||
			   (type >= FRAME_RELAY_OPEN && type <= FRAME_RELAY_OFFER) ||
			   (type >= FRAME_REGISTER && type <= FRAME_PRESENCE_SEEN) ||
			   type == FRAME_LIFETIME_TEST || type == FRAME_LIFETIME_ANSWER) {
			assert_int_equal(got, OV_EFORMAT);
		} else {
			assert_int_equal(got, OV_ENOENT);
		}
	}
}

static struct frame reread(struct wr *w)
{
	struct frame f;
	assert_true(wr_ok(w));
	assert_int_equal(decode(w->start, wr_len(w), &f), 1);
	for (size_t cut = 3; cut < wr_len(w); cut++) /* the length says more than there is */
		assert_int_equal(decode(w->start, cut, &(struct frame){ 0 }), OV_EFORMAT);
	return f;
}

static void lifetime_frames_come_back_and_are_of_one_length(void **state)
{
	(void)state;
	uint8_t out[64];
	struct wr w = wr_init(out, sizeof(out));
	frame_put_lifetime_test(&w, &(struct lifetime_test){ .token = 0x01020304, .delay_s = 150 });
	struct frame f = reread(&w);
	assert_int_equal(f.type, FRAME_LIFETIME_TEST);
	assert_int_equal(f.as.lifetime_test.token, 0x01020304);
	assert_int_equal(f.as.lifetime_test.delay_s, 150);
	size_t asked = wr_len(&w);
	for (size_t i = asked - 16; i < asked; i++) { /* reserved */
		out[i] = 1;
		assert_int_equal(decode(out, asked, &f), OV_EFORMAT);
		out[i] = 0;
	}

	w = wr_init(out, sizeof(out));
	struct ov_addr seen = addr_v4(203, 0, 113, 1, 4711);
	frame_put_lifetime_answer(&w, &(struct lifetime_answer){ .token = 5, .observed = seen });
	f = reread(&w);
	assert_int_equal(f.as.lifetime_answer.token, 5);
	assert_true(addr_equal(&f.as.lifetime_answer.observed, &seen));
	assert_int_equal(wr_len(&w), asked);
}

static void reliable_frames_come_back(void **state)
{
	(void)state;
	uint8_t out[400];
	struct wr w = wr_init(out, sizeof(out));
	frame_put_number(&w, &(struct number_frame){ .space = 3, .number = UINT64_C(1) << 40 });
	struct frame f = reread(&w);
	assert_int_equal(f.type, FRAME_NUMBER);
	assert_true(f.as.number.space == 3 && f.as.number.number == UINT64_C(1) << 40);
	assert_int_equal(wr_len(&w), FRAME_NUMBER_LEN);

	w = wr_init(out, sizeof(out));
	frame_put_stream(&w, &(struct stream_frame){ .stream = 9,
				     .offset = UINT64_C(1) << 33,
				     .flags = STREAM_FIN,
				     .data = (const uint8_t *)"hello",
				     .len = 5 });
	f = reread(&w);
	assert_int_equal(f.type, FRAME_STREAM);
	assert_true(f.as.stream.stream == 9 && f.as.stream.offset == UINT64_C(1) << 33);
	assert_true(f.as.stream.flags == STREAM_FIN && f.as.stream.len == 5);
	assert_memory_equal(f.as.stream.data, "hello", 5);
	assert_int_equal(wr_len(&w), FRAME_STREAM_FIXED + 5);
	out[3 + 16] = 2; /* a flag that nobody knows */
	assert_int_equal(decode(out, wr_len(&w), &f), OV_EFORMAT);
	memset(out + 3 + 8, 0xff, 8); /* an offset whose end is beyond all numbers */
	out[3 + 16] = 0;
	assert_int_equal(decode(out, wr_len(&w), &f), OV_EFORMAT);

	w = wr_init(out, sizeof(out));
	frame_put_reset(&w, &(struct reset_frame){ .stream = 4, .final_size = 77, .code = 12 });
	f = reread(&w);
	assert_true(f.as.reset.stream == 4 && f.as.reset.final_size == 77 && f.as.reset.code == 12);
	w = wr_init(out, sizeof(out));
	frame_put_stop(&w, &(struct stop_frame){ .stream = 4, .code = 13 });
	f = reread(&w);
	assert_true(f.type == FRAME_STOP_SENDING && f.as.stop.stream == 4 && f.as.stop.code == 13);
	static const enum frame_type types[] = { FRAME_MAX_DATA, FRAME_MAX_STREAM_DATA,
		FRAME_MAX_STREAMS };
	for (size_t i = 0; i < 3; i++) {
		w = wr_init(out, sizeof(out));
		struct max_frame max = { .stream = i == 1 ? 5 : 0, .max = 1 << 20 };
		frame_put_max(&w, types[i], &max);
		f = reread(&w);
		assert_true(f.type == types[i] && f.as.max.max == 1 << 20);
		assert_int_equal(f.as.max.stream, max.stream);
	}
}

static void acks_say_ranges_from_the_top(void **state)
{
	(void)state;
	uint8_t out[400];
	struct ack_frame a = { .space = 2,
		.delay_us = 1500,
		.ect0 = 7,
		.ce = 1,
		.count = 3,
		.ranges = { { 100, 200 }, { 50, 60 }, { 0, 49 } } };
	struct wr w = wr_init(out, sizeof(out));
	frame_put_ack(&w, &a);
	assert_int_equal(wr_len(&w), FRAME_ACK_LEN(3));
	struct frame f;
	assert_int_equal(decode(out, wr_len(&w), &f), 1);
	assert_int_equal(f.as.ack.count, 3);
	assert_memory_equal(f.as.ack.ranges, a.ranges, 3 * sizeof(a.ranges[0]));
	assert_true(f.as.ack.delay_us == 1500 && f.as.ack.ect0 == 7 && f.as.ack.ce == 1);
	assert_int_equal(f.as.ack.space, 2);

	store_le32(out + 3 + 26, 0); /* no gap: it should have been one range */
	assert_int_equal(decode(out, wr_len(&w), &f), OV_EFORMAT);
	store_le32(out + 3 + 26, 101); /* below the number 0 */
	assert_int_equal(decode(out, wr_len(&w), &f), OV_EFORMAT);
	store_le32(out + 3 + 26, 40);
	store_le32(out + 3 + 30, 0); /* an empty range */
	assert_int_equal(decode(out, wr_len(&w), &f), OV_EFORMAT);
	store_le32(out + 3 + 30, 61); /* too long for what is left */
	assert_int_equal(decode(out, wr_len(&w), &f), OV_EFORMAT);

	struct ack_frame many = { .count = ACK_RANGES_MAX };
	for (size_t i = 0; i < ACK_RANGES_MAX; i++)
		many.ranges[i] = (struct range){ 1000 - 2 * i, 1001 - 2 * i };
	w = wr_init(out, sizeof(out));
	frame_put_ack(&w, &many);
	assert_true(wr_ok(&w));
	assert_int_equal(decode(out, wr_len(&w), &f), 1);
	assert_int_equal(f.as.ack.count, ACK_RANGES_MAX);
	wr_u32(&w, 1); /* one range more than anybody sends */
	wr_u32(&w, 1);
	store_le16(out + 1, (uint16_t)(wr_len(&w) - 3));
	assert_int_equal(decode(out, wr_len(&w), &f), OV_EFORMAT);
}

static void relay_frames_come_back(void **state)
{
	(void)state;
	uint8_t out[512], inner[20] = { 4, 1, 2, 3 };
	struct wr w = wr_init(out, sizeof(out));
	struct relay_open o = {
		.request = 7, .tag = { 1, 2 }, .datagram = inner, .len = sizeof(inner)
	};
	memset(o.destination.bytes, 0xab, sizeof(o.destination.bytes));
	frame_put_relay_open(&w, &o);
	struct frame f = reread(&w);
	assert_int_equal(f.as.relay_open.request, 7);
	assert_memory_equal(f.as.relay_open.destination.bytes, o.destination.bytes, 32);
	assert_memory_equal(f.as.relay_open.tag, o.tag, RELAY_TAG_LEN);
	assert_int_equal(f.as.relay_open.len, sizeof(inner));
	assert_memory_equal(f.as.relay_open.datagram, inner, sizeof(inner));

	w = wr_init(out, sizeof(out));
	frame_put_relay_in(&w, &(struct relay_in){ .channel = 9, .datagram = inner, .len = 20 });
	f = reread(&w);
	assert_int_equal(f.as.relay_in.channel, 9);
	assert_int_equal(f.as.relay_in.len, 20);

	w = wr_init(out, sizeof(out));
	frame_put_relay_ok(&w, &(struct relay_ok){ .request = 1, .channel = 2 });
	f = reread(&w);
	assert_true(f.as.relay_ok.request == 1 && f.as.relay_ok.channel == 2);

	w = wr_init(out, sizeof(out));
	frame_put_relay_no(&w, &(struct relay_no){ .request = 3, .reason = RELAY_REASON_QUOTA });
	f = reread(&w);
	assert_true(f.as.relay_no.request == 3 && f.as.relay_no.reason == RELAY_REASON_QUOTA);
}

static void register_frames_come_back(void **state)
{
	(void)state;
	uint8_t out[2048], tags[(REGISTER_TAGS_MAX + 1) * RELAY_TAG_LEN] = { 5 };
	struct wr w = wr_init(out, sizeof(out));
	struct register_frame r = {
		.request = 1, .page = 2, .pages = 3, .tags = tags, .count = 128
	};
	frame_put_register(&w, FRAME_REGISTER, &r);
	struct frame f = reread(&w);
	assert_true(f.as.reg.page == 2 && f.as.reg.pages == 3 && f.as.reg.count == 128);
	assert_memory_equal(f.as.reg.tags, tags, 128 * RELAY_TAG_LEN);

	w = wr_init(out, sizeof(out)); /* one tag more than may be */
	wr_u8(&w, FRAME_REGISTER);
	wr_u16(&w, 6 + sizeof(tags));
	wr_zero(&w, 6);
	wr_copy(&w, tags, sizeof(tags));
	assert_int_equal(decode(out, wr_len(&w), &f), OV_EFORMAT);

	w = wr_init(out, sizeof(out));
	frame_put_registered(&w, &(struct registered_frame){ .request = 8,
					 .page = 1,
					 .reason = 2,
					 .lifetime_s = 600,
					 .second_port = 27183,
					 .second_addr = addr_v4(192, 0, 2, 7, 1) });
	f = reread(&w);
	struct ov_addr second = addr_v4(192, 0, 2, 7, 27183); /* the port is the same for both */
	assert_true(addr_equal(&f.as.registered.second_addr, &second));
	assert_true(f.as.registered.request == 8 && f.as.registered.page == 1);
	assert_true(f.as.registered.reason == 2 && f.as.registered.lifetime_s == 600);

	w = wr_init(out, sizeof(out));
	struct filter_test test = { .token = 77, .from = FILTER_FROM_ADDRESS };
	frame_put_filter(&w, FRAME_FILTER_TEST, &test);
	f = reread(&w);
	assert_true(f.as.filter_test.token == 77 && f.as.filter_test.from == FILTER_FROM_ADDRESS);
	out[wr_len(&w) - 1] = FILTER_FROM_ADDRESS + 1; /* from nowhere */
	assert_int_equal(decode(out, wr_len(&w), &f), OV_EFORMAT);
}

static void presence_frames_come_back(void **state)
{
	(void)state;
	uint8_t out[2048], tags[3 * RELAY_TAG_LEN] = { 7 };
	struct wr w = wr_init(out, sizeof(out));
	struct register_frame watch = { .request = 1, .pages = 1, .tags = tags, .count = 3 };
	frame_put_register(&w, FRAME_WATCH, &watch);
	struct frame f = reread(&w);
	assert_true(f.type == FRAME_WATCH && f.as.reg.count == 3);

	struct presence_frame p = {
		.request = 9, .sequence = 4, .page = 2, .count = 11, .here = { 0x81, 0x07 }
	};
	w = wr_init(out, sizeof(out));
	frame_put_presence(&w, &p);
	assert_int_equal(wr_len(&w), 3 + 11 + 2);
	f = reread(&w);
	assert_true(f.as.presence.request == 9 && f.as.presence.sequence == 4);
	assert_true(f.as.presence.page == 2 && f.as.presence.count == 11);
	assert_memory_equal(f.as.presence.here, p.here, sizeof(p.here));
	out[wr_len(&w) - 1] |= 0x08; /* a bit that stands for nobody */
	assert_int_equal(decode(out, wr_len(&w), &f), OV_EFORMAT);
	out[wr_len(&w) - 1] = 7;
	out[3 + 10] = REGISTER_TAGS_MAX + 1;
	assert_int_equal(decode(out, wr_len(&w), &f), OV_EFORMAT);

	w = wr_init(out, sizeof(out));
	frame_put_presence_seen(&w, &(struct presence_seen){ .request = 5, .sequence = 6 });
	f = reread(&w);
	assert_true(f.as.presence_seen.request == 5 && f.as.presence_seen.sequence == 6);
}

static void meeting_frames_come_back(void **state)
{
	(void)state;
	uint8_t out[1024];
	struct wr w = wr_init(out, sizeof(out));
	struct endpoints_frame e = { .count = FRAME_ENDPOINTS_MAX };
	for (uint8_t i = 0; i < FRAME_ENDPOINTS_MAX; i++)
		e.addr[i] = addr_v4(192, 0, 2, i, 1000);
	frame_put_endpoints(&w, FRAME_ENDPOINTS, &e);
	struct frame f = reread(&w);
	assert_int_equal(f.as.endpoints.count, FRAME_ENDPOINTS_MAX);
	assert_true(addr_equal(&f.as.endpoints.addr[15], &e.addr[15]));
	e.count = FRAME_TCP_ENDPOINTS_MAX;
	w = wr_init(out, sizeof(out));
	frame_put_endpoints(&w, FRAME_TCP_ENDPOINTS, &e);
	f = reread(&w);
	assert_int_equal(f.type, FRAME_TCP_ENDPOINTS);
	assert_int_equal(f.as.endpoints.count, FRAME_TCP_ENDPOINTS_MAX);
	e.count++; /* one too many: another frame's length */
	w = wr_init(out, sizeof(out));
	frame_put_endpoints(&w, FRAME_ENDPOINTS, &e);
	out[0] = FRAME_TCP_ENDPOINTS;
	assert_int_equal(decode(out, wr_len(&w), &f), OV_EFORMAT);
	w = wr_init(out, sizeof(out));
	frame_put_punch(&w, &(struct punch_frame){ .round = 5, .flags = PUNCH_ANSWER });
	f = reread(&w);
	assert_true(f.as.punch.round == 5 && f.as.punch.flags == PUNCH_ANSWER);
}

static void skippable_must_be_whole(void **state)
{
	(void)state;
	static const uint8_t huge[] = { 0xff, 0xff, 0xff, 1, 2, 3 };
	struct frame f;
	for (size_t cut = 1; cut <= sizeof(huge); cut++)
		assert_int_equal(decode(huge, cut, &f), OV_EFORMAT);
	static const uint8_t none[] = { 0x80, 0, 0 };
	assert_int_equal(decode(none, sizeof(none), &f), 0);
}

static void padding_anywhere(void **state)
{
	(void)state;
	uint8_t bytes[1452];
	struct wr w = wr_init(bytes, sizeof(bytes));
	frame_put_padding(&w, 7);
	frame_put_status(&w, &(struct path_status){ .sequence = 1 });
	frame_put_padding(&w, 100);
	frame_put_status(&w, &(struct path_status){ .sequence = 2 });
	frame_put_padding(&w, sizeof(bytes) - wr_len(&w));
	assert_true(wr_ok(&w));
	struct rd r = rd_init(bytes, sizeof(bytes));
	struct frame f;
	assert_int_equal(frame_next(&r, &f), 1);
	assert_int_equal(f.as.status.sequence, 1);
	assert_int_equal(frame_next(&r, &f), 1);
	assert_int_equal(f.as.status.sequence, 2);
	assert_int_equal(frame_next(&r, &f), 0);
	assert_int_equal(frame_next(&r, &f), 0);
	frame_put_padding(&w, 1);
	assert_false(wr_ok(&w)); /* never beyond the datagram */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(vectors_encode),
		cmocka_unit_test(vectors_decode),
		cmocka_unit_test(lengths_must_be_exact),
		cmocka_unit_test(every_type),
		cmocka_unit_test(reliable_frames_come_back),
		cmocka_unit_test(acks_say_ranges_from_the_top),
		cmocka_unit_test(relay_frames_come_back),
		cmocka_unit_test(lifetime_frames_come_back_and_are_of_one_length),
		cmocka_unit_test(register_frames_come_back),
		cmocka_unit_test(presence_frames_come_back),
		cmocka_unit_test(meeting_frames_come_back),
		cmocka_unit_test(skippable_must_be_whole),
		cmocka_unit_test(padding_anywhere),
	};
	return cmocka_run_group_tests_name("frame", tests, NULL, NULL);
}
