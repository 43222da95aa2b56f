/* The book of inner packets: each is unlike every other (stack.c), so what comes out somewhere can
 * be looked up by its bytes: who sent it, to whom, and how often. */
#include "tests/sim/digest.h"
#include "tests/sim/sim.h"

struct inner_record {
	uint32_t from, to, submitted, delivered;
	bool doubled; /* the sender had more than one path: it may send on two */
};

void oracle_inner_init(struct oracle *o)
{
	book_init(&o->inner, sizeof(struct inner_record));
}

static void submitted(struct sim *s, struct host *h, const uint8_t *packet, size_t len)
{
	struct host *to = sim_host_at(s, packet + 24);
	struct inner_record *r = book_at(&s->oracle.inner, digest_bytes(11, packet, len));
	r->from = h->id;
	r->to = to ? to->id : NET_NONE;
	r->submitted++;
	s->oracle.submitted++;
	if (to && node_peer_paths(h->node, &to->self.id, s->oracle.paths, 32) > 1)
		r->doubled = true;
}

/* Segments as a NIC would cut them; made here, not by overlay/offload.c. */
static void submitted_super(struct sim *s, struct host *h, const struct ip_packet *p)
{
	struct ip6 in;
	bool ok = ip6_parse(&in, p->data, p->len);
	assert(ok && in.protocol == IP6_TCP);
	uint8_t segment[IP6_MTU];
	size_t step = p->gso == GSO_NONE ? in.payload_len : p->segment;
	size_t at = 0;
	do {
		size_t left = in.payload_len - at, len = left < step ? left : step;
		struct ip6_tcp t = in.tcp;
		t.seq += (uint32_t)at;
		if (len < left)
			t.flags &= (uint8_t) ~(IP6_FIN | IP6_PSH);
		submitted(s, h, segment, ip6_tcp(segment, &in.pair, &t, in.payload + at, len));
		at += len;
	} while (at < in.payload_len);
}

void oracle_on_submit(struct sim *s, struct host *h, const struct ip_packet *p)
{
	if (p->gso != GSO_NONE || p->partial)
		submitted_super(s, h, p);
	else
		submitted(s, h, p->data, p->len);
}

void oracle_on_inbound(struct sim *s, struct host *h, const uint8_t *packet, size_t len)
{
	struct inner_record *r = book_find(&s->oracle.inner, digest_bytes(11, packet, len));
	trace_mix(&s->trace, s->now, h->id, len);
	s->oracle.delivered++;
	if (!ip6_checksum_ok(packet, len))
		oracle_break(s, "inner", "%s: a packet with a wrong checksum came out", h->name);
	else if (!r)
		oracle_break(s, "inner", "%s: a packet of %zu B that nobody sent came out", h->name,
			len);
	else if (r->to != h->id)
		oracle_break(
			s, "inner", "%s: a packet for %s came out", h->name, sim_name(s, r->to));
	if (!r)
		return;
	r->delivered++;
	if (r->delivered <= r->submitted)
		return;
	s->oracle.duplicates++;
	if (!r->doubled || r->delivered > 2 * r->submitted)
		oracle_break(s, "inner", "%s: packet from %s sent %u times came out %u times",
			h->name, sim_name(s, r->from), r->submitted, r->delivered);
}
