/* Three whole nodes on a wire that the input drives: deliver, copy, drop, reorder, corrupt, wait,
 * submit, move, restart, remove and add. Node 2 may be the facilitator of the others, the direct
 * way between these closed, and each may send any frame to any other. Whatever it does: no timer
 * storm, one data path at most, tables within their limits, and an inner packet arrives as it was
 * sent, from who sent it. */
#define WIRE_FLIGHTS     512
#define WIRE_PACKETS     64
#define WIRE_CONNECTIONS 4096
#include "tests/unit/node_wire.h"

#include "overlay/frames.h"

#define WIRE_FUZZED 3
#define HELD        256 /* datagrams on the wire; more are lost */

static void check(bool ok, const char *what)
{
	if (!ok)
		wire_broken(what);
}

static size_t on_wire(const struct wire *w)
{
	size_t count = 0;
	for (size_t i = 0; i < w->high; i++)
		count += w->flights[i].used;
	return count;
}

#define RELAY 2

static bool has_facilitator, is_apart; /* nothing between 0 and 1 */

static bool lose_above(struct wire *w, struct flight *f)
{
	bool relayed = addr_same_ip(&f->from, &w->nodes[RELAY].addr) ||
		       addr_same_ip(&f->to, &w->nodes[RELAY].addr);
	return on_wire(w) <= HELD && (relayed || !is_apart);
}

static struct flight *pick(struct wire *w, size_t k)
{
	size_t count = on_wire(w);
	if (count == 0)
		return NULL;
	k %= count;
	struct flight *f = w->flights;
	while (!f->used || k-- > 0)
		f++;
	return f;
}

static void check_peer(const struct node *n, const struct peer *p)
{
	const struct association *a = p->association;
	check(p->candidates.count <= CANDIDATES_MAX, "candidates");
	check(!p->touched, "a verb that did not settle");
	if (!a)
		return;
	check(a->path_count <= PATHS_MAX, "paths");
	bool found = !a->active, previous = !a->previous, peer_path = !a->peer_path;
	for (size_t i = 0; i < a->path_count; i++) {
		found |= a->paths[i] == a->active;
		previous |= a->paths[i] == a->previous;
		peer_path |= a->paths[i] == a->peer_path;
	}
	check(found && previous && peer_path, "a path that is gone is still referred to");
	check(!a->staging || (a->staging->count > 0 && a->staging->used <= STAGED_BYTES),
		"staging");
	check(!a->keys[0] ? !a->keys[1] && !a->keys[2] : true, "retired keys without keys");
	check(!a->call || table_find(n->by_index, a->call->handshake.index) == &a->call->receiver,
		"the index of a call");
}

static void check_channels(const struct node *n)
{
	size_t all = 0, forward = 0, clients = 0, known = 0;
	for (size_t k = 0; k < n->peer_count; k++) {
		const struct peer *p = n->peers[k];
		const struct channel *c = p->association ? p->association->channels : NULL;
		size_t own = 0;
		for (; c; c = c->next, all++) {
			check(c->session == p && table_find(n->by_channel, c->id) == c, "channel");
			check(c->kind == CHANNEL_LINK || c->twin->twin == c, "twin");
			own += c->kind == CHANNEL_FORWARD;
		}
		check(p->client ? own == p->client->channels : own == 0, "channels of a client");
		forward += own;
		clients += p->contact.source == CONTACT_CLIENT;
		known += contact_is_known(p->contact.source);
	}
	check(all == table_count(n->by_channel) && forward == n->forward_count, "channels");
	check(clients == n->client_count && known == n->known_count, "peers by source");
}

static void check_node(struct wire *w, size_t i)
{
	struct node *n = w->nodes[i].node;
	size_t pending = 0, indices = 0;
	for (size_t k = 0; k < n->peer_count; k++) {
		const struct association *a = n->peers[k]->association;
		check_peer(n, n->peers[k]);
		for (size_t j = 0; a && j < PENDING_MAX; j++)
			pending += a->pending[j] != NULL;
		for (size_t j = 0; a && j < KEYS_MAX; j++)
			indices += a->keys[j] != NULL;
		indices += a && a->call;
	}
	check(pending == n->pending_count && pending == table_count(n->by_mac1), "pending");
	check(indices + pending == table_count(n->by_index), "indices");
	check_channels(n);
	check(n->counters.packets_in >= w->nodes[i].inner_count, "delivered packets");
}

/* Every packet delivered is one that its source submitted to us, byte for byte. */
static void check_inner(struct wire *w, size_t to)
{
	struct wire_node *h = &w->nodes[to];
	for (size_t i = 0; i < h->inner_count; i++) {
		const uint8_t *got = h->inner[i];
		uint8_t want[PMTU_MAX + 64];
		size_t len = h->inner_len[i], from = 0;
		check(len >= 48 + 4, "a short inner packet");
		if (got[6] == 58)
			continue; /* our own Packet Too Big */
		for (; from < w->count; from++) {
			peer_id_address(&w->nodes[from].id.id, want);
			if (memcmp(want, got + 8, 16) == 0)
				break;
		}
		check(from < w->count && from != to, "a source that nobody has");
		uint32_t tag = load_le32(got + 48);
		check(wire_packet(w, from, to, tag, len - 48, want) == len &&
				memcmp(want, got, len) == 0,
			"inner bytes");
	}
	h->inner_count = 0;
}

