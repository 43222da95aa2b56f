/* The app's side of the transport: streams, their bytes, limits and events. */
#include "core/transport_state.h"

#include <stdlib.h>

#define WRITE_LEAST (64u << 10) /* bytes of one stream that may wait, at least */
#define WRITE_MOST  (16u << 20)

struct transport *transport_new(ov_time now, const struct transport_config *c)
{
	struct transport *t = calloc(1, sizeof(*t));
	if (!t)
		return NULL;
	t->config = *c;
	if (t->config.window_max == 0)
		t->config.window_max = WINDOW_MAX;
	t->streams = table_new(3 * TRANSPORT_STREAMS, c->table_secret);
	t->own.limit = t->peers.limit = TRANSPORT_STREAMS;
	t->out_limit = t->in_limit = t->in_window = ASSOCIATION_WINDOW;
	t->in_measured_at = now;
	t->trim_at = OV_NEVER;
	if (t->streams)
		return t;
	free(t);
	return NULL;
}

uint64_t transport_id_of(const struct transport *t, bool own, uint64_t index)
{
	return 2 * index + (own == t->config.is_lower ? 0 : 1);
}

static void stream_delete(struct transport *t, struct stream *s)
{
	if (t->first_open == s)
		t->first_open = s->next_open;
	if (s->next_open)
		s->next_open->previous_open = s->previous_open;
	if (s->previous_open)
		s->previous_open->next_open = s->next_open;
	(void)table_remove(t->streams, s->id);
	if (t->recent == s)
		t->recent = NULL;
	stream_fini(s);
	free(s);
}

void transport_free(struct transport *t)
{
	if (!t)
		return;
	while (t->first_open)
		stream_delete(t, t->first_open);
	for (size_t i = 0; i < TRANSPORT_SPACES; i++) {
		recovery_fini(&t->spaces[i].recovery);
		received_fini(&t->received[i]);
	}
	table_free(t->streams);
	free(t);
}

struct stream *transport_find(const struct transport *t, uint64_t id)
{
	if (t->recent && t->recent->id == id)
		return t->recent;
	return table_find(t->streams, id);
}

struct stream *transport_find_again(struct transport *t, uint64_t id)
{
	struct stream *s = transport_find(t, id);
	if (s)
		t->recent = s;
	return s;
}

size_t transport_stream_count(const struct transport *t)
{
	return table_count(t->streams);
}

/* ---- events ---- */

void transport_tell(struct transport *t, struct stream *s, enum stream_event event)
{
	if (s->is_released)
		return;
	s->events |= (uint8_t)event;
	if (s->is_told)
		return;
	s->is_told = true;
	s->next_told = NULL;
	if (t->last_told)
		t->last_told->next_told = s;
	else
		t->first_told = s;
	t->last_told = s;
}

bool transport_has_event(const struct transport *t)
{
	return t->first_told != NULL;
}

bool transport_next_event(struct transport *t, struct transport_event *out)
{
	struct stream *s;
	bool wanted = false;
	while (!wanted && (s = t->first_told)) {
		t->first_told = s->next_told;
		if (!t->first_told)
			t->last_told = NULL;
		*out = (struct transport_event){ .stream = s->id,
			.user = s->user,
			.events = s->events,
			.reset_code = s->peer_reset_code,
			.stop_code = s->peer_stop_code };
		s->is_told = false;
		s->events = 0;
		wanted = !s->is_released;
		transport_settle(t, s);
	}
	return wanted;
}

/* ---- streams ---- */

int transport_make(struct transport *t, ov_time now, uint64_t id, struct stream **out)
{
	struct stream *s = malloc(sizeof(*s));
	if (!s)
		return OV_ENOMEM;
	stream_init(s, id, now);
	int err = table_put(t->streams, id, s);
	if (err != OV_OK) {
		free(s);
		return err;
	}
	s->next_open = t->first_open;
	if (s->next_open)
		s->next_open->previous_open = s;
	t->first_open = s;
	*out = s;
	return OV_OK;
}

/* ---- ids that the peer never heard of ----
 *
 * Whoever tries again and again to reach one that is away would use up all the ids that it allows:
 * that of a stream which was given up before a packet had a frame of it serves the next one. */

static void spare(struct transport *t, struct stream *s)
{
	bool unheard = s->in.highest == 0 && !s->in.has_final;
	if (s->is_spare || s->was_said || s->is_told || !unheard || s->reset != SEND_DUE)
		return;
	s->is_spare = true;
	t->spares++;
}

void transport_unspare(struct transport *t, struct stream *s)
{
	t->spares -= s->is_spare;
	s->is_spare = false;
}

static struct stream *take_spare(struct transport *t, ov_time now)
{
	struct stream *s = t->spares > 0 ? t->first_open : NULL;
	while (s && !s->is_spare)
		s = s->next_open;
	if (!s)
		return NULL;
	struct stream *next = s->next_open, *previous = s->previous_open;
	transport_unspare(t, s);
	transport_unfile(t, s);
	stream_fini(s);
	stream_init(s, s->id, now);
	s->next_open = next;
	s->previous_open = previous;
	return s;
}

