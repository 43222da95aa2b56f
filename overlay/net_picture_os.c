/* Links first, then addresses on those that may be candidates, then routes: which of them lead out.
 *
 * A full-tunnel VPN takes all routes, in one of three ways: another default route, two halves of
 * the address space, a table of its own by a rule. Its link is no candidate, whatever its kind;
 * that it came or went is told all the same (tunnels), because paths may have to go another way
 * now. */
#include "overlay/net_picture_os.h"

#include "overlay/rtnl_os.h"

#include <errno.h>
#include <linux/if_link.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <string.h>
#include <sys/socket.h>

#define DUMP_TRIES 3 /* a table that changes all the time is dumped as it is */

#ifndef ARPHRD_IP6GRE
#define ARPHRD_IP6GRE 823
#endif
#define IFF_LOWER_UP_ 0x10000 /* linux/if.h and net/if.h cannot both be included */

enum net_link_class net_link_classify(
	const char *name, unsigned type, unsigned flags, const char *kind)
{
	static const char *const others[] = { "docker", "veth", "virbr", "br-", "tun", "tap", "wg",
		"tailscale", "lxcbr", "lxdbr", "podman", "cni", "vnet", "zt" };
	static const unsigned tunnels[] = { ARPHRD_NONE, ARPHRD_TUNNEL, ARPHRD_TUNNEL6, ARPHRD_SIT,
		ARPHRD_IPGRE, ARPHRD_IP6GRE, ARPHRD_LOOPBACK };
	if (!(flags & IFF_UP) || !(flags & IFF_LOWER_UP_) || (flags & IFF_LOOPBACK))
		return NET_LINK_NONE;
	for (size_t i = 0; i < sizeof(tunnels) / sizeof(tunnels[0]); i++) {
		if (type == tunnels[i])
			return NET_LINK_NONE;
	}
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
		if (strncmp(name, others[i], strlen(others[i])) == 0)
			return NET_LINK_NONE;
	}
	bool doubtful = type == ARPHRD_PPP || (flags & IFF_POINTOPOINT) || strcmp(kind, "tun") == 0;
	return doubtful ? NET_LINK_DOUBTFUL : NET_LINK_WAY;
}

static struct net_link *find_link(struct net_picture *p, uint32_t interface)
{
	for (size_t i = 0; i < p->link_count; i++) {
		if (p->links[i].interface == interface)
			return &p->links[i];
	}
	return NULL;
}

static void on_link(void *context, const struct nlmsghdr *m)
{
	struct net_picture *p = context;
	const struct rtattr *a[IFLA_LINKINFO + 1], *kind[IFLA_INFO_KIND + 1] = { 0 };
	struct ifinfomsg info;
	if (m->nlmsg_type != RTM_NEWLINK || m->nlmsg_len < NLMSG_SPACE(sizeof(info)))
		return;
	memcpy(&info, rtnl_body(m), sizeof(info));
	rtnl_attributes(m, sizeof(info), a, IFLA_LINKINFO);
	if (!a[IFLA_IFNAME] || p->link_count == NET_LINKS)
		return;
	if (a[IFLA_LINKINFO])
		rtnl_nested(a[IFLA_LINKINFO], kind, IFLA_INFO_KIND);
	const char *name = rtnl_data(a[IFLA_IFNAME]);
	enum net_link_class class = net_link_classify(name, info.ifi_type, info.ifi_flags,
		kind[IFLA_INFO_KIND] ? rtnl_data(kind[IFLA_INFO_KIND]) : "");
	if (strcmp(name, p->own_interface) != 0 && class != NET_LINK_NONE)
		p->links[p->link_count++] =
			(struct net_link){ .interface = (uint32_t)info.ifi_index,
				.class = (uint8_t) class };
}

