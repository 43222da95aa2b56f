/* overlay pipe: standard input and output as one stream. The connection to overlayd becomes the
 * stream (inline mode); what stdin says before the other side has accepted goes out at once.
 *
 * stdin and stdout may be shared with other programs, so they are never made non-blocking: poll
 * tells when a read cannot block, and a pipe that poll calls writable takes PIPE_BUF bytes. Signals
 * keep their default: overlayd sees the connection end. */
#include "overlay/local_end.h"
#include "tools/cmd.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

struct way { /* bytes on their way in one direction */
	char data[OVERLAY_LINE_MAX];
	size_t start, len;
	bool at_end; /* nothing more will be read */
	bool closed; /* and that was passed on */
};

struct piping {
	struct cli *cli;
	int fd;             /* of the connection */
	bool accepted;      /* it is the stream now */
	long long number;   /* of the stream */
	struct way out, in; /* from stdin, to stdout */
	int stdout_fd;
	size_t write_max; /* bytes that stdout takes without blocking once poll has said so */
	bool stdout_socket, hung_up;
	bool refused;             /* the other side takes no more, and there was more */
	struct overlay_error why; /* code empty: nothing went wrong */
};

static bool failed(struct piping *p, const char *what)
{
	snprintf(p->why.code, sizeof(p->why.code), "io");
	snprintf(p->why.text, sizeof(p->why.text), "%s", what);
	return false;
}

/* ---- one step in one direction; false: it is over, p->why ---- */

static bool read_stdin(struct piping *p)
{
	ssize_t n = read(STDIN_FILENO, p->out.data, sizeof(p->out.data));
	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return true;
	if (n < 0)
		return failed(p, "reading standard input failed");
	p->out.start = 0;
	p->out.len = (size_t)n;
	p->out.at_end = n == 0;
	return true;
}

/* What the other side still says shall be read all the same, the answer above all. */
static bool write_stream(struct piping *p)
{
	struct way *w = &p->out;
	ssize_t n = send(p->fd, w->data + w->start, w->len, MSG_NOSIGNAL | MSG_DONTWAIT);
	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return true;
	if (n < 0) {
		w->len = 0;
		w->at_end = w->closed = true;
		p->refused = p->accepted;
		return true;
	}
	w->start += (size_t)n;
	w->len -= (size_t)n;
	return true;
}

static bool read_stream(struct piping *p)
{
	ssize_t n = recv(p->fd, p->in.data, sizeof(p->in.data), MSG_DONTWAIT);
	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return true;
	if (n < 0)
		return failed(p, "the stream was cut");
	p->in.start = 0;
	p->in.len = (size_t)n;
	p->in.at_end = n == 0;
	return true;
}

static bool write_stdout(struct piping *p)
{
	struct way *w = &p->in;
	size_t len = w->len < p->write_max ? w->len : p->write_max;
	ssize_t n = p->stdout_socket ? send(p->stdout_fd, w->data + w->start, len,
					       MSG_NOSIGNAL | MSG_DONTWAIT)
				     : write(p->stdout_fd, w->data + w->start, len);
	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return true;
	if (n < 0)
		return failed(p, errno == EPIPE ? "nobody reads standard output any more"
						: "writing to standard output failed");
	w->start += (size_t)n;
	w->len -= (size_t)n;
	return true;
}

/* ---- ends ---- */

/* stdin has ended and all of it is out: the other side shall see that. */
static void finish_out(struct piping *p)
{
	if (!p->out.at_end || p->out.len > 0 || p->out.closed)
		return;
	p->out.closed = true;
	shutdown(p->fd, SHUT_WR);
}

/* The stream has ended and all of it is out: so does stdout. */
static void finish_in(struct piping *p)
{
	if (!p->in.at_end || p->in.len > 0 || p->in.closed)
		return;
	p->in.closed = true;
	if (p->stdout_socket)
		shutdown(STDOUT_FILENO, SHUT_WR);
	if (p->stdout_fd != STDOUT_FILENO)
		close(p->stdout_fd);
	int none = open("/dev/null", O_WRONLY | O_CLOEXEC);
	if (none >= 0) {
		dup2(none, STDOUT_FILENO); /* no later descriptor shall become stdout */
		close(none);
	}
}

/* Both directions have ended, or the other side is gone with nothing left to say. */
static bool is_over(const struct piping *p)
{
	return p->accepted && p->in.closed && (p->out.closed || p->hung_up);
}

/* ---- the loop ---- */

/* The answer to `dial`. False: it is an error, or none will come. */
static bool take_answer(struct piping *p)
{
	struct overlay_answer a;
	int rc = overlay_next_answer(p->cli->overlay, 0, &a, &p->why);
	if (rc <= 0)
		return rc == 0;
	if (!a.result) {
		p->why = a.why;
		return false;
	}
	json_t *r = json_loads(a.result, 0, NULL);
	p->number = (long long)field_number(r, "stream");
	json_decref(r);
	free(a.result);
	p->fd = overlay_take_inline(p->cli->overlay, p->in.data, &p->in.len);
	p->cli->overlay = NULL;
	p->accepted = true;
	return true;
}

static void choose(const struct piping *p, struct pollfd fds[3])
{
	bool reads = !p->out.at_end && p->out.len == 0;
	bool takes = !p->accepted || (!p->in.at_end && p->in.len == 0);
	fds[0] = (struct pollfd){ .fd = reads ? STDIN_FILENO : -1, .events = POLLIN };
	fds[1] = (struct pollfd){ .fd = p->fd };
	fds[1].events = (short)((takes ? POLLIN : 0) | (p->out.len > 0 ? POLLOUT : 0));
	fds[2] = (struct pollfd){ .fd = p->in.len > 0 ? p->stdout_fd : -1, .events = POLLOUT };
	if (!fds[1].events && p->hung_up)
		fds[1].fd = -1; /* else poll would say so without end */
}

