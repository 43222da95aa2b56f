/* One announce for each interface, one beacon on its way at a time. A beacon goes out as directed
 * broadcast and multicast of IPv4 (some access points drop one, some the other) and to the
 * link-local group of IPv6, the same bytes to each: who hears it twice tells it by the nonce.
 *
 * A beacon that comes in passes, cheapest first: form, our own, sender on this link and sent to all
 * of it (avahi's CVE-2017-6519: unicast from afar), copies, 4 a second of one source, 20 a second
 * of one interface. Only then its tags are tried (sift.h). The source's limit comes before the
 * interface's, so that one that floods silences nobody but itself.
 *
 * A notice (discovery/notice.h) goes the same ways: out while the owner wants it, every 5 s and on
 * its own; in through the same checks, with a limit of its own, so that neither kind can crowd out
 * the other. */
#include "overlay/lan.h"

#include "core/limit.h"
#include "discovery/announce.h"
#include "discovery/beacon.h"
#include "overlay/sift.h"

#include <stdlib.h>
#include <string.h>

#define BEACONS_AT_A_TIME    4             /* of BEACON_TAGS contacts each */
#define BEACON_GAP           (250 * OV_MS) /* of an interface, however often something changes */
#define LIFETIMES            3
#define OWN_NONCES           64
#define PER_SOURCE           4 /* a second */
#define PER_SOURCE_BURST     8
#define PER_INTERFACE        20
#define PER_INTERFACE_BURST  40 /* a power cut ends: everybody speaks at once, on two families */
#define SOURCES              256
#define NOTICES              20 /* a second, of one interface */
#define NOTICES_BURST        64
#define BROADCAST_PREFIX_MAX 30 /* longer ones have no broadcast address */

struct interface {
	uint32_t index;
	struct local_address addresses[LAN_ADDRESSES];
	size_t count;
	struct announce announce;
	struct limit limit, notices;
	ov_time notice_at;     /* ours; counts while we show ourselves */
	uint8_t notices_early; /* of the first ones */
	size_t left;           /* beacons to go at this time */
	ov_time quiet_until;
};

struct lan {
	struct node *node;
	uint16_t port;
	struct rng rng;
	struct interface interfaces[LAN_INTERFACES], fresh[LAN_INTERFACES]; /* fresh: scratch */
	size_t count;
	struct source_limits *sources;
	struct sift *sift;
	uint8_t own[OWN_NONCES][BEACON_NONCE_LEN];
	size_t own_next;
	struct { /* the beacon on its way */
		uint8_t data[BEACON_MAX];
		size_t len, next, ways;
		struct dgram to[2 * LAN_ADDRESSES];
	} out;
	ov_time expire_at;
	struct { /* we, shown to everybody */
		ov_time until;
		uint8_t data[NOTICE_LEN];
	} shown;
	struct nearby nearby;
	struct lan_counters counters;
};

struct lan *lan_new(struct node *n, uint16_t port, const struct rng *rng)
{
	struct lan *l = calloc(1, sizeof(*l));
	if (!l)
		return NULL;
	l->node = n;
	l->port = port;
	l->rng = *rng;
	l->sift = sift_new(n);
	l->sources = source_limits_new(SOURCES, rng);
	l->expire_at = OV_NEVER;
	if (l->sift && l->sources)
		return l;
	lan_free(l);
	return NULL;
}

void lan_free(struct lan *l)
{
	if (!l)
		return;
	sift_free(l->sift);
	source_limits_free(l->sources);
	free(l);
}

const struct lan_counters *lan_counters(const struct lan *l)
{
	return &l->counters;
}

struct ov_addr lan_group(bool v4)
{
	struct ov_addr group = { .ip = { 0xff, 0x12, [14] = 0x6a, 0x2e }, .port = LAN_PORT };
	return v4 ? addr_v4(239, 255, 27, 182, LAN_PORT) : group;
}

static struct interface *find(struct lan *l, uint32_t index)
{
	for (size_t i = 0; i < l->count; i++)
		if (l->interfaces[i].index == index)
			return &l->interfaces[i];
	return NULL;
}

/* How long a beacon is news: three times the rhythm of the liveliest network. */
static ov_time lifetime(const struct lan *l, ov_time now)
{
	ov_time longest = ANNOUNCE_EVERY;
	for (size_t i = 0; i < l->count; i++)
		longest = ov_max(longest, announce_interval(&l->interfaces[i].announce, now));
	return LIFETIMES * longest;
}

