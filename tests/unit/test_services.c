/* Streams until they are open: names, grants, who waits for whom, and what each side is told. The
 * other side of each stream is the test (fake_node.h). */
#include "overlay/services.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "tests/unit/fake_node.h"

#define NOW  (100 * OV_SEC)
#define USER 1000

struct scene {
	struct node node;
	struct services *v;
	struct peer_id self, friend, stranger;
};

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
	struct contact c = { .name = "friend", .source = CONTACT_ADDED };
	s->self = make_peer(1);
	s->friend = c.id = make_peer(2);
	s->stranger = make_peer(3);
	assert_int_equal(grants_add(&c.grants, "service:echo"), OV_OK);
	assert_int_equal(node_contact_put(&s->node, NOW, &c, false), OV_OK);
	contact_fini(&c);
	s->v = services_new(&s->node, &s->self, 200);
	fake_stream_count = fake_stream_closed = 0;
	*state = s;
	return 0;
}

static int teardown(void **state)
{
	struct scene *s = *state;
	services_free(s->v, NOW);
	fake_node_fini(&s->node);
	free(s);
	return 0;
}

static struct service_request from(uint64_t client)
{
	return (struct service_request){ .client = client, .id = 7, .has_id = true };
}

/* The other side opens one and says `len` bytes. */
static struct node_stream *open_by(
	struct scene *s, const struct peer_id *peer, const void *bytes, size_t len)
{
	struct node_stream *n = &fake_streams[fake_stream_count];
	assert_int_equal(node_stream_open(&s->node, NOW, peer, NULL, &n), OV_OK);
	memcpy(n->in, bytes, len);
	n->in_len = len;
	struct node_stream_event e = { .stream = n, .events = STREAM_OPENED | STREAM_READABLE };
	assert_null(services_on_event(s->v, NOW, &e));
	return n;
}

static struct service_stream *tell(struct scene *s, struct node_stream *n, uint8_t events)
{
	struct node_stream_event e = { .stream = n,
		.user = n->user,
		.events = events,
		.reset_code = n->reset_code,
		.stop_code = n->stop_code };
	return services_on_event(s->v, NOW, &e);
}

static void says(struct scene *s, struct node_stream *n, const void *bytes, size_t len)
{
	memcpy(n->in + n->in_len, bytes, len);
	n->in_len += len;
	(void)tell(s, n, STREAM_READABLE);
}

#define ECHO "\4echo"

static void test_accept_before_and_after(void **state)
{
	struct scene *s = *state;
	struct service_request r = from(5);
	assert_int_equal(services_listen(s->v, 5, USER, "echo"), OV_OK);
	for (int late = 0; late < 2; late++) {
		if (!late)
			assert_int_equal(services_accept(s->v, NOW, USER, "echo", &r), OV_OK);
		struct node_stream *n = open_by(s, &s->friend, ECHO "data", 9);
		if (late) {
			assert_null(services_next(s->v));
			assert_int_equal(services_accept(s->v, NOW, USER, "echo", &r), OV_OK);
		}
		struct service_stream *one = services_next(s->v);
		assert_non_null(one);
		assert_int_equal(one->state, SERVICE_OFFERED);
		assert_int_equal(one->request.client, 5);
		assert_string_equal(one->name, "echo");
		assert_int_equal(n->out_len, 0);
		services_open(s->v, one);
		assert_int_equal(n->out_len, 1); /* yes */
		assert_int_equal(n->out[0], 0);
		size_t len;
		assert_memory_equal(node_stream_peek(n, &len), "data", 4);
		assert_null(services_next(s->v));
		assert_null(tell(s, n, STREAM_READABLE)); /* no local end to look at it */
		one->local = one;
		assert_ptr_equal(tell(s, n, STREAM_READABLE), one);
		assert_int_equal(services_deadline(s->v), OV_NEVER);
	}
}

