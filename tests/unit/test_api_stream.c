/* The ops of streams as a client sees them: lines with descriptors in, lines with descriptors out.
 * Descriptors are numbers, local ends are a list, the other side of a stream is the test. */
#include "overlay/control_client.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "tests/unit/fake_node.h"

#define NOW     (100 * OV_SEC)
#define FDS_MAX 64

struct scene {
	struct node node;
	struct services *services;
	struct api_facts facts;
	struct api *api;
	struct control_client c, d; /* clients 1 and 2 */
	struct peer_id self;
	int closed[FDS_MAX]; /* descriptors that nobody wanted */
	size_t closed_count;
	int joined, paired; /* the last descriptor joined; the last that was made: 100, 101 ... */
	int status;         /* of the next join or pair */
	size_t cuts, starts;
	char said[1024];
};

static int on_join(void *context, struct service_stream *one, int descriptor)
{
	struct scene *s = context;
	if (s->status != OV_OK)
		return s->status;
	s->joined = descriptor;
	one->local = s;
	return OV_OK;
}

static int on_pair(void *context, struct service_stream *one, int *theirs)
{
	struct scene *s = context;
	if (s->status != OV_OK)
		return s->status;
	*theirs = s->paired++;
	one->local = s;
	return OV_OK;
}

static bool on_say(void *context, struct service_stream *one, const char *text, size_t len)
{
	struct scene *s = context;
	assert_non_null(one->local);
	snprintf(s->said, sizeof(s->said), "%.*s", (int)len, text);
	return true;
}

static void on_start(void *context, struct service_stream *one)
{
	((struct scene *)context)->starts++;
	assert_int_equal(one->state, SERVICE_OPEN);
}

static void on_cut(void *context, struct service_stream *one)
{
	((struct scene *)context)->cuts++;
	one->local = NULL;
}

static void on_count(
	void *context, const struct service_stream *one, uint64_t *sent, uint64_t *received)
{
	(void)context;
	(void)one;
	*sent = 11;
	*received = 22;
}

static void on_close(void *context, int descriptor)
{
	struct scene *s = context;
	assert_true(s->closed_count < FDS_MAX);
	s->closed[s->closed_count++] = descriptor;
}

static const struct api_ends ends = { .join = on_join,
	.pair = on_pair,
	.say = on_say,
	.start = on_start,
	.cut = on_cut,
	.count = on_count,
	.close = on_close };

static struct peer_id make_peer(uint8_t number)
{
	uint8_t seed[32] = { number };
	struct identity id;
	assert_int_equal(identity_from_seed(&id, seed), OV_OK);
	return id.id;
}

static int setup(void **state)
{
	struct scene *s = calloc(1, sizeof(*s));
	struct contact friend = { .name = "nas", .source = CONTACT_ADDED, .id = make_peer(2) };
	s->self = make_peer(1);
	s->facts = (struct api_facts){ .version = "0", .state_dir = "/" };
	assert_int_equal(grants_add(&friend.grants, "service:echo"), OV_OK);
	assert_int_equal(node_contact_put(&s->node, NOW, &friend, false), OV_OK);
	contact_fini(&friend);
	s->services = services_new(&s->node, &s->self, 100);
	struct api_config cfg = { .node = &s->node,
		.self = s->self,
		.facts = &s->facts,
		.context = s,
		.services = s->services,
		.ends = &ends };
	s->api = api_new(&cfg, NOW);
	client_init(&s->c, 1);
	client_init(&s->d, 2);
	s->c.api.greeted = s->d.api.greeted = true;
	s->paired = 100;
	fake_stream_count = fake_stream_closed = 0;
	*state = s;
	return 0;
}

static int teardown(void **state)
{
	struct scene *s = *state;
	client_fini(&s->c, s->api);
	client_fini(&s->d, s->api);
	api_free(s->api);
	services_free(s->services, NOW);
	fake_node_fini(&s->node);
	free(s);
	return 0;
}

/* What control_uv does with lines that are ready. Returns the stream that client c becomes. */
static uint64_t hand_out(struct scene *s)
{
	struct api_line line;
	uint64_t becomes = 0;
	while (api_poll(s->api, &line)) {
		struct control_client *c = line.client == 2 ? &s->d : &s->c;
		if (line.has_descriptor)
			client_answer_descriptor(c, NOW, s->api, line.json, line.descriptor);
		else if (line.json)
			client_answer(c, NOW, line.json);
		if (line.is_last)
			client_end(c, NOW);
		if (line.becomes)
			becomes = line.becomes;
		json_decref(line.json);
	}
	return becomes;
}

