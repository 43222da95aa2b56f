/* When a node calls a peer, how often, and when it gives up. */
#include "tests/unit/node_meet.h"

static ov_time hs1_at[4096];
static size_t hs1_count;

static bool note_hs1(struct wire *w, struct flight *f)
{
	if (is_type(f, PACKET_HS1) && hs1_count < 4096)
		hs1_at[hs1_count++] = w->now;
	return false;
}

static void away_peers_are_tried_ever_more_rarely(void **state)
{
	(void)state;
	struct wire *w = wire_new(2);
	wire_know(w, 0, 1, &w->nodes[1].addr, "all");
	w->hook = note_hs1;
	hs1_count = 0;
	ov_time start = w->now;
	wire_send(w, 0, 1, 1, 64);
	wire_run(w, 90 * OV_SEC - OV_MS);
	/* 0, .5, 1, 2, 4, 5, 10 ... 85, +-5 % */
	assert_in_range(hs1_count, 20, 23);
	static const unsigned want_ms[] = { 0, 500, 1000, 2000, 4000, 5000, 10000 };
	for (size_t i = 0; i < 7; i++)
		assert_in_range(
			(hs1_at[i] - start) / OV_MS, want_ms[i] * 90 / 100, want_ms[i] * 110 / 100);
	assert_int_equal(wire_info(w, 0, 1).state, PEER_CALLING);
	wire_run(w, OV_SEC);
	assert_int_equal(wire_info(w, 0, 1).state, PEER_AWAY);
	hs1_count = 0;
	wire_run(w, 4000 * OV_SEC);
	static const unsigned steps[] = { 10, 20, 40, 80, 160, 300, 300, 300 };
	assert_true(hs1_count >= 9);
	for (size_t i = 1; i < 9; i++) {
		ov_time gap = (hs1_at[i] - hs1_at[i - 1]) / OV_SEC - 5; /* each waits 5 s */
		assert_in_range(gap, steps[i - 1] * 79 / 100, steps[i - 1] * 121 / 100);
	}
	hs1_count = 0;
	wire_send(w, 0, 1, 2, 64); /* traffic after a pause: at once, and for 90 s */
	assert_int_equal(hs1_count, 1);
	wire_run(w, 10 * OV_SEC);
	assert_true(hs1_count > 5);
	w->hook = NULL;
	wire_run(w, 90 * OV_SEC);
	wire_know(w, 1, 0, &w->nodes[0].addr, "all");
	wire_send(w, 1, 0, 3, 64); /* reached again by its own call */
	wire_run(w, OV_SEC);
	assert_int_equal(wire_info(w, 0, 1).state, PEER_UP);
	assert_false(wire_peer(w, 0, 1)->away);
	assert_int_equal(wire_peer(w, 0, 1)->retry_at, OV_NEVER);
	wire_free(w);
}

/* The peer vanishes while keys are fresh: down once, away, tried by schedule; and it comes back. */
static void a_peer_that_vanished_goes_down_once(void **state)
{
	(void)state;
	struct wire *w = wire_new(2);
	meet(w, 0, 1);
	w->hook = nothing_passes;
	for (uint32_t tag = 10; tag < 310; tag++) {
		wire_send(w, 0, 1, tag, 64);
		wire_run(w, OV_SEC);
	}
	assert_int_equal(wire_events(w, 0, NODE_PEER_DOWN), 1);
	assert_int_equal(wire_info(w, 0, 1).state, PEER_AWAY);
	uint64_t before = w->nodes[0].sent;
	for (uint32_t tag = 310; tag < 910; tag++) {
		wire_send(w, 0, 1, tag, 64);
		wire_run(w, OV_SEC);
	}
	assert_true(w->nodes[0].sent - before <= 10); /* one HS1 per step */
	assert_int_equal(wire_events(w, 0, NODE_PEER_DOWN), 1);
	w->hook = NULL;
	wire_send(w, 1, 0, 5, 64);
	wire_run(w, 5 * OV_SEC);
	assert_int_equal(wire_info(w, 0, 1).state, PEER_UP);
	assert_int_equal(wire_events(w, 0, NODE_PEER_UP), 2);
	wire_free(w);
}

