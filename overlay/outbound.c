/* From the interface to the wire: which peer, may it go, cut, seal, into a run. Nothing is
 * allocated but a staging area when a peer has to be called first. A packet above the path's PMTU
 * travels in fragments; only when the path stayed small for 10 s the local stack is told (ICMPv6
 * Packet Too Big, RFC 4443 3.2), so that it does not shrink for a path that is about to change. */
#include "overlay/outbound.h"

#include "overlay/association.h"
#include "overlay/call.h"
#include "overlay/envelope.h"
#include "overlay/keys.h"
#include "overlay/meet.h"
#include "overlay/route.h"

#include <stdlib.h>

#define CALL_AGAIN_QUIET \
	(30 * OV_SEC) /* traffic after such a pause is a new intention: call at once */
#define SMALL_FOR     (10 * OV_SEC)
#define TOO_BIG_EVERY OV_SEC
#define IPV6_MIN_MTU  1280
#define QUOTE_MAX     (IPV6_MIN_MTU - 48)

struct lane { /* where the segments of one packet go */
	ov_time now;
	struct keys *keys;
	struct path *path;
	struct envelope envelope;
	bool open; /* false: its relay is gone */
	size_t bytes, packets;
	uint16_t largest;
};

static struct lane lane_open(const struct node *n, ov_time now, struct keys *k, struct path *path)
{
	struct lane l = { .now = now, .keys = k, .path = path };
	struct dgram where = route_where(path);
	l.open = envelope_open(n, &where, &l.envelope);
	return l;
}

static enum drop seal_one(struct node *n, struct lane *l, enum packet_type type,
	const uint8_t *plain, size_t len, bool partial)
{
	uint8_t *room =
		l->open ? envelope_room(n, &l->envelope, len + PACKET_OVERHEAD, true) : NULL;
	if (!room || l->keys->session.next_counter >= SESSION_REJECT_PACKETS)
		return DROP_CONGESTION;
	size_t sealed = session_seal(
		&l->keys->session, type, partial ? PACKET_FLAG_PARTIAL : 0, plain, len, room);
	envelope_add(n, l->now, &l->envelope, l->path, sealed);
	l->bytes += sealed;
	l->packets++;
	if (sealed > l->largest)
		l->largest = (uint16_t)sealed;
	return DROP_NONE;
}

static enum drop seal_fragments(struct node *n, struct association *a, struct lane *l,
	const uint8_t *packet, size_t len, bool partial)
{
	uint8_t plain[PMTU_MAX];
	size_t count = fragment_count(len, (size_t)path_mtu(l->path) - PACKET_OVERHEAD);
	uint32_t id = a->next_fragment_id++;
	if (count == 0)
		return DROP_OVERSIZED;
	for (size_t i = 0; i < count; i++) {
		size_t part = fragment_encode(plain, id, (uint8_t)i, (uint8_t)count, packet, len);
		enum drop why = seal_one(n, l, PACKET_IP_FRAGMENT, plain, part, partial);
		if (why != DROP_NONE)
			return why;
	}
	return DROP_NONE;
}

static void send_segment(struct node *n, struct association *a, struct lane *l,
	const uint8_t *packet, size_t len, bool partial)
{
	bool fits = len + PACKET_OVERHEAD <= path_mtu(l->path);
	enum drop why = fits ? seal_one(n, l, PACKET_IP, packet, len, partial)
			     : seal_fragments(n, a, l, packet, len, partial);
	if (why != DROP_NONE)
		node_drop(n, why);
}

static void lane_close(struct node *n, ov_time now, struct peer *p, struct lane *l)
{
	if (!l->open)
		path_on_sent(l->path, now, 0, 1); /* lost: silence makes the path doubtful */
	if (l->packets == 0)
		return;
	path_on_sent(l->path, now, l->bytes, l->largest);
	p->sent_bytes += l->bytes;
	p->sent_packets += l->packets;
	n->counters.packets_out += l->packets;
}

/* Tells the local stack which size passes. The error seems to come from the peer the packet was
 * meant for. */
static void tell_too_big(struct node *n, ov_time now, struct association *a,
	const struct path *path, const uint8_t *packet, size_t len)
{
	if (path->pmtu.small_since == OV_NEVER || now - path->pmtu.small_since < SMALL_FOR)
		return;
	if (a->too_big_at != 0 && now - a->too_big_at < TOO_BIG_EVERY)
		return;
	size_t quote = len < QUOTE_MAX ? len : QUOTE_MAX, total = 48 + quote;
	uint8_t *out = node_scratch(n, total);
	if (!out)
		return;
	uint32_t mtu = path_mtu(path) - PACKET_OVERHEAD;
	memset(out, 0, 48);
	out[0] = 0x60;
	store_be16(out + 4, (uint16_t)(8 + quote));
	out[6] = 58;
	out[7] = 64;
	memcpy(out + 8, packet + 24, 16);
	memcpy(out + 24, packet + 8, 16);
	out[40] = 2; /* Packet Too Big */
	store_be32(out + 44, mtu < IPV6_MIN_MTU ? IPV6_MIN_MTU : mtu);
	memcpy(out + 48, packet, quote);
	uint32_t sum = checksum_add(checksum_pseudo(out, 58, 8 + quote), out + 40, 8 + quote);
	store_be16(out + 42, checksum_fold(sum));
	a->too_big_at = now;
	node_deliver(n, out, total, false);
}

