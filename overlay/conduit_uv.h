#pragma once
/* conduit - the local end of a stream: a descriptor and a node stream, bytes both ways. The end of
 * what the descriptor brings ends our direction, the end of the peer's shuts the descriptor down
 * for writing; a reset closes it.
 *
 * Descriptors are watched by one epoll set, edge-triggered: what is ready is remembered, so that a
 * stream that has no room, or nothing to write, costs no system call. Work is done by
 * conduits_run, once per turn of the loop, within a budget for each and for all. */
#include "overlay/services.h"

#include <uv.h>

struct conduits;

struct conduits_config {
	struct node *node;
	struct services *services;
	void *context;
	/* An open stream has ended, both ways; services_drop follows. code: of the peer's reset,
	 * or of its stop if not STREAM_CANCELLED; -1: there was none. */
	void (*ended)(void *context, const struct service_stream *s, uint64_t sent,
		uint64_t received, int64_t code);
};

/* cfg is copied, what it points to is borrowed until conduits_close. NULL: out of memory. */
struct conduits *conduits_open(uv_loop_t *loop, const struct conduits_config *cfg);
/* Closes all descriptors; memory goes when the loop has closed the handle. NULL is allowed. */
void conduits_close(struct conduits *cs);

/* Makes `descriptor` (any connected stream socket) the local end of s, which takes it. OV_EINVAL:
 * it is none, and not taken; OV_ENOMEM, OV_EFULL: the same. */
OV_MUST_CHECK int conduit_join(struct conduits *cs, struct service_stream *s, int descriptor);
/* The same with one end of a new pair; *theirs is the other one, the caller's. OV_EFULL: no
 * descriptors left. */
OV_MUST_CHECK int conduit_pair(struct conduits *cs, struct service_stream *s, int *theirs);
/* What goes to the descriptor before all that the stream brings, and to the stream before all that
 * the descriptor brings. Copied. False: out of memory. */
bool conduit_say(struct service_stream *s, const void *bytes, size_t len);
bool conduit_heard(struct service_stream *s, const void *bytes, size_t len);
/* services_open was called: bytes flow. */
void conduit_start(struct service_stream *s);
/* Closes the descriptor without a further word; `say` (conduit_say) is tried first. s has no local
 * end then. */
void conduit_cut(struct service_stream *s);

/* Bytes so far, to the stream and to the descriptor. */
void conduit_count(const struct service_stream *s, uint64_t *sent, uint64_t *received);

/* services_on_event returned s. */
void conduit_on_event(struct service_stream *s, const struct node_stream_event *e);
/* True: more to do, the loop must not sleep. */
bool conduits_run(struct conduits *cs, ov_time now);
