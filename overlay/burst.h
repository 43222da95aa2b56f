#pragma once
/* burst - the port of a hard NAT, by many tries. Private to the node. */
#include "overlay/node_state.h"

/* After both agreed on a round: by the method that their NATs allow (nat.md part 1, step 7). */
void burst_begin(struct node *n, ov_time now, struct peer *p, const struct punch_frame *theirs);
void burst_tick(struct node *n, ov_time now);
ov_time burst_deadline(const struct node *n);
/* What would both NATs allow (the peer told of its own), and is it too early to try it again? */
enum nat_method burst_method(const struct node *n, const struct peer *p);
bool burst_must_wait(const struct node *n, ov_time now, const struct peer *p, ov_time *until);
void burst_found(struct node *n, ov_time now, const struct peer *p, const struct path *path);
void burst_forget(struct node *n, const struct peer *p);
