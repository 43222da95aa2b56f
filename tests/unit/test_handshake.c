/* HS1, HS2, COOKIE: the model's bytes, full exchanges, and every way to be wrong. */
#include "core/handshake.h"

#include "core/aead.h"
#include "tests/unit/json_vectors.h"
#include "tests/unit/test_rng.h"

#define INITIATOR_INDEX 0x11223344u
#define RESPONDER_INDEX 0x55667788u

static struct identity alice, bob, carol;
static struct handshake_network network;
static uint8_t psk[32];
static struct test_rng randomness;
static struct rng rng;

struct exchange {
	struct handshake h;
	struct hs1_opened opened;
	uint8_t hs2[HS2_LEN];
	struct handshake_keys responder;
	struct hs2_opened got;
};

static struct hs1_payload question(const struct identity *who)
{
	return (struct hs1_payload){
		.peer = who->id,
		.seq = 3ull << 32 | 1,
		.liveness = { 1, 2, 3 },
		.association = UINT64_MAX - 1,
		.instance = 42,
		.psk_id = 77,
		.mtu = 1452,
		.suites = 3,
	};
}

static const struct hs2_payload answer = {
	.association = 5, .instance = 6, .seen_seq = 7, .mtu = 1400, .suite = SUITE_AES_256_GCM
};

/* What alice asks, to bob. */
static struct hs1_config call_of(const struct hs1_payload *q)
{
	return (struct hs1_config){
		.net = &network,
		.self = &alice,
		.remote_dh = bob.dh_public,
		.psk = psk,
		.index = INITIATOR_INDEX,
		.payload = q,
	};
}

static void start(struct exchange *x)
{
	struct hs1_payload q = question(&alice);
	struct hs1_config c = call_of(&q);
	memset(x, 0, sizeof(*x));
	assert_int_equal(handshake_start(&x->h, &c, &rng), OV_OK);
}

static enum drop check_hs1(const uint8_t *data, size_t len)
{
	uint8_t key[32];
	handshake_mac1_key(key, bob.dh_public);
	return handshake_check_hs1(key, data, len);
}

static enum drop answer_with(struct exchange *x, const uint8_t *secret)
{
	struct hs2_config c = { .payload = &answer, .index = RESPONDER_INDEX, .psk = secret };
	return handshake_answer(&x->opened, &c, &rng, x->hs2, &x->responder);
}

static void answer_it(struct exchange *x)
{
	assert_int_equal(check_hs1(x->h.hs1, HS1_LEN), DROP_NONE);
	assert_int_equal(
		handshake_open_hs1(&x->opened, &network, &bob, NULL, x->h.hs1, HS1_LEN), DROP_NONE);
	assert_int_equal(answer_with(x, psk), DROP_NONE);
}

static enum drop finish(struct exchange *x, const uint8_t *data, size_t len)
{
	return handshake_finish(&x->h, &alice, data, len, &x->got);
}

static void test_full_exchange(void **state)
{
	(void)state;
	struct exchange x;
	struct hs1_payload q = question(&alice);
	start(&x);
	answer_it(&x);
	assert_true(peer_id_equal(&x.opened.payload.peer, &alice.id));
	assert_int_equal(x.opened.payload.seq, q.seq);
	assert_memory_equal(x.opened.payload.liveness, q.liveness, COOKIE_LEN);
	assert_int_equal(x.opened.payload.association, q.association);
	assert_int_equal(x.opened.payload.instance, q.instance);
	assert_int_equal(x.opened.payload.psk_id, q.psk_id);
	assert_int_equal(x.opened.payload.mtu, q.mtu);
	assert_int_equal(x.opened.payload.suites, q.suites);
	assert_memory_equal(x.opened.remote_dh, alice.dh_public, DH_LEN);
	assert_int_equal(x.opened.remote_index, INITIATOR_INDEX);
	assert_true(sodium_is_zero((const uint8_t *)&x.opened.noise, sizeof(x.opened.noise)));

	assert_int_equal(finish(&x, x.hs2, HS2_LEN), DROP_NONE);
	assert_int_equal(x.got.remote_index, RESPONDER_INDEX);
	assert_int_equal(x.got.payload.association, answer.association);
	assert_int_equal(x.got.payload.instance, answer.instance);
	assert_int_equal(x.got.payload.seen_seq, answer.seen_seq);
	assert_int_equal(x.got.payload.mtu, answer.mtu);
	assert_int_equal(x.got.payload.suite, answer.suite);
	assert_memory_equal(x.got.keys.send, x.responder.receive, 32);
	assert_memory_equal(x.got.keys.receive, x.responder.send, 32);
	assert_memory_not_equal(x.got.keys.send, x.got.keys.receive, 32);
	hs1_opened_wipe(&x.opened);
	handshake_wipe(&x.h);
	assert_true(sodium_is_zero((const uint8_t *)&x.opened, sizeof(x.opened)));
	assert_true(sodium_is_zero((const uint8_t *)&x.h, sizeof(x.h)));
}

