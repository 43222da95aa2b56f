/* Deadlines of many objects. Four children per node: half the levels of a binary heap, and the
 * children of a node lie in one cache line of pointers; moving a deadline (the common operation) is
 * mostly a sift towards the leaves.
 *
 * Invariant: entries[i]->position == i + 1 and no entry is due before its parent. */
#include "core/heap.h"

#include <stdlib.h>

#define ARITY 4

void heap_fini(struct heap *h)
{
	for (size_t i = 0; i < h->count; i++)
		h->entries[i]->position = 0;
	free(h->entries);
	*h = (struct heap){ 0 };
}

int heap_reserve(struct heap *h, size_t count)
{
	if (count <= h->cap)
		return OV_OK;
	size_t cap = count > 2 * h->cap ? count : 2 * h->cap; /* one by one stays linear in all */
	if (cap > SIZE_MAX / sizeof(struct heap_entry *))
		return OV_ENOMEM;
	struct heap_entry **entries = realloc(h->entries, cap * sizeof(struct heap_entry *));
	if (!entries)
		return OV_ENOMEM;
	h->entries = entries;
	h->cap = cap;
	return OV_OK;
}

static void place(struct heap *h, size_t i, struct heap_entry *e)
{
	h->entries[i] = e;
	e->position = i + 1;
}

static void sift_up(struct heap *h, size_t i, struct heap_entry *e)
{
	while (i > 0) {
		size_t parent = (i - 1) / ARITY;
		if (h->entries[parent]->at <= e->at)
			break;
		place(h, i, h->entries[parent]);
		i = parent;
	}
	place(h, i, e);
}

static void sift_down(struct heap *h, size_t i, struct heap_entry *e)
{
	for (;;) {
		size_t first = ARITY * i + 1, least = first;
		for (size_t c = first + 1; c < first + ARITY && c < h->count; c++) {
			if (h->entries[c]->at < h->entries[least]->at)
				least = c;
		}
		if (least >= h->count || h->entries[least]->at >= e->at)
			break;
		place(h, i, h->entries[least]);
		i = least;
	}
	place(h, i, e);
}

static void settle(struct heap *h, size_t i, struct heap_entry *e)
{
	if (i > 0 && h->entries[(i - 1) / ARITY]->at > e->at)
		sift_up(h, i, e);
	else
		sift_down(h, i, e);
}

static void remove_entry(struct heap *h, struct heap_entry *e)
{
	size_t i = e->position - 1;
	struct heap_entry *last = h->entries[--h->count];
	e->position = 0;
	if (last != e)
		settle(h, i, last);
}

void heap_set(struct heap *h, struct heap_entry *e, ov_time at)
{
	assert(e->position <= h->count);
	assert(!e->position || h->entries[e->position - 1] == e);
	e->at = at;
	if (at == OV_NEVER) {
		if (e->position)
			remove_entry(h, e);
		return;
	}
	if (e->position) {
		settle(h, e->position - 1, e);
		return;
	}
	assert(h->count < h->cap); /* whoever makes entries reserves room for them */
	sift_up(h, h->count++, e);
}

struct heap_entry *heap_first(const struct heap *h)
{
	return h->count ? h->entries[0] : NULL;
}

ov_time heap_deadline(const struct heap *h)
{
	return h->count ? h->entries[0]->at : OV_NEVER;
}
