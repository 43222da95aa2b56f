/* Places that somebody names who means harm: a contact, or the facilitator that says where it sees
 * the other. Nothing is ever sent to what cannot be a peer's, or is somebody else's private
 * network; a third party gets a few questions and nothing that it could be flooded with. */
#include "tests/unit/relay_world.h"

#include "overlay/frames.h"
#include "overlay/meet.h"

#define VICTIM addr_v4(203, 0, 113, 66, 53)

static struct ov_addr poison[16];
static size_t poison_count, hits, to_victim, bytes_to_victim;

static void add(struct ov_addr a)
{
	poison[poison_count++] = a;
}

static void add6(uint8_t first, uint8_t second, uint8_t last)
{
	add((struct ov_addr){ .ip = { first, second, [15] = last }, .port = 27182 });
}

static void name_them(const struct wire *w)
{
	struct ov_addr own = { .port = 27182 };
	poison_count = hits = to_victim = bytes_to_victim = 0;
	add(addr_v4(224, 0, 0, 1, 5353));        /* multicast */
	add(addr_v4(255, 255, 255, 255, 27182)); /* everybody on the link */
	add(addr_v4(127, 0, 0, 1, 22));          /* ourselves */
	add(addr_v4(0, 0, 0, 0, 27182));
	add(addr_v4(169, 254, 1, 1, 80)); /* link-local: cloud metadata live there */
	add(addr_v4(10, 9, 8, 7, 27182)); /* a private network that is not ours */
	add(addr_v4(100, 64, 0, 1, 27182));
	add(addr_v4(203, 0, 113, 67, 0)); /* no port */
	add6(0xff, 0x02, 1);
	add6(0xfe, 0x80, 1);
	add6(0, 0, 1); /* ::1 */
	peer_id_address(&w->nodes[A].id.id, own.ip);
	add(own); /* A's overlay address: its own tunnel in its tunnel */
	peer_id_address(&w->nodes[B].id.id, own.ip);
	add(own);
	assert_true(poison_count <= FRAME_ENDPOINTS_MAX);
}

static bool watch(struct wire *w, struct flight *f)
{
	struct ov_addr victim = VICTIM;
	if (addr_equal(&f->to, &victim)) {
		to_victim++;
		bytes_to_victim += f->len;
	}
	for (size_t i = 0; i < poison_count; i++)
		hits += addr_equal(&f->to, &poison[i]);
	return only_by_facilitator(w, f);
}

/* B's words, every second for a minute, with traffic that makes A want a better way. */
static void claim(struct wire *w, const struct endpoints_frame *e, uint8_t side)
{
	assert(e->count > 0);
	for (uint32_t i = 0; i < 60; i++) {
		uint8_t plain[600];
		struct wr f = wr_init(plain, sizeof(plain));
		frame_put_endpoints(&f, FRAME_ENDPOINTS, e);
		frame_put_punch(&f, &(struct punch_frame){ .round = 1000 + i,
					    .side = side,
					    .external = e->addr[i % e->count] });
		(void)frames_send(w->nodes[B].node, w->now, wire_peer(w, B, A), &f, false);
		wire_drain(w, B);
		wire_send(w, A, B, 100 + i, 64);
		wire_run(w, OV_SEC);
	}
}

static void what_cannot_be_a_peers_gets_nothing(void **state)
{
	(void)state;
	for (uint8_t side = 0; side <= 4; side++) { /* the last one is no side */
		struct wire *w = relayed_world();
		struct endpoints_frame e = { 0 };
		name_them(w);
		w->hook = watch;
		for (size_t i = 0; i < poison_count; i++)
			e.addr[e.count++] = poison[i];
		claim(w, &e, side);
		assert_int_equal(hits, 0);
		assert_int_equal(wire_got(w, A, B, 159, 64), 1); /* and the session is well */
		wire_free(w);
	}
}

/* Its address in all 16 places would be one: the questions go to it as to one candidate. */
static void a_third_party_gets_a_few_small_questions(void **state)
{
	(void)state;
	struct wire *w = relayed_world();
	struct endpoints_frame e = { .count = FRAME_ENDPOINTS_MAX };
	name_them(w);
	w->hook = watch;
	for (size_t i = 0; i < e.count; i++)
		e.addr[i] = VICTIM;
	claim(w, &e, 1);
	assert_in_range(to_victim, 1, 27 * PATH_PROBES); /* rounds of a minute: limit.h in meet.c */
	assert_true(bytes_to_victim <= 64 * to_victim);
	wire_free(w);
}

