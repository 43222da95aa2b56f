/* Dispatch, and the two lists behind it. A request is checked from the outside in: JSON, object,
 * id, op, greeting, permission, argument names; only then its handler runs. A handler returns a
 * result, fails (api_fail), or says `later` after it put a `pending` in the list. Whatever is ready
 * later waits in one queue for api_poll, so nothing here ever calls the socket.
 *
 * Invariant: a pending contact change stays in the list until the store has answered, even if its
 * client is gone or was told "timeout": what became durable is always applied to the node. */
#include "overlay/api_impl.h"

#include "overlay/suggest.h"

#include <sodium.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define STORE_PATIENCE (30 * OV_SEC) /* then the client is told; the change stays in line */
#define CLOCK_SET_S    3600          /* a step, no drift: the wall clock was set */

struct api_op {
	const char *name;
	json_t *(*handler)(struct api_call *c);
	enum api_permission permission;
	const char *args; /* accepted names, each followed by a space */
};

/* clang-format off */
static const struct api_op ops[] = {
	{ "hello",         api_op_hello,         API_READ,   "api client " },
	{ "version",       api_op_version,       API_READ,   "" },
	{ "id",            api_op_id,            API_READ,   "" },
	{ "status",        api_op_status,        API_READ,   "from " },
	{ "hosts",         api_op_hosts,         API_READ,   "from " },
	{ "facilitator.status", api_op_facilitator_status, API_READ, "" },
	{ "subscribe",     api_op_subscribe,     API_READ,   "events " },
	{ "ping",          api_op_ping,          API_READ,   "peer timeout_ms " },
	{ "peer.list",     api_op_peer_list,     API_READ,   "from " },
	{ "peer.show",     api_op_peer_show,     API_READ,   "peer " },
	{ "netcheck",      api_op_netcheck,      API_READ,   "" },
	{ "why",           api_op_why,           API_READ,   "peer " },
	{ "peer.requests", api_op_peer_requests, API_READ,   "" },
	{ "peer.add",      api_op_peer_add,      API_CHANGE, "name peer endpoints allow lan_only " },
	{ "peer.rename",   api_op_peer_rename,   API_CHANGE, "peer name " },
	{ "peer.remove",   api_op_peer_remove,   API_CHANGE, "peer " },
	{ "peer.allow",    api_op_peer_allow,    API_CHANGE, "peer allow " },
	{ "peer.deny",     api_op_peer_deny,     API_CHANGE, "peer deny " },
	{ "peer.lan_only", api_op_peer_lan_only, API_CHANGE, "peer lan_only " },
	{ "peer.accept",   api_op_peer_accept,   API_CHANGE, "peer name allow " },
	{ "peer.refuse",   api_op_peer_refuse,   API_CHANGE, "peer " },
	{ "invite.create", api_op_invite_create, API_CHANGE, "name as expires_s allow " },
	{ "invite.list",   api_op_invite_list,   API_READ,   "" },
	{ "invite.revoke", api_op_invite_revoke, API_CHANGE, "id " },
	{ "join",          api_op_join,          API_CHANGE, "line name allow " },
	{ "dial",          api_op_dial,          API_CHANGE, "peer service inline timeout_ms " },
	{ "listen",        api_op_listen,        API_CHANGE, "service " },
	{ "accept",        api_op_accept,        API_CHANGE, "service inline hold " },
	{ "attach",        api_op_attach,        API_CHANGE, "stream " },
	{ "stream",        api_op_stream,        API_READ,   "stream " },
	{ "refuse",        api_op_stream_refuse, API_CHANGE, "stream " },
	{ "nearby",        api_op_nearby,        API_READ,   "" },
	{ "visible",       api_op_visible,       API_READ,   "" },
	{ "visible.set",   api_op_visible_set,   API_CHANGE, "duration_s name " },
};
/* clang-format on */
#define OP_COUNT (sizeof(ops) / sizeof(ops[0]))

struct api *api_new(const struct api_config *cfg, ov_time now)
{
	struct api *a = calloc(1, sizeof(*a));
	if (!a)
		return NULL;
	a->cfg = *cfg;
	a->started = a->wall_at = now;
	a->pending_tail = &a->pending;
	a->lines_tail = &a->lines;
	return a;
}

