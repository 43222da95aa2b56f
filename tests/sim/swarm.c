/* Anchors never change their address and everybody who may talk to them knows it; roamers do all
 * that roamers do. So "can reach each other" needs no theorem: an anchor and anyone. Pairs of
 * roamers exist too, and are watched for safety only. */
#include "tests/sim/swarm.h"

#include "tests/sim/hostile.h"

#define SITES_MAX    5
#define HOSTS_MAX    6
#define ALIVE_WITHIN (30 * OV_SEC)

enum fault {
	FAULT_LOSS,
	FAULT_BURST,
	FAULT_REORDER,
	FAULT_DUPLICATE,
	FAULT_CORRUPT,
	FAULT_MTU,
	FAULT_CUT,
	FAULT_ROAM,
	FAULT_IFACE,
	FAULT_REBOOT,
	FAULT_SLEEP,
	FAULT_RESTART,
	FAULT_ROLLBACK,
	FAULT_HOSTILE,
	FAULT_FORWARDER,
	FAULT_WALL,
	FAULT_TRANSFER,
	FAULT_LONG_WAIT,
	FAULT_COUNT
};

struct swarm {
	struct sim *s;
	struct seed chance;
	uint32_t faults;
	uint32_t sites[SITES_MAX]; /* segments; 0 is the core */
	bool site4[SITES_MAX], site6[SITES_MAX];
	size_t site_count, anchors;
	uint32_t next_address;
	ov_time delay[HOSTS_MAX];
};

static uint64_t below(struct swarm *w, uint64_t bound)
{
	return seed_below(&w->chance, bound);
}

static ov_time between(struct swarm *w, ov_time low, ov_time high)
{
	return seed_between(&w->chance, low, high);
}

static bool has(const struct swarm *w, enum fault f)
{
	return w->faults & 1u << f;
}

static struct ov_addr address6(uint32_t site, uint32_t host)
{
	struct ov_addr a = { .ip = { 0x20, 0x01, 0x0d, 0xb8 } };
	store_be16(a.ip + 6, (uint16_t)site);
	store_be16(a.ip + 14, (uint16_t)host);
	return a;
}

/* ---- building ---- */

static void add_site(struct swarm *w)
{
	struct nat_config nat = { .translate = true }; /* one draw per statement: C does not order
							  the expressions of a list */
	nat.outside = addr_v4(203, 0, 113, (uint8_t)(1 + w->site_count), 0);
	nat.mapping = (enum nat_behaviour)below(w, 3);
	nat.filtering = (enum nat_behaviour)below(w, 3);
	nat.ports = (enum nat_ports)below(w, 3);
	nat.lifetime = between(w, 28, 300) * OV_SEC;
	nat.refresh_inbound = below(w, 2);
	nat.hairpin = below(w, 2);
	struct nat_config firewall = { .filtering = NAT_ADDRESS_PORT_DEPENDENT,
		.lifetime = nat.lifetime };
	uint64_t family = below(w, 4); /* mostly v4 only; dual; v6 only */
	bool v4 = family != 3, v6 = family >= 2;
	uint32_t segment = net_add_segment(&w->s->net);
	net_add_gateway(&w->s->net, segment, NET_CORE, v4 ? &nat : NULL, v6 ? &firewall : NULL);
	w->sites[w->site_count] = segment;
	w->site4[w->site_count] = v4;
	w->site6[w->site_count++] = v6;
}

/* Gives an interface what DHCP and router advertisements would give it at that site. */
static void settle_in(struct swarm *w, uint32_t iface, size_t site)
{
	uint32_t n = w->next_address++;
	net_plug(&w->s->net, iface, w->sites[site]);
	struct ov_addr v4 = site == 0 ? addr_v4(198, 18, (uint8_t)(n >> 8), (uint8_t)n, 0)
				      : addr_v4(192, 168, (uint8_t)(n >> 8), (uint8_t)n, 0);
	struct ov_addr v6 = address6((uint32_t)site, n);
	if (w->site4[site])
		net_address_add(&w->s->net, iface, &v4);
	if (w->site6[site])
		net_address_add(&w->s->net, iface, &v6);
}

