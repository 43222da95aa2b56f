/* Beacons are few and small: plain recvmsg and sendmsg, at most BATCH a turn, so that a flood costs
 * the data path little; what is left stays in the socket, and what does not fit there is lost.
 *
 * A group is joined with every change of the list, since a family may come to an interface later;
 * "joined already" is as good. What left the list is left at once: a membership outlives its
 * interface, and a socket has 20 of them (igmp_max_memberships).
 *
 * Hops are 1: nothing of it leaves the network, even where routers forward broadcasts. */
#include "overlay/lan_uv.h"

#include "discovery/beacon.h"
#include "overlay/clock_os.h"
#include "overlay/entropy_os.h"
#include "overlay/udp_backend_uv.h"

#include <errno.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define BATCH 32

struct lane {
	struct lan_edge *owner;
	int fd; /* -1: absent */
	bool readable;
	uv_poll_t poll;
};

struct lan_edge {
	struct lan *lan;
	struct lane lanes[UDP_FAMILIES];
	uint32_t joined[LAN_INTERFACES];
	size_t joined_count;
	int open_handles;
	struct local_address usable[LAN_INTERFACES * LAN_ADDRESSES]; /* scratch */
};

static const int families[UDP_FAMILIES] = { [UDP_IPV6] = AF_INET6, [UDP_IPV4] = AF_INET };

/* ---- interfaces ---- */

/* Is this a network of many? By any socket. */
static bool is_network(int fd, uint32_t interface)
{
	struct ifreq r = { 0 };
	if (!if_indextoname(interface, r.ifr_name) || ioctl(fd, SIOCGIFFLAGS, &r) != 0)
		return false;
	return (r.ifr_flags & IFF_MULTICAST) && !(r.ifr_flags & (IFF_POINTOPOINT | IFF_LOOPBACK));
}

static void set_member(const struct lan_edge *e, uint32_t interface, bool member)
{
	int name4 = member ? IP_ADD_MEMBERSHIP : IP_DROP_MEMBERSHIP;
	int name6 = member ? IPV6_JOIN_GROUP : IPV6_LEAVE_GROUP;
	struct ov_addr group = lan_group(true);
	struct ip_mreqn v4 = { .imr_ifindex = (int)interface };
	memcpy(&v4.imr_multiaddr, group.ip + 12, 4);
	struct ipv6_mreq v6 = { .ipv6mr_interface = interface };
	group = lan_group(false);
	memcpy(&v6.ipv6mr_multiaddr, group.ip, 16);
	if (e->lanes[UDP_IPV4].fd >= 0)
		setsockopt(e->lanes[UDP_IPV4].fd, IPPROTO_IP, name4, &v4, sizeof(v4));
	if (e->lanes[UDP_IPV6].fd >= 0)
		setsockopt(e->lanes[UDP_IPV6].fd, IPPROTO_IPV6, name6, &v6, sizeof(v6));
}

static bool has(const uint32_t *list, size_t count, uint32_t interface)
{
	for (size_t i = 0; i < count; i++)
		if (list[i] == interface)
			return true;
	return false;
}

void lan_edge_network(struct lan_edge *e, ov_time now, const struct local_address *list,
	size_t count, bool resumed)
{
	uint32_t interfaces[LAN_INTERFACES];
	size_t used = 0, joined = 0;
	if (!e)
		return;
	int any = e->lanes[UDP_IPV4].fd >= 0 ? e->lanes[UDP_IPV4].fd : e->lanes[UDP_IPV6].fd;
	for (size_t i = 0; i < count && used < LAN_INTERFACES * LAN_ADDRESSES; i++) {
		uint32_t interface = list[i].interface;
		bool counted = has(interfaces, joined, interface);
		if (!counted && (joined == LAN_INTERFACES || !is_network(any, interface)))
			continue;
		e->usable[used++] = list[i];
		if (counted)
			continue;
		interfaces[joined++] = interface;
		set_member(e, interface, true);
	}
	for (size_t i = 0; i < e->joined_count; i++)
		if (!has(interfaces, joined, e->joined[i]))
			set_member(e, e->joined[i], false);
	memcpy(e->joined, interfaces, joined * sizeof(interfaces[0]));
	e->joined_count = joined;
	lan_network(e->lan, now, e->usable, used, resumed);
}

