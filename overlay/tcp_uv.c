/* libuv streams. Reading: the datagrams of one read are handed over where they lie, in the one
 * buffer that all connections share. Writing: straight into the socket, which holds little that is
 * not sent (TCP_NOTSENT_LOWAT), or behind what waits there; a whole datagram or nothing, so that a
 * slow reader loses datagrams and never the framing.
 *
 * A connection ends in one place, conn_end; its memory goes when libuv has closed the handle, so a
 * callback that ended it may still look at `ending`. */
#include "overlay/tcp_uv.h"

#include "core/packet.h"
#include "core/table.h"
#include "core/tcp_frame.h"
#include "core/tcp_queue.h"
#include "overlay/clock_os.h"
#include "overlay/entropy_os.h"
#include "overlay/udp_backend_uv.h"

#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>

#define READ_BUFFER  65536
#define BATCH        64 /* datagrams of a run that goes out */
#define READ_BATCH   32 /* that are handed over at once */
#define LISTENERS    4  /* two ports, two families */
#define BACKLOG      256
#define SOCKET_QUEUE (512 << 10) /* sent and not acknowledged: 100 Mbit/s at 40 ms */
#define UNSENT_MAX   (64 << 10)  /* not sent yet: waits in front of every ping */
#define USER_TIMEOUT 30000       /* ms without an acknowledgement of what was sent */
#define FILES_KEPT   256         /* descriptors for everything else */

struct conn {
	uv_tcp_t handle;
	uv_connect_t connect;
	uv_write_t write;
	struct tcp_entry entry;
	struct tcp *owner;
	struct ov_addr local;
	uint32_t number;
	bool told;    /* the node knows it: it stands, or something was sent on it */
	bool greeted; /* its first datagram was an HS1 */
	bool ending;
	struct tcp_queue waiting, flying; /* flying: libuv has it */
	struct tcp_frame in;
};

struct tcp {
	struct tcp_options o;
	uv_loop_t *loop;
	struct tcp_gate gate;
	struct table *by_number;
	uv_tcp_t listeners[LISTENERS];
	size_t listening;
	uv_timer_t timer;
	size_t handles; /* that still have to close */
	size_t queued;  /* bytes in all queues */
	uint32_t last_number;
	bool closing;
	uint8_t buffer[READ_BUFFER];
};

static struct conn *conn_of(struct tcp_entry *e)
{
	return (struct conn *)(void *)((uint8_t *)e - offsetof(struct conn, entry));
}

/* ---- the end of a connection ---- */

static void handle_gone(struct tcp *t)
{
	if (--t->handles > 0)
		return;
	tcp_gate_fini(&t->gate);
	table_free(t->by_number);
	free(t);
}

static void queue_free(struct tcp *t, struct tcp_queue *q)
{
	t->queued -= q->len;
	tcp_queue_fini(q);
}

static void on_conn_closed(uv_handle_t *h)
{
	struct conn *k = h->data;
	struct tcp *t = k->owner;
	queue_free(t, &k->waiting);
	queue_free(t, &k->flying);
	free(k);
	handle_gone(t);
}

static void conn_end(struct conn *k)
{
	struct tcp *t = k->owner;
	if (k->ending)
		return;
	k->ending = true;
	tcp_gate_remove(&t->gate, &k->entry);
	if (k->number)
		table_remove(t->by_number, k->number);
	uv_close((uv_handle_t *)&k->handle, on_conn_closed);
	if (k->told && !t->closing)
		t->o.on_closed(t->o.context, k->number);
}

/* ---- time ---- */

static void on_timer(uv_timer_t *h);

static void arm(struct tcp *t)
{
	ov_time pause = tcp_gate_pause(&t->gate);
	if (pause == OV_NEVER || t->closing)
		uv_timer_stop(&t->timer);
	else if (!uv_is_active((uv_handle_t *)&t->timer) ||
		 uv_timer_get_due_in(&t->timer) > (uint64_t)(pause / OV_MS))
		uv_timer_start(&t->timer, on_timer, (uint64_t)(pause / OV_MS), 0);
}

