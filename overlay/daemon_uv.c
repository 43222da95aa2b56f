/* One loop, one pump per turn. Callbacks record what happened; the check handle, which libuv runs
 * right after it has polled, reads the clock once, lets the node work, sends, hands events on and
 * re-arms the one timer. */
#include "overlay/daemon_uv.h"

#include "overlay/alarm_uv.h"
#include "overlay/api.h"
#include "overlay/arena_os.h"
#include "overlay/clock_os.h"
#include "overlay/control_uv.h"
#include "overlay/entropy_os.h"
#include "overlay/lan_uv.h"
#include "overlay/log_os.h"
#include "overlay/netmon_uv.h"
#include "overlay/portmapper_uv.h"
#include "overlay/pump_uv.h"
#include "overlay/roster_uv.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define SLEEP_CHECK   OV_SEC
#define SECOND_BUFFER (64u << 10)
#define HOUSEKEEPING \
	(30 * OV_SEC) /* resolve names of peers that are not up, refresh the log's wall clock */
#define ENDPOINT_EVERY \
	(10 * OV_SEC) /* per daemon: last endpoints are a hint, not worth an fsync each */
#define KEYS_PER_PEER 8

struct daemon {
	const struct daemon_config *cfg;
	const struct identity *self;
	struct log *log;
	uv_loop_t loop;
	uv_check_t check;
	uv_idle_t idle; /* active while the pump has more to do: the loop must not sleep */
	struct alarm alarm;
	uv_poll_t tun_poll[TUN_QUEUES];
	uv_signal_t signals[3];
	struct arena *arena;
	struct node *node;
	struct udp *udp;
	struct tcp *tcp;
	struct udp *second; /* facilitator's second port; NULL: none */
	struct tun *tun;
	struct netmon *netmon;
	struct portmapper *portmapper; /* NULL: not wanted */
	struct lan_edge *lan;          /* NULL: switched off */
	struct store *store;
	struct api *api;
	struct control *control;
	struct resolver *resolver;
	struct roster roster;
	struct pump pump;
	struct contact *stored; /* until the roster takes them */
	struct store_pairing pairing;
	size_t stored_count;
	struct api_facts facts;
	json_t *features;
	char tun_why[256];
	ov_time timer_at, ticked_at, housekeeping_at;
	ov_time clock_gap; /* BOOTTIME less MONOTONIC at the last tick: grows by what the machine
			      slept */
	bool stopping, tun_opened, tun_watched;
};

/* ---- facts from the loop ---- */

static void on_udp(void *context)
{
	((struct daemon *)context)->pump.udp_readable = true;
}

static void on_second(void *context)
{
	((struct daemon *)context)->pump.second_readable = true;
}

static void on_ports(void *context)
{
	((struct daemon *)context)->pump.ports_readable = true;
}

static void on_tun(uv_poll_t *h, int status, int events)
{
	(void)status;
	(void)events;
	struct daemon *d = h->data;
	tun_on_readable(d->tun, (size_t)(h - d->tun_poll));
}

/* Level-triggered: while the sockets are full nothing may be read from the interface, so it is not
 * watched either. */
static void watch_tun(struct daemon *d)
{
	bool wanted = d->tun_opened && !udp_blocked(d->udp);
	if (wanted == d->tun_watched)
		return;
	d->tun_watched = wanted;
	for (size_t q = 0; q < tun_status(d->tun)->queues; q++)
		if (wanted)
			uv_poll_start(&d->tun_poll[q], UV_READABLE, on_tun);
		else
			uv_poll_stop(&d->tun_poll[q]);
}

static void on_idle(uv_idle_t *h)
{
	(void)h; /* its being there is its purpose */
}

/* libuv runs timers before it polls, the check handle does the work after: it must not sleep in
 * between. */
static void do_not_sleep(struct daemon *d)
{
	uv_idle_start(&d->idle, on_idle);
}

static void on_alarm(void *context)
{
	struct daemon *d = context;
	d->timer_at = 0;
	do_not_sleep(d);
}

