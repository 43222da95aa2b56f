/* The attacker's means are those of somebody who sees and sends anything but has no key: it keeps a
 * ring of recorded datagrams and makes new ones from them. Its stranger is a real one: an identity
 * that is nobody's contact and knows the target's PeerId, so its HS1 passes mac1. */
#include "tests/sim/hostile.h"

#include "core/handshake.h"
#include "tests/sim/sim.h"

#include <stdlib.h>
#include <string.h>

#define RECORDED 128

struct record {
	struct ov_addr source, destination;
	uint32_t origin, target; /* host that made it; host that owns the destination, or none */
	uint16_t len;
	uint8_t data[FLIGHT_MAX];
};

struct hostile {
	struct seed seed;
	struct hostile_config config;
	ov_time next_at;
	struct forwarder forwarder;
	struct record ring[RECORDED];
	size_t recorded;
	struct identity stranger;
	uint32_t strangers;
};

const char *attack_name(enum attack a)
{
	switch (a) {
	case ATTACK_GARBAGE: return "garbage";
	case ATTACK_TRUNCATE: return "truncated";
	case ATTACK_FLIP: return "flipped";
	case ATTACK_REPLAY: return "replayed";
	case ATTACK_REPLAY_HS1: return "replayed HS1";
	case ATTACK_SPOOF: return "spoofed";
	case ATTACK_STRANGER: return "stranger";
	case ATTACK_COUNT: break;
	}
	assert(false);
	return "?";
}

struct ov_addr hostile_forger_address(void)
{
	return addr_v4(192, 0, 2, 66, 666);
}

struct ov_addr hostile_replayer_address(void)
{
	return addr_v4(192, 0, 2, 67, 667);
}

struct ov_addr hostile_forwarder_address(void)
{
	return addr_v4(192, 0, 2, 68, 668);
}

struct ov_addr hostile_victim_address(void)
{
	return addr_v4(192, 0, 2, 99, 53);
}

static void station(struct sim *s, struct ov_addr a)
{
	uint32_t iface = net_add_iface(&s->net, NET_NONE, NET_CORE, &(struct link_config){ 0 });
	net_address_add(&s->net, iface, &a);
}

void hostile_init(struct sim *s)
{
	assert(!s->hostile);
	struct hostile *x = s->hostile = calloc(1, sizeof(*x));
	if (!x)
		abort();
	x->next_at = OV_NEVER;
	x->forwarder.host = NET_NONE;
	seed_init(&x->seed, s->seed, STREAM_HOSTILE);
	uint8_t secret[32];
	do
		seed_fill(&x->seed, secret, sizeof(secret));
	while (identity_from_seed(&x->stranger, secret) != OV_OK);
	station(s, hostile_forger_address());
	station(s, hostile_replayer_address());
	station(s, hostile_forwarder_address());
	station(s, hostile_victim_address());
}

void hostile_free(struct hostile *x)
{
	free(x);
}

void hostile_configure(struct sim *s, const struct hostile_config *c)
{
	s->hostile->config = *c;
	s->hostile->next_at = s->now;
}

void hostile_forward(struct sim *s, const struct forwarder *f)
{
	s->hostile->forwarder = *f;
}

/* ---- on the path ---- */

static uint32_t owner_of(const struct sim *s, const struct ov_addr *a)
{
	for (uint32_t i = 0; i < s->host_count; i++)
		if (net_host_owns(&s->net, i, a))
			return i;
	return NET_NONE;
}

static void keep(struct sim *s, const struct flight *f)
{
	struct hostile *x = s->hostile;
	struct record *r = &x->ring[x->recorded++ % RECORDED];
	r->source = f->source;
	r->destination = f->destination;
	r->origin = f->origin;
	r->target = owner_of(s, &f->destination);
	r->len = f->len;
	memcpy(r->data, f->data, f->len);
}

bool hostile_on_departure(struct sim *s, struct host *from, const struct flight *f)
{
	struct hostile *x = s->hostile;
	if (!x)
		return false;
	keep(s, f);
	if (x->forwarder.host != from->id)
		return false;
	struct flight *copy = wire_copy(&s->net.wire, f);
	copy->source = hostile_forwarder_address();
	copy->bent = !x->forwarder.both_ways;
	trace_note(&s->trace, s->now, "!", "forwards %u B of %s", f->len, from->name);
	net_inject_take(&s->net, s->now + x->forwarder.lead, NET_CORE, copy);
	return !x->forwarder.originals;
}

/* Back from the forwarder to the host whose datagrams it carried. */
void hostile_on_arrival(struct sim *s, const struct flight *f)
{
	struct hostile *x = s->hostile;
	struct ov_addr station_address = hostile_forwarder_address();
	if (!x || x->forwarder.host == NET_NONE || !x->forwarder.both_ways ||
		!addr_equal(&f->destination, &station_address))
		return;
	for (size_t i = 0; i < RECORDED && i < x->recorded; i++) {
		const struct record *r = &x->ring[(x->recorded - 1 - i) % RECORDED];
		if (r->origin != x->forwarder.host)
			continue;
		struct flight *back = wire_copy(&s->net.wire, f);
		back->source = r->destination;
		back->destination = r->source;
		net_inject_take(&s->net, s->now, NET_CORE, back);
		return;
	}
}

/* ---- attacks ---- */