size_t transport_spare_count(const struct transport *t)
{
	return t->spares;
}

int transport_open(struct transport *t, ov_time now, uint64_t *stream)
{
	struct stream *s = t->failed ? NULL : take_spare(t, now);
	if (s) {
		*stream = s->id;
		return OV_OK;
	}
	if (t->failed || t->own.next >= t->own.limit)
		return OV_EFULL;
	int err = transport_make(t, now, transport_id_of(t, true, t->own.next), &s);
	if (err != OV_OK)
		return err;
	t->own.next++;
	*stream = s->id;
	return OV_OK;
}

/* ---- room that is not needed now ----
 *
 * A stream that is read as it comes is empty after each turn: its room is kept for the next one, a
 * second or two at least, and of all streams only so much. */

void transport_keep(struct transport *t, ov_time now, struct byte_ring *r, bool is_empty)
{
	if (!is_empty || r->room == 0)
		return;
	t->trim_at = ov_min(t->trim_at, now + TRIM_AFTER);
	if (r->is_kept || r->room <= BYTE_RING_LEAST)
		return;
	if (t->kept + r->room > KEPT_MAX) {
		byte_ring_fini(r);
		return;
	}
	r->is_kept = true;
	t->kept += r->room;
}

void transport_trim(struct transport *t, ov_time now)
{
	size_t left = 0;
	t->kept = 0;
	for (struct stream *s = t->first_open; s; s = s->next_open)
		left += stream_trim(s);
	for (size_t i = 0; i < TRANSPORT_SPACES; i++)
		recovery_trim(&t->spaces[i].recovery);
	t->trim_at = left > 0 ? now + TRIM_AFTER : OV_NEVER;
}

bool transport_is_own(const struct transport *t, uint64_t id)
{
	return (id % 2 == 0) == t->config.is_lower;
}

void transport_settle(struct transport *t, struct stream *s)
{
	transport_file(t, s);
	if (!stream_is_done(s) || s->is_told)
		return;
	if (!transport_is_own(t, s->id)) {
		t->peers_closed++;
		if (t->peers_closed + TRANSPORT_STREAMS >= t->peers.limit + TRANSPORT_STREAMS / 2) {
			t->peers.limit = t->peers_closed + TRANSPORT_STREAMS;
			t->of_all |= SENT_MAX_STREAMS;
		}
	}
	transport_unfile(t, s);
	stream_delete(t, s);
}

void transport_set_user(struct transport *t, uint64_t stream, void *user)
{
	struct stream *s = transport_find(t, stream);
	if (s)
		s->user = user;
}

void transport_set_priority(struct transport *t, uint64_t stream, uint8_t priority)
{
	struct stream *s = transport_find(t, stream);
	if (!s)
		return;
	transport_unfile(t, s);
	s->priority = priority < TRANSPORT_PRIORITIES ? priority : TRANSPORT_PRIORITIES - 1;
	transport_file(t, s);
}

/* Two windows of the network, shared: one under way, one that waits behind it. */
static size_t write_max(const struct transport *t)
{
	uint64_t window = t->active ? 2 * t->active->congestion.window : 0;
	window /= table_count(t->streams);
	return (size_t)(window < WRITE_LEAST  ? WRITE_LEAST
			: window > WRITE_MOST ? WRITE_MOST
					      : window);
}

size_t transport_write(struct transport *t, uint64_t stream, const uint8_t *data, size_t len)
{
	struct stream *s = transport_find(t, stream);
	if (!s || s->reset != SEND_NONE)
		return 0;
	size_t written = send_buffer_write(&s->out, data, len, write_max(t));
	s->wants_room = written < len;
	transport_file(t, s);
	return written;
}

uint8_t *transport_reserve(struct transport *t, uint64_t stream, size_t *len)
{
	struct stream *s = transport_find(t, stream);
	if (!s || s->reset != SEND_NONE)
		return NULL;
	uint8_t *room = send_buffer_reserve(&s->out, len, write_max(t));
	s->wants_room |= room == NULL;
	return room;
}

void transport_commit(struct transport *t, uint64_t stream, size_t len)
{
	struct stream *s = transport_find(t, stream);
	if (!s)
		return;
	send_buffer_commit(&s->out, len);
	transport_file(t, s);
}

void transport_finish(struct transport *t, uint64_t stream)
{
	struct stream *s = transport_find(t, stream);
	if (!s)
		return;
	send_buffer_end(&s->out);
	transport_file(t, s);
}

const uint8_t *transport_peek(const struct transport *t, uint64_t stream, size_t *len)
{
	const struct stream *s = transport_find(t, stream);
	*len = 0;
	return s && !s->in_ended ? receive_buffer_peek(&s->in, len) : NULL;
}

const uint8_t *transport_peek_rest(const struct transport *t, uint64_t stream, size_t *len)
{
	const struct stream *s = transport_find(t, stream);
	*len = 0;
	return s && !s->in_ended ? receive_buffer_peek_rest(&s->in, len) : NULL;
}

bool transport_at_end(const struct transport *t, uint64_t stream)
{
	const struct stream *s = transport_find(t, stream);
	return !s || s->in_ended || receive_buffer_is_done(&s->in);
}

