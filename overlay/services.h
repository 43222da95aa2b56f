#pragma once
/* services - the streams of local programs until they are open, and the names they listen on
 * (docs/protocol.md 15.5). It says the first words on each stream, looks at grants, brings a stream
 * and the program that accepts it together, and counts the time. Pure: bytes and descriptors are
 * the local end's (conduit_uv.h), answers the api's.
 *
 * A stream is DIALING or NAMING first. Whatever then needs the api is told by services_next. */
#include "core/heap.h"
#include "overlay/grant.h"
#include "overlay/node_streams.h"

#define SERVICE_NAME_MAX     GRANT_SERVICE_LEN /* with NUL */
#define SERVICES_PER_CLIENT  16                /* names that one connection listens on */
#define SERVICE_WAITING_MAX  128               /* streams of one service that wait for accept */
#define SERVICE_REQUESTS_MAX 128               /* dials and accepts of one client that wait */
#define SERVICE_HELD_MAX     128               /* streams that one client holds */
#define SERVICE_NAMING_MAX   256 /* streams whose name has not come; of one peer a quarter */
#define SERVICE_NAMING_BY    (10 * OV_SEC)
#define SERVICE_ACCEPT_BY    (30 * OV_SEC) /* waiting or held */

enum service_code { /* after those of enum stream_code */
	SERVICE_UNKNOWN = 5,
	SERVICE_NOT_ALLOWED = 6,
	SERVICE_BUSY = 7,
};

enum service_state {
	SERVICE_DIALING, /* we opened it, and the other side has not said yes */
	SERVICE_NAMING,  /* the other side opened it, and has not said a whole name */
	SERVICE_WAITING, /* for somebody to accept it */
	SERVICE_HELD,    /* its holder attaches a local end, or refuses it */
	SERVICE_OPEN,    /* all that comes is the local end's */
	/* told by services_next: */
	SERVICE_ACCEPTED, /* DIALING, and the other side said yes: services_open */
	SERVICE_OFFERED,  /* to `request`: services_open or services_hold */
	SERVICE_FAILED,   /* DIALING, and `failure`: services_drop */
};

enum service_failure {      /* why a dial FAILED */
	SERVICE_REFUSED,    /* the other side said `code` */
	SERVICE_TIMED_OUT,  /* it said nothing in time */
	SERVICE_LOCAL_GONE, /* nobody here wants it any more */
};

struct service_request { /* who waits for the answer */
	uint64_t client; /* 0: nobody */
	int64_t id;
	bool has_id, is_inline, is_hold;
};

struct service_stream {
	struct heap_entry timer;
	struct service_stream *previous, *next; /* of the list of its state */
	struct node_stream *stream;
	void *local; /* its local end; NULL: none yet */
	uint64_t number;
	struct service_request request; /* DIALING and what follows it, OFFERED, HELD */
	uint32_t code;                  /* FAILED and SERVICE_REFUSED: the other side's */
	uint32_t stop_code;             /* if `was_stopped` */
	uint8_t state, failure;         /* enum service_state, enum service_failure */
	bool is_outbound;
	bool was_stopped; /* before it was open the other side said that it will take nothing */
	struct peer_id peer;
	char name[SERVICE_NAME_MAX];
};

struct service_target { /* of a dial */
	const struct peer_id *peer;
	const char *name;
	ov_time timeout;
};

struct services;

/* node is borrowed. NULL: out of memory. */
struct services *services_new(struct node *node, const struct peer_id *self, size_t max_streams);
/* All streams end; local ends are closed before. NULL is allowed. */
void services_free(struct services *v, ov_time now);
size_t services_count(const struct services *v);

/* ---- what clients ask for ---- */
/* OV_EEXIST: another connection has the name; OV_EFULL: it has SERVICES_PER_CLIENT; OV_ENOMEM. */
OV_MUST_CHECK int services_listen(
	struct services *v, uint64_t client, uint32_t uid, const char *name);
/* OV_ENOENT: nobody listens; OV_EPERM: another user does; OV_EFULL: it holds
 * SERVICE_HELD_MAX; OV_ENOMEM. */
OV_MUST_CHECK int services_accept(struct services *v, ov_time now, uint32_t uid, const char *name,
	const struct service_request *r);
/* As node_stream_open; OV_EFULL: too many streams. */
OV_MUST_CHECK int services_dial(struct services *v, ov_time now, const struct service_target *to,
	const struct service_request *r, struct service_stream **out);
/* The stream that this client holds; NULL: it holds none of this number, or its peer has lost the
 * grant since. */
struct service_stream *services_held(const struct services *v, uint64_t client, uint64_t number);
/* The same of one that it dials and has no answer for. */
struct service_stream *services_dialed(const struct services *v, uint64_t client, uint64_t number);
/* The open stream of this number; NULL: none. */
const struct service_stream *services_find_open(const struct services *v, uint64_t number);
/* SERVICE_REQUESTS_MAX dials and accepts of this client wait: it may ask for no more. */
bool services_is_busy(const struct services *v, uint64_t client);
size_t services_waiting(const struct services *v, uint64_t client);
/* Its names are free, what it held is refused, what it asked for is forgotten. Who still waits for
 * one of its names is told by services_next_orphan. */
void services_client_gone(struct services *v, ov_time now, uint64_t client);

/* ---- what becomes of a stream ---- */
/* It has a local end now, and the other side is told so. */
void services_open(struct services *v, struct service_stream *s);
void services_hold(struct services *v, ov_time now, struct service_stream *s);
/* The other side hears `code` for what has not ended yet; s is gone. */
void services_drop(struct services *v, ov_time now, struct service_stream *s, uint32_t code);
/* The local end has gone before there was an answer: FAILED follows. */
void services_local_failed(struct services *v, struct service_stream *s);

/* ---- facts ---- */
/* Returns the stream if its local end has to look at it as well; else NULL. */
struct service_stream *services_on_event(
	struct services *v, ov_time now, const struct node_stream_event *e);
void services_tick(struct services *v, ov_time now);
ov_time services_deadline(const struct services *v);
/* The next one that the api has to do something about; NULL: none. */
struct service_stream *services_next(struct services *v);
/* The next accept whose service has gone. */
bool services_next_orphan(struct services *v, struct service_request *out);
