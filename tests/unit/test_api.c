/* The overlay socket's language without a socket: requests as text in, answers and events as text
 * out, against a table instead of a node and a store that answers when the test says so. */
#include "overlay/api.h"
#include "overlay/suggest.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "tests/unit/fake_node.h"

#define NOW   (100 * OV_SEC)
#define WALL  INT64_C(1795258140123) /* 2026-11-21T10:49:00.123Z */
#define STORE 64

struct scene {
	struct node node;
	struct api_facts facts;
	struct api *api;
	struct api_client client;
	struct store_request posted[STORE];
	size_t posted_count;
	int post_status;
	size_t changes, removals;
	struct peer_id self, a, b;
	char a_text[PEER_ID_TEXT_LEN + 1], b_text[PEER_ID_TEXT_LEN + 1];
	char self_text[PEER_ID_TEXT_LEN + 1];
	char *last; /* the answer that `ask` or `later` returned */
};

static struct peer_id make_peer(uint8_t number)
{
	uint8_t seed[32] = { number };
	struct identity id;
	assert_int_equal(identity_from_seed(&id, seed), OV_OK);
	return id.id;
}

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

static void contact_changed(void *context, const struct contact *c, bool removed)
{
	struct scene *s = context;
	(void)c;
	s->changes += !removed;
	s->removals += removed;
}

static unsigned config_line(void *context, const struct peer_id *id)
{
	(void)context;
	(void)id;
	return 12;
}

static int setup(void **state)
{
	struct scene *s = calloc(1, sizeof(*s));
	s->facts = (struct api_facts){ .version = "0.1.0",
		.state_dir = "/var/lib/overlay",
		.config_path = "/etc/overlay/overlay.json",
		.tun_name = "overlay0",
		.tun_mtu = 1420,
		.udp_port = 27182 };
	s->self = make_peer(1);
	s->a = make_peer(2);
	s->b = make_peer(3);
	peer_id_format(&s->a, s->a_text);
	peer_id_format(&s->b, s->b_text);
	peer_id_format(&s->self, s->self_text);
	struct api_config cfg = { .node = &s->node,
		.self = s->self,
		.facts = &s->facts,
		.context = s,
		.store_post_take = post_take,
		.contact_changed = contact_changed,
		.config_line = config_line };
	s->api = api_new(&cfg, NOW);
	api_set_wall(s->api, NOW, WALL);
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
	if (s->last)
		assert_true(strlen(s->last) < API_LINE_MAX);
	json_decref(line);
	return s->last;
}

/* The answer to a line, or NULL when it comes later. $A $B $S stand for PeerIds. */
static const char *ask(struct scene *s, const char *line)
{
	char full[4096] = "";
	size_t at = 0;
	for (; *line; line++) {
		const char *id = NULL;
		if (line[0] == '$')
			id = line[1] == 'A' ? s->a_text : line[1] == 'B' ? s->b_text : s->self_text;
		at += (size_t)snprintf(
			full + at, sizeof(full) - at, "%.*s", id ? 56 : 1, id ? id : line);
		line += id != NULL;
	}
	return keep(s, api_handle_line(s->api, NOW, &s->client, full, strlen(full)));
}

/* The next line that api_poll gives, or NULL. */
static const char *later(struct scene *s)
{
	struct api_line line = { .json = NULL };
	return api_poll(s->api, &line) ? keep(s, line.json) : NULL;
}

/* The store answers its oldest request. */
static const char *stored(struct scene *s, int status, const char *text)
{
	assert_true(s->posted_count > 0);
	struct store_result r = { .ticket = s->posted[0].ticket, .status = status };
	snprintf(r.text, sizeof(r.text), "%s", text);
	store_request_fini(&s->posted[0]);
	s->posted_count--;
	memmove(s->posted, s->posted + 1, s->posted_count * sizeof(s->posted[0]));
	api_on_store_result(s->api, NOW, &r);
	return later(s);
}

