/* What must hold, for every cell and seed: connected; direct if, and only if, mathematics allows it
 * (kind.h); the first answer and the first direct datagram within their gates (issue 3, section 7).
 * Where one side has to guess the other's port not each seed hits: 95 of 100 over all such cells,
 * in time. "Direct" is what the drawn network saw, not what the nodes say. A seed draws keys, the
 * distance of the three, when the second one starts, and whether the two homes use the same private
 * addresses. */
#include "tests/sim/matrix.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define ANSWER_MEDIAN 600 /* ms */
#define ANSWER_WORST  2000
#define DIRECT_WORST  1000
#define PREDICT_WORST 3000
#define GUESS_WORST   12000
#define GUESS_PERCENT 95
#define DELAY         (10 * OV_MS) /* to the core: 40 ms RTT */
#define ASKED_EVERY   (20 * OV_MS)
#define WATCHED       (12 * OV_SEC) /* two rounds of punching and a half */
#define GUESSED       (14 * OV_SEC)
#define SETTLED       (2 * OV_SEC)
#define SECOND_PORT   27183 /* of the facilitator, for the NAT checks of its clients */

/* ---- worlds ---- */

/* Two homes at one provider, whose box turns datagrams around or does not (RFC 4787 REQ-9). */
static void at_one_carrier(struct sim *s, bool hairpin)
{
	struct nat_config box = kind_box(KIND_PORT_RESTRICTED, addr_v4(203, 0, 113, 9, 0));
	struct link_config link = world_link(DELAY);
	uint32_t carrier = net_add_segment(&s->net);
	box.hairpin = hairpin;
	net_add_gateway(&s->net, carrier, NET_CORE, &box, NULL);
	for (uint8_t i = 0; i < 2; i++) {
		struct nat_config home = kind_box(KIND_PORT_RESTRICTED, addr_v4(100, 64, 0, 1, 0));
		uint32_t site = net_add_segment(&s->net);
		home.outside.ip[15] = (uint8_t)(1 + i);
		net_add_gateway(&s->net, site, carrier, &home, NULL);
		struct ov_addr inside = addr_v4(192, 168, (uint8_t)(10 + i), 10, 0);
		struct host *h = sim_add_host(s);
		net_address_add(&s->net, net_add_iface(&s->net, h->id, site, &link), &inside);
	}
}

static void with_hairpin(struct sim *s)
{
	at_one_carrier(s, true);
}

static void without_hairpin(struct sim *s)
{
	at_one_carrier(s, false);
}

static void at_one_home(struct sim *s)
{
	struct nat_config box = kind_box(KIND_PORT_RESTRICTED, addr_v4(203, 0, 113, 9, 0));
	struct link_config link = world_link(DELAY);
	uint32_t site = net_add_segment(&s->net);
	net_add_gateway(&s->net, site, NET_CORE, &box, NULL);
	for (uint8_t i = 0; i < 2; i++) {
		struct ov_addr inside = addr_v4(192, 168, 1, (uint8_t)(10 + i), 0);
		struct host *h = sim_add_host(s);
		net_address_add(&s->net, net_add_iface(&s->net, h->id, site, &link), &inside);
	}
}

static const struct {
	const char *name;
	void (*build)(struct sim *s);
	enum kind_way way;
} together[] = {
	{ "one-home", at_one_home, KIND_PUNCHED },
	{ "one-carrier-hairpin", with_hairpin, KIND_PUNCHED },
	{ "one-carrier-no-hairpin", without_hairpin, KIND_RELAYED },
};
#define TOGETHER (sizeof(together) / sizeof(together[0]))
#define PAIRS    ((size_t)KIND_COUNT * KIND_COUNT)

size_t matrix_cells(void)
{
	return PAIRS + TOGETHER;
}

struct cell matrix_cell(size_t i)
{
	if (i >= PAIRS) {
		i -= PAIRS;
		return (struct cell){ .a = together[i].name,
			.b = together[i].name,
			.way = together[i].way,
			.build = together[i].build };
	}
	enum kind a = (enum kind)(i / KIND_COUNT), b = (enum kind)(i % KIND_COUNT);
	return (struct cell){
		.a = kind_name(a), .b = kind_name(b), .way = kind_way(a, b), .kinds = { a, b }
	};
}

/* Both homes use the same private network, as most homes do. */
static void move_home(struct sim *s, struct host *h)
{
	struct iface *x = s->net.ifaces[world_iface(s, h, 0)];
	if (addr_scope(&x->addresses[0]) == ADDR_PRIVATE)
		x->addresses[0] = addr_v4(192, 168, 1, (uint8_t)(100 + h->id), 0);
}

