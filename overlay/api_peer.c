/* The ops that change contacts. All take the same way: copy the contact as it will be (with changes
 * that still wait for the store, so that two quick changes both survive), change the copy, post it
 * to the store, and only when it is durable give it to the node and answer.
 *
 * Contacts of the configuration file belong to that file: a change here would be undone at the next
 * start, so it is refused with the place to edit. */
#include "overlay/api_impl.h"

#include <stdlib.h>
#include <string.h>

const char *api_default_name(const struct peer_id *id, char out[API_DEFAULT_NAME_MAX])
{
	char text[PEER_ID_TEXT_LEN + 1];
	snprintf(out, API_DEFAULT_NAME_MAX, "peer-%.8s", peer_id_format(id, text));
	return out;
}

static bool same_name(const char *x, const char *y)
{
	for (; *x && *y; x++, y++) {
		char a = *x, b = *y;
		a = (char)(a >= 'A' && a <= 'Z' ? a - 'A' + 'a' : a);
		b = (char)(b >= 'A' && b <= 'Z' ? b - 'A' + 'a' : b);
		if (a != b)
			return false;
	}
	return *x == *y;
}

/* In the store names differ by more than case. */
static bool name_is_free(const struct api *a, const char *name)
{
	const struct contact *at;
	for (size_t i = 0; (at = node_contact_at(a->cfg.node, i)) != NULL; i++)
		if (same_name(at->name, name))
			return false;
	for (const struct pending *p = a->pending; p; p = p->next)
		if (p->kind != PENDING_PING && same_name(p->contact.name, name))
			return false;
	return true;
}

void api_choose_name(const struct api *a, const char *wanted, const struct peer_id *id,
	char out[CONTACT_NAME_MAX])
{
	char base[API_DEFAULT_NAME_MAX];
	struct peer_id parsed;
	bool good = contact_name_ok(wanted) && peer_id_parse(wanted, &parsed) != OV_OK;
	if (!good)
		wanted = api_default_name(id, base);
	snprintf(out, CONTACT_NAME_MAX, "%s", wanted);
	for (unsigned n = 2; !name_is_free(a, out); n++)
		snprintf(out, CONTACT_NAME_MAX, "%.*s-%u", CONTACT_NAME_MAX - 8, wanted, n);
}

bool api_check_not_config(struct api_call *c, const struct contact *contact)
{
	if (contact->source != CONTACT_CONFIG)
		return true;
	const struct api_config *cfg = &c->a->cfg;
	const char *path = cfg->facts->config_path ? cfg->facts->config_path : "the configuration";
	unsigned line = cfg->config_line ? cfg->config_line(cfg->context, &contact->id) : 0;
	char place[280], hint[320];
	int len = snprintf(place, sizeof(place), "%.250s", path);
	if (line)
		snprintf(place + len, sizeof(place) - (size_t)len, ":%u", line);
	snprintf(hint, sizeof(hint), "edit key contacts there, then: systemctl reload overlayd");
	api_fail(c, "not-allowed", hint, "%s comes from %s (key contacts)", contact->name, place);
	return false;
}

const struct contact *api_newest(const struct api *a, const struct peer_id *id)
{
	const struct contact *found = node_contact(a->cfg.node, id);
	if (found && !contact_is_known(found->source))
		found = NULL; /* it serves us, or we serve it */
	for (const struct pending *p = a->pending; p; p = p->next) {
		if (p->kind == PENDING_PING || !peer_id_equal(&p->contact.id, id))
			continue;
		found = p->kind == PENDING_REMOVE ? NULL : &p->contact;
	}
	return found;
}

bool api_check_name(struct api_call *c, const char *name, const struct peer_id *id)
{
	char quoted[72], peer[PEER_ID_TEXT_LEN + 1], hint[200];
	struct peer_id parsed;
	if (!contact_name_ok(name) || peer_id_parse(name, &parsed) == OV_OK) {
		api_fail(c, "bad-argument",
			"letters, digits, '-', '_' and '.', first a letter or digit, at most 63",
			"\"%s\" cannot be a name", api_quote(quoted, name));
		return false;
	}
	const struct peer_id *owner = NULL;
	const struct contact *at;
	for (size_t i = 0; !owner && (at = node_contact_at(c->a->cfg.node, i)) != NULL; i++)
		if (contact_is_known(at->source) && strcmp(at->name, name) == 0 &&
			!peer_id_equal(&at->id, id))
			owner = &at->id;
	for (const struct pending *p = c->a->pending; !owner && p; p = p->next)
		if (p->kind != PENDING_PING && p->kind != PENDING_REMOVE &&
			strcmp(p->contact.name, name) == 0 && !peer_id_equal(&p->contact.id, id))
			owner = &p->contact.id;
	if (!owner)
		return true;
	snprintf(hint, sizeof(hint), "choose another name, or: overlay peer remove %s", name);
	api_fail(c, "bad-argument", hint, "the name %s belongs to %s", name,
		peer_id_format(owner, peer));
	return false;
}