static void add(struct scene *s, const char *line)
{
	assert_null(ask(s, line));
	assert_non_null(strstr(stored(s, OV_OK, ""), "\"ok\":true"));
}

#define HAS(text, part) assert_non_null(strstr((text), (part)))

/* ---- form ---- */

static void test_bad_lines(void **state)
{
	struct scene *s = *state;
	static const char *const bad[] = { "", " ", "{", "nonsense", "[]", "1", "null", "{}",
		"{\"op\":1}", "{\"op\":null}", "{\"id\":\"x\",\"op\":\"id\"}",
		"{\"id\":1.5,\"op\":\"id\"}", "{\"op\":\"id\",\"args\":[]}",
		"{\"op\":\"id\",\"args\":1}", "{\"op\":\"id\",\"op\":\"id\"}",
		"{\"op\":\"i\\u0000d\"}", "{\"op\":\"id\"} {\"op\":\"id\"}", "{\"op\":\"\"}",
		"{\"op\":\"id\",\"args\":{\"x\":1}}", "{\"op\":\"status\",\"args\":{\"\":1}}",
		"{\"op\":\"status\",\"args\":{\"from\":\"1\"}}",
		"{\"op\":\"status\",\"args\":{\"from\":-1}}", "{\"op\":\"\xff\xfe\"}" };
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		const char *answer = ask(s, bad[i]);
		HAS(answer, "\"ok\":false");
		HAS(answer, "\"code\":\"bad-argument\"");
	}
	static const char with_nul[] = "{\"op\":\"id\0\"}";
	HAS(keep(s, api_handle_line(s->api, NOW, &s->client, with_nul, sizeof(with_nul) - 1)),
		"bad-argument");
}

static void test_deep_nesting(void **state)
{
	struct scene *s = *state;
	size_t len = API_LINE_MAX - 1;
	char *line = malloc(len);
	static const char *const kinds[] = { "[", "{\"a\":" };
	for (size_t kind = 0; kind < 2; kind++) {
		size_t period = strlen(kinds[kind]);
		for (size_t i = 0; i < len; i++)
			line[i] = kinds[kind][i % period];
		HAS(keep(s, api_handle_line(s->api, NOW, &s->client, line, len)), "not valid JSON");
	}
	free(line);
}

static void test_unknown_words_get_suggestions(void **state)
{
	struct scene *s = *state;
	HAS(ask(s, "{\"id\":4,\"op\":\"peer.lst\"}"), "did you mean \\\"peer.list\\\"?");
	HAS(s->last, "\"id\":4");
	assert_null(strstr(ask(s, "{\"op\":\"zzzzzzzz\"}"), "did you mean"));
	HAS(ask(s, "{\"op\":\"peer.show\",\"args\":{\"per\":\"a\"}}"), "it takes: peer");
	HAS(ask(s, "{\"op\":\"subscribe\",\"args\":{\"events\":[\"peer.upp\"]}}"), "peer.up");
	assert_int_equal(s->client.events, 0);
	add(s, "{\"op\":\"peer.add\",\"args\":{\"name\":\"laptop\",\"peer\":\"$A\"}}");
	HAS(ask(s, "{\"op\":\"peer.show\",\"args\":{\"peer\":\"latpop\"}}"),
		"did you mean laptop?");
	HAS(s->last, "unknown-peer");
	assert_int_equal(suggest_distance("latpop", "laptop"), 1);
	assert_int_equal(suggest_distance("", "abc"), 3);
}

static void test_hello_comes_first(void **state)
{
	struct scene *s = *state;
	s->client.greeted = false;
	HAS(ask(s, "{\"op\":\"status\"}"), "first op of a connection is hello");
	HAS(ask(s, "{\"op\":\"hello\",\"args\":{\"api\":2}}"), "speaks api 1");
	HAS(ask(s, "{\"op\":\"status\"}"), "\"ok\":false");
	HAS(ask(s, "{\"id\":1,\"op\":\"hello\",\"args\":{\"api\":1}}"), "\"version\":\"0.1.0\"");
	HAS(ask(s, "{\"op\":\"status\"}"), "\"ok\":true");
}