/* ---- interfaces ---- */

static bool has_address(const struct interface *f, const struct local_address *a)
{
	for (size_t i = 0; i < f->count; i++)
		if (addr_equal(&f->addresses[i].addr, &a->addr) &&
			f->addresses[i].prefix_len == a->prefix_len)
			return true;
	return false;
}

static void hurry(struct interface *f, ov_time now)
{
	announce_hurry(&f->announce, now);
	f->announce.at = ov_max(now, f->quiet_until);
	f->left = 0;
}

static void hurry_notice(struct interface *f, ov_time now)
{
	f->notice_at = now;
	f->notices_early = 0;
}

/* The interface of the new list, made when its first address is met: what goes on comes along. */
static struct interface *take_over(struct lan *l, size_t *count, uint32_t index)
{
	for (size_t i = 0; i < *count; i++)
		if (l->fresh[i].index == index)
			return &l->fresh[i];
	if (*count == LAN_INTERFACES)
		return NULL;
	const struct interface *old = find(l, index);
	struct interface *f = &l->fresh[(*count)++];
	*f = old ? *old : (struct interface){ .index = index };
	f->count = 0;
	return f;
}

void lan_network(
	struct lan *l, ov_time now, const struct local_address *list, size_t count, bool resumed)
{
	size_t used = 0;
	bool news = resumed;
	for (size_t i = 0; i < count; i++) {
		struct interface *f = take_over(l, &used, list[i].interface);
		if (!f || f->count == LAN_ADDRESSES)
			continue;
		f->addresses[f->count++] = list[i];
		const struct interface *old = find(l, f->index);
		if (old && has_address(old, &list[i]) && !resumed)
			continue;
		hurry(f, now);
		hurry_notice(f, now);
		news = true;
	}
	memcpy(l->interfaces, l->fresh, used * sizeof(l->fresh[0]));
	l->counters.interfaces = l->count = used;
	l->out.next = l->out.ways = 0;
	if (news)
		node_heard_again(l->node, now, lifetime(l, now));
}

void lan_on_contact(struct lan *l, ov_time now)
{
	for (size_t i = 0; i < l->count; i++)
		hurry(&l->interfaces[i], now);
}

/* ---- to the network ---- */

static struct ov_addr broadcast_of(const struct local_address *a)
{
	struct ov_addr b = a->addr;
	uint32_t host = UINT32_MAX >> a->prefix_len;
	store_be32(b.ip + 12, load_be32(b.ip + 12) | host);
	return b;
}

static void add_way(struct lan *l, const struct interface *f, const struct local_address *from,
	struct ov_addr to)
{
	struct dgram *d = &l->out.to[l->out.ways++];
	to.port = LAN_PORT;
	*d = (struct dgram){ .data = l->out.data,
		.len = l->out.len,
		.segment = (uint16_t)l->out.len,
		.interface = f->index,
		.remote = to };
	if (from)
		d->local = from->addr;
	else
		d->remote.scope = f->index;
}

static void address_to_all(struct lan *l, const struct interface *f)
{
	bool v6 = false;
	l->out.next = l->out.ways = 0;
	for (size_t i = 0; i < f->count; i++) {
		const struct local_address *a = &f->addresses[i];
		if (!addr_is_v4(&a->addr)) {
			v6 = true;
			continue;
		}
		add_way(l, f, a, lan_group(true));
		if (a->prefix_len <= BROADCAST_PREFIX_MAX)
			add_way(l, f, a, broadcast_of(a));
	}
	if (v6)
		add_way(l, f, NULL, lan_group(false));
}

/* False: to nobody. */
static bool write_beacon(struct lan *l, struct interface *f, size_t total)
{
	struct beacon_reader readers[BEACON_TAGS];
	struct node_pair pair;
	size_t count, used = 0, first = announce_turn(&f->announce, total, BEACON_TAGS, &count);
	for (size_t i = 0; i < count; i++)
		if (node_pair(l->node, (first + i) % total, &pair))
			readers[used++] = (struct beacon_reader){ pair.key, pair.we_are_lower };
	if (used == 0)
		return false;
	l->out.len = beacon_encode(l->out.data, l->port, readers, used, &l->rng);
	memcpy(l->own[l->own_next++ % OWN_NONCES], l->out.data + HEADER_LEN, BEACON_NONCE_LEN);
	return true;
}