static void on_address(void *context, const struct nlmsghdr *m)
{
	struct net_picture *p = context;
	const struct rtattr *a[IFA_FLAGS + 1];
	struct ifaddrmsg info;
	if (m->nlmsg_type != RTM_NEWADDR || m->nlmsg_len < NLMSG_SPACE(sizeof(info)))
		return;
	memcpy(&info, rtnl_body(m), sizeof(info));
	rtnl_attributes(m, sizeof(info), a, IFA_FLAGS);
	uint32_t flags = info.ifa_flags;
	if (a[IFA_FLAGS])
		memcpy(&flags, rtnl_data(a[IFA_FLAGS]), sizeof(flags));
	bool unproven = (flags & IFA_F_TENTATIVE) && !(flags & IFA_F_OPTIMISTIC);
	if (unproven || (flags & (IFA_F_DEPRECATED | IFA_F_DADFAILED)))
		return;
	/* IFA_LOCAL is ours on point-to-point links, where IFA_ADDRESS is the other end's */
	const struct rtattr *ip = a[IFA_LOCAL] ? a[IFA_LOCAL] : a[IFA_ADDRESS];
	if (!ip || !find_link(p, info.ifa_index) || p->count == NET_ADDRESSES)
		return;
	struct net_found f = { .temporary = flags & IFA_F_TEMPORARY,
		.local = { .interface = info.ifa_index, .prefix_len = info.ifa_prefixlen } };
	const uint8_t *bytes = rtnl_data(ip);
	if (info.ifa_family == AF_INET && rtnl_data_len(ip) == 4) {
		f.local.addr = addr_v4(bytes[0], bytes[1], bytes[2], bytes[3], 0);
		f.temporary = false; /* the same bit means "secondary" there */
	} else if (info.ifa_family == AF_INET6 && rtnl_data_len(ip) == 16) {
		memcpy(f.local.addr.ip, bytes, 16);
	} else {
		return;
	}
	enum addr_scope scope = addr_scope(&f.local.addr);
	if (scope == ADDR_UNUSABLE || scope == ADDR_LOOPBACK)
		return;
	if (scope == ADDR_LINK_LOCAL && info.ifa_family == AF_INET6)
		f.local.addr.scope = info.ifa_index;
	p->found[p->count++] = f;
}

static void default_over(struct net_picture *p, uint8_t family, uint32_t interface)
{
	struct net_link *l = find_link(p, interface);
	if (l && family == AF_INET)
		l->default_v4 = true;
	else if (l)
		l->default_v6 = true;
}

static void default_over_each(struct net_picture *p, uint8_t family, const struct rtattr *multipath)
{
	const uint8_t *at = rtnl_data(multipath);
	size_t left = rtnl_data_len(multipath);
	struct rtnexthop hop;
	while (left >= sizeof(hop)) {
		memcpy(&hop, at, sizeof(hop));
		size_t step = RTNH_ALIGN(hop.rtnh_len);
		if (hop.rtnh_len < sizeof(hop) || step > left)
			return;
		default_over(p, family, (uint32_t)hop.rtnh_ifindex);
		at += step;
		left -= step;
	}
}

/* All destinations, or half of them: two such routes are how some VPNs take the other's place. */
static bool is_wide(const struct rtmsg *r)
{
	return r->rtm_dst_len <= 1;
}

static bool is_to_one_host(const struct rtmsg *r)
{
	return r->rtm_dst_len == (r->rtm_family == AF_INET ? 32 : 128);
}

static bool read_route(const struct nlmsghdr *m, struct rtmsg *r)
{
	if (m->nlmsg_len < NLMSG_SPACE(sizeof(*r)))
		return false;
	memcpy(r, rtnl_body(m), sizeof(*r));
	return r->rtm_type == RTN_UNICAST && !(r->rtm_flags & RTM_F_CLONED);
}

bool net_route_is_news(const struct nlmsghdr *m)
{
	struct rtmsg r;
	return read_route(m, &r) && is_wide(&r);
}

static void note_gateway(struct net_picture *p, uint8_t family, uint32_t interface,
	const struct rtattr *gateway, const struct rtattr *priority)
{
	const struct net_link *link = find_link(p, interface);
	const uint8_t *ip = rtnl_data(gateway);
	if (!link)
		return;
	struct net_gateway *best = &p->gateways[family == AF_INET6][link->class],
			   g = { .interface = interface };
	if (priority && rtnl_data_len(priority) == sizeof(g.metric))
		memcpy(&g.metric, rtnl_data(priority), sizeof(g.metric));
	if (best->known && best->metric <= g.metric)
		return;
	if (family == AF_INET && rtnl_data_len(gateway) == 4)
		g.addr = addr_v4(ip[0], ip[1], ip[2], ip[3], 0);
	else if (family == AF_INET6 && rtnl_data_len(gateway) == 16)
		memcpy(g.addr.ip, ip, 16);
	else
		return;
	if (family == AF_INET6 && addr_scope(&g.addr) == ADDR_LINK_LOCAL)
		g.addr.scope = interface;
	g.known = true;
	*best = g;
}

static void route_over(struct net_picture *p, const struct rtmsg *r, const struct rtattr **a)
{
	uint32_t interface;
	memcpy(&interface, rtnl_data(a[RTA_OIF]), sizeof(interface));
	const struct net_link *l = find_link(p, interface);
	bool main_table = r->rtm_table == RT_TABLE_MAIN;
	if (l && l->class == NET_LINK_WAY && a[RTA_GATEWAY] && main_table)
		p->has_way_out = true;
	if (is_wide(r) && (!l || l->class == NET_LINK_DOUBTFUL)) /* of whatever order */
		p->tunnels += (uint64_t)interface << 32 | (uint64_t)(1u + r->rtm_dst_len) << 8 |
			      r->rtm_family;
	if (r->rtm_dst_len != 0)
		return;
	default_over(p, r->rtm_family, interface);
	if (a[RTA_GATEWAY] && main_table)
		note_gateway(p, r->rtm_family, interface, a[RTA_GATEWAY], a[RTA_PRIORITY]);
}