static void load_identity(const json_t *v, const char *who, struct identity *out)
{
	uint8_t seed[32];
	vec_bytes(json_object_get(v, who), "seed", seed, 32);
	assert_int_equal(identity_from_seed(out, seed), OV_OK);
}

static struct hs1_payload load_question(const json_t *v, const struct identity *who)
{
	struct hs1_payload q = {
		.peer = who->id,
		.seq = vec_u64(v, "seq"),
		.association = vec_u64(v, "association"),
		.instance = vec_u64(v, "instance"),
		.psk_id = (uint32_t)vec_u64(v, "psk_id"),
		.mtu = (uint16_t)vec_u64(v, "mtu"),
		.suites = (uint8_t)vec_u64(v, "suites"),
	};
	vec_bytes(v, "liveness", q.liveness, COOKIE_LEN);
	q.has_invite = vec_hex(v, "invite", q.invite, sizeof(q.invite)) > 0;
	q.has_voucher = vec_hex(v, "voucher", q.voucher, sizeof(q.voucher)) > 0;
	return q;
}

static struct hs2_payload load_answer(const json_t *v)
{
	return (struct hs2_payload){
		.association = vec_u64(v, "answer_association"),
		.instance = vec_u64(v, "answer_instance"),
		.seen_seq = vec_u64(v, "seen_seq"),
		.mtu = (uint16_t)vec_u64(v, "answer_mtu"),
		.suite = (uint8_t)vec_u64(v, "suite"),
	};
}

static void queue_random(const json_t *v, const char *key, uint8_t *buffer, size_t len)
{
	vec_bytes(v, key, buffer, len);
	randomness.queued = buffer;
	randomness.queued_len = len;
}

static void check_cookie_packet(
	struct exchange *x, const json_t *v, const struct identity *responder)
{
	struct cookie_packet sent = { .flags = (uint8_t)vec_u64(v, "cookie_flags") }, got;
	uint8_t random[24], out[COOKIE_PACKET_LEN], expected[HS1_LONG_LEN];
	size_t len = x->h.hs1_len;
	vec_bytes(v, "cookie", sent.cookie, sizeof(sent.cookie));
	queue_random(v, "cookie_nonce", random, 24);
	cookie_packet_encode(&sent, responder->dh_public, x->h.hs1, len, &rng, out);
	vec_bytes(v, "cookie_packet", expected, COOKIE_PACKET_LEN);
	assert_memory_equal(out, expected, COOKIE_PACKET_LEN);
	assert_int_equal(cookie_packet_decode(&x->h, expected, COOKIE_PACKET_LEN, &got), DROP_NONE);
	assert_memory_equal(got.cookie, sent.cookie, COOKIE_LEN);
	assert_int_equal(got.flags, vec_u64(v, "cookie_flags"));
	handshake_add_mac2(&x->h, sent.cookie);
	vec_bytes(v, "hs1_with_mac2", expected, len);
	assert_memory_equal(x->h.hs1, expected, len);
}

static void check_model(const json_t *v)
{
	struct exchange x;
	struct identity a, b;
	struct handshake_network net;
	uint8_t secret[32], random[32], expected[HS1_LONG_LEN];
	load_identity(v, "initiator", &a);
	load_identity(v, "responder", &b);
	vec_bytes(v, "network_id", net.network_id, 16);
	vec_bytes(v, "psk", secret, 32);

	struct hs1_payload q = load_question(v, &a);
	queue_random(v, "initiator_ephemeral", random, 32);
	struct hs1_config call = { .net = &net,
		.self = &a,
		.remote_dh = b.dh_public,
		.psk = secret,
		.index = (uint32_t)vec_u64(v, "initiator_index"),
		.payload = &q };
	assert_int_equal(handshake_start(&x.h, &call, &rng), OV_OK);
	size_t len = q.has_voucher ? HS1_LONG_LEN : HS1_LEN;
	assert_int_equal(x.h.hs1_len, len);
	vec_bytes(v, "hs1", expected, len);
	assert_memory_equal(x.h.hs1, expected, len);

	struct hs2_payload w = load_answer(v);
	assert_int_equal(handshake_open_hs1(&x.opened, &net, &b, NULL, expected, len), DROP_NONE);
	queue_random(v, "responder_ephemeral", random, 32);
	struct hs2_config reply = {
		.payload = &w, .index = (uint32_t)vec_u64(v, "responder_index"), .psk = secret
	};
	assert_int_equal(handshake_answer(&x.opened, &reply, &rng, x.hs2, &x.responder), DROP_NONE);
	vec_bytes(v, "hs2", expected, HS2_LEN);
	assert_memory_equal(x.hs2, expected, HS2_LEN);
	assert_int_equal(handshake_finish(&x.h, &a, expected, HS2_LEN, &x.got), DROP_NONE);
	vec_bytes(v, "initiator_key", expected, 32);
	assert_memory_equal(x.got.keys.send, expected, 32);
	assert_memory_equal(x.responder.receive, expected, 32);
	vec_bytes(v, "responder_key", expected, 32);
	assert_memory_equal(x.got.keys.receive, expected, 32);
	assert_memory_equal(x.responder.send, expected, 32);
	check_cookie_packet(&x, v, &b);
}

