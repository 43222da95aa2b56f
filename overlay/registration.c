/* Our place at a facilitator: it is called always, kept warm, and told by which tags others may
 * reach us (docs/protocol.md 13.1). A tag is a hash of what we share with one contact; the
 * facilitator learns neither who may nor how many know us elsewhere, since tags differ from one
 * facilitator to the next. REGISTER goes in pages, each until it is acknowledged: 1, 2, 4 ... 64 s.
 */
#include "overlay/registration.h"

#include "overlay/association.h"
#include "overlay/call.h"
#include "overlay/dial.h"
#include "overlay/frames.h"
#include "overlay/netcheck.h"
#include "overlay/pair.h"
#include "overlay/reach.h"
#include "overlay/route.h"
#include "overlay/watch.h"

#include <sodium.h>
#include <stdlib.h>

#define RETRY_FIRST   OV_SEC
#define RETRY_LAST    6 /* doublings */
#define CHECK_EVERY   (1500 * OV_MS)
#define CHECK_FOR     (30 * OV_SEC) /* after the last relayed datagram */
#define OBSERVED_EACH 3 /* of our addresses, by one facilitator: two ports of it, and IPv6 */
#define HASTE_COST    5 /* what hurries because the relay is back: four at once, one per 5 s */
#define HASTE_BURST   20
#define RETRY_FULL    (50 * OV_MS) /* there was no room to send */
#define RETRY_PATH    OV_SEC /* its address has not answered: should nobody tell that it did */

void registration_free(struct peer *p)
{
	if (!p->registration)
		return;
	contact_fini(&p->registration->written);
	sodium_memzero(p->registration, sizeof(*p->registration)); /* its pass */
	free(p->registration);
	p->registration = NULL;
}

static void tag(const uint8_t key[32], const struct peer_id *destination,
	const struct peer_id *facilitator, uint8_t out[RELAY_TAG_LEN])
{
	uint8_t hash[32];
	pair_hash("OVL relay tag", key, destination, facilitator, hash);
	memcpy(out, hash, RELAY_TAG_LEN);
}

bool registration_tag(struct node *n, struct peer *pair, const struct peer_id *destination,
	const struct peer_id *facilitator, uint8_t out[RELAY_TAG_LEN])
{
	const uint8_t *key = pair_key(n, pair);
	if (key)
		tag(key, destination, facilitator, out);
	return key;
}

void registration_invite_tag(const uint8_t hash[HS1_INVITE_HASH_LEN],
	const struct peer_id *destination, const struct peer_id *facilitator,
	uint8_t out[RELAY_TAG_LEN])
{
	tag(hash, destination, facilitator, out);
}

static bool is_reachable_for(const struct node *n, const struct peer *p)
{
	return contact_is_known(p->contact.source) && !reach_is_lan_only(n, p);
}

/* The tags of one page: open invites, then contacts in the order of the node. */
static size_t tags_of_page(struct node *n, struct peer *facilitator, uint8_t page, uint8_t *tags)
{
	size_t first = (size_t)page * REGISTER_TAGS_MAX, at = 0, count = 0;
	for (size_t i = 0; i < n->invite_count && count < REGISTER_TAGS_MAX; i++)
		if (at++ >= first)
			registration_invite_tag(n->invites[i], &n->self->id,
				&facilitator->contact.id, tags + RELAY_TAG_LEN * count++);
	for (size_t i = 0; i < n->peer_count && count < REGISTER_TAGS_MAX; i++) {
		struct peer *p = n->peers[i];
		if (!is_reachable_for(n, p) || at++ < first)
			continue;
		count += registration_tag(
			n, p, &n->self->id, &facilitator->contact.id, tags + count * RELAY_TAG_LEN);
	}
	return count;
}

static uint8_t page_count(const struct node *n)
{
	size_t contacts = n->invite_count;
	for (size_t i = 0; i < n->peer_count; i++)
		contacts += is_reachable_for(n, n->peers[i]);
	size_t pages = (contacts + REGISTER_TAGS_MAX - 1) / REGISTER_TAGS_MAX;
	return (uint8_t)(pages < 1 ? 1 : pages > REGISTER_PAGES_MAX ? REGISTER_PAGES_MAX : pages);
}

static bool may_be_told(const struct peer *p)
{
	return p->association->active && p->association->active->validated;
}

