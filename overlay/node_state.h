#pragma once
/* node_state - what the files of the node share: the node, its peers, and the association a warm
 * peer has. Private to overlay/.
 *
 * Who owns what: node owns peers; a peer owns its association (NULL while cold: a contact that
 * nobody talks to costs no more than its entry); an association owns keys, pending handshakes, the
 * call in progress, paths and staged packets. Everything is freed in one file each (keys.c, call.c,
 * route.c, association.c); nobody else holds a pointer across verbs. */
#include "core/cookie.h"
#include "core/drop.h"
#include "core/fragment.h"
#include "core/frame.h"
#include "core/heap.h"
#include "core/limit.h"
#include "core/path.h"
#include "core/session.h"
#include "core/table.h"
#include "discovery/lifetime.h"
#include "discovery/nat.h"
#include "overlay/filter.h"
#include "overlay/node.h"
#include "overlay/output.h"

#define PATHS_MAX        16
#define CLIENT_PATHS_MAX 4 /* of whom we serve: IPv4, IPv6, and where it moves to */
#define FACILITATORS_MAX 8
#define GUESTS_MAX       1024 /* strangers that contacts vouch for, where not anybody is served */
#define KEYS_MAX         3    /* [0] sends; the others only receive */
#define PENDING_MAX      4    /* per peer, security.md 2.2 */
#define PENDING_LIFETIME (30 * OV_SEC)
#define EVENTS_MAX       256
#define PINGS_MAX        64
#define INBOUND_MAX                                                                   \
	8192 /* packets of one node_input or node_submit; pages are touched when used \
	      */
#define SCRATCH_LEN                                                                             \
	(640 * 1024) /* reassembled packets and ICMPv6 errors of one verb: as much as one batch \
			brings */
#define STAGED_MAX   32
#define STAGED_BYTES (16 * 1024)
#define ASSOCIATION_IDLE \
	(540 * OV_SEC) /* last key wiped: the association ends (no open streams yet) */
#define WANTED_FOR (24 * 3600 * OV_SEC)

struct peer;

/* Who an index on the wire belongs to. */
enum receiver_kind { RECEIVER_KEYS, RECEIVER_CALL };
struct receiver { /* embedded in struct keys and struct call; the table of indices points here */
	enum receiver_kind kind;
	struct peer *peer;
};

struct keys {                   /* a session and what its handshake agreed */
	struct session session; /* first: alignment */
	struct receiver receiver;
	uint64_t association, instance; /* instance: the peer's */
	ov_time retired_at;             /* since when it only receives; OV_NEVER: it sends */
	uint16_t peer_mtu;
	bool pending; /* we answered HS1; nothing verified under them yet */
};

struct pending { /* responder's side of a handshake until the first packet under its keys */
	struct keys *keys;
	uint64_t seq;
	uint64_t mac1_key; /* first 8 bytes of HS1's mac1: finds repetitions */
	uint8_t mac1[MAC_LEN];
	uint8_t hs2[HS2_LEN]; /* answered again to a repetition; no second DH, no second ephemeral
			       */
	ov_time expires_at;
	struct limit resend;
	struct peer *peer;
};

#define CALL_ALL UINT8_MAX

struct call { /* initiator's side: HS1 to the peer until HS2 */
	struct receiver receiver;
	struct handshake handshake;
	struct hs1_payload payload;
	ov_time started_at, built_at, next_at;
	uint8_t attempts;
	bool once;    /* attempt at an away peer: one HS1, 5 s */
	uint8_t only; /* of the places where it may be, the one that has its turn; CALL_ALL */
	bool has_liveness, has_cookie;
	struct limit cookies; /* that we act upon */
	uint8_t liveness[COOKIE_LEN], cookie[COOKIE_LEN];
};

struct staged {
	uint16_t len;
	bool partial;
};
struct staging { /* packets of the interface that wait for a session or a validated path */
	size_t count, used;
	struct staged packets[STAGED_MAX];
	uint8_t bytes[STAGED_BYTES];
};

/* ---- relaying, docs/protocol.md 13 ---- */
enum channel_kind { CHANNEL_LINK, CHANNEL_FORWARD };

struct channel { /* RELAY datagrams between a peer and us */
	uint8_t kind;
	uint32_t id;
	struct peer *session;    /* LINK: the relay; FORWARD: the client at this end */
	struct channel *next;    /* of the same session */
	struct peer_id other;    /* LINK: who is at the far end */
	struct ov_addr observed; /* LINK: where the relay sees it; any: not told */
	struct channel *twin;    /* FORWARD: what comes here leaves there */
	ov_time used_at;         /* FORWARD: opened, or came in here */
};

struct link_request { /* a RELAY_OPEN on its way */
	uint32_t id;
	struct peer_id destination;
	bool used;
};

#define LINK_REQUESTS                                                              \
	64 /* at one time: after a change of network all who are wanted are called \
	    */

struct netcheck {        /* at one facilitator: which NAT stands before us? */
	ov_time next_at; /* OV_NEVER: done */
	uint32_t token;
	uint16_t second_port;
	uint8_t tests; /* of filtering, sent */
};

struct watch { /* of our contacts, at a facilitator */
	uint32_t request;
	uint32_t sequence[REGISTER_PAGES_MAX]; /* the highest that came of a page */
	ov_time next_at; /* say it again; OV_NEVER: answered, or not registered */
	uint8_t attempts;
	uint8_t pages, done;
};

