/* Plain RFC 8200, 768, 4443, 9293 headers without options. */
#include "tests/sim/ip6.h"

static uint32_t sum_bytes(uint32_t sum, const uint8_t *p, size_t len)
{
	for (size_t i = 0; i + 1 < len; i += 2)
		sum += load_be16(p + i);
	if (len % 2 == 1)
		sum += (uint32_t)p[len - 1] << 8;
	return sum;
}

static uint16_t fold(uint32_t sum)
{
	while (sum > 0xffff)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)sum;
}

static uint32_t pseudo(const uint8_t *packet, size_t len)
{
	return sum_bytes(0, packet + 8, 32) + packet[6] + (uint32_t)(len - IP6_HEADER);
}

static size_t checksum_at(uint8_t protocol)
{
	switch (protocol) {
	case IP6_TCP: return IP6_HEADER + 16;
	case IP6_UDP: return IP6_HEADER + 6;
	default: return IP6_HEADER + 2;
	}
}

static void put_checksum(uint8_t *packet, size_t len)
{
	size_t at = checksum_at(packet[6]);
	store_be16(packet + at, 0);
	uint32_t sum = sum_bytes(pseudo(packet, len), packet + IP6_HEADER, len - IP6_HEADER);
	uint16_t value = (uint16_t)~fold(sum);
	store_be16(packet + at, value == 0 ? 0xffff : value);
}

bool ip6_checksum_ok(const uint8_t *packet, size_t len)
{
	return fold(sum_bytes(pseudo(packet, len), packet + IP6_HEADER, len - IP6_HEADER)) ==
	       0xffff;
}

void ip6_checksum_finish(uint8_t *packet, size_t len, size_t start, size_t offset)
{
	assert(start + offset + 2 <= len);
	uint16_t value = (uint16_t)~fold(sum_bytes(0, packet + start, len - start));
	store_be16(packet + start + offset, value == 0 ? 0xffff : value);
}

void ip6_checksum_leave_open(uint8_t *packet, size_t len)
{
	store_be16(packet + checksum_at(packet[6]), fold(pseudo(packet, len)));
}

static void put_header(uint8_t *out, const struct ip6_pair *p, uint8_t protocol, size_t payload)
{
	memset(out, 0, IP6_HEADER);
	out[0] = 0x60;
	store_be16(out + 4, (uint16_t)payload);
	out[6] = protocol;
	out[7] = 64;
	memcpy(out + 8, p->source, 16);
	memcpy(out + 24, p->destination, 16);
}

size_t ip6_udp(uint8_t *out, const struct ip6_pair *p, const uint8_t *payload, size_t len)
{
	put_header(out, p, IP6_UDP, len + 8);
	store_be16(out + 40, p->source_port);
	store_be16(out + 42, p->destination_port);
	store_be16(out + 44, (uint16_t)(len + 8));
	memcpy(out + 48, payload, len);
	put_checksum(out, len + 48);
	return len + 48;
}

size_t ip6_echo(uint8_t *out, const struct ip6_pair *p, enum ip6_icmp type, const uint8_t *payload,
	size_t len)
{
	put_header(out, p, IP6_ICMP, len + 8);
	out[40] = (uint8_t)type;
	out[41] = 0;
	store_be16(out + 44, p->source_port);
	store_be16(out + 46, p->destination_port);
	memcpy(out + 48, payload, len);
	put_checksum(out, len + 48);
	return len + 48;
}

size_t ip6_tcp(uint8_t *out, const struct ip6_pair *p, const struct ip6_tcp *t,
	const uint8_t *payload, size_t len)
{
	put_header(out, p, IP6_TCP, len + IP6_TCP_HEADER);
	uint8_t *h = out + IP6_HEADER;
	store_be16(h, p->source_port);
	store_be16(h + 2, p->destination_port);
	store_be32(h + 4, t->seq);
	store_be32(h + 8, t->ack);
	h[12] = 5 << 4;
	h[13] = t->flags;
	store_be16(h + 14, 0xffff);
	store_be16(h + 18, 0);
	if (len > 0)
		memcpy(h + IP6_TCP_HEADER, payload, len);
	put_checksum(out, len + IP6_HEADER + IP6_TCP_HEADER);
	return len + IP6_HEADER + IP6_TCP_HEADER;
}

bool ip6_parse(struct ip6 *out, const uint8_t *packet, size_t len)
{
	if (len < IP6_HEADER + 8 || packet[0] >> 4 != 6 ||
		load_be16(packet + 4) + (size_t)IP6_HEADER != len)
		return false;
	*out = (struct ip6){ .protocol = packet[6] };
	memcpy(out->pair.source, packet + 8, 16);
	memcpy(out->pair.destination, packet + 24, 16);
	const uint8_t *h = packet + IP6_HEADER;
	out->pair.source_port = load_be16(h);
	out->pair.destination_port = load_be16(h + 2);
	size_t header = 8;
	if (out->protocol == IP6_ICMP) {
		out->icmp_type = h[0];
		out->pair.source_port = load_be16(h + 4);
		out->pair.destination_port = load_be16(h + 6);
	} else if (out->protocol == IP6_TCP) {
		header = IP6_TCP_HEADER;
		if (len < IP6_HEADER + header || h[12] >> 4 != 5)
			return false;
		out->tcp.seq = load_be32(h + 4);
		out->tcp.ack = load_be32(h + 8);
		out->tcp.flags = h[13];
	} else if (out->protocol != IP6_UDP) {
		return false;
	}
	out->payload = h + header;
	out->payload_len = len - IP6_HEADER - header;
	return true;
}
