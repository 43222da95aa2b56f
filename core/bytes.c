/* Checked cursors. The shape (first failure latches, asked once at the end) is that of knot's
 * wire_ctx and OpenSSH's sshbuf: a decoder becomes a straight column of reads. */
#include "core/bytes.h"

struct rd rd_init(const uint8_t *data, size_t len)
{
	return (struct rd){ .next = data,
		.end = len ? data + len : data }; /* NULL + 0 is undefined */
}

const uint8_t *rd_take(struct rd *r, size_t len)
{
	if (r->short_read || len > (size_t)(r->end - r->next)) {
		r->short_read = true;
		return NULL;
	}
	const uint8_t *p = r->next;
	if (len)
		r->next += len;
	return p;
}

uint8_t rd_u8(struct rd *r)
{
	const uint8_t *p = rd_take(r, 1);
	return p ? *p : 0;
}

uint16_t rd_u16(struct rd *r)
{
	const uint8_t *p = rd_take(r, 2);
	return p ? load_le16(p) : 0;
}

uint32_t rd_u32(struct rd *r)
{
	const uint8_t *p = rd_take(r, 4);
	return p ? load_le32(p) : 0;
}

uint64_t rd_u64(struct rd *r)
{
	const uint8_t *p = rd_take(r, 8);
	return p ? load_le64(p) : 0;
}

void rd_copy(struct rd *r, void *out, size_t len)
{
	const uint8_t *p = rd_take(r, len);
	if (len == 0)
		return;
	if (p)
		memcpy(out, p, len);
	else
		memset(out, 0, len);
}

size_t rd_left(const struct rd *r)
{
	return r->short_read ? 0 : (size_t)(r->end - r->next);
}

bool rd_done(const struct rd *r)
{
	return !r->short_read && r->next == r->end;
}

struct wr wr_init(uint8_t *data, size_t cap)
{
	return (struct wr){ .start = data, .next = data, .end = cap ? data + cap : data };
}

uint8_t *wr_take(struct wr *w, size_t len)
{
	if (w->overflow || len > (size_t)(w->end - w->next)) {
		w->overflow = true;
		return NULL;
	}
	uint8_t *p = w->next;
	if (len)
		w->next += len;
	return p;
}

void wr_u8(struct wr *w, uint8_t v)
{
	uint8_t *p = wr_take(w, 1);
	if (p)
		*p = v;
}

void wr_u16(struct wr *w, uint16_t v)
{
	uint8_t *p = wr_take(w, 2);
	if (p)
		store_le16(p, v);
}

void wr_u32(struct wr *w, uint32_t v)
{
	uint8_t *p = wr_take(w, 4);
	if (p)
		store_le32(p, v);
}

void wr_u64(struct wr *w, uint64_t v)
{
	uint8_t *p = wr_take(w, 8);
	if (p)
		store_le64(p, v);
}

void wr_copy(struct wr *w, const void *data, size_t len)
{
	uint8_t *p = wr_take(w, len);
	if (p && len)
		memcpy(p, data, len);
}

void wr_zero(struct wr *w, size_t len)
{
	uint8_t *p = wr_take(w, len);
	if (p && len)
		memset(p, 0, len);
}

size_t wr_len(const struct wr *w)
{
	return (size_t)(w->next - w->start);
}

bool wr_ok(const struct wr *w)
{
	return !w->overflow;
}
