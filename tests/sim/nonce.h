#pragma once
/* nonce - the book of all sealings: which (key, nonce) met which plaintext. Two plaintexts under
 * one pair is the end of any AEAD, so this is invariant number one. Sealings come from two places:
 * the AEAD functions of libsodium, wrapped at link time (handshakes, cookies), and the recording
 * AEAD table that nodes are given (session keys of every suite).
 *
 * Also here, by the same wraps: the clock and the randomness of the operating system, which pure
 * code must never ask for. */
#include "core/aead.h"
#include "tests/sim/book.h"

struct nonce_book {
	struct book book;
	uint64_t sealings, repeats; /* repeats: the same plaintext again (HS1 sent twice is none: it
				       is sealed once) */
	bool broken;
	char what[160];
};

void nonce_book_init(struct nonce_book *b);
void nonce_book_fini(struct nonce_book *b);
/* Where sealings are recorded from now on; NULL: nowhere. A new book has seen no impurity, and the
 * calendar is right. One at a time: a linker's wrap has no
 * context argument. */
void nonce_book_open(struct nonce_book *b);
/* Number of times pure code asked the operating system for time or randomness (0 in a sound build),
 * and the name of the last function. */
unsigned nonce_impurities(const char **what);

/* The machine's calendar jumps, for all who look at it. No node may notice: looking is impure. */
void nonce_wall_jump(int64_t seconds);

/* Recording wrappers around libsodium's backends; aes_256_gcm only if the CPU has it and `aes`. */
struct aead_table nonce_aead_table(bool aes);
