/* The relay: by key, never to an address that a client names. It sees who talks to whom and how
 * much, nothing else: what passes is sealed between the ends. */
#include "overlay/forward.h"

#include "overlay/channel.h"
#include "overlay/facilitator.h"
#include "overlay/frames.h"
#include "overlay/guest.h"
#include "overlay/route.h"

#define IDLE_FOR (60 * OV_SEC)

static struct channel *pair_of(const struct peer *source, const struct peer *destination)
{
	struct channel *c = source->association->channels;
	while (c && !(c->kind == CHANNEL_FORWARD && c->twin->session == destination))
		c = c->next;
	return c;
}

static ov_time used_at(const struct channel *c)
{
	return ov_max(c->used_at, c->twin->used_at);
}

/* A pair that nobody uses keeps its place only as long as nobody else wants it. */
static bool make_room(struct node *n, ov_time now, struct peer *p)
{
	if (!p->client || p->client->channels < n->config.relay_channels)
		return p->client;
	struct channel *idle = NULL;
	for (struct channel *c = p->association->channels; c; c = c->next)
		if (c->kind == CHANNEL_FORWARD && (!idle || used_at(c) < used_at(idle)))
			idle = c;
	if (!idle || now - used_at(idle) < IDLE_FOR)
		return false;
	channel_close(n, now, idle, true);
	return true;
}

/* Both directions at once. NULL: a quota, or out of memory. */
static struct channel *pair_new(
	struct node *n, ov_time now, struct peer *source, struct peer *destination)
{
	if (!make_room(n, now, source) || !make_room(n, now, destination))
		return NULL;
	struct channel *c = channel_new(n, source, CHANNEL_FORWARD, 0);
	if (!c)
		return NULL;
	c->twin = channel_new(n, destination, CHANNEL_FORWARD, 0);
	if (!c->twin) {
		channel_discard(n, c);
		return NULL;
	}
	c->twin->twin = c;
	c->used_at = c->twin->used_at = now;
	return c;
}

static void refuse(
	struct node *n, ov_time now, struct peer *p, uint32_t request, enum relay_reason why)
{
	uint8_t plain[16];
	struct wr w = wr_init(plain, sizeof(plain));
	frame_put_relay_no(&w, &(struct relay_no){ .request = request, .reason = (uint8_t)why });
	(void)frames_send(n, now, p, &w, false);
	struct facilitator_refusals *r = &n->counters.refused;
	r->denied += why == RELAY_REASON_DENIED;
	r->away += why == RELAY_REASON_AWAY;
	r->channels += why == RELAY_REASON_QUOTA;
}

/* Each end learns where we see the other: who may reach it by relay may try to reach it directly.
 */
static struct ov_addr seen_at(const struct peer *p)
{
	const struct path *path = p->association->active;
	bool direct = path && path->validated && path->carrier == CARRIER_UDP;
	return direct ? path->remote : (struct ov_addr){ 0 };
}

static void answer(struct node *n, ov_time now, const struct channel *c, const struct relay_open *f)
{
	uint8_t plain[PMTU_FLOOR];
	struct wr w = wr_init(plain, sizeof(plain));
	frame_put_relay_ok(&w, &(struct relay_ok){ .request = f->request,
				       .channel = c->id,
				       .observed = seen_at(c->twin->session) });
	(void)frames_send(n, now, c->session, &w, false);
	w = wr_init(plain, sizeof(plain));
	frame_put_relay_in(&w, &(struct relay_in){ .channel = c->twin->id,
				       .source = c->session->contact.id,
				       .observed = seen_at(c->session),
				       .datagram = f->datagram,
				       .len = f->len });
	(void)frames_send(n, now, c->twin->session, &w, true);
}

enum drop forward_on_open(struct node *n, ov_time now, struct peer *p, const struct relay_open *f)
{
	if (!handshake_looks_like_hs1(f->datagram, f->len))
		return DROP_FORMAT;
	if (!facilitator_hears(p, now))
		return DROP_RATE;
	if (!facilitator_admits(n, p) || !p->client) {
		refuse(n, now, p, f->request, RELAY_REASON_DENIED);
		return DROP_GRANT;
	}
	/* Not here and not let in look alike: who is online is nobody's business. */
	struct peer *to = node_peer(n, &f->destination);
	if (!to || to == p || !guest_may_meet(n, p, to) || !facilitator_lets_in(now, to, f->tag)) {
		refuse(n, now, p, f->request, RELAY_REASON_AWAY);
		return DROP_AWAY;
	}
	struct channel *c = pair_of(p, to);
	if (!c)
		c = pair_new(n, now, p, to);
	if (!c) {
		refuse(n, now, p, f->request, RELAY_REASON_QUOTA);
		return DROP_FULL;
	}
	answer(n, now, c, f);
	return DROP_NONE;
}

enum drop forward_datagram(
	struct node *n, ov_time now, struct channel *c, const uint8_t *data, size_t len)
{
	struct peer *p = c->twin->session;
	const struct association *to = p->association;
	if (len < HEADER_LEN)
		return DROP_SHORT;
	if (!facilitator_admits(n, c->session) || !facilitator_admits(n, p))
		return DROP_GRANT; /* its owner has changed his mind */
	if (!to->active || !to->active->validated || to->active->carrier == CARRIER_RELAY)
		return DROP_AWAY;
	uint32_t rate = n->config.relay_bytes_per_second;
	if (!limit_take(&c->session->client->bytes, now, rate, rate / 8,
		    (uint32_t)len + RELAY_HEADER_LEN)) {
		n->counters.refused.rate++;
		return DROP_RATE;
	}
	uint32_t total = n->config.relay_total_bytes_per_second;
	if (!limit_take(&n->relayed, now, total, total / 8, (uint32_t)len + RELAY_HEADER_LEN)) {
		n->counters.refused.total_rate++;
		return DROP_RATE;
	}
	uint8_t *room = output_room(&n->output, len + RELAY_HEADER_LEN, true);
	if (!room)
		return DROP_CONGESTION;
	relay_header_encode(c->twin->id, room);
	memcpy(room + RELAY_HEADER_LEN, data, len);
	struct dgram where = route_where(to->active);
	output_add(&n->output, &where, c->twin, len + RELAY_HEADER_LEN);
	path_on_sent(to->active, now, len + RELAY_HEADER_LEN, 1); /* silence makes it doubtful */
	peer_touch_path(n, p, to->active);
	n->counters.relayed_bytes += len;
	c->used_at = now;
	return DROP_NONE;
}
