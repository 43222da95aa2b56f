/* PCP: bytes as RFC 6887 draws them, and its epoch rule. */
#include "tests/unit/seeded.h"

#include "discovery/pcp.h"

static const struct pcp_map asked = {
	.nonce = { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12 },
	.lifetime_s = 7200,
};

/* clang-format off */
static const uint8_t map_request[PCP_MAP_LEN] = { /* 7.1 and 11.1 */
	2, 1, 0, 0,  0, 0, 0x1c, 0x20,
	0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 192, 168, 1, 9,
	1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12,
	17, 0, 0, 0,  0x6a, 0x2e, 0x6a, 0x2e,
	0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0, 0, 0,
};
static const uint8_t map_answer[PCP_MAP_LEN] = { /* 7.2 and 11.1 */
	2, 0x81, 0, 0,  0, 0, 0x0e, 0x10,  0, 1, 0, 2,
	0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
	1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12,
	17, 0, 0, 0,  0x6a, 0x2e, 0x13, 0x88,
	0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 45, 1, 2, 3,
};
/* clang-format on */

static struct pcp_map ours(void)
{
	struct pcp_map m = asked;
	m.internal = addr_v4(192, 168, 1, 9, 27182);
	m.external.port = 27182;
	return m;
}

static void requests_are_as_the_rfc_draws_them(void **state)
{
	(void)state;
	uint8_t out[PCP_MAP_LEN];
	struct pcp_map m = ours();
	assert_int_equal(pcp_encode_map(out, &m), PCP_MAP_LEN);
	assert_memory_equal(out, map_request, PCP_MAP_LEN);
	m.external = addr_v4(45, 1, 2, 3, 5000); /* a renewal suggests what it has */
	pcp_encode_map(out, &m);
	assert_memory_equal(out + 42, map_answer + 42, 18);
	m.internal = (struct ov_addr){ .ip = { 0x2a, 0x45, [15] = 9 }, .port = 27182 };
	m.external = (struct ov_addr){ .port = 27182 };
	pcp_encode_map(out, &m); /* no preference for IPv6 is ::, not ::ffff:0.0.0.0 */
	assert_memory_equal(out + 8, m.internal.ip, 16);
	assert_memory_equal(out + 44, m.external.ip, 16);

	uint8_t announce[PCP_ANNOUNCE_LEN];
	m.internal = addr_v4(192, 168, 1, 9, 0);
	assert_int_equal(pcp_encode_announce(announce, &m.internal), PCP_ANNOUNCE_LEN);
	static const uint8_t head[8] = { 2 };
	assert_memory_equal(announce, head, 8);
	assert_memory_equal(announce + 8, map_request + 8, 16);
}

static void answers_are_read(void **state)
{
	(void)state;
	struct pcp_answer a;
	struct pcp_map m = ours();
	struct ov_addr external = addr_v4(45, 1, 2, 3, 5000);
	assert_int_equal(pcp_decode(&a, map_answer, PCP_MAP_LEN), DROP_NONE);
	assert_int_equal(a.opcode, PCP_MAP);
	assert_int_equal(a.result, PCP_SUCCESS);
	assert_int_equal(a.lifetime_s, 3600);
	assert_int_equal(a.epoch_s, 65538);
	assert_true(addr_equal(&a.map.external, &external));
	assert_true(pcp_answer_is_for(&a, &m));
	m.nonce[11]++;
	assert_false(pcp_answer_is_for(&a, &m));
	m = ours();
	m.internal.port++;
	assert_false(pcp_answer_is_for(&a, &m));

	uint8_t with_option[PCP_MAP_LEN + 8] = { 0 };
	memcpy(with_option, map_answer, PCP_MAP_LEN);
	assert_int_equal(pcp_decode(&a, with_option, sizeof(with_option)), DROP_NONE);

	uint8_t announce[PCP_ANNOUNCE_LEN] = { 2, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7 };
	assert_int_equal(pcp_decode(&a, announce, sizeof(announce)), DROP_NONE);
	assert_int_equal(a.opcode, PCP_ANNOUNCE);
	assert_int_equal(a.epoch_s, 7);
	assert_false(pcp_answer_is_for(&a, &m));
}

