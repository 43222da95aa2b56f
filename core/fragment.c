/* Cutting IP packets above the PMTU into equal parts, and putting them together again.
 *
 * All parts of a packet but the last have one length, so a part's place follows from its index, and
 * nothing can overlap or leave a gap: a part either fits its place or is refused. Parts come from
 * an authenticated peer, yet a broken or hostile one may cost us no more than REASSEMBLY_PACKETS
 * buffers and 1 s.
 *
 * Buffers are made when first needed and then reused, so nothing is allocated per packet. A full
 * table gives up its oldest packet: under loss that one is the least likely to be completed.
 *
 * The last part may come first, when the length of the others is not known yet: it waits at the end
 * of the buffer and moves to its place when the packet is complete. The others never reach it,
 * because all parts together are at most REASSEMBLY_PACKET_MAX. */
#include "core/fragment.h"

#include <stdlib.h>

struct pending {
	ov_time started_at;
	uint32_t id;
	uint16_t part_len;      /* of all parts but the last; 0: none of them is here */
	uint16_t last_len;      /* 0: the last is not here */
	uint8_t count, present; /* present: a bit per index */
	bool partial;
	uint8_t data[REASSEMBLY_PACKET_MAX];
};

struct reassembly {
	uint64_t used; /* bit per slot */
	size_t made;   /* slots [0, made) are allocated */
	struct pending *slots[REASSEMBLY_PACKETS];
};

static_assert(FRAGMENT_COUNT_MAX <= 8, "pending.present has a bit per part");
static_assert(REASSEMBLY_PACKETS == 64, "reassembly.used has a bit per slot");

static size_t part_length(size_t len, size_t count)
{
	return (len + count - 1) / count;
}

size_t fragment_count(size_t len, size_t max)
{
	if (len == 0 || max <= FRAGMENT_HEADER_LEN)
		return 0;
	size_t count = part_length(len, max - FRAGMENT_HEADER_LEN);
	return count <= FRAGMENT_COUNT_MAX ? count : 0;
}

size_t fragment_encode(
	uint8_t *out, uint32_t id, uint8_t index, uint8_t count, const uint8_t *packet, size_t len)
{
	assert(index < count && count <= FRAGMENT_COUNT_MAX);
	size_t part = part_length(len, count), offset = index * part;
	assert(offset < len); /* count is what fragment_count said for this len */
	size_t n = len - offset < part ? len - offset : part;
	store_le32(out, id);
	out[4] = index;
	out[5] = count;
	memcpy(out + FRAGMENT_HEADER_LEN, packet + offset, n);
	return FRAGMENT_HEADER_LEN + n;
}

static bool is_last(const struct fragment *f)
{
	return f->index == f->count - 1;
}

enum drop fragment_decode(struct fragment *f, const uint8_t *plain, size_t len)
{
	struct rd r = rd_init(plain, len);
	f->id = rd_u32(&r);
	f->index = rd_u8(&r);
	f->count = rd_u8(&r);
	f->len = rd_left(&r);
	f->data = rd_take(&r, f->len);
	if (!rd_done(&r) || f->len == 0)
		return DROP_SHORT;
	if (f->index >= f->count || f->count > FRAGMENT_COUNT_MAX)
		return DROP_FRAGMENT;
	/* The least that the whole packet can be long, given this part. */
	size_t least = is_last(f) ? f->len * f->count : f->len * (f->count - 1U) + 1;
	return least <= REASSEMBLY_PACKET_MAX ? DROP_NONE : DROP_FRAGMENT;
}

struct reassembly *reassembly_new(void)
{
	return calloc(1, sizeof(struct reassembly));
}

void reassembly_free(struct reassembly *r)
{
	if (!r)
		return;
	for (size_t i = 0; i < r->made; i++)
		free(r->slots[i]);
	free(r);
}

/* Lowest used slot from `from` on; REASSEMBLY_PACKETS: none. */
static size_t next_used(const struct reassembly *r, size_t from)
{
	uint64_t rest = from < REASSEMBLY_PACKETS ? r->used >> from << from : 0;
	return rest ? (size_t)__builtin_ctzll(rest) : REASSEMBLY_PACKETS;
}

