/* Two transports and a link: bytes exact and in order through loss, reordering, repetition, bottle-
 * necks, path changes and sleep; limits, resets and stops; what a hostile peer may cost. */
#include "core/transport_state.h"

#include "tests/unit/transport_link.h"

static const struct link_config plain = { .delay = 20 * OV_MS };

static bool all_read(const struct link *l)
{
	for (int i = 0; i < 2; i++)
		for (size_t id = 0; id < LINK_FLOWS; id++) {
			const struct app_stream *s = &l->ends[i].streams[id];
			if (s->used && !s->ended)
				return false;
			if (s->used && s->read != l->ends[!i].streams[id].wants)
				return false;
		}
	return true;
}

static bool all_gone(const struct link *l)
{
	return all_read(l) && transport_stream_count(l->ends[0].t) == 0 &&
	       transport_stream_count(l->ends[1].t) == 0;
}

static void a_stream_there_and_back(void **state)
{
	(void)state;
	struct link *l = link_new(1, &plain);
	l->ends[1].answers = 5000;
	ov_time began = l->now;
	uint64_t id = link_open(l, 0, 3000);
	assert_true(link_run(l, OV_SEC, all_read));
	assert_true(l->now - began <= 45 * OV_MS); /* a round trip */
	assert_int_equal(l->ends[1].streams[id].read, 3000);
	assert_true(link_run(l, OV_SEC, all_gone));
	assert_int_equal(
		transport_deadline(l->ends[0].t, l->now), OV_NEVER); /* silence when idle */
	assert_int_equal(transport_deadline(l->ends[1].t, l->now), OV_NEVER);
	link_free(l);
}

static void weather(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 30; seed++) {
		uint64_t s = seed;
		struct link_config c = { .delay = (ov_time)(1 + seeded_below(&s, 200)) * OV_MS,
			.loss = (uint32_t)seeded_below(&s, 300001),
			.repeat = (uint32_t)seeded_below(&s, 100000),
			.jitter = (ov_time)seeded_below(&s, 3) * (ov_time)seeded_below(&s, 50) *
				  OV_MS };
		struct link *l = link_new(seed, &c);
		l->ends[1].answers = seeded_below(&s, 50000);
		for (int i = 0; i < 10; i++)
			link_open(l, 0, seeded_below(&s, 60000));
		for (int i = 0; i < 3; i++)
			link_open(l, 1, seeded_below(&s, 60000));
		l->ends[0].answers = seeded_below(&s, 1000);
		if (!link_run(l, 3600 * OV_SEC, all_gone))
			fail_msg("seed %llu: stuck, loss %u, delay %lld ms",
				(unsigned long long)seed, c.loss, (long long)(c.delay / OV_MS));
		assert_int_equal(l->ends[0].violations + l->ends[1].violations, 0);
		link_free(l);
	}
}

/* 100 Mbit/s, 40 ms, a queue of one BDP. */
static const struct link_config bottle = { .delay = 20 * OV_MS, .rate = 12500000, .queue = 500000 };

static double mbit_of(struct link *l, uint64_t bytes)
{
	ov_time began = l->now;
	link_open(l, 0, bytes);
	assert_true(link_run(l, 600 * OV_SEC, all_gone));
	return (double)bytes * 8 / ((double)(l->now - began) / (double)OV_SEC) / 1e6;
}

static void a_bottleneck_is_filled(void **state)
{
	(void)state;
	struct link *l = link_new(3, &bottle);
	double mbit = mbit_of(l, 25000000);
	print_message("100 Mbit/s, 40 ms: %.1f Mbit/s, %llu lost of %llu\n", mbit,
		(unsigned long long)transport_info(l->ends[0].t).lost_packets,
		(unsigned long long)transport_info(l->ends[0].t).sent_packets);
	assert_true(mbit > 80);
	assert_true(transport_info(l->ends[0].t).lost_packets < 50); /* slow start ends in time */
	link_free(l);
}

static void one_percent_lost(void **state)
{
	(void)state;
	struct link_config c = bottle;
	c.loss = 10000;
	c.delay = 25 * OV_MS;
	struct link *l = link_new(4, &c);
	double mbit = mbit_of(l, 10000000);
	print_message("1 %% lost, 50 ms: %.1f Mbit/s\n", mbit);
	assert_true(mbit > 2); /* Mathis: 1452 * 8 / 0.05 * 1.22 / sqrt(0.01) = 2.8 for Reno */
	link_free(l);
}

