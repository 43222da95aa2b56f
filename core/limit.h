#pragma once
/* limit - rates without timers: GCRA (ITU-T I.371), and a bounded table of them by source prefix
 * (v4 /32, v6 /64). */
#include "core/addr.h"
#include "core/rng.h"

struct limit {             /* one bucket: 16 bytes, no clock */
	ov_time full_at;   /* "theoretical arrival time" */
	uint32_t fraction; /* and this many 1/per_second of a nanosecond: no rate drifts */
};

/* True and takes `cost` tokens if the bucket has them; per_second >= 1, burst >= cost >= 0, now >=
 * 0. Zeroed memory is a full bucket. False leaves the bucket as it was. */
bool limit_take(struct limit *l, ov_time now, uint32_t per_second, uint32_t burst, uint32_t cost);
/* Would take succeed? */
bool limit_has(
	const struct limit *l, ov_time now, uint32_t per_second, uint32_t burst, uint32_t cost);

struct source_limits; /* set-associative table; an unknown source evicts the entry that is fullest
			 (least recently limited) in its set */
/* `entries` is rounded up to a power of two, at least 8. NULL: out of memory. */
struct source_limits *source_limits_new(size_t entries, const struct rng *rng);
void source_limits_free(struct source_limits *s);
bool source_limits_take(struct source_limits *s, ov_time now, const struct ov_addr *from,
	uint32_t per_second, uint32_t burst);