static void set_wall(struct daemon *d, ov_time now)
{
	struct timespec wall;
	clock_gettime(CLOCK_REALTIME, &wall);
	api_set_wall(d->api, now, (int64_t)wall.tv_sec * 1000 + wall.tv_nsec / 1000000);
	log_wall_refresh(d->log);
}

static void on_portmap(void *context, size_t family)
{
	struct daemon *d = context;
	struct portmap_external found[PORTMAPPER_FAMILIES];
	struct ov_addr mapped[PORTMAPPER_FAMILIES];
	size_t count = portmapper_external(d->portmapper, found), usable = 0;
	for (size_t i = 0; i < count; i++)
		if (!found[i].double_nat)
			mapped[usable++] = found[i].addr;
	node_set_mapped(d->node, clock_now(), mapped, usable);
	api_on_portmap(d->api, clock_now(), family);
	do_not_sleep(d);
}

static void on_network(
	void *context, ov_time at, const struct local_address *list, size_t count, bool resumed)
{
	struct daemon *d = context;
	ov_time now = clock_now();
	log_info(d->log, now, "net", "changed addresses=%zu resumed=%d delay_us=%lld", count,
		resumed, (long long)((now - at) / OV_US));
	if (resumed) {
		api_on_resumed(d->api, now, now - clock_monotonic() - d->clock_gap);
		set_wall(d, now);
	}
	node_network_changed(d->node, now, list, count, resumed);
	portmapper_network(d->portmapper, now, d->netmon, resumed);
	lan_edge_network(d->lan, now, list, count, resumed);
	d->housekeeping_at = now; /* names may resolve differently here */
	do_not_sleep(d);          /* the monitor's timer brought us here */
}

static void on_store(void *context, const struct store_result *r)
{
	struct daemon *d = context;
	api_on_store_result(d->api, clock_now(), r);
}

static void on_resolved(
	void *context, const struct peer_id *peer, enum carrier carrier, const struct ov_addr *a)
{
	struct daemon *d = context;
	if (carrier == CARRIER_TCP)
		node_candidate_tcp(d->node, clock_now(), peer, a, SOURCE_CONFIG);
	else
		node_candidate(d->node, clock_now(), peer, a, SOURCE_CONFIG);
}

static void on_tcp_datagrams(void *context, const struct dgram *in, size_t count)
{
	struct daemon *d = context;
	pump_input(&d->pump, clock_now(), in, count);
}

static void on_tcp_opened(void *context, const struct dgram *where)
{
	struct daemon *d = context;
	node_tcp_opened(d->node, clock_now(), where);
	do_not_sleep(d); /* a timer or a pending callback of libuv may have brought us here */
}

static void on_tcp_closed(void *context, uint32_t number)
{
	struct daemon *d = context;
	node_tcp_closed(d->node, clock_now(), number);
	do_not_sleep(d);
}

static void connect_all(struct daemon *d)
{
	struct ov_addr to;
	while (node_dial(d->node, &to))
		tcp_dial(d->tcp, &to);
}

/* ---- what the api asks of the daemon ---- */

static void on_contact_changed(void *context, const struct contact *c, bool removed)
{
	struct daemon *d = context;
	roster_changed(&d->roster, clock_now(), c, removed);
	if (!removed)
		lan_edge_on_contact(d->lan, clock_now());
}

static int post_to_store(void *context, struct store_request *r)
{
	return store_post_take(((struct daemon *)context)->store, r);
}

static void on_joined(void *context, const struct peer_id *peer, const char *name, const char *why)
{
	struct daemon *d = context;
	char id[PEER_ID_TEXT_LEN + 1];
	peer_id_format(peer, id);
	if (name)
		log_info(d->log, clock_now(), "invite", "joined name=%s peer=%s", name, id);
	else
		log_stranger(d->log, clock_now(), LOG_LEVEL_INFO, "invite",
			"refused peer=%s why=%s", id, why);
}

