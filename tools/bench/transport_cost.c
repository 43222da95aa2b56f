/* transport_cost - what the pure layer alone costs (core/transport.h): two transports in one
 * process, packets handed over without cipher and sockets.
 *
 *   transport_cost [MEGABYTES [BATCH [LOSS_PER_10000]]]
 *
 * BATCH packets are made, then as many are taken, as a daemon does with what one system call
 * brings. Prints nanoseconds a packet, of one thread: what the sender needs to make it and to take
 * its share of ACKs, and the receiver to take it; bytes of an idle stream, both ends in one. */
#include "core/bytes.h"
#include "core/transport.h"

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define OVERHEAD  34
#define DATAGRAM  1452
#define BATCH_MAX 256
#define IDLE      2000

struct packet {
	size_t len;
	uint8_t bytes[DATAGRAM];
};

struct ends {
	struct transport *a, *b;
	ov_time now;
	uint64_t received, packets, acks, random;
	uint32_t loss;
	struct packet batch[BATCH_MAX];
};

static double ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static size_t make(struct ends *e, struct transport *t, size_t most)
{
	size_t count = 0;
	while (count < most) {
		struct packet *p = &e->batch[count];
		struct wr w = wr_init(p->bytes, sizeof(p->bytes));
		if (!transport_poll(t, e->now, &w))
			break;
		p->len = wr_len(&w);
		count++;
	}
	return count;
}

static void take(struct ends *e, struct transport *t, const struct packet *p)
{
	struct rd r = rd_init(p->bytes, p->len);
	struct frame f;
	struct number_frame number;
	bool numbered = false;
	while (frame_next(&r, &f) == 1) {
		if (f.type == FRAME_NUMBER) {
			number = f.as.number;
			numbered = true;
		} else if (transport_on_frame(t, e->now, &f) != OV_OK) {
			fputs("transport_cost: a frame is refused\n", stderr);
			exit(1);
		}
	}
	if (numbered)
		transport_on_number(t, e->now, &number, ECN_NONE);
}

static bool is_lost(struct ends *e)
{
	e->random = e->random * 6364136223846793005u + 1442695040888963407u;
	return (e->random >> 33) % 10000 < e->loss;
}

static void read_all(struct ends *e)
{
	struct transport_event event;
	while (transport_next_event(e->b, &event))
		for (;;) {
			size_t len = 0;
			if (!transport_peek(e->b, event.stream, &len) || len == 0)
				break;
			transport_consume(e->b, e->now, event.stream, len);
			e->received += len;
		}
	while (transport_next_event(e->a, &event))
		;
}

static void fill(struct ends *e, uint64_t stream)
{
	size_t len;
	while ((len = 65536, transport_reserve(e->a, stream, &len)) != NULL)
		transport_commit(e->a, stream, len);
}

struct spent {
	double making, taking, acks, app;
};

static void round_of(struct ends *e, uint64_t stream, size_t batch, struct spent *s)
{
	double t0 = ns();
	fill(e, stream);
	double t1 = ns();
	size_t count = make(e, e->a, batch);
	double t2 = ns();
	for (size_t i = 0; i < count; i++)
		if (!is_lost(e))
			take(e, e->b, &e->batch[i]);
	double t3 = ns();
	read_all(e);
	double t4 = ns();
	size_t back = make(e, e->b, BATCH_MAX);
	for (size_t i = 0; i < back; i++)
		take(e, e->a, &e->batch[i]);
	double t5 = ns();
	s->app += t1 - t0 + t4 - t3;
	s->making += t2 - t1;
	s->taking += t3 - t2;
	s->acks += t5 - t4;
	e->packets += count;
	e->acks += back;
	/* As long as these packets would take at 10 Gbit/s, or until something is due. */
	ov_time next = ov_min(transport_deadline(e->a, e->now), transport_deadline(e->b, e->now));
	ov_time step = count ? (ov_time)count * 1200 : ov_max(1000, next - e->now);
	e->now += ov_min(step, 100 * OV_MS);
	transport_tick(e->a, e->now);
	transport_tick(e->b, e->now);
}

static struct transport *end_new(bool is_lower, ov_time now)
{
	struct transport *t = transport_new(
		now, &(struct transport_config){ .is_lower = is_lower, .table_secret = 1 });
	if (!t)
		exit(1);
	transport_use_path(t, now,
		&(struct transport_path){ .key = 1, .datagram = DATAGRAM, .overhead = OVERHEAD });
	return t;
}

static size_t idle_bytes(struct ends *e, size_t used)
{
	size_t before = mallinfo2().uordblks;
	static const uint8_t data[1024];
	for (size_t i = 0; i < IDLE; i++) {
		uint64_t stream;
		if (transport_open(e->a, e->now, &stream) != OV_OK ||
			(used && transport_write(e->a, stream, data, used) != used))
			exit(1);
		struct spent s = { 0 };
		for (int k = 0; k < 3; k++)
			round_of(e, stream + 1000000, BATCH_MAX, &s);
	}
	struct spent s = { 0 };
	for (int k = 0; k < 50; k++)
		round_of(e, 1000000, BATCH_MAX, &s);
	return (mallinfo2().uordblks - before) / IDLE;
}

int main(int argc, char **argv)
{
	uint64_t megabytes = argc > 1 ? strtoull(argv[1], NULL, 10) : 500, stream;
	size_t batch = argc > 2 ? strtoul(argv[2], NULL, 10) : 44;
	static struct ends e = { .now = OV_SEC, .random = 1 };
	if (batch < 1 || batch > BATCH_MAX)
		return 2;
	e.loss = argc > 3 ? (uint32_t)strtoul(argv[3], NULL, 10) : 0;
	e.a = end_new(true, e.now);
	e.b = end_new(false, e.now);
	if (transport_open(e.a, e.now, &stream) != OV_OK)
		return 1;
	struct spent s = { 0 };
	while (e.received < megabytes * 1000000)
		round_of(&e, stream, batch, &s);
	double n = (double)e.packets;
	struct transport_info info = transport_info(e.a);
	printf("packets=%llu bytes_each=%.0f make_ns=%.0f take_ns=%.0f acks_ns=%.0f app_ns=%.0f acks=%.2f "
	       "lost=%llu window=%llu\n",
		(unsigned long long)e.packets, (double)e.received / n, s.making / n, s.taking / n,
		s.acks / n, s.app / n, (double)e.acks / n, (unsigned long long)info.lost_packets,
		(unsigned long long)info.window);
	if (e.loss == 0) {
		size_t opened = idle_bytes(&e, 1), used = idle_bytes(&e, 1000);
		printf("idle_bytes_used_1=%zu idle_bytes_used_1000=%zu both ends\n", opened, used);
	}
	transport_free(e.a);
	transport_free(e.b);
	return 0;
}
