/* Anchors never change their address and everybody who may talk to them knows it; roamers do all
 * that roamers do. So "can reach each other" needs no theorem: an anchor and anyone. Pairs of
 * roamers that share a facilitator can reach each other through it at least; those that do not are
 * watched for safety only. Facilitators are anchors, and use none themselves. */
#include "tests/sim/swarm.h"

#include "tests/sim/errand.h"
#include "tests/sim/fault.h"
#include "tests/sim/hostile.h"
#include "tests/sim/recovery.h"

uint64_t swarm_below(struct swarm *w, uint64_t bound)
{
	return seed_below(&w->chance, bound);
}

ov_time swarm_between(struct swarm *w, ov_time low, ov_time high)
{
	return seed_between(&w->chance, low, high);
}

static struct ov_addr address6(uint32_t site, uint32_t host)
{
	struct ov_addr a = { .ip = { 0x20, 0x01, 0x0d, 0xb8 } };
	store_be16(a.ip + 6, (uint16_t)site);
	store_be16(a.ip + 14, (uint16_t)host);
	return a;
}

/* One draw per statement: C does not order the expressions of a list. */
static struct nat_config any_box(struct swarm *w, struct ov_addr outside)
{
	struct nat_config nat = { .translate = true, .outside = outside };
	nat.mapping = (enum nat_behaviour)swarm_below(w, 3);
	nat.filtering = (enum nat_behaviour)swarm_below(w, 3);
	nat.ports = (enum nat_ports)swarm_below(w, 3);
	nat.lifetime = swarm_between(w, 28, 300) * OV_SEC;
	nat.refresh_inbound = swarm_below(w, 2);
	nat.hairpin = swarm_below(w, 2);
	return nat;
}

/* The network of a provider that has too few addresses (RFC 6598): a second NAT for its customers.
 */
static uint32_t carrier(struct swarm *w)
{
	if (w->carrier == NET_CORE) {
		struct nat_config nat = any_box(w, addr_v4(198, 51, 100, 200, 0));
		w->carrier = net_add_segment(&w->s->net);
		net_add_gateway(&w->s->net, w->carrier, NET_CORE, &nat, NULL);
	}
	return w->carrier;
}

static void add_site(struct swarm *w)
{
	uint8_t number = (uint8_t)(1 + w->site_count);
	struct nat_config nat = any_box(w, addr_v4(203, 0, 113, number, 0));
	struct nat_config firewall = { .filtering = NAT_ADDRESS_PORT_DEPENDENT,
		.lifetime = nat.lifetime };
	uint64_t family =
		swarm_below(w, 5); /* mostly v4 only; dual; v6 only; v4 behind two boxes */
	bool v4 = family != 3, v6 = family == 2 || family == 3;
	uint32_t outside = NET_CORE;
	if (family == 4) {
		outside = carrier(w);
		nat.outside = addr_v4(100, 64, 0, number, 0);
	}
	uint32_t segment = net_add_segment(&w->s->net);
	net_add_gateway(&w->s->net, segment, outside, v4 ? &nat : NULL, v6 ? &firewall : NULL);
	w->sites[w->site_count] = segment;
	w->site4[w->site_count] = v4;
	w->site6[w->site_count++] = v6;
}

/* Gives an interface what DHCP and router advertisements would give it at that site. */
void swarm_settle_in(struct swarm *w, uint32_t iface, size_t site)
{
	uint32_t n = w->next_address++;
	net_plug(&w->s->net, iface, w->sites[site]);
	struct ov_addr v4 =
		site == 0 ? addr_v4(198, 18, (uint8_t)(n >> 8), (uint8_t)n, 0)
			  : addr_v4(192, 168, w->alike ? 0 : (uint8_t)site, (uint8_t)n, 0);
	struct ov_addr v6 = address6((uint32_t)site, n);
	if (w->site4[site])
		net_address_add(&w->s->net, iface, &v4);
	if (w->site6[site])
		net_address_add(&w->s->net, iface, &v6);
}

static void add_host(struct swarm *w)
{
	struct host *h = sim_add_host(w->s);
	w->delay[h->id] = swarm_between(w, 1, 80) * OV_MS;
	struct link_config link = world_link(w->delay[h->id]);
	bool anchor = h->id < w->anchors;
	uint32_t iface = net_add_iface(&w->s->net, h->id, NET_CORE, &link);
	swarm_settle_in(w, iface, anchor ? 0 : swarm_below(w, w->site_count));
	if (!anchor && swarm_below(w, 3) == 0) {
		iface = net_add_iface(&w->s->net, h->id, NET_CORE, &link);
		swarm_settle_in(w, iface, swarm_below(w, w->site_count));
	}
	h->aead = nonce_aead_table(swarm_below(w, 2));
	h->config.pairing = swarm_below(w, 4) == 0;
	h->config.max_flows = 64;
	h->config.max_contacts = 64;
	h->config.max_pending_handshakes = (uint32_t)swarm_between(w, 8, 64);
}

