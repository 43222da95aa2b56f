/* delay - a line of fixed delay, loss and rate between two interfaces.
 *
 * There is no netem here. This is a cable, not a router: frames that come in on one interface leave
 * on the other after the delay, unchanged, so they cross no forward hook twice and no TTL tells.
 * The two interfaces sit in a namespace of their own without addresses. Frames carry a virtio
 * header (PACKET_VNET_HDR), so TCP segments of up to 64 KB and partial checksums pass as they are.
 *
 *   delay [-d DELAY_US] [-l LOSS_PER_10000] [-r MBIT] [-q QUEUE_KB] [-s SEED] DEVICE DEVICE
 *
 * Each direction has a ring: a frame leaves when the line is free (rate) and its delay is over.
 * What exceeds the queue in front of a limited rate is dropped at the tail. Loss is drawn from the
 * seed, so a run repeats.
 *
 * Maximum rate, measured on one of two EPYC cores that others used too: 157,000 frames/s (1.9
 * Gbit/s of full frames that come one by one) and 6.5 Gbit/s of TCP in 64 KB frames, 4.3 us of CPU
 * per frame. tests/lab/test_parts.py checks its delay, loss and rate before others count on them.
 *
 * SIGTERM ends it with a line of counters. */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/virtio_net.h>
#include <net/if.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#ifndef PACKET_IGNORE_OUTGOING
#define PACKET_IGNORE_OUTGOING 23 /* Linux 4.20 */
#endif

enum {
	RING = 64 << 20,
	FRAME_MAX = 66000, /* virtio header, ethernet header, 64 KB */
	BATCH = 64,
};

struct line {
	uint64_t delay_ns;
	uint64_t queue_ns; /* how long a frame may wait for the rate */
	double ns_per_byte;
	uint32_t loss; /* of 10,000 */
	uint64_t random;
};

/* One entry of the ring; the frame follows it. A length of 0 means: go on at the start. */
struct entry {
	uint64_t due_ns;
	uint64_t len;
};

struct lane {
	int in, out;
	uint8_t *ring;
	size_t head, tail; /* head == tail: empty */
	uint64_t free_ns;  /* when the line has sent what it accepted */
	uint64_t frames, bytes, lost, full;
};

static volatile sig_atomic_t stopped;

static void on_stop(int number)
{
	(void)number;
	stopped = 1;
}

static uint64_t now_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* splitmix64 */
static uint64_t draw(uint64_t *state)
{
	uint64_t z = (*state += 0x9e3779b97f4a7c15u);
	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

static struct entry *entry_at(const struct lane *l, size_t at)
{
	return (struct entry *)(void *)(l->ring + at); /* all sizes are multiples of 8 */
}

/* Where the next frame may be received to, or NULL when the ring is full. */
static struct entry *lane_room(struct lane *l)
{
	const size_t need = 2 * sizeof(struct entry) + FRAME_MAX;
	if (l->tail >= l->head) {
		if (RING - l->tail >= need)
			return entry_at(l, l->tail);
		if (l->head < need)
			return NULL;
		entry_at(l, l->tail)->len = 0;
		l->tail = 0;
		return entry_at(l, 0);
	}
	return l->head - l->tail > need ? entry_at(l, l->tail) : NULL;
}

static struct entry *lane_first(struct lane *l)
{
	if (l->head == l->tail)
		return NULL;
	struct entry *e = entry_at(l, l->head);
	if (e->len == 0) {
		l->head = 0;
		return l->head == l->tail ? NULL : entry_at(l, 0);
	}
	return e;
}

static size_t entry_size(const struct entry *e)
{
	return sizeof(*e) + (e->len + 7) / 8 * 8;
}

/* Takes one frame from the interface. False: nothing there. */
static bool lane_receive(struct lane *l, struct line *line)
{
	static uint8_t spill[FRAME_MAX];
	struct entry *e = lane_room(l);
	ssize_t n = recv(l->in, e ? (uint8_t *)(e + 1) : spill, FRAME_MAX, MSG_DONTWAIT);
	if (n <= (ssize_t)sizeof(struct virtio_net_hdr))
		return n > 0;
	uint64_t now = now_ns();
	uint64_t start = l->free_ns > now ? l->free_ns : now;
	if (!e || start - now > line->queue_ns) {
		l->full++;
		return true;
	}
	if (line->loss && draw(&line->random) % 10000 < line->loss) {
		l->lost++;
		return true;
	}
	l->free_ns = start + (uint64_t)((double)n * line->ns_per_byte);
	e->due_ns = l->free_ns + line->delay_ns;
	e->len = (uint64_t)n;
	l->tail += entry_size(e);
	return true;
}

/* Sends what is due and tells when the next frame is. */
static uint64_t lane_send(struct lane *l)
{
	for (struct entry *e; (e = lane_first(l)) != NULL;) {
		if (e->due_ns > now_ns())
			return e->due_ns;
		if (send(l->out, e + 1, e->len, 0) < 0)
			l->full++;
		else
			l->frames++, l->bytes += e->len;
		l->head += entry_size(e);
	}
	return UINT64_MAX;
}

static int open_device(const char *name)
{
	int fd = socket(AF_PACKET, SOCK_RAW, 0), one = 1, size = 16 << 20;
	struct sockaddr_ll at = { .sll_family = AF_PACKET,
		.sll_protocol = htons(ETH_P_ALL),
		.sll_ifindex = (int)if_nametoindex(name) };
	if (fd < 0 || at.sll_ifindex == 0 ||
		setsockopt(fd, SOL_PACKET, PACKET_VNET_HDR, &one, sizeof(one)) < 0 ||
		setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &one, sizeof(one)) < 0 ||
		bind(fd, (struct sockaddr *)&at, sizeof(at)) < 0) {
		fprintf(stderr, "delay: %s: %s\n", name, strerror(errno));
		exit(1);
	}
	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)) < 0)
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
	return fd;
}