/* Bytes with a descriptor; -1: none. */
static uint64_t feed(struct scene *s, struct control_client *c, const char *text, int descriptor)
{
	assert_true(client_feed(c, NOW, (const uint8_t *)text, strlen(text)));
	if (descriptor >= 0)
		client_feed_descriptor(c, s->api, descriptor);
	while (client_work(c, NOW, s->api, 8))
		;
	return hand_out(s);
}

/* The output so far, and the descriptor that goes with its first line (-1: none). */
static const char *take(struct scene *s, struct control_client *c, int *descriptor)
{
	static char text[4096];
	size_t all = 0;
	*descriptor = -1;
	while (c->out.len > 0) {
		int one;
		size_t len = client_next_write(c, &one);
		assert_true(len > 0 && all + len < sizeof(text));
		if (one >= 0) {
			*descriptor = one;
			client_sent_descriptor(c);
		}
		memcpy(text + all, c->out.data + c->out.start, len);
		all += len;
		client_wrote(c, NOW, s->api, len);
	}
	text[all] = '\0';
	return text;
}

static void expect(struct scene *s, struct control_client *c, const char *part, int descriptor)
{
	int got;
	const char *text = take(s, c, &got);
	if (!strstr(text, part))
		fail_msg("%s has no %s", text, part);
	assert_int_equal(got, descriptor);
}

static void tell(struct scene *s, struct node_stream *n, uint8_t events)
{
	struct node_stream_event e = { .stream = n,
		.user = n->user,
		.events = events,
		.reset_code = n->reset_code,
		.stop_code = n->stop_code };
	(void)services_on_event(s->services, NOW, &e);
	api_on_streams(s->api, NOW);
	hand_out(s);
}

static struct node_stream *opened_by_friend(struct scene *s)
{
	struct node_stream *n = &fake_streams[fake_stream_count];
	struct peer_id friend = make_peer(2);
	assert_int_equal(node_stream_open(&s->node, NOW, &friend, NULL, &n), OV_OK);
	memcpy(n->in, "\4echo", 5);
	n->in_len = 5;
	tell(s, n, STREAM_OPENED | STREAM_READABLE);
	return n;
}

static void say_yes(struct scene *s, struct node_stream *n)
{
	n->in[n->in_len++] = 0;
	tell(s, n, STREAM_READABLE);
}

#define DIAL   "{\"id\":5,\"op\":\"dial\",\"args\":{\"peer\":\"nas\",\"service\":\"echo\"}}\n"
#define INLINE "\"service\":\"echo\",\"inline\":true}}\n"
#define LISTEN "{\"op\":\"listen\",\"args\":{\"service\":\"echo\"}}\n"

static void test_dial_gives_a_descriptor(void **state)
{
	struct scene *s = *state;
	int none;
	feed(s, &s->c, DIAL, -1);
	assert_string_equal(take(s, &s->c, &none), ""); /* not before the answer */
	assert_true(api_client_waits(s->api, 1));
	say_yes(s, &fake_streams[0]);
	expect(s, &s->c, "{\"id\":5,\"ok\":true,\"result\":{\"peer\":", 100);
	assert_false(api_client_waits(s->api, 1));
	assert_int_equal(s->starts, 1);
	s->status = OV_EFULL; /* no descriptors left */
	feed(s, &s->c, DIAL, -1);
	say_yes(s, &fake_streams[1]);
	expect(s, &s->c, "\"quota\"", -1);
	assert_int_equal(fake_close_code, STREAM_NO_MEMORY);
}

/* It did not restart: we sent it away. */
static void test_contact_removed_in_a_dial(void **state)
{
	struct scene *s = *state;
	const struct peer_id friend = make_peer(2);
	feed(s, &s->c, DIAL, -1);
	assert_int_equal(node_contact_remove(&s->node, &friend), OV_OK);
	fake_streams[0].reset_code = STREAM_PEER_RESTARTED;
	tell(s, &fake_streams[0], STREAM_RESET | STREAM_STOPPED);
	expect(s, &s->c, "\"unknown-peer\"", -1);
}

static void test_dial_takes_a_descriptor(void **state)
{
	struct scene *s = *state;
	feed(s, &s->c, DIAL, 33);
	assert_int_equal(s->joined, 33); /* at once: its bytes need not wait for the answer */
	say_yes(s, &fake_streams[0]);
	expect(s, &s->c, "\"ok\":true", -1);
	assert_int_equal(s->closed_count, 0);
	/* refused: our copy is closed before the answer */
	feed(s, &s->c, DIAL, 34);
	fake_streams[1].reset_code = SERVICE_NOT_ALLOWED;
	tell(s, &fake_streams[1], STREAM_RESET);
	assert_int_equal(s->cuts, 1);
	expect(s, &s->c, "nas does not allow us the service echo", -1);
	/* no socket that can carry a stream */
	s->status = OV_EINVAL;
	feed(s, &s->c, DIAL, 35);
	expect(s, &s->c, "bad-argument", -1);
	assert_int_equal(s->closed_count, 1);
	assert_int_equal(s->closed[0], 35);
	/* it came, but there was no room for it */
	assert_true(client_feed(&s->c, NOW, (const uint8_t *)DIAL, strlen(DIAL)));
	client_feed_descriptor(&s->c, s->api, -1);
	client_work(&s->c, NOW, s->api, 8);
	expect(s, &s->c, "\"quota\"", -1);
}