static void build(struct sim *s, const struct cell *c, struct seed *chance)
{
	if (c->build) {
		c->build(s);
	} else {
		bool alike = seed_below(chance, 2) != 0;
		for (size_t i = 0; i < 2; i++) {
			struct host *h = kind_host(s, c->kinds[i], DELAY);
			if (alike)
				move_home(s, h);
		}
	}
	struct host *a = &s->hosts[0], *b = &s->hosts[1];
	struct host *f = world_public(s, addr_v4(198, 51, 100, 1, 0), DELAY);
	f->config.facilitator = FACILITATOR_OPEN;
	f->config.second_port = SECOND_PORT;
	snprintf(f->name, sizeof(f->name), "f");
	world_befriend(s, a, b, (struct ov_addr){ 0 });
	host_use(a, f->id);
	host_use(b, f->id);
	for (uint32_t i = 0; i < s->net.iface_count; i++) {
		struct link_config link = s->net.ifaces[i]->up_link.config;
		link.jitter = seed_between(chance, 0, 2) * OV_MS;
		net_link_change(&s->net, i, &link);
	}
}

/* ---- one run ---- */

static int32_t since(ov_time zero, ov_time at)
{
	return at == 0 ? MATRIX_NEVER : (int32_t)((at - zero) / OV_MS);
}

static ov_time patience(const struct cell *c)
{
	return c->way == KIND_GUESSED ? GUESSED : WATCHED - SETTLED - OV_SEC;
}

static int32_t direct_within(const struct cell *c)
{
	return c->way == KIND_GUESSED     ? GUESS_WORST
	       : c->way == KIND_PREDICTED ? PREDICT_WORST
					  : DIRECT_WORST;
}

struct sim *matrix_play(const struct cell *c, uint64_t seed, bool verbose, struct figure *out)
{
	struct sim *s = sim_new(seed, 3);
	struct seed chance;
	seed_init(&chance, seed, STREAM_SWARM);
	s->trace.verbose = verbose;
	build(s, c, &chance);
	struct host *a = &s->hosts[0], *b = &s->hosts[1];
	host_start(s, &s->hosts[2], 1, true);
	bool a_first = seed_below(&chance, 2) != 0;
	host_start(s, a_first ? a : b, 1, true);
	sim_run_for(s, seed_between(&chance, 0, 100) * OV_MS);
	host_start(s, a_first ? b : a, 1, true);
	ov_time zero = s->now;
	host_talk(s, a, b->id, TALK_ECHO, ASKED_EVERY, OV_NEVER);
	const struct friend *at_a = host_friend(a, b->id), *at_b = host_friend(b, a->id);
	ov_time late = zero + patience(c);
	do
		sim_run_until(s, ov_min(s->now + OV_SEC, late));
	while (s->now < late && (at_a->first_direct == 0 || at_b->first_direct == 0));
	sim_run_for(s, SETTLED);
	uint64_t received = at_a->received + at_b->received, direct = at_a->direct + at_b->direct;
	sim_run_for(s, OV_SEC);
	received = at_a->received + at_b->received - received;
	direct = at_a->direct + at_b->direct - direct;
	*out = (struct figure){ .first_ms = since(zero, at_a->first_received) };
	out->direct_ms = at_a->first_direct && at_b->first_direct
				 ? since(zero, ov_max(at_a->first_direct, at_b->first_direct))
				 : MATRIX_NEVER;
	out->relayed = direct < received;
	out->silent = received == 0;
	if (sim_failed(s))
		snprintf(out->broken, sizeof(out->broken), "%s: %.100s", s->oracle.broken,
			s->oracle.what);
	return s;
}

/* ---- the table ---- */

struct sum {
	uint64_t connected, direct, in_time; /* in time: direct, and not too late */
	int32_t first_median, first_worst, direct_median, direct_worst;
};

static int by_value(const void *x, const void *y)
{
	int32_t a = *(const int32_t *)x, b = *(const int32_t *)y;
	return (a > b) - (a < b);
}

static struct sum add_up(const struct cell *c, const struct figure *list, uint64_t count)
{
	struct sum sum = { 0 };
	int32_t *first = calloc(count, sizeof(*first)), *direct = calloc(count, sizeof(*direct));
	if (!first || !direct)
		abort();
	for (uint64_t i = 0; i < count; i++) {
		first[i] = list[i].first_ms;
		direct[i] = list[i].direct_ms;
		sum.connected += !list[i].silent && list[i].first_ms != MATRIX_NEVER;
		bool is_direct = !list[i].silent && !list[i].relayed;
		sum.direct += is_direct;
		sum.in_time += is_direct && list[i].direct_ms <= direct_within(c);
	}
	qsort(first, count, sizeof(*first), by_value);
	qsort(direct, count, sizeof(*direct), by_value);
	sum.first_median = first[count / 2];
	sum.first_worst = first[count - 1];
	sum.direct_median = direct[count / 2];
	sum.direct_worst = direct[count - 1];
	free(first);
	free(direct);
	return sum;
}

