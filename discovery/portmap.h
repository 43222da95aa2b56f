#pragma once
/* portmap - a port of ours at the router: which protocol is asked when, how long a lease is kept,
 * what is made of the answers. One per address family: for IPv4 the router maps its own address and
 * a port to us, for IPv6 it opens its firewall. docs/nat.md 1.
 *
 * A function of (state, now, input). After each verb drain portmap_poll. PCP datagrams go from here
 * to the router; NAT-PMP and UPnP are jobs for the child (discovery/portmap_pipe.h). */
#include "core/rng.h"
#include "discovery/pcp.h"
#include "discovery/portmap_pipe.h"

#define PORTMAP_LEASE 7200 /* seconds, asked for; nat.md part 1 */

enum portmap_protocol { PORTMAP_PCP, PORTMAP_NATPMP, PORTMAP_UPNP, PORTMAP_PROTOCOLS };
const char *portmap_protocol_name(enum portmap_protocol p); /* "pcp", "nat-pmp", "upnp" */

enum portmap_state {
	PORTMAP_OFF,       /* no router, or nothing to ask it for */
	PORTMAP_SEARCHING, /* asked, no answer yet */
	PORTMAP_HELD,      /* the router forwards to us */
	PORTMAP_NONE,      /* no router answered, or none agreed: asked again later */
};
const char *portmap_state_name(enum portmap_state s); /* "off", "searching", "held", "none" */

enum portmap_error {
	PORTMAP_ERR_NONE,
	PORTMAP_ERR_SILENT,     /* no router answers any of the protocols */
	PORTMAP_ERR_REFUSED,    /* it says no: `code` */
	PORTMAP_ERR_FAILED,     /* its answer makes no sense */
	PORTMAP_ERR_HELPER,     /* overlay-portmap is missing or ended while it asked */
	PORTMAP_ERR_DOUBLE_NAT, /* it refuses because its own address is private */
};
const char *portmap_error_name(enum portmap_error e); /* NULL for NONE; "no-answer" ... */

struct portmap_route { /* where the best default route of a family leads; zeroed: none */
	struct ov_addr local, gateway; /* without ports; scope of the gateway: interface */
	uint32_t interface;
	uint8_t prefix_len; /* of local */
};

struct portmap_status {
	enum portmap_state state;
	enum portmap_protocol protocol; /* HELD: by which; else asked last */
	struct portmap_route route;
	struct ov_addr external;  /* HELD: where others reach us. NONE: the router's own address if
				     it told, with port 0 */
	ov_time expires_at;       /* HELD; OV_NEVER: the router keeps it for ever */
	uint32_t lease_s;         /* HELD: as granted; 0: for ever */
	bool double_nat;          /* the router's outer address is private: one more NAT is ahead */
	enum portmap_error error; /* NONE: of the protocol that came farthest */
	uint16_t code;            /* of that protocol, 0: none */
};

struct portmap {
	struct portmap_status status;
	struct rng rng;
	uint8_t nonce_key[32], nonce[PCP_NONCE_LEN];
	uint16_t port; /* ours, to be mapped */
	uint16_t pinhole;
	uint32_t job;                 /* id of the last one */
	enum portmap_protocol worked; /* PORTMAP_PROTOCOLS: none yet */
	enum portmap_protocol asked;  /* while `asking` */
	uint8_t tried;                /* bits: protocols of this search */
	uint8_t sends;                /* of this try */
	bool asking;                  /* a question is out; `at`: repeat it or give up */
	bool send_due, job_due, check_due, release_due; /* for portmap_poll */
	bool changed;                                   /* since portmap_changed */
	ov_time at, check_at, heard_at;
	ov_time rest; /* at least so long, said the router */
	struct pcp_epoch epoch;
	struct portmap_request release;
};

/* port: our UDP port. nonce_key: secret of this machine that a restart does not change: a router
 * gives a PCP mapping only to whoever repeats its nonce, also after a crash (RFC 6887 11.3). */
void portmap_init(struct portmap *p, const uint8_t nonce_key[32], uint16_t port, struct rng rng);

/* The default route of the family. Another one (true): what was is forgotten and the search starts
 * anew. The same: nothing, unless `doubt` (we slept, peers see another address of ours): then the
 * lease is renewed, or the search starts, unless that was just done. */
bool portmap_network(struct portmap *p, ov_time now, const struct portmap_route *r, bool doubt);
/* A datagram from the router's port PCP_SERVER_PORT. is_announcement: it came to PCP_CLIENT_PORT.
 */
enum drop portmap_input(
	struct portmap *p, ov_time now, const uint8_t *data, size_t len, bool is_announcement);
/* Nothing listens at that port (ICMP): neither PCP nor NAT-PMP is to be had. */
void portmap_unreachable(struct portmap *p, ov_time now);
/* Of the child. An answer to a job that is over is ignored. */
void portmap_answer(struct portmap *p, ov_time now, const struct portmap_answer *a);
/* There is no child: the job that waits for it has failed. */
void portmap_child_gone(struct portmap *p, ov_time now);
/* Gives the lease back; the state is PORTMAP_OFF then. */
void portmap_stop(struct portmap *p, ov_time now);

void portmap_tick(struct portmap *p, ov_time now);
ov_time portmap_deadline(const struct portmap *p);

struct portmap_action {
	bool is_job;
	struct portmap_request job; /* for the child */
	uint8_t data[PCP_MAP_LEN];  /* else: to the router's PCP_SERVER_PORT */
	size_t len;
};
bool portmap_poll(struct portmap *p, ov_time now, struct portmap_action *out);
/* True once after state, endpoint, double NAT or error changed. */
bool portmap_changed(struct portmap *p);
