/* No faults but the move: what is watched is the crowd. Half of the town is behind home routers. */
#include "tests/sim/town.h"

#include "tests/sim/recovery.h"

#define ANCHORS 5

static struct sim *build(uint64_t seed, size_t n)
{
	struct sim *s = sim_new(seed, n);
	struct seed chance;
	seed_init(&chance, seed, STREAM_SWARM);
	for (size_t i = 0; i < n; i++) {
		uint8_t hi = (uint8_t)(i >> 8), lo = (uint8_t)i;
		ov_time delay = seed_between(&chance, 1, 60) * OV_MS;
		struct nat_config nat = world_nat(addr_v4(198, 19, hi, lo, 0));
		struct host *h = i < ANCHORS || seed_below(&chance, 2)
					 ? world_public(s, addr_v4(198, 18, hi, lo, 0), delay)
					 : world_behind(s, &nat, delay, NULL);
		h->config.max_flows = 1024;
		h->config.max_contacts = 1024;
		for (size_t k = 0; k < ANCHORS && k < i; k++)
			world_befriend(s, h, &s->hosts[k], world_address(s, &s->hosts[k]));
	}
	return s;
}

/* Everybody with a public address gets another one at the same moment. */
static void move(struct sim *s)
{
	for (size_t i = ANCHORS; i < s->host_count; i++) {
		uint32_t iface = world_iface(s, &s->hosts[i], 0);
		if (s->net.ifaces[iface]->segment == NET_CORE)
			world_renumber(s, &s->hosts[i], iface,
				addr_v4(198, 20, (uint8_t)(i >> 8), (uint8_t)i, 0));
	}
}

struct sim *town_run(uint64_t seed, size_t n, bool verbose)
{
	struct sim *s = build(seed, n);
	s->trace.verbose = verbose;
	world_start_all(s);
	recovery_talk(s);
	if (!sim_failed(s))
		move(s);
	if (!sim_failed(s))
		recovery_talk(s);
	return s;
}
