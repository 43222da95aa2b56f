/* Generic receive offload for the TUN, the shape of Linux tcp_gro_receive and udp_gro_receive.
 *
 * A flow is open while the next packet may still join it: same addresses, ports and header fields,
 * the TCP sequence contiguous, acknowledgement and options equal, flags ACK (PSH on the last),
 * every payload but the last of one size. It becomes ready as soon as nothing can join it any more
 * (short or PSH segment, full), when a packet of the same flow arrives that does not fit, or at the
 * flush. So order within a flow is kept, and whatever cannot be merged overtakes only other flows.
 *
 * A merged packet leaves its checksum to the kernel (partial), which would repair a wrong one. A
 * segment with a complete checksum is therefore verified before it may merge, as GRO does; a wrong
 * one goes to the kernel alone and is dropped there. */
#include "overlay/coalesce.h"

#include "core/bytes.h"

#include <stdlib.h>

enum { PROTO_TCP = 6, PROTO_UDP = 17 };
enum { TCP_ACK = 0x10, TCP_PSH = 0x08 };
enum { SEQ = 4, ACK = 8, OFF = 12, FLAGS = 13, WINDOW = 14, URGENT = 18, OPTIONS = 20 };

/* Open flows, two that one add makes ready, and the one that was taken last. */
#define SLOTS (COALESCE_FLOWS + 3)

struct flow {
	struct super_packet packet;
	uint32_t tag; /* of addresses and ports: most packets of other flows differ here already */
	uint32_t next_seq;
	uint16_t header_len, transport;
	uint8_t protocol;
};

struct coalesce {
	bool udp;
	uint8_t open_count, free_count, ready_count, ready_first;
	uint8_t open[COALESCE_FLOWS]; /* oldest first */
	uint8_t free[SLOTS];
	uint8_t ready[SLOTS]; /* ring */
	int taken;            /* slot that the caller looks at, or -1 */
	struct flow slots[SLOTS];
};

/* What an arriving packet is. */
struct candidate {
	const struct ip_packet *ip;
	uint32_t tag;
	uint16_t transport, header_len, payload;
	uint8_t protocol;
	bool known;     /* TCP or UDP with plain headers: it belongs to a flow */
	bool mergeable; /* and may share a super packet */
	bool last;      /* nothing may follow it */
};

struct coalesce *coalesce_new(bool udp)
{
	struct coalesce *c = calloc(1, sizeof(*c));
	if (!c)
		return NULL;
	c->udp = udp;
	c->taken = -1;
	for (uint8_t i = 0; i < SLOTS; i++)
		c->free[c->free_count++] = i;
	return c;
}

void coalesce_free(struct coalesce *c)
{
	free(c);
}

/* ---- classify ---- */

static bool checksum_valid(const struct candidate *k)
{
	const uint8_t *p = k->ip->data;
	size_t len = k->ip->len - k->transport;
	if (k->protocol == PROTO_UDP && load_be16(p + k->transport + 6) == 0)
		return false;
	return checksum_fold(checksum_add(
		       checksum_pseudo(p, k->protocol, len), p + k->transport, len)) == 0;
}

static bool partial_of_transport(const struct candidate *k)
{
	uint16_t offset = k->protocol == PROTO_TCP ? 16 : 6;
	return k->ip->csum_start == k->transport && k->ip->csum_offset == offset;
}

static void classify_tcp(struct candidate *k)
{
	const uint8_t *tcp = k->ip->data + k->transport;
	size_t left = k->ip->len - k->transport;
	size_t header = left < 20 ? 0 : (size_t)(tcp[OFF] >> 4) * 4;
	if (header < 20 || header > left)
		return;
	k->known = true;
	k->header_len = (uint16_t)(k->transport + header);
	k->payload = (uint16_t)(left - header);
	k->mergeable = k->payload > 0 && (tcp[OFF] & 15) == 0 && (tcp[FLAGS] & ~TCP_PSH) == TCP_ACK;
	k->last = tcp[FLAGS] & TCP_PSH;
}

