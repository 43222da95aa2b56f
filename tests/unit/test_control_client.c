/* What one local client may cost, on a virtual clock: length and time of a line, buffers, events
 * for a slow reader. */
#include "overlay/control_client.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "tests/unit/fake_node.h"

#define NOW (100 * OV_SEC)

struct scene {
	struct node node;
	struct api_facts facts;
	struct api *api;
	struct control_client c;
};

static int setup(void **state)
{
	struct scene *s = calloc(1, sizeof(*s));
	s->facts = (struct api_facts){ .version = "0", .state_dir = "/" };
	struct api_config cfg = { .node = &s->node, .facts = &s->facts };
	s->api = api_new(&cfg, NOW);
	client_init(&s->c, 1);
	s->c.api.greeted = true;
	*state = s;
	return 0;
}

static int teardown(void **state)
{
	struct scene *s = *state;
	client_fini(&s->c, s->api);
	api_free(s->api);
	fake_node_fini(&s->node);
	free(s);
	return 0;
}

static void feed(struct scene *s, ov_time now, const char *text)
{
	assert_true(client_feed(&s->c, now, (const uint8_t *)text, strlen(text)));
}

/* Does the output hold `part`? */
static bool said(const struct scene *s, const char *part)
{
	return s->c.out.len &&
	       memmem(s->c.out.data + s->c.out.start, s->c.out.len, part, strlen(part));
}

static void read_all(struct scene *s, ov_time now)
{
	client_wrote(&s->c, now, s->api, s->c.out.len);
}

static void test_line_must_be_whole_in_time(void **state)
{
	struct scene *s = *state;
	assert_true(client_deadline(&s->c) == OV_NEVER);
	feed(s, NOW, "{\"op\":");
	assert_false(client_work(&s->c, NOW, s->api, 8));
	assert_true(client_deadline(&s->c) == NOW + CLIENT_LINE_BY);
	feed(s, NOW + 4 * OV_SEC, "\"id\""); /* dripping does not extend it */
	client_work(&s->c, NOW + 4 * OV_SEC, s->api, 8);
	client_tick(&s->c, NOW + CLIENT_LINE_BY - 1);
	assert_true(s->c.close_by == OV_NEVER);
	client_tick(&s->c, NOW + CLIENT_LINE_BY);
	assert_true(said(s, "\"code\":\"timeout\""));
	feed(s, NOW + CLIENT_LINE_BY, "}\n"); /* too late: forgotten */
	assert_int_equal(s->c.in.len, 0);
	client_tick(&s->c, NOW + CLIENT_LINE_BY + CLIENT_LINGER);
	assert_true(s->c.dead);
}

static void test_length_of_a_line(void **state)
{
	struct scene *s = *state;
	char *line = malloc(API_LINE_MAX + 1);
	snprintf(line, API_LINE_MAX + 1, "%-*s", API_LINE_MAX, "{\"op\":\"id\"}");
	line[API_LINE_MAX - 1] = '\n';
	client_feed(&s->c, NOW, (const uint8_t *)line, API_LINE_MAX);
	client_work(&s->c, NOW, s->api, 8);
	assert_true(said(s, "\"ok\":true"));
	assert_true(client_deadline(&s->c) == NOW + CLIENT_WRITE_BY);
	read_all(s, NOW);
	line[API_LINE_MAX - 1] = ' ';
	line[API_LINE_MAX] = '\n'; /* one byte more */
	client_feed(&s->c, NOW, (const uint8_t *)line, API_LINE_MAX + 1);
	client_work(&s->c, NOW, s->api, 8);
	assert_true(said(s, "65536"));
	assert_true(s->c.close_by != OV_NEVER);
	free(line);
}

static void test_turns(void **state)
{
	struct scene *s = *state;
	for (int i = 0; i < 10; i++)
		feed(s, NOW, "{\"op\":\"id\"}\r\n\n");
	assert_true(client_work(&s->c, NOW, s->api, 8));
	assert_true(client_work(&s->c, NOW, s->api, 8));
	assert_false(client_work(&s->c, NOW, s->api, 8));
	size_t answers = 0;
	for (size_t i = 0; i < s->c.out.len; i++)
		answers += s->c.out.data[s->c.out.start + i] == '\n';
	assert_int_equal(answers, 10);
	assert_null(s->c.in.data); /* idle clients hold no buffer */
}

static void test_who_does_not_read_is_paused_and_cut(void **state)
{
	struct scene *s = *state;
	size_t fed = 0;
	for (; client_wants_read(&s->c); fed++) {
		feed(s, NOW, "{\"op\":\"status\"}\n");
		client_work(&s->c, NOW, s->api, 8);
		assert_true(fed < 10000);
	}
	assert_true(s->c.out.len <= CLIENT_PAUSE + API_LINE_MAX);
	feed(s, NOW, "{\"op\":\"id\"}\n{\"op\"");
	assert_false(client_work(&s->c, NOW, s->api, 8));
	client_tick(&s->c, NOW + CLIENT_LINE_BY); /* we paused: not its fault */
	assert_true(s->c.close_by == OV_NEVER && !s->c.dead);
	client_wrote(&s->c, NOW + 9 * OV_SEC, s->api, 1); /* progress */
	client_tick(&s->c, NOW + CLIENT_WRITE_BY);
	assert_false(s->c.dead);
	client_tick(&s->c, NOW + 9 * OV_SEC + CLIENT_WRITE_BY);
	assert_true(s->c.dead);
}

static void test_slow_reader_of_events(void **state)
{
	struct scene *s = *state;
	json_t *event = json_pack("{s:s, s:s}", "event", "peer.up", "name", "laptop");
	for (int i = 0; i < 100000; i++)
		client_event(&s->c, NOW, event);
	uint64_t lost = s->c.events_lost;
	assert_true(lost > 0 && s->c.out.len <= CLIENT_EVENT_MAX + 100);
	assert_false(s->c.dead);
	client_wrote(&s->c, NOW, s->api, s->c.out.len / 4);
	client_event(&s->c, NOW, event); /* order: what comes later is lost too */
	assert_true(s->c.events_lost == lost + 1);
	client_wrote(&s->c, NOW, s->api, s->c.out.len);
	char part[64];
	snprintf(part, sizeof(part), "\"count\":%llu", (unsigned long long)lost + 1);
	assert_true(said(s, "event.lost") && said(s, part));
	read_all(s, NOW);
	client_event(&s->c, NOW, event);
	assert_true(said(s, "peer.up"));
	json_decref(event);
}

static void test_buffer_has_an_end(void **state)
{
	struct scene *s = *state;
	json_t *line = json_pack("{s:s}", "op", "0123456789012345678901234567890123456789");
	for (int i = 0; i < 100000 && !s->c.dead; i++)
		client_answer(&s->c, NOW, line);
	assert_true(s->c.dead);
	assert_true(s->c.out.len <= CLIENT_BUFFER_MAX && s->c.out.len > CLIENT_BUFFER_MAX - 100);
	json_decref(line);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = { T(test_line_must_be_whole_in_time),
		T(test_length_of_a_line), T(test_turns),
		T(test_who_does_not_read_is_paused_and_cut), T(test_slow_reader_of_events),
		T(test_buffer_has_an_end) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
