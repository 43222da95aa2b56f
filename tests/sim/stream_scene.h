#pragma once
/* stream_scene - the scenes about streams. What a transfer does from one millisecond to the next is
 * not told: that is for the sweep, and for docs/transport.md. */
#include "tests/sim/scene.h"

void stream_scene_there_and_back(struct sim *s);
void stream_scene_given_up(struct sim *s);
void stream_scene_roams(struct sim *s);
void stream_scene_rekeys(struct sim *s);
void stream_scene_sleeps(struct sim *s);
void stream_scene_peer_restarts(struct sim *s);
void stream_scene_waits_for_its_peer(struct sim *s);
void stream_scene_leaves_the_relay(struct sim *s);
void stream_scene_idle_costs_nothing(struct sim *s);