static void test_model(void **state)
{
	(void)state;
	json_t *root = vec_load("tests/vectors/handshake.json"), *v;
	size_t i;
	json_array_foreach(json_object_get(root, "handshakes"), i, v) check_model(v);
	assert_int_equal(i, 6);
	json_decref(root);
}

static void test_precomputed_ss(void **state)
{
	(void)state;
	struct exchange x;
	uint8_t ss[32];
	struct hs1_payload q = question(&alice);
	memset(&x, 0, sizeof(x));
	assert_int_equal(crypto_scalarmult(ss, alice.dh_secret, bob.dh_public), 0);
	struct hs1_config c = call_of(&q);
	c.ss = ss;
	assert_int_equal(handshake_start(&x.h, &c, &rng), OV_OK);
	answer_it(&x);
	assert_int_equal(finish(&x, x.hs2, HS2_LEN), DROP_NONE);
	assert_memory_equal(x.got.keys.send, x.responder.receive, 32);
}

static enum drop open_knowing(struct exchange *x, struct known_peer *known)
{
	struct table *t = table_new(4, 1);
	assert_int_equal(table_put(t, load_le64(known->key.s_public), known), OV_OK);
	enum drop why = handshake_open_hs1(&x->opened, &network, &bob, t, x->h.hs1, HS1_LEN);
	table_free(t);
	return why;
}

static void assert_answer_works(struct exchange *x)
{
	assert_memory_equal(x->opened.remote_dh, alice.dh_public, DH_LEN);
	assert_int_equal(answer_with(x, psk), DROP_NONE);
	assert_int_equal(finish(x, x->hs2, HS2_LEN), DROP_NONE);
	assert_memory_equal(x->got.keys.send, x->responder.receive, 32);
}

/* What the responder knows of the caller changes the cost, not the outcome. */
static void test_known_peer(void **state)
{
	(void)state;
	struct exchange x;
	struct known_peer known = { .id = &alice.id };
	memcpy(known.key.s_public, alice.dh_public, DH_LEN);

	start(&x);
	assert_int_equal(open_knowing(&x, &known), DROP_NONE);
	assert_true(x.opened.noise.has_ss); /* for the caller to keep */
	memcpy(known.key.ss, x.opened.noise.ss, DH_LEN);
	known.key.has_ss = true;
	assert_answer_works(&x);

	start(&x);
	assert_int_equal(open_knowing(&x, &known), DROP_NONE);
	assert_answer_works(&x);

	known.key.ss[0] ^= 1; /* what is kept is what is used */
	start(&x);
	assert_int_equal(open_knowing(&x, &known), DROP_AUTH);

	/* Shares only the first 8 bytes with the caller's key. */
	known.key.s_public[31] ^= 1;
	assert_int_equal(open_knowing(&x, &known), DROP_NONE);
	assert_answer_works(&x);
}

/* The claim is checked for a known key as well, and both PeerIds of a key pass as without it. */
static void test_known_peer_claims(void **state)
{
	(void)state;
	struct exchange x;
	struct known_peer known = { .id = &alice.id };
	struct peer_id mirrored = alice.id;
	mirrored.bytes[31] ^= 0x80;
	memcpy(known.key.s_public, alice.dh_public, DH_LEN);
	const struct peer_id *claims[] = { &alice.id, &mirrored, &carol.id, &bob.id };
	for (size_t i = 0; i < 4; i++) {
		struct hs1_payload q = question(&alice);
		q.peer = *claims[i];
		struct hs1_config c = call_of(&q);
		assert_int_equal(handshake_start(&x.h, &c, &rng), OV_OK);
		enum drop slow =
			handshake_open_hs1(&x.opened, &network, &bob, NULL, x.h.hs1, HS1_LEN);
		assert_int_equal(slow, i < 2 ? DROP_NONE : DROP_AUTH);
		assert_int_equal(open_knowing(&x, &known), slow);
	}
}

/* Whatever is refused must leave nothing behind. */
static void assert_open_refused(enum drop expected, const struct handshake_network *net,
	const struct identity *self, const uint8_t *data, size_t len)
{
	struct hs1_opened o;
	memset(&o, 1, sizeof(o));
	assert_int_equal(handshake_open_hs1(&o, net, self, NULL, data, len), expected);
	assert_true(sodium_is_zero((const uint8_t *)&o, sizeof(o)));
}

