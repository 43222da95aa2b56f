/* Streams between nodes on a wire: bytes arrive in order whatever happens to paths, keys and
 * daemons. Run one: build/release/tests/unit/test_node_streams */
#define WIRE_FLIGHTS 16384
#define WIRE_PACKETS 64
#include "overlay/node_streams.h"
#include "tests/unit/node_wire.h"
#include "tests/unit/seeded.h"

#include "overlay/streams.h"

struct end { /* an app: writes bytes that depend on the offset alone, checks what it reads */
	struct node_stream *stream;
	uint64_t wants, wrote, read;
	bool finishes, is_finished, at_end, done, reads_late;
	uint32_t reset, stopped; /* codes + 1 */
};

struct apps {
	struct wire *w;
	struct end out[64], in[64]; /* opened here, by the peer */
	size_t out_count, in_count, who_in;
	uint64_t answers; /* bytes written back on each */
};

static uint8_t byte_at(uint64_t offset)
{
	return (uint8_t)(offset * 13 + offset / 251);
}

static void write_some(struct wire *w, size_t i, struct end *e)
{
	while (e->stream && e->wrote < e->wants) {
		size_t len = (size_t)(e->wants - e->wrote);
		uint8_t *room = node_stream_reserve(e->stream, &len);
		if (!room)
			return;
		for (size_t k = 0; k < len; k++)
			room[k] = byte_at(e->wrote + k);
		node_stream_commit(w->nodes[i].node, e->stream, len);
		e->wrote += len;
	}
	if (e->finishes && !e->is_finished) {
		node_stream_finish(w->nodes[i].node, e->stream);
		e->is_finished = true;
	}
}

static void read_some(struct wire *w, size_t i, struct end *e)
{
	size_t len;
	const uint8_t *bytes;
	while (!e->reads_late && (bytes = node_stream_peek(e->stream, &len))) {
		for (size_t k = 0; k < len; k++)
			assert_int_equal(bytes[k], byte_at(e->read + k));
		node_stream_consume(w->nodes[i].node, w->now, e->stream, len);
		e->read += len;
	}
	e->at_end = node_stream_at_end(e->stream);
}

static void on_event(struct apps *a, size_t i, const struct node_stream_event *ev)
{
	struct end *e = ev->user;
	if (!e) {
		assert_true(ev->events & STREAM_OPENED);
		assert_in_range(a->in_count, 0, 63);
		e = &a->in[a->in_count++];
		*e = (struct end){ .stream = ev->stream, .wants = a->answers, .finishes = true };
		a->who_in = i;
		node_stream_set_user(e->stream, e);
		write_some(a->w, i, e);
	}
	if (ev->events & STREAM_WRITABLE)
		write_some(a->w, i, e);
	if (ev->events & STREAM_READABLE)
		read_some(a->w, i, e);
	e->done |= (ev->events & STREAM_FINISHED) != 0;
	if (ev->events & STREAM_RESET)
		e->reset = ev->reset_code + 1;
	if (ev->events & STREAM_STOPPED)
		e->stopped = ev->stop_code + 1;
}

static void run(struct apps *a, ov_time span)
{
	ov_time until = a->w->now + span;
	while (a->w->now < until) {
		wire_run(a->w, ov_min(OV_MS, until - a->w->now));
		for (size_t i = 0; i < a->w->count; i++) {
			struct node_stream_event ev;
			while (a->w->nodes[i].node && node_stream_event(a->w->nodes[i].node, &ev))
				on_event(a, i, &ev);
			if (a->w->nodes[i].node)
				wire_drain(a->w, i);
		}
	}
}

static struct end *open_without_end(struct apps *a, size_t from, size_t to, uint64_t bytes)
{
	struct end *e = &a->out[a->out_count++];
	*e = (struct end){ .wants = bytes };
	assert_int_equal(node_stream_open(a->w->nodes[from].node, a->w->now, &a->w->nodes[to].id.id,
				 e, &e->stream),
		OV_OK);
	write_some(a->w, from, e);
	wire_drain(a->w, from);
	return e;
}

static struct end *open_stream(struct apps *a, size_t from, size_t to, uint64_t bytes)
{
	struct end *e = open_without_end(a, from, to, bytes);
	e->finishes = true;
	write_some(a->w, from, e);
	wire_drain(a->w, from);
	return e;
}

static struct apps *apps_new(size_t nodes)
{
	struct apps *a = calloc(1, sizeof(*a));
	a->w = wire_new(nodes);
	return a;
}

