/* Who speaks when, who is understood, what a beacon does to a contact, and what it may cost. Up to
 * three nodes on one segment; the datagrams of their handshakes travel over node_wire. */
#include "tests/unit/node_meet.h"

#include "overlay/association.h"

#include "discovery/announce.h"
#include "discovery/beacon.h"
#include "overlay/lan.h"
#include "overlay/sift.h"

#define INTERFACE 7

struct segment {
	struct wire *wire;
	struct lan *lans[WIRE_NODES]; /* NULL: not there */
	uint8_t last[BEACON_MAX];     /* the last beacon that was said */
	size_t last_len, said;
};

static struct local_address address_of(const struct segment *s, size_t i)
{
	return (struct local_address){
		.addr = s->wire->nodes[i].addr, .interface = INTERFACE, .prefix_len = 24
	};
}

static void come(struct segment *s, size_t i)
{
	struct wire_node *h = &s->wire->nodes[i];
	struct rng rng = { .fill = wire_random, .context = &h->random };
	struct local_address a = address_of(s, i);
	s->lans[i] = lan_new(h->node, 27182, &rng);
	assert_non_null(s->lans[i]);
	lan_network(s->lans[i], s->wire->now, &a, 1, false);
}

static void leave(struct segment *s, size_t i)
{
	lan_free(s->lans[i]);
	s->lans[i] = NULL;
}

static struct segment segment_new(size_t count)
{
	return (struct segment){ .wire = wire_new(count) };
}

static void segment_free(struct segment *s)
{
	for (size_t i = 0; i < WIRE_NODES; i++)
		lan_free(s->lans[i]);
	wire_free(s->wire);
}

static struct dgram arrival(const uint8_t *data, size_t len, struct ov_addr from, struct ov_addr to)
{
	return (struct dgram){ .data = (uint8_t *)(uintptr_t)data,
		.len = len,
		.segment = (uint16_t)len,
		.interface = INTERFACE,
		.local = to,
		.remote = from };
}

/* Everything i says reaches all, itself included, as multicast does. */
static void spread(struct segment *s, size_t i)
{
	struct dgram d;
	while (lan_poll(s->lans[i], &d)) {
		memcpy(s->last, d.data, d.len);
		s->last_len = d.len;
		s->said++;
		struct dgram in = arrival(s->last, d.len, d.local, d.remote);
		in.remote.port = LAN_PORT;
		for (size_t k = 0; k < s->wire->count; k++)
			if (s->lans[k])
				lan_input(s->lans[k], s->wire->now, &in);
	}
}

static void work(struct segment *s)
{
	for (size_t i = 0; i < s->wire->count; i++) {
		if (!s->lans[i] || lan_deadline(s->lans[i]) > s->wire->now)
			continue;
		lan_tick(s->lans[i], s->wire->now);
		spread(s, i);
		wire_drain(s->wire, i);
	}
}

static void run(struct segment *s, ov_time span)
{
	for (ov_time until = s->wire->now + span; s->wire->now < until;) {
		work(s);
		wire_run(s->wire, span < OV_SEC ? 5 * OV_MS : 50 * OV_MS);
	}
}

static enum peer_state state_of(struct segment *s, size_t a, size_t b)
{
	return wire_info(s->wire, a, b).state;
}

static void know(struct segment *s, size_t a, size_t b)
{
	wire_know(s->wire, a, b, NULL, "all");
	wire_know(s->wire, b, a, NULL, "all");
}

static const struct lan_counters *counters(struct segment *s, size_t i)
{
	return lan_counters(s->lans[i]);
}

/* ---- finding ---- */

static void the_second_is_found_at_once(void **state)
{
	(void)state;
	struct segment s = segment_new(3);
	know(&s, 0, 1);
	come(&s, 0);
	come(&s, 2); /* a stranger with nobody to look for */
	run(&s, 10 * OV_SEC);
	assert_int_equal(state_of(&s, 0, 1), PEER_IDLE);
	come(&s, 1);
	run(&s, 100 * OV_MS);
	assert_int_equal(state_of(&s, 0, 1), PEER_UP);
	assert_int_equal(state_of(&s, 1, 0), PEER_UP);
	assert_true(counters(&s, 0)->heard >= 1 && counters(&s, 0)->own >= 1);
	assert_int_equal(counters(&s, 2)->heard, 0);
	assert_true(counters(&s, 2)->strangers >= 1);
	assert_int_equal(s.wire->nodes[2].sent + s.wire->nodes[2].received, 0);
	assert_int_equal(counters(&s, 2)->sent, 0); /* without contacts nothing is said */
	segment_free(&s);
}

