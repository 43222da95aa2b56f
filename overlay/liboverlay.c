/* A blocking client: operations are matched by id; events and answers that arrive while another
 * answer is awaited are kept in order, events up to EVENTS_MAX, then counted and told as
 * event.lost. Answers that nobody waits for any more come late and are skipped by their id.
 *
 * Stands alone on libc and jansson (it is also a shared library). */
#include "overlay/liboverlay_impl.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define EVENTS_MAX    1024
#define SYSTEM_SOCKET "/run/overlay/overlay.sock"

/* ---- errors ---- */

static void set_from_json(struct overlay_error *why, const json_t *error)
{
	const char *code = json_string_value(json_object_get(error, "code"));
	const char *text = json_string_value(json_object_get(error, "text"));
	const char *hint = json_string_value(json_object_get(error, "hint"));
	lib_set_error(why, code ? code : "io", text ? text : "unknown error", hint ? hint : "");
}

/* ---- where the daemon is ---- */

static bool is_socket_there(const char *base, const char *middle, char *out, size_t size)
{
	if (!base || !base[0])
		return false;
	int n = snprintf(out, size, "%s%s/overlay/overlay.sock", base, middle);
	return n > 0 && (size_t)n < size && access(out, F_OK) == 0;
}

/* The order of overlay.h: an own daemon (its socket in the runtime directory or, without one, in
 * the state directory) before that of the system. */
static bool socket_path(const char *given, char *out, size_t size)
{
	const char *named = given ? given : getenv("OVERLAY_SOCKET");
	if (!(named && named[0]) && geteuid() != 0 &&
		(is_socket_there(getenv("XDG_RUNTIME_DIR"), "", out, size) ||
			is_socket_there(getenv("XDG_STATE_HOME"), "", out, size) ||
			is_socket_there(getenv("HOME"), "/.local/state", out, size)))
		return true;
	int n = snprintf(out, size, "%s", named && named[0] ? named : SYSTEM_SOCKET);
	return n > 0 && (size_t)n < size;
}

static void explain_connect(struct overlay_error *why, const char *path)
{
	char text[200];
	if (errno == EACCES || errno == EPERM) {
		lib_set_error(why, "no-permission", "permission denied: join group overlay",
			"sudo adduser \"$USER\" overlay, then log in again");
		return;
	}
	snprintf(text, sizeof(text), "no overlayd at %s: %s", path, strerror(errno));
	lib_set_error(why, "no-daemon", text, "start overlayd, or set OVERLAY_SOCKET");
}

/* ---- events that were kept ---- */

static void keep_event(struct overlay *o, const char *text)
{
	struct event *e = o->event_count < EVENTS_MAX ? calloc(1, sizeof(*e)) : NULL;
	char *copy = e ? strdup(text) : NULL;
	if (!copy) {
		free(e);
		o->events_lost++;
		return;
	}
	e->text = copy;
	*o->events_tail = e;
	o->events_tail = &e->next;
	o->event_count++;
}

/* ---- operations ---- */

static struct request *new_request(struct overlay *o, struct overlay_error *why)
{
	struct request *r = o->request_count < REQUESTS_MAX ? calloc(1, sizeof(*r)) : NULL;
	struct request **at = &o->requests;
	if (!r) {
		lib_set_error(why, "busy", "too many operations are under way", "");
		return NULL;
	}
	while (*at)
		at = &(*at)->next;
	*at = r;
	o->request_count++;
	r->id = ++o->last_id;
	r->fd = -1;
	return r;
}

void lib_drop(struct overlay *o, struct request *r)
{
	struct request **at = &o->requests;
	while (*at && *at != r)
		at = &(*at)->next;
	if (!r || !*at)
		return;
	*at = r->next;
	o->request_count--;
	json_decref(r->answer);
	if (r->fd >= 0)
		close(r->fd);
	free(r);
}

