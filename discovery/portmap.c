/* One question is out at a time. PCP is asked first (it is the richest and costs one datagram),
 * then NAT-PMP, then UPnP (whose search is a multicast and takes 2 s); what worked last with this
 * router is asked first. A PCP server that only knows NAT-PMP says so, and an ICMP "port
 * unreachable" rules out both, so the usual router without either costs one round trip before UPnP
 * is asked. When all have failed there is silence for SEARCH_AGAIN.
 *
 * A lease is renewed at half of its life, and when that fails at half of what is left, until it
 * ends; then the search starts anew. Only the protocol that made it renews it. A router that lost
 * its mappings is noticed by its epoch (RFC 6887 8.5): it is told by its announcement, by every
 * answer, and by ANNOUNCE, which is asked every CHECK_EVERY. The MAP that follows makes the mapping
 * again, so its own answer needs no further step. */
#include "discovery/portmap.h"

#include "core/bytes.h"
#include "core/identity.h"

#define TRY_FIRST     (250 * OV_MS) /* nat.md part 1: 250 ms, doubling */
#define TRY_SENDS     3             /* 250 + 500 + 1000 ms, then the next protocol */
#define JOB_LIMIT     (30 * OV_SEC) /* the child ends itself sooner, see overlay-portmap.c */
#define SEARCH_AGAIN  (600 * OV_SEC)
#define REST_MOST     (3600 * OV_SEC) /* a router may ask for more silence, up to this */
#define DOUBT_AGAIN   (60 * OV_SEC)   /* a search that failed is not repeated sooner */
#define CHECK_EVERY   (600 * OV_SEC)
#define RENEW_LEAST   (4 * OV_SEC) /* RFC 6887 11.2.1 */
#define LEASE_MOST_S  86400        /* whoever grants more is asked every half day all the same */
#define LEASE_LEAST_S 60           /* less is no offer: it would be asked for without end */
#define DEAF_FOR      (5 * OV_SEC) /* after an answer: one announcement is repeated (14.1.2) */

const char *portmap_protocol_name(enum portmap_protocol p)
{
	static const char *const names[] = { "pcp", "nat-pmp", "upnp", "none" };
	assert(p <= PORTMAP_PROTOCOLS);
	return names[p];
}

const char *portmap_state_name(enum portmap_state s)
{
	static const char *const names[] = { "off", "searching", "held", "none" };
	assert(s <= PORTMAP_NONE);
	return names[s];
}

const char *portmap_error_name(enum portmap_error e)
{
	static const char *const names[] = { NULL, "no-answer", "refused", "failed", "helper",
		"double-nat" };
	assert(e <= PORTMAP_ERR_DOUBLE_NAT);
	return names[e];
}

void portmap_init(struct portmap *p, const uint8_t nonce_key[32], uint16_t port, struct rng rng)
{
	*p = (struct portmap){ .rng = rng,
		.port = port,
		.job = rng_u32(&rng), /* several share one child */
		.worked = PORTMAP_PROTOCOLS,
		.at = OV_NEVER,
		.check_at = OV_NEVER };
	p->status.protocol = PORTMAP_PROTOCOLS;
	p->status.expires_at = OV_NEVER;
	memcpy(p->nonce_key, nonce_key, sizeof(p->nonce_key));
}

/* ---- asking ---- */

static bool has_natpmp(const struct portmap *p)
{
	return addr_is_v4(&p->status.route.local);
}

static void ask(struct portmap *p, ov_time now, enum portmap_protocol protocol)
{
	p->asking = true;
	p->asked = protocol;
	p->sends = 1;
	p->send_due = protocol == PORTMAP_PCP;
	p->job_due = !p->send_due;
	p->at = now + (p->send_due ? TRY_FIRST : JOB_LIMIT);
	p->job++;
}

static void stop_asking(struct portmap *p)
{
	p->asking = p->send_due = p->job_due = p->check_due = false;
	p->at = OV_NEVER;
}

static void set_state(struct portmap *p, enum portmap_state state)
{
	p->changed |= p->status.state != state;
	p->status.state = state;
}