void api_free(struct api *a)
{
	if (!a)
		return;
	while (a->pending) {
		struct pending *next = a->pending->next;
		api_pending_free(a->pending);
		a->pending = next;
	}
	struct api_line line;
	while (api_poll(a, &line)) {
		json_decref(line.json);
		if (line.has_descriptor)
			api_close_descriptor(a, line.descriptor);
	}
	api_invite_fini(a);
	api_join_fini(a);
	free(a->ended);
	free(a);
}

void api_set_wall(struct api *a, ov_time now, int64_t unix_ms)
{
	bool known = a->wall_ms != 0;
	int64_t expected_s = api_wall_s(a, now);
	a->wall_at = now;
	a->wall_ms = unix_ms;
	node_set_wall(a->cfg.node, now, unix_ms / 1000);
	api_offer_check(a, now);
	if (known && llabs(api_wall_s(a, now) - expected_s) > CLOCK_SET_S)
		api_offer_again(a, now);
}

int64_t api_wall_s(const struct api *a, ov_time now)
{
	return (a->wall_ms + (now - a->wall_at) / OV_MS) / 1000;
}

/* ---- answers ---- */

json_t *api_fail(struct api_call *c, const char *code, const char *hint, const char *format, ...)
{
	va_list ap;
	va_start(ap, format);
	vsnprintf(c->text, sizeof(c->text), format, ap);
	va_end(ap);
	snprintf(c->hint, sizeof(c->hint), "%s", hint);
	c->code = code;
	return NULL;
}

static json_t *line_id(bool has_id, json_int_t id)
{
	return has_id ? json_integer(id) : json_null();
}

json_t *api_result_line(bool has_id, json_int_t id, json_t *result_take)
{
	if (!result_take)
		return api_failure_line(has_id, id, "busy", "overlayd is out of memory", "");
	return json_pack(
		"{s:o, s:b, s:o}", "id", line_id(has_id, id), "ok", 1, "result", result_take);
}

json_t *api_failure_line(
	bool has_id, json_int_t id, const char *code, const char *text, const char *hint)
{
	json_t *error = json_pack("{s:s, s:s}", "code", code, "text", text);
	if (error && hint[0])
		json_object_set_new(error, "hint", json_string(hint));
	return json_pack("{s:o, s:b, s:o}", "id", line_id(has_id, id), "ok", 0, "error", error);
}

json_t *api_error_line(const char *code, const char *text, const char *hint)
{
	return api_failure_line(false, 0, code, text, hint);
}

void api_queue_take(struct api *a, const struct api_line *line)
{
	struct api_queued *q = line->json || line->becomes ? malloc(sizeof(*q)) : NULL;
	if (!q) {
		json_decref(line->json);
		if (line->has_descriptor)
			api_close_descriptor(a, line->descriptor);
		return;
	}
	*q = (struct api_queued){ .line = *line };
	*a->lines_tail = q;
	a->lines_tail = &q->next;
}

bool api_is_ready(const struct api *a)
{
	return a->lines != NULL;
}

bool api_poll(struct api *a, struct api_line *out)
{
	struct api_queued *q = a->lines;
	if (!q)
		return false;
	a->lines = q->next;
	if (!a->lines)
		a->lines_tail = &a->lines;
	*out = q->line;
	if (!out->client)
		a->events_queued--;
	free(q);
	return true;
}

/* ---- requests that wait ---- */

struct pending *api_pending_new(struct api_call *c, enum pending_kind kind)
{
	size_t own = 0;
	for (const struct pending *p = c->a->pending; p; p = p->next)
		own += p->client == c->client->id;
	struct pending *p = NULL;
	if (own < API_PENDING_PER_CLIENT && c->a->pending_count < API_PENDING_MAX)
		p = calloc(1, sizeof(*p));
	if (!p) {
		api_fail(c, "busy", "wait for the answers that are still to come",
			"too many requests wait (%d for a client, %d in all)",
			API_PENDING_PER_CLIENT, API_PENDING_MAX);
		return NULL;
	}
	*p = (struct pending){ .token = ++c->a->next_token,
		.client = c->client->id,
		.id = c->id,
		.has_id = c->has_id,
		.kind = kind };
	return p;
}

