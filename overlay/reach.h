#pragma once
/* reach - lan_only: what may come and go. Private to the node. */
#include "overlay/node_state.h"

/* In a prefix of an interface of ours (0: of any), or on this machine. */
bool reach_is_on_link(const struct node *n, const struct ov_addr *a, uint32_t interface);
bool reach_is_lan_only(const struct node *n, const struct peer *p);
/* May we send to p there, and hear it from there? */
bool reach_allows(const struct node *n, const struct peer *p, const struct dgram *where);
bool reach_allows_addr(const struct node *n, const struct peer *p, const struct ov_addr *a);
/* May anybody be heard from there? */
bool reach_admits(const struct node *n, const struct dgram *from);
/* Is there a candidate that may be tried? */
bool reach_is_possible(const struct node *n, const struct peer *p);
/* Its contact or our network did: what is no longer allowed ends. */
void reach_changed(struct node *n, ov_time now, struct peer *p);
