#pragma once
/* link - what commands share that last until Ctrl-C (serve, forward): the connection to overlayd,
 * which may be started anew meanwhile, the wait for whatever happens next, and what is said of it.
 */
#include "tools/cmd.h"

#include <poll.h>
#include <signal.h>

#define LINK_NEVER INT64_MAX

struct link {
	struct cli *cli;
	const char *name; /* "serve": in front of its events */
	bool is_up;
	int64_t retry_ms; /* link_now_ms at which to try again; LINK_NEVER while it is up */
	int64_t pause_ms; /* the one after that */
	char told[32];    /* code of the loss that was told last */
	sigset_t waiting; /* signals that end a wait */
	struct {          /* lines on stderr: a bucket of tokens */
		double tokens;
		int64_t at_ms;
		unsigned dropped;
	} notes;
};

int64_t link_now_ms(void);
/* cli is connected. From now on signals are taken in link_wait only, and SIGPIPE is ignored. */
void link_init(struct link *l, struct cli *cli, const char *name);
/* Until one of fds is ready or `until_ms`. False: a signal asks to end. */
bool link_wait(struct link *l, struct pollfd *fds, size_t count, int64_t until_ms);
/* overlayd is gone: says why and plans the next attempt. */
void link_lost(struct link *l, const struct overlay_error *why);
/* When it is time: connects. True: it did; the caller sets up what it needs (or calls link_lost),
 * then link_back. */
bool link_retry(struct link *l);
void link_back(struct link *l);
/* With --json an object on stdout: event "NAME.what", fields_take, and `text`; else a line on
 * stderr, at most 10 at once and one a second. */
void link_tell(struct link *l, const char *what, json_t *fields_take, const char *format, ...)
	__attribute__((format(printf, 4, 5)));
/* Sends a request with JSON arguments; as overlay_request. */
long long link_request(
	struct link *l, const char *op, json_t *args_take, int fd, struct overlay_error *why);
/* The reader of our stdout has gone. */
bool link_is_mute(void);
