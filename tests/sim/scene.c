/* Scenes check what they are about with scene_require: a story that was updated blindly still fails
 * when its point is lost. */
#include "tests/sim/scene.h"

#include "core/pmtu.h"
#include "tests/sim/hostile.h"
#include "tests/sim/meeting.h"
#include "tests/sim/stream_scene.h"

#include <stdarg.h>

#define A_IP addr_v4(198, 51, 100, 1, 0)
#define B_IP addr_v4(203, 0, 113, 2, 0)

void scene_say(struct sim *s, const char *format, ...)
{
	char line[200];
	va_list args;
	va_start(args, format);
	vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	trace_tell(&s->trace, s->now, "-", "%s", line);
}

void scene_require(struct sim *s, bool holds, const char *what)
{
	if (!holds)
		oracle_break(s, "scene", "%s", what);
}

/* a and b in the core, 10 ms from it each; a knows where b is. */
static void two_public(struct sim *s)
{
	struct host *a = world_public(s, A_IP, 10 * OV_MS);
	struct host *b = world_public(s, B_IP, 10 * OV_MS);
	world_befriend(s, a, b, world_address(s, b));
}

static void first_contact(struct sim *s)
{
	two_public(s);
	struct host *a = &s->hosts[0], *b = &s->hosts[1];
	host_start(s, b, 1, true);
	host_start(s, a, 1, false);
	sim_run_for(s, OV_SEC);
	scene_say(s, "a sends a ping to b's overlay address");
	struct talk *t = host_talk(s, a, b->id, TALK_ECHO, OV_SEC, s->now + 4 * OV_SEC);
	sim_run_for(s, 10 * OV_SEC);
	scene_say(s, "%llu sent, %llu answered", (unsigned long long)t->sent,
		(unsigned long long)t->answered);
	scene_require(
		s, t->answered == t->sent && world_connected(s, a, b), "every ping is answered");
	oracle_check_agreement(s);
}

/* Like two_public, and both are up already, with a datagram from a to b every 10 ms. */
static struct friend *two_talking(struct sim *s)
{
	two_public(s);
	struct host *a = &s->hosts[0], *b = &s->hosts[1];
	host_start(s, b, 1, true);
	host_start(s, a, 1, true);
	sim_run_for(s, 2 * OV_SEC);
	scene_require(s, world_connected(s, a, b), "a and b are up after 2 s");
	host_talk(s, a, b->id, TALK_UDP, 10 * OV_MS, OV_NEVER);
	sim_run_for(s, OV_SEC);
	host_friend(b, a->id)->longest_gap = 0;
	return host_friend(b, a->id);
}

void scene_say_gap(struct sim *s, const struct friend *f, ov_time limit)
{
	scene_say(s, "longest gap in a datagram every 10 ms: %lld ms",
		(long long)(f->longest_gap / OV_MS));
	scene_require(s, s->now - f->last_received < 200 * OV_MS, "the datagrams flow again");
	scene_require(s, f->longest_gap <= limit, "the gap is as short as promised");
}

static void say_transfer(struct sim *s, const struct flow *f)
{
	scene_say(s, "transfer: %llu of %llu bytes, longest stall %lld ms",
		(unsigned long long)f->acked, (unsigned long long)f->total,
		(long long)(f->longest_stall / OV_MS));
	scene_require(s, f->state == FLOW_DONE, "the transfer ends");
}

static void simultaneous_handshake(struct sim *s)
{
	two_public(s);
	struct host *a = &s->hosts[0], *b = &s->hosts[1];
	struct ov_addr at = world_address(s, a);
	host_endpoint(b, 0, &at);
	host_start(s, a, 1, true);
	host_start(s, b, 1, true);
	scene_say(s, "both call at the same moment");
	host_talk(s, a, b->id, TALK_ECHO, 100 * OV_MS, s->now + OV_SEC);
	struct talk *t = host_talk(s, b, a->id, TALK_ECHO, 100 * OV_MS, s->now + OV_SEC);
	sim_run_for(s, 5 * OV_SEC);
	scene_say(s, "b: %llu sent, %llu answered", (unsigned long long)t->sent,
		(unsigned long long)t->answered);
	scene_require(s, t->answered == t->sent, "every ping is answered");
	oracle_check_agreement(s);
}

