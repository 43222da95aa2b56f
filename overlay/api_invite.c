/* Invites (docs/protocol.md 14): making, listing and revoking ours, and what happens when a guest
 * shows a secret. Taking somebody else's is api_join.c.
 *
 * The list in memory mirrors the store's, so that a wrong secret costs a look and no disk. The
 * store decides: it deletes the invite and inserts the contact in one transaction, and only then
 * the node hears of the contact and calls it back where it was heard. Whoever comes second,
 * replays, or is late gets silence (security.md 5, mistake 14: check and use in two steps). */
#include "overlay/api_impl.h"
#include "overlay/config.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#define EXPIRES_DEFAULT_S 86400
#define EXPIRES_MIN_S     1
#define ID_TEXT_LEN       8 /* of the hash, in hex: what people see and type */

/* ---- the list of ours ---- */

static ptrdiff_t find_invite(const struct api *a, const uint8_t hash[INVITE_HASH_LEN])
{
	for (size_t i = 0; i < a->invites.count; i++)
		if (sodium_memcmp(a->invites.list[i].hash, hash, INVITE_HASH_LEN) == 0)
			return (ptrdiff_t)i;
	return -1;
}

/* The node lets guests in through its relays. */
static void tell_node(const struct api *a, ov_time now)
{
	uint8_t hashes[API_INVITES_MAX][INVITE_HASH_LEN];
	for (size_t i = 0; i < a->invites.count; i++)
		memcpy(hashes[i], a->invites.list[i].hash, INVITE_HASH_LEN);
	node_set_invites(a->cfg.node, now, hashes[0], a->invites.count);
}

static void drop_invite(struct api *a, ov_time now, size_t at)
{
	struct api_invites *v = &a->invites;
	grants_fini(&v->list[at].grants);
	v->count--;
	memmove(&v->list[at], &v->list[at + 1], (v->count - at) * sizeof(v->list[0]));
	memmove(&v->in_use[at], &v->in_use[at + 1], (v->count - at) * sizeof(v->in_use[0]));
	tell_node(a, now);
}

static void drop_expired(struct api *a, ov_time now)
{
	struct api_invites *v = &a->invites;
	for (size_t i = v->count; i-- > 0;)
		if (v->list[i].expires_at_s <= api_wall_s(a, now) && !v->in_use[i])
			drop_invite(a, now, i);
}

static void id_text(const uint8_t hash[INVITE_HASH_LEN], char out[ID_TEXT_LEN + 1])
{
	sodium_bin2hex(out, ID_TEXT_LEN + 1, hash, ID_TEXT_LEN / 2);
}

static json_t *json_invite(const struct store_invite *i)
{
	char id[ID_TEXT_LEN + 1];
	id_text(i->hash, id);
	return json_pack("{s:s, s:o, s:o, s:o, s:o}", "id", id, "name",
		i->name[0] ? json_string(i->name) : json_null(), "allow",
		api_json_grants(&i->grants), "created_at", api_json_unix(i->created_at_s * 1000),
		"expires_at", api_json_unix(i->expires_at_s * 1000));
}

/* ---- invite.create ---- */

static size_t count_coming(const struct api *a)
{
	size_t count = a->invites.count;
	for (const struct pending *p = a->pending; p; p = p->next)
		count += p->kind == PENDING_INVITE;
	return count;
}

/* Those that serve us now, where we reach them. */
static void name_facilitators(struct api *a, ov_time now, struct invite *in)
{
	struct facilitator_info found[CONFIG_FACILITATORS_MAX];
	size_t count = node_facilitators(a->cfg.node, now, found, CONFIG_FACILITATORS_MAX);
	for (size_t i = 0; i < count && in->facilitator_count < INVITE_FACILITATORS; i++) {
		enum addr_scope scope = addr_scope(&found[i].endpoint);
		if (!found[i].registered || (scope != ADDR_GLOBAL && scope != ADDR_PRIVATE))
			continue;
		struct invite_facilitator *f = &in->facilitators[in->facilitator_count++];
		struct voucher v =
			voucher_draft(&in->inviter, &found[i].id, in->secret, in->expires_s);
		voucher_sign(&v, a->cfg.identity);
		*f = (struct invite_facilitator){ .id = found[i].id,
			.endpoint = found[i].endpoint };
		memcpy(f->signature, v.signature, sizeof(f->signature));
	}
}

