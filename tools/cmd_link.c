/* The connection of a lasting command. Attempts after a loss come 0.25, 0.5, 1 ... 5 s apart,
 * without end: overlayd is started by somebody else. Signals are blocked but for the time of ppoll,
 * so none comes between the look at the flag and the wait. */
#include "tools/link.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define PAUSE_FIRST_MS 250
#define PAUSE_MAX_MS   5000
#define NOTES_BURST    10.0
#define NOTES_PER_MS   0.001

static volatile sig_atomic_t ended;

static void on_signal(int signo)
{
	(void)signo;
	ended = 1;
}

int64_t link_now_ms(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

void link_init(struct link *l, struct cli *cli, const char *name)
{
	struct sigaction end = { .sa_handler = on_signal }, ignore = { .sa_handler = SIG_IGN };
	static const int signals[] = { SIGINT, SIGTERM, SIGHUP };
	sigset_t blocked;
	*l = (struct link){ .cli = cli, .name = name, .is_up = true, .retry_ms = LINK_NEVER };
	l->pause_ms = PAUSE_FIRST_MS;
	l->notes.tokens = NOTES_BURST;
	l->notes.at_ms = link_now_ms();
	sigemptyset(&blocked);
	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++) {
		struct sigaction old;
		if (sigaction(signals[i], NULL, &old) == 0 && old.sa_handler == SIG_IGN)
			continue; /* nohup, or a job of a script */
		sigaddset(&blocked, signals[i]);
		sigaction(signals[i], &end, NULL);
	}
	sigaction(SIGPIPE, &ignore, NULL);
	sigprocmask(SIG_BLOCK, &blocked, &l->waiting);
	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
		sigdelset(&l->waiting, signals[i]);
}

bool link_wait(struct link *l, struct pollfd *fds, size_t count, int64_t until_ms)
{
	int64_t left = until_ms - link_now_ms();
	struct timespec limit = { .tv_sec = 0 };
	if (left > 0) {
		limit.tv_sec = (time_t)(left / 1000);
		limit.tv_nsec = (long)(left % 1000) * 1000000;
	}
	for (size_t i = 0; i < count; i++)
		fds[i].revents = 0;
	if (ppoll(fds, count, until_ms == LINK_NEVER ? NULL : &limit, &l->waiting) < 0)
		for (size_t i = 0; i < count; i++)
			fds[i].revents = 0;
	return !ended;
}

bool link_is_mute(void)
{
	return fflush(stdout) != 0 || ferror(stdout);
}

/* ---- overlayd ---- */

static void plan(struct link *l)
{
	l->is_up = false;
	l->retry_ms = link_now_ms() + l->pause_ms;
	l->pause_ms = l->pause_ms * 2 > PAUSE_MAX_MS ? PAUSE_MAX_MS : l->pause_ms * 2;
}

void link_lost(struct link *l, const struct overlay_error *why)
{
	overlay_close(l->cli->overlay);
	l->cli->overlay = NULL;
	if (strcmp(l->told, why->code) != 0)
		link_tell(l, "away", NULL, "%s; trying again until it is there", why->text);
	snprintf(l->told, sizeof(l->told), "%s", why->code);
	plan(l);
}

bool link_retry(struct link *l)
{
	struct overlay_error why;
	sigset_t blocked;
	if (l->is_up || link_now_ms() < l->retry_ms)
		return false;
	sigprocmask(
		SIG_SETMASK, &l->waiting, &blocked); /* one that hangs must not hold Ctrl-C up */
	l->cli->overlay = overlay_connect(l->cli->socket, &why);
	sigprocmask(SIG_SETMASK, &blocked, NULL);
	if (!l->cli->overlay)
		plan(l);
	return l->cli->overlay != NULL;
}

void link_back(struct link *l)
{
	l->is_up = true;
	l->told[0] = '\0';
	l->retry_ms = LINK_NEVER;
	l->pause_ms = PAUSE_FIRST_MS;
	link_tell(l, "back", NULL, "overlayd is there again");
}

long long link_request(
	struct link *l, const char *op, json_t *args_take, int fd, struct overlay_error *why)
{
	char *args = json_dumps(args_take, JSON_COMPACT);
	json_decref(args_take);
	long long id = overlay_request(l->cli->overlay, op, args ? args : "", fd, why);
	free(args);
	return id;
}

/* ---- words ---- */

static bool may_note(struct link *l)
{
	int64_t now = link_now_ms();
	l->notes.tokens += (double)(now - l->notes.at_ms) * NOTES_PER_MS;
	l->notes.at_ms = now;
	if (l->notes.tokens > NOTES_BURST)
		l->notes.tokens = NOTES_BURST;
	if (l->notes.tokens < 1) {
		l->notes.dropped++;
		return false;
	}
	l->notes.tokens -= 1;
	return true;
}

void link_tell(struct link *l, const char *what, json_t *fields_take, const char *format, ...)
{
	char text[700], event[40];
	va_list ap;
	va_start(ap, format);
	vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	if (l->cli->json) {
		json_t *o = json_object();
		snprintf(event, sizeof(event), "%s.%s", l->name, what);
		json_object_set_new(o, "event", json_string(event));
		if (fields_take)
			json_object_update(o, fields_take);
		json_object_set_new(o, "text", json_string(text));
		print_json_take(o);
	} else if (may_note(l)) {
		if (l->notes.dropped)
			fprintf(stderr, "overlay %s: %u more lines like these left out\n", l->name,
				l->notes.dropped);
		l->notes.dropped = 0;
		fprintf(stderr, "overlay %s: %s\n", l->name, text);
	}
	json_decref(fields_take);
}
