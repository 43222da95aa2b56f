#pragma once
/* udp - the daemon's UDP sockets, one per IP family on the same port, moving runs of datagrams
 * (core/dgram.h) in batches. The Linux backend uses recvmmsg with UDP_GRO and sendmmsg with
 * UDP_SEGMENT; the portable one plain libuv. A missing family is not an error as long as one works.
 *
 * Datagrams are sent with DF and never fragmented; the kernel's path MTU cache is ignored, because
 * ICMP is not trusted (RFC 8899 finds the PMTU). Callbacks only say that there is work: the pump
 * calls udp_receive and udp_send. */
#include "core/dgram.h"

#include <uv.h>

#define UDP_BATCH        64    /* runs that one udp_receive returns at most */
#define UDP_RUN_SEGMENTS 64    /* longest GSO run (UDP_MAX_SEGMENTS of older kernels) */
#define UDP_RUN_BYTES    65000 /* and its bytes */

enum udp_backend {
	UDP_AUTO,     /* Linux backend, GSO and GRO as far as the kernel has them */
	UDP_PLAIN,    /* Linux backend without GSO and GRO */
	UDP_PORTABLE, /* libuv's own UDP */
};

struct udp_options {
	uint16_t port; /* host order; 0: any free one */
	enum udp_backend backend;
	bool no_ipv4, no_ipv6;
	/* Socket buffers in bytes; 0: UDP_RECEIVE_BUFFER, UDP_SEND_BUFFER. Forced beyond the
	 * system's limit when we may. */
	uint32_t receive_buffer, send_buffer;
	void (*on_readable)(void *context); /* from the loop; may come again until it is drained */
	void (*on_writable)(void *context); /* the queue is empty again; may be NULL */
	void *context;
};

#define UDP_RECEIVE_BUFFER (2u << 20) /* 2 ms at 8 Gbit/s: a scheduling gap; more is only queue */
/* What waits here waits in front of every ping, and the interface is a better place to wait: 1 MiB
 * is 1 ms at 8 Gbit/s, more only adds delay on slow links. */
#define UDP_SEND_BUFFER (1u << 20)

struct udp_status {
	const char *backend; /* "gso", "plain", "portable" */
	bool gso, gro, mmsg;
	bool source; /* local address and interface are told and can be chosen */
	bool ipv4, ipv6;
	uint16_t port;
	uint32_t receive_buffer, send_buffer; /* what the kernel granted */
	uint64_t calls_in, calls_out;         /* system calls that moved data */
	uint64_t overflowed;                  /* datagrams lost: receive buffer was full */
	uint64_t lost;   /* datagrams lost: queue full or no memory in the kernel */
	uint64_t failed; /* runs the kernel refused (udp_next_failure) */
};

struct udp; /* handle */

/* NULL: `why` says what failed and what to do. */
struct udp *udp_open(uv_loop_t *loop, const struct udp_options *o, char *why, size_t why_size);
/* Closes the sockets; memory goes when the loop has closed the handles. */
void udp_close(struct udp *u);
const struct udp_status *udp_status(const struct udp *u);

/* Received runs, at most UDP_BATCH; 0: nothing more now. Their data may be overwritten, and is
 * valid until the next call. Only sockets that the loop found readable are asked. after_pause: it
 * is likely that one datagram came alone. */
size_t udp_receive(struct udp *u, struct dgram *out, bool after_pause);
/* From now on, should received runs tell how long they waited? Off at first: it costs. */
void udp_tell_waited(struct udp *u, bool on);
/* Sends runs in order (each at most UDP_RUN_SEGMENTS and UDP_RUN_BYTES). Takes all of them: what a
 * socket has no room for is copied into a bounded queue, beyond it lost and counted. */
void udp_send(struct udp *u, const struct dgram *runs, size_t count);
/* Something is queued: read no more from the interface until on_writable. */
bool udp_blocked(const struct udp *u);
/* Takes the next run that the kernel refused since the last call; data is NULL, len the size of one
 * datagram. too_big: larger than the local interface's MTU; else no route, a source address that is
 * gone, or a local firewall. Call until false after each udp_send; at most 64 are kept. */
bool udp_next_failure(struct udp *u, struct dgram *out, bool *too_big);
