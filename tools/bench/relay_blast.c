/* relay_blast - what one relay carries: two clients of it in one process, one sends, one counts.
 *
 *   relay_blast --target PEERID --to IPV4:PORT --from IPV4 --at IPV4 --seconds N
 *
 * Both register at the target, meet through it and nowhere else (what they want to send each other
 * directly is not sent), and search the PMTU of that way. Then one run of sealed datagrams, as the
 * first client's node made it, is sent again and again, and counted where it arrives: the relay
 * forwards without opening, so it cannot know, and this process costs as little as it can. A window
 * keeps what is on its way within the socket buffers.
 *
 * Prints `gbit=X datagrams=N lost=N segment=BYTES run=BYTES`; gbit is of UDP payload that arrived.
 */
#include "core/aead_os.h"
#include "core/packet.h"
#include "overlay/clock_os.h"
#include "overlay/entropy_os.h"
#include "overlay/node.h"
#include "tools/bench/peer_seed.h"

#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <poll.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif
#ifndef UDP_GRO
#define UDP_GRO 104
#endif

#define BATCH       16
#define FIRST       700000u /* number of the first client's key */
#define MEET_WITHIN (20 * OV_SEC)
#define SETTLE      (2 * OV_SEC) /* the PMTU search */
#define INNER_LEN   1400         /* a relayed datagram has 8 B less than a direct one */
#define RUN_PACKETS 44
#define WINDOW      (2 << 20)
#define STALLED     (20 * OV_MS) /* nothing came for so long: it is lost */
#define BUFFER      (8 << 20)

struct client {
	struct identity self;
	struct node *node;
	int fd;
	struct ov_addr local;
	bool up;
	uint64_t bytes, datagrams; /* of RELAY that came */
};

static struct client clients[2];
static struct aead_table aead;
static struct {
	struct peer_id target;
	const char *to_text, *local[2];
	struct ov_addr to;
	unsigned seconds;
} option = { .seconds = 3 };

static struct { /* what is sent again and again */
	uint8_t bytes[65536];
	size_t len;
	uint16_t segment;
} run;
static bool capturing;

static void die(const char *what)
{
	fprintf(stderr, "relay_blast: %s: %s\n", what, strerror(errno));
	exit(1);
}

static struct sockaddr_in to_sockaddr(const struct ov_addr *a)
{
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = htons(a->port) };
	memcpy(&in.sin_addr, a->ip + 12, 4);
	return in;
}

/* One message; as many datagrams as there are segments in it. */
static bool send_run(int fd, const uint8_t *data, size_t len, uint16_t segment)
{
	struct sockaddr_in to = to_sockaddr(&option.to);
	union {
		char bytes[CMSG_SPACE(sizeof(uint16_t))];
		struct cmsghdr align;
	} control = { 0 };
	struct iovec iov = { .iov_base = (uint8_t *)(uintptr_t)data, .iov_len = len };
	struct msghdr h = {
		.msg_name = &to, .msg_namelen = sizeof(to), .msg_iov = &iov, .msg_iovlen = 1
	};
	if (len > segment) {
		h.msg_control = control.bytes;
		h.msg_controllen = sizeof(control.bytes);
		struct cmsghdr *c = CMSG_FIRSTHDR(&h);
		c->cmsg_level = IPPROTO_UDP;
		c->cmsg_type = UDP_SEGMENT;
		c->cmsg_len = CMSG_LEN(sizeof(segment));
		memcpy(CMSG_DATA(c), &segment, sizeof(segment));
	}
	return sendmsg(fd, &h, MSG_DONTWAIT) > 0;
}

static void transmit(struct client *c, const struct dgram *d)
{
	if (!addr_equal(&d->remote, &option.to))
		return; /* by relay or not at all */
	if (capturing && c == clients && d->data[0] == PACKET_RELAY && d->len > run.len) {
		memcpy(run.bytes, d->data, d->len);
		run.len = d->len;
		run.segment = d->segment;
	}
	(void)send_run(c->fd, d->data, d->len, d->segment);
}

static void drain(struct client *c, ov_time now)
{
	struct dgram out[BATCH];
	struct node_event e;
	const struct ip_packet *packets;
	size_t n;
	if (node_deadline(c->node) <= now)
		node_tick(c->node, now);
	while ((n = node_poll(c->node, now, out, BATCH)) > 0)
		for (size_t i = 0; i < n; i++)
			transmit(c, &out[i]);
	(void)node_inbound(c->node, &packets);
	while (node_event(c->node, &e))
		if (e.type == NODE_PEER_UP && !peer_id_equal(&e.peer, &option.target))
			c->up = true;
}

