#pragma once
/* tcp - the daemon's TCP connections: datagrams framed by core/tcp_frame, admission by
 * overlay/tcp_gate. Connections are known to the node by a number; what is sent to one that is gone
 * is lost, as with UDP. */
#include "core/dgram.h"
#include "overlay/tcp_gate.h"

#include <uv.h>

#define TCP_QUEUE_MAX   (256u << 10) /* waits for one slow reader; beyond it datagrams are lost */
#define TCP_QUEUES_MAX  (64u << 20)  /* for all of them */
#define TCP_CONNECTIONS 4096

struct tcp_options {
	/* From the loop. Datagrams of one connection, valid and writable during the call. */
	void (*on_datagrams)(void *context, const struct dgram *in, size_t count);
	/* A connection of ours stands: carrier, number (`interface`), local and remote. */
	void (*on_opened)(void *context, const struct dgram *where);
	/* What answers on a connection of ours is no overlayd; it is closed. */
	void (*on_foreign)(void *context, const struct ov_addr *remote);
	/* One that was opened, or that something was sent on, is gone. */
	void (*on_closed)(void *context, uint32_t number);
	void *context;
};

struct tcp; /* handle */

/* NULL: out of memory. */
struct tcp *tcp_open(uv_loop_t *loop, const struct tcp_options *o);
/* Takes connections at this port, on both families as far as they are there. OV_OK; OV_EINVAL:
 * `why` says what failed and what to do; one family may listen nevertheless. Two ports at most. */
OV_MUST_CHECK int tcp_listen(struct tcp *t, uint16_t port, char *why, size_t why_size);
/* Connects; one attempt to an address at a time. An older connection of ours to it is closed once
 * the new one stands. */
void tcp_dial(struct tcp *t, const struct ov_addr *remote);
void tcp_send(struct tcp *t, const struct dgram *runs, size_t count);
const struct tcp_counters *tcp_counters(const struct tcp *t);
/* Closes everything; memory goes when the loop has closed the handles. No callback any more. */
void tcp_close(struct tcp *t);