/* Both nodes live: nothing of a stream is left behind in a transport when its handles are closed.
 */
static void apps_free(struct apps *a, size_t from)
{
	for (size_t i = 0; i < a->out_count; i++)
		if (a->out[i].stream)
			node_stream_close(a->w->nodes[from].node, a->w->now, a->out[i].stream, 0);
	for (size_t i = 0; i < a->in_count; i++)
		if (a->in[i].stream)
			node_stream_close(
				a->w->nodes[a->who_in].node, a->w->now, a->in[i].stream, 0);
	for (size_t i = 0; i < a->w->count; i++)
		if (a->w->nodes[i].node) {
			wire_drain(a->w, i);
			assert_int_equal(a->w->nodes[i].node->stream_count, 0);
		}
	wire_free(a->w);
	free(a);
}

static bool is_over(const struct wire *w, size_t i, size_t j)
{
	struct node_streams_info info;
	assert_true(node_streams_info(w->nodes[i].node, &w->nodes[j].id.id, &info));
	return info.streams == 0;
}

static void assert_whole(const struct end *e, uint64_t bytes)
{
	assert_int_equal(e->read, bytes);
	assert_true(e->at_end);
	assert_int_equal(e->reset, 0);
	assert_int_equal(e->stopped, 0);
}

/* The peer is called by it, and both directions are carried and end. */
static void a_stream_calls_and_carries(void **state)
{
	(void)state;
	struct apps *a = apps_new(2);
	wire_acquaint(a->w, 0, 1);
	a->answers = 300000;
	struct end *e = open_stream(a, 0, 1, 1000000);
	run(a, 4 * WIRE_DELAY + OV_MS); /* HS1, HS2, then bytes: 1.5 RTT */
	assert_int_equal(a->in_count, 1);
	assert_true(a->in[0].read > 0);
	run(a, 5 * OV_SEC);
	assert_whole(e, 300000);
	assert_whole(&a->in[0], 1000000);
	assert_true(e->done && a->in[0].done);
	node_stream_close(a->w->nodes[0].node, a->w->now, e->stream, 0);
	node_stream_close(a->w->nodes[1].node, a->w->now, a->in[0].stream, 0);
	e->stream = a->in[0].stream = NULL;
	assert_true(is_over(a->w, 0, 1) && is_over(a->w, 1, 0));
	apps_free(a, 0);
}

static void both_call_at_one_time_and_no_stream_is_lost(void **state)
{
	(void)state;
	struct apps *a = apps_new(2);
	wire_acquaint(a->w, 0, 1);
	struct end *x = open_stream(a, 0, 1, 50000);
	struct end *y = open_stream(a, 1, 0, 50000);
	run(a, 15 * OV_SEC); /* crossed handshakes are settled by then */
	assert_int_equal(a->in_count, 2);
	assert_whole(&a->in[0], 50000);
	assert_whole(&a->in[1], 50000);
	assert_int_equal(x->reset + y->reset, 0);
	struct association *one = wire_peer(a->w, 0, 1)->association;
	assert_int_equal(one->id, wire_peer(a->w, 1, 0)->association->id);
	for (size_t i = 0; i < 2; i++) { /* each on its own node */
		node_stream_close(a->w->nodes[i].node, a->w->now, a->out[i].stream, 0);
		a->out[i].stream = NULL;
		const struct peer_id *of = node_stream_peer(a->in[i].stream);
		size_t at = peer_id_equal(of, &a->w->nodes[0].id.id) ? 1 : 0;
		node_stream_close(a->w->nodes[at].node, a->w->now, a->in[i].stream, 0);
		a->in[i].stream = NULL;
	}
	apps_free(a, 0);
}

static void to_ourselves_without_a_session(void **state)
{
	(void)state;
	struct apps *a = apps_new(1);
	a->answers = 5000000;
	struct end *e = open_stream(a, 0, 0, 5000000);
	run(a, OV_SEC);
	assert_int_equal(a->in_count, 1);
	assert_whole(e, 5000000);
	assert_whole(&a->in[0], 5000000);
	assert_int_equal(a->w->nodes[0].sent, 0);
	apps_free(a, 0);
}

/* Dials that are given up again and again, more of them than the peer allows streams, while one
 * waits: they use nothing up, and what is dialled when the peer is there arrives. */
