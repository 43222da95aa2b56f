/* stream_app - a program at either end of streams: what the benches and the long tests move bytes
 * with.
 *
 *   stream_app sink|check|echo|greet|close|hold [-w WIDTH] WHERE   takes streams until stdin ends
 *   stream_app put   [-n STREAMS] [-b BYTES] [-r MBIT] [-e] WHERE  writes, all streams at once
 *   stream_app open  [-n STREAMS] [-b BYTES] WHERE                 exchanges bytes with an echo,
 * then idles stream_app dial  [-c COUNT] [-g] [-p PAUSE_MS] WHERE           from the request to the
 * first byte stream_app churn [-c COUNT] [-s SECONDS] [-t THREADS] [-w WIDTH] WHERE   dials and
 * closes
 *
 * WHERE: stream_end.h. -b: of each stream, none: until stdin ends. -e: noise that `check` at the
 * other end knows, byte by byte. -g: the service speaks first, else an echo answers early data.
 * -w: requests under way on a connection.
 *
 * A line `stat` on stdin is answered by `stat NANOSECONDS BYTES...`, the bytes of each stream in
 * the order of their coming. `end STREAM BYTES exact|wrong`: a stream has ended. */
#include "stream_end.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <time.h>

enum {
	CHUNK = 1 << 18,
	STREAMS_MAX = 1 << 17,
	EVENTS = 64,
};

struct options {
	const char *mode;
	struct end end;
	size_t streams, count, threads, width;
	uint64_t bytes;
	double mbit, seconds;
	unsigned pause_ms;
	bool is_exact, greets;
};

struct flow {
	int fd;
	size_t number;
	uint64_t bytes, owed; /* owed: an echo has read them, and not written */
	bool is_wrong, is_done;
};

static struct flow *flows[STREAMS_MAX];
static atomic_size_t flow_count;
static uint8_t chunk[CHUNK], expected[CHUNK];

