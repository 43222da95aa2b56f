/* An app takes its events first and acts afterwards, so that what it does is never older than what
 * it was told. Ends stay in memory until the world ends, closed or not: an event for a closed one
 * is found out and not a use after free of ours. */
#include "tests/sim/apps.h"

#include "tests/sim/digest.h"
#include "tests/sim/oracle_streams.h"
#include "tests/sim/sim.h"

#include <stdlib.h>
#include <string.h>

#define PIECE 16384

void apps_fini(struct apps *a)
{
	for (size_t i = 0; i < a->count; i++)
		free(a->streams[i]);
	for (size_t i = 0; i < a->end_count; i++)
		free(a->ends[i]);
	free(a->ends);
	*a = (struct apps){ 0 };
}

static uint64_t word_at(const struct app_stream *x, enum app_side writer, uint64_t i)
{
	if (writer == APP_OPENER && i == 0)
		return x->tag;
	return digest_mix(x->tag ^ (uint64_t)writer << 63, i);
}

void apps_bytes(
	const struct app_stream *x, enum app_side writer, uint64_t offset, uint8_t *out, size_t len)
{
	while (len > 0) {
		uint8_t word[8];
		size_t skip = offset % 8, n = 8 - skip < len ? 8 - skip : len;
		store_le64(word, word_at(x, writer, offset / 8));
		memcpy(out, word + skip, n);
		out += n;
		offset += n;
		len -= n;
	}
}

/* ---- who belongs to which association ---- */

static void watch_associations(struct sim *s, struct host *h)
{
	for (size_t i = 0; i < h->friend_count; i++) {
		struct friend *f = &h->friends[i];
		struct peer_info info;
		if (!node_peer_info(h->node, s->now, &s->hosts[f->host].self.id, &info) ||
			info.association == f->association)
			continue;
		f->association = info.association;
		f->associated_at = s->now;
	}
}

static ov_time bound_at(struct sim *s, struct host *h, uint32_t peer)
{
	const struct friend *f = host_friend(h, peer);
	return f && f->association != 0 ? f->associated_at : s->now;
}

static struct app_end *new_end(struct sim *s, struct host *h, uint32_t peer, enum app_side side)
{
	struct apps *a = &s->apps;
	struct app_end *e = calloc(1, sizeof(*e));
	void *grown = realloc(a->ends, (a->end_count + 1) * sizeof(struct app_end *));
	if (!e || !grown)
		abort();
	*e = (struct app_end){ .host = h->id,
		.peer = peer,
		.side = side,
		.made_at = s->now,
		.bound_at = bound_at(s, h, peer),
		.is_writable = true,
		.next = h->ends };
	h->ends = e;
	a->ends = grown;
	a->ends[a->end_count++] = e;
	return e;
}

/* ---- beginnings ---- */

static size_t number_of(const struct sim *s, const struct app_stream *x)
{
	for (size_t i = 0; i < s->apps.count; i++)
		if (s->apps.streams[i] == x)
			return i;
	return s->apps.count;
}

struct app_stream *apps_open(struct sim *s, struct host *h, uint32_t to,
	const struct app_manner *opener, const struct app_manner *taker)
{
	struct apps *a = &s->apps;
	assert(opener->size == 0 || opener->size >= APP_TAG_LEN);
	assert(host_is_awake(h));
	if (a->count == APP_STREAMS_MAX)
		return NULL;
	struct app_stream *x = calloc(1, sizeof(*x));
	if (!x)
		abort();
	*x = (struct app_stream){ .tag = digest_mix(s->seed + 0x617070, a->count),
		.hosts = { h->id, to },
		.manner = { *opener, *taker },
		.is_held = opener->hold_at > 0 || taker->hold_at > 0,
		.opened_at = s->now };
	a->streams[a->count++] = x;
	struct app_end *e = new_end(s, h, to, APP_OPENER);
	e->of = x;
	x->end[APP_OPENER] = e;
	int err = node_stream_open(h->node, s->now, &s->hosts[to].self.id, e, &e->handle);
	if (err != OV_OK) {
		e->handle = NULL;
		oracle_break(s, "events", "%s: a stream to %s is refused: %s", h->name,
			sim_name(s, to), ov_err_text(err));
		return x;
	}
	node_stream_set_priority(e->handle, opener->priority);
	trace_tell(&s->trace, s->now, h->name, "opens stream %zu to %s", a->count - 1,
		sim_name(s, to));
	h->dirty = true;
	h->deadline = s->now;
	return x;
}