static void an_away_peer_is_dialled_for_days(void **state)
{
	(void)state;
	struct apps *a = apps_new(2);
	wire_acquaint(a->w, 0, 1);
	wire_stop(a->w, 1);
	struct node *n = a->w->nodes[0].node;
	struct node_streams_info info;
	struct end *patient = open_stream(a, 0, 1, 1000);
	for (int i = 0; i < 5000; i++) {
		struct node_stream *s;
		assert_int_equal(
			node_stream_open(n, a->w->now, &a->w->nodes[1].id.id, NULL, &s), OV_OK);
		assert_int_equal(node_stream_write(n, s, (const uint8_t *)"\4echo", 5), 5);
		if (i % 50 == 0)
			run(a, 10 * OV_SEC);
		node_stream_close(n, a->w->now, s, STREAM_CANCELLED);
	}
	assert_true(node_streams_info(n, &a->w->nodes[1].id.id, &info));
	assert_in_range(info.streams, 1, 3);
	wire_start(a->w, 1);
	wire_know(a->w, 1, 0, &a->w->nodes[0].addr, "all");
	struct end *last = open_stream(a, 0, 1, 1000);
	run(a, 400 * OV_SEC); /* it is called by its schedule */
	assert_true(patient->done && last->done);
	assert_in_range(a->in_count, 2, 3);
	apps_free(a, 0);
}

static void a_restarted_peer_ends_them_with_code_1(void **state)
{
	(void)state;
	struct apps *a = apps_new(2);
	wire_acquaint(a->w, 0, 1);
	struct end *e = open_without_end(a, 0, 1, 1000);
	run(a, OV_SEC);
	assert_int_equal(a->in[0].read, 1000);
	node_stream_close(a->w->nodes[1].node, a->w->now, a->in[0].stream, 0);
	a->in[0].stream = NULL;
	wire_stop(a->w, 1);
	wire_start(a->w, 1);
	wire_know(a->w, 1, 0, &a->w->nodes[0].addr, "all");
	e->wants = 2000;
	write_some(a->w, 0, e);
	wire_drain(a->w, 0);
	run(a, 5 * OV_SEC);
	assert_int_equal(e->reset, STREAM_PEER_RESTARTED + 1);
	assert_int_equal(e->stopped, STREAM_PEER_RESTARTED + 1);
	size_t len = 10;
	assert_null(node_stream_reserve(e->stream, &len));
	assert_true(node_stream_at_end(e->stream));
	struct end *again = open_stream(a, 0, 1, 1000);
	a->in_count = 0;
	run(a, 2 * OV_SEC);
	assert_whole(&a->in[0], 1000);
	assert_int_equal(again->reset, 0);
	apps_free(a, 0);
}

/* Its writer knows that all of it arrived, and is gone: the app that was slow still reads it. */
static void what_came_to_its_end_is_read_after_a_restart(void **state)
{
	(void)state;
	struct apps *a = apps_new(2);
	wire_acquaint(a->w, 0, 1);
	a->answers = 5000;
	struct end *e = open_without_end(a, 0, 1, 1000);
	e->reads_late = true;
	run(a, OV_SEC);
	assert_int_equal(e->read, 0);
	node_stream_close(a->w->nodes[1].node, a->w->now, a->in[0].stream, 0);
	a->in[0].stream = NULL;
	wire_stop(a->w, 1);
	wire_start(a->w, 1);
	wire_know(a->w, 1, 0, &a->w->nodes[0].addr, "all");
	e->wants = 2000;
	write_some(a->w, 0, e);
	wire_drain(a->w, 0);
	run(a, 5 * OV_SEC);
	assert_int_equal(e->stopped, STREAM_PEER_RESTARTED + 1);
	assert_int_equal(e->reset, 0);
	assert_false(node_stream_at_end(e->stream));
	e->reads_late = false;
	read_some(a->w, 0, e);
	assert_int_equal(e->read, 5000);
	assert_true(e->at_end);
	apps_free(a, 0);
}

/* Nothing was lost but time: the old run never heard of it. */
static void a_dial_to_a_restarted_peer_arrives(void **state)
{
	(void)state;
	struct apps *a = apps_new(2);
	wire_acquaint(a->w, 0, 1);
	open_stream(a, 0, 1, 10);
	run(a, OV_SEC);
	node_stream_close(a->w->nodes[1].node, a->w->now, a->in[0].stream, 0);
	a->in_count = 0;
	wire_stop(a->w, 1);
	wire_start(a->w, 1);
	wire_know(a->w, 1, 0, &a->w->nodes[0].addr, "all");
	a->answers = 3000;
	struct end *e = open_stream(a, 0, 1, 200000);
	run(a, 5 * OV_SEC);
	assert_int_equal(a->in_count, 1);
	assert_whole(&a->in[0], 200000);
	assert_whole(e, 3000);
	apps_free(a, 0);
}

