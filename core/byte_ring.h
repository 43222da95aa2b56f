#pragma once
/* byte_ring - bytes of a stream by their offset, in a ring that grows with what is in it. When
 * nothing is, its owner decides how long the room is kept. */
#include "core/base.h"

struct byte_ring {
	uint8_t *bytes; /* owned; offset o at o modulo room */
	size_t room;    /* a power of two, or 0 */
	bool is_kept;   /* empty, and counted by its owner */
	bool is_used;   /* since the owner cleared it */
};

#define BYTE_RING_LEAST 512

void byte_ring_fini(struct byte_ring *r);
/* Makes it hold `len` bytes, of which those of [base, end) are kept. False: out of memory; nothing
 * changed. */
OV_MUST_CHECK bool byte_ring_hold(struct byte_ring *r, size_t len, uint64_t base, uint64_t end);
/* The bytes from `offset` on that lie without a break, at most *len; *len becomes how many. */
uint8_t *byte_ring_at(const struct byte_ring *r, uint64_t offset, size_t *len);
void byte_ring_put(struct byte_ring *r, uint64_t offset, const uint8_t *data, size_t len);
void byte_ring_get(const struct byte_ring *r, uint64_t offset, uint8_t *out, size_t len);
bool byte_ring_equals(const struct byte_ring *r, uint64_t offset, const uint8_t *data, size_t len);
