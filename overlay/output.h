#pragma once
/* output - datagrams on their way out: sealed straight into one arena, joined into runs of equal
 * size to one address, so that a run becomes one UDP GSO send. */
#include "core/dgram.h"

#define OUTPUT_ARENA \
	(384 * 1024) /* a 64 KiB super packet cut at 548 B grows by a third; several fit */
#define OUTPUT_RUNS      512
#define OUTPUT_RUN_BYTES 65000 /* UDP over IPv4: 65,507 */
#define OUTPUT_RUN_COUNT 64    /* UDP_MAX_SEGMENTS of older kernels */
#define OUTPUT_RESERVE   16384 /* kept free of data for control packets */

struct output {
	uint8_t *arena;
	size_t used;
	struct dgram *runs;
	size_t count, taken;
	const void *last_key; /* path of the last run; NULL: do not join */
	size_t last_segments;
};

OV_MUST_CHECK int output_init(struct output *o); /* OV_OK or OV_ENOMEM */
void output_fini(struct output *o);
/* Where the next len bytes may be written, NULL if full (data: leave room for control packets). */
uint8_t *output_room(struct output *o, size_t len, bool data);
/* What was written there becomes a datagram to `where`; joins the last run if it has the same key
 * and mark, and the size fits. */
void output_add(struct output *o, const struct dgram *where, const void *key, size_t len);
/* The key is gone, and its address may come back as another's: nothing joins its run any more. */
void output_forget(struct output *o, const void *key);
/* Room for at least `bytes` more of data? */
bool output_has_room(const struct output *o, size_t bytes);
/* Hands out up to max runs; resets when all were taken. */
size_t output_take(struct output *o, struct dgram *out, size_t max);
