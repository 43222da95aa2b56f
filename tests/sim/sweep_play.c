/* Troubles that are no property of a link. The two are 40 ms apart unless a relay is between them.
 */
#include "tests/sim/kind.h"
#include "tests/sim/sweep.h"

#include "tests/sim/oracle_streams.h"

#define RTT   (40 * OV_MS)
#define DELAY (10 * OV_MS)
#define RATE  2500000u /* bytes per second: 20 Mbit/s */
#define HOUR  (3600 * OV_SEC)
#define SOON  (100 * OV_MS) /* beyond round trips; issue 1: traffic flows within 1 RTT + 100 ms */

static ov_time at_rate(uint64_t bytes, uint64_t rate)
{
	return (ov_time)(bytes * (uint64_t)OV_SEC / rate);
}

static void require(struct trial *t, bool holds, const char *what)
{
	if (!holds)
		oracle_break(t->s, "scene", "%s", what);
}

static void meet(struct trial *t, uint64_t seed, bool trace)
{
	t->rtt = RTT;
	t->link = (struct link_config){ .bytes_per_second = RATE, .queue = RTT };
	trial_meet(t, seed, trace);
}

/* ---- the link changes ---- */

static void step_rate(struct trial *t)
{
	static const uint64_t rates[] = { RATE, RATE / 4, 2 * RATE, RATE / 20 };
	if (t->turn % 20 != 0)
		return;
	t->link.bytes_per_second = rates[t->turn / 20 % 4];
	trial_relink(t);
}

static void steps(struct trial *t, uint64_t seed, bool trace)
{
	meet(t, seed, trace);
	t->each = step_rate;
	trial_transfer(t, 30000000, 300 * OV_SEC);
	/* a third of the mean of the four: CUBIC gains a segment in a round trip after a loss, so
	 * in 2 s it comes from 1 Mbit/s back to no more than half of 20 */
	t->limit = 3 * at_rate(t->bytes, RATE * 33 / 40);
}

/* Two addresses in turn, as one who walks between two networks. */
static void change_address(struct trial *t)
{
	if (t->turn % 20 == 0 && t->turn <= 400)
		world_renumber(t->s, t->a, world_iface(t->s, t->a, 0),
			addr_v4(198, 51, 100, (uint8_t)(1 + t->turn / 20 % 2), 0));
}

static void moves(struct trial *t, uint64_t seed, bool trace)
{
	meet(t, seed, trace);
	t->each = change_address;
	trial_transfer(t, 60000000, 300 * OV_SEC);
	t->limit = 2 * at_rate(t->bytes, RATE);
}

/* New addresses each time: no path is ever used again. */
static void new_address(struct trial *t)
{
	if (t->turn % 10 == 0 && t->turn <= 200)
		world_renumber(t->s, t->a, world_iface(t->s, t->a, 0),
			addr_v4(198, 51, 100, (uint8_t)(100 + t->turn / 10), 0));
}

static void moves_on(struct trial *t, uint64_t seed, bool trace)
{
	meet(t, seed, trace);
	t->each = new_address;
	trial_transfer(t, 40000000, 300 * OV_SEC);
	t->limit = 2 * at_rate(t->bytes, RATE);
}

static void flap(struct trial *t)
{
	if (t->turn % 15 != 0)
		return;
	struct iface *x = t->s->net.ifaces[world_iface(t->s, t->a, 0)];
	x->up = t->turn / 15 % 2 == 0;
	t->link.cut = !x->up; /* for the share */
	host_network_changed(t->s, t->a, false);
}

static void flaps(struct trial *t, uint64_t seed, bool trace)
{
	meet(t, seed, trace);
	t->each = flap;
	trial_transfer(t, 10000000, 300 * OV_SEC);
	t->limit = 4 * at_rate(t->bytes, RATE); /* half of the time it is down */
	t->s->net.ifaces[world_iface(t->s, t->a, 0)]->up = true;
	t->link.cut = false;
	host_network_changed(t->s, t->a, false);
}

/* ---- without a network ---- */

