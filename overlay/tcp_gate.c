/* Whoever connects proves within 5 s that it knows our key, or is forgotten without a word: a scan
 * learns that a port is open and nothing else. Until then it is half-open, of which there are few,
 * the oldest giving way to the newest; after that it may stay as long as it speaks. */
#include "overlay/tcp_gate.h"

#include "core/bytes.h"
#include "core/handshake.h"
#include "core/packet.h"
#include "core/tcp_frame.h"

#define PER_SECOND    20 /* connections of one source, as handshakes under load */
#define BURST         64
#define SOURCES       4096
#define LOOK_OFTEN    OV_SEC
#define LOOK_SELDOM   (30 * OV_SEC)
#define DIALS_AT_ONCE 64

int tcp_gate_init(struct tcp_gate *g, size_t max, const struct rng *rng)
{
	*g = (struct tcp_gate){ .max = max };
	g->rates = source_limits_new(SOURCES, rng);
	return g->rates ? OV_OK : OV_ENOMEM;
}

void tcp_gate_fini(struct tcp_gate *g)
{
	source_limits_free(g->rates);
	*g = (struct tcp_gate){ 0 };
}

static bool same_source(const struct ov_addr *x, const struct ov_addr *y)
{
	return addr_is_v4(x) == addr_is_v4(y) && memcmp(x->ip, y->ip, addr_is_v4(x) ? 16 : 8) == 0;
}

static bool is_half_open(const struct tcp_entry *e)
{
	return !e->ours && !e->answered;
}

bool tcp_gate_admits(
	struct tcp_gate *g, ov_time now, const struct ov_addr *remote, struct tcp_entry **evict)
{
	size_t each = 0, half_open = 0;
	*evict = NULL;
	for (const struct tcp_entry *e = g->oldest; e; e = e->next) {
		if (!same_source(&e->remote, remote))
			continue;
		each++;
		half_open += is_half_open(e);
	}
	if (g->counters.connections >= g->max || each >= TCP_EACH ||
		half_open >= TCP_HALF_OPEN_EACH ||
		!source_limits_take(g->rates, now, remote, PER_SECOND, BURST)) {
		g->counters.refused++;
		return false;
	}
	if (g->counters.half_open < TCP_HALF_OPEN_MAX)
		return true;
	struct tcp_entry *oldest = g->oldest;
	while (oldest && !is_half_open(oldest))
		oldest = oldest->next;
	assert(oldest); /* they were counted */
	g->counters.silent++;
	*evict = oldest;
	return true;
}

bool tcp_gate_may_dial(const struct tcp_gate *g)
{
	size_t connecting = 0;
	for (const struct tcp_entry *e = g->oldest; e; e = e->next)
		connecting += e->ours && !e->answered;
	return connecting < DIALS_AT_ONCE && g->counters.connections < g->max;
}

void tcp_gate_add(struct tcp_gate *g, ov_time now, struct tcp_entry *e,
	const struct ov_addr *remote, bool ours)
{
	*e = (struct tcp_entry){
		.remote = *remote, .since = now, .heard_at = now, .ours = ours, .before = g->newest
	};
	if (g->newest)
		g->newest->next = e;
	else
		g->oldest = e;
	g->newest = e;
	g->counters.connections++;
	g->counters.half_open += is_half_open(e);
	g->counters.dialled += ours;
	g->counters.accepted += !ours;
}

void tcp_gate_remove(struct tcp_gate *g, struct tcp_entry *e)
{
	g->counters.connections--;
	g->counters.half_open -= is_half_open(e);
	if (e->before)
		e->before->next = e->next;
	else
		g->oldest = e->next;
	if (e->next)
		e->next->before = e->before;
	else
		g->newest = e->before;
	e->next = e->before = NULL;
}

void tcp_gate_answered(struct tcp_gate *g, struct tcp_entry *e)
{
	g->counters.half_open -= is_half_open(e);
	e->answered = true;
}

struct tcp_entry *tcp_gate_expired(struct tcp_gate *g, ov_time now)
{
	for (struct tcp_entry *e = g->oldest; e; e = e->next) {
		if (!e->answered) {
			ov_time most = e->ours ? TCP_CONNECT_WITHIN : TCP_GREETING_WITHIN;
			if (now - e->since < most)
				continue;
			g->counters.failed += e->ours;
			g->counters.silent += !e->ours;
			return e;
		}
		if (now - e->heard_at >= TCP_IDLE) {
			g->counters.idle++;
			return e;
		}
	}
	return NULL;
}

ov_time tcp_gate_pause(const struct tcp_gate *g)
{
	for (const struct tcp_entry *e = g->oldest; e; e = e->next)
		if (!e->answered)
			return LOOK_OFTEN;
	return g->oldest ? LOOK_SELDOM : OV_NEVER;
}

bool tcp_gate_may_greet(const uint8_t *stream, size_t len)
{
	if (len < 2)
		return true;
	size_t first = load_le16(stream);
	return first >= HS1_LEN && first <= HS1_MAX && (len == 2 || stream[2] == PACKET_HS1);
}

bool tcp_gate_may_answer(const uint8_t *stream, size_t len)
{
	if (len < 2)
		return true;
	size_t first = load_le16(stream);
	bool known = len == 2 || (stream[2] >= PACKET_HS1 && stream[2] <= PACKET_RELAY);
	return first > 0 && first <= TCP_FRAME_MAX && known;
}