/* With its newline; the caller frees it. NULL: *why. */
static char *request_line(
	json_int_t id, const char *op, json_t *args_take, struct overlay_error *why)
{
	json_t *line = json_pack("{s:I, s:s}", "id", id, "op", op);
	bool whole = json_object_set_new(line, "args", args_take ? args_take : json_object()) == 0;
	char *dump = whole ? json_dumps(line, JSON_COMPACT) : NULL;
	size_t len = dump ? strlen(dump) : 0;
	char *text = dump ? realloc(dump, len + 2) : NULL;
	json_decref(line);
	if (text && len < OVERLAY_LINE_MAX) {
		memcpy(text + len, "\n", 2);
		return text;
	}
	lib_set_error(why, text ? "bad-argument" : "io",
		text ? "the request is longer than 65536 bytes" : "out of memory", "");
	free(text ? text : dump);
	return NULL;
}

struct request *lib_send(
	struct overlay *o, const char *op, json_t *args_take, int fd, struct overlay_error *why)
{
	struct request *r = new_request(o, why);
	if (!r)
		json_decref(args_take);
	char *text = r ? request_line(r->id, op, args_take, why) : NULL;
	if (text && lib_send_line(o, text, fd, why) == 0) {
		free(text);
		return r;
	}
	free(text);
	lib_drop(o, r);
	return NULL;
}

/* args as a text. */
static struct request *send_text(
	struct overlay *o, const char *op, const char *args, int fd, struct overlay_error *why)
{
	json_t *a = args ? json_loads(args, JSON_REJECT_DUPLICATES, NULL) : json_object();
	if (json_is_object(a))
		return lib_send(o, op, a, fd, why);
	json_decref(a);
	lib_set_error(why, "bad-argument", "args is not a JSON object", "");
	return NULL;
}

/* answer_take has an id that somebody waits for, or it is dropped. */
static void keep_answer(struct overlay *o, json_t *answer_take)
{
	const json_t *id = json_object_get(answer_take, "id");
	struct request *r = o->requests;
	while (r && (!json_is_integer(id) || json_integer_value(id) != r->id || r->answer))
		r = r->next;
	if (!r) {
		json_decref(answer_take);
		return;
	}
	r->answer = answer_take;
	r->fd = o->line_fd;
	o->line_fd = -1;
}

int lib_read_line(struct overlay *o, long long until, struct overlay_error *why)
{
	char *line;
	int rc = lib_next_line(o, until, &line, why);
	if (rc <= 0)
		return rc;
	json_t *j = json_loads(line, 0, NULL);
	if (json_is_false(json_object_get(j, "ok")) && json_is_null(json_object_get(j, "id"))) {
		set_from_json(why, json_object_get(j, "error")); /* refused as a whole */
		json_decref(j);
		return -1;
	}
	if (json_object_get(j, "event")) {
		keep_event(o, line);
		json_decref(j);
	} else {
		keep_answer(o, j);
	}
	return 1;
}

int lib_await(
	struct overlay *o, const struct request *r, long long until, struct overlay_error *why)
{
	while (!r->answer) {
		int rc = lib_read_line(o, until, why);
		if (rc == 0 && errno == EINTR)
			lib_set_error(why, "io", "interrupted", "");
		else if (rc == 0)
			lib_set_error(why, "timeout", "overlayd did not answer in time", "");
		if (rc <= 0)
			return -1;
	}
	return 0;
}

const json_t *lib_result(const struct request *r, struct overlay_error *why)
{
	if (json_is_true(json_object_get(r->answer, "ok")))
		return json_object_get(r->answer, "result");
	set_from_json(why, json_object_get(r->answer, "error"));
	return NULL;
}

static char *result_text(const json_t *result, struct overlay_error *why)
{
	char *text = json_dumps(result, JSON_COMPACT | JSON_ENCODE_ANY);
	if (!text)
		lib_set_error(why, "io", "out of memory", "");
	return text;
}

int overlay_call(struct overlay *o, const char *op, const char *args, char **result,
	struct overlay_error *why)
{
	long long until = lib_until(o->timeout_ms);
	struct request *r = send_text(o, op, args, -1, why);
	const json_t *got = r && lib_await(o, r, until, why) == 0 ? lib_result(r, why) : NULL;
	bool ok = got != NULL;
	if (ok && result)
		ok = (*result = result_text(got, why)) != NULL;
	lib_drop(o, r);
	return ok ? 0 : -1;
}