/* An idle stream costs nothing while its peer sleeps, and goes on when it is back: new keys,
 * another address. */
static void twelve_hours_of_sleep(void **state)
{
	(void)state;
	struct apps *a = apps_new(2);
	wire_acquaint(a->w, 0, 1);
	struct end *e = open_without_end(a, 0, 1, 1000);
	run(a, 5 * OV_SEC);
	assert_int_equal(a->in[0].read, 1000);
	uint64_t sent = a->w->nodes[0].sent;
	wire_run(a->w, 12 * 3600 * OV_SEC);
	assert_true(a->w->nodes[0].sent - sent < 10);
	e->wants = 2000;
	write_some(a->w, 0, e);
	wire_drain(a->w, 0);
	run(a, 3 * WIRE_DELAY + OV_MS); /* HS1, HS2, bytes */
	assert_int_equal(a->in[0].read, 2000);
	assert_int_equal(e->reset, 0);
	apps_free(a, 0);
}

static void moves_and_rekeys_in_mid_transfer(void **state)
{
	(void)state;
	struct apps *a = apps_new(2);
	wire_acquaint(a->w, 0, 1);
	a->answers = 3000000;
	struct end *e = open_stream(a, 0, 1, 3000000);
	for (size_t i = 0; i < 20; i++) {
		run(a, 20 * OV_MS);
		wire_set_address(
			a->w, i % 2, addr_v4(203, 0, 113, (uint8_t)(i + 1), (uint16_t)(2000 + i)));
		run(a, 300 * OV_MS);
	}
	run(a, 10 * OV_SEC);
	assert_whole(e, 3000000);
	assert_whole(&a->in[0], 3000000);
	apps_free(a, 0);
}

/* Who only acknowledges learns that its path is dead from nothing but the peer's speaking
 * elsewhere, even if it does not believe that address. */
static void a_listener_finds_its_path_dead(void **state)
{
	(void)state;
	struct apps *a = apps_new(2);
	wire_acquaint(a->w, 0, 1);
	struct end *e = open_without_end(a, 0, 1, 1000);
	run(a, OV_SEC);
	struct ov_addr moved = addr_v4(203, 0, 113, 7, 777);
	a->w->nodes[0].addr = moved; /* its NAT forgot the old mapping */
	for (int i = 0; i < 5000; i++) {
		const struct association *theirs = wire_peer(a->w, 1, 0)->association;
		for (size_t k = 0; k < theirs->path_count; k++)
			if (addr_equal(&theirs->paths[k]->remote, &moved))
				theirs->paths[k]->demoted_until = a->w->now + 30 * OV_SEC;
		e->wants += i % 50 == 0 ? 100 : 0; /* only ACKs come back: no new limits */
		write_some(a->w, 0, e);
		wire_drain(a->w, 0);
		run(a, OV_MS);
	}
	assert_true(wire_uses(a->w, 1, 0, moved));
	assert_int_equal(a->in[0].read, 11000);
	apps_free(a, 0);
}

static uint64_t chance;
static bool loses_5_percent(struct wire *w, struct flight *f)
{
	(void)w;
	(void)f;
	return seeded_next(&chance) % 100 >= 5;
}

static void loss_of_five_percent(void **state)
{
	(void)state;
	struct apps *a = apps_new(2);
	wire_acquaint(a->w, 0, 1);
	a->w->hook = loses_5_percent;
	a->answers = 200000;
	struct end *e = open_stream(a, 0, 1, 500000);
	run(a, 60 * OV_SEC);
	assert_whole(e, 200000);
	assert_whole(&a->in[0], 500000);
	apps_free(a, 0);
}

