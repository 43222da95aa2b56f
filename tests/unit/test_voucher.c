/* A voucher admits who knows the token, to one facilitator, for a while; nothing else does. */
#include "tests/unit/json_vectors.h"
#include "tests/unit/seeded.h"

#include "discovery/voucher.h"

#define EXPIRES 1800000000

static const uint8_t secret[VOUCHER_SECRET_LEN] = { 1, 2, 3 };

static struct identity who(uint8_t number)
{
	struct identity id;
	uint8_t seed[32] = { 11, number };
	assert_int_equal(identity_from_seed(&id, seed), OV_OK);
	return id;
}

static struct voucher make(const struct identity *inviter, const struct identity *facilitator)
{
	struct voucher v = voucher_draft(&inviter->id, &facilitator->id, secret, EXPIRES);
	voucher_sign(&v, inviter);
	return v;
}

static void who_shows_the_token_is_admitted(void **state)
{
	(void)state;
	struct identity inviter = who(1), facilitator = who(2);
	struct voucher v = make(&inviter, &facilitator), got;
	uint8_t data[VOUCHER_LEN], token[VOUCHER_TOKEN_LEN];
	voucher_token(token, secret);
	voucher_encode(&v, data);
	assert_int_equal(voucher_decode(&got, data, sizeof(data)), OV_OK);
	assert_int_equal(voucher_check(&got, &facilitator.id, token, EXPIRES - 1), OV_OK);
	assert_true(peer_id_equal(&got.inviter, &inviter.id));
}

static void each_refusal_has_its_reason(void **state)
{
	(void)state;
	struct identity inviter = who(1), facilitator = who(2), other = who(3);
	struct voucher v = make(&inviter, &facilitator);
	uint8_t token[VOUCHER_TOKEN_LEN];
	voucher_token(token, secret);
	assert_int_equal(voucher_check(&v, &other.id, token, 0), OV_EINVAL);
	assert_int_equal(voucher_check(&v, &facilitator.id, token, EXPIRES), OV_ENOENT);
	assert_int_equal(voucher_check(&v, &facilitator.id, secret, 0), OV_EAUTH); /* no token */
	token[15] ^= 1;
	assert_int_equal(voucher_check(&v, &facilitator.id, token, 0), OV_EAUTH);
	token[15] ^= 1;
	v.inviter = other.id; /* signed by somebody else */
	assert_int_equal(voucher_check(&v, &facilitator.id, token, 0), OV_EAUTH);
}

/* The facilitator sees the token; the secret must not follow from it, nor be equal to it. */
static void the_token_is_not_the_secret(void **state)
{
	(void)state;
	uint8_t token[VOUCHER_TOKEN_LEN], again[VOUCHER_TOKEN_LEN];
	voucher_token(token, secret);
	voucher_token(again, token);
	assert_memory_not_equal(token, secret, sizeof(token));
	assert_memory_not_equal(again, secret, sizeof(token));
}

static void no_byte_may_change(void **state)
{
	(void)state;
	struct identity inviter = who(1), facilitator = who(2);
	struct voucher v = make(&inviter, &facilitator), got;
	uint8_t data[VOUCHER_LEN + 1] = { 0 }, token[VOUCHER_TOKEN_LEN];
	voucher_token(token, secret);
	voucher_encode(&v, data);
	for (size_t i = 0; i < VOUCHER_LEN; i++) {
		assert_int_equal(voucher_decode(&got, data, i), OV_EFORMAT);
		data[i] ^= 1;
		assert_true(voucher_decode(&got, data, VOUCHER_LEN) != OV_OK ||
			    voucher_check(&got, &facilitator.id, token, 0) != OV_OK);
		data[i] ^= 1;
	}
	assert_int_equal(voucher_decode(&got, data, VOUCHER_LEN + 1), OV_EFORMAT);
}

static void frozen_vector(void **state)
{
	(void)state;
	json_t *root = vec_load("tests/vectors/invite.json");
	const json_t *one = json_object_get(root, "voucher");
	uint8_t seed[32], want[VOUCHER_LEN], key[VOUCHER_SECRET_LEN], token[VOUCHER_TOKEN_LEN];
	uint8_t data[VOUCHER_LEN], want_token[VOUCHER_TOKEN_LEN];
	struct identity inviter;
	struct peer_id facilitator;
	vec_bytes(one, "seed", seed, 32);
	vec_bytes(one, "facilitator", facilitator.bytes, 32);
	vec_bytes(one, "secret", key, sizeof(key));
	vec_bytes(one, "token", want_token, sizeof(want_token));
	vec_bytes(one, "voucher", want, sizeof(want));
	assert_int_equal(identity_from_seed(&inviter, seed), OV_OK);
	voucher_token(token, key);
	assert_memory_equal(token, want_token, sizeof(token));
	struct voucher v = voucher_draft(&inviter.id, &facilitator, key, vec_u64(one, "expires_s"));
	voucher_sign(&v, &inviter);
	voucher_encode(&v, data);
	assert_memory_equal(data, want, sizeof(want));

	uint8_t pass[VOUCHER_PASS_LEN], want_pass[VOUCHER_PASS_LEN];
	struct voucher got;
	vec_bytes(one, "shown", want_pass, sizeof(want_pass));
	voucher_pass(&v, token, pass);
	assert_memory_equal(pass, want_pass, sizeof(pass));
	sodium_memzero(token, sizeof(token));
	voucher_pass_read(&got, token, pass, &facilitator);
	assert_memory_equal(token, want_token, sizeof(token));
	assert_memory_equal(&got, &v, sizeof(got));
	assert_int_equal(voucher_check(&got, &facilitator, token, 0), OV_OK);
	json_decref(root);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(who_shows_the_token_is_admitted),
		cmocka_unit_test(each_refusal_has_its_reason),
		cmocka_unit_test(the_token_is_not_the_secret),
		cmocka_unit_test(no_byte_may_change),
		cmocka_unit_test(frozen_vector),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
