/* visible, nearby, and what they do to requests, as the overlay socket has them. */
#include "tests/unit/fake_node.h"
#include "tests/unit/seeded.h"

#include "overlay/api.h"

#include <stdlib.h>

#define NOW    (1000 * OV_SEC)
#define WALL_S INT64_C(1795258140) /* 2026-11-21 10:49 UTC */

struct scene {
	struct node node;
	struct lan lan;
	struct api_facts facts;
	struct api *api;
	struct api_client client;
	struct store_request posted;
	struct identity self, other;
	char *last;
};

static int post_take(void *context, struct store_request *r)
{
	((struct scene *)context)->posted = *r;
	return OV_OK;
}

static int setup(void **state)
{
	struct scene *s = calloc(1, sizeof(*s));
	uint8_t seed[32] = { 1 };
	assert_int_equal(identity_from_seed(&s->self, seed), OV_OK);
	seed[0] = 2;
	assert_int_equal(identity_from_seed(&s->other, seed), OV_OK);
	s->facts = (struct api_facts){ .version = "0", .state_dir = "/", .neighbours = &s->lan };
	struct api_config cfg = { .node = &s->node,
		.self = s->self.id,
		.facts = &s->facts,
		.context = s,
		.store_post_take = post_take,
		.identity = &s->self };
	s->api = api_new(&cfg, NOW);
	api_set_wall(s->api, NOW, WALL_S * 1000);
	s->client = (struct api_client){ .id = 7, .permission = API_CHANGE, .greeted = true };
	*state = s;
	return 0;
}

