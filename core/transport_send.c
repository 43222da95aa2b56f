/* What the transport sends: which frames go into a packet, what becomes of them when it arrives or
 * is lost (RFC 9000 13.3), and on which path.
 *
 * A packet is ACKs, then the number if it carries anything else, then frames of the streams that
 * are ready, one stream after the other so that all get their share, lower priority numbers first.
 * What is sent is remembered by where it came from, not by its bytes. */
#include "core/transport_state.h"

#define PROBES     2            /* RFC 9002 6.2.4 */
#define LEFT_FOR   (3 * OV_SEC) /* its records are kept */
#define WELL_BELOW 4 /* less than a quarter of the window: a paced slow start uses half */

/* ---- which streams have something to say ---- */

static void list_remove(struct stream_list *l, struct stream *s)
{
	assert(s->next && s->previous); /* it is in one */
	if (s->next == s) {
		l->first = NULL;
	} else {
		s->next->previous = s->previous;
		s->previous->next = s->next;
		if (l->first == s)
			l->first = s->next;
	}
	s->next = s->previous = NULL;
}

static void list_append(struct stream_list *l, struct stream *s)
{
	struct stream *first = l->first;
	if (!first) {
		l->first = s->next = s->previous = s;
		return;
	}
	s->next = first;
	s->previous = first->previous;
	s->previous->next = first->previous = s;
}

void transport_unfile(struct transport *t, struct stream *s)
{
	if (s->is_ready)
		list_remove(&t->ready[s->priority], s);
	if (s->is_blocked)
		list_remove(&t->blocked, s);
	s->is_ready = s->is_blocked = false;
}

void transport_file(struct transport *t, struct stream *s)
{
	bool again = stream_wants_again(s), fresh = stream_wants_new(s);
	bool ready = again || (fresh && t->sent < t->out_limit), blocked = fresh && !ready;
	if (ready == s->is_ready && blocked == s->is_blocked)
		return;
	transport_unfile(t, s);
	s->is_ready = ready;
	s->is_blocked = blocked;
	if (ready)
		list_append(&t->ready[s->priority], s);
	if (blocked)
		list_append(&t->blocked, s);
}

void transport_unblock(struct transport *t)
{
	while (t->blocked.first)
		transport_file(t, t->blocked.first);
}

static struct stream *next_ready(const struct transport *t)
{
	for (size_t i = 0; i < TRANSPORT_PRIORITIES; i++)
		if (t->ready[i].first)
			return t->ready[i].first;
	return NULL;
}

/* ---- paths ---- */

ov_time transport_srtt(const struct transport *t)
{
	return t->active ? t->active->recovery.rtt.smoothed : 0;
}

static struct space *space_of(struct transport *t, uint64_t key)
{
	for (size_t i = 0; i < TRANSPORT_SPACES; i++)
		if (t->spaces[i].used && t->spaces[i].key == key && !t->spaces[i].recovery.is_left)
			return &t->spaces[i];
	return NULL;
}

static void lose_chunk(struct transport *t, const struct sent_chunk *c)
{
	struct stream *s = transport_find(t, c->stream);
	if (!s)
		return;
	switch ((enum sent_kind)c->kind) {
	case SENT_DATA:
		if (s->reset == SEND_NONE)
			send_buffer_lose(&s->out, &(struct send_part){ c->offset, c->len, c->fin });
		break;
	case SENT_RESET:
		if (s->reset == SEND_SENT)
			s->reset = SEND_DUE;
		break;
	case SENT_STOP:
		if (s->stop == SEND_SENT)
			s->stop = SEND_DUE;
		break;
	case SENT_MAX_STREAM_DATA:
		if (c->offset == s->in_limit && !s->in_ended) /* else another said more */
			s->grant = SEND_DUE;
		break;
	}
	transport_file(t, s);
}

static void lose_packet(struct transport *t, const struct sent_packet *p)
{
	t->of_all |= p->of_all;
	for (size_t i = 0; i < p->count; i++)
		lose_chunk(t, &p->chunks[i]);
}

static void lose(struct transport *t, struct space *s, struct loss *walk)
{
	const struct sent_packet *p;
	while ((p = recovery_next_lost(&s->recovery, walk))) {
		t->lost_packets++;
		lose_packet(t, p);
	}
}

