/* A path is validated, measured and kept by one mechanism: a challenge that only the peer, at that
 * address, can answer. The answer proves the address (RFC 9000 8.2), gives an RTT sample, our
 * address as the peer sees it, and - padded - that datagrams of a size pass (RFC 8899 4.1).
 *
 * Liveness (docs/protocol.md 7.3). Who receives data says something within max(SRTT, 200 ms). Who
 * sends data and hears nothing for max(4 SRTT, 400 ms) asks; three questions without answer make
 * the path suspect; 15 s suspect remove it. An idle path is not asked at all: silence costs
 * nothing, and the first packet after it starts the clock. */
#include "core/path.h"

#include "core/packet.h"

#define RESPONSES_PER_SECOND    20
#define RESPONSE_BURST          20
#define KEEPALIVES_PER_QUESTION 3
#define SUSPECT_RETRY           OV_SEC

const char *path_state_name(enum path_state s)
{
	switch (s) {
	case PATH_UNTRIED: return "untried";
	case PATH_PROBING: return "probing";
	case PATH_VALID: return "valid";
	case PATH_SUSPECT: return "suspect";
	}
	assert(false);
	return "";
}

void path_measure(struct path *p, ov_time now, uint16_t datagram_max)
{
	bool searching = p->pmtu.validated;
	if (p->carrier == CARRIER_TCP) {
		pmtu_fix(&p->pmtu, now, datagram_max);
		return;
	}
	pmtu_init(&p->pmtu, now, datagram_max, !addr_is_v4(&p->remote));
	if (searching)
		pmtu_on_validated(&p->pmtu, now);
}

void path_init(struct path *p, ov_time now, const struct dgram *where, uint16_t datagram_max)
{
	*p = (struct path){
		.state = PATH_UNTRIED,
		.carrier = where->carrier,
		.interface = where->interface,
		.local = where->local,
		.remote = where->remote,
		.created_at = now,
		.heard_at = OV_NEVER,
		.sent_at = OV_NEVER,
		.unheard_since = OV_NEVER,
		.retry_at = OV_NEVER,
		.ack_by = OV_NEVER,
		.keepalive_at = OV_NEVER,
		.suspect_at = OV_NEVER,
		.demoted_until = 0,
		.challenge_received_at = OV_NEVER,
	};
	path_measure(p, now, datagram_max);
}

size_t path_budget(const struct path *p)
{
	if (p->validated)
		return SIZE_MAX;
	uint64_t allowed = 3 * p->received_bytes + p->asked_bytes;
	return allowed > p->sent_bytes ? (size_t)(allowed - p->sent_bytes) : 0;
}

bool path_may_speak(const struct path *p)
{
	return path_budget(p) >= PATH_CONTROL_MAX ||
	       (p->received_bytes == 0 && p->sent_count < PATH_PROBES);
}

bool path_may_carry_data(const struct path *p)
{
	return p->state != PATH_UNTRIED;
}

static ov_time hear_timeout(const struct path *p)
{
	return ov_max(4 * p->rtt.smoothed, PATH_HEAR_FLOOR);
}

bool path_is_doubtful(const struct path *p, ov_time now)
{
	return p->state == PATH_SUSPECT ||
	       (p->unheard_since != OV_NEVER && now - p->unheard_since >= hear_timeout(p));
}

uint16_t path_mtu(const struct path *p)
{
	return p->pmtu.size;
}

void path_challenge(struct path *p, ov_time now)
{
	if (p->state == PATH_UNTRIED) {
		p->state = PATH_PROBING;
		p->probing_since = now;
	}
	p->challenge_due = true;
	p->unanswered = 0;
	p->keepalives = 0;
	p->retry_at = OV_NEVER; /* set when it is sent */
}

void path_ask(struct path *p, ov_time now)
{
	if (!p->challenge_due && p->retry_at == OV_NEVER)
		path_challenge(p, now);
}

void path_withdraw(struct path *p)
{
	if (p->state != PATH_PROBING || p->challenges_sent > 0)
		return;
	p->state = PATH_UNTRIED;
	p->challenge_due = false;
}