static unsigned config_line(void *context, const struct peer_id *id)
{
	const struct daemon *d = context;
	return d->cfg->config_line(d->cfg->context, id);
}

/* ---- events of the node ---- */

static void log_event(struct daemon *d, ov_time now, const struct node_event *e)
{
	const struct contact *c = node_contact(d->node, &e->peer);
	const char *name = c ? c->name : "?";
	char addr[ADDR_TEXT_MAX], id[PEER_ID_TEXT_LEN + 1];
	addr_format(&e->addr, addr);
	switch (e->type) {
	case NODE_PEER_UP: log_info(d->log, now, "peer", "up name=%s addr=%s", name, addr); break;
	case NODE_PEER_DOWN: log_info(d->log, now, "peer", "down name=%s", name); break;
	case NODE_PATH_CHANGED:
		log_info(d->log, now, "path", "changed name=%s addr=%s", name, addr);
		break;
	case NODE_ADDRESS_CHANGED:
		log_info(d->log, now, "addr", "observed addr=%s by=%s", addr, name);
		break;
	case NODE_PEER_REQUEST:
		log_stranger(d->log, now, LOG_LEVEL_INFO, "peer", "request peer=%s from=%s",
			peer_id_format(&e->peer, id), addr);
		break;
	case NODE_REFUSED:
		log_stranger(d->log, now, LOG_LEVEL_INFO, "peer",
			"refused grant=%s name=%s hint=%s", e->refused, name,
			"see 'overlay peer allow'");
		break;
	case NODE_EVENTS_LOST:
		log_warn(d->log, now, "node", "events_lost count=%llu",
			(unsigned long long)e->count);
		break;
	case NODE_GUEST: /* told by on_joined when it is decided */
	case NODE_JOINED:
	case NODE_PORTS_WANTED:
	case NODE_PORTS_DONE:
	case NODE_ENDPOINT:
	case NODE_PONG:
	case NODE_PING_TIMEOUT: break;
	}
}

/* More sockets, made when they are wanted first: most machines never need any. */
static void open_ports(struct daemon *d, ov_time now, size_t count)
{
	uint16_t ports[PORTS_MAX];
	if (!d->pump.ports)
		d->pump.ports = ports_new(&d->loop, on_ports, d);
	if (!d->pump.ports)
		return;
	ports_close_but(d->pump.ports, 0);
	count = ports_open(d->pump.ports, count, ports);
	node_ports(d->node, now, ports, count);
	log_info(d->log, now, "nat", "guessing ports=%zu", count);
}

static void hand_on_events(struct daemon *d, ov_time now)
{
	struct node_event e;
	while (node_event(d->node, &e)) {
		log_event(d, now, &e);
		if (e.type == NODE_ADDRESS_CHANGED) /* the router may have forgotten us */
			portmapper_network(d->portmapper, now, d->netmon, true);
		if (e.type == NODE_ENDPOINT)
			roster_on_endpoint(&d->roster, &e.peer, &e.addr);
		else if (e.type == NODE_PORTS_WANTED)
			open_ports(d, now, e.count);
		else if (e.type == NODE_PORTS_DONE && d->pump.ports)
			ports_close_but(d->pump.ports, (uint16_t)e.count);
		else
			api_on_event(d->api, now, &e);
	}
}

static void housekeeping(struct daemon *d, ov_time now)
{
	struct peer_info info;
	d->housekeeping_at = now + HOUSEKEEPING;
	set_wall(d, now);
	for (size_t i = 0; i < node_peer_count(d->node); i++) {
		const struct contact *c = node_contact_at(d->node, i);
		if (c->endpoint_count && node_peer_info(d->node, now, &c->id, &info) &&
			(info.state == PEER_CALLING || info.state == PEER_AWAY ||
				info.state == PEER_SUSPECT))
			resolver_contact(d->resolver, c, d->cfg->node.listen_port);
	}
}

static bool needs_housekeeping(const struct daemon *d)
{
	return node_peer_count(d->node) > 0;
}

