/* Bytes become a schedule of parts. Two kinds of step: a part of a real packet (known bytes, cut as
 * the sender cuts) and a raw part from the input. A packet that was built of real parts alone must
 * come out as it went in; nothing may be longer than the limit; time may jump. */
#include "core/fragment.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define IDS 4

static void check(bool condition)
{
	if (!condition)
		abort();
}

struct model {
	struct reassembly *r;
	ov_time now;
	uint8_t packet[REASSEMBLY_PACKET_MAX];
	bool spoiled[IDS]; /* a raw part may have got into this id */
};

/* id 0 to 3 stand for one length and part size each, so that parts of one id always agree. */
static void real_part(struct model *m, uint8_t pick)
{
	static const struct {
		size_t len, max;
	} shapes[IDS] = { { 1420, 516 }, { 1500, 800 }, { 601, 90 }, { 7, 7 } };
	uint32_t id = pick % IDS;
	size_t count = fragment_count(shapes[id].len, shapes[id].max);
	uint8_t plain[FRAGMENT_HEADER_LEN + REASSEMBLY_PACKET_MAX + 1];
	if (!count)
		return;
	size_t n = fragment_encode(plain, id, (uint8_t)(pick / IDS % count), (uint8_t)count,
		m->packet, shapes[id].len);
	struct fragment f;
	check(fragment_decode(&f, plain, n) == DROP_NONE);
	uint8_t *out;
	size_t out_len;
	reassembly_add(m->r, m->now, &f, false, &out, &out_len);
	if (!out)
		return;
	if (!m->spoiled[id])
		check(out_len == shapes[id].len && memcmp(out, m->packet, out_len) == 0);
	m->spoiled[id] = false;
}

static void raw_part(struct model *m, struct rd *r)
{
	size_t len = rd_u8(r);
	const uint8_t *plain = rd_take(r, len < rd_left(r) ? len : rd_left(r));
	if (!plain || len < FRAGMENT_HEADER_LEN || r->next - plain < FRAGMENT_HEADER_LEN)
		return;
	struct fragment f;
	if (fragment_decode(&f, plain, (size_t)(r->next - plain)) != DROP_NONE)
		return;
	if (f.id < IDS)
		m->spoiled[f.id] = true;
	uint8_t *out;
	size_t out_len;
	enum drop why = reassembly_add(m->r, m->now, &f, len & 1, &out, &out_len);
	check(why == DROP_NONE || (why == DROP_FRAGMENT && !out));
	check(!out || (out_len >= f.count && out_len <= REASSEMBLY_PACKET_MAX));
	if (out && f.id < IDS)
		m->spoiled[f.id] = false;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct model m;
	m = (struct model){ .r = reassembly_new() };
	for (size_t i = 0; i < sizeof(m.packet); i++)
		m.packet[i] = (uint8_t)(i * 7 + i / 256);
	struct rd r = rd_init(data, size);
	while (rd_left(&r)) {
		uint8_t op = rd_u8(&r);
		if (op < 0x80)
			real_part(&m, op);
		else if (op < 0xf0)
			raw_part(&m, &r);
		else
			m.now += (op & 0x0f) * 100 * OV_MS;
		if (op >= 0xf8)
			reassembly_expire(m.r, m.now);
		check(op < 0xf8 || reassembly_deadline(m.r) > m.now);
	}
	reassembly_expire(m.r, m.now + REASSEMBLY_TIMEOUT);
	check(reassembly_deadline(m.r) == OV_NEVER);
	reassembly_free(m.r);
	return 0;
}
