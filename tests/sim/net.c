/* Routing by looking: a segment is a list of attachments, found by scanning. There is one route out
 * of a site, its gateway; in the core an address is either attached or unreachable. So no routing
 * table can be wrong, and a private address of another site is unreachable just as it is outside.
 */
#include "tests/sim/net.h"

#include <stdlib.h>
#include <string.h>

#define HOPS_MAX 8

void net_init(struct net *n, uint64_t seed)
{
	*n = (struct net){ .segment_count = 1 };
	seed_init(&n->seed, seed, UINT64_C(0x6e6574));
}

void net_fini(struct net *n)
{
	wire_fini(&n->wire);
	for (size_t i = 0; i < n->iface_count; i++)
		free(n->ifaces[i]);
	for (size_t i = 0; i < n->gateway_count; i++)
		free(n->gateways[i]);
	free(n->ifaces);
	free(n->gateways);
}

uint32_t net_add_segment(struct net *n)
{
	return n->segment_count++;
}

static void *grow(void *list, size_t count, size_t size)
{
	void *p = realloc(list, (count + 1) * size);
	if (!p)
		abort();
	return p;
}

uint32_t net_add_iface(struct net *n, uint32_t host, uint32_t segment, const struct link_config *l)
{
	struct iface *i = calloc(1, sizeof(*i));
	if (!i)
		abort();
	n->ifaces = grow(n->ifaces, n->iface_count, sizeof(struct iface *));
	*i = (struct iface){ .host = host, .segment = segment, .up = true, .mtu = 1500 };
	i->index = 1;
	for (size_t k = 0; k < n->iface_count; k++)
		i->index += host != NET_NONE && n->ifaces[k]->host == host;
	link_init(&i->up_link, l);
	link_init(&i->down_link, l);
	n->ifaces[n->iface_count] = i;
	return (uint32_t)n->iface_count++;
}

uint32_t net_add_gateway(struct net *n, uint32_t inside, uint32_t outside,
	const struct nat_config *nat4, const struct nat_config *firewall6)
{
	struct gateway *g = calloc(1, sizeof(*g));
	if (!g)
		abort();
	n->gateways = grow(n->gateways, n->gateway_count, sizeof(struct gateway *));
	g->inside = inside;
	g->outside = outside;
	g->has4 = nat4 != NULL;
	g->has6 = firewall6 != NULL;
	if (nat4)
		nat_init(&g->nat4, nat4);
	if (firewall6)
		nat_init(&g->firewall6, firewall6);
	n->gateways[n->gateway_count] = g;
	return (uint32_t)n->gateway_count++;
}

static const struct gateway *way_out(const struct net *n, uint32_t segment)
{
	for (size_t i = 0; i < n->gateway_count; i++)
		if (n->gateways[i]->inside == segment)
			return n->gateways[i];
	return NULL;
}

/* The one at the core: sites have one way out each. */
static const struct gateway *last_box(const struct net *n, uint32_t segment)
{
	const struct gateway *g = NULL;
	for (const struct gateway *next; (next = way_out(n, segment)) != NULL; segment = g->outside)
		g = next;
	return g;
}

bool net_has_common_box(const struct net *n, uint32_t x, uint32_t y)
{
	const struct gateway *g = last_box(n, x);
	return g && g == last_box(n, y);
}

void net_address_add(struct net *n, uint32_t iface, const struct ov_addr *ip)
{
	struct iface *i = n->ifaces[iface];
	assert(i->address_count < IFACE_ADDRESSES_MAX);
	i->addresses[i->address_count] = *ip;
	i->addresses[i->address_count++].port = 0;
}

bool net_address_remove(struct net *n, uint32_t iface, const struct ov_addr *ip)
{
	struct iface *i = n->ifaces[iface];
	for (size_t k = 0; k < i->address_count; k++) {
		if (!addr_same_ip(&i->addresses[k], ip))
			continue;
		i->address_count--;
		memmove(&i->addresses[k], &i->addresses[k + 1],
			(i->address_count - k) * sizeof(i->addresses[0]));
		return true;
	}
	return false;
}

void net_plug(struct net *n, uint32_t iface, uint32_t segment)
{
	n->ifaces[iface]->segment = segment;
	n->ifaces[iface]->address_count = 0;
}

void net_link_change(struct net *n, uint32_t iface, const struct link_config *config)
{
	n->ifaces[iface]->up_link.config = *config;
	n->ifaces[iface]->down_link.config = *config;
}

void net_cut(struct net *n, uint32_t iface, bool cut)
{
	n->ifaces[iface]->up_link.config.cut = cut;
	n->ifaces[iface]->down_link.config.cut = cut;
}

size_t net_ip_len(const struct flight *f)
{
	return f->len + (addr_is_v4(&f->destination) ? 28u : 48u);
}

static void lose(struct net *n, struct flight *f, const char *where, const char *why)
{
	if (n->on_loss)
		n->on_loss(n->context, f, (struct net_loss){ .where = where, .why = why });
	wire_free(&n->wire, f);
}

/* Through a link towards the given hop. */
static void transit(struct net *n, ov_time now, struct link *l, struct flight *f, const char *where)
{
	struct link_transit t = link_send(l, now, &n->seed, net_ip_len(f));
	if (t.fate != LINK_PASSED) {
		lose(n, f, where, link_fate_name(t.fate));
		return;
	}
	for (size_t i = 0; i < t.copies; i++) {
		struct flight *copy = wire_copy(&n->wire, f);
		if (t.corrupt[i] && copy->len > 0) {
			uint64_t bit = seed_below(&n->seed, 8u * copy->len);
			copy->data[bit / 8] ^= (uint8_t)(1u << bit % 8);
			copy->bent = true;
		}
		wire_push(&n->wire, copy, t.at[i]);
	}
	wire_free(&n->wire, f);
}