static void restart(struct wire *w, size_t i)
{
	wire_stop(w, i);
	wire_start(w, i);
	for (size_t k = 0; k < w->count; k++)
		if (k != i)
			wire_know(w, i, k, &w->nodes[k].addr, "all");
	if (has_facilitator && i != RELAY)
		wire_use_facilitator(w, i, RELAY);
}

/* Node 2 serves strangers, too: the others are clients, contacts or both. */
static void make_facilitator(struct wire *w, uint8_t arg)
{
	has_facilitator = true;
	w->nodes[RELAY].config.facilitator = FACILITATOR_OPEN;
	w->nodes[RELAY].config.second_port = 27183;
	wire_stop(w, RELAY);
	wire_start(w, RELAY);
	for (size_t i = 0; i < RELAY; i++) {
		struct local_address here = { .addr = w->nodes[i].addr, .has_default_route = true };
		node_network_changed(w->nodes[i].node, w->now, &here, 1, false);
		if (arg >> i & 1)
			(void)node_contact_remove(w->nodes[i].node, &w->nodes[RELAY].id.id);
		if (arg >> i & 4)
			wire_know(w, RELAY, i, NULL, "relay");
		wire_use_facilitator(w, i, RELAY);
	}
}

static uint32_t channel_with(const struct wire *w, size_t i, size_t to)
{
	const struct peer *p = wire_peer(w, i, to);
	bool any = p && p->association && p->association->channels;
	return any ? p->association->channels->id : 1;
}

static void put_any(struct wire *w, struct wr *f, size_t i, size_t to, uint8_t arg)
{
	static const uint8_t hs1[HS1_LEN] = { PACKET_HS1 }, tags[64];
	size_t third = WIRE_FUZZED - i - to;
	const struct peer *p = wire_peer(w, i, to);
	uint32_t request = p && p->registration ? p->registration->request : arg;
	uint32_t id = arg & 16 ? channel_with(w, i, to) : arg;
	struct peer_id other = w->nodes[arg & 8 ? i : third].id.id;
	switch (arg % 8) {
	case 0: frame_put_relay_close(f, &(struct relay_close){ .channel = id }); break;
	case 1:
		frame_put_relay_in(f, &(struct relay_in){ .channel = id,
					      .source = other,
					      .datagram = hs1,
					      .len = sizeof(hs1) });
		break;
	case 2:
		frame_put_relay_open(f, &(struct relay_open){ .request = arg,
						.destination = other,
						.datagram = hs1,
						.len = sizeof(hs1) });
		break;
	case 3: frame_put_relay_ok(f, &(struct relay_ok){ .request = arg, .channel = id }); break;
	case 4:
		frame_put_register(f, arg & 16 ? FRAME_WATCH : FRAME_REGISTER,
			&(struct register_frame){ .request = arg,
				.page = arg >> 6,
				.pages = 1 + (arg >> 5),
				.tags = tags,
				.count = arg >> 5 });
		break;
	case 5:
		frame_put_registered(
			f, &(struct registered_frame){ .request = request,
				   .second_port = arg,
				   .second_addr = addr_v4(arg & 64 ? 203 : 127, 0, 113, arg, 0) });
		break;
	case 6: {
		struct endpoints_frame e = { .count = 2,
			.addr = { addr_v4(203, 0, 113, arg, 443), addr_v4(10, 0, 0, arg, 443) } };
		frame_put_endpoints(f, arg & 16 ? FRAME_TCP_ENDPOINTS : FRAME_ENDPOINTS, &e);
		break;
	}
	case 7: frame_put_punch(f, &(struct punch_frame){ .round = arg, .flags = arg >> 7 }); break;
	}
}

static void say(struct wire *w, size_t i, size_t to, uint8_t arg)
{
	struct peer *p = wire_peer(w, i, to);
	uint8_t plain[PMTU_FLOOR];
	struct wr f = wr_init(plain, sizeof(plain));
	put_any(w, &f, i, to, arg);
	if (arg & 32)
		put_any(w, &f, i, to, (uint8_t)(arg * 7 + 1));
	if (p && p->association)
		(void)frames_send(w->nodes[i].node, w->now, p, &f, false);
	wire_drain(w, i);
}

/* Only connections pass. */
static bool lose_udp(struct wire *w, struct flight *f)
{
	return f->carrier == CARRIER_TCP && lose_above(w, f);
}

/* Nodes that listen, connections that are cut with and without a word, UDP blocked and not. */
static void connect_or_cut(struct wire *w, size_t i, uint8_t arg)
{
	struct wire_node *h = &w->nodes[i];
	size_t to = (i + 1 + arg % 2) % w->count;
	if (arg >= 192) {
		w->hook = arg & 1 ? lose_udp : lose_above;
		return;
	}
	switch (arg / 2 % 4) {
	case 0:
		h->tcp = h->addr;
		h->tcp.port = 443;
		break;
	case 1:
		node_candidate_tcp(w->nodes[to].node, w->now, &h->id.id, &h->tcp, SOURCE_CONFIG);
		wire_drain(w, to);
		break;
	case 2: wire_cut_all(w); break;
	case 3:
		for (size_t k = 0; k < w->connection_count; k++)
			w->connections[k].cut = true;
		break;
	}
}

