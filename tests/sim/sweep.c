/* The limit of a transfer is twice what a sound sender needs by the published models:
 *
 *   rate     the link's, or Padhye et al. 1998 (equation 30 with b = 1): the rate of Reno at this
 *            loss and RTT with its timeouts; CUBIC is never slower (RFC 9438 4.3)
 *   start    a round trip for each doubling from the initial window (RFC 9002 7.2) to the rate
 *   bursts   each costs what it lasts and two timeouts
 *
 * Twice, because chance, the flow control's windows that grow from 256 KiB, and HyStart++'s slower
 * end of slow start are not in it. Datagrams that overtake by more than three count as lost, for
 * the packet threshold says so (RFC 9002 6.1.1). */
#include "tests/sim/sweep.h"

#include "tests/sim/oracle_streams.h"
#include "tests/sim/world.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SEGMENT     1200.0  /* least datagram, docs/protocol.md 9 */
#define FIRST       12000.0 /* initial window, RFC 9002 7.2 */
#define RATE        2500000 /* bytes per second: 20 Mbit/s */
#define BYTES_MOST  6000000.0
#define BYTES_LEAST 60000.0
#define CONNECTED   (60 * OV_SEC)

/* ---- a trial ---- */

void trial_relink(struct trial *t)
{
	net_link_change(&t->s->net, world_iface(t->s, t->a, 0), &t->link);
}

static bool are_apart(struct sim *s, void *context)
{
	const struct trial *t = context;
	return !world_connected(s, t->a, t->b);
}

void trial_meet(struct trial *t, uint64_t seed, bool trace)
{
	struct sim *s = t->s = sim_new(seed, 4);
	s->trace.verbose = trace;
	t->a = world_public(s, addr_v4(198, 51, 100, 1, 0), t->rtt / 4);
	t->b = world_public(s, addr_v4(203, 0, 113, 2, 0), t->rtt / 4);
	world_befriend(s, t->a, t->b, world_address(s, t->b));
	host_start(s, t->b, 1, true);
	host_start(s, t->a, 1, true);
	if (!sim_run_while(s, are_apart, t, CONNECTED))
		oracle_break(s, "alive", "a and b did not meet");
	sim_run_for(s, 2 * OV_SEC + 2 * t->rtt);
	t->link.delay = t->rtt / 4;
	trial_relink(t);
}

static void plot_point(struct trial *t, ov_time at, uint64_t bytes)
{
	fprintf(t->curve, "%.1f\t%.3f\n", (double)(at - t->began) / 1e9,
		(double)bytes * 8 / 1e6 / ((double)TURN / 1e9));
}

/* One line for each turn: what b's app read in it. Of a long silence the first and the last. */
static void plot(struct trial *t)
{
	if (!t->curve || !t->x)
		return;
	uint64_t read = t->x->way[APP_OPENER].read, bytes = read - t->plotted;
	bool goes_on = t->is_silent && bytes == 0;
	if (t->silent_until != 0 && !goes_on)
		plot_point(t, t->silent_until, 0);
	t->silent_until = goes_on ? t->s->now : 0;
	if (!goes_on)
		plot_point(t, t->s->now, bytes);
	t->is_silent = bytes == 0;
	t->plotted = read;
}

static bool is_over(const struct trial *t)
{
	return sim_failed(t->s) || (t->x && t->x->way[APP_OPENER].ended);
}

static void run_turn(struct trial *t, ov_time length)
{
	uint64_t rate = t->link.cut ? 0 : t->link.bytes_per_second;
	sim_run_for(t->s, length);
	t->capacity += (double)rate * (double)length / 1e9;
	plot(t);
	t->turn++;
	if (t->each && !sim_failed(t->s))
		t->each(t);
}

void trial_run_for(struct trial *t, ov_time duration)
{
	for (ov_time until = t->s->now + duration; t->s->now < until && !sim_failed(t->s);)
		run_turn(t, ov_min(TURN, until - t->s->now));
}

void trial_transfer(struct trial *t, uint64_t bytes, ov_time most)
{
	struct app_manner writer = { .size = bytes, .in_place = true }, reader = { 0 };
	t->began = t->s->now;
	t->bytes = bytes;
	t->x = apps_open(t->s, t->a, t->b->id, &writer, &reader);
	while (t->x && !is_over(t) && t->s->now - t->began < most)
		run_turn(t, TURN);
	t->took = t->s->now - t->began;
	if (t->x && t->x->way[APP_OPENER].ended)
		t->took = t->x->way[APP_OPENER].ended_at - t->began;
	if (!sim_failed(t->s) && !is_over(t))
		oracle_break(t->s, "stuck", "%llu of %llu B after %.1f s",
			(unsigned long long)(t->x ? t->x->way[APP_OPENER].read : 0),
			(unsigned long long)bytes, (double)t->took / 1e9);
}

