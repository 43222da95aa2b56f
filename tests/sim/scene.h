#pragma once
/* scene - a small story with a known course. Its text (tests/sim/scenes/NAME.txt) is what the
 * protocol does, line by line; a change of behaviour is a change of that text, reviewed with the
 * code. `sim --scene NAME --update` writes it anew. */
#include "tests/sim/world.h"

struct scene {
	const char *name;
	size_t hosts;
	void (*play)(struct sim *s);
};

extern const struct scene scenes[];
extern const size_t scene_count;

/* Plays it in a new world; the caller frees it. The story is in trace.story. */
struct sim *scene_play(const struct scene *scene, bool verbose);
/* A line that nobody in the world says. */
void scene_say(struct sim *s, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Breaks the invariant "scene" if it does not hold. */
void scene_require(struct sim *s, bool holds, const char *what);
/* Tells the longest gap in what f's host sent; requires that it flows, and no gap above the limit.
 */
void scene_say_gap(struct sim *s, const struct friend *f, ov_time limit);
