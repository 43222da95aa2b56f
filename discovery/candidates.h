#pragma once
/* candidates - where one peer may be: addresses that somebody told us of, with source and age, best
 * first. Every source feeds this one table; one place ranks, replaces and forgets (nat.md part 1,
 * steps 2 and 5). That an address is here means nothing yet: the peer proves itself there by a
 * handshake or an answered challenge. */
#include "core/dgram.h"

#define CANDIDATES_MAX 16 /* power of two */

enum candidate_source {     /* who says so; a lower one is believed rather */
	SOURCE_CONFIG,      /* the configuration, or `peer add`: written by the owner */
	SOURCE_USER,        /* this run's command line */
	SOURCE_CACHE,       /* worked last, from the store */
	SOURCE_OBSERVED,    /* the peer was heard from there */
	SOURCE_LAN,         /* a beacon on an interface of ours */
	SOURCE_SCAN,        /* overlay-scan */
	SOURCE_INVITE,      /* the line that made it a contact */
	SOURCE_PORTMAP,     /* the peer says that its router forwards it */
	SOURCE_FACILITATOR, /* a facilitator sees it there */
	SOURCE_PEER,        /* the peer's own list */
};
const char *candidate_source_name(enum candidate_source s); /* "config", "lan" ... */

struct candidate {
	struct ov_addr addr;
	ov_time added_at; /* told for the last time */
	ov_time tried_at; /* last time something was sent there; OV_NEVER: not in this run */
	uint8_t source;   /* enum candidate_source */
	uint8_t carrier;  /* CARRIER_UDP or CARRIER_TCP: it takes connections there */
};
/* Somebody else's word may be a third party's address. */
static inline bool candidate_is_trusted(const struct candidate *c)
{
	return c->source < SOURCE_PORTMAP;
}

struct candidates {             /* of one peer; zeroed: empty */
	struct candidate *list; /* owned; room for the next power of two of count */
	uint8_t count;
};

void candidates_fini(struct candidates *c);
/* An address that cannot be a peer's is ignored; one that is there gets the more trusted source and
 * the new age. In a full table it replaces the least useful that the owner did not write: the least
 * trusted source, of these the oldest. True: it is new. */
bool candidates_add(struct candidates *c, ov_time now, const struct ov_addr *addr,
	enum candidate_source source);
/* The same for an address that takes TCP connections; the same address by UDP is another one. */
bool candidates_add_tcp(struct candidates *c, ov_time now, const struct ov_addr *addr,
	enum candidate_source source);
/* The owner's are replaced by what is added next. */
void candidates_forget_written(struct candidates *c);
/* Forgets what a source said more than `age` ago. */
void candidates_expire(
	struct candidates *c, ov_time now, enum candidate_source source, ov_time age);
/* Of carrier UDP. */
const struct candidate *candidates_find(const struct candidates *c, const struct ov_addr *addr);
