/* From the wire: the hot path on one screen. Length and header, keys by index, open in place,
 * replay, then by type. A datagram that fails a step is counted and forgotten; nothing is allocated
 * or logged. */
#include "overlay/input.h"

#include "overlay/answer.h"
#include "overlay/association.h"
#include "overlay/call.h"
#include "overlay/channel.h"
#include "overlay/frames.h"
#include "overlay/inbound.h"
#include "overlay/keys.h"
#include "overlay/outbound.h"
#include "overlay/probing.h"
#include "overlay/reach.h"
#include "overlay/route.h"

struct cursor { /* what consecutive datagrams of one run have in common */
	const struct dgram *run;
	struct keys *keys;
	uint32_t index;
	struct peer *peer;
	struct path *path;
};

static struct receiver *receiver_find(const struct node *n, uint32_t index, enum receiver_kind kind)
{
	struct receiver *r = index ? table_find(n->by_index, index) : NULL;
	return r && r->kind == kind ? r : NULL;
}

static enum drop input_handshake(struct node *n, ov_time now, const struct dgram *run,
	const struct header *h, const uint8_t *data, size_t len)
{
	if (h->type == PACKET_HS1)
		return answer_hs1(n, now, run, data, len);
	struct receiver *r = receiver_find(n, h->receiver, RECEIVER_CALL);
	if (!r)
		return DROP_INDEX;
	if (!channel_carries(n, run, &r->peer->contact.id))
		return DROP_CHANNEL;
	if (!reach_allows(n, r->peer, run))
		return DROP_POLICY;
	return h->type == PACKET_HS2 ? call_on_hs2(n, now, r->peer, run, data, len)
				     : call_on_cookie(n, now, r->peer, data, len);
}

/* The path this run came by. Only a packet under the newest keys with the highest counter may make
 * a new one (RFC 9000 9.3). */
static struct path *locate(struct node *n, ov_time now, struct peer *p, const struct keys *k,
	uint64_t counter, const struct dgram *run)
{
	struct path *path = route_find(p->association, run);
	if (path)
		route_pin(path, run);
	else if (k == p->association->keys[0] && replay_is_highest(&k->session.replay, counter))
		path = route_came(n, now, p, run);
	return path;
}

/* Only what leads may say where the peer is now (RFC 9000 9.3). */
static bool may_move(const struct cursor *c, const struct header *h)
{
	return c->keys == c->peer->association->keys[0] &&
	       replay_is_highest(&c->keys->session.replay, h->counter);
}

static void arrived(
	struct node *n, ov_time now, struct cursor *c, const struct header *h, size_t len)
{
	struct peer *p = c->peer;
	bool data = h->type != PACKET_CONTROL;
	p->heard_at = now;
	p->received_bytes += len;
	p->received_packets++;
	n->counters.controls_in += !data;
	if (!c->path)
		c->path = locate(n, now, p, c->keys, h->counter, c->run);
	if (!c->path)
		return;
	path_on_received(c->path, now, len, 1, data);
	if (!p->association->up)
		association_came_up(n, p, c->path);
	if (c->path->state == PATH_UNTRIED && c->path->received_count == 1)
		path_challenge(c->path, now); /* what was withdrawn since waits for data */
	if (!p->association->active)
		route_use(n, now, p, c->path);
	else if (data && c->path != p->association->active && may_move(c, h))
		route_on_peer_data(n, now, p, c->path);
	else if (data && c->path == p->association->active)
		p->association->peer_path = c->path;
}

static void confirmed(struct node *n, ov_time now, struct cursor *c)
{
	bool rekey = c->peer->association->peer_instance == c->keys->instance;
	keys_confirm(n, now, c->peer, c->keys);
	struct path *path = route_came(n, now, c->peer, c->run);
	association_came_up(n, c->peer, path);
	bool known = path && (path->state == PATH_PROBING || (rekey && path->state == PATH_VALID));
	if (path && !known)
		path_challenge(path, now); /* both ends ask on each path */
	if (path)
		route_keys_came(n, now, c->peer, path);
	c->path = path;
}

