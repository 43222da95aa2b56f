#pragma once
/* path - one way to a peer: (carrier, local address, interface, remote address) and what we
 * measured on it. Validation by challenge and response (RFC 9000 8.2), 3x rule (8.1), liveness,
 * keepalive, PMTU. Knows nothing of keys or sockets: it says which frames want to be sent
 * (path_poll) and is told of facts (path_on_...). docs/protocol.md 7. */
#include "core/dgram.h"
#include "core/frame.h"
#include "core/limit.h"
#include "core/pmtu.h"
#include "core/rng.h"
#include "core/rtt.h"

#define PATH_CHALLENGES    4  /* outstanding at once */
#define PATH_TRIES         3  /* unanswered challenges until a path is suspect, or given up */
#define PATH_PROBES        9  /* packets to an address from which nothing ever came */
#define PATH_CONTROL_MAX   96 /* CONTROL with response, challenge and status is shorter */
#define PATH_FIRST_TIMEOUT (200 * OV_MS) /* no RTT known */
#define PATH_HEAR_FLOOR    (400 * OV_MS) /* design 4, liveness: max(4 SRTT, 400 ms) */
#define PATH_ACK_FLOOR                                                                            \
	(200 * OV_MS)                 /* receiver of data speaks at least every max(SRTT, 200 ms) \
				       */
#define PATH_GONE_AFTER (15 * OV_SEC) /* suspect for so long: removed */
#define PATH_KEEPALIVE \
	(25 * OV_SEC) /* of a NAT that nobody measured; RFC 4787 REQ-5, docs/nat.md 2.1 */

enum path_state {
	PATH_UNTRIED, /* address known, nothing sent. No data. */
	PATH_PROBING, /* challenge outstanding; data only within the 3x budget, and only if it is
			 the active path */
	PATH_VALID,   /* challenge answered; eligible for data */
	PATH_SUSPECT, /* was valid; PATH_TRIES challenges unanswered. Used only if nothing better
			 exists */
};
const char *path_state_name(enum path_state s);

struct path_probe { /* an outstanding challenge */
	uint8_t token[PATH_TOKEN_LEN];
	ov_time sent_at;
	uint16_t size;            /* of the datagram */
	uint32_t status_sequence; /* of the PATH_STATUS that went with it; 0: none */
	bool is_pmtu, used;
	bool moved; /* said so */
};

struct path {
	uint64_t key; /* names it among all of its owner's; set by that */
	uint8_t state, carrier;
	bool validated;     /* remote address answered a challenge: 3x limit lifted */
	bool natted;        /* the peer observes another address than our local one */
	bool status_due;    /* PATH_STATUS rides on the next challenge until one is answered */
	bool challenge_due; /* send one with the next poll */
	bool response_due;
	uint8_t unanswered; /* consecutive challenges without answer */
	bool refused;       /* our kernel would not send there, and nothing was heard since */
	bool stray;         /* its interface has no default route any more, and the remote is far */
	bool moved; /* questions say that our data goes this way now, until one is answered */
	uint8_t keepalives; /* sent since the last question */
	uint8_t next_probe; /* slot in probes */
	uint32_t interface;
	uint32_t status_sequence;
	struct ov_addr local, remote, observed;

	uint64_t sent_bytes, received_bytes, received_count, sent_count;
	uint64_t asked_bytes; /* sent before anything came: first questions, bounded by PATH_PROBES
			       */
	uint32_t challenges_sent, challenges_lost;
	struct rtt rtt;
	struct pmtu pmtu;
	struct path_probe probes[PATH_CHALLENGES];
	struct limit responses;

	ov_time created_at;
	ov_time probing_since;   /* first challenge */
	ov_time heard_at;        /* last authenticated datagram; OV_NEVER: never */
	ov_time sent_at;         /* last datagram sent; OV_NEVER: never */
	ov_time unheard_since;   /* first data sent after which nothing was heard; OV_NEVER: none */
	ov_time retry_at;        /* challenge unanswered until then: ask again */
	ov_time ack_by;          /* we received data and must say something by then */
	ov_time keepalive_at;    /* OV_NEVER: silent when idle */
	ov_time keepalive_every; /* while it is kept warm */
	ov_time suspect_at;      /* since when suspect */
	bool for_checks;         /* a facilitator's second port: never carries data */
	ov_time demoted_until;   /* peer's data coming from here does not move ours until then
				    (on-path forwarder) */

