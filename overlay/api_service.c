/* What becomes of streams, as answers and events: what services.c tells gets a local end by the
 * hooks (struct api_ends), and whoever waits for it a line. */
#include "overlay/api_impl.h"

#include <stdlib.h>
#include <string.h>

/* ---- lines ---- */

static const char *name_of(const struct api *a, const struct peer_id *id)
{
	const struct contact *c = node_contact(a->cfg.node, id);
	if (c)
		return c->name;
	return peer_id_equal(id, &a->cfg.self) ? "self" : NULL;
}

json_t *api_json_names(
	const struct api *a, const struct peer_id *peer, const char *service, uint64_t number)
{
	return json_pack("{s:o, s:s?, s:s, s:I}", "peer", api_json_peer_id(peer), "name",
		name_of(a, peer), "service", service, "stream", (json_int_t)number);
}

json_t *api_json_stream(const struct api *a, const struct service_stream *s)
{
	return api_json_names(a, &s->peer, s->name, s->number);
}

json_t *api_json_direction(bool is_outbound)
{
	return json_string(is_outbound ? "out" : "in");
}

static json_t *stream_line(
	const struct api *a, const struct service_stream *s, const struct service_request *r)
{
	return api_result_line(r->has_id, r->id, api_json_stream(a, s));
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

json_t *api_json_counts(uint64_t sent, uint64_t received, int64_t code)
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
	what = api_json_stream(a, s);
	json_object_update(line, what);
	json_object_set_new(line, "direction", api_json_direction(s->is_outbound));
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
		more = api_json_counts(sent, received, code);
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
	if (s->failure == SERVICE_LOCAL_GONE) {
		r.code = "io";
		snprintf(r.text, sizeof(r.text),
			"the local end was closed before there was an answer");
		return r;
	}
	if (!name) {
		r.code = "unknown-peer";
		snprintf(r.text, sizeof(r.text), "the contact was removed meanwhile");
		return r;
	}
	if (s->failure == SERVICE_REFUSED)
		return refusal(s->code, name, s->name);
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

void api_open_stream(struct api *a, ov_time now, struct service_stream *s)
{
	services_open(a->cfg.services, s);
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
	api_open_stream(a, now, s);
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
	api_open_stream(a, now, s);
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
				"nobody listens on this service any more", API_LISTEN_HINT));
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
		api_open_stream(a, now, s);
}
