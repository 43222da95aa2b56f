/* Invites at the overlay socket: made, listed, revoked, used once; taken on the other machine. The
 * store is a list that answers when the test says so. */
#include "tests/unit/seeded.h"

#include "overlay/api.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/unit/fake_node.h"

#define NOW    (100 * OV_SEC)
#define WALL_S INT64_C(1795258140) /* 2026-11-21T10:49:00Z */
#define STORE  80
#define DAY    86400

struct scene {
	struct node node;
	struct api_facts facts;
	struct api *api;
	struct api_client client;
	struct store_request posted[STORE];
	size_t posted_count;
	int post_status;
	struct identity self, host, guest;
	uint64_t random;
	char *last;
	size_t joined, refused, changes;
	char name[64], why[200];
};

static int post_take(void *context, struct store_request *r)
{
	struct scene *s = context;
	if (s->post_status != OV_OK || s->posted_count == STORE) {
		store_request_fini(r);
		return s->post_status != OV_OK ? s->post_status : OV_EFULL;
	}
	s->posted[s->posted_count++] = *r;
	return OV_OK;
}

static void on_joined(void *context, const struct peer_id *peer, const char *name, const char *why)
{
	struct scene *s = context;
	(void)peer;
	s->joined += name != NULL;
	s->refused += name == NULL;
	snprintf(s->name, sizeof(s->name), "%s", name ? name : "");
	snprintf(s->why, sizeof(s->why), "%s", why);
}

static void on_changed(void *context, const struct contact *c, bool removed)
{
	struct scene *s = context;
	(void)c;
	s->changes += !removed;
}

static struct identity identity(uint8_t number)
{
	uint8_t seed[32] = { 77, number };
	struct identity id;
	assert_int_equal(identity_from_seed(&id, seed), OV_OK);
	return id;
}

static int setup(void **state)
{
	struct scene *s = calloc(1, sizeof(*s));
	s->facts = (struct api_facts){ .version = "0", .state_dir = "/" };
	s->self = identity(1);
	s->host = identity(2);
	s->guest = identity(3);
	s->random = 4;
	s->node.facilitator = identity(50).id;
	s->node.own[s->node.own_count++] = addr_v4(192, 168, 1, 7, 27182);
	struct api_config cfg = { .node = &s->node,
		.self = s->self.id,
		.facts = &s->facts,
		.context = s,
		.store_post_take = post_take,
		.contact_changed = on_changed,
		.joined = on_joined,
		.identity = &s->self,
		.rng = { .fill = seeded_fill, .context = &s->random } };
	s->api = api_new(&cfg, NOW);
	api_set_wall(s->api, NOW, WALL_S * 1000);
	s->client = (struct api_client){ .id = 7, .permission = API_CHANGE, .greeted = true };
	*state = s;
	return 0;
}

static int teardown(void **state)
{
	struct scene *s = *state;
	for (size_t i = 0; i < s->posted_count; i++)
		store_request_fini(&s->posted[i]);
	fake_node_fini(&s->node);
	api_free(s->api);
	free(s->last);
	free(s);
	return 0;
}

static const char *keep(struct scene *s, json_t *line)
{
	free(s->last);
	s->last = line ? json_dumps(line, JSON_COMPACT) : NULL;
	json_decref(line);
	return s->last;
}

static const char *ask(struct scene *s, ov_time now, const char *line)
{
	return keep(s, api_handle_line(s->api, now, &s->client, line, strlen(line)));
}

static const char *answer_store(struct scene *s, int status, const char *text)
{
	assert_true(s->posted_count > 0);
	struct store_result r = { .ticket = s->posted[0].ticket, .status = status };
	snprintf(r.text, sizeof(r.text), "%s", text);
	store_request_fini(&s->posted[0]);
	s->posted_count--;
	memmove(s->posted, s->posted + 1, s->posted_count * sizeof(s->posted[0]));
	api_on_store_result(s->api, NOW, &r);
	struct api_line line = { .json = NULL };
	return api_poll(s->api, &line) ? keep(s, line.json) : NULL;
}

#define HAS(text, part) assert_non_null(strstr((text), (part)))

/* The invite of the last answer. */
static struct invite made(struct scene *s)
{
	struct invite in;
	json_t *j = json_loads(s->last, 0, NULL);
	const char *line = json_string_value(json_object_get(json_object_get(j, "result"), "line"));
	assert_non_null(line);
	assert_int_equal(invite_decode(&in, line), INVITE_OK);
	json_decref(j);
	return in;
}