/* All paths went, the keys live on, and the call has ended: traffic must call again. */
static void traffic_calls_when_keys_live_but_no_path(void **state)
{
	(void)state;
	struct wire *w = wire_new(2);
	meet(w, 0, 1);
	w->hook = nothing_passes;
	wire_send(w, 0, 1, 2, 64);
	wire_run(w, 110 * OV_SEC);
	assert_int_equal(wire_info(w, 0, 1).path_count, 0);
	w->hook = NULL;
	wire_send(w, 0, 1, 3, 64);
	wire_run(w, OV_SEC);
	assert_int_equal(wire_got(w, 0, 1, 3, 64), 1);
	wire_free(w);
}

/* Both changed networks while no keys were alive; each is where the other has it in its book. */
static void calls_reach_candidates_that_are_paths_too(void **state)
{
	(void)state;
	struct wire *w = wire_new(2);
	meet(w, 0, 1);
	wire_run(w, 200 * OV_SEC); /* keys are gone, the association is not */
	assert_non_null(wire_peer(w, 0, 1)->association);
	w->nodes[1].addr = addr_v4(203, 0, 113, 9, 27182);
	node_candidate(
		w->nodes[0].node, w->now, &w->nodes[1].id.id, &w->nodes[1].addr, SOURCE_USER);
	w->nodes[0].addr = addr_v4(192, 0, 2, 1, 27182);
	struct local_address here = { .addr = w->nodes[0].addr,
		.interface = 0,
		.prefix_len = 24,
		.has_default_route = true };
	node_network_changed(w->nodes[0].node, w->now, &here, 1, false);
	wire_drain(w, 0);
	wire_send(w, 0, 1, 5, 300);
	wire_run(w, 3 * OV_SEC);
	assert_int_equal(wire_got(w, 0, 1, 5, 300), 1);
	wire_free(w);
}

/* A network change while nobody answers and the old association lives: the schedule holds. */
static void questions_without_keys_do_not_call_for_ever(void **state)
{
	(void)state;
	struct wire *w = wire_new(2);
	meet(w, 0, 1);
	wire_run(w, 185 * OV_SEC);
	w->hook = nothing_passes;
	struct local_address here = { .addr = w->nodes[0].addr, .has_default_route = true };
	node_network_changed(w->nodes[0].node, w->now, &here, 1, false);
	wire_drain(w, 0);
	wire_run(w, 95 * OV_SEC);
	assert_int_equal(wire_info(w, 0, 1).state, PEER_AWAY);
	uint64_t sent = w->nodes[0].sent;
	wire_run(w, 200 * OV_SEC);
	assert_true(w->nodes[0].sent - sent <= 10);
	wire_free(w);
}

/* The association's 540 s end in the middle of a call. */
static void an_old_association_in_a_call_does_not_spin(void **state)
{
	(void)state;
	struct wire *w = wire_new(2);
	meet(w, 0, 1);
	w->hook = nothing_passes;
	wire_run(w, 500 * OV_SEC);
	wire_send(w, 0, 1, 2, 64);
	wire_run(w, 200 * OV_SEC); /* wire_tick asserts the deadline */
	assert_int_equal(wire_info(w, 0, 1).state, PEER_AWAY);
	wire_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(away_peers_are_tried_ever_more_rarely),
		cmocka_unit_test(a_peer_that_vanished_goes_down_once),
		cmocka_unit_test(traffic_calls_when_keys_live_but_no_path),
		cmocka_unit_test(calls_reach_candidates_that_are_paths_too),
		cmocka_unit_test(questions_without_keys_do_not_call_for_ever),
		cmocka_unit_test(an_old_association_in_a_call_does_not_spin),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
