/* stream_node - what streams cost without a kernel: two nodes in one process, sealed and opened
 * with the real cipher, datagrams handed over in memory.
 *
 *   stream_node [MEGABYTES [AEAD-BACKEND]]
 *
 * Prints nanoseconds for each datagram of the sender, by what is done: the app's writing,
 * node_poll, node_input, reading, and what the ACKs cost both. One thread. */
#include "core/aead_os.h"
#include "overlay/entropy_os.h"
#include "overlay/node_streams.h"
#include "tools/bench/peer_seed.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define RUNS  32
#define TURNS 2000

struct end {
	struct node *node;
	struct identity self;
	struct ov_addr at;
	struct node_stream *stream;
};

static struct aead_table aead;
static struct end ends[2];
static ov_time now = OV_SEC;
static uint8_t wire[1 << 20]; /* what a socket holds */
static double copying;

static void die(const char *what)
{
	fprintf(stderr, "stream_node: %s\n", what);
	exit(1);
}

static double ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static void end_init(struct end *e, uint32_t k)
{
	struct node_config c = node_config_default();
	c.max_contacts = 2;
	c.boot_epoch = 1;
	c.datagram_max = 1472;
	e->self = bench_identity(k);
	e->at = addr_v4(10, 0, 0, (uint8_t)k, 27182);
	e->node = node_new(&c, &e->self, &aead, entropy_rng(), now);
	if (!e->node)
		die("out of memory");
}

static void acquaint(struct end *e, const struct end *other, bool call)
{
	struct contact c = {
		.id = other->self.id, .name = "other", .grants = { .bits = GRANT_ALL }
	};
	char text[ADDR_TEXT_MAX];
	addr_format(&other->at, text);
	if (contact_add_endpoint(&c, text) != OV_OK ||
		node_contact_put(e->node, now, &c, call) != OV_OK)
		die("contact");
	contact_fini(&c);
}

struct batch {
	struct dgram runs[1024];
	size_t count, datagrams;
};

/* What `from` has to say, copied as a kernel would, up to as much as a socket may hold. */
static void poll_all(struct end *from, const struct end *to, struct batch *b)
{
	struct dgram out[RUNS];
	size_t n, used = 0;
	b->count = b->datagrams = 0;
	while (used < sizeof(wire) / 4 && (n = node_poll(from->node, now, out, RUNS)) > 0) {
		double start = ns();
		for (size_t i = 0; i < n; i++) {
			struct dgram d = out[i];
			if (used + d.len > sizeof(wire) || b->count == 1024)
				die("too much at once");
			memcpy(wire + used, d.data, d.len);
			b->datagrams += (d.len + d.segment - 1u) / d.segment;
			d.data = wire + used;
			d.interface = 1;
			d.remote = from->at;
			d.local = to->at;
			used += d.len;
			b->runs[b->count++] = d;
		}
		copying += ns() - start;
	}
}

static void give(struct end *to, const struct batch *b)
{
	for (size_t i = 0; i < b->count; i++)
		node_input(to->node, now, &b->runs[i], 1);
}

static void drain(struct end *e)
{
	struct node_event event;
	const struct ip_packet *packets;
	while (node_event(e->node, &event))
		continue;
	(void)node_inbound(e->node, &packets);
}

static void events(struct end *e)
{
	struct node_stream_event event;
	while (node_stream_event(e->node, &event))
		if (event.events & STREAM_OPENED)
			e->stream = event.stream;
}

static void turn(struct batch *b)
{
	for (int i = 0; i < 2; i++) {
		if (node_deadline(ends[i].node) <= now)
			node_tick(ends[i].node, now);
		poll_all(&ends[i], &ends[!i], b);
		give(&ends[!i], b);
		drain(&ends[0]);
		drain(&ends[1]);
	}
}

static uint64_t read_all(struct end *e)
{
	uint64_t total = 0;
	size_t len;
	while (e->stream && node_stream_peek(e->stream, &len)) {
		node_stream_consume(e->node, now, e->stream, len);
		total += len;
	}
	return total;
}

static void write_all(struct end *e)
{
	size_t len;
	while ((len = 65536, node_stream_reserve(e->stream, &len)) != NULL)
		node_stream_commit(e->node, e->stream, len);
}

struct spent {
	double writing, polling, taking, reading, acks;
	uint64_t datagrams, bytes;
};

static void flow(struct spent *s, struct batch *b)
{
	double t0 = ns(), copied = copying;
	write_all(&ends[0]);
	double t1 = ns();
	if (node_deadline(ends[0].node) <= now)
		node_tick(ends[0].node, now);
	poll_all(&ends[0], &ends[1], b);
	double t2 = ns() - (copying - copied);
	s->datagrams += b->datagrams;
	double t3 = ns();
	give(&ends[1], b);
	events(&ends[1]);
	double t4 = ns();
	s->bytes += read_all(&ends[1]);
	double t5 = ns();
	poll_all(&ends[1], &ends[0], b);
	give(&ends[0], b);
	events(&ends[0]);
	s->acks += ns() - t5;
	s->writing += t1 - t0;
	s->polling += t2 - t1;
	s->taking += t4 - t3;
	s->reading += t5 - t4;
	drain(&ends[0]);
	drain(&ends[1]);
	now += 50 * OV_US;
}

int main(int argc, char **argv)
{
	static struct batch b;
	uint64_t megabytes = argc > 1 ? strtoull(argv[1], NULL, 10) : 500;
	char why[256];
	if (sodium_init() < 0 ||
		aead_load(&aead, argc > 2 ? argv[2] : NULL, why, sizeof(why)) != OV_OK)
		die("no cipher");
	end_init(&ends[0], 1);
	end_init(&ends[1], 2);
	acquaint(&ends[1], &ends[0], false);
	acquaint(&ends[0], &ends[1], true);
	for (int i = 0; i < TURNS; i++, now += OV_MS)
		turn(&b);
	if (node_stream_open(ends[0].node, now, &ends[1].self.id, NULL, &ends[0].stream) != OV_OK)
		die("no stream");
	struct spent s = { 0 };
	while (s.bytes < megabytes * 1000000)
		flow(&s, &b);
	struct peer_info p;
	struct node_streams_info info;
	(void)node_peer_info(ends[0].node, now, &ends[1].self.id, &p);
	(void)node_streams_info(ends[0].node, &ends[1].self.id, &info);
	double n = (double)s.datagrams;
	printf("%s %s datagrams=%.0f bytes_each=%.0f write_ns=%.0f poll_ns=%.0f input_ns=%.0f read_ns=%.0f "
	       "acks_ns=%.0f copy_ns=%.0f lost=%llu window=%llu in_flight=%llu\n",
		p.suite, p.backend, n, (double)s.bytes / n, s.writing / n, s.polling / n,
		s.taking / n, s.reading / n, s.acks / n, copying / n,
		(unsigned long long)info.lost_packets, (unsigned long long)info.window,
		(unsigned long long)info.in_flight);
	node_free(ends[0].node);
	node_free(ends[1].node);
	return 0;
}
