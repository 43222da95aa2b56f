/* What survives a restart is in struct host, what does not is in the node. The host is also the
 * kernel's part: source address selection, refusal of datagrams that do not fit or have no route,
 * and runs of equal datagrams (GSO out, GRO in). */
#include "tests/sim/host.h"

#include "core/packet.h"
#include "tests/sim/hostile.h"
#include "tests/sim/sim.h"
#include "tests/sim/stack.h"

#include <stdlib.h>
#include <string.h>

void host_init(struct sim *s, struct host *h, uint32_t id)
{
	*h = (struct host){ .id = id, .deadline = OV_NEVER };
	if (s->host_cap <= 26)
		snprintf(h->name, sizeof(h->name), "%c", (char)('a' + id));
	else
		snprintf(h->name, sizeof(h->name), "n%u", id);
	uint8_t secret[32];
	struct seed keys;
	seed_init(&keys, s->seed, STREAM_IDENTITY + id);
	do
		seed_fill(&keys, secret, sizeof(secret));
	while (identity_from_seed(&h->self, secret) != OV_OK);
	peer_id_address(&h->self.id, h->inner_ip);
	handshake_mac1_key(h->mac1_key, h->self.dh_public);
	h->config = node_config_default();
	h->config.listen_port = HOST_PORT;
	h->aead = nonce_aead_table(true);
}

void host_fini(struct host *h)
{
	host_stop(h);
	free(h->friends);
	free(h->talks);
}

static void *grow(void *list, size_t count, size_t size)
{
	void *p = realloc(list, (count + 1) * size);
	if (!p)
		abort();
	return p;
}

size_t host_befriend(struct sim *s, struct host *h, uint32_t other, const char *grants)
{
	assert(other < s->host_cap);
	h->friends = grow(h->friends, h->friend_count, sizeof(h->friends[0]));
	h->friends[h->friend_count] = (struct friend){ .host = other, .grants = grants };
	return h->friend_count++;
}

void host_endpoint(struct host *h, size_t friend, const struct ov_addr *a)
{
	struct friend *f = &h->friends[friend];
	assert(f->endpoint_count < HOST_ENDPOINTS);
	f->endpoints[f->endpoint_count++] = *a;
}

void host_use(struct host *h, uint32_t facilitator)
{
	assert(h->facilitator_count < HOST_FACILITATORS);
	h->facilitators[h->facilitator_count++] = (struct service){ .host = facilitator };
}

bool host_uses(const struct host *h, uint32_t facilitator)
{
	for (size_t i = 0; i < h->facilitator_count; i++)
		if (h->facilitators[i].host == facilitator)
			return true;
	return false;
}

struct friend *host_friend(struct host *h, uint32_t other)
{
	for (size_t i = 0; i < h->friend_count; i++)
		if (h->friends[i].host == other)
			return &h->friends[i];
	return NULL;
}

bool host_is_awake(const struct host *h)
{
	return h->node && !h->asleep;
}

static void put_contact(struct sim *s, struct host *h, const struct friend *f, bool call)
{
	struct contact c = { .id = s->hosts[f->host].self.id, .last_endpoint = f->last_endpoint };
	snprintf(c.name, sizeof(c.name), "%s", s->hosts[f->host].name);
	int err = grants_add_list(&c.grants, f->grants, NULL);
	char text[ADDR_TEXT_MAX];
	for (size_t i = 0; err == OV_OK && i < f->endpoint_count; i++)
		err = contact_add_endpoint(&c, addr_format(&f->endpoints[i], text));
	if (err == OV_OK)
		err = node_contact_put(h->node, s->now, &c, call);
	if (err != OV_OK)
		oracle_break(s, "limits", "%s: contact %s is refused: %s", h->name, c.name,
			ov_err_text(err));
	contact_fini(&c);
}

