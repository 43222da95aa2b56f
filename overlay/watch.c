/* Who of our contacts is at a facilitator now (docs/protocol.md 13.1). We name the tags that we
 * would show to be let in, in the order of the contacts; the facilitator answers with a bit for
 * each, and again when one changes. Who comes is called at once if it is wanted; a relay where a
 * peer is known to be absent is spared the attempts at it; and who was seen at a facilitator that
 * watches is polled rarely, since its coming will be told. */
#include "overlay/watch.h"

#include "overlay/association.h"
#include "overlay/call.h"
#include "overlay/frames.h"
#include "overlay/joining.h"
#include "overlay/reach.h"
#include "overlay/registration.h"

#define RETRY_FIRST OV_SEC
#define RETRY_LAST  6              /* doublings */
#define POLL        (300 * OV_SEC) /* of who is away, once nobody would tell: call.c */
#define JUST_CALLED OV_SEC         /* its next attempt is near */
#define SIGN_COST   20             /* 3 at once, then one in 20 s; whole tokens per second */
#define SIGN_BURST  (3 * SIGN_COST)

static bool is_watched(const struct peer *p, const struct peer *relay)
{
	return contact_is_known(p->contact.source) && p != relay;
}

static size_t watched_count(const struct node *n, const struct peer *relay)
{
	size_t count = 0;
	for (size_t i = 0; i < n->peer_count; i++)
		count += is_watched(n->peers[i], relay);
	return count;
}

/* Each contact has its place, also one whose key is no key, or that is not for facilitators to know
 * of: tag 0. */
static size_t tags_of_page(struct node *n, struct peer *relay, uint8_t page, uint8_t *tags)
{
	size_t first = (size_t)page * REGISTER_TAGS_MAX, at = 0, count = 0;
	for (size_t i = 0; i < n->peer_count && count < REGISTER_TAGS_MAX; i++) {
		struct peer *p = n->peers[i];
		if (!is_watched(p, relay) || at++ < first)
			continue;
		uint8_t *tag = tags + RELAY_TAG_LEN * count++;
		if (reach_is_lan_only(n, p) ||
			(!joining_tag(p, &relay->contact.id, tag) &&
				!registration_tag(n, p, &p->contact.id, &relay->contact.id, tag)))
			memset(tag, 0, RELAY_TAG_LEN);
	}
	return count;
}

void watch_begin(struct node *n, ov_time now, struct peer *relay)
{
	struct watch *w = &relay->registration->watch;
	size_t pages = (watched_count(n, relay) + REGISTER_TAGS_MAX - 1) / REGISTER_TAGS_MAX;
	*w = (struct watch){ .request = rng_u32(&n->rng), .next_at = now };
	w->pages = (uint8_t)(pages < 1                    ? 1
			     : pages > REGISTER_PAGES_MAX ? REGISTER_PAGES_MAX
							  : pages);
	peer_touch(n, relay);
}

void watch_lost(struct node *n, ov_time now, struct peer *relay)
{
	struct registration *r = relay->registration;
	uint8_t others = (uint8_t) ~(1u << r->number);
	r->watch = (struct watch){ .next_at = OV_NEVER };
	for (size_t i = 0; i < n->peer_count; i++) {
		struct peer *p = n->peers[i];
		p->here_at &= others;
		p->absent_at &= others;
		if (p->retry_at == OV_NEVER || p->retry_at - now < POLL || watch_waits_for(p))
			continue;
		p->retry_at = now + rng_jitter(&n->rng, POLL, 20);
		peer_touch(n, p);
	}
}

void watch_forget(struct node *n, ov_time now, struct peer *relay)
{
	uint8_t others = (uint8_t) ~(1u << relay->registration->number);
	for (size_t i = 0; i < n->peer_count; i++)
		n->peers[i]->seen_at &= others;
	watch_lost(n, now, relay);
}

