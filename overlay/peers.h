#pragma once
/* peers - who is known to the node, made and freed here only. Private to the node. */
#include "overlay/node_state.h"

void peer_free(struct node *n, struct peer *p);   /* with the node */
void peer_remove(struct node *n, struct peer *p); /* from it */
/* A stranger that we serve as facilitator becomes a peer until its association ends. NULL: none
 * more.
 */
struct peer *client_new(struct node *n, ov_time now, const struct peer_id *id);
/* The same for anybody, if that is our policy. */
struct peer *node_client(
	struct node *n, ov_time now, const struct peer_id *id, const struct ov_addr *from);
/* Is there room for one more, and was this address not too eager? */
bool node_takes_newcomer(struct node *n, ov_time now, const struct ov_addr *from);
