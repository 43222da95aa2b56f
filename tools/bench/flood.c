/* flood - a hostile sender for tools/bench/flood.py: the profiles of security.md 4.5.
 *
 *   flood --target PEERID --to IPV4 --port PORT --profile a..g [--rate PPS] [--seconds T]
 *         [--contact K] [--index I]
 *
 *   a  random bytes                          b  HS1 with a wrong mac1
 *   c  HS1 with a right mac1 and a random e  d  the same from 1,000 addresses that answer cookies
 *   e  1,000 HS1 that contact K once sent    f  DATA with an unknown index
 *   g  DATA to the session with index I, tags wrong
 *
 * It knows what a stranger may know: the target's PeerId (a to d, f), what was once on the wire
 * (e), what is on it now (g). a, b, c, e, f and g come from made-up addresses in 10.78.0.0/16
 * through a raw socket; d from 10.79.0.0/16, which must be local here. Ends with one line sent=
 * bytes= answers=. Runs in a network namespace of its own only: it is given no other way to the
 * target. */
#include "core/aead_os.h"
#include "core/session.h"
#include "overlay/clock_os.h"
#include "overlay/entropy_os.h"
#include "tools/bench/peer_seed.h"

#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <netinet/ip.h>
#include <netinet/udp.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define BATCH     64
#define PAYLOAD   1400
#define IP_UDP    28
#define RECORDED  1000
#define SOURCES   1000
#define DATA_LEN  128
#define PAUSE_NS  20000
#define MACS_LEN  (2 * MAC_LEN)
#define PATIENCE  (3 * OV_SEC) /* for an answer while recording */
#define SPOOFED   0x0a4e0000u  /* 10.78.0.0 */
#define ANSWERING 0x0a4f0000u  /* 10.79.0.0 */

static struct {
	struct peer_id target;
	uint8_t dh[DH_LEN], mac1_key[32];
	struct sockaddr_in to;
	char profile;
	uint32_t rate, contact, index;
	ov_time seconds;
} option = { .rate = 100000, .seconds = 5 * OV_SEC };

static struct {
	uint64_t sent, bytes, answers;
} seen;

static struct rng rng;
static uint64_t random_state;
static uint8_t recorded[RECORDED][HS1_LEN];

static void die(const char *what)
{
	fprintf(stderr, "flood: %s: %s\n", what, strerror(errno));
	exit(1);
}

/* xorshift64*: a flood needs much and no quality. */
static uint64_t cheap(void)
{
	random_state ^= random_state >> 12;
	random_state ^= random_state << 25;
	random_state ^= random_state >> 27;
	return random_state * UINT64_C(2685821657736338717);
}

static void cheap_fill(uint8_t *out, size_t len)
{
	for (size_t i = 0; i < len; i += 8) {
		uint64_t v = cheap();
		memcpy(out + i, &v, len - i < 8 ? len - i : 8);
	}
}

/* ---- what is sent ---- */

static size_t data_to(uint8_t *out, uint32_t index)
{
	struct header h = { .type = PACKET_IP, .receiver = index, .counter = cheap() >> 40 };
	cheap_fill(out, DATA_LEN);
	header_encode(&h, out);
	return DATA_LEN;
}

static size_t hs1_shape(uint8_t out[HS1_LEN])
{
	struct header h = { .type = PACKET_HS1, .counter = (uint32_t)cheap() };
	cheap_fill(out, HS1_LEN);
	header_encode(&h, out);
	return HS1_LEN;
}

/* docs/protocol.md 3.3: mac1 covers what is before it. */
static size_t hs1_with_mac1(uint8_t out[HS1_LEN])
{
	hs1_shape(out);
	size_t covered = HS1_LEN - MACS_LEN;
	struct hash_key mac = { "OVL mac1 tag", option.mac1_key, 32 };
	ov_hash_keyed(out + covered, MAC_LEN, &mac, out, covered);
	memset(out + HS1_LEN - MAC_LEN, 0, MAC_LEN);
	return HS1_LEN;
}

static size_t make(uint8_t *out)
{
	size_t len;
	switch (option.profile) {
	case 'a':
		len = 1 + (size_t)(cheap() % 512);
		cheap_fill(out, len);
		return len;
	case 'b': return hs1_shape(out);
	case 'c': return hs1_with_mac1(out);
	case 'e': memcpy(out, recorded[seen.sent % RECORDED], HS1_LEN); return HS1_LEN;
	case 'f': return data_to(out, (uint32_t)cheap());
	case 'g': return data_to(out, option.index);
	default: assert(false); return 0;
	}
}

/* ---- made-up sources ---- */

struct raw_packet {
	struct iphdr ip;
	struct udphdr udp;
	uint8_t payload[PAYLOAD];
};
static_assert(offsetof(struct raw_packet, payload) == IP_UDP, "no padding");

