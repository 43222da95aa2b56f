/* TCP, for networks that block UDP (docs/protocol.md 13.5). A call that is not answered for 300 ms
 * goes by TCP as well, at once where UDP was of no use before. The edge connects; HS1 is the first
 * datagram of a connection, and from then on it is a path like any other, below UDP and above a
 * relay. Who goes by TCP asks now and then whether UDP works again; who goes by relay whether TCP
 * does. */
#include "overlay/dial.h"

#include "overlay/association.h"
#include "overlay/call.h"
#include "overlay/keys.h"
#include "overlay/meet.h"
#include "overlay/network.h"
#include "overlay/punch.h"
#include "overlay/reach.h"
#include "overlay/route.h"

#define DIAL_AFTER (300 * OV_MS)
#define CALL_GAP   OV_SEC        /* attempts while nobody answers */
#define ASK_FIRST  (5 * OV_SEC)  /* by TCP: whether UDP works; 5, 10 ... 300 s */
#define LATER      (30 * OV_SEC) /* by relay: whether TCP does; 30, 60 ... 300 s */
#define CLAIMED    5             /* attempts of a call at an address we have only a word for */
#define ASK_LAST   (300 * OV_SEC)

static bool is_blocked(struct node *n)
{
	const struct network *here = network_here(n);
	return here && here->blocks_udp;
}

static void remember(struct node *n, bool blocks_udp)
{
	struct network *here = blocks_udp ? network_keep(n) : network_here(n);
	if (here)
		here->blocks_udp = blocks_udp;
}

/* ---- where a peer takes connections ---- */

static bool is_target_of(
	const struct node *n, const struct peer *p, const struct candidate *c, bool trusted)
{
	bool written = c->source == SOURCE_CONFIG || c->source == SOURCE_USER;
	return c->carrier == CARRIER_TCP && candidate_is_trusted(c) == trusted &&
	       reach_allows_addr(n, p, &c->addr) && (written || !meet_is_foreign(n, p, &c->addr));
}

/* Those we were told of, what is only claimed last; of a facilitator else the usual port wherever
 * it is. */
static size_t targets(const struct node *n, const struct peer *p, struct ov_addr out[DIAL_TARGETS])
{
	size_t count = 0;
	for (int trusted = 1; trusted >= 0; trusted--)
		for (size_t i = 0; i < p->candidates.count && count < DIAL_TARGETS; i++)
			if (is_target_of(n, p, &p->candidates.list[i], trusted))
				out[count++] = network_target(n, &p->candidates.list[i].addr);
	if (count > 0 || !p->registration)
		return count;
	for (size_t i = 0; i < p->candidates.count && count < DIAL_TARGETS; i++) {
		struct ov_addr a = network_target(n, &p->candidates.list[i].addr);
		a.port = ENDPOINT_TCP_PORT;
		bool known = false;
		for (size_t k = 0; k < count; k++)
			known |= addr_equal(&out[k], &a);
		if (!known && reach_allows_addr(n, p, &a))
			out[count++] = a;
	}
	return count;
}

static bool is_target(const struct node *n, const struct peer *p, const struct ov_addr *remote)
{
	struct ov_addr list[DIAL_TARGETS];
	size_t count = targets(n, p, list);
	for (size_t i = 0; i < count; i++)
		if (addr_equal(&list[i], remote))
			return true;
	return false;
}

static bool works(const struct association *a, const struct ov_addr *remote, ov_time now)
{
	for (size_t i = 0; i < a->path_count; i++)
		if (a->paths[i]->carrier == CARRIER_TCP && a->paths[i]->state == PATH_VALID &&
			addr_equal(&a->paths[i]->remote, remote) &&
			!path_is_doubtful(a->paths[i], now))
			return true;
	return false;
}

static void ask_for(struct node *n, const struct ov_addr *remote)
{
	for (size_t i = 0; i < n->dial_count; i++)
		if (addr_equal(&n->dials[i], remote))
			return;
	if (n->dial_count < DIALS_MAX)
		n->dials[n->dial_count++] = *remote; /* else at the next attempt */
}

/* By whom we know of this address; of a facilitator's usual port: of its host, the best. */
static struct candidate *origin_of(struct peer *p, const struct ov_addr *plain)
{
	struct candidate *host = NULL;
	for (size_t i = 0; i < p->candidates.count; i++) {
		struct candidate *c = &p->candidates.list[i];
		if (c->carrier == CARRIER_TCP && addr_equal(&c->addr, plain))
			return c;
		if (addr_same_ip(&c->addr, plain) && (!host || c->source < host->source))
			host = c;
	}
	return host;
}

