#pragma once
/* congestion - how much may be under way on a path: CUBIC (RFC 9438) with HyStart++ (RFC 9406) in
 * place of plain slow start, that takes a standing queue for congestion as well as loss. In bytes;
 * a segment is the path's datagram. */
#include "core/rtt.h"
#include "core/standing_queue.h"

enum congestion_phase { CONGESTION_SLOW_START, CONGESTION_CONSERVATIVE, CONGESTION_AVOIDANCE };

struct hystart {             /* RFC 9406 4.2, names as there */
	uint64_t window_end; /* packet number that ends this round */
	uint8_t css_rounds;
};

struct congestion {
	uint64_t window; /* bytes that may be under way */
	uint64_t slow_start_threshold;
	ov_time recovery_since; /* what was sent until then does not count again; -1: never */
	uint32_t segment;       /* bytes */
	uint8_t phase;          /* enum congestion_phase */
	struct hystart hystart;
	struct standing_queue queue;
	uint64_t kept_window; /* before delay reduced it */
	/* CUBIC, in segments as RFC 9438 has them */
	double max, estimate, prior, k;
	ov_time epoch_at;      /* OV_NEVER: begins with the next ACK */
	ov_time limited_since; /* the window is not what holds us back; OV_NEVER: it is */
};

struct congestion_ack {
	uint64_t bytes;         /* newly acknowledged */
	uint64_t largest, next; /* packet numbers: of this ACK, and the next one to be sent */
	ov_time largest_sent_at, rtt, smoothed; /* rtt: the sample of this ACK; 0: none */
	bool app_limited; /* the window was not what held it back (RFC 9002 7.8) */
};

/* segment: bytes of a full datagram. The initial window is RFC 9002's. */
void congestion_init(struct congestion *c, uint32_t segment);
/* The least RTT of the path, as others know it. */
void congestion_set_floor(struct congestion *c, ov_time rtt);
/* The datagrams grew or shrank (PMTU). */
void congestion_set_segment(struct congestion *c, uint32_t segment);
void congestion_on_ack(struct congestion *c, ov_time now, const struct congestion_ack *a);
/* Something sent at `sent_at` is lost: at most one reduction for each round trip. persistent: RFC
 * 9002 7.6. */
void congestion_on_loss(struct congestion *c, ov_time now, ov_time sent_at, bool persistent);
/* Something sent at `sent_at` came marked CE (RFC 9002 7.1): the same, by RFC 8511's factor. */
void congestion_on_mark(struct congestion *c, ov_time now, ov_time sent_at);
bool congestion_allows(const struct congestion *c, uint64_t in_flight, size_t bytes);
