/* Helpers only; nothing here decides what is right. */
#include "tests/sim/world.h"

struct link_config world_link(ov_time delay)
{
	return (struct link_config){ .delay = delay };
}

struct host *world_public(struct sim *s, struct ov_addr ip, ov_time delay)
{
	struct host *h = sim_add_host(s);
	struct link_config link = world_link(delay);
	net_address_add(&s->net, net_add_iface(&s->net, h->id, NET_CORE, &link), &ip);
	return h;
}

struct nat_config world_nat(struct ov_addr outside)
{
	return (struct nat_config){ .translate = true,
		.outside = outside,
		.mapping = NAT_ENDPOINT_INDEPENDENT,
		.filtering = NAT_ADDRESS_PORT_DEPENDENT,
		.ports = NAT_PORT_SEQUENTIAL,
		.lifetime = 120 * OV_SEC };
}

struct host *world_behind(
	struct sim *s, const struct nat_config *nat, ov_time delay, uint32_t *gateway)
{
	struct host *h = sim_add_host(s);
	struct link_config link = world_link(delay);
	uint32_t site = net_add_segment(&s->net);
	uint32_t box = net_add_gateway(&s->net, site, NET_CORE, nat, NULL);
	struct ov_addr ip = addr_v4(192, 168, 1, (uint8_t)(10 + h->id), 0);
	net_address_add(&s->net, net_add_iface(&s->net, h->id, site, &link), &ip);
	if (gateway)
		*gateway = box;
	return h;
}

void world_befriend(struct sim *s, struct host *a, struct host *b, struct ov_addr where)
{
	size_t friend = host_befriend(s, a, b->id, "all");
	if (!addr_is_any(&where))
		host_endpoint(a, friend, &where);
	host_befriend(s, b, a->id, "all");
	a->friends[friend].wanted = true;
	host_friend(b, a->id)->wanted = true;
}

uint32_t world_iface(const struct sim *s, const struct host *h, size_t nth)
{
	for (uint32_t i = 0; i < s->net.iface_count; i++)
		if (s->net.ifaces[i]->host == h->id && nth-- == 0)
			return i;
	assert(false);
	return NET_NONE;
}

struct ov_addr world_address(const struct sim *s, const struct host *h)
{
	struct ov_addr a = s->net.ifaces[world_iface(s, h, 0)]->addresses[0];
	a.port = HOST_PORT;
	return a;
}

void world_renumber(struct sim *s, struct host *h, uint32_t iface, struct ov_addr ip)
{
	char text[ADDR_TEXT_MAX];
	s->net.ifaces[iface]->address_count = 0;
	net_address_add(&s->net, iface, &ip);
	trace_tell(&s->trace, s->now, h->name, "has address %s", addr_format(&ip, text));
	host_network_changed(s, h, false);
	if (h->dirty)
		host_drain(s, h);
}

void world_start_all(struct sim *s)
{
	for (size_t i = 0; i < s->host_count; i++)
		host_start(s, &s->hosts[i], 1, true);
}

bool world_connected(struct sim *s, struct host *a, struct host *b)
{
	if (!host_is_awake(a) || !host_is_awake(b))
		return false;
	struct peer_info x, y;
	return node_peer_info(a->node, s->now, &b->self.id, &x) &&
	       node_peer_info(b->node, s->now, &a->self.id, &y) && x.state == PEER_UP &&
	       y.state == PEER_UP;
}