/* ---- the turn ---- */

static void arm_timer(struct daemon *d, ov_time now)
{
	ov_time at = ov_min(node_deadline(d->node), api_deadline(d->api));
	at = ov_min(at, portmapper_deadline(d->portmapper));
	at = ov_min(at, lan_edge_deadline(d->lan));
	if (needs_housekeeping(d))
		at = ov_min(at, d->housekeeping_at);
	if (at >= d->timer_at)
		return; /* it may fire too early; then it is set anew: cheaper than once a packet */
	d->timer_at = at;
	ov_time wait = at > now ? at - now : 0;
	alarm_set(&d->alarm, wait);
}

/* What is due by the timer, which is never set later than anything that waits. */
static void tick(struct daemon *d, ov_time now)
{
	if (now < d->timer_at && now - d->ticked_at < SLEEP_CHECK)
		return;
	d->ticked_at = now;
	d->timer_at = OV_NEVER;
	ov_time monotonic = clock_monotonic();
	netmon_check_sleep(d->netmon, now, monotonic);
	d->clock_gap = now - monotonic;
	if (node_deadline(d->node) <= now)
		node_tick(d->node, now);
	if (api_deadline(d->api) <= now)
		api_tick(d->api, now);
	portmapper_tick(d->portmapper, now);
	if (needs_housekeeping(d) && d->housekeeping_at <= now)
		housekeeping(d, now);
}

static void rest(const struct daemon *d, ov_time span)
{
	if (span == GATHER_QUIET && d->tun)
		tun_wait(d->tun, span);
	else if (span > 0)
		clock_sleep(span);
}

static void on_check(uv_check_t *h)
{
	struct daemon *d = h->data;
	if (d->stopping)
		return;
	ov_time now = clock_now();
	pump_run(&d->pump, now); /* packets do not wait for bookkeeping */
	tick(d, now);
	lan_edge_run(d->lan, now);
	hand_on_events(d, now);
	control_flush(d->control, now);
	pump_send(&d->pump, now);
	connect_all(d);
	watch_tun(d);
	uv_idle_stop(&d->idle);
	arm_timer(d, now);
	rest(d, pump_rest(&d->pump, now));
}

static void on_request(void *context)
{
	struct daemon *d = context;
	d->pump.gather.requests++; /* whoever types a command does not wait for keepalives */
}

static ov_time now_for_control(void *context)
{
	(void)context;
	return clock_now();
}

/* ---- start and stop ---- */

static void close_all(struct daemon *d)
{
	control_close(d->control);
	netmon_close(d->netmon);
	portmapper_close(d->portmapper, clock_now());
	d->facts.portmap[0] = d->facts.portmap[1] = NULL;
	lan_edge_close(d->lan);
	resolver_close(d->resolver);
	store_close(d->store);
	tcp_close(d->tcp);
	udp_close(d->udp);
	udp_close(d->second);
	ports_close(d->pump.ports);
	d->pump.ports = NULL;
	for (size_t q = 0; d->tun_opened && q < tun_status(d->tun)->queues; q++)
		uv_close((uv_handle_t *)&d->tun_poll[q], NULL);
	uv_close((uv_handle_t *)&d->check, NULL);
	uv_close((uv_handle_t *)&d->idle, NULL);
	alarm_close(&d->alarm);
	for (size_t i = 0; i < 3; i++)
		uv_close((uv_handle_t *)&d->signals[i], NULL);
	d->stopping = true;
}

static void on_stop(uv_signal_t *h, int signum)
{
	struct daemon *d = h->data;
	if (d->stopping)
		return;
	log_info(d->log, clock_now(), "daemon", "stopping signal=%d", signum);
	close_all(d);
}

