#pragma once
/* outbound - packets of the interface, out. Private to the node. */
#include "overlay/node_state.h"

size_t outbound_submit(struct node *n, ov_time now, const struct ip_packet *packets, size_t count);
void outbound_flush_staged(struct node *n, ov_time now, struct peer *p);
void outbound_drop_staged(struct node *n, struct peer *p);
