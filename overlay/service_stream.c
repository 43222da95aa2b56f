/* One stream from its first word until it is open. A stream is in the list of its state, a waiting
 * one in that of its service, so that each step costs no more than what waits beside it. Time: one
 * heap, an entry per stream. */
#include "overlay/services_impl.h"

#include <stdlib.h>
#include <string.h>

/* ---- lists ---- */

static void list_add(struct service_list *l, struct service_stream *s)
{
	s->next = NULL;
	s->previous = l->last;
	if (l->last)
		l->last->next = s;
	else
		l->first = s;
	l->last = s;
	l->count++;
}

static void list_remove(struct service_list *l, struct service_stream *s)
{
	if (s->previous)
		s->previous->next = s->next;
	else
		l->first = s->next;
	if (s->next)
		s->next->previous = s->previous;
	else
		l->last = s->previous;
	s->next = s->previous = NULL;
	l->count--;
}

static struct service_list *list_of(struct services *v, const struct service_stream *s)
{
	switch ((enum service_state)s->state) {
	case SERVICE_DIALING: return &v->dialing;
	case SERVICE_NAMING: return &v->naming;
	case SERVICE_WAITING: return &services_find(v, s->name)->waiting;
	case SERVICE_HELD: return &v->held;
	case SERVICE_OPEN: return &v->open;
	case SERVICE_ACCEPTED:
	case SERVICE_OFFERED:
	case SERVICE_FAILED: break;
	}
	return &v->told;
}

static void enter(
	struct services *v, struct service_stream *s, enum service_state state, ov_time deadline)
{
	list_remove(list_of(v, s), s);
	s->state = (uint8_t)state;
	list_add(list_of(v, s), s);
	heap_set(&v->timers, &s->timer, deadline);
}

/* ---- grants ---- */

/* Who has no grant at all need not say a name. */
static bool may_ask(const struct services *v, const struct peer_id *peer, const char *name)
{
	if (peer_id_equal(peer, &v->self))
		return true;
	const struct contact *c = node_contact(v->node, peer);
	if (!c || !contact_is_known(c->source) || c->grants.service_count == 0)
		return false;
	return !name || grants_service(&c->grants, name);
}

bool service_stream_is_allowed(const struct services *v, const struct service_stream *s)
{
	return may_ask(v, &s->peer, s->name);
}

/* ---- life ---- */

/* In `state` at once. */
static struct service_stream *make(
	struct services *v, enum service_state state, const struct peer_id *peer)
{
	struct service_stream *s = NULL;
	if (v->count < v->max && heap_reserve(&v->timers, v->count + 1) == OV_OK)
		s = calloc(1, sizeof(*s));
	if (!s)
		return NULL;
	s->number = ++v->next_number;
	s->peer = *peer;
	s->state = (uint8_t)state;
	list_add(list_of(v, s), s);
	v->count++;
	return s;
}

static void forget(struct services *v, struct service_stream *s)
{
	list_remove(list_of(v, s), s);
	heap_set(&v->timers, &s->timer, OV_NEVER);
	v->count--;
	free(s);
}

void services_drop(struct services *v, ov_time now, struct service_stream *s, uint32_t code)
{
	node_stream_close(v->node, now, s->stream, code);
	forget(v, s);
}

void service_stream_offer(
	struct services *v, struct service_stream *s, const struct service_request *r)
{
	s->request = *r;
	enter(v, s, SERVICE_OFFERED, OV_NEVER);
}

static struct service_stream *find_number(
	const struct service_list *l, uint64_t client, uint64_t number)
{
	for (struct service_stream *s = l->last; s; s = s->previous)
		if (s->number == number)
			return s->request.client == client ? s : NULL;
	return NULL;
}

const struct service_stream *services_find_open(const struct services *v, uint64_t number)
{
	for (const struct service_stream *s = v->open.last; s; s = s->previous)
		if (s->number == number)
			return s;
	return NULL;
}

struct service_stream *services_held(const struct services *v, uint64_t client, uint64_t number)
{
	struct service_stream *s = find_number(&v->held, client, number);
	return s && service_stream_is_allowed(v, s) ? s : NULL;
}

