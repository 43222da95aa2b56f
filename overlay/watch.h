#pragma once
/* watch - our contacts, at a facilitator. Private to the node. */
#include "overlay/node_state.h"

void watch_begin(
	struct node *n, ov_time now, struct peer *relay); /* registered, or contacts changed */
void watch_lost(struct node *n, ov_time now, struct peer *relay); /* what it said holds no more */
/* The relay is no facilitator of ours any more; another may get its number. */
void watch_forget(struct node *n, ov_time now, struct peer *relay);
void watch_tick(struct node *n, ov_time now, struct peer *relay);
enum drop watch_on_presence(
	struct node *n, ov_time now, struct peer *relay, const struct presence_frame *f);
/* Would a facilitator tell us when it comes? */
bool watch_waits_for(const struct peer *p);
bool watch_says_absent(const struct peer *relay, const struct peer *p);
