/* The packet filter: one line a case, each rule by at least one case that only it decides. */
#include "overlay/filter.h"

#include "core/bytes.h"
#include "tests/unit/seeded.h"

/* clang-format off */
static const uint8_t own[8]   = { 0xfd, 1, 1, 1, 1, 1, 1, 1 };
static const uint8_t peer[8]  = { 0xfd, 2, 2, 2, 2, 2, 2, 2 };
static const uint8_t third[8] = { 0xfd, 3, 3, 3, 3, 3, 3, 3 };
/* clang-format on */

#define NOW (1000 * OV_SEC)

struct built {
	uint8_t data[160];
	size_t len;
};

/* A packet to build in; lives until 32 more are made. */
static struct built *fresh(const struct built *from)
{
	static struct built ring[32];
	static size_t next;
	struct built *b = &ring[next++ % 32];
	if (from)
		*b = *from;
	else
		memset(b, 0, sizeof(*b));
	return b;
}

static void put_address(uint8_t *out, const uint8_t prefix[8], uint8_t iid)
{
	memcpy(out, prefix, 8);
	memset(out + 8, 0, 8);
	out[15] = iid;
}

/* An IPv6 packet with the given next header and payload. */
static struct built *ip6(const uint8_t from[8], const uint8_t to[8], uint8_t next,
	const uint8_t *payload, size_t len)
{
	struct built *b = fresh(NULL);
	assert_true(40 + len <= sizeof(b->data));
	b->data[0] = 0x60;
	b->len = 40 + len;
	store_be16(b->data + 4, (uint16_t)len);
	b->data[6] = next;
	b->data[7] = 64;
	put_address(b->data + 8, from, 1);
	put_address(b->data + 24, to, 1);
	memcpy(b->data + 40, payload, len);
	return b;
}

static struct built *tcp(const uint8_t from[8], const uint8_t to[8], uint16_t port, uint8_t flags)
{
	uint8_t t[20] = { 0x30, 0x39, (uint8_t)(port >> 8), (uint8_t)port };
	t[12] = 0x50;
	t[13] = flags;
	return ip6(from, to, 6, t, sizeof(t));
}

static struct built *udp(const uint8_t from[8], const uint8_t to[8], uint16_t src, uint16_t dst)
{
	uint8_t u[12] = { (uint8_t)(src >> 8), (uint8_t)src, (uint8_t)(dst >> 8), (uint8_t)dst, 0,
		12 };
	return ip6(from, to, 17, u, sizeof(u));
}

static struct built *icmp(const uint8_t from[8], const uint8_t to[8], uint8_t type, uint16_t id)
{
	uint8_t i[16] = { type, 0, 0, 0, (uint8_t)(id >> 8), (uint8_t)id };
	return ip6(from, to, 58, i, sizeof(i));
}

/* An ICMPv6 error from peer to us that quotes `q`. */
static struct built *quoting(uint8_t type, const struct built *q)
{
	uint8_t i[8 + 120] = { type };
	memcpy(i + 8, q->data, q->len);
	return ip6(peer, own, 58, i, 8 + q->len);
}

/* Puts an extension header in front of the payload. */
static struct built *extend(const struct built *from, uint8_t header, const uint8_t body[8])
{
	struct built *b = fresh(from);
	assert_true(b->len + 8 <= sizeof(b->data));
	memmove(b->data + 48, b->data + 40, b->len - 40);
	memcpy(b->data + 40, body, 8);
	b->data[40] = b->data[6];
	b->data[6] = header;
	b->len += 8;
	store_be16(b->data + 4, (uint16_t)(b->len - 40));
	return b;
}

static struct built *options(const struct built *from, uint8_t header)
{
	return extend(from, header, (const uint8_t[8]){ 0 });
}

static struct built *fragment(const struct built *from, uint16_t offset, bool more, uint32_t id)
{
	uint8_t h[8] = { 0 };
	store_be16(h + 2, (uint16_t)(offset | more));
	store_be32(h + 4, id);
	return extend(from, 44, h);
}

static struct built *cut(const struct built *from, size_t len)
{
	struct built *b = fresh(from);
	b->len = len;
	store_be16(b->data + 4, (uint16_t)(len - 40));
	return b;
}

static struct built *patch(const struct built *from, size_t at, uint8_t value)
{
	struct built *b = fresh(from);
	b->data[at] = value;
	return b;
}

