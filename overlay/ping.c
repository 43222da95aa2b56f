/* `overlay ping`: one challenge on the path in use, answered by the peer's daemon. Waits for the
 * session if there is none yet. */
#include "overlay/ping.h"

#include "overlay/association.h"
#include "overlay/call.h"

static void finish(struct node *n, struct ping *g, const struct node_event *ev)
{
	g->used = false;
	n->ping_count--;
	node_emit(n, ev);
}

int node_ping(
	struct node *n, ov_time now, const struct peer_id *id, uint64_t token, ov_time timeout)
{
	if (peer_id_equal(id, &n->self->id)) {
		node_emit(
			n, &(struct node_event){ .type = NODE_PONG, .peer = *id, .token = token });
		return OV_OK;
	}
	struct peer *p = node_peer(n, id);
	if (!p)
		return OV_ENOENT;
	struct ping *g = NULL;
	for (size_t i = 0; i < PINGS_MAX && !g; i++)
		if (!n->pings[i].used)
			g = &n->pings[i];
	if (!g)
		return OV_EFULL;
	*g = (struct ping){ .token = token, .peer = p, .expires_at = now + timeout, .used = true };
	n->ping_count++;
	n->counters.pings++;
	p->wanted_at = now;
	if (association_reaches(p->association, now))
		ping_on_path(n, now, p);
	else
		call_start(n, now, p, false);
	peer_touch(n, p);
	return OV_OK;
}

void ping_on_path(struct node *n, ov_time now, struct peer *p)
{
	struct path *path = p->association->active;
	if (!path)
		return;
	for (size_t i = 0; i < PINGS_MAX; i++) {
		struct ping *g = &n->pings[i];
		if (!g->used || g->peer != p || g->asked)
			continue;
		g->asked = true;
		path_ask(path, now);
	}
}

void ping_on_response(struct node *n, struct peer *p, const struct path *path, ov_time rtt)
{
	for (size_t i = 0; i < PINGS_MAX; i++) {
		struct ping *g = &n->pings[i];
		if (!g->used || g->peer != p)
			continue;
		finish(n, g,
			&(struct node_event){ .type = NODE_PONG,
				.peer = p->contact.id,
				.token = g->token,
				.rtt = rtt,
				.addr = path->remote,
				.observed = path->observed,
				.pmtu = path_mtu(path) });
	}
}

void ping_expire(struct node *n, ov_time now)
{
	for (size_t i = 0; i < PINGS_MAX; i++) {
		struct ping *g = &n->pings[i];
		if (g->used && now >= g->expires_at)
			finish(n, g,
				&(struct node_event){ .type = NODE_PING_TIMEOUT,
					.peer = g->peer->contact.id,
					.token = g->token });
	}
}

ov_time ping_deadline(const struct node *n)
{
	ov_time at = OV_NEVER;
	for (size_t i = 0; i < PINGS_MAX && n->ping_count > 0; i++)
		if (n->pings[i].used)
			at = ov_min(at, n->pings[i].expires_at);
	return at;
}

void ping_forget(struct node *n, const struct peer *p)
{
	for (size_t i = 0; i < PINGS_MAX; i++)
		if (n->pings[i].used && n->pings[i].peer == p)
			finish(n, &n->pings[i],
				&(struct node_event){ .type = NODE_PING_TIMEOUT,
					.peer = p->contact.id,
					.token = n->pings[i].token });
}