void apps_hasten(struct sim *s)
{
	for (size_t i = 0; i < s->apps.count; i++)
		for (int side = 0; side < 2; side++) {
			struct app_stream *x = s->apps.streams[i];
			struct app_manner *m = &x->manner[side];
			m->write_every = m->read_every = m->pause = 0;
			m->read_most = m->write_most = 0;
			if (x->end[side])
				x->end[side]->write_at = x->end[side]->read_at = 0;
		}
	for (size_t i = 0; i < s->host_count; i++) {
		s->hosts[i].dirty = true;
		s->hosts[i].deadline = host_is_awake(&s->hosts[i]) ? s->now : OV_NEVER;
	}
}

void apps_release(struct sim *s, struct app_stream *x)
{
	x->is_held = false;
	for (int side = 0; side < 2; side++) {
		struct host *h = &s->hosts[x->hosts[side]];
		h->dirty = true;
		h->deadline = host_is_awake(h) ? s->now : OV_NEVER;
	}
}

void apps_hold(struct sim *s, struct host *h, ov_time duration)
{
	if (!host_is_awake(h))
		return;
	node_streams_hold(h->node, true);
	h->held_until = s->now + duration;
	h->deadline = ov_min(h->deadline, h->held_until);
}

void apps_host_stops(struct host *h)
{
	h->held_until = 0;
	for (struct app_end *e = h->ends; e; e = e->next) {
		e->is_gone = e->handle != NULL;
		e->handle = NULL;
	}
	h->ends = NULL;
	for (size_t i = 0; i < h->friend_count; i++)
		h->friends[i].association = 0;
}

/* ---- events ---- */

static struct app_end *known_end(const struct sim *s, const void *user)
{
	for (size_t i = 0; i < s->apps.end_count; i++)
		if (s->apps.ends[i] == user)
			return s->apps.ends[i];
	return NULL;
}

static struct app_end *take_new(struct sim *s, struct host *h, struct node_stream *handle)
{
	struct host *peer = sim_find_host(s, node_stream_peer(handle));
	for (struct app_end *e = h->ends; e; e = e->next)
		if (e->handle == handle)
			oracle_break(s, "events", "%s: a stream from %s is opened twice", h->name,
				peer ? peer->name : "?");
	if (!peer) {
		oracle_break(s, "events", "%s: a stream from nobody", h->name);
		return NULL;
	}
	struct app_end *e = new_end(s, h, peer->id, APP_TAKER);
	e->handle = handle;
	node_stream_set_user(handle, e);
	return e;
}

static void on_given_up(
	struct sim *s, struct host *h, struct app_end *e, const struct node_stream_event *event)
{
	size_t number = e->of ? number_of(s, e->of) : s->apps.count;
	if (event->events & STREAM_RESET) {
		e->in_over = true;
		trace_tell(&s->trace, s->now, h->name, "stream %zu: %s resets it, code %u", number,
			sim_name(s, e->peer), event->reset_code);
	}
	if (!(event->events & STREAM_STOPPED))
		return;
	e->out_over = true;
	trace_tell(&s->trace, s->now, h->name, "stream %zu: %s stops it, code %u", number,
		sim_name(s, e->peer), event->stop_code);
	if (e->of && !e->of->way[e->side].is_reset) { /* the answer, RFC 9000 3.5 */
		e->of->way[e->side].is_reset = true;
		e->of->way[e->side].reset_code = event->stop_code;
	}
	s->apps.cut++;
}

static bool take_events(struct sim *s, struct host *h)
{
	struct node_stream_event event;
	bool any = false;
	while (!sim_failed(s) && node_stream_event(h->node, &event)) {
		any = true;
		trace_mix(&s->trace, s->now, (uint64_t)h->id << 32 | event.events,
			(uint64_t)event.reset_code << 32 | event.stop_code);
		struct app_end *e = event.user                     ? known_end(s, event.user)
				    : event.events & STREAM_OPENED ? take_new(s, h, event.stream)
								   : NULL;
		if (!e || e->handle != event.stream || e->host != h->id) {
			oracle_break(s, "events", "%s: events %x of a stream that nobody has",
				h->name, event.events);
			return true;
		}
		oracle_on_stream_event(s, e, &event);
		e->is_readable |= (event.events & (STREAM_READABLE | STREAM_OPENED)) != 0;
		e->is_writable |= (event.events & STREAM_WRITABLE) != 0;
		on_given_up(s, h, e, &event);
	}
	return any;
}

/* ---- reading ---- */

