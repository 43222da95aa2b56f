/* One side's NAT gives each destination another port, and only a guess can find one. At random: the
 * hard side sends from 256 ports of its own, so that 256 of 64,512 are open, and the other tries
 * 1,200: one hits with 99 % (nat.md part 2, "birthday maths"; danderson/nat-birthday-paradox). By
 * sequence: the port that it gave us is near the one that a facilitator saw last: mostly after it,
 * but before it when it probed us before it asked the facilitator.
 *
 * What is sent is an empty sealed packet: who receives it knows the peer, makes a path of where it
 * came from and asks there. It goes only to the IP at which a relay sees the peer, so that no peer
 * can aim it at a third party; one burst at a time, two an hour for each peer. */
#include "overlay/burst.h"

#include "overlay/frames.h"
#include "overlay/keys.h"
#include "overlay/link.h"
#include "overlay/meet.h"
#include "overlay/netcheck.h"
#include "overlay/network.h"

#define LOWEST_PORT   1024u
#define PORTS         64512u /* 2^10 x 9 x 7 */
#define PROBES        1200
#define PROBE_EVERY   (10 * OV_MS)
#define OPEN_EVERY    (20 * OV_MS)
#define LAST_FOR      (14 * OV_SEC)
#define PREDICT_COUNT 60
#define AGAIN_AFTER   (20 * OV_SEC)
#define HOUR          (3600 * OV_SEC)

bool burst_must_wait(const struct node *n, ov_time now, const struct peer *p, ov_time *until)
{
	*until = p->bursts[1] == OV_NEVER ? 0 : p->bursts[1] + HOUR;
	return n->burst.peer != p && now < *until;
}

static bool may_begin(const struct node *n, ov_time now, const struct peer *p)
{
	ov_time until;
	if (n->burst.peer || (n->burst.ended_at != 0 && now - n->burst.ended_at < AGAIN_AFTER))
		return false;
	return !burst_must_wait(n, now, p, &until);
}

enum nat_method burst_method(const struct node *n, const struct peer *p)
{
	const struct meeting *m = &p->association->meeting;
	struct nat_class own = netcheck_class(n, true);
	return m->told_side ? nat_method(nat_side(&own), (enum nat_side)m->their_side) : NAT_PUNCH;
}

static bool is_coprime(uint32_t stride)
{
	return stride % 2 != 0 && stride % 3 != 0 && stride % 7 != 0;
}

/* Each port once, in an order that nobody knows. */
static void shuffle(struct node *n, struct burst *b)
{
	b->first = rng_u32(&n->rng) % PORTS;
	do
		b->stride = rng_u32(&n->rng) % PORTS;
	while (!is_coprime(b->stride));
}

static void finish(struct node *n, ov_time now, uint16_t keep)
{
	struct burst *b = &n->burst;
	if (b->opens)
		node_emit(n, &(struct node_event){ .type = NODE_PORTS_DONE, .count = keep });
	*b = (struct burst){ .next_at = OV_NEVER, .ended_at = now };
}

/* The easy side guesses: where does it begin? */
static void aim(struct node *n, struct burst *b, const struct punch_frame *theirs)
{
	if (b->step == 0)
		shuffle(n, b);
	else if (addr_same_ip(&theirs->external, &b->target))
		b->first = theirs->external.port;
	else
		b->first = b->target.port;
}

