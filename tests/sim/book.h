#pragma once
/* book - a growing hash map from u64 to small records, the memory of the oracle. Records are never
 * removed; pointers are valid until the next book_at. */
#include "core/base.h"

struct book {
	uint64_t *keys; /* 0: free slot */
	uint8_t *records;
	size_t record_size, count, cap;
};

void book_init(struct book *b, size_t record_size);
void book_fini(struct book *b);
/* The record of a key, made of zeros if it is new. */
void *book_at(struct book *b, uint64_t key);
/* NULL if there is none. */
void *book_find(const struct book *b, uint64_t key);
/* i-th slot's record for walks, or NULL for a free slot; i < cap. */
void *book_slot(const struct book *b, size_t i);
