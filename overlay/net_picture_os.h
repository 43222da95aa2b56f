#pragma once
/* net_picture - the machine's links, addresses and routes out, as one full dump of rtnetlink shows
 * them: what netmon delivers when it changes. */
#include "discovery/portmap.h"
#include "overlay/node.h"

#include <linux/netlink.h>

#define NET_ADDRESSES 128 /* further ones are ignored */
#define NET_LINKS     256

enum net_link_class {
	NET_LINK_NONE,     /* down, loopback, a tunnel, a bridge of containers */
	NET_LINK_WAY,      /* somebody's way to us */
	NET_LINK_DOUBTFUL, /* point to point, or made by a program: a modem, or a VPN */
	NET_LINK_CLASSES
};
/* type: ARPHRD_*, flags: IFF_*, kind: IFLA_INFO_KIND or "". */
enum net_link_class net_link_classify(
	const char *name, unsigned type, unsigned flags, const char *kind);

struct net_link {
	uint32_t interface;
	uint8_t class;
	bool default_v4, default_v6;
};

struct net_found {
	struct local_address local;
	bool temporary;
};

struct net_gateway { /* of the default route with the lowest metric */
	struct ov_addr addr;
	uint32_t interface, metric;
	bool known;
};

struct net_picture {
	const char *own_interface;
	struct net_link links[NET_LINKS]; /* all but NET_LINK_NONE */
	size_t link_count;
	struct net_found found[NET_ADDRESSES];
	size_t count;
	struct net_gateway gateways[2][NET_LINK_CLASSES]; /* IPv4, IPv6 */
	bool has_way_out; /* an ordinary link has a router for all or, as below a VPN, for one host
			   */
	uint64_t tunnels; /* which links that are no candidates take the default route; a sum */
};

/* 0, or negative errno. own_interface is borrowed. */
int net_picture_take(struct net_picture *p, int fd, const char *own_interface);
/* The candidates, at most NET_ADDRESSES; returns the count. */
size_t net_picture_list(struct net_picture *p, struct local_address *out);
/* The best default route of a family; all zero: none. list: of the same picture. */
struct portmap_route net_picture_router(
	const struct net_picture *p, bool v6, const struct local_address *list, size_t count);
/* Can this change of a route change the picture? Our own /64 routes come by the thousand. */
bool net_route_is_news(const struct nlmsghdr *m);
