/* The Linux backend: batches of GSO runs.
 *
 * Cost is per packet walk through the stack, not per byte or system call (limits 2), so a run goes
 * down as one message with UDP_SEGMENT and comes up as one with UDP_GRO.
 *
 * Receiving: every buffer must hold 64 KiB since any message may be a run. When runs are long, a
 * call takes few of them, so that the batch stays in the cache; when datagrams come alone it takes
 * many. Untouched pages of the pool cost nothing.
 *
 * Sending: `cursor` walks over (run, byte). A message that is refused is decided upon alone: a GSO
 * run that the route's device cannot segment (EIO) or an old kernel finds too large (EINVAL) is
 * sent again one by one, so that only the plain answer counts. A full socket leaves the rest to a
 * queue. */
#include "overlay/udp_backend_uv.h"

#include <errno.h>
#include <netinet/udp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif
#ifndef UDP_GRO
#define UDP_GRO 104
#endif

#define BUFFER_LEN     65536
#define BIG_RUN        8192 /* a message above it: the sender makes long runs */
#define BIG_BATCH      8    /* x 64 KiB: half of a usual L2 cache */
#define QUEUE_RUNS     64
#define QUEUE_BYTES    (512u << 10)
#define NO_GSO_REMOTES 16
#define NO_GSO_MS      60000         /* then the route may lead over another device */
#define WAITED_MAX     (100 * OV_MS) /* longer: the wall clock was set */

#define CONTROL_IN                                                                   \
	(CMSG_SPACE(sizeof(struct in6_pktinfo)) + 3 * CMSG_SPACE(sizeof(uint32_t)) + \
		CMSG_SPACE(sizeof(struct timespec)))
#define CONTROL_OUT                                                              \
	(CMSG_SPACE(sizeof(struct in6_pktinfo)) + CMSG_SPACE(sizeof(uint16_t)) + \
		2 * CMSG_SPACE(sizeof(int)))

struct queue { /* runs that the socket had no room for, oldest first */
	uint8_t *bytes;
	size_t used, first, count;
	struct dgram runs[QUEUE_RUNS];
};

struct lane { /* one family's socket */
	struct linux_udp *owner;
	int fd; /* -1: absent */
	bool readable;
	uint32_t overflowed; /* the kernel's running count */
	uv_poll_t poll;
	struct queue queue;
};

struct control {
	_Alignas(struct cmsghdr) char bytes[CONTROL_IN];
};
static_assert(CONTROL_OUT <= CONTROL_IN, "one buffer serves both");

struct batch {
	struct mmsghdr messages[UDP_BATCH];
	struct iovec iov[UDP_BATCH];
	struct sockaddr_in6 names[UDP_BATCH];
	struct control control[UDP_BATCH];
};

struct cursor {
	size_t run, offset;
};

struct linux_udp {
	struct udp base;
	struct lane lanes[UDP_FAMILIES];
	int open_handles;
	int turn;      /* lane that is asked first */
	bool big;      /* the last batch had long runs */
	uint8_t *pool; /* UDP_BATCH buffers */
	struct batch in, out;
	struct cursor from[UDP_BATCH + 1]; /* where each message of `out` starts */
	size_t split_run;                  /* this run of the current call goes out without GSO */
	struct {
		struct ov_addr remote;
		uint64_t until_ms;
	} no_gso[NO_GSO_REMOTES];
	size_t no_gso_next;
	uint64_t no_gso_until_ms; /* no entry lives longer */
};

/* ---- receive ---- */

static void read_pktinfo6(struct cmsghdr *c, struct dgram *d)
{
	struct in6_pktinfo info;
	memcpy(&info, CMSG_DATA(c), sizeof(info));
	memcpy(d->local.ip, &info.ipi6_addr, 16);
	d->interface = info.ipi6_ifindex;
	if (IN6_IS_ADDR_LINKLOCAL(&info.ipi6_addr))
		d->local.scope = info.ipi6_ifindex;
}

/* RFC 3168 5. The kernel joins only datagrams of one mark. */
#define ECN_BITS  3
#define BITS_ECT0 2
#define BITS_CE   3

