/* Calling a peer: HS1 at 0, 0.5, 1, 2, 4, 5, 5 ... s for 90 s (docs/protocol.md 3.4), the same
 * bytes to all addresses we know, which is also what opens the NATs on the way. A changed payload
 * means a new ephemeral, index and seq; only mac2 may differ between repetitions, else one key
 * would seal two plaintexts. After 90 s the peer is away and is tried ever more rarely, in the end
 * at one of the places where it may be at a time: fifty contacts that are away must not keep a
 * laptop's radio awake. */
#include "overlay/call.h"

#include "overlay/association.h"
#include "overlay/dial.h"
#include "overlay/envelope.h"
#include "overlay/guest.h"
#include "overlay/joining.h"
#include "overlay/keys.h"
#include "overlay/link.h"
#include "overlay/meet.h"
#include "overlay/network.h"
#include "overlay/outbound.h"
#include "overlay/pair.h"
#include "overlay/ping.h"
#include "overlay/reach.h"
#include "overlay/route.h"
#include "overlay/watch.h"

#include <sodium.h>
#include <stdlib.h>

#define CALL_FOR           (90 * OV_SEC)
#define CALL_ONCE_FOR      (5 * OV_SEC)
#define HS1_LIFETIME       (5 * OV_SEC) /* then a new ephemeral */
#define CLAIM_TRIES        5            /* to an address we have only a word for: security.md 2.6 */
#define COOKIES_PER_SECOND 1
#define COOKIE_BURST       4
#define AWAY_LAST_STEP     6 /* 5, 10, 20, 40, 80, 160, 300 s */
#define AWAY_POLL          (300 * OV_SEC)
#define AWAY_RARE          (1800 * OV_SEC)
#define AWAY_DAY           (24 * 3600 * OV_SEC)

static const ov_time gaps[] = { 500 * OV_MS, 500 * OV_MS, OV_SEC, 2 * OV_SEC, OV_SEC, 5 * OV_SEC };

static bool has_targets(const struct node *n, ov_time now, const struct peer *p)
{
	if (p->association->path_count > 0)
		return true;
	if (reach_is_lan_only(n, p))
		return reach_is_possible(n, p);
	return p->candidates.count > 0 || link_possible(n, now);
}

void call_end(struct node *n, struct peer *p)
{
	struct call *c = p->association ? p->association->call : NULL;
	if (!c)
		return;
	if (c->handshake.index)
		table_remove(n->by_index, c->handshake.index);
	handshake_wipe(&c->handshake);
	sodium_memzero(c, sizeof(*c));
	free(c);
	p->association->call = NULL;
}

/* Above every seq of this run, and above what this peer says it has seen: a boot epoch that was
 * rolled back with a restored disk is lifted by the first HS2. For this peer only, or one that
 * claims to have seen the highest would spoil our calls to all others. */
static uint64_t next_seq(struct node *n, struct peer *p)
{
	uint64_t seq = (uint64_t)n->config.boot_epoch << 32 | ++n->handshake_counter;
	if (seq <= p->told_seq)
		seq = p->told_seq < UINT64_MAX ? ++p->told_seq : UINT64_MAX;
	return seq;
}

/* A new HS1: new ephemeral, index and seq. */
static bool build(struct node *n, ov_time now, struct peer *p)
{
	struct association *a = p->association;
	struct call *c = a->call;
	if (c->handshake.index) {
		table_remove(n->by_index, c->handshake.index);
		handshake_wipe(&c->handshake);
	}
	uint32_t index = keys_new_index(n);
	c->payload = (struct hs1_payload){
		.peer = n->self->id,
		.seq = next_seq(n, p),
		.association = a->half,
		.instance = n->instance,
		.mtu = n->config.datagram_max,
		.suites = aead_offer(n->aead),
	};
	if (c->has_liveness)
		memcpy(c->payload.liveness, c->liveness, COOKIE_LEN);
	if (p->has_invite) {
		c->payload.has_invite = true;
		memcpy(c->payload.invite, p->invite, HS1_INVITE_LEN);
	}
	c->payload.has_voucher = guest_pass(n, now, p, c->payload.voucher);
	bool has_ss = pair_knows_ss(n, p);
	memset(&c->handshake, 0, sizeof(c->handshake));
	const struct noise_known *k = &p->known.key;
	struct hs1_config hs1 = {
		.net = &n->config.network,
		.self = n->self,
		.remote_dh = k->s_public,
		.ss = has_ss ? k->ss : NULL,
		.index = index,
		.payload = &c->payload,
	};
	if (handshake_start(&c->handshake, &hs1, &n->rng) != OV_OK)
		return false;
	if (table_put(n->by_index, index, &c->receiver) != OV_OK) {
		handshake_wipe(&c->handshake);
		c->handshake.index = 0;
		return false;
	}
	c->built_at = now;
	if (c->has_cookie)
		handshake_add_mac2(&c->handshake, c->cookie);
	return true;
}