static struct invite create(struct scene *s, const char *line)
{
	assert_null(ask(s, NOW, line));
	assert_int_equal(s->posted[0].op, STORE_INVITE_ADD);
	HAS(answer_store(s, OV_OK, ""), "\"ok\":true");
	return made(s);
}

static void show(struct scene *s, ov_time now, const struct identity *who, const uint8_t *secret)
{
	struct node_event e = { .type = NODE_GUEST, .peer = who->id };
	e.addr = addr_v4(203, 0, 113, 5, 5);
	invite_hash(e.invite, secret);
	api_on_event(s->api, now, &e);
}

#define CREATE "{\"op\":\"invite.create\"}"

/* ---- ours ---- */

static void the_line_says_what_was_asked_for(void **state)
{
	struct scene *s = *state;
	struct invite in = create(s, "{\"op\":\"invite.create\",\"args\":{\"name\":\"laptop\","
				     "\"as\":\"desk\",\"expires_s\":900,\"allow\":[\"tcp/22\"]}}");
	HAS(s->last, "\"allow\":[\"icmp\",\"message\",\"tcp/22\"]");
	HAS(s->last, "\"expires_at\":\"2026-11-21T11:04:00.000Z\"");
	assert_true(peer_id_equal(&in.inviter, &s->self.id));
	assert_string_equal(in.name, "desk");
	assert_int_equal(in.expires_s, WALL_S + 900);
	assert_int_equal(in.endpoint_count, 1);
	assert_int_equal(in.facilitator_count, 1);
	assert_true(peer_id_equal(&in.facilitators[0].id, &s->node.facilitator));
	uint8_t token[VOUCHER_TOKEN_LEN];
	voucher_token(token, in.secret);
	struct voucher v = invite_voucher(&in, 0);
	assert_int_equal(voucher_check(&v, &s->node.facilitator, token, WALL_S), OV_OK);
	s->node.unregistered = true; /* it does not serve us: of no use to a guest */
	struct invite other = create(s, CREATE);
	assert_int_equal(other.facilitator_count, 0);
	assert_memory_not_equal(in.secret, other.secret, sizeof(in.secret));
	assert_int_equal(other.expires_s, WALL_S + DAY);
	assert_string_equal(other.name, "");
}

static void the_store_gets_the_hash_and_not_the_secret(void **state)
{
	struct scene *s = *state;
	uint8_t hash[INVITE_HASH_LEN], stored[INVITE_HASH_LEN];
	assert_null(ask(s, NOW, CREATE));
	assert_null(s->posted[0].line);
	memcpy(stored, s->posted[0].invite->hash, sizeof(stored));
	HAS(answer_store(s, OV_OK, ""), "\"line\":\"overlay:");
	struct invite in = made(s);
	invite_hash(hash, in.secret);
	assert_memory_equal(hash, stored, sizeof(hash));
	assert_null(strstr(ask(s, NOW, "{\"op\":\"invite.list\"}"), "overlay:"));
}

static void wrong_arguments(void **state)
{
	struct scene *s = *state;
	static const struct {
		const char *args, *part;
	} cases[] = {
		{ "\"name\":\"-\"", "cannot be a name" },
		{ "\"as\":\"a b\"", "cannot be a name" },
		{ "\"expires_s\":0", "integer from 1 to" },
		{ "\"expires_s\":99999999999", "integer from 1 to" },
		{ "\"allow\":[\"tpc/22\"]", "not a grant" },
		{ "\"allow\":\"icmp\"", "array of strings" },
		{ "\"nmae\":\"x\"", "it takes: name as expires_s allow\"" },
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char line[200];
		snprintf(line, sizeof(line), "{\"op\":\"invite.create\",\"args\":{%s}}",
			cases[i].args);
		HAS(ask(s, NOW, line), cases[i].part);
		HAS(s->last, "bad-argument");
	}
	HAS(ask(s, NOW, "{\"op\":\"invite.revoke\",\"args\":{\"id\":\"00000000\"}}"), "no invite");
	HAS(s->last, "\"code\":\"expired\"");
	HAS(ask(s, NOW, "{\"op\":\"invite.revoke\",\"args\":{\"id\":\"0000000g\"}}"), "not the id");
	HAS(s->last, "bad-argument");
	HAS(ask(s, NOW, "{\"op\":\"invite.revoke\",\"args\":{\"id\":\"0\"}}"), "not the id");
	assert_int_equal(s->posted_count, 0);
}