static void add_host(struct swarm *w)
{
	struct host *h = sim_add_host(w->s);
	w->delay[h->id] = between(w, 1, 80) * OV_MS;
	struct link_config link = world_link(w->delay[h->id]);
	bool anchor = h->id < w->anchors;
	uint32_t iface = net_add_iface(&w->s->net, h->id, NET_CORE, &link);
	settle_in(w, iface, anchor ? 0 : below(w, w->site_count));
	if (!anchor && below(w, 3) == 0) {
		iface = net_add_iface(&w->s->net, h->id, NET_CORE, &link);
		settle_in(w, iface, below(w, w->site_count));
	}
	h->aead = nonce_aead_table(below(w, 2));
	h->config.pairing = below(w, 4) == 0;
	h->config.max_flows = 64;
	h->config.max_contacts = 64;
	h->config.max_pending_handshakes = (uint32_t)between(w, 2, 64);
}

static void know(struct swarm *w, struct host *a, const struct host *b, bool reachable)
{
	size_t friend = host_befriend(w->s, a, b->id, "all");
	struct ov_addr victim = hostile_victim_address();
	if (w->s->hostile && below(w, 4) == 0)
		host_endpoint(a, friend, &victim); /* somebody lied to its owner */
	const struct iface *x = w->s->net.ifaces[world_iface(w->s, b, 0)];
	for (size_t i = 0; reachable && i < x->address_count; i++) {
		struct ov_addr at = x->addresses[i];
		at.port = HOST_PORT;
		host_endpoint(a, friend, &at);
	}
	a->friends[friend].wanted = reachable || a->id < w->anchors;
}

static void build(struct swarm *w, uint64_t seed)
{
	w->s = sim_new(seed, HOSTS_MAX);
	seed_init(&w->chance, seed, STREAM_SWARM);
	w->faults = (uint32_t)seed_next(&w->chance);
	w->faults &= (uint32_t)seed_next(&w->chance);
	w->faults |= 1u << below(w, FAULT_COUNT);
	w->next_address = 10;
	w->site_count = 1;
	w->site4[0] = w->site6[0] = true;
	for (size_t n = 1 + below(w, SITES_MAX - 1); n > 0; n--)
		add_site(w);
	if (has(w, FAULT_HOSTILE) || has(w, FAULT_FORWARDER))
		hostile_init(w->s);
	size_t hosts = 2 + below(w, HOSTS_MAX - 1);
	w->anchors = 1 + below(w, hosts > 2 ? 2 : 1);
	while (w->s->host_count < hosts)
		add_host(w);
	for (size_t i = 0; i < hosts; i++)
		for (size_t k = i + 1; k < hosts; k++) {
			if (k != i + 1 && below(w, 3) == 0 && i >= w->anchors)
				continue;
			know(w, &w->s->hosts[i], &w->s->hosts[k], k < w->anchors);
			know(w, &w->s->hosts[k], &w->s->hosts[i], i < w->anchors);
		}
}

/* ---- faults ---- */

static struct host *any_host(struct swarm *w)
{
	return &w->s->hosts[below(w, w->s->host_count)];
}

static struct host *any_roamer(struct swarm *w)
{
	size_t roamers = w->s->host_count - w->anchors;
	return &w->s->hosts[w->anchors + below(w, roamers)];
}

static uint32_t any_iface(struct swarm *w, const struct host *h)
{
	uint32_t second = NET_NONE;
	for (uint32_t i = 0; i < w->s->net.iface_count; i++)
		if (w->s->net.ifaces[i]->host == h->id && w->s->net.ifaces[i]->index == 2)
			second = i;
	return second != NET_NONE && below(w, 2) ? second : world_iface(w->s, h, 0);
}

