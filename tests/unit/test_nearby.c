/* Notices and the list of who is visible: what is one, what is believed, what it may cost. */
#include "tests/unit/json_vectors.h"
#include "tests/unit/seeded.h"

#include "overlay/nearby.h"

#define NOW (1000 * OV_SEC)

static struct identity who(size_t number)
{
	struct identity id;
	uint8_t seed[32] = { 13, (uint8_t)number, (uint8_t)(number >> 8) };
	assert_int_equal(identity_from_seed(&id, seed), OV_OK);
	return id;
}

static struct notice write(uint8_t raw[NOTICE_LEN], size_t number, const char *name)
{
	struct identity id = who(number);
	struct notice n = { .id = id.id, .port = 27182 };
	memcpy(n.name, name, strlen(name) + 1);
	notice_encode(raw, &n, &id);
	return n;
}

static struct ov_addr from(unsigned host)
{
	return addr_v4(10, 7, (uint8_t)(host >> 8), (uint8_t)host, 27182);
}

static enum nearby_verdict put(
	struct nearby *t, ov_time now, size_t number, const char *name, unsigned host)
{
	uint8_t raw[NOTICE_LEN];
	struct notice n = write(raw, number, name);
	struct ov_addr at = from(host);
	return nearby_put(t, now, &n, raw, &at, 2);
}

/* ---- bytes ---- */

static void a_notice_says_what_was_put_in(void **state)
{
	(void)state;
	uint8_t raw[NOTICE_LEN + 1] = { 0 };
	struct notice n = write(raw, 1, "the-desk"), got;
	assert_true(notice_is(raw, NOTICE_LEN));
	assert_int_equal(notice_decode(&got, raw, NOTICE_LEN), DROP_NONE);
	assert_true(peer_id_equal(&got.id, &n.id));
	assert_string_equal(got.name, "the-desk");
	assert_int_equal(got.port, 27182);
	assert_true(notice_is_signed(&got, raw));
	assert_int_equal(notice_decode(&got, raw, NOTICE_LEN + 1), DROP_OVERSIZED);
	for (size_t i = 0; i < NOTICE_LEN; i++)
		assert_int_equal(notice_decode(&got, raw, i), DROP_SHORT);
	for (size_t i = 0; i < (size_t)NOTICE_LEN * 8; i++) {
		raw[i / 8] ^= (uint8_t)(1 << i % 8);
		assert_true(notice_decode(&got, raw, NOTICE_LEN) != DROP_NONE ||
			    !notice_is_signed(&got, raw));
		raw[i / 8] ^= (uint8_t)(1 << i % 8);
	}
}

static void names_are_harmless(void **state)
{
	(void)state;
	static const char *const bad[] = { "\033[2J", "a b", "-rf", "$(id)", "a\nb", ".x", "a/b",
		"\23331m" };
	char name[NOTICE_NAME_MAX + 1];
	assert_true(notice_name_ok("") && notice_name_ok("Laptop-2.home_x"));
	memset(name, 'a', sizeof(name));
	name[NOTICE_NAME_MAX] = '\0';
	assert_false(notice_name_ok(name));
	name[NOTICE_NAME_MAX - 1] = '\0';
	assert_true(notice_name_ok(name));
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		uint8_t raw[NOTICE_LEN];
		struct notice got;
		(void)write(raw, 1, "x");
		assert_false(notice_name_ok(bad[i]));
		raw[HEADER_LEN + 2] = (uint8_t)strlen(bad[i]);
		memcpy(raw + HEADER_LEN + 4 + PEER_ID_LEN, bad[i], strlen(bad[i]));
		assert_int_equal(notice_decode(&got, raw, NOTICE_LEN), DROP_FORMAT);
	}
}

static void frozen_vector(void **state)
{
	(void)state;
	json_t *root = vec_load("tests/vectors/invite.json");
	const json_t *one = json_object_get(root, "notice");
	uint8_t seed[32], want[NOTICE_LEN], got[NOTICE_LEN];
	struct identity id;
	vec_bytes(one, "seed", seed, 32);
	vec_bytes(one, "notice", want, sizeof(want));
	assert_int_equal(identity_from_seed(&id, seed), OV_OK);
	struct notice n = { .id = id.id, .port = (uint16_t)vec_u64(one, "port") };
	snprintf(n.name, sizeof(n.name), "%s", json_string_value(json_object_get(one, "name")));
	notice_encode(got, &n, &id);
	assert_memory_equal(got, want, sizeof(want));
	json_decref(root);
}

/* ---- the list ---- */

