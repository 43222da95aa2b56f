#pragma once
/* extra - the sockets that a node asks its edge for while it guesses (overlay/ports_uv.h), as the
 * host of the simulator has them. */
#include "core/addr.h"

#include <stdbool.h>
#include <stddef.h>

#define EXTRA_BURST 256
#define EXTRA_KEPT  8

struct extra {
	uint16_t ports[EXTRA_KEPT + EXTRA_BURST]; /* the kept first, oldest first */
	size_t kept, count;
	uint32_t dealt; /* the kernel of this machine deals one port after the other */
};

bool extra_has(const struct extra *e, uint16_t port);
/* Those of the burst before are closed. Gives the new ones. */
const uint16_t *extra_open(struct extra *e, size_t count, size_t *opened);
/* The burst is over: of its ports only `keep` stays (0: none). */
void extra_settle(struct extra *e, uint16_t keep);
