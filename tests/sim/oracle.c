/* Books: what was sealed, what was submitted (oracle_inner.c), and what went to and came from each
 * address. The last one knows an address as validated once a CONTROL datagram that the node sent
 * there has reached a host, and a later one of that host has reached the node: only so can a
 * PATH_RESPONSE come (by any way, RFC 9000 8.2.3), relays included. The oracle cannot be deceived:
 * it saw who made the bytes. Facilitators of these worlds use none themselves, so what one sends as
 * RELAY is not its own. */
#include "tests/sim/oracle.h"

#include "core/packet.h"
#include "tests/sim/digest.h"
#include "tests/sim/hostile.h"
#include "tests/sim/sim.h"

#include <stdarg.h>
#include <stdio.h>

#define AMPLIFY_FACTOR 3
/* HS1 for one peer from one of our addresses to one of its: a call begins with four in 2 s, and
 * begins anew when networks change (three times at once) or a path fails again: not within 1.5 s,
 * or three questions if the answers to all but HS1 go astray. */
#define HS1_BURST        24
#define HS1_EVERY        (500 * OV_MS)
#define PROBES_FREE      9 /* CONTROL to a known candidate, per change of our network; design.md 5 */
#define PROBE_BYTES      296
#define GUESS_BYTES      64
#define GUESSES_PER_HOUR (2 * 1200) /* for each peer; design.md 5 */
#define ROUND_EVERY      (4 * OV_SEC) /* punching: 5 s less a fifth; each side has rounds of its own */
#define TICKS_PER_SECOND 200
#define TICKS_PER_PACKET 4

struct remote_record {
	uint64_t in, out; /* bytes; out without HS1 to candidates */
	uint32_t probes;
	bool reached;                     /* somebody got a CONTROL that was sent there */
	bool validated, candidate, local; /* local: may be sent to, as far as `foreign` goes */
};

struct reach_record { /* of a host's CONTROL to an address; boxes may lead it to several in turn */
	ov_time at;   /* when one first came to this host */
};

struct burst_record {  /* of one address without port */
	uint64_t seen; /* datagrams that facilitators got from there */
	uint64_t sent; /* guesses, by one host */
};

struct heard_record {
	ov_time last_control; /* a CONTROL datagram it made arrived here, from wherever */
};

struct maker_record {
	uint32_t host; /* + 1; 0: nobody yet */
};

struct relayed_record {
	uint32_t in, out; /* in: from an address that answered a challenge */
};

struct call_record {
	uint32_t count;
	ov_time paid_until; /* a call that kept the pace exactly would be here (GCRA) */
};

struct sink_record {
	uint64_t forged, received; /* bytes sent in its name; bytes that reached it */
};

void oracle_init(struct oracle *o)
{
	*o = (struct oracle){ 0 };
	nonce_book_init(&o->nonce);
	oracle_inner_init(o);
	book_init(&o->remotes, sizeof(struct remote_record));
	book_init(&o->calls, sizeof(struct call_record));
	book_init(&o->sinks, sizeof(struct sink_record));
	book_init(&o->heard, sizeof(struct heard_record));
	book_init(&o->bursts, sizeof(struct burst_record));
	book_init(&o->reaches, sizeof(struct reach_record));
	book_init(&o->makers, sizeof(struct maker_record));
	book_init(&o->relayed, sizeof(struct relayed_record));
}

void oracle_fini(struct oracle *o)
{
	nonce_book_fini(&o->nonce);
	book_fini(&o->inner);
	book_fini(&o->remotes);
	book_fini(&o->calls);
	book_fini(&o->sinks);
	book_fini(&o->heard);
	book_fini(&o->bursts);
	book_fini(&o->reaches);
	book_fini(&o->makers);
	book_fini(&o->relayed);
}

void oracle_break(struct sim *s, const char *invariant, const char *format, ...)
{
	if (s->oracle.broken)
		return;
	s->oracle.broken = invariant;
	va_list args;
	va_start(args, format);
	vsnprintf(s->oracle.what, sizeof(s->oracle.what), format, args);
	va_end(args);
	trace_tell(&s->trace, s->now, "!", "%s: %s", invariant, s->oracle.what);
}

/* ---- addresses ---- */

static uint64_t addr_digest(const struct ov_addr *a, uint64_t salt)
{
	return digest_mix(digest_bytes(salt, a->ip, sizeof(a->ip)), a->port);
}

static struct remote_record *remote_of(struct sim *s, const struct host *h, const struct ov_addr *a)
{
	uint64_t salt = (uint64_t)h->id << 32 | h->starts;
	return book_at(&s->oracle.remotes, addr_digest(a, salt + 1));
}