struct overlay *overlay_connect(const char *path, struct overlay_error *why)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	if (!socket_path(path, a.sun_path, sizeof(a.sun_path))) {
		lib_set_error(why, "bad-argument",
			"the path of the overlay socket is longer than 107",
			"give a shorter one with OVERLAY_SOCKET or --socket");
		return NULL;
	}
	struct overlay *o = calloc(1, sizeof(*o));
	if (!o) {
		lib_set_error(why, "io", "out of memory", "");
		return NULL;
	}
	o->timeout_ms = 35000; /* the store is given 30 s */
	o->events_tail = &o->events;
	o->line_fd = -1;
	memcpy(o->path, a.sun_path, sizeof(o->path));
	o->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (o->fd < 0 || connect(o->fd, (const struct sockaddr *)&a, sizeof(a)) != 0) {
		explain_connect(why, o->path);
		overlay_close(o);
		return NULL;
	}
	if (overlay_call(o, "hello", "{\"api\":1,\"client\":\"liboverlay\"}", NULL, why) != 0) {
		overlay_close(o);
		return NULL;
	}
	return o;
}

void overlay_close(struct overlay *o)
{
	if (!o)
		return;
	while (o->events) {
		struct event *next = o->events->next;
		free(o->events->text);
		free(o->events);
		o->events = next;
	}
	while (o->requests)
		lib_drop(o, o->requests);
	for (size_t i = 0; i < o->arrived_count; i++)
		close(o->arrived[i].fd);
	if (o->line_fd >= 0)
		close(o->line_fd);
	if (o->fd >= 0)
		close(o->fd);
	free(o);
}

const char *overlay_socket_path(const struct overlay *o)
{
	return o->path;
}

void overlay_set_timeout(struct overlay *o, int timeout_ms)
{
	o->timeout_ms = timeout_ms;
}

/* ---- events ---- */

int overlay_subscribe(struct overlay *o, const char *args, struct overlay_error *why)
{
	return overlay_call(o, "subscribe", args, NULL, why);
}

static char *take_kept(struct overlay *o)
{
	struct event *e = o->events;
	char *text = NULL;
	if (e) {
		text = e->text;
		o->events = e->next;
		if (!o->events)
			o->events_tail = &o->events;
		o->event_count--;
		free(e);
	} else if (o->events_lost) {
		char lost[80];
		snprintf(lost, sizeof(lost), "{\"event\":\"event.lost\",\"count\":%llu}",
			o->events_lost);
		text = strdup(lost);
		o->events_lost = 0;
	}
	return text;
}

int overlay_next_event(struct overlay *o, int timeout_ms, char **event, struct overlay_error *why)
{
	long long until = lib_until(timeout_ms);
	for (;;) {
		*event = take_kept(o);
		if (*event)
			return 1;
		int rc = lib_read_line(o, until, why);
		if (rc <= 0)
			return rc;
	}
}

/* ---- for event loops ---- */

int overlay_descriptor(const struct overlay *o)
{
	return o->fd;
}

long long overlay_request(
	struct overlay *o, const char *op, const char *args, int fd, struct overlay_error *why)
{
	const struct request *r = send_text(o, op, args, fd, why);
	return r ? r->id : -1;
}

static struct request *find_answered(const struct overlay *o)
{
	struct request *r = o->requests;
	while (r && (!r->answer || r->is_accept)) /* an accept waits for overlay_accept */
		r = r->next;
	return r;
}

int overlay_next_answer(
	struct overlay *o, int timeout_ms, struct overlay_answer *answer, struct overlay_error *why)
{
	long long until = lib_until(timeout_ms);
	struct request *r;
	while (!(r = find_answered(o))) {
		int rc = lib_read_line(o, until, why);
		if (rc <= 0)
			return rc;
	}
	*answer = (struct overlay_answer){ .id = r->id, .fd = -1 };
	const json_t *got = lib_result(r, &answer->why);
	answer->result = got ? result_text(got, &answer->why) : NULL;
	if (answer->result) {
		answer->fd = r->fd;
		r->fd = -1;
	}
	lib_drop(o, r);
	return 1;
}

int overlay_take_inline(struct overlay *o, void *first, size_t *len)
{
	int fd = o->fd;
	*len = o->len - o->consumed;
	memcpy(first, o->in + o->consumed, *len);
	o->fd = -1;
	overlay_close(o);
	return fd;
}
