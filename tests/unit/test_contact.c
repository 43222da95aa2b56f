/* Contacts: names, endpoint texts, deep copies. */
#include "overlay/contact.h"

#include "tests/unit/seeded.h"

#include <stdio.h>

static void names(void **state)
{
	(void)state;
	static const char *const good[] = { "a", "7", "laptop", "my-laptop_2.home", "A.b" };
	static const char *const bad[] = { "", "-a", ".a", "_a", "a b", "a/b", "a\n", "\xc3\xa4",
		"a:b", "a,b", "a\"" };
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		assert_true(contact_name_ok(good[i]));
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(contact_name_ok(bad[i]));
	char name[CONTACT_NAME_MAX + 1];
	memset(name, 'n', sizeof(name));
	name[CONTACT_NAME_MAX] = '\0';
	assert_false(contact_name_ok(name));
	name[CONTACT_NAME_MAX - 1] = '\0';
	assert_true(contact_name_ok(name));
}

#define LABEL63 "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghijk"
#define HOST253                         \
	LABEL63 "." LABEL63 "." LABEL63 \
		".abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghi"

static void endpoints(void **state)
{
	(void)state;
	assert_int_equal(sizeof(HOST253) - 1, 253);
	static const struct {
		const char *text, *want; /* want: NULL refused, "" a name, else the address */
	} cases[] = {
		{ "192.0.2.1:5", "192.0.2.1:5" },
		{ "192.0.2.1", "192.0.2.1:27182" },
		{ "[2001:db8::1]:5", "[2001:db8::1]:5" },
		{ "[2001:db8::1]", "[2001:db8::1]:27182" },
		{ "2001:db8::1", "[2001:db8::1]:27182" },
		{ "[fe80::1%3]:5", "[fe80::1%3]:5" },
		{ "[::ffff:192.0.2.1]:5", "192.0.2.1:5" },
		{ "127.0.0.1:65535", "127.0.0.1:65535" },
		{ "example.org", "" },
		{ "example.org:5", "" },
		{ "example.org.:5", "" },
		{ "a-b.x_y:65535", "" },
		{ "9gag.com:1", "" },
		{ "fe80", "" }, /* a name in hexadecimal is a name */
		{ HOST253 ":65535", "" },
		{ HOST253 "a:1", NULL },
		{ LABEL63 "x:1", NULL },
		{ "", NULL },
		{ ":5", NULL },
		{ ".", NULL },
		{ "a..b", NULL },
		{ ".a", NULL },
		{ "-a:1", NULL },
		{ "a-:1", NULL },
		{ "a-.b:1", NULL },
		{ "a b:1", NULL },
		{ "a/b:1", NULL },
		{ "tcp:1.2.3.4:5", NULL },
		{ "example.org:", NULL },
		{ "example.org:0", NULL },
		{ "example.org:65536", NULL },
		{ "example.org:99999999999", NULL },
		{ "example.org:5:6", NULL },
		{ "example.org:+5", NULL },
		{ "example.org:5 ", NULL },
		{ "192.0.2.1:0", NULL },
		{ "192.0.2.1:65536", NULL },
		{ "192.0.2.256:5", NULL }, /* not a name either */
		{ "192.0.2:5", NULL },
		{ "1:5", NULL },
		{ "[2001:db8::1]:0", NULL },
		{ "[2001:db8::1]x", NULL },
		{ "[2001:db8::1", NULL },
		{ "2001:db8::1]:5", NULL },
		{ "0.0.0.0:5", NULL },
		{ "255.255.255.255:5", NULL },
		{ "224.0.0.1:5", NULL },
		{ "[::]:5", NULL },
		{ "[ff02::1]:5", NULL },
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct ov_addr addr;
		bool is_name;
		bool ok = endpoint_check(cases[i].text, 27182, &addr, &is_name);
		if (ok != (cases[i].want != NULL))
			fail_msg("%s: %d", cases[i].text, ok);
		if (!ok)
			continue;
		assert_int_equal(is_name, cases[i].want[0] == '\0');
		char text[ADDR_TEXT_MAX];
		if (!is_name)
			assert_string_equal(addr_format(&addr, text), cases[i].want);
	}
}

static void endpoint_list(void **state)
{
	(void)state;
	struct contact c = { .grants = grants_default() };
	char text[32];
	assert_int_equal(contact_add_endpoint(&c, "a:0"), OV_EFORMAT);
	assert_int_equal(contact_add_endpoint(&c, "tcp:a:0"), OV_EFORMAT);
	assert_int_equal(contact_add_endpoint(&c, "tcp:"), OV_EFORMAT);
	assert_int_equal(contact_add_endpoint(&c, "tcp:tcp:a"), OV_EFORMAT);
	assert_int_equal(contact_add_endpoint(&c, "tcp:[2001:db8::1]:443"), OV_OK);
	assert_int_equal(contact_add_endpoint(&c, "tcp:example.org"), OV_OK);
	contact_fini(&c);
	for (int i = 0; i < CONTACT_ENDPOINTS_MAX; i++) {
		snprintf(text, sizeof(text), "host%d:%d", i, i + 1);
		assert_int_equal(contact_add_endpoint(&c, text), OV_OK);
	}
	assert_int_equal(contact_add_endpoint(&c, "one.more:1"), OV_EFULL);
	assert_int_equal(contact_add_endpoint(&c, "host3:4"), OV_OK);
	assert_int_equal(c.endpoint_count, CONTACT_ENDPOINTS_MAX);
	assert_string_equal(c.endpoints[3], "host3:4");
	contact_fini(&c);
	assert_null(c.endpoints);
	assert_int_equal(c.endpoint_count, 0);
}

static void copy_is_deep(void **state)
{
	(void)state;
	struct contact c = { .name = "laptop",
		.source = CONTACT_CONFIG,
		.last_endpoint = addr_v4(192, 0, 2, 1, 5),
		.last_seen_at_s = 1790000000 };
	c.id.bytes[31] = 7;
	assert_int_equal(grants_add_list(&c.grants, "service:a,tcp/22", NULL), OV_OK);
	assert_int_equal(contact_add_endpoint(&c, "example.org:5"), OV_OK);
	assert_int_equal(contact_add_endpoint(&c, "192.0.2.9"), OV_OK);
	struct contact copy;
	assert_int_equal(contact_copy(&copy, &c), OV_OK);
	contact_fini(&c);
	assert_string_equal(copy.name, "laptop");
	assert_int_equal(copy.id.bytes[31], 7);
	assert_int_equal(copy.source, CONTACT_CONFIG);
	assert_int_equal(copy.endpoint_count, 2);
	assert_string_equal(copy.endpoints[0], "example.org:5");
	assert_string_equal(copy.endpoints[1], "192.0.2.9");
	assert_true(grants_service(&copy.grants, "a") && grants_tcp(&copy.grants, 22));
	assert_int_equal(copy.last_endpoint.port, 5);
	assert_true(copy.last_seen_at_s == 1790000000);
	contact_fini(&copy);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names),
		cmocka_unit_test(endpoints),
		cmocka_unit_test(endpoint_list),
		cmocka_unit_test(copy_is_deep),
	};
	return cmocka_run_group_tests_name("contact", tests, NULL, NULL);
}
