/* The bytes of a handshake (docs/protocol.md 3), little endian, after the 16-byte header:
 *
 *   HS1     e 32 | enc(s) 48 | enc(payload) | mac1 16 | mac2 16       header.receiver = 0
 *   HS2     e 32 | enc(payload) | mac1 16 | mac2 16                   header.receiver = initiator's
 *   COOKIE  nonce 24 | sealed cookie 32                               header.receiver = initiator's
 *
 * In HS1 and HS2 header.counter is the sender's index. Payloads are a fixed part and TLVs (type u8,
 * length u16, value; type 0 is one byte of padding; unknown ones are skipped). Reserved bytes are
 * zero and checked, an extension is a TLV. Padding makes HS1 more than twice as long as HS2, so an
 * answer never amplifies; it leaves room for the TLV invite. With a voucher HS1 is longer.
 *
 * The two macs are WireGuard's (5.4.4): mac1 proves that the sender knows whom it calls, mac2 that
 * it receives at its address. They cover all bytes before them. mac1 of HS2 is keyed by the
 * initiator's public key; mac2 of HS2 is zero and checked, because nothing else covers it.
 *
 * The transcript: prologue "overlay" | version 1 | network id 16. Offer and choice of the suite are
 * in the encrypted payloads, and the transport keys hash the suite in: no rollback. */
#include "core/handshake.h"

#include "core/aead.h"

#include <sodium.h>
#include <string.h>

#define MACS_LEN       (2 * MAC_LEN)
#define HS1_FIXED      80
#define HS1_OVERHEAD   (32 + 32 + TAG_LEN + TAG_LEN)
#define HS2_FIXED      32
#define HS2_OVERHEAD   (32 + TAG_LEN)
#define HS1_PLAIN(len) ((len)-HEADER_LEN - HS1_OVERHEAD - MACS_LEN)
#define TLV_PADDING    0
#define TLV_INVITE     1
#define TLV_VOUCHER    2
#define TLV_HEAD       3

static_assert(HS1_PLAIN(HS1_LEN) >= HS1_FIXED + TLV_HEAD + HS1_INVITE_LEN, "an invite fits");
static_assert(
	HS1_PLAIN(HS1_LONG_LEN) >= HS1_FIXED + 2 * TLV_HEAD + HS1_INVITE_LEN + HS1_VOUCHER_LEN,
	"and a voucher fits");
static_assert(HEADER_LEN + HS2_OVERHEAD + HS2_FIXED + MACS_LEN == HS2_LEN, "HS2 without padding");
static_assert(2 * HS2_LEN <= HS1_LEN && 2 * COOKIE_PACKET_LEN <= HS1_LEN, "no amplification");

static const uint8_t version = 1;

/* At most one of each kind, of its length. */
static bool tlv_keep(bool *has, uint8_t *to, size_t wanted, const uint8_t *value, size_t len)
{
	if (*has || len != wanted)
		return false;
	*has = true;
	memcpy(to, value, len);
	return true;
}

/* TLVs to the end of the payload: of HS2 (p NULL) none is known, so only their shape is checked. */
static bool tlv_take_all(struct rd *r, struct hs1_payload *p)
{
	while (rd_left(r) > 0) {
		uint8_t type = rd_u8(r);
		if (type == TLV_PADDING)
			continue;
		uint16_t len = rd_u16(r);
		const uint8_t *value = rd_take(r, len);
		if (!p || !value)
			continue;
		if (type == TLV_INVITE &&
			!tlv_keep(&p->has_invite, p->invite, HS1_INVITE_LEN, value, len))
			return false;
		if (type == TLV_VOUCHER &&
			!tlv_keep(&p->has_voucher, p->voucher, HS1_VOUCHER_LEN, value, len))
			return false;
	}
	return rd_done(r);
}

static void tlv_put(struct wr *w, uint8_t type, const uint8_t *value, uint16_t len)
{
	wr_u8(w, type);
	wr_u16(w, len);
	wr_copy(w, value, len);
}