struct service_stream *services_dialed(const struct services *v, uint64_t client, uint64_t number)
{
	return find_number(&v->dialing, client, number);
}

void services_open(struct services *v, struct service_stream *s)
{
	static const uint8_t yes = 0;
	/* nothing was written before: there is room */
	if (!s->is_outbound && node_stream_write(v->node, s->stream, &yes, 1) == 0)
		node_stream_reset(v->node, s->stream, STREAM_NO_MEMORY);
	enter(v, s, SERVICE_OPEN, OV_NEVER);
}

void services_hold(struct services *v, ov_time now, struct service_stream *s)
{
	enter(v, s, SERVICE_HELD, now + SERVICE_ACCEPT_BY);
}

/* ---- dial ---- */

int services_dial(struct services *v, ov_time now, const struct service_target *to,
	const struct service_request *r, struct service_stream **out)
{
	uint8_t words[SERVICE_NAME_MAX];
	size_t len = strlen(to->name);
	assert(len > 0 && len < SERVICE_NAME_MAX);
	struct service_stream *s = make(v, SERVICE_DIALING, to->peer);
	if (!s)
		return v->count < v->max ? OV_ENOMEM : OV_EFULL;
	int err = node_stream_open(v->node, now, to->peer, s, &s->stream);
	if (err != OV_OK) {
		forget(v, s);
		return err;
	}
	s->is_outbound = true;
	s->request = *r;
	memcpy(s->name, to->name, len + 1);
	words[0] = (uint8_t)len;
	memcpy(words + 1, s->name, sizeof(words) - 1);
	if (node_stream_write(v->node, s->stream, words, len + 1) < len + 1) {
		services_drop(v, now, s, STREAM_CANCELLED);
		return OV_ENOMEM;
	}
	heap_set(&v->timers, &s->timer, now + to->timeout);
	*out = s;
	return OV_OK;
}

static void dial_failed(
	struct services *v, struct service_stream *s, enum service_failure why, uint32_t code)
{
	s->code = code;
	s->failure = (uint8_t)why;
	enter(v, s, SERVICE_FAILED, OV_NEVER);
}

void services_local_failed(struct services *v, struct service_stream *s)
{
	dial_failed(v, s, SERVICE_LOCAL_GONE, 0);
}

/* The one byte that says yes. */
static void on_answer(struct services *v, ov_time now, struct service_stream *s)
{
	size_t len;
	const uint8_t *bytes = node_stream_peek(s->stream, &len);
	if (len == 0) {
		if (node_stream_at_end(s->stream)) /* an end in place of an answer */
			dial_failed(v, s, SERVICE_REFUSED, STREAM_VIOLATION);
		return;
	}
	bool yes = bytes[0] == 0;
	node_stream_consume(v->node, now, s->stream, 1);
	if (yes)
		enter(v, s, SERVICE_ACCEPTED, OV_NEVER);
	else
		dial_failed(v, s, SERVICE_REFUSED, STREAM_VIOLATION);
}

/* ---- from peers ---- */

static bool names_too_slowly(const struct services *v, const struct peer_id *peer)
{
	size_t own = 0;
	if (v->naming.count < SERVICE_NAMING_MAX / 4)
		return false;
	for (const struct service_stream *s = v->naming.first; s; s = s->next)
		own += peer_id_equal(&s->peer, peer);
	return own >= SERVICE_NAMING_MAX / 4 || v->naming.count >= SERVICE_NAMING_MAX;
}

static void find_taker(struct services *v, ov_time now, struct service_stream *s)
{
	if (!may_ask(v, &s->peer, s->name)) {
		services_drop(v, now, s, SERVICE_NOT_ALLOWED);
		return;
	}
	struct service *e = services_find(v, s->name);
	if (!e)
		services_drop(v, now, s, SERVICE_UNKNOWN);
	else if (e->accepts)
		services_take_accept(v, e, s);
	else if (e->waiting.count >= SERVICE_WAITING_MAX)
		services_drop(v, now, s, SERVICE_BUSY);
	else
		enter(v, s, SERVICE_WAITING, now + SERVICE_ACCEPT_BY);
}

/* The name may come a byte at a time; what follows it is the local end's. It lies at the start of
 * its stream, so that peek gives it without a break. */
