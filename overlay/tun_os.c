/* Device set-up and packet input and output of the TUN.
 *
 * virtio_net_hdr, 10 bytes, little endian (TUNSETVNETLE): flags, gso type, header length, gso size,
 * csum_start, csum_offset. The offloads are offered from the richest set down; kernels before 6.2
 * refuse USO, and refusing all leaves plain packets behind the header.
 *
 * Reading packs packets one behind the other into one buffer, so that a batch of small packets
 * touches little cache while a super packet always has room.
 *
 * Latency. The kernel drops at the TUN when `queue` packets wait, without pushing back to the qdisc
 * (tun_net_xmit), so no queue discipline can work in front of it. Hence several queues
 * (IFF_MULTI_QUEUE), served in turn, a quantum of bytes each: what is no TCP has one of its own,
 * TCP flows share the others. The kernel chooses by the queue that we wrote the flow's other
 * direction to (tun_flow_update), so we steer it. TUN_QUEUE is the kernel's own default, long
 * enough for a burst of 64-byte datagrams between two turns. */
#include "overlay/tun_os.h"

#include "overlay/rtnl_os.h"

#include "core/bytes.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/ethtool.h>
#include <linux/if_tun.h>
#include <linux/sockios.h>
#include <linux/virtio_net.h>
#include <net/if.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#ifndef TUN_F_USO4
#define TUN_F_USO4 0x20
#define TUN_F_USO6 0x40
#endif
#ifndef VIRTIO_NET_HDR_GSO_UDP_L4
#define VIRTIO_NET_HDR_GSO_UDP_L4 5
#endif

#define VNET_LEN   10
#define PACKET_MAX (65535 + VNET_LEN)
#define PACK_ALIGN 64

struct tun {
	int fd[TUN_QUEUES]; /* -1: not open */
	uint32_t ready;     /* bit q: there may be packets in queue q */
	int rtnl;
	struct tun_status status;
	struct rtnl_batch batch;
	uint8_t address[16];
	uint8_t *packets;                        /* of one tun_read */
	struct iovec iov[COALESCE_SEGMENTS + 2]; /* of one tun_write */
	uint8_t *scratch; /* a super packet that must be split here; NULL with vnet */
};

struct tun_options tun_options_default(void)
{
	return (struct tun_options){ .name = "overlay0", .fd = -1, .mtu = 1420 };
}

/* ---- device ---- */

static int device_open(struct tun *t, const struct tun_options *o, char *why, size_t size)
{
	const char *node = o->node ? o->node : "/dev/net/tun";
	t->fd[0] = open(node, O_RDWR | O_NONBLOCK | O_CLOEXEC);
	if (t->fd[0] >= 0)
		return OV_OK;
	if (errno == ENOENT || errno == ENODEV || errno == ENXIO)
		snprintf(why, size,
			"there is no TUN device %s: load the module (modprobe tun) or create it "
			"(mknod %s c 10 200), or use --no-tun",
			node, node);
	else
		snprintf(why, size,
			"cannot open %s: %s: run as root, make it accessible, or use --no-tun",
			node, strerror(errno));
	return errno == EACCES || errno == EPERM ? OV_EPERM : OV_EIO;
}

static int explain_attach(const char *name, int error, char *why, size_t size)
{
	if (error == EPERM || error == EACCES) {
		snprintf(why, size,
			"no permission to create the interface %s: run as root, grant CAP_NET_ADMIN "
			"(setcap cap_net_admin+ep), or use --no-tun",
			name);
		return OV_EPERM;
	}
	if (error == EBUSY) {
		snprintf(why, size,
			"the interface %s is in use by another program: choose another with "
			"--tun-name",
			name);
		return OV_EEXIST;
	}
	if (error == EINVAL)
		snprintf(why, size,
			"the name %s is taken by an interface that is no TUN, or is not a valid name: "
			"choose another with --tun-name",
			name);
	else
		snprintf(why, size, "cannot create the interface %s: %s", name, strerror(error));
	return OV_EIO;
}

static bool is_tun(const char *name)
{
	struct ethtool_drvinfo info = { .cmd = ETHTOOL_GDRVINFO };
	struct ifreq r = { .ifr_data = (void *)&info };
	snprintf(r.ifr_name, sizeof(r.ifr_name), "%s", name);
	int s = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	bool known = s >= 0 && ioctl(s, SIOCETHTOOL, &r) == 0;
	if (s >= 0)
		close(s);
	return known && strcmp(info.driver, "tun") == 0;
}

/* A new interface with all queues. IFF_TUN_EXCL: a second daemon must not join the queues of the
 * first. False: it exists already, or the kernel has no multi-queue. */