static struct heard_record *heard_of(struct sim *s, const struct host *h, uint32_t maker)
{
	return book_at(&s->oracle.heard, digest_mix(digest_mix(17, h->id), maker));
}

static bool is_relay(const struct host *h)
{
	return h->config.facilitator != FACILITATOR_OFF;
}

static bool serves(const struct host *relay, const struct host *client)
{
	return is_relay(relay) && host_uses(client, relay->id);
}

/* May h have a session with the other one? */
static bool knows(const struct sim *s, struct host *h, uint32_t other)
{
	return host_friend(h, other) || host_uses(h, other) || serves(h, &s->hosts[other]);
}

static bool is_candidate_of(
	struct sim *s, const struct host *h, uint32_t other, const struct ov_addr *a)
{
	struct candidate_info *list = s->oracle.candidates;
	size_t count = node_peer_candidates(h->node, &s->hosts[other].self.id, list, 32);
	for (size_t k = 0; k < count && k < 32; k++)
		if (addr_equal(&list[k].addr, a))
			return true;
	return false;
}

/* A facilitator names a second port, for the NAT check of its client. */
static bool is_second_port_of(
	struct sim *s, const struct host *h, uint32_t facilitator, struct ov_addr a)
{
	uint16_t second = s->hosts[facilitator].config.second_port;
	if (second == 0 || a.port != second)
		return false;
	a.port = HOST_PORT;
	return is_candidate_of(s, h, facilitator, &a);
}

/* Is it an address where h was told that somebody it knows may be? */
static bool is_candidate(struct sim *s, struct host *h, const struct ov_addr *a)
{
	for (size_t i = 0; i < h->friend_count; i++)
		if (is_candidate_of(s, h, h->friends[i].host, a))
			return true;
	for (size_t i = 0; i < h->facilitator_count; i++)
		if (is_candidate_of(s, h, h->facilitators[i].host, a) ||
			is_second_port_of(s, h, h->facilitators[i].host, *a))
			return true;
	for (uint32_t i = 0; is_relay(h) && i < s->host_count; i++)
		if (serves(h, &s->hosts[i]) && is_candidate_of(s, h, i, a))
			return true;
	return false;
}

/* Whom an HS1 is for: mac1 is made with the peer's key. */
static const struct host *called_by(struct sim *s, struct host *h, const uint8_t *hs1, size_t len)
{
	for (uint32_t i = 0; i < s->host_count; i++)
		if (knows(s, h, i) &&
			handshake_check_hs1(s->hosts[i].mac1_key, hs1, len) == DROP_NONE)
			return &s->hosts[i];
	return NULL;
}

static void check_pace(struct sim *s, struct host *h, const struct flight *f)
{
	const struct host *called = called_by(s, h, f->data, f->len);
	if (!called) {
		oracle_break(s, "handshakes", "%s: an HS1 to nobody that it knows", h->name);
		return;
	}
	uint64_t way = (uint64_t)h->id << 48 | (uint64_t)h->starts << 16 | called->id;
	way = addr_digest(&f->source, addr_digest(&f->destination, way));
	struct call_record *c = book_at(&s->oracle.calls, way);
	c->count++;
	c->paid_until = ov_max(c->paid_until, s->now) + HS1_EVERY;
	char text[ADDR_TEXT_MAX];
	if (c->paid_until > s->now + HS1_BURST * HS1_EVERY)
		oracle_break(s, "handshakes", "%s: too many HS1 for %s to %s, %u in all", h->name,
			called->name, addr_format(&f->destination, text), c->count);
}

static struct reach_record *reach_of(
	struct sim *s, const struct host *h, const struct ov_addr *a, uint32_t reached)
{
	uint64_t salt = (uint64_t)h->id << 32 | h->starts;
	return book_at(&s->oracle.reaches, digest_mix(addr_digest(a, salt + 29), reached));
}

/* Did this one answer a challenge that h sent there? */
static bool has_answered(struct sim *s, struct host *h, const struct ov_addr *a, uint32_t who)
{
	ov_time reached = reach_of(s, h, a, who)->at;
	return reached != 0 && heard_of(s, h, who)->last_control > reached;
}

static bool is_validated(
	struct sim *s, struct host *h, struct remote_record *r, const struct ov_addr *a)
{
	for (uint32_t i = 0; r->reached && !r->validated && i < s->host_count; i++)
		r->validated = knows(s, h, i) && has_answered(s, h, a, i);
	return r->validated;
}

