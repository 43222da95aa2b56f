/* Streams for programs: what they ask for goes to services.c, what comes of it becomes an answer.
 * Descriptors are numbers here; local ends are made by the hooks (struct api_ends).
 *
 * `inline`: the connection itself is the local end. For a dial it is handed over at once, so that
 * what the client sends behind its request is on its way before there is an answer; for an accept
 * when a stream has come. Its last line is then said by the local end. */
#include "overlay/api_impl.h"

#include <stdlib.h>
#include <string.h>

#define ACCEPT_HINT "first: {\"op\":\"listen\",\"args\":{\"service\":NAME}}"

/* ---- lines ---- */

static const char *name_of(const struct api *a, const struct peer_id *id)
{
	const struct contact *c = node_contact(a->cfg.node, id);
	if (c)
		return c->name;
	return peer_id_equal(id, &a->cfg.self) ? "self" : NULL;
}

static json_t *json_names(
	const struct api *a, const struct peer_id *peer, const char *service, uint64_t number)
{
	return json_pack("{s:o, s:s?, s:s, s:I}", "peer", api_json_peer_id(peer), "name",
		name_of(a, peer), "service", service, "stream", (json_int_t)number);
}

static json_t *json_stream(const struct api *a, const struct service_stream *s)
{
	return json_names(a, &s->peer, s->name, s->number);
}

static json_t *json_direction(bool is_outbound)
{
	return json_string(is_outbound ? "out" : "in");
}

static json_t *stream_line(
	const struct api *a, const struct service_stream *s, const struct service_request *r)
{
	return api_result_line(r->has_id, r->id, json_stream(a, s));
}

/* To whoever asked; to nobody if it has gone. */
static void answer_take(struct api *a, const struct service_request *r, json_t *line)
{
	if (r->client)
		api_queue_take(
			a, &(struct api_line){
				   .client = r->client, .json = line, .is_last = r->is_inline });
	else
		json_decref(line);
}

static json_t *json_counts(uint64_t sent, uint64_t received, int64_t code)
{
	return json_pack("{s:I, s:I, s:o}", "sent_bytes", (json_int_t)sent, "received_bytes",
		(json_int_t)received, "code", code < 0 ? json_null() : json_integer(code));
}

static void publish(struct api *a, ov_time now, enum api_event kind, const struct service_stream *s,
	json_t *more)
{
	json_t *line, *what;
	if (!(a->subscribed & (1U << kind))) {
		a->next_event++;
		json_decref(more);
		return;
	}
	line = api_event_line(a, now, kind);
	what = json_stream(a, s);
	json_object_update(line, what);
	json_object_set_new(line, "direction", json_string(s->is_outbound ? "out" : "in"));
	if (more)
		json_object_update(line, more);
	json_decref(what);
	json_decref(more);
	api_publish_take(a, now, kind, line);
}

static void remember(struct api *a, const struct service_stream *s, uint64_t sent,
	uint64_t received, int64_t code)
{
	if (!a->ended)
		a->ended = calloc(API_ENDED_MAX, sizeof(*a->ended));
	if (!a->ended)
		return;
	struct api_ended *e = &a->ended[a->ended_count++ % API_ENDED_MAX];
	*e = (struct api_ended){ .peer = s->peer,
		.number = s->number,
		.sent = sent,
		.received = received,
		.code = code,
		.is_outbound = s->is_outbound };
	memcpy(e->service, s->name, sizeof(e->service));
}

void api_on_stream_closed(struct api *a, ov_time now, const struct service_stream *s, uint64_t sent,
	uint64_t received, int64_t code)
{
	json_t *more = NULL;
	remember(a, s, sent, received, code);
	if (a->subscribed & (1U << EVENT_SERVICE_CLOSED))
		more = json_counts(sent, received, code);
	publish(a, now, EVENT_SERVICE_CLOSED, s, more);
}

json_t *api_json_streams(const struct api *a, const struct peer_id *id)
{
	struct node_streams_info info;
	if (!node_streams_info(a->cfg.node, id, &info))
		return json_null();
	return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I}", "count", (json_int_t)info.streams,
		"window_bytes", (json_int_t)info.window, "in_flight_bytes",
		(json_int_t)info.in_flight, "lost_packets", (json_int_t)info.lost_packets,
		"sent_packets", (json_int_t)info.sent_packets, "rtt_us",
		(json_int_t)(info.srtt / OV_US));
}

/* ---- errors ---- */

struct reason {
	const char *code;
	char text[220], hint[220];
};

