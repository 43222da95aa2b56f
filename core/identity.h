#pragma once
/* identity - who we are: one 32-byte seed, its Ed25519 key pair (the public key is the PeerId), and
 * the X25519 form that Noise uses as static key (libsodium's documented conversion). Text form and
 * the overlay address of a PeerId. */
#include "core/base.h"

#define PEER_ID_LEN      32
#define PEER_ID_TEXT_LEN 56 /* base32 of key 32, checksum 2, version 1 */
#define DH_LEN           32
#define OV_HASH_MAX      64

#define OV_SIGN_LABEL_MAX 32
#define OV_SIGN_MAX       2048 /* longest data signed */

struct peer_id {
	uint8_t bytes[PEER_ID_LEN];
};

struct identity {
	struct peer_id id;
	uint8_t sign_secret[64];   /* Ed25519, libsodium's form */
	uint8_t dh_secret[DH_LEN]; /* X25519 */
	uint8_t dh_public[DH_LEN];
};

/* Derives everything from the seed. OV_OK, or OV_EINVAL in the (never seen) case that the key does
 * not convert. */
OV_MUST_CHECK int identity_from_seed(struct identity *out, const uint8_t seed[32]);
void identity_wipe(struct identity *self);

bool peer_id_equal(const struct peer_id *a, const struct peer_id *b);
/* memcmp order of the key bytes: decides who nominates and whose handshake wins. */
int peer_id_compare(const struct peer_id *a, const struct peer_id *b);
/* The X25519 form; OV_EINVAL if the key does not convert (small order, not on the curve, not the
 * canonical encoding). */
OV_MUST_CHECK int peer_id_to_dh(const struct peer_id *id, uint8_t out[DH_LEN]);
/* 56 characters and NUL. Returns out. */
const char *peer_id_format(const struct peer_id *id, char out[PEER_ID_TEXT_LEN + 1]);
/* Lower or upper case. OV_EFORMAT (length, alphabet, checksum, version) or OV_EINVAL (does not
 * convert). */
OV_MUST_CHECK int peer_id_parse(const char *text, struct peer_id *out);
/* The same without the check that it is a key, which costs a scalar multiplication: to look one up.
 * OV_EFORMAT. */
OV_MUST_CHECK int peer_id_decode(const char *text, struct peer_id *out);

/* First 8 bytes of the peer's /64: fd, then 56 bits of hash("OVL addr v1", PeerId). */
void peer_id_prefix(const struct peer_id *id, uint8_t prefix[8]);
/* The address of the daemon's interface: prefix::1. */
void peer_id_address(const struct peer_id *id, uint8_t ip[16]);

/* What sets one use of the hash apart from all others. */
struct hash_key {
	const char *label; /* at most 16 characters */
	const void *bytes;
	size_t len; /* 0: no key, bytes may be NULL */
};

/* BLAKE2b with the label, zero-padded to 16 bytes, as personalisation (design: every hash of the
 * project). out_len 16 to 64. Where a specification takes fewer bytes of a hash, they are the first
 * ones of the 32-byte hash. */
void ov_hash(uint8_t *out, size_t out_len, const char *label, const void *data, size_t len);
void ov_hash_keyed(
	uint8_t *out, size_t out_len, const struct hash_key *key, const void *data, size_t len);
/* Ed25519 over label, a zero byte, data. At most OV_SIGN_MAX bytes of data: asserted by ov_sign,
 * false from ov_verify. */
void ov_sign(uint8_t signature[64], const struct identity *self, const char *label,
	const void *data, size_t len);
bool ov_verify(const uint8_t signature[64], const struct peer_id *id, const char *label,
	const void *data, size_t len);