/* ---- cells: a link ---- */

struct cell {
	char name[48];
	double loss, bursts, reorder, duplicates; /* shares of all datagrams */
	ov_time burst_length, rtt;
};

static double model_rate(const struct cell *c)
{
	double p = c->loss + c->bursts + c->reorder, r = (double)c->rtt / 1e9;
	double timeout = 1.5 * r + 0.025;
	if (p <= 0)
		return RATE;
	double slow = 3 * sqrt(3 * p / 8);
	double per_segment =
		r * sqrt(2 * p / 3) + timeout * (slow < 1 ? slow : 1) * p * (1 + 32 * p * p);
	return SEGMENT / per_segment < RATE ? SEGMENT / per_segment : RATE;
}

static double model_seconds(const struct cell *c, double bytes)
{
	double r = (double)c->rtt / 1e9, timeout = 1.5 * r + 0.025;
	double bursts = bytes / SEGMENT * c->bursts * ((double)c->burst_length / 1e9 + 2 * timeout);
	return bytes / model_rate(c) + bursts + r * (1 + log2(1 + bytes / FIRST)) + 0.1;
}

static uint64_t enough_bytes(const struct cell *c)
{
	double lasting = 4 + 40 * (double)c->rtt / 1e9, bytes = model_rate(c) * lasting;
	bytes = bytes > BYTES_MOST ? BYTES_MOST : bytes < BYTES_LEAST ? BYTES_LEAST : bytes;
	return (uint64_t)bytes;
}

static uint32_t ppm(double share)
{
	return (uint32_t)(share * PPM + 0.5);
}

static void play_cell(struct trial *t, const struct cell *c, const struct sweep_options *o)
{
	uint64_t bytes = enough_bytes(c);
	t->rtt = c->rtt;
	t->link = (struct link_config){ .loss_ppm = ppm(c->loss),
		.burst_ppm = ppm(c->bursts),
		.burst_length = c->burst_length,
		.reorder_ppm = ppm(c->reorder),
		.reorder_delay = ov_max(c->rtt / 4, 2 * OV_MS),
		.duplicate_ppm = ppm(c->duplicates),
		.bytes_per_second = RATE,
		.queue = ov_max(c->rtt, 10 * OV_MS) };
	trial_meet(t, o->seed, o->trace);
	t->limit = (ov_time)(2e9 * model_seconds(c, (double)bytes));
	trial_transfer(t, bytes, 5 * t->limit);
}

/* ---- rows ---- */

static void wind_up(struct trial *t)
{
	struct sim *s = t->s;
	t->link = (struct link_config){ .delay = t->rtt / 4 };
	if (sim_failed(s))
		return;
	trial_relink(t);
	if (!sim_run_while(s, oracle_streams_are_busy, NULL, 30 * OV_SEC + 10 * t->rtt))
		oracle_check_streams_over(s);
	sim_run_for(s, 10 * OV_SEC + 10 * t->rtt);
	if (!sim_failed(s))
		oracle_check_streams_freed(s);
	if (!sim_failed(s) && t->took > t->limit)
		oracle_break(s, "slow", "%.2f s, at most %.2f s would be sound",
			(double)t->took / 1e9, (double)t->limit / 1e9);
}

static bool row(struct trial *t, const char *name, const struct sweep_options *o)
{
	double seconds = (double)t->took / 1e9, mbits = (double)t->bytes * 8 / 1e6 / seconds;
	double share = t->capacity > 0 ? 100 * (double)t->bytes / t->capacity : 0;
	wind_up(t);
	const struct oracle *r = &t->s->oracle;
	bool ok = !sim_failed(t->s);
	if (o->json)
		printf("{\"cell\":\"%s\",\"ok\":%s,\"bytes\":%llu,\"seconds\":%.3f,"
		       "\"limit\":%.3f,\"mbits\":%.3f,\"share\":%.1f,\"invariant\":\"%s\"}\n",
			name, ok ? "true" : "false", (unsigned long long)t->bytes, seconds,
			(double)t->limit / 1e9, mbits, share, ok ? "" : r->broken);
	else
		printf("%-31s %9llu B %9.3f s of %9.3f %8.3f Mbit/s %5.1f %%  %s\n", name,
			(unsigned long long)t->bytes, seconds, (double)t->limit / 1e9, mbits, share,
			ok ? "ok" : r->broken);
	fflush(stdout);
	if (!ok)
		fprintf(stderr,
			"cell %s: %s: %s\n  replay: %s --streams --cell '%s' --seed %llu --trace\n",
			name, r->broken, r->what, o->self, name, (unsigned long long)o->seed);
	sim_free(t->s);
	return ok;
}

static bool is_wanted(const struct sweep_options *o, const char *name)
{
	return !o->cell || strcmp(o->cell, name) == 0;
}

