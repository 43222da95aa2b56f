/* A guest shows a facilitator the voucher of one of its contacts: let in until it expires, to reach
 * whom its policy says. A invites B; F knows A alone; C is another one. */
#define WIRE_NODES 4
#include "tests/unit/relay_world.h"

#include "discovery/invite.h"

#define C    3
#define WALL 1800000000
#define HOUR 3600

static const uint8_t secret[VOUCHER_SECRET_LEN] = { 5, 6, 7 };

static size_t long_hs1, short_hs1, answers;
static struct flight last_hs1;

static bool watch(struct wire *w, struct flight *f)
{
	if (is_type(f, PACKET_HS1) && addr_equal(&f->to, &w->nodes[F].addr)) {
		long_hs1 += f->len == HS1_LONG_LEN;
		short_hs1 += f->len == HS1_LEN;
		if (f->len == HS1_LONG_LEN)
			last_hs1 = *f;
	}
	answers += is_type(f, PACKET_HS2) && addr_equal(&f->from, &w->nodes[F].addr);
	return only_by_facilitator(w, f);
}

static void set_wall(struct wire *w, int64_t unix_s)
{
	for (size_t i = 0; i < w->count; i++)
		node_set_wall(w->nodes[i].node, w->now, unix_s);
}

static struct wire *world_with(enum facilitator_policy policy)
{
	struct wire *w = wire_new(4);
	wire_set_address(w, A, addr_v4(198, 51, 101, 10, 27182));
	wire_set_address(w, B, addr_v4(198, 51, 102, 10, 27182));
	wire_set_address(w, C, addr_v4(198, 51, 103, 10, 27182));
	restart_as(w, F, policy);
	set_wall(w, WALL);
	w->hook = watch;
	long_hs1 = short_hs1 = answers = 0;
	wire_know(w, F, A, NULL, "icmp");
	wire_use_facilitator(w, A, F);
	wire_run(w, OV_SEC);
	assert_true(registration(w, A)->registered);
	return w;
}

/* What `guest` shows for an invite that `signer` made, saying it is A's. */
static void pass_of(const struct wire *w, size_t signer, const uint8_t key[VOUCHER_SECRET_LEN],
	uint64_t expires_s, uint8_t pass[VOUCHER_PASS_LEN])
{
	uint8_t token[VOUCHER_TOKEN_LEN];
	struct voucher v = voucher_draft(&w->nodes[A].id.id, &w->nodes[F].id.id, key, expires_s);
	voucher_sign(&v, &w->nodes[signer].id);
	v.inviter = w->nodes[A].id.id;
	voucher_token(token, key);
	voucher_pass(&v, token, pass);
}

static void show(struct wire *w, size_t guest, const uint8_t pass[VOUCHER_PASS_LEN])
{
	struct contact c = { .id = w->nodes[F].id.id };
	char text[ADDR_TEXT_MAX];
	assert_int_equal(contact_add_endpoint(&c, addr_format(&w->nodes[F].addr, text)), OV_OK);
	assert_int_equal(node_facilitator_put(w->nodes[guest].node, w->now, &c, pass), OV_OK);
	contact_fini(&c);
	wire_drain(w, guest);
}

static void show_good(struct wire *w, size_t guest)
{
	uint8_t pass[VOUCHER_PASS_LEN];
	pass_of(w, A, secret, WALL + HOUR, pass);
	show(w, guest, pass);
}

static struct facilitator_role role(const struct wire *w)
{
	return node_facilitator_role(w->nodes[F].node, w->now);
}

/* The whole way: B knows the line, A its hash, F one of the two. */
static struct wire *joined(enum facilitator_policy policy)
{
	struct wire *w = world_with(policy);
	uint8_t hash[INVITE_HASH_LEN];
	invite_hash(hash, secret);
	node_set_invites(w->nodes[A].node, w->now, hash, 1);
	wire_drain(w, A);
	wire_know(w, B, A, NULL, "all");
	show_good(w, B);
	assert_int_equal(node_join(w->nodes[B].node, w->now, &w->nodes[A].id.id, secret), OV_OK);
	wire_drain(w, B);
	wire_run(w, OV_SEC);
	assert_int_equal(wire_events(w, A, NODE_GUEST) > 0, true);
	struct contact c = { .id = w->nodes[B].id.id, .name = "guest" };
	assert_int_equal(grants_add_list(&c.grants, "all", NULL), OV_OK);
	assert_int_equal(node_contact_put(w->nodes[A].node, w->now, &c, true), OV_OK);
	contact_fini(&c);
	wire_drain(w, A);
	wire_run(w, 2 * OV_SEC);
	return w;
}

