#pragma once
/* fake_node - the part of overlay/node.h that the api uses, as a table that a test fills. Defines
 * the functions themselves: the linker then takes none of them from libov.a. Included by exactly
 * one file of a program. */
#include "overlay/lan.h"
#include "overlay/node_streams.h"

#include <stdio.h>
#include <string.h>

#define FAKE_MAX 512

struct node {
	struct contact contacts[FAKE_MAX];
	size_t count;
	struct peer_request requests[64];
	size_t request_count;
	struct node_counters counters;
	int put_status;     /* what node_contact_put answers when not OV_OK */
	uint64_t pings[64]; /* tokens that wait */
	struct peer_id pinged;
	size_t ping_count, calls, candidates, invites, facilitators;
	uint8_t pass[HS1_VOUCHER_LEN]; /* of the last node_facilitator_put */
	enum peer_state state;
	bool has_path;
	struct ov_addr own[4]; /* what node_own_addresses tells */
	size_t own_count, joins, join_ends;
	struct peer_id joined, facilitator;
	struct relay_offer offers[NODE_OFFERS_MAX];
	size_t offer_count;
	struct peer_id removed;      /* of the facilitators */
	struct ov_addr candidate;    /* the last */
	uint8_t candidate_source;    /* its */
	size_t written_endpoints;    /* of facilitators */
	uint8_t facilitator_refused; /* why the facilitator does not serve us */
	bool unregistered;           /* at the facilitator */
	bool pairing;
	uint8_t secret[HS1_INVITE_LEN]; /* of the last node_join */
};

static ptrdiff_t fake_find(const struct node *n, const struct peer_id *id)
{
	for (size_t i = 0; i < n->count; i++)
		if (peer_id_equal(&n->contacts[i].id, id))
			return (ptrdiff_t)i;
	return -1;
}

int node_contact_put(struct node *n, ov_time now, const struct contact *c, bool call)
{
	(void)now;
	if (n->put_status != OV_OK)
		return n->put_status;
	ptrdiff_t at = fake_find(n, &c->id);
	if (at < 0 && n->count == FAKE_MAX)
		return OV_EFULL;
	n->calls += call;
	if (at < 0)
		at = (ptrdiff_t)n->count++;
	else
		contact_fini(&n->contacts[at]);
	return contact_copy(&n->contacts[at], c);
}

int node_contact_remove(struct node *n, const struct peer_id *id)
{
	ptrdiff_t at = fake_find(n, id);
	if (at < 0)
		return OV_ENOENT;
	contact_fini(&n->contacts[at]);
	n->count--;
	memmove(&n->contacts[at], &n->contacts[at + 1],
		(n->count - (size_t)at) * sizeof(n->contacts[0]));
	return OV_OK;
}

const struct contact *node_contact(const struct node *n, const struct peer_id *id)
{
	ptrdiff_t at = fake_find(n, id);
	return at < 0 ? NULL : &n->contacts[at];
}

const struct contact *node_contact_at(const struct node *n, size_t i)
{
	return i < n->count ? &n->contacts[i] : NULL;
}

void node_candidate(struct node *n, ov_time now, const struct peer_id *id, const struct ov_addr *a,
	enum candidate_source source)
{
	(void)now;
	(void)id;
	n->candidates++;
	n->candidate = *a;
	n->candidate_source = (uint8_t)source;
}

int node_ping(
	struct node *n, ov_time now, const struct peer_id *id, uint64_t token, ov_time timeout)
{
	(void)now;
	(void)timeout;
	if (n->ping_count == 64)
		return OV_EFULL;
	n->pings[n->ping_count++] = token;
	n->pinged = *id;
	return OV_OK;
}

int node_join(
	struct node *n, ov_time now, const struct peer_id *id, const uint8_t secret[HS1_INVITE_LEN])
{
	(void)now;
	if (fake_find(n, id) < 0)
		return OV_ENOENT;
	n->joins++;
	n->joined = *id;
	memcpy(n->secret, secret, HS1_INVITE_LEN);
	return OV_OK;
}

void node_join_expired(struct node *n, const struct peer_id *id)
{
	n->join_ends++;
	n->joined = *id;
}

size_t node_own_addresses(const struct node *n, struct ov_addr *out, size_t max)
{
	size_t count = n->own_count < max ? n->own_count : max;
	memcpy(out, n->own, count * sizeof(*out));
	return count;
}

const char *peer_state_name(enum peer_state s)
{
	static const char *const names[] = { "idle", "calling", "up", "suspect", "away" };
	return names[s];
}

size_t node_peer_count(const struct node *n)
{
	return n->count;
}

