#pragma once
/* notice - "this is me, by this name", said openly to a whole network segment while the owner wants
 * to be found (docs/protocol.md 11.2). Signed, so that nobody gives a key another name or port; an
 * old one may be said again by anybody of the segment, so it is a hint where to call, no more.
 * Contacts need none: they understand beacons (discovery/beacon.h). */
#include "core/drop.h"
#include "core/identity.h"
#include "core/packet.h"

#define NOTICE_NAME_MAX 64 /* with NUL */
#define NOTICE_FLAG     1  /* of the header of a beacon */
#define NOTICE_LEN      (HEADER_LEN + 4 + PEER_ID_LEN + NOTICE_NAME_MAX + 64)

struct notice {
	struct peer_id id;
	uint16_t port;              /* where it takes HS1, not 0 */
	char name[NOTICE_NAME_MAX]; /* notice_name_ok */
};

/* Letters, digits, '-', '_', '.', first a letter or digit: nothing that a terminal or a shell takes
 * for something else. "": none. */
bool notice_name_ok(const char *name);

/* id is self's. */
void notice_encode(uint8_t out[NOTICE_LEN], const struct notice *n, const struct identity *self);
/* Is it a notice and no beacon, as far as the header says? */
bool notice_is(const uint8_t *data, size_t len);
/* DROP_NONE, or why it is none. The signature is not checked yet. */
enum drop notice_decode(struct notice *out, const uint8_t *data, size_t len);
bool notice_is_signed(const struct notice *n, const uint8_t data[NOTICE_LEN]);