static void test_codes_become_errors(void **state)
{
	static const struct {
		uint32_t code;
		const char *error;
	} cases[] = { { STREAM_CANCELLED, "io" }, { STREAM_PEER_RESTARTED, "io" },
		{ STREAM_VIOLATION, "io" }, { STREAM_REFUSED, "io" }, { STREAM_NO_MEMORY, "busy" },
		{ SERVICE_UNKNOWN, "no-such-service" }, { SERVICE_NOT_ALLOWED, "not-allowed" },
		{ SERVICE_BUSY, "busy" }, { 4711, "io" } };
	struct scene *s = *state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char part[64];
		feed(s, &s->c, DIAL, -1);
		fake_streams[i].reset_code = cases[i].code;
		tell(s, &fake_streams[i], STREAM_RESET);
		snprintf(part, sizeof(part), "\"code\":\"%s\"", cases[i].error);
		expect(s, &s->c, part, -1);
	}
	for (int up = 0; up < 2; up++) {
		fake_stream_count = 0;
		feed(s, &s->c, DIAL, -1);
		s->node.state = up ? PEER_UP : PEER_AWAY;
		api_tick(s->api, NOW + 30 * OV_SEC);
		hand_out(s);
		expect(s, &s->c, up ? "\"timeout\"" : "\"peer-away\"", -1);
	}
}

static void test_inline_dial(void **state)
{
	struct scene *s = *state;
	const char *request = "{\"op\":\"dial\",\"args\":{\"peer\":\"nas\"," INLINE "early bytes";
	uint64_t number = feed(s, &s->c, request, -1);
	assert_true(number > 0);
	assert_int_equal(s->c.in.len, 11); /* kept for the stream */
	assert_true(client_deadline(&s->c) == OV_NEVER);
	struct service_stream *one = api_becomes(s->api, 1, number);
	assert_non_null(one);
	assert_null(api_becomes(s->api, 2, number));
	assert_int_equal(on_join(s, one, 40), OV_OK);
	api_became(s->api, NOW, one);
	api_client_gone(s->api, NOW, 1); /* it is no client any more, and goes on */
	assert_int_equal(s->starts, 0);
	say_yes(s, &fake_streams[0]);
	assert_non_null(strstr(s->said, "\"ok\":true"));
	assert_int_equal(s->starts, 1);
}

static void test_after_an_inline_error_nothing_is_read(void **state)
{
	struct scene *s = *state;
	feed(s, &s->c, "{\"op\":\"dial\",\"args\":{\"peer\":\"who\"," INLINE "{\"op\":\"id\"}\n",
		-1);
	expect(s, &s->c, "unknown-peer", -1);
	assert_true(s->c.close_by != OV_NEVER);
	assert_int_equal(s->c.in.len, 0);
	feed(s, &s->d, LISTEN, -1);
	expect(s, &s->d, "\"service\":\"echo\"", -1);
}

static void test_accept(void **state)
{
	struct scene *s = *state;
	feed(s, &s->c, LISTEN, -1);
	expect(s, &s->c, "\"ok\":true", -1);
	feed(s, &s->d, "{\"op\":\"accept\",\"args\":{\"service\":\"echo\"}}\n", -1);
	opened_by_friend(s);
	expect(s, &s->d, "\"name\":\"nas\",\"service\":\"echo\",\"stream\":1", 100);
	/* hold, attach */
	feed(s, &s->d, "{\"op\":\"accept\",\"args\":{\"service\":\"echo\",\"hold\":true}}\n", -1);
	struct node_stream *n = opened_by_friend(s);
	expect(s, &s->d, "\"stream\":2", -1);
	assert_int_equal(n->out_len, 0);
	feed(s, &s->d, "{\"op\":\"attach\",\"args\":{\"stream\":2}}\n", -1);
	expect(s, &s->d, "the descriptor is missing", -1);
	feed(s, &s->c, "{\"op\":\"attach\",\"args\":{\"stream\":2}}\n", 50); /* not its holder */
	expect(s, &s->c, "expired", -1);
	assert_int_equal(s->closed[0], 50);
	feed(s, &s->d, "{\"op\":\"attach\",\"args\":{\"stream\":2}}\n", 51);
	expect(s, &s->d, "\"stream\":2", -1);
	assert_int_equal(s->joined, 51);
	assert_int_equal(n->out_len, 1);
	/* hold, refuse */
	feed(s, &s->d, "{\"op\":\"accept\",\"args\":{\"service\":\"echo\",\"hold\":true}}\n", -1);
	opened_by_friend(s);
	feed(s, &s->d, "{\"op\":\"refuse\",\"args\":{\"stream\":3}}\n", -1);
	expect(s, &s->d, "\"stream\":3", -1);
	assert_int_equal(fake_close_code, STREAM_REFUSED);
	/* the listener goes: who waits is told */
	feed(s, &s->d, "{\"op\":\"accept\",\"args\":{" INLINE, -1);
	api_client_gone(s->api, NOW, 1);
	hand_out(s);
	expect(s, &s->d, "no-such-service", -1);
	assert_true(s->d.close_by != OV_NEVER);
}

