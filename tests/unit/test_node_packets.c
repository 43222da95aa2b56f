/* What the local side gives a node and gets from it: grants, waiting, fragments, pings. */
#include "tests/unit/node_meet.h"

static void inner_addresses_and_grants_are_enforced(void **state)
{
	(void)state;
	struct wire *w = wire_new(3);
	meet(w, 0, 1);
	struct peer *p = wire_peer(w, 0, 1);
	struct peer *other = p;
	uint8_t packet[256];
	/* What a hostile daemon of 0 would seal: the inner source of node 2. */
	size_t len = wire_packet(w, 2, 1, 9, 64, packet);
	struct {
		uint8_t dst;
		enum drop why;
	} cases[] = {
		{ 1, DROP_SOURCE },
		{ 2, DROP_DESTINATION },
	};
	for (size_t i = 0; i < 2; i++) {
		if (i == 1)
			len = wire_packet(w, 0, 2, 9, 64, packet);
		uint8_t sealed[512];
		size_t n = session_seal(
			&other->association->keys[0]->session, PACKET_IP, 0, packet, len, sealed);
		size_t before = w->nodes[1].inner_count;
		uint64_t drops = wire_drops(w, 1, cases[i].why);
		wire_put(w, 0, w->nodes[0].addr, w->nodes[1].addr, sealed, n);
		wire_run(w, OV_MS);
		assert_int_equal(w->nodes[1].inner_count, before);
		assert_int_equal(wire_drops(w, 1, cases[i].why), drops + 1);
	}
	wire_know(w, 1, 0, &w->nodes[0].addr, "udp/9"); /* what 0 may do at 1 */
	wire_send(w, 0, 1, 10, 64);
	wire_run(w, OV_SEC);
	assert_int_equal(wire_got(w, 0, 1, 10, 64), 0);
	assert_int_equal(wire_drops(w, 1, DROP_GRANT), 1);
	wire_send(w, 1, 0, 11, 64); /* 1 may at 0 */
	wire_run(w, OV_SEC);
	assert_int_equal(wire_got(w, 1, 0, 11, 64), 1);
	uint8_t spoof[256];
	len = wire_packet(w, 1, 2, 3, 64, spoof); /* and the local side may not lie either */
	uint64_t drops = wire_drops(w, 0, DROP_SOURCE);
	wire_submit(w, 0, spoof, len);
	assert_int_equal(wire_drops(w, 0, DROP_SOURCE), drops + 1);
	wire_free(w);
}

static void packets_wait_while_calling_within_bounds(void **state)
{
	(void)state;
	struct wire *w = wire_new(2);
	wire_know(w, 0, 1, &w->nodes[1].addr, "all");
	for (uint32_t tag = 0; tag < 40; tag++)
		wire_send(w, 0, 1, tag, 64);
	assert_int_equal(wire_info(w, 0, 1).waiting_packets, STAGED_MAX);
	assert_int_equal(wire_drops(w, 0, DROP_AWAY), 40 - STAGED_MAX);
	wire_know(w, 1, 0, NULL, "all");
	wire_run(w, OV_SEC);
	for (uint32_t tag = 0; tag < 40; tag++)
		assert_int_equal(wire_got(w, 0, 1, tag, 64), tag < STAGED_MAX);
	assert_int_equal(wire_info(w, 0, 1).waiting_packets, 0);
	wire_free(w);
	w = wire_new(2);
	wire_know(w, 0, 1, &w->nodes[1].addr, "all");
	for (uint32_t tag = 0; tag < 20; tag++)
		wire_send(w, 0, 1, tag, 1300);
	assert_int_equal(wire_info(w, 0, 1).waiting_packets, STAGED_BYTES / 1348);
	wire_run(w, 91 * OV_SEC); /* away: they are dropped, and counted */
	assert_int_equal(wire_info(w, 0, 1).waiting_packets, 0);
	assert_int_equal(wire_drops(w, 0, DROP_AWAY), 20);
	wire_free(w);
}

static size_t mtu_limit;

static bool narrow(struct wire *w, struct flight *f)
{
	(void)w;
	return f->len <= mtu_limit;
}

static void long_packets_travel_in_fragments_then_the_stack_is_told(void **state)
{
	(void)state;
	struct wire *w = wire_new(2);
	mtu_limit = 1250;
	w->hook = narrow;
	meet(w, 0, 1);
	wire_run(w, 2 * OV_SEC);
	assert_true(wire_info(w, 0, 1).active.pmtu <= 1250);
	uint8_t packet[1500];
	size_t len = wire_packet(w, 0, 1, 5, 1300, packet);
	struct ip_packet p = {
		.data = packet, .len = len, .partial = true, .csum_start = 40, .csum_offset = 6
	};
	store_be16(packet + 46, (uint16_t)~checksum_fold(checksum_pseudo(packet, 17, len - 40)));
	node_submit(w->nodes[0].node, w->now, &p, 1);
	wire_drain(w, 0);
	wire_run(w, 2 * WIRE_DELAY);
	assert_int_equal(wire_got(w, 0, 1, 5, 1300), 1);
	assert_int_equal(w->nodes[0].inner_count, 0);
	wire_run(w, 10 * OV_SEC);
	wire_send(w, 0, 1, 6, 1300);
	wire_run(w, 2 * WIRE_DELAY);
	assert_int_equal(wire_got(w, 0, 1, 6, 1300), 1); /* still delivered */
	assert_int_equal(w->nodes[0].inner_count, 1);
	const uint8_t *icmp = w->nodes[0].inner[0];
	assert_int_equal(icmp[6], 58);
	assert_int_equal(icmp[40], 2);
	assert_int_equal(load_be32(icmp + 44), 1280);
	len = w->nodes[0].inner_len[0];
	assert_int_equal(checksum_fold(checksum_add(
				 checksum_pseudo(icmp, 58, len - 40), icmp + 40, len - 40)),
		0);
	wire_free(w);
}

