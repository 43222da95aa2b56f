/* 0 stands behind a port-restricted NAT, 1 behind a symmetric one, 2 is their facilitator: only a
 * guess makes a direct path. */
#include "tests/unit/node_meet.h"

#include "overlay/meet.h"
#include "overlay/netcheck.h"

#define EASY        0
#define HARD        1
#define FACILITATOR 2
#define BINDINGS    2048

struct binding {
	struct ov_addr inside,
		remote; /* easy: the remotes it sent to, external port = inside port */
	uint16_t port;
};

struct nats {
	struct binding made[BINDINGS];
	size_t count;
	uint64_t random;
	int step; /* 0: random ports */
	uint16_t last;
	size_t into_the_blue; /* packets to ports that are not open */
};

static struct ov_addr outside(size_t i)
{
	return addr_v4(203, 0, 113, (uint8_t)(1 + i), 0);
}

static struct binding *binding(struct nats *t, struct ov_addr inside, struct ov_addr remote)
{
	for (size_t i = 0; i < t->count; i++)
		if (addr_equal(&t->made[i].inside, &inside) &&
			addr_equal(&t->made[i].remote, &remote))
			return &t->made[i];
	if (t->count == BINDINGS)
		fail_msg("too many bindings");
	struct binding *b = &t->made[t->count++];
	*b = (struct binding){ .inside = inside, .remote = remote, .port = inside.port };
	return b;
}

static uint16_t next_port(struct nats *t)
{
	if (t->step)
		return t->last = (uint16_t)(t->last + t->step);
	uint16_t port;
	wire_random(&t->random, &port, sizeof(port));
	return (uint16_t)(1024 + port % 64512);
}

static size_t side_of(const struct wire *w, const struct ov_addr *a)
{
	for (size_t i = 0; i < 2; i++)
		if (addr_same_ip(&w->nodes[i].addr, a))
			return i;
	return FACILITATOR;
}

static bool leave(struct wire *w, struct nats *t, struct flight *f)
{
	size_t side = side_of(w, &f->from);
	if (side == FACILITATOR)
		return true;
	size_t before = t->count;
	struct binding *b = binding(t, f->from, f->to);
	if (side == HARD && t->count > before)
		b->port = next_port(t);
	f->from = outside(side);
	f->from.port = b->port;
	return true;
}

static bool enter(struct wire *w, struct nats *t, struct flight *f)
{
	if (side_of(w, &f->to) != FACILITATOR)
		return false; /* an inside address */
	if (addr_same_ip(&f->to, &w->nodes[FACILITATOR].addr))
		return true;
	for (size_t i = 0; i < t->count; i++) {
		struct binding *b = &t->made[i];
		struct ov_addr out = outside(side_of(w, &b->inside));
		if (addr_same_ip(&out, &f->to) && b->port == f->to.port &&
			addr_equal(&b->remote, &f->from)) {
			f->to = b->inside;
			return true;
		}
	}
	t->into_the_blue++;
	return false;
}

static bool two_nats(struct wire *w, struct flight *f)
{
	struct nats *t = w->context;
	return leave(w, t, f) && enter(w, t, f);
}

/* What a second port of the facilitator would have told. */
static void tell_nat(struct wire *w, size_t i, uint16_t first, uint16_t second)
{
	for (uint16_t k = 0; k < 2; k++) {
		struct nat_sample s = { .observer = w->nodes[FACILITATOR].addr,
			.observed = outside(i),
			.local_port = 27182 };
		s.observer.port = (uint16_t)(s.observer.port + k);
		s.observed.port = k ? second : first;
		nat_add(&w->nodes[i].node->nat[0], &s);
	}
	nat_set_filtering(&w->nodes[i].node->nat[0], NAT_FILTERING_ADDRESS_PORT_DEPENDENT, false);
}

static struct wire *world(struct nats *t)
{
	struct wire *w = wire_new(3);
	w->hook = two_nats;
	w->context = t;
	wire_stop(w, FACILITATOR);
	w->nodes[FACILITATOR].config.facilitator = FACILITATOR_OPEN;
	wire_start(w, FACILITATOR);
	wire_set_address(w, FACILITATOR, w->nodes[FACILITATOR].addr);
	for (size_t i = 0; i < 2; i++) {
		wire_set_address(w, i, addr_v4(10, (uint8_t)i, 0, 2, 27182));
		wire_know(w, i, 1 - i, NULL, "all");
		wire_use_facilitator(w, i, FACILITATOR);
	}
	wire_run(w, OV_SEC);
	return w;
}

static uint8_t carrier(const struct wire *w, size_t a, size_t b)
{
	return wire_info(w, a, b).active.carrier;
}

static void a_guess_finds_one_of_256_ports(void **state)
{
	(void)state;
	size_t found = 0;
	for (uint64_t seed = 0; seed < 10; seed++) {
		struct nats t = { .random = seed };
		struct wire *w = world(&t);
		tell_nat(w, EASY, 27182, 27182);
		tell_nat(w, HARD, 1234, 40001);
		wire_send(w, EASY, HARD, 1, 100);
		wire_run(w, 13 * OV_SEC);
		bool hit = carrier(w, EASY, HARD) == CARRIER_UDP &&
			   carrier(w, HARD, EASY) == CARRIER_UDP;
		found += hit;
		if (hit) { /* one port stays, and data goes by it */
			assert_true(w->nodes[HARD].extra_count <= 1);
			wire_send(w, HARD, EASY, 2, 1000);
			wire_run(w, OV_SEC);
			assert_int_equal(wire_got(w, HARD, EASY, 2, 1000), 1);
		}
		assert_true(t.into_the_blue <= (hit ? 1400 : 1200 + 256 + 60)); /* and rounds */
		wire_run(w, 5 * OV_SEC);
		assert_true(w->nodes[HARD].extra_count <= 1);
		wire_free(w);
	}
	assert_in_range(found, 9, 10);
}