static void streams_share(void **state)
{
	(void)state;
	struct link *l = link_new(5, &bottle);
	for (int i = 0; i < 1000; i++)
		link_open(l, 0, 1000000);
	link_run(l, 8 * OV_SEC, NULL);
	uint64_t least = UINT64_MAX, sum = 0;
	for (size_t id = 0; id < 2000; id += 2) {
		uint64_t got = l->ends[1].streams[id].read;
		least = got < least ? got : least;
		sum += got;
	}
	print_message("1000 streams in 8 s: mean %llu, least %llu bytes\n",
		(unsigned long long)(sum / 1000), (unsigned long long)least);
	assert_true(least > sum / 2000);
	link_free(l);
}

static void who_is_important_goes_first(void **state)
{
	(void)state;
	struct link *l = link_new(6, &bottle);
	link_open(l, 0, 100000000);
	link_run(l, 2 * OV_SEC, NULL);
	uint64_t id = 0;
	assert_int_equal(transport_open(l->ends[0].t, l->now, &id), OV_OK);
	transport_set_priority(l->ends[0].t, id, 0);
	l->ends[0].streams[id] = (struct app_stream){ .used = true, .wants = 200000 };
	link_write(l, 0, id);
	ov_time began = l->now;
	while (l->ends[1].streams[id].read < 200000 && l->now - began < 5 * OV_SEC)
		link_run(l, 5 * OV_MS, NULL);
	assert_true(l->now - began < 200 * OV_MS);
	link_free(l);
}

/* ---- paths ---- */

static void another_path_in_mid_stream(void **state)
{
	(void)state;
	struct link *l = link_new(7, &bottle);
	uint64_t id = link_open(l, 0, 10000000);
	for (uint8_t i = 1; i <= 20; i++) {
		link_run(l, 50 * OV_MS, NULL);
		uint64_t before = l->ends[1].streams[id].read;
		l->config.cut =
			i % 3 == 0; /* what is sent on the old one until it is left is lost */
		link_run(l, 10 * OV_MS, NULL);
		l->config.cut = false;
		link_use(l, i, i % 2 ? 1280 : LINK_MAX);
		for (int k = 0; k < 2; k++)
			transport_path_died(l->ends[k].t, i);
		ov_time began = l->now;
		while (l->ends[1].streams[id].read == before && l->now - began < OV_SEC)
			link_run(l, OV_MS, NULL);
		assert_true(l->now - began <= 45 * OV_MS); /* on the new one at once */
	}
	assert_true(link_run(l, 60 * OV_SEC, all_gone));
	link_free(l);
}

/* Nobody says that the old one died, but it does not answer; or it answers again. */
static void after_a_silence_at_once(void **state)
{
	(void)state;
	for (int way = 0; way < 2; way++) {
		struct link *l = link_new(15, &bottle);
		uint64_t id = link_open(l, 0, 10000000);
		link_run(l, 300 * OV_MS, NULL);
		l->config.cut = true;
		link_run(l, 1100 * OV_MS, NULL); /* the timer is at a second or so */
		l->config.cut = false;
		uint64_t before = l->ends[1].streams[id].read;
		if (way == 0)
			link_use(l, 1, LINK_MAX);
		for (int k = 0; k < 2; k++)
			transport_path_answers(l->ends[k].t, l->now, way == 0 ? 2 : 1, 40 * OV_MS);
		link_run(l, 85 * OV_MS,
			NULL); /* what arrived of old is said first: two round trips */
		assert_true(l->ends[1].streams[id].read > before);
		assert_true(link_run(l, 60 * OV_SEC, all_gone));
		link_free(l);
	}
}

/* The first packets of a new path are lost when its network is not up yet: no congestion. */
static void a_path_that_works_a_moment_later_is_fast(void **state)
{
	(void)state;
	struct link *l = link_new(16, &bottle);
	uint64_t id = link_open(l, 0, 50000000);
	link_run(l, 300 * OV_MS, NULL);
	l->config.cut = true;
	link_use(l, 1, LINK_MAX);
	for (int k = 0; k < 2; k++)
		transport_path_died(l->ends[k].t, 1);
	link_run(l, 10 * OV_MS, NULL);
	l->config.cut = false;
	uint64_t before = l->ends[1].read;
	link_run(l, 2 * OV_SEC, NULL);
	assert_true(l->ends[1].read - before > 12500000); /* half of what the link carries */
	(void)id;
	link_free(l);
}

