/* The interpreter against the vectors of two other implementations, both roles, and its own
 * refusals. */
#include "core/noise.h"

#include "core/bytes.h"
#include "tests/unit/json_vectors.h"

#define VECTORS "tests/vectors/noise.json"

/* clang-format off */
static const struct noise_pattern noise_XX = {
	.name = "Noise_XX_25519_ChaChaPoly_BLAKE2b", .messages = 3,
	.tokens = { { NOISE_E }, { NOISE_E, NOISE_EE, NOISE_S, NOISE_ES }, { NOISE_S, NOISE_SE } },
};
static const struct noise_pattern noise_NNpsk0 = {
	.name = "Noise_NNpsk0_25519_ChaChaPoly_BLAKE2b", .has_psk = true, .messages = 2,
	.tokens = { { NOISE_PSK, NOISE_E }, { NOISE_E, NOISE_EE } },
};
/* clang-format on */

static const struct noise_pattern *const patterns[] = {
	&noise_IKpsk2,
	&noise_IK,
	&noise_N,
	&noise_X,
	&noise_Xpsk1,
	&noise_XX,
	&noise_NNpsk0,
};

struct side {
	struct noise noise;
	uint8_t s_secret[32], s_public[32], s_remote[32], e_secret[32], psk[32];
	uint8_t prologue[64];
	uint8_t send[32], receive[32];
	uint64_t sent, received;
};

static const struct noise_pattern *find_pattern(const char *name)
{
	for (size_t i = 0; i < sizeof(patterns) / sizeof(patterns[0]); i++)
		if (strcmp(patterns[i]->name, name) == 0)
			return patterns[i];
	fail_msg("no pattern for %s", name);
	abort(); /* fail_msg leaves by longjmp, but does not say so to the compiler */
}

static bool optional(const json_t *v, const char *role, const char *key, uint8_t out[32])
{
	char full[64];
	snprintf(full, sizeof(full), "%s_%s", role, key);
	if (!json_object_get(v, full))
		return false;
	vec_bytes(v, full, out, 32);
	return true;
}

static void side_init(
	struct side *s, const struct noise_pattern *p, const json_t *v, bool initiator)
{
	const char *role = initiator ? "init" : "resp";
	char key[64];
	memset(s, 0, sizeof(*s));
	snprintf(key, sizeof(key), "%s_prologue", role);
	size_t prologue_len = vec_hex(v, key, s->prologue, sizeof(s->prologue));
	bool has_static = optional(v, role, "static", s->s_secret);
	bool has_remote = optional(v, role, "remote_static", s->s_remote);
	optional(v, role, "ephemeral", s->e_secret);
	snprintf(key, sizeof(key), "%s_psks", role);
	const char *psk = json_string_value(json_array_get(json_object_get(v, key), 0));
	if (psk)
		assert_int_equal(sodium_hex2bin(s->psk, 32, psk, 64, NULL, NULL, NULL), 0);
	assert_int_equal(p->has_psk, psk != NULL);
	if (has_static)
		crypto_scalarmult_base(s->s_public, s->s_secret);
	struct noise_config cfg = {
		.pattern = p,
		.initiator = initiator,
		.prologue = s->prologue,
		.prologue_len = prologue_len,
		.s_secret = has_static ? s->s_secret : NULL,
		.s_public = has_static ? s->s_public : NULL,
		.s_remote = has_remote ? s->s_remote : NULL,
		.psk = psk ? s->psk : NULL,
	};
	noise_init(&s->noise, &cfg);
}

static void check_handshake_message(struct side *from, struct side *to, const json_t *message)
{
	uint8_t payload[256], expected[512], wire[512], got[256];
	size_t len = vec_hex(message, "payload", payload, sizeof(payload));
	size_t wire_len = vec_hex(message, "ciphertext", expected, sizeof(expected));
	assert_int_equal(noise_overhead(&from->noise), wire_len - len);
	assert_int_equal(noise_overhead(&to->noise), wire_len - len);
	assert_int_equal(noise_write(&from->noise, from->e_secret, payload, len, wire), wire_len);
	assert_memory_equal(wire, expected, wire_len);
	assert_int_equal(noise_read(&to->noise, wire, wire_len, got), len);
	assert_memory_equal(got, payload, len);
	assert_memory_equal(from->noise.hash, to->noise.hash, NOISE_HASH_LEN);
}

