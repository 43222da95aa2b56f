/* The paths of a peer and which one carries its data (docs/protocol.md 7.4). At most one does,
 * `active`.
 *
 * Rules, in order: (1) data never moves to an address before it answered a challenge, unless there
 * is no other path at all; then the 3x budget holds. (2) The peer's data arriving on a valid path
 * moves ours there: it has a reason (its old path is gone, its NAT rebound). The old path is asked
 * too, unless it was of a worse class; if it still answers, we go back and that new address cannot
 * move us for 30 s - an on-path forwarder gains nothing (RFC 9000 9.3.3, RFC 9853). (3) Between
 * valid paths the lower PeerId chooses by class, then RTT with hysteresis, and nominates
 * (PATH_STATUS); the other follows. (4) A suspect active path is left for any valid one. */
#include "overlay/route.h"

#include "overlay/association.h"
#include "overlay/burst.h"
#include "overlay/call.h"
#include "overlay/channel.h"
#include "overlay/dial.h"
#include "overlay/link.h"
#include "overlay/meet.h"
#include "overlay/network.h"
#include "overlay/outbound.h"
#include "overlay/ping.h"
#include "overlay/probing.h"
#include "overlay/reach.h"
#include "overlay/registration.h"
#include "overlay/streams.h"

#include <stdlib.h>

#define DEMOTED_FOR     (30 * OV_SEC)
#define SWITCH_MARGIN   (5 * OV_MS)   /* and 20 %: nat.md part 1, "switch margin" */
#define ASKED_FOR       (2 * OV_SEC)  /* an answer may take that long */
#define SPARE_FOR       (15 * OV_SEC) /* heard by then: it counts as one that works */
#define DUPLICATE_FOR   (500 * OV_MS)
#define DUPLICATE_BYTES (64 * 1024)

struct dgram route_where(const struct path *path)
{
	return (struct dgram){ .carrier = path->carrier,
		.interface = path->interface,
		.local = path->local,
		.remote = path->remote };
}

/* An unset local address or interface matches any: the kernel chose it, and the first answer tells
 * which. */
static bool same_path(const struct path *p, const struct dgram *d)
{
	if (!addr_equal(&p->remote, &d->remote) || p->carrier != d->carrier)
		return false;
	if (!addr_is_any(&p->local) && !addr_is_any(&d->local) &&
		!addr_same_ip(&p->local, &d->local))
		return false;
	if (p->local.port != 0 && d->local.port != 0 && p->local.port != d->local.port)
		return false; /* another socket: another binding of the NAT */
	return p->interface == 0 || d->interface == 0 || p->interface == d->interface;
}

struct path *route_find(const struct association *a, const struct dgram *where)
{
	for (size_t i = 0; i < a->path_count; i++)
		if (same_path(a->paths[i], where))
			return a->paths[i];
	return NULL;
}

/* Lower is better: who gives way when the table is full, and whom the nominator prefers. */
static int class_of(const struct path *p)
{
	switch ((enum carrier)p->carrier) {
	case CARRIER_UDP: return 0;
	case CARRIER_TCP: return 1;
	case CARRIER_RELAY: return 2;
	}
	assert(false);
	return 3;
}

void route_pin(struct path *p, const struct dgram *where)
{
	if (addr_is_any(&p->local) && !addr_is_any(&where->local))
		p->local = where->local;
	if (p->interface == 0)
		p->interface = where->interface;
}

static bool remote_is_validated(const struct association *a, const struct dgram *where)
{
	for (size_t i = 0; i < a->path_count; i++)
		if (a->paths[i]->validated && a->paths[i]->carrier == where->carrier &&
			addr_equal(&a->paths[i]->remote, &where->remote))
			return true;
	return false;
}

/* Two that are asked at one time must not take each other's place with each answer, for ever. Who
 * speaks takes that of one that said nothing. */
static bool is_being_asked(const struct path *p, ov_time now, bool speaks)
{
	return p->state == PATH_PROBING && now - p->created_at < ASKED_FOR &&
	       (p->received_bytes > 0 || !speaks);
}