/* Contacts of ours may have that name: it is for the guest's list. */
static bool check_own_name(struct api_call *c, const char *as)
{
	char quoted[72];
	if (!as || contact_name_ok(as))
		return true;
	api_fail(c, "bad-argument",
		"letters, digits, '-', '_' and '.', first a letter or digit, at most 63",
		"\"%s\" cannot be a name", api_quote(quoted, as));
	return false;
}

/* Reads the arguments. False: error set. */
static bool describe(struct api_call *c, struct store_invite *row, struct invite *in)
{
	struct contact guest = { .name = "the invite", .grants = grants_default() };
	const struct peer_id nobody = { { 0 } };
	int64_t expires_s = EXPIRES_DEFAULT_S;
	const char *name = api_text(c, "name", false), *as = api_text(c, "as", false);
	const json_t *allow = api_list(c, "allow");
	if (c->code || !api_integer(c, "expires_s", EXPIRES_MIN_S, EXPIRES_MAX_S, &expires_s) ||
		(name && !api_check_name(c, name, &nobody)) || !check_own_name(c, as))
		return false;
	if (!api_add_grants(c, &guest, allow)) {
		contact_fini(&guest);
		return false;
	}
	row->grants = guest.grants; /* owned now */
	row->created_at_s = api_wall_s(c->a, c->now);
	row->expires_at_s = row->created_at_s + expires_s;
	snprintf(row->name, sizeof(row->name), "%s", name ? name : "");
	snprintf(in->name, sizeof(in->name), "%s", as ? as : "");
	in->inviter = c->a->cfg.self;
	in->expires_s = (uint64_t)row->expires_at_s;
	return true;
}

static struct store_invite *copy_row(const struct store_invite *from)
{
	struct store_invite *to = malloc(sizeof(*to));
	if (!to)
		return NULL;
	*to = *from;
	if (grants_copy(&to->grants, &from->grants) == OV_OK)
		return to;
	free(to);
	return NULL;
}

json_t *api_op_invite_create(struct api_call *c)
{
	struct api *a = c->a;
	drop_expired(a, c->now);
	if (count_coming(a) >= API_INVITES_MAX)
		return api_fail(c, "quota",
			"see: overlay invite list; then: overlay invite revoke ID",
			"%d invites wait to be used already", API_INVITES_MAX);
	struct pending *p = api_pending_new(c, PENDING_INVITE);
	if (!p)
		return NULL;
	p->invite = calloc(1, sizeof(*p->invite));
	p->line = calloc(1, sizeof(*p->line));
	if (!p->invite || !p->line || !describe(c, p->invite, p->line)) {
		api_pending_free(p);
		return c->code ? NULL : api_fail(c, "busy", "", "overlayd is out of memory");
	}
	rng_fill(&a->cfg.rng, p->line->secret, INVITE_SECRET_LEN);
	invite_hash(p->invite->hash, p->line->secret);
	p->line->endpoint_count =
		node_own_addresses(a->cfg.node, p->line->endpoints, INVITE_ENDPOINTS);
	name_facilitators(a, c->now, p->line);
	struct store_request r = { .op = STORE_INVITE_ADD, .invite = copy_row(p->invite) };
	if (!r.invite) {
		api_pending_free(p);
		return api_fail(c, "busy", "", "overlayd is out of memory");
	}
	return api_post_take(c, p, &r);
}