static void hs1_payload_encode(const struct hs1_payload *p, uint8_t *out, size_t len)
{
	struct wr w = wr_init(out, len);
	wr_copy(&w, p->peer.bytes, PEER_ID_LEN);
	wr_u64(&w, p->seq);
	wr_copy(&w, p->liveness, COOKIE_LEN);
	wr_u64(&w, p->association);
	wr_u64(&w, p->instance);
	wr_u32(&w, p->psk_id);
	wr_u16(&w, p->mtu);
	wr_u8(&w, p->suites);
	wr_u8(&w, 0);
	assert(wr_len(&w) == HS1_FIXED);
	if (p->has_invite)
		tlv_put(&w, TLV_INVITE, p->invite, HS1_INVITE_LEN);
	if (p->has_voucher)
		tlv_put(&w, TLV_VOUCHER, p->voucher, HS1_VOUCHER_LEN);
	wr_zero(&w, len - wr_len(&w));
	assert(wr_ok(&w));
}

static bool hs1_payload_decode(struct hs1_payload *p, const uint8_t *data, size_t len)
{
	struct rd r = rd_init(data, len);
	rd_copy(&r, p->peer.bytes, PEER_ID_LEN);
	p->seq = rd_u64(&r);
	rd_copy(&r, p->liveness, COOKIE_LEN);
	p->association = rd_u64(&r);
	p->instance = rd_u64(&r);
	p->psk_id = rd_u32(&r);
	p->mtu = rd_u16(&r);
	p->suites = rd_u8(&r);
	bool reserved = rd_u8(&r) != 0;
	p->has_invite = p->has_voucher = false;
	return tlv_take_all(&r, p) && !reserved;
}

static void hs2_payload_encode(const struct hs2_payload *p, uint8_t out[HS2_FIXED])
{
	struct wr w = wr_init(out, HS2_FIXED);
	wr_u64(&w, p->association);
	wr_u64(&w, p->instance);
	wr_u64(&w, p->seen_seq);
	wr_u16(&w, p->mtu);
	wr_u8(&w, p->suite);
	wr_zero(&w, 5);
	assert(wr_ok(&w) && wr_len(&w) == HS2_FIXED);
}

static bool hs2_payload_decode(struct hs2_payload *p, const uint8_t *data, size_t len)
{
	static const uint8_t zeros[5];
	uint8_t reserved[5];
	struct rd r = rd_init(data, len);
	p->association = rd_u64(&r);
	p->instance = rd_u64(&r);
	p->seen_seq = rd_u64(&r);
	p->mtu = rd_u16(&r);
	p->suite = rd_u8(&r);
	rd_copy(&r, reserved, sizeof(reserved));
	return tlv_take_all(&r, NULL) && memcmp(reserved, zeros, sizeof(zeros)) == 0;
}

/* mac1: label "OVL mac1 tag", key of handshake_mac1_key; mac2: "OVL mac2 tag", the cookie. */
static void mac1(uint8_t out[MAC_LEN], const uint8_t key[32], const uint8_t *data, size_t len)
{
	struct hash_key mac = { "OVL mac1 tag", key, 32 };
	ov_hash_keyed(out, MAC_LEN, &mac, data, len - MACS_LEN);
}

static void mac2(
	uint8_t out[MAC_LEN], const uint8_t cookie[COOKIE_LEN], const uint8_t *data, size_t len)
{
	struct hash_key mac = { "OVL mac2 tag", cookie, COOKIE_LEN };
	ov_hash_keyed(out, MAC_LEN, &mac, data, len - MAC_LEN);
}

void handshake_mac1_key(uint8_t key[32], const uint8_t dh_public[DH_LEN])
{
	ov_hash(key, 32, "OVL mac1", dh_public, DH_LEN);
}

const uint8_t *handshake_mac1(const uint8_t *data, size_t len)
{
	assert(len >= HEADER_LEN + MACS_LEN);
	return data + len - MACS_LEN;
}

bool handshake_mac2_is_zero(const uint8_t *data, size_t len)
{
	assert(len >= HEADER_LEN + MACS_LEN);
	return sodium_is_zero(data + len - MAC_LEN, MAC_LEN);
}

bool handshake_check_mac2(const uint8_t *data, size_t len, const uint8_t cookie[COOKIE_LEN])
{
	assert(len >= HEADER_LEN + MACS_LEN);
	uint8_t expected[MAC_LEN];
	mac2(expected, cookie, data, len);
	return sodium_memcmp(expected, data + len - MAC_LEN, MAC_LEN) == 0;
}

