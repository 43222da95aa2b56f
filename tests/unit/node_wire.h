#pragma once
/* node_wire - up to three nodes and a deterministic wire between them: datagrams in flight with a
 * delay each, a hook that may drop, copy or reroute, and inner packets that prove their bytes; and
 * TCP connections to whoever has a tcp address, which carry datagrams in order until they are cut.
 * Used by the tests of the node and by its fuzz target, so it reports through wire_broken. */
#include "overlay/node_state.h"

#include "core/bytes.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifndef WIRE_NODES
#define WIRE_NODES 3
#endif
#define WIRE_DELAY (10 * OV_MS)
#ifndef WIRE_FLIGHTS /* a fuzz target takes less */
#define WIRE_FLIGHTS 4096
#define WIRE_PACKETS 4096
#endif

struct wire;

struct flight {
	ov_time at;
	uint64_t order;
	struct ov_addr from, to;
	size_t len;
	uint8_t data[PMTU_MAX + 64];
	bool used;
	uint8_t carrier;
	uint8_t hops;        /* as in core/dgram.h: a hook may let it die */
	uint32_t connection; /* of TCP */
};

#ifndef WIRE_CONNECTIONS
#define WIRE_CONNECTIONS 256
#endif

struct wire_connection { /* its number is its place, from 1 */
	size_t client, server;
	struct ov_addr from, to;
	ov_time stands_at; /* SYN and its answer */
	bool told, cut;
};

struct wire_node {
	struct identity id;
	struct node_config config;
	struct node *node;
	struct ov_addr addr, old; /* old: datagrams to it arrive too, when set */
	bool answers_from_old;    /* a second address of its own: answers leave as they came */
	struct ov_addr tcp;       /* takes connections there, when set */
	size_t dialled;           /* connections it asked for */
	struct ov_addr dials[64]; /* where: the last ones */
	uint16_t extra[1024];     /* ports that the node asked for: the kept first */
	size_t extra_kept, extra_count;
	uint16_t probe; /* one more; 0: none */
	uint64_t random;
	uint64_t sent, received; /* datagrams */
	struct node_event events[512];
	size_t event_count;
	uint8_t (*inner)[PMTU_MAX + 64]; /* WIRE_PACKETS delivered packets */
	size_t inner_len[WIRE_PACKETS], inner_count;
};

struct wire {
	ov_time now, delay;
	struct wire_node nodes[WIRE_NODES];
	size_t count;
	struct aead_table aead;
	struct flight *flights;
	size_t high; /* flights in use are below */
	uint64_t order;
	/* May change the flight; false: it is lost. */
	bool (*hook)(struct wire *w, struct flight *f);
	void *context;
	struct wire_connection connections[WIRE_CONNECTIONS];
	size_t connection_count;
	bool portal; /* something else answers every connection */
};

/* A test may define WIRE_FAIL before it includes this. */
#ifndef WIRE_FAIL
#define WIRE_FAIL(what) (fprintf(stderr, "node_wire: %s\n", what), abort())
#endif

_Noreturn static inline void wire_broken(const char *what)
{
	WIRE_FAIL(what);
	abort(); /* cmocka's fail_msg leaves by longjmp, but does not say so to the compiler */
}

static inline void wire_random(void *context, void *out, size_t len)
{
	uint64_t *state = context;
	for (size_t i = 0; i < len; i += 8) {
		uint64_t z = (*state += UINT64_C(0x9e3779b97f4a7c15));
		z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
		z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
		z ^= z >> 31;
		memcpy((uint8_t *)out + i, &z, len - i < 8 ? len - i : 8);
	}
}

static inline struct ov_addr wire_addr(size_t i)
{
	return addr_v4(198, 51, 100, (uint8_t)(10 + i), 27182);
}

static inline void wire_start(struct wire *w, size_t i)
{
	struct wire_node *h = &w->nodes[i];
	struct rng rng = { .fill = wire_random, .context = &h->random };
	h->config.boot_epoch++;
	h->node = node_new(&h->config, &h->id, &w->aead, rng, w->now);
	if (!h->node)
		wire_broken("node_new");
}

#define WIRE_ORDERED 4 /* more would take long to find */

