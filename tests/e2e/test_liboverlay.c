/* liboverlay against an overlayd that says what the case wants: which descriptor belongs to which
 * line, answers in any order, calls that were given up, and the connection as stream. */
#include "overlay/overlay.h"

/* cmocka needs these before it */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>
/* clang-format on */

#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static char folder[64], path[96];
static struct overlay *o;
static struct overlay_error why;
static int server; /* overlayd's end */

/* ---- the other side ---- */

static void say(const char *text, int fd)
{
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control = { .bytes = { 0 } };
	char copy[4096];
	snprintf(copy, sizeof(copy), "%s", text);
	struct iovec piece = { .iov_base = copy, .iov_len = strlen(copy) };
	struct msghdr m = { .msg_iov = &piece, .msg_iovlen = 1 };
	if (fd >= 0) {
		m.msg_control = control.bytes;
		m.msg_controllen = sizeof(control.bytes);
		struct cmsghdr *c = CMSG_FIRSTHDR(&m);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(c), &fd, sizeof(int));
	}
	assert_int_equal(sendmsg(server, &m, 0), (ssize_t)strlen(copy));
}

/* One end goes with the line; the other, by which a test knows it again, is returned. */
static int say_with_end(const char *text)
{
	int ends[2];
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
	say(text, ends[0]);
	close(ends[0]);
	return ends[1];
}

/* What the client has sent; *fd: the descriptor that came with it, or -1. */
static const char *heard(int *fd)
{
	static char text[4096];
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control;
	struct iovec room = { .iov_base = text, .iov_len = sizeof(text) - 1 };
	struct msghdr m = { .msg_iov = &room,
		.msg_iovlen = 1,
		.msg_control = control.bytes,
		.msg_controllen = sizeof(control.bytes) };
	ssize_t n = recvmsg(server, &m, MSG_DONTWAIT);
	text[n > 0 ? n : 0] = '\0';
	const struct cmsghdr *c = n > 0 ? CMSG_FIRSTHDR(&m) : NULL;
	*fd = -1;
	if (c)
		memcpy(fd, CMSG_DATA(c), sizeof(int));
	return text;
}

static void *greet(void *listener)
{
	char line[512];
	server = accept(*(int *)listener, NULL, NULL);
	if (server < 0 || read(server, line, sizeof(line)) <= 0)
		return NULL;
	static const char hello[] = "{\"id\":1,\"ok\":true,\"result\":{\"api\":1}}\n";
	return write(server, hello, sizeof(hello) - 1) > 0 ? listener : NULL;
}

static int connect_them(void **state)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	pthread_t thread;
	void *greeted;
	(void)state;
	snprintf(folder, sizeof(folder), "/tmp/liboverlay-XXXXXX");
	if (!mkdtemp(folder))
		return -1;
	snprintf(path, sizeof(path), "%s/sock", folder);
	memcpy(a.sun_path, path, sizeof(path));
	int listener = socket(AF_UNIX, SOCK_STREAM, 0);
	if (bind(listener, (struct sockaddr *)&a, sizeof(a)) != 0 || listen(listener, 1) != 0 ||
		pthread_create(&thread, NULL, greet, &listener) != 0)
		return -1;
	o = overlay_connect(path, &why);
	pthread_join(thread, &greeted);
	close(listener);
	return o && greeted ? 0 : -1;
}

static int part(void **state)
{
	(void)state;
	overlay_close(o); /* NULL is fine */
	o = NULL;
	close(server);
	unlink(path);
	return rmdir(folder);
}

/* fd is the other end of `far`. */
static void is_pair(int fd, int far)
{
	char byte = 0;
	assert_true(fd >= 0);
	assert_int_equal(write(fd, "x", 1), 1);
	assert_int_equal(recv(far, &byte, 1, MSG_DONTWAIT), 1);
	assert_int_equal(byte, 'x');
	close(fd);
	close(far);
}

/* Nobody has the other end of `far` any more. */
static void is_closed(int far)
{
	char byte;
	assert_int_equal(recv(far, &byte, 1, MSG_DONTWAIT), 0);
	close(far);
}

#define STREAM(n) \
	"\"result\":{\"peer\":\"p\",\"name\":\"laptop\",\"service\":\"echo\",\"stream\":" #n "}}\n"
#define ANSWER(id, n) "{\"id\":" #id ",\"ok\":true," STREAM(n)
#define ERROR(id)      \
	"{\"id\":" #id \
	",\"ok\":false,\"error\":{\"code\":\"not-allowed\",\"text\":\"t\",\"hint\":\"h\"}}\n"
#define EVENT "{\"event\":\"peer.up\",\"seq\":1}\n"

