/* The choice among suites, and libsodium's two implementations, which are always there (the GCM one
 * where the CPU has AES and carry-less multiplication; libsodium has no slow one). A software AES
 * is never used: it would be slower than ChaCha20 and leak through the cache. */
#include "core/aead.h"

#include "core/bytes.h"

#include <sodium.h>

const struct aead *aead_find(const struct aead_table *t, enum suite suite)
{
	switch (suite) {
	case SUITE_CHACHA20_POLY1305: return t->chacha20_poly1305;
	case SUITE_AES_256_GCM: return t->aes_256_gcm;
	}
	return NULL; /* a number from the wire */
}

static uint8_t suite_bit(enum suite suite)
{
	return (uint8_t)(1u << (suite - 1));
}

uint8_t aead_offer(const struct aead_table *t)
{
	uint8_t suites = 0;
	if (t->chacha20_poly1305)
		suites |= suite_bit(SUITE_CHACHA20_POLY1305);
	if (t->aes_256_gcm)
		suites |= suite_bit(SUITE_AES_256_GCM);
	return suites;
}

uint8_t aead_choose(const struct aead_table *t, uint8_t offered)
{
	uint8_t common = offered & aead_offer(t);
	if (common & suite_bit(SUITE_AES_256_GCM))
		return SUITE_AES_256_GCM;
	return common & suite_bit(SUITE_CHACHA20_POLY1305) ? SUITE_CHACHA20_POLY1305 : 0;
}

static void sodium_fini(struct aead_state *st)
{
	sodium_memzero(st, sizeof(*st));
}

static bool chacha_init(struct aead_state *st, const uint8_t key[AEAD_KEY_LEN])
{
	memcpy(st->bytes, key, AEAD_KEY_LEN); /* ChaCha20 expands nothing */
	return true;
}

static void chacha_seal(struct aead_state *st, uint64_t counter, const uint8_t header[16],
	const uint8_t *plain, size_t len, uint8_t *out)
{
	uint8_t nonce[AEAD_NONCE_LEN];
	aead_nonce(nonce, counter);
	crypto_aead_chacha20poly1305_ietf_encrypt(
		out, NULL, plain, len, header, 16, NULL, nonce, st->bytes);
}

static bool chacha_open(struct aead_state *st, uint64_t counter, const uint8_t header[16],
	const uint8_t *in, size_t len, uint8_t *out)
{
	uint8_t nonce[AEAD_NONCE_LEN];
	aead_nonce(nonce, counter);
	return crypto_aead_chacha20poly1305_ietf_decrypt(
		       out, NULL, NULL, in, len + AEAD_TAG_LEN, header, 16, nonce, st->bytes) == 0;
}

static_assert(sizeof(crypto_aead_aes256gcm_state) <= AEAD_STATE_LEN, "room for libsodium's key");

static crypto_aead_aes256gcm_state *gcm_state(struct aead_state *st)
{
	return (crypto_aead_aes256gcm_state *)(void *)st->bytes;
}

static bool gcm_init(struct aead_state *st, const uint8_t key[AEAD_KEY_LEN])
{
	return crypto_aead_aes256gcm_beforenm(gcm_state(st), key) == 0;
}

static void gcm_seal(struct aead_state *st, uint64_t counter, const uint8_t header[16],
	const uint8_t *plain, size_t len, uint8_t *out)
{
	uint8_t nonce[AEAD_NONCE_LEN];
	aead_nonce(nonce, counter);
	crypto_aead_aes256gcm_encrypt_afternm(
		out, NULL, plain, len, header, 16, NULL, nonce, gcm_state(st));
}

static bool gcm_open(struct aead_state *st, uint64_t counter, const uint8_t header[16],
	const uint8_t *in, size_t len, uint8_t *out)
{
	uint8_t nonce[AEAD_NONCE_LEN];
	aead_nonce(nonce, counter);
	return crypto_aead_aes256gcm_decrypt_afternm(out, NULL, NULL, in, len + AEAD_TAG_LEN,
		       header, 16, nonce, gcm_state(st)) == 0;
}

const struct aead aead_sodium_chacha20_poly1305 = {
	.backend = "sodium",
	.cipher = "chacha20-poly1305",
	.suite = SUITE_CHACHA20_POLY1305,
	.init = chacha_init,
	.seal = chacha_seal,
	.open = chacha_open,
	.fini = sodium_fini,
};

const struct aead aead_sodium_aes_256_gcm = {
	.backend = "sodium",
	.cipher = "aes-256-gcm",
	.suite = SUITE_AES_256_GCM,
	.init = gcm_init,
	.seal = gcm_seal,
	.open = gcm_open,
	.fini = sodium_fini,
};