static void test_status_tells_of_the_lan(void **state)
{
	struct scene *s = *state;
	struct lan_counters lan = { .interfaces = 2, .sent = 11, .off_link = 7, .limited = 5 };
	HAS(ask(s, "{\"op\":\"status\"}"), "\"lan\":null");
	s->facts.lan = &lan;
	HAS(ask(s, "{\"op\":\"status\"}"), "\"lan\":{");
	HAS(s->last, "\"interfaces\":2");
	HAS(s->last, "\"sent\":11");
	HAS(s->last, "\"off_link\":7");
	HAS(s->last, "\"limited\":5");
}

static void test_permission_column(void **state)
{
	struct scene *s = *state;
	s->client.permission = API_READ;
	HAS(ask(s, "{\"op\":\"status\"}"), "\"ok\":true");
	HAS(ask(s, "{\"op\":\"peer.add\",\"args\":{\"name\":\"a\",\"peer\":\"$A\"}}"),
		"not-allowed");
	assert_int_equal(s->posted_count, 0);
}

/* ---- contacts ---- */

static void test_add_is_durable_before_it_counts(void **state)
{
	struct scene *s = *state;
	assert_null(ask(s,
		"{\"id\":9,\"op\":\"peer.add\",\"args\":{\"name\":\"laptop\",\"peer\":\"$A\","
		"\"endpoints\":[\"198.51.100.7:27182\"],\"allow\":[\"tcp/22\"]}}"));
	assert_int_equal(s->posted[0].op, STORE_CONTACT_PUT);
	assert_int_equal(s->node.count, 0);
	assert_null(later(s));
	HAS(stored(s, OV_OK, ""), "\"id\":9,\"ok\":true");
	HAS(s->last, "\"allow\":[");
	HAS(s->last, "tcp/22");
	HAS(s->last, "\"calling\":true");
	assert_int_equal(s->node.count, 1);
	assert_int_equal(s->node.calls, 1);
	assert_int_equal(s->changes, 1);
	assert_true(grants_tcp(&s->node.contacts[0].grants, 22));
}

static void test_failed_store_changes_nothing(void **state)
{
	struct scene *s = *state;
	assert_null(ask(s, "{\"op\":\"peer.add\",\"args\":{\"name\":\"laptop\",\"peer\":\"$A\"}}"));
	HAS(stored(s, OV_EIO, "disk full: free some space"), "\"code\":\"io\"");
	HAS(s->last, "disk full");
	assert_int_equal(s->node.count, 0);
	s->post_status = OV_EFULL;
	HAS(ask(s, "{\"op\":\"peer.add\",\"args\":{\"name\":\"laptop\",\"peer\":\"$A\"}}"), "busy");
}

static void test_node_refusal_is_undone_in_the_store(void **state)
{
	struct scene *s = *state;
	assert_null(ask(s, "{\"op\":\"peer.add\",\"args\":{\"name\":\"laptop\",\"peer\":\"$A\"}}"));
	s->node.put_status = OV_EEXIST;
	HAS(stored(s, OV_OK, ""), "address range is that of another contact");
	assert_int_equal(s->posted_count, 1);
	assert_int_equal(s->posted[0].op, STORE_CONTACT_REMOVE);
	assert_true(peer_id_equal(&s->posted[0].contact.id, &s->a));
}