static bool mac1_is_right(const uint8_t key[32], const uint8_t *data, size_t len)
{
	uint8_t expected[MAC_LEN];
	mac1(expected, key, data, len);
	return sodium_memcmp(expected, data + len - MACS_LEN, MAC_LEN) == 0;
}

/* Puts mac1 and a zero mac2 at the end of a message of len bytes to the owner of dh_public. */
static void finish_macs(uint8_t *data, size_t len, const uint8_t dh_public[DH_LEN])
{
	uint8_t key[32];
	handshake_mac1_key(key, dh_public);
	mac1(data + len - MACS_LEN, key, data, len);
	memset(data + len - MAC_LEN, 0, MAC_LEN);
}

/* Length and header of an HS1 or HS2; *header is filled when it returns DROP_NONE. */
static enum drop check_shape(struct header *header, enum packet_type type, const uint8_t *data,
	size_t len, size_t shortest, size_t longest)
{
	if (len < shortest)
		return DROP_SHORT;
	if (len > longest)
		return DROP_OVERSIZED;
	if (!header_decode(header, data, len) || header->flags || header->counter >> 32)
		return DROP_HEADER;
	return header->type == type ? DROP_NONE : DROP_TYPE;
}

static enum drop check_hs1_shape(struct header *header, const uint8_t *data, size_t len)
{
	enum drop why = check_shape(header, PACKET_HS1, data, len, HS1_LEN, HS1_MAX);
	return why == DROP_NONE && header->receiver ? DROP_HEADER : why;
}

struct acquaintance {              /* what a side knows of the other before the first message */
	const uint8_t *dh;         /* its static key: the initiator */
	const uint8_t *ss, *psk;   /* as hs1_config has them */
	const struct table *known; /* as handshake_open_hs1 has it */
};

static void start_noise(struct noise *n, const struct handshake_network *net,
	const struct identity *self, const struct acquaintance *other)
{
	uint8_t prologue[7 + sizeof(version) + sizeof(net->network_id)];
	struct wr w = wr_init(prologue, sizeof(prologue));
	wr_copy(&w, "overlay", 7);
	wr_u8(&w, version);
	wr_copy(&w, net->network_id, sizeof(net->network_id));
	struct noise_config cfg = {
		.pattern = &noise_IKpsk2,
		.initiator = other->dh != NULL,
		.prologue = prologue,
		.prologue_len = wr_len(&w),
		.s_secret = self->dh_secret,
		.s_public = self->dh_public,
		.s_remote = other->dh,
		.psk = other->psk,
		.ss = other->ss,
		.known_keys = other->known,
	};
	noise_init(n, &cfg);
}

int handshake_start(struct handshake *h, const struct hs1_config *c, const struct rng *rng)
{
	uint8_t ephemeral[32], plain[HS1_PLAIN(HS1_LONG_LEN)];
	struct header header = { .type = PACKET_HS1, .counter = c->index };
	struct acquaintance callee = { .dh = c->remote_dh, .ss = c->ss, .psk = c->psk };
	start_noise(&h->noise, c->net, c->self, &callee);
	h->index = c->index;
	h->suites = c->payload->suites;
	h->hs1_len = c->payload->has_voucher ? HS1_LONG_LEN : HS1_LEN;
	size_t plain_len = HS1_PLAIN(h->hs1_len);
	header_encode(&header, h->hs1);
	hs1_payload_encode(c->payload, plain, plain_len);
	rng_fill(rng, ephemeral, sizeof(ephemeral));
	int len = noise_write(&h->noise, ephemeral, plain, plain_len, h->hs1 + HEADER_LEN);
	sodium_memzero(ephemeral, sizeof(ephemeral));
	sodium_memzero(plain, sizeof(plain));
	if (len < 0) {
		handshake_wipe(h);
		return len;
	}
	assert((size_t)len == h->hs1_len - HEADER_LEN - MACS_LEN);
	finish_macs(h->hs1, h->hs1_len, c->remote_dh);
	return OV_OK;
}

void handshake_add_mac2(struct handshake *h, const uint8_t cookie[COOKIE_LEN])
{
	mac2(h->hs1 + h->hs1_len - MAC_LEN, cookie, h->hs1, h->hs1_len);
}