/* ---- datagrams ---- */

static void read_control(struct msghdr *h, struct dgram *d)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(h); c; c = CMSG_NXTHDR(h, c)) {
		if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) {
			struct in_pktinfo info;
			memcpy(&info, CMSG_DATA(c), sizeof(info));
			uint8_t ip[4];
			memcpy(ip, &info.ipi_addr, 4); /* as sent, not our address */
			d->local = addr_v4(ip[0], ip[1], ip[2], ip[3], LAN_PORT);
			d->interface = (uint32_t)info.ipi_ifindex;
		} else if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO) {
			struct in6_pktinfo info;
			memcpy(&info, CMSG_DATA(c), sizeof(info));
			memcpy(d->local.ip, &info.ipi6_addr, 16);
			d->interface = info.ipi6_ifindex;
		}
	}
}

/* One datagram to lan; false: the socket is empty. */
static bool receive_one(struct lane *l, ov_time now)
{
	uint8_t data[BEACON_MAX + 1]; /* longer ones are seen to be */
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(struct in6_pktinfo))];
	struct sockaddr_in6 from;
	struct iovec iov = { data, sizeof(data) };
	struct msghdr h = { .msg_name = &from,
		.msg_namelen = sizeof(from),
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = sizeof(control) };
	ssize_t n = recvmsg(l->fd, &h, MSG_DONTWAIT);
	if (n < 0)
		return errno == EINTR;
	struct dgram d = { .data = data,
		.len = (size_t)n,
		.segment = (uint16_t)n,
		.remote = udp_from_sockaddr((struct sockaddr *)&from) };
	read_control(&h, &d);
	lan_input(l->owner->lan, now, &d);
	return true;
}

static void set_source(struct msghdr *h, const struct dgram *d)
{
	struct cmsghdr *c = CMSG_FIRSTHDR(h);
	if (addr_is_v4(&d->remote)) {
		struct in_pktinfo info = { .ipi_ifindex = (int)d->interface };
		memcpy(&info.ipi_spec_dst, d->local.ip + 12, 4);
		c->cmsg_level = IPPROTO_IP;
		c->cmsg_type = IP_PKTINFO;
		c->cmsg_len = CMSG_LEN(sizeof(info));
		memcpy(CMSG_DATA(c), &info, sizeof(info));
	} else {
		struct in6_pktinfo info = { .ipi6_ifindex = d->interface };
		memcpy(&info.ipi6_addr, d->local.ip, 16);
		c->cmsg_level = IPPROTO_IPV6;
		c->cmsg_type = IPV6_PKTINFO;
		c->cmsg_len = CMSG_LEN(sizeof(info));
		memcpy(CMSG_DATA(c), &info, sizeof(info));
	}
	h->msg_controllen = CMSG_SPACE(c->cmsg_len - CMSG_LEN(0));
}

/* What cannot go (an address that just left, a firewall) is said again soon enough. */
static void send_one(const struct lan_edge *e, const struct dgram *d)
{
	int fd = e->lanes[addr_is_v4(&d->remote) ? UDP_IPV4 : UDP_IPV6].fd;
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(struct in6_pktinfo))] = { 0 };
	struct sockaddr_in6 to;
	struct iovec iov = { d->data, d->len };
	struct msghdr h = { .msg_name = &to,
		.msg_namelen = udp_to_sockaddr(&d->remote, &to),
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = sizeof(control) };
	set_source(&h, d);
	if (fd >= 0)
		(void)!sendmsg(fd, &h, MSG_DONTWAIT);
}

void lan_edge_run(struct lan_edge *e, ov_time now)
{
	struct dgram out;
	if (!e)
		return;
	for (int i = 0; i < UDP_FAMILIES; i++) {
		struct lane *l = &e->lanes[i];
		for (size_t k = 0; l->readable && k < BATCH; k++)
			l->readable = receive_one(l, now);
		l->readable = false; /* the loop tells when there is more */
	}
	if (lan_deadline(e->lan) > now)
		return;
	lan_tick(e->lan, now);
	while (lan_poll(e->lan, &out))
		send_one(e, &out);
}