static void stage(
	struct node *n, struct association *a, const uint8_t *packet, size_t len, bool partial)
{
	if (!a->staging)
		a->staging = calloc(1, sizeof(*a->staging));
	struct staging *s = a->staging;
	if (!s || s->count == STAGED_MAX || s->used + len > STAGED_BYTES) {
		node_drop(n, DROP_AWAY);
		return;
	}
	memcpy(s->bytes + s->used, packet, len);
	s->packets[s->count++] = (struct staged){ .len = (uint16_t)len, .partial = partial };
	s->used += len;
}

static void stage_packet(struct node *n, struct association *a, const struct ip_packet *packet)
{
	struct split s;
	uint8_t *segment;
	size_t len;
	bool partial;
	if (!split_init(&s, packet)) {
		node_drop(n, DROP_INNER);
		return;
	}
	while (split_next(&s, &segment, &len, &partial))
		stage(n, a, segment, len, partial);
}

/* At most: cut into segments or fragments of 500 bytes or more, each with header, tag and part. */
static size_t sealed_size(size_t len)
{
	return len + len / 8 + 2 * PACKET_OVERHEAD;
}

/* Data may use the active path: validated, or small enough for the 3x budget. */
static bool path_takes(const struct path *path, size_t len)
{
	return path && path_may_carry_data(path) && path_budget(path) >= sealed_size(len);
}

void outbound_flush_staged(struct node *n, ov_time now, struct peer *p)
{
	struct association *a = p->association;
	struct staging *s = a->staging;
	struct keys *k = keys_sending(a, now);
	if (!s || !k || !path_takes(a->active, s->packets[0].len))
		return;
	struct lane l = lane_open(n, now, k, a->active);
	size_t at = 0, i = 0;
	for (; i < s->count && path_budget(a->active) >= l.bytes + sealed_size(s->packets[i].len);
		i++) {
		uint8_t prefix[8]; /* its flow begins now, not when it began to wait */
		(void)filter_outbound(n->filter, now, s->bytes + at, s->packets[i].len, prefix);
		send_segment(n, a, &l, s->bytes + at, s->packets[i].len, s->packets[i].partial);
		at += s->packets[i].len;
	}
	lane_close(n, now, p, &l);
	peer_touch(n, p);
	if (i == s->count) {
		free(s);
		a->staging = NULL;
		return;
	}
	memmove(s->bytes, s->bytes + at, s->used - at);
	memmove(s->packets, s->packets + i, (s->count - i) * sizeof(s->packets[0]));
	s->used -= at;
	s->count -= i;
}

void outbound_drop_staged(struct node *n, struct peer *p)
{
	struct association *a = p->association;
	if (!a->staging)
		return;
	for (size_t i = 0; i < a->staging->count; i++)
		node_drop(n, DROP_AWAY);
	free(a->staging);
	a->staging = NULL;
}

/* No session, or no path that may carry it yet. */
static void wait_for_peer(struct node *n, ov_time now, struct peer *p, ov_time wanted_before,
	const struct ip_packet *packet)
{
	bool fresh = wanted_before == OV_NEVER || now - wanted_before >= CALL_AGAIN_QUIET;
	if (!association_open(n, now, p)) {
		node_drop(n, DROP_FULL);
		return;
	}
	if (!association_reaches(p->association, now) && (!p->away || fresh))
		call_start(n, now, p, false);
	if (p->association->call || association_reaches(p->association, now))
		stage_packet(n, p->association, packet);
	else
		node_drop(n, DROP_AWAY);
	peer_touch(n, p);
}

static void send_packet(
	struct node *n, ov_time now, struct peer *p, struct keys *k, const struct ip_packet *packet)
{
	struct association *a = p->association;
	struct split s;
	if (!split_init(&s, packet)) {
		node_drop(n, DROP_INNER);
		return;
	}
	struct path *second = route_second(a, now);
	struct lane first = lane_open(n, now, k, a->active), copy = { 0 };
	if (second)
		copy = lane_open(n, now, k, second);
	uint8_t *segment;
	size_t len;
	bool partial;
	while (split_next(&s, &segment, &len, &partial)) {
		if (len + PACKET_OVERHEAD > path_mtu(a->active))
			tell_too_big(n, now, a, a->active, segment, len);
		send_segment(n, a, &first, segment, len, partial);
		if (second && len <= a->duplicate_bytes) {
			a->duplicate_bytes -= len;
			send_segment(n, a, &copy, segment, len, partial);
		}
	}
	lane_close(n, now, p, &first);
	if (a->active->carrier == CARRIER_RELAY)
		meet_on_data(n, now, p);
	peer_touch_path(n, p, a->active);
	if (second) {
		lane_close(n, now, p, &copy);
		peer_touch_path(n, p, second);
	}
	if (session_wants_rekey(&k->session, now) && !a->call)
		call_start(n, now, p, false);
}

static void submit_one(struct node *n, ov_time now, const struct ip_packet *packet)
{
	uint8_t prefix[8];
	enum drop why = filter_outbound(n->filter, now, packet->data, packet->len, prefix);
	if (why != DROP_NONE) {
		node_drop(n, why);
		return;
	}
	struct peer *p = table_find(n->by_prefix, load_le64(prefix));
	if (!p) {
		node_drop(n, DROP_NO_PEER);
		return;
	}
	ov_time wanted_before = p->wanted_at;
	p->wanted_at = now;
	struct keys *k = keys_sending(p->association, now);
	if (k && !p->association->staging && path_takes(p->association->active, packet->len))
		send_packet(n, now, p, k, packet);
	else
		wait_for_peer(n, now, p, wanted_before, packet);
}

size_t outbound_submit(struct node *n, ov_time now, const struct ip_packet *packets, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		size_t sealed = packets[i].len + packets[i].len / 2 + 4096;
		if (!output_has_room(&n->output, sealed))
			return i;
		submit_one(n, now, &packets[i]);
	}
	return count;
}
