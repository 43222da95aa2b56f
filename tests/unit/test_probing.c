/* 0 stands behind a NAT with a lifetime, 1 and the facilitator 2 in the open: what 0 finds out
 * about its NAT, and what it makes of it. */
#include "tests/unit/node_meet.h"

#include "overlay/association.h"
#include "overlay/frames.h"

#define HOME     0
#define AWAY     1
#define SERVER   2
#define BINDINGS 256

struct binding {
	struct ov_addr inside, remote;
	uint16_t port;
	ov_time until;
};

struct router {
	struct binding made[BINDINGS];
	size_t count;
	ov_time lifetime;
	bool per_destination; /* mapping; the filter is by address and port always */
	bool hairpin;
	unsigned lose_tests; /* so many of the next LIFETIME_TESTs */
	uint16_t next_port;
	uint64_t through; /* datagrams between HOME and the world, both ways */
};

static struct ov_addr outside(uint16_t port)
{
	return addr_v4(203, 0, 113, 1, port);
}

static struct binding *find(
	struct router *r, const struct ov_addr *inside, const struct ov_addr *remote, ov_time now)
{
	for (size_t i = 0; i < r->count; i++) {
		struct binding *b = &r->made[i];
		if (b->until >= now && addr_equal(&b->inside, inside) &&
			(!remote || addr_equal(&b->remote, remote)))
			return b;
	}
	return NULL;
}

static void leave(struct router *r, ov_time now, struct ov_addr *from, const struct ov_addr *to)
{
	struct binding *b = find(r, from, to, now);
	const struct binding *same = r->per_destination ? NULL : find(r, from, NULL, now);
	if (!b) {
		for (b = r->made; b < r->made + r->count && b->until >= now;)
			b++;
		if (b == r->made + BINDINGS)
			fail_msg("too many bindings");
		if (b == r->made + r->count)
			r->count++;
		*b = (struct binding){ .inside = *from, .remote = *to };
		b->port = same ? same->port : (uint16_t)(20000 + r->next_port++ % 20000);
	}
	b->until = now + r->lifetime;
	*from = outside(b->port);
}

static bool enter(struct router *r, ov_time now, const struct ov_addr *from, struct ov_addr *to)
{
	for (size_t i = 0; i < r->count; i++) {
		const struct binding *b = &r->made[i];
		if (b->until < now || b->port != to->port || !addr_equal(&b->remote, from))
			continue;
		*to = b->inside;
		return true;
	}
	return false;
}

static bool is_probe(const struct wire *w, const struct ov_addr *inside)
{
	return w->nodes[HOME].probe != 0 && inside->port == w->nodes[HOME].probe;
}

static bool route(struct wire *w, struct flight *f)
{
	struct router *r = w->context;
	bool out = addr_same_ip(&f->from, &w->nodes[HOME].addr);
	struct ov_addr external = outside(0);
	bool in = addr_same_ip(&f->to, &external);
	r->through += out || in;
	if (out && is_probe(w, &f->from) && r->lose_tests > 0) {
		r->lose_tests--;
		return false;
	}
	if (out)
		leave(r, w->now, &f->from, &f->to);
	if (!in)
		return !addr_same_ip(&f->to, &w->nodes[HOME].addr);
	return (!out || r->hairpin) && enter(r, w->now, &f->from, &f->to);
}

static struct wire *world(struct router *r)
{
	struct wire *w = wire_new(3);
	w->hook = route;
	w->context = r;
	wire_stop(w, SERVER);
	w->nodes[SERVER].config.facilitator = FACILITATOR_OPEN;
	wire_start(w, SERVER);
	wire_set_address(w, SERVER, w->nodes[SERVER].addr);
	wire_set_address(w, AWAY, addr_v4(198, 51, 101, 10, 27182));
	wire_set_address(w, HOME, addr_v4(192, 168, 1, 10, 27182));
	wire_know(w, HOME, AWAY, &w->nodes[AWAY].addr, "all");
	wire_know(w, AWAY, HOME, NULL, "all");
	wire_use_facilitator(w, HOME, SERVER);
	wire_use_facilitator(w, AWAY, SERVER);
	wire_run(w, OV_SEC);
	wire_send(w, HOME, AWAY, 1, 100);
	wire_run(w, OV_SEC);
	assert_int_equal(wire_got(w, HOME, AWAY, 1, 100), 1);
	return w;
}

