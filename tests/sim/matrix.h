#pragma once
/* matrix - every kind of box against every other: two hosts that know each other's key and nothing
 * else, and one facilitator, all 20 ms from each other. Zero is when all three have been started.
 */
#include "tests/sim/kind.h"

#define MATRIX_NEVER INT32_MAX

struct cell {
	const char *a, *b;
	enum kind kinds[2];
	void (*build)(struct sim *s); /* both in one network; NULL: each at home */
	enum kind_way way;            /* what mathematics allows */
};

struct figure {
	int32_t first_ms, direct_ms; /* first answer; both ways direct. MATRIX_NEVER */
	bool relayed, silent; /* in the last second: through the facilitator; nothing at all */
	char broken[128];     /* an invariant, or "" */
};

size_t matrix_cells(void);
struct cell matrix_cell(size_t i);
/* Builds and plays one; the caller frees it. */
struct sim *matrix_play(const struct cell *c, uint64_t seed, bool verbose, struct figure *out);

struct matrix_options {
	uint64_t from, seeds;
	unsigned jobs;
	bool json;
	const char *self; /* program, for the command that replays */
};
/* All cells with each seed; prints the table. False: a cell is not what it must be, or a figure is
 * beyond its gate. */
bool matrix_run(const struct matrix_options *o);
/* One run of cell "A,B" with every datagram shown. False: it failed, or there is no such cell. */
bool matrix_run_one(const char *name, uint64_t seed, bool trace);
