/* A line says what its inviter wrote, and what is wrong with one that is no good. */
#include "tests/unit/json_vectors.h"
#include "tests/unit/seeded.h"

#include "discovery/invite.h"

static struct identity who(uint8_t number)
{
	struct identity id;
	uint8_t seed[32] = { 12, number };
	assert_int_equal(identity_from_seed(&id, seed), OV_OK);
	return id;
}

static struct invite full(void)
{
	struct identity inviter = who(1);
	struct invite in = { .inviter = inviter.id, .expires_s = 1800000000, .name = "desk" };
	for (size_t i = 0; i < INVITE_SECRET_LEN; i++)
		in.secret[i] = (uint8_t)(0x40 + i);
	in.endpoints[in.endpoint_count++] = addr_v4(203, 0, 113, 9, 4021);
	in.endpoints[in.endpoint_count++] = addr_v4(192, 168, 1, 7, 27182);
	struct ov_addr *v6 = &in.endpoints[in.endpoint_count++];
	assert_int_equal(addr_parse("[2001:db8::7]:27182", 0, v6), OV_OK);
	for (uint8_t i = 0; i < INVITE_FACILITATORS; i++) {
		struct invite_facilitator *f = &in.facilitators[in.facilitator_count++];
		f->id = who((uint8_t)(10 + i)).id;
		f->endpoint = i ? *v6 : addr_v4(198, 51, 100, 1, 27182);
		struct voucher v = voucher_draft(&in.inviter, &f->id, in.secret, in.expires_s);
		voucher_sign(&v, &inviter);
		memcpy(f->signature, v.signature, sizeof(v.signature));
	}
	return in;
}

static void expect_equal(const struct invite *a, const struct invite *b)
{
	assert_true(peer_id_equal(&a->inviter, &b->inviter));
	assert_memory_equal(a->secret, b->secret, INVITE_SECRET_LEN);
	assert_int_equal(a->expires_s, b->expires_s);
	assert_string_equal(a->name, b->name);
	assert_int_equal(a->endpoint_count, b->endpoint_count);
	for (size_t i = 0; i < a->endpoint_count; i++)
		assert_true(addr_equal(&a->endpoints[i], &b->endpoints[i]));
	assert_int_equal(a->facilitator_count, b->facilitator_count);
	for (size_t i = 0; i < a->facilitator_count; i++) {
		assert_true(peer_id_equal(&a->facilitators[i].id, &b->facilitators[i].id));
		assert_true(addr_equal(&a->facilitators[i].endpoint, &b->facilitators[i].endpoint));
		assert_memory_equal(a->facilitators[i].signature, b->facilitators[i].signature, 64);
	}
}

static void what_was_written_is_read(void **state)
{
	(void)state;
	char line[INVITE_TEXT_MAX];
	for (size_t endpoints = 0; endpoints <= 3; endpoints++)
		for (size_t facilitators = 0; facilitators <= 2; facilitators++) {
			struct invite in = full(), got;
			in.endpoint_count = endpoints;
			in.facilitator_count = facilitators;
			if (endpoints == 2)
				in.name[0] = 0;
			invite_encode(&in, line);
			assert_null(strpbrk(line, " \t\n=+/"));
			assert_int_equal(invite_decode(&got, line), INVITE_OK);
			expect_equal(&in, &got);
			for (char *c = line; *c; c++) /* as the QR code has it */
				*c = (char)(*c >= 'a' && *c <= 'z' ? *c - 'a' + 'A' : *c);
			assert_int_equal(invite_decode(&got, line), INVITE_OK);
			expect_equal(&in, &got);
		}
}

static void the_fullest_fits(void **state)
{
	(void)state;
	char line[INVITE_TEXT_MAX];
	struct invite in = full(), got;
	memset(in.name, 'n', INVITE_NAME_MAX - 1);
	for (size_t i = 0; i < INVITE_FACILITATORS; i++)
		in.facilitators[i].endpoint = in.endpoints[2];
	for (size_t i = 0; i < INVITE_ENDPOINTS; i++)
		in.endpoints[i] = in.endpoints[2];
	in.endpoint_count = INVITE_ENDPOINTS;
	assert_true(strlen(invite_encode(&in, line)) < INVITE_TEXT_MAX);
	assert_int_equal(invite_decode(&got, line), INVITE_OK);
	expect_equal(&in, &got);
}

static void vouchers_of_the_line_hold(void **state)
{
	(void)state;
	struct invite in = full();
	uint8_t token[VOUCHER_TOKEN_LEN];
	voucher_token(token, in.secret);
	for (size_t i = 0; i < in.facilitator_count; i++) {
		struct voucher v = invite_voucher(&in, i);
		assert_int_equal(voucher_check(&v, &in.facilitators[i].id, token, 0), OV_OK);
		in.facilitators[i].signature[5] ^= 1;
		v = invite_voucher(&in, i);
		assert_int_equal(voucher_check(&v, &in.facilitators[i].id, token, 0), OV_EAUTH);
	}
}

