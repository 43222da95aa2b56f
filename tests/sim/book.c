/* Open addressing at a load of at most one half. Keys are digests already, so they need no mixing.
 */
#include "tests/sim/book.h"

#include <stdlib.h>
#include <string.h>

void book_init(struct book *b, size_t record_size)
{
	*b = (struct book){ .record_size = record_size };
}

void book_fini(struct book *b)
{
	free(b->keys);
	free(b->records);
	book_init(b, b->record_size);
}

static size_t slot_of(const struct book *b, uint64_t key)
{
	size_t i = (size_t)key & (b->cap - 1);
	while (b->keys[i] != 0 && b->keys[i] != key)
		i = (i + 1) & (b->cap - 1);
	return i;
}

static void grow(struct book *b)
{
	struct book old = *b;
	b->cap = old.cap ? 2 * old.cap : 256;
	b->keys = calloc(b->cap, sizeof(b->keys[0]));
	b->records = calloc(b->cap, b->record_size);
	if (!b->keys || !b->records)
		abort();
	for (size_t i = 0; i < old.cap; i++) {
		if (old.keys[i] == 0)
			continue;
		size_t to = slot_of(b, old.keys[i]);
		b->keys[to] = old.keys[i];
		memcpy(b->records + to * b->record_size, old.records + i * b->record_size,
			b->record_size);
	}
	free(old.keys);
	free(old.records);
}

void *book_at(struct book *b, uint64_t key)
{
	key = key ? key : 1;
	if (2 * (b->count + 1) > b->cap)
		grow(b);
	size_t i = slot_of(b, key);
	if (b->keys[i] == 0) {
		b->keys[i] = key;
		b->count++;
	}
	return b->records + i * b->record_size;
}

void *book_find(const struct book *b, uint64_t key)
{
	if (b->cap == 0)
		return NULL;
	key = key ? key : 1;
	size_t i = slot_of(b, key);
	return b->keys[i] ? b->records + i * b->record_size : NULL;
}

void *book_slot(const struct book *b, size_t i)
{
	return b->keys[i] ? b->records + i * b->record_size : NULL;
}
