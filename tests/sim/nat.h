#pragma once
/* nat - a UDP NAT box by the words of RFC 4787: mapping and filtering behaviour, mapping lifetime,
 * hairpinning, port allocation. With `translate` off it is a stateful firewall: filtering and
 * lifetime only. */
#include "core/addr.h"
#include "tests/sim/seed.h"

enum nat_behaviour {
	NAT_ENDPOINT_INDEPENDENT,   /* EIM, EIF */
	NAT_ADDRESS_DEPENDENT,      /* ADM, ADF */
	NAT_ADDRESS_PORT_DEPENDENT, /* APDM ("symmetric"), APDF */
};

enum nat_ports { NAT_PORT_PRESERVE, NAT_PORT_SEQUENTIAL, NAT_PORT_RANDOM };

struct nat_config {
	bool translate;
	struct ov_addr outside; /* ip of the outside; port ignored */
	enum nat_behaviour mapping, filtering;
	enum nat_ports ports;
	ov_time lifetime; /* of a mapping and of a filter entry after the last outbound packet */
	bool refresh_inbound; /* RFC 4787 REQ-6: inbound packets refresh too */
	bool hairpin;         /* REQ-9, with the external source address */
	/* Its own ports are open: what nobody asked for is its own, and the endpoint it came to is
	 * taken for that sender. Ours gets another one there (conntrack; nat.md part 4). */
	bool marks;
};

#define NAT_SESSIONS_MAX 2048 /* a burst makes 1,200 */

#define NAT_MARKS_MAX 64

/* One (inside, remote) pair. Sessions of one mapping share `outside_port`. */
struct nat_session {
	struct ov_addr inside, remote;
	uint16_t outside_port;
	ov_time expire_at;
};

struct nat {
	struct nat_config config;
	struct nat_session sessions[NAT_SESSIONS_MAX];
	size_t count;
	uint16_t next_port;
	struct nat_session marks[NAT_MARKS_MAX]; /* inside: unused */
	size_t next_mark;
};

enum nat_verdict { NAT_PASS, NAT_HAIRPIN, NAT_NO_MAPPING, NAT_FILTERED, NAT_FULL };

void nat_init(struct nat *n, const struct nat_config *config);
/* Forgets everything (power cut); with `new_port_base` the allocation starts elsewhere. */
void nat_reboot(struct nat *n, struct seed *s);
/* A datagram from inside. *source becomes the outside form. NAT_HAIRPIN: it is for one of our own
 * mappings: *source is translated and *destination is the inside target. */
enum nat_verdict nat_outbound(struct nat *n, ov_time now, struct seed *s, struct ov_addr *source,
	struct ov_addr *destination);
/* A datagram from outside; *destination becomes the inside form. */
enum nat_verdict nat_inbound(
	struct nat *n, ov_time now, const struct ov_addr *source, struct ov_addr *destination);
const char *nat_verdict_name(enum nat_verdict v);
