#pragma once
/* table - hash map from u64 to pointer: open addressing, linear probing with backward-shift
 * deletion. Grows by doubling up to a limit set at creation. Keys are mixed with a secret, so that
 * a stranger cannot aim at one chain. */
#include "core/base.h"

struct table;
struct table *table_new(size_t max_entries, uint64_t secret); /* NULL: out of memory */
void table_free(struct table *t);
void *table_find(const struct table *t, uint64_t key); /* NULL: none */
OV_MUST_CHECK int table_put(
	struct table *t, uint64_t key, void *value); /* OV_EEXIST, OV_EFULL, OV_ENOMEM */
void *table_remove(struct table *t, uint64_t key);   /* the value removed, or NULL */
size_t table_count(const struct table *t);
