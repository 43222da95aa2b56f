/* The bytes of the connection: lines out, lines in, and the descriptors that travel with them. */
#include "overlay/liboverlay_impl.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

void lib_set_error(struct overlay_error *why, const char *code, const char *text, const char *hint)
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
	lib_set_error(why, "io", text, "");
}

static long long now_ms(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (long long)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

long long lib_until(int timeout_ms)
{
	return timeout_ms < 0 ? -1 : now_ms() + timeout_ms;
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

/* One piece; the descriptor goes with its first byte. */
static ssize_t send_some(int socket, const char *text, size_t len, int fd)
{
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control = { .bytes = { 0 } };
	struct iovec piece = { .iov_len = len };
	memcpy(&piece.iov_base, &text, sizeof(text)); /* the kernel only reads it */
	struct msghdr m = { .msg_iov = &piece, .msg_iovlen = 1 };
	if (fd >= 0) {
		m.msg_control = control.bytes;
		m.msg_controllen = sizeof(control.bytes);
		struct cmsghdr *c = CMSG_FIRSTHDR(&m);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(c), &fd, sizeof(int));
	}
	return sendmsg(socket, &m, MSG_NOSIGNAL | MSG_DONTWAIT);
}

int lib_send_line(struct overlay *o, const char *text, int fd, struct overlay_error *why)
{
	long long until = lib_until(o->timeout_ms);
	size_t len = strlen(text);
	bool begun = false;
	while (len > 0) {
		ssize_t n = send_some(o->fd, text, len, begun ? -1 : fd);
		if (n > 0) {
			text += n;
			len -= (size_t)n;
			begun = true;
			continue;
		}
		if (errno == EPIPE || errno == ECONNRESET)
			return 0; /* its last words, if any, can still be read */
		if (errno != EAGAIN && errno != EINTR) {
			set_errno(why, "writing to overlayd");
			return -1;
		}
		if (errno == EAGAIN && wait_for(o->fd, POLLOUT, until) == 0) {
			if (begun)
				shutdown(o->fd, SHUT_RDWR); /* half a line spoils what follows */
			lib_set_error(why, "timeout", "overlayd takes no request", "");
			return -1;
		}
	}
	return 0;
}

static void close_some(const int *fds, size_t from, size_t count)
{
	for (size_t i = from; i < count; i++)
		close(fds[i]);
}

/* The descriptors of a piece belong to the line of its last byte: the kernel joins nothing behind
 * them, and overlayd sends such a line by itself. */
static void keep_descriptors(struct overlay *o, struct msghdr *m)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c)) {
		int fds[ARRIVED_MAX];
		size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS || count == 0)
			continue;
		count = count > ARRIVED_MAX ? ARRIVED_MAX : count;
		memcpy(fds, CMSG_DATA(c), count * sizeof(int));
		close_some(fds, 1, count);
		if (o->arrived_count == ARRIVED_MAX) {
			close(fds[0]);
			continue;
		}
		o->arrived[o->arrived_count].fd = fds[0];
		o->arrived[o->arrived_count++].at = o->received - 1;
	}
}

static ssize_t receive(struct overlay *o)
{
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(ARRIVED_MAX * sizeof(int))];
	} control;
	struct iovec room = { .iov_base = o->in + o->len, .iov_len = sizeof(o->in) - o->len };
	struct msghdr m = { .msg_iov = &room,
		.msg_iovlen = 1,
		.msg_control = control.bytes,
		.msg_controllen = sizeof(control.bytes) };
	ssize_t n = recvmsg(o->fd, &m, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	if (n <= 0)
		return n;
	o->len += (size_t)n;
	o->received += (size_t)n;
	keep_descriptors(o, &m);
	return n;
}

/* The descriptor of the line that ends at `end` becomes line_fd. */
static void pair_descriptor(struct overlay *o, const char *end)
{
	unsigned long long last = o->received - o->len + (size_t)(end - o->in);
	if (o->line_fd >= 0)
		close(o->line_fd); /* of the line before: nobody took it */
	o->line_fd = -1;
	if (o->arrived_count == 0 || o->arrived[0].at > last)
		return;
	o->line_fd = o->arrived[0].fd;
	o->arrived_count--;
	memmove(o->arrived, o->arrived + 1, o->arrived_count * sizeof(o->arrived[0]));
}

int lib_next_line(struct overlay *o, long long until, char **line, struct overlay_error *why)
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
			pair_descriptor(o, end);
			return 1;
		}
		if (o->len == sizeof(o->in)) {
			lib_set_error(
				why, "io", "overlayd sent a line longer than 65536 bytes", "");
			return -1;
		}
		ssize_t n = receive(o);
		if (n > 0)
			continue;
		if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
			lib_set_error(why, "no-daemon", "overlayd closed the connection",
				"is it still running? see: overlay status");
			return -1;
		}
		errno = 0;
		int ready = wait_for(o->fd, POLLIN, until);
		if (ready == 0 || (ready < 0 && errno == EINTR))
			return 0;
	}
}
