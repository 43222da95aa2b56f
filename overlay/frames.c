/* CONTROL packets: frames about paths, in and out. One plaintext per packet; padding makes a PMTU
 * probe as long as it must be. */
#include "overlay/frames.h"

#include "overlay/call.h"
#include "overlay/channel.h"
#include "overlay/envelope.h"
#include "overlay/facilitator.h"
#include "overlay/forward.h"
#include "overlay/keys.h"
#include "overlay/link.h"
#include "overlay/meet.h"
#include "overlay/netcheck.h"
#include "overlay/offer.h"
#include "overlay/ping.h"
#include "overlay/presence.h"
#include "overlay/probing.h"
#include "overlay/registration.h"
#include "overlay/route.h"
#include "overlay/streams.h"
#include "overlay/watch.h"

#define CONTROL_PLAIN_MAX (PMTU_MAX - PACKET_OVERHEAD)
/* Each costs a question, a line of the log, and a request to the router: 30 at once, 6 a minute. */
#define MOVE_COST   10
#define MOVES_BURST (30 * MOVE_COST)

/* An answer validates the path its question went out on, whichever way it came back (RFC 9000
 * 8.2.3). */
static struct path *path_asked(const struct association *a, const struct path_response *r)
{
	for (size_t i = 0; i < a->path_count; i++)
		if (path_has_asked(a->paths[i], r->token))
			return a->paths[i];
	return NULL;
}

static enum drop on_response(struct node *n, ov_time now, struct peer *p, const struct arrival *at,
	const struct path_response *r)
{
	ov_time rtt;
	struct path *path = path_asked(p->association, r);
	if (!path)
		return DROP_TOKEN;
	if (route_is_same_way(path, at->path) && path != p->association->active) {
		route_remove(n, p, path); /* it was no other than that one, which lives */
		path_ask(at->path, now);
		return DROP_NONE;
	}
	if (path != at->path) /* behind two NATs that map by destination each answer comes from a
				 new port: asking there too would never end */
		path_withdraw(at->path);
	bool was_doubtful = path == p->association->active && path->state == PATH_SUSPECT;
	bool moved = !addr_equal(&path->observed, &r->observed) &&
		     limit_take(&p->moves, now, 1, MOVES_BURST, MOVE_COST);
	bool rebound = moved && path->carrier == CARRIER_UDP && !addr_is_any(&path->observed);
	enum path_answer answer = path_on_response(path, now, r, at->waited, &rtt);
	/* Two peers may see us at two addresses: only a change on one path is news. */
	if (moved && path->carrier == CARRIER_UDP && !addr_is_any(&r->observed) &&
		!addr_equal(&n->observed, &r->observed)) {
		if (route_is_from_own(n, path))
			n->observed = r->observed;
		if (p->registration)
			meet_moved(n, now);
		node_emit(n, &(struct node_event){ .type = NODE_ADDRESS_CHANGED,
				     .peer = p->contact.id,
				     .addr = r->observed });
	}
	if (path == p->association->active)
		path_keep_warm(path, now, route_keepalive(n, p, path));
	if (rebound && path == p->association->active) { /* our NAT gave it another port: an idle
							    peer would send to the old one */
		path->moved = p->association->moved = true;
		path_challenge(path, now);
	}
	netcheck_on_observed(n, now, p, path);
	ping_on_response(n, p, path, rtt);
	streams_path_answers(n, now, p, path, rtt);
	route_on_answer(n, now, p, path, answer == PATH_ANSWER_VALIDATED);
	if (was_doubtful && p->association->call && keys_sending(p->association, now))
		call_end(n, p); /* it was only a gap */
	return DROP_NONE;
}

static void on_challenge(struct node *n, ov_time now, struct peer *p, const struct arrival *at,
	const struct path_challenge *c, size_t datagram_size)
{
	path_on_challenge(at->path, now, c, datagram_size, at->waited);
	if ((c->flags & PATH_CHALLENGE_MOVED) && at->leads)
		route_on_peer_data(n, now, p, at->path); /* it sends there, or will */
}

