/* Names that programs listen on, and their requests for streams.
 *
 * Invariant: a service has waiting streams or waiting accepts, never both. */
#include "overlay/services_impl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

static void drop_all(struct services *v, ov_time now, const struct service_list *l)
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

/* ---- listen and accept ---- */

struct service *services_find(const struct services *v, const char *name)
{
	for (struct service *e = v->services; e; e = e->next)
		if (strcmp(e->name, name) == 0)
			return e;
	return NULL;
}

void services_take_accept(struct services *v, struct service *e, struct service_stream *s)
{
	struct accept *a = e->accepts;
	e->accepts = a->next;
	if (!e->accepts)
		e->accepts_tail = &e->accepts;
	service_stream_offer(v, s, &a->request);
	v->accept_count--;
	free(a);
}

int services_listen(struct services *v, uint64_t client, uint32_t uid, const char *name)
{
	size_t own = 0;
	const struct service *found = services_find(v, name);
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

static size_t count_requests(const struct service_list *l, uint64_t client)
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

/* Of those that wait the first whose peer still has the grant. */
static struct service_stream *first_waiting(
	struct services *v, ov_time now, const struct service *e)
{
	while (e->waiting.first && !service_stream_is_allowed(v, e->waiting.first))
		services_drop(v, now, e->waiting.first, SERVICE_NOT_ALLOWED);
	return e->waiting.first;
}

int services_accept(struct services *v, ov_time now, uint32_t uid, const char *name,
	const struct service_request *r)
{
	struct service *e = services_find(v, name);
	if (!e)
		return OV_ENOENT;
	if (e->uid != uid)
		return OV_EPERM;
	if (r->is_hold && count_requests(&v->held, r->client) >= SERVICE_HELD_MAX)
		return OV_EFULL;
	struct service_stream *s = first_waiting(v, now, e);
	if (s) {
		service_stream_offer(v, s, r);
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
			services_local_failed(v, s);
	}
}