/* Who breaks the rules loses its streams, and both begin anew. */
static void a_violation_makes_a_new_association(void **state)
{
	(void)state;
	struct apps *a = apps_new(2);
	wire_acquaint(a->w, 0, 1);
	struct end *e = open_without_end(a, 0, 1, 1000);
	run(a, 6 * OV_SEC);
	struct association *theirs = wire_peer(a->w, 0, 1)->association;
	uint64_t id = theirs->id;
	uint8_t plain[256];
	struct wr w = wr_init(plain, sizeof(plain));
	frame_put_number(&w, &(struct number_frame){ .space = 9, .number = 1 });
	frame_put_max(&w, FRAME_MAX_STREAM_DATA, &(struct max_frame){ .stream = 1000001 });
	assert_true(frames_send(a->w->nodes[0].node, a->w->now, wire_peer(a->w, 0, 1), &w, true));
	wire_drain(a->w, 0);
	run(a, OV_SEC);
	assert_int_equal(e->stopped, STREAM_VIOLATION + 1);
	assert_int_equal(a->in[0].reset, STREAM_VIOLATION + 1);
	run(a, 6 * OV_SEC);
	assert_int_not_equal(wire_peer(a->w, 0, 1)->association->id, id);
	assert_int_equal(
		wire_peer(a->w, 0, 1)->association->id, wire_peer(a->w, 1, 0)->association->id);
	size_t before = a->in_count;
	open_stream(a, 0, 1, 700);
	run(a, 2 * OV_SEC);
	assert_int_equal(a->in_count, before + 1);
	assert_whole(&a->in[before], 700);
	apps_free(a, 0);
}

/* Neither a facilitator's client nor anybody else but a contact opens anything. */
static void only_contacts_open_streams(void **state)
{
	(void)state;
	struct apps *a = apps_new(2);
	wire_acquaint(a->w, 0, 1);
	struct node_stream *s;
	struct peer_id nobody = a->w->nodes[0].id.id;
	nobody.bytes[3] ^= 1;
	assert_int_equal(
		node_stream_open(a->w->nodes[0].node, a->w->now, &nobody, NULL, &s), OV_ENOENT);
	open_stream(a, 0, 1, 10);
	run(a, OV_SEC);
	wire_peer(a->w, 1, 0)->contact.source = CONTACT_CLIENT;
	size_t before = a->in_count;
	uint64_t drops = wire_drops(a->w, 1, DROP_GRANT);
	open_stream(a, 0, 1, 10);
	run(a, OV_SEC);
	assert_int_equal(a->in_count, before);
	assert_true(wire_drops(a->w, 1, DROP_GRANT) > drops);
	wire_peer(a->w, 1, 0)->contact.source = CONTACT_ADDED;
	apps_free(a, 0);
}

static void contact_removed_in_mid_stream(void **state)
{
	(void)state;
	struct apps *a = apps_new(2);
	wire_acquaint(a->w, 0, 1);
	struct end *e = open_stream(a, 0, 1, 1u << 20);
	run(a, 60 * OV_MS);
	assert_int_equal(node_contact_remove(a->w->nodes[0].node, &a->w->nodes[1].id.id), OV_OK);
	run(a, 10 * OV_MS);
	assert_true(e->reset > 0);
	apps_free(a, 0);
}

/* One that stays, for it is a facilitator of ours too. */
static void contact_removed_that_is_a_facilitator(void **state)
{
	(void)state;
	struct apps *a = apps_new(2);
	wire_acquaint(a->w, 0, 1);
	struct contact c = { .id = a->w->nodes[1].id.id };
	assert_int_equal(node_facilitator_put(a->w->nodes[0].node, a->w->now, &c, NULL), OV_OK);
	struct end *e = open_without_end(a, 0, 1, 1000);
	run(a, OV_SEC);
	assert_int_equal(a->in[0].read, 1000);
	assert_int_equal(node_contact_remove(a->w->nodes[0].node, &c.id), OV_OK);
	run(a, 10 * OV_MS);
	assert_int_equal(e->reset, STREAM_CANCELLED + 1);
	run(a, 150 * OV_SEC); /* a rekey */
	assert_int_equal(a->in[0].reset, STREAM_PEER_RESTARTED + 1);
	apps_free(a, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_stream_calls_and_carries),
		cmocka_unit_test(both_call_at_one_time_and_no_stream_is_lost),
		cmocka_unit_test(to_ourselves_without_a_session),
		cmocka_unit_test(an_away_peer_is_dialled_for_days),
		cmocka_unit_test(a_restarted_peer_ends_them_with_code_1),
		cmocka_unit_test(what_came_to_its_end_is_read_after_a_restart),
		cmocka_unit_test(a_dial_to_a_restarted_peer_arrives),
		cmocka_unit_test(twelve_hours_of_sleep),
		cmocka_unit_test(moves_and_rekeys_in_mid_transfer),
		cmocka_unit_test(a_listener_finds_its_path_dead),
		cmocka_unit_test(loss_of_five_percent),
		cmocka_unit_test(a_violation_makes_a_new_association),
		cmocka_unit_test(only_contacts_open_streams),
		cmocka_unit_test(contact_removed_in_mid_stream),
		cmocka_unit_test(contact_removed_that_is_a_facilitator),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
