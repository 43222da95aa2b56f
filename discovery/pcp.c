/* Layouts (RFC 6887 7.1, 7.2, 11.1), big endian; IPv4 addresses in their mapped form, which is ours
 * too:
 *
 *   request  0 version 2 | 1 opcode | 2 zero u16 | 4 lifetime u32 | 8 client address 16
 *   answer   0 version 2 | 1 0x80 + opcode | 2 zero u8 | 3 result | 4 lifetime u32 | 8 epoch u32
 *            12 zero 12
 *   MAP     24 nonce 12 | 36 protocol | 37 zero 3 | 40 internal port | 42 external port
 *           44 external address 16
 *
 * Options may follow an answer; ours have none to read. */
#include "discovery/pcp.h"

#include "core/bytes.h"

#define VERSION     2
#define ANSWER      0x80
#define UDP         17 /* IANA protocol number */
#define NATPMP_LEN  8  /* its shortest answer: version, opcode, result, epoch */
#define TOLERANCE_S 2  /* 8.5: both sides round to seconds */

static void encode_header(
	uint8_t *out, enum pcp_opcode opcode, uint32_t lifetime_s, const struct ov_addr *client)
{
	out[0] = VERSION;
	out[1] = (uint8_t)opcode;
	store_be16(out + 2, 0);
	store_be32(out + 4, lifetime_s);
	memcpy(out + 8, client->ip, 16);
}

size_t pcp_encode_announce(uint8_t out[PCP_ANNOUNCE_LEN], const struct ov_addr *client)
{
	encode_header(out, PCP_ANNOUNCE, 0, client);
	return PCP_ANNOUNCE_LEN;
}

size_t pcp_encode_map(uint8_t out[PCP_MAP_LEN], const struct pcp_map *m)
{
	/* 11.1: no preference is the unspecified address of the family that is asked for */
	struct ov_addr any =
		addr_is_v4(&m->internal) ? addr_v4(0, 0, 0, 0, 0) : (struct ov_addr){ 0 };
	const struct ov_addr *wanted = addr_is_any(&m->external) ? &any : &m->external;
	encode_header(out, PCP_MAP, m->lifetime_s, &m->internal);
	memcpy(out + 24, m->nonce, PCP_NONCE_LEN);
	out[36] = UDP;
	memset(out + 37, 0, 3);
	store_be16(out + 40, m->internal.port);
	store_be16(out + 42, m->external.port);
	memcpy(out + 44, wanted->ip, 16);
	return PCP_MAP_LEN;
}

static enum drop decode_map(struct pcp_answer *out, const uint8_t *data, size_t len)
{
	if (len < PCP_MAP_LEN)
		return DROP_SHORT;
	if (data[36] != UDP)
		return DROP_TYPE;
	struct pcp_map *m = &out->map;
	memcpy(m->nonce, data + 24, PCP_NONCE_LEN);
	m->internal.port = load_be16(data + 40);
	m->external.port = load_be16(data + 42);
	memcpy(m->external.ip, data + 44, 16);
	m->lifetime_s = out->lifetime_s;
	return DROP_NONE;
}

enum drop pcp_decode(struct pcp_answer *out, const uint8_t *data, size_t len)
{
	*out = (struct pcp_answer){ 0 };
	if (len < NATPMP_LEN)
		return DROP_SHORT;
	if (len > PCP_MAX)
		return DROP_OVERSIZED;
	if (data[0] == 0 && (data[1] & ANSWER)) {
		out->natpmp = true;
		return DROP_NONE;
	}
	if (len < PCP_ANNOUNCE_LEN)
		return DROP_SHORT;
	if (data[0] != VERSION || !(data[1] & ANSWER))
		return DROP_HEADER;
	if (len % 4 != 0)
		return DROP_FORMAT;
	uint8_t opcode = data[1] & (uint8_t)~ANSWER;
	out->result = data[3];
	out->lifetime_s = load_be32(data + 4);
	out->epoch_s = load_be32(data + 8);
	out->opcode = (enum pcp_opcode)opcode;
	if (opcode == PCP_MAP)
		return decode_map(out, data, len);
	return opcode == PCP_ANNOUNCE ? DROP_NONE : DROP_TYPE;
}

bool pcp_answer_is_for(const struct pcp_answer *a, const struct pcp_map *asked)
{
	return !a->natpmp && a->opcode == PCP_MAP && a->map.internal.port == asked->internal.port &&
	       memcmp(a->map.nonce, asked->nonce, PCP_NONCE_LEN) == 0;
}

bool pcp_epoch_valid(const struct pcp_epoch *e, ov_time now, uint32_t server_s)
{
	if (!e->known)
		return true;
	if ((int64_t)server_s + 1 < e->server_s)
		return false; /* back by more than reordering explains */
	int64_t server = (int64_t)server_s - e->server_s;
	int64_t client = (now - e->at) / OV_SEC;
	return client + TOLERANCE_S >= server - server / 16 &&
	       server + TOLERANCE_S >= client - client / 16;
}

void pcp_epoch_note(struct pcp_epoch *e, ov_time now, uint32_t server_s)
{
	*e = (struct pcp_epoch){ .known = true, .server_s = server_s, .at = now };
}
