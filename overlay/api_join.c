/* Joining (docs/protocol.md 14): taking somebody else's invite. The line is stored with its
 * inviter, who becomes a contact and is called with the secret until it knows us, or the invite
 * expires. */
#include "overlay/api_impl.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

/* ---- the line, the contact ---- */

static bool read_line(struct api_call *c, struct invite *in)
{
	const char *line = api_text(c, "line", true);
	if (!line)
		return false;
	enum invite_verdict v = invite_decode(in, line);
	struct peer_id id;
	const char *hint = peer_id_parse(line, &id) == OV_OK
				   ? "this is a PeerId: overlay peer add NAME PEERID"
				   : "the other machine prints one: overlay invite";
	if (v != INVITE_OK) {
		api_fail(c, "bad-argument", hint, "%s", invite_verdict_text(v));
		return false;
	}
	if (peer_id_equal(&in->inviter, &c->a->cfg.self)) {
		api_fail(c, "bad-argument", "run overlay join on the other machine",
			"this machine made the invite");
		return false;
	}
	if (invite_expired(in, (uint64_t)api_wall_s(c->a, c->now))) {
		json_t *at = api_json_unix((int64_t)in->expires_s * 1000);
		api_fail(c, "expired",
			"ask for a new one (overlay invite), or set the clock of this machine",
			"the invite expired at %s", json_string_value(at));
		json_decref(at);
		return false;
	}
	return true;
}

/* The inviter as it will be among the contacts. False: error set. */
static bool describe_host(struct api_call *c, const struct invite *in, struct contact *out)
{
	const char *name = api_text(c, "name", false);
	const json_t *allow = api_list(c, "allow");
	const struct contact *old = api_newest(c->a, &in->inviter);
	if (c->code || (name && !api_check_name(c, name, &in->inviter)) ||
		(old && allow && !api_check_not_config(c, old)))
		return false;
	if (old && name && strcmp(old->name, name) != 0) {
		char hint[200];
		snprintf(hint, sizeof(hint), "overlay peer rename %s %s", old->name, name);
		api_fail(c, "bad-argument", hint, "the inviter is known as %s", old->name);
		return false;
	}
	if (old && contact_copy(out, old) != OV_OK) {
		api_fail(c, "busy", "", "overlayd is out of memory");
		return false;
	}
	if (!old) {
		*out = (struct contact){ .id = in->inviter, .source = CONTACT_ADDED };
		out->grants = grants_default();
		if (name)
			snprintf(out->name, sizeof(out->name), "%s", name);
		else
			api_choose_name(c->a, in->name, &in->inviter, out->name);
	}
	return api_add_grants(c, out, allow);
}

json_t *api_op_join(struct api_call *c)
{
	struct pending *p = api_pending_new(c, PENDING_JOIN);
	if (!p)
		return NULL;
	struct store_request r = { .op = STORE_JOIN, .line = calloc(1, INVITE_TEXT_MAX) };
	p->line = calloc(1, sizeof(*p->line));
	bool good = r.line && p->line && read_line(c, p->line) &&
		    describe_host(c, p->line, &p->contact) &&
		    contact_copy(&r.contact, &p->contact) == OV_OK;
	if (!good) {
		store_request_fini(&r);
		api_pending_free(p);
		return c->code ? NULL : api_fail(c, "busy", "", "overlayd is out of memory");
	}
	invite_encode(p->line, r.line);
	p->is_new = api_newest(c->a, &p->contact.id) == NULL;
	return api_post_take(c, p, &r);
}

static ptrdiff_t find_join(const struct api *a, const struct peer_id *peer)
{
	for (size_t i = 0; i < a->invites.join_count; i++)
		if (peer_id_equal(&a->invites.joins[i].peer, peer))
			return (ptrdiff_t)i;
	return -1;
}

void api_join_forget(struct api *a, const struct peer_id *peer)
{
	ptrdiff_t at = find_join(a, peer);
	if (at >= 0)
		a->invites.joins[at] = a->invites.joins[--a->invites.join_count];
}