static ov_time last_sign(const struct path *p)
{
	return p->heard_at == OV_NEVER ? p->created_at : p->heard_at;
}

/* What carries nothing is not asked (core/path.c) and stays valid for ever, also when the peer left
 * that network long ago: such paths must not keep out the one by which it speaks now. */
static struct path *longest_silent(const struct association *a, ov_time now)
{
	struct path *worst = NULL;
	for (size_t i = 0; i < a->path_count; i++) {
		struct path *p = a->paths[i];
		if (p == a->active || p->carrier != CARRIER_UDP || p->state != PATH_VALID ||
			now - last_sign(p) < SPARE_FOR)
			continue;
		if (!worst || last_sign(p) < last_sign(worst))
			worst = p;
	}
	return worst;
}

static struct path *least_useful(const struct association *a, ov_time now, bool speaks)
{
	struct path *worst = NULL;
	for (size_t i = 0; i < a->path_count; i++) {
		struct path *p = a->paths[i];
		assert(p); /* they lie without gaps */
		bool works = p->state == PATH_VALID && !p->for_checks;
		if (p == a->active || works || is_being_asked(p, now, speaks))
			continue;
		if (!worst || p->created_at < worst->created_at)
			worst = p;
	}
	return worst ? worst : longest_silent(a, now);
}

/* What our interfaces and the peer's take. */
static uint16_t datagram_max(const struct node *n, const struct association *a)
{
	uint16_t own = n->config.datagram_max, peers = a->keys[0] ? a->keys[0]->peer_mtu : own;
	uint16_t max = peers < own ? peers : own;
	return max < PMTU_FLOOR ? PMTU_FLOOR : max;
}

void route_on_keys(struct node *n, ov_time now, struct association *a)
{
	uint16_t max = datagram_max(n, a);
	for (size_t i = 0; i < a->path_count; i++) {
		if (a->paths[i]->pmtu.max != max)
			path_measure(a->paths[i], now, max);
	}
}

/* Where a facilitator's clients check their NAT, seen from either end. Were data to go there, the
 * relay would know the client by another address of a symmetric NAT. */
static bool is_for_checks(const struct node *n, const struct peer *p, const struct dgram *where)
{
	if (where->carrier != CARRIER_UDP)
		return false;
	if (n->config.second_port != 0 && where->local.port == n->config.second_port)
		return true;
	uint16_t theirs = p->registration ? p->registration->netcheck.second_port : 0;
	return theirs != 0 && where->remote.port == theirs;
}

static struct path *make(
	struct node *n, ov_time now, struct peer *p, const struct dgram *where, bool speaks)
{
	struct association *a = p->association;
	size_t max = p->contact.source == CONTACT_CLIENT ? CLIENT_PATHS_MAX : PATHS_MAX;
	if (a->path_count >= max) {
		struct path *worst = least_useful(a, now, speaks);
		if (!worst)
			return NULL;
		route_remove(n, p, worst);
	}
	struct path *path = malloc(sizeof(*path));
	if (!path)
		return NULL;
	bool relayed = where->carrier == CARRIER_RELAY;
	path_init(path, now, where,
		(uint16_t)(datagram_max(n, a) - (relayed ? RELAY_HEADER_LEN : 0)));
	/* The relay's session vouches for a link: nothing else comes or goes by it. */
	path->validated = relayed || remote_is_validated(a, where);
	path->key = ++n->path_keys;
	path->for_checks = is_for_checks(n, p, where);
	a->paths[a->path_count++] = path;
	return path;
}

static struct path *find_or_make(
	struct node *n, ov_time now, struct peer *p, const struct dgram *where, bool speaks)
{
	if (!reach_allows(n, p, where))
		return NULL;
	struct path *path = route_find(p->association, where);
	if (!path)
		return make(n, now, p, where, speaks);
	route_pin(path, where);
	return path;
}