static enum portmap_protocol next_protocol(const struct portmap *p)
{
	if (p->worked != PORTMAP_PROTOCOLS && !(p->tried & (1U << p->worked)))
		return p->worked;
	for (unsigned i = 0; i < PORTMAP_PROTOCOLS; i++) {
		if (!(p->tried & (1U << i)))
			return (enum portmap_protocol)i;
	}
	return PORTMAP_PROTOCOLS;
}

static void ask_next(struct portmap *p, ov_time now)
{
	enum portmap_protocol protocol = next_protocol(p);
	if (protocol == PORTMAP_PROTOCOLS) {
		stop_asking(p);
		if (p->status.double_nat && p->status.error == PORTMAP_ERR_REFUSED)
			p->status.error = PORTMAP_ERR_DOUBLE_NAT;
		set_state(p, PORTMAP_NONE);
		p->heard_at = now;
		p->at = now + ov_max(p->rest, rng_jitter(&p->rng, SEARCH_AGAIN, 10));
		return;
	}
	p->tried |= (uint8_t)(1U << protocol);
	p->status.protocol = protocol;
	ask(p, now, protocol);
}

static void search(struct portmap *p, ov_time now)
{
	stop_asking(p);
	p->tried = has_natpmp(p) ? 0 : 1U << PORTMAP_NATPMP;
	p->pinhole = 0;
	p->rest = 0;
	p->check_at = OV_NEVER;
	struct portmap_status *s = &p->status;
	*s = (struct portmap_status){ .state = s->state,
		.route = s->route,
		.expires_at = OV_NEVER,
		.error = PORTMAP_ERR_SILENT };
	set_state(p, PORTMAP_SEARCHING);
	ask_next(p, now);
}

/* ---- what came of it ---- */

/* The lease is still good: half of what is left, then again. */
static void renew_later(struct portmap *p, ov_time now)
{
	stop_asking(p);
	ov_time left = p->status.expires_at - now;
	p->at = ov_min(now + ov_max(left / 2, RENEW_LEAST), p->status.expires_at);
}

static void failed(struct portmap *p, ov_time now, enum portmap_error error, uint16_t code)
{
	struct portmap_status *s = &p->status;
	bool silent = error == PORTMAP_ERR_SILENT || error == PORTMAP_ERR_HELPER;
	if (s->state == PORTMAP_HELD && silent && now < s->expires_at) {
		renew_later(p, now);
		return;
	}
	if (s->state == PORTMAP_HELD) { /* it knows our mapping no more */
		search(p, now);
		return;
	}
	/* a router that speaks says more than one that does not, whatever comes after */
	if (s->error == PORTMAP_ERR_SILENT ||
		(s->error == PORTMAP_ERR_HELPER && error != PORTMAP_ERR_SILENT)) {
		s->error = error;
		s->code = code;
	}
	ask_next(p, now);
}

/* What the router says of its outer side, also while it refuses. One that knows that its address is
 * private may say that it has none (miniupnpd). */
static void note_outside(struct portmap *p, const struct ov_addr *external)
{
	enum addr_scope scope = addr_scope(external);
	p->status.double_nat =
		scope == ADDR_PRIVATE || scope == ADDR_LINK_LOCAL || addr_is_any(external);
	p->status.external = *external;
	p->status.external.port = 0;
}

