/* The verbs of the node. Each changes state and touches peers. When what a verb itself had to send
 * is polled, the node settles: every peer that was touched says what its paths want to say and gets
 * its one entry in the heap of deadlines re-armed. So a packet on its way does not wait for
 * bookkeeping. Nothing calls out; the edge drains datagrams, packets and events. */
#include "overlay/node_state.h"

#include "overlay/association.h"
#include "overlay/burst.h"
#include "overlay/call.h"
#include "overlay/channel.h"
#include "overlay/dial.h"
#include "overlay/facilitator.h"
#include "overlay/frames.h"
#include "overlay/guest.h"
#include "overlay/input.h"
#include "overlay/keys.h"
#include "overlay/meet.h"
#include "overlay/netcheck.h"
#include "overlay/offer.h"
#include "overlay/outbound.h"
#include "overlay/peers.h"
#include "overlay/ping.h"
#include "overlay/presence.h"
#include "overlay/probing.h"
#include "overlay/registration.h"
#include "overlay/route.h"
#include "overlay/streams.h"

#include <sodium.h>
#include <stdlib.h>

#define CONTACTS_DEFAULT 16384
#define REKEY_MARGIN     (20 * OV_SEC) /* before keys end, for an idle path */
#define INDEX_PER_PEER   8
#define TAGS_PER_PEER    64
#define TAGS_MAX         (3u << 18) /* a table doubles when it is 3/4 full */
#define TAGS_MIN         4096

struct node_config node_config_default(void)
{
	return (struct node_config){
		.max_contacts = CONTACTS_DEFAULT,
		.max_pending_handshakes = 1024,
		.max_flows = 16384,
		.max_requests = 64,
		.streams_outlive = 7 * 24 * 3600 * OV_SEC,
		.listen_port = 27182,
		.datagram_max = PMTU_MAX,
		.max_clients = 10000,
		.relay_channels = 64,
		.relay_bytes_per_second = 12500000,
		.relay_total_bytes_per_second = 125000000,
	};
}

size_t node_clients_max(const struct node_config *c)
{
	switch ((enum facilitator_policy)c->facilitator) {
	case FACILITATOR_OPEN: return c->max_clients;
	case FACILITATOR_CONTACTS:
	case FACILITATOR_INVITE: return c->max_clients < GUESTS_MAX ? c->max_clients : GUESTS_MAX;
	case FACILITATOR_OFF: break;
	}
	return 0;
}

size_t node_peers_max(const struct node_config *c)
{
	return (size_t)c->max_contacts + FACILITATORS_MAX + node_clients_max(c);
}

/* 64 for each peer, if they are many; at 16 bytes each 12 MiB a table, full. */
size_t node_tags_max(const struct node_config *c)
{
	size_t tags = node_peers_max(c) * TAGS_PER_PEER;
	if (tags > TAGS_MAX)
		tags = TAGS_MAX;
	return tags > TAGS_MIN ? tags : TAGS_MIN;
}

size_t node_keys_max(const struct node_config *c)
{
	return node_peers_max(c) * KEYS_MAX + c->max_pending_handshakes;
}

static bool tables_new(struct node *n)
{
	const struct node_config *c = &n->config;
	uint64_t secret = rng_u64(&n->rng);
	size_t peers = node_peers_max(c);
	n->by_prefix = table_new(peers, secret);
	n->by_static = table_new(peers, secret);
	n->by_index = table_new(peers * INDEX_PER_PEER + c->max_pending_handshakes, secret);
	n->by_tag = table_new(node_tags_max(c), secret);
	n->by_watch = table_new(node_tags_max(c), secret);
	n->by_channel = table_new(peers * (c->relay_channels + 1u), secret);
	n->by_mac1 = table_new(c->max_pending_handshakes, secret);
	n->filter = filter_new(c->max_flows, n->own_prefix, &n->rng);
	n->inbound = calloc(INBOUND_MAX, sizeof(*n->inbound));
	n->scratch = malloc(SCRATCH_LEN);
	n->requests = calloc(c->max_requests ? c->max_requests : 1, sizeof(*n->requests));
	return n->by_prefix && n->by_static && n->by_index && n->by_mac1 && n->by_channel &&
	       n->by_tag && n->by_watch && n->filter && n->inbound && n->scratch && n->requests &&
	       output_init(&n->output) == OV_OK;
}

