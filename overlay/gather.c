/* Woken for each small packet, the daemon spends 12 us on each; with 15 at a time 4 us. With 10,000
 * idle peers each of 450 wake-ups a second costs it 30 us, for caches and an idle processor are
 * cold; 50 a second cost a third of its time less (tools/bench/scale.py warm). */
#include "overlay/gather.h"

#define SMALL_WINDOW OV_MS
#define SMALL_COUNT  40  /* datagrams in a window */
#define SMALL_BATCH  8   /* as many a turn are batch enough */
#define SMALL_BYTES  400 /* on average */

#define QUIET_WINDOW OV_SEC
#define QUIET_COUNT  100
#define QUIET_BATCH  32 /* as many a turn: no keepalives, or the rest is of no use */

static void start(struct gather_window *w, ov_time now, uint64_t datagrams, uint64_t bytes)
{
	*w = (struct gather_window){ .at = now, .datagrams = datagrams, .bytes = bytes };
}

static bool is_small(struct gather *g, ov_time now, uint64_t datagrams, uint64_t bytes)
{
	struct gather_window *w = &g->small;
	w->turns++;
	if (now - w->at < SMALL_WINDOW)
		return g->is_small;
	uint64_t count = datagrams - w->datagrams, size = bytes - w->bytes;
	bool recent = now - w->at < 4 * SMALL_WINDOW;
	bool few = count < SMALL_BATCH * (uint64_t)w->turns || g->is_small;
	start(w, now, datagrams, bytes);
	return recent && few && count >= SMALL_COUNT && size < count * SMALL_BYTES;
}

static bool is_quiet(struct gather *g, ov_time now, uint64_t datagrams, uint64_t activity)
{
	struct gather_window *w = &g->quiet;
	w->turns++;
	if (activity != g->activity) {
		g->activity = activity;
		g->active_at = now;
	}
	if (now - g->active_at < GATHER_QUIET_AFTER)
		return false;
	if (now - w->at < QUIET_WINDOW)
		return g->is_quiet;
	uint64_t count = datagrams - w->datagrams;
	bool recent = now - w->at < 2 * QUIET_WINDOW;
	bool few = count < QUIET_BATCH * (uint64_t)w->turns;
	start(w, now, datagrams, 0);
	return recent && few && count >= QUIET_COUNT;
}

ov_time gather_rest(struct gather *g, ov_time now, const struct node_counters *c)
{
	uint64_t datagrams = c->datagrams_in + c->datagrams_out;
	g->is_small = is_small(g, now, datagrams, c->bytes_in + c->bytes_out);
	g->is_quiet = is_quiet(g, now, datagrams, c->packets_in + c->packets_out + c->pings);
	if (g->is_small)
		return GATHER_SMALL;
	return g->is_quiet ? GATHER_QUIET : 0;
}
