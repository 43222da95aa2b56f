/* Which NAT stands before us (RFC 4787 terms; the tests are those of RFC 5780 4.3 and 4.4). A
 * facilitator answers from where we never sent anything: from its second port, and from its second
 * address if it has one. What comes in tells the filtering. Then we send there too, first to the
 * port, and compare how each place sees us: the mapping. Order matters, since sending there opens
 * the filter. That nothing came from the second address tells something only once we know that it
 * answers at all. Done once for each registration and network. */
#include "overlay/netcheck.h"

#include "overlay/association.h"
#include "overlay/frames.h"
#include "overlay/meet.h"
#include "overlay/probing.h"
#include "overlay/punch.h"
#include "overlay/route.h"

#define TEST_FLOOR (100 * OV_MS) /* between two tests, at least 2 SRTT */
#define PATIENCE   OV_SEC        /* with the second address, at least 4 SRTT */

/* Of struct netcheck; before them, that many tests of filtering were sent. */
enum step { STEP_PORT = 3, STEP_ADDRESS, STEP_GIVE_UP };

static struct nat *nat_of(struct node *n, const struct ov_addr *a)
{
	return &n->nat[addr_is_v4(a) ? 0 : 1];
}

void netcheck_begin(struct node *n, ov_time now, struct peer *p, uint16_t second_port,
	struct ov_addr second_addr)
{
	struct netcheck *c = &p->registration->netcheck;
	*c = (struct netcheck){ .next_at = second_port ? now : OV_NEVER,
		.token = rng_u32(&n->rng),
		.second_addr = second_addr,
		.second_port = second_port };
	peer_touch(n, p);
}

void netcheck_forget(struct node *n, ov_time now)
{
	nat_forget(&n->nat[0]);
	nat_forget(&n->nat[1]);
	for (size_t i = 0; i < n->facilitator_count; i++) {
		struct peer *p = n->facilitators[i];
		const struct netcheck *c = &p->registration->netcheck;
		if (p->registration->registered)
			netcheck_begin(n, now, p, c->second_port, c->second_addr);
	}
}

static bool is_by_udp(const struct peer *p)
{
	const struct association *a = p->association;
	return a && a->active && a->active->carrier == CARRIER_UDP;
}

/* A facilitator may name anybody's address: only one that the world reaches (so none of the
 * overlay) is asked, of the family that is in use. By UDP. */
static bool has_second_address(const struct peer *p)
{
	const struct ov_addr *second = &p->registration->netcheck.second_addr;
	const struct ov_addr *first = &p->association->active->remote;
	return addr_scope(second) == ADDR_GLOBAL && addr_scope(first) == ADDR_GLOBAL &&
	       addr_is_v4(second) == addr_is_v4(first) && !addr_same_ip(second, first);
}

static void after(ov_time now, struct peer *p, ov_time least, int srtts)
{
	ov_time srtt = p->association->active->rtt.smoothed;
	p->registration->netcheck.next_at = now + ov_max(least, srtts * srtt);
}

