#pragma once
/* heap - deadlines: a 4-ary min-heap of embedded entries. One entry per peer (style: deadlines are
 * fields). */
#include "core/base.h"

struct heap_entry {
	ov_time at;
	size_t position; /* 0: not in the heap; else index + 1 */
};
struct heap {
	struct heap_entry **entries;
	size_t count, cap;
};

void heap_fini(struct heap *h);
/* Makes room for `count` entries, so that heap_set never fails. OV_OK or OV_ENOMEM. */
OV_MUST_CHECK int heap_reserve(struct heap *h, size_t count);
/* Inserts, moves, or (at == OV_NEVER) removes. */
void heap_set(struct heap *h, struct heap_entry *e, ov_time at);
struct heap_entry *heap_first(const struct heap *h); /* NULL: empty */
ov_time heap_deadline(const struct heap *h);         /* OV_NEVER: empty */