/* Reads one message of GRO. counting: what was relayed is counted and not opened. */
static bool receive(struct client *c, ov_time now, bool counting)
{
	static uint8_t buffer[65536];
	union {
		char bytes[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control;
	struct iovec iov = { .iov_base = buffer, .iov_len = sizeof(buffer) };
	struct msghdr h = { .msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.bytes,
		.msg_controllen = sizeof(control.bytes) };
	ssize_t len = recvmsg(c->fd, &h, MSG_DONTWAIT);
	if (len <= 0)
		return false;
	int segment = (int)len;
	struct cmsghdr *m = CMSG_FIRSTHDR(&h);
	if (m && m->cmsg_level == IPPROTO_UDP && m->cmsg_type == UDP_GRO)
		memcpy(&segment, CMSG_DATA(m), sizeof(segment));
	if (counting && buffer[0] == PACKET_RELAY) {
		c->bytes += (uint64_t)len;
		c->datagrams += (uint64_t)((len + segment - 1) / segment);
		return true;
	}
	struct dgram d = { .data = buffer,
		.len = (size_t)len,
		.segment = (uint16_t)segment,
		.interface = 1,
		.local = c->local,
		.remote = option.to };
	node_input(c->node, now, &d, 1);
	drain(c, now);
	return true;
}

static void add_contact(struct client *c, const struct client *other, ov_time now)
{
	struct contact f = { .id = option.target };
	struct contact peer = { .id = other->self.id, .grants = { .bits = GRANT_ALL } };
	snprintf(peer.name, sizeof(peer.name), "other");
	if (contact_add_endpoint(&f, option.to_text) != OV_OK ||
		node_facilitator_put(c->node, now, &f, NULL) != OV_OK ||
		node_contact_put(c->node, now, &peer, false) != OV_OK)
		die("contacts");
	contact_fini(&f);
	contact_fini(&peer);
}

static void open_client(struct client *c, uint32_t number, const char *ip, ov_time now)
{
	struct sockaddr_in at = { .sin_family = AF_INET };
	socklen_t size = sizeof(at);
	int one = 1, buffer = BUFFER;
	struct node_config config = node_config_default();
	config.max_contacts = 4;
	config.boot_epoch = (uint32_t)time(NULL); /* above that of an earlier run */
	c->self = bench_identity(FIRST + number);
	c->node = node_new(&config, &c->self, &aead, entropy_rng(), now);
	c->fd = socket(AF_INET, SOCK_DGRAM, 0);
	if (!c->node || c->fd < 0 || inet_pton(AF_INET, ip, &at.sin_addr) != 1 ||
		bind(c->fd, (struct sockaddr *)&at, sizeof(at)) ||
		getsockname(c->fd, (struct sockaddr *)&at, &size) ||
		setsockopt(c->fd, IPPROTO_UDP, UDP_GRO, &one, sizeof(one)))
		die("socket");
	/* Root may have more than the system's limit. */
	if (setsockopt(c->fd, SOL_SOCKET, SO_RCVBUFFORCE, &buffer, sizeof(buffer)))
		(void)setsockopt(c->fd, SOL_SOCKET, SO_RCVBUF, &buffer, sizeof(buffer));
	uint32_t host = ntohl(at.sin_addr.s_addr);
	c->local = addr_v4((uint8_t)(host >> 24), (uint8_t)(host >> 16), (uint8_t)(host >> 8),
		(uint8_t)host, ntohs(at.sin_port));
}

static void turn(int wait_ms)
{
	struct pollfd watched[2] = { { .fd = clients[0].fd, .events = POLLIN },
		{ .fd = clients[1].fd, .events = POLLIN } };
	(void)poll(watched, 2, wait_ms);
	ov_time now = clock_now();
	for (int i = 0; i < 2; i++) {
		while (receive(&clients[i], now, false))
			continue;
		drain(&clients[i], now);
	}
}

/* UDP to the discard port, so many in one batch. */
static void submit(struct client *c, const struct client *to, size_t count)
{
	static uint8_t packet[INNER_LEN];
	struct ip_packet list[RUN_PACKETS];
	size_t len = INNER_LEN - 40;
	memset(packet, 0, sizeof(packet));
	packet[0] = 0x60;
	packet[4] = (uint8_t)(len >> 8);
	packet[5] = (uint8_t)len;
	packet[6] = 17;
	packet[7] = 64;
	peer_id_address(&c->self.id, packet + 8);
	peer_id_address(&to->self.id, packet + 24);
	packet[40] = packet[41] = 0x40;
	packet[43] = 9;
	packet[44] = (uint8_t)(len >> 8);
	packet[45] = (uint8_t)len;
	packet[46] = 1; /* nobody looks at the checksum */
	for (size_t i = 0; i < count; i++)
		list[i] = (struct ip_packet){ .data = packet, .len = sizeof(packet) };
	ov_time now = clock_now();
	node_submit(c->node, now, list, count);
	drain(c, now);
}

static void meet(void)
{
	ov_time start = clock_now();
	while (!clients[0].up || !clients[1].up) {
		if (clock_now() - start > MEET_WITHIN) {
			fprintf(stderr, "relay_blast: the two did not meet through the relay\n");
			exit(1);
		}
		submit(&clients[0], &clients[1], 1);
		turn(50);
	}
	for (start = clock_now(); clock_now() - start < SETTLE;) {
		submit(&clients[0], &clients[1], 1);
		turn(20);
	}
	capturing = true;
	submit(&clients[0], &clients[1], RUN_PACKETS);
	capturing = false;
	for (int i = 0; i < 10; i++)
		turn(20); /* what is on its way is not counted */
	if (run.len < 10 * (size_t)run.segment || run.segment < INNER_LEN) {
		fprintf(stderr, "relay_blast: a run of %zu B in segments of %u: not whole\n",
			run.len, run.segment);
		exit(1);
	}
}

static void blast(void)
{
	struct client *out = &clients[0], *in = &clients[1];
	uint64_t sent = 0, lost = 0, each = (run.len + run.segment - 1) / run.segment;
	ov_time start = clock_now(), now = start, heard = start, next = start;
	while (now - start < option.seconds * OV_SEC) {
		bool room = (sent - lost - in->datagrams) * run.segment < WINDOW;
		if (room && send_run(out->fd, run.bytes, run.len, run.segment))
			sent += each;
		now = clock_now();
		bool any = false;
		while (receive(in, now, true))
			any = true;
		if (any)
			heard = now;
		if (!any && now - heard > STALLED) {
			lost = sent - in->datagrams;
			heard = now;
		}
		if (now < next)
			continue;
		next = now + OV_MS;
		while (receive(out, now, true))
			continue;
		drain(out, now);
		drain(in, now);
	}
	double seconds = (double)(now - start) / (double)OV_SEC;
	printf("gbit=%.3f datagrams=%llu lost=%llu segment=%u run=%zu\n",
		(double)in->bytes * 8e-9 / seconds, (unsigned long long)in->datagrams,
		(unsigned long long)(sent - in->datagrams), run.segment, run.len);
}

static bool parse(int argc, char **argv)
{
	static const struct option names[] = { { "target", 1, 0, 't' }, { "to", 1, 0, 'a' },
		{ "from", 1, 0, 'f' }, { "at", 1, 0, 'b' }, { "seconds", 1, 0, 's' }, { 0 } };
	bool good = true;
	int o;
	while ((o = getopt_long(argc, argv, "", names, NULL)) != -1)
		switch (o) {
		case 't': good &= peer_id_parse(optarg, &option.target) == OV_OK; break;
		case 'a':
			option.to_text = optarg;
			good &= addr_parse(optarg, 0, &option.to) == OV_OK;
			break;
		case 'f': option.local[0] = optarg; break;
		case 'b': option.local[1] = optarg; break;
		case 's': option.seconds = (unsigned)strtoul(optarg, NULL, 10); break;
		default: good = false;
		}
	return good && option.to_text && option.local[0] && option.local[1];
}

int main(int argc, char **argv)
{
	char why[256];
	if (sodium_init() < 0 || aead_load(&aead, NULL, why, sizeof(why)) != OV_OK)
		return 1;
	if (!parse(argc, argv)) {
		fprintf(stderr, "usage: see the head of tools/bench/relay_blast.c\n");
		return 2;
	}
	ov_time now = clock_now();
	for (uint32_t i = 0; i < 2; i++)
		open_client(&clients[i], i, option.local[i], now);
	for (int i = 0; i < 2; i++) {
		struct local_address here = { .addr = clients[i].local,
			.interface = 1,
			.prefix_len = 16,
			.has_default_route = true };
		here.addr.port = 0;
		node_network_changed(clients[i].node, now, &here, 1, false);
		add_contact(&clients[i], &clients[1 - i], now);
		drain(&clients[i], now);
	}
	meet();
	blast();
	for (int i = 0; i < 2; i++)
		node_free(clients[i].node);
	return 0;
}
