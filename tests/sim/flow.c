/* The sender keeps [acked, next) in flight, at most `window`. Loss is repaired by going back to
 * `acked`: wasteful, simple, and it makes the same demands on the tunnel as a real TCP: super
 * packets with partial checksums, acknowledgements the other way, patience through an outage. */
#include "tests/sim/flow.h"

#define RTO_FIRST (300 * OV_MS)
#define RTO_MAX   (3 * OV_SEC)

void flow_pattern(uint8_t *out, uint64_t offset, size_t len, uint16_t port)
{
	for (size_t i = 0; i < len; i++) {
		uint64_t at = offset + i;
		out[i] = (uint8_t)(at ^ at >> 8 ^ at >> 16 ^ port);
	}
}

static void flow_init(struct flow *f, ov_time now)
{
	*f = (struct flow){
		.window = 48 * 1024,
		.mss = IP6_MTU - IP6_HEADER - IP6_TCP_HEADER,
		.super_segments = FLOW_SUPER_MAX,
		.rto = RTO_FIRST,
		.rto_at = OV_NEVER,
		.last_progress = now,
	};
}

void flow_dial(struct flow *f, ov_time now, const struct ip6_pair *pair, uint64_t total)
{
	flow_init(f, now);
	f->state = FLOW_SYN_SENT;
	f->sender = true;
	f->pair = *pair;
	f->total = total;
	f->syn_due = true;
}

void flow_accept(struct flow *f, ov_time now, const struct ip6 *in)
{
	flow_init(f, now);
	f->state = FLOW_SYN_RECEIVED;
	memcpy(f->pair.source, in->pair.destination, 16);
	memcpy(f->pair.destination, in->pair.source, 16);
	f->pair.source_port = in->pair.destination_port;
	f->pair.destination_port = in->pair.source_port;
	f->syn_due = true;
}

/* Sequence number 0 is the SYN; byte n is sequence n + 1. Transfers stay below 4 GiB. */
static uint32_t seq_of(uint64_t offset)
{
	return (uint32_t)(offset + 1);
}

static void progress(struct flow *f, ov_time now)
{
	f->longest_stall = ov_max(f->longest_stall, now - f->last_progress);
	f->last_progress = now;
	f->rto = RTO_FIRST;
	f->duplicate_acks = 0;
}

static void sender_input(struct flow *f, ov_time now, const struct ip6 *in)
{
	if (!(in->tcp.flags & IP6_ACK) || in->tcp.ack == 0)
		return;
	if (f->state == FLOW_SYN_SENT && in->tcp.flags & IP6_SYN) {
		f->state = FLOW_OPEN;
		f->rto_at = OV_NEVER;
		f->ack_due = f->total == 0;
		progress(f, now);
	}
	uint64_t acked = in->tcp.ack - 1;
	if (f->state != FLOW_OPEN || acked > f->total)
		return;
	if (acked > f->acked) {
		f->acked = acked;
		if (f->next < acked)
			f->next = acked;
		progress(f, now);
		f->rto_at = f->next > f->acked ? now + f->rto : OV_NEVER;
		if (f->acked == f->total)
			f->state = FLOW_DONE;
	} else if (f->next > f->acked && ++f->duplicate_acks == 3 && f->acked >= f->recover) {
		f->recover = f->next;
		f->next = f->acked;
	}
}

static bool receiver_input(struct flow *f, ov_time now, const struct ip6 *in)
{
	if (in->tcp.flags & IP6_SYN) {
		f->syn_due = true;
		return true;
	}
	f->state = FLOW_OPEN;
	uint8_t expected[IP6_MTU];
	uint64_t offset = in->tcp.seq - 1;
	if (in->payload_len == 0 || in->payload_len > sizeof(expected))
		return in->payload_len == 0;
	flow_pattern(expected, offset, in->payload_len, in->pair.source_port);
	if (memcmp(expected, in->payload, in->payload_len) != 0)
		return false;
	f->ack_due = true;
	if (offset <= f->received && offset + in->payload_len > f->received) {
		f->received = offset + in->payload_len;
		progress(f, now);
	}
	return true;
}