static void a_failed_store_makes_no_invite(void **state)
{
	struct scene *s = *state;
	assert_null(ask(s, NOW, CREATE));
	HAS(answer_store(s, OV_EIO, "disk full: free some space"), "disk full");
	assert_null(strstr(s->last, "overlay:"));
	HAS(ask(s, NOW, "{\"op\":\"invite.list\"}"), "\"invites\":[]");
	s->post_status = OV_EFULL;
	HAS(ask(s, NOW, CREATE), "busy");
}

static void the_65th_is_refused_until_there_is_room(void **state)
{
	struct scene *s = *state;
	for (size_t i = 0; i < API_INVITES_MAX - 1; i++)
		create(s, CREATE);
	assert_null(ask(s, NOW, CREATE)); /* on its way to the store: it counts */
	HAS(ask(s, NOW, CREATE), "\"code\":\"quota\"");
	HAS(s->last, "overlay invite revoke ID");
	HAS(answer_store(s, OV_OK, ""), "\"ok\":true");
	HAS(ask(s, NOW, CREATE), "\"code\":\"quota\"");
	api_set_wall(s->api, NOW, (WALL_S + DAY) * 1000); /* all expire */
	create(s, CREATE);
	HAS(ask(s, NOW, "{\"op\":\"invite.list\"}"), "\"expires_at\":\"2026-11-23T");
	assert_null(strstr(s->last, "\"expires_at\":\"2026-11-22T"));
}

static void a_revoked_one_is_worthless(void **state)
{
	struct scene *s = *state;
	struct invite in = create(s, CREATE);
	json_t *j = json_loads(ask(s, NOW, "{\"op\":\"invite.list\"}"), 0, NULL);
	const json_t *one =
		json_array_get(json_object_get(json_object_get(j, "result"), "invites"), 0);
	char line[128];
	snprintf(line, sizeof(line), "{\"op\":\"invite.revoke\",\"args\":{\"id\":\"%s\"}}",
		json_string_value(json_object_get(one, "id")));
	json_decref(j);
	assert_null(ask(s, NOW, line));
	assert_int_equal(s->posted[0].op, STORE_INVITE_REVOKE);
	HAS(answer_store(s, OV_OK, ""), "\"ok\":true");
	show(s, NOW, &s->guest, in.secret);
	assert_int_equal(s->posted_count, 0);
	assert_int_equal(s->refused, 1);
	HAS(ask(s, NOW, line), "no invite");
}

/* A guest comes while the owner revokes: the store has the word, whichever it hears first. */
static void revoked_while_it_is_used(void **state)
{
	struct scene *s = *state;
	struct invite in = create(s, CREATE);
	uint8_t hash[INVITE_HASH_LEN];
	char line[128];
	invite_hash(hash, in.secret);
	snprintf(line, sizeof(line),
		"{\"op\":\"invite.revoke\",\"args\":{\"id\":\"%02x%02x%02x%02x\"}}", hash[0],
		hash[1], hash[2], hash[3]);
	show(s, NOW, &s->guest, in.secret);
	assert_null(ask(s, NOW, line));
	assert_int_equal(s->posted_count, 2);
	assert_null(answer_store(s, OV_OK, "")); /* used first */
	assert_int_equal(s->joined, 1);
	HAS(answer_store(s, OV_ENOENT, "no such invite"), "\"code\":\"expired\"");

	in = create(s, CREATE);
	invite_hash(hash, in.secret);
	snprintf(line, sizeof(line),
		"{\"op\":\"invite.revoke\",\"args\":{\"id\":\"%02x%02x%02x%02x\"}}", hash[0],
		hash[1], hash[2], hash[3]);
	struct identity second = identity(9);
	assert_null(ask(s, NOW, line));
	show(s, NOW, &second, in.secret);
	HAS(answer_store(s, OV_OK, ""), "\"ok\":true"); /* revoked first */
	assert_null(answer_store(s, OV_ENOENT, "no such invite"));
	assert_int_equal(s->joined, 1);
	assert_int_equal(s->refused, 1);
	assert_int_equal(s->node.count, 1);
	HAS(ask(s, NOW, "{\"op\":\"invite.list\"}"), "\"invites\":[]");
}