/* ---- cases ---- */

static void dial(void **state)
{
	(void)state;
	struct overlay_stream got;
	int fd, far = say_with_end(ANSWER(2, 7));
	is_pair(overlay_dial(o, "laptop", "echo", &got, &why), far);
	assert_string_equal(heard(&fd), "{\"id\":2,\"op\":\"dial\",\"args\":{\"peer\":\"laptop\","
					"\"service\":\"echo\",\"timeout_ms\":30000}}\n");
	assert_string_equal(got.peer, "p");
	assert_string_equal(got.name, "laptop");
	assert_string_equal(got.service, "echo");
	assert_true(got.number == 7 && fd == -1);
	say(ERROR(3), -1);
	assert_int_equal(overlay_dial(o, "laptop", "echo", NULL, &why), -1);
	assert_string_equal(why.code, "not-allowed");
	assert_string_equal(why.hint, "h");
	say(ANSWER(4, 8), -1); /* the descriptor is missing: this process has too many */
	assert_int_equal(overlay_dial(o, "laptop", "echo", NULL, &why), -1);
	assert_string_equal(why.code, "io");
	assert_int_equal(overlay_dial(o, "\xff", "echo", NULL, &why), -1);
	assert_string_equal(why.code, "bad-argument");
}

/* A descriptor of ours goes with the line it belongs to, and stays ours. */
static void give(void **state)
{
	(void)state;
	int ends[2], fd;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
	say(ANSWER(2, 1), -1);
	assert_int_equal(overlay_dial_with(o, "laptop", "echo", ends[0], NULL, &why), 0);
	assert_non_null(strstr(heard(&fd), "\"op\":\"dial\""));
	is_pair(fd, dup(ends[1]));
	say("{\"id\":3,\"ok\":true,\"result\":{}}\n{\"id\":4,\"ok\":true,\"result\":{}}\n", -1);
	assert_int_equal(overlay_attach(o, 8, ends[0], &why), 0);
	assert_int_equal(overlay_refuse(o, 9, &why), 0);
	heard(&fd);
	is_pair(fd, ends[1]);
	assert_non_null(strstr(heard(&fd), "{\"id\":4,\"op\":\"refuse\",\"args\":{\"stream\":9}}"));
	close(ends[0]);
}

/* All of it waits to be read when the first call looks: the kernel hands it out in other pieces
 * than it was sent. */
static void each_to_its_line(void **state)
{
	(void)state;
	struct overlay_answer a;
	char *event;
	int far[4];
	for (int i = 0; i < 5; i++)
		assert_int_equal(overlay_request(o, "dial", NULL, -1, &why), 2 + i);
	say(EVENT, -1);
	far[0] = say_with_end(ANSWER(4, 1));
	say(ERROR(2), -1);
	say(EVENT ANSWER(3, 2), -1);
	far[1] = say_with_end(ANSWER(6, 3));
	far[2] = say_with_end(ANSWER(99, 4)); /* nobody asked */
	far[3] = say_with_end(ANSWER(5, 5));
	for (int i = 0; i < 5; i++) {
		assert_int_equal(overlay_next_answer(o, 0, &a, &why), 1);
		if (a.id == 4 || a.id == 6 || a.id == 5)
			is_pair(a.fd, far[a.id == 4 ? 0 : a.id == 6 ? 1 : 3]);
		else
			assert_int_equal(a.fd, -1);
		assert_true((a.result == NULL) == (a.id == 2));
		free(a.result);
	}
	assert_int_equal(overlay_next_answer(o, 0, &a, &why), 0);
	is_closed(far[2]);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(overlay_next_event(o, 0, &event, &why), 1);
		free(event);
	}
	assert_int_equal(overlay_next_event(o, 0, &event, &why), 0);
}

/* A line that comes in two pieces, the descriptor with the first. */
static void half_a_line(void **state)
{
	(void)state;
	struct overlay_answer a;
	const char *line = ANSWER(2, 1);
	char first[20];
	snprintf(first, sizeof(first), "%.19s", line);
	overlay_request(o, "dial", NULL, -1, &why);
	int far = say_with_end(first);
	assert_int_equal(overlay_next_answer(o, 0, &a, &why), 0);
	say(line + strlen(first), -1);
	assert_int_equal(overlay_next_answer(o, 0, &a, &why), 1);
	is_pair(a.fd, far);
	free(a.result);
}

/* A stream that comes after its accept was given up is not lost, even if it comes during another
 * call; that of a dial which was given up is closed. */