static void test_add_refusals(void **state)
{
	struct scene *s = *state;
	add(s, "{\"op\":\"peer.add\",\"args\":{\"name\":\"laptop\",\"peer\":\"$A\"}}");
	static const struct {
		const char *args, *part;
	} cases[] = {
		{ "\"name\":\"laptop\",\"peer\":\"$B\"", "the name laptop belongs to" },
		{ "\"name\":\"other\",\"peer\":\"$A\"", "overlay peer rename laptop other" },
		{ "\"name\":\"me\",\"peer\":\"$S\"", "PeerId of this machine" },
		{ "\"name\":\"x\",\"peer\":\"abc\"", "not a PeerId" },
		{ "\"name\":\"-x\",\"peer\":\"$B\"", "cannot be a name" },
		{ "\"name\":\"$B\",\"peer\":\"$B\"", "cannot be a name" },
		{ "\"name\":\"x\",\"peer\":7", "peer must be a string" },
		{ "\"peer\":\"$B\"", "name is missing" },
		{ "\"name\":\"x\",\"peer\":\"$B\",\"allow\":\"icmp\"", "array of strings" },
		{ "\"name\":\"x\",\"peer\":\"$B\",\"allow\":[\"tcp/0x\"]", "not a grant" },
		{ "\"name\":\"x\",\"peer\":\"$B\",\"endpoints\":[\"1.2.3.4:99999\"]",
			"not an endpoint" },
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char line[512];
		snprintf(line, sizeof(line), "{\"op\":\"peer.add\",\"args\":{%s}}", cases[i].args);
		HAS(ask(s, line), cases[i].part);
		assert_int_equal(s->posted_count, 0);
	}
	assert_int_equal(s->node.count, 1);
}

static void test_two_quick_changes_both_survive(void **state)
{
	struct scene *s = *state;
	add(s, "{\"op\":\"peer.add\",\"args\":{\"name\":\"laptop\",\"peer\":\"$A\"}}");
	assert_null(ask(s,
		"{\"op\":\"peer.allow\",\"args\":{\"peer\":\"laptop\",\"allow\":[\"tcp/22\"]}}"));
	assert_null(ask(s,
		"{\"op\":\"peer.allow\",\"args\":{\"peer\":\"laptop\",\"allow\":[\"tcp/80\"]}}"));
	stored(s, OV_OK, "");
	HAS(stored(s, OV_OK, ""), "tcp/22");
	HAS(s->last, "tcp/80");
	assert_true(grants_tcp(&s->node.contacts[0].grants, 22));
	assert_true(grants_tcp(&s->node.contacts[0].grants, 80));
	HAS(ask(s, "{\"op\":\"peer.deny\",\"args\":{\"peer\":\"laptop\",\"deny\":[\"udp/5\"]}}"),
		"has no grant udp/5");
	add(s, "{\"op\":\"peer.deny\",\"args\":{\"peer\":\"laptop\",\"deny\":[\"tcp/22\"]}}");
	assert_false(grants_tcp(&s->node.contacts[0].grants, 22));
}

static void test_lan_only(void **state)
{
	struct scene *s = *state;
	add(s, "{\"op\":\"peer.add\",\"args\":{\"name\":\"nas\",\"peer\":\"$A\",\"lan_only\":true}}");
	HAS(s->last, "\"lan_only\":true");
	assert_true(s->node.contacts[0].lan_only);
	/* what is not said stays as it is */
	add(s, "{\"op\":\"peer.add\",\"args\":{\"name\":\"nas\",\"peer\":\"$A\"}}");
	assert_true(s->node.contacts[0].lan_only);
	add(s, "{\"op\":\"peer.lan_only\",\"args\":{\"peer\":\"nas\",\"lan_only\":false}}");
	HAS(s->last, "\"lan_only\":false");
	assert_false(s->node.contacts[0].lan_only);
	HAS(ask(s, "{\"op\":\"peer.lan_only\",\"args\":{\"peer\":\"nas\"}}"),
		"lan_only is missing");
	HAS(ask(s, "{\"op\":\"peer.lan_only\",\"args\":{\"peer\":\"nas\",\"lan_only\":\"yes\"}}"),
		"lan_only must be true or false");
	HAS(ask(s, "{\"op\":\"peer.lan_only\",\"args\":{\"peer\":\"no\",\"lan_only\":true}}"),
		"unknown-peer");
}

