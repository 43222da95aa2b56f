/* tunfwd - the least that carries IP over UDP: the reference of the bench.
 *
 * One peer, one fixed key, no handshake, no replay window, no filter, no path logic. What is left
 * is what every overlay must do: read the interface, seal, send; receive, open, write the
 * interface. It does that in the way limits.md found fastest, so its figure is what kernel and
 * cipher allow on this machine, and the distance of our daemon to it is the price of everything
 * else.
 *
 *   out: one read of a TUN with IFF_VNET_HDR is up to 64 KB of one TCP flow. It is cut in place
 * into segments, each sealed straight into the send buffer; equal ones leave as one UDP_SEGMENT
 * send. in:  UDP_GRO gives a run of equal datagrams. Each is opened in place; consecutive segments
 * of one flow are written as one TUN packet, gathered from where they lie (writev, no copy). TCP
 * checksums stay partial across the tunnel: the far kernel is told so again, nobody computes them.
 * Only IPv6 TCP is cut and joined; everything else crosses one by one.
 *
 *   tunfwd -i DEVICE -l PORT [-c none|chacha|aes] PEER_IPV4 PEER_PORT
 *
 * Datagram: 8 zero bytes, counter u64, ciphertext, 16-byte tag: 32 bytes more than the packet, like
 * ours. aes is AES-256-GCM of intel-ipsec-mb when it can be loaded, else of OpenSSL. */
#include <arpa/inet.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <linux/virtio_net.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <openssl/evp.h>
#include <sodium.h>
#if __has_include(<intel-ipsec-mb.h>)
#include <intel-ipsec-mb.h>
#define WITH_IPSEC_MB 1
#endif

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#define UDP_GRO     104
#endif

enum {
	HEADER = 16,
	TAG = 16,
	VNET = 10, /* struct virtio_net_hdr */
	IP6 = 40,
	ARENA = 1 << 20,
	SENDS = 256,
	RUN_MAX = 64, /* UDP_MAX_SEGMENTS of older kernels */
	BYTES_MAX = 65000,
	RECEIVES = 8,
	BUFFER = 65536 + 256,
	FLOWS = 8,
	JOIN_MAX = 48,
	SOCKET_BUFFER = 8 << 20,
};

/* --- sealing --- */

static const uint8_t key[32]; /* nothing to protect here */

struct cipher {
	const char *word;
	bool (*start)(void);
	void (*seal)(uint8_t *datagram, const uint8_t *packet, size_t len);
	bool (*open)(uint8_t *datagram, size_t len); /* in place; len of the packet inside */
};

static void nonce_of(uint8_t nonce[12], const uint8_t *datagram)
{
	memset(nonce, 0, 4);
	memcpy(nonce + 4, datagram + 8, 8);
}

static bool none_start(void)
{
	return true;
}

static void none_seal(uint8_t *datagram, const uint8_t *packet, size_t len)
{
	memcpy(datagram + HEADER, packet, len);
}

/* NOLINTNEXTLINE(readability-non-const-parameter): the others decrypt in place */
static bool none_open(uint8_t *datagram, size_t len)
{
	(void)datagram, (void)len;
	return true;
}

static bool chacha_start(void)
{
	return sodium_init() >= 0;
}

static void chacha_seal(uint8_t *datagram, const uint8_t *packet, size_t len)
{
	uint8_t nonce[12];
	nonce_of(nonce, datagram);
	crypto_aead_chacha20poly1305_ietf_encrypt(
		datagram + HEADER, NULL, packet, len, datagram, HEADER, NULL, nonce, key);
}

static bool chacha_open(uint8_t *datagram, size_t len)
{
	uint8_t nonce[12];
	nonce_of(nonce, datagram);
	return crypto_aead_chacha20poly1305_ietf_decrypt(datagram + HEADER, NULL, NULL,
		       datagram + HEADER, len + TAG, datagram, HEADER, nonce, key) == 0;
}

static EVP_CIPHER_CTX *sealer, *opener;

static bool gcm_start(void)
{
	const uint8_t nonce[12] = { 0 };
	sealer = EVP_CIPHER_CTX_new();
	opener = EVP_CIPHER_CTX_new();
	return sealer && opener &&
	       EVP_EncryptInit_ex(sealer, EVP_aes_256_gcm(), NULL, key, nonce) == 1 &&
	       EVP_DecryptInit_ex(opener, EVP_aes_256_gcm(), NULL, key, nonce) == 1;
}

