#pragma once
/* tcp_queue - framed datagrams that wait for a slow reader: bytes in order, grown when something
 * waits, nothing while nothing does. */
#include "core/base.h"

struct tcp_queue {     /* zeroed: empty */
	uint8_t *data; /* owned */
	size_t len, cap;
};

/* Adds a datagram with its length in front, without the first `skip` bytes of both: those are on
 * their way already. OV_OK or OV_ENOMEM (nothing added). */
OV_MUST_CHECK int tcp_queue_add(
	struct tcp_queue *q, const uint8_t *datagram, size_t len, size_t skip);
void tcp_queue_fini(struct tcp_queue *q); /* empty again */
