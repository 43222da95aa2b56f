/* Contacts heard on the LAN. A beacon is a hint, not a proof: whoever recorded one may send it
 * again from another address of the segment, so all it earns is a candidate (20 new ones a minute)
 * and, if it is news, a call. It never keeps anything alive: sessions end by
 * silence as ever (association.c), and the beacons that go on meanwhile do not call again. */
#include "overlay/association.h"
#include "overlay/call.h"
#include "overlay/pair.h"
#include "overlay/route.h"

#define NEWS_PER_MINUTE  20            /* design 5: new addresses to send to, per peer */
#define NEWS_BURST       60            /* in seconds of the limit below: 20 x 3 */
#define ASKED_ACTIVE     2             /* call.c: then a renewal of keys asks everywhere */
#define SAME_NEWS        (5 * OV_SEC)  /* the beacons at 0, 1 and 3 s, announce.h */
#define UNEXPECTED_EVERY 10            /* seconds, in the long run; three at once */
#define EARLY            (20 * OV_SEC) /* no rhythm is shorter: 30 s less 20 % */

bool node_pair(struct node *n, size_t i, struct node_pair *out)
{
	if (i >= n->peer_count)
		return false;
	struct peer *p = n->peers[i];
	if (p->contact.source == CONTACT_CLIENT)
		return false; /* a stranger that we relay for */
	bool had = p->has_pair_key;
	*out = (struct node_pair){ .key = pair_key(n, p), .we_are_lower = p->lower };
	out->computed = out->key && !had;
	return out->key;
}

static bool is_fresh(const struct peer *p, ov_time now, ov_time lasts)
{
	return p->lan_heard_at != OV_NEVER && now - p->lan_heard_at <= lasts;
}

/* There is a session, by another way perhaps: is this one better? News about a peer with keys from
 * before mean that it may have started anew, without them: new ones, then. */
static void refresh(struct node *n, ov_time now, struct peer *p, const struct ov_addr *a, bool news)
{
	struct dgram where = { .carrier = CARRIER_UDP, .remote = *a };
	struct path *path = route_add(n, now, p, &where);
	if (path && path->state == PATH_UNTRIED)
		path_challenge(path, now);
	peer_touch(n, p);
	struct association *s = p->association;
	if (!news || now - s->last_key_at < SAME_NEWS)
		return;
	call_start(n, now, p, false);
	if (s->call && !addr_equal(&s->active->remote, a)) {
		s->call->attempts = ASKED_ACTIVE; /* the same HS1 to all its addresses, now */
		s->call->next_at = now;
	}
}

/* moved: there is an address that its last HS1 did not go to. */
static void call_it(struct node *n, ov_time now, struct peer *p, bool news, bool moved)
{
	struct call *c = p->association ? p->association->call : NULL;
	if (!c)
		call_start(n, now, p, false);
	else if (news && now - c->started_at >= SAME_NEWS)
		call_hurry(n, now, p); /* its next HS1 may be 5 s away */
	else if (moved)
		c->next_at = ov_min(c->next_at, now); /* the same HS1, there too */
	peer_touch(n, p);
}

static bool is_waited_for(const struct peer *p, ov_time now)
{
	return peer_is_wanted(p, now) && !(p->association && p->association->call);
}

/* From an address that is new, or earlier than its rhythm from there has it: it started, or is in
 * another network. */
static bool is_unexpected(const struct candidate *c, ov_time now)
{
	return !c || (now > c->added_at && now - c->added_at < EARLY);
}

bool node_heard(struct node *n, ov_time now, const struct peer_id *id, const struct ov_addr *a,
	ov_time lasts)
{
	struct peer *p = node_peer(n, id);
	const struct candidate *known = p ? candidates_find(&p->candidates, a) : NULL;
	if (!p || node_is_overlay_addr(n, a) ||
		(!known && !limit_take(&p->hearings, now, 1, NEWS_BURST, 60 / NEWS_PER_MINUTE)))
		return false;
	bool news = !is_fresh(p, now, lasts) ||
		    (is_unexpected(known, now) &&
			    limit_take(&p->lan_news, now, 1, 30, UNEXPECTED_EVERY));
	p->lan_heard_at = now;
	bool moved = candidates_add(&p->candidates, now, a, SOURCE_LAN);
	bool reached = association_reaches(p->association, now);
	if (reached && (news || moved))
		refresh(n, now, p, a, news);
	else if (!reached && (news || moved || is_waited_for(p, now)))
		call_it(n, now, p, news, moved);
	return news;
}

void node_heard_again(struct node *n, ov_time now, ov_time lasts)
{
	for (size_t i = 0; i < n->peer_count; i++) {
		struct peer *p = n->peers[i];
		if (!is_fresh(p, now, lasts))
			continue;
		p->lan_heard_at = now - lasts - 1; /* there, the next beacon is the first */
		if (!association_reaches(p->association, now))
			call_it(n, now, p, true, false);
	}
}

void node_heard_expire(struct node *n, ov_time now, ov_time lasts)
{
	for (size_t i = 0; i < n->peer_count; i++) {
		struct peer *p = n->peers[i];
		if (p->lan_heard_at != OV_NEVER)
			candidates_expire(&p->candidates, now, SOURCE_LAN, lasts);
	}
}
