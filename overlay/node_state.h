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
struct streams;
struct node_stream;

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
	bool by_invite; /* with the tag of an invite, not the pair's */
};

#define LINK_REQUESTS                                                              \
	64 /* at one time: after a change of network all who are wanted are called \
	    */

struct netcheck {        /* at one facilitator: which NAT stands before us? */
	ov_time next_at; /* OV_NEVER: done */
	uint32_t token;
	struct ov_addr second_addr; /* of the facilitator, with that port; any: it has none */
	uint16_t second_port;
	uint8_t step; /* tests of filtering that were sent, then those of mapping (netcheck.c) */
	bool port_came, address_came;
};

struct watch { /* of our contacts, at a facilitator */
	uint32_t request;
	uint32_t sequence[REGISTER_PAGES_MAX]; /* the highest that came of a page */
	ov_time next_at; /* say it again; OV_NEVER: answered, or not registered */
	uint8_t attempts;
	uint8_t pages, done;
};

#define PASSES_MAX 4 /* as many facilitators as contacts may offer us, api_offer.c */

struct pass {               /* a contact's word for us to a facilitator; its PeerId comes first */
	uint64_t expires_s; /* Unix time; 0: none */
	uint8_t bytes[HS1_VOUCHER_LEN];
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
	struct pass passes[PASSES_MAX]; /* one of a giver; HS1 shows one after the other */
	uint8_t pass_turn;
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
	bool asked;   /* who needs no opener, before this round began */
	uint8_t backoff;
	bool same_site;     /* the world sees both of us at one address */
	bool told_side;     /* it said how hard it is to reach: */
	uint8_t their_side; /* enum nat_side */
	ov_time probe_at;   /* OV_NEVER: no round is on */
	ov_time started_at;
	ov_time asked_at;  /* by our last PUNCH; 0: never */
	ov_time round_at;  /* next round; OV_NEVER: none is wanted */
	struct limit told; /* its endpoints */
	struct limit told_tcp;
	struct limit rounds; /* that we take part in */
	struct limit begun;  /* by us */
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
	uint64_t half;           /* of the id; the peer has the other (docs/protocol.md 3.8) */
	struct streams *streams; /* NULL: none was ever opened */
	struct keys *keys[KEYS_MAX];
	struct pending *pending[PENDING_MAX];
	struct call *call;
	struct path *paths[PATHS_MAX];
	struct path *active;    /* the one data path; NULL: none */
	struct path *nominated; /* by the peer, before it answered us; NULL: none */
	struct path *peer_path; /* where the peer's data came from last */
	struct path *
		previous; /* left because the peer's data came elsewhere; if it answers we return */
	struct path *left; /* active before, until left_at; NULL: none */
	ov_time left_at;
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
	struct limit moves;                /* of ours, by its word */
	struct limit asks;                 /* of us as facilitator */
	struct limit refusals;             /* told: 1/s */
	struct limit hurries;              /* calls begun anew */
	struct limit liveness_cookies;     /* 1 per 5 s */
	ov_time dial_after;                /* something else answered its connections */
	uint8_t foreign_count;             /* how often, one after the other */
	ov_time bursts[2];                 /* when the last two were begun; OV_NEVER: not */
	struct registration *registration; /* it is a facilitator of ours */
	struct client *client;             /* we are one of its */
	struct guest *guest; /* of a CONTACT_CLIENT, or CONTACT_FACILITATOR; or NULL */
	ov_time wanted_at;   /* last time the local side wanted it; OV_NEVER: not in this run */
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
	uint64_t path_keys;                          /* given so far */
	struct self_streams *self_streams;           /* NULL: none was ever opened */
	struct streams *first_told, *last_told;      /* have events */
	struct node_stream *ended;                   /* and nobody was told */
	struct node_stream *over;                    /* that was told, nobody closed them */
	size_t stream_count;                         /* handles */
	bool streams_held;                           /* node_streams_hold */
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
