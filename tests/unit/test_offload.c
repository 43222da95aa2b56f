/* offload: segments against a reference made packet by packet, checksums against a naive sum. */
#include "inner_packets.h"

#define PACKET_MAX 65536

static void checksum_matches_naive_sum(void **state)
{
	(void)state;
	uint8_t data[300];
	uint64_t seed = 1;
	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)test_random(&seed);
	memset(data + 100, 0xff, 64);
	for (size_t from = 0; from < 20; from++) {
		for (size_t len = 0; from + len <= sizeof(data); len++) {
			uint16_t want = naive_sum(data + from, len, 0xfff0);
			uint16_t got =
				(uint16_t)~checksum_fold(checksum_add(0xfff0, data + from, len));
			assert_int_equal(got, want);
		}
	}
	static const uint8_t rfc1071[] = { 0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7 };
	assert_int_equal(checksum_fold(checksum_add(0, rfc1071, 8)), (uint16_t)~0xddf2);
}

static enum gso_type gso_of(const struct inner_spec *s)
{
	if (s->protocol == 17)
		return GSO_UDP;
	return s->version == 4 ? GSO_TCPV4 : GSO_TCPV6;
}

/* What segment number n of a super packet must be, built from the specification of the stream. */
static size_t reference(uint8_t *out, const struct inner_spec *whole, size_t mss, size_t n)
{
	struct inner_spec s = *whole;
	size_t done = n * mss;
	bool last = done + mss >= whole->payload;
	s.payload = last ? whole->payload - done : mss;
	s.seq += (uint32_t)done;
	s.ip_id = (uint16_t)(s.ip_id + n);
	if (n > 0)
		s.flags &= 0x7f; /* CWR */
	if (!last)
		s.flags &= 0xf6; /* FIN, PSH */
	return inner_build(out, &s);
}

static void check_split(const struct inner_spec *s, size_t mss, bool partial)
{
	static uint8_t packet[PACKET_MAX], want[PACKET_MAX];
	size_t len = inner_build(packet, s);
	struct ip_packet p = inner_partial(packet, len, gso_of(s), mss);
	p.partial = partial;

	struct split sp;
	assert_true(split_init(&sp, &p));
	uint8_t *seg;
	size_t seg_len, n = 0;
	bool is_partial;
	while (split_next(&sp, &seg, &seg_len, &is_partial)) {
		size_t want_len = reference(want, s, mss, n++);
		if (!partial)
			inner_seal(want, want_len);
		assert_int_equal(seg_len, want_len);
		assert_memory_equal(seg, want, want_len); /* partial: the field is 0 */
		assert_int_equal(is_partial, partial);
		static uint8_t copy[PACKET_MAX]; /* the receiver's side of the flag */
		memcpy(copy, seg, seg_len);
		struct ip_packet r = { .data = copy, .len = seg_len };
		if (is_partial) {
			assert_true(checksum_begin(&r));
			checksum_complete(&r);
			assert_false(r.partial);
		}
		assert_true(inner_valid(copy, seg_len));
	}
	assert_int_equal(n, (s->payload + mss - 1) / mss);
}

static void split_is_what_the_sender_would_have_sent(void **state)
{
	(void)state;
	uint64_t seed = 7;
	static const uint8_t flags[] = { 0x10, 0x18, 0x19, 0x90, 0x99, 0x11, 0x50 };
	for (int round = 0; round < 3000; round++) {
		struct inner_spec s = { .version = test_random(&seed) % 2 ? 4 : 6,
			.protocol = test_random(&seed) % 3 ? 6 : 17,
			.flags = flags[test_random(&seed) % sizeof(flags)],
			.options = (uint8_t)(test_random(&seed) % 11 * 4),
			.source_port = 1234,
			.ip_id = (uint16_t)test_random(&seed),
			.seq = (uint32_t)test_random(&seed),
			.payload = 1 + test_random(&seed) % (round % 50 ? 6000 : 65000) };
		/* also segments far shorter than the header that is written over them */
		size_t mss = 1 + test_random(&seed) % (round % 7 ? 1448 : 30);
		check_split(&s, mss, test_random(&seed) % 4 != 0);
	}
}

static void lone_packet_is_passed_with_its_flag(void **state)
{
	(void)state;
	uint8_t packet[200];
	struct inner_spec s = { .version = 6, .protocol = 17, .payload = 33, .source_port = 5 };
	size_t len = inner_build(packet, &s);
	struct ip_packet p = inner_partial(packet, len, GSO_NONE, 0);
	struct split sp;
	uint8_t *seg;
	size_t seg_len;
	bool partial;
	assert_true(split_init(&sp, &p));
	assert_true(split_next(&sp, &seg, &seg_len, &partial));
	assert_true(partial);
	assert_int_equal(load_be16(seg + 46), 0);
	assert_false(split_next(&sp, &seg, &seg_len, &partial));

	inner_seal(packet, len); /* complete: untouched, not partial */
	uint8_t before[200];
	memcpy(before, packet, len);
	p.partial = false;
	assert_true(split_init(&sp, &p));
	assert_true(split_next(&sp, &seg, &seg_len, &partial));
	assert_false(partial);
	assert_memory_equal(seg, before, len);
}

