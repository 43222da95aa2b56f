/* Layout (docs/protocol.md 12), encode and decode side by side:
 *
 *   0 "R1" | 2 suite u8 = 1 | 3 flags u8 = 0 | 4 PeerId 32 | 36 seq u64 | 44 not_before u64 |
 *   52 ttl u32 | 56 body length u16 | 58 zero u16 | 60 body | signature 64
 *
 * The body is a row of type u8, length u16, value. Unknown types are skipped; 0x01 to 0x0f are
 * ours, 0x10 (prekey) is reserved. */
#include "discovery/record.h"

#include "core/bytes.h"

enum record_item { ITEM_ENDPOINT = 1, ITEM_RELAY = 2, ITEM_CAPABILITIES = 3 };

#define SUITE         1
#define ENDPOINT_LEN  (1 + ADDR_PACKED)
#define SIGNATURE_LEN 64

static const char label[] = "OVL record v1";

static void put_item(struct wr *w, enum record_item type, uint16_t len)
{
	wr_u8(w, (uint8_t)type);
	wr_u16(w, len);
}

static size_t encode_body(const struct record *r, uint8_t out[RECORD_BODY_MAX])
{
	struct wr w = wr_init(out, RECORD_BODY_MAX);
	for (size_t i = 0; i < r->endpoint_count; i++) {
		uint8_t packed[ADDR_PACKED];
		addr_pack(&r->endpoints[i].addr, packed);
		put_item(&w, ITEM_ENDPOINT, ENDPOINT_LEN);
		wr_u8(&w, r->endpoints[i].kind);
		wr_copy(&w, packed, sizeof(packed));
	}
	for (size_t i = 0; i < r->relay_count; i++) {
		put_item(&w, ITEM_RELAY, PEER_ID_LEN);
		wr_copy(&w, r->relays[i].bytes, PEER_ID_LEN);
	}
	put_item(&w, ITEM_CAPABILITIES, 4);
	wr_u32(&w, r->capabilities);
	assert(wr_ok(&w)); /* 16 x 22 + 4 x 35 + 7 bytes */
	return wr_len(&w);
}

size_t record_encode(struct record *r, const struct identity *self, uint8_t out[RECORD_MAX])
{
	assert(r->endpoint_count <= RECORD_ENDPOINTS && r->relay_count <= RECORD_RELAYS);
	assert(r->ttl_s <= RECORD_TTL_MAX_S);
	uint8_t *body = out + RECORD_FIXED;
	size_t body_len = encode_body(r, body);
	r->owner = self->id;
	struct wr w = wr_init(out, RECORD_FIXED);
	wr_copy(&w, "R1", 2);
	wr_u8(&w, SUITE);
	wr_u8(&w, 0);
	wr_copy(&w, self->id.bytes, PEER_ID_LEN);
	wr_u64(&w, r->seq);
	wr_u64(&w, r->not_before_s);
	wr_u32(&w, r->ttl_s);
	wr_u16(&w, (uint16_t)body_len);
	wr_u16(&w, 0);
	assert(wr_ok(&w) && wr_len(&w) == RECORD_FIXED);
	ov_sign(body + body_len, self, label, out, RECORD_FIXED + body_len);
	return RECORD_FIXED + body_len + SIGNATURE_LEN;
}

static bool is_possible(const struct ov_addr *a)
{
	enum addr_scope scope = addr_scope(a);
	return a->port != 0 && scope != ADDR_UNUSABLE && scope != ADDR_LOOPBACK;
}

static bool take_endpoint(struct record *r, const uint8_t *value)
{
	struct record_endpoint e = { .kind = value[0], .addr = addr_unpack(value + 1) };
	if (e.kind < RECORD_HOST || e.kind > RECORD_TCP)
		return true;
	if (r->endpoint_count == RECORD_ENDPOINTS || !is_possible(&e.addr))
		return false;
	r->endpoints[r->endpoint_count++] = e;
	return true;
}

static bool take_relay(struct record *r, const uint8_t *value)
{
	if (r->relay_count == RECORD_RELAYS)
		return false;
	memcpy(r->relays[r->relay_count++].bytes, value, PEER_ID_LEN);
	return true;
}

static bool take_item(struct record *r, uint8_t type, const uint8_t *value, size_t len)
{
	switch ((enum record_item)type) {
	case ITEM_ENDPOINT: return len == ENDPOINT_LEN && take_endpoint(r, value);
	case ITEM_RELAY: return len == PEER_ID_LEN && take_relay(r, value);
	case ITEM_CAPABILITIES:
		if (len != 4)
			return false;
		r->capabilities = load_le32(value);
		return true;
	}
	return true; /* of a later version */
}

static bool decode_body(struct record *r, const uint8_t *body, size_t body_len)
{
	struct rd in = rd_init(body, body_len);
	while (rd_left(&in) > 0) {
		uint8_t type = rd_u8(&in);
		uint16_t len = rd_u16(&in);
		const uint8_t *value = rd_take(&in, len);
		if (!value || !take_item(r, type, value, len))
			return false;
	}
	return rd_done(&in);
}

int record_decode(struct record *out, const uint8_t *data, size_t len)
{
	struct record r = { 0 };
	uint8_t dh[DH_LEN];
	if (len < RECORD_FIXED + SIGNATURE_LEN || len > RECORD_MAX)
		return OV_EFORMAT;
	struct rd in = rd_init(data, len);
	const uint8_t *magic = rd_take(&in, 2);
	uint8_t suite = rd_u8(&in);
	uint8_t flags = rd_u8(&in);
	rd_copy(&in, r.owner.bytes, PEER_ID_LEN);
	r.seq = rd_u64(&in);
	r.not_before_s = rd_u64(&in);
	r.ttl_s = rd_u32(&in);
	uint16_t body_len = rd_u16(&in);
	uint16_t zero = rd_u16(&in);
	if (memcmp(magic, "R1", 2) != 0 || suite != SUITE || flags || zero ||
		r.ttl_s > RECORD_TTL_MAX_S || body_len > RECORD_BODY_MAX)
		return OV_EFORMAT;
	const uint8_t *body = rd_take(&in, body_len);
	const uint8_t *signature = rd_take(&in, SIGNATURE_LEN);
	if (!rd_done(&in) || !decode_body(&r, body, body_len))
		return OV_EFORMAT;
	if (peer_id_to_dh(&r.owner, dh) != OV_OK ||
		!ov_verify(signature, &r.owner, label, data, len - SIGNATURE_LEN))
		return OV_EAUTH;
	*out = r;
	return OV_OK;
}

bool record_expired(const struct record *r, uint64_t wall_s)
{
	return wall_s < r->not_before_s ? r->not_before_s - wall_s > RECORD_TTL_MAX_S
					: wall_s - r->not_before_s >= r->ttl_s;
}

enum record_order record_compare(const struct record *fresh, const struct record *have)
{
	if (fresh->seq == have->seq)
		return RECORD_SAME;
	return fresh->seq > have->seq ? RECORD_NEWER : RECORD_OLDER;
}