struct registration { /* ours, at a facilitator */
	struct watch watch;
	uint8_t number;         /* bit in the peers' here_at; below FACILITATORS_MAX */
	struct contact written; /* as in the configuration: outlives a contact of the same PeerId */
	struct netcheck netcheck;
	uint32_t request;
	ov_time next_at; /* say it again, or renew; OV_NEVER: it has no session with us */
	uint8_t attempts;
	uint8_t pages, done; /* tags go in pages; bit of each page that was acknowledged */
	bool registered;
	uint8_t refused;    /* enum relay_reason */
	struct limit calls; /* of those who wait for it */
	ov_time relayed_at; /* a RELAY datagram came or went; OV_NEVER: none */
	ov_time heard_at;   /* one came */
	ov_time check_at;   /* is the relay still there? OV_NEVER: nothing was relayed lately */
	struct link_request requests[LINK_REQUESTS];
	uint8_t next_request;
	bool has_pass; /* shown in HS1 until then */
	uint8_t pass[HS1_VOUCHER_LEN];
	uint64_t pass_expires_s;
};

struct guest { /* a client whom a contact vouches for */
	struct peer_id inviter;
	ov_time until;
	uint64_t expires_s;     /* Unix time: the same, as the voucher says it */
	uint8_t token_hash[32]; /* which voucher */
};

struct owed_answer { /* to a LIFETIME_TEST */
	ov_time at;  /* OV_NEVER: none is */
	uint32_t token;
	struct dgram where;
};

struct watched {           /* tags of a page */
	uint32_t sequence; /* of what is not acknowledged; 0: nothing */
	uint8_t count;     /* tags */
	uint8_t told[PRESENCE_BYTES], sent[PRESENCE_BYTES]; /* who is here: it knows; it was told */
	uint64_t tags[];
};

struct watching { /* of a client, docs/protocol.md 13.1 */
	uint32_t request, sequence;
	ov_time push_at; /* OV_NEVER: it knows all */
	uint8_t attempts;
	struct limit pushes;
	struct watched *pages[REGISTER_PAGES_MAX];
};

struct client { /* a peer's registration, with us */
	struct owed_answer owed;
	ov_time expires_at;
	bool here;                 /* as its watchers are told */
	bool counted;              /* in contacts_here */
	struct watching *watching; /* NULL: nobody */
	uint64_t *tags[REGISTER_PAGES_MAX];
	uint8_t counts[REGISTER_PAGES_MAX];
	uint16_t channels;
	struct limit bytes; /* what it may send through us */
};

struct meeting { /* the way from a relay to a direct path */
	uint32_t round;
	uint8_t step; /* of the probes of this round */
	bool moved;   /* one round is due, whoever wants it */
	uint8_t backoff;
	bool same_site;     /* the world sees both of us at one address */
	bool told_side;     /* it said how hard it is to reach: */
	uint8_t their_side; /* enum nat_side */
	ov_time probe_at;   /* OV_NEVER: no round is on */
	ov_time started_at;
	ov_time round_at;  /* next round; OV_NEVER: none is wanted */
	struct limit told; /* its endpoints */
	struct limit told_tcp;
	struct limit rounds; /* that we take part in */
};

/* ---- TCP, docs/protocol.md 13.5 ---- */
#define DIAL_TARGETS 4  /* addresses of one peer that are tried at once */
#define DIALS_MAX    16 /* that wait for the edge */
#define NETWORKS_MAX 8

struct connection { /* made by us, standing */
	uint32_t id;
	struct ov_addr local, remote;
};

struct dial {       /* connections to a peer */
	ov_time at; /* next attempt, or question whether UDP works again; OV_NEVER: none */
	uint8_t step;
	uint8_t count;
	struct connection open[DIAL_TARGETS];
};

struct network { /* one where this machine was, network.c */
	uint64_t id;
	bool used, blocks_udp;
	struct ov_addr external; /* of the NAT that was measured; any: none was */
	ov_time measured_at;     /* OV_NEVER: not, or not to the end */
	struct lifetime lifetime;
	uint8_t hairpin; /* enum hairpin */
};

enum hairpin { HAIRPIN_UNKNOWN, HAIRPIN_NO, HAIRPIN_YES };

enum probing_state {
	PROBING_IDLE,
	PROBING_WAITS,   /* for the port */
	PROBING_OPENS,   /* a test without silence: makes the mapping, tells how it is seen */
	PROBING_HAIRPIN, /* from this port to the other, and back */
	PROBING_SETTLES, /* until the NAT takes it for a conversation */
	PROBING_LISTENS, /* a test after a silence */
};

struct probing { /* what does the NAT do with a mapping that nothing else uses? probing.c */
	uint8_t state, tries;
	bool again; /* the silence is tried for the second time */
	bool answered;
	uint8_t hairpins; /* sent, by both ports */
	uint16_t port;
	uint32_t token;
	ov_time next_at, opened_at;
	struct peer *facilitator;
	struct ov_addr remote;         /* its */
	struct ov_addr external, seen; /* the port in use, and the probe, as it sees them */
	struct lifetime lifetime;
	uint8_t hairpin; /* enum hairpin */
	uint8_t hairpin_token[HAIRPIN_TOKEN_LEN];
};

