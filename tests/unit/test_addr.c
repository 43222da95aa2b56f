/* Addresses: text forth and back, scopes, wire form. */
#include "core/addr.h"

#include "tests/unit/seeded.h"

static struct ov_addr parsed(const char *text)
{
	struct ov_addr a;
	memset(&a, 0xaa, sizeof(a));
	if (addr_parse(text, 0, &a) != OV_OK)
		fail_msg("%s", text);
	assert_int_equal(a.zero, 0);
	return a;
}

static void text_forth_and_back(void **state)
{
	(void)state;
	static const char *const canonical[] = { "1.2.3.4:5", "1.2.3.4", "0.0.0.0", "[::]:1",
		"::", "::1", "[2001:db8::1]:65535", "fe80::1%4294967295",
		"[1111:2222:3333:4444:5555:6666:7777:8888%4294967295]:65535", "64:ff9b::102:304" };
	for (size_t i = 0; i < sizeof(canonical) / sizeof(canonical[0]); i++) {
		char text[ADDR_TEXT_MAX];
		struct ov_addr a = parsed(canonical[i]);
		assert_ptr_equal(addr_format(&a, text), text);
		assert_string_equal(text, canonical[i]);
	}
	static const struct {
		const char *text, *want;
	} others[] = {
		{ "[::ffff:1.2.3.4]:5", "1.2.3.4:5" },
		{ "::ffff:1.2.3.4", "1.2.3.4" },
		{ "[2001:DB8:0:0::1]", "2001:db8::1" },
		{ "[1.2.3.4]:5", "1.2.3.4:5" },
		{ "1.2.3.4:0", "1.2.3.4" },
		{ "[fe80::1%0]:5", "[fe80::1]:5" },
	};
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
		char text[ADDR_TEXT_MAX];
		struct ov_addr a = parsed(others[i].text);
		assert_string_equal(addr_format(&a, text), others[i].want);
	}
}

static void parse_refuses(void **state)
{
	(void)state;
	static const char *const bad[] = { "", ":", ":5", "1.2.3", "1.2.3.4.5", "1.2.3.256",
		"1.2.3.4:", "1.2.3.4:65536", "1.2.3.4:-1", "1.2.3.4:+1", "1.2.3.4: 1", "1.2.3.4:1 ",
		"1.2.3.4:0x1", "1.2.3.4:99999999999999999999", "1.2.3.4%1", "1.2.3.4 :1", "[::1",
		"[::1]5", "[::1]:", "[::1]:65536", "::1]:5", "[]:5", "[[::1]]:5", "::1%", "::1%x",
		"::1%-1", "::1%4294967296", "::1%1%2", ":::", "1::2::3", "12345::", "example.org:5",
		"localhost", "::ffff:1.2.3.4%3", "[fe80::1%eth0]:5", "::1%18446744073709551617" };
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct ov_addr a;
		if (addr_parse(bad[i], 1, &a) != OV_EFORMAT)
			fail_msg("%s", bad[i]);
	}
	char longer[ADDR_TEXT_MAX + 1];
	memset(longer, '0', sizeof(longer));
	longer[ADDR_TEXT_MAX] = '\0';
	struct ov_addr a;
	assert_int_equal(addr_parse(longer, 1, &a), OV_EFORMAT);
}

static void default_port(void **state)
{
	(void)state;
	struct ov_addr a;
	assert_int_equal(addr_parse("1.2.3.4", 7, &a), OV_OK);
	assert_int_equal(a.port, 7);
	assert_int_equal(addr_parse("[::1]", 7, &a), OV_OK);
	assert_int_equal(a.port, 7);
	assert_int_equal(addr_parse("::1", 7, &a), OV_OK);
	assert_int_equal(a.port, 7);
	assert_int_equal(addr_parse("1.2.3.4:8", 7, &a), OV_OK);
	assert_int_equal(a.port, 8);
}

