#include "core/send_buffer.h"

void send_buffer_fini(struct send_buffer *b)
{
	byte_ring_fini(&b->ring);
	ranges_fini(&b->acknowledged);
	ranges_fini(&b->lost);
}

uint8_t *send_buffer_reserve(struct send_buffer *b, size_t *len, size_t max)
{
	size_t waits = (size_t)(b->end - b->base);
	if (b->fin || waits >= max)
		return NULL;
	if (*len > max - waits)
		*len = max - waits;
	if (*len == 0 || !byte_ring_hold(&b->ring, waits + *len, b->base, b->end))
		return NULL;
	return byte_ring_at(&b->ring, b->end, len);
}

void send_buffer_commit(struct send_buffer *b, size_t len)
{
	b->end += len;
}

size_t send_buffer_write(struct send_buffer *b, const uint8_t *data, size_t len, size_t max)
{
	size_t written = 0;
	while (written < len) {
		size_t part = len - written;
		uint8_t *room = send_buffer_reserve(b, &part, max);
		if (!room)
			break;
		memcpy(room, data + written, part);
		send_buffer_commit(b, part);
		written += part;
	}
	return written;
}

void send_buffer_end(struct send_buffer *b)
{
	b->fin = true;
}

static bool fin_waits(const struct send_buffer *b)
{
	return b->fin && !b->fin_acknowledged && (!b->fin_sent || b->fin_lost);
}

bool send_buffer_wants(const struct send_buffer *b, uint64_t limit)
{
	bool more = b->next < b->end && b->next < limit;
	return b->lost.count > 0 || more || (fin_waits(b) && b->next == b->end);
}

bool send_buffer_take(struct send_buffer *b, uint64_t limit, size_t max, struct send_part *out)
{
	if (!send_buffer_wants(b, limit))
		return false;
	bool again = b->lost.count > 0;
	uint64_t first = again ? b->lost.list[0].first : b->next;
	uint64_t end = again ? b->lost.list[0].end : b->end < limit ? b->end : limit;
	if (end < first)
		end = first;
	if (end - first > max)
		end = first + max;
	if (end == first && (again || !fin_waits(b) || first != b->end))
		return false; /* no room for a byte */
	*out = (struct send_part){ .offset = first, .len = (size_t)(end - first) };
	if (again)
		ranges_forget_below(&b->lost, end);
	else
		b->next = end;
	if (end == b->end && b->next == b->end && fin_waits(b)) {
		out->fin = b->fin_sent = true;
		b->fin_lost = false;
	}
	return true;
}

void send_buffer_copy(const struct send_buffer *b, const struct send_part *p, uint8_t *out)
{
	byte_ring_get(&b->ring, p->offset, out, p->len);
}

void send_buffer_acknowledge(struct send_buffer *b, const struct send_part *p)
{
	uint64_t end = p->offset + p->len;
	b->fin_acknowledged |= p->fin;
	if (p->len == 0 || end <= b->base)
		return;
	uint64_t first = p->offset > b->base ? p->offset : b->base;
	if (ranges_add(&b->acknowledged, first, end, SEND_RANGES_MAX) != OV_OK)
		return; /* it will be sent again, should it seem lost */
	if (ranges_remove(&b->lost, first, end) != OV_OK)
		return; /* the same */
	if (b->acknowledged.list[0].first <= b->base) {
		b->base = b->acknowledged.list[0].end;
		ranges_forget_below(&b->acknowledged, b->base);
	}
}

/* Without memory for one more range all from there on is sent again. */
static void add_lost(struct send_buffer *b, uint64_t first, uint64_t end)
{
	if (ranges_add(&b->lost, first, end, SIZE_MAX) != OV_OK && b->next > first)
		b->next = first;
}

/* What a later packet brought again may be acknowledged by now. */
void send_buffer_lose(struct send_buffer *b, const struct send_part *p)
{
	uint64_t first = p->offset > b->base ? p->offset : b->base, end = p->offset + p->len;
	b->fin_lost |= p->fin && !b->fin_acknowledged;
	size_t i = ranges_place(&b->acknowledged, first);
	for (; i < b->acknowledged.count && b->acknowledged.list[i].first < end; i++) {
		const struct range *have = &b->acknowledged.list[i];
		if (have->first > first)
			add_lost(b, first, have->first);
		if (have->end > first)
			first = have->end;
	}
	if (first < end)
		add_lost(b, first, end);
}

bool send_buffer_is_done(const struct send_buffer *b)
{
	return b->fin_acknowledged && b->base == b->end;
}