static void test_wrong_network_key_or_psk(void **state)
{
	(void)state;
	struct exchange x;
	struct handshake_network other = network;
	uint8_t wrong[32] = { 1 };
	other.network_id[15] ^= 1;
	start(&x);
	assert_open_refused(DROP_AUTH, &other, &bob, x.h.hs1, HS1_LEN);
	assert_open_refused(DROP_AUTH, &network, &carol, x.h.hs1, HS1_LEN);
	handshake_mac1_key(wrong, carol.dh_public);
	assert_int_equal(handshake_check_hs1(wrong, x.h.hs1, HS1_LEN), DROP_MAC1);

	assert_int_equal(
		handshake_open_hs1(&x.opened, &network, &bob, NULL, x.h.hs1, HS1_LEN), DROP_NONE);
	assert_int_equal(answer_with(&x, NULL), DROP_NONE);
	assert_int_equal(finish(&x, x.hs2, HS2_LEN), DROP_AUTH); /* zero psk */
	assert_int_equal(
		handshake_open_hs1(&x.opened, &network, &bob, NULL, x.h.hs1, HS1_LEN), DROP_NONE);
	assert_int_equal(answer_with(&x, wrong), DROP_NONE);
	assert_int_equal(finish(&x, x.hs2, HS2_LEN), DROP_AUTH);
}

/* mac1 covers all but the macs; mac2 is judged only against a cookie. */
static void test_hs1_flips(void **state)
{
	(void)state;
	struct exchange x;
	uint8_t cookie[COOKIE_LEN] = { 9 };
	start(&x);
	handshake_add_mac2(&x.h, cookie);
	for (size_t i = 0; i < HS1_LEN * 8; i++) {
		x.h.hs1[i / 8] ^= (uint8_t)(1 << i % 8);
		assert_false(handshake_check_mac2(x.h.hs1, HS1_LEN, cookie));
		if (i < (HS1_LEN - MAC_LEN) * 8)
			assert_int_not_equal(check_hs1(x.h.hs1, HS1_LEN), DROP_NONE);
		else
			assert_int_equal(check_hs1(x.h.hs1, HS1_LEN), DROP_NONE);
		x.h.hs1[i / 8] ^= (uint8_t)(1 << i % 8);
	}
	assert_true(handshake_check_mac2(x.h.hs1, HS1_LEN, cookie));
}

/* Behind mac1 (whose key is public) Noise refuses every change of e, s and payload. */
static void test_hs1_noise_flips(void **state)
{
	(void)state;
	struct exchange x;
	start(&x);
	for (size_t i = HEADER_LEN * 8; i < (HS1_LEN - 2 * MAC_LEN) * 8; i++) {
		x.h.hs1[i / 8] ^= (uint8_t)(1 << i % 8);
		assert_open_refused(DROP_AUTH, &network, &bob, x.h.hs1, HS1_LEN);
		x.h.hs1[i / 8] ^= (uint8_t)(1 << i % 8);
	}
}

static void test_hs1_lengths(void **state)
{
	(void)state;
	struct exchange x;
	uint8_t long_one[HS1_MAX + 1] = { 0 };
	start(&x);
	for (size_t cut = 0; cut < HS1_LEN; cut++) {
		assert_int_equal(check_hs1(x.h.hs1, cut), DROP_SHORT);
		assert_open_refused(DROP_SHORT, &network, &bob, x.h.hs1, cut);
	}
	memcpy(long_one, x.h.hs1, HS1_LEN);
	assert_int_equal(check_hs1(long_one, HS1_LEN + 1), DROP_MAC1);
	assert_open_refused(DROP_AUTH, &network, &bob, long_one, HS1_LEN + 1);
	assert_int_equal(check_hs1(long_one, HS1_MAX), DROP_MAC1);
	assert_int_equal(check_hs1(long_one, HS1_MAX + 1), DROP_OVERSIZED);
	assert_open_refused(DROP_OVERSIZED, &network, &bob, long_one, HS1_MAX + 1);
}

static void test_hs1_header(void **state)
{
	(void)state;
	struct exchange x;
	static const struct {
		size_t at;
		enum drop why;
	} cases[] = { { 0, DROP_TYPE }, { 1, DROP_HEADER }, { 2, DROP_HEADER }, { 3, DROP_HEADER },
		{ 4, DROP_HEADER }, { 7, DROP_HEADER }, { 12, DROP_HEADER }, { 15, DROP_HEADER } };
	start(&x);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		x.h.hs1[cases[i].at] ^= 1;
		assert_int_equal(check_hs1(x.h.hs1, HS1_LEN), cases[i].why);
		assert_open_refused(cases[i].why, &network, &bob, x.h.hs1, HS1_LEN);
		x.h.hs1[cases[i].at] ^= 1;
	}
}

