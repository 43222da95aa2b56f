/* Lists: a stream is in the list of its state, a waiting one in that of its service, so that each
 * step costs no more than what waits beside it. Time: one heap, an entry per stream.
 *
 * Invariant: a service has waiting streams or waiting accepts, never both. */
#include "overlay/services.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct stream_list {
	struct service_stream *first, *last;
	size_t count;
};

struct accept { /* a request that waits for a stream */
	struct accept *next;
	struct service_request request;
};

struct service {
	struct service *next;
	uint64_t client;
	uint32_t uid;
	struct stream_list waiting;
	struct accept *accepts, **accepts_tail;
	char name[SERVICE_NAME_MAX];
};

struct services {
	struct node *node;
	struct peer_id self;
	struct service *services;
	struct accept *orphans;
	struct stream_list dialing, naming, held, open, told;
	struct heap timers;
	size_t count, max, accept_count;
	uint64_t next_number;
};

struct services *services_new(struct node *node, const struct peer_id *self, size_t max_streams)
{
	struct services *v = calloc(1, sizeof(*v));
	if (!v)
		return NULL;
	v->node = node;
	v->self = *self;
	v->max = max_streams;
	return v;
}

size_t services_count(const struct services *v)
{
	return v->count;
}

/* ---- lists ---- */

static void list_add(struct stream_list *l, struct service_stream *s)
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

static void list_remove(struct stream_list *l, struct service_stream *s)
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

static struct service *find(const struct services *v, const char *name)
{
	for (struct service *e = v->services; e; e = e->next)
		if (strcmp(e->name, name) == 0)
			return e;
	return NULL;
}