static void test_a_name_comes_a_byte_at_a_time(void **state)
{
	struct scene *s = *state;
	struct service_request r = from(5);
	assert_int_equal(services_listen(s->v, 5, USER, "echo"), OV_OK);
	assert_int_equal(services_accept(s->v, NOW, USER, "echo", &r), OV_OK);
	struct node_stream *n = open_by(s, &s->friend, "", 0);
	for (size_t i = 0; i < 4; i++)
		says(s, n, &ECHO[i], 1);
	assert_null(services_next(s->v));
	assert_int_equal(services_deadline(s->v), NOW + SERVICE_NAMING_BY);
	says(s, n, "o", 1);
	assert_non_null(services_next(s->v));
	struct node_stream *slow = open_by(s, &s->friend, ECHO, 3);
	services_tick(s->v, NOW + SERVICE_NAMING_BY - 1);
	assert_non_null(slow->user);
	assert_int_equal(fake_stream_closed, 0);
	services_tick(s->v, NOW + SERVICE_NAMING_BY);
	assert_int_equal(fake_stream_closed, 1);
}

static void test_refusals(void **state)
{
	struct scene *s = *state;
	static const struct {
		const char *bytes;
		size_t len;
		uint32_t code;
		bool is_stranger, is_self;
	} cases[] = {
		{ ECHO, 5, SERVICE_UNKNOWN, false, false }, /* allowed, and nobody listens */
		{ "\5other", 6, SERVICE_NOT_ALLOWED, false, false },
		{ ECHO, 5, SERVICE_NOT_ALLOWED, true, false },
		{ "", 0, SERVICE_NOT_ALLOWED, true, false }, /* need not even say a name */
		{ "\5other", 6, SERVICE_UNKNOWN, false, true },
		{ "\0", 1, STREAM_VIOLATION, false, false },
		{ "\100", 1, STREAM_VIOLATION, false, false }, /* 64: too long */
		{ "\4ec\0o", 5, STREAM_VIOLATION, false, false },
		{ "\4ec o", 5, STREAM_VIOLATION, false, false },
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct peer_id *peer = cases[i].is_stranger ? &s->stranger
					     : cases[i].is_self   ? &s->self
								  : &s->friend;
		fake_stream_count = fake_stream_closed = 0;
		open_by(s, peer, cases[i].bytes, cases[i].len);
		assert_int_equal(fake_stream_closed, 1);
		assert_int_equal(fake_close_code, cases[i].code);
		assert_int_equal(services_count(s->v), 0);
	}
	/* it ends before its name does */
	struct node_stream *n = open_by(s, &s->friend, ECHO, 2);
	n->in_ended = true;
	(void)tell(s, n, STREAM_READABLE);
	assert_int_equal(services_count(s->v), 1); /* what came is not all taken: it is not known */
	n->in_len = n->in_at = 0;
	(void)tell(s, n, STREAM_READABLE);
	assert_int_equal(services_count(s->v), 0);
}

static void test_waiting_has_an_end(void **state)
{
	struct scene *s = *state;
	struct service_request r = from(5);
	assert_int_equal(services_listen(s->v, 5, USER, "echo"), OV_OK);
	open_by(s, &s->friend, ECHO, 5);
	assert_int_equal(services_deadline(s->v), NOW + SERVICE_ACCEPT_BY);
	services_tick(s->v, NOW + SERVICE_ACCEPT_BY);
	assert_int_equal(fake_close_code, SERVICE_BUSY);
	/* given up by the other side */
	struct node_stream *n = open_by(s, &s->friend, ECHO, 5);
	(void)tell(s, n, STREAM_RESET);
	assert_int_equal(services_count(s->v), 0);
	/* held, and then too late */
	open_by(s, &s->friend, ECHO, 5);
	r.is_hold = true;
	assert_int_equal(services_accept(s->v, NOW, USER, "echo", &r), OV_OK);
	struct service_stream *one = services_next(s->v);
	services_hold(s->v, NOW, one);
	assert_null(services_next(s->v));
	assert_null(services_held(s->v, 6, one->number)); /* not of this client */
	assert_ptr_equal(services_held(s->v, 5, one->number), one);
	services_tick(s->v, NOW + SERVICE_ACCEPT_BY);
	assert_int_equal(services_count(s->v), 0);
	/* held, and its holder goes; who waits for the name is told */
	open_by(s, &s->friend, ECHO, 5);
	assert_int_equal(services_accept(s->v, NOW, USER, "echo", &r), OV_OK);
	services_hold(s->v, NOW, services_next(s->v));
	struct service_request other = from(6);
	assert_int_equal(services_accept(s->v, NOW, USER, "echo", &other), OV_OK);
	assert_int_equal(services_waiting(s->v, 6), 1);
	services_client_gone(s->v, NOW, 5);
	assert_int_equal(fake_close_code, STREAM_REFUSED);
	assert_true(services_next_orphan(s->v, &other));
	assert_int_equal(other.client, 6);
	assert_false(services_next_orphan(s->v, &other));
	assert_int_equal(services_accept(s->v, NOW, USER, "echo", &r), OV_ENOENT);
}

