/* Opening and binding the sockets, and what both backends have in common.
 *
 * Two sockets instead of one dual-stack socket: IP_PKTINFO, DF and errors of IPv4 work as
 * documented only on AF_INET sockets, and a host without IPv6 needs no special case. Both get the
 * same port; if any port will do, a pair is tried a few times because the IPv4 twin may be taken.
 */
#include "overlay/udp_backend_uv.h"

#include <errno.h>
#include <netinet/ip.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define PAIR_TRIES 16

static const uint8_t mapped_prefix[12] = { [10] = 0xff, [11] = 0xff };

socklen_t udp_to_sockaddr(const struct ov_addr *a, struct sockaddr_in6 *out)
{
	if (addr_is_v4(a)) {
		struct sockaddr_in v4 = { .sin_family = AF_INET, .sin_port = htons(a->port) };
		memcpy(&v4.sin_addr, a->ip + 12, 4);
		memcpy(out, &v4, sizeof(v4));
		return sizeof(v4);
	}
	*out = (struct sockaddr_in6){
		.sin6_family = AF_INET6, .sin6_port = htons(a->port), .sin6_scope_id = a->scope
	};
	memcpy(&out->sin6_addr, a->ip, 16);
	return sizeof(*out);
}

struct ov_addr udp_from_sockaddr(const struct sockaddr *sa)
{
	struct ov_addr a = { .port = 0 };
	if (sa->sa_family == AF_INET) {
		struct sockaddr_in v4;
		memcpy(&v4, sa, sizeof(v4));
		memcpy(a.ip, mapped_prefix, 12);
		memcpy(a.ip + 12, &v4.sin_addr, 4);
		a.port = ntohs(v4.sin_port);
		return a;
	}
	struct sockaddr_in6 v6;
	memcpy(&v6, sa, sizeof(v6));
	memcpy(a.ip, &v6.sin6_addr, 16);
	a.port = ntohs(v6.sin6_port);
	a.scope = v6.sin6_scope_id;
	return a;
}

size_t udp_datagrams(const struct dgram *run)
{
	return (run->len + run->segment - 1) / run->segment;
}

void udp_record_failure(struct udp *u, const struct dgram *run, bool too_big)
{
	u->status.failed++;
	if (u->failure_count == UDP_FAILURES)
		return; /* the same facts will come again */
	size_t i = (u->failure_first + u->failure_count++) % UDP_FAILURES;
	u->failures[i].run = *run;
	u->failures[i].run.data = NULL;
	if (run->len > run->segment)
		u->failures[i].run.len = run->segment;
	u->failures[i].too_big = too_big;
}

bool udp_next_failure(struct udp *u, struct dgram *out, bool *too_big)
{
	if (u->failure_count == 0)
		return false;
	*out = u->failures[u->failure_first].run;
	*too_big = u->failures[u->failure_first].too_big;
	u->failure_first = (u->failure_first + 1) % UDP_FAILURES;
	u->failure_count--;
	return true;
}

static int set_int(int fd, int level, int name, int value)
{
	return setsockopt(fd, level, name, &value, sizeof(value));
}

static void set_buffer(int fd, int force, int name, uint32_t bytes)
{
	int value = bytes > INT32_MAX / 2 ? INT32_MAX / 2 : (int)bytes;
#ifdef SO_RCVBUFFORCE
	if (setsockopt(fd, SOL_SOCKET, force, &value, sizeof(value)) == 0)
		return;
#endif
	(void)force;
	setsockopt(fd, SOL_SOCKET, name, &value, sizeof(value)); /* the system's maximum, then */
}

static uint32_t granted(int fd, int name)
{
	int value = 0;
	socklen_t len = sizeof(value);
	if (getsockopt(fd, SOL_SOCKET, name, &value, &len))
		return 0;
#ifdef __linux__
	value /= 2; /* Linux reports twice what was asked for: half is bookkeeping (socket(7)) */
#endif
	return (uint32_t)value;
}

/* Never fragment, never believe a cached path MTU; only the interface's own MTU counts. */
static void never_fragment(int fd, int family)
{
#ifdef IP_PMTUDISC_PROBE
	if (family == AF_INET)
		set_int(fd, IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_PROBE);
	else
		set_int(fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER, IPV6_PMTUDISC_PROBE);
#elif defined(IP_DONTFRAG)
	if (family == AF_INET)
		set_int(fd, IPPROTO_IP, IP_DONTFRAG, 1);
#endif
#ifdef IPV6_DONTFRAG
	if (family == AF_INET6)
		set_int(fd, IPPROTO_IPV6, IPV6_DONTFRAG, 1);
#endif
}

