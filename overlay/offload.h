#pragma once
/* offload - segmentation and checksums of inner packets: what a NIC would do, because the TUN hands
 * over and takes super packets (virtio_net_hdr). Pure. Virtual I/O Device spec 1.2, 5.1.6; Linux
 * include/uapi/linux/virtio_net.h. */
#include "core/base.h"

enum gso_type { GSO_NONE, GSO_TCPV4, GSO_TCPV6, GSO_UDP };

/* An inner packet as the TUN hands it over, and as it is given back. */
struct ip_packet {
	uint8_t *data; /* borrowed; splitting and sealing overwrite it */
	size_t len;
	uint8_t gso;  /* enum gso_type */
	bool partial; /* checksum at csum_start + csum_offset holds only the pseudo header's sum */
	uint16_t segment; /* payload bytes per segment (gso_size) when gso != GSO_NONE */
	uint16_t csum_start, csum_offset;
};

/* Iterator over the segments of one packet; segments are made in place: each header is written over
 * payload bytes that have already been handed out (sealed), so nothing is copied but headers. */
struct split {
	uint8_t *data;
	size_t len, header_len, offset;
	uint16_t segment, transport, ip_id;
	uint32_t seq;
	uint8_t gso, tcp_flags;
	bool partial, first;
	uint8_t header[160];
};

/* False: malformed (lengths lie, header longer than the packet, not the protocol the type says). A
 * GSO_NONE packet is one segment. */
bool split_init(struct split *s, const struct ip_packet *p);
/* Next segment; false at the end. When the packet was partial, the segment's TCP or UDP checksum is
 * written as 0 and *partial is true (PACKET_FLAG_PARTIAL) - but only if the partial sum covers the
 * packet's own TCP or UDP header; otherwise the checksum is completed here and *partial is false.
 */
bool split_next(struct split *s, uint8_t **segment, size_t *len, bool *partial);

/* Receiver's side of PACKET_FLAG_PARTIAL: finds the TCP or UDP header, writes the pseudo header's
 * sum into the checksum field, and fills csum_start and csum_offset, so that the kernel (or
 * checksum_complete) finishes it. False: no TCP or UDP there. */
bool checksum_begin(struct ip_packet *p);
/* Computes the checksum that `partial` left open; clears partial. */
void checksum_complete(struct ip_packet *p);

/* ones-complement sum helpers (RFC 1071), exposed for tests and ICMPv6. */
uint32_t checksum_add(uint32_t sum, const uint8_t *data, size_t len);
uint16_t checksum_fold(uint32_t sum);
uint32_t checksum_pseudo(const uint8_t *ip_packet, uint8_t protocol, size_t transport_len);
