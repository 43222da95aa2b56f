/* Every packet made here is unlike every other (a serial number is in it), so that the oracle can
 * tell a duplicate from a second sending. */
#include "tests/sim/stack.h"

#include "tests/sim/sim.h"

#include <stdlib.h>
#include <string.h>

#define REPLIES_MAX 128

struct stack_replies {
	size_t count;
	struct {
		size_t len;
		uint8_t data[IP6_MTU];
	} packet[REPLIES_MAX];
};

struct stack_replies *stack_replies_new(void)
{
	struct stack_replies *r = calloc(1, sizeof(*r));
	if (!r)
		abort();
	return r;
}

static struct flow *find_flow(struct host *h, const struct ip6 *in)
{
	for (size_t i = 0; i < HOST_FLOWS_MAX; i++) {
		struct flow *f = &h->flows[i];
		if (f->state != FLOW_FREE && f->pair.source_port == in->pair.destination_port &&
			f->pair.destination_port == in->pair.source_port &&
			memcmp(f->pair.destination, in->pair.source, 16) == 0)
			return f;
	}
	return NULL;
}

static struct flow *free_flow(struct host *h)
{
	for (size_t i = 0; i < HOST_FLOWS_MAX; i++)
		if (h->flows[i].state == FLOW_FREE || h->flows[i].state == FLOW_DONE)
			return &h->flows[i];
	return NULL;
}

static void on_segment(struct sim *s, struct host *h, const struct ip6 *in)
{
	struct flow *f = find_flow(h, in);
	if (f && !flow_input(f, s->now, in))
		oracle_break(s, "inner", "%s: a TCP segment at seq %u carries other bytes", h->name,
			in->tcp.seq);
	if (f || !(in->tcp.flags & IP6_SYN) || in->tcp.flags & IP6_ACK)
		return;
	f = free_flow(h);
	if (f)
		flow_accept(f, s->now, in);
}

static void on_echo_request(struct sim *s, const struct ip6 *in)
{
	struct stack_replies *r = s->replies;
	if (r->count == REPLIES_MAX || in->payload_len > IP6_MTU - 48)
		return;
	struct ip6_pair back = in->pair;
	memcpy(back.source, in->pair.destination, 16);
	memcpy(back.destination, in->pair.source, 16);
	r->packet[r->count].len = ip6_echo(
		r->packet[r->count].data, &back, IP6_ECHO_REPLY, in->payload, in->payload_len);
	r->count++;
}

/* Made by our own node: the packet inside is one we sent; its flow shrinks. */
static void on_too_big(struct sim *s, struct host *h, const uint8_t *packet, size_t len)
{
	uint32_t mtu = load_be32(packet + IP6_HEADER + 4);
	trace_tell(&s->trace, s->now, h->name, "inner packet too big, mtu %u", mtu);
	if (len < IP6_HEADER + 8 + IP6_HEADER + 8)
		return;
	const uint8_t *lost = packet + IP6_HEADER + 8;
	for (size_t i = 0; i < HOST_FLOWS_MAX; i++) {
		struct flow *f = &h->flows[i];
		if (lost[6] == IP6_TCP && load_be16(lost + 40) == f->pair.source_port &&
			memcmp(lost + 24, f->pair.destination, 16) == 0)
			flow_too_big(f, s->now, mtu);
	}
}

static void on_friend(struct sim *s, struct host *h, const struct ip6 *in)
{
	struct host *from = sim_host_at(s, in->pair.source);
	struct friend *fr = from ? host_friend(h, from->id) : NULL;
	if (!fr)
		return;
	if (fr->received > 0)
		fr->longest_gap = ov_max(fr->longest_gap, s->now - fr->last_received);
	else
		fr->first_received = s->now;
	fr->last_received = s->now;
	fr->received++;
	for (size_t i = 0; in->icmp_type == IP6_ECHO_REPLY && i < h->talk_count; i++)
		if (h->talks[i].kind == TALK_ECHO &&
			h->friends[h->talks[i].friend].host == from->id)
			h->talks[i].answered++;
}

