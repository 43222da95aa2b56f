/* scale - what many contacts cost, and a store full of them.
 *
 *   scale memory COUNT                     bytes per cold contact, per warm association
 *   scale populate STATE FIRST COUNT [ENDPOINT]
 *                                          contacts FIRST.. (peer_seed.h) into STATE/overlay.db
 *
 * Memory is what malloc (mallinfo2) and the arena of keys have handed out, tables and the AEAD
 * library's own included, divided by the count; the resident set beside it. Warm associations are
 * real: each peer is a node that calls, completes its handshake, validates its path and searches
 * its PMTU over a wire without delay; then it is gone and its association stays. */
#include "core/aead_os.h"
#include "overlay/arena_os.h"
#include "overlay/entropy_os.h"
#include "overlay/node.h"
#include "overlay/store_sql.h"
#include "tools/bench/peer_seed.h"

#include <malloc.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define BATCH    16
#define HUB      1000000u /* number of the hub's key */
#define EXCHANGE 200      /* turns after which two nodes have said all they want to say */

static struct aead_table aead;

static void die(const char *what)
{
	fprintf(stderr, "scale: %s\n", what);
	exit(1);
}

/* ---- populate ---- */

static struct contact bench_contact(uint32_t k, const char *endpoint)
{
	struct contact c = { .id = bench_identity(k).id, .grants = { .bits = GRANT_ALL } };
	snprintf(c.name, sizeof(c.name), "peer%u", k);
	if (endpoint && contact_add_endpoint(&c, endpoint) != OV_OK)
		die("endpoint");
	return c;
}

static int populate(const char *dir, uint32_t first, uint32_t count, const char *endpoint)
{
	char why[512];
	mkdir(dir, 0700);
	struct store_sql *s = store_sql_open(dir, why, sizeof(why));
	struct store_job *jobs = calloc(count, sizeof(*jobs));
	struct store_job **list = calloc(count, sizeof(struct store_job *));
	if (!s || !jobs || !list)
		die(s ? "out of memory" : why);
	for (uint32_t i = 0; i < count; i++) {
		jobs[i].request.op = STORE_CONTACT_PUT;
		jobs[i].request.contact = bench_contact(first + i, endpoint);
		list[i] = &jobs[i];
	}
	store_sql_commit(s, list, count);
	for (uint32_t i = 0; i < count; i++) {
		if (jobs[i].result.status != OV_OK)
			die(jobs[i].result.text);
		contact_fini(&jobs[i].request.contact);
	}
	store_sql_close(s);
	free(jobs);
	free(list);
	return 0;
}

/* ---- memory ---- */

static struct arena *keys; /* session keys come from an arena, as in the daemon */

static size_t allocated(void)
{
	struct mallinfo2 m = mallinfo2();
	return m.uordblks + m.hblkhd + arena_info(keys).taken * node_key_size();
}

static size_t resident(void)
{
	size_t total, pages = 0;
	FILE *f = fopen("/proc/self/statm", "r");
	if (!f || fscanf(f, "%zu %zu", &total, &pages) != 2)
		die("/proc/self/statm");
	fclose(f);
	return pages * (size_t)sysconf(_SC_PAGESIZE);
}

static struct node *make_node(const struct identity *self, uint32_t contacts, ov_time now)
{
	struct node_config c = node_config_default();
	c.max_contacts = contacts;
	if (contacts == 1)
		c.max_pending_handshakes = c.max_flows = 8;
	else
		c.key_memory = arena_blocks(keys);
	c.boot_epoch = 1;
	struct node *n = node_new(&c, self, &aead, entropy_rng(), now);
	if (!n)
		die("out of memory");
	return n;
}

/* Carries what `from` has to say to `to`. Returns the number of runs. */
static size_t carry(struct node *from, struct node *to, ov_time now, const struct ov_addr *of_from,
	const struct ov_addr *of_to)
{
	static uint8_t copy[65536];
	struct dgram out[BATCH];
	struct node_event e;
	size_t total = 0, n;
	while ((n = node_poll(from, now, out, BATCH)) > 0) {
		for (size_t i = 0; i < n; i++) {
			struct dgram d = out[i];
			if (!addr_equal(&d.remote, of_to))
				die("a datagram to somebody else");
			memcpy(copy, d.data, d.len);
			d.data = copy;
			d.interface = 1;
			d.local = *of_to;
			d.remote = *of_from;
			node_input(to, now, &d, 1);
		}
		total += n;
	}
	while (node_event(from, &e))
		continue;
	return total;
}

static void warm_up(struct node *hub, const struct identity *hub_self, uint32_t k, ov_time now)
{
	struct ov_addr of_hub = addr_v4(10, 0, 0, 1, 27182);
	struct ov_addr of_peer = addr_v4(10, 1, (uint8_t)(k >> 8), (uint8_t)k, 27182);
	struct identity self = bench_identity(k);
	struct node *peer = make_node(&self, 1, now);
	struct contact c = { .id = hub_self->id, .name = "hub" };
	struct peer_info info;
	if (contact_add_endpoint(&c, "10.0.0.1:27182") != OV_OK ||
		node_contact_put(peer, now, &c, true) != OV_OK)
		die("contact");
	size_t moved = 1;
	for (unsigned turn = 0; moved > 0; turn++) {
		if (turn == EXCHANGE)
			die("two nodes find no end");
		moved = carry(peer, hub, now, &of_peer, &of_hub);
		moved += carry(hub, peer, now, &of_hub, &of_peer);
	}
	if (!node_peer_info(hub, now, &self.id, &info) || info.state != PEER_UP ||
		strcmp(info.active.state, "valid") != 0)
		die("no session");
	contact_fini(&c);
	node_free(peer);
}

static int memory(uint32_t count)
{
	ov_time now = OV_SEC;
	if (count == 0)
		die("no peers, no figure");
	struct identity self = bench_identity(HUB);
	keys = arena_new(node_key_size(), 3 * (size_t)count + 1024);
	if (!keys)
		die("out of memory");
	struct node *hub = make_node(&self, count, now);
	size_t heap = allocated(), rss = resident();
	for (uint32_t k = 0; k < count; k++) {
		struct contact c = bench_contact(k, "10.1.2.3:27182");
		if (node_contact_put(hub, now, &c, false) != OV_OK)
			die("contact");
		contact_fini(&c);
	}
	printf("cold_bytes=%zu cold_resident_bytes=%zu\n", (allocated() - heap) / count,
		(resident() - rss) / count);
	heap = allocated();
	for (uint32_t k = 0; k < count; k++)
		warm_up(hub, &self, k, now += OV_MS);
	size_t more = allocated() - heap;
	rss = resident() - rss;
	printf("warm_bytes=%zu contact_and_association_resident_bytes=%zu\n", more / count,
		rss / count);
	node_free(hub);
	arena_free(keys);
	return 0;
}

int main(int argc, char **argv)
{
	char why[256];
	if (sodium_init() < 0 || aead_load(&aead, NULL, why, sizeof(why)) != OV_OK)
		return 1;
	if (argc == 3 && strcmp(argv[1], "memory") == 0)
		return memory((uint32_t)strtoul(argv[2], NULL, 10));
	if ((argc == 5 || argc == 6) && strcmp(argv[1], "populate") == 0)
		return populate(argv[2], (uint32_t)strtoul(argv[3], NULL, 10),
			(uint32_t)strtoul(argv[4], NULL, 10), argv[5]);
	fprintf(stderr, "usage: scale memory COUNT | populate STATE FIRST COUNT [ENDPOINT]\n");
	return 2;
}
