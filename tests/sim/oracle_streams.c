/* The oracle knows what each app wrote and did, for apps.c keeps the books of both ends in one
 * place; what a node says is compared with that. A stream of which nothing came but its end is
 * known by the code of its reset, which is its own, or is the only one of its kind between the two.
 */
#include "tests/sim/oracle_streams.h"

#include "tests/sim/digest.h"
#include "tests/sim/sim.h"

#include <string.h>

#define UNSURE (500 * OV_MS) /* an answer to a peer that restarts may be under way */
#define WRITE_LEAST                                                                             \
	(64u << 10)            /* core/transport.c: bytes of one stream that may wait, at least \
				*/
#define WRITE_MOST (16u << 20) /* the same, at most: of a stream to ourselves */
#define BLOCKS     (3 * 4096u) /* buffers grow by blocks */

static unsigned number_of(const struct sim *s, const struct app_stream *x)
{
	for (unsigned i = 0; i < s->apps.count; i++)
		if (s->apps.streams[i] == x)
			return i;
	return UINT32_MAX;
}

/* Was it opened from where e was opened, and did nobody take it yet? Or only who has restarted
 * since, and whose word of it never came back: then it was opened anew. */
static bool may_be(const struct sim *s, const struct app_stream *x, const struct app_end *e)
{
	const struct app_end *taker = x->end[APP_TAKER];
	return x->hosts[APP_OPENER] == e->peer && x->hosts[APP_TAKER] == e->host &&
	       e->side == APP_TAKER &&
	       (!taker || (s->hosts[e->host].started_at > taker->made_at &&
				  x->way[APP_TAKER].read == 0));
}

void oracle_stream_adopt(struct app_end *e, struct app_stream *x)
{
	struct app_way *in = &x->way[APP_OPENER];
	if (x->end[APP_TAKER]) { /* of a former life */
		x->way[APP_TAKER] = (struct app_way){ 0 };
		in->is_stopped = in->ended = false;
	}
	e->of = x;
	x->end[APP_TAKER] = e;
	in->read = e->tag_len;
}

struct app_stream *oracle_stream_find(struct sim *s, const struct app_end *e, uint64_t tag)
{
	for (size_t i = 0; i < s->apps.count; i++) {
		struct app_stream *x = s->apps.streams[i];
		if (x->tag == tag && may_be(s, x, e) && x->way[APP_OPENER].written >= APP_TAG_LEN)
			return x;
	}
	oracle_break(s, "bytes", "%s: the first bytes of a stream from %s were never written there",
		s->hosts[e->host].name, sim_name(s, e->peer));
	return NULL;
}

void oracle_on_stream_bytes(struct sim *s, const struct app_end *e, const uint8_t *data, size_t len)
{
	const struct app_way *w = &e->of->way[!e->side];
	const char *name = s->hosts[e->host].name;
	uint8_t expected[1024];
	if (w->ended || w->read + len > w->written) {
		oracle_break(s, "bytes", "%s: stream %u: %zu B at %llu, but %s wrote %llu%s", name,
			number_of(s, e->of), len, (unsigned long long)w->read, sim_name(s, e->peer),
			(unsigned long long)w->written, w->ended ? " and it has ended" : "");
		return;
	}
	for (size_t at = 0; at < len; at += sizeof(expected)) {
		size_t n = len - at < sizeof(expected) ? len - at : sizeof(expected);
		apps_bytes(e->of, !e->side, w->read + at, expected, n);
		if (memcmp(expected, data + at, n) == 0)
			continue;
		oracle_break(s, "bytes", "%s: stream %u: other bytes than %s wrote near %llu", name,
			number_of(s, e->of), sim_name(s, e->peer),
			(unsigned long long)w->read + at);
		return;
	}
}

/* A window of W bytes was granted to a reader that took W/2 of them in no time (core/stream.h);
 * behind it waits what the writer's own buffer holds. */
