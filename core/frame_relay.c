/* Frames between a peer and its relay or facilitator (docs/protocol.md 13). A datagram inside a
 * frame is the rest of its body. */
#include "core/frame_body.h"

#define OPEN_FIXED      (4 + 32 + RELAY_TAG_LEN)
#define IN_FIXED        (4 + 32 + ADDR_PACKED)
#define REGISTER_FIXED  6
#define REGISTERED_LEN  26
#define FILTER_LEN      5
#define LIFETIME_LEN    (4 + ADDR_PACKED) /* the test as long as its answer */
#define TEST_RESERVED   (LIFETIME_LEN - 6)
#define PRESENCE_FIXED  11
#define SEEN_LEN        8
#define RELAY_OK_LEN    (8 + ADDR_PACKED)
#define RELAY_NO_LEN    5
#define RELAY_CLOSE_LEN 4
#define RELAY_OFFER_LEN (32 + ADDR_PACKED + 8 + RELAY_OFFER_SIGNATURE_LEN)

static void put_addr(struct wr *w, const struct ov_addr *a)
{
	uint8_t packed[ADDR_PACKED];
	addr_pack(a, packed);
	wr_copy(w, packed, sizeof(packed));
}

static struct ov_addr read_addr(struct rd *r)
{
	uint8_t packed[ADDR_PACKED];
	rd_copy(r, packed, sizeof(packed));
	return addr_unpack(packed);
}

void frame_put_relay_open(struct wr *w, const struct relay_open *o)
{
	frame_put_header(w, FRAME_RELAY_OPEN, OPEN_FIXED + o->len);
	wr_u32(w, o->request);
	wr_copy(w, o->destination.bytes, sizeof(o->destination.bytes));
	wr_copy(w, o->tag, sizeof(o->tag));
	wr_copy(w, o->datagram, o->len);
}

static void read_relay_open(struct rd *r, struct relay_open *o)
{
	o->request = rd_u32(r);
	rd_copy(r, o->destination.bytes, sizeof(o->destination.bytes));
	rd_copy(r, o->tag, sizeof(o->tag));
	o->len = rd_left(r);
	o->datagram = rd_take(r, o->len);
}

void frame_put_relay_ok(struct wr *w, const struct relay_ok *o)
{
	frame_put_header(w, FRAME_RELAY_OK, RELAY_OK_LEN);
	wr_u32(w, o->request);
	wr_u32(w, o->channel);
	put_addr(w, &o->observed);
}

static void read_relay_ok(struct rd *r, struct relay_ok *o)
{
	o->request = rd_u32(r);
	o->channel = rd_u32(r);
	o->observed = read_addr(r);
}

void frame_put_relay_no(struct wr *w, const struct relay_no *o)
{
	frame_put_header(w, FRAME_RELAY_NO, RELAY_NO_LEN);
	wr_u32(w, o->request);
	wr_u8(w, o->reason);
}

static void read_relay_no(struct rd *r, struct relay_no *o)
{
	o->request = rd_u32(r);
	o->reason = rd_u8(r);
}

void frame_put_relay_in(struct wr *w, const struct relay_in *i)
{
	frame_put_header(w, FRAME_RELAY_IN, IN_FIXED + i->len);
	wr_u32(w, i->channel);
	wr_copy(w, i->source.bytes, sizeof(i->source.bytes));
	put_addr(w, &i->observed);
	wr_copy(w, i->datagram, i->len);
}

static void read_relay_in(struct rd *r, struct relay_in *i)
{
	i->channel = rd_u32(r);
	rd_copy(r, i->source.bytes, sizeof(i->source.bytes));
	i->observed = read_addr(r);
	i->len = rd_left(r);
	i->datagram = rd_take(r, i->len);
}

void frame_put_relay_close(struct wr *w, const struct relay_close *c)
{
	frame_put_header(w, FRAME_RELAY_CLOSE, RELAY_CLOSE_LEN);
	wr_u32(w, c->channel);
}