static void say(struct node *n, ov_time now, struct peer *p)
{
	struct registration *r = p->registration;
	bool sent = false;
	if (!may_be_told(p)) { /* no tags are made for nobody; registration_path_valid wakes us */
		r->next_at = now + RETRY_PATH;
		return;
	}
	uint8_t tags[REGISTER_TAGS_MAX * RELAY_TAG_LEN], plain[sizeof(tags) + 16];
	for (uint8_t page = 0; page < r->pages; page++) {
		if (r->done & 1u << page)
			continue;
		struct register_frame f = {
			.request = r->request, .page = page, .pages = r->pages, .tags = tags
		};
		f.count = tags_of_page(n, p, page, tags);
		struct wr w = wr_init(plain, sizeof(plain));
		frame_put_register(&w, FRAME_REGISTER, &f);
		sent |= frames_send(n, now, p, &w, true);
	}
	if (!sent) {
		r->next_at = now + RETRY_FULL;
		return;
	}
	r->next_at = now + (RETRY_FIRST << (r->attempts > RETRY_LAST ? RETRY_LAST : r->attempts));
	r->attempts = (uint8_t)(r->attempts < UINT8_MAX ? r->attempts + 1 : UINT8_MAX);
}

/* A new request: what was acknowledged before counts no more, but holds until its lifetime ends. */
static void begin(struct node *n, ov_time now, struct registration *r)
{
	r->request = rng_u32(&n->rng);
	r->pages = page_count(n);
	r->done = 0;
	r->attempts = 0;
	r->next_at = now;
}

static void lose(struct node *n, ov_time now, struct peer *p)
{
	p->registration->registered = false;
	watch_lost(n, now, p);
}

void registration_keys_came(struct node *n, ov_time now, struct peer *p, bool restarted)
{
	struct registration *r = p->registration;
	if (!r || (!restarted && r->next_at != OV_NEVER))
		return;
	lose(n, now, p);
	begin(n, now, r);
	peer_touch(n, p);
}

void registration_renew_all(struct node *n, ov_time now)
{
	for (size_t i = 0; i < n->facilitator_count; i++) {
		struct registration *r = n->facilitators[i]->registration;
		begin(n, now, r);
		watch_lost(n, now, n->facilitators[i]); /* its bits are of another list */
		peer_touch(n, n->facilitators[i]);
	}
}

void registration_renew_soon(struct node *n)
{
	for (size_t i = 0; i < n->facilitator_count; i++) {
		struct registration *r = n->facilitators[i]->registration;
		if (r->next_at != OV_NEVER)
			begin(n, 0, r); /* no page that was acknowledged is of the new list */
		r->watch = (struct watch){ .next_at = OV_NEVER };
		peer_touch(n, n->facilitators[i]);
	}
}

/* A relay that restarted has forgotten us, and with it everybody else: whoever only listens would
 * notice with the next keepalive. */
static void check(ov_time now, struct peer *p)
{
	struct registration *r = p->registration;
	bool silent = r->heard_at == OV_NEVER || now - r->heard_at >= CHECK_EVERY;
	if (silent && p->association && p->association->active)
		path_ask(p->association->active, now);
	r->check_at = now - r->relayed_at < CHECK_FOR ? now + CHECK_EVERY : OV_NEVER;
}

void registration_tick(struct node *n, ov_time now, struct peer *p)
{
	struct registration *r = p->registration;
	if (r && now >= r->check_at)
		check(now, p);
	if (r) {
		netcheck_tick(n, now, p);
		watch_tick(n, now, p);
	}
	if (!r || now < r->next_at)
		return;
	if (!association_reaches(p->association, now)) {
		r->next_at = OV_NEVER; /* registration_keys_came begins anew */
		lose(n, now, p);
		return;
	}
	if (r->registered && r->done)
		begin(n, now, r);
	say(n, now, p);
}

/* A facilitator may say what it likes: it must not be the only one heard. How it sees us by way of
 * a VPN is no place to be met: that may end, and belongs to somebody else's network. */
