/* What a NIC with segmentation offload would do to a super packet of the TUN.
 *
 * Where the transport header is: IPv4 with any options but no fragment; IPv6 with hop-by-hop and
 * destination options only. A routing header changes the destination that the pseudo header counts
 * (RFC 8200 8.1), so such a packet has no transport for us: its checksum is completed at the sender
 * and it is never marked partial. Sender and receiver use the same rule, hence agree.
 *
 * Splitting in place: segment k needs its header directly before payload byte k * segment. The
 * bytes there belong to segments that were handed out before, so the saved header is written over
 * them. The same rules as Linux tcp_gso_segment and __udp_gso_segment: sequence numbers run on, FIN
 * and PSH only on the last segment, CWR only on the first (RFC 3168 6.1.2), the IPv4 id counts up.
 */
#include "overlay/offload.h"

#include "core/bytes.h"

enum { PROTO_HOP_BY_HOP = 0, PROTO_TCP = 6, PROTO_UDP = 17, PROTO_DSTOPTS = 60 };
enum { TCP_FIN = 0x01, TCP_PSH = 0x08, TCP_CWR = 0x80 };
enum { TCP_SEQ = 4, TCP_OFF = 12, TCP_FLAGS = 13, TCP_SUM = 16, UDP_LEN = 4, UDP_SUM = 6 };
enum { IP4_LEN = 2, IP4_ID = 4, IP4_FRAG = 6, IP4_PROTO = 9, IP4_SUM = 10, IP6_LEN = 4 };
#define EXTENSIONS_MAX 4

struct transport {
	uint8_t protocol; /* PROTO_TCP or PROTO_UDP */
	uint16_t start, payload;
};

uint32_t checksum_add(uint32_t sum, const uint8_t *data, size_t len)
{
	uint64_t acc[4] = { 0 }; /* RFC 1071 2: any word size and byte order sums alike */
	for (; len >= 16; data += 16, len -= 16) {
		uint32_t w[4];
		memcpy(w, data, sizeof(w));
		for (size_t i = 0; i < 4; i++)
			acc[i] += w[i];
	}
	uint64_t all = acc[0] + acc[1] + acc[2] + acc[3];
	for (; len >= 2; data += 2, len -= 2) {
		uint16_t w;
		memcpy(&w, data, sizeof(w));
		all += w;
	}
	if (len) {
		uint8_t padded[2] = { data[0], 0 };
		uint16_t w;
		memcpy(&w, padded, sizeof(w));
		all += w;
	}
	while (all >> 16)
		all = (all & 0xffff) + (all >> 16);
	uint16_t native = (uint16_t)all;
	uint8_t wire[2];
	memcpy(wire, &native, sizeof(wire));
	return sum + load_be16(wire);
}

