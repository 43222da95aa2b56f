/* From the relay to a direct path. Each side tells the other where it is, over the session that the
 * relay carries, and both send to all of these addresses at one time, so that each NAT has seen its
 * own side send before the other's packet comes (RFC 5128 3.3; the exchange is libp2p's DCUtR, the
 * schedule nat.md part 1). What is sent are challenges of the session: nobody else can answer them.
 *
 * At one time: who answers hears of a round half a round trip of the relay before the other hears
 * the answer. It opens its NAT at once (punch.h), and begins when the other does.
 *
 * A round that finds nothing is repeated after 5, 10, 20 ... 300 s as long as data was sent
 * within 120 s, and at once when either side's addresses change. */
#include "overlay/meet.h"

#include "overlay/burst.h"
#include "overlay/dial.h"
#include "overlay/frames.h"
#include "overlay/joining.h"
#include "overlay/keys.h"
#include "overlay/link.h"
#include "overlay/netcheck.h"
#include "overlay/punch.h"
#include "overlay/reach.h"
#include "overlay/registration.h"
#include "overlay/route.h"

#define TOLD_PER_SECOND 1
#define TOLD_BURST      5
#define OPENED_BEFORE   (20 * OV_MS) /* at least: its opener shall have left the NAT */
#define OPENED_MAX      (500 * OV_MS)
#define BACKOFF_LAST    6
#define TRIED_FOR       (120 * OV_SEC) /* after the last packet; an idle pair is silent */
/* Rounds: 6 at once, then 3 a minute. limit.h counts whole tokens per second. */
#define ROUND_COST  20
#define ROUND_BURST (6 * ROUND_COST)
#define PUT_OFF     (5 * OV_SEC)
/* Addresses that we have only a word for, security.md 2.6: 20 new ones a minute for a peer (16 at
 * once, 4 a minute), 200 for all (100 at once, 100 a minute). Peers that lie must not make a
 * scanner of us (Sun et al., "Preventing DDoS attacks on internet servers exploiting P2P systems",
 * 2010). */
#define PLACE_COST        15
#define PLACE_BURST       (16 * PLACE_COST)
#define PLACES_PER_SECOND 5
#define PLACES_COST       3
#define PLACES_BURST      (100 * PLACES_COST)

static const ov_time offsets[] = { 0, 20 * OV_MS, 60 * OV_MS, 140 * OV_MS, 300 * OV_MS, 620 * OV_MS,
	1240 * OV_MS, 2240 * OV_MS, 3240 * OV_MS };
#define STEPS (sizeof(offsets) / sizeof(offsets[0]))

static void say(struct node *n, ov_time now, struct peer *p, uint8_t flags)
{
	uint8_t plain[PMTU_FLOOR];
	struct wr w = wr_init(plain, sizeof(plain));
	struct endpoints_frame e;
	e.count = node_own_addresses(n, e.addr, FRAME_ENDPOINTS_MAX);
	frame_put_endpoints(&w, FRAME_ENDPOINTS, &e);
	struct nat_class c = netcheck_class(n, true);
	frame_put_punch(&w, &(struct punch_frame){ .round = p->association->meeting.round,
				    .flags = flags,
				    .side = (uint8_t)nat_side(&c),
				    .step = (int16_t)c.step,
				    .external = c.external });
	e.count = node_own_tcp(n, e.addr, FRAME_TCP_ENDPOINTS_MAX);
	if (e.count > 0)
		frame_put_endpoints(&w, FRAME_TCP_ENDPOINTS, &e);
	(void)frames_send(n, now, p, &w, flags == 0);
}

static bool is_relayed(const struct association *a)
{
	return a->active && a->active->carrier == CARRIER_RELAY;
}

void meet_start(struct node *n, ov_time now, struct peer *p)
{
	struct association *a = p->association;
	if (!a || !is_relayed(a))
		return;
	a->meeting.backoff = 0;
	a->meeting.round_at = now;
	peer_touch(n, p);
}

bool meet_may_try(struct node *n, ov_time now, struct peer *p, struct candidate *c)
{
	bool is_new = c->tried_at == OV_NEVER && !candidate_is_trusted(c);
	if (!is_new) {
		c->tried_at = now;
		return true;
	}
	if (!limit_has(&p->places, now, 1, PLACE_BURST, PLACE_COST) ||
		!limit_take(&n->places, now, PLACES_PER_SECOND, PLACES_BURST, PLACES_COST)) {
		node_drop(n, DROP_RATE);
		return false;
	}
	(void)limit_take(&p->places, now, 1, PLACE_BURST, PLACE_COST);
	c->tried_at = now;
	return true;
}

