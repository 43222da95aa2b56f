/* coalesce: whatever goes in comes out again byte for byte when the super packets are split, in the
 * order of each flow; and what should merge does. */
#include "inner_packets.h"

#include "overlay/coalesce.h"

#define SEGMENT_MAX 1500
#define STREAM_MAX  4096

struct wire { /* an inner packet on its way, checksum complete */
	size_t len;
	uint8_t bytes[SEGMENT_MAX];
};

static struct wire sent[STREAM_MAX], copy[STREAM_MAX], received[STREAM_MAX];
static size_t sent_count, received_count, super_count;

/* Splits a super packet as the next TUN would and keeps each segment completed. */
static void collect(const struct super_packet *s)
{
	static uint8_t flat[70000];
	struct ip_packet p = s->meta;
	size_t len = 0;
	for (size_t i = 0; i < s->slice_count; i++) {
		memcpy(flat + len, s->slices[i].data, s->slices[i].len);
		len += s->slices[i].len;
	}
	assert_int_equal(len, s->meta.len);
	assert_ptr_equal(s->meta.data, s->slices[0].data);
	assert_true(len <= UINT16_MAX);
	assert_int_equal(s->slice_count > 1, p.gso != GSO_NONE);
	p.data = flat;
	super_count++;

	struct split sp;
	uint8_t *seg;
	size_t seg_len;
	bool partial;
	assert_true(split_init(&sp, &p));
	while (split_next(&sp, &seg, &seg_len, &partial)) {
		assert_true(received_count < STREAM_MAX && seg_len <= SEGMENT_MAX);
		struct wire *w = &received[received_count++];
		w->len = seg_len;
		memcpy(w->bytes, seg, seg_len);
		struct ip_packet one = { .data = w->bytes, .len = seg_len };
		if (partial) {
			assert_true(checksum_begin(&one));
			checksum_complete(&one);
		}
	}
}

static void drain(struct coalesce *c)
{
	for (const struct super_packet *s; (s = coalesce_take(c));)
		collect(s);
}

/* Runs `sent` through c in batches; every second packet comes partial when `partial`. */
static void run(struct coalesce *c, size_t batch, bool partial)
{
	received_count = super_count = 0;
	memcpy(copy, sent, sizeof(sent[0]) * sent_count);
	for (size_t i = 0; i < sent_count; i++) {
		struct ip_packet p = { .data = copy[i].bytes, .len = copy[i].len };
		if (partial && i % 2)
			checksum_begin(&p);
		coalesce_add(c, &p);
		drain(c);
		if (i % batch == batch - 1 || i + 1 == sent_count) {
			coalesce_flush(c);
			drain(c);
		}
	}
}

static void emit(const struct inner_spec *s)
{
	assert_true(sent_count < STREAM_MAX);
	struct wire *w = &sent[sent_count++];
	w->len = inner_build(w->bytes, s);
	inner_seal(w->bytes, w->len);
}

static bool same_flow(const struct wire *a, const struct wire *b)
{
	if (a->bytes[0] >> 4 != b->bytes[0] >> 4 ||
		inner_protocol(a->bytes) != inner_protocol(b->bytes))
		return false;
	size_t at = inner_transport(a->bytes);
	return memcmp(a->bytes + at, b->bytes + at, 4) == 0;
}

/* Each flow's packets in the same order with the same bytes. */
static void check_received(void)
{
	static bool used[STREAM_MAX];
	memset(used, 0, sizeof(used));
	assert_int_equal(received_count, sent_count);
	for (size_t i = 0; i < sent_count; i++) {
		size_t j = 0;
		while (j < received_count && (used[j] || !same_flow(&sent[i], &received[j])))
			j++;
		assert_true(j < received_count);
		used[j] = true;
		assert_int_equal(received[j].len, sent[i].len);
		assert_memory_equal(received[j].bytes, sent[i].bytes, sent[i].len);
	}
}

static struct inner_spec tcp6(uint32_t seq, size_t payload)
{
	return (struct inner_spec){ .version = 6,
		.protocol = 6,
		.flags = 0x10,
		.options = 12,
		.source_port = 1000,
		.seq = seq,
		.payload = payload };
}

static void run_of_segments_is_one_super_packet(void **state)
{
	(void)state;
	for (int version = 4; version <= 6; version += 2) {
		for (int protocol = 6; protocol <= 17; protocol += 11) {
			sent_count = 0;
			for (unsigned i = 0; i < 40; i++) {
				struct inner_spec s = tcp6(i * 1300, i == 39 ? 77 : 1300);
				s.version = version;
				s.protocol = (uint8_t)protocol;
				s.ip_id = (uint16_t)(65530 + i); /* wraps */
				s.flags = i == 39 ? 0x18 : 0x10;
				emit(&s);
			}
			struct coalesce *c = coalesce_new(true);
			run(c, 64, true);
			assert_int_equal(super_count, 1);
			check_received();
			coalesce_free(c);
		}
	}
}

static void udp_merges_only_when_the_interface_takes_it(void **state)
{
	(void)state;
	sent_count = 0;
	for (uint32_t i = 0; i < 10; i++) {
		struct inner_spec s = tcp6(i * 64, 64);
		s.protocol = 17;
		emit(&s);
	}
	struct coalesce *c = coalesce_new(false);
	run(c, 64, false);
	assert_int_equal(super_count, 10);
	check_received();
	coalesce_free(c);
}