struct association {
	struct channel *channels; /* this peer is the relay, or our client */
	struct meeting meeting;
	struct dial dial;
	struct offering *offering; /* ours, until it was said often enough; NULL: none */
	struct limit offers;       /* of the peer */
	uint64_t id, peer_instance;
	struct keys *keys[KEYS_MAX];
	struct pending *pending[PENDING_MAX];
	struct call *call;
	struct path *paths[PATHS_MAX];
	struct path *active;    /* the one data path; NULL: none */
	struct path *nominated; /* by the peer, before it answered us; NULL: none */
	struct path *peer_path; /* where the peer's data came from last */
	struct path *
		previous; /* left because the peer's data came elsewhere; if it answers we return */
	struct staging *staging;
	struct reassembly *reassembly;
	ov_time last_key_at;     /* newest confirmed keys: ends 540 s later */
	ov_time duplicate_until; /* data also on the second best path until then */
	size_t duplicate_bytes;
	ov_time too_big_at; /* last ICMPv6 Packet Too Big */
	uint32_t next_fragment_id;
	uint32_t nomination; /* sequence of the last PATH_STATUS sent or followed */
	uint8_t path_count;
	bool up;    /* NODE_PEER_UP was told */
	bool moved; /* our address went with the active path; the peer was not told yet */
};

struct peer {
	struct heap_entry timer; /* first: the heap hands it back */
	struct contact contact;
	uint8_t prefix[8];
	struct known_peer known; /* ss: computed with the first handshake */
	bool touched,
		lower; /* lower: our PeerId is the lower one: we nominate, our handshake wins */
	bool away;
	uint8_t away_step, away_turn;
	uint8_t here_at, absent_at, seen_at; /* bit for each of our facilitators: it says so; and
						was so once */
	struct limit signs;                  /* of life, by facilitators, that we act upon */
	struct candidates candidates;
	uint8_t pair_key[32];  /* valid if has_pair_key; pair.c */
	struct limit hearings; /* new addresses by beacons: 20 a minute */
	struct limit lan_news; /* beacons that were not expected */
	ov_time lan_heard_at;  /* last beacon; OV_NEVER: none */
	bool has_pair_key;
	uint64_t seen_seq; /* highest of its HS1 that was confirmed */
	bool has_invite;   /* it invited us: our HS1 shows the secret until a session is up */
	uint8_t invite[HS1_INVITE_LEN];
	uint64_t told_seq;       /* highest of ours that it says it has seen */
	struct limit handshakes; /* 5/s */
	char refused[REFUSED_WORD_MAX];
	ov_time refused_at;
	struct limit places;               /* of its, that are asked for the first time */
	struct limit asks;                 /* of us as facilitator */
	struct limit refusals;             /* told: 1/s */
	struct limit hurries;              /* calls begun anew */
	struct limit liveness_cookies;     /* 1 per 5 s */
	ov_time dial_after;                /* something else answered its connections */
	uint8_t foreign_count;             /* how often, one after the other */
	ov_time bursts[2];                 /* when the last two were begun; OV_NEVER: not */
	struct registration *registration; /* it is a facilitator of ours */
	struct client *client;             /* we are one of its */
	struct guest *guest;               /* with source CONTACT_CLIENT only; NULL: none */
	ov_time wanted_at; /* last time the local side wanted it; OV_NEVER: not in this run */
	ov_time away_since, retry_at;
	ov_time heard_at; /* OV_NEVER: not in this run */
	struct association *association;
	struct peer *next_touched;
	size_t position; /* in node->peers */
	uint64_t sent_bytes, received_bytes, sent_packets, received_packets, handshake_count;
};

struct ping {
	uint64_t token;
	struct peer *peer;
	ov_time expires_at;
	bool used, asked;
};

#define BURST_PORTS 256

struct burst {             /* finding a hard NAT's port by many tries; one at a time */
	struct peer *peer; /* NULL: none is on */
	bool opens;        /* our NAT is the hard one: we send from many ports */
	struct ov_addr target;
	uint16_t ports[BURST_PORTS]; /* ours, given by the edge */
	size_t port_count;
	uint32_t sent, most, first, stride; /* of the sequence of the target's ports */
	int step;                           /* of a sequential NAT; 0: all ports at random */
	ov_time next_at, ended_at;
};

struct node {
	struct burst burst;
	struct probing probing;
	struct node_config config;
	const struct identity *self;
	const struct aead_table *aead;
	struct rng rng;
	uint8_t own_prefix[8], mac1_key[32];
	uint64_t instance;
	uint32_t handshake_counter; /* low half of seq */

	struct peer **peers; /* insertion order */
	size_t peer_count, peer_cap;
	struct table *by_prefix;  /* first 8 bytes of the /64 -> peer */
	struct table *by_static;  /* first 8 bytes of the X25519 key -> known_peer */
	struct table *by_index;   /* receiver index -> receiver */
	struct table *by_mac1;    /* HS1 answered in the last 30 s -> pending */
	struct table *by_channel; /* RELAY channel -> channel */
	struct table *by_tag;     /* tag -> client that lets in by it */
	struct table *by_watch;   /* tag -> client that waits for whom it leads to */
	struct limit pushes;      /* of presence, to all */
	struct limit relayed;     /* bytes, for all */
	size_t contacts_here;     /* contacts that are clients of ours now */
	struct heap timers;
	struct peer *touched;
	struct peer *facilitators[FACILITATORS_MAX]; /* ours, in the order of the configuration */
	size_t facilitator_count;
	size_t client_count;  /* peers of CONTACT_CLIENT */
	size_t guest_count;   /* of these */
	size_t known_count;   /* peers that contact_is_known */
	size_t forward_count; /* channels of CHANNEL_FORWARD */

