#pragma once
/* arena_os - the one mapping that holds session keys: locked in memory as far as the system allows,
 * left out of core dumps, wiped in a forked child. Hands out blocks of one size. One thread. */
#include "core/blocks.h"

struct arena;

#define ARENA_ALIGN 64 /* of every block: a cache line, and what AES key schedules want */

/* Reserves address space for max_blocks of block_size bytes (rounded up to ARENA_ALIGN) and memory
 * for none: it grows in chunks as blocks are taken. NULL: no address space or out of memory. */
struct arena *arena_new(size_t block_size, size_t max_blocks);
/* Wipes and unmaps. Blocks still out are gone. */
void arena_free(struct arena *a);

/* A zeroed block; NULL: all are taken, or the system has no memory. */
void *arena_take(struct arena *a);
/* Wipes it. NULL is allowed; a foreign pointer or a second release is our bug (assert). */
void arena_release(struct arena *a, void *block);
struct blocks arena_blocks(struct arena *a);

struct arena_info {
	size_t taken, ready, max;        /* blocks: in use, backed by memory, limit */
	size_t locked_bytes, used_bytes; /* less locked than used: raise RLIMIT_MEMLOCK */
};
struct arena_info arena_info(const struct arena *a);