static struct path_info fake_path(void)
{
	return (struct path_info){ .remote = addr_v4(198, 51, 100, 7, 27182),
		.observed = addr_v4(203, 0, 113, 9, 4021),
		.local = addr_v4(192, 168, 1, 2, 27182),
		.state = "valid",
		.active = true,
		.natted = true,
		.srtt = 41 * OV_MS,
		.last_heard = OV_SEC,
		.pmtu = 1452,
		.loss_permille = 3,
		.sent_bytes = 12345678,
		.received_bytes = 3400000000 };
}

bool node_peer_info(
	const struct node *n, ov_time now, const struct peer_id *id, struct peer_info *out)
{
	(void)now;
	if (fake_find(n, id) < 0)
		return false;
	*out = (struct peer_info){ .id = *id,
		.state = n->state,
		.suite = n->has_path ? "aes-256-gcm" : NULL,
		.backend = n->has_path ? "ipsec-mb" : NULL,
		.sent_bytes = 12345678,
		.received_bytes = 3400000000,
		.last_heard = n->has_path ? OV_SEC : 0,
		.path_count = n->has_path,
		.has_active = n->has_path };
	if (n->has_path)
		out->active = fake_path();
	return true;
}

size_t node_peer_paths(
	const struct node *n, const struct peer_id *id, struct path_info *out, size_t max)
{
	if (!n->has_path || max == 0 || fake_find(n, id) < 0)
		return 0;
	out[0] = fake_path();
	return 1;
}

size_t node_peer_candidates(
	const struct node *n, const struct peer_id *id, struct candidate_info *out, size_t max)
{
	if (max == 0 || fake_find(n, id) < 0)
		return 0;
	out[0] = (struct candidate_info){
		.addr = addr_v4(10, 0, 0, 1, 9), .source = SOURCE_CONFIG, .state = "untried"
	};
	return 1;
}

const struct nat64 *node_nat64(const struct node *n)
{
	static const struct nat64 none;
	(void)n;
	return &none;
}

bool node_captive(const struct node *n, ov_time now, struct ov_addr *by)
{
	(void)now;
	*by = (struct ov_addr){ 0 };
	return n->unregistered && (*by = addr_v4(192, 0, 2, 1, 443), true);
}

struct nat_info node_nat_info(const struct node *n, bool ipv6)
{
	(void)n;
	struct nat_info nat = { .mapping = "endpoint-independent",
		.filtering = "address-and-port-dependent",
		.ports = "preserved",
		.side = "easy",
		.hairpin = "no",
		.survived_s = ipv6 ? 0 : 58,
		.keepalive = ipv6 ? 0 : 46400 * OV_MS };
	if (!ipv6)
		nat.external = addr_v4(203, 0, 113, 9, 27182);
	return nat;
}

bool node_why(const struct node *n, ov_time now, const struct peer_id *id, struct why *out)
{
	(void)now;
	if (fake_find(n, id) < 0)
		return false;
	*out = (struct why){ .code = "direct", .text = "direct: it answers" };
	return true;
}

void node_set_invites(struct node *n, ov_time now, const uint8_t *hashes, size_t count)
{
	(void)now;
	(void)hashes;
	n->invites = count;
}

void node_set_wall(struct node *n, ov_time now, int64_t unix_s)
{
	(void)n;
	(void)now;
	(void)unix_s;
}

int node_facilitator_put(struct node *n, ov_time now, const struct contact *c, const uint8_t *pass)
{
	(void)now;
	n->written_endpoints += c->endpoint_count;
	if (pass)
		memcpy(n->pass, pass, sizeof(n->pass));
	n->facilitators++;
	return OV_OK;
}

int node_facilitator_remove(struct node *n, ov_time now, const struct peer_id *id)
{
	(void)now;
	n->removed = *id;
	return n->facilitators > 0 ? (n->facilitators--, OV_OK) : OV_ENOENT;
}

void node_offer(struct node *n, ov_time now, const struct peer_id *to,
	const struct relay_offer *list, size_t count)
{
	(void)now;
	(void)to;
	n->offer_count = count;
	memcpy(n->offers, list, count * sizeof(*list));
}

/* In place of what only the two know. */
bool node_offer_secret(struct node *n, const struct peer_id *giver, const struct peer_id *taker,
	const struct peer_id *facilitator, uint8_t out[VOUCHER_SECRET_LEN])
{
	(void)n;
	(void)taker;
	for (size_t i = 0; i < VOUCHER_SECRET_LEN; i++)
		out[i] = giver->bytes[i] ^ facilitator->bytes[i];
	return true;
}

size_t node_known_count(const struct node *n)
{
	return n->count;
}

bool node_relay_of(const struct node *n, const struct ov_addr *a, struct peer_id *relay)
{
	(void)n;
	(void)a;
	(void)relay;
	return false;
}