void stack_inbound(struct sim *s, struct host *h, const struct ip_packet *p)
{
	if (p->len > sizeof(s->scratch) || p->len < IP6_HEADER + 8) {
		oracle_break(s, "inner", "%s: a packet of %zu bytes came out", h->name, p->len);
		return;
	}
	memcpy(s->scratch, p->data, p->len);
	if (p->partial)
		ip6_checksum_finish(s->scratch, p->len, p->csum_start, p->csum_offset);
	bool own = s->scratch[6] == IP6_ICMP && s->scratch[IP6_HEADER] == IP6_TOO_BIG;
	if (!own)
		oracle_on_inbound(s, h, s->scratch, p->len);
	struct ip6 in;
	if (sim_failed(s))
		return;
	if (own) {
		on_too_big(s, h, s->scratch, p->len);
		return;
	}
	if (!ip6_parse(&in, s->scratch, p->len))
		return;
	on_friend(s, h, &in);
	if (in.protocol == IP6_TCP)
		on_segment(s, h, &in);
	else if (in.protocol == IP6_ICMP && in.icmp_type == IP6_ECHO_REQUEST)
		on_echo_request(s, &in);
}

/* Into the node; p->data is s->buffer or a reply and may be overwritten by it. */
static void submit(struct sim *s, struct host *h, const struct ip_packet *p)
{
	oracle_on_submit(s, h, p);
	if (node_submit(h->node, s->now, p, 1) == 0)
		oracle_break(s, "limits",
			"%s: node_submit takes nothing though its output is empty", h->name);
}

static bool submit_reply(struct sim *s, struct host *h)
{
	struct stack_replies *r = s->replies;
	if (r->count == 0)
		return false;
	r->count--;
	struct ip_packet p = { .data = r->packet[r->count].data, .len = r->packet[r->count].len };
	submit(s, h, &p);
	return true;
}

static void submit_talk(struct sim *s, struct host *h, struct talk *t)
{
	struct ip6_pair pair = { .source_port = TALK_PORT, .destination_port = TALK_PORT };
	memcpy(pair.source, h->inner_ip, 16);
	memcpy(pair.destination, s->hosts[h->friends[t->friend].host].inner_ip, 16);
	uint8_t payload[IP6_MTU - 48];
	size_t len = t->size < 16 ? 16 : t->size;
	len = len > sizeof(payload) ? sizeof(payload) : len;
	uint64_t serial = ++h->serial << 16 | h->id;
	for (size_t i = 0; i < len; i++)
		payload[i] = (uint8_t)(serial * 0x9e3779b97f4a7c15u >> 8 * (i % 8));
	store_le64(payload, serial);
	struct ip_packet p = { .data = s->buffer };
	if (t->kind == TALK_ECHO) {
		pair.source_port = (uint16_t)(t->friend + 1);
		pair.destination_port = (uint16_t)t->sent;
		p.len = ip6_echo(s->buffer, &pair, IP6_ECHO_REQUEST, payload, len);
	} else {
		p.len = ip6_udp(s->buffer, &pair, payload, len);
	}
	t->sent++;
	submit(s, h, &p);
}

static bool submit_talks(struct sim *s, struct host *h)
{
	for (size_t i = 0; i < h->talk_count; i++) {
		struct talk *t = &h->talks[i];
		if (t->next_at > s->now)
			continue;
		t->next_at = s->now + t->every > t->until ? OV_NEVER : s->now + t->every;
		submit_talk(s, h, t);
		return true;
	}
	return false;
}

static bool submit_flows(struct sim *s, struct host *h)
{
	for (size_t i = 0; i < HOST_FLOWS_MAX; i++) {
		struct ip_packet p;
		if (h->flows[i].state == FLOW_FREE || h->flows[i].state == FLOW_DONE ||
			!flow_poll(&h->flows[i], s->now, s->buffer, &p))
			continue;
		submit(s, h, &p);
		return true;
	}
	return false;
}

bool stack_submit(struct sim *s, struct host *h)
{
	return submit_reply(s, h) || submit_talks(s, h) || submit_flows(s, h);
}

ov_time stack_deadline(const struct sim *s, const struct host *h)
{
	ov_time at = OV_NEVER;
	for (size_t i = 0; i < h->talk_count; i++)
		at = ov_min(at, h->talks[i].next_at);
	for (size_t i = 0; i < HOST_FLOWS_MAX; i++)
		at = ov_min(at, flow_deadline(&h->flows[i], s->now));
	return at;
}
