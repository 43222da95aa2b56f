/* libcrypto's AEADs through EVP. One context per key and direction, made once; per packet only the
 * IV changes. A context that was initialised for sealing may open and vice versa: both ciphers run
 * their block function forwards only, and an init without key keeps the expanded one.
 *
 * Linked, not dlopened: EVP is stable within OpenSSL 3, every distribution that we run on has it,
 * and so the compiler checks each call. (intel-ipsec-mb is the opposite on all three counts.) */
#include "core/aead_os.h"
#include "core/bytes.h"

#include <openssl/evp.h>
#include <sodium.h>

static EVP_CIPHER *chacha, *gcm; /* fetched once: a fetch takes locks and searches by name */

static EVP_CIPHER_CTX *context(const struct aead_state *st)
{
	EVP_CIPHER_CTX *ctx;
	memcpy(&ctx, st->bytes, sizeof(EVP_CIPHER_CTX *));
	return ctx;
}

static bool start(struct aead_state *st, const EVP_CIPHER *cipher, const uint8_t key[AEAD_KEY_LEN])
{
	EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
	if (ctx && EVP_CipherInit_ex(ctx, cipher, NULL, key, NULL, 1) != 1) {
		EVP_CIPHER_CTX_free(ctx);
		ctx = NULL;
	}
	memset(st, 0, sizeof(*st));
	memcpy(st->bytes, &ctx, sizeof(EVP_CIPHER_CTX *));
	return ctx != NULL;
}

static bool chacha_init(struct aead_state *st, const uint8_t key[AEAD_KEY_LEN])
{
	return start(st, chacha, key);
}

static bool gcm_init(struct aead_state *st, const uint8_t key[AEAD_KEY_LEN])
{
	return start(st, gcm, key);
}

/* The part that sealing and opening share: header and text, under an IV that is set already. */
static bool evp_run(
	EVP_CIPHER_CTX *ctx, const uint8_t header[16], const uint8_t *in, size_t len, uint8_t *out)
{
	int n;
	return EVP_CipherUpdate(ctx, NULL, &n, header, 16) == 1 &&
	       (len == 0 || EVP_CipherUpdate(ctx, out, &n, in, (int)len) == 1);
}

static void evp_seal(struct aead_state *st, uint64_t counter, const uint8_t header[16],
	const uint8_t *plain, size_t len, uint8_t *out)
{
	EVP_CIPHER_CTX *ctx = context(st);
	uint8_t nonce[AEAD_NONCE_LEN], none[AEAD_TAG_LEN];
	int n;
	aead_nonce(nonce, counter);
	bool done = EVP_EncryptInit_ex(ctx, NULL, NULL, NULL, nonce) == 1 &&
		    evp_run(ctx, header, plain, len, out) &&
		    EVP_EncryptFinal_ex(ctx, none, &n) == 1 &&
		    EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, AEAD_TAG_LEN, out + len) == 1;
	assert(done); /* fails only when misused */
	(void)done;
}

static bool evp_open(struct aead_state *st, uint64_t counter, const uint8_t header[16],
	const uint8_t *in, size_t len, uint8_t *out)
{
	EVP_CIPHER_CTX *ctx = context(st);
	uint8_t nonce[AEAD_NONCE_LEN], tag[AEAD_TAG_LEN], none[AEAD_TAG_LEN];
	int n;
	aead_nonce(nonce, counter);
	memcpy(tag, in + len, sizeof(tag)); /* the library's argument is not const */
	return EVP_DecryptInit_ex(ctx, NULL, NULL, NULL, nonce) == 1 &&
	       evp_run(ctx, header, in, len, out) &&
	       EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, AEAD_TAG_LEN, tag) == 1 &&
	       EVP_DecryptFinal_ex(ctx, none, &n) == 1;
}

static void evp_fini(struct aead_state *st)
{
	EVP_CIPHER_CTX_free(context(st)); /* cleanses the key */
	sodium_memzero(st, sizeof(*st));
}

static const struct aead openssl_chacha20_poly1305 = {
	.backend = "openssl",
	.cipher = "chacha20-poly1305",
	.suite = SUITE_CHACHA20_POLY1305,
	.init = chacha_init,
	.seal = evp_seal,
	.open = evp_open,
	.fini = evp_fini,
};

static const struct aead openssl_aes_256_gcm = {
	.backend = "openssl",
	.cipher = "aes-256-gcm",
	.suite = SUITE_AES_256_GCM,
	.init = gcm_init,
	.seal = evp_seal,
	.open = evp_open,
	.fini = evp_fini,
};

/* A build of libcrypto may lack a cipher (FIPS has no ChaCha20). */
const struct aead *aead_openssl(enum suite suite)
{
	if (!chacha)
		chacha = EVP_CIPHER_fetch(NULL, "ChaCha20-Poly1305", NULL);
	if (!gcm && aead_cpu_has_aes())
		gcm = EVP_CIPHER_fetch(NULL, "AES-256-GCM", NULL);
	if (suite == SUITE_CHACHA20_POLY1305)
		return chacha ? &openssl_chacha20_poly1305 : NULL;
	return gcm ? &openssl_aes_256_gcm : NULL;
}
