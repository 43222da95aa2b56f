#pragma once
/* stream_end - how stream_app.c comes to its descriptors: by the overlay socket (docs/socket.md)
 * or, for comparison, by TCP of the kernel with CUBIC.
 *
 *   overlay:SOCKET:SERVICE   overlay:SOCKET:PEER:SERVICE   tcp:IPV4:PORT */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define NAME_MAX_BYTES 96

struct end {
	bool is_tcp;
	char path[sizeof(((struct sockaddr_un *)0)->sun_path)];
	char peer[NAME_MAX_BYTES], service[NAME_MAX_BYTES];
	struct sockaddr_in at;
};

__attribute__((format(printf, 1, 2))) static _Noreturn void fail(const char *what, ...)
{
	va_list args;
	va_start(args, what);
	fputs("stream_app: ", stderr);
	vfprintf(stderr, what, args);
	fputc('\n', stderr);
	va_end(args);
	exit(1);
}

/* The next word up to a colon; false: there is none, or it does not fit. */
static bool next_word(const char **text, char *out, size_t size)
{
	size_t n = strcspn(*text, ":");
	if (n == 0 || n >= size)
		return false;
	memcpy(out, *text, n);
	out[n] = 0;
	*text += n + ((*text)[n] == ':');
	return true;
}

static struct end end_of(const char *text, bool has_peer)
{
	struct end e = { .at.sin_family = AF_INET };
	const char *all = text;
	char kind[8] = "", address[16], port[6];
	bool good = next_word(&text, kind, sizeof(kind));
	e.is_tcp = strcmp(kind, "tcp") == 0;
	if (e.is_tcp) {
		good = good && next_word(&text, address, sizeof(address)) &&
		       next_word(&text, port, sizeof(port)) &&
		       inet_pton(AF_INET, address, &e.at.sin_addr) == 1;
		e.at.sin_port = good ? htons((uint16_t)atoi(port)) : 0;
	} else {
		good = good && strcmp(kind, "overlay") == 0 &&
		       next_word(&text, e.path, sizeof(e.path)) &&
		       (!has_peer || next_word(&text, e.peer, sizeof(e.peer))) &&
		       next_word(&text, e.service, sizeof(e.service));
	}
	if (!good || *text)
		fail("%s: neither overlay:SOCKET%s:SERVICE nor tcp:IPV4:PORT", all,
			has_peer ? ":PEER" : "");
	return e;
}

/* ---- the overlay socket ---- */

/* One connection, blocking. Answers are taken in the order in which they come. */
struct control {
	int fd, passed; /* passed: the descriptor that came last, -1: none */
	size_t len, taken;
	char in[65536];
};

static void control_say(struct control *c, const char *text, size_t len)
{
	for (size_t at = 0; at < len;) {
		ssize_t n = send(c->fd, text + at, len - at, MSG_NOSIGNAL);
		if (n < 0)
			fail("overlay socket: %s", strerror(errno));
		at += (size_t)n;
	}
}

/* Waits for more bytes. A descriptor belongs to the line that these end with: the kernel hands over
 * no more after one. */
static void control_fill(struct control *c)
{
	if (c->taken == c->len)
		c->taken = c->len = 0;
	union {
		struct cmsghdr head;
		char room[CMSG_SPACE(sizeof(int))];
	} extra;
	struct iovec part = { c->in + c->len, sizeof(c->in) - c->len };
	struct msghdr m = { .msg_iov = &part,
		.msg_iovlen = 1,
		.msg_control = &extra,
		.msg_controllen = sizeof(extra) };
	ssize_t n = recvmsg(c->fd, &m, MSG_CMSG_CLOEXEC);
	if (n <= 0)
		fail("overlay socket: %s", n ? strerror(errno) : "the daemon closed it");
	c->len += (size_t)n;
	const struct cmsghdr *h = CMSG_FIRSTHDR(&m);
	if (h && h->cmsg_level == SOL_SOCKET && h->cmsg_type == SCM_RIGHTS)
		memcpy(&c->passed, CMSG_DATA(h), sizeof(int));
}

/* The next line, ended by 0 in place of its newline. */
static char *control_line(struct control *c)
{
	for (;;) {
		char *line = c->in + c->taken, *end = memchr(line, '\n', c->len - c->taken);
		if (end) {
			*end = 0;
			c->taken = (size_t)(end + 1 - c->in);
			return line;
		}
		if (c->taken) {
			memmove(c->in, line, c->len - c->taken);
			c->len -= c->taken;
			c->taken = 0;
		}
		control_fill(c);
	}
}

/* Waits for the next answer, which must be a good one; returns its descriptor or -1. */
static int control_answer(struct control *c)
{
	const char *line = control_line(c);
	if (!strstr(line, "\"ok\":true"))
		fail("%s", line);
	int fd = c->taken == c->len ? c->passed : -1;
	if (fd >= 0)
		c->passed = -1;
	return fd;
}

static struct control *control_open(const char *path)
{
	static const char hello[] = "{\"id\":0,\"op\":\"hello\",\"args\":{\"api\":1}}\n";
	struct control *c = calloc(1, sizeof(*c));
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	if (!c)
		fail("out of memory");
	snprintf(at.sun_path, sizeof(at.sun_path), "%s", path);
	c->passed = -1;
	c->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&at, sizeof(at)) < 0)
		fail("%s: %s", path, strerror(errno));
	control_say(c, hello, sizeof(hello) - 1);
	control_answer(c);
	return c;
}

/* A request for a stream: how many bytes of `out` it takes. */
static size_t dial_line(const struct end *e, bool is_inline, char *out, size_t size)
{
	return (size_t)snprintf(out, size,
		"{\"id\":1,\"op\":\"dial\",\"args\":{\"peer\":\"%s\",\"service\":\"%s\"%s}}\n",
		e->peer, e->service, is_inline ? ",\"inline\":true" : "");
}

static size_t accept_line(const struct end *e, char *out, size_t size)
{
	return (size_t)snprintf(out, size,
		"{\"id\":1,\"op\":\"accept\",\"args\":{\"service\":\"%s\"}}\n", e->service);
}

/* ---- both kinds ---- */

static int tcp_socket(void)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;
	if (fd < 0 || setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, "cubic", 5) < 0 ||
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) < 0)
		fail("TCP socket: %s", strerror(errno));
	return fd;
}

static int tcp_dial(const struct end *e)
{
	int fd = tcp_socket();
	if (connect(fd, (const struct sockaddr *)&e->at, sizeof(e->at)) < 0)
		fail("connect: %s", strerror(errno));
	return fd;
}

static void end_listen(const struct end *e, struct control **c, int *listener)
{
	if (!e->is_tcp) {
		char line[512];
		int n = snprintf(line, sizeof(line),
			"{\"id\":1,\"op\":\"listen\",\"args\":{\"service\":\"%s\"}}\n", e->service);
		*c = control_open(e->path);
		control_say(*c, line, (size_t)n);
		control_answer(*c);
		return;
	}
	*listener = tcp_socket();
	if (bind(*listener, (const struct sockaddr *)&e->at, sizeof(e->at)) < 0 ||
		listen(*listener, 1024) < 0)
		fail("listen: %s", strerror(errno));
}
