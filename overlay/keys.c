/* Which keys of a peer send and which only receive (docs/protocol.md 3.5).
 *
 * New keys count when the first packet under them verifies: HS2 at the initiator, the first
 * transport packet at the responder; until then they wait in a pending slot and nothing existing is
 * touched. Retired keys still open what was on its way, so that a rekey loses no packet. Two
 * handshakes that crossed: both ends send under the one that the lower PeerId began. */
#include "overlay/keys.h"

#include "overlay/answer.h"
#include "overlay/call.h"
#include "overlay/channel.h"
#include "overlay/joining.h"
#include "overlay/presence.h"
#include "overlay/registration.h"
#include "overlay/route.h"
#include "overlay/streams.h"

#include <sodium.h>
#include <stdlib.h>

#define SIMULTANEOUS  (10 * OV_SEC) /* handshakes this close together may have crossed */
#define RETIRED_GRACE (10 * OV_SEC) /* for packets on their way under the old keys */

uint32_t keys_new_index(struct node *n)
{
	uint32_t index;
	do
		index = rng_u32(&n->rng);
	while (index == 0 || table_find(n->by_index, index));
	return index;
}

size_t node_key_size(void)
{
	return sizeof(struct keys);
}

static struct keys *keys_take(const struct node *n)
{
	if (n->config.key_memory.alloc)
		return blocks_alloc(&n->config.key_memory);
	return aligned_alloc(_Alignof(struct keys), sizeof(struct keys));
}

static void keys_release(const struct node *n, struct keys *k)
{
	if (n->config.key_memory.alloc)
		blocks_free(&n->config.key_memory, k);
	else
		free(k);
}

struct keys *keys_new(struct node *n, ov_time now, struct peer *p, enum suite suite,
	const struct session_config *c)
{
	const struct aead *aead = aead_find(n->aead, suite);
	struct keys *k = aead ? keys_take(n) : NULL;
	if (!k)
		return NULL;
	memset(k, 0, sizeof(*k));
	k->receiver = (struct receiver){ .kind = RECEIVER_KEYS, .peer = p };
	k->retired_at = OV_NEVER;
	if (!session_init(&k->session, now, aead, c)) {
		keys_release(n, k);
		return NULL;
	}
	if (table_put(n->by_index, c->index, &k->receiver) != OV_OK) {
		session_fini(&k->session);
		keys_release(n, k);
		return NULL;
	}
	return k;
}

void keys_free(struct node *n, struct keys *k)
{
	if (!k)
		return;
	table_remove(n->by_index, k->session.index);
	session_fini(&k->session);
	keys_release(n, k);
}

struct keys *keys_sending(const struct association *a, ov_time now)
{
	if (a && a->keys[0] && session_can_send(&a->keys[0]->session, now))
		return a->keys[0];
	return NULL;
}

static bool begun_by_lower(const struct peer *p, const struct keys *k)
{
	return k->session.initiator == p->lower;
}

/* Did `fresh` cross with `current`, and does `current` win? A peer that restarted has lost
 * `current`. */
static bool keeps_sending(
	const struct peer *p, ov_time now, const struct keys *current, const struct keys *fresh)
{
	if (!current || !session_can_send(&current->session, now) ||
		current->instance != fresh->instance)
		return false;
	return fresh->session.created_at - current->session.created_at < SIMULTANEOUS &&
	       begun_by_lower(p, current) && !begun_by_lower(p, fresh);
}

static void adopt_association(struct node *n, ov_time now, struct peer *p, const struct keys *k)
{
	struct association *a = p->association;
	if (a->id == k->association && a->peer_instance == k->instance)
		return;
	reassembly_free(a->reassembly);
	a->reassembly = NULL;
	if (a->id != 0)
		streams_restart(n, now, p, a->peer_instance == k->instance);
	if (a->peer_instance != k->instance)
		channel_close_all(n, now, a);
	if (p->client && a->peer_instance != k->instance)
		presence_restarted(n, now, p);
	if (a->peer_instance != k->instance) /* the peer restarted: it has none of the older keys */
		for (size_t i = 1; i < KEYS_MAX; i++) {
			keys_free(n, a->keys[i]);
			a->keys[i] = NULL;
		}
	a->id = k->association;
	a->peer_instance = k->instance;
	a->nomination = 0;
}

