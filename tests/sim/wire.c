/* A binary heap by (at, order). Flights are recycled: a run makes millions of them. */
#include "tests/sim/wire.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool before(const struct flight *a, const struct flight *b)
{
	return a->at != b->at ? a->at < b->at : a->order < b->order;
}

void wire_fini(struct wire *w)
{
	for (size_t i = 0; i < w->count; i++)
		free(w->heap[i]);
	for (size_t i = 0; i < w->spare_count; i++)
		free(w->spare[i]);
	free(w->heap);
	*w = (struct wire){ 0 };
}

static void *must(void *p)
{
	if (!p) {
		fprintf(stderr, "sim: out of memory\n");
		abort();
	}
	return p;
}

struct flight *wire_alloc(struct wire *w)
{
	struct flight *f =
		w->spare_count > 0 ? w->spare[--w->spare_count] : must(malloc(sizeof(*f)));
	memset(f, 0, offsetof(struct flight, data));
	return f;
}

struct flight *wire_copy(struct wire *w, const struct flight *f)
{
	struct flight *copy = wire_alloc(w);
	memcpy(copy, f, offsetof(struct flight, data) + f->len);
	return copy;
}

void wire_free(struct wire *w, struct flight *f)
{
	if (w->spare_count < sizeof(w->spare) / sizeof(w->spare[0]))
		w->spare[w->spare_count++] = f;
	else
		free(f);
}

void wire_push(struct wire *w, struct flight *f, ov_time at)
{
	if (w->count == w->cap) {
		w->cap = w->cap ? 2 * w->cap : 64;
		w->heap = must(realloc(w->heap, w->cap * sizeof(struct flight *)));
	}
	f->at = at;
	f->order = w->order++;
	size_t i = w->count++;
	for (; i > 0 && before(f, w->heap[(i - 1) / 2]); i = (i - 1) / 2)
		w->heap[i] = w->heap[(i - 1) / 2];
	w->heap[i] = f;
}

ov_time wire_next(const struct wire *w)
{
	return w->count > 0 ? w->heap[0]->at : OV_NEVER;
}

struct flight *wire_pop(struct wire *w, ov_time now)
{
	if (w->count == 0 || w->heap[0]->at > now)
		return NULL;
	struct flight *first = w->heap[0], *last = w->heap[--w->count];
	size_t i = 0;
	for (;;) {
		size_t child = 2 * i + 1;
		if (child >= w->count)
			break;
		if (child + 1 < w->count && before(w->heap[child + 1], w->heap[child]))
			child++;
		if (before(last, w->heap[child]))
			break;
		w->heap[i] = w->heap[child];
		i = child;
	}
	if (w->count > 0)
		w->heap[i] = last;
	return first;
}
