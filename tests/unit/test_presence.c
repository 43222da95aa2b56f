/* WATCH and PRESENCE: a facilitator tells who of our contacts comes and goes (docs/protocol.md
 * 13.1). A and B know each other, F and G are facilitators. */
#define WIRE_NODES 33
#include <malloc.h>

#include "tests/unit/relay_world.h"

#include "overlay/facilitator.h"
#include "overlay/presence.h"
#include "overlay/registration.h"
#include "overlay/watch.h"

#define G 3

static uint8_t bit_of(const struct wire *w, size_t i, size_t facilitator)
{
	return (uint8_t)(1u << wire_peer(w, i, facilitator)->registration->number);
}

static bool is_here(const struct wire *w, size_t i, size_t peer, size_t facilitator)
{
	return wire_peer(w, i, peer)->here_at & bit_of(w, i, facilitator);
}

static bool is_absent(const struct wire *w, size_t i, size_t peer, size_t facilitator)
{
	return wire_peer(w, i, peer)->absent_at & bit_of(w, i, facilitator);
}

/* Its neighbours are told nothing: it is off. */
static void switch_off(struct wire *w, size_t i)
{
	wire_stop(w, i);
}

static void switch_on(struct wire *w, size_t i, size_t peer)
{
	wire_start(w, i);
	wire_set_address(w, i, w->nodes[i].addr);
	wire_know(w, i, peer, NULL, "all");
	wire_use_facilitator(w, i, F);
}

static void both_see_each_other(void **state)
{
	(void)state;
	struct wire *w = world();
	assert_true(is_here(w, A, B, F) && is_here(w, B, A, F));
	assert_int_equal(table_count(w->nodes[F].node->by_watch), 2);
	wire_free(w);
}

/* A has B as contact, B does not know A. */
static void who_lets_nobody_in_is_seen_by_nobody(void **state)
{
	(void)state;
	struct wire *w = wire_new(3);
	for (size_t i = 0; i < 2; i++)
		wire_set_address(w, i, w->nodes[i].addr);
	restart_as(w, F, FACILITATOR_OPEN);
	wire_know(w, A, B, NULL, "all");
	wire_use_facilitator(w, A, F);
	wire_use_facilitator(w, B, F);
	wire_run(w, 5 * OV_SEC);
	assert_true(registration(w, B)->registered);
	assert_true(is_absent(w, A, B, F));
	wire_know(w, B, A, NULL, "all"); /* now it does */
	wire_run(w, OV_SEC);
	assert_true(is_here(w, A, B, F));
	assert_int_equal(node_contact_remove(w->nodes[B].node, &w->nodes[A].id.id), OV_OK);
	wire_drain(w, B);
	wire_run(w, OV_SEC);
	assert_true(is_absent(w, A, B, F));
	wire_free(w);
}

static void who_comes_is_called_at_once(void **state)
{
	(void)state;
	struct wire *w = world();
	switch_off(w, B);
	wire_send(w, A, B, 1, 100); /* wanted from now on */
	wire_run(w, 3600 * OV_SEC);
	assert_true(is_absent(w, A, B, F));
	assert_int_equal(wire_info(w, A, B).state, PEER_AWAY);
	size_t ups = wire_events(w, A, NODE_PEER_UP);
	switch_on(w, B, A);
	wire_run(w, 500 * OV_MS);
	assert_int_equal(wire_events(w, A, NODE_PEER_UP), ups + 1);
	assert_int_equal(wire_info(w, A, B).state, PEER_UP);
	wire_free(w);
}

/* It restarts so fast that it never was gone, while A waits for its next attempt. */
static void who_restarts_is_called_at_once(void **state)
{
	(void)state;
	struct wire *w = world();
	struct peer *p = wire_peer(w, A, B);
	p->wanted_at = p->away_since = w->now;
	p->away = true;
	p->retry_at = w->now + 300 * OV_SEC;
	peer_touch(w->nodes[A].node, p);
	wire_drain(w, A);
	switch_off(w, B);
	wire_run(w, 5 * OV_SEC);
	assert_true(is_here(w, A, B, F));
	assert_int_equal(wire_info(w, A, B).state, PEER_AWAY);
	switch_on(w, B, A);
	wire_run(w, OV_SEC);
	assert_int_equal(wire_info(w, A, B).state, PEER_UP);
	wire_free(w);
}