/* A client asks where its data goes; it has no other by which its moves would show. */
static void on_request(struct node *n, ov_time now, struct peer *p, const struct arrival *at)
{
	if (p->client && at->leads && at->path != p->association->active)
		route_on_peer_data(n, now, p, at->path);
}

/* size: of the datagram */
static enum drop take_frame(struct node *n, ov_time now, struct peer *p, const struct arrival *at,
	const struct frame *f, size_t size)
{
	enum drop one = DROP_NONE;
	switch ((enum frame_type)f->type) {
	case FRAME_PADDING: break;
	case FRAME_PATH_CHALLENGE: on_challenge(n, now, p, at, &f->as.challenge, size); break;
	case FRAME_PATH_RESPONSE: one = on_response(n, now, p, at, &f->as.response); break;
	case FRAME_PATH_STATUS: route_on_status(n, now, p, at->path, f->as.status.sequence); break;
	case FRAME_ENDPOINTS: one = meet_on_endpoints(n, now, p, &f->as.endpoints); break;
	case FRAME_TCP_ENDPOINTS: one = meet_on_tcp_endpoints(n, now, p, &f->as.endpoints); break;
	case FRAME_PUNCH: one = meet_on_punch(n, now, p, &f->as.punch); break;
	case FRAME_RELAY_OPEN:
		on_request(n, now, p, at);
		one = forward_on_open(n, now, p, &f->as.relay_open);
		break;
	case FRAME_RELAY_OK: one = link_on_ok(n, now, p, &f->as.relay_ok); break;
	case FRAME_RELAY_NO: one = link_on_no(n, now, p, &f->as.relay_no); break;
	case FRAME_RELAY_IN: one = link_on_in(n, now, p, &f->as.relay_in); break;
	case FRAME_RELAY_CLOSE: one = channel_on_close(n, now, p, &f->as.relay_close); break;
	case FRAME_RELAY_OFFER: one = offer_on_frame(n, now, p, &f->as.relay_offer); break;
	case FRAME_REGISTER:
		on_request(n, now, p, at);
		one = facilitator_on_register(n, now, p, &f->as.reg);
		break;
	case FRAME_FILTER_TEST:
		one = facilitator_on_filter_test(n, now, p, at->path, &f->as.filter_test);
		break;
	case FRAME_FILTER_ANSWER:
		one = netcheck_on_answer(n, now, p, at->path, &f->as.filter_test);
		break;
	case FRAME_LIFETIME_TEST:
		one = facilitator_on_lifetime_test(n, now, p, at->path, &f->as.lifetime_test);
		break;
	case FRAME_LIFETIME_ANSWER:
		one = probing_on_answer(n, now, p, at->path, &f->as.lifetime_answer);
		break;
	case FRAME_WATCH:
		on_request(n, now, p, at);
		one = presence_on_watch(n, now, p, &f->as.reg);
		break;
	case FRAME_PRESENCE: one = watch_on_presence(n, now, p, &f->as.presence); break;
	case FRAME_PRESENCE_SEEN: one = presence_on_seen(n, now, p, &f->as.presence_seen); break;
	case FRAME_NUMBER: /* frames_input has seen to them */
	case FRAME_ACK:
	case FRAME_STREAM:
	case FRAME_RESET_STREAM:
	case FRAME_STOP_SENDING:
	case FRAME_MAX_DATA:
	case FRAME_MAX_STREAM_DATA:
	case FRAME_MAX_STREAMS: break;
	case FRAME_REGISTERED: one = registration_on_answer(n, now, p, &f->as.registered); break;
	}
	return one;
}

static bool is_reliable(uint8_t type)
{
	return type >= FRAME_NUMBER && type <= FRAME_MAX_STREAMS;
}

enum drop frames_input(struct node *n, ov_time now, struct peer *p, const struct arrival *at,
	const uint8_t *plain, size_t len)
{
	struct rd r = rd_init(plain, len);
	struct frame f __attribute__((uninitialized)); /* as in frame_next: large, and set there */
	struct reliable packet = { .has_number = false };
	bool of_streams = len > 0;
	int more;
	while ((more = frame_next(&r, &f)) == 1) {
		bool reliable = is_reliable(f.type);
		enum drop one = reliable ? streams_on_frame(n, now, p, at, &f, &packet)
					 : take_frame(n, now, p, at, &f, len + PACKET_OVERHEAD);
		of_streams &= reliable;
		if (one != DROP_NONE) /* it does not spoil its neighbours */
			(void)node_drop(n, one);
	}
	packet.was_refused |= more < 0;
	streams_on_packet(n, now, p, at, &packet);
	if (!of_streams)
		frames_flush(n, now, p);
	if (more == OV_ENOENT)
		return DROP_FRAME;
	return more < 0 ? DROP_FORMAT : DROP_NONE;
}

