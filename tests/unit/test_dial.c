/* TCP: the client 0 behind a network that drops UDP, a peer 1, and a facilitator 2 that listens. */
#include "tests/unit/node_meet.h"

#include "overlay/frames.h"

#define A 0
#define B 1
#define F 2

/* The network of A lets no UDP through. */
static bool a_has_no_udp(struct wire *w, struct flight *f)
{
	const struct ov_addr *a = &w->nodes[A].addr;
	return f->carrier == CARRIER_TCP || !(addr_same_ip(&f->from, a) || addr_same_ip(&f->to, a));
}

static void listens(struct wire *w, size_t i, uint16_t port)
{
	w->nodes[i].tcp = w->nodes[i].addr;
	w->nodes[i].tcp.port = port;
}

static void restart(struct wire *w, size_t i)
{
	if (w->nodes[i].node)
		wire_stop(w, i);
	wire_start(w, i);
	wire_set_address(w, i, w->nodes[i].addr);
}

static struct wire *world(void)
{
	struct wire *w = wire_new(3);
	w->nodes[F].config.facilitator = FACILITATOR_OPEN;
	for (size_t i = 0; i < 3; i++) {
		w->nodes[i].addr = addr_v4(198, 51, (uint8_t)(101 + i), 10, 27182);
		restart(w, i);
	}
	w->hook = a_has_no_udp;
	listens(w, F, 443);
	return w;
}

static uint8_t carrier(const struct wire *w, size_t a, size_t b)
{
	struct peer_info info = wire_info(w, a, b);
	return info.has_active ? info.active.carrier : UINT8_MAX;
}

/* a knows b at this endpoint, as text. */
static void know_at(struct wire *w, size_t a, size_t b, const char *endpoint)
{
	struct contact c = { .id = w->nodes[b].id.id };
	assert_int_equal(grants_add_list(&c.grants, "all", NULL), OV_OK);
	assert_int_equal(contact_add_endpoint(&c, endpoint), OV_OK);
	assert_int_equal(node_contact_put(w->nodes[a].node, w->now, &c, false), OV_OK);
	contact_fini(&c);
	wire_drain(w, a);
}

static void facilitator_by_tcp_after_300_ms(void **state)
{
	(void)state;
	struct wire *w = world();
	wire_use_facilitator(w, A, F);
	wire_run(w, 299 * OV_MS);
	assert_int_equal(w->nodes[A].dialled, 0);
	wire_run(w, 1 * OV_MS + 6 * WIRE_DELAY);
	assert_int_equal(w->nodes[A].dialled, 1);
	assert_int_equal(carrier(w, A, F), CARRIER_TCP);
	assert_int_equal(carrier(w, F, A), CARRIER_TCP);
	wire_run(w, OV_SEC);
	struct peer_info info = wire_info(w, A, F);
	assert_string_equal(info.active.state, "valid");
	assert_int_equal(info.active.pmtu, PMTU_MAX); /* without a probe */
	assert_int_equal(info.active.remote.port, 443);
	struct facilitator_info told;
	assert_int_equal(node_facilitators(w->nodes[A].node, w->now, &told, 1), 1);
	assert_true(addr_equal(&told.endpoint, &w->nodes[F].addr)); /* for those who have UDP */
	wire_free(w);
}

static void udp_in_time_opens_no_connection(void **state)
{
	(void)state;
	struct wire *w = world();
	w->hook = NULL;
	wire_use_facilitator(w, A, F);
	wire_run(w, 200 * OV_SEC); /* with rekeys */
	assert_int_equal(carrier(w, A, F), CARRIER_UDP);
	assert_int_equal(w->nodes[A].dialled, 0);
	wire_free(w);
}

static void relayed_over_tcp(void **state)
{
	(void)state;
	struct wire *w = world();
	wire_know(w, A, B, NULL, "all");
	wire_know(w, B, A, NULL, "all");
	wire_use_facilitator(w, A, F);
	wire_use_facilitator(w, B, F);
	wire_run(w, 2 * OV_SEC);
	wire_send(w, A, B, 1, 100);
	wire_run(w, OV_SEC);
	assert_int_equal(wire_got(w, A, B, 1, 100), 1);
	assert_int_equal(carrier(w, A, B), CARRIER_RELAY);
	assert_int_equal(carrier(w, B, F), CARRIER_UDP);
	for (uint32_t i = 0; i < 20; i++) {
		wire_send(w, B, A, 100 + i, 1300);
		wire_send(w, A, B, 200 + i, 1300);
		wire_run(w, 100 * OV_MS);
	}
	for (uint32_t i = 0; i < 20; i++) {
		assert_int_equal(wire_got(w, B, A, 100 + i, 1300), 1);
		assert_int_equal(wire_got(w, A, B, 200 + i, 1300), 1);
	}
	wire_free(w);
}