static void on_timer(uv_timer_t *h)
{
	struct tcp *t = h->data;
	struct tcp_entry *e;
	while ((e = tcp_gate_expired(&t->gate, clock_now())))
		conn_end(conn_of(e));
	arm(t);
}

/* ---- out ---- */

static void flush(struct conn *k);

static void on_written(uv_write_t *w, int status)
{
	struct conn *k = w->data;
	queue_free(k->owner, &k->flying);
	if (status < 0)
		conn_end(k);
	else
		flush(k);
}

static void flush(struct conn *k)
{
	if (k->ending || k->flying.len > 0 || k->waiting.len == 0)
		return;
	k->flying = k->waiting;
	k->waiting = (struct tcp_queue){ 0 };
	uv_buf_t buf = uv_buf_init((char *)k->flying.data, (unsigned)k->flying.len);
	k->write.data = k;
	if (uv_write(&k->write, (uv_stream_t *)&k->handle, &buf, 1, on_written) != 0)
		conn_end(k);
}

static bool has_room(const struct conn *k, size_t more)
{
	return k->waiting.len + k->flying.len + more <= TCP_QUEUE_MAX &&
	       k->owner->queued + more <= TCP_QUEUES_MAX;
}

static bool queue_add(struct conn *k, const uint8_t *data, size_t len, size_t skip)
{
	size_t before = k->waiting.len;
	if (tcp_queue_add(&k->waiting, data, len, skip) != OV_OK)
		return false;
	k->owner->queued += k->waiting.len - before;
	return true;
}

struct pieces { /* of a run, at most BATCH datagrams */
	uint8_t headers[BATCH][TCP_FRAME_HEADER];
	uv_buf_t bufs[2 * BATCH];
	unsigned count;
};

static void pieces_of(struct pieces *p, const struct dgram *run)
{
	p->count = 0;
	for (size_t at = 0; at < run->len && p->count < 2 * BATCH; at += run->segment) {
		size_t left = run->len - at, len = left < run->segment ? left : run->segment;
		uint8_t *header = p->headers[p->count / 2];
		tcp_frame_header(header, len);
		p->bufs[p->count++] = uv_buf_init((char *)header, TCP_FRAME_HEADER);
		p->bufs[p->count++] = uv_buf_init((char *)run->data + at, (unsigned)len);
	}
}

/* What the socket did not take: the rest of a datagram that it began must follow, whole ones may.
 */
static void keep_rest(struct conn *k, const struct pieces *p, size_t written)
{
	for (unsigned i = 0; i < p->count; i += 2) {
		size_t len = p->bufs[i + 1].len, whole = TCP_FRAME_HEADER + len;
		if (written >= whole) {
			written -= whole;
			continue;
		}
		bool begun = written > 0;
		if (!begun && !has_room(k, whole)) {
			k->owner->gate.counters.lost++;
			continue;
		}
		const uint8_t *data = (const uint8_t *)p->bufs[i + 1].base;
		if (!queue_add(k, data, len, written) && begun) {
			conn_end(k); /* half a datagram is out, and no memory for the rest */
			return;
		}
		written = 0;
	}
}

static void send_run(struct conn *k, const struct dgram *run)
{
	struct pieces p;
	pieces_of(&p, run);
	int written = 0;
	if (k->waiting.len == 0 && k->flying.len == 0)
		written = uv_try_write((uv_stream_t *)&k->handle, p.bufs, p.count);
	if (written < 0 && written != UV_EAGAIN) {
		conn_end(k);
		return;
	}
	keep_rest(k, &p, written > 0 ? (size_t)written : 0);
	flush(k);
}

void tcp_send(struct tcp *t, const struct dgram *runs, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		const struct dgram *run = &runs[i];
		struct conn *k = table_find(t->by_number, run->interface);
		size_t max = (size_t)BATCH * run->segment;
		if (!k || run->segment > TCP_FRAME_MAX || run->len > max) {
			t->gate.counters.lost++;
			continue;
		}
		if (run->data[0] != PACKET_COOKIE) { /* which anybody gets who knows our key */
			tcp_gate_answered(&t->gate, &k->entry);
			k->told = true;
		}
		send_run(k, run);
	}
}

