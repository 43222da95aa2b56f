#pragma once
/* transport_crowd - many senders behind one bottleneck on virtual time: transports that come and go
 * when told, and loss-based CUBIC as kernels have it. Bytes are counted, not checked
 * (transport_link.h does that), so that a minute of traffic takes a second. */
#include "core/congestion.h"
#include "core/transport.h"

#include "tests/unit/seeded.h"

#include <stdlib.h>

#define CROWD_MAX     128
#define CROWD_PACKET  1452
#define CROWD_FLIGHTS 65536 /* of each way */
#define CROWD_SENT    32768 /* of one loss-based sender */

struct crowd_config {
	ov_time delay;        /* one way */
	uint64_t rate;        /* bytes a second */
	uint64_t queue;       /* bytes */
	uint64_t marks_above; /* bytes that wait: then CE; 0: never */
	uint32_t loss;        /* in a million */
	bool knows_rtt;       /* from the node's probes */
	bool carries_ecn, clears_marks, drops_marked;
	ov_time jitter; /* of each packet, in order all the same */
};

struct crowd_packet {
	ov_time at;
	uint16_t len, flow;
	uint8_t ecn;     /* enum ecn */
	uint64_t number; /* of a loss-based flow */
	uint8_t data[CROWD_PACKET];
};

struct crowd_pipe { /* in order */
	struct crowd_packet **list;
	uint64_t first, next;
};

struct rival { /* loss-based CUBIC: an ACK for each packet, three later ones tell of a loss */
	struct congestion c;
	uint64_t first, next, in_flight;
	ov_time heard_at;
	struct {
		ov_time at;
		bool under_way;
	} * sent;
};

struct crowd_flow {
	struct transport *ends[2];
	struct rival *rival;
	uint64_t stream;
	ov_time starts, stops;
	bool running, over;
	uint64_t got, lost;
};

struct crowd {
	ov_time now;
	struct crowd_config config;
	struct crowd_flow flows[CROWD_MAX];
	size_t count;
	struct crowd_pipe pipes[2]; /* there and back */
	uint64_t busy_until, seed, dropped, forward;
	ov_time last_at;
	struct {
		double sum, max;
		uint64_t count, histogram[1000]; /* per 1/50 of the path's RTT */
	} waits;
	void (*watch)(struct crowd *c);
};

static inline struct crowd *crowd_new(uint64_t seed, const struct crowd_config *config)
{
	struct crowd *c = calloc(1, sizeof(*c));
	assert_non_null(c);
	c->now = OV_SEC;
	c->seed = seed;
	c->config = *config;
	for (int i = 0; i < 2; i++)
		assert_non_null(c->pipes[i].list = calloc(CROWD_FLIGHTS, sizeof(void *)));
	return c;
}

static inline void crowd_free(struct crowd *c)
{
	for (int i = 0; i < 2; i++) {
		struct crowd_pipe *p = &c->pipes[i];
		for (; p->first < p->next; p->first++)
			free(p->list[p->first % CROWD_FLIGHTS]);
		free(p->list);
	}
	for (size_t i = 0; i < c->count; i++) {
		transport_free(c->flows[i].ends[0]);
		transport_free(c->flows[i].ends[1]);
		if (c->flows[i].rival)
			free(c->flows[i].rival->sent);
		free(c->flows[i].rival);
	}
	free(c);
}

static inline struct crowd_flow *crowd_add(struct crowd *c, ov_time starts, ov_time stops)
{
	assert_true(c->count < CROWD_MAX);
	struct crowd_flow *f = &c->flows[c->count++];
	*f = (struct crowd_flow){ .starts = c->now + starts,
		.stops = stops == OV_NEVER ? OV_NEVER : c->now + stops };
	return f;
}

static inline void crowd_add_rival(struct crowd *c, ov_time starts, ov_time stops)
{
	struct crowd_flow *f = crowd_add(c, starts, stops);
	f->rival = calloc(1, sizeof(*f->rival));
	assert_non_null(f->rival);
	f->rival->sent = calloc(CROWD_SENT, sizeof(*f->rival->sent));
	assert_non_null(f->rival->sent);
	congestion_init(&f->rival->c, CROWD_PACKET);
}

static inline double crowd_waiting(const struct crowd *c) /* in RTTs of the path */
{
	double wait =
		c->busy_until > (uint64_t)c->now ? (double)(c->busy_until - (uint64_t)c->now) : 0;
	return wait / (double)(2 * c->config.delay);
}

/* ---- the wire ---- */

static inline void crowd_put(struct crowd *c, int way, struct crowd_packet *p)
{
	struct crowd_pipe *pipe = &c->pipes[way];
	assert_true(pipe->next - pipe->first < CROWD_FLIGHTS);
	pipe->list[pipe->next++ % CROWD_FLIGHTS] = p;
}

