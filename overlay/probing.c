/* What does the NAT before us do with a mapping that nothing else uses: how long does it live, and
 * does the NAT send back what we send to our own outside address (RFC 4787 4.3 and 6)?
 *
 * From a port of its own, so that no other packet keeps the mapping alive, we ask a facilitator to
 * answer after a silence. Its answer comes in or it does not; a silence is lost only if it was so
 * twice, each time behind a test without silence that was answered. Before a silence there are
 * packets both ways for more than 2 s: Linux and others give such a mapping more time than one that
 * nobody answered, and paths in use have it.
 *
 * Once per network and day, four silences, some ten packets. A short lifetime hurts from the first
 * minute on: so the first silence is the one above the keepalive of those who know nothing, and
 * already its first loss makes paths speak more often. */
#include "overlay/probing.h"

#include "overlay/association.h"
#include "overlay/frames.h"
#include "overlay/meet.h"
#include "overlay/network.h"
#include "overlay/route.h"

#include <sodium.h>

#define BEGIN_AFTER   (5 * OV_SEC) /* what punching needs goes first */
#define PORT_WITHIN   (5 * OV_SEC) /* of the edge */
#define OPEN_EVERY    OV_SEC
#define OPEN_TRIES    3
#define SETTLED_AFTER (3 * OV_SEC)  /* Linux: 2 s, nat.md part 2 */
#define PATIENCE      (3 * OV_SEC)  /* beyond the silence, at least 4 SRTT */
#define EARLY         (500 * OV_MS) /* by so much may two clocks differ in 180 s */
#define HAIRPIN_EVERY (400 * OV_MS)
#define HAIRPIN_TRIES 3
#define LATER         (3600 * OV_SEC) /* after one that came to nothing */
#define AGAIN_AFTER   (24 * 3600 * OV_SEC)
#define BURST_LASTS   (15 * OV_SEC)

/* By which facilitator, if any, do we see this NAT? */
static bool is_usable(const struct peer *p, ov_time now)
{
	const struct association *a = p->association;
	return p->registration->registered && association_reaches(a, now) &&
	       a->active->carrier == CARRIER_UDP && a->active->state == PATH_VALID &&
	       a->active->natted && addr_is_v4(&a->active->remote);
}

static struct peer *choose(const struct node *n, ov_time now)
{
	for (size_t i = 0; i < n->facilitator_count; i++)
		if (is_usable(n->facilitators[i], now))
			return n->facilitators[i];
	return NULL;
}

static bool is_unchanged(const struct probing *g, ov_time now)
{
	if (!is_usable(g->facilitator, now))
		return false;
	const struct path *path = g->facilitator->association->active;
	return addr_equal(&path->remote, &g->remote) && addr_same_ip(&path->observed, &g->external);
}

static const struct network *measured(const struct node *n, const struct ov_addr *external)
{
	const struct network *here = network_known(n);
	bool holds =
		here && here->measured_at != OV_NEVER && addr_same_ip(&here->external, external);
	return holds ? here : NULL;
}

static ov_time keepalive_by(const struct node *n, const struct ov_addr *external)
{
	const struct network *known = measured(n, external);
	ov_time every =
		known ? lifetime_keepalive(&known->lifetime, PATH_KEEPALIVE) : PATH_KEEPALIVE;
	const struct probing *g = &n->probing;
	if (g->state == PROBING_IDLE || !addr_same_ip(&g->external, external))
		return every;
	struct lifetime so_far = g->lifetime;
	if (g->again)
		lifetime_on_result(&so_far, false);
	return ov_min(every, lifetime_keepalive(&so_far, every));
}

ov_time probing_keepalive(const struct node *n, const struct path *path)
{
	bool through = path->natted && addr_is_v4(&path->remote) && path->carrier == CARRIER_UDP;
	return through ? keepalive_by(n, &path->observed) : PATH_KEEPALIVE;
}

static void apply(struct node *n, ov_time now)
{
	for (size_t i = 0; i < n->peer_count; i++) {
		struct association *a = n->peers[i]->association;
		if (!a || !a->active)
			continue;
		path_keep_warm(a->active, now, route_keepalive(n, n->peers[i], a->active));
		peer_touch(n, n->peers[i]);
	}
}

/* What the answers came by is no way to the facilitator. */
static void remove_paths(struct node *n, struct peer *p, uint16_t port)
{
	struct association *a = p->association;
	for (size_t i = 0; port != 0 && a && i < a->path_count;)
		if (a->paths[i]->local.port == port && a->paths[i] != a->active)
			route_remove(n, p, a->paths[i]); /* puts another at i */
		else
			i++;
}

static void stop(struct node *n, ov_time now, ov_time next_at)
{
	struct probing *g = &n->probing;
	if (g->state != PROBING_IDLE) {
		remove_paths(n, g->facilitator, g->port);
		node_emit(n, &(struct node_event){ .type = NODE_PROBE_DONE });
	}
	*g = (struct probing){ .next_at = next_at };
	apply(n, now);
}

