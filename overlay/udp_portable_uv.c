/* The portable backend: libuv's own UDP, one datagram per send, no choice of source address. It
 * exists for systems without the Linux backend's calls and is what the fast one is tested against.
 *
 * libuv reads by itself and hands over each datagram in a callback, while the pump wants batches.
 * So callbacks collect into one slab; while it has not been taken, the next read is refused
 * (an empty buffer, UV_ENOBUFS), and the data stays in the socket for the next turn. */
#include "overlay/udp_backend_uv.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SLICE  65536 /* libuv cuts the slab at this size (UV__UDP_DGRAM_MAXSIZE) */
#define SLICES 20    /* and uses at most this many */

struct portable_udp {
	struct udp base;
	uv_udp_t handles[UDP_FAMILIES];
	bool present[UDP_FAMILIES];
	int open_handles;
	uint8_t *slab;
	struct dgram pending[SLICES];
	size_t pending_count, pending_first;
};

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
	struct portable_udp *f = handle->data;
	(void)suggested;
	bool busy = f->pending_first < f->pending_count;
	if (!busy)
		f->pending_first = f->pending_count = 0;
	*buf = busy ? uv_buf_init(NULL, 0) : uv_buf_init((char *)f->slab, SLICES * SLICE);
}

static void on_receive(uv_udp_t *handle, ssize_t len, const uv_buf_t *buf,
	const struct sockaddr *from, unsigned flags)
{
	struct portable_udp *f = handle->data;
	if (len == UV_ENOBUFS) { /* on_alloc said so: what was collected still waits */
		f->base.options.on_readable(f->base.options.context);
		return;
	}
	if (len <= 0 || !from || (flags & UV_UDP_PARTIAL) || f->pending_count == SLICES)
		return; /* nothing there, an error of an earlier send, an empty datagram */
	bool first = f->pending_first == f->pending_count;
	f->pending[f->pending_count++] = (struct dgram){ .data = (uint8_t *)buf->base,
		.len = (size_t)len,
		.segment = (uint16_t)len,
		.carrier = CARRIER_UDP,
		.local = { .port = f->base.status.port },
		.remote = udp_from_sockaddr(from) };
	if (first)
		f->base.options.on_readable(f->base.options.context);
}

static size_t portable_receive(struct udp *u, struct dgram *out, bool after_pause)
{
	(void)after_pause; /* nothing to spare: they are here already */
	struct portable_udp *f = (struct portable_udp *)u;
	size_t n = f->pending_count - f->pending_first;
	if (n > UDP_BATCH)
		n = UDP_BATCH;
	memcpy(out, f->pending + f->pending_first, n * sizeof(*out));
	f->pending_first += n;
	u->status.calls_in += n > 0;
	return n;
}

/* False: the rest of the run is pointless. */
static bool send_one(struct portable_udp *f, uv_udp_t *handle, const struct dgram *d, size_t offset)
{
	size_t len = d->len - offset < d->segment ? d->len - offset : d->segment;
	struct sockaddr_in6 to;
	udp_to_sockaddr(&d->remote, &to);
	uv_buf_t buf = uv_buf_init((char *)d->data + offset, (unsigned)len);
	int error = uv_udp_try_send(handle, &buf, 1, (struct sockaddr *)&to);
	if (error >= 0) {
		f->base.status.calls_out++;
		return true;
	}
	if (error == UV_EAGAIN || error == UV_ENOBUFS || error == UV_ENOMEM) {
		f->base.status.lost++;
		return true;
	}
	udp_record_failure(&f->base, d, error == UV_EMSGSIZE);
	return false;
}

static void portable_send(struct udp *u, const struct dgram *runs, size_t count)
{
	struct portable_udp *f = (struct portable_udp *)u;
	for (size_t i = 0; i < count; i++) {
		const struct dgram *d = &runs[i];
		enum udp_family family = addr_is_v4(&d->remote) ? UDP_IPV4 : UDP_IPV6;
		if (d->hops)
			continue; /* libuv has it for the socket only; too far is worse than not at
				     all */
		if (!f->present[family]) {
			udp_record_failure(u, d, false);
			continue;
		}
		size_t offset = 0;
		while (offset < d->len && send_one(f, &f->handles[family], d, offset))
			offset += d->segment;
	}
}

static bool portable_blocked(const struct udp *u)
{
	(void)u;
	return false; /* a full socket loses the datagram, as a full queue on the way would */
}

static void portable_discard(struct udp *u)
{
	struct portable_udp *f = (struct portable_udp *)u;
	free(f->slab);
	free(f);
}

static void on_closed(uv_handle_t *handle)
{
	struct portable_udp *f = handle->data;
	if (--f->open_handles == 0)
		portable_discard(&f->base);
}

static void portable_stop(struct udp *u)
{
	struct portable_udp *f = (struct portable_udp *)u;
	for (int i = 0; i < UDP_FAMILIES; i++) {
		if (f->present[i])
			uv_close((uv_handle_t *)&f->handles[i], on_closed);
		f->present[i] = false;
	}
}

static int portable_start(struct udp *u, const int fds[UDP_FAMILIES])
{
	struct portable_udp *f = (struct portable_udp *)u;
	for (int i = 0; i < UDP_FAMILIES; i++) {
		if (fds[i] < 0)
			continue;
		uv_udp_t *h = &f->handles[i];
		/* cannot fail: a bound UDP socket of a known family, a handle without other use */
		int error = uv_udp_init_ex(u->loop, h, AF_UNSPEC | UV_UDP_RECVMMSG);
		if (error == 0)
			error = uv_udp_open(h, fds[i]);
		if (error == 0)
			error = uv_udp_recv_start(h, on_alloc, on_receive);
		assert(error == 0);
		h->data = f;
		f->present[i] = true;
		f->open_handles++;
	}
	u->status.mmsg = uv_udp_using_recvmmsg(&f->handles[f->present[0] ? 0 : 1]);
	u->status.backend = "portable";
	return 0;
}

static const struct udp_ops portable_ops = {
	.name = "portable",
	.start = portable_start,
	.stop = portable_stop,
	.receive = portable_receive,
	.send = portable_send,
	.blocked = portable_blocked,
	.discard = portable_discard,
};

struct udp *udp_portable_new(void)
{
	struct portable_udp *f = calloc(1, sizeof(*f));
	if (!f)
		return NULL;
	f->base.ops = &portable_ops;
	f->slab = malloc((size_t)SLICES * SLICE);
	if (f->slab)
		return &f->base;
	free(f);
	return NULL;
}
