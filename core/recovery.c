#include "core/recovery.h"

#include <stdlib.h>

#define PACKET_THRESHOLD 3 /* RFC 9002 6.1.1 */
#define GRANULARITY      OV_MS
#define INITIAL_RTT      (333 * OV_MS)
#define PERSISTENT_PTOS  3 /* 7.6.1 */
#define PTO_BACKOFF_MAX  10
#define PTO_MOST         (3 * OV_SEC) /* or once; whether the path is dead is the node's to say */
#define FIRST_ROOM       16

void recovery_init(struct recovery *r, uint16_t space, const struct rtt *rtt)
{
	*r = (struct recovery){ .rtt = *rtt,
		.latest_rtt = rtt->smoothed,
		.first_sample_at = OV_NEVER,
		.works_since = OV_NEVER,
		.loss_at = OV_NEVER,
		.space = space };
}

void recovery_fini(struct recovery *r)
{
	free(r->sent);
	r->sent = NULL;
	r->room = 0;
}

void recovery_trim(struct recovery *r)
{
	if (r->first == r->next)
		recovery_fini(r);
}

static struct sent_packet *at(const struct recovery *r, uint64_t number)
{
	return &r->sent[number & (r->room - 1)];
}

static bool make_room(struct recovery *r, size_t max)
{
	size_t used = (size_t)(r->next - r->first);
	if (used >= max)
		return false;
	if (used < r->room)
		return true;
	size_t room = r->room ? 2 * r->room : FIRST_ROOM;
	struct sent_packet *more = malloc(room * sizeof(*more));
	if (!more)
		return false;
	for (uint64_t n = r->first; n < r->next; n++)
		more[n & (room - 1)] = *at(r, n);
	free(r->sent);
	r->sent = more;
	r->room = room;
	return true;
}

struct sent_packet *recovery_send(struct recovery *r, ov_time now, uint16_t bytes, size_t max)
{
	if (!make_room(r, max))
		return NULL;
	struct sent_packet *s = at(r, r->next++);
	*s = (struct sent_packet){ .sent_at = now, .bytes = bytes, .state = SENT_UNDER_WAY };
	r->in_flight += bytes;
	r->sent_at = now;
	return s;
}

static void settle(struct recovery *r, struct sent_packet *s, enum sent_state state)
{
	s->state = (uint8_t)state;
	r->in_flight -= s->bytes;
}

static void advance(struct recovery *r)
{
	while (r->first < r->next && at(r, r->first)->state != SENT_UNDER_WAY)
		r->first++;
}

/* ---- acknowledged ---- */

int recovery_begin_ack(struct recovery *r, const struct ack_frame *f, struct acked *walk)
{
	if (f->ranges[0].end > r->next)
		return OV_EFORMAT;
	*walk = (struct acked){
		.largest_sent_at = -1, .app_limited = true, .next_number = f->ranges[0].end
	};
	return OV_OK;
}

/* Does the ACK settle it? Of a path that was left nothing is measured any more. */
static bool take_acked(struct recovery *r, struct sent_packet *s, struct acked *walk)
{
	if (s->state == SENT_LOST && r->is_left) {
		s->state = SENT_ACKED;
		return true;
	}
	if (s->state != SENT_UNDER_WAY)
		return false;
	settle(r, s, SENT_ACKED);
	r->works_since = ov_min(r->works_since, s->sent_at);
	walk->bytes += s->bytes;
	walk->marked += s->marked;
	walk->app_limited &= s->app_limited;
	if (walk->largest_sent_at < 0)
		walk->largest_sent_at = s->sent_at;
	return true;
}

/* Downwards: what is below r->first was settled before. */
const struct sent_packet *recovery_next_acked(
	struct recovery *r, const struct ack_frame *f, struct acked *walk)
{
	for (; walk->range < f->count; walk->range++) {
		const struct range *range = &f->ranges[walk->range];
		if (walk->next_number > range->end)
			walk->next_number = range->end;
		while (walk->next_number > range->first && walk->next_number > r->first) {
			struct sent_packet *s = at(r, --walk->next_number);
			if (take_acked(r, s, walk))
				return s;
		}
	}
	return NULL;
}

/* RFC 9002 5.3: without the time that the other side held it back, unless that would be less than
 * has ever been seen. It may be long: an ACK that was lost is said again when the path comes back.
 */
static void sample(struct recovery *r, ov_time now, const struct ack_frame *f, ov_time sent_at)
{
	ov_time rtt = now - sent_at, held = f->delay_us * OV_US;
	if (r->first_sample_at == OV_NEVER)
		r->first_sample_at = now;
	ov_time minimum = r->rtt.smoothed == 0 ? rtt : ov_min(r->rtt.minimum, rtt);
	if (rtt < minimum + held)
		held = ov_min(held, RTT_MAX_DELAY);
	r->latest_rtt = rtt >= minimum + held ? rtt - held : rtt;
	rtt_add(&r->rtt, r->latest_rtt);
	r->rtt.minimum = minimum;
}