static void finish(struct node *n, ov_time now)
{
	const struct probing *g = &n->probing;
	struct network *here = network_keep(n);
	here->external = g->external;
	here->measured_at = now;
	here->lifetime = g->lifetime;
	here->hairpin = g->hairpin;
	stop(n, now, now + AGAIN_AFTER);
}

static void begin(struct node *n, ov_time now)
{
	struct probing *g = &n->probing;
	struct peer *p = choose(n, now);
	g->next_at = OV_NEVER; /* until a facilitator is heard again: probing_consider */
	if (!p)
		return;
	const struct path *path = p->association->active;
	const struct network *known = measured(n, &path->observed);
	if (known && now - known->measured_at < AGAIN_AFTER) {
		g->next_at = known->measured_at + AGAIN_AFTER;
		return;
	}
	if (n->burst.peer) { /* a new mapping would spoil its guess */
		g->next_at = now + BURST_LASTS;
		return;
	}
	*g = (struct probing){ .state = PROBING_WAITS,
		.facilitator = p,
		.remote = path->remote,
		.external = path->observed,
		.next_at = now + PORT_WITHIN };
	node_emit(n, &(struct node_event){ .type = NODE_PROBE_WANTED });
}

static struct dgram by_port(uint16_t port, const struct ov_addr *to)
{
	return (struct dgram){ .carrier = CARRIER_UDP, .local = { .port = port }, .remote = *to };
}

static void test(struct node *n, ov_time now, uint16_t delay_s)
{
	struct probing *g = &n->probing;
	uint8_t plain[32];
	struct wr w = wr_init(plain, sizeof(plain));
	g->token = rng_u32(&n->rng);
	g->answered = false;
	frame_put_lifetime_test(
		&w, &(struct lifetime_test){ .token = g->token, .delay_s = delay_s });
	struct dgram where = by_port(g->port, &g->remote);
	(void)frames_send_to(n, now, g->facilitator, &w, &where);
}

static void open_mapping(struct node *n, ov_time now)
{
	struct probing *g = &n->probing;
	if (g->state != PROBING_OPENS) {
		g->state = PROBING_OPENS;
		g->tries = 0;
		g->opened_at = now;
	}
	g->tries++;
	g->next_at = now + OPEN_EVERY;
	test(n, now, 0);
}

void node_probe_port(struct node *n, ov_time now, uint16_t port)
{
	struct probing *g = &n->probing;
	if (g->state != PROBING_WAITS)
		return;
	g->port = port;
	if (port == 0)
		stop(n, now, now + LATER);
	else
		open_mapping(n, now);
}

static void listen_after(struct node *n, ov_time now)
{
	struct probing *g = &n->probing;
	uint16_t silence_s = lifetime_next(&g->lifetime);
	ov_time srtt = g->facilitator->association->active->rtt.smoothed;
	g->state = PROBING_LISTENS;
	g->opened_at = now;
	g->next_at = now + silence_s * OV_SEC + ov_max(PATIENCE, 4 * srtt);
	test(n, now, silence_s);
}

static void on_silence(struct node *n, ov_time now)
{
	struct probing *g = &n->probing;
	if (!g->answered && !g->again) {
		g->again = true; /* a lost packet is no lost mapping */
		apply(n, now);
		open_mapping(n, now);
		return;
	}
	g->again = false;
	lifetime_on_result(&g->lifetime, g->answered);
	apply(n, now);
	if (lifetime_next(&g->lifetime) == 0)
		finish(n, now);
	else if (g->answered)
		listen_after(n, now);
	else
		open_mapping(n, now);
}

static void settle(struct node *n, ov_time now)
{
	struct probing *g = &n->probing;
	g->state = PROBING_SETTLES;
	g->next_at = ov_max(now, g->opened_at + SETTLED_AFTER);
}

static void send_hairpin(struct node *n, uint16_t from, const struct ov_addr *to)
{
	uint8_t *room = output_room(&n->output, HAIRPIN_LEN, false);
	if (!room)
		return;
	header_encode(&(struct header){ .type = PACKET_HAIRPIN }, room);
	memcpy(room + HEADER_LEN, n->probing.hairpin_token, HAIRPIN_TOKEN_LEN);
	struct dgram where = by_port(from, to);
	output_add(&n->output, &where, NULL, HAIRPIN_LEN);
}

/* By both ports, each to where the other is seen: so no filter of either stands in the way. */
static void try_hairpin(struct node *n, ov_time now)
{
	struct probing *g = &n->probing;
	if (g->answered || g->hairpins == HAIRPIN_TRIES) {
		g->hairpin = g->answered ? HAIRPIN_YES : HAIRPIN_NO;
		settle(n, now);
		return;
	}
	g->hairpins++;
	g->next_at = now + HAIRPIN_EVERY;
	send_hairpin(n, g->port, &g->external);
	send_hairpin(n, 0, &g->seen);
}

