#pragma once
/* received - what came in one packet number space, and when to say so (RFC 9000 13.2). The session
 * has dropped copies already, so this set serves ACKs alone: when it has too many ranges the lowest
 * are forgotten, and their packets sent again for nothing at worst. */
#include "core/ecn.h"
#include "core/ranges.h"

struct received {
	struct ranges numbers;
	uint64_t largest;
	ov_time largest_at; /* when it came */
	ov_time ack_at;     /* an ACK is due; OV_NEVER: none is owed */
	uint32_t ect0, ce;
	uint16_t space;
	uint8_t unacknowledged; /* packets since the last ACK, up to 255 */
};

void received_init(struct received *r, uint16_t space);
void received_fini(struct received *r);
/* An ACK may be held back for `delay`. OV_ENOMEM: it did not come. */
OV_MUST_CHECK int received_add(
	struct received *r, ov_time now, uint64_t number, enum ecn ecn, ov_time delay);
/* Is an ACK due at `now`? */
bool received_wants_ack(const struct received *r, ov_time now);
/* The ACK, as far as `max` ranges say it (at least 1); then none is owed. */
void received_ack(struct received *r, ov_time now, size_t max, struct ack_frame *out);
