/* Facilitators that contacts offer each other (docs/protocol.md 13.7). Here, because vouchers need
 * the calendar, and what is taken goes to the disk: two who met by an invite share its facilitator
 * for a day, and what they then tell each other keeps them together after it.
 *
 * Few are taken, and only from contacts: each costs a keepalive, and learns our address. What the
 * calendar is against waits until a clock is set right. */
#include "overlay/api_impl.h"
#include "overlay/config.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#define LIFETIME_S (30 * INT64_C(86400))
#define LATEST_S   (LIFETIME_S + 86400) /* of the giver's clock, against ours */
#define NEWS_S     INT64_C(86400)
#define CENTURY_S  (100 * 366 * INT64_C(86400)) /* more is no wrong clock, but nonsense */
#define LATE_S     (7 * INT64_C(86400))         /* before the end, another's word does as well */

static const struct ov_addr where_it_knows; /* any */

static struct api_offered *find(struct api *a, const struct peer_id *facilitator)
{
	for (size_t i = 0; i < a->offered_count; i++)
		if (peer_id_equal(&a->offered[i].facilitator, facilitator))
			return &a->offered[i];
	return NULL;
}

/* The node knows others as well: a removed contact may be a facilitator, or a client of ours. */
static bool is_contact(const struct api *a, const struct peer_id *id)
{
	const struct contact *c = node_contact(a->cfg.node, id);
	return c && contact_is_known(c->source);
}

/* ---- ours: of those that serve us by their own choice, a guest cannot vouch ---- */

static bool add(struct api *a, ov_time now, const struct peer_id *to,
	const struct peer_id *facilitator, const struct ov_addr *endpoint, struct relay_offer *out)
{
	uint8_t secret[VOUCHER_SECRET_LEN];
	if (!node_offer_secret(a->cfg.node, &a->cfg.self, to, facilitator, secret))
		return false;
	uint64_t expires_s = (uint64_t)(api_wall_s(a, now) + LIFETIME_S);
	struct voucher v = voucher_draft(&a->cfg.self, facilitator, secret, expires_s);
	voucher_sign(&v, a->cfg.identity);
	sodium_memzero(secret, sizeof(secret));
	*out = (struct relay_offer){
		.facilitator = *facilitator, .endpoint = *endpoint, .expires_s = expires_s
	};
	memcpy(out->signature, v.signature, sizeof(out->signature));
	return true;
}

void api_offer_make(struct api *a, ov_time now, const struct peer_id *to)
{
	const struct contact *c = node_contact(a->cfg.node, to);
	if (!c || !contact_is_known(c->source))
		return;
	struct relay_offer offers[NODE_OFFERS_MAX];
	struct facilitator_info found[CONFIG_FACILITATORS_MAX];
	size_t count = 0,
	       serving = node_facilitators(a->cfg.node, now, found, CONFIG_FACILITATORS_MAX);
	if (c->grants.bits & GRANT_RELAY)
		count += add(a, now, to, &a->cfg.self, &where_it_knows, &offers[count]);
	for (size_t i = 0; i < serving && count < NODE_OFFERS_MAX; i++)
		if (found[i].registered && addr_scope(&found[i].endpoint) == ADDR_GLOBAL &&
			!found[i].by_voucher && !peer_id_equal(&found[i].id, to) &&
			!find(a, &found[i].id))
			count += add(a, now, to, &found[i].id, &found[i].endpoint, &offers[count]);
	node_offer(a->cfg.node, now, to, offers, count);
}

void api_offer_again(struct api *a, ov_time now)
{
	const struct contact *c;
	struct peer_info info;
	for (size_t i = 0; (c = node_contact_at(a->cfg.node, i)) != NULL; i++)
		if (node_peer_info(a->cfg.node, now, &c->id, &info) && info.state == PEER_UP)
			api_offer_make(a, now, &c->id);
}

/* ---- theirs ---- */

/* Is it one of ours; and does it serve us? */
static bool is_ours(const struct api *a, ov_time now, const struct peer_id *id, bool *serves)
{
	struct facilitator_info found[CONFIG_FACILITATORS_MAX];
	size_t count = node_facilitators(a->cfg.node, now, found, CONFIG_FACILITATORS_MAX);
	for (size_t i = 0; i < count; i++)
		if (peer_id_equal(&found[i].id, id)) {
			*serves = found[i].registered;
			return true;
		}
	*serves = false;
	return false;
}