static bool step(struct piping *p, const struct pollfd fds[3])
{
	bool ok = true;
	short stream = fds[1].revents;
	p->hung_up |= (stream & POLLHUP) != 0;
	if (fds[0].revents)
		ok = read_stdin(p);
	if (ok && p->out.len > 0)
		ok = write_stream(p);
	if (ok && !p->accepted && stream)
		ok = take_answer(p);
	else if (ok && p->accepted && p->in.len == 0 && !p->in.at_end && stream)
		ok = read_stream(p);
	if (ok && fds[2].revents)
		ok = write_stdout(p);
	finish_out(p);
	finish_in(p);
	return ok;
}

static void move(struct piping *p)
{
	struct pollfd fds[3];
	bool ok = true;
	while (ok && !is_over(p)) {
		choose(p, fds);
		if (poll(fds, 3, -1) < 0)
			continue; /* stopped and continued */
		ok = step(p, fds);
	}
}

/* ---- how it ended ---- */

static bool is_ours(const json_t *o, const struct piping *p)
{
	return json_is_integer(json_object_get(o, "stream")) &&
	       field_number(o, "stream") == (int64_t)p->number;
}

/* Waits until overlayd says that the stream has ended, and how. NULL: why. */
static json_t *await_closed(struct overlay *o, const struct piping *p, struct overlay_error *why)
{
	char *text;
	while (overlay_next_event(o, -1, &text, why) > 0) {
		json_t *event = json_loads(text, 0, NULL);
		free(text);
		if (is_ours(event, p))
			return event;
		json_decref(event);
	}
	return NULL;
}

/* The stream's last words, after what was sent has arrived. */
static json_t *ask(struct overlay *o, const struct piping *p, struct overlay_error *why)
{
	char args[64], *text;
	snprintf(args, sizeof(args), "{\"stream\":%lld}", p->number);
	if (overlay_subscribe(o, "{\"events\":[\"service.closed\"]}", why) != 0 ||
		overlay_call(o, "stream", args, &text, why) != 0)
		return NULL;
	json_t *answer = json_loads(text, 0, NULL);
	free(text);
	if (!field_true(answer, "open"))
		return answer;
	json_decref(answer);
	return await_closed(o, p, why);
}

/* On the connection a stream that was cut ends like any other, so does one whose overlayd has died.
 */
static void look_how_it_ended(struct piping *p)
{
	struct overlay *o = overlay_connect(p->cli->socket, &p->why);
	json_t *end = o ? ask(o, p, &p->why) : NULL;
	bool is_cut = json_is_integer(json_object_get(end, "code"));
	if (end && (is_cut || p->refused))
		failed(p, is_cut ? "the other side cut the stream"
				 : "the other side took no more of it");
	else if (!end)
		snprintf(p->why.text, sizeof(p->why.text), "overlayd ended during the stream");
	json_decref(end);
	overlay_close(o);
}

/* ---- the start ---- */

/* A closed descriptor 0 or 1 would become that of the connection. */
static bool look_at_stdio(struct piping *p)
{
	struct stat st;
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
		if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDWR) != fd)
			return false;
	if (fstat(STDOUT_FILENO, &st) != 0)
		return false;
	p->stdout_socket = S_ISSOCK(st.st_mode);
	p->stdout_fd = STDOUT_FILENO;
	p->write_max = sizeof(p->in.data);
	if (!S_ISFIFO(st.st_mode))
		return true;
	int own = open("/proc/self/fd/1", O_WRONLY | O_NONBLOCK | O_CLOEXEC);
	if (own >= 0)
		p->stdout_fd = own;
	else
		p->write_max = PIPE_BUF;
	return true;
}

static int connect_both(struct piping *p, double timeout_s)
{
	struct cli *cli = p->cli;
	json_t *args = json_pack("{s:s, s:s, s:b, s:I}", "peer", cli->argv[0], "service",
		cli->argv[1], "inline", 1, "timeout_ms", (json_int_t)(timeout_s * 1000));
	char *text = args ? json_dumps(args, JSON_COMPACT) : NULL;
	json_decref(args);
	int rc = cli_connect(cli);
	if (rc == EXIT_DONE &&
		overlay_request(cli->overlay, "dial", text ? text : "", -1, &p->why) < 0)
		rc = cli_report(cli, &p->why);
	free(text);
	if (rc != EXIT_DONE)
		return rc;
	p->fd = overlay_descriptor(cli->overlay);
	move(p);
	if (p->accepted)
		close(p->fd);
	if (!p->why.code[0])
		look_how_it_ended(p);
	return p->why.code[0] ? cli_report(cli, &p->why) : EXIT_DONE;
}

int cmd_pipe(struct cli *cli)
{
	double timeout_s = 30;
	struct sigaction ignore = { .sa_handler = SIG_IGN };
	if (!cli_number(cli, 0, 0.1, 600, &timeout_s))
		return EXIT_USAGE;
	if (!grant_service_ok(cli->argv[1], strlen(cli->argv[1])))
		return cli_fail(cli, EXIT_USAGE, "overlay pipe laptop ssh",
			"\"%.80s\" cannot be the name of a service", cli->argv[1]);
	struct piping *p = calloc(1, sizeof(*p));
	if (!p)
		return cli_fail(cli, EXIT_FAILED, "", "out of memory");
	p->cli = cli;
	sigaction(SIGPIPE, &ignore, NULL);
	int rc = look_at_stdio(p)
			 ? connect_both(p, timeout_s)
			 : cli_fail(cli, EXIT_FAILED, "", "standard output cannot be used");
	free(p);
	return rc;
}
