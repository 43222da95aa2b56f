#pragma once
/* dial - connections by TCP. Private to the node. */
#include "overlay/node_state.h"

void dial_begin(struct node *n, ov_time now, struct peer *p); /* a call began */
void dial_tick(struct node *n, ov_time now, struct peer *p);
ov_time dial_deadline(const struct association *a);
/* HS1 to p over the connections made for it that are no paths yet. */
void dial_call(struct node *n, ov_time now, struct peer *p, const uint8_t *hs1, size_t len);
void dial_on_keys(struct node *n, ov_time now, struct peer *p);  /* HS2 came, by whatever way */
void dial_on_route(struct node *n, ov_time now, struct peer *p); /* another path is in use */
void dial_network_changed(struct node *n, ov_time now, struct peer *p);
void dial_forget_foreign(struct node *n); /* another network, or a facilitator answers */
bool dial_is_ours(const struct association *a, const struct path *path); /* we connected */
void dial_told(struct node *n, ov_time now, struct peer *p); /* of an address that was not known */
/* A connection answered: where it leads is no longer only somebody's word. */
void dial_answered(ov_time now, struct peer *p, const struct path *path);