static inline void crowd_send(struct crowd *c, int way, struct crowd_packet *p)
{
	const struct crowd_config *o = &c->config;
	if (way == 1) {
		p->at = c->now + o->delay;
		crowd_put(c, 1, p);
		return;
	}
	uint64_t now = (uint64_t)c->now, start = c->busy_until > now ? c->busy_until : now;
	uint64_t waits = (uint64_t)((double)(start - now) * (double)o->rate / (double)OV_SEC);
	c->forward++;
	if (waits + p->len > o->queue || seeded_below(&c->seed, 1000000) < o->loss) {
		c->dropped++;
		c->flows[p->flow].lost++;
		free(p);
		return;
	}
	if (o->marks_above && waits > o->marks_above && p->ecn == ECN_ECT0)
		p->ecn = ECN_CE;
	c->busy_until = start + (uint64_t)p->len * (uint64_t)OV_SEC / o->rate;
	p->at = (ov_time)c->busy_until + o->delay;
	if (o->jitter)
		p->at += (ov_time)seeded_below(&c->seed, (uint64_t)o->jitter);
	c->last_at = p->at = ov_max(p->at, c->last_at);
	crowd_put(c, 0, p);
}

static inline struct crowd_packet *crowd_packet(const struct crowd *c, const struct crowd_flow *f)
{
	struct crowd_packet *p = malloc(sizeof(*p));
	assert_non_null(p);
	p->flow = (uint16_t)(f - c->flows);
	p->ecn = ECN_NONE;
	return p;
}

/* ---- loss-based flows ---- */

static inline void rival_settle(struct rival *r, uint64_t number)
{
	r->sent[number % CROWD_SENT].under_way = false;
	r->in_flight -= CROWD_PACKET;
}

static inline void rival_lose(struct crowd *c, struct rival *r, uint64_t end)
{
	for (; r->first < end; r->first++) {
		if (!r->sent[r->first % CROWD_SENT].under_way)
			continue;
		rival_settle(r, r->first);
		congestion_on_loss(&r->c, c->now, r->sent[r->first % CROWD_SENT].at, false);
	}
}

static inline void rival_on_ack(struct crowd *c, struct rival *r, uint64_t number)
{
	ov_time sent_at = r->sent[number % CROWD_SENT].at;
	if (number < r->first || !r->sent[number % CROWD_SENT].under_way)
		return;
	rival_settle(r, number);
	r->heard_at = c->now;
	congestion_on_ack(&r->c, c->now,
		&(struct congestion_ack){ .bytes = CROWD_PACKET,
			.largest = number,
			.next = r->next,
			.largest_sent_at = sent_at,
			.smoothed = c->now - sent_at });
	if (number >= 3)
		rival_lose(c, r, number - 2);
}

static inline void rival_send(struct crowd *c, struct crowd_flow *f)
{
	struct rival *r = f->rival;
	if (r->in_flight && c->now - r->heard_at > OV_SEC) {
		rival_lose(c, r, r->next);
		r->heard_at = c->now;
	}
	while (congestion_allows(&r->c, r->in_flight, CROWD_PACKET) &&
		r->next - r->first < CROWD_SENT) {
		struct crowd_packet *p = crowd_packet(c, f);
		p->len = CROWD_PACKET;
		p->number = r->next;
		r->sent[r->next % CROWD_SENT].at = c->now;
		r->sent[r->next % CROWD_SENT].under_way = true;
		r->in_flight += CROWD_PACKET;
		if (r->next++ == 0)
			r->heard_at = c->now;
		crowd_send(c, 0, p);
	}
}

/* ---- transports ---- */

static inline void crowd_start(struct crowd *c, struct crowd_flow *f)
{
	f->running = true;
	if (f->rival)
		return;
	ov_time rtt = 2 * c->config.delay;
	struct rtt path = { .smoothed = rtt, .variance = rtt / 8, .minimum = rtt };
	for (int i = 0; i < 2; i++) {
		f->ends[i] =
			transport_new(c->now, &(struct transport_config){ .is_lower = i == 0 });
		assert_non_null(f->ends[i]);
		transport_use_path(f->ends[i], c->now,
			&(struct transport_path){ .key = 1,
				.datagram = CROWD_PACKET,
				.overhead = 32,
				.carries_ecn = c->config.carries_ecn,
				.rtt = c->config.knows_rtt || i == 1 ? path : (struct rtt){ 0 } });
	}
	assert_int_equal(transport_open(f->ends[0], c->now, &f->stream), OV_OK);
}

static inline void crowd_fill(struct crowd_flow *f)
{
	for (;;) {
		size_t len = 65536;
		if (!transport_reserve(f->ends[0], f->stream, &len))
			return;
		transport_commit(f->ends[0], f->stream, len);
	}
}

