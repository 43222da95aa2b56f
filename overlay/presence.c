/* Clients that wait for each other, at us as facilitator (docs/protocol.md 13.1). A client watches
 * the tags that it would show to be let in, so it learns only of those who registered that tag: who
 * let it in. Two tables lead from a tag to the client that registered it and to the one that
 * watches it; to come or go costs two look-ups a tag.
 *
 * State is told, not events: of each page that changed the bits of all its tags, until they are
 * acknowledged. What happens meanwhile is in the next ones, so a client costs one packet at a time,
 * however many come and go, and no loss is for ever. A restart of ours, which brings all of them at
 * once, is spread: two pushes at once for a client, then one in 4 s, and 2,000 a second for all. */
#include "overlay/presence.h"

#include "overlay/association.h"
#include "overlay/facilitator.h"
#include "overlay/frames.h"

#include <stdlib.h>

#define GATHER            (100 * OV_MS) /* what comes and goes together is told together */
#define PUSH_COST         4             /* one in 4 s; limit.h counts whole tokens per second */
#define PUSH_BURST        (2 * PUSH_COST)
#define PUSHES_PER_SECOND 2000
#define PUSHES_BURST      500
#define PUSH_LATER        (2 * OV_SEC)
#define REPEAT_FIRST      OV_SEC
#define REPEAT_LAST       6 /* doublings */

/* A tag means something to two peers only; should both claim it, the last word counts. */
static int index_put(struct table *t, uint64_t tag, struct peer *p)
{
	if (tag == 0)
		return OV_OK; /* of a contact whose key is no key */
	(void)table_remove(t, tag);
	return table_put(t, tag, p);
}

static void index_remove(struct table *t, uint64_t tag, const struct peer *p)
{
	if (table_find(t, tag) == p)
		(void)table_remove(t, tag);
}

static void due(struct node *n, ov_time now, struct peer *watcher)
{
	struct watching *wt = watcher->client->watching;
	ov_time at = now + rng_jitter(&n->rng, GATHER, 50);
	if (wt->push_at <= at)
		return;
	wt->push_at = at;
	peer_touch(n, watcher);
}

static struct peer *watcher_of(const struct node *n, const struct peer *p, uint64_t tag)
{
	struct peer *w = table_find(n->by_watch, tag);
	return w != p ? w : NULL;
}

/* ---- who is here ---- */

void presence_tags_gone(struct node *n, ov_time now, struct peer *p, uint8_t page)
{
	const struct client *c = p->client;
	for (size_t i = 0; i < c->counts[page]; i++) {
		struct peer *w = watcher_of(n, p, c->tags[page][i]);
		index_remove(n->by_tag, c->tags[page][i], p);
		if (w && c->here)
			due(n, now, w);
	}
}

/* A full table refuses new watchers, who would wait in vain; calls need no table. */
void presence_tags_came(struct node *n, ov_time now, struct peer *p, uint8_t page)
{
	const struct client *c = p->client;
	for (size_t i = 0; i < c->counts[page]; i++) {
		struct peer *w = watcher_of(n, p, c->tags[page][i]);
		(void)index_put(n->by_tag, c->tags[page][i], p);
		if (w && c->here)
			due(n, now, w);
	}
}

/* Strangers are counted when they are made. */
static void count_contact(struct node *n, const struct peer *p)
{
	struct client *c = p->client;
	bool counts = c->here && contact_is_known(p->contact.source);
	if (counts != c->counted)
		n->contacts_here += counts ? 1 : (size_t)-1;
	c->counted = counts;
}

void presence_update(struct node *n, ov_time now, struct peer *p)
{
	struct client *c = p->client;
	bool here = now < c->expires_at && association_reaches(p->association, now);
	if (here == c->here)
		return;
	c->here = here;
	count_contact(n, p);
	for (uint8_t page = 0; page < REGISTER_PAGES_MAX; page++)
		for (size_t i = 0; i < c->counts[page]; i++) {
			struct peer *w = watcher_of(n, p, c->tags[page][i]);
			if (w)
				due(n, now, w);
		}
	if (here && c->watching)
		due(n, now, p);
}

static void untell(struct watching *wt, uint64_t tag)
{
	for (size_t page = 0; page < REGISTER_PAGES_MAX; page++) {
		struct watched *g = wt->pages[page];
		for (size_t i = 0; g && i < g->count; i++)
			if (g->tags[i] == tag)
				g->told[i / 8] &= (uint8_t) ~(1u << i % 8);
	}
}

/* It was here all the time, but who waits for it has not reached it: told once more. */
void presence_restarted(struct node *n, ov_time now, struct peer *p)
{
	const struct client *c = p->client;
	for (uint8_t page = 0; page < REGISTER_PAGES_MAX; page++)
		for (size_t i = 0; i < c->counts[page]; i++) {
			struct peer *w = watcher_of(n, p, c->tags[page][i]);
			if (!w)
				continue;
			untell(w->client->watching, c->tags[page][i]);
			due(n, now, w);
		}
}

/* ---- who waits ---- */

static void who_is_here(const struct node *n, const struct watched *g, uint8_t out[PRESENCE_BYTES])
{
	memset(out, 0, PRESENCE_BYTES);
	for (size_t i = 0; i < g->count; i++) {
		const struct peer *q = table_find(n->by_tag, g->tags[i]);
		if (q && q->client->here)
			out[i / 8] |= (uint8_t)(1u << i % 8);
	}
}

