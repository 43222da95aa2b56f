#pragma once
/* oracle - the invariants, checked at every step from outside: on what nodes emit, receive, deliver
 * and tell of themselves. The oracle knows the truth (who really owns an address, what was really
 * submitted); it never looks into a node beyond overlay/node.h.
 *
 *   nonce        no (key, nonce) seals two plaintexts, handshakes and cookies included
 *   amplify      an address that did not answer a challenge gets at most 3 x what came from it
 *   handshakes   HS1 goes to known candidates only, at the pace of the schedule
 *   relay        a facilitator relays what a client sent it from an address that answered a
 * challenge, to one that did, no more than it got, and within its limits foreign      nothing goes
 * to a private address that is on no link of ours, unless the owner wrote it, it spoke to us, or
 * the peer is behind the same box reply        what a forger gets back is no longer than what he
 * sent (garbage: nothing) one_path     at most one active path per peer limits       tables within
 * their limits inner        inner packets arrive as they were sent, at whom they were sent to, once
 *   agree        after quiet both ends share one association and both are up
 *   alive        after the faults end, whoever wants to talk talks within 30 s
 *   idle         whoever has nothing to say falls silent (recovery.h)
 *   storm        a deadline is in the future after a tick; nobody is busier than its traffic
 *   pure         nobody asked the operating system for the time or for randomness */
#include "core/dgram.h"
#include "overlay/node.h"
#include "tests/sim/nonce.h"

struct sim;
struct host;
struct friend;
struct flight;

struct oracle {
	struct nonce_book nonce;
	struct book inner;   /* digest of the packet -> struct inner_record */
	struct book remotes; /* digest of (host, its start, address) -> struct remote_record */
	struct book calls;   /* digest of (host, its start, peer, way) -> struct call_record */
	struct book sinks;   /* digest of a sink's address -> struct sink_record */
	struct book reaches; /* digest of (host, its start, address, who got it) -> struct
				reach_record */
	struct book heard;   /* (host, maker) -> struct heard_record */
	struct book bursts; /* digest of (host and its start, or none; IP) -> struct burst_record */
	struct book makers; /* digest of a datagram in a RELAY -> struct maker_record */
	struct book relayed; /* digest of (relay, datagram) -> struct relayed_record */
	uint64_t submitted, delivered, duplicates, stranger_bytes;
	struct path_info paths[32]; /* for one question at a time */
	struct candidate_info candidates[32];
	const char *broken; /* name of the first invariant that broke, or NULL */
	char what[320];
};

void oracle_init(struct oracle *o);
void oracle_fini(struct oracle *o);
void oracle_break(struct sim *s, const char *invariant, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* A datagram leaves host h (not yet through any NAT). */
void oracle_on_emit(struct sim *s, struct host *h, const struct flight *f);
/* A datagram is about to enter host h. */
void oracle_on_receive(struct sim *s, struct host *h, const struct flight *f);
/* A forged datagram from this address entered the net; something arrived at a sink. */
void oracle_on_forged(struct sim *s, const struct flight *f);
void oracle_on_sink(struct sim *s, const struct flight *f);

void oracle_inner_init(struct oracle *o);
/* Inner packets: into the node at h, out of the node at h (checksum completed). */
void oracle_on_submit(struct sim *s, struct host *h, const struct ip_packet *p);
void oracle_on_inbound(struct sim *s, struct host *h, const uint8_t *packet, size_t len);

/* After every drain of h. */
void oracle_check_host(struct sim *s, struct host *h);
/* s->oracle.paths holds `count` paths of h to a friend. */
void oracle_check_paths(struct sim *s, struct host *h, const struct friend *f, size_t count);
/* What h says of itself as a facilitator. */
void oracle_check_role(struct sim *s, struct host *h, const struct facilitator_role *role);
/* After quiet: for every pair that knows each other and is told to talk. */
void oracle_check_agreement(struct sim *s);
