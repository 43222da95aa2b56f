/* A client behind a NAT of each kind asks a facilitator that has two ports, and two addresses, one,
 * or says so only. */
#include "tests/unit/node_meet.h"

#include "overlay/meet.h"
#include "overlay/netcheck.h"

#define CLIENT      0
#define FACILITATOR 1
#define SECOND_PORT 27183
#define FLOWS       256

enum behaviour { INDEPENDENT, BY_ADDRESS, BY_ADDRESS_AND_PORT };

struct box { /* the NAT */
	enum behaviour mapping, filtering;
	struct flow {
		struct ov_addr inside, remote;
		uint16_t port; /* outside */
	} flows[FLOWS];
	size_t count;
	uint16_t ports;      /* given */
	struct ov_addr bare; /* of IPv6, the client's; any: none */
	struct ov_addr dead; /* nothing comes from there; any: none */
	size_t elsewhere;    /* packets to whom no node is */
	size_t places;       /* of these, different ones */
	struct ov_addr last;
};

static const char *const names[] = { "endpoint-independent", "address-dependent",
	"address-and-port-dependent" };

static struct ov_addr outside(uint16_t port)
{
	return addr_v4(203, 0, 113, 1, port);
}

static struct ov_addr second_address(void)
{
	return addr_v4(192, 0, 9, 9, 27182);
}

static bool agrees(enum behaviour b, const struct ov_addr *x, const struct ov_addr *y)
{
	return b == INDEPENDENT || (b == BY_ADDRESS ? addr_same_ip(x, y) : addr_equal(x, y));
}

static bool leave(struct box *t, struct flight *f)
{
	uint16_t port = 0;
	bool is_known = false;
	for (size_t i = 0; i < t->count && !is_known; i++) {
		const struct flow *old = &t->flows[i];
		if (!addr_equal(&old->inside, &f->from) ||
			!agrees(t->mapping, &old->remote, &f->to))
			continue;
		port = old->port;
		is_known = addr_equal(&old->remote, &f->to);
	}
	if (port == 0)
		port = (uint16_t)(6000 + ++t->ports);
	assert_true(t->count < FLOWS);
	if (!is_known)
		t->flows[t->count++] =
			(struct flow){ .inside = f->from, .remote = f->to, .port = port };
	if (addr_is_v4(&f->from)) /* of IPv6 it is a firewall */
		f->from = outside(port);
	return true;
}

static bool enter(const struct box *t, struct flight *f)
{
	for (size_t i = 0; i < t->count; i++)
		if ((t->flows[i].port == f->to.port || !addr_is_v4(&f->to)) &&
			agrees(t->filtering, &t->flows[i].remote, &f->from)) {
			f->to = t->flows[i].inside;
			return true;
		}
	return false;
}

static bool by_nat(struct wire *w, struct flight *f)
{
	struct box *t = w->context;
	struct ov_addr out = outside(0);
	if (addr_same_ip(&f->from, &t->dead) || addr_same_ip(&f->to, &t->dead))
		return false;
	if (addr_same_ip(&f->to, &out) || addr_same_ip(&f->to, &t->bare))
		return enter(t, f);
	const struct wire_node *h = &w->nodes[FACILITATOR];
	if (!addr_same_ip(&f->to, &h->addr) &&
		(!h->answers_from_old || !addr_same_ip(&f->to, &h->old))) {
		t->elsewhere++;
		t->places += !addr_equal(&t->last, &f->to);
		t->last = f->to;
		return false;
	}
	return leave(t, f);
}

static struct ov_addr address(const char *text)
{
	struct ov_addr a;
	assert_int_equal(addr_parse(text, 27182, &a), OV_OK);
	return a;
}

static struct wire *world(struct box *t, size_t addresses)
{
	struct wire *w = wire_new(2);
	struct wire_node *h = &w->nodes[FACILITATOR];
	w->hook = by_nat;
	w->context = t;
	wire_stop(w, FACILITATOR);
	h->config.facilitator = FACILITATOR_OPEN;
	h->config.second_port = SECOND_PORT;
	wire_start(w, FACILITATOR);
	bool v6 = !addr_is_any(&t->bare);
	wire_set_address(w, CLIENT, v6 ? t->bare : addr_v4(10, 0, 0, 2, 27182));
	h->old = v6 ? address("2a00:2::2") : second_address();
	if (v6)
		h->addr = address("2a00:2::1");
	h->answers_from_old = addresses > 1;
	struct local_address list[4] = {
		/* what comes by the wire came by interface 0 */
		{ .addr = addr_v4(10, 8, 8, 8, 0), .interface = 2, .has_default_route = true },
		{ .addr = h->addr, .has_default_route = true },
		{ .addr = h->old, .interface = 1, .has_default_route = true },
	};
	if (addresses == 3) { /* and one that nobody reaches */
		list[2].addr = addr_v4(192, 0, 8, 8, 0);
		list[3].addr = h->old;
	}
	node_network_changed(h->node, w->now, list, 1 + addresses, false);
	wire_use_facilitator(w, CLIENT, FACILITATOR);
	wire_run(w, 2 * OV_SEC);
	return w;
}