struct node *node_new(const struct node_config *cfg, const struct identity *self,
	const struct aead_table *aead, struct rng rng, ov_time now)
{
	struct node *n = calloc(1, sizeof(*n));
	if (!n)
		return NULL;
	n->config = *cfg;
	if (n->config.datagram_max > PMTU_MAX)
		n->config.datagram_max = PMTU_MAX;
	n->self = self;
	n->aead = aead;
	n->rng = rng;
	n->probing.next_at = OV_NEVER;
	peer_id_prefix(&self->id, n->own_prefix);
	handshake_mac1_key(n->mac1_key, self->dh_public);
	do
		n->instance = rng_u64(&n->rng);
	while (n->instance == 0);
	cookie_jar_init(&n->cookies, now, &n->rng);
	if (!tables_new(n)) {
		node_free(n);
		return NULL;
	}
	return n;
}

void node_free(struct node *n)
{
	if (!n)
		return;
	for (size_t i = 0; i < n->peer_count; i++)
		peer_free(n, n->peers[i]);
	self_streams_free(n);
	stream_handles_free(n);
	free(n->peers);
	heap_fini(&n->timers);
	table_free(n->by_prefix);
	table_free(n->by_static);
	table_free(n->by_index);
	table_free(n->by_mac1);
	table_free(n->by_channel);
	table_free(n->by_tag);
	table_free(n->by_watch);
	filter_free(n->filter);
	source_limits_free(n->sources);
	source_limits_free(n->newcomers);
	output_fini(&n->output);
	cookie_jar_wipe(&n->cookies);
	free(n->inbound);
	free(n->scratch);
	free(n->requests);
	sodium_memzero(n, sizeof(*n));
	free(n);
}

enum drop node_drop(struct node *n, enum drop why)
{
	n->counters.drops[why]++;
	return why;
}

/* Who uses us as facilitator is no news to the owner's programs. */
static bool is_of_client(const struct node *n, const struct node_event *ev)
{
	if (ev->type == NODE_GUEST)
		return false; /* it wants to be more than that */
	const struct peer *p = n->client_count > 0 ? node_peer(n, &ev->peer) : NULL;
	return p && p->contact.source == CONTACT_CLIENT;
}

void node_emit(struct node *n, const struct node_event *ev)
{
	if (is_of_client(n, ev))
		return;
	if (n->event_count == EVENTS_MAX) {
		n->events_lost++;
		return;
	}
	n->events[(n->event_first + n->event_count++) % EVENTS_MAX] = *ev;
}

bool node_event(struct node *n, struct node_event *out)
{
	if (n->event_count == 0) {
		if (n->events_lost == 0)
			return false;
		*out = (struct node_event){ .type = NODE_EVENTS_LOST, .count = n->events_lost };
		n->events_lost = 0;
		return true;
	}
	*out = n->events[n->event_first];
	n->event_first = (n->event_first + 1) % EVENTS_MAX;
	n->event_count--;
	return true;
}

uint8_t *node_scratch(struct node *n, size_t len)
{
	if (SCRATCH_LEN - n->scratch_used < len)
		return NULL;
	uint8_t *p = n->scratch + n->scratch_used;
	n->scratch_used += len;
	return p;
}

/* NOLINTNEXTLINE(readability-non-const-parameter): whoever takes the packet writes into it */
enum drop node_deliver(struct node *n, uint8_t *data, size_t len, bool partial)
{
	struct ip_packet packet = { .data = data, .len = len, .partial = partial };
	if (partial && !checksum_begin(&packet))
		return DROP_INNER;
	if (n->inbound_count == INBOUND_MAX)
		return DROP_CONGESTION;
	n->inbound[n->inbound_count++] = packet;
	n->counters.packets_in++;
	return DROP_NONE;
}

bool node_is_overlay_addr(const struct node *n, const struct ov_addr *a)
{
	return memcmp(a->ip, n->own_prefix, 8) == 0 || table_find(n->by_prefix, load_le64(a->ip));
}

struct peer *node_peer(const struct node *n, const struct peer_id *id)
{
	uint8_t prefix[8];
	peer_id_prefix(id, prefix);
	struct peer *p = table_find(n->by_prefix, load_le64(prefix));
	return p && peer_id_equal(&p->contact.id, id) ? p : NULL;
}

void peer_touch(struct node *n, struct peer *p)
{
	if (p->touched)
		return;
	p->touched = true;
	p->next_touched = n->touched;
	n->touched = p;
}

void peer_touch_path(struct node *n, struct peer *p, const struct path *path)
{
	if (p->association->staging || path_deadline(path) < p->timer.at)
		peer_touch(n, p);
}

/* A path that is due but may not speak now (no keys, no 3x budget) is looked at again in a second,
 * not at once. */
static ov_time paths_deadline(const struct association *a, ov_time now)
{
	ov_time at = OV_NEVER;
	bool keys = keys_sending(a, now);
	for (size_t i = 0; i < a->path_count; i++) {
		ov_time one = path_deadline(a->paths[i]);
		if (one <= now && !keys)
			one = now + OV_SEC;
		at = ov_min(at, one);
	}
	return at;
}

