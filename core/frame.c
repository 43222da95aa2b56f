/* Frames of a CONTROL packet: type u8, length u16, body. The length is redundant for the frames we
 * know and must be exact for them, so that there is one encoding of each frame; it is there to skip
 * the ones that we do not know and that say (bit 7) that they may be skipped. PADDING is a single
 * zero byte, so that a probe can be filled to any size. docs/protocol.md 5. */
#include "core/frame_body.h"

#define SKIPPABLE 0x80

#define CHALLENGE_LEN (PATH_TOKEN_LEN + 1)
#define RESPONSE_LEN  (PATH_TOKEN_LEN + ADDR_PACKED + 4 + 2 + 8)
#define STATUS_LEN    4

void frame_put_challenge(struct wr *w, const struct path_challenge *c)
{
	frame_put_header(w, FRAME_PATH_CHALLENGE, CHALLENGE_LEN);
	wr_copy(w, c->token, sizeof(c->token));
	wr_u8(w, c->flags);
}

static void read_challenge(struct rd *r, struct path_challenge *c)
{
	rd_copy(r, c->token, sizeof(c->token));
	c->flags = rd_u8(r);
}

void frame_put_response(struct wr *w, const struct path_response *p)
{
	uint8_t observed[ADDR_PACKED];
	addr_pack(&p->observed, observed);
	frame_put_header(w, FRAME_PATH_RESPONSE, RESPONSE_LEN);
	wr_copy(w, p->token, sizeof(p->token));
	wr_copy(w, observed, sizeof(observed));
	wr_u32(w, p->hold_us);
	wr_u16(w, p->received_size);
	wr_u64(w, p->received_count);
}

static void read_response(struct rd *r, struct path_response *p)
{
	uint8_t observed[ADDR_PACKED];
	rd_copy(r, p->token, sizeof(p->token));
	rd_copy(r, observed, sizeof(observed));
	p->observed = addr_unpack(observed);
	p->hold_us = rd_u32(r);
	p->received_size = rd_u16(r);
	p->received_count = rd_u64(r);
}

void frame_put_status(struct wr *w, const struct path_status *s)
{
	frame_put_header(w, FRAME_PATH_STATUS, STATUS_LEN);
	wr_u32(w, s->sequence);
}

static void read_status(struct rd *r, struct path_status *s)
{
	s->sequence = rd_u32(r);
}

void frame_put_padding(struct wr *w, size_t len)
{
	wr_zero(w, len);
}

static int read_body(struct rd body, struct frame *out)
{
	switch (out->type) {
	case FRAME_PATH_CHALLENGE: read_challenge(&body, &out->as.challenge); break;
	case FRAME_PATH_RESPONSE: read_response(&body, &out->as.response); break;
	case FRAME_PATH_STATUS: read_status(&body, &out->as.status); break;
	case FRAME_ENDPOINTS:
	case FRAME_TCP_ENDPOINTS:
		frame_read_endpoints(&body, (enum frame_type)out->type, &out->as.endpoints);
		break;
	case FRAME_PUNCH: frame_read_punch(&body, &out->as.punch); break;
	case FRAME_NUMBER:
	case FRAME_ACK:
	case FRAME_STREAM:
	case FRAME_RESET_STREAM:
	case FRAME_STOP_SENDING:
	case FRAME_MAX_DATA:
	case FRAME_MAX_STREAM_DATA:
	case FRAME_MAX_STREAMS: return frame_read_reliable(&body, out);
	default: return frame_read_relay(&body, out);
	}
	return rd_done(&body) ? 1 : OV_EFORMAT;
}

/* Two of them are in every packet of a stream: to clear a whole frame costs more than to read one,
 * and their readers set all there is. */
static void begin(struct frame *out, uint8_t type)
{
	if (type == FRAME_NUMBER || type == FRAME_STREAM)
		out->type = type;
	else
		*out = (struct frame){ .type = type };
}

int frame_next(struct rd *r, struct frame *out)
{
	while (rd_left(r) > 0) {
		uint8_t type = rd_u8(r);
		if (type == FRAME_PADDING)
			continue;
		uint16_t len = rd_u16(r);
		const uint8_t *body = rd_take(r, len);
		if (!body)
			return OV_EFORMAT;
		if (type & SKIPPABLE)
			continue;
		begin(out, type);
		return read_body(rd_init(body, len), out);
	}
	return r->short_read ? OV_EFORMAT : 0;
}