bool meet_may_ask(struct node *n, ov_time now, struct peer *p, struct candidate *c)
{
	return c->carrier == CARRIER_UDP && meet_may_try(n, now, p, c); /* TCP: dial.c */
}

/* A private address is somebody else's here unless it is on one of our links, or the peer shares
 * the address that the world sees us at (nat.md: scans of foreign private ranges are punished). */
static bool may_probe(const struct node *n, const struct ov_addr *a, bool same_site)
{
	enum addr_scope scope = addr_scope(a);
	if (a->port == 0 || node_is_overlay_addr(n, a))
		return false;
	if (scope == ADDR_GLOBAL)
		return true;
	if (scope != ADDR_PRIVATE)
		return false;
	return same_site || reach_is_on_link(n, a, 0);
}

bool meet_may_probe(const struct node *n, const struct ov_addr *a)
{
	return may_probe(n, a, false);
}

/* Asked again before each use: what was our neighbour's may be anybody's since we moved. The
 * owner's word counts everywhere. */
bool meet_is_foreign(const struct node *n, const struct peer *p, const struct ov_addr *a)
{
	if (addr_scope(a) != ADDR_PRIVATE)
		return false;
	const struct candidate *c = candidates_find(&p->candidates, a);
	if (c && (c->source == SOURCE_CONFIG || c->source == SOURCE_USER))
		return false;
	return !may_probe(n, a, p->association && p->association->meeting.same_site);
}

bool meet_is_all_foreign(const struct node *n, const struct peer *p)
{
	for (size_t i = 0; i < p->candidates.count; i++)
		if (!meet_is_foreign(n, p, &p->candidates.list[i].addr))
			return false;
	return p->candidates.count > 0;
}

static void begin_probes(struct meeting *m, ov_time at, bool asked)
{
	m->step = 0;
	m->asked = asked;
	m->started_at = m->probe_at = at;
}

static void open_for(struct node *n, ov_time now, struct peer *p)
{
	for (size_t i = 0; i < p->candidates.count; i++) {
		struct candidate *c = &p->candidates.list[i];
		if (punch_may_open(n, &c->addr) && meet_may_ask(n, now, p, c))
			punch_open(n, now, p, &c->addr);
	}
}

/* Opens what has to be opened and asks the others; returns when all are asked. */
static ov_time open_first(struct node *n, ov_time now, struct peer *p)
{
	for (size_t i = 0; i < p->candidates.count; i++) {
		struct candidate *c = &p->candidates.list[i];
		if (!punch_may_open(n, &c->addr) && !meet_is_foreign(n, p, &c->addr) &&
			meet_may_ask(n, now, p, c))
			punch_probe(n, now, p, &c->addr, true);
	}
	open_for(n, now, p);
	const struct meeting *m = &p->association->meeting;
	ov_time rtt = p->association->active->rtt.smoothed;
	bool both_ask = m->asked_at != 0 && now - m->asked_at < rtt; /* each heard the other now */
	ov_time until_heard = both_ask ? 0 : rtt / 2;
	return now + ov_min(ov_max(until_heard, OPENED_BEFORE), OPENED_MAX);
}

static void begin_round(struct node *n, ov_time now, struct peer *p)
{
	struct meeting *m = &p->association->meeting;
	if (!limit_take(&m->begun, now, 1, ROUND_BURST, ROUND_COST)) {
		m->round_at =
			now + PUT_OFF; /* a facilitator may say anew where we are all the time */
		return;
	}
	m->round++;
	m->moved = false;
	m->asked_at = now;
	say(n, now, p, 0);
	open_for(n, now, p); /* where it was last: the answer may say something else */
	link_spread(n, now, p);
	ov_time wait =
		(ov_time)(5 << (m->backoff > BACKOFF_LAST ? BACKOFF_LAST : m->backoff)) * OV_SEC;
	if (m->backoff < BACKOFF_LAST)
		m->backoff++;
	m->round_at = now + rng_jitter(&n->rng, wait < 300 * OV_SEC ? wait : 300 * OV_SEC, 20);
}

/* What we told before is wrong now, and the others cannot know: one round with each, also with
 * those that only want us. */
void meet_moved(struct node *n, ov_time now)
{
	for (size_t i = 0; i < n->peer_count; i++) {
		if (!n->peers[i]->association)
			continue;
		n->peers[i]->association->meeting.moved = true;
		meet_start(n, now, n->peers[i]);
	}
}

static void probe(struct node *n, ov_time now, struct peer *p)
{
	struct meeting *m = &p->association->meeting;
	for (size_t i = 0; i < p->candidates.count; i++) {
		struct candidate *c = &p->candidates.list[i];
		bool anew = m->step == 0 && (!m->asked || punch_may_open(n, &c->addr));
		if (!meet_is_foreign(n, p, &c->addr) && meet_may_ask(n, now, p, c))
			punch_probe(n, now, p, &c->addr, anew);
	}
	m->step++;
	m->probe_at = m->step < STEPS ? m->started_at + offsets[m->step] : OV_NEVER;
}

