/* The transport of an association on the node's paths: it goes where the data of the association
 * goes, under the same keys, and packets of equal size become GSO runs as IP packets do. It is
 * sealed where it was written. Without a path it waits, and the peer is called if there is
 * something to say. */
#include "overlay/streams.h"

#include "overlay/association.h"
#include "overlay/call.h"
#include "overlay/envelope.h"
#include "overlay/keys.h"
#include "overlay/meet.h"
#include "overlay/route.h"

#include <stdlib.h>

#define CALL_AGAIN_QUIET (30 * OV_SEC) /* a new wish after such a pause: call at once */
#define RENEW_EVERY      (11 * OV_SEC) /* not with a handshake that crosses the last: keys.c */
#define LEAST_ROOM       128           /* plaintext; a path that allows less is waited for */
#define LOOK_AGAIN       (20 * OV_MS)

struct streams *streams_new(struct node *n, ov_time now, struct peer *p, bool is_lower)
{
	struct streams *s = calloc(1, sizeof(*s));
	if (!s)
		return NULL;
	s->peer = p;
	s->t = transport_new(now, &(struct transport_config){
					  .is_lower = is_lower, .table_secret = rng_u64(&n->rng) });
	if (s->t)
		return s;
	free(s);
	return NULL;
}

void streams_touch(struct node *n, struct streams *s)
{
	s->was_moved = true;
	if (s->peer)
		peer_touch(n, s->peer);
}

void streams_tell(struct node *n, struct streams *s)
{
	if (s->is_told || !transport_has_event(s->t))
		return;
	s->is_told = true;
	s->next_told = NULL;
	if (n->last_told)
		n->last_told->next_told = s;
	else
		n->first_told = s;
	n->last_told = s;
}

static void forget_told(struct node *n, struct streams *s)
{
	struct streams **at = &n->first_told, *before = NULL;
	for (; *at && *at != s; at = &(*at)->next_told)
		before = *at;
	if (*at == s)
		*at = s->next_told;
	if (n->last_told == s)
		n->last_told = before;
}

void streams_free(struct node *n, struct streams *s, uint32_t code)
{
	if (!s)
		return;
	if (s->is_told)
		forget_told(n, s);
	while (s->first)
		stream_handle_end(n, s->first, code);
	transport_free(s->t);
	free(s);
}

bool streams_are_open(const struct association *a)
{
	const struct streams *s = a ? a->streams : NULL;
	return s && (s->first || transport_stream_count(s->t) > transport_spare_count(s->t));
}

void streams_close(struct node *n, struct association *a, uint32_t code)
{
	streams_free(n, a->streams, code);
	a->streams = NULL;
}

static void carry_over(
	struct node *n, ov_time now, struct streams *old, struct streams *fresh, ov_time since)
{
	for (struct node_stream *s = old->first, *next; s; s = next) {
		next = s->next;
		uint64_t id;
		if (!transport_is_unheard(old->t, s->id, since) ||
			transport_carry(fresh->t, now, old->t, s->id, &id) != OV_OK)
			continue;
		stream_handle_unlink(&old->first, s);
		s->of = fresh;
		s->id = id;
		stream_handle_link(&fresh->first, s);
	}
	streams_touch(n, fresh);
	streams_tell(n, fresh);
}

/* One that restarted may have taken, in its old life, what was opened before that was heard last.
 * One that did not has only forgotten us, for it knew no stream of ours: all that is unheard is new
 * to it. */
void streams_restart(struct node *n, ov_time now, struct peer *p, bool same_life)
{
	struct association *a = p->association;
	struct streams *old = a->streams;
	if (!old)
		return;
	a->streams = old->first ? streams_new(n, now, p, p->lower) : NULL;
	if (a->streams)
		carry_over(n, now, old, a->streams,
			same_life || p->heard_at == OV_NEVER ? -1 : p->heard_at);
	streams_free(n, old, STREAM_PEER_RESTARTED);
}

void streams_path_gone(const struct association *a, const struct path *path)
{
	if (!a->streams)
		return;
	transport_path_died(a->streams->t, path->key);
	if (a->streams->path_key == path->key)
		a->streams->path_key = 0;
}

void streams_path_answers(
	struct node *n, ov_time now, struct peer *p, const struct path *path, ov_time rtt)
{
	struct streams *s = p->association->streams;
	if (!s || s->path_key != path->key)
		return;
	transport_path_answers(s->t, now, path->key, rtt);
	peer_touch(n, p);
}

/* ---- in ---- */

static bool opens(const struct frame *f)
{
	return f->type == FRAME_NUMBER || f->type == FRAME_STREAM ||
	       f->type == FRAME_RESET_STREAM || f->type == FRAME_STOP_SENDING;
}

