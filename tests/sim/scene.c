/* Scenes check what they are about with scene_require: a story that was updated blindly still fails
 * when its point is lost. */
#include "tests/sim/scene.h"

#include "tests/sim/hostile.h"

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

static void require(struct sim *s, bool holds, const char *what)
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
	require(s, t->answered == t->sent && world_connected(s, a, b), "every ping is answered");
	oracle_check_agreement(s);
}

const struct scene scenes[] = {
	{ "first_contact", 2, first_contact },
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
