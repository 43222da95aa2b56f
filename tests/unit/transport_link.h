#pragma once
/* transport_link - two transports and a link between them on virtual time: delay, jitter, loss,
 * repetition, a bottleneck with a queue, and an app at each end that writes bytes which depend on
 * stream and offset alone, and checks those that it reads. */
#include "core/transport.h"

#include "tests/unit/seeded.h"

#include <stdio.h>
#include <stdlib.h>

#define LINK_MAX    1452
#define LINK_FLIGHT 65536
#define LINK_FLOWS  4096
#define OVERHEAD    32

struct flight {
	ov_time at;
	uint64_t order;
	uint16_t len;
	uint8_t to, path;
	uint8_t data[LINK_MAX];
};

struct link_config {
	ov_time delay, jitter;
	uint32_t loss, repeat; /* in a million */
	uint64_t rate;         /* bytes a second; 0: no bottleneck */
	uint64_t queue;        /* bytes */
	bool cut;
};

struct app_stream {
	bool used, ended, reset, stopped, finished;
	uint64_t wants; /* bytes to write */
	uint64_t wrote, read;
};

struct end {
	struct transport *t;
	struct app_stream streams[LINK_FLOWS]; /* by id */
	uint64_t read, packets, violations;
	uint64_t answers; /* bytes written back on each stream that the other opens */
	bool reads_nothing;
};

struct link {
	ov_time now;
	struct link_config config;
	struct end ends[2];
	struct flight *heap[LINK_FLIGHT];
	size_t count;
	uint64_t order, seed;
	uint64_t busy_until[2]; /* of the bottleneck, each way */
	uint8_t path;
	uint64_t dropped;
};

static inline uint8_t link_byte(uint64_t stream, uint64_t offset)
{
	return (uint8_t)(stream * 7 + offset * 13 + offset / 253);
}

static inline bool link_before(const struct flight *a, const struct flight *b)
{
	return a->at < b->at || (a->at == b->at && a->order < b->order);
}

static inline void link_push(struct link *l, struct flight *f)
{
	assert_true(l->count < LINK_FLIGHT);
	size_t i = l->count++;
	for (; i > 0 && link_before(f, l->heap[(i - 1) / 2]); i = (i - 1) / 2)
		l->heap[i] = l->heap[(i - 1) / 2];
	l->heap[i] = f;
}

static inline struct flight *link_pop(struct link *l)
{
	struct flight *top = l->heap[0], *last = l->heap[--l->count];
	size_t i = 0;
	for (;;) {
		size_t child = 2 * i + 1;
		if (child >= l->count)
			break;
		if (child + 1 < l->count && link_before(l->heap[child + 1], l->heap[child]))
			child++;
		if (!link_before(l->heap[child], last))
			break;
		l->heap[i] = l->heap[child];
		i = child;
	}
	if (l->count > 0)
		l->heap[i] = last;
	return top;
}

static inline void link_use(struct link *l, uint8_t path, uint16_t datagram)
{
	l->path = path;
	for (int i = 0; i < 2; i++)
		transport_use_path(l->ends[i].t, l->now,
			&(struct transport_path){
				.key = path + 1, .datagram = datagram, .overhead = OVERHEAD });
}

static inline struct link *link_new(uint64_t seed, const struct link_config *c)
{
	struct link *l = calloc(1, sizeof(*l));
	assert_non_null(l);
	l->now = OV_SEC;
	l->seed = seed;
	l->config = *c;
	for (int i = 0; i < 2; i++)
		l->ends[i].t = transport_new(l->now,
			&(struct transport_config){ .is_lower = i == 0, .table_secret = seed });
	link_use(l, 0, LINK_MAX);
	return l;
}

static inline void link_free(struct link *l)
{
	while (l->count)
		free(link_pop(l));
	for (int i = 0; i < 2; i++)
		transport_free(l->ends[i].t);
	free(l);
}

static inline bool link_chance(struct link *l, uint32_t of_a_million)
{
	return seeded_below(&l->seed, 1000000) < of_a_million;
}

static inline void link_transmit(struct link *l, int from, const uint8_t *data, size_t len)
{
	const struct link_config *c = &l->config;
	ov_time at = l->now + c->delay;
	if (c->rate) {
		uint64_t now = (uint64_t)l->now,
			 start = l->busy_until[from] > now ? l->busy_until[from] : now;
		uint64_t waits = (start - now) * c->rate / (uint64_t)OV_SEC;
		if (waits + len > c->queue) {
			l->dropped++;
			return;
		}
		l->busy_until[from] = start + (uint64_t)len * (uint64_t)OV_SEC / c->rate;
		at = (ov_time)l->busy_until[from] + c->delay;
	}
	if (c->cut || link_chance(l, c->loss)) {
		l->dropped++;
		return;
	}
	int copies = link_chance(l, c->repeat) ? 2 : 1;
	while (copies-- > 0) {
		struct flight *f = malloc(sizeof(*f));
		assert_non_null(f);
		ov_time jitter =
			c->jitter ? (ov_time)seeded_below(&l->seed, (uint64_t)c->jitter) : 0;
		f->at = at + jitter;
		f->order = l->order++;
		f->len = (uint16_t)len;
		f->to = (uint8_t)!from;
		f->path = l->path;
		memcpy(f->data, data, len);
		link_push(l, f);
	}
}