/* ---- a guest ---- */

static void a_guest_becomes_a_contact_once(void **state)
{
	struct scene *s = *state;
	struct invite in = create(s, "{\"op\":\"invite.create\",\"args\":{\"name\":\"laptop\","
				     "\"allow\":[\"tcp/22\"]}}");
	struct identity second = identity(9);
	show(s, NOW, &s->guest, in.secret);
	show(s, NOW, &s->guest, in.secret); /* HS1 again, or replayed, before the disk is done */
	show(s, NOW, &second, in.secret);
	assert_int_equal(s->posted_count, 1);
	assert_int_equal(s->posted[0].op, STORE_INVITE_USE);
	assert_string_equal(s->posted[0].contact.name, "laptop");
	assert_true(grants_tcp(&s->posted[0].contact.grants, 22));
	assert_int_equal(s->node.count, 0); /* not before it is on disk */
	assert_null(answer_store(s, OV_OK, ""));
	assert_int_equal(s->node.count, 1);
	assert_true(peer_id_equal(&s->node.contacts[0].id, &s->guest.id));
	assert_int_equal(s->node.calls, 1);
	assert_int_equal(s->node.candidates, 1);
	assert_int_equal(s->changes, 1);
	assert_int_equal(s->joined, 1);
	assert_string_equal(s->name, "laptop");
	show(s, NOW, &s->guest, in.secret); /* it has not heard yet that it is in */
	assert_int_equal(s->refused, 0);
	show(s, NOW, &second, in.secret);
	assert_int_equal(s->posted_count, 0);
	assert_int_equal(s->refused, 1);
	assert_string_equal(s->why, "unknown_or_used");
	HAS(ask(s, NOW, "{\"op\":\"invite.list\"}"), "\"invites\":[],\"refused\":1");
}

static void wrong_and_expired_secrets_touch_nothing(void **state)
{
	struct scene *s = *state;
	struct invite in = create(s, CREATE);
	in.secret[0] ^= 1;
	show(s, NOW, &s->guest, in.secret);
	assert_string_equal(s->why, "unknown_or_used");
	in.secret[0] ^= 1;
	show(s, NOW + DAY * OV_SEC, &s->guest, in.secret);
	assert_string_equal(s->why, "expired");
	assert_int_equal(s->refused, 2);
	assert_int_equal(s->posted_count, 0);
	show(s, NOW + DAY * OV_SEC - OV_SEC, &s->guest, in.secret);
	assert_int_equal(s->posted_count, 1);
	assert_null(answer_store(s, OV_ENOENT, "expired there")); /* the store decides */
	assert_int_equal(s->node.count, 0);
	assert_int_equal(s->refused, 3);
	HAS(ask(s, NOW, "{\"op\":\"invite.list\"}"), "\"invites\":[]");
}

static void after_a_failed_write_the_guest_may_try_again(void **state)
{
	struct scene *s = *state;
	struct invite in = create(s, CREATE);
	show(s, NOW, &s->guest, in.secret);
	assert_null(answer_store(s, OV_EIO, "disk full"));
	assert_int_equal(s->node.count, 0);
	s->post_status = OV_EFULL;
	show(s, NOW, &s->guest, in.secret);
	s->post_status = OV_OK;
	show(s, NOW, &s->guest, in.secret);
	assert_null(answer_store(s, OV_OK, ""));
	assert_int_equal(s->node.count, 1);
	assert_non_null(strstr(s->node.contacts[0].name, "peer-"));
}

static void a_taken_name_gets_a_number(void **state)
{
	struct scene *s = *state;
	static const char *const names[] = { "laptop", "laptop-2", "laptop-3" };
	struct invite in[3];
	for (uint8_t i = 0; i < 3; i++) /* before any is used: the name is free */
		in[i] = create(s, "{\"op\":\"invite.create\",\"args\":{\"name\":\"laptop\"}}");
	for (uint8_t i = 0; i < 3; i++) {
		struct identity who = identity((uint8_t)(20 + i));
		show(s, NOW, &who, in[i].secret);
	}
	for (uint8_t i = 0; i < 3; i++) { /* those on their way count */
		assert_string_equal(s->posted[0].contact.name, names[i]);
		assert_null(answer_store(s, OV_OK, ""));
	}
	HAS(ask(s, NOW, "{\"op\":\"invite.create\",\"args\":{\"name\":\"laptop\"}}"),
		"the name laptop belongs to");
}

