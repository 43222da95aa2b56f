#pragma once
/* node - many peers behind a handful of verbs. Sans-I/O: everything is a function of (state, now,
 * input); the daemon and the simulator drive the same code.
 *
 *   node_input    datagrams came              node_poll      next datagrams to send
 *   node_submit   the interface sent packets  node_inbound   packets for the interface
 *   node_tick     a deadline passed           node_event     something for the local side
 *   node_deadline when to tick next
 *
 * After any verb that changes state, drain node_inbound, node_poll and node_event; after node_input
 * node_poll may wait for more runs, NODE_INPUT_BYTES of them in all. Output buffers stay valid
 * until the next node_input, node_submit or node_tick. */
#include "core/aead.h"
#include "core/blocks.h"
#include "core/dgram.h"
#include "core/drop.h"
#include "core/frame.h"
#include "core/handshake.h"
#include "discovery/candidates.h"
#include "discovery/nat64.h"
#include "discovery/voucher.h"
#include "overlay/contact.h"
#include "overlay/offload.h"

#define NODE_INPUT_BYTES (512 * 1024)

struct node;

struct node_config {
	uint32_t max_contacts;           /* 16,384 */
	uint32_t max_pending_handshakes; /* 1,024 */
	uint32_t max_flows;              /* filter's flow table, 16,384 */
	uint32_t max_requests;           /* strangers waiting for accept, 64 */
	uint16_t listen_port;  /* for default ports of endpoints, and to recognise ourselves */
	uint16_t datagram_max; /* largest UDP payload local interfaces allow; <= PMTU_MAX is used */
	uint32_t boot_epoch;   /* from the store; raised at each start */
	uint8_t facilitator;   /* enum facilitator_policy: whom we serve */
	uint16_t tcp_port;     /* the edge takes connections there: told to peers; 0: it does not */
	uint16_t second_port;  /* the edge listens there too, for NAT checks of clients; 0: not */
	uint32_t max_clients;  /* strangers served, and contacts: so many of each, 10,000 */
	uint16_t relay_channels;               /* of one client, 64 */
	uint32_t relay_bytes_per_second;       /* of one client, 12,500,000; at least 16,000 */
	uint32_t relay_total_bytes_per_second; /* of all, 125,000,000; the same */
	ov_time streams_outlive; /* an association with open streams waits so long for the peer */
	bool lan_only;           /* no way out of the networks we are on, to or from anybody */
	bool pairing;            /* strangers with a valid handshake are listed as requests */
	struct handshake_network network;
	struct blocks
		key_memory; /* node_key_size() bytes each, for session keys; alloc NULL: the heap */
};
size_t node_key_size(void);
size_t node_keys_max(const struct node_config *c); /* session keys in use at one time, at most */
struct node_config node_config_default(void);

/* Borrowed until node_free: aead table, identity. NULL: out of memory. */
struct node *node_new(const struct node_config *cfg, const struct identity *self,
	const struct aead_table *aead, struct rng rng, ov_time now);
void node_free(struct node *n);

/* ---- contacts ---- */
/* Insert or replace by PeerId (copied). Literal endpoints become candidates; names are resolved by
 * the edge (node_candidate). `call`: try to reach it now. OV_EEXIST: its /64 collides with another
 * contact's; OV_EINVAL: our own PeerId; OV_EFULL, OV_ENOMEM. */
OV_MUST_CHECK int node_contact_put(struct node *n, ov_time now, const struct contact *c, bool call);
OV_MUST_CHECK int node_contact_remove(struct node *n, const struct peer_id *id);
const struct contact *node_contact(const struct node *n, const struct peer_id *id);

/* Another address where the peer may be. See candidates_add. */
void node_candidate(struct node *n, ov_time now, const struct peer_id *id, const struct ov_addr *a,
	enum candidate_source source);

/* The same for an address that takes TCP connections. */
void node_candidate_tcp(struct node *n, ov_time now, const struct peer_id *id,
	const struct ov_addr *a, enum candidate_source source);