uint16_t checksum_fold(uint32_t sum)
{
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

uint32_t checksum_pseudo(const uint8_t *ip_packet, uint8_t protocol, size_t transport_len)
{
	uint32_t sum = protocol + (uint32_t)(transport_len >> 16 & 0xffff) +
		       (uint32_t)(transport_len & 0xffff);
	if (ip_packet[0] >> 4 == 4)
		return checksum_add(sum, ip_packet + 12, 8);
	return checksum_add(sum, ip_packet + 8, 32);
}

static uint16_t checksum_offset(uint8_t protocol)
{
	return protocol == PROTO_TCP ? TCP_SUM : UDP_SUM;
}

/* The field holds the sum of the pseudo header, not its complement. */
static uint16_t pseudo_field(const uint8_t *ip, uint8_t protocol, size_t transport_len)
{
	return (uint16_t)~checksum_fold(checksum_pseudo(ip, protocol, transport_len));
}

static bool find_ip4(const uint8_t *p, size_t len, struct transport *t)
{
	size_t header = (size_t)(p[0] & 15) * 4;
	if (header < 20 || header > len || load_be16(p + IP4_LEN) != len)
		return false;
	if (load_be16(p + IP4_FRAG) & 0x3fff) /* more fragments, or not the first */
		return false;
	t->protocol = p[IP4_PROTO];
	t->start = (uint16_t)header;
	return true;
}

static bool find_ip6(const uint8_t *p, size_t len, struct transport *t)
{
	if (len < 40 || load_be16(p + IP6_LEN) != len - 40)
		return false;
	size_t at = 40;
	t->protocol = p[6];
	for (int i = 0; t->protocol == PROTO_HOP_BY_HOP || t->protocol == PROTO_DSTOPTS; i++) {
		if (i == EXTENSIONS_MAX || at + 8 > len)
			return false;
		t->protocol = p[at];
		at += (size_t)(p[at + 1] + 1) * 8;
	}
	if (at > len)
		return false;
	t->start = (uint16_t)at;
	return true;
}

/* TCP or UDP whose lengths agree with the packet's. */
static bool find_transport(const uint8_t *p, size_t len, struct transport *t)
{
	if (len < 20 || len > UINT16_MAX + 40)
		return false;
	if (!(p[0] >> 4 == 4 ? find_ip4(p, len, t) : p[0] >> 4 == 6 && find_ip6(p, len, t)))
		return false;
	const uint8_t *h = p + t->start;
	size_t left = len - t->start, header = 8;
	if (t->protocol == PROTO_TCP)
		header = left < 20 ? 0 : (size_t)(h[TCP_OFF] >> 4) * 4;
	else if (t->protocol != PROTO_UDP)
		return false;
	if (header < (t->protocol == PROTO_TCP ? 20 : 8) || header > left)
		return false;
	t->payload = (uint16_t)(t->start + header);
	return t->protocol == PROTO_TCP || load_be16(h + UDP_LEN) == left;
}

bool checksum_begin(struct ip_packet *p)
{
	struct transport t;
	if (!find_transport(p->data, p->len, &t))
		return false;
	p->partial = true;
	p->csum_start = t.start;
	p->csum_offset = checksum_offset(t.protocol);
	store_be16(p->data + t.start + p->csum_offset,
		pseudo_field(p->data, t.protocol, p->len - t.start));
	return true;
}

static void complete_at(uint8_t *data, size_t len, size_t start, size_t offset)
{
	uint16_t sum = checksum_fold(checksum_add(0, data + start, len - start));
	if (sum == 0 && offset == UDP_SUM)
		sum = 0xffff; /* 0 means "no checksum" in UDP (RFC 768) */
	store_be16(data + start + offset, sum);
}

void checksum_complete(struct ip_packet *p)
{
	assert(p->partial && (size_t)p->csum_start + p->csum_offset + 2 <= p->len);
	complete_at(p->data, p->len, p->csum_start, p->csum_offset);
	p->partial = false;
}

static bool split_init_single(struct split *s, const struct ip_packet *p)
{
	if (p->len < 20)
		return false;
	if (!p->partial)
		return true;
	if ((size_t)p->csum_start + p->csum_offset + 2 > p->len)
		return false;
	struct transport t;
	s->partial = find_transport(p->data, p->len, &t) && t.start == p->csum_start &&
		     checksum_offset(t.protocol) == p->csum_offset;
	if (s->partial)
		store_be16(p->data + p->csum_start + p->csum_offset, 0);
	else
		complete_at(p->data, p->len, p->csum_start, p->csum_offset);
	return true;
}

static bool split_type_matches(const struct ip_packet *p, const struct transport *t)
{
	switch ((enum gso_type)p->gso) {
	case GSO_TCPV4: return p->data[0] >> 4 == 4 && t->protocol == PROTO_TCP;
	case GSO_TCPV6: return p->data[0] >> 4 == 6 && t->protocol == PROTO_TCP;
	case GSO_UDP: return t->protocol == PROTO_UDP;
	case GSO_NONE: break;
	}
	return false;
}

bool split_init(struct split *s, const struct ip_packet *p)
{
	s->data = p->data;
	s->len = p->len;
	s->offset = 0;
	s->gso = p->gso;
	s->first = true;
	s->partial = false;
	if (p->gso == GSO_NONE)
		return split_init_single(s, p);

	struct transport t;
	if (p->segment == 0 || !find_transport(p->data, p->len, &t) || !split_type_matches(p, &t))
		return false;
	if (t.payload > sizeof(s->header) || t.payload == p->len)
		return false;
	if (p->partial &&
		(p->csum_start != t.start || p->csum_offset != checksum_offset(t.protocol)))
		return false;
	s->partial = p->partial;
	s->segment = p->segment;
	s->transport = t.start;
	s->header_len = t.payload;
	s->offset = t.payload;
	memcpy(s->header, p->data, t.payload);
	s->ip_id = load_be16(s->header + IP4_ID);
	if (t.protocol == PROTO_TCP) {
		s->seq = load_be32(s->header + t.start + TCP_SEQ);
		s->tcp_flags = s->header[t.start + TCP_FLAGS];
	}
	return true;
}

static void write_ip_header(const struct split *s, uint8_t *p, size_t len)
{
	if (p[0] >> 4 == 6) {
		store_be16(p + IP6_LEN, (uint16_t)(len - 40));
		return;
	}
	store_be16(p + IP4_LEN, (uint16_t)len);
	store_be16(p + IP4_ID, s->ip_id);
	store_be16(p + IP4_SUM, 0);
	store_be16(p + IP4_SUM, checksum_fold(checksum_add(0, p, (size_t)(p[0] & 15) * 4)));
}

static void write_tcp_header(const struct split *s, uint8_t *tcp, bool last)
{
	uint8_t flags = s->tcp_flags;
	if (!s->first)
		flags &= (uint8_t)~TCP_CWR;
	if (!last)
		flags &= (uint8_t) ~(TCP_FIN | TCP_PSH);
	store_be32(tcp + TCP_SEQ, s->seq);
	tcp[TCP_FLAGS] = flags;
}

static void write_checksum(const struct split *s, uint8_t *p, size_t len, uint8_t protocol)
{
	uint16_t offset = checksum_offset(protocol);
	uint8_t *field = p + s->transport + offset;
	store_be16(field, 0);
	if (s->partial)
		return;
	store_be16(field, pseudo_field(p, protocol, len - s->transport));
	complete_at(p, len, s->transport, offset);
}

static bool split_next_single(struct split *s, uint8_t **segment, size_t *len, bool *partial)
{
	if (!s->first)
		return false;
	s->first = false;
	*segment = s->data;
	*len = s->len;
	*partial = s->partial;
	return true;
}

bool split_next(struct split *s, uint8_t **segment, size_t *len, bool *partial)
{
	if (s->gso == GSO_NONE)
		return split_next_single(s, segment, len, partial);
	if (s->offset >= s->len)
		return false;
	size_t left = s->len - s->offset;
	size_t payload = left < s->segment ? left : s->segment;
	uint8_t *p = s->data + s->offset - s->header_len;
	uint8_t protocol = s->gso == GSO_UDP ? PROTO_UDP : PROTO_TCP;

	*segment = p;
	*len = s->header_len + payload;
	*partial = s->partial;
	memcpy(p, s->header, s->header_len);
	write_ip_header(s, p, *len);
	if (protocol == PROTO_TCP)
		write_tcp_header(s, p + s->transport, payload == left);
	else
		store_be16(p + s->transport + UDP_LEN, (uint16_t)(8 + payload));
	write_checksum(s, p, *len, protocol);

	s->offset += payload;
	s->seq += (uint32_t)payload;
	s->ip_id = (uint16_t)(s->ip_id + 1); /* wraps */
	s->first = false;
	return true;
}