static bool push_page(struct node *n, ov_time now, struct peer *p, uint8_t page)
{
	struct watching *wt = p->client->watching;
	struct watched *g = wt->pages[page];
	struct presence_frame f = { .request = wt->request, .page = page, .count = g->count };
	who_is_here(n, g, f.here);
	if (g->sequence == 0 && memcmp(f.here, g->told, sizeof(f.here)) == 0)
		return false;
	do
		f.sequence = ++wt->sequence;
	while (f.sequence == 0);
	g->sequence = f.sequence;
	memcpy(g->sent, f.here, sizeof(f.here));
	uint8_t plain[64];
	struct wr w = wr_init(plain, sizeof(plain));
	frame_put_presence(&w, &f);
	(void)frames_send(n, now, p, &w, true); /* else with the repetition */
	return true;
}

void presence_tick(struct node *n, ov_time now, struct peer *p)
{
	struct watching *wt = p->client ? p->client->watching : NULL;
	if (!wt || now < wt->push_at)
		return;
	wt->push_at = OV_NEVER;
	if (!p->client->here)
		return; /* presence_update comes back to it */
	if (!limit_take(&wt->pushes, now, 1, PUSH_BURST, PUSH_COST) ||
		!limit_take(&n->pushes, now, PUSHES_PER_SECOND, PUSHES_BURST, 1)) {
		wt->push_at = now + rng_jitter(&n->rng, PUSH_LATER, 50);
		return;
	}
	bool any = false;
	for (uint8_t page = 0; page < REGISTER_PAGES_MAX; page++)
		any |= wt->pages[page] && push_page(n, now, p, page);
	if (!any)
		return;
	wt->push_at = now + (REPEAT_FIRST << wt->attempts);
	if (wt->attempts < REPEAT_LAST)
		wt->attempts++;
}

ov_time presence_deadline(const struct peer *p)
{
	const struct client *c = p->client;
	ov_time push = c && c->watching ? c->watching->push_at : OV_NEVER;
	return c && c->here ? ov_min(push, c->expires_at) : push;
}

static void page_free(struct node *n, struct peer *p, uint8_t page)
{
	struct watched *g = p->client->watching->pages[page];
	for (size_t i = 0; g && i < g->count; i++)
		index_remove(n->by_watch, g->tags[i], p);
	free(g);
	p->client->watching->pages[page] = NULL;
}

void presence_forget(struct node *n, struct peer *p)
{
	if (!p->client->watching)
		return;
	for (uint8_t page = 0; page < REGISTER_PAGES_MAX; page++)
		page_free(n, p, page);
	free(p->client->watching);
	p->client->watching = NULL;
}

static enum relay_reason keep_page(struct node *n, struct peer *p, const struct register_frame *f)
{
	struct watched *g = calloc(1, sizeof(*g) + f->count * sizeof(g->tags[0]));
	if (!g)
		return RELAY_REASON_QUOTA;
	page_free(n, p, f->page);
	p->client->watching->pages[f->page] = g;
	for (size_t i = 0; i < f->count; i++) {
		g->tags[i] = load_le64(f->tags + i * RELAY_TAG_LEN);
		if (index_put(n->by_watch, g->tags[i], p) == OV_OK) {
			g->count++;
			continue;
		}
		page_free(n, p, f->page);
		return RELAY_REASON_QUOTA;
	}
	return RELAY_REASON_NONE;
}

static enum relay_reason watch(struct node *n, struct peer *p, const struct register_frame *f)
{
	if (!p->client || !p->client->here)
		return RELAY_REASON_DENIED;
	if (table_count(n->by_tag) >= node_tags_max(&n->config))
		return RELAY_REASON_QUOTA; /* it would wait in vain for who has no place there */
	if (p->client->watching && p->client->watching->request != f->request)
		presence_forget(n, p); /* of another list: no page of it is valid */
	if (!p->client->watching) {
		p->client->watching = calloc(1, sizeof(*p->client->watching));
		if (!p->client->watching)
			return RELAY_REASON_QUOTA;
		p->client->watching->push_at = OV_NEVER;
		p->client->watching->request = f->request;
	}
	return keep_page(n, p, f);
}

enum drop presence_on_watch(
	struct node *n, ov_time now, struct peer *p, const struct register_frame *f)
{
	if (f->pages == 0 || f->pages > REGISTER_PAGES_MAX || f->page >= f->pages)
		return DROP_FORMAT;
	if (!facilitator_hears(p, now))
		return DROP_RATE;
	struct presence_frame answer = { .request = f->request, .page = f->page };
	answer.reason = (uint8_t)watch(n, p, f);
	if (answer.reason == RELAY_REASON_NONE) {
		struct watched *g = p->client->watching->pages[f->page];
		who_is_here(n, g, g->told);
		answer.count = g->count;
		memcpy(answer.here, g->told, sizeof(answer.here));
	}
	uint8_t plain[64];
	struct wr w = wr_init(plain, sizeof(plain));
	frame_put_presence(&w, &answer);
	(void)frames_send(n, now, p, &w, false);
	n->counters.refused.denied += answer.reason == RELAY_REASON_DENIED;
	n->counters.refused.memory += answer.reason == RELAY_REASON_QUOTA;
	return answer.reason == RELAY_REASON_NONE ? DROP_NONE : DROP_GRANT;
}

enum drop presence_on_seen(
	struct node *n, ov_time now, struct peer *p, const struct presence_seen *f)
{
	(void)n;
	(void)now;
	struct watching *wt = p->client ? p->client->watching : NULL;
	if (!wt || wt->request != f->request || f->sequence == 0)
		return DROP_TOKEN;
	for (size_t page = 0; page < REGISTER_PAGES_MAX; page++) {
		struct watched *g = wt->pages[page];
		if (!g || g->sequence != f->sequence)
			continue;
		memcpy(g->told, g->sent, sizeof(g->told));
		g->sequence = 0;
		wt->attempts = 0;
		return DROP_NONE;
	}
	return DROP_TOKEN; /* another was sent since */
}