static bool is_of_client(struct sim *s, struct host *h, const struct ov_addr *a)
{
	for (uint32_t i = 0; i < s->host_count; i++)
		if (serves(h, &s->hosts[i]) && has_answered(s, h, a, i))
			return true;
	return false;
}

/* ---- relaying ---- */

static uint64_t inside_digest(const struct flight *f)
{
	return digest_bytes(19, f->data + RELAY_HEADER_LEN, f->len - RELAY_HEADER_LEN);
}

static bool is_relayed(const struct flight *f)
{
	return f->data[0] == PACKET_RELAY && f->len > RELAY_HEADER_LEN;
}

static struct relayed_record *relayed_by(
	struct sim *s, const struct host *h, const struct flight *f)
{
	return book_at(&s->oracle.relayed, digest_mix(inside_digest(f), h->id));
}

static void relay_emits(struct sim *s, struct host *h, const struct flight *f)
{
	struct relayed_record *x = relayed_by(s, h, f);
	char text[ADDR_TEXT_MAX];
	addr_format(&f->destination, text);
	if (!is_of_client(s, h, &f->destination))
		oracle_break(s, "relay", "%s relays to %s, where no client answered a challenge",
			h->name, text);
	if (++x->out > x->in)
		oracle_break(s, "relay",
			"%s relays %u B to %s that no client sent from where it is: %u in, %u out",
			h->name, f->len, text, x->in, x->out);
}

static void note_relayed(struct sim *s, struct host *h, const struct flight *f)
{
	if (is_relay(h)) {
		if (is_of_client(s, h, &f->source))
			relayed_by(s, h, f)->in++;
		return;
	}
	const struct maker_record *m = book_find(&s->oracle.makers, inside_digest(f));
	if (m && f->data[RELAY_HEADER_LEN] == PACKET_CONTROL)
		heard_of(s, h, m->host - 1)->last_control = s->now;
}

/* ---- private addresses of others ---- */

static bool is_on_link(const struct sim *s, const struct host *h, const struct ov_addr *a)
{
	for (size_t i = 0; i < s->net.iface_count; i++) {
		const struct iface *x = s->net.ifaces[i];
		for (size_t k = 0; x->host == h->id && k < x->address_count; k++)
			if (addr_is_v4(&x->addresses[k]) == addr_is_v4(a) &&
				memcmp(x->addresses[k].ip, a->ip, addr_is_v4(a) ? 15 : 8) == 0)
				return true;
	}
	return false;
}

static bool is_written(const struct host *h, const struct ov_addr *a)
{
	for (size_t i = 0; i < h->friend_count; i++)
		for (size_t k = 0; k < h->friends[i].endpoint_count; k++)
			if (addr_equal(&h->friends[i].endpoints[k], a))
				return true;
	return false;
}

/* Do both have a way to the core through the same box? */
static bool share_a_box(const struct sim *s, const struct host *h, const struct host *other)
{
	for (size_t i = 0; i < s->net.iface_count; i++)
		for (size_t k = 0; k < s->net.iface_count; k++) {
			const struct iface *x = s->net.ifaces[i], *y = s->net.ifaces[k];
			if (x->host == h->id && y->host == other->id &&
				net_has_common_box(&s->net, x->segment, y->segment))
				return true;
		}
	return false;
}

static bool has_neighbour(const struct sim *s, const struct host *h)
{
	for (size_t i = 0; i < h->friend_count; i++)
		if (share_a_box(s, h, &s->hosts[h->friends[i].host]))
			return true;
	return false;
}

static void check_foreign(
	struct sim *s, struct host *h, const struct flight *f, struct remote_record *r)
{
	if (addr_scope(&f->destination) != ADDR_PRIVATE || is_on_link(s, h, &f->destination))
		return;
	r->local = r->local || r->in > 0 || is_written(h, &f->destination) || has_neighbour(s, h);
	char text[ADDR_TEXT_MAX];
	if (!r->local)
		oracle_break(s, "foreign", "%s: %u B to %s, which is in somebody else's network",
			h->name, f->len, addr_format(&f->destination, text));
}

static size_t count_ifaces(const struct sim *s, const struct host *h)
{
	size_t count = 0;
	for (size_t i = 0; i < s->net.iface_count; i++)
		count += s->net.ifaces[i]->host == h->id;
	return count;
}

/* A question before any answer: a few to each candidate, and as often as rounds of punching come,
 * for each peer that may be there and by each interface. */
static bool is_probe(const struct sim *s, const struct host *h, const struct flight *f,
	const struct remote_record *r)
{
	if (f->data[0] != PACKET_CONTROL || f->len > PROBE_BYTES || !r->candidate)
		return false;
	uint64_t rounds = 1 + h->network_changes;
	if (h->facilitator_count > 0)
		rounds += 2 * (uint64_t)(1 + (s->now - h->started_at) / ROUND_EVERY) *
			  h->friend_count * count_ifaces(s, h);
	return r->probes < PROBES_FREE * rounds;
}