bool flow_input(struct flow *f, ov_time now, const struct ip6 *in)
{
	if (!f->sender)
		return receiver_input(f, now, in);
	sender_input(f, now, in);
	return in->payload_len == 0;
}

void flow_too_big(struct flow *f, ov_time now, uint32_t mtu)
{
	if (mtu < 576 || mtu >= (uint32_t)f->mss + IP6_HEADER + IP6_TCP_HEADER)
		return;
	f->mss = (uint16_t)(mtu - IP6_HEADER - IP6_TCP_HEADER);
	f->next = f->acked;
	f->pace_at = now;
}

static void timeout(struct flow *f, ov_time now)
{
	if (now < f->rto_at)
		return;
	f->rto = ov_min(2 * f->rto, RTO_MAX);
	f->rto_at = OV_NEVER;
	f->recover = f->next;
	f->next = f->acked;
	f->duplicate_acks = 0;
	f->syn_due = f->state == FLOW_SYN_SENT || f->state == FLOW_SYN_RECEIVED;
}

static bool bare(
	struct flow *f, uint8_t flags, uint32_t seq, uint8_t *buffer, struct ip_packet *out)
{
	struct ip6_tcp t = { .seq = seq, .flags = flags };
	if (flags & IP6_ACK)
		t.ack = seq_of(f->received);
	size_t len = ip6_tcp(buffer, &f->pair, &t, NULL, 0);
	*out = (struct ip_packet){ .data = buffer, .len = len };
	return true;
}

static bool may_send(const struct flow *f, ov_time now)
{
	return f->sender && f->state == FLOW_OPEN && f->next < f->total &&
	       f->next - f->acked + f->mss <= f->window && now >= f->pace_at;
}

static bool super_packet(struct flow *f, ov_time now, uint8_t *buffer, struct ip_packet *out)
{
	uint64_t room = f->window - (f->next - f->acked), left = f->total - f->next;
	size_t len = (size_t)f->mss * f->super_segments;
	len = len > room ? (size_t)room : len;
	len = len > left ? (size_t)left : len;
	uint8_t *payload = buffer + IP6_HEADER + IP6_TCP_HEADER;
	flow_pattern(payload, f->next, len, f->pair.source_port);
	struct ip6_tcp t = { .seq = seq_of(f->next), .ack = 1, .flags = IP6_ACK };
	t.flags |= f->next + len == f->total ? IP6_PSH : 0;
	uint8_t head[IP6_HEADER + IP6_TCP_HEADER];
	ip6_tcp(head, &f->pair, &t, NULL, 0);
	memcpy(buffer, head, sizeof(head));
	size_t whole = sizeof(head) + len;
	store_be16(buffer + 4, (uint16_t)(whole - IP6_HEADER));
	ip6_checksum_leave_open(buffer, whole);
	*out = (struct ip_packet){ .data = buffer, .len = whole, .partial = true };
	out->csum_start = IP6_HEADER;
	out->csum_offset = 16;
	if (len > f->mss) {
		out->gso = GSO_TCPV6;
		out->segment = f->mss;
	}
	f->next += len;
	f->pace_at = now + f->pace;
	if (f->rto_at == OV_NEVER)
		f->rto_at = now + f->rto;
	return true;
}

bool flow_poll(struct flow *f, ov_time now, uint8_t *buffer, struct ip_packet *out)
{
	timeout(f, now);
	if (f->syn_due) {
		f->syn_due = false;
		f->rto_at = now + f->rto;
		return bare(f, f->sender ? IP6_SYN : IP6_SYN | IP6_ACK, 0, buffer, out);
	}
	if (!f->sender && f->state == FLOW_OPEN)
		f->rto_at = OV_NEVER;
	if (f->ack_due) {
		f->ack_due = false;
		return bare(f, IP6_ACK, 1, buffer, out);
	}
	return may_send(f, now) && super_packet(f, now, buffer, out);
}

ov_time flow_deadline(const struct flow *f, ov_time now)
{
	if (f->state == FLOW_FREE || f->state == FLOW_DONE)
		return OV_NEVER;
	if (f->syn_due || f->ack_due)
		return now;
	struct flow later = *f;
	later.pace_at = now;
	return ov_min(f->rto_at, may_send(&later, now) ? ov_max(f->pace_at, now) : OV_NEVER);
}
