/* sim - the command line of the simulator: the unchanged library in a drawn network on a virtual
 * clock, watched from outside by the invariants of oracle.h.
 *
 *   scenes     stories with a known course; their texts in tests/sim/scenes are part of the review
 *   seeds      each draws a world, faults and enemies (swarm.h); then all must recover (recovery.h)
 *   town       many hosts at once (town.h)
 *   matrix     every kind of NAT box against every other, with a facilitator (matrix.h)
 *   streams    one kind of link or trouble after the other, with a stream through it (sweep.h)
 *   self-test  every invariant is broken on purpose and must be noticed (selftest.h)
 *
 * A failing seed is printed with the command that replays it; the same seed is the same trace, to
 * the bit, and one seed in 20 is run twice to prove it. Seeds are run by worker processes, so that
 * an assertion in one seed is that seed's failure and not the end of the sweep. mutants.sh shows
 * that bugs put in on purpose are found. */
#include "tests/sim/matrix.h"
#include "tests/sim/scene.h"
#include "tests/sim/selftest.h"
#include "tests/sim/swarm.h"
#include "tests/sim/sweep.h"
#include "tests/sim/town.h"

#include <getopt.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

struct options {
	uint64_t seed, from, count;
	unsigned jobs, nodes;
	const char *scene, *directory, *cell, *curve;
	bool streams, matrix, one_seed, all_scenes, self_test, list, trace, update, json, help;
};

static const char usage[] =
	"usage: sim --scenes [--update]        all golden scenes; --update writes their texts anew\n"
	"       sim --scene NAME [--trace] [--update]\n"
	"       sim --seeds N [--from S] [--jobs J]  N swarm worlds\n"
	"       sim --seed S [--trace]         one of them, every datagram with --trace\n"
	"       sim --nodes N [--seed S]       a town of N hosts\n"
	"       sim --matrix [--seeds N] [--from S] [--jobs J]  every NAT against every other\n"
	"       sim --cell A,B [--seed S] [--trace]  one of its cells\n"
	"       sim --streams [--cell NAME] [--seed S]  streams over every kind of link and trouble\n"
	"       sim --streams --curve NAME     seconds and Mbit/s: clean, loss, move or sleep\n"
	"       sim --self-test                each invariant, broken on purpose\n"
	"       sim [--streams] --list         names of the scenes, or cells\n"
	"options: --directory DIR (of the scenes' texts), --json\n"
	"exit code: 0 all well, 1 an invariant broke or a text differs, 2 usage\n";

static const char *self = "sim";