/* Beacons go on, sessions do not: one handshake, an hour of silence. */
static void who_has_nothing_to_say_falls_asleep(void **state)
{
	(void)state;
	struct segment s = segment_new(2);
	know(&s, 0, 1);
	come(&s, 0);
	come(&s, 1);
	run(&s, 700 * OV_SEC);
	assert_int_equal(state_of(&s, 0, 1), PEER_IDLE);
	assert_int_equal(state_of(&s, 1, 0), PEER_IDLE);
	uint64_t sent = s.wire->nodes[0].sent + s.wire->nodes[1].sent;
	run(&s, 3600 * OV_SEC);
	assert_int_equal(s.wire->nodes[0].sent + s.wire->nodes[1].sent, sent);
	assert_int_equal(wire_info(s.wire, 0, 1).candidate_count, 1); /* but it knows where */
	assert_true(counters(&s, 0)->heard > 100);
	wire_send(s.wire, 0, 1, 1, 100);
	run(&s, 100 * OV_MS);
	assert_int_equal(wire_got(s.wire, 0, 1, 1, 100), 1);
	segment_free(&s);
}

static void who_was_gone_is_called_again(void **state)
{
	(void)state;
	struct segment s = segment_new(2);
	know(&s, 0, 1);
	come(&s, 0);
	come(&s, 1);
	run(&s, 700 * OV_SEC);
	assert_int_equal(state_of(&s, 0, 1), PEER_IDLE);
	leave(&s, 1);
	run(&s, 130 * OV_SEC);
	come(&s, 1);
	run(&s, 100 * OV_MS);
	assert_int_equal(state_of(&s, 0, 1), PEER_UP);
	segment_free(&s);
}

static void addresses_last_three_beacons(void **state)
{
	(void)state;
	struct segment s = segment_new(2);
	know(&s, 0, 1);
	s.wire->hook = nothing_passes; /* but beacons */
	come(&s, 0);
	come(&s, 1);
	run(&s, 200 * OV_SEC);
	assert_int_equal(wire_info(s.wire, 0, 1).candidate_count, 1);
	leave(&s, 1);
	run(&s, 50 * OV_SEC);
	assert_int_equal(wire_info(s.wire, 0, 1).candidate_count, 1);
	run(&s, 80 * OV_SEC);
	assert_int_equal(wire_info(s.wire, 0, 1).candidate_count, 0);
	segment_free(&s);
}

/* Called without success for a while, or given up: the beacon counts more than the schedule. */
static void an_away_peer_is_called_at_once(void **state)
{
	(void)state;
	static const ov_time waits[] = { 20 * OV_SEC, 2000 * OV_SEC };
	for (size_t k = 0; k < 2; k++) {
		struct segment s = segment_new(2);
		struct ov_addr dead = addr_v4(203, 0, 113, 9, 27182);
		wire_know(s.wire, 0, 1, &dead, "all");
		wire_know(s.wire, 1, 0, NULL, "all");
		come(&s, 0);
		wire_send(s.wire, 0, 1, 1, 100);
		run(&s, waits[k]);
		assert_int_equal(state_of(&s, 0, 1), k ? PEER_AWAY : PEER_CALLING);
		come(&s, 1);
		run(&s, 100 * OV_MS);
		assert_int_equal(state_of(&s, 0, 1), PEER_UP);
		segment_free(&s);
	}
}

/* We were unplugged for less than beacons last: the others hear nothing new, so we call. */
static void coming_back_calls_whom_we_heard(void **state)
{
	(void)state;
	struct segment s = segment_new(2);
	know(&s, 0, 1);
	come(&s, 0);
	come(&s, 1);
	run(&s, 700 * OV_SEC);
	struct local_address a = address_of(&s, 0);
	lan_network(s.lans[0], s.wire->now, NULL, 0, false);
	assert_int_equal(counters(&s, 0)->interfaces, 0);
	run(&s, OV_SEC);
	assert_int_equal(state_of(&s, 0, 1), PEER_IDLE);
	lan_network(s.lans[0], s.wire->now, &a, 1, false);
	run(&s, 100 * OV_MS);
	assert_int_equal(state_of(&s, 0, 1), PEER_UP);
	segment_free(&s);
}

