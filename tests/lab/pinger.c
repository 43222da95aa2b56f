/* pinger - ICMP echo at a steady rate, one line per answer.
 *
 * A lab needs to know when each ping left and came back on the clock of the test (CLOCK_MONOTONIC),
 * and a bench needs round trips without the cost of a program that prints for people. A request
 * goes out every interval, whether or not the last one was answered; its send time travels in the
 * payload, so an answer that comes after seconds still tells its own round trip.
 *
 *   pinger [-l] [-i INTERVAL_US] [-c COUNT] [-w WAIT_MS] [-s PAYLOAD] ADDRESS
 *
 * Prints "SEQ SENT_NS RTT_NS" per answer and at the end "sent N received N"; ends after COUNT
 * requests and WAIT_MS more, or by SIGTERM or SIGINT at once. -l: each line is written at once, for
 * whoever reads along. */
#include <arpa/inet.h>
#include <netinet/icmp6.h>
#include <netinet/ip_icmp.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { ECHO = 8, MAX_PAYLOAD = 1400 };

struct body {
	uint64_t seq;
	uint64_t sent_ns;
};

struct pinger {
	int fd;
	bool six;
	struct sockaddr_storage to;
	socklen_t to_len;
	size_t payload;
	uint16_t ident;
	uint64_t sent, received;
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

static uint16_t checksum(const uint8_t *data, size_t len)
{
	uint32_t sum = 0;
	for (size_t i = 0; i + 1 < len; i += 2)
		sum += (uint32_t)data[i] << 8 | data[i + 1];
	if (len & 1)
		sum += (uint32_t)data[len - 1] << 8;
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return htons((uint16_t)~sum);
}

static void ping(struct pinger *p)
{
	uint8_t packet[ECHO + MAX_PAYLOAD] = { 0 };
	struct body body = { p->sent++, now_ns() };
	uint16_t seq = htons((uint16_t)body.seq);
	packet[0] = p->six ? ICMP6_ECHO_REQUEST : ICMP_ECHO;
	memcpy(packet + 4, &p->ident, 2);
	memcpy(packet + 6, &seq, 2);
	memcpy(packet + ECHO, &body, sizeof(body));
	if (!p->six) { /* ICMPv6: the kernel fills it in */
		uint16_t sum = checksum(packet, ECHO + p->payload);
		memcpy(packet + 2, &sum, 2);
	}
	/* No route for a while is part of what is measured: such a ping is simply not answered. */
	(void)!sendto(p->fd, packet, ECHO + p->payload, MSG_DONTWAIT, (struct sockaddr *)&p->to,
		p->to_len);
}

static void answers(struct pinger *p)
{
	uint8_t packet[2048];
	for (;;) {
		ssize_t n = recv(p->fd, packet, sizeof(packet), MSG_DONTWAIT);
		uint64_t now = now_ns();
		if (n < 0)
			return;
		size_t at = p->six ? 0 : (size_t)(packet[0] & 15) * 4;
		struct body body;
		if ((size_t)n < at + ECHO + sizeof(body) ||
			packet[at] != (p->six ? ICMP6_ECHO_REPLY : ICMP_ECHOREPLY) ||
			memcmp(packet + at + 4, &p->ident, 2) != 0)
			continue;
		memcpy(&body, packet + at + ECHO, sizeof(body));
		p->received++;
		printf("%llu %llu %llu\n", (unsigned long long)body.seq,
			(unsigned long long)body.sent_ns, (unsigned long long)(now - body.sent_ns));
	}
}

static void wait_until(struct pinger *p, uint64_t deadline)
{
	while (!stopped) {
		uint64_t now = now_ns();
		if (now >= deadline)
			return;
		struct timespec left = { (time_t)((deadline - now) / 1000000000u),
			(long)((deadline - now) % 1000000000u) };
		struct pollfd ready = { p->fd, POLLIN, 0 };
		if (ppoll(&ready, 1, &left, NULL) > 0)
			answers(p);
	}
}

static int open_socket(struct pinger *p, const char *address)
{
	struct sockaddr_in *four = (struct sockaddr_in *)&p->to;
	struct sockaddr_in6 *six = (struct sockaddr_in6 *)&p->to;
	p->six = inet_pton(AF_INET6, address, &six->sin6_addr) == 1;
	if (p->six) {
		six->sin6_family = AF_INET6;
		p->to_len = sizeof(*six);
		p->fd = socket(AF_INET6, SOCK_RAW, IPPROTO_ICMPV6);
		struct icmp6_filter only;
		ICMP6_FILTER_SETBLOCKALL(&only);
		ICMP6_FILTER_SETPASS(ICMP6_ECHO_REPLY, &only);
		setsockopt(p->fd, IPPROTO_ICMPV6, ICMP6_FILTER, &only, sizeof(only));
	} else if (inet_pton(AF_INET, address, &four->sin_addr) == 1) {
		four->sin_family = AF_INET;
		p->to_len = sizeof(*four);
		p->fd = socket(AF_INET, SOCK_RAW, IPPROTO_ICMP);
	} else {
		fprintf(stderr, "pinger: not an address: %s\n", address);
		return -1;
	}
	if (p->fd < 0)
		perror("pinger: socket");
	return p->fd;
}

int main(int argc, char **argv)
{
	struct pinger p = { .payload = 56, .ident = (uint16_t)getpid() };
	uint64_t interval = 10000, count = UINT64_MAX, wait_ms = 1000;
	int buffering = _IOFBF; /* no write in the way of the next ping */
	for (int o; (o = getopt(argc, argv, "li:c:w:s:")) != -1;) {
		if (o == 'l')
			buffering = _IOLBF;
		else if (o == 'i')
			interval = strtoull(optarg, NULL, 10);
		else if (o == 'c')
			count = strtoull(optarg, NULL, 10);
		else if (o == 'w')
			wait_ms = strtoull(optarg, NULL, 10);
		else if (o == 's')
			p.payload = strtoull(optarg, NULL, 10);
		else
			return 2;
	}
	if (optind + 1 != argc || p.payload < sizeof(struct body) || p.payload > MAX_PAYLOAD ||
		!interval) {
		fprintf(stderr,
			"usage: pinger [-l] [-i INTERVAL_US] [-c COUNT] [-w WAIT_MS] [-s PAYLOAD] "
			"ADDRESS\n");
		return 2;
	}
	if (open_socket(&p, argv[optind]) < 0)
		return 1;
	struct sigaction stop = { .sa_handler = on_stop };
	sigaction(SIGTERM, &stop, NULL);
	sigaction(SIGINT, &stop, NULL);
	setvbuf(stdout, NULL, buffering, 1 << 16);
	prctl(PR_SET_TIMERSLACK, 1);

	uint64_t next = now_ns();
	while (!stopped && p.sent < count) {
		ping(&p);
		next += interval * 1000;
		wait_until(&p, next);
	}
	wait_until(&p, now_ns() + (stopped ? 0 : wait_ms * 1000000));
	printf("sent %llu received %llu\n", (unsigned long long)p.sent,
		(unsigned long long)p.received);
	return 0;
}
