#include "core/congestion.h"

#include <math.h>

#define MIN_SEGMENTS 2 /* RFC 9002 7.2 */
#define CUBIC_C      0.4
#define CUBIC_BETA   0.7
/* RFC 9438 4.3: as fair as Reno with this increase. */
#define RENO_ALPHA (3.0 * (1.0 - CUBIC_BETA) / (1.0 + CUBIC_BETA))

/* RFC 9406 4.3. Packets are paced, so L is infinite. */
#define MIN_RTT_THRESHOLD  (4 * OV_MS)
#define MAX_RTT_THRESHOLD  (16 * OV_MS)
#define MIN_RTT_DIVISOR    8
#define N_RTT_SAMPLE       8
#define CSS_GROWTH_DIVISOR 4
#define CSS_ROUNDS         5

static uint64_t initial_window(uint32_t segment)
{
	uint64_t ten = 10u * (uint64_t)segment, two = 2u * (uint64_t)segment;
	uint64_t least = two > 14720 ? two : 14720;
	return ten < least ? ten : least;
}

static void begin_round(struct hystart *h, uint64_t window_end)
{
	h->last_round_min_rtt = h->current_round_min_rtt;
	h->current_round_min_rtt = OV_NEVER;
	h->rtt_sample_count = 0;
	h->window_end = window_end;
}

static void begin_slow_start(struct congestion *c)
{
	c->phase = CONGESTION_SLOW_START;
	c->hystart = (struct hystart){ .last_round_min_rtt = OV_NEVER,
		.current_round_min_rtt = OV_NEVER,
		.css_baseline_min_rtt = OV_NEVER };
}

void congestion_init(struct congestion *c, uint32_t segment)
{
	*c = (struct congestion){ .window = initial_window(segment),
		.slow_start_threshold = UINT64_MAX,
		.recovery_since = -1,
		.segment = segment,
		.epoch_at = OV_NEVER,
		.limited_since = OV_NEVER };
	begin_slow_start(c);
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

static bool delay_grew(const struct hystart *h)
{
	if (h->rtt_sample_count < N_RTT_SAMPLE || h->current_round_min_rtt == OV_NEVER ||
		h->last_round_min_rtt == OV_NEVER)
		return false;
	ov_time threshold = ov_max(MIN_RTT_THRESHOLD,
		ov_min(h->last_round_min_rtt / MIN_RTT_DIVISOR, MAX_RTT_THRESHOLD));
	return h->current_round_min_rtt >= h->last_round_min_rtt + threshold;
}

static void begin_avoidance(struct congestion *c)
{
	c->slow_start_threshold = c->window;
	c->phase = CONGESTION_AVOIDANCE;
	c->epoch_at = OV_NEVER;
}

/* RFC 9406 4.2. Conservative slow start is left for slow start if the delay falls again, for
 * avoidance after five rounds. */
static void run_hystart(struct congestion *c, const struct congestion_ack *a)
{
	struct hystart *h = &c->hystart;
	if (a->rtt > 0) {
		h->current_round_min_rtt = ov_min(h->current_round_min_rtt, a->rtt);
		if (h->rtt_sample_count < UINT8_MAX)
			h->rtt_sample_count++;
	}
	if (c->phase == CONGESTION_SLOW_START && delay_grew(h)) {
		h->css_baseline_min_rtt = h->current_round_min_rtt;
		h->css_rounds = 0;
		c->phase = CONGESTION_CONSERVATIVE;
	} else if (c->phase == CONGESTION_CONSERVATIVE && h->rtt_sample_count >= N_RTT_SAMPLE &&
		   h->current_round_min_rtt < h->css_baseline_min_rtt) {
		h->css_baseline_min_rtt = OV_NEVER;
		c->phase = CONGESTION_SLOW_START;
	}
	if (a->largest < h->window_end)
		return;
	begin_round(h, a->next);
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

void congestion_on_ack(struct congestion *c, ov_time now, const struct congestion_ack *a)
{
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
	uint64_t least = MIN_SEGMENTS * (uint64_t)c->segment;
	if (sent_at > c->recovery_since) {
		double window = in_segments(c);
		c->recovery_since = now;
		c->prior = window;
		/* RFC 9438 4.7: a window that falls again makes room for others */
		c->max = window < c->max ? window * (1.0 + CUBIC_BETA) / 2.0 : window;
		c->window = (uint64_t)((double)c->window * CUBIC_BETA);
		if (c->window < least)
			c->window = least;
		c->slow_start_threshold = c->window;
		c->phase = CONGESTION_AVOIDANCE;
		c->epoch_at = OV_NEVER;
	}
	if (persistent) {
		c->window = least;
		c->recovery_since = -1;
		begin_slow_start(c);
	}
}

bool congestion_allows(const struct congestion *c, uint64_t in_flight, size_t bytes)
{
	return in_flight + bytes <= c->window;
}