/* Each attempt costs whoever is there a SYN or two. */
static bool may_dial(struct node *n, ov_time now, struct peer *p, const struct ov_addr *remote)
{
	struct ov_addr plain = network_plain(n, remote);
	struct candidate *c = origin_of(p, &plain);
	if (!c)
		return true;
	bool calls = p->association->call && !association_reaches(p->association, now);
	if (calls && !candidate_is_trusted(c) && p->association->dial.step >= CLAIMED)
		return false;
	return meet_may_try(n, now, p, c);
}

static size_t dial(struct node *n, ov_time now, struct peer *p)
{
	struct ov_addr list[DIAL_TARGETS];
	size_t count = targets(n, p, list);
	for (size_t i = 0; i < count; i++)
		if (!works(p->association, &list[i], now) && may_dial(n, now, p, &list[i]))
			ask_for(n, &list[i]);
	return count;
}

/* ---- when ---- */

enum need { NEED_NOTHING, NEED_ANSWER, NEED_BETTER, NEED_UDP };

static enum need need_of(const struct peer *p, ov_time now)
{
	const struct association *a = p->association;
	bool answers = association_reaches(a, now) && a->active->state == PATH_VALID &&
		       !path_is_doubtful(a->active, now);
	bool wanted = peer_is_wanted(p, now);
	if (!answers)
		return a->call || wanted ? NEED_ANSWER : NEED_NOTHING;
	if (!wanted)
		return NEED_NOTHING;
	switch ((enum carrier)a->active->carrier) {
	case CARRIER_UDP: return NEED_NOTHING;
	case CARRIER_TCP: return NEED_UDP;
	case CARRIER_RELAY: return NEED_BETTER;
	}
	assert(false);
	return NEED_NOTHING;
}

/* Is UDP back? */
static size_t ask_by_udp(struct node *n, ov_time now, struct peer *p)
{
	size_t count = 0;
	for (size_t i = 0; i < p->candidates.count; i++) {
		struct candidate *c = &p->candidates.list[i];
		if (c->carrier != CARRIER_UDP || meet_is_foreign(n, p, &c->addr))
			continue;
		count++;
		if (meet_may_ask(n, now, p, c))
			punch_probe(n, now, p, &c->addr, true);
	}
	return count;
}

static ov_time doubled(struct node *n, ov_time first, uint8_t step)
{
	ov_time wait = first << (step < 6 ? step : 6);
	return rng_jitter(&n->rng, wait < ASK_LAST ? wait : ASK_LAST, 20);
}

static void step(struct node *n, ov_time now, struct peer *p)
{
	struct dial *d = &p->association->dial;
	d->at = OV_NEVER; /* unless there is an address to try again */
	switch (need_of(p, now)) {
	case NEED_NOTHING: break;
	case NEED_ANSWER:
		if (now < p->dial_after)
			d->at = p->dial_after;
		else if (dial(n, now, p) > 0 && p->association->call && !p->association->call->once)
			d->at = now + CALL_GAP;
		break;
	case NEED_BETTER:
		if (dial(n, now, p) > 0)
			d->at = now + doubled(n, LATER, d->step);
		break;
	case NEED_UDP:
		if (ask_by_udp(n, now, p) > 0)
			d->at = now + doubled(n, ASK_FIRST, d->step);
		break;
	}
	d->step = (uint8_t)(d->step < UINT8_MAX ? d->step + 1 : UINT8_MAX);
}

void dial_tick(struct node *n, ov_time now, struct peer *p)
{
	if (now >= p->association->dial.at)
		step(n, now, p);
}

ov_time dial_deadline(const struct association *a)
{
	return a->dial.at;
}

static void begin_at(struct association *a, ov_time at)
{
	a->dial.step = 0;
	a->dial.at = at;
}

void dial_begin(struct node *n, ov_time now, struct peer *p)
{
	if (need_of(p, now) != NEED_ANSWER)
		return; /* a rekey */
	bool blocked = is_blocked(n);
	begin_at(p->association, blocked ? now : now + DIAL_AFTER);
	if (blocked)
		step(n, now, p);
}

