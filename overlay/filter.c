/* The one hook between session and interface. Deny by default; a packet passes by its addresses and
 * then by a grant or as the answer to something that we sent.
 *
 * TCP needs no state: only a SYN without ACK opens a connection, and what else arrives is for the
 * kernel's own table to judge. UDP and echo have no such mark, so what we send is remembered. Of
 * the packets that ask nothing, ICMPv6 errors pass if they quote one that we could have sent to
 * that peer; everything that manages a link (neighbours, routers, redirects, MLD) never does,
 * because between two peers there is no link to manage.
 *
 * A flow is a 64-bit SipHash tag under a secret key and the time of our last packet: 16 bytes, in
 * sets of 8, the least recently used of a set makes room. Fragments, which peers create, have a
 * table of their own, so that no peer can push out the flows that we opened. */
#include "overlay/filter.h"

#include "core/bytes.h"

#include <sodium.h>
#include <stdlib.h>

#define WAYS          8
#define FRAGMENTS     512
#define UDP_LIFE      (120 * OV_SEC) /* RFC 4787 REQ-5: at least 2 minutes */
#define ECHO_LIFE     (30 * OV_SEC)
#define FRAGMENT_LIFE (5 * OV_SEC)

#define IP6_LEN     40
#define HEADERS_MAX 8 /* extension headers followed, of at most 2048 bytes: offsets fit 16 bits */
#define PREFIX      8 /* bytes of a /64 */

enum { /* IANA protocol numbers */
	HOP_BY_HOP = 0,
	TCP = 6,
	UDP = 17,
	ROUTING = 43,
	FRAGMENT = 44,
	ICMP6 = 58,
	DESTINATION_OPTIONS = 60,
};
enum { ICMP6_ERROR_FIRST = 1, ICMP6_ERROR_LAST = 4, ECHO_REQUEST = 128, ECHO_REPLY = 129 };
#define TCP_LEN   20
#define UDP_LEN   8
#define ICMP6_LEN 8 /* errors and echo alike */
#define TCP_SYN   0x02
#define TCP_ACK   0x10

struct flow {
	uint64_t tag; /* 0: empty */
	ov_time used_at;
};

struct flows {
	struct flow *entries;
	size_t sets; /* power of two */
};

struct filter {
	uint8_t own_prefix[PREFIX];
	uint8_t key[crypto_shorthash_KEYBYTES];
	struct flows flows, fragments;
};

static bool flows_init(struct flows *t, size_t count)
{
	t->sets = 1;
	while (t->sets * WAYS < count)
		t->sets *= 2;
	t->entries = calloc(t->sets * WAYS, sizeof(*t->entries));
	return t->entries != NULL;
}

struct filter *filter_new(size_t flows, const uint8_t own_prefix[8], const struct rng *rng)
{
	assert(flows > 0 && flows <= SIZE_MAX / 4 / sizeof(struct flow));
	struct filter *f = calloc(1, sizeof(*f));
	if (!f)
		return NULL;
	memcpy(f->own_prefix, own_prefix, sizeof(f->own_prefix));
	rng_fill(rng, f->key, sizeof(f->key));
	if (!flows_init(&f->flows, flows) || !flows_init(&f->fragments, FRAGMENTS)) {
		filter_free(f);
		return NULL;
	}
	return f;
}

void filter_free(struct filter *f)
{
	if (!f)
		return;
	free(f->flows.entries);
	free(f->fragments.entries);
	sodium_memzero(f->key, sizeof(f->key));
	free(f);
}

/* Our interface id, the peer's address, and what tells two flows between them apart. */
static uint64_t flow_tag(const struct filter *f, uint8_t kind, const uint8_t *own,
	const uint8_t *peer, uint32_t detail)
{
	uint8_t in[1 + PREFIX + 16 + 4], out[crypto_shorthash_BYTES];
	in[0] = kind;
	memcpy(in + 1, own + PREFIX, PREFIX);
	memcpy(in + 1 + PREFIX, peer, 16);
	store_le32(in + 1 + PREFIX + 16, detail);
	crypto_shorthash(out, in, sizeof(in), f->key);
	uint64_t tag = load_le64(out);
	return tag ? tag : 1;
}

static struct flow *set_of(const struct flows *t, uint64_t tag)
{
	return t->entries + (tag & (t->sets - 1)) * WAYS;
}