/* Every cut is called a cut, every changed character is noticed. */
static void wrong_lines_say_what_is_wrong(void **state)
{
	(void)state;
	char line[INVITE_TEXT_MAX], bad[INVITE_TEXT_MAX + 8];
	struct invite in = full(), got = { .expires_s = 7 };
	size_t len = strlen(invite_encode(&in, line)), prefix = strlen(INVITE_PREFIX);
	for (size_t cut = 0; cut < len; cut++) {
		memcpy(bad, line, cut);
		bad[cut] = 0;
		assert_int_equal(invite_decode(&got, bad),
			cut < prefix ? INVITE_NO_INVITE : INVITE_TRUNCATED);
	}
	for (size_t i = 0; i < len; i++) {
		memcpy(bad, line, len + 1);
		bad[i] = bad[i] == 'c' ? 'd' : 'c';
		assert_int_not_equal(invite_decode(&got, bad), INVITE_OK);
		if (i >= prefix + 8)
			assert_int_equal(invite_decode(&got, bad), INVITE_MISTYPED);
		bad[i] = '1';
		assert_int_equal(invite_decode(&got, bad),
			i < prefix ? INVITE_NO_INVITE : INVITE_BAD_LETTER);
	}
	snprintf(bad, sizeof(bad), "%sa", line);
	assert_int_equal(invite_decode(&got, bad), INVITE_TRAILING);
	snprintf(bad, sizeof(bad), "%s ", line);
	assert_int_equal(invite_decode(&got, bad), INVITE_BAD_LETTER);
	memcpy(bad, line, len + 1);
	bad[prefix] = 'b'; /* version 9 */
	assert_int_equal(invite_decode(&got, bad), INVITE_NEWER);
	assert_int_equal(invite_decode(&got, ""), INVITE_NO_INVITE);
	assert_int_equal(got.expires_s, 7); /* set by a good one only */
	for (int v = INVITE_OK; v <= INVITE_IMPOSSIBLE; v++)
		assert_true(strlen(invite_verdict_text((enum invite_verdict)v)) > 10);
}

static void intact_but_impossible(void **state)
{
	(void)state;
	char line[INVITE_TEXT_MAX];
	struct invite in = full(), got;
	memset(in.inviter.bytes, 0, PEER_ID_LEN); /* of small order */
	in.facilitator_count = 0;
	assert_int_equal(invite_decode(&got, invite_encode(&in, line)), INVITE_IMPOSSIBLE);
	in = full();
	memset(in.facilitators[0].id.bytes, 0, PEER_ID_LEN);
	assert_int_equal(invite_decode(&got, invite_encode(&in, line)), INVITE_IMPOSSIBLE);
}

static void it_expires(void **state)
{
	(void)state;
	struct invite in = full();
	assert_false(invite_expired(&in, in.expires_s - 1));
	assert_true(invite_expired(&in, in.expires_s));
}

static void the_hash_is_not_the_secret(void **state)
{
	(void)state;
	struct invite in = full();
	uint8_t hash[INVITE_HASH_LEN], token[VOUCHER_TOKEN_LEN];
	invite_hash(hash, in.secret);
	voucher_token(token, in.secret);
	assert_memory_not_equal(hash, in.secret, INVITE_SECRET_LEN);
	assert_memory_not_equal(hash, token, VOUCHER_TOKEN_LEN);
}

static void frozen_vectors(void **state)
{
	(void)state;
	json_t *root = vec_load("tests/vectors/invite.json");
	const json_t *list = json_object_get(root, "invites"), *one;
	size_t n;
	assert_true(json_array_size(list) >= 2);
	json_array_foreach(list, n, one)
	{
		struct invite got;
		uint8_t inviter[32], secret[INVITE_SECRET_LEN], hash[INVITE_HASH_LEN];
		uint8_t want_hash[INVITE_HASH_LEN];
		char line[INVITE_TEXT_MAX], text[ADDR_TEXT_MAX];
		assert_int_equal(invite_decode(&got, vec_text(one, "line")), INVITE_OK);
		vec_bytes(one, "inviter", inviter, sizeof(inviter));
		vec_bytes(one, "secret", secret, sizeof(secret));
		vec_bytes(one, "hash", want_hash, sizeof(want_hash));
		assert_memory_equal(got.inviter.bytes, inviter, sizeof(inviter));
		assert_memory_equal(got.secret, secret, sizeof(secret));
		invite_hash(hash, secret);
		assert_memory_equal(hash, want_hash, sizeof(hash));
		assert_int_equal(got.expires_s, vec_u64(one, "expires_s"));
		assert_string_equal(got.name, vec_text(one, "name"));
		const json_t *endpoints = json_object_get(one, "endpoints");
		assert_int_equal(got.endpoint_count, json_array_size(endpoints));
		for (size_t i = 0; i < got.endpoint_count; i++)
			assert_string_equal(addr_format(&got.endpoints[i], text),
				json_string_value(json_array_get(endpoints, i)));
		assert_string_equal(invite_encode(&got, line), vec_text(one, "line"));
	}
	json_decref(root);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_was_written_is_read),
		cmocka_unit_test(the_fullest_fits),
		cmocka_unit_test(vouchers_of_the_line_hold),
		cmocka_unit_test(wrong_lines_say_what_is_wrong),
		cmocka_unit_test(intact_but_impossible),
		cmocka_unit_test(it_expires),
		cmocka_unit_test(the_hash_is_not_the_secret),
		cmocka_unit_test(frozen_vectors),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
