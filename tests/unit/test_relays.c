/* Two relays between two peers that cannot meet: the better one carries their data, and when it
 * dies the other takes over. A and B are the peers, F and G the relays. */
#define WIRE_NODES 4
#include "tests/unit/relay_world.h"

#define G 3

struct delays { /* one way, to and from each relay, beside WIRE_DELAY */
	ov_time f, g;
	bool f_is_dead, g_is_dead;
};

static bool by_two_relays(struct wire *w, struct flight *f)
{
	const struct delays *d = w->context;
	bool of_f = addr_same_ip(&f->from, &w->nodes[F].addr) ||
		    addr_same_ip(&f->to, &w->nodes[F].addr);
	bool of_g = addr_same_ip(&f->from, &w->nodes[G].addr) ||
		    addr_same_ip(&f->to, &w->nodes[G].addr);
	if ((of_f && d->f_is_dead) || (of_g && d->g_is_dead))
		return false;
	f->at += of_f ? d->f : of_g ? d->g : 0;
	return of_f || of_g;
}

static struct wire *two_relays(struct delays *d)
{
	struct wire *w = wire_new(4);
	for (size_t i = 0; i < 2; i++)
		wire_set_address(w, i, addr_v4(198, 51, (uint8_t)(101 + i), 10, 27182));
	for (size_t i = 2; i < 4; i++)
		restart_as(w, i, FACILITATOR_OPEN);
	w->context = d;
	w->hook = by_two_relays;
	wire_know(w, A, B, NULL, "all");
	wire_know(w, B, A, NULL, "all");
	for (size_t i = 0; i < 2; i++)
		for (size_t k = 2; k < 4; k++)
			wire_use_facilitator(w, i, k);
	wire_run(w, 2 * OV_SEC);
	return w;
}

/* The relay of this index carries a's data to b. */
static bool goes_by(const struct wire *w, size_t a, size_t b, size_t relay)
{
	struct peer_info info = wire_info(w, a, b);
	struct peer_id id;
	return info.has_active && info.active.carrier == CARRIER_RELAY &&
	       node_relay_of(w->nodes[a].node, &info.active.remote, &id) &&
	       peer_id_equal(&id, &w->nodes[relay].id.id);
}

/* A packet every 10 ms; the longest gap at B. */
static ov_time longest_gap(struct wire *w, uint32_t first, ov_time span, size_t *lost)
{
	ov_time last = w->now, gap = 0;
	size_t got = w->nodes[B].inner_count, sent = 0, before = got;
	for (ov_time end = w->now + span; w->now < end; sent++) {
		wire_send(w, A, B, first + (uint32_t)sent, 100);
		wire_run(w, 10 * OV_MS);
		if (w->nodes[B].inner_count > got) {
			got = w->nodes[B].inner_count;
			gap = ov_max(gap, w->now - last);
			last = w->now;
		}
	}
	wire_run(w, OV_SEC);
	*lost = sent - (w->nodes[B].inner_count - before);
	return ov_max(gap, w->now - OV_SEC - last);
}

static void the_lower_sum_of_rtt_is_chosen(void **state)
{
	(void)state;
	for (unsigned better = 0; better < 2; better++) {
		struct delays d = { .f = better ? 60 * OV_MS : 0, .g = better ? 0 : 60 * OV_MS };
		struct wire *w = two_relays(&d);
		wire_send(w, A, B, 1, 100);
		wire_run(w, 2 * OV_SEC);
		size_t relay = better ? G : F;
		assert_true(goes_by(w, A, B, relay) && goes_by(w, B, A, relay));
		wire_free(w);
	}
}

/* Each round measures them anew. */
static void the_choice_follows_the_delays(void **state)
{
	(void)state;
	struct delays d = { .f = 0, .g = 30 * OV_MS };
	struct wire *w = two_relays(&d);
	wire_send(w, A, B, 1, 100);
	wire_run(w, 2 * OV_SEC);
	assert_true(goes_by(w, A, B, F));
	d = (struct delays){ .f = 80 * OV_MS, .g = 10 * OV_MS };
	size_t lost;
	ov_time began = w->now;
	for (uint32_t i = 0; !goes_by(w, A, B, G) && i < 120; i++)
		(void)longest_gap(w, 1000 + 100 * i, OV_SEC, &lost);
	print_message("the better of two relays is in use after %.1f s\n",
		(double)(w->now - began) / (double)OV_SEC);
	assert_true(goes_by(w, A, B, G) && goes_by(w, B, A, G));
	wire_free(w);
}

static void another_takes_over_when_it_dies(void **state)
{
	(void)state;
	for (unsigned dies = 0; dies < 2; dies++) {
		struct delays d = { .f = dies ? 20 * OV_MS : 0, .g = dies ? 0 : 20 * OV_MS };
		struct wire *w = two_relays(&d);
		size_t lost;
		(void)longest_gap(w, 100, 5 * OV_SEC, &lost);
		assert_true(goes_by(w, A, B, dies ? G : F));
		d.f_is_dead = !dies;
		d.g_is_dead = dies;
		ov_time gap = longest_gap(w, 5000, 20 * OV_SEC, &lost);
		print_message("the relay in use dies: gap of %.0f ms, %zu of 2000 packets lost\n",
			(double)gap / (double)OV_MS, lost);
		assert_true(gap < OV_SEC);
		assert_true(goes_by(w, A, B, dies ? F : G));
		wire_free(w);
	}
}

/* G is out of reach when they meet, and the better one when it comes. */
static void a_relay_that_comes_later_is_used(void **state)
{
	(void)state;
	struct delays d = { .f = 50 * OV_MS, .g_is_dead = true };
	struct wire *w = two_relays(&d);
	size_t lost;
	(void)longest_gap(w, 100, 5 * OV_SEC, &lost);
	assert_true(goes_by(w, A, B, F));
	d.g_is_dead = false;
	ov_time began = w->now;
	for (uint32_t i = 0; !goes_by(w, A, B, G) && i < 200; i++)
		(void)longest_gap(w, 1000 + 100 * i, OV_SEC, &lost);
	print_message("a better relay that came later is in use after %.1f s\n",
		(double)(w->now - began) / (double)OV_SEC);
	assert_true(goes_by(w, A, B, G) && goes_by(w, B, A, G));
	wire_free(w);
}

/* F is a contact as well, and stays one. */
static void one_that_is_removed_relays_no_more(void **state)
{
	(void)state;
	struct wire *w = world();
	wire_know(w, A, F, &w->nodes[F].addr, "all");
	wire_send(w, A, B, 1, 100);
	wire_run(w, OV_SEC);
	assert_int_equal(wire_got(w, A, B, 1, 100), 1);
	struct node *a = w->nodes[A].node;
	assert_int_equal(node_facilitator_remove(a, w->now, &w->nodes[F].id.id), OV_OK);
	wire_drain(w, A);
	wire_run(w, OV_SEC);
	const struct association *to_b = wire_peer(w, A, B)->association;
	for (size_t i = 0; i < to_b->path_count; i++)
		assert_int_not_equal(to_b->paths[i]->carrier, CARRIER_RELAY);
	assert_int_equal(table_count(w->nodes[F].node->by_channel), 0);
	wire_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_lower_sum_of_rtt_is_chosen),
		cmocka_unit_test(the_choice_follows_the_delays),
		cmocka_unit_test(a_relay_that_comes_later_is_used),
		cmocka_unit_test(another_takes_over_when_it_dies),
		cmocka_unit_test(one_that_is_removed_relays_no_more),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