/* Any payload, correctly sealed by alice to bob. Returns the length. */
static size_t seal_hs1(uint8_t out[HS1_MAX], const uint8_t *payload, size_t len)
{
	struct exchange x;
	uint8_t ephemeral[32] = { 8 }, prologue[24] = "overlay\1", key[32];
	memcpy(prologue + 8, network.network_id, 16);
	struct noise_config cfg = { .pattern = &noise_IKpsk2,
		.initiator = true,
		.prologue = prologue,
		.prologue_len = sizeof(prologue),
		.s_secret = alice.dh_secret,
		.s_public = alice.dh_public,
		.s_remote = bob.dh_public };
	start(&x);
	memcpy(out, x.h.hs1, HEADER_LEN);
	noise_init(&x.h.noise, &cfg);
	int n = noise_write(&x.h.noise, ephemeral, payload, len, out + HEADER_LEN);
	assert_true(n > 0);
	size_t at = HEADER_LEN + (size_t)n;
	handshake_mac1_key(key, bob.dh_public);
	struct hash_key mac = { "OVL mac1 tag", key, 32 };
	ov_hash_keyed(out + at, MAC_LEN, &mac, out, at);
	memset(out + at + MAC_LEN, 0, MAC_LEN);
	assert_int_equal(check_hs1(out, at + 2 * MAC_LEN), DROP_NONE);
	return at + 2 * MAC_LEN;
}

static enum drop open_sealed(const uint8_t *payload, size_t len)
{
	static uint8_t packet[HS1_MAX];
	struct hs1_opened o;
	size_t total = seal_hs1(packet, payload, len);
	enum drop why = handshake_open_hs1(&o, &network, &bob, NULL, packet, total);
	hs1_opened_wipe(&o);
	return why;
}

static void test_hs1_payload(void **state)
{
	(void)state;
	uint8_t p[1056] = { 0 };
	memcpy(p, alice.id.bytes, 32);
	assert_int_equal(open_sealed(p, 152), DROP_NONE);
	assert_int_equal(open_sealed(p, sizeof(p)), DROP_NONE); /* HS1_MAX, all padding */
	p[79] = 1;
	assert_int_equal(open_sealed(p, 152), DROP_FORMAT); /* reserved byte */
	p[79] = 0;
	p[80] = 200; /* an unknown TLV of 69 bytes fills the rest, then one byte too long */
	p[81] = 69;
	assert_int_equal(open_sealed(p, 152), DROP_NONE);
	p[81] = 70;
	assert_int_equal(open_sealed(p, 152), DROP_FORMAT);
	p[81] = 0;
	p[82] = 1; /* length is u16: 256 */
	assert_int_equal(open_sealed(p, 152), DROP_FORMAT);
	assert_int_equal(open_sealed(p, 400), DROP_NONE);
	memset(p + 80, 0, sizeof(p) - 80);
	p[151] = 1; /* type without length */
	assert_int_equal(open_sealed(p, 152), DROP_FORMAT);
	p[150] = 1;
	assert_int_equal(open_sealed(p, 152), DROP_FORMAT);
	p[149] = 7;
	p[150] = p[151] = 0; /* empty TLV at the very end */
	assert_int_equal(open_sealed(p, 152), DROP_NONE);
}

static void test_hs1_voucher(void **state)
{
	(void)state;
	struct exchange x;
	struct hs1_payload q = question(&alice);
	q.has_voucher = true;
	memset(q.voucher, 0x19, sizeof(q.voucher));
	struct hs1_config c = call_of(&q);
	memset(&x, 0, sizeof(x));
	assert_int_equal(handshake_start(&x.h, &c, &rng), OV_OK);
	assert_int_equal(x.h.hs1_len, HS1_LONG_LEN);
	assert_true(handshake_looks_like_hs1(x.h.hs1, x.h.hs1_len));
	assert_int_equal(check_hs1(x.h.hs1, HS1_LONG_LEN), DROP_NONE);
	assert_int_equal(handshake_open_hs1(&x.opened, &network, &bob, NULL, x.h.hs1, HS1_LONG_LEN),
		DROP_NONE);
	assert_true(x.opened.payload.has_voucher);
	assert_false(x.opened.payload.has_invite);
	assert_memory_equal(x.opened.payload.voucher, q.voucher, sizeof(q.voucher));

	uint8_t p[400] = { 0 }; /* another length, a second one */
	memcpy(p, alice.id.bytes, 32);
	p[80] = 2;
	p[81] = HS1_VOUCHER_LEN;
	assert_int_equal(open_sealed(p, sizeof(p)), DROP_NONE);
	p[81] = HS1_VOUCHER_LEN - 1;
	assert_int_equal(open_sealed(p, sizeof(p)), DROP_FORMAT);
	p[81] = HS1_VOUCHER_LEN;
	p[83 + HS1_VOUCHER_LEN] = 2;
	p[84 + HS1_VOUCHER_LEN] = HS1_VOUCHER_LEN;
	assert_int_equal(open_sealed(p, sizeof(p)), DROP_FORMAT);
}