static void put_facilitator(struct sim *s, struct host *h, struct service *x)
{
	struct contact c = { .id = s->hosts[x->host].self.id };
	int err = OV_OK;
	for (size_t i = 0; err == OV_OK && i < s->net.iface_count; i++) {
		const struct iface *at = s->net.ifaces[i];
		for (size_t k = 0; at->host == x->host && k < at->address_count; k++) {
			struct ov_addr where = at->addresses[k];
			char text[ADDR_TEXT_MAX];
			where.port = HOST_PORT;
			err = contact_add_endpoint(&c, addr_format(&where, text));
		}
	}
	if (err == OV_OK)
		err = node_facilitator_put(h->node, s->now, &c, NULL);
	if (err != OV_OK)
		oracle_break(s, "limits", "%s: facilitator %s is refused: %s", h->name,
			sim_name(s, x->host), ov_err_text(err));
	x->registered = false;
	contact_fini(&c);
}

void host_start(struct sim *s, struct host *h, int epoch_step, bool call)
{
	assert(!h->node);
	h->config.boot_epoch = (uint32_t)((int)h->config.boot_epoch + epoch_step);
	seed_init(&h->chance, s->seed, STREAM_NODE + s->starts++);
	h->starts++;
	h->network_changes = 0;
	h->started_at = s->now;
	h->asleep = false;
	memset(h->drops, 0, sizeof(h->drops));
	h->node = node_new(&h->config, &h->self, &h->aead, seed_rng(&h->chance), s->now);
	if (!h->node)
		abort();
	trace_tell(&s->trace, s->now, h->name, "starts, epoch %u", h->config.boot_epoch);
	host_network_changed(s, h, false);
	for (size_t i = 0; i < h->friend_count; i++) {
		h->friends[i].up = false;
		put_contact(s, h, &h->friends[i], call);
	}
	for (size_t i = 0; i < h->facilitator_count; i++)
		put_facilitator(s, h, &h->facilitators[i]);
	host_drain(s, h);
}

void host_stop(struct host *h)
{
	apps_host_stops(h);
	if (h->node)
		node_free(h->node);
	h->node = NULL;
	h->extra = (struct extra){ 0 };
	h->deadline = OV_NEVER;
	memset(h->flows, 0, sizeof(h->flows));
}

void host_network_changed(struct sim *s, struct host *h, bool resumed)
{
	struct local_address list[16];
	size_t count = 0;
	if (!host_is_awake(h))
		return;
	for (size_t i = 0; i < s->net.iface_count; i++) {
		const struct iface *x = s->net.ifaces[i];
		for (size_t k = 0; x->host == h->id && x->up && k < x->address_count; k++) {
			assert(count < sizeof(list) / sizeof(list[0]));
			list[count++] = (struct local_address){ .addr = x->addresses[k],
				.interface = x->index,
				.prefix_len = addr_is_v4(&x->addresses[k]) ? 24 : 64,
				.has_default_route = true };
		}
	}
	h->network_changes++;
	node_network_changed(h->node, s->now, list, count, resumed);
	h->dirty = true;
}

void host_sleep(struct sim *s, struct host *h)
{
	if (!host_is_awake(h))
		return;
	trace_tell(&s->trace, s->now, h->name, "falls asleep");
	h->asleep = true;
	h->deadline = OV_NEVER;
}

void host_wake(struct sim *s, struct host *h)
{
	if (!h->node || !h->asleep)
		return;
	trace_tell(&s->trace, s->now, h->name, "wakes up");
	h->asleep = false;
	for (size_t i = 0; i < h->talk_count; i++)
		if (h->talks[i].next_at < s->now)
			h->talks[i].next_at = s->now;
	host_network_changed(s, h, true);
	host_drain(s, h);
}

void host_ping(struct sim *s, struct host *h, uint32_t other)
{
	if (!host_is_awake(h))
		return;
	int err = node_ping(h->node, s->now, &s->hosts[other].self.id, ++h->serial, 30 * OV_SEC);
	if (err != OV_OK)
		oracle_break(s, "limits", "%s: ping of %s is refused: %s", h->name,
			sim_name(s, other), ov_err_text(err));
	host_drain(s, h);
}

