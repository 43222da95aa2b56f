#pragma once
/* stream - one stream: two directions with a buffer, a limit and an end each (RFC 9000 2, 3 and 4).
 * Pure state; transport.c decides what is sent when. */
#include "core/receive_buffer.h"
#include "core/send_buffer.h"

#define STREAM_WINDOW     (256u << 10) /* granted before anything is known: docs/protocol.md 15.4 */
#define STREAM_WINDOW_MAX (32u << 20)

enum stream_code { /* of RESET_STREAM and STOP_SENDING; from 256 on they are the app's */
	STREAM_CANCELLED = 0,
	STREAM_PEER_RESTARTED = 1,
	STREAM_VIOLATION = 2, /* the other side broke the rules of this layer */
	STREAM_REFUSED = 3,   /* nobody takes it */
	STREAM_NO_MEMORY = 4,
};

/* What a frame carries until it is acknowledged: due -> sent -> acknowledged, or lost: due again.
 */
enum stream_send { SEND_NONE, SEND_DUE, SEND_SENT, SEND_DONE };

enum stream_event {
	STREAM_OPENED = 1,    /* by the peer */
	STREAM_READABLE = 2,  /* bytes, or the end, can be taken */
	STREAM_WRITABLE = 4,  /* there is room again after a write that found too little */
	STREAM_RESET = 8,     /* the peer will send no more: peer_reset_code */
	STREAM_STOPPED = 16,  /* the peer wants no more: peer_stop_code */
	STREAM_FINISHED = 32, /* all that we sent is acknowledged, its end too */
};

struct stream {
	uint64_t id;
	struct send_buffer out;
	struct receive_buffer in;
	uint64_t out_limit; /* the peer allows bytes below */
	uint64_t in_limit;  /* we allow; what was said last */
	uint64_t in_window; /* beyond what the app took */
	ov_time in_granted_at;
	uint32_t reset_code, stop_code, peer_reset_code, peer_stop_code;
	uint8_t reset, stop,
		grant;    /* enum stream_send: RESET_STREAM, STOP_SENDING, MAX_STREAM_DATA */
	uint8_t events;   /* enum stream_event, not yet taken */
	uint8_t priority; /* 0 goes first */
	bool in_reset;    /* the peer gave up its direction */
	bool in_ended;    /* the app has taken the end, or gave the direction up */
	bool wants_room;  /* tell when there is room to write */
	bool is_ready, is_blocked, is_told;
	bool is_released; /* nobody wants its events any more */
	bool was_said;    /* a packet had a frame of it */
	bool is_spare;    /* released before that: its id may serve another */
	void *user;
	struct stream *next, *previous; /* of the list that it is in */
	struct stream *next_told, *next_open, *previous_open;
};

void stream_init(struct stream *s, uint64_t id, ov_time now);
void stream_fini(struct stream *s);
/* What of it holds no byte, and did not since the last time, gives its memory back. Returns the
 * room that stays. */
size_t stream_trim(struct stream *s);
/* Our direction is settled: acknowledged to its end, or its reset was. */
bool stream_out_is_done(const struct stream *s);
bool stream_is_done(const struct stream *s);
/* Something to send that costs no credit: frames, or bytes that were lost. */
bool stream_wants_again(const struct stream *s);
/* Bytes that were never sent and the stream's limit allows. */
bool stream_wants_new(const struct stream *s);
/* A RESET_STREAM or the end of both: no more bytes go out. */
void stream_give_up_out(struct stream *s, uint32_t code);
void stream_give_up_in(struct stream *s, uint32_t code);
/* The app took bytes: does the peer need a new limit? Grows the window when the peer fills it in
 * less than two round trips (as other QUIC stacks do; Semke et al., "Automatic TCP Buffer Tuning",
 * 1998). */
void stream_tune(struct stream *s, ov_time now, ov_time srtt);
