#pragma once
/* inbound - packets for the interface, in. Private to the node. */
#include "overlay/node_state.h"

enum drop inbound_ip(
	struct node *n, ov_time now, struct peer *p, uint8_t *packet, size_t len, bool partial);
enum drop inbound_fragment(struct node *n, ov_time now, struct peer *p, const uint8_t *plain,
	size_t len, bool partial);