/* A grant that goes while a stream is not open yet. */
static void test_a_grant_is_taken_away(void **state)
{
	struct scene *s = *state;
	struct service_request r = from(5);
	struct contact without = { .name = "friend", .source = CONTACT_ADDED, .id = s->friend };
	r.is_hold = true;
	assert_int_equal(services_listen(s->v, 5, USER, "echo"), OV_OK);
	open_by(s, &s->friend, ECHO, 5);
	open_by(s, &s->friend, ECHO, 5);
	assert_int_equal(services_accept(s->v, NOW, USER, "echo", &r), OV_OK);
	struct service_stream *held = services_next(s->v);
	services_hold(s->v, NOW, held);
	assert_ptr_equal(services_held(s->v, 5, held->number), held);
	assert_int_equal(node_contact_put(&s->node, NOW, &without, false), OV_OK);
	assert_null(services_held(s->v, 5, held->number));
	assert_int_equal(services_accept(s->v, NOW, USER, "echo", &r), OV_OK);
	assert_null(services_next(s->v));
	assert_int_equal(fake_stream_closed, 1);
	assert_int_equal(fake_close_code, SERVICE_NOT_ALLOWED);
}

static void test_who_may_listen_and_accept(void **state)
{
	struct scene *s = *state;
	struct service_request r = from(6);
	char name[8];
	assert_int_equal(services_listen(s->v, 5, USER, "echo"), OV_OK);
	assert_int_equal(services_listen(s->v, 5, USER, "echo"), OV_OK);
	assert_int_equal(services_listen(s->v, 6, USER, "echo"), OV_EEXIST);
	assert_int_equal(services_accept(s->v, NOW, USER + 1, "echo", &r), OV_EPERM);
	assert_int_equal(services_accept(s->v, NOW, USER, "other", &r), OV_ENOENT);
	for (int i = 1; i < SERVICES_PER_CLIENT; i++) {
		snprintf(name, sizeof(name), "s%d", i);
		assert_int_equal(services_listen(s->v, 5, USER, name), OV_OK);
	}
	assert_int_equal(services_listen(s->v, 5, USER, "more"), OV_EFULL);
	for (int i = 0; i < SERVICE_REQUESTS_MAX; i++) {
		assert_false(services_is_busy(s->v, 6));
		assert_int_equal(services_accept(s->v, NOW, USER, "echo", &r), OV_OK);
	}
	assert_true(services_is_busy(s->v, 6));
	assert_false(services_is_busy(s->v, 5));
	services_client_gone(s->v, NOW, 6);
	assert_int_equal(services_waiting(s->v, 6), 0);
	assert_null(services_next(s->v));
}

static struct service_stream *dial(struct scene *s, ov_time timeout, struct node_stream **out)
{
	struct service_stream *one = NULL;
	struct service_request r = from(5);
	struct service_target to = { .peer = &s->friend, .name = "echo", .timeout = timeout };
	assert_int_equal(services_dial(s->v, NOW, &to, &r, &one), OV_OK);
	*out = one->stream;
	assert_int_equal((*out)->out_len, 5);
	assert_memory_equal((*out)->out, ECHO, 5);
	assert_int_equal(services_deadline(s->v), NOW + timeout);
	assert_ptr_equal(services_dialed(s->v, 5, one->number), one);
	return one;
}