static void on_name(struct services *v, ov_time now, struct service_stream *s)
{
	size_t have;
	const uint8_t *bytes = node_stream_peek(s->stream, &have);
	if (!may_ask(v, &s->peer, NULL)) {
		services_drop(v, now, s, SERVICE_NOT_ALLOWED);
		return;
	}
	size_t len = have > 0 ? bytes[0] : 0;
	bool is_whole = len > 0 && have >= 1 + len;
	if (!is_whole && node_stream_at_end(s->stream))
		len = SERVICE_NAME_MAX;
	if ((have > 0 && len == 0) || len >= SERVICE_NAME_MAX ||
		(is_whole && !grant_service_ok((const char *)bytes + 1, len))) {
		services_drop(v, now, s, STREAM_VIOLATION);
		return;
	}
	if (!is_whole)
		return;
	memcpy(s->name, bytes + 1, len);
	s->name[len] = '\0';
	node_stream_consume(v->node, now, s->stream, 1 + len);
	find_taker(v, now, s);
}

static void on_opened(struct services *v, ov_time now, const struct node_stream_event *e)
{
	struct node_stream *stream = e->stream;
	const struct peer_id *peer = node_stream_peer(stream);
	struct service_stream *s = NULL;
	bool is_over = (e->events & STREAM_RESET) != 0;
	if (!is_over && !names_too_slowly(v, peer))
		s = make(v, SERVICE_NAMING, peer);
	if (!s) {
		node_stream_close(v->node, now, stream,
			may_ask(v, peer, NULL) ? SERVICE_BUSY : SERVICE_NOT_ALLOWED);
		return;
	}
	s->stream = stream;
	s->was_stopped = (e->events & STREAM_STOPPED) != 0;
	s->stop_code = e->stop_code;
	node_stream_set_user(stream, s);
	heap_set(&v->timers, &s->timer, now + SERVICE_NAMING_BY);
	on_name(v, now, s);
}

/* ---- facts ---- */

/* Before it is open. A STOP_SENDING alone is no refusal: who accepted may have closed at once, and
 * its yes is on the way. */
static struct service_stream *on_early_event(struct services *v, ov_time now,
	struct service_stream *s, const struct node_stream_event *e)
{
	bool is_over = (e->events & STREAM_RESET) != 0;
	if (e->events & STREAM_STOPPED) {
		s->was_stopped = true;
		s->stop_code = e->stop_code;
	}
	if (s->state == SERVICE_DIALING) {
		if (is_over)
			dial_failed(v, s, SERVICE_REFUSED, e->reset_code);
		else if (e->events & STREAM_READABLE)
			on_answer(v, now, s);
		return s->local ? s : NULL; /* others have none yet */
	}
	if (s->state == SERVICE_NAMING && !is_over)
		on_name(v, now, s);
	else if (is_over && (s->state == SERVICE_NAMING || s->state == SERVICE_WAITING ||
				    s->state == SERVICE_HELD))
		services_drop(v, now, s, STREAM_CANCELLED);
	return NULL;
}

struct service_stream *services_on_event(
	struct services *v, ov_time now, const struct node_stream_event *e)
{
	struct service_stream *s = e->user;
	if (!s) {
		on_opened(v, now, e);
		return NULL;
	}
	if (s->state != SERVICE_OPEN)
		return on_early_event(v, now, s, e);
	return s->local ? s : NULL;
}

static void on_time(struct services *v, ov_time now, struct service_stream *s)
{
	if (s->state == SERVICE_DIALING)
		dial_failed(v, s, SERVICE_TIMED_OUT, 0);
	else if (s->state == SERVICE_NAMING)
		services_drop(v, now, s, STREAM_CANCELLED);
	else
		services_drop(v, now, s, SERVICE_BUSY);
}

void services_tick(struct services *v, ov_time now)
{
	while (heap_deadline(&v->timers) <= now)
		on_time(v, now, (struct service_stream *)heap_first(&v->timers));
}

ov_time services_deadline(const struct services *v)
{
	return heap_deadline(&v->timers);
}

struct service_stream *services_next(struct services *v)
{
	return v->told.first;
}
