#pragma once
/* presence - clients that wait for each other, at us. Private to the node. */
#include "overlay/node_state.h"

/* The tags of this page, before and after they change. */
void presence_tags_gone(struct node *n, ov_time now, struct peer *p, uint8_t page);
void presence_tags_came(struct node *n, ov_time now, struct peer *p, uint8_t page);
void presence_update(struct node *n, ov_time now, struct peer *p);    /* did it come or go? */
void presence_restarted(struct node *n, ov_time now, struct peer *p); /* came again, that is */
void presence_tick(struct node *n, ov_time now, struct peer *p);
ov_time presence_deadline(const struct peer *p);
void presence_forget(struct node *n, struct peer *p); /* what it watches */
enum drop presence_on_watch(
	struct node *n, ov_time now, struct peer *p, const struct register_frame *f);
enum drop presence_on_seen(
	struct node *n, ov_time now, struct peer *p, const struct presence_seen *f);