struct talk *host_talk(struct sim *s, struct host *h, uint32_t other, enum talk_kind kind,
	ov_time every, ov_time until)
{
	struct friend *f = host_friend(h, other);
	assert(f);
	h->talks = grow(h->talks, h->talk_count, sizeof(h->talks[0]));
	struct talk *t = &h->talks[h->talk_count++];
	*t = (struct talk){ .kind = kind,
		.friend = (uint32_t)(f - h->friends),
		.every = every,
		.next_at = s->now,
		.until = until,
		.size = 64 };
	h->dirty = true;
	h->deadline = host_is_awake(h) ? s->now : OV_NEVER;
	return t;
}

struct flow *host_transfer(struct sim *s, struct host *h, uint32_t other, uint64_t bytes)
{
	for (size_t i = 0; i < HOST_FLOWS_MAX; i++) {
		struct flow *f = &h->flows[i];
		if (f->state != FLOW_FREE && f->state != FLOW_DONE)
			continue;
		struct ip6_pair pair = { .destination_port = FLOW_PORT };
		pair.source_port = (uint16_t)(40000 + ++h->serial % 20000);
		memcpy(pair.source, h->inner_ip, 16);
		memcpy(pair.destination, s->hosts[other].inner_ip, 16);
		flow_dial(f, s->now, &pair, bytes);
		h->dirty = true;
		return f;
	}
	return NULL;
}

/* ---- in ---- */

static bool joins(const struct dgram *run, const struct flight *f, const struct iface *i)
{
	return run->len % run->segment == 0 && f->len <= run->segment &&
	       run->interface == i->index && addr_equal(&run->remote, &f->source) &&
	       addr_equal(&run->local, &f->destination);
}

/* As the network sees it, whatever the nodes say. */
static void note_direct(struct sim *s, struct host *h, const struct flight *f)
{
	struct friend *from = f->data[0] == PACKET_IP ? host_friend(h, f->origin) : NULL;
	if (!from)
		return;
	from->direct++;
	if (from->first_direct == 0)
		from->first_direct = s->now;
}

static bool has_socket(const struct host *h, uint16_t port)
{
	return port == HOST_PORT || (port != 0 && port == h->config.second_port) ||
	       extra_has(&h->extra, port);
}

void host_receive(struct sim *s, struct host *h, const struct flight *f)
{
	struct inbox *in = &s->inbox;
	if (!host_is_awake(h) || !has_socket(h, f->destination.port) || f->len == 0)
		return;
	if (in->count > 0 &&
		(in->host != h->id || in->count == INBOX_RUNS || in->used + f->len > INBOX_BYTES))
		host_input(s);
	oracle_on_receive(s, h, f);
	note_direct(s, h, f);
	const struct iface *i = s->net.ifaces[f->hop_id];
	bool extra = extra_has(&h->extra, f->destination.port); /* tells its port, no more */
	memcpy(in->bytes + in->used, f->data, f->len);
	struct dgram *last = in->count > 0 ? &in->runs[in->count - 1] : NULL;
	if (last && joins(last, f, i)) {
		last->len += f->len;
	} else {
		in->host = h->id;
		in->runs[in->count++] = (struct dgram){ .data = in->bytes + in->used,
			.len = f->len,
			.segment = f->len,
			.carrier = CARRIER_UDP,
			.interface = extra ? 0 : i->index,
			.local = extra ? (struct ov_addr){ .port = f->destination.port }
				       : f->destination,
			.remote = f->source };
	}
	in->used += f->len;
	h->busy_packets++;
}

static void tell_drops(struct sim *s, struct host *h)
{
	const struct node_counters *c = node_counters(h->node);
	for (size_t i = 0; i < DROP_REASON_COUNT; i++) {
		if (c->drops[i] == h->drops[i])
			continue;
		trace_mix(&s->trace, s->now, i, c->drops[i]);
		trace_note(&s->trace, s->now, h->name, "  drop %s x%llu", drop_name((enum drop)i),
			(unsigned long long)(c->drops[i] - h->drops[i]));
		h->drops[i] = c->drops[i];
	}
}

