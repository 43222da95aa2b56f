/* Grant words: every word forth and back, what is refused, limits, canonical order. */
#include "overlay/grant.h"

#include "tests/unit/seeded.h"

#include <stdio.h>

/* All words joined by commas. */
static const char *text_of(const struct grants *g)
{
	static char text[8192];
	char word[GRANT_TEXT_MAX];
	size_t at = 0;
	text[0] = '\0';
	for (size_t i = 0; grants_word(g, i, word); i++)
		at += (size_t)snprintf(text + at, sizeof(text) - at, "%s%s", i ? "," : "", word);
	return text;
}

static void words_in_canonical_order(void **state)
{
	(void)state;
	struct grants g = { 0 };
	const char *list = "service:b,udp/53,exit,tcp/443,store,introduce,tcp/22,relay,service:a,"
			   "message,icmp,all,tcp/80,udp/1,tcp/22,icmp,service:b";
	assert_int_equal(grants_add_list(&g, list, NULL), OV_OK);
	const char *canonical = "all,icmp,message,relay,introduce,store,exit,tcp/22,tcp/80,tcp/443,"
				"udp/1,udp/53,service:b,service:a";
	assert_string_equal(text_of(&g), canonical);
	struct grants again = { 0 };
	assert_int_equal(grants_add_list(&again, canonical, NULL), OV_OK);
	assert_string_equal(text_of(&again), canonical);
	grants_fini(&g);
	grants_fini(&again);
	assert_string_equal(text_of(&g), "");
}

static void defaults(void **state)
{
	(void)state;
	struct grants g = grants_default();
	assert_string_equal(text_of(&g), "icmp,message");
	assert_false(grants_tcp(&g, 22) || grants_udp(&g, 22) || grants_service(&g, "a"));
	grants_fini(&g);
}

static void bad_words(void **state)
{
	(void)state;
	static const char *const bad[] = { "", " ", "ALL", "al", "alll", "tcp", "tcp/", "tcp/0",
		"tcp/00022", "tcp/022", "tcp/65536", "tcp/99999", "tcp/4294967318", "tcp/-1",
		"tcp/+1", "tcp/ 1", "tcp/1 ", "tcp/1x", "tcp/x", "TCP/1", "sctp/1", "udp/", "udp/0",
		"udp/65536", "service:", "service", "service:a b", "service:a,b", "service:a\"",
		"service:a\\", "service:\n", "service:\x7f", "service:\xc3\xa4", "icmp,message" };
	struct grants g = { 0 };
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(grants_add(&g, bad[i]), OV_EFORMAT);
		assert_int_equal(grants_remove(&g, bad[i]), OV_EFORMAT);
	}
	char name[9 + GRANT_SERVICE_LEN] = "service:";
	memset(name + 8, 'n', GRANT_SERVICE_LEN);
	assert_int_equal(grants_add(&g, name), OV_EFORMAT); /* one too long */
	name[8 + GRANT_SERVICE_LEN - 1] = '\0';
	assert_int_equal(grants_add(&g, name), OV_OK);
	assert_string_equal(text_of(&g), name);
	grants_fini(&g);
}

static void list_points_at_the_bad_word(void **state)
{
	(void)state;
	struct grants g = { 0 };
	const char *bad = NULL, *list = "icmp,tcp/x,relay";
	assert_int_equal(grants_add_list(&g, list, &bad), OV_EFORMAT);
	assert_ptr_equal(bad, list + 5);
	static const char *const lists[] = { "", ",", "icmp,", ",icmp", "icmp,,relay" };
	for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++)
		assert_int_equal(grants_add_list(&g, lists[i], NULL), OV_EFORMAT);
	grants_fini(&g);
}

