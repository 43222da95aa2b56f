/* blast - small UDP datagrams at a paced rate, and their count at the other end.
 *
 *   blast send ADDRESS PORT PACKETS_PER_S SECONDS PAYLOAD     rate 0: as fast as it goes
 *   blast sink ADDRESS PORT                                   until SIGTERM
 *
 * sendmmsg and recvmmsg, so that the measuring costs little beside the measured. The sender keeps
 * its pace over the whole time, in bursts of at most BATCH datagrams; what it could not send in
 * time is not sent later: "sent N seconds S" tells what was really offered. The sink prints
 * "received N". */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
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

enum { BATCH = 32, PAYLOAD_MAX = 1472, BUFFER = 16 << 20 };

static volatile sig_atomic_t stopped;

static void on_stop(int number)
{
	(void)number;
	stopped = 1;
}

static double now_s(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void pause_s(double s)
{
	struct timespec t = { (time_t)s, (long)((s - (double)(time_t)s) * 1e9) };
	nanosleep(&t, NULL);
}

static int open_socket(const char *address, const char *port, bool sink)
{
	struct sockaddr_storage at = { 0 };
	struct sockaddr_in *four = (struct sockaddr_in *)&at;
	struct sockaddr_in6 *six = (struct sockaddr_in6 *)&at;
	uint16_t number = htons((uint16_t)atoi(port));
	if (inet_pton(AF_INET6, address, &six->sin6_addr) == 1) {
		six->sin6_family = AF_INET6;
		six->sin6_port = number;
	} else if (inet_pton(AF_INET, address, &four->sin_addr) == 1) {
		four->sin_family = AF_INET;
		four->sin_port = number;
	} else {
		fprintf(stderr, "blast: not an address: %s\n", address);
		exit(2);
	}
	int fd = socket(at.ss_family, SOCK_DGRAM, 0), size = BUFFER;
	int option = sink ? SO_RCVBUFFORCE : SO_SNDBUFFORCE;
	if (setsockopt(fd, SOL_SOCKET, option, &size, sizeof(size)) < 0)
		setsockopt(fd, SOL_SOCKET, sink ? SO_RCVBUF : SO_SNDBUF, &size, sizeof(size));
	socklen_t len = at.ss_family == AF_INET ? sizeof(*four) : sizeof(*six);
	struct sockaddr *name = (struct sockaddr *)&at;
	if (fd < 0 || (sink ? bind(fd, name, len) : connect(fd, name, len)) < 0) {
		perror("blast");
		exit(1);
	}
	return fd;
}

static int sink(int fd)
{
	static uint8_t bytes[BATCH][2048];
	struct mmsghdr in[BATCH];
	struct iovec parts[BATCH];
	uint64_t received = 0;
	for (int i = 0; i < BATCH; i++) {
		parts[i] = (struct iovec){ bytes[i], sizeof(bytes[i]) };
		in[i].msg_hdr = (struct msghdr){ .msg_iov = &parts[i], .msg_iovlen = 1 };
	}
	printf("ready\n");
	fflush(stdout);
	while (!stopped) {
		int n = recvmmsg(fd, in, BATCH, MSG_WAITFORONE, NULL);
		if (n > 0)
			received += (uint64_t)n;
	}
	for (int n; (n = recvmmsg(fd, in, BATCH, MSG_DONTWAIT, NULL)) > 0;)
		received += (uint64_t)n;
	printf("received %llu\n", (unsigned long long)received);
	return 0;
}

static int blast(int fd, double rate, double seconds, size_t payload)
{
	static uint8_t bytes[PAYLOAD_MAX];
	struct mmsghdr out[BATCH];
	struct iovec part = { bytes, payload };
	memset(bytes, 0x5a, sizeof(bytes));
	for (int i = 0; i < BATCH; i++)
		out[i].msg_hdr = (struct msghdr){ .msg_iov = &part, .msg_iovlen = 1 };
	double start = now_s(), now = start;
	uint64_t sent = 0;
	double skipped = 0; /* owed at some time, but later than one burst: never sent */
	for (; now - start < seconds && !stopped; now = now_s()) {
		double owed = rate > 0 ? (now - start) * rate - (double)sent - skipped : BATCH;
		if (owed < 1) {
			pause_s((1 - owed) / rate);
			continue;
		}
		if (owed > 8 * BATCH) {
			skipped += owed - 8 * BATCH;
			owed = 8 * BATCH;
		}
		int n = sendmmsg(fd, out, owed > BATCH ? BATCH : (unsigned)owed, 0);
		if (n > 0)
			sent += (uint64_t)n;
		else if (errno != EAGAIN && errno != ENOBUFS && errno != ECONNREFUSED &&
			 errno != EINTR) {
			perror("blast: send");
			return 1;
		}
	}
	printf("sent %llu seconds %.6f\n", (unsigned long long)sent, now - start);
	return 0;
}

int main(int argc, char **argv)
{
	struct sigaction stop = { .sa_handler = on_stop };
	sigaction(SIGTERM, &stop, NULL);
	sigaction(SIGINT, &stop, NULL);
	prctl(PR_SET_TIMERSLACK, 1);
	if (argc == 4 && strcmp(argv[1], "sink") == 0)
		return sink(open_socket(argv[2], argv[3], true));
	if (argc == 7 && strcmp(argv[1], "send") == 0) {
		size_t payload = strtoul(argv[6], NULL, 10);
		if (payload > 0 && payload <= PAYLOAD_MAX)
			return blast(open_socket(argv[2], argv[3], false), strtod(argv[4], NULL),
				strtod(argv[5], NULL), payload);
	}
	fprintf(stderr, "usage: blast send ADDRESS PORT PACKETS_PER_S SECONDS PAYLOAD | blast sink "
			"ADDRESS PORT\n");
	return 2;
}