static json_t *created(struct api *a, struct pending *p)
{
	struct api_invites *v = &a->invites;
	char line[INVITE_TEXT_MAX];
	json_t *result = json_invite(p->invite), *endpoints = json_array(),
	       *facilitators = json_array();
	for (size_t i = 0; i < p->line->endpoint_count; i++)
		json_array_append_new(endpoints, api_json_addr(&p->line->endpoints[i]));
	for (size_t i = 0; i < p->line->facilitator_count; i++)
		json_array_append_new(facilitators, api_json_peer_id(&p->line->facilitators[i].id));
	json_object_set_new(result, "line", json_string(invite_encode(p->line, line)));
	json_object_set_new(result, "endpoints", endpoints);
	json_object_set_new(result, "facilitators", facilitators);
	sodium_memzero(line, sizeof(line));
	assert(v->count < API_INVITES_MAX);
	v->in_use[v->count] = false;
	v->list[v->count++] = *p->invite;
	p->invite->grants = (struct grants){ 0 }; /* the list has them */
	tell_node(a, a->wall_at);
	return api_result_line(p->has_id, p->id, result);
}

/* ---- invite.list, invite.revoke ---- */

json_t *api_op_invite_list(struct api_call *c)
{
	json_t *list = json_array();
	drop_expired(c->a, c->now);
	for (size_t i = 0; i < c->a->invites.count; i++)
		json_array_append_new(list, json_invite(&c->a->invites.list[i]));
	return json_pack(
		"{s:o, s:I}", "invites", list, "refused", (json_int_t)c->a->invites.refused);
}

json_t *api_op_invite_revoke(struct api_call *c)
{
	const char *wanted = api_text(c, "id", true);
	const struct store_invite *found = NULL;
	char id[ID_TEXT_LEN + 1], quoted[72];
	if (!wanted)
		return NULL;
	drop_expired(c->a, c->now);
	for (size_t i = 0; i < c->a->invites.count && !found; i++) {
		id_text(c->a->invites.list[i].hash, id);
		found = strcmp(id, wanted) == 0 ? &c->a->invites.list[i] : NULL;
	}
	if (strlen(wanted) != ID_TEXT_LEN || strspn(wanted, "0123456789abcdef") != ID_TEXT_LEN)
		return api_fail(c, "bad-argument", "see: overlay invite list",
			"\"%s\" is not the id of an invite (8 hexadecimal digits)",
			api_quote(quoted, wanted));
	if (!found)
		return api_fail(c, "expired", "see: overlay invite list",
			"no invite \"%s\": it was used, has expired, or never was",
			api_quote(quoted, wanted));
	struct pending *p = api_pending_new(c, PENDING_REVOKE);
	if (!p)
		return NULL;
	p->invite = copy_row(found);
	struct store_request r = { .op = STORE_INVITE_REVOKE, .invite = copy_row(found) };
	if (!p->invite || !r.invite) {
		store_request_fini(&r);
		api_pending_free(p);
		return api_fail(c, "busy", "", "overlayd is out of memory");
	}
	return api_post_take(c, p, &r);
}

static json_t *revoked(struct api *a, const struct pending *p)
{
	ptrdiff_t at = find_invite(a, p->invite->hash);
	json_t *result = json_invite(p->invite);
	if (at >= 0)
		drop_invite(a, a->wall_at, (size_t)at);
	return api_result_line(p->has_id, p->id, result);
}

/* ---- a guest ---- */

static void tell(const struct api *a, const struct peer_id *peer, const char *name, const char *why)
{
	if (a->cfg.joined)
		a->cfg.joined(a->cfg.context, peer, name, why);
}

static void refuse_guest(struct api *a, const struct peer_id *peer, const char *why)
{
	a->invites.refused++;
	tell(a, peer, NULL, why);
}

/* What the store shall do. A guest that is a contact already uses the invite up, and stays as it
 * is. False: out of memory. */
static bool describe_use(struct api *a, const struct node_event *e, const struct store_invite *i,
	struct pending *p, struct store_request *r)
{
	p->invite = copy_row(i);
	r->invite = copy_row(i);
	p->from = e->addr;
	if (!p->invite || !r->invite)
		return false;
	if (api_newest(a, &e->peer))
		return true;
	p->is_new = true;
	p->contact = (struct contact){ .id = e->peer, .source = CONTACT_ADDED };
	api_choose_name(a, i->name, &e->peer, p->contact.name);
	return grants_copy(&p->contact.grants, &i->grants) == OV_OK &&
	       contact_copy(&r->contact, &p->contact) == OV_OK;
}

