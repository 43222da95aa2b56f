/* What a laptop with 50 contacts and two facilitators sends and receives while its owner has
 * nothing to say (issue 3, figures: 20 packets a minute both ways). The lines printed are the
 * figures that `make accept` reads. */
#include "tests/unit/relay_world.h"

#define CONTACTS 50
#define HOUR     (3600 * OV_SEC)

struct counts { /* of datagrams from and to the laptop */
	size_t to_nobody, handshakes, frames;
};

static bool count_datagrams(struct wire *w, struct flight *f)
{
	struct counts *c = w->context;
	if (!addr_equal(&f->from, &w->nodes[A].addr) && !addr_equal(&f->to, &w->nodes[A].addr))
		return true;
	if (f->to.ip[12] == 203)
		c->to_nobody++;
	else if (is_type(f, PACKET_HS1) || is_type(f, PACKET_HS2) || is_type(f, PACKET_COOKIE))
		c->handshakes++;
	else
		c->frames++;
	return true;
}

static struct peer_id contact_id(uint32_t i)
{
	uint8_t seed[32] = { 0xcc, (uint8_t)i };
	struct identity id;
	assert_int_equal(identity_from_seed(&id, seed), OV_OK);
	return id.id;
}

/* 50 contacts that were at two addresses each. */
static struct wire *laptop(struct counts *counts, bool wanted)
{
	struct wire *w = wire_new(3);
	wire_set_address(w, A, w->nodes[A].addr);
	for (size_t i = 1; i < 3; i++)
		restart_as(w, i, FACILITATOR_OPEN);
	for (uint32_t i = 0; i < CONTACTS; i++) {
		struct contact c = { .id = contact_id(i) };
		char text[ADDR_TEXT_MAX];
		for (uint8_t k = 0; k < 2; k++) {
			struct ov_addr a = addr_v4(203, 0, (uint8_t)(113 + k), (uint8_t)i, 27182);
			assert_int_equal(contact_add_endpoint(&c, addr_format(&a, text)), OV_OK);
		}
		assert_int_equal(node_contact_put(w->nodes[A].node, w->now, &c, wanted), OV_OK);
		contact_fini(&c);
	}
	for (size_t i = 1; i < 3; i++)
		wire_use_facilitator(w, A, i);
	w->context = counts;
	w->hook = count_datagrams;
	return w;
}

static double a_minute(struct wire *w, struct counts *c, ov_time span, const char *what)
{
	*c = (struct counts){ 0 };
	wire_run(w, span);
	double minutes = (double)span / (60.0 * OV_SEC);
	double sum = (double)(c->to_nobody + c->handshakes + c->frames) / minutes;
	print_message("%s: %.1f packets a minute (%.1f to addresses of before, %.1f of handshakes, "
		      "%.1f else)\n",
		what, sum, (double)c->to_nobody / minutes, (double)c->handshakes / minutes,
		(double)c->frames / minutes);
	return sum;
}

static void contacts_that_nobody_wants(void **state)
{
	(void)state;
	struct counts c;
	struct wire *w = laptop(&c, false);
	wire_run(w, 60 * OV_SEC);
	assert_true(a_minute(w, &c, HOUR, "50 contacts, nobody wanted") < 20);
	wire_free(w);
}

static void contacts_that_are_away(void **state)
{
	(void)state;
	struct counts c;
	struct wire *w = laptop(&c, true);
	a_minute(w, &c, 600 * OV_SEC, "50 contacts called, none found, first ten minutes");
	assert_true(a_minute(w, &c, 4 * HOUR, "50 contacts away") < 20);
	wire_free(w);
}

/* The facilitators saw all of them before; they will tell when one comes back. */
static void contacts_that_were_seen(void **state)
{
	(void)state;
	struct counts c;
	struct wire *w = laptop(&c, true);
	wire_run(w, OV_SEC);
	for (uint32_t i = 0; i < CONTACTS; i++) {
		struct peer_id id = contact_id(i);
		assert_int_equal(node_peer(w->nodes[A].node, &id)->absent_at, 3);
		node_peer(w->nodes[A].node, &id)->seen_at = 3;
	}
	wire_run(w, 2 * HOUR);
	assert_true(a_minute(w, &c, 4 * HOUR, "50 contacts away, watched by a facilitator") < 14);
	wire_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(contacts_that_nobody_wants),
		cmocka_unit_test(contacts_that_are_away),
		cmocka_unit_test(contacts_that_were_seen),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