static void a_contact_uses_it_up_and_stays_as_it_is(void **state)
{
	struct scene *s = *state;
	struct contact known = { .id = s->guest.id, .name = "old" };
	assert_int_equal(node_contact_put(&s->node, NOW, &known, false), OV_OK);
	struct invite in = create(
		s, "{\"op\":\"invite.create\",\"args\":{\"name\":\"new\",\"allow\":[\"all\"]}}");
	show(s, NOW, &s->guest, in.secret);
	assert_int_equal(s->posted[0].op, STORE_INVITE_USE);
	assert_string_equal(s->posted[0].contact.name, ""); /* only the invite goes */
	assert_null(answer_store(s, OV_OK, ""));
	assert_int_equal(s->node.count, 1);
	assert_string_equal(s->node.contacts[0].name, "old");
	assert_int_equal(s->node.contacts[0].grants.bits, 0);
	HAS(ask(s, NOW, "{\"op\":\"invite.list\"}"), "\"invites\":[]");
}

static void what_the_node_refuses_is_undone(void **state)
{
	struct scene *s = *state;
	struct invite in = create(s, CREATE);
	s->node.put_status = OV_EFULL;
	show(s, NOW, &s->guest, in.secret);
	assert_null(answer_store(s, OV_OK, ""));
	assert_int_equal(s->posted[0].op, STORE_CONTACT_REMOVE);
	assert_true(peer_id_equal(&s->posted[0].contact.id, &s->guest.id));
	assert_int_equal(s->refused, 1);
	assert_int_equal(s->joined, 0);
}

/* ---- join ---- */

static struct invite of_host(const struct scene *s)
{
	struct invite in = { .inviter = s->host.id, .expires_s = WALL_S + DAY, .name = "desk" };
	memset(in.secret, 0x33, sizeof(in.secret));
	in.endpoints[in.endpoint_count++] = addr_v4(192, 0, 2, 7, 27182);
	in.endpoints[in.endpoint_count++] = addr_v4(10, 0, 0, 7, 27182);
	return in;
}

static const char *join(struct scene *s, const struct invite *in, const char *more)
{
	char line[INVITE_TEXT_MAX], text[INVITE_TEXT_MAX + 200];
	snprintf(text, sizeof(text), "{\"op\":\"join\",\"args\":{\"line\":\"%s\"%s}}",
		invite_encode(in, line), more);
	return ask(s, NOW, text);
}

static void joining_keeps_the_line_and_calls(void **state)
{
	struct scene *s = *state;
	struct invite in = of_host(s), kept;
	assert_null(join(s, &in, ",\"allow\":[\"tcp/80\"]"));
	assert_int_equal(s->posted[0].op, STORE_JOIN);
	assert_int_equal(invite_decode(&kept, s->posted[0].line), INVITE_OK);
	assert_memory_equal(kept.secret, in.secret, sizeof(in.secret));
	assert_int_equal(s->node.count, 0);
	HAS(answer_store(s, OV_OK, ""), "\"name\":\"desk\"");
	HAS(s->last, "\"tcp/80\"");
	HAS(s->last, "\"state\":\"idle\"");
	HAS(s->last, "\"expires_at\":\"2026-11-22T10:49:00.000Z\"");
	assert_int_equal(s->node.candidates, 2);
	assert_int_equal(s->node.joins, 1);
	assert_memory_equal(s->node.secret, in.secret, sizeof(in.secret));
	struct node_event e = { .type = NODE_JOINED, .peer = s->host.id };
	api_on_event(s->api, NOW, &e);
	assert_int_equal(s->posted[0].op, STORE_JOIN_DONE);
	api_on_event(s->api, NOW, &e);
	assert_int_equal(s->posted_count, 1);
}

static void assert_pass(const struct scene *s, const struct invite *in)
{
	uint8_t pass[VOUCHER_PASS_LEN], token[VOUCHER_TOKEN_LEN];
	struct voucher v = invite_voucher(in, 0);
	voucher_token(token, in->secret);
	voucher_pass(&v, token, pass);
	assert_int_equal(s->node.facilitators, 1);
	assert_memory_equal(s->node.pass, pass, sizeof(pass));
}

