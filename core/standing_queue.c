#include "core/standing_queue.h"

#define LEAST_DELAY (4 * OV_MS) /* below it delay is noise: RFC 9406 4.3 */
#define LEAST_ROUND (8 * OV_MS) /* that somebody does not get the CPU is no queue */
#define NOISE       OV_MS
#define MOST_BEGIN  (16 * OV_MS) /* RFC 9406 4.3 */
#define RECENT      8            /* times, N_RTT_SAMPLE there */
#define VAIN_MAX    3
#define FLOOR_LIFE  (10 * OV_SEC)
#define ASK_LEAST   (10 * OV_SEC)
#define ASK_EVERY   (30 * OV_SEC)

void standing_queue_init(struct standing_queue *q)
{
	*q = (struct standing_queue){ .floor = OV_NEVER,
		.next_floor = OV_NEVER,
		.round_min = OV_NEVER,
		.recent = { OV_NEVER, OV_NEVER },
		.borne_at = OV_NEVER };
}

void standing_queue_sample(struct standing_queue *q, ov_time now, ov_time rtt)
{
	if (q->floor_at == 0)
		q->floor_at = now;
	q->floor = ov_min(q->floor, rtt);
	q->next_floor = ov_min(q->next_floor, rtt);
	q->round_min = ov_min(q->round_min, rtt);
	q->recent[0] = ov_min(q->recent[0], rtt);
	if (now == q->sampled_at)
		return; /* what waits together for a CPU comes together, and is one sample */
	q->sampled_at = now;
	if (++q->samples < RECENT)
		return;
	q->recent[1] = q->recent[0];
	q->recent[0] = OV_NEVER;
	q->samples = 0;
}

/* Half of the floor: a window that fills path and half as much again becomes, times 0.7, one that
 * just fills the path. */
static ov_time limit_of(const struct standing_queue *q)
{
	return q->floor + ov_max(q->floor / 2, LEAST_DELAY);
}

static bool is_low(const struct standing_queue *q, ov_time rtt)
{
	return rtt <= q->floor + ov_max(q->floor / 16, NOISE);
}

static void ask(struct standing_queue *q)
{
	q->borne_at = OV_NEVER;
	q->in_vain = 0;
	q->was_reduced = false;
}

/* Others that give way at this moment make it a good one to do the same. */
static bool is_borne(struct standing_queue *q, ov_time now, ov_time rtt, ov_time last)
{
	if (q->borne_at == OV_NEVER)
		return false;
	ov_time since = now - q->borne_at;
	if (is_low(q, rtt) || since > ASK_EVERY || (rtt < last - last / 8 && since > ASK_LEAST))
		ask(q);
	return q->borne_at != OV_NEVER;
}

static void found_floor(struct standing_queue *q, ov_time now, ov_time rtt)
{
	q->floor = rtt;
	q->floor_at = now;
	q->next_floor = OV_NEVER;
}

static enum queue_verdict give_up(struct standing_queue *q, ov_time now)
{
	bool is_higher =
		q->next_floor > q->floor + q->floor / 4; /* less: others that gave up first */
	if (q->searches)
		found_floor(q, now, is_higher ? q->next_floor : q->floor);
	else
		q->borne_at = now;
	q->searches = false;
	q->in_vain = 0;
	return QUEUE_OF_OTHERS;
}

/* Alone, 0.7 of the window is 0.7 of the RTT. Clearly below the limit will do. */
static void see_what_it_helped(struct standing_queue *q, ov_time rtt)
{
	if (!q->was_reduced)
		return;
	bool helped = rtt < q->reduced_from - ov_max(q->reduced_from / 6, NOISE) ||
		      (!q->searches && rtt < q->floor + q->floor / 8 * 3);
	q->in_vain = helped ? 0 : (uint8_t)(q->in_vain + 1);
	q->was_reduced = false;
}

static enum queue_verdict judge(struct standing_queue *q, ov_time now, ov_time rtt, ov_time last)
{
	see_what_it_helped(q, rtt);
	if (is_borne(q, now, rtt, last))
		return QUEUE_SHORT;
	if (!q->searches && rtt <= limit_of(q))
		return QUEUE_SHORT;
	if (q->in_vain >= (q->searches ? 1 : VAIN_MAX))
		return give_up(q, now);
	q->was_reduced = true;
	q->reduced_from = rtt;
	return QUEUE_STANDS;
}

enum queue_verdict standing_queue_round(
	struct standing_queue *q, ov_time now, uint64_t largest, uint64_t next)
{
	if (largest < q->round_end || now - q->round_at < LEAST_ROUND)
		return QUEUE_SHORT;
	ov_time rtt = q->round_min, last = q->last_min;
	standing_queue_reduced(q, now, next);
	if (rtt == OV_NEVER)
		return QUEUE_SHORT;
	q->last_min = rtt;
	if (!q->searches && is_low(q, rtt))
		found_floor(q, now, q->floor);
	if (!q->searches && now / FLOOR_LIFE != q->floor_at / FLOOR_LIFE) {
		q->searches = true;
		ask(q);
	}
	return judge(q, now, rtt, last);
}

bool standing_queue_keeps(const struct standing_queue *q)
{
	return q->in_vain == 0;
}

void standing_queue_reduced(struct standing_queue *q, ov_time now, uint64_t next)
{
	q->round_end = next;
	q->round_at = now;
	q->round_min = OV_NEVER;
}

void standing_queue_lost(struct standing_queue *q, ov_time now)
{
	if (q->borne_at != OV_NEVER && now - q->borne_at > ASK_LEAST)
		ask(q);
}

enum queue_growth standing_queue_now(const struct standing_queue *q)
{
	ov_time rtt = ov_min(q->recent[0], q->recent[1]);
	if (q->recent[1] == OV_NEVER)
		return QUEUE_NONE;
	if (is_low(q, rtt))
		return QUEUE_EMPTY;
	if (rtt > q->floor + ov_max(q->floor / 3, LEAST_DELAY))
		return QUEUE_IS_LONG;
	ov_time begins = ov_max(LEAST_DELAY, ov_min(q->floor / 8, MOST_BEGIN));
	return rtt >= q->floor + begins ? QUEUE_BEGINS : QUEUE_NONE;
}