static void a_guest_reaches_its_inviter(void **state)
{
	(void)state;
	struct wire *w = joined(FACILITATOR_CONTACTS);
	assert_true(registration(w, B)->registered);
	assert_int_equal(role(w).guests, 1);
	assert_int_equal(role(w).clients, 2);
	assert_int_equal(role(w).vouchers_refused, 0);
	assert_int_equal(wire_events(w, B, NODE_JOINED), 1);
	wire_send(w, B, A, 1, 100);
	wire_send(w, A, B, 2, 100);
	wire_run(w, OV_SEC);
	assert_int_equal(wire_got(w, B, A, 1, 100), 1);
	assert_int_equal(wire_got(w, A, B, 2, 100), 1);
	assert_int_equal(short_hs1, 1); /* A's */
	wire_free(w);
}

/* The inviter offers its facilitator again, RELAY_OFFER: no moment without. */
static void a_renewed_voucher_lasts_longer(void **state)
{
	(void)state;
	struct wire *w = joined(FACILITATOR_CONTACTS);
	uint8_t pass[VOUCHER_PASS_LEN];
	pass_of(w, A, secret, WALL + 3 * HOUR, pass);
	show(w, B, pass);
	for (uint32_t i = 0; i < 2 * HOUR / 60; i++) {
		wire_send(w, A, B, 10 + i, 100);
		wire_run(w, 60 * OV_SEC);
		assert_int_equal(wire_got(w, A, B, 10 + i, 100), 1);
	}
	assert_int_equal(role(w).guests, 1);
	wire_run(w, 2 * HOUR * OV_SEC);
	assert_int_equal(role(w).guests, 0);
	wire_free(w);
}

/* A word that does not count there, and is said to hold for longer, keeps no other from being
 * shown: neither one that came before it nor one that comes later. */
static void a_word_that_does_not_count_is_in_nobodys_way(void **state)
{
	(void)state;
	struct wire *w = world_with(FACILITATOR_CONTACTS);
	uint8_t bogus[VOUCHER_PASS_LEN];
	for (int first = 0; first < 2; first++) {
		wire_use_facilitator(w, B, F);
		wire_run(w, OV_SEC);
		pass_of(w, C, secret, WALL + 20 * HOUR, bogus);
		memcpy(bogus, w->nodes[C].id.id.bytes, PEER_ID_LEN);
		if (first == 0)
			show(w, B, bogus);
		show_good(w, B);
		if (first == 1)
			show(w, B, bogus);
		wire_run(w, 40 * OV_SEC);
		assert_true(registration(w, B)->registered);
		wire_run(w, 400 * OV_SEC);
		assert_true(registration(w, B)->registered);
		wire_stop(w, B);
		wire_start(w, B);
		wire_set_address(w, B, w->nodes[B].addr);
		node_set_wall(w->nodes[B].node, w->now, WALL + 500);
	}
	wire_free(w);
}

static void without_a_voucher_there_is_silence(void **state)
{
	(void)state;
	struct wire *w = world_with(FACILITATOR_CONTACTS);
	answers = 0;
	wire_use_facilitator(w, B, F);
	wire_run(w, 10 * OV_SEC);
	assert_int_equal(answers, 0);
	assert_null(node_contact(w->nodes[F].node, &w->nodes[B].id.id));
	assert_int_equal(role(w).vouchers_refused, 0);
	wire_free(w);
}

static void refused(struct wire *w, const uint8_t pass[VOUCHER_PASS_LEN], enum drop why)
{
	uint64_t before = wire_drops(w, F, why), known = role(w).vouchers_refused;
	answers = 0;
	show(w, B, pass);
	wire_run(w, 3 * OV_SEC);
	assert_int_equal(answers, 0);
	assert_null(node_contact(w->nodes[F].node, &w->nodes[B].id.id));
	assert_true(wire_drops(w, F, why) > before);
	assert_true(role(w).vouchers_refused > known);
	assert_int_equal(role(w).guests, 0);
	wire_stop(w, B);
	wire_start(w, B);
	set_wall(w, WALL);
}

