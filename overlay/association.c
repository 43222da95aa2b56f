/* The warm state of a peer: made when somebody calls, ended 540 s after the last keys, or days
 * later if streams are open. */
#include "overlay/association.h"

#include "overlay/answer.h"
#include "overlay/call.h"
#include "overlay/channel.h"
#include "overlay/keys.h"
#include "overlay/offer.h"
#include "overlay/outbound.h"
#include "overlay/route.h"
#include "overlay/streams.h"

#include <stdlib.h>

const char *peer_state_name(enum peer_state s)
{
	switch (s) {
	case PEER_IDLE: return "idle";
	case PEER_CALLING: return "calling";
	case PEER_UP: return "up";
	case PEER_SUSPECT: return "suspect";
	case PEER_AWAY: return "away";
	}
	assert(false);
	return "";
}

bool association_open(struct node *n, ov_time now, struct peer *p)
{
	if (p->association)
		return true;
	p->association = calloc(1, sizeof(*p->association));
	if (!p->association)
		return false;
	p->association->last_key_at = now;
	p->association->half = rng_u64(&n->rng);
	p->association->meeting.probe_at = p->association->meeting.round_at = OV_NEVER;
	p->association->dial.at = OV_NEVER;
	return true;
}

void association_came_up(struct node *n, struct peer *p, const struct path *path)
{
	p->away = false;
	p->retry_at = OV_NEVER;
	if (p->association->up)
		return;
	p->association->up = true;
	struct node_event ev = { .type = NODE_PEER_UP, .peer = p->contact.id };
	if (path) {
		ev.addr = path->remote;
		ev.rtt = path->rtt.smoothed;
	}
	node_emit(n, &ev);
}

void association_went_down(struct node *n, struct peer *p)
{
	struct association *a = p->association;
	outbound_drop_staged(n, p);
	if (!a->up)
		return;
	a->up = false;
	node_emit(n, &(struct node_event){ .type = NODE_PEER_DOWN, .peer = p->contact.id });
}

void association_close(struct node *n, struct peer *p)
{
	struct association *a = p->association;
	if (!a)
		return;
	association_went_down(n, p);
	call_end(n, p);
	for (size_t i = 0; i < PENDING_MAX; i++)
		if (a->pending[i])
			pending_free(n, a->pending[i]);
	for (size_t i = 0; i < KEYS_MAX; i++)
		keys_free(n, a->keys[i]);
	while (a->path_count > 0)
		route_remove(n, p, a->paths[0]);
	while (a->channels)
		channel_discard(n, a->channels);
	streams_close(n, a, STREAM_PEER_RESTARTED);
	reassembly_free(a->reassembly);
	offer_free(a);
	free(a);
	p->association = NULL;
}

bool association_reaches(const struct association *a, ov_time now)
{
	return keys_sending(a, now) && a->active;
}

bool peer_is_wanted(const struct peer *p, ov_time now)
{
	return p->registration || p->has_invite || streams_are_open(p->association) ||
	       (p->wanted_at != OV_NEVER && now - p->wanted_at < WANTED_FOR);
}

enum peer_state peer_state(const struct peer *p, ov_time now)
{
	const struct association *a = p->association;
	if (keys_sending(a, now) && a->active)
		return path_is_doubtful(a->active, now) && a->active->state == PATH_SUSPECT
			       ? PEER_SUSPECT
			       : PEER_UP;
	if (p->away)
		return PEER_AWAY;
	if (a && a->call)
		return PEER_CALLING;
	return PEER_IDLE;
}
