#pragma once
/* flow - one TCP connection, small but honest: SYN, SYN/ACK, a window of super packets, cumulative
 * acknowledgements, go-back-N on three duplicates or a timeout, and Packet Too Big. Its bytes are a
 * function of their offset, so the receiver can check each one. It never resets: whether a transfer
 * ends, and how long it stood still, is what tests ask. */
#include "overlay/offload.h"
#include "tests/sim/ip6.h"

#define FLOW_SUPER_MAX 16 /* segments of one super packet */
#define FLOW_BUFFER    (IP6_HEADER + IP6_TCP_HEADER + FLOW_SUPER_MAX * IP6_MTU)

enum flow_state { FLOW_FREE, FLOW_SYN_SENT, FLOW_SYN_RECEIVED, FLOW_OPEN, FLOW_DONE };

struct flow {
	enum flow_state state;
	bool sender;                          /* who dialled sends */
	struct ip6_pair pair;                 /* source is us */
	uint64_t total, acked, next, recover; /* sender, bytes */
	uint64_t received;                    /* receiver, bytes in order */
	uint32_t window;
	uint16_t mss, super_segments;
	unsigned duplicate_acks;
	bool ack_due, syn_due;
	ov_time rto, rto_at, pace_at, pace; /* pace: least time between super packets */
	ov_time last_progress, longest_stall;
};

void flow_dial(struct flow *f, ov_time now, const struct ip6_pair *pair, uint64_t total);
/* Answers a SYN that `in` carries. */
void flow_accept(struct flow *f, ov_time now, const struct ip6 *in);
/* A segment of this connection. False: its bytes are not the ones that were sent. */
bool flow_input(struct flow *f, ov_time now, const struct ip6 *in);
void flow_too_big(struct flow *f, ov_time now, uint32_t mtu);
/* Next packet for the interface, written into buffer (FLOW_BUFFER bytes); false: nothing now. */
bool flow_poll(struct flow *f, ov_time now, uint8_t *buffer, struct ip_packet *out);
ov_time flow_deadline(const struct flow *f, ov_time now);
/* The bytes of a flow at an offset. */
void flow_pattern(uint8_t *out, uint64_t offset, size_t len, uint16_t port);