void meet_on_data(struct node *n, ov_time now, struct peer *p)
{
	const struct meeting *m = &p->association->meeting;
	if (m->round_at == OV_NEVER && m->probe_at == OV_NEVER)
		meet_start(n, now, p);
}

void meet_tick(struct node *n, ov_time now, struct peer *p)
{
	struct association *a = p->association;
	struct meeting *m = &a->meeting;
	if (!is_relayed(a) || !keys_sending(a, now)) {
		m->round_at = m->probe_at = OV_NEVER;
		return;
	}
	if (now >= m->probe_at)
		probe(n, now, p);
	if (now < m->round_at)
		return;
	bool wanted = p->wanted_at != OV_NEVER && now - p->wanted_at < TRIED_FOR;
	if (wanted || m->moved)
		begin_round(n, now, p);
	else
		m->round_at = OV_NEVER; /* whoever wants it begins anew: meet_start */
}

ov_time meet_deadline(const struct association *a)
{
	return ov_min(a->meeting.probe_at, a->meeting.round_at);
}

enum drop meet_on_endpoints(
	struct node *n, ov_time now, struct peer *p, const struct endpoints_frame *f)
{
	struct association *a = p->association;
	if (!contact_is_known(p->contact.source))
		return DROP_GRANT; /* we call neither our clients nor, at other places, relays */
	if (reach_is_lan_only(n, p))
		return DROP_POLICY;
	if (!limit_take(&a->meeting.told, now, TOLD_PER_SECOND, TOLD_BURST, 1))
		return DROP_RATE;
	struct ov_addr observed[FRAME_ENDPOINTS_MAX / 2];
	size_t count = registration_observed(n, observed, FRAME_ENDPOINTS_MAX / 2);
	bool same_site = false;
	for (size_t i = 0; i < f->count; i++)
		for (size_t j = 0; j < count; j++)
			same_site |= addr_same_ip(&f->addr[i], &observed[j]);
	a->meeting.same_site = same_site;
	for (size_t i = 0; i < f->count; i++)
		if (may_probe(n, &f->addr[i], same_site))
			(void)candidates_add(&p->candidates, now, &f->addr[i], SOURCE_PEER);
	return DROP_NONE;
}

/* Nobody listens for us at a port of others: mail, ssh and the like would be the third party's. */
static bool is_tcp_port(uint16_t port)
{
	return port == 80 || port == 443 || port > 1023;
}

enum drop meet_on_tcp_endpoints(
	struct node *n, ov_time now, struct peer *p, const struct endpoints_frame *f)
{
	struct association *a = p->association;
	bool fresh = false;
	if (!contact_is_known(p->contact.source))
		return DROP_GRANT;
	if (reach_is_lan_only(n, p))
		return DROP_POLICY;
	if (!limit_take(&a->meeting.told_tcp, now, TOLD_PER_SECOND, TOLD_BURST, 1))
		return DROP_RATE;
	for (size_t i = 0; i < f->count; i++)
		if (is_tcp_port(f->addr[i].port) && may_probe(n, &f->addr[i], a->meeting.same_site))
			fresh |= candidates_add_tcp(&p->candidates, now, &f->addr[i], SOURCE_PEER);
	if (fresh)
		dial_told(n, now, p);
	return DROP_NONE;
}

enum drop meet_on_punch(struct node *n, ov_time now, struct peer *p, const struct punch_frame *f)
{
	struct association *a = p->association;
	if (f->flags & ~PUNCH_ANSWER)
		return DROP_FORMAT;
	a->meeting.told_side = f->side <= NAT_SIDE_HARD;
	a->meeting.their_side = f->side;
	if (!is_relayed(a))
		return DROP_NONE; /* we see it directly already; its question will be answered */
	if ((f->flags & PUNCH_ANSWER) && f->round != a->meeting.round)
		return DROP_TOKEN;
	if (!limit_take(&a->meeting.rounds, now, 1, ROUND_BURST, ROUND_COST))
		return DROP_RATE;
	ov_time begin = now;
	bool asks = !(f->flags & PUNCH_ANSWER);
	if (asks) {
		a->meeting.round = f->round;
		say(n, now, p, PUNCH_ANSWER);
		link_spread(n, now, p);
		begin = open_first(n, now, p);
	}
	begin_probes(&a->meeting, begin, asks);
	burst_begin(n, now, p, f);
	peer_touch(n, p);
	return DROP_NONE;
}
