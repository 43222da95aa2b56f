/* The file wins over the store for the contacts it names, but for their last endpoint, which only
 * the store knows. */
#include "overlay/roster_uv.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

static const struct contact *configured(const struct roster *r, const struct peer_id *id)
{
	for (size_t i = 0; i < r->configured_count; i++)
		if (peer_id_equal(&r->configured[i].id, id))
			return &r->configured[i];
	return NULL;
}

static void put(struct roster *r, ov_time now, const struct contact *c, bool call)
{
	int err = node_contact_put(r->node, now, c, call);
	if (err != OV_OK)
		log_warn(r->log, now, "contact", "refused name=%s why=%s", c->name,
			ov_err_text(err));
}

static int post(struct roster *r, enum store_op op, const struct contact *c)
{
	struct store_request request = { .op = op };
	int err = contact_copy(&request.contact, c);
	return err == OV_OK ? store_post_take(r->store, &request) : err;
}

static void load_stored(struct roster *r, ov_time now, struct contact *stored)
{
	const struct contact *named = configured(r, &stored->id);
	bool call = !addr_is_any(&stored->last_endpoint);
	if (named) {
		struct contact merged = *named; /* borrows its contents */
		merged.last_endpoint = stored->last_endpoint;
		merged.last_seen_at_s = stored->last_seen_at_s;
		put(r, now, &merged, call);
	} else if (stored->source == CONTACT_CONFIG) {
		log_info(r->log, now, "contact", "gone_from_file name=%s", stored->name);
		(void)!post(r, STORE_CONTACT_REMOVE, stored); /* else at the next start */
	} else {
		put(r, now, stored, call);
	}
}

/* New ones of the file: into the node, and into the store for their last endpoints. */
static void load_configured(struct roster *r, ov_time now)
{
	size_t unstored = 0;
	for (size_t i = 0; i < r->configured_count; i++) {
		const struct contact *c = &r->configured[i];
		if (node_contact(r->node, &c->id))
			continue;
		put(r, now, c, true);
		unstored += post(r, STORE_CONTACT_PUT, c) != OV_OK;
	}
	if (unstored)
		log_warn(r->log, now, "store",
			"busy contacts_not_stored=%zu they_follow=at_the_next_start", unstored);
}

static void add_routes(struct roster *r, ov_time now)
{
	size_t count = node_peer_count(r->node);
	uint8_t *prefixes = r->tun && count ? calloc(count, 8) : NULL;
	char why[200];
	if (!prefixes)
		return;
	size_t routes = 0;
	for (size_t i = 0; i < count; i++)
		if (contact_is_known(node_contact_at(r->node, i)->source))
			peer_id_prefix(&node_contact_at(r->node, i)->id, prefixes + 8 * routes++);
	if (tun_routes(r->tun, prefixes, routes, true, why, sizeof(why)) != OV_OK)
		log_warn(r->log, now, "tun", "routes_failed why=%s", why);
	free(prefixes);
}

void roster_load_take(struct roster *r, ov_time now, struct contact *stored, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		load_stored(r, now, &stored[i]);
		contact_fini(&stored[i]);
	}
	free(stored);
	load_configured(r, now);
	add_routes(r, now);
	for (size_t i = 0; i < node_peer_count(r->node); i++)
		resolver_contact(r->resolver, node_contact_at(r->node, i), r->default_port);
}

static void remove_unnamed(struct roster *r, ov_time now)
{
	for (size_t i = 0; i < node_peer_count(r->node);) {
		const struct contact *c = node_contact_at(r->node, i);
		if (c->source != CONTACT_CONFIG || configured(r, &c->id)) {
			i++;
			continue;
		}
		log_info(r->log, now, "contact", "gone_from_file name=%s", c->name);
		(void)!post(r, STORE_CONTACT_REMOVE, c);
		roster_changed(r, now, c, true);
		struct peer_id id = c->id;
		if (node_contact_remove(r->node, &id) != OV_OK)
			i++; /* cannot be: it was listed */
	}
}

void roster_reload(struct roster *r, ov_time now, const struct contact *list, size_t count)
{
	r->configured = list;
	r->configured_count = count;
	remove_unnamed(r, now);
	for (size_t i = 0; i < count; i++) {
		put(r, now, &list[i], true);
		(void)!post(r, STORE_CONTACT_PUT, &list[i]);
		roster_changed(r, now, &list[i], false);
	}
}

void roster_changed(struct roster *r, ov_time now, const struct contact *c, bool removed)
{
	uint8_t prefix[8];
	char why[200];
	peer_id_prefix(&c->id, prefix);
	if (r->tun && tun_routes(r->tun, prefix, 1, !removed, why, sizeof(why)) != OV_OK)
		log_warn(r->log, now, "tun", "route_failed name=%s why=%s", c->name, why);
	if (!removed)
		resolver_contact(r->resolver, c, r->default_port);
}

/* A link-local address is good in this network only, and as long as interfaces keep their numbers.
 */
static bool has_better_endpoint(
	const struct roster *r, const struct contact *c, const struct ov_addr *a)
{
	struct path_info paths[16];
	if (addr_scope(a) != ADDR_LINK_LOCAL)
		return false;
	size_t count = node_peer_paths(r->node, &c->id, paths, 16);
	for (size_t i = 0; i < count; i++)
		if (strcmp(paths[i].state, "valid") == 0 && paths[i].carrier == CARRIER_UDP &&
			addr_scope(&paths[i].remote) != ADDR_LINK_LOCAL)
			return true;
	return !addr_is_any(&c->last_endpoint) && addr_scope(&c->last_endpoint) != ADDR_LINK_LOCAL;
}

void roster_on_endpoint(struct roster *r, const struct peer_id *id, const struct ov_addr *a)
{
	const struct contact *c = node_contact(r->node, id);
	struct store_request request = { .op = STORE_LAST_ENDPOINT };
	if (!c || has_better_endpoint(r, c, a) || contact_copy(&request.contact, c) != OV_OK)
		return;
	request.contact.last_endpoint = *a;
	request.contact.last_seen_at_s = (int64_t)time(NULL);
	(void)!store_post_take(r->store, &request); /* a hint: losing it costs one lookup */
}