/* The facilitator's word of where it sees B is worth no more. */
static void a_facilitator_names_no_such_place_either(void **state)
{
	(void)state;
	struct wire *w = relayed_world();
	struct peer *f = wire_peer(w, A, F), *b = wire_peer(w, A, B);
	struct channel *c = f->association->channels;
	name_them(w);
	w->hook = watch;
	for (size_t i = 0; i < poison_count; i++) {
		uint8_t plain[64];
		struct wr out = wr_init(plain, sizeof(plain));
		f->registration->requests[0] = (struct link_request){
			.id = 7, .destination = w->nodes[B].id.id, .used = true
		};
		frame_put_relay_ok(
			&out, &(struct relay_ok){
				      .request = 7, .channel = c->id, .observed = poison[i] });
		say(w, F, A, &out);
		wire_send(w, A, B, 200 + (uint32_t)i, 64);
		meet_start(w->nodes[A].node, w->now, b);
		wire_drain(w, A);
		wire_run(w, 6 * OV_SEC);
		assert_false(f->registration->requests[0].used); /* it was heard */
		assert_null(candidates_find(&b->candidates, &poison[i]));
	}
	assert_int_equal(hits, 0);
	wire_free(w);
}

static size_t openers;

static bool count_openers(struct wire *w, struct flight *f)
{
	struct ov_addr victim = VICTIM;
	openers += f->hops != 0 && addr_equal(&f->to, &victim);
	bool asks = is_type(f, PACKET_CONTROL) && addr_same_ip(&f->from, &w->nodes[A].addr);
	return !asks && only_by_facilitator(w, f); /* F's answers are made below */
}

/* In the answer to whatever was asked. */
static void say_where(struct wire *w, uint16_t port)
{
	const struct path *path = wire_peer(w, A, F)->association->active;
	uint8_t plain[64];
	struct wr out = wr_init(plain, sizeof(plain));
	struct path_response r = { .observed = addr_v4(192, 0, 2, 1, port) };
	for (size_t i = 0; i < PATH_CHALLENGES; i++)
		if (path->probes[i].used && !path->probes[i].is_pmtu)
			memcpy(r.token, path->probes[i].token, PATH_TOKEN_LEN);
	frame_put_response(&out, &r);
	say(w, F, A, &out);
}

/* It sees us elsewhere with each answer, which begins rounds with everybody. */
static void a_facilitator_that_moves_us_about_opens_little(void **state)
{
	(void)state;
	struct wire *w = relayed_world();
	struct endpoints_frame e = { .count = 1, .addr = { VICTIM } };
	uint8_t plain[64];
	struct wr out = wr_init(plain, sizeof(plain));
	frame_put_endpoints(&out, FRAME_ENDPOINTS, &e);
	say(w, B, A, &out);
	openers = 0;
	w->hook = count_openers;
	path_challenge(wire_peer(w, A, F)->association->active, w->now);
	peer_touch(w->nodes[A].node, wire_peer(w, A, F));
	wire_drain(w, A);
	for (ov_time until = w->now + 60 * OV_SEC; w->now < until;)
		say_where(w, (uint16_t)(w->now / OV_MS));
	assert_in_range(openers, 1, 9); /* six rounds at once, then three a minute */
	assert_in_range(wire_events(w, A, NODE_ADDRESS_CHANGED), 1, 40); /* each asks the router */
	wire_free(w);
}

static size_t to_victim6;

static bool count_victim6(struct wire *w, struct flight *f)
{
	to_victim6 += f->to.ip[0] == 0x20 && f->to.port == 53;
	return only_by_facilitator(w, f);
}

/* It needs no opener, and is asked before the round begins: those questions count. */
static void a_third_party_is_asked_nine_times_a_round_by_ipv6_too(void **state)
{
	(void)state;
	struct wire *w = relayed_world();
	struct local_address locals[2] = { w->nodes[A].node->locals[0],
		{ .addr = { .ip = { 0x20, 1, 0xd, 0xb8, [15] = 1 } },
			.interface = 1,
			.prefix_len = 64,
			.has_default_route = true } };
	node_network_changed(w->nodes[A].node, w->now, locals, 2, false);
	wire_drain(w, A);
	wire_run(w, 10 * OV_SEC);
	struct endpoints_frame e = { .count = 1,
		.addr = { { .ip = { 0x20, 1, 0xd, 0xb8, 1, [15] = 9 }, .port = 53 } } };
	uint8_t plain[128];
	struct wr out = wr_init(plain, sizeof(plain));
	frame_put_endpoints(&out, FRAME_ENDPOINTS, &e);
	frame_put_punch(&out, &(struct punch_frame){ .round = 1000 });
	to_victim6 = 0;
	w->hook = count_victim6;
	say(w, B, A, &out);
	wire_run(w, 5 * OV_SEC);
	assert_in_range(to_victim6, 1, PATH_PROBES);
	wire_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_cannot_be_a_peers_gets_nothing),
		cmocka_unit_test(a_third_party_gets_a_few_small_questions),
		cmocka_unit_test(a_facilitator_names_no_such_place_either),
		cmocka_unit_test(a_third_party_is_asked_nine_times_a_round_by_ipv6_too),
		cmocka_unit_test(a_facilitator_that_moves_us_about_opens_little),
	};
	return cmocka_run_group_tests_name("poison", tests, NULL, NULL);
}