/* type 7: frames about paths */
static enum drop input_control(struct node *n, ov_time now, const struct cursor *c,
	const struct header *h, const uint8_t *plain, size_t len)
{
	struct arrival at = {
		.path = c->path,
		.waited = c->run->waited,
		.ecn = c->run->ecn,
		.leads = may_move(c, h),
		.is_of_association = c->keys->association == c->peer->association->id &&
				     c->keys->instance == c->peer->association->peer_instance,
	};
	/* A client's keepalive is all it says for long, and tells which way it keeps open. */
	if (len == 0 && c->peer->client && c->path && c->path->state == PATH_VALID && at.leads)
		route_on_peer_data(n, now, c->peer, c->path);
	return frames_input(n, now, c->peer, &at, plain, len);
}

static enum drop input_sealed(struct node *n, ov_time now, struct cursor *c, const struct header *h,
	uint8_t *data, size_t len)
{
	if (h->flags & ~(h->type == PACKET_CONTROL ? 0 : PACKET_FLAG_PARTIAL))
		return DROP_HEADER;
	if (!c->keys || c->index != h->receiver) {
		struct receiver *r = receiver_find(n, h->receiver, RECEIVER_KEYS);
		if (!r)
			return DROP_INDEX;
		if (!channel_carries(n, c->run, &r->peer->contact.id))
			return DROP_CHANNEL;
		if (!reach_allows(n, r->peer, c->run))
			return DROP_POLICY;
		*c = (struct cursor){
			.run = c->run, .keys = keys_of(r), .index = h->receiver, .peer = r->peer
		};
	}
	enum drop why = session_open(&c->keys->session, now, h, data, len);
	if (why != DROP_NONE)
		return why;
	struct peer *p = c->peer;
	bool first = c->keys->pending;
	if (first)
		confirmed(n, now, c);
	arrived(n, now, c, h, len);
	if (h->type == PACKET_IP && c->path && !first)
		peer_touch_path(n, p, c->path);
	else
		peer_touch(n, p);

	uint8_t *plain = data + HEADER_LEN;
	size_t plain_len = len - PACKET_OVERHEAD;
	bool partial = h->flags & PACKET_FLAG_PARTIAL;
	if (h->type == PACKET_IP)
		why = inbound_ip(n, now, p, plain, plain_len, partial);
	else if (h->type == PACKET_IP_FRAGMENT)
		why = inbound_fragment(n, now, p, plain, plain_len, partial);
	else if (c->path)
		why = input_control(n, now, c, h, plain, plain_len);
	if (first)
		outbound_flush_staged(n, now, p);
	if (h->type == PACKET_CONTROL)
		c->path = NULL; /* frames may have removed or added paths */
	return why;
}

static enum drop input_one(struct node *n, ov_time now, struct cursor *c, uint8_t *data, size_t len)
{
	struct header h;
	if (len > 0 && data[0] == PACKET_RELAY) {
		c->keys = NULL; /* what is inside may replace them */
		return channel_input(n, now, c->run, data, len);
	}
	if (len < HEADER_LEN)
		return DROP_SHORT;
	if (!header_decode(&h, data, len))
		return DROP_HEADER;
	if (h.type == PACKET_IP || h.type == PACKET_CONTROL || h.type == PACKET_IP_FRAGMENT)
		return input_sealed(n, now, c, &h, data, len);
	if (h.type == PACKET_HS1 || h.type == PACKET_HS2 || h.type == PACKET_COOKIE) {
		c->keys = NULL; /* a handshake may replace keys */
		return input_handshake(n, now, c->run, &h, data, len);
	}
	if (h.type == PACKET_HAIRPIN)
		return probing_on_hairpin(n, now, c->run, &h, data, len);
	return DROP_TYPE;
}

void input_run(struct node *n, ov_time now, const struct dgram *run)
{
	struct cursor c = { .run = run };
	n->counters.bytes_in += run->len;
	for (size_t at = 0; at < run->len; at += run->segment) {
		size_t left = run->len - at, len = left < run->segment ? left : run->segment;
		n->counters.datagrams_in++;
		enum drop why = input_one(n, now, &c, run->data + at, len);
		if (why != DROP_NONE)
			node_drop(n, why);
	}
}