/* It lost its keys and is back before anybody missed it, at the same address or another: we have a
 * session that it does not know. */
static void who_starts_anew_is_called_at_once(void **state)
{
	(void)state;
	for (unsigned moves = 0; moves < 2; moves++) {
		struct segment s = segment_new(2);
		know(&s, 0, 1);
		come(&s, 0);
		come(&s, 1);
		run(&s, 10 * OV_SEC);
		assert_int_equal(state_of(&s, 0, 1), PEER_UP);
		assert_int_equal(wire_info(s.wire, 0, 1).handshakes, 1);
		leave(&s, 1);
		wire_stop(s.wire, 1);
		wire_start(s.wire, 1);
		wire_know(s.wire, 1, 0, NULL, "all");
		if (moves)
			s.wire->nodes[1].addr = addr_v4(198, 51, 100, 99, 27182);
		come(&s, 1);
		run(&s, 100 * OV_MS);
		assert_int_equal(state_of(&s, 1, 0), PEER_UP);
		assert_true(wire_uses(s.wire, 1, 0, s.wire->nodes[0].addr));
		run(&s, 10 * OV_SEC);
		assert_int_equal(wire_info(s.wire, 0, 1).handshakes, 2); /* not one a beacon */
		wire_send(s.wire, 0, 1, 1, 100);
		run(&s, 100 * OV_MS);
		assert_int_equal(wire_got(s.wire, 0, 1, 1, 100), 1);
		segment_free(&s);
	}
}

/* A session by another way: the address heard here becomes a path of it. */
static void a_session_gets_the_path(void **state)
{
	(void)state;
	struct segment s = segment_new(2);
	wire_acquaint(s.wire, 0, 1);
	s.wire->nodes[1].old = addr_v4(198, 51, 100, 77, 27182);
	meet(s.wire, 0, 1);
	assert_int_equal(wire_info(s.wire, 0, 1).path_count, 1);
	uint8_t bytes[BEACON_MAX];
	struct node_pair pair;
	assert_true(node_pair(s.wire->nodes[1].node, 0, &pair));
	struct beacon_reader reader = { pair.key, pair.we_are_lower };
	struct rng rng = { .fill = wire_random, .context = &s.wire->nodes[1].random };
	size_t len = beacon_encode(bytes, 27182, &reader, 1, &rng);
	come(&s, 0);
	struct dgram in = arrival(bytes, len, s.wire->nodes[1].old, lan_group(true));
	s.wire->nodes[1].answers_from_old = true;
	lan_input(s.lans[0], s.wire->now, &in);
	run(&s, OV_SEC);
	struct path_info paths[4];
	size_t count = node_peer_paths(s.wire->nodes[0].node, &s.wire->nodes[1].id.id, paths, 4);
	assert_int_equal(count, 2);
	assert_true(addr_equal(&paths[1].remote, &s.wire->nodes[1].old));
	assert_string_equal(paths[1].state, "valid");
	assert_int_equal(wire_info(s.wire, 0, 1).handshakes, 1);
	segment_free(&s);
}

/* ---- speaking ---- */

struct heard_way {
	struct ov_addr local, remote;
	uint32_t interface;
};

static size_t ways(struct lan *l, ov_time now, struct heard_way *out)
{
	struct dgram d;
	size_t count = 0;
	lan_tick(l, now);
	for (; lan_poll(l, &d); count++)
		out[count] = (struct heard_way){ d.local, d.remote, d.interface };
	return count;
}