static size_t address(struct raw_packet *p, size_t len)
{
	uint64_t v = cheap();
	p->ip = (struct iphdr){ .version = 4, .ihl = 5, .ttl = 64, .protocol = IPPROTO_UDP };
	p->ip.tot_len = htons((uint16_t)(IP_UDP + len)); /* the kernel adds the checksum */
	p->ip.saddr = htonl(SPOOFED | (uint32_t)(v & 0xffff));
	p->ip.daddr = option.to.sin_addr.s_addr;
	p->udp = (struct udphdr){ .dest = option.to.sin_port }; /* checksum 0: none, RFC 768 */
	p->udp.source = htons((uint16_t)(1024 + (v >> 16) % 60000));
	p->udp.len = htons((uint16_t)(sizeof(p->udp) + len));
	return IP_UDP + len;
}

static void raw_batch(int fd, size_t count)
{
	static struct raw_packet packets[BATCH];
	static struct mmsghdr messages[BATCH];
	static struct iovec iov[BATCH];
	for (size_t i = 0; i < count; i++) {
		size_t len = address(&packets[i], make(packets[i].payload));
		iov[i] = (struct iovec){ &packets[i], len };
		messages[i].msg_hdr = (struct msghdr){ .msg_name = &option.to,
			.msg_namelen = sizeof(option.to),
			.msg_iov = &iov[i],
			.msg_iovlen = 1 };
		seen.sent++;
		seen.bytes += len;
	}
	for (size_t done = 0; done < count;) {
		int n = sendmmsg(fd, messages + done, (unsigned)(count - done), 0);
		if (n > 0)
			done += (size_t)n;
		else if (errno != ENOBUFS && errno != EAGAIN && errno != EINTR)
			die("send");
	}
}

/* ---- sources that answer ---- */

static struct source {
	int fd;
	struct handshake asked; /* its HS1; only hs1, index and the target's key are used */
	struct cookie_packet got;
	bool has_cookie;
} sources[SOURCES];

static void sources_open(void)
{
	for (uint32_t i = 0; i < SOURCES; i++) {
		struct source *s = &sources[i];
		struct sockaddr_in at = { .sin_family = AF_INET,
			.sin_addr.s_addr = htonl(ANSWERING + 1 + i) };
		s->fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
		if (s->fd < 0 || bind(s->fd, (struct sockaddr *)&at, sizeof(at)))
			die("address in 10.79.0.0/16");
		memcpy(s->asked.noise.s_remote, option.dh, DH_LEN);
	}
}

/* Takes a cookie that came, asks the next question with it. */
static void source_turn(struct source *s)
{
	uint8_t in[2048];
	ssize_t len;
	while ((len = recv(s->fd, in, sizeof(in), 0)) > 0) {
		seen.answers++;
		s->has_cookie |=
			cookie_packet_decode(&s->asked, in, (size_t)len, &s->got) == DROP_NONE;
	}
	s->asked.hs1_len = hs1_with_mac1(s->asked.hs1);
	s->asked.index = load_le32(s->asked.hs1 + 8);
	if (s->has_cookie)
		handshake_add_mac2(&s->asked, s->got.cookie);
	seen.sent++;
	seen.bytes += IP_UDP + HS1_LEN;
	sendto(s->fd, s->asked.hs1, HS1_LEN, 0, (struct sockaddr *)&option.to, sizeof(option.to));
}

/* ---- recording ---- */

static void ask(struct handshake *h, const struct identity *self, uint32_t seq)
{
	static const struct handshake_network network;
	struct aead_table aead;
	char why[256];
	if (aead_load(&aead, NULL, why, sizeof(why)) != OV_OK)
		die(why);
	struct hs1_payload payload = { .peer = self->id,
		.seq = (uint64_t)time(NULL) << 32 | seq,
		.association = 1,
		.instance = 1,
		.mtu = 1452,
		.suites = aead_offer(&aead) };
	struct hs1_config config = { .net = &network,
		.self = self,
		.remote_dh = option.dh,
		.index = seq + 1,
		.payload = &payload };
	if (handshake_start(h, &config, &rng))
		die("handshake");
}

/* The next datagram of this type, or 0. */
static size_t await(int fd, uint8_t type, uint8_t *in, size_t size)
{
	ov_time until = clock_now() + PATIENCE;
	while (clock_now() < until) {
		ssize_t len = recv(fd, in, size, 0);
		if (len > HEADER_LEN && in[0] == type)
			return (size_t)len;
	}
	return 0;
}