static void use_invite(struct api *a, const struct node_event *e, size_t at)
{
	struct pending *p = a->pending_count < API_PENDING_MAX ? calloc(1, sizeof(*p)) : NULL;
	struct store_request r = { .op = STORE_INVITE_USE };
	if (!p)
		return; /* it asks again in a moment */
	*p = (struct pending){
		.token = ++a->next_token, .kind = PENDING_USE, .deadline = OV_NEVER
	};
	r.ticket = p->token;
	if (!describe_use(a, e, &a->invites.list[at], p, &r)) {
		store_request_fini(&r);
		api_pending_free(p);
		return;
	}
	if (a->cfg.store_post_take(a->cfg.context, &r) != OV_OK) {
		api_pending_free(p);
		return;
	}
	a->invites.in_use[at] = true;
	api_pending_add(a, p);
}

void api_invite_on_guest(struct api *a, ov_time now, const struct node_event *e)
{
	ptrdiff_t at = find_invite(a, e->invite);
	bool good = at >= 0 && a->invites.list[at].expires_at_s > api_wall_s(a, now);
	if (good && !a->invites.in_use[at])
		use_invite(a, e, (size_t)at);
	else if (!good && !api_newest(a, &e->peer)) /* else it has not heard yet that it is in */
		refuse_guest(a, &e->peer, at >= 0 ? "expired" : "unknown_or_used");
}

static void used(struct api *a, ov_time now, struct pending *p)
{
	ptrdiff_t at = find_invite(a, p->invite->hash);
	if (at >= 0)
		drop_invite(a, a->wall_at, (size_t)at);
	if (!p->is_new)
		return;
	int rc = node_contact_put(a->cfg.node, now, &p->contact, true);
	if (rc != OV_OK) {
		json_decref(api_undo(a, p, rc));
		refuse_guest(a, &p->contact.id, ov_err_text(rc));
		return;
	}
	struct peer_request request;
	(void)node_request_take(a->cfg.node, &p->contact.id, &request);
	node_candidate(a->cfg.node, now, &p->contact.id, &p->from, SOURCE_OBSERVED);
	api_notify(a, &p->contact, false);
	tell(a, &p->contact.id, p->contact.name, "");
}

/* ---- store, start, end ---- */

json_t *api_invite_stored(struct api *a, ov_time now, struct pending *p)
{
	if (p->kind == PENDING_INVITE)
		return created(a, p);
	if (p->kind == PENDING_REVOKE)
		return revoked(a, p);
	used(a, now, p);
	return NULL;
}

void api_invite_failed(struct api *a, const struct pending *p, const struct store_result *r)
{
	if (p->kind != PENDING_USE && p->kind != PENDING_REVOKE)
		return;
	ptrdiff_t at = find_invite(a, p->invite->hash);
	if (at >= 0 && r->status == OV_ENOENT) /* expired there, or revoked a moment ago */
		drop_invite(a, a->wall_at, (size_t)at);
	else if (at >= 0 && p->kind == PENDING_USE)
		a->invites.in_use[at] = false;
	if (p->kind == PENDING_USE && p->is_new)
		refuse_guest(a, &p->contact.id, r->text);
}

void api_invites_take(struct api *a, ov_time now, struct store_pairing *p)
{
	struct api_invites *v = &a->invites;
	for (size_t i = 0; i < p->invite_count && v->count < API_INVITES_MAX; i++) {
		v->list[v->count++] = p->invites[i];
		p->invites[i].grants = (struct grants){ 0 };
	}
	tell_node(a, now);
	api_joins_take(a, now, p);
}

void api_invite_fini(struct api *a)
{
	while (a->invites.count > 0)
		grants_fini(&a->invites.list[--a->invites.count].grants);
}
