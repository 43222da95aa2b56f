#pragma once
/* meet - from the relay to a direct path. Private to the node. */
#include "overlay/node_state.h"

void meet_start(struct node *n, ov_time now, struct peer *p); /* a session by relay, or a change */
void meet_moved(struct node *n, ov_time now); /* a facilitator sees us elsewhere than before */
/* A private address on none of our links, of a peer that does not share our network: somebody
 * else's. */
bool meet_is_foreign(const struct node *n, const struct peer *p, const struct ov_addr *a);
/* A packet of ours goes by a relay: is a better way looked for? */
void meet_on_data(struct node *n, ov_time now, struct peer *p);
void meet_tick(struct node *n, ov_time now, struct peer *p);
ov_time meet_deadline(const struct association *a);
/* An address that somebody claims for a peer, of which nothing else is known. */
bool meet_may_probe(const struct node *n, const struct ov_addr *a);
/* Are all of its addresses private ones of somebody else's network? */
bool meet_is_all_foreign(const struct node *n, const struct peer *p);
enum drop meet_on_endpoints(
	struct node *n, ov_time now, struct peer *p, const struct endpoints_frame *f);
enum drop meet_on_tcp_endpoints(
	struct node *n, ov_time now, struct peer *p, const struct endpoints_frame *f);
/* May something be sent to this address now? It will be. One that somebody only told us of costs
 * from the budget of new ones. */
bool meet_may_try(struct node *n, ov_time now, struct peer *p, struct candidate *c);
/* The same; never one that takes TCP. */
bool meet_may_ask(struct node *n, ov_time now, struct peer *p, struct candidate *c);
enum drop meet_on_punch(struct node *n, ov_time now, struct peer *p, const struct punch_frame *f);
