/* Layout (docs/protocol.md 14.1), encode and decode side by side; the line is its base32:
 *
 *   0 version u8 = 1 | 1 length u16 of all | 3 inviter 32 | 35 secret 16 | 51 expiry u64 | 59 items
 * | checksum 4
 *
 * The length tells a line that was cut from one that was mistyped: the two that happen. It stands
 * before the checksum, so a mistyped length looks like a cut line; so be it. Items are type u8,
 * length u8, value; unknown ones are skipped. An IPv4 address takes 6 bytes of a QR code, not 18.
 */
#include "discovery/invite.h"

#include "core/base32.h"
#include "core/bytes.h"

#include <sodium.h>

enum invite_item { ITEM_NAME = 1, ITEM_ENDPOINT = 2, ITEM_FACILITATOR = 3 };

#define VERSION      1
#define FIXED        59
#define CHECKSUM_LEN 4
#define V4_LEN       6
#define PREFIX_LEN   (sizeof(INVITE_PREFIX) - 1)

static_assert(FIXED + 2 + INVITE_NAME_MAX + INVITE_ENDPOINTS * (2 + ADDR_PACKED) +
			      INVITE_FACILITATORS *
				      (2 + PEER_ID_LEN + VOUCHER_SIGNATURE_LEN + ADDR_PACKED) +
			      CHECKSUM_LEN <=
		      INVITE_BYTES_MAX,
	"the fullest invite");
static_assert(PREFIX_LEN + BASE32_LEN(INVITE_BYTES_MAX) < INVITE_TEXT_MAX, "its line");

const char *invite_verdict_text(enum invite_verdict v)
{
	switch (v) {
	case INVITE_OK: return "the invite is good";
	case INVITE_NO_INVITE: return "this is no invite: one begins with " INVITE_PREFIX;
	case INVITE_BAD_LETTER:
		return "the invite has a character that none has: copy it again, as one word";
	case INVITE_TRUNCATED: return "the end of the invite is missing: copy the whole line";
	case INVITE_TRAILING: return "the invite is followed by something else: copy only the line";
	case INVITE_MISTYPED: return "the invite was changed or mistyped: copy it again";
	case INVITE_NEWER:
		return "the invite is of a newer version of overlay: install that version here";
	case INVITE_IMPOSSIBLE:
		return "the invite names a key or an address that cannot be: ask for a new one";
	}
	assert(false);
	return "";
}

void invite_hash(uint8_t hash[INVITE_HASH_LEN], const uint8_t secret[INVITE_SECRET_LEN])
{
	ov_hash(hash, INVITE_HASH_LEN, "OVL invite", secret, INVITE_SECRET_LEN);
}

static void checksum(uint8_t out[CHECKSUM_LEN], const uint8_t *data, size_t len)
{
	uint8_t hash[32];
	ov_hash(hash, sizeof(hash), "OVL invite sum", data, len);
	memcpy(out, hash, CHECKSUM_LEN);
}

static bool is_possible(const struct ov_addr *a)
{
	return a->port != 0 && addr_scope(a) != ADDR_UNUSABLE && a->scope == 0;
}

static bool name_is_printable(const char *name, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (name[i] <= ' ' || name[i] > '~')
			return false;
	return true;
}

/* ---- addresses: 6 bytes for IPv4, 18 else ---- */

static size_t put_addr(uint8_t out[ADDR_PACKED], const struct ov_addr *a)
{
	uint8_t packed[ADDR_PACKED];
	addr_pack(a, packed);
	size_t skip = addr_is_v4(a) ? ADDR_PACKED - V4_LEN : 0;
	memcpy(out, packed + skip, ADDR_PACKED - skip);
	return ADDR_PACKED - skip;
}

static bool take_addr(struct ov_addr *out, const uint8_t *value, size_t len)
{
	uint8_t packed[ADDR_PACKED] = { [10] = 0xff, [11] = 0xff };
	if (len != V4_LEN && len != ADDR_PACKED)
		return false;
	memcpy(packed + ADDR_PACKED - len, value, len);
	*out = addr_unpack(packed);
	return is_possible(out) && addr_is_v4(out) == (len == V4_LEN);
}