/* Each entry changes one thing in the middle packet of three; none may merge across it. */
static void what_differs_does_not_merge(void **state)
{
	(void)state;
	struct {
		size_t at;
		uint8_t xor ;
	} const changes[] = {
		{ 1, 0x10 },       /* traffic class: congestion mark */
		{ 3, 1 },          /* flow label */
		{ 7, 1 },          /* hop limit */
		{ 40 + 7, 1 },     /* sequence */
		{ 40 + 11, 1 },    /* acknowledgement */
		{ 40 + 12, 1 },    /* reserved bits */
		{ 40 + 13, 1 },    /* FIN */
		{ 40 + 13, 2 },    /* SYN */
		{ 40 + 13, 4 },    /* RST */
		{ 40 + 13, 0x20 }, /* URG */
		{ 40 + 13, 0x80 }, /* CWR */
		{ 40 + 13, 0x10 }, /* no ACK */
		{ 40 + 15, 1 },    /* window */
		{ 40 + 19, 1 },    /* urgent pointer */
		{ 40 + 31, 1 },    /* last option byte */
	};
	struct coalesce *c = coalesce_new(true);
	for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
		sent_count = 0;
		for (uint32_t k = 0; k < 3; k++) {
			struct inner_spec s = tcp6(k * 100, 100);
			emit(&s);
		}
		sent[1].bytes[changes[i].at] ^= changes[i].xor ;
		inner_seal(sent[1].bytes, sent[1].len);
		run(c, 8, false);
		if (super_count != 3)
			fail_msg("byte %zu: %zu super packets", changes[i].at, super_count);
		check_received();
	}
	coalesce_free(c);
}

static void wrong_checksum_is_not_repaired(void **state)
{
	(void)state;
	struct coalesce *c = coalesce_new(true);
	for (int protocol = 6; protocol <= 17; protocol += 11) {
		sent_count = 0;
		for (uint32_t k = 0; k < 3; k++) {
			struct inner_spec s = tcp6(k * 100, 100);
			s.protocol = (uint8_t)protocol;
			emit(&s);
		}
		sent[1].bytes[sent[1].len - 1] ^= 1;
		run(c, 8, false);
		assert_int_equal(super_count, 3);
		check_received();
	}
	coalesce_free(c);
}

static void pure_ack_and_push_flush_the_flow(void **state)
{
	(void)state;
	struct coalesce *c = coalesce_new(true);
	sent_count = 0;
	for (uint32_t k = 0; k < 4; k++) {
		struct inner_spec s = tcp6(k * 100, 100);
		s.flags = k == 1 ? 0x18 : 0x10;
		emit(&s);
	}
	run(c, 8, false);
	assert_int_equal(super_count, 2);
	check_received();

	sent_count = 0;
	for (uint32_t k = 0; k < 3; k++) {
		struct inner_spec s = tcp6(100, k == 1 ? 0 : 100);
		s.seq = k == 2 ? 200 : 100;
		emit(&s);
	}
	run(c, 8, false);
	assert_int_equal(super_count, 3);
	check_received();
	coalesce_free(c);
}

static void full_packet_and_full_table_move_on(void **state)
{
	(void)state;
	struct coalesce *c = coalesce_new(true);
	sent_count = 0;
	for (uint32_t k = 0; k < 200; k++) {
		struct inner_spec s = tcp6(k * 1400, 1400);
		emit(&s);
	}
	run(c, 1000, true);
	assert_int_equal(super_count, (200 + 45) / 46); /* 46 x 1400 + 72 < 65535 */
	check_received();

	sent_count = 0;
	for (uint32_t k = 0; k < 200; k++) {
		struct inner_spec s = tcp6(k / 40 * 100, 100);
		s.source_port = (uint16_t)(k % 40); /* more flows than the table holds */
		emit(&s);
	}
	run(c, 1000, true);
	check_received();
	coalesce_free(c);
}

/* A sender: random streams of super packets of several flows, split, interleaved, with noise. */
static void random_streams_survive(void **state)
{
	(void)state;
	for (uint64_t round = 1; round <= 150; round++) {
		uint64_t seed = round;
		struct inner_spec flow[6];
		size_t mss[6];
		for (size_t f = 0; f < 6; f++) {
			flow[f] = tcp6((uint32_t)test_random(&seed), 0);
			flow[f].version = f % 2 ? 4 : 6;
			flow[f].protocol = f < 4 ? 6 : 17;
			flow[f].source_port = (uint16_t)(f + 1);
			flow[f].ip_id = (uint16_t)test_random(&seed);
			flow[f].options = (uint8_t)(test_random(&seed) % 10 * 4);
			mss[f] = 1 + test_random(&seed) % 1380;
		}
		sent_count = 0;
		while (sent_count < 400) {
			size_t f = test_random(&seed) % 6, n = 1 + test_random(&seed) % 60;
			for (size_t k = 0; k < n && sent_count < 400; k++) {
				bool last = k + 1 == n;
				flow[f].payload = last ? test_random(&seed) % (mss[f] + 1) : mss[f];
				flow[f].flags = last && test_random(&seed) % 2 ? 0x18 : 0x10;
				if (test_random(&seed) % 100 == 0)
					flow[f].flags = (uint8_t)test_random(&seed);
				emit(&flow[f]);
				flow[f].seq += (uint32_t)flow[f].payload;
				flow[f].ip_id = (uint16_t)(flow[f].ip_id + 1);
				if (test_random(&seed) % 200 == 0)
					flow[f].seq += 5;
			}
		}
		struct coalesce *c = coalesce_new(round % 3 != 0);
		run(c, 1 + test_random(&seed) % 100, round % 2);
		check_received();
		coalesce_free(c);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(run_of_segments_is_one_super_packet),
		cmocka_unit_test(udp_merges_only_when_the_interface_takes_it),
		cmocka_unit_test(what_differs_does_not_merge),
		cmocka_unit_test(wrong_checksum_is_not_repaired),
		cmocka_unit_test(pure_ack_and_push_flush_the_flow),
		cmocka_unit_test(full_packet_and_full_table_move_on),
		cmocka_unit_test(random_streams_survive),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
