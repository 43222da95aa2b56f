/* Networks where this machine was, and what was learned there. One is known by what its routers
 * gave us: prefixes with a default route. Two that look alike share their memory: that costs an
 * early attempt by TCP, or 300 ms; what was measured of a NAT holds for its outer address only. */
#include "overlay/network.h"

#include "overlay/association.h"
#include "overlay/call.h"
#include "overlay/meet.h"

static uint64_t mix(uint64_t sum, uint8_t byte)
{
	return (sum ^ byte) * UINT64_C(0x100000001b3); /* FNV-1a */
}

static uint64_t id_here(const struct node *n)
{
	uint64_t all = 0;
	for (size_t i = 0; i < n->local_count; i++) {
		const struct local_address *l = &n->locals[i];
		unsigned bits = l->prefix_len + (addr_is_v4(&l->addr) ? 96u : 0u);
		uint64_t one = UINT64_C(0xcbf29ce484222325);
		if (!l->has_default_route)
			continue;
		for (unsigned k = 0; k < sizeof(l->addr.ip) && 8 * k < bits; k++) {
			unsigned rest = bits - 8 * k;
			uint8_t mask = (uint8_t)(rest < 8 ? 0xff00u >> rest : 0xff);
			one = mix(one, l->addr.ip[k] & mask);
		}
		all += one; /* whatever their order */
	}
	return all;
}

static size_t place_here(const struct node *n)
{
	uint64_t id = id_here(n);
	size_t i = 0;
	while (i < NETWORKS_MAX && !(n->networks[i].used && n->networks[i].id == id))
		i++;
	return i;
}

const struct network *network_known(const struct node *n)
{
	size_t i = place_here(n);
	return i < NETWORKS_MAX ? &n->networks[i] : NULL;
}

struct network *network_here(struct node *n)
{
	size_t i = place_here(n);
	return i < NETWORKS_MAX ? &n->networks[i] : NULL;
}

struct network *network_keep(struct node *n)
{
	size_t known = place_here(n);
	if (known < NETWORKS_MAX)
		return &n->networks[known];
	memmove(n->networks + 1, n->networks, sizeof(n->networks) - sizeof(n->networks[0]));
	n->networks[0] =
		(struct network){ .id = id_here(n), .used = true, .measured_at = OV_NEVER };
	return &n->networks[0];
}

bool node_wants_nat64(const struct node *n)
{
	bool ipv6 = false;
	for (size_t i = 0; i < n->local_count; i++) {
		if (!n->locals[i].has_default_route)
			continue;
		if (addr_is_v4(&n->locals[i].addr))
			return false;
		ipv6 = true;
	}
	return ipv6;
}

const struct nat64 *node_nat64(const struct node *n)
{
	static const struct nat64 none;
	return node_wants_nat64(n) ? &n->nat64 : &none;
}

void node_set_nat64(struct node *n, ov_time now, const struct nat64 *prefix)
{
	if (memcmp(&n->nat64, prefix, sizeof(n->nat64)) == 0 || !node_wants_nat64(n))
		return;
	n->nat64 = *prefix;
	for (size_t i = 0; i < n->peer_count; i++) {
		struct peer *p = n->peers[i];
		if (p->association && p->association->call)
			call_hurry(n, now, p);
		else if (peer_is_wanted(p, now) && !association_reaches(p->association, now))
			call_start(n, now, p, false);
		else if (p->association)
			meet_start(n, now, p);
	}
}

/* RFC 6052 3.1: the well-known prefix is for global addresses; those that are not are nobody's
 * behind another's router. */
struct ov_addr network_target(const struct node *n, const struct ov_addr *a)
{
	if (n->nat64.bits == 0 || !addr_is_v4(a) || addr_scope(a) != ADDR_GLOBAL ||
		!node_wants_nat64(n))
		return *a;
	return nat64_from_v4(&n->nat64, a);
}

struct ov_addr network_plain(const struct node *n, const struct ov_addr *a)
{
	struct ov_addr v4;
	return nat64_to_v4(&n->nat64, a, &v4) ? v4 : *a;
}