static struct burst_record *burst_of(struct sim *s, uint64_t whose, const struct ov_addr *a)
{
	return book_at(&s->oracle.bursts, digest_bytes(23 + whose, a->ip, sizeof(a->ip)));
}

/* Guessing a port: only at an IP that a facilitator sees somebody at, and few times an hour. */
static bool is_guess(struct sim *s, const struct host *h, const struct flight *f)
{
	if (f->data[0] != PACKET_CONTROL || f->len > GUESS_BYTES || h->facilitator_count == 0 ||
		burst_of(s, 0, &f->destination)->seen == 0)
		return false;
	uint64_t whose = (uint64_t)(h->id + 1) << 32 | h->starts;
	struct burst_record *b = burst_of(s, whose, &f->destination);
	uint64_t hours = 1 + (uint64_t)((s->now - h->started_at) / (3600 * OV_SEC));
	return ++b->sent <= hours * h->friend_count * GUESSES_PER_HOUR;
}

void oracle_on_emit(struct sim *s, struct host *h, const struct flight *f)
{
	const struct ov_addr *remote = &f->destination;
	struct remote_record *r = remote_of(s, h, remote);
	check_foreign(s, h, f, r);
	if (is_relayed(f) && is_relay(h)) {
		relay_emits(s, h, f);
		return;
	}
	if (is_relayed(f)) {
		struct maker_record *m = book_at(&s->oracle.makers, inside_digest(f));
		m->host = h->id + 1;
	}
	if (!is_validated(s, h, r, remote) && !r->candidate)
		r->candidate = is_candidate(s, h, remote);
	if (f->data[0] == PACKET_HS1)
		check_pace(s, h, f);
	if (r->validated || (f->data[0] == PACKET_HS1 && r->candidate))
		return;
	if (is_probe(s, h, f, r)) {
		r->probes++;
		return;
	}
	if (is_guess(s, h, f))
		return;
	r->out += f->len;
	char text[ADDR_TEXT_MAX];
	if (r->out > AMPLIFY_FACTOR * r->in)
		oracle_break(s, "amplify",
			"%s: %llu B to %s, which sent %llu B and never answered a challenge",
			h->name, (unsigned long long)r->out, addr_format(remote, text),
			(unsigned long long)r->in);
}

/* A genuine CONTROL arrived: it may carry the answer to any question that reached its maker, and it
 * may be a question that reached us. */
static void note_control(struct sim *s, struct host *h, const struct flight *f)
{
	struct host *maker = &s->hosts[f->origin];
	heard_of(s, h, f->origin)->last_control = s->now;
	struct reach_record *reach = reach_of(s, maker, &f->aimed, h->id);
	remote_of(s, maker, &f->aimed)->reached = true;
	if (reach->at == 0)
		reach->at = s->now;
}

void oracle_on_receive(struct sim *s, struct host *h, const struct flight *f)
{
	struct remote_record *r = remote_of(s, h, &f->source);
	r->in += f->len;
	burst_of(s, 0, &f->source)->seen += is_relay(h);
	if (f->origin != ORIGIN_FORGED && f->data[0] == PACKET_CONTROL)
		note_control(s, h, f);
	if (is_relayed(f))
		note_relayed(s, h, f);
	trace_mix(&s->trace, s->now, f->len, (uint64_t)h->id << 32 | f->source.port);
	char from[ADDR_TEXT_MAX], to[ADDR_TEXT_MAX];
	if (trace_wants_notes(&s->trace))
		trace_note(&s->trace, s->now, h->name, "  < %u B type %u from %s at %s%s", f->len,
			f->data[0], addr_format(&f->source, from), addr_format(&f->destination, to),
			f->origin == ORIGIN_FORGED ? " (forged)"
			: f->bent                  ? " (bent)"
						   : "");
}

void oracle_on_forged(struct sim *s, const struct flight *f)
{
	struct sink_record *r = book_at(&s->oracle.sinks, addr_digest(&f->source, 7));
	r->forged += f->len;
}

/* What forged bytes bring back. The forger's own station must never gain by it. Stations whose
 * datagrams may be genuine (replayer, forwarder) and victims are watched per node by `amplify`. */