struct path *route_add(struct node *n, ov_time now, struct peer *p, const struct dgram *where)
{
	return find_or_make(n, now, p, where, false);
}

struct path *route_came(struct node *n, ov_time now, struct peer *p, const struct dgram *from)
{
	return find_or_make(n, now, p, from, true);
}

/* A path keeps to the address and interface that the kernel chose when it was made. When nothing
 * goes there any more, the kernel may know another way by now: a VPN took all routes, or went.
 * Asked beside it is a path that leaves the choice to the kernel once more. */
void route_leave_to_kernel(struct node *n, ov_time now, struct peer *p, const struct path *stuck)
{
	struct association *a = p->association;
	struct dgram where = { .carrier = CARRIER_UDP,
		.local = { .port = stuck->local.port },
		.remote = stuck->remote };
	if (stuck->carrier != CARRIER_UDP || addr_is_any(&stuck->local) || !stuck->validated ||
		!reach_allows(n, p, &where))
		return; /* what only claims to be the peer's would get 3x once more */
	for (size_t i = 0; i < a->path_count; i++)
		if (a->paths[i]->carrier == CARRIER_UDP && addr_is_any(&a->paths[i]->local) &&
			addr_equal(&a->paths[i]->remote, &stuck->remote))
			return;
	struct path *path = make(n, now, p, &where, false);
	if (!path)
		return;
	path->validated = false; /* elected once it answers, not for hope */
	path_challenge(path, now);
}

void route_on_refused(struct node *n, ov_time now, struct peer *p, struct path *path)
{
	path->refused = true; /* until something is heard there */
	route_leave_to_kernel(n, now, p, path);
}

bool route_is_same_way(const struct path *chosen, const struct path *came)
{
	return chosen != came && chosen->carrier == CARRIER_UDP && addr_is_any(&chosen->local) &&
	       came->carrier == CARRIER_UDP && addr_equal(&chosen->remote, &came->remote);
}

/* The only place that frees a path. Its remote stays known as a candidate if it ever worked. */
void route_remove(struct node *n, struct peer *p, struct path *path)
{
	struct association *a = p->association;
	output_forget(&n->output, path);
	streams_path_gone(a, path);
	struct ov_addr plain = network_plain(n, &path->remote);
	if (path->validated && path->carrier == CARRIER_UDP && !path->for_checks)
		(void)candidates_add(&p->candidates, path->created_at, &plain, SOURCE_OBSERVED);
	for (size_t i = 0; i < a->path_count; i++)
		if (a->paths[i] == path) {
			a->paths[i] = a->paths[--a->path_count];
			break;
		}
	if (a->active == path)
		a->active = NULL;
	if (a->peer_path == path)
		a->peer_path = NULL;
	if (a->nominated == path)
		a->nominated = NULL;
	if (a->previous == path)
		a->previous = NULL;
	if (a->left == path)
		a->left = NULL;
	free(path);
}

ov_time route_keepalive(const struct node *n, const struct peer *p, const struct path *path)
{
	if (path->carrier == CARRIER_TCP)
		return dial_is_ours(p->association, path) ? PATH_KEEPALIVE : 0;
	return path->natted || p->registration ? probing_keepalive(n, path) : 0;
}

void route_use(struct node *n, ov_time now, struct peer *p, struct path *path)
{
	struct association *a = p->association;
	if (a->active == path)
		return;
	if (a->active) {
		path_keep_warm(a->active, now, 0);
		a->active->moved = false;
	}
	a->left = a->active;
	a->left_at = now;
	a->active = path;
	path_keep_warm(path, now, route_keepalive(n, p, path));
	path->moved = a->moved;
	if (path->state == PATH_UNTRIED || a->moved)
		path_challenge(path, now);
	dial_on_route(n, now, p);
	node_emit(n, &(struct node_event){ .type = NODE_PATH_CHANGED,
			     .peer = p->contact.id,
			     .addr = path->remote,
			     .rtt = path->rtt.smoothed });
	peer_touch(n, p);
}