static void gcm_seal(uint8_t *datagram, const uint8_t *packet, size_t len)
{
	uint8_t nonce[12], *body = datagram + HEADER;
	int n;
	nonce_of(nonce, datagram);
	EVP_EncryptInit_ex(sealer, NULL, NULL, NULL, nonce);
	EVP_EncryptUpdate(sealer, NULL, &n, datagram, HEADER);
	EVP_EncryptUpdate(sealer, body, &n, packet, (int)len);
	EVP_EncryptFinal_ex(sealer, body + n, &n);
	EVP_CIPHER_CTX_ctrl(sealer, EVP_CTRL_AEAD_GET_TAG, TAG, body + len);
}

static bool gcm_open(uint8_t *datagram, size_t len)
{
	uint8_t nonce[12], *body = datagram + HEADER;
	int n;
	nonce_of(nonce, datagram);
	EVP_DecryptInit_ex(opener, NULL, NULL, NULL, nonce);
	EVP_DecryptUpdate(opener, NULL, &n, datagram, HEADER);
	EVP_DecryptUpdate(opener, body, &n, body, (int)len);
	EVP_CIPHER_CTX_ctrl(opener, EVP_CTRL_AEAD_SET_TAG, TAG, body + len);
	return EVP_DecryptFinal_ex(opener, body + n, &n) == 1;
}

#ifdef WITH_IPSEC_MB
static IMB_MGR *mb;
static struct gcm_key_data mb_key __attribute__((aligned(64)));

static bool mb_start(void)
{
	void *library = dlopen("libIPSec_MB.so.1", RTLD_NOW | RTLD_LOCAL);
	if (!library)
		return false;
	/* Through a union: ISO C has no conversion from an object to a function pointer. */
	union {
		void *symbol;
		IMB_MGR *(*alloc)(uint64_t);
		void (*init)(IMB_MGR *, IMB_ARCH *);
	} alloc = { dlsym(library, "alloc_mb_mgr") }, init = { dlsym(library, "init_mb_mgr_auto") };
	if (!alloc.symbol || !init.symbol || !(mb = alloc.alloc(0)))
		return false;
	init.init(mb, NULL);
	IMB_AES256_GCM_PRE(mb, key, &mb_key);
	return true;
}

static void mb_seal(uint8_t *datagram, const uint8_t *packet, size_t len)
{
	struct gcm_context_data context;
	uint8_t nonce[12], *body = datagram + HEADER;
	nonce_of(nonce, datagram);
	IMB_AES256_GCM_ENC(
		mb, &mb_key, &context, body, packet, len, nonce, datagram, HEADER, body + len, TAG);
}

static bool mb_open(uint8_t *datagram, size_t len)
{
	struct gcm_context_data context;
	uint8_t nonce[12], tag[TAG], *body = datagram + HEADER;
	nonce_of(nonce, datagram);
	IMB_AES256_GCM_DEC(
		mb, &mb_key, &context, body, body, len, nonce, datagram, HEADER, tag, TAG);
	return sodium_memcmp(tag, body + len, TAG) == 0;
}
#endif

/* The first of a word that starts is taken. */
static const struct cipher ciphers[] = {
	{ "none", none_start, none_seal, none_open },
	{ "chacha", chacha_start, chacha_seal, chacha_open },
#ifdef WITH_IPSEC_MB
	{ "aes", mb_start, mb_seal, mb_open },
#endif
	{ "aes", gcm_start, gcm_seal, gcm_open },
};

/* --- from the interface to the peer --- */

struct run { /* datagrams of equal size, the last may be shorter */
	size_t at, len, size;
	unsigned count;
	bool closed;
};

static struct forwarder {
	const struct cipher *cipher;
	struct sockaddr_in peer;
	int tun, udp;
	uint64_t counter;
	size_t used;
	unsigned runs;
	struct run run[SENDS];
	uint8_t *arena;
} f;

static uint32_t get32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static void put32(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 24), p[1] = (uint8_t)(v >> 16), p[2] = (uint8_t)(v >> 8),
	p[3] = (uint8_t)v;
}

static void put16(uint8_t *p, size_t v)
{
	p[0] = (uint8_t)(v >> 8), p[1] = (uint8_t)v;
}

static void wait_for(int fd, short event)
{
	struct pollfd ready = { fd, event, 0 };
	poll(&ready, 1, 10);
}

