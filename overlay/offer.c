/* Peers tell each other where they can be reached (docs/protocol.md 13.7): the facilitators that
 * serve them, and themselves if they relay for the other. So two who met once by an invite find
 * each other when its facilitator is all they have, and a contact with a public address becomes a
 * relay without a word of its friends. The voucher in it admits the receiver there, nobody else.
 *
 * Nothing acknowledges an offer: it is said three times, and again with the next session. */
#include "overlay/offer.h"

#include "overlay/association.h"
#include "overlay/frames.h"
#include "overlay/meet.h"
#include "overlay/pair.h"
#include "overlay/reach.h"

#include <sodium.h>
#include <stdlib.h>

/* Of one peer 16, then 4 a minute: each may name another address to be called, as those of meet.c.
 * limit.h counts whole tokens per second. */
#define OFFER_COST   15
#define OFFERS_BURST (16 * OFFER_COST)

static const ov_time gaps[] = { 2 * OV_SEC, 10 * OV_SEC };
#define TIMES (1 + sizeof(gaps) / sizeof(gaps[0]))

struct offering { /* to one peer */
	struct relay_offer list[NODE_OFFERS_MAX];
	size_t count, said;
	ov_time next_at;
};

void node_offer(struct node *n, ov_time now, const struct peer_id *to,
	const struct relay_offer *list, size_t count)
{
	struct peer *p = node_peer(n, to);
	if (!p || !p->association || count == 0 || reach_is_lan_only(n, p))
		return;
	struct offering **o = &p->association->offering;
	if (!*o)
		*o = malloc(sizeof(**o));
	if (!*o)
		return; /* said with the next session */
	**o = (struct offering){ .count = count < NODE_OFFERS_MAX ? count : NODE_OFFERS_MAX,
		.next_at = now };
	memcpy((*o)->list, list, (*o)->count * sizeof(*list));
	peer_touch(n, p);
}

bool node_offer_secret(struct node *n, const struct peer_id *giver, const struct peer_id *taker,
	const struct peer_id *facilitator, uint8_t out[VOUCHER_SECRET_LEN])
{
	bool ours = peer_id_equal(giver, &n->self->id);
	struct peer *p = node_peer(n, ours ? taker : giver);
	const uint8_t *key = p ? pair_key(n, p) : NULL;
	if (!key)
		return false;
	uint8_t hash[32];
	pair_hash("OVL relay offer", key, giver, facilitator, hash);
	memcpy(out, hash, VOUCHER_SECRET_LEN);
	sodium_memzero(hash, sizeof(hash));
	return true;
}

void offer_free(struct association *a)
{
	free(a->offering);
	a->offering = NULL;
}

void offer_tick(struct node *n, ov_time now, struct peer *p)
{
	struct offering *o = p->association->offering;
	if (!o || now < o->next_at)
		return;
	if (reach_is_lan_only(n, p)) { /* since we began */
		offer_free(p->association);
		return;
	}
	uint8_t plain[PMTU_FLOOR];
	struct wr w = wr_init(plain, sizeof(plain));
	for (size_t i = 0; i < o->count; i++)
		frame_put_relay_offer(&w, &o->list[i]);
	bool sent = frames_send(n, now, p, &w, false);
	if (++o->said == TIMES || !association_reaches(p->association, now))
		offer_free(p->association);
	else
		o->next_at = now + gaps[sent ? o->said - 1 : 0];
}

ov_time offer_deadline(const struct association *a)
{
	return a->offering ? a->offering->next_at : OV_NEVER;
}

/* Only an address that could be asked anyway, meet.c; without one it must be the peer itself. */
static bool is_usable(const struct node *n, const struct peer *p, const struct relay_offer *f)
{
	if (addr_is_any(&f->endpoint))
		return peer_id_equal(&f->facilitator, &p->contact.id);
	return meet_may_probe(n, &f->endpoint);
}

enum drop offer_on_frame(struct node *n, ov_time now, struct peer *p, const struct relay_offer *f)
{
	if (!contact_is_known(p->contact.source))
		return DROP_GRANT; /* a facilitator of ours, or a client: nobody's contact */
	if (reach_is_lan_only(n, p))
		return DROP_POLICY;
	if (!limit_take(&p->association->offers, now, 1, OFFERS_BURST, OFFER_COST))
		return DROP_RATE;
	if (peer_id_equal(&f->facilitator, &n->self->id) || !is_usable(n, p, f))
		return DROP_NONE;
	struct node_event ev = { .type = NODE_RELAY_OFFERED,
		.peer = p->contact.id,
		.other = f->facilitator,
		.addr = f->endpoint,
		.token = f->expires_s };
	memcpy(ev.signature, f->signature, sizeof(ev.signature));
	node_emit(n, &ev);
	return DROP_NONE;
}