/* One key per direction and suite, so that no key ever serves two ciphers. */
static void transport_keys(const struct noise *n, uint8_t suite, struct handshake_keys *keys)
{
	uint8_t send[32], receive[32];
	noise_split(n, send, receive);
	struct hash_key to = { "OVL transport", send, 32 }, from = { "OVL transport", receive, 32 };
	ov_hash_keyed(keys->send, 32, &to, &suite, 1);
	ov_hash_keyed(keys->receive, 32, &from, &suite, 1);
	sodium_memzero(send, sizeof(send));
	sodium_memzero(receive, sizeof(receive));
}

static bool is_offered(uint8_t suites, uint8_t suite)
{
	return suite >= 1 && suite <= 8 && (suites >> (suite - 1) & 1);
}

enum drop handshake_finish(const struct handshake *h, const struct identity *self,
	const uint8_t *data, size_t len, struct hs2_opened *out)
{
	struct header header;
	uint8_t mac1_key[32], plain[HS1_LEN / 2];
	struct hs2_payload got;
	enum drop why = check_shape(&header, PACKET_HS2, data, len, HS2_LEN, HS1_LEN / 2);
	if (why != DROP_NONE)
		return why;
	if (!handshake_mac2_is_zero(data, len))
		return DROP_HEADER;
	if (header.receiver != h->index)
		return DROP_INDEX;
	handshake_mac1_key(mac1_key, self->dh_public);
	if (!mac1_is_right(mac1_key, data, len))
		return DROP_MAC1;

	struct noise copy = h->noise;
	int n = noise_read(&copy, data + HEADER_LEN, len - HEADER_LEN - MACS_LEN, plain);
	if (n < 0) {
		why = DROP_AUTH;
	} else if (!hs2_payload_decode(&got, plain, (size_t)n) ||
		   !is_offered(h->suites, got.suite)) {
		why = DROP_FORMAT;
	} else {
		transport_keys(&copy, got.suite, &out->keys);
		out->payload = got;
		out->remote_index = (uint32_t)header.counter;
	}
	noise_wipe(&copy);
	sodium_memzero(plain, sizeof(plain));
	return why;
}

void handshake_wipe(struct handshake *h)
{
	sodium_memzero(h, sizeof(*h));
}

enum drop handshake_check_hs1(const uint8_t mac1_key[32], const uint8_t *data, size_t len)
{
	struct header header;
	enum drop why = check_hs1_shape(&header, data, len);
	if (why == DROP_NONE && !mac1_is_right(mac1_key, data, len))
		why = DROP_MAC1;
	return why;
}

/* Is it a PeerId of the static key that Noise has just authenticated? The conversion drops the
 * sign, so a key has two: a known one that is not the one claimed proves nothing. */
static bool owns_static_key(const struct noise *n, const struct peer_id *id)
{
	uint8_t dh[DH_LEN];
	const struct known_peer *known = (const void *)n->known; /* its first member */
	if (known && peer_id_equal(known->id, id))
		return true;
	return peer_id_to_dh(id, dh) == OV_OK && sodium_memcmp(dh, n->s_remote, DH_LEN) == 0;
}

static enum drop check_claim(struct hs1_opened *o, const uint8_t *plain, size_t len)
{
	if (!hs1_payload_decode(&o->payload, plain, len))
		return DROP_FORMAT;
	if (!owns_static_key(&o->noise, &o->payload.peer))
		return DROP_AUTH;
	memcpy(o->remote_dh, o->noise.s_remote, DH_LEN);
	return DROP_NONE;
}

enum drop handshake_open_hs1(struct hs1_opened *out, const struct handshake_network *net,
	const struct identity *self, const struct table *known, const uint8_t *data, size_t len)
{
	struct header header;
	struct acquaintance caller = { .known = known };
	uint8_t plain[HS1_MAX];
	enum drop why = check_hs1_shape(&header, data, len);
	memset(out, 0, sizeof(*out));
	if (why != DROP_NONE)
		return why;
	start_noise(&out->noise, net, self, &caller);
	int n = noise_read(&out->noise, data + HEADER_LEN, len - HEADER_LEN - MACS_LEN, plain);
	why = n < 0 ? DROP_AUTH : check_claim(out, plain, (size_t)n);
	sodium_memzero(plain, sizeof(plain));
	if (why != DROP_NONE) {
		hs1_opened_wipe(out);
		return why;
	}
	out->remote_index = (uint32_t)header.counter;
	out->hs1 = data;
	out->hs1_len = len;
	return DROP_NONE;
}