static void test_rename_and_remove(void **state)
{
	struct scene *s = *state;
	add(s, "{\"op\":\"peer.add\",\"args\":{\"name\":\"laptop\",\"peer\":\"$A\"}}");
	add(s, "{\"op\":\"peer.rename\",\"args\":{\"peer\":\"$A\",\"name\":\"desk\"}}");
	assert_string_equal(s->node.contacts[0].name, "desk");
	assert_null(ask(s, "{\"op\":\"peer.remove\",\"args\":{\"peer\":\"desk\"}}"));
	HAS(ask(s, "{\"op\":\"peer.remove\",\"args\":{\"peer\":\"desk\"}}"), "is being removed");
	HAS(stored(s, OV_OK, ""), "\"name\":\"desk\"");
	assert_int_equal(s->node.count, 0);
	assert_int_equal(s->removals, 1);
	HAS(ask(s, "{\"op\":\"peer.remove\",\"args\":{\"peer\":\"desk\"}}"), "unknown-peer");
}

static void test_config_contacts_belong_to_the_file(void **state)
{
	struct scene *s = *state;
	struct contact c = { .id = s->a, .name = "server", .source = CONTACT_CONFIG };
	assert_int_equal(node_contact_put(&s->node, NOW, &c, false), OV_OK);
	static const char *const lines[] = {
		"{\"op\":\"peer.remove\",\"args\":{\"peer\":\"server\"}}",
		"{\"op\":\"peer.rename\",\"args\":{\"peer\":\"server\",\"name\":\"x\"}}",
		"{\"op\":\"peer.allow\",\"args\":{\"peer\":\"server\",\"allow\":[\"all\"]}}",
		"{\"op\":\"peer.add\",\"args\":{\"name\":\"server\",\"peer\":\"$A\"}}"
	};
	for (size_t i = 0; i < 4; i++) {
		HAS(ask(s, lines[i]), "not-allowed");
		HAS(s->last, "/etc/overlay/overlay.json:12");
		HAS(s->last, "contacts");
	}
	assert_int_equal(s->posted_count, 0);
}

static void test_requests(void **state)
{
	struct scene *s = *state;
	s->facts.pairing = true;
	s->node.requests[0] =
		(struct peer_request){ .id = s->a, .from = addr_v4(198, 51, 100, 7, 1), .at = NOW };
	s->node.requests[1] = (struct peer_request){ .id = s->b, .at = NOW };
	s->node.request_count = 2;
	HAS(ask(s, "{\"op\":\"peer.requests\"}"), "2026-11-21T10:49:00.123Z");
	add(s, "{\"op\":\"peer.accept\",\"args\":{\"peer\":\"$A\"}}");
	HAS(s->last, "\"name\":\"peer-");
	HAS(s->last, "\"calling\":true");
	assert_int_equal(s->node.candidates, 1);
	assert_int_equal(s->node.request_count, 1);
	HAS(ask(s, "{\"op\":\"peer.accept\",\"args\":{\"peer\":\"$A\"}}"), "did not ask");
	HAS(ask(s, "{\"op\":\"peer.refuse\",\"args\":{\"peer\":\"$B\"}}"), "\"ok\":true");
	assert_int_equal(s->node.request_count, 0);
}

/* ---- waiting ---- */