static void roam_v4_to_v4(struct sim *s)
{
	struct friend *f = two_talking(s);
	struct host *a = &s->hosts[0];
	struct flow *flow = host_transfer(s, a, 1, 2000000);
	flow->pace = 10 * OV_MS;
	sim_run_for(s, 500 * OV_MS);
	world_renumber(s, a, world_iface(s, a, 0), addr_v4(198, 51, 100, 77, 0));
	sim_run_for(s, 5 * OV_SEC);
	scene_say_gap(s, f, 140 * OV_MS);
	say_transfer(s, flow);
	oracle_check_agreement(s);
}

static void roam_both_interfaces(struct sim *s)
{
	two_public(s);
	struct host *a = &s->hosts[0], *b = &s->hosts[1];
	struct link_config slow = world_link(40 * OV_MS);
	uint32_t wlan = world_iface(s, a, 0);
	uint32_t cell = net_add_iface(&s->net, a->id, NET_CORE, &slow);
	net_address_add(
		&s->net, cell, &(struct ov_addr){ .ip = { 0x20, 0x01, 0x0d, 0xb8, [15] = 7 } });
	net_address_add(&s->net, world_iface(s, b, 0),
		&(struct ov_addr){ .ip = { 0x20, 0x01, 0x0d, 0xb8, [15] = 2 } });
	struct ov_addr b6 = { .ip = { 0x20, 0x01, 0x0d, 0xb8, [15] = 2 }, .port = HOST_PORT };
	host_endpoint(a, 0, &b6);
	world_start_all(s);
	sim_run_for(s, 2 * OV_SEC);
	host_talk(s, a, b->id, TALK_UDP, 10 * OV_MS, OV_NEVER);
	sim_run_for(s, 3 * OV_SEC);
	struct friend *f = host_friend(b, a->id);
	f->longest_gap = 0;
	scene_say(s, "the first interface goes down, the second one (IPv6, slower) stays");
	s->net.ifaces[wlan]->up = false;
	host_network_changed(s, a, false);
	sim_run_for(s, 5 * OV_SEC);
	scene_say_gap(s, f, 200 * OV_MS);
	f->longest_gap = 0;
	scene_say(s, "it comes back");
	s->net.ifaces[wlan]->up = true;
	host_network_changed(s, a, false);
	sim_run_for(s, 10 * OV_SEC);
	scene_say_gap(s, f, 200 * OV_MS);
	oracle_check_agreement(s);
}

static void nat_rebinding(struct sim *s)
{
	struct nat_config nat = world_nat(addr_v4(198, 51, 100, 9, 0));
	uint32_t box;
	struct host *a = world_behind(s, &nat, 10 * OV_MS, &box);
	struct host *b = world_public(s, B_IP, 10 * OV_MS);
	world_befriend(s, a, b, world_address(s, b));
	world_start_all(s);
	sim_run_for(s, 2 * OV_SEC);
	host_talk(s, a, b->id, TALK_UDP, 10 * OV_MS, OV_NEVER);
	host_talk(s, b, a->id, TALK_UDP, 10 * OV_MS, OV_NEVER);
	sim_run_for(s, 2 * OV_SEC);
	struct friend *at_a = host_friend(a, b->id), *at_b = host_friend(b, a->id);
	at_a->longest_gap = at_b->longest_gap = 0;
	scene_say(s, "the NAT box forgets everything");
	nat_reboot(&s->net.gateways[box]->nat4, &s->net.seed);
	sim_run_for(s, 5 * OV_SEC);
	scene_say(s, "from a to b");
	scene_say_gap(s, at_b, OV_SEC);
	scene_say(s, "from b to a");
	scene_say_gap(s, at_a, OV_SEC);
	oracle_check_agreement(s);
}