static struct nat_info info(const struct wire *w)
{
	return node_nat_info(w->nodes[HOME].node, false);
}

static bool answers_from_outside(struct wire *w, uint32_t tag)
{
	wire_send(w, AWAY, HOME, tag, 100);
	wire_run(w, 50 * OV_MS); /* no time for another way */
	return wire_got(w, AWAY, HOME, tag, 100) == 1;
}

static size_t path_count(const struct wire *w, size_t a, size_t b)
{
	return wire_peer(w, a, b)->association->path_count;
}

/* Measured, then an idle hour: reachable at any time, and no more is said than needed. */
static void hour_of(unsigned lifetime_s, bool per_destination, unsigned keepalive_ms,
	uint64_t least, uint64_t most)
{
	struct router r = { .lifetime = lifetime_s * OV_SEC, .per_destination = per_destination };
	struct wire *w = world(&r);
	assert_false(info(w).measuring);
	wire_run(w, 8 * OV_SEC);
	assert_true(info(w).measuring);
	wire_run(w, 600 * OV_SEC);
	struct nat_info nat = info(w);
	assert_false(nat.measuring);
	assert_true(nat.survived_s < lifetime_s);
	assert_true(nat.lost_s == 0 ? lifetime_s > LIFETIME_LONGEST_S : nat.lost_s >= lifetime_s);
	assert_int_equal(nat.keepalive, keepalive_ms * OV_MS);
	assert_int_equal(w->nodes[HOME].probe, 0);
	assert_int_equal(path_count(w, HOME, SERVER), 1);
	assert_int_equal(path_count(w, SERVER, HOME), 1);
	uint64_t before = r.through;
	for (uint32_t i = 0; i < 6; i++) {
		wire_run(w, 593 * OV_SEC);
		assert_true(answers_from_outside(w, 100 + i));
	}
	assert_in_range(r.through - before, least, most);
	assert_int_equal(wire_events(w, HOME, NODE_PEER_DOWN), 0);
	assert_int_equal(wire_events(w, AWAY, NODE_PEER_DOWN), 0);
	wire_free(w);
}

static void what_is_measured_is_kept_for_an_hour(void **state)
{
	(void)state;
	for (unsigned per_destination = 0; per_destination < 2; per_destination++) {
		hour_of(20, per_destination, 15000, 700, 900);
		hour_of(30, per_destination, 22400, 500, 640);
		hour_of(60, per_destination, 46400, 290, 370);
		hour_of(180, per_destination, 120000, 200, 260);
	}
}

/* Session keys end at 180 s, whatever the keepalive: new ones come in time. */
static void keys_outlive_rare_keepalives(void **state)
{
	(void)state;
	for (ov_time lifetime = 88; lifetime <= 180; lifetime += 31) { /* 70, 94, 120, 120 s */
		struct router r = { .lifetime = (lifetime + 1) * OV_SEC };
		struct wire *w = world(&r);
		wire_run(w, 800 * OV_SEC);
		assert_true(info(w).keepalive > 60 * OV_SEC);
		for (unsigned i = 0; i < 1200; i++) {
			wire_run(w, OV_SEC);
			assert_true(association_reaches(
				wire_peer(w, SERVER, HOME)->association, w->now));
			assert_true(
				association_reaches(wire_peer(w, AWAY, HOME)->association, w->now));
		}
		wire_free(w);
	}
}

/* One lost packet is no lost mapping. */
static void a_lost_test_is_repeated(void **state)
{
	(void)state;
	struct router r = { .lifetime = 180 * OV_SEC };
	struct wire *w = world(&r);
	wire_run(w, 20 * OV_SEC); /* it listens */
	r.lose_tests = 1;
	wire_run(w, 800 * OV_SEC);
	assert_int_equal(r.lose_tests, 0);
	assert_int_equal(info(w).survived_s, LIFETIME_LONGEST_S);
	assert_int_equal(info(w).lost_s, 0);
	wire_free(w);
}