static void drop(struct api *a, ov_time now, size_t at)
{
	struct store_request r = { .op = STORE_FACILITATOR_REMOVE,
		.contact = { .id = a->offered[at].facilitator } };
	node_facilitator_remove(a->cfg.node, now, &a->offered[at].facilitator);
	a->offered[at] = a->offered[--a->offered_count];
	(void)a->cfg.store_post_take(a->cfg.context, &r); /* else when it expires */
}

/* The first to expire of those that do not serve us. False: all do. */
static bool make_room(struct api *a, ov_time now)
{
	const struct api_offered *worst = NULL;
	for (size_t i = 0; i < a->offered_count; i++) {
		const struct api_offered *o = &a->offered[i];
		bool serves;
		(void)is_ours(a, now, &o->facilitator, &serves);
		if (!serves && (!worst || o->expires_s < worst->expires_s))
			worst = o;
	}
	if (worst)
		drop(a, now, (size_t)(worst - a->offered));
	return worst;
}

bool api_offer_use(struct api *a, ov_time now, const struct ov_addr *endpoint,
	const struct voucher *v, const uint8_t token[VOUCHER_TOKEN_LEN])
{
	struct contact c = { .id = v->facilitator, .name = "facilitator-of-contact" };
	char text[ADDR_TEXT_MAX];
	uint8_t pass[VOUCHER_PASS_LEN];
	bool serves;
	struct api_offered *known = find(a, &v->facilitator);
	bool written = is_ours(a, now, &c.id, &serves) && !known;
	if (peer_id_equal(&c.id, &a->cfg.self) || (written && serves) ||
		(known && (int64_t)v->expires_s <= known->expires_s) ||
		(!known && !written && a->offered_count == API_OFFERED_MAX && !make_room(a, now)))
		return false;
	voucher_pass(v, token, pass);
	bool used = (addr_is_any(endpoint) ||
			    contact_add_endpoint(&c, addr_format(endpoint, text)) == OV_OK) &&
		    node_facilitator_put(a->cfg.node, now, &c, pass) == OV_OK;
	sodium_memzero(pass, sizeof(pass));
	contact_fini(&c);
	if (!used)
		return false; /* OV_EFULL: others serve us */
	if (written)
		return true; /* the configuration has it, and by this voucher it may let us in */
	if (!known)
		known = &a->offered[a->offered_count++];
	*known = (struct api_offered){ .facilitator = v->facilitator,
		.giver = v->inviter,
		.expires_s = (int64_t)v->expires_s };
	return true;
}

static void keep(struct api *a, const struct ov_addr *endpoint, const struct voucher *v,
	const uint8_t token[VOUCHER_TOKEN_LEN])
{
	struct store_request r = { .op = STORE_FACILITATOR_PUT,
		.facilitator = calloc(1, sizeof(*r.facilitator)) };
	if (!r.facilitator)
		return; /* said again with the next session */
	r.facilitator->id = v->facilitator;
	r.facilitator->endpoint = *endpoint;
	voucher_encode(v, r.facilitator->voucher);
	memcpy(r.facilitator->token, token, VOUCHER_TOKEN_LEN);
	(void)a->cfg.store_post_take(a->cfg.context, &r);
}

/* A voucher that does not hold would cost us what serves us by the word of somebody else. */
static bool is_anothers(const struct api *a, ov_time now, const struct api_offered *known,
	const struct peer_id *giver)
{
	bool serves;
	(void)is_ours(a, now, &known->facilitator, &serves);
	return serves && !peer_id_equal(&known->giver, giver) &&
	       known->expires_s > api_wall_s(a, now) + LATE_S;
}

/* ---- a clock that is wrong: ours, or that of the giver ---- */

static int64_t ahead_s(const struct api *a, ov_time now, const struct node_event *e)
{
	return (int64_t)e->token - LIFETIME_S - api_wall_s(a, now);
}

static bool clock_is_against(const struct api *a, ov_time now, const struct node_event *e)
{
	int64_t ahead = ahead_s(a, now, e);
	return ahead <= -LIFETIME_S || ahead > LATEST_S - LIFETIME_S;
}

