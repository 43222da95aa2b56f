/* The Noise Protocol Framework, revision 34, read as an interpreter: a pattern is a list of tokens
 * for each message, and writing or reading a message walks that list (section 5.3). The variable
 * names are those of the specification where it has one: ck, h, k, n are chaining_key, hash, key,
 * nonce; s, e, rs, re the key pairs.
 *
 * Deviation: a DH that gives all zeros aborts (section 12.1 allows both; WireGuard does so too).
 * Nonces: 32 zero bits, then 64 bits little endian (section 12.3). */
#include "core/noise.h"

#include "core/bytes.h"

#include <sodium.h>

#define HASH_BLOCK 128 /* BLOCKLEN of BLAKE2b, section 12.8 */

/* clang-format off */
const struct noise_pattern noise_IKpsk2 = {
	.name = "Noise_IKpsk2_25519_ChaChaPoly_BLAKE2b", .responder_premessage = true,
	.has_psk = true, .messages = 2,
	.tokens = { { NOISE_E, NOISE_ES, NOISE_S, NOISE_SS }, { NOISE_E, NOISE_EE, NOISE_SE, NOISE_PSK } },
};
const struct noise_pattern noise_IK = {
	.name = "Noise_IK_25519_ChaChaPoly_BLAKE2b", .responder_premessage = true, .messages = 2,
	.tokens = { { NOISE_E, NOISE_ES, NOISE_S, NOISE_SS }, { NOISE_E, NOISE_EE, NOISE_SE } },
};
const struct noise_pattern noise_N = {
	.name = "Noise_N_25519_ChaChaPoly_BLAKE2b", .responder_premessage = true, .messages = 1,
	.tokens = { { NOISE_E, NOISE_ES } },
};
const struct noise_pattern noise_X = {
	.name = "Noise_X_25519_ChaChaPoly_BLAKE2b", .responder_premessage = true, .messages = 1,
	.tokens = { { NOISE_E, NOISE_ES, NOISE_S, NOISE_SS } },
};
const struct noise_pattern noise_Xpsk1 = {
	.name = "Noise_Xpsk1_25519_ChaChaPoly_BLAKE2b", .responder_premessage = true,
	.has_psk = true, .messages = 1,
	.tokens = { { NOISE_E, NOISE_ES, NOISE_S, NOISE_SS, NOISE_PSK } },
};
/* clang-format on */

/* HMAC (RFC 2104) over the concatenation of two inputs; the key is at most one block. */
static void hmac(uint8_t out[NOISE_HASH_LEN], const uint8_t key[NOISE_HASH_LEN], const uint8_t *a,
	size_t a_len, uint8_t b)
{
	crypto_generichash_blake2b_state st;
	uint8_t pad[HASH_BLOCK] = { 0 }, inner[NOISE_HASH_LEN];
	memcpy(pad, key, NOISE_HASH_LEN);
	for (size_t i = 0; i < sizeof(pad); i++)
		pad[i] ^= 0x36;
	crypto_generichash_blake2b_init(&st, NULL, 0, NOISE_HASH_LEN);
	crypto_generichash_blake2b_update(&st, pad, sizeof(pad));
	crypto_generichash_blake2b_update(&st, a, a_len);
	crypto_generichash_blake2b_update(&st, &b, b ? 1 : 0);
	crypto_generichash_blake2b_final(&st, inner, sizeof(inner));

	for (size_t i = 0; i < sizeof(pad); i++)
		pad[i] ^= 0x36 ^ 0x5c;
	crypto_generichash_blake2b_init(&st, NULL, 0, NOISE_HASH_LEN);
	crypto_generichash_blake2b_update(&st, pad, sizeof(pad));
	crypto_generichash_blake2b_update(&st, inner, sizeof(inner));
	crypto_generichash_blake2b_final(&st, out, NOISE_HASH_LEN);
	sodium_memzero(&st, sizeof(st));
	sodium_memzero(pad, sizeof(pad));
	sodium_memzero(inner, sizeof(inner));
}

/* HKDF of section 4.3: `count` (2 or 3) outputs of 64 bytes. Output i is HMAC(temp, output i-1 ||
 * i), i being one byte, 0 standing for "none" in hmac(). */
static void hkdf(uint8_t out[][NOISE_HASH_LEN], uint8_t count,
	const uint8_t chaining_key[NOISE_HASH_LEN], const uint8_t *input, size_t len)
{
	uint8_t temp[NOISE_HASH_LEN];
	hmac(temp, chaining_key, input, len, 0);
	hmac(out[0], temp, NULL, 0, 1);
	for (uint8_t i = 1; i < count; i++)
		hmac(out[i], temp, out[i - 1], NOISE_HASH_LEN, (uint8_t)(i + 1));
	sodium_memzero(temp, sizeof(temp));
}