/* Posts the change; takes contact in every case. The answer follows when it is durable. */
static json_t *post_take(
	struct api_call *c, enum pending_kind kind, struct contact *contact, bool call)
{
	struct pending *p = api_pending_new(c, kind);
	struct store_request r = { .op = kind == PENDING_REMOVE ? STORE_CONTACT_REMOVE
								: STORE_CONTACT_PUT };
	if (!p || contact_copy(&r.contact, contact) != OV_OK) {
		contact_fini(contact);
		free(p);
		return c->code ? NULL : api_fail(c, "busy", "", "overlayd is out of memory");
	}
	p->is_new = api_newest(c->a, &contact->id) == NULL;
	p->contact = *contact;
	p->call = call;
	return api_post_take(c, p, &r);
}

/* ---- pieces of a contact ---- */

static json_t *fail_word(struct api_call *c, int rc, const char *word, const char *name)
{
	char quoted[72];
	api_quote(quoted, word);
	if (rc == OV_EFULL)
		return api_fail(c, "quota",
			"use `all`, or remove one: overlay peer allow PEER --remove WORD",
			"%s has no room for another grant (%s)", name, quoted);
	return api_fail(c, "bad-argument",
		"icmp tcp/PORT udp/PORT all service:NAME message relay introduce store exit",
		"\"%s\" is not a grant", quoted);
}

bool api_add_grants(struct api_call *c, struct contact *contact, const json_t *words)
{
	for (size_t i = 0; i < json_array_size(words); i++) {
		const char *word = json_string_value(json_array_get(words, i));
		int rc = grants_add(&contact->grants, word);
		if (rc != OV_OK) {
			fail_word(c, rc, word, contact->name);
			return false;
		}
	}
	return true;
}

static bool remove_grants(struct api_call *c, struct contact *contact, const json_t *words)
{
	for (size_t i = 0; i < json_array_size(words); i++) {
		const char *word = json_string_value(json_array_get(words, i));
		int rc = grants_remove(&contact->grants, word);
		if (rc == OV_OK)
			continue;
		char hint[160];
		snprintf(
			hint, sizeof(hint), "see what it has: overlay peer show %s", contact->name);
		if (rc == OV_ENOENT)
			api_fail(c, "bad-argument", hint, "%s has no grant %.80s", contact->name,
				word);
		else
			fail_word(c, rc, word, contact->name);
		return false;
	}
	return true;
}

static bool add_endpoints(struct api_call *c, struct contact *contact, const json_t *texts)
{
	for (size_t i = 0; i < json_array_size(texts); i++) {
		const char *text = json_string_value(json_array_get(texts, i));
		char quoted[72];
		int rc = contact_add_endpoint(contact, text);
		if (rc == OV_EFULL)
			api_fail(c, "quota", "remove the contact and add it with fewer",
				"%s has %d endpoints already", contact->name,
				CONTACT_ENDPOINTS_MAX);
		else if (rc != OV_OK)
			api_fail(c, "bad-argument",
				"1.2.3.4:27182, [2001:db8::1]:27182 or host.example:27182; TCP: "
				"tcp:host.example:443",
				"\"%s\" is not an endpoint", api_quote(quoted, text));
		if (rc != OV_OK)
			return false;
	}
	return true;
}

/* ---- ops ---- */

/* The contact to add to: the one that is there, or a new one. False: error set. */
static bool start_contact(
	struct api_call *c, struct contact *out, const struct peer_id *id, const char *name)
{
	*out = (struct contact){ .id = *id, .source = CONTACT_ADDED };
	if (peer_id_equal(id, &c->a->cfg.self)) {
		api_fail(c, "bad-argument",
			"give the PeerId that `overlay id` prints on the other machine",
			"this is the PeerId of this machine");
		return false;
	}
	if (!api_check_name(c, name, id))
		return false;
	const struct contact *old = api_newest(c->a, id);
	if (!old) {
		snprintf(out->name, sizeof(out->name), "%s", name);
		out->grants = grants_default();
		return true;
	}
	if (!api_check_not_config(c, old))
		return false;
	if (strcmp(old->name, name) != 0) {
		char hint[200];
		snprintf(hint, sizeof(hint), "overlay peer rename %s %s", old->name, name);
		api_fail(c, "bad-argument", hint, "this PeerId is known as %s", old->name);
		return false;
	}
	if (contact_copy(out, old) == OV_OK)
		return true;
	*out = (struct contact){ .id = *id };
	api_fail(c, "busy", "", "overlayd is out of memory");
	return false;
}