/* ---- in ---- */

static void on_alloc(uv_handle_t *h, size_t wanted, uv_buf_t *out)
{
	const struct conn *k = h->data;
	(void)wanted;
	*out = uv_buf_init((char *)k->owner->buffer, READ_BUFFER);
}

/* Also of the bytes of a first datagram that is not whole yet. */
static bool still_greets(struct conn *k, const uint8_t *data, size_t len)
{
	if (k->greeted)
		return true;
	uint8_t head[TCP_FRAME_HEADER + 1];
	size_t have = k->in.have < sizeof(head) ? k->in.have : sizeof(head);
	memcpy(head, k->in.partial, have);
	while (have < sizeof(head) && len > 0) {
		head[have++] = *data++;
		len--;
	}
	return k->entry.ours ? tcp_gate_may_answer(head, have) : tcp_gate_may_greet(head, have);
}

static bool hand_over(struct conn *k, const struct dgram *in, size_t count)
{
	struct tcp *t = k->owner;
	if (count > 0) {
		k->greeted = true;
		t->o.on_datagrams(t->o.context, in, count);
	}
	return !k->ending;
}

static int take(struct conn *k, struct tcp_bytes *in)
{
	struct dgram batch[READ_BATCH];
	struct dgram one = { .carrier = CARRIER_TCP,
		.interface = k->number,
		.local = k->local,
		.remote = k->entry.remote };
	size_t count = 0, len;
	int more;
	while ((more = tcp_frame_next(&k->in, in, &one.data, &len)) == 1) {
		one.len = len;
		one.segment = (uint16_t)len;
		batch[count++] = one;
		if (count < READ_BATCH)
			continue;
		if (!hand_over(k, batch, count))
			return 0;
		count = 0;
	}
	if (!hand_over(k, batch, count))
		return 0;
	if (more == 0)
		tcp_frame_keep(&k->in, in);
	return more;
}

static void on_foreign(struct conn *k)
{
	struct tcp *t = k->owner;
	struct ov_addr remote = k->entry.remote;
	t->gate.counters.foreign++;
	conn_end(k);
	t->o.on_foreign(t->o.context, &remote);
}

static void on_read(uv_stream_t *s, ssize_t n, const uv_buf_t *buf)
{
	struct conn *k = s->data;
	if (n == 0 || k->ending)
		return;
	if (n < 0) {
		conn_end(k);
		return;
	}
	struct tcp_bytes in = { (uint8_t *)buf->base, (size_t)n };
	k->entry.heard_at = clock_now();
	bool greets = still_greets(k, in.next, in.left);
	if (!greets && k->entry.ours) {
		on_foreign(k);
	} else if (!greets || take(k, &in) < 0) {
		k->owner->gate.counters.malformed++;
		conn_end(k);
	}
}

/* ---- the beginning ---- */

static struct conn *conn_new(struct tcp *t)
{
	struct conn *k = calloc(1, sizeof(*k));
	if (!k || uv_tcp_init(t->loop, &k->handle) != 0) {
		free(k);
		return NULL;
	}
	k->handle.data = k->connect.data = k;
	k->owner = t;
	t->handles++;
	return k;
}

/* Before it is in the gate. */
static void conn_forget(struct conn *k)
{
	k->ending = true;
	uv_close((uv_handle_t *)&k->handle, on_conn_closed);
}

static void tune(struct conn *k)
{
	int fd = -1, value = SOCKET_QUEUE;
	uv_tcp_nodelay(&k->handle, 1);
	if (uv_fileno((uv_handle_t *)&k->handle, &fd) != 0)
		return;
	setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &value, sizeof(value));
#ifdef TCP_NOTSENT_LOWAT
	value = UNSENT_MAX;
	setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &value, sizeof(value));