/* New keys came by this path: the peer is there now. Better than a path that has not answered since
 * something changed; one that works is left only by rule 2, after an answer. */
void route_keys_came(struct node *n, ov_time now, struct peer *p, struct path *path)
{
	struct association *a = p->association;
	if (!a->active || a->active->state != PATH_VALID || path_is_doubtful(a->active, now))
		route_use(n, now, p, path);
	else if (path->carrier == CARRIER_RELAY && a->active->carrier == CARRIER_RELAY)
		return; /* a call goes through all relays */
	a->peer_path = path;
}

/* Is x clearly better than y? Both are valid. */
static bool is_better(const struct path *x, const struct path *y)
{
	if (class_of(x) != class_of(y))
		return class_of(x) < class_of(y);
	if (x->rtt.smoothed == 0 || y->rtt.smoothed == 0)
		return false;
	return x->rtt.smoothed + ov_max(SWITCH_MARGIN, x->rtt.smoothed / 5) < y->rtt.smoothed;
}

/* We know that nothing goes out there, whatever may still come in. */
static bool is_stuck(const struct path *p)
{
	return p->refused || p->stray;
}

static int rank_of(const struct path *p)
{
	switch ((enum path_state)p->state) {
	case PATH_VALID: return is_stuck(p) ? 1 : 0;
	case PATH_SUSPECT: return 3;
	case PATH_PROBING: return p->validated ? 2 : 4;
	case PATH_UNTRIED: return 5;
	}
	assert(false);
	return 6;
}

/* The peer left it, and it has not said yet that it still works: to go back there for its class
 * alone would ask it anew each time, and never learn that it is dead. */
static bool is_in_question(const struct association *a, const struct path *p)
{
	return p == a->previous && a->active && a->active != p;
}

static struct path *best(const struct association *a, const struct path *but)
{
	struct path *found = NULL;
	for (size_t i = 0; i < a->path_count; i++) {
		struct path *p = a->paths[i];
		if (p == but || p->for_checks || is_in_question(a, p))
			continue;
		if (!found || rank_of(p) < rank_of(found) ||
			(rank_of(p) == rank_of(found) && is_better(p, found)))
			found = p;
	}
	return found;
}

static void nominate(struct node *n, ov_time now, struct peer *p, struct path *path)
{
	struct association *a = p->association;
	route_use(n, now, p, path);
	path->status_due = true;
	path->status_sequence = ++a->nomination;
	path_challenge(path, now); /* its answer confirms that the nomination arrived */
}

void route_elect(struct node *n, ov_time now, struct peer *p)
{
	struct association *a = p->association;
	struct path *found = best(a, NULL);
	if (!found || found == a->active)
		return;
	if (!a->active || rank_of(found) < rank_of(a->active)) {
		/* Both are told to leave a relay that had not answered yet: the other may see it
		 * answer, and waits for a word. */
		if (p->lower && a->active && a->active->carrier != found->carrier)
			nominate(n, now, p, found);
		else
			route_use(n, now, p, found);
		return;
	}
	if (p->lower && found->state == PATH_VALID && a->active->state == PATH_VALID &&
		is_better(found, a->active))
		nominate(n, now, p, found);
}

/* Rule 2. The path we leave is asked once more; see route_on_answer. Not on the way up: the peer
 * leaves a relay for a direct path while the relay works, and will always answer there. */
static void follow_peer(struct node *n, ov_time now, struct peer *p, struct path *path)
{
	struct association *a = p->association;
	struct path *old = a->active;
	route_use(n, now, p, path);
	a->previous = NULL;
	if (old && class_of(path) < class_of(old))
		return;
	a->previous = old;
	if (old && old->state == PATH_VALID) {
		path_forget_challenges(old); /* only an answer to a question from now on counts */
		path_challenge(old, now);
	}
}