static void each_grants_only_itself(void **state)
{
	(void)state;
	struct grants g = { 0 };
	assert_int_equal(grants_add_list(&g, "tcp/1,tcp/65535,udp/2,service:x", NULL), OV_OK);
	for (unsigned port = 0; port <= UINT16_MAX; port++) {
		assert_int_equal(grants_tcp(&g, (uint16_t)port), port == 1 || port == 65535);
		assert_int_equal(grants_udp(&g, (uint16_t)port), port == 2);
	}
	assert_true(grants_service(&g, "x"));
	assert_false(grants_service(&g, "xy") || grants_service(&g, ""));
	assert_int_equal(grants_add(&g, "all"), OV_OK);
	assert_true(grants_tcp(&g, 7) && grants_udp(&g, 7));
	assert_false(grants_service(&g, "y")); /* `all` is about packets */
	grants_fini(&g);
}

static void full_tables(void **state)
{
	(void)state;
	struct grants g = { 0 };
	char word[GRANT_TEXT_MAX];
	for (int i = 0; i < GRANT_PORTS_MAX + 1; i++) {
		int want = i < GRANT_PORTS_MAX ? OV_OK : OV_EFULL;
		snprintf(word, sizeof(word), "tcp/%d", 1000 - i);
		assert_int_equal(grants_add(&g, word), want);
		snprintf(word, sizeof(word), "udp/%d", 1000 + i);
		assert_int_equal(grants_add(&g, word), want);
	}
	for (int i = 0; i < GRANT_SERVICES_MAX + 1; i++) {
		snprintf(word, sizeof(word), "service:%d", i);
		assert_int_equal(grants_add(&g, word), i < GRANT_SERVICES_MAX ? OV_OK : OV_EFULL);
	}
	assert_int_equal(grants_add(&g, "tcp/1000"), OV_OK); /* there already */
	assert_int_equal(grants_add(&g, "service:0"), OV_OK);
	assert_int_equal(grants_remove(&g, "tcp/990"), OV_OK);
	assert_int_equal(grants_add(&g, "tcp/2"), OV_OK);
	assert_true(grants_tcp(&g, 2) && !grants_tcp(&g, 990));
	grants_fini(&g);
}

static void removing(void **state)
{
	(void)state;
	static const char *const each[] = { "all", "icmp", "message", "relay", "introduce", "store",
		"exit", "tcp/22", "udp/22", "service:a" };
	struct grants g = { 0 };
	for (size_t i = 0; i < sizeof(each) / sizeof(each[0]); i++) {
		assert_int_equal(grants_remove(&g, each[i]), OV_ENOENT);
		assert_int_equal(grants_add(&g, each[i]), OV_OK);
		assert_string_equal(text_of(&g), each[i]);
		assert_int_equal(grants_remove(&g, each[i]), OV_OK);
		assert_string_equal(text_of(&g), "");
	}
	assert_int_equal(
		grants_add_list(&g, "tcp/1,tcp/2,tcp/3,service:a,service:b,service:c", NULL),
		OV_OK);
	assert_int_equal(grants_remove(&g, "tcp/2"), OV_OK);
	assert_int_equal(grants_remove(&g, "service:a"), OV_OK);
	assert_string_equal(text_of(&g), "tcp/1,tcp/3,service:b,service:c");
	grants_fini(&g);
}

static void copy_is_deep(void **state)
{
	(void)state;
	struct grants g = { 0 }, copy = { 0 };
	assert_int_equal(grants_copy(&copy, &g), OV_OK);
	assert_null(copy.services);
	assert_int_equal(grants_add_list(&g, "tcp/1,service:a,service:b", NULL), OV_OK);
	assert_int_equal(grants_copy(&copy, &g), OV_OK);
	grants_fini(&g);
	assert_string_equal(text_of(&copy), "tcp/1,service:a,service:b");
	grants_fini(&copy);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(words_in_canonical_order),
		cmocka_unit_test(defaults),
		cmocka_unit_test(bad_words),
		cmocka_unit_test(list_points_at_the_bad_word),
		cmocka_unit_test(each_grants_only_itself),
		cmocka_unit_test(full_tables),
		cmocka_unit_test(removing),
		cmocka_unit_test(copy_is_deep),
	};
	return cmocka_run_group_tests_name("grant", tests, NULL, NULL);
}
