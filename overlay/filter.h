#pragma once
/* filter - the one hook between session and interface. Inbound: the inner source must belong to the
 * sending peer, the destination to us; a TCP SYN passes by grant; UDP and ICMP pass by grant or as
 * the answer to a flow that we opened (bounded table). Outbound: source ours, destination noted.
 * docs/security.md; design 3. Pure: (state, now, packet). */
#include "core/drop.h"
#include "core/rng.h"
#include "overlay/grant.h"

/* Flow table: fixed size, set-associative, the least recently used of a set makes room. */
struct filter;

struct filter *filter_new(
	size_t flows, const uint8_t own_prefix[8], const struct rng *rng); /* NULL: out of memory */
void filter_free(struct filter *f);

/* A packet from the interface. On DROP_NONE copies the destination's /64 prefix to peer_prefix and
 * remembers the flow (UDP, ICMPv6 echo). DROP_INNER, DROP_SOURCE, DROP_DESTINATION. */
enum drop filter_outbound(
	struct filter *f, ov_time now, const uint8_t *packet, size_t len, uint8_t peer_prefix[8]);
/* A packet that a session opened. peer_prefix: the sending peer's /64.
 * DROP_INNER (malformed, IPv4, length lies), DROP_SOURCE, DROP_DESTINATION, DROP_GRANT. TCP passes
 * unless it is a SYN without grant; UDP by grant or within 120 s of our last packet of that flow;
 * echo requests by grant, replies also within 30 s of our request; ICMPv6 errors if they quote a
 * packet from us to the sender; a later fragment within 5 s of its first; the rest only by `all`,
 * but link management (neighbour discovery, redirect, MLD) never. */
enum drop filter_inbound(struct filter *f, ov_time now, const uint8_t peer_prefix[8],
	const struct grants *grants, const uint8_t *packet, size_t len);
/* Where the transport header starts (<= len) and what it is (6 TCP, 17 UDP, 58 ICMPv6, else the
 * next header found), walking IPv6 extension headers (bounded). False: malformed, not IPv6, or the
 * payload length is not what is there. */
struct inner {
	uint8_t protocol;
	bool extended;   /* hop-by-hop, routing or destination options were there */
	bool fragmented; /* a fragment header was there */
	bool more_fragments;
	uint16_t transport;
	uint16_t fragment_offset; /* bytes; > 0: a later fragment, no transport header */
	uint32_t fragment_id;
};
bool inner_parse(struct inner *out, const uint8_t *packet, size_t len);
