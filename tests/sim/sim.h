#pragma once
/* sim - a world of hosts and a net on one virtual clock. Time jumps to the earliest event; all that
 * happens at one instant happens in a fixed order. Same seed, same world, same trace. */
#include "tests/sim/host.h"
#include "tests/sim/net.h"
#include "tests/sim/oracle.h"
#include "tests/sim/trace.h"

#define SIM_EPOCH (1000 * OV_SEC) /* CLOCK_BOOTTIME at which a world begins */

enum seed_stream { /* of seeds; hosts take STREAM_HOST + id, starts of nodes STREAM_NODE + a count
		    */
	STREAM_NET = 1,
	STREAM_SWARM,
	STREAM_HOSTILE,
	STREAM_APPS,
	STREAM_IDENTITY = 1000,
	STREAM_HOST = 100000,
	STREAM_NODE = 10000000,
};

struct hostile;
struct stack_replies;

struct sim {
	ov_time now;
	uint64_t seed;
	struct net net;
	struct host *hosts;
	size_t host_count, host_cap;
	struct trace trace;
	struct oracle oracle;
	struct apps apps;
	struct hostile *hostile; /* NULL: nobody is */
	uint64_t steps, starts;
	struct inbox inbox;
	struct stack_replies *replies;
	uint8_t buffer[FLOW_BUFFER];  /* for one packet on its way into a node */
	uint8_t scratch[FLOW_BUFFER]; /* for one packet under inspection */
};

struct sim *sim_new(uint64_t seed, size_t max_hosts);
void sim_free(struct sim *s);
struct host *sim_add_host(struct sim *s);
struct host *sim_find_host(struct sim *s, const struct peer_id *id); /* NULL: none */
struct host *sim_host_at(struct sim *s, const uint8_t inner_ip[16]); /* NULL: none */
/* Runs until virtual time `until` (or until an invariant breaks). */
void sim_run_until(struct sim *s, ov_time until);
void sim_run_for(struct sim *s, ov_time duration);
/* Runs until the predicate holds, at most `limit` longer; false if it never did. */
bool sim_run_while(
	struct sim *s, bool (*busy)(struct sim *s, void *context), void *context, ov_time limit);
bool sim_failed(const struct sim *s);
/* "a", or "?" for nobody. */
const char *sim_name(const struct sim *s, uint32_t host);
