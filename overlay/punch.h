#pragma once
/* punch - what goes to an address at which a peer may be, from everywhere that we can send from.
 * Private to the node. */
#include "overlay/node_state.h"

/* Asks there, by a path of its own for each way that our interfaces give. */
void punch_try(struct node *n, ov_time now, struct peer *p, const struct ov_addr *address);
/* The same unless a path there is valid; anew: with a full number of packets. */
void punch_probe(
	struct node *n, ov_time now, struct peer *p, const struct ov_addr *address, bool anew);
/* Can a packet open our NAT for this address and die before the other's? */
bool punch_may_open(const struct node *n, const struct ov_addr *address);
/* Opens our NAT: see punch.c. No path comes of it. */
void punch_open(struct node *n, ov_time now, struct peer *p, const struct ov_addr *address);