static void mix_hash(struct noise *n, const void *data, size_t len)
{
	crypto_generichash_blake2b_state st;
	crypto_generichash_blake2b_init(&st, NULL, 0, NOISE_HASH_LEN);
	crypto_generichash_blake2b_update(&st, n->hash, NOISE_HASH_LEN);
	crypto_generichash_blake2b_update(&st, data, len);
	crypto_generichash_blake2b_final(&st, n->hash, NOISE_HASH_LEN);
}

static void set_key(struct noise *n, const uint8_t key[NOISE_HASH_LEN])
{
	memcpy(n->key, key, NOISE_KEY_LEN);
	n->nonce = 0;
	n->has_key = true;
}

static void mix_key(struct noise *n, const uint8_t input[32])
{
	uint8_t out[2][NOISE_HASH_LEN];
	hkdf(out, 2, n->chaining_key, input, 32);
	memcpy(n->chaining_key, out[0], NOISE_HASH_LEN);
	set_key(n, out[1]);
	sodium_memzero(out, sizeof(out));
}

static void mix_key_and_hash(struct noise *n, const uint8_t input[32])
{
	uint8_t out[3][NOISE_HASH_LEN];
	hkdf(out, 3, n->chaining_key, input, 32);
	memcpy(n->chaining_key, out[0], NOISE_HASH_LEN);
	mix_hash(n, out[1], NOISE_HASH_LEN);
	set_key(n, out[2]);
	sodium_memzero(out, sizeof(out));
}

static void next_nonce(struct noise *n, uint8_t nonce[12])
{
	memset(nonce, 0, 4);
	store_le64(nonce + 4, n->nonce++);
}

/* EncryptAndHash. Returns the length written. */
static size_t encrypt(struct noise *n, const void *data, size_t len, uint8_t *out)
{
	size_t total = len;
	if (n->has_key) {
		uint8_t nonce[12];
		next_nonce(n, nonce);
		crypto_aead_chacha20poly1305_ietf_encrypt(
			out, NULL, data, len, n->hash, NOISE_HASH_LEN, NULL, nonce, n->key);
		total += NOISE_TAG_LEN;
	} else if (len) {
		memmove(out, data, len);
	}
	mix_hash(n, out, total);
	return total;
}

/* DecryptAndHash of exactly len plain bytes. in is left alone: it is hashed after decryption. */
static bool decrypt(struct noise *n, const uint8_t *in, size_t len, void *out)
{
	size_t total = len;
	if (n->has_key) {
		uint8_t nonce[12];
		next_nonce(n, nonce);
		total += NOISE_TAG_LEN;
		if (crypto_aead_chacha20poly1305_ietf_decrypt(
			    out, NULL, NULL, in, total, n->hash, NOISE_HASH_LEN, nonce, n->key))
			return false;
	} else if (len) {
		memcpy(out, in, len);
	}
	mix_hash(n, in, total);
	return true;
}

/* False: the result is all zeros (crypto_scalarmult refuses it). */
static bool mix_dh(struct noise *n, const uint8_t secret[32], const uint8_t remote[32])
{
	uint8_t shared[32];
	bool good = crypto_scalarmult_curve25519(shared, secret, remote) == 0;
	if (good)
		mix_key(n, shared);
	sodium_memzero(shared, sizeof(shared));
	return good;
}

/* DH(s, rs), which is the same in every handshake of two peers. */
static bool mix_static(struct noise *n)
{
	if (!n->has_ss && n->known && n->known->has_ss) {
		memcpy(n->ss, n->known->ss, 32);
		n->has_ss = true;
	}
	if (!n->has_ss)
		n->has_ss = crypto_scalarmult_curve25519(n->ss, n->s_secret, n->s_remote) == 0;
	if (n->has_ss)
		mix_key(n, n->ss);
	return n->has_ss;
}

static const struct noise_known *find_known(const struct noise *n)
{
	const struct noise_known *k =
		n->known_keys ? table_find(n->known_keys, load_le64(n->s_remote)) : NULL;
	return k && sodium_memcmp(k->s_public, n->s_remote, 32) == 0 ? k : NULL;
}

/* The tokens that both sides execute alike (sections 5.3 and 9.2). */
static bool mix_token(struct noise *n, enum noise_token token)
{
	switch (token) {
	case NOISE_EE: return mix_dh(n, n->e_secret, n->e_remote);
	case NOISE_ES:
		return n->initiator ? mix_dh(n, n->e_secret, n->s_remote)
				    : mix_dh(n, n->s_secret, n->e_remote);
	case NOISE_SE:
		return n->initiator ? mix_dh(n, n->s_secret, n->e_remote)
				    : mix_dh(n, n->e_secret, n->s_remote);
	case NOISE_SS: return mix_static(n);
	case NOISE_PSK: mix_key_and_hash(n, n->psk); return true;
	case NOISE_E:
	case NOISE_S:
	case NOISE_END: break;
	}
	assert(false); /* e and s differ between writer and reader; END ends the loop */
	return false;
}