static double seconds(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* ---- one seed ---- */

#define TAIL 60

static void report(const struct sim *s, bool json)
{
	const struct oracle *o = &s->oracle;
	if (json)
		printf("{\"seed\":%llu,\"ok\":%s,\"hash\":\"%016llx\",\"virtual_ms\":%lld,"
		       "\"invariant\":\"%s\",\"what\":\"%s\"}\n",
			(unsigned long long)s->seed, o->broken ? "false" : "true",
			(unsigned long long)s->trace.hash,
			(long long)((s->now - SIM_EPOCH) / OV_MS), o->broken ? o->broken : "",
			o->what);
	else
		printf("seed %llu: %s%s%s hash %016llx, %lld virtual s, %llu steps, %llu inner "
		       "packets, %llu sealings\n",
			(unsigned long long)s->seed, o->broken ? o->broken : "ok",
			o->broken ? ": " : ",", o->broken ? o->what : "",
			(unsigned long long)s->trace.hash,
			(long long)((s->now - SIM_EPOCH) / OV_SEC), (unsigned long long)s->steps,
			(unsigned long long)o->delivered, (unsigned long long)o->nonce.sealings);
}

static bool run_seed(const struct options *o)
{
	struct sim *s = swarm_run(o->seed, o->trace, o->trace ? 0 : TAIL);
	bool ok = !sim_failed(s);
	if (!ok)
		trace_print_tail(&s->trace, stdout);
	report(s, o->json);
	sim_free(s);
	return ok;
}

/* ---- a sweep ---- */

#define AGAIN_EVERY 20 /* of so many seeds one is run twice, and the traces must be the same */

struct worker { /* shared memory: what a worker was doing when it died */
	uint64_t seed, done, virtual_ms, delivered, sealings;
	bool failed;
};

static bool quietly(uint64_t seed, struct worker *w, uint64_t *hash)
{
	struct sim *s = swarm_run(seed, false, 0);
	bool ok = !sim_failed(s);
	*hash = s->trace.hash;
	w->virtual_ms += (uint64_t)((s->now - SIM_EPOCH) / OV_MS);
	w->delivered += s->oracle.delivered;
	w->sealings += s->oracle.nonce.sealings;
	if (!ok) {
		fprintf(stderr, "seed %llu: %s: %s\n  replay: %s --seed %llu --trace\n",
			(unsigned long long)seed, s->oracle.broken, s->oracle.what, self,
			(unsigned long long)seed);
		w->failed = true;
	}
	sim_free(s);
	return ok;
}

static int work(const struct options *o, unsigned job, struct worker *w)
{
	for (uint64_t i = job; i < o->count; i += o->jobs) {
		uint64_t hash, again;
		w->seed = o->from + i;
		bool ok = quietly(w->seed, w, &hash);
		if (ok && i % AGAIN_EVERY == 0 && quietly(w->seed, w, &again) && again != hash) {
			fprintf(stderr,
				"seed %llu: determinism: two runs, two traces\n  replay: %s --seed %llu\n",
				(unsigned long long)w->seed, self, (unsigned long long)w->seed);
			w->failed = true;
		}
		w->done++;
	}
	return w->failed ? 1 : 0;
}

static bool reap(unsigned jobs, const pid_t *pids, const struct worker *w)
{
	bool ok = true;
	for (unsigned i = 0; i < jobs; i++) {
		int status;
		if (waitpid(pids[i], &status, 0) < 0 || !WIFEXITED(status)) {
			fprintf(stderr,
				"seed %llu: the process died\n  replay: %s --seed %llu --trace\n",
				(unsigned long long)w[i].seed, self, (unsigned long long)w[i].seed);
			ok = false;
		} else if (WEXITSTATUS(status) != 0) {
			ok = false;
		}
	}
	return ok;
}

static bool run_seeds(const struct options *o)
{
	size_t size = o->jobs * sizeof(struct worker);
	struct worker *w =
		mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (w == MAP_FAILED)
		return false;
	pid_t *pids = calloc(o->jobs, sizeof(*pids));
	if (!pids) {
		munmap(w, size);
		return false;
	}
	double start = seconds();
	for (unsigned i = 0; i < o->jobs; i++) {
		fflush(NULL);
		pids[i] = fork();
		if (pids[i] == 0)
			_exit(work(o, i, &w[i]));
	}
	bool ok = reap(o->jobs, pids, w);
	struct worker sum = { 0 };
	for (unsigned i = 0; i < o->jobs; i++) {
		sum.done += w[i].done;
		sum.virtual_ms += w[i].virtual_ms;
		sum.delivered += w[i].delivered;
		sum.sealings += w[i].sealings;
	}
	double took = seconds() - start;
	if (o->json)
		printf("{\"seeds\":%llu,\"ok\":%s,\"seconds\":%.1f,\"virtual_s\":%llu,"
		       "\"inner_packets\":%llu,\"sealings\":%llu}\n",
			(unsigned long long)sum.done, ok ? "true" : "false", took,
			(unsigned long long)sum.virtual_ms / 1000,
			(unsigned long long)sum.delivered, (unsigned long long)sum.sealings);
	else
		printf("%llu seeds: %s, %.1f s, %llu virtual s, %llu inner packets, %llu "
		       "sealings\n",
			(unsigned long long)sum.done, ok ? "ok" : "FAILED", took,
			(unsigned long long)sum.virtual_ms / 1000,
			(unsigned long long)sum.delivered, (unsigned long long)sum.sealings);
	munmap(w, size);
	free(pids);
	return ok;
}

/* ---- scenes ---- */

static char *read_text(const char *path)
{
	FILE *f = fopen(path, "rb");
	if (!f)
		return NULL;
	char *text = calloc(1, 1 << 20);
	if (text && fread(text, 1, (1 << 20) - 1, f) == 0)
		text[0] = '\0';
	fclose(f);
	return text;
}

static bool write_text(const char *path, const char *text)
{
	FILE *f = fopen(path, "wb");
	if (!f)
		return false;
	bool ok = fputs(text, f) >= 0;
	return fclose(f) == 0 && ok;
}

/* Shows the first line that differs, with what came before. */
static void show_difference(const char *expected, const char *got)
{
	unsigned line = 1;
	size_t at = 0, start = 0;
	for (; expected[at] && expected[at] == got[at]; at++)
		if (expected[at] == '\n') {
			line++;
			start = at + 1;
		}
	printf("  line %u\n  expected: %.*s\n  got:      %.*s\n", line,
		(int)strcspn(expected + start, "\n"), expected + start,
		(int)strcspn(got + start, "\n"), got + start);
}

static bool check_scene(const struct options *o, const struct scene *scene)
{
	struct sim *s = scene_play(scene, o->trace), *again = scene_play(scene, false);
	char path[512];
	snprintf(path, sizeof(path), "%s/%s.txt", o->directory, scene->name);
	bool ok = !sim_failed(s), same = s->trace.hash == again->trace.hash;
	const char *verdict = ok ? "ok" : s->oracle.broken;
	char *expected = read_text(path);
	if (!same)
		verdict = "two runs, two traces";
	else if (ok && o->update)
		verdict = write_text(path, s->trace.story) ? "written" : "cannot write";
	else if (ok && !expected)
		verdict = "no text: use --update";
	else if (ok && strcmp(expected, s->trace.story) != 0)
		verdict = "differs";
	ok = ok && same && (strcmp(verdict, "ok") == 0 || strcmp(verdict, "written") == 0);
	printf("scene %-28s %s%s%s\n", scene->name, verdict, sim_failed(s) ? ": " : "",
		s->oracle.what);
	if (!ok && !o->trace && sim_failed(s))
		fputs(s->trace.story, stdout);
	if (!ok && expected && !sim_failed(s))
		show_difference(expected, s->trace.story);
	if (!same)
		show_difference(s->trace.story, again->trace.story);
	free(expected);
	sim_free(s);
	sim_free(again);
	return ok;
}

static bool run_scenes(const struct options *o)
{
	bool ok = true, found = false;
	for (size_t i = 0; i < scene_count; i++) {
		if (o->scene && strcmp(scenes[i].name, o->scene) != 0)
			continue;
		found = true;
		ok = check_scene(o, &scenes[i]) && ok;
	}
	if (!found)
		fprintf(stderr, "sim: no scene of that name; see --list\n");
	return ok && found;
}

static bool run_matrix(const struct options *o)
{
	struct matrix_options m = {
		.from = o->from, .seeds = o->count, .jobs = o->jobs, .json = o->json, .self = self
	};
	if (m.seeds == 0)
		m.seeds = 10;
	double start = seconds();
	bool ok = matrix_run(&m);
	if (!o->json)
		printf("%.1f s\n", seconds() - start);
	return ok;
}

static bool run_town(const struct options *o)
{
	double start = seconds();
	struct sim *s = town_run(o->seed, o->nodes, o->trace);
	bool ok = !sim_failed(s);
	printf("town of %u, %.1f s: ", o->nodes, seconds() - start);
	report(s, o->json);
	sim_free(s);
	return ok;
}

static bool run_streams(const struct options *o)
{
	struct sweep_options w = { .seed = o->one_seed ? o->seed : 1,
		.cell = o->cell,
		.curve = o->curve,
		.json = o->json,
		.trace = o->trace,
		.self = self };
	if (o->curve)
		return sweep_curve(&w);
	if (o->list) {
		sweep_list();
		return true;
	}
	double start = seconds();
	bool ok = sweep_run(&w);
	if (!o->json)
		printf("%.1f s\n", seconds() - start);
	return ok;
}

/* ---- options ---- */

static bool parse(struct options *o, int argc, char **argv)
{
	static const struct option table[] = {
		{ "seed", required_argument, NULL, 's' },
		{ "seeds", required_argument, NULL, 'n' },
		{ "from", required_argument, NULL, 'f' },
		{ "jobs", required_argument, NULL, 'j' },
		{ "nodes", required_argument, NULL, 'N' },
		{ "scene", required_argument, NULL, 'c' },
		{ "scenes", no_argument, NULL, 'C' },
		{ "matrix", no_argument, NULL, 'm' },
		{ "cell", required_argument, NULL, 'e' },
		{ "streams", no_argument, NULL, 'T' },
		{ "curve", required_argument, NULL, 'V' },
		{ "self-test", no_argument, NULL, 'S' },
		{ "list", no_argument, NULL, 'l' },
		{ "help", no_argument, NULL, 'h' },
		{ "trace", no_argument, NULL, 't' },
		{ "update", no_argument, NULL, 'u' },
		{ "json", no_argument, NULL, 'J' },
		{ "directory", required_argument, NULL, 'd' },
		{ NULL, 0, NULL, 0 },
	};
	int c;
	while ((c = getopt_long(argc, argv, "", table, NULL)) != -1) {
		switch (c) {
		case 's':
			o->seed = strtoull(optarg, NULL, 10);
			o->one_seed = true;
			break;
		case 'n': o->count = strtoull(optarg, NULL, 10); break;
		case 'f': o->from = strtoull(optarg, NULL, 10); break;
		case 'j': o->jobs = (unsigned)strtoul(optarg, NULL, 10); break;
		case 'N': o->nodes = (unsigned)strtoul(optarg, NULL, 10); break;
		case 'c': o->scene = optarg; break;
		case 'C': o->all_scenes = true; break;
		case 'm': o->matrix = true; break;
		case 'e': o->cell = optarg; break;
		case 'T': o->streams = true; break;
		case 'V': o->curve = optarg; break;
		case 'S': o->self_test = true; break;
		case 'l': o->list = true; break;
		case 'h': o->help = true; break;
		case 't': o->trace = true; break;
		case 'u': o->update = true; break;
		case 'J': o->json = true; break;
		case 'd': o->directory = optarg; break;
		default: return false;
		}
	}
	return optind == argc && o->jobs > 0;
}

int main(int argc, char **argv)
{
	struct options o = { .from = 1, .jobs = 2, .directory = "tests/sim/scenes" };
	self = argv[0];
	if (!parse(&o, argc, argv) || sodium_init() < 0) {
		fputs(usage, stderr);
		return 2;
	}
	bool ok = true;
	if (o.help)
		fputs(usage, stdout);
	else if (o.streams)
		ok = run_streams(&o);
	else if (o.self_test)
		ok = selftest_run();
	else if (o.list)
		for (size_t i = 0; i < scene_count; i++)
			puts(scenes[i].name);
	else if (o.scene || o.all_scenes)
		ok = run_scenes(&o);
	else if (o.matrix)
		ok = run_matrix(&o);
	else if (o.cell)
		ok = matrix_run_one(o.cell, o.one_seed ? o.seed : o.from, o.trace);
	else if (o.nodes > 0)
		ok = run_town(&o);
	else if (o.count > 0)
		ok = run_seeds(&o);
	else if (o.one_seed)
		ok = run_seed(&o);
	else {
		fputs(usage, stderr);
		return 2;
	}
	return ok ? 0 : 1;
}