#endif
#ifdef TCP_USER_TIMEOUT
	value = USER_TIMEOUT;
	setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &value, sizeof(value));
#endif
}

static bool name_of(const struct conn *k, bool remote, struct ov_addr *out)
{
	struct sockaddr_storage ss = { 0 };
	int len = sizeof(ss);
	int rc = remote ? uv_tcp_getpeername(&k->handle, (struct sockaddr *)&ss, &len)
			: uv_tcp_getsockname(&k->handle, (struct sockaddr *)&ss, &len);
	if (rc == 0)
		*out = udp_from_sockaddr((struct sockaddr *)&ss);
	return rc == 0;
}

/* It stands: a number, and it is read. */
static bool conn_start(struct conn *k)
{
	struct tcp *t = k->owner;
	do
		k->number = ++t->last_number;
	while (k->number == 0 || table_find(t->by_number, k->number));
	if (table_put(t->by_number, k->number, k) != OV_OK) {
		k->number = 0;
		return false;
	}
	tune(k);
	return name_of(k, false, &k->local) &&
	       uv_read_start((uv_stream_t *)&k->handle, on_alloc, on_read) == 0;
}

static void on_connection(uv_stream_t *server, int status)
{
	struct tcp *t = server->data;
	struct ov_addr remote;
	struct tcp_entry *evict = NULL;
	struct conn *k = status == 0 ? conn_new(t) : NULL;
	if (!k)
		return;
	if (uv_accept(server, (uv_stream_t *)&k->handle) != 0 || !name_of(k, true, &remote) ||
		!tcp_gate_admits(&t->gate, clock_now(), &remote, &evict)) {
		conn_forget(k);
		return;
	}
	if (evict)
		conn_end(conn_of(evict));
	tcp_gate_add(&t->gate, clock_now(), &k->entry, &remote, false);
	if (!conn_start(k))
		conn_end(k);
	arm(t);
}

/* Others of ours to the same address: the node has given them up. */
static void end_older(struct tcp *t, const struct conn *than)
{
	for (struct tcp_entry *e = t->gate.oldest, *next; e; e = next) {
		next = e->next;
		if (e != &than->entry && e->ours && addr_equal(&e->remote, &than->entry.remote))
			conn_end(conn_of(e));
	}
}

static void on_connected(uv_connect_t *c, int status)
{
	struct conn *k = c->data;
	struct tcp *t = k->owner;
	if (k->ending)
		return;
	if (status != 0 || !conn_start(k)) {
		t->gate.counters.failed++;
		conn_end(k);
		return;
	}
	tcp_gate_answered(&t->gate, &k->entry);
	k->entry.heard_at = clock_now();
	end_older(t, k);
	k->told = true;
	struct dgram where = { .carrier = CARRIER_TCP,
		.interface = k->number,
		.local = k->local,
		.remote = k->entry.remote };
	t->o.on_opened(t->o.context, &where);
	arm(t);
}

static bool is_connecting(const struct tcp *t, const struct ov_addr *remote)
{
	for (const struct tcp_entry *e = t->gate.oldest; e; e = e->next)
		if (e->ours && !e->answered && addr_equal(&e->remote, remote))
			return true;
	return false;
}

void tcp_dial(struct tcp *t, const struct ov_addr *remote)
{
	struct sockaddr_in6 sa;
	if (is_connecting(t, remote) || !tcp_gate_may_dial(&t->gate))
		return;
	struct conn *k = conn_new(t);
	if (!k)
		return;
	tcp_gate_add(&t->gate, clock_now(), &k->entry, remote, true);
	(void)udp_to_sockaddr(remote, &sa);
	if (uv_tcp_connect(&k->connect, &k->handle, (struct sockaddr *)&sa, on_connected) != 0) {
		t->gate.counters.failed++;
		conn_end(k);
	}
	arm(t);
}

/* ---- life ---- */

