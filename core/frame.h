#pragma once
/* frame - what a CONTROL packet carries. One registry: docs/protocol.md 5.
 *
 * A frame is type u8, length u16, body; PADDING is one zero byte without length. An unknown frame
 * with bit 7 set is skipped, one without drops the datagram. Reader and writer of each frame stand
 * side by side in frame.c. */
#include "core/addr.h"
#include "core/bytes.h"
#include "core/identity.h"

enum frame_type {
	FRAME_PADDING = 0,
	FRAME_PATH_CHALLENGE = 1,
	FRAME_PATH_RESPONSE = 2,
	FRAME_PATH_STATUS = 3,
	FRAME_ENDPOINTS = 4,
	FRAME_PUNCH = 5,
	FRAME_TCP_ENDPOINTS = 6,
	FRAME_NUMBER = 8,
	FRAME_ACK = 9,
	FRAME_STREAM = 10,
	FRAME_RESET_STREAM = 11,
	FRAME_STOP_SENDING = 12,
	FRAME_MAX_DATA = 13,
	FRAME_MAX_STREAM_DATA = 14,
	FRAME_MAX_STREAMS = 15,
	FRAME_RELAY_OPEN = 32,
	FRAME_RELAY_OK = 33,
	FRAME_RELAY_NO = 34,
	FRAME_RELAY_IN = 35,
	FRAME_RELAY_CLOSE = 36,
	FRAME_RELAY_OFFER = 37,
	FRAME_REGISTER = 40,
	FRAME_REGISTERED = 41,
	FRAME_FILTER_TEST = 42,
	FRAME_FILTER_ANSWER = 43,
	FRAME_WATCH = 44,
	FRAME_PRESENCE = 45,
	FRAME_PRESENCE_SEEN = 46,
	FRAME_LIFETIME_TEST = 52,
	FRAME_LIFETIME_ANSWER = 53,
	/* reserved, docs/protocol.md 5: 16 to 31 messages, 38 and 39 relay, 47 to 51, 54, 55
	   facilitator, 56 to 63 mailbox */
};

#define PATH_TOKEN_LEN       8
#define PATH_CHALLENGE_MOVED 1 /* flag: my data goes this way now, for my old address is gone */

struct path_challenge { /* is this address reachable both ways, and with datagrams of this size? */
	uint8_t token[PATH_TOKEN_LEN];
	uint8_t flags; /* PATH_CHALLENGE_MOVED or 0; other bits reserved */
};

struct path_response {
	uint8_t token[PATH_TOKEN_LEN];
	struct ov_addr observed; /* where the challenge came from, as the responder saw it */
	uint32_t hold_us;        /* time between receiving the challenge and sending this */
	uint16_t received_size;  /* bytes of the datagram that carried the challenge */
	uint64_t received_count; /* authenticated packets received on this path so far */
};

struct path_status { /* the lower PeerId nominates the path on which this frame travels */
	uint32_t sequence;
};

#define FRAME_ENDPOINTS_MAX     16
#define FRAME_TCP_ENDPOINTS_MAX 4

/* Where the sender may be reached, in its own words: by UDP, or where it takes TCP connections. */
struct endpoints_frame {
	struct ov_addr addr[FRAME_ENDPOINTS_MAX];
	size_t count;
};

#define PUNCH_ANSWER 1 /* flag: I have begun; begin when you read this */

struct punch_frame { /* both send to all endpoints of the other at one time (DCUtR) */
	uint32_t round;
	uint8_t flags;           /* PUNCH_ANSWER or 0: a wish */
	uint8_t side;            /* enum nat_side: how hard the sender is to reach */
	int16_t step;            /* of a sequential NAT's ports; 0: none */
	struct ov_addr external; /* as a facilitator saw the sender last; any: nobody did */
};

#define RELAY_TAG_LEN 8 /* hash of what two peers share: the destination lets this source in */

enum relay_reason { /* why not; a reader treats others as RELAY_AWAY */
	RELAY_REASON_NONE = 0,
	RELAY_REASON_AWAY = 1,   /* it has no session with the relay, or does not let you in */
	RELAY_REASON_DENIED = 2, /* you may not use this relay */
	RELAY_REASON_QUOTA = 3,  /* of channels, tags or bytes */
};

