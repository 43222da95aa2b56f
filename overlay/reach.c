/* Which ways to a peer are ours to use. `lan_only`, of a contact or of this machine, leaves those
 * that stay on a link of ours: no relay, no word to a facilitator, and nothing is sent to or taken
 * from an address that is not in a prefix of one of our interfaces. What is asked here is asked
 * where paths are made (route.c), candidates are tried (call.c, dial.c) and packets come in
 * (input.c, answer.c), so that no path which is not allowed ever exists.
 *
 * A prefix is what an interface has, not what a route says: a tunnel to a private network is no
 * link of ours, and netmon leaves tunnels out. */
#include "overlay/reach.h"

#include "overlay/link.h"
#include "overlay/route.h"

static bool same_prefix(const struct ov_addr *x, const struct ov_addr *y, uint8_t bits)
{
	size_t len = bits + (addr_is_v4(x) ? 96u : 0u);
	if (addr_is_v4(x) != addr_is_v4(y) || memcmp(x->ip, y->ip, len / 8) != 0)
		return false;
	uint8_t mask = (uint8_t)(0xff00u >> len % 8);
	return len % 8 == 0 || ((x->ip[len / 8] ^ y->ip[len / 8]) & mask) == 0;
}

bool reach_is_on_link(const struct node *n, const struct ov_addr *a, uint32_t interface)
{
	if (addr_scope(a) == ADDR_LOOPBACK)
		return true;
	for (size_t i = 0; i < n->local_count; i++) {
		const struct local_address *l = &n->locals[i];
		if ((interface == 0 || l->interface == interface) && l->prefix_len > 0 &&
			same_prefix(&l->addr, a, l->prefix_len))
			return true;
	}
	return false;
}

bool reach_is_lan_only(const struct node *n, const struct peer *p)
{
	return n->config.lan_only || p->contact.lan_only;
}

static bool stays_here(const struct node *n, const struct dgram *where)
{
	switch ((enum carrier)where->carrier) {
	case CARRIER_UDP: return reach_is_on_link(n, &where->remote, where->interface);
	case CARRIER_TCP:
		return reach_is_on_link(n, &where->remote, 0); /* a number, no interface */
	case CARRIER_RELAY: return false;
	}
	assert(false);
	return false;
}

bool reach_allows(const struct node *n, const struct peer *p, const struct dgram *where)
{
	return !reach_is_lan_only(n, p) || stays_here(n, where);
}

bool reach_allows_addr(const struct node *n, const struct peer *p, const struct ov_addr *a)
{
	return !reach_is_lan_only(n, p) || reach_is_on_link(n, a, 0);
}

bool reach_admits(const struct node *n, const struct dgram *from)
{
	return !n->config.lan_only || stays_here(n, from);
}

bool reach_is_possible(const struct node *n, const struct peer *p)
{
	for (size_t i = 0; i < p->candidates.count; i++)
		if (reach_allows_addr(n, p, &p->candidates.list[i].addr))
			return true;
	return false;
}

/* Removing a path may make its address a candidate; that is only tried where it is allowed. */
void reach_changed(struct node *n, ov_time now, struct peer *p)
{
	struct association *a = p->association;
	if (!a || !reach_is_lan_only(n, p))
		return;
	for (size_t i = 0; i < a->path_count;) {
		struct dgram where = route_where(a->paths[i]);
		if (reach_allows(n, p, &where))
			i++;
		else
			route_remove(n, p, a->paths[i]); /* puts another at i */
	}
	for (size_t i = 0; i < a->dial.count;)
		if (reach_allows_addr(n, p, &a->dial.open[i].remote))
			i++;
		else
			a->dial.open[i] = a->dial.open[--a->dial.count];
	link_close(n, now, p);
	a->meeting.round_at = a->meeting.probe_at = OV_NEVER;
	if (!a->active)
		route_elect(n, now, p);
	peer_touch(n, p);
}
