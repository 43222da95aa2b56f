#pragma once
/* daemon - wires the node to the machine: sockets, interface, network monitor, store, overlay
 * socket, signals. */
#include "core/aead.h"
#include "core/identity.h"
#include "overlay/log.h"
#include "overlay/node.h"
#include "overlay/store.h"
#include "overlay/udp_uv.h"

struct daemon_config {
	struct node_config node; /* key_memory and boot_epoch are filled here */
	struct udp_options udp;  /* port, backend */
	uint16_t tcp_ports[2];   /* to listen at; 0: none */
	const char *tun_name;    /* NULL: no interface wanted */
	uint32_t tun_mtu;
	bool portmap; /* ask the router to forward our UDP port */
	bool lan;     /* find contacts by beacons */
	const char *socket_path;
	const char *state_dir;
	const char *config_path; /* NULL: none */
	const char *version;
	uint32_t max_clients, max_per_uid, root_reserved;
	uint32_t max_streams;           /* local ends */
	const struct contact *contacts; /* of the configuration file; upserted at start */
	size_t contact_count;
	const struct contact *facilitators; /* of the configuration; borrowed */
	size_t facilitator_count;
	/* SIGHUP: read the configuration again; fills the list (borrowed until the next call), or
	 * returns a negative ov_err and logs. */
	int (*reload)(void *context, const struct contact **contacts, size_t *count, bool *pairing);
	/* Line of the file that names a contact, 0: none. May be NULL. */
	unsigned (*config_line)(void *context, const struct peer_id *id);
	void *context; /* of both */
};

/* Runs until SIGINT or SIGTERM. The store is taken and closed. Returns the process's exit code;
 * problems at start are said on `log` with what to do. */
int daemon_run(const struct daemon_config *cfg, const struct identity *self,
	const struct aead_table *aead, struct store *store, struct log *log);