static void a_wrong_voucher_is_silence(void **state)
{
	(void)state;
	struct wire *w = world_with(FACILITATOR_CONTACTS);
	uint8_t pass[VOUCHER_PASS_LEN];
	pass_of(w, B, secret, WALL + HOUR, pass); /* not A's signature */
	refused(w, pass, DROP_AUTH);
	pass_of(w, A, secret, WALL + HOUR, pass);
	pass[40] ^= 1; /* token */
	refused(w, pass, DROP_AUTH);
	pass_of(w, A, secret, WALL + HOUR, pass);
	pass[49] ^= 1; /* a later expiry */
	refused(w, pass, DROP_AUTH);
	pass_of(w, A, secret, WALL + HOUR, pass);
	memcpy(pass, w->nodes[C].id.id.bytes, PEER_ID_LEN); /* of a stranger */
	refused(w, pass, DROP_STRANGER);
	struct voucher v =
		voucher_draft(&w->nodes[A].id.id, &w->nodes[C].id.id, secret, WALL + HOUR);
	uint8_t token[VOUCHER_TOKEN_LEN];
	voucher_sign(&v, &w->nodes[A].id); /* for another facilitator */
	voucher_token(token, secret);
	voucher_pass(&v, token, pass);
	refused(w, pass, DROP_AUTH);
	pass_of(w, A, secret, WALL + HOUR, pass);
	node_set_wall(w->nodes[F].node, w->now, WALL + HOUR); /* B's clock is behind */
	refused(w, pass, DROP_EXPIRED);
	node_set_wall(w->nodes[F].node, w->now, 0); /* F does not know the time */
	refused(w, pass, DROP_STRANGER);
	wire_free(w);
}

static void a_guest_is_gone_when_its_voucher_expires(void **state)
{
	(void)state;
	struct wire *w = joined(FACILITATOR_CONTACTS);
	wire_run(w, (HOUR - 60) * OV_SEC);
	assert_int_equal(role(w).guests, 1);
	wire_run(w, 120 * OV_SEC);
	assert_int_equal(role(w).guests, 0);
	assert_int_equal(role(w).clients, 1);
	assert_null(node_contact(w->nodes[F].node, &w->nodes[B].id.id));
	assert_int_equal(w->nodes[F].node->forward_count, 0);
	long_hs1 = short_hs1 = 0; /* it is shown no more, and B may ask in vain */
	wire_run(w, HOUR * OV_SEC);
	assert_int_equal(long_hs1, 0);
	assert_true(short_hs1 > 0);
	assert_true(sodium_is_zero(
		(const uint8_t *)registration(w, B)->passes, sizeof(registration(w, B)->passes)));
	wire_free(w);
}

static void either_may_restart(void **state)
{
	(void)state;
	struct wire *w = joined(FACILITATOR_CONTACTS);
	restart_as(w, F, FACILITATOR_CONTACTS);
	wire_know(w, F, A, NULL, "icmp");
	set_wall(w, WALL + 10);
	wire_send(w, B, A, 3, 100);
	wire_run(w, 10 * OV_SEC);
	assert_int_equal(role(w).guests, 1);
	wire_send(w, B, A, 4, 100);
	wire_run(w, OV_SEC);
	assert_int_equal(wire_got(w, B, A, 4, 100), 1);
	wire_stop(w, B);
	wire_start(w, B);
	wire_know(w, B, A, NULL, "all");
	set_wall(w, WALL + 30);
	show_good(w, B); /* the store has it */
	wire_run(w, 2 * OV_SEC);
	wire_send(w, B, A, 5, 100);
	wire_run(w, 2 * OV_SEC);
	assert_int_equal(wire_got(w, B, A, 5, 100), 1);
	wire_free(w);
}

static void guests_end_with_the_contact_that_brought_them(void **state)
{
	(void)state;
	struct wire *w = joined(FACILITATOR_CONTACTS);
	assert_int_equal(node_contact_remove(w->nodes[F].node, &w->nodes[A].id.id), OV_OK);
	wire_drain(w, F);
	assert_int_equal(node_peer_count(w->nodes[F].node), 0);
	assert_int_equal(role(w).guests, 0);
	wire_run(w, 400 * OV_SEC);
	assert_int_equal(node_peer_count(w->nodes[F].node), 0);
	assert_true(role(w).vouchers_refused > 0);
	wire_free(w);
}

