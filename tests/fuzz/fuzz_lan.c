/* What comes to the port of beacons: any datagrams from any sources, at any times, between real
 * beacons of a contact. Nothing but the contact's becomes a candidate, everything is counted once,
 * and work is never left undone without a deadline.
 *
 * Input: records of 1 byte what (0: wait, 1: a contact's beacon, else: bytes), 1 byte source, 1
 * byte length or time, then bytes. */
#define WIRE_FLIGHTS 64
#define WIRE_PACKETS 8
#include "tests/unit/node_wire.h"

#include "discovery/beacon.h"
#include "overlay/lan.h"

static void check(bool ok, const char *what)
{
	if (!ok)
		wire_broken(what);
}

/* The last byte chooses: our network, the next one, link-local, or ourselves. */
static struct ov_addr source_of(uint8_t k)
{
	struct ov_addr six = { .ip = { 0xfe, 0x80, [15] = k }, .port = LAN_PORT, .scope = k & 3 };
	switch (k & 3) {
	case 0: return addr_v4(198, 51, 100, k, LAN_PORT);
	case 1: return addr_v4(198, 51, (uint8_t)(100 + (k & 4)), k, LAN_PORT);
	case 2: return six;
	default: return wire_addr(0);
	}
}

static void settle(struct wire *w, struct lan *l)
{
	struct dgram d;
	for (unsigned turns = 0; lan_deadline(l) <= w->now; turns++) {
		check(turns < 1000, "work without end");
		lan_tick(l, w->now);
		while (lan_poll(l, &d))
			check(d.len <= BEACON_MAX && d.interface == 2, "a strange beacon");
	}
	wire_drain(w, 0);
}

/* NOLINTNEXTLINE(readability-non-const-parameter): a datagram is writable */
static void feed(struct wire *w, struct lan *l, struct ov_addr from, uint8_t *data, size_t len)
{
	struct dgram d = { .data = data,
		.len = len,
		.segment = (uint16_t)len,
		.interface = 2,
		.local = lan_group(addr_is_v4(&from)),
		.remote = from };
	lan_input(l, w->now, &d);
	settle(w, l);
}

static bool is_nobodys(struct wire *w, struct flight *f)
{
	(void)w;
	(void)f;
	return false;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct wire *w = wire_new(2);
	w->hook = is_nobodys;
	wire_know(w, 0, 1, NULL, "all");
	wire_know(w, 1, 0, NULL, "all");
	struct rng rng = { .fill = wire_random, .context = &w->nodes[0].random };
	struct local_address here = { .addr = w->nodes[0].addr, .interface = 2, .prefix_len = 24 };
	struct lan *l = lan_new(w->nodes[0].node, 27182, &rng);
	struct node_pair pair;
	check(l && node_pair(w->nodes[1].node, 0, &pair), "memory");
	struct beacon_reader reader = { pair.key, pair.we_are_lower };
	lan_network(l, w->now, &here, 1, false);
	settle(w, l);
	uint64_t fed = 0, ours = 0;
	for (struct rd r = rd_init(data, len); rd_left(&r) >= 3;) {
		uint8_t bytes[BEACON_MAX + 256], what = rd_u8(&r), source = rd_u8(&r);
		size_t n = rd_u8(&r);
		if (what == 0) {
			wire_run(w, (ov_time)n * source * OV_MS);
			settle(w, l);
			continue;
		}
		if (what == 1)
			n = beacon_encode(bytes, 27182, &reader, 1, &rng);
		else
			rd_copy(&r, bytes, n = n < rd_left(&r) ? n : rd_left(&r));
		ours += what == 1;
		fed++;
		feed(w, l, source_of(source), bytes, n);
	}
	const struct lan_counters *c = lan_counters(l);
	check(c->received == fed, "a datagram was not counted");
	check(c->heard <= ours, "heard what was not said");
	check(c->heard + c->strangers + c->own + c->copies + c->malformed + c->off_link +
				c->limited + c->notices + c->forged + c->crowded ==
			fed,
		"a datagram has no end");
	check(lan_nearby(l)->count <= NEARBY_MAX && lan_nearby(l)->count <= c->notices,
		"listed what was not said");
	check(c->heard > 0 || wire_info(w, 0, 1).candidate_count == 0, "a stranger's address");
	lan_free(l);
	wire_free(w);
	return 0;
}
