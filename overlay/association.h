#pragma once
/* association - what a warm peer has: made by a call, ended by silence. Private to the node. */
#include "overlay/node_state.h"

OV_MUST_CHECK bool association_open(
	struct node *n, ov_time now, struct peer *p); /* true if there is one now */
void association_close(struct node *n, struct peer *p);
/* The peer was heard, on this path (NULL: there is no room for it). */
void association_came_up(struct node *n, struct peer *p, const struct path *path);
void association_went_down(struct node *n, struct peer *p);
enum peer_state peer_state(const struct peer *p, ov_time now);
/* Keys that send and a path to send on? Else the peer must be called. */
bool association_reaches(const struct association *a, ov_time now);
bool peer_is_wanted(const struct peer *p, ov_time now);