static void mix_ephemeral(struct noise *n, const uint8_t e_public[32])
{
	mix_hash(n, e_public, 32);
	if (n->pattern->has_psk)
		mix_key(n, e_public);
}

static void copy_key(uint8_t out[32], const uint8_t *key)
{
	if (key)
		memcpy(out, key, 32);
}

void noise_init(struct noise *n, const struct noise_config *cfg)
{
	const struct noise_pattern *p = cfg->pattern;
	size_t name_len = strlen(p->name);
	assert(name_len <= NOISE_HASH_LEN);
	memset(n, 0, sizeof(*n));
	n->pattern = p;
	n->initiator = cfg->initiator;
	copy_key(n->s_secret, cfg->s_secret);
	copy_key(n->s_public, cfg->s_public);
	copy_key(n->s_remote, cfg->s_remote);
	copy_key(n->psk, cfg->psk);
	copy_key(n->ss, cfg->ss);
	n->has_ss = cfg->ss != NULL;
	n->known_keys = cfg->known_keys;

	memcpy(n->hash, p->name, name_len);
	memcpy(n->chaining_key, n->hash, NOISE_HASH_LEN);
	mix_hash(n, cfg->prologue, cfg->prologue_len);
	if (p->initiator_premessage)
		mix_hash(n, n->initiator ? n->s_public : n->s_remote, 32);
	if (p->responder_premessage)
		mix_hash(n, n->initiator ? n->s_remote : n->s_public, 32);
}

void noise_set_psk(struct noise *n, const uint8_t psk[32])
{
	copy_key(n->psk, psk);
}

size_t noise_overhead(const struct noise *n)
{
	assert(!noise_finished(n));
	size_t total = 0;
	bool has_key = n->has_key;
	for (const uint8_t *t = n->pattern->tokens[n->message]; *t != NOISE_END; t++) {
		if (*t == NOISE_E)
			total += 32;
		else if (*t == NOISE_S)
			total += 32u + (has_key ? NOISE_TAG_LEN : 0u);
		has_key = has_key || (*t == NOISE_E ? n->pattern->has_psk : *t != NOISE_S);
	}
	return total + (has_key ? NOISE_TAG_LEN : 0u);
}

/* Message 0 is the initiator's, 1 the responder's, and so on in turn. */
static bool is_our_turn(const struct noise *n)
{
	return !noise_finished(n) && (n->message % 2 == 0) == n->initiator;
}

int noise_write(
	struct noise *n, const uint8_t e_secret[32], const void *payload, size_t len, uint8_t *out)
{
	assert(is_our_turn(n));
	uint8_t *next = out;
	for (const uint8_t *t = n->pattern->tokens[n->message]; *t != NOISE_END; t++) {
		if (*t == NOISE_E) {
			memcpy(n->e_secret, e_secret, 32);
			crypto_scalarmult_curve25519_base(n->e_public, n->e_secret);
			memcpy(next, n->e_public, 32);
			next += 32;
			mix_ephemeral(n, n->e_public);
		} else if (*t == NOISE_S) {
			next += encrypt(n, n->s_public, 32, next);
		} else if (!mix_token(n, (enum noise_token) * t)) {
			return OV_EAUTH;
		}
	}
	next += encrypt(n, payload, len, next);
	n->message++;
	return (int)(next - out);
}

int noise_read(struct noise *n, const uint8_t *in, size_t len, void *payload_out)
{
	assert(!noise_finished(n) && !is_our_turn(n));
	size_t overhead = noise_overhead(n);
	if (len < overhead)
		return OV_EFORMAT;
	const uint8_t *next = in;
	for (const uint8_t *t = n->pattern->tokens[n->message]; *t != NOISE_END; t++) {
		if (*t == NOISE_E) {
			memcpy(n->e_remote, next, 32);
			next += 32;
			mix_ephemeral(n, n->e_remote);
		} else if (*t == NOISE_S) {
			size_t tag = n->has_key ? NOISE_TAG_LEN : 0;
			if (!decrypt(n, next, 32, n->s_remote))
				return OV_EAUTH;
			n->known = find_known(n);
			next += 32 + tag;
		} else if (!mix_token(n, (enum noise_token) * t)) {
			return OV_EAUTH;
		}
	}
	if (!decrypt(n, next, len - overhead, payload_out))
		return OV_EAUTH;
	n->message++;
	return (int)(len - overhead);
}

bool noise_finished(const struct noise *n)
{
	return n->message == n->pattern->messages;
}

void noise_split(const struct noise *n, uint8_t send[32], uint8_t receive[32])
{
	assert(noise_finished(n));
	uint8_t out[2][NOISE_HASH_LEN];
	hkdf(out, 2, n->chaining_key, NULL, 0);
	memcpy(send, out[n->initiator ? 0 : 1], 32);
	memcpy(receive, out[n->initiator ? 1 : 0], 32);
	sodium_memzero(out, sizeof(out));
}

void noise_wipe(struct noise *n)
{
	sodium_memzero(n, sizeof(*n));
}