/* Half of the worlds have a facilitator or two. */
static void draw_facilitators(struct swarm *w)
{
	size_t count = swarm_below(w, 2) ? 1 + swarm_below(w, w->anchors) : 0;
	for (size_t i = 0; i < count; i++) {
		struct host *f = &w->s->hosts[i];
		f->config.facilitator = swarm_below(w, 2) ? FACILITATOR_OPEN : FACILITATOR_CONTACTS;
		f->config.max_clients = 16;
		f->config.relay_channels = SWARM_HOSTS_MAX;
		for (size_t k = w->anchors; k < w->s->host_count; k++)
			if (swarm_below(w, 4) > 0)
				host_use(&w->s->hosts[k], f->id);
	}
}

static bool share_facilitator(const struct host *a, const struct host *b)
{
	for (size_t i = 0; i < a->facilitator_count; i++)
		if (host_uses(b, a->facilitators[i].host))
			return true;
	return false;
}

static void know(struct swarm *w, struct host *a, const struct host *b, bool reachable)
{
	size_t friend = host_befriend(w->s, a, b->id, "all");
	struct ov_addr victim = hostile_victim_address();
	if (w->s->hostile && swarm_below(w, 4) == 0)
		host_endpoint(a, friend, &victim); /* somebody lied to its owner */
	const struct iface *x = w->s->net.ifaces[world_iface(w->s, b, 0)];
	for (size_t i = 0; reachable && i < x->address_count; i++) {
		struct ov_addr at = x->addresses[i];
		at.port = HOST_PORT;
		host_endpoint(a, friend, &at);
	}
	a->friends[friend].wanted = reachable || a->id < w->anchors || share_facilitator(a, b);
}

static void build(struct swarm *w, uint64_t seed)
{
	w->s = sim_new(seed, SWARM_HOSTS_MAX);
	seed_init(&w->chance, seed, STREAM_SWARM);
	seed_init(&w->errands, seed, STREAM_APPS);
	w->errand_bytes = ERRAND_BYTES;
	w->faults = (uint32_t)seed_next(&w->chance);
	w->faults &= (uint32_t)seed_next(&w->chance);
	w->faults |= 1u << swarm_below(w, FAULT_COUNT);
	w->next_address = 10;
	w->alike = swarm_below(w, 2) != 0;
	w->site_count = 1;
	w->site4[0] = w->site6[0] = true;
	for (size_t n = 1 + swarm_below(w, SWARM_SITES_MAX - 1); n > 0; n--)
		add_site(w);
	if (fault_may(w, FAULT_HOSTILE) || fault_may(w, FAULT_FORWARDER))
		hostile_init(w->s);
	size_t hosts = 2 + swarm_below(w, SWARM_HOSTS_MAX - 1);
	w->anchors = 1 + swarm_below(w, hosts > 2 ? 2 : 1);
	while (w->s->host_count < hosts)
		add_host(w);
	draw_facilitators(w);
	for (size_t i = 0; i < hosts; i++)
		for (size_t k = i + 1; k < hosts; k++) {
			if (k != i + 1 && swarm_below(w, 3) == 0 && i >= w->anchors)
				continue;
			know(w, &w->s->hosts[i], &w->s->hosts[k], k < w->anchors);
			know(w, &w->s->hosts[k], &w->s->hosts[i], i < w->anchors);
		}
}

static void talk_a_little(struct swarm *w)
{
	for (size_t i = 0; i < w->s->host_count; i++) {
		struct host *h = &w->s->hosts[i];
		for (size_t k = 0; k < h->friend_count; k++) {
			if (swarm_below(w, 2))
				continue;
			enum talk_kind kind = swarm_below(w, 2) ? TALK_UDP : TALK_ECHO;
			ov_time every = swarm_between(w, 50, 5000) * OV_MS;
			ov_time until = w->s->now + swarm_between(w, 10, 120) * OV_SEC;
			struct talk *t = host_talk(w->s, h, h->friends[k].host, kind, every, until);
			t->size = (uint16_t)swarm_between(w, 16, 1372);
			t->next_at += swarm_between(w, 0, 1000) * OV_MS;
		}
	}
}

static void suffer(struct swarm *w)
{
	uint64_t events = 5 + swarm_below(w, 30);
	for (uint64_t i = 0; i < events && !sim_failed(w->s); i++) {
		enum fault f;
		do
			f = (enum fault)swarm_below(w, FAULT_COUNT);
		while (!fault_may(w, f));
		fault_happen(w, f);
		if (swarm_below(w, 6) == 0)
			talk_a_little(w);
		if (seed_below(&w->errands, 3) == 0)
			errand_draw(w);
		sim_run_for(w->s, swarm_between(w, 1, 8000) * OV_MS);
	}
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
	errand_draw(&w);
	suffer(&w);
	if (!sim_failed(w.s))
		recovery_run(&w);
	return w.s;
}
