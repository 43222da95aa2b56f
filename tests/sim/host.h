#pragma once
/* host - one machine: a node, what survives its restarts (identity, boot epoch, contacts, last
 * endpoints), and a small inner stack that talks: echo, numbered datagrams, one TCP per peer. */
#include "overlay/node.h"
#include "tests/sim/apps.h"
#include "tests/sim/extra.h"
#include "tests/sim/flow.h"
#include "tests/sim/seed.h"

#define HOST_PORT         27182
#define HOST_FLOWS_MAX    8
#define HOST_ENDPOINTS    4
#define HOST_FACILITATORS 2
#define TALK_PORT         4000
#define FLOW_PORT         22

struct sim;
struct flight;

/* Datagrams on their way into one host: what one recvmmsg with GRO would return. */
#define INBOX_RUNS  32
#define INBOX_BYTES 65536
struct inbox {
	uint32_t host;
	size_t count, used;
	struct dgram runs[INBOX_RUNS];
	uint8_t bytes[INBOX_BYTES];
};

struct friend
{ /* a contact, as this host knows it */
	uint32_t host;
	struct ov_addr endpoints[HOST_ENDPOINTS];
	size_t endpoint_count;
	struct ov_addr last_endpoint; /* the store's copy */
	const char *grants;           /* list of words */
	bool wanted; /* these two can reach each other, and shall after the faults */
	bool up;
	uint32_t ups, downs;
	uint64_t received; /* inner packets from there */
	ov_time last_received, longest_gap;
	uint64_t direct; /* datagrams with inner packets that came from there without a relay */
	ov_time first_received, first_direct; /* of them; 0: none */
	uint64_t association;                 /* as the node says; 0: none in this start */
	ov_time associated_at;                /* seen first then */
};

struct service { /* a facilitator, as this host knows it */
	uint32_t host;
	bool registered; /* as last told */
};

enum talk_kind { TALK_UDP, TALK_ECHO };

struct talk { /* periodic traffic to one friend */
	enum talk_kind kind;
	uint32_t friend; /* index */
	ov_time every, next_at, until;
	uint16_t size;
	uint64_t sent, answered; /* answered: echo */
};

struct host {
	uint32_t id;
	char name[8];
	struct identity self;
	uint8_t inner_ip[16], mac1_key[32];
	struct node *node; /* NULL: switched off */
	struct node_config config;
	struct aead_table aead;
	struct seed chance;
	uint32_t network_changes; /* in this start */
	ov_time started_at;
	uint32_t starts; /* how often a node was made here */
	bool asleep;
	struct friend *friends;
	size_t friend_count;
	struct service facilitators[HOST_FACILITATORS];
	size_t facilitator_count;
	struct talk *talks;
	size_t talk_count;
	struct flow flows[HOST_FLOWS_MAX];
	struct extra extra;
	struct app_end *ends; /* open, of streams */
	ov_time held_until;   /* its sockets are full for streams; 0: they are not */
	uint64_t serial;      /* of inner packets made here */
	ov_time deadline;     /* cached: min of node, talks, flows */
	ov_time busy_since;   /* storm: start of the second being counted */
	uint32_t busy_ticks, busy_packets;
	uint64_t emitted;                   /* datagrams, all starts */
	uint64_t idle_from, idle_allowance; /* emitted when silence began; how many may follow */
	uint64_t drops[DROP_REASON_COUNT];  /* as last seen, to name the drops of a step */
	bool dirty;
};

void host_init(struct sim *s, struct host *h, uint32_t id);
void host_fini(struct host *h);
/* Adds a contact (index returned). grants: words as in `--allow`, a literal. */
size_t host_befriend(struct sim *s, struct host *h, uint32_t other, const char *grants);
void host_endpoint(struct host *h, size_t friend, const struct ov_addr *a);
/* Uses that host as facilitator, at the addresses it has in the core when h starts; whether it
 * serves is its config.facilitator. */
void host_use(struct host *h, uint32_t facilitator);
bool host_uses(const struct host *h, uint32_t facilitator);
struct friend *host_friend(struct host *h, uint32_t other); /* NULL: no contact */

/* Makes a node with the next boot epoch (epoch_step 1; 0 or negative: a rolled back disk). */
void host_start(struct sim *s, struct host *h, int epoch_step, bool call);
void host_stop(struct host *h);
/* Tells the node of the addresses it has now. */
void host_network_changed(struct sim *s, struct host *h, bool resumed);
void host_sleep(struct sim *s, struct host *h);
void host_wake(struct sim *s, struct host *h);
void host_ping(struct sim *s, struct host *h, uint32_t other);

struct talk *host_talk(struct sim *s, struct host *h, uint32_t other, enum talk_kind kind,
	ov_time every, ov_time until);
/* Starts a transfer of `bytes`; NULL: no free flow. */
struct flow *host_transfer(struct sim *s, struct host *h, uint32_t other, uint64_t bytes);

/* A datagram arrived (borrowed). It waits in the world's inbox for others of its run, as in a NIC;
 * host_input hands the inbox to the node. */
void host_receive(struct sim *s, struct host *h, const struct flight *f);
void host_input(struct sim *s);
void host_tick(struct sim *s, struct host *h);
/* Moves everything that is ready out of the node and into the net or the inner stack. */
void host_drain(struct sim *s, struct host *h);
bool host_is_awake(const struct host *h);
