#pragma once
/* transport - the streams of one association, over whatever path is in use (docs/protocol.md 15,
 * docs/transport.md): RFC 9000 streams and flow control, RFC 9002 recovery for each path.
 *
 * Pure: packets come in frame by frame, go out by transport_poll, and what an app should know is an
 * event. A packet whose frames were all taken is acknowledged; one that could not be is not, and
 * comes again. */
#include "core/frame.h"
#include "core/received.h"
#include "core/rtt.h"
#include "core/stream.h"

#define TRANSPORT_SPACES     4
#define TRANSPORT_PRIORITIES 8
#define TRANSPORT_STREAMS    4096 /* that the peer may have open */

struct transport;

struct transport_config {
	bool is_lower;         /* our PeerId is: the streams that we open are even */
	uint64_t table_secret; /* random */
	uint64_t window_max;   /* bytes of all streams that the peer may send ahead; 0: 64 MiB */
};

struct transport *transport_new(ov_time now, const struct transport_config *c); /* NULL: memory */
void transport_free(struct transport *t);

/* ---- the app's side: stream ids are of this association ---- */

/* OV_EFULL: the peer allows no more streams now; OV_ENOMEM. */
OV_MUST_CHECK int transport_open(struct transport *t, ov_time now, uint64_t *stream);
/* Comes back with its events; NULL at first. */
void transport_set_user(struct transport *t, uint64_t stream, void *user);
/* 0 goes first, 7 last. */
void transport_set_priority(struct transport *t, uint64_t stream, uint8_t priority);
/* How many bytes were taken; fewer than len: STREAM_WRITABLE tells when there is room. */
size_t transport_write(struct transport *t, uint64_t stream, const uint8_t *data, size_t len);
/* The same in place: room for at most *len bytes, *len is set; NULL: none now. Then commit. */
uint8_t *transport_reserve(struct transport *t, uint64_t stream, size_t *len);
void transport_commit(struct transport *t, uint64_t stream, size_t len);
void transport_finish(struct transport *t, uint64_t stream); /* our direction ends */
/* In place; *len 0: nothing now. Then transport_consume. */
const uint8_t *transport_peek(const struct transport *t, uint64_t stream, size_t *len);
/* What follows that, elsewhere in memory. */
const uint8_t *transport_peek_rest(const struct transport *t, uint64_t stream, size_t *len);
void transport_consume(struct transport *t, ov_time now, uint64_t stream, size_t len);
bool transport_at_end(const struct transport *t, uint64_t stream); /* the peer's direction ended */
void transport_reset(struct transport *t, uint64_t stream, uint32_t code); /* our direction */
/* the peer's */
void transport_stop(struct transport *t, ov_time now, uint64_t stream, uint32_t code);
/* We opened it after `since`, and the peer has not said a word of it. */
bool transport_is_unheard(const struct transport *t, uint64_t stream, ov_time since);
/* Such a stream of `from`, with its bytes and user, becomes one of t: *stream is its new id. What
 * is left of it in `from` is empty. As transport_open. */
OV_MUST_CHECK int transport_carry(
	struct transport *t, ov_time now, struct transport *from, uint64_t was, uint64_t *stream);
/* The app is done with it, and hears no more: what was finished is still delivered, a direction
 * that was not ended ends with `code`. */
void transport_release(struct transport *t, ov_time now, uint64_t stream, uint32_t code);

/* The same for one that the app never took. */
void transport_refuse(struct transport *t, uint64_t stream, uint32_t code);

struct transport_rest {           /* of a stream whose association is over */
	struct receive_buffer in; /* if has_in */
	bool has_in; /* the peer's direction came to its end, and not all of it was read */
	bool out_is_over;
	uint8_t events; /* STREAM_FINISHED, if nobody was told yet */
};
/* in is the caller's then. */
void transport_take_rest(struct transport *t, uint64_t stream, struct transport_rest *out);

struct transport_event {
	uint64_t stream;
	void *user;
	uint8_t events; /* enum stream_event */
	uint32_t reset_code, stop_code;
};
bool transport_next_event(struct transport *t, struct transport_event *out);
bool transport_has_event(const struct transport *t);

/* ---- the network's side ---- */

struct transport_path {
	uint64_t key;      /* names the path; another key is another path */
	struct rtt rtt;    /* as it is known */
	uint16_t datagram; /* bytes of the largest one */
	uint16_t overhead; /* of these, not plaintext */
	bool carries_ecn;  /* its datagrams can be marked */
};
/* Packets go by this path from now on. NULL: by none, they wait. */
void transport_use_path(struct transport *t, ov_time now, const struct transport_path *path);
/* The peer answered a question on this path that was asked an `rtt` ago: what went before it, and
 * is not acknowledged, did not arrive. Probed at once, not when the timer says so. */
void transport_path_answers(struct transport *t, ov_time now, uint64_t key, ov_time rtt);
/* What went by this path will not arrive. */
void transport_path_died(struct transport *t, uint64_t key);

/* A frame of an authentic packet. OV_OK; OV_EINVAL: a violation, all streams were reset; OV_EFULL,
 * OV_ENOMEM: not taken, the packet must not be acknowledged. */
OV_MUST_CHECK int transport_on_frame(struct transport *t, ov_time now, const struct frame *f);
bool transport_has_failed(const struct transport *t); /* there was a violation */
/* All frames of a packet with this number were taken. */
void transport_on_number(
	struct transport *t, ov_time now, const struct number_frame *f, enum ecn ecn);

enum transport_packet {
	TRANSPORT_NOTHING, /* may go now */
	TRANSPORT_ACK,     /* that wants no answer */
	TRANSPORT_NUMBERED,
};
/* The plaintext of one packet for the path in use, at most what its datagrams and w hold. */
enum transport_packet transport_poll(struct transport *t, ov_time now, struct wr *w);
/* Is the packet that it made last to be marked ECT(0)? */
bool transport_marks(const struct transport *t);
void transport_tick(struct transport *t, ov_time now);
/* When to tick or poll again; OV_NEVER: only after something else. */
ov_time transport_deadline(const struct transport *t, ov_time now);
/* Something waits to be sent, or to be acknowledged: a path is wanted. */
bool transport_is_busy(const struct transport *t);
size_t transport_stream_count(const struct transport *t);
/* Of these, how many were given up before the peer could hear of them. */
size_t transport_spare_count(const struct transport *t);

struct transport_info {
	uint64_t window, in_flight, sent_packets, lost_packets;
	ov_time srtt;
};
struct transport_info transport_info(const struct transport *t);