struct relay_open { /* to the relay: carry this datagram, and those that follow, to that peer */
	uint32_t request;
	struct peer_id destination;
	uint8_t tag[RELAY_TAG_LEN];
	const uint8_t *datagram; /* an HS1; borrowed */
	size_t len;
};

struct relay_ok {
	uint32_t request, channel;
	struct ov_addr observed; /* where the relay sees the destination; any: by TCP, or a relay */
};

struct relay_no {
	uint32_t request;
	uint8_t reason; /* enum relay_reason */
};

struct relay_in { /* from the relay: this datagram comes from that peer, as will those by channel */
	uint32_t channel;
	struct peer_id source;
	struct ov_addr observed; /* where the relay sees the source */
	const uint8_t *datagram; /* borrowed */
	size_t len;
};

struct relay_close {
	uint32_t channel;
};

#define RELAY_OFFER_SIGNATURE_LEN 64

struct relay_offer {                /* to a contact: there you can reach me, and this lets you in */
	struct peer_id facilitator; /* the sender itself: it relays for you */
	struct ov_addr endpoint;    /* any: where you know it already */
	uint64_t expires_s;         /* Unix time, of the voucher */
	uint8_t signature[RELAY_OFFER_SIGNATURE_LEN]; /* of the voucher (discovery/voucher.h) */
};

#define REGISTER_TAGS_MAX  128 /* of one frame */
#define REGISTER_PAGES_MAX 8

struct register_frame { /* to a facilitator: I am here; who shows one of these tags may reach me */
	uint32_t request;
	uint8_t page, pages;
	const uint8_t *tags; /* count x RELAY_TAG_LEN, borrowed */
	size_t count;
};

struct registered_frame {
	uint32_t request;
	uint8_t page;
	uint8_t reason; /* enum relay_reason; NONE: registered */
	uint16_t lifetime_s;
	uint16_t second_port;       /* where it listens too, for what NATs do; 0: nowhere */
	struct ov_addr second_addr; /* another address of its, with that port; any: it has none */
};

#define PRESENCE_BYTES (REGISTER_TAGS_MAX / 8)

struct presence_frame { /* from a facilitator: who of a page that we watch is registered with it */
	uint32_t request;  /* of the WATCH */
	uint32_t sequence; /* 0: answer to a WATCH; else a change, to be acknowledged */
	uint8_t page;
	uint8_t reason;               /* enum relay_reason; NONE: it watches */
	uint8_t count;                /* tags of the page */
	uint8_t here[PRESENCE_BYTES]; /* bit i % 8 of byte i / 8: the i-th is here */
};

struct presence_seen {
	uint32_t request, sequence;
};

enum filter_from {           /* the second port in both cases */
	FILTER_FROM_PORT,    /* of the address that is asked */
	FILTER_FROM_ADDRESS, /* of the second address */
};

struct filter_test { /* to a facilitator: answer from there, where I never sent */
	uint32_t token;
	uint8_t from; /* enum filter_from */
};

#define LIFETIME_DELAY_MAX_S 180

struct lifetime_test { /* to a facilitator: answer to where this came from, after so many seconds */
	uint32_t token;
	uint16_t delay_s; /* 0 to LIFETIME_DELAY_MAX_S */
};

struct lifetime_answer {
	uint32_t token;
	struct ov_addr observed; /* where the test came from */
};

/* ---- reliable frames, docs/protocol.md 15 ---- */

struct number_frame { /* this packet shall be acknowledged; first in its packet */
	uint16_t space;
	uint64_t number;
};

#define ACK_RANGES_MAX 32

struct ack_frame {
	uint16_t space;
	uint8_t count;               /* of ranges, at least 1 */
	uint32_t delay_us;           /* since the largest one arrived */
	uint32_t ect0, ce;           /* packets that came so marked in this space, modulo 2^32 */
	struct range {               /* from the highest down, neither adjacent nor overlapping */
		uint64_t first, end; /* end: the first one that is not in it */
	} ranges[ACK_RANGES_MAX];
};

#define STREAM_FIN 1 /* flag: the stream ends with these bytes */

struct stream_frame {
	uint64_t stream, offset;
	uint8_t flags;       /* STREAM_FIN or 0 */
	const uint8_t *data; /* borrowed */
	size_t len;
};