/* Now, and after a restart, when the line is gone because the inviter knows us. */
static void its_facilitator_is_shown_the_voucher(void **state)
{
	struct scene *s = *state;
	struct invite in = of_host(s);
	struct store_pairing p = { .facilitator_count = 1 };
	s->node.unregistered = true; /* it does not know us */
	in.facilitators[in.facilitator_count++] = (struct invite_facilitator){
		.id = s->node.facilitator, .endpoint = in.endpoints[0], .signature = { 7, 8 }
	};
	assert_null(join(s, &in, ""));
	HAS(answer_store(s, OV_OK, ""), "\"ok\":true");
	assert_pass(s, &in);

	s->node.facilitators = 0;
	memset(s->node.pass, 0, sizeof(s->node.pass));
	p.facilitators = calloc(1, sizeof(*p.facilitators));
	p.facilitators[0].id = s->node.facilitator;
	p.facilitators[0].endpoint = in.endpoints[0];
	struct voucher v = invite_voucher(&in, 0);
	voucher_encode(&v, p.facilitators[0].voucher);
	voucher_token(p.facilitators[0].token, in.secret);
	api_invites_take(s->api, NOW, &p);
	store_pairing_fini(&p);
	assert_pass(s, &in);
}

static void wrong_lines_are_explained(void **state)
{
	struct scene *s = *state;
	struct invite in = of_host(s);
	char text[PEER_ID_TEXT_LEN + 1], line[INVITE_TEXT_MAX + 100];
	HAS(ask(s, NOW, "{\"op\":\"join\",\"args\":{\"line\":\"hello\"}}"), "this is no invite");
	HAS(s->last, "overlay invite");
	HAS(ask(s, NOW, "{\"op\":\"join\",\"args\":{\"line\":\"overlay:aea\"}}"), "is missing");
	HAS(ask(s, NOW, "{\"op\":\"join\"}"), "line is missing");
	snprintf(line, sizeof(line), "{\"op\":\"join\",\"args\":{\"line\":\"%s\"}}",
		peer_id_format(&s->host.id, text));
	HAS(ask(s, NOW, line), "overlay peer add NAME PEERID");
	in.expires_s = WALL_S;
	HAS(join(s, &in, ""), "\"code\":\"expired\"");
	HAS(s->last, "2026-11-21T10:49:00.000Z");
	in.expires_s = WALL_S + 1;
	in.inviter = s->self.id;
	HAS(join(s, &in, ""), "this machine made the invite");
	in = of_host(s);
	HAS(join(s, &in, ",\"name\":\"-\""), "cannot be a name");
	HAS(join(s, &in, ",\"allow\":[\"nonsense\"]"), "not a grant");
	assert_int_equal(s->posted_count, 0);
}

static void a_known_inviter_keeps_its_name(void **state)
{
	struct scene *s = *state;
	struct contact known = { .id = s->host.id, .name = "old", .source = CONTACT_CONFIG };
	struct invite in = of_host(s);
	assert_int_equal(node_contact_put(&s->node, NOW, &known, false), OV_OK);
	HAS(join(s, &in, ",\"name\":\"other\""), "overlay peer rename old other");
	HAS(join(s, &in, ",\"allow\":[\"all\"]"), "not-allowed");
	assert_null(join(s, &in, ""));
	HAS(answer_store(s, OV_OK, ""), "\"name\":\"old\"");
	assert_int_equal(s->node.count, 1);
	assert_int_equal(s->node.joins, 1);
}

static void names_of_lines_are_not_trusted(void **state)
{
	struct scene *s = *state;
	struct contact taken = { .id = s->guest.id, .name = "Desk" };
	assert_int_equal(node_contact_put(&s->node, NOW, &taken, false), OV_OK);
	struct invite in = of_host(s);
	assert_null(join(s, &in, ""));
	HAS(answer_store(s, OV_OK, ""), "\"name\":\"desk-2\"");
	in.inviter = identity(5).id;
	snprintf(in.name, sizeof(in.name), "../etc");
	assert_null(join(s, &in, ""));
	HAS(answer_store(s, OV_OK, ""), "\"name\":\"peer-");
	in.inviter = identity(6).id;
	HAS(join(s, &in, ",\"name\":\"Desk\""), "the name Desk belongs to");
}

