/* peers_sim - many real peers of one overlayd in one process, each with its own node, key and UDP
 * socket.
 *
 *   peers_sim --target PEERID --to ENDPOINT [--first K] [--count N] [--spread SECONDS]
 *             [--bind IPV4] [--apart] [--over N] [--natted] [--register] [--echo] [--stream MBIT]
 *
 * Peers K to K+N-1 (peer_seed.h) call the target, spread evenly over --spread seconds. --echo: each
 * sends an ICMPv6 echo request a second through its session, which the kernel behind the target's
 * interface answers. --stream: the first one also sends inner UDP to port 9. --apart: each has an
 * address of its own, --bind and the following ones; --over: of N of them in turn. --natted: the
 * nodes believe that they have another local address than the one observed, as behind a NAT, and
 * keep their paths warm. --register: they use the target as facilitator.
 *
 * `stat` on its standard input prints one line of name=value: sums since the start, round trips
 * since the last `stat`. It ends with its standard input. */
#include "core/aead_os.h"
#include "core/heap.h"
#include "overlay/clock_os.h"
#include "overlay/entropy_os.h"
#include "overlay/node.h"
#include "tools/bench/peer_seed.h"

#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>

#include <malloc.h>
#include <netinet/in.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define BATCH         16
#define RTT_MAX       65536
#define STREAM_LEN    1200 /* inner UDP payload */
#define STREAM_PORT   9    /* discard, RFC 863 */
#define ECHO_EVERY    OV_SEC
#define INNER_LEN_MAX (40 + 8 + STREAM_LEN)

struct one {                     /* a peer */
	struct heap_entry timer; /* first: the heap hands it back */
	struct identity self;
	struct node *node;
	int fd;
	struct ov_addr local; /* what the node believes */
	uint16_t echo_seq;
	ov_time call_at, called_at, echo_at, stream_at;
	ov_time echo_sent_at[4];
};

static struct {
	struct peer_id target;
	struct ov_addr to;
	const char *to_text;
	uint32_t first, count, stream_mbit, over;
	ov_time spread;
	bool natted, echo, apart, registers;
	in_addr_t bind_ip;
} option = { .count = 1, .over = UINT32_MAX };

static struct {
	uint64_t echo_sent, echo_received, stream_sent, datagrams_out, datagrams_in;
	uint32_t up, downs, index; /* index: the target's, of the first peer's session */
	ov_time slowest_call;
	uint32_t rtts[RTT_MAX];
	size_t rtt_count;
} seen;

static struct one *ones;
static struct heap timers;
static struct aead_table aead;
static int poll_fd;

static void die(const char *what)
{
	fprintf(stderr, "peers_sim: %s: %s\n", what, strerror(errno));
	exit(1);
}

/* ---- inner packets ---- */

static uint32_t sum16(const uint8_t *p, size_t len, uint32_t sum)
{
	for (size_t i = 0; i < len; i++)
		sum += i % 2 ? p[i] : (uint32_t)p[i] << 8;
	return sum;
}

/* IPv6 with a transport of `len` bytes whose checksum (RFC 8200 8.1) goes to `at`. */
static size_t inner_finish(
	const struct one *o, uint8_t *packet, uint8_t protocol, size_t len, size_t at)
{
	memset(packet, 0, 40);
	packet[0] = 0x60;
	packet[4] = (uint8_t)(len >> 8);
	packet[5] = (uint8_t)len;
	packet[6] = protocol;
	packet[7] = 64;
	peer_id_address(&o->self.id, packet + 8);
	peer_id_address(&option.target, packet + 24);
	uint32_t sum = sum16(packet + 8, 32 + len, (uint32_t)len + protocol);
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	packet[40 + at] = (uint8_t)(~sum >> 8);
	packet[40 + at + 1] = (uint8_t)~sum;
	return 40 + len;
}

static void submit(struct one *o, ov_time now, struct ip_packet packet)
{
	node_submit(o->node, now, &packet, 1);
}