static void a_guest_may_become_a_contact(void **state)
{
	(void)state;
	struct wire *w = joined(FACILITATOR_CONTACTS);
	wire_know(w, F, B, NULL, "icmp");
	assert_int_equal(role(w).guests, 0);
	wire_run(w, 2 * HOUR * OV_SEC);
	assert_int_equal(role(w).clients, 2);
	wire_free(w);
}

static void passes(struct wire *w, uint32_t tag)
{
	wire_send(w, B, A, tag, 100);
	wire_run(w, OV_SEC);
	assert_int_equal(wire_got(w, B, A, tag, 100), 1);
}

/* Each may serve the other: B is a guest at F, and F is served by B. */
static void a_guest_may_be_our_facilitator(void **state)
{
	(void)state;
	struct wire *w = joined(FACILITATOR_CONTACTS);
	wire_use_facilitator(w, F, B);
	assert_int_equal(role(w).guests, 1);
	wire_run(w, 700 * OV_SEC); /* it has registered anew */
	assert_true(registration(w, B)->registered);
	assert_int_equal(role(w).clients, 2);
	passes(w, 20);
	assert_int_equal(
		node_facilitator_remove(w->nodes[F].node, w->now, &w->nodes[B].id.id), OV_OK);
	wire_run(w, 700 * OV_SEC); /* no facilitator any more, and still a guest */
	passes(w, 21);
	assert_int_equal(role(w).guests, 1);
	wire_use_facilitator(w, F, B);
	wire_run(w, HOUR * OV_SEC);
	assert_int_equal(role(w).guests, 0); /* the voucher has expired */
	assert_int_equal(role(w).clients, 1);
	assert_int_equal(w->nodes[F].node->forward_count, 0);
	assert_int_equal(w->nodes[F].node->facilitator_count, 1);
	wire_free(w);
}

static void a_facilitator_of_ours_may_become_a_guest(void **state)
{
	(void)state;
	struct wire *w = world_with(FACILITATOR_CONTACTS);
	wire_use_facilitator(w, F, B);
	show_good(w, B);
	wire_run(w, 20 * OV_SEC);
	assert_int_equal(role(w).guests, 1);
	assert_true(registration(w, B)->registered);
	assert_int_equal(node_contact_remove(w->nodes[F].node, &w->nodes[A].id.id), OV_OK);
	wire_drain(w, F);
	assert_int_equal(role(w).guests, 0); /* who brought it is a contact no more */
	assert_int_equal(role(w).clients, 0);
	assert_int_equal(w->nodes[F].node->facilitator_count, 1);
	wire_run(w, 400 * OV_SEC);
	assert_int_equal(role(w).clients, 0);
	wire_free(w);
}

/* C is a contact of F that would let B in. */
static size_t reached_c(enum facilitator_policy policy)
{
	struct wire *w = joined(policy);
	wire_know(w, F, C, NULL, "icmp");
	wire_know(w, C, B, NULL, "all");
	wire_know(w, B, C, NULL, "all");
	wire_use_facilitator(w, C, F);
	wire_run(w, 2 * OV_SEC);
	wire_send(w, B, C, 7, 100);
	wire_send(w, C, B, 8, 100);
	wire_run(w, 5 * OV_SEC);
	size_t got = wire_got(w, B, C, 7, 100) + wire_got(w, C, B, 8, 100);
	wire_send(w, B, A, 9, 100);
	wire_run(w, OV_SEC);
	assert_int_equal(wire_got(w, B, A, 9, 100), 1);
	wire_free(w);
	return got;
}

static void whom_a_guest_reaches_is_the_policy(void **state)
{
	(void)state;
	assert_int_equal(reached_c(FACILITATOR_CONTACTS), 0);
	assert_int_equal(reached_c(FACILITATOR_INVITE), 2);
}