/* True: one of this giver was held. */
static bool forget_held(struct api *a, const struct peer_id *giver, const struct peer_id *other)
{
	size_t kept = 0;
	bool found = false;
	for (size_t i = 0; i < a->held_count; i++) {
		bool of_giver = peer_id_equal(&a->held[i].peer, giver);
		found |= of_giver;
		if (!of_giver || !peer_id_equal(&a->held[i].other, other))
			a->held[kept++] = a->held[i];
	}
	a->held_count = kept;
	return found;
}

/* It is not said again while the session lasts, and a clock is often right a little later. */
static void hold(struct api *a, ov_time now, const struct node_event *e)
{
	bool told = forget_held(a, &e->peer, &e->other);
	if (a->held_count == API_OFFERED_MAX)
		memmove(a->held, a->held + 1, --a->held_count * sizeof(a->held[0]));
	a->held[a->held_count++] = *e;
	if (!told && a->cfg.clock_differs)
		a->cfg.clock_differs(a->cfg.context, node_contact(a->cfg.node, &e->peer)->name,
			ahead_s(a, now, e));
}

static void take_held(struct api *a, ov_time now)
{
	for (size_t i = a->held_count; i-- > 0;) {
		struct node_event e = a->held[i];
		if (is_contact(a, &e.peer) && clock_is_against(a, now, &e))
			continue;
		(void)forget_held(a, &e.peer, &e.other);
		api_offer_take(a, now, &e);
	}
}

json_t *api_json_clock(const struct api *a, ov_time now)
{
	const struct node_event *e = a->held_count > 0 ? &a->held[a->held_count - 1] : NULL;
	const struct contact *c = e ? node_contact(a->cfg.node, &e->peer) : NULL;
	if (!c)
		return json_null();
	return json_pack("{s:o, s:s, s:I}", "peer", api_json_peer_id(&c->id), "name", c->name,
		"ahead_s", (json_int_t)ahead_s(a, now, e));
}

void api_offer_take(struct api *a, ov_time now, const struct node_event *e)
{
	int64_t wall_s = api_wall_s(a, now), expires_s = (int64_t)e->token;
	const struct api_offered *known = find(a, &e->other);
	if (!is_contact(a, &e->peer) || e->token > INT64_MAX)
		return;
	if (llabs(ahead_s(a, now, e)) > CENTURY_S)
		return;
	if (clock_is_against(a, now, e)) {
		hold(a, now, e);
		return;
	}
	(void)forget_held(a, &e->peer, &e->other);
	if ((known && expires_s < known->expires_s + NEWS_S) ||
		(known && is_anothers(a, now, known, &e->peer)))
		return;
	uint8_t secret[VOUCHER_SECRET_LEN], token[VOUCHER_TOKEN_LEN];
	if (!node_offer_secret(a->cfg.node, &e->peer, &e->peer, &e->other, secret))
		return;
	struct voucher v = voucher_draft(&e->peer, &e->other, secret, e->token);
	memcpy(v.signature, e->signature, sizeof(v.signature));
	voucher_token(token, secret);
	bool good = voucher_check(&v, &e->other, token, (uint64_t)wall_s) == OV_OK;
	if (good && api_offer_use(a, now, &where_it_knows, &v, token)) {
		if (!addr_is_any(&e->addr)) /* a claim: as any other, meet.h */
			node_candidate(a->cfg.node, now, &e->other, &e->addr, SOURCE_PEER);
		keep(a, &e->addr, &v, token);
	}
	sodium_memzero(secret, sizeof(secret));
	sodium_memzero(token, sizeof(token));
}

static bool is_refused(const struct facilitator_info *found, size_t count, const struct peer_id *id)
{
	for (size_t i = 0; i < count; i++)
		if (peer_id_equal(&found[i].id, id))
			return !found[i].registered && found[i].refused == RELAY_REASON_DENIED;
	return false;
}

void api_offer_check(struct api *a, ov_time now)
{
	struct facilitator_info found[CONFIG_FACILITATORS_MAX];
	size_t count = node_facilitators(a->cfg.node, now, found, CONFIG_FACILITATORS_MAX);
	for (size_t i = a->offered_count; i-- > 0;) {
		const struct api_offered *o = &a->offered[i];
		if (o->expires_s <= api_wall_s(a, now) || !is_contact(a, &o->giver) ||
			is_refused(found, count, &o->facilitator))
			drop(a, now, i);
	}
	take_held(a, now);
}