/* The peer takes no datagram above the MTU it announced, however wide the wire is. */
static void the_peers_mtu_bounds_ours(void **state)
{
	(void)state;
	struct wire *w = wire_new(2);
	w->nodes[1].config.datagram_max = 1300;
	wire_stop(w, 1);
	wire_start(w, 1);
	meet(w, 0, 1);
	wire_run(w, 3 * OV_SEC);
	assert_int_equal(wire_info(w, 0, 1).active.pmtu, 1300);
	assert_int_equal(wire_info(w, 1, 0).active.pmtu, 1300);
	w->nodes[1].config.datagram_max = 1250; /* it comes back with less */
	wire_stop(w, 1);
	wire_start(w, 1);
	wire_know(w, 1, 0, &w->nodes[0].addr, "all");
	wire_send(w, 1, 0, 3, 64);
	wire_run(w, 3 * OV_SEC);
	assert_int_equal(wire_info(w, 0, 1).active.pmtu, 1250);
	wire_free(w);
}

/* The answer to an echo that waited 40 s for its peer passes, though the peer has no grant. */
static void a_flow_begins_when_its_packet_leaves(void **state)
{
	(void)state;
	struct wire *w = wire_new(2);
	wire_know(w, 0, 1, &w->nodes[1].addr, NULL);
	uint8_t echo[64];
	size_t len = wire_packet(w, 0, 1, 0, 8, echo);
	echo[6] = 58;
	echo[40] = 128;
	wire_submit(w, 0, echo, len);
	wire_run(w, 40 * OV_SEC);
	wire_know(w, 1, 0, NULL, "all");
	wire_run(w, 6 * OV_SEC);
	assert_int_equal(w->nodes[1].inner_count, 1);
	wire_packet(w, 1, 0, 0, 8, echo);
	echo[6] = 58;
	echo[40] = 129;
	wire_submit(w, 1, echo, len);
	wire_run(w, OV_SEC);
	assert_int_equal(w->nodes[0].inner_count, 1);
	wire_free(w);
}

static void pings_answer_time_out_and_are_bounded(void **state)
{
	(void)state;
	struct wire *w = wire_new(2);
	wire_acquaint(w, 0, 1);
	const struct peer_id *b = &w->nodes[1].id.id;
	struct node *n = w->nodes[0].node;
	assert_int_equal(node_ping(n, w->now, b, 77, 5 * OV_SEC), OV_OK); /* calls */
	wire_drain(w, 0);
	wire_run(w, OV_SEC);
	assert_int_equal(wire_events(w, 0, NODE_PONG), 1);
	w->nodes[0].event_count = 0;
	assert_int_equal(node_ping(n, w->now, b, 78, 5 * OV_SEC), OV_OK);
	wire_drain(w, 0);
	wire_run(w, OV_SEC);
	assert_int_equal(w->nodes[0].events[0].type, NODE_PONG);
	assert_int_equal(w->nodes[0].events[0].token, 78);
	assert_int_equal(w->nodes[0].events[0].rtt, 2 * WIRE_DELAY);
	assert_true(addr_equal(&w->nodes[0].events[0].observed, &w->nodes[0].addr));
	assert_int_equal(
		node_ping(n, w->now, &w->nodes[0].id.id, 1, OV_SEC), OV_OK); /* ourselves */
	assert_int_equal(node_ping(n, w->now, &(struct peer_id){ { 1 } }, 1, OV_SEC), OV_ENOENT);
	w->hook = nothing_passes;
	for (uint64_t i = 0; i < PINGS_MAX; i++)
		assert_int_equal(node_ping(n, w->now, b, i, OV_SEC), OV_OK);
	assert_int_equal(node_ping(n, w->now, b, 99, OV_SEC), OV_EFULL);
	wire_drain(w, 0);
	wire_run(w, 2 * OV_SEC);
	assert_int_equal(wire_events(w, 0, NODE_PING_TIMEOUT), PINGS_MAX);
	wire_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(inner_addresses_and_grants_are_enforced),
		cmocka_unit_test(packets_wait_while_calling_within_bounds),
		cmocka_unit_test(pings_answer_time_out_and_are_bounded),
		cmocka_unit_test(long_packets_travel_in_fragments_then_the_stack_is_told),
		cmocka_unit_test(the_peers_mtu_bounds_ours),
		cmocka_unit_test(a_flow_begins_when_its_packet_leaves),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