/* 20 s of lifetime against 25 s of keepalive: the first loss is acted upon at once. */
static void a_short_lifetime_is_answered_before_it_is_certain(void **state)
{
	(void)state;
	struct router r = { .lifetime = 20 * OV_SEC };
	struct wire *w = world(&r);
	wire_run(w, 45 * OV_SEC);
	assert_true(info(w).measuring);
	assert_int_equal(info(w).keepalive, 15 * OV_SEC);
	wire_run(w, 24 * OV_SEC);
	assert_true(answers_from_outside(w, 7));
	wire_free(w);
}

static void once_per_network_and_day(void **state)
{
	(void)state;
	struct router r = { .lifetime = 60 * OV_SEC };
	struct wire *w = world(&r);
	wire_run(w, 700 * OV_SEC);
	assert_int_equal(wire_events(w, HOME, NODE_PROBE_WANTED), 1);
	struct ov_addr home = w->nodes[HOME].addr;
	wire_set_address(w, HOME, addr_v4(192, 168, 7, 10, 27182)); /* another network */
	assert_int_equal(info(w).survived_s, 0);
	wire_run(w, 700 * OV_SEC);
	assert_int_equal(wire_events(w, HOME, NODE_PROBE_WANTED), 2);
	wire_set_address(w, HOME, home);
	wire_run(w, 300 * OV_SEC);
	assert_int_equal(info(w).survived_s, 58);
	assert_int_equal(wire_events(w, HOME, NODE_PROBE_WANTED), 2);
	w->nodes[HOME].event_count = 0;
	wire_run(w, 86400 * OV_SEC);
	assert_int_equal(wire_events(w, HOME, NODE_PROBE_WANTED), 1);
	wire_free(w);
}

static void a_network_that_goes_ends_the_test(void **state)
{
	(void)state;
	struct router r = { .lifetime = 60 * OV_SEC };
	struct wire *w = world(&r);
	wire_run(w, 20 * OV_SEC);
	assert_true(w->nodes[HOME].probe != 0);
	wire_set_address(w, HOME, addr_v4(192, 168, 7, 10, 27182));
	assert_int_equal(w->nodes[HOME].probe, 0);
	assert_false(info(w).measuring);
	wire_run(w, 600 * OV_SEC);
	assert_int_equal(info(w).survived_s, 58);
	wire_free(w);
}

/* Nothing is known of a NAT whose facilitator falls silent: the keepalive is that of everybody. */
static void a_facilitator_that_dies_proves_nothing(void **state)
{
	(void)state;
	struct router r = { .lifetime = 180 * OV_SEC };
	struct wire *w = world(&r);
	wire_run(w, 20 * OV_SEC);
	wire_stop(w, SERVER);
	wire_run(w, 300 * OV_SEC);
	assert_false(info(w).measuring);
	assert_int_equal(info(w).survived_s + info(w).lost_s, 0);
	assert_int_equal(w->nodes[HOME].probe, 0);
	wire_start(w, SERVER);
	wire_set_address(w, SERVER, w->nodes[SERVER].addr);
	wire_run(w, 1200 * OV_SEC);
	assert_int_equal(info(w).survived_s, LIFETIME_LONGEST_S);
	wire_free(w);
}

/* A contact that offered itself, and is a contact still. */
static void a_facilitator_that_is_one_no_more_ends_the_test(void **state)
{
	(void)state;
	struct router r = { .lifetime = 180 * OV_SEC };
	struct wire *w = world(&r);
	wire_know(w, HOME, SERVER, &w->nodes[SERVER].addr, "all");
	wire_run(w, 20 * OV_SEC);
	assert_true(w->nodes[HOME].probe != 0);
	assert_int_equal(
		node_facilitator_remove(w->nodes[HOME].node, w->now, &w->nodes[SERVER].id.id),
		OV_OK);
	wire_drain(w, HOME);
	assert_int_equal(w->nodes[HOME].probe, 0);
	wire_run(w, 300 * OV_SEC);
	assert_false(info(w).measuring);
	assert_int_equal(wire_info(w, HOME, SERVER).state, PEER_UP);
	wire_free(w);
}

