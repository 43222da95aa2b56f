/* a and b are 10 ms from the core each: 40 ms RTT. */
#include "tests/sim/stream_scene.h"

#include "tests/sim/kind.h"
#include "tests/sim/oracle_streams.h"

#define DELAY (10 * OV_MS)
#define RTT   (4 * DELAY)
#define HOUR  (3600 * OV_SEC)

/* Both up. */
static void two(struct sim *s)
{
	struct host *a = world_public(s, addr_v4(198, 51, 100, 1, 0), DELAY);
	struct host *b = world_public(s, addr_v4(203, 0, 113, 2, 0), DELAY);
	world_befriend(s, a, b, world_address(s, b));
	host_start(s, b, 1, true);
	host_start(s, a, 1, true);
	sim_run_for(s, 2 * OV_SEC);
	scene_require(s, world_connected(s, a, b), "a and b are up after 2 s");
}

static void all_is_freed(struct sim *s)
{
	sim_run_for(s, OV_SEC);
	oracle_check_streams_over(s);
	oracle_check_streams_freed(s);
}

/* A question that ends, then the answer to all of it. */
void stream_scene_there_and_back(struct sim *s)
{
	struct app_manner question = { .size = 100 }, answer = { .size = 5000 };
	two(s);
	ov_time zero = s->now;
	const struct app_stream *x = apps_open(s, &s->hosts[0], 1, &question, &answer);
	sim_run_for(s, OV_SEC);
	scene_require(s, x->way[APP_OPENER].first_read_at - zero <= RTT / 2 + OV_MS,
		"the first byte goes at once");
	scene_require(s,
		x->way[APP_TAKER].ended && x->way[APP_TAKER].ended_at - zero <= RTT + OV_MS,
		"the answer is there after one round trip");
	scene_say(s, "and to itself");
	x = apps_open(s, &s->hosts[0], 0, &question, &answer);
	sim_run_for(s, OV_SEC);
	scene_require(s, x->way[APP_TAKER].ended, "the same to itself");
	all_is_freed(s);
}

void stream_scene_given_up(struct sim *s)
{
	struct app_manner plain = { .size = 3000 }, big = { .size = 100000 };
	struct app_manner resets = {
		.size = 3000, .quit = APP_RESETS, .quit_at = 2000, .code = 300
	};
	struct app_manner stops = { .size = 3000, .quit = APP_STOPS, .quit_at = 2000, .code = 301 };
	struct app_manner closes = {
		.size = 3000, .quit = APP_CLOSES, .quit_at = 1000, .code = 302
	};
	struct app_manner leaves = { .size = 3000, .quit = APP_LEAVES, .code = 303 };
	two(s);
	scene_say(s, "a resets its direction, and reads on");
	const struct app_stream *x = apps_open(s, &s->hosts[0], 1, &resets, &plain);
	sim_run_for(s, OV_SEC);
	scene_require(s, x->way[APP_TAKER].ended, "the other direction is whole");
	scene_say(s, "b reads no more than 2000 B, and writes on");
	x = apps_open(s, &s->hosts[0], 1, &big, &stops);
	sim_run_for(s, OV_SEC);
	scene_require(s, x->way[APP_TAKER].ended, "what the other writes is whole");
	scene_say(s, "b closes in the middle");
	(void)apps_open(s, &s->hosts[0], 1, &big, &closes);
	sim_run_for(s, OV_SEC);
	scene_say(s, "a ends, and closes without reading");
	x = apps_open(s, &s->hosts[0], 1, &leaves, &big);
	sim_run_for(s, OV_SEC);
	scene_require(s, x->way[APP_OPENER].ended, "what was ended is delivered");
	all_is_freed(s);
}

static void say_stream(struct sim *s, const struct app_stream *x)
{
	scene_say(s, "%llu of %llu bytes are at b", (unsigned long long)x->way[APP_OPENER].read,
		(unsigned long long)x->manner[APP_OPENER].size);
	scene_require(s, x->way[APP_OPENER].ended, "all of it");
}

