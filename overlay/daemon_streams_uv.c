/* Wiring of streams: node -> services -> api (answers) and conduits (bytes). */
#include "overlay/daemon_state_uv.h"

#include "overlay/clock_os.h"

#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

static int on_join(void *context, struct service_stream *s, int descriptor)
{
	return conduit_join(((struct daemon *)context)->conduits, s, descriptor);
}

static int on_pair(void *context, struct service_stream *s, int *theirs)
{
	return conduit_pair(((struct daemon *)context)->conduits, s, theirs);
}

static bool on_say(void *context, struct service_stream *s, const char *text, size_t len)
{
	(void)context;
	return conduit_say(s, text, len);
}

static void on_start(void *context, struct service_stream *s)
{
	conduit_start(s);
	daemon_do_not_sleep(context);
}

static void on_count(
	void *context, const struct service_stream *s, uint64_t *sent, uint64_t *received)
{
	(void)context;
	conduit_count(s, sent, received);
}

static void on_cut(void *context, struct service_stream *s)
{
	(void)context;
	conduit_cut(s);
}

/* Of a client: a socket with SO_LINGER would hold us up until its bytes are through. */
static void on_close(void *context, int descriptor)
{
	const struct linger never = { .l_onoff = 0 };
	(void)context;
	(void)setsockopt(descriptor, SOL_SOCKET, SO_LINGER, &never, sizeof(never));
	close(descriptor);
}

const struct api_ends daemon_ends = {
	.join = on_join,
	.pair = on_pair,
	.say = on_say,
	.start = on_start,
	.cut = on_cut,
	.count = on_count,
	.close = on_close,
};

void daemon_becomes(void *context, uint64_t client, uint64_t stream, int descriptor,
	const struct bytes_queue *in, const struct bytes_queue *out)
{
	struct daemon *d = context;
	ov_time now = clock_now();
	struct service_stream *s = api_becomes(d->api, client, stream);
	if (!s || conduit_join(d->conduits, s, descriptor) != OV_OK) {
		close(descriptor); /* the stream ends with the client */
		return;
	}
	if (!conduit_heard(s, bytes_queue_first(in), in->len) ||
		!conduit_say(s, bytes_queue_first(out), out->len)) {
		conduit_cut(s);
		return;
	}
	api_became(d->api, now, s);
	daemon_do_not_sleep(d);
}

static void on_ended(void *context, const struct service_stream *s, uint64_t sent,
	uint64_t received, int64_t code)
{
	struct daemon *d = context;
	api_on_stream_closed(d->api, clock_now(), s, sent, received, code);
}

/* Each local end is a descriptor. */
static void raise_descriptors(struct daemon *d)
{
	struct rlimit r;
	if (getrlimit(RLIMIT_NOFILE, &r) != 0 || r.rlim_cur >= r.rlim_max)
		return;
	r.rlim_cur = r.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &r) != 0)
		log_warn(d->log, clock_now(), "daemon", "descriptors limit=%llu",
			(unsigned long long)r.rlim_cur);
}

bool daemon_open_streams(struct daemon *d)
{
	raise_descriptors(d);
	d->services = services_new(d->node, &d->self->id, d->cfg->max_streams);
	if (!d->services)
		return false;
	struct conduits_config c = {
		.node = d->node, .services = d->services, .context = d, .ended = on_ended
	};
	d->conduits = conduits_open(&d->loop, &c);
	return d->conduits != NULL;
}

static bool hand_on(struct daemon *d, ov_time now)
{
	struct node_stream_event e;
	bool any = false;
	api_on_streams(d->api, now); /* what requests have brought */
	while (node_stream_event(d->node, &e)) {
		struct service_stream *s = services_on_event(d->services, now, &e);
		if (s)
			conduit_on_event(s, &e);
		api_on_streams(d->api, now); /* before the next event of the same stream */
		any = true;
	}
	return any;
}

bool daemon_streams(struct daemon *d, ov_time now)
{
	bool any = hand_on(d, now);
	if (conduits_run(d->conduits, now))
		daemon_do_not_sleep(d);
	api_on_streams(d->api, now);
	return any;
}