void route_on_answer(
	struct node *n, ov_time now, struct peer *p, struct path *path, bool became_valid)
{
	struct association *a = p->association;
	if (path->for_checks)
		return;
	if (path == a->active)
		a->moved = path->moved; /* false: the peer has read where we are */
	if (path == a->previous) {      /* it still works: the peer did not leave it */
		a->previous = NULL;
		if (a->active && a->active != path) {
			if (a->active->carrier != CARRIER_RELAY) /* that names who is behind it */
				a->active->demoted_until = now + DEMOTED_FOR;
			route_use(n, now, p, path);
		}
	} else if (became_valid && path == a->nominated && now >= path->demoted_until) {
		a->nominated = NULL; /* its word, as if the path had been valid by then */
		route_use(n, now, p, path);
	} else if (became_valid && path == a->peer_path && path != a->active &&
		   now >= path->demoted_until) {
		follow_peer(n, now, p, path);
	}
	if (became_valid && a->active && is_stuck(a->active) &&
		addr_equal(&a->active->remote, &path->remote))
		route_use(n, now, p, path); /* the way that our kernel has now */
	route_elect(n, now, p);
	if (!became_valid)
		return;
	registration_path_valid(n, now, p);
	burst_found(n, now, p, path);
	if (path->carrier == CARRIER_UDP)
		node_emit(n, &(struct node_event){ .type = NODE_ENDPOINT,
				     .peer = p->contact.id,
				     .addr = network_plain(n, &path->remote) });
	else if (peer_is_wanted(p, now))
		meet_start(n, now, p);
	dial_answered(now, p, path);
	ping_on_path(n, now, p);
	outbound_flush_staged(n, now, p);
}

/* Sent before the peer could hear that we left this path. */
static bool was_under_way(const struct association *a, ov_time now, const struct path *path)
{
	return path == a->left && now - a->left_at < path->rtt.smoothed + a->active->rtt.smoothed;
}

/* The peer speaks by a path that we do not believe. If ours is silent it is asked, for who only
 * listens has nothing else to learn from that it is dead. (An on-path forwarder that is faster
 * makes it silent too, but it answers.) */
static void ask_if_silent(struct node *n, ov_time now, struct peer *p)
{
	struct path *active = p->association->active;
	if (!active || now - last_sign(active) < ov_max(OV_SEC, 3 * active->rtt.smoothed))
		return;
	path_ask(active, now);
	peer_touch(n, p);
}

void route_on_peer_data(struct node *n, ov_time now, struct peer *p, struct path *path)
{
	struct association *a = p->association;
	if (path->for_checks)
		return;
	a->peer_path = path;
	if (path == a->active)
		return;
	if (now < path->demoted_until) {
		ask_if_silent(n, now, p);
		return;
	}
	if (!a->active)
		route_use(n, now, p, path);
	else if (was_under_way(a, now, path))
		return; /* if it means it, more will come */
	else if (path->state == PATH_VALID)
		follow_peer(n, now, p, path);
	else if (path->state != PATH_PROBING)
		path_ask(path, now); /* followed once it answered; a suspect one just spoke */
	peer_touch(n, p);
}

void route_on_status(
	struct node *n, ov_time now, struct peer *p, struct path *path, uint32_t sequence)
{
	struct association *a = p->association;
	if (p->lower || sequence <= a->nomination)
		return; /* we nominate, or it is an old word */
	if (now < path->demoted_until || path->for_checks)
		return; /* an on-path forwarder may carry the word here too */
	a->nomination = sequence;
	a->peer_path = a->nominated = path;
	if (path->state == PATH_VALID) {
		a->nominated = NULL;
		route_use(n, now, p, path);
	} else if (path->state != PATH_PROBING)
		path_ask(path, now); /* used once it is valid: route_on_answer */
}

struct path *route_second(const struct association *a, ov_time now)
{
	if (!a->active || now >= a->duplicate_until || a->duplicate_bytes == 0 ||
		!path_is_doubtful(a->active, now))
		return NULL;
	struct path *second = best(a, a->active);
	bool usable = second && second->state == PATH_VALID && now >= second->demoted_until;
	return usable ? second : NULL;
}

