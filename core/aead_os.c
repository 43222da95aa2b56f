/* What this machine can do, and what the owner wants of it. limits.md 1 has the figures behind the
 * order of preference: for 1400 bytes of AES-256-GCM ipsec-mb is 3 times as fast as OpenSSL 3.0,
 * which is 1.7 times as fast as libsodium; for ChaCha20-Poly1305 the order is the same. */
#include "core/aead_os.h"

#include <sodium.h>
#include <stdio.h>
#include <string.h>
#if defined(__aarch64__)
#include <asm/hwcap.h>
#include <sys/auxv.h>
#endif

bool aead_cpu_has_aes(void)
{
#if defined(__x86_64__) || defined(__i386__)
	return __builtin_cpu_supports("aes") && __builtin_cpu_supports("pclmul");
#elif defined(__aarch64__)
	unsigned long has = getauxval(AT_HWCAP);
	return (has & HWCAP_AES) && (has & HWCAP_PMULL);
#else
	return false;
#endif
}

static const struct aead *sodium_backend(enum suite suite)
{
	if (suite == SUITE_CHACHA20_POLY1305)
		return &aead_sodium_chacha20_poly1305;
	return crypto_aead_aes256gcm_is_available() ? &aead_sodium_aes_256_gcm : NULL;
}

/* Fastest first. */
static const struct {
	const char *name;
	const struct aead *(*get)(enum suite suite);
	const char *hint; /* what to do when it is missing */
} backends[] = {
	{ "ipsec-mb", aead_ipsecmb, "install libipsec-mb1 (x86-64 with AES only)" },
	{ "openssl", aead_openssl, "its libcrypto lacks the cipher, or the CPU lacks AES" },
	{ "sodium", sodium_backend, "the CPU lacks AES" },
};
#define BACKENDS (sizeof(backends) / sizeof(backends[0]))

static const struct {
	const char *name;
	enum suite suite;
} ciphers[] = {
	{ "chacha20-poly1305", SUITE_CHACHA20_POLY1305 },
	{ "aes-256-gcm", SUITE_AES_256_GCM },
};
#define CIPHERS (sizeof(ciphers) / sizeof(ciphers[0]))

struct choice {
	size_t first, end; /* range of backends[] */
	enum suite suite;  /* valid when has_suite */
	bool has_suite;
};

static bool is_word(const char *word, const char *text, size_t len)
{
	return strlen(word) == len && memcmp(word, text, len) == 0;
}

static bool choose_backend(struct choice *c, const char *text, size_t len)
{
	for (size_t i = 0; i < BACKENDS; i++) {
		if (is_word(backends[i].name, text, len)) {
			c->first = i;
			c->end = i + 1;
			return true;
		}
	}
	return false;
}

static bool choose_cipher(struct choice *c, const char *text, size_t len)
{
	for (size_t i = 0; i < CIPHERS; i++) {
		if (is_word(ciphers[i].name, text, len)) {
			c->suite = ciphers[i].suite;
			c->has_suite = true;
			return true;
		}
	}
	return false;
}

static bool parse(struct choice *c, const char *force)
{
	*c = (struct choice){ .end = BACKENDS };
	if (!force || strcmp(force, "auto") == 0)
		return true;
	size_t len = strlen(force);
	const char *colon = strchr(force, ':');
	if (colon)
		return choose_backend(c, force, (size_t)(colon - force)) &&
		       choose_cipher(c, colon + 1, strlen(colon + 1));
	return choose_backend(c, force, len) || choose_cipher(c, force, len);
}

static const struct aead *first_usable(const struct choice *c, enum suite suite)
{
	const struct aead *found = NULL;
	if (c->has_suite && c->suite != suite)
		return NULL;
	for (size_t i = c->first; i < c->end && !found; i++)
		found = backends[i].get(suite);
	return found;
}

static int fail(int err, char *why, size_t size, const char *force, const char *text)
{
	if (size)
		snprintf(why, size, "aead %s: %s", force, text);
	return err;
}

int aead_load(struct aead_table *out, const char *force, char *why, size_t size)
{
	struct choice c;
	if (sodium_init() < 0)
		return fail(OV_ENOENT, why, size, "sodium", "libsodium does not start");
	if (!parse(&c, force))
		return fail(OV_EINVAL, why, size, force,
			"unknown; use auto, ipsec-mb, openssl or sodium, chacha20-poly1305 or "
			"aes-256-gcm, or BACKEND:CIPHER");
	struct aead_table t = {
		.chacha20_poly1305 = first_usable(&c, SUITE_CHACHA20_POLY1305),
		.aes_256_gcm = first_usable(&c, SUITE_AES_256_GCM),
	};
	if (aead_offer(&t) == 0)
		return fail(OV_ENOENT, why, size, force, backends[c.end - 1].hint);
	*out = t;
	return OV_OK;
}

size_t aead_each(const struct aead **out, size_t max)
{
	size_t count = 0;
	if (sodium_init() < 0)
		return 0;
	for (size_t i = 0; i < BACKENDS * CIPHERS; i++) {
		const struct aead *a = backends[i / CIPHERS].get(ciphers[i % CIPHERS].suite);
		if (a && count < max)
			out[count++] = a;
	}
	return count;
}