/* The session below would drop copies; here they come through, which is worse. */
static inline void link_deliver(struct link *l, struct flight *f)
{
	struct end *e = &l->ends[f->to];
	struct rd r = rd_init(f->data, f->len);
	struct frame frame;
	struct number_frame number = { 0 };
	bool numbered = false, taken = true;
	int more;
	while ((more = frame_next(&r, &frame)) == 1) {
		if (frame.type == FRAME_NUMBER) {
			number = frame.as.number;
			numbered = true;
			continue;
		}
		int err = transport_on_frame(e->t, l->now, &frame);
		e->violations += err == OV_EINVAL;
		taken &= err == OV_OK;
	}
	assert_int_equal(more, 0);
	if (numbered && taken)
		transport_on_number(e->t, l->now, &number, ECN_NONE);
	e->packets++;
	free(f);
}

static inline void link_write(struct link *l, int who, uint64_t id)
{
	struct end *e = &l->ends[who];
	struct app_stream *s = &e->streams[id];
	uint8_t data[4096];
	while (s->wrote < s->wants) {
		size_t len = s->wants - s->wrote < sizeof(data) ? (size_t)(s->wants - s->wrote)
								: sizeof(data);
		for (size_t i = 0; i < len; i++)
			data[i] = link_byte(id, s->wrote + i);
		size_t n = transport_write(e->t, id, data, len);
		s->wrote += n;
		if (n < len)
			return;
	}
	transport_finish(e->t, id);
}

static inline void link_read(struct link *l, int who, uint64_t id)
{
	struct end *e = &l->ends[who];
	struct app_stream *s = &e->streams[id];
	const uint8_t *data;
	size_t len;
	while (!e->reads_nothing && (data = transport_peek(e->t, id, &len)) && len > 0) {
		for (size_t i = 0; i < len; i++)
			assert_int_equal(data[i], link_byte(id, s->read + i));
		s->read += len;
		e->read += len;
		transport_consume(e->t, l->now, id, len);
	}
	s->ended = transport_at_end(e->t, id);
}

static inline void link_app(struct link *l, int who)
{
	struct end *e = &l->ends[who];
	struct transport_event ev;
	while (transport_next_event(e->t, &ev)) {
		assert_true(ev.stream < LINK_FLOWS);
		struct app_stream *s = &e->streams[ev.stream];
		if (ev.events & STREAM_OPENED) {
			*s = (struct app_stream){ .used = true, .wants = e->answers };
			link_write(l, who, ev.stream);
		}
		s->reset |= ev.events & STREAM_RESET;
		s->stopped |= ev.events & STREAM_STOPPED;
		s->finished |= ev.events & STREAM_FINISHED;
		if (ev.events & STREAM_READABLE)
			link_read(l, who, ev.stream);
		if (ev.events & STREAM_WRITABLE)
			link_write(l, who, ev.stream);
	}
}

static inline uint64_t link_open(struct link *l, int who, uint64_t bytes)
{
	uint64_t id = 0;
	assert_int_equal(transport_open(l->ends[who].t, l->now, &id), OV_OK);
	assert_true(id < LINK_FLOWS);
	l->ends[who].streams[id] = (struct app_stream){ .used = true, .wants = bytes };
	link_write(l, who, id);
	return id;
}

static inline void link_settle(struct link *l, int who)
{
	uint8_t plain[LINK_MAX];
	link_app(l, who);
	for (int i = 0; i < 10000; i++) {
		struct wr w = wr_init(plain, sizeof(plain));
		if (!transport_poll(l->ends[who].t, l->now, &w))
			return;
		assert_true(wr_len(&w) + OVERHEAD <= LINK_MAX);
		link_transmit(l, who, plain, wr_len(&w));
	}
	fail_msg("it sends without end");
}

/* Until `span` has passed, or `done` says so. */
static inline bool link_run(struct link *l, ov_time span, bool (*done)(const struct link *))
{
	ov_time until = l->now + span;
	size_t idle = 0;
	for (;;) {
		link_settle(l, 0);
		link_settle(l, 1);
		if (done && done(l))
			return true;
		ov_time at = l->count ? l->heap[0]->at : OV_NEVER;
		for (int i = 0; i < 2; i++)
			at = ov_min(at, transport_deadline(l->ends[i].t, l->now));
		if (at > until) {
			l->now = until;
			return !done;
		}
		idle = at <= l->now ? idle + 1 : 0;
		if (idle > 1000)
			fail_msg("time stands still");
		l->now = ov_max(at, l->now);
		while (l->count && l->heap[0]->at <= l->now)
			link_deliver(l, link_pop(l));
		for (int i = 0; i < 2; i++)
			transport_tick(l->ends[i].t, l->now);
	}
}