static void no_nat_is_not_measured(void **state)
{
	(void)state;
	struct wire *w = wire_new(3);
	wire_stop(w, SERVER);
	w->nodes[SERVER].config.facilitator = FACILITATOR_OPEN;
	wire_start(w, SERVER);
	wire_use_facilitator(w, HOME, SERVER);
	wire_run(w, 600 * OV_SEC);
	assert_int_equal(wire_events(w, HOME, NODE_PROBE_WANTED), 0);
	wire_free(w);
}

static void a_hairpin_is_told_from_none(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		struct router r = { .lifetime = 60 * OV_SEC, .hairpin = i == 1 };
		struct wire *w = world(&r);
		assert_string_equal(info(w).hairpin, "unknown");
		wire_run(w, 10 * OV_SEC);
		assert_string_equal(info(w).hairpin, i == 1 ? "yes" : "no");
		wire_run(w, 600 * OV_SEC);
		assert_string_equal(info(w).hairpin, i == 1 ? "yes" : "no");
		wire_free(w);
	}
}

static enum drop hairpin_from_world(struct wire *w, uint8_t flags, const uint8_t *token, size_t len)
{
	uint8_t data[HAIRPIN_LEN + 8] = { 0 };
	uint64_t before[DROP_REASON_COUNT];
	memcpy(before, node_counters(w->nodes[HOME].node)->drops, sizeof(before));
	header_encode(&(struct header){ .type = PACKET_HAIRPIN, .flags = flags }, data);
	if (token)
		memcpy(data + HEADER_LEN, token, HAIRPIN_TOKEN_LEN);
	wire_put(w, 0, w->nodes[AWAY].addr, w->nodes[HOME].addr, data, len);
	wire_run(w, OV_MS);
	for (size_t i = 0; i < DROP_REASON_COUNT; i++)
		if (wire_drops(w, HOME, (enum drop)i) != before[i])
			return (enum drop)i;
	return DROP_NONE;
}

/* A stranger's packet is no hairpin: not by luck, not later, and nothing answers it. */
static void a_hairpin_cannot_be_forged(void **state)
{
	(void)state;
	struct router r = { .lifetime = 60 * OV_SEC };
	struct wire *w = world(&r);
	static const uint8_t zero[HAIRPIN_TOKEN_LEN];
	assert_int_equal(hairpin_from_world(w, 0, zero, HAIRPIN_LEN), DROP_TOKEN); /* none is out */
	while (w->nodes[HOME].node->probing.state != PROBING_HAIRPIN)
		wire_run(w, 10 * OV_MS);
	uint8_t token[HAIRPIN_TOKEN_LEN];
	memcpy(token, w->nodes[HOME].node->probing.hairpin_token, sizeof(token));
	uint64_t sent = w->nodes[HOME].sent;
	assert_int_equal(hairpin_from_world(w, 1, token, HAIRPIN_LEN), DROP_HEADER);
	assert_int_equal(hairpin_from_world(w, 0, token, HAIRPIN_LEN + 1), DROP_TYPE);
	assert_int_equal(hairpin_from_world(w, 0, token, HAIRPIN_LEN - 1), DROP_TYPE);
	token[15] ^= 1;
	assert_int_equal(hairpin_from_world(w, 0, token, HAIRPIN_LEN), DROP_TOKEN);
	assert_int_equal(w->nodes[HOME].sent, sent);
	token[15] ^= 1;
	wire_run(w, 5 * OV_SEC);
	assert_string_equal(info(w).hairpin, "no");
	assert_int_equal(hairpin_from_world(w, 0, token, HAIRPIN_LEN), DROP_TOKEN);
	assert_string_equal(info(w).hairpin, "no");
	wire_free(w);
}

