/* overlay serve: streams of peers to a service become connections to its target. overlayd holds
 * each stream until this process, with its own rights, is connected; then the connection is
 * attached and overlayd moves the bytes, or the stream is refused because the target is. One loop;
 * what is held here is only what is being connected. */
#include "tools/ends.h"
#include "tools/link.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define HELD_MAX        120 /* at once; overlayd gives 128 to one connection, no more */
#define ACCEPTS_AHEAD   12  /* asked for before they come: a burst need not wait for us */
#define CONNECT_MS      10000
#define LATER_MS        20 /* the target's queue is full */
#define RESOLVE_AGAIN_S 10 /* its name may have another address now */

struct held {
	unsigned long long stream;
	int fd;           /* -1: its next attempt is due at again_ms */
	size_t address;   /* of ends */
	int error;        /* of the first address that failed: what people typed means that one */
	long long attach; /* id of the request; 0: still connecting */
	int64_t again_ms, until_ms;
	char name[80], peer[64];
};

struct serve {
	struct link link;
	const char *service;
	struct local_end target;
	char target_text[LOCAL_TEXT_MAX];
	struct ends ends;
	int64_t resolved_ms;
	struct held held[HELD_MAX];
	size_t count;
	long long accepts[ACCEPTS_AHEAD]; /* ids; 0: free */
};

/* ---- streams that are being connected ---- */

static void forget(struct serve *s, struct held *h)
{
	if (h->fd >= 0)
		close(h->fd);
	*h = s->held[--s->count];
}

/* Names move; the look-up may block, so not for each of many failures. */
static void resolve_again(struct serve *s)
{
	struct ends fresh;
	int64_t now = link_now_ms();
	if (now - s->resolved_ms < RESOLVE_AGAIN_S * 1000)
		return;
	s->resolved_ms = now;
	if (!ends_resolve(&s->target, false, &fresh))
		s->ends = fresh;
}

static void refuse(struct serve *s, struct held *h, int error)
{
	struct overlay_error why;
	json_t *fields = json_pack("{s:s, s:s, s:s, s:I, s:s}", "peer", h->peer, "name", h->name,
		"service", s->service, "stream", (json_int_t)h->stream, "target", s->target_text);
	link_tell(&s->link, "refused", fields, "%s refuses: %s (for %s)", s->target_text,
		strerror(error), h->name);
	json_t *args = json_pack("{s:I}", "stream", (json_int_t)h->stream);
	(void)link_request(&s->link, "refuse", args, -1, &why); /* a loss shows when we read */
	forget(s, h);
	resolve_again(s);
}

static void attach(struct serve *s, struct held *h)
{
	struct overlay_error why;
	json_t *args = json_pack("{s:I}", "stream", (json_int_t)h->stream);
	h->attach = link_request(&s->link, "attach", args, h->fd, &why);
	if (h->attach < 0)
		forget(s, h);
}

/* From address h->address on, until one is under way or none is left. */
static void connect_next(struct serve *s, struct held *h)
{
	for (; h->address < s->ends.count; h->address++) {
		enum ends_progress p = ends_connect(&s->ends, h->address, &h->fd);
		if (p == ENDS_CONNECTED) {
			attach(s, h);
			return;
		}
		if (p == ENDS_LATER)
			h->again_ms = link_now_ms() + LATER_MS;
		if (p != ENDS_FAILED)
			return;
		h->error = h->error ? h->error : errno;
	}
	refuse(s, h, h->error);
}

static void on_writable(struct serve *s, struct held *h)
{
	int error = ends_connected(h->fd);
	if (error == 0) {
		attach(s, h);
		return;
	}
	close(h->fd);
	h->fd = -1;
	h->error = h->error ? h->error : error;
	h->address++;
	connect_next(s, h);
}

static void on_time(struct serve *s, struct held *h, int64_t now)
{
	if (h->attach)
		return;
	if (now >= h->until_ms)
		refuse(s, h, ETIMEDOUT);
	else if (h->fd < 0 && now >= h->again_ms)
		connect_next(s, h);
}

/* ---- what overlayd says ---- */

static void ask_for_streams(struct serve *s)
{
	struct overlay_error why;
	size_t under_way = 0;
	for (size_t i = 0; i < ACCEPTS_AHEAD; i++)
		under_way += s->accepts[i] != 0;
	for (size_t i = 0; i < ACCEPTS_AHEAD && s->count + under_way < HELD_MAX; i++) {
		if (s->accepts[i])
			continue;
		json_t *args = json_pack("{s:s, s:b}", "service", s->service, "hold", 1);
		long long id = link_request(&s->link, "accept", args, -1, &why);
		if (id < 0)
			return;
		s->accepts[i] = id;
		under_way++;
	}
}