void api_pending_add(struct api *a, struct pending *p)
{
	*a->pending_tail = p;
	a->pending_tail = &p->next;
	a->pending_count++;
}

struct pending *api_pending_unlink(struct api *a, uint64_t token)
{
	for (struct pending **at = &a->pending; *at; at = &(*at)->next) {
		struct pending *p = *at;
		if (p->token != token)
			continue;
		*at = p->next;
		if (!p->next)
			a->pending_tail = at;
		p->next = NULL;
		a->pending_count--;
		return p;
	}
	return NULL;
}

void api_pending_free(struct pending *p)
{
	if (!p)
		return;
	contact_fini(&p->contact);
	store_invite_free(p->invite);
	if (p->line)
		sodium_memzero(p->line, sizeof(*p->line));
	free(p->line);
	free(p);
}

json_t *api_post_take(struct api_call *c, struct pending *p, struct store_request *r)
{
	r->ticket = p->token;
	p->deadline = c->now + STORE_PATIENCE;
	int rc = c->a->cfg.store_post_take(c->a->cfg.context, r);
	if (rc != OV_OK) {
		api_pending_free(p);
		return api_fail(c, rc == OV_EFULL ? "busy" : "io", "try again in a moment",
			"the store took no request: %s", ov_err_text(rc));
	}
	api_pending_add(c->a, p);
	c->later = true;
	return NULL;
}

void api_close_descriptor(struct api *a, int descriptor)
{
	a->cfg.ends->close(a->cfg.context, descriptor);
}

void api_client_gone(struct api *a, ov_time now, uint64_t client)
{
	for (struct pending *p = a->pending; p; p = p->next)
		if (p->client == client)
			p->client = 0;
	if (!a->cfg.services)
		return;
	services_client_gone(a->cfg.services, now, client);
	api_on_streams(a, now);
}

bool api_client_waits(const struct api *a, uint64_t client)
{
	for (const struct pending *p = a->pending; p; p = p->next)
		if (p->client == client)
			return true;
	return a->cfg.services && services_waiting(a->cfg.services, client) > 0;
}

ov_time api_deadline(const struct api *a)
{
	ov_time at = OV_NEVER;
	for (const struct pending *p = a->pending; p; p = p->next)
		at = ov_min(at, p->deadline);
	if (a->cfg.services)
		at = ov_min(at, services_deadline(a->cfg.services));
	return ov_min(at, ov_min(api_join_deadline(a), api_nearby_deadline(a)));
}

static void answer_timeout(struct api *a, struct pending *p)
{
	const char *text = "the peer's answer did not come in time", *hint = "";
	if (p->kind != PENDING_PING) {
		text = "the store has not answered for 30 s; the change may still happen";
		hint = "is the disk of the state directory stalled? see: overlay peer list";
	}
	json_t *line = api_failure_line(p->has_id, p->id, "timeout", text, hint);
	if (p->client)
		api_queue_take(a, &(struct api_line){ .client = p->client, .json = line });
	else
		json_decref(line);
	p->client = 0;
	p->deadline = OV_NEVER;
}

void api_tick(struct api *a, ov_time now)
{
	api_join_tick(a, now);
	api_nearby_tick(a, now);
	if (a->cfg.services) {
		services_tick(a->cfg.services, now);
		api_on_streams(a, now);
	}
	for (struct pending *p = a->pending, *next; p; p = next) {
		next = p->next;
		if (p->deadline > now)
			continue;
		answer_timeout(a, p);
		if (p->kind == PENDING_PING)
			api_pending_free(api_pending_unlink(a, p->token));
	}
}

/* ---- dispatch ---- */

static const struct api_op *find_op(struct api_call *c, const char *name)
{
	struct suggest near;
	for (size_t i = 0; i < OP_COUNT; i++)
		if (strcmp(ops[i].name, name) == 0)
			return &ops[i];
	suggest_init(&near, name);
	for (size_t i = 0; i < OP_COUNT; i++)
		suggest_offer(&near, ops[i].name);
	char quoted[72], hint[128] = "this overlayd may be older than the program that asks";
	if (near.best)
		snprintf(hint, sizeof(hint), "did you mean \"%s\"?", near.best);
	api_fail(c, "bad-argument", hint, "unknown op \"%s\"", api_quote(quoted, name));
	return NULL;
}

