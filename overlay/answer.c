/* Answering a call: the ladder of security.md 2.5 from the cheapest check to the dearest. Nothing
 * in HS1 validates an address or touches existing keys; an accepted HS1 fills a pending slot and
 * gets one HS2 of less than half its size.
 *
 *   mac1 -> repetition of an HS1 answered already -> load: mac2 or COOKIE, per-source rate -> two
 * DH -> contact?
 *   -> seq fresh, or liveness cookie inside -> pending slot -> per-peer rate -> two more DH, HS2 */
#include "overlay/answer.h"

#include "overlay/association.h"
#include "overlay/channel.h"
#include "overlay/envelope.h"
#include "overlay/guest.h"
#include "overlay/joining.h"
#include "overlay/keys.h"
#include "overlay/peers.h"
#include "overlay/reach.h"

#include <sodium.h>
#include <stdlib.h>

#define DH_PER_SECOND      500 /* two DH each, 60 us: 3 % of a core; above it we are "under load" */
#define DH_BURST           512
#define DH_HARD_PER_SECOND 2000 /* above it each source gets one a second */
#define DH_HARD_BURST      256
#define LOAD_STICKY        OV_SEC
#define SOURCE_PER_SECOND  20 /* WireGuard's ratelimiter.c: 20/s, burst 5 */
#define SOURCE_BURST       5
#define SOURCE_ENTRIES     16384
/* Under a flood from made-up addresses an honest caller must get one of these to come in, and asks
 * 5 times in 5 s. At 5,000/s a flood of 30 kpps left one chance in six (tools/bench/flood.py c: 4 s
 * for the slowest of ten). 50,000 x 72 bytes are 29 Mbit/s, a quarter of what came in. */
#define COOKIES_PER_SECOND 50000
#define RESEND_PER_SECOND  4
#define RESEND_BURST       CANDIDATES_MAX
#define HEARD_RECENTLY     (15 * OV_SEC)
/* A stranger has as many keys as it likes; one that needs an address for every eight is slower. */
#define REQUESTS_PER_SOURCE 8

void pending_free(struct node *n, struct pending *w)
{
	table_remove(n->by_mac1, w->mac1_key);
	keys_free(n, w->keys);
	n->pending_count--;
	free(w);
}

static void reply(
	struct node *n, ov_time now, const struct dgram *to, const uint8_t *bytes, size_t len)
{
	struct envelope e;
	struct dgram where = { .carrier = to->carrier,
		.interface = to->interface,
		.local = to->local,
		.remote = to->remote };
	uint8_t *room = envelope_open(n, &where, &e) ? envelope_room(n, &e, len, false) : NULL;
	if (!room)
		return;
	memcpy(room, bytes, len);
	envelope_add(n, now, &e, NULL, len);
}

static void send_cookie(struct node *n, ov_time now, const struct dgram *from, const uint8_t *data,
	size_t len, const struct cookie_packet *p)
{
	uint8_t out[COOKIE_PACKET_LEN];
	cookie_packet_encode(p, n->self->dh_public, data, len, &n->rng, out);
	reply(n, now, from, out, sizeof(out));
}

/* The same bytes again, from this or another address: the same answer, no second DH. */
static bool is_repetition(struct node *n, ov_time now, const struct dgram *from,
	const uint8_t *data, size_t len, enum drop *why)
{
	const uint8_t *mac1 = handshake_mac1(data, len);
	struct pending *w = table_find(n->by_mac1, load_le64(mac1));
	if (!w || memcmp(w->mac1, mac1, MAC_LEN) != 0)
		return false;
	*why = DROP_NONE;
	if (!reach_allows(n, w->peer, from))
		*why = DROP_POLICY;
	else if (limit_take(&w->resend, now, RESEND_PER_SECOND, RESEND_BURST, 1))
		reply(n, now, from, w->hs2, HS2_LEN);
	else
		*why = DROP_RATE;
	return true;
}

static bool mac2_is_valid(
	struct node *n, ov_time now, const struct dgram *from, const uint8_t *data, size_t len)
{
	uint8_t cookies[2][16];
	if (handshake_mac2_is_zero(data, len))
		return false;
	cookie_jar_renew(&n->cookies, now, &n->rng);
	cookie_each_for_address(&n->cookies, &from->remote, cookies);
	bool valid = handshake_check_mac2(data, len, cookies[0]) ||
		     handshake_check_mac2(data, len, cookies[1]);
	sodium_memzero(cookies, sizeof(cookies));
	return valid;
}

