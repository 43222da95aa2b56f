/* Invites at the node: what the guest's calls carry, what the inviter is told, and what it answers.
 */
#include "tests/unit/node_meet.h"

#include "discovery/invite.h"

static const uint8_t secret[HS1_INVITE_LEN] = { 5, 6, 7 };

static size_t sent_hs1, sent_hs2;
static uint8_t first_hs1[HS1_LEN];

static bool count_handshakes(struct wire *w, struct flight *f)
{
	(void)w;
	if (is_type(f, PACKET_HS1) && sent_hs1++ == 0)
		memcpy(first_hs1, f->data, HS1_LEN);
	sent_hs2 += is_type(f, PACKET_HS2);
	return true;
}

static const struct node_event *last_event(
	const struct wire *w, size_t i, enum node_event_type type)
{
	for (size_t k = w->nodes[i].event_count; k-- > 0;)
		if (w->nodes[i].events[k].type == type)
			return &w->nodes[i].events[k];
	wire_broken("no such event");
}

/* 0 was invited by 1, knows where it is, and calls. 1 does not know 0. */
static struct wire *invited(void)
{
	struct wire *w = wire_new(2);
	wire_know(w, 0, 1, &w->nodes[1].addr, "all");
	sent_hs1 = sent_hs2 = 0;
	w->hook = count_handshakes;
	assert_int_equal(node_join(w->nodes[0].node, w->now, &w->nodes[1].id.id, secret), OV_OK);
	wire_drain(w, 0);
	return w;
}

static void a_guest_is_told_and_gets_silence(void **state)
{
	(void)state;
	struct wire *w = invited();
	uint8_t hash[INVITE_HASH_LEN];
	wire_run(w, 100 * OV_MS);
	const struct node_event *e = last_event(w, 1, NODE_GUEST);
	invite_hash(hash, secret);
	assert_memory_equal(e->invite, hash, sizeof(hash));
	assert_true(peer_id_equal(&e->peer, &w->nodes[0].id.id));
	assert_true(addr_equal(&e->addr, &w->nodes[0].addr));
	assert_int_equal(wire_drops(w, 1, DROP_STRANGER), 1);
	assert_int_equal(sent_hs2, 0);
	assert_int_equal(w->nodes[1].sent, 0);
	assert_null(node_contact(w->nodes[1].node, &w->nodes[0].id.id));
	wire_free(w);
}

/* With pairing on it is no request either: the secret was good or it was not. */
static void a_guest_is_no_request(void **state)
{
	(void)state;
	struct wire *w = wire_new(2);
	node_set_pairing(w->nodes[1].node, true);
	wire_know(w, 0, 1, &w->nodes[1].addr, "all");
	assert_int_equal(node_join(w->nodes[0].node, w->now, &w->nodes[1].id.id, secret), OV_OK);
	wire_drain(w, 0);
	wire_run(w, 100 * OV_MS);
	assert_int_equal(wire_events(w, 1, NODE_GUEST), 1);
	assert_int_equal(wire_events(w, 1, NODE_PEER_REQUEST), 0);
	wire_free(w);
}

/* The inviter adds the guest and calls back where it was heard: one round trip after the disk. */
static void the_call_back_connects_and_ends_the_showing(void **state)
{
	(void)state;
	struct wire *w = invited();
	wire_run(w, 20 * OV_MS);
	struct ov_addr from = last_event(w, 1, NODE_GUEST)->addr;
	struct contact c = { .id = w->nodes[0].id.id, .name = "guest" };
	assert_int_equal(node_contact_put(w->nodes[1].node, w->now, &c, true), OV_OK);
	node_candidate(w->nodes[1].node, w->now, &c.id, &from, SOURCE_OBSERVED);
	wire_drain(w, 1);
	wire_run(w, 35 * OV_MS);
	assert_int_equal(wire_info(w, 0, 1).state, PEER_UP);
	assert_int_equal(wire_info(w, 1, 0).state, PEER_UP);
	assert_int_equal(wire_events(w, 0, NODE_JOINED), 0); /* its call may have other reasons */
	wire_run(w, 50 * OV_MS);
	assert_int_equal(wire_events(w, 0, NODE_JOINED), 1);
	const struct peer *host = wire_peer(w, 0, 1);
	assert_false(host->has_invite);
	assert_true(sodium_is_zero(host->invite, sizeof(host->invite)));
	for (uint32_t tag = 0; tag < 130; tag++) { /* through a rekey */
		wire_send(w, 0, 1, tag, 64);
		wire_run(w, OV_SEC);
	}
	assert_true(wire_info(w, 0, 1).handshakes >= 2);
	assert_int_equal(wire_events(w, 0, NODE_JOINED), 1);
	assert_int_equal(wire_events(w, 1, NODE_GUEST), 2); /* at first, and to have it confirmed */
	wire_free(w);
}