/* Nothing that comes by a connection says where we are by UDP. */
static void no_address_is_learnt_by_tcp(void **state)
{
	(void)state;
	struct wire *w = world();
	wire_use_facilitator(w, A, F);
	wire_run(w, 60 * OV_SEC);
	assert_int_equal(carrier(w, A, F), CARRIER_TCP);
	assert_int_equal(wire_events(w, A, NODE_ADDRESS_CHANGED), 0);
	assert_int_equal(wire_events(w, F, NODE_ADDRESS_CHANGED), 0);
	assert_int_equal(wire_events(w, A, NODE_ENDPOINT), 0);
	struct peer_info info = wire_info(w, A, F);
	assert_true(addr_is_any(&info.active.observed));
	struct candidate_info list[16];
	assert_int_equal(node_peer_candidates(w->nodes[F].node, &w->nodes[A].id.id, list, 16), 0);
	wire_free(w);
}

static void direct_to_a_tcp_endpoint_instead_of_the_relay(void **state)
{
	(void)state;
	struct wire *w = world();
	listens(w, B, 8443);
	know_at(w, A, B, "tcp:198.51.102.10:8443");
	wire_know(w, B, A, NULL, "all");
	wire_use_facilitator(w, A, F);
	wire_use_facilitator(w, B, F);
	wire_run(w, 2 * OV_SEC);
	wire_send(w, A, B, 1, 100);
	wire_run(w, 6 * 2 * WIRE_DELAY); /* by the relay, which answers first */
	assert_int_equal(wire_got(w, A, B, 1, 100), 1);
	wire_run(w, OV_SEC);
	assert_int_equal(carrier(w, A, B), CARRIER_TCP);
	assert_int_equal(carrier(w, B, A), CARRIER_TCP);
	uint64_t relayed = node_counters(w->nodes[F].node)->relayed_bytes;
	wire_send(w, A, B, 2, 900);
	wire_send(w, B, A, 3, 900);
	wire_run(w, OV_SEC);
	assert_int_equal(wire_got(w, A, B, 2, 900), 1);
	assert_int_equal(wire_got(w, B, A, 3, 900), 1);
	assert_true(node_counters(w->nodes[F].node)->relayed_bytes - relayed < 900);
	wire_free(w);
}

/* A and B know nothing of each other but their keys; B takes connections, and both have F. */
static struct wire *listening_world(uint16_t port)
{
	struct wire *w = world();
	w->nodes[B].config.tcp_port = port;
	restart(w, B);
	listens(w, B, port);
	wire_know(w, A, B, NULL, "all");
	wire_know(w, B, A, NULL, "all");
	wire_use_facilitator(w, A, F);
	wire_use_facilitator(w, B, F);
	wire_run(w, 2 * OV_SEC);
	return w;
}

static void answer_within(struct wire *w, size_t from, size_t to, ov_time span)
{
	wire_send(w, from, to, 1, 100);
	wire_run(w, 6 * 2 * WIRE_DELAY);
	assert_int_equal(wire_got(w, from, to, 1, 100), 1); /* by the relay */
	wire_send(w, to, from, 2, 100);
	wire_run(w, span);
}

static void a_peer_that_listens_is_reached_by_tcp_with_no_word_of_the_owner(void **state)
{
	(void)state;
	for (size_t from = A; from <= B; from++) {
		struct wire *w = listening_world(443);
		answer_within(w, from, A + B - from, 500 * OV_MS);
		assert_int_equal(carrier(w, A, B), CARRIER_TCP);
		assert_int_equal(carrier(w, B, A), CARRIER_TCP);
		assert_int_equal(wire_info(w, A, B).active.remote.port, 443);
		struct candidate_info list[16];
		size_t count = node_peer_candidates(w->nodes[A].node, &w->nodes[B].id.id, list, 16);
		bool answers = false; /* and is more than a claim from now on */
		for (size_t i = 0; i < count; i++)
			answers |= list[i].carrier == CARRIER_TCP &&
				   list[i].source == SOURCE_OBSERVED &&
				   strcmp(list[i].state, "answers") == 0;
		assert_true(answers);
		w->hook = NULL; /* UDP is asked all the while */
		for (uint32_t i = 0; i < 30; i++) {
			wire_send(w, A, B, 10 + i, 64);
			wire_run(w, OV_SEC);
		}
		assert_int_equal(carrier(w, A, B), CARRIER_UDP);
		wire_free(w);
	}
}