void lan_show(
	struct lan *l, ov_time now, ov_time until, const char *name, const struct identity *self)
{
	struct notice n = { .id = self->id, .port = l->port };
	l->shown.until = until;
	if (until <= now)
		return;
	assert(notice_name_ok(name));
	memcpy(n.name, name, strlen(name) + 1);
	notice_encode(l->shown.data, &n, self);
	for (size_t i = 0; i < l->count; i++)
		hurry_notice(&l->interfaces[i], now);
}

/* At 0, 1 and 3 s, then every 5 s or as rarely as many who speak must. */
static void speak_openly(struct lan *l, ov_time now)
{
	static const ov_time early[] = { OV_SEC, 2 * OV_SEC };
	for (size_t i = 0; now < l->shown.until && i < l->count; i++) {
		struct interface *f = &l->interfaces[i];
		if (f->notice_at > now)
			continue;
		l->out.len = NOTICE_LEN;
		memcpy(l->out.data, l->shown.data, NOTICE_LEN);
		address_to_all(l, f);
		bool first = f->notices_early < sizeof(early) / sizeof(early[0]);
		f->notice_at = now + (first ? early[f->notices_early++]
					    : rng_jitter(&l->rng, nearby_interval(&l->nearby), 20));
		return;
	}
}

/* One beacon of the first interface that is due. */
static void speak(struct lan *l, ov_time now)
{
	size_t total = node_peer_count(l->node);
	for (size_t i = 0; total > 0 && i < l->count; i++) {
		struct interface *f = &l->interfaces[i];
		if (f->announce.at > now)
			continue;
		size_t beacons = (total + BEACON_TAGS - 1) / BEACON_TAGS;
		if (beacons > BEACONS_AT_A_TIME)
			beacons = BEACONS_AT_A_TIME;
		if (f->left == 0)
			f->left = beacons;
		if (write_beacon(l, f, total))
			address_to_all(l, f);
		if (--f->left > 0)
			return;
		announce_done(&f->announce, now, &l->rng);
		f->quiet_until = now + (ov_time)beacons * BEACON_GAP;
		return;
	}
}

bool lan_poll(struct lan *l, struct dgram *out)
{
	if (l->out.next == l->out.ways)
		return false;
	*out = l->out.to[l->out.next++];
	l->counters.sent++;
	return true;
}

/* ---- from the network ---- */

static bool same_prefix(const struct ov_addr *a, const struct local_address *of)
{
	unsigned bits = of->prefix_len + (addr_is_v4(&of->addr) ? 96u : 0u);
	size_t whole = bits / 8;
	if (memcmp(a->ip, of->addr.ip, whole) != 0)
		return false;
	return bits % 8 == 0 || ((a->ip[whole] ^ of->addr.ip[whole]) >> (8 - bits % 8)) == 0;
}

static bool is_on_link(const struct interface *f, const struct ov_addr *from)
{
	bool v4 = addr_is_v4(from);
	enum addr_scope scope = addr_scope(from);
	if (scope == ADDR_UNUSABLE || scope == ADDR_LOOPBACK)
		return false;
	if (!v4 && scope == ADDR_LINK_LOCAL)
		return from->scope == f->index;
	for (size_t i = 0; i < f->count; i++)
		if (addr_is_v4(&f->addresses[i].addr) == v4 && same_prefix(from, &f->addresses[i]))
			return true;
	return false;
}

static bool is_to_all(const struct interface *f, const struct ov_addr *to)
{
	struct ov_addr group = lan_group(addr_is_v4(to));
	if (addr_same_ip(to, &group))
		return true;
	for (size_t i = 0; i < f->count; i++) {
		const struct local_address *a = &f->addresses[i];
		if (!addr_is_v4(&a->addr) || a->prefix_len > BROADCAST_PREFIX_MAX)
			continue;
		struct ov_addr all = broadcast_of(a);
		if (addr_same_ip(to, &all))
			return true;
	}
	return false;
}

static bool is_own(const struct lan *l, const struct beacon *b)
{
	for (size_t i = 0; i < OWN_NONCES; i++)
		if (memcmp(l->own[i], b->nonce, BEACON_NONCE_LEN) == 0)
			return true;
	return false;
}

/* The table of limits goes by /64, which is the whole link here: by interface identifier, then. */
static bool source_may(struct lan *l, ov_time now, const struct ov_addr *from)
{
	struct ov_addr source = *from;
	if (!addr_is_v4(from)) {
		source = (struct ov_addr){ 0 };
		memcpy(source.ip, from->ip + 8, 8);
	}
	return source_limits_take(l->sources, now, &source, PER_SOURCE, PER_SOURCE_BURST);
}

