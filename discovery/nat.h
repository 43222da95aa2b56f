#pragma once
/* nat - what kind of NAT stands before us, from the addresses that others observed, and how two
 * machines behind theirs may meet. Terms of RFC 4787; thresholds of nat.md, part 1. */
#include "core/addr.h"

#define NAT_SAMPLES   8
#define NAT_FRESH_MAX 100 /* and a new socket lands so near to them */

enum nat_mapping {
	NAT_MAPPING_UNKNOWN,                /* too few samples */
	NAT_MAPPING_NONE,                   /* no translation: the address is ours */
	NAT_MAPPING_ENDPOINT_INDEPENDENT,   /* EIM: one external port for all targets */
	NAT_MAPPING_ADDRESS_DEPENDENT,      /* another one for each address */
	NAT_MAPPING_ADDRESS_PORT_DEPENDENT, /* another one for each address and port */
};

enum nat_filtering { /* who may answer, once we sent somewhere */
	NAT_FILTERING_UNKNOWN,
	NAT_FILTERING_OPEN,                   /* anybody: endpoint-independent */
	NAT_FILTERING_ADDRESS_DEPENDENT,      /* any port of the address that we sent to */
	NAT_FILTERING_ADDRESS_PORT_DEPENDENT, /* only whom we sent to */
};

enum nat_ports { NAT_PORTS_UNKNOWN, NAT_PORTS_PRESERVED, NAT_PORTS_SEQUENTIAL, NAT_PORTS_RANDOM };

struct nat_sample { /* `observer` saw our socket at `observed` */
	struct ov_addr observer, observed;
	uint16_t local_port; /* of the socket */
	bool is_local;       /* observed is an address of ours */
};

struct nat {                                    /* one network, one family; zeroed: nothing known */
	struct nat_sample samples[NAT_SAMPLES]; /* the newest, one per observer and socket */
	size_t count, next;
	uint8_t filtering; /* enum nat_filtering */
	bool filtering_is_sure;
};

/* A sample replaces the one of the same observer and socket, else the oldest. */
void nat_add(struct nat *n, const struct nat_sample *s);
/* is_sure: found with two addresses. With two ports of one address OPEN may be ADDRESS_DEPENDENT,
 * so that changes nothing where the other is known. */
void nat_set_filtering(struct nat *n, enum nat_filtering filtering, bool is_sure);
void nat_forget(struct nat *n); /* the network changed */

struct nat_class {
	enum nat_mapping mapping;
	enum nat_filtering filtering;
	enum nat_ports ports;
	int step;           /* of a sequence: +1, -1, +2 ...; 0: none */
	uint16_t last_port; /* the newest external port: where a sequence goes on */
	struct ov_addr external;
};
struct nat_class nat_classify(const struct nat *n);

/* How hard a side is to reach, in the order of the table below. */
enum nat_side { NAT_SIDE_OPEN, NAT_SIDE_EASY, NAT_SIDE_PREDICTABLE, NAT_SIDE_HARD };
enum nat_side nat_side(const struct nat_class *c);

enum nat_method {
	NAT_DIAL,         /* the open side is called */
	NAT_PUNCH,        /* both send at one time */
	NAT_PREDICT,      /* the easy side sends to the next ports of the other's sequence */
	NAT_PREDICT_BOTH, /* both do, from several sockets */
	NAT_BIRTHDAY,     /* the hard side opens 256 sockets, the easy one guesses their ports */
	NAT_RELAY,        /* mathematics allows nothing else: 2^16 probes a side for 64 % */
};
/* The same for both ends, whoever asks. */
enum nat_method nat_method(enum nat_side a, enum nat_side b);
