#pragma once
/* replay - the sliding window of RFC 6479 over 64-bit counters: 8192 bits in 64-bit words, 8128
 * usable. */
#include "core/base.h"

#define REPLAY_BITS   8192
#define REPLAY_WINDOW (REPLAY_BITS - 64)

struct replay {
	uint64_t highest; /* highest accepted + 1; 0: none yet */
	uint64_t bits[REPLAY_BITS / 64];
};

void replay_init(struct replay *w);
/* Would `counter` be accepted? (before the AEAD: cheap refusal of old copies) */
bool replay_is_fresh(const struct replay *w, uint64_t counter);
/* Marks it; only after the AEAD verified. False: seen or left of the window. */
bool replay_accept(struct replay *w, uint64_t counter);
/* Is it the highest so far (after accept)? Only such packets may start roaming. */
bool replay_is_highest(const struct replay *w, uint64_t counter);