static void test_ping(void **state)
{
	struct scene *s = *state;
	s->node.has_path = true;
	s->node.state = PEER_UP;
	add(s, "{\"op\":\"peer.add\",\"args\":{\"name\":\"laptop\",\"peer\":\"$A\"}}");
	assert_null(ask(s, "{\"id\":3,\"op\":\"ping\",\"args\":{\"peer\":\"laptop\"}}"));
	struct node_event e = { .type = NODE_PONG,
		.token = s->node.pings[0],
		.rtt = 41 * OV_MS,
		.addr = addr_v4(198, 51, 100, 7, 27182),
		.observed = addr_v4(203, 0, 113, 9, 4021),
		.pmtu = 1452 };
	api_on_event(s->api, NOW, &e);
	HAS(later(s), "\"id\":3,\"ok\":true");
	HAS(s->last, "\"rtt_us\":41000");
	HAS(s->last, "\"observed\":\"203.0.113.9:4021\"");
	api_on_event(s->api, NOW, &e); /* a second pong with this token */
	assert_null(later(s));

	assert_null(ask(
		s, "{\"id\":4,\"op\":\"ping\",\"args\":{\"peer\":\"laptop\",\"timeout_ms\":200}}"));
	e = (struct node_event){ .type = NODE_PING_TIMEOUT, .token = s->node.pings[1] };
	api_on_event(s->api, NOW, &e);
	HAS(later(s), "\"code\":\"timeout\"");
	s->node.state = PEER_AWAY;
	assert_null(ask(s, "{\"id\":5,\"op\":\"ping\",\"args\":{\"peer\":\"laptop\"}}"));
	e.token = s->node.pings[2];
	api_on_event(s->api, NOW, &e);
	HAS(later(s), "\"code\":\"peer-away\"");
	HAS(ask(s, "{\"op\":\"ping\",\"args\":{\"peer\":\"laptop\",\"timeout_ms\":0}}"),
		"bad-argument");
	assert_null(ask(s, "{\"op\":\"ping\",\"args\":{\"peer\":\"$S\"}}"));
	assert_true(peer_id_equal(&s->node.pinged, &s->self));
}

static void test_deadlines_and_departures(void **state)
{
	struct scene *s = *state;
	assert_true(api_deadline(s->api) == OV_NEVER);
	assert_null(ask(s,
		"{\"id\":1,\"op\":\"peer.add\",\"args\":{\"name\":\"laptop\",\"peer\":\"$A\"}}"));
	assert_true(api_deadline(s->api) == NOW + 30 * OV_SEC);
	assert_true(api_client_waits(s->api, 7));
	api_tick(s->api, NOW + 30 * OV_SEC);
	HAS(later(s), "\"code\":\"timeout\"");
	assert_true(api_deadline(s->api) == OV_NEVER);
	assert_null(stored(s, OV_OK, "")); /* late, but durable: it counts */
	assert_int_equal(s->node.count, 1);

	assert_null(ask(
		s, "{\"id\":2,\"op\":\"ping\",\"args\":{\"peer\":\"laptop\",\"timeout_ms\":100}}"));
	api_tick(s->api, NOW + 2 * OV_SEC); /* a node that never answers */
	HAS(later(s), "\"id\":2,\"ok\":false");
	assert_null(ask(s, "{\"id\":3,\"op\":\"peer.remove\",\"args\":{\"peer\":\"laptop\"}}"));
	api_client_gone(s->api, NOW, 7);
	assert_null(stored(s, OV_OK, ""));
	assert_int_equal(s->node.count, 0);
}

static void test_waiting_requests_are_bounded(void **state)
{
	struct scene *s = *state;
	add(s, "{\"op\":\"peer.add\",\"args\":{\"name\":\"laptop\",\"peer\":\"$A\"}}");
	for (int i = 0; i < API_PENDING_PER_CLIENT; i++)
		assert_null(ask(s, "{\"op\":\"ping\",\"args\":{\"peer\":\"laptop\"}}"));
	HAS(ask(s, "{\"op\":\"ping\",\"args\":{\"peer\":\"laptop\"}}"), "\"code\":\"busy\"");
	s->client.id = 8;
	assert_null(ask(s, "{\"op\":\"ping\",\"args\":{\"peer\":\"laptop\"}}"));
	s->node.ping_count = 64;
	HAS(ask(s, "{\"op\":\"ping\",\"args\":{\"peer\":\"laptop\"}}"), "\"code\":\"busy\"");
}

/* ---- looking ---- */

