#pragma once
/* answer - HS1 of others. Private to the node. */
#include "overlay/node_state.h"

enum drop answer_hs1(
	struct node *n, ov_time now, const struct dgram *from, const uint8_t *data, size_t len);
void pending_free(struct node *n, struct pending *w);
