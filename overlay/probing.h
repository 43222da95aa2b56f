#pragma once
/* probing - how long that NAT remembers, and whether it hairpins. Private to the node. */
#include "overlay/node_state.h"

/* A facilitator answered on this path: shall the NAT be measured? */
void probing_consider(struct node *n, ov_time now, const struct path *path);
void probing_tick(struct node *n, ov_time now);
ov_time probing_deadline(const struct node *n);
void probing_forget(struct node *n, ov_time now); /* another network */
void probing_forget_peer(struct node *n, const struct peer *p);
enum drop probing_on_answer(struct node *n, ov_time now, struct peer *p, struct path *path,
	const struct lifetime_answer *f);
enum drop probing_on_hairpin(struct node *n, ov_time now, const struct dgram *run,
	const struct header *h, const uint8_t *data, size_t len);
/* How often an idle path through our NAT must speak. */
ov_time probing_keepalive(const struct node *n, const struct path *path);
void probing_info(const struct node *n, struct nat_info *out);
