#pragma once
/* ping - pings of the local side. Private to the node. */
#include "overlay/node_state.h"

void ping_on_response(struct node *n, struct peer *p, const struct path *path, ov_time rtt);
void ping_on_path(struct node *n, ov_time now, struct peer *p); /* a path is there: ask */
void ping_expire(struct node *n, ov_time now);
ov_time ping_deadline(const struct node *n);
void ping_forget(struct node *n, const struct peer *p);