struct reset_frame { /* RFC 9000 19.4 */
	uint64_t stream, final_size;
	uint32_t code;
};

struct stop_frame { /* RFC 9000 19.5 */
	uint64_t stream;
	uint32_t code;
};

struct max_frame { /* MAX_DATA and MAX_STREAMS: stream is 0 and not sent */
	uint64_t stream, max;
};

struct frame {
	uint8_t type;
	union {
		struct path_challenge challenge;
		struct path_response response;
		struct path_status status;
		struct endpoints_frame endpoints;
		struct punch_frame punch;
		struct relay_open relay_open;
		struct relay_ok relay_ok;
		struct relay_no relay_no;
		struct relay_in relay_in;
		struct relay_close relay_close;
		struct relay_offer relay_offer;
		struct register_frame reg; /* and WATCH, with the tags that we would show */
		struct registered_frame registered;
		struct filter_test filter_test; /* and the answer */
		struct lifetime_test lifetime_test;
		struct lifetime_answer lifetime_answer;
		struct presence_frame presence;
		struct presence_seen presence_seen;
		struct number_frame number;
		struct ack_frame ack;
		struct stream_frame stream;
		struct reset_frame reset;
		struct stop_frame stop;
		struct max_frame max;
	} as;
};

void frame_put_challenge(struct wr *w, const struct path_challenge *c);
void frame_put_response(struct wr *w, const struct path_response *p);
void frame_put_status(struct wr *w, const struct path_status *s);
void frame_put_padding(struct wr *w, size_t len);
/* type: ENDPOINTS or TCP_ENDPOINTS */
void frame_put_endpoints(struct wr *w, enum frame_type type, const struct endpoints_frame *e);
void frame_put_punch(struct wr *w, const struct punch_frame *p);
void frame_put_relay_open(struct wr *w, const struct relay_open *o);
void frame_put_relay_ok(struct wr *w, const struct relay_ok *o);
void frame_put_relay_no(struct wr *w, const struct relay_no *o);
void frame_put_relay_in(struct wr *w, const struct relay_in *i);
void frame_put_relay_close(struct wr *w, const struct relay_close *c);
void frame_put_relay_offer(struct wr *w, const struct relay_offer *o);
void frame_put_register(struct wr *w, enum frame_type type, const struct register_frame *f);
void frame_put_presence(struct wr *w, const struct presence_frame *f);
void frame_put_presence_seen(struct wr *w, const struct presence_seen *f);
void frame_put_filter(struct wr *w, enum frame_type type, const struct filter_test *f);
void frame_put_registered(struct wr *w, const struct registered_frame *f);
void frame_put_lifetime_test(struct wr *w, const struct lifetime_test *t);
void frame_put_lifetime_answer(struct wr *w, const struct lifetime_answer *a);

void frame_put_number(struct wr *w, const struct number_frame *f);
void frame_put_ack(struct wr *w, const struct ack_frame *f);
void frame_put_stream(struct wr *w, const struct stream_frame *f);
/* The same without the data, which the caller writes behind it: len bytes, f->data is not read. */
void frame_put_stream_head(struct wr *w, const struct stream_frame *f);
void frame_put_reset(struct wr *w, const struct reset_frame *f);
void frame_put_stop(struct wr *w, const struct stop_frame *f);
/* type: MAX_DATA, MAX_STREAM_DATA or MAX_STREAMS */
void frame_put_max(struct wr *w, enum frame_type type, const struct max_frame *f);
#define FRAME_NUMBER_LEN     (3 + 10) /* as they are sent, STREAM without its data */
#define FRAME_STREAM_FIXED   (3 + 17)
#define FRAME_ACK_LEN(count) (3 + 26 + 8 * ((size_t)(count)-1))
#define FRAME_RESET_LEN      (3 + 20)
#define FRAME_STOP_LEN       (3 + 12)
#define FRAME_MAX_LEN        (3 + 16) /* the longest of the three */

/* Next frame of the plaintext, skipping padding and skippable unknown ones.
 * 1: *out filled; 0: end; OV_EFORMAT: malformed; OV_ENOENT: unknown critical frame. */
OV_MUST_CHECK int frame_next(struct rd *r, struct frame *out);