static void test_filter(struct node *n, ov_time now, struct peer *p)
{
	struct netcheck *c = &p->registration->netcheck;
	uint8_t plain[32];
	struct wr w = wr_init(plain, sizeof(plain));
	struct filter_test f = { .token = c->token, .from = FILTER_FROM_PORT };
	if (!c->port_came)
		frame_put_filter(&w, FRAME_FILTER_TEST, &f);
	f.from = FILTER_FROM_ADDRESS;
	if (has_second_address(p))
		frame_put_filter(&w, FRAME_FILTER_TEST, &f);
	(void)frames_send(n, now, p, &w, false);
	c->step++;
	after(now, p, TEST_FLOOR, 2);
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

/* is_sure: the second address answered. */
static void conclude(
	struct node *n, ov_time now, struct peer *p, enum nat_filtering filtering, bool is_sure)
{
	struct nat *nat = nat_of(n, &p->association->active->remote);
	enum nat_side before = side_of(nat);
	nat_set_filtering(nat, filtering, is_sure);
	tell_side(n, now, before, nat); /* a public address behind a firewall */
}

static enum nat_filtering by_port(const struct netcheck *c, enum nat_filtering if_it_came)
{
	return c->port_came ? if_it_came : NAT_FILTERING_ADDRESS_PORT_DEPENDENT;
}

/* How does this place see us? */
static void observe(struct node *n, ov_time now, struct peer *p, const struct ov_addr *place)
{
	struct association *a = p->association;
	for (size_t i = 0; i < a->path_count; i++)
		if (a->paths[i]->for_checks && addr_equal(&a->paths[i]->remote, place))
			path_ask(a->paths[i], now); /* a valid one is not probed */
	punch_probe(n, now, p, place, true);
}

/* Two ports are all that is known of. */
static void give_up(struct node *n, ov_time now, struct peer *p)
{
	struct netcheck *c = &p->registration->netcheck;
	c->next_at = OV_NEVER;
	conclude(n, now, p, by_port(c, NAT_FILTERING_OPEN), false);
}

static void test_port(struct node *n, ov_time now, struct peer *p)
{
	struct netcheck *c = &p->registration->netcheck;
	struct ov_addr second = p->association->active->remote;
	second.port = c->second_port;
	c->step = STEP_ADDRESS;
	if (c->address_came)
		c->next_at = OV_NEVER;
	else if (has_second_address(p))
		after(now, p, TEST_FLOOR, 2);
	else
		give_up(n, now, p);
	if (!c->port_came) /* else its path is being asked already */
		observe(n, now, p, &second);
}

static void test_address(struct node *n, ov_time now, struct peer *p)
{
	struct netcheck *c = &p->registration->netcheck;
	struct candidate word = { .addr = c->second_addr,
		.tried_at = OV_NEVER,
		.source = SOURCE_FACILITATOR,
		.carrier = CARRIER_UDP };
	c->step = STEP_GIVE_UP;
	after(now, p, PATIENCE, 4);
	if (has_second_address(p) && meet_may_ask(n, now, p, &word))
		observe(n, now, p, &c->second_addr);
}

void netcheck_tick(struct node *n, ov_time now, struct peer *p)
{
	struct netcheck *c = &p->registration->netcheck;
	if (now < c->next_at)
		return;
	if (!association_reaches(p->association, now) || !is_by_udp(p))
		c->next_at = OV_NEVER; /* registration begins it anew */
	else if (c->step < STEP_PORT)
		test_filter(n, now, p);
	else if (c->step == STEP_PORT)
		test_port(n, now, p);
	else if (c->step == STEP_ADDRESS)
		test_address(n, now, p);
	else
		give_up(n, now, p);
}

static bool is_ours(const struct node *n, const struct ov_addr *a)
{
	for (size_t i = 0; i < n->local_count; i++)
		if (addr_same_ip(&n->locals[i].addr, a))
			return a->port == n->config.listen_port;
	return false;
}

/* The second address answers, so what did not come from there was not let in. */
static void on_second_address(struct node *n, ov_time now, struct peer *p, const struct path *path)
{
	struct netcheck *c = &p->registration->netcheck;
	if (c->next_at == OV_NEVER || c->step != STEP_GIVE_UP || !is_by_udp(p) ||
		!addr_equal(&path->remote, &c->second_addr))
		return;
	c->next_at = OV_NEVER;
	conclude(n, now, p, by_port(c, NAT_FILTERING_ADDRESS_DEPENDENT), true);
}

void netcheck_on_observed(struct node *n, ov_time now, struct peer *p, const struct path *path)
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
	on_second_address(n, now, p, path);
}

/* Neither may have been sent to before its answer came. */
static bool comes_from(const struct peer *p, const struct path *path, enum filter_from from)
{
	const struct netcheck *c = &p->registration->netcheck;
	if (path->carrier != CARRIER_UDP || !is_by_udp(p) || path->remote.port != c->second_port)
		return false;
	if (from == FILTER_FROM_PORT)
		return addr_same_ip(&path->remote, &p->association->active->remote) &&
		       c->step <= STEP_PORT;
	return has_second_address(p) && addr_equal(&path->remote, &c->second_addr) &&
	       c->step <= STEP_ADDRESS;
}

/* The path that it came by is new, and being asked already: the mapping follows. */
enum drop netcheck_on_answer(struct node *n, ov_time now, struct peer *p, const struct path *path,
	const struct filter_test *f)
{
	struct netcheck *c = p->registration ? &p->registration->netcheck : NULL;
	if (!c || c->next_at == OV_NEVER || f->token != c->token)
		return DROP_TOKEN;
	if (!comes_from(p, path, (enum filter_from)f->from))
		return DROP_FORMAT;
	if (f->from == FILTER_FROM_PORT) {
		c->port_came = true;
		if (!has_second_address(p))
			give_up(n, now, p);
		return DROP_NONE;
	}
	c->address_came = true;
	conclude(n, now, p, NAT_FILTERING_OPEN, true);
	if (c->step > STEP_PORT)
		c->next_at = OV_NEVER;
	else
		after(now, p, TEST_FLOOR, 2); /* the other answer is on its way */
	c->step = STEP_PORT;
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
	case NAT_FILTERING_ADDRESS_DEPENDENT: return "address-dependent";
	case NAT_FILTERING_ADDRESS_PORT_DEPENDENT: return "address-and-port-dependent";
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
		.two_addresses = n->nat[ipv6 ? 1 : 0].filtering_is_sure,
		.ports = ports_name(c.ports),
		.side = side_name(&c),
		.external = c.external,
		.hairpin = "unknown" };
	if (!ipv6 && c.mapping != NAT_MAPPING_NONE)
		probing_info(n, &info);
	return info;
}
