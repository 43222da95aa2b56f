/* The key's digest rides in the last bytes of aead_state, which libsodium's states (32 and 512
 * bytes) leave free. A collision of 64-bit digests among the few million sealings of a run has a
 * probability below 1e-6 and would be reported, not hidden. */
#include "tests/sim/nonce.h"

#include "tests/sim/digest.h"

#include <sodium.h>
#include <stdio.h>
#include <sys/random.h>
#include <sys/time.h>
#include <time.h>

static struct nonce_book *open_book;
static bool in_bulk; /* inside a recording backend: libsodium's own function is not news */

void nonce_book_init(struct nonce_book *b)
{
	*b = (struct nonce_book){ 0 };
	book_init(&b->book, sizeof(uint64_t));
}

void nonce_book_fini(struct nonce_book *b)
{
	book_fini(&b->book);
	if (open_book == b)
		open_book = NULL;
}

static void record(const char *cipher, uint64_t key_nonce, uint64_t content)
{
	struct nonce_book *b = open_book;
	if (!b)
		return;
	b->sealings++;
	uint64_t *seen = book_at(&b->book, key_nonce);
	content = content ? content : 1;
	if (*seen == content)
		b->repeats++;
	if (*seen != 0 && *seen != content && !b->broken) {
		b->broken = true;
		snprintf(b->what, sizeof(b->what),
			"%s sealed two plaintexts under one key and nonce", cipher);
	}
	*seen = content;
}

/* ---- bulk: a table of recorders ---- */

#define STAMP (AEAD_STATE_LEN - 8)

static bool init_with(const struct aead *a, struct aead_state *st, const uint8_t *key)
{
	if (!a->init(st, key))
		return false;
	store_le64(st->bytes + STAMP, digest_bytes(1, key, AEAD_KEY_LEN));
	return true;
}

static void record_bulk(const struct aead *a, const struct aead_state *st, uint64_t counter,
	const uint8_t *header, const struct rd *plain)
{
	uint64_t key_nonce = digest_mix(load_le64(st->bytes + STAMP), counter);
	uint64_t content = digest_bytes(digest_bytes(2, header, 16), plain->next, rd_left(plain));
	record(a->cipher, key_nonce, content);
}

#define RECORDER(name, base, text)                                                                 \
	static bool name##_init(struct aead_state *st, const uint8_t key[AEAD_KEY_LEN])            \
	{                                                                                          \
		return init_with(&base, st, key);                                                  \
	}                                                                                          \
	static void name##_seal(struct aead_state *st, uint64_t counter, const uint8_t header[16], \
		const uint8_t *plain, size_t len, uint8_t *out)                                    \
	{                                                                                          \
		struct rd r = rd_init(plain, len);                                                 \
		record_bulk(&base, st, counter, header, &r);                                       \
		in_bulk = true;                                                                    \
		base.seal(st, counter, header, plain, len, out);                                   \
		in_bulk = false;                                                                   \
	}                                                                                          \
	static bool name##_open(struct aead_state *st, uint64_t counter, const uint8_t header[16], \
		const uint8_t *in, size_t len, uint8_t *out)                                       \
	{                                                                                          \
		return base.open(st, counter, header, in, len, out);                               \
	}                                                                                          \
	static void name##_fini(struct aead_state *st)                                             \
	{                                                                                          \
		base.fini(st);                                                                     \
	}                                                                                          \
	static const struct aead name = { .backend = "sim",                                        \
		.cipher = text,                                                                    \
		.init = name##_init,                                                               \
		.seal = name##_seal,                                                               \
		.open = name##_open,                                                               \
		.fini = name##_fini }

RECORDER(chacha, aead_sodium_chacha20_poly1305, "chacha20-poly1305");
RECORDER(gcm, aead_sodium_aes_256_gcm, "aes-256-gcm");

struct aead_table nonce_aead_table(bool aes)
{
	static struct aead chacha_named, gcm_named;
	chacha_named = chacha;
	chacha_named.suite = SUITE_CHACHA20_POLY1305;
	gcm_named = gcm;
	gcm_named.suite = SUITE_AES_256_GCM;
	return (struct aead_table){
		.chacha20_poly1305 = &chacha_named,
		.aes_256_gcm = aes && crypto_aead_aes256gcm_is_available() ? &gcm_named : NULL,
	};
}

/* ---- handshakes: the linker's wraps ---- */

static void record_call(
	const char *cipher, const unsigned char *key, uint64_t nonce_hash, uint64_t content)
{
	if (!in_bulk)
		record(cipher, digest_mix(digest_bytes(1, key, 32), nonce_hash), content);
}

#define CONTENT digest_bytes(digest_bytes(2, ad, (size_t)adlen), m, (size_t)mlen)

#define WRAP(cipher, nonce_len)                                                                  \
	int __real_crypto_aead_##cipher##_encrypt(unsigned char *c, unsigned long long *clen,    \
		const unsigned char *m, unsigned long long mlen, const unsigned char *ad,        \
		unsigned long long adlen, const unsigned char *nsec, const unsigned char *npub,  \
		const unsigned char *k);                                                         \
	int __wrap_crypto_aead_##cipher##_encrypt(unsigned char *c, unsigned long long *clen,    \
		const unsigned char *m, unsigned long long mlen, const unsigned char *ad,        \
		unsigned long long adlen, const unsigned char *nsec, const unsigned char *npub,  \
		const unsigned char *k);                                                         \
	int __wrap_crypto_aead_##cipher##_encrypt(unsigned char *c, unsigned long long *clen,    \
		const unsigned char *m, unsigned long long mlen, const unsigned char *ad,        \
		unsigned long long adlen, const unsigned char *nsec, const unsigned char *npub,  \
		const unsigned char *k)                                                          \
	{                                                                                        \
		record_call(#cipher, k, digest_bytes(3, npub, nonce_len), CONTENT);              \
		return __real_crypto_aead_##cipher##_encrypt(                                    \
			c, clen, m, mlen, ad, adlen, nsec, npub, k);                             \
	}                                                                                        \
	int __real_crypto_aead_##cipher##_encrypt_detached(unsigned char *c, unsigned char *mac, \
		unsigned long long *maclen, const unsigned char *m, unsigned long long mlen,     \
		const unsigned char *ad, unsigned long long adlen, const unsigned char *nsec,    \
		const unsigned char *npub, const unsigned char *k);                              \
	int __wrap_crypto_aead_##cipher##_encrypt_detached(unsigned char *c, unsigned char *mac, \
		unsigned long long *maclen, const unsigned char *m, unsigned long long mlen,     \
		const unsigned char *ad, unsigned long long adlen, const unsigned char *nsec,    \
		const unsigned char *npub, const unsigned char *k);                              \
	int __wrap_crypto_aead_##cipher##_encrypt_detached(unsigned char *c, unsigned char *mac, \
		unsigned long long *maclen, const unsigned char *m, unsigned long long mlen,     \
		const unsigned char *ad, unsigned long long adlen, const unsigned char *nsec,    \
		const unsigned char *npub, const unsigned char *k)                               \
	{                                                                                        \
		record_call(#cipher, k, digest_bytes(3, npub, nonce_len), CONTENT);              \
		return __real_crypto_aead_##cipher##_encrypt_detached(                           \
			c, mac, maclen, m, mlen, ad, adlen, nsec, npub, k);                      \
	}