static void send_echo(struct one *o, ov_time now)
{
	uint8_t packet[INNER_LEN_MAX] = { 0 };
	uint8_t *icmp = packet + 40;
	icmp[0] = 128; /* echo request, RFC 4443 4.1 */
	icmp[6] = (uint8_t)(++o->echo_seq >> 8);
	icmp[7] = (uint8_t)o->echo_seq;
	o->echo_sent_at[o->echo_seq % 4] = now;
	seen.echo_sent++;
	size_t len = inner_finish(o, packet, 58, 64, 2);
	submit(o, now, (struct ip_packet){ .data = packet, .len = len });
}

static void send_stream(struct one *o, ov_time now)
{
	uint8_t packet[INNER_LEN_MAX] = { 0 };
	uint8_t *udp = packet + 40;
	udp[0] = udp[1] = 0x40;
	udp[3] = STREAM_PORT;
	udp[4] = (8 + STREAM_LEN) >> 8;
	udp[5] = (8 + STREAM_LEN) & 0xff;
	seen.stream_sent++;
	size_t len = inner_finish(o, packet, 17, 8 + STREAM_LEN, 6);
	submit(o, now, (struct ip_packet){ .data = packet, .len = len });
}

static void on_inner(struct one *o, ov_time now, const uint8_t *packet, size_t len)
{
	if (len < 48 || packet[6] != 58 || packet[40] != 129)
		return;
	uint16_t seq = (uint16_t)(packet[46] << 8 | packet[47]);
	ov_time *sent_at = &o->echo_sent_at[seq % 4];
	if (*sent_at == 0 || (uint16_t)(o->echo_seq - seq) >= 4)
		return;
	seen.echo_received++;
	if (seen.rtt_count < RTT_MAX)
		seen.rtts[seen.rtt_count++] = (uint32_t)((now - *sent_at) / OV_US);
	*sent_at = 0;
}

/* ---- nodes ---- */

static struct ov_addr address_of(const struct sockaddr_in *in)
{
	uint32_t ip = ntohl(in->sin_addr.s_addr);
	return addr_v4((uint8_t)(ip >> 24), (uint8_t)(ip >> 16), (uint8_t)(ip >> 8), (uint8_t)ip,
		ntohs(in->sin_port));
}

static void transmit(struct one *o, const struct dgram *d)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(d->remote.port) };
	memcpy(&to.sin_addr, d->remote.ip + 12, 4);
	for (size_t at = 0; at < d->len; at += d->segment) {
		size_t len = d->len - at < d->segment ? d->len - at : d->segment;
		uint8_t type = d->data[at];
		if (o == ones && (type == PACKET_CONTROL || type == PACKET_IP))
			seen.index = load_le32(d->data + at + 4);
		seen.datagrams_out++;
		sendto(o->fd, d->data + at, len, 0, (struct sockaddr *)&to, sizeof(to));
	}
}

static void on_event(struct one *o, ov_time now, const struct node_event *e)
{
	if (e->type == NODE_PEER_DOWN) {
		seen.up--;
		seen.downs++;
	}
	if (e->type != NODE_PEER_UP)
		return;
	seen.up++;
	seen.slowest_call = ov_max(seen.slowest_call, now - o->called_at);
}

/* What every verb is followed by. */
static void drain(struct one *o, ov_time now)
{
	struct dgram out[BATCH];
	struct node_event e;
	const struct ip_packet *packets;
	size_t n;
	while ((n = node_poll(o->node, now, out, BATCH)) > 0)
		for (size_t i = 0; i < n; i++)
			transmit(o, &out[i]);
	n = node_inbound(o->node, &packets);
	for (size_t i = 0; i < n; i++)
		on_inner(o, now, packets[i].data, packets[i].len);
	while (node_event(o->node, &e))
		on_event(o, now, &e);
	ov_time at = ov_min(node_deadline(o->node), ov_min(o->call_at, o->echo_at));
	heap_set(&timers, &o->timer, ov_min(at, o->stream_at));
}