/* The voucher outlives the invite: it opens the facilitator, not the inviter. */
static void a_revoked_invite_leads_nowhere(void **state)
{
	(void)state;
	struct wire *w = world_with(FACILITATOR_CONTACTS);
	node_set_invites(w->nodes[A].node, w->now, secret, 0);
	wire_know(w, B, A, NULL, "all");
	show_good(w, B);
	assert_int_equal(node_join(w->nodes[B].node, w->now, &w->nodes[A].id.id, secret), OV_OK);
	wire_drain(w, B);
	wire_run(w, 20 * OV_SEC);
	assert_true(registration(w, B)->registered);
	assert_int_equal(wire_events(w, A, NODE_GUEST), 0);
	assert_int_equal(w->nodes[F].node->forward_count, 0);
	wire_free(w);
}

/* It was killed before it heard that it is a contact. The invite is used, so its tag leads nowhere;
 * the pair's does. */
static void a_guest_that_did_not_hear_it_joined(void **state)
{
	(void)state;
	struct wire *w = world_with(FACILITATOR_OPEN);
	wire_know(w, A, B, NULL, "all");
	wire_know(w, B, A, NULL, "all");
	wire_use_facilitator(w, B, F);
	wire_run(w, 2 * OV_SEC);
	assert_int_equal(node_join(w->nodes[B].node, w->now, &w->nodes[A].id.id, secret), OV_OK);
	wire_drain(w, B);
	wire_run(w, OV_SEC);
	assert_int_equal(wire_events(w, B, NODE_JOINED), 1);
	assert_int_equal(wire_info(w, B, A).active.carrier, CARRIER_RELAY);
	wire_free(w);
}

static void a_voucher_is_for_one_guest(void **state)
{
	(void)state;
	struct wire *w = joined(FACILITATOR_CONTACTS);
	show_good(w, C);
	wire_run(w, 5 * OV_SEC);
	assert_null(node_contact(w->nodes[F].node, &w->nodes[C].id.id));
	assert_true(wire_drops(w, F, DROP_FULL) > 0);
	assert_int_equal(role(w).guests, 1);
	wire_stop(w, B); /* its session ends; then the place is free */
	wire_run(w, 1200 * OV_SEC);
	assert_non_null(node_contact(w->nodes[F].node, &w->nodes[C].id.id));
	wire_free(w);
}

static void a_replay_names_nobody_else(void **state)
{
	(void)state;
	struct wire *w = joined(FACILITATOR_CONTACTS);
	struct flight copy = last_hs1;
	struct ov_addr attacker = addr_v4(203, 0, 113, 66, 6);
	wire_run(w, 200 * OV_SEC);
	answers = 0;
	for (size_t i = 0; i < 200; i++)
		wire_put(w, OV_MS, attacker, w->nodes[F].addr, copy.data, copy.len);
	wire_run(w, OV_SEC);
	assert_true(answers <= 1);
	assert_int_equal(role(w).guests, 1);
	assert_int_equal(node_peer_count(w->nodes[F].node), 2);
	wire_send(w, B, A, 11, 100);
	wire_run(w, OV_SEC);
	assert_int_equal(wire_got(w, B, A, 11, 100), 1);
	wire_free(w);
}

/* A fresh identity shows the pass, from this address. */
static void stranger_shows(
	struct wire *w, size_t number, struct ov_addr from, const uint8_t pass[VOUCHER_PASS_LEN])
{
	struct identity id;
	uint8_t seed[32] = { 0xee };
	store_le32(seed + 4, (uint32_t)number);
	assert_int_equal(identity_from_seed(&id, seed), OV_OK);
	struct rng rng = { .fill = wire_random, .context = &w->nodes[F].random };
	struct hs1_payload payload = { .peer = id.id,
		.seq = 1,
		.instance = 7,
		.association = 9,
		.mtu = 1400,
		.suites = 1,
		.has_voucher = true };
	struct handshake_network net = w->nodes[F].config.network;
	struct hs1_config c = { .net = &net,
		.self = &id,
		.remote_dh = w->nodes[F].id.dh_public,
		.index = 1234,
		.payload = &payload };
	struct handshake h = { 0 };
	memcpy(payload.voucher, pass, VOUCHER_PASS_LEN);
	assert_int_equal(handshake_start(&h, &c, &rng), OV_OK);
	wire_put(w, 0, from, w->nodes[F].addr, h.hs1, h.hs1_len);
	wire_run(w, OV_MS);
	handshake_wipe(&h);
}

