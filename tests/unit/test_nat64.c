/* NAT64: the examples of RFC 6052 2.4, and RFC 7050 with each length of prefix. */
#include "discovery/nat64.h"
#include "tests/unit/seeded.h"

#include <string.h>

static struct ov_addr addr(const char *text)
{
	struct ov_addr a;
	assert_int_equal(addr_parse(text, 0, &a), OV_OK);
	return a;
}

static struct nat64 prefix(const char *text, uint8_t bits)
{
	struct nat64 n = { .bits = bits };
	struct ov_addr a = addr(text);
	memcpy(n.prefix, a.ip, bits / 8u);
	return n;
}

static const struct {
	const char *prefix, *expected;
	uint8_t bits;
} examples[] = {
	{ "2001:db8::", "2001:db8:c000:221::", 32 },
	{ "2001:db8:100::", "2001:db8:1c0:2:21::", 40 },
	{ "2001:db8:122::", "2001:db8:122:c000:2:2100::", 48 },
	{ "2001:db8:122:300::", "2001:db8:122:3c0:0:221::", 56 },
	{ "2001:db8:122:344::", "2001:db8:122:344:c0:2:2100::", 64 },
	{ "2001:db8:122:344::", "2001:db8:122:344::192.0.2.33", 96 },
	{ "64:ff9b::", "64:ff9b::192.0.2.33", 96 },
};
#define EXAMPLES (sizeof(examples) / sizeof(examples[0]))

static void examples_of_rfc_6052(void **state)
{
	(void)state;
	struct ov_addr v4 = addr_v4(192, 0, 2, 33, 4711), back;
	for (size_t i = 0; i < EXAMPLES; i++) {
		struct nat64 n = prefix(examples[i].prefix, examples[i].bits);
		struct ov_addr expected = addr(examples[i].expected);
		expected.port = 4711;
		struct ov_addr got = nat64_from_v4(&n, &v4);
		assert_true(addr_equal(&got, &expected));
		assert_true(nat64_to_v4(&n, &got, &back));
		assert_true(addr_equal(&back, &v4));
		got.ip[0] ^= 1;
		assert_false(nat64_to_v4(&n, &got, &back));
	}
}

static void what_does_not_fit_the_prefix_is_not_taken_apart(void **state)
{
	(void)state;
	struct ov_addr back;
	for (size_t i = 0; i < EXAMPLES; i++) {
		if (examples[i].bits == 96)
			continue;
		struct nat64 n = prefix(examples[i].prefix, examples[i].bits);
		struct ov_addr a = addr(examples[i].expected);
		a.ip[8] = 1; /* RFC 6052 2.2: zero */
		assert_false(nat64_to_v4(&n, &a, &back));
		a.ip[8] = 0;
		a.ip[15] = 1; /* suffix */
		assert_false(nat64_to_v4(&n, &a, &back));
	}
	struct nat64 none = { 0 };
	struct ov_addr a = addr("64:ff9b::1.2.3.4");
	assert_false(nat64_to_v4(&none, &a, &back));
}

static void prefixes_are_found_by_rfc_7050(void **state)
{
	(void)state;
	for (size_t i = 0; i < EXAMPLES; i++)
		for (uint8_t last = 170; last <= 171; last++) {
			struct nat64 n = prefix(examples[i].prefix, examples[i].bits), found;
			struct ov_addr v4 = addr_v4(192, 0, 0, last, 0), answers[2];
			answers[0] = addr("2001:db8::1");
			answers[1] = nat64_from_v4(&n, &v4);
			assert_true(nat64_find(&found, answers, 2));
			assert_memory_equal(&found, &n, sizeof(n));
		}
}

static void answers_that_name_no_prefix(void **state)
{
	(void)state;
	struct nat64 found;
	const char *const texts[] = { "2001:db8::1", "::", "::1", "64:ff9b::192.0.0.172",
		"64:ff9b::192.0.1.170", "192.0.0.170", "2001:db8:122:344:1c0:0:aa00::" };
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		struct ov_addr a = addr(texts[i]);
		assert_false(nat64_find(&found, &a, 1));
		assert_int_equal(found.bits, 0);
	}
	assert_false(nat64_find(&found, NULL, 0));
}

static void text(void **state)
{
	(void)state;
	char out[NAT64_TEXT_MAX];
	struct nat64 n = prefix("64:ff9b::", 96);
	assert_string_equal(nat64_format(&n, out), "64:ff9b::/96");
	n = prefix("2001:db8:122:300::", 56);
	assert_string_equal(nat64_format(&n, out), "2001:db8:122:300::/56");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(examples_of_rfc_6052),
		cmocka_unit_test(what_does_not_fit_the_prefix_is_not_taken_apart),
		cmocka_unit_test(prefixes_are_found_by_rfc_7050),
		cmocka_unit_test(answers_that_name_no_prefix),
		cmocka_unit_test(text),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
