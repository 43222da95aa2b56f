#pragma once
/* bytes - integers in wire order and checked cursors. All wire integers are little endian but those
 * of inner IP packets, which are big endian (load_be, store_be).
 *
 * A cursor latches its first failure: later reads return zeros, later writes do nothing, and the
 * caller asks once at the end (rd_done, wr_ok). One statement per read: C does not order the
 * expressions of an initializer list. */
#include "core/base.h"

#include <string.h>

static inline uint16_t load_le16(const uint8_t *p)
{
	return (uint16_t)(p[0] | p[1] << 8);
}

static inline uint32_t load_le32(const uint8_t *p)
{
	return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static inline uint64_t load_le64(const uint8_t *p)
{
	return (uint64_t)load_le32(p) | (uint64_t)load_le32(p + 4) << 32;
}

static inline void store_le16(uint8_t *p, uint16_t v)
{
	p[0] = (uint8_t)v;
	p[1] = (uint8_t)(v >> 8);
}

static inline void store_le32(uint8_t *p, uint32_t v)
{
	store_le16(p, (uint16_t)v);
	store_le16(p + 2, (uint16_t)(v >> 16));
}

static inline void store_le64(uint8_t *p, uint64_t v)
{
	store_le32(p, (uint32_t)v);
	store_le32(p + 4, (uint32_t)(v >> 32));
}

static inline uint16_t load_be16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

static inline uint32_t load_be32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | (uint32_t)p[3];
}

static inline void store_be16(uint8_t *p, uint16_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static inline void store_be32(uint8_t *p, uint32_t v)
{
	store_be16(p, (uint16_t)(v >> 16));
	store_be16(p + 2, (uint16_t)v);
}

struct rd {
	const uint8_t *next, *end;
	bool short_read;
};

struct rd rd_init(const uint8_t *data, size_t len);
uint8_t rd_u8(struct rd *r);
uint16_t rd_u16(struct rd *r);
uint32_t rd_u32(struct rd *r);
uint64_t rd_u64(struct rd *r);
/* Copies len bytes; zeros out when too few are left. */
void rd_copy(struct rd *r, void *out, size_t len);
/* Borrows len bytes of the input; NULL when too few are left (also for len 0 after a short read).
 */
const uint8_t *rd_take(struct rd *r, size_t len);
size_t rd_left(const struct rd *r);
/* True if nothing was short and nothing is left over. */
bool rd_done(const struct rd *r);

struct wr {
	uint8_t *start, *next, *end;
	bool overflow;
};

struct wr wr_init(uint8_t *data, size_t cap);
void wr_u8(struct wr *w, uint8_t v);
void wr_u16(struct wr *w, uint16_t v);
void wr_u32(struct wr *w, uint32_t v);
void wr_u64(struct wr *w, uint64_t v);
void wr_copy(struct wr *w, const void *data, size_t len);
void wr_zero(struct wr *w, size_t len);
/* Room for len bytes that the caller writes; NULL and latched when there is none. */
uint8_t *wr_take(struct wr *w, size_t len);
size_t wr_len(const struct wr *w);
bool wr_ok(const struct wr *w);