void path_forget_challenges(struct path *p)
{
	for (size_t i = 0; i < PATH_CHALLENGES; i++)
		if (!p->probes[i].is_pmtu)
			p->probes[i].used = false;
}

void path_keep_warm(struct path *p, ov_time now, bool warm)
{
	if (!warm)
		p->keepalive_at = OV_NEVER;
	else if (p->keepalive_at == OV_NEVER)
		p->keepalive_at = (p->sent_at == OV_NEVER ? now : p->sent_at) + PATH_KEEPALIVE;
}

static void put_off_keepalive(struct path *p, ov_time now)
{
	if (p->keepalive_at != OV_NEVER)
		p->keepalive_at = now + PATH_KEEPALIVE;
}

bool path_keepalive_is_due(const struct path *p, ov_time now)
{
	return now >= p->keepalive_at;
}

void path_on_handshake_sent(struct path *p, ov_time now, size_t bytes)
{
	p->sent_bytes += bytes;
	if (!path_keepalive_is_due(p, now))
		return; /* a call that is not answered must not put off the question */
	p->keepalives++;
	put_off_keepalive(p, now);
}

void path_on_sent(struct path *p, ov_time now, size_t bytes, uint16_t largest_data)
{
	p->sent_bytes += bytes;
	p->sent_count++;
	p->sent_at = now;
	p->ack_by = OV_NEVER;
	put_off_keepalive(p, now);
	if (largest_data == 0)
		return;
	if (p->unheard_since == OV_NEVER)
		p->unheard_since = now;
	pmtu_on_large_sent(&p->pmtu, now, largest_data);
}

void path_on_received(struct path *p, ov_time now, size_t bytes, size_t count, bool data)
{
	if (p->received_bytes == 0)
		p->asked_bytes = p->sent_bytes; /* else two that ask each other could not answer */
	p->received_bytes += bytes;
	p->received_count += count;
	p->heard_at = now;
	p->refused = false;
	p->unheard_since = OV_NEVER;
	if (p->state == PATH_SUSPECT) { /* it speaks again: ask now, not at the next retry */
		p->state = PATH_PROBING;
		p->probing_since = now;
		p->suspect_at = OV_NEVER;
		path_challenge(p, now);
	}
	if (data && p->ack_by == OV_NEVER)
		p->ack_by = now + ov_max(p->rtt.smoothed, PATH_ACK_FLOOR);
}

void path_on_challenge(struct path *p, ov_time now, const struct path_challenge *c,
	size_t datagram_size, ov_time waited)
{
	if (!limit_take(&p->responses, now, RESPONSES_PER_SECOND, RESPONSE_BURST, 1))
		return; /* one answer per question, 20 a second: quic-go CVE-2023-49295 */
	p->response_due = true;
	p->challenge_received_at = now - waited;
	memcpy(p->response.token, c->token, PATH_TOKEN_LEN);
	p->response.received_size = (uint16_t)datagram_size;
}

static size_t probe_find(const struct path *p, const uint8_t token[PATH_TOKEN_LEN])
{
	size_t i = 0;
	while (i < PATH_CHALLENGES &&
		!(p->probes[i].used && memcmp(p->probes[i].token, token, PATH_TOKEN_LEN) == 0))
		i++;
	return i;
}

bool path_has_asked(const struct path *p, const uint8_t token[PATH_TOKEN_LEN])
{
	return probe_find(p, token) < PATH_CHALLENGES;
}

/* Local addresses come from the interface list, without a port, or from a datagram, with one. The
 * observed one has no scope: the wire carries none. */
static bool is_natted(const struct path *p)
{
	if (addr_is_any(&p->local) || p->carrier != CARRIER_UDP)
		return false; /* nobody says how a connection looks from there */
	bool same_ip = memcmp(p->local.ip, p->observed.ip, sizeof(p->local.ip)) == 0;
	return !same_ip || (p->local.port != 0 && p->local.port != p->observed.port);
}