/* The first nodes are in the order of their PeerIds: 0 is the lowest. */
static inline struct wire *wire_new(size_t count)
{
	struct wire *w = calloc(1, sizeof(*w));
	if (!w || sodium_init() < 0)
		wire_broken("memory");
	w->flights = calloc(WIRE_FLIGHTS, sizeof(*w->flights));
	w->count = count;
	w->now = 1000 * OV_SEC;
	w->delay = WIRE_DELAY;
	w->aead.chacha20_poly1305 = &aead_sodium_chacha20_poly1305;
	for (size_t i = 0; i < count; i++) {
		struct wire_node *h = &w->nodes[i];
		for (uint8_t seed[32] = { 1, 0, (uint8_t)(i < WIRE_ORDERED ? 0 : i) };; seed[1]++) {
			if (identity_from_seed(&h->id, seed) != OV_OK)
				wire_broken("identity");
			if (i == 0 || i >= WIRE_ORDERED ||
				peer_id_compare(&h[-1].id.id, &h->id.id) < 0)
				break;
		}
		h->config = node_config_default();
		h->config.max_contacts = 64;
		h->config.max_flows = 256;
		h->addr = wire_addr(i);
		h->random = 1000 + i;
		h->inner = calloc(WIRE_PACKETS, sizeof(*h->inner));
		wire_start(w, i);
	}
	return w;
}

static inline void wire_stop(struct wire *w, size_t i)
{
	node_free(w->nodes[i].node);
	w->nodes[i].node = NULL;
}

static inline void wire_free(struct wire *w)
{
	for (size_t i = 0; i < w->count; i++) {
		wire_stop(w, i);
		free(w->nodes[i].inner);
	}
	free(w->flights);
	free(w);
}

/* A copy of this datagram, `after` from now. */
static inline struct flight *wire_put(struct wire *w, ov_time after, struct ov_addr from,
	struct ov_addr to, const uint8_t *data, size_t len)
{
	struct flight *f = w->flights;
	while (f < w->flights + WIRE_FLIGHTS && f->used)
		f++;
	if (f == w->flights + WIRE_FLIGHTS || len > sizeof(f->data))
		wire_broken("a storm of datagrams");
	if ((size_t)(f - w->flights) == w->high)
		w->high++;
	*f = (struct flight){ .at = w->now + after, .order = w->order++, .from = from, .to = to };
	f->used = true;
	f->len = len;
	memcpy(f->data, data, len);
	return f;
}

static inline struct wire_connection *wire_connection(struct wire *w, uint32_t number)
{
	bool known = number > 0 && number <= w->connection_count;
	return known ? &w->connections[number - 1] : NULL;
}

/* A SYN: answered by whoever takes connections there, else lost. */
static inline void wire_dial(struct wire *w, size_t client, struct ov_addr to)
{
	struct wire_node *h = &w->nodes[client];
	h->dials[h->dialled++ % (sizeof(h->dials) / sizeof(h->dials[0]))] = to;
	for (size_t i = 0; i < w->count; i++) {
		if (!w->nodes[i].node || !addr_equal(&w->nodes[i].tcp, &to))
			continue;
		if (w->connection_count == WIRE_CONNECTIONS)
			wire_broken("a storm of connections");
		struct wire_connection *c = &w->connections[w->connection_count++];
		*c = (struct wire_connection){ .client = client, .server = i, .to = to };
		c->from = w->nodes[client].addr;
		c->from.port = (uint16_t)(30000 + w->connection_count);
		c->stands_at = w->now + 2 * w->delay;
	}
}

static inline void wire_emit_tcp(struct wire *w, const struct wire_node *h, const struct dgram *d)
{
	struct wire_connection *c = wire_connection(w, d->interface);
	if (!c || c->cut)
		return;
	bool up = h == &w->nodes[c->client];
	if (!up && h != &w->nodes[c->server])
		wire_broken("a connection of others");
	if (!addr_equal(&d->remote, up ? &c->to : &c->from))
		wire_broken("a connection to elsewhere");
	for (size_t at = 0; at < d->len; at += d->segment) {
		size_t len = d->len - at < d->segment ? d->len - at : d->segment;
		struct flight *f = wire_put(
			w, w->delay, up ? c->from : c->to, up ? c->to : c->from, d->data + at, len);
		f->carrier = CARRIER_TCP;
		f->connection = d->interface;
		if (w->hook && !w->hook(w, f))
			f->used = false;
	}
}