static void degrade(struct swarm *w, struct host *h)
{
	struct link_config c = world_link(w->delay[h->id]);
	c.jitter = between(w, 0, 20) * OV_MS;
	if (has(w, FAULT_LOSS))
		c.loss_ppm = (uint32_t)below(w, below(w, 4) ? PPM / 5 : PPM * 3 / 5);
	if (has(w, FAULT_BURST)) {
		c.burst_ppm = (uint32_t)below(w, PPM / 50);
		c.burst_length = between(w, 50, 3000) * OV_MS;
	}
	if (has(w, FAULT_REORDER)) {
		c.reorder_ppm = (uint32_t)below(w, PPM / 5);
		c.reorder_delay = between(w, 1, 100) * OV_MS;
	}
	if (has(w, FAULT_DUPLICATE))
		c.duplicate_ppm = (uint32_t)below(w, PPM / 4);
	if (has(w, FAULT_CORRUPT))
		c.corrupt_ppm = (uint32_t)below(w, PPM / 20);
	if (has(w, FAULT_MTU))
		c.mtu = (uint32_t)between(w, 1000, 1500);
	if (has(w, FAULT_CUT) && below(w, 4) == 0)
		c.cut = true;
	trace_note(&w->s->trace, w->s->now, h->name,
		"link: loss %u burst %u reorder %u duplicate %u corrupt %u mtu %u%s", c.loss_ppm,
		c.burst_ppm, c.reorder_ppm, c.duplicate_ppm, c.corrupt_ppm, c.mtu,
		c.cut ? " cut" : "");
	net_link_change(&w->s->net, any_iface(w, h), &c);
}

static void tell_addresses(struct swarm *w, struct host *h)
{
	char text[ADDR_TEXT_MAX];
	for (size_t i = 0; i < w->s->net.iface_count; i++) {
		const struct iface *x = w->s->net.ifaces[i];
		for (size_t k = 0; x->host == h->id && k < x->address_count; k++)
			trace_tell(&w->s->trace, w->s->now, h->name, "%s has %s%s",
				x->index == 1 ? "eth" : "wwan", addr_format(&x->addresses[k], text),
				x->up ? "" : " (down)");
	}
	host_network_changed(w->s, h, false);
	if (h->dirty)
		host_drain(w->s, h);
}

static void roam(struct swarm *w)
{
	struct host *h = any_roamer(w);
	settle_in(w, any_iface(w, h), below(w, w->site_count));
	tell_addresses(w, h);
}

static void toggle_iface(struct swarm *w)
{
	struct host *h = any_roamer(w);
	struct iface *x = w->s->net.ifaces[any_iface(w, h)];
	x->up = !x->up;
	tell_addresses(w, h);
}

static void restart(struct swarm *w, int epoch_step)
{
	struct host *h = any_host(w);
	if (h->node) {
		trace_tell(&w->s->trace, w->s->now, h->name, "stops");
		host_stop(h);
		return;
	}
	if (h->config.boot_epoch <= 1)
		epoch_step = 1;
	host_start(w->s, h, epoch_step, true);
}

static void sleep_or_wake(struct swarm *w)
{
	struct host *h = any_host(w);
	if (h->asleep)
		host_wake(w->s, h);
	else
		host_sleep(w->s, h);
}

static void reboot(struct swarm *w)
{
	struct gateway *g = w->s->net.gateways[below(w, w->s->net.gateway_count)];
	trace_tell(&w->s->trace, w->s->now, "!", "a NAT box restarts");
	nat_reboot(&g->nat4, &w->chance);
	nat_reboot(&g->firewall6, &w->chance);
}

static void attack(struct swarm *w)
{
	struct hostile_config c = { .attacks = (uint32_t)below(w, 1u << ATTACK_COUNT) };
	c.every = between(w, 20, 2000) * OV_MS;
	c.burst = (uint32_t)between(w, 1, 8);
	c.until = w->s->now + between(w, 1, 20) * OV_SEC;
	hostile_configure(w->s, &c);
}

static void forward(struct swarm *w)
{
	struct forwarder f = { .host = NET_NONE };
	if (below(w, 3))
		f.host = (uint32_t)below(w, w->s->host_count);
	f.lead = between(w, 0, 30) * OV_MS;
	f.originals = below(w, 4) != 0;
	hostile_forward(w->s, &f);
}

