#pragma once
/* meeting - the scenes with a facilitator: who cannot call each other meets through it. */
#include "tests/sim/scene.h"

void meeting_relay_then_direct(struct sim *s);
void meeting_punch_past_open_routers(struct sim *s);
void meeting_symmetric_pair_stays_relayed(struct sim *s);
void meeting_relay_from_elsewhere(struct sim *s);
void meeting_facilitator_restarts(struct sim *s);
void meeting_both_move_at_once(struct sim *s);
