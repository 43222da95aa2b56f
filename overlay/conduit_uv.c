/* Bytes are read into the stream's buffer and written from it, never copied here. What is known of
 * a descriptor: `readable` and `writable` hold until the kernel says EAGAIN, and come back with an
 * edge; what is known of the stream: `has_bytes` until peek finds none, `has_room` until reserve
 * finds none, and come back with its events.
 *
 * Fairness: each turn a conduit moves TURN_TO or TURN_FROM at most, all TURN_ALL; who has more
 * waits behind the others, and behind the packets of the next turn.
 *
 * A descriptor that a client passed may be shared with it: it is never made non-blocking (that
 * would be seen there), and is taken out of the epoll set before it is closed. */
#include "overlay/conduit_uv.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#define TURN_TO     (512u << 10) /* its program: as much as comes in one turn of the pump */
#define TURN_FROM   (256u << 10)
#define TURN_ALL    (1u << 20)
#define READ_LEAST  512         /* the stream's buffer grows with what is asked for */
#define PAIR_BUFFER (512 << 10) /* more would leave the cache */
#define EVENTS      128
#define DRAIN_MAX   (256u << 10)

struct words {
	size_t at, len;
	uint8_t bytes[];
};

struct conduit {
	struct conduits *owner;
	struct service_stream *s;
	struct conduit *next, *previous;
	struct conduit *next_ready, *previous_ready;
	struct words *said, *heard; /* NULL: nothing is left of them */
	uint64_t sent, received;    /* to the stream, to the descriptor */
	int64_t code;               /* of the peer's reset, or stop for a reason; -1: none */
	int fd;
	uint32_t read_size;
	bool readable : 1, writable : 1, watches_out : 1, is_gone : 1; /* the descriptor */
	bool has_room : 1, has_bytes : 1;                              /* the stream */
	bool out_ended : 1, in_ended : 1;
	bool discards : 1; /* what comes is read and forgotten */
	bool is_open : 1, is_ready : 1, is_unix : 1, was_reset : 1;
	bool is_done : 1; /* both directions came to their end */
};

struct conduits {
	struct conduits_config cfg;
	uv_poll_t poll;
	int epoll;
	bool has_events, cannot_force;
	struct conduit *all;
	struct conduit *first_ready, *last_ready;
	size_t ready_count;
};

/* ---- lists ---- */

static void add_ready(struct conduit *c)
{
	struct conduits *cs = c->owner;
	if (c->is_ready)
		return;
	c->is_ready = true;
	c->next_ready = NULL;
	c->previous_ready = cs->last_ready;
	if (cs->last_ready)
		cs->last_ready->next_ready = c;
	else
		cs->first_ready = c;
	cs->last_ready = c;
	cs->ready_count++;
}

static void remove_ready(struct conduit *c)
{
	struct conduits *cs = c->owner;
	if (!c->is_ready)
		return;
	c->is_ready = false;
	cs->ready_count--;
	if (cs->first_ready == c)
		cs->first_ready = c->next_ready;
	if (cs->last_ready == c)
		cs->last_ready = c->previous_ready;
	if (c->previous_ready)
		c->previous_ready->next_ready = c->next_ready;
	if (c->next_ready)
		c->next_ready->previous_ready = c->previous_ready;
}

static struct conduit *pop_ready(struct conduits *cs)
{
	struct conduit *c = cs->first_ready;
	assert(c && c->is_ready);
	cs->first_ready = c->next_ready;
	if (c->next_ready)
		c->next_ready->previous_ready = NULL;
	else
		cs->last_ready = NULL;
	c->is_ready = false;
	cs->ready_count--;
	return c;
}

static bool wants_in(const struct conduit *c)
{
	return c->writable && !c->in_ended && (c->said || (c->is_open && c->has_bytes));
}

static bool wants_out(const struct conduit *c)
{
	return c->has_room && !c->out_ended && (c->heard || c->readable);
}

