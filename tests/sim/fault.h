#pragma once
/* fault - what a seed may let happen to a world: to links, boxes, machines, and by enemies. */
#include "tests/sim/swarm.h"

enum fault {
	FAULT_LOSS,
	FAULT_BURST,
	FAULT_REORDER,
	FAULT_DUPLICATE,
	FAULT_CORRUPT,
	FAULT_MTU,
	FAULT_CUT,
	FAULT_ROAM,
	FAULT_IFACE,
	FAULT_REBOOT,
	FAULT_SLEEP,
	FAULT_RESTART,
	FAULT_ROLLBACK,
	FAULT_HOSTILE,
	FAULT_FORWARDER,
	FAULT_WALL,
	FAULT_TRANSFER,
	FAULT_LONG_WAIT,
	FAULT_COUNT
};

static inline bool fault_may(const struct swarm *w, enum fault f)
{
	return w->faults & 1u << f;
}

void fault_happen(struct swarm *w, enum fault f);
/* Tells the host's node which addresses it has now, and the trace too. */
void fault_tell_addresses(struct swarm *w, struct host *h);
