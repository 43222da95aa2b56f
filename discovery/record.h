#pragma once
/* record - where a peer is, in its own words: signed by its PeerId, so that a facilitator can hand
 * it on but neither make nor change it (docs/protocol.md 12; the shape is BEP 44's: key, sequence,
 * signature). What it says is still the peer's claim: every address in it is checked before use. */
#include "core/addr.h"
#include "core/identity.h"

#define RECORD_ENDPOINTS 16
#define RECORD_RELAYS    4
#define RECORD_BODY_MAX  800
#define RECORD_FIXED     60
#define RECORD_MAX       (RECORD_FIXED + RECORD_BODY_MAX + 64)
#define RECORD_TTL_MAX_S 7200

enum record_endpoint_kind {
	RECORD_HOST = 1,     /* an address of an interface */
	RECORD_OBSERVED = 2, /* as others saw it */
	RECORD_PORTMAP = 3,  /* a router's mapping */
	RECORD_TCP = 4,      /* a TCP port that takes us */
};

struct record_endpoint {
	uint8_t kind; /* others are skipped: a later version knows them */
	struct ov_addr addr;
};

struct record {
	struct peer_id owner;
	uint64_t seq;          /* a higher one replaces it; kept on disk by the owner */
	uint64_t not_before_s; /* Unix time */
	uint32_t ttl_s;        /* at most RECORD_TTL_MAX_S */
	uint32_t capabilities;
	struct record_endpoint endpoints[RECORD_ENDPOINTS];
	size_t endpoint_count;
	struct peer_id relays[RECORD_RELAYS];
	size_t relay_count;
};

/* Signs r as self (r->owner is set by it). Returns the length, at most RECORD_MAX. */
size_t record_encode(struct record *r, const struct identity *self, uint8_t out[RECORD_MAX]);
/* OV_OK; OV_EFORMAT: no record, or one with an address that cannot be a peer's (ADDR_UNUSABLE,
 * loopback, port 0), too many of something, a ttl too long; OV_EAUTH: wrong signature, or a PeerId
 * that does not convert. *out is set only with OV_OK. */
OV_MUST_CHECK int record_decode(struct record *out, const uint8_t *data, size_t len);

/* Has it expired at this wall-clock time? Who does not trust the clock does not ask: seq decides.
 */
bool record_expired(const struct record *r, uint64_t wall_s);
enum record_order { RECORD_OLDER, RECORD_SAME, RECORD_NEWER };
/* `fresh` against the one we have, of the same owner. */
enum record_order record_compare(const struct record *fresh, const struct record *have);
