#pragma once
/* stack - the inner side of a host: what its kernel and its programs would do with the packets of
 * the overlay interface. Talks and flows make packets; echo requests and segments are answered. */
#include "tests/sim/host.h"

struct stack_replies; /* packets that wait until the node's output has been drained */
struct stack_replies *stack_replies_new(void);

/* A packet for the interface (borrowed). */
void stack_inbound(struct sim *s, struct host *h, const struct ip_packet *p);
/* Submits what is due: replies, talks, flows. True if anything was submitted. */
bool stack_submit(struct sim *s, struct host *h);
ov_time stack_deadline(const struct sim *s, const struct host *h);
