#pragma once
/* pmtu - Datagram PLPMTUD (RFC 8899) of one path: how long a datagram (UDP payload) passes. ICMP is
 * never trusted.
 *
 * States as in RFC 8899 5.2: BASE (1200 not yet confirmed), SEARCHING, SEARCH_COMPLETE, ERROR (only
 * the floor passes). Probes are PATH_CHALLENGE padded to the size under test; the path sends them
 * and reports acks and losses here. */
#include "core/base.h"

#define PMTU_BASE  1200
#define PMTU_FLOOR 548  /* outer 576 (RFC 8899 BASE for IPv4) less IPv4 and UDP headers */
#define PMTU_MAX   1452 /* 1420 inner + 32 overhead: nothing longer is ever sent */

enum pmtu_state { PMTU_BASE_PROBING, PMTU_SEARCHING, PMTU_COMPLETE, PMTU_ERROR };

struct pmtu {
	uint8_t state,
		probe_count; /* enum pmtu_state; consecutive losses of the size under probe */
	uint16_t size;       /* confirmed (or assumed: base) */
	uint16_t probe_size; /* under test; 0: none in flight */
	uint16_t ceiling;    /* smallest size known not to pass, or max + 1 */
	uint16_t max;        /* what the local interface and the peer's MTU allow, <= PMTU_MAX */
	ov_time next_at;     /* when the next probe is due, OV_NEVER while one is in flight */
	ov_time small_since; /* since when size < PMTU_MAX, OV_NEVER otherwise (ICMPv6 Packet Too
				Big after 10 s) */
	ov_time verified_at; /* when a datagram of `size` was last confirmed */
};

void pmtu_init(struct pmtu *p, ov_time now, uint16_t max);
/* The path has been validated (small challenge answered): searching may start. Starts with the
 * largest size at once (most paths pass it), then 1200, then the ladder of common MTUs, then halves
 * the rest down to 16 bytes. */
void pmtu_on_validated(struct pmtu *p, ov_time now);
/* Size to probe now, or 0. Reports that the caller sends it. */
uint16_t pmtu_poll(struct pmtu *p, ov_time now);
void pmtu_on_ack(struct pmtu *p, ov_time now, uint16_t size);
/* The probe of this size timed out (caller's timer: max(3 SRTT, 100 ms)). */
void pmtu_on_loss(struct pmtu *p, ov_time now, uint16_t size, ov_time rtt);
/* Large datagrams are being sent on this path: re-verify `size` once a second while they are (black
 * hole detection). */
void pmtu_on_large_sent(struct pmtu *p, ov_time now, uint16_t size);
/* The kernel refused a datagram of this size (EMSGSIZE): local and therefore trusted. */
void pmtu_on_refused(struct pmtu *p, ov_time now, uint16_t size);
ov_time pmtu_deadline(const struct pmtu *p);
