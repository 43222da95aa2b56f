#pragma once
/* ranges - a set of 64-bit numbers as ranges in ascending order: packet numbers that came, bytes of
 * a stream that are here or were acknowledged (RFC 9000 13.2.3 for the former). Bounded: a peer
 * that leaves a gap after each number costs `max` ranges and no more. */
#include "core/frame.h"

struct ranges {
	struct range *list; /* owned; neither empty, adjacent nor overlapping */
	size_t count, room;
};

void ranges_fini(struct ranges *r);
/* Adds [first, end); end > first. OV_EFULL: it would be range max + 1, nothing changed; OV_ENOMEM.
 * Costs the search for its place, by halves, and what moves. */
OV_MUST_CHECK int ranges_add(struct ranges *r, uint64_t first, uint64_t end, size_t max);
/* Removes what is below `limit`. */
void ranges_forget_below(struct ranges *r, uint64_t limit);
/* Removes [first, end); it may split one. OV_ENOMEM: nothing changed. */
OV_MUST_CHECK int ranges_remove(struct ranges *r, uint64_t first, uint64_t end);
/* Index of the first range that ends at or above `number`; count: none does. */
size_t ranges_place(const struct ranges *r, uint64_t number);
bool ranges_has(const struct ranges *r, uint64_t number);
/* Is all of [first, end) in it? */
bool ranges_cover(const struct ranges *r, uint64_t first, uint64_t end);