static void classify_udp(struct candidate *k)
{
	const uint8_t *udp = k->ip->data + k->transport;
	size_t left = k->ip->len - k->transport;
	if (left < 8 || load_be16(udp + 4) != left)
		return;
	k->known = true;
	k->header_len = (uint16_t)(k->transport + 8);
	k->payload = (uint16_t)(left - 8);
	k->mergeable = k->payload > 0;
}

/* Only what a super packet can say again: no IPv4 options, no fragments, no extension headers. */
static bool classify_ip(struct candidate *k)
{
	const uint8_t *p = k->ip->data;
	size_t len = k->ip->len;
	if (len >= 40 && p[0] >> 4 == 6 && load_be16(p + 4) == len - 40) {
		k->transport = 40;
		k->protocol = p[6];
		k->tag = load_be32(p + 20) ^ load_be32(p + 36) * 3;
		return true;
	}
	if (len < 20 || p[0] != 0x45 || load_be16(p + 2) != len || load_be16(p + 6) & 0xbfff)
		return false;
	k->transport = 20;
	k->protocol = p[9];
	k->tag = load_be32(p + 12) ^ load_be32(p + 16) * 3;
	return checksum_fold(checksum_add(0, p, 20)) == 0; /* merging would repair it */
}

static struct candidate classify(const struct coalesce *c, const struct ip_packet *p)
{
	struct candidate k = { .ip = p };
	if (p->gso != GSO_NONE || !classify_ip(&k))
		return k;
	if (k.protocol == PROTO_TCP)
		classify_tcp(&k);
	else if (k.protocol == PROTO_UDP && c->udp)
		classify_udp(&k);
	if (!k.known)
		return k;
	k.tag ^= load_be32(p->data + k.transport) * 5;
	if (k.mergeable)
		k.mergeable = p->partial ? partial_of_transport(&k) : checksum_valid(&k);
	return k;
}

/* ---- slots ---- */

static uint8_t slot_take(struct coalesce *c)
{
	assert(c->free_count > 0); /* coalesce_take after each add keeps one free */
	return c->free[--c->free_count];
}

static void make_ready(struct coalesce *c, uint8_t slot)
{
	c->ready[(c->ready_first + c->ready_count++) % SLOTS] = slot;
}

/* Two packets that merged look as one sender's super packet: lengths, pseudo header's sum. */
static void finish(struct flow *f)
{
	struct ip_packet *m = &f->packet.meta;
	if (f->packet.slice_count == 1) {
		m->segment = 0;
		return;
	}
	uint8_t *p = m->data;
	size_t transport_len = m->len - f->transport;
	if (f->transport == 40) {
		store_be16(p + 4, (uint16_t)transport_len);
	} else {
		store_be16(p + 2, (uint16_t)m->len);
		store_be16(p + 10, 0);
		store_be16(p + 10, checksum_fold(checksum_add(0, p, 20)));
	}
	m->gso = GSO_UDP;
	if (f->protocol == PROTO_TCP)
		m->gso = f->transport == 40 ? GSO_TCPV6 : GSO_TCPV4;
	else
		store_be16(p + f->transport + 4, (uint16_t)transport_len);
	m->partial = true;
	m->csum_start = f->transport;
	m->csum_offset = f->protocol == PROTO_TCP ? 16 : 6;
	store_be16(p + f->transport + m->csum_offset,
		(uint16_t)~checksum_fold(checksum_pseudo(p, f->protocol, transport_len)));
}

static void close_open(struct coalesce *c, size_t i)
{
	uint8_t slot = c->open[i];
	c->open_count--;
	memmove(c->open + i, c->open + i + 1, c->open_count - i);
	finish(&c->slots[slot]);
	make_ready(c, slot);
}

static bool same_flow(const struct flow *f, const struct candidate *k)
{
	if (f->tag != k->tag || f->protocol != k->protocol || f->transport != k->transport)
		return false;
	size_t from = k->transport == 40 ? 8 : 12; /* source, destination, ports */
	return memcmp(f->packet.meta.data + from, k->ip->data + from, k->transport + 4 - from) == 0;
}

/* ---- merge ---- */

