#pragma once
/* handshake - HS1, HS2 and COOKIE: bytes, Noise, mac1 and mac2. No policy: who may call, and what
 * an accepted handshake does, is node's business. docs/protocol.md 3 has every byte.
 *
 * Initiator: handshake_start -> bytes of HS1 -> (handshake_add_mac2) -> handshake_finish on HS2.
 * Responder: handshake_has_mac1 -> handshake_open_hs1 (two DH) -> node decides -> handshake_answer
 * (two DH) -> bytes of HS2. Everything is authenticated into the structs given here; the caller
 * commits afterwards. */
#include "core/drop.h"
#include "core/identity.h"
#include "core/noise.h"
#include "core/packet.h"
#include "core/rng.h"

#define MAC_LEN             16
#define COOKIE_LEN          16
#define HS1_INVITE_HASH_LEN 32
#define HS1_INVITE_LEN      16  /* secret of an invite */
#define HS1_VOUCHER_LEN     120 /* pass of a guest, discovery/voucher.h */
#define HS1_LEN             296 /* what we send; others may be longer, up to HS1_MAX */
#define HS1_LONG_LEN        368 /* with a voucher */
#define HS1_MAX             1200
#define HS2_LEN             128 /* never longer than half of the HS1 it answers */
#define HS2_MAX             600
#define COOKIE_PACKET_LEN   72

/* Does it look like an HS1 that is sent (others are taken, too)? For who passes one on. */
static inline bool handshake_looks_like_hs1(const uint8_t *data, size_t len)
{
	return (len == HS1_LEN || len == HS1_LONG_LEN) && data[0] == PACKET_HS1;
}

/* What is bound to all handshakes of a network. The prologue is "overlay", version 1, network id.
 */
struct handshake_network {
	uint8_t network_id[16]; /* hash("OVL network v1", network_key), zeros without one */
};

struct hs1_payload {
	struct peer_id peer; /* initiator; converts to the static key received, else DROP_AUTH */
	uint64_t seq;        /* boot epoch << 32 | counter */
	uint8_t liveness[COOKIE_LEN]; /* zeros when there was no COOKIE with PACKET_FLAG_LIVENESS */
	uint64_t association;         /* proposed */
	uint64_t instance;
	uint32_t psk_id; /* 0: zero psk */
	uint16_t mtu;    /* largest datagram the initiator takes */
	uint8_t suites;  /* bit set, aead_offer */
	bool has_invite; /* TLV: the initiator was invited and shows the secret */
	uint8_t invite[HS1_INVITE_LEN];
	bool has_voucher; /* TLV: a contact of the responder vouches for the initiator */
	uint8_t voucher[HS1_VOUCHER_LEN];
};

struct hs2_payload {
	uint64_t association, instance;
	uint64_t seen_seq; /* highest seq the responder remembered before this handshake */
	uint16_t mtu;
	uint8_t suite; /* enum suite */
};

/* Initiator's state from HS1 to HS2 (one per peer being called). */
struct handshake {
	struct noise noise;
	uint8_t hs1[HS1_LONG_LEN]; /* bytes in flight; only mac2 may change (same ephemeral, index,
				      seq) */
	size_t hs1_len;
	uint32_t index; /* ours */
	uint8_t suites; /* what we offered: HS2 may choose nothing else */
};

struct handshake_keys {
	uint8_t send[32], receive[32];
}; /* transport keys for the chosen suite */

/* What HS1 is made of; borrowed for the call. */
struct hs1_config {
	const struct handshake_network *net;
	const struct identity *self;
	const uint8_t *remote_dh; /* peer_id_to_dh of the callee */
	const uint8_t *ss;        /* precomputed DH(s, rs) or NULL */
	const uint8_t *psk;       /* 32 bytes or NULL */
	uint32_t index;           /* ours */
	const struct hs1_payload *payload;
};

/* What HS2 has told. */
struct hs2_opened {
	struct hs2_payload payload;
	struct handshake_keys keys; /* the initiator's */
	uint32_t remote_index;
};

