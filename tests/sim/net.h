#pragma once
/* net - the drawn network: segments (the core, sites), interfaces on them, gateways (NAT or
 * firewall) between them. A datagram hops: interface -> link up -> segment -> link down ->
 * interface, or through a gateway into the next segment. Nets are built before a run and changed by
 * the script during it. */
#include "tests/sim/link.h"
#include "tests/sim/nat.h"
#include "tests/sim/wire.h"

#define NET_CORE            0 /* the segment where global addresses are reachable */
#define NET_NONE            UINT32_MAX
#define IFACE_ADDRESSES_MAX 4

struct iface {
	uint32_t host, segment; /* host NET_NONE: a sink, nobody answers there */
	uint32_t index;         /* as the host numbers it, from 1 */
	bool up;
	uint16_t mtu; /* local: longer datagrams are refused with EMSGSIZE */
	struct ov_addr addresses[IFACE_ADDRESSES_MAX]; /* port 0 */
	size_t address_count;
	struct link up_link, down_link;
};

struct gateway {
	uint32_t inside, outside; /* segments */
	struct nat nat4;          /* IPv4; off: no route */
	struct nat firewall6;     /* IPv6; off: no route */
	bool has4, has6;
	struct link up_link, down_link;
};

/* What became of a datagram at a hop; for traces. */
struct net_loss {
	const char *where, *why;
};

struct net {
	struct wire wire;
	struct seed seed;
	struct iface **ifaces;
	size_t iface_count;
	struct gateway **gateways;
	size_t gateway_count;
	uint32_t segment_count;
	void (*on_loss)(void *context, const struct flight *f, struct net_loss loss);
	void *context;
};

void net_init(struct net *n, uint64_t seed);
void net_fini(struct net *n);
uint32_t net_add_segment(struct net *n);
uint32_t net_add_iface(struct net *n, uint32_t host, uint32_t segment, const struct link_config *l);
/* nat4, firewall6: NULL for no route in that family. */
uint32_t net_add_gateway(struct net *n, uint32_t inside, uint32_t outside,
	const struct nat_config *nat4, const struct nat_config *firewall6);
/* Is there a NAT box through which both segments reach the core? */
bool net_has_common_box(const struct net *n, uint32_t x, uint32_t y);
void net_address_add(struct net *n, uint32_t iface, const struct ov_addr *ip);
/* False if it was not there. */
bool net_address_remove(struct net *n, uint32_t iface, const struct ov_addr *ip);
/* Moves an interface to another segment; its addresses go. */
void net_plug(struct net *n, uint32_t iface, uint32_t segment);
/* Both directions of the interface's link. */
void net_link_change(struct net *n, uint32_t iface, const struct link_config *config);
void net_cut(struct net *n, uint32_t iface, bool cut);

/* Sends f (source and destination set) out of an interface; takes f. */
void net_send_take(struct net *n, ov_time now, uint32_t iface, struct flight *f);
/* Puts f into a segment as if it came from somewhere in it (hostile senders); takes f. */
void net_inject_take(struct net *n, ov_time at, uint32_t segment, struct flight *f);
ov_time net_next(const struct net *n);
/* The next flight that arrived at an interface by now (hop_id), or NULL. Give it to net_free. */
struct flight *net_arrived(struct net *n, ov_time now);
void net_free(struct net *n, struct flight *f);
/* Does ip belong to an interface of the host? */
bool net_host_owns(const struct net *n, uint32_t host, const struct ov_addr *ip);
size_t net_ip_len(const struct flight *f);