static void send_runs(void)
{
	static struct mmsghdr out[SENDS];
	static struct iovec parts[SENDS];
	static _Alignas(struct cmsghdr) char control[SENDS][CMSG_SPACE(2)];
	for (unsigned i = 0; i < f.runs; i++) {
		struct run *r = &f.run[i];
		parts[i] = (struct iovec){ f.arena + r->at, r->len };
		struct msghdr *h = &out[i].msg_hdr;
		*h = (struct msghdr){ .msg_name = &f.peer,
			.msg_namelen = sizeof(f.peer),
			.msg_iov = &parts[i],
			.msg_iovlen = 1 };
		if (r->count == 1)
			continue;
		h->msg_control = control[i];
		h->msg_controllen = sizeof(control[i]);
		struct cmsghdr *c = CMSG_FIRSTHDR(h);
		c->cmsg_level = IPPROTO_UDP;
		c->cmsg_type = UDP_SEGMENT;
		c->cmsg_len = CMSG_LEN(2);
		uint16_t size = (uint16_t)r->size;
		memcpy(CMSG_DATA(c), &size, 2);
	}
	for (unsigned done = 0; done < f.runs;) {
		int n = sendmmsg(f.udp, out + done, f.runs - done, 0);
		if (n > 0)
			done += (unsigned)n;
		else if (errno == EAGAIN)
			wait_for(f.udp, POLLOUT);
		else if (errno != EINTR)
			done++; /* the network lost it */
	}
	f.runs = 0;
	f.used = 0;
}

static void seal_packet(const uint8_t *packet, size_t len)
{
	size_t size = len + HEADER + TAG;
	if (f.used + size > ARENA || f.runs == SENDS)
		send_runs();
	uint8_t *datagram = f.arena + f.used;
	memset(datagram, 0, 8);
	memcpy(datagram + 8, &f.counter, 8);
	f.counter++;
	f.cipher->seal(datagram, packet, len);
	struct run *r = f.runs ? &f.run[f.runs - 1] : NULL;
	if (r && !r->closed && size <= r->size && r->len + size <= BYTES_MAX &&
		r->count < RUN_MAX) {
		r->len += size;
		r->count++;
		r->closed = size < r->size;
	} else {
		f.run[f.runs++] = (struct run){ f.used, size, size, 1, false };
	}
	f.used += size;
}

/* A TCP packet larger than the link. The header of each segment is written over the end of the one
 * before it, which is sealed already. */
static void cut(uint8_t *packet, size_t len, size_t mss)
{
	uint8_t head[IP6 + 60];
	size_t tcp = (size_t)(packet[IP6 + 12] >> 4) * 4, head_len = IP6 + tcp;
	if (tcp < 20 || head_len > len || mss == 0)
		return;
	memcpy(head, packet, head_len);
	const uint32_t seq = get32(head + IP6 + 4);
	const uint8_t flags = head[IP6 + 13];
	for (size_t at = head_len; at < len; at += mss) {
		size_t part = len - at < mss ? len - at : mss;
		uint8_t *segment = packet + at - head_len;
		memcpy(segment, head, head_len);
		put16(segment + 4, tcp + part);
		put32(segment + IP6 + 4, seq + (uint32_t)(at - head_len));
		uint8_t mask = 0xff;
		if (at + part < len)
			mask &= (uint8_t)~0x09; /* FIN, PSH: last segment only */
		if (at > head_len)
			mask &= (uint8_t)~0x80; /* CWR: first only */
		segment[IP6 + 13] = flags & mask;
		seal_packet(segment, head_len + part);
	}
}

/* What is not TCP gets its checksum here: it crosses as it is. */
static void complete_checksum(uint8_t *packet, size_t len, const struct virtio_net_hdr *v)
{
	size_t at = (size_t)v->csum_start + v->csum_offset;
	if (!(v->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) || at + 2 > len ||
		(packet[0] >> 4 == 6 && packet[6] == IPPROTO_TCP))
		return;
	uint32_t sum = 0; /* the pseudo header is in the field already */
	for (size_t i = v->csum_start; i < len; i += 2)
		sum += (uint32_t)packet[i] << 8 | (i + 1 < len ? packet[i + 1] : 0);
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	put16(packet + at, (uint16_t)~sum ? (uint16_t)~sum : 0xffff);
}

static bool from_interface(void)
{
	static uint8_t buffer[BUFFER];
	int reads = 0;
	for (; reads < 8; reads++) {
		ssize_t n = read(f.tun, buffer, sizeof(buffer));
		if (n <= VNET)
			break;
		struct virtio_net_hdr v;
		memcpy(&v, buffer, VNET);
		size_t len = (size_t)n - VNET;
		if (v.gso_type == VIRTIO_NET_HDR_GSO_NONE) {
			complete_checksum(buffer + VNET, len, &v);
			seal_packet(buffer + VNET, len);
		} else if ((v.gso_type & ~VIRTIO_NET_HDR_GSO_ECN) == VIRTIO_NET_HDR_GSO_TCPV6) {
			cut(buffer + VNET, len, v.gso_size);
		}
	}
	send_runs();
	return reads > 0;
}

