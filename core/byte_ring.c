#include "core/byte_ring.h"

#include <stdlib.h>
#include <string.h>

void byte_ring_fini(struct byte_ring *r)
{
	free(r->bytes);
	*r = (struct byte_ring){ 0 };
}

bool byte_ring_hold(struct byte_ring *r, size_t len, uint64_t base, uint64_t end)
{
	r->is_used = true;
	if (len <= r->room)
		return true;
	struct byte_ring more = { .is_used = true, .room = r->room ? r->room : BYTE_RING_LEAST };
	while (more.room < len)
		more.room *= 2;
	more.bytes = malloc(more.room);
	if (!more.bytes)
		return false;
	if (end - base > r->room)
		end = base + r->room; /* the rest never came */
	for (uint64_t o = base; o < end;) {
		size_t part = (size_t)(end - o);
		const uint8_t *from = byte_ring_at(r, o, &part);
		byte_ring_put(&more, o, from, part);
		o += part;
	}
	free(r->bytes);
	*r = more;
	return true;
}

uint8_t *byte_ring_at(const struct byte_ring *r, uint64_t offset, size_t *len)
{
	size_t at = (size_t)offset & (r->room - 1);
	if (*len > r->room - at)
		*len = r->room - at;
	return r->bytes + at;
}

void byte_ring_put(struct byte_ring *r, uint64_t offset, const uint8_t *data, size_t len)
{
	while (len > 0) {
		size_t part = len;
		uint8_t *place = byte_ring_at(r, offset, &part);
		memcpy(place, data, part);
		data += part;
		offset += part;
		len -= part;
	}
}

void byte_ring_get(const struct byte_ring *r, uint64_t offset, uint8_t *out, size_t len)
{
	while (len > 0) {
		size_t part = len;
		const uint8_t *place = byte_ring_at(r, offset, &part);
		memcpy(out, place, part);
		out += part;
		offset += part;
		len -= part;
	}
}

bool byte_ring_equals(const struct byte_ring *r, uint64_t offset, const uint8_t *data, size_t len)
{
	while (len > 0) {
		size_t part = len;
		const uint8_t *place = byte_ring_at(r, offset, &part);
		if (memcmp(place, data, part) != 0)
			return false;
		data += part;
		offset += part;
		len -= part;
	}
	return true;
}