enum path_answer path_on_response(struct path *p, ov_time now, const struct path_response *r,
	ov_time waited, ov_time *rtt_sample)
{
	size_t slot = probe_find(p, r->token);
	if (slot == PATH_CHALLENGES)
		return PATH_ANSWER_UNKNOWN;
	struct path_probe *probe = &p->probes[slot];
	ov_time elapsed = now - probe->sent_at;
	if (waited < elapsed)
		elapsed -= waited;
	ov_time hold = (ov_time)r->hold_us * OV_US;
	*rtt_sample = hold < elapsed ? elapsed - hold : elapsed;
	rtt_add(&p->rtt, *rtt_sample);
	if (probe->is_pmtu)
		pmtu_on_ack(&p->pmtu, now, probe->size);
	else
		pmtu_on_validated(&p->pmtu, now);
	probe->used = false;
	if (p->status_due && probe->status_sequence == p->status_sequence)
		p->status_due = false;
	if (p->unheard_since != OV_NEVER && probe->sent_at >= p->unheard_since)
		p->unheard_since =
			OV_NEVER; /* it may come by another way (8.2.3); this one works */

	if (probe->moved)
		p->moved = false;

	bool was_valid = p->state == PATH_VALID;
	p->state = PATH_VALID;
	p->suspect_at = OV_NEVER;
	p->unanswered = 0;
	if (!p->status_due && !p->moved) { /* else the question that carries it goes on */
		p->retry_at = OV_NEVER;
		p->challenge_due = false;
	}
	p->observed = r->observed;
	p->natted = is_natted(p);
	p->validated = true;
	return was_valid ? PATH_ANSWER_OK : PATH_ANSWER_VALIDATED;
}

/* RTT known: a little above it; unknown: 200 ms, doubling with each try. */
static ov_time challenge_timeout(const struct path *p)
{
	ov_time base = rtt_timeout(&p->rtt, 50 * OV_MS, PATH_FIRST_TIMEOUT);
	if (p->rtt.smoothed > PATH_FIRST_TIMEOUT)
		base = 2 * p->rtt.smoothed;
	return base << (p->unanswered > 2 ? 2 : p->unanswered);
}

/* RFC 8899 4.1: a probe is lost when it is not answered in time, or when its slot is needed. */
static void expire_pmtu_probes(struct path *p, ov_time now)
{
	ov_time timeout = ov_max(3 * p->rtt.smoothed, 100 * OV_MS);
	for (size_t i = 0; i < PATH_CHALLENGES; i++) {
		struct path_probe *probe = &p->probes[i];
		if (!probe->used || !probe->is_pmtu || now - probe->sent_at < timeout)
			continue;
		probe->used = false;
		pmtu_on_loss(&p->pmtu, now, probe->size);
	}
}

static enum path_verdict on_unanswered(struct path *p, ov_time now)
{
	p->challenges_lost++;
	p->retry_at = OV_NEVER;
	if (p->state == PATH_SUSPECT) {
		p->challenge_due = true;
		return PATH_OK;
	}
	p->unanswered++;
	if (p->unanswered < PATH_TRIES) {
		p->challenge_due = true;
		return PATH_OK;
	}
	if (p->state == PATH_PROBING && !p->validated)
		return PATH_GONE;
	p->state = PATH_SUSPECT;
	p->suspect_at = now;
	p->retry_at = now + SUSPECT_RETRY;
	return PATH_BECAME_SUSPECT;
}

/* One way is enough for a NAT binding; the third since the last question asks, so that a dead peer
 * is noticed. */
static void keep_alive(struct path *p, ov_time now)
{
	p->keepalive_at = now + PATH_KEEPALIVE;
	if (++p->keepalives >= KEEPALIVES_PER_QUESTION)
		path_challenge(p, now);
	else
		p->ack_by = now; /* an empty CONTROL */
}

enum path_verdict path_tick(struct path *p, ov_time now)
{
	expire_pmtu_probes(p, now);
	if (p->state == PATH_SUSPECT && now - p->suspect_at >= PATH_GONE_AFTER)
		return PATH_GONE;
	if (now >= p->retry_at)
		return on_unanswered(p, now);
	bool asking = p->challenge_due || p->retry_at != OV_NEVER;
	if (!asking && p->unheard_since != OV_NEVER && now - p->unheard_since >= hear_timeout(p))
		path_challenge(p, now);
	if (!asking && now >= p->keepalive_at)
		keep_alive(p, now);
	return PATH_OK;
}