/* The bytes that say which stream it is. */
static void read_tag(struct sim *s, struct app_end *e, const uint8_t *data, size_t len)
{
	memcpy(e->tag + e->tag_len, data, len);
	e->tag_len = (uint8_t)(e->tag_len + len);
	if (e->tag_len < APP_TAG_LEN)
		return;
	struct app_stream *x = oracle_stream_find(s, e, load_le64(e->tag));
	if (!x)
		return;
	oracle_stream_adopt(e, x);
	node_stream_set_priority(e->handle, x->manner[APP_TAKER].priority);
	trace_tell(&s->trace, s->now, s->hosts[e->host].name, "takes stream %zu from %s",
		number_of(s, x), sim_name(s, e->peer));
}

static size_t readable(const struct app_end *e, size_t len)
{
	size_t missing = APP_TAG_LEN - (size_t)e->tag_len;
	if (!e->of)
		return len < missing ? len : missing;
	const struct app_manner *m = &e->of->manner[e->side];
	const struct app_way *w = &e->of->way[!e->side];
	if (m->read_most > 0 && len > m->read_most)
		len = m->read_most;
	if (m->pause > 0 && !e->has_paused && w->read < m->pause_at && len > m->pause_at - w->read)
		len = (size_t)(m->pause_at - w->read);
	if (m->quit == APP_STOPS && w->read < m->quit_at && len > m->quit_at - w->read)
		len = (size_t)(m->quit_at - w->read);
	return len;
}

static void note_read(struct sim *s, struct app_end *e, size_t len)
{
	const struct app_manner *m = &e->of->manner[e->side];
	struct app_way *w = &e->of->way[!e->side];
	if (w->first_read_at == 0)
		w->first_read_at = s->now;
	w->read += len;
	if (m->read_every > 0)
		e->read_at = s->now + m->read_every;
	if (m->pause > 0 && !e->has_paused && w->read >= m->pause_at) {
		e->has_paused = true;
		e->read_at = s->now + m->pause;
	}
}

static bool read_some(struct sim *s, struct host *h, struct app_end *e)
{
	bool any = false;
	while (!sim_failed(s) && e->is_readable && !e->in_over && e->read_at <= s->now) {
		size_t len;
		const uint8_t *data = node_stream_peek(e->handle, &len);
		if (!data || len == 0) {
			e->is_readable = false;
			break;
		}
		len = readable(e, len);
		if (len == 0) /* it is about to stop reading */
			break;
		any = true;
		trace_mix(&s->trace, s->now, h->id, len);
		if (e->of) {
			oracle_on_stream_bytes(s, e, data, len);
			note_read(s, e, len);
		} else {
			read_tag(s, e, data, len);
		}
		node_stream_consume(h->node, s->now, e->handle, len);
	}
	return any;
}

static bool see_end(struct sim *s, struct host *h, struct app_end *e)
{
	take_events(s, h); /* else a reset would look like an end */
	if (e->in_over || sim_failed(s) || !node_stream_at_end(e->handle))
		return false;
	oracle_on_stream_end(s, e);
	e->in_over = true;
	if (!e->of)
		return true;
	s->apps.finished++;
	e->of->way[!e->side].ended = true;
	e->of->way[!e->side].ended_at = s->now;
	trace_tell(&s->trace, s->now, h->name, "stream %zu: %s's %llu bytes are all here",
		number_of(s, e->of), sim_name(s, e->peer),
		(unsigned long long)e->of->way[!e->side].read);
	return true;
}

/* ---- writing ---- */

static uint64_t write_limit(const struct app_end *e)
{
	const struct app_manner *m = &e->of->manner[e->side];
	uint64_t limit = m->size;
	if (e->of->is_held && m->hold_at > 0 && m->hold_at < limit)
		limit = m->hold_at;
	if ((m->quit == APP_RESETS || m->quit == APP_CLOSES) && m->quit_at < limit)
		limit = m->quit_at;
	return limit;
}

static size_t write_piece(struct host *h, struct app_end *e, size_t len)
{
	const struct app_stream *x = e->of;
	uint64_t at = x->way[e->side].written;
	uint8_t bytes[PIECE];
	if (!x->manner[e->side].in_place) {
		apps_bytes(x, e->side, at, bytes, len);
		size_t taken = node_stream_write(h->node, e->handle, bytes, len);
		e->is_writable = taken == len;
		return taken;
	}
	size_t room = len;
	uint8_t *place = node_stream_reserve(e->handle, &room);
	e->is_writable = place != NULL;
	if (!place)
		return 0;
	room = room < len ? room : len;
	apps_bytes(x, e->side, at, place, room);
	node_stream_commit(h->node, e->handle, room);
	return room;
}