static bool parse_peer(struct api_call *c, struct peer_id *id)
{
	const char *text = api_text(c, "peer", true);
	if (!text)
		return false;
	int rc = peer_id_parse(text, id);
	char quoted[72], hint[128];
	snprintf(hint, sizeof(hint), "a PeerId has %d characters; copy it from `overlay id`",
		PEER_ID_TEXT_LEN);
	if (rc != OV_OK)
		api_fail(
			c, "bad-argument", hint, "\"%s\" is not a PeerId", api_quote(quoted, text));
	return rc == OV_OK;
}

json_t *api_op_peer_add(struct api_call *c)
{
	struct peer_id id;
	const char *name = api_text(c, "name", true);
	if (!name || !parse_peer(c, &id))
		return NULL;
	const json_t *endpoints = api_list(c, "endpoints"), *allow = api_list(c, "allow");
	bool lan_only = false, given = api_flag(c, "lan_only", &lan_only);
	struct contact contact = { .name = "" };
	if (c->code || !start_contact(c, &contact, &id, name) ||
		!add_endpoints(c, &contact, endpoints) || !api_add_grants(c, &contact, allow)) {
		contact_fini(&contact);
		return NULL;
	}
	if (given)
		contact.lan_only = lan_only;
	return post_take(c, PENDING_PUT, &contact, true);
}

/* A private copy of the contact that "peer" names, if it may be changed. */
static bool copy_for_change(struct api_call *c, struct contact *out)
{
	const struct contact *now = api_contact(c, "peer");
	if (!now || !api_check_not_config(c, now))
		return false;
	const struct contact *base = api_newest(c->a, &now->id);
	if (!base) {
		api_fail(c, "unknown-peer", "", "%s is being removed", now->name);
		return false;
	}
	if (contact_copy(out, base) == OV_OK)
		return true;
	api_fail(c, "busy", "", "overlayd is out of memory");
	return false;
}

json_t *api_op_peer_rename(struct api_call *c)
{
	struct contact contact;
	const char *name = api_text(c, "name", true);
	if (!name || !copy_for_change(c, &contact))
		return NULL;
	if (!api_check_name(c, name, &contact.id)) {
		contact_fini(&contact);
		return NULL;
	}
	snprintf(contact.name, sizeof(contact.name), "%s", name);
	return post_take(c, PENDING_PUT, &contact, false);
}

json_t *api_op_peer_remove(struct api_call *c)
{
	struct contact contact;
	if (!copy_for_change(c, &contact))
		return NULL;
	return post_take(c, PENDING_REMOVE, &contact, false);
}

static json_t *change_grants(struct api_call *c, const char *key,
	bool (*change)(struct api_call *c, struct contact *contact, const json_t *words))
{
	const json_t *words = api_list(c, key);
	if (!c->code && json_array_size(words) == 0)
		return api_fail(c, "bad-argument", "for example [\"tcp/22\"]", "%s: %s is missing",
			c->op, key);
	struct contact contact;
	if (c->code || !copy_for_change(c, &contact))
		return NULL;
	if (!change(c, &contact, words)) {
		contact_fini(&contact);
		return NULL;
	}
	return post_take(c, PENDING_PUT, &contact, false);
}

json_t *api_op_peer_allow(struct api_call *c)
{
	return change_grants(c, "allow", api_add_grants);
}

json_t *api_op_peer_deny(struct api_call *c)
{
	return change_grants(c, "deny", remove_grants);
}

json_t *api_op_peer_lan_only(struct api_call *c)
{
	struct contact contact;
	bool lan_only;
	if (!api_flag(c, "lan_only", &lan_only))
		return c->code ? NULL
			       : api_fail(c, "bad-argument", "true or false",
					 "%s: lan_only is missing", c->op);
	if (!copy_for_change(c, &contact))
		return NULL;
	contact.lan_only = lan_only;
	return post_take(c, PENDING_PUT, &contact, !lan_only);
}

/* ---- strangers ---- */

static bool find_request(struct api_call *c, struct peer_request *out)
{
	struct peer_id id;
	if (!parse_peer(c, &id))
		return false;
	size_t count;
	struct peer_request *list = api_requests(c->a, REQUESTS_MAX, &count);
	bool found = false;
	for (size_t i = 0; i < count && !found; i++)
		if (peer_id_equal(&list[i].id, &id)) {
			*out = list[i];
			found = true;
		}
	free(list);
	if (!found)
		api_fail(c, "unknown-peer",
			api_takes_requests(c->a, c->now)
				? "see: overlay peer requests"
				: "nobody can ask now: overlay visible 10m, or overlay peer add",
			"this PeerId did not ask, or its request has made room for newer ones");
	return found;
}

