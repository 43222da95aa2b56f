#pragma once
/* facilitator - others at us. Private to the node. */
#include "overlay/node_state.h"

enum drop facilitator_on_filter_test(struct node *n, ov_time now, struct peer *p,
	const struct path *path, const struct filter_test *f);
enum drop facilitator_on_register(
	struct node *n, ov_time now, struct peer *p, const struct register_frame *f);
/* Each frame that is answered costs one: a packet has room for a hundred small ones. */
bool facilitator_hears(struct peer *p, ov_time now);
enum drop facilitator_on_lifetime_test(struct node *n, ov_time now, struct peer *p,
	struct path *path, const struct lifetime_test *f);
void facilitator_tick(struct node *n, ov_time now, struct peer *p);
ov_time facilitator_deadline(const struct peer *p);
bool facilitator_admits(const struct node *n, const struct peer *p); /* may it use us at all? */
bool facilitator_lets_in(
	ov_time now, const struct peer *destination, const uint8_t tag[RELAY_TAG_LEN]);
void client_free(struct node *n, struct peer *p);