static void go_down(struct trial *t)
{
	struct iface *x = t->s->net.ifaces[world_iface(t->s, t->a, 0)];
	if (t->turn != 10 && t->turn != 10 + 6000)
		return;
	x->up = t->turn != 10;
	t->link.cut = !x->up;
	host_network_changed(t->s, t->a, false);
}

static void no_network(struct trial *t, uint64_t seed, bool trace)
{
	meet(t, seed, trace);
	t->each = go_down;
	trial_transfer(t, 5000000, 700 * OV_SEC);
	t->limit = 600 * OV_SEC + 3 * OV_SEC + 2 * at_rate(t->bytes, RATE);
}

/* Nobody tells the two: it is a cable in the cellar. They look after each other ever more rarely,
 * at least every 300 s +- 20 % (design.md 5). */
static void cut_silently(struct trial *t)
{
	if (t->turn != 10 && t->turn != 10 + 6000)
		return;
	t->link.cut = t->turn == 10;
	trial_relink(t);
}

static void no_answer(struct trial *t, uint64_t seed, bool trace)
{
	meet(t, seed, trace);
	t->each = cut_silently;
	trial_transfer(t, 5000000, 1200 * OV_SEC);
	t->limit = 600 * OV_SEC + 360 * OV_SEC + 2 * at_rate(t->bytes, RATE);
}

static bool nothing_ended(struct sim *s, void *context)
{
	const struct trial *t = context;
	(void)s;
	return !t->x->way[APP_OPENER].ended;
}

/* An open stream that says nothing; 12 h of sleep; then whoever `speaks` says a little. */
static void sleep_12_h(struct trial *t, uint64_t seed, bool trace, bool sleeper_speaks)
{
	meet(t, seed, trace);
	struct host *sleeper = sleeper_speaks ? t->a : t->b;
	struct app_manner writer = { .size = 2000, .hold_at = 500 }, reader = { 0 };
	if (sim_failed(t->s))
		return;
	t->x = apps_open(t->s, t->a, t->b->id, &writer, &reader);
	sim_run_for(t->s, 60 * OV_SEC);
	host_sleep(t->s, sleeper);
	sim_run_for(t->s, 12 * HOUR);
	t->bytes = 1500;
	if (!sleeper_speaks) { /* it waits for whom it calls */
		apps_release(t->s, t->x);
		sim_run_for(t->s, 60 * OV_SEC);
	}
	t->began = t->s->now;
	host_wake(t->s, sleeper);
	if (sleeper_speaks)
		apps_release(t->s, t->x);
	if (!sim_run_while(t->s, nothing_ended, t, HOUR))
		require(t, false, "the stream lives");
	t->took = t->s->now - t->began;
	t->limit = 2 * RTT + SOON;
}

static void sleeper_speaks(struct trial *t, uint64_t seed, bool trace)
{
	sleep_12_h(t, seed, trace, true);
}

static void other_speaks(struct trial *t, uint64_t seed, bool trace)
{
	sleep_12_h(t, seed, trace, false);
	t->limit += 3 * OV_SEC; /* design.md 5: resume from sleep */
}

/* ---- keys, restarts ---- */

static void rekeys(struct trial *t, uint64_t seed, bool trace)
{
	struct peer_info info;
	meet(t, seed, trace);
	t->link.bytes_per_second = RATE / 20;
	t->link.queue = 200 * OV_MS;
	trial_relink(t);
	trial_transfer(t, 50000000, 1000 * OV_SEC);
	t->limit = at_rate(t->bytes, RATE / 20) * 3 / 2;
	require(t,
		node_peer_info(t->a->node, t->s->now, &t->b->self.id, &info) &&
			info.handshakes >= 4,
		"keys were renewed at least three times");
}

