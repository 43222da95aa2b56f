/* A socket that was closed may still be in the loop's hands: each has its own allocation, freed
 * when libuv says so. */
#include "overlay/ports_uv.h"

#include "overlay/udp_backend_uv.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define DATAGRAM_ROOM 2048 /* > the largest datagram of the protocol */

struct port {
	uv_poll_t poll;
	struct ports *owner;
	int fd;
	uint16_t number;
	bool ready;
};

struct ports {
	uv_loop_t *loop;
	void (*on_readable)(void *context);
	void *context;
	struct port *list[PORTS_KEPT + PORTS_MAX]; /* the kept first, oldest first */
	size_t kept, count, ready;
	struct port *probe; /* NULL: none */
	uint8_t buffers[PORTS_READ][DATAGRAM_ROOM];
};

struct ports *ports_new(uv_loop_t *loop, void (*on_readable)(void *context), void *context)
{
	struct ports *p = calloc(1, sizeof(*p));
	if (p)
		*p = (struct ports){ .loop = loop, .on_readable = on_readable, .context = context };
	return p;
}

static void on_poll(uv_poll_t *handle, int status, int events)
{
	struct port *one = handle->data;
	(void)status;
	(void)events;
	if (!one->ready)
		one->owner->ready++;
	one->ready = true;
	one->owner->on_readable(one->owner->context);
}

static int bound_socket(uint16_t *number)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	struct sockaddr_in at = { .sin_family = AF_INET };
	socklen_t len = sizeof(at);
	if (fd < 0)
		return -1;
	if (bind(fd, (struct sockaddr *)&at, sizeof(at)) == 0 &&
		getsockname(fd, (struct sockaddr *)&at, &len) == 0) {
		*number = ntohs(at.sin_port);
		return fd;
	}
	close(fd);
	return -1;
}

static struct port *port_open(struct ports *p)
{
	struct port *one = calloc(1, sizeof(*one));
	if (!one)
		return NULL;
	one->owner = p;
	one->fd = bound_socket(&one->number);
	if (one->fd >= 0 && uv_poll_init(p->loop, &one->poll, one->fd) == 0) {
		one->poll.data = one;
		uv_poll_start(&one->poll, UV_READABLE, on_poll);
		return one;
	}
	if (one->fd >= 0)
		close(one->fd);
	free(one);
	return NULL;
}

static void on_closed(uv_handle_t *handle)
{
	free(handle->data);
}

static void port_close(struct ports *p, struct port *one)
{
	p->ready -= one->ready;
	uv_close((uv_handle_t *)&one->poll, on_closed);
	close(one->fd);
}

size_t ports_open(struct ports *p, size_t count, uint16_t out[PORTS_MAX])
{
	size_t opened = 0;
	ports_settle(p, 0);
	while (opened < count && opened < PORTS_MAX) {
		struct port *one = port_open(p);
		if (!one)
			break; /* fewer do as well, with less luck */
		p->list[p->count++] = one;
		out[opened++] = one->number;
	}
	return opened;
}

static void close_oldest(struct ports *p)
{
	port_close(p, p->list[0]);
	p->kept--;
	for (size_t i = 0; i < p->kept; i++)
		p->list[i] = p->list[i + 1];
}

void ports_settle(struct ports *p, uint16_t keep)
{
	struct port *hit = NULL;
	for (size_t i = p->kept; i < p->count; i++)
		if (keep != 0 && p->list[i]->number == keep)
			hit = p->list[i];
		else
			port_close(p, p->list[i]);
	if (hit && p->kept == PORTS_KEPT)
		close_oldest(p);
	if (hit)
		p->list[p->kept++] = hit;
	p->count = p->kept;
}

void ports_close_probe(struct ports *p)
{
	if (p->probe)
		port_close(p, p->probe);
	p->probe = NULL;
}

uint16_t ports_open_probe(struct ports *p)
{
	ports_close_probe(p);
	p->probe = port_open(p);
	return p->probe ? p->probe->number : 0;
}

void ports_close(struct ports *p)
{
	if (!p)
		return;
	ports_settle(p, 0);
	ports_close_probe(p);
	while (p->kept > 0)
		close_oldest(p);
	free(p); /* no handle refers to it any more: closed ones call nothing but on_closed */
}

static struct port *find(const struct ports *p, uint16_t number)
{
	for (size_t i = 0; i < p->count; i++)
		if (p->list[i]->number == number)
			return p->list[i];
	return p->probe && p->probe->number == number ? p->probe : NULL;
}

bool ports_has(const struct ports *p, uint16_t port)
{
	return find(p, port) != NULL;
}

static bool receive_one(struct port *one, uint8_t *buffer, struct dgram *out)
{
	struct sockaddr_in6 from;
	socklen_t len = sizeof(from);
	ssize_t n = recvfrom(
		one->fd, buffer, DATAGRAM_ROOM, MSG_DONTWAIT, (struct sockaddr *)&from, &len);
	if (n <= 0)
		return false;
	*out = (struct dgram){ .data = buffer,
		.len = (size_t)n,
		.segment = (uint16_t)n,
		.carrier = CARRIER_UDP,
		.local = { .port = one->number },
		.remote = udp_from_sockaddr((struct sockaddr *)&from) };
	return true;
}

size_t ports_receive(struct ports *p, struct dgram out[PORTS_READ])
{
	size_t count = 0;
	for (size_t i = 0; i <= p->count && p->ready > 0 && count < PORTS_READ; i++) {
		struct port *one = i < p->count ? p->list[i] : p->probe;
		while (one && one->ready && count < PORTS_READ)
			if (receive_one(one, p->buffers[count], &out[count])) {
				count++;
			} else {
				one->ready = false;
				p->ready--;
			}
	}
	return count;
}

void ports_send(struct ports *p, const struct dgram *run)
{
	const struct port *one = find(p, run->local.port);
	struct sockaddr_in6 to;
	socklen_t len = udp_to_sockaddr(&run->remote, &to);
	for (size_t at = 0; one && at < run->len; at += run->segment) {
		size_t n = run->len - at < run->segment ? run->len - at : run->segment;
		(void)!sendto(
			one->fd, run->data + at, n, MSG_DONTWAIT, (struct sockaddr *)&to, len);
	}
}