static bool write_some(struct sim *s, struct host *h, struct app_end *e)
{
	const struct app_manner *m = &e->of->manner[e->side];
	struct app_way *w = &e->of->way[e->side];
	uint64_t limit = write_limit(e);
	bool any = false;
	while (!sim_failed(s) && e->is_writable && w->written < limit && e->write_at <= s->now) {
		uint64_t len = limit - w->written;
		len = m->write_most > 0 && len > m->write_most ? m->write_most : len;
		size_t taken = write_piece(h, e, len > PIECE ? PIECE : (size_t)len);
		w->written += taken;
		any |= taken > 0;
		if (taken > 0)
			oracle_on_stream_written(s, e);
		if (m->write_every > 0)
			e->write_at = s->now + m->write_every;
	}
	return any;
}

/* ---- ends ---- */

static void close_end(struct sim *s, struct host *h, struct app_end *e, uint32_t code)
{
	if (e->of && !e->out_over) {
		e->of->way[e->side].is_reset = true;
		e->of->way[e->side].reset_code = code;
	}
	if (e->of && !e->in_over) {
		e->of->way[!e->side].is_stopped = true;
		e->of->way[!e->side].stop_code = code;
	}
	node_stream_close(h->node, s->now, e->handle, code);
	e->handle = NULL;
	trace_note(&s->trace, s->now, h->name, "closes stream %zu, code %u",
		e->of ? number_of(s, e->of) : s->apps.count, code);
}

static bool finish(struct host *h, struct app_end *e)
{
	struct app_way *w = &e->of->way[e->side];
	if (e->out_over || w->written < e->of->manner[e->side].size ||
		write_limit(e) < e->of->manner[e->side].size)
		return false;
	w->finished = true;
	e->out_over = true;
	node_stream_finish(h->node, e->handle);
	return true;
}

/* Gives up as it was told to. */
static bool quit(struct sim *s, struct host *h, struct app_end *e)
{
	const struct app_manner *m = &e->of->manner[e->side];
	struct app_way *out = &e->of->way[e->side], *in = &e->of->way[!e->side];
	if (m->quit == APP_RESETS && !e->out_over && out->written >= m->quit_at) {
		out->is_reset = e->out_over = true;
		out->reset_code = m->code;
		node_stream_reset(h->node, e->handle, m->code);
		s->apps.cut++;
		return true;
	}
	if (m->quit == APP_STOPS && !e->in_over && in->read >= m->quit_at) {
		in->is_stopped = e->in_over = true;
		in->stop_code = m->code;
		node_stream_stop(h->node, s->now, e->handle, m->code);
		s->apps.cut++;
		return true;
	}
	if (m->quit == APP_CLOSES && !e->out_over && out->written >= m->quit_at) {
		s->apps.cut++;
		close_end(s, h, e, m->code);
		return true;
	}
	return false;
}

static bool act(struct sim *s, struct host *h, struct app_end *e)
{
	bool told = e->is_readable, any = read_some(s, h, e);
	if (told && !e->in_over && !sim_failed(s))
		any |= see_end(s, h, e);
	if (sim_failed(s))
		return true;
	if (!e->of) { /* given up before anybody knew what it was */
		if (e->in_over)
			close_end(s, h, e, STREAM_CANCELLED);
		return any || !e->handle;
	}
	if (!e->out_over)
		any |= write_some(s, h, e);
	if (!sim_failed(s))
		any |= quit(s, h, e);
	if (e->handle && !sim_failed(s))
		any |= finish(h, e);
	bool leaves = e->of->manner[e->side].quit == APP_LEAVES;
	if (e->handle && e->out_over && (e->in_over || leaves)) {
		close_end(s, h, e, leaves ? e->of->manner[e->side].code : STREAM_CANCELLED);
		any = true;
	}
	return any;
}

bool apps_turn(struct sim *s, struct host *h)
{
	watch_associations(s, h);
	if (h->held_until != 0 && s->now >= h->held_until) {
		h->held_until = 0;
		node_streams_hold(h->node, false);
	}
	bool any = take_events(s, h);
	for (struct app_end *e = h->ends; e && !sim_failed(s); e = e->next)
		any |= act(s, h, e); /* who is taken meanwhile comes first in the list: next time */
	struct app_end **at = &h->ends;
	while (*at)
		if ((*at)->handle)
			at = &(*at)->next;
		else
			*at = (*at)->next;
	return any;
}

ov_time apps_deadline(const struct host *h)
{
	ov_time at = h->held_until != 0 ? h->held_until : OV_NEVER;
	for (const struct app_end *e = h->ends; e; e = e->next) {
		if (e->is_readable && !e->in_over)
			at = ov_min(at, e->read_at);
		if (e->of && e->is_writable && !e->out_over &&
			e->of->way[e->side].written < write_limit(e))
			at = ov_min(at, e->write_at);
	}
	return at;
}
