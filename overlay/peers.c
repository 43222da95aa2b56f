/* Who is known to the node: contacts of the owner, facilitators, and the clients that it serves as
 * one. Made and freed here only. Contacts and clients are counted, since each kind has its bound;
 * facilitators have their own list, and one may be a contact as well. */
#include "overlay/peers.h"

#include "overlay/association.h"
#include "overlay/burst.h"
#include "overlay/call.h"
#include "overlay/facilitator.h"
#include "overlay/guest.h"
#include "overlay/link.h"
#include "overlay/ping.h"
#include "overlay/probing.h"
#include "overlay/reach.h"
#include "overlay/registration.h"
#include "overlay/streams.h"
#include "overlay/watch.h"

#include <sodium.h>
#include <stdlib.h>

/* Identities cost nothing: from one address they come slowly, so that it takes many to fill the
 * table of clients. */
#define NEWCOMER_ENTRIES     4096
#define NEWCOMERS_PER_SECOND 1
#define NEWCOMERS_BURST      256

/* Facilitators have their own list. */
static void count_source(struct node *n, uint8_t source, int by)
{
	size_t *count = source == CONTACT_CLIENT ? &n->client_count : &n->known_count;
	if (source != CONTACT_FACILITATOR)
		*count = by > 0 ? *count + 1 : *count - 1;
}

static void forget_facilitator(struct node *n, const struct peer *p)
{
	for (size_t i = 0; i < n->facilitator_count; i++)
		if (n->facilitators[i] == p)
			n->facilitators[i--] = n->facilitators[--n->facilitator_count];
}

void peer_free(struct node *n, struct peer *p)
{
	ping_forget(n, p);
	burst_forget(n, p);
	probing_forget_peer(n, p);
	association_close(n, p);
	heap_set(&n->timers, &p->timer, OV_NEVER);
	table_remove(n->by_prefix, load_le64(p->prefix));
	uint64_t key = load_le64(p->known.key.s_public);
	if (table_find(n->by_static, key) == &p->known)
		table_remove(n->by_static, key);
	forget_facilitator(n, p);
	count_source(n, p->contact.source, -1);
	client_free(n, p);
	guest_free(n, p);
	registration_free(p);
	contact_fini(&p->contact);
	candidates_fini(&p->candidates);
	sodium_memzero(p, sizeof(*p));
	free(p);
}

static void untouch(struct node *n, const struct peer *p)
{
	struct peer **at = &n->touched;
	while (*at && *at != p)
		at = &(*at)->next_touched;
	if (*at)
		*at = p->next_touched;
}

/* Insertion order is what users see in lists. */
static void close_gap(struct node *n, size_t at)
{
	for (; at < n->peer_count; at++) {
		n->peers[at] = n->peers[at + 1];
		n->peers[at]->position = at;
	}
}

void peer_remove(struct node *n, struct peer *p)
{
	struct peer *last = n->peers[--n->peer_count];
	if (last->contact.source == CONTACT_CLIENT) { /* they come and go by the thousand */
		n->peers[p->position] = last;
		last->position = p->position;
	} else {
		close_gap(n, p->position);
	}
	association_close(n, p); /* may touch it */
	untouch(n, p);
	peer_free(n, p);
}

static int peer_insert(struct node *n, struct peer *p)
{
	if (n->peer_count == node_peers_max(&n->config))
		return OV_EFULL;
	if (n->peer_count == n->peer_cap) {
		size_t cap = n->peer_cap ? 2 * n->peer_cap : 16;
		struct peer **grown = realloc(n->peers, cap * sizeof(struct peer *));
		if (!grown)
			return OV_ENOMEM;
		n->peers = grown;
		n->peer_cap = cap;
	}
	int err = heap_reserve(&n->timers, n->peer_count + 1);
	if (err == OV_OK)
		err = table_put(
			n->by_prefix, load_le64(p->prefix), p); /* OV_EEXIST: its /64 collides */
	if (err != OV_OK)
		return err;
	/* Two keys that begin alike share the entry's place: the second is opened the slow way. */
	p->known.id = &p->contact.id;
	err = table_put(n->by_static, load_le64(p->known.key.s_public), &p->known);
	if (err == OV_ENOMEM) {
		table_remove(n->by_prefix, load_le64(p->prefix));
		return err;
	}
	p->position = n->peer_count;
	n->peers[n->peer_count++] = p;
	return OV_OK;
}

