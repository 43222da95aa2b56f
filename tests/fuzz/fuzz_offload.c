/* Any bytes as a packet of the TUN and as a packet that a peer sealed: split, complete, coalesce,
 * split again. Beyond memory safety: segments add up, and coalescing loses no payload byte.
 * Input: gso, flags, segment le16, csum_start le16, csum_offset le16, packet. */
#include "overlay/coalesce.h"

#include "core/bytes.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint8_t packet[1 << 16], segments[1 << 18];

static size_t drain(struct coalesce *c)
{
	size_t total = 0;
	for (const struct super_packet *s; (s = coalesce_take(c));) {
		size_t sum = 0;
		for (size_t i = 0; i < s->slice_count; i++)
			sum += s->slices[i].len;
		if (sum != s->meta.len || (s->slice_count > 1) != (s->meta.gso != GSO_NONE))
			abort();
		total += s->slice_count;
	}
	return total;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 8 || size - 8 > sizeof(packet))
		return 0;
	struct rd r = rd_init(data, size);
	struct ip_packet p = { .data = packet, .gso = rd_u8(&r) % 5 };
	p.partial = rd_u8(&r) & 1;
	p.segment = rd_u16(&r);
	p.csum_start = rd_u16(&r);
	p.csum_offset = rd_u16(&r);
	p.len = rd_left(&r);
	memcpy(packet, r.next, p.len);

	struct split s;
	if (!split_init(&s, &p))
		return 0;
	struct coalesce *c = coalesce_new(size & 1);
	if (!c)
		return 0;
	uint8_t *segment;
	size_t len, used = 0, in = 0, out = 0;
	bool partial;
	while (split_next(&s, &segment, &len, &partial)) {
		if (segment < packet || segment + len > packet + p.len)
			abort();
		if (used + len > sizeof(segments))
			break;
		struct ip_packet one = { .data = segments + used, .len = len };
		memcpy(one.data, segment, len);
		used += len;
		if (partial && !checksum_begin(&one))
			abort(); /* the sender flags only what the receiver can complete */
		coalesce_add(c, &one);
		in++;
		out += drain(c);
	}
	coalesce_flush(c);
	out += drain(c);
	if (in != out)
		abort();
	coalesce_free(c);
	return 0;
}