static inline bool wire_has_port(const struct wire_node *h, uint16_t port)
{
	if (port != 0 && (h->probe == port || h->config.second_port == port))
		return true;
	for (size_t i = 0; i < h->extra_count; i++)
		if (h->extra[i] == port)
			return true;
	return false;
}

/* The edge's part of a burst. */
static inline void wire_ports(struct wire *w, struct wire_node *h, const struct node_event *ev)
{
	size_t first = h->extra_kept;
	h->extra_count = first;
	if (ev->type == NODE_PORTS_DONE) {
		if (ev->count)
			h->extra[h->extra_count++] = (uint16_t)ev->count;
		h->extra_kept = h->extra_count;
		return;
	}
	if (first + ev->count > sizeof(h->extra) / sizeof(h->extra[0]))
		wire_broken("too many ports");
	for (size_t i = 0; i < ev->count; i++)
		h->extra[h->extra_count++] = (uint16_t)(40000 + 1000 * first + i);
	node_ports(h->node, w->now, h->extra + first, ev->count);
}

static inline void wire_probe(struct wire *w, struct wire_node *h, bool wanted)
{
	static uint16_t last;
	h->probe = wanted ? (uint16_t)(35000 + ++last % 1000) : 0;
	if (wanted)
		node_probe_port(h->node, w->now, h->probe);
}

static inline void wire_emit(struct wire *w, struct wire_node *h, const struct dgram *d)
{
	if (d->len == 0 || d->segment == 0 || !d->data)
		wire_broken("an empty run");
	if (d->carrier == CARRIER_TCP) {
		wire_emit_tcp(w, h, d);
		return;
	}
	bool from_old = h->answers_from_old && addr_same_ip(&d->local, &h->old);
	struct ov_addr from = from_old ? h->old : h->addr;
	if (wire_has_port(h, d->local.port))
		from.port = d->local.port;
	for (size_t at = 0; at < d->len; at += d->segment) {
		size_t len = d->len - at < d->segment ? d->len - at : d->segment;
		h->sent++;
		struct flight *f = wire_put(w, w->delay, from, d->remote, d->data + at, len);
		f->hops = d->hops;
		if (w->hook && !w->hook(w, f))
			f->used = false;
	}
}

/* Everything a verb left behind. */
static inline void wire_drain(struct wire *w, size_t i)
{
	struct wire_node *h = &w->nodes[i];
	struct dgram out[8];
	size_t count;
	while ((count = node_poll(h->node, w->now, out, 8)) > 0)
		for (size_t k = 0; k < count; k++)
			wire_emit(w, h, &out[k]);
	const struct ip_packet *in;
	count = node_inbound(h->node, &in);
	for (size_t k = 0; k < count && h->inner_count < WIRE_PACKETS; k++) {
		struct ip_packet p = in[k];
		if (p.partial)
			checksum_complete(&p);
		if (p.len > sizeof(h->inner[0]))
			wire_broken("a long inner packet");
		memcpy(h->inner[h->inner_count], p.data, p.len);
		h->inner_len[h->inner_count++] = p.len;
	}
	struct node_event ev;
	while (node_event(h->node, &ev)) {
		if (ev.type == NODE_PORTS_WANTED || ev.type == NODE_PORTS_DONE)
			wire_ports(w, h, &ev);
		if (ev.type == NODE_PROBE_WANTED || ev.type == NODE_PROBE_DONE)
			wire_probe(w, h, ev.type == NODE_PROBE_WANTED);
		if (h->event_count < 512)
			h->events[h->event_count++] = ev;
	}
	struct ov_addr to;
	while (node_dial(h->node, &to))
		wire_dial(w, i, to);
}

/* Both ends see it close. */
static inline void wire_cut(struct wire *w, uint32_t number)
{
	struct wire_connection *c = wire_connection(w, number);
	if (!c || c->cut)
		return;
	c->cut = true;
	const size_t ends[2] = { c->client, c->server };
	for (size_t k = 0; k < 2; k++) {
		if (!w->nodes[ends[k]].node)
			continue;
		node_tcp_closed(w->nodes[ends[k]].node, w->now, number);
		wire_drain(w, ends[k]);
	}
}

static inline void wire_cut_all(struct wire *w)
{
	size_t count = w->connection_count; /* not those that are made because of it */
	for (uint32_t i = 1; i <= count; i++)
		wire_cut(w, i);
}

