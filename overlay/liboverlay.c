/* A blocking client: one request at a time, matched by id; events that arrive while an answer is
 * awaited are kept in order, up to EVENTS_MAX, then counted and told as event.lost. Answers to
 * calls that were interrupted or timed out come late and are skipped by their id.
 *
 * Stands alone on libc and jansson (it is also a shared library). */
#include "overlay/overlay.h"

#include <errno.h>
#include <jansson.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define LINE_MAX_BYTES 65536 /* design 6 */
#define EVENTS_MAX     1024
#define SYSTEM_SOCKET  "/run/overlay/overlay.sock"

struct event {
	struct event *next;
	char *text;
};

struct overlay {
	int fd, timeout_ms;
	json_int_t last_id;
	struct event *events, **events_tail;
	size_t event_count;
	unsigned long long events_lost;
	size_t len;      /* bytes in `in` */
	size_t consumed; /* of them, the line handed out last */
	char path[sizeof(((struct sockaddr_un *)0)->sun_path)];
	char in[LINE_MAX_BYTES];
};

/* ---- errors ---- */

static void set_error(
	struct overlay_error *why, const char *code, const char *text, const char *hint)
{
	if (!why)
		return;
	snprintf(why->code, sizeof(why->code), "%s", code);
	snprintf(why->text, sizeof(why->text), "%s", text);
	snprintf(why->hint, sizeof(why->hint), "%s", hint);
}

static void set_errno(struct overlay_error *why, const char *what)
{
	char text[200];
	snprintf(text, sizeof(text), "%s: %s", what, strerror(errno));
	set_error(why, "io", text, "");
}

static void set_from_json(struct overlay_error *why, const json_t *error)
{
	const char *code = json_string_value(json_object_get(error, "code"));
	const char *text = json_string_value(json_object_get(error, "text"));
	const char *hint = json_string_value(json_object_get(error, "hint"));
	set_error(why, code ? code : "io", text ? text : "unknown error", hint ? hint : "");
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
		set_error(why, "no-permission", "permission denied: join group overlay",
			"sudo adduser \"$USER\" overlay, then log in again");
		return;
	}
	snprintf(text, sizeof(text), "no overlayd at %s: %s", path, strerror(errno));
	set_error(why, "no-daemon", text, "start overlayd, or set OVERLAY_SOCKET");
}

/* ---- lines ---- */

static long long now_ms(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (long long)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* Waits until fd is ready. 1: ready, 0: time is up, -1: errno. until < 0: for ever. */
static int wait_for(int fd, short events, long long until)
{
	struct pollfd p = { .fd = fd, .events = events };
	long long left = until < 0 ? -1 : until - now_ms();
	if (until >= 0 && left < 0)
		left = 0;
	return poll(&p, 1, left > 0x7fffffff ? 0x7fffffff : (int)left);
}

static int send_line(
	struct overlay *o, const char *text, long long until, struct overlay_error *why)
{
	size_t len = strlen(text);
	while (len > 0) {
		ssize_t n = send(o->fd, text, len, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n > 0) {
			text += n;
			len -= (size_t)n;
			continue;
		}
		if (errno == EPIPE || errno == ECONNRESET)
			return 0; /* its last words, if any, can still be read */
		if (errno != EAGAIN && errno != EINTR) {
			set_errno(why, "writing to overlayd");
			return -1;
		}
		if (errno == EAGAIN && wait_for(o->fd, POLLOUT, until) == 0) {
			set_error(why, "timeout", "overlayd takes no request", "");
			return -1;
		}
	}
	return 0;
}

/* The next line, NUL in place of its newline, valid until the next call. 1: *line is set, 0: time
 * is up or a signal came (errno EINTR), -1: *why. */
static int next_line(struct overlay *o, long long until, char **line, struct overlay_error *why)
{
	memmove(o->in, o->in + o->consumed, o->len - o->consumed);
	o->len -= o->consumed;
	o->consumed = 0;
	for (;;) {
		char *end = memchr(o->in, '\n', o->len);
		if (end) {
			*end = '\0';
			*line = o->in;
			o->consumed = (size_t)(end - o->in) + 1;
			return 1;
		}
		if (o->len == sizeof(o->in)) {
			set_error(why, "io", "overlayd sent a line longer than 65536 bytes", "");
			return -1;
		}
		ssize_t n = recv(o->fd, o->in + o->len, sizeof(o->in) - o->len, MSG_DONTWAIT);
		if (n > 0) {
			o->len += (size_t)n;
			continue;
		}
		if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
			set_error(why, "no-daemon", "overlayd closed the connection",
				"is it still running? see: overlay status");
			return -1;
		}
		errno = 0;
		int ready = wait_for(o->fd, POLLIN, until);
		if (ready == 0 || (ready < 0 && errno == EINTR))
			return 0;
	}
}

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

