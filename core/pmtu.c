/* Datagram PLPMTUD, RFC 8899, tuned for one aim: a silent fall of the path's MTU in mid-transfer
 * must cost a second or two, not a TCP connection.
 *
 * Three activities, at most one probe in flight in all:
 * - search: raise `size` towards `max`. The largest is tried first; then 1200 is confirmed; then
 * the sizes that real links have (PPPoE, tunnels, LTE), by bisection; then plain halves to 16
 * bytes. `size` follows each success at once, so the search is never waited for.
 * - verification: while large datagrams are sent, `size` itself is probed every second. Two losses
 *   in a row (three for 1200) are a black hole (RFC 8899 4.3): the size falls to 1200, or from
 * there to the floor, immediately, and a new search starts with the size that was lost - after a
 * false alarm the old size is back one round trip later.
 * - raise: RFC 8899 5.1.1 PMTU_RAISE_TIMER, a new search every 600 s; every 10 s in ERROR. After a
 *   fall sooner: 10, 20, 40 s, for it may have been loss and no black hole. Only while data is
 *   sent: an idle path stays silent.
 *
 * Invariant: floor <= size < ceiling <= max + 1. A single loss changes nothing but probe_count. */
#include "core/pmtu.h"

#define VERIFY_EVERY OV_SEC         /* black hole seen within about 1.2 s at 20 ms RTT */
#define RAISE_EVERY  (600 * OV_SEC) /* RFC 8899 5.1.1 */
#define AGAIN_FIRST  (10 * OV_SEC)
#define AGAIN_LAST   (40 * OV_SEC)
#define ERROR_RETRY  (10 * OV_SEC) /* the path is nearly unusable: ask often */
#define GRANULARITY  16
#define LOSSES       2 /* in a row: random loss alone rarely does that */
#define BASE_LOSSES  3 /* RFC 8899 5.1.2 MAX_PROBES; ERROR is expensive */

/* Outer MTUs seen in the wild, largest first: PPPoE; 1480 6in4; 1472; PPPoA and DSL; WireGuard;
 * OpenVPN; tunnel in tunnel; 1300; IPv6 minimum. */
static const uint16_t common_mtu[] = { 1492, 1480, 1472, 1454, 1420, 1400, 1360, 1300, 1280 };
#define COMMON (sizeof(common_mtu) / sizeof(common_mtu[0]))

static uint16_t base_of(const struct pmtu *p)
{
	return p->max < PMTU_BASE ? p->max : PMTU_BASE;
}

static void set_size(struct pmtu *p, ov_time now, uint16_t size)
{
	p->size = size;
	if (size >= PMTU_MAX)
		p->small_since = OV_NEVER;
	else if (p->small_since == OV_NEVER)
		p->small_since = now;
}

void pmtu_init(struct pmtu *p, ov_time now, uint16_t max, bool v6)
{
	max = max > PMTU_MAX ? PMTU_MAX : max;
	max = max < PMTU_FLOOR ? PMTU_FLOOR : max;
	*p = (struct pmtu){ .state = PMTU_BASE_PROBING,
		.outer = v6 ? 48 : 28, /* IP and UDP headers */
		.max = max,
		.ceiling = (uint16_t)(max + 1),
		.first = max,
		.next_at = OV_NEVER,
		.verify_at = OV_NEVER,
		.small_since = OV_NEVER,
		.again_at = OV_NEVER,
		.verified_at = now };
	set_size(p, now, base_of(p));
}

void pmtu_fix(struct pmtu *p, ov_time now, uint16_t max)
{
	pmtu_init(p, now, max, false);
	p->state = PMTU_COMPLETE;
	p->fixed = true;
	set_size(p, now, p->max);
}

/* Middle one of the common sizes that lie strictly between size and ceiling, else the half. */
static uint16_t divide(const struct pmtu *p)
{
	size_t from = 0, to = COMMON;
	while (from < COMMON && common_mtu[from] - p->outer >= p->ceiling)
		from++;
	while (to > from && common_mtu[to - 1] - p->outer <= p->size)
		to--;
	if (from < to)
		return (uint16_t)(common_mtu[from + (to - from) / 2] - p->outer);
	if (p->ceiling - p->size <= GRANULARITY)
		return 0;
	return (uint16_t)(p->size + (p->ceiling - p->size) / 2);
}

/* Next size of the search, 0: found. */
static uint16_t choose(const struct pmtu *p)
{
	bool confirming = p->state == PMTU_BASE_PROBING;
	if (confirming && p->base_first)
		return base_of(p);
	if (p->first > p->size && p->first < p->ceiling)
		return p->first;
	return confirming ? base_of(p) : divide(p);
}

static bool is_resting(const struct pmtu *p)
{
	return p->state == PMTU_COMPLETE || p->state == PMTU_ERROR;
}

/* After each result: the next probe is due now, or the search is over. */
static void proceed(struct pmtu *p, ov_time now)
{
	if (p->probe_size || is_resting(p) || !p->validated)
		return;
	p->next_at = now;
	if (choose(p))
		return;
	p->next_at = OV_NEVER; /* it is data that begins a search anew */
	if (p->size == PMTU_FLOOR && p->max > PMTU_FLOOR) {
		p->state = PMTU_ERROR;
		p->again_at = now + ERROR_RETRY;
		return;
	}
	p->state = PMTU_COMPLETE;
	p->again_at = p->size == p->max ? OV_NEVER : now + RAISE_EVERY;
	if (p->size == p->max)
		p->again_wait = 0;
	if (p->again_wait == 0)
		return;
	p->again_at = now + p->again_wait;
	p->again_wait = ov_min(2 * p->again_wait, AGAIN_LAST);
}

