#pragma once
/* world - small towns to build scenes and swarms in: public hosts, hosts behind boxes, who knows
 * whom, and the things that happen to them (roaming, renumbering, power cuts). */
#include "tests/sim/sim.h"

/* A link of the given delay, and nothing else. */
struct link_config world_link(ov_time delay);
/* A host in the core with one interface and this address. */
struct host *world_public(struct sim *s, struct ov_addr ip, ov_time delay);
/* A site behind a NAT box of that outside address (config's other fields as given) and a host
 * 192.168.1.(10 + id) in it. *gateway: its index, if not NULL. */
struct host *world_behind(
	struct sim *s, const struct nat_config *nat, ov_time delay, uint32_t *gateway);
/* A plain home router: EIM, APDF, preserving ports, 120 s. */
struct nat_config world_nat(struct ov_addr outside);
/* a has b as contact at `where` (any: no endpoint known), and b has a without endpoint. */
void world_befriend(struct sim *s, struct host *a, struct host *b, struct ov_addr where);
/* First interface of a host, as index of the net. */
uint32_t world_iface(const struct sim *s, const struct host *h, size_t nth);
/* The address under which the core reaches the host's interface (port of the daemon included). */
struct ov_addr world_address(const struct sim *s, const struct host *h);

/* The interface loses all its addresses and gets this one; the node is told, as netlink would. */
void world_renumber(struct sim *s, struct host *h, uint32_t iface, struct ov_addr ip);
void world_start_all(struct sim *s);
/* Both directions: is the friend up, and does each answer the other now? */
bool world_connected(struct sim *s, struct host *a, struct host *b);
