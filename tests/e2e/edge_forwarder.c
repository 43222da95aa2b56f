/* edge_forwarder - the daemon's data path without node and crypto: TUN -> split -> UDP runs and
 * back. It shows what the edge alone can carry (compare ../shared prototypes) and lets tests send
 * real kernel traffic through it. Wire: one flag byte (partial), 31 bytes of filling, so that sizes
 * are those of the protocol.
 *
 * usage: edge_forwarder TUN LOCAL_PORT REMOTE OPTIONS...   (plain-tun, plain-udp, portable,
 * queue=N) Prints its counters at SIGTERM. */
#include "overlay/clock_os.h"
#include "overlay/tun_os.h"
#include "overlay/udp_uv.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#define OVERHEAD 32
#define PACKETS  128
#define RUNS     64
#define ARENA    (1u << 20)

struct forwarder {
	uv_loop_t *loop;
	struct tun *tun;
	struct udp *udp;
	struct coalesce *coalesce;
	struct ov_addr remote;
	uv_poll_t tun_poll;
	uv_check_t pump;
	uv_idle_t again;
	uv_signal_t stop;
	bool tun_ready;
	uint8_t *arena;
	size_t used, run_count;
	struct dgram runs[RUNS];
};

static struct forwarder f;

static void send_runs(void)
{
	udp_send(f.udp, f.runs, f.run_count);
	f.run_count = f.used = 0;
	struct dgram failed;
	bool too_big;
	while (udp_next_failure(f.udp, &failed, &too_big))
		fprintf(stderr, "send failed: len=%zu too_big=%d\n", failed.len, too_big);
}

/* Appends one datagram, to the last run if it fits (equal sizes, only the last shorter). */
static void append(const uint8_t *packet, size_t len, bool partial)
{
	size_t total = len + OVERHEAD;
	if (f.used + total > ARENA)
		send_runs();
	struct dgram *d = f.run_count ? &f.runs[f.run_count - 1] : NULL;
	bool joins = d && total <= d->segment && d->len % d->segment == 0 &&
		     d->len / d->segment < UDP_RUN_SEGMENTS && d->len + total <= UDP_RUN_BYTES;
	if (!joins && f.run_count == RUNS)
		send_runs();
	uint8_t *at = f.arena + f.used;
	memset(at, 0, OVERHEAD);
	at[0] = partial;
	memcpy(at + OVERHEAD, packet, len);
	if (joins)
		d->len += total;
	else
		f.runs[f.run_count++] = (struct dgram){
			.data = at, .len = total, .segment = (uint16_t)total, .remote = f.remote
		};
	f.used += total;
}

static void submit(const struct ip_packet *p)
{
	struct split s;
	uint8_t *segment;
	size_t len;
	bool partial;
	if (!split_init(&s, p))
		return;
	while (split_next(&s, &segment, &len, &partial))
		append(segment, len, partial);
}

static void drain(void)
{
	for (const struct super_packet *s; (s = coalesce_take(f.coalesce));)
		tun_write(f.tun, s);
}

static void deliver(const struct dgram *d)
{
	for (size_t at = 0; at < d->len; at += d->segment) {
		size_t left = d->len - at, len = left < d->segment ? left : d->segment;
		if (len <= OVERHEAD)
			continue;
		struct ip_packet p = { .data = d->data + at + OVERHEAD, .len = len - OVERHEAD };
		if (d->data[at] && !checksum_begin(&p))
			continue;
		coalesce_add(f.coalesce, &p);
		drain();
	}
}

static void on_idle(uv_idle_t *handle)
{
	(void)handle;
}

static void on_pump(uv_check_t *handle)
{
	static struct dgram in[UDP_BATCH];
	static struct ip_packet packets[PACKETS];
	(void)handle;
	bool more = false;
	size_t n = udp_receive(f.udp, in, UDP_BATCH);
	for (size_t i = 0; i < n; i++)
		deliver(&in[i]);
	coalesce_flush(f.coalesce);
	drain();
	if (f.tun_ready && !udp_blocked(f.udp)) {
		n = tun_read(f.tun, packets, PACKETS, &more);
		for (size_t i = 0; i < n; i++)
			submit(&packets[i]);
		send_runs();
		f.tun_ready = more;
	}
	if (more)
		uv_idle_start(&f.again, on_idle);
	else
		uv_idle_stop(&f.again);
}

