/* Opened packets on their way to the interface: through the filter, fragments through reassembly.
 */
#include "overlay/node_state.h"

enum drop inbound_ip(
	struct node *n, ov_time now, struct peer *p, uint8_t *packet, size_t len, bool partial)
{
	enum drop why = filter_inbound(n->filter, now, p->prefix, &p->contact.grants, packet, len);
	if (why != DROP_NONE)
		return why;
	return node_deliver(n, packet, len, partial);
}

enum drop inbound_fragment(
	struct node *n, ov_time now, struct peer *p, const uint8_t *plain, size_t len, bool partial)
{
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