static uint8_t ecn_of(int bits)
{
	return (bits & ECN_BITS) == BITS_CE     ? ECN_CE
	       : (bits & ECN_BITS) == BITS_ECT0 ? ECN_ECT0
						: ECN_NONE;
}

/* The kernel stamps by the wall clock, which may be set in between. */
static ov_time waited_since(const struct cmsghdr *c)
{
	struct timespec then, now;
	memcpy(&then, CMSG_DATA(c), sizeof(then));
	clock_gettime(CLOCK_REALTIME, &now);
	ov_time waited = (now.tv_sec - then.tv_sec) * OV_SEC + (now.tv_nsec - then.tv_nsec);
	return waited > 0 && waited < WAITED_MAX ? waited : 0;
}

static void read_pktinfo4(struct cmsghdr *c, struct dgram *d)
{
	struct in_pktinfo info;
	uint8_t ip[4];
	memcpy(&info, CMSG_DATA(c), sizeof(info));
	memcpy(ip, &info.ipi_spec_dst, 4);
	d->local = addr_v4(ip[0], ip[1], ip[2], ip[3], 0);
	d->interface = (uint32_t)info.ipi_ifindex;
}

static int read_int(struct cmsghdr *c)
{
	int value;
	memcpy(&value, CMSG_DATA(c), sizeof(value));
	return value;
}

static void read_ip(struct cmsghdr *c, struct dgram *d)
{
	if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO)
		read_pktinfo4(c, d);
	else if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO)
		read_pktinfo6(c, d);
	else if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_TOS)
		d->ecn = ecn_of(*CMSG_DATA(c)); /* one byte */
	else if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_TCLASS)
		d->ecn = ecn_of(read_int(c));
}

static void read_control(struct lane *l, struct msghdr *h, struct dgram *d)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(h); c; c = CMSG_NXTHDR(h, c)) {
		if (c->cmsg_level == IPPROTO_UDP && c->cmsg_type == UDP_GRO) {
			int segment = read_int(c);
			if (segment > 0 && (size_t)segment < d->len)
				d->segment = (uint16_t)segment;
		} else if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SO_RXQ_OVFL) {
			uint32_t total = (uint32_t)read_int(c);
			l->owner->base.status.overflowed += (uint32_t)(total - l->overflowed);
			l->overflowed = total;
		} else if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_TIMESTAMPNS) {
			d->waited = waited_since(c);
		} else {
			read_ip(c, d);
		}
	}
	d->local.port = l->owner->base.status.port;
}

/* Message i of the batch always fills buffer i of the pool. */
static void prepare(struct linux_udp *f)
{
	for (size_t i = 0; i < UDP_BATCH; i++) {
		f->in.iov[i] = (struct iovec){ f->pool + i * BUFFER_LEN, BUFFER_LEN };
		f->in.messages[i].msg_hdr = (struct msghdr){ .msg_name = &f->in.names[i],
			.msg_namelen = sizeof(f->in.names[i]),
			.msg_iov = &f->in.iov[i],
			.msg_iovlen = 1,
			.msg_control = f->in.control[i].bytes,
			.msg_controllen = CONTROL_IN };
	}
}

static int read_batch(struct lane *l, struct mmsghdr *messages, size_t count)
{
	if (count > 1)
		return recvmmsg(l->fd, messages, (unsigned)count, MSG_DONTWAIT, NULL);
	ssize_t n = recvmsg(l->fd, &messages->msg_hdr, MSG_DONTWAIT);
	messages->msg_len = n < 0 ? 0 : (unsigned)n;
	return n < 0 ? -1 : 1;
}

static int receive_batch(struct linux_udp *f, struct lane *l, size_t first, size_t count)
{
	int n;
	do
		n = read_batch(l, f->in.messages + first, count);
	while (n < 0 && errno == EINTR);
	if (n < (int)count)
		l->readable = false; /* drained; the loop tells when there is more */
	if (n > 0)
		f->base.status.calls_in++;
	return n;
}

