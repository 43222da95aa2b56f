#pragma once
/* services_impl - what the two files of services share; nobody else includes it. */
#include "overlay/services.h"

struct service_list {
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
	struct service_list waiting;
	struct accept *accepts, **accepts_tail;
	char name[SERVICE_NAME_MAX];
};

struct services {
	struct node *node;
	struct peer_id self;
	struct service *services;
	struct accept *orphans;
	struct service_list dialing, naming, held, open, told;
	struct heap timers;
	size_t count, max, accept_count;
	uint64_t next_number;
};

/* ---- services.c ---- */
struct service *services_find(const struct services *v, const char *name); /* NULL: none */
/* The accept that has waited longest gets this stream. */
void services_take_accept(struct services *v, struct service *e, struct service_stream *s);

/* ---- service_stream.c ---- */
void service_stream_offer(
	struct services *v, struct service_stream *s, const struct service_request *r);
/* Has its peer, as it is now, the grant for it? */
bool service_stream_is_allowed(const struct services *v, const struct service_stream *s);