	struct cookie_jar cookies;
	struct source_limits *sources;   /* made under load */
	struct source_limits *newcomers; /* of clients; made with the first */
	struct limit dh, dh_hard, cookie_replies, joins, vouchers;
	bool wall_known;
	uint64_t wall_s; /* Unix time at wall_at */
	ov_time wall_at;
	struct limit places; /* as a peer's, for all of them */
	ov_time load_until;
	size_t pending_count;

	struct filter *filter;
	struct output output;
	struct ip_packet *inbound; /* INBOUND_MAX */
	size_t inbound_count;
	uint8_t *scratch; /* SCRATCH_LEN */
	size_t scratch_used;

	struct node_event events[EVENTS_MAX];
	size_t event_first, event_count;
	uint64_t events_lost;
	struct ping pings[PINGS_MAX];
	size_t ping_count;             /* used ones */
	struct peer_request *requests; /* config.max_requests */
	size_t request_count;
	struct local_address locals[64];
	size_t local_count;
	bool locals_known;
	uint8_t invites[NODE_INVITES_MAX][HS1_INVITE_HASH_LEN]; /* hashes */
	size_t invite_count;
	struct ov_addr mapped[2]; /* ports that a router forwards to us */
	size_t mapped_count;
	struct nat nat[2];               /* IPv4, IPv6: as facilitators see this network */
	struct ov_addr observed;         /* last address of ours that a peer told */
	struct ov_addr dials[DIALS_MAX]; /* to be connected to */
	size_t dial_count;
	struct ov_addr foreign; /* what answered there by TCP was no overlayd; any: nothing */
	struct network networks[NETWORKS_MAX]; /* latest first */
	struct nat64 nat64;                    /* the last one found, maybe of another network */
	struct node_counters counters;
};

/* ---- node.c ---- */
enum drop node_drop(struct node *n, enum drop why); /* counts; returns why */
void node_emit(struct node *n, const struct node_event *ev);
void peer_touch(
	struct node *n, struct peer *p); /* node_poll will ask its paths and re-arm its timer */
/* The same for data, which moves deadlines of its path, mostly away: only if one comes before the
 * timer. A timer that fires too early costs less than one set for every packet. */
void peer_touch_path(struct node *n, struct peer *p, const struct path *path);
uint8_t *node_scratch(struct node *n, size_t len); /* NULL: used up */
/* A packet for the interface; data stays valid until the next verb. */
enum drop node_deliver(struct node *n, uint8_t *data, size_t len, bool partial);
struct peer *node_peer(const struct node *n, const struct peer_id *id);
size_t node_clients_max(const struct node_config *c); /* strangers that we serve */
size_t node_peers_max(const struct node_config *c);   /* of all kinds */
size_t node_tags_max(const struct node_config *c);    /* that clients may be watched by */
/* Inside the overlay, so never a way to a peer. */
bool node_is_overlay_addr(const struct node *n, const struct ov_addr *a);
/* ---- peers.c ---- */
void peer_free(struct node *n, struct peer *p);   /* with the node */
void peer_remove(struct node *n, struct peer *p); /* from it */
/* A stranger that we serve as facilitator becomes a peer until its association ends. NULL: none
 * more.
 */
struct peer *client_new(struct node *n, ov_time now, const struct peer_id *id);
/* The same for anybody, if that is our policy. */
struct peer *node_client(
	struct node *n, ov_time now, const struct peer_id *id, const struct ov_addr *from);
/* Is there room for one more, and was this address not too eager? */
bool node_takes_newcomer(struct node *n, ov_time now, const struct ov_addr *from);

/* ---- guest.c ---- */
/* HS1 of a stranger (*p NULL) or a guest that shows a voucher. DROP_NONE: it is a client now, *p.
 */
enum drop guest_on_hs1(struct node *n, ov_time now, const struct hs1_payload *h,
	const struct ov_addr *from, struct peer **p);
/* May these two be relayed between, as far as they are guests? */
bool guest_may_meet(const struct node *n, const struct peer *a, const struct peer *b);
void guest_free(struct node *n, struct peer *p);
void guests_end(struct node *n, const struct peer_id *inviter); /* it is no contact any more */
void guest_tick(struct node *n, ov_time now, struct peer *p);   /* of a peer with an association */
ov_time guest_deadline(const struct peer *p);
/* Ours, at a facilitator: what HS1 to it shows. False: nothing. */
bool registration_pass(
	const struct node *n, ov_time now, struct peer *p, uint8_t out[HS1_VOUCHER_LEN]);
/* False: the one it has holds as long. */
bool registration_keep_pass(struct peer *p, const uint8_t pass[HS1_VOUCHER_LEN]);

/* ---- association.c ---- */
OV_MUST_CHECK bool association_open(
	struct node *n, ov_time now, struct peer *p); /* true if there is one now */
void association_close(struct node *n, struct peer *p);
/* The peer was heard, on this path (NULL: there is no room for it). */
void association_came_up(struct node *n, struct peer *p, const struct path *path);
void association_went_down(struct node *n, struct peer *p);
enum peer_state peer_state(const struct peer *p, ov_time now);
/* Keys that send and a path to send on? Else the peer must be called. */
bool association_reaches(const struct association *a, ov_time now);
bool peer_is_wanted(const struct peer *p, ov_time now);

/* ---- keys.c ---- */
OV_MUST_CHECK struct keys *keys_new(struct node *n, ov_time now, struct peer *p, enum suite suite,
	const struct session_config *c);