static inline void wire_stands(struct wire *w, uint32_t number)
{
	struct wire_connection *c = wire_connection(w, number);
	if (!c)
		wire_broken("no such connection");
	c->told = true;
	if (c->cut || !w->nodes[c->client].node)
		return;
	struct dgram where = {
		.carrier = CARRIER_TCP, .interface = number, .local = c->from, .remote = c->to
	};
	node_tcp_opened(w->nodes[c->client].node, w->now, &where);
	wire_drain(w, c->client);
	if (!w->portal)
		return;
	wire_cut(w, number);
	node_tcp_foreign(w->nodes[c->client].node, w->now, &c->to);
	wire_drain(w, c->client);
}

static inline void wire_tick(struct wire *w, size_t i)
{
	node_tick(w->nodes[i].node, w->now);
	if (node_deadline(w->nodes[i].node) <= w->now)
		wire_broken("deadline not after the tick: a timer storm");
	wire_drain(w, i);
}

static inline void wire_deliver(struct wire *w, struct flight *f)
{
	struct flight here = *f; /* opened in place; its slot is free from now on */
	f->used = false;
	for (size_t i = 0; i < w->count; i++) {
		struct wire_node *h = &w->nodes[i];
		const struct wire_connection *c = wire_connection(w, here.connection);
		bool to_old = h->answers_from_old && addr_same_ip(&h->old, &here.to);
		bool extra = (to_old || addr_same_ip(&h->addr, &here.to)) &&
			     wire_has_port(h, here.to.port);
		bool ours =
			addr_equal(&h->addr, &here.to) || addr_equal(&h->old, &here.to) || extra;
		if (c)
			ours = !c->cut &&
			       i == (addr_equal(&c->to, &here.to) ? c->server : c->client);
		if (!h->node || !ours)
			continue;
		struct dgram d = { .data = here.data,
			.len = here.len,
			.segment = (uint16_t)here.len,
			.carrier = here.carrier,
			.interface = here.connection,
			.local = here.to,
			.remote = here.from };
		h->received++;
		node_input(h->node, w->now, &d, 1);
		wire_drain(w, i);
		return;
	}
}

static inline struct flight *wire_next(const struct wire *w)
{
	struct flight *next = NULL;
	for (struct flight *f = w->flights; f < w->flights + w->high; f++)
		if (f->used && (!next || f->at < next->at ||
				       (f->at == next->at && f->order < next->order)))
			next = f;
	return next;
}

/* Lets `span` pass; arrivals before deadlines of the same instant. */
static inline void wire_run(struct wire *w, ov_time span)
{
	ov_time until = w->now + span;
	assert(until < OV_NEVER); /* so there is an arrival or a deadline behind each `at` */
	for (;;) {
		struct flight *f = wire_next(w);
		ov_time at = f ? f->at : OV_NEVER;
		size_t who = WIRE_NODES;
		for (size_t i = 0; i < w->count; i++) {
			ov_time due = w->nodes[i].node ? node_deadline(w->nodes[i].node) : OV_NEVER;
			if (due < at) {
				at = due;
				who = i;
			}
		}
		uint32_t stands = 0;
		for (uint32_t i = 1; i <= w->connection_count; i++)
			if (!w->connections[i - 1].told && w->connections[i - 1].stands_at < at) {
				at = w->connections[i - 1].stands_at;
				stands = i;
			}
		if (at > until)
			break;
		w->now = ov_max(w->now, at);
		if (stands > 0)
			wire_stands(w, stands);
		else if (who == WIRE_NODES)
			wire_deliver(w, f);
		else
			wire_tick(w, who);
	}
	w->now = until;
}

/* a knows b, at `where` (NULL: no address), with these grants. */
static inline void wire_know(
	struct wire *w, size_t a, size_t b, const struct ov_addr *where, const char *grants)
{
	struct contact c = { .id = w->nodes[b].id.id };
	char text[ADDR_TEXT_MAX];
	const char *bad;
	if (grants && grants_add_list(&c.grants, grants, &bad) != OV_OK)
		wire_broken("grants");
	if (where && contact_add_endpoint(&c, addr_format(where, text)) != OV_OK)
		wire_broken("endpoint");
	if (node_contact_put(w->nodes[a].node, w->now, &c, false) != OV_OK)
		wire_broken("contact");
	contact_fini(&c);
	wire_drain(w, a);
}