void oracle_on_sink(struct sim *s, const struct flight *f)
{
	struct sink_record *r = book_at(&s->oracle.sinks, addr_digest(&f->destination, 7));
	r->received += f->len;
	s->oracle.stranger_bytes += f->len;
	trace_mix(&s->trace, s->now, f->len, f->destination.port);
	char text[ADDR_TEXT_MAX];
	struct ov_addr forger = hostile_forger_address();
	if (addr_equal(&f->destination, &forger) && 2 * r->received > r->forged)
		oracle_break(s, "reply", "the forger at %s sent %llu B and got %llu B",
			addr_format(&f->destination, text), (unsigned long long)r->forged,
			(unsigned long long)r->received);
}

/* ---- what nodes tell of themselves ---- */

void oracle_check_paths(struct sim *s, struct host *h, const struct friend *f, size_t count)
{
	size_t active = 0;
	for (size_t i = 0; i < count && i < 32; i++)
		active += s->oracle.paths[i].active;
	if (active > 1)
		oracle_break(s, "one_path", "%s: %zu active paths to %s", h->name, active,
			sim_name(s, f->host));
	if (count > 16)
		oracle_break(
			s, "limits", "%s: %zu paths to %s", h->name, count, sim_name(s, f->host));
}

static void check_friend(struct sim *s, struct host *h, const struct friend *f)
{
	const struct peer_id *id = &s->hosts[f->host].self.id;
	oracle_check_paths(s, h, f, node_peer_paths(h->node, id, s->oracle.paths, 32));
	size_t count = node_peer_candidates(h->node, id, s->oracle.candidates, 32);
	if (count > 16)
		oracle_break(s, "limits", "%s: %zu candidates of %s", h->name, count,
			sim_name(s, f->host));
}

static void check_busy(struct sim *s, struct host *h)
{
	if (h->busy_ticks > TICKS_PER_SECOND + TICKS_PER_PACKET * h->busy_packets)
		oracle_break(s, "storm", "%s: %u ticks for %u packets in one second", h->name,
			h->busy_ticks, h->busy_packets);
	if (s->now - h->busy_since < OV_SEC)
		return;
	h->busy_since = s->now;
	h->busy_ticks = 0;
	h->busy_packets = 0;
}

/* Strangers are served by number; contacts of its own are not counted among them. */
void oracle_check_role(struct sim *s, struct host *h, const struct facilitator_role *role)
{
	size_t peers = h->config.max_clients + h->friend_count;
	if (role->clients > peers)
		oracle_break(s, "limits", "%s serves %zu clients", h->name, role->clients);
	if (2 * role->channels > peers * h->config.relay_channels)
		oracle_break(s, "limits", "%s relays between %zu pairs", h->name, role->channels);
}

static void check_role(struct sim *s, struct host *h)
{
	struct facilitator_role role = node_facilitator_role(h->node, s->now);
	oracle_check_role(s, h, &role);
}

void oracle_check_host(struct sim *s, struct host *h)
{
	for (size_t i = 0; i < h->friend_count; i++)
		check_friend(s, h, &h->friends[i]);
	check_busy(s, h);
	const struct node_counters *c = node_counters(h->node);
	if (c->pending_handshakes > h->config.max_pending_handshakes)
		oracle_break(s, "limits", "%s: %llu pending handshakes", h->name,
			(unsigned long long)c->pending_handshakes);
	if (is_relay(h))
		check_role(s, h);
	const char *what;
	if (s->oracle.nonce.broken)
		oracle_break(s, "nonce", "%s: %s", h->name, s->oracle.nonce.what);
	if (nonce_impurities(&what) > 0)
		oracle_break(s, "pure", "%s: somebody called %s", h->name, what);
}

static void check_pair(struct sim *s, struct host *a, struct host *b)
{
	struct peer_info x, y;
	if (!node_peer_info(a->node, s->now, &b->self.id, &x) ||
		!node_peer_info(b->node, s->now, &a->self.id, &y))
		return;
	if (x.state != PEER_UP || y.state != PEER_UP)
		oracle_break(s, "agree", "%s says %s is %s, %s says %s is %s", a->name, b->name,
			peer_state_name(x.state), b->name, a->name, peer_state_name(y.state));
	else if (x.association != y.association)
		oracle_break(s, "agree", "%s and %s have different associations", a->name, b->name);
}

void oracle_check_agreement(struct sim *s)
{
	for (size_t i = 0; i < s->host_count; i++) {
		struct host *a = &s->hosts[i];
		for (size_t k = 0; k < a->friend_count; k++) {
			struct host *b = &s->hosts[a->friends[k].host];
			if (a->friends[k].wanted && a->id < b->id && host_friend(b, a->id) &&
				host_is_awake(a) && host_is_awake(b))
				check_pair(s, a, b);
		}
	}
}
