#pragma once
/* joining - invites at the node. Private to the node. */
#include "overlay/node_state.h"

/* An HS1 shows a secret: told to the local side, a bounded number a second. Why a stranger's is
 * dropped all the same. */
enum drop joining_on_hs1(
	struct node *n, ov_time now, const struct hs1_payload *h, const struct ov_addr *from);
/* HS2 to an HS1 that showed the secret: the peer knows us. */
void joining_done(struct node *n, struct peer *p);
/* By which the inviter lets us in, who does not know us yet; false: we show it no invite. */
bool joining_tag(
	const struct peer *p, const struct peer_id *facilitator, uint8_t out[RELAY_TAG_LEN]);
/* The peer called us, maybe as our client: our own call asks. */
void joining_confirm(struct node *n, ov_time now, struct peer *p);

/* Where others may connect to us: nothing unless the edge listens. */
size_t node_own_tcp(const struct node *n, struct ov_addr *out, size_t max);