static void every_network_is_spoken_to(void **state)
{
	(void)state;
	struct segment s = segment_new(2);
	know(&s, 0, 1);
	struct rng rng = { .fill = wire_random, .context = &s.wire->nodes[0].random };
	struct lan *l = lan_new(s.wire->nodes[0].node, 27182, &rng);
	struct ov_addr six = { .ip = { 0xfe, 0x80, [15] = 1 }, .scope = 9 };
	const struct local_address list[] = {
		{ .addr = addr_v4(10, 1, 2, 3, 0), .interface = 9, .prefix_len = 20 },
		{ .addr = addr_v4(10, 9, 9, 9, 0), .interface = 9, .prefix_len = 31 },
		{ .addr = six, .interface = 9, .prefix_len = 64 },
		{ .addr = addr_v4(192, 168, 5, 1, 0), .interface = 4, .prefix_len = 24 },
	};
	ov_time now = s.wire->now;
	struct heard_way w[16] = { 0 };
	lan_network(l, now, list, 4, false);
	assert_int_equal(ways(l, now, w), 4);
	struct ov_addr four = lan_group(true), all = lan_group(false);
	all.scope = 9;
	assert_true(addr_equal(&w[0].remote, &four) && addr_equal(&w[0].local, &list[0].addr));
	struct ov_addr broadcast = addr_v4(10, 1, 15, 255, LAN_PORT);
	assert_true(addr_equal(&w[1].remote, &broadcast) && w[1].interface == 9);
	assert_true(addr_equal(&w[2].remote, &four) && addr_equal(&w[2].local, &list[1].addr));
	assert_true(addr_equal(&w[3].remote, &all) && addr_is_any(&w[3].local));
	assert_int_equal(lan_deadline(l), now); /* the other interface */
	assert_int_equal(ways(l, now, w), 2);
	assert_int_equal(w[0].interface, 4);
	assert_int_equal(lan_deadline(l), now + OV_SEC);
	lan_free(l);
	segment_free(&s);
}

static void news_are_not_told_too_often(void **state)
{
	(void)state;
	struct segment s = segment_new(2);
	know(&s, 0, 1);
	come(&s, 0);
	for (unsigned i = 0; i < 1000; i++) { /* contacts are added by a script */
		lan_on_contact(s.lans[0], s.wire->now);
		work(&s);
		wire_run(s.wire, OV_MS);
	}
	assert_in_range(s.said, 2 * 4, 2 * 5); /* multicast and broadcast, every 250 ms */
	segment_free(&s);
}

static void put_contacts(struct node *n, ov_time now, unsigned first, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		struct identity id;
		uint8_t seed[32] = { 9, (uint8_t)(first + i), (uint8_t)((first + i) >> 8) };
		assert_int_equal(identity_from_seed(&id, seed), OV_OK);
		struct contact c = { .id = id.id };
		assert_int_equal(node_contact_put(n, now, &c, false), OV_OK);
	}
}

static struct node *node_with(struct wire *w, uint32_t contacts)
{
	struct rng rng = { .fill = wire_random, .context = &w->nodes[0].random };
	w->nodes[0].config.max_contacts = contacts;
	return node_new(&w->nodes[0].config, &w->nodes[0].id, &w->aead, rng, w->now);
}

/* 300 contacts, 256 at a time: the last one is spoken to the second time. */
static void more_contacts_take_turns(void **state)
{
	(void)state;
	struct segment s = segment_new(2);
	struct rng rng = { .fill = wire_random, .context = &s.wire->nodes[0].random };
	struct node *n = node_with(s.wire, 400);
	put_contacts(n, s.wire->now, 0, 299);
	struct contact last = { .id = s.wire->nodes[1].id.id };
	assert_int_equal(node_contact_put(n, s.wire->now, &last, false), OV_OK);
	wire_know(s.wire, 1, 0, NULL, "all");
	come(&s, 1);
	struct lan *l = lan_new(n, 27182, &rng);
	struct local_address a = address_of(&s, 0);
	ov_time now = s.wire->now;
	lan_network(l, now, &a, 1, false);
	for (unsigned time = 0; time < 2; time++, now += OV_SEC)
		for (unsigned i = 0; i < 4; i++) {
			struct dgram d;
			assert_true(lan_deadline(l) <= now);
			lan_tick(l, now);
			assert_true(lan_poll(l, &d));
			assert_int_equal(d.len, BEACON_MAX);
			struct dgram in = arrival(d.data, d.len, a.addr, d.remote);
			lan_input(s.lans[1], now, &in);
			while (lan_poll(l, &d))
				;
			while (lan_deadline(s.lans[1]) <= now) {
				lan_tick(s.lans[1], now);
				while (lan_poll(s.lans[1], &d))
					;
			}
			assert_int_equal(counters(&s, 1)->heard, time); /* i == 0 is the one */
		}
	lan_free(l);
	node_free(n);
	segment_free(&s);
}

/* ---- bad input ---- */

static size_t strange_beacon(struct segment *s, uint8_t *out)
{
	uint8_t key[32] = { 3 };
	struct beacon_reader reader = { key, true };
	struct rng rng = { .fill = wire_random, .context = &s->wire->nodes[1].random };
	return beacon_encode(out, 27182, &reader, 1, &rng);
}