/* A contact that signs as many as it likes brings 64; all are gone when nothing comes of it. */
static void a_contact_brings_a_bounded_number(void **state)
{
	(void)state;
	struct wire *w = world_with(FACILITATOR_INVITE);
	uint8_t pass[VOUCHER_PASS_LEN], key[VOUCHER_SECRET_LEN] = { 0 };
	for (size_t i = 0; i < 100; i++) {
		key[0] = (uint8_t)i;
		pass_of(w, A, key, WALL + HOUR, pass);
		stranger_shows(w, i, addr_v4(203, 0, 113, (uint8_t)i, 1), pass);
		wire_run(w, 20 * OV_MS);
	}
	assert_int_equal(role(w).guests, 64);
	assert_int_equal(role(w).vouchers_refused, 36);
	wire_run(w, 60 * OV_SEC);
	assert_int_equal(role(w).guests, 0);
	assert_int_equal(node_peer_count(w->nodes[F].node), 1);
	wire_free(w);
}

/* Each forged one costs a signature: 64 at once, 100 a second; from one address fewer. */
static void forged_ones_cost_a_bounded_time(void **state)
{
	(void)state;
	struct wire *w = world_with(FACILITATOR_CONTACTS);
	uint8_t pass[VOUCHER_PASS_LEN];
	pass_of(w, B, secret, WALL + HOUR, pass);
	for (size_t i = 0; i < 300; i++)
		stranger_shows(w, i, addr_v4(203, 0, (uint8_t)i, (uint8_t)i, 1), pass);
	assert_in_range(wire_drops(w, F, DROP_AUTH), 64, 64 + 35);
	assert_int_equal(wire_drops(w, F, DROP_AUTH) + wire_drops(w, F, DROP_RATE), 300);
	assert_int_equal(role(w).vouchers_refused, 300);
	assert_int_equal(node_peer_count(w->nodes[F].node), 1);
	wire_free(w);
}

/* A list of 64 that one machine could fill would be of no use. */
static void one_address_asks_to_be_a_contact_eight_times(void **state)
{
	(void)state;
	struct wire *w = world_with(FACILITATOR_CONTACTS);
	uint8_t pass[VOUCHER_PASS_LEN] = { 0 };
	struct peer_request list[64];
	node_set_pairing(w->nodes[F].node, true);
	for (size_t i = 0; i < 20; i++)
		stranger_shows(w, i, addr_v4(203, 0, 113, 1, (uint16_t)(1 + i)), pass);
	assert_int_equal(node_requests(w->nodes[F].node, list, 64), 8);
	stranger_shows(w, 0, addr_v4(203, 0, 113, 1, 99), pass); /* who is listed may ask again */
	assert_int_equal(node_requests(w->nodes[F].node, list, 64), 8);
	stranger_shows(w, 20, addr_v4(203, 0, 113, 2, 1), pass);
	assert_int_equal(node_requests(w->nodes[F].node, list, 64), 9);
	wire_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_guest_reaches_its_inviter),
		cmocka_unit_test(a_renewed_voucher_lasts_longer),
		cmocka_unit_test(a_word_that_does_not_count_is_in_nobodys_way),
		cmocka_unit_test(without_a_voucher_there_is_silence),
		cmocka_unit_test(a_wrong_voucher_is_silence),
		cmocka_unit_test(a_guest_is_gone_when_its_voucher_expires),
		cmocka_unit_test(either_may_restart),
		cmocka_unit_test(guests_end_with_the_contact_that_brought_them),
		cmocka_unit_test(a_guest_may_become_a_contact),
		cmocka_unit_test(a_guest_may_be_our_facilitator),
		cmocka_unit_test(a_facilitator_of_ours_may_become_a_guest),
		cmocka_unit_test(whom_a_guest_reaches_is_the_policy),
		cmocka_unit_test(a_revoked_invite_leads_nowhere),
		cmocka_unit_test(a_guest_that_did_not_hear_it_joined),
		cmocka_unit_test(a_voucher_is_for_one_guest),
		cmocka_unit_test(a_replay_names_nobody_else),
		cmocka_unit_test(a_contact_brings_a_bounded_number),
		cmocka_unit_test(forged_ones_cost_a_bounded_time),
		cmocka_unit_test(one_address_asks_to_be_a_contact_eight_times),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