static bool wants_turn(const struct conduit *c)
{
	return wants_in(c) || wants_out(c) || (c->discards && c->readable) ||
	       (c->is_gone && !c->in_ended) || c->was_reset || (c->in_ended && c->out_ended);
}

/* ---- life ---- */

static bool is_stream_socket(int fd, bool *is_unix)
{
	int type = 0, listens = 0, domain = 0;
	socklen_t len = sizeof(int);
	if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) != 0 || type != SOCK_STREAM)
		return false;
	len = sizeof(int);
	if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &len) != 0 || listens)
		return false;
	len = sizeof(int);
	if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) != 0)
		return false;
	*is_unix = domain == AF_UNIX;
	return true;
}

/* Until both directions have ended a close is a cut, also that of a daemon which is killed. Never
 * one that waits, as whoever passed the descriptor may have asked for since. */
static void cut_when_closed(const struct conduit *c, bool on)
{
	const struct linger how = { .l_onoff = on, .l_linger = 0 };
	if (!c->is_unix)
		(void)setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &how, sizeof(how));
}

static int make(struct conduits *cs, struct service_stream *s, int fd, bool is_unix)
{
	struct conduit *c = calloc(1, sizeof(*c));
	if (!c)
		return OV_ENOMEM;
	struct epoll_event e = { .events = EPOLLIN | EPOLLRDHUP | EPOLLET, .data.ptr = c };
	if (epoll_ctl(cs->epoll, EPOLL_CTL_ADD, fd, &e) != 0) {
		free(c);
		return errno == EEXIST ? OV_EINVAL : OV_EFULL;
	}
	c->owner = cs;
	c->s = s;
	c->fd = fd;
	c->is_unix = is_unix;
	c->read_size = READ_LEAST;
	c->code = -1;
	c->writable = c->has_room = c->readable = true;
	c->next = cs->all;
	if (cs->all)
		cs->all->previous = c;
	cs->all = c;
	s->local = c;
	cut_when_closed(c, true);
	add_ready(c);
	return OV_OK;
}

int conduit_join(struct conduits *cs, struct service_stream *s, int descriptor)
{
	bool is_unix = false;
	if (!is_stream_socket(descriptor, &is_unix))
		return OV_EINVAL;
	return make(cs, s, descriptor, is_unix);
}

static void widen(struct conduits *cs, int fd)
{
	int bytes = PAIR_BUFFER;
	if (!cs->cannot_force &&
		setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof(bytes)) == 0)
		return;
	cs->cannot_force = true;
	(void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes));
}

int conduit_pair(struct conduits *cs, struct service_stream *s, int *theirs)
{
	int fds[2];
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) != 0)
		return OV_EFULL;
	widen(cs, fds[0]);
	widen(cs, fds[1]);
	int err = make(cs, s, fds[0], true);
	if (err != OV_OK) {
		close(fds[0]);
		close(fds[1]);
		return err;
	}
	*theirs = fds[1];
	return OV_OK;
}

static void discard(struct conduits *cs, struct conduit *c)
{
	remove_ready(c);
	if (cs->all == c)
		cs->all = c->next;
	if (c->previous)
		c->previous->next = c->next;
	if (c->next)
		c->next->previous = c->previous;
	(void)epoll_ctl(cs->epoll, EPOLL_CTL_DEL, c->fd, NULL);
	cut_when_closed(c, !c->is_done);
	close(c->fd);
	free(c->said);
	free(c->heard);
	c->s->local = NULL;
	free(c);
}

static bool append(struct words **to, const void *bytes, size_t len)
{
	size_t kept = *to ? (*to)->len - (*to)->at : 0;
	if (len == 0)
		return true;
	struct words *w = malloc(sizeof(*w) + kept + len);
	if (!w)
		return false;
	if (kept > 0)
		memcpy(w->bytes, (*to)->bytes + (*to)->at, kept);
	memcpy(w->bytes + kept, bytes, len);
	w->at = 0;
	w->len = kept + len;
	free(*to);
	*to = w;
	return true;
}