/* The stream ends with code 1 where its peer restarted, and the next one works. */
static void restart(struct trial *t, uint64_t seed, bool trace, bool writer)
{
	meet(t, seed, trace);
	struct app_manner big = { .size = 50000000 }, reader = { 0 };
	struct host *h = writer ? t->a : t->b;
	if (sim_failed(t->s))
		return;
	struct app_stream *x = apps_open(t->s, t->a, t->b->id, &big, &reader);
	sim_run_for(t->s, OV_SEC);
	host_stop(h);
	sim_run_for(t->s, 50 * OV_MS);
	host_start(t->s, h, 1, true);
	sim_run_for(t->s, 3 * OV_SEC);
	const struct app_end *left = x->end[writer ? APP_TAKER : APP_OPENER];
	require(t, left && !left->handle, "the stream has ended where its peer restarted");
	t->capacity = 0;
	trial_transfer(t, 5000000, 100 * OV_SEC);
	t->limit = 2 * at_rate(t->bytes, RATE) + OV_SEC;
}

static void reader_restarts(struct trial *t, uint64_t seed, bool trace)
{
	restart(t, seed, trace, false);
}

static void writer_restarts(struct trial *t, uint64_t seed, bool trace)
{
	restart(t, seed, trace, true);
}

/* ---- relays ---- */

static struct host *facilitator(struct sim *s, uint8_t number)
{
	struct host *f = world_public(s, addr_v4(198, 51, 100, number, 0), DELAY);
	f->config.facilitator = FACILITATOR_OPEN;
	snprintf(f->name, sizeof(f->name), "f%u", number);
	for (uint32_t i = 0; i < 2; i++)
		host_use(&s->hosts[i], f->id);
	return f;
}

static void meet_by_relay(
	struct trial *t, uint64_t seed, bool trace, const enum kind kinds[2], uint8_t facilitators)
{
	t->rtt = RTT;
	t->link = (struct link_config){ .bytes_per_second = RATE, .queue = 2 * RTT };
	t->link.delay = DELAY;
	struct sim *s = t->s = sim_new(seed, 4);
	s->trace.verbose = trace;
	t->a = kind_host(s, kinds[0], DELAY);
	t->b = kind_host(s, kinds[1], DELAY);
	world_befriend(s, t->a, t->b, (struct ov_addr){ 0 });
	for (uint8_t i = 0; i < facilitators; i++)
		facilitator(s, (uint8_t)(1 + i));
	trial_relink(t);
	for (size_t i = s->host_count; i > 0; i--)
		host_start(s, &s->hosts[i - 1], 1, false);
	sim_run_for(s, OV_SEC);
}

static bool is_relayed(struct trial *t)
{
	struct peer_info info;
	return node_peer_info(t->a->node, t->s->now, &t->b->self.id, &info) && info.has_active &&
	       info.active.carrier == CARRIER_RELAY;
}

static void relay_then_direct(struct trial *t, uint64_t seed, bool trace)
{
	const enum kind kinds[] = { KIND_PORT_RESTRICTED, KIND_PORT_RESTRICTED };
	meet_by_relay(t, seed, trace, kinds, 1);
	trial_transfer(t, 10000000, 100 * OV_SEC);
	t->limit = 2 * at_rate(t->bytes, RATE) + OV_SEC;
	require(t, !is_relayed(t), "it went on directly");
}

static void relay_only(struct trial *t, uint64_t seed, bool trace)
{
	const enum kind kinds[] = { KIND_RANDOM, KIND_RANDOM };
	meet_by_relay(t, seed, trace, kinds, 1);
	trial_transfer(t, 10000000, 100 * OV_SEC);
	t->limit = 2 * at_rate(t->bytes, RATE) + OV_SEC;
	require(t, is_relayed(t), "all of it went by the relay");
}

/* The relay in use goes for good; the other one takes over. */
static void lose_relay(struct trial *t)
{
	struct host *used = &t->s->hosts[2];
	if (t->turn != 20)
		return;
	if (node_counters(t->s->hosts[3].node)->relayed_bytes >
		node_counters(used->node)->relayed_bytes)
		used = &t->s->hosts[3];
	host_stop(used);
}