static void test_events_and_facts(void **state)
{
	struct scene *s = *state;
	struct api_line line;
	feed(s, &s->c, DIAL, -1);
	say_yes(s, &fake_streams[0]); /* nobody has subscribed: no line is made */
	expect(s, &s->c, "\"ok\":true", 100);
	feed(s, &s->c, "{\"op\":\"subscribe\",\"args\":{\"events\":[\"service.closed\"]}}\n", -1);
	expect(s, &s->c, "service.closed", -1);
	feed(s, &s->c, "{\"op\":\"stream\",\"args\":{\"stream\":1}}\n", -1);
	expect(s, &s->c, "\"sent_bytes\":11,\"received_bytes\":22,\"code\":null", -1);
	const struct service_stream *one = services_find_open(s->services, 1);
	assert_non_null(one);
	api_on_stream_closed(s->api, NOW, one, 12, 23, 9);
	assert_true(api_poll(s->api, &line));
	assert_int_equal(json_integer_value(json_object_get(line.json, "code")), 9);
	assert_string_equal(json_string_value(json_object_get(line.json, "direction")), "out");
	json_decref(line.json);
	services_drop(s->services, NOW, (struct service_stream *)(uintptr_t)one, 0);
	feed(s, &s->c, "{\"op\":\"stream\",\"args\":{\"stream\":1}}\n", -1);
	expect(s, &s->c, "\"open\":false", -1);
	feed(s, &s->c, "{\"op\":\"stream\",\"args\":{\"stream\":2}}\n", -1);
	expect(s, &s->c, "expired", -1);
}

static void test_descriptors_belong_to_lines(void **state)
{
	struct scene *s = *state;
	int got;
	feed(s, &s->c, "{\"op\":\"id\"", 10); /* with the first bytes */
	feed(s, &s->c, "}", 11);              /* a second one of the line */
	assert_int_equal(s->closed_count, 1);
	feed(s, &s->c, "\n" DIAL, 12); /* the end of one line and the whole of the next */
	assert_int_equal(s->joined, 12);
	assert_int_equal(s->closed_count, 2);
	assert_int_equal(s->closed[0] + s->closed[1], 21);
	feed(s, &s->c, "{", 13);
	feed(s, &s->c, "}", 14);
	assert_int_equal(s->closed[2], 14);
	client_fini(&s->c, s->api);
	assert_int_equal(s->closed_count, 4);
	client_init(&s->c, 1);
	s->c.api.greeted = true;
	/* answers with descriptors between others: each goes with the first byte of its own */
	feed(s, &s->c, "{\"op\":\"id\"}\n", -1);
	size_t first = s->c.out.len;
	feed(s, &s->c, DIAL DIAL, -1);
	say_yes(s, &fake_streams[1]);
	say_yes(s, &fake_streams[2]);
	assert_int_equal(client_next_write(&s->c, &got), first);
	assert_int_equal(got, -1);
	client_wrote(&s->c, NOW, s->api, first);
	size_t second = client_next_write(&s->c, &got);
	assert_int_equal(got, 100);
	client_sent_descriptor(&s->c);
	client_wrote(&s->c, NOW, s->api, 1); /* the rest of the line goes without it */
	assert_int_equal(client_next_write(&s->c, &got), second - 1);
	assert_int_equal(got, -1);
	client_wrote(&s->c, NOW, s->api, second - 1);
	client_next_write(&s->c, &got);
	assert_int_equal(got, 101);
	client_fini(&s->c, s->api); /* it goes with the last one untaken */
	assert_int_equal(s->closed[s->closed_count - 1], 101);
	client_init(&s->c, 1);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_dial_gives_a_descriptor),
		T(test_contact_removed_in_a_dial),
		T(test_dial_takes_a_descriptor),
		T(test_codes_become_errors),
		T(test_inline_dial),
		T(test_after_an_inline_error_nothing_is_read),
		T(test_accept),
		T(test_events_and_facts),
		T(test_descriptors_belong_to_lines),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
