#pragma once
/* pmtu - Datagram PLPMTUD (RFC 8899) of one path: how long a datagram (UDP payload) passes. ICMP is
 * never trusted.
 *
 * States as in RFC 8899 5.2: BASE (1200 not yet confirmed), SEARCHING, SEARCH_COMPLETE, ERROR (a
 * search found nothing above the floor). Probes are PATH_CHALLENGE padded to the size under test;
 * the path sends them and reports acks and losses here. */
#include "core/base.h"

#define PMTU_BASE  1200
#define PMTU_FLOOR 548  /* outer 576 (RFC 8899 BASE for IPv4) less IPv4 and UDP headers */
#define PMTU_MAX   1452 /* 1420 inner + 32 overhead: nothing longer is ever sent */

enum pmtu_state { PMTU_BASE_PROBING, PMTU_SEARCHING, PMTU_COMPLETE, PMTU_ERROR };

struct pmtu {
	uint8_t state;       /* enum pmtu_state */
	uint8_t probe_count; /* consecutive losses of the size under probe */
	uint8_t outer;       /* bytes of IP and UDP headers around a datagram */
	bool validated;      /* probing is allowed */
	bool fixed;          /* the carrier takes any size: nothing is probed */
	bool verifying;      /* the probe in flight (or to be repeated) is of `size` itself */
	bool base_first;     /* BASE: confirm 1200 before trying `first` */
	uint16_t size;       /* confirmed (or assumed: base, floor); use this */
	uint16_t probe_size; /* in flight; 0: none */
	uint16_t ceiling;    /* smallest size known not to pass, or max + 1 */
	uint16_t first;      /* what a search tries first */
	uint16_t max;        /* what the local interface and the peer's MTU allow, <= PMTU_MAX */
	ov_time next_at;     /* when the next probe of a search is due */
	ov_time verify_at;   /* when `size` is to be verified */
	ov_time small_since; /* since when size < PMTU_MAX, OV_NEVER otherwise (ICMPv6 Packet Too
				Big after 10 s) */
	ov_time again_at;    /* after a fall: data sent from then on makes the search begin anew */
	ov_time again_wait;  /* from the end of that search until again_at; 0: there was no fall */
	ov_time verified_at; /* when a datagram of `size` was last confirmed */
};

/* max: largest datagram (UDP payload) worth trying; clamped to [PMTU_FLOOR, PMTU_MAX]. v6: outer
 * family, for the ladder of common MTUs. `size` is PMTU_BASE at first (or max if that is less). */
void pmtu_init(struct pmtu *p, ov_time now, uint16_t max, bool v6);
/* A carrier that cuts and joins by itself (TCP): every size up to `max` passes, at once and always.
 */
void pmtu_fix(struct pmtu *p, ov_time now, uint16_t max);
/* The path has been validated (small challenge answered): searching may start. Once; later calls do
 * nothing. */
void pmtu_on_validated(struct pmtu *p, ov_time now);
/* Size to probe now, or 0. Reports that the caller sends it: exactly one pmtu_on_ack, pmtu_on_loss
 * or pmtu_on_refused must follow (an ack may still follow a loss). Never more than one in flight.
 */
uint16_t pmtu_poll(struct pmtu *p, ov_time now);
/* A probe of this size was answered, however late. */
void pmtu_on_ack(struct pmtu *p, ov_time now, uint16_t size);
/* The probe of this size timed out (caller's timer: max(3 SRTT, 100 ms)). Sizes not in flight are
 * ignored. */
void pmtu_on_loss(struct pmtu *p, ov_time now, uint16_t size);
/* A datagram of this size is being sent on this path: `size` is re-verified once a second while
 * large ones are (black hole detection). Cheap; call per run. */
void pmtu_on_large_sent(struct pmtu *p, ov_time now, uint16_t size);
/* The kernel refused a datagram of this size (EMSGSIZE): local and therefore trusted. */
void pmtu_on_refused(struct pmtu *p, ov_time now, uint16_t size);
/* When to call pmtu_poll; OV_NEVER while a probe is in flight. */
ov_time pmtu_deadline(const struct pmtu *p);
