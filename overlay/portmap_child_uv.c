/* The child is found beside our own program, as in a build, or in ../libexec/overlay, as installed;
 * never by PATH: a daemon with privileges starts only what came with it.
 *
 * It is trusted with nothing. What it says is decoded like a datagram, and a byte that does not
 * decode ends it. When it ends, whatever was asked of it has failed; it is started again after
 * RESTART_FIRST, doubling, so that a router whose answers kill it costs a process now and then. */
#include "overlay/portmap_child_uv.h"

#include "overlay/clock_os.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RESTART_FIRST_MS 1000
#define RESTART_MOST_MS  (300 * 1000)
#define SILENCE_MOST_MS  15000 /* it ends itself when a request takes 12 s */

struct portmap_child {
	struct portmap_child_options options;
	uv_loop_t *loop;
	uv_timer_t restart, silence;
	int open_timers;
	unsigned owed;           /* answers */
	struct process *process; /* NULL: none runs */
	uint64_t backoff_ms;
	bool missing, closing;
};

struct process { /* one life of the child; outlives its owner until libuv has let go of it */
	uv_process_t handle;
	uv_pipe_t in, out;           /* its stdin, its stdout */
	struct portmap_child *owner; /* NULL: nobody listens any more */
	int open_handles;
	uint8_t answer[PORTMAP_ANSWER_LEN];
	size_t have;
};

/* ---- one process ---- */

static void on_closed(uv_handle_t *h)
{
	struct process *p = h->data;
	if (--p->open_handles == 0)
		free(p);
}

/* has_ended: false leaves the handle of the process until on_end, which libuv needs to reap it. */
static void let_go(struct process *p, bool has_ended)
{
	p->owner = NULL;
	if (has_ended)
		uv_close((uv_handle_t *)&p->handle, on_closed);
	uv_close((uv_handle_t *)&p->in, on_closed);
	uv_close((uv_handle_t *)&p->out, on_closed);
}

static void start(struct portmap_child *c);

static void on_restart(uv_timer_t *t)
{
	start(t->data);
}

/* It has ended, or is killed: tells whoever waits, and starts another one later. */
static void lose(struct portmap_child *c, const char *why, long long status, bool has_ended)
{
	struct process *p = c->process;
	if (!has_ended)
		uv_process_kill(&p->handle, SIGKILL);
	c->process = NULL;
	c->owed = 0;
	uv_timer_stop(&c->silence);
	let_go(p, has_ended);
	c->backoff_ms = c->backoff_ms ? c->backoff_ms * 2 : RESTART_FIRST_MS;
	if (c->backoff_ms > RESTART_MOST_MS)
		c->backoff_ms = RESTART_MOST_MS;
	log_warn(c->options.log, clock_now(), "portmap",
		"helper_ended why=%s status=%lld again_ms=%llu", why, status,
		(unsigned long long)c->backoff_ms);
	uv_timer_start(&c->restart, on_restart, c->backoff_ms, 0);
	c->options.on_answer(c->options.context, NULL);
}

static void on_silence(uv_timer_t *t)
{
	lose(t->data, "silent", 0, false);
}

/* One request is being worked on while an answer is owed, and each takes its own time. */
static void watch_silence(struct portmap_child *c)
{
	if (c->owed)
		uv_timer_start(&c->silence, on_silence, SILENCE_MOST_MS, 0);
	else
		uv_timer_stop(&c->silence);
}

static void on_end(uv_process_t *h, int64_t status, int signal)
{
	struct process *p = h->data;
	if (p->owner)
		lose(p->owner, signal ? "signal" : "exit", signal ? signal : status, true);
	else
		uv_close((uv_handle_t *)h, on_closed);
}

static void on_alloc(uv_handle_t *h, size_t suggested, uv_buf_t *buf)
{
	struct process *p = h->data;
	(void)suggested;
	*buf = uv_buf_init((char *)p->answer + p->have, (unsigned)(sizeof(p->answer) - p->have));
}

static void on_read(uv_stream_t *h, ssize_t n, const uv_buf_t *buf)
{
	struct process *p = h->data;
	struct portmap_answer a;
	(void)buf;
	if (!p->owner || n < 0) { /* its end comes through on_end */
		uv_read_stop(h);
		return;
	}
	p->have += (size_t)n;
	if (p->have < sizeof(p->answer))
		return;
	p->have = 0;
	struct portmap_child *c = p->owner;
	if (c->owed == 0 || portmap_answer_decode(&a, p->answer) != DROP_NONE) {
		lose(c, "nonsense", 0, false);
		return;
	}
	c->backoff_ms = 0;
	c->owed--;
	watch_silence(c);
	c->options.on_answer(c->options.context, &a);
}