size_t node_facilitators(
	const struct node *n, ov_time now, struct facilitator_info *out, size_t max)
{
	(void)now;
	if (max == 0)
		return 0;
	out[0] = (struct facilitator_info){ .id = n->facilitator,
		.state = PEER_UP,
		.registered = !n->unregistered,
		.refused = n->facilitator_refused,
		.srtt = 12 * OV_MS,
		.remote = addr_v4(198, 51, 100, 9, 443), /* by TCP */
		.endpoint = addr_v4(198, 51, 100, 9, 27182),
		.observed = addr_v4(203, 0, 113, 9, 4021) };
	return 1;
}

struct facilitator_role node_facilitator_role(const struct node *n, ov_time now)
{
	(void)n;
	(void)now;
	return (struct facilitator_role){ .policy = FACILITATOR_OPEN, .clients = 2, .channels = 1 };
}

size_t node_requests(const struct node *n, struct peer_request *out, size_t max)
{
	size_t count = n->request_count < max ? n->request_count : max;
	memcpy(out, n->requests, count * sizeof(*out));
	return count;
}

bool node_request_take(struct node *n, const struct peer_id *id, struct peer_request *out)
{
	for (size_t i = 0; i < n->request_count; i++) {
		if (!peer_id_equal(&n->requests[i].id, id))
			continue;
		*out = n->requests[i];
		n->requests[i] = n->requests[--n->request_count];
		return true;
	}
	return false;
}

const struct node_counters *node_counters(const struct node *n)
{
	return &n->counters;
}

static void fake_node_fini(struct node *n)
{
	for (size_t i = 0; i < n->count; i++)
		contact_fini(&n->contacts[i]);
	n->count = 0;
}

void node_set_pairing(struct node *n, bool pairing)
{
	n->pairing = pairing;
}

/* ---- the part of overlay/node_streams.h: the other side is the test ---- */
#define FAKE_STREAM_BYTES 4096

struct node_stream {
	void *user;
	struct peer_id peer;
	uint8_t in[FAKE_STREAM_BYTES], out[FAKE_STREAM_BYTES]; /* from the other side, to it */
	size_t in_len, in_at, out_len;
	bool in_ended, is_closed;
	uint32_t reset_code, stop_code; /* that we said */
};

static struct node_stream fake_streams[16]; /* in the order in which they were opened */
static size_t fake_stream_count, fake_stream_closed;
static uint32_t fake_close_code; /* of the last one */

int node_stream_open(
	struct node *n, ov_time now, const struct peer_id *id, void *user, struct node_stream **out)
{
	(void)n;
	(void)now;
	if (fake_stream_count == sizeof(fake_streams) / sizeof(fake_streams[0]))
		return OV_EFULL;
	*out = &fake_streams[fake_stream_count++];
	**out = (struct node_stream){ .user = user, .peer = *id };
	return OV_OK;
}

void node_stream_set_user(struct node_stream *s, void *user)
{
	s->user = user;
}

const struct peer_id *node_stream_peer(const struct node_stream *s)
{
	return &s->peer;
}

size_t node_stream_write(struct node *n, struct node_stream *s, const uint8_t *data, size_t len)
{
	(void)n;
	if (len > FAKE_STREAM_BYTES - s->out_len)
		len = FAKE_STREAM_BYTES - s->out_len;
	memcpy(s->out + s->out_len, data, len);
	s->out_len += len;
	return len;
}

const uint8_t *node_stream_peek(const struct node_stream *s, size_t *len)
{
	*len = s->in_len - s->in_at;
	return *len > 0 ? s->in + s->in_at : NULL;
}

const uint8_t *node_stream_peek_rest(const struct node_stream *s, size_t *len)
{
	(void)s;
	*len = 0;
	return NULL;
}

void node_stream_consume(struct node *n, ov_time now, struct node_stream *s, size_t len)
{
	(void)n;
	(void)now;
	s->in_at += len;
}

bool node_stream_at_end(const struct node_stream *s)
{
	return s->in_ended && s->in_at == s->in_len;
}

void node_stream_close(struct node *n, ov_time now, struct node_stream *s, uint32_t code)
{
	(void)n;
	(void)now;
	s->is_closed = true;
	fake_stream_closed++;
	fake_close_code = code;
}

void node_stream_reset(struct node *n, struct node_stream *s, uint32_t code)
{
	(void)n;
	s->reset_code = code;
}

bool node_streams_info(
	const struct node *n, const struct peer_id *id, struct node_streams_info *out)
{
	*out = (struct node_streams_info){ .streams = 2, .window = 14520, .srtt = 41 * OV_MS };
	return fake_find(n, id) >= 0;
}

/* ---- the part of overlay/lan.h ---- */
struct lan {
	struct nearby nearby;
	ov_time until;
	char name[NOTICE_NAME_MAX];
};

void lan_show(
	struct lan *l, ov_time now, ov_time until, const char *name, const struct identity *self)
{
	(void)now;
	(void)self;
	l->until = until;
	snprintf(l->name, sizeof(l->name), "%s", name);
}

const struct nearby *lan_nearby(const struct lan *l)
{
	return &l->nearby;
}