/* Is `word` one of the space-terminated words of the list? */
static bool has_word(const char *list, const char *word)
{
	size_t len = strlen(word);
	for (const char *at = list; *at; at = strchr(at, ' ') + 1)
		if (strncmp(at, word, len) == 0 && at[len] == ' ')
			return true;
	return false;
}

static bool check_args(struct api_call *c, const struct api_op *op)
{
	const char *key;
	json_t *value;
	json_t *args = (json_t *)(uintptr_t)c->args; /* jansson iterates without const */
	json_object_foreach(args, key, value)
	{
		char quoted[72], hint[128] = "it takes no arguments";
		if (key[0] && has_word(op->args, key))
			continue;
		if (op->args[0])
			snprintf(hint, sizeof(hint), "it takes: %.*s", (int)strlen(op->args) - 1,
				op->args); /* each word ends in a blank */
		api_fail(c, "bad-argument", hint, "%s: unknown argument \"%s\"", op->name,
			api_quote(quoted, key));
		return false;
	}
	return true;
}

static const struct api_op *check_request(struct api_call *c, const json_t *request)
{
	const json_t *id = json_object_get(request, "id");
	const json_t *op = json_object_get(request, "op");
	c->args = json_object_get(request, "args");
	c->has_id = json_is_integer(id);
	c->id = json_integer_value(id);
	const char *hint = "a request is {\"id\":1,\"op\":\"status\",\"args\":{}} on one line";
	if (!json_is_object(request))
		api_fail(c, "bad-argument", hint, "the line is not a JSON object");
	else if (id && !c->has_id && !json_is_null(id))
		api_fail(c, "bad-argument", hint, "id must be an integer");
	else if (!json_is_string(op))
		api_fail(c, "bad-argument", hint, "op must be a string");
	else if (c->args && !json_is_object(c->args))
		api_fail(c, "bad-argument", hint, "args must be an object");
	if (c->code)
		return NULL;

	const struct api_op *found = find_op(c, json_string_value(op));
	if (!found || !check_args(c, found))
		return NULL;
	if (!c->client->greeted && found->handler != api_op_hello) {
		api_fail(c, "bad-argument", "send {\"op\":\"hello\",\"args\":{\"api\":1}} first",
			"the first op of a connection is hello");
		return NULL;
	}
	if (c->client->permission < found->permission) {
		api_fail(c, "not-allowed", "", "%s needs the right to change", found->name);
		return NULL;
	}
	return found;
}

json_t *api_handle(struct api *a, ov_time now, struct api_client *client, const json_t *request)
{
	struct api_call c = { .a = a, .now = now, .client = client };
	const struct api_op *op = check_request(&c, request);
	json_t *result = NULL;
	if (op) {
		c.op = op->name;
		result = op->handler(&c);
	}
	if (c.code) {
		json_decref(result);
		return api_failure_line(c.has_id, c.id, c.code, c.text, c.hint);
	}
	if (c.later)
		return NULL;
	return api_result_line(c.has_id, c.id, result);
}

/* A descriptor that nobody wanted is not kept. */
static void end_of_line(struct api *a, struct api_client *client)
{
	if (client->has_descriptor)
		api_close_descriptor(a, client->descriptor);
	client->has_descriptor = client->lost_descriptor = false;
}

json_t *api_handle_line(
	struct api *a, ov_time now, struct api_client *client, const char *line, size_t len)
{
	json_error_t why;
	json_t *request = json_loadb(line, len, JSON_REJECT_DUPLICATES, &why);
	if (!request) {
		char text[256], quoted[72];
		snprintf(text, sizeof(text), "not valid JSON: %s at byte %d",
			api_quote(quoted, why.text), why.position);
		end_of_line(a, client);
		return api_error_line(
			"bad-argument", text, "a request is one JSON object on one line, in UTF-8");
	}
	json_t *answer = api_handle(a, now, client, request);
	json_decref(request);
	end_of_line(a, client);
	return answer;
}
