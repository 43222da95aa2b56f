/* The handles of streams: made by whoever opens one or by the peer's first frame, gone when their
 * owner closes them. What the transport holds may end before that, or later. */
#include "overlay/association.h"
#include "overlay/streams.h"

#include <stdlib.h>

#define STREAMS_MAX 65536

void stream_handle_link(struct node_stream **list, struct node_stream *s)
{
	s->next = *list;
	if (s->next)
		s->next->previous = s;
	*list = s;
}

static struct node_stream *make(struct node *n, struct streams *of, uint64_t id)
{
	struct node_stream *s = n->stream_count < STREAMS_MAX ? calloc(1, sizeof(*s)) : NULL;
	if (!s)
		return NULL;
	s->of = of;
	s->id = id;
	s->peer = of->peer ? of->peer->contact.id : n->self->id;
	stream_handle_link(&of->first, s);
	n->stream_count++;
	return s;
}

void stream_handle_unlink(struct node_stream **list, struct node_stream *s)
{
	if (*list == s)
		*list = s->next;
	if (s->next)
		s->next->previous = s->previous;
	if (s->previous)
		s->previous->next = s->next;
	s->next = s->previous = NULL;
}

static void forget_rest(struct node_stream *s)
{
	if (s->rest)
		receive_buffer_fini(s->rest);
	free(s->rest);
	s->rest = NULL;
}

/* Bytes that came to their end are acknowledged: their writer may be gone, they are not. */
static bool keep_rest(struct node_stream *s, struct transport_rest *rest)
{
	s->rest = rest->has_in ? malloc(sizeof(*s->rest)) : NULL;
	if (s->rest)
		*s->rest = rest->in;
	else if (rest->has_in)
		receive_buffer_fini(&rest->in);
	return s->rest != NULL;
}

void stream_handle_end(struct node *n, struct node_stream *s, uint32_t code)
{
	struct transport_rest rest;
	transport_take_rest(s->of->t, s->id, &rest);
	stream_handle_unlink(&s->of->first, s);
	s->of = NULL;
	s->code = code;
	s->events = STREAM_RESET | STREAM_STOPPED;
	if (keep_rest(s, &rest))
		s->events = STREAM_READABLE | (rest.out_is_over ? rest.events : STREAM_STOPPED);
	stream_handle_link(&n->ended, s);
}

static int streams_to(struct node *n, ov_time now, const struct peer_id *id, struct streams **out)
{
	if (node_is_self(n, id)) {
		*out = self_streams(n, now);
		return *out ? OV_OK : OV_ENOMEM;
	}
	struct peer *p = node_peer(n, id);
	if (!p || !contact_is_known(p->contact.source))
		return OV_ENOENT;
	if (!association_open(n, now, p))
		return OV_ENOMEM;
	struct association *a = p->association;
	if (!a->streams)
		a->streams = streams_new(n, now, p, p->lower);
	*out = a->streams;
	return *out ? OV_OK : OV_ENOMEM;
}

int node_stream_open(
	struct node *n, ov_time now, const struct peer_id *id, void *user, struct node_stream **out)
{
	struct streams *s;
	uint64_t stream;
	int err = streams_to(n, now, id, &s);
	if (err == OV_OK)
		err = transport_open(s->t, now, &stream);
	if (err != OV_OK)
		return err;
	struct node_stream *handle = make(n, s, stream);
	if (!handle) {
		transport_release(s->t, now, stream, STREAM_NO_MEMORY);
		return OV_EFULL;
	}
	handle->user = user;
	transport_set_user(s->t, stream, handle);
	streams_touch(n, s);
	*out = handle;
	return OV_OK;
}

void node_stream_set_user(struct node_stream *s, void *user)
{
	s->user = user;
}

const struct peer_id *node_stream_peer(const struct node_stream *s)
{
	return &s->peer;
}

void node_stream_set_priority(struct node_stream *s, uint8_t priority)
{
	if (s->of)
		transport_set_priority(s->of->t, s->id, priority);
}

uint8_t *node_stream_reserve(struct node_stream *s, size_t *len)
{
	return s->of ? transport_reserve(s->of->t, s->id, len) : NULL;
}

void node_stream_commit(struct node *n, struct node_stream *s, size_t len)
{
	if (!s->of)
		return;
	transport_commit(s->of->t, s->id, len);
	streams_touch(n, s->of);
}

