/* Opening the edges of the daemon and wiring them: each callback records what happened, or hands it
 * to the one it is for; the work is done by the loop's turn (daemon_uv.c). */
#include "overlay/daemon_state_uv.h"

#include "overlay/arena_os.h"
#include "overlay/clock_os.h"
#include "overlay/entropy_os.h"

#include <stdio.h>

#define SECOND_BUFFER (64u << 10)

/* ---- what the edges report ---- */

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
	daemon_do_not_sleep(d);
}

static void on_nat64(void *context, const struct ov_addr *answers, size_t count)
{
	struct daemon *d = context;
	struct nat64 found;
	char text[NAT64_TEXT_MAX];
	if (nat64_find(&found, answers, count))
		log_info(d->log, clock_now(), "nat64", "found prefix=%s",
			nat64_format(&found, text));
	d->nat64_due = false;
	node_set_nat64(d->node, clock_now(), &found);
	daemon_do_not_sleep(d);
}

/* A network without IPv4 may have a router that translates (RFC 7050). */
void daemon_find_nat64(struct daemon *d)
{
	if (node_wants_nat64(d->node))
		resolver_nat64(d->resolver, on_nat64);
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
		daemon_set_wall(d, now);
	}
	node_network_changed(d->node, now, list, count, resumed);
	portmapper_network(d->portmapper, now, d->netmon, resumed);
	lan_edge_network(d->lan, now, list, count, resumed);
	d->nat64_due = true;
	daemon_find_nat64(d);
	d->housekeeping_at = now; /* names may resolve differently here */
	daemon_do_not_sleep(d);   /* the monitor's timer brought us here */
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
	/* a timer or a pending callback of libuv may have brought us here */
	daemon_do_not_sleep(d);
}

static void on_tcp_closed(void *context, uint32_t number)
{
	struct daemon *d = context;
	node_tcp_closed(d->node, clock_now(), number);
	daemon_do_not_sleep(d);
}

static void on_tcp_foreign(void *context, const struct ov_addr *remote)
{
	struct daemon *d = context;
	char addr[ADDR_TEXT_MAX];
	log_info(d->log, clock_now(), "tcp", "foreign addr=%s hint=%s", addr_format(remote, addr),
		"a captive portal, or another server, answers there");
	node_tcp_foreign(d->node, clock_now(), remote);
	daemon_do_not_sleep(d);
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

static void on_clock_differs(void *context, const char *name, int64_t ahead_s)
{
	const struct daemon *d = context;
	log_warn(d->log, clock_now(), "clock", "differs name=%s ahead_s=%lld hint=%s", name,
		(long long)ahead_s,
		"its facilitators are used when the clock that is wrong is set");
}

static unsigned config_line(void *context, const struct peer_id *id)
{
	const struct daemon *d = context;
	return d->cfg->config_line(d->cfg->context, id);
}

/* ---- opening ---- */

/* More sockets, made when they are wanted first: most machines never need any. */
static bool has_ports(struct daemon *d)
{
	if (!d->pump.ports)
		d->pump.ports = ports_new(&d->loop, on_ports, d);
	return d->pump.ports != NULL;
}

void daemon_open_probe(struct daemon *d, ov_time now)
{
	node_probe_port(d->node, now, has_ports(d) ? ports_open_probe(d->pump.ports) : 0);
}

void daemon_open_ports(struct daemon *d, ov_time now, size_t count)
{
	uint16_t ports[PORTS_MAX];
	if (!has_ports(d))
		return;
	count = ports_open(d->pump.ports, count, ports);
	node_ports(d->node, now, ports, count);
	log_info(d->log, now, "nat", "guessing ports=%zu", count);
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
	daemon_watch_tun(d);
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
	c.tcp_port = d->tcp_port;
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
		.lan_only = d->cfg->node.lan_only,
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
		.neighbours = lan_edge_lan(d->lan),
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
		.services = d->services,
		.ends = &daemon_ends,
		.self = d->self->id,
		.facts = &d->facts,
		.context = d,
		.store_post_take = post_to_store,
		.contact_changed = on_contact_changed,
		.joined = on_joined,
		.clock_differs = on_clock_differs,
		.identity = d->self,
		.rng = entropy_rng(),
	};
	if (d->cfg->config_line)
		a.config_line = config_line;
	d->api = api_new(&a, clock_now());
	if (d->api)
		daemon_set_wall(d, clock_now());
	return d->api != NULL;
}

static bool open_tcp(struct daemon *d)
{
	struct tcp_options o = { .on_datagrams = on_tcp_datagrams,
		.on_opened = on_tcp_opened,
		.on_closed = on_tcp_closed,
		.on_foreign = on_tcp_foreign,
		.context = d };
	char why[200];
	d->tcp = tcp_open(&d->loop, &o);
	for (size_t i = 0; d->tcp && i < 2; i++) {
		uint16_t port = d->cfg->tcp_ports[i];
		if (port == 0 || (i > 0 && port == d->cfg->tcp_ports[0]))
			continue;
		if (tcp_listen(d->tcp, port, why, sizeof(why)) != OV_OK) {
			log_warn(d->log, clock_now(), "tcp", "not_listening port=%u why=%s",
				(unsigned)port, why);
			continue;
		}
		if (d->tcp_port != ENDPOINT_TCP_PORT) /* networks without UDP let that through */
			d->tcp_port = port;
		log_info(d->log, clock_now(), "tcp", "listening port=%u", (unsigned)port);
	}
	return d->tcp != NULL;
}

bool daemon_open_edges(struct daemon *d, const struct aead_table *aead, char *why, size_t size)
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
	if (!d->resolver || !daemon_open_streams(d) || !make_api(d, aead) || !make_portmapper(d) ||
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
	c.becomes = daemon_becomes;
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
