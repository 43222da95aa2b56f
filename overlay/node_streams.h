#pragma once
/* node_streams - reliable streams to peers: the local side of core/transport.h (docs/transport.md,
 * docs/protocol.md 15). Part of the node's surface: verbs like those of node.h, nothing calls back;
 * after any of them drain node_poll, and node_stream_event.
 *
 * A stream belongs to whoever opened it, or took it by STREAM_OPENED, until node_stream_close; it
 * outlives paths, keys and sleep, and when the peer restarts it ends by STREAM_RESET and
 * STREAM_STOPPED with code STREAM_PEER_RESTARTED, but its handle stays valid until it is closed.
 * What had come to its end is not reset, and can be read on. All are closed before node_free. */
#include "core/stream.h"
#include "overlay/node.h"

struct node_stream;

/* To a contact, which is called if it is away (what is written waits), or to our own PeerId.
 * `user` comes back with its events. *out is the caller's. OV_ENOENT: no such contact; OV_EFULL:
 * too many are open; OV_ENOMEM. */
OV_MUST_CHECK int node_stream_open(struct node *n, ov_time now, const struct peer_id *id,
	void *user, struct node_stream **out);
/* Of one that the peer opened. */
void node_stream_set_user(struct node_stream *s, void *user);
const struct peer_id *node_stream_peer(const struct node_stream *s);
/* 0 goes first, 7 last; 3 at first. */
void node_stream_set_priority(struct node_stream *s, uint8_t priority);

/* Room for at most *len bytes to be written in place; *len is set. NULL: none now, and
 * STREAM_WRITABLE tells when there is again. Then commit. */
uint8_t *node_stream_reserve(struct node_stream *s, size_t *len);
void node_stream_commit(struct node *n, struct node_stream *s, size_t len);
/* The same by copy; returns how many bytes were taken. */
size_t node_stream_write(struct node *n, struct node_stream *s, const uint8_t *data, size_t len);
void node_stream_finish(struct node *n, struct node_stream *s); /* our direction ends */
/* What came, in place; *len 0: nothing now. Then consume. */
const uint8_t *node_stream_peek(const struct node_stream *s, size_t *len);
/* What follows that, elsewhere in memory. */
const uint8_t *node_stream_peek_rest(const struct node_stream *s, size_t *len);
void node_stream_consume(struct node *n, ov_time now, struct node_stream *s, size_t len);
/* The peer's direction has ended, and all of it was consumed. */
bool node_stream_at_end(const struct node_stream *s);
/* Ends our direction, or tells the peer to end its, at once. */
void node_stream_reset(struct node *n, struct node_stream *s, uint32_t code);
void node_stream_stop(struct node *n, ov_time now, struct node_stream *s, uint32_t code);
/* The owner is done: what was finished is still delivered, a direction that was not ended ends with
 * `code`. s is gone. */
void node_stream_close(struct node *n, ov_time now, struct node_stream *s, uint32_t code);

struct node_stream_event {
	struct node_stream *stream;
	void *user;     /* NULL with STREAM_OPENED: somebody must take it, and close it one day */
	uint8_t events; /* enum stream_event */
	uint32_t reset_code, stop_code;
};
bool node_stream_event(struct node *n, struct node_stream_event *out);

/* Streams make no packets from now on, or do again: the sockets are full. */
void node_streams_hold(struct node *n, bool on);

struct node_streams_info { /* of one peer */
	size_t streams;
	uint64_t window, in_flight, sent_packets, lost_packets;
	ov_time srtt;
};
bool node_streams_info(
	const struct node *n, const struct peer_id *id, struct node_streams_info *out);
