#pragma once
/* channel - RELAY datagrams between a peer and us. Private to the node. */
#include "overlay/node_state.h"

/* The far end of a link as an address: a path's remote, a datagram's source. */
struct ov_addr channel_addr(const struct channel *c);
struct channel *channel_of_addr(const struct node *n, const struct ov_addr *a); /* NULL: gone */
/* May a datagram of this peer come by this run? Always, but for a relay's. */
bool channel_carries(const struct node *n, const struct dgram *run, const struct peer_id *who);
/* A free id is chosen unless one is given. FORWARD: the session is of a client. NULL: out of
 * memory, or the id is taken. */
struct channel *channel_new(
	struct node *n, struct peer *session, enum channel_kind kind, uint32_t id);
/* With its twin, and the path through a link; nobody is told. */
void channel_discard(struct node *n, struct channel *c);
/* The other end is told, and (tell) this one. */
void channel_close(struct node *n, ov_time now, struct channel *c, bool tell);
void channel_close_all(struct node *n, ov_time now, struct association *a);
enum drop channel_on_close(
	struct node *n, ov_time now, struct peer *p, const struct relay_close *f);
enum drop channel_input(
	struct node *n, ov_time now, const struct dgram *run, uint8_t *data, size_t len);