static bool queues_attach(struct tun *t, const struct tun_options *o, struct ifreq r)
{
	r.ifr_flags =
		(short)(IFF_TUN | IFF_NO_PI | IFF_VNET_HDR | IFF_MULTI_QUEUE | (int)IFF_TUN_EXCL);
	if (ioctl(t->fd[0], TUNSETIFF, &r) != 0)
		return false;
	r.ifr_flags = IFF_TUN | IFF_NO_PI | IFF_VNET_HDR | IFF_MULTI_QUEUE;
	for (size_t i = 1; i < TUN_QUEUES; i++) {
		t->fd[i] =
			open(o->node ? o->node : "/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
		if (t->fd[i] >= 0 && ioctl(t->fd[i], TUNSETIFF, &r) == 0)
			continue;
		if (t->fd[i] >= 0)
			close(t->fd[i]);
		t->fd[i] = -1; /* fewer queues serve as well */
		break;
	}
	return true;
}

static int device_attach(struct tun *t, const struct tun_options *o, char *why, size_t size)
{
	struct ifreq r = { .ifr_flags = IFF_TUN | IFF_NO_PI };
	if (strlen(o->name) == 0 || strlen(o->name) >= sizeof(r.ifr_name))
		return explain_attach(o->name, EINVAL, why, size);
	memcpy(r.ifr_name, o->name, strlen(o->name) + 1);
	if (!o->plain && queues_attach(t, o, r))
		return OV_OK;
	bool exists = !o->plain && errno == EBUSY;
	if (!o->plain)
		r.ifr_flags |= IFF_VNET_HDR; /* made by somebody else, with one queue */
	if (ioctl(t->fd[0], TUNSETIFF, &r) == 0)
		return OV_OK;
	if (errno == EINVAL && !o->plain) { /* a kernel without IFF_VNET_HDR */
		r.ifr_flags = IFF_TUN | IFF_NO_PI;
		if (ioctl(t->fd[0], TUNSETIFF, &r) == 0)
			return OV_OK;
	}
	/* EINVAL: it has several queues, so it is a daemon's like us, or it is no TUN at all */
	int error = errno;
	if (exists && error == EINVAL && is_tun(o->name))
		error = EBUSY;
	return explain_attach(o->name, error, why, size);
}

/* What the fd really is, ours or given. */
static int device_inspect(struct tun *t, char *why, size_t size)
{
	struct ifreq r = { .ifr_flags = 0 };
	if (ioctl(t->fd[0], TUNGETIFF, &r) || !(r.ifr_flags & IFF_TUN) ||
		!(r.ifr_flags & IFF_NO_PI)) {
		snprintf(why, size,
			"the given descriptor is not a TUN interface without packet information "
			"(IFF_TUN | IFF_NO_PI)");
		return OV_EINVAL;
	}
	memcpy(t->status.name, r.ifr_name, sizeof(t->status.name));
	t->status.name[sizeof(t->status.name) - 1] = 0;
	t->status.interface = if_nametoindex(t->status.name); /* 0: in another namespace */
	t->status.vnet = r.ifr_flags & IFF_VNET_HDR;
	int flags = fcntl(t->fd[0], F_GETFL);
	if (flags >= 0 && fcntl(t->fd[0], F_SETFL, flags | O_NONBLOCK) == 0)
		return OV_OK;
	snprintf(why, size, "cannot make the TUN descriptor nonblocking: %s", strerror(errno));
	return OV_EIO;
}

static void device_offload(struct tun *t)
{
	static const unsigned tries[] = {
		TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_USO4 | TUN_F_USO6,
		TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6,
		TUN_F_CSUM,
		0,
	};
	if (!t->status.vnet)
		return;
	int header = VNET_LEN, little = 1;
	ioctl(t->fd[0], TUNSETVNETHDRSZ, &header);
	ioctl(t->fd[0], TUNSETVNETLE, &little);
	for (size_t i = 0; i < sizeof(tries) / sizeof(tries[0]); i++) {
		if (ioctl(t->fd[0], TUNSETOFFLOAD, (unsigned long)tries[i]))
			continue;
		t->status.tso4 = tries[i] & TUN_F_TSO4;
		t->status.tso6 = tries[i] & TUN_F_TSO6;
		t->status.uso = tries[i] & TUN_F_USO6;
		return;
	}
}

/* ---- link, address, routes ---- */

static int link_configure(struct tun *t, const struct tun_options *o, char *why, size_t size)
{
	int index = (int)t->status.interface;
	t->status.mtu = o->mtu;
	t->status.queue = o->queue ? o->queue : TUN_QUEUE;
	struct ifinfomsg *link = rtnl_message(&t->batch, RTM_NEWLINK, 0, sizeof(struct ifinfomsg));
	link->ifi_index = index;
	rtnl_attribute(&t->batch, IFLA_MTU, &t->status.mtu, sizeof(t->status.mtu));
	rtnl_attribute(&t->batch, IFLA_TXQLEN, &t->status.queue, sizeof(t->status.queue));
	int error = rtnl_send(t->rtnl, &t->batch, 0);

	static const uint8_t none[16];
	if (error == 0 && memcmp(t->address, none, 16) != 0) {
		uint32_t flags = IFA_F_NODAD | IFA_F_PERMANENT;
		struct ifaddrmsg *a = rtnl_message(&t->batch, RTM_NEWADDR,
			NLM_F_CREATE | NLM_F_REPLACE, sizeof(struct ifaddrmsg));
		a->ifa_family = AF_INET6;
		a->ifa_prefixlen = 128; /* no route but to ourselves: fd00::/8 stays the user's */
		a->ifa_index = (uint32_t)index;
		rtnl_attribute(&t->batch, IFA_LOCAL, t->address, 16);
		rtnl_attribute(&t->batch, IFA_ADDRESS, t->address, 16);
		rtnl_attribute(&t->batch, IFA_FLAGS, &flags, sizeof(flags));
		error = rtnl_send(t->rtnl, &t->batch, 0);
	}
	if (error == 0) {
		link = rtnl_message(&t->batch, RTM_NEWLINK, 0, sizeof(struct ifinfomsg));
		link->ifi_index = index;
		link->ifi_flags = link->ifi_change = IFF_UP;
		error = rtnl_send(t->rtnl, &t->batch, 0);
	}
	if (error == 0)
		return OV_OK;
	if (error == -EPERM) {
		explain_attach(t->status.name, EPERM, why, size);
		return OV_EPERM;
	}
	if (error == -EACCES || error == -EOPNOTSUPP || error == -EAFNOSUPPORT)
		snprintf(why, size,
			"the interface %s cannot have its IPv6 address: IPv6 is disabled here: allow "
			"it (sysctl net.ipv6.conf.all.disable_ipv6=0) and restart, or use --no-tun",
			t->status.name);
	else
		snprintf(why, size, "cannot configure the interface %s (mtu %u): %s",
			t->status.name, o->mtu, strerror(-error));
	return OV_EIO;
}

static void route_message(struct tun *t, const uint8_t prefix[8], bool add)
{
	static const uint8_t none[16];
	uint8_t destination[16] = { 0 };
	memcpy(destination, prefix, 8);
	uint16_t flags = add ? NLM_F_CREATE | NLM_F_REPLACE : 0;
	struct rtmsg *r = rtnl_message(
		&t->batch, add ? RTM_NEWROUTE : RTM_DELROUTE, flags, sizeof(struct rtmsg));
	r->rtm_family = AF_INET6;
	r->rtm_dst_len = 64;
	r->rtm_table = RT_TABLE_MAIN;
	r->rtm_protocol = add ? RTPROT_STATIC : RTPROT_UNSPEC;
	r->rtm_scope = add ? RT_SCOPE_UNIVERSE : RT_SCOPE_NOWHERE;
	r->rtm_type = add ? RTN_UNICAST : RTN_UNSPEC;
	rtnl_attribute(&t->batch, RTA_DST, destination, 16);
	rtnl_attribute(&t->batch, RTA_OIF, &t->status.interface, sizeof(t->status.interface));
	if (add && memcmp(t->address, none, 16) != 0)
		rtnl_attribute(&t->batch, RTA_PREFSRC, t->address, 16);
}

int tun_routes(
	struct tun *t, const uint8_t *prefixes, size_t count, bool add, char *why, size_t why_size)
{
	int error = 0;
	for (size_t i = 0; i < count && error == 0; i++) {
		route_message(t, prefixes + 8 * i, add);
		if (!rtnl_has_room(&t->batch) || i + 1 == count)
			error = rtnl_send(t->rtnl, &t->batch, add ? EEXIST : ESRCH);
	}
	if (error == 0)
		return OV_OK;
	snprintf(why, why_size, "cannot %s a route to %s: %s", add ? "add" : "remove",
		t->status.name, strerror(-error));
	return OV_EIO;
}

/* ---- open, close ---- */

static int tun_set_up(struct tun *t, const struct tun_options *o, char *why, size_t size)
{
	int error = OV_OK;
	if (o->fd < 0) {
		error = device_open(t, o, why, size);
		if (error == OV_OK)
			error = device_attach(t, o, why, size);
	}
	if (error == OV_OK)
		error = device_inspect(t, why, size);
	if (error)
		return error;
	device_offload(t);
	while (t->status.queues < TUN_QUEUES && t->fd[t->status.queues] >= 0)
		t->status.queues++;
	t->packets = malloc(TUN_QUEUES * (TUN_QUANTUM + PACKET_MAX));
	t->scratch = malloc(PACKET_MAX);
	if (!t->packets || !t->scratch) {
		snprintf(why, size, "out of memory for the TUN buffers");
		return OV_ENOMEM;
	}
	t->rtnl = rtnl_open(0, false);
	if (t->rtnl < 0) {
		snprintf(why, size, "cannot open a netlink socket: %s", strerror(-t->rtnl));
		return OV_EIO;
	}
	memcpy(t->address, o->address, 16);
	return o->leave_link ? OV_OK : link_configure(t, o, why, size);
}

struct tun *tun_open(const struct tun_options *o, char *why, size_t why_size)
{
	struct tun *t = calloc(1, sizeof(*t));
	if (!t) {
		snprintf(why, why_size, "out of memory");
		if (o->fd >= 0)
			close(o->fd);
		return NULL;
	}
	for (size_t i = 0; i < TUN_QUEUES; i++)
		t->fd[i] = -1;
	t->fd[0] = o->fd;
	t->rtnl = -1;
	if (tun_set_up(t, o, why, why_size) == OV_OK)
		return t;
	tun_close(t);
	return NULL;
}

void tun_close(struct tun *t)
{
	if (!t)
		return;
	for (size_t i = 0; i < TUN_QUEUES; i++)
		if (t->fd[i] >= 0)
			close(t->fd[i]);
	if (t->rtnl >= 0)
		close(t->rtnl);
	free(t->packets);
	free(t->scratch);
	free(t);
}

int tun_fd(const struct tun *t, size_t queue)
{
	assert(queue < t->status.queues);
	return t->fd[queue];
}

void tun_on_readable(struct tun *t, size_t queue)
{
	t->ready |= 1u << queue;
}

bool tun_is_readable(const struct tun *t)
{
	return t->ready != 0;
}

void tun_wait(const struct tun *t, ov_time span)
{
	struct pollfd queues[TUN_QUEUES];
	struct timespec timeout = { .tv_sec = span / OV_SEC, .tv_nsec = span % OV_SEC };
	for (size_t q = 0; q < t->status.queues; q++)
		queues[q] = (struct pollfd){ .fd = tun_fd(t, q), .events = POLLIN };
	(void)ppoll(queues, t->status.queues, &timeout, NULL);
}

const struct tun_status *tun_status(const struct tun *t)
{
	return &t->status;
}

/* ---- packets ---- */

/* False: a super packet of a kind that we did not ask for. */
static bool vnet_decode(struct ip_packet *p, const uint8_t *v)
{
	p->partial = v[0] & VIRTIO_NET_HDR_F_NEEDS_CSUM;
	p->segment = load_le16(v + 4);
	p->csum_start = load_le16(v + 6);
	p->csum_offset = load_le16(v + 8);
	switch (v[1] & ~VIRTIO_NET_HDR_GSO_ECN) {
	case VIRTIO_NET_HDR_GSO_NONE: p->gso = GSO_NONE; return true;
	case VIRTIO_NET_HDR_GSO_TCPV4: p->gso = GSO_TCPV4; return true;
	case VIRTIO_NET_HDR_GSO_TCPV6: p->gso = GSO_TCPV6; return true;
	case VIRTIO_NET_HDR_GSO_UDP_L4: p->gso = GSO_UDP; return true;
	default: return false;
	}
}

static void vnet_encode(uint8_t *v, const struct ip_packet *p)
{
	static const uint8_t types[] = {
		[GSO_NONE] = VIRTIO_NET_HDR_GSO_NONE,
		[GSO_TCPV4] = VIRTIO_NET_HDR_GSO_TCPV4,
		[GSO_TCPV6] = VIRTIO_NET_HDR_GSO_TCPV6,
		[GSO_UDP] = VIRTIO_NET_HDR_GSO_UDP_L4,
	};
	memset(v, 0, VNET_LEN);
	if (p->partial) {
		v[0] = VIRTIO_NET_HDR_F_NEEDS_CSUM;
		store_le16(v + 6, p->csum_start);
		store_le16(v + 8, p->csum_offset);
	}
	if (p->gso == GSO_NONE)
		return;
	size_t header = p->csum_start + 8u;
	if (p->gso != GSO_UDP)
		header = p->csum_start + (size_t)(p->data[p->csum_start + 12] >> 4) * 4;
	v[1] = types[p->gso];
	store_le16(v + 2, (uint16_t)header);
	store_le16(v + 4, p->segment);
}

/* One packet of a queue to `at`; false: none. Nothing of use: out->len is 0. */
static bool read_one(struct tun *t, int fd, uint8_t *at, struct ip_packet *out, size_t *used)
{
	size_t header = t->status.vnet ? VNET_LEN : 0;
	ssize_t got;
	do
		got = read(fd, at, PACKET_MAX);
	while (got < 0 && errno == EINTR);
	if (got < 0)
		return false;
	t->status.reads++;
	*out = (struct ip_packet){ .data = at + header };
	if ((size_t)got > header && (!header || vnet_decode(out, at)))
		out->len = (size_t)got - header;
	*used += ((size_t)got + PACK_ALIGN - 1) / PACK_ALIGN * PACK_ALIGN;
	return true;
}

size_t tun_read(struct tun *t, struct ip_packet *out, size_t max)
{
	size_t used = 0, n = 0;
	for (size_t q = 0; q < t->status.queues; q++) {
		if (!(t->ready & 1u << q))
			continue;
		size_t end = n + (max - n) / (t->status.queues - q), limit = used + TUN_QUANTUM;
		bool got = true;
		while (n < end && used < limit && got) {
			got = read_one(t, t->fd[q], t->packets + used, &out[n], &used);
			n += got && out[n].len > 0;
		}
	}
	t->ready = 0;
	return n;
}

/* Where the kernel shall queue what is sent in answer: it remembers for each flow by which queue
 * its packets came (tun_flow_update). TCP may fill a queue; the rest must not wait behind it. */
static size_t queue_for(const struct tun *t, const struct ip_packet *p)
{
	size_t bulk = t->status.queues - 1u;
	const uint8_t *d = p->data;
	bool tcp = p->len >= 60 && d[0] >> 4 == 6 && d[6] == 6;
	if (!tcp || bulk == 0)
		return TUN_QUEUE_SPARSE;
	size_t ports = (size_t)d[40] + d[41] + d[42] + d[43]; /* the same in both directions */
	return 1 + ports % bulk;
}

/* May the local stack answer this within the write? All TCP, and of ICMPv6 an echo request. */
static bool asks(const struct ip_packet *p)
{
	return p->len > 40 && (p->data[6] == 6 || (p->data[6] == 58 && p->data[40] == 128));
}

static bool write_iov(struct tun *t, int fd, const struct iovec *iov, size_t count)
{
	ssize_t n;
	do
		n = writev(fd, iov, (int)count);
	while (n < 0 && errno == EINTR);
	t->status.writes++;
	t->status.refused += n < 0;
	return n >= 0;
}

/* Without vnet_hdr the kernel wants whole packets with whole checksums. */
static bool write_split(struct tun *t, const struct super_packet *p)
{
	struct ip_packet flat = p->meta;
	if (p->slice_count > 1) {
		flat.data = t->scratch;
		flat.len = 0;
		for (size_t i = 0; i < p->slice_count; i++) {
			memcpy(t->scratch + flat.len, p->slices[i].data, p->slices[i].len);
			flat.len += p->slices[i].len;
		}
	}
	if (flat.partial && flat.gso == GSO_NONE)
		checksum_complete(&flat);
	flat.partial = false; /* split_next computes what is open */
	struct split s;
	uint8_t *segment;
	size_t len;
	bool partial, ok = true;
	if (!split_init(&s, &flat))
		return false;
	while (split_next(&s, &segment, &len, &partial)) {
		struct iovec iov = { segment, len };
		ok &= write_iov(t, t->fd[0], &iov, 1);
	}
	return ok;
}

bool tun_write(struct tun *t, const struct super_packet *p)
{
	if (!t->status.vnet)
		return write_split(t, p);
	uint8_t header[VNET_LEN];
	struct iovec *iov = t->iov;
	iov[0] = (struct iovec){ header, sizeof(header) };
	vnet_encode(header, &p->meta);
	for (size_t i = 0; i < p->slice_count; i++)
		iov[i + 1] = (struct iovec){ p->slices[i].data, p->slices[i].len };
	size_t queue = queue_for(t, &p->meta);
	if (asks(&p->meta))
		t->ready |= 1u << queue;
	return write_iov(t, t->fd[queue], iov, p->slice_count + 1);
}