/* Nothing for hours: no reset, and the first bytes come with the first contact. */
static void hours_of_sleep(void **state)
{
	(void)state;
	struct link *l = link_new(8, &plain);
	uint64_t id = link_open(l, 0, 300000);
	link_run(l, 30 * OV_MS, NULL);
	for (int i = 0; i < 2; i++)
		transport_use_path(l->ends[i].t, l->now, NULL);
	while (l->count)
		free(link_pop(l));
	link_run(l, 12 * 3600 * OV_SEC, NULL);
	assert_int_equal(l->count, 0);
	uint64_t before = l->ends[1].streams[id].read;
	link_use(l, 0, LINK_MAX);
	ov_time began = l->now;
	while (l->ends[1].streams[id].read == before && l->now - began < 10 * OV_SEC)
		link_run(l, OV_MS, NULL);
	assert_true(l->now - began <= 45 * OV_MS);
	assert_true(link_run(l, 10 * OV_SEC, all_gone));
	assert_false(l->ends[0].streams[id].reset || l->ends[1].streams[id].reset);
	link_free(l);
}

/* ---- ends ---- */

static void a_reader_that_does_not_read_costs_a_window(void **state)
{
	(void)state;
	struct link *l = link_new(9, &plain);
	l->ends[1].reads_nothing = true;
	for (int i = 0; i < 10; i++)
		link_open(l, 0, 10000000);
	link_run(l, 20 * OV_SEC, NULL);
	uint64_t wrote = 0;
	for (size_t id = 0; id < 20; id += 2)
		wrote += l->ends[0].streams[id].wrote;
	assert_true(wrote < 12000000); /* the windows, and what waits before them */
	l->ends[1].reads_nothing = false;
	for (size_t id = 0; id < 20; id += 2)
		link_read(l, 1, id);
	assert_true(link_run(l, 100 * OV_SEC, all_gone));
	link_free(l);
}

/* The windows of a few streams are as much as the association grants at first. */
static void who_does_not_read_stops_no_other(void **state)
{
	(void)state;
	struct link *l = link_new(9, &plain);
	l->ends[1].reads_nothing = true;
	for (int i = 0; i < 10; i++)
		link_open(l, 0, 10000000);
	link_run(l, 5 * OV_SEC, NULL);
	uint64_t id = link_open(l, 0, 1000);
	link_run(l, 5 * OV_SEC, NULL);
	l->ends[1].reads_nothing = false;
	link_read(l, 1, id);
	assert_int_equal(l->ends[1].streams[id].read, 1000);
	for (size_t other = 0; other < 20; other += 2)
		link_read(l, 1, other);
	assert_true(link_run(l, 100 * OV_SEC, all_gone));
	link_free(l);
}

/* Two limits under way: the ACK of the first says nothing of the second, which is lost. */
static void a_lost_limit_is_said_again(void **state)
{
	(void)state;
	struct link *l = link_new(1, &plain);
	struct end *reader = &l->ends[1];
	uint8_t first[LINK_MAX], second[LINK_MAX];
	size_t len;
	uint64_t id = link_open(l, 0, 2000000);
	reader->reads_nothing = true;
	(void)link_run(l, OV_SEC, NULL);
	assert_non_null(transport_peek(reader->t, id, &len));
	assert_int_equal(len, STREAM_WINDOW);
	struct wr w = wr_init(first, sizeof(first)), lost = wr_init(second, sizeof(second));
	transport_consume(reader->t, l->now, id, STREAM_WINDOW / 2);
	assert_true(transport_poll(reader->t, l->now, &w));
	link_transmit(l, 1, first, wr_len(&w));
	transport_consume(reader->t, l->now, id, STREAM_WINDOW / 2);
	assert_true(transport_poll(reader->t, l->now, &lost));
	reader->streams[id].read = STREAM_WINDOW;
	reader->reads_nothing = false;
	assert_true(link_run(l, 10 * OV_SEC, all_read));
	link_free(l);
}

static bool none_left(const struct link *l)
{
	return transport_stream_count(l->ends[0].t) + transport_stream_count(l->ends[1].t) == 0;
}