/* Of contacts only: who uses us as facilitator has nothing to open here. */
static enum drop ready(struct node *n, ov_time now, struct peer *p, const struct arrival *at,
	const struct frame *f)
{
	struct association *a = p->association;
	if (!contact_is_known(p->contact.source))
		return DROP_GRANT;
	if (!at->is_of_association)
		return DROP_EXPIRED;
	if (!a->streams && opens(f))
		a->streams = streams_new(n, now, p, p->lower);
	if (!a->streams)
		return opens(f) ? DROP_FULL : DROP_FRAME;
	return DROP_NONE;
}

enum drop streams_on_frame(struct node *n, ov_time now, struct peer *p, const struct arrival *at,
	const struct frame *f, struct reliable *packet)
{
	enum drop why = ready(n, now, p, at, f);
	if (why != DROP_NONE) {
		packet->was_refused = true;
		return why;
	}
	if (f->type == FRAME_NUMBER) {
		packet->has_number = true;
		packet->number = f->as.number;
		return DROP_NONE;
	}
	int err = transport_on_frame(p->association->streams->t, now, f);
	packet->was_refused |= err == OV_EFULL || err == OV_ENOMEM;
	return err == OV_EINVAL ? DROP_FORMAT : err != OV_OK ? DROP_FULL : DROP_NONE;
}

/* What is reliable is data: it says where the peer's goes. */
void streams_on_packet(struct node *n, ov_time now, struct peer *p, const struct arrival *at,
	const struct reliable *packet)
{
	struct association *a = p->association;
	n->counters.numbered += packet->has_number;
	if (packet->has_number && !packet->was_refused)
		transport_on_number(a->streams->t, now, &packet->number, (enum ecn)at->ecn);
	if (packet->has_number && at->path == a->active)
		a->peer_path = at->path;
	else if (packet->has_number && at->leads)
		route_on_peer_data(n, now, p, at->path);
	if (a->streams)
		streams_tell(n, a->streams);
}

/* ---- which path ---- */

static bool path_carries(const struct path *path)
{
	return path_may_carry_data(path) && path_budget(path) >= LEAST_ROOM + PACKET_OVERHEAD;
}

static void follow_path(ov_time now, const struct association *a, struct path *path)
{
	struct streams *s = a->streams;
	uint64_t key = path ? path->key : 0;
	uint16_t datagram = path ? path_mtu(path) : 0;
	if (key == s->path_key && datagram == s->datagram)
		return;
	s->path_key = key;
	s->datagram = datagram;
	transport_use_path(s->t, now,
		path ? &(struct transport_path){ .key = key,
			       .rtt = path->rtt,
			       .datagram = datagram,
			       .overhead = PACKET_OVERHEAD,
			       .carries_ecn = path->carrier == CARRIER_UDP }
		     : NULL);
}

/* It waits for the peer: by its schedule if that is away, at once if the wish is new. */
static void call_peer(struct node *n, ov_time now, struct peer *p)
{
	struct association *a = p->association;
	bool is_new = a->streams->was_moved &&
		      (p->wanted_at == OV_NEVER || now - p->wanted_at >= CALL_AGAIN_QUIET);
	if (a->streams->was_moved)
		p->wanted_at = now;
	if (!a->call && !association_reaches(a, now) && (!p->away || is_new))
		call_start(n, now, p, false);
}

/* Both sides forgot what the other broke: another half of the id makes a new association. */
static void renew(struct node *n, ov_time now, struct peer *p)
{
	struct association *a = p->association;
	if (a->call || a->streams->renews || now - a->last_key_at < RENEW_EVERY)
		return; /* streams_deadline comes back to it */
	a->streams->renews = true;
	a->half = rng_u64(&n->rng);
	call_start(n, now, p, false);
}

/* ---- out ---- */

struct outlet { /* where the packets of one flush go */
	struct keys *keys;
	struct path *path;
	struct envelope envelope;
	size_t bytes;
	uint16_t largest;
};

static void seal(struct node *n, ov_time now, struct outlet *o, struct wr *w, uint8_t *room)
{
	size_t len = session_seal(&o->keys->session, PACKET_CONTROL, 0, w->start, wr_len(w), room);
	envelope_add(n, now, &o->envelope, o->path, len);
	o->bytes += len;
}

static void send_copy(struct node *n, ov_time now, struct peer *p, struct wr *plain)
{
	struct association *a = p->association;
	struct path *second = route_second(a, now);
	struct outlet o = { .keys = keys_sending(a, now), .path = second };
	size_t len = wr_len(plain) + PACKET_OVERHEAD;
	if (!second || wr_len(plain) > a->duplicate_bytes || len > path_mtu(second))
		return;
	struct dgram where = route_where(second);
	uint8_t *room = envelope_open(n, &where, &o.envelope)
				? envelope_room(n, &o.envelope, len, true)
				: NULL;
	if (!room)
		return;
	seal(n, now, &o, plain, room);
	a->duplicate_bytes -= wr_len(plain);
	path_on_sent(second, now, o.bytes, (uint16_t)o.bytes);
}

/* While the path is doubtful what goes by it goes by another too, as IP packets do. Sealing takes
 * the plaintext where it lies, so the copy is made before. */