/* ---- starting ---- */

static bool find_program(char *out, size_t size)
{
	static const char *const places[] = { "overlay-portmap",
		"../libexec/overlay/overlay-portmap" };
	char own[1024];
	size_t len = sizeof(own);
	uv_fs_t access;
	if (uv_exepath(own, &len) != 0)
		return false;
	char *slash = strrchr(own, '/');
	if (!slash)
		return false;
	slash[1] = '\0';
	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		int n = snprintf(out, size, "%s%s", own, places[i]);
		if (n < 0 || (size_t)n >= size)
			continue;
		int rc = uv_fs_access(NULL, &access, out, 1 /* X_OK */, NULL);
		uv_fs_req_cleanup(&access);
		if (rc == 0)
			return true;
	}
	snprintf(out, size, "overlay-portmap");
	return false;
}

static int spawn(struct portmap_child *c, struct process *p, char *program)
{
	char *args[] = { program, NULL }, *env[] = { NULL };
	uv_stdio_container_t stdio[3] = {
		{ .flags = UV_CREATE_PIPE | UV_READABLE_PIPE,
			.data.stream = (uv_stream_t *)&p->in },
		{ .flags = UV_CREATE_PIPE | UV_WRITABLE_PIPE,
			.data.stream = (uv_stream_t *)&p->out },
		{ .flags = UV_IGNORE },
	};
	uv_process_options_t o = { .exit_cb = on_end,
		.file = program,
		.args = args,
		.env = env,
		.cwd = "/",
		.stdio = stdio,
		.stdio_count = 3 };
	uv_pipe_init(c->loop, &p->in, 0);
	uv_pipe_init(c->loop, &p->out, 0);
	p->handle.data = p->in.data = p->out.data = p;
	p->open_handles = 3;
	p->owner = c;
	int rc = uv_spawn(c->loop, &p->handle, &o);
	if (rc == 0)
		rc = uv_read_start((uv_stream_t *)&p->out, on_alloc, on_read);
	return rc;
}

static void say_missing(struct portmap_child *c, const char *program, const char *why)
{
	if (!c->missing)
		log_warn(c->options.log, clock_now(), "portmap",
			"helper_missing file=%s why=%s effect=%s", program, why,
			"no NAT-PMP and no UPnP; all else works");
	c->missing = true;
}

static void start(struct portmap_child *c)
{
	char program[1100];
	if (c->closing || c->process)
		return;
	if (!find_program(program, sizeof(program))) {
		say_missing(c, program, "neither beside overlayd nor in ../libexec/overlay");
		return;
	}
	struct process *p = calloc(1, sizeof(*p));
	if (!p)
		return;
	int rc = spawn(c, p, program);
	if (rc != 0) {
		let_go(p, true);
		say_missing(c, program, uv_strerror(rc));
		return;
	}
	c->missing = false;
	c->process = p;
	log_debug(c->options.log, clock_now(), "portmap", "helper_started pid=%d", p->handle.pid);
}

/* ---- the owner's side ---- */

struct portmap_child *portmap_child_new(uv_loop_t *loop, const struct portmap_child_options *o)
{
	struct portmap_child *c = calloc(1, sizeof(*c));
	if (!c)
		return NULL;
	c->options = *o;
	c->loop = loop;
	uv_timer_init(loop, &c->restart);
	uv_timer_init(loop, &c->silence);
	c->restart.data = c->silence.data = c;
	c->open_timers = 2;
	return c;
}

bool portmap_child_ask(struct portmap_child *c, const struct portmap_request *r)
{
	uint8_t bytes[PORTMAP_REQUEST_LEN];
	uv_buf_t buf = uv_buf_init((char *)bytes, sizeof(bytes));
	if (!c->process && !uv_is_active((uv_handle_t *)&c->restart))
		start(c);
	if (!c->process)
		return false;
	portmap_request_encode(bytes, r);
	/* a pipe that does not even take this belongs to a child that reads no more */
	if (uv_try_write((uv_stream_t *)&c->process->in, &buf, 1) != (int)sizeof(bytes))
		return false;
	if (r->lifetime_s && c->owed++ == 0)
		watch_silence(c); /* else the clock of the one before it runs */
	return true;
}

static void on_timer_closed(uv_handle_t *h)
{
	struct portmap_child *c = h->data;
	if (--c->open_timers == 0)
		free(c);
}

void portmap_child_close(struct portmap_child *c)
{
	if (!c)
		return;
	c->closing = true;
	if (c->process)
		let_go(c->process, true); /* end of its stdin: it ends itself */
	uv_close((uv_handle_t *)&c->restart, on_timer_closed);
	uv_close((uv_handle_t *)&c->silence, on_timer_closed);
}