static struct nat_info found(const struct wire *w)
{
	return node_nat_info(w->nodes[CLIENT].node, false);
}

static struct netcheck *check_of(const struct wire *w)
{
	return &w->nodes[CLIENT].node->facilitators[0]->registration->netcheck;
}

static void two_addresses_tell_all_kinds_apart(void **state)
{
	(void)state;
	for (size_t i = 0; i < 9; i++) {
		struct box t = { .mapping = (enum behaviour)(i / 3),
			.filtering = (enum behaviour)(i % 3) };
		struct wire *w = world(&t, 2);
		struct nat_info is = found(w);
		assert_string_equal(is.mapping, names[i / 3]);
		assert_string_equal(is.filtering, names[i % 3]);
		assert_string_equal(is.side, i == 0 ? "open" : i < 3 ? "easy" : "predictable");
		assert_int_equal(check_of(w)->next_at, OV_NEVER);
		assert_true(is.two_addresses);
		assert_int_equal(t.elsewhere, 0);
		wire_free(w);
	}
}

static void an_address_of_the_same_interface_goes_first(void **state)
{
	(void)state;
	struct box t = { .filtering = BY_ADDRESS };
	struct wire *w = world(&t, 3);
	assert_string_equal(found(w).filtering, "address-dependent");
	assert_int_equal(t.elsewhere, 0);
	wire_free(w);
}

static void firewalls_of_ipv6_too(void **state)
{
	(void)state;
	for (size_t i = 0; i < 3; i++) {
		struct box t = { .bare = address("2a00:1::1"), .filtering = (enum behaviour)i };
		struct wire *w = world(&t, 2);
		struct nat_info is = node_nat_info(w->nodes[CLIENT].node, true);
		assert_string_equal(is.mapping, "none");
		assert_string_equal(is.filtering, names[i]);
		wire_free(w);
	}
}

/* What its own port lets in is all that is known. */
static void one_address_tells_as_much_as_it_can(void **state)
{
	(void)state;
	static const size_t mapping[] = { 0, 0, 2 }, filtering[] = { 0, 0, 2 };
	for (size_t i = 0; i < 9; i++) {
		struct box t = { .mapping = (enum behaviour)(i / 3),
			.filtering = (enum behaviour)(i % 3) };
		struct wire *w = world(&t, 1);
		struct nat_info is = found(w);
		assert_true(addr_is_any(&check_of(w)->second_addr));
		assert_string_equal(is.mapping, names[mapping[i / 3]]);
		assert_string_equal(is.filtering, names[filtering[i % 3]]);
		wire_free(w);
	}
}

/* The address is there, but its packets do not arrive: that says nothing of our NAT. */
static void a_second_address_that_does_not_answer_proves_nothing(void **state)
{
	(void)state;
	struct box t = { .filtering = INDEPENDENT, .dead = second_address() };
	struct wire *w = world(&t, 2);
	wire_run(w, 2 * OV_SEC);
	assert_int_equal(check_of(w)->second_addr.port, SECOND_PORT);
	assert_int_equal(check_of(w)->next_at, OV_NEVER);
	assert_string_equal(found(w).filtering, "endpoint-independent");
	assert_string_equal(found(w).side, "open");
	assert_false(found(w).two_addresses);
	wire_free(w);
}

