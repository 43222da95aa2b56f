/* Two sockets per family. One is connected to the router's port 5351: the kernel then drops what
 * comes from elsewhere and tells us when nothing listens there. The other is bound to the multicast
 * group in which routers announce that they restarted (RFC 6887 14.1.2; bound to the group, it
 * takes nothing that is sent to us directly); what does not come from the router is dropped here.
 * Both are made anew for every route. A socket that cannot be had costs only what it is for. */
#include "overlay/portmapper_uv.h"

#include "overlay/clock_os.h"
#include "overlay/entropy_os.h"
#include "overlay/udp_backend_uv.h"

#include <sodium.h>
#include <stdlib.h>

struct ear { /* a socket; outlives its line until libuv has let go of it */
	uv_udp_t udp;
	struct line *line; /* NULL: closed */
	bool announcements;
	uint8_t buf[PCP_MAX + 1];
};

struct line { /* of one family */
	struct portmapper *owner;
	struct portmap map;
	struct ear *router, *group; /* NULL: none */
};

struct portmapper {
	struct portmapper_options options;
	uv_loop_t *loop;
	struct line lines[PORTMAPPER_FAMILIES];
	struct portmap_child *child;
};

/* ---- what happened, for people ---- */

static void log_change(struct portmapper *m, const struct portmap_status *s)
{
	char external[ADDR_TEXT_MAX], gateway[ADDR_TEXT_MAX];
	ov_time now = clock_now();
	addr_format(&s->external, external);
	addr_format(&s->route.gateway, gateway);
	if (s->state == PORTMAP_HELD)
		log_info(m->options.log, now, "portmap",
			"held external=%s by=%s lease_s=%u double_nat=%d router=%s", external,
			portmap_protocol_name(s->protocol), s->lease_s, s->double_nat, gateway);
	else if (s->state == PORTMAP_NONE)
		log_info(m->options.log, now, "portmap",
			"none why=%s code=%u double_nat=%d router=%s", portmap_error_name(s->error),
			s->code, s->double_nat, gateway);
}

static void settle(struct line *l);

/* ---- the child ---- */

/* Ids of jobs tell whose answer it is; when the child is lost, so is every job that it had. */
static void on_child(void *context, const struct portmap_answer *a)
{
	struct portmapper *m = context;
	for (size_t i = 0; i < PORTMAPPER_FAMILIES; i++) {
		struct line *l = &m->lines[i];
		if (a)
			portmap_answer(&l->map, clock_now(), a);
		else
			portmap_child_gone(&l->map, clock_now());
		settle(l);
	}
}

/* ---- sockets ---- */

static void on_closed(uv_handle_t *h)
{
	free(h->data);
}

static void close_ear(struct ear **ear)
{
	struct ear *e = *ear;
	*ear = NULL;
	if (!e)
		return;
	e->line = NULL;
	uv_close((uv_handle_t *)&e->udp, on_closed);
}

static void on_alloc(uv_handle_t *h, size_t suggested, uv_buf_t *buf)
{
	struct ear *e = h->data;
	(void)suggested;
	*buf = uv_buf_init((char *)e->buf, sizeof(e->buf));
}

static bool is_router(const struct line *l, const struct sockaddr *from)
{
	struct ov_addr a = udp_from_sockaddr(from);
	return addr_same_ip(&a, &l->map.status.route.gateway) && a.port == PCP_SERVER_PORT;
}

static void on_datagram(
	uv_udp_t *h, ssize_t n, const uv_buf_t *buf, const struct sockaddr *from, unsigned flags)
{
	struct ear *e = h->data;
	struct line *l = e->line;
	(void)flags;
	if (!l || (n == 0 && !from))
		return;
	ov_time now = clock_now();
	if (n == UV_ECONNREFUSED)
		portmap_unreachable(&l->map, now);
	else if (n >= 0 && is_router(l, from))
		(void)portmap_input(
			&l->map, now, (const uint8_t *)buf->base, (size_t)n, e->announcements);
	settle(l);
}

static int bind_ear(struct ear *e, const struct ov_addr *local, const struct ov_addr *remote)
{
	struct sockaddr_in6 sa;
	bool shared = e->announcements; /* with other clients of this machine */
	udp_to_sockaddr(local, &sa);
	int rc = uv_udp_bind(&e->udp, (struct sockaddr *)&sa, shared ? UV_UDP_REUSEADDR : 0);
	if (rc == 0 && remote) {
		udp_to_sockaddr(remote, &sa);
		rc = uv_udp_connect(&e->udp, (struct sockaddr *)&sa);
	}
	return rc ? rc : uv_udp_recv_start(&e->udp, on_alloc, on_datagram);
}

static struct ear *open_ear(
	struct line *l, const struct ov_addr *local, const struct ov_addr *remote)
{
	struct ear *e = calloc(1, sizeof(*e));
	if (!e)
		return NULL;
	if (uv_udp_init_ex(l->owner->loop, &e->udp, addr_is_v4(local) ? AF_INET : AF_INET6) != 0) {
		free(e);
		return NULL;
	}
	e->udp.data = e;
	e->line = l;
	e->announcements = !remote;
	if (bind_ear(e, local, remote) != 0)
		close_ear(&e);
	return e;
}

