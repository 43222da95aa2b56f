/* Others at us: who may use this machine as facilitator and relay, and by which tags each lets
 * others in. State is bounded per client and in all; it ends with the client's session. */
#include "overlay/facilitator.h"

#include "overlay/association.h"
#include "overlay/frames.h"
#include "overlay/presence.h"
#include "overlay/route.h"

#include <stdlib.h>

#define LIFETIME_S      600
#define ASKS_PER_SECOND 20 /* a call opens six times in 10 s */
#define ASKS_BURST      128

bool facilitator_hears(struct peer *p, ov_time now)
{
	return limit_take(&p->asks, now, ASKS_PER_SECOND, ASKS_BURST, 1);
}

bool facilitator_admits(const struct node *n, const struct peer *p)
{
	if (p->contact.grants.bits & GRANT_RELAY)
		return true; /* any overlayd relays for whom its owner says so */
	return n->config.facilitator == FACILITATOR_OPEN || p->guest ||
	       (n->config.facilitator != FACILITATOR_OFF && contact_is_known(p->contact.source));
}

/* Watchers hear of it with the next tick. */
void client_free(struct node *n, struct peer *p)
{
	if (!p->client)
		return;
	for (uint8_t i = 0; i < REGISTER_PAGES_MAX; i++) {
		presence_tags_gone(n, 0, p, i);
		free(p->client->tags[i]);
	}
	presence_forget(n, p);
	n->contacts_here -= p->client->counted;
	free(p->client);
	p->client = NULL;
}

static bool same_tags(const struct client *c, const struct register_frame *f)
{
	if (c->counts[f->page] != f->count)
		return false;
	for (size_t i = 0; i < f->count; i++)
		if (c->tags[f->page][i] != load_le64(f->tags + i * RELAY_TAG_LEN))
			return false;
	return true;
}

static void forget_page(struct node *n, ov_time now, struct peer *p, uint8_t page)
{
	presence_tags_gone(n, now, p, page);
	free(p->client->tags[page]);
	p->client->tags[page] = NULL;
	p->client->counts[page] = 0;
}

static enum relay_reason keep_tags(
	struct node *n, ov_time now, struct peer *p, const struct register_frame *f)
{
	struct client *c = p->client;
	for (uint8_t i = f->pages; i < REGISTER_PAGES_MAX; i++) /* it has fewer contacts now */
		forget_page(n, now, p, i);
	if (same_tags(c, f))
		return RELAY_REASON_NONE;
	uint64_t *tags = f->count ? malloc(f->count * sizeof(*tags)) : NULL;
	if (f->count && !tags)
		return RELAY_REASON_QUOTA;
	for (size_t i = 0; i < f->count; i++)
		tags[i] = load_le64(f->tags + i * RELAY_TAG_LEN);
	forget_page(n, now, p, f->page);
	c->tags[f->page] = tags;
	c->counts[f->page] = (uint8_t)f->count;
	presence_tags_came(n, now, p, f->page);
	return RELAY_REASON_NONE;
}

/* Strangers are refused earlier, without an answer (node_client). */
static bool is_one_too_many(const struct node *n, const struct peer *p)
{
	bool here = p->client && p->client->here;
	return contact_is_known(p->contact.source) && !here &&
	       n->contacts_here >= n->config.max_clients;
}

static enum relay_reason take(
	struct node *n, ov_time now, struct peer *p, const struct register_frame *f)
{
	if (!facilitator_admits(n, p)) {
		n->counters.refused.denied++;
		return RELAY_REASON_DENIED;
	}
	if (is_one_too_many(n, p)) {
		n->counters.refused.clients++;
		return RELAY_REASON_QUOTA;
	}
	if (!p->client) {
		p->client = calloc(1, sizeof(*p->client));
		if (!p->client)
			return RELAY_REASON_QUOTA;
		p->client->owed.at = OV_NEVER;
	}
	p->client->expires_at = now + LIFETIME_S * OV_SEC;
	enum relay_reason why = keep_tags(n, now, p, f);
	presence_update(n, now, p);
	return why;
}

/* For clients that ask which NAT stands before them: of our other addresses that the world reaches,
 * one of the family that they reach us at, rather of the same interface. NULL: there is none. */
static const struct local_address *second_address(const struct node *n, const struct path *path)
{
	const struct local_address *found = NULL;
	if (n->config.second_port == 0 || path->carrier != CARRIER_UDP ||
		addr_scope(&path->local) != ADDR_GLOBAL)
		return NULL;
	for (size_t i = 0; i < n->local_count; i++) {
		const struct local_address *l = &n->locals[i];
		bool near = l->interface == path->interface;
		if (addr_scope(&l->addr) != ADDR_GLOBAL || addr_same_ip(&l->addr, &path->local) ||
			addr_is_v4(&l->addr) != addr_is_v4(&path->local))
			continue;
		if (near)
			return l;
		if (!found && l->has_default_route)
			found = l;
	}
	return found;
}