static void send_to(
	struct node *n, ov_time now, struct call *c, const struct dgram *where, struct path *path)
{
	struct envelope e;
	size_t len = c->handshake.hs1_len;
	uint8_t *room = envelope_open(n, where, &e) ? envelope_room(n, &e, len, false) : NULL;
	if (!room)
		return;
	memcpy(room, c->handshake.hs1, len);
	envelope_add(n, now, &e, NULL, len);
	if (path)
		path_on_handshake_sent(path, now, len);
}

/* HS1 may go to a path's address if it is validated (or has 3x budget); an address that only claims
 * to be the peer's gets none. */
static bool path_takes_hs1(const struct call *c, const struct path *path)
{
	return path_budget(path) >= c->handshake.hs1_len;
}

static bool was_sent_to(const struct association *a, uint8_t carrier, const struct ov_addr *remote)
{
	for (size_t i = 0; i < a->path_count; i++)
		if (path_takes_hs1(a->call, a->paths[i]) && a->paths[i]->carrier == carrier &&
			addr_equal(&a->paths[i]->remote, remote))
			return true;
	return false;
}

static bool send_to_candidate(struct node *n, ov_time now, struct peer *p, struct candidate *to)
{
	struct call *c = p->association->call;
	struct dgram where = { .carrier = CARRIER_UDP, .remote = network_target(n, &to->addr) };
	if (to->carrier != CARRIER_UDP || was_sent_to(p->association, CARRIER_UDP, &where.remote) ||
		meet_is_foreign(n, p, &to->addr) || !reach_allows_addr(n, p, &to->addr) ||
		(!candidate_is_trusted(to) && c->attempts >= CLAIM_TRIES) ||
		!meet_may_ask(n, now, p, to))
		return false;
	send_to(n, now, c, &where, NULL);
	return true;
}

/* ---- one place at a time ---- */

static size_t place_count(const struct node *n, ov_time now, const struct peer *p)
{
	size_t relays = 0;
	while (link_relay(n, now, p, relays))
		relays++;
	return p->candidates.count + relays;
}

/* Whose turn it is when a peer that is away is polled for long; not where a facilitator would tell
 * (the poll is rare then), and not our facilitators, who are few. */
static uint8_t place_of_attempt(const struct node *n, ov_time now, struct peer *p)
{
	size_t count = place_count(n, now, p);
	if (p->away_step < AWAY_LAST_STEP || p->registration || watch_waits_for(p) ||
		p->association->path_count > 0 || count == 0)
		return CALL_ALL;
	uint8_t turn = p->away_turn;
	p->away_turn = (uint8_t)(turn + 1);
	return (uint8_t)(turn % count);
}

static void send_to_one(struct node *n, ov_time now, struct peer *p)
{
	const struct call *c = p->association->call;
	if (c->only < p->candidates.count) {
		(void)send_to_candidate(n, now, p, &p->candidates.list[c->only]);
		return;
	}
	struct peer *relay = link_relay(n, now, p, (size_t)c->only - p->candidates.count);
	if (relay)
		link_open(n, now, relay, p);
}

static bool asks_by_tcp(const struct peer *p, const struct call *c)
{
	return c->only == CALL_ALL || (c->only < p->candidates.count &&
					      p->candidates.list[c->only].carrier == CARRIER_TCP);
}