/* Those that the inviter uses: the way to it, until it offers them itself (api_offer.c). */
static void use_facilitators(struct api *a, ov_time now, const struct invite *in)
{
	uint8_t token[VOUCHER_TOKEN_LEN];
	voucher_token(token, in->secret);
	for (size_t i = 0; i < in->facilitator_count; i++) {
		struct voucher v = invite_voucher(in, i);
		(void)api_offer_use(a, now, &in->facilitators[i].endpoint, &v, token);
	}
	sodium_memzero(token, sizeof(token));
}

/* The contact is in the node: it is called where the line says, with the secret. */
static void call_host(struct api *a, ov_time now, const struct invite *in)
{
	struct api_invites *v = &a->invites;
	for (size_t i = 0; i < in->endpoint_count; i++)
		node_candidate(a->cfg.node, now, &in->inviter, &in->endpoints[i], SOURCE_INVITE);
	use_facilitators(a, now, in);
	if (node_join(a->cfg.node, now, &in->inviter, in->secret) != OV_OK)
		return;
	api_join_forget(a, &in->inviter); /* an earlier line of the same inviter */
	struct api_join *more = realloc(v->joins, (v->join_count + 1) * sizeof(*more));
	if (!more)
		return; /* the line stays in the store until it expires */
	v->joins = more;
	v->joins[v->join_count++] =
		(struct api_join){ .peer = in->inviter, .expires_s = (int64_t)in->expires_s };
}

json_t *api_join_stored(struct api *a, ov_time now, struct pending *p)
{
	int rc = node_contact_put(a->cfg.node, now, &p->contact, false);
	if (rc != OV_OK)
		return api_undo(a, p, rc);
	call_host(a, now, p->line);
	api_notify(a, &p->contact, false);
	struct peer_info info;
	bool known = node_peer_info(a->cfg.node, now, &p->contact.id, &info);
	json_t *result = api_json_contact(a, &p->contact);
	json_object_set_new(
		result, "state", json_string(peer_state_name(known ? info.state : PEER_IDLE)));
	json_object_set_new(
		result, "expires_at", api_json_unix((int64_t)p->line->expires_s * 1000));
	return api_result_line(p->has_id, p->id, result);
}

void api_join_done(struct api *a, const struct peer_id *peer)
{
	struct store_request r = { .op = STORE_JOIN_DONE, .contact = { .id = *peer } };
	if (find_join(a, peer) >= 0 && a->cfg.store_post_take(a->cfg.context, &r) == OV_OK)
		api_join_forget(a, peer);
}

/* ---- time, start, end ---- */

ov_time api_join_deadline(const struct api *a)
{
	ov_time at = OV_NEVER;
	for (size_t i = 0; i < a->invites.join_count; i++) {
		int64_t left_s = a->invites.joins[i].expires_s - a->wall_ms / 1000;
		if (left_s <= EXPIRES_MAX_S) /* else it would not fit; asked again in time */
			at = ov_min(at, a->wall_at + left_s * OV_SEC);
	}
	return at;
}

/* What the inviter would refuse is shown no more, and leaves the disk. */
void api_join_tick(struct api *a, ov_time now)
{
	for (size_t i = a->invites.join_count; i-- > 0;) {
		struct peer_id peer = a->invites.joins[i].peer;
		if (a->invites.joins[i].expires_s > api_wall_s(a, now))
			continue;
		struct store_request r = { .op = STORE_JOIN_DONE, .contact = { .id = peer } };
		node_join_expired(a->cfg.node, &peer);
		api_join_forget(a, &peer);
		(void)a->cfg.store_post_take(a->cfg.context, &r); /* or pruned later */
	}
}

void api_joins_take(struct api *a, ov_time now, const struct store_pairing *p)
{
	for (size_t i = 0; i < p->facilitator_count; i++) {
		const struct store_facilitator *f = &p->facilitators[i];
		struct voucher v;
		if (voucher_decode(&v, f->voucher, sizeof(f->voucher)) == OV_OK &&
			peer_id_equal(&v.facilitator, &f->id))
			(void)api_offer_use(a, now, &f->endpoint, &v, f->token);
	}
	for (size_t i = 0; i < p->join_count; i++) {
		struct invite in;
		if (invite_decode(&in, p->joins[i].line) == INVITE_OK)
			call_host(a, now, &in);
		sodium_memzero(&in, sizeof(in));
	}
}

void api_join_fini(struct api *a)
{
	free(a->invites.joins);
	a->invites.joins = NULL;
}
