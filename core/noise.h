#pragma once
/* noise - the Noise Protocol Framework (revision 34) for 25519, ChaChaPoly, BLAKE2b: an interpreter
 * of message patterns. The transport uses IKpsk2; N, X and Xpsk1 are the one-way patterns. A
 * pattern is data. */
#include "core/table.h"

#define NOISE_KEY_LEN  32
#define NOISE_HASH_LEN 64
#define NOISE_TAG_LEN  16

enum noise_token { NOISE_END, NOISE_E, NOISE_S, NOISE_EE, NOISE_ES, NOISE_SE, NOISE_SS, NOISE_PSK };

struct noise_pattern {
	const char *name;          /* "Noise_IKpsk2_25519_ChaChaPoly_BLAKE2b" */
	bool initiator_premessage; /* -> s known before */
	bool responder_premessage; /* <- s known before */
	bool has_psk; /* NOISE_PSK occurs: e is also mixed into the key (section 9.2) */
	uint8_t messages;
	uint8_t tokens[3][8]; /* enum noise_token, NOISE_END terminated */
};

extern const struct noise_pattern noise_IKpsk2, noise_IK, noise_N, noise_X, noise_Xpsk1;

/* A remote static key that the owner of s_secret knows, and its DH(s, rs) once that was computed.
 * WireGuard keeps the same per peer (noise.c, precomputed_static_static). */
struct noise_known {
	uint8_t s_public[32];
	uint8_t ss[32]; /* valid if has_ss */
	bool has_ss;
};

struct noise {
	const struct noise_pattern *pattern;
	const struct table *known_keys;  /* of the configuration */
	const struct noise_known *known; /* whose static key message 1 brought; NULL: nobody's */
	uint8_t chaining_key[NOISE_HASH_LEN], hash[NOISE_HASH_LEN];
	uint8_t key[NOISE_KEY_LEN];
	uint64_t nonce;
	bool has_key, initiator;
	uint8_t message; /* next message of the pattern */
	uint8_t s_secret[32], s_public[32], e_secret[32], e_public[32];
	uint8_t s_remote[32], e_remote[32];
	uint8_t psk[32];
	uint8_t ss[32]; /* DH(s, rs) when has_ss: given, found in known_keys, or computed here */
	bool has_ss;
};

struct noise_config {
	const struct noise_pattern *pattern;
	bool initiator;
	const void *prologue;
	size_t prologue_len;
	const uint8_t *s_secret, *s_public; /* 32 bytes each; NULL where the pattern has none */
	const uint8_t *s_remote;            /* NULL unless known before */
	const uint8_t *psk;                 /* 32 bytes; NULL: zeros when the pattern has one */
	const uint8_t *ss; /* DH(s, rs) if computed before; saves a scalar multiplication */
	/* For a responder who learns rs from message 1: struct noise_known by load_le64(s_public).
	 * Borrowed until that message is read; NULL: none. The result is the same without it. */
	const struct table *known_keys;
};

void noise_init(struct noise *n, const struct noise_config *cfg);
/* Replaces the psk, before the message that mixes it: a responder learns only from message 1 whose
 * it is. NULL: keeps it. */
void noise_set_psk(struct noise *n, const uint8_t psk[32]);
/* Bytes the next message adds to its payload. */
size_t noise_overhead(const struct noise *n);
/* Writes the next message. e_secret: 32 random bytes from the caller's rng (style T5), used only if
 * the pattern sends e here. out needs len + noise_overhead. Returns the length written, or OV_EAUTH
 * when a DH gives all zeros. */
OV_MUST_CHECK int noise_write(
	struct noise *n, const uint8_t e_secret[32], const void *payload, size_t len, uint8_t *out);
/* Reads the next message; payload_out needs len - overhead. Returns the payload's length, or
 * OV_EFORMAT (too short) or OV_EAUTH. After a failure the state must be wiped: authenticate into a
 * copy. in and payload_out do not overlap. */
OV_MUST_CHECK int noise_read(struct noise *n, const uint8_t *in, size_t len, void *payload_out);
bool noise_finished(const struct noise *n);
/* Keys of Split(): `send` is ours to send with. Only after noise_finished. */
void noise_split(const struct noise *n, uint8_t send[32], uint8_t receive[32]);
void noise_wipe(struct noise *n);