static void test_hs1_invite(void **state)
{
	(void)state;
	struct exchange x;
	struct hs1_payload q = question(&alice);
	q.has_invite = true;
	memset(q.invite, 0x17, sizeof(q.invite));
	struct hs1_config c = call_of(&q);
	memset(&x, 0, sizeof(x));
	assert_int_equal(handshake_start(&x.h, &c, &rng), OV_OK);
	answer_it(&x);
	assert_true(x.opened.payload.has_invite);
	assert_memory_equal(x.opened.payload.invite, q.invite, sizeof(q.invite));
	start(&x); /* the same without */
	answer_it(&x);
	assert_false(x.opened.payload.has_invite);

	uint8_t p[152] = { 0 };
	memcpy(p, alice.id.bytes, 32);
	p[85] = 1; /* after padding */
	p[86] = HS1_INVITE_LEN;
	assert_int_equal(open_sealed(p, sizeof(p)), DROP_NONE);
	p[86] = HS1_INVITE_LEN - 1;
	assert_int_equal(open_sealed(p, sizeof(p)), DROP_FORMAT);
	p[86] = HS1_INVITE_LEN + 1;
	assert_int_equal(open_sealed(p, sizeof(p)), DROP_FORMAT);
	p[86] = HS1_INVITE_LEN;
	p[104] = 1; /* a second one */
	p[105] = HS1_INVITE_LEN;
	assert_int_equal(open_sealed(p, sizeof(p)), DROP_FORMAT);
}

static void test_hs1_peer_id_mismatch(void **state)
{
	(void)state;
	uint8_t p[152] = { 0 };
	memcpy(p, carol.id.bytes, 32);
	assert_int_equal(open_sealed(p, sizeof(p)), DROP_AUTH);
	memset(p, 0, 32); /* does not convert */
	assert_int_equal(open_sealed(p, sizeof(p)), DROP_AUTH);
	memcpy(p, alice.id.bytes, 32);
	assert_int_equal(open_sealed(p, sizeof(p)), DROP_NONE);
}

static void test_hs1_zero_dh(void **state)
{
	(void)state;
	struct exchange x;
	struct hs1_payload q = question(&alice);
	uint8_t zero[32] = { 0 };
	struct hs1_config c = call_of(&q);
	c.remote_dh = zero;
	start(&x);
	assert_int_equal(handshake_start(&x.h, &c, &rng), OV_EAUTH);
	assert_true(sodium_is_zero((const uint8_t *)&x.h, sizeof(x.h)));
	start(&x);
	memset(x.h.hs1 + HEADER_LEN, 0, 32);
	assert_open_refused(DROP_AUTH, &network, &bob, x.h.hs1, HS1_LEN);
}

static void assert_finish_refused(
	struct exchange *x, const uint8_t *data, size_t len, enum drop why)
{
	static struct exchange before;
	before = *x;
	enum drop got = finish(x, data, len);
	assert_int_not_equal(got, DROP_NONE);
	if (why != DROP_NONE)
		assert_int_equal(got, why);
	assert_memory_equal(x, &before, sizeof(before)); /* state, keys and payload untouched */
}

static void test_hs2_flips_then_the_genuine_one(void **state)
{
	(void)state;
	struct exchange x;
	uint8_t forged[HS2_LEN];
	start(&x);
	answer_it(&x);
	for (size_t i = 0; i < HS2_LEN * 8; i++) {
		memcpy(forged, x.hs2, HS2_LEN);
		forged[i / 8] ^= (uint8_t)(1 << i % 8);
		assert_finish_refused(&x, forged, HS2_LEN, DROP_NONE);
	}
	for (size_t cut = 0; cut < HS2_LEN; cut++)
		assert_finish_refused(&x, x.hs2, cut, DROP_SHORT);
	assert_int_equal(finish(&x, x.hs2, HS2_LEN), DROP_NONE);
	assert_memory_equal(x.got.keys.send, x.responder.receive, 32);
}

/* Puts a right mac1 on, so that Noise alone has to refuse. */
static void mac_for_alice(uint8_t *data, size_t len)
{
	uint8_t key[32];
	handshake_mac1_key(key, alice.dh_public);
	struct hash_key mac = { "OVL mac1 tag", key, 32 };
	ov_hash_keyed(data + len - 32, MAC_LEN, &mac, data, len - 32);
	memset(data + len - 16, 0, 16);
}