/* May this HS1 cost us DH operations? */
static enum drop admit(
	struct node *n, ov_time now, const struct dgram *from, const uint8_t *data, size_t len)
{
	bool crowded_table = n->pending_count >= (n->config.max_pending_handshakes + 1u) / 2;
	if (crowded_table || !limit_take(&n->dh, now, DH_PER_SECOND, DH_BURST, 1))
		n->load_until = now + LOAD_STICKY;
	if (now >= n->load_until)
		return DROP_NONE;
	n->counters.under_load++;
	if (!mac2_is_valid(n, now, from, data, len)) {
		if (!limit_take(&n->cookie_replies, now, COOKIES_PER_SECOND, COOKIES_PER_SECOND, 1))
			return DROP_RATE;
		struct cookie_packet offer = { .flags = 0 };
		cookie_jar_renew(&n->cookies, now, &n->rng);
		cookie_for_address(&n->cookies, &from->remote, offer.cookie);
		send_cookie(n, now, from, data, len, &offer);
		return DROP_COOKIE;
	}
	if (!n->sources)
		n->sources = source_limits_new(SOURCE_ENTRIES, &n->rng);
	if (!n->sources)
		return DROP_FULL;
	bool crowded = !limit_take(&n->dh_hard, now, DH_HARD_PER_SECOND, DH_HARD_BURST, 1);
	uint32_t rate = crowded ? 1 : SOURCE_PER_SECOND, burst = crowded ? 1 : SOURCE_BURST;
	return source_limits_take(n->sources, now, &from->remote, rate, burst) ? DROP_NONE
									       : DROP_RATE;
}

static void note_request(
	struct node *n, ov_time now, const struct peer_id *id, const struct ov_addr *from)
{
	size_t of_source = 0;
	if (!n->config.pairing)
		return;
	for (size_t i = 0; i < n->request_count; i++) {
		of_source += addr_same_ip(&n->requests[i].from, from);
		if (peer_id_equal(&n->requests[i].id, id)) {
			n->requests[i].from = *from;
			n->requests[i].at = now;
			return;
		}
	}
	if (n->request_count == n->config.max_requests || of_source >= REQUESTS_PER_SOURCE)
		return; /* first come, first listed: a flood cannot push out an honest one */
	n->requests[n->request_count++] =
		(struct peer_request){ .id = *id, .from = *from, .at = now };
	node_emit(n, &(struct node_event){ .type = NODE_PEER_REQUEST, .peer = *id, .addr = *from });
}

/* design 4: a seq not higher than the one seen needs the liveness cookie inside; we offer one,
 * rarely. */
static enum drop check_fresh(struct node *n, ov_time now, struct peer *p, const struct dgram *from,
	const struct hs1_opened *h)
{
	if (h->payload.seq > p->seen_seq)
		return DROP_NONE;
	cookie_jar_renew(&n->cookies, now, &n->rng);
	if (cookie_is_of_peer(&n->cookies, &p->contact.id, h->payload.liveness))
		return DROP_NONE;
	bool heard = p->heard_at != OV_NEVER && now - p->heard_at < HEARD_RECENTLY;
	/* limit.h counts whole tokens per second: 1 per 5 s is 5 tokens at 1/s */
	if (heard || !limit_take(&p->liveness_cookies, now, 1, 5, 5))
		return DROP_STALE;
	struct cookie_packet offer = { .flags = PACKET_FLAG_LIVENESS };
	cookie_for_peer(&n->cookies, &p->contact.id, offer.cookie);
	send_cookie(n, now, from, h->hs1, h->hs1_len, &offer);
	return DROP_STALE;
}

/* A free slot, or the one to be replaced: a full table gives way only to a higher seq of the same
 * peer, so that replays can push out neither the real caller nor anybody else. */
static struct pending **pending_slot(const struct node *n, const struct peer *p, uint64_t seq)
{
	struct association *a = p->association;
	size_t max = n->config.max_pending_handshakes;
	if (p->contact.source == CONTACT_CLIENT)
		max -= (max + 3) / 4; /* identities cost nothing: contacts keep a quarter */
	struct pending **vacant = NULL, **lowest = NULL;
	for (size_t i = 0; i < PENDING_MAX; i++) {
		struct pending **slot = &a->pending[i];
		if (!*slot)
			vacant = slot;
		else if (!lowest || (*slot)->seq < (*lowest)->seq)
			lowest = slot;
	}
	if (vacant && n->pending_count < max)
		return vacant;
	return lowest && (*lowest)->seq < seq ? lowest : NULL;
}

/* Both halves make it: the same one while both remember, whoever calls, and when two calls cross.
 */
static uint64_t agree_association(const struct association *a, const struct hs1_payload *h)
{
	uint64_t id = a->half ^ h->association;
	return id != 0 ? id : 1;
}