void keys_free(struct node *n, struct keys *k);
uint32_t keys_new_index(struct node *n);
static inline struct keys *keys_of(struct receiver *r)
{
	assert(r->kind == RECEIVER_KEYS);
	return (struct keys *)(void *)((uint8_t *)r - offsetof(struct keys, receiver));
}
/* New keys count: they send, unless a simultaneous handshake of the lower PeerId does. */
void keys_install(struct node *n, ov_time now, struct peer *p, struct keys *k);
void keys_confirm(struct node *n, ov_time now, struct peer *p,
	struct keys *k); /* first packet under pending keys verified */
void keys_expire(struct node *n, ov_time now, struct peer *p);
ov_time keys_deadline(const struct association *a);
/* The keys that send now, or NULL. */
struct keys *keys_sending(const struct association *a, ov_time now);

/* ---- input.c ---- */
void input_run(struct node *n, ov_time now, const struct dgram *run);

/* ---- pair.c ---- */
/* DH of the static keys, in p->known. False: a key of small order. */
bool pair_knows_ss(const struct node *n, struct peer *p);
/* beacon_pair_key of it, 32 bytes that live as long as the peer. NULL: as above. */
const uint8_t *pair_key(const struct node *n, struct peer *p);

/* ---- call.c ---- */
void call_start(struct node *n, ov_time now, struct peer *p, bool once);
/* One HS1 through the k-th relay (link_relay), whatever path is in use. */
void call_by_relay(struct node *n, ov_time now, struct peer *p, size_t k);
void call_hurry(struct node *n, ov_time now, struct peer *p); /* begins the call in progress anew */
void call_end(struct node *n, struct peer *p);
void call_step(struct node *n, ov_time now, struct peer *p);
enum drop call_on_hs2(struct node *n, ov_time now, struct peer *p, const struct dgram *from,
	const uint8_t *data, size_t len);
enum drop call_on_cookie(
	struct node *n, ov_time now, struct peer *p, const uint8_t *data, size_t len);

/* ---- answer.c ---- */
enum drop answer_hs1(
	struct node *n, ov_time now, const struct dgram *from, const uint8_t *data, size_t len);
void pending_free(struct node *n, struct pending *w);

/* ---- reach.c: lan_only ---- */
/* In a prefix of an interface of ours (0: of any), or on this machine. */
bool reach_is_on_link(const struct node *n, const struct ov_addr *a, uint32_t interface);
bool reach_is_lan_only(const struct node *n, const struct peer *p);
/* May we send to p there, and hear it from there? */
bool reach_allows(const struct node *n, const struct peer *p, const struct dgram *where);
bool reach_allows_addr(const struct node *n, const struct peer *p, const struct ov_addr *a);
/* May anybody be heard from there? */
bool reach_admits(const struct node *n, const struct dgram *from);
/* Is there a candidate that may be tried? */
bool reach_is_possible(const struct node *n, const struct peer *p);
/* Its contact or our network did: what is no longer allowed ends. */
void reach_changed(struct node *n, ov_time now, struct peer *p);

/* ---- route.c ---- */
struct path *route_find(const struct association *a, const struct dgram *where);
void route_pin(
	struct path *p, const struct dgram *where); /* to the local address that the kernel chose */
struct path *route_add(struct node *n, ov_time now, struct peer *p,
	const struct dgram *where); /* finds or makes; NULL: full */
void route_remove(struct node *n, struct peer *p, struct path *path);
void route_use(
	struct node *n, ov_time now, struct peer *p, struct path *path); /* becomes the data path */
void route_keys_came(struct node *n, ov_time now, struct peer *p,
	struct path *path); /* the first packet under new keys, or HS2, came by it */
void route_elect(
	struct node *n, ov_time now, struct peer *p); /* choose again among what is valid */
void route_on_answer(
	struct node *n, ov_time now, struct peer *p, struct path *path, bool became_valid);
void route_on_peer_data(struct node *n, ov_time now, struct peer *p, struct path *path);
void route_on_status(
	struct node *n, ov_time now, struct peer *p, struct path *path, uint32_t sequence);
void route_on_suspect(struct node *n, ov_time now, struct peer *p, struct path *path);
/* The active path is gone: another, or a call. */
void route_find_other(struct node *n, ov_time now, struct peer *p);
void route_tick(struct node *n, ov_time now, struct peer *p);
struct path *route_second(const struct association *a,
	ov_time now); /* for duplicates while the active one is doubtful */
void route_network_changed(struct node *n, ov_time now, struct peer *p, bool resumed);
void route_on_keys(struct node *n, ov_time now,
	struct association *a); /* other keys send: the peer may take other sizes */
struct dgram route_where(const struct path *path);
/* How often this path shall speak when idle; 0: never. */
ov_time route_keepalive(const struct node *n, const struct peer *p, const struct path *path);
/* Nothing goes by this path: asks by whatever way the kernel chooses now. */
void route_leave_to_kernel(struct node *n, ov_time now, struct peer *p, const struct path *stuck);
/* Our kernel has no way there: for another valid path this one is left at once. */
void route_on_refused(struct node *n, ov_time now, struct peer *p, struct path *path);
/* From an address of an interface that is a candidate; not by a tunnel. */
bool route_is_from_own(const struct node *n, const struct path *path);
/* Was the kernel's choice the way of the path that the answer came by? */
bool route_is_same_way(const struct path *chosen, const struct path *came);
/* Asks at this address from wherever we can send, unless a path there is valid. */
void route_probe(struct node *n, ov_time now, struct peer *p, const struct ov_addr *remote,
	bool anew); /* anew: with a full number of packets */

