/* Sockets of local ends. TCP ones never wait for more bytes to fill a packet (what comes by a
 * stream has waited enough) and notice when the other end's machine is gone. */
#include "tools/ends.h"

#include <assert.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define BACKLOG      512
#define PORT_ATTEMPT 16

/* A hosts file may name one address twice. */
static void add_address(struct ends *out, const void *addr, socklen_t len)
{
	if (out->count == ENDS_MAX || len > sizeof(out->list[0].addr))
		return;
	for (size_t i = 0; i < out->count; i++)
		if (out->list[i].len == len && memcmp(&out->list[i].addr, addr, len) == 0)
			return;
	memcpy(&out->list[out->count].addr, addr, len);
	out->list[out->count++].len = len;
}

static void add_loopback(struct ends *out, uint16_t port)
{
	struct sockaddr_in v4 = { .sin_family = AF_INET,
		.sin_port = htons(port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct sockaddr_in6 v6 = { .sin6_family = AF_INET6,
		.sin6_port = htons(port),
		.sin6_addr = IN6ADDR_LOOPBACK_INIT };
	add_address(out, &v4, sizeof(v4));
	add_address(out, &v6, sizeof(v6));
}

const char *ends_resolve(const struct local_end *e, bool passive, struct ends *out)
{
	struct sockaddr_un path = { .sun_family = AF_UNIX };
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM,
		.ai_flags = AI_NUMERICSERV | (passive ? AI_PASSIVE : 0) };
	struct addrinfo *found = NULL;
	char port[8];
	out->count = 0;
	if (e->kind == LOCAL_UNIX) {
		memcpy(path.sun_path, e->path, sizeof(path.sun_path));
		add_address(out, &path, sizeof(path));
		return NULL;
	}
	if (!e->host[0]) {
		add_loopback(out, e->port);
		return NULL;
	}
	snprintf(port, sizeof(port), "%u", (unsigned)e->port);
	int rc = getaddrinfo(e->host, port, &hints, &found);
	for (const struct addrinfo *a = rc ? NULL : found; a; a = a->ai_next)
		add_address(out, a->ai_addr, a->ai_addrlen);
	if (rc == 0)
		freeaddrinfo(found);
	return rc ? gai_strerror(rc) : NULL;
}

static const char *address_text(const struct sockaddr_storage *a, socklen_t len, char *out)
{
	char host[LOCAL_HOST_MAX], port[8];
	if (getnameinfo((const struct sockaddr *)a, len, host, sizeof(host), port, sizeof(port),
		    NI_NUMERICHOST | NI_NUMERICSERV) != 0)
		snprintf(out, LOCAL_TEXT_MAX, "?");
	else
		snprintf(out, LOCAL_TEXT_MAX, strchr(host, ':') ? "[%s]:%s" : "%s:%s", host, port);
	return out;
}

/* ---- listening ---- */

static_assert(offsetof(struct sockaddr_in, sin_port) == offsetof(struct sockaddr_in6, sin6_port),
	"both families keep the port in one place");

static void set_port(struct sockaddr_storage *a, in_port_t port)
{
	((struct sockaddr_in *)a)->sin_port = port;
}

static in_port_t port_of(const struct sockaddr_storage *a)
{
	return ((const struct sockaddr_in *)a)->sin_port;
}

static int bind_tcp(const struct sockaddr_storage *a, socklen_t len)
{
	int on = 1;
	int fd = socket(a->ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -1;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (a->ss_family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
	if (bind(fd, (const struct sockaddr *)a, len) == 0 && listen(fd, BACKLOG) == 0)
		return fd;
	int error = errno;
	close(fd);
	errno = error;
	return -1;
}

static bool is_loopback(const struct sockaddr_storage *a)
{
	if (a->ss_family == AF_INET6)
		return IN6_IS_ADDR_LOOPBACK(&((const struct sockaddr_in6 *)a)->sin6_addr);
	return ntohl(((const struct sockaddr_in *)a)->sin_addr.s_addr) >> 24 == 127;
}

/* A machine may lack one of the families. */
static bool is_absent(int error)
{
	return error == EADDRNOTAVAIL || error == EAFNOSUPPORT;
}

/* All addresses, with one port; false with errno and the address that failed in `text`. */
static bool listen_once(const struct ends *ends, struct listeners *out, char *text)
{
	in_port_t port = 0;
	int error = 0;
	for (size_t i = 0; i < ends->count; i++) {
		struct sockaddr_storage a = ends->list[i].addr;
		socklen_t len = ends->list[i].len;
		if (port_of(&a) == 0)
			set_port(&a, port);
		address_text(&a, len, text);
		int fd = bind_tcp(&a, len);
		if (fd < 0) {
			error = errno;
			if (is_absent(error))
				continue;
			ends_unlisten(out);
			errno = error;
			return false;
		}
		getsockname(fd, (struct sockaddr *)&a, &len);
		port = port_of(&a);
		out->list[out->count] = (struct listener){ .fd = fd, .is_open = !is_loopback(&a) };
		address_text(&a, len, out->list[out->count++].text);
	}
	errno = error;
	return out->count > 0;
}

static bool listen_tcp(const struct local_end *e, struct listeners *out, char *why, size_t why_size)
{
	struct ends ends;
	char text[LOCAL_TEXT_MAX] = "";
	const char *unknown = ends_resolve(e, true, &ends);
	if (unknown) {
		snprintf(why, why_size, "%.100s: %s", e->host, unknown);
		return false;
	}
	bool done = false;
	/* A port that is free in one family may be taken in the other. */
	for (int i = 0; !done && i < PORT_ATTEMPT; i++) {
		done = listen_once(&ends, out, text);
		if (!done && (e->port != 0 || errno != EADDRINUSE))
			break;
	}
	if (!done)
		snprintf(why, why_size, "cannot listen on %.100s: %s%s", text, strerror(errno),
			errno == EADDRINUSE ? "; another program has the port" : "");
	return done;
}

/* Makes room at path: nothing, or a socket on which nobody listens any more. */
static bool clear_path(const struct sockaddr_un *a, char *why, size_t why_size)
{
	struct stat st;
	if (lstat(a->sun_path, &st) != 0)
		return true; /* bind says what is wrong, if anything is */
	if (!S_ISSOCK(st.st_mode)) {
		snprintf(why, why_size,
			"%s exists and is no socket; remove it, or choose another path",
			a->sun_path);
		return false;
	}
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	bool stale = fd >= 0 && connect(fd, (const struct sockaddr *)a, sizeof(*a)) != 0 &&
		     errno == ECONNREFUSED;
	if (fd >= 0)
		close(fd);
	if (stale && unlink(a->sun_path) == 0)
		return true;
	snprintf(why, why_size,
		stale ? "cannot replace the old socket %s: %s" : "%s is in use by another program",
		a->sun_path, strerror(errno));
	return false;
}

static bool listen_unix(
	const struct local_end *e, struct listeners *out, char *why, size_t why_size)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	struct listener *l = &out->list[0];
	struct stat st;
	memcpy(a.sun_path, e->path, sizeof(a.sun_path));
	if (!clear_path(&a, why, why_size))
		return false;
	*l = (struct listener){ .fd = socket(
					AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0) };
	mode_t mask = umask(0177); /* nobody else may connect, not even for a moment */
	bool bound = l->fd >= 0 && bind(l->fd, (const struct sockaddr *)&a, sizeof(a)) == 0;
	umask(mask);
	if (!bound || listen(l->fd, BACKLOG) != 0 || lstat(a.sun_path, &st) != 0) {
		snprintf(why, why_size, "cannot listen on %s: %s", a.sun_path, strerror(errno));
		if (bound)
			unlink(a.sun_path);
		if (l->fd >= 0)
			close(l->fd);
		return false;
	}
	memcpy(l->path, e->path, sizeof(l->path));
	l->device = st.st_dev;
	l->inode = st.st_ino;
	local_end_text(e, l->text);
	out->count = 1;
	return true;
}

bool ends_listen(const struct local_end *e, struct listeners *out, char *why, size_t why_size)
{
	out->count = 0;
	return e->kind == LOCAL_UNIX ? listen_unix(e, out, why, why_size)
				     : listen_tcp(e, out, why, why_size);
}

void ends_unlisten(struct listeners *l)
{
	for (size_t i = 0; i < l->count; i++) {
		const struct listener *k = &l->list[i];
		struct stat st;
		if (k->path[0] && lstat(k->path, &st) == 0 && st.st_dev == k->device &&
			st.st_ino == k->inode)
			unlink(k->path); /* not that of a successor */
		close(k->fd);
	}
	l->count = 0;
}

static void tune(int fd)
{
	int on = 1; /* no TCP socket: nothing happens */
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
}

int ends_accept(const struct listener *l, char from[LOCAL_TEXT_MAX])
{
	struct sockaddr_storage a = { .ss_family = AF_UNSPEC };
	socklen_t len = sizeof(a);
	int fd = accept4(l->fd, (struct sockaddr *)&a, &len, SOCK_CLOEXEC);
	if (fd < 0)
		return -1;
	struct ucred who;
	socklen_t size = sizeof(who);
	if (a.ss_family != AF_UNIX) {
		address_text(&a, len, from);
		tune(fd);
	} else if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &size) == 0) {
		snprintf(from, LOCAL_TEXT_MAX, "process %d", (int)who.pid);
	} else {
		snprintf(from, LOCAL_TEXT_MAX, "%s", l->text);
	}
	return fd;
}

/* ---- connecting ---- */

enum ends_progress ends_connect(const struct ends *e, size_t i, int *fd)
{
	const struct sockaddr_storage *a = &e->list[i].addr;
	*fd = socket(a->ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (*fd < 0)
		return ENDS_FAILED;
	if (a->ss_family != AF_UNIX)
		tune(*fd);
	if (connect(*fd, (const struct sockaddr *)a, e->list[i].len) == 0)
		return ENDS_CONNECTED;
	if (errno == EINPROGRESS || errno == EINTR)
		return ENDS_UNDER_WAY;
	int error = errno;
	close(*fd);
	*fd = -1;
	errno = error;
	return error == EAGAIN ? ENDS_LATER : ENDS_FAILED;
}

int ends_connected(int fd)
{
	int error = 0;
	socklen_t len = sizeof(error);
	return getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) == 0 ? error : errno;
}

void ends_reset(int fd)
{
	struct linger at_once = { .l_onoff = 1, .l_linger = 0 };
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
	close(fd);
}

void ends_raise_limit(void)
{
	struct rlimit limit;
	if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
		return;
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
}
