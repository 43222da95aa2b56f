/* Events only mark the picture as stale; the picture itself always comes from a full dump of links,
 * addresses and default routes. So the order of events, lost events (ENOBUFS) and what an event
 * looks like do not matter.
 *
 * The first event of a burst starts a timer of SETTLE_MS; the dump covers what came meanwhile,
 * later events start the next one. A change therefore takes effect within a few milliseconds, and a
 * burst costs at most one dump per SETTLE_MS. The list is delivered only if it differs.
 *
 * Sleep: a timerfd on the wall clock is cancelled by the kernel when the clock is set, resume
 * included (timerfd_create(2), TFD_TIMER_CANCEL_ON_SET). It wakes the loop; whether it was sleep
 * the difference of the two clocks tells. */
#include "overlay/netmon_uv.h"

#include "overlay/clock_os.h"
#include "overlay/rtnl_os.h"

#include <errno.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

#define SETTLE_MS  5
#define RETRY_MS   50 /* after a dump that failed */
#define LINKS      256
#define DUMP_TRIES 3 /* a table that changes all the time is dumped as it is */

#ifndef ARPHRD_IP6GRE
#define ARPHRD_IP6GRE 823
#endif
#define IFF_LOWER_UP_ 0x10000 /* linux/if.h and net/if.h cannot both be included */

struct link {
	uint32_t interface;
	bool default_v4, default_v6;
};

struct found {
	struct local_address local;
	bool temporary;
};

struct gateway { /* of the default route with the lowest metric */
	struct ov_addr addr;
	uint32_t interface, metric;
	bool known;
};

struct picture {
	const char *own_interface;
	struct link links[LINKS]; /* candidates only */
	size_t link_count;
	struct found found[NETMON_ADDRESSES];
	size_t count;
	struct gateway gateways[2]; /* IPv4, IPv6 */
};

struct netmon {
	struct netmon_options options;
	char own_interface[IF_NAMESIZE];
	int events_fd, dump_fd, wall_fd;
	uv_poll_t events, wall;
	uv_timer_t settle;
	int open_handles;
	bool stale, resumed;
	ov_time stale_at;
	struct sleep_watch sleep;
	struct local_address list[NETMON_ADDRESSES], fresh[NETMON_ADDRESSES];
	size_t count;                                      /* of list, which was delivered */
	struct portmap_route routers[2], fresh_routers[2]; /* IPv4, IPv6 */
	struct picture picture;                            /* scratch of a dump */
};

bool sleep_watch_woke(struct sleep_watch *w, ov_time boot, ov_time monotonic)
{
	ov_time difference = boot - monotonic;
	bool woke = w->armed && difference - w->difference > SLEEP_MIN;
	w->difference = difference; /* also swallows the jitter of two clock reads */
	w->armed = true;
	return woke;
}

bool netmon_is_candidate(const char *name, unsigned type, unsigned flags)
{
	static const char *const others[] = { "docker", "veth", "virbr", "br-", "tun", "tap", "wg",
		"tailscale", "lxcbr", "lxdbr", "podman", "cni", "vnet", "zt" };
	static const unsigned tunnels[] = { ARPHRD_NONE, ARPHRD_TUNNEL, ARPHRD_TUNNEL6, ARPHRD_SIT,
		ARPHRD_IPGRE, ARPHRD_IP6GRE, ARPHRD_LOOPBACK };
	if (!(flags & IFF_UP) || !(flags & IFF_LOWER_UP_) || (flags & IFF_LOOPBACK))
		return false;
	for (size_t i = 0; i < sizeof(tunnels) / sizeof(tunnels[0]); i++) {
		if (type == tunnels[i])
			return false;
	}
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
		if (strncmp(name, others[i], strlen(others[i])) == 0)
			return false;
	}
	return true;
}

/* ---- the picture ---- */

static struct link *find_link(struct picture *p, uint32_t interface)
{
	for (size_t i = 0; i < p->link_count; i++) {
		if (p->links[i].interface == interface)
			return &p->links[i];
	}
	return NULL;
}