static size_t find(const struct reassembly *r, uint32_t id)
{
	size_t i = next_used(r, 0);
	while (i < REASSEMBLY_PACKETS && r->slots[i]->id != id)
		i = next_used(r, i + 1);
	return i;
}

static size_t oldest(const struct reassembly *r)
{
	size_t best = next_used(r, 0);
	for (size_t i = best; i < REASSEMBLY_PACKETS; i = next_used(r, i + 1)) {
		if (r->slots[i]->started_at < r->slots[best]->started_at)
			best = i;
	}
	return best;
}

static void release(struct reassembly *r, size_t slot)
{
	r->used &= ~((uint64_t)1 << slot);
}

/* A slot for a new packet: a free one, a new one, or the oldest. REASSEMBLY_PACKETS: no memory. */
static size_t claim(struct reassembly *r)
{
	uint64_t unused = ~r->used;
	size_t slot = unused ? (size_t)__builtin_ctzll(unused) : REASSEMBLY_PACKETS;
	if (slot == r->made && slot < REASSEMBLY_PACKETS) {
		r->slots[slot] = malloc(sizeof(struct pending));
		if (r->slots[slot])
			r->made++;
		else
			slot = REASSEMBLY_PACKETS;
	}
	if (slot == REASSEMBLY_PACKETS)
		slot = oldest(r);
	if (slot < REASSEMBLY_PACKETS)
		r->used |= (uint64_t)1 << slot;
	return slot;
}

static bool fits(const struct pending *p, const struct fragment *f, bool partial)
{
	if (p->count != f->count || p->partial != partial || (p->present >> f->index & 1))
		return false;
	if (!is_last(f) && p->part_len && f->len != p->part_len)
		return false;
	size_t part = is_last(f) ? p->part_len : f->len;
	size_t last = is_last(f) ? f->len : p->last_len;
	return !part || !last ||
	       (last <= part && part * (f->count - 1U) + last <= REASSEMBLY_PACKET_MAX);
}

static void store(struct pending *p, const struct fragment *f)
{
	if (is_last(f)) {
		p->last_len = (uint16_t)f->len;
		memcpy(p->data + REASSEMBLY_PACKET_MAX - f->len, f->data, f->len);
	} else {
		p->part_len = (uint16_t)f->len;
		memcpy(p->data + f->len * f->index, f->data, f->len);
	}
	p->present |= (uint8_t)(1U << f->index);
}

static size_t finish(struct pending *p)
{
	size_t offset = p->part_len * (p->count - 1U);
	memmove(p->data + offset, p->data + REASSEMBLY_PACKET_MAX - p->last_len, p->last_len);
	return offset + p->last_len;
}

enum drop reassembly_add(struct reassembly *r, ov_time now, const struct fragment *f, bool partial,
	uint8_t **packet, size_t *len)
{
	*packet = NULL;
	*len = 0;
	size_t slot = find(r, f->id);
	if (slot == REASSEMBLY_PACKETS) {
		slot = claim(r);
		if (slot == REASSEMBLY_PACKETS)
			return DROP_FULL;
		struct pending *p = r->slots[slot];
		p->started_at = now;
		p->id = f->id;
		p->part_len = p->last_len = 0;
		p->count = f->count;
		p->present = 0;
		p->partial = partial;
	}
	struct pending *p = r->slots[slot];
	if (!fits(p, f, partial))
		return DROP_FRAGMENT;
	store(p, f);
	if (p->present != (1U << p->count) - 1)
		return DROP_NONE;
	*len = finish(p);
	*packet = p->data;
	release(r, slot); /* the bytes stay until the next call */
	return DROP_NONE;
}

size_t reassembly_expire(struct reassembly *r, ov_time now)
{
	size_t given_up = 0;
	for (size_t i = next_used(r, 0); i < REASSEMBLY_PACKETS; i = next_used(r, i + 1)) {
		if (now - r->slots[i]->started_at < REASSEMBLY_TIMEOUT)
			continue;
		release(r, i);
		given_up++;
	}
	return given_up;
}

ov_time reassembly_deadline(const struct reassembly *r)
{
	size_t i = oldest(r);
	return i < REASSEMBLY_PACKETS ? r->slots[i]->started_at + REASSEMBLY_TIMEOUT : OV_NEVER;
}
