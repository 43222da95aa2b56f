/* A hash map that cannot be aimed at. Open addressing with linear probing keeps a lookup inside one
 * or two cache lines; deletion shifts the followers back, so there are no tombstones and lookups
 * never degrade with churn. Load stays at or below 3/4.
 *
 * The hash is SipHash-1-3 (as Rust's HashMap) of the one word, under a key grown from the secret:
 * indices and ids are partly chosen by strangers, and without the secret nobody can line them up in
 * one chain.
 *
 * Invariant: every entry is reachable from its home slot without crossing an empty slot. */
#include "core/table.h"

#include <stdlib.h>

#define CAPACITY_MIN 16

struct slot {
	uint64_t key;
	void *value; /* NULL: empty */
};

struct table {
	struct slot *slots;
	size_t capacity; /* power of two; 0 before the first entry */
	size_t count, max;
	uint64_t k0, k1;
};

static uint64_t rotl(uint64_t x, unsigned n)
{
	return x << n | x >> (64 - n);
}

static void sip_round(uint64_t v[4])
{
	v[0] += v[1];
	v[1] = rotl(v[1], 13) ^ v[0];
	v[0] = rotl(v[0], 32);
	v[2] += v[3];
	v[3] = rotl(v[3], 16) ^ v[2];
	v[0] += v[3];
	v[3] = rotl(v[3], 21) ^ v[0];
	v[2] += v[1];
	v[1] = rotl(v[1], 17) ^ v[2];
	v[2] = rotl(v[2], 32);
}

static uint64_t hash(const struct table *t, uint64_t key)
{
	uint64_t v[4] = { t->k0 ^ UINT64_C(0x736f6d6570736575),
		t->k1 ^ UINT64_C(0x646f72616e646f6d), t->k0 ^ UINT64_C(0x6c7967656e657261),
		t->k1 ^ UINT64_C(0x7465646279746573) };
	v[3] ^= key;
	sip_round(v);
	v[0] ^= key;
	v[2] ^= 0xff;
	sip_round(v);
	sip_round(v);
	sip_round(v);
	return v[0] ^ v[1] ^ v[2] ^ v[3];
}

struct table *table_new(size_t max_entries, uint64_t secret)
{
	assert(max_entries > 0 && max_entries <= SIZE_MAX / 4 / sizeof(struct slot));
	struct table *t = calloc(1, sizeof(*t));
	if (!t)
		return NULL;
	t->max = max_entries;
	t->k0 = secret;
	t->k1 = rotl(secret, 23) * UINT64_C(0x9e3779b97f4a7c15);
	return t;
}

void table_free(struct table *t)
{
	if (!t)
		return;
	free(t->slots);
	free(t);
}

/* Slot that holds the key, or the empty one where it would go. */
static size_t locate(const struct table *t, uint64_t key)
{
	size_t mask = t->capacity - 1;
	size_t i = (size_t)hash(t, key) & mask;
	while (t->slots[i].value && t->slots[i].key != key)
		i = (i + 1) & mask;
	return i;
}

void *table_find(const struct table *t, uint64_t key)
{
	return t->capacity ? t->slots[locate(t, key)].value : NULL;
}

static int grow(struct table *t)
{
	struct slot *old = t->slots;
	size_t old_capacity = t->capacity;
	size_t capacity = old_capacity ? 2 * old_capacity : CAPACITY_MIN;
	struct slot *slots = calloc(capacity, sizeof(*slots));
	if (!slots)
		return OV_ENOMEM;
	t->slots = slots;
	t->capacity = capacity;
	for (size_t i = 0; i < old_capacity; i++) {
		if (old[i].value)
			t->slots[locate(t, old[i].key)] = old[i];
	}
	free(old);
	return OV_OK;
}

int table_put(struct table *t, uint64_t key, void *value)
{
	assert(value);
	if (table_find(t, key))
		return OV_EEXIST;
	if (t->count == t->max)
		return OV_EFULL;
	if (t->count + 1 > t->capacity / 4 * 3 && grow(t) != OV_OK)
		return OV_ENOMEM;
	t->slots[locate(t, key)] = (struct slot){ .key = key, .value = value };
	t->count++;
	return OV_OK;
}

void *table_remove(struct table *t, uint64_t key)
{
	if (!t->capacity)
		return NULL;
	size_t mask = t->capacity - 1;
	size_t hole = locate(t, key);
	void *value = t->slots[hole].value;
	if (!value)
		return NULL;
	/* Knuth 6.4 algorithm R: move back each follower whose home is not right of the hole. */
	for (size_t i = (hole + 1) & mask; t->slots[i].value; i = (i + 1) & mask) {
		size_t home = (size_t)hash(t, t->slots[i].key) & mask;
		if (((i - home) & mask) < ((i - hole) & mask))
			continue;
		t->slots[hole] = t->slots[i];
		hole = i;
	}
	t->slots[hole].value = NULL;
	t->count--;
	return value;
}

size_t table_count(const struct table *t)
{
	return t->count;
}
