/* Keys must not reach swap or a core file, but one guarded allocation per session (sodium_malloc)
 * costs four pages and six system calls each, and 10,000 sessions would exhaust the process's map
 * count. Hence one reservation (PROT_NONE, no memory behind it), of which a growing prefix is made
 * usable chunk by chunk and locked. mlock is refused beyond RLIMIT_MEMLOCK: then the rest works
 * unlocked and arena_info says so.
 *
 * Free blocks form a list through their first word; everything else in a free block is zero. A bit
 * per block catches a double release. */
#include "overlay/arena_os.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define CHUNK_BYTES ((size_t)64 * 1024)

struct arena {
	uint8_t *base;
	size_t mapped;          /* bytes reserved, whole pages */
	size_t usable;          /* prefix that has memory */
	size_t locked;          /* of which mlock succeeded */
	size_t block_size, max; /* bytes, blocks */
	size_t taken, ready;    /* blocks */
	void *free_list;        /* first word of a free block: the next one */
	uint64_t *used;         /* bit per block */
	size_t page;
};

static size_t round_up(size_t n, size_t unit)
{
	return (n + unit - 1) / unit * unit;
}

struct arena *arena_new(size_t block_size, size_t max_blocks)
{
	assert(block_size > 0 && max_blocks > 0);
	if (block_size > SIZE_MAX / 4 / max_blocks)
		return NULL;
	struct arena *a = calloc(1, sizeof(*a));
	if (a == NULL)
		return NULL;
	a->page = (size_t)sysconf(_SC_PAGESIZE);
	a->block_size = round_up(block_size, ARENA_ALIGN);
	a->max = max_blocks;
	a->mapped = round_up(a->block_size * max_blocks, a->page);
	a->used = calloc((max_blocks + 63) / 64, sizeof(*a->used));
	void *base = mmap(
		NULL, a->mapped, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	a->base = base == MAP_FAILED ? NULL : base;
	if (a->used == NULL || a->base == NULL) {
		arena_free(a);
		return NULL;
	}
	/* Both are a hardening: an old kernel that refuses them is no reason not to run. */
	(void)madvise(a->base, a->mapped, MADV_DONTDUMP);
	(void)madvise(a->base, a->mapped, MADV_WIPEONFORK);
	return a;
}

void arena_free(struct arena *a)
{
	if (a == NULL)
		return;
	if (a->base != NULL) {
		sodium_memzero(a->base, a->usable);
		(void)munmap(a->base, a->mapped);
	}
	free(a->used);
	free(a);
}

/* Makes the next chunk usable (at least one block more). False: no memory. */
static bool arena_grow(struct arena *a)
{
	size_t want = round_up(a->usable + a->block_size, CHUNK_BYTES);
	want = want < a->mapped ? want : a->mapped;
	uint8_t *start = a->base + a->usable;
	size_t len = want - a->usable;
	if (len == 0 || mprotect(start, len, PROT_READ | PROT_WRITE) != 0)
		return false;
	if (mlock(start, len) == 0)
		a->locked += len;
	a->usable = want;
	return true;
}

static size_t block_index(const struct arena *a, const void *block)
{
	size_t offset = (size_t)((const uint8_t *)block - a->base);
	assert(offset % a->block_size == 0 && offset / a->block_size < a->ready);
	return offset / a->block_size;
}

static void *arena_fresh(struct arena *a)
{
	if (a->ready == a->max)
		return NULL;
	if ((a->ready + 1) * a->block_size > a->usable && !arena_grow(a))
		return NULL;
	return a->base + a->block_size * a->ready++;
}

void *arena_take(struct arena *a)
{
	void *block = a->free_list;
	if (block == NULL) {
		block = arena_fresh(a);
		if (block == NULL)
			return NULL;
	} else {
		memcpy(&a->free_list, block, sizeof(a->free_list));
		memset(block, 0, sizeof(a->free_list));
	}
	size_t i = block_index(a, block);
	a->used[i / 64] |= (uint64_t)1 << i % 64;
	a->taken++;
	return block;
}

void arena_release(struct arena *a, void *block)
{
	if (block == NULL)
		return;
	size_t i = block_index(a, block);
	assert((a->used[i / 64] >> i % 64 & 1) != 0); /* released twice */
	a->used[i / 64] &= ~((uint64_t)1 << i % 64);
	sodium_memzero(block, a->block_size);
	memcpy(block, &a->free_list, sizeof(a->free_list));
	a->free_list = block;
	a->taken--;
}

static void *blocks_take(void *context)
{
	return arena_take(context);
}

static void blocks_release(void *context, void *p)
{
	arena_release(context, p);
}

struct blocks arena_blocks(struct arena *a)
{
	return (struct blocks){ .alloc = blocks_take, .free = blocks_release, .context = a };
}

struct arena_info arena_info(const struct arena *a)
{
	return (struct arena_info){ .taken = a->taken,
		.ready = a->usable / a->block_size,
		.max = a->max,
		.locked_bytes = a->locked,
		.used_bytes = a->usable };
}
