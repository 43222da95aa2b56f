#pragma once
/* recovery - one packet number space: what is under way, what arrived, what is lost (RFC 9002 5, 6
 * and 7.6.2). There is one for each path that reliable packets take, for each has an RTT of its
 * own.
 *
 * Every packet of a space wants an ACK. What is `first` and below is settled; loss detection
 * settles all but a few below the largest one acknowledged, so both walks below are short. */
#include "core/frame.h"
#include "core/rtt.h"

#define SENT_CHUNKS 4

enum sent_kind { SENT_DATA, SENT_RESET, SENT_STOP, SENT_MAX_STREAM_DATA };

struct sent_chunk { /* of one stream */
	uint64_t stream;
	uint64_t offset; /* MAX_STREAM_DATA: the limit */
	uint16_t len;
	uint8_t kind; /* enum sent_kind */
	bool fin;     /* DATA: and its end */
};

#define SENT_MAX_DATA    1
#define SENT_MAX_STREAMS 2

enum sent_state { SENT_UNDER_WAY, SENT_ACKED, SENT_LOST };

struct sent_packet {
	ov_time sent_at;
	uint16_t bytes; /* of the datagram */
	uint8_t state;  /* enum sent_state */
	uint8_t count;
	uint8_t of_all;   /* SENT_MAX_DATA, SENT_MAX_STREAMS: frames of no stream */
	bool app_limited; /* there was room for more than this */
	bool marked;      /* ECT(0) */
	struct sent_chunk chunks[SENT_CHUNKS];
};

struct recovery {
	uint64_t first, next;   /* numbers: all below first are settled, next is the next to send */
	uint64_t largest_acked; /* valid if has_acked */
	struct sent_packet *sent; /* owned; number n at n modulo room, a power of two */
	size_t room;
	uint64_t in_flight; /* bytes under way */
	struct rtt rtt;
	ov_time latest_rtt, first_sample_at;
	ov_time loss_at;     /* something under way is lost then; OV_NEVER */
	ov_time sent_at;     /* the last packet */
	ov_time works_since; /* sent time of the first packet that arrived; OV_NEVER: none did */
	ov_time resumed_at;  /* what was sent before tells no RTT: nobody listened in between */
	uint8_t pto_count;
	bool has_acked;
	bool is_left; /* recovery_leave */
	uint16_t space;
};

/* rtt: what the path knows already; smoothed 0: nothing. */
void recovery_init(struct recovery *r, uint16_t space, const struct rtt *rtt);
void recovery_fini(struct recovery *r);
/* Nothing is under way: gives the memory for it back, up to 15 MB after a fast transfer. */
void recovery_trim(struct recovery *r);
/* A packet with the number r->next goes out: its record, cleared, for the caller to fill in what it
 * carries. NULL: out of memory, or `max` are under way already. */
struct sent_packet *recovery_send(struct recovery *r, ov_time now, uint16_t bytes, size_t max);

/* Nothing could come for a while. */
void recovery_resume(struct recovery *r, ov_time now);

struct acked {                   /* what one ACK said that was new */
	uint64_t bytes, marked;  /* marked: packets */
	ov_time largest_sent_at; /* of the newest; -1: nothing is new */
	bool app_limited;        /* all of it */
	bool is_sample;          /* the RTT was measured */
	bool is_largest;         /* a larger one than ever */
	uint64_t next_number;    /* of the walk */
	size_t range;
};
/* An ACK begins. OV_EFORMAT: it names what was never sent; nothing changed. */
OV_MUST_CHECK int recovery_begin_ack(
	struct recovery *r, const struct ack_frame *f, struct acked *walk);
/* The next packet that it settles, NULL at the end. Valid until the next call of this module. */
const struct sent_packet *recovery_next_acked(
	struct recovery *r, const struct ack_frame *f, struct acked *walk);
/* All were taken: RTT and timers. */
void recovery_end_ack(
	struct recovery *r, ov_time now, const struct ack_frame *f, struct acked *walk);

struct loss {                   /* one look at what is lost */
	uint64_t bytes, marked; /* marked: packets */
	ov_time newest_sent_at; /* of the lost ones */
	bool persistent;        /* RFC 9002 7.6: nothing came through for too long */
	bool all;               /* the path is gone: whatever is under way */
	ov_time before;         /* sent until then is lost, by time */
	ov_time run_since;
	uint64_t next_number;
};
struct loss recovery_loss(struct recovery *r, ov_time now);
/* The path is gone: whatever is under way is lost, but an ACK that still comes, by another path,
 * settles it. */
struct loss recovery_leave(struct recovery *r);
const struct sent_packet *recovery_next_lost(struct recovery *r, struct loss *walk);

/* When to look for losses, or to probe; OV_NEVER: nothing is under way. */
ov_time recovery_deadline(const struct recovery *r);
/* Is it a probe that is due at `now`, and not a look for losses? Then it counts as sent (RFC 9002
 * 6.2.4), and the oldest packets under way are what it should repeat. */
bool recovery_wants_probe(struct recovery *r, ov_time now);
/* The i-th oldest that is under way; NULL: there are fewer. */
const struct sent_packet *recovery_oldest(const struct recovery *r, size_t i);
ov_time recovery_pto(const struct recovery *r); /* without backoff */
