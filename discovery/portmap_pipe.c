/* Layouts, little endian. Both ends are one build of one program, so nothing negotiates; the first
 * two bytes tell another program in its place, or a child that was left over from another build.
 *
 *   request  0 'P' | 1 version | 2 op | 3 prefix_len | 4 id u32 | 8 local 18 | 26 external port u16
 *            28 gateway 16 | 44 interface u32 | 48 lifetime u32 | 52 pinhole u16 | 54 zero u16
 *   answer   0 'p' | 1 version | 2 result | 3 zero | 4 id u32 | 8 external 18 | 26 pinhole u16
 *            28 lifetime u32 | 32 epoch u32 | 36 code u16 | 38 zero u16 */
#include "discovery/portmap_pipe.h"

#include "core/bytes.h"

#define VERSION 1

void portmap_request_encode(uint8_t out[PORTMAP_REQUEST_LEN], const struct portmap_request *r)
{
	struct wr w = wr_init(out, PORTMAP_REQUEST_LEN);
	uint8_t local[ADDR_PACKED];
	addr_pack(&r->local, local);
	wr_u8(&w, 'P');
	wr_u8(&w, VERSION);
	wr_u8(&w, (uint8_t)r->op);
	wr_u8(&w, r->prefix_len);
	wr_u32(&w, r->id);
	wr_copy(&w, local, sizeof(local));
	wr_u16(&w, r->external_port);
	wr_copy(&w, r->gateway.ip, 16);
	wr_u32(&w, r->gateway.scope);
	wr_u32(&w, r->lifetime_s);
	wr_u16(&w, r->pinhole);
	wr_u16(&w, 0);
	assert(wr_ok(&w) && wr_len(&w) == PORTMAP_REQUEST_LEN);
}

static bool one_family(const struct portmap_request *r)
{
	bool v4 = addr_is_v4(&r->local);
	bool wanted = r->op != PORTMAP_OP_UPNP_PINHOLE;
	return v4 == wanted && addr_is_v4(&r->gateway) == v4 && r->prefix_len <= (v4 ? 32 : 128);
}

enum drop portmap_request_decode(
	struct portmap_request *out, const uint8_t data[PORTMAP_REQUEST_LEN])
{
	struct rd r = rd_init(data, PORTMAP_REQUEST_LEN);
	uint8_t local[ADDR_PACKED];
	uint8_t magic = rd_u8(&r), version = rd_u8(&r);
	uint8_t op = rd_u8(&r);
	*out = (struct portmap_request){ .prefix_len = rd_u8(&r) };
	out->id = rd_u32(&r);
	rd_copy(&r, local, sizeof(local));
	out->local = addr_unpack(local);
	out->external_port = rd_u16(&r);
	rd_copy(&r, out->gateway.ip, 16);
	out->gateway.scope = rd_u32(&r);
	out->lifetime_s = rd_u32(&r);
	out->pinhole = rd_u16(&r);
	uint16_t zero = rd_u16(&r);
	if (!rd_done(&r) || magic != 'P' || version != VERSION || op > PORTMAP_OP_UPNP_PINHOLE ||
		zero)
		return DROP_FORMAT;
	out->op = (enum portmap_op)op;
	return out->local.port && one_family(out) ? DROP_NONE : DROP_FORMAT;
}

void portmap_answer_encode(uint8_t out[PORTMAP_ANSWER_LEN], const struct portmap_answer *a)
{
	struct wr w = wr_init(out, PORTMAP_ANSWER_LEN);
	uint8_t external[ADDR_PACKED];
	addr_pack(&a->external, external);
	wr_u8(&w, 'p');
	wr_u8(&w, VERSION);
	wr_u8(&w, (uint8_t)a->result);
	wr_u8(&w, 0);
	wr_u32(&w, a->id);
	wr_copy(&w, external, sizeof(external));
	wr_u16(&w, a->pinhole);
	wr_u32(&w, a->lifetime_s);
	wr_u32(&w, a->epoch_s);
	wr_u16(&w, a->code);
	wr_u16(&w, 0);
	assert(wr_ok(&w) && wr_len(&w) == PORTMAP_ANSWER_LEN);
}

enum drop portmap_answer_decode(struct portmap_answer *out, const uint8_t data[PORTMAP_ANSWER_LEN])
{
	struct rd r = rd_init(data, PORTMAP_ANSWER_LEN);
	uint8_t external[ADDR_PACKED];
	uint8_t magic = rd_u8(&r), version = rd_u8(&r);
	uint8_t result = rd_u8(&r), zero8 = rd_u8(&r);
	*out = (struct portmap_answer){ .id = rd_u32(&r) };
	rd_copy(&r, external, sizeof(external));
	out->external = addr_unpack(external);
	out->pinhole = rd_u16(&r);
	out->lifetime_s = rd_u32(&r);
	out->epoch_s = rd_u32(&r);
	out->code = rd_u16(&r);
	uint16_t zero16 = rd_u16(&r);
	bool known = magic == 'p' && version == VERSION && result <= PORTMAP_FAILED;
	if (!rd_done(&r) || !known || zero8 || zero16)
		return DROP_FORMAT;
	out->result = (enum portmap_result)result;
	/* a mapping without address or port is none */
	bool whole = out->external.port && !addr_is_any(&out->external);
	return out->result != PORTMAP_DONE || whole ? DROP_NONE : DROP_FORMAT;
}
