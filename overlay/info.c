/* What `overlay status` shows: copies of state, no pointers into it. */
#include "overlay/association.h"
#include "overlay/guest.h"
#include "overlay/keys.h"
#include "overlay/network.h"
#include "overlay/reach.h"

size_t node_peer_count(const struct node *n)
{
	return n->peer_count;
}

size_t node_known_count(const struct node *n)
{
	return n->known_count;
}

const struct contact *node_contact_at(const struct node *n, size_t i)
{
	return i < n->peer_count ? &n->peers[i]->contact : NULL;
}

const struct contact *node_contact(const struct node *n, const struct peer_id *id)
{
	const struct peer *p = node_peer(n, id);
	return p ? &p->contact : NULL;
}

static void path_fill(struct path_info *out, const struct path *path, const struct association *a)
{
	uint32_t asked = path->challenges_sent;
	*out = (struct path_info){
		.local = path->local,
		.remote = path->remote,
		.observed = path->observed,
		.interface = path->carrier == CARRIER_TCP ? 0 : path->interface,
		.carrier = path->carrier,
		.state = path_state_name((enum path_state)path->state),
		.active = path == a->active,
		.natted = path->natted,
		.srtt = path->rtt.smoothed,
		.last_heard = path->heard_at == OV_NEVER ? 0 : path->heard_at,
		.pmtu = path_mtu(path),
		.loss_permille =
			asked ? (uint32_t)((uint64_t)path->challenges_lost * 1000 / asked) : 0,
		.sent_bytes = path->sent_bytes,
		.received_bytes = path->received_bytes,
	};
}

static void fill_from_association(struct peer_info *out, const struct association *a, ov_time now)
{
	const struct keys *k = keys_sending(a, now);
	if (k) {
		out->suite = k->session.aead->cipher;
		out->backend = k->session.aead->backend;
		out->session_age = now - k->session.created_at;
	}
	out->association = a->id;
	out->path_count = a->path_count;
	out->waiting_packets = a->staging ? a->staging->count : 0;
	if (a->active) {
		out->has_active = true;
		path_fill(&out->active, a->active, a);
	}
}

bool node_peer_info(
	const struct node *n, ov_time now, const struct peer_id *id, struct peer_info *out)
{
	const struct peer *p = node_peer(n, id);
	if (!p)
		return false;
	*out = (struct peer_info){
		.id = p->contact.id,
		.state = peer_state(p, now),
		.sent_bytes = p->sent_bytes,
		.received_bytes = p->received_bytes,
		.sent_packets = p->sent_packets,
		.received_packets = p->received_packets,
		.last_heard = p->heard_at == OV_NEVER ? 0 : p->heard_at,
		.candidate_count = p->candidates.count,
		.handshakes = p->handshake_count,
	};
	memcpy(out->refused, p->refused, REFUSED_WORD_MAX);
	out->refused_at = p->refused_at;
	if (p->association)
		fill_from_association(out, p->association, now);
	return true;
}

size_t node_peer_paths(
	const struct node *n, const struct peer_id *id, struct path_info *out, size_t max)
{
	const struct peer *p = node_peer(n, id);
	size_t count = 0;
	if (!p || !p->association)
		return 0;
	for (; count < p->association->path_count && count < max; count++)
		path_fill(&out[count], p->association->paths[count], p->association);
	return count;
}

static const char *candidate_state(
	const struct node *n, const struct peer *p, const struct candidate *c)
{
	struct ov_addr target = network_target(n, &c->addr);
	const struct association *a = p->association;
	if (!reach_allows_addr(n, p, &c->addr))
		return "policy";
	const char *state = c->tried_at == OV_NEVER ? "untried" : "silent";
	for (size_t i = 0; a && i < a->path_count; i++) {
		const struct path *path = a->paths[i];
		if (path->carrier != c->carrier || !addr_equal(&path->remote, &target))
			continue;
		if (path->state == PATH_VALID)
			return "answers";
		state = path->state == PATH_SUSPECT ? "suspect" : "asked";
	}
	return state;
}