/* 2 MB in 2 s, the address changes four times meanwhile. */
void stream_scene_roams(struct sim *s)
{
	struct app_manner writer = { .size = 2000000, .write_most = 10000 }, reader = { 0 };
	writer.write_every = 10 * OV_MS;
	two(s);
	struct app_stream *x = apps_open(s, &s->hosts[0], 1, &writer, &reader);
	s->trace.telling = false;
	for (uint8_t i = 0; i < 4; i++) {
		sim_run_for(s, 400 * OV_MS);
		world_renumber(s, &s->hosts[0], world_iface(s, &s->hosts[0], 0),
			addr_v4(198, 51, 100, (uint8_t)(70 + i), 0));
	}
	sim_run_for(s, OV_SEC);
	s->trace.telling = true;
	scene_say(s, "a had four other addresses within 1.6 s");
	say_stream(s, x);
	all_is_freed(s);
}

void stream_scene_rekeys(struct sim *s)
{
	struct app_manner writer = { .size = 4000000, .write_most = 1000 }, reader = { 0 };
	struct peer_info before, after;
	writer.write_every = 100 * OV_MS;
	two(s);
	struct host *a = &s->hosts[0], *b = &s->hosts[1];
	scene_require(s, node_peer_info(a->node, s->now, &b->self.id, &before), "a knows b");
	struct app_stream *x = apps_open(s, a, 1, &writer, &reader);
	sim_run_for(s, 401 * OV_SEC);
	scene_require(s, node_peer_info(a->node, s->now, &b->self.id, &after), "a knows b");
	scene_say(s, "%llu handshakes", (unsigned long long)after.handshakes);
	scene_require(s, after.handshakes >= 4 && before.association == after.association,
		"other keys, the same association");
	say_stream(s, x);
	all_is_freed(s);
}

/* What an ssh session does over night. */
void stream_scene_sleeps(struct sim *s)
{
	struct app_manner user = { .size = 2000, .hold_at = 1000 }, shell = { .size = 3000 };
	shell.hold_at = 1000;
	two(s);
	struct app_stream *x = apps_open(s, &s->hosts[0], 1, &user, &shell);
	sim_run_for(s, 10 * 60 * OV_SEC);
	scene_say(s, "ten minutes of silence");
	host_sleep(s, &s->hosts[0]);
	sim_run_for(s, 12 * HOUR);
	host_wake(s, &s->hosts[0]);
	scene_say(s, "a key is pressed");
	ov_time woke = s->now;
	apps_release(s, x);
	sim_run_for(s, OV_SEC);
	scene_require(s, x->way[APP_OPENER].ended && x->way[APP_TAKER].ended, "the stream lives");
	scene_require(s, x->way[APP_OPENER].ended_at - woke <= 3 * RTT / 2 + OV_MS,
		"it is there half a round trip after the handshake");
	all_is_freed(s);
}

void stream_scene_peer_restarts(struct sim *s)
{
	struct app_manner writer = { .size = 5000, .hold_at = 3000 }, reader = { .size = 100 };
	two(s);
	struct host *a = &s->hosts[0], *b = &s->hosts[1];
	struct app_stream *x = apps_open(s, a, 1, &writer, &reader);
	sim_run_for(s, OV_SEC);
	scene_say(s, "b is killed and started again");
	host_stop(b);
	sim_run_for(s, 50 * OV_MS);
	host_start(s, b, 1, true);
	sim_run_for(s, 3 * OV_SEC);
	scene_require(s, !x->end[APP_OPENER]->handle, "a was told, and has closed it");
	scene_say(s, "the next one");
	writer.hold_at = 0;
	x = apps_open(s, a, 1, &writer, &reader);
	sim_run_for(s, OV_SEC);
	scene_require(s, x->way[APP_OPENER].ended, "the next one works");
	all_is_freed(s);
}

/* Opened when b heard nothing any more, though a did hear b; b has forgotten a meanwhile: it had no
 * stream to keep. */
