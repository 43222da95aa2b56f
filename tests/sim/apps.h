#pragma once
/* apps - programs on the hosts that talk over streams (overlay/node_streams.h): how they write,
 * read, give up and fall silent is drawn or told, what they write is a function of the stream's tag
 * and the offset. They do as the daemon does: read when told that there is something, write until
 * nothing more is taken, then wait to be told of room. So an event that is not told is a stream
 * that gets stuck. What is right is oracle_streams.h's matter. */
#include "overlay/node_streams.h"

struct sim;
struct host;

#define APP_TAG_LEN     8 /* whoever opens a stream writes its tag first: so the taker knows it */
#define APP_STREAMS_MAX 512
#define APP_NEVER       UINT64_MAX

enum app_side { APP_OPENER, APP_TAKER };
/* Leaves: ends its direction, and closes without reading. */
enum app_quit { APP_STAYS, APP_RESETS, APP_STOPS, APP_CLOSES, APP_LEAVES };

struct app_manner {    /* of one side; all 0: writes nothing, reads all at once, ends, closes */
	uint64_t size; /* it writes so many bytes, then ends its direction */
	uint32_t write_most, read_most; /* bytes at a time; 0: as many as there are */
	ov_time write_every, read_every;
	bool in_place;     /* writes by node_stream_reserve */
	uint64_t pause_at; /* having read so much, it reads nothing for `pause` */
	ov_time pause;
	uint64_t hold_at; /* having written so much, it says no more until it is told to */
	enum app_quit quit;
	uint64_t quit_at; /* having written (stops: read) so much; 0 with APP_STAYS */
	uint32_t code;
	uint8_t priority;
};

struct app_way { /* what is true of one direction */
	uint64_t written, read;
	bool finished, ended; /* by the writer; seen by the reader */
	bool is_reset;        /* by the writer's app, or because the reader's stopped it */
	bool is_stopped;      /* by the reader's app */
	uint32_t reset_code, stop_code;
	ov_time first_read_at, ended_at;
};

struct app_stream {
	uint64_t tag;
	uint32_t hosts[2]; /* by enum app_side */
	struct app_manner manner[2];
	struct app_way way[2]; /* way[side]: what that side writes */
	struct app_end *end[2];
	bool is_held; /* somebody keeps silent */
	ov_time opened_at;
};

struct app_end {
	struct app_stream *of;      /* NULL: it was taken, and its tag has not come */
	struct node_stream *handle; /* NULL: closed, or gone with its node */
	uint32_t host, peer;
	enum app_side side;
	ov_time made_at;  /* opened or taken */
	ov_time bound_at; /* the association that it belongs to was there then */
	uint8_t tag[APP_TAG_LEN];
	uint8_t tag_len;
	ov_time write_at, read_at;
	bool is_readable, is_writable, has_paused;
	bool out_over, in_over;
	bool is_gone; /* its host stopped before it was closed */
	struct app_end *next;
};

struct apps {
	struct app_stream *streams[APP_STREAMS_MAX];
	size_t count;
	struct app_end **ends;
	size_t end_count;
	uint64_t finished, cut; /* directions that came to their end, or were given up */
};

void apps_fini(struct apps *a);
/* Opens one; both must be friends, or the same host, and h awake. NULL: no more may be opened. */
struct app_stream *apps_open(struct sim *s, struct host *h, uint32_t to,
	const struct app_manner *opener, const struct app_manner *taker);
/* From now on both read and write as fast as they can. */
void apps_hasten(struct sim *s);
/* Whoever keeps silent speaks again. */
void apps_release(struct sim *s, struct app_stream *x);
/* h's sockets have no room for streams for so long. */
void apps_hold(struct sim *s, struct host *h, ov_time duration);
/* Its node is about to go. */
void apps_host_stops(struct host *h);
/* All that can be done now; false: it was nothing. */
bool apps_turn(struct sim *s, struct host *h);
ov_time apps_deadline(const struct host *h);
/* Fills out with what the writer of this way writes at this offset. */
void apps_bytes(const struct app_stream *x, enum app_side writer, uint64_t offset, uint8_t *out,
	size_t len);
