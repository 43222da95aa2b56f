#include "discovery/candidates.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static struct ov_addr at(uint8_t last)
{
	return addr_v4(10, 0, 0, last, 27182);
}

static void fill(struct candidates *c, enum candidate_source source)
{
	for (uint8_t i = 0; i < CANDIDATES_MAX; i++) {
		struct ov_addr a = at((uint8_t)(i + 1));
		assert_true(candidates_add(c, i, &a, source));
	}
}

static void what_cannot_be_a_peers_is_ignored(void **state)
{
	(void)state;
	struct candidates c = { 0 };
	struct ov_addr multicast = addr_v4(224, 0, 0, 1, 5), no_port = addr_v4(10, 0, 0, 1, 0);
	assert_false(candidates_add(&c, 0, &multicast, SOURCE_LAN));
	assert_false(candidates_add(&c, 0, &no_port, SOURCE_LAN));
	assert_int_equal(c.count, 0);
}

static void a_better_source_takes_over_a_worse_does_not(void **state)
{
	(void)state;
	struct candidates c = { 0 };
	struct ov_addr a = at(1);
	assert_true(candidates_add(&c, 1, &a, SOURCE_FACILITATOR));
	assert_false(candidates_add(&c, 2, &a, SOURCE_LAN));
	assert_int_equal(c.list[0].source, SOURCE_LAN);
	assert_false(candidates_add(&c, 3, &a, SOURCE_PEER));
	assert_int_equal(c.list[0].source, SOURCE_LAN);
	assert_int_equal(c.list[0].added_at, 3);
	candidates_fini(&c);
}

static void a_full_table_gives_up_the_oldest_of_the_least_trusted(void **state)
{
	(void)state;
	struct candidates c = { 0 };
	fill(&c, SOURCE_PEER);
	struct ov_addr more = at(100), first = at(1), second = at(2);
	assert_true(candidates_add(&c, 50, &more, SOURCE_LAN));
	assert_null(candidates_find(&c, &first));
	assert_non_null(candidates_find(&c, &second));
	struct ov_addr again = at(101);
	assert_true(candidates_add(&c, 51, &again, SOURCE_PEER));
	assert_non_null(candidates_find(&c, &more)); /* the lan one stays */
	assert_null(candidates_find(&c, &second));
	assert_int_equal(c.count, CANDIDATES_MAX);
	candidates_fini(&c);
}

static void nobody_pushes_out_what_the_owner_wrote(void **state)
{
	(void)state;
	struct candidates c = { 0 };
	fill(&c, SOURCE_CONFIG);
	struct ov_addr more = at(100), written = at(7);
	assert_false(candidates_add(&c, 50, &more, SOURCE_CACHE));
	candidates_forget_written(&c);
	assert_null(candidates_find(&c, &written));
	assert_true(candidates_add(&c, 51, &more, SOURCE_CACHE));
	candidates_fini(&c);
}

static void a_flood_of_claims_does_not_push_out_better_words(void **state)
{
	(void)state;
	struct candidates c = { 0 };
	fill(&c, SOURCE_LAN);
	struct ov_addr claim = at(100);
	assert_false(candidates_add(&c, 50, &claim, SOURCE_PEER));
	candidates_fini(&c);
}

static void a_source_expires_alone(void **state)
{
	(void)state;
	struct candidates c = { 0 };
	struct ov_addr lan = at(1), cache = at(2), fresh = at(3);
	(void)candidates_add(&c, 0, &lan, SOURCE_LAN);
	(void)candidates_add(&c, 0, &cache, SOURCE_CACHE);
	(void)candidates_add(&c, 90 * OV_SEC, &fresh, SOURCE_LAN);
	candidates_expire(&c, 100 * OV_SEC, SOURCE_LAN, 95 * OV_SEC);
	assert_null(candidates_find(&c, &lan));
	assert_non_null(candidates_find(&c, &cache));
	assert_non_null(candidates_find(&c, &fresh));
	candidates_fini(&c);
}

/* One address may take both: they are two. */
static void tcp_is_another_one(void **state)
{
	(void)state;
	struct candidates c = { 0 };
	struct ov_addr a = at(1), b = at(2);
	assert_true(candidates_add_tcp(&c, 1, &a, SOURCE_PEER));
	assert_null(candidates_find(&c, &a)); /* by UDP */
	assert_true(candidates_add(&c, 2, &a, SOURCE_LAN));
	assert_false(candidates_add_tcp(&c, 3, &a, SOURCE_CONFIG));
	assert_int_equal(c.count, 2);
	assert_int_equal(candidates_find(&c, &a)->source, SOURCE_LAN);
	candidates_forget_written(&c);
	assert_int_equal(c.count, 1);
	assert_int_equal(c.list[0].carrier, CARRIER_UDP);
	b.port = 0;
	assert_false(candidates_add_tcp(&c, 3, &b, SOURCE_CONFIG));
	candidates_fini(&c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_cannot_be_a_peers_is_ignored),
		cmocka_unit_test(a_better_source_takes_over_a_worse_does_not),
		cmocka_unit_test(a_full_table_gives_up_the_oldest_of_the_least_trusted),
		cmocka_unit_test(nobody_pushes_out_what_the_owner_wrote),
		cmocka_unit_test(a_flood_of_claims_does_not_push_out_better_words),
		cmocka_unit_test(a_source_expires_alone),
		cmocka_unit_test(tcp_is_another_one),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