enum drop facilitator_on_register(
	struct node *n, ov_time now, struct peer *p, const struct register_frame *f)
{
	if (f->pages == 0 || f->pages > REGISTER_PAGES_MAX || f->page >= f->pages)
		return DROP_FORMAT;
	if (!facilitator_hears(p, now))
		return DROP_RATE;
	enum relay_reason why = take(n, now, p, f);
	const struct path *path = p->association ? p->association->active : NULL;
	const struct local_address *second = path ? second_address(n, path) : NULL;
	uint8_t plain[32];
	struct wr w = wr_init(plain, sizeof(plain));
	struct registered_frame answer = { .request = f->request,
		.page = f->page,
		.reason = (uint8_t)why,
		.lifetime_s = LIFETIME_S,
		.second_port = n->config.second_port };
	if (second && why == RELAY_REASON_NONE)
		answer.second_addr = second->addr;
	frame_put_registered(&w, &answer);
	(void)frames_send(n, now, p, &w, false);
	return why == RELAY_REASON_NONE ? DROP_NONE : DROP_GRANT;
}

/* From the second port, of this address or the other, to where the client's NAT is known to be open
 * for the first: does it let us in? One answer for each question, no larger than it, and only to an
 * address that answered a challenge. */
enum drop facilitator_on_filter_test(struct node *n, ov_time now, struct peer *p,
	const struct path *path, const struct filter_test *f)
{
	if (!p->client || n->config.second_port == 0)
		return DROP_TYPE;
	if (!facilitator_hears(p, now))
		return DROP_RATE;
	if (!path->validated || path->carrier != CARRIER_UDP)
		return DROP_NONE;
	uint8_t plain[16];
	struct wr w = wr_init(plain, sizeof(plain));
	frame_put_filter(&w, FRAME_FILTER_ANSWER, f);
	struct dgram where = route_where(path);
	if (f->from == FILTER_FROM_ADDRESS) {
		const struct local_address *second = second_address(n, path);
		if (!second)
			return DROP_TYPE;
		where.local = second->addr;
		if (second->interface != path->interface)
			where.interface = 0; /* as the kernel routes what comes from there */
	}
	where.local.port = n->config.second_port;
	return frames_send_to(n, now, p, &w, &where) ? DROP_NONE : DROP_CONGESTION;
}

/* One answer is owed at most, no longer than its question: nobody can be flooded by it. The address
 * is the client's probe and no way to it. */
enum drop facilitator_on_lifetime_test(struct node *n, ov_time now, struct peer *p,
	struct path *path, const struct lifetime_test *f)
{
	if (!p->client)
		return DROP_TYPE;
	if (f->delay_s > LIFETIME_DELAY_MAX_S || path->carrier != CARRIER_UDP)
		return DROP_FORMAT;
	path_withdraw(path);
	if (!facilitator_hears(p, now))
		return DROP_RATE;
	p->client->owed = (struct owed_answer){
		.at = now + f->delay_s * OV_SEC, .token = f->token, .where = route_where(path)
	};
	peer_touch(n, p);
	return DROP_NONE;
}

void facilitator_tick(struct node *n, ov_time now, struct peer *p)
{
	if (!p->client || now < p->client->owed.at)
		return;
	struct owed_answer *o = &p->client->owed;
	uint8_t plain[32];
	struct wr w = wr_init(plain, sizeof(plain));
	frame_put_lifetime_answer(
		&w, &(struct lifetime_answer){ .token = o->token, .observed = o->where.remote });
	(void)frames_send_to(n, now, p, &w, &o->where);
	o->at = OV_NEVER;
	struct path *path = route_find(p->association, &o->where);
	if (path && path->state == PATH_UNTRIED && path != p->association->active)
		route_remove(n, p, path);
}

ov_time facilitator_deadline(const struct peer *p)
{
	return p->client ? p->client->owed.at : OV_NEVER;
}

bool facilitator_lets_in(
	ov_time now, const struct peer *destination, const uint8_t tag[RELAY_TAG_LEN])
{
	const struct client *c = destination->client;
	uint64_t wanted = load_le64(tag);
	if (!c || now >= c->expires_at || !association_reaches(destination->association, now))
		return false;
	for (size_t page = 0; page < REGISTER_PAGES_MAX; page++)
		for (size_t i = 0; i < c->counts[page]; i++)
			if (c->tags[page][i] == wanted)
				return true;
	return false;
}