bool conduit_say(struct service_stream *s, const void *bytes, size_t len)
{
	struct conduit *c = s->local;
	add_ready(c);
	return append(&c->said, bytes, len);
}

bool conduit_heard(struct service_stream *s, const void *bytes, size_t len)
{
	struct conduit *c = s->local;
	add_ready(c);
	return append(&c->heard, bytes, len);
}

void conduit_count(const struct service_stream *s, uint64_t *sent, uint64_t *received)
{
	const struct conduit *c = s->local;
	*sent = c ? c->sent : 0;
	*received = c ? c->received : 0;
}

/* ---- bytes ---- */

static bool use_up(struct words **w, size_t len)
{
	(*w)->at += len;
	if ((*w)->at < (*w)->len)
		return false;
	free(*w);
	*w = NULL;
	return true;
}

static void end_out(struct conduit *c)
{
	c->out_ended = true;
	free(c->heard);
	c->heard = NULL;
}

static void end_in(struct conduit *c)
{
	c->in_ended = true;
	free(c->said);
	c->said = NULL;
}

/* Before it is open what comes is the answer, which services.c waits for. */
static void give_up_in(struct conduit *c, ov_time now)
{
	if (c->is_open)
		node_stream_stop(c->owner->cfg.node, now, c->s->stream, STREAM_CANCELLED);
	end_in(c);
}

static void tune_read(struct conduit *c, size_t asked, size_t got)
{
	if (got == asked && asked >= c->read_size && c->read_size < TURN_FROM)
		c->read_size *= 2;
	else if (got < c->read_size / 4 && c->read_size > READ_LEAST)
		c->read_size /= 2;
}

/* Returns how many bytes went to the stream; 0: no more now. */
static size_t read_some(struct conduit *c, size_t budget)
{
	struct node *n = c->owner->cfg.node;
	size_t len = budget < c->read_size ? budget : c->read_size;
	uint8_t *room = node_stream_reserve(c->s->stream, &len);
	if (!room) {
		c->has_room = false;
		return 0;
	}
	ssize_t got;
	if (c->heard) {
		size_t left = c->heard->len - c->heard->at;
		got = (ssize_t)(left < len ? left : len);
		memcpy(room, c->heard->bytes + c->heard->at, (size_t)got);
		use_up(&c->heard, (size_t)got);
	} else {
		do
			got = recv(c->fd, room, len, MSG_DONTWAIT);
		while (got < 0 && errno == EINTR);
	}
	if (got > 0) {
		node_stream_commit(n, c->s->stream, (size_t)got);
		c->sent += (uint64_t)got;
		tune_read(c, len, (size_t)got);
		return (size_t)got;
	}
	if (got < 0 && errno == EAGAIN) {
		c->readable = false;
		return 0;
	}
	if (got == 0)
		node_stream_finish(n, c->s->stream);
	else
		node_stream_reset(n, c->s->stream, STREAM_CANCELLED);
	end_out(c);
	return 0;
}

static void watch(struct conduit *c, bool out)
{
	struct epoll_event e = { .events = EPOLLIN | EPOLLRDHUP | EPOLLET, .data.ptr = c };
	if (out)
		e.events |= EPOLLOUT;
	c->watches_out = out;
	(void)epoll_ctl(c->owner->epoll, EPOLL_CTL_MOD, c->fd, &e);
}

/* In one call: each wakes who reads. Returns how many bytes the descriptor took; 0: no more now. */
static size_t write_some(struct conduit *c, ov_time now, struct iovec parts[2])
{
	size_t len = parts[0].iov_len + parts[1].iov_len;
	const struct msghdr m = { .msg_iov = parts, .msg_iovlen = parts[1].iov_len > 0 ? 2 : 1 };
	ssize_t put;
	do
		put = sendmsg(c->fd, &m, MSG_DONTWAIT | MSG_NOSIGNAL);
	while (put < 0 && errno == EINTR);
	if (put < 0 && errno != EAGAIN) {
		give_up_in(c, now);
		return 0;
	}
	if (put < 0 || (size_t)put < len) {
		c->writable = false;
		if (!c->watches_out)
			watch(c, true); /* tells at once if there is room again already */
	}
	return put < 0 ? 0 : (size_t)put;
}