static void inject(struct segment *s, struct ov_addr from, struct ov_addr to)
{
	uint8_t bytes[BEACON_MAX];
	struct dgram in = arrival(bytes, strange_beacon(s, bytes), from, to);
	lan_input(s->lans[0], s->wire->now, &in);
}

static void only_this_network_is_heard(void **state)
{
	(void)state;
	struct segment s = segment_new(2);
	know(&s, 0, 1);
	come(&s, 0);
	struct ov_addr group = lan_group(true), all = addr_v4(198, 51, 100, 255, LAN_PORT);
	struct ov_addr six = { .ip = { 0xfe, 0x80, [15] = 1 }, .scope = INTERFACE };
	struct ov_addr good = addr_v4(198, 51, 100, 20, LAN_PORT);
	inject(&s, good, group);
	inject(&s, addr_v4(198, 51, 100, 21, LAN_PORT), all);
	inject(&s, six, lan_group(false));
	assert_int_equal(counters(&s, 0)->off_link, 0);
	inject(&s, addr_v4(198, 51, 101, 20, LAN_PORT), group); /* another network */
	inject(&s, addr_v4(127, 0, 0, 1, LAN_PORT), group);
	inject(&s, good, s.wire->nodes[0].addr); /* to us alone */
	inject(&s, good, addr_v4(255, 255, 255, 255, LAN_PORT));
	six.scope = 3;
	inject(&s, six, lan_group(false)); /* of another interface */
	six.ip[0] = 0x20;
	inject(&s, six, lan_group(false));
	assert_int_equal(counters(&s, 0)->off_link, 6);
	struct dgram in = arrival(s.last, 0, good, group);
	lan_input(s.lans[0], s.wire->now, &in);
	assert_int_equal(counters(&s, 0)->malformed, 1);
	segment_free(&s);
}

static void floods_are_bounded(void **state)
{
	(void)state;
	struct segment s = segment_new(2);
	know(&s, 0, 1);
	come(&s, 0);
	for (unsigned i = 0; i < 10000; i++) { /* 10 s, one source */
		inject(&s, addr_v4(198, 51, 100, 20, LAN_PORT), lan_group(true));
		work(&s);
		wire_run(s.wire, OV_MS);
	}
	assert_in_range(counters(&s, 0)->strangers, 8 + 39, 8 + 41);
	uint64_t before = counters(&s, 0)->strangers;
	for (unsigned i = 0; i < 10000; i++) { /* 10 s, many sources */
		inject(&s, addr_v4(198, 51, 100, (uint8_t)(30 + i % 200), LAN_PORT),
			lan_group(true));
		work(&s);
		wire_run(s.wire, OV_MS);
	}
	assert_in_range(counters(&s, 0)->strangers - before, 150, 241);
	assert_int_equal(s.wire->nodes[0].sent, 0);
	segment_free(&s);
}

/* Who recorded a beacon can send it again from anywhere on the link: a bounded number of HS1. */
static void replays_are_bounded(void **state)
{
	(void)state;
	struct segment s = segment_new(2);
	know(&s, 0, 1);
	come(&s, 1);
	work(&s); /* nobody listens but the recorder */
	leave(&s, 1);
	come(&s, 0);
	uint8_t bytes[BEACON_MAX];
	size_t len = s.last_len;
	memcpy(bytes, s.last, len);
	for (unsigned i = 0; i < 1200; i++) { /* a minute */
		struct ov_addr from = addr_v4(198, 51, 100, (uint8_t)(20 + i % 200), LAN_PORT);
		struct dgram in = arrival(bytes, len, from, lan_group(true));
		lan_input(s.lans[0], s.wire->now, &in);
		run(&s, 50 * OV_MS);
	}
	assert_int_equal(counters(&s, 0)->strangers, 0);
	assert_int_equal(wire_info(s.wire, 0, 1).candidate_count, CANDIDATES_MAX);
	/* 40 new addresses in the first minute, and some 20 HS1 of calls begun anew, to 16 each */
	assert_in_range(s.wire->nodes[0].sent, 16, 60 * CANDIDATES_MAX);
	segment_free(&s);
}

/* ---- sift ---- */

/* A beacon with a contact's nonce and other tags, sent first, must not make the true one known as a
 * stranger's; and the port of the datagram does not matter. */
