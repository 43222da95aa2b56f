#pragma once
/* filter - the one hook between session and interface. Inbound: the inner source must belong to the
 * sending peer, the destination to us; a TCP SYN passes by grant; UDP and ICMP pass by grant or as
 * the answer to a flow that we opened (bounded table). Outbound: source ours, destination noted.
 * docs/security.md; design 3. Pure: (state, now, packet). */
#include "core/drop.h"
#include "core/rng.h"
#include "overlay/grant.h"

struct filter; /* flow table: fixed size, set-associative, least recently used of a set goes first
		*/

struct filter *filter_new(
	size_t flows, const uint8_t own_prefix[8], const struct rng *rng); /* NULL: out of memory */
void filter_free(struct filter *f);

/* A packet from the interface. On DROP_NONE copies the destination's /64 prefix to peer_prefix and
 * remembers the flow (UDP, ICMPv6 echo). DROP_INNER, DROP_SOURCE, DROP_DESTINATION. */
enum drop filter_outbound(
	struct filter *f, ov_time now, const uint8_t *packet, size_t len, uint8_t peer_prefix[8]);
/* A packet that a session opened. peer_prefix: the sending peer's /64.
 * DROP_INNER (malformed, IPv4, length lies), DROP_SOURCE, DROP_DESTINATION, DROP_GRANT. */
enum drop filter_inbound(struct filter *f, ov_time now, const uint8_t peer_prefix[8],
	const struct grants *grants, const uint8_t *packet, size_t len);
/* Where the transport header starts and what it is (6 TCP, 17 UDP, 58 ICMPv6, else the next header
 * found), walking IPv6 extension headers (bounded). False: malformed. `fragment_offset` > 0 for a
 * later fragment: no transport header. */
struct inner {
	uint8_t protocol;
	uint16_t transport;
	uint16_t fragment_offset;
	uint32_t fragment_id;
	bool more_fragments;
};
bool inner_parse(struct inner *out, const uint8_t *packet, size_t len);