static const char *ms(int32_t value, const char *none, char text[16])
{
	if (value == MATRIX_NEVER)
		return none;
	snprintf(text, 16, "%d", value);
	return text;
}

/* What is wrong with a cell, or NULL. */
static const char *judge(
	const struct cell *c, const struct figure *list, uint64_t seeds, const struct sum *sum)
{
	for (uint64_t i = 0; i < seeds; i++)
		if (list[i].broken[0])
			return list[i].broken;
	if (sum->connected < seeds)
		return "not connected";
	if (sum->first_median > ANSWER_MEDIAN || sum->first_worst > ANSWER_WORST)
		return "first answer too late";
	switch (c->way) {
	case KIND_GUESSED: return NULL; /* all such cells together are judged */
	case KIND_RELAYED: return sum->direct > 0 ? "direct against mathematics" : NULL;
	case KIND_PUNCHED:
	case KIND_PREDICTED:
		return sum->direct < seeds    ? "not direct"
		       : sum->in_time < seeds ? "direct too late"
					      : NULL;
	}
	assert(false);
	return NULL;
}

static const char *way_name(enum kind_way way)
{
	switch (way) {
	case KIND_PUNCHED: return "direct";
	case KIND_PREDICTED: return "predict";
	case KIND_GUESSED: return "guess";
	case KIND_RELAYED: break;
	}
	return "relayed";
}

static void print_cell(
	const struct cell *c, uint64_t seeds, const struct sum *sum, const char *wrong, bool json)
{
	char t[4][16];
	const char *none = json ? "null" : "-";
	const char *first = ms(sum->first_median, none, t[0]),
		   *first_worst = ms(sum->first_worst, none, t[1]),
		   *direct = ms(sum->direct_median, none, t[2]),
		   *direct_worst = ms(sum->direct_worst, none, t[3]);
	if (json)
		printf("{\"a\":\"%s\",\"b\":\"%s\",\"seeds\":%llu,\"connected\":%llu,\"direct\":%llu,"
		       "\"expected\":\"%s\",\"first_ms\":%s,\"first_worst_ms\":%s,\"direct_ms\":%s,"
		       "\"direct_worst_ms\":%s,\"ok\":%s}\n",
			c->a, c->b, (unsigned long long)seeds, (unsigned long long)sum->connected,
			(unsigned long long)sum->direct, way_name(c->way), first, first_worst,
			direct, direct_worst, wrong ? "false" : "true");
	else
		printf("%-22s %-22s %9llu %6llu %-8s %6s %6s %6s %6s  %s\n", c->a, c->b,
			(unsigned long long)sum->connected, (unsigned long long)sum->direct,
			way_name(c->way), first, first_worst, direct, direct_worst,
			wrong ? wrong : "ok");
}

/* ---- all of them ---- */

/* Figures live in memory that the workers share: [cell][seed]. */
static void work(const struct matrix_options *o, unsigned job, struct figure *figures)
{
	size_t cells = matrix_cells();
	for (uint64_t i = job; i < cells * o->seeds; i += o->jobs) {
		struct cell c = matrix_cell((size_t)(i % cells));
		struct figure *f = &figures[i % cells * o->seeds + i / cells];
		sim_free(matrix_play(&c, o->from + i / cells, false, f));
	}
}

/* False: a worker died. Its figures stay as they were: silent. */
static bool work_all(const struct matrix_options *o, struct figure *figures)
{
	bool ok = true;
	pid_t *pids = calloc(o->jobs, sizeof(*pids));
	if (!pids)
		abort();
	fflush(NULL);
	for (unsigned i = 0; i < o->jobs; i++) {
		pids[i] = fork();
		if (pids[i] == 0) {
			work(o, i, figures);
			_exit(0);
		}
	}
	for (unsigned i = 0; i < o->jobs; i++) {
		int status;
		ok = waitpid(pids[i], &status, 0) > 0 && status == 0 && ok;
	}
	free(pids);
	return ok;
}

static bool is_bad(const struct cell *c, const struct figure *f)
{
	bool direct = c->way != KIND_RELAYED;
	return f->broken[0] || f->silent || f->relayed == direct || f->first_ms > ANSWER_WORST ||
	       (direct && f->direct_ms > direct_within(c));
}

/* The first seed that is to blame, and how to see it. */
static void print_replay(
	const struct matrix_options *o, const struct cell *c, const struct figure *list)
{
	for (uint64_t i = 0; i < o->seeds; i++) {
		if (!is_bad(c, &list[i]))
			continue;
		unsigned long long seed = o->from + i;
		fprintf(stderr, "  replay: %s --cell %s,%s --seed %llu --trace\n", o->self, c->a,
			c->b, seed);
		return;
	}
}

