/* What happens without being asked: events of the node become lines for subscribers, pongs become
 * answers of the pings that wait. Events carry a sequence that counts all events of the daemon, so
 * a reader that filters sees gaps that mean nothing; losses are told by event.lost with a count. */
#include "overlay/api_impl.h"

#include "overlay/suggest.h"

#include <string.h>

const char *const api_event_names[EVENT_COUNT] = { "peer.up", "peer.down", "peer.request",
	"peer.nearby", "path.changed", "address.changed", "portmap.changed", "sleep.resumed",
	"service.opened", "service.closed", "event.lost" };

json_t *api_event_line(struct api *a, ov_time now, enum api_event kind)
{
	return json_pack("{s:s, s:I, s:o}", "event", api_event_names[kind], "seq",
		(json_int_t)++a->next_event, "at", api_json_at(a, now));
}

json_t *api_lost_line(struct api *a, ov_time now, uint64_t count)
{
	json_t *line = api_event_line(a, now, EVENT_LOST);
	json_object_set_new(line, "count", json_integer((json_int_t)count));
	return line;
}

void api_publish_take(struct api *a, ov_time now, enum api_event kind, json_t *line)
{
	if (a->events_queued >= API_EVENTS_MAX) {
		a->events_lost++;
		json_decref(line);
		return;
	}
	if (a->events_lost) {
		uint64_t lost = a->events_lost;
		a->events_lost = 0;
		a->events_queued++;
		api_queue_take(a, &(struct api_line){ .event_bit = 1U << EVENT_LOST,
					  .json = api_lost_line(a, now, lost) });
	}
	a->events_queued++;
	api_queue_take(a, &(struct api_line){ .event_bit = 1U << kind, .json = line });
}

static json_t *peer_event(
	struct api *a, ov_time now, enum api_event kind, const struct node_event *e)
{
	json_t *line = api_event_line(a, now, kind);
	const struct contact *c = node_contact(a->cfg.node, &e->peer);
	json_object_set_new(line, "peer", api_json_peer_id(&e->peer));
	json_object_set_new(line, "name", c ? json_string(c->name) : json_null());
	return line;
}

static void path_event(struct api *a, ov_time now, enum api_event kind, const struct node_event *e)
{
	json_t *line = peer_event(a, now, kind, e);
	json_object_set_new(line, "remote", api_json_remote(a, &e->addr));
	if (kind == EVENT_PATH_CHANGED || kind == EVENT_PEER_UP)
		json_object_set_new(line, "rtt_us", json_integer((json_int_t)(e->rtt / OV_US)));
	api_publish_take(a, now, kind, line);
}

/* ---- ping ---- */

json_t *api_op_ping(struct api_call *c)
{
	int64_t timeout_ms = 5000;
	if (!api_integer(c, "timeout_ms", 1, 60000, &timeout_ms))
		return NULL;
	struct peer_id self_id;
	const char *text = json_string_value(json_object_get(c->args, "peer"));
	bool to_self = text && peer_id_decode(text, &self_id) == OV_OK &&
		       peer_id_equal(&self_id, &c->a->cfg.self);
	const struct contact *contact = to_self ? NULL : api_contact(c, "peer");
	struct pending *p = c->code ? NULL : api_pending_new(c, PENDING_PING);
	if (!p)
		return NULL;
	p->contact.id = contact ? contact->id : c->a->cfg.self;
	snprintf(p->contact.name, sizeof(p->contact.name), "%s", contact ? contact->name : "self");
	p->timeout = timeout_ms * OV_MS;
	p->deadline = c->now + p->timeout + OV_SEC; /* the node answers sooner; a net under it */
	int rc = node_ping(c->a->cfg.node, c->now, &p->contact.id, p->token, p->timeout);
	if (rc != OV_OK) {
		api_pending_free(p);
		return api_fail(c, "busy", "try again in a moment", "ping: %s", ov_err_text(rc));
	}
	api_pending_add(c->a, p);
	c->later = true;
	return NULL;
}

static json_t *pong_line(struct api *a, const struct pending *p, const struct node_event *e)
{
	json_t *path = addr_is_any(&e->addr) ? json_null()
					     : json_pack("{s:s, s:o}", "carrier", "udp", "remote",
						       api_json_remote(a, &e->addr));
	struct peer_info info;
	if (node_peer_info(a->cfg.node, a->wall_at, &p->contact.id, &info) && info.has_active)
		json_object_set_new(
			path, "carrier", json_string(api_carrier_name(info.active.carrier)));
	return api_result_line(p->has_id, p->id,
		json_pack("{s:o, s:s, s:I, s:o, s:o, s:i}", "peer",
			api_json_peer_id(&p->contact.id), "name", p->contact.name, "rtt_us",
			(json_int_t)(e->rtt / OV_US), "path", path, "observed",
			api_json_addr(&e->observed), "pmtu_bytes", (int)e->pmtu));
}

