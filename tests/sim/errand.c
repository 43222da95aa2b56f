/* Sizes are mostly small: what finds bugs is what happens at the edges of a stream, and big ones
 * cost time. A seed's streams write ERRAND_BYTES at most, taken together. */
#include "tests/sim/errand.h"

#define CODE_FIRST 256 /* of apps, docs/protocol.md 15.2 */
#define SLOW_READS 200 /* reads in all, at most, of a reader that waits between them */

static uint64_t below(struct swarm *w, uint64_t bound)
{
	return seed_below(&w->errands, bound);
}

static uint64_t any_size(struct swarm *w)
{
	static const struct {
		unsigned percent;
		uint32_t most;
	} sizes[] = { { 10, 1 }, { 15, 64 }, { 35, 4096 }, { 23, 65536 }, { 14, 300000 },
		{ 3, 3000000 } };
	uint64_t draw = below(w, 100);
	size_t i = 0;
	for (; draw >= sizes[i].percent; i++)
		draw -= sizes[i].percent;
	uint64_t size = below(w, sizes[i].most);
	size = size < w->errand_bytes ? size : w->errand_bytes;
	w->errand_bytes -= size;
	return size;
}

static ov_time spread(struct swarm *w, uint64_t bytes, uint32_t *most)
{
	*most = 1 + (uint32_t)(bytes / (1 + below(w, SLOW_READS)));
	return (ov_time)below(w, 2000) * OV_MS;
}

static struct app_manner any_manner(struct swarm *w, uint64_t size, uint64_t other_size)
{
	struct app_manner m = { .size = size, .in_place = below(w, 2) };
	if (below(w, 4) == 0)
		m.write_every = spread(w, size, &m.write_most);
	else if (below(w, 4) == 0)
		m.write_most = 1 + (uint32_t)below(w, 3000);
	switch (below(w, 5)) {
	case 0: m.read_every = spread(w, other_size, &m.read_most); break;
	case 1: m.read_most = 1; break;
	case 2:
		m.pause_at = 1 + below(w, other_size + 1);
		m.pause = (ov_time)(1 + below(w, 60)) * OV_SEC;
		break;
	default: break;
	}
	if (below(w, 5) == 0) {
		m.quit = (enum app_quit)(1 + below(w, 4));
		m.quit_at = below(w, 1 + (m.quit == APP_STOPS ? other_size : size));
		m.code = CODE_FIRST + (uint32_t)w->s->apps.count * 2;
	} else if (size > APP_TAG_LEN && below(w, 6) == 0) {
		m.hold_at = APP_TAG_LEN + below(w, size - APP_TAG_LEN);
	}
	m.priority = below(w, 4) ? 3 : (uint8_t)below(w, 8);
	return m;
}

/* Nothing of it but its end will come: two of these could not be told apart. */
static bool has_empty_one(const struct swarm *w, uint32_t from, uint32_t to)
{
	for (size_t i = 0; i < w->s->apps.count; i++) {
		const struct app_stream *x = w->s->apps.streams[i];
		if (x->hosts[APP_OPENER] == from && x->hosts[APP_TAKER] == to &&
			x->manner[APP_OPENER].size == 0)
			return true;
	}
	return false;
}

static void open_one(struct swarm *w)
{
	struct host *h = &w->s->hosts[below(w, w->s->host_count)];
	uint32_t to = h->id;
	if (h->friend_count > 0 && below(w, 12) > 0) {
		const struct friend *f = &h->friends[below(w, h->friend_count)];
		if (!f->wanted)
			return;
		to = f->host;
	}
	uint64_t there = any_size(w), back = any_size(w);
	if (there < APP_TAG_LEN)
		there = has_empty_one(w, h->id, to) ? APP_TAG_LEN : 0;
	struct app_manner opener = any_manner(w, there, back), taker = any_manner(w, back, there);
	taker.code++;
	if (host_is_awake(h) && !sim_failed(w->s))
		(void)apps_open(w->s, h, to, &opener, &taker);
}

void errand_draw(struct swarm *w)
{
	uint64_t count = below(w, 4) == 0 ? 0 : below(w, 16) == 0 ? below(w, 30) : 1 + below(w, 6);
	for (uint64_t i = 0; i < count; i++)
		open_one(w);
	if (below(w, 6) == 0)
		apps_hold(w->s, &w->s->hosts[below(w, w->s->host_count)],
			(ov_time)below(w, 3000) * OV_MS);
}