ov_time lan_edge_deadline(const struct lan_edge *e)
{
	return e ? lan_deadline(e->lan) : OV_NEVER;
}

void lan_edge_on_contact(struct lan_edge *e, ov_time now)
{
	if (e)
		lan_on_contact(e->lan, now);
}

const struct lan_counters *lan_edge_counters(const struct lan_edge *e)
{
	return e ? lan_counters(e->lan) : NULL;
}

struct lan *lan_edge_lan(const struct lan_edge *e)
{
	return e ? e->lan : NULL;
}

/* ---- open, close ---- */

static int set_int(int fd, int level, int name, int value)
{
	return setsockopt(fd, level, name, &value, sizeof(value));
}

static bool set_options(int fd, int family)
{
	if (set_int(fd, SOL_SOCKET, SO_REUSEADDR, 1) != 0)
		return false;
	if (family == AF_INET)
		return set_int(fd, SOL_SOCKET, SO_BROADCAST, 1) == 0 &&
		       set_int(fd, IPPROTO_IP, IP_PKTINFO, 1) == 0 &&
		       set_int(fd, IPPROTO_IP, IP_MULTICAST_TTL, 1) == 0 &&
		       set_int(fd, IPPROTO_IP, IP_TTL, 1) == 0;
	return set_int(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1) == 0 &&
	       set_int(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1) == 0 &&
	       set_int(fd, IPPROTO_IPV6, IPV6_MULTICAST_HOPS, 1) == 0;
}

/* The socket, or -1 and errno. */
static int socket_open(int family)
{
	int fd = socket(family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_UDP);
	if (fd < 0)
		return -1;
	struct ov_addr any = { .port = LAN_PORT };
	if (family == AF_INET)
		any = addr_v4(0, 0, 0, 0, LAN_PORT);
	struct sockaddr_in6 sa;
	socklen_t len = udp_to_sockaddr(&any, &sa);
	if (set_options(fd, family) && bind(fd, (struct sockaddr *)&sa, len) == 0)
		return fd;
	int error = errno;
	close(fd);
	errno = error;
	return -1;
}

static void on_readable(uv_poll_t *handle, int status, int events)
{
	(void)status;
	(void)events;
	((struct lane *)handle->data)->readable = true;
}

static void free_edge(struct lan_edge *e)
{
	lan_free(e->lan);
	free(e);
}

static void on_closed(uv_handle_t *handle)
{
	struct lan_edge *e = ((struct lane *)handle->data)->owner;
	if (--e->open_handles == 0)
		free_edge(e);
}

void lan_edge_close(struct lan_edge *e)
{
	if (!e)
		return;
	int handles = e->open_handles;
	for (int i = 0; i < UDP_FAMILIES; i++) {
		struct lane *l = &e->lanes[i];
		if (l->poll.data)
			uv_close((uv_handle_t *)&l->poll, on_closed);
		if (l->fd >= 0)
			close(l->fd);
	}
	if (handles == 0)
		free_edge(e);
}

static void open_lane(struct lane *l, uv_loop_t *loop, int family)
{
	l->fd = socket_open(family);
	if (l->fd < 0 || uv_poll_init(loop, &l->poll, l->fd) != 0)
		return;
	l->poll.data = l;
	l->owner->open_handles++;
	uv_poll_start(&l->poll, UV_READABLE, on_readable);
}

struct lan_edge *lan_edge_open(uv_loop_t *loop, struct node *n, uint16_t hs1_port, struct log *log)
{
	struct lan_edge *e = calloc(1, sizeof(*e));
	struct rng rng = entropy_rng();
	errno = ENOMEM;
	for (int i = 0; e && i < UDP_FAMILIES; i++) {
		e->lanes[i].owner = e;
		open_lane(&e->lanes[i], loop, families[i]); /* one family may be absent */
	}
	int error = errno;
	if (e && e->open_handles > 0)
		e->lan = lan_new(n, hs1_port, &rng);
	if (e && e->lan)
		return e;
	log_warn(log, clock_now(), "lan", "unavailable port=%d why=%s", LAN_PORT, strerror(error));
	lan_edge_close(e);
	return NULL;
}
