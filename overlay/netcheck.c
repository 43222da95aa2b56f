/* Which NAT stands before us (RFC 4787 terms). A facilitator answers one question from a port where
 * we never sent anything: if that comes in, the filtering is endpoint-independent. Then we send to
 * that port too, and compare how each of its ports sees us: the mapping. Order matters, since
 * sending there opens the filter. Done once for each registration and network. */
#include "overlay/netcheck.h"

#include "overlay/association.h"
#include "overlay/frames.h"
#include "overlay/meet.h"
#include "overlay/probing.h"
#include "overlay/punch.h"
#include "overlay/route.h"

#define TESTS      3
#define TEST_FLOOR (100 * OV_MS) /* between two tests, at least 2 SRTT */

static struct nat *nat_of(struct node *n, const struct ov_addr *a)
{
	return &n->nat[addr_is_v4(a) ? 0 : 1];
}

void netcheck_begin(struct node *n, ov_time now, struct peer *p, uint16_t second_port)
{
	struct netcheck *c = &p->registration->netcheck;
	*c = (struct netcheck){ .next_at = second_port ? now : OV_NEVER,
		.token = rng_u32(&n->rng),
		.second_port = second_port };
	peer_touch(n, p);
}

void netcheck_forget(struct node *n, ov_time now)
{
	nat_forget(&n->nat[0]);
	nat_forget(&n->nat[1]);
	for (size_t i = 0; i < n->facilitator_count; i++) {
		struct peer *p = n->facilitators[i];
		if (p->registration->registered)
			netcheck_begin(n, now, p, p->registration->netcheck.second_port);
	}
}

static void test_filter(struct node *n, ov_time now, struct peer *p)
{
	struct netcheck *c = &p->registration->netcheck;
	uint8_t plain[16];
	struct wr w = wr_init(plain, sizeof(plain));
	frame_put_filter(&w, FRAME_FILTER_TEST, &(struct filter_test){ .token = c->token });
	(void)frames_send(n, now, p, &w, false);
	c->tests++;
	c->next_at = now + ov_max(TEST_FLOOR, 2 * p->association->active->rtt.smoothed);
}

static enum nat_side side_of(const struct nat *nat)
{
	struct nat_class c = nat_classify(nat);
	return nat_side(&c);
}

/* Another method may do. */
static void tell_side(struct node *n, ov_time now, enum nat_side before, const struct nat *nat)
{
	if (side_of(nat) != before)
		meet_moved(n, now);
}

static void test_mapping(struct node *n, ov_time now, struct peer *p)
{
	struct ov_addr second = p->association->active->remote;
	second.port = p->registration->netcheck.second_port;
	struct nat *nat = nat_of(n, &second);
	enum nat_side before = side_of(nat);
	nat_set_filtering(nat, false);
	tell_side(n, now, before, nat); /* a public address behind a firewall */
	punch_probe(n, now, p, &second, true);
	p->registration->netcheck.next_at = OV_NEVER;
}

void netcheck_tick(struct node *n, ov_time now, struct peer *p)
{
	struct netcheck *c = &p->registration->netcheck;
	if (now < c->next_at)
		return;
	bool udp = association_reaches(p->association, now) &&
		   p->association->active->carrier == CARRIER_UDP;
	if (!udp)
		c->next_at = OV_NEVER; /* registration begins it anew */
	else if (c->tests < TESTS)
		test_filter(n, now, p);
	else
		test_mapping(n, now, p);
}

static bool is_ours(const struct node *n, const struct ov_addr *a)
{
	for (size_t i = 0; i < n->local_count; i++)
		if (addr_same_ip(&n->locals[i].addr, a))
			return a->port == n->config.listen_port;
	return false;
}

void netcheck_on_observed(
	struct node *n, ov_time now, const struct peer *p, const struct path *path)
{
	enum addr_scope scope = addr_scope(&path->observed);
	if (!p->registration || path->carrier != CARRIER_UDP ||
		(scope != ADDR_GLOBAL && scope != ADDR_PRIVATE))
		return; /* a neighbour sees what no router did anything to */
	struct nat *nat = nat_of(n, &path->remote);
	enum nat_side before = side_of(nat);
	nat_add(nat, &(struct nat_sample){ .observer = path->remote,
			     .observed = path->observed,
			     .local_port = n->config.listen_port,
			     .is_local = is_ours(n, &path->observed) });
	probing_consider(n, now, path);
	tell_side(n, now, before, nat);
}

enum drop netcheck_on_answer(
	struct node *n, struct peer *p, const struct path *path, const struct filter_test *f)
{
	struct netcheck *c = p->registration ? &p->registration->netcheck : NULL;
	if (!c || c->next_at == OV_NEVER || f->token != c->token)
		return DROP_TOKEN;
	if (path->carrier != CARRIER_UDP || path->remote.port != c->second_port)
		return DROP_FORMAT;
	nat_set_filtering(nat_of(n, &path->remote), true);
	c->next_at = OV_NEVER; /* its path is being challenged already: the mapping follows */
	return DROP_NONE;
}

static const char *mapping_name(enum nat_mapping m)
{
	switch (m) {
	case NAT_MAPPING_UNKNOWN: return "unknown";
	case NAT_MAPPING_NONE: return "none";
	case NAT_MAPPING_ENDPOINT_INDEPENDENT: return "endpoint-independent";
	case NAT_MAPPING_ADDRESS_DEPENDENT: return "address-dependent";
	case NAT_MAPPING_ADDRESS_PORT_DEPENDENT: return "address-and-port-dependent";
	}
	return "unknown";
}

static const char *filtering_name(enum nat_filtering f)
{
	switch (f) {
	case NAT_FILTERING_UNKNOWN: return "unknown";
	case NAT_FILTERING_OPEN: return "endpoint-independent";
	case NAT_FILTERING_DEPENDENT: return "dependent";
	}
	return "unknown";
}

static const char *ports_name(enum nat_ports p)
{
	switch (p) {
	case NAT_PORTS_UNKNOWN: return "unknown";
	case NAT_PORTS_PRESERVED: return "preserved";
	case NAT_PORTS_SEQUENTIAL: return "sequential";
	case NAT_PORTS_RANDOM: return "random";
	}
	return "unknown";
}

/* How others may meet us (nat.md part 1, step 7). */
static const char *side_name(const struct nat_class *c)
{
	switch (nat_side(c)) {
	case NAT_SIDE_OPEN: return "open";
	case NAT_SIDE_EASY: return "easy";
	case NAT_SIDE_PREDICTABLE: return "predictable";
	case NAT_SIDE_HARD: return "hard";
	}
	return "easy";
}

struct nat_class netcheck_class(const struct node *n, bool ipv4)
{
	return nat_classify(&n->nat[ipv4 ? 0 : 1]);
}

struct nat_info node_nat_info(const struct node *n, bool ipv6)
{
	struct nat_class c = netcheck_class(n, !ipv6);
	struct nat_info info = { .mapping = mapping_name(c.mapping),
		.filtering = filtering_name(c.filtering),
		.ports = ports_name(c.ports),
		.side = side_name(&c),
		.external = c.external,
		.hairpin = "unknown" };
	if (!ipv6 && c.mapping != NAT_MAPPING_NONE)
		probing_info(n, &info);
	return info;
}