void burst_begin(struct node *n, ov_time now, struct peer *p, const struct punch_frame *theirs)
{
	struct ov_addr seen = link_observed(n, p->association->active);
	struct nat_class own = netcheck_class(n, addr_is_v4(&seen));
	enum nat_side side = nat_side(&own);
	bool known = theirs->side <= NAT_SIDE_HARD && meet_may_probe(n, &seen);
	if (!known || !may_begin(n, now, p))
		return;
	enum nat_method method = nat_method(side, (enum nat_side)theirs->side);
	bool opens = side > (enum nat_side)theirs->side;
	if (method != NAT_BIRTHDAY && (method != NAT_PREDICT || opens))
		return; /* a sequence: the probes of the round make its next binding */
	struct burst *b = &n->burst;
	*b = (struct burst){ .peer = p,
		.opens = opens,
		.target = seen,
		.most = method == NAT_PREDICT ? PREDICT_COUNT : PROBES,
		.step = method == NAT_PREDICT ? theirs->step : 0,
		.next_at = opens ? OV_NEVER : now };
	p->bursts[1] = p->bursts[0];
	p->bursts[0] = now;
	if (opens) /* until the edge has opened them */
		node_emit(
			n, &(struct node_event){ .type = NODE_PORTS_WANTED, .count = BURST_PORTS });
	else
		aim(n, b, theirs);
}

void node_ports(struct node *n, ov_time now, const uint16_t *ports, size_t count)
{
	struct burst *b = &n->burst;
	if (!b->peer || !b->opens)
		return;
	b->port_count = count < BURST_PORTS ? count : BURST_PORTS;
	memcpy(b->ports, ports, b->port_count * sizeof(*ports));
	b->most = (uint32_t)b->port_count;
	b->next_at = now;
}

/* How far from the last port seen. The step that was seen may be several of the sequence: each port
 * is tried, two after it for one before it. */
static int near(uint32_t i)
{
	int third = (int)(i / 3), part = (int)(i % 3);
	return part == 2 ? -(third + 1) : 2 * third + part + 1;
}

static struct dgram next_probe(const struct node *n, const struct burst *b)
{
	struct dgram d = { .carrier = CARRIER_UDP, .remote = b->target };
	if (b->opens)
		d.local.port = b->ports[b->sent];
	else if (b->step != 0)
		d.remote.port = (uint16_t)((int)b->first + (b->step < 0 ? -1 : 1) * near(b->sent));
	else
		d.remote.port = (uint16_t)(LOWEST_PORT +
					   (b->first + (uint64_t)b->stride * b->sent) % PORTS);
	if (!b->opens)
		d.remote = network_target(n, &d.remote);
	return d;
}

static void send(struct node *n, ov_time now, struct peer *p, const struct dgram *where)
{
	uint8_t nothing[1];
	struct wr empty = wr_init(nothing, sizeof(nothing));
	if (where->remote.port != 0)
		(void)frames_send_to(n, now, p, &empty, where);
}

void burst_tick(struct node *n, ov_time now)
{
	struct burst *b = &n->burst;
	if (!b->peer)
		return;
	const struct keys *k = keys_sending(b->peer->association, now);
	ov_time every = b->opens ? OPEN_EVERY : PROBE_EVERY;
	for (; k && b->sent < b->most && now >= b->next_at; b->next_at += every, b->sent++) {
		struct dgram where = next_probe(n, b);
		send(n, now, b->peer, &where);
	}
	if (!k || now - b->peer->bursts[0] >= LAST_FOR)
		finish(n, now, 0);
	else if (b->sent == b->most)
		b->next_at = OV_NEVER; /* what comes until the end still counts */
}

ov_time burst_deadline(const struct node *n)
{
	const struct burst *b = &n->burst;
	return b->peer ? ov_min(b->next_at, b->peer->bursts[0] + LAST_FOR) : OV_NEVER;
}

void burst_found(struct node *n, ov_time now, const struct peer *p, const struct path *path)
{
	const struct burst *b = &n->burst;
	if (b->peer != p || path->carrier != CARRIER_UDP)
		return;
	bool ours = false;
	for (size_t i = 0; i < b->port_count; i++)
		ours |= b->ports[i] == path->local.port;
	finish(n, now, ours ? path->local.port : 0);
}

void burst_forget(struct node *n, const struct peer *p)
{
	if (n->burst.peer == p)
		finish(n, p->bursts[0], 0);
}
