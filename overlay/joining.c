/* Invites at the node (docs/protocol.md 14.3). The guest's HS1 carries the secret, encrypted to the
 * inviter, until HS2 answers one that showed it: only contacts are answered then. A call of the
 * inviter proves less, as it may call us for another reason (we are its facilitator); then our own
 * call follows. At the inviter the HS1 of a stranger stays what it is, silence; the local side
 * hears a hash of what was shown, and when that is good it adds the contact and calls back. So
 * nothing is decided here, and the secret goes no further than this file. */
#include "overlay/joining.h"

#include "overlay/call.h"
#include "overlay/registration.h"

#include "discovery/invite.h"

#include <sodium.h>

/* Each costs the local side a look into a list of 64. Who floods has our PeerId and pays two DH as
 * we do; a burst leaves most of the ring of events to others. */
#define JOINS_PER_SECOND 100
#define JOINS_BURST      32
#define OBSERVED_MAX     2

static_assert(HS1_INVITE_LEN == INVITE_SECRET_LEN, "one secret");

int node_join(
	struct node *n, ov_time now, const struct peer_id *id, const uint8_t secret[HS1_INVITE_LEN])
{
	struct peer *p = node_peer(n, id);
	if (!p)
		return OV_ENOENT;
	p->has_invite = true;
	memcpy(p->invite, secret, HS1_INVITE_LEN);
	p->wanted_at = now;
	call_end(n, p); /* its HS1 did not show it */
	call_start(n, now, p, false);
	return OV_OK;
}

static_assert(HS1_INVITE_HASH_LEN == INVITE_HASH_LEN, "one hash");

void node_set_invites(struct node *n, ov_time now, const uint8_t *hashes, size_t count)
{
	n->invite_count = count < NODE_INVITES_MAX ? count : NODE_INVITES_MAX;
	memcpy(n->invites, hashes, n->invite_count * sizeof(n->invites[0]));
	registration_renew_all(n, now);
}

bool joining_tag(
	const struct peer *p, const struct peer_id *facilitator, uint8_t out[RELAY_TAG_LEN])
{
	uint8_t hash[INVITE_HASH_LEN];
	if (!p->has_invite)
		return false;
	invite_hash(hash, p->invite);
	registration_invite_tag(hash, &p->contact.id, facilitator, out);
	return true;
}

static void forget(struct peer *p)
{
	p->has_invite = false;
	sodium_memzero(p->invite, sizeof(p->invite));
}

void node_join_expired(struct node *n, const struct peer_id *id)
{
	struct peer *p = node_peer(n, id);
	if (!p || !p->has_invite)
		return;
	call_end(n, p); /* its HS1 shows it */
	forget(p);
}

void joining_done(struct node *n, struct peer *p)
{
	if (!p->has_invite)
		return;
	node_emit(n, &(struct node_event){ .type = NODE_JOINED, .peer = p->contact.id });
	forget(p);
}

void joining_confirm(struct node *n, ov_time now, struct peer *p)
{
	if (p->has_invite)
		call_start(n, now, p, false);
}

enum drop joining_on_hs1(
	struct node *n, ov_time now, const struct hs1_payload *h, const struct ov_addr *from)
{
	if (!limit_take(&n->joins, now, JOINS_PER_SECOND, JOINS_BURST, 1))
		return DROP_RATE;
	struct node_event ev = { .type = NODE_GUEST, .peer = h->peer, .addr = *from };
	invite_hash(ev.invite, h->invite);
	node_emit(n, &ev);
	return DROP_STRANGER;
}

/* ---- where we are ---- */

static size_t add_address(struct ov_addr *list, size_t count, size_t max, const struct ov_addr *a)
{
	for (size_t i = 0; i < count; i++)
		if (addr_equal(&list[i], a))
			return count;
	if (count < max)
		list[count++] = *a;
	return count;
}

static bool is_of_use(const struct ov_addr *a)
{
	enum addr_scope scope = addr_scope(a);
	return scope == ADDR_GLOBAL || scope == ADDR_PRIVATE;
}

/* The first of a family, one with a way out if there is one; NULL: none. */
static const struct local_address *first_of(const struct node *n, bool v4)
{
	const struct local_address *found = NULL;
	for (size_t i = 0; i < n->local_count; i++) {
		const struct local_address *l = &n->locals[i];
		if (addr_is_v4(&l->addr) == v4 && is_of_use(&l->addr) &&
			(!found || (l->has_default_route && !found->has_default_route)))
			found = l;
	}
	return found;
}

/* One of each family before the second of any: a machine may have a dozen IPv6 addresses. */
size_t node_own_addresses(const struct node *n, struct ov_addr *out, size_t max)
{
	struct ov_addr seen[OBSERVED_MAX];
	size_t count = 0, observed = registration_observed(n, seen, OBSERVED_MAX);
	for (size_t i = 0; i < n->mapped_count && !n->config.lan_only; i++)
		count = add_address(out, count, max, &n->mapped[i]);
	if (observed == 0)
		seen[observed++] = n->observed; /* by a peer that we met */
	for (size_t i = 0; i < observed && !n->config.lan_only; i++)
		if (is_of_use(&seen[i]))
			count = add_address(out, count, max, &seen[i]);
	for (int v4 = 1; v4 >= 0; v4--) {
		const struct local_address *l = first_of(n, v4);
		struct ov_addr a = l ? l->addr : (struct ov_addr){ 0 };
		a.port = n->config.listen_port;
		if (l)
			count = add_address(out, count, max, &a);
	}
	for (size_t i = 0; i < n->local_count; i++) {
		struct ov_addr a = n->locals[i].addr;
		a.port = n->config.listen_port;
		if (is_of_use(&a))
			count = add_address(out, count, max, &a);
	}
	return count;
}

/* A public address of ours, then one that a router may forward to us: whoever has the edge listen
 * behind one has told it to. */
size_t node_own_tcp(const struct node *n, struct ov_addr *out, size_t max)
{
	struct ov_addr seen[OBSERVED_MAX];
	size_t count = 0, observed = registration_observed(n, seen, OBSERVED_MAX);
	for (size_t i = 0; i < n->local_count + observed && n->config.tcp_port != 0; i++) {
		struct ov_addr a =
			i < n->local_count ? n->locals[i].addr : seen[i - n->local_count];
		a.port = n->config.tcp_port;
		if (addr_scope(&a) == ADDR_GLOBAL)
			count = add_address(out, count, max, &a);
	}
	return count;
}