/* ---- losses ---- */

struct loss {
	enum frame_type type;
	unsigned percent;
	uint64_t random;
	unsigned lost;
};

/* All CONTROL of F's alike: which frames are inside nobody sees. */
static bool lossy(struct wire *w, struct flight *f)
{
	struct loss *l = w->context;
	bool of_f = addr_same_ip(&f->from, &w->nodes[F].addr) ||
		    addr_same_ip(&f->to, &w->nodes[F].addr);
	if (!of_f || !is_type(f, PACKET_CONTROL))
		return true;
	uint32_t drawn;
	wire_random(&l->random, &drawn, sizeof(drawn));
	bool lost = drawn % 100 < l->percent;
	l->lost += lost;
	return !lost;
}

static void nothing_is_lost_for_ever(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 10; seed++) {
		struct wire *w = world();
		struct loss l = { .percent = 50, .random = seed };
		w->context = &l;
		w->hook = lossy;
		switch_off(w, B);
		wire_run(w, 400 * OV_SEC);
		assert_true(is_absent(w, A, B, F));
		switch_on(w, B, A);
		wire_run(w, 300 * OV_SEC);
		assert_true(l.lost > 20);
		w->hook = NULL; /* 64 s: the longest gap between repetitions */
		wire_run(w, 80 * OV_SEC);
		assert_true(is_here(w, A, B, F) && is_here(w, B, A, F));
		const struct watching *wt = wire_peer(w, F, A)->client->watching;
		assert_int_equal(wt->pages[0]->sequence, 0); /* acknowledged */
		wire_free(w);
	}
}

static void a_facilitator_that_is_gone_says_nothing(void **state)
{
	(void)state;
	struct wire *w = world();
	assert_true(is_here(w, A, B, F));
	switch_off(w, F);
	wire_run(w, 300 * OV_SEC);
	assert_false(is_here(w, A, B, F) || is_absent(w, A, B, F));
	wire_start(w, F);
	wire_set_address(w, F, w->nodes[F].addr);
	wire_run(w, 400 * OV_SEC);
	assert_true(is_here(w, A, B, F) && is_here(w, B, A, F));
	wire_free(w);
}

/* ---- who is away is spared ---- */

struct sent { /* by A */
	size_t hs1, to_f;
};

static bool count_of_a(struct wire *w, struct flight *f)
{
	struct sent *s = w->context;
	if (addr_equal(&f->from, &w->nodes[A].addr)) {
		s->hs1 += is_type(f, PACKET_HS1) && !addr_same_ip(&f->to, &w->nodes[F].addr);
		s->to_f += f->len > HS1_LEN + 60 && addr_same_ip(&f->to, &w->nodes[F].addr);
	}
	return !is_direct(w, f);
}

static void who_was_seen_there_is_polled_every_half_hour(void **state)
{
	(void)state;
	struct wire *w = world();
	node_candidate(
		w->nodes[A].node, w->now, &w->nodes[B].id.id, &w->nodes[B].addr, SOURCE_USER);
	wire_send(w, A, B, 1, 100);
	switch_off(w, B);
	wire_run(w, 3600 * OV_SEC);
	struct sent s = { 0 };
	w->context = &s;
	w->hook = count_of_a;
	wire_run(w, 3 * 3600 * OV_SEC);
	assert_in_range(s.hs1, 5, 8);
	assert_int_equal(s.to_f, 0); /* RELAY_OPEN is the only long thing */
	switch_off(w, F);            /* nobody would tell any more: 300 s again */
	wire_run(w, 600 * OV_SEC);
	s = (struct sent){ 0 };
	wire_run(w, 3600 * OV_SEC);
	assert_in_range(s.hs1, 9, 16);
	wire_free(w);
}

/* ---- bounds ---- */

static struct peer_id stranger(uint32_t i)
{
	uint8_t seed[32] = { 0xcc, (uint8_t)i, (uint8_t)(i >> 8) };
	struct identity id;
	assert_int_equal(identity_from_seed(&id, seed), OV_OK);
	return id.id;
}

