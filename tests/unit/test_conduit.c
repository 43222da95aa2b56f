/* Local ends on real sockets: what becomes of a descriptor. The stream goes to our own PeerId. Run
 * one: build/release/tests/unit/test_conduit */
#include "overlay/conduit_uv.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "tests/unit/node_wire.h"

#include <netinet/in.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

struct scene {
	struct wire *w;
	struct services *services;
	struct conduits *conduits;
	uv_loop_t loop;
	struct service_stream *stream; /* dialled */
};

static int setup(void **state)
{
	struct scene *s = calloc(1, sizeof(*s));
	const struct service_request r = { .client = 1 };
	s->w = wire_new(1);
	struct node *n = s->w->nodes[0].node;
	const struct peer_id *self = &s->w->nodes[0].id.id;
	const struct service_target to = { .peer = self, .name = "echo", .timeout = 30 * OV_SEC };
	s->services = services_new(n, self, 16);
	assert_int_equal(uv_loop_init(&s->loop), 0);
	const struct conduits_config c = { .node = n, .services = s->services };
	s->conduits = conduits_open(&s->loop, &c);
	assert_non_null(s->conduits);
	assert_int_equal(services_dial(s->services, s->w->now, &to, &r, &s->stream), OV_OK);
	*state = s;
	return 0;
}

static int teardown(void **state)
{
	struct scene *s = *state;
	conduits_close(s->conduits);
	uv_run(&s->loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&s->loop), 0);
	services_free(s->services, s->w->now);
	wire_free(s->w);
	free(s);
	return 0;
}

/* A TCP connection whose other end does not read, and whose buffers are full. */
static int full_tcp(int *listener, int *far)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	static const char bytes[65536];
	socklen_t len = sizeof(a);
	*listener = socket(AF_INET, SOCK_STREAM, 0);
	assert_int_equal(bind(*listener, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(listen(*listener, 1), 0);
	assert_int_equal(getsockname(*listener, (struct sockaddr *)&a, &len), 0);
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	*far = accept(*listener, NULL, NULL);
	assert_true(*far >= 0);
	while (send(fd, bytes, sizeof(bytes), MSG_DONTWAIT) > 0)
		;
	return fd;
}

/* Whoever passed it asks, after that, that a close waits until all is through. */
static void no_close_waits(void **state)
{
	struct scene *s = *state;
	int listener, far, fd = full_tcp(&listener, &far), copy = dup(fd);
	const struct linger waits = { .l_onoff = 1, .l_linger = 2 };
	struct timespec before, after;
	assert_int_equal(conduit_join(s->conduits, s->stream, fd), OV_OK);
	assert_int_equal(setsockopt(copy, SOL_SOCKET, SO_LINGER, &waits, sizeof(waits)), 0);
	close(copy);
	clock_gettime(CLOCK_MONOTONIC, &before);
	conduit_cut(s->stream);
	clock_gettime(CLOCK_MONOTONIC, &after);
	assert_in_range(after.tv_sec - before.tv_sec, 0, 1);
	assert_null(s->stream->local);
	close(far);
	close(listener);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(no_close_waits, setup, teardown),
	};
	return cmocka_run_group_tests_name("conduit", tests, NULL, NULL);
}
