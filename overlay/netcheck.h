#pragma once
/* netcheck - which NAT stands before us. Private to the node. */
#include "overlay/node_state.h"

struct nat_class netcheck_class(const struct node *n, bool ipv4);
/* Where the facilitator listens besides; 0: nowhere. second_addr: its word, any: it has no other.
 */
void netcheck_begin(struct node *n, ov_time now, struct peer *p, uint16_t second_port,
	struct ov_addr second_addr);
void netcheck_forget(struct node *n, ov_time now); /* another network: all anew */
void netcheck_tick(struct node *n, ov_time now, struct peer *p);
void netcheck_on_observed(struct node *n, ov_time now, struct peer *p, const struct path *path);
enum drop netcheck_on_answer(struct node *n, ov_time now, struct peer *p, const struct path *path,
	const struct filter_test *f);