static void a_stolen_nonce_hides_nobody(void **state)
{
	(void)state;
	struct segment s = segment_new(2);
	know(&s, 0, 1);
	come(&s, 1);
	work(&s);
	struct sift *f = sift_new(s.wire->nodes[0].node);
	struct ov_addr from = s.wire->nodes[1].addr, thief = addr_v4(198, 51, 100, 66, 1);
	struct beacon good = { 0 }, bad = { 0 };
	uint8_t forged[BEACON_MAX] = { 0 };
	memcpy(forged, s.last, s.last_len);
	forged[s.last_len - 1] ^= 1;
	assert_int_equal(beacon_decode(&good, s.last, s.last_len), DROP_NONE);
	assert_int_equal(beacon_decode(&bad, forged, s.last_len), DROP_NONE);
	struct sift_hit hit;
	assert_int_equal(sift_deadline(f), OV_NEVER);
	assert_int_equal(sift_put(f, &bad, &thief), SIFT_NEW);
	assert_int_equal(sift_step(f, s.wire->now, &hit), SIFT_STRANGER);
	assert_int_equal(sift_put(f, &good, &from), SIFT_NEW);
	assert_int_equal(sift_put(f, &good, &from), SIFT_COPY);
	assert_int_equal(sift_put(f, &good, &thief), SIFT_OTHER);
	assert_true(sift_is_copy(f, &good, &from) && !sift_is_copy(f, &bad, &from));
	assert_int_equal(sift_step(f, s.wire->now, &hit), SIFT_CONTACT);
	assert_true(peer_id_equal(&hit.id, &s.wire->nodes[1].id.id));
	assert_int_equal(hit.at.port, 27182);
	assert_true(addr_same_ip(&hit.at, &from));
	assert_int_equal(sift_step(f, s.wire->now, &hit), SIFT_CONTACT); /* as before, no search */
	assert_true(addr_same_ip(&hit.at, &thief));
	assert_int_equal(sift_step(f, s.wire->now, &hit), SIFT_NOTHING);
	assert_int_equal(sift_deadline(f), OV_NEVER);
	sift_free(f);
	segment_free(&s);
}

/* 3,000 contacts, beacons of strangers: short steps, and a budget in the long run. */
static void searching_is_bounded(void **state)
{
	(void)state;
	struct segment s = segment_new(2);
	struct node *n = node_with(s.wire, 3000);
	put_contacts(n, s.wire->now, 0, 3000);
	struct node_pair pair;
	for (size_t i = 0; i < 3000; i++) /* their DH */
		assert_true(node_pair(n, i, &pair) && pair.computed);
	assert_true(!node_pair(n, 3000, &pair));
	struct sift *f = sift_new(n);
	ov_time now = s.wire->now;
	unsigned done = 0, most = 0, steps = 0;
	for (unsigned ms = 0; ms < 10000; ms++, now += OV_MS) {
		uint8_t bytes[BEACON_MAX];
		struct beacon b;
		assert_int_equal(beacon_decode(&b, bytes, strange_beacon(&s, bytes)), DROP_NONE);
		(void)sift_put(f, &b, &s.wire->nodes[1].addr);
		while (sift_deadline(f) <= now) {
			struct sift_hit hit;
			steps++;
			if (sift_step(f, now, &hit) != SIFT_STRANGER)
				continue;
			done++;
			most = steps > most ? steps : most;
			steps = 0;
		}
	}
	assert_in_range(most, 6, 200); /* 3,000 / 512, and waits */
	assert_in_range(done, (SIFT_BURST + 9 * SIFT_PER_SECOND) / 3000,
		(SIFT_BURST + 10 * SIFT_PER_SECOND) / 3000 + 1);
	sift_free(f);
	node_free(n);
	segment_free(&s);
}

/* ---- shown to everybody ---- */

static const struct nearby *nearby(struct segment *s, size_t i)
{
	return lan_nearby(s->lans[i]);
}