/* wants_answer: silence after it makes the path doubtful, as after data. */
static bool seal_control(struct node *n, ov_time now, struct peer *p, struct path *path,
	const struct wr *frames, bool wants_answer)
{
	struct keys *k = keys_sending(p->association, now);
	size_t len = wr_len(frames) + PACKET_OVERHEAD;
	struct dgram where = route_where(path);
	struct envelope e;
	uint8_t *room = envelope_open(n, &where, &e) ? envelope_room(n, &e, len, false) : NULL;
	if (!k || !room || k->session.next_counter >= SESSION_REJECT_PACKETS)
		return false; /* asked again by whoever's timer */
	session_seal(&k->session, PACKET_CONTROL, 0, frames->start, wr_len(frames), room);
	envelope_add(n, now, &e, NULL, len);
	path_on_sent(path, now, len, wants_answer ? 1 : 0);
	p->sent_bytes += len;
	p->sent_packets++;
	return true;
}

static bool send_control(struct node *n, ov_time now, struct peer *p, struct path *path)
{
	uint8_t plain[CONTROL_PLAIN_MAX];
	struct wr w = wr_init(plain, sizeof(plain));
	uint16_t pad_to;
	if (!path_poll(path, now, &n->rng, &w, &pad_to))
		return false;
	if (pad_to > PACKET_OVERHEAD + wr_len(&w))
		frame_put_padding(&w, pad_to - PACKET_OVERHEAD - wr_len(&w));
	assert(wr_ok(&w));
	return seal_control(n, now, p, path, &w, false);
}

bool frames_send(
	struct node *n, ov_time now, struct peer *p, const struct wr *frames, bool wants_answer)
{
	struct keys *k = keys_sending(p->association, now);
	struct path *path = k ? p->association->active : NULL;
	if (!path || !path->validated || !wr_ok(frames))
		return false;
	if (!seal_control(n, now, p, path, frames, wants_answer))
		return false;
	if (session_wants_rekey(&k->session, now) && !p->association->call)
		call_start(n, now, p, false); /* these put off the keepalives that would */
	peer_touch(n, p);
	return true;
}

bool frames_send_to(struct node *n, ov_time now, struct peer *p, const struct wr *frames,
	const struct dgram *where)
{
	struct keys *k = keys_sending(p->association, now);
	size_t len = wr_len(frames) + PACKET_OVERHEAD;
	if (!k || k->session.next_counter >= SESSION_REJECT_PACKETS || !wr_ok(frames))
		return false;
	uint8_t *room = output_room(&n->output, len, false);
	if (!room)
		return false;
	session_seal(&k->session, PACKET_CONTROL, 0, frames->start, wr_len(frames), room);
	output_add(&n->output, where, NULL, len);
	return true;
}

static bool wants_to_speak(const struct association *a, ov_time now)
{
	for (size_t i = 0; i < a->path_count; i++)
		if (path_deadline(a->paths[i]) <= now)
			return true;
	return false;
}

void frames_flush(struct node *n, ov_time now, struct peer *p)
{
	struct association *a = p->association;
	if (!a || !wants_to_speak(a, now))
		return;
	struct keys *k = keys_sending(a, now);
	if (!k) {
		if (!a->call && !p->away) /* away: by its schedule */
			call_start(n, now, p, false);
		return;
	}
	bool sent = false;
	for (size_t i = 0; i < a->path_count; i++)
		for (unsigned packets = 0; packets < 4 && send_control(n, now, p, a->paths[i]);
			packets++)
			sent = true;
	if (sent && session_wants_rekey(&k->session, now) && !a->call)
		call_start(n, now, p, false);
}