static void receive(struct one *o, ov_time now)
{
	static uint8_t buffer[65536];
	struct sockaddr_in from = { 0 };
	socklen_t size = sizeof(from);
	ssize_t len;
	while ((len = recvfrom(o->fd, buffer, sizeof(buffer), 0, (struct sockaddr *)&from, &size)) >
		0) {
		struct dgram d = { .data = buffer, .len = (size_t)len, .segment = (uint16_t)len };
		d.remote = address_of(&from);
		d.interface = 1;
		d.local = o->local;
		seen.datagrams_in++;
		node_input(o->node, now, &d, 1);
		drain(o, now);
		size = sizeof(from);
	}
}

static void call(struct one *o, ov_time now)
{
	struct contact c = {
		.id = option.target, .name = "target", .grants = { .bits = GRANT_ALL }
	};
	if (contact_add_endpoint(&c, option.to_text) != OV_OK ||
		(option.registers ? node_facilitator_put(o->node, now, &c, NULL)
				  : node_contact_put(o->node, now, &c, true)) != OV_OK)
		die("contact");
	contact_fini(&c);
	o->called_at = now;
	o->call_at = OV_NEVER;
	if (option.echo)
		o->echo_at = now + OV_SEC;
	if (option.stream_mbit && o == ones)
		o->stream_at = now + OV_SEC;
}

static void tick(struct one *o, ov_time now)
{
	if (o->call_at <= now)
		call(o, now);
	if (node_deadline(o->node) <= now)
		node_tick(o->node, now);
	if (o->echo_at <= now) {
		o->echo_at += ECHO_EVERY;
		send_echo(o, now);
	}
	while (o->stream_at <= now) {
		o->stream_at += OV_SEC * STREAM_LEN * 8 / (option.stream_mbit * 1000000);
		send_stream(o, now);
		drain(o, now);
	}
	drain(o, now);
}

static void open_one(struct one *o, uint32_t i, ov_time now)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = option.bind_ip };
	struct epoll_event watch = { .events = EPOLLIN, .data.u32 = i + 1 };
	struct node_config c = node_config_default();
	c.max_contacts = 1;
	c.max_pending_handshakes = 8;
	c.max_flows = 64;
	c.boot_epoch = (uint32_t)time(NULL); /* above that of an earlier run */
	if (option.apart)
		at.sin_addr.s_addr = htonl(ntohl(option.bind_ip) + i % option.over);
	o->self = bench_identity(option.first + i);
	o->node = node_new(&c, &o->self, &aead, entropy_rng(), now);
	o->fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
	if (!o->node || o->fd < 0 || bind(o->fd, (struct sockaddr *)&at, sizeof(at)) ||
		epoll_ctl(poll_fd, EPOLL_CTL_ADD, o->fd, &watch))
		die("peer");
	socklen_t size = sizeof(at);
	getsockname(o->fd, (struct sockaddr *)&at, &size);
	o->local = option.natted ? addr_v4(192, 168, 0, 2, 27182) : address_of(&at);
	o->echo_at = o->stream_at = OV_NEVER;
	o->call_at = now + option.spread * i / option.count;
	heap_set(&timers, &o->timer, o->call_at);
}

/* ---- the program ---- */

static int by_value(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
	return (x > y) - (x < y);
}

static void print_stat(void)
{
	size_t n = seen.rtt_count;
	qsort(seen.rtts, n, sizeof(seen.rtts[0]), by_value);
	printf("up=%u downs=%u slowest_call_ms=%lld index=%u echo_sent=%llu echo_received=%llu "
	       "stream_sent=%llu datagrams_out=%llu datagrams_in=%llu rtt_us=%u rtt_p99_us=%u\n",
		seen.up, seen.downs, (long long)(seen.slowest_call / OV_MS), seen.index,
		(unsigned long long)seen.echo_sent, (unsigned long long)seen.echo_received,
		(unsigned long long)seen.stream_sent, (unsigned long long)seen.datagrams_out,
		(unsigned long long)seen.datagrams_in, n ? seen.rtts[n / 2] : 0,
		n ? seen.rtts[n * 99 / 100] : 0);
	fflush(stdout);
	seen.rtt_count = 0;
}

