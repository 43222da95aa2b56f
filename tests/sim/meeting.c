/* Everybody is 10 ms from the core, the facilitator f too: 40 ms RTT direct, 80 ms by relay. Limits
 * are the gates of issue 3, section 7. */
#include "tests/sim/meeting.h"

#include "tests/sim/hostile.h"
#include "tests/sim/kind.h"

#include <stdio.h>

#define DELAY (10 * OV_MS)

/* The last host of a world: a public facilitator, used by all others. */
static struct host *facilitator(struct sim *s)
{
	struct host *f = world_public(s, addr_v4(198, 51, 100, 1, 0), DELAY);
	f->config.facilitator = FACILITATOR_OPEN;
	snprintf(f->name, sizeof(f->name), "f");
	for (uint32_t i = 0; i < f->id; i++)
		host_use(&s->hosts[i], f->id);
	return f;
}

/* f first, so that nobody's first call is in vain. */
static void start(struct sim *s)
{
	for (size_t i = s->host_count; i > 0; i--)
		host_start(s, &s->hosts[i - 1], 1, true);
}

static void pair(struct sim *s, enum kind x, enum kind y)
{
	struct host *a = kind_host(s, x, DELAY), *b = kind_host(s, y, DELAY);
	world_befriend(s, a, b, (struct ov_addr){ 0 });
}

static bool is_direct(struct sim *s, struct host *a, struct host *b)
{
	struct peer_info x, y;
	return node_peer_info(a->node, s->now, &b->self.id, &x) &&
	       node_peer_info(b->node, s->now, &a->self.id, &y) && x.has_active && y.has_active &&
	       x.active.carrier == CARRIER_UDP && y.active.carrier == CARRIER_UDP;
}

static void both_talk(struct sim *s, struct host *a, struct host *b)
{
	host_talk(s, a, b->id, TALK_UDP, 10 * OV_MS, OV_NEVER);
	host_talk(s, b, a->id, TALK_UDP, 10 * OV_MS, OV_NEVER);
}

static void forget_gaps(struct host *a, struct host *b)
{
	host_friend(a, b->id)->longest_gap = host_friend(b, a->id)->longest_gap = 0;
}

static void say_gaps(struct sim *s, struct host *a, struct host *b, ov_time limit)
{
	scene_say(s, "from %s to %s", a->name, b->name);
	scene_say_gap(s, host_friend(b, a->id), limit);
	scene_say(s, "from %s to %s", b->name, a->name);
	scene_say_gap(s, host_friend(a, b->id), limit);
}

void meeting_relay_then_direct(struct sim *s)
{
	pair(s, KIND_PORT_RESTRICTED, KIND_PORT_RESTRICTED);
	facilitator(s);
	struct host *a = &s->hosts[0], *b = &s->hosts[1];
	start(s);
	scene_say(s, "a pings b every 20 ms; it knows b's key and f, and nothing else");
	ov_time zero = s->now;
	struct talk *t = host_talk(s, a, b->id, TALK_ECHO, 20 * OV_MS, s->now + 4 * OV_SEC);
	sim_run_for(s, 5 * OV_SEC);
	const struct friend *at_a = host_friend(a, b->id), *at_b = host_friend(b, a->id);
	scene_say(s, "first answer after %lld ms, direct after %lld ms; %llu sent, %llu answered",
		(long long)((at_a->first_received - zero) / OV_MS),
		(long long)((ov_max(at_a->first_direct, at_b->first_direct) - zero) / OV_MS),
		(unsigned long long)t->sent, (unsigned long long)t->answered);
	scene_require(s, at_a->first_received - zero <= 600 * OV_MS, "the first answer is early");
	scene_require(s, at_a->first_direct > 0 && at_a->first_direct - zero <= OV_SEC,
		"direct within a second");
	scene_require(s, is_direct(s, a, b), "both ends send directly");
	oracle_check_agreement(s);
}

/* Each box takes what comes too early for its own (nat.md part 4): whoever sends the first packet
 * that arrives spoils the other's port for itself. Openers die before. */
void meeting_punch_past_open_routers(struct sim *s)
{
	pair(s, KIND_PORT_RESTRICTED, KIND_PORT_RESTRICTED);
	facilitator(s);
	for (size_t i = 0; i < s->net.gateway_count; i++)
		s->net.gateways[i]->nat4.config.marks = true;
	struct host *a = &s->hosts[0], *b = &s->hosts[1];
	start(s);
	scene_say(s, "both boxes have open ports of their own; a calls b");
	ov_time zero = s->now;
	host_talk(s, a, b->id, TALK_ECHO, 20 * OV_MS, s->now + 4 * OV_SEC);
	sim_run_for(s, 5 * OV_SEC);
	const struct friend *at_a = host_friend(a, b->id), *at_b = host_friend(b, a->id);
	scene_say(s, "direct after %lld ms",
		(long long)((ov_max(at_a->first_direct, at_b->first_direct) - zero) / OV_MS));
	scene_require(s, at_a->first_direct > 0 && at_a->first_direct - zero <= OV_SEC,
		"direct within a second");
	scene_require(s, is_direct(s, a, b), "both ends send directly");
	oracle_check_agreement(s);
}