static void on_opened(struct node *n, ov_time now)
{
	struct probing *g = &n->probing;
	bool wanted = g->hairpin == HAIRPIN_UNKNOWN && meet_may_probe(n, &g->external) &&
		      meet_may_probe(n, &g->seen);
	if (!wanted) {
		settle(n, now);
		return;
	}
	g->state = PROBING_HAIRPIN;
	g->answered = false;
	rng_fill(&n->rng, g->hairpin_token, HAIRPIN_TOKEN_LEN);
	try_hairpin(n, now);
}

void probing_tick(struct node *n, ov_time now)
{
	struct probing *g = &n->probing;
	if (now < g->next_at)
		return;
	if (g->state != PROBING_IDLE && !is_unchanged(g, now)) {
		stop(n, now, now + BEGIN_AFTER);
		return;
	}
	switch ((enum probing_state)g->state) {
	case PROBING_IDLE: begin(n, now); break;
	case PROBING_WAITS: stop(n, now, now + LATER); break;
	case PROBING_OPENS:
		if (g->answered)
			on_opened(n, now);
		else if (g->tries < OPEN_TRIES)
			open_mapping(n, now);
		else
			stop(n, now, now + LATER);
		break;
	case PROBING_HAIRPIN: try_hairpin(n, now); break;
	case PROBING_SETTLES: listen_after(n, now); break;
	case PROBING_LISTENS: on_silence(n, now); break;
	}
}

ov_time probing_deadline(const struct node *n)
{
	return n->probing.next_at;
}

void probing_consider(struct node *n, ov_time now, const struct path *path)
{
	struct probing *g = &n->probing;
	if (g->state == PROBING_IDLE && g->next_at == OV_NEVER && path->natted &&
		addr_is_v4(&path->remote))
		g->next_at = now + BEGIN_AFTER;
}

void probing_forget(struct node *n, ov_time now)
{
	stop(n, now, OV_NEVER);
}

void probing_forget_peer(struct node *n, const struct peer *p)
{
	if (n->probing.state == PROBING_IDLE || n->probing.facilitator != p)
		return;
	node_emit(n, &(struct node_event){ .type = NODE_PROBE_DONE });
	n->probing = (struct probing){ .next_at = OV_NEVER };
}

/* Too early is a lie: the silence was not kept. */
enum drop probing_on_answer(struct node *n, ov_time now, struct peer *p, struct path *path,
	const struct lifetime_answer *f)
{
	struct probing *g = &n->probing;
	bool opens = g->state == PROBING_OPENS, listens = g->state == PROBING_LISTENS;
	if ((!opens && !listens) || g->facilitator != p || g->answered || f->token != g->token)
		return DROP_TOKEN;
	if (path->carrier != CARRIER_UDP || path->local.port != g->port)
		return DROP_FORMAT;
	path_withdraw(path);
	if (listens && now - g->opened_at + EARLY < lifetime_next(&g->lifetime) * OV_SEC)
		return DROP_FORMAT;
	g->seen = f->observed;
	g->answered = true;
	g->next_at = now;
	return DROP_NONE;
}

enum drop probing_on_hairpin(struct node *n, ov_time now, const struct dgram *run,
	const struct header *h, const uint8_t *data, size_t len)
{
	struct probing *g = &n->probing;
	if (len != HAIRPIN_LEN || run->carrier != CARRIER_UDP)
		return DROP_TYPE;
	if (h->flags != 0 || h->receiver != 0 || h->counter != 0)
		return DROP_HEADER;
	if (g->state != PROBING_HAIRPIN ||
		sodium_memcmp(data + HEADER_LEN, g->hairpin_token, HAIRPIN_TOKEN_LEN) != 0)
		return DROP_TOKEN;
	g->answered = true;
	g->next_at = now;
	return DROP_NONE;
}

static const char *hairpin_name(enum hairpin h)
{
	switch (h) {
	case HAIRPIN_UNKNOWN: return "unknown";
	case HAIRPIN_NO: return "no";
	case HAIRPIN_YES: return "yes";
	}
	return "unknown";
}

void probing_info(const struct node *n, struct nat_info *out)
{
	const struct probing *g = &n->probing;
	const struct network *known = measured(n, &out->external);
	struct lifetime lifetime = known ? known->lifetime : g->lifetime;
	uint8_t hairpin = known && g->hairpin == HAIRPIN_UNKNOWN ? known->hairpin : g->hairpin;
	out->hairpin = hairpin_name((enum hairpin)hairpin);
	out->survived_s = lifetime_survived_s(&lifetime);
	out->lost_s = lifetime_lost_s(&lifetime);
	out->keepalive = keepalive_by(n, &out->external);
	out->measuring = g->state != PROBING_IDLE;
}
