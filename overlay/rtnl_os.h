#pragma once
/* rtnl - rtnetlink requests: build messages, send them in batches, read dumps. rtnetlink(7). */
#include "core/base.h"

#include <linux/rtnetlink.h>

/* A socket bound to the groups (0: requests only). The fd, or negative errno. */
int rtnl_open(uint32_t groups, bool nonblocking);

/* A growing batch of requests in a fixed buffer. Nothing is sent before rtnl_send. */
struct rtnl_batch {
	_Alignas(struct nlmsghdr) uint8_t bytes[32 << 10];
	size_t len;
	struct nlmsghdr *last;
	uint32_t count;
};

#define RTNL_MESSAGE_MAX 256 /* room that rtnl_message needs */
bool rtnl_has_room(const struct rtnl_batch *b);
/* Starts a message with a zeroed fixed part of body_len bytes, which is returned. */
void *rtnl_message(struct rtnl_batch *b, uint16_t type, uint16_t flags, size_t body_len);
void rtnl_attribute(struct rtnl_batch *b, uint16_t type, const void *data, size_t len);
/* Sends and waits until the kernel has done all; empties the batch. 0, or the first negative errno
 * of a request whose error is not `ignored` (0: none). */
int rtnl_send(int fd, struct rtnl_batch *b, int ignored);

/* Asks for a dump (RTM_GETLINK, RTM_GETADDR, RTM_GETROUTE of a family) and calls each for every
 * message. 0 or negative errno; -EINTR: the kernel's table changed meanwhile, ask again. */
int rtnl_dump(int fd, uint16_t type, uint8_t family,
	void (*each)(void *context, const struct nlmsghdr *m), void *context);

/* The kernel's NLMSG_* and RTA_* macros without their casts that drop const and alignment. */
static inline const void *rtnl_body(const struct nlmsghdr *m)
{
	return (const uint8_t *)m + NLMSG_HDRLEN;
}

static inline const void *rtnl_data(const struct rtattr *a)
{
	return (const uint8_t *)a + RTA_LENGTH(0);
}

static inline size_t rtnl_data_len(const struct rtattr *a)
{
	return a->rta_len - RTA_LENGTH(0);
}

/* Message at `at` of a buffer with *left bytes, or NULL; *left becomes what is behind it. */
const struct nlmsghdr *rtnl_next(const uint8_t **at, size_t *left);

/* Attributes of a message with a fixed part of body_len bytes: table[type] for type <= max. */
void rtnl_attributes(
	const struct nlmsghdr *m, size_t body_len, const struct rtattr **table, size_t max);
/* The same of the attributes inside one. */
void rtnl_nested(const struct rtattr *outer, const struct rtattr **table, size_t max);
