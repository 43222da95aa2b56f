#pragma once
/* route - paths to a peer, and which one carries its data. Private to the node. */
#include "overlay/node_state.h"

struct path *route_find(const struct association *a, const struct dgram *where);
void route_pin(
	struct path *p, const struct dgram *where); /* to the local address that the kernel chose */
struct path *route_add(struct node *n, ov_time now, struct peer *p,
	const struct dgram *where); /* finds or makes; NULL: full */
struct path *route_came(struct node *n, ov_time now, struct peer *p,
	const struct dgram *from); /* the same, for one by which the peer speaks */
void route_remove(struct node *n, struct peer *p, struct path *path);
void route_use(
	struct node *n, ov_time now, struct peer *p, struct path *path); /* becomes the data path */
void route_keys_came(struct node *n, ov_time now, struct peer *p,
	struct path *path); /* the first packet under new keys, or HS2, came by it */
void route_elect(
	struct node *n, ov_time now, struct peer *p); /* choose again among what is valid */
void route_on_answer(
	struct node *n, ov_time now, struct peer *p, struct path *path, bool became_valid);
void route_on_peer_data(struct node *n, ov_time now, struct peer *p, struct path *path);
void route_on_status(
	struct node *n, ov_time now, struct peer *p, struct path *path, uint32_t sequence);
void route_on_suspect(struct node *n, ov_time now, struct peer *p, struct path *path);
/* The active path is gone: another, or a call. */
void route_find_other(struct node *n, ov_time now, struct peer *p);
void route_tick(struct node *n, ov_time now, struct peer *p);
struct path *route_second(const struct association *a,
	ov_time now); /* for duplicates while the active one is doubtful */
void route_network_changed(struct node *n, ov_time now, struct peer *p, bool resumed);
void route_on_keys(struct node *n, ov_time now,
	struct association *a); /* other keys send: the peer may take other sizes */
struct dgram route_where(const struct path *path);
/* How often this path shall speak when idle; 0: never. */
ov_time route_keepalive(const struct node *n, const struct peer *p, const struct path *path);
/* Nothing goes by this path: asks by whatever way the kernel chooses now. */
void route_leave_to_kernel(struct node *n, ov_time now, struct peer *p, const struct path *stuck);
/* Our kernel has no way there: for another valid path this one is left at once. */
void route_on_refused(struct node *n, ov_time now, struct peer *p, struct path *path);
/* From an address of an interface that is a candidate; not by a tunnel. */
bool route_is_from_own(const struct node *n, const struct path *path);
/* Was the kernel's choice the way of the path that the answer came by? */
bool route_is_same_way(const struct path *chosen, const struct path *came);