/* Until then every call shows it: a new HS1 after 5 s too, and the guest's own call may win. */
static void it_is_shown_until_a_session_is_up(void **state)
{
	(void)state;
	struct wire *w = invited();
	wire_run(w, 12 * OV_SEC);
	assert_int_equal(wire_events(w, 1, NODE_GUEST), sent_hs1);
	assert_true(sent_hs1 >= 6);
	wire_know(w, 1, 0, NULL, "all"); /* added, but not called */
	wire_run(w, 6 * OV_SEC);
	assert_int_equal(wire_info(w, 0, 1).state, PEER_UP);
	assert_int_equal(wire_events(w, 0, NODE_JOINED), 1);
	wire_free(w);
}

/* Also when the inviter is away for days; and no more when it has expired. */
static void it_is_tried_until_it_expires(void **state)
{
	(void)state;
	struct wire *w = invited();
	wire_stop(w, 1);
	wire_run(w, 3 * 24 * 3600 * OV_SEC);
	size_t before = sent_hs1;
	wire_run(w, 2 * 3600 * OV_SEC);
	assert_in_range(sent_hs1 - before, 3, 6); /* every 30 min +-20 % */
	node_join_expired(w->nodes[0].node, &w->nodes[1].id.id);
	wire_drain(w, 0);
	assert_true(sodium_is_zero(wire_peer(w, 0, 1)->invite, HS1_INVITE_LEN));
	before = sent_hs1;
	wire_run(w, 24 * 3600 * OV_SEC);
	assert_true(sent_hs1 - before <= 1); /* what was planned */
	wire_free(w);
}

/* An observer sends the same HS1 again and again: told each time, up to the limit, never answered;
 * what becomes of it the list of invites decides (test_api_invite.c). */
static void a_replay_is_told_and_bounded(void **state)
{
	(void)state;
	struct wire *w = invited();
	wire_run(w, 100 * OV_MS);
	size_t before = wire_events(w, 1, NODE_GUEST);
	w->hook = NULL;
	struct ov_addr attacker = addr_v4(203, 0, 113, 66, 6);
	for (size_t i = 0; i < 200; i++)
		wire_put(w, OV_MS, attacker, w->nodes[1].addr, first_hs1, HS1_LEN);
	wire_run(w, 50 * OV_MS);
	size_t told = wire_events(w, 1, NODE_GUEST) - before;
	assert_in_range(told, 30, 40); /* a burst of 32, and 100 a second */
	assert_int_equal(wire_drops(w, 1, DROP_RATE), 200 - told);
	assert_int_equal(w->nodes[1].sent, 0);
	wire_free(w);
}

/* A contact may show one as well (it was removed and invited again); its call is answered. */
static void a_contact_that_shows_one_is_answered(void **state)
{
	(void)state;
	struct wire *w = wire_new(2);
	meet(w, 0, 1);
	assert_int_equal(node_join(w->nodes[0].node, w->now, &w->nodes[1].id.id, secret), OV_OK);
	wire_drain(w, 0);
	wire_run(w, 100 * OV_MS);
	assert_int_equal(wire_events(w, 1, NODE_GUEST), 1);
	assert_int_equal(wire_events(w, 0, NODE_JOINED), 1);
	assert_int_equal(wire_info(w, 0, 1).state, PEER_UP);
	assert_int_equal(
		node_join(w->nodes[0].node, w->now, &w->nodes[0].id.id, secret), OV_ENOENT);
	wire_free(w);
}

/* An open facilitator answers strangers; one that shows an invite it does not, for HS2 would tell
 * it that it is a contact. */