static void take_stream(struct serve *s, const char *result)
{
	json_t *r = json_loads(result, 0, NULL);
	struct held *h = &s->held[s->count++]; /* ask_for_streams left room */
	*h = (struct held){ .stream = (unsigned long long)field_number(r, "stream"), .fd = -1 };
	h->until_ms = link_now_ms() + CONNECT_MS;
	snprintf(h->name, sizeof(h->name), "%s", field_text(r, "name"));
	snprintf(h->peer, sizeof(h->peer), "%s", field_text(r, "peer"));
	json_decref(r);
	connect_next(s, h);
}

static bool was_accept(struct serve *s, long long id)
{
	for (size_t i = 0; i < ACCEPTS_AHEAD; i++) {
		if (s->accepts[i] != id)
			continue;
		s->accepts[i] = 0;
		return true;
	}
	return false;
}

/* False: accepting failed, so this connection is of no use any more. */
static bool take_answer(struct serve *s, const struct overlay_answer *a, struct overlay_error *why)
{
	bool ok = true;
	if (a->fd >= 0)
		close(a->fd);
	if (was_accept(s, a->id)) {
		ok = a->result != NULL;
		if (ok)
			take_stream(s, a->result);
		else
			*why = a->why;
	}
	for (size_t i = 0; i < s->count; i++)
		if (s->held[i].attach == a->id) {
			forget(s, &s->held[i]); /* overlayd has its own, or the peer gave up */
			break;
		}
	free(a->result);
	return ok;
}

static void take_event(const struct serve *s, const char *text)
{
	json_t *o = json_loads(text, 0, NULL);
	bool is_ours = strcmp(field_text(o, "service"), s->service) == 0 &&
		       strcmp(field_text(o, "direction"), "in") == 0;
	if (is_ours || strcmp(field_text(o, "event"), "event.lost") == 0)
		print_json_take(json_incref(o));
	json_decref(o);
}

static void lost(struct serve *s, const struct overlay_error *why)
{
	while (s->count > 0)
		forget(s, &s->held[s->count - 1]);
	memset(s->accepts, 0, sizeof(s->accepts));
	link_lost(&s->link, why);
}

static void listen_to_daemon(struct serve *s)
{
	struct overlay *o = s->link.cli->overlay;
	struct overlay_error why;
	struct overlay_answer a;
	char *event;
	int rc;
	bool ok = true;
	while (ok && (rc = overlay_next_answer(o, 0, &a, &why)) > 0)
		ok = take_answer(s, &a, &why);
	while (ok && rc >= 0 && (rc = overlay_next_event(o, 0, &event, &why)) > 0) {
		take_event(s, event);
		free(event);
	}
	if (!ok || rc < 0)
		lost(s, &why);
}

/* ---- the loop ---- */

static bool begin(struct serve *s, struct overlay_error *why)
{
	struct overlay *o = s->link.cli->overlay;
	if (s->link.cli->json &&
		overlay_subscribe(o, "{\"events\":[\"service.opened\",\"service.closed\"]}", why) !=
			0)
		return false;
	return overlay_listen(o, s->service, why) == 0;
}

static void reconnect(struct serve *s)
{
	struct overlay_error why;
	if (!link_retry(&s->link))
		return;
	if (begin(s, &why))
		link_back(&s->link);
	else
		link_lost(&s->link, &why);
}

static int64_t deadline(const struct serve *s)
{
	int64_t at = s->link.retry_ms;
	for (size_t i = 0; i < s->count; i++) {
		const struct held *h = &s->held[i];
		int64_t own = h->fd < 0 && h->again_ms < h->until_ms ? h->again_ms : h->until_ms;
		if (!h->attach && own < at)
			at = own;
	}
	return at;
}

/* Backwards: what is forgotten is filled by the last, which was seen already. */
static void work(struct serve *s, const struct pollfd *fds, size_t polled)
{
	for (size_t i = s->count; i-- > 0;) {
		struct held *h = &s->held[i];
		if (i < polled && fds[i].revents && h->fd == fds[i].fd && !h->attach)
			on_writable(s, h);
		else
			on_time(s, h, link_now_ms());
	}
}

