/* The ops of streams: what programs ask for goes to services.c; what comes of it is api_service.c.
 *
 * `inline`: the connection itself is the local end. For a dial it is handed over at once, so that
 * what the client sends behind its request is on its way before there is an answer; for an accept
 * when a stream has come. Its last line is then said by the local end. */
#include "overlay/api_impl.h"

#include <string.h>

static json_t *no_descriptors(struct api_call *c)
{
	return api_fail(c, "quota", "raise its limit of open files, or close some streams",
		"overlayd has no descriptor left");
}

static const char *service_arg(struct api_call *c)
{
	const char *name = api_text(c, "service", true);
	char quoted[72];
	if (!name)
		return NULL;
	if (!c->a->cfg.services) {
		api_fail(c, "not-allowed", "", "%s: there are no streams here", c->op);
		return NULL;
	}
	if (grant_service_ok(name, strlen(name)))
		return name;
	api_fail(c, "bad-argument",
		"1 to 63 printable characters without blank, comma, quote and backslash",
		"%s: \"%s\" is no name of a service", c->op, api_quote(quoted, name));
	return NULL;
}

static bool flag_arg(struct api_call *c, const char *key)
{
	bool value;
	(void)api_flag(c, key, &value);
	return value;
}

static struct service_request request_of(const struct api_call *c, bool is_inline)
{
	return (struct service_request){
		.client = c->client->id, .id = c->id, .has_id = c->has_id, .is_inline = is_inline
	};
}

/* After an inline request no lines come any more, whatever became of it. */
static json_t *settle_inline(struct api_call *c, bool is_inline)
{
	if (is_inline)
		c->client->stage = c->code ? API_ENDS : API_LEAVES;
	return NULL;
}

static bool dial_peer(struct api_call *c, struct peer_id *out)
{
	const char *text = json_string_value(json_object_get(c->args, "peer"));
	if (text && peer_id_decode(text, out) == OV_OK && peer_id_equal(out, &c->a->cfg.self))
		return true;
	const struct contact *contact = api_contact(c, "peer");
	if (contact)
		*out = contact->id;
	return contact != NULL;
}

static bool has_room(struct api_call *c)
{
	if (!services_is_busy(c->a->cfg.services, c->client->id))
		return true;
	api_fail(c, "busy", "wait for the answers that are still to come",
		"%d dials and accepts of this connection wait", SERVICE_REQUESTS_MAX);
	return false;
}

/* The descriptor that came with the line becomes the local end. */
static bool join(struct api_call *c, struct service_stream *s)
{
	int rc = c->a->cfg.ends->join(c->a->cfg.context, s, c->client->descriptor);
	if (rc == OV_OK) {
		c->client->has_descriptor = false;
		return true;
	}
	if (rc == OV_EINVAL)
		api_fail(c, "bad-argument", "a connected TCP or unix stream socket, passed once",
			"%s: the descriptor is none that can carry a stream", c->op);
	else
		no_descriptors(c);
	return false;
}

static void fail_dial(struct api_call *c, int rc)
{
	if (rc == OV_EFULL)
		api_fail(c, "quota", "close some, or raise limits.streams in the configuration",
			"too many streams are open");
	else if (rc == OV_ENOENT)
		api_fail(c, "unknown-peer", "see: overlay peer list", "no such peer");
	else
		api_fail(c, "busy", "try again in a moment", "dial: %s", ov_err_text(rc));
}

static void dial(struct api_call *c, const char *name, bool is_inline, ov_time timeout)
{
	struct peer_id peer;
	struct services *v = c->a->cfg.services;
	struct service_stream *s = NULL;
	struct service_request r = request_of(c, is_inline);
	struct service_target to = { .peer = &peer, .name = name, .timeout = timeout };
	if (!dial_peer(c, &peer) || !has_room(c))
		return;
	if (c->client->lost_descriptor) {
		no_descriptors(c);
		return;
	}
	int rc = services_dial(v, c->now, &to, &r, &s);
	if (rc != OV_OK) {
		fail_dial(c, rc);
		return;
	}
	if (!is_inline && c->client->has_descriptor && !join(c, s)) {
		services_drop(v, c->now, s, STREAM_CANCELLED);
		return;
	}
	if (is_inline)
		api_queue_take(
			c->a, &(struct api_line){ .client = r.client, .becomes = s->number });
	c->later = true;
}

json_t *api_op_dial(struct api_call *c)
{
	int64_t timeout_ms = 30000;
	bool is_inline = flag_arg(c, "inline");
	const char *name = c->code ? NULL : service_arg(c);
	if (name && api_integer(c, "timeout_ms", 1, 600000, &timeout_ms))
		dial(c, name, is_inline, timeout_ms * OV_MS);
	return settle_inline(c, is_inline);
}