static void held(struct portmap *p, ov_time now, const struct ov_addr *external, uint32_t lease_s)
{
	struct portmap_status *s = &p->status;
	enum addr_scope scope = addr_scope(external);
	bool too_short = lease_s > 0 && lease_s < LEASE_LEAST_S;
	if (external->port == 0 || scope == ADDR_UNUSABLE || scope == ADDR_LOOPBACK || too_short) {
		failed(p, now, PORTMAP_ERR_FAILED, 0);
		return;
	}
	stop_asking(p);
	p->changed |= !addr_equal(&s->external, external) || s->protocol != p->asked;
	note_outside(p, external);
	s->external.port = external->port;
	s->protocol = p->worked = p->asked;
	s->error = PORTMAP_ERR_NONE;
	s->code = 0;
	s->lease_s = lease_s;
	set_state(p, PORTMAP_HELD);
	/* a permanent one is asked for again as well: the router may have forgotten it */
	uint32_t life_s = lease_s ? lease_s : PORTMAP_LEASE;
	life_s = life_s > LEASE_MOST_S ? LEASE_MOST_S : life_s;
	ov_time half = (ov_time)life_s * OV_SEC / 2;
	s->expires_at = lease_s ? now + (ov_time)life_s * OV_SEC : OV_NEVER;
	p->at = now + half + (ov_time)rng_below(&p->rng, (uint64_t)(half / 8));
	p->check_at = s->protocol == PORTMAP_PCP ? now + CHECK_EVERY : OV_NEVER;
}

static void renew(struct portmap *p, ov_time now)
{
	ask(p, now, p->status.protocol);
}

/* ---- PCP ---- */

static struct pcp_map our_map(const struct portmap *p, uint32_t lifetime_s)
{
	struct pcp_map m = { .internal = p->status.route.local, .lifetime_s = lifetime_s };
	memcpy(m.nonce, p->nonce, sizeof(m.nonce));
	m.internal.port = p->port;
	if (p->status.state == PORTMAP_HELD)
		m.external = p->status.external;
	else
		m.external.port = p->port;
	return m;
}

/* Also NAT-PMP's announcement of its address (RFC 6886 3.2.1), which is sent when it changed. */
static enum drop announced(struct portmap *p, ov_time now, const struct pcp_answer *a)
{
	if (!a->natpmp && a->opcode != PCP_ANNOUNCE)
		return DROP_TYPE;
	if (now - p->heard_at < DEAF_FOR || p->asking)
		return DROP_RATE;
	bool lost = a->natpmp || !pcp_epoch_valid(&p->epoch, now, a->epoch_s);
	p->heard_at = now;
	/* anybody on the segment can say this: it costs one question, and changes nothing else */
	if (p->status.state == PORTMAP_HELD && lost)
		renew(p, now);
	else if (p->status.state == PORTMAP_NONE)
		search(p, now); /* the router has just started */
	return DROP_NONE;
}

static enum drop on_map(struct portmap *p, ov_time now, const struct pcp_answer *a)
{
	struct pcp_map asked = our_map(p, 0);
	if (!p->asking || p->asked != PORTMAP_PCP || !pcp_answer_is_for(a, &asked))
		return DROP_TOKEN;
	pcp_epoch_note(&p->epoch, now, a->epoch_s);
	p->heard_at = now;
	if (a->result == PCP_SUCCESS && a->lifetime_s > 0) {
		held(p, now, &a->map.external, a->lifetime_s);
	} else {
		p->rest = ov_min((ov_time)a->lifetime_s * OV_SEC, REST_MOST);
		failed(p, now, PORTMAP_ERR_REFUSED, a->result);
	}
	return DROP_NONE;
}

enum drop portmap_input(
	struct portmap *p, ov_time now, const uint8_t *data, size_t len, bool is_announcement)
{
	struct pcp_answer a;
	enum drop why = pcp_decode(&a, data, len);
	if (why != DROP_NONE || p->status.state == PORTMAP_OFF)
		return why;
	if (is_announcement)
		return announced(p, now, &a);
	if (a.natpmp) {
		if (!p->asking || p->asked != PORTMAP_PCP)
			return DROP_TOKEN;
		bool renewing = p->status.state == PORTMAP_HELD; /* another router in its place */
		failed(p, now, renewing ? PORTMAP_ERR_REFUSED : PORTMAP_ERR_SILENT, 0);
		return DROP_NONE;
	}
	if (a.opcode == PCP_MAP)
		return on_map(p, now, &a);
	bool lost = !pcp_epoch_valid(&p->epoch, now, a.epoch_s);
	if (a.result == PCP_SUCCESS && lost && !p->asking && p->status.state == PORTMAP_HELD)
		renew(p, now);
	return DROP_NONE;
}