static void clear_probe(struct pmtu *p)
{
	p->probe_size = 0;
	p->probe_count = 0;
	p->verifying = false;
}

/* `size` does not pass any more: to 1200 and confirm that, or from there to the floor. The size
 * `first` is what the new search begins with (0: nothing in particular). */
static void fall(struct pmtu *p, ov_time now, uint16_t first)
{
	uint16_t base = base_of(p);
	bool to_base = p->size > base;
	clear_probe(p);
	if (p->again_wait == 0)
		p->again_wait = AGAIN_FIRST;
	p->state = to_base ? PMTU_BASE_PROBING : PMTU_SEARCHING;
	p->base_first = to_base;
	p->first = first;
	p->verify_at = OV_NEVER;
	set_size(p, now, to_base ? base : PMTU_FLOOR);
}

void pmtu_on_validated(struct pmtu *p, ov_time now)
{
	if (p->validated || p->fixed)
		return;
	p->validated = true;
	proceed(p, now);
}

uint16_t pmtu_poll(struct pmtu *p, ov_time now)
{
	if (p->probe_size)
		return 0;
	/* A size under search gets all its tries before a verification comes between. */
	if (now >= p->verify_at && (p->verifying || p->probe_count == 0)) {
		p->verifying = true;
		p->verify_at = OV_NEVER;
		p->probe_size = p->size;
		return p->probe_size;
	}
	if (now < p->next_at)
		return 0;
	p->again_at = OV_NEVER;
	if (is_resting(p)) { /* everything may have changed since */
		p->base_first = p->state == PMTU_ERROR;
		p->state = p->base_first ? PMTU_BASE_PROBING : PMTU_SEARCHING;
		p->ceiling = (uint16_t)(p->max + 1);
		p->first = p->max;
	}
	p->probe_size = choose(p);
	assert(p->probe_size); /* else proceed had come to rest */
	p->next_at = OV_NEVER;
	return p->probe_size;
}

void pmtu_on_ack(struct pmtu *p, ov_time now, uint16_t size)
{
	size = size > p->max ? p->max : size;
	if (size && size == p->probe_size)
		clear_probe(p);
	if (size >= p->size) {
		bool grew = size > p->size;
		p->verified_at = now;
		p->verify_at = OV_NEVER;
		if (!p->probe_size) /* a lost one was about to be repeated */
			clear_probe(p);
		if (size >= p->ceiling) /* a late answer from what seemed lost */
			p->ceiling = (uint16_t)(p->max + 1);
		set_size(p, now, size);
		bool confirmed = p->state == PMTU_BASE_PROBING && size >= base_of(p);
		if (confirmed || (grew && is_resting(p)))
			p->state = PMTU_SEARCHING;
	}
	proceed(p, now);
}

void pmtu_on_loss(struct pmtu *p, ov_time now, uint16_t size)
{
	if (size == 0 || size != p->probe_size)
		return;
	p->probe_size = 0;
	uint16_t base = base_of(p);
	bool confirming = p->state == PMTU_BASE_PROBING && size == base;
	if (size < p->size || (size == p->size && !p->verifying && !confirming)) {
		clear_probe(p); /* overtaken by a late answer */
	} else if (++p->probe_count < (size == base ? BASE_LOSSES : LOSSES)) {
		if (p->verifying)
			p->verify_at = now;
	} else if (p->verifying) {
		fall(p, now, size);
	} else {
		p->ceiling = size > PMTU_FLOOR ? size : PMTU_FLOOR + 1;
		if (confirming) {
			set_size(p, now, base); /* so that it falls below */
			fall(p, now, 0);
		}
		clear_probe(p);
	}
	proceed(p, now);
}

void pmtu_on_large_sent(struct pmtu *p, ov_time now, uint16_t size)
{
	uint16_t base = base_of(p);
	uint16_t fallback = p->size > base ? base : PMTU_FLOOR;
	if (p->fixed)
		return;
	if (now >= p->again_at && is_resting(p))
		p->next_at = now;
	if (size <= fallback || p->state == PMTU_BASE_PROBING)
		return;
	p->verify_at = ov_min(p->verify_at, ov_max(now, p->verified_at + VERIFY_EVERY));
}

void pmtu_on_refused(struct pmtu *p, ov_time now, uint16_t size)
{
	if (size >= p->ceiling || p->fixed)
		return;
	p->ceiling = size > PMTU_FLOOR ? size : PMTU_FLOOR + 1;
	if (p->probe_size >= size)
		clear_probe(p);
	if (p->size >= size && p->size > PMTU_FLOOR) {
		fall(p, now, 0);
		if (p->size >= p->ceiling) /* the base does not fit either */
			fall(p, now, 0);
	}
	proceed(p, now);
}

ov_time pmtu_deadline(const struct pmtu *p)
{
	return p->probe_size ? OV_NEVER : ov_min(p->next_at, p->verify_at);
}