static void comparisons(void **state)
{
	(void)state;
	struct ov_addr a = parsed("fe80::1%1"), b = parsed("fe80::1%2");
	assert_false(addr_equal(&a, &b) || addr_same_ip(&a, &b));
	a = parsed("1.2.3.4:5"), b = parsed("1.2.3.4:6");
	assert_true(addr_same_ip(&a, &b) && !addr_equal(&a, &b));
	b = addr_v4(1, 2, 3, 4, 5);
	assert_true(addr_equal(&a, &b) && addr_is_v4(&a));
	assert_memory_equal(&a, &b, sizeof(a)); /* may be hashed as bytes */
	b = parsed("::1.2.3.4");
	assert_false(addr_is_v4(&b));
	a = (struct ov_addr){ 0 };
	assert_true(addr_is_any(&a));
	a = parsed("0.0.0.0:5");
	assert_true(addr_is_any(&a));
	a = parsed("0.0.0.1");
	assert_false(addr_is_any(&a));
	a = parsed("::1");
	assert_false(addr_is_any(&a));
}

static void scopes(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		enum addr_scope want;
	} cases[] = {
		{ "127.0.0.1", ADDR_LOOPBACK },
		{ "127.255.255.255", ADDR_LOOPBACK },
		{ "::1", ADDR_LOOPBACK },
		{ "169.254.0.1", ADDR_LINK_LOCAL },
		{ "169.253.0.1", ADDR_GLOBAL },
		{ "fe80::1", ADDR_LINK_LOCAL },
		{ "febf::1", ADDR_LINK_LOCAL },
		{ "fec0::1", ADDR_GLOBAL },
		{ "10.0.0.1", ADDR_PRIVATE },
		{ "9.255.255.255", ADDR_GLOBAL },
		{ "11.0.0.0", ADDR_GLOBAL },
		{ "172.15.255.255", ADDR_GLOBAL },
		{ "172.16.0.1", ADDR_PRIVATE },
		{ "172.31.255.255", ADDR_PRIVATE },
		{ "172.32.0.0", ADDR_GLOBAL },
		{ "192.168.0.1", ADDR_PRIVATE },
		{ "192.169.0.1", ADDR_GLOBAL },
		{ "100.63.255.255", ADDR_GLOBAL },
		{ "100.64.0.1", ADDR_PRIVATE },
		{ "100.127.255.255", ADDR_PRIVATE },
		{ "100.128.0.0", ADDR_GLOBAL },
		{ "fc00::1", ADDR_PRIVATE },
		{ "fdff::1", ADDR_PRIVATE },
		{ "fe00::1", ADDR_GLOBAL },
		{ "0.0.0.0", ADDR_UNUSABLE },
		{ "0.1.2.3", ADDR_UNUSABLE },
		{ "224.0.0.1", ADDR_UNUSABLE },
		{ "223.255.255.255", ADDR_GLOBAL },
		{ "240.0.0.1", ADDR_UNUSABLE },
		{ "255.255.255.255", ADDR_UNUSABLE },
		{ "::", ADDR_UNUSABLE },
		{ "::2", ADDR_UNUSABLE },
		{ "::1.2.3.4", ADDR_UNUSABLE },
		{ "ff02::1", ADDR_UNUSABLE },
		{ "2001:db8::1", ADDR_GLOBAL },
		{ "8.8.8.8", ADDR_GLOBAL },
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct ov_addr a = parsed(cases[i].text);
		if (addr_scope(&a) != cases[i].want)
			fail_msg("%s: %d", cases[i].text, addr_scope(&a));
	}
}

static void wire_form(void **state)
{
	(void)state;
	static const uint8_t want[ADDR_PACKED] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 192, 0,
		2, 7, 0x2e, 0x6a };
	struct ov_addr a = addr_v4(192, 0, 2, 7, 27182);
	uint8_t out[ADDR_PACKED];
	addr_pack(&a, out);
	assert_memory_equal(out, want, sizeof(want));
	struct ov_addr back = addr_unpack(want);
	assert_memory_equal(&back, &a, sizeof(a));
	a = parsed("[fe80::1%3]:5"); /* a scope means nothing to another machine */
	addr_pack(&a, out);
	back = addr_unpack(out);
	assert_int_equal(back.scope, 0);
	assert_memory_equal(back.ip, a.ip, 16);
	assert_int_equal(back.port, 5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(text_forth_and_back),
		cmocka_unit_test(parse_refuses),
		cmocka_unit_test(default_port),
		cmocka_unit_test(comparisons),
		cmocka_unit_test(scopes),
		cmocka_unit_test(wire_form),
	};
	return cmocka_run_group_tests_name("addr", tests, NULL, NULL);
}
