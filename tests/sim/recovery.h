#pragma once
/* recovery - what must hold when the faults are over: whoever can reach each other talks within 30
 * s
 * (`alive`), both ends agree (`agree`), whoever has nothing to say falls silent (`idle`), and
 * all of it comes back with the first packet. */
#include "tests/sim/swarm.h"

/* Everybody who wants somebody talks for 30 s; breaks `alive` or `agree`. */
void recovery_talk(struct sim *s);
/* Nobody talks any more; after 10 minutes it is counted what each may still send: a pair without
 * NAT nothing, one with NAT its keepalives and rekeys. */
void recovery_hush(struct sim *s);
/* Five minutes later: who sent more? Breaks `idle`. */
void recovery_watch(struct sim *s);
/* Apps make haste; half a minute later only streams that are held are open. Breaks `stuck`. */
void recovery_finish_streams(struct sim *s);
/* Heals the world, then all of the above. */
void recovery_run(struct swarm *w);
