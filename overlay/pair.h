#pragma once
/* pair - what two peers share before any session. Private to the node. */
#include "overlay/node_state.h"

/* DH of the static keys, in p->known. False: a key of small order. */
bool pair_knows_ss(const struct node *n, struct peer *p);
/* beacon_pair_key of it, 32 bytes that live as long as the peer. NULL: as above. */
const uint8_t *pair_key(const struct node *n, struct peer *p);
/* hash(label, key, a and b): what only they can name who know the key, at one place (b). */
void pair_hash(const char *label, const uint8_t key[32], const struct peer_id *a,
	const struct peer_id *b, uint8_t out[32]);