static void test_hs2_noise_flips(void **state)
{
	(void)state;
	struct exchange x;
	uint8_t forged[HS2_LEN];
	start(&x);
	answer_it(&x);
	for (size_t i = HEADER_LEN * 8; i < (HS2_LEN - 2 * MAC_LEN) * 8; i++) {
		memcpy(forged, x.hs2, HS2_LEN);
		forged[i / 8] ^= (uint8_t)(1 << i % 8);
		mac_for_alice(forged, HS2_LEN);
		assert_finish_refused(&x, forged, HS2_LEN, DROP_AUTH);
	}
	memcpy(forged, x.hs2, HS2_LEN);
	memset(forged + HEADER_LEN, 0, 32); /* e of order 1 */
	mac_for_alice(forged, HS2_LEN);
	assert_finish_refused(&x, forged, HS2_LEN, DROP_AUTH);
}

/* A responder that answers with any payload. */
static size_t seal_hs2(struct exchange *x, const uint8_t *payload, size_t len, uint8_t *out)
{
	uint8_t ephemeral[32] = { 4 };
	struct header header = { .type = PACKET_HS2, .receiver = INITIATOR_INDEX, .counter = 9 };
	assert_int_equal(
		handshake_open_hs1(&x->opened, &network, &bob, NULL, x->h.hs1, HS1_LEN), DROP_NONE);
	noise_set_psk(&x->opened.noise, psk);
	header_encode(&header, out);
	int n = noise_write(&x->opened.noise, ephemeral, payload, len, out + HEADER_LEN);
	assert_true(n > 0);
	size_t total = HEADER_LEN + (size_t)n + 2 * MAC_LEN;
	mac_for_alice(out, total);
	return total;
}

static void test_hs2_payload(void **state)
{
	(void)state;
	struct exchange x;
	uint8_t out[HS2_MAX], p[64] = { 0 };
	start(&x);
	for (unsigned suite = 0; suite < 256; suite++) {
		p[26] = (uint8_t)suite;
		size_t len = seal_hs2(&x, p, 32, out);
		if (suite == 1 || suite == 2)
			assert_int_equal(finish(&x, out, len), DROP_NONE);
		else
			assert_finish_refused(&x, out, len, DROP_FORMAT);
	}
	p[26] = 2;
	for (size_t i = 27; i < 32; i++) {
		p[i] = 1; /* reserved */
		assert_finish_refused(&x, out, seal_hs2(&x, p, 32, out), DROP_FORMAT);
		p[i] = 0;
	}
	p[32] = 100; /* TLV of 17 bytes: the longest HS2 that is no amplification */
	p[33] = 17;
	assert_int_equal(finish(&x, out, seal_hs2(&x, p, 52, out)), DROP_NONE);
	assert_finish_refused(&x, out, seal_hs2(&x, p, 51, out), DROP_FORMAT);
	p[33] = 18;
	assert_finish_refused(&x, out, seal_hs2(&x, p, 53, out), DROP_OVERSIZED);
}

static void test_hs2_suite_not_offered(void **state)
{
	(void)state;
	struct exchange x;
	uint8_t out[HS2_MAX], p[32] = { 0 };
	struct hs1_payload q = question(&alice);
	q.suites = 1;
	memset(&x, 0, sizeof(x));
	struct hs1_config c = call_of(&q);
	assert_int_equal(handshake_start(&x.h, &c, &rng), OV_OK);
	p[26] = SUITE_AES_256_GCM;
	assert_finish_refused(&x, out, seal_hs2(&x, p, 32, out), DROP_FORMAT);
	p[26] = SUITE_CHACHA20_POLY1305;
	assert_int_equal(finish(&x, out, seal_hs2(&x, p, 32, out)), DROP_NONE);
}

static void test_hs2_of_another_handshake(void **state)
{
	(void)state;
	static struct exchange x, y;
	start(&x);
	start(&y);
	answer_it(&y);
	assert_finish_refused(&x, y.hs2, HS2_LEN, DROP_AUTH);
	x.h.index++;
	assert_finish_refused(&x, y.hs2, HS2_LEN, DROP_INDEX);
}

