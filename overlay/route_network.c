/* What a change of our own networks does to the paths of a peer: those whose address is gone are
 * dropped, what answered before is asked from where we are now, and trusted to be the peer. */
#include "overlay/route.h"

#include "overlay/association.h"
#include "overlay/call.h"
#include "overlay/dial.h"
#include "overlay/meet.h"
#include "overlay/network.h"
#include "overlay/outbound.h"
#include "overlay/punch.h"
#include "overlay/reach.h"

static bool local_exists(const struct node *n, const struct path *path)
{
	if (addr_is_any(&path->local) || addr_scope(&path->local) == ADDR_LOOPBACK)
		return true;
	for (size_t i = 0; i < n->local_count; i++)
		if (addr_same_ip(&n->locals[i].addr, &path->local) &&
			(path->interface == 0 || path->carrier == CARRIER_TCP ||
				n->locals[i].interface == path->interface))
			return true;
	return false;
}

/* They answered before our own address changed. */
static void trust_again(
	const struct node *n, struct association *a, const struct ov_addr *remotes, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		struct ov_addr target = network_target(n, &remotes[i]);
		for (size_t j = 0; j < a->path_count; j++)
			if (a->paths[j]->carrier == CARRIER_UDP &&
				addr_equal(&a->paths[j]->remote, &target))
				a->paths[j]->validated = true;
	}
}

/* The kernel would believe such a remote to be a neighbour, and ask for it there in vain. */
static bool has_lost_its_way(const struct node *n, const struct path *path)
{
	if (path->carrier != CARRIER_UDP || addr_is_any(&path->local) ||
		reach_is_on_link(n, &path->remote, 0))
		return false;
	for (size_t i = 0; i < n->local_count; i++)
		if (addr_same_ip(&n->locals[i].addr, &path->local) &&
			n->locals[i].has_default_route)
			return false;
	return true;
}

static void leave_what_lost_its_way(struct node *n, ov_time now, struct peer *p)
{
	struct association *a = p->association;
	for (size_t i = a->path_count; i-- > 0;) /* backwards: it may add some */
		if ((a->paths[i]->stray = has_lost_its_way(n, a->paths[i])))
			route_leave_to_kernel(n, now, p, a->paths[i]);
}

/* What has no address to leave from any more, or may not be used here. */
static void drop_lost(struct node *n, struct peer *p)
{
	struct association *a = p->association;
	for (size_t i = 0; i < a->path_count;) {
		struct dgram where = route_where(a->paths[i]);
		if (local_exists(n, a->paths[i]) && reach_allows(n, p, &where)) {
			i++;
			continue;
		}
		a->moved |= a->paths[i] == a->active;
		route_remove(n, p, a->paths[i]);
	}
}

void route_network_changed(struct node *n, ov_time now, struct peer *p, bool resumed)
{
	struct association *a = p->association;
	struct ov_addr remotes[CANDIDATES_MAX + PATHS_MAX];
	size_t count = 0, proved;
	for (size_t i = 0; i < a->path_count; i++) /* what only claims to be the peer's is not asked
						      anew: each path would have a 3x budget */
		if (a->paths[i]->validated && a->paths[i]->carrier == CARRIER_UDP &&
			!a->paths[i]->for_checks)
			remotes[count++] = network_plain(n, &a->paths[i]->remote);
	proved = count;
	for (size_t i = 0; i < p->candidates.count; i++)
		if (meet_may_ask(n, now, p, &p->candidates.list[i]))
			remotes[count++] = p->candidates.list[i].addr;

	drop_lost(n, p);
	for (size_t i = 0; i < a->path_count; i++)
		if (a->paths[i]->carrier != CARRIER_UDP)
			path_challenge(a->paths[i], now);
	a->meeting.same_site = false; /* until told again */
	for (size_t i = 0; i < count; i++)
		if (!meet_is_foreign(n, p, &remotes[i]))
			punch_try(n, now, p, &remotes[i]);
	leave_what_lost_its_way(n, now, p);
	if (a->active && a->active->stray)
		route_elect(n, now, p);
	meet_start(n, now, p);
	dial_network_changed(n, now, p);
	trust_again(n, a, remotes, proved);
	if (!a->active)
		route_elect(n, now, p);
	if (resumed && !association_reaches(a, now))
		call_start(n, now, p, false);
	outbound_flush_staged(n, now, p);
	peer_touch(n, p);
}
