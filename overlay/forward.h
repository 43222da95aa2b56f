#pragma once
/* forward - we relay. Private to the node. */
#include "overlay/node_state.h"

enum drop forward_on_open(struct node *n, ov_time now, struct peer *p, const struct relay_open *f);
enum drop forward_datagram(
	struct node *n, ov_time now, struct channel *c, const uint8_t *data, size_t len);