/* The server's side: what a client may cost it. */
static void ask(struct wire *w, uint32_t token, uint16_t delay_s)
{
	uint8_t plain[32];
	struct wr out = wr_init(plain, sizeof(plain));
	frame_put_lifetime_test(&out, &(struct lifetime_test){ token, delay_s });
	assert_true(
		frames_send(w->nodes[AWAY].node, w->now, wire_peer(w, AWAY, SERVER), &out, false));
	wire_drain(w, AWAY);
	wire_run(w, 5 * WIRE_DELAY);
}

static void a_facilitator_owes_one_answer_at_most(void **state)
{
	(void)state;
	struct router r = { .lifetime = 60 * OV_SEC };
	struct wire *w = world(&r);
	wire_run(w, OV_SEC);
	uint64_t tokens = wire_drops(w, AWAY, DROP_TOKEN); /* an answer that it does not wait for */
	for (uint32_t i = 0; i < 10; i++)
		ask(w, i, 10);
	wire_run(w, 9 * OV_SEC);
	assert_int_equal(wire_drops(w, AWAY, DROP_TOKEN) - tokens, 0);
	wire_run(w, 2 * OV_SEC);
	assert_int_equal(wire_drops(w, AWAY, DROP_TOKEN) - tokens, 1);
	uint64_t format = wire_drops(w, SERVER, DROP_FORMAT);
	ask(w, 1, LIFETIME_DELAY_MAX_S + 1);
	assert_int_equal(wire_drops(w, SERVER, DROP_FORMAT) - format, 1);
	uint64_t rate = wire_drops(w, SERVER, DROP_RATE);
	for (uint32_t i = 0; i < 400; i++) {
		uint8_t plain[32];
		struct wr out = wr_init(plain, sizeof(plain));
		frame_put_lifetime_test(&out, &(struct lifetime_test){ i, 0 });
		(void)frames_send(
			w->nodes[AWAY].node, w->now, wire_peer(w, AWAY, SERVER), &out, false);
		wire_drain(w, AWAY);
	}
	wire_run(w, OV_SEC);
	assert_true(wire_drops(w, SERVER, DROP_RATE) - rate > 200);
	assert_int_equal(path_count(w, SERVER, AWAY), 1);
	wire_free(w);
}

/* A facilitator that answers at once makes no lifetime long. */
static void an_early_answer_is_no_answer(void **state)
{
	(void)state;
	struct router r = { .lifetime = 20 * OV_SEC };
	struct wire *w = world(&r);
	struct node *n = w->nodes[HOME].node;
	while (n->probing.state != PROBING_LISTENS)
		wire_run(w, 10 * OV_MS);
	struct peer *home = wire_peer(w, SERVER, HOME);
	wire_run(w, 5 * WIRE_DELAY);
	assert_true(home->client->owed.at != OV_NEVER);
	home->client->owed.at = w->now;
	peer_touch(w->nodes[SERVER].node, home);
	wire_drain(w, SERVER);
	wire_run(w, 5 * OV_SEC);
	assert_int_equal(home->client->owed.at, OV_NEVER);
	assert_false(n->probing.answered);
	wire_run(w, 600 * OV_SEC);
	assert_int_equal(info(w).lost_s, 28);
	wire_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_measured_is_kept_for_an_hour),
		cmocka_unit_test(keys_outlive_rare_keepalives),
		cmocka_unit_test(a_lost_test_is_repeated),
		cmocka_unit_test(a_short_lifetime_is_answered_before_it_is_certain),
		cmocka_unit_test(once_per_network_and_day),
		cmocka_unit_test(a_network_that_goes_ends_the_test),
		cmocka_unit_test(a_facilitator_that_dies_proves_nothing),
		cmocka_unit_test(a_facilitator_that_is_one_no_more_ends_the_test),
		cmocka_unit_test(no_nat_is_not_measured),
		cmocka_unit_test(a_hairpin_is_told_from_none),
		cmocka_unit_test(a_hairpin_cannot_be_forged),
		cmocka_unit_test(a_facilitator_owes_one_answer_at_most),
		cmocka_unit_test(an_early_answer_is_no_answer),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
