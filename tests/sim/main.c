#include "tests/sim/scene.h"
#include <sodium.h>
#include <string.h>
int main(int argc, char **argv)
{
	if (sodium_init() < 0)
		return 1;
	for (size_t i = 0; i < scene_count; i++)
		if (argc > 1 && strcmp(argv[1], scenes[i].name) == 0) {
			struct sim *s = scene_play(&scenes[i], argc > 2);
			fputs(s->trace.story, stdout);
			sim_free(s);
		}
	return 0;
}