static void on_link(void *context, const struct nlmsghdr *m)
{
	struct picture *p = context;
	const struct rtattr *a[IFLA_IFNAME + 1];
	struct ifinfomsg info;
	if (m->nlmsg_type != RTM_NEWLINK || m->nlmsg_len < NLMSG_SPACE(sizeof(info)))
		return;
	memcpy(&info, rtnl_body(m), sizeof(info));
	rtnl_attributes(m, sizeof(info), a, IFLA_IFNAME);
	if (!a[IFLA_IFNAME] || p->link_count == LINKS)
		return;
	const char *name = rtnl_data(a[IFLA_IFNAME]);
	if (strcmp(name, p->own_interface) == 0 ||
		!netmon_is_candidate(name, info.ifi_type, info.ifi_flags))
		return;
	p->links[p->link_count++] = (struct link){ .interface = (uint32_t)info.ifi_index };
}

static void on_address(void *context, const struct nlmsghdr *m)
{
	struct picture *p = context;
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
	if (!ip || !find_link(p, info.ifa_index) || p->count == NETMON_ADDRESSES)
		return;
	struct found f = { .temporary = flags & IFA_F_TEMPORARY,
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

static void default_over(struct picture *p, uint8_t family, uint32_t interface)
{
	struct link *l = find_link(p, interface);
	if (l && family == AF_INET)
		l->default_v4 = true;
	else if (l)
		l->default_v6 = true;
}

static void default_over_each(struct picture *p, uint8_t family, const struct rtattr *multipath)
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

static bool is_default_route(const struct nlmsghdr *m, struct rtmsg *r)
{
	if (m->nlmsg_len < NLMSG_SPACE(sizeof(*r)))
		return false;
	memcpy(r, rtnl_body(m), sizeof(*r));
	return r->rtm_dst_len == 0 && r->rtm_type == RTN_UNICAST && !(r->rtm_flags & RTM_F_CLONED);
}

static void note_gateway(struct picture *p, uint8_t family, uint32_t interface,
	const struct rtattr *gateway, const struct rtattr *priority)
{
	struct gateway *best = &p->gateways[family == AF_INET6], g = { .interface = interface };
	const uint8_t *ip = rtnl_data(gateway);
	if (!find_link(p, interface))
		return;
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

static void on_route(void *context, const struct nlmsghdr *m)
{
	struct picture *p = context;
	const struct rtattr *a[RTA_MULTIPATH + 1];
	struct rtmsg r;
	if (m->nlmsg_type != RTM_NEWROUTE || !is_default_route(m, &r))
		return;
	rtnl_attributes(m, sizeof(r), a, RTA_MULTIPATH);
	uint32_t interface;
	if (a[RTA_OIF]) {
		memcpy(&interface, rtnl_data(a[RTA_OIF]), sizeof(interface));
		default_over(p, r.rtm_family, interface);
		if (a[RTA_GATEWAY] && r.rtm_table == RT_TABLE_MAIN)
			note_gateway(p, r.rtm_family, interface, a[RTA_GATEWAY], a[RTA_PRIORITY]);
	}
	if (a[RTA_MULTIPATH])
		default_over_each(p, r.rtm_family, a[RTA_MULTIPATH]);
}

/* A temporary address (RFC 8981) beside a lasting one of the same prefix adds nothing but a move
 * every day. */
static bool is_redundant(const struct picture *p, const struct found *f)
{
	for (size_t i = 0; f->temporary && i < p->count; i++) {
		const struct local_address *o = &p->found[i].local;
		if (!p->found[i].temporary && o->interface == f->local.interface &&
			memcmp(o->addr.ip, f->local.addr.ip, 8) == 0)
			return true;
	}
	return false;
}

static int dump(struct netmon *m)
{
	struct picture *p = &m->picture;
	int error = -EINTR;
	for (int i = 0; i < DUMP_TRIES && error == -EINTR; i++) {
		memset(p, 0, sizeof(*p));
		p->own_interface = m->own_interface;
		error = rtnl_dump(m->dump_fd, RTM_GETLINK, AF_UNSPEC, on_link, p);
		if (error == 0)
			error = rtnl_dump(m->dump_fd, RTM_GETADDR, AF_UNSPEC, on_address, p);
		if (error == 0)
			error = rtnl_dump(m->dump_fd, RTM_GETROUTE, AF_INET, on_route, p);
		if (error == 0)
			error = rtnl_dump(m->dump_fd, RTM_GETROUTE, AF_INET6, on_route, p);
	}
	return error == -EINTR ? 0 : error;
}

static size_t list_from(struct picture *p, struct local_address *out)
{
	size_t n = 0;
	for (size_t i = 0; i < p->count; i++) {
		const struct found *f = &p->found[i];
		if (is_redundant(p, f))
			continue;
		const struct link *l = find_link(p, f->local.interface);
		out[n] = f->local;
		bool v4 = addr_is_v4(&f->local.addr);
		out[n++].has_default_route = l && (v4 ? l->default_v4 : l->default_v6);
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
	const struct gateway *g, const struct local_address *list, size_t count)
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

static bool same_router(const struct portmap_route *a, const struct portmap_route *b)
{
	return addr_equal(&a->gateway, &b->gateway) && addr_equal(&a->local, &b->local) &&
	       a->interface == b->interface && a->prefix_len == b->prefix_len;
}

static void routers_from(struct netmon *m, const struct local_address *list, size_t count)
{
	for (size_t i = 0; i < 2; i++)
		m->fresh_routers[i] = router_from(&m->picture.gateways[i], list, count);
}

struct portmap_route netmon_router(const struct netmon *m, bool v6)
{
	return m->routers[v6];
}

static bool same_list(const struct local_address *a, const struct local_address *b, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (!addr_equal(&a[i].addr, &b[i].addr) || a[i].interface != b[i].interface ||
			a[i].prefix_len != b[i].prefix_len ||
			a[i].has_default_route != b[i].has_default_route)
			return false;
	}
	return true;
}

/* ---- the loop's side ---- */

static void on_settled(uv_timer_t *timer);

static void mark_stale(struct netmon *m, ov_time at)
{
	if (m->stale)
		return;
	m->stale = true;
	m->stale_at = at;
	uv_timer_start(&m->settle, on_settled, SETTLE_MS, 0);
}

static void on_settled(uv_timer_t *timer)
{
	struct netmon *m = timer->data;
	if (dump(m) != 0) { /* out of memory in the kernel, for one */
		uv_timer_start(&m->settle, on_settled, RETRY_MS, 0);
		return;
	}
	m->stale = false;
	size_t count = list_from(&m->picture, m->fresh);
	routers_from(m, m->fresh, count);
	bool same = count == m->count && same_list(m->fresh, m->list, count) &&
		    same_router(&m->fresh_routers[0], &m->routers[0]) &&
		    same_router(&m->fresh_routers[1], &m->routers[1]);
	bool resumed = m->resumed;
	m->resumed = false;
	if (same && !resumed)
		return;
	memcpy(m->list, m->fresh, count * sizeof(m->list[0]));
	m->count = count;
	memcpy(m->routers, m->fresh_routers, sizeof(m->routers));
	m->options.on_change(m->options.context, m->stale_at, m->list, count, resumed);
}

/* Our own /64 routes come by the thousand and change nothing. */
static bool is_news(const struct nlmsghdr *n)
{
	struct rtmsg r;
	if (n->nlmsg_type == RTM_NEWROUTE || n->nlmsg_type == RTM_DELROUTE)
		return is_default_route(n, &r);
	return n->nlmsg_type == RTM_NEWADDR || n->nlmsg_type == RTM_DELADDR ||
	       n->nlmsg_type == RTM_NEWLINK || n->nlmsg_type == RTM_DELLINK;
}

static void on_events(uv_poll_t *handle, int status, int events)
{
	struct netmon *m = handle->data;
	static _Alignas(struct nlmsghdr) uint8_t buf[16 << 10];
	(void)status;
	(void)events;
	for (;;) {
		ssize_t n = recv(m->events_fd, buf, sizeof(buf), MSG_DONTWAIT);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == ENOBUFS) { /* events were lost: whatever they said */
			mark_stale(m, clock_now());
			continue;
		}
		if (n <= 0)
			return;
		size_t left = (size_t)n;
		const uint8_t *at = buf;
		for (const struct nlmsghdr *h; !m->stale && (h = rtnl_next(&at, &left));) {
			if (is_news(h))
				mark_stale(m, clock_now());
		}
	}
}

void netmon_check_sleep(struct netmon *m, ov_time boot, ov_time monotonic)
{
	if (!sleep_watch_woke(&m->sleep, boot, monotonic))
		return;
	m->resumed = true;
	mark_stale(m, boot);
}

static void arm_wall(struct netmon *m)
{
	struct itimerspec never = { .it_value = { .tv_sec = INT32_MAX } }; /* or 2038: then again */
	struct timespec now;
	if (clock_gettime(CLOCK_REALTIME, &now) == 0)
		never.it_value.tv_sec = now.tv_sec + 365 * 86400;
	timerfd_settime(m->wall_fd, TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET, &never, NULL);
}

static void on_wall(uv_poll_t *handle, int status, int events)
{
	struct netmon *m = handle->data;
	uint64_t expirations;
	(void)status;
	(void)events;
	if (read(m->wall_fd, &expirations, sizeof(expirations)) < 0 && errno == EAGAIN)
		return;
	arm_wall(m); /* ECANCELED: the clock was set, or we resumed */
	netmon_check_sleep(m, clock_now(), clock_monotonic());
}

/* ---- open, close ---- */

static void close_fds(struct netmon *m)
{
	if (m->events_fd >= 0)
		close(m->events_fd);
	if (m->dump_fd >= 0)
		close(m->dump_fd);
	if (m->wall_fd >= 0)
		close(m->wall_fd);
}

static void on_closed(uv_handle_t *handle)
{
	struct netmon *m = handle->data;
	if (--m->open_handles == 0)
		free(m);
}

void netmon_close(struct netmon *m)
{
	if (!m)
		return;
	uv_close((uv_handle_t *)&m->settle, on_closed);
	if (m->events.data)
		uv_close((uv_handle_t *)&m->events, on_closed);
	if (m->wall.data)
		uv_close((uv_handle_t *)&m->wall, on_closed);
	close_fds(m);
}

/* 0 or negative errno. The wall clock's timer is a bonus: without it sleep is noticed at the next
 * turn of the loop. */
static int watch_all(struct netmon *m, uv_loop_t *loop)
{
	int error = uv_poll_init(loop, &m->events, m->events_fd);
	if (error)
		return error;
	m->events.data = m;
	m->open_handles++;
	uv_poll_start(&m->events, UV_READABLE, on_events);
	if (m->wall_fd < 0 || uv_poll_init(loop, &m->wall, m->wall_fd))
		return 0;
	m->wall.data = m;
	m->open_handles++;
	arm_wall(m);
	uv_poll_start(&m->wall, UV_READABLE, on_wall);
	return 0;
}

static int start(struct netmon *m, uv_loop_t *loop)
{
	if (m->events_fd < 0)
		return m->events_fd;
	if (m->dump_fd < 0)
		return m->dump_fd;
	int error = watch_all(m, loop); /* before the dump: nothing falls between */
	if (error == 0)
		error = dump(m);
	return error;
}

struct netmon *netmon_open(
	uv_loop_t *loop, const struct netmon_options *o, char *why, size_t why_size)
{
	struct netmon *m = calloc(1, sizeof(*m));
	if (!m) {
		snprintf(why, why_size, "out of memory");
		return NULL;
	}
	m->options = *o;
	if (o->own_interface)
		snprintf(m->own_interface, sizeof(m->own_interface), "%s", o->own_interface);
	uv_timer_init(loop, &m->settle);
	m->settle.data = m;
	m->open_handles = 1;
	m->events_fd = rtnl_open(RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR |
					 RTMGRP_IPV4_ROUTE | RTMGRP_IPV6_ROUTE,
		true);
	m->dump_fd = rtnl_open(0, false);
	m->wall_fd = timerfd_create(CLOCK_REALTIME, TFD_NONBLOCK | TFD_CLOEXEC);
	int error = start(m, loop);
	if (error) {
		snprintf(why, why_size, "cannot watch the network (netlink): %s", strerror(-error));
		netmon_close(m);
		return NULL;
	}
	sleep_watch_woke(&m->sleep, clock_now(), clock_monotonic());
	m->count = list_from(&m->picture, m->list);
	routers_from(m, m->list, m->count);
	memcpy(m->routers, m->fresh_routers, sizeof(m->routers));
	o->on_change(o->context, clock_now(), m->list, m->count, false);
	return m;
}
