/* A channel is one direction's name for "the datagrams between these two through this relay". Ids
 * are chosen at random by the relay; a RELAY datagram counts only if it comes from an address that
 * answered a challenge in the session with whom the channel is (as TURN's ChannelData), since it
 * carries no seal of its own. What is inside does. */
#include "overlay/channel.h"

#include "overlay/forward.h"
#include "overlay/frames.h"
#include "overlay/input.h"
#include "overlay/registration.h"
#include "overlay/route.h"

#include <stdlib.h>

struct ov_addr channel_addr(const struct channel *c)
{
	struct ov_addr a = { .scope = c->id, .port = 1 };
	memcpy(a.ip, c->session->prefix, sizeof(c->session->prefix));
	a.ip[15] = 1; /* the relay's address in the overlay: never one on the wire */
	return a;
}

struct channel *channel_of_addr(const struct node *n, const struct ov_addr *a)
{
	struct channel *c = table_find(n->by_channel, a->scope);
	bool same = c && c->kind == CHANNEL_LINK &&
		    memcmp(c->session->prefix, a->ip, sizeof(c->session->prefix)) == 0;
	return same ? c : NULL;
}

/* The relay has said whose datagrams these are. Anything else in them would be a path that nobody
 * asked for, above all one to the relay through itself. */
bool channel_carries(const struct node *n, const struct dgram *run, const struct peer_id *who)
{
	if (run->carrier != CARRIER_RELAY)
		return true;
	const struct channel *c = channel_of_addr(n, &run->remote);
	return c && peer_id_equal(&c->other, who);
}

struct channel *channel_new(
	struct node *n, struct peer *session, enum channel_kind kind, uint32_t id)
{
	while (id == 0 || (kind == CHANNEL_FORWARD && table_find(n->by_channel, id)))
		id = rng_u32(&n->rng);
	struct channel *c = calloc(1, sizeof(*c));
	if (!c)
		return NULL;
	*c = (struct channel){ .kind = (uint8_t)kind,
		.id = id,
		.session = session,
		.next = session->association->channels };
	if (table_put(n->by_channel, id, c) != OV_OK) {
		free(c);
		return NULL;
	}
	session->association->channels = c;
	if (kind == CHANNEL_FORWARD) {
		session->client->channels++;
		n->forward_count++;
	}
	return c;
}

static void unlink_channel(struct channel *c)
{
	struct channel **at = &c->session->association->channels;
	while (*at != c)
		at = &(*at)->next;
	*at = c->next;
}

/* The path of the peer at the far end that went through the link. Another is found, or the peer
 * called, when the node settles. */
static void remove_path(struct node *n, const struct channel *c)
{
	struct peer *p = node_peer(n, &c->other);
	if (!p || !p->association)
		return;
	struct dgram where = { .carrier = CARRIER_RELAY, .remote = channel_addr(c) };
	struct path *path = route_find(p->association, &where);
	if (!path)
		return;
	route_remove(n, p, path);
	peer_touch(n, p);
}

static void tell_closed(struct node *n, ov_time now, const struct channel *c)
{
	uint8_t plain[16];
	struct wr w = wr_init(plain, sizeof(plain));
	frame_put_relay_close(&w, &(struct relay_close){ .channel = c->id });
	(void)frames_send(n, now, c->session, &w, false);
}

static void channel_free(struct node *n, struct channel *c)
{
	if (c->kind == CHANNEL_LINK)
		remove_path(n, c);
	table_remove(n->by_channel, c->id);
	unlink_channel(c);
	if (c->kind == CHANNEL_FORWARD) {
		c->session->client->channels--;
		n->forward_count--;
	}
	output_forget(&n->output, c);
	free(c);
}

void channel_discard(struct node *n, struct channel *c)
{
	struct channel *twin = c->twin;
	channel_free(n, c);
	if (twin)
		channel_free(n, twin);
}

void channel_close(struct node *n, ov_time now, struct channel *c, bool tell)
{
	if (tell)
		tell_closed(n, now, c);
	if (c->twin)
		tell_closed(n, now, c->twin);
	channel_discard(n, c);
}

void channel_close_all(struct node *n, ov_time now, struct association *a)
{
	while (a->channels) {
		struct channel *first = a->channels;
		channel_close(n, now, first, false);
		assert(a->channels != first);
	}
}

enum drop channel_on_close(struct node *n, ov_time now, struct peer *p, const struct relay_close *f)
{
	struct channel *c = table_find(n->by_channel, f->channel);
	if (!c || c->session != p)
		return DROP_CHANNEL;
	channel_close(n, now, c, false);
	return DROP_NONE;
}

static struct path *path_of(const struct channel *c, const struct dgram *run)
{
	const struct association *a = c->session->association;
	for (size_t i = 0; i < a->path_count; i++)
		if (a->paths[i]->validated && a->paths[i]->carrier == run->carrier &&
			addr_equal(&a->paths[i]->remote, &run->remote))
			return a->paths[i];
	return NULL;
}

/* It is data of the session that it travels beside: a router that restarted shows by where it comes
 * from, and by its absence. */
static void arrived(struct node *n, ov_time now, struct peer *p, struct path *path, size_t len)
{
	path_on_received(path, now, len, 1, false);
	if (path != p->association->active)
		route_on_peer_data(n, now, p, path);
	peer_touch_path(n, p, path);
}

enum drop channel_input(
	struct node *n, ov_time now, const struct dgram *run, uint8_t *data, size_t len)
{
	uint32_t id;
	if (!relay_header_decode(&id, data, len))
		return DROP_HEADER;
	struct channel *c = run->carrier == CARRIER_RELAY ? NULL : table_find(n->by_channel, id);
	struct path *path = c ? path_of(c, run) : NULL;
	if (!path)
		return DROP_CHANNEL;
	arrived(n, now, c->session, path, len);
	data += RELAY_HEADER_LEN;
	len -= RELAY_HEADER_LEN;
	if (c->kind == CHANNEL_FORWARD)
		return forward_datagram(n, now, c, data, len);
	registration_relayed(n, now, c->session, true);
	struct dgram inner = { .data = data,
		.len = len,
		.segment = (uint16_t)len,
		.carrier = CARRIER_RELAY,
		.remote = channel_addr(c),
		.waited = run->waited };
	input_run(n, now, &inner);
	return DROP_NONE;
}