/* ---- offers (docs/protocol.md 13.7) ---- */
#define NODE_OFFERS_MAX 3
/* Tells this peer where we can be reached, soon and if there is a session (else nothing): at most
 * NODE_OFFERS_MAX, copied. */
void node_offer(struct node *n, ov_time now, const struct peer_id *to,
	const struct relay_offer *list, size_t count);
/* What only `giver` and `taker` know, one of whom we are: the secret of the voucher for `taker` in
 * an offer of this facilitator (docs/protocol.md 13.7). False: the other is no contact. Wipe it. */
bool node_offer_secret(struct node *n, const struct peer_id *giver, const struct peer_id *taker,
	const struct peer_id *facilitator, uint8_t out[VOUCHER_SECRET_LEN]);

/* ---- invites (docs/protocol.md 14) ---- */
/* We were invited by this contact: calls it at once, and every call shows the secret until a
 * session is up. OV_ENOENT: no such contact. */
OV_MUST_CHECK int node_join(struct node *n, ov_time now, const struct peer_id *id,
	const uint8_t secret[HS1_INVITE_LEN]);
/* count hashes of HS1_INVITE_HASH_LEN, of the invites that wait to be used, at most
 * NODE_INVITES_MAX: who shows one is let in by our relays. */
#define NODE_INVITES_MAX 64
void node_set_invites(struct node *n, ov_time now, const uint8_t *hashes, size_t count);
/* The invite has expired: its secret is forgotten. */
void node_join_expired(struct node *n, const struct peer_id *id);
/* Where others may reach us, best first: as a peer saw us, then our own addresses (loopback is
 * none). */
size_t node_own_addresses(const struct node *n, struct ov_addr *out, size_t max);

/* It shall tell others where we are, and relay: called always and kept warm. Endpoints as a
 * contact's; it may be a contact as well. pass: what a voucher lets us show it (HS1_VOUCHER_LEN
 * bytes, discovery/voucher.h) until the voucher expires; NULL: none. OV_EFULL: 8 of them, or as
 * node_contact_put. */
OV_MUST_CHECK int node_facilitator_put(
	struct node *n, ov_time now, const struct contact *c, const uint8_t *pass);
/* It serves us no more: a contact stays one. OV_ENOENT: it is none of ours. */
int node_facilitator_remove(struct node *n, ov_time now, const struct peer_id *id);
/* The calendar, by which vouchers expire: at the start, and whenever the edge likes. */
void node_set_wall(struct node *n, ov_time now, int64_t unix_s);

/* ---- LAN (heard.c) ---- */
struct node_pair {
	const uint8_t
		*key; /* 32 bytes that only the two know, beacon_pair_key; until the next verb */
	bool we_are_lower;
	bool computed; /* by this call: a DH */
};
/* Of the i-th peer (node_contact_at); false: there is none, or it is no contact. */
bool node_pair(struct node *n, size_t i, struct node_pair *out);
/* A beacon of this contact came from `a` on a network of ours: a candidate as long as nothing else
 * is heard for `lasts`. The first beacon after none for so long, one from a new address, and one
 * sooner than the rhythm of announce.h are signs of life: who is not reached is called, wanted or
 * not, and old session keys are renewed. Others keep the address, and call only who is wanted; so
 * two who have nothing to say fall asleep beside each other. True: a sign of life. */
bool node_heard(struct node *n, ov_time now, const struct peer_id *id, const struct ov_addr *a,
	ov_time lasts);
/* We came into a network (back): call whom we heard there less than `lasts` ago. */
void node_heard_again(struct node *n, ov_time now, ov_time lasts);
/* Forgets the addresses of whom we did not hear for `lasts`. */
void node_heard_expire(struct node *n, ov_time now, ov_time lasts);

/* ---- verbs ---- */
/* A batch of received runs (data is overwritten by opened packets). */
void node_input(struct node *n, ov_time now, const struct dgram *in, size_t count);
/* Packets from the interface; returns how many were consumed (less than count: output is full, send
 * and come again). */