/* A recorded datagram that went to the target; NULL: none. */
static const struct record *pick(struct hostile *x, uint32_t target, bool handshake)
{
	size_t kept = x->recorded < RECORDED ? x->recorded : RECORDED;
	for (unsigned tries = 0; kept > 0 && tries < 64; tries++) {
		const struct record *r = &x->ring[seed_below(&x->seed, kept)];
		if (r->target == target && (!handshake || r->data[0] == PACKET_HS1))
			return r;
	}
	return NULL;
}

static void make_garbage(struct hostile *x, struct flight *f)
{
	f->len = (uint16_t)seed_between(&x->seed, 1, 1400);
	seed_fill(&x->seed, f->data, f->len);
	if (seed_chance(&x->seed, PPM / 2))
		f->data[0] = (uint8_t)seed_between(&x->seed, PACKET_HS1, PACKET_SCAN_ANSWER);
	if (f->len >= 4 && seed_chance(&x->seed, PPM / 2))
		f->data[2] = f->data[3] = 0;
}

static bool make_stranger(struct sim *s, struct flight *f, const struct host *target)
{
	struct hostile *x = s->hostile;
	struct hs1_payload payload = { .peer = x->stranger.id,
		.seq = ++x->strangers,
		.association = seed_next(&x->seed),
		.instance = 1,
		.mtu = 1452,
		.suites = 1 };
	struct rng rng = seed_rng(&x->seed);
	struct handshake hs;
	struct hs1_config config = { .net = &target->config.network,
		.self = &x->stranger,
		.remote_dh = target->self.dh_public,
		.index = x->strangers,
		.payload = &payload };
	int err = handshake_start(&hs, &config, &rng);
	if (err == OV_OK) {
		f->len = HS1_LEN;
		memcpy(f->data, hs.hs1, HS1_LEN);
	}
	handshake_wipe(&hs);
	return err == OV_OK;
}

static bool make_from_record(struct hostile *x, enum attack a, uint32_t target, struct flight *f)
{
	const struct record *r = pick(x, target, a == ATTACK_REPLAY_HS1);
	if (!r)
		return false;
	f->len = r->len;
	memcpy(f->data, r->data, r->len);
	if (a == ATTACK_TRUNCATE)
		f->len = (uint16_t)seed_between(&x->seed, 1, r->len - 1); /* whole: a replay */
	if (a == ATTACK_FLIP) {
		uint64_t bit = seed_below(&x->seed, 8u * r->len);
		f->data[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
	if (a == ATTACK_REPLAY || a == ATTACK_REPLAY_HS1 || a == ATTACK_SPOOF)
		f->origin = r->origin;
	f->bent = true;
	return true;
}

static bool make(struct sim *s, enum attack a, struct host *target, struct flight *f)
{
	struct hostile *x = s->hostile;
	f->origin = ORIGIN_FORGED;
	f->source = hostile_forger_address();
	switch (a) {
	case ATTACK_GARBAGE: make_garbage(x, f); return true;
	case ATTACK_STRANGER:
		f->source = addr_v4(192, 0, 2, (uint8_t)seed_between(&x->seed, 100, 250), 0);
		f->source.port = (uint16_t)seed_between(&x->seed, 1024, 65535);
		return make_stranger(s, f, target);
	case ATTACK_TRUNCATE:
	case ATTACK_FLIP: return make_from_record(x, a, target->id, f);
	case ATTACK_REPLAY:
	case ATTACK_REPLAY_HS1:
		f->source = hostile_replayer_address();
		return make_from_record(x, a, target->id, f);
	case ATTACK_SPOOF:
		f->source = hostile_victim_address();
		return make_from_record(x, a, target->id, f);
	case ATTACK_COUNT: break;
	}
	assert(false);
	return false;
}

/* An address at which the target can be hit; false: it has none in the core. */
static bool aim(const struct sim *s, uint32_t target, struct ov_addr *out)
{
	for (size_t i = 0; i < s->net.iface_count; i++) {
		const struct iface *x = s->net.ifaces[i];
		if (x->host != target || x->segment != NET_CORE || x->address_count == 0)
			continue;
		*out = x->addresses[0];
		out->port = HOST_PORT;
		return true;
	}
	return false;
}

void hostile_attack(struct sim *s, enum attack a, uint32_t target, uint32_t count)
{
	struct ov_addr at;
	if (!aim(s, target, &at))
		return;
	trace_note(
		&s->trace, s->now, "!", "%s x%u at %s", attack_name(a), count, sim_name(s, target));
	for (uint32_t i = 0; i < count; i++) {
		struct flight *f = wire_alloc(&s->net.wire);
		if (!make(s, a, &s->hosts[target], f)) {
			wire_free(&s->net.wire, f);
			return;
		}
		f->destination = at;
		oracle_on_forged(s, f);
		net_inject_take(&s->net, s->now, NET_CORE, f);
	}
}

ov_time hostile_deadline(const struct hostile *x)
{
	return x ? x->next_at : OV_NEVER;
}

void hostile_tick(struct sim *s)
{
	struct hostile *x = s->hostile;
	if (!x || s->now < x->next_at)
		return;
	x->next_at = s->now + seed_between(&x->seed, x->config.every / 2, x->config.every * 3 / 2);
	if (x->next_at > x->config.until)
		x->next_at = OV_NEVER;
	if (x->config.attacks == 0)
		return;
	enum attack a;
	do
		a = (enum attack)seed_below(&x->seed, ATTACK_COUNT);
	while (!(x->config.attacks & 1u << a));
	hostile_attack(s, a, (uint32_t)seed_below(&x->seed, s->host_count), x->config.burst);
}