/* When an idle session that is kept warm gets new keys at last; the initiator tries first. */
static ov_time renewal_at(const struct association *a)
{
	const struct keys *k = a->keys[0];
	if (!k || a->call || !a->active || a->active->keepalive_at == OV_NEVER)
		return OV_NEVER;
	ov_time at = k->session.created_at + SESSION_SEND_FOR - REKEY_MARGIN;
	return k->session.initiator ? at : at + REKEY_MARGIN / 2;
}

static ov_time association_ends_at(const struct node *n, const struct association *a)
{
	return a->last_key_at +
	       (streams_are_open(a) ? n->config.streams_outlive : ASSOCIATION_IDLE);
}

static ov_time peer_deadline(const struct node *n, const struct peer *p, ov_time now)
{
	const struct association *a = p->association;
	if (!a)
		return p->retry_at;
	ov_time keys = keys_deadline(a);
	ov_time at = ov_min(p->retry_at, ov_min(keys, paths_deadline(a, now)));
	at = ov_min(at, ov_min(registration_deadline(p), meet_deadline(a)));
	at = ov_min(at, ov_min(dial_deadline(a), facilitator_deadline(p)));
	at = ov_min(at, ov_min(presence_deadline(p), guest_deadline(p)));
	at = ov_min(at, offer_deadline(a));
	at = ov_min(at, renewal_at(a));
	if (a->call)
		at = ov_min(at, a->call->next_at);
	if (a->reassembly)
		at = ov_min(at, reassembly_deadline(a->reassembly));
	at = ov_min(at, streams_deadline(a, now));
	if (!a->call && keys == OV_NEVER)
		at = ov_min(at, association_ends_at(n, a));
	return at;
}

static bool association_is_over(const struct node *n, const struct association *a, ov_time now)
{
	for (size_t i = 0; i < KEYS_MAX; i++)
		if (a->keys[i])
			return false;
	for (size_t i = 0; i < PENDING_MAX; i++)
		if (a->pending[i])
			return false;
	bool was_reached = a->peer_instance != 0 || streams_are_open(a);
	return !a->call && (!was_reached || now >= association_ends_at(n, a));
}

/* A rekey that is due takes the place of a keepalive: two packets that the NAT counts as well. So
 * does one that would come too late with the next keepalive, or with this one. */
static void rekey_idle(struct node *n, ov_time now, struct peer *p)
{
	struct association *a = p->association;
	ov_time last = renewal_at(a);
	if (last == OV_NEVER || !(now >= last || path_keepalive_is_due(a->active, now)))
		return;
	/* Not keys_sending: these may be too old or used up already. */
	if (now + a->active->keepalive_every > last ||
		session_wants_rekey(&a->keys[0]->session, now))
		call_start(n, now, p, false);
}

static void peer_tick(struct node *n, ov_time now, struct peer *p)
{
	struct association *a = p->association;
	if (a) {
		keys_expire(n, now, p);
		rekey_idle(n, now, p);
		route_tick(n, now, p);
		registration_tick(n, now, p);
		facilitator_tick(n, now, p);
		presence_tick(n, now, p);
		meet_tick(n, now, p);
		offer_tick(n, now, p);
		if (a->call && now >= a->call->next_at)
			call_step(n, now, p);
		dial_tick(n, now, p);
		if (a->reassembly)
			for (size_t lost = reassembly_expire(a->reassembly, now); lost > 0; lost--)
				node_drop(n, DROP_FRAGMENT);
		if (association_is_over(n, a, now)) {
			channel_close_all(n, now, a);
			association_close(n, p);
		}
		guest_tick(n, now, p);
	}
	if (now >= p->retry_at) {
		p->retry_at = OV_NEVER;
		call_start(n, now, p, true);
	}
	peer_touch(n, p);
}

/* A client without a session is nobody: also one whose call was refused. */
static bool is_leftover(const struct node *n, const struct peer *p, ov_time now)
{
	const struct association *a = p->association;
	return p->contact.source == CONTACT_CLIENT && (!a || association_is_over(n, a, now));
}

static void settle(struct node *n, ov_time now)
{
	struct peer *unsaid = NULL; /* streams that found no room */
	self_streams_flush(n, now);
	while (n->touched) {
		struct peer *p = n->touched;
		n->touched = p->next_touched;
		if (p->association && p->association->up && !p->association->active)
			route_find_other(n, now, p);
		if (p->association && p->association->staging)
			outbound_flush_staged(
				n, now, p); /* whatever it was that made it possible */
		if (p->client)
			presence_update(n, now, p);
		frames_flush(n, now, p);
		bool more = streams_flush(n, now, p);
		p->touched = false;
		heap_set(&n->timers, &p->timer, peer_deadline(n, p, now));
		if (is_leftover(n, p, now)) {
			peer_remove(n, p);
		} else if (more) {
			p->touched = true;
			p->next_touched = unsaid;
			unsaid = p;
		}
	}
	n->touched = unsaid;
}