static void who_shows_itself_is_listed_without_any_contact(void **state)
{
	(void)state;
	struct segment s = segment_new(2);
	come(&s, 0);
	come(&s, 1);
	run(&s, 5 * OV_SEC);
	assert_int_equal(s.said, 0); /* no contacts, nothing to say */
	lan_show(s.lans[0], s.wire->now, s.wire->now + 60 * OV_SEC, "desk", &s.wire->nodes[0].id);
	run(&s, 50 * OV_MS);
	assert_int_equal(nearby(&s, 1)->count, 1);
	const struct nearby_peer *p = &nearby(&s, 1)->list[0];
	struct ov_addr at = s.wire->nodes[0].addr;
	at.port = 27182;
	assert_string_equal(p->notice.name, "desk");
	assert_true(peer_id_equal(&p->notice.id, &s.wire->nodes[0].id.id));
	assert_true(addr_equal(&p->at, &at));
	assert_int_equal(nearby(&s, 0)->count, 0); /* not itself */
	assert_true(counters(&s, 0)->own > 0);
	struct nearby_peer news;
	assert_true(lan_news(s.lans[1], &news));
	assert_false(lan_news(s.lans[1], &news));
	run(&s, 60 * OV_SEC);
	assert_in_range(s.said / 2, 3 + 9, 3 + 15); /* multicast and broadcast */
	assert_true(lan_deadline(s.lans[0]) > s.wire->now);
	size_t said = s.said;
	run(&s, 25 * OV_SEC);
	assert_int_equal(s.said, said);
	assert_int_equal(nearby(&s, 1)->count, 0);
	assert_false(lan_news(s.lans[1], &news));
	assert_int_equal(s.wire->nodes[1].sent, 0); /* no answer to it */
	segment_free(&s);
}

/* The loop comes late: what was due before the end is not said after it, nor asked for for ever. */
static void it_ends_in_time(void **state)
{
	(void)state;
	struct segment s = segment_new(2);
	come(&s, 0);
	lan_show(s.lans[0], s.wire->now, s.wire->now + OV_MS, "desk", &s.wire->nodes[0].id);
	wire_run(s.wire, OV_SEC);
	work(&s);
	assert_int_equal(s.said, 0);
	assert_true(lan_deadline(s.lans[0]) > s.wire->now);
	segment_free(&s);
}

static void notices_do_not_crowd_out_beacons(void **state)
{
	(void)state;
	struct segment s = segment_new(2);
	know(&s, 0, 1);
	come(&s, 1);
	uint8_t raw[NOTICE_LEN];
	for (unsigned i = 0; i < 1000; i++) { /* each another machine and source */
		struct identity id;
		uint8_t seed[32] = { 9, (uint8_t)i, (uint8_t)(i >> 8) };
		assert_int_equal(identity_from_seed(&id, seed), OV_OK);
		notice_encode(raw, &(struct notice){ .id = id.id, .port = 1 }, &id);
		struct ov_addr from = s.wire->nodes[0].addr;
		from.ip[15] = (uint8_t)(10 + i % 200);
		struct dgram in = arrival(raw, sizeof(raw), from, lan_group(true));
		lan_input(s.lans[1], s.wire->now, &in);
	}
	assert_int_equal(nearby(&s, 1)->count, NEARBY_MAX);
	assert_true(counters(&s, 1)->limited > 900);
	come(&s, 0);
	run(&s, 100 * OV_MS);
	assert_true(counters(&s, 1)->heard > 0);
	assert_int_equal(state_of(&s, 1, 0), PEER_UP);
	segment_free(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(who_shows_itself_is_listed_without_any_contact),
		cmocka_unit_test(it_ends_in_time),
		cmocka_unit_test(notices_do_not_crowd_out_beacons),
		cmocka_unit_test(the_second_is_found_at_once),
		cmocka_unit_test(who_has_nothing_to_say_falls_asleep),
		cmocka_unit_test(who_was_gone_is_called_again),
		cmocka_unit_test(addresses_last_three_beacons),
		cmocka_unit_test(an_away_peer_is_called_at_once),
		cmocka_unit_test(coming_back_calls_whom_we_heard),
		cmocka_unit_test(who_starts_anew_is_called_at_once),
		cmocka_unit_test(a_session_gets_the_path),
		cmocka_unit_test(every_network_is_spoken_to),
		cmocka_unit_test(news_are_not_told_too_often),
		cmocka_unit_test(more_contacts_take_turns),
		cmocka_unit_test(only_this_network_is_heard),
		cmocka_unit_test(floods_are_bounded),
		cmocka_unit_test(replays_are_bounded),
		cmocka_unit_test(a_stolen_nonce_hides_nobody),
		cmocka_unit_test(searching_is_bounded),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
