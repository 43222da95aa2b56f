/* Keys, text form, addresses, signatures. */
#include "core/identity.h"

#include "tests/unit/json_vectors.h"

static struct identity make(uint8_t fill)
{
	struct identity id;
	uint8_t seed[32];
	memset(seed, fill, sizeof(seed));
	assert_int_equal(identity_from_seed(&id, seed), OV_OK);
	return id;
}

static void check_model(const json_t *v)
{
	uint8_t seed[32], expected[32], ip[16];
	char text[PEER_ID_TEXT_LEN + 1];
	struct identity id;
	vec_bytes(v, "seed", seed, 32);
	assert_int_equal(identity_from_seed(&id, seed), OV_OK);
	vec_bytes(v, "id", expected, 32);
	assert_memory_equal(id.id.bytes, expected, 32);
	vec_bytes(v, "dh_public", expected, 32);
	assert_memory_equal(id.dh_public, expected, 32);
	assert_string_equal(peer_id_format(&id.id, text), vec_text(v, "text"));
	vec_bytes(v, "address", expected, 16);
	peer_id_address(&id.id, ip);
	assert_memory_equal(ip, expected, 16);
}

static void test_model(void **state)
{
	(void)state;
	json_t *root = vec_load("tests/vectors/handshake.json"), *v;
	size_t i;
	json_array_foreach(json_object_get(root, "handshakes"), i, v)
	{
		check_model(json_object_get(v, "initiator"));
		check_model(json_object_get(v, "responder"));
	}
	assert_int_equal(i, 6);
	json_decref(root);
}

static void test_dh_halves_match(void **state)
{
	(void)state;
	struct identity a = make(1), b = make(2);
	uint8_t ab[32], ba[32], public[32], dh[32];
	crypto_scalarmult_base(public, a.dh_secret);
	assert_memory_equal(public, a.dh_public, 32);
	assert_int_equal(peer_id_to_dh(&a.id, dh), OV_OK);
	assert_memory_equal(dh, a.dh_public, 32);
	assert_int_equal(crypto_scalarmult(ab, a.dh_secret, b.dh_public), 0);
	assert_int_equal(crypto_scalarmult(ba, b.dh_secret, a.dh_public), 0);
	assert_memory_equal(ab, ba, 32);
	identity_wipe(&a);
	assert_true(sodium_is_zero((const uint8_t *)&a, sizeof(a)));
}

static void test_text_round_trip(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 50; i++) {
		struct identity id = make((uint8_t)i);
		char text[PEER_ID_TEXT_LEN + 1], again[PEER_ID_TEXT_LEN + 1];
		struct peer_id got;
		peer_id_format(&id.id, text);
		assert_int_equal(strlen(text), PEER_ID_TEXT_LEN);
		assert_int_equal(peer_id_parse(text, &got), OV_OK);
		assert_true(peer_id_equal(&got, &id.id));
		assert_string_equal(peer_id_format(&got, again), text);
		for (char *c = text; *c; c++)
			*c = (char)(*c >= 'a' ? *c - 32 : *c);
		assert_int_equal(peer_id_parse(text, &got), OV_OK);
	}
}

/* Every other character at every place, every swap of neighbours, every length. */
static void test_text_errors(void **state)
{
	(void)state;
	for (uint8_t key = 1; key <= 3; key++) {
		struct identity id = make(key);
		char text[PEER_ID_TEXT_LEN + 2];
		struct peer_id got = id.id;
		peer_id_format(&id.id, text);
		for (size_t i = 0; i < PEER_ID_TEXT_LEN; i++) {
			char right = text[i];
			for (int c = 1; c < 256; c++) {
				text[i] = (char)c;
				bool same = (char)c == right || (right >= 'a' && c == right - 32);
				assert_int_equal(peer_id_parse(text, &got) == OV_OK, same);
				assert_true(peer_id_equal(&got, &id.id));
			}
			text[i] = 0;
			assert_int_equal(peer_id_parse(text, &got), OV_EFORMAT);
			text[i] = right;
		}
		for (size_t i = 0; i + 1 < PEER_ID_TEXT_LEN; i++) {
			char a = text[i], b = text[i + 1];
			text[i] = b;
			text[i + 1] = a;
			assert_int_equal(peer_id_parse(text, &got) == OV_OK, a == b);
			text[i] = a;
			text[i + 1] = b;
		}
		text[PEER_ID_TEXT_LEN] = 'a';
		text[PEER_ID_TEXT_LEN + 1] = 0;
		assert_int_equal(peer_id_parse(text, &got), OV_EFORMAT);
	}
}