void meeting_symmetric_pair_stays_relayed(struct sim *s)
{
	pair(s, KIND_RANDOM, KIND_SEQUENTIAL);
	struct host *f = facilitator(s), *a = &s->hosts[0], *b = &s->hosts[1];
	start(s);
	sim_run_for(s, OV_SEC);
	both_talk(s, a, b);
	sim_run_for(s, OV_SEC);
	forget_gaps(a, b);
	uint64_t sent = a->emitted + b->emitted;
	uint64_t relayed = node_counters(f->node)->relayed_bytes;
	sim_run_for(s, 60 * OV_SEC);
	say_gaps(s, a, b, 20 * OV_MS);
	scene_say(s, "in a minute both sent %llu datagrams, 12000 of them with data",
		(unsigned long long)(a->emitted + b->emitted - sent));
	scene_require(s, a->emitted + b->emitted - sent < 13500, "looking for a way is cheap");
	scene_require(s, node_counters(f->node)->relayed_bytes > relayed, "f relays");
	scene_require(
		s, host_friend(a, b->id)->direct + host_friend(b, a->id)->direct == 0, "all of it");
	oracle_check_agreement(s);
}

/* A RELAY has no seal of its own: its address is what tells that it is the client's. */
void meeting_relay_from_elsewhere(struct sim *s)
{
	pair(s, KIND_RANDOM, KIND_SEQUENTIAL);
	struct host *f = facilitator(s), *a = &s->hosts[0], *b = &s->hosts[1];
	hostile_init(s);
	start(s);
	sim_run_for(s, OV_SEC);
	both_talk(s, a, b);
	sim_run_for(s, OV_SEC);
	forget_gaps(a, b);
	uint64_t dropped = node_counters(f->node)->drops[DROP_CHANNEL];
	scene_say(s, "somebody on the way sends copies of what f gets, from his own address");
	for (int i = 0; i < 100; i++) {
		hostile_attack(s, ATTACK_REPLAY, f->id, 4);
		sim_run_for(s, 10 * OV_MS);
	}
	dropped = node_counters(f->node)->drops[DROP_CHANNEL] - dropped;
	scene_say(s, "%llu of 400 dropped at sight", (unsigned long long)dropped);
	scene_require(s, dropped > 300, "f relays for addresses that answered");
	say_gaps(s, a, b, 20 * OV_MS);
	oracle_check_agreement(s);
}

void meeting_facilitator_restarts(struct sim *s)
{
	pair(s, KIND_RANDOM, KIND_RANDOM);
	pair(s, KIND_PORT_RESTRICTED, KIND_FULL_CONE);
	struct host *f = facilitator(s), *a = &s->hosts[0], *b = &s->hosts[1];
	struct host *c = &s->hosts[2], *d = &s->hosts[3];
	start(s);
	sim_run_for(s, OV_SEC);
	both_talk(s, a, b);
	both_talk(s, c, d);
	sim_run_for(s, 2 * OV_SEC);
	scene_require(s, !is_direct(s, a, b) && is_direct(s, c, d), "a relayed and a direct pair");
	forget_gaps(a, b);
	forget_gaps(c, d);
	scene_say(s, "f is killed and started again");
	host_stop(f);
	sim_run_for(s, 100 * OV_MS);
	host_start(s, f, 1, true);
	sim_run_for(s, 10 * OV_SEC);
	say_gaps(s, a, b, 5 * OV_SEC);
	say_gaps(s, c, d, 10 * OV_MS);
	oracle_check_agreement(s);
}

static void move(struct sim *s, struct host *h, uint8_t number)
{
	struct ov_addr inside;
	uint32_t iface = world_iface(s, h, 0);
	net_plug(&s->net, iface, kind_site(s, KIND_PORT_RESTRICTED, number, &inside));
	world_renumber(s, h, iface, inside);
}

void meeting_both_move_at_once(struct sim *s)
{
	pair(s, KIND_PORT_RESTRICTED, KIND_PORT_RESTRICTED);
	facilitator(s);
	struct host *a = &s->hosts[0], *b = &s->hosts[1];
	start(s);
	sim_run_for(s, OV_SEC);
	both_talk(s, a, b);
	sim_run_for(s, 2 * OV_SEC);
	scene_require(s, is_direct(s, a, b), "a and b are direct after 3 s");
	forget_gaps(a, b);
	scene_say(s, "both move to other homes at the same moment");
	move(s, a, 110);
	move(s, b, 111);
	sim_run_for(s, 3 * OV_SEC);
	scene_require(s, is_direct(s, a, b), "direct again within 3 s");
	sim_run_for(s, 5 * OV_SEC);
	say_gaps(s, a, b, 3 * OV_SEC);
	oracle_check_agreement(s);
}
