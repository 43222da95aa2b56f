#pragma once
/* aead - the bulk ciphers of a session behind one small table, so that the fastest library present
 * can be used (docs/decisions.md; limits 1: 8 x between the slowest and the fastest).
 *
 * Nonce = 4 zero bytes + le64 counter (RFC 8439 2.8 shape, as WireGuard); associated data = the
 * 16-byte header; tag 16 bytes. The same bytes come out of every backend of a suite. */
#include "core/bytes.h"

enum suite {
	SUITE_CHACHA20_POLY1305 = 1,
	SUITE_AES_256_GCM = 2
}; /* wire values; bit = 1 << (value - 1) */

#define AEAD_KEY_LEN   32
#define AEAD_NONCE_LEN 12
#define AEAD_TAG_LEN   16
#define AEAD_STATE_LEN 1088 /* room for ipsec-mb's expanded AES-256-GCM key, asserted there */
#define AEAD_ALIGN     64

/* Expanded key of one direction; embedded in a session, wiped by fini. Not to be copied or moved
 * once initialised: it may own memory of its library. */
struct aead_state {
	_Alignas(AEAD_ALIGN) uint8_t bytes[AEAD_STATE_LEN];
};

struct aead {
	const char *backend; /* "ipsec-mb", "openssl", "sodium" */
	const char *cipher;  /* "aes-256-gcm", "chacha20-poly1305" */
	enum suite suite;
	/* Expands the key. False only when a library's allocation fails. */
	bool (*init)(struct aead_state *st, const uint8_t key[AEAD_KEY_LEN]);
	/* Writes len ciphertext bytes and the tag to out; out == plain is allowed. */
	void (*seal)(struct aead_state *st, uint64_t counter, const uint8_t header[16],
		const uint8_t *plain, size_t len, uint8_t *out);
	/* in: len + 16 bytes; writes len plain bytes to out (out == in allowed). False: tag wrong,
	 * out is unspecified. */
	bool (*open)(struct aead_state *st, uint64_t counter, const uint8_t header[16],
		const uint8_t *in, size_t len, uint8_t *out);
	void (*fini)(struct aead_state *st); /* wipes and frees */
};

/* Which backends this process may use. Filled once by the edge (core/aead_os.c: dlopen, CPU
 * features), then immutable and shared by all nodes. A NULL entry: the suite is neither offered nor
 * chosen. Not both are NULL. */
struct aead_table {
	const struct aead *chacha20_poly1305; /* NULL only when aes-256-gcm is forced */
	const struct aead *aes_256_gcm; /* NULL without AES in hardware, or when ChaCha is forced */
};

static inline void aead_nonce(uint8_t out[AEAD_NONCE_LEN], uint64_t counter)
{
	store_le32(out, 0);
	store_le64(out + 4, counter);
}

/* The backend for a suite, or NULL. */
const struct aead *aead_find(const struct aead_table *t, enum suite suite);
/* Bit set of suites to offer in HS1. */
uint8_t aead_offer(const struct aead_table *t);
/* What a responder takes: AES-256-GCM if both have it, else ChaCha20-Poly1305; 0 if nothing is
 * common. */
uint8_t aead_choose(const struct aead_table *t, uint8_t offered);

/* libsodium's two, always linked. The GCM one is only for a CPU with AES-NI and CLMUL
 * (crypto_aead_aes256gcm_is_available after sodium_init). */
extern const struct aead aead_sodium_chacha20_poly1305;
extern const struct aead aead_sodium_aes_256_gcm;