static inline void crowd_settle(struct crowd *c, struct crowd_flow *f, int who)
{
	struct transport_event ev;
	size_t len;
	while (transport_next_event(f->ends[who], &ev))
		while (who == 1 && transport_peek(f->ends[1], f->stream, &len)) {
			f->got += len;
			transport_consume(f->ends[1], c->now, f->stream, len);
		}
	if (who == 0)
		crowd_fill(f);
	for (;;) {
		struct crowd_packet *p = crowd_packet(c, f);
		struct wr w = wr_init(p->data, sizeof(p->data));
		if (!transport_poll(f->ends[who], c->now, &w)) {
			free(p);
			return;
		}
		p->len = (uint16_t)(wr_len(&w) + 32);
		p->ecn = transport_marks(f->ends[who]) && !c->config.clears_marks ? ECN_ECT0
										  : ECN_NONE;
		if (c->config.drops_marked && p->ecn != ECN_NONE) {
			free(p);
			continue;
		}
		crowd_send(c, who, p);
	}
}

static inline void crowd_take(struct crowd *c, struct transport *t, struct crowd_packet *p)
{
	struct rd r = rd_init(p->data, p->len - 32u);
	struct frame frame;
	struct number_frame number = { 0 };
	bool numbered = false;
	while (frame_next(&r, &frame) == 1) {
		if (frame.type == FRAME_NUMBER) {
			number = frame.as.number;
			numbered = true;
		} else {
			assert_int_equal(transport_on_frame(t, c->now, &frame), OV_OK);
		}
	}
	if (numbered)
		transport_on_number(t, c->now, &number, (enum ecn)p->ecn);
}

static inline void crowd_deliver(struct crowd *c, int way, struct crowd_packet *p)
{
	struct crowd_flow *f = &c->flows[p->flow];
	if (f->over) {
		free(p);
	} else if (f->rival && way == 0) {
		f->got += CROWD_PACKET;
		crowd_send(c, 1, p);
	} else if (f->rival) {
		rival_on_ack(c, f->rival, p->number);
		rival_send(c, f);
		free(p);
	} else {
		crowd_take(c, f->ends[!way], p);
		crowd_settle(c, f, !way);
		free(p);
	}
}

/* ---- time ---- */

static inline ov_time crowd_next(struct crowd *c)
{
	ov_time at = OV_NEVER;
	for (int i = 0; i < 2; i++) {
		const struct crowd_pipe *p = &c->pipes[i];
		if (p->first < p->next)
			at = ov_min(at, p->list[p->first % CROWD_FLIGHTS]->at);
	}
	return at;
}

static inline void crowd_sample(struct crowd *c)
{
	double w = crowd_waiting(c);
	size_t bin = (size_t)(w * 50);
	c->waits.sum += w;
	c->waits.max = w > c->waits.max ? w : c->waits.max;
	c->waits.histogram[bin < 999 ? bin : 999]++;
	c->waits.count++;
}

static inline double crowd_wait_quantile(const struct crowd *c, double q)
{
	uint64_t sum = 0;
	for (size_t i = 0; i < 1000; i++) {
		sum += c->waits.histogram[i];
		if ((double)sum >= q * (double)c->waits.count)
			return (double)(i + 1) / 50;
	}
	return 20;
}

static inline void crowd_step(struct crowd *c)
{
	for (size_t i = 0; i < c->count; i++) {
		struct crowd_flow *f = &c->flows[i];
		if (!f->running && !f->over && c->now >= f->starts)
			crowd_start(c, f);
		if (f->running && c->now >= f->stops) {
			f->running = false;
			f->over = true;
		}
		if (!f->running)
			continue;
		if (f->rival) {
			rival_send(c, f);
			continue;
		}
		for (int k = 0; k < 2; k++) {
			if (transport_deadline(f->ends[k], c->now) <= c->now)
				transport_tick(f->ends[k], c->now);
			crowd_settle(c, f, k);
		}
	}
}

/* In steps of half a millisecond, as an event loop that is busy with other things. */
static inline void crowd_run(struct crowd *c, ov_time span)
{
	ov_time until = c->now + span, step = OV_MS / 2;
	for (ov_time next = c->now; c->now < until;) {
		ov_time at = ov_min(crowd_next(c), next);
		c->now = ov_max(at, c->now);
		for (int i = 0; i < 2; i++) {
			struct crowd_pipe *p = &c->pipes[i];
			while (p->first < p->next &&
				p->list[p->first % CROWD_FLIGHTS]->at <= c->now) {
				uint64_t k = p->first++ % CROWD_FLIGHTS;
				crowd_deliver(c, i, p->list[k]);
			}
		}
		if (c->now >= next) {
			crowd_step(c);
			crowd_sample(c);
			if (c->watch)
				c->watch(c);
			next = c->now + step;
		}
	}
}

static inline double crowd_jain(const struct crowd *c)
{
	double sum = 0, squares = 0;
	for (size_t i = 0; i < c->count; i++) {
		double x = (double)c->flows[i].got;
		sum += x;
		squares += x * x;
	}
	return sum * sum / ((double)c->count * squares);
}