/* In mid-stream, both ways, with loss; and the association's credit is whole afterwards. */
/* A thousand streams that were used and are quiet: state, and no room for bytes. */
static void a_quiet_stream_keeps_no_room(void **state)
{
	(void)state;
	struct link *l = link_new(14, &plain);
	for (int i = 0; i < 1000; i++) {
		uint64_t id = 0;
		assert_int_equal(transport_open(l->ends[0].t, l->now, &id), OV_OK);
		uint8_t hello[100] = { 0 };
		assert_int_equal(transport_write(l->ends[0].t, id, hello, sizeof(hello)), 100);
	}
	for (int k = 0; k < 2; k++)
		l->ends[k].reads_nothing = true;
	link_run(l, OV_SEC, NULL);
	for (uint64_t id = 0; id < 2000; id += 2)
		transport_consume(l->ends[1].t, l->now, id, 100);
	link_run(l, 4 * OV_SEC, NULL);
	assert_int_equal(transport_stream_count(l->ends[1].t), 1000);
	for (int k = 0; k < 2; k++) {
		for (const struct stream *s = l->ends[k].t->first_open; s; s = s->next_open)
			assert_true(s->in.ring.room + s->out.ring.room + s->in.have.room +
					    s->out.lost.room + s->out.acknowledged.room ==
				    0);
		assert_int_equal(transport_deadline(l->ends[k].t, l->now), OV_NEVER);
		assert_null(l->ends[k].t->active->recovery.sent);
	}
	assert_true(sizeof(struct stream) <= 512);
	link_free(l);
}

static void resets_and_stops(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 30; seed++) {
		struct link_config c = { .delay = 10 * OV_MS, .loss = 100000 };
		struct link *l = link_new(seed, &c);
		uint64_t s = seed;
		for (int i = 0; i < 40; i++) {
			uint64_t id = link_open(l, i % 2, 200000);
			link_run(l, (ov_time)seeded_below(&s, 30) * OV_MS, NULL);
			int who = (int)seeded_below(&s, 2);
			if (seeded_below(&s, 2))
				transport_reset(l->ends[who].t, id, 300);
			else
				transport_stop(l->ends[who].t, l->now, id, 301);
			if (seeded_below(&s, 2))
				transport_stop(l->ends[!who].t, l->now, id, 302);
			transport_finish(l->ends[0].t, id);
			transport_finish(l->ends[1].t, id);
		}
		if (!link_run(l, 600 * OV_SEC, none_left))
			fail_msg("seed %llu: %zu and %zu left", (unsigned long long)seed,
				transport_stream_count(l->ends[0].t),
				transport_stream_count(l->ends[1].t));
		l->config.loss = 0;
		memset(l->ends[0].streams, 0, sizeof(l->ends[0].streams));
		memset(l->ends[1].streams, 0, sizeof(l->ends[1].streams));
		link_open(l, 0, 5000000); /* five times the association's first window */
		assert_true(link_run(l, 60 * OV_SEC, all_gone));
		assert_int_equal(l->ends[0].violations + l->ends[1].violations, 0);
		link_free(l);
	}
}

static void a_stop_reaches_the_writer(void **state)
{
	(void)state;
	struct link *l = link_new(10, &plain);
	uint64_t id = link_open(l, 0, 50000000);
	link_run(l, 100 * OV_MS, NULL);
	transport_stop(l->ends[1].t, l->now, id, 400);
	link_run(l, 50 * OV_MS, NULL);
	assert_true(l->ends[0].streams[id].stopped);
	assert_int_equal(transport_write(l->ends[0].t, id, (const uint8_t *)"x", 1), 0);
	link_free(l);
}

/* ---- a peer that breaks the rules ---- */

static int feed(struct link *l, const struct frame *f)
{
	return transport_on_frame(l->ends[1].t, l->now, f);
}

static struct link *talking(uint64_t *id)
{
	struct link *l = link_new(12, &plain);
	*id = link_open(l, 0, 100000);
	link_run(l, 50 * OV_MS, NULL);
	return l;
}

/* Everything ends at both sides, and nothing of it stays. */
static void expect_violation(struct link *l, uint64_t id, const struct frame *f)
{
	assert_int_equal(feed(l, f), OV_EINVAL);
	assert_true(transport_has_failed(l->ends[1].t));
	link_run(l, 2 * OV_SEC, NULL);
	assert_true(l->ends[1].streams[id].reset);
	assert_true(l->ends[0].streams[id].stopped || l->ends[0].streams[id].reset);
	assert_int_equal(transport_stream_count(l->ends[1].t), 0);
	assert_int_equal(feed(l, f), OV_OK); /* acknowledged, so that it ends */
	link_free(l);
}

