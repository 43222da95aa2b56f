#pragma once
/* envelope - how a datagram leaves: as it is, or inside one for a relay. Private to the node. */
#include "overlay/node_state.h"

struct envelope { /* how a datagram leaves: as it is, or inside one for a relay */
	struct dgram where;
	struct peer *relay; /* NULL: as it is */
	uint32_t channel;
	size_t header_len; /* 0: as it is */
};
/* False: it would go through a relay that cannot be reached now. */
bool envelope_open(const struct node *n, const struct dgram *to, struct envelope *e);
uint8_t *envelope_room(
	struct node *n, const struct envelope *e, size_t len, bool data); /* as output_room */
void envelope_add(struct node *n, ov_time now, const struct envelope *e, const void *key,
	size_t len); /* as output_add */