void host_input(struct sim *s)
{
	struct inbox *in = &s->inbox;
	if (in->count == 0)
		return;
	struct host *h = &s->hosts[in->host];
	size_t count = in->count;
	in->count = 0;
	in->used = 0;
	node_input(h->node, s->now, in->runs, count);
	tell_drops(s, h);
	h->dirty = true;
	host_drain(s, h);
}

/* ---- out ---- */

/* The interface a kernel would take: the one asked for, the one that owns the source, or the first
 * with an address of the family. *source is completed. NET_NONE: no route. */
static uint32_t route(
	const struct sim *s, const struct host *h, const struct dgram *d, struct ov_addr *source)
{
	for (size_t i = 0; i < s->net.iface_count; i++) {
		const struct iface *x = s->net.ifaces[i];
		if (x->host != h->id || !x->up || (d->interface != 0 && d->interface != x->index))
			continue;
		for (size_t k = 0; k < x->address_count; k++) {
			const struct ov_addr *a = &x->addresses[k];
			if (addr_is_v4(a) != addr_is_v4(&d->remote))
				continue;
			if (!addr_is_any(&d->local) && !addr_same_ip(a, &d->local))
				continue;
			*source = *a;
			source->port = has_socket(h, d->local.port) ? d->local.port : HOST_PORT;
			return (uint32_t)i;
		}
	}
	return NET_NONE;
}

static const char *type_name(uint8_t type)
{
	static const char *const names[] = { [PACKET_HS1] = "HS1",
		[PACKET_HS2] = "HS2",
		[PACKET_COOKIE] = "COOKIE",
		[PACKET_CONTROL] = "CONTROL",
		[PACKET_IP] = "IP",
		[PACKET_IP_FRAGMENT] = "IP_FRAGMENT",
		[PACKET_RELAY] = "RELAY" };
	return type >= PACKET_HS1 && type <= PACKET_RELAY ? names[type] : "?";
}

static void tell_emission(struct sim *s, struct host *h, const struct flight *f)
{
	trace_mix(&s->trace, s->now, (uint64_t)h->id << 32 | f->len,
		(uint64_t)f->data[0] << 16 | f->destination.port);
	bool relayed = f->data[0] == PACKET_RELAY && f->len > RELAY_HEADER_LEN;
	uint8_t type = f->data[relayed ? RELAY_HEADER_LEN : 0];
	bool handshake = type == PACKET_HS1 || type == PACKET_HS2 || type == PACKET_COOKIE;
	if (!handshake && !trace_wants_notes(&s->trace))
		return;
	char from[ADDR_TEXT_MAX], to[ADDR_TEXT_MAX];
	addr_format(&f->source, from);
	addr_format(&f->destination, to);
	if (handshake)
		trace_tell(&s->trace, s->now, h->name, "%s %u B %s -> %s%s", type_name(type),
			f->len, from, to, relayed ? " (relayed)" : "");
	else
		trace_note(&s->trace, s->now, h->name, "%s %u B %s -> %s%s counter=%llu",
			type_name(type), f->len, from, to, relayed ? " (relayed)" : "",
			f->len >= HEADER_LEN ? (unsigned long long)load_le64(f->data + 8) : 0);
}

/* One datagram of a run. False: the kernel refuses it (*too_big says why). */
static bool emit_one(struct sim *s, struct host *h, const struct dgram *d, size_t at, bool *too_big)
{
	size_t left = d->len - at;
	struct ov_addr source;
	uint32_t iface = route(s, h, d, &source);
	struct flight *f = wire_alloc(&s->net.wire);
	f->len = (uint16_t)(left < d->segment ? left : d->segment);
	f->destination = d->remote;
	f->origin = h->id;
	*too_big = iface != NET_NONE && net_ip_len(f) > s->net.ifaces[iface]->mtu;
	if (iface == NET_NONE || *too_big) {
		trace_note(&s->trace, s->now, h->name, "  kernel refuses %u B: %s", f->len,
			*too_big ? "message too long" : "no route");
		wire_free(&s->net.wire, f);
		return false;
	}
	f->source = source;
	f->near = d->hops != 0;
	f->aimed = d->remote;
	memcpy(f->data, d->data + at, f->len);
	tell_emission(s, h, f);
	oracle_on_emit(s, h, f);
	h->emitted++;
	h->busy_packets++;
	if (hostile_on_departure(s, h, f))
		wire_free(&s->net.wire, f);
	else
		net_send_take(&s->net, s->now, iface, f);
	return true;
}