static void udp_that_works_needs_no_connection(void **state)
{
	(void)state;
	struct wire *w = listening_world(443);
	w->hook = NULL;
	wire_run(w, 60 * OV_SEC);
	size_t before = w->nodes[A].dialled;
	answer_within(w, A, B, 2 * OV_SEC);
	assert_int_equal(carrier(w, A, B), CARRIER_UDP);
	assert_int_equal(w->nodes[A].dialled, before);
	wire_free(w);
}

static void who_does_not_listen_names_no_port(void **state)
{
	(void)state;
	struct wire *w = listening_world(0);
	size_t before = w->nodes[A].dialled;
	answer_within(w, A, B, 5 * OV_SEC);
	assert_int_equal(carrier(w, A, B), CARRIER_RELAY);
	assert_int_equal(w->nodes[A].dialled, before);
	wire_free(w);
}

/* B says, over its session with `to`, that it takes connections at these. */
static void claim(struct wire *w, size_t to, const struct ov_addr *at, size_t count)
{
	uint8_t plain[200];
	struct wr f = wr_init(plain, sizeof(plain));
	struct endpoints_frame e = { .count = count };
	memcpy(e.addr, at, count * sizeof(*at));
	frame_put_endpoints(&f, FRAME_TCP_ENDPOINTS, &e);
	(void)frames_send(w->nodes[B].node, w->now, wire_peer(w, B, to), &f, false);
	wire_drain(w, B);
}

static size_t dials_to(const struct wire *w, size_t i, uint8_t net)
{
	size_t count = 0;
	for (size_t k = 0; k < 64 && k < w->nodes[i].dialled; k++)
		count += w->nodes[i].dials[k].ip[12] == net;
	return count;
}

/* Each connection is a SYN to somebody who may have nothing to do with it. */
static void claimed_ports_are_tried_rarely(void **state)
{
	(void)state;
	struct wire *w = listening_world(0);
	answer_within(w, A, B, OV_SEC);
	for (uint32_t i = 0; i < 60; i++) {
		struct ov_addr at[4];
		for (uint8_t k = 0; k < 4; k++)
			at[k] = addr_v4(203, (uint8_t)i, 0, k, 443);
		claim(w, A, at, 4);
		wire_send(w, A, B, 10 + i, 64);
		wire_run(w, OV_SEC);
	}
	assert_in_range(dials_to(w, A, 203), 4, 30);
	wire_free(w);
}

static void a_call_tries_a_claimed_port_five_times(void **state)
{
	(void)state;
	struct wire *w = listening_world(0);
	answer_within(w, A, B, OV_SEC);
	struct ov_addr at = addr_v4(203, 0, 113, 1, 443);
	claim(w, A, &at, 1);
	wire_run(w, OV_SEC);
	assert_int_equal(dials_to(w, A, 203), 1);
	wire_stop(w, B);
	wire_stop(w, F);
	wire_cut_all(w);
	w->nodes[A].dialled = 0;
	memset(w->nodes[A].dials, 0, sizeof(w->nodes[A].dials));
	for (uint32_t i = 0; i < 60; i++) {
		wire_send(w, A, B, 10 + i, 64);
		wire_run(w, OV_SEC);
	}
	assert_in_range(dials_to(w, A, 203), 1, 10);
	wire_free(w);
}

/* A contact says that a facilitator is there. */
static void the_usual_port_of_a_claim_is_tried_five_times(void **state)
{
	(void)state;
	struct wire *w = wire_new(3);
	struct contact c = { .id = w->nodes[F].id.id };
	struct ov_addr at = addr_v4(203, 0, 113, 1, 27182);
	struct node *a = w->nodes[A].node;
	w->hook = nothing_passes;
	assert_int_equal(node_facilitator_put(a, w->now, &c, NULL), OV_OK);
	node_candidate(a, w->now, &c.id, &at, SOURCE_PEER);
	wire_drain(w, A);
	wire_run(w, 80 * OV_SEC);
	assert_in_range(dials_to(w, A, 203), 1, 5);
	assert_in_range(w->nodes[A].sent, 1, 5);
	wire_free(w);
}

