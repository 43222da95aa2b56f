#pragma once
/* hostile - who wants us ill. Two stations in the core and, when told, one on the path:
 *
 *   forger     garbage, truncated and bit-flipped copies, first datagrams of every type, stale HS1,
 *              floods; from its own address, or with a victim's address as source
 *   replayer   whole datagrams that were recorded, again, from an address of its own
 *   forwarder  on the path of one host: its datagrams arrive from the forwarder's address
 *
 * It sees every datagram that leaves a host (and cannot open any). */
#include "tests/sim/net.h"

struct sim;
struct host;
struct hostile;

enum attack {
	ATTACK_GARBAGE,    /* random bytes, random length, sometimes with a right first byte */
	ATTACK_TRUNCATE,   /* a recorded datagram, cut */
	ATTACK_FLIP,       /* one with a flipped bit */
	ATTACK_REPLAY,     /* one as it was, from the replayer's address */
	ATTACK_REPLAY_HS1, /* an HS1 as it was */
	ATTACK_SPOOF,      /* one as it was, from a victim's address */
	ATTACK_STRANGER,   /* a well-made HS1 of a key that is nobody's contact, from a spoofed
			      address */
	ATTACK_COUNT
};
const char *attack_name(enum attack a);

struct hostile_config {
	uint32_t attacks; /* bit set of 1 << enum attack */
	ov_time every;    /* mean time between attacks */
	uint32_t burst;   /* datagrams per attack, at least 1 */
	ov_time until;
};

/* Gives the world its hostile stations (once). The attacks start when configured. */
void hostile_init(struct sim *s);
void hostile_free(struct hostile *x);
void hostile_configure(struct sim *s, const struct hostile_config *c);
/* One attack now, on host `target`. */
void hostile_attack(struct sim *s, enum attack a, uint32_t target, uint32_t count);
/* Everything that host sends reaches its destination from the forwarder's address, `lead` after it
 * was sent. originals: what was sent arrives as well, in its own time. both_ways: answers are
 * carried back (the forwarder then is a path). NET_NONE: stop. */
struct forwarder {
	uint32_t host;
	ov_time lead;
	bool originals, both_ways;
};
void hostile_forward(struct sim *s, const struct forwarder *f);
struct ov_addr hostile_forger_address(void);
struct ov_addr hostile_replayer_address(void);
struct ov_addr hostile_forwarder_address(void);
struct ov_addr hostile_victim_address(void);

/* The run loop's: a datagram leaves a host (true: it shall not go on by itself); one came to a
 * station; a deadline. */
bool hostile_on_departure(struct sim *s, struct host *from, const struct flight *f);
void hostile_on_arrival(struct sim *s, const struct flight *f);
ov_time hostile_deadline(const struct hostile *x);
void hostile_tick(struct sim *s);