/* The socket, or negative errno. */
static int socket_open(int family, uint16_t port, const struct udp_options *o)
{
	int fd = socket(family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_UDP);
	if (fd < 0)
		return -errno;
	if (family == AF_INET6 && set_int(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1))
		goto fail;
	never_fragment(fd, family);
	set_buffer(fd, SO_RCVBUFFORCE, SO_RCVBUF,
		o->receive_buffer ? o->receive_buffer : UDP_RECEIVE_BUFFER);
	set_buffer(
		fd, SO_SNDBUFFORCE, SO_SNDBUF, o->send_buffer ? o->send_buffer : UDP_SEND_BUFFER);

	struct ov_addr any = { .port = port };
	if (family == AF_INET)
		any = addr_v4(0, 0, 0, 0, port);
	struct sockaddr_in6 sa;
	socklen_t len = udp_to_sockaddr(&any, &sa);
	if (bind(fd, (struct sockaddr *)&sa, len) == 0)
		return fd;
fail:;
	int error = -errno;
	close(fd);
	return error;
}

static uint16_t bound_port(int fd)
{
	struct sockaddr_in6 sa = { 0 };
	socklen_t len = sizeof(sa);
	if (getsockname(fd, (struct sockaddr *)&sa, &len))
		return 0;
	return udp_from_sockaddr((struct sockaddr *)&sa).port;
}

static bool family_absent(int error)
{
	return error == -EAFNOSUPPORT || error == -EADDRNOTAVAIL || error == -EPROTONOSUPPORT;
}

/* Fills fds (-1: absent) and the port. 0 or negative errno. */
static int pair_open(struct udp *u, int fds[UDP_FAMILIES])
{
	static const int families[UDP_FAMILIES] = { AF_INET6, AF_INET };
	const bool unwanted[UDP_FAMILIES] = { u->options.no_ipv6, u->options.no_ipv4 };
	uint16_t port = u->options.port;
	int error = -EAFNOSUPPORT;
	for (int i = 0; i < UDP_FAMILIES; i++) {
		fds[i] = -1;
		if (unwanted[i])
			continue;
		int fd = socket_open(families[i], port, &u->options);
		if (fd >= 0) {
			fds[i] = fd;
			port = bound_port(fd);
			continue;
		}
		error = fd;
		if (family_absent(fd))
			continue;
		if (i > 0 && fds[0] >= 0)
			close(fds[0]);
		return fd;
	}
	if (fds[0] < 0 && fds[1] < 0)
		return error;
	u->status.port = port;
	return 0;
}

static int sockets_open(struct udp *u, int fds[UDP_FAMILIES])
{
	int error = -EADDRINUSE;
	for (int i = 0; i < PAIR_TRIES && error == -EADDRINUSE; i++) {
		error = pair_open(u, fds);
		if (u->options.port != 0)
			break;
	}
	return error;
}

static void explain(char *why, size_t size, uint16_t port, int error)
{
	if (error == -EADDRINUSE && port)
		snprintf(why, size,
			"UDP port %u is taken by another program: choose another with --listen-udp",
			port);
	else if (error == -EACCES && port)
		snprintf(why, size,
			"no permission for UDP port %u: choose one above 1023 with --listen-udp",
			port);
	else if (family_absent(error))
		snprintf(why, size, "this system has neither IPv4 nor IPv6 for UDP");
	else
		snprintf(why, size, "cannot open UDP port %u: %s", port, strerror(-error));
}

static void describe(struct udp *u, const int fds[UDP_FAMILIES])
{
	int any = fds[UDP_IPV6] >= 0 ? fds[UDP_IPV6] : fds[UDP_IPV4];
	u->status.ipv6 = fds[UDP_IPV6] >= 0;
	u->status.ipv4 = fds[UDP_IPV4] >= 0;
	u->status.receive_buffer = granted(any, SO_RCVBUF);
	u->status.send_buffer = granted(any, SO_SNDBUF);
}

struct udp *udp_open(uv_loop_t *loop, const struct udp_options *o, char *why, size_t why_size)
{
	assert(o->on_readable);
	struct udp *u = NULL;
#ifdef __linux__
	if (o->backend != UDP_PORTABLE)
		u = udp_linux_new();
#endif
	if (o->backend == UDP_PORTABLE || !u)
		u = udp_portable_new();
	if (!u) {
		snprintf(why, why_size, "out of memory for the UDP buffers");
		return NULL;
	}
	u->loop = loop;
	u->options = *o;
	int fds[UDP_FAMILIES];
	int error = sockets_open(u, fds);
	if (error) {
		u->ops->discard(u);
	} else {
		describe(u, fds);
		error = u->ops->start(u, fds);
		if (error == 0)
			return u;
	}
	explain(why, why_size, o->port, error);
	return NULL;
}

void udp_close(struct udp *u)
{
	if (u)
		u->ops->stop(u);
}

const struct udp_status *udp_status(const struct udp *u)
{
	return &u->status;
}

size_t udp_receive(struct udp *u, struct dgram *out, bool after_pause)
{
	return u->ops->receive(u, out, after_pause);
}

void udp_tell_waited(struct udp *u, bool on)
{
	if (u->ops->tell_waited)
		u->ops->tell_waited(u, on);
}

void udp_send(struct udp *u, const struct dgram *runs, size_t count)
{
	u->ops->send(u, runs, count);
}

bool udp_blocked(const struct udp *u)
{
	return u->ops->blocked(u);
}
