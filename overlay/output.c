/* UDP GSO wants one buffer of equal datagrams, the last one possibly shorter. So packets are sealed
 * one behind the other, and a run grows as long as address and size allow; a shorter packet closes
 * it. */
#include "overlay/output.h"

#include <stdlib.h>

int output_init(struct output *o)
{
	*o = (struct output){ 0 };
	o->arena = malloc(OUTPUT_ARENA);
	o->runs = calloc(OUTPUT_RUNS, sizeof(*o->runs));
	if (o->arena && o->runs)
		return OV_OK;
	output_fini(o);
	return OV_ENOMEM;
}

void output_fini(struct output *o)
{
	free(o->arena);
	free(o->runs);
	*o = (struct output){ 0 };
}

bool output_has_room(const struct output *o, size_t bytes)
{
	return OUTPUT_ARENA - o->used >= bytes + OUTPUT_RESERVE && o->count + 64 < OUTPUT_RUNS;
}

uint8_t *output_room(struct output *o, size_t len, bool data)
{
	size_t keep = data ? OUTPUT_RESERVE : 0;
	if (OUTPUT_ARENA - o->used < len + keep || o->count == OUTPUT_RUNS)
		return NULL;
	return o->arena + o->used;
}

void output_add(struct output *o, const struct dgram *where, const void *key, size_t len)
{
	struct dgram *last = o->count > o->taken ? &o->runs[o->count - 1] : NULL;
	bool open = last && key && key == o->last_key && last->ecn == where->ecn &&
		    last->len % last->segment == 0;
	if (open && len <= last->segment && last->len + len <= OUTPUT_RUN_BYTES &&
		o->last_segments < OUTPUT_RUN_COUNT) {
		last->len += len;
		o->last_segments++;
	} else {
		assert(o->runs && o->count < OUTPUT_RUNS); /* output_room has said so */
		struct dgram *run = &o->runs[o->count++];
		*run = *where;
		run->data = o->arena + o->used;
		run->len = len;
		run->segment = (uint16_t)len;
		o->last_key = key;
		o->last_segments = 1;
	}
	o->used += len;
}

void output_forget(struct output *o, const void *key)
{
	if (o->last_key == key)
		o->last_key = NULL;
}

size_t output_take(struct output *o, struct dgram *out, size_t max)
{
	if (o->taken == o->count) {
		o->taken = o->count = o->used = 0;
		o->last_key = NULL;
		return 0;
	}
	size_t n = 0;
	while (n < max && o->taken < o->count)
		out[n++] = o->runs[o->taken++];
	return n;
}