static void on_hangup(uv_signal_t *h, int signum)
{
	struct daemon *d = h->data;
	const struct contact *contacts;
	size_t count;
	bool pairing;
	(void)signum;
	if (d->stopping || !d->cfg->reload ||
		d->cfg->reload(d->cfg->context, &contacts, &count, &pairing) != OV_OK)
		return;
	node_set_pairing(d->node, pairing);
	d->facts.pairing = pairing;
	roster_reload(&d->roster, clock_now(), contacts, count);
	lan_edge_on_contact(d->lan, clock_now());
	log_info(d->log, clock_now(), "daemon", "reloaded contacts=%zu", count);
}

static void start_handles(struct daemon *d)
{
	static const int numbers[3] = { SIGINT, SIGTERM, SIGHUP };
	uv_check_init(&d->loop, &d->check);
	uv_idle_init(&d->loop, &d->idle);
	alarm_open(&d->alarm, &d->loop, on_alarm, d);
	d->check.data = d->idle.data = d;
	uv_check_start(&d->check, on_check);
	uv_unref((uv_handle_t *)&d->check);
	for (size_t i = 0; i < 3; i++) {
		uv_signal_init(&d->loop, &d->signals[i]);
		d->signals[i].data = d;
		uv_signal_start(
			&d->signals[i], numbers[i] == SIGHUP ? on_hangup : on_stop, numbers[i]);
	}
	signal(SIGPIPE, SIG_IGN);
	d->timer_at = OV_NEVER;
}

static void open_tun(struct daemon *d)
{
	if (!d->cfg->tun_name)
		return;
	struct tun_options o = tun_options_default();
	o.name = d->cfg->tun_name;
	o.mtu = d->cfg->tun_mtu;
	peer_id_address(&d->self->id, o.address);
	d->tun = tun_open(&o, d->tun_why, sizeof(d->tun_why));
	if (!d->tun) {
		log_warn(d->log, clock_now(), "tun", "unavailable why=%s", d->tun_why);
		return;
	}
	for (size_t q = 0; q < tun_status(d->tun)->queues; q++) {
		uv_poll_init(&d->loop, &d->tun_poll[q], tun_fd(d->tun, q));
		d->tun_poll[q].data = d;
	}
	d->tun_opened = true;
	watch_tun(d);
}

/* For what NATs do to clients (overlay/netcheck.c); a facilitator works without it. */
static void open_second(struct daemon *d)
{
	char why[200];
	struct udp_options u = d->cfg->udp;
	if (d->cfg->node.facilitator == FACILITATOR_OFF)
		return;
	u.port = u.port ? (uint16_t)(u.port + 1) : 0;
	u.receive_buffer = u.send_buffer = SECOND_BUFFER;
	u.on_readable = on_second;
	u.context = d;
	d->second = udp_open(&d->loop, &u, why, sizeof(why));
	if (!d->second)
		log_warn(d->log, clock_now(), "facilitator", "no_second_port why=%s", why);
}

static bool make_node(struct daemon *d, const struct aead_table *aead)
{
	struct node_config c = d->cfg->node;
	size_t keys = node_keys_max(&c);
	d->arena = arena_new(node_key_size(), keys);
	if (!d->arena)
		return false;
	c.key_memory = arena_blocks(d->arena);
	c.boot_epoch = store_boot_epoch(d->store);
	c.listen_port = udp_status(d->udp)->port;
	c.second_port = d->second ? udp_status(d->second)->port : 0;
	d->node = node_new(&c, d->self, aead, entropy_rng(), clock_now());
	return d->node != NULL;
}