static void relay_step(struct wire *w, uint8_t op, uint8_t arg)
{
	static const uint8_t ways[6][2] = { { 0, 1 }, { 0, 2 }, { 1, 0 }, { 1, 2 }, { 2, 0 },
		{ 2, 1 } };
	switch (op % 16) {
	case 0: make_facilitator(w, arg); break;
	case 1: is_apart = arg & 1; break;
	case 2: w->nodes[RELAY].node->config.relay_channels = arg & 1; break;
	case 3: node_set_pairing(w->nodes[arg % 3].node, arg & 4); break;
	case 4: connect_or_cut(w, arg / 8 % w->count, arg); break;
	default: say(w, ways[op % 6][0], ways[op % 6][1], arg); break;
	}
}

static void pass(struct wire *w, ov_time span)
{
	wire_run(w, span);
	for (size_t i = 0; i < w->count; i++)
		wire_tick(w, i);
}

static void change(struct wire *w, size_t i, uint8_t arg)
{
	struct wire_node *h = &w->nodes[i];
	struct node_event ev;
	switch (arg % 8) {
	case 0: h->addr = addr_v4(203, 0, 113, arg, 1000); break;
	case 1: h->addr = wire_addr(i); break;
	case 2: restart(w, i); break;
	case 3: h->config.boot_epoch = 0; break;
	case 4: (void)node_contact_remove(h->node, &w->nodes[(i + 1) % w->count].id.id); break;
	case 5:
		wire_know(w, i, (i + 1) % w->count, &w->nodes[(i + 1) % w->count].addr, "all");
		break;
	case 6: {
		struct local_address here = { .addr = h->addr, .has_default_route = true };
		node_network_changed(h->node, w->now, &here, 1, arg & 8);
		break;
	}
	case 7: h->node->load_until = w->now + OV_SEC; break;
	}
	wire_drain(w, i);
	while (node_event(h->node, &ev))
		continue;
}

static void corrupt(struct wire *w, struct flight *f, uint8_t arg)
{
	if (arg & 0x80)
		f->data[arg % (f->len < HEADER_LEN ? f->len : HEADER_LEN)] ^= 1;
	else
		f->data[(size_t)arg * 13 % f->len] ^= (uint8_t)(1 << arg % 8);
	if (arg == 0x7f && f->len > 1)
		f->len--;
	wire_deliver(w, f);
}

static void step(struct wire *w, uint8_t op, uint8_t arg)
{
	static const ov_time spans[] = { OV_MS, 10 * OV_MS, 100 * OV_MS, OV_SEC, 5 * OV_SEC,
		20 * OV_SEC, 125 * OV_SEC, 600 * OV_SEC };
	size_t i = op / 16 % w->count, to = (i + 1 + arg % 2) % w->count;
	struct flight *f = pick(w, arg);
	if (op >= 0xf0) {
		relay_step(w, op, arg);
		return;
	}
	switch (op % 12) {
	case 0:
	case 1:
		if (f)
			wire_deliver(w, f);
		break;
	case 2:
		if (f)
			f->used = false;
		break;
	case 3:
		if (f)
			wire_put(w, (arg % 7) * 3 * OV_MS, f->from, f->to, f->data, f->len);
		break;
	case 4:
		if (f)
			corrupt(w, f, arg);
		break;
	case 5:
		if (f && f->carrier != CARRIER_TCP)
			f->from = addr_v4(192, 0, 2, arg, 500);
		break;
	case 6:
	case 7: wire_send(w, i, to, (uint32_t)op << 8 | arg, 4 + (size_t)arg * 5); break;
	case 8: pass(w, spans[arg % 8]); break;
	case 9: change(w, i, arg); break;
	case 10:
		(void)node_ping(
			w->nodes[i].node, w->now, &w->nodes[to].id.id, arg, (1 + arg % 8) * OV_SEC);
		wire_drain(w, i);
		break;
	case 11: {
		struct ov_addr a = addr_v4(203, 0, 113, arg, 1000);
		node_candidate(w->nodes[i].node, w->now, &w->nodes[to].id.id, &a,
			(enum candidate_source)(arg % 4));
		wire_drain(w, i);
		break;
	}
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct wire *w = wire_new(WIRE_FUZZED);
	has_facilitator = is_apart = false;
	w->hook = lose_above;
	for (size_t i = 0; i < 3; i++)
		wire_acquaint(w, i, (i + 1) % 3);
	for (size_t at = 0; at + 1 < len && at < 400; at += 2) {
		step(w, data[at], data[at + 1]);
		for (size_t i = 0; i < 3; i++) {
			check_node(w, i);
			check_inner(w, i);
			w->nodes[i].event_count = 0;
		}
	}
	wire_free(w);
	return 0;
}