/* Whether a relay itself is there: it is no news to it when what it carries is not answered. */
static void ask_relay(struct node *n, ov_time now, const struct path *path)
{
	const struct channel *c = channel_of_addr(n, &path->remote);
	if (!c || !c->session->association || !c->session->association->active)
		return;
	path_ask(c->session->association->active, now);
	peer_touch(n, c->session);
}

/* Nothing was heard on the active path: ask everywhere else too, and let data go twice for a
 * moment. */
static void on_doubt(struct node *n, ov_time now, struct peer *p)
{
	struct association *a = p->association;
	if (now < a->duplicate_until + OV_SEC)
		return;
	a->duplicate_until = now + DUPLICATE_FOR;
	a->duplicate_bytes = DUPLICATE_BYTES;
	for (size_t i = 0; i < a->path_count; i++) {
		if (a->paths[i] != a->active && a->paths[i]->state == PATH_VALID)
			path_ask(a->paths[i], now);
		if (a->paths[i]->carrier == CARRIER_RELAY)
			ask_relay(n, now, a->paths[i]);
	}
	if (a->active->carrier == CARRIER_RELAY && link_has_spare(n, now, a->active))
		call_start(n, now, p, false); /* a path through the other is made by a call */
}

void route_on_suspect(struct node *n, ov_time now, struct peer *p, struct path *path)
{
	bool was_active = path == p->association->active;
	if (path == p->association->previous)
		p->association->previous = NULL; /* the peer did leave it */
	route_elect(n, now, p); /* another may have stood behind one that seemed to work */
	if (was_active)
		route_leave_to_kernel(n, now, p, path);
	if (was_active && p->association->active != path)
		streams_path_gone(p->association, path);
	if (!was_active || p->association->active != path)
		return;
	if (p->association->call) /* a rekey, that is more now */
		dial_begin(n, now, p);
	call_start(n, now, p, false); /* nothing better: the peer may have moved */
}

/* The peer was heard there a moment ago and there is nothing better: a lossy link, not a dead one.
 */
static bool is_last_hope(const struct association *a, const struct path *path, ov_time now)
{
	return path == a->active && path->state == PATH_PROBING && path->received_bytes > 0 &&
	       now - path->probing_since < PATH_GONE_AFTER;
}

void route_find_other(struct node *n, ov_time now, struct peer *p)
{
	route_elect(n, now, p);
	if (!p->association->active && !p->association->call && peer_is_wanted(p, now))
		call_start(n, now, p, false);
}

void route_tick(struct node *n, ov_time now, struct peer *p)
{
	struct association *a = p->association;
	for (size_t i = 0; i < a->path_count;) {
		struct path *path = a->paths[i];
		bool was_active = path == a->active;
		enum path_verdict verdict = path_tick(path, now);
		if (verdict == PATH_GONE && is_last_hope(a, path, now)) {
			path_challenge(path, now);
		} else if (verdict == PATH_GONE) {
			route_remove(n, p, path); /* puts another at i */
			if (was_active)
				route_elect(n, now, p);
			continue;
		}
		if (verdict == PATH_BECAME_SUSPECT)
			route_on_suspect(n, now, p, path);
		i++;
	}
	if (a->active && path_is_doubtful(a->active, now))
		on_doubt(n, now, p);
	if (a->up && !best(a, NULL)) {
		while (a->path_count > 0) /* for checks */
			route_remove(n, p, a->paths[0]);
		association_went_down(n, p);
		if (peer_is_wanted(p, now))
			call_start(n, now, p, false);
	}
}

bool route_is_from_own(const struct node *n, const struct path *path)
{
	if (addr_is_any(&path->local) || !n->locals_known)
		return true;
	for (size_t i = 0; i < n->local_count; i++)
		if (addr_same_ip(&n->locals[i].addr, &path->local))
			return true;
	return addr_scope(&path->local) == ADDR_LOOPBACK;
}