static void who_goes_on_stays_and_who_stops_is_forgotten(void **state)
{
	(void)state;
	struct nearby t = { .count = 0 };
	assert_int_equal(put(&t, NOW, 1, "desk", 1), NEARBY_NEW);
	assert_int_equal(put(&t, NOW, 2, "", 2), NEARBY_NEW);
	for (unsigned i = 1; i <= 10; i++)
		assert_int_equal(put(&t, NOW + i * NEARBY_EVERY, 1, "desk", 1), NEARBY_KNOWN);
	ov_time now = NOW + 10 * NEARBY_EVERY;
	assert_int_equal(t.count, 1);
	struct identity desk = who(1);
	assert_int_equal(nearby_find(&t, &desk.id)->heard_at, now);
	assert_int_equal(nearby_deadline(&t), now + 4 * NEARBY_EVERY);
	nearby_expire(&t, now + 4 * NEARBY_EVERY - 1);
	assert_int_equal(t.count, 1);
	nearby_expire(&t, now + 4 * NEARBY_EVERY);
	assert_int_equal(t.count, 0);
	assert_int_equal(nearby_deadline(&t), OV_NEVER);
}

static void another_name_replaces_and_another_address_adds(void **state)
{
	(void)state;
	struct nearby t = { .count = 0 };
	struct identity desk = who(1);
	struct ov_addr first = from(1), second = from(2);
	(void)put(&t, NOW, 1, "desk", 1);
	assert_true(addr_is_any(&nearby_find(&t, &desk.id)->also));
	assert_int_equal(put(&t, NOW, 1, "desk", 2), NEARBY_KNOWN); /* repeated by somebody, or
								       its other address */
	assert_true(addr_equal(&nearby_find(&t, &desk.id)->at, &first));
	assert_true(addr_equal(&nearby_find(&t, &desk.id)->also, &second));
	t.list[0].told = true;
	assert_int_equal(put(&t, NOW, 1, "table", 1), NEARBY_NEW);
	assert_int_equal(t.count, 1);
	assert_string_equal(t.list[0].notice.name, "table");
	assert_true(t.list[0].told); /* no news */
}

static void a_forged_one_changes_nothing(void **state)
{
	(void)state;
	struct nearby t = { .count = 0 };
	uint8_t raw[NOTICE_LEN];
	struct notice n;
	struct ov_addr at = from(1);
	(void)put(&t, NOW, 1, "desk", 1);
	(void)write(raw, 1, "desk");
	raw[HEADER_LEN + 4 + PEER_ID_LEN] = 'f'; /* "fesk" */
	assert_int_equal(notice_decode(&n, raw, sizeof(raw)), DROP_NONE);
	assert_int_equal(nearby_put(&t, NOW, &n, raw, &at, 2), NEARBY_FORGED);
	assert_string_equal(t.list[0].notice.name, "desk");
	assert_int_equal(t.count, 1);
}

static void a_source_has_four_places_and_all_have_64(void **state)
{
	(void)state;
	struct nearby t = { .count = 0 };
	assert_int_equal(put(&t, NOW, 1000, "honest", 99), NEARBY_NEW);
	for (size_t i = 0; i < 10; i++)
		assert_int_equal(put(&t, NOW + (ov_time)i * OV_SEC, i, "x", 1),
			i < 4 ? NEARBY_NEW : NEARBY_CROWDED);
	ov_time now = NOW + 10 * OV_SEC;
	for (size_t i = 0; i < 200; i++)
		(void)put(&t, now + (ov_time)i * 50 * OV_MS, 100 + i, "x", (unsigned)(200 + i));
	assert_int_equal(t.count, NEARBY_MAX);
	assert_string_equal(t.list[0].notice.name, "honest");
	assert_int_equal(nearby_interval(&t), 16 * OV_SEC);
	struct ov_addr a = { .ip = { 0x20, 1, 0xd, 0xb8, [15] = 7 } }, b = a;
	b.ip[7] = 1; /* another /64, the same interface */
	struct nearby six = { .count = 0 };
	for (size_t i = 0; i < 5; i++) {
		uint8_t raw[NOTICE_LEN];
		struct notice n = write(raw, i, "x");
		assert_int_equal(nearby_put(&six, NOW, &n, raw, i % 2 ? &a : &b, 2),
			i < 4 ? NEARBY_NEW : NEARBY_CROWDED);
	}
}

static void signatures_have_a_budget(void **state)
{
	(void)state;
	struct nearby t = { .count = 0 };
	size_t checked = 0, limited = 0;
	for (size_t i = 0; i < 300; i++) { /* the same machine, ever another name */
		char name[16];
		snprintf(name, sizeof(name), "n%zu", i);
		enum nearby_verdict v = put(&t, NOW, 1, name, 1);
		checked += v == NEARBY_NEW;
		limited += v == NEARBY_LIMITED;
	}
	assert_int_equal(checked, 64);
	assert_int_equal(limited, 300 - 64);
	assert_int_equal(put(&t, NOW, 1, "n63", 1), NEARBY_KNOWN); /* what is known costs none */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_notice_says_what_was_put_in),
		cmocka_unit_test(names_are_harmless),
		cmocka_unit_test(frozen_vector),
		cmocka_unit_test(who_goes_on_stays_and_who_stops_is_forgotten),
		cmocka_unit_test(another_name_replaces_and_another_address_adds),
		cmocka_unit_test(a_forged_one_changes_nothing),
		cmocka_unit_test(a_source_has_four_places_and_all_have_64),
		cmocka_unit_test(signatures_have_a_budget),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
