#include "tests/sim/extra.h"

#include <string.h>

#define FIRST 32768u
#define PORTS 28000u

bool extra_has(const struct extra *e, uint16_t port)
{
	for (size_t i = 0; i < e->count; i++)
		if (e->ports[i] == port)
			return true;
	return false;
}

const uint16_t *extra_open(struct extra *e, size_t count, size_t *opened)
{
	extra_settle(e, 0);
	for (*opened = 0; *opened < count && *opened < EXTRA_BURST; (*opened)++)
		e->ports[e->count++] = (uint16_t)(FIRST + e->dealt++ % PORTS);
	return e->ports + e->kept;
}

void extra_settle(struct extra *e, uint16_t keep)
{
	e->count = e->kept;
	if (keep == 0)
		return;
	if (e->kept == EXTRA_KEPT)
		memmove(e->ports, e->ports + 1, --e->kept * sizeof(e->ports[0]));
	e->ports[e->kept++] = keep;
	e->count = e->kept;
}
