#pragma once
/* network - the networks that this machine was in, and NAT64. Private to the node. */
#include "overlay/node_state.h"

struct network *network_here(struct node *n); /* NULL: nothing is known of it */
const struct network *network_known(const struct node *n);
struct network *network_keep(struct node *n); /* the oldest gives way */
/* How this address is reached from here: a global one of IPv4 by NAT64, where there is no other
 * way. */
struct ov_addr network_target(const struct node *n, const struct ov_addr *a);
/* The same address as everybody else knows it. */
struct ov_addr network_plain(const struct node *n, const struct ov_addr *a);