/* --- from the peer to the interface --- */

struct flow {
	uint8_t *head; /* first packet, where it was received */
	size_t head_len, mss, data;
	uint32_t next_seq;
	int parts;
	bool closed;
	struct virtio_net_hdr virtio;
	struct iovec part[JOIN_MAX + 1]; /* 0 is the virtio header */
};

static struct flow flows[FLOWS];
static int flow_count;

static uint16_t pseudo_sum(const uint8_t *ip, size_t len)
{
	uint32_t sum = (uint32_t)len + IPPROTO_TCP;
	for (int i = 8; i < IP6; i += 2)
		sum += (uint32_t)ip[i] << 8 | ip[i + 1];
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)sum;
}

static void write_parts(struct iovec *parts, int count)
{
	while (writev(f.tun, parts, count) < 0 && (errno == EAGAIN || errno == EINTR))
		wait_for(f.tun, POLLOUT);
}

static void flow_write(struct flow *w)
{
	w->virtio = (struct virtio_net_hdr){
		.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM, .csum_start = IP6, .csum_offset = 16
	};
	if (w->parts > 1) {
		w->virtio.gso_type = VIRTIO_NET_HDR_GSO_TCPV6;
		w->virtio.gso_size = (uint16_t)w->mss;
		w->virtio.hdr_len = (uint16_t)w->head_len;
	}
	size_t len = w->head_len - IP6 + w->data;
	put16(w->head + 4, len);
	put16(w->head + IP6 + 16, pseudo_sum(w->head, len));
	w->part[0] = (struct iovec){ &w->virtio, VNET };
	write_parts(w->part, w->parts + 1);
	w->parts = 0;
}

static void flows_write(void)
{
	for (int i = 0; i < flow_count; i++)
		if (flows[i].parts)
			flow_write(&flows[i]);
	flow_count = 0;
}

/* The next segment of the flow, with nothing in its header that a joined packet could not say:
 * flags ACK or ACK|PSH, same acknowledgement, window and options. */
static bool flow_continues(const struct flow *w, const uint8_t *p, size_t head_len, size_t data)
{
	const uint8_t *t = p + IP6, *u = w->head + IP6;
	return !w->closed && data > 0 && data <= w->mss && head_len == w->head_len &&
	       (t[13] & ~0x08) == 0x10 && (u[13] & ~0x08) == 0x10 && get32(t + 4) == w->next_seq &&
	       w->parts < JOIN_MAX && w->data + data + head_len < 65535 &&
	       memcmp(u + 8, t + 8, 4) == 0 && memcmp(u + 14, t + 14, 2) == 0 &&
	       memcmp(u + 20, t + 20, head_len - IP6 - 20) == 0;
}

static struct flow *flow_find(const uint8_t *packet)
{
	for (int i = 0; i < flow_count; i++) /* addresses and ports */
		if (flows[i].parts && memcmp(flows[i].head + 8, packet + 8, 36) == 0)
			return &flows[i];
	return NULL;
}

static void join(uint8_t *packet, size_t len, size_t head_len)
{
	size_t data = len - head_len;
	struct flow *w = flow_find(packet);
	if (w && flow_continues(w, packet, head_len, data)) {
		w->part[++w->parts] = (struct iovec){ packet + head_len, data };
		w->data += data;
		w->next_seq += (uint32_t)data;
		w->head[IP6 + 13] |= packet[IP6 + 13] & 0x08;
		w->closed = data < w->mss || (packet[IP6 + 13] & 0x08);
		return;
	}
	if (w) {
		flow_write(w); /* order within a flow stays */
	} else {
		if (flow_count == FLOWS)
			flows_write();
		w = &flows[flow_count++];
	}
	*w = (struct flow){ .head = packet,
		.head_len = head_len,
		.mss = data ? data : 1,
		.data = data,
		.next_seq = get32(packet + IP6 + 4) + (uint32_t)data,
		.parts = 1,
		.closed = !data || (packet[IP6 + 13] & 0x08) };
	w->part[1] = (struct iovec){ packet, len };
}

static void to_interface(uint8_t *packet, size_t len)
{
	if (len >= IP6 + 20 && packet[0] >> 4 == 6 && packet[6] == IPPROTO_TCP) {
		size_t head_len = IP6 + (size_t)(packet[IP6 + 12] >> 4) * 4;
		if (head_len >= IP6 + 20 && head_len <= len) {
			join(packet, len, head_len);
			return;
		}
	}
	struct virtio_net_hdr v = { 0 };
	struct iovec parts[2] = { { &v, VNET }, { packet, len } };
	write_parts(parts, 2);
}