static void state_facts(struct daemon *d, const struct aead_table *aead)
{
	const struct udp_status *u = udp_status(d->udp);
	const struct tun_status *t = d->tun ? tun_status(d->tun) : NULL;
	d->features = json_pack("{s:s,s:b,s:b,s:b,s:b,s:b,s:b,s:b,s:b,s:b,s:s,s:s}", "udp",
		u->backend, "udp_gso", u->gso, "udp_gro", u->gro, "ipv4", u->ipv4, "ipv6", u->ipv6,
		"tun_vnet", t && t->vnet, "tun_tso", t && t->tso6, "tun_uso", t && t->uso,
		"tun_queues", t && t->queues > 1, "aes", aead->aes_256_gcm != NULL, "aes_256_gcm",
		aead->aes_256_gcm ? aead->aes_256_gcm->backend : "none", "chacha20_poly1305",
		aead->chacha20_poly1305 ? aead->chacha20_poly1305->backend : "none");
	d->facts = (struct api_facts){
		.version = d->cfg->version,
		.state_dir = d->cfg->state_dir,
		.config_path = d->cfg->config_path,
		.tun_name = t ? t->name : NULL,
		.tun_why = d->cfg->tun_name && !t ? d->tun_why : NULL,
		.tun_mtu = t ? (uint16_t)t->mtu : 0,
		.udp_port = u->port,
		.pairing = d->cfg->node.pairing,
		.tcp = tcp_counters(d->tcp),
		.lan = lan_edge_counters(d->lan),
		.features = d->features,
	};
}

static bool make_portmapper(struct daemon *d)
{
	struct portmapper_options o = { .self = d->self,
		.port = udp_status(d->udp)->port,
		.log = d->log,
		.on_change = on_portmap,
		.context = d };
	if (!d->cfg->portmap)
		return true;
	d->portmapper = portmapper_open(&d->loop, &o);
	for (size_t i = 0; i < PORTMAPPER_FAMILIES; i++)
		d->facts.portmap[i] = portmapper_status(d->portmapper, i);
	return d->portmapper != NULL;
}

static bool make_api(struct daemon *d, const struct aead_table *aead)
{
	state_facts(d, aead);
	struct api_config a = {
		.node = d->node,
		.self = d->self->id,
		.facts = &d->facts,
		.context = d,
		.store_post_take = post_to_store,
		.contact_changed = on_contact_changed,
		.joined = on_joined,
		.identity = d->self,
		.rng = entropy_rng(),
	};
	if (d->cfg->config_line)
		a.config_line = config_line;
	d->api = api_new(&a, clock_now());
	if (d->api)
		set_wall(d, clock_now());
	return d->api != NULL;
}

static bool open_tcp(struct daemon *d)
{
	struct tcp_options o = { .on_datagrams = on_tcp_datagrams,
		.on_opened = on_tcp_opened,
		.on_closed = on_tcp_closed,
		.context = d };
	char why[200];
	d->tcp = tcp_open(&d->loop, &o);
	for (size_t i = 0; d->tcp && i < 2; i++) {
		uint16_t port = d->cfg->tcp_ports[i];
		if (port == 0 || (i > 0 && port == d->cfg->tcp_ports[0]))
			continue;
		if (tcp_listen(d->tcp, port, why, sizeof(why)) == OV_OK)
			log_info(d->log, clock_now(), "tcp", "listening port=%u", (unsigned)port);
		else
			log_warn(d->log, clock_now(), "tcp", "not_listening port=%u why=%s",
				(unsigned)port, why);
	}
	return d->tcp != NULL;
}