static bool takes_both(const struct node *n, const struct peer *p)
{
	struct ov_addr list[DIAL_TARGETS];
	bool udp = false;
	for (size_t i = 0; i < p->candidates.count; i++)
		udp |= p->candidates.list[i].carrier == CARRIER_UDP;
	return udp && targets(n, p, list) > 0;
}

void dial_on_route(struct node *n, ov_time now, struct peer *p)
{
	struct association *a = p->association;
	switch ((enum carrier)a->active->carrier) {
	case CARRIER_UDP:
		if (a->active->state != PATH_VALID)
			break; /* not yet an answer to a call that waits for one */
		begin_at(a, OV_NEVER);
		if (takes_both(n, p))
			remember(n, false);
		break;
	case CARRIER_TCP:
		begin_at(a, now + ASK_FIRST);
		if (takes_both(n, p))
			remember(n, true);
		break;
	case CARRIER_RELAY: begin_at(a, now + DIAL_AFTER); break;
	}
}

static bool is_local(const struct node *n, const struct ov_addr *a)
{
	bool here = addr_scope(a) == ADDR_LOOPBACK;
	for (size_t i = 0; i < n->local_count; i++)
		here |= addr_same_ip(&n->locals[i].addr, a);
	return here;
}

void dial_network_changed(struct node *n, ov_time now, struct peer *p)
{
	struct dial *d = &p->association->dial;
	for (size_t i = 0; i < d->count;)
		if (is_local(n, &d->open[i].local))
			i++;
		else
			d->open[i] = d->open[--d->count];
	enum need need = need_of(p, now);
	dial_begin(n, now, p);
	if (need == NEED_BETTER || need == NEED_UDP) /* UDP is being asked by others right now */
		begin_at(p->association, now + (need == NEED_UDP ? ASK_FIRST : DIAL_AFTER));
}

/* ---- connections ---- */

static struct path *path_of(const struct association *a, uint32_t id)
{
	for (size_t i = 0; i < a->path_count; i++)
		if (a->paths[i]->carrier == CARRIER_TCP && a->paths[i]->interface == id)
			return a->paths[i];
	return NULL;
}

bool dial_is_ours(const struct association *a, const struct path *path)
{
	for (size_t i = 0; i < a->dial.count; i++)
		if (a->dial.open[i].id == path->interface)
			return true;
	return false;
}

static struct dgram where_of(const struct connection *c)
{
	return (struct dgram){
		.carrier = CARRIER_TCP, .interface = c->id, .local = c->local, .remote = c->remote
	};
}

static void send_hs1(struct node *n, const struct dgram *where, const uint8_t *hs1, size_t len)
{
	uint8_t *room = output_room(&n->output, len, false);
	if (!room)
		return; /* said again by the call's schedule */
	memcpy(room, hs1, len);
	output_add(&n->output, where, NULL, len);
}

void dial_call(struct node *n, ov_time now, struct peer *p, const uint8_t *hs1, size_t len)
{
	(void)now;
	const struct association *a = p->association;
	for (size_t i = 0; i < a->dial.count; i++) {
		struct dgram where = where_of(&a->dial.open[i]);
		if (!path_of(a, a->dial.open[i].id))
			send_hs1(n, &where, hs1, len);
	}
}

/* The relay may have been faster: what was connected meanwhile is asked. */
void dial_on_keys(struct node *n, ov_time now, struct peer *p)
{
	struct association *a = p->association;
	for (size_t i = 0; i < a->dial.count; i++) {
		struct dgram where = where_of(&a->dial.open[i]);
		struct path *path =
			path_of(a, a->dial.open[i].id) ? NULL : route_add(n, now, p, &where);
		if (path)
			path_challenge(path, now);
	}
}

/* The newest to one address replaces the one before. */
static void keep(struct dial *d, const struct dgram *where)
{
	size_t i = 0;
	while (i < d->count && !addr_equal(&d->open[i].remote, &where->remote))
		i++;
	if (i == d->count && d->count < DIAL_TARGETS)
		d->count++;
	if (i == DIAL_TARGETS)
		i = 0;
	d->open[i] = (struct connection){
		.id = where->interface, .local = where->local, .remote = where->remote
	};
}