void oracle_on_stream_written(struct sim *s, const struct app_end *e)
{
	const struct app_way *w = &e->of->way[e->side];
	struct host *h = &s->hosts[e->host];
	struct node_streams_info info = { 0 };
	bool known = node_streams_info(h->node, &s->hosts[e->peer].self.id, &info);
	uint64_t waits = !known                          ? WRITE_MOST
			 : 2 * info.window > WRITE_LEAST ? 2 * info.window
							 : WRITE_LEAST;
	uint64_t most = STREAM_WINDOW + 2 * w->read + waits + BLOCKS;
	if (w->written - w->read > most)
		oracle_break(s, "window",
			"%s: stream %u: %llu B written that nobody read, at most %llu may be",
			h->name, number_of(s, e->of), (unsigned long long)w->written - w->read,
			(unsigned long long)most);
}

static struct app_stream *empty_one(struct sim *s, const struct app_end *e)
{
	for (size_t i = 0; i < s->apps.count; i++) {
		struct app_stream *x = s->apps.streams[i];
		if (may_be(s, x, e) && x->way[APP_OPENER].finished &&
			x->way[APP_OPENER].written == 0)
			return x;
	}
	return NULL;
}

void oracle_on_stream_end(struct sim *s, struct app_end *e)
{
	struct app_stream *x = !e->of && e->tag_len == 0 ? empty_one(s, e) : NULL;
	if (x)
		oracle_stream_adopt(e, x);
	const char *name = s->hosts[e->host].name;
	if (!e->of) {
		oracle_break(s, "bytes", "%s: a stream from %s ends that nobody ended", name,
			sim_name(s, e->peer));
		return;
	}
	const struct app_way *w = &e->of->way[!e->side];
	size_t len;
	if (!w->finished || w->read != w->written)
		oracle_break(s, "bytes", "%s: stream %u ends at %llu; %s wrote %llu and %s end it",
			name, number_of(s, e->of), (unsigned long long)w->read,
			sim_name(s, e->peer), (unsigned long long)w->written,
			w->finished ? "did" : "did not");
	else if (e->handle && node_stream_peek(e->handle, &len) && len > 0)
		oracle_break(s, "bytes", "%s: stream %u: %zu B after the end", name,
			number_of(s, e->of), len);
}

/* ---- events ---- */

/* Is the association gone that e's stream was of? Its other side may also have forgotten it, if it
 * never heard of the stream; that is opened anew then, but not if the app has given half of it up.
 */
static bool has_restarted(const struct sim *s, const struct app_end *e)
{
	const struct friend *f = host_friend(&s->hosts[e->host], e->peer);
	if (e->peer == e->host)
		return false;
	if (e->of && !e->of->end[APP_TAKER] && f && f->associated_at > e->bound_at &&
		(e->of->way[APP_TAKER].is_stopped || e->of->way[APP_OPENER].is_reset))
		return true;
	return s->hosts[e->peer].started_at + UNSURE >= e->bound_at;
}

/* By whose code the opener gave it up, one way or the other, before it said which it is. */
static struct app_stream *given_up(struct sim *s, const struct app_end *e, uint32_t code)
{
	for (size_t i = 0; i < s->apps.count; i++) {
		struct app_stream *x = s->apps.streams[i];
		const struct app_way *out = &x->way[APP_OPENER], *in = &x->way[APP_TAKER];
		if (may_be(s, x, e) && ((out->is_reset && out->reset_code == code) ||
					       (in->is_stopped && in->stop_code == code)))
			return x;
	}
	return NULL;
}

static void check_reset(struct sim *s, const struct app_end *e, uint32_t code)
{
	const struct app_way *w = e->of ? &e->of->way[!e->side] : NULL;
	bool by_app = w && w->is_reset && w->reset_code == code;
	bool by_restart = code == STREAM_PEER_RESTARTED && has_restarted(s, e);
	if (e->in_over && !by_restart && !(w && w->is_stopped))
		oracle_break(s, "events", "%s: a reset of stream %u, which was over",
			s->hosts[e->host].name, number_of(s, e->of));
	else if (!by_app && !by_restart)
		oracle_break(s, "reset", "%s: stream %u from %s is reset with code %u by nobody",
			s->hosts[e->host].name, number_of(s, e->of), sim_name(s, e->peer), code);
}