size_t node_peer_candidates(
	const struct node *n, const struct peer_id *id, struct candidate_info *out, size_t max)
{
	const struct peer *p = node_peer(n, id);
	size_t count = 0;
	for (; p && count < p->candidates.count && count < max; count++) {
		const struct candidate *c = &p->candidates.list[count];
		out[count] = (struct candidate_info){ .addr = c->addr,
			.carrier = c->carrier,
			.source = (enum candidate_source)c->source,
			.state = candidate_state(n, p, c),
			.added = c->added_at };
	}
	return count;
}

size_t node_requests(const struct node *n, struct peer_request *out, size_t max)
{
	size_t count = n->request_count < max ? n->request_count : max;
	if (count)
		memcpy(out, n->requests, count * sizeof(*out));
	return count;
}

bool node_request_take(struct node *n, const struct peer_id *id, struct peer_request *out)
{
	for (size_t i = 0; i < n->request_count; i++)
		if (peer_id_equal(&n->requests[i].id, id)) {
			*out = n->requests[i];
			n->requests[i] = n->requests[--n->request_count];
			return true;
		}
	return false;
}

const struct node_counters *node_counters(const struct node *n)
{
	((struct node *)(uintptr_t)n)->counters.pending_handshakes = n->pending_count;
	return &n->counters;
}

bool node_relay_of(const struct node *n, const struct ov_addr *a, struct peer_id *relay)
{
	const struct peer *p = table_find(n->by_prefix, load_le64(a->ip));
	if (!p)
		return false;
	*relay = p->contact.id;
	return true;
}

static size_t here_count(const struct node *n, const struct peer *relay)
{
	size_t count = 0;
	for (size_t i = 0; i < n->peer_count; i++)
		count += n->peers[i]->here_at >> relay->registration->number & 1;
	return count;
}

static bool watches(const struct watch *w)
{
	return w->pages > 0 && w->done == (1u << w->pages) - 1;
}

/* Our own way there may lead through the NAT64 of this network, by TCP, or by a relay. */
static struct ov_addr endpoint_of(
	const struct node *n, const struct peer *p, const struct path *path)
{
	struct ov_addr plain = network_plain(n, &path->remote);
	const struct candidate *best = NULL;
	if (path->carrier == CARRIER_UDP)
		return plain;
	for (size_t i = 0; path->carrier == CARRIER_TCP && i < p->candidates.count; i++) {
		const struct candidate *c = &p->candidates.list[i];
		if (c->carrier == CARRIER_UDP && addr_same_ip(&c->addr, &plain) &&
			(!best || c->source < best->source))
			best = c;
	}
	return best ? best->addr : (struct ov_addr){ 0 };
}

size_t node_facilitators(
	const struct node *n, ov_time now, struct facilitator_info *out, size_t max)
{
	size_t count = 0;
	for (; count < n->facilitator_count && count < max; count++) {
		const struct peer *p = n->facilitators[count];
		const struct path *path = p->association ? p->association->active : NULL;
		out[count] = (struct facilitator_info){ .id = p->contact.id,
			.state = peer_state(p, now),
			.registered = p->registration->registered,
			.by_voucher = guest_has_pass(p->registration),
			.watches = watches(&p->registration->watch),
			.here = here_count(n, p),
			.refused = p->registration->refused };
		if (!path)
			continue;
		out[count].srtt = path->rtt.smoothed;
		out[count].remote = path->remote;
		out[count].endpoint = endpoint_of(n, p, path);
		out[count].observed = path->observed;
	}
	return count;
}

bool node_is_self(const struct node *n, const struct peer_id *id)
{
	return peer_id_equal(id, &n->self->id);
}

struct facilitator_role node_facilitator_role(const struct node *n, ov_time now)
{
	struct facilitator_role role = { .policy = n->config.facilitator,
		.channels = n->forward_count / 2,
		.relayed_bytes = n->counters.relayed_bytes,
		.guests = n->guest_count,
		.vouchers_refused = n->counters.vouchers_refused,
		.watched = table_count(n->by_watch),
		.refused = n->counters.refused,
		.max_clients = n->config.max_clients,
		.bytes_per_second = n->config.relay_bytes_per_second,
		.total_bytes_per_second = n->config.relay_total_bytes_per_second,
		.max_channels = n->config.relay_channels };
	for (size_t i = 0; i < n->peer_count; i++)
		role.clients += n->peers[i]->client && n->peers[i]->client->expires_at > now;
	return role;
}