void portmap_unreachable(struct portmap *p, ov_time now)
{
	if (!p->asking || p->asked != PORTMAP_PCP)
		return;
	p->tried |= 1U << PORTMAP_NATPMP;
	failed(p, now, PORTMAP_ERR_SILENT, 0);
}

/* ---- the child ---- */

void portmap_answer(struct portmap *p, ov_time now, const struct portmap_answer *a)
{
	static const enum portmap_error errors[] = { [PORTMAP_DONE] = PORTMAP_ERR_NONE,
		[PORTMAP_SILENT] = PORTMAP_ERR_SILENT,
		[PORTMAP_REFUSED] = PORTMAP_ERR_REFUSED,
		[PORTMAP_FAILED] = PORTMAP_ERR_FAILED };
	if (!p->asking || p->asked == PORTMAP_PCP || a->id != p->job)
		return;
	if (a->epoch_s)
		pcp_epoch_note(&p->epoch, now, a->epoch_s);
	p->heard_at = now;
	bool other_family = addr_is_v4(&a->external) != addr_is_v4(&p->status.route.local);
	if (a->result == PORTMAP_DONE && other_family) {
		failed(p, now, PORTMAP_ERR_FAILED, 0);
		return;
	}
	if (a->result == PORTMAP_DONE) {
		p->pinhole = a->pinhole;
		held(p, now, &a->external, a->lifetime_s);
		return;
	}
	bool told = addr_is_v4(&a->external) && addr_is_v4(&p->status.route.local);
	if (told && p->status.state != PORTMAP_HELD)
		note_outside(p, &a->external);
	failed(p, now, errors[a->result], a->code);
}

void portmap_child_gone(struct portmap *p, ov_time now)
{
	if (p->asking && p->asked != PORTMAP_PCP)
		failed(p, now, PORTMAP_ERR_HELPER, 0);
}

static struct portmap_request job_of(
	const struct portmap *p, enum portmap_protocol protocol, uint32_t lifetime_s)
{
	bool v4 = addr_is_v4(&p->status.route.local);
	struct portmap_request r = { .id = p->job,
		.op = protocol == PORTMAP_NATPMP ? PORTMAP_OP_NATPMP
		      : v4                       ? PORTMAP_OP_UPNP
						 : PORTMAP_OP_UPNP_PINHOLE,
		.local = p->status.route.local,
		.gateway = p->status.route.gateway,
		.prefix_len = p->status.route.prefix_len,
		.external_port =
			p->status.state == PORTMAP_HELD ? p->status.external.port : p->port,
		.pinhole = p->pinhole,
		.lifetime_s = lifetime_s };
	r.local.port = p->port;
	r.gateway.scope = p->status.route.interface;
	return r;
}

/* ---- network, clock ---- */

static bool same_route(const struct portmap_route *a, const struct portmap_route *b)
{
	return addr_equal(&a->local, &b->local) && addr_equal(&a->gateway, &b->gateway) &&
	       a->interface == b->interface && a->prefix_len == b->prefix_len;
}

/* A private IPv4 address is mapped, a global IPv6 address gets a pinhole; a router cannot do
 * anything for the others. */
static bool is_worth_asking(const struct portmap_route *r)
{
	if (addr_is_any(&r->gateway))
		return false;
	return addr_scope(&r->local) == (addr_is_v4(&r->local) ? ADDR_PRIVATE : ADDR_GLOBAL);
}

/* The same for this machine at this router with this address, and known to nobody else. */
static void make_nonce(struct portmap *p)
{
	uint8_t data[16 + 16 + 2], hash[32];
	memcpy(data, p->status.route.local.ip, 16);
	memcpy(data + 16, p->status.route.gateway.ip, 16);
	store_le16(data + 32, p->port);
	struct hash_key key = { "OVL pcp nonce", p->nonce_key, sizeof(p->nonce_key) };
	ov_hash_keyed(hash, sizeof(hash), &key, data, sizeof(data));
	memcpy(p->nonce, hash, sizeof(p->nonce));
}