/* More contacts than a page has tags, B the last of them. */
static void pages_are_told_apart(void **state)
{
	(void)state;
	struct wire *w = wire_new(3);
	w->nodes[A].config.max_contacts = 1000;
	wire_stop(w, A);
	wire_start(w, A);
	for (size_t i = 0; i < 2; i++)
		wire_set_address(w, i, w->nodes[i].addr);
	restart_as(w, F, FACILITATOR_OPEN);
	for (uint32_t i = 0; i < 300; i++) {
		struct contact c = { .id = stranger(i) };
		assert_int_equal(node_contact_put(w->nodes[A].node, w->now, &c, false), OV_OK);
	}
	wire_know(w, A, B, NULL, "all");
	wire_know(w, B, A, NULL, "all");
	wire_use_facilitator(w, A, F);
	wire_use_facilitator(w, B, F);
	wire_run(w, 2 * OV_SEC);
	assert_true(is_here(w, A, B, F));
	for (uint32_t i = 0; i < 300; i++) {
		struct peer_id id = stranger(i);
		assert_int_equal(node_peer(w->nodes[A].node, &id)->here_at, 0);
		assert_int_equal(node_peer(w->nodes[A].node, &id)->absent_at, bit_of(w, A, F));
	}
	assert_int_equal(table_count(w->nodes[F].node->by_watch), 302);
	struct peer_id first = stranger(0); /* all others move up */
	assert_int_equal(node_contact_remove(w->nodes[A].node, &first), OV_OK);
	wire_drain(w, A);
	wire_run(w, 2 * OV_SEC);
	assert_true(is_here(w, A, B, F));
	assert_int_equal(table_count(w->nodes[F].node->by_watch), 301);
	switch_off(w, A);
	wire_run(w, 1200 * OV_SEC);
	assert_int_equal(table_count(w->nodes[F].node->by_watch), 1); /* B's */
	assert_int_equal(table_count(w->nodes[F].node->by_tag), 1);
	wire_free(w);
}

/* Each finds the others by the last node only. */
static bool only_by_the_last(struct wire *w, struct flight *f)
{
	const struct ov_addr *last = &w->nodes[w->count - 1].addr;
	return addr_same_ip(&f->from, last) || addr_same_ip(&f->to, last);
}

/* B comes and goes all the time. */
static void coming_and_going_costs_little(void **state)
{
	(void)state;
	struct wire *w = world();
	struct node *f = w->nodes[F].node;
	struct client *b = wire_peer(w, F, B)->client;
	uint64_t before = w->nodes[A].received;
	for (unsigned i = 0; i < 600; i++) {
		b->expires_at = i % 2 ? w->now + 600 * OV_SEC : 0;
		peer_touch(f, wire_peer(w, F, B));
		wire_drain(w, F);
		wire_run(w, 100 * OV_MS);
	}
	assert_in_range(w->nodes[A].received - before, 5, 30);
	b->expires_at = w->now + 600 * OV_SEC;
	peer_touch(f, wire_peer(w, F, B));
	wire_drain(w, F);
	wire_run(w, 10 * OV_SEC);
	assert_true(is_here(w, A, B, F));
	wire_free(w);
}

/* F restarts: its clients come all at once, each with all others as contacts. */
#define CLIENTS 16

/* A facilitator restarts: all of its clients, who all know each other, come at once. */
static void a_restart_makes_no_storm(void **state)
{
	(void)state;
	const size_t f = CLIENTS;
	struct wire *w = wire_new(CLIENTS + 1);
	restart_as(w, f, FACILITATOR_OPEN);
	w->hook = only_by_the_last;
	for (size_t i = 0; i < CLIENTS; i++) {
		wire_set_address(w, i, w->nodes[i].addr);
		for (size_t k = 0; k < CLIENTS; k++)
			if (k != i)
				wire_know(w, i, k, NULL, "all");
		wire_use_facilitator(w, i, f);
	}
	wire_run(w, 60 * OV_SEC);
	wire_stop(w, f);
	wire_run(w, 30 * OV_SEC);
	wire_start(w, f);
	wire_set_address(w, f, w->nodes[f].addr);
	uint64_t before = w->nodes[f].sent;
	wire_run(w, 300 * OV_SEC);
	uint8_t bit = 1;
	for (size_t i = 0; i < CLIENTS; i++)
		for (size_t k = 0; k < CLIENTS; k++)
			assert_true(i == k || wire_peer(w, i, k)->here_at == bit);
	double each = (double)(w->nodes[f].sent - before) / CLIENTS;
	print_message("a facilitator's restart: %.1f packets to each of %d clients in 5 minutes\n",
		each, CLIENTS);
	assert_true(each < 40); /* 15 came, as each sees it; 20 are handshakes and registration */
	wire_free(w);
}