static void look_for_losses(struct transport *t, struct space *s, ov_time now)
{
	struct loss walk = recovery_loss(&s->recovery, now);
	lose(t, s, &walk);
	ecn_on_lost(&s->ecn, walk.marked);
	/* What was sent before the path worked at all says nothing of its room. */
	if (walk.bytes > 0 && walk.newest_sent_at >= s->recovery.works_since)
		congestion_on_loss(&s->congestion, now, walk.newest_sent_at, walk.persistent);
}

/* What was under way goes out again; its records wait for ACKs that were lost on the way. */
static void leave_space(struct transport *t, struct space *s)
{
	if (t->active == s)
		t->active = NULL;
	if (s->recovery.is_left)
		return;
	struct loss walk = recovery_leave(&s->recovery);
	lose(t, s, &walk);
	s->forget_at = 0;
}

static void forget_space(struct transport *t, struct space *s)
{
	leave_space(t, s);
	recovery_fini(&s->recovery);
	s->used = false;
}

/* A free place, or that of the path that was left longest ago. */
static struct space *new_space(struct transport *t, const struct transport_path *path)
{
	struct space *s = &t->spaces[0];
	for (size_t i = 0; i < TRANSPORT_SPACES; i++) {
		struct space *one = &t->spaces[i];
		if (!one->used) {
			s = one;
			break;
		}
		if (one->recovery.is_left > s->recovery.is_left ||
			(one->recovery.is_left == s->recovery.is_left && one->used_at < s->used_at))
			s = one;
	}
	if (s->used)
		forget_space(t, s);
	*s = (struct space){ .used = true,
		.key = path->key,
		.ecn.state = path->carries_ecn ? ECN_TESTING : ECN_OFF };
	recovery_init(&s->recovery, t->next_space++, &path->rtt);
	congestion_init(&s->congestion, path->datagram);
	if (path->rtt.smoothed > 0)
		congestion_set_floor(&s->congestion, path->rtt.minimum);
	return s;
}

void transport_use_path(struct transport *t, ov_time now, const struct transport_path *path)
{
	struct space *was = t->active;
	if (t->active)
		t->active->used_at = now;
	t->active = NULL;
	if (!path)
		return;
	struct space *s = space_of(t, path->key);
	if (!s)
		s = new_space(t, path);
	assert(s);
	if (was != s)
		recovery_resume(&s->recovery, now);
	if (was && was != s && was->used && was->recovery.pto_count > 0)
		leave_space(t, was); /* because nothing came through */
	if (s->congestion.segment != path->datagram)
		congestion_set_segment(&s->congestion, path->datagram);
	s->used_at = now;
	t->active = s;
	t->path = *path;
	for (size_t i = 0; i < TRANSPORT_SPACES && table_count(t->streams) > 0; i++)
		if (t->received[i].numbers.count > 0) /* what was said on the way may be lost: after
				       a gap the other side goes on from here */
			t->received[i].ack_at = now;
}

void transport_path_died(struct transport *t, uint64_t key)
{
	struct space *s = space_of(t, key);
	if (s)
		leave_space(t, s);
}

/* ---- what arrived ---- */

static void tell_room(struct transport *t, struct stream *s)
{
	if (!s->wants_room)
		return;
	s->wants_room = false;
	transport_tell(t, s, STREAM_WRITABLE);
}

static void acknowledge_chunk(struct transport *t, ov_time now, const struct sent_chunk *c)
{
	struct stream *s = transport_find_again(t, c->stream);
	if (!s)
		return;
	switch ((enum sent_kind)c->kind) {
	case SENT_DATA:
		if (s->reset != SEND_NONE)
			break;
		send_buffer_acknowledge(&s->out, &(struct send_part){ c->offset, c->len, c->fin });
		transport_keep(t, now, &s->out.ring, s->out.base == s->out.end);
		tell_room(t, s);
		if (send_buffer_is_done(&s->out))
			transport_tell(t, s, STREAM_FINISHED);
		break;
	case SENT_RESET: s->reset = SEND_DONE; break;
	case SENT_STOP:
		if (s->stop != SEND_NONE)
			s->stop = SEND_DONE;
		break;
	case SENT_MAX_STREAM_DATA:
		if (s->grant == SEND_SENT && c->offset == s->in_limit)
			s->grant = SEND_DONE;
		break;
	}
	transport_settle(t, s);
}

static struct space *space_by_number(struct transport *t, uint16_t number)
{
	for (size_t i = 0; i < TRANSPORT_SPACES; i++)
		if (t->spaces[i].used && t->spaces[i].recovery.space == number)
			return &t->spaces[i];
	return NULL;
}

