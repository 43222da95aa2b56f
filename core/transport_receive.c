/* What comes to the transport: frames of the peer against its limits, and when to acknowledge.
 *
 * Streams are made lazily by what comes, in order (RFC 9000 2.1: a stream opens all lower ones of
 * its side), so that one which is not in the table and below `next` is known to be over. */
#include "core/transport_state.h"

/* ---- what comes ---- */

/* NULL with OV_OK: it is over, and what still comes of it is of no interest. */
static int find_or_open(struct transport *t, ov_time now, uint64_t id, struct stream **out)
{
	*out = transport_find_again(t, id);
	if (*out) {
		transport_unspare(t, *out);
		return OV_OK;
	}
	uint64_t index = id / 2;
	if (transport_is_own(t, id))
		return index < t->own.next ? OV_OK : OV_EINVAL;
	if (index >= t->peers.limit)
		return OV_EINVAL;
	while (t->peers.next <= index) {
		int err = transport_make(t, now, transport_id_of(t, false, t->peers.next), out);
		if (err != OV_OK)
			return err;
		t->peers.next++;
		transport_tell(t, *out, STREAM_OPENED);
	}
	return OV_OK;
}

/* Credit of the association is what the highest bytes of all streams add up to (RFC 9000 4.1). */
static bool may_grow(const struct transport *t, const struct stream *s, uint64_t end)
{
	return end <= s->in.highest || t->got + (end - s->in.highest) <= t->in_limit;
}

static void grew(struct transport *t, struct stream *s, uint64_t before)
{
	t->got += s->in.highest - before;
	if (!s->in_ended)
		return;
	t->taken += s->in.highest - s->in.base;
	s->in.base = s->in.highest;
}

/* Nobody wants the bytes, but their number is part of the association's account. */
static int on_unwanted(struct stream *s, const struct stream_frame *f)
{
	uint64_t end = f->offset + f->len;
	if (f->flags & STREAM_FIN) {
		if (receive_buffer_end(&s->in, end, s->in_limit) != OV_OK)
			return OV_EINVAL;
	} else if (end > s->in_limit || (s->in.has_final && end > s->in.final_size)) {
		return OV_EINVAL;
	}
	if (end > s->in.highest)
		s->in.highest = end;
	return OV_OK;
}

static int on_stream(struct transport *t, ov_time now, const struct stream_frame *f)
{
	struct stream *s;
	int err = find_or_open(t, now, f->stream, &s);
	if (err != OV_OK || !s)
		return err;
	uint64_t before = s->in.highest;
	size_t len;
	if (!may_grow(t, s, f->offset + f->len))
		return OV_EINVAL;
	bool wanted = !s->in_ended;
	err = wanted ? receive_buffer_add(&s->in, f, s->in_limit) : on_unwanted(s, f);
	if (err != OV_OK)
		return err;
	grew(t, s, before);
	if (wanted && (receive_buffer_peek(&s->in, &len) || receive_buffer_is_done(&s->in)))
		transport_tell(t, s, STREAM_READABLE);
	s->in_ended |= receive_buffer_is_done(&s->in);
	transport_settle(t, s);
	return OV_OK;
}

static int on_reset(struct transport *t, ov_time now, const struct reset_frame *f)
{
	struct stream *s;
	int err = find_or_open(t, now, f->stream, &s);
	if (err != OV_OK || !s)
		return err;
	uint64_t before = s->in.highest;
	if (!may_grow(t, s, f->final_size) ||
		receive_buffer_end(&s->in, f->final_size, s->in_limit) != OV_OK)
		return OV_EINVAL;
	s->in.highest = f->final_size;
	grew(t, s, before);
	if (!s->in_ended && !s->in_reset) {
		s->in_reset = true;
		s->peer_reset_code = f->code;
		transport_end_in(t, s, 0);
		transport_tell(t, s, STREAM_RESET);
	}
	s->stop = SEND_DONE; /* it has stopped */
	transport_settle(t, s);
	return OV_OK;
}

