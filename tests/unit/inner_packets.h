#pragma once
/* Builders of inner packets and a checksum written the naive way, so that the tests do not trust
 * the code they test. */
#include "overlay/offload.h"

#include "core/bytes.h"

/* cmocka needs these before it */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>
/* clang-format on */

struct inner_spec {
	int version;      /* 4 or 6 */
	uint8_t protocol; /* 6 or 17 */
	uint8_t flags;    /* TCP */
	uint8_t options;  /* bytes of TCP options, multiple of 4 */
	uint8_t tos;
	uint16_t source_port, ip_id;
	uint32_t seq;
	size_t payload;
};

static inline uint16_t naive_sum(const uint8_t *p, size_t len, uint32_t start)
{
	uint64_t sum = start;
	for (size_t i = 0; i < len; i++)
		sum += i % 2 ? p[i] : (uint32_t)p[i] << 8;
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)sum;
}

static inline size_t inner_transport(const uint8_t *p)
{
	return p[0] >> 4 == 4 ? (size_t)(p[0] & 15) * 4 : 40;
}

static inline uint8_t inner_protocol(const uint8_t *p)
{
	return p[0] >> 4 == 4 ? p[9] : p[6];
}

static inline uint16_t naive_pseudo(const uint8_t *p, size_t len)
{
	uint32_t start = inner_protocol(p) + (uint32_t)(len - inner_transport(p));
	return p[0] >> 4 == 4 ? naive_sum(p + 12, 8, start) : naive_sum(p + 8, 32, start);
}

/* Full recomputation: true when every checksum of the packet holds. */
static inline bool inner_valid(const uint8_t *p, size_t len)
{
	size_t at = inner_transport(p);
	if (p[0] >> 4 == 4 && naive_sum(p, at, 0) != 0xffff)
		return false;
	return naive_sum(p + at, len - at, naive_pseudo(p, len)) == 0xffff;
}

/* Writes the packet with checksums left 0; payload is a function of seq, so that equal streams have
 * equal bytes however they are cut. Returns its length. */
static inline size_t inner_build(uint8_t *p, const struct inner_spec *s)
{
	size_t at = s->version == 4 ? 20 : 40;
	size_t header = at + (s->protocol == 6 ? 20u + s->options : 8u);
	size_t len = header + s->payload;
	memset(p, 0, header);
	if (s->version == 4) {
		p[0] = 0x45;
		p[1] = s->tos;
		store_be16(p + 2, (uint16_t)len);
		store_be16(p + 4, s->ip_id);
		p[6] = 0x40;
		p[8] = 64;
		p[9] = s->protocol;
		memcpy(p + 12, "\x0a\x00\x00\x01\x0a\x00\x00\x02", 8);
		store_be16(p + 10, (uint16_t)~naive_sum(p, 20, 0));
	} else {
		p[0] = (uint8_t)(0x60 | s->tos >> 4);
		p[1] = (uint8_t)(s->tos << 4);
		store_be16(p + 4, (uint16_t)(len - 40));
		p[6] = s->protocol;
		p[7] = 64;
		memcpy(p + 8, "\xfd\x01\x02\x03\x04\x05\x06\x07\0\0\0\0\0\0\0\x01", 16);
		memcpy(p + 24, "\xfd\x0f\x0e\x0d\x0c\x0b\x0a\x09\0\0\0\0\0\0\0\x01", 16);
	}
	uint8_t *t = p + at;
	store_be16(t, s->source_port);
	store_be16(t + 2, 443);
	if (s->protocol == 6) {
		store_be32(t + 4, s->seq);
		store_be32(t + 8, 0x01020304);
		t[12] = (uint8_t)((20 + s->options) / 4 << 4);
		t[13] = s->flags;
		store_be16(t + 14, 500);
		for (size_t i = 0; i < s->options; i++)
			t[20 + i] = (uint8_t)(i + 1);
	} else {
		store_be16(t + 4, (uint16_t)(8 + s->payload));
	}
	for (size_t i = 0; i < s->payload; i++)
		p[header + i] = (uint8_t)((s->seq + i) * 31 >> 3);
	return len;
}

/* Completes the TCP or UDP checksum (naively). */
static inline void inner_seal(uint8_t *p, size_t len)
{
	size_t at = inner_transport(p), field = at + (inner_protocol(p) == 6 ? 16 : 6);
	store_be16(p + field, 0);
	uint16_t sum = (uint16_t)~naive_sum(p + at, len - at, naive_pseudo(p, len));
	store_be16(p + field, sum == 0 && inner_protocol(p) == 17 ? 0xffff : sum);
}

/* As the kernel hands over a packet whose checksum it leaves to the NIC. */
static inline struct ip_packet inner_partial(uint8_t *p, size_t len, enum gso_type gso, size_t mss)
{
	size_t at = inner_transport(p), offset = inner_protocol(p) == 6 ? 16 : 6;
	store_be16(p + at + offset, naive_pseudo(p, len));
	return (struct ip_packet){ .data = p,
		.len = len,
		.gso = (uint8_t)gso,
		.partial = true,
		.segment = (uint16_t)mss,
		.csum_start = (uint16_t)at,
		.csum_offset = (uint16_t)offset };
}

static inline uint64_t test_random(uint64_t *state) /* splitmix64 */
{
	uint64_t z = (*state += 0x9e3779b97f4a7c15);
	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
	z = (z ^ z >> 27) * 0x94d049bb133111eb;
	return z ^ z >> 31;
}