static bool same_ip_header(const struct flow *f, const uint8_t *p)
{
	const uint8_t *q = f->packet.meta.data;
	if (f->transport == 40) /* traffic class, flow label, hop limit */
		return memcmp(p, q, 4) == 0 && p[7] == q[7];
	uint16_t expected = (uint16_t)(load_be16(q + 4) + f->packet.slice_count);
	return p[1] == q[1] && p[8] == q[8] && load_be16(p + 6) == load_be16(q + 6) &&
	       load_be16(p + 4) == expected;
}

static bool same_tcp_header(const struct flow *f, const struct candidate *k)
{
	const uint8_t *p = k->ip->data + k->transport, *q = f->packet.meta.data + f->transport;
	if (k->header_len != f->header_len || load_be32(p + SEQ) != f->next_seq)
		return false;
	return memcmp(p + ACK, q + ACK, 4) == 0 && memcmp(p + WINDOW, q + WINDOW, 2) == 0 &&
	       memcmp(p + URGENT, q + URGENT, 2) == 0 &&
	       memcmp(p + OPTIONS, q + OPTIONS, (size_t)(k->header_len - k->transport - OPTIONS)) ==
		       0;
}

static bool fits(const struct flow *f, const struct candidate *k)
{
	const struct ip_packet *m = &f->packet.meta;
	if (!k->mergeable || k->payload > m->segment || m->len + k->payload >= UINT16_MAX)
		return false;
	return same_ip_header(f, k->ip->data) &&
	       (k->protocol == PROTO_UDP || same_tcp_header(f, k));
}

/* True: the flow is complete. */
static bool append(struct flow *f, const struct candidate *k)
{
	struct super_packet *s = &f->packet;
	s->slices[s->slice_count++] = (struct slice){ k->ip->data + k->header_len, k->payload };
	s->meta.len += k->payload;
	f->next_seq += k->payload;
	if (k->last)
		s->meta.data[f->transport + FLAGS] |= TCP_PSH;
	return k->last || k->payload < s->meta.segment || s->slice_count == COALESCE_SEGMENTS;
}

static void start(struct coalesce *c, const struct candidate *k)
{
	bool waits = k->mergeable && !k->last;
	if (waits && c->open_count == COALESCE_FLOWS)
		close_open(c, 0);
	uint8_t slot = slot_take(c);
	struct flow *f = &c->slots[slot];
	f->packet.meta = *k->ip;
	f->packet.slices[0] = (struct slice){ k->ip->data, k->ip->len };
	f->packet.slice_count = 1;
	if (!waits) {
		make_ready(c, slot);
		return;
	}
	f->packet.meta.segment = k->payload;
	f->tag = k->tag;
	f->protocol = k->protocol;
	f->transport = k->transport;
	f->header_len = k->header_len;
	if (k->protocol == PROTO_TCP)
		f->next_seq = load_be32(k->ip->data + k->transport + SEQ) + k->payload;
	c->open[c->open_count++] = slot;
}

static void release_taken(struct coalesce *c)
{
	if (c->taken < 0)
		return;
	c->free[c->free_count++] = (uint8_t)c->taken;
	c->taken = -1;
}

void coalesce_add(struct coalesce *c, const struct ip_packet *p)
{
	release_taken(c);
	struct candidate k = classify(c, p);
	for (size_t i = c->open_count; k.known && i-- > 0;) { /* newest first */
		struct flow *f = &c->slots[c->open[i]];
		if (!same_flow(f, &k))
			continue;
		if (fits(f, &k)) {
			if (append(f, &k))
				close_open(c, i);
			return;
		}
		close_open(c, i);
		break;
	}
	start(c, &k);
}

void coalesce_flush(struct coalesce *c)
{
	release_taken(c);
	while (c->open_count)
		close_open(c, 0);
}

const struct super_packet *coalesce_take(struct coalesce *c)
{
	release_taken(c);
	if (c->ready_count == 0)
		return NULL;
	uint8_t slot = c->ready[c->ready_first];
	c->ready_first = (uint8_t)((c->ready_first + 1) % SLOTS);
	c->ready_count--;
	c->taken = slot;
	return &c->slots[slot].packet;
}