int transport_on_ack(struct transport *t, ov_time now, const struct ack_frame *f)
{
	struct space *s = space_by_number(t, f->space);
	struct acked walk;
	if (!s)
		return OV_OK; /* of a path that is gone */
	if (recovery_begin_ack(&s->recovery, f, &walk) != OV_OK)
		return OV_EINVAL;
	const struct sent_packet *p;
	while ((p = recovery_next_acked(&s->recovery, f, &walk))) {
		for (size_t i = 0; i < p->count; i++)
			acknowledge_chunk(t, now, &p->chunks[i]);
	}
	if (walk.largest_sent_at < 0)
		return OV_OK;
	recovery_end_ack(&s->recovery, now, f, &walk);
	if (walk.is_largest && /* RFC 9000 13.4.2.1: others may be late */
		ecn_on_ack(&s->ecn, &(struct ecn_counts){ f->ect0, f->ce, walk.marked }))
		congestion_on_mark(&s->congestion, now, walk.largest_sent_at);
	congestion_on_ack(&s->congestion, now,
		&(struct congestion_ack){ .bytes = walk.bytes,
			.largest = f->ranges[0].end - 1,
			.next = s->recovery.next,
			.largest_sent_at = walk.largest_sent_at,
			.rtt = walk.is_sample ? s->recovery.latest_rtt : 0,
			.smoothed = s->recovery.rtt.smoothed,
			.app_limited = walk.app_limited });
	look_for_losses(t, s, now);
	s->probes = 0;
	return OV_OK;
}

/* ---- a packet ---- */

struct packet { /* under construction */
	struct wr *w;
	size_t room; /* bytes of plaintext left */
	struct sent_chunk chunks[SENT_CHUNKS];
	uint8_t count, of_all;
};

static size_t room_of(const struct packet *p)
{
	return p->room - wr_len(p->w);
}

/* Not inlined: its frame is large, the compiler clears it, and most packets have none. */
static __attribute__((noinline)) void put_ack(struct received *r, ov_time now, struct packet *p)
{
	struct ack_frame f;
	size_t most = (room_of(p) - FRAME_ACK_LEN(1)) / 8 + 1;
	received_ack(r, now, most < ACK_RANGES_MAX ? most : ACK_RANGES_MAX, &f);
	frame_put_ack(p->w, &f);
}

static void put_acks(struct transport *t, ov_time now, struct packet *p)
{
	for (size_t i = 0; i < TRANSPORT_SPACES; i++) {
		struct received *r = &t->received[i];
		if (t->receives[i] && received_wants_ack(r, now) && room_of(p) >= FRAME_ACK_LEN(1))
			put_ack(r, now, p);
	}
}

static void put_limits(struct transport *t, struct packet *p)
{
	static const struct {
		uint8_t bit;
		enum frame_type type;
	} kinds[] = { { SENT_MAX_DATA, FRAME_MAX_DATA }, { SENT_MAX_STREAMS, FRAME_MAX_STREAMS } };
	for (size_t i = 0; i < 2; i++) {
		if (!(t->of_all & kinds[i].bit) || room_of(p) < FRAME_MAX_LEN)
			continue;
		uint64_t max = kinds[i].bit == SENT_MAX_DATA ? t->in_limit : t->peers.limit;
		frame_put_max(p->w, kinds[i].type, &(struct max_frame){ .max = max });
		p->of_all |= kinds[i].bit;
		t->of_all &= (uint8_t)~kinds[i].bit;
	}
}

static void note(struct packet *p, const struct stream *s, enum sent_kind kind)
{
	p->chunks[p->count++] = (struct sent_chunk){ .stream = s->id, .kind = (uint8_t)kind };
}

static bool has_place(const struct packet *p, size_t len)
{
	return p->count < SENT_CHUNKS && room_of(p) >= len;
}

static void put_control(struct stream *s, struct packet *p)
{
	if (s->reset == SEND_DUE && has_place(p, FRAME_RESET_LEN)) {
		frame_put_reset(p->w, &(struct reset_frame){ .stream = s->id,
					      .final_size = s->out.next,
					      .code = s->reset_code });
		s->reset = SEND_SENT;
		note(p, s, SENT_RESET);
	}
	if (s->stop == SEND_DUE && has_place(p, FRAME_STOP_LEN)) {
		frame_put_stop(p->w, &(struct stop_frame){ .stream = s->id, .code = s->stop_code });
		s->stop = SEND_SENT;
		note(p, s, SENT_STOP);
	}
	if (s->grant == SEND_DUE && has_place(p, FRAME_MAX_LEN)) {
		frame_put_max(p->w, FRAME_MAX_STREAM_DATA,
			&(struct max_frame){ .stream = s->id, .max = s->in_limit });
		s->grant = SEND_SENT;
		note(p, s, SENT_MAX_STREAM_DATA);
		p->chunks[p->count - 1].offset = s->in_limit;
	}
}