void stream_scene_waits_for_its_peer(struct sim *s)
{
	struct app_manner writer = { .size = 5000 }, reader = { .size = 100 };
	two(s);
	scene_say(s, "nothing reaches b any more; a opens a stream; then the cable is pulled");
	s->net.ifaces[world_iface(s, &s->hosts[1], 0)]->down_link.config.cut = true;
	const struct app_stream *x = apps_open(s, &s->hosts[0], 1, &writer, &reader);
	sim_run_for(s, 10 * OV_MS);
	host_ping(s, &s->hosts[1], 0);
	s->trace.telling = false;
	sim_run_for(s, OV_SEC);
	net_cut(&s->net, world_iface(s, &s->hosts[1], 0), true);
	sim_run_for(s, 30 * 60 * OV_SEC);
	net_cut(&s->net, world_iface(s, &s->hosts[1], 0), false);
	sim_run_for(s, 6 * 60 * OV_SEC);
	s->trace.telling = true;
	scene_say(s, "half an hour later it is put back");
	scene_require(s, x->way[APP_TAKER].ended, "what waited has come, and was answered");
	all_is_freed(s);
}

void stream_scene_leaves_the_relay(struct sim *s)
{
	struct host *a = kind_host(s, KIND_PORT_RESTRICTED, DELAY);
	struct host *b = kind_host(s, KIND_PORT_RESTRICTED, DELAY);
	world_befriend(s, a, b, (struct ov_addr){ 0 });
	struct host *f = world_public(s, addr_v4(198, 51, 100, 1, 0), DELAY);
	f->config.facilitator = FACILITATOR_OPEN;
	snprintf(f->name, sizeof(f->name), "f");
	host_use(a, f->id);
	host_use(b, f->id);
	for (size_t i = 3; i > 0; i--)
		host_start(s, &s->hosts[i - 1], 1, false);
	sim_run_for(s, OV_SEC);
	struct app_manner writer = { .size = 1000000, .write_most = 10000 }, reader = { 0 };
	writer.write_every = 10 * OV_MS;
	scene_say(s, "a writes to b for a second; it knows b's key and f, and nothing else");
	ov_time zero = s->now;
	const struct app_stream *x = apps_open(s, a, b->id, &writer, &reader);
	s->trace.telling = false;
	sim_run_for(s, 3 * OV_SEC);
	s->trace.telling = true;
	struct peer_info info;
	scene_require(s, x->way[APP_OPENER].first_read_at - zero <= 600 * OV_MS,
		"the first byte is early");
	scene_require(s,
		node_peer_info(a->node, s->now, &b->self.id, &info) && info.has_active &&
			info.active.carrier == CARRIER_UDP,
		"it went on directly");
	scene_say(s, "f relayed %s, the rest went directly",
		node_counters(f->node)->relayed_bytes > 0 ? "the beginning" : "nothing");
	say_stream(s, x);
	all_is_freed(s);
}

/* Open streams cost no packet, here or there. */
void stream_scene_idle_costs_nothing(struct sim *s)
{
	struct app_manner quiet = { .size = 100, .hold_at = 50 };
	two(s);
	for (int i = 0; i < 20; i++)
		(void)apps_open(s, &s->hosts[0], 1, &quiet, &quiet);
	s->trace.telling = false;
	sim_run_for(s, 10 * 60 * OV_SEC);
	s->trace.telling = true;
	uint64_t sent = s->hosts[0].emitted + s->hosts[1].emitted;
	sim_run_for(s, HOUR);
	scene_say(s, "an hour of 20 open streams: %llu datagrams",
		(unsigned long long)(s->hosts[0].emitted + s->hosts[1].emitted - sent));
	scene_require(s, s->hosts[0].emitted + s->hosts[1].emitted == sent, "silence is free");
	s->trace.telling = false;
	for (size_t i = 0; i < s->apps.count; i++)
		apps_release(s, s->apps.streams[i]);
	sim_run_for(s, OV_SEC);
	s->trace.telling = true;
	scene_say(s, "then all of them say more");
	all_is_freed(s);
}
