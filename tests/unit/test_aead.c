/* All backends on this machine: equal bytes, the model's bytes, and no forgery accepted. */
#include "core/aead.h"

#include "core/aead_os.h"
#include "tests/unit/json_vectors.h"

#define MAX_BACKENDS 6
#define MAX_LEN      2000

static const struct aead *all[MAX_BACKENDS];
static size_t count;

static uint8_t key[AEAD_KEY_LEN], header[16], plain[MAX_LEN];

static void fill(uint8_t seed)
{
	uint8_t s[randombytes_SEEDBYTES] = { seed };
	randombytes_buf_deterministic(plain, sizeof(plain), s);
	s[1] = 1;
	randombytes_buf_deterministic(key, sizeof(key), s);
	s[1] = 2;
	randombytes_buf_deterministic(header, sizeof(header), s);
}

static void test_which(void **state)
{
	(void)state;
	bool openssl = false, sodium = false;
	for (size_t i = 0; i < count; i++) {
		print_message("%s %s\n", all[i]->backend, all[i]->cipher);
		openssl = openssl || strcmp(all[i]->backend, "openssl") == 0;
		sodium = sodium || strcmp(all[i]->backend, "sodium") == 0;
	}
	assert_true(openssl && sodium); /* both are linked */
	assert_int_equal(aead_each(all, 1), 1);
	assert_int_equal(aead_each(all, MAX_BACKENDS), count);
}

static void check_packet(const struct aead *a, const json_t *v)
{
	uint8_t k[AEAD_KEY_LEN], head[16], text[512], expected[512], got[512];
	struct aead_state st;
	vec_bytes(v, "key", k, sizeof(k));
	vec_bytes(v, "header", head, sizeof(head));
	uint64_t counter = strtoull(vec_text(v, "counter"), NULL, 10);
	size_t len = vec_hex(v, "plain", text, sizeof(text));
	vec_bytes(v, "sealed", expected, len + AEAD_TAG_LEN);
	assert_true(a->init(&st, k));
	a->seal(&st, counter, head, text, len, got);
	assert_memory_equal(got, expected, len + AEAD_TAG_LEN);
	assert_true(a->open(&st, counter, head, expected, len, got));
	assert_memory_equal(got, text, len);
	a->fini(&st);
	assert_true(sodium_is_zero(st.bytes, sizeof(st.bytes)));
}

static void test_model(void **state)
{
	(void)state;
	json_t *root = vec_load("tests/vectors/handshake.json"), *v;
	size_t i, checked = 0;
	json_array_foreach(json_object_get(root, "packets"), i, v)
	{
		for (size_t k = 0; k < count; k++) {
			if (strcmp(all[k]->cipher, vec_text(v, "cipher")) != 0)
				continue;
			check_packet(all[k], v);
			checked++;
		}
	}
	json_decref(root);
	assert_int_equal(checked, 5 * count);
}

/* Every length; sealed by one, opened by the other; separate buffers and in place. One state serves
 * both directions in turn, so a leftover of the last packet would show. */
static void check_pair(const struct aead *a, const struct aead *b)
{
	static struct aead_state sa, sb;
	static uint8_t one[MAX_LEN + 16], two[MAX_LEN + 16];
	assert_true(a->init(&sa, key) && b->init(&sb, key));
	for (size_t len = 0; len <= MAX_LEN; len++) {
		uint64_t counter = len * 0x123456789abcdu;
		a->seal(&sa, counter, header, plain, len, one);
		memcpy(two, plain, len);
		b->seal(&sb, counter, header, two, len, two);
		assert_memory_equal(one, two, len + 16);
		assert_true(b->open(&sb, counter, header, one, len, one));
		assert_memory_equal(one, plain, len);
		assert_true(a->open(&sa, counter, header, two, len, one));
		assert_memory_equal(one, plain, len);
	}
	a->fini(&sa);
	b->fini(&sb);
}

static void test_backends_agree(void **state)
{
	(void)state;
	size_t pairs = 0;
	fill(1);
	for (size_t i = 0; i < count; i++) {
		for (size_t k = 0; k < count; k++) {
			if (all[i]->suite != all[k]->suite)
				continue;
			check_pair(all[i], all[k]);
			pairs++;
		}
	}
	assert_true(pairs > count);
}

static void check_forgeries(const struct aead *a, size_t len)
{
	struct aead_state st;
	uint8_t sealed[128 + 16], out[128 + 16];
	assert_true(a->init(&st, key));
	a->seal(&st, 77, header, plain, len, sealed);
	for (size_t i = 0; i < (len + 16) * 8; i++) {
		sealed[i / 8] ^= (uint8_t)(1 << i % 8);
		assert_false(a->open(&st, 77, header, sealed, len, out));
		memcpy(out, sealed, len + 16);
		assert_false(a->open(&st, 77, header, out, len, out));
		sealed[i / 8] ^= (uint8_t)(1 << i % 8);
	}
	for (size_t i = 0; i < sizeof(header) * 8; i++) {
		header[i / 8] ^= (uint8_t)(1 << i % 8);
		assert_false(a->open(&st, 77, header, sealed, len, out));
		header[i / 8] ^= (uint8_t)(1 << i % 8);
	}
	for (int i = 0; i < 64; i++)
		assert_false(a->open(&st, 77 ^ (uint64_t)1 << i, header, sealed, len, out));
	for (size_t cut = 0; cut < len; cut++)
		assert_false(a->open(&st, 77, header, sealed, cut, out));
	assert_true(a->open(&st, 77, header, sealed, len, out)); /* after all those failures */
	assert_memory_equal(out, plain, len);
	a->fini(&st);
}

