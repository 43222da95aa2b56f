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
#include "overlay/net_picture_os.h"
#include "overlay/rtnl_os.h"

#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

#define SETTLE_MS 5
#define RETRY_MS  50 /* after a dump that failed */

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
	struct local_address list[NET_ADDRESSES], fresh[NET_ADDRESSES];
	size_t count;                                      /* of list, which was delivered */
	struct portmap_route routers[2], fresh_routers[2]; /* IPv4, IPv6 */
	uint64_t tunnels;                                  /* of the picture before */
	struct net_picture picture;                        /* scratch of a dump */
};

bool sleep_watch_woke(struct sleep_watch *w, ov_time boot, ov_time monotonic)
{
	ov_time difference = boot - monotonic;
	bool woke = w->armed && difference - w->difference > SLEEP_MIN;
	w->difference = difference; /* also swallows the jitter of two clock reads */
	w->armed = true;
	return woke;
}

static bool same_router(const struct portmap_route *a, const struct portmap_route *b)
{
	return addr_equal(&a->gateway, &b->gateway) && addr_equal(&a->local, &b->local) &&
	       a->interface == b->interface && a->prefix_len == b->prefix_len;
}

static void routers_from(struct netmon *m, const struct local_address *list, size_t count)
{
	for (size_t i = 0; i < 2; i++)
		m->fresh_routers[i] = net_picture_router(&m->picture, i > 0, list, count);
}

static int dump(struct netmon *m)
{
	return net_picture_take(&m->picture, m->dump_fd, m->own_interface);
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
	size_t count = net_picture_list(&m->picture, m->fresh);
	routers_from(m, m->fresh, count);
	bool same = count == m->count && same_list(m->fresh, m->list, count) &&
		    same_router(&m->fresh_routers[0], &m->routers[0]) &&
		    same_router(&m->fresh_routers[1], &m->routers[1]) &&
		    m->picture.tunnels == m->tunnels;
	bool resumed = m->resumed;
	m->resumed = false;
	if (same && !resumed)
		return;
	memcpy(m->list, m->fresh, count * sizeof(m->list[0]));
	m->count = count;
	memcpy(m->routers, m->fresh_routers, sizeof(m->routers));
	m->tunnels = m->picture.tunnels;
	m->options.on_change(m->options.context, m->stale_at, m->list, count, resumed);
}

static bool is_news(const struct nlmsghdr *n)
{
	if (n->nlmsg_type == RTM_NEWROUTE || n->nlmsg_type == RTM_DELROUTE)
		return net_route_is_news(n);
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
	m->count = net_picture_list(&m->picture, m->list);
	m->tunnels = m->picture.tunnels;
	routers_from(m, m->list, m->count);
	memcpy(m->routers, m->fresh_routers, sizeof(m->routers));
	o->on_change(o->context, clock_now(), m->list, m->count, false);
	return m;
}
