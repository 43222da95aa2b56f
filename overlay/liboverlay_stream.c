/* Streams: dial, listen, accept, attach, refuse. A descriptor comes or goes with the line it
 * belongs to; everything else is an operation like others. */
#include "overlay/liboverlay_impl.h"

#include <stdio.h>
#include <string.h>

#define DIAL_DEFAULT_MS 30000 /* docs/socket.md 2 */

static void copy_text(char *to, size_t size, const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));
	snprintf(to, size, "%s", text ? text : "");
}

static void fill(struct overlay_stream *to, const json_t *result)
{
	if (!to)
		return;
	copy_text(to->peer, sizeof(to->peer), result, "peer");
	copy_text(to->name, sizeof(to->name), result, "name");
	copy_text(to->service, sizeof(to->service), result, "service");
	to->number = (unsigned long long)json_integer_value(json_object_get(result, "stream"));
}

/* The descriptor that came with r's answer, the caller's from now on. */
static int take_descriptor(struct request *r, struct overlay_error *why)
{
	int fd = r->fd;
	r->fd = -1;
	if (fd < 0)
		lib_set_error(why, "io", "no descriptor came with overlayd's answer",
			"too many files are open here? see: ulimit -n");
	return fd;
}

static struct request *send_dial(
	struct overlay *o, const char *peer, const char *service, int fd, struct overlay_error *why)
{
	/* Its answer needs the rest of the time. */
	int ms = o->timeout_ms < 0 ? DIAL_DEFAULT_MS : o->timeout_ms - o->timeout_ms / 7;
	json_t *args = json_pack(
		"{s:s, s:s, s:i}", "peer", peer, "service", service, "timeout_ms", ms > 0 ? ms : 1);
	if (args)
		return lib_send(o, "dial", args, fd, why);
	lib_set_error(why, "bad-argument", "the name of peer or service is no UTF-8", "");
	return NULL;
}

int overlay_dial(struct overlay *o, const char *peer, const char *service,
	struct overlay_stream *got, struct overlay_error *why)
{
	long long until = lib_until(o->timeout_ms);
	struct request *r = send_dial(o, peer, service, -1, why);
	const json_t *result = r && lib_await(o, r, until, why) == 0 ? lib_result(r, why) : NULL;
	int fd = result ? take_descriptor(r, why) : -1;
	if (fd >= 0)
		fill(got, result);
	lib_drop(o, r);
	return fd;
}

/* An operation that is done when it is answered. */
static int finish(
	struct overlay *o, struct request *r, struct overlay_stream *got, struct overlay_error *why)
{
	long long until = lib_until(o->timeout_ms);
	const json_t *result = r && lib_await(o, r, until, why) == 0 ? lib_result(r, why) : NULL;
	if (result)
		fill(got, result);
	lib_drop(o, r);
	return result ? 0 : -1;
}

int overlay_dial_with(struct overlay *o, const char *peer, const char *service, int fd,
	struct overlay_stream *got, struct overlay_error *why)
{
	return finish(o, send_dial(o, peer, service, fd, why), got, why);
}

static json_t *service_args(const char *service, struct overlay_error *why)
{
	json_t *args = json_pack("{s:s}", "service", service);
	if (!args)
		lib_set_error(why, "bad-argument", "the name of the service is no UTF-8", "");
	return args;
}

int overlay_listen(struct overlay *o, const char *service, struct overlay_error *why)
{
	json_t *args = service_args(service, why);
	return args ? finish(o, lib_send(o, "listen", args, -1, why), NULL, why) : -1;
}

static struct request *find_accept(const struct overlay *o, const char *service, bool hold)
{
	struct request *r = o->requests;
	while (r && !(r->is_accept && r->is_held == hold && strcmp(r->service, service) == 0))
		r = r->next;
	return r;
}

/* The accept that an earlier call left waiting, or a new one. */
static struct request *begin_accept(
	struct overlay *o, const char *service, bool hold, struct overlay_error *why)
{
	struct request *r = find_accept(o, service, hold);
	json_t *args = r ? NULL : service_args(service, why);
	if (!args)
		return r;
	if (hold)
		json_object_set_new(args, "hold", json_true());
	r = lib_send(o, "accept", args, -1, why);
	if (!r)
		return NULL;
	r->is_accept = true;
	r->is_held = hold;
	snprintf(r->service, sizeof(r->service), "%s", service);
	return r;
}

/* Answered: r, which the caller drops. NULL: *why, and what still waits is kept. */
static struct request *await_stream(struct overlay *o, const char *service, bool hold,
	struct overlay_stream *got, struct overlay_error *why)
{
	long long until = lib_until(o->timeout_ms);
	struct request *r = begin_accept(o, service, hold, why);
	if (!r || lib_await(o, r, until, why) != 0)
		return NULL;
	const json_t *result = lib_result(r, why);
	if (result) {
		fill(got, result);
		return r;
	}
	lib_drop(o, r);
	return NULL;
}

int overlay_accept(struct overlay *o, const char *service, struct overlay_stream *got,
	struct overlay_error *why)
{
	struct request *r = await_stream(o, service, false, got, why);
	int fd = r ? take_descriptor(r, why) : -1;
	lib_drop(o, r);
	return fd;
}

int overlay_accept_held(struct overlay *o, const char *service, struct overlay_stream *got,
	struct overlay_error *why)
{
	struct request *r = await_stream(o, service, true, got, why);
	lib_drop(o, r);
	return r ? 0 : -1;
}

static json_t *stream_args(unsigned long long number)
{
	return json_pack("{s:I}", "stream", (json_int_t)number);
}

int overlay_attach(struct overlay *o, unsigned long long number, int fd, struct overlay_error *why)
{
	return finish(o, lib_send(o, "attach", stream_args(number), fd, why), NULL, why);
}

int overlay_refuse(struct overlay *o, unsigned long long number, struct overlay_error *why)
{
	return finish(o, lib_send(o, "refuse", stream_args(number), -1, why), NULL, why);
}