/* The window grows when half of it is taken in less than two round trips: stream_tune. */
static void widen(struct transport *t, ov_time now)
{
	if (t->taken - t->in_measured < t->in_window / 2)
		return;
	if (now - t->in_measured_at < 2 * transport_srtt(t) && t->in_window < t->config.window_max)
		t->in_window *= 2;
	t->in_measured = t->taken;
	t->in_measured_at = now;
}

/* It is granted beyond what came, not beyond what was taken: a few streams that nobody reads would
 * stop all others. What waits to be read stays below the largest window. */
void transport_tune(struct transport *t, ov_time now)
{
	widen(t, now);
	uint64_t limit = t->got + t->in_window, most = t->taken + t->config.window_max;
	limit = limit < most ? limit : most;
	if (limit < t->in_limit + t->in_window / 2)
		return;
	t->in_limit = limit;
	t->of_all |= SENT_MAX_DATA;
}

void transport_consume(struct transport *t, ov_time now, uint64_t stream, size_t len)
{
	struct stream *s = transport_find(t, stream);
	if (!s || s->in_ended)
		return;
	receive_buffer_consume(&s->in, len);
	transport_keep(t, now, &s->in.ring, s->in.have.count == 0);
	t->taken += len;
	stream_tune(s, now, transport_srtt(t));
	transport_tune(t, now);
	if (receive_buffer_is_done(&s->in))
		s->in_ended = true;
	transport_settle(t, s);
}

void transport_reset(struct transport *t, uint64_t stream, uint32_t code)
{
	struct stream *s = transport_find(t, stream);
	if (!s)
		return;
	stream_give_up_out(s, code);
	transport_settle(t, s);
}

void transport_end_in(struct transport *t, struct stream *s, uint32_t code)
{
	if (s->in_ended)
		return;
	t->taken += s->in.highest - s->in.base; /* nobody will take them */
	stream_give_up_in(s, code);
	s->in.base = s->in.highest;
}

void transport_stop(struct transport *t, ov_time now, uint64_t stream, uint32_t code)
{
	struct stream *s = transport_find(t, stream);
	if (!s)
		return;
	transport_end_in(t, s, code);
	transport_tune(t, now);
	transport_settle(t, s);
}

void transport_refuse(struct transport *t, uint64_t stream, uint32_t code)
{
	struct stream *s = transport_find(t, stream);
	if (!s)
		return;
	s->user = NULL;
	s->is_released = true;
	if (!s->out.fin)
		stream_give_up_out(s, code);
	transport_end_in(t, s, code);
	if (transport_is_own(t, s->id))
		spare(t, s);
	transport_settle(t, s);
}

void transport_release(struct transport *t, ov_time now, uint64_t stream, uint32_t code)
{
	transport_refuse(t, stream, code);
	transport_tune(t, now);
}

bool transport_is_unheard(const struct transport *t, uint64_t stream, ov_time since)
{
	const struct stream *s = transport_find(t, stream);
	if (!s || !transport_is_own(t, stream) || s->in_ended || s->reset != SEND_NONE)
		return false;
	bool is_new = s->in_granted_at > since; /* nothing came, so nothing was granted since */
	return is_new && s->out.base == 0 && s->out.acknowledged.count == 0 &&
	       !s->out.fin_acknowledged && s->in.highest == 0 && !s->in.has_final;
}

int transport_carry(
	struct transport *t, ov_time now, struct transport *from, uint64_t was, uint64_t *stream)
{
	struct stream *old = transport_find(from, was);
	assert(transport_is_unheard(from, was, -1));
	int err = transport_open(t, now, stream);
	if (err != OV_OK)
		return err;
	struct stream *s = transport_find(t, *stream);
	ranges_fini(&old->out.lost);
	s->out.ring = old->out.ring;
	s->out.end = old->out.end;
	s->out.fin = old->out.fin;
	s->user = old->user;
	s->priority = old->priority;
	s->wants_room = old->wants_room;
	if (old->events & STREAM_WRITABLE)
		transport_tell(t, s, STREAM_WRITABLE);
	transport_unfile(from, old);
	old->out = (struct send_buffer){ 0 };
	transport_file(t, s);
	return OV_OK;
}

static bool is_complete(const struct receive_buffer *b)
{
	const struct range *have = b->have.list;
	if (!b->has_final || b->base == b->final_size)
		return b->has_final;
	return b->have.count == 1 && have->first == b->base && have->end == b->final_size;
}

void transport_take_rest(struct transport *t, uint64_t stream, struct transport_rest *out)
{
	struct stream *s = transport_find(t, stream);
	*out = (struct transport_rest){ .out_is_over = true };
	if (!s)
		return;
	out->out_is_over = stream_out_is_done(s);
	out->events = s->events & STREAM_FINISHED;
	out->has_in = !s->in_reset && is_complete(&s->in) &&
		      (!s->in_ended || s->events & STREAM_READABLE);
	if (!out->has_in)
		return;
	out->in = s->in;
	s->in = (struct receive_buffer){ 0 };
}
