/* overlay forward: what connects here goes to a service of a peer. Each connection is handed to
 * overlayd with its `dial` and closed here: it moves the bytes. So this process holds only
 * connections that wait for their answer, DIALS_AT_ONCE of them asked for, the others in order. */
#include "tools/ends.h"
#include "tools/link.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define WAITING_MAX     512 /* more stay in the listener's backlog */
#define DIALS_AT_ONCE   64
#define ACCEPT_PER_TURN 64
#define ACCEPT_PAUSE_MS 100 /* when descriptors are used up */

struct waiting {
	int fd;
	long long dial; /* id of its request; 0: not asked yet */
	int64_t until_ms;
	char from[LOCAL_TEXT_MAX];
};

struct numbers { /* of our streams that are open; only for --json */
	unsigned long long *list;
	size_t count, cap;
};

struct forward {
	struct link link;
	struct service_at at;
	char peer[64]; /* PeerId: the name may change while we run */
	int64_t timeout_ms;
	struct listeners listeners;
	struct waiting waiting[WAITING_MAX]; /* oldest first */
	size_t count, dialling;
	int64_t accept_ms; /* not before */
	struct numbers open;
};

/* ---- words ---- */

static void tell_failed(struct forward *f, const char *from, const struct overlay_error *why)
{
	json_t *fields = json_pack("{s:s, s:s, s:s, s:s}", "from", from, "peer", f->peer, "service",
		f->at.service, "code", why->code);
	link_tell(&f->link, "failed", fields, "connection from %s: %s%s%s%s", from, why->text,
		why->hint[0] ? " (" : "", why->hint, why->hint[0] ? ")" : "");
}

static bool numbers_add(struct numbers *n, unsigned long long number)
{
	if (n->count == n->cap) {
		size_t cap = n->cap ? n->cap * 2 : 64;
		unsigned long long *grown = realloc(n->list, cap * sizeof(*grown));
		if (!grown)
			return false;
		n->list = grown;
		n->cap = cap;
	}
	n->list[n->count++] = number;
	return true;
}

static bool numbers_remove(struct numbers *n, unsigned long long number)
{
	for (size_t i = 0; i < n->count; i++) {
		if (n->list[i] != number)
			continue;
		n->list[i] = n->list[--n->count];
		return true;
	}
	return false;
}

static void print_opened(struct forward *f, const char *from, const char *result)
{
	json_t *o = json_loads(result, 0, NULL);
	if (!json_is_object(o))
		return;
	numbers_add(&f->open, (unsigned long long)field_number(o, "stream"));
	json_object_set_new(o, "event", json_string("service.opened"));
	json_object_set_new(o, "from", json_string(from));
	print_json_take(o);
}

/* Of the events that overlayd tells only those of our streams are passed on. */
static void take_event(struct forward *f, const char *text)
{
	json_t *o = json_loads(text, 0, NULL);
	bool is_lost = strcmp(field_text(o, "event"), "event.lost") == 0;
	if (is_lost || numbers_remove(&f->open, (unsigned long long)field_number(o, "stream")))
		print_json_take(json_incref(o));
	json_decref(o);
}

/* ---- connections that wait ---- */

static void take_out(struct forward *f, size_t i)
{
	f->dialling -= f->waiting[i].dial != 0;
	f->count--;
	memmove(f->waiting + i, f->waiting + i + 1, (f->count - i) * sizeof(f->waiting[0]));
}

static void fail(struct forward *f, size_t i, const struct overlay_error *why)
{
	tell_failed(f, f->waiting[i].from, why);
	ends_reset(f->waiting[i].fd);
	take_out(f, i);
}

static void fail_all(struct forward *f, const struct overlay_error *why)
{
	while (f->count > 0)
		fail(f, 0, why);
}

static void dial(struct forward *f, struct waiting *w, struct overlay_error *why)
{
	int64_t left = w->until_ms - link_now_ms();
	json_t *args = json_pack("{s:s, s:s, s:I}", "peer", f->peer, "service", f->at.service,
		"timeout_ms", (json_int_t)(left > 1 ? left : 1));
	long long id = link_request(&f->link, "dial", args, w->fd, why);
	w->dial = id < 0 ? 0 : id;
	f->dialling += id >= 0;
}

static void dial_next(struct forward *f)
{
	struct overlay_error why;
	for (size_t i = 0; i < f->count && f->dialling < DIALS_AT_ONCE; i++) {
		if (f->waiting[i].dial)
			continue;
		dial(f, &f->waiting[i], &why);
		if (!f->waiting[i].dial)
			fail(f, i--, &why);
	}
}

