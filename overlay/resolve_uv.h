#pragma once
/* resolve - endpoints written as host:port become candidates, without stalling the loop
 * (getaddrinfo runs on libuv's pool). */
#include "overlay/node.h"

#include <uv.h>

#define RESOLVE_AT_ONCE 8 /* further names wait for the next round */

struct resolver;
/* `on_addr` is called on the loop for each address found. NULL: out of memory. */
struct resolver *resolver_new(uv_loop_t *loop,
	void (*on_addr)(void *context, const struct peer_id *peer, enum carrier carrier,
		const struct ov_addr *a),
	void *context);
/* Looks for the prefix of this network's NAT64; on_nat64 is called on the loop with what the name
 * server says, maybe that there is nothing; not if none answers. */
void resolver_nat64(struct resolver *r,
	void (*on_nat64)(void *context, const struct ov_addr *answers, size_t count));
/* Looks up every host name among the contact's endpoints. Literal addresses are left alone. */
void resolver_contact(struct resolver *r, const struct contact *c, uint16_t default_port);
/* No callback any more; memory goes when the last lookup has ended. */
void resolver_close(struct resolver *r);