/* What a client costs that lets 50 in and watches 50. */
static void a_client_takes_little_memory(void **state)
{
	(void)state;
	enum { COUNT = 1000, TAGS = 50 };
	struct wire *w = wire_new(1);
	w->nodes[0].config.max_contacts = COUNT;
	wire_stop(w, 0);
	wire_start(w, 0);
	struct node *n = w->nodes[0].node;
	n->config.facilitator = FACILITATOR_CONTACTS;
	for (uint32_t i = 0; i < COUNT; i++) {
		struct contact c = { .id = stranger(i) };
		assert_int_equal(node_contact_put(n, w->now, &c, false), OV_OK);
	}
	size_t before = mallinfo2().uordblks + mallinfo2().hblkhd;
	for (uint32_t i = 0; i < COUNT; i++) {
		struct peer_id id = stranger(i);
		struct peer *p = node_peer(n, &id);
		uint8_t tags[TAGS * RELAY_TAG_LEN];
		struct register_frame f = { .pages = 1, .tags = tags, .count = TAGS };
		rng_fill(&n->rng, tags, sizeof(tags));
		assert_int_equal(facilitator_on_register(n, w->now, p, &f), DROP_NONE);
		p->client->here = true; /* as if it had a session */
		rng_fill(&n->rng, tags, sizeof(tags));
		assert_int_equal(presence_on_watch(n, w->now, p, &f), DROP_NONE);
	}
	size_t bytes = (mallinfo2().uordblks + mallinfo2().hblkhd - before) / COUNT;
	print_message("a client with 50 contacts: %zu bytes beside its session\n", bytes);
	assert_true(bytes <= 6144); /* a sanitizer's heap says 0 */
	assert_int_equal(table_count(n->by_watch), COUNT * TAGS);
	wire_free(w);
}

static void a_full_table_refuses_watchers_not_clients(void **state)
{
	(void)state;
	struct wire *w = world();
	struct node *f = w->nodes[F].node;
	for (uint64_t i = 1; table_count(f->by_tag) < node_tags_max(&f->config); i++)
		assert_int_equal(table_put(f->by_tag, i, wire_peer(w, F, A)), OV_OK);
	registration_renew_all(w->nodes[A].node, w->now);
	wire_drain(w, A);
	wire_run(w, OV_SEC);
	assert_true(registration(w, A)->registered);
	assert_int_equal(registration(w, A)->watch.pages, 0);
	assert_int_equal(wire_peer(w, A, B)->absent_at, 0);
	wire_send(w, A, B, 1, 100);
	wire_run(w, OV_SEC);
	assert_int_equal(wire_got(w, A, B, 1, 100), 1);
	wire_free(w);
}

static void words_of_a_stranger_are_nothing(void **state)
{
	(void)state;
	struct wire *w = world();
	uint8_t plain[64];
	struct presence_frame p = { .request = 77, .count = 1, .here = { 1 } };
	struct wr f = wr_init(plain, sizeof(plain));
	frame_put_presence(&f, &p);
	say(w, F, A, &f); /* of a WATCH that was not sent */
	say(w, A, F, &f); /* to who watches nothing there */
	assert_int_equal(wire_drops(w, A, DROP_TOKEN), 1);
	assert_int_equal(wire_drops(w, F, DROP_TOKEN), 1);
	f = wr_init(plain, sizeof(plain));
	frame_put_presence_seen(&f, &(struct presence_seen){ .request = 1, .sequence = 1 });
	say(w, A, F, &f);
	assert_int_equal(wire_drops(w, F, DROP_TOKEN), 2);
	f = wr_init(plain, sizeof(plain));
	frame_put_register(&f, FRAME_WATCH, &(struct register_frame){ .pages = 9, .page = 8 });
	say(w, A, F, &f);
	assert_int_equal(wire_drops(w, F, DROP_FORMAT), 1);
	wire_free(w);
}