/* Builds HS1. Returns OV_OK or OV_EAUTH (remote key of small order). */
OV_MUST_CHECK int handshake_start(
	struct handshake *h, const struct hs1_config *c, const struct rng *rng);
/* Puts mac2 for this cookie into h->hs1. */
void handshake_add_mac2(struct handshake *h, const uint8_t cookie[COOKIE_LEN]);
/* HS2 for this handshake (receiver index already matched). On DROP_NONE fills *out; else leaves it.
 * h is only wiped by the caller: a forged HS2 leaves it as it was. DROP_FORMAT also when the suite
 * chosen was not offered. */
enum drop handshake_finish(const struct handshake *h, const struct identity *self,
	const uint8_t *data, size_t len, struct hs2_opened *out);
void handshake_wipe(struct handshake *h);

/* A peer whose HS1 is cheaper to open, because what depends only on its key was computed before:
 * the conversion of its PeerId (45 us) and the DH of both static keys (30 us). Found in a table
 * by load_le64(key.s_public). */
struct known_peer {
	struct noise_known key; /* first; s_public is peer_id_to_dh of *id */
	const struct peer_id *id;
};

/* Responder's scratch between HS1 and the decision. Lives on the stack of the receive path. */
struct hs1_opened {
	struct noise noise;
	struct hs1_payload payload;
	uint8_t remote_dh[DH_LEN];
	uint32_t remote_index;
	const uint8_t *hs1; /* the bytes that were opened, borrowed */
	size_t hs1_len;
};

/* What HS2 is made of; borrowed for the call. */
struct hs2_config {
	const struct hs2_payload *payload;
	uint32_t index;     /* ours */
	const uint8_t *psk; /* as in hs1_config */
};

/* Cheap checks first: header, length, mac1. No DH. mac1_key from handshake_mac1_key(our public
 * key). */
enum drop handshake_check_hs1(const uint8_t mac1_key[32], const uint8_t *data, size_t len);
/* known: table of struct known_peer, or NULL; it changes the cost, never the outcome. Afterwards
 * noise.ss is worth keeping. Checks lengths and header again, not mac1. On DROP_NONE the sender
 * holds payload.peer's key or replays what its holder once sent; otherwise *out is wiped. */
enum drop handshake_open_hs1(struct hs1_opened *out, const struct handshake_network *net,
	const struct identity *self, const struct table *known, const uint8_t *data, size_t len);
/* Writes HS2_LEN bytes into out. Returns DROP_NONE or DROP_AUTH (zero DH). keys are the
 * responder's. in->noise is used up and wiped. */
enum drop handshake_answer(struct hs1_opened *in, const struct hs2_config *c, const struct rng *rng,
	uint8_t out[HS2_LEN], struct handshake_keys *keys);
void hs1_opened_wipe(struct hs1_opened *o);

void handshake_mac1_key(uint8_t key[32], const uint8_t dh_public[DH_LEN]);
/* The 16 mac1 bytes of an HS1 or HS2 (borrowed); len was checked. Identifies repetitions of one
 * HS1. */
const uint8_t *handshake_mac1(const uint8_t *data, size_t len);
bool handshake_mac2_is_zero(const uint8_t *data, size_t len);
/* True if mac2 is right for this cookie. */
bool handshake_check_mac2(const uint8_t *data, size_t len, const uint8_t cookie[COOKIE_LEN]);

/* What a COOKIE says. */
struct cookie_packet {
	uint8_t cookie[COOKIE_LEN];
	uint8_t flags; /* 0 or PACKET_FLAG_LIVENESS */
};

/* COOKIE in answer to hs1 (its sender index and mac1 are taken from it). responder_dh: our public
 * key. nonce: 24 random bytes drawn from rng. */
void cookie_packet_encode(const struct cookie_packet *p, const uint8_t responder_dh[DH_LEN],
	const uint8_t *hs1, size_t hs1_len, const struct rng *rng, uint8_t out[COOKIE_PACKET_LEN]);
/* Opens a COOKIE that answers h->hs1. */
enum drop cookie_packet_decode(
	const struct handshake *h, const uint8_t *data, size_t len, struct cookie_packet *out);
