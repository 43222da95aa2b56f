/* Guests at us as facilitator (docs/protocol.md 14.2): a stranger whose HS1 shows a voucher of one
 * of our contacts is a client until the voucher expires. Everything is decided from the HS1, before
 * there is any state: whom it names must be a contact, the time right, the signature good; cheap
 * checks first. A replayed HS1 names nobody but the guest. A voucher admits one guest at a time, a
 * contact brings a bounded number, and all of them end with that contact.
 *
 * A facilitator of ours may be our guest as well: its voucher makes it one and nothing else.
 *
 * What was admitted is not asked again but with the next voucher: it ends by our own clock, since
 * the wall clock may jump. */
#include "overlay/guest.h"

#include "overlay/association.h"
#include "overlay/channel.h"
#include "overlay/facilitator.h"
#include "overlay/peers.h"

#include "discovery/voucher.h"

#include <sodium.h>
#include <stdlib.h>

/* A signature costs as much as the two DH of the HS1 that came before. */
#define VOUCHERS_PER_SECOND 100
#define VOUCHERS_BURST      64
#define GUESTS_PER_CONTACT  NODE_INVITES_MAX /* as many as it can have invited */
#define LASTS_MAX_S         (366 * UINT64_C(86400))

static_assert(HS1_VOUCHER_LEN == VOUCHER_PASS_LEN, "one pass");

void node_set_wall(struct node *n, ov_time now, int64_t unix_s)
{
	n->wall_known = unix_s > 0;
	n->wall_s = (uint64_t)(unix_s > 0 ? unix_s : 0);
	n->wall_at = now;
}

/* 0: not known. */
static uint64_t wall_s(const struct node *n, ov_time now)
{
	return n->wall_known ? n->wall_s + (uint64_t)((now - n->wall_at) / OV_SEC) : 0;
}

/* ---- we as guest ---- */

static uint64_t expiry_of(const uint8_t pass[VOUCHER_PASS_LEN], const struct peer_id *facilitator)
{
	uint8_t token[VOUCHER_TOKEN_LEN];
	struct voucher v;
	voucher_pass_read(&v, token, pass, facilitator);
	sodium_memzero(token, sizeof(token));
	return v.expires_s;
}

bool guest_has_pass(const struct registration *r)
{
	for (size_t i = 0; i < PASSES_MAX; i++)
		if (r->passes[i].expires_s > 0)
			return true;
	return false;
}

void guest_next_pass(struct registration *r)
{
	for (size_t i = 1; i <= PASSES_MAX; i++) {
		size_t at = (r->pass_turn + i) % PASSES_MAX;
		if (r->passes[at].expires_s == 0)
			continue;
		r->pass_turn = (uint8_t)at;
		return;
	}
}

static bool is_of_one_giver(const uint8_t a[HS1_VOUCHER_LEN], const uint8_t b[HS1_VOUCHER_LEN])
{
	return memcmp(a, b, PEER_ID_LEN) == 0;
}

/* That of the same giver, else a free one, else the first to end. */
static struct pass *place_for(struct registration *r, const uint8_t pass[HS1_VOUCHER_LEN])
{
	struct pass *found = &r->passes[0];
	for (size_t i = 0; i < PASSES_MAX; i++) {
		struct pass *one = &r->passes[i];
		if (one->expires_s > 0 && is_of_one_giver(one->bytes, pass))
			return one;
		if (one->expires_s < found->expires_s)
			found = one;
	}
	return found;
}

/* Nobody but the facilitator knows whose word counts there: one that lasts longer must not take the
 * place of one that lets us in. */
bool guest_keep_pass(struct peer *p, const uint8_t pass[HS1_VOUCHER_LEN])
{
	struct registration *r = p->registration;
	struct pass *place = place_for(r, pass);
	uint64_t expires_s = expiry_of(pass, &p->contact.id);
	if (place->expires_s >= expires_s)
		return false;
	place->expires_s = expires_s;
	memcpy(place->bytes, pass, HS1_VOUCHER_LEN);
	r->pass_turn = (uint8_t)(place - r->passes + PASSES_MAX - 1) % PASSES_MAX; /* it is next */
	return true;
}

bool guest_pass(const struct node *n, ov_time now, struct peer *p, uint8_t out[HS1_VOUCHER_LEN])
{
	struct registration *r = p->registration;
	if (!r || !guest_has_pass(r))
		return false;
	uint64_t wall = wall_s(n, now);
	for (size_t i = 0; i < PASSES_MAX; i++)
		if (wall >= r->passes[i].expires_s)
			sodium_memzero(&r->passes[i], sizeof(r->passes[i]));
	if (r->passes[r->pass_turn].expires_s == 0)
		guest_next_pass(r);
	if (r->passes[r->pass_turn].expires_s == 0)
		return false;
	memcpy(out, r->passes[r->pass_turn].bytes, HS1_VOUCHER_LEN);
	return true;
}

/* ---- others as guests ---- */

bool guest_may_meet(const struct node *n, const struct peer *a, const struct peer *b)
{
	if (n->config.facilitator != FACILITATOR_CONTACTS)
		return true;
	return (!a->guest || peer_id_equal(&a->guest->inviter, &b->contact.id)) &&
	       (!b->guest || peer_id_equal(&b->guest->inviter, &a->contact.id));
}

void guest_free(struct node *n, struct peer *p)
{
	n->guest_count -= p->guest != NULL;
	free(p->guest);
	p->guest = NULL;
}