void net_send_take(struct net *n, ov_time now, uint32_t iface, struct flight *f)
{
	struct iface *i = n->ifaces[iface];
	f->hop = HOP_SEGMENT;
	f->hop_id = i->segment;
	if (i->up)
		transit(n, now, &i->up_link, f, "uplink");
	else
		lose(n, f, "uplink", "down");
}

void net_inject_take(struct net *n, ov_time at, uint32_t segment, struct flight *f)
{
	f->hop = HOP_SEGMENT;
	f->hop_id = segment;
	wire_push(&n->wire, f, at);
}

static bool iface_has(const struct iface *i, const struct ov_addr *ip)
{
	for (size_t k = 0; k < i->address_count; k++)
		if (addr_same_ip(&i->addresses[k], ip))
			return true;
	return false;
}

bool net_host_owns(const struct net *n, uint32_t host, const struct ov_addr *ip)
{
	for (size_t i = 0; i < n->iface_count; i++)
		if (n->ifaces[i]->host == host && iface_has(n->ifaces[i], ip))
			return true;
	return false;
}

static struct iface *attached(
	const struct net *n, uint32_t segment, const struct ov_addr *ip, uint32_t *id)
{
	for (size_t i = 0; i < n->iface_count; i++) {
		struct iface *x = n->ifaces[i];
		if (x->segment != segment || !x->up || !iface_has(x, ip))
			continue;
		*id = (uint32_t)i;
		return x;
	}
	return NULL;
}

/* Does the gateway lead to ip, seen from its outside? Addresses that are not
 * translated are routed to whatever site they are attached in. */
static bool leads_to(const struct net *n, const struct gateway *g, const struct ov_addr *ip)
{
	bool v4 = addr_is_v4(ip);
	if (v4 && g->has4 && g->nat4.config.translate)
		return addr_same_ip(&g->nat4.config.outside, ip);
	uint32_t unused;
	return (v4 ? g->has4 : g->has6) && attached(n, g->inside, ip, &unused) != NULL;
}

static void at_gateway_from_inside(struct net *n, ov_time now, struct gateway *g, struct flight *f)
{
	bool v4 = addr_is_v4(&f->destination);
	if (v4 ? !g->has4 : !g->has6) {
		lose(n, f, "gateway", "no route");
		return;
	}
	enum nat_verdict v = nat_outbound(
		v4 ? &g->nat4 : &g->firewall6, now, &n->seed, &f->source, &f->destination);
	if (v == NAT_HAIRPIN) {
		net_inject_take(n, now, g->inside, f);
		return;
	}
	if (v != NAT_PASS) {
		lose(n, f, "gateway", nat_verdict_name(v));
		return;
	}
	f->hop = HOP_SEGMENT;
	f->hop_id = g->outside;
	transit(n, now, &g->up_link, f, "gateway up");
}

static void at_gateway_from_outside(struct net *n, ov_time now, struct gateway *g, struct flight *f)
{
	bool v4 = addr_is_v4(&f->destination);
	enum nat_verdict v =
		nat_inbound(v4 ? &g->nat4 : &g->firewall6, now, &f->source, &f->destination);
	if (v == NAT_PASS)
		net_inject_take(n, now, g->inside, f);
	else
		lose(n, f, "gateway", nat_verdict_name(v));
}

static void at_segment(struct net *n, ov_time now, struct flight *f)
{
	uint32_t segment = f->hop_id, id;
	struct iface *i = attached(n, segment, &f->destination, &id);
	if (i) {
		f->hop = HOP_IFACE;
		f->hop_id = id;
		transit(n, now, &i->down_link, f, "downlink");
		return;
	}
	struct gateway *out = NULL;
	for (size_t k = 0; k < n->gateway_count; k++) {
		struct gateway *g = n->gateways[k];
		if (g->outside == segment && leads_to(n, g, &f->destination)) {
			f->hop = HOP_GATEWAY;
			f->hop_id = (uint32_t)k;
			transit(n, now, &g->down_link, f, "gateway down");
			return;
		}
		if (g->inside == segment)
			out = g;
	}
	if (out)
		at_gateway_from_inside(n, now, out, f);
	else
		lose(n, f, "segment", "no route");
}

ov_time net_next(const struct net *n)
{
	return wire_next(&n->wire);
}

struct flight *net_arrived(struct net *n, ov_time now)
{
	struct flight *f;
	while ((f = wire_pop(&n->wire, now)) != NULL) {
		if (f->hop == HOP_IFACE && n->ifaces[f->hop_id]->up &&
			iface_has(n->ifaces[f->hop_id], &f->destination))
			return f;
		if (f->hop == HOP_IFACE)
			lose(n, f, "interface", "gone");
		else if (++f->hops > HOPS_MAX)
			lose(n, f, "segment", "loop");
		else if (f->near && f->hop == HOP_SEGMENT && f->hop_id == NET_CORE)
			lose(n, f, "core", "time exceeded");
		else if (f->hop == HOP_SEGMENT)
			at_segment(n, now, f);
		else
			at_gateway_from_outside(n, now, n->gateways[f->hop_id], f);
	}
	return NULL;
}

void net_free(struct net *n, struct flight *f)
{
	wire_free(&n->wire, f);
}
