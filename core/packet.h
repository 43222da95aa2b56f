#pragma once
/* packet - the 16-byte header of every datagram and the registry of types and frames.
 * docs/protocol.md 2 and 4.
 *
 *   0 type u8 | 1 flags u8 | 2 zero u16 | 4 receiver index u32 | 8 counter u64
 *
 * In HS1 and HS2 the low half of `counter` carries the sender's index (high half zero); HS1 and
 * the part of COOKIE that has no meaning are zero and checked. */
#include "core/bytes.h"

#define HEADER_LEN      16
#define TAG_LEN         16
#define PACKET_OVERHEAD (HEADER_LEN + TAG_LEN)
#define DATAGRAM_MAX    1472 /* UDP payload in an outer IPv4 MTU of 1500; IPv6 has 1452 */

enum packet_type {
	PACKET_HS1 = 4, /* 0 to 3 are STUN's (RFC 9443) */
	PACKET_HS2 = 5,
	PACKET_COOKIE = 6,
	PACKET_CONTROL = 7,
	PACKET_IP = 8,
	PACKET_IP_FRAGMENT = 9,
	PACKET_RELAY = 10,
	PACKET_BEACON = 11,
	PACKET_SCAN_PROBE = 12,  /* reserved: scanner */
	PACKET_SCAN_ANSWER = 13, /* reserved: scanner */
	PACKET_HAIRPIN = 14,     /* to ourselves, by way of our NAT */
};

#define PACKET_FLAG_PARTIAL \
	0x01 /* IP, IP_FRAGMENT: TCP or UDP checksum is 0, receiver completes it */
#define PACKET_FLAG_LIVENESS 0x01 /* COOKIE: belongs into HS1's payload, not into mac2 */

struct header {
	uint8_t type, flags;
	uint32_t receiver; /* index chosen by whoever receives this */
	uint64_t counter;  /* nonce and replay number of the key; handshake: sender's index */
};

#define HAIRPIN_TOKEN_LEN 16
#define HAIRPIN_LEN       (HEADER_LEN + HAIRPIN_TOKEN_LEN)

/* RELAY has a short header, 0 type u8 | 1 flags u8 | 2 zero u16 | 4 channel u32, and then the
 * untouched datagram of somebody else. */
#define RELAY_HEADER_LEN 8
void relay_header_encode(uint32_t channel, uint8_t out[RELAY_HEADER_LEN]);
/* False: no RELAY, flags or reserved bytes set, nothing behind the header. */
bool relay_header_decode(uint32_t *channel, const uint8_t *data, size_t len);

void header_encode(const struct header *h, uint8_t out[HEADER_LEN]);
/* False if len < HEADER_LEN or the zero bytes are not zero. Does not judge type or flags. */
bool header_decode(struct header *h, const uint8_t *data, size_t len);
