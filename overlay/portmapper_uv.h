#pragma once
/* portmapper - keeps our UDP port open at the router, for both families: wires discovery/portmap.h
 * to its sockets and to the child (portmap_child_uv.h). docs/nat.md 1. */
#include "core/identity.h"
#include "discovery/portmap.h"
#include "overlay/log.h"
#include "overlay/netmon_uv.h"
#include "overlay/portmap_child_uv.h"

#include <uv.h>

#define PORTMAPPER_FAMILIES 2 /* index 0: IPv4, 1: IPv6 */

struct portmapper_options {
	const struct identity *self; /* borrowed for the call: the nonces of PCP follow from it */
	uint16_t port;               /* our UDP port */
	struct log *log;
	/* portmap_changed of a family; from the loop, from portmapper_network or _tick. */
	void (*on_change)(void *context, size_t family);
	void *context;
};

/* NULL stands for a mapper that is switched off, in every call. */
struct portmapper;
/* NULL: out of memory. Silent until portmapper_network. */
struct portmapper *portmapper_open(uv_loop_t *loop, const struct portmapper_options *o);
/* The monitor (NULL: not yet open) reports; portmap_network for each family. */
void portmapper_network(
	struct portmapper *m, ov_time now, const struct netmon *monitor, bool doubt);
void portmapper_tick(struct portmapper *m, ov_time now);
ov_time portmapper_deadline(const struct portmapper *m);
/* Gives the ports back, closes all and frees m; what libuv still holds goes in the loop. */
void portmapper_close(struct portmapper *m, ov_time now);

/* Of each family; borrowed until portmapper_close, the place stays. */
const struct portmap_status *portmapper_status(const struct portmapper *m, size_t family);

struct portmap_external { /* where the router lets others reach us */
	struct ov_addr addr;
	enum portmap_protocol protocol;
	ov_time expires_at; /* OV_NEVER: never */
	bool double_nat;    /* good only behind the next NAT, as a candidate of LAN kind */
};
/* Fills out, returns how many (0 to 2). */
size_t portmapper_external(
	const struct portmapper *m, struct portmap_external out[PORTMAPPER_FAMILIES]);