static void check_wrong_key(const struct aead *a)
{
	struct aead_state st;
	uint8_t sealed[64 + 16], out[64 + 16];
	assert_true(a->init(&st, key));
	a->seal(&st, 1, header, plain, 64, sealed);
	a->fini(&st);
	for (size_t i = 0; i < sizeof(key) * 8; i++) {
		key[i / 8] ^= (uint8_t)(1 << i % 8);
		assert_true(a->init(&st, key));
		assert_false(a->open(&st, 1, header, sealed, 64, out));
		a->fini(&st);
		key[i / 8] ^= (uint8_t)(1 << i % 8);
	}
}

static void test_forgeries(void **state)
{
	(void)state;
	static const size_t lens[] = { 0, 1, 15, 16, 17, 63, 64, 65, 128 };
	fill(2);
	for (size_t i = 0; i < count; i++) {
		for (size_t k = 0; k < sizeof(lens) / sizeof(lens[0]); k++)
			check_forgeries(all[i], lens[k]);
		check_wrong_key(all[i]);
	}
}

static void test_table(void **state)
{
	(void)state;
	struct aead_table both = { &aead_sodium_chacha20_poly1305, &aead_sodium_aes_256_gcm };
	struct aead_table chacha = { &aead_sodium_chacha20_poly1305, NULL };
	struct aead_table gcm = { NULL, &aead_sodium_aes_256_gcm };
	assert_int_equal(aead_offer(&both), 3);
	assert_int_equal(aead_offer(&chacha), 1);
	assert_int_equal(aead_offer(&gcm), 2);
	assert_int_equal(aead_choose(&both, 3), SUITE_AES_256_GCM);
	assert_int_equal(aead_choose(&both, 0xff), SUITE_AES_256_GCM);
	assert_int_equal(aead_choose(&both, 2), SUITE_AES_256_GCM);
	assert_int_equal(aead_choose(&both, 1), SUITE_CHACHA20_POLY1305);
	assert_int_equal(aead_choose(&chacha, 3), SUITE_CHACHA20_POLY1305);
	assert_int_equal(aead_choose(&chacha, 2), 0);
	assert_int_equal(aead_choose(&gcm, 1), 0);
	assert_int_equal(aead_choose(&both, 0xfc), 0);
	assert_int_equal(aead_choose(&both, 0), 0);
	assert_ptr_equal(aead_find(&both, SUITE_AES_256_GCM), &aead_sodium_aes_256_gcm);
	assert_ptr_equal(aead_find(&both, SUITE_CHACHA20_POLY1305), &aead_sodium_chacha20_poly1305);
	assert_null(aead_find(&chacha, SUITE_AES_256_GCM));
	assert_null(aead_find(&both, (enum suite)0));
	assert_null(aead_find(&both, (enum suite)7));
}

static void test_load_each(void **state)
{
	(void)state;
	for (size_t i = 0; i < count; i++) {
		struct aead_table t;
		char word[64], why[256] = "";
		snprintf(word, sizeof(word), "%s:%s", all[i]->backend, all[i]->cipher);
		assert_int_equal(aead_load(&t, word, why, sizeof(why)), OV_OK);
		assert_int_equal(aead_offer(&t), 1 << (all[i]->suite - 1));
		assert_ptr_equal(aead_find(&t, all[i]->suite), all[i]);
		assert_int_equal(aead_load(&t, all[i]->cipher, NULL, 0), OV_OK);
		assert_int_equal(aead_offer(&t), 1 << (all[i]->suite - 1));
		assert_int_equal(aead_load(&t, all[i]->backend, NULL, 0), OV_OK);
		assert_ptr_equal(aead_find(&t, all[i]->suite), all[i]);
	}
}

static void test_load_auto_is_the_first_of_each(void **state)
{
	(void)state;
	struct aead_table t, same;
	assert_int_equal(aead_load(&t, NULL, NULL, 0), OV_OK);
	assert_int_equal(aead_load(&same, "auto", NULL, 0), OV_OK);
	assert_memory_equal(&t, &same, sizeof(t));
	for (size_t i = count; i-- > 0;) { /* aead_each lists the preferred first */
		if (all[i]->suite == SUITE_AES_256_GCM)
			same.aes_256_gcm = all[i];
		else
			same.chacha20_poly1305 = all[i];
	}
	assert_memory_equal(&t, &same, sizeof(t));
}

static void test_load_refuses(void **state)
{
	(void)state;
	static const char *const words[] = { "", ":", "fast", "sodium:", ":aes-256-gcm",
		"auto:", "auto:aes-256-gcm", "aes-256-gcm:sodium", "sodium:openssl", "sodiu",
		"sodiumx", "sodium:aes-256-gcm:", "SODIUM", "aes" };
	struct aead_table t = { NULL, NULL };
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		char why[256] = "";
		assert_int_equal(aead_load(&t, words[i], why, sizeof(why)), OV_EINVAL);
		assert_non_null(strstr(why, "BACKEND:CIPHER"));
	}
	if (!aead_ipsecmb(SUITE_CHACHA20_POLY1305)) {
		char why[256] = "";
		assert_int_equal(aead_load(&t, "ipsec-mb", why, sizeof(why)), OV_ENOENT);
		assert_non_null(strstr(why, "libipsec-mb1"));
	}
	assert_null(t.chacha20_poly1305);
	assert_null(t.aes_256_gcm);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_which),
		cmocka_unit_test(test_model),
		cmocka_unit_test(test_backends_agree),
		cmocka_unit_test(test_forgeries),
		cmocka_unit_test(test_table),
		cmocka_unit_test(test_load_each),
		cmocka_unit_test(test_load_auto_is_the_first_of_each),
		cmocka_unit_test(test_load_refuses),
	};
	count = aead_each(all, MAX_BACKENDS);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
