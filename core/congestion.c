#include "core/congestion.h"

#include <math.h>

#define MIN_SEGMENTS 2 /* RFC 9002 7.2 */
#define CUBIC_C      0.4
#define CUBIC_BETA   0.7
#define BETA_ECN     0.85 /* RFC 8511: queues that mark are short */
/* What is lost on an empty path was not lost to congestion, in all likelihood. */
#define BETA_EMPTY 0.85
/* RFC 9438 4.3: as fair as Reno with this increase. */
#define RENO_ALPHA (3.0 * (1.0 - CUBIC_BETA) / (1.0 + CUBIC_BETA))

/* RFC 9406 4.3. Packets are paced, so L is infinite. */
#define CSS_GROWTH_DIVISOR 4
#define CSS_ROUNDS         5

static uint64_t initial_window(uint32_t segment)
{
	uint64_t ten = 10u * (uint64_t)segment, two = 2u * (uint64_t)segment;
	uint64_t least = two > 14720 ? two : 14720;
	return ten < least ? ten : least;
}

static void begin_slow_start(struct congestion *c)
{
	c->phase = CONGESTION_SLOW_START;
	c->hystart = (struct hystart){ 0 };
}

void congestion_init(struct congestion *c, uint32_t segment)
{
	*c = (struct congestion){ .window = initial_window(segment),
		.slow_start_threshold = UINT64_MAX,
		.recovery_since = -1,
		.segment = segment,
		.epoch_at = OV_NEVER,
		.limited_since = OV_NEVER };
	standing_queue_init(&c->queue);
	begin_slow_start(c);
}

void congestion_set_floor(struct congestion *c, ov_time rtt)
{
	c->queue.floor = rtt;
}

void congestion_set_segment(struct congestion *c, uint32_t segment)
{
	double scale = (double)c->segment / segment;
	c->max *= scale;
	c->estimate *= scale;
	c->prior *= scale;
	c->segment = segment;
	if (c->window < MIN_SEGMENTS * (uint64_t)segment)
		c->window = MIN_SEGMENTS * (uint64_t)segment;
}

static double in_segments(const struct congestion *c)
{
	return (double)c->window / c->segment;
}

/* ---- slow start ---- */

static void begin_avoidance(struct congestion *c)
{
	c->slow_start_threshold = c->window;
	c->phase = CONGESTION_AVOIDANCE;
	c->epoch_at = OV_NEVER;
}

/* RFC 9406 4.2, but by the last few samples and not by a round's: a round late is a window too
 * large by half. Conservative slow start is left for slow start if the delay falls again, for
 * avoidance after five rounds, or by heed_delay below. */
static void run_hystart(struct congestion *c, const struct congestion_ack *a)
{
	struct hystart *h = &c->hystart;
	bool grows = standing_queue_now(&c->queue) >= QUEUE_BEGINS;
	if (c->phase == CONGESTION_SLOW_START && grows) {
		h->css_rounds = 0;
		c->phase = CONGESTION_CONSERVATIVE;
	} else if (!grows) {
		c->phase = CONGESTION_SLOW_START;
	}
	if (a->largest < h->window_end)
		return;
	h->window_end = a->next;
	if (c->phase == CONGESTION_CONSERVATIVE && ++h->css_rounds >= CSS_ROUNDS)
		begin_avoidance(c);
}

/* ---- avoidance ---- */

/* RFC 9438 4.2, figures 1 and 2. */
static void begin_epoch(struct congestion *c, ov_time now)
{
	double window = in_segments(c);
	c->epoch_at = now;
	c->estimate = window;
	if (c->max <= window) {
		c->max = window;
		c->k = 0;
	} else {
		c->k = cbrt((c->max - window) / CUBIC_C);
	}
}

static double cubic(const struct congestion *c, ov_time t)
{
	double off = (double)t / (double)OV_SEC - c->k;
	return CUBIC_C * off * off * off + c->max;
}

