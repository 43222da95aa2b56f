#pragma once
/* lan_uv - the sockets of lan.h: one for each family on UDP 27184, shared with other programs of
 * this machine, members of our groups on every interface that is one of a network: up, with
 * multicast, not point-to-point, and not left out by netmon. */
#include "overlay/lan.h"
#include "overlay/log.h"

#include <uv.h>

struct lan_edge; /* handle */

/* hs1_port: where we take HS1. NULL: not possible here, said on `log`; all else works without. */
struct lan_edge *lan_edge_open(uv_loop_t *loop, struct node *n, uint16_t hs1_port, struct log *log);
/* Closes the sockets; memory goes when the loop has closed the handles. */
void lan_edge_close(struct lan_edge *e);
/* These take NULL: the LAN is switched off. */
/* netmon's list. */
void lan_edge_network(struct lan_edge *e, ov_time now, const struct local_address *list,
	size_t count, bool resumed);
void lan_edge_on_contact(struct lan_edge *e, ov_time now);
/* Once per turn of the loop: reads, works on, sends. */
void lan_edge_run(struct lan_edge *e, ov_time now);
ov_time lan_edge_deadline(const struct lan_edge *e);
const struct lan_counters *lan_edge_counters(const struct lan_edge *e);
struct lan *lan_edge_lan(const struct lan_edge *e); /* NULL: e is */