	struct path_response response; /* filled while response_due */
	ov_time challenge_received_at;
};

/* Begins the search of its PMTU anew, with this maximum. */
void path_measure(struct path *p, ov_time now, uint16_t datagram_max);
void path_init(struct path *p, ov_time now, const struct dgram *where, uint16_t datagram_max);
/* Bytes that may be sent before the remote address has answered (RFC 9000 8.1); SIZE_MAX once
 * validated. */
size_t path_budget(const struct path *p);
/* Is there budget for a CONTROL packet? Our own first questions to a candidate come before any byte
 * from it. */
bool path_may_speak(const struct path *p);
bool path_may_carry_data(const struct path *p); /* PROBING, VALID or SUSPECT */
/* Has the sender of data heard nothing for max(4 SRTT, 400 ms)? Then data also goes elsewhere. */
bool path_is_doubtful(const struct path *p, ov_time now);
uint16_t path_mtu(const struct path *p);

/* Ask (again) whether the path works: at start, after a change of network, on demand. */
void path_challenge(struct path *p, ov_time now);
/* The same, unless a question is out already: its answer will do. For what may be wanted often, as
 * a ping: it must neither hide a dead path nor use up the slots of a long one. */
void path_ask(struct path *p, ov_time now);
/* A path that is here because something arrived by it need not be asked: what arrived was the
 * answer to a question on another path, so the peer is reached there (RFC 9000 8.2.3). If data
 * comes by it, it is asked. No effect once it was asked. */
void path_withdraw(struct path *p);
/* Answers to earlier questions no longer count (PMTU probes do). */
void path_forget_challenges(struct path *p);
/* Keep the NAT binding open from now on by speaking so often, or (0) be silent when idle. */
void path_keep_warm(struct path *p, ov_time now, ov_time every);
/* Nothing was sent for so long on a path to be kept warm. */
bool path_keepalive_is_due(const struct path *p, ov_time now);

/* ---- facts ---- */
/* `bytes` in all; largest_data: the longest datagram of them that carried data, 0 if none did. */
void path_on_sent(struct path *p, ov_time now, size_t bytes, uint16_t largest_data);
/* A handshake message of so many bytes went to the remote: it counts in the 3x budget, and as a
 * keepalive when one is due, but says nothing to the peer: only sealed packets are heard. */
void path_on_handshake_sent(struct path *p, ov_time now, size_t bytes);
void path_on_received(struct path *p, ov_time now, size_t bytes, size_t count, bool data);
/* waited: since it arrived, so that the RTT is the network's alone; counts in hold_us. */
void path_on_challenge(struct path *p, ov_time now, const struct path_challenge *c,
	size_t datagram_size, ov_time waited);
/* Is an answer to this token awaited here? */
bool path_has_asked(const struct path *p, const uint8_t token[PATH_TOKEN_LEN]);
enum path_answer { PATH_ANSWER_UNKNOWN, PATH_ANSWER_OK, PATH_ANSWER_VALIDATED };
/* UNKNOWN: nobody waits for this token (DROP_TOKEN). VALIDATED: the path became valid with this
 * answer. *rtt_sample is set. */
enum path_answer path_on_response(struct path *p, ov_time now, const struct path_response *r,
	ov_time waited, ov_time *rtt_sample);

/* ---- time ---- */
enum path_verdict { PATH_OK, PATH_BECAME_SUSPECT, PATH_GONE };
enum path_verdict path_tick(struct path *p, ov_time now);
ov_time path_deadline(const struct path *p);
/* Writes the frames of the next CONTROL packet. False: nothing wants to be sent. *pad_to: length of
 * the whole datagram, 0: as is. An empty CONTROL (nothing written, true) says "I hear you". */
bool path_poll(struct path *p, ov_time now, const struct rng *rng, struct wr *w, uint16_t *pad_to);