static void test_status_pages_fit_a_line(void **state)
{
	struct scene *s = *state;
	s->node.has_path = true;
	s->node.state = PEER_UP;
	for (uint8_t i = 0; i < 200; i++) {
		struct contact c = { .id = make_peer((uint8_t)(i + 10)),
			.grants = grants_default() };
		snprintf(c.name, sizeof(c.name), "peer%u", i);
		for (unsigned p = 1; p <= GRANT_PORTS_MAX && i % 2; p++) {
			char word[16];
			snprintf(word, sizeof(word), "tcp/%u", 60000 + p);
			assert_int_equal(grants_add(&c.grants, word), OV_OK);
		}
		assert_int_equal(node_contact_put(&s->node, NOW, &c, false), OV_OK);
		grants_fini(&c.grants);
	}
	static const char *const lists[][2] = { { "status", "peers" }, { "peer.list", "peers" },
		{ "hosts", "hosts" } };
	for (size_t i = 0; i < 3; i++) {
		size_t total = 0, pages = 0;
		json_int_t from = 0;
		for (bool more = true; more; pages++) {
			char line[128];
			snprintf(line, sizeof(line), "{\"op\":\"%s\",\"args\":{\"from\":%d}}",
				lists[i][0], (int)from);
			json_t *answer = json_loads(ask(s, line), 0, NULL);
			json_t *result = json_object_get(answer, "result");
			total += json_array_size(json_object_get(result, lists[i][1]));
			assert_true((json_object_get(result, "counters") != NULL) ==
				    (i == 0 && from == 0));
			more = json_object_get(result, "next") != NULL;
			from = json_integer_value(json_object_get(result, "next"));
			json_decref(answer);
		}
		assert_int_equal(total, 200);
		assert_true(pages > 1 || i == 2);
	}
}

static void test_show_and_status_say_what_is_known(void **state)
{
	struct scene *s = *state;
	add(s, "{\"op\":\"peer.add\",\"args\":{\"name\":\"laptop\",\"peer\":\"$A\"}}");
	HAS(ask(s, "{\"op\":\"status\"}"), "\"path\":null");
	HAS(s->last, "\"suite\":null");
	HAS(s->last, "\"last_seen_at\":null");
	HAS(s->last, "\"started_at\":\"2026-11-21T10:49:00.123Z\"");
	HAS(s->last, "\"replay\":0");
	s->node.has_path = true;
	HAS(ask(s, "{\"op\":\"peer.show\",\"args\":{\"peer\":\"laptop\"}}"), "\"rtt_us\":41000");
	HAS(s->last, "\"suite\":\"aes-256-gcm\"");
	HAS(s->last, "\"paths\":[{");
	HAS(s->last, "\"source\":\"config\"");
	HAS(s->last, "\"last_seen_at\":\"2026-11-21T10:47:21.123Z\"");
	HAS(ask(s, "{\"op\":\"id\"}"), "::1\"");
	HAS(ask(s, "{\"op\":\"hosts\"}"), "\"name\":\"laptop\"");
}

/* ---- events ---- */

static void test_events(void **state)
{
	struct scene *s = *state;
	HAS(ask(s, "{\"op\":\"subscribe\",\"args\":{\"events\":[\"peer.up\"]}}"), "event.lost");
	struct node_event e = { .type = NODE_PEER_UP,
		.peer = s->a,
		.rtt = OV_MS,
		.addr = addr_v4(198, 51, 100, 7, 27182) };
	api_on_event(s->api, NOW, &e);
	struct api_line line;
	assert_true(api_poll(s->api, &line));
	assert_int_equal(line.client, 0);
	assert_true((line.event_bit & s->client.events) != 0);
	HAS(keep(s, line.json),
		"\"event\":\"peer.up\",\"seq\":1,\"at\":\"2026-11-21T10:49:00.123Z\"");
	e.type = NODE_PEER_DOWN;
	api_on_event(s->api, NOW, &e);
	assert_true(api_poll(s->api, &line));
	assert_true((line.event_bit & s->client.events) == 0);
	HAS(keep(s, line.json), "peer.down");
	e.type = NODE_ENDPOINT; /* not for people */
	api_on_event(s->api, NOW, &e);
	assert_null(later(s));
	api_on_resumed(s->api, NOW, 90 * OV_SEC);
	HAS(later(s), "\"slept_ms\":90000");
}

