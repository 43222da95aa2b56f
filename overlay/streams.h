#pragma once
/* streams - the transport of one association: which path it takes, its packets, and the handles of
 * its streams (overlay/node_streams.h). Private to the node. */
#include "core/transport.h"
#include "overlay/frames.h"
#include "overlay/node_streams.h"

struct streams {
	struct transport *t;
	struct peer *peer;         /* NULL: we ourselves, self_streams.c */
	struct node_stream *first; /* handles */
	struct streams *next_told;
	uint64_t path_key; /* 0: it has no path */
	uint16_t datagram;
	bool is_told;   /* in the list of those with events */
	bool was_moved; /* the app did something, since the last flush */
	bool renews;    /* a new association is on its way, for the peer broke the rules */
};

struct node_stream {
	struct streams *of; /* NULL: its association is over */
	uint64_t id;
	void *user;
	struct node_stream *next, *previous; /* of the same streams, or of those that ended */
	struct peer_id peer;
	/* if `of` is NULL */
	struct receive_buffer *rest; /* what came before, to the end of it, to be read; or NULL */
	uint32_t code;               /* it ended by */
	uint8_t events;              /* of its end */
	bool is_told;                /* of them: in node->over, not in node->ended */
};

/* ---- streams.c ---- */
struct streams *streams_new(
	struct node *n, ov_time now, struct peer *p, bool is_lower); /* NULL: memory */
/* The app did something with it: its packets want to go. */
void streams_touch(struct node *n, struct streams *s);
/* It may have events. */
void streams_tell(struct node *n, struct streams *s);
/* Every handle ends by `code`, the memory goes. s may be NULL. */
void streams_free(struct node *n, struct streams *s, uint32_t code);

struct reliable { /* one packet with reliable frames, while it is taken */
	struct number_frame number;
	bool has_number, was_refused;
};
enum drop streams_on_frame(struct node *n, ov_time now, struct peer *p, const struct arrival *at,
	const struct frame *f, struct reliable *packet);
/* All its frames were seen. */
void streams_on_packet(struct node *n, ov_time now, struct peer *p, const struct arrival *at,
	const struct reliable *packet);

/* Sends what may go. True: more could, but for room in the output. */
bool streams_flush(struct node *n, ov_time now, struct peer *p);
ov_time streams_deadline(const struct association *a, ov_time now);
bool streams_are_open(const struct association *a); /* a may be NULL */
/* The peer answered there. */
void streams_path_answers(
	struct node *n, ov_time now, struct peer *p, const struct path *path, ov_time rtt);
/* What went by this path will not arrive. */
void streams_path_gone(const struct association *a, const struct path *path);
/* The peer has forgotten this association: all end by STREAM_PEER_RESTARTED, but for those it never
 * heard of, which are opened anew; same_life: it did not restart. */
void streams_restart(struct node *n, ov_time now, struct peer *p, bool same_life);
/* The association is over. */
void streams_close(struct node *n, struct association *a, uint32_t code);

/* ---- stream_handle.c ---- */
void stream_handle_link(struct node_stream **list, struct node_stream *s);
/* Its association is over: *s is of nothing any more. */
void stream_handle_end(struct node *n, struct node_stream *s, uint32_t code);
void stream_handle_unlink(struct node_stream **list, struct node_stream *s);
/* With the node: those that nobody closed. */
void stream_handles_free(struct node *n);

/* ---- self_streams.c ---- */
/* The side that opens; NULL: memory. */
struct streams *self_streams(struct node *n, ov_time now);
void self_streams_free(struct node *n);
void self_streams_tick(struct node *n, ov_time now);
void self_streams_flush(struct node *n, ov_time now);
ov_time self_streams_deadline(const struct node *n);