#define POLL_BATCH 16

static bool emit(struct sim *s, struct host *h)
{
	struct dgram out[POLL_BATCH], refused[POLL_BATCH];
	bool big[POLL_BATCH];
	size_t count = node_poll(h->node, s->now, out, POLL_BATCH), failures = 0;
	for (size_t i = 0; i < count; i++) {
		struct dgram *d = &out[i];
		if (d->segment == 0 || d->len == 0 || d->segment > FLIGHT_MAX) {
			oracle_break(s, "limits", "%s: a run of %zu B in segments of %u", h->name,
				d->len, d->segment);
			return false;
		}
		bool sent = true;
		for (size_t at = 0; sent && at < d->len; at += d->segment)
			sent = emit_one(s, h, d, at, &big[failures]);
		if (!sent)
			refused[failures++] = *d;
	}
	for (size_t i = 0; i < failures; i++)
		node_send_failed(h->node, s->now, &refused[i], big[i]);
	return count > 0;
}

/* ---- events ---- */

/* An address as a story tells it: a way through a relay has the relay's overlay address. */
static const char *place(const struct sim *s, const struct ov_addr *a, char text[ADDR_TEXT_MAX])
{
	for (size_t i = 0; i < s->host_count; i++)
		if (memcmp(a->ip, s->hosts[i].inner_ip, 8) == 0) {
			snprintf(text, ADDR_TEXT_MAX, "by %s", s->hosts[i].name);
			return text;
		}
	return addr_format(a, text);
}

static void on_up_down(struct sim *s, struct host *h, const struct node_event *e, const char *name)
{
	struct host *other = sim_find_host(s, &e->peer);
	struct friend *f = other ? host_friend(h, other->id) : NULL;
	if (!f && other && host_uses(h, other->id)) {
		trace_tell(&s->trace, s->now, h->name, "%s %s", name,
			e->type == NODE_PEER_UP ? "up" : "down");
		return;
	}
	if (!f) {
		oracle_break(s, "limits", "%s: up or down of somebody who is no contact", h->name);
		return;
	}
	f->up = e->type == NODE_PEER_UP;
	f->ups += f->up;
	f->downs += !f->up;
	trace_tell(&s->trace, s->now, h->name, "%s %s", name, f->up ? "up" : "down");
}

static void open_extra(struct sim *s, struct host *h, uint64_t count)
{
	size_t opened;
	const uint16_t *ports = extra_open(&h->extra, (size_t)count, &opened);
	node_ports(h->node, s->now, ports, opened);
}

