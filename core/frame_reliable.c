/* Reliable packets and streams (docs/protocol.md 15): the frames of RFC 9000 19 with fixed lengths.
 * An ACK names ranges from the highest number down: how many packets the first has, then for each
 * other one how many are missing above it and how many it has (RFC 9000 19.3.1). None of these
 * counts may be 0, so that there is one encoding. */
#include "core/frame_body.h"

#define NUMBER_LEN   10
#define ACK_FIXED    26
#define RANGE_LEN    8
#define STREAM_FIXED 17
#define RESET_LEN    20
#define STOP_LEN     12

void frame_put_number(struct wr *w, const struct number_frame *f)
{
	frame_put_header(w, FRAME_NUMBER, NUMBER_LEN);
	wr_u16(w, f->space);
	wr_u64(w, f->number);
}

static void read_number(struct rd *r, struct number_frame *f)
{
	f->space = rd_u16(r);
	f->number = rd_u64(r);
}

void frame_put_ack(struct wr *w, const struct ack_frame *f)
{
	assert(f->count >= 1 && f->count <= ACK_RANGES_MAX);
	frame_put_header(w, FRAME_ACK, ACK_FIXED + (f->count - 1u) * RANGE_LEN);
	wr_u16(w, f->space);
	wr_u64(w, f->ranges[0].end - 1);
	wr_u32(w, f->delay_us);
	wr_u32(w, f->ect0);
	wr_u32(w, f->ce);
	wr_u32(w, (uint32_t)(f->ranges[0].end - f->ranges[0].first));
	for (size_t i = 1; i < f->count; i++) {
		wr_u32(w, (uint32_t)(f->ranges[i - 1].first - f->ranges[i].end));
		wr_u32(w, (uint32_t)(f->ranges[i].end - f->ranges[i].first));
	}
}

/* The next `has` numbers below `end`. False: there are not that many, or none. */
static bool take_range(struct ack_frame *f, uint64_t end, uint32_t has)
{
	if (has == 0 || has > end)
		return false;
	f->ranges[f->count++] = (struct range){ .first = end - has, .end = end };
	return true;
}

static bool read_ack(struct rd *r, struct ack_frame *f)
{
	f->space = rd_u16(r);
	uint64_t largest = rd_u64(r);
	f->delay_us = rd_u32(r);
	f->ect0 = rd_u32(r);
	f->ce = rd_u32(r);
	uint32_t has = rd_u32(r);
	if (largest == UINT64_MAX || !take_range(f, largest + 1, has))
		return false;
	while (rd_left(r) >= RANGE_LEN) {
		uint64_t below = f->ranges[f->count - 1].first;
		uint32_t missing = rd_u32(r);
		has = rd_u32(r);
		if (f->count == ACK_RANGES_MAX || missing == 0 || missing > below ||
			!take_range(f, below - missing, has))
			return false;
	}
	return true;
}

void frame_put_stream_head(struct wr *w, const struct stream_frame *f)
{
	frame_put_header(w, FRAME_STREAM, STREAM_FIXED + f->len);
	wr_u64(w, f->stream);
	wr_u64(w, f->offset);
	wr_u8(w, f->flags);
}

void frame_put_stream(struct wr *w, const struct stream_frame *f)
{
	frame_put_stream_head(w, f);
	wr_copy(w, f->data, f->len);
}

static bool read_stream(struct rd *r, struct stream_frame *f)
{
	f->stream = rd_u64(r);
	f->offset = rd_u64(r);
	f->flags = rd_u8(r);
	f->len = rd_left(r);
	f->data = rd_take(r, f->len);
	return (f->flags & ~STREAM_FIN) == 0 && f->offset <= UINT64_MAX - f->len;
}

void frame_put_reset(struct wr *w, const struct reset_frame *f)
{
	frame_put_header(w, FRAME_RESET_STREAM, RESET_LEN);
	wr_u64(w, f->stream);
	wr_u64(w, f->final_size);
	wr_u32(w, f->code);
}

static void read_reset(struct rd *r, struct reset_frame *f)
{
	f->stream = rd_u64(r);
	f->final_size = rd_u64(r);
	f->code = rd_u32(r);
}

void frame_put_stop(struct wr *w, const struct stop_frame *f)
{
	frame_put_header(w, FRAME_STOP_SENDING, STOP_LEN);
	wr_u64(w, f->stream);
	wr_u32(w, f->code);
}

static void read_stop(struct rd *r, struct stop_frame *f)
{
	f->stream = rd_u64(r);
	f->code = rd_u32(r);
}

static bool has_stream(enum frame_type type)
{
	return type == FRAME_MAX_STREAM_DATA;
}

void frame_put_max(struct wr *w, enum frame_type type, const struct max_frame *f)
{
	frame_put_header(w, type, has_stream(type) ? 16 : 8);
	if (has_stream(type))
		wr_u64(w, f->stream);
	wr_u64(w, f->max);
}

static void read_max(struct rd *r, enum frame_type type, struct max_frame *f)
{
	if (has_stream(type))
		f->stream = rd_u64(r);
	f->max = rd_u64(r);
}

int frame_read_reliable(struct rd *r, struct frame *out)
{
	bool good = true;
	switch (out->type) {
	case FRAME_NUMBER: read_number(r, &out->as.number); break;
	case FRAME_ACK: good = read_ack(r, &out->as.ack); break;
	case FRAME_STREAM: good = read_stream(r, &out->as.stream); break;
	case FRAME_RESET_STREAM: read_reset(r, &out->as.reset); break;
	case FRAME_STOP_SENDING: read_stop(r, &out->as.stop); break;
	default: read_max(r, (enum frame_type)out->type, &out->as.max); break;
	}
	return good && rd_done(r) ? 1 : OV_EFORMAT;
}