/* ---- envelope.c ---- */
struct envelope { /* how a datagram leaves: as it is, or inside one for a relay */
	struct dgram where;
	struct peer *relay; /* NULL: as it is */
	uint32_t channel;
	size_t header_len; /* 0: as it is */
};
/* False: it would go through a relay that cannot be reached now. */
bool envelope_open(const struct node *n, const struct dgram *to, struct envelope *e);
uint8_t *envelope_room(
	struct node *n, const struct envelope *e, size_t len, bool data); /* as output_room */
void envelope_add(struct node *n, ov_time now, const struct envelope *e, const void *key,
	size_t len); /* as output_add */

/* ---- channel.c ---- */
/* The far end of a link as an address: a path's remote, a datagram's source. */
struct ov_addr channel_addr(const struct channel *c);
struct channel *channel_of_addr(const struct node *n, const struct ov_addr *a); /* NULL: gone */
/* May a datagram of this peer come by this run? Always, but for a relay's. */
bool channel_carries(const struct node *n, const struct dgram *run, const struct peer_id *who);
/* A free id is chosen unless one is given. FORWARD: the session is of a client. NULL: out of
 * memory, or the id is taken. */
struct channel *channel_new(
	struct node *n, struct peer *session, enum channel_kind kind, uint32_t id);
/* With its twin, and the path through a link; nobody is told. */
void channel_discard(struct node *n, struct channel *c);
/* The other end is told, and (tell) this one. */
void channel_close(struct node *n, ov_time now, struct channel *c, bool tell);
void channel_close_all(struct node *n, ov_time now, struct association *a);
enum drop channel_on_close(
	struct node *n, ov_time now, struct peer *p, const struct relay_close *f);
enum drop channel_input(
	struct node *n, ov_time now, const struct dgram *run, uint8_t *data, size_t len);

/* ---- link.c: our end of a channel through a relay ---- */
/* HS1 of the call in progress to p, through every relay that may reach it; an attempt at a peer
 * that is away spares those that say it is not there. */
void link_call(struct node *n, ov_time now, struct peer *p);
void link_open(
	struct node *n, ov_time now, struct peer *relay, struct peer *p); /* through this one */
/* Every relay that leads to p becomes a path of its own, and is measured. */
void link_spread(struct node *n, ov_time now, struct peer *p);
/* The k-th relay that may reach it and does not say that p is absent; NULL: fewer. */
struct peer *link_relay(const struct node *n, ov_time now, const struct peer *p, size_t k);
/* A direct answer came first: the way by relay is kept beside it, while it is young. */
void link_stand_by(struct node *n, ov_time now, struct peer *p);
bool link_possible(const struct node *n, ov_time now);              /* is there a relay at all? */
void link_close(struct node *n, ov_time now, struct peer *p);       /* all links to it */
void link_end_all(struct node *n, ov_time now, struct peer *relay); /* all links through it */
bool link_has_spare(const struct node *n, ov_time now,
	const struct path *path); /* another relay than that of this path */
/* Where the relay of this path sees the peer; any: not told. */
struct ov_addr link_observed(const struct node *n, const struct path *path);
enum drop link_on_ok(struct node *n, ov_time now, struct peer *p, const struct relay_ok *f);
enum drop link_on_no(struct peer *p, const struct relay_no *f);
enum drop link_on_in(struct node *n, ov_time now, struct peer *p, const struct relay_in *f);

/* ---- forward.c: we relay ---- */
enum drop forward_on_open(struct node *n, ov_time now, struct peer *p, const struct relay_open *f);
enum drop forward_datagram(
	struct node *n, ov_time now, struct channel *c, const uint8_t *data, size_t len);

/* ---- registration.c: we at a facilitator ---- */
void registration_free(struct peer *p);
void registration_tick(struct node *n, ov_time now, struct peer *p);
ov_time registration_deadline(const struct peer *p);
/* A facilitator that restarted has forgotten us; so may one that we had lost. */
/* A path to a facilitator answered. */
void registration_path_valid(struct node *n, ov_time now, struct peer *p);
void registration_keys_came(struct node *n, ov_time now, struct peer *p, bool restarted);
enum drop registration_on_answer(
	struct node *n, ov_time now, struct peer *p, const struct registered_frame *f);
/* A RELAY datagram of this relay came (or went). While such do, silence of the relay is looked
 * into. */
void registration_relayed(struct node *n, ov_time now, struct peer *relay, bool came);
void registration_renew_all(struct node *n, ov_time now); /* contacts changed */
/* Whoever waits for a way may have one now, by this relay; also those that are away? */
void registration_call_waiting(struct node *n, ov_time now, struct peer *relay, bool away_too);
void registration_renew_soon(struct node *n); /* the same, at the next tick */
/* Our addresses as facilitators see them; returns the count. */
size_t registration_observed(const struct node *n, struct ov_addr *out, size_t max);
/* What `destination` tells the facilitator to let `source` in by; false: no key with this peer. */
/* The same for whoever shows the invite of this hash. */
void registration_invite_tag(const uint8_t hash[HS1_INVITE_HASH_LEN],
	const struct peer_id *destination, const struct peer_id *facilitator,
	uint8_t out[RELAY_TAG_LEN]);
bool registration_tag(struct node *n, struct peer *pair, const struct peer_id *destination,
	const struct peer_id *facilitator, uint8_t out[RELAY_TAG_LEN]);