static void run(void)
{
	struct epoll_event ready[64];
	char word[64];
	for (;;) {
		ov_time now = clock_now(), at = heap_deadline(&timers);
		int wait = at == OV_NEVER ? -1 : at <= now ? 0 : (int)((at - now) / OV_MS + 1);
		int n = epoll_wait(poll_fd, ready, 64, wait);
		now = clock_now();
		for (int i = 0; i < n; i++) {
			if (ready[i].data.u32 > 0)
				receive(&ones[ready[i].data.u32 - 1], now);
			else if (read(STDIN_FILENO, word, sizeof(word)) <= 0)
				return;
			else
				print_stat();
		}
		while (heap_deadline(&timers) <= now)
			tick((struct one *)heap_first(&timers), now);
	}
}

static void parse(int argc, char **argv)
{
	static const struct option names[] = { { "target", 1, 0, 't' }, { "to", 1, 0, 'a' },
		{ "first", 1, 0, 'f' }, { "count", 1, 0, 'n' }, { "spread", 1, 0, 's' },
		{ "bind", 1, 0, 'b' }, { "natted", 0, 0, 'k' }, { "echo", 0, 0, 'e' },
		{ "stream", 1, 0, 'm' }, { "apart", 0, 0, 'r' }, { "over", 1, 0, 'o' },
		{ "register", 0, 0, 'g' }, { 0 } };
	struct in_addr ip = { 0 };
	bool good = true;
	int o;
	while ((o = getopt_long(argc, argv, "", names, NULL)) != -1)
		switch (o) {
		case 't': good &= peer_id_parse(optarg, &option.target) == OV_OK; break;
		case 'a': option.to_text = optarg; break;
		case 'f': option.first = (uint32_t)strtoul(optarg, NULL, 10); break;
		case 'n': option.count = (uint32_t)strtoul(optarg, NULL, 10); break;
		case 's': option.spread = strtoll(optarg, NULL, 10) * OV_SEC; break;
		case 'b': good &= inet_pton(AF_INET, optarg, &ip) == 1; break;
		case 'k': option.natted = true; break;
		case 'e': option.echo = true; break;
		case 'r': option.apart = true; break;
		case 'g': option.registers = true; break;
		case 'o':
			option.apart = true;
			option.over = (uint32_t)strtoul(optarg, NULL, 10);
			good &= option.over > 0;
			break;
		case 'm': option.stream_mbit = (uint32_t)strtoul(optarg, NULL, 10); break;
		default: good = false;
		}
	option.bind_ip = ip.s_addr;
	if (good && option.to_text && option.count > 0)
		return;
	fprintf(stderr, "usage: see the head of tools/bench/peers_sim.c\n");
	exit(2);
}

int main(int argc, char **argv)
{
	char why[256];
	struct epoll_event input = { .events = EPOLLIN };
	struct rlimit files = { 0 };
	if (sodium_init() < 0 || aead_load(&aead, NULL, why, sizeof(why)) != OV_OK)
		return 1;
	parse(argc, argv);
	/* Big arrays of a node come from the one heap, or 10,000 nodes are more mappings than a
	 * process may have; pages that stay untouched cost nothing there either. */
	mallopt(M_MMAP_THRESHOLD, 1 << 30);
	getrlimit(RLIMIT_NOFILE, &files);
	if (files.rlim_cur < option.count + 16) {
		files.rlim_cur = files.rlim_max = option.count + 16;
		if (setrlimit(RLIMIT_NOFILE, &files))
			die("open files");
	}
	poll_fd = epoll_create1(0);
	ones = calloc(option.count, sizeof(*ones));
	if (poll_fd < 0 || !ones || heap_reserve(&timers, option.count) != OV_OK ||
		epoll_ctl(poll_fd, EPOLL_CTL_ADD, STDIN_FILENO, &input))
		die("start");
	ov_time now = clock_now();
	for (uint32_t i = 0; i < option.count; i++)
		open_one(&ones[i], i, now);
	puts("ready");
	fflush(stdout);
	run();
	return 0;
}
