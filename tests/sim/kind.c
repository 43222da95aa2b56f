/* Punching needs of each side one address to which the other can send. An endpoint-independent
 * mapping is such an address, for whoever passes its filter; a filter by address and port is opened
 * by sending to where the other's datagrams come from, so that has to be known before. A mapping
 * per destination is not known: such a host meets those whose filter does not look at ports, and of
 * the others those who guess its port, which one side that is known can afford. */
#include "tests/sim/kind.h"

#include <stdio.h>

#define LIFETIME (120 * OV_SEC)

const char *kind_name(enum kind k)
{
	switch (k) {
	case KIND_OPEN: return "open";
	case KIND_FIREWALL: return "firewall";
	case KIND_FULL_CONE: return "full-cone";
	case KIND_ADDRESS_RESTRICTED: return "address-restricted";
	case KIND_PORT_RESTRICTED: return "port-restricted";
	case KIND_SEQUENTIAL: return "symmetric-sequential";
	case KIND_RANDOM: return "symmetric-random";
	case KIND_CARRIER: return "carrier";
	case KIND_COUNT: break;
	}
	assert(false);
	return "?";
}

/* clang-format off */
static const struct behaviour {
	enum nat_behaviour mapping, filtering;
	enum nat_ports ports;
} behaviours[KIND_COUNT] = {
	[KIND_OPEN]               = { NAT_ENDPOINT_INDEPENDENT,   NAT_ENDPOINT_INDEPENDENT,   NAT_PORT_PRESERVE },
	[KIND_FIREWALL]           = { NAT_ENDPOINT_INDEPENDENT,   NAT_ADDRESS_PORT_DEPENDENT, NAT_PORT_PRESERVE },
	[KIND_FULL_CONE]          = { NAT_ENDPOINT_INDEPENDENT,   NAT_ENDPOINT_INDEPENDENT,   NAT_PORT_SEQUENTIAL },
	[KIND_ADDRESS_RESTRICTED] = { NAT_ENDPOINT_INDEPENDENT,   NAT_ADDRESS_DEPENDENT,      NAT_PORT_SEQUENTIAL },
	[KIND_PORT_RESTRICTED]    = { NAT_ENDPOINT_INDEPENDENT,   NAT_ADDRESS_PORT_DEPENDENT, NAT_PORT_RANDOM },
	[KIND_SEQUENTIAL]         = { NAT_ADDRESS_PORT_DEPENDENT, NAT_ADDRESS_PORT_DEPENDENT, NAT_PORT_SEQUENTIAL },
	[KIND_RANDOM]             = { NAT_ADDRESS_PORT_DEPENDENT, NAT_ADDRESS_PORT_DEPENDENT, NAT_PORT_RANDOM },
	[KIND_CARRIER]            = { NAT_ENDPOINT_INDEPENDENT,   NAT_ADDRESS_PORT_DEPENDENT, NAT_PORT_RANDOM },
};
/* clang-format on */

struct nat_config kind_box(enum kind k, struct ov_addr outside)
{
	const struct behaviour *b = &behaviours[k];
	return (struct nat_config){ .translate = k != KIND_FIREWALL,
		.outside = outside,
		.mapping = b->mapping,
		.filtering = b->filtering,
		.ports = b->ports,
		.lifetime = LIFETIME };
}

uint32_t kind_site(struct sim *s, enum kind k, uint8_t number, struct ov_addr *inside)
{
	struct ov_addr public = addr_v4(203, 0, 113, number, 0);
	*inside = public;
	if (k == KIND_OPEN)
		return NET_CORE;
	struct nat_config box = kind_box(k, public);
	uint32_t outside = NET_CORE, site = net_add_segment(&s->net);
	if (k == KIND_CARRIER) {
		outside = net_add_segment(&s->net);
		net_add_gateway(&s->net, outside, NET_CORE, &box, NULL);
		box.outside = addr_v4(100, 64, number, 1, 0);
	}
	if (box.translate)
		*inside = addr_v4(192, 168, number, 10, 0);
	net_add_gateway(&s->net, site, outside, &box, NULL);
	return site;
}

struct host *kind_host(struct sim *s, enum kind k, ov_time delay)
{
	struct host *h = sim_add_host(s);
	struct link_config link = world_link(delay);
	struct ov_addr inside;
	uint32_t site = kind_site(s, k, (uint8_t)(10 + h->id), &inside);
	net_address_add(&s->net, net_add_iface(&s->net, h->id, site, &link), &inside);
	return h;
}

static bool is_known_beforehand(const struct behaviour *b)
{
	return b->mapping == NAT_ENDPOINT_INDEPENDENT;
}

static bool lets_in_other_ports(const struct behaviour *b)
{
	return b->filtering != NAT_ADDRESS_PORT_DEPENDENT;
}

enum kind_way kind_way(enum kind a, enum kind b)
{
	const struct behaviour *x = &behaviours[a], *y = &behaviours[b];
	if (is_known_beforehand(y)) { /* x: one that is known, if any */
		const struct behaviour *other = x;
		x = y;
		y = other;
	}
	if (!is_known_beforehand(x))
		return KIND_RELAYED;
	if (is_known_beforehand(y) || lets_in_other_ports(x))
		return KIND_PUNCHED;
	return y->ports == NAT_PORT_SEQUENTIAL ? KIND_PREDICTED : KIND_GUESSED;
}