static void test_what_the_router_forwards(void **state)
{
	struct scene *s = *state;
	struct portmap_status four = { .state = PORTMAP_HELD,
		.protocol = PORTMAP_PCP,
		.route = { .local = addr_v4(192, 168, 1, 9, 0),
			.gateway = addr_v4(192, 168, 1, 1, 0) },
		.external = addr_v4(45, 1, 2, 3, 5000),
		.expires_at = NOW + 7200 * OV_SEC,
		.lease_s = 7200 };
	HAS(ask(s, "{\"id\":1,\"op\":\"status\"}"),
		"\"portmap\":{\"enabled\":false,\"ipv4\":null,\"ipv6\":null}");
	struct portmap_status six = { .state = PORTMAP_NONE,
		.error = PORTMAP_ERR_REFUSED,
		.code = 606,
		.expires_at = OV_NEVER };
	s->facts.portmap[0] = &four;
	s->facts.portmap[1] = &six;
	HAS(ask(s, "{\"id\":1,\"op\":\"status\"}"),
		"\"portmap\":{\"enabled\":true,\"ipv4\":{\"family\":\"ipv4\",\"state\":\"held\","
		"\"protocol\":\"pcp\",\"router\":\"192.168.1.1\",\"external\":\"45.1.2.3:5000\","
		"\"lease_s\":7200,\"expires_at\":\"2026-11-21T12:49:00.123Z\",\"double_nat\":false,"
		"\"error\":null,\"error_code\":0}");
	HAS(s->last, "\"ipv6\":{\"family\":\"ipv6\",\"state\":\"none\",\"protocol\":null");
	HAS(s->last, "\"error\":\"refused\",\"error_code\":606}");
	four.expires_at = OV_NEVER; /* a router that keeps it for ever */
	four.double_nat = true;
	api_on_portmap(s->api, NOW, 0);
	HAS(later(s), "\"event\":\"portmap.changed\"");
	HAS(s->last, "\"external\":\"45.1.2.3:5000\"");
	HAS(s->last, "\"expires_at\":null,\"double_nat\":true");
}

static void test_undrained_events_are_counted(void **state)
{
	struct scene *s = *state;
	struct node_event e = { .type = NODE_PEER_UP, .peer = s->a };
	for (int i = 0; i < API_EVENTS_MAX + 5; i++)
		api_on_event(s->api, NOW, &e);
	for (int i = 0; i < API_EVENTS_MAX; i++)
		HAS(later(s), "peer.up");
	assert_null(later(s));
	api_on_event(s->api, NOW, &e);
	HAS(later(s), "\"event\":\"event.lost\"");
	HAS(s->last, "\"count\":5");
	HAS(later(s), "peer.up");
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = { T(test_bad_lines), T(test_deep_nesting),
		T(test_unknown_words_get_suggestions), T(test_hello_comes_first),
		T(test_permission_column), T(test_add_is_durable_before_it_counts),
		T(test_status_tells_of_the_lan), T(test_add_is_durable_before_it_counts),
		T(test_failed_store_changes_nothing), T(test_node_refusal_is_undone_in_the_store),
		T(test_add_refusals), T(test_two_quick_changes_both_survive), T(test_lan_only),
		T(test_rename_and_remove), T(test_config_contacts_belong_to_the_file),
		T(test_requests), T(test_ping), T(test_deadlines_and_departures),
		T(test_waiting_requests_are_bounded), T(test_status_pages_fit_a_line),
		T(test_show_and_status_say_what_is_known), T(test_events),
		T(test_what_the_router_forwards), T(test_undrained_events_are_counted) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
