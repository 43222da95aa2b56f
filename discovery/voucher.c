/* Layout (docs/protocol.md 14.2), encode and decode side by side:
 *
 *   0 "V1" | 2 zero u16 | 4 inviter 32 | 36 facilitator 32 | 68 hash of the token 32 | 100 expiry
 * u64 | 108 signature 64 over facilitator, hash, expiry
 *
 * Pass: 0 inviter 32 | 32 token 16 | 48 expiry u64 | 56 signature 64
 *
 * secret -> token -> hash of the token are two one-way steps under two labels: the line of the
 * invite holds the secret, the guest shows the token, the voucher carries the hash. */
#include "discovery/voucher.h"

#include "core/bytes.h"

#include <sodium.h>

#define SIGNED_LEN (PEER_ID_LEN + 32 + 8)

static const char label[] = "OVL voucher v1";

void voucher_token(uint8_t token[VOUCHER_TOKEN_LEN], const uint8_t secret[VOUCHER_SECRET_LEN])
{
	uint8_t hash[32];
	ov_hash(hash, sizeof(hash), "OVL token", secret, VOUCHER_SECRET_LEN);
	memcpy(token, hash, VOUCHER_TOKEN_LEN);
	sodium_memzero(hash, sizeof(hash));
}

static void hash_token(uint8_t out[32], const uint8_t token[VOUCHER_TOKEN_LEN])
{
	ov_hash(out, 32, "OVL voucher", token, VOUCHER_TOKEN_LEN);
}

static void signed_part(const struct voucher *v, uint8_t out[SIGNED_LEN])
{
	struct wr w = wr_init(out, SIGNED_LEN);
	wr_copy(&w, v->facilitator.bytes, PEER_ID_LEN);
	wr_copy(&w, v->token_hash, sizeof(v->token_hash));
	wr_u64(&w, v->expires_s);
	assert(wr_ok(&w) && wr_len(&w) == SIGNED_LEN);
}

struct voucher voucher_draft(const struct peer_id *inviter, const struct peer_id *facilitator,
	const uint8_t secret[VOUCHER_SECRET_LEN], uint64_t expires_s)
{
	uint8_t token[VOUCHER_TOKEN_LEN];
	struct voucher v = {
		.inviter = *inviter, .facilitator = *facilitator, .expires_s = expires_s
	};
	voucher_token(token, secret);
	hash_token(v.token_hash, token);
	sodium_memzero(token, sizeof(token));
	return v;
}

void voucher_sign(struct voucher *v, const struct identity *self)
{
	uint8_t data[SIGNED_LEN];
	v->inviter = self->id;
	signed_part(v, data);
	ov_sign(v->signature, self, label, data, sizeof(data));
}

void voucher_encode(const struct voucher *v, uint8_t out[VOUCHER_LEN])
{
	struct wr w = wr_init(out, VOUCHER_LEN);
	wr_copy(&w, "V1", 2);
	wr_u16(&w, 0);
	wr_copy(&w, v->inviter.bytes, PEER_ID_LEN);
	wr_copy(&w, v->facilitator.bytes, PEER_ID_LEN);
	wr_copy(&w, v->token_hash, sizeof(v->token_hash));
	wr_u64(&w, v->expires_s);
	wr_copy(&w, v->signature, sizeof(v->signature));
	assert(wr_ok(&w) && wr_len(&w) == VOUCHER_LEN);
}

void voucher_pass(const struct voucher *v, const uint8_t token[VOUCHER_TOKEN_LEN],
	uint8_t out[VOUCHER_PASS_LEN])
{
	struct wr w = wr_init(out, VOUCHER_PASS_LEN);
	wr_copy(&w, v->inviter.bytes, PEER_ID_LEN);
	wr_copy(&w, token, VOUCHER_TOKEN_LEN);
	wr_u64(&w, v->expires_s);
	wr_copy(&w, v->signature, sizeof(v->signature));
	assert(wr_ok(&w) && wr_len(&w) == VOUCHER_PASS_LEN);
}

void voucher_pass_read(struct voucher *out, uint8_t token[VOUCHER_TOKEN_LEN],
	const uint8_t pass[VOUCHER_PASS_LEN], const struct peer_id *facilitator)
{
	struct rd r = rd_init(pass, VOUCHER_PASS_LEN);
	*out = (struct voucher){ .facilitator = *facilitator };
	rd_copy(&r, out->inviter.bytes, PEER_ID_LEN);
	rd_copy(&r, token, VOUCHER_TOKEN_LEN);
	out->expires_s = rd_u64(&r);
	rd_copy(&r, out->signature, sizeof(out->signature));
	assert(rd_done(&r));
	hash_token(out->token_hash, token);
}

int voucher_decode(struct voucher *out, const uint8_t *data, size_t len)
{
	struct voucher v;
	struct rd r = rd_init(data, len);
	const uint8_t *magic = rd_take(&r, 2);
	uint16_t zero = rd_u16(&r);
	rd_copy(&r, v.inviter.bytes, PEER_ID_LEN);
	rd_copy(&r, v.facilitator.bytes, PEER_ID_LEN);
	rd_copy(&r, v.token_hash, sizeof(v.token_hash));
	v.expires_s = rd_u64(&r);
	rd_copy(&r, v.signature, sizeof(v.signature));
	if (!rd_done(&r) || memcmp(magic, "V1", 2) != 0 || zero)
		return OV_EFORMAT;
	*out = v;
	return OV_OK;
}

int voucher_check(const struct voucher *v, const struct peer_id *self,
	const uint8_t token[VOUCHER_TOKEN_LEN], uint64_t wall_s)
{
	uint8_t data[SIGNED_LEN], hash[32], dh[DH_LEN];
	if (!peer_id_equal(&v->facilitator, self))
		return OV_EINVAL;
	if (wall_s >= v->expires_s)
		return OV_ENOENT;
	hash_token(hash, token);
	signed_part(v, data);
	bool good = sodium_memcmp(hash, v->token_hash, sizeof(hash)) == 0 &&
		    peer_id_to_dh(&v->inviter, dh) == OV_OK &&
		    ov_verify(v->signature, &v->inviter, label, data, sizeof(data));
	return good ? OV_OK : OV_EAUTH;
}
