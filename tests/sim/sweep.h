#pragma once
/* sweep - streams over one kind of link or trouble after the other: `sim --streams`. Each cell is a
 * world of two hosts and a stream between them (some have a relay, or several streams); a row tells
 * how long it took. It fails when an invariant breaks (oracle_streams.h) or when it took longer
 * than its limit, which follows from what the link allows (sweep.c). */
#include "tests/sim/sim.h"

struct sweep_options {
	uint64_t seed;
	const char *cell;  /* only this one; NULL: all */
	const char *curve; /* NULL: none */
	bool json, trace;
	const char *self; /* for the command that replays a cell */
};

/* All cells, or one; false: one failed, or there is none of that name. */
bool sweep_run(const struct sweep_options *o);
/* A curve: seconds and Mbit/s, tab separated, to stdout. */
bool sweep_curve(const struct sweep_options *o);
void sweep_list(void);

/* ---- for the cells that are stories of their own (sweep_play.c) ---- */
struct trial {
	struct sim *s;
	struct host *a, *b;
	struct app_stream *x;    /* a writes to b */
	struct link_config link; /* of a's interface, both ways */
	ov_time began, rtt;
	ov_time took, limit; /* of what the cell is about */
	uint64_t bytes;
	double capacity;               /* bytes that the link could have carried since `began` */
	unsigned turn;                 /* TURNs since then */
	void (*each)(struct trial *t); /* every TURN; may be NULL */
	FILE *curve;
	uint64_t plotted;     /* bytes */
	ov_time silent_until; /* turns without bytes that are not plotted yet; 0: none */
	bool is_silent;
};

#define TURN (100 * OV_MS)

/* a and b in the core, rtt apart, connected; then a's link becomes t->link. */
void trial_meet(struct trial *t, uint64_t seed, bool trace);
/* Opens the stream and runs until all of it is at b, at most `most`. took, bytes, capacity are set.
 */
void trial_transfer(struct trial *t, uint64_t bytes, ov_time most);
void trial_run_for(struct trial *t, ov_time duration);
void trial_relink(struct trial *t); /* t->link has changed */

struct play {
	const char *name, *about;
	void (*play)(struct trial *t, uint64_t seed, bool trace);
};
extern const struct play plays[];
extern const size_t play_count;