/* *used grows by the messages that came, of which the sound ones are kept. */
static size_t lane_receive(
	struct linux_udp *f, struct lane *l, struct dgram *out, size_t *used, size_t count)
{
	size_t first = *used, kept = 0;
	int n = receive_batch(f, l, first, count);
	*used += n > 0 ? (size_t)n : 0;
	for (int i = 0; i < n; i++) {
		struct mmsghdr *m = &f->in.messages[first + (size_t)i];
		if (m->msg_len != 0 && !(m->msg_hdr.msg_flags & MSG_TRUNC)) {
			struct dgram *d = &out[kept++];
			*d = (struct dgram){ .data = m->msg_hdr.msg_iov->iov_base,
				.len = m->msg_len,
				.segment = (uint16_t)m->msg_len, /* at most 65,527 */
				.carrier = CARRIER_UDP,
				.remote = udp_from_sockaddr(m->msg_hdr.msg_name) };
			read_control(l, &m->msg_hdr, d);
			f->big |= m->msg_len > BIG_RUN;
		}
		m->msg_hdr.msg_namelen = sizeof(*f->in.names); /* the kernel shortened both */
		m->msg_hdr.msg_controllen = CONTROL_IN;
	}
	return kept;
}

/* After a pause a datagram comes alone: it is not worth another call to learn that. A long run does
 * not. */
static size_t receive_first(struct linux_udp *f, struct dgram *out, size_t *used)
{
	for (int i = 0; i < UDP_FAMILIES; i++) {
		struct lane *l = &f->lanes[(f->turn + i) % UDP_FAMILIES];
		if (!l->readable)
			continue;
		size_t kept = lane_receive(f, l, out, used, 1);
		if (f->big)
			kept += lane_receive(f, l, out + kept, used, BIG_BATCH - 1);
		if (kept > 0)
			return kept;
	}
	return 0;
}

static size_t linux_receive(struct udp *u, struct dgram *out, bool after_pause)
{
	struct linux_udp *f = (struct linux_udp *)u;
	size_t batch = f->big ? BIG_BATCH : UDP_BATCH, used = 0, kept = 0;
	f->big = false;
	f->turn = !f->turn;
	if (after_pause)
		return receive_first(f, out, &used);
	for (int i = 0; i < UDP_FAMILIES; i++) {
		struct lane *l = &f->lanes[(f->turn + i) % UDP_FAMILIES];
		size_t room = UDP_BATCH - used;
		if (!l->readable || room == 0)
			continue;
		size_t count = room < batch ? room : batch;
		kept += lane_receive(f, l, out + kept, &used, count);
	}
	return kept;
}

/* ---- send ---- */

static bool gso_refused(struct linux_udp *f, const struct ov_addr *remote)
{
	uint64_t now = uv_now(f->base.loop);
	if (now >= f->no_gso_until_ms)
		return false;
	for (size_t i = 0; i < NO_GSO_REMOTES; i++) {
		if (now < f->no_gso[i].until_ms && addr_equal(&f->no_gso[i].remote, remote))
			return true;
	}
	return false;
}

static void remember_no_gso(struct linux_udp *f, const struct ov_addr *remote)
{
	f->no_gso_until_ms = uv_now(f->base.loop) + NO_GSO_MS;
	f->no_gso[f->no_gso_next].remote = *remote;
	f->no_gso[f->no_gso_next].until_ms = f->no_gso_until_ms;
	f->no_gso_next = (f->no_gso_next + 1) % NO_GSO_REMOTES;
}

static void add_control(struct msghdr *h, int level, int type, const void *data, size_t len)
{
	struct cmsghdr *c = (void *)((char *)h->msg_control + h->msg_controllen);
	c->cmsg_level = level;
	c->cmsg_type = type;
	c->cmsg_len = CMSG_LEN(len);
	memcpy(CMSG_DATA(c), data, len);
	h->msg_controllen += CMSG_SPACE(len);
}