static void violations_end_all_streams(void **state)
{
	(void)state;
	uint64_t id;
	struct link *l = talking(&id);
	struct frame f = { .type = FRAME_STREAM };
	f.as.stream = (struct stream_frame){ .stream = 2 * TRANSPORT_STREAMS,
		.data = (const uint8_t *)"" };
	expect_violation(l, id, &f); /* more streams than allowed */

	l = talking(&id);
	f.as.stream.stream = 1; /* of our own side, that we never opened */
	expect_violation(l, id, &f);

	l = talking(&id);
	f.as.stream = (struct stream_frame){
		.stream = id, .offset = UINT32_MAX, .data = (const uint8_t *)"x", .len = 1
	};
	expect_violation(l, id, &f); /* beyond the stream's limit */

	l = talking(&id);
	l->ends[1].reads_nothing = true;
	const struct transport *t = l->ends[1].t;
	f.as.stream = (struct stream_frame){
		.stream = 2, .offset = STREAM_WINDOW - 1, .data = (const uint8_t *)"x", .len = 1
	}; /* within the window of each stream, beyond the sum */
	for (; t->got + STREAM_WINDOW <= t->in_limit; f.as.stream.stream += 2)
		assert_int_equal(feed(l, &f), OV_OK);
	assert_in_range(t->got - t->taken, WINDOW_MAX - ASSOCIATION_WINDOW, WINDOW_MAX);
	expect_violation(l, id, &f);

	l = talking(&id);
	f.as.stream = (struct stream_frame){ .stream = 6, .data = (const uint8_t *)"ab", .len = 2 };
	assert_int_equal(feed(l, &f), OV_OK);
	f.as.stream.data = (const uint8_t *)"aX";
	l->ends[1].reads_nothing = true;
	expect_violation(l, id, &f); /* other bytes than before */

	l = talking(&id);
	f = (struct frame){ .type = FRAME_RESET_STREAM,
		.as.reset = { .stream = id, .final_size = 5 } };
	expect_violation(l, id, &f); /* it was longer already */

	l = talking(&id);
	f = (struct frame){ .type = FRAME_ACK,
		.as.ack = { .space = 0, .count = 1, .ranges = { { 0, UINT32_MAX } } } };
	expect_violation(l, id, &f); /* never sent */
}

/* A stream in each state that RFC 9000 3 knows, as its receiver sees it. */
static uint64_t stream_in_state(struct link *l, int which)
{
	uint64_t id = link_open(l, 0, which == 0 ? 0 : 3000);
	struct transport *t = l->ends[1].t;
	link_run(l, which == 1 ? 20 * OV_MS : 300 * OV_MS, NULL);
	switch (which) {
	case 2: transport_reset(t, id, 7); break;            /* Reset Sent */
	case 3: transport_stop(t, l->now, id, 8); break;     /* it wants no more */
	case 4: transport_release(t, l->now, id, 9); break;  /* the app is gone */
	case 5: transport_reset(l->ends[0].t, id, 5); break; /* both */
	case 6: link_run(l, 5 * OV_SEC, NULL); break;        /* settled */
	}
	return id;
}

/* Sent again and again, and after all else: each state takes it, and the stream goes in the end. */
static void resets_in_every_state(void **state)
{
	(void)state;
	for (int which = 0; which < 7; which++) {
		for (int order = 0; order < 4; order++) {
			struct link *l = link_new(14, &plain);
			uint64_t id = stream_in_state(l, which);
			struct frame reset = { .type = FRAME_RESET_STREAM,
				.as.reset = { .stream = id, .final_size = 3000, .code = 1 } };
			struct frame stop = { .type = FRAME_STOP_SENDING,
				.as.stop = { .stream = id, .code = 2 } };
			if (which == 0)
				reset.as.reset.final_size = 0;
			for (int k = 0; k < 3; k++) {
				if (order != 1)
					assert_int_equal(feed(l, &reset), OV_OK);
				if (order >= 1)
					assert_int_equal(feed(l, &stop), OV_OK);
				link_run(l, order == 3 ? OV_SEC : OV_MS, NULL);
			}
			transport_release(l->ends[0].t, l->now, id, 3);
			transport_release(l->ends[1].t, l->now, id, 3);
			link_run(l, 5 * OV_SEC, NULL);
			assert_int_equal(transport_stream_count(l->ends[1].t), 0);
			assert_int_equal(transport_stream_count(l->ends[0].t), 0);
			assert_false(transport_has_failed(l->ends[1].t));
			link_free(l);
		}
	}
}