static void a_removed_inviter_is_forgotten(void **state)
{
	struct scene *s = *state;
	struct invite in = of_host(s);
	assert_null(join(s, &in, ""));
	HAS(answer_store(s, OV_OK, ""), "\"ok\":true");
	assert_null(ask(s, NOW, "{\"op\":\"peer.remove\",\"args\":{\"peer\":\"desk\"}}"));
	HAS(answer_store(s, OV_OK, ""), "\"ok\":true");
	struct node_event e = { .type = NODE_JOINED, .peer = s->host.id };
	api_on_event(s->api, NOW, &e);
	assert_int_equal(s->posted_count, 0);
}

static void an_expired_secret_is_shown_no_more(void **state)
{
	struct scene *s = *state;
	struct invite in = of_host(s);
	assert_int_equal(api_deadline(s->api), OV_NEVER);
	assert_null(join(s, &in, ""));
	HAS(answer_store(s, OV_OK, ""), "\"ok\":true");
	assert_int_equal(api_deadline(s->api), NOW + DAY * OV_SEC);
	api_tick(s->api, NOW + DAY * OV_SEC - OV_SEC);
	assert_int_equal(s->node.join_ends, 0);
	api_tick(s->api, NOW + DAY * OV_SEC);
	assert_int_equal(s->node.join_ends, 1);
	assert_int_equal(s->posted[0].op, STORE_JOIN_DONE);
	assert_int_equal(api_deadline(s->api), OV_NEVER);
	assert_int_equal(s->node.count, 1); /* the contact stays */
	store_request_fini(&s->posted[--s->posted_count]);
	assert_null(join(s, &in, "")); /* again, and a newer line takes its place */
	HAS(answer_store(s, OV_OK, ""), "\"ok\":true");
	in.expires_s += DAY;
	assert_null(join(s, &in, ""));
	HAS(answer_store(s, OV_OK, ""), "\"ok\":true");
	assert_int_equal(api_deadline(s->api), NOW + 2 * DAY * OV_SEC);
}

/* ---- start ---- */

static void what_the_store_knew_goes_on(void **state)
{
	struct scene *s = *state;
	struct invite in = of_host(s), ours = of_host(s);
	struct store_pairing p = { .invite_count = 1, .join_count = 1 };
	p.invites = calloc(1, sizeof(*p.invites));
	p.joins = calloc(1, sizeof(*p.joins));
	p.invites[0].expires_at_s = WALL_S + 60;
	assert_int_equal(grants_add(&p.invites[0].grants, "service:x"), OV_OK);
	ours.secret[0] ^= 1;
	invite_hash(p.invites[0].hash, ours.secret);
	p.joins[0].peer = s->host.id;
	invite_encode(&in, p.joins[0].line);
	struct contact host = { .id = s->host.id, .name = "desk" };
	assert_int_equal(node_contact_put(&s->node, NOW, &host, false), OV_OK);
	api_invites_take(s->api, NOW, &p);
	store_pairing_fini(&p);
	assert_int_equal(s->node.joins, 1);
	assert_int_equal(s->node.candidates, 2);
	show(s, NOW, &s->guest, ours.secret);
	assert_int_equal(s->posted_count, 1);
	assert_true(grants_service(&s->posted[0].contact.grants, "x"));
	assert_null(answer_store(s, OV_OK, ""));
	assert_int_equal(s->joined, 1);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(the_line_says_what_was_asked_for),
		T(the_store_gets_the_hash_and_not_the_secret),
		T(wrong_arguments),
		T(a_failed_store_makes_no_invite),
		T(the_65th_is_refused_until_there_is_room),
		T(a_revoked_one_is_worthless),
		T(revoked_while_it_is_used),
		T(a_guest_becomes_a_contact_once),
		T(wrong_and_expired_secrets_touch_nothing),
		T(after_a_failed_write_the_guest_may_try_again),
		T(a_taken_name_gets_a_number),
		T(a_contact_uses_it_up_and_stays_as_it_is),
		T(what_the_node_refuses_is_undone),
		T(joining_keeps_the_line_and_calls),
		T(its_facilitator_is_shown_the_voucher),
		T(wrong_lines_are_explained),
		T(a_known_inviter_keeps_its_name),
		T(names_of_lines_are_not_trusted),
		T(a_removed_inviter_is_forgotten),
		T(an_expired_secret_is_shown_no_more),
		T(what_the_store_knew_goes_on),
	};
#undef T
	return cmocka_run_group_tests(tests, NULL, NULL);
}