/* Time is up for those that were not even asked for. */
static void give_up(struct forward *f, int64_t now)
{
	struct overlay_error why = { .code = "timeout" };
	snprintf(why.text, sizeof(why.text), "%.60s has not accepted in time", f->at.peer);
	for (size_t i = 0; i < f->count; i++)
		if (!f->waiting[i].dial && f->waiting[i].until_ms <= now)
			fail(f, i--, &why);
}

static void take_answer(struct forward *f, struct overlay_answer *a)
{
	size_t i = 0;
	while (i < f->count && f->waiting[i].dial != a->id)
		i++;
	if (a->fd >= 0)
		close(a->fd);
	if (i < f->count && !a->result) {
		fail(f, i, &a->why);
	} else if (i < f->count) {
		if (f->link.cli->json)
			print_opened(f, f->waiting[i].from, a->result);
		close(f->waiting[i].fd); /* overlayd has its own */
		take_out(f, i);
	}
	free(a->result);
}

/* ---- the loop ---- */

static void accept_some(struct forward *f, const struct listener *l)
{
	for (int n = 0; n < ACCEPT_PER_TURN && f->count < WAITING_MAX; n++) {
		struct waiting w = { .until_ms = link_now_ms() + f->timeout_ms };
		w.fd = ends_accept(l, w.from);
		if (w.fd < 0) {
			if (errno == EMFILE || errno == ENFILE || errno == ENOMEM ||
				errno == ENOBUFS)
				f->accept_ms = link_now_ms() + ACCEPT_PAUSE_MS;
			return;
		}
		f->waiting[f->count++] = w;
	}
}

static void lost(struct forward *f, const struct overlay_error *why)
{
	link_lost(&f->link, why);
	fail_all(f, why);
	f->open.count = 0;
}

static bool subscribe(struct forward *f, struct overlay_error *why)
{
	return !f->link.cli->json || overlay_subscribe(f->link.cli->overlay,
					     "{\"events\":[\"service.closed\"]}", why) == 0;
}

static int take_answers(struct forward *f, struct overlay_error *why)
{
	struct overlay_answer a;
	int rc;
	while ((rc = overlay_next_answer(f->link.cli->overlay, 0, &a, why)) > 0)
		take_answer(f, &a);
	return rc;
}

static int take_events(struct forward *f, struct overlay_error *why)
{
	char *event;
	int rc;
	while ((rc = overlay_next_event(f->link.cli->overlay, 0, &event, why)) > 0) {
		take_event(f, event);
		free(event);
	}
	return rc;
}

static void listen_to_daemon(struct forward *f)
{
	struct overlay_error why;
	if (take_answers(f, &why) < 0 || take_events(f, &why) < 0)
		lost(f, &why);
}

static void reconnect(struct forward *f)
{
	struct overlay_error why;
	if (!link_retry(&f->link))
		return;
	if (subscribe(f, &why))
		link_back(&f->link);
	else
		link_lost(&f->link, &why);
}

static void turn(struct forward *f)
{
	struct overlay_error why = { .code = "no-daemon" };
	reconnect(f);
	if (!f->link.is_up) {
		snprintf(why.text, sizeof(why.text), "overlayd is not there");
		fail_all(f, &why);
	}
	give_up(f, link_now_ms());
	if (f->link.is_up)
		dial_next(f);
}

static int64_t deadline(const struct forward *f)
{
	int64_t at = f->link.retry_ms;
	if (f->accept_ms > link_now_ms() && f->accept_ms < at)
		at = f->accept_ms;
	if (f->dialling < f->count) /* the oldest that was not asked for */
		for (size_t i = 0; i < f->count; i++)
			if (!f->waiting[i].dial && f->waiting[i].until_ms < at)
				at = f->waiting[i].until_ms;
	return at;
}

/* The listeners, then overlayd. Returns how many listeners. */
static size_t choose(const struct forward *f, struct pollfd *fds)
{
	size_t n = f->listeners.count;
	bool takes = f->count < WAITING_MAX && f->accept_ms <= link_now_ms();
	for (size_t i = 0; i < n; i++)
		fds[i] = (struct pollfd){ .fd = takes ? f->listeners.list[i].fd : -1,
			.events = POLLIN };
	fds[n] = (struct pollfd){ .fd = -1, .events = POLLIN };
	if (f->link.is_up)
		fds[n].fd = overlay_descriptor(f->link.cli->overlay);
	return n;
}

