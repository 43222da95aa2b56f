/* Answering calls, seen from outside: what a node keeps of its contacts' keys, and that a flood of
 * calls from made-up addresses does not keep an honest caller out. */
#include "tests/unit/seeded.h"

#define WIRE_FAIL(what) fail_msg("%s", what)
#include "tests/unit/node_wire.h"

#define FLOOD 30000 /* HS1 a second, security.md 4.5 c */

static bool has_session(const struct wire *w, size_t a, size_t b)
{
	return wire_info(w, a, b).state == PEER_UP;
}

/* The second handshake needs no DH of the static keys; the entry goes with the contact. */
static void test_known_key_lives_as_long_as_its_contact(void **state)
{
	(void)state;
	struct wire *w = wire_new(2);
	wire_acquaint(w, 0, 1);
	assert_false(wire_peer(w, 1, 0)->known.key.has_ss);
	wire_send(w, 0, 1, 1, 8);
	wire_run(w, OV_SEC);
	assert_true(has_session(w, 0, 1) && has_session(w, 1, 0));
	const struct known_peer *k = &wire_peer(w, 1, 0)->known;
	uint64_t key = load_le64(k->key.s_public);
	assert_true(k->key.has_ss);
	assert_ptr_equal(table_find(w->nodes[1].node->by_static, key), k);

	assert_int_equal(node_contact_remove(w->nodes[1].node, &w->nodes[0].id.id), OV_OK);
	assert_null(table_find(w->nodes[1].node->by_static, key));
	wire_stop(w, 0);
	wire_start(w, 0);
	wire_know(w, 0, 1, &w->nodes[1].addr, "all");
	wire_send(w, 0, 1, 2, 8);
	wire_run(w, OV_SEC);
	assert_true(wire_drops(w, 1, DROP_STRANGER) > 0);
	assert_false(has_session(w, 0, 1));

	wire_know(w, 1, 0, NULL, "all"); /* a contact again: its key is known again */
	wire_run(w, 6 * OV_SEC);
	assert_true(has_session(w, 0, 1));
	wire_free(w);
}

/* A right mac1 around noise, from an address that is nobody's. */
static void flood_one(struct wire *w, uint32_t number, const uint8_t mac1_key[32])
{
	uint8_t hs1[HS1_LEN] = { 0 };
	struct header h = { .type = PACKET_HS1, .counter = number };
	header_encode(&h, hs1);
	store_le32(hs1 + HEADER_LEN, number);
	size_t covered = HS1_LEN - 2 * MAC_LEN;
	struct hash_key mac = { "OVL mac1 tag", mac1_key, 32 };
	ov_hash_keyed(hs1 + covered, MAC_LEN, &mac, hs1, covered);
	struct dgram d = { .data = hs1, .len = HS1_LEN, .segment = HS1_LEN };
	d.remote = addr_v4(10, (uint8_t)(number >> 16), (uint8_t)(number >> 8), (uint8_t)number, 9);
	node_input(w->nodes[1].node, w->now, &d, 1);
	struct dgram out[8];
	size_t count;
	while ((count = node_poll(w->nodes[1].node, w->now, out, 8)) > 0)
		for (size_t i = 0; i < count; i++)
			if (addr_equal(&out[i].remote, &w->nodes[0].addr))
				wire_emit(w, &w->nodes[1], &out[i]);
}

static void test_honest_caller_comes_in_under_flood(void **state)
{
	(void)state;
	struct wire *w = wire_new(2);
	uint8_t mac1_key[32];
	handshake_mac1_key(mac1_key, w->nodes[1].id.dh_public);
	wire_acquaint(w, 0, 1);
	for (uint32_t i = 0; i < 3 * FLOOD; i++) {
		flood_one(w, i, mac1_key);
		if (i == 2 * FLOOD)
			wire_send(w, 0, 1, 1, 8);
		wire_run(w, OV_SEC / FLOOD);
	}
	assert_true(node_counters(w->nodes[1].node)->under_load > FLOOD);
	assert_true(has_session(w, 0, 1));
	assert_int_equal(wire_got(w, 0, 1, 1, 8), 1);
	wire_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_known_key_lives_as_long_as_its_contact),
		cmocka_unit_test(test_honest_caller_comes_in_under_flood),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
