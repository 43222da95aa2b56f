/* Text and bytes are each other's only image. */
#include "tests/unit/seeded.h"

#include "core/base32.h"

static void rfc_4648_vectors(void **state)
{
	(void)state;
	static const char *const pairs[][2] = { { "", "" }, { "f", "my" }, { "fo", "mzxq" },
		{ "foo", "mzxw6" }, { "foob", "mzxw6yq" }, { "fooba", "mzxw6ytb" },
		{ "foobar", "mzxw6ytboi" } };
	for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
		const char *plain = pairs[i][0], *text = pairs[i][1];
		char out[32];
		uint8_t back[8];
		base32_encode((const uint8_t *)plain, strlen(plain), out);
		assert_string_equal(out, text);
		assert_int_equal(strlen(out), BASE32_LEN(strlen(plain)));
		assert_int_equal(
			base32_decode(text, strlen(text), back, sizeof(back)), strlen(plain));
		assert_memory_equal(back, plain, strlen(plain));
	}
}

static void every_length_and_both_cases(void **state)
{
	(void)state;
	uint64_t seed = 32;
	uint8_t data[64], back[64];
	char text[BASE32_LEN(64) + 1];
	for (size_t len = 0; len <= sizeof(data); len++) {
		seeded_fill(&seed, data, len);
		base32_encode(data, len, text);
		for (size_t i = 0; i < strlen(text); i += 3)
			if (text[i] >= 'a')
				text[i] = (char)(text[i] - 'a' + 'A');
		assert_int_equal(base32_decode(text, strlen(text), back, sizeof(back)), len);
		assert_memory_equal(back, data, len);
		if (len)
			assert_int_equal(
				base32_decode(text, strlen(text), back, len - 1), OV_EFORMAT);
	}
}

static void what_no_bytes_have_is_refused(void **state)
{
	(void)state;
	static const char *const bad[] = { "a", "aaa", "aaaaaa", "mz", "mzxr", "mzxw7", "m1",
		"m=", "m ", "m0", "m8", "m9", "m\xe4", "my=====" };
	uint8_t out[16];
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(
			base32_decode(bad[i], strlen(bad[i]), out, sizeof(out)), OV_EFORMAT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rfc_4648_vectors),
		cmocka_unit_test(every_length_and_both_cases),
		cmocka_unit_test(what_no_bytes_have_is_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
