/* Reaching a peer through a relay: RELAY_OPEN carries the HS1, so the first answer costs no round
 * trip more than the way through the relay. A link is used as a path like any other; the session
 * with the relay vouches for its address. */
#include "overlay/link.h"

#include "overlay/answer.h"
#include "overlay/association.h"
#include "overlay/call.h"
#include "overlay/channel.h"
#include "overlay/frames.h"
#include "overlay/joining.h"
#include "overlay/meet.h"
#include "overlay/reach.h"
#include "overlay/registration.h"
#include "overlay/route.h"
#include "overlay/watch.h"

#define LINK_STRANGERS 8
#define CALLS_SURE     3 /* attempts of a call that trust nobody's word for who is absent */

static struct channel *find(const struct association *relay, const struct peer_id *other)
{
	struct channel *c = relay->channels;
	while (c && !(c->kind == CHANNEL_LINK && peer_id_equal(&c->other, other)))
		c = c->next;
	return c;
}

static bool is_relay(const struct peer *p, ov_time now)
{
	const struct association *a = p->association;
	return p->registration && p->registration->registered && association_reaches(a, now) &&
	       a->active->carrier != CARRIER_RELAY && a->active->validated;
}

bool link_possible(const struct node *n, ov_time now)
{
	for (size_t i = 0; i < n->facilitator_count; i++)
		if (is_relay(n->facilitators[i], now))
			return true;
	return false;
}

bool link_has_spare(const struct node *n, ov_time now, const struct path *path)
{
	const struct channel *c = channel_of_addr(n, &path->remote);
	for (size_t i = 0; c && i < n->facilitator_count; i++)
		if (n->facilitators[i] != c->session && is_relay(n->facilitators[i], now))
			return true;
	return false;
}

static void remember(struct registration *r, const struct relay_open *f, bool by_invite)
{
	r->requests[r->next_request] = (struct link_request){ .id = f->request,
		.destination = f->destination,
		.used = true,
		.by_invite = by_invite };
	r->next_request = (uint8_t)((r->next_request + 1) % LINK_REQUESTS);
}

static void open_to(struct node *n, ov_time now, struct peer *relay, struct peer *p, bool by_invite)
{
	const struct handshake *h = &p->association->call->handshake;
	uint8_t plain[PMTU_FLOOR];
	struct wr w = wr_init(plain, sizeof(plain));
	struct relay_open f = { .request = rng_u32(&n->rng),
		.destination = p->contact.id,
		.datagram = h->hs1,
		.len = h->hs1_len };
	by_invite = by_invite && joining_tag(p, &relay->contact.id, f.tag);
	if (!by_invite && !registration_tag(n, p, &p->contact.id, &relay->contact.id, f.tag))
		return;
	frame_put_relay_open(&w, &f);
	if (frames_send(n, now, relay, &w, true))
		remember(relay->registration, &f, by_invite);
}

void link_open(struct node *n, ov_time now, struct peer *relay, struct peer *p)
{
	open_to(n, now, relay, p, true);
}

struct peer *link_relay(const struct node *n, ov_time now, const struct peer *p, size_t k)
{
	if (reach_is_lan_only(n, p))
		return NULL;
	for (size_t i = 0; i < n->facilitator_count; i++) {
		struct peer *relay = n->facilitators[i];
		if (relay != p && is_relay(relay, now) && !watch_says_absent(relay, p) && k-- == 0)
			return relay;
	}
	return NULL;
}

void link_call(struct node *n, ov_time now, struct peer *p)
{
	const struct call *c = p->association->call;
	bool spares = c->once || c->attempts >= CALLS_SURE;
	if (reach_is_lan_only(n, p))
		return;
	for (size_t i = 0; i < n->facilitator_count; i++) {
		struct peer *relay = n->facilitators[i];
		if (relay != p && is_relay(relay, now) && !(spares && watch_says_absent(relay, p)))
			link_open(n, now, relay, p);
	}
}

static struct path *path_by(struct node *n, ov_time now, struct peer *p, const struct channel *c)
{
	struct dgram where = { .carrier = CARRIER_RELAY, .remote = channel_addr(c) };
	return route_add(n, now, p, &where);
}

/* Beside the one in use, so that the best is elected (route.c) and the next one is there when that
 * one dies. Of a relay that has no channel yet the peer must be asked by HS1; only where it is
 * known to be. One at a time: there is one call. */
void link_spread(struct node *n, ov_time now, struct peer *p)
{
	struct peer *relay;
	for (size_t k = 0; (relay = link_relay(n, now, p, k)) != NULL; k++) {
		const struct channel *c = find(relay->association, &p->contact.id);
		if (!c && p->here_at & 1u << relay->registration->number)
			call_by_relay(n, now, p, k);
		if (!c)
			continue;
		struct path *path = path_by(n, now, p, c);
		if (path)
			path_ask(path, now);
	}
}

struct ov_addr link_observed(const struct node *n, const struct path *path)
{
	const struct channel *c =
		path->carrier == CARRIER_RELAY ? channel_of_addr(n, &path->remote) : NULL;
	return c ? c->observed : (struct ov_addr){ 0 };
}