/* ---- burst.c ---- */
/* After both agreed on a round: by the method that their NATs allow (nat.md part 1, step 7). */
void burst_begin(struct node *n, ov_time now, struct peer *p, const struct punch_frame *theirs);
void burst_tick(struct node *n, ov_time now);
ov_time burst_deadline(const struct node *n);
/* What would both NATs allow (the peer told of its own), and is it too early to try it again? */
enum nat_method burst_method(const struct node *n, const struct peer *p);
bool burst_must_wait(const struct node *n, ov_time now, const struct peer *p, ov_time *until);
void burst_found(struct node *n, ov_time now, const struct peer *p, const struct path *path);
void burst_forget(struct node *n, const struct peer *p);

/* ---- netcheck.c ---- */
struct nat_class netcheck_class(const struct node *n, bool ipv4);
void netcheck_begin(struct node *n, ov_time now, struct peer *p, uint16_t second_port);
void netcheck_forget(struct node *n, ov_time now); /* another network: all anew */
void netcheck_tick(struct node *n, ov_time now, struct peer *p);
void netcheck_on_observed(
	struct node *n, ov_time now, const struct peer *p, const struct path *path);
enum drop netcheck_on_answer(
	struct node *n, struct peer *p, const struct path *path, const struct filter_test *f);

/* ---- probing.c ---- */
/* A facilitator answered on this path: shall the NAT be measured? */
void probing_consider(struct node *n, ov_time now, const struct path *path);
void probing_tick(struct node *n, ov_time now);
ov_time probing_deadline(const struct node *n);
void probing_forget(struct node *n, ov_time now); /* another network */
void probing_forget_peer(struct node *n, const struct peer *p);
enum drop probing_on_answer(struct node *n, ov_time now, struct peer *p, struct path *path,
	const struct lifetime_answer *f);
enum drop probing_on_hairpin(struct node *n, ov_time now, const struct dgram *run,
	const struct header *h, const uint8_t *data, size_t len);
/* How often an idle path through our NAT must speak. */
ov_time probing_keepalive(const struct node *n, const struct path *path);
void probing_info(const struct node *n, struct nat_info *out);

/* ---- network.c ---- */
struct network *network_here(struct node *n); /* NULL: nothing is known of it */
const struct network *network_known(const struct node *n);
struct network *network_keep(struct node *n); /* the oldest gives way */
/* How this address is reached from here: a global one of IPv4 by NAT64, where there is no other
 * way. */
struct ov_addr network_target(const struct node *n, const struct ov_addr *a);
/* The same address as everybody else knows it. */
struct ov_addr network_plain(const struct node *n, const struct ov_addr *a);

/* ---- facilitator.c: others at us ---- */
enum drop facilitator_on_filter_test(struct node *n, ov_time now, struct peer *p,
	const struct path *path, const struct filter_test *f);
enum drop facilitator_on_register(
	struct node *n, ov_time now, struct peer *p, const struct register_frame *f);
/* Each frame that is answered costs one: a packet has room for a hundred small ones. */
bool facilitator_hears(struct peer *p, ov_time now);
enum drop facilitator_on_lifetime_test(struct node *n, ov_time now, struct peer *p,
	struct path *path, const struct lifetime_test *f);
void facilitator_tick(struct node *n, ov_time now, struct peer *p);
ov_time facilitator_deadline(const struct peer *p);
bool facilitator_admits(const struct node *n, const struct peer *p); /* may it use us at all? */
bool facilitator_lets_in(
	ov_time now, const struct peer *destination, const uint8_t tag[RELAY_TAG_LEN]);
void client_free(struct node *n, struct peer *p);

/* ---- presence.c: clients that wait for each other, at us ---- */
/* The tags of this page, before and after they change. */
void presence_tags_gone(struct node *n, ov_time now, struct peer *p, uint8_t page);
void presence_tags_came(struct node *n, ov_time now, struct peer *p, uint8_t page);
void presence_update(struct node *n, ov_time now, struct peer *p);    /* did it come or go? */
void presence_restarted(struct node *n, ov_time now, struct peer *p); /* came again, that is */
void presence_tick(struct node *n, ov_time now, struct peer *p);
ov_time presence_deadline(const struct peer *p);
void presence_forget(struct node *n, struct peer *p); /* what it watches */
enum drop presence_on_watch(
	struct node *n, ov_time now, struct peer *p, const struct register_frame *f);
enum drop presence_on_seen(
	struct node *n, ov_time now, struct peer *p, const struct presence_seen *f);

/* ---- watch.c: our contacts, at a facilitator ---- */
void watch_begin(
	struct node *n, ov_time now, struct peer *relay); /* registered, or contacts changed */
void watch_lost(struct node *n, ov_time now, struct peer *relay); /* what it said holds no more */
/* The relay is no facilitator of ours any more; another may get its number. */
void watch_forget(struct node *n, ov_time now, struct peer *relay);
void watch_tick(struct node *n, ov_time now, struct peer *relay);
enum drop watch_on_presence(
	struct node *n, ov_time now, struct peer *relay, const struct presence_frame *f);
/* Would a facilitator tell us when it comes? */
bool watch_waits_for(const struct peer *p);
bool watch_says_absent(const struct peer *relay, const struct peer *p);

/* ---- meet.c ---- */
void meet_start(struct node *n, ov_time now, struct peer *p); /* a session by relay, or a change */
void meet_moved(struct node *n, ov_time now); /* a facilitator sees us elsewhere than before */
/* A private address on none of our links, of a peer that does not share our network: somebody
 * else's. */