static struct iovec part(const uint8_t *bytes, size_t len, size_t most)
{
	return (struct iovec){ (void *)(uintptr_t)bytes, len < most ? len : most };
}

static size_t write_words(struct conduit *c, ov_time now)
{
	struct words *w = c->said;
	struct iovec parts[2] = { { w->bytes + w->at, w->len - w->at }, { NULL, 0 } };
	size_t put = write_some(c, now, parts);
	if (put > 0)
		use_up(&c->said, put);
	return put;
}

static size_t write_next(struct conduit *c, ov_time now, size_t budget)
{
	if (c->said)
		return write_words(c, now);
	size_t len, more;
	const uint8_t *bytes = node_stream_peek(c->s->stream, &len);
	const uint8_t *rest = node_stream_peek_rest(c->s->stream, &more);
	if (len == 0) {
		c->has_bytes = false;
		if (node_stream_at_end(c->s->stream)) {
			(void)shutdown(c->fd, SHUT_WR);
			end_in(c);
		}
		return 0;
	}
	struct iovec parts[2] = { part(bytes, len, budget), { NULL, 0 } };
	parts[1] = part(rest, more, budget - parts[0].iov_len);
	size_t put = write_some(c, now, parts);
	if (put > 0) {
		c->received += put;
		node_stream_consume(c->owner->cfg.node, now, c->s->stream, put);
	}
	return put;
}

/* ---- ends ---- */

void conduit_cut(struct service_stream *s)
{
	struct conduit *c = s->local;
	uint8_t scratch[2048];
	if (c->said && c->is_unix) { /* why it ends; unread bytes would hide it behind an error */
		(void)!send(c->fd, c->said->bytes + c->said->at, c->said->len - c->said->at,
			MSG_DONTWAIT | MSG_NOSIGNAL);
		(void)shutdown(c->fd, SHUT_RDWR);
		for (size_t i = 0; i < DRAIN_MAX / sizeof(scratch); i++)
			if (recv(c->fd, scratch, sizeof(scratch), MSG_DONTWAIT) <= 0)
				break;
	}
	discard(c->owner, c);
}

/* The peer gave up: programs see what they would see of a socket. */
static void close_by_reset(struct conduit *c)
{
	if (c->is_unix)
		(void)shutdown(c->fd, SHUT_RDWR);
}

static void end(struct conduit *c, ov_time now)
{
	struct conduits *cs = c->owner;
	struct service_stream *s = c->s;
	bool is_open = c->is_open;
	if (c->was_reset)
		close_by_reset(c);
	else
		c->is_done = c->in_ended && c->out_ended;
	if (is_open && cs->cfg.ended)
		cs->cfg.ended(cs->cfg.context, s, c->sent, c->received, c->code);
	discard(cs, c);
	if (is_open)
		services_drop(cs->cfg.services, now, s, STREAM_CANCELLED);
	else
		services_local_failed(cs->cfg.services, s);
}

/* Budgeted as what is moved is. */
static void discard_some(struct conduit *c)
{
	ssize_t got = recv(c->fd, NULL, TURN_FROM, MSG_DONTWAIT | MSG_TRUNC);
	if (got < 0 && errno == EAGAIN)
		c->readable = false;
	else if (got <= 0)
		c->discards = false;
}

/* The peer takes no more: programs that write hear so. */
static void on_stopped(struct conduit *c, uint32_t code)
{
	if (c->out_ended)
		return;
	if (!c->was_reset && code != STREAM_CANCELLED) /* else its program is gone, no more */
		c->code = code;
	if (c->is_unix)
		(void)shutdown(c->fd, SHUT_RD);
	else
		c->discards = true; /* TCP would let its sender wait for ever */
	end_out(c);
}

