#pragma once
/* beacon - "I am here", said to a whole network segment so that only contacts understand it
 * (docs/protocol.md 11). It names nobody: for each contact it carries 8 bytes of a hash keyed with
 * what only the two share, over a nonce of this beacon. An observer sees neither who sends nor whom
 * it knows, and cannot link two beacons of one sender. Nothing answers it but a handshake. */
#include "core/drop.h"
#include "core/packet.h"
#include "core/rng.h"

#define BEACON_NONCE_LEN 16
#define BEACON_TAG_LEN   8
#define BEACON_TAGS      64 /* of one beacon; more contacts take turns */
#define BEACON_FIXED     (HEADER_LEN + BEACON_NONCE_LEN + 4)
#define BEACON_MAX       (BEACON_FIXED + BEACON_TAGS * BEACON_TAG_LEN)

/* What two contacts share: hash("OVL pair", DH(s, rs)). */
void beacon_pair_key(uint8_t out[32], const uint8_t static_dh[32]);

struct beacon_reader { /* a contact that shall understand it */
	const uint8_t *pair_key;
	bool we_are_lower; /* our PeerId is the lower one: each direction has tags of its own */
};

/* Writes a beacon for `count` contacts (at most BEACON_TAGS) in random order, filled up with random
 * tags to a power of two, so that the number of contacts is not told. port: where we take HS1.
 * Returns its length. */
size_t beacon_encode(uint8_t out[BEACON_MAX], uint16_t port, const struct beacon_reader *readers,
	size_t count, const struct rng *rng);

struct beacon {
	const uint8_t *nonce, *tags; /* borrowed from the datagram */
	uint16_t port;               /* not 0 */
	size_t count;                /* a power of two, at most BEACON_TAGS */
};

/* DROP_NONE, or why it is none: DROP_SHORT, DROP_OVERSIZED, DROP_HEADER, DROP_TYPE, DROP_FORMAT. */
enum drop beacon_decode(struct beacon *out, const uint8_t *data, size_t len);
/* Is it from the contact with this key? we_are_lower as seen by the reader. */
bool beacon_is_from(const struct beacon *b, const uint8_t pair_key[32], bool we_are_lower);