static void relay_switch(struct trial *t, uint64_t seed, bool trace)
{
	const enum kind kinds[] = { KIND_RANDOM, KIND_RANDOM };
	meet_by_relay(t, seed, trace, kinds, 2);
	t->each = lose_relay;
	trial_transfer(t, 20000000, 200 * OV_SEC);
	t->limit = 2 * at_rate(t->bytes, RATE) + 5 * OV_SEC;
}

static void reboot_box(struct trial *t)
{
	if (t->turn % 40 == 0 && t->turn > 0)
		nat_reboot(&t->s->net.gateways[0]->nat4, &t->s->net.seed);
}

static void boxes_restart(struct trial *t, uint64_t seed, bool trace)
{
	const enum kind kinds[] = { KIND_PORT_RESTRICTED, KIND_PORT_RESTRICTED };
	meet_by_relay(t, seed, trace, kinds, 1);
	sim_run_for(t->s, 3 * OV_SEC);
	t->each = reboot_box;
	trial_transfer(t, 20000000, 200 * OV_SEC);
	t->limit = 3 * at_rate(t->bytes, RATE); /* a second of each four is lost, another to grow */
}

/* ---- many ---- */

static void many(struct trial *t, uint64_t seed, bool trace)
{
	struct app_manner writer = { .size = 50000 }, reader = { .size = 1000 };
	meet(t, seed, trace);
	for (int i = 0; i < 200 && !sim_failed(t->s); i++)
		(void)apps_open(t->s, t->a, t->b->id, &writer, &reader);
	trial_transfer(t, 50000, 300 * OV_SEC);
	if (!sim_run_while(t->s, oracle_streams_are_busy, NULL, 300 * OV_SEC))
		oracle_check_streams_over(t->s);
	t->took = t->s->now - t->began;
	t->bytes = 201 * 50000;
	t->limit = 2 * at_rate(t->bytes, RATE) + OV_SEC;
}

/* 100 kB/s for 20 s, then all there is: the writer waits in between (invariant `window`), and is
 * not forgotten. */
static void slow_reader(struct trial *t, uint64_t seed, bool trace)
{
	struct app_manner writer = { .size = 10000000 }, reader = { .read_most = 1000 };
	reader.read_every = 10 * OV_MS;
	meet(t, seed, trace);
	if (sim_failed(t->s))
		return;
	t->began = t->s->now;
	t->x = apps_open(t->s, t->a, t->b->id, &writer, &reader);
	trial_run_for(t, 20 * OV_SEC);
	apps_hasten(t->s);
	if (!sim_run_while(t->s, nothing_ended, t, 100 * OV_SEC))
		require(t, false, "it goes on");
	t->took = t->s->now - t->began;
	t->bytes = 10000000;
	t->limit = 20 * OV_SEC + 2 * at_rate(t->bytes, RATE) + OV_SEC;
}

const struct play plays[] = {
	{ "bandwidth steps", "20, 5, 40 and 1 Mbit/s, 2 s each", steps },
	{ "two addresses in turn", "every 2 s", moves },
	{ "twenty new addresses", "one a second", moves_on },
	{ "interface flaps", "1.5 s up, 1.5 s down", flaps },
	{ "ten minutes down", "the interface, in mid-transfer", no_network },
	{ "ten minutes cut", "somewhere, in mid-transfer: nobody is told", no_answer },
	{ "12 h asleep, then it speaks", "on a stream that was idle", sleeper_speaks },
	{ "12 h asleep, the other speaks", "on a stream that was idle", other_speaks },
	{ "rekeys", "400 s at 1 Mbit/s", rekeys },
	{ "reader restarts", "then a new stream", reader_restarts },
	{ "writer restarts", "then a new stream", writer_restarts },
	{ "relay, then direct", "two homes", relay_then_direct },
	{ "relay only", "two symmetric boxes", relay_only },
	{ "relay goes, another takes over", "in mid-transfer", relay_switch },
	{ "NAT box restarts", "every 4 s", boxes_restart },
	{ "200 streams", "of 50 kB at once", many },
	{ "a slow reader", "20 s at 100 kB/s, then all there is", slow_reader },
};
const size_t play_count = sizeof(plays) / sizeof(plays[0]);