static void on_readable(void *context)
{
	(void)context; /* the pump asks each turn */
}

static void on_tun(uv_poll_t *handle, int status, int events)
{
	(void)handle;
	(void)status;
	(void)events;
	f.tun_ready = true;
}

static void on_stop(uv_signal_t *handle, int number)
{
	(void)handle;
	(void)number;
	struct rusage r;
	getrusage(RUSAGE_SELF, &r);
	const struct udp_status *u = udp_status(f.udp);
	const struct tun_status *t = tun_status(f.tun);
	fprintf(stderr,
		"vnet=%d uso=%d backend=%s tun_reads=%llu tun_writes=%llu tun_refused=%llu in=%llu "
		"out=%llu lost=%llu overflowed=%llu failed=%llu cpu_s=%.2f rss_kb=%ld\n",
		t->vnet, t->uso, u->backend, (unsigned long long)t->reads,
		(unsigned long long)t->writes, (unsigned long long)t->refused,
		(unsigned long long)u->calls_in, (unsigned long long)u->calls_out,
		(unsigned long long)u->lost, (unsigned long long)u->overflowed,
		(unsigned long long)u->failed,
		(double)(r.ru_utime.tv_sec + r.ru_stime.tv_sec) +
			(double)(r.ru_utime.tv_usec + r.ru_stime.tv_usec) / 1e6,
		r.ru_maxrss);
	exit(0);
}

int main(int argc, char **argv)
{
	struct tun_options to = tun_options_default();
	struct udp_options uo = { .on_readable = on_readable };
	char why[200];
	if (argc < 4 || addr_parse(argv[3], 0, &f.remote) != OV_OK) {
		fprintf(stderr, "usage: edge_forwarder TUN LOCAL_PORT REMOTE OPTIONS...\n");
		return 2;
	}
	to.name = argv[1];
	uo.port = (uint16_t)atoi(argv[2]);
	to.address[0] = 0xfd; /* fd77::PORT */
	to.address[1] = 0x77;
	to.address[15] = (uint8_t)uo.port;
	for (int i = 4; i < argc; i++) {
		if (!strcmp(argv[i], "plain-tun"))
			to.plain = true;
		else if (!strcmp(argv[i], "plain-udp"))
			uo.backend = UDP_PLAIN;
		else if (!strcmp(argv[i], "portable"))
			uo.backend = UDP_PORTABLE;
		else if (!strncmp(argv[i], "queue=", 6))
			to.queue = (uint32_t)atoi(argv[i] + 6);
		else if (!strncmp(argv[i], "rcvbuf=", 7))
			uo.receive_buffer = (uint32_t)atoi(argv[i] + 7);
		else if (!strncmp(argv[i], "sndbuf=", 7))
			uo.send_buffer = (uint32_t)atoi(argv[i] + 7);
	}
	f.loop = uv_default_loop();
	f.udp = udp_open(f.loop, &uo, why, sizeof(why));
	f.tun = f.udp ? tun_open(&to, why, sizeof(why)) : NULL;
	const uint8_t prefix[8] = { 0xfd, 0x77 };
	if (!f.tun || tun_routes(f.tun, prefix, 1, true, why, sizeof(why)) != OV_OK) {
		fprintf(stderr, "%s\n", why);
		return 1;
	}
	f.coalesce = coalesce_new(tun_status(f.tun)->uso);
	f.arena = malloc(ARENA);
	if (!f.coalesce || !f.arena)
		return 1;
	uv_poll_init(f.loop, &f.tun_poll, tun_fd(f.tun));
	uv_poll_start(&f.tun_poll, UV_READABLE, on_tun);
	uv_check_init(f.loop, &f.pump);
	uv_check_start(&f.pump, on_pump);
	uv_idle_init(f.loop, &f.again);
	uv_signal_init(f.loop, &f.stop);
	uv_signal_start(&f.stop, on_stop, SIGTERM);
	return uv_run(f.loop, UV_RUN_DEFAULT);
}