static int on_stop(struct transport *t, ov_time now, const struct stop_frame *f)
{
	struct stream *s;
	int err = find_or_open(t, now, f->stream, &s);
	if (err != OV_OK || !s)
		return err;
	if (s->reset != SEND_NONE || send_buffer_is_done(&s->out))
		return OV_OK;
	s->peer_stop_code = f->code;
	stream_give_up_out(s, f->code); /* RFC 9000 3.5 */
	transport_tell(t, s, STREAM_STOPPED);
	transport_file(t, s);
	return OV_OK;
}

static int on_max_stream_data(struct transport *t, ov_time now, const struct max_frame *f)
{
	struct stream *s;
	int err = find_or_open(t, now, f->stream, &s);
	if (err != OV_OK || !s)
		return err;
	if (f->max > s->out_limit)
		s->out_limit = f->max;
	transport_file(t, s);
	return OV_OK;
}

static void on_max_data(struct transport *t, const struct max_frame *f)
{
	if (f->max <= t->out_limit)
		return;
	t->out_limit = f->max;
	transport_unblock(t);
}

static int take(struct transport *t, ov_time now, const struct frame *f)
{
	switch (f->type) {
	case FRAME_STREAM: return on_stream(t, now, &f->as.stream);
	case FRAME_RESET_STREAM: return on_reset(t, now, &f->as.reset);
	case FRAME_STOP_SENDING: return on_stop(t, now, &f->as.stop);
	case FRAME_MAX_STREAM_DATA: return on_max_stream_data(t, now, &f->as.max);
	case FRAME_MAX_DATA: on_max_data(t, &f->as.max); return OV_OK;
	case FRAME_MAX_STREAMS:
		if (f->as.max.max > t->own.limit)
			t->own.limit = f->as.max.max;
		return OV_OK;
	case FRAME_ACK: return transport_on_ack(t, now, &f->as.ack);
	default: return OV_OK;
	}
}

/* Everything ends, here and by RESET_STREAM and STOP_SENDING there. */
static void fail(struct transport *t)
{
	t->failed = true;
	for (struct stream *s = t->first_open; s; s = s->next_open) {
		s->peer_reset_code = STREAM_VIOLATION;
		stream_give_up_out(s, STREAM_VIOLATION);
		transport_end_in(t, s, STREAM_VIOLATION);
		s->in.has_final = true; /* no more of it counts */
		transport_tell(t, s, STREAM_RESET);
		transport_file(t, s);
	}
}

bool transport_has_failed(const struct transport *t)
{
	return t->failed;
}

int transport_on_frame(struct transport *t, ov_time now, const struct frame *f)
{
	if (t->failed && f->type != FRAME_ACK)
		return OV_OK; /* acknowledged, so that it comes no more */
	int err = take(t, now, f);
	if (t->failed)
		return OV_OK;
	if (err == OV_EINVAL)
		fail(t);
	transport_tune(t, now);
	return err;
}

/* ---- what came is acknowledged ---- */

static struct received *received_of(struct transport *t, uint16_t space)
{
	size_t oldest = 0;
	for (size_t i = 0; i < TRANSPORT_SPACES; i++)
		if (t->receives[i] && t->received[i].space == space)
			return &t->received[i];
	for (size_t i = 0; i < TRANSPORT_SPACES; i++) {
		if (!t->receives[i]) {
			oldest = i;
			break;
		}
		if (t->received[i].largest_at < t->received[oldest].largest_at)
			oldest = i;
	}
	received_fini(&t->received[oldest]);
	received_init(&t->received[oldest], space);
	t->receives[oldest] = true;
	return &t->received[oldest];
}

/* A quarter of the round trip: a short path is not made long by waiting. */
static ov_time ack_delay(const struct transport *t)
{
	ov_time srtt = transport_srtt(t);
	return srtt == 0 ? RTT_MAX_DELAY : ov_min(ov_max(srtt / 4, OV_MS), RTT_MAX_DELAY);
}

void transport_on_number(
	struct transport *t, ov_time now, const struct number_frame *f, enum ecn ecn)
{
	struct received *r = received_of(t, f->space);
	int err = received_add(r, now, f->number, ecn, ack_delay(t));
	(void)err; /* without memory for it it is not acknowledged, and comes again */
}