/* As many descriptors as we may have: each client is one. */
static size_t connections_max(void)
{
	struct rlimit r;
	if (getrlimit(RLIMIT_NOFILE, &r) != 0)
		return TCP_HALF_OPEN_MAX;
	rlim_t wanted = TCP_CONNECTIONS + FILES_KEPT;
	if (r.rlim_cur < wanted) {
		r.rlim_cur = r.rlim_max < wanted ? r.rlim_max : wanted;
		(void)setrlimit(RLIMIT_NOFILE, &r);
		(void)getrlimit(RLIMIT_NOFILE, &r);
	}
	if (r.rlim_cur <= 2 * FILES_KEPT)
		return r.rlim_cur / 2;
	return r.rlim_cur - FILES_KEPT < TCP_CONNECTIONS ? r.rlim_cur - FILES_KEPT
							 : TCP_CONNECTIONS;
}

struct tcp *tcp_open(uv_loop_t *loop, const struct tcp_options *o)
{
	assert(o->on_datagrams && o->on_opened && o->on_closed && o->on_foreign);
	struct tcp *t = calloc(1, sizeof(*t));
	struct rng rng = entropy_rng();
	size_t max = connections_max();
	if (!t)
		return NULL;
	t->o = *o;
	t->loop = loop;
	t->by_number = table_new(max, rng_u64(&rng));
	if (!t->by_number || tcp_gate_init(&t->gate, max, &rng) != OV_OK) {
		table_free(t->by_number);
		free(t);
		return NULL;
	}
	uv_timer_init(loop, &t->timer);
	t->timer.data = t;
	t->handles = 1;
	return t;
}

static void on_handle_closed(uv_handle_t *h)
{
	handle_gone(h->data);
}

/* 0, or a negative UV_ error. */
static int listen_on(struct tcp *t, const struct ov_addr *at)
{
	struct sockaddr_in6 sa;
	uv_tcp_t *h = &t->listeners[t->listening];
	(void)udp_to_sockaddr(at, &sa);
	int rc = uv_tcp_init(t->loop, h);
	if (rc != 0)
		return rc;
	h->data = t;
	t->handles++;
	t->listening++;
	rc = uv_tcp_bind(h, (struct sockaddr *)&sa, addr_is_v4(at) ? 0 : UV_TCP_IPV6ONLY);
	if (rc == 0)
		rc = uv_listen((uv_stream_t *)h, BACKLOG, on_connection);
	return rc;
}

static bool is_absent(int error) /* a family */
{
	return error == UV_EAFNOSUPPORT || error == UV_EADDRNOTAVAIL;
}

int tcp_listen(struct tcp *t, uint16_t port, char *why, size_t why_size)
{
	struct ov_addr v4 = addr_v4(0, 0, 0, 0, port), v6 = { .port = port };
	if (t->listening + 2 > LISTENERS)
		return OV_EINVAL;
	int four = listen_on(t, &v4), six = listen_on(t, &v6);
	if ((four == 0 && (six == 0 || is_absent(six))) || (six == 0 && is_absent(four)))
		return OV_OK;
	if (four == UV_EACCES || six == UV_EACCES)
		snprintf(why, why_size,
			"no permission for TCP port %u: choose one above 1023, or give overlayd "
			"CAP_NET_BIND_SERVICE",
			port);
	else if (four == UV_EADDRINUSE || six == UV_EADDRINUSE)
		snprintf(why, why_size,
			"TCP port %u is taken by another program: choose another "
			"(--listen-tcp, --facilitator-tcp)",
			port);
	else
		snprintf(why, why_size, "cannot open TCP port %u: %s", port, uv_strerror(four));
	return OV_EINVAL;
}

const struct tcp_counters *tcp_counters(const struct tcp *t)
{
	return &t->gate.counters;
}

void tcp_close(struct tcp *t)
{
	if (!t)
		return;
	t->closing = true;
	while (t->gate.oldest)
		conn_end(conn_of(t->gate.oldest));
	for (size_t i = 0; i < t->listening; i++)
		uv_close((uv_handle_t *)&t->listeners[i], on_handle_closed);
	uv_close((uv_handle_t *)&t->timer, on_handle_closed);
}