static int teardown(void **state)
{
	struct scene *s = *state;
	store_request_fini(&s->posted);
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

static const char *set(struct scene *s, ov_time now, const char *args)
{
	char line[200];
	snprintf(line, sizeof(line), "{\"op\":\"visible.set\",\"args\":{%s}}", args);
	return ask(s, now, line);
}

#define HAS(text, part) assert_non_null(strstr((text), (part)))

static void it_lasts_as_long_as_was_said(void **state)
{
	struct scene *s = *state;
	HAS(ask(s, NOW, "{\"op\":\"visible\"}"), "\"visible\":false,\"name\":null");
	HAS(set(s, NOW, "\"duration_s\":600,\"name\":\"desk\""),
		"\"visible\":true,\"name\":\"desk\"");
	HAS(s->last, "\"until\":\"2026-11-21T10:59:00.000Z\",\"left_ms\":600000,\"pairing\":true");
	assert_int_equal(s->lan.until, NOW + 600 * OV_SEC);
	assert_string_equal(s->lan.name, "desk");
	assert_true(s->node.pairing);
	assert_int_equal(api_deadline(s->api), NOW + 600 * OV_SEC);
	HAS(ask(s, NOW, "{\"op\":\"peer.requests\"}"), "\"pairing\":true");
	api_tick(s->api, NOW + 600 * OV_SEC);
	assert_false(s->node.pairing);
	assert_int_equal(api_deadline(s->api), OV_NEVER);
	HAS(ask(s, NOW + 600 * OV_SEC, "{\"op\":\"visible\"}"), "\"visible\":false");
}

static void off_ends_it_and_pairing_stays_as_configured(void **state)
{
	struct scene *s = *state;
	set(s, NOW, "\"duration_s\":600");
	HAS(set(s, NOW, "\"duration_s\":0"), "\"visible\":false");
	assert_int_equal(s->lan.until, 0);
	assert_false(s->node.pairing);
	s->facts.pairing = true; /* the configuration was read again */
	api_renew_pairing(s->api, NOW);
	assert_true(s->node.pairing);
	set(s, NOW, "\"duration_s\":600");
	HAS(set(s, NOW, "\"duration_s\":0"), "\"pairing\":true");
	assert_true(s->node.pairing);
	s->facts.pairing = false; /* read again while visible */
	set(s, NOW, "\"duration_s\":600");
	api_renew_pairing(s->api, NOW);
	assert_true(s->node.pairing);
}

static void wrong_arguments(void **state)
{
	struct scene *s = *state;
	static const char *const args[] = { "", "\"duration_s\":-1", "\"duration_s\":86401",
		"\"duration_s\":\"10m\"", "\"duration_s\":60,\"name\":\"a b\"",
		"\"duration_s\":60,\"name\":\"\\u001b[2J\"", "\"duration_s\":60,\"name\":7" };
	for (size_t i = 0; i < sizeof(args) / sizeof(args[0]); i++) {
		HAS(set(s, NOW, args[i]), "bad-argument");
		assert_null(strstr(s->last, "\033"));
	}
	assert_int_equal(s->lan.until, 0);
	s->facts.neighbours = NULL;
	HAS(set(s, NOW, "\"duration_s\":60"), "not-allowed");
	HAS(ask(s, NOW, "{\"op\":\"nearby\"}"), "not-allowed");
	assert_false(s->node.pairing);
	s->client.permission = API_READ;
	HAS(set(s, NOW, "\"duration_s\":60"), "right to change");
}

static void show_other(struct scene *s, const char *name)
{
	struct nearby *t = &s->lan.nearby;
	t->list[0] = (struct nearby_peer){ .notice = { .id = s->other.id, .port = 27182 },
		.at = addr_v4(10, 7, 0, 2, 27182),
		.heard_at = NOW };
	snprintf(t->list[0].notice.name, sizeof(t->list[0].notice.name), "%s", name);
	t->count = 1;
}

static void who_is_nearby_is_called_there(void **state)
{
	struct scene *s = *state;
	char line[200], id[PEER_ID_TEXT_LEN + 1];
	HAS(ask(s, NOW, "{\"op\":\"nearby\"}"), "\"nearby\":[]");
	show_other(s, "laptop");
	HAS(ask(s, NOW + 3 * OV_SEC, "{\"op\":\"nearby\"}"), "\"name\":\"laptop\"");
	HAS(s->last, "\"addr\":\"10.7.0.2:27182\",\"contact\":null");
	HAS(s->last, "\"heard_at\":\"2026-11-21T10:49:00.000Z\",\"ago_ms\":3000");
	snprintf(line, sizeof(line),
		"{\"op\":\"peer.add\",\"args\":{\"name\":\"book\",\"peer\":\"%s\"}}",
		peer_id_format(&s->other.id, id));
	assert_null(ask(s, NOW, line));
	struct store_result r = { .ticket = s->posted.ticket };
	api_on_store_result(s->api, NOW, &r);
	struct api_line answer;
	assert_true(api_poll(s->api, &answer));
	HAS(keep(s, answer.json), "\"calling\":true");
	assert_int_equal(s->node.candidates, 1);
	HAS(ask(s, NOW, "{\"op\":\"nearby\"}"), "\"contact\":\"book\"");
}

static void a_request_has_the_name_that_is_shown(void **state)
{
	struct scene *s = *state;
	set(s, NOW, "\"duration_s\":600");
	s->node.requests[0] = (struct peer_request){ .id = s->other.id, .at = NOW };
	s->node.request_count = 1;
	HAS(ask(s, NOW, "{\"op\":\"peer.requests\"}"), "\"name\":null");
	show_other(s, "laptop");
	HAS(ask(s, NOW, "{\"op\":\"peer.requests\"}"), "\"name\":\"laptop\"");
}

static void appearing_is_an_event(void **state)
{
	struct scene *s = *state;
	show_other(s, "");
	api_on_nearby(s->api, NOW, &s->lan.nearby.list[0]);
	struct api_line line;
	assert_true(api_poll(s->api, &line));
	HAS(keep(s, line.json), "\"event\":\"peer.nearby\"");
	HAS(s->last, "\"name\":null,\"addr\":\"10.7.0.2:27182\"");
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(it_lasts_as_long_as_was_said),
		T(off_ends_it_and_pairing_stays_as_configured),
		T(wrong_arguments),
		T(who_is_nearby_is_called_there),
		T(a_request_has_the_name_that_is_shown),
		T(appearing_is_an_event),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