static void lane_init(struct lane *l, int in, int out)
{
	*l = (struct lane){ .in = in, .out = out };
	l->ring = mmap(NULL, RING, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (l->ring == MAP_FAILED) {
		perror("delay: ring");
		exit(1);
	}
}

static void forward(struct lane lanes[2], struct line *line)
{
	struct pollfd ready[2] = { { lanes[0].in, POLLIN, 0 }, { lanes[1].in, POLLIN, 0 } };
	while (!stopped) {
		bool more = false;
		uint64_t next = UINT64_MAX;
		for (int i = 0; i < 2; i++) {
			int k = 0;
			while (k < BATCH && lane_receive(&lanes[i], line))
				k++;
			more = more || k == BATCH;
			uint64_t due = lane_send(&lanes[i]);
			next = due < next ? due : next;
		}
		if (more)
			continue;
		uint64_t now = now_ns(), left = next > now ? next - now : 0;
		struct timespec wait = { (time_t)(left / 1000000000u), (long)(left % 1000000000u) };
		ppoll(ready, 2, next == UINT64_MAX ? NULL : &wait, NULL);
	}
}

int main(int argc, char **argv)
{
	struct line line = { .queue_ns = UINT64_MAX, .random = 1 };
	double mbit = 0, queue_kb = 256;
	for (int o; (o = getopt(argc, argv, "d:l:r:q:s:")) != -1;) {
		switch (o) {
		case 'd': line.delay_ns = strtoull(optarg, NULL, 10) * 1000; break;
		case 'l': line.loss = (uint32_t)strtoul(optarg, NULL, 10); break;
		case 'r': mbit = strtod(optarg, NULL); break;
		case 'q': queue_kb = strtod(optarg, NULL); break;
		case 's': line.random = strtoull(optarg, NULL, 10); break;
		default: return 2;
		}
	}
	if (optind + 2 != argc) {
		fprintf(stderr,
			"usage: delay [-d DELAY_US] [-l LOSS_PER_10000] [-r MBIT] [-q QUEUE_KB] "
			"[-s SEED] DEVICE DEVICE\n");
		return 2;
	}
	if (mbit > 0) {
		line.ns_per_byte = 8000 / mbit;
		line.queue_ns = (uint64_t)(queue_kb * 1024 * line.ns_per_byte);
	}
	struct sigaction stop = { .sa_handler = on_stop };
	sigaction(SIGTERM, &stop, NULL);
	sigaction(SIGINT, &stop, NULL);
	prctl(PR_SET_TIMERSLACK, 1);

	int a = open_device(argv[optind]), b = open_device(argv[optind + 1]);
	struct lane lanes[2];
	lane_init(&lanes[0], a, b);
	lane_init(&lanes[1], b, a);
	printf("ready\n");
	fflush(stdout);
	forward(lanes, &line);
	for (int i = 0; i < 2; i++)
		printf("%s frames=%llu bytes=%llu lost=%llu full=%llu\n", i ? "back" : "forth",
			(unsigned long long)lanes[i].frames, (unsigned long long)lanes[i].bytes,
			(unsigned long long)lanes[i].lost, (unsigned long long)lanes[i].full);
	return 0;
}