static void put_data(struct transport *t, struct stream *s, struct packet *p)
{
	uint64_t credit = t->out_limit - t->sent;
	uint64_t limit = s->out_limit - s->out.next < credit ? s->out_limit : s->out.next + credit;
	struct send_part part;
	while (has_place(p, FRAME_STREAM_FIXED + 1) && s->reset == SEND_NONE) {
		uint64_t before = s->out.next;
		if (!send_buffer_take(&s->out, limit, room_of(p) - FRAME_STREAM_FIXED, &part))
			return;
		struct stream_frame f = { .stream = s->id,
			.offset = part.offset,
			.flags = part.fin ? STREAM_FIN : 0,
			.len = part.len };
		frame_put_stream_head(p->w, &f);
		uint8_t *room = wr_take(p->w, part.len);
		assert(room); /* has_place, and the maximum above */
		send_buffer_copy(&s->out, &part, room);
		t->sent += s->out.next - before;
		note(p, s, SENT_DATA);
		struct sent_chunk *c = &p->chunks[p->count - 1];
		c->offset = part.offset;
		c->len = (uint16_t)part.len;
		c->fin = part.fin;
	}
}

static void put_streams(struct transport *t, struct packet *p)
{
	struct stream *s;
	while (has_place(p, FRAME_STREAM_FIXED + 1) && (s = next_ready(t))) {
		size_t before = wr_len(p->w);
		put_control(s, p);
		put_data(t, s, p);
		if (wr_len(p->w) > before) {
			s->was_said = true;
			transport_unspare(t, s);
		}
		if (s->is_ready) /* the others first */
			t->ready[s->priority].first = s->next;
		transport_file(t, s);
		if (wr_len(p->w) == before)
			return;
	}
}

static bool has_something(const struct transport *t)
{
	return t->of_all != 0 || next_ready(t) != NULL;
}

static struct pacer_rate rate_of(const struct space *s)
{
	return (struct pacer_rate){ .window = s->congestion.window,
		.srtt = s->recovery.rtt.smoothed,
		.segment = s->congestion.segment,
		.slow_start = s->congestion.phase == CONGESTION_SLOW_START };
}

/* What could not be remembered would be sent again without end. */
static bool window_allows(const struct transport *t, const struct space *s)
{
	const struct recovery *r = &s->recovery;
	return r->next - r->first < UNDER_WAY_MAX &&
	       congestion_allows(&s->congestion, r->in_flight, t->path.datagram);
}

static bool may_send(struct transport *t, ov_time now)
{
	struct space *s = t->active;
	if (!s)
		return false;
	if (s->probes > 0)
		return true;
	struct pacer_rate r = rate_of(s);
	return has_something(t) && window_allows(t, s) && pacer_allows(&s->pacer, now, &r);
}

/* It goes out: what it carries is remembered, or counts as lost if there is no memory for that. */
static void remember(struct transport *t, ov_time now, const struct packet *p)
{
	struct space *s = t->active;
	uint16_t bytes = (uint16_t)(wr_len(p->w) + t->path.overhead);
	struct sent_packet *sent = recovery_send(&s->recovery, now, bytes, UNDER_WAY_MAX);
	struct sent_packet none = { 0 }, *r = sent ? sent : &none;
	memcpy(r->chunks, p->chunks, p->count * sizeof(p->chunks[0]));
	r->count = p->count;
	r->of_all = p->of_all;
	r->marked = t->marks = ecn_marks(&s->ecn, s->recovery.pto_count > 0);
	if (r->marked)
		ecn_on_sent(&s->ecn);
	/* not the window, but the app, the sockets or the CPU hold it back (RFC 9002 7.8) */
	r->app_limited =
		!has_something(t) || WELL_BELOW * s->recovery.in_flight < s->congestion.window;
	pacer_on_sent(&s->pacer, bytes);
	t->sent_packets++;
	if (s->probes > 0)
		s->probes--;
	if (!sent)
		lose_packet(t, r);
}