static int peer_new(struct node *n, const struct contact *c, struct peer **out)
{
	struct peer *p = calloc(1, sizeof(*p));
	if (!p)
		return OV_ENOMEM;
	p->retry_at = p->wanted_at = p->heard_at = p->lan_heard_at = OV_NEVER;
	p->bursts[0] = p->bursts[1] = OV_NEVER;
	p->timer.at = OV_NEVER;
	p->contact.source = CONTACT_FACILITATOR; /* not counted until replace_contact */
	p->lower = peer_id_compare(&n->self->id, &c->id) < 0;
	peer_id_prefix(&c->id, p->prefix);
	int err = peer_id_to_dh(&c->id, p->known.key.s_public);
	if (err == OV_OK)
		err = peer_insert(n, p);
	if (err != OV_OK) {
		free(p);
		return err;
	}
	*out = p;
	return OV_OK;
}

static void add_endpoints(
	const struct node *n, ov_time now, struct peer *p, const struct contact *c)
{
	for (size_t i = 0; i < c->endpoint_count; i++) {
		struct ov_addr a;
		bool is_name;
		const char *tcp = endpoint_tcp(c->endpoints[i]);
		if (tcp && endpoint_check(tcp, ENDPOINT_TCP_PORT, &a, &is_name) && !is_name)
			(void)candidates_add_tcp(&p->candidates, now, &a, SOURCE_CONFIG);
		if (endpoint_check(c->endpoints[i], n->config.listen_port, &a, &is_name) &&
			!is_name)
			(void)candidates_add(&p->candidates, now, &a, SOURCE_CONFIG);
	}
}

static void replace_contact(struct node *n, struct peer *p, const struct contact *c)
{
	count_source(n, p->contact.source, -1);
	contact_fini(&p->contact);
	p->contact = *c;
	count_source(n, c->source, 1);
	if (contact_is_known(c->source))
		guest_free(n, p); /* somebody of its own now */
}

int node_contact_put(struct node *n, ov_time now, const struct contact *c, bool call)
{
	if (peer_id_equal(&c->id, &n->self->id))
		return OV_EINVAL;
	struct contact copy;
	int err = contact_copy(&copy, c);
	if (err != OV_OK)
		return err;
	struct peer *p = node_peer(n, &c->id);
	bool more = contact_is_known(c->source) && !(p && contact_is_known(p->contact.source));
	if (more && n->known_count >= n->config.max_contacts)
		err = OV_EFULL;
	else if (!p)
		err = peer_new(n, c, &p);
	if (err != OV_OK) {
		contact_fini(&copy);
		return err;
	}
	replace_contact(n, p, &copy);
	candidates_forget_written(&p->candidates);
	add_endpoints(n, now, p, c);
	if (p->registration)
		add_endpoints(n, now, p, &p->registration->written);
	if (!addr_is_any(&c->last_endpoint))
		(void)candidates_add(&p->candidates, now, &c->last_endpoint, SOURCE_CACHE);
	reach_changed(n, now, p);
	if (contact_is_known(c->source))
		registration_renew_all(n, now); /* who may reach us changed */
	if (call)
		p->wanted_at = now;
	if (call && !association_reaches(p->association, now))
		call_start(n, now, p, false);
	return OV_OK;
}

/* It stays as a facilitator, which has no streams. Another half of the id: to the peer they end
 * with the next keys. */
static void end_streams(struct node *n, struct association *a)
{
	if (!a || !a->streams)
		return;
	streams_close(n, a, STREAM_CANCELLED);
	a->half = rng_u64(&n->rng);
}

int node_contact_remove(struct node *n, const struct peer_id *id)
{
	struct peer *p = node_peer(n, id);
	if (!p || p->contact.source == CONTACT_FACILITATOR)
		return OV_ENOENT;
	if (contact_is_known(p->contact.source)) {
		registration_renew_soon(n); /* who may reach us changed */
		guests_end(n, id);
	}
	if (!p->registration) {
		peer_remove(n, p);
		return OV_OK;
	}
	struct contact plain;
	if (contact_copy(&plain, &p->registration->written) != OV_OK)
		plain = (struct contact){ .id = p->contact.id };
	plain.source = CONTACT_FACILITATOR;
	replace_contact(n, p, &plain);
	end_streams(n, p->association);
	p->wanted_at = OV_NEVER;
	return OV_OK;
}

static uint8_t free_number(const struct node *n)
{
	unsigned taken = 0;
	uint8_t number = 0;
	for (size_t i = 0; i < n->facilitator_count; i++)
		taken |= 1u << n->facilitators[i]->registration->number;
	while (taken & 1u << number)
		number++;
	return number;
}