void conduit_start(struct service_stream *s)
{
	struct conduit *c = s->local;
	c->is_open = c->has_bytes = true;
	if (s->was_stopped)
		on_stopped(c, s->stop_code);
	add_ready(c);
}

void conduit_on_event(struct service_stream *s, const struct node_stream_event *e)
{
	struct conduit *c = s->local;
	if (e->events & STREAM_READABLE)
		c->has_bytes = true;
	if (e->events & STREAM_WRITABLE)
		c->has_room = true;
	if (c->is_open && (e->events & STREAM_RESET)) {
		c->was_reset = true;
		c->code = e->reset_code;
	}
	if (c->is_open && (e->events & STREAM_STOPPED))
		on_stopped(c, e->stop_code);
	if (wants_turn(c))
		add_ready(c);
}

/* ---- the turn ---- */

/* False: it is gone. */
static bool take_turn(struct conduit *c, ov_time now, size_t *moved)
{
	size_t budget = TURN_TO, done;
	if (c->was_reset) { /* what has not gone yet goes no more */
		end(c, now);
		return false;
	}
	while (wants_in(c) && budget > 0 && (done = write_next(c, now, budget)) > 0)
		budget -= done < budget ? done : budget;
	*moved += TURN_TO - budget;
	if (c->is_gone && !c->in_ended)
		give_up_in(c, now);
	budget = TURN_FROM;
	while (wants_out(c) && budget > 0 && (done = read_some(c, budget)) > 0)
		budget -= done;
	*moved += TURN_FROM - budget;
	if (c->discards && c->readable)
		discard_some(c);
	if (!c->in_ended || !c->out_ended)
		return true;
	end(c, now);
	return false;
}

static void on_epoll(uv_poll_t *h, int status, int events)
{
	(void)status;
	(void)events;
	((struct conduits *)h->data)->has_events = true;
}

static void note_edge(struct conduit *c, uint32_t events)
{
	if (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR))
		c->readable = true;
	if (events & (EPOLLOUT | EPOLLERR)) {
		if (c->writable && c->watches_out && !(events & EPOLLERR))
			watch(c, false); /* it came for nothing: nobody waits for room */
		c->writable = true;
	}
	if (events & EPOLLHUP)
		c->is_gone = true;
	if (wants_turn(c))
		add_ready(c);
}

bool conduits_run(struct conduits *cs, ov_time now)
{
	struct epoll_event found[EVENTS];
	if (cs->has_events) {
		cs->has_events = false; /* what is left keeps the set readable */
		int count = epoll_wait(cs->epoll, found, EVENTS, 0);
		for (int i = 0; i < count; i++)
			note_edge(found[i].data.ptr, found[i].events);
	}
	size_t moved = 0; /* who comes back to the list waits for the next turn */
	for (size_t left = cs->ready_count; left > 0 && moved < TURN_ALL; left--) {
		struct conduit *c = pop_ready(cs);
		if (take_turn(c, now, &moved) && wants_turn(c))
			add_ready(c);
	}
	return cs->first_ready != NULL;
}

/* ---- all ---- */

struct conduits *conduits_open(uv_loop_t *loop, const struct conduits_config *cfg)
{
	struct conduits *cs = calloc(1, sizeof(*cs));
	if (!cs)
		return NULL;
	cs->cfg = *cfg;
	cs->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (cs->epoll < 0 || uv_poll_init(loop, &cs->poll, cs->epoll) != 0) {
		if (cs->epoll >= 0)
			close(cs->epoll);
		free(cs);
		return NULL;
	}
	cs->poll.data = cs;
	uv_poll_start(&cs->poll, UV_READABLE, on_epoll);
	return cs;
}

static void on_closed(uv_handle_t *h)
{
	struct conduits *cs = h->data;
	close(cs->epoll);
	free(cs);
}

void conduits_close(struct conduits *cs)
{
	if (!cs)
		return;
	while (cs->all)
		discard(cs, cs->all);
	uv_close((uv_handle_t *)&cs->poll, on_closed);
}
