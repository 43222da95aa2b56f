#pragma once
/* blocks - where a pure file gets fixed-size memory for secrets: the daemon hands out blocks of its
 * locked arena (overlay/arena_os.h), the simulator uses malloc. Blocks are zeroed, 64-byte aligned
 * and as large as whoever made the allocator was told. */
#include "core/base.h"

struct blocks {
	void *(*alloc)(void *context);        /* NULL: none left */
	void (*free)(void *context, void *p); /* wipes; p may be NULL */
	void *context;
};

static inline void *blocks_alloc(const struct blocks *b)
{
	return b->alloc(b->context);
}

static inline void blocks_free(const struct blocks *b, void *p)
{
	b->free(b->context, p);
}
