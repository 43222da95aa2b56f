/* overlay-portmap - child of overlayd that speaks NAT-PMP and UPnP with a router: requests on
 * stdin, answers on stdout, one after the other (discovery/portmap_pipe.h). It exists because
 * libminiupnpc and libnatpmp block, and because parsers of this kind have had remote code
 * execution: it has no keys, no files, and not the right to start anything.
 *
 * It has no clock of its own but the alarm: a router that answers without end costs JOB_LIMIT_S,
 * then this process; overlayd starts another one. It ends when stdin does, after what was still to
 * be done there: releasing a port takes longer than overlayd wants to live. A signal for the whole
 * group (Ctrl-C, a service manager) therefore must not end it. */
#include "tools/portmap.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define JOB_LIMIT_S 12 /* search 2 s, then a handful of HTTP requests to a neighbour */

static bool read_all(int fd, uint8_t *buf, size_t len)
{
	for (size_t have = 0; have < len;) {
		ssize_t n = read(fd, buf + have, len - have);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		have += (size_t)n;
	}
	return true;
}

static void work(const struct portmap_request *r, struct portmap_answer *a)
{
	*a = (struct portmap_answer){ .id = r->id, .result = PORTMAP_FAILED };
	alarm(JOB_LIMIT_S);
	if (r->op == PORTMAP_OP_NATPMP)
		portmap_natpmp(r, a);
	else
		portmap_upnp(r, a);
	alarm(0);
}

/* overlayd has gone meanwhile: nobody would renew or release what was just made. */
static void undo(struct portmap_request *r, const struct portmap_answer *made)
{
	struct portmap_answer ignored;
	if (made->result != PORTMAP_DONE)
		return;
	r->external_port = made->external.port;
	r->pinhole = made->pinhole;
	r->lifetime_s = 0;
	work(r, &ignored);
}

static int serve(int in, int out)
{
	uint8_t request[PORTMAP_REQUEST_LEN], answer[PORTMAP_ANSWER_LEN];
	while (read_all(in, request, sizeof(request))) {
		struct portmap_request r;
		struct portmap_answer a;
		if (portmap_request_decode(&r, request) != DROP_NONE)
			return EXIT_FAILURE;
		work(&r, &a);
		if (r.lifetime_s == 0)
			continue;
		portmap_answer_encode(answer, &a);
		if (write(out, answer, sizeof(answer)) != (ssize_t)sizeof(answer))
			undo(&r, &a);
	}
	return EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
	(void)argv;
	if (argc > 1 || isatty(STDIN_FILENO)) {
		fprintf(stderr,
			"overlay-portmap is started by overlayd, which speaks to it through a pipe\n");
		return 2;
	}
	static const int ignored[] = { SIGINT, SIGTERM, SIGHUP, SIGPIPE };
	for (size_t i = 0; i < sizeof(ignored) / sizeof(ignored[0]); i++)
		signal(ignored[i], SIG_IGN);
	/* what the libraries print must not become an answer */
	int out = dup3(STDOUT_FILENO, PORTMAP_OUT_FD, O_CLOEXEC), null = open("/dev/null", O_RDWR);
	if (out < 0 || null < 0 || dup2(null, STDOUT_FILENO) < 0)
		return EXIT_FAILURE;
	portmap_confine();
	return serve(STDIN_FILENO, out);
}