void link_close(struct node *n, ov_time now, struct peer *p)
{
	for (size_t i = 0; i < n->facilitator_count; i++) {
		struct association *a = n->facilitators[i]->association;
		struct channel *c = a ? find(a, &p->contact.id) : NULL;
		if (c)
			channel_close(n, now, c, true);
	}
}

void link_end_all(struct node *n, ov_time now, struct peer *relay)
{
	struct channel *c = relay->association ? relay->association->channels : NULL;
	while (c) {
		struct channel *next = c->next;
		if (c->kind == CHANNEL_LINK) /* it may be our client, too */
			channel_close(n, now, c, true);
		c = next;
	}
}

static struct link_request *request_of(struct peer *relay, uint32_t id)
{
	struct registration *r = relay->registration;
	for (size_t i = 0; r && i < LINK_REQUESTS; i++)
		if (r->requests[i].used && r->requests[i].id == id)
			return &r->requests[i];
	return NULL;
}

/* Where the relay sees the far end: worth a try, and what probes into the blue are checked against.
 */
static void note_observed(
	struct node *n, ov_time now, struct channel *c, const struct ov_addr *observed)
{
	struct peer *p = node_peer(n, &c->other);
	c->observed = *observed;
	if (p && meet_may_probe(n, observed))
		(void)candidates_add(&p->candidates, now, observed, SOURCE_FACILITATOR);
}

/* The relay says which channel leads to `other`; a different one than before replaces it. */
static struct channel *link_to(
	struct node *n, ov_time now, struct peer *relay, const struct peer_id *other, uint32_t id)
{
	struct channel *c = find(relay->association, other);
	if (c && c->id == id)
		return c;
	if (c)
		channel_close(n, now, c, false);
	c = channel_new(n, relay, CHANNEL_LINK, id);
	if (c)
		c->other = *other;
	return c;
}

void link_stand_by(struct node *n, ov_time now, struct peer *p)
{
	for (size_t i = 0; i < n->facilitator_count; i++) {
		const struct association *relay = n->facilitators[i]->association;
		const struct channel *c = relay ? find(relay, &p->contact.id) : NULL;
		struct path *path = c ? path_by(n, now, p, c) : NULL;
		if (path && path->state == PATH_UNTRIED)
			path_challenge(path, now);
		peer_touch(n, p);
	}
}

enum drop link_on_ok(struct node *n, ov_time now, struct peer *p, const struct relay_ok *f)
{
	struct link_request *r = request_of(p, f->request);
	if (!r || f->channel == 0)
		return DROP_TOKEN;
	r->used = false;
	struct channel *c = link_to(n, now, p, &r->destination, f->channel);
	if (!c)
		return DROP_FULL;
	note_observed(n, now, c, &f->observed);
	struct peer *to = node_peer(n, &c->other);
	if (to && association_reaches(to->association, now))
		link_stand_by(n, now, to);
	return DROP_NONE;
}

enum drop link_on_no(struct node *n, ov_time now, struct peer *p, const struct relay_no *f)
{
	struct link_request *r = request_of(p, f->request);
	if (!r)
		return DROP_TOKEN;
	r->used = false;
	p->registration->refused = f->reason;
	struct peer *to = node_peer(n, &r->destination);
	bool calls = to && to->association && to->association->call && !reach_is_lan_only(n, to);
	if (r->by_invite && calls)
		open_to(n, now, p, to, false); /* we are its contact already, and did not hear */
	return DROP_NONE;
}

/* Others than contacts, while we take requests: a relay may name as many as it likes. */
static void limit_strangers(struct node *n, ov_time now, struct peer *relay)
{
	struct channel *oldest = NULL;
	size_t count = 0;
	for (struct channel *c = relay->association->channels; c; c = c->next)
		if (c->kind == CHANNEL_LINK && !node_peer(n, &c->other)) {
			oldest = c; /* new ones come to the front */
			count++;
		}
	if (count >= LINK_STRANGERS)
		channel_close(n, now, oldest, true);
}

/* Only who is known (or may ask to be) gets a link at this end. */
enum drop link_on_in(struct node *n, ov_time now, struct peer *p, const struct relay_in *f)
{
	if (!p->registration)
		return DROP_TYPE;
	if (f->channel == 0 || !handshake_looks_like_hs1(f->datagram, f->len))
		return DROP_FORMAT;
	if (peer_id_equal(&f->source, &p->contact.id))
		return DROP_LOOP;
	const struct peer *source = node_peer(n, &f->source);
	if (n->config.lan_only || (source && reach_is_lan_only(n, source)))
		return DROP_POLICY;
	if (!source) {
		if (!n->config.pairing && n->invite_count == 0)
			return DROP_STRANGER;
		limit_strangers(n, now, p);
	}
	struct channel *c = link_to(n, now, p, &f->source, f->channel);
	if (!c)
		return DROP_FULL;
	note_observed(n, now, c, &f->observed);
	struct dgram from = { .carrier = CARRIER_RELAY, .remote = channel_addr(c) };
	return answer_hs1(n, now, &from, f->datagram, f->len);
}
