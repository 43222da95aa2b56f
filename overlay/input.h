#pragma once
/* input - datagrams in. Private to the node. */
#include "overlay/node_state.h"

void input_run(struct node *n, ov_time now, const struct dgram *run);
