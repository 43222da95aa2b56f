/* Which counters of one key have been seen. RFC 6479: the bitmap is a ring of words indexed by the
 * counter itself; advancing clears whole words instead of shifting, so accepting costs O(1) and the
 * window moves in steps of a word (which is why one word of the 8192 bits is not usable).
 *
 * Invariant: a bit of the ring is meaningful only for counters in [highest - REPLAY_WINDOW,
 * highest); everything left of that is refused, everything right of it is fresh. */
#include "core/replay.h"

#include <string.h>

#define WORDS (REPLAY_BITS / 64)

static_assert((WORDS & (WORDS - 1)) == 0, "the ring is indexed by masking");

static uint64_t *word_of(struct replay *w, uint64_t counter)
{
	return &w->bits[counter / 64 % WORDS];
}

void replay_init(struct replay *w)
{
	memset(w, 0, sizeof(*w));
}

bool replay_is_fresh(const struct replay *w, uint64_t counter)
{
	if (counter == UINT64_MAX) /* no honest sender gets there; counter + 1 would wrap */
		return false;
	if (counter >= w->highest)
		return true;
	if (w->highest - counter > REPLAY_WINDOW)
		return false;
	return !(w->bits[counter / 64 % WORDS] >> (counter % 64) & 1);
}

bool replay_accept(struct replay *w, uint64_t counter)
{
	if (!replay_is_fresh(w, counter))
		return false;
	if (counter >= w->highest) {
		/* Words right of the one that held the highest until now belong to the lap before.
		 */
		uint64_t old = w->highest ? (w->highest - 1) / 64 : 0;
		uint64_t steps = counter / 64 - old;
		for (uint64_t i = 1; i <= steps && i <= WORDS; i++)
			w->bits[(old + i) % WORDS] = 0;
		w->highest = counter + 1;
	}
	*word_of(w, counter) |= (uint64_t)1 << (counter % 64);
	return true;
}

bool replay_is_highest(const struct replay *w, uint64_t counter)
{
	return w->highest != 0 && counter == w->highest - 1;
}