size_t node_stream_write(struct node *n, struct node_stream *s, const uint8_t *data, size_t len)
{
	if (!s->of)
		return 0;
	size_t taken = transport_write(s->of->t, s->id, data, len);
	streams_touch(n, s->of);
	return taken;
}

void node_stream_finish(struct node *n, struct node_stream *s)
{
	if (!s->of)
		return;
	transport_finish(s->of->t, s->id);
	streams_touch(n, s->of);
}

const uint8_t *node_stream_peek(const struct node_stream *s, size_t *len)
{
	*len = 0;
	if (s->of)
		return transport_peek(s->of->t, s->id, len);
	return s->rest ? receive_buffer_peek(s->rest, len) : NULL;
}

const uint8_t *node_stream_peek_rest(const struct node_stream *s, size_t *len)
{
	*len = 0;
	if (s->of)
		return transport_peek_rest(s->of->t, s->id, len);
	return s->rest ? receive_buffer_peek_rest(s->rest, len) : NULL;
}

void node_stream_consume(struct node *n, ov_time now, struct node_stream *s, size_t len)
{
	if (s->rest)
		receive_buffer_consume(s->rest, len);
	if (!s->of)
		return;
	transport_consume(s->of->t, now, s->id, len);
	streams_touch(n, s->of);
}

bool node_stream_at_end(const struct node_stream *s)
{
	if (s->of)
		return transport_at_end(s->of->t, s->id);
	return !s->rest || receive_buffer_is_done(s->rest);
}

void node_stream_reset(struct node *n, struct node_stream *s, uint32_t code)
{
	if (!s->of)
		return;
	transport_reset(s->of->t, s->id, code);
	streams_touch(n, s->of);
}

void node_stream_stop(struct node *n, ov_time now, struct node_stream *s, uint32_t code)
{
	forget_rest(s);
	if (!s->of)
		return;
	transport_stop(s->of->t, now, s->id, code);
	streams_touch(n, s->of);
}

void node_stream_close(struct node *n, ov_time now, struct node_stream *s, uint32_t code)
{
	if (s->of) {
		transport_release(s->of->t, now, s->id, code);
		streams_touch(n, s->of);
		stream_handle_unlink(&s->of->first, s);
	} else {
		stream_handle_unlink(s->is_told ? &n->over : &n->ended, s);
	}
	forget_rest(s);
	n->stream_count--;
	free(s);
}

/* ---- events ---- */

static bool next_ended(struct node *n, struct node_stream_event *out)
{
	struct node_stream *s = n->ended;
	if (!s)
		return false;
	stream_handle_unlink(&n->ended, s);
	s->is_told = true;
	stream_handle_link(&n->over, s);
	*out = (struct node_stream_event){ .stream = s,
		.user = s->user,
		.events = s->events,
		.reset_code = s->code,
		.stop_code = s->code };
	return true;
}

/* False: there is no memory for it, and the peer hears so. */
static bool take(struct node *n, struct streams *of, const struct transport_event *e,
	struct node_stream_event *out)
{
	struct node_stream *s = e->user;
	if (!s && (e->events & STREAM_OPENED)) {
		s = make(n, of, e->stream);
		transport_set_user(of->t, e->stream, s);
	}
	if (!s) {
		transport_refuse(of->t, e->stream, STREAM_NO_MEMORY);
		streams_touch(n, of);
		return false;
	}
	*out = (struct node_stream_event){ .stream = s,
		.user = s->user,
		.events = e->events,
		.reset_code = e->reset_code,
		.stop_code = e->stop_code };
	return true;
}

bool node_stream_event(struct node *n, struct node_stream_event *out)
{
	struct transport_event e;
	while (n->first_told) {
		struct streams *s = n->first_told;
		while (transport_next_event(s->t, &e))
			if (take(n, s, &e, out))
				return true;
		n->first_told = s->next_told;
		if (!n->first_told)
			n->last_told = NULL;
		s->is_told = false;
	}
	return next_ended(n, out);
}

void stream_handles_free(struct node *n)
{
	struct node_stream **lists[] = { &n->ended, &n->over };
	for (size_t i = 0; i < 2; i++)
		while (*lists[i]) {
			struct node_stream *s = *lists[i];
			stream_handle_unlink(lists[i], s);
			forget_rest(s);
			free(s);
		}
}