static struct reason refusal(uint32_t code, const char *peer, const char *service)
{
	struct reason r = { .code = "io" };
	switch (code) {
	case STREAM_PEER_RESTARTED:
		snprintf(r.text, sizeof(r.text), "%s has restarted", peer);
		snprintf(r.hint, sizeof(r.hint), "dial again");
		return r;
	case STREAM_REFUSED:
		snprintf(r.text, sizeof(r.text), "the service %s at %s refused", service, peer);
		snprintf(r.hint, sizeof(r.hint), "does what it leads to run there?");
		return r;
	case STREAM_NO_MEMORY:
		r.code = "busy";
		snprintf(r.text, sizeof(r.text), "%s has no room for another stream", peer);
		return r;
	case SERVICE_UNKNOWN:
		r.code = "no-such-service";
		snprintf(r.text, sizeof(r.text), "nobody listens on %s at %s", service, peer);
		snprintf(r.hint, sizeof(r.hint), "there: overlay serve %s TARGET", service);
		return r;
	case SERVICE_NOT_ALLOWED:
		r.code = "not-allowed";
		snprintf(r.text, sizeof(r.text), "%s does not allow us the service %s", peer,
			service);
		snprintf(r.hint, sizeof(r.hint),
			"there, with the name that we have there: overlay peer allow NAME service:%s",
			service);
		return r;
	case SERVICE_BUSY:
		r.code = "busy";
		snprintf(r.text, sizeof(r.text), "the service %s at %s takes no stream now",
			service, peer);
		snprintf(r.hint, sizeof(r.hint), "try again in a moment");
		return r;
	default: break;
	}
	snprintf(r.text, sizeof(r.text), "%s ended the stream before it accepted", peer);
	return r;
}

static struct reason failure(const struct api *a, ov_time now, const struct service_stream *s)
{
	struct peer_info info;
	struct reason r = { .code = "timeout" };
	const char *name = name_of(a, &s->peer);
	if (!name)
		name = "the peer"; /* it was removed meanwhile */
	if (s->failure == SERVICE_REFUSED)
		return refusal(s->code, name, s->name);
	if (s->failure == SERVICE_LOCAL_GONE) {
		r.code = "io";
		snprintf(r.text, sizeof(r.text),
			"the local end was closed before there was an answer");
		return r;
	}
	bool known = node_peer_info(a->cfg.node, now, &s->peer, &info);
	if (!known || info.state == PEER_UP || info.state == PEER_SUSPECT) {
		snprintf(r.text, sizeof(r.text), "%s gave no answer for %s in time", name, s->name);
		return r;
	}
	r.code = "peer-away";
	snprintf(r.text, sizeof(r.text), "%s was not reached in time", name);
	snprintf(r.hint, sizeof(r.hint), "what is tried: overlay why %s", name);
	return r;
}

static json_t *no_descriptors(struct api_call *c)
{
	return api_fail(c, "quota", "raise its limit of open files, or close some streams",
		"overlayd has no descriptor left");
}

/* ---- what services tell ---- */

/* The line of an inline connection that has left the control table. */
static void say_take(struct api *a, struct service_stream *s, json_t *line)
{
	char *text = line ? json_dumps(line, JSON_COMPACT) : NULL;
	if (text) {
		size_t len = strlen(text);
		text[len] = '\n';
		(void)a->cfg.ends->say(a->cfg.context, s, text, len + 1);
	}
	free(text);
	json_decref(line);
}

static void open_stream(struct api *a, ov_time now, struct service_stream *s)
{
	services_open(a->cfg.services, now, s);
	a->cfg.ends->start(a->cfg.context, s);
	publish(a, now, EVENT_SERVICE_OPENED, s, NULL);
}

/* A new pair, one end for the client. */
static void hand_out_pair(struct api *a, ov_time now, struct service_stream *s)
{
	struct service_request r = s->request;
	int theirs;
	if (a->cfg.ends->pair(a->cfg.context, s, &theirs) != OV_OK) {
		answer_take(a, &r,
			api_failure_line(r.has_id, r.id, "quota", "overlayd has no descriptor left",
				"raise its limit of open files, or close some streams"));
		services_drop(a->cfg.services, now, s, STREAM_NO_MEMORY);
		return;
	}
	struct api_line line = { .client = r.client,
		.json = stream_line(a, s, &r),
		.has_descriptor = true,
		.descriptor = theirs };
	open_stream(a, now, s);
	api_queue_take(a, &line);
}