struct total { /* over the cells of one way */
	uint64_t runs, direct, in_time;
	int32_t first_worst, direct_median, direct_worst; /* of cells; median: the worst of them */
};

static void count(struct total *t, const struct sum *sum, uint64_t seeds)
{
	t->runs += seeds;
	t->direct += sum->direct;
	t->in_time += sum->in_time;
	if (sum->first_worst > t->first_worst)
		t->first_worst = sum->first_worst;
	if (sum->direct_median > t->direct_median)
		t->direct_median = sum->direct_median;
	if (sum->direct_worst > t->direct_worst)
		t->direct_worst = sum->direct_worst;
}

/* With few runs chance has its share: then four of five. */
static bool guesses_enough(const struct total *t)
{
	uint64_t percent = t->runs >= 100 ? GUESS_PERCENT : 80;
	return t->in_time * 100 >= t->runs * percent;
}

static void print_total(enum kind_way way, const struct total *t, bool json)
{
	char text[2][16];
	const char *none = json ? "null" : "never", *median = ms(t->direct_median, none, text[0]),
		   *worst = ms(t->direct_worst, none, text[1]);
	if (json)
		printf("{\"way\":\"%s\",\"runs\":%llu,\"direct\":%llu,\"in_time\":%llu,"
		       "\"first_worst_ms\":%d,\"direct_ms\":%s,\"direct_worst_ms\":%s}\n",
			way_name(way), (unsigned long long)t->runs, (unsigned long long)t->direct,
			(unsigned long long)t->in_time, t->first_worst, median, worst);
	else
		printf("%-8s %llu runs, %llu direct, %llu in time; first answer at most %d ms, "
		       "direct at most %s ms, a cell's median at most %s ms\n",
			way_name(way), (unsigned long long)t->runs, (unsigned long long)t->direct,
			(unsigned long long)t->in_time, t->first_worst, worst, median);
}

static bool print_totals(const struct total totals[KIND_RELAYED + 1], bool json)
{
	for (int way = KIND_PUNCHED; way <= KIND_RELAYED; way++)
		print_total((enum kind_way)way, &totals[way], json);
	bool ok = guesses_enough(&totals[KIND_GUESSED]);
	if (!ok)
		printf("guesses hit too rarely or too late\n");
	return ok;
}

static bool report(const struct matrix_options *o, const struct figure *figures)
{
	bool ok = true;
	struct total totals[KIND_RELAYED + 1] = { 0 };
	if (!o->json)
		printf("%-22s %-22s %9s %6s %-8s %6s %6s %6s %6s\n", "a", "b", "connected",
			"direct", "expected", "first", "worst", "direct", "worst");
	for (size_t i = 0; i < matrix_cells(); i++) {
		struct cell c = matrix_cell(i);
		const struct figure *list = &figures[i * o->seeds];
		struct sum sum = add_up(&c, list, o->seeds);
		const char *wrong = judge(&c, list, o->seeds, &sum);
		print_cell(&c, o->seeds, &sum, wrong, o->json);
		if (wrong)
			print_replay(o, &c, list);
		ok = ok && !wrong;
		count(&totals[c.way], &sum, o->seeds);
	}
	ok = print_totals(totals, o->json) && ok;
	if (!o->json)
		printf("%zu cells, %llu seeds each: %s\n", matrix_cells(),
			(unsigned long long)o->seeds, ok ? "ok" : "FAILED");
	return ok;
}

bool matrix_run(const struct matrix_options *o)
{
	size_t count = matrix_cells() * (size_t)o->seeds, size = count * sizeof(struct figure);
	struct figure *figures =
		mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (figures == MAP_FAILED)
		return false;
	for (size_t i = 0; i < count; i++)
		figures[i] = (struct figure){
			.first_ms = MATRIX_NEVER, .direct_ms = MATRIX_NEVER, .silent = true
		};
	bool ok = work_all(o, figures);
	ok = report(o, figures) && ok;
	munmap(figures, size);
	return ok;
}

bool matrix_run_one(const char *name, uint64_t seed, bool trace)
{
	for (size_t i = 0; i < matrix_cells(); i++) {
		struct cell c = matrix_cell(i);
		size_t len = strlen(c.a);
		if (strncmp(name, c.a, len) != 0 || name[len] != ',' ||
			strcmp(name + len + 1, c.b) != 0)
			continue;
		struct figure f;
		sim_free(matrix_play(&c, seed, trace, &f));
		struct sum sum = add_up(&c, &f, 1);
		const char *wrong = judge(&c, &f, 1, &sum);
		print_cell(&c, 1, &sum, wrong, false);
		return !wrong;
	}
	fprintf(stderr, "sim: no cell of that name: KIND,KIND as in the table of --matrix\n");
	return false;
}