static void open_ears(struct line *l)
{
	const struct portmap_route *r = &l->map.status.route;
	close_ear(&l->router);
	close_ear(&l->group);
	if (l->map.status.state == PORTMAP_OFF)
		return;
	struct ov_addr local = r->local, router = r->gateway;
	struct ov_addr group = addr_v4(224, 0, 0, 1, PCP_CLIENT_PORT);
	if (!addr_is_v4(&local))
		group = (struct ov_addr){
			.ip = { 0xff, 2, [15] = 1 }, .port = PCP_CLIENT_PORT, .scope = r->interface
		};
	local.port = 0;
	router.port = PCP_SERVER_PORT;
	l->router = open_ear(l, &local, &router);
	l->group = open_ear(l, &group, NULL);
}

/* ---- a turn ---- */

static void hand_to_child(struct line *l, const struct portmap_request *r)
{
	if (!portmap_child_ask(l->owner->child, r))
		portmap_child_gone(&l->map, clock_now());
}

static void send_to_router(struct line *l, uint8_t *data, size_t len)
{
	uv_buf_t buf = uv_buf_init((char *)data, (unsigned)len);
	if (l->router && uv_udp_try_send(&l->router->udp, &buf, 1, NULL) == UV_ECONNREFUSED)
		portmap_unreachable(&l->map, clock_now()); /* of the datagram before */
}

static void say_all(struct line *l)
{
	struct portmap_action action;
	while (portmap_poll(&l->map, clock_now(), &action)) {
		if (action.is_job)
			hand_to_child(l, &action.job);
		else
			send_to_router(l, action.data, action.len);
	}
}

static void settle(struct line *l)
{
	say_all(l);
	if (!portmap_changed(&l->map))
		return;
	log_change(l->owner, &l->map.status);
	l->owner->options.on_change(l->owner->options.context, (size_t)(l - l->owner->lines));
}

void portmapper_network(struct portmapper *m, ov_time now, const struct netmon *monitor, bool doubt)
{
	if (!m || !monitor)
		return;
	for (size_t i = 0; i < PORTMAPPER_FAMILIES; i++) {
		struct line *l = &m->lines[i];
		struct portmap_route route = netmon_router(monitor, i == 1);
		if (portmap_network(&l->map, now, &route, doubt))
			open_ears(l);
		settle(l);
	}
}

void portmapper_tick(struct portmapper *m, ov_time now)
{
	for (size_t i = 0; m && i < PORTMAPPER_FAMILIES; i++) {
		if (portmap_deadline(&m->lines[i].map) > now)
			continue;
		portmap_tick(&m->lines[i].map, now);
		settle(&m->lines[i]);
	}
}

ov_time portmapper_deadline(const struct portmapper *m)
{
	if (!m)
		return OV_NEVER;
	return ov_min(portmap_deadline(&m->lines[0].map), portmap_deadline(&m->lines[1].map));
}

/* ---- for others ---- */

const struct portmap_status *portmapper_status(const struct portmapper *m, size_t family)
{
	assert(family < PORTMAPPER_FAMILIES);
	return m ? &m->lines[family].map.status : NULL;
}

size_t portmapper_external(
	const struct portmapper *m, struct portmap_external out[PORTMAPPER_FAMILIES])
{
	size_t n = 0;
	for (size_t i = 0; m && i < PORTMAPPER_FAMILIES; i++) {
		const struct portmap_status *s = portmapper_status(m, i);
		if (s->state == PORTMAP_HELD)
			out[n++] = (struct portmap_external){ .addr = s->external,
				.protocol = s->protocol,
				.expires_at = s->expires_at,
				.double_nat = s->double_nat };
	}
	return n;
}

/* The nonces' key is derived, not drawn: a router knows its mapping by it after we crashed, too. */
static void init_lines(struct portmapper *m, const struct identity *self)
{
	struct hash_key key = { "OVL portmap v1", self->dh_secret, sizeof(self->dh_secret) };
	uint8_t nonce_key[32];
	ov_hash_keyed(nonce_key, sizeof(nonce_key), &key, NULL, 0);
	for (size_t i = 0; i < PORTMAPPER_FAMILIES; i++) {
		m->lines[i].owner = m;
		portmap_init(&m->lines[i].map, nonce_key, m->options.port, entropy_rng());
	}
	sodium_memzero(nonce_key, sizeof(nonce_key));
}

struct portmapper *portmapper_open(uv_loop_t *loop, const struct portmapper_options *o)
{
	struct portmapper *m = calloc(1, sizeof(*m));
	if (!m)
		return NULL;
	m->options = *o;
	m->loop = loop;
	struct portmap_child_options c = { .on_answer = on_child, .context = m, .log = o->log };
	m->child = portmap_child_new(loop, &c);
	if (!m->child) {
		free(m);
		return NULL;
	}
	init_lines(m, o->self);
	return m;
}

void portmapper_close(struct portmapper *m, ov_time now)
{
	if (!m)
		return;
	for (size_t i = 0; i < PORTMAPPER_FAMILIES; i++) {
		struct line *l = &m->lines[i];
		portmap_stop(&l->map, now);
		say_all(l);
		close_ear(&l->router);
		close_ear(&l->group);
	}
	portmap_child_close(m->child);
	sodium_memzero(m, sizeof(*m));
	free(m);
}