/* A rekey first asks on the path in use only; everything else asks everywhere, at most
 * CANDIDATES_MAX addresses. */
static void send_everywhere(struct node *n, ov_time now, struct peer *p)
{
	struct association *a = p->association;
	struct call *c = a->call;
	if (c->only != CALL_ALL) {
		send_to_one(n, now, p);
		return;
	}
	if (a->active && a->active->state == PATH_VALID && !path_is_doubtful(a->active, now) &&
		c->attempts < 2) {
		struct dgram where = route_where(a->active);
		send_to(n, now, c, &where, a->active);
		return;
	}
	size_t left = CANDIDATES_MAX;
	for (size_t i = 0; i < a->path_count && left > 0; i++, left--) {
		if (!path_takes_hs1(c, a->paths[i]))
			continue;
		struct dgram where = route_where(a->paths[i]);
		send_to(n, now, c, &where, a->paths[i]);
	}
	for (size_t i = 0; i < p->candidates.count && left > 0; i++)
		left -= send_to_candidate(n, now, p, &p->candidates.list[i]);
	link_call(n, now, p);
	dial_call(n, now, p, c->handshake.hs1, c->handshake.hs1_len);
}

/* Nobody answered: from now on an attempt at 5, 10, 20 ... 300 s; every 30 min after a day, or when
 * a facilitator would tell. */
static void give_up(struct node *n, ov_time now, struct peer *p)
{
	call_end(n, p);
	if (association_reaches(p->association, now))
		return; /* a rekey that failed: the present keys serve until 180 s */
	if (!p->away) {
		p->away = true;
		p->away_since = now;
		p->away_step = 0;
	}
	association_went_down(n, p);
	if (p->registration)
		watch_lost(n, now, p);
	ov_time wait = (ov_time)(5 << (p->away_step > 5 ? 6 : p->away_step)) * OV_SEC;
	if (p->away_step >= AWAY_LAST_STEP)
		wait = watch_waits_for(p) ? AWAY_RARE : AWAY_POLL;
	else
		p->away_step++;
	if (now - p->away_since >= AWAY_DAY)
		wait = AWAY_RARE;
	p->retry_at = peer_is_wanted(p, now) ? now + rng_jitter(&n->rng, wait, 20) : OV_NEVER;
}

void call_step(struct node *n, ov_time now, struct peer *p)
{
	struct call *c = p->association->call;
	if (now - c->started_at >= (c->once ? CALL_ONCE_FOR : CALL_FOR)) {
		give_up(n, now, p);
		return;
	}
	bool fresh = c->handshake.index && now - c->built_at < HS1_LIFETIME;
	if (!fresh && p->registration)
		guest_next_pass(p->registration);
	if (!fresh && !build(n, now, p)) {
		give_up(n, now, p);
		return;
	}
	send_everywhere(n, now, p);
	size_t gap = c->attempts < sizeof(gaps) / sizeof(gaps[0])
			     ? c->attempts
			     : sizeof(gaps) / sizeof(gaps[0]) - 1;
	c->attempts = (uint8_t)(c->attempts < UINT8_MAX ? c->attempts + 1 : UINT8_MAX);
	ov_time next = now + rng_jitter(&n->rng, gaps[gap], 5);
	c->next_at =
		c->once ? c->started_at + CALL_ONCE_FOR : ov_min(next, c->started_at + CALL_FOR);
}

void call_hurry(struct node *n, ov_time now, struct peer *p)
{
	struct call *c = p->association->call;
	if (!limit_take(&p->hurries, now, 1, 12, 4)) /* one per 4 s, three at once: networks flap */
		return;
	c->once = false;
	c->only = CALL_ALL;
	c->started_at = now;
	c->attempts = 0;
	call_step(n, now, p);
	dial_begin(n, now, p);
}

