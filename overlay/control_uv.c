/* Raw sockets on uv_poll: memory per client stays in our hands (control_client), and descriptors
 * are passed. Every callback ends the same way (settle): lines that the api has ready are
 * handed out, what can be written is written, the dead are swept, one timer is armed for the
 * earliest deadline. Connections die only in the sweep, so no callback holds a freed one.
 *
 * Fairness: per turn a connection reads READ_MAX bytes and has LINES_PER_TURN requests handled;
 * what is left waits for the idle handle, behind all other events of the loop. */
#include "overlay/control_uv.h"

#include "overlay/control_os.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <uv.h>

#define READ_MAX        16384
#define LINES_PER_TURN  8
#define ACCEPT_PER_TURN 32
#define ACCEPT_PAUSE    (100 * OV_MS) /* when descriptors are used up */

struct conn {
	uv_poll_t poll;
	struct control *owner;
	struct conn *next;
	struct control_client client;
	uid_t uid;
	int fd, armed; /* events that the poll handle waits for */
	bool eof;      /* it will ask nothing more, but may still read */
	bool more;     /* whole lines wait for their turn */
	bool shut;     /* the last words are out: it sees the end */
	bool deaf;     /* after eof: whether it has gone as well is not watched */
};

struct control {
	struct control_config cfg;
	struct api *api;
	uv_loop_t *loop;
	uv_poll_t listener;
	uv_timer_t timer;
	uv_idle_t idle;
	struct conn *conns;
	size_t count, handles; /* clients; handles that still have to close */
	uint64_t next_id;
	gid_t group;
	int fd;
	ov_time accept_at; /* OV_NEVER: accepting */
	bool closing;
	char path[108];
	dev_t path_dev;
	ino_t path_ino;
	uint8_t scratch[READ_MAX];
};

struct control_config control_config_default(void)
{
	return (struct control_config){
		.group = "overlay", .max_clients = 256, .max_per_uid = 64, .root_reserved = 4
	}; /* limits: design 10 */
}

size_t control_client_count(const struct control *c)
{
	return c->count;
}

static ov_time read_clock(struct control *c)
{
	struct timespec wall;
	ov_time now = c->cfg.now(c->cfg.context);
	clock_gettime(CLOCK_REALTIME, &wall);
	api_set_wall(c->api, now, (int64_t)wall.tv_sec * 1000 + wall.tv_nsec / 1000000);
	return now;
}

/* ---- one connection ---- */

/* A descriptor goes with the first bytes of its line. */
static ssize_t send_with(int fd, const uint8_t *data, size_t len, int descriptor)
{
	struct iovec bytes = { .iov_base = (void *)(uintptr_t)data, .iov_len = len };
	struct msghdr m = { .msg_iov = &bytes, .msg_iovlen = 1 };
	union {
		struct cmsghdr head;
		uint8_t room[CMSG_SPACE(sizeof(int))];
	} control = { .room = { 0 } };
	if (descriptor >= 0) {
		m.msg_control = control.room;
		m.msg_controllen = sizeof(control.room);
		struct cmsghdr *h = CMSG_FIRSTHDR(&m);
		h->cmsg_level = SOL_SOCKET;
		h->cmsg_type = SCM_RIGHTS;
		h->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(h), &descriptor, sizeof(int));
	}
	return sendmsg(fd, &m, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static void conn_write(struct conn *k, ov_time now)
{
	struct bytes_queue *q = &k->client.out;
	while (q->len > 0 && !k->client.dead) {
		int descriptor;
		size_t len = client_next_write(&k->client, &descriptor);
		ssize_t n = send_with(k->fd, q->data + q->start, len, descriptor);
		if (n >= 0 && descriptor >= 0) {
			client_sent_descriptor(&k->client);
			close(descriptor);
		}
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			k->client.dead |= errno != EAGAIN;
			return;
		}
		client_wrote(&k->client, now, k->owner->api, (size_t)n);
	}
}

/* Has it closed, and not only ended its side? Then it reads no answers. */
static bool has_hung_up(const struct conn *k)
{
	struct pollfd p = { .fd = k->fd };
	return poll(&p, 1, 0) == 1 && (p.revents & (POLLHUP | POLLERR));
}