static void test_mac2(void **state)
{
	(void)state;
	struct exchange x;
	uint8_t right[COOKIE_LEN] = { 1 }, wrong[COOKIE_LEN] = { 2 }, zero[COOKIE_LEN] = { 0 };
	start(&x);
	assert_true(handshake_mac2_is_zero(x.h.hs1, HS1_LEN));
	assert_false(handshake_check_mac2(x.h.hs1, HS1_LEN, right));
	assert_false(handshake_check_mac2(x.h.hs1, HS1_LEN, zero));
	uint8_t before[HS1_LEN];
	memcpy(before, x.h.hs1, HS1_LEN);
	handshake_add_mac2(&x.h, right);
	assert_memory_equal(x.h.hs1, before, HS1_LEN - MAC_LEN); /* only mac2 may differ */
	assert_false(handshake_mac2_is_zero(x.h.hs1, HS1_LEN));
	assert_true(handshake_check_mac2(x.h.hs1, HS1_LEN, right));
	assert_false(handshake_check_mac2(x.h.hs1, HS1_LEN, wrong));
	assert_false(handshake_check_mac2(x.h.hs1, HS1_LEN, zero));
	assert_ptr_equal(handshake_mac1(x.h.hs1, HS1_LEN), x.h.hs1 + HS1_LEN - 32);
	answer_it(&x); /* a mac2 changes nothing for Noise */
	assert_int_equal(finish(&x, x.hs2, HS2_LEN), DROP_NONE);
}

static void assert_cookie_refused(const struct handshake *h, const uint8_t *data, size_t len)
{
	struct cookie_packet got;
	assert_int_not_equal(cookie_packet_decode(h, data, len, &got), DROP_NONE);
}

static void test_cookie_packet(void **state)
{
	(void)state;
	static struct exchange x, y;
	struct cookie_packet sent = { .cookie = { 1, 2, 3 } }, got;
	uint8_t out[COOKIE_PACKET_LEN + 1];
	start(&x);
	start(&y);
	for (uint8_t flag = 0; flag <= PACKET_FLAG_LIVENESS; flag++) {
		sent.flags = flag;
		cookie_packet_encode(&sent, bob.dh_public, x.h.hs1, HS1_LEN, &rng, out);
		assert_int_equal(
			cookie_packet_decode(&x.h, out, COOKIE_PACKET_LEN, &got), DROP_NONE);
		assert_memory_equal(got.cookie, sent.cookie, COOKIE_LEN);
		assert_int_equal(got.flags, flag);
		assert_cookie_refused(&y.h, out, COOKIE_PACKET_LEN); /* answers another HS1 */
		assert_cookie_refused(&x.h, out, COOKIE_PACKET_LEN + 1);
		for (size_t cut = 0; cut < COOKIE_PACKET_LEN; cut++)
			assert_cookie_refused(&x.h, out, cut);
		for (size_t i = 0; i < COOKIE_PACKET_LEN * 8; i++) {
			out[i / 8] ^= (uint8_t)(1 << i % 8);
			assert_cookie_refused(&x.h, out, COOKIE_PACKET_LEN);
			out[i / 8] ^= (uint8_t)(1 << i % 8);
		}
	}
	sent.flags = 2;
	cookie_packet_encode(&sent, bob.dh_public, x.h.hs1, HS1_LEN, &rng, out);
	assert_int_equal(cookie_packet_decode(&x.h, out, COOKIE_PACKET_LEN, &got), DROP_HEADER);
	sent.flags = 0;
	cookie_packet_encode(&sent, carol.dh_public, x.h.hs1, HS1_LEN, &rng, out);
	assert_cookie_refused(&x.h, out, COOKIE_PACKET_LEN); /* somebody who is not bob */
}

static int setup(void **state)
{
	(void)state;
	uint8_t seed[32] = { 1 };
	int failed = sodium_init() < 0;
	rng = test_rng_make(&randomness);
	failed |= identity_from_seed(&alice, seed);
	seed[0] = 2;
	failed |= identity_from_seed(&bob, seed);
	seed[0] = 3;
	failed |= identity_from_seed(&carol, seed);
	memset(network.network_id, 0xab, 16);
	memset(psk, 0xcd, 32);
	return failed;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_full_exchange),
		cmocka_unit_test(test_model),
		cmocka_unit_test(test_precomputed_ss),
		cmocka_unit_test(test_known_peer),
		cmocka_unit_test(test_known_peer_claims),
		cmocka_unit_test(test_wrong_network_key_or_psk),
		cmocka_unit_test(test_hs1_flips),
		cmocka_unit_test(test_hs1_noise_flips),
		cmocka_unit_test(test_hs1_lengths),
		cmocka_unit_test(test_hs1_header),
		cmocka_unit_test(test_hs1_payload),
		cmocka_unit_test(test_hs1_invite),
		cmocka_unit_test(test_hs1_voucher),
		cmocka_unit_test(test_hs1_peer_id_mismatch),
		cmocka_unit_test(test_hs1_zero_dh),
		cmocka_unit_test(test_hs2_flips_then_the_genuine_one),
		cmocka_unit_test(test_hs2_noise_flips),
		cmocka_unit_test(test_hs2_payload),
		cmocka_unit_test(test_hs2_suite_not_offered),
		cmocka_unit_test(test_hs2_of_another_handshake),
		cmocka_unit_test(test_mac2),
		cmocka_unit_test(test_cookie_packet),
	};
	return cmocka_run_group_tests(tests, setup, NULL);
}
