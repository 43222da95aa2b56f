#pragma once
/* keys - sessions of an association: which one sends, which still receive. Private to the node. */
#include "overlay/node_state.h"

OV_MUST_CHECK struct keys *keys_new(struct node *n, ov_time now, struct peer *p, enum suite suite,
	const struct session_config *c);
void keys_free(struct node *n, struct keys *k);
uint32_t keys_new_index(struct node *n);
static inline struct keys *keys_of(struct receiver *r)
{
	assert(r->kind == RECEIVER_KEYS);
	return (struct keys *)(void *)((uint8_t *)r - offsetof(struct keys, receiver));
}
/* New keys count: they send, unless a simultaneous handshake of the lower PeerId does. */
void keys_install(struct node *n, ov_time now, struct peer *p, struct keys *k);
void keys_confirm(struct node *n, ov_time now, struct peer *p,
	struct keys *k); /* first packet under pending keys verified */
void keys_expire(struct node *n, ov_time now, struct peer *p);
ov_time keys_deadline(const struct association *a);
/* The keys that send now, or NULL. */
struct keys *keys_sending(const struct association *a, ov_time now);
