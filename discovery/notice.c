/* Layout (docs/protocol.md 11.2), encode and decode side by side:
 *
 *   0 header: type 11, flags 1, all else 0 | 16 port u16 | 18 length of the name u8 | 19 zero u8 |
 * 20 PeerId 32 | 52 name, padded with zeros to 64 | 116 signature 64 over bytes 16 to 115 */
#include "discovery/notice.h"

#include "core/bytes.h"

#include <string.h>

#define SIGNED_LEN (4 + PEER_ID_LEN + NOTICE_NAME_MAX)

static const char label[] = "OVL notice v1";

static bool is_letter_or_digit(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

bool notice_name_ok(const char *name)
{
	if (name[0] != '\0' && !is_letter_or_digit(name[0]))
		return false;
	size_t len = 0;
	for (; name[len] != '\0'; len++)
		if (!is_letter_or_digit(name[len]) && strchr("-_.", name[len]) == NULL)
			return false;
	return len < NOTICE_NAME_MAX;
}

void notice_encode(uint8_t out[NOTICE_LEN], const struct notice *n, const struct identity *self)
{
	assert(n->port != 0 && notice_name_ok(n->name));
	struct header header = { .type = PACKET_BEACON, .flags = NOTICE_FLAG };
	size_t len = strlen(n->name);
	header_encode(&header, out);
	struct wr w = wr_init(out + HEADER_LEN, SIGNED_LEN);
	wr_u16(&w, n->port);
	wr_u8(&w, (uint8_t)len);
	wr_u8(&w, 0);
	wr_copy(&w, n->id.bytes, PEER_ID_LEN);
	wr_copy(&w, n->name, len);
	wr_zero(&w, NOTICE_NAME_MAX - len);
	assert(wr_ok(&w) && wr_len(&w) == SIGNED_LEN);
	ov_sign(out + HEADER_LEN + SIGNED_LEN, self, label, out + HEADER_LEN, SIGNED_LEN);
}

bool notice_is(const uint8_t *data, size_t len)
{
	return len >= HEADER_LEN && data[0] == PACKET_BEACON && data[1] == NOTICE_FLAG;
}

/* Exactly as it would be encoded: one name, one text. */
static bool read_name(char name[NOTICE_NAME_MAX], const uint8_t field[NOTICE_NAME_MAX], size_t len)
{
	if (len >= NOTICE_NAME_MAX)
		return false;
	memcpy(name, field, NOTICE_NAME_MAX);
	for (size_t i = len; i < NOTICE_NAME_MAX; i++)
		if (field[i] != 0)
			return false;
	return strlen(name) == len && notice_name_ok(name);
}

enum drop notice_decode(struct notice *out, const uint8_t *data, size_t len)
{
	struct header header;
	if (len < NOTICE_LEN)
		return DROP_SHORT;
	if (len > NOTICE_LEN)
		return DROP_OVERSIZED;
	if (!header_decode(&header, data, len) || header.flags != NOTICE_FLAG || header.receiver ||
		header.counter)
		return DROP_HEADER;
	if (header.type != PACKET_BEACON)
		return DROP_TYPE;
	struct notice n;
	struct rd r = rd_init(data + HEADER_LEN, SIGNED_LEN);
	n.port = rd_u16(&r);
	uint8_t name_len = rd_u8(&r), zero = rd_u8(&r);
	rd_copy(&r, n.id.bytes, PEER_ID_LEN);
	const uint8_t *name = rd_take(&r, NOTICE_NAME_MAX);
	if (!rd_done(&r) || n.port == 0 || zero != 0 || !read_name(n.name, name, name_len))
		return DROP_FORMAT;
	*out = n;
	return DROP_NONE;
}

bool notice_is_signed(const struct notice *n, const uint8_t data[NOTICE_LEN])
{
	uint8_t dh[DH_LEN];
	return peer_id_to_dh(&n->id, dh) == OV_OK &&
	       ov_verify(data + HEADER_LEN + SIGNED_LEN, &n->id, label, data + HEADER_LEN,
		       SIGNED_LEN);
}