static void check_transport_message(struct side *from, struct side *to, const json_t *message)
{
	uint8_t payload[256], expected[512], wire[512], nonce[12] = { 0 };
	size_t len = vec_hex(message, "payload", payload, sizeof(payload));
	size_t wire_len = vec_hex(message, "ciphertext", expected, sizeof(expected));
	store_le64(nonce + 4, from->sent++);
	crypto_aead_chacha20poly1305_ietf_encrypt(
		wire, NULL, payload, len, NULL, 0, NULL, nonce, from->send);
	assert_int_equal(wire_len, len + 16);
	assert_memory_equal(wire, expected, wire_len);
	store_le64(nonce + 4, to->received++);
	assert_int_equal(crypto_aead_chacha20poly1305_ietf_decrypt(
				 wire, NULL, NULL, expected, wire_len, NULL, 0, nonce, to->receive),
		0);
}

static void check_vector(const struct noise_pattern *p, const json_t *v)
{
	struct side a, b;
	size_t i;
	const json_t *message;
	side_init(&a, p, v, true);
	side_init(&b, p, v, false);
	json_array_foreach(json_object_get(v, "messages"), i, message)
	{
		bool from_a = p->messages == 1 || i % 2 == 0;
		struct side *from = from_a ? &a : &b, *to = from_a ? &b : &a;
		if (i < p->messages)
			check_handshake_message(from, to, message);
		else
			check_transport_message(from, to, message);
		if (i + 1 != p->messages)
			continue;
		assert_true(noise_finished(&a.noise) && noise_finished(&b.noise));
		noise_split(&a.noise, a.send, a.receive);
		noise_split(&b.noise, b.send, b.receive);
		if (json_object_get(v, "handshake_hash")) {
			uint8_t hash[NOISE_HASH_LEN];
			vec_bytes(v, "handshake_hash", hash, sizeof(hash));
			assert_memory_equal(a.noise.hash, hash, sizeof(hash));
		}
	}
	assert_true(i > p->messages);
}

static void test_vectors(void **state)
{
	(void)state;
	json_t *root = vec_load(VECTORS), *v;
	size_t i, checked = 0, skipped = 0;
	json_array_foreach(json_object_get(root, "vectors"), i, v)
	{
		const char *name = vec_text(v, "protocol_name");
		if (strstr(name, "AESGCM")) {
			skipped++;
			continue;
		}
		check_vector(find_pattern(name), v);
		checked++;
	}
	json_decref(root);
	assert_int_equal(checked, 11);
	assert_int_equal(skipped, 3);
}

/* Two sides of IKpsk2 with keys 1.., for the refusals. */
static void make_pair(struct side *a, struct side *b)
{
	memset(a, 0, sizeof(*a));
	memset(b, 0, sizeof(*b));
	memset(a->s_secret, 1, 32);
	memset(b->s_secret, 2, 32);
	memset(a->e_secret, 3, 32);
	memset(b->e_secret, 4, 32);
	crypto_scalarmult_base(a->s_public, a->s_secret);
	crypto_scalarmult_base(b->s_public, b->s_secret);
	struct noise_config ca = { .pattern = &noise_IKpsk2,
		.initiator = true,
		.s_secret = a->s_secret,
		.s_public = a->s_public,
		.s_remote = b->s_public };
	struct noise_config cb = {
		.pattern = &noise_IKpsk2, .s_secret = b->s_secret, .s_public = b->s_public
	};
	noise_init(&a->noise, &ca);
	noise_init(&b->noise, &cb);
}

