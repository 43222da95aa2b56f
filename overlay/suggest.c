/* Optimal string alignment distance (Damerau 1964, restricted) on three rows. A candidate is near
 * enough when at most a third of the wanted word would have to change, one edit always allowed. */
#include "overlay/suggest.h"

#include <string.h>

#define WORD_MAX 63

static size_t min3(size_t a, size_t b, size_t c)
{
	size_t m = a < b ? a : b;
	return m < c ? m : c;
}

size_t suggest_distance(const char *a, const char *b)
{
	size_t la = strlen(a), lb = strlen(b);
	if (la > WORD_MAX || lb > WORD_MAX)
		return SIZE_MAX;
	size_t rows[3][WORD_MAX + 1];
	for (size_t j = 0; j <= lb; j++)
		rows[0][j] = j;
	for (size_t i = 1; i <= la; i++) {
		size_t *row = rows[i % 3], *above = rows[(i + 2) % 3], *older = rows[(i + 1) % 3];
		row[0] = i;
		for (size_t j = 1; j <= lb; j++) {
			size_t cost = a[i - 1] != b[j - 1];
			row[j] = min3(above[j] + 1, row[j - 1] + 1, above[j - 1] + cost);
			bool swapped =
				i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
			if (swapped && older[j - 2] + 1 < row[j])
				row[j] = older[j - 2] + 1;
		}
	}
	return rows[la % 3][lb];
}

void suggest_init(struct suggest *s, const char *wanted)
{
	*s = (struct suggest){ .wanted = wanted, .distance = SIZE_MAX };
}

void suggest_offer(struct suggest *s, const char *candidate)
{
	size_t allowed = strlen(s->wanted) / 3;
	size_t d = suggest_distance(s->wanted, candidate);
	if (d <= (allowed > 1 ? allowed : 1) && d < s->distance) {
		s->best = candidate;
		s->distance = d;
	}
}