json_t *api_op_peer_accept(struct api_call *c)
{
	struct peer_request request;
	char fallback[API_DEFAULT_NAME_MAX];
	const char *name = api_text(c, "name", false);
	const json_t *allow = api_list(c, "allow");
	if (c->code || !find_request(c, &request))
		return NULL;
	if (!name)
		name = api_default_name(&request.id, fallback);
	struct contact contact = { .name = "" };
	if (!start_contact(c, &contact, &request.id, name) || !api_add_grants(c, &contact, allow)) {
		contact_fini(&contact);
		return NULL;
	}
	return post_take(c, PENDING_ACCEPT, &contact, true);
}

json_t *api_op_peer_refuse(struct api_call *c)
{
	struct peer_request request;
	if (!find_request(c, &request))
		return NULL;
	node_request_take(c->a->cfg.node, &request.id, &request);
	return json_pack("{s:o, s:o}", "peer", api_json_peer_id(&request.id), "from",
		api_json_addr(&request.from));
}

/* ---- when the store has spoken ---- */

void api_notify(struct api *a, const struct contact *contact, bool removed)
{
	if (a->cfg.contact_changed)
		a->cfg.contact_changed(a->cfg.context, contact, removed);
}

json_t *api_undo(struct api *a, const struct pending *p, int rc)
{
	struct store_request r = { .op = STORE_CONTACT_REMOVE };
	if (p->is_new && contact_copy(&r.contact, &p->contact) == OV_OK)
		(void)a->cfg.store_post_take(a->cfg.context, &r);
	const char *text =
		rc == OV_EEXIST ? "its address range is that of another contact" : ov_err_text(rc);
	return api_failure_line(p->has_id, p->id, rc == OV_EFULL ? "quota" : "busy", text,
		rc == OV_EFULL ? "raise limits.contacts in the configuration" : "");
}

static json_t *apply_put(struct api *a, ov_time now, struct pending *p)
{
	struct peer_request request = { .at = 0 };
	int rc = node_contact_put(a->cfg.node, now, &p->contact, p->call);
	if (rc != OV_OK)
		return api_undo(a, p, rc);
	bool asked = node_request_take(a->cfg.node, &p->contact.id, &request);
	if (asked)
		node_candidate(a->cfg.node, now, &p->contact.id, &request.from, SOURCE_OBSERVED);
	bool nearby = p->call && api_call_nearby(a, now, &p->contact.id);
	api_notify(a, &p->contact, false);
	json_t *result = api_json_contact(a, &p->contact);
	json_object_set_new(result, "calling",
		json_boolean(p->call && (p->contact.endpoint_count > 0 || asked || nearby)));
	return api_result_line(p->has_id, p->id, result);
}

static json_t *apply_remove(struct api *a, struct pending *p)
{
	json_t *result = json_pack(
		"{s:o, s:s}", "peer", api_json_peer_id(&p->contact.id), "name", p->contact.name);
	api_join_forget(a, &p->contact.id);
	if (node_contact_remove(a->cfg.node, &p->contact.id) == OV_OK)
		api_notify(a, &p->contact, true);
	return api_result_line(p->has_id, p->id, result);
}

static json_t *apply(struct api *a, ov_time now, struct pending *p)
{
	switch (p->kind) {
	case PENDING_PUT:
	case PENDING_ACCEPT: return apply_put(a, now, p);
	case PENDING_REMOVE: return apply_remove(a, p);
	case PENDING_INVITE:
	case PENDING_REVOKE:
	case PENDING_USE: return api_invite_stored(a, now, p);
	case PENDING_JOIN: return api_join_stored(a, now, p);
	case PENDING_PING: break; /* asks the node */
	}
	assert(false);
	return NULL;
}

static json_t *refuse(struct api *a, const struct pending *p, const struct store_result *r)
{
	api_invite_failed(a, p, r);
	const char *code = r->status == OV_EEXIST ? "bad-argument" : "io";
	if (p->kind == PENDING_REVOKE && r->status == OV_ENOENT)
		code = "expired"; /* somebody was faster */
	return api_failure_line(p->has_id, p->id, code,
		r->text[0] ? r->text : ov_err_text(r->status), "nothing was changed");
}

void api_on_store_result(struct api *a, ov_time now, const struct store_result *r)
{
	struct pending *p = api_pending_unlink(a, r->ticket);
	if (!p)
		return;
	json_t *line = r->status == OV_OK ? apply(a, now, p) : refuse(a, p, r);
	if (p->client)
		api_queue_take(a, &(struct api_line){ .client = p->client, .json = line });
	else
		json_decref(line);
	api_pending_free(p);
}