static void check_refused(const char *hex)
{
	struct peer_id id, got;
	uint8_t dh[DH_LEN];
	char text[PEER_ID_TEXT_LEN + 1];
	assert_int_equal(sodium_hex2bin(id.bytes, 32, hex, 64, NULL, NULL, NULL), 0);
	assert_int_equal(peer_id_to_dh(&id, dh), OV_EINVAL);
	peer_id_format(&id, text);
	assert_int_equal(peer_id_parse(text, &got), OV_EINVAL);
}

static void test_refused_keys(void **state)
{
	(void)state;
	/* small order: 1, 2, 4 (two), 8 (two) */
	check_refused("0100000000000000000000000000000000000000000000000000000000000000");
	check_refused("ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f");
	check_refused("0000000000000000000000000000000000000000000000000000000000000000");
	check_refused("0000000000000000000000000000000000000000000000000000000000000080");
	check_refused("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05");
	check_refused("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a");
	/* y = 2 is on no point */
	check_refused("0200000000000000000000000000000000000000000000000000000000000000");
}

/* y from p to 2^255 - 1, both signs: all encodings that are not canonical. */
static void test_refused_encodings(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 38; i++) {
		struct peer_id id;
		uint8_t dh[DH_LEN];
		memset(id.bytes, 0xff, sizeof(id.bytes));
		id.bytes[0] = (uint8_t)(0xed + i / 2);
		id.bytes[31] = i % 2 ? 0xff : 0x7f;
		assert_int_equal(peer_id_to_dh(&id, dh), OV_EINVAL);
	}
}

static void test_order(void **state)
{
	(void)state;
	struct peer_id a = { { 1 } }, b = { { 1, 1 } };
	assert_true(peer_id_compare(&a, &b) < 0 && peer_id_compare(&b, &a) > 0);
	assert_int_equal(peer_id_compare(&a, &a), 0);
	assert_false(peer_id_equal(&a, &b));
}

static void test_signatures(void **state)
{
	(void)state;
	struct identity a = make(1), b = make(2);
	uint8_t sig[64], data[OV_SIGN_MAX + 1] = { 7 };
	ov_sign(sig, &a, "OVL record", data, 100);
	assert_true(ov_verify(sig, &a.id, "OVL record", data, 100));
	assert_false(ov_verify(sig, &a.id, "OVL recorD", data, 100));
	assert_false(ov_verify(sig, &a.id, "OVL recor", data, 100));
	assert_false(ov_verify(sig, &a.id, "", data, 100));
	assert_false(ov_verify(sig, &b.id, "OVL record", data, 100));
	assert_false(ov_verify(sig, &a.id, "OVL record", data, 99));
	assert_false(ov_verify(sig, &a.id, "OVL record", data, 101));
	assert_false(ov_verify(sig, &a.id, "OVL record", data, sizeof(data)));
	for (size_t i = 0; i < sizeof(sig) * 8; i++) {
		sig[i / 8] ^= (uint8_t)(1 << i % 8);
		assert_false(ov_verify(sig, &a.id, "OVL record", data, 100));
		sig[i / 8] ^= (uint8_t)(1 << i % 8);
	}
	/* the zero byte separates label from data */
	ov_sign(sig, &a, "x", "yz", 2);
	assert_false(ov_verify(sig, &a.id, "xy", "z", 1));
	ov_sign(sig, &a, "empty", NULL, 0);
	assert_true(ov_verify(sig, &a.id, "empty", NULL, 0));
}

static void test_hash_separates_labels(void **state)
{
	(void)state;
	uint8_t a[32], b[32], key[32] = { 1 };
	ov_hash(a, 32, "OVL one", "data", 4);
	ov_hash(b, 32, "OVL two", "data", 4);
	assert_memory_not_equal(a, b, 32);
	ov_hash_keyed(b, 32, &(struct hash_key){ "OVL one", key, 32 }, "data", 4);
	assert_memory_not_equal(a, b, 32);
	ov_hash(b, 16, "OVL one", "data", 4); /* BLAKE2b hashes its length in */
	assert_memory_not_equal(a, b, 16);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_model),
		cmocka_unit_test(test_dh_halves_match),
		cmocka_unit_test(test_text_round_trip),
		cmocka_unit_test(test_text_errors),
		cmocka_unit_test(test_refused_keys),
		cmocka_unit_test(test_refused_encodings),
		cmocka_unit_test(test_order),
		cmocka_unit_test(test_signatures),
		cmocka_unit_test(test_hash_separates_labels),
	};
	return sodium_init() < 0 ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