static void add_source(struct msghdr *h, const struct dgram *d)
{
	bool any = addr_is_any(&d->local);
	if (any && d->interface == 0)
		return;
	if (addr_is_v4(&d->remote)) {
		struct in_pktinfo info = { .ipi_ifindex = (int)d->interface };
		if (!any)
			memcpy(&info.ipi_spec_dst, d->local.ip + 12, 4);
		add_control(h, IPPROTO_IP, IP_PKTINFO, &info, sizeof(info));
		return;
	}
	struct in6_pktinfo info = { .ipi6_ifindex = d->interface };
	if (!any)
		memcpy(&info.ipi6_addr, d->local.ip, 16);
	add_control(h, IPPROTO_IPV6, IPV6_PKTINFO, &info, sizeof(info));
}

/* Bytes of the message that starts at c: as much of the run as one GSO send may carry, or one
 * datagram. */
static size_t message_len(struct linux_udp *f, const struct dgram *d, struct cursor c, bool split)
{
	size_t left = d->len - c.offset;
	if (left <= d->segment)
		return left;
	if (split || !f->base.status.gso)
		return d->segment;
	size_t segments = UDP_RUN_BYTES / d->segment;
	if (segments > UDP_RUN_SEGMENTS)
		segments = UDP_RUN_SEGMENTS;
	if (segments < 1)
		segments = 1;
	return left < segments * d->segment ? left : segments * d->segment;
}

static void fill_message(
	struct linux_udp *f, size_t i, const struct dgram *d, size_t offset, size_t len)
{
	struct batch *b = &f->out;
	b->iov[i] = (struct iovec){ d->data + offset, len };
	memset(b->control[i].bytes, 0, CONTROL_OUT);
	struct msghdr *h = &b->messages[i].msg_hdr;
	*h = (struct msghdr){ .msg_name = &b->names[i],
		.msg_namelen = udp_to_sockaddr(&d->remote, &b->names[i]),
		.msg_iov = &b->iov[i],
		.msg_iovlen = 1,
		.msg_control = b->control[i].bytes };
	add_source(h, d);
	if (d->hops) {
		int hops = d->hops;
		add_control(h, IPPROTO_IP, IP_TTL, &hops, sizeof(hops));
	}
	if (d->ecn == ECN_ECT0) {
		int bits = BITS_ECT0;
		bool v4 = addr_is_v4(&d->remote);
		add_control(h, v4 ? IPPROTO_IP : IPPROTO_IPV6, v4 ? IP_TOS : IPV6_TCLASS, &bits,
			sizeof(bits));
	}
	if (len > d->segment)
		add_control(h, IPPROTO_UDP, UDP_SEGMENT, &d->segment, sizeof(d->segment));
	if (h->msg_controllen == 0)
		h->msg_control = NULL;
}

/* Messages for the runs from c on; f->from[i] is where message i starts, the last one where they
 * end. */
static size_t fill_batch(
	struct linux_udp *f, const struct dgram *runs, size_t count, struct cursor c)
{
	size_t n = 0, asked = SIZE_MAX;
	bool split = false;
	for (; n < UDP_BATCH && c.run < count; n++) {
		const struct dgram *d = &runs[c.run];
		if (asked != c.run)
			split = c.run == f->split_run || gso_refused(f, &d->remote);
		asked = c.run;
		size_t len = message_len(f, d, c, split);
		fill_message(f, n, d, c.offset, len);
		f->from[n] = c;
		c.offset += len;
		if (c.offset >= d->len)
			c = (struct cursor){ c.run + 1, 0 };
	}
	f->from[n] = c;
	return n;
}

/* The first message of the batch was refused. Returns where to go on. */
static struct cursor refused(struct linux_udp *f, const struct dgram *runs, int error)
{
	struct cursor c = f->from[0];
	const struct dgram *d = &runs[c.run];
	bool run = f->out.iov[0].iov_len > d->segment;
	if (error == ENOBUFS || error == ENOMEM) {
		f->base.status.lost += (f->out.iov[0].iov_len + d->segment - 1) / d->segment;
		return f->from[1];
	}
	if (run && (error == EIO || error == EINVAL)) {
		if (error == EIO)
			remember_no_gso(f, &d->remote);
		f->split_run = c.run;
		return c;
	}
	udp_record_failure(&f->base, d, error == EMSGSIZE);
	return (struct cursor){ c.run + 1, 0 };
}