/* A sum that covers something else than the packet's own TCP or UDP header is completed here. */
static void foreign_partial_sum_is_completed(void **state)
{
	(void)state;
	uint8_t packet[200];
	struct inner_spec s = { .version = 6, .protocol = 17, .payload = 100, .source_port = 5 };
	size_t len = inner_build(packet, &s);
	struct ip_packet p = {
		.data = packet, .len = len, .partial = true, .csum_start = 60, .csum_offset = 10
	};
	uint16_t want = (uint16_t)~naive_sum(packet + 60, len - 60, 0);
	struct split sp;
	uint8_t *seg;
	size_t seg_len;
	bool partial;
	assert_true(split_init(&sp, &p));
	assert_true(split_next(&sp, &seg, &seg_len, &partial));
	assert_false(partial);
	assert_int_equal(load_be16(seg + 70), want);
}

/* A routing header changes the pseudo header: never marked partial, never accepted as partial. */
static void routing_header_is_no_transport(void **state)
{
	(void)state;
	uint8_t packet[200];
	struct inner_spec s = { .version = 6, .protocol = 17, .payload = 50, .source_port = 5 };
	size_t len = inner_build(packet, &s);
	for (int next = 0; next < 256; next++) {
		uint8_t with[220];
		memcpy(with, packet, 40);
		memset(with + 40, 0, 8);
		with[6] = (uint8_t)next;
		with[40] = 17;
		memcpy(with + 48, packet + 40, len - 40);
		store_be16(with + 4, (uint16_t)(len - 40 + 8));
		struct ip_packet p = { .data = with, .len = len + 8 };
		bool skipped = next == 0 || next == 60;
		bool udp = next == 17 && load_be16(with + 44) == len - 32;
		assert_int_equal(checksum_begin(&p), skipped || udp);
		if (skipped)
			assert_int_equal(p.csum_start, 48);
	}
}

static void lies_are_refused(void **state)
{
	(void)state;
	static uint8_t packet[4000];
	struct inner_spec s = { .version = 6, .protocol = 6, .flags = 0x10, .payload = 3000 };
	size_t len = inner_build(packet, &s);
	struct ip_packet good = inner_partial(packet, len, GSO_TCPV6, 1000), p;
	struct split sp;
	assert_true(split_init(&sp, &good));
#define REFUSED(change)                            \
	do {                                       \
		p = good;                          \
		change;                            \
		assert_false(split_init(&sp, &p)); \
	} while (0)
	REFUSED(p.segment = 0);
	REFUSED(p.gso = GSO_TCPV4);
	REFUSED(p.gso = GSO_UDP);
	REFUSED(p.gso = 77);
	REFUSED(p.len--);
	REFUSED(p.len = 59);
	REFUSED(p.len = 0);
	REFUSED(p.csum_start++);
	REFUSED(p.csum_offset = 6);
	REFUSED(packet[52] = 0x40); /* data offset below 20 bytes */
	packet[52] = 0x50;
	REFUSED(packet[0] = 0x50);
	packet[0] = 0x60;
	assert_true(split_init(&sp, &good));
	p = (struct ip_packet){
		.data = packet, .len = 60, .partial = true, .csum_start = 50, .csum_offset = 9
	};
	assert_false(split_init(&sp, &p)); /* the field would lie behind the packet */
	p.csum_offset = 8;
	assert_true(split_init(&sp, &p));
#undef REFUSED
}

static void udp_never_sends_zero_checksum(void **state)
{
	(void)state;
	uint8_t packet[64];
	struct inner_spec s = { .version = 6, .protocol = 17, .payload = 2 };
	size_t len = inner_build(packet, &s);
	store_be16(packet + 48, 0);
	/* choose the payload so that the sum comes out as 0 */
	store_be16(packet + 48,
		(uint16_t)~naive_sum(packet + 40, len - 40, naive_pseudo(packet, len)));
	struct ip_packet p = inner_partial(packet, len, GSO_NONE, 0);
	checksum_complete(&p);
	assert_int_equal(load_be16(packet + 46), 0xffff);
	assert_true(inner_valid(packet, len));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(checksum_matches_naive_sum),
		cmocka_unit_test(split_is_what_the_sender_would_have_sent),
		cmocka_unit_test(lone_packet_is_passed_with_its_flag),
		cmocka_unit_test(foreign_partial_sum_is_completed),
		cmocka_unit_test(routing_header_is_no_transport),
		cmocka_unit_test(lies_are_refused),
		cmocka_unit_test(udp_never_sends_zero_checksum),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
