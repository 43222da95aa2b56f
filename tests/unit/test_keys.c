/* Which keys send: all orders of a simultaneous first contact with loss and copies, rekeys that
 * cross, expiry. Two nodes, every schedule: what must hold is that both come to send under the same
 * keys and agree on the association. */
#include "tests/unit/seeded.h"

#define WIRE_FAIL(what) fail_msg("%s", what)
#define WIRE_FLIGHTS    256
#define WIRE_PACKETS    64
#include "tests/unit/node_wire.h"

#include "overlay/call.h"

static struct association *association(const struct wire *w, size_t i)
{
	return wire_peer(w, i, 1 - i)->association;
}

static struct session *sending(const struct wire *w, size_t i)
{
	struct association *a = association(w, i);
	assert_non_null(a);
	assert_non_null(a->keys[0]);
	return &a->keys[0]->session;
}

static void assert_agreed(const struct wire *w)
{
	assert_int_equal(sending(w, 0)->remote_index, sending(w, 1)->index);
	assert_int_equal(sending(w, 1)->remote_index, sending(w, 0)->index);
	assert_int_equal(association(w, 0)->id, association(w, 1)->id);
	assert_int_not_equal(association(w, 0)->id, 0);
	assert_null(association(w, 0)->call);
	assert_null(association(w, 1)->call);
}

static size_t in_flight(const struct wire *w)
{
	size_t count = 0;
	for (size_t i = 0; i < w->high; i++)
		count += w->flights[i].used;
	return count;
}

static struct flight *nth(const struct wire *w, size_t k)
{
	for (size_t i = 0; i < w->high; i++)
		if (w->flights[i].used && k-- == 0)
			return &w->flights[i];
	wire_broken("fewer datagrams than that");
	return &w->flights[0];
}

enum { DELIVER, LOSE, COPY, FATES };

/* One choice of the schedule: which datagram is next, and what becomes of it. A mixed-radix number
 * whose digits are drawn as they are needed. */
static uint32_t draw(uint64_t *number, size_t radix)
{
	uint32_t digit = (uint32_t)(*number % radix);
	*number /= radix;
	return digit;
}

/* Plays the first `steps` datagrams by the number; false when digits are left over: the schedule
 * was played already. */
static bool play(struct wire *w, uint64_t number, size_t steps, unsigned fates)
{
	for (size_t s = 0; s < steps && in_flight(w) > 0; s++) {
		struct flight *f = nth(w, draw(&number, in_flight(w)));
		uint32_t fate = draw(&number, fates);
		if (fate == COPY)
			wire_put(w, 0, f->from, f->to, f->data, f->len);
		if (fate == LOSE)
			f->used = false;
		else
			wire_deliver(w, f);
		w->now += OV_MS;
	}
	return number == 0;
}

static void settle(struct wire *w)
{
	for (uint32_t tag = 50; tag < 56; tag++) { /* both have something to say until it is over */
		wire_send(w, 0, 1, tag, 64);
		wire_send(w, 1, 0, tag, 64);
		wire_run(w, 2 * OV_SEC);
		w->nodes[0].inner_count = w->nodes[1].inner_count = 0;
	}
	wire_run(w, OV_SEC);
	wire_send(w, 0, 1, 60, 64);
	wire_send(w, 1, 0, 60, 64);
	wire_run(w, OV_SEC);
	assert_int_equal(wire_got(w, 0, 1, 60, 64), 1);
	assert_int_equal(wire_got(w, 1, 0, 60, 64), 1);
	assert_agreed(w);
}

static size_t all_schedules(size_t steps, unsigned fates, uint64_t limit, unsigned callers)
{
	size_t played = 0;
	for (uint64_t number = 0; number < limit; number++) {
		struct wire *w = wire_new(2);
		wire_acquaint(w, 0, 1);
		if (callers & 1)
			wire_send(w, 0, 1, 1, 64);
		if (callers & 2)
			wire_send(w, 1, 0, 1, 64);
		if (play(w, number, steps, fates)) {
			settle(w);
			played++;
		}
		wire_free(w);
	}
	return played;
}

static void simultaneous_calls_agree_in_every_order(void **state)
{
	(void)state;
	assert_true(all_schedules(6, 1, 600, 3) > 20);
}

static void and_with_loss_and_copies(void **state)
{
	(void)state;
	assert_true(all_schedules(4, FATES, 1300, 3) > 100);
}

static void one_caller_with_loss_and_copies(void **state)
{
	(void)state;
	assert_true(all_schedules(6, FATES, 700, 1) > 100);
	assert_true(all_schedules(5, FATES, 300, 2) > 50);
}

/* Longer stories, at random. */
static void random_schedules_agree(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed < 150; seed++) {
		struct wire *w = wire_new(2);
		uint64_t random = seed;
		wire_acquaint(w, 0, 1);
		for (int i = 0; i < 12; i++) {
			size_t who = seeded_below(&random, 2);
			wire_send(w, who, 1 - who, 1000 + (uint32_t)i, 64);
			(void)play(w, seeded_next(&random), 3, FATES);
			wire_run(w, (ov_time)seeded_below(&random, 400) * OV_MS);
		}
		settle(w);
		wire_free(w);
	}
}

static void meet(struct wire *w)
{
	wire_acquaint(w, 0, 1);
	wire_send(w, 0, 1, 1, 64);
	wire_run(w, OV_SEC);
	assert_agreed(w);
}

