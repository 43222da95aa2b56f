/* Opened packets on their way to the interface: through the filter, fragments through reassembly.
 */
#include "overlay/inbound.h"

#include <stdio.h>

/* The word that `overlay peer allow` would need for this packet. */
static void missing_grant(char out[REFUSED_WORD_MAX], const uint8_t *packet, size_t len)
{
	struct inner in;
	bool whole = inner_parse(&in, packet, len) && in.fragment_offset == 0 &&
		     (size_t)in.transport + 4 <= len;
	unsigned port = whole ? load_be16(packet + in.transport + 2) : 0;
	if (whole && in.protocol == 6)
		snprintf(out, REFUSED_WORD_MAX, "tcp/%u", port);
	else if (whole && in.protocol == 17)
		snprintf(out, REFUSED_WORD_MAX, "udp/%u", port);
	else
		snprintf(out, REFUSED_WORD_MAX, whole && in.protocol == 58 ? "icmp" : "all");
}

/* A contact is no stranger: the owner should hear which grant it lacks. */
static void note_refusal(
	struct node *n, ov_time now, struct peer *p, const uint8_t *packet, size_t len)
{
	if (!limit_take(&p->refusals, now, 1, 1, 1))
		return;
	missing_grant(p->refused, packet, len);
	p->refused_at = now;
	struct node_event ev = { .type = NODE_REFUSED, .peer = p->contact.id };
	memcpy(ev.refused, p->refused, REFUSED_WORD_MAX);
	node_emit(n, &ev);
}

enum drop inbound_ip(
	struct node *n, ov_time now, struct peer *p, uint8_t *packet, size_t len, bool partial)
{
	if (!contact_is_known(p->contact.source))
		return DROP_GRANT;
	enum drop why = filter_inbound(n->filter, now, p->prefix, &p->contact.grants, packet, len);
	if (why == DROP_GRANT)
		note_refusal(n, now, p, packet, len);
	if (why != DROP_NONE)
		return why;
	return node_deliver(n, packet, len, partial);
}

enum drop inbound_fragment(
	struct node *n, ov_time now, struct peer *p, const uint8_t *plain, size_t len, bool partial)
{
	if (!contact_is_known(p->contact.source))
		return DROP_GRANT; /* before it costs memory: a client is anybody */
	struct association *a = p->association;
	struct fragment f;
	enum drop why = fragment_decode(&f, plain, len);
	if (why != DROP_NONE)
		return why;
	if (!a->reassembly)
		a->reassembly = reassembly_new();
	if (!a->reassembly)
		return DROP_FULL;
	uint8_t *packet;
	size_t packet_len;
	why = reassembly_add(a->reassembly, now, &f, partial, &packet, &packet_len);
	if (why != DROP_NONE || !packet)
		return why;
	uint8_t *copy = node_scratch(
		n, packet_len); /* the slot is used again by the next packet of this batch */
	if (!copy)
		return DROP_CONGESTION;
	memcpy(copy, packet, packet_len);
	return inbound_ip(n, now, p, copy, packet_len, partial);
}