static struct channel *first_forward(const struct peer *p)
{
	struct channel *c = p->association ? p->association->channels : NULL;
	while (c && c->kind != CHANNEL_FORWARD)
		c = c->next;
	return c;
}

/* A guest that is a facilitator of ours stays that. */
static void stop_serving(struct node *n, struct peer *p)
{
	while (first_forward(p))
		channel_discard(n, first_forward(p));
	client_free(n, p);
	guest_free(n, p);
	peer_touch(n, p);
}

static void end(struct node *n, struct peer *p)
{
	if (p->registration)
		stop_serving(n, p);
	else
		peer_remove(n, p); /* the last takes its place */
}

void guests_end(struct node *n, const struct peer_id *inviter)
{
	for (size_t i = n->guest_count > 0 ? n->peer_count : 0; i-- > 0;)
		if (n->peers[i]->guest && peer_id_equal(&n->peers[i]->guest->inviter, inviter))
			end(n, n->peers[i]); /* whoever takes its place was seen */
}

void guest_tick(struct node *n, ov_time now, struct peer *p)
{
	if (!p->guest || !p->association || now < p->guest->until)
		return;
	if (p->registration) {
		while (first_forward(p))
			channel_close(n, now, first_forward(p), false);
		stop_serving(n, p);
		return;
	}
	channel_close_all(n, now, p->association);
	association_close(n, p); /* then it is nobody: node.c */
}

ov_time guest_deadline(const struct peer *p)
{
	return p->guest ? p->guest->until : OV_NEVER;
}

static bool is_welcome(const struct node *n, const struct peer *p, const struct voucher *v)
{
	size_t of_inviter = 0;
	for (size_t i = 0; n->guest_count > 0 && i < n->peer_count; i++) {
		const struct peer *other = n->peers[i];
		if (!other->guest || other == p)
			continue;
		if (memcmp(other->guest->token_hash, v->token_hash, sizeof(v->token_hash)) == 0)
			return false; /* it is another's */
		of_inviter += peer_id_equal(&other->guest->inviter, &v->inviter);
	}
	return of_inviter < GUESTS_PER_CONTACT;
}

static bool is_our_contact(const struct node *n, const struct peer_id *id)
{
	const struct peer *p = node_peer(n, id);
	return p && contact_is_known(p->contact.source);
}

static enum drop check(struct node *n, ov_time now, const struct voucher *v,
	const uint8_t token[VOUCHER_TOKEN_LEN], const struct ov_addr *from)
{
	uint64_t wall = wall_s(n, now);
	if (!is_our_contact(n, &v->inviter) || !n->wall_known)
		return DROP_STRANGER;
	if (v->expires_s <= wall)
		return DROP_EXPIRED;
	if (!node_takes_newcomer(n, now, from) ||
		!limit_take(&n->vouchers, now, VOUCHERS_PER_SECOND, VOUCHERS_BURST, 1))
		return DROP_RATE;
	return voucher_check(v, &n->self->id, token, wall) == OV_OK ? DROP_NONE : DROP_AUTH;
}

static enum drop admit(struct node *n, ov_time now, const struct peer_id *id, struct peer **p,
	const struct voucher *v)
{
	if (!is_welcome(n, *p, v))
		return DROP_FULL;
	struct guest *g = *p && (*p)->guest ? (*p)->guest : calloc(1, sizeof(*g));
	if (g && !*p)
		*p = client_new(n, now, id);
	if (!g || !*p) {
		free(g);
		return DROP_FULL;
	}
	uint64_t left_s = v->expires_s - wall_s(n, now);
	n->guest_count += (*p)->guest == NULL;
	(*p)->guest = g;
	g->inviter = v->inviter;
	g->expires_s = v->expires_s;
	g->until = now + (ov_time)(left_s < LASTS_MAX_S ? left_s : LASTS_MAX_S) * OV_SEC;
	memcpy(g->token_hash, v->token_hash, sizeof(g->token_hash));
	return DROP_NONE;
}

/* Shown again with every handshake. One that holds longer is looked at: its inviter renewed it. */
static bool is_in_by(const struct peer *p, const struct voucher *v)
{
	return p && p->guest && v->expires_s <= p->guest->expires_s &&
	       memcmp(p->guest->token_hash, v->token_hash, sizeof(v->token_hash)) == 0;
}

enum drop guest_on_hs1(struct node *n, ov_time now, const struct hs1_payload *h,
	const struct ov_addr *from, struct peer **p)
{
	bool serves = n->config.facilitator == FACILITATOR_CONTACTS ||
		      n->config.facilitator == FACILITATOR_INVITE;
	struct voucher v;
	uint8_t token[VOUCHER_TOKEN_LEN];
	bool known = *p && contact_is_known((*p)->contact.source);
	bool client = *p && (*p)->contact.source == CONTACT_CLIENT && !(*p)->guest;
	if (!serves || !h->has_voucher || known || client)
		return DROP_STRANGER;
	voucher_pass_read(&v, token, h->voucher, &n->self->id);
	enum drop why = DROP_NONE;
	if (!is_in_by(*p, &v)) {
		why = check(n, now, &v, token, from);
		if (why == DROP_NONE)
			why = admit(n, now, &h->peer, p, &v);
		n->counters.vouchers_refused += why != DROP_NONE;
	}
	sodium_memzero(token, sizeof(token));
	return why;
}