static void a_sequence_is_met_within_three_seconds(void **state)
{
	(void)state;
	for (int step = -1; step <= 2; step++) {
		struct nats t = { .step = step, .last = 30000 };
		if (step == 0)
			continue;
		struct wire *w = world(&t);
		tell_nat(w, EASY, 27182, 27182);
		tell_nat(w, HARD, (uint16_t)(t.last - step), t.last);
		wire_send(w, EASY, HARD, 1, 100);
		wire_run(w, 3 * OV_SEC);
		assert_int_equal(carrier(w, EASY, HARD), CARRIER_UDP);
		assert_int_equal(carrier(w, HARD, EASY), CARRIER_UDP);
		assert_int_equal(wire_events(w, HARD, NODE_PORTS_WANTED), 0);
		wire_free(w);
	}
}

/* It probed us before its NAT was known: the port is an earlier one than the last that was seen,
 * and the step that was seen is two of the sequence. */
static void a_sequence_that_opened_before_is_met_as_well(void **state)
{
	(void)state;
	for (int step = -1; step <= 1; step += 2) {
		struct nats t = { .step = step, .last = 30000 };
		struct wire *w = world(&t);
		uint16_t first = t.last;
		tell_nat(w, EASY, 27182, 27182);
		wire_send(w, EASY, HARD, 1, 100);
		wire_run(w, OV_SEC);
		assert_int_equal(t.last, first + step); /* towards EASY */
		assert_int_equal(carrier(w, EASY, HARD), CARRIER_RELAY);
		tell_nat(w, HARD, first, (uint16_t)(t.last = next_port(&t)));
		meet_moved(w->nodes[HARD].node, w->now);
		wire_run(w, 2 * OV_SEC);
		assert_int_equal(carrier(w, EASY, HARD), CARRIER_UDP);
		assert_int_equal(carrier(w, HARD, EASY), CARRIER_UDP);
		wire_free(w);
	}
}

/* A public address is open until the filter in front of it is found: then another method may do. */
static void a_firewall_that_shows_itself_begins_a_round(void **state)
{
	(void)state;
	struct nats t = { .random = 3 };
	struct wire *w = world(&t);
	struct node *n = w->nodes[EASY].node;
	struct nat_sample public = { .observer = w->nodes[FACILITATOR].addr,
		.observed = outside(EASY),
		.local_port = 27182,
		.is_local = true };
	nat_forget(&n->nat[0]);
	nat_add(&n->nat[0], &public);
	wire_send(w, EASY, HARD, 1, 100);
	wire_run(w, 2 * OV_SEC);
	uint32_t round = n->peers[0]->association->meeting.round;
	netcheck_begin(n, w->now, n->facilitators[0], 27183, (struct ov_addr){ 0 });
	wire_drain(w, EASY);
	wire_run(w, OV_SEC);
	struct nat_class found = netcheck_class(n, true);
	assert_int_equal(nat_side(&found), NAT_SIDE_EASY);
	assert_int_equal(n->peers[0]->association->meeting.round, round + 1);
	wire_free(w);
}

/* Two hard sides would need 2^16 probes each: never tried. */
static void two_hard_sides_stay_relayed_in_silence(void **state)
{
	(void)state;
	struct nats t = { .random = 7 };
	struct wire *w = world(&t);
	tell_nat(w, EASY, 1111, 2222);
	tell_nat(w, HARD, 1234, 40001);
	wire_send(w, EASY, HARD, 1, 100);
	wire_run(w, 13 * OV_SEC);
	assert_int_equal(carrier(w, EASY, HARD), CARRIER_RELAY);
	assert_true(t.into_the_blue < 200);
	assert_int_equal(wire_events(w, HARD, NODE_PORTS_WANTED), 0);
	wire_free(w);
}

static bool blocked(struct wire *w, struct flight *f)
{
	bool by = addr_same_ip(&f->to, &w->nodes[FACILITATOR].addr) ||
		  addr_same_ip(&f->from, &w->nodes[FACILITATOR].addr);
	struct nats *t = w->context;
	t->into_the_blue +=
		!by && f->hops == 0 && f->len == PACKET_OVERHEAD && f->data[0] == PACKET_CONTROL;
	return by && two_nats(w, f);
}

/* In vain: twice an hour, whatever the peer says. */
static void bursts_are_rare(void **state)
{
	(void)state;
	struct nats t = { .random = 9 };
	struct wire *w = world(&t);
	w->hook = blocked;
	tell_nat(w, EASY, 27182, 27182);
	tell_nat(w, HARD, 1234, 40001);
	for (uint32_t i = 0; i < 300; i++) {
		wire_send(w, EASY, HARD, i, 100);
		wire_run(w, 10 * OV_SEC);
	}
	assert_int_equal(carrier(w, EASY, HARD), CARRIER_RELAY);
	assert_in_range(t.into_the_blue, 1200, 2 * (1200 + 256));
	assert_int_equal(w->nodes[HARD].extra_count, 0);
	wire_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_guess_finds_one_of_256_ports),
		cmocka_unit_test(a_sequence_is_met_within_three_seconds),
		cmocka_unit_test(a_sequence_that_opened_before_is_met_as_well),
		cmocka_unit_test(a_firewall_that_shows_itself_begins_a_round),
		cmocka_unit_test(two_hard_sides_stay_relayed_in_silence),
		cmocka_unit_test(bursts_are_rare),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