static void flow_remember(struct flows *t, ov_time now, uint64_t tag)
{
	struct flow *set = set_of(t, tag), *victim = set;
	for (size_t i = 0; i < WAYS; i++) {
		if (set[i].tag == tag) {
			victim = &set[i];
			break;
		}
		if (victim->tag && (!set[i].tag || set[i].used_at < victim->used_at))
			victim = &set[i];
	}
	*victim = (struct flow){ .tag = tag, .used_at = now };
}

static bool flow_is_live(const struct flows *t, ov_time now, uint64_t tag, ov_time life)
{
	const struct flow *set = set_of(t, tag);
	for (size_t i = 0; i < WAYS; i++) {
		if (set[i].tag == tag)
			return now - set[i].used_at <= life;
	}
	return false;
}

/* One extension header at in->transport. False: truncated. */
static bool skip_header(struct inner *in, const uint8_t *packet, size_t len)
{
	if (len - in->transport < 8)
		return false;
	const uint8_t *h = packet + in->transport;
	size_t n = 8;
	if (in->protocol == FRAGMENT) {
		if (in->fragmented)
			return false; /* no packet is cut twice */
		uint16_t offset = load_be16(h + 2);
		in->fragmented = true;
		in->fragment_offset = offset & 0xfff8;
		in->more_fragments = offset & 1;
		in->fragment_id = load_be32(h + 4);
	} else {
		in->extended = true;
		n = (size_t)(h[1] + 1) * 8;
	}
	if (n > len - in->transport)
		return false;
	in->protocol = h[0];
	in->transport = (uint16_t)(in->transport + n);
	return true;
}

bool inner_parse(struct inner *out, const uint8_t *packet, size_t len)
{
	if (len < IP6_LEN || packet[0] >> 4 != 6 || load_be16(packet + 4) != len - IP6_LEN)
		return false;
	*out = (struct inner){ .protocol = packet[6], .transport = IP6_LEN };
	for (int i = 0; i <= HEADERS_MAX; i++) {
		bool header = out->protocol == HOP_BY_HOP || out->protocol == ROUTING ||
			      out->protocol == FRAGMENT || out->protocol == DESTINATION_OPTIONS;
		if (!header || out->fragment_offset > 0)
			return true;
		if (!skip_header(out, packet, len))
			return false;
	}
	return false;
}

static uint32_t ports(uint16_t own, uint16_t peer)
{
	return (uint32_t)own << 16 | peer;
}

enum drop filter_outbound(
	struct filter *f, ov_time now, const uint8_t *packet, size_t len, uint8_t peer_prefix[8])
{
	struct inner in;
	if (!inner_parse(&in, packet, len))
		return DROP_INNER;
	const uint8_t *source = packet + 8, *destination = packet + 24;
	if (memcmp(source, f->own_prefix, PREFIX) != 0)
		return DROP_SOURCE;
	if (destination[0] != 0xfd || memcmp(destination, f->own_prefix, PREFIX) == 0)
		return DROP_DESTINATION;
	memcpy(peer_prefix, destination, PREFIX);
	const uint8_t *t = packet + in.transport;
	if (in.fragment_offset > 0 || len - in.transport < UDP_LEN)
		return DROP_NONE; /* nothing to remember */
	if (in.protocol == UDP)
		flow_remember(&f->flows, now,
			flow_tag(f, UDP, source, destination,
				ports(load_be16(t), load_be16(t + 2))));
	else if (in.protocol == ICMP6 && t[0] == ECHO_REQUEST)
		flow_remember(
			&f->flows, now, flow_tag(f, ICMP6, source, destination, load_be16(t + 4)));
	return DROP_NONE;
}

/* An inbound packet whose addresses are in order. */
struct arrival {
	const uint8_t *packet;
	size_t len;
	const uint8_t *peer_prefix;
	const struct grants *grants;
	struct inner in;
};

static enum drop judge_tcp(const struct arrival *a)
{
	if (a->len - a->in.transport < TCP_LEN)
		return DROP_INNER; /* also of a first fragment: the flags must be in it */
	const uint8_t *t = a->packet + a->in.transport;
	if ((t[13] & (TCP_SYN | TCP_ACK)) != TCP_SYN)
		return DROP_NONE;
	return grants_tcp(a->grants, load_be16(t + 2)) ? DROP_NONE : DROP_GRANT;
}