/* NOLINTNEXTLINE(readability-function-size): libsodium's parameters, the linker asks for them */
WRAP(chacha20poly1305_ietf, 12)
/* NOLINTNEXTLINE(readability-function-size): as above */
WRAP(xchacha20poly1305_ietf, 24)

/* ---- what pure code must not call ---- */

static unsigned impurities;
static const char *impure;
static int64_t wall_offset;

void nonce_wall_jump(int64_t seconds)
{
	wall_offset += seconds;
}

unsigned nonce_impurities(const char **what)
{
	*what = impure;
	return impurities;
}

void nonce_book_open(struct nonce_book *b)
{
	open_book = b;
	if (!b)
		return;
	impurities = 0;
	wall_offset = 0;
}

static void note_impurity(const char *what)
{
	if (open_book) { /* outside of a run the simulator itself may look at the clock */
		impurities++;
		impure = what;
	}
}

time_t __real_time(time_t *out);
time_t __wrap_time(time_t *out);
time_t __wrap_time(time_t *out)
{
	note_impurity("time");
	time_t t = __real_time(NULL) + (open_book ? wall_offset : 0);
	if (out)
		*out = t;
	return t;
}

int __real_clock_gettime(clockid_t id, struct timespec *out);
int __wrap_clock_gettime(clockid_t id, struct timespec *out);
int __wrap_clock_gettime(clockid_t id, struct timespec *out)
{
	note_impurity("clock_gettime");
	int err = __real_clock_gettime(id, out);
	if (open_book && err == 0 && id == CLOCK_REALTIME)
		out->tv_sec += wall_offset;
	return err;
}

int __real_gettimeofday(struct timeval *out, void *zone);
int __wrap_gettimeofday(struct timeval *out, void *zone);
int __wrap_gettimeofday(struct timeval *out, void *zone)
{
	note_impurity("gettimeofday");
	int err = __real_gettimeofday(out, zone);
	if (open_book && err == 0)
		out->tv_sec += wall_offset;
	return err;
}

void __real_randombytes_buf(void *out, size_t len);
void __wrap_randombytes_buf(void *out, size_t len);
void __wrap_randombytes_buf(void *out, size_t len)
{
	note_impurity("randombytes_buf");
	__real_randombytes_buf(out, len);
}

ssize_t __real_getrandom(void *out, size_t len, unsigned flags);
ssize_t __wrap_getrandom(void *out, size_t len, unsigned flags);
ssize_t __wrap_getrandom(void *out, size_t len, unsigned flags)
{
	note_impurity("getrandom");
	return __real_getrandom(out, len, flags);
}