static void begin(struct node *n)
{
	if (n->inbound_count == 0)
		n->scratch_used = 0;
}

void node_input(struct node *n, ov_time now, const struct dgram *in, size_t count)
{
	begin(n);
	for (size_t i = 0; i < count; i++)
		input_run(n, now, &in[i]);
}

size_t node_submit(struct node *n, ov_time now, const struct ip_packet *packets, size_t count)
{
	begin(n);
	return outbound_submit(n, now, packets, count);
}

void node_tick(struct node *n, ov_time now)
{
	begin(n);
	ping_expire(n, now);
	self_streams_tick(n, now);
	burst_tick(n, now);
	probing_tick(n, now);
	for (struct heap_entry *e = heap_first(&n->timers); e && e->at <= now;
		e = heap_first(&n->timers)) {
		struct peer *p = (struct peer *)e;
		peer_tick(n, now, p);
		heap_set(&n->timers, e, OV_NEVER); /* settle sets it anew */
	}
}

size_t node_poll(struct node *n, ov_time now, struct dgram *out, size_t max)
{
	size_t count = output_take(&n->output, out, max);
	if (count == 0 && (n->touched || n->self_streams)) {
		settle(n, now);
		count = output_take(&n->output, out, max);
	}
	for (size_t i = 0; i < count; i++) {
		n->counters.bytes_out += out[i].len;
		n->counters.datagrams_out += (out[i].len + out[i].segment - 1) / out[i].segment;
	}
	return count;
}

size_t node_inbound(struct node *n, const struct ip_packet **out)
{
	*out = n->inbound;
	size_t count = n->inbound_count;
	n->inbound_count = 0;
	return count;
}

ov_time node_deadline(const struct node *n)
{
	ov_time own = ov_min(burst_deadline(n), probing_deadline(n));
	own = ov_min(own, self_streams_deadline(n));
	return ov_min(own, ov_min(heap_deadline(&n->timers), ping_deadline(n)));
}

void node_network_changed(
	struct node *n, ov_time now, const struct local_address *list, size_t count, bool resumed)
{
	begin(n);
	size_t max = sizeof(n->locals) / sizeof(n->locals[0]);
	n->local_count = count < max ? count : max;
	memcpy(n->locals, list, n->local_count * sizeof(*list));
	n->locals_known = true;
	netcheck_forget(n, now);
	probing_forget(n, now);
	dial_forget_foreign(n);
	for (size_t i = 0; i < n->peer_count; i++) {
		struct peer *p = n->peers[i];
		if (p->association)
			keys_expire(n, now, p);
		if (p->association &&
			(keys_sending(p->association, now) || p->association->path_count > 0))
			route_network_changed(n, now, p, resumed);
		if (p->association && p->association->call)
			call_hurry(n, now, p);
		else if (peer_is_wanted(p, now) && !association_reaches(p->association, now))
			call_start(n, now, p, false);
	}
}

void node_send_failed(struct node *n, ov_time now, const struct dgram *d, bool too_big)
{
	for (size_t i = 0; i < n->peer_count; i++) {
		struct association *a = n->peers[i]->association;
		struct path *path = a ? route_find(a, d) : NULL;
		if (!path)
			continue;
		if (too_big) {
			pmtu_on_refused(&path->pmtu, now, d->segment);
		} else { /* no route, or our address is gone: liveness decides */
			path_ask(path, now);
			route_on_refused(n, now, n->peers[i], path);
			route_elect(n, now, n->peers[i]);
		}
		peer_touch(n, n->peers[i]);
	}
}

void node_set_mapped(struct node *n, ov_time now, const struct ov_addr *list, size_t count)
{
	size_t max = sizeof(n->mapped) / sizeof(n->mapped[0]);
	count = count < max ? count : max;
	bool same = count == n->mapped_count;
	for (size_t i = 0; i < count && same; i++)
		same = addr_equal(&list[i], &n->mapped[i]);
	if (same)
		return;
	n->mapped_count = count;
	memcpy(n->mapped, list, count * sizeof(*list));
	meet_moved(n, now); /* another way to us: who comes by relay hears of it */
}

void node_set_pairing(struct node *n, bool pairing)
{
	n->config.pairing = pairing;
	if (!pairing)
		n->request_count = 0;
}