static bool is_news(
	const struct node *n, const struct path *path, const struct ov_addr *told, size_t count)
{
	enum addr_scope scope = addr_scope(&path->observed);
	if (!route_is_from_own(n, path) || path->carrier != CARRIER_UDP ||
		path->state != PATH_VALID || (scope != ADDR_PRIVATE && scope != ADDR_GLOBAL))
		return false;
	for (size_t k = 0; k < count; k++)
		if (addr_equal(&told[k], &path->observed))
			return false;
	return true;
}

size_t registration_observed(const struct node *n, struct ov_addr *out, size_t max)
{
	size_t count = 0;
	for (size_t i = 0; i < n->facilitator_count; i++) {
		const struct association *a = n->facilitators[i]->association;
		size_t end = count + OBSERVED_EACH < max ? count + OBSERVED_EACH : max;
		for (size_t j = 0; a && j < a->path_count && count < end; j++)
			if (is_news(n, a->paths[j], out, count))
				out[count++] = a->paths[j]->observed;
	}
	return count;
}

void registration_relayed(struct node *n, ov_time now, struct peer *relay, bool came)
{
	struct registration *r = relay->registration;
	if (!r)
		return;
	r->relayed_at = now;
	if (came)
		r->heard_at = now;
	if (r->check_at != OV_NEVER)
		return;
	r->check_at = now + CHECK_EVERY;
	peer_touch(n, relay);
}

ov_time registration_deadline(const struct peer *p)
{
	const struct registration *r = p->registration;
	if (!r)
		return OV_NEVER;
	ov_time at = ov_min(r->next_at, r->watch.next_at);
	return ov_min(at, ov_min(r->netcheck.next_at, r->check_at));
}

static bool waits(const struct peer *p, ov_time now)
{
	const struct association *a = p->association;
	return !association_reaches(a, now) || a->active->state != PATH_VALID ||
	       path_is_doubtful(a->active, now);
}

/* A call that began while the relay could not be reached went nowhere, and so did what a relay that
 * restarted was given. A relay that comes and goes is no reason to call all the time. */
void registration_call_waiting(struct node *n, ov_time now, struct peer *relay, bool away_too)
{
	if (!limit_take(&relay->registration->calls, now, 1, HASTE_BURST, HASTE_COST))
		return;
	for (size_t i = 0; i < n->peer_count; i++) {
		struct peer *p = n->peers[i];
		if (p == relay || !peer_is_wanted(p, now) || !waits(p, now) ||
			(p->away && !away_too))
			continue;
		if (p->association && p->association->call)
			call_hurry(n, now, p);
		else
			call_start(n, now, p, false);
	}
}

void registration_path_valid(struct node *n, ov_time now, struct peer *p)
{
	struct registration *r = p->registration;
	registration_keys_came(n, now, p, false);
	if (r && r->attempts == 0 && r->done == 0) { /* it was only waited for */
		r->next_at = now;
		peer_touch(n, p);
	}
	if (r && r->registered) {
		registration_call_waiting(n, now, p, false);
		if (r->watch.pages == 0)
			watch_begin(n, now, p);
	} else if (r && r->attempts > 0 && limit_take(&r->calls, now, 1, HASTE_BURST, HASTE_COST)) {
		begin(n, now, r); /* it could not answer, or was asked ever more rarely */
		peer_touch(n, p);
	}
}

enum drop registration_on_answer(
	struct node *n, ov_time now, struct peer *p, const struct registered_frame *f)
{
	struct registration *r = p->registration;
	if (!r || f->request != r->request || f->page >= r->pages)
		return DROP_TOKEN;
	r->refused = f->reason;
	if (f->reason != RELAY_REASON_NONE)
		return DROP_NONE; /* asked again by the schedule: it may change its mind */
	r->done |= (uint8_t)(1u << f->page);
	if (r->done != (1u << r->pages) - 1)
		return DROP_NONE;
	bool first = !r->registered;
	if (first)
		netcheck_begin(n, now, p, f->second_port, f->second_addr);
	if (first)
		dial_forget_foreign(n);
	r->registered = true;
	r->attempts = 0;
	r->next_at = now + (ov_time)(f->lifetime_s < 60 ? 60 : f->lifetime_s) * OV_SEC / 2;
	if (first) /* who is away is called if it is there: watch.c */
		registration_call_waiting(n, now, p, false);
	if (r->watch.pages == 0)
		watch_begin(n, now, p);
	peer_touch(n, p);
	return DROP_NONE;
}
