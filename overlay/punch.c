/* An address is asked by the port of the node: what comes on another of a burst is a path of its
 * own. From each interface that leads anywhere, for the kernel knows one way only.
 *
 * Openers: a router whose own ports are open takes a stranger's packet for its own, and then gives
 * the packets of ours to that stranger another port than everybody else sees (nat.md part 4;
 * conntrack does). So ours must have sent before the other's comes. An opener does that and no
 * more: it passes our NAT and a carrier's and dies before the peer's (Biggadike et al.,
 * "NatBlaster: Establishing TCP Connections Between Hosts Behind NATs", 2005; HyperDHT and ZeroTier
 * do so for UDP). Should the peer be that near, it finds an empty packet of the session, and asks
 * where it came from. */
#include "overlay/punch.h"

#include "overlay/frames.h"
#include "overlay/network.h"
#include "overlay/reach.h"
#include "overlay/route.h"

#define OPENER_HOPS 3 /* our router, a carrier's, and one more: nat.md part 1, step 8 */
#define WAYS_MAX    PATHS_MAX

/* The kernel's choice comes last: it is one of those before it, if there are any. */
static size_t ways_to(const struct node *n, const struct ov_addr *remote, struct dgram *ways)
{
	bool any = addr_scope(remote) == ADDR_LOOPBACK;
	size_t count = 0;
	for (size_t i = 0; i < n->local_count && count < WAYS_MAX - 1; i++) {
		const struct local_address *l = &n->locals[i];
		if (addr_is_v4(&l->addr) != addr_is_v4(remote) ||
			addr_scope(&l->addr) == ADDR_LINK_LOCAL)
			continue;
		any = true;
		if (!l->has_default_route)
			continue;
		ways[count] = (struct dgram){ .carrier = CARRIER_UDP,
			.interface = l->interface,
			.local = l->addr,
			.remote = *remote };
		ways[count++].local.port = n->config.listen_port;
	}
	if (any)
		ways[count++] = (struct dgram){ .carrier = CARRIER_UDP,
			.local = { .port = n->config.listen_port },
			.remote = *remote };
	return count;
}

void punch_try(struct node *n, ov_time now, struct peer *p, const struct ov_addr *address)
{
	struct ov_addr target = network_target(n, address);
	struct dgram ways[WAYS_MAX];
	size_t count = ways_to(n, &target, ways);
	for (size_t i = 0; i < count; i++) {
		struct path *path = route_add(n, now, p, &ways[i]);
		if (path)
			path_challenge(path, now);
	}
}

/* An attempt of before that came to nothing leaves no path: its packets are counted. */
static void forget_attempts(struct node *n, struct peer *p, const struct ov_addr *remote)
{
	struct association *a = p->association;
	for (size_t i = 0; i < a->path_count;) {
		struct path *path = a->paths[i];
		if (path->carrier == CARRIER_UDP && path->received_bytes == 0 && !path->validated &&
			path != a->active && addr_equal(&path->remote, remote))
			route_remove(n, p, path); /* puts another at i */
		else
			i++;
	}
}

static bool is_reached_at(const struct association *a, const struct ov_addr *target)
{
	for (size_t i = 0; i < a->path_count; i++)
		if (a->paths[i]->state == PATH_VALID && a->paths[i]->carrier == CARRIER_UDP &&
			addr_equal(&a->paths[i]->remote, target))
			return true;
	return false;
}

void punch_probe(
	struct node *n, ov_time now, struct peer *p, const struct ov_addr *address, bool anew)
{
	struct ov_addr target = network_target(n, address);
	if (is_reached_at(p->association, &target))
		return;
	if (anew)
		forget_attempts(n, p, &target);
	punch_try(n, now, p, address);
}

bool punch_may_open(const struct node *n, const struct ov_addr *address)
{
	struct ov_addr target = network_target(n, address);
	return addr_is_v4(&target) && addr_scope(&target) == ADDR_GLOBAL &&
	       !reach_is_on_link(n, &target, 0);
}

void punch_open(struct node *n, ov_time now, struct peer *p, const struct ov_addr *address)
{
	struct ov_addr target = network_target(n, address);
	struct dgram ways[WAYS_MAX];
	size_t count = is_reached_at(p->association, &target) ? 0 : ways_to(n, &target, ways);
	uint8_t nothing[1];
	struct wr empty = wr_init(nothing, sizeof(nothing));
	if (count > 1)
		count--; /* paths are told apart, route_add */
	for (size_t i = 0; i < count; i++) {
		ways[i].hops = OPENER_HOPS;
		if (reach_allows(n, p, &ways[i]))
			(void)frames_send_to(n, now, p, &empty, &ways[i]);
	}
}