static void conn_read(struct conn *k, ov_time now)
{
	struct iovec bytes = { .iov_base = k->owner->scratch, .iov_len = READ_MAX };
	union {
		struct cmsghdr head;
		uint8_t room[CMSG_SPACE(sizeof(int))];
	} control;
	/* not a byte more: the kernel would fill the padding with another descriptor */
	struct msghdr m = { .msg_iov = &bytes,
		.msg_iovlen = 1,
		.msg_control = control.room,
		.msg_controllen = CMSG_LEN(sizeof(int)) };
	ssize_t n = recvmsg(k->fd, &m, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	if (n > 0) {
		const struct cmsghdr *h = CMSG_FIRSTHDR(&m);
		int descriptor = -1;
		bool has_one = h && h->cmsg_level == SOL_SOCKET && h->cmsg_type == SCM_RIGHTS &&
			       h->cmsg_len >= CMSG_LEN(sizeof(int));
		if (has_one)
			memcpy(&descriptor, CMSG_DATA(h), sizeof(int));
		client_feed(&k->client, now, k->owner->scratch, (size_t)n);
		if (has_one || (m.msg_flags & MSG_CTRUNC))
			client_feed_descriptor(&k->client, k->owner->api, descriptor);
	} else if (n == 0) {
		k->eof = true;
		k->client.dead |= has_hung_up(k);
	} else if (errno != EAGAIN && errno != EINTR) {
		k->client.dead = true;
	}
}

static void conn_work(struct conn *k, ov_time now)
{
	if (k->client.close_by == OV_NEVER)
		k->more = client_work(&k->client, now, k->owner->api, LINES_PER_TURN);
	else
		k->more = false;
}

/* After the last words the client reads the end at once, while we still swallow what it sends: a
 * plain close would turn its unread bytes into an error before it has read why. */
static void conn_finish(struct conn *k)
{
	if (k->client.close_by == OV_NEVER || k->client.out.len > 0 || k->shut)
		return;
	k->shut = true;
	shutdown(k->fd, SHUT_WR);
}

/* Nothing can come of it any more. */
static bool conn_is_done(const struct conn *k)
{
	if (k->client.dead)
		return true;
	if (!k->eof || k->client.out.len > 0 || k->more)
		return false;
	return k->client.api.events || !api_client_waits(k->owner->api, k->client.api.id);
}

static void settle(struct control *c, ov_time now);

static void on_conn(uv_poll_t *poll, int status, int events)
{
	struct conn *k = poll->data;
	struct control *c = k->owner;
	ov_time now = read_clock(c);
	k->client.dead |= status < 0; /* libuv has stopped the handle then */
	if (!k->client.dead && (events & UV_READABLE) && !k->more)
		conn_read(k, now);
	if (k->eof && (events & UV_PRIORITIZED)) {
		k->client.dead |= has_hung_up(k);
		k->deaf = true; /* else it would tell again and again */
	}
	if (!k->client.dead && (events & UV_WRITABLE))
		conn_write(k, now);
	conn_work(k, now);
	settle(c, now);
	if (c->cfg.changed)
		c->cfg.changed(c->cfg.context);
}

static void conn_arm(struct conn *k)
{
	int events = k->client.out.len > 0 ? UV_WRITABLE : 0;
	if (!k->eof && !k->more && client_wants_read(&k->client))
		events |= UV_READABLE;
	if (k->eof && !k->deaf) /* which the kernel does not send; a hang-up it always tells */
		events |= UV_PRIORITIZED;
	if (events == k->armed)
		return; /* each change costs a system call */
	k->armed = events;
	int rc = events ? uv_poll_start(&k->poll, events, on_conn) : uv_poll_stop(&k->poll);
	k->client.dead |= rc != 0;
}

/* ---- the end of every callback ---- */

static void handle_gone(struct control *c)
{
	if (--c->handles > 0)
		return;
	close(c->fd);
	free(c);
}

static void on_conn_closed(uv_handle_t *handle)
{
	struct conn *k = handle->data;
	struct control *c = k->owner;
	if (k->fd >= 0)
		close(k->fd);
	free(k);
	handle_gone(c);
}

static void sweep(struct control *c, ov_time now)
{
	for (struct conn **at = &c->conns; *at;) {
		struct conn *k = *at;
		if (!c->closing && !conn_is_done(k)) {
			at = &k->next;
			continue;
		}
		*at = k->next;
		c->count--;
		api_client_gone(c->api, now, k->client.api.id);
		client_fini(&k->client, c->api);
		uv_close((uv_handle_t *)&k->poll, on_conn_closed);
	}
}

/* The connection goes on without us. */
static void conn_leave(struct control *c, struct conn *k, ov_time now, uint64_t stream)
{
	struct conn **at = &c->conns;
	conn_write(k, now);
	while (*at != k)
		at = &(*at)->next;
	*at = k->next;
	c->count--;
	uv_close((uv_handle_t *)&k->poll, on_conn_closed); /* stops it at once */
	int fd = k->fd;
	k->fd = -1;
	c->cfg.becomes(c->cfg.context, k->client.api.id, stream, fd, &k->client.in, &k->client.out);
	api_client_gone(c->api, now, k->client.api.id);
	client_fini(&k->client, c->api);
}

static void hand_to(struct control *c, struct conn *k, ov_time now, const struct api_line *line)
{
	if (line->has_descriptor)
		client_answer_descriptor(&k->client, now, c->api, line->json, line->descriptor);
	else if (line->json)
		client_answer(&k->client, now, line->json);
	if (line->is_last)
		client_end(&k->client, now);
	if (line->becomes && !k->client.dead)
		conn_leave(c, k, now, line->becomes);
}

static struct conn *find(const struct control *c, uint64_t client)
{
	for (struct conn *k = c->conns; k; k = k->next)
		if (k->client.api.id == client)
			return k;
	return NULL;
}

static void hand_out(struct control *c, ov_time now)
{
	struct api_line line;
	while (api_poll(c->api, &line)) {
		struct conn *taker = line.client ? find(c, line.client) : NULL;
		if (taker)
			hand_to(c, taker, now, &line);
		else if (line.has_descriptor)
			close(line.descriptor);
		for (struct conn *k = c->conns; !line.client && k; k = k->next)
			if (line.event_bit & k->client.api.events)
				client_event(&k->client, now, line.json);
		json_decref(line.json);
	}
}

static void on_timer(uv_timer_t *timer);
static void on_idle(uv_idle_t *idle);
static void on_connect(uv_poll_t *poll, int status, int events);

static void settle(struct control *c, ov_time now)
{
	ov_time at = c->accept_at;
	bool more = false;
	hand_out(c, now);
	for (struct conn *k = c->conns; k; k = k->next) {
		conn_write(k, now);
		conn_finish(k);
	}
	sweep(c, now);
	for (struct conn *k = c->conns; k; k = k->next) {
		conn_arm(k);
		at = ov_min(at, client_deadline(&k->client));
		more |= k->more || k->client.dead;
	}
	at = ov_min(at, api_deadline(c->api));
	if (more)
		uv_idle_start(&c->idle, on_idle);
	else
		uv_idle_stop(&c->idle);
	if (at == OV_NEVER)
		uv_timer_stop(&c->timer);
	else
		uv_timer_start(
			&c->timer, on_timer, at <= now ? 1 : (uint64_t)((at - now) / OV_MS) + 1, 0);
}

static void on_timer(uv_timer_t *timer)
{
	struct control *c = timer->data;
	ov_time now = read_clock(c);
	api_tick(c->api, now);
	for (struct conn *k = c->conns; k; k = k->next)
		client_tick(&k->client, now);
	if (c->accept_at <= now) {
		c->accept_at = OV_NEVER;
		uv_poll_start(&c->listener, UV_READABLE, on_connect);
	}
	settle(c, now);
}

static void on_idle(uv_idle_t *idle)
{
	struct control *c = idle->data;
	ov_time now = read_clock(c);
	for (struct conn *k = c->conns; k; k = k->next)
		if (k->more)
			conn_work(k, now);
	settle(c, now);
	if (c->cfg.changed)
		c->cfg.changed(c->cfg.context);
}

void control_flush(struct control *c, ov_time now)
{
	if (!c->closing && api_is_ready(c->api))
		settle(c, now);
}

/* ---- connecting ---- */

static void refuse(int fd, const char *code, const char *text, const char *hint)
{
	json_t *line = api_error_line(code, text, hint);
	char *out = line ? json_dumps(line, JSON_COMPACT) : NULL;
	if (out) {
		size_t len = strlen(out);
		out[len] = '\n'; /* a fresh socket's buffer takes a line; if not, it gets none */
		(void)!send(fd, out, len + 1, MSG_NOSIGNAL | MSG_DONTWAIT);
	}
	free(out);
	json_decref(line);
	close(fd);
}

static bool has_room(const struct control *c, uid_t uid)
{
	size_t own = 0, limit = c->cfg.max_clients;
	for (const struct conn *k = c->conns; k; k = k->next)
		own += k->uid == uid;
	if (uid != 0)
		limit -= limit > c->cfg.root_reserved ? c->cfg.root_reserved : limit;
	return own < c->cfg.max_per_uid && c->count < limit;
}

static void conn_new(struct control *c, int fd, uid_t uid)
{
	struct conn *k = calloc(1, sizeof(*k));
	if (!k || uv_poll_init(c->loop, &k->poll, fd) != 0) {
		free(k);
		refuse(fd, "busy", "overlayd is out of memory", "");
		return;
	}
	k->poll.data = k;
	k->owner = c;
	k->fd = fd;
	k->uid = uid;
	client_init(&k->client, ++c->next_id);
	k->client.api.uid = (uint32_t)uid;
	k->next = c->conns;
	c->conns = k;
	c->count++;
	c->handles++;
}

static void welcome(struct control *c, int fd)
{
	struct control_peer peer = { .allowed = false };
	if (!control_peer(fd, c->group, &peer) || !peer.allowed)
		refuse(fd, "no-permission", "permission denied: join group overlay",
			"sudo adduser \"$USER\" overlay, then log in again");
	else if (!has_room(c, peer.uid))
		refuse(fd, "busy", "too many programs are connected to overlayd",
			"close some, or raise limits.clients in the configuration");
	else
		conn_new(c, fd, peer.uid);
}

static void on_connect(uv_poll_t *poll, int status, int events)
{
	struct control *c = poll->data;
	ov_time now = read_clock(c);
	(void)events;
	for (int i = 0; status == 0 && i < ACCEPT_PER_TURN; i++) {
		int fd = accept4(c->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
		if (fd >= 0) {
			welcome(c, fd);
			continue;
		}
		if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS) {
			c->accept_at = now + ACCEPT_PAUSE; /* else the loop would spin */
			uv_poll_stop(&c->listener);
		}
		break;
	}
	settle(c, now);
	if (c->cfg.changed)
		c->cfg.changed(c->cfg.context);
}

/* ---- life ---- */

struct control *control_open(struct uv_loop_s *loop, const struct control_config *cfg,
	struct api *api, char *why, size_t why_size)
{
	struct control *c = calloc(1, sizeof(*c));
	if (!c) {
		snprintf(why, why_size, "out of memory");
		return NULL;
	}
	c->cfg = *cfg;
	c->api = api;
	c->loop = loop;
	c->accept_at = OV_NEVER;
	c->fd = control_listen(cfg->path, cfg->group, &c->group, why, why_size);
	struct stat st = { .st_ino = 0 };
	if (c->fd < 0 || uv_poll_init(loop, &c->listener, c->fd) != 0) {
		if (c->fd >= 0) {
			snprintf(why, why_size, "%s: the event loop refused it", cfg->path);
			close(c->fd);
			unlink(cfg->path);
		}
		free(c);
		return NULL;
	}
	snprintf(c->path, sizeof(c->path), "%s", cfg->path);
	if (lstat(c->path, &st) == 0) {
		c->path_dev = st.st_dev;
		c->path_ino = st.st_ino;
	}
	uv_timer_init(loop, &c->timer);
	uv_idle_init(loop, &c->idle);
	c->listener.data = c->timer.data = c->idle.data = c;
	c->handles = 3;
	uv_poll_start(&c->listener, UV_READABLE, on_connect);
	return c;
}

static void on_closed(uv_handle_t *handle)
{
	handle_gone(handle->data);
}

void control_close(struct control *c)
{
	struct stat st;
	if (!c) /* a start that failed before the socket */
		return;
	c->closing = true;
	if (lstat(c->path, &st) == 0 && st.st_dev == c->path_dev && st.st_ino == c->path_ino)
		unlink(c->path); /* not the socket of a successor */
	sweep(c, c->cfg.now(c->cfg.context));
	uv_close((uv_handle_t *)&c->listener, on_closed);
	uv_close((uv_handle_t *)&c->timer, on_closed);
	uv_close((uv_handle_t *)&c->idle, on_closed);
}
