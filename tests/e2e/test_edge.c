/* The edge against the real kernel. Loopback cases run for everybody; the others make two network
 * namespaces (edge-t1, edge-t2) with a veth between them, need root and are skipped without. One
 * process drives both ends: a socket stays in the namespace that it was opened in. */
#include "overlay/clock_os.h"
#include "overlay/entropy_os.h"
#include "overlay/net_picture_os.h"
#include "overlay/netmon_uv.h"
#include "overlay/tun_os.h"
#include "overlay/udp_uv.h"

#include "core/bytes.h"

/* cmocka needs these before it */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>
/* clang-format on */

#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <sched.h>
#include <sodium.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

static uv_loop_t loop;
static int home_ns;

static int sh(const char *command)
{
	int status = system(command);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

#define MUST(command) assert_int_equal(sh(command), 0)

static void enter(const char *name) /* NULL: home */
{
	char path[64];
	snprintf(path, sizeof(path), "/run/netns/%s", name ? name : "");
	int fd = name ? open(path, O_RDONLY | O_CLOEXEC) : home_ns;
	assert_true(fd >= 0);
	assert_int_equal(setns(fd, CLONE_NEWNET), 0);
	if (name)
		close(fd);
}

static void remove_namespaces(void)
{
	sh("ip netns del edge-t1 2>/dev/null; ip netns del edge-t2 2>/dev/null");
}

static void need_root(void)
{
	if (geteuid() == 0)
		return;
	if (getenv("OVERLAY_NO_SKIP"))
		fail_msg("needs root, and skipping is not allowed");
	printf("  skipped: needs root (network namespaces)\n");
	skip();
}

static int make_namespaces(void **state)
{
	(void)state;
	if (geteuid() != 0)
		return 0;
	remove_namespaces();
	/* no duplicate address detection: a link-local address that becomes usable in mid-test is
	 * news */
	return sh("for n in edge-t1 edge-t2; do ip netns add $n && ip netns exec $n sh -c "
		  "'echo 0 >/proc/sys/net/ipv6/conf/default/accept_dad' || exit 1; done && "
		  "ip link add e0 netns edge-t1 type veth peer name e0 netns edge-t2 && "
		  "for i in 1 2; do n=edge-t$i; ip -n $n link set lo up; "
		  "ip -n $n addr add 10.79.0.$i/24 dev e0; "
		  "ip -n $n addr add 10.79.0.${i}0/24 dev e0; "
		  "ip -n $n addr add fc79::$i/64 dev e0 nodad; "
		  "ip -n $n addr add fc79::${i}0/64 dev e0 nodad; "
		  "ip -n $n link set e0 up; done; "
		  /* a burst would overflow the queue of an unresolved neighbour */
		  "ip netns exec edge-t1 ping -6 -q -c 1 -w 5 fc79::2 >/dev/null")
		       ? -1
		       : 0;
}

static int drop_namespaces(void **state)
{
	(void)state;
	if (geteuid() == 0) {
		enter(NULL);
		remove_namespaces();
	}
	return 0;
}

static void on_time(uv_timer_t *timer)
{
	(void)timer;
}

/* Turns the loop until *done or the time is up. */
static bool turn_until(const bool *done, ov_time limit)
{
	uv_timer_t timer;
	uv_timer_init(&loop, &timer);
	uv_timer_start(&timer, on_time, 5, 5);
	ov_time end = clock_now() + limit;
	while (!*done && clock_now() < end)
		uv_run(&loop, UV_RUN_ONCE);
	uv_close((uv_handle_t *)&timer, NULL);
	uv_run(&loop, UV_RUN_NOWAIT);
	return *done;
}

/* ---- UDP ---- */

struct end {
	struct udp *udp;
	size_t want, got, bytes;
	uint32_t sum; /* of payload numbers, to find doubles and losses */
	bool done, writable, only_note;
	unsigned readable;
	struct dgram last;
};

static void on_readable(void *context)
{
	struct end *e = context;
	struct dgram in[UDP_BATCH];
	e->readable++;
	if (e->only_note)
		return;
	size_t n = udp_receive(e->udp, in, false);
	for (size_t i = 0; i < n; i++) {
		for (size_t at = 0; at < in[i].len; at += in[i].segment) {
			assert_true(in[i].len - at >= 4);
			e->sum += load_le32(in[i].data + at);
			e->got++;
		}
		e->bytes += in[i].len;
		e->last = in[i];
	}
	e->done = e->got >= e->want;
}

static void on_writable(void *context)
{
	((struct end *)context)->writable = true;
}

static struct udp *opened[8]; /* what a failed test left behind */

static void own(struct udp *u)
{
	size_t i = 0;
	while (opened[i])
		i++;
	opened[i] = u;
}

static int close_left_over(void **state)
{
	(void)state;
	for (size_t i = 0; i < 8; i++) {
		udp_close(opened[i]);
		opened[i] = NULL;
	}
	uv_run(&loop, UV_RUN_NOWAIT);
	if (geteuid() == 0)
		enter(NULL);
	return 0;
}

static void open_end(struct end *e, enum udp_backend backend, const char *ns)
{
	struct udp_options o = { .backend = backend,
		.on_readable = on_readable,
		.on_writable = on_writable,
		.context = e };
	char why[200] = "";
	memset(e, 0, sizeof(*e));
	if (ns)
		enter(ns);
	e->udp = udp_open(&loop, &o, why, sizeof(why));
	if (!e->udp)
		fail_msg("%s", why);
	own(e->udp);
	if (ns)
		enter(NULL);
}

static void close_end(struct end *e)
{
	for (size_t i = 0; i < 8; i++) {
		if (opened[i] == e->udp)
			opened[i] = NULL;
	}
	udp_close(e->udp);
	uv_run(&loop, UV_RUN_NOWAIT);
}

static struct ov_addr at(const char *ip, const struct end *e)
{
	struct ov_addr a;
	assert_int_equal(addr_parse(ip, udp_status(e->udp)->port, &a), OV_OK);
	return a;
}

#define STREAM 640

/* Runs of many sizes from one end to the other; everything must arrive, once, unharmed in size. */
static void transfer(struct end *from, struct end *to, const char *ip)
{
	static uint8_t data[1 << 20];
	struct dgram runs[40];
	size_t used = 0, count = 0, n = 0, bytes = 0;
	uint32_t sum = 0;
	for (size_t k = 0; n < STREAM && count < 40; k++) {
		size_t segment = k % 3 ? 1400 - k : 60 + k, segments = 1 + k * 7 % 40;
		size_t last = k % 2 ? segment : 4 + k;
		struct dgram *d = &runs[count++];
		*d = (struct dgram){ .data = data + used,
			.segment = (uint16_t)segment,
			.len = (segments - 1) * segment + last,
			.remote = at(ip, to) };
		for (size_t i = 0; i < segments; i++) {
			store_le32(d->data + i * segment, (uint32_t)(n + 1));
			sum += (uint32_t)++n;
		}
		used += d->len;
		bytes += d->len;
		assert_true(used <= sizeof(data));
	}
	to->want = n;
	to->got = to->bytes = to->sum = 0;
	to->done = false;
	udp_send(from->udp, runs, count);
	struct dgram failed;
	bool too_big;
	if (udp_next_failure(from->udp, &failed, &too_big))
		fail_msg("a run of %zu bytes was refused", failed.len);
	turn_until(&to->done, OV_SEC);
	if (to->got != n)
		fail_msg("%zu of %zu datagrams came to %s from backend %s", to->got, n, ip,
			udp_status(from->udp)->backend);
	assert_int_equal(to->sum, sum);
	assert_int_equal(to->bytes, bytes);
	struct ov_addr back = to->last.remote;
	assert_int_equal(back.port, udp_status(from->udp)->port);
	if (udp_status(to->udp)->source) {
		struct ov_addr want = at(ip, to);
		assert_true(addr_equal(&to->last.local, &want));
		assert_true(to->last.interface != 0);
	}
}

static void send_one(struct end *from, struct end *to, const char *ip)
{
	uint8_t data[64] = { 0 };
	struct dgram run = { .data = data, .len = 64, .segment = 64, .remote = at(ip, to) };
	to->want = 1;
	to->got = 0;
	to->done = false;
	udp_send(from->udp, &run, 1);
}

/* The kernel begins to stamp when it gets to it, for all sockets; until then the time of reading
 * counts. */
static void wait_for_stamps(struct end *from, struct end *to, const char *ip)
{
	for (int i = 0; i < 50; i++) {
		send_one(from, to, ip);
		clock_sleep(5 * OV_MS);
		assert_true(turn_until(&to->done, OV_SEC));
		if (to->last.waited >= 5 * OV_MS)
			return;
	}
	fail_msg("the kernel does not stamp");
}

static void runs_tell_how_long_they_waited(void **state)
{
	(void)state;
	struct end a, b;
	open_end(&a, UDP_AUTO, NULL);
	open_end(&b, UDP_AUTO, NULL);
	static const char *const ips[] = { "127.0.0.1", "::1" };
	for (size_t i = 0; i < 2; i++) {
		udp_tell_waited(b.udp, true);
		wait_for_stamps(&a, &b, ips[i]);
		send_one(&a, &b, ips[i]);
		clock_sleep(20 * OV_MS);
		assert_true(turn_until(&b.done, OV_SEC));
		assert_in_range(b.last.waited, 20 * OV_MS, 500 * OV_MS);
		udp_tell_waited(b.udp, false);
		send_one(&a, &b, ips[i]);
		assert_true(turn_until(&b.done, OV_SEC));
		assert_int_equal(b.last.waited, 0);
	}
	close_end(&a);
	close_end(&b);
}

/* Alone and in a GSO run; what is not marked does not look so. */
static void marks_arrive(void **state)
{
	(void)state;
	static const char *const ips[] = { "127.0.0.1", "::1" };
	static uint8_t data[4 * 1000];
	struct end a, b;
	open_end(&a, UDP_AUTO, NULL);
	open_end(&b, UDP_AUTO, NULL);
	for (size_t i = 0; i < 2; i++) {
		for (size_t count = 1; count <= 4; count += 3) {
			struct dgram run = { .data = data,
				.len = count * 1000,
				.segment = 1000,
				.ecn = ECN_ECT0,
				.remote = at(ips[i], &b) };
			b.got = 0;
			b.want = count;
			b.done = false;
			udp_send(a.udp, &run, 1);
			assert_true(turn_until(&b.done, OV_SEC));
			assert_int_equal(b.last.ecn, ECN_ECT0);
		}
		send_one(&a, &b, ips[i]);
		assert_true(turn_until(&b.done, OV_SEC));
		assert_int_equal(b.last.ecn, ECN_NONE);
	}
	close_end(&a);
	close_end(&b);
}

static void one_call_reads_both_families(void **state)
{
	(void)state;
	struct end a, b;
	struct dgram in[UDP_BATCH];
	open_end(&a, UDP_AUTO, NULL);
	open_end(&b, UDP_AUTO, NULL);
	for (unsigned i = 0; i < 3; i++) { /* whichever comes first */
		b.only_note = true;
		send_one(&a, &b, "127.0.0.1");
		send_one(&a, &b, "::1");
		clock_sleep(2 * OV_MS);
		for (b.readable = 0; b.readable < 2;)
			uv_run(&loop, UV_RUN_NOWAIT);
		assert_int_equal(udp_receive(b.udp, in, false), 2);
	}
	close_end(&a);
	close_end(&b);
}

static size_t received_after_pause(struct end *from, struct end *to, size_t len, size_t segment)
{
	static uint8_t payload[16000];
	struct dgram in[UDP_BATCH];
	struct dgram run = { .data = payload,
		.len = len,
		.segment = (uint16_t)segment,
		.carrier = CARRIER_UDP,
		.remote = at("127.0.0.1", to) };
	for (unsigned i = 0; i < 3; i++)
		udp_send(from->udp, &run, 1);
	for (to->readable = 0; to->readable < 1;)
		uv_run(&loop, UV_RUN_NOWAIT);
	size_t first = udp_receive(to->udp, in, true);
	while (udp_receive(to->udp, in, false) > 0)
		continue;
	return first;
}

static void after_a_pause_what_is_short_comes_alone(void **state)
{
	(void)state;
	struct end a, b;
	open_end(&a, UDP_AUTO, NULL);
	open_end(&b, UDP_AUTO, NULL);
	b.only_note = true;
	assert_int_equal(received_after_pause(&a, &b, 100, 100), 1);
	if (udp_status(a.udp)->gso && udp_status(b.udp)->gro)
		assert_int_equal(received_after_pause(&a, &b, 16000, 1000), 3);
	close_end(&a);
	close_end(&b);
}

static void batches_arrive_over_loopback(void **state)
{
	(void)state;
	for (int a = UDP_AUTO; a <= UDP_PORTABLE; a++) {
		for (int b = UDP_AUTO; b <= UDP_PORTABLE; b++) {
			struct end from, to;
			open_end(&from, (enum udp_backend)a, NULL);
			open_end(&to, (enum udp_backend)b, NULL);
			if (udp_status(to.udp)->ipv4)
				transfer(&from, &to, "127.0.0.1");
			if (udp_status(to.udp)->ipv6)
				transfer(&from, &to, "::1");
			transfer(&to, &from, "127.0.0.1");
			close_end(&from);
			close_end(&to);
		}
	}
}

static void a_missing_family_is_no_error(void **state)
{
	(void)state;
	for (int b = UDP_AUTO; b <= UDP_PORTABLE; b++) {
		for (int v4 = 0; v4 < 2; v4++) {
			struct end e, peer;
			char why[200];
			open_end(&peer, UDP_AUTO, NULL);
			struct udp_options o = { .backend = (enum udp_backend)b,
				.no_ipv4 = !v4,
				.no_ipv6 = v4,
				.on_readable = on_readable,
				.context = &e };
			memset(&e, 0, sizeof(e));
			e.udp = udp_open(&loop, &o, why, sizeof(why));
			assert_non_null(e.udp);
			own(e.udp);
			assert_int_equal(udp_status(e.udp)->ipv4, v4);
			transfer(&e, &peer, v4 ? "127.0.0.1" : "::1");

			uint8_t byte[4] = { 1 };
			struct dgram d = { .data = byte,
				.len = 4,
				.segment = 4,
				.remote = at(v4 ? "::1" : "127.0.0.1", &peer) };
			bool too_big = true;
			udp_send(e.udp, &d, 1); /* the other family: no route */
			assert_true(udp_next_failure(e.udp, &d, &too_big));
			assert_false(too_big);
			close_end(&e);
			close_end(&peer);
		}
	}
}

static void a_taken_port_says_what_to_do(void **state)
{
	(void)state;
	struct end e;
	char why[200] = "", want[200];
	open_end(&e, UDP_AUTO, NULL);
	uint16_t port = udp_status(e.udp)->port;
	for (int b = UDP_AUTO; b <= UDP_PORTABLE; b++) {
		struct udp_options o = {
			.port = port, .backend = (enum udp_backend)b, .on_readable = on_readable
		};
		assert_null(udp_open(&loop, &o, why, sizeof(why)));
		snprintf(want, sizeof(want),
			"UDP port %u is taken by another program: choose another with "
			"--listen-udp",
			port);
		assert_string_equal(why, want);
	}
	close_end(&e);
}

static void batches_arrive_over_veth(void **state)
{
	(void)state;
	need_root();
	static const char *const offloads[] = { "tx-udp-segmentation on gro off",
		"tx-udp-segmentation off gro on", "tx-checksum-ip-generic off" };
	for (size_t i = 0; i < 3; i++) {
		char command[200];
		snprintf(command, sizeof(command),
			"for n in edge-t1 edge-t2; do ip netns exec $n ethtool -K e0 %s >/dev/null; "
			"done",
			offloads[i]);
		MUST(command);

		for (int b = UDP_AUTO; b <= UDP_PORTABLE; b++) {
			struct end from, to;
			open_end(&from, (enum udp_backend)b, "edge-t1");
			open_end(&to, UDP_AUTO, "edge-t2");
			transfer(&from, &to, "10.79.0.2");
			transfer(&from, &to, "fc79::2");
			transfer(&to, &from, "fc79::10");
			close_end(&from);
			close_end(&to);
		}
	}
	MUST("for n in edge-t1 edge-t2; do ip netns exec $n ethtool -K e0 tx-checksum-ip-generic "
	     "on tx-udp-segmentation on >/dev/null; done");
}

/* One run is sent; what is refused and why. */
static void expect_failure(struct end *e, struct dgram d, bool want_failure, bool want_too_big)
{
	struct dgram failed;
	bool too_big = !want_too_big;
	udp_send(e->udp, &d, 1);
	bool got = udp_next_failure(e->udp, &failed, &too_big);
	assert_int_equal(got, want_failure);
	if (!got)
		return;
	assert_int_equal(too_big, want_too_big);
	assert_int_equal(failed.len, d.len < d.segment ? d.len : d.segment);
	assert_true(addr_equal(&failed.remote, &d.remote));
	assert_false(udp_next_failure(e->udp, &failed, &too_big));
}

static void refusals_are_told_apart(void **state)
{
	(void)state;
	need_root();
	static uint8_t data[64000];
	for (int b = UDP_AUTO; b <= UDP_PORTABLE; b++) {
		struct end from, to;
		open_end(&from, (enum udp_backend)b, "edge-t1");
		open_end(&to, UDP_AUTO, "edge-t2");
		struct dgram d = {
			.data = data, .len = 1472, .segment = 1472, .remote = at("10.79.0.2", &to)
		};
		expect_failure(&from, d, false, false);
		d.len = d.segment = 1473; /* DF: never cut */
		expect_failure(&from, d, true, true);
		d.len = 1473 * 20; /* as a run */
		expect_failure(&from, d, true, true);
		d.remote = at("fc79::2", &to);
		d.len = d.segment = 1452;
		expect_failure(&from, d, false, false);
		d.len = 1453 * 20;
		d.segment = 1453;
		expect_failure(&from, d, true, true);

		d.len = d.segment = 100;
		d.remote = at("99.1.2.3", &to); /* no route */
		expect_failure(&from, d, true, false);
		d.remote = at("2001:db8::1", &to);
		expect_failure(&from, d, true, false);
		if (udp_status(from.udp)->source) {
			d.remote = at("10.79.0.2", &to);
			d.local = at("10.79.0.77", &to); /* not ours */
			expect_failure(&from, d, true, false);
			d.len = 1000; /* as a run */
			expect_failure(&from, d, true, false);
			d.remote = at("fc79::2", &to);
			d.local = at("fc79::77", &to);
			expect_failure(&from, d, true, false);
		}
		close_end(&from);
		close_end(&to);
	}
}

static void answers_leave_the_way_they_came(void **state)
{
	(void)state;
	need_root();
	static const char *const pairs[][2] = { { "10.79.0.20", "10.79.0.10" },
		{ "fc79::20", "fc79::10" } };
	for (size_t i = 0; i < 2; i++) {
		struct end a, b;
		open_end(&a, UDP_AUTO, "edge-t1");
		open_end(&b, UDP_AUTO, "edge-t2");
		uint8_t data[400] = { 1 };
		struct dgram d = { .data = data,
			.len = 400,
			.segment = 100,
			.remote = at(pairs[i][0], &b),
			.local = at(pairs[i][1], &a) };
		b.want = a.want = 4;
		udp_send(a.udp, &d, 1);
		assert_true(turn_until(&b.done, OV_SEC));
		assert_true(addr_equal(&b.last.local, &d.remote));
		assert_true(addr_equal(&b.last.remote, &d.local));
		struct dgram answer = { .data = data,
			.len = 400,
			.segment = 100,
			.remote = b.last.remote,
			.local = b.last.local,
			.interface = b.last.interface };
		udp_send(b.udp, &answer, 1);
		assert_true(turn_until(&a.done, OV_SEC));
		assert_true(addr_equal(&a.last.remote, &d.remote));
		close_end(&a);
		close_end(&b);
	}
}

/* A slow device fills the socket: the rest waits, nothing is lost within the queue's bound, order
 * is kept, and on_writable comes. */
static void a_full_socket_queues(void **state)
{
	(void)state;
	need_root();
	if (sh("ip netns exec edge-t1 tc qdisc add dev e0 root tbf rate 40mbit burst 70kb limit "
	       "8mb 2>/dev/null")) {
		printf("  skipped: the kernel has no tbf\n");
		skip();
	}
	struct end from, to;
	open_end(&to, UDP_AUTO, "edge-t2");
	struct udp_options o = { .send_buffer = 64 << 10,
		.on_readable = on_readable,
		.on_writable = on_writable,
		.context = &from };
	char why[200];
	memset(&from, 0, sizeof(from));
	enter("edge-t1");
	from.udp = udp_open(&loop, &o, why, sizeof(why));
	enter(NULL);
	assert_non_null(from.udp);
	own(from.udp);
	uint8_t *data = calloc(10, 42000);
	struct dgram runs[10];
	for (uint32_t i = 0; i < 10; i++) {
		for (uint32_t k = 0; k < 30; k++)
			store_le32(data + i * 42000 + k * 1400, i * 30 + k + 1);
		runs[i] = (struct dgram){ .data = data + i * 42000,
			.len = 42000,
			.segment = 1400,
			.remote = at("10.79.0.2", &to) };
	}
	to.want = 300;
	udp_send(from.udp, runs, 10);
	free(data); /* copied */
	assert_true(udp_blocked(from.udp));
	assert_true(turn_until(&to.done, 2 * OV_SEC));
	assert_int_equal(to.sum, 300 * 301 / 2);
	assert_int_equal(udp_status(from.udp)->lost, 0);
	assert_true(turn_until(&from.writable, OV_SEC));
	assert_false(udp_blocked(from.udp));
	close_end(&from);
	close_end(&to);
	MUST("ip netns exec edge-t1 tc qdisc del dev e0 root");
}

/* ---- TUN ---- */

static void tun_errors_say_what_to_do(void **state)
{
	(void)state;
	need_root();
	char why[300];
	struct tun_options o = tun_options_default();
	o.node = "/dev/net/no-such-tun";
	assert_null(tun_open(&o, why, sizeof(why)));
	assert_non_null(strstr(why, "there is no TUN device /dev/net/no-such-tun"));

	enter("edge-t1");
	o = tun_options_default();
	o.name = "e0"; /* a veth */
	assert_null(tun_open(&o, why, sizeof(why)));
	assert_non_null(strstr(why, "the name e0 is taken"));

	o.name = "edge-tun";
	struct tun *t = tun_open(&o, why, sizeof(why));
	assert_non_null(t);
	assert_null(tun_open(&o, why, sizeof(why)));
	assert_non_null(strstr(why, "edge-tun is in use by another program"));
	tun_close(t);

	fflush(NULL);
	pid_t child = fork();
	if (child == 0) {
		bool ok =
			setgid(65534) == 0 && setuid(65534) == 0 &&
			!tun_open(&o, why, sizeof(why)) &&
			(strstr(why, "no permission to create the interface edge-tun: run as root, "
				     "grant CAP_NET_ADMIN (setcap cap_net_admin+ep), or use "
				     "--no-tun") ||
				strstr(why, "cannot open /dev/net/tun: Permission denied"));
		_exit(ok ? 0 : 1);
	}
	int status;
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	enter(NULL);
}

static void tun_carries_packets_and_routes(void **state)
{
	(void)state;
	need_root();
	char why[300];
	enter("edge-t1");
	for (int plain = 0; plain < 2; plain++) {
		struct tun_options o = tun_options_default();
		o.name = "edge-tun";
		o.plain = plain;
		memcpy(o.address, "\xfd\x01\x02\x03\x04\x05\x06\x07\0\0\0\0\0\0\0\x01", 16);
		struct tun *t = tun_open(&o, why, sizeof(why));
		if (!t)
			fail_msg("%s", why);
		assert_int_equal(tun_status(t)->vnet, !plain);
		/* the address is there, and no route to other ULAs */
		MUST("ip -6 addr show dev edge-tun | grep -q 'fd01:203:405:607::1/128'");
		MUST("ip link show dev edge-tun | grep -q 'mtu 1420'");
		assert_int_not_equal(
			sh("ip -6 route get fd99::1 2>/dev/null | grep -q edge-tun"), 0);

		static uint8_t prefixes[16384][8];
		for (size_t i = 0; i < 16384; i++) {
			prefixes[i][0] = 0xfd;
			prefixes[i][1] = 0xaa;
			store_be16(prefixes[i] + 6, (uint16_t)i);
		}
		size_t count = plain ? 10 : 16384;
		ov_time start = clock_now();
		assert_int_equal(tun_routes(t, prefixes[0], count, true, why, sizeof(why)), OV_OK);
		ov_time middle = clock_now();
		assert_int_equal(tun_routes(t, prefixes[0], 5, true, why, sizeof(why)),
			OV_OK); /* again: no error */
		MUST("ip -6 route get fd00:1::1 2>/dev/null | grep -qv edge-tun || true");
		MUST("ip -6 route get fdaa:0:0:9::5 | grep 'dev edge-tun' | "
		     "grep -q 'src fd01:203:405:607::1'");
		assert_int_equal(tun_routes(t, prefixes[0], count, false, why, sizeof(why)), OV_OK);
		assert_int_equal(tun_routes(t, prefixes[0], 1, false, why, sizeof(why)),
			OV_OK); /* missing: no error */
		printf("  %zu routes: added in %lld ms, removed in %lld ms\n", count,
			(long long)((middle - start) / OV_MS),
			(long long)((clock_now() - middle) / OV_MS));
		tun_close(t);
	}
	enter(NULL);
}

static void tun_takes_a_given_descriptor(void **state)
{
	(void)state;
	need_root();
	char why[300];
	enter("edge-t1");
	struct ifreq r = { .ifr_name = "edge-tun",
		.ifr_flags = IFF_TUN | IFF_NO_PI | IFF_VNET_HDR };
	struct tun_options given = tun_options_default();
	given.fd = open("/dev/net/tun", O_RDWR);
	given.leave_link = true;
	assert_int_equal(ioctl(given.fd, TUNSETIFF, &r), 0);
	struct tun *t = tun_open(&given, why, sizeof(why));
	assert_non_null(t);
	assert_string_equal(tun_status(t)->name, "edge-tun");
	assert_true(tun_status(t)->vnet);
	assert_int_equal(tun_status(t)->queues, 1);
	tun_close(t);
	given.fd = open("/dev/null", O_RDWR);
	assert_null(tun_open(&given, why, sizeof(why)));
	assert_non_null(strstr(why, "not a TUN interface"));
	enter(NULL);
}

/* ---- network monitor ---- */

struct watcher {
	struct local_address list[NET_ADDRESSES];
	size_t count, calls;
	bool changed, resumed;
	ov_time at, told;
};

static void on_change(
	void *context, ov_time at_, const struct local_address *list, size_t count, bool resumed)
{
	struct watcher *w = context;
	memcpy(w->list, list, count * sizeof(list[0]));
	w->count = count;
	w->calls++;
	w->changed = true;
	w->resumed = resumed;
	w->at = at_;
	w->told = clock_now();
}

static const struct local_address *in_list(const struct watcher *w, const char *ip)
{
	struct ov_addr a;
	assert_int_equal(addr_parse(ip, 0, &a), OV_OK);
	for (size_t i = 0; i < w->count; i++) {
		if (addr_same_ip(&a, &w->list[i].addr))
			return &w->list[i];
	}
	return NULL;
}

/* Runs the command and waits until the list tells of it; returns the reaction time. */
static ov_time change(struct watcher *w, const char *command)
{
	w->changed = false;
	ov_time start = clock_now();
	MUST(command);
	ov_time after = clock_now();
	if (!turn_until(&w->changed, OV_SEC))
		fail_msg("not noticed: %s", command);
	printf("  %-60s told %.1f ms after the command, %.1f ms after its event\n", command,
		(double)(w->told - after) / 1e6, (double)(w->told - w->at) / 1e6);
	return w->told - start;
}

static void addresses_and_routes(struct watcher *w)
{
	assert_true(change(w, "ip addr add 10.80.0.9/16 dev e0") < 100 * OV_MS);
	assert_non_null(in_list(w, "10.80.0.9"));
	assert_true(change(w, "ip addr del 10.80.0.9/16 dev e0") < 100 * OV_MS);
	assert_null(in_list(w, "10.80.0.9"));
	assert_true(change(w, "ip -6 addr add fc80::9/64 dev e0 nodad") < 100 * OV_MS);
	assert_true(change(w, "ip route add default via 10.79.0.2") < 100 * OV_MS);
	assert_true(in_list(w, "10.79.0.1")->has_default_route);
	assert_false(in_list(w, "fc79::1")->has_default_route);
	assert_true(change(w, "ip -6 route add default via fc79::2") < 100 * OV_MS);
	assert_true(in_list(w, "fc79::1")->has_default_route);
	assert_true(change(w, "ip -6 addr change fc80::9/64 dev e0 preferred_lft 0") <
		    100 * OV_MS); /* deprecated */
	assert_null(in_list(w, "fc80::9"));
}

static void netmon_follows_addresses(void **state)
{
	(void)state;
	need_root();
	struct watcher w = { .count = 0 };
	char why[200];
	enter("edge-t1");
	struct netmon_options o = {
		.own_interface = "edge-tun", .on_change = on_change, .context = &w
	};
	struct netmon *m = netmon_open(&loop, &o, why, sizeof(why));
	if (!m)
		fail_msg("%s", why);
	assert_int_equal(w.calls, 1);
	const struct local_address *a = in_list(&w, "10.79.0.1");
	assert_non_null(a);
	assert_int_equal(a->prefix_len, 24);
	assert_int_equal(a->interface, if_nametoindex("e0"));
	assert_false(a->has_default_route);
	assert_non_null(in_list(&w, "fc79::1"));
	assert_null(in_list(&w, "127.0.0.1"));
	assert_null(in_list(&w, "::1"));

	addresses_and_routes(&w);

	/* what is none of ours changes nothing */
	size_t calls = w.calls;
	bool never = false;
	MUST("ip link add docker7 type veth peer name vnet8 && ip addr add 172.17.0.1/16 dev docker7 && "
	     "ip link set docker7 up && ip link set vnet8 up && ip tuntap add edge-tun mode tun && "
	     "ip addr add 10.99.0.1/24 dev edge-tun && ip link set edge-tun up && "
	     "ip route add 10.123.0.0/16 via 10.79.0.2");
	turn_until(&never, 200 * OV_MS);
	assert_int_equal(w.calls, calls);
	MUST("ip link del docker7 && ip link del edge-tun");

	assert_true(change(&w, "ip link set e0 down") < 100 * OV_MS);
	assert_int_equal(w.count, 0);
	assert_true(change(&w, "ip link set e0 up") < 100 * OV_MS);
	assert_non_null(in_list(&w, "10.79.0.1"));
	turn_until(&never, 100 * OV_MS);

	/* a storm of our own routes and addresses: the end state is right */
	MUST("ip link add e9 type veth peer name e10 && ip link set e9 up && ip link set e10 up && for i in $(seq 1 250); do "
	     "echo addr add 10.90.0.$i/16 dev e9; echo addr del 10.90.0.$i/16 dev e9; done | "
	     "ip -batch - && ip addr add 10.91.0.1/16 dev e9");
	turn_until(&never, 150 * OV_MS);
	assert_non_null(in_list(&w, "10.91.0.1"));
	MUST("ip link del e9");
	do /* a busy kernel tells of it late */
		w.changed = false;
	while (turn_until(&w.changed, 300 * OV_MS));
	assert_null(in_list(&w, "10.91.0.1"));

	/* sleep, as the two clocks show it */
	ov_time boot = clock_now(), mono = clock_monotonic();
	netmon_check_sleep(m, boot, mono);
	turn_until(&never, 30 * OV_MS);
	assert_false(w.changed);
	netmon_check_sleep(m, boot + 7 * OV_SEC, mono);
	assert_true(turn_until(&w.changed, OV_SEC));
	assert_true(w.resumed);
	netmon_close(m);
	uv_run(&loop, UV_RUN_NOWAIT);
	enter(NULL);
	MUST("ip -n edge-t1 -6 addr add fc79::1/64 dev e0 nodad");
}

#define edge_test(f) cmocka_unit_test_teardown(f, close_left_over)

int main(void)
{
	const struct CMUnitTest tests[] = {
		edge_test(runs_tell_how_long_they_waited),
		edge_test(marks_arrive),
		edge_test(one_call_reads_both_families),
		edge_test(after_a_pause_what_is_short_comes_alone),
		edge_test(batches_arrive_over_loopback),
		edge_test(a_missing_family_is_no_error),
		edge_test(a_taken_port_says_what_to_do),
		edge_test(batches_arrive_over_veth),
		edge_test(refusals_are_told_apart),
		edge_test(answers_leave_the_way_they_came),
		edge_test(a_full_socket_queues),
		edge_test(tun_errors_say_what_to_do),
		edge_test(tun_carries_packets_and_routes),
		edge_test(tun_takes_a_given_descriptor),
		edge_test(netmon_follows_addresses),
	};
	if (sodium_init() < 0 || uv_loop_init(&loop))
		return 1;
	home_ns = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	int failed = cmocka_run_group_tests(tests, make_namespaces, drop_namespaces);
	uv_run(&loop, UV_RUN_NOWAIT);
	if (uv_loop_close(&loop) && !failed) {
		fprintf(stderr, "a handle was left open\n");
		return 1;
	}
	return failed;
}
