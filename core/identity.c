/* One seed, two uses of the key it makes: Ed25519 signs vouchers, its X25519 form is the Noise
 * static key. Joint use is sound as long as no signature and no hash is ever made in two contexts
 * (eprint 2021/509), so every hash carries a personalisation and every signature a label; both live
 * here.
 *
 * The conversion forgets the sign of x: P and -P share one X25519 key. So a PeerId is never derived
 * from a static key; HS1 carries it and the responder converts it (handshake.c).
 *
 * Text form: base32 (RFC 4648 6, lower case) of key 32, checksum 2, version 1; 35 bytes are exactly
 * 56 characters, so there are no spare bits and one PeerId has one text. */
#include "core/identity.h"

#include "core/base32.h"

#include <sodium.h>
#include <string.h>

#define TEXT_VERSION 1
#define CHECKSUM_LEN 2
#define TEXT_BYTES   (PEER_ID_LEN + CHECKSUM_LEN + 1)
#define LABEL_MAX    crypto_generichash_blake2b_PERSONALBYTES

static_assert(TEXT_BYTES * 8 == PEER_ID_TEXT_LEN * 5, "base32 without spare bits");

void ov_hash_keyed(
	uint8_t *out, size_t out_len, const struct hash_key *key, const void *data, size_t len)
{
	uint8_t personal[LABEL_MAX] = { 0 };
	size_t label_len = strlen(key->label);
	assert(label_len <= sizeof(personal) && out_len >= 16 && out_len <= OV_HASH_MAX);
	/* NOLINTNEXTLINE(bugprone-not-null-terminated-result): padded with zeros, no string */
	memcpy(personal, key->label, label_len);
	int failed = crypto_generichash_blake2b_salt_personal(
		out, out_len, data, len, key->bytes, key->len, NULL, personal);
	assert(!failed);
	(void)failed;
}

void ov_hash(uint8_t *out, size_t out_len, const char *label, const void *data, size_t len)
{
	ov_hash_keyed(out, out_len, &(struct hash_key){ .label = label }, data, len);
}

/* label, zero byte, data: contiguous, because Ed25519 reads its message twice. */
static size_t sign_message(uint8_t out[OV_SIGN_LABEL_MAX + 1 + OV_SIGN_MAX], const char *label,
	const void *data, size_t len)
{
	size_t label_len = strlen(label);
	assert(label_len <= OV_SIGN_LABEL_MAX && len <= OV_SIGN_MAX);
	memcpy(out, label, label_len + 1);
	if (len)
		memcpy(out + label_len + 1, data, len);
	return label_len + 1 + len;
}

void ov_sign(uint8_t signature[64], const struct identity *self, const char *label,
	const void *data, size_t len)
{
	uint8_t message[OV_SIGN_LABEL_MAX + 1 + OV_SIGN_MAX];
	size_t total = sign_message(message, label, data, len);
	crypto_sign_ed25519_detached(signature, NULL, message, total, self->sign_secret);
}

bool ov_verify(const uint8_t signature[64], const struct peer_id *id, const char *label,
	const void *data, size_t len)
{
	if (len > OV_SIGN_MAX)
		return false;
	uint8_t message[OV_SIGN_LABEL_MAX + 1 + OV_SIGN_MAX];
	size_t total = sign_message(message, label, data, len);
	return crypto_sign_ed25519_verify_detached(signature, message, total, id->bytes) == 0;
}

int identity_from_seed(struct identity *out, const uint8_t seed[32])
{
	crypto_sign_ed25519_seed_keypair(out->id.bytes, out->sign_secret, seed);
	if (crypto_sign_ed25519_sk_to_curve25519(out->dh_secret, out->sign_secret) ||
		peer_id_to_dh(&out->id, out->dh_public)) {
		identity_wipe(out);
		return OV_EINVAL;
	}
	return OV_OK;
}

void identity_wipe(struct identity *self)
{
	sodium_memzero(self, sizeof(*self));
}

bool peer_id_equal(const struct peer_id *a, const struct peer_id *b)
{
	return sodium_memcmp(a->bytes, b->bytes, PEER_ID_LEN) == 0;
}

int peer_id_compare(const struct peer_id *a, const struct peer_id *b)
{
	return memcmp(a->bytes, b->bytes, PEER_ID_LEN);
}

/* Two encodings of one point would be two PeerIds of one key. They need y >= p = 2^255 - 19 (RFC
 * 8032 5.1.3), hence one of 19 points, and none of those is in the prime-order subgroup, which
 * libsodium checks (tests/unit/test_identity.c tries them all). */
int peer_id_to_dh(const struct peer_id *id, uint8_t out[DH_LEN])
{
	return crypto_sign_ed25519_pk_to_curve25519(out, id->bytes) ? OV_EINVAL : OV_OK;
}

static void checksum(const struct peer_id *id, uint8_t out[CHECKSUM_LEN])
{
	uint8_t data[PEER_ID_LEN + 1], hash[32];
	memcpy(data, id->bytes, PEER_ID_LEN);
	data[PEER_ID_LEN] = TEXT_VERSION;
	ov_hash(hash, sizeof(hash), "OVL peerid v1", data, sizeof(data));
	memcpy(out, hash, CHECKSUM_LEN);
}

const char *peer_id_format(const struct peer_id *id, char out[PEER_ID_TEXT_LEN + 1])
{
	uint8_t raw[TEXT_BYTES];
	memcpy(raw, id->bytes, PEER_ID_LEN);
	checksum(id, raw + PEER_ID_LEN);
	raw[TEXT_BYTES - 1] = TEXT_VERSION;
	return base32_encode(raw, sizeof(raw), out);
}

int peer_id_decode(const char *text, struct peer_id *out)
{
	uint8_t raw[TEXT_BYTES], sum[CHECKSUM_LEN];
	struct peer_id id;
	if (strlen(text) != PEER_ID_TEXT_LEN ||
		base32_decode(text, PEER_ID_TEXT_LEN, raw, sizeof(raw)) != TEXT_BYTES ||
		raw[TEXT_BYTES - 1] != TEXT_VERSION)
		return OV_EFORMAT;
	memcpy(id.bytes, raw, PEER_ID_LEN);
	checksum(&id, sum);
	if (memcmp(sum, raw + PEER_ID_LEN, CHECKSUM_LEN) != 0)
		return OV_EFORMAT;
	*out = id;
	return OV_OK;
}

int peer_id_parse(const char *text, struct peer_id *out)
{
	uint8_t dh[DH_LEN];
	struct peer_id id;
	if (peer_id_decode(text, &id) != OV_OK)
		return OV_EFORMAT;
	if (peer_id_to_dh(&id, dh))
		return OV_EINVAL;
	*out = id;
	return OV_OK;
}

void peer_id_prefix(const struct peer_id *id, uint8_t prefix[8])
{
	uint8_t hash[32];
	ov_hash(hash, sizeof(hash), "OVL addr v1", id->bytes, PEER_ID_LEN);
	prefix[0] = 0xfd; /* RFC 4193: locally assigned */
	memcpy(prefix + 1, hash, 7);
}

void peer_id_address(const struct peer_id *id, uint8_t ip[16])
{
	memset(ip, 0, 16);
	peer_id_prefix(id, ip);
	ip[15] = 1;
}
