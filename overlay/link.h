#pragma once
/* link - our end of a channel through a relay. Private to the node. */
#include "overlay/node_state.h"

/* HS1 of the call in progress to p, through every relay that may reach it; an attempt at a peer
 * that is away spares those that say it is not there. */
void link_call(struct node *n, ov_time now, struct peer *p);
void link_open(
	struct node *n, ov_time now, struct peer *relay, struct peer *p); /* through this one */
/* Every relay that leads to p becomes a path of its own, and is measured. */
void link_spread(struct node *n, ov_time now, struct peer *p);
/* The k-th relay that may reach it and does not say that p is absent; NULL: fewer. */
struct peer *link_relay(const struct node *n, ov_time now, const struct peer *p, size_t k);
/* A direct answer came first: the way by relay is kept beside it, while it is young. */
void link_stand_by(struct node *n, ov_time now, struct peer *p);
bool link_possible(const struct node *n, ov_time now);              /* is there a relay at all? */
void link_close(struct node *n, ov_time now, struct peer *p);       /* all links to it */
void link_end_all(struct node *n, ov_time now, struct peer *relay); /* all links through it */
bool link_has_spare(const struct node *n, ov_time now,
	const struct path *path); /* another relay than that of this path */
/* Where the relay of this path sees the peer; any: not told. */
struct ov_addr link_observed(const struct node *n, const struct path *path);
enum drop link_on_ok(struct node *n, ov_time now, struct peer *p, const struct relay_ok *f);
enum drop link_on_no(struct node *n, ov_time now, struct peer *p, const struct relay_no *f);
enum drop link_on_in(struct node *n, ov_time now, struct peer *p, const struct relay_in *f);