static int run(struct forward *f)
{
	struct pollfd fds[ENDS_MAX + 1];
	for (;;) {
		size_t n = choose(f, fds);
		if (!link_wait(&f->link, fds, n + 1, deadline(f)))
			return EXIT_DONE;
		for (size_t i = 0; i < n; i++)
			if (fds[i].revents)
				accept_some(f, &f->listeners.list[i]);
		if (fds[n].revents)
			listen_to_daemon(f);
		turn(f);
		if (f->link.cli->json && link_is_mute())
			return EXIT_FAILED;
	}
}

/* ---- the start ---- */

static void say_ready(const struct forward *f)
{
	json_t *where = json_array();
	if (f->link.cli->json) {
		for (size_t i = 0; i < f->listeners.count; i++)
			json_array_append_new(where, json_string(f->listeners.list[i].text));
		print_json_take(json_pack("{s:s, s:o, s:s, s:s, s:s}", "event", "forward.ready",
			"listen", where, "peer", f->peer, "name", f->at.peer, "service",
			f->at.service));
		return;
	}
	json_decref(where);
	for (size_t i = 0; i < f->listeners.count; i++)
		printf("%s%s", i ? " and " : "forwarding ", f->listeners.list[i].text);
	printf(" to %s of %s; Ctrl-C ends it\n", f->at.service, f->at.peer);
	for (size_t i = 0; i < f->listeners.count; i++)
		if (f->listeners.list[i].is_open)
			printf("  every machine that reaches %s acts as this one there\n",
				f->listeners.list[i].text);
	fflush(stdout);
}

/* Who is meant, by name or PeerId; this machine itself, too. */
static int find_peer(struct cli *cli, struct forward *f)
{
	json_t *r;
	int rc = cli_call(cli, "id", NULL, &r);
	if (rc != EXIT_DONE)
		return rc;
	bool own = strcmp(field_text(r, "peer"), f->at.peer) == 0;
	if (!own) {
		json_decref(r);
		rc = cli_call(cli, "peer.show", json_pack("{s:s}", "peer", f->at.peer), &r);
		if (rc != EXIT_DONE)
			return rc;
	}
	snprintf(f->peer, sizeof(f->peer), "%s", field_text(r, "peer"));
	snprintf(f->at.peer, sizeof(f->at.peer), "%s", own ? "self" : field_text(r, "name"));
	json_decref(r);
	return rc;
}

static int start(struct cli *cli, struct forward *f, const struct local_end *local)
{
	struct overlay_error why;
	char text[400];
	int rc = cli_connect(cli);
	if (rc == EXIT_DONE)
		rc = find_peer(cli, f);
	if (rc != EXIT_DONE)
		return rc;
	if (!ends_listen(local, &f->listeners, text, sizeof(text)))
		return cli_fail(cli, EXIT_FAILED, "", "%s", text);
	ends_raise_limit();
	link_init(&f->link, cli, "forward");
	if (subscribe(f, &why)) {
		say_ready(f);
		rc = run(f);
	} else {
		rc = cli_report(cli, &why);
	}
	ends_unlisten(&f->listeners);
	return rc;
}

int cmd_forward(struct cli *cli)
{
	struct local_end local;
	double timeout_s = 30;
	const char *why = local_end_parse(cli->argv[0], &local);
	if (why)
		return cli_fail(cli, EXIT_USAGE, "LOCAL is PORT, HOST:PORT, [v6]:PORT or a path",
			"\"%.80s\" %s", cli->argv[0], why);
	struct forward *f = calloc(1, sizeof(*f));
	if (!f)
		return cli_fail(cli, EXIT_FAILED, "", "out of memory");
	int rc = EXIT_USAGE;
	why = service_at_parse(cli->argv[1], &f->at);
	if (why)
		cli_fail(cli, EXIT_USAGE, "overlay forward 2222 laptop:ssh", "\"%.80s\" %s",
			cli->argv[1], why);
	else if (cli_number(cli, 0, 0.1, 600, &timeout_s)) {
		f->timeout_ms = (int64_t)(timeout_s * 1000);
		rc = start(cli, f, &local);
	}
	for (size_t i = 0; i < f->count; i++)
		ends_reset(f->waiting[i].fd);
	free(f->open.list);
	free(f);
	return rc;
}