static void read_relay_close(struct rd *r, struct relay_close *c)
{
	c->channel = rd_u32(r);
}

void frame_put_relay_offer(struct wr *w, const struct relay_offer *o)
{
	frame_put_header(w, FRAME_RELAY_OFFER, RELAY_OFFER_LEN);
	wr_copy(w, o->facilitator.bytes, PEER_ID_LEN);
	put_addr(w, &o->endpoint);
	wr_u64(w, o->expires_s);
	wr_copy(w, o->signature, sizeof(o->signature));
}

static void read_relay_offer(struct rd *r, struct relay_offer *o)
{
	rd_copy(r, o->facilitator.bytes, PEER_ID_LEN);
	o->endpoint = read_addr(r);
	o->expires_s = rd_u64(r);
	rd_copy(r, o->signature, sizeof(o->signature));
}

/* WATCH is of the same form. */
void frame_put_register(struct wr *w, enum frame_type type, const struct register_frame *f)
{
	assert(f->count <= REGISTER_TAGS_MAX);
	frame_put_header(w, type, REGISTER_FIXED + f->count * RELAY_TAG_LEN);
	wr_u32(w, f->request);
	wr_u8(w, f->page);
	wr_u8(w, f->pages);
	wr_copy(w, f->tags, f->count * RELAY_TAG_LEN);
}

/* Leaves a byte behind, so that the cursor fails, when the tags are too many or not whole. */
static void read_register(struct rd *r, struct register_frame *f)
{
	f->request = rd_u32(r);
	f->page = rd_u8(r);
	f->pages = rd_u8(r);
	f->count = rd_left(r) / RELAY_TAG_LEN;
	if (f->count > REGISTER_TAGS_MAX)
		f->count = 0;
	f->tags = rd_take(r, f->count * RELAY_TAG_LEN);
}

void frame_put_registered(struct wr *w, const struct registered_frame *f)
{
	frame_put_header(w, FRAME_REGISTERED, REGISTERED_LEN);
	wr_u32(w, f->request);
	wr_u8(w, f->page);
	wr_u8(w, f->reason);
	wr_u16(w, f->lifetime_s);
	wr_u16(w, f->second_port);
	wr_copy(w, f->second_addr.ip, sizeof(f->second_addr.ip));
}

static void read_registered(struct rd *r, struct registered_frame *f)
{
	f->request = rd_u32(r);
	f->page = rd_u8(r);
	f->reason = rd_u8(r);
	f->lifetime_s = rd_u16(r);
	f->second_port = rd_u16(r);
	f->second_addr = (struct ov_addr){ .port = f->second_port };
	rd_copy(r, f->second_addr.ip, sizeof(f->second_addr.ip));
}

void frame_put_filter(struct wr *w, enum frame_type type, const struct filter_test *f)
{
	frame_put_header(w, type, FILTER_LEN);
	wr_u32(w, f->token);
	wr_u8(w, f->from);
}

static int read_filter(struct rd *r, struct filter_test *f)
{
	f->token = rd_u32(r);
	f->from = rd_u8(r);
	return f->from > FILTER_FROM_ADDRESS ? OV_EFORMAT : OV_OK;
}

void frame_put_lifetime_test(struct wr *w, const struct lifetime_test *t)
{
	frame_put_header(w, FRAME_LIFETIME_TEST, LIFETIME_LEN);
	wr_u32(w, t->token);
	wr_u16(w, t->delay_s);
	wr_zero(w, TEST_RESERVED);
}

/* Leaves bytes behind, so that the cursor fails, when what is reserved is not zero. */
static void read_lifetime_test(struct rd *r, struct lifetime_test *t)
{
	uint8_t reserved = 0;
	t->token = rd_u32(r);
	t->delay_s = rd_u16(r);
	for (size_t i = 0; i < TEST_RESERVED && reserved == 0; i++)
		reserved = rd_u8(r);
	if (reserved != 0)
		r->short_read = true;
}

