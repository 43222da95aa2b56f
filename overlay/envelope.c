/* A datagram that travels through a relay has 8 bytes in front and goes where the relay is
 * (docs/protocol.md 13.2). Whoever sends asks here for room, so that no sender knows of relays. */
#include "overlay/envelope.h"

#include "overlay/channel.h"
#include "overlay/registration.h"
#include "overlay/route.h"

bool envelope_open(const struct node *n, const struct dgram *to, struct envelope *e)
{
	*e = (struct envelope){ .where = *to };
	if (to->carrier != CARRIER_RELAY)
		return true;
	const struct channel *c = channel_of_addr(n, &to->remote);
	const struct association *a = c ? c->session->association : NULL;
	if (!a || !a->active || a->active->carrier == CARRIER_RELAY || !a->active->validated)
		return false; /* not validated: the link knows no 3x rule, nobody gets it all */
	e->where = route_where(a->active);
	e->relay = c->session;
	e->channel = c->id;
	e->header_len = RELAY_HEADER_LEN;
	return true;
}

uint8_t *envelope_room(struct node *n, const struct envelope *e, size_t len, bool data)
{
	uint8_t *room = output_room(&n->output, len + e->header_len, data);
	if (room && e->header_len > 0)
		relay_header_encode(e->channel, room);
	return room ? room + e->header_len : NULL;
}

void envelope_add(
	struct node *n, ov_time now, const struct envelope *e, const void *key, size_t len)
{
	if (e->relay)
		registration_relayed(n, now, e->relay, false);
	output_add(&n->output, &e->where, key, len + e->header_len);
}