static void test_refuses_flips_and_truncation(void **state)
{
	(void)state;
	struct side a, b;
	uint8_t wire[128], got[128];
	make_pair(&a, &b);
	int len = noise_write(&a.noise, a.e_secret, "hello", 5, wire);
	assert_int_equal(len, 32 + 48 + 16 + 5);
	for (size_t i = 0; i < (size_t)len * 8; i++) {
		struct noise copy = b.noise;
		wire[i / 8] ^= (uint8_t)(1 << i % 8);
		int n = noise_read(&copy, wire, (size_t)len, got);
		/* X25519 ignores the top bit of e, but the hash covers it. */
		assert_int_equal(n, OV_EAUTH);
		wire[i / 8] ^= (uint8_t)(1 << i % 8);
	}
	for (size_t cut = 0; cut < (size_t)len; cut++) {
		struct noise copy = b.noise;
		assert_int_equal(
			noise_read(&copy, wire, cut, got), cut < 96 ? OV_EFORMAT : OV_EAUTH);
	}
	assert_int_equal(noise_read(&b.noise, wire, (size_t)len, got), 5);
}

static void test_refuses_zero_dh(void **state)
{
	(void)state;
	struct side a, b;
	uint8_t wire[128] = { 0 }, got[128];
	make_pair(&a, &b);
	assert_int_equal(noise_read(&b.noise, wire, 101, got), OV_EAUTH); /* e of order 1 */
	make_pair(&a, &b);
	memset(a.noise.s_remote, 0, 32);
	assert_int_equal(noise_write(&a.noise, a.e_secret, NULL, 0, wire), OV_EAUTH);
}

static void test_precomputed_ss_is_equal(void **state)
{
	(void)state;
	struct side a, b;
	uint8_t plainly[128], quick[128];
	make_pair(&a, &b);
	struct noise copy = a.noise;
	assert_int_equal(crypto_scalarmult(copy.ss, a.s_secret, b.s_public), 0);
	copy.has_ss = true;
	int len = noise_write(&a.noise, a.e_secret, "x", 1, plainly);
	assert_int_equal(noise_write(&copy, a.e_secret, "x", 1, quick), len);
	assert_memory_equal(plainly, quick, (size_t)len);
	make_pair(&a, &b);
	memset(a.noise.ss, 1, 32);
	a.noise.has_ss =
		true; /* a wrong one is used as well: nothing is computed behind its back */
	assert_int_equal(noise_write(&a.noise, a.e_secret, "x", 1, quick), len);
	assert_memory_not_equal(plainly, quick, (size_t)len);
}

static void test_psk_set_late_matters(void **state)
{
	(void)state;
	struct side a, b;
	uint8_t wire[128], got[128], psk[32];
	memset(psk, 9, sizeof(psk));
	for (int same = 0; same < 2; same++) {
		make_pair(&a, &b);
		noise_set_psk(&a.noise, psk);
		int len = noise_write(&a.noise, a.e_secret, NULL, 0, wire);
		assert_int_equal(noise_read(&b.noise, wire, (size_t)len, got), 0);
		noise_set_psk(&b.noise, same ? psk : NULL);
		len = noise_write(&b.noise, b.e_secret, "yes", 3, wire);
		assert_int_equal(noise_read(&a.noise, wire, (size_t)len, got), same ? 3 : OV_EAUTH);
	}
}

static void test_wipe(void **state)
{
	(void)state;
	struct side a, b;
	make_pair(&a, &b);
	noise_wipe(&a.noise);
	assert_true(sodium_is_zero((const uint8_t *)&a.noise, sizeof(a.noise)));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_vectors),
		cmocka_unit_test(test_refuses_flips_and_truncation),
		cmocka_unit_test(test_refuses_zero_dh),
		cmocka_unit_test(test_precomputed_ss_is_equal),
		cmocka_unit_test(test_psk_set_late_matters),
		cmocka_unit_test(test_wipe),
	};
	return sodium_init() < 0 ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
