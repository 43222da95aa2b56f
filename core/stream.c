#include "core/stream.h"

void stream_init(struct stream *s, uint64_t id, ov_time now)
{
	*s = (struct stream){ .id = id,
		.out_limit = STREAM_WINDOW,
		.in_limit = STREAM_WINDOW,
		.in_window = STREAM_WINDOW,
		.in_granted_at = now,
		.priority = 3 };
}

void stream_fini(struct stream *s)
{
	send_buffer_fini(&s->out);
	receive_buffer_fini(&s->in);
}

static size_t trim(struct byte_ring *r, bool is_empty)
{
	if (is_empty && !r->is_used)
		byte_ring_fini(r);
	r->is_used = r->is_kept = false;
	return is_empty ? r->room : 0;
}

static void trim_ranges(struct ranges *r)
{
	if (r->count == 0)
		ranges_fini(r);
}

size_t stream_trim(struct stream *s)
{
	trim_ranges(&s->out.acknowledged);
	trim_ranges(&s->out.lost);
	trim_ranges(&s->in.have);
	return trim(&s->out.ring, s->out.base == s->out.end) +
	       trim(&s->in.ring, s->in.have.count == 0);
}

bool stream_out_is_done(const struct stream *s)
{
	return s->reset == SEND_DONE || (s->reset == SEND_NONE && send_buffer_is_done(&s->out));
}

bool stream_is_done(const struct stream *s)
{
	return s->in_ended && s->in.has_final &&
	       stream_out_is_done(s); /* its size is accounted for */
}

bool stream_wants_again(const struct stream *s)
{
	if (s->reset == SEND_DUE || s->stop == SEND_DUE || s->grant == SEND_DUE)
		return true;
	return s->reset == SEND_NONE && send_buffer_wants(&s->out, s->out.next);
}

bool stream_wants_new(const struct stream *s)
{
	return s->reset == SEND_NONE && s->out.next < s->out.end && s->out.next < s->out_limit;
}

void stream_give_up_out(struct stream *s, uint32_t code)
{
	if (s->reset != SEND_NONE || send_buffer_is_done(&s->out))
		return;
	s->reset = SEND_DUE;
	s->reset_code = code;
	send_buffer_fini(&s->out);
	s->out.base = s->out.end = s->out.next; /* the final size is what was sent */
}

void stream_give_up_in(struct stream *s, uint32_t code)
{
	bool knows_all = s->in_reset || (s->in.has_final && s->in.highest == s->in.final_size &&
						s->in.have.count <= 1);
	if (s->in_ended)
		return;
	s->in_ended = true;
	if (!knows_all && s->stop == SEND_NONE) {
		s->stop = SEND_DUE;
		s->stop_code = code;
	}
	byte_ring_fini(&s->in.ring);
	ranges_fini(&s->in.have);
}

void stream_tune(struct stream *s, ov_time now, ov_time srtt)
{
	if (s->in_ended || s->in_reset || s->in.has_final)
		return; /* its size is known */
	if (s->in_limit - s->in.base > s->in_window / 2)
		return;
	if (now - s->in_granted_at < 2 * srtt && s->in_window < STREAM_WINDOW_MAX)
		s->in_window *= 2;
	s->in_limit = s->in.base + s->in_window;
	s->in_granted_at = now;
	s->grant = SEND_DUE;
}
