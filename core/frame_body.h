#pragma once
/* frame_body - between the files of frame. */
#include "core/frame.h"

static inline void frame_put_header(struct wr *w, enum frame_type type, size_t len)
{
	wr_u8(w, (uint8_t)type);
	wr_u16(w, (uint16_t)len);
}

/* frame_meet.c. A body that is malformed fails its cursor. */
void frame_read_endpoints(struct rd *r, enum frame_type type, struct endpoints_frame *e);
void frame_read_punch(struct rd *r, struct punch_frame *p);
/* frame_relay.c: 1; OV_EFORMAT; OV_ENOENT: not one of these. */
OV_MUST_CHECK int frame_read_relay(struct rd *body, struct frame *out);
/* frame_reliable.c; the same. */
OV_MUST_CHECK int frame_read_reliable(struct rd *body, struct frame *out);