static void on_accepted(struct api *a, ov_time now, struct service_stream *s)
{
	struct service_request r = s->request;
	if (!s->local && r.is_inline) { /* it could not be handed over */
		services_drop(a->cfg.services, now, s, STREAM_CANCELLED);
		return;
	}
	if (!s->local) {
		hand_out_pair(a, now, s);
		return;
	}
	json_t *line = stream_line(a, s, &r);
	if (r.is_inline)
		say_take(a, s, line);
	else
		answer_take(a, &r, line);
	open_stream(a, now, s);
}

static void on_offered(struct api *a, ov_time now, struct service_stream *s)
{
	struct service_request r = s->request;
	if (!r.is_hold && !r.is_inline) {
		hand_out_pair(a, now, s);
		return;
	}
	services_hold(a->cfg.services, now, s);
	api_queue_take(a, &(struct api_line){ .client = r.client,
				  .json = stream_line(a, s, &r),
				  .becomes = r.is_inline ? s->number : 0 });
}

static void on_failed(struct api *a, ov_time now, struct service_stream *s)
{
	struct service_request r = s->request;
	struct reason why = failure(a, now, s);
	json_t *line = api_failure_line(r.has_id, r.id, why.code, why.text, why.hint);
	bool says_itself = s->local && r.is_inline;
	if (says_itself)
		say_take(a, s, line);
	if (s->local)
		a->cfg.ends->cut(a->cfg.context, s);
	services_drop(a->cfg.services, now, s, STREAM_CANCELLED);
	if (!says_itself)
		answer_take(a, &r, line);
}

void api_on_streams(struct api *a, ov_time now)
{
	struct service_stream *s;
	struct service_request r;
	while ((s = services_next(a->cfg.services))) {
		if (s->state == SERVICE_ACCEPTED)
			on_accepted(a, now, s);
		else if (s->state == SERVICE_OFFERED)
			on_offered(a, now, s);
		else
			on_failed(a, now, s);
	}
	while (services_next_orphan(a->cfg.services, &r))
		answer_take(a, &r,
			api_failure_line(r.has_id, r.id, "no-such-service",
				"nobody listens on this service any more", ACCEPT_HINT));
}

struct service_stream *api_becomes(struct api *a, uint64_t client, uint64_t number)
{
	struct service_stream *s = services_dialed(a->cfg.services, client, number);
	return s ? s : services_held(a->cfg.services, client, number);
}

void api_became(struct api *a, ov_time now, struct service_stream *s)
{
	s->request.client = 0; /* its connection is no client any more */
	if (s->state == SERVICE_HELD)
		open_stream(a, now, s);
}

/* ---- ops ---- */

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
	if (text && peer_id_parse(text, out) == OV_OK && peer_id_equal(out, &c->a->cfg.self))
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
	if (!dial_peer(c, &peer) || !has_room(c))
		return;
	if (c->client->lost_descriptor) {
		no_descriptors(c);
		return;
	}
	int rc = services_dial(v, c->now, &peer, name, &r, timeout, &s);
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
		return api_fail(
			c, "busy", "see: overlay services", "another program listens on %s", name);
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
	int rc = services_accept(c->a->cfg.services, c->client->uid, name, &r);
	if (rc == OV_ENOENT)
		api_fail(c, "no-such-service", ACCEPT_HINT, "nobody listens on %s", name);
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
	json_t *line = json_names(a, &e->peer, e->service, e->number);
	json_t *counts = json_counts(e->sent, e->received, e->code);
	json_object_update(line, counts);
	json_decref(counts);
	json_object_set_new(line, "direction", json_direction(e->is_outbound));
	json_object_set_new(line, "open", json_false());
	return line;
}

static json_t *json_open(const struct api *a, const struct service_stream *s)
{
	uint64_t sent, received;
	a->cfg.ends->count(a->cfg.context, s, &sent, &received);
	json_t *line = json_stream(a, s), *counts = json_counts(sent, received, -1);
	json_object_update(line, counts);
	json_decref(counts);
	json_object_set_new(line, "direction", json_direction(s->is_outbound));
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
	json_t *result = json_stream(c->a, s);
	open_stream(c->a, c->now, s);
	return result;
}

json_t *api_op_stream_refuse(struct api_call *c)
{
	struct service_stream *s = held_arg(c);
	if (!s)
		return NULL;
	json_t *result = json_stream(c->a, s);
	services_drop(c->a->cfg.services, c->now, s, STREAM_REFUSED);
	return result;
}
