/* What people type for the local end of a stream and for PEER:SERVICE: every form, what is refused
 * and with which words, texts that parse back. */
#include "overlay/local_end.h"

#include "tests/unit/seeded.h"

#include <stdio.h>
#include <string.h>

static void is_tcp(const char *text, const char *host, uint16_t port)
{
	struct local_end e;
	assert_null(local_end_parse(text, &e));
	assert_int_equal(e.kind, LOCAL_TCP);
	assert_string_equal(e.host, host);
	assert_int_equal(e.port, port);
}

static void is_path(const char *text, const char *path)
{
	struct local_end e;
	assert_null(local_end_parse(text, &e));
	assert_int_equal(e.kind, LOCAL_UNIX);
	assert_string_equal(e.path, path);
}

static void forms(void **state)
{
	(void)state;
	is_tcp("22", "", 22);
	is_tcp("0", "", 0);
	is_tcp("65535", "", 65535);
	is_tcp("tcp:22", "", 22);
	is_tcp("host.example:22", "host.example", 22);
	is_tcp("tcp:host.example:22", "host.example", 22);
	is_tcp("192.0.2.7:80", "192.0.2.7", 80);
	is_tcp("a_b-c:1", "a_b-c", 1);
	is_tcp("[::1]:80", "::1", 80);
	is_tcp("tcp:[2001:db8::1]:443", "2001:db8::1", 443);
	is_tcp("[fe80::1%eth0]:22", "fe80::1%eth0", 22);
	is_path("/run/x.sock", "/run/x.sock");
	is_path("./x", "./x");
	is_path("a/b:22", "a/b:22");
	is_path("unix:x", "x");
	is_path("unix:22", "22");
	is_path("unix:/run/x", "/run/x");
}

static void refused(void **state)
{
	(void)state;
	static const struct {
		const char *text, *word; /* of the reason */
	} bad[] = { { "", "port" }, { "ssh", "neither a port" }, { "65536", "0 to 65535" },
		{ "123456", "0 to 65535" }, { "-1", "neither" }, { "22 ", "neither" },
		{ "host:", "no port" }, { "host:http", "no port" }, { "host:65536", "no port" },
		{ ":22", "no host" }, { "::1:22", "brackets" }, { "::1", "brackets" },
		{ "[::1]", "no port" }, { "[::1]22", "no port" }, { "[]:22", "no host" },
		{ "[host]:22", "no IPv6" }, { "a b:22", "character" }, { "*:22", "character" },
		{ "unix:", "no path" }, { "tcp:", "port" }, { "tcp:unix:x", "no port" },
		{ "a@b:22", "character" } };
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct local_end e;
		const char *why = local_end_parse(bad[i].text, &e);
		if (!why || !strstr(why, bad[i].word))
			fail_msg("\"%s\": %s", bad[i].text, why ? why : "accepted");
	}
}

static void lengths(void **state)
{
	(void)state;
	struct local_end e;
	char text[600];
	memset(text, 'a', sizeof(text));
	text[0] = '/';
	text[LOCAL_PATH_MAX - 1] = '\0';
	assert_null(local_end_parse(text, &e));
	text[LOCAL_PATH_MAX - 1] = 'a';
	text[LOCAL_PATH_MAX] = '\0';
	assert_non_null(local_end_parse(text, &e));
	memset(text, 'a', sizeof(text));
	memcpy(text + LOCAL_HOST_MAX - 1, ":1", 3);
	assert_null(local_end_parse(text, &e));
	memset(text, 'a', sizeof(text));
	memcpy(text + LOCAL_HOST_MAX, ":1", 3);
	assert_non_null(local_end_parse(text, &e));
}

static void texts_parse_back(void **state)
{
	(void)state;
	static const char *const given[] = { "22", "host:22", "[::1]:22", "unix:x", "/run/x",
		"tcp:192.0.2.7:9" };
	static const char *const want[] = { "localhost:22", "host:22", "[::1]:22", "unix:x",
		"unix:/run/x", "192.0.2.7:9" };
	for (size_t i = 0; i < sizeof(given) / sizeof(given[0]); i++) {
		struct local_end e, again;
		char text[LOCAL_TEXT_MAX], once_more[LOCAL_TEXT_MAX];
		assert_null(local_end_parse(given[i], &e));
		assert_string_equal(local_end_text(&e, text), want[i]);
		assert_null(local_end_parse(text, &again));
		assert_string_equal(local_end_text(&again, once_more), text);
	}
}

static void services_of_peers(void **state)
{
	(void)state;
	static const struct {
		const char *text, *peer, *service; /* NULL: refused */
	} table[] = { { "laptop:ssh", "laptop", "ssh" }, { "a:b:c", "a:b", "c" },
		{ "laptop:a/b", "laptop", "a/b" }, { "laptop", NULL, NULL }, { ":ssh", NULL, NULL },
		{ "laptop:", NULL, NULL }, { "laptop:a b", NULL, NULL }, { "", NULL, NULL } };
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct service_at at;
		const char *why = service_at_parse(table[i].text, &at);
		assert_true((why == NULL) == (table[i].peer != NULL));
		if (why)
			continue;
		assert_string_equal(at.peer, table[i].peer);
		assert_string_equal(at.service, table[i].service);
	}
	char name[80];
	memset(name, 'a', sizeof(name));
	name[64] = '\0';
	assert_false(grant_service_ok(name, strlen(name)));
	name[63] = '\0';
	assert_true(grant_service_ok(name, strlen(name)));
	assert_false(grant_service_ok("", 0));
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(forms), cmocka_unit_test(refused),
		cmocka_unit_test(lengths), cmocka_unit_test(texts_parse_back),
		cmocka_unit_test(services_of_peers) };
	return cmocka_run_group_tests_name("local_end", tests, NULL, NULL);
}
