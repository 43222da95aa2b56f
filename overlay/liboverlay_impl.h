#pragma once
/* liboverlay_impl - what the files of liboverlay share. Names begin with lib_ so that the shared
 * library keeps them to itself (tools/liboverlay.map). */
#include "overlay/overlay.h"

#include <jansson.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <sys/un.h>

#define REQUESTS_MAX 1024 /* under way on one connection */
#define ARRIVED_MAX                                                                   \
	4 /* descriptors whose line is not complete yet: 2 at most, see lib_next_line \
	   */

struct event {
	struct event *next;
	char *text;
};

/* An operation whose answer somebody wants. Answers to others (calls that were interrupted or timed
 * out) are skipped by their id, and their descriptors closed. */
struct request {
	struct request *next;
	json_int_t id;
	bool is_accept, is_held;
	char service[64]; /* of an accept that overlay_accept left waiting */
	json_t *answer;   /* NULL: it has not come */
	int fd;           /* that came with it; -1: none */
};

struct overlay {
	int fd, timeout_ms;
	json_int_t last_id;
	struct event *events, **events_tail;
	size_t event_count;
	unsigned long long events_lost;
	struct request *requests; /* oldest first */
	size_t request_count;
	size_t len;                  /* bytes in `in` */
	size_t consumed;             /* of them, the line handed out last */
	unsigned long long received; /* bytes in all */
	struct {
		int fd;
		unsigned long long at; /* the byte (of received) whose line it belongs to */
	} arrived[ARRIVED_MAX];
	size_t arrived_count;
	int line_fd; /* of the line handed out last; -1: none, or taken */
	char path[sizeof(((struct sockaddr_un *)0)->sun_path)];
	char in[OVERLAY_LINE_MAX];
};

void lib_set_error(struct overlay_error *why, const char *code, const char *text, const char *hint);
/* One line, with its newline; fd goes with it unless it is -1. 0, or -1: *why. */
int lib_send_line(struct overlay *o, const char *text, int fd, struct overlay_error *why);
/* The next line, NUL in place of its newline, valid until the next call; its descriptor is line_fd.
 * 1: *line is set, 0: time is up or a signal came (errno EINTR), -1: *why. */
int lib_next_line(struct overlay *o, long long until, char **line, struct overlay_error *why);
/* When a call that begins now has to end (lib_now_ms); -1: never. */
long long lib_until(int timeout_ms);
/* Sends an operation; args_take is consumed, NULL means none. fd -1: no descriptor. NULL: *why. */
struct request *lib_send(
	struct overlay *o, const char *op, json_t *args_take, int fd, struct overlay_error *why);
/* Forgets it: an answer that comes later is skipped. */
void lib_drop(struct overlay *o, struct request *r);
/* Reads one line and puts it where it belongs. 1: done, 0: time is up or a signal came (errno
 * EINTR), -1: *why. */
int lib_read_line(struct overlay *o, long long until, struct overlay_error *why);
/* Reads until r is answered. 0: it is, -1: *why (timeout, interrupted, or the connection ended). */
int lib_await(
	struct overlay *o, const struct request *r, long long until, struct overlay_error *why);
/* The result in r's answer (borrowed); NULL: it is an error, *why. */
const json_t *lib_result(const struct request *r, struct overlay_error *why);