static void on_event(struct sim *s, struct host *h, const struct node_event *e)
{
	struct host *other = sim_find_host(s, &e->peer);
	const char *name = other ? other->name : "stranger";
	struct friend *f = other ? host_friend(h, other->id) : NULL;
	char addr[ADDR_TEXT_MAX], observed[ADDR_TEXT_MAX];
	place(s, &e->addr, addr);
	struct trace *t = &s->trace;
	long long ms = (long long)(e->rtt / OV_MS);
	switch (e->type) {
	case NODE_PEER_UP:
	case NODE_PEER_DOWN: on_up_down(s, h, e, name); return;
	case NODE_PATH_CHANGED:
		trace_tell(t, s->now, h->name, "%s path %s rtt=%lld ms", name, addr, ms);
		return;
	case NODE_ADDRESS_CHANGED: trace_tell(t, s->now, h->name, "is seen at %s", addr); return;
	case NODE_PEER_REQUEST:
		trace_tell(t, s->now, h->name, "%s requests from %s", name, addr);
		return;
	case NODE_GUEST:
		trace_tell(t, s->now, h->name, "%s shows an invite from %s", name, addr);
		return;
	case NODE_RELAY_OFFERED: trace_tell(t, s->now, h->name, "%s offers a relay", name); return;
	case NODE_JOINED: trace_tell(t, s->now, h->name, "%s let us in", name); return;
	case NODE_ENDPOINT:
		if (f)
			f->last_endpoint = e->addr;
		trace_tell(t, s->now, h->name, "%s endpoint %s", name, addr);
		return;
	case NODE_PONG:
		trace_tell(t, s->now, h->name, "%s pong rtt=%lld ms path=%s observed=%s", name, ms,
			addr, addr_format(&e->observed, observed));
		return;
	case NODE_PING_TIMEOUT: trace_tell(t, s->now, h->name, "%s ping timeout", name); return;
	case NODE_REFUSED:
		trace_tell(t, s->now, h->name, "%s refused %s", name, e->refused);
		return;
	case NODE_PORTS_WANTED: open_extra(s, h, e->count); return;
	case NODE_PORTS_DONE: extra_settle(&h->extra, (uint16_t)e->count); return;
	case NODE_PROBE_WANTED: /* for how long NATs remember: not simulated */
	case NODE_PROBE_DONE: return;
	case NODE_EVENTS_LOST:
		trace_tell(t, s->now, h->name, "%llu events lost", (unsigned long long)e->count);
		return;
	}
	assert(false);
}

static bool events(struct sim *s, struct host *h)
{
	struct node_event e;
	bool any = false;
	for (; node_event(h->node, &e); any = true)
		on_event(s, h, &e);
	return any;
}

/* No event tells of it: what a facilitator does for us is seen in the state. */
static void tell_services(struct sim *s, struct host *h)
{
	struct facilitator_info list[HOST_FACILITATORS];
	size_t count = node_facilitators(h->node, s->now, list, HOST_FACILITATORS);
	for (size_t i = 0; i < h->facilitator_count; i++) {
		struct service *x = &h->facilitators[i];
		for (size_t k = 0; k < count; k++) {
			if (!peer_id_equal(&list[k].id, &s->hosts[x->host].self.id) ||
				list[k].registered == x->registered)
				continue;
			x->registered = list[k].registered;
			trace_tell(&s->trace, s->now, h->name, "%s %s",
				x->registered ? "is registered at" : "is no more registered at",
				sim_name(s, x->host));
		}
	}
}

static bool inbound(struct sim *s, struct host *h)
{
	const struct ip_packet *list;
	size_t count = node_inbound(h->node, &list);
	for (size_t i = 0; i < count && !sim_failed(s); i++)
		stack_inbound(s, h, &list[i]);
	return count > 0;
}

/* ---- turns ---- */

void host_tick(struct sim *s, struct host *h)
{
	if (!host_is_awake(h) || node_deadline(h->node) > s->now)
		return;
	for (int again = 0; again < 3 && node_deadline(h->node) <= s->now; again++) {
		node_tick(
			h->node, s->now); /* one peer's tick may make another's due, but it ends */
		h->busy_ticks++;
	}
	tell_drops(s, h);
	if (node_deadline(h->node) <= s->now)
		oracle_break(s, "storm", "%s: after three ticks the deadline is %lld us ago",
			h->name, (long long)((s->now - node_deadline(h->node)) / OV_US));
}

void host_drain(struct sim *s, struct host *h)
{
	h->dirty = false;
	if (!host_is_awake(h)) {
		h->deadline = OV_NEVER;
		return;
	}
	bool more = true;
	for (unsigned turns = 0; more && !sim_failed(s); turns++) {
		more = events(s, h);
		more = inbound(s, h) || more;
		more = apps_turn(s, h) || more;
		while (emit(s, h)) /* streams alone may fill the output */
			more = true;
		more = stack_submit(s, h) || more;
		if (turns == 100000)
			oracle_break(s, "storm", "%s: the node never has nothing to do", h->name);
	}
	tell_drops(s, h);
	tell_services(s, h);
	h->deadline = ov_min(node_deadline(h->node), stack_deadline(s, h));
	h->deadline = ov_min(h->deadline, apps_deadline(h));
	oracle_check_host(s, h);
}