static void claimed_ports_that_are_nobodys_business(void **state)
{
	(void)state;
	struct wire *w = listening_world(0);
	answer_within(w, A, B, OV_SEC);
	struct ov_addr overlay = { .port = 443 };
	peer_id_address(&w->nodes[F].id.id, overlay.ip);
	const struct ov_addr bad[] = { addr_v4(203, 0, 113, 1, 25), addr_v4(203, 0, 113, 1, 22),
		addr_v4(10, 1, 2, 3, 443), addr_v4(127, 0, 0, 1, 443), addr_v4(224, 0, 0, 1, 443),
		addr_v4(203, 0, 113, 1, 0), addr_v4(169, 254, 169, 254, 80), overlay };
	size_t before = w->nodes[A].dialled;
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		claim(w, A, &bad[i], 1);
		wire_run(w, 2 * OV_SEC);
	}
	assert_int_equal(w->nodes[A].dialled, before);
	uint64_t dropped = wire_drops(w, F, DROP_GRANT);
	struct ov_addr third = addr_v4(203, 0, 113, 9, 443);
	claim(w, F, &third, 1); /* a client's */
	wire_run(w, 5 * OV_SEC);
	assert_int_equal(wire_drops(w, F, DROP_GRANT), dropped + 1);
	assert_int_equal(w->nodes[F].dialled, 0);
	wire_free(w);
}

static void tcp_endpoint_without_a_facilitator(void **state)
{
	(void)state;
	struct wire *w = world();
	listens(w, B, 443);
	know_at(w, A, B, "tcp:198.51.102.10");
	wire_know(w, B, A, NULL, "all");
	wire_send(w, A, B, 1, 100);
	wire_run(w, OV_SEC);
	assert_int_equal(wire_got(w, A, B, 1, 100), 1);
	assert_int_equal(carrier(w, A, B), CARRIER_TCP);
	wire_free(w);
}

static void udp_comes_back(void **state)
{
	(void)state;
	struct wire *w = world();
	wire_use_facilitator(w, A, F);
	wire_run(w, 20 * OV_SEC);
	assert_int_equal(carrier(w, A, F), CARRIER_TCP);
	w->hook = NULL;
	wire_run(w, 30 * OV_SEC);
	assert_int_equal(carrier(w, A, F), CARRIER_UDP);
	assert_int_equal(carrier(w, F, A), CARRIER_UDP);
	wire_cut_all(w); /* the edge closes what is silent: nobody cares */
	wire_run(w, OV_SEC);
	assert_int_equal(carrier(w, A, F), CARRIER_UDP);
	assert_int_equal(wire_events(w, A, NODE_PEER_DOWN), 0);
	wire_free(w);
}

static size_t to_private;
static bool count_private(struct wire *w, struct flight *f)
{
	to_private += addr_scope(&f->to) == ADDR_PRIVATE;
	return a_has_no_udp(w, f);
}

/* Where the peer was heard in a network of before may be anybody in this one. */
static void foreign_private_addresses_are_not_asked_by_udp(void **state)
{
	(void)state;
	struct wire *w = world();
	struct ov_addr before = addr_v4(192, 168, 7, 9, 27182);
	w->hook = count_private;
	know_at(w, A, F, "tcp:198.51.103.10:443");
	wire_know(w, F, A, NULL, "all");
	node_candidate(w->nodes[A].node, w->now, &w->nodes[F].id.id, &before, SOURCE_OBSERVED);
	to_private = 0;
	for (uint32_t i = 0; i < 40; i++) {
		wire_send(w, A, F, i, 64);
		wire_run(w, OV_SEC);
	}
	assert_int_equal(carrier(w, A, F), CARRIER_TCP);
	assert_int_equal(to_private, 0);
	wire_set_address(w, A, addr_v4(192, 168, 7, 1, 27182)); /* here it may be the one */
	for (uint32_t i = 0; i < 40; i++) {
		wire_send(w, A, F, 100 + i, 64);
		wire_run(w, OV_SEC);
	}
	assert_true(to_private > 0);
	wire_free(w);
}

