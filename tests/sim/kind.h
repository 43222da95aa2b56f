#pragma once
/* kind - the boxes that people are behind, in the words of RFC 4787, and how pairs of them can
 * meet (RFC 5128 3.3, nat.md part 4). */
#include "tests/sim/world.h"

enum kind {
	KIND_OPEN,               /* a public address, nothing in front */
	KIND_FIREWALL,           /* a public address behind a stateful firewall */
	KIND_FULL_CONE,          /* EIM, EIF */
	KIND_ADDRESS_RESTRICTED, /* EIM, ADF */
	KIND_PORT_RESTRICTED,    /* EIM, APDF */
	KIND_SEQUENTIAL,         /* APDM ("symmetric"), APDF, each mapping the next port */
	KIND_RANDOM,             /* the same with random ports */
	KIND_CARRIER,            /* EIM, APDF, twice: at home, and at the provider (RFC 6598) */
	KIND_COUNT
};
const char *kind_name(enum kind k);
struct nat_config kind_box(enum kind k, struct ov_addr outside); /* of all but KIND_OPEN */
/* A site behind such a box, and the address a host gets there; number: unlike all others'. */
uint32_t kind_site(struct sim *s, enum kind k, uint8_t number, struct ov_addr *inside);
/* A host behind a box of its own; the site's addresses are made from the host's number. */
struct host *kind_host(struct sim *s, enum kind k, ov_time delay);
/* How these two come to send to each other directly, once each knows how the world sees the other.
 */
enum kind_way {
	KIND_PUNCHED,   /* by plain punching */
	KIND_PREDICTED, /* the next port of a sequence is aimed at */
	KIND_GUESSED,   /* many ports of one side against many probes of the other: mostly */
	KIND_RELAYED    /* not at all */
};
enum kind_way kind_way(enum kind a, enum kind b);