static void count_notice(struct lan_counters *c, enum nearby_verdict v)
{
	c->notices += v == NEARBY_KNOWN || v == NEARBY_NEW;
	c->forged += v == NEARBY_FORGED;
	c->crowded += v == NEARBY_CROWDED;
	c->limited += v == NEARBY_LIMITED;
}

static void on_notice(struct lan *l, ov_time now, struct interface *f, const struct dgram *in)
{
	struct lan_counters *c = &l->counters;
	struct notice n;
	if (notice_decode(&n, in->data, in->len) != DROP_NONE) {
		c->malformed++;
	} else if (node_is_self(l->node, &n.id)) {
		c->own++;
	} else if (!f || !is_on_link(f, &in->remote) || !is_to_all(f, &in->local)) {
		c->off_link++;
	} else if (!nearby_is_known(&l->nearby, in->data) &&
		   (!source_may(l, now, &in->remote) ||
			   !limit_take(&f->notices, now, NOTICES, NOTICES_BURST, 1))) {
		c->limited++;
	} else {
		struct ov_addr at = in->remote;
		at.port = n.port;
		count_notice(c, nearby_put(&l->nearby, now, &n, in->data, &at, f->index));
	}
}

const struct nearby *lan_nearby(const struct lan *l)
{
	return &l->nearby;
}

bool lan_news(struct lan *l, struct nearby_peer *out)
{
	for (size_t i = 0; i < l->nearby.count; i++) {
		struct nearby_peer *e = &l->nearby.list[i];
		if (e->told)
			continue;
		e->told = true;
		*out = *e;
		return true;
	}
	return false;
}

void lan_input(struct lan *l, ov_time now, const struct dgram *in)
{
	struct lan_counters *c = &l->counters;
	struct interface *f = find(l, in->interface);
	struct beacon b;
	c->received++;
	if (notice_is(in->data, in->len)) {
		on_notice(l, now, f, in);
		return;
	}
	if (beacon_decode(&b, in->data, in->len) != DROP_NONE) {
		c->malformed++;
	} else if (is_own(l, &b)) {
		c->own++;
	} else if (!f || !is_on_link(f, &in->remote) || !is_to_all(f, &in->local)) {
		c->off_link++;
	} else if (sift_is_copy(l->sift, &b, &in->remote)) {
		c->copies++;
	} else if (!source_may(l, now, &in->remote) ||
		   !limit_take(&f->limit, now, PER_INTERFACE, PER_INTERFACE_BURST, 1)) {
		c->limited++;
	} else {
		enum sift_verdict verdict = sift_put(l->sift, &b, &in->remote);
		c->limited += verdict == SIFT_FULL;
		if (verdict == SIFT_NEW)
			announce_heard(&f->announce, now);
	}
}

static void sift(struct lan *l, ov_time now)
{
	struct sift_hit hit;
	switch (sift_step(l->sift, now, &hit)) {
	case SIFT_NOTHING: return;
	case SIFT_STRANGER: l->counters.strangers++; return;
	case SIFT_CONTACT: break;
	}
	l->counters.heard++;
	(void)node_heard(l->node, now, &hit.id, &hit.at, lifetime(l, now));
	if (l->expire_at == OV_NEVER)
		l->expire_at = now + ANNOUNCE_EVERY;
}

void lan_tick(struct lan *l, ov_time now)
{
	if (now >= l->shown.until)
		l->shown.until = 0;
	if (sift_deadline(l->sift) <= now)
		sift(l, now);
	if (l->out.next == l->out.ways)
		speak(l, now);
	if (l->out.next == l->out.ways)
		speak_openly(l, now);
	if (now >= nearby_deadline(&l->nearby))
		nearby_expire(&l->nearby, now);
	if (now >= l->expire_at) {
		node_heard_expire(l->node, now, lifetime(l, now));
		l->expire_at = now + ANNOUNCE_EVERY;
	}
}

ov_time lan_deadline(const struct lan *l)
{
	ov_time at = ov_min(l->expire_at, sift_deadline(l->sift));
	for (size_t i = 0; node_peer_count(l->node) > 0 && i < l->count; i++)
		at = ov_min(at, l->interfaces[i].announce.at);
	for (size_t i = 0; i < l->count; i++)
		if (l->interfaces[i].notice_at < l->shown.until)
			at = ov_min(at, l->interfaces[i].notice_at);
	return ov_min(at, nearby_deadline(&l->nearby));
}