size_t node_submit(struct node *n, ov_time now, const struct ip_packet *packets, size_t count);
void node_tick(struct node *n, ov_time now);
/* Up to max runs to send; 0: nothing more, and node_deadline is up to date. */
size_t node_poll(struct node *n, ov_time now, struct dgram *out, size_t max);
/* Packets for the interface, in order; returns the count and empties the list. */
size_t node_inbound(struct node *n, const struct ip_packet **out);
ov_time node_deadline(const struct node *n);

/* Ask for the state of a peer's path: events NODE_PONG or NODE_PING_TIMEOUT with this token. Calls
 * the peer if it is away. Our own PeerId answers at once. OV_ENOENT: no such contact; OV_EFULL: 64
 * pings wait. */
OV_MUST_CHECK int node_ping(
	struct node *n, ov_time now, const struct peer_id *id, uint64_t token, ov_time timeout);

struct local_address {
	struct ov_addr addr;
	uint32_t interface;
	uint8_t prefix_len;
	bool has_default_route;
};
/* The usable local addresses changed (netlink), or we woke up from sleep (`resumed`: sessions are
 * re-checked at once). */
void node_network_changed(
	struct node *n, ov_time now, const struct local_address *list, size_t count, bool resumed);
/* Is this machine on a network with IPv6 and without IPv4? Then its NAT64 is looked for. */
bool node_wants_nat64(const struct node *n);
/* The prefix found here, `bits` 0: none. IPv4 addresses are reached by it while node_wants_nat64.
 */
void node_set_nat64(struct node *n, ov_time now, const struct nat64 *prefix);
const struct nat64 *node_nat64(const struct node *n); /* bits 0: none is in use */
/* The kernel refused to send a run (EMSGSIZE: its size; unreachable: no route). Local facts,
 * therefore trusted. */
void node_send_failed(struct node *n, ov_time now, const struct dgram *d, bool too_big);
/* The ports that NODE_PORTS_WANTED asked for; as many as could be had. Datagrams from them have
 * their local.port. */
void node_ports(struct node *n, ov_time now, const uint16_t *ports, size_t count);
/* The port that NODE_PROBE_WANTED asked for; 0: there is none to be had. */
void node_probe_port(struct node *n, ov_time now, uint16_t port);
/* The endpoints that routers forward to us now, at most 2: told to peers before all others. */
void node_set_mapped(struct node *n, ov_time now, const struct ov_addr *list, size_t count);
/* ---- TCP connections are the edge's, docs/protocol.md 13.5 ---- */
/* The next address to connect to; false: none. Drain it after each verb. An attempt that fails
 * needs no report: it is asked for again. */
bool node_dial(struct node *n, struct ov_addr *remote);
/* A connection that was asked for stands. Its datagrams come and go with this local and remote
 * address and `interface` = its number, never 0, not used again soon. */
void node_tcp_opened(struct node *n, ov_time now, const struct dgram *where);
/* The connection of this number is gone, whoever made it. */
void node_tcp_closed(struct node *n, ov_time now, uint32_t number);
/* What answers there is no overlayd; the connection is gone (node_tcp_closed). */
void node_tcp_foreign(struct node *n, ov_time now, const struct ov_addr *remote);
void node_set_pairing(struct node *n, bool pairing);