static void confirm(int fd, struct handshake *h, const struct identity *self)
{
	static struct session session; /* 64-byte aligned */
	uint8_t in[2048], out[PACKET_OVERHEAD];
	struct hs2_opened o;
	struct aead_table aead;
	char why[256];
	size_t len = await(fd, PACKET_HS2, in, sizeof(in));
	if (!len || handshake_finish(h, self, in, len, &o) != DROP_NONE)
		die("no HS2 while recording");
	struct session_config agreed = { &o.keys, h->index, o.remote_index, true };
	if (aead_load(&aead, NULL, why, sizeof(why)) != OV_OK ||
		!session_init(&session, clock_now(), aead_find(&aead, (enum suite)o.payload.suite),
			&agreed))
		die("session");
	len = session_seal(&session, PACKET_CONTROL, 0, out, 0, out);
	sendto(fd, out, len, 0, (struct sockaddr *)&option.to, sizeof(option.to));
	if (!await(fd, PACKET_CONTROL, in, sizeof(in)))
		die("the handshake was not confirmed while recording");
	session_fini(&session);
}

/* RECORDED handshakes of a contact, then a later one that is completed: the others are the past. */
static void record(void)
{
	struct identity self = bench_identity(option.contact);
	struct timeval patience = { .tv_sec = 1 };
	struct handshake h;
	int fd = socket(AF_INET, SOCK_DGRAM, 0);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	for (uint32_t i = 0; i < RECORDED; i++) {
		ask(&h, &self, i);
		memcpy(recorded[i], h.hs1, HS1_LEN);
	}
	ask(&h, &self, RECORDED);
	sendto(fd, h.hs1, HS1_LEN, 0, (struct sockaddr *)&option.to, sizeof(option.to));
	confirm(fd, &h, &self);
	close(fd);
}

/* ---- the program ---- */

static void run(void)
{
	int fd = -1;
	if (option.profile == 'd')
		sources_open();
	else if ((fd = socket(AF_INET, SOCK_RAW, IPPROTO_RAW)) < 0)
		die("raw socket");
	prctl(PR_SET_TIMERSLACK, 1); /* evenly, not in bursts: a burst leaves gaps for others */
	puts("ready");
	fflush(stdout);
	ov_time start = clock_now(), now;
	while ((now = clock_now()) - start < option.seconds) {
		uint64_t due = (uint64_t)(now - start) * option.rate / 1000000000u - seen.sent;
		if (due == 0) {
			nanosleep(&(struct timespec){ .tv_nsec = PAUSE_NS }, NULL);
		} else if (fd >= 0) {
			raw_batch(fd, due < BATCH ? due : BATCH);
		} else {
			for (uint64_t i = 0; i < due && i < BATCH; i++)
				source_turn(&sources[seen.sent % SOURCES]);
		}
	}
}

static void parse(int argc, char **argv)
{
	static const struct option names[] = { { "target", 1, 0, 't' }, { "to", 1, 0, 'a' },
		{ "port", 1, 0, 'o' }, { "profile", 1, 0, 'p' }, { "rate", 1, 0, 'r' },
		{ "seconds", 1, 0, 's' }, { "contact", 1, 0, 'k' }, { "index", 1, 0, 'i' }, { 0 } };
	bool good = true;
	int o;
	option.to.sin_family = AF_INET;
	while ((o = getopt_long(argc, argv, "", names, NULL)) != -1)
		switch (o) {
		case 't': good &= peer_id_parse(optarg, &option.target) == OV_OK; break;
		case 'a': good &= inet_pton(AF_INET, optarg, &option.to.sin_addr) == 1; break;
		case 'o': option.to.sin_port = htons((uint16_t)strtoul(optarg, NULL, 10)); break;
		case 'p': option.profile = optarg[0]; break;
		case 'r': option.rate = (uint32_t)strtoul(optarg, NULL, 10); break;
		case 's': option.seconds = strtoll(optarg, NULL, 10) * OV_SEC; break;
		case 'k': option.contact = (uint32_t)strtoul(optarg, NULL, 10); break;
		case 'i': option.index = (uint32_t)strtoul(optarg, NULL, 10); break;
		default: good = false;
		}
	good &= option.profile >= 'a' && option.profile <= 'g' && option.to.sin_port;
	if (good && peer_id_to_dh(&option.target, option.dh) == OV_OK)
		return;
	fprintf(stderr, "usage: see the head of tools/bench/flood.c\n");
	exit(2);
}

int main(int argc, char **argv)
{
	struct rlimit files = { .rlim_cur = SOURCES + 64, .rlim_max = SOURCES + 64 };
	if (sodium_init() < 0)
		return 1;
	parse(argc, argv);
	if (option.profile == 'd' && setrlimit(RLIMIT_NOFILE, &files))
		die("open files");
	rng = entropy_rng();
	random_state = rng_u64(&rng) | 1;
	handshake_mac1_key(option.mac1_key, option.dh);
	if (option.profile == 'e')
		record();
	run();
	printf("sent=%llu bytes=%llu answers=%llu\n", (unsigned long long)seen.sent,
		(unsigned long long)seen.bytes, (unsigned long long)seen.answers);
	return 0;
}