static void transfer(struct swarm *w)
{
	struct host *h = any_host(w);
	if (h->friend_count == 0 || !host_is_awake(h))
		return;
	struct friend *f = &h->friends[below(w, h->friend_count)];
	struct flow *flow = host_transfer(w->s, h, f->host, (uint64_t)between(w, 1000, 200000));
	if (flow)
		flow->pace = between(w, 0, 200) * OV_MS;
	host_drain(w->s, h);
}

static void happen(struct swarm *w, enum fault f)
{
	switch (f) {
	case FAULT_LOSS:
	case FAULT_BURST:
	case FAULT_REORDER:
	case FAULT_DUPLICATE:
	case FAULT_CORRUPT:
	case FAULT_MTU:
	case FAULT_CUT: degrade(w, any_host(w)); return;
	case FAULT_ROAM: roam(w); return;
	case FAULT_IFACE: toggle_iface(w); return;
	case FAULT_REBOOT: reboot(w); return;
	case FAULT_SLEEP: sleep_or_wake(w); return;
	case FAULT_RESTART: restart(w, 1); return;
	case FAULT_ROLLBACK: restart(w, -1); return;
	case FAULT_HOSTILE: attack(w); return;
	case FAULT_FORWARDER: forward(w); return;
	case FAULT_WALL: w->s->wall_offset += between(w, -1000000000, 1000000000); return;
	case FAULT_TRANSFER: transfer(w); return;
	case FAULT_LONG_WAIT: sim_run_for(w->s, between(w, 60, 700) * OV_SEC); return;
	case FAULT_COUNT: break;
	}
	assert(false);
}

static void talk_a_little(struct swarm *w)
{
	for (size_t i = 0; i < w->s->host_count; i++) {
		struct host *h = &w->s->hosts[i];
		for (size_t k = 0; k < h->friend_count; k++) {
			if (below(w, 2))
				continue;
			enum talk_kind kind = below(w, 2) ? TALK_UDP : TALK_ECHO;
			ov_time every = between(w, 50, 5000) * OV_MS;
			ov_time until = w->s->now + between(w, 10, 120) * OV_SEC;
			struct talk *t = host_talk(w->s, h, h->friends[k].host, kind, every, until);
			t->size = (uint16_t)between(w, 16, 1372);
			t->next_at += between(w, 0, 1000) * OV_MS;
		}
	}
}

static void suffer(struct swarm *w)
{
	uint64_t events = 5 + below(w, 30);
	for (uint64_t i = 0; i < events && !sim_failed(w->s); i++) {
		enum fault f;
		do
			f = (enum fault)below(w, FAULT_COUNT);
		while (!has(w, f));
		happen(w, f);
		if (below(w, 6) == 0)
			talk_a_little(w);
		sim_run_for(w->s, between(w, 1, 8000) * OV_MS);
	}
}

/* ---- afterwards ---- */

static void heal(struct swarm *w)
{
	struct sim *s = w->s;
	trace_tell(&s->trace, s->now, "-", "the faults are over");
	if (s->hostile) {
		hostile_configure(s, &(struct hostile_config){ .every = OV_SEC, .until = s->now });
		hostile_forward(s, &(struct forwarder){ .host = NET_NONE });
	}
	for (size_t i = 0; i < s->net.iface_count; i++) {
		struct iface *x = s->net.ifaces[i];
		if (x->host == NET_NONE)
			continue;
		struct link_config clean = world_link(w->delay[x->host]);
		net_link_change(&s->net, (uint32_t)i, &clean);
		x->up = true;
	}
	for (size_t i = 0; i < s->host_count; i++) {
		struct host *h = &s->hosts[i];
		for (size_t k = 0; k < h->talk_count; k++)
			h->talks[k].next_at = OV_NEVER;
		if (!h->node)
			host_start(s, h, 1, true);
		host_wake(s, h);
		tell_addresses(w, h);
	}
}

static bool someone_is_silent(struct sim *s, void *context)
{
	ov_time since = *(ov_time *)context;
	for (size_t i = 0; i < s->host_count; i++)
		for (size_t k = 0; k < s->hosts[i].friend_count; k++) {
			const struct friend *f = &s->hosts[i].friends[k];
			if (f->wanted && (f->received == 0 || f->last_received < since))
				return true;
		}
	return false;
}