static enum drop accept_hs1(
	struct node *n, ov_time now, struct peer *p, const struct dgram *from, struct hs1_opened *h)
{
	struct pending **slot = pending_slot(n, p, h->payload.seq);
	if (!slot)
		return DROP_FULL;
	if (!limit_take(&p->handshakes, now, 5, 10, 1))
		return DROP_RATE; /* last of the checks: replays must not use up the caller's */
	if (*slot)
		pending_free(n, *slot);
	*slot = NULL;
	struct pending *w = calloc(1, sizeof(*w));
	if (!w)
		return DROP_FULL;
	uint32_t index = keys_new_index(n);
	struct hs2_payload answer = {
		.association = agree_association(p->association, &h->payload),
		.instance = n->instance,
		.seen_seq = p->seen_seq,
		.mtu = n->config.datagram_max,
		.suite = aead_choose(n->aead, h->payload.suites),
	};
	struct hs2_config hs2 = { .payload = &answer, .index = index };
	struct handshake_keys secret;
	enum drop why =
		answer.suite ? handshake_answer(h, &hs2, &n->rng, w->hs2, &secret) : DROP_FORMAT;
	if (why == DROP_NONE) {
		struct session_config agreed = {
			.keys = &secret, .index = index, .remote_index = h->remote_index
		};
		w->keys = keys_new(n, now, p, (enum suite)answer.suite, &agreed);
		why = w->keys ? DROP_NONE : DROP_FULL;
	}
	sodium_memzero(&secret, sizeof(secret));
	memcpy(w->mac1, handshake_mac1(h->hs1, h->hs1_len), MAC_LEN);
	w->mac1_key = load_le64(w->mac1);
	if (why == DROP_NONE && table_put(n->by_mac1, w->mac1_key, w) != OV_OK) {
		keys_free(n, w->keys);
		why = DROP_FULL;
	}
	if (why != DROP_NONE) {
		free(w);
		return why;
	}
	w->keys->pending = true;
	w->keys->association = answer.association;
	w->keys->instance = h->payload.instance;
	w->keys->peer_mtu = h->payload.mtu;
	w->seq = h->payload.seq;
	w->expires_at = now + PENDING_LIFETIME;
	w->peer = p;
	n->pending_count++;
	*slot = w;
	limit_take(&w->resend, now, RESEND_PER_SECOND, RESEND_BURST, 1);
	reply(n, now, from, w->hs2, HS2_LEN);
	peer_touch(n, p);
	return DROP_NONE;
}

/* The next handshake with this peer needs no DH of the static keys. */
static void keep_static(struct peer *p, const struct noise *opened)
{
	struct noise_known *k = &p->known.key;
	if (k->has_ss || !opened->has_ss)
		return;
	memcpy(k->ss, opened->ss, sizeof(k->ss));
	k->has_ss = true;
}

static enum drop judge(struct node *n, ov_time now, const struct dgram *from, struct hs1_opened *h)
{
	if (peer_id_equal(&h->payload.peer, &n->self->id))
		return DROP_LOOP;
	if (!channel_carries(n, from, &h->payload.peer))
		return DROP_CHANNEL;
	struct peer *p = node_peer(n, &h->payload.peer);
	if (p && !reach_allows(n, p, from))
		return DROP_POLICY;
	bool shows = h->payload.has_invite;
	enum drop why = shows ? joining_on_hs1(n, now, &h->payload, &from->remote)
			      : guest_on_hs1(n, now, &h->payload, &from->remote, &p);
	if (shows && p && !contact_is_known(p->contact.source))
		return why; /* HS2 would tell it that it is a contact */
	if (!shows && !p)
		p = node_client(n, now, &h->payload.peer, &from->remote);
	if (!shows && !p)
		note_request(n, now, &h->payload.peer, &from->remote);
	if (!p)
		return why;
	peer_touch(n, p); /* a client that is refused below ends with this verb */
	keep_static(p, &h->noise);
	why = check_fresh(n, now, p, from, h);
	if (why != DROP_NONE)
		return why;
	if (!association_open(n, now, p))
		return DROP_FULL;
	return accept_hs1(n, now, p, from, h);
}

enum drop answer_hs1(
	struct node *n, ov_time now, const struct dgram *from, const uint8_t *data, size_t len)
{
	enum drop why = handshake_check_hs1(n->mac1_key, data, len);
	if (why == DROP_NONE && !reach_admits(n, from))
		why = DROP_POLICY;
	if (why != DROP_NONE)
		return why;
	if (is_repetition(n, now, from, data, len, &why))
		return why;
	why = admit(n, now, from, data, len);
	if (why != DROP_NONE)
		return why;
	struct hs1_opened h;
	why = handshake_open_hs1(&h, &n->config.network, n->self, n->by_static, data, len);
	if (why == DROP_NONE)
		why = judge(n, now, from, &h);
	hs1_opened_wipe(&h);
	return why;
}