static void test_dial(void **state)
{
	struct scene *s = *state;
	struct node_stream *n;
	struct service_stream *one = dial(s, OV_SEC, &n);
	says(s, n, "\0hi", 3);
	assert_ptr_equal(services_next(s->v), one);
	assert_int_equal(one->state, SERVICE_ACCEPTED);
	services_open(s->v, one);
	assert_int_equal(n->out_len, 5); /* no second word */
	assert_int_equal(n->in_at, 1);   /* "hi" is the local end's */
	services_drop(s->v, NOW, one, STREAM_CANCELLED);

	one = dial(s, OV_SEC, &n); /* refused */
	n->reset_code = n->stop_code = SERVICE_NOT_ALLOWED;
	(void)tell(s, n, STREAM_RESET | STREAM_STOPPED);
	assert_int_equal(one->state, SERVICE_FAILED);
	assert_int_equal(one->failure, SERVICE_REFUSED);
	assert_int_equal(one->code, SERVICE_NOT_ALLOWED);
	services_drop(s->v, NOW, one, STREAM_CANCELLED);

	one = dial(s, OV_SEC, &n); /* accepted, and closed at once */
	n->in[n->in_len++] = 0;
	n->in_ended = true;
	(void)tell(s, n, STREAM_READABLE | STREAM_STOPPED);
	assert_int_equal(one->state, SERVICE_ACCEPTED);
	assert_true(one->was_stopped);
	services_drop(s->v, NOW, one, STREAM_CANCELLED);

	one = dial(s, OV_SEC, &n); /* its stop comes before its yes */
	(void)tell(s, n, STREAM_STOPPED);
	assert_int_equal(one->state, SERVICE_DIALING);
	says(s, n, "\0", 1);
	assert_int_equal(one->state, SERVICE_ACCEPTED);
	services_drop(s->v, NOW, one, STREAM_CANCELLED);

	one = dial(s, OV_SEC, &n); /* something else than yes */
	says(s, n, "\1", 1);
	assert_int_equal(one->failure, SERVICE_REFUSED);
	assert_int_equal(one->code, STREAM_VIOLATION);
	services_drop(s->v, NOW, one, STREAM_CANCELLED);

	one = dial(s, OV_SEC, &n); /* the end in place of an answer */
	n->in_ended = true;
	(void)tell(s, n, STREAM_READABLE);
	assert_int_equal(one->state, SERVICE_FAILED);
	services_drop(s->v, NOW, one, STREAM_CANCELLED);

	one = dial(s, 3 * OV_SEC, &n); /* nothing */
	services_tick(s->v, NOW + 3 * OV_SEC - 1);
	assert_null(services_next(s->v));
	services_tick(s->v, NOW + 3 * OV_SEC);
	assert_ptr_equal(services_next(s->v), one);
	assert_int_equal(one->failure, SERVICE_TIMED_OUT);
	services_drop(s->v, NOW, one, STREAM_CANCELLED);

	one = dial(s, OV_SEC, &n); /* nobody wants it any more */
	services_client_gone(s->v, NOW, 5);
	assert_ptr_equal(services_next(s->v), one);
	assert_int_equal(one->failure, SERVICE_LOCAL_GONE);
	services_drop(s->v, NOW, one, STREAM_CANCELLED);
	assert_int_equal(services_count(s->v), 0);
}

static void test_streams_are_bounded(void **state)
{
	struct scene *s = *state;
	struct service_request r = from(5);
	struct service_target to = { .peer = &s->friend, .name = "echo", .timeout = OV_SEC };
	struct service_stream *one;
	services_free(s->v, NOW);
	s->v = services_new(&s->node, &s->self, 2);
	for (int i = 0; i < 2; i++)
		assert_int_equal(services_dial(s->v, NOW, &to, &r, &one), OV_OK);
	assert_int_equal(services_dial(s->v, NOW, &to, &r, &one), OV_EFULL);
	open_by(s, &s->friend, ECHO, 5);
	assert_int_equal(fake_close_code, SERVICE_BUSY);
	open_by(s, &s->stranger, ECHO, 5); /* learns nothing of that */
	assert_int_equal(fake_close_code, SERVICE_NOT_ALLOWED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
		T(test_accept_before_and_after),
		T(test_a_name_comes_a_byte_at_a_time),
		T(test_refusals),
		T(test_waiting_has_an_end),
		T(test_a_grant_is_taken_away),
		T(test_who_may_listen_and_accept),
		T(test_dial),
		T(test_streams_are_bounded),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