static struct stream_list *list_of(struct services *v, const struct service_stream *s)
{
	switch ((enum service_state)s->state) {
	case SERVICE_DIALING: return &v->dialing;
	case SERVICE_NAMING: return &v->naming;
	case SERVICE_WAITING: return &find(v, s->name)->waiting;
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

static void drop_all(struct services *v, ov_time now, const struct stream_list *l)
{
	while (l->first)
		services_drop(v, now, l->first, STREAM_CANCELLED);
}

static void free_accepts(struct accept *list)
{
	while (list) {
		struct accept *next = list->next;
		free(list);
		list = next;
	}
}

void services_free(struct services *v, ov_time now)
{
	if (!v)
		return;
	drop_all(v, now, &v->dialing);
	drop_all(v, now, &v->naming);
	drop_all(v, now, &v->held);
	drop_all(v, now, &v->open);
	drop_all(v, now, &v->told);
	while (v->services) {
		struct service *next = v->services->next;
		drop_all(v, now, &v->services->waiting);
		free_accepts(v->services->accepts);
		free(v->services);
		v->services = next;
	}
	free_accepts(v->orphans);
	heap_fini(&v->timers);
	free(v);
}

/* ---- accept and offer ---- */

static void offer(struct services *v, struct service_stream *s, const struct service_request *r)
{
	s->request = *r;
	enter(v, s, SERVICE_OFFERED, OV_NEVER);
}

static void take_accept(struct services *v, struct service *e, struct service_stream *s)
{
	struct accept *a = e->accepts;
	e->accepts = a->next;
	if (!e->accepts)
		e->accepts_tail = &e->accepts;
	offer(v, s, &a->request);
	v->accept_count--;
	free(a);
}

int services_listen(struct services *v, uint64_t client, uint32_t uid, const char *name)
{
	size_t own = 0;
	const struct service *found = find(v, name);
	if (found)
		return found->client == client ? OV_OK : OV_EEXIST;
	for (const struct service *e = v->services; e; e = e->next)
		own += e->client == client;
	if (own >= SERVICES_PER_CLIENT)
		return OV_EFULL;
	struct service *e = calloc(1, sizeof(*e));
	if (!e)
		return OV_ENOMEM;
	e->client = client;
	e->uid = uid;
	e->accepts_tail = &e->accepts;
	snprintf(e->name, sizeof(e->name), "%s", name);
	e->next = v->services;
	v->services = e;
	return OV_OK;
}

static size_t count_requests(const struct stream_list *l, uint64_t client)
{
	size_t count = 0;
	for (const struct service_stream *s = l->first; s; s = s->next)
		count += s->request.client == client;
	return count;
}

static size_t accepts_waiting(const struct services *v, uint64_t client)
{
	size_t count = 0;
	for (const struct service *e = v->services; e; e = e->next)
		for (const struct accept *a = e->accepts; a; a = a->next)
			count += a->request.client == client;
	return count;
}

bool services_is_busy(const struct services *v, uint64_t client)
{
	return v->dialing.count + v->accept_count >= SERVICE_REQUESTS_MAX &&
	       services_waiting(v, client) >= SERVICE_REQUESTS_MAX;
}

size_t services_waiting(const struct services *v, uint64_t client)
{
	return accepts_waiting(v, client) + count_requests(&v->dialing, client) +
	       count_requests(&v->told, client);
}

int services_accept(
	struct services *v, uint32_t uid, const char *name, const struct service_request *r)
{
	struct service *e = find(v, name);
	if (!e)
		return OV_ENOENT;
	if (e->uid != uid)
		return OV_EPERM;
	if (r->is_hold && count_requests(&v->held, r->client) >= SERVICE_HELD_MAX)
		return OV_EFULL;
	if (e->waiting.first) {
		offer(v, e->waiting.first, r);
		return OV_OK;
	}
	struct accept *a = calloc(1, sizeof(*a));
	if (!a)
		return OV_ENOMEM;
	v->accept_count++;
	a->request = *r;
	*e->accepts_tail = a;
	e->accepts_tail = &a->next;
	return OV_OK;
}

static struct service_stream *find_number(
	const struct stream_list *l, uint64_t client, uint64_t number)
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
	return find_number(&v->held, client, number);
}

struct service_stream *services_dialed(const struct services *v, uint64_t client, uint64_t number)
{
	return find_number(&v->dialing, client, number);
}

void services_open(struct services *v, ov_time now, struct service_stream *s)
{
	static const uint8_t yes = 0;
	(void)now;
	if (!s->is_outbound) /* nothing was written before: there is room */
		(void)node_stream_write(v->node, s->stream, &yes, 1);
	enter(v, s, SERVICE_OPEN, OV_NEVER);
}

void services_hold(struct services *v, ov_time now, struct service_stream *s)
{
	enter(v, s, SERVICE_HELD, now + SERVICE_ACCEPT_BY);
}

/* ---- dial ---- */

int services_dial(struct services *v, ov_time now, const struct peer_id *peer, const char *name,
	const struct service_request *r, ov_time timeout, struct service_stream **out)
{
	uint8_t words[SERVICE_NAME_MAX];
	size_t len = strlen(name);
	assert(len > 0 && len < SERVICE_NAME_MAX);
	struct service_stream *s = make(v, SERVICE_DIALING, peer);
	if (!s)
		return v->count < v->max ? OV_ENOMEM : OV_EFULL;
	int err = node_stream_open(v->node, now, peer, s, &s->stream);
	if (err != OV_OK) {
		forget(v, s);
		return err;
	}
	s->is_outbound = true;
	s->request = *r;
	memcpy(s->name, name, len + 1);
	words[0] = (uint8_t)len;
	memcpy(words + 1, name, len);
	if (node_stream_write(v->node, s->stream, words, len + 1) < len + 1) {
		services_drop(v, now, s, STREAM_CANCELLED);
		return OV_ENOMEM;
	}
	heap_set(&v->timers, &s->timer, now + timeout);
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
	struct service *e = find(v, s->name);
	if (!e)
		services_drop(v, now, s, SERVICE_UNKNOWN);
	else if (e->accepts)
		take_accept(v, e, s);
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
static void on_early_event(struct services *v, ov_time now, struct service_stream *s,
	const struct node_stream_event *e)
{
	bool is_over = (e->events & STREAM_RESET) != 0;
	if (e->events & STREAM_STOPPED) {
		s->was_stopped = true;
		s->stop_code = e->stop_code;
	}
	switch ((enum service_state)s->state) {
	case SERVICE_DIALING:
		if (is_over)
			dial_failed(v, s, SERVICE_REFUSED, e->reset_code);
		else if (e->events & STREAM_READABLE)
			on_answer(v, now, s);
		break;
	case SERVICE_NAMING:
		if (is_over)
			services_drop(v, now, s, STREAM_CANCELLED);
		else
			on_name(v, now, s);
		break;
	case SERVICE_WAITING:
	case SERVICE_HELD:
		if (is_over)
			services_drop(v, now, s, STREAM_CANCELLED);
		break;
	case SERVICE_OPEN:
	case SERVICE_ACCEPTED:
	case SERVICE_OFFERED:
	case SERVICE_FAILED: break;
	}
}

struct service_stream *services_on_event(
	struct services *v, ov_time now, const struct node_stream_event *e)
{
	struct service_stream *s = e->user;
	if (!s) {
		on_opened(v, now, e);
		return NULL;
	}
	bool has_local =
		s->local != NULL; /* what is not OPEN has none, but for some dialled ones */
	if (s->state != SERVICE_OPEN)
		on_early_event(v, now, s, e); /* one without a local end may be gone */
	return has_local ? s : NULL;
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

bool services_next_orphan(struct services *v, struct service_request *out)
{
	struct accept *a = v->orphans;
	if (!a)
		return false;
	v->orphans = a->next;
	*out = a->request;
	v->accept_count--;
	free(a);
	return true;
}

/* ---- a client goes ---- */

static void end_service(struct services *v, ov_time now, struct service **at)
{
	struct service *e = *at;
	while (e->waiting.first)
		services_drop(v, now, e->waiting.first, SERVICE_UNKNOWN);
	*at = e->next;
	*e->accepts_tail = v->orphans;
	v->orphans = e->accepts;
	free(e);
}

static void forget_accepts(struct services *v, struct accept **at, uint64_t client)
{
	while (*at) {
		struct accept *a = *at;
		if (a->request.client != client) {
			at = &a->next;
			continue;
		}
		*at = a->next;
		v->accept_count--;
		free(a);
	}
}

void services_client_gone(struct services *v, ov_time now, uint64_t client)
{
	for (struct service **at = &v->services; *at;) {
		struct service *e = *at;
		forget_accepts(v, &e->accepts, client);
		e->accepts_tail = &e->accepts;
		while (*e->accepts_tail)
			e->accepts_tail = &(*e->accepts_tail)->next;
		if (e->client == client)
			end_service(v, now, at);
		else
			at = &e->next;
	}
	forget_accepts(v, &v->orphans, client);
	for (struct service_stream *s = v->held.first, *next; s; s = next) {
		next = s->next;
		if (s->request.client == client)
			services_drop(v, now, s, STREAM_REFUSED);
	}
	for (struct service_stream *s = v->dialing.first, *next; s; s = next) {
		next = s->next;
		if (s->request.client == client)
			dial_failed(v, s, SERVICE_LOCAL_GONE, 0);
	}
}
