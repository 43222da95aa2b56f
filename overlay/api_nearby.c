/* Being found and finding on a LAN: `visible` shows this machine to everybody there for a while and
 * takes requests of strangers for as long, `nearby` lists who does the same. Nothing of it is
 * stored: a restart ends it. */
#include "overlay/api_impl.h"

#include <string.h>

#define VISIBLE_MAX_S 86400

static bool is_visible(const struct api *a, ov_time now)
{
	return now < a->visible.until;
}

bool api_takes_requests(const struct api *a, ov_time now)
{
	return a->cfg.facts->pairing || is_visible(a, now);
}

void api_renew_pairing(struct api *a, ov_time now)
{
	node_set_pairing(a->cfg.node, api_takes_requests(a, now));
}

/* ---- visible ---- */

static json_t *json_visible(const struct api *a, ov_time now)
{
	bool visible = is_visible(a, now);
	return json_pack("{s:b, s:s?, s:o, s:I, s:b}", "visible", visible, "name",
		visible && a->visible.name[0] ? a->visible.name : NULL, "until",
		visible ? api_json_at(a, a->visible.until) : json_null(), "left_ms",
		(json_int_t)(visible ? (a->visible.until - now) / OV_MS : 0), "pairing",
		api_takes_requests(a, now));
}

json_t *api_op_visible(struct api_call *c)
{
	return json_visible(c->a, c->now);
}

json_t *api_op_visible_set(struct api_call *c)
{
	struct api *a = c->a;
	int64_t duration_s = -1;
	const char *name = api_text(c, "name", false);
	char quoted[72];
	if (c->code || !api_integer(c, "duration_s", 0, VISIBLE_MAX_S, &duration_s))
		return NULL;
	if (duration_s < 0)
		return api_fail(c, "bad-argument", "0 ends it", "duration_s is missing");
	if (name && !notice_name_ok(name))
		return api_fail(c, "bad-argument",
			"letters, digits, '-', '_' and '.', first a letter or digit, at most 63",
			"\"%s\" cannot be a name", api_quote(quoted, name));
	if (!a->cfg.facts->neighbours)
		return api_fail(c, "not-allowed",
			"start overlayd without --no-lan and without \"lan\": false",
			"this overlayd does not speak on the LAN");
	snprintf(a->visible.name, sizeof(a->visible.name), "%s", name ? name : "");
	a->visible.until = duration_s > 0 ? c->now + duration_s * OV_SEC : 0;
	lan_show(a->cfg.facts->neighbours, c->now, a->visible.until, a->visible.name,
		a->cfg.identity);
	api_renew_pairing(a, c->now);
	return json_visible(a, c->now);
}

void api_nearby_tick(struct api *a, ov_time now)
{
	if (a->visible.until == 0 || is_visible(a, now))
		return;
	a->visible.until = 0;
	api_renew_pairing(a, now);
}

ov_time api_nearby_deadline(const struct api *a)
{
	return a->visible.until ? a->visible.until : OV_NEVER;
}

/* ---- nearby ---- */

json_t *api_json_nearby(const struct api *a, const struct nearby_peer *p)
{
	const struct contact *c = node_contact(a->cfg.node, &p->notice.id);
	const char *name = p->notice.name[0] ? p->notice.name : NULL;
	bool known = c && contact_is_known(c->source);
	return json_pack("{s:o, s:s?, s:o, s:s?}", "peer", api_json_peer_id(&p->notice.id), "name",
		name, "addr", api_json_addr(&p->at), "contact", known ? c->name : NULL);
}

json_t *api_op_nearby(struct api_call *c)
{
	const struct lan *l = c->a->cfg.facts->neighbours;
	json_t *list = json_array();
	if (!l) {
		json_decref(list);
		return api_fail(c, "not-allowed",
			"start overlayd without --no-lan and without \"lan\": false",
			"this overlayd does not listen on the LAN");
	}
	const struct nearby *t = lan_nearby(l);
	for (size_t i = 0; i < t->count; i++) {
		json_t *one = api_json_nearby(c->a, &t->list[i]);
		json_object_set_new(one, "heard_at", api_json_at(c->a, t->list[i].heard_at));
		json_object_set_new(one, "ago_ms",
			json_integer((json_int_t)((c->now - t->list[i].heard_at) / OV_MS)));
		json_array_append_new(list, one);
	}
	return json_pack("{s:o}", "nearby", list);
}

bool api_call_nearby(struct api *a, ov_time now, const struct peer_id *id)
{
	const struct lan *l = a->cfg.facts->neighbours;
	const struct nearby_peer *p = l ? nearby_find(lan_nearby(l), id) : NULL;
	if (!p)
		return false;
	node_candidate(a->cfg.node, now, id, &p->at, SOURCE_LAN);
	if (!addr_is_any(&p->also))
		node_candidate(a->cfg.node, now, id, &p->also, SOURCE_LAN);
	return true;
}

const char *api_nearby_name(const struct api *a, const struct peer_id *id)
{
	const struct lan *l = a->cfg.facts->neighbours;
	const struct nearby_peer *p = l ? nearby_find(lan_nearby(l), id) : NULL;
	return p && p->notice.name[0] ? p->notice.name : NULL;
}