static bool open_edges(struct daemon *d, const struct aead_table *aead, char *why, size_t size)
{
	struct udp_options u = d->cfg->udp;
	u.on_readable = on_udp;
	u.context = d;
	snprintf(why, size, "out of memory");
	if (!(d->udp = udp_open(&d->loop, &u, why, size)))
		return false;
	open_tun(d);
	open_second(d);
	if (!open_tcp(d) || !make_node(d, aead) ||
		pump_init(&d->pump, d->node, d->udp, d->tun) != OV_OK)
		return false;
	if (d->cfg->lan)
		d->lan = lan_edge_open(&d->loop, d->node, udp_status(d->udp)->port, d->log);
	d->pump.second = d->second;
	d->pump.tcp = d->tcp;
	d->stored_count = store_take_contacts(d->store, &d->stored);
	store_take_pairing(d->store, &d->pairing);
	d->resolver = resolver_new(&d->loop, on_resolved, d);
	if (!d->resolver || !make_api(d, aead) || !make_portmapper(d) ||
		store_start(d->store, &d->loop, on_store, d) != OV_OK)
		return false;
	struct control_config c = control_config_default();
	c.path = d->cfg->socket_path;
	c.max_clients = d->cfg->max_clients;
	c.max_per_uid = d->cfg->max_per_uid;
	c.root_reserved = d->cfg->root_reserved;
	c.context = d;
	c.now = now_for_control;
	c.changed = on_request;
	if (!(d->control = control_open(&d->loop, &c, d->api, why, size)))
		return false;
	struct netmon_options m = { .own_interface = d->tun ? tun_status(d->tun)->name : NULL,
		.on_change = on_network,
		.context = d };
	d->netmon = netmon_open(&d->loop, &m, why, size);
	portmapper_network(d->portmapper, clock_now(), d->netmon, false);
	d->roster = (struct roster){
		.node = d->node,
		.store = d->store,
		.tun = d->tun,
		.resolver = d->resolver,
		.log = d->log,
		.configured = d->cfg->contacts,
		.configured_count = d->cfg->contact_count,
		.default_port = udp_status(d->udp)->port,
	};
	return d->netmon != NULL;
}

/* The line that scripts wait for, and what a person types next. */
static void say_ready(const struct daemon *d)
{
	char id[PEER_ID_TEXT_LEN + 1], address[ADDR_TEXT_MAX];
	struct ov_addr a = { 0 };
	peer_id_address(&d->self->id, a.ip);
	peer_id_format(&d->self->id, id);
	printf("ready peer=%s udp=%u address=%s\n", id, (unsigned)udp_status(d->udp)->port,
		addr_format(&a, address));
	printf("here:                  overlay invite --name NAME\n"
	       "on the other machine:  overlay join LINE   (then: overlay ping NAME)\n");
	fflush(stdout);
}

static void load_facilitators(struct daemon *d, ov_time now)
{
	for (size_t i = 0; i < d->cfg->facilitator_count; i++) {
		const struct contact *c = &d->cfg->facilitators[i];
		int err = node_facilitator_put(d->node, now, c);
		if (err == OV_OK)
			resolver_contact(d->resolver, c, udp_status(d->udp)->port);
		else
			log_warn(d->log, now, "facilitator", "refused endpoint=%s why=%s",
				c->endpoints[0], ov_err_text(err));
	}
}

static void run_until_stopped(struct daemon *d)
{
	clock_sharpen();
	roster_load_take(&d->roster, clock_now(), d->stored, d->stored_count);
	load_facilitators(d, clock_now());
	d->stored = NULL;
	api_invites_take(d->api, clock_now(), &d->pairing);
	hand_on_events(d, clock_now());
	pump_send(&d->pump, clock_now());
	connect_all(d);
	d->housekeeping_at = clock_now() + HOUSEKEEPING;
	say_ready(d);
	arm_timer(d, clock_now());
	uv_run(&d->loop, UV_RUN_DEFAULT);
}

int daemon_run(const struct daemon_config *cfg, const struct identity *self,
	const struct aead_table *aead, struct store *store, struct log *log)
{
	struct daemon *d = calloc(1, sizeof(*d));
	char why[512] = "";
	if (!d || uv_loop_init(&d->loop) != 0) {
		free(d);
		return 1;
	}
	d->cfg = cfg;
	d->self = self;
	d->log = log;
	d->store = store;
	start_handles(d);
	bool ok = open_edges(d, aead, why, sizeof(why));
	if (ok) {
		run_until_stopped(d);
	} else {
		log_error(log, clock_now(), "daemon", "start_failed why=%s", why);
		close_all(d);
		uv_run(&d->loop, UV_RUN_DEFAULT);
	}
	if (d->node)
		pump_fini(&d->pump);
	store_pairing_fini(&d->pairing);
	api_free(d->api);
	node_free(d->node);
	tun_close(d->tun);
	arena_free(d->arena);
	json_decref(d->features);
	uv_loop_close(&d->loop);
	free(d);
	return ok ? 0 : 1;
}
