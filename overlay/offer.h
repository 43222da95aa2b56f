#pragma once
/* offer - contacts tell each other where they can be reached. Private to the node. */
#include "overlay/node_state.h"

void offer_tick(struct node *n, ov_time now, struct peer *p);
ov_time offer_deadline(const struct association *a);
void offer_free(struct association *a);
enum drop offer_on_frame(struct node *n, ov_time now, struct peer *p, const struct relay_offer *f);
