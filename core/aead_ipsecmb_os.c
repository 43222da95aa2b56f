/* intel-ipsec-mb: the fastest AES-GCM there is on x86-64 (VAES and AVX-512 where the CPU has them,
 * Intel or not). Loaded at run time: few machines have it, and nothing but speed depends on it. Its
 * header is needed to build; without it this file has no backend.
 *
 * The library is a table of functions chosen for the CPU, in a manager. Only the multi-buffer job
 * queue of a manager is mutable and we do not use that, so one manager serves the process. The
 * position of a function in the manager is part of the ABI and only grows: a library older than our
 * header is refused. */
#include "core/aead_os.h"

#if defined(__x86_64__) && __has_include(<intel-ipsec-mb.h>)

#include <dlfcn.h>
#include <intel-ipsec-mb.h>
#include <sodium.h>

static_assert(sizeof(struct gcm_key_data) <= AEAD_STATE_LEN, "room for the expanded key");
static_assert(AEAD_KEY_LEN + sizeof(struct chacha20_poly1305_context_data) <= AEAD_STATE_LEN,
	"room for key and context");

static IMB_MGR *manager;

static struct gcm_key_data *gcm_key(struct aead_state *st)
{
	return (struct gcm_key_data *)(void *)st->bytes;
}

static bool gcm_init(struct aead_state *st, const uint8_t key[AEAD_KEY_LEN])
{
	IMB_AES256_GCM_PRE(manager, key, gcm_key(st));
	return true;
}

static void gcm_seal(struct aead_state *st, uint64_t counter, const uint8_t header[16],
	const uint8_t *plain, size_t len, uint8_t *out)
{
	struct gcm_context_data context;
	uint8_t nonce[AEAD_NONCE_LEN];
	aead_nonce(nonce, counter);
	IMB_AES256_GCM_ENC(manager, gcm_key(st), &context, out, plain, len, nonce, header, 16,
		out + len, AEAD_TAG_LEN);
	sodium_memzero(&context, sizeof(context)); /* holds unused key stream */
}

static bool gcm_open(struct aead_state *st, uint64_t counter, const uint8_t header[16],
	const uint8_t *in, size_t len, uint8_t *out)
{
	struct gcm_context_data context;
	uint8_t nonce[AEAD_NONCE_LEN], tag[AEAD_TAG_LEN];
	aead_nonce(nonce, counter);
	IMB_AES256_GCM_DEC(
		manager, gcm_key(st), &context, out, in, len, nonce, header, 16, tag, AEAD_TAG_LEN);
	sodium_memzero(&context, sizeof(context));
	bool good = crypto_verify_16(tag, in + len) == 0;
	sodium_memzero(tag, sizeof(tag)); /* the right tag of a forgery is a secret */
	return good;
}

struct chacha_state {
	uint8_t key[AEAD_KEY_LEN];
	struct chacha20_poly1305_context_data context; /* scratch; holds the Poly1305 key */
};

static struct chacha_state *chacha(struct aead_state *st)
{
	return (struct chacha_state *)(void *)st->bytes;
}

static bool chacha_init(struct aead_state *st, const uint8_t key[AEAD_KEY_LEN])
{
	memcpy(chacha(st)->key, key, AEAD_KEY_LEN);
	return true;
}

static void chacha_seal(struct aead_state *st, uint64_t counter, const uint8_t header[16],
	const uint8_t *plain, size_t len, uint8_t *out)
{
	struct chacha_state *c = chacha(st);
	uint8_t nonce[AEAD_NONCE_LEN];
	aead_nonce(nonce, counter);
	IMB_CHACHA20_POLY1305_INIT(manager, c->key, &c->context, nonce, header, 16);
	IMB_CHACHA20_POLY1305_ENC_UPDATE(manager, c->key, &c->context, out, plain, len);
	IMB_CHACHA20_POLY1305_ENC_FINALIZE(manager, &c->context, out + len, AEAD_TAG_LEN);
}

static bool chacha_open(struct aead_state *st, uint64_t counter, const uint8_t header[16],
	const uint8_t *in, size_t len, uint8_t *out)
{
	struct chacha_state *c = chacha(st);
	uint8_t nonce[AEAD_NONCE_LEN], tag[AEAD_TAG_LEN], sent[AEAD_TAG_LEN];
	aead_nonce(nonce, counter);
	memcpy(sent, in + len, sizeof(sent));
	IMB_CHACHA20_POLY1305_INIT(manager, c->key, &c->context, nonce, header, 16);
	IMB_CHACHA20_POLY1305_DEC_UPDATE(manager, c->key, &c->context, out, in, len);
	IMB_CHACHA20_POLY1305_DEC_FINALIZE(manager, &c->context, tag, AEAD_TAG_LEN);
	bool good = crypto_verify_16(tag, sent) == 0;
	sodium_memzero(tag, sizeof(tag));
	return good;
}

static void ipsecmb_fini(struct aead_state *st)
{
	sodium_memzero(st, sizeof(*st));
}

static const struct aead ipsecmb_chacha20_poly1305 = {
	.backend = "ipsec-mb",
	.cipher = "chacha20-poly1305",
	.suite = SUITE_CHACHA20_POLY1305,
	.init = chacha_init,
	.seal = chacha_seal,
	.open = chacha_open,
	.fini = ipsecmb_fini,
};

static const struct aead ipsecmb_aes_256_gcm = {
	.backend = "ipsec-mb",
	.cipher = "aes-256-gcm",
	.suite = SUITE_AES_256_GCM,
	.init = gcm_init,
	.seal = gcm_seal,
	.open = gcm_open,
	.fini = ipsecmb_fini,
};

/* POSIX lets dlsym return functions, ISO C has no cast for it. */
#define SYMBOL(library, name, pointer)                       \
	do {                                                 \
		void *found_ = dlsym((library), (name));     \
		memcpy(&(pointer), &found_, sizeof(found_)); \
	} while (0)

static IMB_MGR *make_manager(void *library)
{
	unsigned (*get_version)(void);
	IMB_MGR *(*alloc)(uint64_t flags);
	void (*init_auto)(IMB_MGR * state, IMB_ARCH * arch);
	IMB_ARCH arch;
	SYMBOL(library, "imb_get_version", get_version);
	SYMBOL(library, "alloc_mb_mgr", alloc);
	SYMBOL(library, "init_mb_mgr_auto", init_auto);
	if (!get_version || !alloc || !init_auto || get_version() < IMB_VERSION_NUM)
		return NULL;
	IMB_MGR *m = alloc(0);
	if (m)
		init_auto(m, &arch);
	return m;
}

/* Once per process; the library is never unloaded. */
static IMB_MGR *find_manager(void)
{
	static bool tried;
	if (tried)
		return manager;
	tried = true;
	void *library = dlopen("libIPSec_MB.so.1", RTLD_NOW | RTLD_LOCAL);
	if (library)
		manager = make_manager(library);
	return manager;
}

/* Without AES-NI the library emulates it, far slower than anything else we have. */
const struct aead *aead_ipsecmb(enum suite suite)
{
	if (!aead_cpu_has_aes() || !find_manager())
		return NULL;
	return suite == SUITE_AES_256_GCM ? &ipsecmb_aes_256_gcm : &ipsecmb_chacha20_poly1305;
}

#else

const struct aead *aead_ipsecmb(enum suite suite)
{
	(void)suite;
	return NULL;
}

#endif