static struct filter *make(size_t flows)
{
	uint64_t seed = 3;
	struct rng rng = { .fill = seeded_fill, .context = &seed };
	return filter_new(flows, own, &rng);
}

static struct grants grants_of(const char *list)
{
	struct grants g = { 0 };
	if (*list)
		assert_int_equal(grants_add_list(&g, list, NULL), OV_OK);
	return g;
}

static enum drop in_at(struct filter *f, ov_time now, const char *allow, const struct built *b)
{
	struct grants g = grants_of(allow);
	enum drop why = filter_inbound(f, now, peer, &g, b->data, b->len);
	grants_fini(&g);
	return why;
}

static enum drop out_at(struct filter *f, ov_time now, const struct built *b)
{
	uint8_t prefix[8] = { 0 };
	enum drop why = filter_outbound(f, now, b->data, b->len, prefix);
	assert_int_equal(memcmp(prefix, b->data + 24, 8) == 0, why == DROP_NONE);
	return why;
}

#define IN(allow, want, packet) \
	assert_string_equal(drop_name(in_at(f, NOW, (allow), (packet))), #want)
#define OUT(want, packet)      assert_string_equal(drop_name(out_at(f, NOW, (packet))), #want)
#define IN_AT(t, want, packet) assert_string_equal(drop_name(in_at(f, (t), "", (packet))), #want)
#define SYN                    0x02
#define ACK                    0x10

static void malformed(void **state)
{
	(void)state;
	struct filter *f = make(64);
	const char *all = "all";
	IN(all, none, tcp(peer, own, 22, SYN));
	IN(all, inner, patch(tcp(peer, own, 22, SYN), 0, 0x45)); /* IPv4 */
	IN(all, inner, patch(tcp(peer, own, 22, SYN), 5, 21));   /* length says more */
	IN(all, inner, patch(tcp(peer, own, 22, SYN), 5, 19));   /* length says less */
	IN(all, inner, cut(tcp(peer, own, 22, SYN), 40 + 19));   /* half a TCP header */
	IN(all, none, cut(udp(peer, own, 1, 2), 40 + 8));
	IN(all, inner, cut(udp(peer, own, 1, 2), 40 + 7));
	IN(all, inner, cut(icmp(peer, own, 128, 1), 40 + 7));
	IN(all, inner, cut(options(tcp(peer, own, 22, SYN), 0), 47)); /* half a hop-by-hop header */
	IN(all, inner,
		patch(options(tcp(peer, own, 22, SYN), 0), 41, 3)); /* longer than the packet */
	IN(all, inner, fragment(fragment(udp(peer, own, 1, 2), 0, true, 1), 0, true, 1));
	struct built eight = *tcp(peer, own, 22, SYN);
	for (int i = 0; i < 8; i++)
		eight = *options(&eight, 60);
	IN(all, none, &eight);
	IN(all, inner, options(&eight, 60)); /* the walk is bounded */
	struct built whole = *tcp(peer, own, 22, SYN);
	struct grants g = grants_of("all");
	for (size_t len = 0; len < whole.len; len++)
		assert_int_equal(filter_inbound(f, NOW, peer, &g, whole.data, len), DROP_INNER);
	filter_free(f);
	filter_free(NULL);
}

static void addresses(void **state)
{
	(void)state;
	struct filter *f = make(64);
	const uint8_t multicast[8] = { 0xff, 2 }, global[8] = { 0x20, 1 };
	IN("all", source, tcp(third, own, 22, SYN));
	IN("all", source, tcp(own, own, 22, SYN)); /* nobody speaks in our name */
	IN("all", source, udp(global, own, 1, 2));
	IN("all", source, patch(tcp(peer, own, 22, SYN), 15, 9)); /* last byte of the /64 counts */
	IN("all", none, patch(tcp(peer, own, 22, SYN), 16, 9));   /* the interface id is theirs */
	IN("all", destination, tcp(peer, third, 22, SYN));
	IN("all", destination, tcp(peer, multicast, 22, SYN));
	IN("all", destination, tcp(peer, peer, 22, SYN));
	IN("all", destination, patch(tcp(peer, own, 22, SYN), 31, 9));
	IN("all", none, patch(tcp(peer, own, 22, SYN), 32, 9)); /* any interface id of ours */
	OUT(none, tcp(own, peer, 22, SYN));
	OUT(none, patch(tcp(own, peer, 22, SYN), 23, 9));
	OUT(source, tcp(peer, third, 22, SYN));
	OUT(source, tcp(global, peer, 22, SYN));
	OUT(destination, tcp(own, own, 22, SYN));
	OUT(destination, udp(own, multicast, 5353, 5353));
	OUT(destination, tcp(own, global, 22, SYN));
	OUT(destination, patch(tcp(own, peer, 22, SYN), 24, 0xfc));
	OUT(inner, patch(tcp(own, peer, 22, SYN), 0, 0x45));
	OUT(inner, patch(tcp(own, peer, 22, SYN), 5, 99));
	filter_free(f);
}

static void tcp_by_grant(void **state)
{
	(void)state;
	struct filter *f = make(64);
	IN("", grant, tcp(peer, own, 22, SYN));
	IN("tcp/22", none, tcp(peer, own, 22, SYN));
	IN("all", none, tcp(peer, own, 22, SYN));
	IN("tcp/23", grant, tcp(peer, own, 22, SYN));
	IN("tcp/5632", grant, tcp(peer, own, 22, SYN));  /* 22 with its bytes swapped */
	IN("tcp/12345", grant, tcp(peer, own, 22, SYN)); /* that is the source port */
	IN("udp/22,icmp,message,relay", grant, tcp(peer, own, 22, SYN));
	IN("", none, tcp(peer, own, 22, SYN | ACK)); /* answer to ours */
	IN("", none, tcp(peer, own, 22, ACK));
	IN("", none, tcp(peer, own, 22, 0x04));        /* RST */
	IN("", grant, tcp(peer, own, 22, SYN | 0xc1)); /* ECN and FIN do not hide a SYN */
	filter_free(f);
}

static void udp_by_grant_or_flow(void **state)
{
	(void)state;
	struct filter *f = make(64);
	IN("", grant, udp(peer, own, 53, 4000));
	IN("udp/4000", none, udp(peer, own, 53, 4000));
	IN("udp/53", grant, udp(peer, own, 53, 4000));
	IN("tcp/4000", grant, udp(peer, own, 53, 4000));
	IN("all", none, udp(peer, own, 53, 4000));
	OUT(none, udp(own, peer, 4000, 53));
	IN_AT(NOW, none, udp(peer, own, 53, 4000));
	IN_AT(NOW, grant, udp(peer, own, 54, 4000));               /* another port of theirs */
	IN_AT(NOW, grant, udp(peer, own, 53, 4001));               /* another of ours */
	IN_AT(NOW, grant, patch(udp(peer, own, 53, 4000), 23, 2)); /* another host of theirs */
	IN_AT(NOW, grant, patch(udp(peer, own, 53, 4000), 39, 2)); /* another address of ours */
	IN_AT(NOW + 120 * OV_SEC, none, udp(peer, own, 53, 4000)); /* theirs do not renew */
	IN_AT(NOW + 120 * OV_SEC + 1, grant, udp(peer, own, 53, 4000));
	assert_int_equal(out_at(f, NOW + 200 * OV_SEC, udp(own, peer, 4000, 53)), DROP_NONE);
	IN_AT(NOW + 320 * OV_SEC, none, udp(peer, own, 53, 4000));
	OUT(none, udp(own, peer, 0,
			  53)); /* an echo whose id looks like these ports is not that flow */
	IN("", grant, icmp(peer, own, 129, 53));
	/* what the peer sent opens nothing */
	IN("udp/7", none, udp(peer, own, 8, 7));
	IN("", grant, udp(peer, own, 8, 7));
	filter_free(f);
}

static void icmp_by_grant_flow_or_quote(void **state)
{
	(void)state;
	struct filter *f = make(64);
	IN("", grant, icmp(peer, own, 128, 7));
	IN("icmp", none, icmp(peer, own, 128, 7));
	IN("all", none, icmp(peer, own, 128, 7));
	IN("icmp", none, icmp(peer, own, 129, 7));
	IN("", grant, icmp(peer, own, 129, 7));
	OUT(none, icmp(own, peer, 129, 7)); /* our reply is no request */
	IN("", grant, icmp(peer, own, 129, 7));
	OUT(none, icmp(own, peer, 128, 7));
	IN("", none, icmp(peer, own, 129, 7));
	IN("", grant, icmp(peer, own, 129, 8));
	IN("", grant, icmp(peer, own, 128, 7)); /* a request is not an answer */
	IN("", grant, patch(icmp(peer, own, 129, 7), 23, 2));
	IN_AT(NOW + 30 * OV_SEC, none, icmp(peer, own, 129, 7));
	IN_AT(NOW + 30 * OV_SEC + 1, grant, icmp(peer, own, 129, 7));
	for (uint8_t type = 1; type <= 4; type++) {
		IN("", none, quoting(type, tcp(own, peer, 22, SYN)));
		IN("all,icmp", grant, quoting(type, tcp(third, peer, 22, SYN)));
		IN("all,icmp", grant, quoting(type, tcp(own, third, 22, SYN)));
		IN("all,icmp", grant, quoting(type, patch(tcp(own, peer, 22, SYN), 0, 0x45)));
		IN("all,icmp", grant, cut(quoting(type, tcp(own, peer, 22, SYN)), 40 + 8 + 39));
		IN("", none, cut(quoting(type, tcp(own, peer, 22, SYN)), 40 + 8 + 40));
	}
	for (unsigned type = 0; type < 256; type++) {
		if ((type >= 1 && type <= 4) || type == 128 || type == 129)
			continue; /* 130 to 132 MLD, 133 to 136 neighbours, 137 redirect, others */
		IN("all,icmp", grant, icmp(peer, own, (uint8_t)type, 7));
		IN("all,icmp", grant, quoting((uint8_t)type, tcp(own, peer, 22, SYN)));
	}
	filter_free(f);
}

static void fragments(void **state)
{
	(void)state;
	struct filter *f = make(64);
	struct built first = *fragment(udp(peer, own, 53, 4000), 0, true, 77);
	struct built later = *fragment(udp(peer, own, 0, 0), 16, true, 77);
	IN("udp/4000", grant, &later); /* before its first */
	IN("all", none, &later);
	IN("", grant, &later); /* and `all` left no trace */
	IN("", grant, &first);
	IN("", grant, &later); /* a refused first opens nothing */
	IN("udp/4000", none, &first);
	IN("", none, &later);
	IN("", none, fragment(udp(peer, own, 0, 0), 16, false, 77));
	IN("", grant, fragment(udp(peer, own, 0, 0), 16, true, 78));
	IN("", grant, patch(&later, 23, 2)); /* another source */
	IN("", grant, patch(&later, 39, 2)); /* another destination */
	IN("", grant, options(&later, 0));   /* an option that its first did not have */
	IN_AT(NOW + 5 * OV_SEC, none, &later);
	IN_AT(NOW + 5 * OV_SEC + 1, grant, &later);
	IN("all", inner, fragment(cut(udp(peer, own, 53, 4000), 47), 0, true, 79));   /* no ports */
	IN("tcp/22", inner, fragment(cut(tcp(peer, own, 22, SYN), 52), 0, true, 80)); /* no flags */
	IN("", grant, fragment(tcp(peer, own, 22, SYN), 0, true, 81));
	IN("tcp/22", none, fragment(tcp(peer, own, 22, SYN), 0, true, 81));
	IN("udp/4000", none, fragment(udp(peer, own, 53, 4000), 0, false, 82)); /* atomic: whole */
	IN("", grant, fragment(udp(peer, own, 0, 0), 16, false, 82)); /* so nothing follows it */
	OUT(none,
		fragment(udp(own, peer, 5000, 53), 0, true, 1)); /* ours open a flow as any other */
	OUT(none, fragment(udp(own, peer, 6000, 53), 16, false, 1)); /* no ports here */
	IN("", none, udp(peer, own, 53, 5000));
	IN("", grant, udp(peer, own, 53, 6000));
	filter_free(f);
}

static void the_rest_only_by_all(void **state)
{
	(void)state;
	struct filter *f = make(64);
	static const uint8_t headers[] = { 0, 43, 60 };
	for (size_t i = 0; i < sizeof(headers); i++) {
		struct built b = *options(tcp(peer, own, 22, SYN), headers[i]);
		IN("tcp/22,udp/22,icmp,message,relay,introduce,store,exit", grant, &b);
		IN("all", none, &b);
		IN("tcp/22", grant, options(tcp(peer, own, 22, ACK), headers[i]));
		IN("all", none, options(fragment(tcp(peer, own, 22, SYN), 0, true, 5), headers[i]));
	}
	static const uint8_t body[20];
	for (unsigned next = 0; next < 256; next++) {
		if (next == 0 || next == 6 || next == 17 || next == 43 || next == 44 ||
			next == 58 || next == 60)
			continue;
		IN("tcp/1,udp/1,icmp", grant, ip6(peer, own, (uint8_t)next, body, 20));
		IN("all", none, ip6(peer, own, (uint8_t)next, body, 20));
	}
	filter_free(f);
}

static void parse_says_where(void **state)
{
	(void)state;
	struct inner in;
	struct built b = *options(fragment(udp(peer, own, 1, 2), 1448, true, 0xdeadbeef), 0);
	assert_true(inner_parse(&in, b.data, b.len));
	assert_int_equal(in.protocol, 17);
	assert_int_equal(in.transport, 56);
	assert_int_equal(in.fragment_offset, 1448);
	assert_int_equal(in.fragment_id, 0xdeadbeef);
	assert_true(in.extended && in.fragmented && in.more_fragments);
	b = *fragment(options(udp(peer, own, 1, 2), 60), 1448, false, 1);
	assert_true(inner_parse(&in, b.data, b.len)); /* the bytes of a later one are not headers */
	assert_int_equal(in.protocol, 60);
	assert_int_equal(in.transport, 48);
	b = *tcp(peer, own, 22, SYN);
	assert_true(inner_parse(&in, b.data, b.len));
	assert_int_equal(in.protocol, 6);
	assert_int_equal(in.transport, 40);
	assert_false(in.extended || in.fragmented || in.more_fragments);
	b = *cut(&b, 40);
	assert_true(inner_parse(&in, b.data, b.len)); /* empty, but well-formed */
	assert_int_equal(in.transport, 40);
}

/* What answers flow i of the flood: its ports are the two halves of 0x10000 + i. */
static const struct built *answer_to(uint32_t i)
{
	uint32_t both = 0x10000 + i;
	return udp(peer, own, (uint16_t)both, (uint16_t)(both >> 16));
}

/* A flood of flows leaves the table as large as it was, and those we use alive. */
static void flood(void **state)
{
	(void)state;
	struct filter *f = make(16384);
	OUT(none, udp(own, peer, 1, 1));
	struct built b = *udp(own, peer, 0, 0);
	uint8_t prefix[8];
	const uint32_t flows = 1000000;
	for (uint32_t i = 0; i < flows; i++) {
		store_be32(b.data + 40, 0x10000 + i);
		assert_int_equal(filter_outbound(f, NOW + i, b.data, b.len, prefix), DROP_NONE);
	}
	struct grants none = { 0 };
	unsigned old = 0;
	for (uint32_t i = 0; i < flows; i += i < flows - 1100 ? 100 : 1) {
		const struct built *r = answer_to(i);
		bool live =
			filter_inbound(f, NOW + flows, peer, &none, r->data, r->len) == DROP_NONE;
		if (i >= flows - 1000)
			assert_true(live);
		else
			old += live;
	}
	assert_in_range(old, 0, 16384 / 100 + 200); /* what lives is bounded by the table */
	IN("", grant, udp(peer, own, 1, 1));
	/* a peer that floods us with fragments pushes out none of our flows */
	struct built fr = *fragment(udp(peer, own, 1, 2), 0, true, 0);
	struct grants g = grants_of("udp/2");
	for (uint32_t i = 0; i < 100000; i++) {
		store_be32(fr.data + 44, i);
		assert_int_equal(
			filter_inbound(f, NOW + flows, peer, &g, fr.data, fr.len), DROP_NONE);
	}
	for (uint32_t i = flows - 1000; i < flows; i++) {
		const struct built *r = answer_to(i);
		assert_int_equal(
			filter_inbound(f, NOW + flows, peer, &none, r->data, r->len), DROP_NONE);
	}
	filter_free(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(malformed),
		cmocka_unit_test(addresses),
		cmocka_unit_test(tcp_by_grant),
		cmocka_unit_test(udp_by_grant_or_flow),
		cmocka_unit_test(icmp_by_grant_flow_or_quote),
		cmocka_unit_test(fragments),
		cmocka_unit_test(the_rest_only_by_all),
		cmocka_unit_test(parse_says_where),
		cmocka_unit_test(flood),
	};
	return cmocka_run_group_tests_name("filter", tests, NULL, NULL);
}
