#pragma once
/* roster - keeps the four that must agree on the contacts in step: configuration file, store, node,
 * and the interface's routes. */
#include "overlay/log.h"
#include "overlay/node.h"
#include "overlay/resolve_uv.h"
#include "overlay/store.h"
#include "overlay/tun_os.h"

struct roster { /* all borrowed */
	struct node *node;
	struct store *store;
	struct tun *tun; /* NULL: no interface */
	struct resolver *resolver;
	struct log *log;
	const struct contact *configured; /* of the configuration file */
	size_t configured_count;
	uint16_t default_port;
};

/* At start: stored contacts and those of the file go into the node; the file wins. What the file
 * named earlier and names no longer is forgotten: who deletes a contact there has revoked it. Takes
 * `stored` (frees array and contents). */
void roster_load_take(struct roster *r, ov_time now, struct contact *stored, size_t count);
/* The file was read again: r->configured and its count are the new list. */
void roster_reload(struct roster *r, ov_time now, const struct contact *list, size_t count);
/* A contact was put into the node, or removed from it: route and names follow. */
void roster_changed(struct roster *r, ov_time now, const struct contact *c, bool removed);
/* A path to this peer works: its end is where the next start looks first. */
void roster_on_endpoint(struct roster *r, const struct peer_id *id, const struct ov_addr *a);