/* RFC 6886 3.5: a server that knows only NAT-PMP answers version 2 with version 0. */
static void an_older_server_is_told_apart(void **state)
{
	(void)state;
	static const uint8_t old[8] = { 0, 0x81, 0, 1, 0, 0, 0, 9 };
	struct pcp_answer a;
	struct pcp_map m = ours();
	assert_int_equal(pcp_decode(&a, old, sizeof(old)), DROP_NONE);
	assert_true(a.natpmp);
	assert_false(pcp_answer_is_for(&a, &m));
	static const uint8_t request[8] = { 0, 1 };
	assert_int_equal(pcp_decode(&a, request, sizeof(request)), DROP_SHORT);
}

static void what_is_none_is_refused(void **state)
{
	(void)state;
	struct pcp_answer a;
	static uint8_t big[PCP_MAX + 4];
	for (size_t len = 0; len < PCP_MAP_LEN; len++)
		assert_int_not_equal(pcp_decode(&a, map_answer, len), DROP_NONE);
	assert_int_equal(pcp_decode(&a, map_answer, PCP_MAP_LEN - 4), DROP_SHORT);
	memcpy(big, map_answer, PCP_MAP_LEN);
	assert_int_equal(pcp_decode(&a, big, sizeof(big)), DROP_OVERSIZED);
	assert_int_equal(pcp_decode(&a, big, PCP_MAP_LEN + 1), DROP_FORMAT);
	assert_int_equal(pcp_decode(&a, map_request, PCP_MAP_LEN), DROP_HEADER);
	static const struct {
		size_t at;
		uint8_t value;
		enum drop why;
	} wrong[] = { { 0, 1, DROP_HEADER }, { 0, 3, DROP_HEADER }, { 1, 1, DROP_HEADER },
		{ 1, 0x82, DROP_TYPE }, { 36, 6, DROP_TYPE } };
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		uint8_t data[PCP_MAP_LEN];
		memcpy(data, map_answer, sizeof(data));
		data[wrong[i].at] = wrong[i].value;
		assert_int_equal(pcp_decode(&a, data, sizeof(data)), wrong[i].why);
	}
}

/* 8.5: server seconds 1000 were seen at 100 s of ours. */
static void the_epoch_goes_on_or_the_mappings_are_lost(void **state)
{
	(void)state;
	struct pcp_epoch e = { 0 };
	assert_true(pcp_epoch_valid(&e, 100 * OV_SEC, 5)); /* the first one is always right */
	pcp_epoch_note(&e, 100 * OV_SEC, 1000);
#define T(after_s, server, want) \
	assert_int_equal(pcp_epoch_valid(&e, (100 + (after_s)) * OV_SEC, (server)), want)
	T(0, 1000, true);
	T(0, 999, true); /* reordered */
	T(0, 998, false);
	T(3600, 5, false);
	T(0, 0, false);
	T(3600, 4600, true); /* as ours */
	T(3600, 4600 - 227, true);
	T(3600, 4600 - 228, false); /* slower by a sixteenth and 2 s */
	T(3600, 4600 + 242, true);
	T(3600, 4600 + 243, false); /* faster */
	T(0, 1002, true);
	T(0, 1003, false);
	T(3600, UINT32_MAX, false);
#undef T
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(requests_are_as_the_rfc_draws_them),
		cmocka_unit_test(answers_are_read),
		cmocka_unit_test(an_older_server_is_told_apart),
		cmocka_unit_test(what_is_none_is_refused),
		cmocka_unit_test(the_epoch_goes_on_or_the_mappings_are_lost),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