static void doubt_it(struct portmap *p, ov_time now)
{
	if (p->asking)
		return;
	if (p->status.state == PORTMAP_HELD && now - p->heard_at >= DEAF_FOR)
		renew(p, now);
	else if (p->status.state == PORTMAP_NONE && now - p->heard_at >= DOUBT_AGAIN)
		search(p, now);
}

bool portmap_network(struct portmap *p, ov_time now, const struct portmap_route *r, bool doubt)
{
	if (same_route(&p->status.route, r)) {
		if (doubt)
			doubt_it(p, now);
		return false;
	}
	if (!addr_equal(&p->status.route.gateway, &r->gateway)) {
		p->worked = PORTMAP_PROTOCOLS;
		p->epoch = (struct pcp_epoch){ 0 };
	}
	p->status.route = *r;
	p->heard_at = now - DEAF_FOR;
	p->changed = true; /* another endpoint even when the state is the same */
	if (is_worth_asking(r)) {
		make_nonce(p);
		search(p, now);
		return true;
	}
	stop_asking(p);
	p->status = (struct portmap_status){
		.route = *r, .protocol = PORTMAP_PROTOCOLS, .expires_at = OV_NEVER
	};
	return true;
}

void portmap_stop(struct portmap *p, ov_time now)
{
	(void)now;
	p->release_due = p->status.state == PORTMAP_HELD;
	if (p->release_due)
		p->release = job_of(p, p->status.protocol, 0);
	stop_asking(p);
	p->check_at = OV_NEVER;
	set_state(p, PORTMAP_OFF);
}

static void repeat_or_give_up(struct portmap *p, ov_time now)
{
	if (p->asked != PORTMAP_PCP) {
		failed(p, now, PORTMAP_ERR_HELPER, 0);
	} else if (p->sends == TRY_SENDS) {
		failed(p, now, PORTMAP_ERR_SILENT, 0);
	} else {
		p->at = now + (TRY_FIRST << p->sends);
		p->sends++;
		p->send_due = true;
	}
}

void portmap_tick(struct portmap *p, ov_time now)
{
	struct portmap_status *s = &p->status;
	if (s->state == PORTMAP_HELD && now >= s->expires_at) {
		search(p, now);
		return;
	}
	if (now >= p->at && p->asking) {
		repeat_or_give_up(p, now);
	} else if (now >= p->at && s->state == PORTMAP_HELD) {
		renew(p, now);
	} else if (now >= p->at && s->state == PORTMAP_NONE) {
		search(p, now);
	} else if (now >= p->check_at) {
		p->check_at = now + CHECK_EVERY;
		p->check_due = !p->asking;
	}
}

ov_time portmap_deadline(const struct portmap *p)
{
	if (p->status.state == PORTMAP_HELD)
		return ov_min(ov_min(p->at, p->check_at), p->status.expires_at);
	return p->at;
}

/* ---- out ---- */

static void poll_release(struct portmap *p, struct portmap_action *out)
{
	p->release_due = false;
	if (p->status.protocol != PORTMAP_PCP) {
		out->is_job = true;
		out->job = p->release;
		return;
	}
	struct pcp_map m = our_map(p, 0); /* 15: external is unspecified in a deletion */
	m.external = (struct ov_addr){ 0 };
	out->len = pcp_encode_map(out->data, &m);
}

bool portmap_poll(struct portmap *p, ov_time now, struct portmap_action *out)
{
	(void)now;
	*out = (struct portmap_action){ 0 };
	if (p->release_due) {
		poll_release(p, out);
	} else if (p->send_due) {
		struct pcp_map m = our_map(p, PORTMAP_LEASE);
		out->len = pcp_encode_map(out->data, &m);
		p->send_due = false;
	} else if (p->job_due) {
		out->is_job = true;
		out->job = job_of(p, p->asked, PORTMAP_LEASE);
		p->job_due = false;
	} else if (p->check_due) {
		out->len = pcp_encode_announce(out->data, &p->status.route.local);
		p->check_due = false;
	} else {
		return false;
	}
	return true;
}

bool portmap_changed(struct portmap *p)
{
	bool changed = p->changed;
	p->changed = false;
	return changed;
}