static void rekey_under_traffic_no_loss(struct sim *s)
{
	two_public(s);
	struct host *a = &s->hosts[0], *b = &s->hosts[1];
	world_start_all(s);
	sim_run_for(s, 2 * OV_SEC);
	struct talk *there = host_talk(s, a, b->id, TALK_UDP, 20 * OV_MS, s->now + 400 * OV_SEC);
	struct talk *back = host_talk(s, b, a->id, TALK_UDP, 20 * OV_MS, s->now + 400 * OV_SEC);
	sim_run_for(s, 402 * OV_SEC);
	struct peer_info info;
	scene_require(s, node_peer_info(a->node, s->now, &b->self.id, &info), "a knows b");
	scene_say(s, "%llu handshakes; a to b %llu of %llu, b to a %llu of %llu",
		(unsigned long long)info.handshakes,
		(unsigned long long)host_friend(b, a->id)->received,
		(unsigned long long)there->sent,
		(unsigned long long)host_friend(a, b->id)->received,
		(unsigned long long)back->sent);
	scene_require(s, info.handshakes >= 4, "keys were renewed at least three times");
	scene_require(s,
		host_friend(b, a->id)->received == there->sent &&
			host_friend(a, b->id)->received == back->sent,
		"nothing was lost");
	oracle_check_agreement(s);
}

static void peer_restart(struct sim *s)
{
	struct friend *f = two_talking(s);
	struct host *a = &s->hosts[0], *b = &s->hosts[1];
	struct peer_info before, after;
	scene_require(s, node_peer_info(a->node, s->now, &b->self.id, &before), "a knows b");
	scene_say(s, "b is killed and started again");
	host_stop(b);
	sim_run_for(s, 50 * OV_MS);
	host_start(s, b, 1, true);
	sim_run_for(s, 8 * OV_SEC);
	scene_say_gap(s, f, 3 * OV_SEC);
	scene_require(s,
		node_peer_info(a->node, s->now, &b->self.id, &after) &&
			before.association != after.association,
		"it is a new association");
	oracle_check_agreement(s);
}

static void sleep_and_resume(struct sim *s)
{
	struct friend *f = two_talking(s);
	struct host *a = &s->hosts[0];
	const ov_time naps[] = { 30 * OV_SEC, 12 * 3600 * OV_SEC };
	for (size_t i = 0; i < 2; i++) {
		host_sleep(s, a);
		sim_run_for(s, naps[i]);
		ov_time woke = s->now;
		host_wake(s, a);
		sim_run_for(s, 5 * OV_SEC);
		f->longest_gap = 0;
		sim_run_for(s, 5 * OV_SEC);
		scene_say(s, "after %lld s of sleep", (long long)(naps[i] / OV_SEC));
		scene_say_gap(s, f, 100 * OV_MS);
		(void)woke;
	}
	oracle_check_agreement(s);
}

static void cookie_under_load(struct sim *s)
{
	hostile_init(s);
	two_talking(s);
	struct host *b = &s->hosts[1], *c = world_public(s, addr_v4(198, 51, 100, 3, 0), 5 * OV_MS);
	world_befriend(s, c, b, world_address(s, b));
	struct contact contact = { .id = c->self.id, .name = "c" };
	scene_require(s, node_contact_put(b->node, s->now, &contact, false) == OV_OK, "b adds c");
	scene_say(s, "strangers flood b with well-made HS1 from spoofed addresses");
	s->trace.telling = false;
	for (int i = 0; i < 60; i++) {
		hostile_attack(s, ATTACK_STRANGER, b->id, 20);
		sim_run_for(s, 10 * OV_MS);
	}
	s->trace.telling = true;
	scene_say(s, "in the middle of it c calls b");
	host_start(s, c, 1, true);
	sim_run_for(s, 3 * OV_SEC);
	scene_require(s, world_connected(s, b, c), "c came through");
	scene_say_gap(s, host_friend(b, 0), 20 * OV_MS);
}

static void stale_seq_liveness_cookie(struct sim *s)
{
	two_public(s);
	struct host *a = &s->hosts[0], *b = &s->hosts[1];
	a->config.boot_epoch = 6;
	world_start_all(s);
	sim_run_for(s, 2 * OV_SEC);
	scene_say(s, "a's disk goes back to an older state; a starts again");
	host_stop(a);
	sim_run_for(s, 20 * OV_SEC);
	host_start(s, a, -4, true);
	sim_run_for(s, 10 * OV_SEC);
	scene_require(s, world_connected(s, a, b), "a and b are up again");
	oracle_check_agreement(s);
}

