/* A pair of sessions: what seals opens once, in any order of the window, until time or count end
 * it. */
#include "tests/unit/seeded.h"

#include "core/session.h"

#include <sodium.h>

#define T0 (50 * OV_SEC)

static struct session alice, bob;

static void setup(void)
{
	struct handshake_keys ka = { { 1 }, { 2 } }, kb = { { 2 }, { 1 } };
	struct session_config a = { &ka, 11, 22, true }, b = { &kb, 22, 11, false };
	assert_true(session_init(&alice, T0, &aead_sodium_chacha20_poly1305, &a));
	assert_true(session_init(&bob, T0, &aead_sodium_chacha20_poly1305, &b));
}

static void teardown(void)
{
	session_fini(&alice);
	session_fini(&bob);
	struct session zero;
	memset(&zero, 0, sizeof(zero));
	assert_memory_equal(&alice, &zero, sizeof(zero)); /* the keys are wiped */
}

static enum drop open_copy(struct session *s, ov_time now, const uint8_t *data, size_t len)
{
	uint8_t copy[256];
	struct header h;
	memcpy(copy, data, len);
	assert_true(header_decode(&h, copy, len));
	return session_open(s, now, &h, copy, len);
}

static void opens_once_what_the_other_sealed(void **state)
{
	(void)state;
	setup();
	uint8_t data[256];
	size_t len = session_seal(&alice, PACKET_IP, 1, (const uint8_t *)"hello", 5, data);
	assert_int_equal(len, 5 + PACKET_OVERHEAD);
	struct header h;
	assert_true(header_decode(&h, data, len));
	assert_int_equal(h.type, PACKET_IP);
	assert_int_equal(h.flags, 1);
	assert_int_equal(h.receiver, 22);
	assert_int_equal(h.counter, 0);
	assert_int_equal(open_copy(&alice, T0, data, len), DROP_AUTH); /* not its own */
	assert_int_equal(bob.heard_at, OV_NEVER);
	for (size_t bit = 0; bit < len * 8; bit++) {
		uint8_t flipped[256];
		memcpy(flipped, data, len);
		flipped[bit / 8] ^= (uint8_t)(1 << bit % 8);
		struct header g;
		if (header_decode(&g, flipped, len) &&
			session_open(&bob, T0, &g, flipped, len) == DROP_NONE)
			fail();
	}
	assert_int_equal(bob.heard_at, OV_NEVER);
	assert_true(bob.failures > 0);
	assert_int_equal(session_open(&bob, T0 + 5, &h, data, len), DROP_NONE);
	assert_memory_equal(data + HEADER_LEN, "hello", 5);
	assert_int_equal(bob.heard_at, T0 + 5);
	teardown();
}

static void the_window_takes_any_order_and_no_copy(void **state)
{
	(void)state;
	setup();
	uint8_t data[3][256];
	size_t len = 0;
	for (int i = 0; i < 3; i++)
		len = session_seal(&alice, PACKET_CONTROL, 0, NULL, 0, data[i]);
	assert_int_equal(open_copy(&bob, T0, data[2], len), DROP_NONE);
	assert_int_equal(open_copy(&bob, T0, data[2], len), DROP_REPLAY);
	assert_int_equal(open_copy(&bob, T0, data[0], len), DROP_NONE);
	alice.next_counter = 3 + REPLAY_WINDOW;
	uint8_t late[256];
	session_seal(&alice, PACKET_CONTROL, 0, NULL, 0, late);
	late[HEADER_LEN] ^= 1; /* what does not verify moves no window */
	assert_int_equal(open_copy(&bob, T0, late, len), DROP_AUTH);
	assert_int_equal(open_copy(&bob, T0, data[1], len), DROP_NONE);
	late[HEADER_LEN] ^= 1;
	assert_int_equal(open_copy(&bob, T0, late, len), DROP_NONE);
	assert_int_equal(open_copy(&bob, T0, data[0], len), DROP_REPLAY);
	assert_int_equal(open_copy(&bob, T0, data[0], PACKET_OVERHEAD - 1), DROP_SHORT);
	teardown();
}

static void time_and_counts_end_it(void **state)
{
	(void)state;
	setup();
	uint8_t data[256];
	size_t len = session_seal(&alice, PACKET_CONTROL, 0, NULL, 0, data);
	assert_false(session_wants_rekey(&alice, T0 + SESSION_REKEY_AFTER - 1));
	assert_true(session_wants_rekey(&alice, T0 + SESSION_REKEY_AFTER));
	assert_false(session_wants_rekey(&bob, T0 + SESSION_REKEY_RESPONDER - 1));
	assert_true(session_wants_rekey(&bob, T0 + SESSION_REKEY_RESPONDER));
	assert_true(session_can_send(&alice, T0 + SESSION_SEND_FOR - 1));
	assert_false(session_can_send(&alice, T0 + SESSION_SEND_FOR));
	assert_int_equal(open_copy(&bob, T0 + SESSION_REJECT_AFTER, data, len), DROP_EXPIRED);
	assert_int_equal(open_copy(&bob, T0 + SESSION_REJECT_AFTER - 1, data, len), DROP_NONE);

	alice.next_counter = SESSION_REKEY_PACKETS - 1;
	assert_false(session_wants_rekey(&alice, T0));
	alice.next_counter++;
	assert_true(session_wants_rekey(&alice, T0));
	alice.next_counter = SESSION_REJECT_PACKETS - 1;
	assert_true(session_can_send(&alice, T0));
	session_seal(&alice, PACKET_CONTROL, 0, NULL, 0, data);
	assert_false(session_can_send(&alice, T0));
	assert_int_equal(open_copy(&bob, T0, data, len), DROP_NONE);
	store_le64(data + 8, SESSION_REJECT_PACKETS);
	assert_int_equal(open_copy(&bob, T0, data, len), DROP_EXPIRED);

	bob.failures = SESSION_REKEY_FAILURES - 1;
	assert_false(session_wants_rekey(&bob, T0));
	bob.failures++;
	assert_true(session_wants_rekey(&bob, T0));
	bob.failures = SESSION_DROP_FAILURES;
	assert_false(session_can_receive(&bob, T0));
	teardown();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(opens_once_what_the_other_sealed),
		cmocka_unit_test(the_window_takes_any_order_and_no_copy),
		cmocka_unit_test(time_and_counts_end_it),
	};
	return sodium_init() < 0 ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
