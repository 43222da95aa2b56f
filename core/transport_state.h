#pragma once
/* transport_state - what the files of the transport share. */
#include "core/congestion.h"
#include "core/pacer.h"
#include "core/recovery.h"
#include "core/table.h"
#include "core/transport.h"

#define ASSOCIATION_WINDOW (1u << 20) /* granted before anything is known */
#define KEPT_MAX           (4u << 20) /* bytes of empty rings */
#define TRIM_AFTER         OV_SEC
#define WINDOW_MAX         (64u << 20)
#define UNDER_WAY_MAX      131072 /* packets of one space */

struct space { /* packets that we send by one path */
	struct recovery recovery;
	struct congestion congestion;
	struct pacer pacer;
	uint64_t key;
	ov_time used_at;
	struct ecn_path ecn;
	ov_time forget_at; /* of one that was left; 0: not counted yet */
	uint8_t probes;    /* that may go whatever the window */
	bool used;
};

struct stream_list { /* circular; first is served next */
	struct stream *first;
};

struct opened {               /* by one side */
	uint64_t next, limit; /* how many were opened, and may be */
};

struct transport {
	struct transport_config config;
	struct table *streams;
	struct stream *recent; /* the one that was found last, mostly that which is asked for */
	struct opened own, peers;
	uint64_t peers_closed;
	size_t spares; /* streams that are is_spare */
	struct space spaces[TRANSPORT_SPACES];
	struct received received[TRANSPORT_SPACES];
	bool receives[TRANSPORT_SPACES];
	struct transport_path path;
	struct space *active; /* of `path`; NULL: packets wait */
	uint16_t next_space;
	struct stream_list ready[TRANSPORT_PRIORITIES];
	struct stream_list blocked; /* by the association's limit alone */
	struct stream *first_told, *last_told, *first_open;
	/* flow control of the association, in bytes of all streams */
	uint64_t sent, out_limit;
	uint64_t got, taken, in_limit, in_window;
	uint64_t in_measured; /* `taken` when the window was looked at last */
	ov_time in_measured_at;
	uint8_t of_all; /* SENT_MAX_DATA, SENT_MAX_STREAMS: due */
	bool marks;     /* the last packet is to be marked ECT(0) */
	bool failed;    /* the peer broke the rules: nothing of it counts any more */
	uint64_t sent_packets, lost_packets;
	ov_time trim_at; /* OV_NEVER: no stream has room that it does not need */
	size_t kept;     /* bytes of such room, at most */
};

struct stream *transport_find(const struct transport *t, uint64_t id);
struct stream *transport_find_again(struct transport *t, uint64_t id);
uint64_t transport_id_of(const struct transport *t, bool own, uint64_t index);
bool transport_is_own(const struct transport *t, uint64_t id);
/* OV_OK, OV_ENOMEM, OV_EFULL. */
int transport_make(struct transport *t, ov_time now, uint64_t id, struct stream **out);
/* Grants more beyond what came, once it is worth a frame. */
void transport_tune(struct transport *t, ov_time now);
/* Nobody takes the rest of the peer's direction. */
void transport_end_in(struct transport *t, struct stream *s, uint32_t code);
void transport_tell(struct transport *t, struct stream *s, enum stream_event event);
/* Puts it where it belongs: ready, blocked or neither. */
void transport_file(struct transport *t, struct stream *s);
void transport_unfile(struct transport *t, struct stream *s);
void transport_unblock(struct transport *t);
/* The ring may be empty now: is its room worth keeping? */
void transport_keep(struct transport *t, ov_time now, struct byte_ring *r, bool is_empty);
void transport_trim(struct transport *t, ov_time now);
/* The peer hears of it, so that its id is used up. */
void transport_unspare(struct transport *t, struct stream *s);
/* Forgets it, if nothing more can come of it. */
void transport_settle(struct transport *t, struct stream *s);
int transport_on_ack(struct transport *t, ov_time now, const struct ack_frame *f);
ov_time transport_srtt(const struct transport *t);