static void begin(struct node *n, ov_time now, struct peer *p, bool once, uint8_t only)
{
	struct call *c = calloc(1, sizeof(*c));
	if (!c)
		return;
	c->receiver = (struct receiver){ .kind = RECEIVER_CALL, .peer = p };
	c->started_at = now;
	c->once = once;
	c->only = only;
	p->association->call = c;
	bool tcp = asks_by_tcp(p, c);
	p->retry_at = OV_NEVER;
	call_step(n, now, p);
	if (tcp)
		dial_begin(n, now, p);
}

void call_start(struct node *n, ov_time now, struct peer *p, bool once)
{
	if (!association_open(n, now, p))
		return;
	struct association *a = p->association;
	peer_touch(n, p);
	if (a->call && a->call->once && !once)
		call_hurry(n, now, p); /* somebody wants it now: the attempt becomes a call */
	if (!a->call && has_targets(n, now, p))
		begin(n, now, p, once, once ? place_of_attempt(n, now, p) : CALL_ALL);
}

void call_by_relay(struct node *n, ov_time now, struct peer *p, size_t k)
{
	size_t only = p->candidates.count + k;
	if (!p->association->call && only < CALL_ALL)
		begin(n, now, p, true, (uint8_t)only);
	peer_touch(n, p);
}

enum drop call_on_hs2(struct node *n, ov_time now, struct peer *p, const struct dgram *from,
	const uint8_t *data, size_t len)
{
	struct call *c = p->association->call;
	struct hs2_opened h;
	enum drop why = handshake_finish(&c->handshake, n->self, data, len, &h);
	if (why != DROP_NONE)
		return why;
	if (h.payload.seen_seq > p->told_seq)
		p->told_seq = h.payload.seen_seq;
	table_remove(n->by_index, c->handshake.index);
	struct session_config agreed = { .keys = &h.keys,
		.index = c->handshake.index,
		.remote_index = h.remote_index,
		.initiator = true };
	struct keys *k = keys_new(n, now, p, (enum suite)h.payload.suite, &agreed);
	sodium_memzero(&h.keys, sizeof(h.keys));
	c->handshake.index = 0; /* the keys have it now */
	call_end(n, p);
	if (!k)
		return DROP_FULL;
	k->association = h.payload.association;
	k->instance = h.payload.instance;
	k->peer_mtu = h.payload.mtu;
	keys_install(n, now, p, k);
	joining_done(n, p);
	struct path *path = route_came(n, now, p, from);
	association_came_up(n, p, path);
	if (path) {
		path_on_received(path, now, len, 1, false);
		route_keys_came(n, now, p, path);
		path_challenge(path, now); /* also tells the responder that we have the keys */
	}
	dial_on_keys(n, now, p);
	link_stand_by(n, now, p);
	p->heard_at = now;
	ping_on_path(n, now, p);
	outbound_flush_staged(n, now, p);
	peer_touch(n, p);
	return DROP_NONE;
}

enum drop call_on_cookie(
	struct node *n, ov_time now, struct peer *p, const uint8_t *data, size_t len)
{
	struct call *c = p->association->call;
	struct cookie_packet got;
	enum drop why = cookie_packet_decode(&c->handshake, data, len, &got);
	if (why != DROP_NONE)
		return why;
	if (!limit_take(&c->cookies, now, COOKIES_PER_SECOND, COOKIE_BURST, 1))
		return DROP_RATE; /* who sees HS1 can forge them; each costs us HS1 everywhere */
	if (got.flags & PACKET_FLAG_LIVENESS) {
		if (c->has_liveness && memcmp(c->liveness, got.cookie, COOKIE_LEN) == 0)
			return DROP_COOKIE; /* already in this HS1: a copy */
		memcpy(c->liveness, got.cookie, COOKIE_LEN);
		c->has_liveness = true;
		if (!build(n, now, p)) /* inside the payload: new ephemeral, index, seq */
			return DROP_FULL;
	} else {
		if (c->has_cookie && memcmp(c->cookie, got.cookie, COOKIE_LEN) == 0)
			return DROP_COOKIE;
		memcpy(c->cookie, got.cookie, COOKIE_LEN);
		c->has_cookie = true;
		handshake_add_mac2(&c->handshake, got.cookie);
	}
	send_everywhere(n, now, p);
	return DROP_NONE;
}
