/* A schedule of frames, app calls, time and path changes against one live transport: whatever
 * comes, its tables stay within their limits, what it sends is well formed and fits, and time goes
 * on. */
#include "core/bytes.h"
#include "core/transport.h"

#include <stdlib.h>
#include <string.h>

#define DATAGRAM 1280
#define OVERHEAD 32
#define STEPS    4000

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool ok)
{
	if (!ok)
		abort();
}

static void use_path(struct transport *t, ov_time now, uint8_t key)
{
	struct transport_path path = { .key = key, .datagram = DATAGRAM, .overhead = OVERHEAD };
	transport_use_path(t, now, key ? &path : NULL);
}

/* What goes out is read again; the highest number is kept, for ACKs that hit. */
static void drain(struct transport *t, ov_time now, struct number_frame *sent)
{
	for (int i = 0; i < STEPS; i++) {
		uint8_t plain[DATAGRAM];
		struct wr w = wr_init(plain, sizeof(plain));
		struct frame f;
		if (!transport_poll(t, now, &w))
			return;
		check(wr_len(&w) + OVERHEAD <= DATAGRAM);
		struct rd r = rd_init(plain, wr_len(&w));
		int more;
		while ((more = frame_next(&r, &f)) == 1)
			if (f.type == FRAME_NUMBER)
				*sent = f.as.number;
		check(more == 0);
	}
	abort(); /* without end */
}

static void packet(struct transport *t, ov_time now, struct rd *in)
{
	struct frame f;
	struct number_frame number = { 0 };
	bool numbered = false, taken = true;
	uint8_t len = rd_u8(in);
	const uint8_t *bytes = rd_take(in, len < rd_left(in) ? len : rd_left(in));
	struct rd r = rd_init(bytes, bytes ? (size_t)(in->next - bytes) : 0);
	while (frame_next(&r, &f) == 1) {
		if (f.type == FRAME_NUMBER) {
			number = f.as.number;
			numbered = true;
		} else {
			taken &= transport_on_frame(t, now, &f) == OV_OK;
		}
	}
	if (numbered && taken)
		transport_on_number(t, now, &number, (enum ecn)(number.number % 3));
}

static void acknowledge(struct transport *t, ov_time now, const struct number_frame *sent)
{
	struct frame f = { .type = FRAME_ACK };
	f.as.ack = (struct ack_frame){ .space = sent->space, .count = 1 };
	f.as.ack.ranges[0] = (struct range){ .first = 0, .end = sent->number + 1 };
	(void)!transport_on_frame(t, now, &f);
}

static void app(struct transport *t, ov_time now, uint8_t what, uint64_t stream)
{
	static const uint8_t bytes[3000];
	size_t len;
	switch (what % 8) {
	case 0: (void)!transport_open(t, now, &stream); break;
	case 1: (void)transport_write(t, stream, bytes, 7 + 90 * (what / 8)); break;
	case 2: transport_finish(t, stream); break;
	case 3:
		(void)transport_peek(t, stream, &len);
		if (len > 0)
			transport_consume(t, now, stream, 1 + len / 2);
		break;
	case 4: transport_reset(t, stream, what); break;
	case 5: transport_stop(t, now, stream, what); break;
	case 6: transport_set_priority(t, stream, what / 8); break;
	default: (void)transport_at_end(t, stream); break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct rd in = rd_init(data, size);
	ov_time now = OV_SEC;
	struct transport *t = transport_new(now, &(struct transport_config){ .is_lower = true });
	struct number_frame sent = { 0 };
	struct transport_event ev;
	check(t != NULL);
	use_path(t, now, 1);
	for (int step = 0; step < STEPS && rd_left(&in) > 0; step++) {
		uint8_t op = rd_u8(&in);
		switch (op % 8) {
		case 0:
		case 1:
		case 2: packet(t, now, &in); break;
		case 3: app(t, now, rd_u8(&in), rd_u8(&in)); break;
		case 4: now += (ov_time)(op / 8) * (op / 8) * 10 * OV_MS; break;
		case 5: use_path(t, now, op / 8 % 7); break;
		case 6: transport_path_died(t, op / 8 % 7); break;
		case 7: acknowledge(t, now, &sent); break;
		}
		if (transport_deadline(t, now) <= now)
			transport_tick(t, now);
		drain(t, now, &sent);
		for (int i = 0; op & 0x80 && transport_next_event(t, &ev); i++)
			check(i < STEPS);
		check(transport_stream_count(t) <= 3 * TRANSPORT_STREAMS);
	}
	transport_free(t);
	return 0;
}
