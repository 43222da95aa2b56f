#pragma once
/* pair - what two peers share before any session. Private to the node. */
#include "overlay/node_state.h"

/* DH of the static keys, in p->known. False: a key of small order. */
bool pair_knows_ss(const struct node *n, struct peer *p);
/* beacon_pair_key of it, 32 bytes that live as long as the peer. NULL: as above. */
const uint8_t *pair_key(const struct node *n, struct peer *p);