void frame_put_lifetime_answer(struct wr *w, const struct lifetime_answer *a)
{
	frame_put_header(w, FRAME_LIFETIME_ANSWER, LIFETIME_LEN);
	wr_u32(w, a->token);
	put_addr(w, &a->observed);
}

static void read_lifetime_answer(struct rd *r, struct lifetime_answer *a)
{
	a->token = rd_u32(r);
	a->observed = read_addr(r);
}

static size_t bitmap_len(uint8_t count)
{
	return (count + 7u) / 8;
}

void frame_put_presence(struct wr *w, const struct presence_frame *f)
{
	assert(f->count <= REGISTER_TAGS_MAX);
	frame_put_header(w, FRAME_PRESENCE, PRESENCE_FIXED + bitmap_len(f->count));
	wr_u32(w, f->request);
	wr_u32(w, f->sequence);
	wr_u8(w, f->page);
	wr_u8(w, f->reason);
	wr_u8(w, f->count);
	wr_copy(w, f->here, bitmap_len(f->count));
}

static int read_presence(struct rd *r, struct presence_frame *f)
{
	f->request = rd_u32(r);
	f->sequence = rd_u32(r);
	f->page = rd_u8(r);
	f->reason = rd_u8(r);
	f->count = rd_u8(r);
	if (f->count > REGISTER_TAGS_MAX)
		return OV_EFORMAT;
	rd_copy(r, f->here, bitmap_len(f->count));
	bool beyond = f->count % 8 && f->here[f->count / 8] >> f->count % 8;
	return beyond ? OV_EFORMAT : OV_OK;
}

void frame_put_presence_seen(struct wr *w, const struct presence_seen *f)
{
	frame_put_header(w, FRAME_PRESENCE_SEEN, SEEN_LEN);
	wr_u32(w, f->request);
	wr_u32(w, f->sequence);
}

static void read_presence_seen(struct rd *r, struct presence_seen *f)
{
	f->request = rd_u32(r);
	f->sequence = rd_u32(r);
}

int frame_read_relay(struct rd *body, struct frame *out)
{
	switch (out->type) {
	case FRAME_RELAY_OPEN: read_relay_open(body, &out->as.relay_open); break;
	case FRAME_RELAY_OK: read_relay_ok(body, &out->as.relay_ok); break;
	case FRAME_RELAY_NO: read_relay_no(body, &out->as.relay_no); break;
	case FRAME_RELAY_IN: read_relay_in(body, &out->as.relay_in); break;
	case FRAME_RELAY_CLOSE: read_relay_close(body, &out->as.relay_close); break;
	case FRAME_RELAY_OFFER: read_relay_offer(body, &out->as.relay_offer); break;
	case FRAME_REGISTER:
	case FRAME_WATCH: read_register(body, &out->as.reg); break;
	case FRAME_PRESENCE:
		if (read_presence(body, &out->as.presence) != OV_OK)
			return OV_EFORMAT;
		break;
	case FRAME_PRESENCE_SEEN: read_presence_seen(body, &out->as.presence_seen); break;
	case FRAME_REGISTERED: read_registered(body, &out->as.registered); break;
	case FRAME_FILTER_TEST:
	case FRAME_FILTER_ANSWER:
		if (read_filter(body, &out->as.filter_test) != OV_OK)
			return OV_EFORMAT;
		break;
	case FRAME_LIFETIME_TEST: read_lifetime_test(body, &out->as.lifetime_test); break;
	case FRAME_LIFETIME_ANSWER: read_lifetime_answer(body, &out->as.lifetime_answer); break;
	default: return OV_ENOENT; /* a value from the wire, not yet an enum frame_type */
	}
	return rd_done(body) ? 1 : OV_EFORMAT;
}
