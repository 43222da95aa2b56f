/* Networks where this machine was, and what was learned there. One is known by what its routers
 * gave us: prefixes with a default route. Two that look alike share their memory: that costs an
 * early attempt by TCP, or 300 ms; what was measured of a NAT holds for its outer address only. */
#include "overlay/node_state.h"

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
	struct network *known = network_here(n);
	if (known)
		return known;
	memmove(n->networks + 1, n->networks, sizeof(n->networks) - sizeof(n->networks[0]));
	n->networks[0] =
		(struct network){ .id = id_here(n), .used = true, .measured_at = OV_NEVER };
	return &n->networks[0];
}