static void mtu_1300(struct sim *s)
{
	struct friend *f = two_talking(s);
	struct host *a = &s->hosts[0];
	struct flow *flow = host_transfer(s, a, 1, 3000000);
	flow->pace = 20 * OV_MS;
	sim_run_for(s, 500 * OV_MS);
	scene_say(s, "from now on datagrams above 1300 B vanish without a word");
	struct link_config narrow = world_link(10 * OV_MS);
	narrow.mtu = 1300;
	net_link_change(&s->net, world_iface(s, a, 0), &narrow);
	sim_run_for(s, 20 * OV_SEC);
	say_transfer(s, flow);
	scene_require(s, flow->longest_stall <= 5 * OV_SEC, "the transfer goes on within 5 s");
	scene_say_gap(s, f, 20 * OV_MS);
}

static bool sends_to(struct sim *s, struct host *h, struct host *to, struct ov_addr where)
{
	struct peer_info info;
	return node_peer_info(h->node, s->now, &to->self.id, &info) && info.has_active &&
	       addr_equal(&info.active.remote, &where);
}

static void forwarder(struct sim *s, bool both_ways)
{
	hostile_init(s);
	struct friend *f = two_talking(s);
	struct host *a = &s->hosts[0], *b = &s->hosts[1];
	host_talk(s, b, a->id, TALK_UDP, 10 * OV_MS, OV_NEVER);
	sim_run_for(s, OV_SEC);
	host_friend(a, b->id)->longest_gap = 0;
	scene_say(s, "somebody sends copies of a's datagrams ahead, from his own address%s",
		both_ways ? ", and carries the answers back" : "");
	hostile_forward(s,
		&(struct forwarder){
			.host = a->id, .lead = OV_MS, .originals = true, .both_ways = both_ways });
	sim_run_for(s, 3 * OV_SEC);
	scene_require(s, sends_to(s, b, a, world_address(s, a)), "b sends to a's true address");
	hostile_forward(s, &(struct forwarder){ .host = NET_NONE });
	sim_run_for(s, OV_SEC);
	scene_say(s, "from a to b");
	scene_say_gap(s, f, 20 * OV_MS);
	scene_say(s, "from b to a");
	scene_say_gap(s, host_friend(a, b->id), 400 * OV_MS);
	oracle_check_agreement(s);
}

/* He answers no challenge: his address is never believed. */
static void on_path_forwarder_is_not_followed(struct sim *s)
{
	forwarder(s, false);
}

/* He carries challenges too, so his address is a way; but the true one still works. */
static void on_path_forwarder_reverts(struct sim *s)
{
	forwarder(s, true);
}

static void set_weather(struct sim *s, uint32_t loss_ppm)
{
	for (uint32_t i = 0; i < s->net.iface_count; i++) {
		struct link_config c = world_link(10 * OV_MS);
		c.jitter = 20 * OV_MS;
		c.reorder_ppm = PPM / 5;
		c.reorder_delay = 30 * OV_MS;
		c.duplicate_ppm = PPM / 4;
		c.loss_ppm = loss_ppm;
		net_link_change(&s->net, i, &c);
	}
}

static void rough_weather(struct sim *s)
{
	struct friend *f = two_talking(s);
	struct host *a = &s->hosts[0], *b = &s->hosts[1];
	host_talk(s, b, a->id, TALK_UDP, 10 * OV_MS, OV_NEVER);
	set_weather(s, 0);
	struct flow *flow = host_transfer(s, a, b->id, 2000000);
	scene_say(s, "every link reorders 20 %%, duplicates 25 %%, and loses 60 %% for 4 s of 6");
	s->trace.telling = false;
	ov_time worst = 0;
	for (int i = 0; i < 20; i++) {
		set_weather(s, PPM * 6 / 10);
		sim_run_for(s, 4 * OV_SEC);
		set_weather(s, 0);
		sim_run_for(s, OV_SEC);
		f->longest_gap = 0;
		sim_run_for(s, OV_SEC);
		worst = ov_max(worst, ov_max(f->longest_gap, s->now - f->last_received));
	}
	for (uint32_t i = 0; i < s->net.iface_count; i++)
		net_link_change(&s->net, i, &(struct link_config){ .delay = 10 * OV_MS });
	sim_run_for(s, 60 * OV_SEC);
	s->trace.telling = true;
	scene_say(
		s, "longest gap later than 1 s after a burst: %lld ms", (long long)(worst / OV_MS));
	scene_require(s, worst < 200 * OV_MS, "1 s after each burst the datagrams flow");
	scene_say(s, "a minute of calm; transfer: %llu of %llu bytes",
		(unsigned long long)flow->acked, (unsigned long long)flow->total);
	scene_require(s, flow->state == FLOW_DONE, "the transfer ends");
	struct peer_info info;
	scene_require(s,
		node_peer_info(a->node, s->now, &b->self.id, &info) && info.active.pmtu == PMTU_MAX,
		"loss was not taken for a small MTU for long");
	oracle_check_agreement(s);
}