static void on_route(void *context, const struct nlmsghdr *m)
{
	struct net_picture *p = context;
	const struct rtattr *a[RTA_MULTIPATH + 1];
	struct rtmsg r;
	if (m->nlmsg_type != RTM_NEWROUTE || !read_route(m, &r) ||
		!(is_wide(&r) || is_to_one_host(&r)))
		return;
	rtnl_attributes(m, sizeof(r), a, RTA_MULTIPATH);
	if (a[RTA_OIF])
		route_over(p, &r, a);
	if (a[RTA_MULTIPATH] && r.rtm_dst_len == 0)
		default_over_each(p, r.rtm_family, a[RTA_MULTIPATH]);
}

/* A temporary address (RFC 8981) beside a lasting one of the same prefix adds nothing but a move
 * every day. */
static bool is_redundant(const struct net_picture *p, const struct net_found *f)
{
	for (size_t i = 0; f->temporary && i < p->count; i++) {
		const struct local_address *o = &p->found[i].local;
		if (!p->found[i].temporary && o->interface == f->local.interface &&
			memcmp(o->addr.ip, f->local.addr.ip, 8) == 0)
			return true;
	}
	return false;
}

int net_picture_take(struct net_picture *p, int fd, const char *own_interface)
{
	int error = -EINTR;
	for (int i = 0; i < DUMP_TRIES && error == -EINTR; i++) {
		memset(p, 0, sizeof(*p));
		p->own_interface = own_interface;
		error = rtnl_dump(fd, RTM_GETLINK, AF_UNSPEC, on_link, p);
		if (error == 0)
			error = rtnl_dump(fd, RTM_GETADDR, AF_UNSPEC, on_address, p);
		if (error == 0)
			error = rtnl_dump(fd, RTM_GETROUTE, AF_INET, on_route, p);
		if (error == 0)
			error = rtnl_dump(fd, RTM_GETROUTE, AF_INET6, on_route, p);
	}
	return error == -EINTR ? 0 : error;
}

/* A doubtful link beside an ordinary one with a way out is a tunnel over it; alone, it is the way.
 */
static bool is_tunnel(const struct net_picture *p, const struct net_link *l)
{
	return l->class == NET_LINK_DOUBTFUL && p->has_way_out;
}

size_t net_picture_list(struct net_picture *p, struct local_address *out)
{
	size_t n = 0;
	for (size_t i = 0; i < p->count; i++) {
		const struct net_found *f = &p->found[i];
		const struct net_link *l = find_link(p, f->local.interface);
		if (!l || is_tunnel(p, l) || is_redundant(p, f))
			continue;
		out[n] = f->local;
		bool v4 = addr_is_v4(&f->local.addr);
		out[n++].has_default_route = v4 ? l->default_v4 : l->default_v6;
	}
	return n;
}

static bool is_in_prefix(const struct ov_addr *a, const struct local_address *l)
{
	unsigned skip = addr_is_v4(a) ? 96 : 0; /* an IPv4 prefix counts within its mapped form */
	for (unsigned bit = 0; bit < skip + l->prefix_len; bit++) {
		uint8_t mask = (uint8_t)(0x80 >> bit % 8);
		if ((a->ip[bit / 8] ^ l->addr.ip[bit / 8]) & mask)
			return false;
	}
	return true;
}

/* Of our addresses on that interface: for IPv4 one of the router's prefix, for IPv6 a global one
 * (the router has a link-local address, whatever we have); else any. */
static struct portmap_route router_from(
	const struct net_gateway *g, const struct local_address *list, size_t count)
{
	struct portmap_route r = { .gateway = g->addr, .interface = g->interface };
	bool v4 = addr_is_v4(&g->addr), good = false, any = false;
	for (size_t i = 0; g->known && i < count && !good; i++) {
		const struct local_address *l = &list[i];
		if (l->interface != g->interface || addr_is_v4(&l->addr) != v4)
			continue;
		good = v4 ? is_in_prefix(&g->addr, l) : addr_scope(&l->addr) == ADDR_GLOBAL;
		if (any && !good)
			continue;
		any = true;
		r.local = l->addr;
		r.prefix_len = l->prefix_len;
	}
	return any ? r : (struct portmap_route){ 0 };
}

struct portmap_route net_picture_router(
	const struct net_picture *p, bool v6, const struct local_address *list, size_t count)
{
	const struct net_gateway *g = p->gateways[v6];
	return router_from(p->has_way_out ? &g[NET_LINK_WAY] : &g[NET_LINK_DOUBTFUL], list, count);
}