static void udp_is_blocked_in_the_middle(void **state)
{
	(void)state;
	struct wire *w = world();
	w->hook = NULL;
	know_at(w, A, F, "198.51.103.10:27182");
	wire_know(w, F, A, NULL, "all");
	wire_use_facilitator(w, A, F);
	wire_send(w, A, F, 1, 100);
	wire_run(w, 5 * OV_SEC);
	assert_int_equal(carrier(w, A, F), CARRIER_UDP);
	w->hook = a_has_no_udp;
	for (uint32_t i = 0; i < 50; i++) {
		wire_send(w, A, F, 100 + i, 64);
		wire_run(w, 100 * OV_MS);
	}
	size_t got = 0;
	for (uint32_t i = 30; i < 50; i++) /* after 3 s */
		got += wire_got(w, A, F, 100 + i, 64) > 0;
	assert_int_equal(got, 20);
	assert_int_equal(carrier(w, A, F), CARRIER_TCP);
	wire_free(w);
}

static bool only_by_f(struct wire *w, struct flight *f)
{
	return addr_same_ip(&f->to, &w->nodes[F].addr) || addr_same_ip(&f->from, &w->nodes[F].addr);
}

static bool a_has_tcp_to_f(struct wire *w, struct flight *f)
{
	return only_by_f(w, f) && a_has_no_udp(w, f);
}

/* The relay is asked as soon as the peer is silent, and its way of asking the NAT is no way out. */
static void udp_is_blocked_while_relayed(void **state)
{
	(void)state;
	for (int part = 0; part < 15; part++) { /* of the time between two checks */
		struct wire *w = world();
		w->hook = only_by_f;
		wire_know(w, A, B, NULL, "all");
		wire_know(w, B, A, NULL, "all");
		wire_use_facilitator(w, A, F);
		wire_use_facilitator(w, B, F);
		wire_run(w, OV_SEC);
		wire_send(w, A, B, 1, 100);
		wire_run(w, 2 * OV_SEC + part * 100 * OV_MS);
		assert_int_equal(carrier(w, A, F), CARRIER_UDP);
		w->hook = a_has_tcp_to_f;
		for (uint32_t i = 0; i < 36; i++) { /* 1.8 s */
			wire_send(w, A, B, 100 + i, 64);
			wire_send(w, B, A, 100 + i, 64);
			wire_run(w, 50 * OV_MS);
		}
		assert_int_equal(carrier(w, A, F), CARRIER_TCP);
		assert_int_equal(wire_got(w, A, B, 135, 64), 1);
		assert_int_equal(wire_got(w, B, A, 135, 64), 1);
		wire_free(w);
	}
}

static void remembered_per_network(void **state)
{
	(void)state;
	struct wire *w = world();
	wire_use_facilitator(w, A, F);
	wire_run(w, 2 * OV_SEC);
	assert_int_equal(carrier(w, A, F), CARRIER_TCP);
	size_t before = w->nodes[A].dialled;
	wire_cut_all(w);
	assert_int_equal(w->nodes[A].dialled, before + 1); /* at once */
	wire_run(w, 4 * WIRE_DELAY + OV_MS);
	assert_int_equal(carrier(w, A, F), CARRIER_TCP);

	wire_set_address(w, A, addr_v4(203, 0, 113, 7, 27182)); /* elsewhere: 300 ms for UDP */
	before = w->nodes[A].dialled;
	wire_cut_all(w);
	wire_run(w, 200 * OV_MS);
	assert_int_equal(w->nodes[A].dialled, before);
	wire_run(w, OV_SEC);
	assert_int_equal(carrier(w, A, F), CARRIER_TCP);
	wire_free(w);
}

static void facilitator_restarts(void **state)
{
	(void)state;
	struct wire *w = world();
	wire_use_facilitator(w, A, F);
	wire_run(w, 5 * OV_SEC);
	assert_int_equal(carrier(w, A, F), CARRIER_TCP);
	wire_stop(w, F);
	wire_cut_all(w);
	wire_run(w, 7 * OV_SEC); /* nobody listens */
	restart(w, F);
	wire_run(w, 5 * OV_SEC);
	assert_int_equal(carrier(w, A, F), CARRIER_TCP);
	struct facilitator_info info;
	assert_int_equal(node_facilitators(w->nodes[A].node, w->now, &info, 1), 1);
	assert_true(info.registered);
	wire_free(w);
}