static void check_stop(struct sim *s, const struct app_end *e, uint32_t code)
{
	const struct app_way *w = e->of ? &e->of->way[e->side] : NULL;
	bool by_app = w && w->is_stopped && w->stop_code == code;
	if (!by_app && !(code == STREAM_PEER_RESTARTED && has_restarted(s, e)))
		oracle_break(s, "reset", "%s: stream %u to %s is stopped with code %u by nobody",
			s->hosts[e->host].name, number_of(s, e->of), sim_name(s, e->peer), code);
}

void oracle_on_stream_event(struct sim *s, struct app_end *e, const struct node_stream_event *event)
{
	const char *name = s->hosts[e->host].name;
	if (event->events & STREAM_OPENED && event->user)
		oracle_break(s, "events", "%s: a stream is opened that was taken", name);
	if (event->events & STREAM_WRITABLE && e->is_writable)
		oracle_break(s, "events", "%s: room is told of to one who does not wait", name);
	if (event->events & STREAM_FINISHED && (!e->of || !e->of->way[e->side].finished))
		oracle_break(s, "events", "%s: all of a stream arrived that has not ended", name);
	uint32_t code = event->events & STREAM_RESET ? event->reset_code : event->stop_code;
	struct app_stream *x = !e->of && event->events & (STREAM_RESET | STREAM_STOPPED)
				       ? given_up(s, e, code)
				       : NULL;
	if (x)
		oracle_stream_adopt(e, x);
	if (event->events & STREAM_RESET)
		check_reset(s, e, event->reset_code);
	if (event->events & STREAM_STOPPED)
		check_stop(s, e, event->stop_code);
}

/* ---- when all is over ---- */

static bool is_over(const struct app_end *e)
{
	return !e->handle || (e->of && e->of->is_held);
}

bool oracle_streams_are_busy(struct sim *s, void *unused)
{
	(void)unused;
	for (size_t i = 0; i < s->apps.end_count; i++)
		if (!is_over(s->apps.ends[i]))
			return true;
	return false;
}

void oracle_check_streams_over(struct sim *s)
{
	for (size_t i = 0; i < s->apps.end_count; i++) {
		const struct app_end *e = s->apps.ends[i];
		if (is_over(e))
			continue;
		const struct app_way *out = e->of ? &e->of->way[e->side] : NULL;
		const struct app_way *in = e->of ? &e->of->way[!e->side] : NULL;
		oracle_break(s, "stuck",
			"%s: stream %u with %s: wrote %llu%s%s, read %llu of %llu%s%s",
			s->hosts[e->host].name, number_of(s, e->of), sim_name(s, e->peer),
			out ? (unsigned long long)out->written : 0, e->out_over ? ", over" : "",
			e->is_writable ? "" : ", waits for room",
			in ? (unsigned long long)in->read : e->tag_len,
			in ? (unsigned long long)in->written : 0, e->in_over ? ", over" : "",
			e->of ? "" : ", its tag has not come");
		return;
	}
}

static void check_freed(struct sim *s, struct host *h, uint32_t peer)
{
	struct node_streams_info info = { 0 };
	if (node_streams_info(h->node, &s->hosts[peer].self.id, &info) && info.streams > 0)
		oracle_break(s, "freed", "%s: %zu streams with %s after all were closed", h->name,
			info.streams, sim_name(s, peer));
}

void oracle_check_streams_freed(struct sim *s)
{
	for (size_t i = 0; i < s->host_count && !sim_failed(s); i++) {
		struct host *h = &s->hosts[i];
		if (!host_is_awake(h))
			continue;
		check_freed(s, h, h->id);
		for (size_t k = 0; k < h->friend_count; k++)
			check_freed(s, h, h->friends[k].host);
	}
}