enum drop handshake_answer(struct hs1_opened *in, const struct hs2_config *c, const struct rng *rng,
	uint8_t out[HS2_LEN], struct handshake_keys *keys)
{
	assert(is_offered(in->payload.suites, c->payload->suite));
	uint8_t ephemeral[32], plain[HS2_FIXED];
	struct header header = {
		.type = PACKET_HS2,
		.receiver = in->remote_index,
		.counter = c->index,
	};
	header_encode(&header, out);
	hs2_payload_encode(c->payload, plain);
	noise_set_psk(&in->noise, c->psk);
	rng_fill(rng, ephemeral, sizeof(ephemeral));
	int len = noise_write(&in->noise, ephemeral, plain, sizeof(plain), out + HEADER_LEN);
	sodium_memzero(ephemeral, sizeof(ephemeral));
	sodium_memzero(plain, sizeof(plain));
	if (len >= 0) {
		assert(len == HS2_LEN - HEADER_LEN - MACS_LEN);
		finish_macs(out, HS2_LEN, in->remote_dh);
		transport_keys(&in->noise, c->payload->suite, keys);
	} else {
		sodium_memzero(out, HS2_LEN);
	}
	noise_wipe(&in->noise);
	return len < 0 ? DROP_AUTH : DROP_NONE;
}

void hs1_opened_wipe(struct hs1_opened *o)
{
	sodium_memzero(o, sizeof(*o));
}

/* What a COOKIE is sealed with is public to those who know whom they call, as is mac1. */
static void cookie_key(uint8_t key[32], const uint8_t responder_dh[DH_LEN])
{
	ov_hash(key, 32, "OVL cookie", responder_dh, DH_LEN);
}

static void cookie_bind(uint8_t aad[HEADER_LEN + MAC_LEN], const uint8_t *cookie_header,
	const uint8_t *hs1, size_t hs1_len)
{
	memcpy(aad, cookie_header, HEADER_LEN);
	memcpy(aad + HEADER_LEN, handshake_mac1(hs1, hs1_len), MAC_LEN);
}

void cookie_packet_encode(const struct cookie_packet *p, const uint8_t responder_dh[DH_LEN],
	const uint8_t *hs1, size_t hs1_len, const struct rng *rng, uint8_t out[COOKIE_PACKET_LEN])
{
	uint8_t key[32], aad[HEADER_LEN + MAC_LEN];
	uint8_t *nonce = out + HEADER_LEN;
	struct header header = {
		.type = PACKET_COOKIE,
		.flags = p->flags,
		.receiver = load_le32(hs1 + 8), /* low half of counter: the sender's index */
	};
	header_encode(&header, out);
	cookie_bind(aad, out, hs1, hs1_len);
	cookie_key(key, responder_dh);
	rng_fill(rng, nonce, 24);
	crypto_aead_xchacha20poly1305_ietf_encrypt(
		nonce + 24, NULL, p->cookie, COOKIE_LEN, aad, sizeof(aad), NULL, nonce, key);
}

enum drop cookie_packet_decode(
	const struct handshake *h, const uint8_t *data, size_t len, struct cookie_packet *out)
{
	struct header header;
	uint8_t key[32], aad[HEADER_LEN + MAC_LEN];
	if (len != COOKIE_PACKET_LEN)
		return len < COOKIE_PACKET_LEN ? DROP_SHORT : DROP_OVERSIZED;
	if (!header_decode(&header, data, len) || header.counter ||
		header.flags & ~PACKET_FLAG_LIVENESS)
		return DROP_HEADER;
	if (header.type != PACKET_COOKIE)
		return DROP_TYPE;
	if (header.receiver != h->index)
		return DROP_INDEX;
	cookie_bind(aad, data, h->hs1, h->hs1_len);
	cookie_key(key, h->noise.s_remote);
	const uint8_t *nonce = data + HEADER_LEN;
	if (crypto_aead_xchacha20poly1305_ietf_decrypt(out->cookie, NULL, NULL, nonce + 24,
		    COOKIE_LEN + TAG_LEN, aad, sizeof(aad), nonce, key))
		return DROP_AUTH;
	out->flags = header.flags;
	return DROP_NONE;
}
