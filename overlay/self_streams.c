/* Streams to our own PeerId: two transports and a link of memory between them, so that an app sees
 * the same layer, limits and ends, whoever it talks to. */
#include "overlay/streams.h"

#include <stdlib.h>

#define SELF_DATAGRAM 16384

struct self_streams {
	struct streams *side[2]; /* [0] opens */
	ov_time deadline;        /* OV_NEVER between a tick and the flush that follows */
	uint8_t plain[SELF_DATAGRAM];
};

static bool is_complete(const struct self_streams *s)
{
	return s && s->side[0] && s->side[1];
}

static void begin(struct streams *s, ov_time now)
{
	transport_use_path(
		s->t, now, &(struct transport_path){ .key = 1, .datagram = SELF_DATAGRAM });
}

struct streams *self_streams(struct node *n, ov_time now)
{
	if (is_complete(n->self_streams))
		return n->self_streams->side[0];
	struct self_streams *s = calloc(1, sizeof(*s));
	if (!s)
		return NULL;
	n->self_streams = s;
	s->deadline = OV_NEVER;
	for (int i = 0; i < 2; i++)
		s->side[i] = streams_new(n, now, NULL, i == 0);
	if (!is_complete(s)) {
		self_streams_free(n);
		return NULL;
	}
	for (int i = 0; i < 2; i++)
		begin(s->side[i], now);
	return s->side[0];
}

void self_streams_free(struct node *n)
{
	struct self_streams *s = n->self_streams;
	if (!s)
		return;
	for (int i = 0; i < 2; i++)
		streams_free(n, s->side[i], STREAM_CANCELLED);
	free(s);
	n->self_streams = NULL;
}

static void receive(struct streams *to, ov_time now, const uint8_t *plain, size_t len)
{
	struct rd r = rd_init(plain, len);
	struct number_frame number;
	bool numbered = false, refused = false;
	struct frame f;
	while (frame_next(&r, &f) == 1) {
		if (f.type == FRAME_NUMBER) {
			number = f.as.number;
			numbered = true;
			continue;
		}
		int err = transport_on_frame(to->t, now, &f);
		refused |= err == OV_EFULL || err == OV_ENOMEM;
	}
	if (numbered && !refused)
		transport_on_number(to->t, now, &number, ECN_NONE);
}

static bool carry(struct self_streams *s, int from, ov_time now)
{
	struct wr w = wr_init(s->plain, sizeof(s->plain));
	if (transport_poll(s->side[from]->t, now, &w) == TRANSPORT_NOTHING)
		return false;
	receive(s->side[!from], now, s->plain, wr_len(&w));
	return true;
}

void self_streams_flush(struct node *n, ov_time now)
{
	struct self_streams *s = n->self_streams;
	if (!s)
		return;
	bool more = true;
	while (more) { /* ends: windows are bounded, and nobody reads meanwhile */
		more = carry(s, 0, now);
		more |= carry(s, 1, now);
	}
	s->deadline = OV_NEVER;
	for (int i = 0; i < 2; i++) {
		s->deadline = ov_min(s->deadline, transport_deadline(s->side[i]->t, now));
		streams_tell(n, s->side[i]);
	}
}

void self_streams_tick(struct node *n, ov_time now)
{
	struct self_streams *s = n->self_streams;
	if (!s || s->deadline > now)
		return;
	s->deadline = OV_NEVER;
	for (int i = 0; i < 2; i++)
		if (transport_deadline(s->side[i]->t, now) <= now)
			transport_tick(s->side[i]->t, now);
	self_streams_flush(n, now);
}

ov_time self_streams_deadline(const struct node *n)
{
	return n->self_streams ? n->self_streams->deadline : OV_NEVER;
}
