#pragma once
/* lan - finds contacts on the networks we are in, without any server: says "I am here" so that only
 * they understand it, and hears them say so (docs/protocol.md 11, discovery/beacon.h). Knows no
 * socket: lan_uv.h has them. Nothing is ever answered to a beacon but HS1 to a contact, by the
 * node.
 *
 *   lan_network  interfaces changed       lan_poll      next beacon to send
 *   lan_input    a datagram came          lan_deadline  when to tick next
 *   lan_tick     work on, a deadline passed; then drain lan_poll */
#include "overlay/nearby.h"
#include "overlay/node.h"

#define LAN_PORT       27184
#define LAN_INTERFACES 32 /* further ones are ignored */
#define LAN_ADDRESSES  8  /* of an interface */

struct lan; /* one per daemon */

/* port: where we take HS1. The node is borrowed. NULL: out of memory. */
struct lan *lan_new(struct node *n, uint16_t port, const struct rng *rng);
void lan_free(struct lan *l);

/* Where we may speak, from netmon's list: whoever has a new address says so at once, and calls whom
 * it heard before. resumed: the machine woke up, which is as good. */
void lan_network(
	struct lan *l, ov_time now, const struct local_address *list, size_t count, bool resumed);
/* Shows us by this name (notice_name_ok) to everybody on our networks until then, in the clear; at
 * the latest until lan_free. until <= now: no more. self is borrowed. */
void lan_show(
	struct lan *l, ov_time now, ov_time until, const char *name, const struct identity *self);
/* Who shows itself; until the next lan_input or lan_tick. */
const struct nearby *lan_nearby(const struct lan *l);
/* The next one that appeared since the last call. */
bool lan_news(struct lan *l, struct nearby_peer *out);
/* Somebody became a contact: it shall hear of us now. */
void lan_on_contact(struct lan *l, ov_time now);
/* remote: source; local: destination; interface: which it came in by. */
void lan_input(struct lan *l, ov_time now, const struct dgram *in);
void lan_tick(struct lan *l, ov_time now);
/* local: source, any: the kernel chooses. Data stays valid until the next lan_tick. */
bool lan_poll(struct lan *l, struct dgram *out);
ov_time lan_deadline(const struct lan *l);

struct ov_addr lan_group(bool v4); /* 239.255.27.182 or ff12::6a2e, port 27184 */

struct lan_counters {
	uint64_t interfaces;       /* at present */
	uint64_t sent, received;   /* datagrams */
	uint64_t heard, strangers; /* beacons of contacts, of others */
	uint64_t own, copies;      /* our own; the same beacon from the same address again */
	uint64_t notices, forged;  /* of who shows itself; not signed by whom it names */
	uint64_t crowded;          /* notices for which nearby.h has no room */
	uint64_t malformed;        /* no beacon */
	uint64_t off_link;         /* source is not of this network, or not sent to all of it */
	uint64_t limited;          /* too many of one source, on one interface, or at all */
};
const struct lan_counters *lan_counters(const struct lan *l);