static size_t make_cells(struct cell *out)
{
	static const double losses[] = { 0, 0.01, 0.05, 0.1, 0.3 };
	static const ov_time rtts[] = { OV_MS, 20 * OV_MS, 50 * OV_MS, 200 * OV_MS, 2 * OV_SEC };
	static const struct cell others[] = {
		{ .name = "bursts of 50 ms", .bursts = 0.001, .burst_length = 50 * OV_MS },
		{ .name = "bursts of 1 s", .bursts = 0.0005, .burst_length = OV_SEC },
		{ .name = "1% overtaken", .reorder = 0.01 },
		{ .name = "20% overtaken", .reorder = 0.2 },
		{ .name = "25% twice", .duplicates = 0.25 },
		{ .name = "all of it",
			.loss = 0.02,
			.bursts = 0.0005,
			.burst_length = 100 * OV_MS,
			.reorder = 0.02,
			.duplicates = 0.05 },
	};
	size_t n = 0;
	for (size_t i = 0; i < sizeof(rtts) / sizeof(rtts[0]); i++)
		for (size_t k = 0; k < sizeof(losses) / sizeof(losses[0]); k++) {
			struct cell *c = &out[n++];
			*c = (struct cell){ .loss = losses[k], .rtt = rtts[i] };
			snprintf(c->name, sizeof(c->name), "%g ms, %g%% lost",
				(double)rtts[i] / 1e6, 100 * losses[k]);
		}
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
		out[n] = others[i];
		out[n++].rtt = 50 * OV_MS;
	}
	return n;
}

#define CELLS_MAX 64

bool sweep_run(const struct sweep_options *o)
{
	struct cell cells[CELLS_MAX];
	size_t count = make_cells(cells), rows = 0;
	bool ok = true;
	for (size_t i = 0; i < count; i++) {
		struct trial t = { 0 };
		if (!is_wanted(o, cells[i].name))
			continue;
		play_cell(&t, &cells[i], o);
		ok = row(&t, cells[i].name, o) && ok;
		rows++;
	}
	for (size_t i = 0; i < play_count; i++) {
		struct trial t = { 0 };
		if (!is_wanted(o, plays[i].name))
			continue;
		plays[i].play(&t, o->seed, o->trace);
		ok = row(&t, plays[i].name, o) && ok;
		rows++;
	}
	if (rows == 0)
		fprintf(stderr, "sim: no cell of that name; see --streams --list\n");
	return ok && rows > 0;
}

void sweep_list(void)
{
	struct cell cells[CELLS_MAX];
	size_t count = make_cells(cells);
	for (size_t i = 0; i < count; i++)
		puts(cells[i].name);
	for (size_t i = 0; i < play_count; i++)
		printf("%s: %s\n", plays[i].name, plays[i].about);
}

/* ---- curves ---- */

static void curve_link(struct trial *t, uint32_t loss_ppm)
{
	t->rtt = 50 * OV_MS;
	t->link = (struct link_config){
		.loss_ppm = loss_ppm, .bytes_per_second = RATE, .queue = 50 * OV_MS
	};
}

static void curve_no_loss(struct trial *t)
{
	(void)t;
}

static void curve_move(struct trial *t)
{
	if (t->turn == 50)
		world_renumber(
			t->s, t->a, world_iface(t->s, t->a, 0), addr_v4(198, 51, 100, 77, 0));
}

/* The lid is closed at 5 s, for ten minutes. */
static void curve_sleep(struct trial *t)
{
	if (t->turn == 50)
		host_sleep(t->s, t->a);
	if (t->turn == 50 + 6000)
		host_wake(t->s, t->a);
}

bool sweep_curve(const struct sweep_options *o)
{
	static const struct {
		const char *name;
		uint32_t loss_ppm;
		void (*each)(struct trial *t);
		uint64_t bytes;
	} curves[] = {
		{ "clean", 0, curve_no_loss, 40000000 },
		{ "loss", PPM / 100, curve_no_loss, 10000000 },
		{ "move", 0, curve_move, 25000000 },
		{ "sleep", 0, curve_sleep, 25000000 },
	};
	for (size_t i = 0; i < sizeof(curves) / sizeof(curves[0]); i++) {
		if (strcmp(curves[i].name, o->curve) != 0)
			continue;
		struct trial t = { .curve = stdout, .each = curves[i].each };
		curve_link(&t, curves[i].loss_ppm);
		trial_meet(&t, o->seed, false);
		printf("t_s\tmbit_s\n");
		trial_transfer(&t, curves[i].bytes, 2000 * OV_SEC);
		bool ok = !sim_failed(t.s);
		if (!ok)
			fprintf(stderr, "%s: %s\n", t.s->oracle.broken, t.s->oracle.what);
		sim_free(t.s);
		return ok;
	}
	fprintf(stderr, "sim: curves are clean, loss, move and sleep\n");
	return false;
}