static uint64_t now_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* splitmix64: the word at a place of the noise. */
static uint64_t noise_word(uint64_t at)
{
	uint64_t z = (at + 1) * 0x9e3779b97f4a7c15u;
	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

/* The noise of a stream from a byte on; every stream has its own. */
static void noise(uint8_t *out, size_t len, size_t number, uint64_t offset)
{
	for (size_t i = 0; i < len;) {
		uint64_t word = noise_word(((uint64_t)number << 40) + (offset + i) / 8);
		size_t skip = (offset + i) % 8, n = 8 - skip < len - i ? 8 - skip : len - i;
		memcpy(out + i, (const uint8_t *)&word + skip, n);
		i += n;
	}
}

static struct flow *flow_add(int fd)
{
	struct flow *f = calloc(1, sizeof(*f));
	size_t number = atomic_load(&flow_count);
	if (!f || number == STREAMS_MAX)
		fail("too many streams");
	*f = (struct flow){ .fd = fd, .number = number };
	fcntl(fd, F_SETFL, O_NONBLOCK);
	flows[number] = f;
	atomic_store(&flow_count, number + 1);
	return f;
}

static void watch(int epoll, struct flow *f, uint32_t events)
{
	struct epoll_event e = { .events = events, .data.ptr = f };
	if (epoll_ctl(epoll, EPOLL_CTL_ADD, f->fd, &e) < 0)
		fail("epoll: %s", strerror(errno));
}

/* What came on stdin: false at its end. */
static bool obey(void)
{
	char line[64];
	ssize_t n = read(STDIN_FILENO, line, sizeof(line));
	if (n <= 0)
		return false;
	printf("stat %llu", (unsigned long long)now_ns());
	for (size_t i = 0, count = atomic_load(&flow_count); i < count; i++)
		printf(" %llu", (unsigned long long)flows[i]->bytes);
	putchar('\n');
	fflush(stdout);
	return true;
}

static void flow_end(struct flow *f)
{
	close(f->fd);
	f->is_done = true;
	printf("end %zu %llu %s\n", f->number, (unsigned long long)f->bytes,
		f->is_wrong ? "wrong" : "exact");
	fflush(stdout);
}

/* ---- who takes streams ---- */

struct taker {
	const struct options *o;
	int epoll, listener;
	struct control *control;
};

/* Early data is answered here and now: the other thread would have to be woken for it. */
static void echo_early(struct flow *f)
{
	char early[512];
	ssize_t n = read(f->fd, early, sizeof(early));
	if (n <= 0)
		return;
	f->bytes += (uint64_t)n;
	f->is_wrong = write(f->fd, early, (size_t)n) != n;
}

static void taken(struct taker *t, int fd)
{
	if (strcmp(t->o->mode, "close") == 0) {
		close(fd);
		return;
	}
	struct flow *f = flow_add(fd);
	if (strcmp(t->o->mode, "greet") == 0 && write(fd, "!", 1) != 1)
		f->is_wrong = true;
	if (strcmp(t->o->mode, "echo") == 0)
		echo_early(f);
	if (strcmp(t->o->mode, "hold") != 0)
		watch(t->epoll, f, EPOLLIN);
}

static void *take(void *user)
{
	struct taker *t = user;
	char line[512];
	size_t len = accept_line(&t->o->end, line, sizeof(line));
	for (size_t i = 0; !t->o->end.is_tcp && i < t->o->width; i++)
		control_say(t->control, line, len);
	for (;;) {
		int fd = t->o->end.is_tcp ? accept4(t->listener, NULL, NULL, SOCK_CLOEXEC)
					  : control_answer(t->control);
		if (fd < 0)
			fail("accept: no descriptor");
		taken(t, fd);
		if (!t->o->end.is_tcp)
			control_say(t->control, line, len);
	}
	return NULL;
}

/* True: there may be more. */
static bool take_bytes(const struct options *o, struct flow *f)
{
	ssize_t n = read(f->fd, chunk, sizeof(chunk));
	if (n <= 0) {
		if (n == 0 || errno != EAGAIN) {
			f->is_wrong = f->is_wrong || n < 0;
			flow_end(f);
		}
		return false;
	}
	if (strcmp(o->mode, "check") == 0) {
		noise(expected, (size_t)n, f->number, f->bytes);
		f->is_wrong = f->is_wrong || memcmp(chunk, expected, (size_t)n) != 0;
	}
	f->bytes += (uint64_t)n;
	if (strcmp(o->mode, "echo") == 0 && write(f->fd, chunk, (size_t)n) != n)
		f->is_wrong = true; /* echoes are small: they always fit */
	return (size_t)n == sizeof(chunk);
}

static int serve(const struct options *o)
{
	struct taker t = { .o = o, .epoll = epoll_create1(EPOLL_CLOEXEC), .listener = -1 };
	pthread_t thread;
	struct epoll_event e = { .events = EPOLLIN }, ready[EVENTS];
	end_listen(&o->end, &t.control, &t.listener);
	epoll_ctl(t.epoll, EPOLL_CTL_ADD, STDIN_FILENO, &e);
	if (pthread_create(&thread, NULL, take, &t) != 0)
		fail("no thread");
	puts("ready");
	fflush(stdout);
	for (;;) {
		int n = epoll_wait(t.epoll, ready, EVENTS, -1);
		for (int i = 0; i < n; i++) {
			if (ready[i].data.ptr)
				take_bytes(o, ready[i].data.ptr);
			else if (!obey())
				return 0;
		}
	}
}

/* ---- who writes ---- */

static void dial_all(const struct options *o)
{
	if (o->end.is_tcp) {
		for (size_t i = 0; i < o->streams; i++)
			flow_add(tcp_dial(&o->end));
		return;
	}
	struct control *c = control_open(o->end.path);
	char line[512];
	size_t len = dial_line(&o->end, false, line, sizeof(line));
	for (size_t asked = 0, i = 0; i < o->streams; i++) {
		for (; asked < o->streams && asked < i + o->width; asked++)
			control_say(c, line, len);
		int fd = control_answer(c);
		if (fd < 0)
			fail("dial: an answer without a descriptor");
		flow_add(fd);
	}
}

struct pace {
	uint64_t last, sent;
	double left; /* bytes; what could not be written in a second is not made up for */
};

/* How many bytes of all streams may be written now. */
static uint64_t budget(const struct options *o, struct pace *p)
{
	if (o->mbit <= 0)
		return UINT64_MAX;
	uint64_t now = now_ns();
	double most = o->mbit * 1e6 / 8;
	p->left += (double)(now - p->last) * most / 1e9;
	p->left = p->left < most ? p->left : most;
	p->last = now;
	return (uint64_t)p->left;
}

static size_t room(const struct options *o, const struct flow *f, uint64_t left)
{
	if (o->bytes && o->bytes - f->bytes < left)
		left = o->bytes - f->bytes;
	return left < CHUNK ? (size_t)left : CHUNK;
}

/* Writes what goes. False: nothing more may be written now, or it is done. */
static bool give_bytes(const struct options *o, struct flow *f, uint64_t left)
{
	size_t len = room(o, f, left);
	if (o->is_exact)
		noise(chunk, len, f->number, f->bytes);
	ssize_t n = send(f->fd, chunk, len, MSG_NOSIGNAL);
	if (n < 0 && errno != EAGAIN)
		fail("stream %zu broke: %s", f->number, strerror(errno));
	if (n > 0)
		f->bytes += (uint64_t)n;
	if (o->bytes && f->bytes == o->bytes) {
		shutdown(f->fd, SHUT_WR);
		f->is_done = true;
	}
	return n > 0;
}

/* The other end closes when it has all. */
static void wait_until_read(const struct options *o)
{
	for (size_t i = 0; i < o->streams; i++) {
		struct pollfd p = { .fd = flows[i]->fd, .events = POLLIN };
		while (poll(&p, 1, -1) > 0) {
			ssize_t n = read(flows[i]->fd, chunk, sizeof(chunk));
			if (n == 0)
				break;
			if (n < 0 && errno != EAGAIN)
				fail("stream %zu broke: %s", i, strerror(errno));
		}
	}
}

/* Waits for streams that are writable, or for stdin; with a rate not at once. False: stdin
 * ended. */
static bool put_round(const struct options *o, int epoll, struct pace *p)
{
	struct epoll_event ready[EVENTS];
	if (budget(o, p) < 1000)
		usleep(1000);
	int n = epoll_wait(epoll, ready, EVENTS, -1);
	for (int i = 0; i < n; i++) {
		struct flow *f = ready[i].data.ptr;
		if (!f) {
			if (!obey())
				return false;
			continue;
		}
		uint64_t allowed = budget(o, p), before = f->bytes;
		if (allowed > 0)
			give_bytes(o, f, allowed);
		p->sent += f->bytes - before;
		p->left -= (double)(f->bytes - before);
		if (f->is_done)
			epoll_ctl(epoll, EPOLL_CTL_DEL, f->fd, NULL);
	}
	return true;
}

static int put(const struct options *o)
{
	int epoll = epoll_create1(EPOLL_CLOEXEC);
	struct epoll_event e = { .events = EPOLLIN };
	uint64_t start = now_ns();
	struct pace p = { .last = start };
	dial_all(o);
	epoll_ctl(epoll, EPOLL_CTL_ADD, STDIN_FILENO, &e);
	for (size_t i = 0; i < o->streams; i++)
		watch(epoll, flows[i], EPOLLOUT);
	bool goes_on = true;
	while (goes_on && !(o->bytes && p.sent == o->bytes * o->streams))
		goes_on = put_round(o, epoll, &p);
	if (goes_on)
		wait_until_read(o);
	printf("done %llu %llu\n", (unsigned long long)p.sent,
		(unsigned long long)(now_ns() - start));
	return 0;
}

/* Idle streams that were used once. */
static int open_idle(const struct options *o)
{
	dial_all(o);
	for (size_t i = 0; i < o->streams; i++) {
		uint64_t left = o->bytes;
		fcntl(flows[i]->fd, F_SETFL, 0);
		if (left && send(flows[i]->fd, chunk, left, MSG_NOSIGNAL) != (ssize_t)left)
			fail("stream %zu does not take %llu bytes", i, (unsigned long long)left);
		while (left > 0) {
			ssize_t n = read(flows[i]->fd, chunk, left);
			if (n <= 0)
				fail("stream %zu ended", i);
			left -= (uint64_t)n;
		}
	}
	puts("ready");
	fflush(stdout);
	while (obey())
		;
	return 0;
}

/* ---- who dials ---- */

static uint64_t first_byte_tcp(const struct options *o)
{
	char byte;
	uint64_t start = now_ns();
	int fd = tcp_dial(&o->end);
	if ((!o->greets && write(fd, "x", 1) != 1) || read(fd, &byte, 1) != 1)
		fail("no first byte");
	uint64_t took = now_ns() - start;
	close(fd);
	return took;
}

/* Inline: one write is the request and the early data. */
static uint64_t first_byte(const struct options *o)
{
	char text[512];
	size_t len = dial_line(&o->end, true, text, sizeof(text) - 1);
	if (!o->greets)
		text[len++] = 'x';
	struct control *c = control_open(o->end.path);
	uint64_t start = now_ns();
	control_say(c, text, len);
	control_answer(c);
	if (c->taken == c->len)
		control_fill(c);
	uint64_t took = now_ns() - start;
	close(c->fd);
	free(c);
	return took;
}

static int dial(const struct options *o)
{
	for (size_t i = 0; i < o->count; i++) {
		uint64_t took = o->end.is_tcp ? first_byte_tcp(o) : first_byte(o);
		printf("%llu\n", (unsigned long long)took);
		fflush(stdout);
		usleep(o->pause_ms * 1000);
	}
	return 0;
}

struct churner {
	const struct options *o;
	uint64_t until;
	atomic_size_t *left; /* to dial */
	atomic_size_t *done;
};

static bool takes_one(atomic_size_t *left)
{
	size_t n = atomic_load(left);
	while (n > 0 && !atomic_compare_exchange_weak(left, &n, n - 1))
		;
	return n > 0;
}

static void *churn_one(void *user)
{
	const struct churner *k = user;
	struct control *c = control_open(k->o->end.path);
	char line[512];
	size_t len = dial_line(&k->o->end, false, line, sizeof(line)), waiting = 0;
	for (;;) {
		while (waiting < k->o->width && now_ns() < k->until && takes_one(k->left)) {
			control_say(c, line, len);
			waiting++;
		}
		if (waiting == 0)
			return NULL;
		close(control_answer(c));
		waiting--;
		atomic_fetch_add(k->done, 1);
	}
}

static int churn(const struct options *o)
{
	pthread_t threads[64];
	atomic_size_t left = o->count ? o->count : SIZE_MAX, done = 0;
	uint64_t start = now_ns();
	struct churner k = { o, UINT64_MAX, &left, &done };
	if (o->seconds > 0)
		k.until = start + (uint64_t)(o->seconds * 1e9);
	for (size_t i = 0; i < o->threads; i++)
		if (pthread_create(&threads[i], NULL, churn_one, &k) != 0)
			fail("no thread");
	for (size_t i = 0; i < o->threads; i++)
		pthread_join(threads[i], NULL);
	printf("done %zu %llu\n", atomic_load(&done), (unsigned long long)(now_ns() - start));
	return 0;
}

static const struct {
	const char *name;
	int (*run)(const struct options *o);
} modes[] = {
	{ "sink", serve },
	{ "check", serve },
	{ "echo", serve },
	{ "greet", serve },
	{ "close", serve },
	{ "hold", serve },
	{ "put", put },
	{ "open", open_idle },
	{ "dial", dial },
	{ "churn", churn },
};

static void parse(struct options *o, int argc, char **argv)
{
	for (int c; (c = getopt(argc, argv, "b:c:egn:p:r:s:t:w:")) != -1;) {
		switch (c) {
		case 'b': o->bytes = strtoull(optarg, NULL, 10); break;
		case 'c': o->count = strtoul(optarg, NULL, 10); break;
		case 'e': o->is_exact = true; break;
		case 'g': o->greets = true; break;
		case 'n': o->streams = strtoul(optarg, NULL, 10); break;
		case 'p': o->pause_ms = (unsigned)strtoul(optarg, NULL, 10); break;
		case 'r': o->mbit = strtod(optarg, NULL); break;
		case 's': o->seconds = strtod(optarg, NULL); break;
		case 't': o->threads = strtoul(optarg, NULL, 10); break;
		case 'w': o->width = strtoul(optarg, NULL, 10); break;
		default: exit(2);
		}
	}
	if (o->threads < 1 || o->threads > 64 || o->streams > STREAMS_MAX)
		fail("at most 64 threads, %d streams", STREAMS_MAX);
}

int main(int argc, char **argv)
{
	struct options o = { .streams = 1, .threads = 4, .width = 8 };
	if (argc < 3)
		fail("usage: stream_app MODE [OPTIONS] WHERE; see the head of tools/bench/stream_app.c");
	o.mode = argv[1];
	parse(&o, argc - 1, argv + 1);
	if (optind + 3 > argc + 1 || argv[optind + 1] == NULL)
		fail("WHERE is missing");
	for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
		if (strcmp(modes[i].name, o.mode) == 0) {
			o.end = end_of(argv[optind + 1], modes[i].run != serve);
			return modes[i].run(&o);
		}
	}
	fail("unknown mode %s", o.mode);
}
