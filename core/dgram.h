#pragma once
/* dgram - a run of datagrams of one size between two addresses, as the kernel's UDP GSO and GRO
 * hand them over: `len` bytes, cut every `segment` bytes, the last one possibly shorter. */
#include "core/addr.h"
#include "core/ecn.h"

enum carrier { CARRIER_UDP, CARRIER_TCP, CARRIER_RELAY };

struct dgram {
	uint8_t *data; /* borrowed; node_input opens packets in place */
	size_t len;
	uint16_t segment; /* bytes of each datagram but the last; >= 1 */
	uint8_t carrier;  /* enum carrier */
	uint8_t hops;     /* out: routers that it may pass, IPv4 (its TTL); 0: as usual */
	uint8_t ecn;      /* enum ecn: of every datagram of it */
	/* Index; 0: not known (in), kernel chooses (out). Of TCP: number of the connection. */
	uint32_t interface;
	struct ov_addr
		local; /* ip that received it or shall send it; any: kernel chooses. port: ours */
	struct ov_addr remote;
	ov_time waited; /* in: between its arrival and now, 0 if not known */
};