static void what_is_only_odd_changes_nothing(void **state)
{
	(void)state;
	uint64_t id;
	struct link *l = talking(&id);
	struct frame f = { .type = FRAME_MAX_DATA,
		.as.max = { .max = 1 } }; /* limits never shrink */
	assert_int_equal(feed(l, &f), OV_OK);
	f = (struct frame){ .type = FRAME_MAX_STREAMS, .as.max = { .max = 0 } };
	assert_int_equal(feed(l, &f), OV_OK);
	f = (struct frame){ .type = FRAME_MAX_STREAM_DATA, .as.max = { .stream = id, .max = 0 } };
	assert_int_equal(feed(l, &f), OV_OK);
	f = (struct frame){
		.type = FRAME_ACK, .as.ack = { .space = 77, .count = 1, .ranges = { { 0, 9 } } }
	}; /* a path that is gone */
	assert_int_equal(feed(l, &f), OV_OK);
	assert_true(link_run(l, 10 * OV_SEC, all_gone));
	link_free(l);
}

/* A packet for each byte, a wide window, and nobody who acknowledges: when no more records fit no
 * packet goes, for it would count as lost at once and go again. */
static void what_cannot_be_remembered_is_not_sent(void **state)
{
	(void)state;
	struct transport *t = transport_new(0, &(struct transport_config){ .is_lower = true });
	const struct transport_path path = { .key = 1, .datagram = 1200 };
	uint64_t id, most = 0;
	uint8_t packet[1200];
	transport_use_path(t, 0, &path);
	assert_int_equal(transport_open(t, 0, &id), OV_OK);
	t->active->congestion.window = 1u << 30;
	t->out_limit = transport_find(t, id)->out_limit = 1u << 30;
	for (; most < UNDER_WAY_MAX + 100; most++) {
		struct wr w = wr_init(packet, sizeof(packet));
		(void)transport_write(t, id, (const uint8_t *)"x", 1);
		if (transport_poll(t, 0, &w) == TRANSPORT_NOTHING)
			break;
	}
	assert_int_equal(most, UNDER_WAY_MAX);
	assert_true(transport_deadline(t, 0) > 0);
	transport_free(t);
}

static void streams_without_end_are_bounded(void **state)
{
	(void)state;
	struct link *l = link_new(13, &plain);
	struct frame f = { .type = FRAME_STREAM };
	for (uint64_t i = 0; i < TRANSPORT_STREAMS; i++) {
		f.as.stream = (struct stream_frame){
			.stream = 2 * i, .data = (const uint8_t *)"x", .len = 1
		};
		assert_int_equal(feed(l, &f), OV_OK);
	}
	assert_int_equal(transport_stream_count(l->ends[1].t), TRANSPORT_STREAMS);
	f.as.stream.stream = 2 * TRANSPORT_STREAMS;
	assert_int_equal(feed(l, &f), OV_EINVAL);
	link_free(l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_stream_there_and_back),
		cmocka_unit_test(weather),
		cmocka_unit_test(a_bottleneck_is_filled),
		cmocka_unit_test(one_percent_lost),
		cmocka_unit_test(streams_share),
		cmocka_unit_test(who_is_important_goes_first),
		cmocka_unit_test(another_path_in_mid_stream),
		cmocka_unit_test(after_a_silence_at_once),
		cmocka_unit_test(a_path_that_works_a_moment_later_is_fast),
		cmocka_unit_test(hours_of_sleep),
		cmocka_unit_test(a_reader_that_does_not_read_costs_a_window),
		cmocka_unit_test(who_does_not_read_stops_no_other),
		cmocka_unit_test(a_lost_limit_is_said_again),
		cmocka_unit_test(a_quiet_stream_keeps_no_room),
		cmocka_unit_test(resets_and_stops),
		cmocka_unit_test(a_stop_reaches_the_writer),
		cmocka_unit_test(violations_end_all_streams),
		cmocka_unit_test(resets_in_every_state),
		cmocka_unit_test(what_is_only_odd_changes_nothing),
		cmocka_unit_test(what_cannot_be_remembered_is_not_sent),
		cmocka_unit_test(streams_without_end_are_bounded),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