ov_time path_deadline(const struct path *p)
{
	ov_time at = ov_min(p->retry_at, p->ack_by);
	if (p->challenge_due || p->response_due)
		return 0; /* now */
	if (p->state == PATH_SUSPECT)
		at = ov_min(at, p->suspect_at + PATH_GONE_AFTER);
	if (p->retry_at == OV_NEVER) /* else a question is out already */
		at = ov_min(at, p->keepalive_at);
	if (p->unheard_since != OV_NEVER && p->retry_at == OV_NEVER)
		at = ov_min(at, p->unheard_since + hear_timeout(p));
	if (p->state == PATH_VALID)
		at = ov_min(at, pmtu_deadline(&p->pmtu));
	for (size_t i = 0; i < PATH_CHALLENGES; i++)
		if (p->probes[i].used && p->probes[i].is_pmtu)
			at = ov_min(at,
				p->probes[i].sent_at + ov_max(3 * p->rtt.smoothed, 100 * OV_MS));
	return at;
}

/* Takes a slot (the oldest one if all are in use) and writes the challenge. */
static void put_challenge(struct path *p, ov_time now, const struct rng *rng, struct wr *w,
	uint16_t size, bool is_pmtu)
{
	struct path_probe *probe = &p->probes[p->next_probe];
	p->next_probe = (uint8_t)((p->next_probe + 1) % PATH_CHALLENGES);
	if (probe->used && probe->is_pmtu)
		pmtu_on_loss(&p->pmtu, now, probe->size);
	*probe = (struct path_probe){
		.sent_at = now,
		.size = size,
		.status_sequence = p->status_due && !is_pmtu ? p->status_sequence : 0,
		.is_pmtu = is_pmtu,
		.used = true,
		.moved = p->moved,
	};
	rng_fill(rng, probe->token, PATH_TOKEN_LEN);
	struct path_challenge c = { .flags = p->moved ? PATH_CHALLENGE_MOVED : 0 };
	memcpy(c.token, probe->token, PATH_TOKEN_LEN);
	frame_put_challenge(w, &c);
	p->challenges_sent++;
}

static void put_response(struct path *p, ov_time now, struct wr *w)
{
	ov_time hold = (now - p->challenge_received_at) / OV_US;
	p->response.hold_us = (uint32_t)(hold > UINT32_MAX ? UINT32_MAX : hold);
	if (p->carrier == CARRIER_UDP)
		p->response.observed =
			p->remote; /* of a channel or a connection it would mean nothing */
	p->response.received_count = p->received_count;
	frame_put_response(w, &p->response);
	p->response_due = false;
}

/* No 3x budget: what was due counts as said and not answered, so that the path is given up in time.
 */
static void hold_back(struct path *p, ov_time now)
{
	p->response_due = false;
	p->ack_by = OV_NEVER;
	if (!p->challenge_due)
		return;
	p->challenge_due = false;
	p->retry_at = now + challenge_timeout(p);
}

bool path_poll(struct path *p, ov_time now, const struct rng *rng, struct wr *w, uint16_t *pad_to)
{
	*pad_to = 0;
	bool any = false;
	if (!path_may_speak(p)) {
		hold_back(p, now);
		return false;
	}
	if (p->response_due) {
		put_response(p, now, w);
		any = true;
	}
	if (p->challenge_due) {
		p->challenge_due = false;
		p->retry_at =
			now + (p->state == PATH_SUSPECT ? SUSPECT_RETRY : challenge_timeout(p));
		put_challenge(p, now, rng, w, 0, false);
		if (p->status_due)
			frame_put_status(
				w, &(struct path_status){ .sequence = p->status_sequence });
		any = true;
	}
	if (any)
		return true;
	uint16_t size = p->state == PATH_VALID ? pmtu_poll(&p->pmtu, now) : 0;
	if (size > 0) {
		put_challenge(p, now, rng, w, size, true);
		*pad_to = size;
		return true;
	}
	if (now >= p->ack_by) {
		p->ack_by = OV_NEVER;
		return true;
	}
	return false;
}