json_t *api_op_listen(struct api_call *c)
{
	const char *name = service_arg(c);
	if (!name)
		return NULL;
	int rc = services_listen(c->a->cfg.services, c->client->id, c->client->uid, name);
	if (rc == OV_EEXIST)
		return api_fail(c, "busy", "stop it, or choose another name",
			"another program listens on %s", name);
	if (rc == OV_EFULL)
		return api_fail(c, "quota", "open another connection",
			"a connection listens on %d services at most", SERVICES_PER_CLIENT);
	if (rc != OV_OK)
		return api_fail(c, "busy", "", "listen: %s", ov_err_text(rc));
	return json_pack("{s:s}", "service", name);
}

static void accept_stream(struct api_call *c, const char *name, bool is_inline, bool is_hold)
{
	struct service_request r = request_of(c, is_inline);
	r.is_hold = is_hold;
	if (is_inline && is_hold) {
		api_fail(c, "bad-argument", "", "accept: inline or hold, not both");
		return;
	}
	if (!has_room(c))
		return;
	int rc = services_accept(c->a->cfg.services, c->now, c->client->uid, name, &r);
	if (rc == OV_ENOENT)
		api_fail(c, "no-such-service", API_LISTEN_HINT, "nobody listens on %s", name);
	else if (rc == OV_EPERM)
		api_fail(c, "not-allowed", "", "another user listens on %s", name);
	else if (rc == OV_EFULL)
		api_fail(c, "busy", "attach or refuse some", "this connection holds %d streams",
			SERVICE_HELD_MAX);
	else if (rc != OV_OK)
		api_fail(c, "busy", "try again in a moment", "accept: %s", ov_err_text(rc));
	c->later = rc == OV_OK;
}

json_t *api_op_accept(struct api_call *c)
{
	bool is_inline = flag_arg(c, "inline"), is_hold = flag_arg(c, "hold");
	const char *name = c->code ? NULL : service_arg(c);
	if (name)
		accept_stream(c, name, is_inline, is_hold);
	settle_inline(c, is_inline);
	if (c->later)
		api_on_streams(c->a, c->now); /* one may have waited */
	return NULL;
}

static int64_t number_arg(struct api_call *c)
{
	int64_t number = 0;
	if (api_integer(c, "stream", 1, INT64_MAX, &number) && number == 0)
		api_fail(c, "bad-argument", "", "%s: stream is missing", c->op);
	return number;
}

static json_t *json_ended(const struct api *a, const struct api_ended *e)
{
	json_t *line = api_json_names(a, &e->peer, e->service, e->number);
	json_t *counts = api_json_counts(e->sent, e->received, e->code);
	json_object_update(line, counts);
	json_decref(counts);
	json_object_set_new(line, "direction", api_json_direction(e->is_outbound));
	json_object_set_new(line, "open", json_false());
	return line;
}

static json_t *json_open(const struct api *a, const struct service_stream *s)
{
	uint64_t sent, received;
	a->cfg.ends->count(a->cfg.context, s, &sent, &received);
	json_t *line = api_json_stream(a, s), *counts = api_json_counts(sent, received, -1);
	json_object_update(line, counts);
	json_decref(counts);
	json_object_set_new(line, "direction", api_json_direction(s->is_outbound));
	json_object_set_new(line, "open", json_true());
	return line;
}

json_t *api_op_stream(struct api_call *c)
{
	const struct api *a = c->a;
	uint64_t number = (uint64_t)number_arg(c);
	if (c->code)
		return NULL;
	size_t kept = a->ended_count < API_ENDED_MAX ? a->ended_count : API_ENDED_MAX;
	for (size_t i = 0; i < kept; i++)
		if (a->ended[i].number == number)
			return json_ended(a, &a->ended[i]);
	const struct service_stream *s =
		a->cfg.services ? services_find_open(a->cfg.services, number) : NULL;
	if (s)
		return json_open(a, s);
	return api_fail(c, "expired", "the last 256 that ended are remembered",
		"no stream %llu is open", (unsigned long long)number);
}

static struct service_stream *held_arg(struct api_call *c)
{
	struct services *v = c->a->cfg.services;
	int64_t number = number_arg(c);
	if (c->code)
		return NULL;
	struct service_stream *s = v ? services_held(v, c->client->id, (uint64_t)number) : NULL;
	if (!s)
		api_fail(c, "expired", "a held stream ends after 30 s, and when the peer gives up",
			"this connection holds no stream %lld", (long long)number);
	return s;
}

json_t *api_op_attach(struct api_call *c)
{
	struct service_stream *s = held_arg(c);
	if (!s)
		return NULL;
	if (c->client->lost_descriptor)
		return no_descriptors(c);
	if (!c->client->has_descriptor)
		return api_fail(c, "bad-argument",
			"send it with the bytes of the line (SCM_RIGHTS)",
			"attach: the descriptor is missing");
	if (!join(c, s))
		return NULL;
	json_t *result = api_json_stream(c->a, s);
	api_open_stream(c->a, c->now, s);
	return result;
}

json_t *api_op_stream_refuse(struct api_call *c)
{
	struct service_stream *s = held_arg(c);
	if (!s)
		return NULL;
	json_t *result = api_json_stream(c->a, s);
	services_drop(c->a->cfg.services, c->now, s, STREAM_REFUSED);
	return result;
}
