/* The jar: what is accepted and for how long. The COOKIE datagram is in test_handshake.c. */
#include "core/cookie.h"

#include "tests/unit/json_vectors.h"
#include "tests/unit/test_rng.h"

static bool address_ok(const struct cookie_jar *j, const struct ov_addr *from, const uint8_t c[16])
{
	uint8_t each[2][16];
	cookie_each_for_address(j, from, each);
	return memcmp(each[0], c, 16) == 0 || memcmp(each[1], c, 16) == 0;
}

static void test_model(void **state)
{
	(void)state;
	json_t *root = vec_load("tests/vectors/handshake.json");
	const json_t *v = json_object_get(root, "cookies");
	struct cookie_jar j = { 0 };
	struct ov_addr from;
	struct peer_id peer;
	uint8_t packed[ADDR_PACKED], expected[16], got[16];
	vec_bytes(v, "secret", j.secret[0], 32);
	vec_bytes(v, "address", packed, sizeof(packed));
	from = addr_unpack(packed);
	vec_bytes(v, "address_cookie", expected, 16);
	cookie_for_address(&j, &from, got);
	assert_memory_equal(got, expected, 16);
	vec_bytes(v, "peer", peer.bytes, 32);
	vec_bytes(v, "peer_cookie", expected, 16);
	cookie_for_peer(&j, &peer, got);
	assert_memory_equal(got, expected, 16);
	json_decref(root);
}

static void test_bound_to_its_owner(void **state)
{
	(void)state;
	struct test_rng t = { 0 };
	struct rng rng = test_rng_make(&t);
	struct cookie_jar j, other;
	struct peer_id p = { { 1 } }, q = { { 2 } };
	struct ov_addr a = addr_v4(192, 0, 2, 1, 1000);
	struct ov_addr port = addr_v4(192, 0, 2, 1, 1001), ip = addr_v4(192, 0, 2, 2, 1000);
	uint8_t c[16];
	cookie_jar_init(&j, 5, &rng);
	cookie_jar_init(&other, 5, &rng);
	cookie_for_peer(&j, &p, c);
	assert_true(cookie_is_of_peer(&j, &p, c));
	assert_false(cookie_is_of_peer(&j, &q, c));
	assert_false(cookie_is_of_peer(&other, &p, c));
	for (size_t i = 0; i < 128; i++) {
		c[i / 8] ^= (uint8_t)(1 << i % 8);
		assert_false(cookie_is_of_peer(&j, &p, c));
		c[i / 8] ^= (uint8_t)(1 << i % 8);
	}
	cookie_for_address(&j, &a, c);
	assert_true(address_ok(&j, &a, c));
	assert_false(address_ok(&j, &port, c));
	assert_false(address_ok(&j, &ip, c));
	assert_false(address_ok(&other, &a, c));
	assert_false(sodium_is_zero(j.secret[1], 32)); /* nobody knows the "previous" secret */
	memset(c, 0, 16);
	assert_false(cookie_is_of_peer(&j, &p, c));
	cookie_jar_wipe(&j);
	assert_true(sodium_is_zero((const uint8_t *)&j, sizeof(j)));
}

/* Age of the cookie when renew is called only then: accepted below 240 s from the secret's birth.
 */
static void check_life(ov_time made_after, ov_time asked_after, bool expected)
{
	struct test_rng t = { 0 };
	struct rng rng = test_rng_make(&t);
	struct cookie_jar j;
	struct peer_id p = { { 1 } };
	struct ov_addr a = addr_v4(192, 0, 2, 1, 1000);
	uint8_t c[16], d[16];
	ov_time start = 1000;
	cookie_jar_init(&j, start, &rng);
	cookie_jar_renew(&j, start + made_after, &rng);
	cookie_for_peer(&j, &p, c);
	cookie_for_address(&j, &a, d);
	cookie_jar_renew(&j, start + asked_after, &rng);
	assert_int_equal(cookie_is_of_peer(&j, &p, c), expected);
	assert_int_equal(address_ok(&j, &a, d), expected);
}

static void test_lifetime(void **state)
{
	(void)state;
	check_life(0, 120 * OV_SEC - 1, true);
	check_life(0, 120 * OV_SEC, true);
	check_life(0, 240 * OV_SEC - 1, true);
	check_life(0, 240 * OV_SEC, false);
	check_life(0, 100000 * OV_SEC, false);
	check_life(119 * OV_SEC, 239 * OV_SEC, true);
	check_life(119 * OV_SEC, 240 * OV_SEC, false);
	/* renewed late, at 200 s: the next renewal is still due at 240 s */
	check_life(200 * OV_SEC, 359 * OV_SEC, true);
	check_life(200 * OV_SEC, 360 * OV_SEC, false);
}

static void test_renewal_changes_secrets_once(void **state)
{
	(void)state;
	struct test_rng t = { 0 };
	struct rng rng = test_rng_make(&t);
	struct cookie_jar j, before;
	cookie_jar_init(&j, 0, &rng);
	before = j;
	cookie_jar_renew(&j, 119 * OV_SEC, &rng);
	assert_memory_equal(&j, &before, sizeof(j));
	cookie_jar_renew(&j, 121 * OV_SEC, &rng);
	assert_memory_equal(j.secret[1], before.secret[0], 32);
	assert_memory_not_equal(j.secret[0], before.secret[0], 32);
	before = j;
	cookie_jar_renew(&j, 239 * OV_SEC, &rng);
	assert_memory_equal(&j, &before, sizeof(j));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_model),
		cmocka_unit_test(test_bound_to_its_owner),
		cmocka_unit_test(test_lifetime),
		cmocka_unit_test(test_renewal_changes_secrets_once),
	};
	return sodium_init() < 0 ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