static int run(struct serve *s)
{
	struct pollfd fds[HELD_MAX + 1];
	for (;;) {
		if (s->link.is_up)
			ask_for_streams(s);
		size_t n = s->count;
		for (size_t i = 0; i < n; i++)
			fds[i] = (struct pollfd){ .fd = s->held[i].attach ? -1 : s->held[i].fd,
				.events = POLLOUT };
		fds[n] = (struct pollfd){ .fd = -1, .events = POLLIN };
		if (s->link.is_up)
			fds[n].fd = overlay_descriptor(s->link.cli->overlay);
		if (!link_wait(&s->link, fds, n + 1, deadline(s)))
			return EXIT_DONE;
		work(s, fds, n);
		if (fds[n].revents)
			listen_to_daemon(s);
		reconnect(s);
		if (s->link.cli->json && link_is_mute())
			return EXIT_FAILED;
	}
}

/* ---- the start ---- */

/* Names of the contacts that may use the service. */
static int find_allowed(struct serve *s, json_t **allowed)
{
	json_t *r;
	char grant[80];
	int rc = cli_call_pages(s->link.cli, "peer.list", "peers", &r);
	if (rc != EXIT_DONE)
		return rc;
	*allowed = json_array();
	snprintf(grant, sizeof(grant), "service:%s", s->service);
	const json_t *peers = json_object_get(r, "peers");
	for (size_t i = 0; i < json_array_size(peers); i++) {
		const json_t *p = json_array_get(peers, i), *words = json_object_get(p, "allow");
		bool may = false;
		for (size_t k = 0; k < json_array_size(words); k++)
			may |= strcmp(json_string_value(json_array_get(words, k)), grant) == 0;
		if (may)
			json_array_append_new(*allowed, json_string(field_text(p, "name")));
	}
	json_decref(r);
	return rc;
}

static void say_ready(const struct serve *s, json_t *allowed_take)
{
	if (s->link.cli->json) {
		print_json_take(json_pack("{s:s, s:s, s:s, s:o}", "event", "serve.ready", "service",
			s->service, "target", s->target_text, "allowed", allowed_take));
		return;
	}
	printf("serving %s (%s)", s->service, s->target_text);
	for (size_t i = 0; i < json_array_size(allowed_take); i++)
		printf("%s%s", i ? ", " : " to ",
			json_string_value(json_array_get(allowed_take, i)));
	printf("%s; Ctrl-C ends it\n", json_array_size(allowed_take) ? "" : " to nobody yet");
	if (json_array_size(allowed_take) == 0)
		printf("  overlay peer allow PEER service:%s\n", s->service);
	fflush(stdout);
	json_decref(allowed_take);
}

static int start(struct serve *s)
{
	struct overlay_error why;
	struct cli *cli = s->link.cli;
	json_t *allowed;
	int rc = cli_connect(cli);
	if (rc == EXIT_DONE)
		rc = find_allowed(s, &allowed);
	if (rc != EXIT_DONE)
		return rc;
	ends_raise_limit();
	link_init(&s->link, cli, "serve");
	if (!begin(s, &why)) {
		json_decref(allowed);
		return cli_report(cli, &why);
	}
	say_ready(s, allowed);
	rc = run(s);
	while (s->count > 0)
		forget(s, &s->held[s->count - 1]);
	return rc;
}

int cmd_serve(struct cli *cli)
{
	struct serve *s = calloc(1, sizeof(*s));
	if (!s)
		return cli_fail(cli, EXIT_FAILED, "", "out of memory");
	s->link.cli = cli;
	s->service = cli->argv[0];
	const char *why = local_end_parse(cli->argv[1], &s->target), *unknown = NULL;
	int rc = EXIT_USAGE;
	if (!why && s->target.kind == LOCAL_TCP && s->target.port == 0)
		why = "has port 0, to which nobody can connect";
	if (!grant_service_ok(s->service, strlen(s->service)))
		cli_fail(cli, EXIT_USAGE,
			"1 to 63 printable characters, no blank, comma, quote or backslash",
			"\"%.80s\" cannot be the name of a service", s->service);
	else if (why)
		cli_fail(cli, EXIT_USAGE, "TARGET is PORT, HOST:PORT, [v6]:PORT or a path",
			"\"%.80s\" %s", cli->argv[1], why);
	else if ((unknown = ends_resolve(&s->target, false, &s->ends)) != NULL)
		rc = cli_fail(cli, EXIT_FAILED, "", "%.100s: %s", s->target.host, unknown);
	else {
		s->resolved_ms = link_now_ms();
		local_end_text(&s->target, s->target_text);
		rc = start(s);
	}
	free(s);
	return rc;
}