static void given_up(void **state)
{
	(void)state;
	struct overlay_stream got;
	int fd;
	overlay_set_timeout(o, 1);
	assert_int_equal(overlay_accept(o, "echo", &got, &why), -1);
	assert_string_equal(why.code, "timeout");
	assert_int_equal(overlay_accept(o, "echo", &got, &why), -1);
	assert_int_equal(overlay_accept_held(o, "echo", &got, &why), -1);
	assert_int_equal(overlay_dial(o, "laptop", "echo", NULL, &why), -1);
	assert_string_equal(heard(&fd),
		"{\"id\":2,\"op\":\"accept\",\"args\":{\"service\":\"echo\"}}\n"
		"{\"id\":3,\"op\":\"accept\",\"args\":{\"service\":\"echo\",\"hold\":true}}\n"
		"{\"id\":4,\"op\":\"dial\",\"args\":{\"peer\":\"laptop\",\"service\":\"echo\","
		"\"timeout_ms\":1}}\n");
	int far = say_with_end(ANSWER(2, 5)), late = say_with_end(ANSWER(4, 6));
	say(ANSWER(3, 7), -1);
	say("{\"id\":5,\"ok\":true,\"result\":{}}\n", -1);
	overlay_set_timeout(o, 1000);
	assert_int_equal(overlay_call(o, "id", NULL, NULL, &why), 0);
	is_pair(overlay_accept(o, "echo", &got, &why), far);
	assert_true(got.number == 5);
	assert_int_equal(overlay_accept_held(o, "echo", &got, &why), 0);
	assert_true(got.number == 7);
	is_closed(late);
	overlay_set_timeout(o, 1);
	assert_int_equal(overlay_accept(o, "echo", &got, &why), -1); /* asked for anew */
	assert_non_null(strstr(heard(&fd), "{\"id\":6,\"op\":\"accept\""));
}

/* The connection becomes the stream; what came behind the answer is its beginning. */
static void becomes_the_stream(void **state)
{
	(void)state;
	static char first[OVERLAY_LINE_MAX];
	struct overlay_answer a;
	char text[8] = "";
	size_t len;
	overlay_request(o, "dial", "{\"inline\":true}", -1, &why);
	say(ANSWER(2, 1) "first\nbytes", -1);
	assert_int_equal(overlay_next_answer(o, 1000, &a, &why), 1);
	free(a.result);
	int fd = overlay_take_inline(o, first, &len);
	o = NULL;
	assert_int_equal(len, 11);
	assert_memory_equal(first, "first\nbytes", 11);
	say("more", -1);
	assert_int_equal(read(fd, text, sizeof(text)), 4);
	close(fd);
}

/* Descriptors that nobody took go with the connection. */
static void closed_with_it(void **state)
{
	(void)state;
	struct overlay_answer a;
	overlay_request(o, "dial", NULL, -1, &why);
	overlay_request(o, "dial", NULL, -1, &why);
	int kept = say_with_end(ANSWER(3, 1)), half = say_with_end("{\"id\":2,");
	overlay_set_timeout(o, 1);
	assert_int_equal(overlay_call(o, "id", NULL, NULL, &why), -1);
	assert_int_equal(overlay_next_answer(o, 0, &a, &why), 1);
	assert_int_equal(a.id, 3);
	close(a.fd);
	free(a.result);
	overlay_close(o);
	o = NULL;
	is_closed(kept);
	is_closed(half);
}

/* Also one whose line was the last that was read before an event was handed out. */
static void not_forgotten_behind_an_event(void **state)
{
	(void)state;
	struct overlay_answer a;
	char *event;
	say(EVENT, -1);
	int nobodys = say_with_end(ANSWER(99, 1));
	assert_int_equal(overlay_next_answer(o, 0, &a, &why), 0);
	assert_int_equal(overlay_next_event(o, 0, &event, &why), 1);
	free(event);
	overlay_close(o);
	o = NULL;
	is_closed(nobodys);
}

static void overlayd_ends(void **state)
{
	(void)state;
	struct overlay_answer a;
	overlay_request(o, "dial", NULL, -1, &why);
	shutdown(server, SHUT_RDWR);
	assert_int_equal(overlay_next_answer(o, 1000, &a, &why), -1);
	assert_string_equal(why.code, "no-daemon");
	assert_int_equal(overlay_dial(o, "laptop", "echo", NULL, &why), -1);
	assert_string_equal(why.code, "no-daemon");
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, connect_them, part)
	const struct CMUnitTest tests[] = { CASE(dial), CASE(give), CASE(each_to_its_line),
		CASE(half_a_line), CASE(given_up), CASE(becomes_the_stream), CASE(closed_with_it),
		CASE(not_forgotten_behind_an_event), CASE(overlayd_ends) };
#undef CASE
	return cmocka_run_group_tests_name("liboverlay", tests, NULL, NULL);
}