static void opened(struct node *n, ov_time now, struct peer *p, const struct dgram *where)
{
	struct association *a = p->association;
	enum need need = need_of(p, now);
	if (need != NEED_ANSWER && need != NEED_BETTER)
		return; /* too late: the far end closes it when nothing comes */
	if (!a->call)
		call_start(n, now, p, false);
	if (!a->call)
		return;
	send_hs1(n, where, a->call->handshake.hs1, a->call->handshake.hs1_len);
	keep(&a->dial, where);
	struct path *path = keys_sending(a, now) ? route_add(n, now, p, where) : NULL;
	if (path)
		path_challenge(path, now); /* right behind it: no wait for the other keys */
	peer_touch(n, p);
}

void node_tcp_opened(struct node *n, ov_time now, const struct dgram *where)
{
	assert(where->carrier == CARRIER_TCP && where->interface != 0);
	for (size_t i = 0; i < n->peer_count; i++)
		if (n->peers[i]->association && is_target(n, n->peers[i], &where->remote))
			opened(n, now, n->peers[i], where);
}

static void closed(struct node *n, ov_time now, struct peer *p, uint32_t id)
{
	struct association *a = p->association;
	for (size_t i = 0; i < a->dial.count;)
		if (a->dial.open[i].id == id)
			a->dial.open[i] = a->dial.open[--a->dial.count];
		else
			i++;
	struct path *path = path_of(a, id);
	if (!path)
		return;
	route_remove(n, p, path);
	route_elect(n, now, p);
	if (!a->active && peer_is_wanted(p, now))
		call_start(n, now, p, false);
	peer_touch(n, p);
}

void node_tcp_closed(struct node *n, ov_time now, uint32_t number)
{
	for (size_t i = 0; i < n->peer_count; i++)
		if (n->peers[i]->association)
			closed(n, now, n->peers[i], number);
}

/* A portal answers whatever is asked: it is asked ever more rarely. */
void node_tcp_foreign(struct node *n, ov_time now, const struct ov_addr *remote)
{
	for (size_t i = 0; i < n->peer_count; i++) {
		struct peer *p = n->peers[i];
		if (!is_target(n, p, remote))
			continue;
		n->foreign = *remote;
		p->dial_after = now + doubled(n, ASK_FIRST, p->foreign_count);
		p->foreign_count =
			(uint8_t)(p->foreign_count < UINT8_MAX ? p->foreign_count + 1 : UINT8_MAX);
		peer_touch(n, p);
	}
}

void dial_forget_foreign(struct node *n)
{
	n->foreign = (struct ov_addr){ 0 };
	for (size_t i = 0; i < n->peer_count; i++) {
		n->peers[i]->dial_after = 0;
		n->peers[i]->foreign_count = 0;
	}
}

bool node_captive(const struct node *n, ov_time now, struct ov_addr *by)
{
	for (size_t i = 0; i < n->facilitator_count; i++)
		if (association_reaches(n->facilitators[i]->association, now))
			return false;
	*by = n->foreign;
	return !addr_is_any(by);
}

bool node_dial(struct node *n, struct ov_addr *remote)
{
	if (n->dial_count == 0)
		return false;
	*remote = n->dials[--n->dial_count];
	return true;
}

/* Soon, if there was nobody to connect to; else a peer that names others all the time must not
 * make us try them all as often. */
void dial_told(struct node *n, ov_time now, struct peer *p)
{
	if (!peer_is_wanted(p, now))
		return;
	if (!association_reaches(p->association, now))
		call_start(n, now, p, false);
	struct association *a = p->association;
	enum need need = a ? need_of(p, now) : NEED_NOTHING;
	if (need != NEED_ANSWER && need != NEED_BETTER)
		return;
	ov_time at = is_blocked(n) ? now : now + DIAL_AFTER;
	bool later = a->dial.at != OV_NEVER && a->dial.at > at;
	if (a->dial.at != OV_NEVER && !(later && limit_take(&p->hurries, now, 1, 12, 4)))
		return;
	begin_at(a, at);
	peer_touch(n, p);
}

void dial_answered(ov_time now, struct peer *p, const struct path *path)
{
	if (path->carrier == CARRIER_TCP && dial_is_ours(p->association, path))
		(void)candidates_add_tcp(&p->candidates, now, &path->remote, SOURCE_OBSERVED);
}

void node_candidate_tcp(struct node *n, ov_time now, const struct peer_id *id,
	const struct ov_addr *a, enum candidate_source source)
{
	struct peer *p = node_peer(n, id);
	if (!p || node_is_overlay_addr(n, a))
		return;
	if (candidates_add_tcp(&p->candidates, now, a, source))
		dial_told(n, now, p);
}