static int send_batch(struct lane *l, struct mmsghdr *messages, size_t count)
{
	if (count > 1)
		return sendmmsg(l->fd, messages, (unsigned)count, MSG_DONTWAIT);
	return sendmsg(l->fd, &messages->msg_hdr, MSG_DONTWAIT) < 0 ? -1 : 1;
}

/* Sends from c on; returns where it had to stop: at the end, or where the socket was full. */
static struct cursor lane_send(struct linux_udp *f, struct lane *l, const struct dgram *runs,
	size_t count, struct cursor c)
{
	f->split_run = SIZE_MAX;
	while (c.run < count) {
		size_t filled = fill_batch(f, runs, count, c);
		int n = send_batch(l, f->out.messages, filled);
		if (n > 0) {
			f->base.status.calls_out++;
			c = f->from[n];
		} else if (n < 0 && errno == EAGAIN) {
			return c;
		} else if (n < 0 && errno != EINTR) {
			c = refused(f, runs, errno);
		}
	}
	return c;
}

static void on_poll(uv_poll_t *handle, int status, int events);

static void watch(struct lane *l)
{
	int events = UV_READABLE | (l->queue.count ? UV_WRITABLE : 0);
	uv_poll_start(&l->poll, events, on_poll);
}

static void enqueue(struct lane *l, const struct dgram *d, size_t offset)
{
	struct queue *q = &l->queue;
	size_t len = d->len - offset;
	if (!q->bytes)
		q->bytes = malloc(QUEUE_BYTES);
	if (!q->bytes || q->first + q->count == QUEUE_RUNS || q->used + len > QUEUE_BYTES) {
		l->owner->base.status.lost += (len + d->segment - 1) / d->segment;
		return;
	}
	struct dgram *copy = &q->runs[q->first + q->count++];
	*copy = *d;
	copy->data = q->bytes + q->used;
	copy->len = len;
	memcpy(copy->data, d->data + offset, len);
	q->used += len;
	if (q->count == 1)
		watch(l);
}

static void flush_queue(struct lane *l)
{
	struct queue *q = &l->queue;
	struct cursor c = { 0, 0 };
	c = lane_send(l->owner, l, q->runs + q->first, q->count, c);
	q->first += c.run;
	q->count -= c.run;
	if (q->count) {
		q->runs[q->first].data += c.offset;
		q->runs[q->first].len -= c.offset;
		return;
	}
	q->first = q->used = 0;
	watch(l);
}

static void linux_tell_waited(struct udp *u, bool on)
{
	struct linux_udp *f = (struct linux_udp *)u;
	int value = on;
	for (int i = 0; i < UDP_FAMILIES; i++)
		if (f->lanes[i].fd >= 0)
			setsockopt(
				f->lanes[i].fd, SOL_SOCKET, SO_TIMESTAMPNS, &value, sizeof(value));
}

static void linux_send(struct udp *u, const struct dgram *runs, size_t count)
{
	struct linux_udp *f = (struct linux_udp *)u;
	for (size_t i = 0; i < count;) {
		bool v4 = addr_is_v4(&runs[i].remote);
		struct lane *l = &f->lanes[v4 ? UDP_IPV4 : UDP_IPV6];
		size_t n = 1;
		while (i + n < count && addr_is_v4(&runs[i + n].remote) == v4)
			n++;
		struct cursor c = { 0, 0 };
		if (l->fd < 0) {
			for (; c.run < n; c.run++)
				udp_record_failure(u, &runs[i + c.run], false);
		} else if (l->queue.count == 0) {
			c = lane_send(f, l, runs + i, n, c);
		}
		for (; c.run < n; c.run++, c.offset = 0)
			enqueue(l, &runs[i + c.run], c.offset);
		i += n;
	}
}

static bool linux_blocked(const struct udp *u)
{
	const struct linux_udp *f = (const struct linux_udp *)u;
	return f->lanes[0].queue.count || f->lanes[1].queue.count;
}

/* ---- handles ---- */

static void on_poll(uv_poll_t *handle, int status, int events)
{
	struct lane *l = handle->data;
	const struct udp_options *o = &l->owner->base.options;
	if ((events & UV_WRITABLE) && l->queue.count) {
		flush_queue(l);
		if (!linux_blocked(&l->owner->base) && o->on_writable)
			o->on_writable(o->context);
	}
	if (status < 0 || (events & UV_READABLE)) { /* reading clears a pending socket error */
		l->readable = true;
		o->on_readable(o->context);
	}
}