static json_t *lost_ping_line(struct api *a, ov_time now, const struct pending *p)
{
	char text[200], hint[200];
	struct peer_info info;
	bool known = node_peer_info(a->cfg.node, now, &p->contact.id, &info);
	bool up = known && (info.state == PEER_UP || info.state == PEER_SUSPECT);
	snprintf(text, sizeof(text), "%s %s within %.3g s", p->contact.name,
		up ? "gave no answer" : "cannot be reached, no answer", (double)p->timeout / 1e9);
	snprintf(hint, sizeof(hint), "what was tried: overlay peer show %s", p->contact.name);
	if (known && !up && info.candidate_count == 0)
		snprintf(hint, sizeof(hint),
			"no address of it is known: overlay peer add %s PEERID IP:PORT",
			p->contact.name);
	return api_failure_line(p->has_id, p->id, up ? "timeout" : "peer-away", text, hint);
}

static void on_ping_end(struct api *a, ov_time now, const struct node_event *e)
{
	struct pending *p = api_pending_unlink(a, e->token);
	if (!p)
		return; /* answered by our own deadline */
	json_t *line = e->type == NODE_PONG ? pong_line(a, p, e) : lost_ping_line(a, now, p);
	if (p->client)
		api_queue_take(a, &(struct api_line){ .client = p->client, .json = line });
	else
		json_decref(line);
	api_pending_free(p);
}

/* ---- node and daemon ---- */

void api_on_event(struct api *a, ov_time now, const struct node_event *e)
{
	switch (e->type) {
	case NODE_PEER_UP:
		path_event(a, now, EVENT_PEER_UP, e);
		api_offer_make(a, now, &e->peer);
		break;
	case NODE_PEER_DOWN:
		api_publish_take(a, now, EVENT_PEER_DOWN, peer_event(a, now, EVENT_PEER_DOWN, e));
		break;
	case NODE_PATH_CHANGED: path_event(a, now, EVENT_PATH_CHANGED, e); break;
	case NODE_PEER_REQUEST: path_event(a, now, EVENT_PEER_REQUEST, e); break;
	case NODE_ADDRESS_CHANGED: {
		json_t *line = peer_event(a, now, EVENT_ADDRESS_CHANGED, e);
		json_object_set_new(line, "observed", api_json_addr(&e->addr));
		api_publish_take(a, now, EVENT_ADDRESS_CHANGED, line);
		break;
	}
	case NODE_PONG:
	case NODE_PING_TIMEOUT: on_ping_end(a, now, e); break;
	case NODE_RELAY_OFFERED: api_offer_take(a, now, e); break;
	case NODE_EVENTS_LOST:
		api_publish_take(a, now, EVENT_LOST, api_lost_line(a, now, e->count));
		break;
	case NODE_GUEST: api_invite_on_guest(a, now, e); break;
	case NODE_JOINED: api_join_done(a, &e->peer); break;
	case NODE_PROBE_WANTED:
	case NODE_PROBE_DONE:
	case NODE_PORTS_WANTED:
	case NODE_PORTS_DONE: /* for the sockets */
	case NODE_REFUSED:    /* logged, and shown by peer.show */
	case NODE_ENDPOINT: /* for the store, not for people */ break;
	}
}

void api_on_resumed(struct api *a, ov_time now, ov_time slept)
{
	json_t *line = api_event_line(a, now, EVENT_SLEEP_RESUMED);
	json_object_set_new(line, "slept_ms", json_integer((json_int_t)(slept / OV_MS)));
	api_publish_take(a, now, EVENT_SLEEP_RESUMED, line);
}

void api_on_nearby(struct api *a, ov_time now, const struct nearby_peer *p)
{
	json_t *line = api_event_line(a, now, EVENT_PEER_NEARBY), *what = api_json_nearby(a, p);
	json_object_update(line, what);
	json_decref(what);
	api_publish_take(a, now, EVENT_PEER_NEARBY, line);
}

void api_on_portmap(struct api *a, ov_time now, size_t family)
{
	json_t *line = api_event_line(a, now, EVENT_PORTMAP_CHANGED),
	       *what = api_json_portmap(a, family);
	json_object_update(line, what);
	json_decref(what);
	api_publish_take(a, now, EVENT_PORTMAP_CHANGED, line);
}

/* ---- subscribe ---- */

static bool add_event(struct api_call *c, const char *name, uint32_t *mask)
{
	struct suggest near;
	suggest_init(&near, name);
	for (unsigned i = 0; i < EVENT_COUNT; i++) {
		if (strcmp(api_event_names[i], name) == 0) {
			*mask |= 1U << i;
			return true;
		}
		suggest_offer(&near, api_event_names[i]);
	}
	char quoted[72], hint[128] = "leave events out to get all";
	if (near.best)
		snprintf(hint, sizeof(hint), "did you mean \"%s\"?", near.best);
	api_fail(c, "bad-argument", hint, "no event \"%s\"", api_quote(quoted, name));
	return false;
}

json_t *api_op_subscribe(struct api_call *c)
{
	const json_t *wanted = api_list(c, "events");
	if (c->code)
		return NULL;
	uint32_t mask = wanted ? 1U << EVENT_LOST : UINT32_MAX;
	for (size_t i = 0; i < json_array_size(wanted); i++)
		if (!add_event(c, json_string_value(json_array_get(wanted, i)), &mask))
			return NULL;
	c->client->events = mask;
	c->a->subscribed |= mask;
	json_t *names = json_array();
	for (unsigned i = 0; i < EVENT_COUNT; i++)
		if (mask & (1U << i))
			json_array_append_new(names, json_string(api_event_names[i]));
	return json_pack("{s:o, s:I}", "events", names, "seq", (json_int_t)c->a->next_event);
}