void recovery_resume(struct recovery *r, ov_time now)
{
	r->resumed_at = now;
	r->pto_count = 0;
}

void recovery_end_ack(
	struct recovery *r, ov_time now, const struct ack_frame *f, struct acked *walk)
{
	uint64_t largest = f->ranges[0].end - 1;
	if (walk->largest_sent_at < 0)
		return;
	if (!r->has_acked || largest > r->largest_acked) {
		walk->is_largest = true;
		walk->is_sample = walk->largest_sent_at >= r->resumed_at;
		if (walk->is_sample)
			sample(r, now, f, walk->largest_sent_at);
		r->largest_acked = largest;
		r->has_acked = true;
	}
	r->pto_count = 0;
	advance(r);
}

/* ---- lost ---- */

static ov_time loss_delay(const struct recovery *r)
{
	ov_time rtt = ov_max(r->latest_rtt, r->rtt.smoothed);
	return ov_max(rtt + rtt / 8, GRANULARITY); /* 9/8: 6.1.2 */
}

struct loss recovery_loss(struct recovery *r, ov_time now)
{
	r->loss_at = OV_NEVER;
	return (struct loss){ .newest_sent_at = -1,
		.before = now - loss_delay(r),
		.run_since = OV_NEVER,
		.next_number = r->first };
}

struct loss recovery_leave(struct recovery *r)
{
	struct loss walk = recovery_loss(r, 0);
	walk.all = r->is_left = true;
	return walk;
}

static bool is_lost(struct recovery *r, const struct loss *walk, const struct sent_packet *s)
{
	if (walk->all)
		return true;
	if (r->largest_acked - walk->next_number >= PACKET_THRESHOLD || s->sent_at <= walk->before)
		return true;
	r->loss_at = ov_min(r->loss_at, s->sent_at + loss_delay(r));
	return false;
}

/* Only what was sent after the first sample tells: before, the timers were guesses. */
static void note(struct recovery *r, struct loss *walk, const struct sent_packet *s)
{
	walk->bytes += s->bytes;
	walk->marked += s->marked;
	walk->newest_sent_at = ov_max(walk->newest_sent_at, s->sent_at);
	if (s->sent_at < r->first_sample_at)
		return;
	walk->run_since = ov_min(walk->run_since, s->sent_at);
	walk->persistent |= s->sent_at - walk->run_since > PERSISTENT_PTOS * recovery_pto(r);
}

const struct sent_packet *recovery_next_lost(struct recovery *r, struct loss *walk)
{
	uint64_t end = walk->all ? r->next : r->has_acked ? r->largest_acked : 0;
	for (; walk->next_number < end; walk->next_number++) {
		struct sent_packet *s = at(r, walk->next_number);
		if (s->state == SENT_ACKED)
			walk->run_since = OV_NEVER; /* this one came through */
		if (s->state != SENT_UNDER_WAY || !is_lost(r, walk, s))
			continue;
		settle(r, s, SENT_LOST);
		note(r, walk, s);
		walk->next_number++;
		return s;
	}
	if (!r->is_left)
		advance(r);
	return NULL;
}

/* ---- probes ---- */

ov_time recovery_pto(const struct recovery *r)
{
	if (r->rtt.smoothed == 0)
		return 2 * INITIAL_RTT + RTT_MAX_DELAY; /* 6.2.2 */
	return r->rtt.smoothed + ov_max(4 * r->rtt.variance, GRANULARITY) + RTT_MAX_DELAY;
}

ov_time recovery_deadline(const struct recovery *r)
{
	if (r->loss_at != OV_NEVER)
		return r->loss_at;
	if (r->in_flight == 0)
		return OV_NEVER;
	uint8_t doublings = r->pto_count < PTO_BACKOFF_MAX ? r->pto_count : PTO_BACKOFF_MAX;
	ov_time once = recovery_pto(r);
	return r->sent_at + ov_min(once << doublings, ov_max(once, PTO_MOST));
}

bool recovery_wants_probe(struct recovery *r, ov_time now)
{
	if (r->loss_at != OV_NEVER || now < recovery_deadline(r))
		return false;
	if (r->pto_count < UINT8_MAX)
		r->pto_count++;
	return true;
}

const struct sent_packet *recovery_oldest(const struct recovery *r, size_t i)
{
	for (uint64_t n = r->first; n < r->next; n++)
		if (at(r, n)->state == SENT_UNDER_WAY && i-- == 0)
			return at(r, n);
	return NULL;
}