enum transport_packet transport_poll(struct transport *t, ov_time now, struct wr *w)
{
	struct packet p = { .w = w, .room = (size_t)(t->path.datagram - t->path.overhead) };
	if (p.room > (size_t)(w->end - w->start))
		p.room = (size_t)(w->end - w->start);
	enum transport_packet kind = TRANSPORT_ACK;
	t->marks = false;
	if (!t->active)
		return TRANSPORT_NOTHING;
	put_acks(t, now, &p);
	if (room_of(&p) >= FRAME_NUMBER_LEN + FRAME_STREAM_FIXED + 1 && may_send(t, now)) {
		frame_put_number(w, &(struct number_frame){ .space = t->active->recovery.space,
					    .number = t->active->recovery.next });
		put_limits(t, &p);
		put_streams(t, &p);
		remember(t, now, &p);
		kind = TRANSPORT_NUMBERED;
	}
	assert(wr_ok(w));
	return wr_len(w) > 0 ? kind : TRANSPORT_NOTHING;
}

bool transport_marks(const struct transport *t)
{
	return t->marks;
}

/* ---- time ---- */

static void probe(struct transport *t, struct space *s)
{
	for (size_t i = 0; i < PROBES; i++) {
		const struct sent_packet *p = recovery_oldest(&s->recovery, i);
		if (p)
			lose_packet(t, p);
	}
	s->probes = PROBES;
}

void transport_path_answers(struct transport *t, ov_time now, uint64_t key, ov_time rtt)
{
	struct space *s = space_of(t, key);
	const struct sent_packet *oldest = s ? recovery_oldest(&s->recovery, 0) : NULL;
	if (!oldest || s != t->active || now - oldest->sent_at <= rtt + RTT_MAX_DELAY)
		return;
	s->recovery.pto_count = 0;
	probe(t, s);
}

static void space_tick(struct transport *t, struct space *s, ov_time now)
{
	if (s->recovery.is_left) {
		if (s->forget_at == 0)
			s->forget_at = now + LEFT_FOR;
		else if (now >= s->forget_at)
			forget_space(t, s);
		return;
	}
	if (now < recovery_deadline(&s->recovery))
		return;
	if (!recovery_wants_probe(&s->recovery, now))
		look_for_losses(t, s, now);
	else if (s == t->active)
		probe(t, s);
	else
		leave_space(t, s); /* nobody asks there any more */
}

void transport_tick(struct transport *t, ov_time now)
{
	if (now >= t->trim_at)
		transport_trim(t, now);
	for (size_t i = 0; i < TRANSPORT_SPACES; i++)
		if (t->spaces[i].used && t->active) /* without a path everything waits */
			space_tick(t, &t->spaces[i], now);
}

static ov_time send_deadline(const struct transport *t, ov_time now)
{
	const struct space *s = t->active;
	if (s->probes > 0)
		return now;
	if (!has_something(t) || !window_allows(t, s))
		return OV_NEVER;
	struct pacer_rate r = rate_of(s);
	return pacer_deadline(&s->pacer, now, &r);
}

ov_time transport_deadline(const struct transport *t, ov_time now)
{
	ov_time at = table_count(t->streams) > 0 ? t->trim_at : OV_NEVER;
	if (!t->active)
		return at;
	for (size_t i = 0; i < TRANSPORT_SPACES; i++) {
		if (t->spaces[i].used && t->spaces[i].recovery.is_left)
			at = ov_min(at, t->spaces[i].forget_at ? t->spaces[i].forget_at : at);
		else if (t->spaces[i].used)
			at = ov_min(at, recovery_deadline(&t->spaces[i].recovery));
		if (t->receives[i])
			at = ov_min(at, t->received[i].ack_at);
	}
	return ov_min(at, send_deadline(t, now));
}

bool transport_is_busy(const struct transport *t)
{
	for (size_t i = 0; i < TRANSPORT_SPACES; i++)
		if (t->spaces[i].used && t->spaces[i].recovery.in_flight > 0)
			return true;
	return has_something(t);
}

struct transport_info transport_info(const struct transport *t)
{
	struct transport_info i = { .sent_packets = t->sent_packets,
		.lost_packets = t->lost_packets };
	if (!t->active)
		return i;
	i.window = t->active->congestion.window;
	i.in_flight = t->active->recovery.in_flight;
	i.srtt = t->active->recovery.rtt.smoothed;
	return i;
}
