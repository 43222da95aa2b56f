#pragma once
/* suggest - the nearest of several known words, for "did you mean ...?". Pure. */
#include "core/base.h"

/* Edits (insert, remove, replace, swap of neighbours) between two words; words longer than 63
 * characters are taken as wholly different. */
size_t suggest_distance(const char *a, const char *b);

struct suggest { /* feed it all candidates, then read best */
	const char *wanted;
	const char *best; /* borrowed from the caller; NULL: nothing is near enough */
	size_t distance;
};
void suggest_init(struct suggest *s, const char *wanted);
void suggest_offer(struct suggest *s, const char *candidate);
