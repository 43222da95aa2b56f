/* Woken for each small packet, the daemon spends 12 us on each; with 15 at a time 4 us. With 10,000
 * idle peers each of 450 wake-ups a second costs it 30 us, for caches and an idle processor are
 * cold; 50 a second cost a third of its time less (tools/bench/scale.py warm). */
#include "overlay/gather.h"

#define SMALL_WINDOW OV_MS
#define SMALL_COUNT  40  /* datagrams in a window */
#define SMALL_BATCH  8   /* as many a turn are batch enough */
#define SMALL_BYTES  400 /* on average */

#define QUIET_WINDOW OV_SEC
#define QUIET_COUNT  100 /* authentic control packets in a window: junk alone changes nothing */
#define QUIET_FULL   64  /* datagrams of one turn, in and out */
#define QUIET_MAX    (QUIET_FULL / 2 * (QUIET_WINDOW / GATHER_QUIET)) /* in a window: 1,600 */

static struct gather_window window(ov_time now, const struct node_counters *c)
{
	return (struct gather_window){
		.at = now,
		.datagrams = c->datagrams_in + c->datagrams_out,
		.bytes = c->bytes_in + c->bytes_out,
		.controls = c->controls_in,
	};
}

static bool is_small(struct gather *g, ov_time now, const struct node_counters *c)
{
	struct gather_window *then = &g->small, here = window(now, c);
	then->turns++;
	if (now - then->at < SMALL_WINDOW)
		return g->is_small;
	uint64_t count = here.datagrams - then->datagrams, size = here.bytes - then->bytes;
	bool recent = now - then->at < 4 * SMALL_WINDOW;
	bool few = count < SMALL_BATCH * (uint64_t)then->turns || g->is_small;
	*then = here;
	return recent && few && count >= SMALL_COUNT && size < count * SMALL_BYTES;
}

static bool is_active(struct gather *g, ov_time now, const struct node_counters *c)
{
	uint64_t activity = c->packets_in + c->packets_out + c->numbered + c->pings + g->requests;
	if (activity != g->activity)
		g->active_at = now;
	g->activity = activity;
	return now - g->active_at < GATHER_QUIET_AFTER;
}

static bool is_quiet(struct gather *g, ov_time now, const struct node_counters *c)
{
	struct gather_window *then = &g->quiet, here = window(now, c);
	bool full = here.datagrams - g->seen >= QUIET_FULL;
	g->seen = here.datagrams;
	if (is_active(g, now, c) || full) {
		*then = here;
		return false;
	}
	if (now - then->at < QUIET_WINDOW)
		return g->is_quiet;
	bool recent = now - then->at < 2 * QUIET_WINDOW;
	bool low = here.datagrams - then->datagrams < QUIET_MAX;
	bool many = here.controls - then->controls >= QUIET_COUNT;
	*then = here;
	return recent && low && many;
}

ov_time gather_rest(struct gather *g, ov_time now, const struct node_counters *c)
{
	g->is_small = is_small(g, now, c);
	g->is_quiet = is_quiet(g, now, c);
	if (g->is_small)
		return GATHER_SMALL;
	return g->is_quiet ? GATHER_QUIET : 0;
}
