#pragma once
/* frame - what a CONTROL packet carries. One registry: docs/protocol.md 5.
 *
 * A frame is type u8, length u16, body; PADDING is one zero byte without length. An unknown frame
 * with bit 7 set is skipped, one without drops the datagram. Reader and writer of each frame stand
 * side by side in frame.c. */
#include "core/addr.h"
#include "core/bytes.h"

enum frame_type {
	FRAME_PADDING = 0,
	FRAME_PATH_CHALLENGE = 1,
	FRAME_PATH_RESPONSE = 2,
	FRAME_PATH_STATUS = 3,
	/* reserved, docs/protocol.md 5: 8 to 31 reliable frames, 32 to 39 relay, 40 to 55
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

struct frame {
	uint8_t type;
	union {
		struct path_challenge challenge;
		struct path_response response;
		struct path_status status;
	} as;
};

void frame_put_challenge(struct wr *w, const struct path_challenge *c);
void frame_put_response(struct wr *w, const struct path_response *p);
void frame_put_status(struct wr *w, const struct path_status *s);
void frame_put_padding(struct wr *w, size_t len);

/* Next frame of the plaintext, skipping padding and skippable unknown ones.
 * 1: *out filled; 0: end; OV_EFORMAT: malformed; OV_ENOENT: unknown critical frame. */
OV_MUST_CHECK int frame_next(struct rd *r, struct frame *out);
