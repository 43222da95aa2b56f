/* What two peers tell each other to find a direct path: where they are, and when both send
 * (docs/protocol.md 13; libp2p's DCUtR). */
#include "core/frame_body.h"

#define PUNCH_LEN (8 + ADDR_PACKED)

static size_t endpoints_max(enum frame_type type)
{
	return type == FRAME_ENDPOINTS ? FRAME_ENDPOINTS_MAX : FRAME_TCP_ENDPOINTS_MAX;
}

void frame_put_endpoints(struct wr *w, enum frame_type type, const struct endpoints_frame *e)
{
	assert(e->count <= endpoints_max(type));
	frame_put_header(w, type, e->count * ADDR_PACKED);
	for (size_t i = 0; i < e->count; i++) {
		uint8_t packed[ADDR_PACKED];
		addr_pack(&e->addr[i], packed);
		wr_copy(w, packed, sizeof(packed));
	}
}

void frame_read_endpoints(struct rd *r, enum frame_type type, struct endpoints_frame *e)
{
	size_t max = endpoints_max(type);
	for (e->count = 0; e->count < max && rd_left(r) >= ADDR_PACKED; e->count++) {
		uint8_t packed[ADDR_PACKED];
		rd_copy(r, packed, sizeof(packed));
		e->addr[e->count] = addr_unpack(packed);
	}
}

void frame_put_punch(struct wr *w, const struct punch_frame *p)
{
	frame_put_header(w, FRAME_PUNCH, PUNCH_LEN);
	wr_u32(w, p->round);
	uint8_t external[ADDR_PACKED];
	addr_pack(&p->external, external);
	wr_u8(w, p->flags);
	wr_u8(w, p->side);
	wr_u16(w, (uint16_t)p->step);
	wr_copy(w, external, sizeof(external));
}

void frame_read_punch(struct rd *r, struct punch_frame *p)
{
	p->round = rd_u32(r);
	uint8_t external[ADDR_PACKED];
	p->flags = rd_u8(r);
	p->side = rd_u8(r);
	p->step = (int16_t)rd_u16(r);
	rd_copy(r, external, sizeof(external));
	p->external = addr_unpack(external);
}