static void grow_cubic(struct congestion *c, ov_time now, const struct congestion_ack *a)
{
	if (c->epoch_at == OV_NEVER)
		begin_epoch(c, now);
	double window = in_segments(c), acked = (double)a->bytes / c->segment;
	ov_time t = now - c->epoch_at;
	double target = cubic(c, t + a->smoothed);
	target = target < window ? window : target > 1.5 * window ? 1.5 * window : target;
	double alpha = c->estimate >= c->prior ? 1.0 : RENO_ALPHA;
	c->estimate += alpha * acked / window;
	double grown = window + (target - window) / window * acked;
	if (cubic(c, t) < c->estimate && c->estimate > grown)
		grown = c->estimate; /* 4.3: Reno would be faster here */
	c->window = (uint64_t)(grown * c->segment);
}

/* ---- less ---- */

static void reduce(struct congestion *c, ov_time now, double beta)
{
	uint64_t least = MIN_SEGMENTS * (uint64_t)c->segment;
	double window = in_segments(c);
	c->recovery_since = now;
	c->prior = window;
	/* RFC 9438 4.7: a window that falls again makes room for others */
	c->max = window < c->max ? window * (1.0 + beta) / 2.0 : window;
	c->window = (uint64_t)((double)c->window * beta);
	if (c->window < least)
		c->window = least;
	begin_avoidance(c);
}

static enum queue_verdict verdict_on(
	struct congestion *c, ov_time now, const struct congestion_ack *a)
{
	struct standing_queue *q = &c->queue;
	if (a->rtt > 0 && a->largest_sent_at > c->recovery_since)
		standing_queue_sample(q, now, a->rtt);
	if (c->phase == CONGESTION_AVOIDANCE)
		return standing_queue_round(q, now, a->largest, a->next);
	return standing_queue_now(q) == QUEUE_IS_LONG ? QUEUE_STANDS : QUEUE_SHORT;
}

static void heed_delay(struct congestion *c, ov_time now, const struct congestion_ack *a)
{
	switch (verdict_on(c, now, a)) {
	case QUEUE_SHORT: return;
	case QUEUE_STANDS:
		if (standing_queue_keeps(&c->queue))
			c->kept_window = c->window;
		reduce(c, now, CUBIC_BETA);
		c->max = in_segments(c);
		standing_queue_reduced(&c->queue, now, a->next);
		return;
	case QUEUE_OF_OTHERS:
		if (c->window < c->kept_window)
			c->window = c->kept_window;
		c->max = in_segments(c);
		c->epoch_at = OV_NEVER;
		return;
	}
}

void congestion_on_ack(struct congestion *c, ov_time now, const struct congestion_ack *a)
{
	heed_delay(c, now, a);
	bool in_slow_start = c->phase != CONGESTION_AVOIDANCE;
	if (in_slow_start)
		run_hystart(c, a);
	if (a->largest_sent_at <= c->recovery_since || a->bytes == 0)
		return; /* RFC 9002 7.3.2: no growth in recovery */
	if (a->app_limited) {
		c->limited_since = ov_min(c->limited_since, now);
		return;
	}
	if (c->epoch_at != OV_NEVER && c->limited_since != OV_NEVER)
		c->epoch_at += now - c->limited_since; /* RFC 9438 5.8: that time did not pass */
	c->limited_since = OV_NEVER;
	if (!in_slow_start)
		grow_cubic(c, now, a);
	else if (c->phase == CONGESTION_CONSERVATIVE)
		c->window += a->bytes / CSS_GROWTH_DIVISOR;
	else
		c->window += a->bytes;
	if (in_slow_start && c->window >= c->slow_start_threshold)
		begin_avoidance(c);
}

void congestion_on_loss(struct congestion *c, ov_time now, ov_time sent_at, bool persistent)
{
	if (sent_at > c->recovery_since) {
		bool empty = standing_queue_now(&c->queue) == QUEUE_EMPTY;
		reduce(c, now, empty ? BETA_EMPTY : CUBIC_BETA);
		standing_queue_lost(&c->queue, now);
	}
	if (persistent) {
		c->window = MIN_SEGMENTS * (uint64_t)c->segment;
		c->recovery_since = -1;
		begin_slow_start(c);
	}
}

void congestion_on_mark(struct congestion *c, ov_time now, ov_time sent_at)
{
	if (sent_at > c->recovery_since)
		reduce(c, now, BETA_ECN);
}

bool congestion_allows(const struct congestion *c, uint64_t in_flight, size_t bytes)
{
	return in_flight + bytes <= c->window;
}
