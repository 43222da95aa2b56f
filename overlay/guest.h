#pragma once
/* guest - strangers that a contact vouches for, at us; and we as one. Private to the node. */
#include "overlay/node_state.h"

/* HS1 of a stranger (*p NULL), a guest or a facilitator of ours that shows a voucher. DROP_NONE: it
 * is a guest now, *p. */
enum drop guest_on_hs1(struct node *n, ov_time now, const struct hs1_payload *h,
	const struct ov_addr *from, struct peer **p);
/* May these two be relayed between, as far as they are guests? */
bool guest_may_meet(const struct node *n, const struct peer *a, const struct peer *b);
void guest_free(struct node *n, struct peer *p);
void guests_end(struct node *n, const struct peer_id *inviter); /* it is no contact any more */
void guest_tick(struct node *n, ov_time now, struct peer *p);   /* of a peer with an association */
ov_time guest_deadline(const struct peer *p);
/* Ours, at a facilitator: what HS1 to it shows. False: nothing. */
bool guest_pass(const struct node *n, ov_time now, struct peer *p, uint8_t out[HS1_VOUCHER_LEN]);
/* The next HS1 to it shows another, if there is one. */
void guest_next_pass(struct registration *r);
bool guest_has_pass(const struct registration *r);
/* False: that of the same giver holds as long, or all those that are kept do. */
bool guest_keep_pass(struct peer *p, const uint8_t pass[HS1_VOUCHER_LEN]);