/* ---- encode ---- */

static void put_item(struct wr *w, enum invite_item type, const void *value, size_t len)
{
	wr_u8(w, (uint8_t)type);
	wr_u8(w, (uint8_t)len);
	wr_copy(w, value, len);
}

static void put_items(struct wr *w, const struct invite *in)
{
	size_t name_len = strlen(in->name);
	assert(name_len < INVITE_NAME_MAX && name_is_printable(in->name, name_len));
	if (name_len)
		put_item(w, ITEM_NAME, in->name, name_len);
	for (size_t i = 0; i < in->endpoint_count; i++) {
		uint8_t value[ADDR_PACKED];
		assert(is_possible(&in->endpoints[i]));
		put_item(w, ITEM_ENDPOINT, value, put_addr(value, &in->endpoints[i]));
	}
	for (size_t i = 0; i < in->facilitator_count; i++) {
		const struct invite_facilitator *f = &in->facilitators[i];
		uint8_t value[PEER_ID_LEN + VOUCHER_SIGNATURE_LEN + ADDR_PACKED];
		assert(is_possible(&f->endpoint));
		memcpy(value, f->id.bytes, PEER_ID_LEN);
		memcpy(value + PEER_ID_LEN, f->signature, VOUCHER_SIGNATURE_LEN);
		size_t len = PEER_ID_LEN + VOUCHER_SIGNATURE_LEN;
		len += put_addr(value + len, &f->endpoint);
		put_item(w, ITEM_FACILITATOR, value, len);
	}
}

const char *invite_encode(const struct invite *in, char out[INVITE_TEXT_MAX])
{
	assert(in->expires_s <= INVITE_EXPIRES_MAX && in->endpoint_count <= INVITE_ENDPOINTS);
	assert(in->facilitator_count <= INVITE_FACILITATORS);
	uint8_t data[INVITE_BYTES_MAX];
	struct wr w = wr_init(data, sizeof(data));
	wr_u8(&w, VERSION);
	wr_u16(&w, 0); /* below */
	wr_copy(&w, in->inviter.bytes, PEER_ID_LEN);
	wr_copy(&w, in->secret, INVITE_SECRET_LEN);
	wr_u64(&w, in->expires_s);
	assert(wr_len(&w) == FIXED);
	put_items(&w, in);
	size_t len = wr_len(&w);
	store_le16(data + 1, (uint16_t)(len + CHECKSUM_LEN));
	uint8_t sum[CHECKSUM_LEN];
	checksum(sum, data, len);
	wr_copy(&w, sum, sizeof(sum));
	assert(wr_ok(&w));
	memcpy(out, INVITE_PREFIX, PREFIX_LEN);
	base32_encode(data, wr_len(&w), out + PREFIX_LEN);
	sodium_memzero(data, sizeof(data));
	return out;
}

/* ---- decode ---- */

static bool take_name(struct invite *in, const uint8_t *value, size_t len)
{
	if (len == 0 || len >= INVITE_NAME_MAX || !name_is_printable((const char *)value, len))
		return false;
	memcpy(in->name, value, len);
	in->name[len] = 0;
	return true;
}

static bool take_facilitator(struct invite *in, const uint8_t *value, size_t len)
{
	size_t fixed = PEER_ID_LEN + VOUCHER_SIGNATURE_LEN;
	uint8_t dh[DH_LEN];
	if (in->facilitator_count == INVITE_FACILITATORS || len < fixed)
		return false;
	struct invite_facilitator *f = &in->facilitators[in->facilitator_count++];
	memcpy(f->id.bytes, value, PEER_ID_LEN);
	memcpy(f->signature, value + PEER_ID_LEN, VOUCHER_SIGNATURE_LEN);
	return take_addr(&f->endpoint, value + fixed, len - fixed) &&
	       peer_id_to_dh(&f->id, dh) == OV_OK;
}

static bool take_item(struct invite *in, uint8_t type, const uint8_t *value, size_t len)
{
	switch ((enum invite_item)type) {
	case ITEM_NAME: return in->name[0] == 0 && take_name(in, value, len);
	case ITEM_ENDPOINT:
		return in->endpoint_count < INVITE_ENDPOINTS &&
		       take_addr(&in->endpoints[in->endpoint_count++], value, len);
	case ITEM_FACILITATOR: return take_facilitator(in, value, len);
	}
	return true; /* of a later version */
}