/* In another network the same places are asked anew, though paths to them stand. */
static void all_is_found_again_after_a_change_of_network(void **state)
{
	(void)state;
	struct box t = { .filtering = BY_ADDRESS };
	struct wire *w = world(&t, 2);
	assert_string_equal(found(w).filtering, "address-dependent");
	t.count = 0;
	t.mapping = BY_ADDRESS;
	t.filtering = BY_ADDRESS_AND_PORT;
	wire_set_address(w, CLIENT, addr_v4(10, 0, 7, 2, 27182));
	wire_run(w, 3 * OV_SEC);
	assert_string_equal(found(w).mapping, "address-dependent");
	assert_string_equal(found(w).filtering, "address-and-port-dependent");
	t.count = 0; /* we slept; the router has the same addresses, and forgot. The facilitator has
			four paths for us, and makes room. */
	t.mapping = INDEPENDENT;
	node_network_changed(w->nodes[CLIENT].node, w->now, w->nodes[CLIENT].node->locals, 1, true);
	wire_drain(w, CLIENT);
	wire_run(w, 3 * OV_SEC);
	assert_string_equal(found(w).mapping, "endpoint-independent");
	assert_string_equal(found(w).filtering, "address-and-port-dependent");
	wire_free(w);
}

static void is_told(struct wire *w, struct ov_addr second)
{
	struct node *n = w->nodes[CLIENT].node;
	second.port = SECOND_PORT;
	netcheck_begin(n, w->now, n->facilitators[0], SECOND_PORT, second);
	wire_drain(w, CLIENT);
	wire_run(w, OV_SEC);
}

static void a_lying_facilitator_names_no_place_that_is_not_of_the_world(void **state)
{
	(void)state;
	static const char *const bad[] = { "10.0.0.9", "192.168.1.1", "100.64.0.1", "127.0.0.1",
		"169.254.1.1", "224.0.0.1", "255.255.255.255", "0.0.0.0", "::", "::1", "fe80::1",
		"ff02::1", "fd00::1", "2001:db8::1" };
	struct box t = { .filtering = BY_ADDRESS };
	struct wire *w = world(&t, 1);
	const struct node *n = w->nodes[CLIENT].node;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		is_told(w, address(bad[i]));
	struct ov_addr a = { 0 }; /* our own overlay network */
	memcpy(a.ip, n->own_prefix, 8);
	a.ip[15] = 1;
	is_told(w, a);
	is_told(w, n->facilitators[0]->association->active->remote); /* where it is anyway */
	assert_int_equal(t.elsewhere, 0);
	assert_string_equal(found(w).filtering, "endpoint-independent");
	wire_free(w);
}

/* Security.md: 20 new places a minute for whoever names them, 9 questions each. */
static void nor_more_third_parties_than_any_peer(void **state)
{
	(void)state;
	struct box t = { .filtering = BY_ADDRESS };
	struct wire *w = world(&t, 1);
	for (uint8_t i = 0; i < 60; i++)
		is_told(w, addr_v4(198, 18, i, 1, 0));
	assert_in_range(t.places, 1, 20);
	assert_in_range(t.elsewhere, t.places, 20 * PATH_PROBES);
	assert_true(wire_drops(w, CLIENT, DROP_RATE) > 0);
	wire_free(w);
}

/* Its second address is asked for what never came: neither another one nor a late answer counts. */
static void only_the_answer_that_was_asked_for_counts(void **state)
{
	(void)state;
	struct box t = { .filtering = BY_ADDRESS_AND_PORT };
	struct wire *w = world(&t, 2);
	assert_string_equal(found(w).filtering, "address-and-port-dependent");
	struct netcheck *c = check_of(w);
	struct node *n = w->nodes[CLIENT].node;
	struct peer *p = n->facilitators[0];
	for (size_t i = 0; i < p->association->path_count; i++)
		for (int from = FILTER_FROM_PORT; from <= FILTER_FROM_ADDRESS; from++) {
			struct filter_test f = { .token = c->token, .from = (uint8_t)from };
			c->next_at = w->now + OV_SEC;
			c->step = from == FILTER_FROM_PORT ? 4 : 5;
			assert_int_not_equal(
				netcheck_on_answer(n, w->now, p, p->association->paths[i], &f),
				DROP_NONE);
		}
	assert_string_equal(found(w).filtering, "address-and-port-dependent");
	wire_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(two_addresses_tell_all_kinds_apart),
		cmocka_unit_test(an_address_of_the_same_interface_goes_first),
		cmocka_unit_test(firewalls_of_ipv6_too),
		cmocka_unit_test(one_address_tells_as_much_as_it_can),
		cmocka_unit_test(a_second_address_that_does_not_answer_proves_nothing),
		cmocka_unit_test(all_is_found_again_after_a_change_of_network),
		cmocka_unit_test(a_lying_facilitator_names_no_place_that_is_not_of_the_world),
		cmocka_unit_test(nor_more_third_parties_than_any_peer),
		cmocka_unit_test(only_the_answer_that_was_asked_for_counts),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