/* ---- events ---- */
enum node_event_type {
	NODE_PEER_UP,         /* session confirmed: addr, rtt (0: not known yet) */
	NODE_PEER_DOWN,       /* no path answers any more */
	NODE_PATH_CHANGED,    /* addr, rtt */
	NODE_ADDRESS_CHANGED, /* our own address as a peer observes it: addr */
	NODE_PEER_REQUEST,    /* stranger: peer, addr */
	NODE_GUEST,           /* somebody shows the secret of an invite: peer, addr, invite */
	NODE_JOINED,          /* the contact that invited us knows us now: peer */
	NODE_ENDPOINT,        /* newly validated endpoint, for the store: peer, addr */
	NODE_PONG,            /* token, rtt, addr (path's remote), observed, pmtu */
	NODE_PING_TIMEOUT,    /* token */
	NODE_REFUSED, /* peer asked for what it has no grant for: refused; at most one a second */
	NODE_PORTS_WANTED,  /* open `count` more UDP ports and tell them: node_ports */
	NODE_PORTS_DONE,    /* close those of this burst, but for port `count` (0: all) */
	NODE_PROBE_WANTED,  /* open one more UDP port and tell it: node_probe_port */
	NODE_PROBE_DONE,    /* close it */
	NODE_RELAY_OFFERED, /* by the contact `peer`: it is reached at the facilitator `other`, at
			       addr (any: where we know it); token: Unix time, signature: of the
			       voucher */
	NODE_EVENTS_LOST,   /* the ring was full: count */
};

#define REFUSED_WORD_MAX 16 /* the grant that was missing: "tcp/22", "udp/53", "icmp", "all" */

struct node_event {
	enum node_event_type type;
	struct peer_id peer;
	struct ov_addr addr, observed;
	ov_time rtt;
	uint64_t token, count;
	uint16_t pmtu;
	char refused[REFUSED_WORD_MAX];
	uint8_t invite[32]; /* hash of the secret (discovery/invite.h) */
	struct peer_id other;
	uint8_t signature[RELAY_OFFER_SIGNATURE_LEN];
};
bool node_event(struct node *n, struct node_event *out);

/* ---- what `overlay status` shows ---- */
enum peer_state { PEER_IDLE, PEER_CALLING, PEER_UP, PEER_SUSPECT, PEER_AWAY };
const char *peer_state_name(enum peer_state s);

struct path_info {
	struct ov_addr local, remote;
	uint32_t interface;
	uint8_t carrier;
	const char *state;        /* "untried" "probing" "valid" "suspect" */
	bool active, natted;      /* natted: the peer observes another address than our local one */
	ov_time srtt, last_heard; /* last_heard: ov_time, 0 never */
	uint16_t pmtu;
	uint32_t loss_permille;
	uint64_t sent_bytes, received_bytes;
	struct ov_addr observed;
};

struct peer_info {
	struct peer_id id;
	enum peer_state state;
	const char *suite; /* "aes-256-gcm", NULL without a session */
	const char *backend;
	uint64_t sent_bytes, received_bytes, sent_packets, received_packets;
	ov_time last_heard;     /* ov_time; 0: never in this run */
	ov_time session_age;    /* 0 without */
	size_t waiting_packets; /* queued while calling */
	size_t path_count, candidate_count;
	struct path_info active; /* valid if has_active */
	bool has_active;
	uint64_t association, handshakes;
	char refused[REFUSED_WORD_MAX]; /* last thing refused for want of a grant; "": nothing */
	ov_time refused_at;
};
size_t node_peer_count(const struct node *n);
size_t node_known_count(const struct node *n); /* without facilitators and clients of ours */
bool node_peer_info(
	const struct node *n, ov_time now, const struct peer_id *id, struct peer_info *out);
size_t node_peer_paths(
	const struct node *n, const struct peer_id *id, struct path_info *out, size_t max);
struct candidate_info {
	struct ov_addr addr;
	uint8_t carrier; /* CARRIER_UDP or CARRIER_TCP */
	enum candidate_source source;
	const char *state; /* "untried" "asked" "silent" "answers" "suspect"; "policy": not tried,
			      because of lan_only */
	ov_time added;
};
size_t node_peer_candidates(
	const struct node *n, const struct peer_id *id, struct candidate_info *out, size_t max);

#define WHY_TEXT_MAX 240

/* Why the peer is reached the way it is, or not at all. */
struct why {
	const char *code;        /* docs/nat.md 2.2 */
	char text[WHY_TEXT_MAX]; /* one sentence, for people; without the peer's name */
};
bool node_why(const struct node *n, ov_time now, const struct peer_id *id, struct why *out);

bool node_is_self(const struct node *n, const struct peer_id *id);

