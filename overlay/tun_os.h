#pragma once
/* tun - the interface overlay0. With virtio headers (IFF_VNET_HDR) the kernel hands over and takes
 * super packets of up to 64 KiB and leaves checksums open; without, this module splits and
 * completes by itself. The fd is nonblocking; the pump watches it. Linux
 * Documentation/networking/tuntap. */
#include "overlay/coalesce.h"

struct tun_options {
	const char *name; /* "overlay0" */
	const char *node; /* NULL: /dev/net/tun */
	int fd;           /* >= 0: attach to this open TUN (taken, also on failure); `name` is read
			     from it */
	uint32_t mtu;     /* 1420 */
	uint32_t queue;   /* packets that wait in the kernel for us; 0: TUN_QUEUE */
	uint8_t address[16]; /* assigned as /128; all zero: none */
	bool plain;          /* without virtio headers (tests, comparison) */
	bool leave_link;     /* do not set MTU, address, queue, up: somebody else did */
};
struct tun_options tun_options_default(void);

/* Packets for the daemon wait in queues of their own: what is no TCP in the first, which is always
 * read first, TCP flows in the others, in turn. So a ping does not wait behind a saturating stream.
 */
#define TUN_QUEUES       4
#define TUN_QUEUE_SPARSE 0
#define TUN_QUANTUM \
	(64u << 10) /* bytes of one queue per tun_read, and the packet that exceeds it */

#define TUN_QUEUE 500 /* see tun_os.c, "latency" */

struct tun_status {
	char name[16];
	uint32_t interface; /* index */
	bool vnet, tso4, tso6, uso;
	uint32_t queues; /* 1: the kernel has no multi-queue, or the interface was made by others */
	uint32_t mtu, queue;             /* in effect; queue 0: not set by us */
	uint64_t reads, writes, refused; /* refused: packets that the kernel did not take */
};

struct tun; /* handle */

/* NULL: `why` says what failed and what to do. */
struct tun *tun_open(const struct tun_options *o, char *why, size_t why_size);
void tun_close(struct tun *t); /* the interface, its address and routes go with it */
int tun_fd(const struct tun *t, size_t queue); /* queue < tun_status(t)->queues */
/* The loop found it so, level-triggered; tun_read asks only such queues, and those that tun_write
 * gave a question, where the local stack's answer already may be. */
void tun_on_readable(struct tun *t, size_t queue);
bool tun_is_readable(const struct tun *t);
/* Sleeps until a queue is readable, but not longer than span. */
void tun_wait(const struct tun *t, ov_time span);
const struct tun_status *tun_status(const struct tun *t);

/* Up to max packets (max >= TUN_QUEUES), TUN_QUANTUM of each queue, in buffers of the tun that stay
 * valid until the next tun_read. Of what is left the loop tells. */
size_t tun_read(struct tun *t, struct ip_packet *out, size_t max);
/* Gives a packet to the kernel. Its slices may be overwritten. False: not taken (counted). */
bool tun_write(struct tun *t, const struct super_packet *p);

/* Adds or removes the /64 routes of contacts (count x 8 bytes), in batches; existing or missing
 * routes are no error. OV_OK or OV_EIO with `why`. */
OV_MUST_CHECK int tun_routes(
	struct tun *t, const uint8_t *prefixes, size_t count, bool add, char *why, size_t why_size);