static void open_run(uint8_t *bytes, size_t len, size_t size)
{
	for (size_t at = 0; at < len; at += size) {
		size_t n = len - at < size ? len - at : size;
		if (n > HEADER + TAG && f.cipher->open(bytes + at, n - HEADER - TAG))
			to_interface(bytes + at + HEADER, n - HEADER - TAG);
	}
}

static size_t segment_size(struct msghdr *h, size_t len)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(h); c; c = CMSG_NXTHDR(h, c)) {
		if (c->cmsg_level != IPPROTO_UDP || c->cmsg_type != UDP_GRO)
			continue;
		int size;
		memcpy(&size, CMSG_DATA(c), sizeof(size));
		return (size_t)size;
	}
	return len ? len : 1;
}

static bool from_peer(void)
{
	static uint8_t buffer[RECEIVES][BUFFER];
	static struct mmsghdr in[RECEIVES];
	static struct iovec parts[RECEIVES];
	static _Alignas(struct cmsghdr) char control[RECEIVES][CMSG_SPACE(sizeof(int))];
	for (int i = 0; i < RECEIVES; i++) {
		parts[i] = (struct iovec){ buffer[i], BUFFER };
		in[i].msg_hdr = (struct msghdr){ .msg_iov = &parts[i],
			.msg_iovlen = 1,
			.msg_control = control[i],
			.msg_controllen = sizeof(control[i]) };
	}
	int n = recvmmsg(f.udp, in, RECEIVES, MSG_DONTWAIT, NULL);
	for (int i = 0; i < n; i++)
		open_run(buffer[i], in[i].msg_len, segment_size(&in[i].msg_hdr, in[i].msg_len));
	flows_write();
	return n > 0;
}

/* --- start --- */

static void need(bool fine, const char *what)
{
	if (fine)
		return;
	fprintf(stderr, "tunfwd: %s: %s\n", what, strerror(errno));
	exit(1);
}

static int open_tun(const char *name)
{
	int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK);
	struct ifreq request = { .ifr_flags = IFF_TUN | IFF_NO_PI | IFF_VNET_HDR };
	strncpy(request.ifr_name, name, IFNAMSIZ - 1);
	need(fd >= 0 && ioctl(fd, TUNSETIFF, &request) == 0, name);
	need(ioctl(fd, TUNSETOFFLOAD, TUN_F_CSUM | TUN_F_TSO6) == 0, "TUNSETOFFLOAD");
	return fd;
}

static int open_udp(uint16_t port)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0), one = 1, size = SOCKET_BUFFER;
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_port = htons(port) };
	need(fd >= 0 && bind(fd, (struct sockaddr *)&at, sizeof(at)) == 0, "bind");
	need(setsockopt(fd, IPPROTO_UDP, UDP_GRO, &one, sizeof(one)) == 0, "UDP_GRO");
	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)) < 0)
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
	if (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size)) < 0)
		setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	return fd;
}

static const struct cipher *choose(const char *word)
{
	for (size_t i = 0; i < sizeof(ciphers) / sizeof(ciphers[0]); i++)
		if (strcmp(ciphers[i].word, word) == 0 && ciphers[i].start())
			return &ciphers[i];
	fprintf(stderr, "tunfwd: no cipher %s\n", word);
	exit(2);
}

int main(int argc, char **argv)
{
	const char *device = NULL, *word = "aes";
	unsigned long port = 0;
	for (int o; (o = getopt(argc, argv, "i:l:c:")) != -1;) {
		if (o == 'i')
			device = optarg;
		else if (o == 'l')
			port = strtoul(optarg, NULL, 10);
		else if (o == 'c')
			word = optarg;
		else
			return 2;
	}
	if (!device || optind + 2 != argc ||
		inet_pton(AF_INET, argv[optind], &f.peer.sin_addr) != 1) {
		fprintf(stderr, "usage: tunfwd -i DEVICE -l PORT [-c none|chacha|aes] PEER_IPV4 "
				"PEER_PORT\n");
		return 2;
	}
	f.peer.sin_family = AF_INET;
	f.peer.sin_port = htons((uint16_t)strtoul(argv[optind + 1], NULL, 10));
	f.cipher = choose(word);
	f.arena = calloc(1, ARENA);
	need(f.arena != NULL, "memory");
	f.udp = open_udp((uint16_t)port);
	f.tun = open_tun(device);

	struct pollfd ready[2] = { { f.tun, POLLIN, 0 }, { f.udp, POLLIN, 0 } };
	for (;;) {
		bool came = from_peer(), went = from_interface();
		if (!came && !went)
			poll(ready, 2, -1);
	}
}
