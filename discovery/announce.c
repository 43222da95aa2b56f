/* Counting who speaks: each says it once in ANNOUNCE_EVERY, so the beacons of one period are about
 * the senders. n of them shall not make more than one beacon a second in all. */
#include "discovery/announce.h"

#define JITTER_PERCENT 20

static const ov_time first_gaps[] = { OV_SEC, 2 * OV_SEC };

void announce_hurry(struct announce *a, ov_time now)
{
	a->at = now;
	a->hurried = 0;
}

void announce_heard(struct announce *a, ov_time now)
{
	if (now - a->heard_at >= ANNOUNCE_EVERY) {
		bool next = now - a->heard_at < 2 * ANNOUNCE_EVERY;
		a->heard_before = next ? a->heard : 0;
		a->heard = 0;
		a->heard_at = now;
	}
	if (a->heard < UINT32_MAX)
		a->heard++;
}

/* Not more often than one a second for each that speaks; who was heard long ago does not. */
ov_time announce_interval(const struct announce *a, ov_time now)
{
	uint32_t speakers = a->heard > a->heard_before ? a->heard : a->heard_before;
	if (now - a->heard_at >= 2 * ANNOUNCE_EVERY)
		speakers = 0;
	return ov_max(ANNOUNCE_EVERY, (ov_time)speakers * OV_SEC);
}

void announce_done(struct announce *a, ov_time now, const struct rng *rng)
{
	if (a->hurried < sizeof(first_gaps) / sizeof(first_gaps[0]))
		a->at = now + first_gaps[a->hurried++];
	else
		a->at = now + rng_jitter(rng, announce_interval(a, now), JITTER_PERCENT);
}

size_t announce_turn(struct announce *a, size_t total, size_t most, size_t *count)
{
	size_t first = total ? a->turn % total : 0;
	*count = total < most ? total : most;
	a->turn = total ? (first + *count) % total : 0;
	return first;
}
