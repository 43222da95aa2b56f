#pragma once
/* portmap_pipe - what the daemon and its child overlay-portmap say to each other: structs of one
 * size each, one after the other in a pipe. The child works through libraries that parse whatever a
 * router answers, so an answer is hostile input: what does not decode ends the child. */
#include "core/addr.h"
#include "core/drop.h"

#define PORTMAP_REQUEST_LEN 56
#define PORTMAP_ANSWER_LEN  40

enum portmap_op {
	PORTMAP_OP_NATPMP,      /* map a port by NAT-PMP */
	PORTMAP_OP_UPNP,        /* map a port of an Internet gateway device */
	PORTMAP_OP_UPNP_PINHOLE /* open its IPv6 firewall for a port */
};

struct portmap_request {
	uint32_t id; /* comes back in the answer */
	enum portmap_op op;
	struct ov_addr local;   /* our address on the interface to the router, and our port */
	struct ov_addr gateway; /* the router: only it is spoken to. Scope: the interface */
	uint8_t prefix_len;     /* of local */
	uint16_t external_port; /* wanted, or that of the mapping to renew or delete */
	uint16_t pinhole;       /* UPNP_PINHOLE: the one to renew or delete; 0: a new one */
	uint32_t lifetime_s;    /* 0: delete it; then there is no answer */
};

enum portmap_result {
	PORTMAP_DONE,
	PORTMAP_SILENT,  /* nobody answers, or nobody who may be believed */
	PORTMAP_REFUSED, /* the router says no */
	PORTMAP_FAILED   /* an answer that makes no sense, or a local error */
};

struct portmap_answer {
	uint32_t id;
	enum portmap_result result;
	struct ov_addr external; /* of the mapping. Without DONE: the router's own (0.0.0.0: it says
				    that it has none), or all zero if it told nothing */
	uint32_t lifetime_s;     /* 0: permanent */
	uint32_t epoch_s;        /* NAT-PMP only, else 0 */
	uint16_t pinhole;
	uint16_t code; /* of the protocol, for people; 0: none */
};

void portmap_request_encode(uint8_t out[PORTMAP_REQUEST_LEN], const struct portmap_request *r);
/* Both: DROP_NONE, or DROP_FORMAT and out is undefined. */
enum drop portmap_request_decode(
	struct portmap_request *out, const uint8_t data[PORTMAP_REQUEST_LEN]);
void portmap_answer_encode(uint8_t out[PORTMAP_ANSWER_LEN], const struct portmap_answer *a);
enum drop portmap_answer_decode(struct portmap_answer *out, const uint8_t data[PORTMAP_ANSWER_LEN]);