static enum drop judge_udp(const struct filter *f, ov_time now, const struct arrival *a)
{
	if (a->len - a->in.transport < UDP_LEN)
		return DROP_INNER;
	const uint8_t *t = a->packet + a->in.transport;
	uint16_t from = load_be16(t), to = load_be16(t + 2);
	if (grants_udp(a->grants, to))
		return DROP_NONE;
	uint64_t tag = flow_tag(f, UDP, a->packet + 24, a->packet + 8, ports(to, from));
	return flow_is_live(&f->flows, now, tag, UDP_LIFE) ? DROP_NONE : DROP_GRANT;
}

/* Does the error quote a packet that we could have sent to this peer? (RFC 4443 2.4) */
static bool quotes_ours(const struct filter *f, const struct arrival *a)
{
	size_t at = a->in.transport + (size_t)ICMP6_LEN;
	if (a->len - at < IP6_LEN)
		return false;
	const uint8_t *quoted = a->packet + at;
	return quoted[0] >> 4 == 6 && memcmp(quoted + 8, f->own_prefix, PREFIX) == 0 &&
	       memcmp(quoted + 24, a->peer_prefix, PREFIX) == 0;
}

static enum drop judge_icmp6(const struct filter *f, ov_time now, const struct arrival *a)
{
	if (a->len - a->in.transport < ICMP6_LEN)
		return DROP_INNER;
	const uint8_t *t = a->packet + a->in.transport;
	if (t[0] >= ICMP6_ERROR_FIRST && t[0] <= ICMP6_ERROR_LAST)
		return quotes_ours(f, a) ? DROP_NONE : DROP_GRANT;
	if (t[0] != ECHO_REQUEST && t[0] != ECHO_REPLY)
		return DROP_GRANT; /* even with `all`: link management has no business here */
	if (a->grants->bits & (GRANT_ALL | GRANT_ICMP))
		return DROP_NONE;
	if (t[0] == ECHO_REQUEST)
		return DROP_GRANT;
	uint64_t tag = flow_tag(f, ICMP6, a->packet + 24, a->packet + 8, load_be16(t + 4));
	return flow_is_live(&f->flows, now, tag, ECHO_LIFE) ? DROP_NONE : DROP_GRANT;
}

static enum drop judge(const struct filter *f, ov_time now, const struct arrival *a)
{
	bool all = a->grants->bits & GRANT_ALL;
	if (a->in.extended && !all)
		return DROP_GRANT; /* before the transport: routing headers change what it means */
	switch (a->in.protocol) {
	case TCP: return judge_tcp(a);
	case UDP: return judge_udp(f, now, a);
	case ICMP6: return judge_icmp6(f, now, a);
	default: return all ? DROP_NONE : DROP_GRANT;
	}
}

/* The first fragment is judged as a whole packet would be and speaks for the others. Overlaps that
 * rewrite it are refused by every kernel (RFC 5722). */
static enum drop judge_fragment(struct filter *f, ov_time now, const struct arrival *a)
{
	uint64_t tag = flow_tag(f, FRAGMENT, a->packet + 24, a->packet + 8, a->in.fragment_id);
	if (a->in.fragment_offset > 0) {
		bool known =
			!a->in.extended && flow_is_live(&f->fragments, now, tag, FRAGMENT_LIFE);
		return known || (a->grants->bits & GRANT_ALL) ? DROP_NONE : DROP_GRANT;
	}
	enum drop why = judge(f, now, a);
	if (why == DROP_NONE && a->in.more_fragments)
		flow_remember(&f->fragments, now, tag);
	return why;
}

enum drop filter_inbound(struct filter *f, ov_time now, const uint8_t peer_prefix[8],
	const struct grants *grants, const uint8_t *packet, size_t len)
{
	struct arrival a = {
		.packet = packet, .len = len, .peer_prefix = peer_prefix, .grants = grants
	};
	if (!inner_parse(&a.in, packet, len))
		return DROP_INNER;
	if (memcmp(packet + 8, peer_prefix, PREFIX) != 0)
		return DROP_SOURCE;
	if (memcmp(packet + 24, f->own_prefix, PREFIX) != 0)
		return DROP_DESTINATION;
	return a.in.fragmented ? judge_fragment(f, now, &a) : judge(f, now, &a);
}