bool meet_is_foreign(const struct node *n, const struct peer *p, const struct ov_addr *a);
/* A packet of ours goes by a relay: is a better way looked for? */
void meet_on_data(struct node *n, ov_time now, struct peer *p);
void meet_tick(struct node *n, ov_time now, struct peer *p);
ov_time meet_deadline(const struct association *a);
/* An address that somebody claims for a peer, of which nothing else is known. */
bool meet_may_probe(const struct node *n, const struct ov_addr *a);
/* Are all of its addresses private ones of somebody else's network? */
bool meet_is_all_foreign(const struct node *n, const struct peer *p);
enum drop meet_on_endpoints(
	struct node *n, ov_time now, struct peer *p, const struct endpoints_frame *f);
enum drop meet_on_tcp_endpoints(
	struct node *n, ov_time now, struct peer *p, const struct endpoints_frame *f);
/* May something be sent to this address now? It will be. One that somebody only told us of costs
 * from the budget of new ones. */
bool meet_may_try(struct node *n, ov_time now, struct peer *p, struct candidate *c);
/* The same; never one that takes TCP. */
bool meet_may_ask(struct node *n, ov_time now, struct peer *p, struct candidate *c);
enum drop meet_on_punch(struct node *n, ov_time now, struct peer *p, const struct punch_frame *f);

/* ---- offer.c ---- */
void offer_tick(struct node *n, ov_time now, struct peer *p);
ov_time offer_deadline(const struct association *a);
void offer_free(struct association *a);
enum drop offer_on_frame(struct node *n, ov_time now, struct peer *p, const struct relay_offer *f);

/* ---- dial.c: TCP ---- */
void dial_begin(struct node *n, ov_time now, struct peer *p); /* a call began */
void dial_tick(struct node *n, ov_time now, struct peer *p);
ov_time dial_deadline(const struct association *a);
/* HS1 to p over the connections made for it that are no paths yet. */
void dial_call(struct node *n, ov_time now, struct peer *p, const uint8_t *hs1, size_t len);
void dial_on_keys(struct node *n, ov_time now, struct peer *p);  /* HS2 came, by whatever way */
void dial_on_route(struct node *n, ov_time now, struct peer *p); /* another path is in use */
void dial_network_changed(struct node *n, ov_time now, struct peer *p);
void dial_forget_foreign(struct node *n); /* another network, or a facilitator answers */
bool dial_is_ours(const struct association *a, const struct path *path); /* we connected */
void dial_told(struct node *n, ov_time now, struct peer *p); /* of an address that was not known */
/* A connection answered: where it leads is no longer only somebody's word. */
void dial_answered(ov_time now, struct peer *p, const struct path *path);

/* ---- frames.c ---- */
/* A CONTROL packet with these frames on the active path; wants_answer: silence makes it doubtful.
 * False: not now. */
bool frames_send(
	struct node *n, ov_time now, struct peer *p, const struct wr *frames, bool wants_answer);
/* The same to an address that is no path; it counts nowhere. */
bool frames_send_to(struct node *n, ov_time now, struct peer *p, const struct wr *frames,
	const struct dgram *where);
struct arrival { /* of a CONTROL packet */
	struct path *path;
	ov_time waited; /* in the socket */
	bool leads;     /* under the newest keys, with the highest counter: it may move our data */
};
enum drop frames_input(struct node *n, ov_time now, struct peer *p, const struct arrival *at,
	const uint8_t *plain, size_t len);
void frames_flush(
	struct node *n, ov_time now, struct peer *p); /* sends what its paths want to say */

/* ---- outbound.c, inbound.c ---- */
size_t outbound_submit(struct node *n, ov_time now, const struct ip_packet *packets, size_t count);
void outbound_flush_staged(struct node *n, ov_time now, struct peer *p);
void outbound_drop_staged(struct node *n, struct peer *p);
enum drop inbound_ip(
	struct node *n, ov_time now, struct peer *p, uint8_t *packet, size_t len, bool partial);
enum drop inbound_fragment(struct node *n, ov_time now, struct peer *p, const uint8_t *plain,
	size_t len, bool partial);

/* ---- joining.c ---- */
/* An HS1 shows a secret: told to the local side, a bounded number a second. Why a stranger's is
 * dropped all the same. */
enum drop joining_on_hs1(
	struct node *n, ov_time now, const struct hs1_payload *h, const struct ov_addr *from);
/* HS2 to an HS1 that showed the secret: the peer knows us. */
void joining_done(struct node *n, struct peer *p);
/* By which the inviter lets us in, who does not know us yet; false: we show it no invite. */
bool joining_tag(
	const struct peer *p, const struct peer_id *facilitator, uint8_t out[RELAY_TAG_LEN]);
/* The peer called us, maybe as our client: our own call asks. */
void joining_confirm(struct node *n, ov_time now, struct peer *p);

/* Where others may connect to us: nothing unless the edge listens. */
size_t node_own_tcp(const struct node *n, struct ov_addr *out, size_t max);

/* ---- ping.c ---- */
void ping_on_response(struct node *n, struct peer *p, const struct path *path, ov_time rtt);
void ping_on_path(struct node *n, ov_time now, struct peer *p); /* a path is there: ask */
void ping_expire(struct node *n, ov_time now);
ov_time ping_deadline(const struct node *n);
void ping_forget(struct node *n, const struct peer *p);
