/* Netlink is a datagram protocol: one send may carry many requests, the kernel works through them
 * before send returns, and answers each that asks for an acknowledgement or fails. So only the last
 * request of a batch asks: its answer says that everything before it is done. */
#include "overlay/rtnl_os.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

int rtnl_open(uint32_t groups, bool nonblocking)
{
	int flags = SOCK_RAW | SOCK_CLOEXEC | (nonblocking ? SOCK_NONBLOCK : 0);
	int fd = socket(AF_NETLINK, flags, NETLINK_ROUTE);
	if (fd < 0)
		return -errno;
	struct sockaddr_nl sa = { .nl_family = AF_NETLINK, .nl_groups = groups };
	int buffer = 1 << 20;
	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &buffer, sizeof(buffer)))
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &buffer, sizeof(buffer));
	if (bind(fd, (struct sockaddr *)&sa, sizeof(sa)) == 0)
		return fd;
	int error = -errno;
	close(fd);
	return error;
}

bool rtnl_has_room(const struct rtnl_batch *b)
{
	return b->len + RTNL_MESSAGE_MAX <= sizeof(b->bytes);
}

void *rtnl_message(struct rtnl_batch *b, uint16_t type, uint16_t flags, size_t body_len)
{
	assert(rtnl_has_room(b));
	struct nlmsghdr *m = (void *)(b->bytes + b->len);
	size_t len = NLMSG_SPACE(body_len);
	memset(m, 0, len);
	m->nlmsg_len = (uint32_t)len;
	m->nlmsg_type = type;
	m->nlmsg_flags = (uint16_t)(NLM_F_REQUEST | flags);
	m->nlmsg_seq = ++b->count;
	b->last = m;
	b->len += len;
	return NLMSG_DATA(m);
}

void rtnl_attribute(struct rtnl_batch *b, uint16_t type, const void *data, size_t len)
{
	size_t space = RTA_SPACE(len);
	assert(b->last && b->len + space <= sizeof(b->bytes));
	struct rtattr *a = (void *)(b->bytes + b->len);
	memset(a, 0, space);
	a->rta_type = type;
	a->rta_len = (unsigned short)RTA_LENGTH(len);
	memcpy(RTA_DATA(a), data, len);
	b->len += space;
	b->last->nlmsg_len += (uint32_t)space;
}

const struct nlmsghdr *rtnl_next(const uint8_t **at, size_t *left)
{
	const struct nlmsghdr *m = (const void *)*at; /* buffers and lengths are 4-aligned */
	if (*left < sizeof(*m) || m->nlmsg_len < sizeof(*m) || m->nlmsg_len > *left)
		return NULL;
	size_t step = NLMSG_ALIGN(m->nlmsg_len);
	if (step > *left)
		step = *left;
	*at += step;
	*left -= step;
	return m;
}

/* Reads one datagram of answers into buf. Its length or negative errno. */
static ssize_t receive(int fd, void *buf, size_t size)
{
	ssize_t n;
	do
		n = recv(fd, buf, size, 0);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : n;
}

static int error_of(const struct nlmsghdr *m)
{
	struct nlmsgerr e;
	memcpy(&e, rtnl_body(m), sizeof(e));
	return e.error;
}

int rtnl_send(int fd, struct rtnl_batch *b, int ignored)
{
	if (b->count == 0)
		return 0;
	uint32_t last = b->count;
	b->last->nlmsg_flags |= NLM_F_ACK;
	ssize_t sent = send(fd, b->bytes, b->len, 0);
	b->len = b->count = 0;
	b->last = NULL;
	if (sent < 0)
		return -errno;

	_Alignas(struct nlmsghdr) uint8_t answer[4096 - 512];
	int first = 0;
	for (;;) {
		ssize_t n = receive(fd, answer, sizeof(answer));
		if (n < 0)
			return (int)n;
		size_t left = (size_t)n;
		const uint8_t *at = answer;
		for (const struct nlmsghdr *m; (m = rtnl_next(&at, &left));) {
			if (m->nlmsg_type != NLMSG_ERROR)
				continue;
			int error = error_of(m);
			if (error && error != -ignored && first == 0)
				first = error;
			if (m->nlmsg_seq == last)
				return first;
		}
	}
}

int rtnl_dump(int fd, uint16_t type, uint8_t family,
	void (*each)(void *context, const struct nlmsghdr *m), void *context)
{
	static _Alignas(struct nlmsghdr) uint8_t buf[32 << 10];
	struct {
		struct nlmsghdr header;
		struct rtmsg body; /* family is the first byte of every family of requests */
	} request = { .header = { .nlmsg_len = sizeof(request),
			      .nlmsg_type = type,
			      .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP,
			      .nlmsg_seq = 1 },
		.body = { .rtm_family = family } };
	if (send(fd, &request, sizeof(request), 0) < 0)
		return -errno;
	bool interrupted = false;
	for (;;) {
		ssize_t n = receive(fd, buf, sizeof(buf));
		if (n < 0)
			return (int)n;
		size_t left = (size_t)n;
		const uint8_t *at = buf;
		for (const struct nlmsghdr *m; (m = rtnl_next(&at, &left));) {
			interrupted |= m->nlmsg_flags & NLM_F_DUMP_INTR;
			if (m->nlmsg_type == NLMSG_DONE)
				return interrupted ? -EINTR : 0;
			if (m->nlmsg_type == NLMSG_ERROR)
				return error_of(m);
			each(context, m);
		}
	}
}

static void scan(const uint8_t *at, size_t left, const struct rtattr **table, size_t max)
{
	memset(table, 0, (max + 1) * sizeof(const struct rtattr *));
	while (left >= sizeof(struct rtattr)) {
		const struct rtattr *a = (const void *)at;
		size_t step = RTA_ALIGN(a->rta_len);
		if (a->rta_len < sizeof(*a) || a->rta_len > left)
			return;
		uint16_t type = a->rta_type & 0x3fff; /* NLA_TYPE_MASK */
		if (type <= max)
			table[type] = a;
		if (step > left)
			return;
		at += step;
		left -= step;
	}
}

void rtnl_attributes(
	const struct nlmsghdr *m, size_t body_len, const struct rtattr **table, size_t max)
{
	size_t skip = NLMSG_SPACE(body_len);
	bool whole = m->nlmsg_len >= skip;
	scan((const uint8_t *)m + skip, whole ? m->nlmsg_len - skip : 0, table, max);
}

void rtnl_nested(const struct rtattr *outer, const struct rtattr **table, size_t max)
{
	scan(rtnl_data(outer), rtnl_data_len(outer), table, max);
}