/* The channels of a relay that restarted lead nowhere: who used them gets new ones. */
static void relayed_again_after_a_restart(void **state)
{
	(void)state;
	struct wire *w = world();
	wire_know(w, A, B, NULL, "all");
	wire_know(w, B, A, NULL, "all");
	wire_use_facilitator(w, A, F);
	wire_use_facilitator(w, B, F);
	wire_run(w, 2 * OV_SEC);
	wire_send(w, A, B, 1, 100);
	wire_run(w, OV_SEC);
	assert_int_equal(wire_got(w, A, B, 1, 100), 1);
	wire_stop(w, F);
	wire_cut_all(w);
	wire_run(w, OV_SEC);
	restart(w, F);
	for (uint32_t i = 0; i < 70; i++) {
		wire_send(w, A, B, 100 + i, 64);
		wire_run(w, 100 * OV_MS);
	}
	size_t got = 0;
	for (uint32_t i = 50; i < 70; i++)
		got += wire_got(w, A, B, 100 + i, 64) > 0;
	assert_int_equal(got, 20);
	wire_free(w);
}

/* No FIN, no RST: the far end is gone, and so are its connections. */
static void a_connection_dies_silently(void **state)
{
	(void)state;
	struct wire *w = world();
	know_at(w, A, F, "tcp:198.51.103.10:443");
	wire_know(w, F, A, NULL, "all");
	wire_send(w, A, F, 1, 100);
	wire_run(w, 2 * OV_SEC);
	assert_int_equal(carrier(w, A, F), CARRIER_TCP);
	for (uint32_t i = 0; i < w->connection_count; i++)
		w->connections[i].cut = true;
	for (uint32_t i = 0; i < 50; i++) {
		wire_send(w, A, F, 100 + i, 64);
		wire_run(w, 100 * OV_MS);
	}
	size_t got = 0;
	for (uint32_t i = 30; i < 50; i++)
		got += wire_got(w, A, F, 100 + i, 64) > 0;
	assert_int_equal(got, 20);
	wire_free(w);
}

static void an_idle_client_keeps_its_connection_warm(void **state)
{
	(void)state;
	struct wire *w = world();
	wire_use_facilitator(w, A, F);
	wire_run(w, 5 * OV_SEC);
	size_t connections = w->connection_count;
	ov_time longest = 0, last = wire_info(w, F, A).last_heard;
	for (int i = 0; i < 600; i++) {
		wire_run(w, OV_SEC);
		ov_time heard = wire_info(w, F, A).last_heard;
		longest = ov_max(longest, heard - last);
		last = heard;
	}
	assert_true(longest <= 26 * OV_SEC);
	assert_int_equal(w->connection_count, connections);
	assert_int_equal(carrier(w, A, F), CARRIER_TCP);
	wire_free(w);
}

static void a_local_address_that_went_takes_its_connections_along(void **state)
{
	(void)state;
	struct wire *w = world();
	wire_use_facilitator(w, A, F);
	wire_run(w, 2 * OV_SEC);
	assert_int_equal(carrier(w, A, F), CARRIER_TCP);
	for (uint32_t i = 0; i < w->connection_count; i++)
		w->connections[i].cut = true;
	wire_set_address(w, A, addr_v4(203, 0, 113, 7, 27182));
	wire_run(w, 2 * OV_SEC);
	assert_int_equal(carrier(w, A, F), CARRIER_TCP);
	struct peer_info info = wire_info(w, A, F);
	assert_true(addr_same_ip(&info.active.local, &w->nodes[A].addr));
	wire_free(w);
}

/* Somebody replays what it heard over a connection of its own: it gets no data. */
static void a_replay_by_tcp_moves_nothing(void **state)
{
	(void)state;
	struct wire *w = world();
	w->hook = NULL;
	meet(w, A, F);
	uint8_t junk[HS1_LEN] = { PACKET_HS1 };
	struct dgram d = { .data = junk,
		.len = sizeof(junk),
		.segment = sizeof(junk),
		.carrier = CARRIER_TCP,
		.interface = 77,
		.local = w->nodes[F].tcp,
		.remote = addr_v4(203, 0, 113, 66, 5) };
	node_input(w->nodes[F].node, w->now, &d, 1);
	struct dgram out[4];
	assert_int_equal(node_poll(w->nodes[F].node, w->now, out, 4), 0); /* silence */
	assert_int_equal(carrier(w, F, A), CARRIER_UDP);
	node_tcp_closed(w->nodes[F].node, w->now, 77);
	assert_int_equal(wire_info(w, F, A).path_count, 1);
	wire_free(w);
}