static bool take_all(struct invite *in, const uint8_t *data, size_t len)
{
	uint8_t dh[DH_LEN];
	struct rd r = rd_init(data, len);
	rd_take(&r, 3);
	rd_copy(&r, in->inviter.bytes, PEER_ID_LEN);
	rd_copy(&r, in->secret, INVITE_SECRET_LEN);
	in->expires_s = rd_u64(&r);
	while (rd_left(&r) > 0) {
		uint8_t type = rd_u8(&r);
		uint8_t size = rd_u8(&r);
		const uint8_t *value = rd_take(&r, size);
		if (!value || !take_item(in, type, value, size))
			return false;
	}
	return rd_done(&r) && in->expires_s <= INVITE_EXPIRES_MAX &&
	       peer_id_to_dh(&in->inviter, dh) == OV_OK;
}

static enum invite_verdict check(struct invite *out, const uint8_t *data, size_t len)
{
	uint8_t sum[CHECKSUM_LEN];
	checksum(sum, data, len - CHECKSUM_LEN);
	if (memcmp(sum, data + len - CHECKSUM_LEN, CHECKSUM_LEN) != 0)
		return INVITE_MISTYPED;
	struct invite in = { 0 };
	bool good = take_all(&in, data, len - CHECKSUM_LEN);
	if (good)
		*out = in;
	sodium_memzero(&in, sizeof(in));
	return good ? INVITE_OK : INVITE_IMPOSSIBLE;
}

static bool has_prefix(const char *text)
{
	static const char prefix[] = INVITE_PREFIX;
	for (size_t i = 0; i < PREFIX_LEN; i++) {
		bool upper = text[i] >= 'A' && text[i] <= 'Z'; /* of a QR code */
		if ((upper ? text[i] - 'A' + 'a' : text[i]) != prefix[i])
			return false;
	}
	return true;
}

/* Version and length stand in the first eight characters; they tell how many there must be. */
static enum invite_verdict check_length(const char *text, size_t chars, size_t *len)
{
	uint8_t first[5];
	if (chars < 8)
		return INVITE_TRUNCATED;
	if (base32_decode(text, 8, first, sizeof(first)) < 0)
		return INVITE_BAD_LETTER;
	if (first[0] != VERSION)
		return first[0] > VERSION ? INVITE_NEWER : INVITE_MISTYPED;
	*len = load_le16(first + 1);
	if (*len < FIXED + CHECKSUM_LEN || *len > INVITE_BYTES_MAX)
		return INVITE_MISTYPED;
	if (chars == BASE32_LEN(*len))
		return INVITE_OK;
	return chars < BASE32_LEN(*len) ? INVITE_TRUNCATED : INVITE_TRAILING;
}

enum invite_verdict invite_decode(struct invite *out, const char *text)
{
	uint8_t data[INVITE_BYTES_MAX];
	size_t len = 0;
	if (!has_prefix(text))
		return INVITE_NO_INVITE;
	text += PREFIX_LEN;
	size_t chars = strlen(text);
	if (strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ234567") != chars)
		return INVITE_BAD_LETTER;
	enum invite_verdict v = check_length(text, chars, &len);
	if (v != INVITE_OK)
		return v;
	bool whole = base32_decode(text, chars, data, sizeof(data)) == (int)len;
	v = whole ? check(out, data, len) : INVITE_MISTYPED;
	sodium_memzero(data, sizeof(data));
	return v;
}

bool invite_expired(const struct invite *in, uint64_t wall_s)
{
	return wall_s >= in->expires_s;
}

struct voucher invite_voucher(const struct invite *in, size_t i)
{
	assert(i < in->facilitator_count);
	const struct invite_facilitator *f = &in->facilitators[i];
	struct voucher v = voucher_draft(&in->inviter, &f->id, in->secret, in->expires_s);
	memcpy(v.signature, f->signature, sizeof(v.signature));
	return v;
}