static void cold_is_silent(struct sim *s)
{
	for (size_t i = 0; i < 4; i++)
		world_public(s, addr_v4(198, 51, 100, (uint8_t)(1 + i), 0), 10 * OV_MS);
	for (size_t i = 1; i < 4; i++)
		world_befriend(s, &s->hosts[0], &s->hosts[i], world_address(s, &s->hosts[i]));
	for (size_t i = 0; i < 4; i++)
		host_start(s, &s->hosts[i], 1, false);
	sim_run_for(s, 3600 * OV_SEC);
	uint64_t sent = 0;
	for (size_t i = 0; i < 4; i++)
		sent += s->hosts[i].emitted;
	scene_say(s, "an hour of nobody wanting anybody: %llu datagrams, %llu wake-ups",
		(unsigned long long)sent, (unsigned long long)s->steps);
	scene_require(s, sent == 0 && s->steps == 0, "cold contacts cost nothing");
}

const struct scene scenes[] = {
	{ "first_contact", 2, first_contact },
	{ "simultaneous_handshake", 2, simultaneous_handshake },
	{ "roam_v4_to_v4", 2, roam_v4_to_v4 },
	{ "roam_both_interfaces", 2, roam_both_interfaces },
	{ "nat_rebinding", 2, nat_rebinding },
	{ "rekey_under_traffic_no_loss", 2, rekey_under_traffic_no_loss },
	{ "peer_restart", 2, peer_restart },
	{ "sleep_and_resume", 2, sleep_and_resume },
	{ "cookie_under_load", 3, cookie_under_load },
	{ "stale_seq_liveness_cookie", 2, stale_seq_liveness_cookie },
	{ "mtu_1300", 2, mtu_1300 },
	{ "on_path_forwarder_is_not_followed", 2, on_path_forwarder_is_not_followed },
	{ "on_path_forwarder_reverts", 2, on_path_forwarder_reverts },
	{ "rough_weather", 2, rough_weather },
	{ "cold_is_silent", 4, cold_is_silent },
	{ "relay_then_direct", 3, meeting_relay_then_direct },
	{ "punch_past_open_routers", 3, meeting_punch_past_open_routers },
	{ "symmetric_pair_stays_relayed", 3, meeting_symmetric_pair_stays_relayed },
	{ "relay_from_elsewhere", 3, meeting_relay_from_elsewhere },
	{ "facilitator_restarts", 5, meeting_facilitator_restarts },
	{ "both_move_at_once_with_a_facilitator", 3, meeting_both_move_at_once },
	{ "stream_there_and_back", 2, stream_scene_there_and_back },
	{ "stream_given_up", 2, stream_scene_given_up },
	{ "stream_roams", 2, stream_scene_roams },
	{ "stream_rekeys", 2, stream_scene_rekeys },
	{ "stream_sleeps", 2, stream_scene_sleeps },
	{ "stream_peer_restarts", 2, stream_scene_peer_restarts },
	{ "stream_waits_for_its_peer", 2, stream_scene_waits_for_its_peer },
	{ "stream_leaves_the_relay", 3, stream_scene_leaves_the_relay },
	{ "stream_idle_costs_nothing", 2, stream_scene_idle_costs_nothing },
};
const size_t scene_count = sizeof(scenes) / sizeof(scenes[0]);

struct sim *scene_play(const struct scene *scene, bool verbose)
{
	struct sim *s = sim_new(1, scene->hosts);
	s->trace.telling = true;
	s->trace.verbose = verbose;
	scene->play(s);
	return s;
}