/* ---- calls ---- */

/* Reads until the answer with this id. The reference is the caller's; NULL: *why. */
static json_t *await_answer(
	struct overlay *o, json_int_t id, long long until, struct overlay_error *why)
{
	for (;;) {
		char *line;
		int rc = next_line(o, until, &line, why);
		if (rc < 0)
			return NULL;
		if (rc == 0 && errno == EINTR) {
			set_error(why, "io", "interrupted", "");
			return NULL;
		}
		if (rc == 0) {
			set_error(why, "timeout", "overlayd did not answer in time", "");
			return NULL;
		}
		json_t *answer = json_loads(line, 0, NULL);
		const json_t *got = json_object_get(answer, "id");
		if (json_object_get(answer, "event"))
			keep_event(o, line);
		else if (json_is_null(got) ||
			 (json_is_integer(got) && json_integer_value(got) == id))
			return answer; /* without id: refused as a whole */
		json_decref(answer);
	}
}

static int call_json(struct overlay *o, const char *op, const char *args, json_t **result,
	struct overlay_error *why)
{
	long long until = o->timeout_ms < 0 ? -1 : now_ms() + o->timeout_ms;
	json_t *a = args ? json_loads(args, JSON_REJECT_DUPLICATES, NULL) : json_object();
	json_t *request = json_pack("{s:I, s:s, s:o}", "id", ++o->last_id, "op", op, "args", a);
	char *dump = json_is_object(a) && request ? json_dumps(request, JSON_COMPACT) : NULL;
	size_t len = dump ? strlen(dump) : 0;
	char *text = dump ? realloc(dump, len + 2) : NULL;
	if (!text)
		free(dump);
	json_decref(request);
	if (!text || len >= LINE_MAX_BYTES) {
		free(text);
		set_error(why, "bad-argument",
			text ? "the request is longer than 65536 bytes"
			     : "args is not a JSON object",
			"");
		return -1;
	}
	memcpy(text + len, "\n", 2);
	int rc = send_line(o, text, until, why);
	free(text);
	json_t *answer = rc == 0 ? await_answer(o, o->last_id, until, why) : NULL;
	if (!answer)
		return -1;
	bool ok = json_is_true(json_object_get(answer, "ok"));
	if (ok)
		*result = json_incref(json_object_get(answer, "result"));
	else
		set_from_json(why, json_object_get(answer, "error"));
	json_decref(answer);
	return ok ? 0 : -1;
}

int overlay_call(struct overlay *o, const char *op, const char *args, char **result,
	struct overlay_error *why)
{
	json_t *got = NULL;
	if (call_json(o, op, args, &got, why) != 0)
		return -1;
	if (result)
		*result = json_dumps(got, JSON_COMPACT | JSON_ENCODE_ANY);
	json_decref(got);
	if (!result || *result)
		return 0;
	set_error(why, "io", "out of memory", "");
	return -1;
}

struct overlay *overlay_connect(const char *path, struct overlay_error *why)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	if (!socket_path(path, a.sun_path, sizeof(a.sun_path))) {
		set_error(why, "bad-argument", "the path of the overlay socket is longer than 107",
			"give a shorter one with OVERLAY_SOCKET or --socket");
		return NULL;
	}
	struct overlay *o = calloc(1, sizeof(*o));
	if (!o) {
		set_error(why, "io", "out of memory", "");
		return NULL;
	}
	o->timeout_ms = 35000; /* the store is given 30 s */
	o->events_tail = &o->events;
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
	long long until = timeout_ms < 0 ? -1 : now_ms() + timeout_ms;
	for (;;) {
		char *line;
		*event = take_kept(o);
		if (*event)
			return 1;
		int rc = next_line(o, until, &line, why);
		if (rc <= 0)
			return rc;
		json_t *j = json_loads(line, 0, NULL);
		bool is_event = json_object_get(j, "event") != NULL;
		bool fatal = json_is_false(json_object_get(j, "ok")) &&
			     json_is_null(json_object_get(j, "id"));
		if (is_event)
			keep_event(o, line);
		else if (fatal)
			set_from_json(why, json_object_get(j, "error"));
		json_decref(j);
		if (fatal)
			return -1;
	}
}