static void send_twice(
	struct node *n, ov_time now, struct peer *p, struct outlet *o, struct wr *w, uint8_t *room)
{
	uint8_t copy[PMTU_MAX];
	struct wr plain = wr_init(copy, sizeof(copy));
	wr_copy(&plain, w->start, wr_len(w));
	seal(n, now, o, w, room);
	send_copy(n, now, p, &plain);
}

static uint8_t *room_for_packet(struct node *n, const struct outlet *o)
{
	if (n->streams_held || o->keys->session.next_counter >= SESSION_REJECT_PACKETS)
		return NULL;
	return envelope_room(n, &o->envelope, path_mtu(o->path), true);
}

/* True: there was no room for the next. */
static bool send_packets(struct node *n, ov_time now, struct peer *p, struct outlet *o)
{
	struct transport *t = p->association->streams->t;
	bool doubtful = route_second(p->association, now) != NULL;
	for (;;) {
		uint8_t *room = room_for_packet(n, o);
		size_t budget = path_budget(o->path), most = path_mtu(o->path);
		if (budget < o->bytes + LEAST_ROOM + PACKET_OVERHEAD)
			return false; /* more when the path has answered */
		if (budget - o->bytes < most)
			most = budget - o->bytes;
		if (!room)
			return transport_deadline(t, now) <= now;
		struct wr w = wr_init(room + HEADER_LEN, most - PACKET_OVERHEAD);
		enum transport_packet kind = transport_poll(t, now, &w);
		if (kind == TRANSPORT_NOTHING)
			return false;
		if (kind == TRANSPORT_NUMBERED && wr_len(&w) + PACKET_OVERHEAD > o->largest)
			o->largest = (uint16_t)(wr_len(&w) + PACKET_OVERHEAD);
		p->sent_packets++;
		n->counters.numbered += kind == TRANSPORT_NUMBERED;
		o->envelope.where.ecn = transport_marks(t) ? ECN_ECT0 : ECN_NONE;
		if (doubtful && kind == TRANSPORT_NUMBERED)
			send_twice(n, now, p, o, &w, room);
		else
			seal(n, now, o, &w, room);
	}
}

static bool flush_by(struct node *n, ov_time now, struct peer *p, struct keys *k)
{
	struct association *a = p->association;
	struct outlet o = { .keys = k, .path = a->active };
	struct dgram where = route_where(o.path);
	if (!envelope_open(n, &where, &o.envelope)) {
		path_on_sent(o.path, now, 0, 1); /* its relay is gone: silence will tell */
		return false;
	}
	bool more = send_packets(n, now, p, &o);
	if (o.bytes == 0)
		return more;
	path_on_sent(o.path, now, o.bytes, o.largest);
	p->sent_bytes += o.bytes;
	if (o.largest > 0 && o.path->carrier == CARRIER_RELAY)
		meet_on_data(n, now, p);
	if (session_wants_rekey(&k->session, now) && !a->call)
		call_start(n, now, p, false);
	return more;
}

bool streams_flush(struct node *n, ov_time now, struct peer *p)
{
	struct association *a = p->association;
	if (!a || !a->streams)
		return false;
	struct streams *s = a->streams;
	struct keys *k = keys_sending(a, now);
	bool usable = k && a->active && path_carries(a->active), more = false;
	follow_path(now, a, usable ? a->active : NULL);
	transport_tick(s->t, now); /* what comes may come faster than the node ticks */
	if (usable)
		more = flush_by(n, now, p, k);
	else if (transport_is_busy(s->t))
		call_peer(n, now, p);
	if (usable && s->was_moved)
		p->wanted_at = now;
	if (transport_has_failed(s->t))
		renew(n, now, p);
	s->was_moved = false;
	streams_tell(n, s);
	return more;
}

/* What is due could not go: its path has not answered, its relay is gone, the sockets are full.
 * Whatever changes that touches the peer. */
ov_time streams_deadline(const struct association *a, ov_time now)
{
	const struct streams *s = a->streams;
	if (!s || s->path_key == 0)
		return OV_NEVER;
	ov_time at = transport_deadline(s->t, now);
	if (transport_has_failed(s->t) && !s->renews && !a->call)
		at = ov_min(at, a->last_key_at + RENEW_EVERY);
	return at <= now ? now + LOOK_AGAIN : at;
}

void node_streams_hold(struct node *n, bool on)
{
	n->streams_held = on;
}

bool node_streams_info(
	const struct node *n, const struct peer_id *id, struct node_streams_info *out)
{
	const struct peer *p = node_peer(n, id);
	*out = (struct node_streams_info){ 0 };
	if (!p || !p->association || !p->association->streams)
		return p != NULL;
	const struct transport *t = p->association->streams->t;
	struct transport_info info = transport_info(t);
	*out = (struct node_streams_info){ .streams = transport_stream_count(t),
		.window = info.window,
		.in_flight = info.in_flight,
		.sent_packets = info.sent_packets,
		.lost_packets = info.lost_packets,
		.srtt = info.srtt };
	return true;
}