/* It says that B is here, and here, and here. */
static void a_lying_facilitator_makes_few_calls(void **state)
{
	(void)state;
	struct wire *w = world();
	switch_off(w, B);
	wire_send(w, A, B, 1, 100);
	wire_run(w, 600 * OV_SEC);
	struct sent s = { 0 };
	w->context = &s;
	w->hook = count_of_a;
	node_candidate(
		w->nodes[A].node, w->now, &w->nodes[B].id.id, &w->nodes[B].addr, SOURCE_USER);
	wire_run(w, 100 * OV_SEC);
	s.hs1 = 0;
	for (uint32_t i = 0; i < 600; i++) {
		uint8_t plain[64];
		struct wr f = wr_init(plain, sizeof(plain));
		frame_put_presence(
			&f, &(struct presence_frame){ .request = registration(w, A)->watch.request,
				    .sequence = 1000 + i,
				    .count = 1,
				    .here = { i % 2 } });
		say(w, F, A, &f);
		wire_run(w, 80 * OV_MS);
	}
	assert_in_range(s.hs1, 1, 40); /* a call of 90 s has 21; begun anew three times */
	wire_free(w);
}

/* G takes the number of F, which had seen B: what F knew says nothing of G. */
static void another_facilitator_begins_without_memories(void **state)
{
	(void)state;
	struct wire *w = world_of(4);
	w->hook = NULL;
	restart_as(w, G, FACILITATOR_OPEN);
	struct peer *b = wire_peer(w, A, B);
	assert_true(is_here(w, A, B, F));
	assert_int_equal(
		node_facilitator_remove(w->nodes[A].node, w->now, &w->nodes[F].id.id), OV_OK);
	wire_drain(w, A);
	wire_use_facilitator(w, A, G);
	wire_run(w, 2 * OV_SEC);
	assert_true(is_absent(w, A, B, G));
	assert_false(watch_waits_for(b)); /* it was never seen there, and may never come */
	wire_free(w);
}

/* Page 0 was acknowledged, page 1 not yet, when a contact of page 0 goes and all others move up. */
static void who_moves_to_another_page_is_let_in(void **state)
{
	(void)state;
	enum { COUNT = REGISTER_TAGS_MAX + 20 };
	struct wire *w = wire_new(3);
	w->nodes[A].config.max_contacts = 1000;
	wire_stop(w, A);
	wire_start(w, A);
	wire_set_address(w, A, w->nodes[A].addr);
	restart_as(w, F, FACILITATOR_OPEN);
	struct node *a = w->nodes[A].node;
	for (uint32_t i = 0; i < COUNT; i++) {
		struct contact c = { .id = stranger(i) };
		assert_int_equal(node_contact_put(a, w->now, &c, false), OV_OK);
	}
	wire_use_facilitator(w, A, F);
	wire_run(w, 2 * OV_SEC);
	struct registration *r = registration(w, A);
	assert_int_equal(r->pages, 2);
	r->registered = false;
	r->done = 1;
	r->next_at = w->now + OV_SEC;
	struct peer_id first = stranger(0), moved = stranger(REGISTER_TAGS_MAX);
	assert_int_equal(node_contact_remove(a, &first), OV_OK);
	wire_drain(w, A);
	wire_run(w, 5 * OV_SEC);
	assert_true(r->registered);
	uint8_t tag[RELAY_TAG_LEN];
	assert_true(registration_tag(
		a, node_peer(a, &moved), &w->nodes[A].id.id, &w->nodes[F].id.id, tag));
	assert_true(facilitator_lets_in(w->now, wire_peer(w, F, A), tag));
	wire_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(both_see_each_other),
		cmocka_unit_test(who_lets_nobody_in_is_seen_by_nobody),
		cmocka_unit_test(who_comes_is_called_at_once),
		cmocka_unit_test(who_restarts_is_called_at_once),
		cmocka_unit_test(nothing_is_lost_for_ever),
		cmocka_unit_test(a_facilitator_that_is_gone_says_nothing),
		cmocka_unit_test(who_was_seen_there_is_polled_every_half_hour),
		cmocka_unit_test(pages_are_told_apart),
		cmocka_unit_test(coming_and_going_costs_little),
		cmocka_unit_test(a_restart_makes_no_storm),
		cmocka_unit_test(a_client_takes_little_memory),
		cmocka_unit_test(a_full_table_refuses_watchers_not_clients),
		cmocka_unit_test(words_of_a_stranger_are_nothing),
		cmocka_unit_test(a_lying_facilitator_makes_few_calls),
		cmocka_unit_test(another_facilitator_begins_without_memories),
		cmocka_unit_test(who_moves_to_another_page_is_let_in),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
