#pragma once
/* tcp_gate - who may have a TCP connection, and for how long: bounds against garbage, half-open
 * floods and silence, without a socket (docs/protocol.md 13.5). The edge embeds an entry in each
 * connection and closes what it is told to. */
#include "core/limit.h"

#define TCP_GREETING_WITHIN (5 * OV_SEC) /* design 4: HS1 within 5 s, and our answer to it */
#define TCP_CONNECT_WITHIN  (10 * OV_SEC)
#define TCP_IDLE            (120 * OV_SEC) /* the client's keepalive comes every 25 s */
#define TCP_HALF_OPEN_MAX   256
#define TCP_HALF_OPEN_EACH  16  /* of one source (v4 /32, v6 /64) */
#define TCP_EACH            256 /* connections of one source: an office behind one address */

struct tcp_counters {
	uint64_t accepted;  /* let in, so far without a greeting */
	uint64_t dialled;   /* attempts of ours */
	uint64_t failed;    /* of them: refused, unreachable, no answer */
	uint64_t refused;   /* not let in: too many, too fast */
	uint64_t silent;    /* no greeting that we answer within 5 s, or pushed out by newer ones */
	uint64_t malformed; /* what came is no datagram, or the first one no HS1 */
	uint64_t foreign;   /* of ours: what answers there speaks something else */
	uint64_t idle;      /* nothing came for 120 s */
	uint64_t lost;      /* datagrams: the other end reads too slowly */
	uint64_t connections, half_open; /* now */
};

struct tcp_entry { /* of one connection */
	struct tcp_entry *next, *before;
	struct ov_addr remote;
	ov_time since, heard_at;
	bool ours;     /* we connect */
	bool answered; /* ours: it stands; else the node sent something there */
};

struct tcp_gate {
	struct tcp_entry *oldest, *newest;
	size_t max; /* connections in all */
	struct source_limits *rates;
	struct tcp_counters counters;
};

/* max: connections at one time. OV_OK or OV_ENOMEM. */
OV_MUST_CHECK int tcp_gate_init(struct tcp_gate *g, size_t max, const struct rng *rng);
void tcp_gate_fini(struct tcp_gate *g);
/* A connection came from there: may it stay? False counts as refused. At the bound of half-open
 * ones it may, if *evict (else NULL) is closed: the oldest of them, since it had its time. */
bool tcp_gate_admits(
	struct tcp_gate *g, ov_time now, const struct ov_addr *remote, struct tcp_entry **evict);
bool tcp_gate_may_dial(const struct tcp_gate *g);
void tcp_gate_add(struct tcp_gate *g, ov_time now, struct tcp_entry *e,
	const struct ov_addr *remote, bool ours);
void tcp_gate_remove(struct tcp_gate *g, struct tcp_entry *e);
void tcp_gate_answered(struct tcp_gate *g, struct tcp_entry *e);
/* One whose time is over, or NULL. It is counted here; the caller closes and removes it. */
struct tcp_entry *tcp_gate_expired(struct tcp_gate *g, ov_time now);
/* How long until the next look is worth it; OV_NEVER: there are none. */
ov_time tcp_gate_pause(const struct tcp_gate *g);
/* Can a stream that begins so (with its first length) still become a greeting? */
bool tcp_gate_may_greet(const uint8_t *stream, size_t len);
/* Can what begins so be the answer of an overlayd? No web server's is: the first two letters of
 * "HTTP" are no length, and the version of a TLS record is no type. */
bool tcp_gate_may_answer(const uint8_t *stream, size_t len);