/* Both find at the same moment that it is time for new keys. */
static void rekeys_that_cross_agree(void **state)
{
	(void)state;
	struct wire *w = wire_new(2);
	meet(w);
	uint64_t id = association(w, 0)->id;
	wire_run(w, 140 * OV_SEC);
	wire_send(w, 0, 1, 2, 64);
	wire_send(w, 1, 0, 2, 64);
	assert_non_null(association(w, 0)->call);
	assert_non_null(association(w, 1)->call);
	wire_run(w, OV_SEC);
	assert_int_equal(wire_got(w, 0, 1, 2, 64), 1);
	assert_int_equal(wire_got(w, 1, 0, 2, 64), 1);
	assert_agreed(w);
	assert_int_equal(association(w, 0)->id, id); /* a rekey is no new association */
	assert_true(sending(w, 0)->initiator);       /* the lower one's won */
	for (uint32_t tag = 10; tag < 40; tag++) { /* retired keys go after 10 s, once both moved */
		wire_send(w, 0, 1, tag, 64);
		wire_send(w, 1, 0, tag, 64);
		wire_run(w, OV_SEC);
	}
	for (size_t i = 0; i < 2; i++)
		assert_null(association(w, i)->keys[1]);
	wire_free(w);
}

static bool nothing_passes(struct wire *w, struct flight *f)
{
	(void)w;
	(void)f;
	return false;
}

static void keys_end_at_180_s(void **state)
{
	(void)state;
	struct wire *w = wire_new(2);
	meet(w);
	uint8_t packet[128], sealed[256];
	size_t len = wire_packet(w, 0, 1, 3, 64, packet);
	struct session *s = sending(w, 0);
	wire_run(w, 178 * OV_SEC); /* 179 s */
	size_t n = session_seal(s, PACKET_IP, 0, packet, len, sealed);
	wire_put(w, 0, w->nodes[0].addr, w->nodes[1].addr, sealed, n);
	wire_run(w, OV_MS);
	assert_int_equal(wire_got(w, 0, 1, 3, 64), 1);
	n = session_seal(s, PACKET_IP, 0, packet, len, sealed);
	w->hook = nothing_passes; /* no new keys */
	wire_run(w, 2 * OV_SEC);
	assert_null(association(w, 0)->keys[0]);
	wire_put(w, 0, w->nodes[0].addr, w->nodes[1].addr, sealed, n);
	uint64_t before = wire_drops(w, 1, DROP_INDEX) + wire_drops(w, 1, DROP_EXPIRED);
	wire_run(w, OV_MS);
	assert_int_equal(wire_drops(w, 1, DROP_INDEX) + wire_drops(w, 1, DROP_EXPIRED), before + 1);
	assert_int_equal(wire_got(w, 0, 1, 3, 64), 1);
	wire_free(w);
}

static bool hs1_only(struct wire *w, struct flight *f)
{
	(void)w;
	return f->data[0] == PACKET_HS1;
}

/* HS1 alone, however often, leaves the keys in use as they are. */
static void hs1_touches_no_existing_keys(void **state)
{
	(void)state;
	struct wire *w = wire_new(2);
	meet(w);
	uint32_t index = sending(w, 1)->index;
	w->hook = hs1_only;
	call_start(w->nodes[0].node, w->now, wire_peer(w, 0, 1), false);
	wire_drain(w, 0);
	wire_run(w, 20 * OV_SEC);
	assert_true(w->nodes[1].node->pending_count >= 1);
	assert_int_equal(sending(w, 1)->index, index);
	assert_null(association(w, 1)->keys[1]);
	w->hook = NULL;
	wire_send(w, 1, 0, 9, 64);
	wire_run(w, OV_SEC);
	assert_int_equal(wire_got(w, 1, 0, 9, 64), 1);
	wire_free(w);
}

/* A packet of the peer before it restarted comes late and would confirm keys that nobody has. */
static void late_confirmation_of_a_former_life_does_not_count(void **state)
{
	(void)state;
	struct wire *w = wire_new(2);
	wire_acquaint(w, 0, 1);
	wire_send(w, 0, 1, 1, 64);
	wire_run(w,
		2 * WIRE_DELAY); /* HS2 has come; the first packets under its keys are under way */
	struct flight late = *nth(w, 0);
	for (size_t i = 0; i < w->high; i++)
		w->flights[i].used = false;
	wire_stop(w, 0);
	wire_start(w, 0);
	wire_know(w, 0, 1, &w->nodes[1].addr, "all");
	wire_send(w, 0, 1, 2, 64);
	wire_run(w, OV_SEC);
	assert_agreed(w);
	uint32_t index = sending(w, 1)->index;
	wire_put(w, 0, late.from, late.to, late.data, late.len);
	wire_run(w, OV_MS);
	assert_int_equal(sending(w, 1)->index, index);
	assert_int_equal(wire_drops(w, 1, DROP_INDEX), 1);
	wire_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(simultaneous_calls_agree_in_every_order),
		cmocka_unit_test(and_with_loss_and_copies),
		cmocka_unit_test(one_caller_with_loss_and_copies),
		cmocka_unit_test(random_schedules_agree),
		cmocka_unit_test(rekeys_that_cross_agree),
		cmocka_unit_test(keys_end_at_180_s),
		cmocka_unit_test(hs1_touches_no_existing_keys),
		cmocka_unit_test(late_confirmation_of_a_former_life_does_not_count),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
