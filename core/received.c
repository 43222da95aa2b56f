#include "core/received.h"

#include "core/rtt.h"

#define RANGES_MAX (2 * ACK_RANGES_MAX)
#define ACK_AFTER  2 /* packets: RFC 9000 13.2.2 */
#define FORGET_BELOW \
	(1u << 20) /* numbers: far more than can be under way; an ACK counts in 32 bits */

void received_init(struct received *r, uint16_t space)
{
	*r = (struct received){ .ack_at = OV_NEVER, .space = space };
}

void received_fini(struct received *r)
{
	ranges_fini(&r->numbers);
}

/* At once if the other side may take something for lost (RFC 9000 13.2.1), or it came marked. */
static bool is_urgent(const struct received *r, uint64_t number, enum ecn ecn)
{
	const struct range *last = &r->numbers.list[r->numbers.count - 1];
	bool in_order = number == r->largest && (last->first < number || number == 0);
	return !in_order || ecn == ECN_CE || r->unacknowledged >= ACK_AFTER;
}

int received_add(struct received *r, ov_time now, uint64_t number, enum ecn ecn, ov_time delay)
{
	if (number == UINT64_MAX)
		return OV_EFORMAT;
	if (r->numbers.count == RANGES_MAX)
		ranges_forget_below(&r->numbers, r->numbers.list[0].end);
	int err = ranges_add(&r->numbers, number, number + 1, RANGES_MAX);
	if (err != OV_OK)
		return err;
	if (r->largest_at == 0 || number > r->largest) {
		r->largest = number;
		r->largest_at = now;
	}
	r->ect0 += ecn == ECN_ECT0;
	r->ce += ecn == ECN_CE;
	if (r->unacknowledged < UINT8_MAX)
		r->unacknowledged++;
	r->ack_at = is_urgent(r, number, ecn) ? now : ov_min(r->ack_at, now + delay);
	return OV_OK;
}

bool received_wants_ack(const struct received *r, ov_time now)
{
	return now >= r->ack_at;
}

void received_ack(struct received *r, ov_time now, size_t max, struct ack_frame *out)
{
	ov_time delay_us = (now - r->largest_at) / OV_US;
	*out = (struct ack_frame){ .space = r->space,
		.delay_us = delay_us < UINT32_MAX ? (uint32_t)delay_us : UINT32_MAX,
		.ect0 = r->ect0,
		.ce = r->ce };
	assert(r->numbers.count > 0 && max >= 1);
	for (size_t i = r->numbers.count; i-- > 0 && out->count < max;)
		out->ranges[out->count++] = r->numbers.list[i];
	if (r->largest >= FORGET_BELOW)
		ranges_forget_below(&r->numbers, r->largest - FORGET_BELOW);
	r->unacknowledged = 0;
	r->ack_at = OV_NEVER;
}
