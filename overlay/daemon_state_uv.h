#pragma once
/* daemon_state - what the files of the daemon share; nobody else includes it. */
#include "overlay/alarm_uv.h"
#include "overlay/api.h"
#include "overlay/conduit_uv.h"
#include "overlay/control_uv.h"
#include "overlay/daemon_uv.h"
#include "overlay/lan_uv.h"
#include "overlay/netmon_uv.h"
#include "overlay/portmapper_uv.h"
#include "overlay/pump_uv.h"
#include "overlay/roster_uv.h"

struct daemon {
	const struct daemon_config *cfg;
	const struct identity *self;
	struct log *log;
	uv_loop_t loop;
	uv_check_t check;
	uv_idle_t idle; /* active while the pump has more to do: the loop must not sleep */
	struct alarm alarm;
	uv_poll_t tun_poll[TUN_QUEUES];
	uv_signal_t signals[3];
	struct arena *arena;
	struct node *node;
	struct udp *udp;
	struct tcp *tcp;
	uint16_t tcp_port;  /* told to peers; 0: none */
	struct udp *second; /* facilitator's second port; NULL: none */
	struct tun *tun;
	struct netmon *netmon;
	struct portmapper *portmapper; /* NULL: not wanted */
	struct lan_edge *lan;          /* NULL: switched off */
	struct store *store;
	struct api *api;
	struct services *services;
	struct conduits *conduits;
	struct control *control;
	struct resolver *resolver;
	struct roster roster;
	struct pump pump;
	struct contact *stored; /* until the roster takes them */
	struct store_pairing pairing;
	size_t stored_count;
	struct api_facts facts;
	json_t *features;
	char tun_why[256];
	ov_time timer_at, ticked_at, housekeeping_at;
	bool nat64_due;    /* of this network nothing is known */
	ov_time clock_gap; /* BOOTTIME less MONOTONIC at the last tick: grows by what the machine
			      slept */
	bool stopping, tun_opened, tun_watched;
};

/* ---- daemon_uv.c ---- */
/* Work was recorded outside of the poll: the loop must not sleep before the check handle has run.
 */
void daemon_do_not_sleep(struct daemon *d);
void daemon_watch_tun(struct daemon *d); /* or not, while the sockets are full */
void daemon_set_wall(struct daemon *d, ov_time now);

/* ---- daemon_streams_uv.c ---- */
bool daemon_open_streams(struct daemon *d);
extern const struct api_ends daemon_ends; /* context: the daemon */
void daemon_becomes(void *context, uint64_t client, uint64_t stream, int descriptor,
	const struct bytes_queue *in, const struct bytes_queue *out);
/* What the node has of streams, and the bytes of descriptors. True: there was something. */
bool daemon_streams(struct daemon *d, ov_time now);

/* ---- daemon_open_uv.c ---- */
/* All that the daemon was configured to have. False: `why` says what is missing; what is open
 * already is closed by the caller. */
bool daemon_open_edges(struct daemon *d, const struct aead_table *aead, char *why, size_t size);
/* More sockets, made when they are wanted first: most machines never need any. */
void daemon_open_ports(struct daemon *d, ov_time now, size_t count);
void daemon_find_nat64(struct daemon *d);
void daemon_open_probe(struct daemon *d, ov_time now);