void keys_install(struct node *n, ov_time now, struct peer *p, struct keys *k)
{
	struct association *a = p->association;
	size_t slot = keeps_sending(p, now, a->keys[0], k) ? 1 : 0;
	keys_free(n, a->keys[KEYS_MAX - 1]);
	for (size_t i = KEYS_MAX - 1; i > slot; i--)
		a->keys[i] = a->keys[i - 1];
	a->keys[slot] = k;
	k->pending = false;
	for (size_t i = 1; i < KEYS_MAX; i++)
		if (a->keys[i] && a->keys[i]->retired_at == OV_NEVER)
			a->keys[i]->retired_at = now;
	a->last_key_at = now;
	p->handshake_count++;
	n->counters.handshakes++;
	if (slot == 0) {
		bool restarted = a->peer_instance != k->instance || a->id != k->association;
		adopt_association(n, now, p, k);
		registration_keys_came(n, now, p, restarted);
		route_on_keys(n, now, a);
	}
}

void keys_confirm(struct node *n, ov_time now, struct peer *p, struct keys *k)
{
	struct association *a = p->association;
	uint64_t seq = 0;
	for (size_t i = 0; i < PENDING_MAX; i++)
		if (a->pending[i] && a->pending[i]->keys == k) {
			seq = a->pending[i]->seq;
			a->pending[i]->keys = NULL;
		}
	/* What the peer began before, maybe before it restarted, must not count later. */
	for (size_t i = 0; i < PENDING_MAX; i++)
		if (a->pending[i] && a->pending[i]->seq <= seq) {
			pending_free(n, a->pending[i]);
			a->pending[i] = NULL;
		}
	if (seq > p->seen_seq)
		p->seen_seq = seq; /* only now: a forged HS1 must not poison it */
	keys_install(n, now, p, k);
	call_end(n, p); /* they reached us first */
	joining_confirm(n, now, p);
}

static bool retired_is_over(const struct association *a, const struct keys *k, ov_time now)
{
	if (!session_can_receive(&k->session, now))
		return true;
	bool peer_moved_on = a->keys[0] && a->keys[0]->session.heard_at != OV_NEVER;
	return peer_moved_on && k->retired_at != OV_NEVER && now - k->retired_at >= RETIRED_GRACE;
}

void keys_expire(struct node *n, ov_time now, struct peer *p)
{
	struct association *a = p->association;
	for (size_t i = 1; i < KEYS_MAX; i++)
		if (a->keys[i] && retired_is_over(a, a->keys[i], now)) {
			keys_free(n, a->keys[i]);
			a->keys[i] = NULL;
		}
	if (!a->keys[1] && a->keys[2]) {
		a->keys[1] = a->keys[2];
		a->keys[2] = NULL;
	}
	if (a->keys[0] && now - a->keys[0]->session.created_at >= SESSION_REJECT_AFTER) {
		keys_free(n, a->keys[0]); /* of no use any more, so the secret goes at once and not
					     at 540 s */
		a->keys[0] = a->keys[1];
		a->keys[1] = a->keys[2];
		a->keys[2] = NULL;
	}
	for (size_t i = 0; i < PENDING_MAX; i++)
		if (a->pending[i] && now >= a->pending[i]->expires_at) {
			pending_free(n, a->pending[i]);
			a->pending[i] = NULL;
		}
}

/* With thousands of peers the erasing of keys shares its turns. */
static ov_time whole_second(ov_time at)
{
	return (at + OV_SEC - 1) / OV_SEC * OV_SEC;
}

ov_time keys_deadline(const struct association *a)
{
	ov_time at = OV_NEVER;
	for (size_t i = 0; i < KEYS_MAX; i++) {
		const struct keys *k = a->keys[i];
		if (!k)
			continue;
		at = ov_min(at, k->session.created_at + SESSION_REJECT_AFTER);
		bool peer_moved_on = a->keys[0] && a->keys[0]->session.heard_at != OV_NEVER;
		if (i > 0 && peer_moved_on && k->retired_at != OV_NEVER)
			at = ov_min(at, whole_second(k->retired_at + RETIRED_GRACE));
	}
	for (size_t i = 0; i < PENDING_MAX; i++)
		if (a->pending[i])
			at = ov_min(at, a->pending[i]->expires_at);
	return at;
}