static int facilitator_new(struct node *n, struct peer *p)
{
	p->registration = calloc(1, sizeof(*p->registration));
	if (!p->registration)
		return OV_ENOMEM;
	p->registration->number = free_number(n);
	p->registration->watch.next_at = OV_NEVER;
	p->registration->next_at = p->registration->check_at = OV_NEVER;
	p->registration->netcheck.next_at = OV_NEVER;
	p->registration->relayed_at = p->registration->heard_at = OV_NEVER;
	n->facilitators[n->facilitator_count++] = p;
	return OV_OK;
}

/* What was written stays when somebody only offers it. */
static int keep_written(struct node *n, struct peer *p, const struct contact *c, bool offered)
{
	struct contact written = { 0 };
	if (p->registration && offered)
		return OV_OK;
	int err = contact_copy(&written, c);
	if (err == OV_OK && !p->registration)
		err = facilitator_new(n, p);
	if (err != OV_OK) {
		contact_fini(&written);
		return err;
	}
	contact_fini(&p->registration->written);
	p->registration->written = written;
	return OV_OK;
}

int node_facilitator_put(struct node *n, ov_time now, const struct contact *c, const uint8_t *pass)
{
	struct peer *p = node_peer(n, &c->id);
	if ((!p || !p->registration) && n->facilitator_count == FACILITATORS_MAX)
		return OV_EFULL;
	bool stays = p && (contact_is_known(p->contact.source) || (p->registration && pass));
	if (!stays) {
		struct contact named = *c; /* borrows its contents */
		named.source = CONTACT_FACILITATOR;
		int err = node_contact_put(n, now, &named, false);
		if (err != OV_OK)
			return err;
		p = node_peer(n, &c->id);
	} else {
		add_endpoints(n, now, p, c);
	}
	int err = keep_written(n, p, c, pass != NULL);
	if (err != OV_OK)
		return err;
	bool renewed = pass && guest_keep_pass(p, pass);
	if (renewed)
		call_end(n, p); /* its HS1 did not show it */
	if (renewed || !association_reaches(p->association, now))
		call_start(n, now, p, false);
	return OV_OK;
}

int node_facilitator_remove(struct node *n, ov_time now, const struct peer_id *id)
{
	struct peer *p = node_peer(n, id);
	if (!p || !p->registration)
		return OV_ENOENT;
	watch_forget(n, now, p);
	if (!contact_is_known(p->contact.source) && !p->guest) {
		peer_remove(n, p);
		return OV_OK;
	}
	if (p->guest) { /* we serve it still */
		struct contact client = { .id = *id, .source = CONTACT_CLIENT };
		replace_contact(n, p, &client);
	}
	if (n->probing.facilitator == p)
		probing_forget(n, now);
	link_end_all(n, now, p);
	forget_facilitator(n, p);
	registration_free(p);
	peer_touch(n, p);
	return OV_OK;
}

bool node_takes_newcomer(struct node *n, ov_time now, const struct ov_addr *from)
{
	if (n->client_count >= node_clients_max(&n->config)) {
		n->counters.refused.clients++;
		return false;
	}
	if (!n->newcomers)
		n->newcomers = source_limits_new(NEWCOMER_ENTRIES, &n->rng);
	return n->newcomers &&
	       source_limits_take(n->newcomers, now, from, NEWCOMERS_PER_SECOND, NEWCOMERS_BURST);
}

struct peer *client_new(struct node *n, ov_time now, const struct peer_id *id)
{
	struct contact c = { .id = *id, .source = CONTACT_CLIENT };
	if (node_contact_put(n, now, &c, false) != OV_OK)
		return NULL;
	return node_peer(n, id);
}

struct peer *node_client(
	struct node *n, ov_time now, const struct peer_id *id, const struct ov_addr *from)
{
	if (n->config.facilitator != FACILITATOR_OPEN || !node_takes_newcomer(n, now, from))
		return NULL;
	return client_new(n, now, id);
}

void node_candidate(struct node *n, ov_time now, const struct peer_id *id, const struct ov_addr *a,
	enum candidate_source source)
{
	struct peer *p = node_peer(n, id);
	if (!p || node_is_overlay_addr(n, a))
		return;
	(void)candidates_add(&p->candidates, now, a, source);
	if (peer_is_wanted(p, now) && !association_reaches(p->association, now))
		call_start(n, now, p, false);
}
