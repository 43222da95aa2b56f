#pragma once
/* call - HS1 to a peer until HS2. Private to the node. */
#include "overlay/node_state.h"

void call_start(struct node *n, ov_time now, struct peer *p, bool once);
/* One HS1 through the k-th relay (link_relay), whatever path is in use. */
void call_by_relay(struct node *n, ov_time now, struct peer *p, size_t k);
void call_hurry(struct node *n, ov_time now, struct peer *p); /* begins the call in progress anew */
void call_end(struct node *n, struct peer *p);
void call_step(struct node *n, ov_time now, struct peer *p);
enum drop call_on_hs2(struct node *n, ov_time now, struct peer *p, const struct dgram *from,
	const uint8_t *data, size_t len);
enum drop call_on_cookie(
	struct node *n, ov_time now, struct peer *p, const uint8_t *data, size_t len);
