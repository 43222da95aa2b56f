#pragma once
/* ip6 - inner packets as a host's stack makes them: IPv6 with UDP, ICMPv6 echo or TCP. Written
 * independently of overlay/offload.c, so that the two check each other. */
#include "core/bytes.h"

#define IP6_HEADER     40
#define IP6_TCP_HEADER 20
#define IP6_MTU        1420 /* of the overlay interface */

enum ip6_protocol { IP6_TCP = 6, IP6_UDP = 17, IP6_ICMP = 58 };
enum ip6_icmp { IP6_TOO_BIG = 2, IP6_ECHO_REQUEST = 128, IP6_ECHO_REPLY = 129 };
enum ip6_tcp_flag {
	IP6_FIN = 1,
	IP6_SYN = 2,
	IP6_RST = 4,
	IP6_PSH = 8,
	IP6_ACK = 16,
	IP6_CWR = 128
};

struct ip6_pair {
	uint8_t source[16], destination[16];
	uint16_t source_port, destination_port; /* echo: identifier, sequence */
};

struct ip6_tcp {
	uint32_t seq, ack;
	uint8_t flags;
};

/* Each writes a whole packet with its checksum; returns the length. out needs the payload's length
 * and 60 bytes. */
size_t ip6_udp(uint8_t *out, const struct ip6_pair *p, const uint8_t *payload, size_t len);
size_t ip6_echo(uint8_t *out, const struct ip6_pair *p, enum ip6_icmp type, const uint8_t *payload,
	size_t len);
size_t ip6_tcp(uint8_t *out, const struct ip6_pair *p, const struct ip6_tcp *t,
	const uint8_t *payload, size_t len);

struct ip6 {
	struct ip6_pair pair;
	uint8_t protocol, icmp_type;
	struct ip6_tcp tcp;
	const uint8_t *payload; /* borrowed from the packet */
	size_t payload_len;
};

/* False: not one of ours (truncated, lengths lie, other protocol). */
bool ip6_parse(struct ip6 *out, const uint8_t *packet, size_t len);
/* RFC 1071 over pseudo header and transport. */
bool ip6_checksum_ok(const uint8_t *packet, size_t len);
/* What a kernel does with VIRTIO_NET_HDR_F_NEEDS_CSUM: sum from start to the end, stored at
 * start + offset. */
void ip6_checksum_finish(uint8_t *packet, size_t len, size_t start, size_t offset);
/* Turns a packet's TCP or UDP checksum into the pseudo header's sum, as the stack leaves it for
 * hardware. */
void ip6_checksum_leave_open(uint8_t *packet, size_t len);