/* Node i has this address now, and no other. */
static inline void wire_set_address(struct wire *w, size_t i, struct ov_addr addr)
{
	struct local_address local = {
		.addr = addr, .interface = 1, .prefix_len = 24, .has_default_route = true
	};
	local.addr.port = 0; /* as the kernel tells it */
	w->nodes[i].addr = addr;
	node_network_changed(w->nodes[i].node, w->now, &local, 1, false);
	wire_drain(w, i);
}

/* b shall be a facilitator of a's. */
static inline void wire_use_facilitator(struct wire *w, size_t a, size_t b)
{
	struct contact c = { .id = w->nodes[b].id.id };
	char text[ADDR_TEXT_MAX];
	if (contact_add_endpoint(&c, addr_format(&w->nodes[b].addr, text)) != OV_OK ||
		node_facilitator_put(w->nodes[a].node, w->now, &c, NULL) != OV_OK)
		wire_broken("facilitator");
	contact_fini(&c);
	wire_drain(w, a);
}

static inline void wire_acquaint(struct wire *w, size_t a, size_t b)
{
	wire_know(w, a, b, &w->nodes[b].addr, "all");
	wire_know(w, b, a, &w->nodes[a].addr, "all");
}

/* A UDP packet from a's address to b's; its bytes follow from tag. Returns its length. */
static inline size_t wire_packet(
	const struct wire *w, size_t a, size_t b, uint32_t tag, size_t payload, uint8_t *out)
{
	size_t len = 48 + payload;
	memset(out, 0, 48);
	out[0] = 0x60;
	store_be16(out + 4, (uint16_t)(8 + payload));
	out[6] = 17;
	out[7] = 64;
	peer_id_address(&w->nodes[a].id.id, out + 8);
	peer_id_address(&w->nodes[b].id.id, out + 24);
	store_be16(out + 40, 7000);
	store_be16(out + 42, 7001);
	store_be16(out + 44, (uint16_t)(8 + payload));
	for (size_t i = 0; i < payload; i++)
		out[48 + i] = i < 4 ? (uint8_t)(tag >> 8 * i) : (uint8_t)(tag * 31 + i * 7);
	uint32_t sum = checksum_add(checksum_pseudo(out, 17, len - 40), out + 40, len - 40);
	uint16_t value = checksum_fold(sum);
	store_be16(out + 46, value ? value : 0xffff);
	return len;
}

static inline void wire_submit(struct wire *w, size_t i, uint8_t *packet, size_t len)
{
	struct ip_packet p = { .data = packet, .len = len };
	node_submit(w->nodes[i].node, w->now, &p, 1);
	wire_drain(w, i);
}

static inline void wire_send(struct wire *w, size_t a, size_t b, uint32_t tag, size_t payload)
{
	uint8_t packet[PMTU_MAX + 64];
	wire_submit(w, a, packet, wire_packet(w, a, b, tag, payload, packet));
}

/* How often exactly this packet was delivered at b. */
static inline size_t wire_got(
	const struct wire *w, size_t a, size_t b, uint32_t tag, size_t payload)
{
	uint8_t packet[PMTU_MAX + 64];
	size_t len = wire_packet(w, a, b, tag, payload, packet), count = 0;
	for (size_t i = 0; i < w->nodes[b].inner_count; i++)
		count += w->nodes[b].inner_len[i] == len &&
			 memcmp(w->nodes[b].inner[i], packet, len) == 0;
	return count;
}

static inline size_t wire_events(const struct wire *w, size_t i, enum node_event_type type)
{
	size_t count = 0;
	for (size_t k = 0; k < w->nodes[i].event_count; k++)
		count += w->nodes[i].events[k].type == type;
	return count;
}

static inline struct peer_info wire_info(const struct wire *w, size_t a, size_t b)
{
	struct peer_info info;
	if (!node_peer_info(w->nodes[a].node, w->now, &w->nodes[b].id.id, &info))
		wire_broken("no such peer");
	return info;
}

static inline uint64_t wire_drops(const struct wire *w, size_t i, enum drop why)
{
	return node_counters(w->nodes[i].node)->drops[why];
}

static inline bool wire_uses(const struct wire *w, size_t a, size_t b, struct ov_addr remote)
{
	struct peer_info info = wire_info(w, a, b);
	return info.has_active && addr_equal(&info.active.remote, &remote);
}

static inline struct peer *wire_peer(const struct wire *w, size_t a, size_t b)
{
	return node_peer(w->nodes[a].node, &w->nodes[b].id.id);
}