void watch_tick(struct node *n, ov_time now, struct peer *relay)
{
	struct watch *w = &relay->registration->watch;
	if (now < w->next_at)
		return;
	uint8_t tags[REGISTER_TAGS_MAX * RELAY_TAG_LEN], plain[sizeof(tags) + 16];
	for (uint8_t page = 0; page < w->pages; page++) {
		if (w->done & 1u << page)
			continue;
		struct register_frame f = {
			.request = w->request, .page = page, .pages = w->pages, .tags = tags
		};
		f.count = tags_of_page(n, relay, page, tags);
		struct wr out = wr_init(plain, sizeof(plain));
		frame_put_register(&out, FRAME_WATCH, &f);
		(void)frames_send(n, now, relay, &out, true);
	}
	w->next_at = now + (RETRY_FIRST << w->attempts);
	if (w->attempts < RETRY_LAST)
		w->attempts++;
}

bool watch_waits_for(const struct peer *p)
{
	return p->here_at == 0 && (p->seen_at & p->absent_at) != 0;
}

bool watch_says_absent(const struct peer *relay, const struct peer *p)
{
	return p->absent_at & 1u << relay->registration->number;
}

/* It is there, and we want it: as if it had called. */
static void sign_of_life(struct node *n, ov_time now, struct peer *p, bool came)
{
	if (!peer_is_wanted(p, now) || association_reaches(p->association, now))
		return;
	const struct call *c = p->association ? p->association->call : NULL;
	bool calling = c && !c->once;
	if (calling && (!came || now - c->started_at < JUST_CALLED))
		return;
	if (!limit_take(&p->signs, now, 1, SIGN_BURST, SIGN_COST))
		return; /* a facilitator may say it as often as it likes */
	p->away_step = 0;
	if (calling)
		call_hurry(n, now, p);
	else
		call_start(n, now, p, false);
}

static void note(struct node *n, ov_time now, struct peer *p, uint8_t bit, bool here)
{
	bool came = here && !(p->here_at & bit);
	if (here) {
		p->here_at |= bit;
		p->seen_at |= bit;
		p->absent_at &= (uint8_t)~bit;
		sign_of_life(n, now, p, came);
	} else {
		p->here_at &= (uint8_t)~bit;
		p->absent_at |= bit;
	}
}

static void note_page(
	struct node *n, ov_time now, struct peer *relay, const struct presence_frame *f)
{
	uint8_t bit = (uint8_t)(1u << relay->registration->number);
	size_t first = (size_t)f->page * REGISTER_TAGS_MAX, at = 0, k = 0;
	for (size_t i = 0; i < n->peer_count && k < f->count; i++) {
		struct peer *p = n->peers[i];
		if (!is_watched(p, relay) || at++ < first)
			continue;
		note(n, now, p, bit, f->here[k / 8] >> k % 8 & 1);
		k++;
	}
}

static void acknowledge(
	struct node *n, ov_time now, struct peer *relay, const struct presence_frame *f)
{
	uint8_t plain[16];
	struct wr w = wr_init(plain, sizeof(plain));
	frame_put_presence_seen(
		&w, &(struct presence_seen){ .request = f->request, .sequence = f->sequence });
	(void)frames_send(n, now, relay, &w, false);
}

enum drop watch_on_presence(
	struct node *n, ov_time now, struct peer *relay, const struct presence_frame *f)
{
	struct watch *w = relay->registration ? &relay->registration->watch : NULL;
	if (!w || w->pages == 0 || f->request != w->request || f->page >= w->pages)
		return DROP_TOKEN;
	uint8_t bit = (uint8_t)(1u << f->page);
	if (f->reason != RELAY_REASON_NONE) {
		watch_lost(n, now, relay);
		registration_call_waiting(n, now, relay, true);
		return DROP_NONE;
	}
	if (f->sequence != 0)
		acknowledge(n, now, relay, f);
	bool old = f->sequence != 0 ? f->sequence <= w->sequence[f->page] : w->done & bit;
	if (old)
		return DROP_NONE; /* overtaken by a later word */
	w->sequence[f->page] = f->sequence;
	w->done |= bit;
	if (w->done == (1u << w->pages) - 1)
		w->next_at = OV_NEVER;
	note_page(n, now, relay, f);
	return DROP_NONE;
}
