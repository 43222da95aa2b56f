#pragma once
/* sift - which contact sent a beacon? Only trying the contacts' keys tells, one hash each, so
 * beacons wait in a short queue and are tried step by step, at a bounded rate. */
#include "core/rng.h"
#include "discovery/beacon.h"
#include "overlay/node.h"

#define SIFT_QUEUE      16     /* beacons that wait */
#define SIFT_STEP       512    /* hashes of one step: 0.2 ms */
#define SIFT_PER_SECOND 100000 /* hashes, in the long run: 3.5 % of a core */
#define SIFT_BURST      65536  /* four beacons against 16,384 contacts */

struct sift; /* one per daemon */

/* The node is borrowed. NULL: out of memory. */
struct sift *sift_new(struct node *n);
void sift_free(struct sift *s);

enum sift_verdict {
	SIFT_NEW,   /* queued; nobody has sent this one before */
	SIFT_OTHER, /* queued; came from another address of its sender before */
	SIFT_COPY,  /* came from there before: ignored */
	SIFT_FULL,  /* the queue is full: dropped */
};
/* Was exactly this beacon heard from there before? For who wants to know before a limit is asked.
 */
bool sift_is_copy(struct sift *s, const struct beacon *b, const struct ov_addr *from);
/* from: its source; the beacon is copied. */
enum sift_verdict sift_put(struct sift *s, const struct beacon *b, const struct ov_addr *from);

enum sift_result { SIFT_NOTHING, SIFT_CONTACT, SIFT_STRANGER };
struct sift_hit { /* with SIFT_CONTACT */
	struct peer_id id;
	struct ov_addr at; /* where it takes HS1 */
};
/* At most SIFT_STEP hashes. NOTHING: to be continued, or there is nothing to do (sift_deadline). */
enum sift_result sift_step(struct sift *s, ov_time now, struct sift_hit *hit);
ov_time sift_deadline(const struct sift *s);