static void report_silence(struct sim *s, ov_time since)
{
	for (size_t i = 0; i < s->host_count; i++)
		for (size_t k = 0; k < s->hosts[i].friend_count; k++) {
			const struct friend *f = &s->hosts[i].friends[k];
			if (f->wanted && (f->received == 0 || f->last_received < since))
				oracle_break(s, "alive", "%s hears nothing from %s",
					s->hosts[i].name, sim_name(s, f->host));
		}
}

/* Everybody who wants somebody sends a datagram each second, and the one that knows where the other
 * is asks for it (node_ping calls at once, as a user would). */
static void everybody_talks(struct sim *s)
{
	for (size_t i = 0; i < s->host_count && !sim_failed(s); i++) {
		struct host *h = &s->hosts[i];
		for (size_t k = 0; k < h->friend_count; k++) {
			if (!h->friends[k].wanted)
				continue;
			host_talk(
				s, h, h->friends[k].host, TALK_UDP, OV_SEC, s->now + ALIVE_WITHIN);
			if (h->friends[k].endpoint_count > 0)
				host_ping(s, h, h->friends[k].host);
		}
	}
}

static void recover(struct swarm *w)
{
	struct sim *s = w->s;
	heal(w);
	ov_time since = s->now;
	everybody_talks(s);
	if (!sim_run_while(s, someone_is_silent, &since, ALIVE_WITHIN))
		report_silence(s, since);
	sim_run_until(s, since + ALIVE_WITHIN + 10 * OV_SEC);
	if (!sim_failed(s))
		oracle_check_agreement(s);
}

struct sim *swarm_run(uint64_t seed, bool verbose, size_t tail)
{
	struct swarm w = { 0 };
	build(&w, seed);
	w.s->trace.verbose = verbose;
	if (tail > 0)
		trace_keep_tail(&w.s->trace, tail);
	world_start_all(w.s);
	talk_a_little(&w);
	suffer(&w);
	if (!sim_failed(w.s))
		recover(&w);
	return w.s;
}

/* ---- a town ---- */

#define TOWN_ANCHORS 5

static void town_build(struct swarm *w, uint64_t seed, size_t n)
{
	w->s = sim_new(seed, n);
	seed_init(&w->chance, seed, STREAM_SWARM);
	for (size_t i = 0; i < n; i++) {
		uint8_t hi = (uint8_t)(i >> 8), lo = (uint8_t)i;
		ov_time delay = between(w, 1, 60) * OV_MS;
		struct nat_config nat = world_nat(addr_v4(198, 19, hi, lo, 0));
		struct host *h = i < TOWN_ANCHORS || below(w, 2)
					 ? world_public(w->s, addr_v4(198, 18, hi, lo, 0), delay)
					 : world_behind(w->s, &nat, delay, NULL);
		h->config.max_flows = 1024;
		h->config.max_contacts = 1024;
		for (size_t k = 0; k < TOWN_ANCHORS && k < i; k++)
			world_befriend(
				w->s, h, &w->s->hosts[k], world_address(w->s, &w->s->hosts[k]));
	}
}

struct sim *swarm_town(uint64_t seed, size_t n, bool verbose)
{
	struct swarm w = { 0 };
	town_build(&w, seed, n);
	struct sim *s = w.s;
	s->trace.verbose = verbose;
	world_start_all(s);
	for (int round = 0; round < 2 && !sim_failed(s); round++) {
		ov_time since = s->now;
		everybody_talks(s);
		if (!sim_run_while(s, someone_is_silent, &since, ALIVE_WITHIN))
			report_silence(s, since);
		sim_run_until(s, since + ALIVE_WITHIN + 10 * OV_SEC);
		if (sim_failed(s))
			break;
		oracle_check_agreement(s);
		for (size_t i = TOWN_ANCHORS; i < n; i++) /* the whole town moves */
			if (s->net.ifaces[world_iface(s, &s->hosts[i], 0)]->segment == NET_CORE)
				world_renumber(s, &s->hosts[i], world_iface(s, &s->hosts[i], 0),
					addr_v4(198, 20, (uint8_t)(i >> 8), (uint8_t)i, 0));
	}
	return s;
}