static void a_client_that_shows_one_is_not_answered(void **state)
{
	(void)state;
	struct wire *w = wire_new(2);
	w->nodes[1].config.facilitator = FACILITATOR_OPEN;
	wire_stop(w, 1);
	wire_start(w, 1);
	wire_know(w, 0, 1, &w->nodes[1].addr, "all");
	assert_int_equal(node_join(w->nodes[0].node, w->now, &w->nodes[1].id.id, secret), OV_OK);
	wire_drain(w, 0);
	wire_run(w, 100 * OV_MS);
	assert_int_equal(wire_events(w, 1, NODE_GUEST), 1);
	assert_int_equal(w->nodes[1].sent, 0);
	assert_null(node_contact(w->nodes[1].node, &w->nodes[0].id.id));

	wire_stop(w, 0);
	wire_start(w, 0);
	meet(w, 0, 1); /* becomes known, then is forgotten and comes as a client */
	assert_int_equal(node_contact_remove(w->nodes[1].node, &w->nodes[0].id.id), OV_OK);
	wire_stop(w, 0);
	wire_start(w, 0);
	wire_know(w, 0, 1, &w->nodes[1].addr, "all");
	wire_send(w, 0, 1, 9, 64);
	wire_run(w, OV_SEC);
	assert_int_equal(wire_peer(w, 1, 0)->contact.source, CONTACT_CLIENT);
	size_t before = wire_events(w, 1, NODE_GUEST);
	assert_int_equal(node_join(w->nodes[0].node, w->now, &w->nodes[1].id.id, secret), OV_OK);
	wire_drain(w, 0);
	wire_run(w, 100 * OV_MS);
	assert_int_equal(wire_events(w, 1, NODE_GUEST), before + 1);
	assert_int_equal(wire_events(w, 0, NODE_JOINED), 0);
	assert_int_equal(w->nodes[1].node->client_count, 1);
	struct contact c = { .id = w->nodes[0].id.id, .name = "guest" };
	assert_int_equal(node_contact_put(w->nodes[1].node, w->now, &c, true), OV_OK);
	assert_int_equal(w->nodes[1].node->client_count, 0);
	wire_drain(w, 1);
	wire_run(w, OV_SEC);
	assert_int_equal(wire_events(w, 0, NODE_JOINED), 1);
	wire_free(w);
}

static void one_address_of_each_family_comes_first(void **state)
{
	(void)state;
	struct wire *w = wire_new(2);
	struct local_address list[6] = { { .has_default_route = false } };
	static const char *const texts[6] = { "[fe80::1]", "[2001:db8::1]", "[2001:db8::2]",
		"10.1.0.5", "192.168.1.7", "[2001:db8::3]" };
	for (size_t i = 0; i < 6; i++)
		assert_int_equal(addr_parse(texts[i], 0, &list[i].addr), OV_OK);
	list[4].has_default_route = list[5].has_default_route = true;
	struct node *n = w->nodes[0].node;
	struct ov_addr out[8];
	assert_int_equal(node_own_addresses(n, out, 8), 0);
	node_network_changed(n, w->now, list, 6, false);
	static const char *const want[] = { "192.168.1.7:27182", "[2001:db8::3]:27182",
		"[2001:db8::1]:27182", "[2001:db8::2]:27182", "10.1.0.5:27182" };
	char text[ADDR_TEXT_MAX];
	assert_int_equal(node_own_addresses(n, out, 8), 5);
	for (size_t i = 0; i < 5; i++)
		assert_string_equal(addr_format(&out[i], text), want[i]);
	assert_int_equal(node_own_addresses(n, out, 2), 2);
	n->observed = addr_v4(203, 0, 113, 9, 4021); /* by a peer, through a NAT */
	assert_int_equal(node_own_addresses(n, out, 4), 4);
	assert_string_equal(addr_format(&out[0], text), "203.0.113.9:4021");
	assert_string_equal(addr_format(&out[1], text), want[0]);
	n->observed = addr_v4(127, 0, 0, 1, 4021); /* by one on this machine */
	assert_int_equal(node_own_addresses(n, out, 8), 5);
	wire_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_guest_is_told_and_gets_silence),
		cmocka_unit_test(a_guest_is_no_request),
		cmocka_unit_test(the_call_back_connects_and_ends_the_showing),
		cmocka_unit_test(it_is_shown_until_a_session_is_up),
		cmocka_unit_test(it_is_tried_until_it_expires),
		cmocka_unit_test(a_replay_is_told_and_bounded),
		cmocka_unit_test(a_contact_that_shows_one_is_answered),
		cmocka_unit_test(a_client_that_shows_one_is_not_answered),
		cmocka_unit_test(one_address_of_each_family_comes_first),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