static void linux_discard(struct udp *u)
{
	struct linux_udp *f = (struct linux_udp *)u;
	for (int i = 0; i < UDP_FAMILIES; i++)
		free(f->lanes[i].queue.bytes);
	free(f->pool);
	free(f);
}

static void on_closed(uv_handle_t *handle)
{
	struct lane *l = handle->data;
	struct linux_udp *f = l->owner;
	if (--f->open_handles == 0)
		linux_discard(&f->base);
}

static void linux_stop(struct udp *u)
{
	struct linux_udp *f = (struct linux_udp *)u;
	for (int i = 0; i < UDP_FAMILIES; i++) {
		struct lane *l = &f->lanes[i];
		if (l->fd < 0)
			continue;
		uv_close((uv_handle_t *)&l->poll, on_closed);
		close(l->fd);
		l->fd = -1;
	}
}

static void set_options(struct linux_udp *f, int fd, enum udp_family family)
{
	int one = 1, value = 0;
	socklen_t len = sizeof(value);
	if (family == UDP_IPV4) {
		setsockopt(fd, IPPROTO_IP, IP_PKTINFO, &one, sizeof(one));
		setsockopt(fd, IPPROTO_IP, IP_RECVTOS, &one, sizeof(one));
	} else {
		setsockopt(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, &one, sizeof(one));
		setsockopt(fd, IPPROTO_IPV6, IPV6_RECVTCLASS, &one, sizeof(one));
	}
	setsockopt(fd, SOL_SOCKET, SO_RXQ_OVFL, &one, sizeof(one));
	if (f->base.options.backend == UDP_PLAIN)
		return;
	f->base.status.gro |= setsockopt(fd, IPPROTO_UDP, UDP_GRO, &one, sizeof(one)) == 0;
	f->base.status.gso |= getsockopt(fd, IPPROTO_UDP, UDP_SEGMENT, &value, &len) == 0;
}

/* Start failed at lane `from`: nothing stays open. */
static void abandon(struct linux_udp *f, const int fds[UDP_FAMILIES], int from)
{
	for (int i = from; i < UDP_FAMILIES; i++) {
		if (fds[i] >= 0)
			close(fds[i]);
	}
	if (f->open_handles)
		linux_stop(&f->base);
	else
		linux_discard(&f->base);
}

static int linux_start(struct udp *u, const int fds[UDP_FAMILIES])
{
	struct linux_udp *f = (struct linux_udp *)u;
	for (int i = 0; i < UDP_FAMILIES; i++) {
		struct lane *l = &f->lanes[i];
		if (fds[i] < 0)
			continue;
		int error = uv_poll_init(u->loop, &l->poll, fds[i]);
		if (error) {
			abandon(f, fds, i);
			return error;
		}
		l->fd = fds[i];
		l->poll.data = l;
		f->open_handles++;
		set_options(f, fds[i], (enum udp_family)i);
		watch(l);
	}
	u->status.mmsg = u->status.source = true;
	u->status.backend = u->status.gso ? "gso" : "plain";
	return 0;
}

static const struct udp_ops linux_ops = {
	.name = "linux",
	.start = linux_start,
	.stop = linux_stop,
	.receive = linux_receive,
	.send = linux_send,
	.tell_waited = linux_tell_waited,
	.blocked = linux_blocked,
	.discard = linux_discard,
};

struct udp *udp_linux_new(void)
{
	struct linux_udp *f = calloc(1, sizeof(*f));
	if (!f)
		return NULL;
	f->base.ops = &linux_ops;
	for (int i = 0; i < UDP_FAMILIES; i++) {
		f->lanes[i].owner = f;
		f->lanes[i].fd = -1;
	}
	f->big = true;
	f->pool = malloc((size_t)UDP_BATCH * BUFFER_LEN);
	if (!f->pool) {
		free(f);
		return NULL;
	}
	prepare(f);
	return &f->base;
}