static const char *why(const struct wire *w, size_t a, size_t b)
{
	static struct why found;
	assert_true(node_why(w->nodes[a].node, w->now, &w->nodes[b].id.id, &found));
	return found.code;
}

/* It is said, asked ever more rarely, and over when the facilitator itself answers. */
static void a_captive_portal_is_told_and_not_hurried(void **state)
{
	(void)state;
	struct ov_addr by;
	struct wire *w = world();
	w->portal = true;
	wire_know(w, A, B, NULL, "all");
	wire_use_facilitator(w, A, F);
	assert_false(node_captive(w->nodes[A].node, w->now, &by));
	wire_run(w, OV_SEC);
	assert_true(node_captive(w->nodes[A].node, w->now, &by));
	assert_true(addr_equal(&by, &w->nodes[F].tcp));
	assert_string_equal(why(w, A, F), "captive");
	wire_send(w, A, B, 1, 100);
	assert_string_equal(why(w, A, B), "captive");
	wire_run(w, 99 * OV_SEC);
	assert_in_range(w->nodes[A].dialled, 3, 6);
	wire_run(w, 3500 * OV_SEC);
	assert_in_range(w->nodes[A].dialled, 10, 20);
	w->portal = false;
	wire_run(w, 400 * OV_SEC);
	assert_int_equal(carrier(w, A, F), CARRIER_TCP);
	assert_false(node_captive(w->nodes[A].node, w->now, &by));
	wire_free(w);
}

/* What a portal at one place did is forgotten at the next. */
static void another_network_is_asked_at_once(void **state)
{
	(void)state;
	struct ov_addr by;
	struct wire *w = world();
	w->portal = true;
	wire_use_facilitator(w, A, F);
	wire_run(w, 300 * OV_SEC);
	assert_true(node_captive(w->nodes[A].node, w->now, &by));
	w->portal = false;
	wire_set_address(w, A, addr_v4(198, 51, 109, 10, 27182));
	assert_false(node_captive(w->nodes[A].node, w->now, &by));
	wire_run(w, OV_SEC);
	assert_int_equal(carrier(w, A, F), CARRIER_TCP);
	wire_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(facilitator_by_tcp_after_300_ms),
		cmocka_unit_test(udp_in_time_opens_no_connection),
		cmocka_unit_test(relayed_over_tcp),
		cmocka_unit_test(no_address_is_learnt_by_tcp),
		cmocka_unit_test(direct_to_a_tcp_endpoint_instead_of_the_relay),
		cmocka_unit_test(a_peer_that_listens_is_reached_by_tcp_with_no_word_of_the_owner),
		cmocka_unit_test(udp_that_works_needs_no_connection),
		cmocka_unit_test(who_does_not_listen_names_no_port),
		cmocka_unit_test(claimed_ports_are_tried_rarely),
		cmocka_unit_test(a_call_tries_a_claimed_port_five_times),
		cmocka_unit_test(the_usual_port_of_a_claim_is_tried_five_times),
		cmocka_unit_test(claimed_ports_that_are_nobodys_business),
		cmocka_unit_test(tcp_endpoint_without_a_facilitator),
		cmocka_unit_test(udp_comes_back),
		cmocka_unit_test(foreign_private_addresses_are_not_asked_by_udp),
		cmocka_unit_test(udp_is_blocked_in_the_middle),
		cmocka_unit_test(udp_is_blocked_while_relayed),
		cmocka_unit_test(remembered_per_network),
		cmocka_unit_test(facilitator_restarts),
		cmocka_unit_test(relayed_again_after_a_restart),
		cmocka_unit_test(a_connection_dies_silently),
		cmocka_unit_test(an_idle_client_keeps_its_connection_warm),
		cmocka_unit_test(a_local_address_that_went_takes_its_connections_along),
		cmocka_unit_test(a_replay_by_tcp_moves_nothing),
		cmocka_unit_test(a_captive_portal_is_told_and_not_hurried),
		cmocka_unit_test(another_network_is_asked_at_once),
	};
	return cmocka_run_group_tests_name("dial", tests, NULL, NULL);
}
