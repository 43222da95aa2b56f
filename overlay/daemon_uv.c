/* One loop, one pump per turn. Callbacks record what happened; the check handle, which libuv runs
 * right after it has polled, reads the clock once, lets the node work, sends, hands events on and
 * re-arms the one timer. */
#include "overlay/daemon_state_uv.h"

#include "overlay/arena_os.h"
#include "overlay/clock_os.h"
#include "overlay/log_os.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define SLEEP_CHECK  OV_SEC
#define SPEAK_ROUNDS 4
#define HOUSEKEEPING \
	(30 * OV_SEC) /* resolve names of peers that are not up, refresh the log's wall clock */

/* ---- facts from the loop ---- */

static void on_tun(uv_poll_t *h, int status, int events)
{
	(void)status;
	(void)events;
	struct daemon *d = h->data;
	tun_on_readable(d->tun, (size_t)(h - d->tun_poll));
}

/* Level-triggered: while the sockets are full nothing may be read from the interface, so it is not
 * watched either. */
void daemon_watch_tun(struct daemon *d)
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
void daemon_do_not_sleep(struct daemon *d)
{
	uv_idle_start(&d->idle, on_idle);
}

static void on_alarm(void *context)
{
	struct daemon *d = context;
	d->timer_at = 0;
	daemon_do_not_sleep(d);
}

void daemon_set_wall(struct daemon *d, ov_time now)
{
	struct timespec wall;
	clock_gettime(CLOCK_REALTIME, &wall);
	api_set_wall(d->api, now, (int64_t)wall.tv_sec * 1000 + wall.tv_nsec / 1000000);
	log_wall_refresh(d->log);
}

static void connect_all(struct daemon *d)
{
	struct ov_addr to;
	while (node_dial(d->node, &to))
		tcp_dial(d->tcp, &to);
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
	case NODE_GUEST: /* logged by on_joined (daemon_open_uv.c) when it is decided */
	case NODE_JOINED:
	case NODE_PROBE_WANTED:
	case NODE_PROBE_DONE:
	case NODE_RELAY_OFFERED: /* logged when it is taken */
	case NODE_PORTS_WANTED:
	case NODE_PORTS_DONE:
	case NODE_ENDPOINT:
	case NODE_PONG:
	case NODE_PING_TIMEOUT: break;
	}
}

static void hand_on_nearby(const struct daemon *d, ov_time now)
{
	struct nearby_peer p;
	while (d->facts.neighbours && lan_news(d->facts.neighbours, &p))
		api_on_nearby(d->api, now, &p);
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
			daemon_open_ports(d, now, e.count);
		else if (e.type == NODE_PORTS_DONE && d->pump.ports)
			ports_settle(d->pump.ports, (uint16_t)e.count);
		else if (e.type == NODE_PROBE_WANTED)
			daemon_open_probe(d, now);
		else if (e.type == NODE_PROBE_DONE && d->pump.ports)
			ports_close_probe(d->pump.ports);
		else
			api_on_event(d->api, now, &e);
	}
}

static void housekeeping(struct daemon *d, ov_time now)
{
	struct peer_info info;
	d->housekeeping_at = now + HOUSEKEEPING;
	daemon_set_wall(d, now);
	for (size_t i = 0; i < node_peer_count(d->node); i++) {
		const struct contact *c = node_contact_at(d->node, i);
		if (c->endpoint_count && node_peer_info(d->node, now, &c->id, &info) &&
			(info.state == PEER_CALLING || info.state == PEER_AWAY ||
				info.state == PEER_SUSPECT))
			resolver_contact(d->resolver, c, d->cfg->node.listen_port);
	}
	if (d->nat64_due)
		daemon_find_nat64(d);
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

static void to_programs(void *context, ov_time now)
{
	struct daemon *d = context;
	if (d->stopping || !daemon_streams(d, now))
		return;
	control_flush(d->control, now);
}

/* Streams to ourselves are carried inside of pump_send: what it brings is looked at again. */
static void speak(struct daemon *d, ov_time now)
{
	bool more = true;
	for (int i = 0; i < SPEAK_ROUNDS && more; i++) {
		more = daemon_streams(d, now);
		control_flush(d->control, now);
		pump_send(&d->pump, now);
	}
	if (more)
		daemon_do_not_sleep(d);
}

static void on_check(uv_check_t *h)
{
	struct daemon *d = h->data;
	if (d->stopping)
		return;
	ov_time now = clock_now();
	uv_idle_stop(&d->idle);
	pump_run(&d->pump, now); /* packets do not wait for bookkeeping */
	tick(d, now);
	lan_edge_run(d->lan, now);
	hand_on_nearby(d, now);
	hand_on_events(d, now);
	speak(d, now);
	connect_all(d);
	daemon_watch_tun(d);
	arm_timer(d, now);
	ov_time span = pump_rest(&d->pump, now);
	if (!uv_is_active((uv_handle_t *)&d->idle))
		rest(d, span);
}

/* ---- start and stop ---- */

static void close_all(struct daemon *d)
{
	control_close(d->control);
	conduits_close(d->conduits);
	netmon_close(d->netmon);
	portmapper_close(d->portmapper, clock_now());
	d->facts.portmap[0] = d->facts.portmap[1] = NULL;
	lan_edge_close(d->lan);
	d->facts.neighbours = NULL;
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
	d->facts.pairing = pairing;
	api_renew_pairing(d->api, clock_now());
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
		int err = node_facilitator_put(d->node, now, c, NULL);
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
	d->pump.to_programs = to_programs;
	d->pump.context = d;
	roster_load_take(&d->roster, clock_now(), d->stored, d->stored_count);
	load_facilitators(d, clock_now());
	d->stored = NULL;
	if (d->pairing.facilitators_lost > 0)
		log_warn(d->log, clock_now(), "store", "facilitators_lost count=%zu hint=%s",
			d->pairing.facilitators_lost,
			"damaged rows of overlay.db were dropped; contacts offer them again");
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
	bool ok = daemon_open_edges(d, aead, why, sizeof(why));
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
	services_free(d->services, clock_now());
	node_free(d->node);
	tun_close(d->tun);
	arena_free(d->arena);
	json_decref(d->features);
	uv_loop_close(&d->loop);
	free(d);
	return ok ? 0 : 1;
}
