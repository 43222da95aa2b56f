#include "core/receive_buffer.h"

void receive_buffer_fini(struct receive_buffer *b)
{
	byte_ring_fini(&b->ring);
	ranges_fini(&b->have);
}

int receive_buffer_end(struct receive_buffer *b, uint64_t size, uint64_t limit)
{
	if (size > limit || size < b->highest || (b->has_final && size != b->final_size))
		return OV_EINVAL;
	b->has_final = true;
	b->final_size = size;
	return OV_OK;
}

/* Where both are, they must agree (RFC 9000 2.2). */
static bool agrees(
	const struct receive_buffer *b, uint64_t first, uint64_t end, const uint8_t *data)
{
	size_t i = ranges_place(&b->have, first);
	for (; i < b->have.count && b->have.list[i].first < end; i++) {
		const struct range *have = &b->have.list[i];
		uint64_t from = have->first > first ? have->first : first;
		uint64_t to = have->end < end ? have->end : end;
		if (from < to && !byte_ring_equals(&b->ring, from, data + (from - first),
					 (size_t)(to - from)))
			return false;
	}
	return true;
}

static bool fits(const struct receive_buffer *b, const struct stream_frame *f, uint64_t limit)
{
	uint64_t end = f->offset + f->len;
	if (end > limit || (b->has_final && end > b->final_size))
		return false;
	if (!(f->flags & STREAM_FIN))
		return true;
	return end >= b->highest && (!b->has_final || end == b->final_size);
}

/* All of it is new or agrees: the same bytes may be written twice. */
static int store(struct receive_buffer *b, uint64_t first, uint64_t end, const uint8_t *data)
{
	if (!agrees(b, first, end, data))
		return OV_EINVAL;
	if (!byte_ring_hold(&b->ring, (size_t)(end - b->base), b->base,
		    b->highest > b->base ? b->highest : b->base))
		return OV_ENOMEM;
	int err = ranges_add(&b->have, first, end, RECEIVE_RANGES_MAX);
	if (err == OV_OK)
		byte_ring_put(&b->ring, first, data, (size_t)(end - first));
	return err;
}

int receive_buffer_add(struct receive_buffer *b, const struct stream_frame *f, uint64_t limit)
{
	uint64_t first = f->offset > b->base ? f->offset : b->base, end = f->offset + f->len;
	int err = OV_OK;
	if (!fits(b, f, limit))
		return OV_EINVAL;
	if (first < end)
		err = store(b, first, end, f->data + (first - f->offset));
	if (err != OV_OK)
		return err;
	if (end > b->highest)
		b->highest = end;
	if (f->flags & STREAM_FIN) {
		b->has_final = true;
		b->final_size = end;
	}
	return OV_OK;
}

static size_t readable(const struct receive_buffer *b)
{
	if (b->have.count == 0 || b->have.list[0].first != b->base)
		return 0;
	return (size_t)(b->have.list[0].end - b->base);
}

const uint8_t *receive_buffer_peek(const struct receive_buffer *b, size_t *len)
{
	*len = readable(b);
	return *len > 0 ? byte_ring_at(&b->ring, b->base, len) : NULL;
}

const uint8_t *receive_buffer_peek_rest(const struct receive_buffer *b, size_t *len)
{
	size_t first;
	if (!receive_buffer_peek(b, &first) || first == readable(b)) {
		*len = 0;
		return NULL;
	}
	*len = readable(b) - first;
	return byte_ring_at(&b->ring, b->base + first, len);
}

void receive_buffer_consume(struct receive_buffer *b, size_t len)
{
	b->base += len;
	ranges_forget_below(&b->have, b->base);
}

bool receive_buffer_is_done(const struct receive_buffer *b)
{
	return b->has_final && b->base == b->final_size;
}