/* i-th contact in insertion order, or NULL. */
const struct contact *node_contact_at(const struct node *n, size_t i);

/* Is this address of a path, an event or a ping the far end of a relay's channel? Then which
 * relay's. */
bool node_relay_of(const struct node *n, const struct ov_addr *a, struct peer_id *relay);

struct facilitator_info { /* one of ours */
	struct peer_id id;
	enum peer_state state;
	bool registered;
	bool by_voucher;                 /* we are shown in by a contact's word: a guest */
	bool watches;                    /* it tells who of our contacts comes and goes */
	size_t here;                     /* contacts that are registered there now */
	uint8_t refused;                 /* enum relay_reason: why it does not serve us */
	ov_time srtt;                    /* 0: not known */
	struct ov_addr remote, observed; /* any: not known */
	struct ov_addr endpoint;         /* where others may reach it by UDP; any: not known */
};
size_t node_facilitators(
	const struct node *n, ov_time now, struct facilitator_info *out, size_t max);

struct nat_info { /* what NAT stands before us, in words (RFC 4787; nat.md part 1, step 7) */
	const char *mapping;     /* "unknown" "none" "endpoint-independent" "address-dependent"
				    "address-and-port-dependent" */
	const char *filtering;   /* "unknown" "endpoint-independent" "address-dependent"
				    "address-and-port-dependent" */
	bool two_addresses;      /* a facilitator saw it from two: else endpoint-independent
				    filtering may be address-dependent */
	const char *ports;       /* "unknown" "preserved" "sequential" "random" */
	const char *side;        /* "open" "easy" "predictable" "hard": how others may meet us */
	struct ov_addr external; /* any: nobody told */
	const char *hairpin;     /* "unknown" "yes" "no": do we reach ourselves by `external`? */
	uint16_t survived_s, lost_s; /* idle mappings do (not) live so long; 0: not known */
	bool measuring;              /* these are not final */
	ov_time keepalive;           /* of paths through it; 0: it needs none */
};
/* Does something else answer in place of all facilitators, as the portal of a network does that
 * asks for a login? Where: *by. */
bool node_captive(const struct node *n, ov_time now, struct ov_addr *by);
struct nat_info node_nat_info(const struct node *n, bool ipv6);

struct facilitator_refusals {      /* why we did not serve */
	uint64_t denied;           /* policy: REGISTER, WATCH, RELAY_OPEN */
	uint64_t away;             /* RELAY_OPEN to who is not there, or lets others in only */
	uint64_t clients;          /* as many as may be */
	uint64_t channels;         /* of one client */
	uint64_t memory;           /* for tags */
	uint64_t rate, total_rate; /* datagrams beyond what one client, or all, may send */
};

struct facilitator_role { /* we as one */
	uint8_t policy;   /* enum facilitator_policy */
	size_t clients;   /* registered with us now */
	size_t guests;    /* strangers that a contact vouches for */
	size_t channels;  /* pairs that we relay between */
	size_t watched;   /* tags that clients wait for */
	uint64_t relayed_bytes, vouchers_refused;
	struct facilitator_refusals refused;
	uint32_t max_clients, bytes_per_second, total_bytes_per_second;
	uint16_t max_channels;
};
struct facilitator_role node_facilitator_role(const struct node *n, ov_time now);

struct peer_request {
	struct peer_id id;
	struct ov_addr from;
	ov_time at;
};
size_t node_requests(const struct node *n, struct peer_request *out, size_t max);
bool node_request_take(struct node *n, const struct peer_id *id,
	struct peer_request *out); /* removes it from the list */

struct node_counters {
	uint64_t drops[DROP_REASON_COUNT];
	uint64_t datagrams_in, datagrams_out, bytes_in, bytes_out, packets_in, packets_out,
		controls_in, numbered, /* packets of streams with a NUMBER, both ways */
		handshakes, pings, pending_handshakes, under_load, relayed_bytes, vouchers_refused;
	struct facilitator_refusals refused;
};
const struct node_counters *node_counters(const struct node *n);
